"""The strokes our pictures are made of, as SVG, and the PNG of a finished sheet.

A sheet is 1080 units across.  It has no style of its own: what is drawn carries a class named
after its colour (and `edge-…` for an outline), so that a page may recolour it for the dark
under any content policy.  Words are made safe and cut to their room here, whoever typed them.
"""

import html
from collections.abc import Sequence
from typing import Literal

from knowledge import typeface

WIDTH, MARGIN = 1080, 80
RIGHT = WIDTH - MARGIN
ROOM = RIGHT - MARGIN

Colour = Literal["paper", "ink", "quiet", "line", "jade", "jade-tint", "amber"]
Anchor = Literal["start", "middle", "end"]

COLOURS: dict[Colour, str] = {  # the light scheme of bot/web/static/tokens.css
    "paper": "#FBF8F3",
    "ink": "#22201C",
    "quiet": "#6B655B",
    "line": "#E6DFD3",
    "jade": "#1F6F5C",
    "jade-tint": "#E1E8E1",
    "amber": "#D9A441",  # the dark scheme's: it glows
}
OUTLINE = 0.022  # of the size; makes the regular weight look like the semi-bold

LANTERN = (
    "M30 3a2 2 0 0 1 4 0v4h8a3 3 0 0 1 3 3v3c9 2 16 9 16 18s-7 16-16 18v3a3 3 0 0 1-3 3h-8v6"
    "a2 2 0 0 1-4 0v-6h-8a3 3 0 0 1-3-3v-3C10 47 3 40 3 31s7-16 16-18v-3a3 3 0 0 1 3-3h8z"
)
DOOR = "M22 47V30a10 10 0 0 1 20 0v17z"


def sheet(height: float, label: str, language: str, parts: Sequence[str]) -> str:
    """The whole picture on paper; the label is what someone who cannot see it is told."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="picture" role="img" '
        f'lang="{html.escape(language)}" aria-label="{html.escape(typeface.legible(label, 4000))}" '
        f'viewBox="0 0 {WIDTH} {height:g}" width="{WIDTH}" height="{height:g}">'
        f"{box(0, 0, WIDTH, height, 'paper')}{''.join(parts)}</svg>"
    )


def png(svg: str) -> bytes:
    """The sheet as a PNG of 1080 pixels across, the same on every machine.

    Takes a tenth of a second, during which no other thread of this process runs.
    """
    import resvg_py  # not needed by a page

    return resvg_py.svg_to_bytes(
        svg_string=svg,
        skip_system_fonts=True,
        font_files=[str(typeface.REGULAR), str(typeface.SEMIBOLD)],
        font_family="Noto Sans SC",
    )


def text(
    words: str,
    x: float,
    y: float,
    size: float,
    colour: Colour = "ink",
    *,
    bold: bool = False,
    anchor: Anchor = "start",
    room: float = ROOM,
) -> str:
    """One line of words on the baseline `y`, cut where it would outgrow its room."""
    shown = typeface.fitted(typeface.legible(words), size, room, bold=bold)
    weight = _weight(shown, size, COLOURS[colour]) if bold else ""
    return (
        f'<text class="{colour}{" bold" if bold else ""}" x="{x:g}" y="{y:g}" '
        f'font-size="{size:g}"{weight} '
        f'text-anchor="{anchor}" fill="{COLOURS[colour]}">{html.escape(shown)}</text>'
    )


def _weight(shown: str, size: float, ink: str) -> str:
    """Bold by the bold font, or by an outline where that has no letters (a page has both)."""
    if typeface.can_be_bold(shown):
        return ' font-weight="600"'
    return f' stroke="{ink}" stroke-width="{size * OUTLINE:g}" stroke-linejoin="round"'


def lines(
    words: str,
    x: float,
    y: float,
    size: float,
    colour: Colour = "ink",
    *,
    most: int,
    bold: bool = False,
    anchor: Anchor = "start",
    room: float = ROOM,
) -> list[str]:
    """Words on as many lines as they need, `most` at most, the first on the baseline `y`."""
    return [
        text(line, x, y + leading(size) * nth, size, colour, bold=bold, anchor=anchor, room=room)
        for nth, line in enumerate(
            typeface.wrapped(typeface.legible(words), size, room, most, bold=bold)
        )
    ]


def leading(size: float) -> float:
    """From one baseline to the next, in whole units."""
    return round(size * 1.35)


def box(
    x: float, y: float, width: float, height: float, colour: Colour, *, radius: float = 0
) -> str:
    return (
        f'<rect class="{colour}" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" '
        f'rx="{radius:g}" fill="{COLOURS[colour]}"/>'
    )


def disc(x: float, y: float, radius: float, colour: Colour) -> str:
    return (
        f'<circle class="{colour}" cx="{x:g}" cy="{y:g}" r="{radius:g}" fill="{COLOURS[colour]}"/>'
    )


def ring(x: float, y: float, radius: float, colour: Colour) -> str:
    return (
        f'<circle class="edge-{colour}" cx="{x:g}" cy="{y:g}" r="{radius:g}" fill="none" '
        f'stroke="{COLOURS[colour]}" stroke-width="4"/>'
    )


def rule(y: float) -> str:
    """A thin line from margin to margin."""
    return (
        f'<path class="edge-line" d="M{MARGIN} {y:g}H{RIGHT}" '
        f'stroke="{COLOURS["line"]}" stroke-width="3"/>'
    )


def mark(x: float, y: float, size: float) -> str:
    """The lantern of bot/web/static/mark.svg, in its own colours in every scheme."""
    return (
        f'<g transform="translate({x:g} {y:g}) scale({size / 64:g})">'
        f'<path fill="{COLOURS["jade"]}" d="{LANTERN}"/>'
        f'<path fill="{COLOURS["amber"]}" d="{DOOR}"/></g>'
    )
