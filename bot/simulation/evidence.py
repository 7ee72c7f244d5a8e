"""Evidence: what the tables say and what was seen outside, side by side at one moment."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time

from bot.simulation.platform import Bubble
from bot.simulation.witness import Clockwork, Telling
from storage import audit
from storage.audit import Happened, Issue, Logged, Person, Talk, Waits
from storage.writer import Reader


@dataclass(slots=True)
class Community:
    """What of a community's settings matters here."""

    id: int
    name: str
    zone: str
    places: frozenset[str]  # its group and its staff place
    quiet: tuple[time, time]  # from, until


@dataclass(slots=True)
class Evidence:
    """Everything, or what concerns a few people and the latest step.

    whole: whether the rows are all there are, so that sums mean something
    calm:  whether nothing is on its way: then what should have come has come
    """

    now: datetime
    since: datetime  # when somebody last looked
    up: datetime  # since when the house has been standing
    whole: bool = True
    calm: bool = True
    communities: Mapping[int, Community] = field(default_factory=dict)
    # the tables
    people: Sequence[Person] = ()
    facts: Sequence[Happened] = ()
    cases: Sequence[Issue] = ()
    talks: Sequence[Talk] = ()
    log: Sequence[Logged] = ()  # lately
    said: Mapping[int, int] = field(default_factory=dict)  # member → messages in the log
    waiting: Sequence[Waits] = ()
    set_aside: Sequence[str] = ()
    # the outside
    tellings: Sequence[Telling] = ()  # acknowledged lately
    heard: Sequence[Logged] = ()  # the log's rows of them
    malformed: Collection[str] = ()
    everything: Sequence[Bubble] = ()  # all that ever arrived, in order
    fresh: int = 0  # how much of that had arrived when somebody last looked
    in_vain: Sequence[tuple[datetime, str, str]] = ()  # said to whom who had stopped the bot
    clockworks: Mapping[int, Clockwork] = field(default_factory=dict)  # by member
    stopped: Mapping[str, datetime] = field(default_factory=dict)  # who stopped the bot, as it knew
    latest: Mapping[str, int] = field(default_factory=dict)  # place → its latest arrival
    owed: Sequence[Telling] = ()  # what was to be answered by now
    came_by: Mapping[str, str] = field(default_factory=dict)  # newcomer → whose link it was
    brought: Mapping[str, Collection[str]] = field(default_factory=dict)  # → whose links they used
    inside: Mapping[str, frozenset[str]] = field(default_factory=dict)  # person → groups
    names: Mapping[str, Collection[int]] = field(default_factory=dict)  # → communities they are of

    @property
    def bubbles(self) -> Sequence[Bubble]:
        """What arrived lately."""
        return self.everything[self.fresh :]

    def by_id(self) -> dict[int, Person]:
        """The members, by their ids."""
        return {one.id: one for one in self.people}

    def zone_of(self, person: Person) -> str:
        """The zone a member's day goes by."""
        return person.zone or self.communities[person.community].zone


async def read(db: Reader, evidence: Evidence, *, refs: Collection[str] | None) -> None:
    """Fill in what the tables say: everything, or only of these people."""
    ids = None if refs is None else await audit.members_of(db, sorted(refs))
    evidence.people = await audit.people(db, ids)
    evidence.facts = await audit.facts(db, ids)
    evidence.cases = await audit.issues(db, ids)
    evidence.talks = await audit.talks(db, ids)
    evidence.said = await audit.said_by(db, ids)
    evidence.heard = await audit.heard_at(db, [one.event.at for one in evidence.tellings])
    evidence.log = await audit.log(db, since=evidence.since)
    evidence.waiting = await audit.waiting(db)
    evidence.set_aside = await audit.set_aside(db)
