"""The clock: what is daily happens once a day for each, at their own time, never late at night."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, time, timedelta

import pytest
from pydantic import BaseModel

from bot.channels import Malformed
from handlers.router import Router
from handlers.turn import Reply, Turn
from storage import members, quarantine
from storage.moments import to_micros
from tests.community import Community, Resident, TownClock


class Settings(BaseModel, extra="forbid", frozen=True):
    """The [bell] section of config.toml."""

    at: time = time(20)


def bell() -> Router:
    """A capability that rings every evening."""
    router = Router("bell", Settings)

    @router.daily("at")
    async def ring(turn: Turn) -> None:
        turn.send(Reply(text=f"ding {turn.today}"))

    @router.command("start", listed=False)
    async def start(turn: Turn) -> None:
        return

    return router


@pytest.fixture
async def town(url: str) -> AsyncIterator[Community]:
    founded = await Community.founded(url, routers=[bell()])
    yield founded
    await founded.close()


def heard(who: Resident) -> list[str]:
    return [one.text for one in who.inbox]


async def test_the_bell_rings_once_an_evening(town: Community) -> None:
    ana = await town.resident("Ana", member=False)
    await town.passes(hours=7, minutes=59)
    assert heard(ana) == []
    await town.passes(hours=3)
    assert heard(ana) == ["ding 2025-03-03"]
    await town.passes(days=2)
    assert heard(ana) == ["ding 2025-03-03", "ding 2025-03-04", "ding 2025-03-05"]


async def test_each_hears_it_at_their_own_time(town: Community) -> None:
    ana = await town.resident("Ana", member=False)
    ben = await town.resident("Ben", member=False)
    known = await ben.known()
    await town.house.database.writer.settle([members.arrived_in_zone(known.id, "Asia/Tokyo")])
    await town.passes(hours=7, minutes=15)
    assert (heard(ana), heard(ben)) == ([], ["ding 2025-03-03"])
    await town.passes(hours=1)
    assert (heard(ana), heard(ben)) == (["ding 2025-03-03"], ["ding 2025-03-03"])


async def test_a_restart_in_the_evening_does_not_ring_twice(url: str) -> None:
    town = await Community.founded(url, routers=[bell()], key="A" * 43 + "=")
    ana = await town.resident("Ana", member=False)
    await town.passes(hours=8, minutes=5)
    assert heard(ana) == ["ding 2025-03-03"]
    await town.close()
    again = await Community.founded(
        url, routers=[bell()], key="A" * 43 + "=", clock=TownClock(town.clock.now())
    )
    await again.house.settled()
    await again.passes(minutes=30)
    assert again.street.delivered == []
    await again.close()


async def test_a_machine_that_slept_all_night_rings_nobody_out_of_bed(town: Community) -> None:
    ana = await town.resident("Ana", member=False)
    town.clock.move(timedelta(hours=14))  # at once: nothing ran in between
    town.house.nudge()
    await town.house.settled()
    assert heard(ana) == []


@pytest.mark.parametrize("day", ["2025-03-30", "2025-10-26"])
async def test_the_nights_the_clocks_change_ring_once(url: str, day: str) -> None:
    """In Berlin 02:30 does not exist on the one night, and exists twice on the other."""
    eve = datetime.fromisoformat(day).replace(tzinfo=UTC) - timedelta(hours=6)
    town = await Community.founded(
        url,
        routers=[bell()],
        settings={
            "bell": {"at": time(2, 30)},
            "community": [{"name": "Harbour Tea", "zone": "Europe/Berlin"}],
        },
        clock=TownClock(eve),
    )
    ana = await town.resident("Ana", member=False)
    await town.passes(hours=18)
    assert heard(ana) == [f"ding {day}"]
    await town.close()


async def test_who_wants_no_reminders_is_not_woken(town: Community) -> None:
    ana = await town.resident("Ana", member=False)
    known = await ana.known()
    await town.house.database.writer.settle(
        [members.wishes(known.id, silenced=True, reminders=True)]
    )
    await town.passes(days=1)
    assert heard(ana) == []


async def test_what_is_kept_too_long_is_let_go_of(town: Community) -> None:
    ana = await town.resident("Ana", member=False)
    await town.happens(Malformed("1", "{}", "no update"))
    db = town.house.database.reader
    assert await db.value("SELECT count(*) FROM interactions") > 0
    assert await quarantine.count(db) == 1
    await town.passes(days=91)
    assert await quarantine.count(db) == 0
    town.clock.move(timedelta(days=300))
    await town.house.settled()
    old = to_micros(town.clock.now() - timedelta(days=365))
    assert await db.value("SELECT count(*) FROM interactions WHERE at < :at", at=old) == 0
    assert heard(ana) != []
