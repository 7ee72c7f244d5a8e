"""Our own bot, as operators run it: `python -m bot run`, on each database, each way in."""

from __future__ import annotations

import os
import secrets
import sqlite3
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks import cost, talk
from benchmarks.contenders import (
    CHATTER,
    CHECK_IN,
    TOKEN,
    Contender,
    NotMeasured,
    Place,
    Start,
    Work,
)
from storage.sealing import fresh_key

CONFIG = """
[telegram]
api = "{api}"
mode = "{mode}"
webhook_url = "http://127.0.0.1:{port}/hooks/telegram"
per_second = 1000000.0  # the platform's limit is not what is measured

[web]
port = {port}

[checkin]
remind_at = {remind_at}  # not during the round

[[community]]
name = "Harbour Tea"
telegram.chats = [{group}]
"""

# What must have been kept of each work, if so many updates were told of.
KEPT = {
    "checkin": "SELECT count(*) FROM facts WHERE name = 'checked_in'",
    "chatter": "SELECT count(*) FROM interactions WHERE direction = 'in' AND kind = 'said'",
}


def contenders(postgres: Postgres, rate: float) -> list[Contender]:
    """Our bot with every work it is measured at.

    rate: updates a second, where it is measured how long an answer takes
    """
    steady = replace(CHECK_IN, rate=rate)
    return [
        _on_sqlite("ours, check-in", CHECK_IN),
        _on_sqlite("ours, check-in, webhook", CHECK_IN, "webhook"),
        _on_sqlite("ours, group chatter", CHATTER),
        _on_sqlite(f"ours, check-in, {rate:g} a second", steady),
        _on_postgres("ours, check-in, PostgreSQL", CHECK_IN, postgres),
        _on_postgres("ours, group chatter, PostgreSQL", CHATTER, postgres),
    ]


def _on_sqlite(name: str, work: Work, mode: str = "polling") -> Contender:
    async def start(place: Place) -> Start:
        return Start(_command(place), _surroundings(place, f"sqlite:///{_file(place)}", mode))

    async def check(place: Place, count: int) -> str:
        with sqlite3.connect(_file(place)) as connection:
            return _missing(connection.execute(KEPT[work.name]).fetchone()[0], count)

    return Contender(name, start, work, check=check)


def _on_postgres(name: str, work: Work, postgres: Postgres) -> Contender:
    async def start(place: Place) -> Start:
        url = await postgres.create(place)
        return Start(_command(place), _surroundings(place, url, "polling"), (postgres.pid,))

    async def check(place: Place, count: int) -> str:
        return _missing(await postgres.value(place, KEPT[work.name]), count)

    return Contender(name, start, work, prepare=postgres.prepare, check=check, finish=postgres.drop)


def _command(place: Place) -> list[str]:
    return [sys.executable, "-m", "bot", "run", "--config", str(place.folder / "config.toml")]


def _surroundings(place: Place, url: str, mode: str) -> dict[str, str]:
    later = (datetime.now(UTC) + timedelta(hours=6)).strftime("%H:%M:%S")
    config = CONFIG.format(
        api=place.api, mode=mode, port=place.port, group=talk.GROUP, remind_at=later
    )
    (place.folder / "config.toml").write_text(config, "utf-8")
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("BOT_")},
        "BOT_TELEGRAM__TOKEN": TOKEN,
        "BOT_TELEGRAM__WEBHOOK_SECRET": "only-telegram-knows",
        "BOT_STORAGE__URL": url,
        "BOT_STORAGE__SEAL_KEY": fresh_key(),
    }


def _file(place: Place) -> Path:
    return place.folder / "bench.sqlite"


def _missing(found: int, count: int) -> str:
    return "" if found == count else f"{found} of {count} were kept"


@dataclass
class Postgres:
    """A PostgreSQL for all rounds, with a database for each; its processes are counted as ours.

    Its settings are a durable server's.  Without an address of somebody's own it is the one that
    the tests start, whose data lies in memory: its CPU is measured then, and no disk.
    """

    address: str = ""
    pid: int = 0
    _databases: dict[Path, str] = field(default_factory=dict)
    _opened: ExitStack = field(default_factory=ExitStack)

    async def prepare(self) -> None:
        """Start it, or find the one whose address was given.  Raises `NotMeasured`."""
        if self.pid:
            return
        if not self.address:
            self.address = self._started()
        try:
            await self._find()
        except OSError as error:
            raise NotMeasured(f"PostgreSQL cannot be reached: {error}") from error

    def _started(self) -> str:
        try:
            from tests import postgres
        except ImportError as error:
            raise NotMeasured(f"no PostgreSQL: {error}; install '.[test]'") from error
        try:
            return self._opened.enter_context(postgres.running()).address
        except (RuntimeError, OSError) as error:
            raise NotMeasured(f"PostgreSQL does not start: {error}") from error

    async def _find(self) -> None:
        """Make its settings those of a server that loses nothing, and find its first process."""
        for name in ("fsync", "full_page_writes", "synchronous_commit", "autovacuum"):
            await self._run(f"ALTER SYSTEM SET {name} = on")
        await self._run("SELECT pg_reload_conf()")
        backend = await self._ask(self.address, "SELECT pg_backend_pid()", then=cost.parent)
        if not backend:
            raise NotMeasured("the PostgreSQL at that address does not run on this machine")
        self.pid = backend

    async def create(self, place: Place) -> str:
        """An empty database for this place; its URL."""
        name = f"bench_{secrets.token_hex(6)}"
        await self._run(f"CREATE DATABASE {name}")
        self._databases[place.folder] = name
        return self._url(name)

    async def value(self, place: Place, sql: str) -> int:
        """One number out of the place's database."""
        return await self._ask(self._url(self._databases[place.folder]), sql)

    async def drop(self, place: Place) -> None:
        """Let the place's database go."""
        name = self._databases.pop(place.folder, None)
        if name is not None:
            await self._run(f"DROP DATABASE {name} WITH (FORCE)")

    def close(self) -> None:
        """Stop it, if it was started here."""
        self._opened.close()

    def _url(self, name: str) -> str:
        return f"{self.address.rpartition('/')[0]}/{name}"

    async def _run(self, sql: str) -> None:
        import asyncpg

        connection = await asyncpg.connect(self.address)
        try:
            await connection.execute(sql)
        finally:
            await connection.close()

    async def _ask(self, url: str, sql: str, *, then: Callable[[int], int] = int) -> int:
        """One number; `then` is asked of it while the connection is still open."""
        import asyncpg

        connection = await asyncpg.connect(url)
        try:
            return then(await connection.fetchval(sql))
        finally:
            await connection.close()
