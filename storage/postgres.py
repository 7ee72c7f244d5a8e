"""PostgreSQL: a pool to read on, and one connection on which turns are committed together."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable, Sequence
from typing import Any

import asyncpg

from storage.batches import Many, Name, columns, numbered, single, waves
from storage.health import Health
from storage.postgres_reader import PostgresReader, connect, pool, reached, types
from storage.sealing import Seal, Sealed
from storage.writer import (
    DIRECTORY,
    UNKNOWN,
    Change,
    Closed,
    Job,
    Miss,
    Outcome,
    Unavailable,
    unexpected,
)

__all__ = ["BELL", "PostgresReader", "PostgresWriter", "connect", "pool", "reached"]

BATCH = 256
BELL = "innkeeper"  # the NOTIFY channel on which processes wake each other
NOTIFY_BYTES = 7900  # PostgreSQL's limit for what one NOTIFY says is 8000
CROSSINGS = 5  # times that a batch gets in another process's way before it is made smaller
CROSSING_PAUSE = 20  # milliseconds, times how often it has happened, at the most

# What is wrong with one turn, and must not take its neighbours with it.
TURNS_OWN = (
    Miss, asyncpg.IntegrityConstraintViolationError, asyncpg.CardinalityViolationError,
    asyncpg.DataError, asyncpg.SyntaxOrAccessError, asyncpg.ProgramLimitExceededError,
    TypeError, ValueError, KeyError, AttributeError, OverflowError,
)  # fmt: skip
# Two processes want the same rows, and one of them is to begin again.  The server looks for
# deadlocks after a second only, in which nothing would be kept: hence our own patience.
CROSSED = (
    asyncpg.DeadlockDetectedError, asyncpg.SerializationError, asyncpg.LockNotAvailableError,
)  # fmt: skip
PATIENCE = "SET lock_timeout = '200ms'"

UNIQUE = """
    SELECT array_agg(a.attname::text) AS columns
    FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
    WHERE i.indrelid = $1::text::regclass AND i.indisunique
      AND i.indpred IS NULL AND i.indexprs IS NULL
    GROUP BY i.indexrelid
"""


class PostgresWriter:
    """Keeps whatever is waiting in one transaction; if one turn has a fault, in two halves each.

    Turns whose statements are the same are applied together, a statement at a time
    for all of them, as a round trip costs more than what it does: see `_applied`.
    """

    def __init__(self, url: str, seal: Seal) -> None:
        self._url = url
        self._seal = seal
        self._jobs: asyncio.Queue[Job | None] = asyncio.Queue()
        self._closed = False
        self._many: dict[str, Many | None] = {}
        self.health = Health()
        self._connection: asyncpg.Connection | None = None
        self.rings = False
        self._task = asyncio.ensure_future(self._work())  # noqa: TID251 - awaited in `close`

    async def settle(self, changes: Sequence[Change]) -> list[Outcome]:
        if self._closed:
            raise Closed
        done: asyncio.Future[list[Outcome]] = asyncio.get_running_loop().create_future()
        self._jobs.put_nowait(Job(changes, done))
        return await done

    async def close(self) -> None:
        """Finish what was given, then stop."""
        if not self._closed:
            self._closed = True
            self._jobs.put_nowait(None)
            await self._task
            if self._connection is not None:
                await self._connection.close()

    @property
    def pid(self) -> int:
        """The server's number of the connection it writes on; 0 while there is none."""
        return 0 if self._connection is None else self._connection.get_server_pid()

    # ---------------------------------------------------------------- committing

    async def _work(self) -> None:
        while (job := await self._jobs.get()) is not None:
            batch, last = self._drain(job)
            await self._commit(batch)
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

    async def _commit(self, batch: list[Job]) -> None:
        """Keep these turns and tell who waits; never raises, or nobody would be told any more."""
        self.health.begun()
        try:
            outcomes = await self._kept(batch)
        except (*TURNS_OWN, *CROSSED) as error:
            if len(batch) > 1:
                # Whose fault it is, and that the others have none, is seen in ever smaller halves.
                await self._commit(batch[: len(batch) // 2])
                await self._commit(batch[len(batch) // 2 :])
                return
            broken = isinstance(error, asyncpg.IntegrityConstraintViolationError)
            batch[0].tell(Miss(str(error)) if broken else error)
        except Exception as error:
            # A server that is away, or anything else that is no turn's own fault.
            reason = f"{type(error).__name__}: {error}"
            self.health.failed(type(error).__name__)  # the rest may say where the server is
            self._hang_up()
            for job in batch:
                job.tell(Unavailable(reason))
            return
        else:
            for job, outcome in outcomes.items():
                job.tell(outcome)
        self.health.kept()

    async def _kept(self, batch: list[Job]) -> dict[Job, list[Outcome]]:
        """Keep these turns in one transaction, begun again while another process is in the way."""
        crossings = 0
        while True:
            connection = await self._connected()
            try:
                async with connection.transaction():
                    await self._wake(connection, batch)
                    return await self._applied(connection, batch)
            except CROSSED:
                crossings += 1
                if crossings == CROSSINGS and len(batch) > 1:
                    raise
            await asyncio.sleep(secrets.randbelow(CROSSING_PAUSE * crossings) / 1000)

    async def _wake(self, connection: asyncpg.Connection, batch: list[Job]) -> None:
        """Tell the others what this batch wakes, as words with a space between, at its commit."""
        if self.rings:
            changes = [change for job in batch for change in job.changes]
            words = {one.wakes for one in changes if one.wakes}
            words |= {DIRECTORY for one in changes if one.shared}
            for said in spoken(sorted(words)):
                await connection.execute("SELECT pg_notify($1, $2)", BELL, said)

    # ---------------------------------------------------------------- applying

    async def _applied(
        self, connection: asyncpg.Connection, batch: list[Job]
    ) -> dict[Job, list[Outcome]]:
        """Apply the turns: of each shape together where that comes to the same, else in turn.

        It comes to the same as applying one turn after the other in some order, because
        turns are applied together only if no two of them touch the same row: `waves`
        parts those that do.  That can be known where every statement touches one row at
        the most, named by a unique key in its values, and looks at no other: see `single`.
        That a row which one turn names by its id is the one that another names by another
        key is not seen: nothing of ours puts a row under a key that another turn gives up.
        """
        shapes: dict[tuple[str, ...], list[Job]] = {}
        for job in batch:
            shapes.setdefault(tuple([change.sql for change in job.changes]), []).append(job)
        outcomes: dict[Job, list[Outcome]] = {}
        for shape, jobs in shapes.items():
            many = await self._for_many(connection, shape) if len(jobs) > 1 else None
            for wave in _waves(jobs, many):
                if many is None or len(wave) == 1:
                    outcomes |= {job: await self._one(connection, job.changes) for job in wave}
                else:
                    outcome = await self._together(connection, many, wave)
                    outcomes |= dict.fromkeys(wave, outcome)
        return outcomes

    async def _one(
        self, connection: asyncpg.Connection, changes: Sequence[Change]
    ) -> list[Outcome]:
        return [await self._apply(connection, change) for change in changes]

    async def _apply(self, connection: asyncpg.Connection, change: Change) -> Outcome:
        statement, names = numbered(change.sql)
        values = self._ready([change.values[name] for name in names])
        if "RETURNING" in statement:
            outcome: Outcome = await connection.fetch(statement, *values)
        else:
            outcome = touched(await connection.execute(statement, *values))
        if unexpected(change, outcome):
            raise Miss(change.sql)
        return outcome

    async def _together(
        self, connection: asyncpg.Connection, many: list[Many], wave: list[Job]
    ) -> list[Outcome]:
        """Apply the turns of a wave, a statement at a time; the outcome is the same for each.

        As each touches one row at the most, all have touched theirs if as many rows were
        touched as there are turns.  If fewer were, nobody knows whose is missing: where
        one of them rests on it, that is a miss, and seen again in smaller halves.
        """
        outcomes: list[Outcome] = []
        for position, one in enumerate(many):
            changes = [job.changes[position] for job in wave]
            values = [
                self._ready(column) for column in columns([c.values for c in changes], one.blanks)
            ]
            rows = touched(await connection.execute(one.sql, *values))
            outcome = 1 if rows == len(wave) else UNKNOWN
            if any(unexpected(change, outcome) for change in changes):
                raise Miss(one.sql)
            outcomes.append(outcome)
        return outcomes

    async def _for_many(
        self, connection: asyncpg.Connection, shape: tuple[str, ...]
    ) -> list[Many] | None:
        """The statements for many turns of this shape; None if they cannot be applied together."""
        found = []
        for sql in shape:
            if sql not in self._many:
                self._many[sql] = await _learnt(connection, sql)
            if (many := self._many[sql]) is None:
                return None
            found.append(many)
        return found

    def _ready(self, values: Sequence[Any]) -> Sequence[Any]:
        if Sealed not in map(type, values):
            return values
        seal = self._seal.seal
        return [seal(value) if type(value) is Sealed else value for value in values]

    # ---------------------------------------------------------------- the connection

    async def _connected(self) -> asyncpg.Connection:
        if self._connection is None or self._connection.is_closed():
            self._connection = await connect(self._url)
            await self._connection.execute(PATIENCE)
        return self._connection

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None


def _waves(jobs: list[Job], many: list[Many] | None) -> list[list[Job]]:
    """The turns in the order of applying them, those that can be applied together in one list."""
    if many is None:
        return [jobs]

    def names(job: Job) -> Iterable[Name]:
        for one, change in zip(many, job.changes, strict=True):
            yield from one.names(change.values)

    return waves(jobs, names)


async def _learnt(connection: asyncpg.Connection, sql: str) -> Many | None:
    """The statement for many turns, if there is one; the server knows its types and keys."""
    one = single(sql)
    if one is None:
        return None
    statement, names = numbered(sql)
    blanks = dict(zip(names, await types(connection, statement), strict=True))
    unique = [row["columns"] for row in await connection.fetch(UNIQUE, one.table)]
    return one.for_many(blanks, unique)


def spoken(words: Iterable[str], most: int = NOTIFY_BYTES) -> list[str]:
    """The words in as few payloads as hold them.

    >>> spoken(["in:17", "in:3", "out"], most=10)
    ['in:17 in:3', 'out']
    """
    said: list[str] = []
    for word in words:
        if said and len(said[-1].encode()) + 1 + len(word.encode()) <= most:
            said[-1] += f" {word}"
        else:
            said.append(word)
    return said


def touched(tag: str) -> int:
    """How many rows a command's tag, such as "UPDATE 3", says it touched.

    >>> touched("INSERT 0 1"), touched("BEGIN")
    (1, 0)
    """
    last = tag.rpartition(" ")[2]
    return int(last) if last.isdigit() else 0
