"""An unhurried reader: long questions are asked aside, so that no turn waits for the answer."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from storage.database import Database, is_sqlite, sqlite_path
from storage.writer import Reader, Row

T = TypeVar("T")

BUSY_SECONDS = 10.0


@asynccontextmanager
async def unhurried(database: Database) -> AsyncIterator[Reader]:
    """A reader for reports, for as long as the block lasts.

    PostgreSQL thinks in processes of its own, so its reader serves for this as well.
    """
    if not is_sqlite(database.url):
        yield database.reader
        return
    reader = UnhurriedReader(sqlite_path(database.url), database.reader)
    try:
        yield reader
    finally:
        await reader.close()


class UnhurriedReader:
    """Reads an SQLite file on a thread of its own, one question after the other."""

    def __init__(self, path: Path, other: Reader) -> None:
        """other: whose keys open what is sealed"""
        address = f"{path.absolute().as_uri()}?mode=ro"
        self._connection = sqlite3.connect(
            address, uri=True, check_same_thread=False, timeout=BUSY_SECONDS
        )
        self._connection.row_factory = sqlite3.Row
        self._thread = ThreadPoolExecutor(1, "unhurried")
        self.open = other.open

    async def rows(self, sql: str, **values: Any) -> Sequence[Row]:
        return await self._aside(lambda: self._connection.execute(sql, values).fetchall())

    async def row(self, sql: str, **values: Any) -> Row | None:
        found: Row | None = await self._aside(
            lambda: self._connection.execute(sql, values).fetchone()
        )
        return found

    async def value(self, sql: str, **values: Any) -> Any:
        found = await self._aside(lambda: self._connection.execute(sql, values).fetchone())
        return None if found is None else found[0]

    async def close(self) -> None:
        """Let go of the file, once what was asked has been answered."""
        await self._aside(self._connection.close)
        self._thread.shutdown()

    async def _aside(self, ask: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, ask)
