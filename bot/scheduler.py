"""The clock as a channel: what is due today becomes events, once.

Of several processes one sees to what happens every day and to what is going out; each
sees to its own share of what is due later, and of what came in by others.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import structlog

from bot import metrics, wire
from bot.delivery import Delivery
from bot.pipeline import Pipeline
from bot.worker import Alarm
from handlers.router import Daily, Switchboard
from handlers.turn import Event, Kind, World
from storage import interactions, members, pending, quarantine, sessions, web
from storage.communities import Community, Directory
from storage.database import Database
from storage.members import Member
from storage.pending import Waiting
from storage.writer import Miss

log = structlog.get_logger()

LATE = timedelta(hours=2)  # what should have been done longer ago than this is not done any more
A_DAY = timedelta(days=1)
GLANCE = timedelta(seconds=30)  # the longest time without a look at the clock
GLANCE_IN_COMPANY = timedelta(seconds=2)  # and what others told us may have been lost
REPEATS_KEPT = timedelta(days=3)  # platforms tell again of what is at most a day old


class Scheduler:
    """Hands what is due to who deals with it: wakings to the way in, letters to the way out."""

    def __init__(
        self,
        *,
        database: Database,
        world: World,
        directory: Directory,
        board: Switchboard,
        alarm: Alarm,
        pipeline: Pipeline,
        delivery: Delivery,
        keep: timedelta,
    ) -> None:
        self._database = database
        self._world = world
        self._directory = directory
        self._board = board
        self._alarm = alarm
        self._pipeline = pipeline
        self._delivery = delivery
        self._keep = keep
        self._asked: set[tuple[str, int, str, date]] = set()
        self._looked: datetime | None = None  # when everything daily was last seen to
        self._tidied: date | None = None

    async def run(self) -> None:
        """Look at the clock whenever something is due, for ever."""
        while True:
            nudged = self._alarm.nudged
            await self.tick()
            company = self._database.writer.rings
            glance = self._world.clock.now() + (GLANCE_IN_COMPANY if company else GLANCE)
            await self._alarm.nap(min(await self.next_due() or glance, glance), nudged)

    async def tick(self) -> bool:
        """Hand out everything that is due now; whether there was anything new."""
        now = self._world.clock.now()
        if self._delivery.leads:
            await self._daily(now)
            await self._tidy(now)
        if self._database.writer.rings:
            await self._pipeline.look_elsewhere()
        woken = await self._wakings(now)
        woken += await self._pipeline.catch_up()
        sent = await self.letters(now)
        return bool(woken or sent)

    async def letters(self, now: datetime) -> int:
        """Hand out what is to be said by now, if saying it is ours."""
        if not self._delivery.leads or self._delivery.hand.full:
            return 0
        return await self._hand_out("out", now, self._delivery.offer)

    async def _wakings(self, now: datetime) -> int:
        """Hand out what falls due in our share of the lanes, as far as there is room."""
        pipeline = self._pipeline
        if pipeline.lanes.full() or not pipeline.shares:
            return 0
        return await self._hand_out("woke", now, pipeline.wake, shares=pipeline.shares)

    async def _hand_out(
        self,
        kind: str,
        now: datetime,
        to: Callable[[Iterable[Waiting]], int],
        *,
        shares: Collection[int] = pending.ALL,
    ) -> int:
        """Hand out what is due, about a page of it, behind what is in hand already."""
        taken, last = 0, None
        while taken < pending.PAGE:
            page = await pending.due(self._database.reader, kind, now, after=last, shares=shares)
            taken += to(page)
            if len(page) < pending.PAGE:
                break
            last = page[-1]
        return taken

    async def next_due(self) -> datetime | None:
        """When the next thing that was put off falls due; None when nothing will."""
        now, db = self._world.clock.now(), self._database.reader
        found = [await pending.next_due(db, "woke", now, shares=self._pipeline.shares)]
        if self._delivery.leads:
            found.append(await pending.next_due(db, "out", now))
        return min((due for due in found if due is not None), default=None)

    # ---------------------------------------------------------------- every day

    async def _daily(self, now: datetime) -> None:
        looked = self._looked or await pending.last_seen(self._database.reader) or now
        for community in list(self._directory.communities.values()):
            for zone in await members.zones(self._database.reader, community.id):
                for daily in self._board.dailies:
                    await self._ask(daily, community, zone, now)
                    await self._skip(daily, community, zone, looked, now - LATE)
        self._asked = {one for one in self._asked if one[3] >= now.date() - 3 * A_DAY}
        self._looked = now

    async def _ask(self, daily: Daily, community: Community, zone: str, now: datetime) -> None:
        """Wake everybody in the zone whose local time for this has come, and is not long past."""
        for day, due in showings(self.time_of(daily, community), ZoneInfo(zone), now - LATE, now):
            mark = (daily.name, community.id, zone, day)
            if mark in self._asked:
                continue
            for id in await self._homes(daily, community, zone):
                member = await members.by_id(self._database.reader, id)
                if member is not None:
                    await self._put(daily, community, member, day, due)
            self._asked.add(mark)

    async def _skip(
        self, daily: Daily, community: Community, zone: str, looked: datetime, late: datetime
    ) -> None:
        """Tell and count what nobody was woken for in time, as when the machine was asleep."""
        for day, _ in showings(self.time_of(daily, community), ZoneInfo(zone), looked, late):
            if (daily.name, community.id, zone, day) in self._asked:
                continue
            if count := len(await self._homes(daily, community, zone)):
                metrics.LATE.labels("daily", daily.topic).inc(count)
                log.warning(
                    "daily.skipped", daily=daily.name, day=day.isoformat(), zone=zone, members=count
                )

    async def _homes(self, daily: Daily, community: Community, zone: str) -> list[int]:
        return await members.homes(
            self._database.reader, community=community.id, among=daily.among, zone=zone
        )

    def time_of(self, daily: Daily, community: Community) -> Any:
        """The local time at which this is done every day in this community."""
        shape = next(one.shape for one in self._board.routers if one.name == daily.topic)
        return getattr(self._world.settings.of(shape, community.name), daily.at)

    async def _put(
        self, daily: Daily, community: Community, member: Member, day: date, due: datetime
    ) -> None:
        """Write the waking down, once however many schedulers and restarts there are."""
        await self._world.ids.refill()
        event = Event(
            kind=Kind.WOKE,
            channel="clock",
            id=f"{daily.name}:{member.id}:{day.isoformat()}",
            at=due,
            data=daily.name,
            member=member.id,
            community=community.id,
            until=due + LATE,
        )
        lane = f"{member.channel}:{member.ref}"
        waiting = wire.waking(event, id=self._world.ids.take(), lane=lane, due=due)
        try:
            await self._database.writer.settle(
                pending.taken_in(waiting, at=self._world.clock.now())
            )
        except Miss:
            return  # it had been asked before a restart

    # ---------------------------------------------------------------- housekeeping

    async def _tidy(self, now: datetime) -> None:
        """Once a day, let go of what is not kept any longer."""
        if self._tidied == now.date():
            return
        self._tidied = now.date()
        await self._database.writer.settle(
            [
                pending.forgotten_before(now - REPEATS_KEPT),
                interactions.pruned(now - self._keep),
                web.pruned(now - self._keep),
                quarantine.pruned(now - quarantine.KEPT),
                members.zones_in_force(now.date() - A_DAY),  # by now it is their next day anywhere
                sessions.pruned(now),
            ]
        )


def showings(
    clock: time, zone: ZoneInfo, after: datetime, until: datetime
) -> list[tuple[date, datetime]]:
    """The days on which clocks in the zone show this time, after one moment and until another.

    Returns (local day, when in UTC), once a day: the first time where clocks are put back over
    it; where they are put forward over it, as much later as they jump, so that 02:30 is 03:30.

    >>> berlin = ZoneInfo("Europe/Berlin")
    >>> since, until = datetime(2025, 3, 29, 12, tzinfo=UTC), datetime(2025, 3, 30, 12, tzinfo=UTC)
    >>> [(str(day), f"{due:%H:%M}") for day, due in showings(time(2, 30), berlin, since, until)]
    [('2025-03-30', '01:30')]
    """
    if until <= after:
        return []
    first, last = (moment.astimezone(zone).date() for moment in (after, until))
    days = (first + n * A_DAY for n in range(-1, (last - first).days + 1))
    # A time that is jumped over may be meant for the next day: so the moments decide.
    dues = [(day, datetime.combine(day, clock, zone).astimezone(UTC)) for day in days]
    return [(day, due) for day, due in dues if after < due <= until]
