"""The worker: lanes in which work keeps its order, and the one place where faults are caught."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import inf
from typing import Generic, TypeVar

import structlog

from handlers.turn import Clock

log = structlog.get_logger()

T = TypeVar("T")

IN_FLIGHT = 256  # lanes that run at once; the others wait for one of these to be done
WELL = 60.0  # seconds after which what failed then had been running well
FULL = 5000  # pieces of work in hand, from which on whoever brings more is kept waiting


class Activity:
    """Knows whether anything is being worked on, so that one can wait for quiet."""

    def __init__(self) -> None:
        self._awake = 0
        self._quiet = asyncio.Event()
        self._quiet.set()

    def begin(self) -> None:
        """Something is being done from now on: said before its task has had time to start."""
        self._count(+1)

    def end(self) -> None:
        """It is done."""
        self._count(-1)

    @contextmanager
    def resting(self) -> Iterator[None]:
        """What was being done only waits for the clock meanwhile."""
        self._count(-1)
        try:
            yield
        finally:
            self._count(+1)

    async def quiet(self) -> None:
        """Return once nothing is being done that does not merely wait for the clock."""
        await self._quiet.wait()

    def _count(self, by: int) -> None:
        self._awake += by
        if self._awake:
            self._quiet.clear()
        else:
            self._quiet.set()


@dataclass(eq=False, slots=True)
class Sleeper:
    """Somebody who waits for a moment."""

    moment: datetime
    woken: asyncio.Future[None]
    timer: asyncio.TimerHandle | None = None
    left: float = inf  # seconds, when last looked at


class Alarm:
    """Sleeping by the world's clock: whoever moves the clock calls `nudge` to wake the sleepers."""

    def __init__(self, clock: Clock, activity: Activity) -> None:
        self._clock = clock
        self._activity = activity
        self._sleepers: list[Sleeper] = []
        self._nudged = asyncio.Event()
        self._ended = False

    def nudge(self) -> None:
        """Look at the clock again."""
        for sleeper in list(self._sleepers):
            self._look(sleeper)
        self._nudged.set()
        self._nudged = asyncio.Event()

    @property
    def next(self) -> datetime | None:
        """The first moment that somebody waits for; None when nobody does."""
        return min((sleeper.moment for sleeper in self._sleepers), default=None)

    async def for_(self, seconds: float) -> None:
        """Sleep that long by the clock, which counts as no activity."""
        if self._ended:
            raise asyncio.CancelledError
        moment = self._clock.now() + timedelta(seconds=seconds)
        sleeper = Sleeper(moment, asyncio.get_running_loop().create_future())
        self._sleepers.append(sleeper)
        self._activity.end()
        self._look(sleeper)
        try:
            await sleeper.woken
        except asyncio.CancelledError:
            if sleeper in self._sleepers:
                self._wake(sleeper)
            raise

    @property
    def nudged(self) -> asyncio.Event:
        """Set by the next nudge; to be taken before looking at what a nudge may change."""
        return self._nudged

    async def nap(self, moment: datetime, nudged: asyncio.Event) -> None:
        """Sleep until that moment or that nudge, whichever comes first."""
        left = (moment - self._clock.now()).total_seconds()
        with suppress(TimeoutError):
            async with asyncio.timeout(max(left, 0)):
                await nudged.wait()

    def end(self) -> None:
        """Nobody sleeps any more: whoever does, or would, is cancelled.

        What they were at is written down, and the next start finds it.
        """
        self._ended = True
        for sleeper in self._sleepers:
            sleeper.woken.cancel()

    def _look(self, sleeper: Sleeper) -> None:
        """Wake the sleeper if the moment has come; else look again when it should have."""
        if sleeper not in self._sleepers:
            return
        if sleeper.timer is not None:
            sleeper.timer.cancel()
        left = (sleeper.moment - self._clock.now()).total_seconds()
        if left > sleeper.left:  # the clock was put back, for which nobody sleeps any longer
            sleeper.moment -= timedelta(seconds=left - sleeper.left)
            left = sleeper.left
        sleeper.left = left
        if left <= 0:
            self._wake(sleeper)
        else:
            sleeper.timer = asyncio.get_running_loop().call_later(left, self._look, sleeper)

    def _wake(self, sleeper: Sleeper) -> None:
        """Awake from now on, even before the sleeper's task has had time to go on."""
        self._sleepers.remove(sleeper)
        if sleeper.timer is not None:
            sleeper.timer.cancel()
        self._activity.begin()
        if not sleeper.woken.done():
            sleeper.woken.set_result(None)


class Lanes(Generic[T]):
    """Does what is put into one lane in its order, and different lanes side by side."""

    def __init__(
        self, do: Callable[[T], Awaitable[None]], activity: Activity, alarm: Alarm
    ) -> None:
        self._do = do
        self._activity = activity
        self._alarm = alarm
        self._lanes: dict[str, deque[T]] = {}
        self._slots = asyncio.Semaphore(IN_FLIGHT)
        self._running: dict[str, asyncio.Task[None]] = {}
        self._stopping = False
        self.broke_off = False  # when lanes were last given up, something was not let finish
        self._waiting = 0
        self._roomy = asyncio.Event()
        self._roomy.set()

    def full(self) -> bool:
        """Whether whoever brings more is to wait."""
        return not self._roomy.is_set()

    async def room(self) -> None:
        """Return once there is room for more, so that what we cannot do yet stays outside."""
        await self._roomy.wait()

    def put(self, lane: str, work: T) -> None:
        """Do this after everything that is already in its lane."""
        if self._stopping:
            return  # it is written down, and the next start finds it
        self._count(+1)
        waiting = self._lanes.get(lane)
        if waiting is not None:
            waiting.append(work)
            return
        self._lanes[lane] = deque([work])
        self._activity.begin()
        self._running[lane] = asyncio.create_task(self._run(lane), name="lane")

    def _count(self, by: int) -> None:
        self._waiting += by
        if self._waiting >= FULL:
            self._roomy.clear()
        else:
            self._roomy.set()

    async def stop(self, within: float) -> None:
        """Take no more, finish what is being done within so many seconds, leave the rest."""
        self._stopping = True
        await self.leave(within)

    async def leave(
        self, within: float, *, which: Callable[[str], bool] = lambda _: True
    ) -> list[T]:
        """Give up these lanes, by default all; returns what was queued in them and not begun.

        What has begun may end within so many seconds, and is broken off then: it is
        still written down, and whoever takes the lane over begins it anew.
        """
        left: list[T] = []
        ending = set[asyncio.Task[None]]()
        for lane, waiting in self._lanes.items():
            if which(lane):
                while len(waiting) > 1:
                    left.append(waiting.pop())
                    self._count(-1)
                ending.add(self._running[lane])
        self.broke_off = False
        if ending:
            _, late = await asyncio.wait(ending, timeout=within)
            self.broke_off = bool(late)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        return left

    async def pause(self, seconds: float) -> None:
        """Keep the lane that is being worked on waiting so long by the clock, and no other."""
        async with self.aside():
            await self._alarm.for_(seconds)

    @asynccontextmanager
    async def aside(self) -> AsyncIterator[None]:
        """Let another lane work while this one only waits; its own work stays in order."""
        self._slots.release()
        try:
            yield
        finally:
            await self._slots.acquire()

    async def _run(self, lane: str) -> None:
        waiting = self._lanes[lane]
        try:
            while waiting:
                async with self._slots:
                    await self._guarded(waiting[0])
                waiting.popleft()
                self._count(-1)
        finally:
            self._count(-len(waiting))  # nothing, unless it was broken off
            del self._lanes[lane], self._running[lane]
            self._activity.end()

    async def _guarded(self, work: T) -> None:
        try:
            await self._do(work)
        except Exception as fault:
            # What failed here has already been retried and set aside where it could be;
            # a lane outlives it, so that its neighbours are still served.
            log.error("lane.fault", fault=type(fault).__name__, exc_info=True)


async def forever(
    name: str, work: Callable[[], Awaitable[None]], pause: Callable[[float], Awaitable[None]]
) -> None:
    """Keep something running: a fault is logged and, after a growing pause, it starts again.

    pause: sleeps so many real seconds
    """
    seconds = 1.0
    now = asyncio.get_running_loop().time
    while True:
        began = now()
        try:
            await work()
            return
        except asyncio.CancelledError:
            raise
        except Exception as fault:
            log.error("loop.fault", loop=name, fault=type(fault).__name__, exc_info=True)
            if now() - began > WELL:
                seconds = 1.0
            await pause(seconds)
            seconds = min(seconds * 2, 60.0)
