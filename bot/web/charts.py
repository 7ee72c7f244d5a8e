"""Charts as SVG: few shapes, their values beside them, coloured by the page's tokens.

Each is drawn twice, for a narrow and for a wide place, and CSS shows the one that fits: so its
words keep their size.  There is no style in them, as our content policy allows none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import floor, log10

from markupsafe import Markup, escape

from knowledge import typeface

LETTER = 13  # the size of words, in units of the drawing
LINE = 17  # from one word to the one below it
NARROW, WIDE = (340, 200), (520, 210)  # width and height
TOP, BOTTOM, EDGE, GAP = 26, 26, 2, 12
SPACIOUS = 14  # columns that may all say what they are worth

Number = Callable[[float], str]


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its parts from the ground up; `open` while more may still come."""

    label: str
    parts: tuple[int, ...]
    open: bool = False

    @property
    def total(self) -> int:
        """How high it is."""
        return sum(self.parts)


@dataclass(frozen=True, slots=True)
class Series:
    """What the parts at one height are called, and their colour among the tokens."""

    colour: str
    name: str = ""


def columns(
    shown: Sequence[Column], series: Sequence[Series], *, title: str, number: Number
) -> Markup:
    """Columns from zero; the highest and the last say what they are worth."""
    drawn = [
        _drawing("".join(_columns(shown, series, size, number)), size, name, title)
        for name, size in (("wide", WIDE), ("narrow", NARROW))
    ]
    return Markup("").join(drawn)


def line(points: Sequence[tuple[str, int]], *, title: str, number: Number) -> Markup:
    """A line over time; its first and its last point say what they are worth."""
    drawn = [
        _drawing("".join(_line(points, size, number)), size, name, title)
        for name, size in (("wide", WIDE), ("narrow", NARROW))
    ]
    return Markup("").join(drawn)


def bar(parts: Sequence[tuple[str, int]], total: int, *, title: str) -> Markup:
    """One bar across, of parts (colour, count); what is left of `total` stays empty."""
    shapes, at = [], 0.0
    for colour, count in parts:
        width = 100 * count / total if total else 0
        if width:
            shapes.append(f'<rect class="{colour}" x="{at:.3f}" width="{width:.3f}" height="4"/>')
        at += width
    return Markup(  # noqa: S704 - made of numbers and escaped words
        f'<svg class="progress" role="img" aria-label="{escape(title)}" viewBox="0 0 100 4"'
        f' preserveAspectRatio="none"><rect class="line" width="100" height="4"/>'
        f"{''.join(shapes)}</svg>"
    )


def ticks(low: int, high: int) -> list[int]:
    """Two to five round values, whose first and last have all between `low` and `high`.

    >>> ticks(97, 128), ticks(3, 3), ticks(0, 1), ticks(1180, 1234)
    ([80, 100, 120, 140], [2, 4], [0, 2], [1150, 1200, 1250])
    """
    span = max(high - low, 2)
    size = 10 ** floor(log10(span))
    step = next(one for one in (size, 2 * size, 5 * size, 10 * size) if span / one <= 2.5)
    step = max(step, 2)
    found = [low // step * step]
    while found[-1] < high or len(found) < 2:
        found.append(found[-1] + step)
    return found


# ---------------------------------------------------------------- columns


def _columns(
    shown: Sequence[Column], series: Sequence[Series], size: tuple[int, int], number: Number
) -> Iterator[str]:
    width, height = size
    there = [sum(one.parts[nth] for one in shown) for nth in range(len(series))]
    named = [one.name for one, count in zip(series, there, strict=True) if one.name and count]
    right = max((_wide(name) for name in named), default=0) + (GAP if named else EDGE)
    slot = (width - EDGE - right) / max(len(shown), 4)
    thick = min(slot * 0.72, 44)
    ground, room = height - BOTTOM, height - TOP - BOTTOM
    highest = max((one.total for one in shown), default=0) or 1
    yield f'<path class="ground" d="M0 {ground}H{width - right:.1f}"/>'
    for nth, one in enumerate(shown):
        left, base = EDGE + nth * slot + (slot - thick) / 2, float(ground)
        for part, kind in zip(one.parts, series, strict=True):
            tall = room * part / highest
            base -= tall
            if part:
                yield (
                    f'<rect class="{kind.colour}{" open" if one.open else ""}" x="{left:.1f}"'
                    f' y="{base:.1f}" width="{thick:.1f}" height="{tall:.1f}" rx="2"/>'
                )
    middles = [EDGE + nth * slot + slot / 2 for nth in range(len(shown))]
    yield from _values(shown, middles, slot, highest, size, number)
    yield from _below([one.label for one in shown], middles, slot, height, width - right)
    if named and shown:
        yield from _names(shown[-1], series, named, middles[-1] + slot / 2, size, highest)


def _values(
    shown: Sequence[Column],
    middles: Sequence[float],
    slot: float,
    highest: int,
    size: tuple[int, int],
    number: Number,
) -> Iterator[str]:
    """What columns are worth, above them: all where there is room, else the highest and last."""
    if not shown:
        return
    totals = [one.total for one in shown]
    texts = [number(total) for total in totals]
    last, top = len(shown) - 1, totals.index(max(totals))
    if len(shown) <= SPACIOUS and all(_wide(text) + 4 < slot for text in texts):
        chosen = set(range(len(shown)))
    else:
        apart = (_wide(texts[top]) + _wide(texts[last])) / 2 + 6
        chosen = {last} | ({top} if middles[last] - middles[top] > apart else set())
    height = size[1]
    for nth in sorted(chosen):
        if not totals[nth]:
            continue
        y = height - BOTTOM - (height - TOP - BOTTOM) * totals[nth] / highest - 6
        half = _wide(texts[nth]) / 2
        x = max(middles[nth], half)
        yield (
            f'<text class="ink{" bold" if nth == last else ""}" x="{x:.1f}" y="{y:.1f}"'
            f' text-anchor="middle">{escape(texts[nth])}</text>'
        )


def _names(
    column: Column,
    series: Sequence[Series],
    named: Sequence[str],
    left: float,
    size: tuple[int, int],
    highest: int,
) -> Iterator[str]:
    """What the parts are called, beside those of the last column, none over another."""
    height = size[1]
    ground, room = height - BOTTOM, height - TOP - BOTTOM
    base, below = float(ground), float(ground) + LINE
    for part, kind in zip(column.parts, series, strict=True):
        tall = room * part / highest
        y = min(base - tall / 2 + 4, below - LINE)
        base -= tall
        if kind.name not in named:
            continue
        below = y
        yield (
            f'<text class="word-{kind.colour}" x="{left + 6:.1f}" y="{y:.1f}">'
            f"{escape(kind.name)}</text>"
        )


def _below(
    labels: Sequence[str], middles: Sequence[float], slot: float, height: int, right: float
) -> Iterator[str]:
    """What stands under the ground: every label that has room, the first and the last above all."""
    if not labels:
        return
    widest = max(map(_wide, labels))
    every = 1
    while slot * every < widest + GAP and every < len(labels):
        every += 1
    last = len(labels) - 1
    chosen = [nth for nth in range(last, -1, -1) if (last - nth) % every == 0]
    for nth in chosen:
        half = _wide(labels[nth]) / 2
        x = min(max(middles[nth], half), right - half)
        yield (
            f'<text class="quiet" x="{x:.1f}" y="{height - 8}" text-anchor="middle">'
            f"{escape(labels[nth])}</text>"
        )


# ---------------------------------------------------------------- a line


def _line(
    points: Sequence[tuple[str, int]], size: tuple[int, int], number: Number
) -> Iterator[str]:
    width, height = size
    values = [value for _, value in points]
    scale = ticks(min(values) if len(set(values)) > 1 else 0, max(values))
    left = max(_wide(number(one)) for one in scale) + 8
    right = _wide(number(values[-1])) * 1.15 + 14
    ground, room = height - BOTTOM, height - TOP - BOTTOM
    reach = width - left - right

    def up(value: float) -> float:
        return ground - room * (value - scale[0]) / (scale[-1] - scale[0])

    for one in scale:
        yield f'<path class="grid" d="M{left:.1f} {up(one):.1f}H{width - right:.1f}"/>'
        yield (
            f'<text class="quiet" x="{left - 8:.1f}" y="{up(one) + 4:.1f}" text-anchor="end">'
            f"{escape(number(one))}</text>"
        )
    step = reach / max(len(points) - 1, 1)
    places = [(left + nth * step, up(value)) for nth, value in enumerate(values)]
    if len(points) == 1:
        places = [(left + reach, up(values[0]))]
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    yield f'<path class="run" d="M{path}"/>'
    x, y = places[-1]
    yield f'<circle class="jade" cx="{x:.1f}" cy="{y:.1f}" r="4"/>'
    yield (
        f'<text class="ink bold" x="{x + 9:.1f}" y="{y + 4.5:.1f}">'
        f"{escape(number(values[-1]))}</text>"
    )
    middles = [one for one, _ in places]
    labels = [label for label, _ in points]
    yield from _below(labels, middles, step, height, float(width))


# ---------------------------------------------------------------- what all share


def _drawing(shapes: str, size: tuple[int, int], name: str, title: str) -> Markup:
    width, height = size
    return Markup(  # noqa: S704 - made of numbers and escaped words
        f'<svg class="{name}" role="img" aria-label="{escape(title)}"'
        f' viewBox="0 0 {width} {height}">{shapes}</svg>'
    )


def _wide(words: str) -> float:
    """How wide these words are at most, about: the reader's own letters may differ."""
    return 1.1 * typeface.width(words, LETTER, bold=True)
