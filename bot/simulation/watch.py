"""The watch: keeps the history, and after each step compares the tables with what was seen."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.channels import Malformed
from bot.config import Config
from bot.simulation import evidence, invariants
from bot.simulation.chronicle import Chronicle
from bot.simulation.evidence import Community, Evidence
from bot.simulation.fate import Death
from bot.simulation.platform import Bubble, Platform
from bot.simulation.residents import Resident
from bot.simulation.scenario import HOODS
from bot.simulation.witness import Telling, Witness
from handlers import quiet_hours
from handlers.turn import Clock, Event, Kind
from knowledge import texts
from storage import audit
from storage.communities import Directory
from storage.writer import Reader

SOON = timedelta(minutes=1)  # in which what was put off for a moment is woken
SLACK = timedelta(hours=6)  # a question may be answered so late, with crashes and pauses between


class Broken(Exception):
    """An invariant does not hold; the message tells all that is known of it."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A look: when it was, and how much had arrived by then."""

    at: datetime
    arrived: int = 0


class Watch:
    """Sees every event and every message, and asks every invariant after each step."""

    def __init__(self, clock: Clock, residents: Sequence[Resident], seed: int) -> None:
        self.witness = Witness()
        self.chronicle = Chronicle()
        self.looks = Counter(small=0, whole=0)
        self.steps = 0
        self.crash: Death | None = None  # the latest
        self.up = clock.now()  # since when a house has been standing
        self._clock = clock
        self._residents = {one.ref: one for one in residents}
        self._seed = seed
        self._communities: dict[int, Community] = {}
        self._names: dict[str, set[int]] = {}  # → the communities they are of
        self._mark = Mark(clock.now())  # when we last looked at some
        self._whole_mark = self._mark  # and when at everything
        self._concerned: set[str] = set()
        self._lately: list[Telling] = []  # acknowledged since we last looked
        self._today: list[Telling] = []  # and since we last looked at everything
        self._owed: list[Telling] = []

    def settles_in(self, directory: Directory, config: Config) -> None:
        """The communities are known from now on."""
        ids = {one.name: one.id for one in directory.communities.values()}
        for hood in HOODS:
            quiet = config.book.of(quiet_hours.Settings, hood.name)
            self._communities[ids[hood.name]] = Community(
                id=ids[hood.name],
                name=hood.name,
                zone=hood.zone,
                places=frozenset({hood.group, hood.desk}),
                quiet=(quiet.start, quiet.end),
            )
        self._names = {
            texts.name(one.name): {ids[hood.name] for hood in one.hoods}
            for one in self._residents.values()
        }

    # ---------------------------------------------------------------- seeing

    def happened(self, telling: Telling, name: str) -> None:
        """Somebody of this name did something."""
        event = telling.event
        place = event.where.id if event.where else ""
        line = f"{name} {event.kind} {event.text or event.data}".rstrip()
        self.witness.tell(telling)
        self.chronicle.record(event.at, place=place, who=telling.who, line=line)

    def arrived(self, bubble: Bubble) -> None:
        """The platform has it, and its reader sees it, with the link that may be in it."""
        who = _ref(bubble.place) if bubble.private else ""
        line = f"← {bubble.key}: {bubble.text}"
        self.chronicle.record(self._clock.now(), place=bubble.place, who=who, line=line)
        link = bubble.words.get("link")
        if bubble.private and bubble.key.startswith("referrals.") and isinstance(link, str):
            self._residents[who].learns(link)

    def acknowledged(self, batch: Iterable[Event | Malformed]) -> None:
        """The bot has taken these into its care."""
        fresh = self.witness.newly(batch, now=self._clock.now())
        self._lately += fresh
        self._today += fresh
        gone = {one.who for one in fresh if one.event.kind is Kind.BLOCKED}
        self._owed += [one for one in fresh if one.answerable]
        self._owed = [one for one in self._owed if one.who not in gone]
        self._concerned.update(one.who for one in fresh)

    async def died(self, db: Reader, platform: Platform, death: Death) -> None:
        """The house is dead.  What arrived and was not noted before may be said again."""
        self.crash = death
        noted = {row.message for row in await audit.log(db, since=self._mark.at)}
        for bubble in platform.bubbles[self._mark.arrived :]:
            bubble.answered = bubble.answered and bubble.id in noted
        self.witness.interrupted(platform.queue)
        line = f"† {death.point}"
        self.chronicle.record(self._clock.now(), place="", who="", line=line)

    # ---------------------------------------------------------------- looking

    async def look(self, db: Reader, platform: Platform, *, whole: bool, idle: bool) -> None:
        """Compare the tables with what was seen: all of it, or what concerns the latest step.

        idle: whether nobody in the house is pausing
        Raises `Broken`.
        """
        seen = self._seen(platform, whole=whole)
        self._concerned |= {_ref(bubble.place) for bubble in seen.bubbles if bubble.private}
        if not whole and not self._concerned:
            return
        await evidence.read(db, seen, refs=None if whole else self._concerned)
        if not whole:
            self._attribute(seen)
        soon = [row for row in seen.waiting if row.kind == "woke" and row.due < seen.now + SOON]
        seen.calm = whole and idle and not platform.busy and not soon
        for name, wrong in invariants.broken(seen):
            raise Broken(self._told(name, wrong))
        self._looked(seen)

    def _seen(self, platform: Platform, *, whole: bool) -> Evidence:
        mark, now, witness = (
            self._whole_mark if whole else self._mark,
            self._clock.now(),
            self.witness,
        )
        inside = {one.ref: frozenset(one.inside) for one in self._residents.values() if one.came}
        return Evidence(
            now=now,
            since=mark.at,
            up=self.up,
            whole=whole,
            communities=self._communities,
            tellings=self._today if whole else self._lately,
            malformed=witness.malformed,
            everything=platform.bubbles,
            fresh=mark.arrived,
            latest=platform.latest,
            in_vain=platform.in_vain,
            clockworks=witness.members,
            stopped=witness.stopped,
            owed=[one for one in self._owed if one.known < now - SLACK] if whole else (),
            came_by=witness.came_first_by,
            brought=witness.brought,
            inside=inside if whole else {},
            names=self._names,
        )

    def _attribute(self, seen: Evidence) -> None:
        """The log tells whose doing each was; what must come of it is reckoned from that."""
        whose = {row.at: row.member for row in seen.heard}
        zones = {one.id: self._communities[one.community].zone for one in seen.people}
        for telling in seen.tellings:
            member = whose.get(telling.event.at)
            if member in zones:
                self.witness.dealt_with(telling, member, zones[member], now=seen.now)

    def _looked(self, seen: Evidence) -> None:
        self.looks["whole" if seen.whole else "small"] += 1
        self._mark, self._lately = Mark(seen.now, len(seen.everything)), []
        self._concerned.clear()
        if seen.whole:
            self._whole_mark, self._today = self._mark, []
            paid = {id(one) for one in seen.owed}
            self._owed = [one for one in self._owed if id(one) not in paid]

    def _told(self, name: str, wrong: str) -> str:
        """All that is needed to see it again."""
        who = re.search(r"\bp\d+\b", wrong)
        lines = self.chronicle.lately(who.group()) if who else ()
        when = f"seed {self._seed}, step {self.steps}, {self._clock.now():%Y-%m-%d %H:%M:%S}"
        if self.crash is not None:
            when += f"; the latest crash: {self.crash.point}, due {self.crash.after:%m-%d %H:%M:%S}"
        return "\n".join((f"{name}: {wrong}", when, *(f"  {line}" for line in lines)))


def _ref(place: str) -> str:
    return place.removeprefix("home-")
