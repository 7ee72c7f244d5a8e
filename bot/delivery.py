"""The single way out: what is due, on its channel, within its limits, until said or hopeless."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace as altered
from datetime import datetime, timedelta
from typing import Any, TypeVar

import msgspec
import structlog
from msgspec.structs import replace

from bot import metrics, wire
from bot.breaker import Breaker
from bot.channels import (
    Ability,
    Channel,
    Faltered,
    Impossible,
    NotNow,
    PlaceMoved,
    Said,
    ThreadGone,
    Unreachable,
)
from bot.crowd import Crowd, Tally
from bot.hand import Hand
from bot.pace import Slot
from bot.parcels import FAILED, SENT, TWICE, UNKNOWN, WITHHELD, Parcel, done_with, opened
from bot.rendering import Renderer, kept
from bot.studio import Draw
from bot.turnstile import Gates
from bot.worker import Activity, Alarm, Lanes
from handlers.router import Outgoing, Switchboard, Withheld
from handlers.turn import Event, Kind, Letter, To, Where, World
from storage import (
    campaigns,
    communities,
    conversations,
    interactions,
    members,
    pending,
    quarantine,
    shares,
    threads,
)
from storage.communities import Directory
from storage.database import Database
from storage.members import Member
from storage.pending import Waiting
from storage.quarantine import Quarantined
from storage.threads import Thread
from storage.writer import Change, Miss, Unavailable

log = structlog.get_logger()

T = TypeVar("T")

PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)  # seconds between tries; the last one repeats
STUBBORN = 4  # tries of one message before those behind it go first
HOPELESS = timedelta(hours=24)  # an answer nobody could be given for a day is given up
REOPENINGS = 3  # times a deleted topic is opened anew for one message

LONG = 1.0  # seconds of waiting for leave, after which it is asked again whether to say it


class Delivery:
    """Says what is due: each chat's messages in order, chats side by side."""

    def __init__(
        self,
        *,
        database: Database,
        world: World,
        directory: Directory,
        board: Switchboard,
        channels: Mapping[str, Channel],
        activity: Activity,
        alarm: Alarm,
        monotonic: Callable[[], float],
        take_up: Callable[[Iterable[Waiting]], int],
        reload: Callable[[], Awaitable[None]],
        draw: Draw,
    ) -> None:
        self._database = database
        self._world = world
        self._directory = directory
        self._board = board
        self._channels = channels
        self._activity = activity
        self._alarm = alarm
        self._take_up = take_up  # deals with what came of an act
        self._reload = reload
        self._renderer = Renderer(world, draw)
        self._monotonic = monotonic
        self.leads = False  # of several processes one says what is to be said
        self._breakers: dict[str, Breaker] = {}
        self._doubted: datetime | None = None  # what waited then may have been said already
        self._headed: set[str] = set()  # lanes of which that is known by now
        self.hand = Hand(monotonic, alarm.nudge)
        self.crowd = Crowd()
        self._tally = Tally(self._kept)
        self._presses: set[asyncio.Task[None]] = set()
        self.lanes: Lanes[Waiting | Parcel] = Lanes(self._finish, activity, alarm)
        self._gates = Gates(channels, monotonic, activity, self.lanes.aside)

    # ---------------------------------------------------------------- taking up

    def offer(self, waiting: Iterable[Waiting]) -> int:
        """Say what is due of these, the others are found when they are; how many were taken up.

        What there is no room for is left where it is written down, with what follows it.
        """
        now, taken = self._world.clock.now(), 0
        for one in waiting:
            if self.leads and one.due <= now and self.hand.takes(one):
                self.lanes.put(one.lane, one)
                taken += 1
        return taken

    def offer_many(self, parcels: Iterable[Parcel]) -> int:
        """Say these letters of a campaign as far as there is room; how many were taken up."""
        taken = 0
        for parcel in parcels:
            one = parcel.waiting
            if self.leads and self.crowd.room and not self._known(one):
                self.crowd.take(one)
                self.lanes.put(one.lane, parcel)
                taken += 1
        return taken

    def _known(self, one: Waiting) -> bool:
        return one in self.crowd or self.hand.has(one) or self.hand.left_in(one.lane)

    def acknowledge(self, channel: str, press: str) -> None:
        """Tell the channel that a button's press was heard; if that fails, nothing is lost."""
        self._activity.begin()
        work = self._acknowledge(channel, press)
        task = asyncio.create_task(work, name="acknowledge")  # noqa: TID251 - kept in `_presses`
        self._presses.add(task)
        task.add_done_callback(self._presses.discard)

    async def _acknowledge(self, channel: str, press: str) -> None:
        try:
            await self._channels[channel].acknowledge(press)
        except (NotNow, Unreachable, Impossible, Faltered) as error:
            log.info("acknowledge.failed", channel=channel, fault=type(error).__name__)
        finally:
            self._activity.end()

    async def lead(self) -> None:
        """Say what is due from now on; what was being said when another ended is not said again."""
        db, now = self._database.reader, self._world.clock.now()
        self._doubted = now if shares.OUT in await shares.ended_over(db) else None
        self._headed.clear()
        await self._kept(shares.taken([shares.OUT]))
        for waiting in await pending.in_doubt(db):
            await self._settle(opened(waiting), UNKNOWN)
        await self._gates.open(self._database.reader, self._world.clock.now())
        self.crowd.keep_to(self._gates.rate)
        self.leads = True

    async def rest(self, within: float) -> None:
        """Take up nothing more; what is being said may be finished within so many seconds."""
        self.leads = False
        self._gates.dismiss()
        left = await self.lanes.leave(within)
        for work in left:
            self._let_go(work.waiting if isinstance(work, Parcel) else work)
        self.hand.forget_left()

    async def let_go(self) -> None:
        """We led, and end in good order: nothing that waits may have been said already."""
        if not self.lanes.broke_off:
            await self._database.writer.settle(shares.in_order([shares.OUT]))

    def _in_doubt(self, waiting: Waiting) -> bool:
        """Whether whoever said things before us may have said this, and ended before noting it.

        Of each lane that can only be what was first in it.
        """
        if self._doubted is None or waiting.created is None or waiting.created > self._doubted:
            return False
        first = waiting.lane not in self._headed
        self._headed.add(waiting.lane)
        return first

    async def _finish(self, work: Waiting | Parcel) -> None:
        """Deal with one letter until it is said, put off, or hopeless."""
        waiting = work.waiting if isinstance(work, Parcel) else work
        try:
            parcel = work if isinstance(work, Parcel) else opened(work)
            parcel.again = parcel.again or self._in_doubt(waiting)
            while not await self._tried(parcel):
                parcel.tries += 1
        except msgspec.MsgspecError:
            await self._unreadable(waiting)
        finally:
            self._let_go(waiting)

    def _let_go(self, waiting: Waiting) -> None:
        """It is in hand no more."""
        self.crowd.let_go(waiting)
        self.hand.let_go(waiting)

    async def _tried(self, parcel: Parcel) -> bool:
        """Try once; whether the letter is done with."""
        try:
            if await self._held(parcel):
                return True
            await self._say_or_do(parcel)
        except Unavailable:
            await self.lanes.pause(1.0)
            return False
        except NotNow as slow:
            return await self._slow_down(parcel, slow)
        except PlaceMoved as moved:
            await self._follow(parcel, moved.to)
            return False
        except ThreadGone:
            return await self._lost_thread(parcel)
        except Unreachable:
            await self._settle(parcel, FAILED, reason="unreachable")
            return True
        except Impossible as wrong:
            log.warning("send.impossible", channel=parcel.to.channel, reason=str(wrong))
            await self._settle(parcel, FAILED, reason=str(wrong))
            return True
        except Faltered as unclear:
            return await self._faltered(parcel, unclear)
        except Exception as fault:
            await self._set_aside(parcel, fault)
        return True

    # ---------------------------------------------------------------- may it be said?

    async def _held(self, parcel: Parcel) -> bool:
        """Withhold or put off what is not to be said now."""
        letter, db = parcel.letter, self._database.reader
        if letter.to.channel not in self._channels:
            await self._settle(parcel, FAILED, reason="no such channel")
            return True
        if letter.until is not None and self._world.clock.now() > letter.until:
            metrics.LATE.labels("letter", letter.topic).inc()
            await self._settle(parcel, WITHHELD, reason="too late")
            return True
        if letter.epoch is not None and letter.epoch != await conversations.epoch(
            db, letter.member
        ):
            await self._settle(parcel, WITHHELD, reason="someone else speaks now")
            return True
        if letter.prompted:
            return False
        if parcel.member is not None and not parcel.member.home:
            raise Unreachable(letter.to.place)
        verdict = await self._verdict(letter, parcel.member)
        if isinstance(verdict, Withheld):
            await self._settle(parcel, WITHHELD, reason=verdict.reason)
            return True
        if verdict is not None and verdict > self._world.clock.now():
            now = self._world.clock.now()
            until = self.crowd.one_by_one(verdict, now) if parcel.campaign else verdict
            await self._wait_written(parcel, until, attempts=parcel.waiting.attempts)
            return True
        return False

    async def _verdict(self, letter: Letter, member: Member | None) -> datetime | Withheld | None:
        """What the gates say: the latest moment wins, and any may withhold it altogether."""
        if member is None:
            member = await members.by_id(self._database.reader, letter.member)
        community = self._directory.community(letter.community)
        if member is None or community is None:
            return Withheld("nobody to say it to") if letter.member else None
        if letter.to.private and not member.home:
            return Withheld("out of reach")  # they have blocked us since it was written
        now = self._world.clock.now()
        outgoing = Outgoing(letter, member, community, self._world, self._database.reader, now)
        latest: datetime | None = None
        for _, gate in self._board.gates:
            verdict = await gate(outgoing)
            if isinstance(verdict, Withheld):
                return verdict
            if verdict is not None and (latest is None or verdict > latest):
                latest = verdict
        return latest

    # ---------------------------------------------------------------- saying it

    async def _say_or_do(self, parcel: Parcel) -> None:
        letter = parcel.letter
        channel = self._channels[letter.to.channel]
        to = await self._threaded(parcel, channel)
        if letter.act is not None:
            await self._do(parcel, channel, to)
            return
        said = parcel.said or await self._renderer.said(
            letter, to, edits=await self._edited(letter)
        )
        await self._let_through(to.channel)
        cleared, slot = await self._cleared(parcel, to)
        if not cleared:
            return
        message = await self._sent(parcel, to, said, slot)
        self._breaker(to.channel).worked()
        body = "" if parcel.campaign else kept(said)  # the campaign itself has it
        await self._settle(parcel, SENT, message=message, body=body, place=to.place)

    async def _cleared(self, parcel: Parcel, to: To) -> tuple[bool, Slot | None]:
        """Wait for leave to say it; whether it is still to be said then, and that leave.

        What must not be said twice is marked when there is leave; but those of a campaign
        before that, a few at a time, or the commit between would spoil their pace.
        """
        began = self._monotonic()
        if parcel.campaign:
            if (seconds := self._gates.closed_for(to)) > LONG:
                raise NotNow(seconds)
            async with self._gates.ahead(to):
                marked = await self._committed(parcel)
                slot = await self._gates.leave(to, parcel.urgency) if marked else None
        else:
            marked = True
            slot = await self._gates.leave(to, parcel.urgency)
        if not marked:
            return False, None
        if self._monotonic() - began > LONG and await self._held_meanwhile(parcel):
            return False, slot
        return await self._committed(parcel), slot

    async def _sent(self, parcel: Parcel, to: To, said: Said, slot: Slot | None) -> str:
        """Say it, each message of it in its turn; returns the platform's id."""
        channel = self._channels[to.channel]
        if slot is None:
            return await channel.send(to, said)
        slots: list[Slot | None] = [slot]

        async def turn() -> None:
            slots.append(await self._gates.leave(to, parcel.urgency))

        try:
            return await channel.send(to, altered(said, turn=turn))
        finally:
            self._gates.answered(to, *slots)

    async def _held_meanwhile(self, parcel: Parcel) -> bool:
        """Whether it is not to be said after all, as things are now."""
        parcel.member = None
        if parcel.campaign:
            campaign = await campaigns.by_id(self._database.reader, parcel.campaign)
            if campaign is None or campaign.state != "running":
                now = self._world.clock.now()
                await self._wait_written(parcel, now, attempts=parcel.waiting.attempts)
                return True
        return await self._held(parcel)

    async def _do(self, parcel: Parcel, channel: Channel, to: To) -> None:
        act = parcel.letter.act
        assert act is not None
        if act.name not in channel.abilities:
            raise Impossible(f"this channel cannot {act.name}")
        result = await channel.do(to, Ability(act.name), act.words)
        self._breaker(to.channel).worked()
        await self._settle(parcel, SENT, came_of_it=result)

    async def _edited(self, letter: Letter) -> str:
        """The channel's id of the message to replace; empty if there is none to replace."""
        if not letter.edits:
            return ""
        earlier = await interactions.message_of(self._database.reader, letter.edits)
        return "" if earlier is None else earlier.message

    async def _committed(self, parcel: Parcel) -> bool:
        """What must not be said twice is marked as being said, before it is.

        False if the row is gone, as its member was forgotten while it was on its way, or out
        of reach, as its campaign was paused, or another's to say.
        """
        if not parcel.once or parcel.sending:
            return True
        if not self.leads:
            return False
        # That a first mark failed may mean that it was kept, and only nobody heard of it.
        id, again = parcel.waiting.id, parcel.marked
        mark = (
            campaigns.sending(id, parcel.campaign, again=again)
            if parcel.campaign
            else pending.sending(id, again=again)
        )
        parcel.marked = True
        try:
            await self._database.writer.settle([mark])
        except Miss:
            return False
        parcel.sending = True
        return True

    async def _let_through(self, channel: str) -> None:
        """Wait while the platform fails everybody; one at a time sees whether it still does."""
        while (seconds := self._breaker(channel).wait()) > 0:
            await self.lanes.pause(seconds)

    def _breaker(self, channel: str) -> Breaker:
        return self._breakers.setdefault(channel, Breaker(self._world.clock.now))

    async def _threaded(self, parcel: Parcel, channel: Channel) -> To:
        """The address with the staff topic it goes to, opened if there is none yet."""
        to = parcel.to
        if not to.thread_of:
            return to
        db = self._database.reader
        found = await threads.of(db, channel=to.channel, place=to.place, member=to.thread_of)
        if found is None:
            found = await self._open_thread(parcel, channel)
        return replace(to, thread=found)

    async def _open_thread(self, parcel: Parcel, channel: Channel) -> str:
        to = parcel.to
        member = await members.by_id(self._database.reader, to.thread_of)
        if member is None:
            raise Impossible("the member it is about is gone")
        words = {"title": member.name, "member": member.id}
        slot = await self._gates.leave(to, parcel.urgency)
        ref = str((await channel.do(to, Ability.OPEN_THREAD, words))["thread"])
        self._gates.answered(to, slot)
        thread = Thread(
            community=parcel.letter.community,
            member=member.id,
            channel=to.channel,
            place=to.place,
            ref=ref,
            lane=f"{member.channel}:{member.ref}",
        )
        # However long that takes: another try would open another topic.
        await self._kept([threads.opened(thread, id=self._world.ids.take())])
        return ref

    # ---------------------------------------------------------------- when it does not go well

    async def _slow_down(self, parcel: Parcel, slow: NotNow) -> bool:
        """Wait as long as the platform asks; what is behind in this chat waits too.

        Whether the letter is out of our hands: a campaign's has others to make room for.
        """
        to = parcel.to
        self._gates.slow_down(to, slow)
        metrics.of(metrics.SENDS, to.channel, "slowed").inc()
        if parcel.campaign:
            await self._put_off(parcel, slow.seconds, attempts=parcel.waiting.attempts)
            return True
        await self.lanes.pause(slow.seconds)
        return False

    async def _follow(self, parcel: Parcel, new: str) -> None:
        """The chat has a new id: note it everywhere, and go on there."""
        to = parcel.to
        changes = communities.moved(channel=to.channel, old=to.place, new=new)
        changes.append(pending.moved_out(channel=to.channel, old=to.place, new=new))
        await self._database.writer.settle(changes)
        await self._reload()
        parcel.letter = replace(parcel.letter, to=replace(to, place=new))

    async def _lost_thread(self, parcel: Parcel) -> bool:
        """Somebody deleted the topic: open another for whom it was about."""
        to = parcel.to
        if not to.thread_of or parcel.reopened >= REOPENINGS:
            await self._settle(parcel, FAILED, reason="topic gone")
            return True
        parcel.reopened += 1
        await self._database.writer.settle(
            [threads.gone(channel=to.channel, place=to.place, member=to.thread_of)]
        )
        return False

    async def _faltered(self, parcel: Parcel, unclear: Faltered) -> bool:
        """Nobody knows whether it was said: say it again, or rather not, as its policy is."""
        self._breaker(parcel.to.channel).failed(parcel.to.place)
        if parcel.once and not unclear.unsent and parcel.letter.act is None:
            await self._settle(parcel, UNKNOWN)
            return True
        tries = parcel.waiting.attempts + parcel.tries
        since = parcel.waiting.created or parcel.waiting.due
        if self._world.clock.now() - since > HOPELESS and tries >= len(PAUSES):
            await self._settle(parcel, FAILED, reason="not to be reached for a day")
            return True
        parcel.again = parcel.again or not unclear.unsent
        log.info("send.faltered", channel=parcel.to.channel, attempts=parcel.tries + 1)
        pause = PAUSES[min(tries, len(PAUSES) - 1)]
        if parcel.campaign or (not unclear.unsent and parcel.tries >= STUBBORN):
            await self._put_off(parcel, pause, attempts=tries + 1)
            return True
        await self.lanes.pause(pause)
        return False

    async def _put_off(self, parcel: Parcel, seconds: float, *, attempts: int) -> None:
        """What the platform stumbles over again and again lets others in its chat go first."""
        until = self._world.clock.now() + timedelta(seconds=seconds)
        await self._wait_written(parcel, until, attempts=attempts)

    async def _wait_written(self, parcel: Parcel, until: datetime, *, attempts: int) -> None:
        """It waits until then where it is written down, and not in hand."""
        id = parcel.waiting.id
        change = (
            campaigns.put_off(
                id, parcel.campaign, until=until, attempts=attempts, begun=parcel.sending
            )
            if parcel.campaign
            else pending.put_off(id, until=until, attempts=attempts)
        )
        await self._kept([change])
        self._alarm.nudge()

    async def _set_aside(self, parcel: Parcel, fault: Exception) -> None:
        """A letter that cannot even be put into words is kept for whoever can mend it."""
        waiting = parcel.waiting
        log.error("send.fault", capability=parcel.letter.topic, row=waiting.id, exc_info=True)
        metrics.QUARANTINED.inc()
        reason = f"{type(fault).__name__} while sending for {parcel.letter.topic}"
        await self._kept([quarantine.put(self._quarantined(waiting, reason))])
        await self._settle(parcel, FAILED, reason=type(fault).__name__)

    async def _unreadable(self, waiting: Waiting) -> None:
        """A row that is no letter must not keep its lane waiting."""
        log.error("send.unreadable", row=waiting.id)
        metrics.QUARANTINED.inc()
        held = self._quarantined(waiting, "a letter that cannot be read")
        await self._kept([pending.dropped(waiting.id), quarantine.put(held)])

    def _quarantined(self, waiting: Waiting, reason: str) -> Quarantined:
        return Quarantined(
            id=waiting.id,
            channel=waiting.channel,
            key=waiting.key,
            reason=reason,
            at=self._world.clock.now(),
            payload=waiting.payload,
            member=waiting.member,
        )

    # ---------------------------------------------------------------- noting what became of it

    async def _settle(
        self,
        parcel: Parcel,
        outcome: str,
        *,
        reason: str = "",
        message: str = "",
        body: str = "",
        place: str = "",
        came_of_it: Mapping[str, Any] | None = None,
    ) -> None:
        """Move the row to the past, with what came of it taken in again, all in one."""
        waiting, letter = parcel.waiting, parcel.letter
        metrics.of(metrics.SENDS, letter.to.channel, outcome).inc()
        if outcome == SENT and parcel.again and not parcel.once:
            metrics.of(metrics.RESENDS, letter.to.channel).inc()
            reason = TWICE
        changes = done_with(
            parcel,
            outcome,
            at=self._world.clock.now(),
            reason=reason,
            message=message,
            body=body,
            place=place,
        )
        if parcel.campaign:
            await self._tally.add(parcel.campaign, outcome, changes)
            self.hand.settled(waiting)
            return
        failed = reason if outcome == FAILED else ""
        news = await self._surely(lambda: self._news(parcel, failed, came_of_it))
        changes += [pending.put(one, at=self._world.clock.now()) for one in news]
        if await self._kept(changes):
            self._take_up(news)
        self.hand.settled(waiting)

    async def _kept(self, changes: list[Change]) -> bool:
        """Keep them, however long the database is away: what was said must not be said again.

        False if the row is gone: its member was forgotten while it was on its way.
        """
        try:
            await self._surely(lambda: self._database.writer.settle(changes))
        except Miss:
            return False
        return True

    async def _surely(self, ask: Callable[[], Awaitable[T]]) -> T:
        """What comes of it, however long the database is away."""
        while True:
            try:
                return await ask()
            except Unavailable:
                await self.lanes.pause(1.0)

    async def _news(
        self, parcel: Parcel, failed: str, came_of_it: Mapping[str, Any] | None
    ) -> list[Waiting]:
        """What the capability that asked for it wants to hear: what came of an act, or why not."""
        letter = parcel.letter
        if came_of_it is not None and letter.act is not None:
            name, words = letter.act.name, {**letter.act.words, **came_of_it}
        elif failed:
            name = "undelivered"
            words = {"reason": failed, "act": letter.act.name if letter.act else ""}
        else:
            return []
        if f"did {letter.topic}.{name}" not in self._board.named:
            return []
        await self._world.ids.refill()
        id = self._world.ids.take()
        now = self._world.clock.now()
        to = letter.to
        event = Event(
            kind=Kind.DID,
            channel=to.channel,
            id=f"did:{letter.id}",
            at=now,
            where=Where(id=to.place, private=to.private, thread=to.thread),
            data=name,
            member=letter.member,
            community=letter.community,
            words={
                **words,
                "topic": letter.topic,
                "mirrors": letter.mirrors,
                "thread_of": to.thread_of,
            },
        )
        return [
            Waiting(
                id=id,
                kind="in",
                channel=to.channel,
                key=event.id,
                lane=await self._lane_of(letter),
                payload=wire.packed_event(event),
                due=now,
                community=letter.community,
                member=letter.member or None,
            )
        ]

    async def _lane_of(self, letter: Letter) -> str:
        """The lane of the member it is about, so that what follows keeps its order."""
        member = await members.by_id(self._database.reader, letter.member)
        if member is None:
            return f"{letter.to.channel}:{letter.to.place}"
        return f"{member.channel}:{member.ref}"
