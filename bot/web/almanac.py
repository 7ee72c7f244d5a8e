"""An almanac: what was counted on each day of a community, asked once a day that is over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Hashable
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from bot.web.figures import midnight
from handlers.turn import Clock

MOST = 20_000  # days that are remembered, of all communities together
SETTLED = timedelta(hours=1)  # after its end, nothing is added to a day any more

Ask = Callable[[datetime, datetime], Awaitable[dict[str, int]]]


class Almanac:
    """Remembers what a day that is over amounted to: the past does not change."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: dict[tuple[Hashable, str, date], dict[str, int]] = {}

    async def days(
        self, what: Hashable, ask: Ask, *, first: date, last: date, zone: ZoneInfo
    ) -> dict[date, Counter[str]]:
        """What `ask` counts on each day, from `first` to `last`, by the clock of `zone`.

        what: names what is counted, for whom
        ask:  counts from one moment to before another (aware)
        """
        found: dict[date, Counter[str]] = {}
        day = first
        while day <= last:
            found[day] = Counter(await self._day(what, ask, day, zone))
            day += timedelta(days=1)
        return found

    async def _day(self, what: Hashable, ask: Ask, day: date, zone: ZoneInfo) -> dict[str, int]:
        key = (what, zone.key, day)
        if (known := self._known.get(key)) is not None:
            return known
        end = midnight(day + timedelta(days=1), zone)
        counted = await ask(midnight(day, zone), end)
        if self._clock.now() >= end + SETTLED:
            self._known[key] = counted
            if len(self._known) > MOST:
                del self._known[next(iter(self._known))]
        return counted
