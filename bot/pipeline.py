"""The single way in: take an event down, let one capability decide, hand on what it noted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Protocol

import msgspec
import structlog

from bot import metrics, turns, wire
from bot.channels import Malformed
from bot.chatter import Chatter
from bot.recording import body
from bot.worker import Activity, Alarm, Lanes
from handlers.roles import Role
from handlers.router import Command, Handler, Switchboard, said_command
from handlers.turn import Event, Kind, Letter, Refusal, Turn, World
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
from storage.writer import Change, Miss, Unavailable

log = structlog.get_logger()

REPLAYS = 8  # a turn that keeps resting on what is no more is a fault
ATTEMPTS = 3  # faults before an event is set aside
FIRST_PAUSE = 2.0  # seconds before a failed event is tried again; doubles each time
FACTS_A_TURN = 20  # more means that a listener feeds itself
NOTE_WAITS = timedelta(seconds=2)  # for a join to be told of in the better way
CLOCKWORK = (Kind.WOKE, Kind.DID)

Chosen = tuple[str, Handler]


class Front(Protocol):
    """What the pipeline needs of the way out."""

    def offer(self, waiting: Iterable[Waiting]) -> int:
        """Say what is due of these letters, which were just written down."""

    def acknowledge(self, channel: str, press: str) -> None:
        """Tell the channel that the press of a button was heard."""


class Facts(Exception):
    """Listeners to facts recorded more facts than one turn may."""


class Pipeline:
    """Takes events down and settles them, each member's in order."""

    def __init__(
        self,
        *,
        database: Database,
        world: World,
        directory: Directory,
        board: Switchboard,
        front: Front,
        activity: Activity,
        alarm: Alarm,
        reloaded: Callable[[], Awaitable[None]],
    ) -> None:
        self.database = database
        self.world = world
        self.directory = directory
        self.board = board
        self._front = front
        self._alarm = alarm
        self._reloaded = reloaded  # somebody else may want to know of new places
        self._chatter = Chatter(board, directory)
        self._in_hand: set[int] = set()  # so that no row is taken up twice
        self.lanes: Lanes[Waiting] = Lanes(self._finish, activity, alarm)

    # ---------------------------------------------------------------- taking in

    async def intake(self, channel: str, arrivals: Sequence[Event | Malformed]) -> None:
        """Take a batch into our care; when this returns it is safe on disk.

        What the channel has told us of before changes nothing.
        Raises `Unavailable` when the database is; then nothing may be acknowledged.
        """
        await self.lanes.room()
        await self.world.ids.refill(len(arrivals) + 200)
        taken = await asyncio.gather(
            *(
                self._set_aside(channel, one)
                if isinstance(one, Malformed)
                else self._take_down(one)
                for one in arrivals
            ),
            return_exceptions=True,
        )
        # What was written down is dealt with, even if another of the batch could not be.
        self.take_up(one for one in taken if isinstance(one, Waiting))
        for fault in taken:
            if isinstance(fault, BaseException):
                raise fault

    def take_up(self, waiting: Iterable[Waiting]) -> int:
        """Deal with what is written down, after what its lane holds; how much was not in hand."""
        fresh = [one for one in waiting if one.id not in self._in_hand]
        for one in fresh:
            self._in_hand.add(one.id)
            self.lanes.put(one.lane, one)
        return len(fresh)

    async def _finish(self, waiting: Waiting) -> None:
        try:
            await self.deal(waiting)
        finally:
            self._in_hand.discard(waiting.id)

    async def _take_down(self, event: Event) -> Waiting | None:
        if await self._merely_noted(event):
            return None
        waiting = Waiting(
            id=self.world.ids.take(),
            kind="in",
            channel=event.channel,
            key=event.id,
            lane=await self._lane(event),
            payload=wire.packed_event(event),
            due=event.at,
            community=event.community or None,
            member=event.member or None,
            handed=event,
        )
        try:
            await self.database.writer.settle(pending.taken_in(waiting, at=self.world.clock.now()))
        except Miss:
            # Told again.  If the first telling was written down just as the database went
            # away, nobody has it in hand yet.
            metrics.REPEATS.labels(event.channel).inc()
            return await pending.by_key(self.database.reader, event.channel, event.id)
        metrics.EVENTS.labels(event.channel, event.kind).inc()
        return waiting

    async def _merely_noted(self, event: Event) -> bool:
        """Whether it was mere talk, and has been written down and counted as that."""
        changes = self._chatter.noted(event, id=self.world.ids.take)
        if changes is None:
            return False
        try:
            await self.database.writer.settle(changes)
        except Miss:
            return False  # told before, or by somebody who has gone since: look properly
        metrics.EVENTS.labels(event.channel, "chatter").inc()
        return True

    async def _lane(self, event: Event) -> str:
        """Whose order the event keeps: the person's; in a staff topic the member's it is about."""
        where = event.where
        if where is not None and where.thread and not where.private:
            thread = await threads.at(
                self.database.reader, channel=event.channel, place=where.id, ref=where.thread
            )
            if thread is not None:
                return thread.lane
        if event.person is not None:
            return f"{event.channel}:{event.person.id}"
        return f"{event.channel}:{where.id if where else event.member}"

    async def _set_aside(self, channel: str, one: Malformed) -> None:
        log.warning("intake.unreadable", channel=channel, reason=one.reason)
        metrics.QUARANTINED.inc()
        await self.database.writer.settle(
            [
                quarantine.put(
                    Quarantined(
                        id=self.world.ids.take(),
                        channel=channel,
                        key=one.id,
                        reason=one.reason,
                        at=self.world.clock.now(),
                        payload=one.payload,
                    )
                )
            ]
        )

    # ---------------------------------------------------------------- dealing with it

    async def deal(self, waiting: Waiting) -> None:
        """Settle one event, however often that has to be tried."""
        event: Event = waiting.handed or wire.event(waiting.payload)
        attempts = waiting.attempts
        while True:
            try:
                with metrics.TURN_SECONDS.time():
                    await self._played(waiting, event)
            except Unavailable:
                await self.lanes.pause(1.0)
            except Exception as fault:
                attempts += 1
                metrics.TURNS.labels("fault").inc()
                log.error("turn.fault", kind=event.kind, row=waiting.id, exc_info=True)
                if attempts >= ATTEMPTS:
                    await self._give_up(waiting, event, fault, attempts)
                    return
                await self._kept(
                    [pending.put_off(waiting.id, until=waiting.due, attempts=attempts)]
                )
                await self.lanes.pause(FIRST_PAUSE**attempts)
            else:
                return

    async def _kept(self, changes: list[Change]) -> None:
        """Keep them, however long the database is away."""
        while True:
            try:
                await self.database.writer.settle(changes)
            except Unavailable:
                await self.lanes.pause(1.0)
            else:
                return

    async def recover(self) -> None:
        """Deal with what an earlier process left undone, before anything new.

        One event at a time, each charged an attempt beforehand: if one of them
        ends the process it is known which, and after three times it is set aside.
        """
        for waiting in await pending.events(self.database.reader):
            if waiting.attempts >= ATTEMPTS:
                await self._give_up(
                    waiting,
                    wire.event(waiting.payload),
                    RuntimeError("ended the process"),
                    waiting.attempts,
                )
                continue
            await self.database.writer.settle(
                [pending.put_off(waiting.id, until=waiting.due, attempts=waiting.attempts + 1)]
            )
            await self.deal(waiting)

    async def _played(self, waiting: Waiting, event: Event) -> None:
        """Play the turn, again on what is now true for as long as it misses."""
        for _ in range(REPLAYS):
            await self.world.ids.refill()
            turn = await turns.made(
                event,
                database=self.database,
                world=self.world,
                directory=self.directory,
                now=self.world.clock.now(),
            )
            if turn is None:
                await self._drop(waiting)
                return
            turn.turn_id = waiting.id
            outcome = await self._decide(turn)
            try:
                await self._settle(waiting, turn)
            except Miss:
                if not await pending.waits(self.database.reader, waiting.id):
                    return
                metrics.TURNS.labels("replayed").inc()
                continue
            metrics.TURNS.labels(outcome).inc()
            return
        raise Miss("the turn rests on what keeps changing")

    async def _decide(self, turn: Turn) -> str:
        """Let whose turn it is note what is to happen; a refusal is one of the answers."""
        upkeep = len(turn.notes)
        try:
            for topic, handler in self._chosen(turn):
                turn.topic = topic
                await handler(turn)
                await self._hear(turn)
        except Refusal as refusal:
            del turn.notes[upkeep:]
            turn.letters.clear()
            turn.woken.clear()
            turn.recorded.clear()
            if turn.event.where is not None or turn.member.home:
                turn.send(refusal.reply)
            return "refused"
        return "done"

    async def _hear(self, turn: Turn) -> None:
        """Let every listener hear what was recorded, and what they record in turn."""
        heard = 0
        while turn.recorded:
            turn.fact = turn.recorded.pop(0)
            heard += 1
            if heard > FACTS_A_TURN:
                raise Facts(f"more than {FACTS_A_TURN} facts in a turn")
            for topic, listener in self.board.listening(turn.fact[0]):
                turn.topic = topic
                await listener(turn)

    # ---------------------------------------------------------------- whose turn it is

    def _chosen(self, turn: Turn) -> list[Chosen]:
        """Who deals with this event, in order."""
        event, board = turn.event, self.board
        match event.kind:
            case Kind.SAID:
                return [*board.watching(Kind.SAID), *self._answering(turn)]
            case Kind.EDITED:
                return board.editors
            case Kind.PRESSED:
                return self._pressed(turn)
            case Kind.WOKE:
                return self._named(f"later {event.data}")
            case Kind.DID:
                return self._named(f"did {event.words.get('topic', '')}.{event.data}")
            case Kind.JOINED if event.message and not event.data:
                self._wait_for_the_link(turn)
                return []
            case Kind.JOINED | Kind.LEFT:
                return board.watching(event.kind) if turns.comes_or_goes(turn) else []
        return board.watching(event.kind)

    def _wait_for_the_link(self, turn: Turn) -> None:
        """A note in the chat tells of a join, and not by whose link: the other telling may follow.

        Platforms tell of a join in several ways, in no order.  If this is the only
        one, it counts after a moment; if not, it then changes nothing.
        """
        noted = msgspec.structs.replace(turn.event, id=f"{turn.event.id}:noted", message="")
        turn.woken.append((turn.now + NOTE_WAITS, noted))

    def _answering(self, turn: Turn) -> list[Chosen]:
        """Who answers what was said: a command, a deep link, what is expected, or the speaker."""
        said = said_command(turn.event)
        if said is not None and said[0] in self.board.commands:
            _shown(turn.event)
            return self._commanded(turn, self.board.commands[said[0]], said[1])
        if turn.spot is not None and turn.spot.kind == "staff":
            return self._at_desk(turn)
        if not turn.event.addressed:
            return []
        if said is not None:
            raise Refusal("house.unknown_command")
        if turn.private and (expected := self._expected(turn)):
            return expected
        chosen = self.board.spoken.get(turn.conversation.speaker)
        return [chosen] if chosen else []

    def _at_desk(self, turn: Turn) -> list[Chosen]:
        """Staff talk in a member's topic; elsewhere in their place they are among themselves."""
        if self.board.desk is None or turn.subject is None:
            return []
        _shown(turn.event)
        return [self.board.desk]

    def _commanded(self, turn: Turn, command: Command, rest: str) -> list[Chosen]:
        turn.rest = rest
        if command.name == "start" and rest:
            prefix, _, remainder = rest.partition("_")
            if prefix in self.board.starts:
                turn.rest = remainder
                return [self.board.starts[prefix]]
        if not Role(turn.member.role).may(command.role):
            raise Refusal("house.not_allowed", role=f"@house.role.{command.role}")
        return [(command.topic, command.handler)]

    def _expected(self, turn: Turn) -> list[Chosen]:
        """What the conversation waits to hear, once, and not for ever."""
        conversation = turn.conversation
        until = conversation.expects_until
        if not conversation.expects or until is None or turn.now > until:
            return []
        turn.note(*conversations.expecting(conversation, "", None))
        turn.rest = turn.event.text
        return self._named(f"answer {conversation.expects}")

    def _pressed(self, turn: Turn) -> list[Chosen]:
        name, _, turn.rest = turn.event.data.partition(":")
        return self._named(f"button {name}")

    def _named(self, name: str) -> list[Chosen]:
        found = self.board.named.get(name)
        return [] if found is None else [found]

    # ---------------------------------------------------------------- settling

    async def _settle(self, waiting: Waiting, turn: Turn) -> None:
        """Keep the turn's notes, its letters and its place in the past, all in one."""
        letters = [self._outgoing(letter) for letter in turn.letters]
        woken = [self._waking(turn, at, event) for at, event in turn.woken]
        changes = [pending.settled(waiting.id), *turn.notes]
        if turn.event.kind not in CLOCKWORK:
            changes.append(interactions.logged(_heard(waiting, turn)))
        for one in (*letters, *woken):
            changes += [pending.put(one, at=turn.now)]
        await self.database.writer.settle(changes)
        await self._afterwards(turn, letters, woken)

    async def _afterwards(
        self, turn: Turn, letters: Sequence[Waiting], woken: Sequence[Waiting]
    ) -> None:
        if any(change.shared for change in turn.notes):
            await self.reload()
        self._chatter.learn(turn)
        self._front.offer(letters)
        if turn.event.press:
            self._front.acknowledge(turn.event.channel, turn.event.press)
        if woken:
            self._alarm.nudge()

    async def reload(self) -> None:
        """Read communities and places anew."""
        fresh = await communities.read(self.database.reader)
        self.directory.communities = fresh.communities
        self.directory.spots = fresh.spots
        await self._reloaded()

    def _outgoing(self, letter: Letter) -> Waiting:
        return Waiting(
            id=letter.id,
            kind="out",
            channel=letter.to.channel,
            key=f"out:{letter.id}",
            lane=lane_to(letter),
            payload=wire.packed_letter(letter),
            due=letter.due or self.world.clock.now(),
            community=letter.community,
            member=letter.member or None,
            handed=letter,
        )

    def _waking(self, turn: Turn, at: datetime, event: Event) -> Waiting:
        lane = f"{turn.member.channel}:{turn.member.ref}"
        return wire.waking(event, id=self.world.ids.take(), lane=lane, due=at)

    async def _drop(self, waiting: Waiting) -> None:
        """Whom it was about is gone: nothing is to be done, and nothing kept."""
        await self.database.writer.settle([pending.dropped(waiting.id)])

    async def _give_up(
        self, waiting: Waiting, event: Event, fault: BaseException, attempts: int
    ) -> None:
        """Set the event aside with its reason, so that its lane goes on, and tell of it."""
        metrics.QUARANTINED.inc()
        log.error("turn.set_aside", kind=event.kind, row=waiting.id, fault=type(fault).__name__)
        held = Quarantined(
            id=waiting.id,
            channel=waiting.channel,
            key=waiting.key,
            reason=f"{type(fault).__name__} while {event.kind}",
            at=self.world.clock.now(),
            payload=waiting.payload,
            attempts=attempts,
            member=waiting.member,
        )
        turn = await self._about(event, held)
        if turn is not None:
            held = replace(held, member=turn.member.id or None)
        letters = [] if turn is None else await self._apologies(turn, held)
        await self._kept(
            [
                pending.dropped(waiting.id),
                quarantine.put(held),
                *(pending.put(one, at=held.at) for one in letters),
            ]
        )
        self._front.offer(letters)

    async def _about(self, event: Event, held: Quarantined) -> Turn | None:
        """A turn to apologise in; None if whom it is about is what cannot be made out."""
        await self.world.ids.refill()
        try:
            return await turns.made(
                event,
                database=self.database,
                world=self.world,
                directory=self.directory,
                now=held.at,
            )
        except Exception as fault:
            log.error("apology.fault", row=held.id, fault=type(fault).__name__)
            return None

    async def _apologies(self, turn: Turn, held: Quarantined) -> list[Waiting]:
        """Words for whoever waits for an answer, and for whoever is in charge."""
        if turn.event.kind in (Kind.SAID, Kind.PRESSED) and turn.private:
            turn.say("house.fault")
        for one in await members.in_charge(turn.db, turn.community.id):
            if (home := turn.at_home(one)) is not None:
                turn.say(
                    "house.fault_admin",
                    to=home,
                    prompted=True,
                    attempts=held.attempts,
                    number=held.id,
                )
        return [self._outgoing(letter) for letter in turn.letters]


def _shown(event: Event) -> None:
    """Refuse whoever hides who they are where that decides what they may do."""
    if event.person is not None and event.person.anonymous:
        raise Refusal("house.anonymous")


def lane_to(letter: Letter) -> str:
    """What it must not overtake: what goes to the same chat, or to the same topic of a desk."""
    to = letter.to
    topic = f":{to.thread_of}" if to.thread_of else f":t{to.thread}" if to.thread else ""
    return f"{to.channel}:{to.place}{topic}"


def _heard(waiting: Waiting, turn: Turn) -> Interaction:
    event = turn.event
    return Interaction(
        id=waiting.id,
        community=turn.community.id,
        member=turn.member.id or None,
        channel=event.channel,
        direction="in",
        kind=event.kind.value,
        at=event.at,
        place=event.where.id if event.where else "",
        message=event.message if event.kind is Kind.SAID else "",
        body=body(event),
    )
