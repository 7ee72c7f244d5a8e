"""The town: the real house among seeded people, through days, faults and crashes, looked after."""

from __future__ import annotations

import asyncio
import random
import re
from time import monotonic
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

import handlers
from bot import config
from bot.config import Config
from bot.simulation import evidence as evidences
from bot.simulation import invariants
from bot.simulation.chronicle import Chronicle
from bot.simulation.days import A_DAY, planned
from bot.simulation.doings import Questions, Street
from bot.simulation.evidence import Community, Evidence
from bot.simulation.fate import Fate, deaths
from bot.simulation.platform import Bubble, Platform
from bot.simulation.residents import Neighbourhood, Resident, settled
from bot.simulation.steady import Far, Steadied, SteadyHouse, SteadyReader, VirtualClock, way_to_ask
from bot.simulation.witness import Telling, Witness
from handlers import quiet_hours
from handlers.turn import Event, Kind
from knowledge import texts
from knowledge.library import Library
from storage import audit, communities, database, tokens
from storage.database import Database
from storage.facts import Fact

START = datetime(2025, 3, 3, tzinfo=UTC)  # both nights on which clocks are put forward follow soon
MARK = "(demo)"
ARTICLES = Path(__file__).parent.parent.parent / "knowledge" / "articles" / "harbour-tea"
WIND_DOWN = timedelta(days=2)  # without faults: by then all that was owed has been paid
SOON = timedelta(minutes=1)  # in which what was put off for a moment is woken
SLACK = timedelta(hours=6)  # a question may be answered so late, with crashes and pauses between

HOODS = tuple(
    Neighbourhood(
        name=f"{name} {MARK}",
        group=f"group-{n}",
        desk=f"desk-{n}",
        zone=zone,
        language=language,
        link=f"https://town.example/+open{n}",
    )
    for n, (name, zone, language) in enumerate(
        (("Harbour Tea", "Asia/Shanghai", "en"), ("Hillside Books", "Europe/Berlin", "zh"))
    )
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to simulate."""

    url: str
    key: str
    members: int
    days: int
    seed: int
    crashes: int = 0
    faults: bool = False
    start: datetime = START


@dataclass(frozen=True, slots=True)
class Mark:
    """A look: when it was, and how much had arrived by then."""

    at: datetime
    arrived: int = 0


class Broken(Exception):
    """An invariant does not hold; the message tells all that is known of it."""


@dataclass(slots=True)
class Tally:
    """What came of it all."""

    figures: dict[str, int] = field(default_factory=dict)
    steps: int = 0
    looks: Counter[str] = field(default_factory=Counter)  # "small" and "whole"
    seconds: float = 0.0
    digest: str = ""


class Town:
    """Drives the house by hand, and looks at everything after each step."""

    def __init__(self, plan: Plan, *, tell: Callable[[str], None]) -> None:
        """tell: shows a line of progress to whoever waits"""
        self.plan = plan
        self.clock = VirtualClock(plan.start)
        self.tally = Tally()
        self._tell = tell
        self._far = Far()
        span = plan.days * A_DAY
        self.fate = Fate(
            self.clock,
            deaths(self._chance("fate"), count=plan.crashes, start=plan.start, span=span),
        )
        self.platform = Platform(
            self.clock,
            self.fate,
            self._chance("platform"),
            record=self._arrived,
            faults=plan.faults,
        )
        self.witness = Witness()
        self.chronicle = Chronicle()
        self.residents = settled(
            self._chance("residents"), members=plan.members, days=plan.days, hoods=HOODS
        )
        self.street = Street(
            self.platform,
            self.witness,
            self._chance("street"),
            self.residents,
            _questions(),
            record=self._happened,
            faults=plan.faults,
        )
        self._config = _config(plan)
        self._names: dict[str, set[int]] = {}  # → the communities they are of
        self._houses = self._chance("house")
        self._up = plan.start  # since when a house has been standing
        self._standing = False  # whether a house is open
        self._communities: dict[int, Community] = {}
        self._mark = Mark(plan.start)  # when we last looked at some
        self._whole_mark = Mark(plan.start)  # and when at everything
        self._concerned: set[str] = set()
        self._lately: list[Telling] = []  # acknowledged since we last looked
        self._today: list[Telling] = []  # and since we last looked at everything
        self._owed: list[Telling] = []

    def _chance(self, what: str) -> random.Random:
        """Chance of its own for everything, so that one does not change the other."""
        return random.Random(f"{self.plan.seed}:{what}")  # noqa: S311 - no secret comes of it

    def _another(self) -> random.Random:
        """Chance for one house, which the next does not go on with."""
        return random.Random(self._houses.getrandbits(64))  # noqa: S311 - as above

    # ---------------------------------------------------------------- living

    async def live(self) -> Tally:
        """All the days, one after the other.  Raises `Broken` when something is wrong."""
        began = monotonic()
        try:
            await self._open_the_window()
            await self._survive(self._open)
            await self._found()
            chance = self._chance("days")
            for day in range(self.plan.days):
                await self._through(day, chance)
            await self._wind_down()
            self.tally.digest = self.chronicle.digest(await audit.content(self.window))
            self.tally.figures = await self._figures()
        finally:
            await self._close()
        self.tally.seconds = monotonic() - began
        return self.tally

    async def _through(self, day: int, chance: random.Random) -> None:
        start = self.plan.start + day * A_DAY
        for moment, doings in planned(self.street, chance, self.residents, start, day):
            await self._until(moment)
            self.street.begin(moment)
            for who, doing in doings:
                doing(who)
            await self._step()
        self.platform.catch_up()
        await self._until(start + A_DAY)
        self.street.begin(self.clock.now())
        await self._step()
        await self._look(whole=True)
        self._tell(self._day_told(day))

    async def _wind_down(self) -> None:
        """Without faults, until nothing is owed any more."""
        self.platform.calm_down()
        await self._until(self.clock.now() + WIND_DOWN)
        self.street.begin(self.clock.now())
        await self._step()
        await self._look(whole=True)

    async def _step(self) -> None:
        """Let what has happened be told, and all that follows from it at once; then look."""
        self.platform.next_batch()
        while self.platform.queue:
            batch = list(self.platform.queue)
            await self._survive(self.platform.deliver)
            if len(self.platform.queue) < len(batch):
                await self._acknowledged(batch)
            await self._survive(lambda: self.house.settled())
        self.tally.steps += 1
        await self._look(whole=False)

    async def _until(self, moment: datetime) -> None:
        """Let the clock come to this moment (aware), if it has not passed it already."""
        await self._survive(lambda: self._advanced(moment))

    async def _advanced(self, moment: datetime) -> None:
        if self.clock.now() < moment:
            await self.house.advance(moment - self.clock.now())

    async def _acknowledged(self, batch: Iterable[Any]) -> None:
        """Whose doing it was is known once it is in the log."""
        fresh = self.witness.newly(batch, now=self.clock.now())
        self._lately += fresh
        self._today += fresh
        self._owed += [one for one in fresh if one.answerable]
        gone = {one.who for one in fresh if one.event.kind is Kind.BLOCKED}
        self._owed = [one for one in self._owed if one.who not in gone]
        self._concerned.update(one.who for one in fresh)

    # ---------------------------------------------------------------- the house

    async def _open(self) -> None:
        self._standing = False
        self.house = SteadyHouse(
            self._config,
            handlers.discovered(),
            [self.platform],
            self.clock,
            seed=self._houses.getrandbits(32),
            draw=_blank,
            opened=Steadied(self._far, self.fate, self._another()),
            secrets=self._another(),
        )
        await self.house.open()
        self._standing = True
        self._up = self.clock.now()

    async def _survive(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do this; if the house dies over it, start it again, and do it once more."""
        while not await self._lived_through(work):
            await self._bury()
            if work != self._open:
                while not await self._lived_through(self._open):
                    await self._bury()

    async def _lived_through(self, work: Callable[[], Awaitable[None]]) -> bool:
        doing = asyncio.ensure_future(work())  # noqa: TID251 - awaited here
        end = asyncio.ensure_future(self.fate.struck.wait())  # noqa: TID251 - awaited here
        await asyncio.wait((doing, end), return_when=asyncio.FIRST_COMPLETED)
        if self.fate.over:
            return False
        end.cancel()
        await doing
        return True

    async def _bury(self) -> None:
        """As after SIGKILL: nothing is finished, what was not committed never was."""
        own = asyncio.current_task()
        theirs = [one for one in asyncio.all_tasks() if one is not own]
        for task in theirs:
            task.cancel()
        await asyncio.gather(*theirs, return_exceptions=True)
        self.fate.buried = True
        if self._standing:
            await self.house.close()
        await self._note_the_window()
        self.witness.interrupted(self.platform.queue)
        self.fate.reborn()
        death = self.fate.latest
        assert death is not None
        self.clock.move(death.down)
        self.chronicle.record(self.clock.now(), place="", who="", line=f"† {death.point}")

    async def _note_the_window(self) -> None:
        """What arrived and was not noted before the house died may be said again."""
        lately = self.platform.bubbles[self._mark.arrived :]
        noted = {row.message for row in await audit.log(self.window, since=self._mark.at)}
        for bubble in lately:
            bubble.answered = bubble.answered and bubble.id in noted

    async def _open_the_window(self) -> None:
        """Our own view of the tables, which outlives the house."""
        url = self.plan.url
        self._ground = self._far.ask(database.opened(url, self._config.seal))
        self.window = SteadyReader(self._ground.reader, way_to_ask(url, self._far))
        self.platform.speaker = self._speaker

    async def _close(self) -> None:
        if self._standing:
            self.fate.buried = self.fate.over = True
            await self.house.close()
        if hasattr(self, "_ground"):
            self._far.ask(self._ground.close())
        self._far.close()

    # ---------------------------------------------------------------- founding it

    async def _found(self) -> None:
        """The places, the owner, the admins and the staff, before anybody comes."""
        names = {one.name: one for one in self.house.directory.communities.values()}
        now, ids = self.clock.now(), self.house.world.ids
        changes = [
            communities.bound(
                id=ids.take(),
                community=names[hood.name].id,
                channel=Platform.name,
                ref=ref,
                kind=kind,
                title=hood.name,
                at=now,
            )
            for hood in HOODS
            for ref, kind in ((hood.group, "group"), (hood.desk, "staff"))
        ]
        self._communities = {
            names[hood.name].id: Community(
                id=names[hood.name].id,
                name=hood.name,
                zone=hood.zone,
                places=frozenset({hood.group, hood.desk}),
                quiet=self._quiet(hood),
            )
            for hood in HOODS
        }
        self._names = {
            texts.name(one.name): {names[hood.name].id for hood in one.hoods}
            for one in self.residents
        }
        self._far.ask(self._ground.writer.settle(changes))
        token = f"{self._houses.getrandbits(90):x}"
        issued = tokens.issued(token, purpose="owner", expires=now + A_DAY)
        self._far.ask(self._ground.writer.settle(issued))
        await self._survive(self.house.pipeline.reload)
        for who in self.residents:
            if who.role:
                await self._comes_to_work(who, token)

    async def _comes_to_work(self, who: Resident, token: str) -> None:
        await self._until(self.clock.now() + timedelta(minutes=3))
        self.street.begin(self.clock.now())
        who.came = True
        self.street.enters(who, who.hood.group)
        self.street.starts(who, f"owner_{token}" if who.role == "owner" else "")
        if who.role == "admin":
            self.street.ranks(who, who.hood.group)
        if who.role == "staff":
            self.street.sits_down(who)
        await self._step()

    def _quiet(self, hood: Neighbourhood) -> tuple[time, time]:
        hours = self._config.book.of(quiet_hours.Settings, hood.name)
        return hours.start, hours.end

    # ---------------------------------------------------------------- looking

    async def _look(self, *, whole: bool) -> None:
        """Compare the tables with what was seen.  Raises `Broken`."""
        seen = self._seen(whole=whole)
        self._concerned |= {_ref(bubble.place) for bubble in seen.bubbles if bubble.private}
        if not whole and not self._concerned:
            return
        await evidences.read(self.window, seen, refs=None if whole else self._concerned)
        if not whole:
            self._attribute(seen)
        seen.calm = whole and self._calm(seen)
        for name, wrong in invariants.broken(seen):
            raise Broken(self._told(name, wrong))
        self.tally.looks["whole" if whole else "small"] += 1
        mark = Mark(self.clock.now(), len(self.platform.bubbles))
        self._mark, self._lately = mark, []
        self._concerned.clear()
        if whole:
            self._whole_mark, self._today = mark, []
            self._owed = [one for one in self._owed if one not in seen.owed]

    def _seen(self, *, whole: bool) -> Evidence:
        mark, now, witness = (
            self._whole_mark if whole else self._mark,
            self.clock.now(),
            self.witness,
        )
        came = [one for one in self.residents if one.came]
        return Evidence(
            now=now,
            since=mark.at,
            up=self._up,
            whole=whole,
            communities=self._communities,
            tellings=self._today if whole else self._lately,
            malformed=witness.malformed,
            everything=self.platform.bubbles,
            fresh=mark.arrived,
            latest=self.platform.latest,
            in_vain=self.platform.in_vain,
            clockworks=witness.members,
            stopped=witness.stopped,
            owed=[one for one in self._owed if one.known < now - SLACK] if whole else (),
            came_by=witness.came_first_by,
            brought=witness.brought,
            inside={one.ref: frozenset(one.inside) for one in came} if whole else {},
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

    def _calm(self, seen: Evidence) -> bool:
        """Whether nothing is on its way: nobody pauses, nothing is to be told, or woken soon."""
        soon = seen.now + SOON
        idle = self.house.alarm.next is None and not self.platform.busy
        return idle and not any(row.kind == "woke" and row.due < soon for row in seen.waiting)

    def _told(self, name: str, wrong: str) -> str:
        """All that is needed to see it again."""
        plan, who = self.plan, re.search(r"\bp\d+\b", wrong)
        lines = self.chronicle.lately(who.group()) if who else ()
        return "\n".join(
            (
                f"{name}: {wrong}",
                f"seed {plan.seed}, step {self.tally.steps}, {self.clock.now():%Y-%m-%d %H:%M:%S}",
                f"crash {self.fate.count} was the latest: {self.fate.latest}",
                *(f"  {line}" for line in lines),
            )
        )

    # ---------------------------------------------------------------- what is told of it

    def _happened(self, telling: Telling, name: str) -> None:
        event = telling.event
        place = event.where.id if event.where else ""
        line = f"{name} {event.kind} {event.text or event.data}".rstrip()
        self.chronicle.record(event.at, place=place, who=telling.who, line=line)

    def _arrived(self, bubble: Bubble) -> None:
        """The platform has it, and its reader sees it."""
        who = _ref(bubble.place) if bubble.private else ""
        line = f"← {bubble.key}: {bubble.text}"
        self.chronicle.record(self.clock.now(), place=bubble.place, who=who, line=line)
        link = bubble.words.get("link")
        if bubble.private and bubble.key.startswith("referrals.") and isinstance(link, str):
            someone = self.street.residents[who]
            if link not in someone.links:
                someone.links.append(link)

    async def _speaker(self, place: str) -> str:
        """Who speaks in this private chat; "bot" where it does in any of their communities."""
        speakers = await audit.speaks_with(self.window, _ref(place))
        return "bot" if "bot" in speakers or not speakers else min(speakers)

    def _day_told(self, day: int) -> str:
        inside = sum(bool(one.inside) for one in self.residents)
        return (
            f"day {day + 1:>3} of {self.plan.days}: {inside:>5} inside,"
            f" {self.platform.told:>7} events, {len(self.platform.bubbles):>7} messages,"
            f" {self.fate.count:>3} crashes"
        )

    async def _figures(self) -> dict[str, int]:
        facts = Counter(one.name for one in await audit.facts(self.window))
        platform = self.platform
        return {
            "joined": facts[Fact.JOINED],
            "check-ins": facts[Fact.CHECKED_IN],
            "questions": facts[Fact.ASKED],
            "answered": facts[Fact.ANSWERED],
            "handoffs": facts[Fact.HANDED_OVER],
            "referrals": facts[Fact.REFERRED],
            "events": platform.told,
            "events told again": platform.repeats,
            "messages": len(platform.bubbles),
            "messages unconfirmed": sum(not one.answered for one in platform.bubbles),
            "troubles": sum(platform.troubles.values()),
            "crashes survived": self.fate.count,
            "steps": self.tally.steps,
            "invariants checked": self.tally.looks.total() * len(invariants.ALL),
        }


def _ref(place: str) -> str:
    return place.removeprefix("home-")


def _questions() -> Questions:
    entries = Library.load(ARTICLES).entries
    questions: dict[tuple[str, bool], list[str]] = {
        (hood.name, chinese): [] for hood in HOODS for chinese in (False, True)
    }
    for entry in entries:
        questions[HOODS[0].name, entry.language == "zh"] += entry.phrasings
    return questions


def _config(plan: Plan) -> Config:
    contents = {
        "storage": {"url": plan.url, "seal_key": plan.key},
        "community": [
            {"name": hood.name, "zone": hood.zone, "language": hood.language} for hood in HOODS
        ],
    }
    contents["community"][0]["knowledge"] = str(ARTICLES)  # type: ignore[index]
    contents["community"][1]["quiet_hours"] = {"start": "23:00:00", "end": "09:00:00"}  # type: ignore[index]
    return config.checked(Path("simulation.toml").absolute(), contents, handlers.discovered())


async def _blank(name: str, words: dict[str, Any]) -> bytes:
    """Pictures stay blank: drawing them takes a tenth of a second, and tells nothing here."""
    return b""
