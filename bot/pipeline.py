"""The single way in: take an event down, let one capability decide, hand on what it noted.

Of several processes any may take an event down; it is dealt with by the one that has
its lane's share (storage/crew.py), told of it by the commit that wrote it down.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

import msgspec
import structlog

from bot import metrics, turns, wire
from bot.channels import Malformed
from bot.chatter import Chatter
from bot.recording import body
from bot.worker import FULL, Activity, Alarm, Lanes
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
    shares,
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
STRAYED = timedelta(seconds=5)  # an event nobody has in hand for so long is taken up again
SEARCH = timedelta(seconds=1)  # between two looks for such events
GIVING = 5.0  # seconds that what has begun may take when its lane is given up
ELSEWHERE = 4 * FULL  # events that others have yet to deal with, from which on we take in no more
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
        self._chatter = Chatter(board, directory, database.reader)
        self.shares: frozenset[int] = frozenset()  # whose lanes are ours to work on
        self._in_hand: set[int] = set()  # so that no row is taken up twice
        self._behind = False  # what is written down and not in hand goes first
        self._refused = False  # something was written down while we caught up
        self._legacy: dict[int, set[int]] = {}  # share → what waited in it when it became ours
        self._elsewhere = 0  # how many events waited for others when we last looked
        self._stamped = datetime.min.replace(tzinfo=UTC)
        self._searched = datetime.min.replace(tzinfo=UTC)  # when we last looked for what strayed
        self.lanes: Lanes[Waiting] = Lanes(self._finish, activity, alarm)

    # ---------------------------------------------------------------- taking in

    async def intake(self, channel: str, arrivals: Sequence[Event | Malformed]) -> None:
        """Take a batch into our care; when this returns it is safe on disk.

        What the channel has told us of before changes nothing.
        Raises `Unavailable` when the database is; then nothing may be acknowledged.
        """
        await self._room()
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

    async def _room(self) -> None:
        """Return once there is room for more, here and with those who share the work."""
        await self.lanes.room()
        while self._elsewhere > ELSEWHERE:
            await asyncio.sleep(1.0)
            await self.look_elsewhere()

    async def look_elsewhere(self) -> None:
        """See how much waits for others, who may be slower than we are, or gone."""
        waits = (await pending.counts(self.database.reader)).get("in", 0)
        self._elsewhere = waits - len(self._in_hand)

    def take_up(self, waiting: Iterable[Waiting]) -> int:
        """Deal with what was just written down, after what its lane holds; how much was new.

        What there is no room for stays where it is written down, and then goes before
        whatever comes later.
        """
        ours = [one for one in waiting if self._new(one)]
        if self._behind or self.lanes.full():
            self._behind = self._behind or bool(ours)
            self._refused = self._refused or bool(ours)
            return 0
        return self._put(ours)

    def wake(self, due: Iterable[Waiting]) -> int:
        """Deal with what has fallen due, which has no place in the order of what comes in."""
        return self._put([one for one in due if self._new(one)])

    def _new(self, one: Waiting) -> bool:
        return one.id not in self._in_hand and pending.share_of(one.lane) in self.shares

    def _put(self, waiting: Sequence[Waiting]) -> int:
        for one in waiting:
            self._in_hand.add(one.id)
            self.lanes.put(one.lane, one)
        return len(waiting)

    async def catch_up(self) -> int:
        """Take up what is written down and was left there, oldest first; how much it was."""
        db, taken = self.database.reader, 0
        if not self._behind and not await self._strayed():
            return 0
        self._behind = True
        while self._behind and not self.lanes.full():
            self._refused = False
            left = await self._left()
            for start in range(0, len(left), pending.PAGE):
                if self.lanes.full():
                    return taken
                page = await pending.by_ids(db, left[start : start + pending.PAGE])
                taken += self._put([one for one in page if self._new(one)])
            self._behind = self._refused
        return taken

    async def _strayed(self) -> bool:
        """Whether something has been left too long; looked at now and then, as it is rare."""
        now = self.world.clock.now()
        if abs(now - self._searched) < SEARCH:
            return False
        self._searched = now
        return bool(await self._left(before=now - STRAYED))

    async def _left(self, *, before: datetime | None = None) -> list[int]:
        """What is written down for us, and not in hand."""
        if not self.shares:
            return []
        ids = await pending.unsettled(self.database.reader, self.shares, before=before)
        return [id for id in ids if id not in self._in_hand]

    async def told(self, ids: Collection[int]) -> int:
        """Another process has written these down for us; how many were new."""
        fresh = [id for id in ids if id not in self._in_hand]
        if self._behind or not fresh:
            self._refused = self._refused or bool(fresh)
            return 0
        return self.take_up(await pending.by_ids(self.database.reader, fresh))

    async def _finish(self, waiting: Waiting) -> None:
        try:
            await self.deal(waiting)
        finally:
            self._in_hand.discard(waiting.id)
        await self._in_order(waiting)

    async def _in_order(self, waiting: Waiting) -> None:
        """Once everything is done that waited in a share when it became ours, it is in order."""
        if not self._legacy:
            return  # as nearly always
        share = pending.share_of(waiting.lane)
        legacy = self._legacy.get(share)
        if legacy is not None:
            legacy.discard(waiting.id)
            if not legacy:
                del self._legacy[share]
                await self._kept(shares.in_order([share]))

    def _stamp(self) -> datetime:
        """The present, later than it ever was: what comes later is always dealt with later."""
        self._stamped = max(self.world.clock.now(), self._stamped + timedelta(microseconds=1))
        return self._stamped

    async def _take_down(self, event: Event) -> Waiting | None:
        event = wire.sound(event)
        lane = await self._lane(event)
        if await self._merely_noted(event, ours=pending.share_of(lane) in self.shares):
            return None
        waiting = Waiting(
            id=self.world.ids.take(),
            kind="in",
            channel=event.channel,
            key=event.id,
            lane=lane,
            payload=wire.packed_event(event),
            due=event.at,
            community=event.community or None,
            member=event.member or None,
            handed=event,
        )
        try:
            await self.database.writer.settle(pending.taken_in(waiting, at=self._stamp()))
        except Miss:
            # Told again.  If the first telling was written down just as the database went
            # away, nobody has it in hand yet.
            metrics.of(metrics.REPEATS, event.channel).inc()
            return await pending.by_key(self.database.reader, event.channel, event.id)
        metrics.of(metrics.EVENTS, event.channel, event.kind).inc()
        return waiting

    async def _merely_noted(self, event: Event, *, ours: bool) -> bool:
        """Whether it was mere talk, and has been written down and counted as that."""
        changes = await self._chatter.noted(event, id=self.world.ids.take, ours=ours)
        if changes is None:
            return False
        try:
            await self.database.writer.settle(changes)
        except Miss:
            return False  # told before, or by somebody who has gone since: look properly
        metrics.of(metrics.EVENTS, event.channel, "chatter").inc()
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
                metrics.of(metrics.TURNS, "fault").inc()
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

    # ---------------------------------------------------------------- sharing the work

    async def take(self, taken: frozenset[int]) -> None:
        """Work on these shares from now on, beginning with what waits in them.

        If somebody ended over what waited in a share, it may be one of the events that
        ended them: then whatever may have been begun, the first of each lane, is played
        alone at first, and charged an attempt beforehand.  What did it is known after
        three times, and is set aside.
        """
        db = self.database.reader
        feared = taken & await shares.ended_over(db)
        waiting = await pending.by_ids(db, await pending.unsettled(db, taken))
        legacy: dict[int, set[int]] = {}
        for one in waiting:
            legacy.setdefault(pending.share_of(one.lane), set()).add(one.id)
        await self._kept(shares.taken(legacy))
        first = {one.lane: one for one in reversed(waiting)}
        # Who was charged least goes first, lest a few kills from outside all blame the same one.
        for one in sorted(first.values(), key=lambda one: one.attempts):
            if pending.share_of(one.lane) in feared:
                await self._alone(one)
                legacy[pending.share_of(one.lane)].discard(one.id)
        self._legacy |= {share: ids for share, ids in legacy.items() if ids}
        await self._kept(shares.in_order([share for share, ids in legacy.items() if not ids]))
        self._behind = True
        self.shares |= taken
        await self.catch_up()

    async def give(self, given: frozenset[int]) -> None:
        """Work on these no longer; what has begun is finished, or broken off."""
        self.shares -= given
        left = await self.lanes.leave(GIVING, which=lambda lane: pending.share_of(lane) in given)
        self._in_hand.difference_update(one.id for one in left)
        for share in given:
            self._legacy.pop(share, None)

    async def let_go(self) -> None:
        """We end in good order, and nobody has anything to fear from what we leave."""
        await self.database.writer.settle(shares.in_order(self._legacy))

    async def _alone(self, waiting: Waiting) -> None:
        if waiting.attempts >= ATTEMPTS:
            event = wire.event(waiting.payload)
            fault = RuntimeError("ended the process")
            await self._give_up(waiting, event, fault, waiting.attempts)
            return
        await self._kept(
            [pending.put_off(waiting.id, until=waiting.due, attempts=waiting.attempts + 1)]
        )
        await self.deal(waiting)

    async def _played(self, waiting: Waiting, event: Event) -> None:
        """Play the turn, again on what is now true for as long as it misses."""
        for _ in range(REPLAYS):
            if event.until is not None and self.world.clock.now() > event.until:
                await self._let_pass(waiting, event)
                return
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
                    await self._kept_unheard(turn)
                    return
                metrics.of(metrics.TURNS, "replayed").inc()
                continue
            metrics.of(metrics.TURNS, outcome).inc()
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
            case Kind.JOINED | Kind.LEFT if turns.comes_or_goes(turn):
                return board.watching(event.kind)
            case Kind.JOINED if turns.tells_the_link(turn):
                return board.watching(Kind.LINKED)
            case Kind.JOINED | Kind.LEFT:
                return []
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

    async def _kept_unheard(self, turn: Turn) -> None:
        """It is settled: perhaps by us, and the database went away before it could say so."""
        if any(change.shared for change in turn.notes):
            await self.reload()
        self._alarm.nudge()  # whoever looks at the clock finds its letters and wakings

    async def _let_pass(self, waiting: Waiting, event: Event) -> None:
        """What would be of no use to anybody so late is dropped by its own rule, and counted."""
        late = self.world.clock.now() - event.at
        metrics.LATE.labels("waking", event.data.partition(".")[0]).inc()
        log.info("waking.too_late", waking=event.data, row=waiting.id, late=str(late))
        await self._drop(waiting)

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
