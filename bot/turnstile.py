"""Turnstiles: whoever has something to say on a channel waits here for leave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime, timedelta

from bot.channels import Channel, Limits, NotNow
from bot.pace import Pace, Slot, Urgency
from bot.worker import IN_FLIGHT, Activity
from handlers.turn import To
from storage import interactions
from storage.writer import Reader

LATELY = timedelta(minutes=1)  # what went out since then counts against the platform's limits
AHEAD = 0.06  # seconds: as long as a commit takes, and some


class Turnstile:
    """One channel's pace, on the running event loop, with one timer for all who wait."""

    def __init__(
        self,
        limits: Limits,
        monotonic: Callable[[], float],
        activity: Activity,
        *,
        said: Iterable[tuple[str, float]] = (),
    ) -> None:
        """said: (place, seconds ago) of what went out in the last minute"""
        self._monotonic = monotonic
        self._activity = activity
        self._waiting: set[asyncio.Future[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._rings_at = 0.0
        self.rate = limits.overall
        # How many may be marked as being sent while they wait: what a crash leaves unknown.
        self.ahead = asyncio.Semaphore(max(2, min(IN_FLIGHT, int(AHEAD * limits.overall))))
        self._pace = Pace(limits, monotonic, self._wake, said=said)

    async def leave(
        self,
        place: str,
        *,
        group: bool,
        urgency: Urgency,
        aside: Callable[[], AbstractAsyncContextManager[None]],
    ) -> Slot:
        """Return once one message may be said there; waiting, `aside`, is no activity."""
        given: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        slot = self._pace.ask(place, group=group, urgency=urgency, given=lambda: self._give(given))
        if given.done():
            return slot
        self._waiting.add(given)
        async with aside():
            self._activity.end()
            try:
                await given
            except asyncio.CancelledError:
                if given in self._waiting:
                    self._awake(given)
                slot.gone = True
                raise
        return slot

    def answered(self, slots: Iterable[Slot]) -> None:
        """The platform has answered what was said by this leave."""
        for slot in slots:
            self._pace.answered(slot)

    def slow_down(self, place: str, seconds: float, *, group: bool, all_: bool) -> None:
        """The platform asks to be left alone for so long, there or altogether."""
        self._pace.hold(place, seconds, group=group)
        if all_:
            self._pace.pause(seconds)

    def closed_for(self, place: str) -> float:
        """Seconds for which nothing may be said there."""
        return self._pace.closed_for(place)

    def dismiss(self) -> None:
        """Whoever waits is cancelled."""
        for given in [*self._waiting]:
            given.cancel()

    def _give(self, given: asyncio.Future[None]) -> None:
        """Awake from now on, even before the waiting task has had time to go on."""
        if given in self._waiting:
            self._awake(given)
        if not given.done():
            given.set_result(None)

    def _awake(self, given: asyncio.Future[None]) -> None:
        self._waiting.discard(given)
        self._activity.begin()

    def _wake(self, seconds: float) -> None:
        rings_at = self._monotonic() + seconds
        if self._timer is not None:
            if self._rings_at <= rings_at:
                return  # what is looked at then is all there is
            self._timer.cancel()
        self._rings_at = rings_at
        self._timer = asyncio.get_running_loop().call_later(seconds, self._look)

    def _look(self) -> None:
        self._timer = None
        self._pace.look()


class Gates:
    """The turnstiles of all channels that have limits; at the others nobody waits."""

    def __init__(
        self,
        channels: Mapping[str, Channel],
        monotonic: Callable[[], float],
        activity: Activity,
        aside: Callable[[], AbstractAsyncContextManager[None]],
    ) -> None:
        """aside: as long as it is entered, whoever waits keeps no other lane from working"""
        self._channels = channels
        self._monotonic = monotonic
        self._activity = activity
        self._aside = aside
        self._gates: dict[str, Turnstile] = {}
        self._closed = False

    async def open(self, db: Reader, now: datetime) -> None:
        """Begin anew, with what went out in the last minute, by whomever, counted."""
        said: dict[str, list[tuple[str, float]]] = {name: [] for name in self._channels}
        for name, place, at in await interactions.said_since(db, now - LATELY):
            said.setdefault(name, []).append((place, max(0.0, (now - at).total_seconds())))
        self._gates = {
            name: Turnstile(channel.limits, self._monotonic, self._activity, said=said[name])
            for name, channel in self._channels.items()
            if channel.limits is not None
        }
        self._closed = False

    @property
    def rate(self) -> float | None:
        """How many messages a second the slowest of them allows; None without any."""
        return min((gate.rate for gate in self._gates.values()), default=None)

    async def leave(self, to: To, urgency: Urgency) -> Slot | None:
        """Return once one message may be said there; None where there are no limits."""
        gate = self._gates.get(to.channel)
        if gate is None:
            return None
        if self._closed:
            raise asyncio.CancelledError
        return await gate.leave(to.place, group=not to.private, urgency=urgency, aside=self._aside)

    def answered(self, to: To, *slots: Slot | None) -> None:
        """The platform has answered what was said there by this leave."""
        gate = self._gates.get(to.channel)
        if gate is not None:
            gate.answered(slot for slot in slots if slot is not None)

    @asynccontextmanager
    async def ahead(self, to: To) -> AsyncIterator[None]:
        """Keep those who wait from being marked as being sent long before they are."""
        gate = self._gates.get(to.channel)
        if gate is None:
            yield
            return
        if gate.ahead.locked():
            async with self._aside():
                await gate.ahead.acquire()
        else:
            await gate.ahead.acquire()
        try:
            yield
        finally:
            gate.ahead.release()

    def closed_for(self, to: To) -> float:
        """Seconds for which nothing may be said there, whatever it is."""
        gate = self._gates.get(to.channel)
        return 0.0 if gate is None else gate.closed_for(to.place)

    def slow_down(self, to: To, slow: NotNow) -> None:
        """The platform asks to be left alone, there or altogether."""
        gate = self._gates.get(to.channel)
        if gate is not None:
            gate.slow_down(to.place, slow.seconds, group=not to.private, all_=slow.everywhere)

    def dismiss(self) -> None:
        """Whoever waits is cancelled, and whoever comes until they are opened again."""
        self._closed = True
        for gate in self._gates.values():
            gate.dismiss()
