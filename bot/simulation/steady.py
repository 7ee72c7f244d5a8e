"""A steady house: its database answers at once, so that one seed makes one history."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

from bot.app import House
from bot.clock import ShiftedClock
from bot.simulation.fate import Fate, Point
from handlers.turn import World
from storage import database
from storage.database import Database, is_sqlite
from storage.ids import Ids
from storage.sealing import Seal
from storage.writer import Change, Outcome, Reader, Row, Writer

T = TypeVar("T")

Ask = Callable[[Coroutine[Any, Any, Any]], Any]

STUMBLES = 0.1  # of all questions: others go first, as they do while a server thinks


class VirtualClock(ShiftedClock):
    """A clock that begins at a moment (aware) and stands still until somebody moves it."""

    def __init__(self, start: datetime) -> None:
        super().__init__()
        self._start = start

    def now(self) -> datetime:
        return self._start + self.ahead


class Far:
    """An event loop in a thread of its own, for which ours stands still until it has answered.

    The real writers are threads and connections, and how quickly they answer is chance.
    Nothing else happens here while they work, so it makes no difference.
    """

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="far", daemon=True)
        self._thread.start()

    def ask(self, work: Coroutine[Any, Any, T]) -> T:
        """What this comes to."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def close(self) -> None:
        """Let go of the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def at_once(work: Coroutine[Any, Any, T]) -> T:
    """What this comes to, if it never has to wait.  Raises `RuntimeError` if it would."""
    try:
        work.send(None)
    except StopIteration as answer:
        found: T = answer.value
        return found
    work.close()
    raise RuntimeError("a question to SQLite waited for something")


def way_to_ask(url: str, far: Far) -> Ask:
    """SQLite answers on the spot; a server is asked from where its connections live."""
    return at_once if is_sqlite(url) else far.ask


class SteadyReader:
    """Asks at once."""

    def __init__(self, inner: Reader, ask: Ask) -> None:
        self._inner = inner
        self._ask = ask
        self.open = inner.open

    async def rows(self, sql: str, **values: Any) -> Sequence[Row]:
        await self._hesitate()
        found: Sequence[Row] = self._ask(self._inner.rows(sql, **values))
        return found

    async def row(self, sql: str, **values: Any) -> Row | None:
        await self._hesitate()
        found: Row | None = self._ask(self._inner.row(sql, **values))
        return found

    async def value(self, sql: str, **values: Any) -> Any:
        await self._hesitate()
        return self._ask(self._inner.value(sql, **values))

    async def close(self) -> None:
        self._ask(self._inner.close())

    async def _hesitate(self) -> None:
        """Nothing comes first."""


class MortalReader(SteadyReader):
    """What the house asks with: by chance, which is seeded, others go first."""

    def __init__(self, inner: Reader, ask: Ask, fate: Fate, chance: random.Random) -> None:
        super().__init__(inner, ask)
        self._fate = fate
        self._chance = chance

    async def _hesitate(self) -> None:
        if self._fate.over:
            await self._fate.never()
        if self._chance.random() < STUMBLES:
            await asyncio.sleep(0)


class SteadyWriter:
    """Hands on together what was given to it in one round of the loop, in the order it came."""

    rings = False  # one process is all there is

    def __init__(self, inner: Writer, far: Far, fate: Fate, chance: random.Random) -> None:
        self._inner = inner
        self._far = far
        self._fate = fate
        self._chance = chance
        self.health = inner.health
        self._jobs: list[tuple[Sequence[Change], asyncio.Future[list[Outcome]]]] = []

    @property
    def pid(self) -> int:
        """The server's number of the connection it writes on."""
        return self._inner.pid

    async def settle(self, changes: Sequence[Change]) -> list[Outcome]:
        if self._fate.over:
            await self._fate.never()
            return []
        loop = asyncio.get_running_loop()
        done: asyncio.Future[list[Outcome]] = loop.create_future()
        self._jobs.append((changes, done))
        if len(self._jobs) == 1:
            self._soon(self._chance.choice((0, 0, 0, 1, 2)))
        return await done

    async def close(self) -> None:
        self._far.ask(self._inner.close())

    def _soon(self, rounds: int) -> None:
        """Commit after so many rounds more, in which others may join in."""
        loop = asyncio.get_running_loop()
        if rounds:
            loop.call_soon(self._soon, rounds - 1)
        else:
            loop.call_soon(self._commit)

    def _commit(self) -> None:
        jobs, self._jobs = self._jobs, []
        reached = 0
        for _ in jobs:
            if self._fate.strikes(Point.BEFORE_COMMIT):
                break
            reached += 1
            if self._fate.strikes(Point.AFTER_COMMIT):
                break
        outcomes = self._far.ask(self._settled([changes for changes, _ in jobs[:reached]]))
        if self._fate.over:
            return  # what was kept is kept, and nobody hears of it
        for (_, done), outcome in zip(jobs, outcomes, strict=True):
            if done.done():
                continue  # whoever asked has been cancelled
            if isinstance(outcome, BaseException):
                done.set_exception(outcome)
            else:
                done.set_result(outcome)

    async def _settled(self, turns: list[Sequence[Change]]) -> list[list[Outcome] | BaseException]:
        return await asyncio.gather(
            *(self._inner.settle(changes) for changes in turns), return_exceptions=True
        )


class Steadied:
    """Opens the house's database, far away and steady."""

    def __init__(self, far: Far, fate: Fate, chance: random.Random) -> None:
        self._far = far
        self._fate = fate
        self._chance = chance

    async def __call__(self, url: str, seal: Seal) -> Database:
        far, fate, chance = self._far, self._fate, self._chance
        inner = far.ask(database.opened(url, seal))
        reader = MortalReader(inner.reader, way_to_ask(url, far), fate, chance)
        return Database(url, reader, SteadyWriter(inner.writer, far, fate, chance))


class SteadyHouse(House):
    """The house as it is, but that its secrets are no secret."""

    def __init__(self, *details: Any, secrets: random.Random, **more: Any) -> None:
        super().__init__(*details, **more)
        self._secrets = secrets

    def _world(self, ids: Ids) -> World:
        return replace(super()._world(ids), secret=self._secret)

    def _secret(self) -> str:
        return f"{self._secrets.getrandbits(90):023x}"
