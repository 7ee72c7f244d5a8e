"""SQLite: one writing connection in a thread of its own, and one to read on."""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from storage.sealing import Seal, Sealed
from storage.writer import Change, Closed, Miss, Outcome, Row, Unavailable, unexpected

# How many turns share one commit at the most: one fsync then serves them all.
BATCH = 256
BUSY_SECONDS = 10.0

# The database cannot be written at present: no fault of any turn.
OUTAGES = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
    }
)

Job = tuple[Sequence[Change], asyncio.Future[list[Outcome]], asyncio.AbstractEventLoop]


class SQLiteReader:
    """Reads on the event loop's own thread: a question costs microseconds, a thread hop fifty."""

    def __init__(self, path: Path, seal: Seal) -> None:
        self._connection = _connect(path)
        self._connection.execute("PRAGMA query_only = ON")
        self._connection.row_factory = sqlite3.Row
        self.open = seal.open

    async def rows(self, sql: str, **values: Any) -> Sequence[Row]:
        return self._connection.execute(sql, values).fetchall()

    async def row(self, sql: str, **values: Any) -> Row | None:
        row: Row | None = self._connection.execute(sql, values).fetchone()
        return row

    async def value(self, sql: str, **values: Any) -> Any:
        row = self._connection.execute(sql, values).fetchone()
        return None if row is None else row[0]

    async def close(self) -> None:
        self._connection.close()


class SQLiteWriter:
    """Takes jobs from a queue and commits as many as are waiting, together.

    If one of them has a fault, each is applied under a SAVEPOINT of its own, and that one undone.
    """

    def __init__(self, path: Path, seal: Seal) -> None:
        self._path = path
        self._seal = seal
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="writer", daemon=True)
        self._thread.start()

    async def settle(self, changes: Sequence[Change]) -> list[Outcome]:
        if self._closed:
            raise Closed
        loop = asyncio.get_running_loop()
        done: asyncio.Future[list[Outcome]] = loop.create_future()
        self._jobs.put((changes, done, loop))
        return await done

    async def close(self) -> None:
        """Finish what was given, then stop."""
        if not self._closed:
            self._closed = True
            self._jobs.put(None)
            await asyncio.to_thread(self._thread.join)

    # ---- below here everything runs in the writer's thread

    def _work(self) -> None:
        connection = _connect(self._path)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA wal_autocheckpoint = 20000")
        connection.row_factory = sqlite3.Row
        while (job := self._jobs.get()) is not None:
            batch, last = self._drain(job)
            _tell(batch, self._commit(connection, batch))
            if last:
                break
        connection.close()

    def _drain(self, first: Job) -> tuple[list[Job], bool]:
        batch = [first]
        while len(batch) < BATCH:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                break
            if job is None:
                return batch, True
            batch.append(job)
        return batch, False

    def _commit(
        self, connection: sqlite3.Connection, batch: list[Job]
    ) -> list[list[Outcome] | Exception]:
        try:
            connection.execute("BEGIN IMMEDIATE")
            results = self._kept_together(connection, batch) or [
                self._keep(connection, changes) for changes, _, _ in batch
            ]
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            return [Unavailable(str(error)) for _ in batch]
        return results

    def _kept_together(
        self, connection: sqlite3.Connection, batch: list[Job]
    ) -> list[list[Outcome] | Exception] | None:
        """Apply all turns under one SAVEPOINT; None, with nothing applied, if any had a fault.

        Faults are rare, and a SAVEPOINT of its own costs a turn as much as three of its changes.
        """
        connection.execute("SAVEPOINT batch")
        try:
            together: list[list[Outcome] | Exception] = [
                [self._apply(connection, change) for change in changes] for changes, _, _ in batch
            ]
        except Exception as error:
            # Whose fault it is will be seen when each is applied on its own.
            if _outage(error):
                raise
            connection.execute("ROLLBACK TO batch")
            together = []
        connection.execute("RELEASE batch")
        return together or None

    def _keep(
        self, connection: sqlite3.Connection, changes: Sequence[Change]
    ) -> list[Outcome] | Exception:
        """Apply one turn's changes under a SAVEPOINT; a fault undoes them and nothing else."""
        connection.execute("SAVEPOINT turn")
        try:
            outcomes = [self._apply(connection, change) for change in changes]
        except Exception as error:
            # Whatever is wrong with one turn must not take its neighbours with it, nor the thread.
            if _outage(error):
                raise
            connection.execute("ROLLBACK TO turn")
            connection.execute("RELEASE turn")
            return Miss(str(error)) if isinstance(error, sqlite3.IntegrityError) else error
        connection.execute("RELEASE turn")
        return outcomes

    def _apply(self, connection: sqlite3.Connection, change: Change) -> Outcome:
        values: Mapping[str, Any] = change.values
        if any(type(value) is Sealed for value in values.values()):
            values = {name: self._ready(value) for name, value in values.items()}
        cursor = connection.execute(change.sql, values)
        outcome: Outcome = cursor.fetchall() if cursor.description else cursor.rowcount
        if unexpected(change, outcome):
            raise Miss(change.sql)
        return outcome

    def _ready(self, value: Any) -> Any:
        return self._seal.seal(value) if isinstance(value, Sealed) else value


def _outage(error: Exception) -> bool:
    """Whether it is the database that fails, and no turn."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in OUTAGES


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, timeout=BUSY_SECONDS
    )
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


def _tell(batch: list[Job], results: list[list[Outcome] | Exception]) -> None:
    """Hand each turn its outcome, with one wake-up of its event loop for the whole batch."""
    for loop in {loop for _, _, loop in batch}:
        theirs = [
            (done, result)
            for (_, done, its), result in zip(batch, results, strict=True)
            if its is loop
        ]
        if not loop.is_closed():
            loop.call_soon_threadsafe(_resolve, theirs)


def _resolve(theirs: list[tuple[asyncio.Future[list[Outcome]], list[Outcome] | Exception]]) -> None:
    for done, result in theirs:
        if done.done():
            continue  # whoever asked has been cancelled; what was kept is kept
        if isinstance(result, Exception):
            done.set_exception(result)
        else:
            done.set_result(result)
