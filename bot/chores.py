"""Chores: commands that look at the house or its database while nobody has to be at home."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

from bot import config, setaside
from bot.config import Config
from bot.setaside import Tried
from handlers import discovered
from handlers.router import Switchboard
from storage import database, schema
from storage import quarantine as held
from storage.database import Database


def migrate(file: Path, *, to: str, check: bool) -> int:
    """Bring the database to a schema, or compare tables.py with a fresh one."""
    if check:
        return _compare()
    found = config.read(file, discovered())
    url = found.storage.url
    before = asyncio.run(schema.found(url))
    if to == "base" or (to != "head" and before is not None and to < before):
        schema.downgrade(url, to)
    else:
        schema.upgrade(url, to)
    after = asyncio.run(schema.found(url))
    _tell(f"schema {before or 'none'} → {after or 'none'}")
    return 0


def capabilities() -> int:
    """Print each capability with its triggers and the acts it asks of a channel."""
    board = Switchboard.of(discovered())
    for router in board.routers:
        commands = " ".join(f"/{one.name}" for one in router.commands)
        daily = " ".join(f"daily:{one.at}" for one in router.dailies)
        heard = " ".join(sorted({f"hears:{kind.value}" for kind, _ in router.watchers}))
        facts = " ".join(sorted({f"on:{fact.value}" for fact, _ in router.listeners}))
        gate = "gate" if router.gates else ""
        told = " ".join(filter(None, (commands, daily, heard, facts, gate)))
        _tell(f"{router.name:14} {told}")
    _tell(f"\n{board.triggers} triggers")
    for name, lacking in _lacking().items():
        _tell(f"{name} cannot: {', '.join(lacking) or 'nothing; it can do every act'}")
    return 0


def timetable(file: Path) -> int:
    """Print today's recurring doings per community, in its own time."""
    routers = discovered()
    found = config.read(file, routers)
    board = Switchboard.of(routers)
    for section in found.communities:
        zone = ZoneInfo(section.zone)
        today = datetime.now(UTC).astimezone(zone).date()  # noqa: TID251 - the edge
        _tell(f"{section.name} ({section.zone}, {today.isoformat()}; members in their own zone)")
        times = sorted(
            (
                getattr(found.book.of(_shape(board, daily.topic), section.name), daily.at),
                daily.name,
                daily.among,
            )
            for daily in board.dailies
        )
        for at, name, among in times:
            _tell(f"  {at:%H:%M}  {name}  ({among})")
    if not found.communities:
        _tell(
            f"{file.name} names no community; those made in chat have every capability's defaults"
        )
    return 0


def quarantine(file: Path, *, whole: bool, retry: int | None, drop: int | None) -> int:
    """Print what was set aside, latest first; or give one of them another try, or delete it."""
    found = config.read(file, discovered())
    found.require_key()
    if retry is not None:
        return asyncio.run(with_database(found, partial(_retried, number=retry)))
    if drop is not None:
        return asyncio.run(with_database(found, partial(_dropped, number=drop)))
    return asyncio.run(with_database(found, partial(_shown, whole=whole)))


async def with_database(found: Config, do: Callable[[Database], Awaitable[int]]) -> int:
    """Do it with the database open."""
    opened = await database.opened(found.storage.url, found.seal)
    try:
        return await do(opened)
    finally:
        await opened.close()


async def _shown(opened: Database, *, whole: bool) -> int:
    rows = await held.held(opened.reader)
    for one in rows:
        _tell(f"{one.id}  {one.at:%Y-%m-%d %H:%M} UTC  {one.channel}  {one.reason}")
        if whole:
            _tell(f"    {one.payload}")
    _tell(f"{len(rows)} set aside; of each: --retry NUMBER or --drop NUMBER")
    return 0


async def _retried(opened: Database, *, number: int) -> int:
    match await setaside.retry(opened, number):
        case Tried.WAITS:
            _tell(f"{number} waits for another try")
            return 0
        case Tried.GONE:
            _tell(f"there is nothing set aside under number {number}")
        case Tried.UNREADABLE:
            _tell(f"{number} is no event or letter that could be read: it can only be dropped")
    return 1


async def _dropped(opened: Database, *, number: int) -> int:
    if not await setaside.drop(opened, number):
        _tell(f"there is nothing set aside under number {number}")
        return 1
    _tell(f"{number} is gone")
    return 0


def _compare() -> int:
    """Whether migrations lead to exactly what tables.py says, on a throw-away database."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/compare.sqlite"
        schema.upgrade(url)
        schema.differences(url)
        schema.downgrade(url, "base")
    _tell("migrations and tables.py agree")
    return 0


def _shape(board: Switchboard, topic: str) -> type:
    return next(one.shape for one in board.routers if one.name == topic)


def _lacking() -> dict[str, list[str]]:
    """What each channel is not able to do."""
    from bot.channels import Ability
    from bot.channels.telegram import Telegram
    from bot.channels.web import WebChannel
    from bot.clock import SystemClock

    able = {
        "telegram": Telegram.abilities,
        "web": WebChannel("", SystemClock()).abilities,
    }
    return {name: sorted(set(Ability) - abilities) for name, abilities in able.items()}


def _tell(line: str) -> None:
    print(line)  # noqa: T201 - a chore says what it found by printing it
