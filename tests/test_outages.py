"""Databases that fail: nothing is acknowledged, lost or doubled, and all goes on by itself."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import resource
import shutil
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import asyncpg
import pytest
from aiohttp import ClientSession

from bot.breaker import RESTS, TOGETHER, Breaker
from bot.channels import Faltered, Said
from bot.web.app import application
from handlers.router import Router
from handlers.turn import Event, Kind, Policy, Reply, To, Turn, Where
from storage import database, pending, quarantine
from storage.database import Database, sqlite_path
from storage.health import Health
from storage.sealing import Seal, fresh_key
from storage.sqlite import SQLiteReader, SQLiteWriter
from storage.writer import Change, Unavailable
from tests.community import GROUP, NOON, STAFF, Community, Resident, Street, TownClock
from tests.test_process import PATIENCE, Bot, running
from tests.village import served
from tests.weather import KEPT, LOST, UNHEARD, Weather

if TYPE_CHECKING:
    from tests.postgres import Server

KEY = fresh_key()
LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"

# ---------------------------------------------------------------- at every commit and question


class Day:
    """A day in the town, told by a platform that tells again whatever was not taken in."""

    def __init__(self, town: Community, weather: Weather) -> None:
        self.town = town
        self.weather = weather
        self.ana = Resident(town, "Ana", "p1", "en", town.street)
        self.ben = Resident(town, "Ben", "p2", "en", town.street)
        self.lin = Resident(town, "Lin", "p3", "en", town.street)

    async def lived(self) -> dict[str, Any]:
        """Live it; returns what is true in the end."""
        ana, ben, lin = self.ana, self.ben, self.lin
        self.weather.armed = True
        await self.said(ana, "/start")
        await self.told(lin._event(Kind.SAID, where=Where(id=STAFF, private=False), text="Hi"))
        await self.said(ana, "/invite")
        link = await self.known("SELECT link FROM invites")
        await self.told(ben._event(Kind.JOINED, where=Where(id=GROUP, private=False), data=link))
        await self.said(ana, "/checkin")
        await self.said(ana, "/checkin")
        await self.said(ana, "/human")
        topic = Where(id=STAFF, private=False, thread=await self.known("SELECT ref FROM threads"))
        await self.told(lin._event(Kind.SAID, where=topic, text="Here I am", message="s1"))
        await self.said(ana, "My parcel is wet")
        await self.told(lin._event(Kind.SAID, where=topic, text="/close", message="s2"))
        self.weather.armed = False
        return await self.truth()

    async def said(self, who: Resident, text: str) -> None:
        number = self.town.number("said")
        await self.told(who._event(Kind.SAID, where=Where(id=who.home), text=text, message=number))

    async def told(self, event: Event) -> None:
        """Told again until it is taken in, as a platform does; then all that follows happens."""
        while not await self._taken_in(event):
            await self.passes(5)
        await self.all_settled()

    async def all_settled(self) -> None:
        """Let time pass until nothing waits any more."""
        for _ in range(50):
            if not await self.known("SELECT count(*) FROM pending"):
                return
            await self.passes(40)
        raise AssertionError("something waits for ever")

    async def _taken_in(self, event: Event) -> bool:
        try:
            await self.town.street.tell(event)
        except Unavailable:
            return False
        return True

    async def passes(self, seconds: float) -> None:
        """Let the clock run on; whoever looks at it while the database is away looks again."""
        for step in (0.0, seconds):
            self.town.clock.move(timedelta(seconds=step))
            self.town.house.nudge()
            with suppress(Unavailable):
                await self.town.house.settled()

    async def known(self, sql: str) -> Any:
        """What the database says, once it says anything."""
        while True:
            with suppress(Unavailable):
                return await self.town.house.database.reader.value(sql)

    async def truth(self) -> dict[str, Any]:
        """Everything that must be the same whatever the weather was."""
        db, street = self.town.house.database.reader, self.town.street
        rows = {
            table: Counter(
                tuple(row[column] for column in columns.split(", "))
                for row in await db.rows(f"SELECT {columns} FROM {table}")  # noqa: S608 - ours
            )
            for table, columns in TRUTHS.items()
        }
        return {
            **rows,
            "delivered": Counter((one.to.place, one.key, one.text) for one in street.delivered),
            "done": Counter((one.to.place, one.ability) for one in street.done),
            "pending": await pending.counts(db),
            "quarantined": await quarantine.count(db),
        }


TRUTHS = {
    "members": "status, messages, streak, longest, referred, role",
    "facts": "name, amount",
    "conversations": "speaker, epoch, missed",
    "cases": "number, reason, closed_by",
    "interactions": "direction, kind, outcome",
    "threads": "place",
}


Fresh = Callable[[], Awaitable[str]]


@pytest.fixture(params=["sqlite", "postgresql"])
async def fresh(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    migrated_file: Path,
    postgres: Server,
    migrated_url: str,
) -> Fresh:
    """Makes as many databases as are asked for, of each kind in turn."""
    made = itertools.count()

    async def file() -> str:
        path = tmp_path / f"{next(made)}.sqlite"
        shutil.copy(migrated_file, path)
        return f"sqlite:///{path}"

    async def database() -> str:
        return await postgres.create(template=migrated_url)

    return file if request.param == "sqlite" else database


async def lived(url: str, weather: Weather) -> dict[str, Any]:
    """What is true in the end of the same day in this weather."""
    town = await Community.founded(url, key=KEY, opened=weather.opened)
    try:
        return await Day(town, weather).lived()
    finally:
        await town.close()


@pytest.mark.parametrize("fate", [LOST, UNHEARD])
async def test_whichever_commit_fails_the_day_ends_the_same(fresh: Fresh, fate: str) -> None:
    """SQLite's own method: the first commit fails, then the second, and so on to the last."""
    fine, url = Weather(), await fresh()
    truth = await lived(url, fine)
    for n in some(fine.committed, url):
        url = await fresh()
        assert await lived(url, Weather(commits=[KEPT] * n + [fate])) == truth, f"commit {n}"


async def test_whichever_question_fails_the_day_ends_the_same(fresh: Fresh) -> None:
    fine, url = Weather(), await fresh()
    truth = await lived(url, fine)
    for n in some(fine.asked, url, thinner=4):
        url = await fresh()
        assert await lived(url, Weather(questions=[KEPT] * n + [LOST])) == truth, f"question {n}"


def some(count: int, url: str, thinner: int = 1) -> range:
    """Which of so many to let fail: all in a long run, else as many as there is time for."""
    quick = url.startswith("sqlite")  # a file is copied in no time
    return range(0, count, 1 if LONG else thinner if quick else 5 * thinner)


# ---------------------------------------------------------------- SQLite's own troubles


class Spoilt(SQLiteWriter):
    """A writer whose disk can be spoilt."""

    pragma = ""  # what spoils it, or mends it

    def _begin(self) -> None:
        if self.pragma:
            self._book._connection.execute(self.pragma)
        super()._begin()


class Disk:
    """A disk with one database on it, that can fail in every way a disk can."""

    def __init__(self, how: str) -> None:
        self._how = how
        self._path = Path()
        self._limit = resource.getrlimit(resource.RLIMIT_FSIZE)

    async def opened(self, url: str, seal: Seal) -> Database:
        self._path = sqlite_path(url)
        self._writer = Spoilt(self._path, seal, patience=0.01)
        return Database(url, SQLiteReader(self._path, seal), self._writer)

    def fails(self) -> None:
        match self._how:
            case "locked":  # by another program, such as one that makes a copy
                self._other = sqlite3.connect(self._path, isolation_level=None)
                self._other.execute("BEGIN IMMEDIATE")
            case "full":
                self._writer.pragma = "PRAGMA max_page_count = 1"  # which means: what there is
            case "read-only":
                self._writer.pragma = "PRAGMA query_only = ON"
            case "broken":  # the system refuses to make the log any longer
                log = self._path.with_name(f"{self._path.name}-wal").stat().st_size
                resource.setrlimit(resource.RLIMIT_FSIZE, (log, self._limit[1]))

    def heals(self) -> None:
        match self._how:
            case "locked":
                self._other.close()
            case "full":
                self._writer.pragma = "PRAGMA max_page_count = 1000000"
            case "read-only":
                self._writer.pragma = "PRAGMA query_only = OFF"
            case "broken":
                resource.setrlimit(resource.RLIMIT_FSIZE, self._limit)


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("locked", "database is locked"),
        ("full", "database or disk is full"),
        ("read-only", "attempt to write a readonly database"),
        ("broken", "disk I/O error"),
    ],
)
async def test_a_disk_that_fails_is_told_of_and_waited_for(
    migrated_file: Path, tmp_path: Path, how: str, why: str
) -> None:
    path = tmp_path / "town.sqlite"
    shutil.copy(migrated_file, path)
    disk = Disk(how)
    town = await Community.founded(f"sqlite:///{path}", opened=disk.opened)
    ana = await town.resident("Ana")
    events = [
        ana._event(Kind.SAID, where=Where(id=ana.home), text=text, message=f"m{text}")
        for text in ("/checkin", "word " * 5000)  # long, so that there is no room for it
    ]
    async with served(application(town.house)) as address:
        assert await storage_at(address) == (True, "")
        disk.fails()
        try:
            with pytest.raises(Unavailable):
                await town.street.tell(*events)
            assert await storage_at(address) == (True, f"cannot be written: {why}")
        finally:
            disk.heals()
        await town.happens(*events)
        assert await storage_at(address) == (True, "")
    assert [one.key for one in ana.inbox].count("checkin.done") == 1
    assert not await pending.counts(town.house.database.reader)
    await town.close()


async def storage_at(address: str) -> tuple[bool, str]:
    """Whether the process lives, and what it says is wrong with its storage."""
    async with ClientSession() as session:
        async with session.get(f"{address}/healthz") as response:
            lives = response.status == 200
        async with session.get(f"{address}/readyz") as response:
            told = await response.json()
            assert response.status == (503 if told["wrong"] else 200)
    return lives, told["wrong"].get("storage", "")


async def test_a_look_tries_itself_once_nobody_has_come_for_a_while(url: str) -> None:
    weather, seconds = Weather(), [0.0]
    town = await Community.founded(url, opened=weather.opened)
    town.house.database.writer.health = Health(lambda: seconds[0])
    weather.armed = weather.gone = True
    with pytest.raises(Unavailable):
        await town.house.database.writer.settle([])
    weather.gone, weather.committed = False, 0
    async with served(application(town.house)) as address:
        assert await storage_at(address) == (True, "cannot be written: the server is away")
        assert weather.committed == 0
        seconds[0] = 31.0
        assert await storage_at(address) == (True, "")
        assert await storage_at(address) == (True, "")
        assert weather.committed == 1
    await town.close()


def test_a_commit_that_takes_long_is_told_of_before_it_fails() -> None:
    seconds = [0.0]
    health = Health(lambda: seconds[0])
    health.begun()
    assert health.wrong == ""
    seconds[0] = 8.0
    assert health.wrong == "has been writing for 8 s"
    health.kept()
    assert health.wrong == ""


# ---------------------------------------------------------------- PostgreSQL's own troubles


class Gate:
    """The way to one database, which can be shut, as while a server starts anew."""

    def __init__(self, postgres: Server, url: str) -> None:
        self._server = postgres
        self._name = urlsplit(url).path.removeprefix("/")

    async def shut(self) -> None:
        await self._run(f"ALTER DATABASE {self._name} ALLOW_CONNECTIONS false")
        await self.cut()

    async def open(self) -> None:
        await self._run(f"ALTER DATABASE {self._name} ALLOW_CONNECTIONS true")

    async def cut(self) -> None:
        """End everybody's connection, whatever it is in the middle of."""
        await self._run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = $1 AND pid <> pg_backend_pid()",
            self._name,
        )

    async def _run(self, statement: str, *values: str) -> None:
        connection = await asyncpg.connect(self._server.address)
        try:
            await connection.fetch(statement, *values)
        finally:
            await connection.close()


async def test_a_server_that_is_away_is_told_of_and_waited_for(
    postgres: Server, migrated_url: str
) -> None:
    url = await postgres.create(template=migrated_url)
    gate = Gate(postgres, url)
    town = await Community.founded(url)
    ana = await town.resident("Ana")
    event = ana._event(Kind.SAID, where=Where(id=ana.home), text="/checkin", message="m1")
    async with served(application(town.house)) as address:
        await gate.shut()
        with pytest.raises(Unavailable):
            await town.street.tell(event)
        lives, why = await storage_at(address)
        assert lives
        assert why
        await gate.open()
        while True:  # it may find out only now that its connections were cut
            with suppress(Unavailable):
                await town.happens(event)
                break
        assert await storage_at(address) == (True, "")
    assert [one.key for one in ana.inbox].count("checkin.done") == 1
    await town.close()
    await postgres.drop(url)


async def test_connections_that_break_at_any_moment_lose_and_double_nothing(
    postgres: Server, migrated_url: str
) -> None:
    """Thirty people check in while every connection is cut again and again, also in a COMMIT."""
    url = await postgres.create(template=migrated_url)
    gate = Gate(postgres, url)
    town = await Community.founded(url)
    people = [Resident(town, f"P{n}", f"p{n}", "en", town.street) for n in range(30)]
    events = [
        one._event(Kind.SAID, where=Where(id=one.home), text="/checkin", message=f"{one.id}-{n}")
        for n in range(2)
        for one in people
    ]

    async def tell(event: Event) -> None:
        while True:
            with suppress(Unavailable):
                await town.street.tell(event)
                return
            await asyncio.sleep(0)

    async def cut_on() -> None:
        for _ in range(12):
            await gate.cut()

    await asyncio.gather(cut_on(), *(tell(event) for event in events))
    day = Day(town, Weather())
    await day.all_settled()
    truth = await day.truth()
    assert truth["facts"] == {("checked_in", 1): 30}
    assert truth["interactions"] == {("in", "said", ""): 60, ("out", "checkin", "sent"): 60}
    assert Counter((one.to.place, one.key) for one in town.street.delivered) == {
        (one.home, key): 1 for one in people for key in ("checkin.done", "checkin.already")
    }
    await town.close()
    await postgres.drop(url)


async def test_what_no_database_takes_spoils_nobody_elses_turn(url: str) -> None:
    """A key too long for PostgreSQL's indexes once counted as the server being away, for ever."""
    opened = await database.opened(url, Seal.of(KEY))
    add = "INSERT INTO tokens (digest, purpose, expires_at) VALUES (:d, 'test', :at)"
    hopeless = "".join(chr(0x4E00 + n * n % 20_000) for n in range(9_000))
    turns = [
        opened.writer.settle([Change(add, {"d": digest, "at": at})])
        for digest, at in (("a", 0), (hopeless, 0), ("b", 0), ("c", 2**70), ("d", 0))
    ]
    outcomes = await asyncio.wait_for(asyncio.gather(*turns, return_exceptions=True), 20)
    assert not any(isinstance(one, Unavailable) for one in outcomes)
    rows = await opened.reader.rows("SELECT digest FROM tokens ORDER BY 1")
    assert [row["digest"] for row in rows if len(row["digest"]) == 1] == ["a", "b", "d"]
    await opened.close()


# ---------------------------------------------------------------- a platform that fails everybody


class Down(Street):
    """A platform that takes every message and answers none, until it is mended."""

    down = False
    tried = 0

    async def send(self, to: To, said: Said) -> str:
        self.tried += self.down
        if self.down:
            raise Faltered("no answer")
        return await super().send(to, said)


def herald() -> Router:
    """A capability whose words are rather lost than said twice."""
    router = Router("herald")

    @router.otherwise()
    async def cry(turn: Turn) -> None:
        turn.send(Reply(text=turn.event.text), policy=Policy.AT_MOST_ONCE)

    return router


async def test_a_platform_that_fails_everybody_is_not_tried_by_everybody(url: str) -> None:
    """Each try spends a message that may be said once only: a hundred were gone in a minute."""
    street = Down()
    town = await Community.founded(url, routers=[herald()], street=street)
    people = [Resident(town, f"P{n}", f"p{n}", "en", street) for n in range(100)]
    street.down = True
    for one in people:
        await one.says("oyez")
    await town.passes(minutes=1)
    # Those who found out, and then one at a time: after 1, 2, 4, 8, 15, 15 and 15 seconds.
    assert TOGETHER < street.tried <= TOGETHER + 7
    street.down = False
    await town.passes(minutes=1)
    assert len(street.delivered) == len(people) - street.tried
    await town.close()


def test_one_chat_that_fails_keeps_nobody_else_waiting() -> None:
    breaker = Breaker(lambda: NOON)
    for _ in range(50):
        breaker.failed("one")
    assert breaker.wait() == 0
    for place in ("two", "three", "four", "five"):
        breaker.failed(place)
    assert breaker.resting
    assert breaker.wait() == RESTS[0]


def test_a_rest_ends_with_one_who_goes_to_see() -> None:
    clock = TownClock()
    breaker = Breaker(clock.now)
    for n in range(TOGETHER):
        breaker.failed(str(n))
    clock.move(timedelta(seconds=RESTS[0]))
    assert breaker.wait() == 0
    assert breaker.wait() > 0  # for everybody else
    breaker.failed("who went")
    assert breaker.wait() == RESTS[1]
    clock.move(timedelta(seconds=RESTS[1]))
    assert breaker.wait() == 0
    breaker.worked()
    assert not breaker.resting
    assert breaker.wait() == 0


def test_a_rest_is_not_made_longer_by_a_clock_that_is_put_back() -> None:
    moment = [NOON]
    breaker = Breaker(lambda: moment[0])
    for n in range(TOGETHER):
        breaker.failed(str(n))
    moment[0] -= timedelta(days=1)
    assert breaker.wait() == 0


# ---------------------------------------------------------------- the real process


@pytest.mark.process
@pytest.mark.parametrize("mode", ["polling", "webhook"])
async def test_a_real_process_waits_for_its_database_and_goes_on_by_itself(
    url: str, tmp_path: Path, postgres: Server, mode: str
) -> None:
    """Nothing is confirmed to Telegram while nothing can be kept; no restart is needed."""
    async with running(url, tmp_path, mode) as place:
        api, bot, ana = place.api, place.bot, place.ana
        api.starts(ana)
        await api.sent(ana, containing="")
        await api.all_taken()
        people = [api.person(f"P{n}", language="en") for n in range(20)]
        async with outage(url, bot, postgres):
            for one in people:
                api.tells(one, "/checkin")
            while (found := await bot.get("/readyz"))[0] == 200:
                continue  # it has not tried to write yet
            assert "storage" in json.loads(found[1])["wrong"]
            assert (await bot.get("/healthz"))[0] == 200
            assert api.queue().pending >= len(people)
        await api.until(lambda: all(map(api.messages, people)) or None, within=PATIENCE)
        await api.all_taken(within=PATIENCE)
        for one in people:
            (answer,) = api.messages(one)
            assert "Checked in" in answer.text
        assert (await bot.get("/readyz"))[0] == 200


@asynccontextmanager
async def outage(url: str, bot: Bot, postgres: Server) -> AsyncIterator[None]:
    """The database cannot be written meanwhile: its disk is full, or its server away."""
    if url.startswith("sqlite"):
        assert bot.process is not None
        log = sqlite_path(url).with_name(f"{sqlite_path(url).name}-wal").stat().st_size
        before = resource.prlimit(bot.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(bot.process.pid, resource.RLIMIT_FSIZE, (log, before[1]))
        try:
            yield
        finally:
            resource.prlimit(bot.process.pid, resource.RLIMIT_FSIZE, before)
        return
    gate = Gate(postgres, url)
    await gate.shut()
    try:
        yield
    finally:
        await gate.open()
