"""Running: a house started with its channels and its web server, until told to stop."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import structlog
from aiohttp import web

from bot import config, log
from bot.app import House
from bot.channels.telegram import Telegram
from bot.channels.web import WebChannel
from bot.clock import KeptClock, SystemClock
from bot.company import Part
from bot.config import Config, WebSection
from bot.studio import Studio
from bot.web.access import loopback
from bot.web.app import application
from handlers import discovered
from storage import schema, sole
from storage.database import is_sqlite
from storage.sealing import fresh_key

logger = structlog.get_logger()

PLAYGROUND = Path("var/playground")
CLOCK = "clock"  # a file beside the database: how far ahead the clock was moved
OPEN_TO_ALL = "0.0.0.0"  # noqa: S104 - only compared with, to warn of it


class NotToBeStarted(Exception):
    """The bot cannot be started like this; the message says what to do."""


# ---------------------------------------------------------------- the bot on Telegram


def run(file: Path, part: Part, port: int | None) -> int:
    """Run the bot until SIGTERM or SIGINT, then finish what is being done.

    part: what this process does, of several on one PostgreSQL database
    port: where its pages are; None: config.toml's, and for a worker nowhere
    """
    found = config.read(file, discovered())
    found.require_key()
    if not found.telegram.token:
        raise NotToBeStarted(
            "BOT_TELEGRAM__TOKEN is not set: ask @BotFather on Telegram for a bot, and set it to"
            " the token.\n  To look around without one: python -m bot playground"
        )
    if port is not None:
        found = replace(found, web=found.web.model_copy(update={"port": port}))
    log.configure()
    serves = part.hears or port is not None
    return _until_told_to_stop(_telegram(found, part, serves=serves))


async def _telegram(found: Config, part: Part, *, serves: bool) -> int:
    stop = _told_to_stop()
    await schema.prepare(found.storage.url)
    clock = SystemClock()
    section = found.telegram
    channel = Telegram(
        section.token,
        clock,
        api=section.api,
        mode=section.mode,
        webhook_url=section.webhook_url,
        secret=section.webhook_secret,
        per_second=section.per_second,
    )
    studio = Studio()
    house = House(found, discovered(), [channel], clock, part=part, draw=studio.draw)
    await house.open()
    try:
        hooks = {channel.path: channel.handler} if section.mode == "webhook" and part.hears else {}
        pages = application(house, webhooks=hooks)
        shared = not is_sqlite(found.storage.url)
        async with _Served(pages, found.web, serves=serves, shared=shared) as address:
            _settle_memory()
            house.start()
            logger.info("running", channel="telegram", part=part.value, url=address)
            if link := await house.owner_link():
                _tell(f"Become the owner of this bot: {link}\nThe link is good once, for a day.")
            await stop.wait()
    finally:
        logger.info("stopping")
        await house.close()
        studio.close()
    return 0


# ---------------------------------------------------------------- the playground


def playground(host: str, port: int, *, fresh: bool) -> int:
    """Serve the playground until SIGTERM or SIGINT."""
    from bot.seed import COMMUNITY

    log.configure()
    contents = {
        "storage": {
            "url": f"sqlite:///{PLAYGROUND}/playground.sqlite",
            "seal_key": _own_key(PLAYGROUND / "seal.key"),
        },
        "web": {"url": f"http://{_browsable(host)}:{port}"},
        "community": [COMMUNITY],
    }
    found = config.checked(Path("playground.toml").absolute(), contents, discovered())
    return _until_told_to_stop(_played(found, host, port, fresh=fresh))


async def _played(found: Config, host: str, port: int, *, fresh: bool) -> int:
    from bot.seed import seed

    stop = _told_to_stop()
    if fresh:
        _clear(found.storage.url)
    await schema.prepare(found.storage.url)
    clock = KeptClock(PLAYGROUND / CLOCK)
    channel = WebChannel(f"http://{_browsable(host)}:{port}", clock)
    studio = Studio()
    house = House(found, discovered(), [channel], clock, draw=studio.draw)
    await house.open()
    try:
        channel.attach(house.database, house.world.ids)
        house.start()
        await seed(house, channel)
        pages = application(house, playground=channel)
        async with _Served(pages, WebSection(host=host, port=port)) as address:
            _tell(_welcome(address, host))
            await stop.wait()
    finally:
        await house.close()
        studio.close()
    return 0


def _clear(url: str) -> None:
    """Let go of all that was played; the key stays.  Raises `Taken` while another plays on it."""
    hold = sole.Hold(url)
    _empty(PLAYGROUND)
    hold.release()


def _empty(folder: Path) -> None:
    for one in (*folder.glob("playground.sqlite*"), folder / CLOCK):
        if one.suffix != ".lock":  # which is how others know that somebody is here
            one.unlink(missing_ok=True)


def _own_key(file: Path) -> str:
    """The playground's own key, made when it first starts, readable by its owner only."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
            opened.write(fresh_key())
    return file.read_text().strip()


def _welcome(address: str, host: str) -> str:
    lines = [
        f"Innkeeper's playground is open: {address}",
        "在浏览器里打开上面的地址，就能和掌柜聊天了。",
    ]
    if not loopback(host):
        lines.append(
            f"WARNING: it listens on {host}, beyond this machine. Whoever reaches it can act as"
            " anybody in it.\n"
            f"警告：正在监听 {host}，不限于本机。能访问到这里的人都可以扮演任何人。"
        )
    else:
        lines.append("It listens on this machine only. Stop it with Ctrl+C.")
    return "\n".join(lines)


def _browsable(host: str) -> str:
    return "127.0.0.1" if host in (OPEN_TO_ALL, "::") else host


# ---------------------------------------------------------------- serving and stopping


class _Served:
    """A web application on an address, for as long as the block lasts.

    shared: other processes of this bot may serve the same pages on the same port
    """

    def __init__(
        self,
        pages: web.Application,
        where: WebSection,
        *,
        serves: bool = True,
        shared: bool = False,
    ) -> None:
        self._runner = web.AppRunner(pages, access_log=None, shutdown_timeout=2)
        self._where = where
        self._serves = serves
        self._shared = shared

    async def __aenter__(self) -> str:
        """Returns the address; empty where nothing is to be served."""
        if not self._serves:
            return ""
        await self._runner.setup()
        host, port = self._where.host, self._where.port
        site = web.TCPSite(self._runner, host, port, reuse_port=self._shared or None)
        try:
            await site.start()
        except OSError as error:
            await self._runner.cleanup()
            raise NotToBeStarted(
                f"{host}:{port} is taken or not ours ({error.strerror}); choose another port"
            ) from error
        return f"http://{_browsable(host)}:{self._runner.addresses[0][1]}"

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()


def _until_told_to_stop(work: Awaitable[int]) -> int:
    """Run on the fastest event loop there is."""

    async def main() -> int:
        return await work

    with suppress(ModuleNotFoundError):
        import uvloop

        return int(uvloop.run(main()))
    return asyncio.run(main())


def _settle_memory() -> None:
    """Leave what was imported alone for good: walking it again and again is a third of all work.

    aiogram's and pydantic's objects are many and stay; what a turn makes is freed
    by counting references, so the collector has little to find.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 1_000)


def _told_to_stop() -> asyncio.Event:
    """Set at the first SIGTERM or SIGINT from now on: asked for first of all, so that
    even a start is finished, and then undone, in good order."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for one in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(one, stop.set)
    return stop


def _tell(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - the one thing a newcomer has to see
