"""Today: the first page of the dashboard, put together out of what was counted."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from markupsafe import Markup

from bot.web import charts, findings
from bot.web.almanac import Almanac
from bot.web.charts import Column, Series
from bot.web.figures import Figures
from bot.web.findings import FEW, Finding, Week
from storage import members, reports
from storage.communities import Community
from storage.reports import Waits
from storage.writer import Reader

MONTH, WEEK = 30, 7  # days
WEEKS = 8
YOUNG = 2 * WEEK  # days, before which a community is shown by the day

Days = Mapping[date, Counter[str]]


@dataclass(frozen=True, slots=True)
class Table:
    """The numbers behind a chart."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart under its finding, with the numbers behind it; or, of nothing, what will be here."""

    title: str
    picture: Markup | None = None
    table: Table | None = None
    teach: str = ""
    small: bool = False


@dataclass(frozen=True, slots=True)
class Today:
    """Everything on the page."""

    kicker: str
    finding: str
    advice: str
    members: int
    checked_in: int
    yesterday: int
    waits: Waits
    charts: Sequence[Chart]


async def today(db: Reader, almanac: Almanac, community: Community, figures: Figures) -> Today:
    """How the community is doing, in words and pictures."""
    day = figures.today
    began = await _first_day(db, community, figures)
    first = max(began, day - timedelta(days=max(MONTH, WEEKS * WEEK)))
    days = await almanac.days(
        ("facts", community.id),
        lambda since, until: reports.happened(db, community.id, since=since, until=until),
        first=first,
        last=day,
        zone=figures.zone,
    )
    found = _finding(days, began, figures)
    now = await members.count(db, community.id)
    drawing = Drawing(figures, days, began, now)
    waits = await reports.waits(db, community.id)
    old = (day - began).days >= YOUNG
    return Today(
        kicker=(
            figures.say("kicker", day=figures.long_day(day - timedelta(days=1)))
            if old
            else figures.say("kicker_new", day=figures.long_day(day))
        ),
        finding=unbroken(figures.say(f"finding.{found.name}", **found.words)),
        advice=_advice(found, waits, figures),
        members=now,
        checked_in=days[day]["checked_in"],
        yesterday=_counted(days, day - timedelta(days=1))["checked_in"],
        waits=waits,
        charts=(
            drawing.members(),
            drawing.check_ins(),
            drawing.questions(),
            drawing.newcomers(),
        ),
    )


async def _first_day(db: Reader, community: Community, figures: Figures) -> date:
    """The day of the first thing that was counted; the present one if there is none."""
    began = await reports.began(db, community.id)
    return figures.today if began is None else began.astimezone(figures.zone).date()


# ---------------------------------------------------------------- in words


def unbroken(words: str) -> str:
    """The sentence, never broken within a word or between a number and what it counts.

    >>> unbroken("9 joined, 3 check-ins")
    '9\\xa0joined, 3\\xa0check\\u2011ins'
    """
    return re.sub(r"(?<=\d) (?=\w)", "\u00a0", words).replace("-", "\u2011")


def _finding(days: Days, began: date, figures: Figures) -> Finding:
    """What the week to yesterday says, held against the week before it, once there are two."""
    day = figures.today
    age = (day - began).days
    if age < YOUNG:
        week = _week(days, day, age + 1)
        words = {"joined": week.joined, "checked_in": week.checked_in, "asked": week.asked}
        if age:
            return Finding("young", words | {"since": figures.day(began)})
        return Finding("first_day", words) if week.total else Finding("empty")
    yesterday = day - timedelta(days=1)
    before = yesterday - timedelta(days=WEEK)
    return findings.found(_week(days, yesterday, WEEK), _week(days, before, WEEK))


def _week(days: Days, last: date, length: int) -> Week:
    """What happened in so many days, the last of them `last`."""
    whole: Counter[str] = Counter()
    for back in range(length):
        whole += _counted(days, last - timedelta(days=back))
    return Week(
        joined=whole["joined"],
        left=whole["left"],
        referred=min(whole["referred"], whole["joined"]),
        checked_in=whole["checked_in"],
        answered=whole["answered"],
        unanswered=whole["unanswered"],
    )


def _advice(found: Finding, waits: Waits, figures: Figures) -> str:
    """What to do about it; whoever waits for a person comes first."""
    if waits.since is not None:
        return figures.say("waiting", n=waits.unclaimed, span=figures.since(waits.since))
    return figures.say(f"advice.{found.name}", **found.words)


def _counted(days: Days, day: date) -> Counter[str]:
    return days.get(day, Counter())


# ---------------------------------------------------------------- in pictures


@dataclass(frozen=True, slots=True)
class Stretch:
    """Days that make one column: one, or a week."""

    label: str  # under the column
    name: str  # in the table
    week: Week
    open: bool  # it is not over yet


@dataclass(frozen=True, slots=True)
class Drawing:
    """What the charts are made of."""

    figures: Figures
    days: Days
    began: date
    now: int  # members

    @property
    def day(self) -> date:
        """The present day."""
        return self.figures.today

    @property
    def young(self) -> bool:
        """Whether there are too few days for weeks to be told apart."""
        return (self.day - self.began).days < YOUNG

    def members(self) -> Chart:
        """How many there were at the end of each day, told backwards from how many there are."""
        say, number = self.figures.say, self.figures.number
        if not self.now and not any(one["joined"] for one in self.days.values()):
            return self._empty("members")
        counts, count = [], self.now
        for back in range(min(MONTH, (self.day - self.began).days) + 1):
            day = self.day - timedelta(days=back)
            counts.append((day, max(count, 0)))
            count += self.days[day]["left"] - self.days[day]["joined"]
        counts.reverse()
        more, span = self.now - counts[0][1], len(counts) - 1
        words = {"now": self.now, "n": abs(more), "days": span}
        name = "members_new" if not span else _way(more, "members")
        title = say(f"chart.{name}", **words) if span else say("chart.members_new", now=self.now)
        points = [(self._short(day), value) for day, value in counts]
        rows = [(self._name(day, day), number(value)) for day, value in counts]
        table = Table((say("column.day"), say("column.members")), rows)
        picture = charts.line(points, title=title, number=number)
        return Chart(title, picture, table, small=self.now < FEW)

    def check_ins(self) -> Chart:
        """How many there were each day."""
        shown = min(MONTH, (self.day - self.began).days + 1)
        stretches = [self._stretch(self.day - timedelta(days=back), 1) for back in range(shown)]
        if not any(one.week.checked_in for one in stretches):
            return self._empty("checkins")
        say, yesterday = self.figures.say, self.day - timedelta(days=1)
        total = sum(one.week.checked_in for one in stretches)
        if not self.young:
            now = _week(self.days, yesterday, WEEK).checked_in
            before = _week(self.days, yesterday - timedelta(days=WEEK), WEEK).checked_in
            title = say("chart.checkins", now=now, before=before)
        else:
            title = say("chart.checkins_new", now=total)
        return self._columns(
            title,
            stretches[::-1],
            [(Series("jade"), say("column.checkins"), lambda week: week.checked_in)],
            small=total < FEW,
        )

    def questions(self) -> Chart:
        """What was answered, and what was not."""
        stretches = self._stretches()
        if not any(one.week.asked for one in stretches):
            return self._empty("questions")
        say, week = self.figures.say, self._lately(stretches)
        name = "questions_new" if self.young else "questions" if week.asked else "questions_quiet"
        answered, unanswered = say("column.answered"), say("column.unanswered")
        return self._columns(
            say(f"chart.{name}", answered=week.answered, asked=week.asked),
            stretches,
            [
                (Series("jade", answered), answered, lambda week: week.answered),
                (Series("amber", unanswered), unanswered, lambda week: week.unanswered),
            ],
            small=sum(one.week.asked for one in stretches) < FEW,
        )

    def newcomers(self) -> Chart:
        """Who came by a member's link, and who found the way alone."""
        stretches = self._stretches()
        if not any(one.week.joined for one in stretches):
            return self._empty("newcomers")
        say, week = self.figures.say, self._lately(stretches)
        name = "newcomers_new" if self.young else "newcomers"
        referred, alone = say("column.referred"), say("column.alone")
        return self._columns(
            say(f"chart.{name}", joined=week.joined, referred=week.referred),
            stretches,
            [
                (Series("jade", referred), referred, lambda week: week.referred),
                (Series("blue", alone), alone, lambda week: week.joined - week.referred),
            ],
            small=sum(one.week.joined for one in stretches) < FEW,
        )

    # ---- what they share

    def _columns(
        self,
        title: str,
        stretches: Sequence[Stretch],
        parts: Sequence[tuple[Series, str, Callable[[Week], int]]],
        *,
        small: bool,
    ) -> Chart:
        say, number = self.figures.say, self.figures.number
        columns = [
            Column(one.label, tuple(part(one.week) for _, _, part in parts), one.open)
            for one in stretches
        ]
        rows = [
            (one.name, *(number(value) for value in column.parts))
            for one, column in zip(stretches, columns, strict=True)
        ]
        head = (say("column.span"), *(name for _, name, _ in parts))
        picture = charts.columns(
            columns, [series for series, _, _ in parts], title=title, number=number
        )
        return Chart(title, picture, Table(head, rows), small=small)

    def _stretches(self) -> list[Stretch]:
        """Every day so far of what is young; else whole weeks, the last of them to yesterday."""
        if self.young:
            length = (self.day - self.began).days + 1
            return [
                self._stretch(self.day - timedelta(days=back), 1)
                for back in reversed(range(length))
            ]
        weeks = min(WEEKS, (self.day - self.began).days // WEEK)
        yesterday = self.day - timedelta(days=1)
        return [
            self._stretch(yesterday - timedelta(days=back * WEEK), WEEK)
            for back in reversed(range(weeks))
        ]

    def _stretch(self, last: date, length: int) -> Stretch:
        first = last - timedelta(days=length - 1)
        week = _week(self.days, last, length)
        return Stretch(self._short(first), self._name(first, last), week, last == self.day)

    def _lately(self, stretches: Sequence[Stretch]) -> Week:
        """The last week of several, or all days of what is young."""
        return _week(self.days, self.day, len(stretches)) if self.young else stretches[-1].week

    def _short(self, day: date) -> str:
        return self.figures.say("today") if day == self.day else self.figures.day(day)

    def _name(self, first: date, last: date) -> str:
        shown = self.figures.day(first)
        if last == self.day:
            return self.figures.say("so_far", day=shown)
        return shown if first == last else self.figures.say("week_of", day=shown)

    def _empty(self, name: str) -> Chart:
        say = self.figures.say
        return Chart(say(f"chart.{name}_none"), teach=say(f"chart.{name}_teach"))


def _way(more: int, name: str) -> str:
    return name if more > 0 else f"{name}_fewer" if more < 0 else f"{name}_same"
