"""Being the only one: at most one running bot a database, whatever host it runs on."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import Protocol

from storage.database import is_sqlite, sqlite_path

LOCK = 0x1_2211  # any number, the same for every bot of ours on one PostgreSQL database


class Taken(Exception):
    """Another process is running the bot on this database."""


class Hold(Protocol):
    """Kept for as long as the bot runs."""

    async def release(self) -> None:
        """Let the next one in."""


async def hold(url: str) -> Hold:
    """Become the one bot on this database.  Raises `Taken` if another is."""
    if is_sqlite(url):
        return FileHold(sqlite_path(url))
    import asyncpg

    connection = await asyncpg.connect(url)
    if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK):
        await connection.close()
        raise Taken("another process is running the bot on this database; stop it first")
    return ServerHold(connection)


class FileHold:
    """A lock on a file beside the database, which the system drops when the process ends."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = Path(f"{path}.lock").open("w")  # noqa: SIM115 - open for as long as it is held
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise Taken(f"another process is running the bot on {path}; stop it first") from error

    async def release(self) -> None:
        self._file.close()


class ServerHold:
    """An advisory lock, which PostgreSQL drops when the connection ends."""

    def __init__(self, connection: object) -> None:
        self._connection = connection

    async def release(self) -> None:
        await self._connection.close()  # type: ignore[attr-defined]
