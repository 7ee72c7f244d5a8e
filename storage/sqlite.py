"""SQLite: one connection to write on, committed in a thread of its own, and one to read on."""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from storage.health import Health
from storage.sealing import Seal
from storage.sqlite_book import Book, Results, connected, outage, too_slow
from storage.writer import Change, Closed, Job, Outcome, Row, Unavailable

# How many turns share one commit at the most: one fsync then serves them all.
BATCH = 256
BUSY_SECONDS = 10.0  # that the writer waits for somebody else's lock, as of a backup
READ_SECONDS = 0.02  # whoever reads keeps everybody waiting: better they come again


class SQLiteReader:
    """Reads on the event loop's own thread: a question costs microseconds, a thread hop fifty."""

    def __init__(self, path: Path, seal: Seal) -> None:
        self._connection = connected(path, READ_SECONDS)
        self._connection.execute("PRAGMA query_only = ON")
        self._connection.row_factory = sqlite3.Row
        self.open = seal.open

    async def rows(self, sql: str, **values: Any) -> Sequence[Row]:
        try:
            return self._connection.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise _reason(error) from error

    async def row(self, sql: str, **values: Any) -> Row | None:
        try:
            row: Row | None = self._connection.execute(sql, values).fetchone()
        except sqlite3.Error as error:
            raise _reason(error) from error
        return row

    async def value(self, sql: str, **values: Any) -> Any:
        try:
            row = self._connection.execute(sql, values).fetchone()
        except sqlite3.Error as error:
            raise _reason(error) from error
        return None if row is None else row[0]

    async def close(self) -> None:
        self._connection.close()


class SQLiteWriter:
    """Commits as many turns as are waiting, together; while it does, others gather.

    Turns are applied on the loop's own thread, which takes microseconds; two threads
    would spend more on taking turns at running Python.  What waits for the disk, the
    commit, is done in the thread, and so is all of a batch when somebody else has the
    database locked or a statement has much to do.  The book is the thread's from
    `_aside` until `_end`, and no batch begins in between.
    """

    pid = 0

    def __init__(self, path: Path, seal: Seal, *, patience: float = BUSY_SECONDS) -> None:
        """patience: seconds to wait for somebody else's lock."""
        self.rings = False  # nobody else is there
        self.health = Health()
        self._loop = asyncio.get_running_loop()
        self._book = Book(path, seal, patience)
        self._waiting: list[Job] = []
        self._idle = asyncio.Event()
        self._idle.set()
        self._closed = False
        self._tasks: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="writer", daemon=True)
        self._thread.start()

    async def settle(self, changes: Sequence[Change]) -> list[Outcome]:
        if self._closed:
            raise Closed
        done: asyncio.Future[list[Outcome]] = self._loop.create_future()
        self._waiting.append(Job(changes, done))
        if self._idle.is_set():
            self._idle.clear()
            self._loop.call_soon(self._begin)
        return await done

    async def close(self) -> None:
        """Finish what was given, then stop."""
        if not self._closed:
            self._closed = True
            await self._idle.wait()
            self._tasks.put(None)
            await asyncio.to_thread(self._thread.join)
            self._book.close()

    def _begin(self) -> None:
        """Apply what has gathered, and have it committed."""
        batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
        turns = [job.changes for job in batch]
        self.health.begun()
        try:
            results = self._book.applied(turns, hurried=True)
        except Exception as error:
            self._book.undo()
            if too_slow(error):
                self._aside(batch, lambda: self._kept(turns))
            else:
                self._end(batch, error)
        else:
            self._aside(batch, lambda: self._book.committed(results))

    def _kept(self, turns: Sequence[Sequence[Change]]) -> Results:
        return self._book.committed(self._book.applied(turns, hurried=False))

    def _aside(self, batch: list[Job], work: Callable[[], Results]) -> None:
        """Have the thread do this, and end the batch with what comes of it."""

        def done() -> None:
            try:
                outcome: Results | Exception = work()
            except Exception as error:
                self._book.undo()
                outcome = error
            with suppress(RuntimeError):  # no loop any more, so that nobody waits
                self._loop.call_soon_threadsafe(self._end, batch, outcome)

        self._tasks.put(done)

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            task()

    def _end(self, batch: list[Job], outcome: Results | Exception) -> None:
        """Tell each turn what came of it."""
        if isinstance(outcome, Exception):
            self.health.failed(str(outcome))
            results: Results = [Unavailable(str(outcome)) for _ in batch]
        else:
            self.health.kept()
            results = outcome
        for job, result in zip(batch, results, strict=True):
            job.tell(result)
        # Whoever was told goes on first: what they settle next is of the next batch already.
        self._loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        if self._waiting:
            self._begin()
        else:
            self._idle.set()


def _reason(error: sqlite3.Error) -> Exception:
    """What a reader raises: `Unavailable` where it is the database that fails."""
    return Unavailable(str(error)) if outage(error) else error
