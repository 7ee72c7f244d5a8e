"""Large databases: filled once, kept, and put to the same work as small ones."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
import sys
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from benchmarks import ours
from benchmarks.contenders import CHECK_IN, ROOT, Contender, NotMeasured, Place, Start
from benchmarks.past import COLUMNS, Past, Row, Size
from benchmarks.postgres import Postgres
from storage import communities, database, schema
from storage.ids import Ids
from storage.moments import to_micros
from storage.sealing import Seal

KEPT = ROOT / "var" / "bench"
KEY = b64encode(hashlib.sha256(b"it guards nothing").digest()).decode()
SMALL = 1_000  # members, of the community that the large ones are compared with
EACH = 20  # interactions of a member, on average, in a year
GULP = 2**24  # bytes read at once
TAKES = 450  # bytes of disk for an interaction, while it is being filled


def contenders(members: int, postgres: Postgres | None) -> list[Contender]:
    """Check-ins in a small community, and in one of so many members; with 0, in neither.

    postgres: where to do the same a second time, if there too
    """
    shelves: list[Shelf] = [Files()]
    if postgres is not None:
        shelves.append(Tables(postgres))
    sizes = [Size(count, EACH * count) for count in sorted({SMALL, members}) if members]
    return [_contender(shelf, size) for shelf in shelves for size in sizes]


def name(members: int, also: str = "") -> str:
    """What the contender with so many members is called."""
    return f"{ours.CHECK_IN_NAME}{also}, {members:,} members"


def _contender(shelf: Shelf, size: Size) -> Contender:
    since = 0

    async def prepare() -> None:
        await shelf.prepare()
        if not await shelf.heard(size):
            await _fill(shelf, size)

    async def start(place: Place) -> Start:
        nonlocal since
        since = to_micros(datetime.now(UTC).replace(microsecond=0))
        heard = await _heard(shelf, size, 2 * place.count)
        await shelf.warm(size)
        return ours.started(
            place, shelf.url(size), seal_key=KEY, others=shelf.processes, heard=heard
        )

    async def check(_: Place, count: int) -> str:
        return ours.missing(await shelf.value(size, ours.asked(CHECK_IN, since)), count)

    work = replace(CHECK_IN, crowd=size.members)
    return Contender(name(size.members, shelf.also), start, work, prepare=prepare, check=check)


async def _heard(shelf: Shelf, size: Size, more: int) -> int:
    """How many updates it was told of before, now that it will be told of so many more.

    Nobody checks in twice a day: once everybody has been drawn, it is filled anew.
    """
    heard = await shelf.heard(size)
    if not heard or (heard > size.told + 1 and heard + more > size.told + size.members):
        await _fill(shelf, size)
        heard = await shelf.heard(size)
    await shelf.hears(size, more)
    return heard


async def _fill(shelf: Shelf, size: Size) -> None:
    """Make the database, saying how far it is."""
    began = time.perf_counter()

    def tell(told: str) -> None:
        seconds = time.perf_counter() - began
        line = f"filling a database of {size.members:,} members: {told}, {seconds:.0f} s"
        print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)

    async with shelf.made(size) as url:
        await fill(url, size, tell)


# ---------------------------------------------------------------- filling


async def fill(url: str, size: Size, tell: Tell = lambda _: None) -> None:
    """Make a database at this URL, with a community of this size and its last year in it."""
    tell("the tables")
    await schema.prepare(url)
    past = await _community(url, size)
    ink: Ink = SQLiteInk(url) if database.is_sqlite(url) else await PostgresInk.of(url)
    try:
        await _written(ink, past, tell)
    finally:
        await ink.close()


async def _community(url: str, size: Size) -> Past:
    """Make the community with its group; all ids of what is to come are reserved."""
    now, seal = datetime.now(UTC), Seal.of(KEY)
    opened = await database.opened(url, seal)
    try:
        ids = Ids(opened.writer, block=2)
        await ids.refill(2)
        community = ids.take()
        await opened.writer.settle(
            [communities.kept(id=community, name=ours.COMMUNITY, zone="UTC", language="en", at=now)]
        )
        past = Past(size, community, first=community + 2, seal=seal, now=now)
        await Ids(opened.writer, block=past.ids).refill(past.ids)
    finally:
        await opened.close()
    return past


async def _written(ink: Ink, past: Past, tell: Tell) -> None:
    indexes = await ink.indexes()
    for index, _ in indexes:
        await ink.do(f"DROP INDEX {index}")
    rows = 0
    for page in past.pages():
        for table, those in page.items():
            await ink.write(table, COLUMNS[table], those)
            rows += len(those)
        tell(f"{rows:,} rows")
    for index, made in indexes:
        tell(f"{rows:,} rows, {index}")
        await ink.do(made)
    told = past.size.told + 1
    await ink.do(f"INSERT INTO blocks (name, next_id) VALUES ('{MARK}', {told})")  # noqa: S608


MARK = "benchmark"  # among the blocks: how many updates the database has been told of, and one


class Tell(Protocol):
    """Says how far it is."""

    def __call__(self, told: str, /) -> None: ...


class Ink(Protocol):
    """Writes rows, fast, into a database that nobody else uses meanwhile."""

    async def indexes(self) -> list[tuple[str, str]]:
        """Those that can be made when everything is there: their names, and how they are made."""

    async def write(self, table: str, columns: tuple[str, ...], rows: Iterable[Row]) -> None:
        """Write rows of these columns."""

    async def do(self, sql: str) -> None:
        """Do this."""

    async def close(self) -> None:
        """All is written."""


class SQLiteInk:
    """Into a file that is thrown away if anything goes wrong."""

    def __init__(self, url: str) -> None:
        self._connection = sqlite3.connect(database.sqlite_path(url), isolation_level=None)
        for one in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -500000"):
            self._connection.execute(f"PRAGMA {one}")
        self._connection.execute("PRAGMA threads = 2")
        self._connection.execute("BEGIN")

    async def indexes(self) -> list[tuple[str, str]]:
        asked = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql <> ''"
        return [(name, made) for name, made in self._connection.execute(asked)]

    async def write(self, table: str, columns: tuple[str, ...], rows: Iterable[Row]) -> None:
        blanks = ", ".join("?" * len(columns))
        self._connection.executemany(
            f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({blanks})",  # noqa: S608
            rows,
        )

    async def do(self, sql: str) -> None:
        self._connection.execute(sql)

    async def close(self) -> None:
        self._connection.execute("COMMIT")
        self._connection.close()


class PostgresInk:
    """By COPY."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    @classmethod
    async def of(cls, url: str) -> PostgresInk:
        """Connected to this database."""
        import asyncpg

        return cls(await asyncpg.connect(url))

    async def indexes(self) -> list[tuple[str, str]]:
        asked = """
            SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
            AND NOT EXISTS (SELECT 1 FROM pg_constraint WHERE conname = indexname)
        """
        return [tuple(row) for row in await self._connection.fetch(asked)]

    async def write(self, table: str, columns: tuple[str, ...], rows: Iterable[Row]) -> None:
        await self._connection.copy_records_to_table(table, records=rows, columns=columns)

    async def do(self, sql: str) -> None:
        await self._connection.execute(sql)

    async def close(self) -> None:
        await self._connection.execute("VACUUM ANALYZE")
        await self._connection.close()


# ---------------------------------------------------------------- where they are kept


class Shelf(Protocol):
    """Keeps databases from one run to the next."""

    also: str  # of the contenders' names

    @property
    def processes(self) -> tuple[int, ...]:
        """Those that work for them."""

    async def prepare(self) -> None:
        """Raises `NotMeasured` if they cannot be kept."""

    def made(self, size: Size) -> Any:
        """Gives the URL of a new one, which is there for good if nothing goes wrong."""

    def url(self, size: Size) -> str:
        """Where it is."""

    async def heard(self, size: Size) -> int:
        """How many updates it was told of; 0 if it is not there."""

    async def hears(self, size: Size, more: int) -> None:
        """It will be told of so many more."""

    async def value(self, size: Size, sql: str) -> int:
        """One number out of it."""

    async def warm(self, size: Size) -> None:
        """Have the system keep in memory as much of it as it can."""


HEARD = f"SELECT next_id FROM blocks WHERE name = '{MARK}'"  # noqa: S608
HEARS = f"UPDATE blocks SET next_id = next_id + {{more}} WHERE name = '{MARK}'"  # noqa: S608


class Files:
    """SQLite files."""

    also = ""
    processes: tuple[int, ...] = ()

    async def prepare(self) -> None:
        KEPT.mkdir(parents=True, exist_ok=True)

    @asynccontextmanager
    async def made(self, size: Size) -> AsyncIterator[str]:
        file = self._file(size)
        part = file.with_name(f"part-{file.name}")
        for old in KEPT.glob(f"*{_title(size, of='*')}.sqlite*"):
            old.unlink()
        room, takes = shutil.disk_usage(KEPT).free, TAKES * size.interactions
        if room < takes:
            raise NotMeasured(
                f"it takes {takes / 1e9:.1f} GB of disk, and {room / 1e9:.1f} are free"
            )
        yield f"sqlite:///{part}"
        part.rename(file)

    def url(self, size: Size) -> str:
        return f"sqlite:///{self._file(size)}"

    async def heard(self, size: Size) -> int:
        return await self.value(size, HEARD) if self._file(size).exists() else 0

    async def hears(self, size: Size, more: int) -> None:
        with closing(sqlite3.connect(self._file(size))) as connection, connection:
            connection.execute(HEARS.format(more=more))

    async def value(self, size: Size, sql: str) -> int:
        return ours.kept_on_disk(self._file(size), sql)

    async def warm(self, size: Size) -> None:
        with self._file(size).open("rb", buffering=0) as file:
            while file.read(GULP):
                pass

    def _file(self, size: Size) -> Path:
        return KEPT / f"{_title(size)}.sqlite"


class Tables:
    """Databases of a PostgreSQL server; of one that was started here, as long as it runs."""

    also = ", PostgreSQL"

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    @property
    def processes(self) -> tuple[int, ...]:
        return (self._postgres.pid,)

    async def prepare(self) -> None:
        await self._postgres.prepare()

    @asynccontextmanager
    async def made(self, size: Size) -> AsyncIterator[str]:
        part = f"part_{_title(size)}"
        for old in (part, _title(size)):
            await self._postgres.run(f"DROP DATABASE IF EXISTS {old} WITH (FORCE)")
        await self._postgres.run(f"CREATE DATABASE {part}")
        yield self._postgres.url(part)
        await self._postgres.run(f"ALTER DATABASE {part} RENAME TO {_title(size)}")

    def url(self, size: Size) -> str:
        return self._postgres.url(_title(size))

    async def heard(self, size: Size) -> int:
        there = f"SELECT count(*) FROM pg_database WHERE datname = '{_title(size)}'"  # noqa: S608
        if not await self._postgres.ask(self._postgres.address, there):
            return 0
        return await self.value(size, HEARD)

    async def hears(self, size: Size, more: int) -> None:
        await self._postgres.run(HEARS.format(more=more), self.url(size))

    async def value(self, size: Size, sql: str) -> int:
        return await self._postgres.ask(self.url(size), sql)

    async def warm(self, size: Size) -> None:
        """Whatever the server has read it keeps."""


def _title(size: Size, of: str = "") -> str:
    """Its name; `of` stands for what makes its tables, and how they are filled, those of today."""
    return f"filled_{size.members}_{size.interactions}_{of or _digest()}"


def _digest() -> str:
    files = sorted((schema.MIGRATIONS / "versions").glob("*.py"))
    files.append(Path(__file__).with_name("past.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:8]
