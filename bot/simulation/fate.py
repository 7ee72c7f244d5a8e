"""Fate: when the house dies, which is decided beforehand and so the same in every run of a seed."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from handlers.turn import Clock

LONGEST_DOWN = timedelta(hours=3)
AGAIN = 0.2  # of all deaths: at once after the last
NTH = 6  # at which of the points that follow its moment a death happens, at the latest


class Point(StrEnum):
    """Where the house may die: each is the instant before or after something becomes true."""

    BEFORE_COMMIT = "before a commit"
    AFTER_COMMIT = "after a commit"
    BEFORE_SEND = "before a message"
    AFTER_SEND = "after a message"
    BEFORE_THANKS = "before what was heard is acknowledged"


@dataclass(slots=True)
class Death:
    """One end of the house, at the `nth` such point after a moment (aware)."""

    after: datetime
    point: Point
    nth: int
    down: timedelta  # how long nobody starts it again


def deaths(chance: random.Random, *, count: int, start: datetime, span: timedelta) -> list[Death]:
    """So many deaths, spread over the span by chance, in the order of their moments.

    Some come while the house is only just getting up from the last.
    """
    points = list(Point)
    moments = sorted(start + span * chance.random() for _ in range(count))
    for n in range(1, count):
        if chance.random() < AGAIN:
            moments[n] = moments[n - 1]
    return [
        Death(
            after=moment,
            point=chance.choice(points),
            nth=chance.randint(1, NTH),
            down=LONGEST_DOWN * chance.random() ** 3,
        )
        for moment in moments
    ]


class Fate:
    """What is coming to the house; once it is `over`, nothing the house does has any effect."""

    def __init__(self, clock: Clock, coming: list[Death]) -> None:
        self._clock = clock
        self._coming = deque(coming)
        self.over = False
        self.buried = False  # even its tasks are gone: who still asks is only letting go
        self.struck = asyncio.Event()
        self._latest: Death | None = None
        self.count = 0

    def strikes(self, point: Point) -> bool:
        """Whether the house is dead once this point has been passed."""
        if not self.over and self._coming and self._now(self._coming[0], point):
            self._coming[0].nth -= 1
            if self._coming[0].nth <= 0:
                self._latest = self._coming.popleft()
                self.over = True
                self.count += 1
                self.struck.set()
        return self.over

    async def passes(self, point: Point) -> None:
        """Return if the house lives on from here; a dead one never does."""
        if self.strikes(point):
            await self.never()

    async def never(self) -> None:
        """What the dead wait for."""
        if not self.buried:
            await asyncio.get_running_loop().create_future()

    def reborn(self) -> Death:
        """A new house stands on the same ground; returns how the last one ended."""
        self.over = self.buried = False
        self.struck.clear()
        assert self._latest is not None
        return self._latest

    def _now(self, death: Death, point: Point) -> bool:
        return death.point is point and self._clock.now() >= death.after
