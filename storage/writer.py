"""The writer: many turns' changes in one commit, each undone alone if what it rests on is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from storage.health import Health


class Row(Protocol):
    """One row of an answer; `row["name"]` is a column, and the row itself all of them in order."""

    def __getitem__(self, key: str, /) -> Any: ...

    def __iter__(self) -> Iterator[Any]: ...


Outcome = int | Sequence[Row]
UNKNOWN = -1  # rows touched by a change that may touch none, and was applied with others


DIRECTORY = "directory"  # what a change that is `shared` wakes


class Change(NamedTuple):  # ten of them are made in a turn, each in half a dataclass's time
    """One statement, prepared once, with its values; `:name` marks a blank on every database.

    rows:   how many rows it must touch; any other number is a `Miss`
    shared: it changes what is kept in memory (communities, places, wordings), which
            is read anew once it is committed
    wakes:  one word, such as "out", for those who wait for it: told to every process on
            this database (PostgreSQL's NOTIFY) in the commit that keeps the change
    """

    sql: str
    values: Mapping[str, Any] = MappingProxyType({})
    rows: int | None = None
    shared: bool = False
    wakes: str = ""


class Miss(Exception):
    """What a turn rested on is no longer so; none of its changes were kept.  Play it again."""


class Unavailable(Exception):
    """The database did not commit; nothing of this was kept, or it is unknown whether it was."""


class Closed(Exception):
    """The writer has been closed and takes no more changes."""


class Reader(Protocol):
    """Asks the database; each question sees all that was committed before it."""

    async def rows(self, sql: str, **values: Any) -> Sequence[Row]:
        """Every row that answers, in the order the question asks for."""

    async def row(self, sql: str, **values: Any) -> Row | None:
        """The first row that answers, or None."""

    async def value(self, sql: str, **values: Any) -> Any:
        """The first column of the first row, or None."""

    def open(self, table: str, column: str, row: int, cell: bytes | None) -> str:
        """The text in a sealed cell."""

    async def close(self) -> None:
        """Let go of the database."""


class Writer(Protocol):
    """Keeps changes durably."""

    rings: bool  # whether other processes are there to be told what a change wakes
    health: Health  # how writing goes

    @property
    def pid(self) -> int:
        """The server's number of the connection it writes on; 0 where there is no server."""

    async def settle(self, changes: Sequence[Change]) -> list[Outcome]:
        """Keep all of these changes or none; returns when they are safe on disk.

        Returns, for each change, the number of rows it touched (`UNKNOWN` at times,
        where it need not touch any), or the rows themselves where its statement
        says RETURNING.
        Raises `Miss` when a change touched another number of rows than it must,
        or broke a constraint; `Unavailable` when the database failed.
        """

    async def close(self) -> None:
        """Finish what was given, then stop."""


@dataclass(eq=False, frozen=True, slots=True)
class Job:
    """A turn's changes, and who waits for them."""

    changes: Sequence[Change]
    done: asyncio.Future[list[Outcome]]

    def tell(self, result: list[Outcome] | Exception) -> None:
        """Answer who waits, if they have not been cancelled; what was kept is kept."""
        if self.done.done():
            return
        if isinstance(result, Exception):
            self.done.set_exception(result)
        else:
            self.done.set_result(result)


def unexpected(change: Change, outcome: Outcome) -> bool:
    """Whether the change touched another number of rows than it rests on."""
    touched = outcome if isinstance(outcome, int) else len(outcome)
    return change.rows is not None and touched != change.rows
