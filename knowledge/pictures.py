"""Pictures sent in chat: a member's calendar, a leaderboard, an invitation to scan.

Each is drawn as SVG (`…_svg`, for a page; a millisecond) and as a PNG of the same (for chat;
a tenth of a second in which nothing else of this process runs, a thread does not help: where
others are waiting, draw in another process).

Every sentence is the caller's (`words`, `title`, `caption`); only dates and numbers are
written here, in the manner of the `language`, a BCP 47 tag such as "en" or "zh".
"""

import functools
import re
from calendar import MONDAY, Calendar
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, ParamSpec

from knowledge import drawing, typeface
from knowledge.drawing import MARGIN, RIGHT, ROOM, WIDTH, Colour

if TYPE_CHECKING:  # a fifth of a second, and so imported when the first picture is drawn
    from babel import Locale

P = ParamSpec("P")

MOST_ROWS = 20  # of a leaderboard; more could not be read on a phone

CELL = ROOM / 7  # one day of a calendar
DOT = 46  # the radius of a day checked in
FIRST, PITCH = 384, 124  # the middle of the first week, and from one to the next
STEP = 120  # from one row of a leaderboard to the next


def calendar_svg(
    month: date,
    days: Collection[date],
    *,
    today: date,
    streak: int,
    longest: int,
    name: str,
    language: str,
    words: Mapping[str, str],
) -> str:
    """A month with the days on which the member checked in, and two figures below.

    month: any day of it
    days:  the member's own calendar days; those of other months are not drawn
    words: "streak" and "longest", what stands under the two figures, in the plural they
           ask for; "guest", who a member is whose name we have no letters for
    Weeks begin on Monday in every language, as in China and ISO 8601.
    """
    who, title = _called(name, words), _month(month, language)
    weeks = Calendar(MONDAY).monthdayscalendar(month.year, month.month)
    checked = {day.day for day in days if day.replace(day=1) == month.replace(day=1)}
    outlined = today.day if today.replace(day=1) == month.replace(day=1) else 0
    bottom = FIRST + PITCH * len(weeks)
    parts = [
        drawing.mark(RIGHT - 88, 72, 88),
        drawing.text(who, MARGIN, 116, 38, "quiet", room=780),
        drawing.text(title, MARGIN, 206, 76, bold=True, room=780),
        *_weekdays(language),
    ]
    for nth, week in enumerate(weeks):
        parts += _bands(week, checked, FIRST + PITCH * nth)
        for column, day in enumerate(week):
            if day:
                parts += _day(day, column, nth, checked=day in checked, today=day == outlined)
    parts.append(drawing.rule(bottom - 20))
    parts += _figure(streak, words["streak"], MARGIN, bottom, "jade", language)
    parts += _figure(longest, words["longest"], WIDTH / 2 + 30, bottom, "ink", language)
    told = f"{who}, {title}: {streak} {words['streak']}, {longest} {words['longest']}"
    return drawing.sheet(bottom + 276, told, language, parts)


def leaderboard_svg(
    rows: Sequence[tuple[int, str, int]], *, title: str, language: str, words: Mapping[str, str]
) -> str:
    """Who has kept the longest streaks, in the order given.

    rows:  (rank, name, days); equal ranks may repeat; the first MOST_ROWS are drawn
    words: "days", the heading over the numbers; "guest", as for a calendar; "empty", what
           is said when there are no rows
    """
    shown = [(rank, _called(name, words), days) for rank, name, days in rows[:MOST_ROWS]]
    best = max((days for _, _, days in shown), default=0)
    heading = drawing.lines(title, MARGIN, 138, 64, most=2, room=780, bold=True)
    top = 138 + drawing.leading(64) * len(heading)
    parts = [drawing.mark(RIGHT - 88, 72, 88), *heading]
    if shown:
        parts.append(drawing.text(words["days"], RIGHT, top, 32, "quiet", anchor="end"))
    else:
        parts += drawing.lines(words["empty"], MARGIN, top + 40, 42, "quiet", most=3)
    for nth, (rank, name, days) in enumerate(shown):
        parts += _place(rank, name, days, best, top + 32 + STEP * nth, language)
    told = "; ".join([title, *(f"{rank}. {name}: {days}" for rank, name, days in shown)])
    return drawing.sheet(top + 72 + STEP * max(len(shown), 1), told, language, parts)


def qr_svg(link: str, *, caption: str, title: str, language: str) -> str:
    """A poster to be scanned: what for, the code, what to do, and where it leads.

    Raises `ValueError` for a link that no code can hold (about 2,300 characters).
    """
    middle, side = WIDTH / 2, 720
    place = link.removeprefix("https://").partition("?")[0]  # nobody types the rest
    heading = drawing.lines(title, middle, 284, 64, most=2, bold=True, anchor="middle")
    card = 284 + drawing.leading(64) * len(heading) - 20
    below = card + side + 92
    asked = drawing.lines(caption, middle, below, 42, most=3, anchor="middle")
    foot = below + drawing.leading(42) * len(asked) + 8
    parts = [
        drawing.mark(middle - 60, 72, 120),
        *heading,
        *_code(link, middle - side / 2, card, side),
        *asked,
        drawing.text(place, middle, foot, 30, "quiet", anchor="middle"),
    ]
    return drawing.sheet(foot + 76, f"{title}: {link}", language, parts)


def _as_png(picture: Callable[P, str]) -> Callable[P, bytes]:
    """The same picture as a PNG."""

    @functools.wraps(picture)
    def png(*args: P.args, **words: P.kwargs) -> bytes:
        return drawing.png(picture(*args, **words))

    return png


calendar = _as_png(calendar_svg)
leaderboard = _as_png(leaderboard_svg)
qr = _as_png(qr_svg)


def _called(name: str, words: Mapping[str, str]) -> str:
    return typeface.legible(name) or words["guest"]


def _month(month: date, language: str) -> str:
    """The month with its year; a space stands between Chinese and digits."""
    from babel.dates import format_skeleton

    written = format_skeleton("yMMMM", month, locale=_locale(language))
    return re.sub(r"(?<=\d)(?=[年月])|(?<=年)(?=\d)", " ", written)


def _weekdays(language: str) -> list[str]:
    from babel.dates import get_day_names

    names = get_day_names("abbreviated", "stand-alone", _locale(language))
    return [
        drawing.text(names[day], _column(day), 306, 30, "quiet", anchor="middle", room=CELL - 8)
        for day in range(7)
    ]


def _bands(week: Sequence[int], checked: Collection[int], y: float) -> list[str]:
    """What joins days in a row, and leads on to the next week, so that a streak is one thing.

    week: the days of the month from Monday on, 0 for a day of another month
    """
    bands = []
    for first, last in _runs([day in checked for day in week]):
        left = MARGIN if first == 0 and week[0] - 1 in checked else _column(first)
        right = RIGHT if last == 6 and week[6] + 1 in checked else _column(last)
        bands.append(drawing.box(left, y - DOT, right - left, 2 * DOT, "jade-tint"))
    return bands


def _day(day: int, column: int, row: int, *, checked: bool, today: bool) -> list[str]:
    x, y = _column(column), FIRST + PITCH * row
    colour: Colour = "paper" if checked else "ink" if today else "quiet"
    number = drawing.text(str(day), x, y + 15, 42, colour, bold=checked or today, anchor="middle")
    filled = [drawing.disc(x, y, DOT, "jade")] if checked else []
    outline = [drawing.ring(x, y, DOT + 8, "ink")] if today else []
    return [*filled, *outline, number]


def _figure(count: int, label: str, x: float, y: float, colour: Colour, language: str) -> list[str]:
    """A number to be read across the room, with what it counts below."""
    number, room = _number(count, language), WIDTH / 2 - MARGIN - 30
    size = min(132.0, 132 * room / typeface.width(number, 132, bold=True))
    return [
        drawing.text(number, x, y + 130, size, colour, bold=True),
        *drawing.lines(label, x, y + 196, 34, "quiet", most=2, room=room),
    ]


def _place(rank: int, name: str, days: int, best: int, y: float, language: str) -> list[str]:
    """One row of a leaderboard, over a bar as long as the streak is beside the best."""
    start, number = MARGIN + 104, _number(days, language)
    room = RIGHT - start - typeface.width(number, 48, bold=True) - 40
    reach = (RIGHT - start) * max(days, 0) / max(best, 1)
    colour: Colour = "paper" if rank == 1 else "jade" if rank in (2, 3) else "quiet"
    medal = drawing.disc(MARGIN + 36, y + 37, 36, "jade" if rank == 1 else "jade-tint")
    return [
        *([medal] if rank in (1, 2, 3) else []),
        drawing.text(
            str(rank), MARGIN + 36, y + 52, 40, colour, bold=True, anchor="middle", room=90
        ),
        drawing.text(name, start, y + 52, 42, room=room),
        drawing.text(number, RIGHT, y + 52, 48, "jade", bold=True, anchor="end"),
        drawing.box(start, y + 76, RIGHT - start, 8, "line", radius=4),
        drawing.box(start, y + 76, max(reach, 8), 8, "jade", radius=4),
    ]


def _code(link: str, x: float, y: float, side: float) -> list[str]:
    """The code, dark on white in every scheme, with the quiet margin that readers ask for."""
    import segno  # a poster is rare

    rows = segno.make(link, micro=False, error="m").matrix
    module = int(side // (len(rows) + 8))  # whole pixels keep the edges sharp
    inset = (side - module * len(rows)) // 2
    path = "".join(
        f"M{first} {row}h{last - first + 1}v1h-{last - first + 1}z"
        for row, modules in enumerate(rows)
        for first, last in _runs(modules)
    )
    return [
        f'<rect x="{x:g}" y="{y:g}" width="{side:g}" height="{side:g}" rx="28" fill="#FFFFFF"/>',
        f'<path d="{path}" fill="{drawing.COLOURS["ink"]}" shape-rendering="crispEdges" '
        f'transform="translate({x + inset:g} {y + inset:g}) scale({module})"/>',
    ]


def _runs(marks: Sequence[int]) -> list[tuple[int, int]]:
    """The first and last place of every unbroken run of marks.

    >>> _runs([1, 1, 0, 1])
    [(0, 1), (3, 3)]
    """
    starts = [at for at, mark in enumerate(marks) if mark and not any(marks[:at][-1:])]
    ends = [at for at, mark in enumerate(marks) if mark and not any(marks[at + 1 : at + 2])]
    return list(zip(starts, ends, strict=True))


def _column(day: int) -> float:
    """The middle of a weekday's column; Monday is 0."""
    return MARGIN + CELL * (day + 0.5)


def _number(count: int, language: str) -> str:
    from babel.numbers import format_decimal

    return format_decimal(count, locale=_locale(language))


def _locale(language: str) -> "Locale":
    from babel import Locale

    return Locale.parse(language, sep="-")
