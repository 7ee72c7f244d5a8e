"""What the rounds have shown, as tables: each bot by itself, and ours against the goals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from benchmarks import filled, ours
from benchmarks.race import Measured
from benchmarks.trials import Finding

Rounds = Mapping[str, Sequence[Measured | None]]  # by contender; None where a round failed

MEDIAN, LATE = 30, 150  # milliseconds in which half of all answers, and 99 %, are to come


@dataclass(frozen=True, slots=True)
class Figure:
    """A ratio of what two contenders have shown, and what it has to be."""

    what: str
    above: str  # a contender
    below: str
    reach: float | None = None  # None: only to be looked at
    at_least: bool = False  # else at most
    of: Literal["cpu", "rate"] = "cpu"
    cores: int = 0  # that it takes to be able to tell

    @property
    def goal(self) -> str:
        """The goal as it is shown."""
        return "" if self.reach is None else f"{'≥' if self.at_least else '≤'} {self.reach:g}"

    def reached(self, ratio: float, cores: int) -> bool | None:
        """Whether that is good enough; None where it cannot be told."""
        if self.reach is None or cores < self.cores:
            return None
        return ratio >= self.reach if self.at_least else ratio <= self.reach


CHECK_IN = ours.CHECK_IN_NAME
POSTGRES = f"{CHECK_IN}, PostgreSQL"


def figures(members: int) -> tuple[Figure, ...]:
    """Every ratio there is to be shown.

    members: of the large community
    """
    small, large = filled.SMALL, f"{members:,} members"
    return (
        Figure("durable check-in / aiogram echo", CHECK_IN, "aiogram, echo", 0.5),
        Figure("durable check-in / grammY echo", CHECK_IN, "grammY, echo", 2.3),
        Figure("durable check-in / PTB echo", CHECK_IN, "python-telegram-bot, echo", 0.13),
        Figure(
            "the same by webhook", f"{CHECK_IN}, webhook", "python-telegram-bot, echo, webhook", 0.2
        ),
        Figure("the usual check-in / ours", "check-in, the usual way", CHECK_IN, 8, at_least=True),
        Figure("group chatter / aiogram echo", "ours, group chatter", "aiogram, echo", 0.12),
        Figure("check-in, PostgreSQL / SQLite", POSTGRES, CHECK_IN, 2),
        Figure("PostgreSQL, 3 workers / 1", f"{POSTGRES}, 3 workers", POSTGRES, 1.2),
        Figure(
            "the same by webhook", f"{POSTGRES}, webhook, 3 workers", f"{POSTGRES}, webhook", 1.2
        ),
        Figure(
            "PostgreSQL, 3 workers / 1: updates/s", f"{POSTGRES}, 3 workers", POSTGRES, 1.5,
            at_least=True, of="rate", cores=2 * ours.WORKERS,
        ),
        Figure(
            "the same by webhook: updates/s", f"{POSTGRES}, webhook, 3 workers",
            f"{POSTGRES}, webhook", 1.5, at_least=True, of="rate", cores=2 * ours.WORKERS,
        ),
        Figure(f"{large} / {small:,}", filled.name(members), filled.name(small), 1.3),
        Figure(
            f"{large} / {small:,}, PostgreSQL", filled.name(members, ", PostgreSQL"),
            filled.name(small, ", PostgreSQL"), 1.3,
        ),
        Figure("durable check-in / pyTelegramBotAPI echo", CHECK_IN, "pyTelegramBotAPI, echo"),
        Figure("durable check-in / raw aiohttp echo", CHECK_IN, "raw aiohttp, echo"),
    )  # fmt: skip


def table(rounds: Rounds, unmeasured: Mapping[str, str]) -> Iterator[str]:
    """A line for each contender, cheapest first, and then those that were not measured."""
    if not rounds and not unmeasured:
        return
    yield f"{'':48} {'CPU s / 1,000':>22} {'updates/s':>10} {'MB':>6} {'rounds':>6}"
    shown = {name: kept for name, ones in rounds.items() if (kept := [one for one in ones if one])}
    for name in sorted(shown, key=lambda one: median(m.cpu for m in shown[one])):
        ones = shown[name]
        yield (
            f"{name:48} {spread([one.cpu for one in ones]):>22}"
            f" {median(one.rate for one in ones):>10,.0f}"
            f" {median(one.memory for one in ones):>6.0f} {len(ones):>6}"
        )
    for name, why in unmeasured.items():
        yield f"{name:48} not measured: {why}"


def goals(findings: Sequence[Finding]) -> Iterator[str]:
    """A line for each thing that was found out, beside its goal."""
    if not findings:
        return
    yield f"{'':66} {'':>22} {'goal':>9}"
    for one in findings:
        yield f"{one.what:66} {one.found:>22} {one.goal:>9}  {one.verdict}".rstrip()


def ratios(rounds: Rounds, members: int, cores: int) -> Iterator[Finding]:
    """The medians of the ratios of each round, and their spread.

    members: of the large community
    cores:   how many are free
    """
    for figure in figures(members):
        found = _ratios(rounds, figure)
        if not found:
            if figure.above in rounds and figure.below in rounds:
                yield Finding(figure.what, "not measured", figure.goal)
            continue
        told = Finding(figure.what, spread(found), figure.goal)
        told.reached = figure.reached(median(found), cores)
        if cores < figure.cores:
            told.unclear = f"needs {figure.cores} cores, here are {cores}"
        yield told


def answers(rounds: Rounds) -> Iterator[Finding]:
    """How long answers took where updates came at a pace, and what share that was of the most."""
    most = [one.rate for one in rounds.get(CHECK_IN, ()) if one]
    for ones in rounds.values():
        paced = [one for one in ones if one and one.waits]
        if not paced:
            continue
        waits = sorted(wait * 1000 for one in paced for wait in one.waits)
        rate = median(one.rate for one in paced)
        share = f", {rate / median(most):.0%} of the most" if most else ""
        what = f"answers at {rate:,.0f} updates/s{share}"
        middle, late = median(waits), waits[int(len(waits) * 0.99)]
        yield Finding(f"{what}: median", f"{middle:.0f} ms", f"≤ {MEDIAN}", middle <= MEDIAN)
        yield Finding(f"{what}: 99 %", f"{late:.0f} ms", f"≤ {LATE}", late <= LATE)


def _ratios(rounds: Rounds, figure: Figure) -> list[float]:
    """The ratio in each round in which both were measured."""
    above, below = rounds.get(figure.above, ()), rounds.get(figure.below, ())
    pairs = zip(above, below, strict=False)
    return [
        getattr(one, figure.of) / getattr(other, figure.of)
        for one, other in pairs
        if one is not None and other is not None
    ]


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
