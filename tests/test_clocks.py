"""Clocks that jump, stand, are put forward and back: each timer fires once, or is told of."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from bot import metrics
from bot.channels import Faltered
from bot.scheduler import LATE, showings
from bot.worker import Activity, Alarm
from handlers.router import Outgoing, Router
from handlers.turn import STALE, Policy, Reply, Turn
from knowledge.model import FAILURES, REST, Breaker
from storage import members, pending
from tests.community import NOON, Community, Resident, TownClock

KEY = "A" * 43 + "="
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
ZONES = (
    "Europe/Berlin", "Australia/Lord_Howe", "Pacific/Chatham", "America/Havana", "Asia/Kathmandu",
    "America/St_Johns", "Africa/Casablanca", "Asia/Gaza", "Pacific/Apia", "UTC",
)  # fmt: skip


class Settings(BaseModel, extra="forbid", frozen=True):
    """The [clockwork] section of config.toml."""

    at: time = time(20)


def clockwork() -> Router:
    """A capability with one timer of each sort."""
    router = Router("clockwork", Settings)

    @router.command("start", listed=False)
    async def start(turn: Turn) -> None:
        return

    @router.daily("at")
    async def ring(turn: Turn) -> None:
        turn.send(Reply(text=f"ding {turn.today}"), prompted=True)

    @router.command("remind", listed=False)
    async def remind(turn: Turn) -> None:
        turn.later("kettle", turn.now + HOUR, stale=timedelta(minutes=30))
        turn.later("promise", turn.now + HOUR)

    @router.later("kettle")
    async def kettle(turn: Turn) -> None:
        turn.send(Reply(text="the kettle boils"), prompted=True)

    @router.later("promise")
    async def promise(turn: Turn) -> None:
        turn.send(Reply(text="as promised"), prompted=True)

    @router.command("news", listed=False)
    async def news(turn: Turn) -> None:
        turn.send(Reply(text="good morning"), prompted=False, policy=Policy.AT_LEAST_ONCE)
        turn.send(
            Reply(text="the result of the year"), prompted=False, stale=timedelta(days=365),
            policy=Policy.AT_LEAST_ONCE,
        )  # fmt: skip
        turn.send(Reply(text="and your answer"))

    @router.gate
    async def closed(outgoing: Outgoing) -> datetime | None:
        """Nothing unasked in the first two hours after the town was founded."""
        opens = NOON + 2 * HOUR
        return opens if outgoing.now < opens else None

    return router


async def founded(url: str, **more: object) -> Community:
    return await Community.founded(url, routers=[clockwork()], **more)  # type: ignore[arg-type]


def heard(who: Resident) -> list[str]:
    return [one.text for one in who.inbox]


def late(what: str) -> float:
    """How often something of the capability's came too late so far."""
    labels = {"what": what, "capability": "clockwork"}
    return metrics.REGISTRY.get_sample_value("innkeeper_late_total", labels) or 0.0


async def sleeps(town: Community, by: timedelta) -> None:
    """The machine is asleep, and nothing runs in between; then it wakes."""
    town.clock.move(by)
    town.house.nudge()
    await town.house.settled()


# ---------------------------------------------------------------- when clocks are changed


@pytest.mark.parametrize(
    ("zone", "clock", "day", "fires"),
    [
        # Put forward: a time that is jumped over comes as much later as they jump.
        ("Europe/Berlin", time(2, 30), "2025-03-30", "01:30"),  # 03:30 there
        ("Australia/Lord_Howe", time(2, 15), "2025-10-05", "15:45"),  # 02:45, of the day before
        ("Pacific/Chatham", time(3, 0), "2025-09-28", "14:15"),  # 04:00
        ("America/Havana", time(0, 30), "2025-03-09", "05:30"),  # 01:30
        # Put back: a time that comes twice counts the first time.
        ("Europe/Berlin", time(2, 30), "2025-10-26", "00:30"),
        ("Australia/Lord_Howe", time(1, 45), "2025-04-06", "14:45"),
        ("Pacific/Chatham", time(3, 0), "2025-04-06", "13:15"),
        ("Europe/London", time(1, 30), "2025-10-26", "00:30"),
        # And a day that comes every four years.
        ("Asia/Kathmandu", time(9), "2028-02-29", "03:15"),
    ],
)
def test_when_a_daily_fires_in_the_nights_the_clocks_change(
    zone: str, clock: time, day: str, fires: str
) -> None:
    midday = datetime.fromisoformat(day).replace(hour=12, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    (shown,) = showings(clock, ZoneInfo(zone), midday - DAY, midday)
    assert (shown[0].isoformat(), f"{shown[1]:%H:%M}") == (day, fires)


@given(
    zone=st.sampled_from(ZONES),
    clock=st.times(),
    start=st.integers(0, 6 * 366 * 24 * 60).map(lambda minutes: NOON + minutes * MINUTE),
    steps=st.lists(st.timedeltas(timedelta(seconds=1), timedelta(hours=30)), max_size=30),
)
def test_however_often_one_looks_each_day_fires_once(
    zone: str, clock: time, start: datetime, steps: list[timedelta]
) -> None:
    """Looking at every moment, or once in 30 hours, finds the same days, each at one moment."""
    moments = [start]
    for step in steps:
        moments.append(moments[-1] + step)
    home = ZoneInfo(zone)
    looks = [
        one for after, until in pairwise(moments) for one in showings(clock, home, after, until)
    ]
    assert looks == showings(clock, home, moments[0], moments[-1])
    days = [day for day, _ in looks]
    assert len(set(days)) == len(days)
    whole = (moments[-1] - moments[0]) // DAY
    assert whole - 1 <= len(days) <= whole + 2


async def test_a_daily_in_the_last_second_of_the_day_is_not_lost_at_midnight(url: str) -> None:
    """The date had changed by the time anybody looked, every day anew."""
    town = await founded(url, settings={"clockwork": {"at": time(23, 59, 59)}})
    ana = await town.resident("Ana", member=False)
    town.clock.move(timedelta(hours=11, minutes=50))
    for _ in range(40):
        await sleeps(town, timedelta(seconds=30))
    assert heard(ana) == ["ding 2025-03-03"]
    await town.close()


async def test_a_day_that_comes_every_four_years_keeps_a_streak(url: str) -> None:
    eve = datetime(2028, 2, 27, 4, tzinfo=UTC)
    town = await Community.founded(url, clock=TownClock(eve))
    ana = await town.resident("Ana")
    for streak in (1, 2, 3, 4):
        await ana.says("/checkin")
        assert ana.last.words["streak"] == streak
        await town.passes(days=1)
    await town.close()


# ---------------------------------------------------------------- a machine that sleeps


async def test_a_reminder_too_late_is_dropped_and_counted_and_a_promise_is_kept(url: str) -> None:
    town = await founded(url)
    ana = await town.resident("Ana", member=False)
    await ana.says("/remind")
    before = late("waking")
    await sleeps(town, timedelta(hours=2))
    assert heard(ana) == ["as promised"]
    assert late("waking") == before + 1
    assert await pending.counts(town.house.database.reader) == {}
    await ana.says("/remind")
    await sleeps(town, timedelta(hours=1, minutes=29))  # late, and not too late
    assert sorted(heard(ana)[1:]) == ["as promised", "the kettle boils"]
    assert late("waking") == before + 1
    await town.close()


async def test_a_night_asleep_skips_what_is_daily_aloud(url: str) -> None:
    town = await founded(url)
    ana = await town.resident("Ana", member=False)
    ben = await town.resident("Ben", member=False)
    before = late("daily")
    await sleeps(town, timedelta(hours=15))  # from noon until three in the morning
    assert heard(ana) == heard(ben) == []
    assert late("daily") == before + 2  # members
    await town.house.settled()
    assert late("daily") == before + 2
    await town.passes(days=1)
    assert heard(ana) == ["ding 2025-03-04"]
    await sleeps(town, 3 * DAY)
    assert late("daily") == before + 8
    await town.close()


async def test_a_stop_over_what_is_daily_is_told_at_the_next_start(url: str) -> None:
    town = await founded(url, key=KEY)
    await town.resident("Ana", member=False)
    await town.close()
    before = late("daily")
    town = await founded(url, key=KEY, clock=TownClock(NOON + timedelta(hours=15)))
    await town.house.settled()
    assert late("daily") == before + 1
    await town.close()


async def test_a_waking_that_was_written_down_is_still_too_late_after_a_stop(url: str) -> None:
    """The bell was due when the process ended, and nobody is rung out of bed by the next."""
    town = await founded(url, key=KEY)
    ana = await town.resident("Ana", member=False)
    known, house = await ana.known(), town.house
    (daily,) = house.board.dailies
    due = NOON + timedelta(hours=8)
    await house.scheduler._put(daily, town.known, known, due.date(), due)
    await town.close()
    before = late("waking")
    town = await founded(url, key=KEY, clock=TownClock(due + LATE + timedelta(seconds=1)))
    await town.house.settled()
    assert town.street.delivered == []
    assert late("waking") == before + 1
    await town.close()


async def test_what_nobody_asked_for_is_no_news_after_a_day(url: str) -> None:
    town = await founded(url)
    ana = await town.resident("Ana", member=False)
    before = late("letter")
    await ana.says("/news")
    assert heard(ana) == ["and your answer"]
    await sleeps(town, STALE + HOUR)
    assert heard(ana) == ["and your answer", "the result of the year"]
    assert late("letter") == before + 1
    assert "withheld: too late" in await ana.outcomes()
    await town.close()


async def test_what_nobody_asked_for_is_said_when_it_is_only_some_hours_late(url: str) -> None:
    town = await founded(url)
    ana = await town.resident("Ana", member=False)
    await ana.says("/news")
    await sleeps(town, timedelta(hours=7))
    assert sorted(heard(ana)[1:]) == ["good morning", "the result of the year"]
    await town.close()


async def test_an_answer_survives_a_day_asleep_though_the_network_is_not_back_at_once(
    url: str,
) -> None:
    """It was given up at the first try after the machine woke, as a day had passed."""
    town = await founded(url)
    ana = await town.resident("Ana", member=False)
    town.street.trouble = [Faltered("down", unsent=True) for _ in range(4)]
    await ana.says("/news")
    await sleeps(town, timedelta(hours=25))
    await town.passes(minutes=2)
    assert "and your answer" in heard(ana)
    await town.close()


async def test_whoever_joined_before_a_night_asleep_is_not_greeted_in_the_morning(
    url: str,
) -> None:
    town = await Community.founded(url)
    ana = await town.resident("Ana", member=False)
    await ana.joins()
    labels = {"what": "waking", "capability": "welcome"}
    before = metrics.REGISTRY.get_sample_value("innkeeper_late_total", labels) or 0.0
    await sleeps(town, timedelta(hours=9))
    assert town.group == []
    assert metrics.REGISTRY.get_sample_value("innkeeper_late_total", labels) == before + 1
    await town.close()


# ---------------------------------------------------------------- clocks that are wrong


class Wrong(TownClock):
    """A clock that somebody may set to anything."""

    def set(self, by: timedelta) -> None:
        self.ahead += by


@pytest.mark.parametrize("by", [HOUR, DAY])
async def test_a_clock_put_ahead_and_back_fires_everything_once(url: str, by: timedelta) -> None:
    clock = Wrong()
    town = await founded(url, clock=clock)
    ana = await town.resident("Ana", member=False)
    await town.passes(hours=7, minutes=30)
    await ana.says("/remind")
    clock.set(by)
    town.house.nudge()
    await town.house.settled()
    clock.set(-by)
    town.house.nudge()
    await town.house.settled()
    await town.passes(hours=14)
    await town.passes(days=1)
    said = heard(ana)
    assert said.count("as promised") == 1
    assert [said.count(f"ding 2025-03-0{day}") for day in (3, 4)] == [1, 1]
    assert len(said) == len(set(said))
    await town.close()


async def test_a_clock_put_back_says_nothing_twice_and_loses_nothing(url: str) -> None:
    clock = Wrong()
    town = await founded(url, clock=clock)
    ana = await town.resident("Ana", member=False)
    await town.passes(hours=8, minutes=1)
    clock.set(-DAY)
    town.house.nudge()
    await ana.says("/remind")
    await town.passes(days=2)
    said = heard(ana)
    # The day before is lived again, and had not been rung for.
    assert sorted(said) == [
        "as promised", "ding 2025-03-02", "ding 2025-03-03", "ding 2025-03-04", "the kettle boils"
    ]  # fmt: skip
    await town.close()


async def test_a_clock_that_stands_still_repeats_nothing(url: str) -> None:
    town = await founded(url)
    ana = await town.resident("Ana", member=False)
    await town.passes(hours=8)
    for _ in range(5):
        town.house.nudge()
        await town.house.settled()
    assert heard(ana) == ["ding 2025-03-03"]
    await town.close()


class Hands:
    """A clock whose hands run, and can be moved."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.off = timedelta()

    def now(self) -> datetime:
        return NOON + timedelta(seconds=self._loop.time()) + self.off


@pytest.mark.parametrize("by", [-HOUR, -DAY])
async def test_a_pause_does_not_last_longer_because_the_clock_is_put_back(by: timedelta) -> None:
    """Whoever waited a second for another try once waited as long as the clock was put back."""
    clock = Hands(asyncio.get_running_loop())
    alarm = Alarm(clock, Activity())
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(alarm.for_(0.02))
        await asyncio.sleep(0)
        clock.off = by


def test_a_model_does_not_rest_longer_because_the_clock_is_put_back() -> None:
    clock = Wrong()
    breaker = Breaker(clock.now)
    for _ in range(FAILURES):
        breaker.failed()
    assert not breaker.lets_pass()
    clock.set(-DAY)
    assert breaker.lets_pass()
    assert not breaker.lets_pass()
    clock.set(REST)
    assert breaker.lets_pass()


async def test_a_zone_changed_over_the_bell_hears_it_once(url: str) -> None:
    """Somebody flies from Shanghai to London in the evening: 20:00 comes twice, the bell once."""
    town = await founded(url)
    ana = await town.resident("Ana", member=False)
    known = await ana.known()
    await town.passes(hours=8, minutes=5)
    await town.house.database.writer.settle([members.arrived_in_zone(known.id, "Europe/London")])
    await town.passes(hours=9)
    assert heard(ana) == ["ding 2025-03-03"]
    await town.close()
