"""The hand: which letters are in it, and which were left where they are written down."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from storage.pending import Waiting

MOST = 2000  # letters in hand, besides those of campaigns
STALE = 30.0  # seconds for which no question to the database takes

Place = tuple[datetime, int]  # in the order of a lane: when it is due, and its row


class Hand:
    """Takes no row twice, no more than there is room for, and nothing out of its order.

    What it does not take stays written down, and whatever is later in its lane stays
    there too until that has been offered again: so nothing overtakes.
    """

    def __init__(self, monotonic: Callable[[], float], call: Callable[[], None]) -> None:
        """call: have what was left offered again, all of it in its order"""
        self.most = MOST
        self._call = call
        self._held: set[int] = set()
        self._done = _Lately(monotonic)
        self._left: dict[str, Place] = {}  # lane → the last that was left there
        self._called = False

    def __len__(self) -> int:
        return len(self._held)

    @property
    def full(self) -> bool:
        """Whether what is offered stays where it is."""
        return len(self._held) >= self.most

    def takes(self, one: Waiting) -> bool:
        """Take it, unless it is, or was a moment ago, in hand, or has to stay where it is."""
        self._called = False
        if self.has(one) or self._leaves(one):
            return False
        self._held.add(one.id)
        return True

    def has(self, one: Waiting) -> bool:
        """Whether it is in hand, or was settled while somebody read it."""
        return one.id in self._held or one.id in self._done

    def left_in(self, lane: str) -> bool:
        """Whether something in this lane has to be offered again first."""
        return lane in self._left

    def settled(self, one: Waiting) -> None:
        """It is written down no more; whoever read it before that may still bring it."""
        self._done.add(one.id)

    def let_go(self, one: Waiting) -> None:
        """It is in hand no more."""
        self._held.discard(one.id)
        self._ask()

    def forget_left(self) -> None:
        """Somebody else sees to what is written down."""
        self._left.clear()

    def _leaves(self, one: Waiting) -> bool:
        place, last = (one.due, one.id), self._left.get(one.lane)
        if self.full or (last is not None and place > last):
            self._left[one.lane] = place if last is None else max(place, last)
            self._ask()
            return True
        if place == last:
            del self._left[one.lane]
        return False

    def _ask(self) -> None:
        """Once there is room for a good part of what was left, ask for it."""
        if self._left and not self._called and len(self._held) <= self.most // 2:
            self._called = True
            self._call()


class _Lately:
    """What was settled in the last half minute or so."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._since = monotonic()
        self._new: set[int] = set()
        self._old: set[int] = set()

    def add(self, id: int) -> None:
        now = self._monotonic()
        if now - self._since > STALE:
            self._since, self._old, self._new = now, self._new, set()
        self._new.add(id)

    def __contains__(self, id: int) -> bool:
        return id in self._new or id in self._old
