"""PostgreSQL: a pool to read on, and one connection on which turns are committed together."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import asyncpg
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_exponential

from storage.sealing import Seal, Sealed
from storage.writer import Change, Closed, Miss, Outcome, Row, Unavailable, unexpected

BATCH = 256
READERS = 8
RECONNECT_SECONDS = 30.0

Job = tuple[Sequence[Change], "asyncio.Future[list[Outcome]]"]

# What is wrong with one turn, and must not take its neighbours with it.
TURNS_OWN = (
    Miss, asyncpg.IntegrityConstraintViolationError, asyncpg.DataError,
    asyncpg.SyntaxOrAccessError, TypeError, ValueError, KeyError, AttributeError, OverflowError,
)  # fmt: skip
GONE = (OSError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError)


class PostgresReader:
    """Reads on a pool; statements are prepared once a connection.  Raises `Unavailable`."""

    def __init__(self, pool: asyncpg.Pool, seal: Seal) -> None:
        self._pool = pool
        self.open = seal.open

    async def rows(self, sql: str, **values: Any) -> Sequence[Row]:
        statement, names = numbered(sql)
        with reached():
            found: Sequence[Row] = await self._pool.fetch(
                statement, *(values[name] for name in names)
            )
        return found

    async def row(self, sql: str, **values: Any) -> Row | None:
        statement, names = numbered(sql)
        with reached():
            found: Row | None = await self._pool.fetchrow(
                statement, *(values[name] for name in names)
            )
        return found

    async def value(self, sql: str, **values: Any) -> Any:
        statement, names = numbered(sql)
        with reached():
            return await self._pool.fetchval(statement, *(values[name] for name in names))

    async def close(self) -> None:
        await self._pool.close()


@contextmanager
def reached() -> Iterator[None]:
    """Whatever means that the server is away is no fault of who asks."""
    try:
        yield
    except (*GONE, asyncpg.OperatorInterventionError, asyncpg.InsufficientResourcesError) as error:
        raise Unavailable(str(error)) from error


class PostgresWriter:
    """Commits whatever is waiting in one transaction; if one turn misses, each goes on its own.

    Misses are rare, so a batch first runs without savepoints, which would cost
    two round trips a turn.
    """

    def __init__(self, url: str, seal: Seal) -> None:
        self._url = url
        self._seal = seal
        self._jobs: asyncio.Queue[Job | None] = asyncio.Queue()
        self._closed = False
        self._connection: asyncpg.Connection | None = None
        self._task = asyncio.ensure_future(self._work())  # noqa: TID251 - awaited in `close`

    async def settle(self, changes: Sequence[Change]) -> list[Outcome]:
        if self._closed:
            raise Closed
        done: asyncio.Future[list[Outcome]] = asyncio.get_running_loop().create_future()
        self._jobs.put_nowait((changes, done))
        return await done

    async def close(self) -> None:
        """Finish what was given, then stop."""
        if not self._closed:
            self._closed = True
            self._jobs.put_nowait(None)
            await self._task
            if self._connection is not None:
                await self._connection.close()

    async def _work(self) -> None:
        while (job := await self._jobs.get()) is not None:
            batch, last = self._drain(job)
            _resolve(batch, await self._commit(batch))
            if last:
                return

    def _drain(self, first: Job) -> tuple[list[Job], bool]:
        batch = [first]
        while len(batch) < BATCH and not self._jobs.empty():
            job = self._jobs.get_nowait()
            if job is None:
                return batch, True
            batch.append(job)
        return batch, False

    async def _commit(self, batch: list[Job]) -> list[list[Outcome] | Exception]:
        """What came of each turn; never raises, for then nobody would ever be answered again."""
        try:
            connection = await self._connected()
            try:
                async with connection.transaction():
                    return [await self._apply_all(connection, changes) for changes, _ in batch]
            except TURNS_OWN:
                async with connection.transaction():
                    return [await self._keep(connection, changes) for changes, _ in batch]
        except Exception as error:
            # A server that is away, or anything else that is no turn's own fault.
            await self._hang_up()
            return [Unavailable(f"{type(error).__name__}: {error}") for _ in batch]

    async def _keep(
        self, connection: asyncpg.Connection, changes: Sequence[Change]
    ) -> list[Outcome] | Exception:
        """Apply one turn's changes under a savepoint; a fault undoes them and nothing else."""
        try:
            async with connection.transaction():
                return await self._apply_all(connection, changes)
        except asyncpg.IntegrityConstraintViolationError as error:
            return Miss(str(error))
        except TURNS_OWN as error:
            return error

    async def _apply_all(
        self, connection: asyncpg.Connection, changes: Sequence[Change]
    ) -> list[Outcome]:
        return [await self._apply(connection, change) for change in changes]

    async def _apply(self, connection: asyncpg.Connection, change: Change) -> Outcome:
        statement, names = numbered(change.sql)
        values = [self._ready(change.values[name]) for name in names]
        if "RETURNING" in statement:
            outcome: Outcome = await connection.fetch(statement, *values)
        else:
            outcome = touched(await connection.execute(statement, *values))
        if unexpected(change, outcome):
            raise Miss(change.sql)
        return outcome

    def _ready(self, value: Any) -> Any:
        return self._seal.seal(value) if isinstance(value, Sealed) else value

    async def _connected(self) -> asyncpg.Connection:
        if self._connection is None or self._connection.is_closed():
            self._connection = await connect(self._url)
        return self._connection

    async def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None


async def connect(url: str) -> asyncpg.Connection:
    """A connection, tried again for half a minute while the server is away."""
    async for attempt in AsyncRetrying(
        retry=retry_if_exception_type((OSError, asyncpg.CannotConnectNowError)),
        wait=wait_exponential(multiplier=0.1, max=5),
        stop=stop_after_delay(RECONNECT_SECONDS),
        reraise=True,
    ):
        with attempt:
            connection: asyncpg.Connection = await asyncpg.connect(url)
    return connection


async def pool(url: str) -> asyncpg.Pool:
    """The readers' connections, tried again for half a minute while the server is away."""
    (await connect(url)).terminate()
    return await asyncpg.create_pool(url, min_size=1, max_size=READERS)


@lru_cache(maxsize=2048)
def numbered(sql: str) -> tuple[str, tuple[str, ...]]:
    """The statement with `$1` for `:name`, and the names in the order of their numbers.

    >>> numbered("SELECT a FROM t WHERE b = :b AND c > :c AND d <> :b")
    ('SELECT a FROM t WHERE b = $1 AND c > $2 AND d <> $1', ('b', 'c'))
    """
    names: list[str] = []

    def number(found: re.Match[str]) -> str:
        name = found.group(1)
        if name not in names:
            names.append(name)
        return f"${names.index(name) + 1}"

    return re.sub(r"(?<!:):([a-z_]+)", number, sql), tuple(names)


def touched(tag: str) -> int:
    """How many rows a command's tag, such as "UPDATE 3", says it touched.

    >>> touched("INSERT 0 1"), touched("BEGIN")
    (1, 0)
    """
    last = tag.rpartition(" ")[2]
    return int(last) if last.isdigit() else 0


def _resolve(batch: list[Job], results: Sequence[list[Outcome] | Exception]) -> None:
    for (_, done), result in zip(batch, results, strict=True):
        if done.done():
            continue  # whoever asked has been cancelled; what was kept is kept
        if isinstance(result, Exception):
            done.set_exception(result)
        else:
            done.set_result(result)
