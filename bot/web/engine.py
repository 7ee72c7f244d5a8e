"""The machine room: what waits, what became of what was said, and whether everybody is heard."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from importlib import metadata
from typing import Any

from bot.app import House
from bot.parcels import TWICE
from bot.web import charts
from bot.web.almanac import Almanac
from bot.web.figures import MINUTE, Figures
from storage import reports
from storage.reports import Queue
from storage.writer import Reader

DAYS = 7
OUTCOMES = (("jade", "sent"), ("cinnabar", "failed"), ("amber", "withheld"), ("plum", "unknown"))


@dataclass(frozen=True, slots=True)
class Outcome:
    """How much of what was said ended like this, and why, most frequent first."""

    name: str
    colour: str
    count: int
    reasons: Sequence[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class Room:
    """Everything on the page."""

    everybody: bool  # all communities together
    queues: Sequence[Queue]
    since: date
    said: int
    outcomes: Sequence[Outcome]
    bar: Any
    unknown: int
    repeats: int
    heard: Mapping[str, str]  # channel → when it was last heard from, in words
    kind: str
    megabytes: float
    version: str


class MachineRoom:
    """Asks the queue, the log, and the process itself."""

    def __init__(self, house: House, almanac: Almanac) -> None:
        self._house = house
        self._almanac = almanac

    async def told(self, db: Reader, figures: Figures, *, community: int | None) -> Room:
        """How the machine is doing.

        community: whose messages are counted; None for those of all of them
        """
        since = figures.today - timedelta(days=DAYS - 1)
        outcomes = await self._outcomes(db, figures, since, community)
        counts = {one.name: one.count for one in outcomes}
        said = sum(counts.values())
        told = ", ".join(
            f"{figures.say(f'outcome.{one.name}')} {figures.number(one.count)}" for one in outcomes
        )
        kind, size = await reports.size(self._house.database, db)
        return Room(
            everybody=community is None,
            queues=await reports.queues(db, now=figures.now, community=community),
            since=since,
            said=said,
            outcomes=[one for one in outcomes if one.count],
            bar=charts.bar([(one.colour, one.count) for one in outcomes], said, title=told),
            unknown=counts["unknown"],
            repeats=sum(n for one in outcomes for reason, n in one.reasons if reason == TWICE),
            heard={
                name: _heard(channel.fresh(), figures)
                for name, channel in self._house.channels.items()
            },
            kind=kind,
            megabytes=round(size / 1_000_000, 1),
            version=metadata.version("innkeeper"),
        )

    async def _outcomes(
        self, db: Reader, figures: Figures, since: date, community: int | None
    ) -> list[Outcome]:
        async def ask(since: datetime, until: datetime) -> dict[str, int]:
            return await reports.outcomes(db, since=since, until=until, community=community)

        days = await self._almanac.days(
            ("outcomes", community), ask, first=since, last=figures.today, zone=figures.zone
        )
        whole: Counter[str] = Counter()
        for day in days.values():
            whole += day
        return [_outcome(name, colour, whole) for colour, name in OUTCOMES]


def _outcome(name: str, colour: str, whole: Counter[str]) -> Outcome:
    mine = Counter(
        {told: n for told, n in whole.items() if told.partition(":")[0] == name}
    ).most_common()
    reasons = [(reason.strip(), n) for told, n in mine if (reason := told.partition(":")[2])]
    return Outcome(name, colour, sum(n for _, n in mine), reasons)


def _heard(at: datetime | None, figures: Figures) -> str:
    if at is None:
        return figures.say("machine.unheard")
    if figures.now - at < MINUTE:
        return figures.say("machine.heard_now")
    return figures.say("machine.heard", span=figures.since(at))
