"""A community's past, as rows: a year of talk and check-ins, much of a few, little of many."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from random import Random

from benchmarks import talk
from storage.facts import Fact
from storage.moments import to_micros
from storage.sealing import Seal, Sealed

Row = tuple[object, ...]
Page = dict[str, list[Row]]  # table → rows of it, with the columns below

COLUMNS = {
    "members": (
        "id", "community_id", "name", "language", "zone", "next_zone", "role", "status",
        "silenced", "reminders", "first_seen_at", "joined_at", "last_seen_at", "messages",
        "streak", "longest", "checked_in_on", "referred",
    ),
    "identities": ("id", "community_id", "member_id", "channel", "ref", "home", "chosen_at"),
    "facts": ("id", "community_id", "member_id", "name", "amount", "day", "at", "once"),
    "interactions": (
        "id", "community_id", "member_id", "channel", "place", "message", "direction", "kind",
        "outcome", "body", "at",
    ),
    "seen": ("channel", "key", "at"),
}  # fmt: skip

CHANNEL = "telegram"
DAYS = 365
PAGE = 50_000  # rows
STEEP = 2.5  # the busiest hundredth says a sixth of everything, the busiest tenth two fifths
CHECKING_IN = 0.1  # of what is said; whoever has today already, talks
SEALED = 32 + len('{"text":""}')  # bytes that sealing and packing add
TALK = tuple(len(text.encode()) for text in talk.CHATTER)
ASKED = len("/checkin")
ANSWERED = 70
STRIDE = 611_953  # a prime, so that the busy are not neighbours


@dataclass(frozen=True, slots=True)
class Size:
    """How large a community is."""

    members: int
    interactions: int

    @property
    def told(self) -> int:
        """Updates of the last days, which are remembered so that a repeat changes nothing."""
        return self.interactions * 3 // DAYS


@dataclass(slots=True)
class Past:
    """A year that ended last night; nobody has checked in today.

    first: the first of as many row ids as `ids` says
    """

    size: Size
    community: int
    first: int
    seal: Seal
    now: datetime
    chance: Random = field(default_factory=lambda: Random(7))
    _spoke: array[int] = field(init=False)  # of each member: when, in microseconds
    _messages: array[int] = field(init=False)
    _last: array[int] = field(init=False)  # the last day on which they checked in; -1: none
    _streak: array[int] = field(init=False)
    _longest: array[int] = field(init=False)
    _days: list[str] = field(init=False)
    _began: datetime = field(init=False)

    def __post_init__(self) -> None:
        today = self.now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        self._began = today - timedelta(days=DAYS)
        self._days = [
            (self._began.date() + timedelta(days=number)).isoformat() for number in range(DAYS)
        ]
        everybody = self.size.members
        self._spoke = array("q", [to_micros(self._began)]) * everybody
        self._messages = array("l", [0]) * everybody
        self._last = array("l", [-1]) * everybody
        self._streak = array("l", [0]) * everybody
        self._longest = array("l", [0]) * everybody

    @property
    def ids(self) -> int:
        """How many row ids it takes at the most."""
        return 3 * self.size.members + 2 * self.size.interactions

    def pages(self) -> Iterator[Page]:
        """Everything, in parts; what was said first, then whoever said it."""
        yield from self._talk()
        yield from self._people()
        at = to_micros(self.now)
        for start in range(0, self.size.told, PAGE):
            numbers = range(start + 1, min(start + PAGE, self.size.told) + 1)
            yield {"seen": [(CHANNEL, str(number), at) for number in numbers]}

    # ---------------------------------------------------------------- what was said

    def _talk(self) -> Iterator[Page]:
        ids = iter(range(self.first + 3 * self.size.members, self.first + self.ids))
        begin, total = to_micros(self._began), self.size.interactions
        step = DAYS * 86_400_000_000 // max(1, total)
        sealed = _Bytes()
        talked, done = list[Row](), list[Row]()
        said = 0
        while said < total:
            person, day = self._speaker(), said * DAYS // total
            at, member = begin + said * step, self.first + person
            self._messages[person] += 1
            self._spoke[person] = at
            if day > self._last[person] and self.chance.random() < CHECKING_IN:
                talked += self._check_in(ids, person, at, sealed)
                done.append(self._counted(next(ids), person, day, at))
                said += 2
            else:
                talked.append(
                    (
                        next(ids), self.community, member, CHANNEL, str(talk.GROUP), str(said),
                        "in", "said", "", sealed.of(TALK[said % len(TALK)]), at,
                    )
                )  # fmt: skip
                said += 1
            if len(talked) >= PAGE:
                yield {"interactions": talked, "facts": done}
                talked, done = [], []
        yield {"interactions": talked, "facts": done}

    def _speaker(self) -> int:
        """Whoever says the next thing."""
        rank = int(self.size.members * self.chance.random() ** STEEP)
        return rank * STRIDE % self.size.members

    def _check_in(
        self, ids: Iterator[int], person: int, at: int, sealed: _Bytes
    ) -> tuple[Row, Row]:
        """What the member said, and what they were answered."""
        member, place = self.first + person, str(talk.FIRST_PERSON + person)
        asked = (
            next(ids), self.community, member, CHANNEL, place, str(at), "in", "said", "",
            sealed.of(ASKED), at,
        )  # fmt: skip
        answered = (
            next(ids), self.community, member, CHANNEL, place, str(at + 1), "out", "checkin",
            "sent", sealed.of(ANSWERED), at,
        )  # fmt: skip
        return asked, answered

    def _counted(self, id: int, person: int, day: int, at: int) -> Row:
        member, last = self.first + person, self._last[person]
        streak = self._streak[person] + 1 if last == day - 1 else 1
        self._last[person], self._streak[person] = day, streak
        self._longest[person] = max(streak, self._longest[person])
        on = self._days[day]
        return (
            id, self.community, member, Fact.CHECKED_IN.value, streak, on, at, f"{member}:{on}",
        )  # fmt: skip

    # ---------------------------------------------------------------- who said it

    def _people(self) -> Iterator[Page]:
        since = self._began - timedelta(days=1)
        joined, day, everybody = to_micros(since), since.date(), self.size.members
        for start in range(0, everybody, PAGE):
            persons = range(start, min(start + PAGE, everybody))
            yield {
                "members": [self._member(person, joined) for person in persons],
                "identities": [self._identity(person, joined) for person in persons],
                "facts": [self._joined(person, joined, day) for person in persons],
            }

    def _member(self, person: int, joined: int) -> Row:
        id, last = self.first + person, self._last[person]
        name = self.seal.seal(Sealed("members", "name", id, talk.name(person)))
        return (
            id, self.community, name, "en", "", "", "member", "member", False, True, joined,
            joined, self._spoke[person], self._messages[person], self._streak[person],
            self._longest[person], None if last < 0 else self._days[last], 0,
        )  # fmt: skip

    def _identity(self, person: int, joined: int) -> Row:
        id = self.first + self.size.members + person
        ref = str(talk.FIRST_PERSON + person)
        return (id, self.community, self.first + person, CHANNEL, ref, ref, joined)

    def _joined(self, person: int, joined: int, day: date) -> Row:
        id, member = self.first + 2 * self.size.members + person, self.first + person
        return (id, self.community, member, Fact.JOINED.value, 1, day.isoformat(), joined, None)


class _Bytes:
    """Sealed words that nobody will read: bytes of the right number."""

    def __init__(self) -> None:
        self._pool = os.urandom(2**20)
        self._at = 0

    def of(self, length: int) -> bytes:
        """As many as words of so many bytes take."""
        length += SEALED
        self._at = (self._at + length) % (2**20 - 2**12)
        return self._pool[self._at : self._at + length]
