"""The town: the real house among seeded people, driven through days, faults and crashes."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic

import handlers
from bot.simulation import invariants, scenario
from bot.simulation.days import A_DAY, SLOT, planned
from bot.simulation.doings import Street
from bot.simulation.fate import Death, Fate, deaths
from bot.simulation.platform import Platform
from bot.simulation.residents import Resident, settled
from bot.simulation.scenario import HOODS, Plan
from bot.simulation.steady import (
    Far,
    Steadied,
    SteadyHouse,
    SteadyReader,
    VirtualClock,
    way_to_ask,
)
from bot.simulation.watch import Watch
from storage import audit, communities, database, tokens
from storage.facts import Fact
from storage.sealing import Seal

WIND_DOWN = timedelta(days=2)  # without faults: by then all that was owed has been paid


@dataclass(frozen=True, slots=True)
class Tally:
    """What came of it all."""

    figures: dict[str, int]
    digest: str
    seconds: float  # real ones


class Town:
    """Drives the house by hand, and has everything looked at after each step."""

    def __init__(self, plan: Plan, *, tell: Callable[[str], None]) -> None:
        """tell: shows a line of progress to whoever waits"""
        self.plan = plan
        self.clock = VirtualClock(plan.start)
        self._tell = tell
        self._config = scenario.configured(plan)
        self._houses = self._chance("houses")
        self._standing = False  # whether a house is open
        self._far = Far()
        # Our own way to the database, which outlives the house.
        self._ground = self._far.ask(database.opened(plan.url, Seal.of(plan.key)))
        self._window = SteadyReader(self._ground.reader, way_to_ask(plan.url, self._far))
        self.fate = Fate(self.clock, self._deaths())
        self.residents = settled(
            self._chance("residents"), members=plan.members, days=plan.days, hoods=HOODS
        )
        self.watch = Watch(self.clock, self.residents, plan.seed)
        self.platform = Platform(
            self.clock,
            self.fate,
            self._chance("platform"),
            record=self.watch.arrived,
            speaker=self._speaker,
            faults=plan.faults,
        )
        self.street = Street(
            self.platform,
            self.watch.witness,
            self._chance("street"),
            self.residents,
            scenario.questions(),
            record=self.watch.happened,
            faults=plan.faults,
        )

    def _chance(self, what: str) -> random.Random:
        """Chance of its own for everything, so that one does not change the other."""
        return random.Random(f"{self.plan.seed}:{what}")  # noqa: S311 - no secret comes of it

    def _another(self) -> random.Random:
        """Chance for one house, which the next does not go on with."""
        return random.Random(self._houses.getrandbits(64))  # noqa: S311 - as above

    def _deaths(self) -> list[Death]:
        plan = self.plan
        span = plan.days * A_DAY
        return deaths(self._chance("fate"), count=plan.crashes, start=plan.start, span=span)

    # ---------------------------------------------------------------- living

    async def live(self) -> Tally:
        """All the days, one after the other.  Raises `Broken` when something is wrong."""
        began = monotonic()
        try:
            await self._survive(self._open)
            await self._found()
            chance = self._chance("days")
            for day in range(self.plan.days):
                await self._through(day, chance)
            await self._wind_down()
            digest = self.watch.chronicle.digest(await audit.content(self._window))
            return Tally(await self._figures(), digest, monotonic() - began)
        finally:
            await self._close()

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
        await self._step()
        await self._look(whole=True)
        self._tell(self._day_told(day))

    async def _wind_down(self) -> None:
        """Without faults, until nothing is owed any more."""
        self.platform.calm_down()
        await self._until(self.clock.now() + WIND_DOWN)
        await self._step()
        await self._look(whole=True)

    async def _step(self) -> None:
        """Let what has happened be told, and all that follows from it at once; then look."""
        self.platform.next_batch()
        while batch := list(self.platform.queue):
            await self._survive(self.platform.deliver)
            self.watch.acknowledged(batch)
            await self._survive(lambda: self.house.settled())
        self.watch.steps += 1
        await self._look(whole=False)

    async def _until(self, moment: datetime) -> None:
        """Let the clock come to this moment (aware), if it has not passed it already."""
        await self._survive(lambda: self._advanced(moment))

    async def _advanced(self, moment: datetime) -> None:
        if self.clock.now() < moment:
            await self.house.advance(moment - self.clock.now())

    async def _look(self, *, whole: bool) -> None:
        idle = self.house.alarm.next is None
        await self.watch.look(self._window, self.platform, whole=whole, idle=idle)

    async def _speaker(self, place: str) -> str:
        """Who speaks in this private chat; "bot" where it does in any of their communities."""
        speakers = await audit.speaks_with(self._window, place.removeprefix("home-"))
        return "bot" if "bot" in speakers or not speakers else min(speakers)

    # ---------------------------------------------------------------- the house

    async def _open(self) -> None:
        self._standing = False
        self.house = SteadyHouse(
            self._config,
            handlers.discovered(),
            [self.platform],
            self.clock,
            seed=self._houses.getrandbits(32),
            draw=scenario.blank,
            opened=Steadied(self._far, self.fate, self._another()),
            secrets=self._another(),
        )
        await self.house.open()
        self._standing = True
        self.watch.up = self.clock.now()

    async def _survive(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do this; if the house dies over it, start it again, and do it once more."""
        while not await self._lived_through(work):
            await self._bury()
            while work != self._open and not await self._lived_through(self._open):
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
        death = self.fate.reborn()
        await self.watch.died(self._window, self.platform, death)
        self.clock.move(death.down)

    async def _close(self) -> None:
        self.fate.over = self.fate.buried = True
        if self._standing:
            await self.house.close()
        self._far.ask(self._ground.close())
        self._far.close()

    # ---------------------------------------------------------------- founding it

    async def _found(self) -> None:
        """The places, the owner, the admins and the staff, before anybody comes."""
        ids = {one.name: one.id for one in self.house.directory.communities.values()}
        now = self.clock.now()
        places = [
            communities.bound(
                id=self.house.world.ids.take(),
                community=ids[hood.name],
                channel=Platform.name,
                ref=ref,
                kind=kind,
                title=hood.name,
                at=now,
            )
            for hood in HOODS
            for ref, kind in ((hood.group, "group"), (hood.desk, "staff"))
        ]
        token = f"{self._houses.getrandbits(90):x}"
        owner = tokens.issued(token, purpose="owner", expires=now + A_DAY)
        self._far.ask(self._ground.writer.settle([*places, *owner]))
        await self._survive(lambda: self.house.pipeline.reload())
        self.watch.settles_in(self.house.directory, self._config)
        for who in self.residents:
            if who.role:
                await self._comes_to_work(who, token)

    async def _comes_to_work(self, who: Resident, token: str) -> None:
        await self._until(self.clock.now() + SLOT)
        self.street.begin(self.clock.now())
        who.came = True
        self.street.enters(who, who.hood.group)
        self.street.starts(who, f"owner_{token}" if who.role == "owner" else "")
        if who.role == "admin":
            self.street.ranks(who, who.hood.group)
        if who.role == "staff":
            self.street.sits_down(who)
        await self._step()

    # ---------------------------------------------------------------- what is told of it

    def _day_told(self, day: int) -> str:
        inside = sum(bool(one.inside) for one in self.residents)
        return (
            f"day {day + 1:>3} of {self.plan.days}: {inside:>6,} inside,"
            f" {self.platform.told:>8,} events, {len(self.platform.bubbles):>8,} messages,"
            f" {self.fate.count:>4} crashes"
        )

    async def _figures(self) -> dict[str, int]:
        facts = Counter(one.name for one in await audit.facts(self._window))
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
            "messages arrived": len(platform.bubbles),
            "of these unconfirmed": sum(not one.answered for one in platform.bubbles),
            "faults of the platform": sum(platform.troubles.values()),
            "crashes survived": self.fate.count,
            "steps": self.watch.steps,
            "invariants checked": self.watch.looks.total() * len(invariants.ALL),
        }
