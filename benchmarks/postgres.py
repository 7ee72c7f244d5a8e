"""A PostgreSQL for the bots that need one, and what its processes cost."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import cost
from benchmarks.contenders import NotMeasured, Place


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
            await self.run(f"ALTER SYSTEM SET {name} = on")
        await self.run("SELECT pg_reload_conf()")
        backend = await self.ask(self.address, "SELECT pg_backend_pid()", then=cost.parent)
        if not backend:
            raise NotMeasured("the PostgreSQL at that address does not run on this machine")
        self.pid = backend

    async def create(self, place: Place) -> str:
        """An empty database for this place; its URL."""
        name = f"bench_{secrets.token_hex(6)}"
        await self.run(f"CREATE DATABASE {name}")
        self._databases[place.folder] = name
        return self.url(name)

    async def value(self, place: Place, sql: str) -> int:
        """One number out of the place's database."""
        return await self.ask(self.url(self._databases[place.folder]), sql)

    async def drop(self, place: Place) -> None:
        """Let the place's database go."""
        name = self._databases.pop(place.folder, None)
        if name is not None:
            await self.run(f"DROP DATABASE {name} WITH (FORCE)")

    def close(self) -> None:
        """Stop it, if it was started here."""
        self._opened.close()

    def url(self, name: str) -> str:
        """The URL of the database of this name."""
        return f"{self.address.rpartition('/')[0]}/{name}"

    async def run(self, sql: str, url: str = "") -> None:
        """Have something done in the database at this URL; by default in the server's own."""
        import asyncpg

        connection = await asyncpg.connect(url or self.address)
        try:
            await connection.execute(sql)
        finally:
            await connection.close()

    async def ask(self, url: str, sql: str, *, then: Callable[[int], int] = int) -> int:
        """One number; `then` is asked of it while the connection is still open."""
        import asyncpg

        connection = await asyncpg.connect(url)
        try:
            return then(await connection.fetchval(sql))
        finally:
            await connection.close()
