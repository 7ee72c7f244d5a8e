"""The database behind its URL: opened, brought to the schema of this program, closed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from storage.sealing import Seal
from storage.writer import Reader, Writer


class BadURL(ValueError):
    """A database URL that names no database we know."""


@dataclass(frozen=True, slots=True)
class Database:
    """An open database: questions go to `reader`, changes to `writer`."""

    url: str
    reader: Reader
    writer: Writer

    async def close(self) -> None:
        """Finish what was given to the writer, then let go of the database."""
        await self.writer.close()
        await self.reader.close()


async def opened(url: str, seal: Seal) -> Database:
    """The database at this URL: sqlite:///path or postgresql://user:password@host/name."""
    if is_sqlite(url):
        from storage.sqlite import SQLiteReader, SQLiteWriter

        path = sqlite_path(url)
        path.parent.mkdir(parents=True, exist_ok=True)
        return Database(url, SQLiteReader(path, seal), SQLiteWriter(path, seal))
    from storage.postgres import PostgresReader, PostgresWriter, pool

    return Database(url, PostgresReader(await pool(url), seal), PostgresWriter(url, seal))


async def opens(database: Database) -> None:
    """See that what was sealed before opens with our keys.  Raises `Unsealable` if not."""
    row = await database.reader.row(
        "SELECT id, name FROM members WHERE name IS NOT NULL ORDER BY id DESC LIMIT 1"
    )
    if row is not None:
        database.reader.open("members", "name", row["id"], row["name"])


def is_sqlite(url: str) -> bool:
    """Whether the URL names an SQLite file.  Raises `BadURL` if it names nothing we know."""
    scheme = urlsplit(url).scheme
    if scheme == "sqlite":
        return True
    if scheme in ("postgresql", "postgres"):
        return False
    raise BadURL("a database URL begins with sqlite:/// or postgresql://")


def sqlite_path(url: str) -> Path:
    """The file an SQLite URL names: three slashes are relative, four absolute."""
    path = url.removeprefix("sqlite:///")
    if path in ("", url, ":memory:"):
        raise BadURL("an SQLite URL names a file, such as sqlite:///var/innkeeper.sqlite")
    return Path(path)
