"""The witness: sees all that happens in the town from outside, and so knows what must be true."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from bot.channels import Malformed
from handlers.turn import Event, Kind

ONE_DAY = timedelta(days=1)
NEVER = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class Telling:
    """Something that happened, and what is to come of it."""

    event: Event
    who: str
    answerable: bool = False  # said or pressed in private: something is to be said there
    rows: int = 1  # in the log
    after: int = 0  # what had arrived anywhere before it
    known: datetime = NEVER  # when the bot acknowledged it


@dataclass(slots=True)
class Clockwork:
    """A member's days, as they count: by the zone they chose, from their next day on."""

    zone: str
    next_zone: str = ""
    zone_from: date | None = None
    old_zone: str = ""
    moved: datetime = NEVER  # when the old zone was found to be over
    last: date | None = None  # the latest day that counted
    days: list[date] = field(default_factory=list)
    silenced: bool = False
    reminders: bool = True
    wished: datetime = NEVER  # when the bot was last told of that
    unsure: bool = False  # something was told so late that it may count in either zone

    def today(self, at: datetime) -> date:
        """The member's day at a moment (aware)."""
        if self.in_force(at):
            self.old_zone, self.moved = self.zone, at
            self.zone, self.next_zone, self.zone_from = self.next_zone, "", None
        return self._day(at)

    def in_force(self, at: datetime) -> bool:
        """Whether the zone they chose has taken the place of the old one by then."""
        return self.zone_from is not None and self._day(at) >= self.zone_from

    def _day(self, at: datetime) -> date:
        return at.astimezone(ZoneInfo(self.zone)).date()


class Witness:
    """What somebody would know who had watched every chat and remembered all of it."""

    def __init__(self) -> None:
        self.tellings: dict[str, Telling] = {}  # by the event's id
        self.malformed: set[str] = set()
        self.delivered: set[str] = set()  # events the bot has acknowledged
        self.members: dict[int, Clockwork] = {}
        self.stopped: dict[str, datetime] = {}  # who stopped the bot, and when it knew
        self.brought: dict[str, set[str]] = defaultdict(set)  # newcomer → who invited them
        self.came_first_by: dict[str, str] = {}  # newcomer → whose link it was that they came by

    def tell(self, telling: Telling) -> None:
        """This happened."""
        self.tellings[telling.event.id] = telling

    def newly(self, batch: Iterable[Event | Malformed], *, now: datetime) -> list[Telling]:
        """Those of an acknowledged batch that were acknowledged for the first time, in order."""
        fresh = []
        for one in batch:
            if isinstance(one, Malformed):
                self.malformed.add(one.id)
            elif one.id not in self.delivered:
                self.delivered.add(one.id)
                self.tellings[one.id].known = now
                fresh.append(self.tellings[one.id])
        return fresh

    def interrupted(self, queue: Iterable[Event | Malformed]) -> None:
        """The bot ended over these: the two tellings of one join may be far apart now."""
        for one in queue:
            if isinstance(one, Event) and one.person is not None:
                self.came_first_by.pop(one.person.id, None)

    def dealt_with(self, telling: Telling, member: int, zone: str, *, now: datetime) -> None:
        """The bot took it to be this member's doing; `zone` is their community's."""
        event = telling.event
        theirs = self.members.setdefault(member, Clockwork(zone))
        theirs.unsure = theirs.unsure or theirs.in_force(now) != theirs.in_force(event.at)
        today = theirs.today(event.at)
        if _checks_in(event) and (theirs.last is None or today > theirs.last):
            theirs.last = today
            theirs.days.append(today)
        wishes = (theirs.silenced, theirs.reminders)
        _wish(theirs, event)
        if wishes != (theirs.silenced, theirs.reminders):
            theirs.wished = now
        if event.kind is Kind.BLOCKED:
            self.stopped[telling.who] = now
        elif event.kind is Kind.RETURNED:
            self.stopped.pop(telling.who, None)
        if (chosen := _zone_chosen(event)) and (chosen != theirs.zone or theirs.next_zone):
            theirs.next_zone, theirs.zone_from = chosen, today + ONE_DAY


def _wish(theirs: Clockwork, event: Event) -> None:
    """What they want to be sent without asking."""
    match event.data or event.text:
        case "/stop" | "subscriptions.stop" | "language.notices:off":
            theirs.silenced = True
        case "language.notices:on":
            theirs.silenced = False
        case "/resume" | "subscriptions.resume":
            theirs.silenced, theirs.reminders = False, True
        case "subscriptions.no_reminders":
            theirs.silenced, theirs.reminders = False, False
        case "language.reminders:on" | "language.reminders:off":
            theirs.reminders = event.data.endswith("on")


def _checks_in(event: Event) -> bool:
    if event.kind is Kind.SAID:
        return event.text == "/checkin"
    return event.kind is Kind.PRESSED and event.data.partition(":")[0] == "checkin.here"


def _zone_chosen(event: Event) -> str:
    """Residents name zones in full, and only in private; empty if there is no such zone."""
    if event.where is None or not event.where.private:
        return ""
    word = event.text if event.kind is Kind.SAID else event.data
    for how in ("/zone ", "language.zone:"):
        if word.startswith(how) and word.removeprefix(how) in _zones():
            return word.removeprefix(how)
    return ""


@cache
def _zones() -> set[str]:
    return available_timezones()
