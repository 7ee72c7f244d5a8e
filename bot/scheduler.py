"""The clock as a channel: what is due today becomes events, once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import structlog

from bot import wire
from bot.worker import Alarm
from handlers.router import Daily, Switchboard
from handlers.turn import Event, Kind, World
from storage import interactions, members, pending, quarantine, web
from storage.communities import Community, Directory
from storage.database import Database
from storage.members import Member
from storage.pending import Waiting
from storage.writer import Miss

log = structlog.get_logger()

LATE = timedelta(hours=2)  # what should have been done longer ago than this is not done any more
STRAYED = timedelta(minutes=1)  # an event nobody has in hand for so long is taken up again
GLANCE = timedelta(seconds=30)  # the longest time without a look at the clock
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
        wake: Callable[[Iterable[Waiting]], int],
        send: Callable[[Iterable[Waiting]], int],
        keep: timedelta,
    ) -> None:
        self._database = database
        self._world = world
        self._directory = directory
        self._board = board
        self._alarm = alarm
        self._wake = wake
        self._send = send
        self._keep = keep
        self._asked: set[tuple[str, int, str, date]] = set()
        self._tidied: date | None = None

    async def run(self) -> None:
        """Look at the clock whenever something is due, for ever."""
        while True:
            nudged = self._alarm.nudged
            await self.tick()
            glance = self._world.clock.now() + GLANCE
            await self._alarm.nap(min(await self.next_due() or glance, glance), nudged)

    async def tick(self) -> bool:
        """Hand out everything that is due now; whether there was anything new."""
        now = self._world.clock.now()
        await self._daily(now)
        await self._tidy(now)
        woken = await self._hand_out("woke", now, self._wake)
        woken += await self._hand_out("in", now - STRAYED, self._wake)
        sent = await self._hand_out("out", now, self._send)
        return bool(woken or sent)

    async def _hand_out(
        self, kind: str, now: datetime, to: Callable[[Iterable[Waiting]], int]
    ) -> int:
        """Hand out what is due, about a page of it, behind what is in hand already."""
        taken, last = 0, None
        while taken < pending.PAGE:
            page = await pending.due(self._database.reader, kind, now, after=last)
            taken += to(page)
            if len(page) < pending.PAGE:
                break
            last = page[-1]
        return taken

    async def next_due(self) -> datetime | None:
        """When the next thing that was put off falls due; None when nothing will."""
        now, db = self._world.clock.now(), self._database.reader
        found = [await pending.next_due(db, kind, now) for kind in ("woke", "out")]
        return min((due for due in found if due is not None), default=None)

    # ---------------------------------------------------------------- every day

    async def _daily(self, now: datetime) -> None:
        for community in list(self._directory.communities.values()):
            for zone in await members.zones(self._database.reader, community.id):
                for daily in self._board.dailies:
                    await self._ask(daily, community, zone, now)

    async def _ask(self, daily: Daily, community: Community, zone: str, now: datetime) -> None:
        """Wake everybody in the zone whose local time for this has come, and is not long past."""
        local = now.astimezone(ZoneInfo(zone))
        due = datetime.combine(local.date(), self.time_of(daily, community), ZoneInfo(zone))
        mark = (daily.name, community.id, zone, local.date())
        if not due <= now < due + LATE or mark in self._asked:
            return
        ids = await members.homes(
            self._database.reader, community=community.id, among=daily.among, zone=zone
        )
        for id in ids:
            member = await members.by_id(self._database.reader, id)
            if member is not None:
                await self._put(daily, community, member, due)
        self._asked = {one for one in self._asked if one[3] >= local.date() - timedelta(days=1)}
        self._asked.add(mark)

    def time_of(self, daily: Daily, community: Community) -> Any:
        """The local time at which this is done every day in this community."""
        shape = next(one.shape for one in self._board.routers if one.name == daily.topic)
        return getattr(self._world.settings.of(shape, community.name), daily.at)

    async def _put(self, daily: Daily, community: Community, member: Member, due: datetime) -> None:
        """Write the waking down, once however many schedulers and restarts there are."""
        await self._world.ids.refill()
        event = Event(
            kind=Kind.WOKE,
            channel="clock",
            id=f"{daily.name}:{member.id}:{due.date().isoformat()}",
            at=due,
            data=daily.name,
            member=member.id,
            community=community.id,
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
                members.zones_in_force(now.date()),
            ]
        )
