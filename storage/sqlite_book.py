"""The SQLite connection that is written on: turns applied, each undone alone if it has a fault."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from operator import itemgetter
from pathlib import Path
from typing import Any

from storage.batches import numbered
from storage.sealing import Seal, Sealed
from storage.writer import Change, Miss, Outcome, unexpected

STATEMENTS = 500  # that a connection keeps prepared
CACHE = 65_536  # KiB of pages that a connection keeps, where the file is that large
# What may be done in a hurry: so many steps of SQLite's machine (a million take some 20 ms, and a
# full batch of turns needs a tenth of that), counted in strides of this length.
STRIDE, STRIDES = 25_000, 40

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
WAITING = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_INTERRUPT})

Turns = Sequence[Sequence[Change]]
Results = Sequence["list[Outcome] | Exception"]


class Book:
    """Where it is all written down; for one thread at a time, whichever that is."""

    def __init__(self, path: Path, seal: Seal, patience: float) -> None:
        """patience: seconds to wait for somebody else's lock."""
        self._seal = seal.seal
        self._patience = int(patience * 1000)
        self._strides: float = 0
        self._connection = connected(path, patience)
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute("PRAGMA wal_autocheckpoint = 20000")
        self._connection.row_factory = sqlite3.Row
        self._connection.set_progress_handler(self._tired, STRIDE)
        self._cursor = self._connection.cursor()

    def close(self) -> None:
        self._connection.close()

    def applied(self, turns: Turns, *, hurried: bool) -> Results:
        """What came of each turn; the transaction is then still open.

        hurried: fail, as `too_slow`, rather than wait for a lock or work for long
        """
        self._strides = STRIDES if hurried else float("inf")
        self._cursor.execute(f"PRAGMA busy_timeout = {0 if hurried else self._patience}")
        self._cursor.execute("BEGIN IMMEDIATE")
        together = self._together(turns)
        return [self._alone(changes) for changes in turns] if together is None else together

    def committed(self, results: Results) -> Results:
        """Commit what has been applied; it is safe on disk when this returns."""
        self._cursor.execute("COMMIT")
        return results

    def undo(self) -> None:
        """Let go of a transaction that failed, however broken the database is."""
        with suppress(sqlite3.Error):
            self._connection.rollback()

    def _together(self, turns: Turns) -> Results | None:
        """Apply all turns under one SAVEPOINT; None, with nothing applied, if any had a fault.

        Faults are rare, and a SAVEPOINT of its own costs a turn as much as three of its changes.
        """
        self._cursor.execute("SAVEPOINT batch")
        try:
            results = [self._applied(changes) for changes in turns]
        except Exception as error:
            # Whose fault it is will be seen when each is applied on its own.
            if outage(error):
                raise
            self._cursor.execute("ROLLBACK TO batch")
            self._cursor.execute("RELEASE batch")
            return None
        self._cursor.execute("RELEASE batch")
        return results

    def _alone(self, changes: Sequence[Change]) -> list[Outcome] | Exception:
        """Apply one turn's changes under a SAVEPOINT; a fault undoes them and nothing else."""
        self._cursor.execute("SAVEPOINT turn")
        try:
            outcomes = self._applied(changes)
        except Exception as error:
            # Whatever is wrong with one turn must not take its neighbours with it.
            if outage(error):
                raise
            self._cursor.execute("ROLLBACK TO turn")
            self._cursor.execute("RELEASE turn")
            return Miss(str(error)) if isinstance(error, sqlite3.IntegrityError) else error
        self._cursor.execute("RELEASE turn")
        return outcomes

    def _applied(self, changes: Sequence[Change]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        cursor, seal = self._cursor, self._seal
        for change in changes:
            statement, in_order = _placed(change.sql)
            values = in_order(change.values)
            if Sealed in map(type, values):
                values = [seal(value) if type(value) is Sealed else value for value in values]
            cursor.execute(statement, values)
            outcome: Outcome = cursor.fetchall() if cursor.description else cursor.rowcount
            if unexpected(change, outcome):
                raise Miss(change.sql)
            outcomes.append(outcome)
        return outcomes

    def _tired(self) -> bool:
        """SQLite asks after every stride whether to break off what it does."""
        self._strides -= 1
        return self._strides < 0


def connected(path: Path, patience: float) -> sqlite3.Connection:
    """A connection to the file.

    patience: seconds to wait for somebody else's lock
    """
    connection = sqlite3.connect(
        path,
        isolation_level=None,
        check_same_thread=False,
        timeout=patience,
        cached_statements=STATEMENTS,
    )
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute(f"PRAGMA cache_size = -{CACHE}")
    return connection


def outage(error: Exception) -> bool:
    """Whether it is the database that fails, and no turn."""
    return _code(error) in OUTAGES


def too_slow(error: Exception) -> bool:
    """Whether it might have been done, had there been no hurry."""
    return _code(error) in WAITING


def _code(error: Exception) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


@lru_cache(maxsize=2048)
def _placed(sql: str) -> tuple[str, Callable[[Mapping[str, Any]], Sequence[Any]]]:
    """The statement with numbered blanks, and what puts their values in that order.

    SQLite finds a value by its place five times as fast as by its name.
    """
    statement, names = numbered(sql)
    statement = statement.replace("$", "?")
    if len(names) > 1:
        return statement, itemgetter(*names)
    return statement, lambda values: [values[name] for name in names]
