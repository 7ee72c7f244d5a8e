"""The breaker: when a platform fails everybody, nobody tries but one, now and then."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

TOGETHER = 5  # chats that failed with none going well between them: it is not the chats' fault
RESTS = (1.0, 2.0, 4.0, 8.0, 15.0)  # seconds between two tries; the last one repeats


@dataclass(slots=True)
class Breaker:
    """One platform's breaker.

    It saves what may be said once only: while a platform takes every message and answers
    none, each such message that is tried counts as said, and a campaign would be spent.
    """

    now: Callable[[], datetime]  # aware
    _failing: set[str] = field(default_factory=set)
    _rests: int = 0
    _until: datetime | None = None
    _trying: bool = False  # somebody has gone to see

    @property
    def resting(self) -> bool:
        """Whether nobody but one is to try."""
        return self._until is not None

    def wait(self) -> float:
        """Seconds to wait before asking again; 0 for whoever may try, which during a rest is one.

        A clock that is put back does not make the rest longer.
        """
        if self._until is None:
            return 0.0
        left = (self._until - self.now()).total_seconds()
        if 0 < left <= RESTS[-1]:
            return left
        self._trying = True
        self._rest()
        return 0.0

    def failed(self, place: str) -> None:
        """The platform did not answer, or not sensibly, when something was to be said there."""
        if self._until is None:
            self._failing.add(place)
            if len(self._failing) >= TOGETHER:
                self._rest()
        elif self._trying:
            self._trying = False
            self._rests = min(self._rests + 1, len(RESTS) - 1)
            self._rest()

    def worked(self) -> None:
        """It answered: all is forgiven."""
        if self._failing:
            self._failing.clear()
            self._rests, self._until, self._trying = 0, None, False

    def _rest(self) -> None:
        """Nobody tries for a while."""
        self._until = self.now() + timedelta(seconds=RESTS[self._rests])
