"""The crowd: what is different about letters to many, of which there may be very many at once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from storage import campaigns
from storage.pending import Waiting
from storage.writer import Change

FEWEST, MOST = 16, 192  # of them in hand


class Crowd:
    """Those of them that are in hand: never more than are said in about half a second."""

    def __init__(self) -> None:
        self.roomy = asyncio.Event()  # set while there is room for a good part of them
        self.roomy.set()
        self._held: set[int] = set()
        self._most = MOST
        self._mornings: dict[datetime, int] = {}  # moment → how many wait for it

    def __contains__(self, one: Waiting) -> bool:
        return one.id in self._held

    def __len__(self) -> int:
        return len(self._held)

    @property
    def room(self) -> int:
        """How many more there is room for."""
        return self._most - len(self._held)

    def keep_to(self, rate: float | None) -> None:
        """So many messages a second may be said in all; None for any number."""
        self._most = MOST if rate is None else max(FEWEST, min(MOST, int(rate / 2)))
        self._look()

    def take(self, one: Waiting) -> None:
        """It is in hand."""
        self._held.add(one.id)
        self._look()

    def let_go(self, one: Waiting) -> None:
        """It is in hand no more."""
        self._held.discard(one.id)
        self._look()

    def _look(self) -> None:
        if self.room >= self._most // 2:
            self.roomy.set()
        else:
            self.roomy.clear()

    def one_by_one(self, moment: datetime, now: datetime) -> datetime:
        """When, from that moment on, it is the turn of one more: they cannot all go at once."""
        if moment not in self._mornings:
            self._mornings = {at: count for at, count in self._mornings.items() if at > now}
        before = self._mornings.get(moment, 0)
        self._mornings[moment] = before + 1
        return moment + timedelta(seconds=before / (2 * self._most))


@dataclass(slots=True, eq=False)
class _Entry:
    campaign: int
    outcome: str
    changes: Sequence[Change]
    kept: bool | None = None  # None: not yet known


@dataclass(slots=True)
class Tally:
    """Writes down the ends of a campaign's letters, many at a time, with one count for all.

    keep: keeps changes, all or none, however long that takes; False if one of them missed
    """

    keep: Callable[[list[Change]], Awaitable[bool]]
    entries: list[_Entry] = field(default_factory=list)
    busy: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def add(self, campaign: int, outcome: str, changes: Sequence[Change]) -> bool:
        """Keep these changes and count the letter; False if its row is gone.

        While some are being kept, those that come wait, and are kept together then.
        """
        entry = _Entry(campaign, outcome, changes)
        self.entries.append(entry)
        async with self.busy:
            if entry.kept is None:
                together, self.entries = self.entries, []
                await self._keep(together)
        return bool(entry.kept)

    async def _keep(self, together: list[_Entry]) -> None:
        if len(together) > 1 and await self.keep(_changes(together)):
            for entry in together:
                entry.kept = True
            return
        for entry in together:  # one of them is gone; or there is but one
            entry.kept = await self.keep(_changes([entry]))


def _changes(together: list[_Entry]) -> list[Change]:
    counts: dict[int, Counter[str]] = {}
    for entry in together:
        counts.setdefault(entry.campaign, Counter())[entry.outcome] += 1
    changes = [change for entry in together for change in entry.changes]
    return changes + [campaigns.counted(campaign, count) for campaign, count in counts.items()]
