"""The single way out: what is due, on its channel, within its limits, until said or hopeless."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from msgspec.structs import replace

from bot import metrics, wire
from bot.channels import (
    Ability,
    Channel,
    Faltered,
    Impossible,
    NotNow,
    PlaceMoved,
    ThreadGone,
    Unreachable,
)
from bot.pace import Pace
from bot.rendering import Renderer, kept
from bot.studio import Draw
from bot.worker import Activity, Alarm, Lanes
from handlers.router import Outgoing, Switchboard, Withheld
from handlers.turn import Event, Kind, Letter, Policy, To, Where, World
from storage import (
    communities,
    conversations,
    interactions,
    members,
    pending,
    quarantine,
    threads,
)
from storage.communities import Directory
from storage.database import Database
from storage.interactions import Interaction
from storage.pending import Waiting
from storage.quarantine import Quarantined
from storage.threads import Thread
from storage.writer import Change, Miss, Unavailable

log = structlog.get_logger()

PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)  # seconds between tries; the last one repeats
STUBBORN = 4  # tries of one message before those behind it go first
HOPELESS = timedelta(hours=24)  # an answer nobody could be given for a day is given up
REOPENINGS = 3  # times a deleted topic is opened anew for one message

SENT, FAILED, UNKNOWN, WITHHELD = "sent", "failed", "unknown", "withheld"


@dataclass(slots=True)
class Parcel:
    """A letter in hand, and what has been tried with it."""

    waiting: Waiting
    letter: Letter
    tries: int = 0
    reopened: int = 0
    sending: bool = False  # committed as such, so that it is not sent a second time

    @property
    def to(self) -> To:
        return self.letter.to

    @property
    def once(self) -> bool:
        """Whether it must rather be lost than be said twice."""
        return self.letter.policy is Policy.AT_MOST_ONCE


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
        self._paces = {
            name: Pace(channel.limits, monotonic)
            for name, channel in channels.items()
            if channel.limits is not None
        }
        self._in_hand: set[int] = set()  # so that no row is taken up twice
        self._presses: set[asyncio.Task[None]] = set()
        self.lanes: Lanes[Waiting] = Lanes(self._finish, activity, alarm)

    # ---------------------------------------------------------------- taking up

    def offer(self, waiting: Iterable[Waiting]) -> int:
        """Say what is due of these, the others are found when they are; how many were taken up."""
        now = self._world.clock.now()
        due = [one for one in waiting if one.id not in self._in_hand and one.due <= now]
        for one in due:
            self._in_hand.add(one.id)
            self.lanes.put(one.lane, one)
        return len(due)

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

    async def recover(self) -> None:
        """Settle what was being said when an earlier process ended; it is not said again."""
        for waiting in await pending.in_doubt(self._database.reader):
            await self._settle(Parcel(waiting, wire.letter(waiting.payload)), UNKNOWN)

    async def _finish(self, waiting: Waiting) -> None:
        """Deal with one letter until it is said, put off, or hopeless."""
        parcel = Parcel(waiting, waiting.handed or wire.letter(waiting.payload))
        try:
            while not await self._tried(parcel):
                parcel.tries += 1
        finally:
            self._in_hand.discard(waiting.id)

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
            await self._slow_down(parcel, slow)
            return False
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
        if letter.epoch is not None and letter.epoch != await conversations.epoch(
            db, letter.member
        ):
            await self._settle(parcel, WITHHELD, reason="someone else speaks now")
            return True
        if letter.prompted:
            return False
        verdict = await self._verdict(letter)
        if isinstance(verdict, Withheld):
            await self._settle(parcel, WITHHELD, reason=verdict.reason)
            return True
        if verdict is not None and verdict > self._world.clock.now():
            waiting = parcel.waiting
            await self._database.writer.settle(
                [pending.put_off(waiting.id, until=verdict, attempts=waiting.attempts)]
            )
            self._alarm.nudge()
            return True
        return False

    async def _verdict(self, letter: Letter) -> datetime | Withheld | None:
        """What the gates say: the latest moment wins, and any may withhold it altogether."""
        member = await members.by_id(self._database.reader, letter.member)
        community = self._directory.community(letter.community)
        if member is None or community is None:
            return Withheld("nobody to say it to") if letter.member else None
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
        assert letter.reply is not None
        said = await self._renderer.said(letter, to, edits=await self._edited(letter))
        await self._committed(parcel)
        await self._paced(to)
        message = await channel.send(to, said)
        await self._settle(parcel, SENT, message=message, body=kept(said), place=to.place)

    async def _do(self, parcel: Parcel, channel: Channel, to: To) -> None:
        act = parcel.letter.act
        assert act is not None
        if act.name not in channel.abilities:
            raise Impossible(f"this channel cannot {act.name}")
        result = await channel.do(to, Ability(act.name), act.words)
        await self._settle(parcel, SENT, came_of_it=result)

    async def _edited(self, letter: Letter) -> str:
        """The channel's id of the message to replace; empty if there is none to replace."""
        if not letter.edits:
            return ""
        earlier = await interactions.message_of(self._database.reader, letter.edits)
        return "" if earlier is None else earlier.message

    async def _committed(self, parcel: Parcel) -> None:
        """What must not be said twice is marked as being said, before it is."""
        if parcel.once and not parcel.sending:
            await self._database.writer.settle([pending.sending(parcel.waiting.id)])
            parcel.sending = True

    async def _paced(self, to: To) -> None:
        pace = self._paces.get(to.channel)
        seconds = 0.0 if pace is None else pace.wait(to.place, group=not to.private)
        if seconds > 0:
            async with self.lanes.aside():
                with self._activity.resting():
                    await asyncio.sleep(seconds)

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
        await self._paced(to)
        ref = str((await channel.do(to, Ability.OPEN_THREAD, words))["thread"])
        thread = Thread(
            community=parcel.letter.community,
            member=member.id,
            channel=to.channel,
            place=to.place,
            ref=ref,
            lane=f"{member.channel}:{member.ref}",
        )
        await self._database.writer.settle([threads.opened(thread, id=self._world.ids.take())])
        return ref

    # ---------------------------------------------------------------- when it does not go well

    async def _slow_down(self, parcel: Parcel, slow: NotNow) -> None:
        """Wait as long as the platform asks; what is behind in this chat waits too."""
        pace = self._paces.get(parcel.to.channel)
        if slow.everywhere and pace is not None:
            pace.pause(slow.seconds)
        metrics.SENDS.labels(parcel.to.channel, "slowed").inc()
        await self.lanes.pause(slow.seconds)

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
        if parcel.once and not unclear.unsent and parcel.letter.act is None:
            await self._settle(parcel, UNKNOWN)
            return True
        since = parcel.waiting.created or parcel.waiting.due
        if self._world.clock.now() - since > HOPELESS:
            await self._settle(parcel, FAILED, reason="not to be reached for a day")
            return True
        if not unclear.unsent:
            metrics.RESENDS.labels(parcel.to.channel).inc()
        log.info("send.faltered", channel=parcel.to.channel, attempts=parcel.tries + 1)
        tries = parcel.waiting.attempts + parcel.tries
        pause = PAUSES[min(tries, len(PAUSES) - 1)]
        if not unclear.unsent and parcel.tries >= STUBBORN:
            await self._put_off(parcel, pause, attempts=tries + 1)
            return True
        await self.lanes.pause(pause)
        return False

    async def _put_off(self, parcel: Parcel, seconds: float, *, attempts: int) -> None:
        """What the platform stumbles over again and again lets others in its chat go first."""
        until = self._world.clock.now() + timedelta(seconds=seconds)
        await self._kept([pending.put_off(parcel.waiting.id, until=until, attempts=attempts)])
        self._alarm.nudge()

    async def _set_aside(self, parcel: Parcel, fault: Exception) -> None:
        """A letter that cannot even be put into words is kept for whoever can mend it."""
        waiting = parcel.waiting
        log.error("send.fault", capability=parcel.letter.topic, row=waiting.id, exc_info=True)
        metrics.QUARANTINED.inc()
        held = Quarantined(
            id=waiting.id,
            channel=waiting.channel,
            key=waiting.key,
            reason=f"{type(fault).__name__} while sending for {parcel.letter.topic}",
            at=self._world.clock.now(),
            payload=waiting.payload,
            member=waiting.member,
        )
        await self._kept([quarantine.put(held)])
        await self._settle(parcel, FAILED, reason=type(fault).__name__)

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
        metrics.SENDS.labels(letter.to.channel, outcome).inc()
        changes: list[Change] = [pending.settled(waiting.id)]
        nobodys = letter.to.private and not letter.member  # such as the last word to one forgotten
        if letter.act is None and not nobodys:
            changes.append(
                interactions.logged(
                    Interaction(
                        id=waiting.id,
                        community=letter.community,
                        member=letter.member or None,
                        channel=letter.to.channel,
                        direction="out",
                        kind=letter.topic,
                        at=self._world.clock.now(),
                        place=place or letter.to.place,
                        message=message,
                        outcome=f"{outcome}: {reason}" if reason else outcome,
                        mirrors=letter.mirrors or None,
                        body=body,
                    )
                )
            )
        if reason == "unreachable" and letter.to.private:
            changes.append(members.unreachable(channel=letter.to.channel, home=letter.to.place))
        news = await self._news(parcel, reason if outcome == FAILED else "", came_of_it)
        changes += [pending.put(one, at=self._world.clock.now()) for one in news]
        if await self._kept(changes):
            self._take_up(news)

    async def _kept(self, changes: list[Change]) -> bool:
        """Keep them, however long the database is away: what was said must not be said again.

        False if the row is gone: its member was forgotten while it was on its way.
        """
        while True:
            try:
                await self._database.writer.settle(changes)
            except Unavailable:
                await self.lanes.pause(1.0)
            except Miss:
                return False
            else:
                return True

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
