"""Broadcasting: a campaign's letters are written down and handed on, a few at a time."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import datetime
from functools import lru_cache

import structlog

from bot import wire
from bot.channels import Said
from bot.delivery import Delivery
from bot.parcels import Parcel, campaign_letter
from bot.worker import Alarm
from handlers.broadcast import NAME
from handlers.turn import Event, Kind, World
from knowledge.texts import clean
from storage import campaigns, members, pending
from storage.campaigns import Campaign, Errand
from storage.database import Database
from storage.pending import Waiting
from storage.writer import Change, Miss

log = structlog.get_logger()

GLANCE = 1.0  # seconds between two looks at what there is to be sent
PAGE = 500  # letters written down at once; there are never many more that wait to be sent


class Broadcasting:
    """Sees to the campaigns, in the process that leads."""

    def __init__(
        self, *, database: Database, world: World, delivery: Delivery, alarm: Alarm
    ) -> None:
        self._database = database
        self._world = world
        self._delivery = delivery
        self._alarm = alarm
        self._behind: dict[int, Waiting] = {}  # campaign → the last letter handed on

    async def run(self) -> None:
        """Send whatever is to be sent, for ever."""
        while True:
            if await self.tick() or not self._delivery.crowd.roomy.is_set():
                await self._roomy()
            else:
                await asyncio.sleep(GLANCE)

    async def tick(self) -> bool:
        """Hand on as much as there is room for; whether anything was done."""
        if not self._delivery.leads:
            self._behind.clear()
            return False
        underway = await campaigns.underway(self._database.reader)
        running = [one for one in underway if one.state == "running"]
        for gone in self._behind.keys() - {one.id for one in running}:
            del self._behind[gone]
        # Each its share of the room there is; the last has what the others leave.
        done = False
        for n, one in enumerate(running):
            share = self._delivery.crowd.room // (len(running) - n)
            done = await self._move(one, share) or done
        for one in underway:
            if one.state == "cancelled":
                done = await self._finish(one) or done
        return done

    async def next_due(self) -> datetime | None:
        """When the next letter that was put off falls due; None when none will."""
        if not self._delivery.leads:
            return None
        db, now = self._database.reader, self._world.clock.now()
        running = await campaigns.underway(db)
        found = [await campaigns.next_due(db, one.id, now) for one in running]
        return min((due for due in found if due is not None), default=None)

    async def _roomy(self) -> None:
        """Wait for room, and not for long: somebody may pause it, or another may begin."""
        with suppress(TimeoutError):
            async with asyncio.timeout(GLANCE):
                await self._delivery.crowd.roomy.wait()

    # ---------------------------------------------------------------- one campaign

    async def _move(self, campaign: Campaign, most: int) -> bool:
        """Hand on its letters that are due; if there are too few, write down the next."""
        if most <= 0:
            return False
        after = self._behind.get(campaign.id)
        if after is None:
            most += len(self._delivery.crowd)  # which are the first to be found again
        now = self._world.clock.now()
        found = await campaigns.errands(
            self._database.reader, campaign.id, now, after=after, most=most
        )
        taken = self._delivery.offer_many([self._parcel(one, campaign) for one in found])
        if taken or len(found) == most:
            self._behind[campaign.id] = found[-1].waiting
        if len(found) == most:
            return bool(taken)
        if await self._write_down(campaign):
            return True
        if after is not None:
            # What was put off, or left, may be due by now: the next look is from the beginning.
            del self._behind[campaign.id]
            return True
        return bool(taken) or (not found and await self._finish(campaign))

    async def _write_down(self, campaign: Campaign) -> bool:
        """Write down the next page of its letters; whether there are any more."""
        count, last = await campaigns.page(self._database.reader, campaign, PAGE)
        if not count:
            return False
        now = self._world.clock.now()
        # Somebody may have paused it, or have left meanwhile: then the next look finds that.
        with suppress(Miss):
            await self._database.writer.settle(
                campaigns.written_down(campaign, count=count, last=last, at=now)
            )
        return True

    async def _finish(self, campaign: Campaign) -> bool:
        """If all its letters have come to an end, note it, and wake whoever tells its author."""
        await self._world.ids.refill()
        now = self._world.clock.now()
        changes = campaigns.finished(campaign, at=now)
        changes += await self._tell(campaign, now)
        try:
            await self._database.writer.settle(changes)
        except Miss:
            return False
        log.info("campaign.finished", campaign=campaign.id, state=campaign.state)
        self._alarm.nudge()
        return True

    async def _tell(self, campaign: Campaign, now: datetime) -> list[Change]:
        author = await members.by_id(self._database.reader, campaign.author or 0)
        if author is None:
            return []
        event = Event(
            kind=Kind.WOKE,
            channel="clock",
            id=f"broadcast.finished:{campaign.id}",
            at=now,
            data="broadcast.finished",
            member=author.id,
            community=campaign.community,
            words={"campaign": campaign.id},
        )
        lane = f"{author.channel}:{author.ref}"
        woken = wire.waking(event, id=self._world.ids.take(), lane=lane, due=now)
        return [pending.put(woken, at=now)]

    # ---------------------------------------------------------------- one letter

    def _parcel(self, errand: Errand, campaign: Campaign) -> Parcel:
        letter = campaign_letter(errand.waiting, campaign.id, errand.member.language)
        return Parcel(
            errand.waiting,
            letter,
            campaign=campaign.id,
            member=errand.member,
            said=said(campaign, errand.waiting.channel, errand.member.name),
        )


def said(campaign: Campaign, channel: str, name: str) -> Said:
    """What a member of this name is told on this channel; pictures go no further than their own."""
    media = tuple((kind, ref, file) for by, kind, ref, file in campaign.media if by == channel)
    return Said(text=_plain(campaign.text).replace(NAME, name), media=media)


_plain = lru_cache(maxsize=16)(clean)
