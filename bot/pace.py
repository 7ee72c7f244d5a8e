"""Pace: no faster than a platform allows in any second or minute, and what is urgent first."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import IntEnum
from heapq import heappop, heappush

from bot.channels import Limits

BURST = 3.0  # messages a chat takes at once before a second's pause between them
KEPT = 10_000  # chats whose pace is remembered; those at rest are forgotten first
MINUTE = 60.0

# All chats together are spaced evenly at a little less than the platform's rate; after a stall
# of our own some may catch up, and still no second has more than it may.
SHARE = 0.975
CAUGHT_UP = 0.25  # of a second's messages

# The platform counts a message some time between our letting it go and its answer.  As long as
# an answer takes at least, all are delayed alike; by what it takes longer, one may be counted
# later than those behind it.  What is not answered yet counts as that late at the most.
LATEST = 1.0
LATEST_IN_GROUP = 3.0
MARGIN = 0.005
FIRST = 20  # answers, before which we do not know how long they take at least
FORGETTING = 0.001  # seconds a second, as which we come to believe that all take longer now
FINEST = 0.01  # seconds between two looks: at a thousand a second, ten go at a time
SPARE = 0.01  # of a high rate, that stays unused, as no two clocks agree when a second begins


class Urgency(IntEnum):
    """What goes first."""

    ANSWER = 0  # somebody waits for it, or a person has written it
    UPDATE = 1  # promised, or for those who work here
    CAMPAIGN = 2  # to many, who did not ask


@dataclass(slots=True)
class Window:
    """At most so many in any span of so many seconds, counted as the platform may count them."""

    most: int
    seconds: float
    latest: float  # seconds
    inside: set[int] = field(default_factory=set)  # the numbers of those that still count
    ends: list[tuple[float, int]] = field(default_factory=list)  # a heap: until when each does

    def opens_at(self, now: float) -> float:
        """When there is room for one more: `now`, or later."""
        ends, inside = self.ends, self.inside
        while ends and (ends[0][0] <= now or ends[0][1] not in inside):
            inside.discard(heappop(ends)[1])
        return ends[0][0] if len(inside) >= self.most else now

    def add(self, number: int, at: float, late: float | None = None) -> None:
        """Count what was let go at that moment, as late as it may have been counted."""
        self.inside.add(number)
        self._ends(number, at, self.latest if late is None else late)

    def answered(self, number: int, at: float, late: float) -> None:
        """It was counted so much later than some others, at the most."""
        if number in self.inside and late < self.latest:
            self._ends(number, at, late)

    def _ends(self, number: int, at: float, late: float) -> None:
        heappush(self.ends, (at + self.seconds + MARGIN + late, number))


@dataclass(slots=True)
class Bucket:
    """A token bucket: `rate` tokens a second, at most `size` saved up."""

    rate: float
    size: float
    tokens: float
    at: float

    def opens_at(self, now: float) -> float:
        """When there is a token: `now`, or later."""
        self.tokens = min(self.size, self.tokens + (now - self.at) * self.rate)
        self.at = now
        return now if self.tokens >= 1 - 1e-9 else now + (1 - self.tokens) / self.rate

    def take(self) -> None:
        """Take a token, which `opens_at` has just found."""
        self.tokens -= 1


@dataclass(slots=True, eq=False)
class Slot:
    """Leave to say one message, asked for or given."""

    urgency: Urgency
    number: int  # those who asked earlier have a smaller one
    given: Callable[[], None]  # called once when it is
    at: float = -1.0  # when it was given
    gone: bool = False  # whoever asked has gone away
    counted: tuple[Window, ...] = ()  # where it counts


@dataclass(slots=True, eq=False)
class Chat:
    """One chat's pace, and who waits to say something there."""

    bucket: Bucket
    window: Window | None  # of a group
    asked: list[tuple[Urgency, int, Slot]] = field(default_factory=list)  # a heap
    held_until: float = 0.0  # the platform asked us to be quiet there
    parked: bool = False  # nothing may be said there yet

    def opens_at(self, now: float) -> float:
        """When the next may be said there."""
        opens = max(self.held_until, self.bucket.opens_at(now))
        return opens if self.window is None else max(opens, self.window.opens_at(now))

    def resting(self, now: float) -> bool:
        """Whether nothing of it need be remembered."""
        quiet = self.held_until <= now and not self.asked and self.bucket.opens_at(now) <= now
        inside = self.window.inside if self.window is not None else ()
        return quiet and self.bucket.tokens >= self.bucket.size and not inside


class Pace:
    """One channel's pace.  Clocks here are monotonic: a moved clock is no reason to hurry.

    Leave is given to the most urgent, of those to who asked first, of a chat that may be
    written to; whoever is less urgent has whatever the others leave.
    """

    def __init__(
        self,
        limits: Limits,
        now: Callable[[], float],
        wake: Callable[[float], None],
        *,
        said: Iterable[tuple[str, float]] = (),
    ) -> None:
        """wake: have `look` called in so many seconds; a later call stands for the earlier ones
        said: (place, how many seconds ago) of what went out in the last minute, by whomever
        """
        self._limits = limits
        self._now = now
        self._wake = wake
        self._chats: dict[str, Chat] = {}
        self._count = 0
        self._pasts = 0
        self._ready: list[tuple[Urgency, int, Chat]] = []  # a heap; some of it is out of date
        self._parked: list[tuple[float, int, Chat]] = []  # a heap, by when they open
        self._paused_until = 0.0
        start = now()
        rate = limits.overall
        size = 1 + CAUGHT_UP * rate
        self._bucket = Bucket(SHARE * rate, size, 1.0, start)  # no burst to begin with
        self._window = Window(max(1, int(rate - int(rate * SPARE))), 1.0, LATEST)
        self._least = LATEST  # seconds that an answer takes at the least
        self._answers, self._answered_at = 0, start
        self._before: dict[str, list[float]] = {}
        for place, ago in sorted(said, key=lambda one: -one[1]):
            self._before.setdefault(place, []).append(start - ago)
            if ago < 1.0:
                self._window.add(self._past(), start - ago, 0.0)
        self._before_until = start + MINUTE

    def ask(self, place: str, *, group: bool, urgency: Urgency, given: Callable[[], None]) -> Slot:
        """Ask to say one message there; `given` is called, perhaps at once, when it may be said."""
        self._count += 1
        slot = Slot(urgency, self._count, given)
        chat = self._chat(place, group=group)
        heappush(chat.asked, (urgency, slot.number, slot))
        if not chat.parked and chat.asked[0][2] is slot:
            self._line_up(chat)
        self.look()
        return slot

    def answered(self, slot: Slot) -> None:
        """The platform has answered what was said by this leave."""
        now = self._now()
        took = now - slot.at
        self._least = min(took, self._least + FORGETTING * (now - self._answered_at))
        self._answered_at = now
        self._answers += 1
        late = took - self._least if self._answers > FIRST else took
        for window in slot.counted:
            window.answered(slot.number, slot.at, late)
        if self._ready:
            self.look()

    def hold(self, place: str, seconds: float, *, group: bool) -> None:
        """Say nothing there for so long."""
        chat = self._chat(place, group=group)
        chat.held_until = max(chat.held_until, self._now() + seconds)

    def pause(self, seconds: float) -> None:
        """Say nothing on the whole channel for so long."""
        self._paused_until = max(self._paused_until, self._now() + seconds)

    def closed_for(self, place: str) -> float:
        """Seconds for which the platform wants nothing said there, or anywhere."""
        chat, now = self._chats.get(place), self._now()
        until = self._paused_until if chat is None else max(self._paused_until, chat.held_until)
        return max(0.0, until - now)

    def look(self) -> None:
        """Give leave to whoever may have it now."""
        now = self._now()
        while self._parked and self._parked[0][0] <= now:
            _, _, chat = heappop(self._parked)
            chat.parked = False
            self._line_up(chat)
        while self._ready:
            opens = self._opens_at(now)
            if opens > now:
                self._wake(max(opens - now, FINEST))
                return
            _, number, chat = heappop(self._ready)
            if chat.parked or not chat.asked or chat.asked[0][1] != number:
                continue  # out of date: it stands elsewhere too
            if chat.asked[0][2].gone:
                heappop(chat.asked)
                self._line_up(chat)
            elif chat.opens_at(now) > now:
                self._line_up(chat)
            else:
                self._give(chat, now)
        if self._parked:
            self._wake(max(self._parked[0][0] - now, FINEST))

    def _opens_at(self, now: float) -> float:
        """When the next may be said to whomever."""
        return max(self._paused_until, self._bucket.opens_at(now), self._window.opens_at(now))

    def _give(self, chat: Chat, now: float) -> None:
        _, _, slot = heappop(chat.asked)
        slot.at = now
        self._bucket.take()
        chat.bucket.take()
        slot.counted = (self._window,) if chat.window is None else (self._window, chat.window)
        for window in slot.counted:
            window.add(slot.number, now)
        if chat.asked:
            self._line_up(chat)
        given, slot.given = slot.given, _nothing
        given()

    def _line_up(self, chat: Chat) -> None:
        """Have the chat wait for its turn, or first for its own time."""
        if not chat.asked:
            return
        urgency, number, _ = chat.asked[0]
        now = self._now()
        opens = chat.opens_at(now)
        if opens <= now:
            heappush(self._ready, (urgency, number, chat))
        else:
            chat.parked = True
            heappush(self._parked, (opens, number, chat))

    def _chat(self, place: str, *, group: bool) -> Chat:
        chat = self._chats.get(place)
        if chat is None:
            now = self._now()
            self._forget_some(now)
            before = self._before.pop(place, []) if now < self._before_until else []
            lately = sum(at > now - BURST / self._limits.per_chat for at in before)
            bucket = Bucket(self._limits.per_chat, BURST, BURST - min(lately, BURST), now)
            window = None
            if group:
                window = Window(max(1, int(self._limits.per_group)), MINUTE, LATEST_IN_GROUP)
                for at in before:
                    window.add(self._past(), at, 0.0)
            chat = self._chats[place] = Chat(bucket, window)
        return chat

    def _past(self) -> int:
        """A number for what was said before anybody asked."""
        self._pasts -= 1
        return self._pasts

    def _forget_some(self, now: float) -> None:
        """Forget one or two of those known longest, if they are at rest and there are too many."""
        for _ in range(2):
            if len(self._chats) < KEPT:
                return
            place = next(iter(self._chats))
            chat = self._chats.pop(place)
            if not chat.resting(now):
                self._chats[place] = chat


def _nothing() -> None:
    return
