"""Weather: a database that goes away when a test says so, and comes back by itself or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from storage import database
from storage.database import Database
from storage.health import Health
from storage.sealing import Seal
from storage.writer import Change, Outcome, Reader, Row, Unavailable, Writer

KEPT, LOST, UNHEARD = "kept", "lost", "unheard"


@dataclass
class Weather:
    """What becomes of each commit and each question.

    commits: what becomes of the next commits, in order: kept, lost, or kept though nobody hears
             that it was, as when the connection breaks in the middle of COMMIT
    ends:    once that list is through, everything is gone: the process dies there
    gone:    nothing goes through until somebody says otherwise
    """

    commits: list[str] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)
    ends: bool = False
    gone: bool = False
    armed: bool = False  # before that it is fine, and nothing is counted
    committed: int = 0
    asked: int = 0

    async def opened(self, url: str, seal: Seal) -> Database:
        """The database at this URL, out in this weather."""
        inner = await database.opened(url, seal)
        return Database(url, Asker(inner.reader, self), Keeper(inner.writer, self))

    def of_commit(self) -> str:
        """What becomes of the commit that begins now."""
        if not self.armed:
            return KEPT
        self.committed += 1
        if self.gone:
            return LOST
        fate = self.commits.pop(0) if self.commits else KEPT
        self.gone = self.ends and not self.commits
        return fate

    def of_question(self) -> str:
        """What becomes of the question that is asked now."""
        if not self.armed:
            return KEPT
        self.asked += 1
        return LOST if self.gone else self.questions.pop(0) if self.questions else KEPT


class Keeper(Writer):
    """A writer out in the weather."""

    def __init__(self, inner: Writer, weather: Weather) -> None:
        self._inner = inner
        self._weather = weather
        self.health = Health()
        self.rings = False

    @property
    def pid(self) -> int:
        return self._inner.pid

    async def settle(self, changes: Sequence[Change]) -> list[Outcome]:
        fate = self._weather.of_commit()
        if fate == LOST:
            self.health.failed("the server is away")
            raise Unavailable("the server is away")
        kept = await self._inner.settle(changes)
        if fate == UNHEARD:
            self.health.failed("the connection broke")
            raise Unavailable("the connection broke")
        self.health.kept()
        return kept

    async def close(self) -> None:
        await self._inner.close()


class Asker(Reader):
    """A reader out in the weather."""

    def __init__(self, inner: Reader, weather: Weather) -> None:
        self._inner = inner
        self._weather = weather

    async def rows(self, sql: str, **values: Any) -> Sequence[Row]:
        self._look()
        return await self._inner.rows(sql, **values)

    async def row(self, sql: str, **values: Any) -> Row | None:
        self._look()
        return await self._inner.row(sql, **values)

    async def value(self, sql: str, **values: Any) -> Any:
        self._look()
        return await self._inner.value(sql, **values)

    def open(self, table: str, column: str, row: int, cell: bytes | None) -> str:
        return self._inner.open(table, column, row, cell)

    async def close(self) -> None:
        await self._inner.close()

    def _look(self) -> None:
        if self._weather.of_question() == LOST:
            raise Unavailable("the server is away")
