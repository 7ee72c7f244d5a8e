"""Findings: what changed between two weeks, and what it asks of whoever looks after a community."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import sqrt
from typing import Any

FEW = 10  # below this, nothing is called a change
SURE = 2.0  # standard errors; chance alone does this once in twenty


@dataclass(frozen=True, slots=True)
class Week:
    """What happened in seven days."""

    joined: int = 0
    left: int = 0
    referred: int = 0
    checked_in: int = 0
    answered: int = 0
    unanswered: int = 0

    @property
    def asked(self) -> int:
        """Questions that got an answer or none."""
        return self.answered + self.unanswered

    @property
    def total(self) -> int:
        """Everything that counts as something having happened."""
        return self.joined + self.left + self.checked_in + self.asked


@dataclass(frozen=True, slots=True)
class Finding:
    """The texts "finding.<name>" and "advice.<name>", and the words for both."""

    name: str
    words: Mapping[str, Any] = field(default_factory=dict)


def found(this: Week, before: Week) -> Finding:
    """The one thing worth saying first of a week and the one before; trouble before good news."""
    if this.total + before.total == 0:
        return Finding("silent")
    if this.total + before.total < FEW:
        return Finding("few", {"now": this.total, "before": before.total})
    return next(_worth_saying(this, before))


def changed(now: int, before: int) -> bool:
    """Whether two counts differ by more than chance would make them.

    >>> [changed(now, 100) for now in (70, 75, 125, 135)]
    [True, False, False, True]
    >>> changed(7, 2)
    False
    """
    return now + before >= FEW and abs(now - before) >= SURE * sqrt(now + before)


def fell_short(now: tuple[int, int], before: tuple[int, int]) -> bool:
    """Whether a share (part, whole) is lower than it was, by more than chance would make it.

    >>> fell_short((30, 60), (50, 60)), fell_short((3, 6), (5, 6))
    (True, False)
    """
    if now[1] < FEW or before[1] < FEW:
        return False
    together = (now[0] + before[0]) / (now[1] + before[1])
    error = sqrt(together * (1 - together) * (1 / now[1] + 1 / before[1]))
    return before[0] / before[1] - now[0] / now[1] >= SURE * error > 0


def _worth_saying(this: Week, before: Week) -> Iterator[Finding]:
    if fell_short((this.answered, this.asked), (before.answered, before.asked)):
        shares = {"now": _share(this), "before": _share(before)}
        yield Finding("answers_fell", shares)
    if this.left > this.joined and changed(this.left, before.left):
        words = {"left": this.left, "joined": this.joined, "before": before.left}
        yield Finding("leaving", words)
    for name in ("checked_in", "joined"):
        now, then = getattr(this, name), getattr(before, name)
        if now < then and changed(now, then):
            yield Finding(f"{NAMES[name]}_fell", {"now": now, "before": then})
    for name in ("checked_in", "joined"):
        now, then = getattr(this, name), getattr(before, name)
        if now > then and changed(now, then):
            words = {"now": now, "before": then, "referred": this.referred}
            yield Finding(f"{NAMES[name]}_rose", words)
    yield Finding("steady", {"checked_in": this.checked_in, "joined": this.joined})


NAMES = {"checked_in": "checkins", "joined": "joins"}


def _share(week: Week) -> int:
    return round(100 * week.answered / week.asked)
