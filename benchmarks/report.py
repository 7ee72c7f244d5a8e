"""What the rounds have shown, as tables: each bot by itself, and ours against the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.race import Measured

Rounds = Mapping[str, Sequence[Measured | None]]  # by contender; None where a round failed


@dataclass(frozen=True, slots=True)
class Figure:
    """A ratio of CPU for an update, and what it has to be."""

    work: str
    above: str  # a contender
    below: str
    reach: float | None = None  # None: only to be looked at
    at_least: bool = False  # else at most

    @property
    def goal(self) -> str:
        """The goal as it is shown."""
        return "" if self.reach is None else f"{'≥' if self.at_least else '≤'} {self.reach:g}"

    def verdict(self, ratio: float) -> str:
        """Whether that is good enough."""
        if self.reach is None:
            return ""
        reached = ratio >= self.reach if self.at_least else ratio <= self.reach
        return "reached" if reached else "NOT REACHED"


CHECK_IN = "ours, check-in"
FIGURES = (
    Figure("durable check-in / aiogram echo", CHECK_IN, "aiogram, echo", 0.5),
    Figure("durable check-in / grammY echo", CHECK_IN, "grammY, echo", 2.3),
    Figure("durable check-in / PTB echo", CHECK_IN, "python-telegram-bot, echo", 0.13),
    Figure(
        "the same by webhook", f"{CHECK_IN}, webhook", "python-telegram-bot, echo, webhook", 0.2
    ),
    Figure("the usual check-in / ours", "check-in, the usual way", CHECK_IN, 8, at_least=True),
    Figure("group chatter / aiogram echo", "ours, group chatter", "aiogram, echo", 0.12),
    Figure("check-in, PostgreSQL / SQLite", f"{CHECK_IN}, PostgreSQL", CHECK_IN, 2),
    Figure("durable check-in / pyTelegramBotAPI echo", CHECK_IN, "pyTelegramBotAPI, echo"),
    Figure("durable check-in / raw aiohttp echo", CHECK_IN, "raw aiohttp, echo"),
)


def table(rounds: Rounds, unmeasured: Mapping[str, str]) -> Iterator[str]:
    """A line for each contender, cheapest first, and then those that were not measured."""
    yield f"{'':42} {'CPU s / 1,000':>22} {'updates/s':>10} {'MB':>6} {'rounds':>6}"
    shown = {name: kept for name, ones in rounds.items() if (kept := [one for one in ones if one])}
    for name in sorted(shown, key=lambda one: median(m.cpu for m in shown[one])):
        ones = shown[name]
        yield (
            f"{name:42} {spread([one.cpu for one in ones]):>22}"
            f" {median(one.rate for one in ones):>10,.0f}"
            f" {median(one.memory for one in ones):>6.0f} {len(ones):>6}"
        )
    for name, why in unmeasured.items():
        yield f"{name:42} not measured: {why}"


def answers(rounds: Rounds) -> Iterator[str]:
    """A line for each contender whose updates came at a pace: how long its answers took."""
    for name, ones in rounds.items():
        waits = sorted(wait * 1000 for one in ones if one for wait in one.waits)
        if waits:
            late = waits[int(len(waits) * 0.99)]
            yield f"{name:42} median {median(waits):.0f} ms, 99 % within {late:.0f} ms"


def figures(rounds: Rounds) -> Iterator[str]:
    """A line for each figure: the median of the ratios of each round, and their spread."""
    yield f"{'CPU of one / CPU of the other':42} {'median (min–max)':>22} {'goal':>8}"
    for figure in FIGURES:
        found = ratios(rounds, figure)
        if not found:
            yield f"{figure.work:42} {'not measured':>22} {figure.goal:>8}"
            continue
        told = f"{figure.work:42} {spread(found):>22} {figure.goal:>8}"
        yield f"{told}  {figure.verdict(median(found))}".rstrip()


def ratios(rounds: Rounds, figure: Figure) -> list[float]:
    """The ratio in each round in which both were measured."""
    above, below = rounds.get(figure.above, ()), rounds.get(figure.below, ())
    pairs = zip(above, below, strict=False)
    return [one.cpu / other.cpu for one, other in pairs if one is not None and other is not None]


def spread(values: Sequence[float]) -> str:
    """Median, smallest and largest, to three digits.

    >>> spread([0.5, 0.25, 1])
    '0.500 (0.250–1.00)'
    """
    return f"{short(median(values))} ({short(min(values))}–{short(max(values))})"


def short(value: float) -> str:
    """Three digits.

    >>> short(0.12345), short(12.345), short(3)
    ('0.123', '12.3', '3.00')
    """
    return f"{value:.3f}" if value < 1 else f"{value:.2f}" if value < 10 else f"{value:.1f}"
