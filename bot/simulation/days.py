"""Days: what happens when, for every resident by their habits and by chance."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from bot.simulation.doings import Street
from bot.simulation.residents import Resident

Doing = Callable[[Resident], None]
Moment = tuple[datetime, list[tuple[Resident, Doing]]]

SLOT = timedelta(minutes=3)  # what falls into one happens at the same time
A_DAY = timedelta(days=1)
RESTING = 0.25  # of all days, somebody looks at nothing
VISITS = 10  # of staff to their desk, on a day


def planned(
    street: Street, chance: random.Random, residents: Sequence[Resident], start: datetime, day: int
) -> Iterator[Moment]:
    """What is done on a day that begins at `start` (aware, UTC), in order."""
    slots: dict[int, dict[str, tuple[Resident, Doing]]] = defaultdict(dict)
    for who in residents:
        for hour, doing in _theirs(street, chance, who, day):
            slot = _slot(start, who.zone, hour)
            while who.ref in slots[slot]:
                slot += 1
            slots[slot][who.ref] = (who, doing)
    for slot in sorted(slots):
        yield start + slot * SLOT, list(slots[slot].values())


def _theirs(
    street: Street, chance: random.Random, who: Resident, day: int
) -> Iterator[tuple[float, Doing]]:
    """The hours of their day, and what they do then."""
    if who.role and day == 0:
        return  # they have just set up the place
    if day == who.arrives and not who.role:
        yield _waking(chance), street.arrives
        return
    if day < who.arrives or day > who.silent_from or not who.came:
        return
    if who.role == "staff":
        for _ in range(VISITS):
            yield 9 + 12 * chance.random(), street.works
    if chance.random() < RESTING:
        return
    if chance.random() < who.keen:
        late = chance.random() * 3 if chance.random() < 0.1 else 0.0  # slept in
        yield (who.hour + late) % 24, street.checks_in
    for _ in range(_about(chance, who.talkative)):
        yield _waking(chance), street.talks
    for often, doing in _now_and_then(street):
        if chance.random() < often:
            yield _waking(chance), doing


def _now_and_then(street: Street) -> tuple[tuple[float, Doing], ...]:
    """How likely each is on a day on which somebody is about."""
    return (
        (0.10, street.asks),
        (0.04, street.asks_the_unknown),
        (0.012, street.asks_for_a_person),
        (0.03, street.says_something),
        (0.06, street.looks),
        (0.08, street.invites),
        (0.03, street.mutes),
        (0.008, street.moves),
        (0.01, street.changes_language),
        (0.03, street.edits),
        (0.04, street.presses_again),
        (0.015, street.taunts),
        (0.008, street.leaves),
        (0.01, street.stops),
        (0.01, street.lets_in),
        (0.01, street.starts),
    )


def _about(chance: random.Random, usual: float) -> int:
    """A whole number that is `usual` on average, and often none."""
    return min(8, int(chance.expovariate(1 / usual) + 0.5)) if usual > 0 else 0


def _waking(chance: random.Random) -> float:
    """An hour at which most are awake, and some are up late."""
    return (7 + 17.5 * chance.random()) % 24


def _slot(start: datetime, zone: str, hour: float) -> int:
    """The slot of the day in which clocks in the zone show this hour."""
    clock = time(int(hour), int(hour % 1 * 60))
    local = datetime.combine(start.date(), clock, ZoneInfo(zone))
    return int((local - start) % A_DAY / SLOT)
