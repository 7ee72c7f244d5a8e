"""The real process, over real HTTP, against an independent Bot API server."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import ClientSession

from storage.sealing import fresh_key
from tests.botapi import BotAPI
from tests.botapi.town import Chat, Person

pytestmark = pytest.mark.process

ROOT = Path(__file__).parent.parent
PATIENCE = 30.0  # seconds for a process to come up or go down on a busy machine
CONFIG = """
[telegram]
api = "{api}"
mode = "{mode}"
webhook_url = "http://127.0.0.1:{port}/hooks/telegram"

[web]
port = {port}

[welcome]
gather = 0.2

[[community]]
name = "Harbour Tea"
zone = "Asia/Shanghai"
language = "en"
knowledge = "{knowledge}"
telegram.chats = [{chats}]
telegram.staff = {staff}
"""


@dataclass
class Bot:
    """The bot's process, and how to start it again."""

    environment: dict[str, str]
    folder: Path
    port: int
    role: tuple[str, ...] = ()  # of several: what of it this process does
    process: asyncio.subprocess.Process | None = None
    lines: list[str] = field(default_factory=list)
    since: int = 0  # the first line of the present process
    _more: asyncio.Event = field(default_factory=asyncio.Event)
    _readers: list[asyncio.Future[None]] = field(default_factory=list)

    async def up(self) -> None:
        """Wait until it says that it runs."""
        await self.tells('"running"')

    async def tells(self, what: str) -> str:
        """Wait until the present process has printed this; returns the line."""
        async with asyncio.timeout(PATIENCE):
            while True:
                for line in self.lines[self.since :]:
                    if what in line:
                        return line
                self._more.clear()
                await self._more.wait()

    async def start(self) -> None:
        self.since = len(self.lines)
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bot", "run", "--config", str(self.folder / "config.toml"),
            *self.role,
            cwd=ROOT, env=self.environment,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            reader = asyncio.ensure_future(self._read(stream))  # noqa: TID251 - awaited in `ends`
            self._readers.append(reader)

    async def _read(self, stream: asyncio.StreamReader) -> None:
        while line := await stream.readline():
            self.lines.append(line.decode())
            self._more.set()

    async def ends(self, with_signal: signal.Signals) -> int:
        """Send the signal; returns the status it ended with."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(with_signal)
        status = await asyncio.wait_for(self.process.wait(), PATIENCE)
        await asyncio.gather(*self._readers)
        self._readers.clear()
        return status

    @property
    def log(self) -> str:
        return "".join(self.lines)

    async def get(self, path: str) -> tuple[int, str]:
        address = f"http://127.0.0.1:{self.port}{path}"
        async with ClientSession() as session, session.get(address) as response:
            return response.status, await response.text()


@dataclass
class Place:
    """A Telegram with a group and a staff forum, and the bot running in it."""

    api: BotAPI
    bot: Bot
    group: Chat
    staff: Chat
    ana: Person
    lin: Person


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@asynccontextmanager
async def running(
    url: str, folder: Path, mode: str = "polling", role: tuple[str, ...] = ()
) -> AsyncIterator[Place]:
    async with BotAPI.start() as api:
        ana, lin = api.person("Ana", language="en"), api.person("Lin", language="en")
        owner = api.person("Olga", language="en")
        group = api.group("Harbour Tea", owner, owner=owner, bot_is="administrator")
        staff = api.group("Desk", owner, lin, owner=owner, bot_is="administrator", forum=True)
        port = free_port()
        (folder / "config.toml").write_text(
            CONFIG.format(
                api=api.url, mode=mode, port=port, chats=group.id, staff=staff.id,
                knowledge=ROOT / "knowledge" / "articles" / "harbour-tea",
            ),
            "utf-8",
        )  # fmt: skip
        environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("BOT_")},
            "BOT_TELEGRAM__TOKEN": api.token,
            "BOT_TELEGRAM__WEBHOOK_SECRET": "only-telegram-knows",
            "BOT_STORAGE__URL": url,
            "BOT_STORAGE__SEAL_KEY": fresh_key(),
        }
        bot = Bot(environment, folder, port, role)
        await bot.start()
        try:
            await api.listening(within=PATIENCE)
            await bot.up()
            yield Place(api, bot, group, staff, ana, lin)
        finally:
            status = await bot.ends(signal.SIGTERM)
            print(bot.log)  # noqa: T201 - shown by pytest if the test failed
        assert status == 0, bot.log
        assert api.token not in bot.log


@pytest.mark.parametrize("mode", ["polling", "webhook"])
async def test_a_member_lives_a_day_on_telegram(url: str, tmp_path: Path, mode: str) -> None:
    """Welcome, check-in, an answer with its source, a human and back, on each database."""
    async with running(url, tmp_path, mode) as place:
        api, ana, lin = place.api, place.ana, place.lin
        api.joins(ana, place.group)
        await api.sent(place.group, containing="Ana")
        api.starts(ana)
        await api.sent(ana, containing="")
        api.tells(ana, "/checkin")
        await api.sent(ana, containing="Checked in")
        api.tells(ana, "/checkin")
        await api.sent(ana, containing="already")
        api.tells(ana, "When are you open?")
        await api.sent(ana, containing=":00")
        api.tells(ana, "/human")
        card = await api.sent(place.staff, containing="Ana")
        assert card.thread
        api.says(lin, place.staff, "Hello Ana, this is Lin.", thread=card.thread)
        await api.sent(ana, containing="Hello Ana, this is Lin.")
        api.tells(ana, "My parcel is wet.")
        await api.sent(place.staff, containing="My parcel is wet.", thread=card.thread)
        api.says(lin, place.staff, "/close", thread=card.thread)
        await api.until(lambda: "Hello Ana" not in api.messages(ana)[-1].text or None)
        assert (await place.bot.get("/readyz"))[0] == 200
        status, metrics = await place.bot.get("/metrics")
        assert status == 200
        assert "innkeeper_sends_total" in metrics
        assert "Ana" not in place.bot.log


async def test_a_poison_update_never_blocks_its_neighbours(url: str, tmp_path: Path) -> None:
    async with running(url, tmp_path) as place:
        api, ana = place.api, place.ana
        api.starts(ana)
        await api.sent(ana, containing="")
        api.update("message", {"message_id": "not a number", "chat": 7})
        api.raw({"update_id": "nonsense"})
        api.tells(ana, "/checkin")
        await api.sent(ana, containing="Checked in")
        await api.all_taken()


async def test_nothing_is_lost_at_sigterm(url: str, tmp_path: Path) -> None:
    """Told to stop in the middle of a burst, and started again: each is answered once."""
    async with running(url, tmp_path) as place:
        api, ana = place.api, place.ana
        api.starts(ana)
        await api.sent(ana, containing="")
        people = [api.person(f"P{n}", language="en") for n in range(30)]
        for one in people:
            api.starts(one)
        await api.until(lambda: any(api.messages(one) for one in people) or None)
        assert await place.bot.ends(signal.SIGTERM) == 0, place.bot.log
        await place.bot.start()
        await place.bot.up()
        await api.until(lambda: all(_from_bot(api, one) for one in people) or None, within=PATIENCE)
        assert [len(_from_bot(api, one)) for one in people] == [1] * 30


async def test_nothing_is_lost_by_a_kill(url: str, tmp_path: Path) -> None:
    """Killed in the middle of a burst and started again: counted once, answered at least once."""
    async with running(url, tmp_path) as place:
        api = place.api
        people = [api.person(f"P{n}", language="en") for n in range(30)]
        for one in people:
            api.tells(one, "/checkin")
        await api.until(lambda: any(_from_bot(api, one) for one in people) or None)
        await place.bot.ends(signal.SIGKILL)
        await place.bot.start()
        await place.bot.up()
        await api.until(lambda: all(_from_bot(api, one) for one in people) or None, within=PATIENCE)
        for one in people:
            assert all("already" not in text for text in _from_bot(api, one))


async def test_a_429_is_waited_out(url: str, tmp_path: Path) -> None:
    async with running(url, tmp_path) as place:
        api, ana = place.api, place.ana
        api.starts(ana)
        await api.sent(ana, containing="")
        fault = api.slow_down(1, times=2, chat=api.private(ana), method="sendMessage")
        api.tells(ana, "/checkin")
        await api.sent(ana, containing="Checked in")
        assert fault.met == 2


async def test_who_blocks_the_bot_is_left_alone_until_they_return(url: str, tmp_path: Path) -> None:
    async with running(url, tmp_path) as place:
        api, ana = place.api, place.ana
        api.starts(ana)
        await api.sent(ana, containing="")
        api.blocks(ana)
        await api.all_taken()
        api.unblocks(ana)
        api.tells(ana, "/checkin")
        await api.sent(ana, containing="Checked in")


async def test_a_group_that_becomes_a_supergroup_is_followed(url: str, tmp_path: Path) -> None:
    async with running(url, tmp_path) as place:
        api = place.api
        olga = api.person("Olga", language="en")
        basic = api.group("Small", olga, owner=olga, bot_is="administrator", basic=True)
        api.says(olga, basic, "/checkin@innkeeper_bot")
        await api.sent(basic, containing="Checked in")
        new = api.upgrades(olga, basic)
        api.says(olga, new, "/streak@innkeeper_bot")
        await api.until(lambda: api.messages(new) or None)


async def test_the_owner_is_made_by_the_link_once(url: str, tmp_path: Path) -> None:
    async with running(url, tmp_path) as place:
        api, bot, ana = place.api, place.bot, place.ana
        payload = (await bot.tells("owner_")).partition("start=")[2].strip()
        api.starts(ana, payload)
        await api.sent(ana, containing="owner")
        ben = api.person("Ben", language="en")
        api.starts(ben, payload)
        await api.until(lambda: _from_bot(api, ben) or None)
        new = api.group("New place", ana, owner=ana, bot_is="administrator")
        api.says(ana, new, "/setup@innkeeper_bot")
        await api.sent(new, containing=str(new.id))


async def test_a_forged_webhook_is_turned_away(url: str, tmp_path: Path) -> None:
    async with running(url, tmp_path, "webhook") as place, ClientSession() as session:
        address = f"http://127.0.0.1:{place.bot.port}/hooks/telegram"
        for headers in ({}, {"X-Telegram-Bot-Api-Secret-Token": "guessed"}):
            async with session.post(address, json={"update_id": 1}, headers=headers) as response:
                assert response.status == 401
        async with session.get(address) as response:
            assert response.status == 405


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
async def test_a_second_process_on_the_same_file_refuses(url: str, tmp_path: Path) -> None:
    async with running(url, tmp_path) as place:
        second = Bot(
            {**place.bot.environment, "BOT_WEB__PORT": str(free_port())}, tmp_path, free_port()
        )
        await second.start()
        assert await asyncio.wait_for(second.process.wait(), PATIENCE) == 1  # type: ignore[union-attr]
        await second.ends(signal.SIGTERM)
        assert "another process is running the bot" in second.log


@asynccontextmanager
async def helped(place: Place, role: str, count: int) -> AsyncIterator[list[Bot]]:
    """More processes of the same bot, doing this of what there is to do."""
    helpers = [
        Bot(place.bot.environment, place.bot.folder, 0, ("--role", role)) for _ in range(count)
    ]
    try:
        for one in helpers:
            await one.start()
        for one in helpers:
            await one.up()
        yield helpers
    finally:
        for one in helpers:
            await one.ends(signal.SIGTERM)
            print(one.log)  # noqa: T201 - shown by pytest if the test failed


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("mode", ["polling", "webhook"])
async def test_workers_share_the_work_and_any_may_be_killed(
    url: str, tmp_path: Path, mode: str
) -> None:
    """One takes in, two deal with it; whoever of the two is killed, the other goes on."""
    async with (
        running(url, tmp_path, mode, ("--role", "web")) as place,
        helped(place, "worker", 2) as (first, second),
    ):
        api = place.api
        for worker in (first, second):  # each has its part of the lanes
            await worker.tells('"ours": 32')
        people = [api.person(f"P{n}", language="en") for n in range(24)]
        for one in people:
            api.tells(one, "/checkin")
        await api.until(lambda: any(_from_bot(api, one) for one in people) or None)
        leading = first if '"duty": "leading"' in first.log else second
        await leading.ends(signal.SIGKILL)
        await api.until(lambda: all(_from_bot(api, one) for one in people) or None, within=PATIENCE)
        await leading.start()
        await leading.tells('"ours": 32')
        for one in people:
            api.tells(one, "/streak")
        await api.until(
            lambda: all(len(_from_bot(api, one)) > 1 for one in people) or None, within=PATIENCE
        )
        for one in people:
            assert all("already" not in text for text in _from_bot(api, one))


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
async def test_a_rolling_restart_loses_nothing(url: str, tmp_path: Path) -> None:
    """Two that do everything, on one port, restarted one after the other under load."""
    async with running(url, tmp_path) as place, helped(place, "all", 1) as (second,):
        api = place.api
        await second.tells('"ours": 32')
        people = [api.person(f"P{n}", language="en") for n in range(24)]
        for one in people[:12]:
            api.tells(one, "/checkin")
        assert await place.bot.ends(signal.SIGTERM) == 0, place.bot.log
        for one in people[12:]:
            api.tells(one, "/checkin")
        await place.bot.start()
        await place.bot.up()
        assert await second.ends(signal.SIGTERM) == 0, second.log
        await api.until(lambda: all(_from_bot(api, one) for one in people) or None, within=PATIENCE)
        assert [len(_from_bot(api, one)) for one in people] == [1] * 24


def _from_bot(api: BotAPI, person: Person) -> list[str]:
    return [one.text for one in api.messages(person)]
