"""Who takes part: each bot, how it is started, and the work that is put to it."""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks import installed

ROOT = Path(__file__).parent.parent
TOKEN = "1:benchmark-token-of-thirty-five-chars"  # noqa: S105 - it opens nothing


class NotMeasured(Exception):
    """It cannot be measured here; the message says why."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a bot is to run for one round."""

    folder: Path  # new and empty, on a disk
    api: str
    port: int  # for a webhook
    count: int  # how many updates it is given, besides as many to warm up


@dataclass(frozen=True, slots=True)
class Start:
    """How a bot is started there."""

    commands: tuple[list[str], ...]  # one for each of its processes
    environment: dict[str, str]
    others: tuple[int, ...] = ()  # processes that already run and work for it, such as a server
    heard: int = 0  # how many updates it was told of in its earlier lives


@dataclass(frozen=True, slots=True)
class Work:
    """What people do, before the count and during it."""

    name: str
    warm_up: str
    people: int = 0  # how many take turns; 0: each speaks once
    crowd: int = 0  # those who speak are drawn from so many, known to the bot before
    rate: float = 0.0  # updates a second; 0: as fast as the bot takes them
    half_of: str = ""  # or half as many as this contender took in this run, where it has run

    def counted(self, count: int) -> int:
        """How many of so many updates are given; nobody checks in twice a day."""
        return min(count, self.crowd or count)

    def told(self, count: int) -> int:
        """How often this was said in a round of so many updates, the warm-up included."""
        return count + self.people if self.warm_up == self.name else self.counted(count)


CHECK_IN = Work("checkin", warm_up="start")
CHATTER = Work("chatter", warm_up="chatter", people=200)


async def unchecked(_: Place, __: int) -> str:
    """Nothing is kept, so there is nothing to check."""
    return ""


async def nothing_shared() -> None:
    """There is nothing to make ready."""


async def nothing_left(_: Place) -> None:
    """There is nothing to clear away but the folder."""


async def nothing_awaited(_: Place) -> None:
    """It is ready as soon as it listens."""


@dataclass(frozen=True, slots=True)
class Contender:
    """A bot with its work.

    prepare: makes ready whatever all its rounds share; raises `NotMeasured`
    settled: returns once its processes have shared the work among them
    check:   what is wrong with what it kept of so many updates; empty if nothing is
    finish:  clears away what a round left outside of its folder
    """

    name: str
    start: Callable[[Place], Awaitable[Start]]
    work: Work = CHECK_IN
    prepare: Callable[[], Awaitable[None]] = nothing_shared
    settled: Callable[[Place], Awaitable[None]] = nothing_awaited
    check: Callable[[Place, int], Awaitable[str]] = unchecked
    finish: Callable[[Place], Awaitable[None]] = nothing_left


def peers() -> list[Contender]:
    """Other people's libraries, and the floor below them all."""
    return [
        _python("aiogram, echo", "aiogram_echo"),
        _python("aiogram, echo, webhook", "aiogram_echo", "webhook"),
        _python("python-telegram-bot, echo", "python_telegram_bot_echo"),
        _python("python-telegram-bot, echo, webhook", "python_telegram_bot_echo", "webhook"),
        _python("pyTelegramBotAPI, echo", "pytelegrambotapi_echo"),
        Contender("grammY, echo", _grammy, prepare=_node_ready),
        _python("raw aiohttp, echo", "raw_echo"),
        _python("raw aiohttp, echo, webhook", "raw_echo", "webhook"),
        _python("check-in, the usual way", "usual_checkin"),
    ]


def _python(name: str, module: str, mode: str = "polling") -> Contender:
    async def start(place: Place) -> Start:
        command = [str(installed.PYTHON), "-m", f"benchmarks.peers.{module}"]
        return Start((command,), surroundings(place) | {"BENCH_MODE": mode})

    return Contender(name, start, prepare=_python_ready)


async def _grammy(place: Place) -> Start:
    return Start((["node", str(installed.NODE / "grammy.mjs")],), surroundings(place))


def surroundings(place: Place) -> dict[str, str]:
    """The environment of a peer: ours, without what is meant for our own bot."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("BOT_")},
        "BENCH_API": place.api,
        "BENCH_TOKEN": TOKEN,
        "BENCH_PORT": str(place.port),
        "BENCH_DATABASE": str(place.folder / "usual.sqlite"),
    }


async def _python_ready() -> None:
    if (fault := await installed.python_peers(Path(sys.executable))) is not None:
        raise NotMeasured(fault)


async def _node_ready() -> None:
    if (fault := await installed.node_peers()) is not None:
        raise NotMeasured(fault)
