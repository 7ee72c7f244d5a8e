"""Quiet hours: what nobody asked for waits for morning, in the reader's own zone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers import quiet_hours
from handlers.quiet_hours import opens_at, quiet_at
from handlers.router import Router
from handlers.turn import Reply, Turn
from storage import members
from tests.community import Community, Resident

NIGHT, MORNING = time(22), time(8)
BERLIN = "Europe/Berlin"

NEWS = "New tea is in."

news = Router("news")


@news.command("news", listed=False)
async def tell_the_group(turn: Turn) -> None:
    """Say in the group what nobody there asked for."""
    turn.send(Reply(text=NEWS), prompted=False)


def at(local: str, zone: str, fold: int = 0) -> datetime:
    return datetime.fromisoformat(local).replace(tzinfo=ZoneInfo(zone), fold=fold).astimezone(UTC)


# ---------------------------------------------------------------- the rule


@pytest.mark.parametrize(
    ("zone", "now", "opens"),
    [
        (BERLIN, "2025-03-03T21:59:59", "2025-03-03T21:59:59"),
        (BERLIN, "2025-03-03T22:00", "2025-03-04T08:00"),
        (BERLIN, "2025-03-04T00:00", "2025-03-04T08:00"),
        (BERLIN, "2025-03-04T07:59:59.999999", "2025-03-04T08:00"),
        (BERLIN, "2025-03-04T08:00", "2025-03-04T08:00"),
        (BERLIN, "2025-03-29T23:00", "2025-03-30T08:00"),  # the night the clocks go forward
        (BERLIN, "2025-10-25T23:00", "2025-10-26T08:00"),  # and back
        ("Asia/Kolkata", "2025-03-03T23:30", "2025-03-04T08:00"),  # half an hour off
        ("Asia/Kathmandu", "2025-03-03T22:15", "2025-03-04T08:00"),  # and a quarter
        (
            "Australia/Lord_Howe",
            "2025-04-05T23:00",
            "2025-04-06T08:00",
        ),  # goes back by half an hour
        ("Africa/Cairo", "2025-04-24T23:00", "2025-04-25T08:00"),  # a day without a midnight
        ("Pacific/Apia", "2011-12-29T23:00", "2011-12-31T08:00"),  # the day that never was
    ],
)
def test_night_waits_for_morning(zone: str, now: str, opens: str) -> None:
    assert opens_at(at(now, zone), NIGHT, MORNING, ZoneInfo(zone)) == at(opens, zone)


def test_a_morning_that_the_clocks_jump_over_begins_when_they_jump() -> None:
    now = at("2025-03-30T01:50", BERLIN)
    opens = opens_at(now, NIGHT, time(2, 30), ZoneInfo(BERLIN))
    assert opens == at("2025-03-30T03:00", BERLIN) == now + timedelta(minutes=10)


@pytest.mark.parametrize(
    ("fold", "opens_fold"),
    [(0, 0), (1, 1)],
)
def test_a_morning_that_comes_twice_is_the_next_one(fold: int, opens_fold: int) -> None:
    now = at("2025-10-26T02:10", BERLIN, fold)
    opens = opens_at(now, NIGHT, time(2, 30), ZoneInfo(BERLIN))
    assert opens == at("2025-10-26T02:30", BERLIN, opens_fold) == now + timedelta(minutes=20)


def test_quiet_hours_may_lie_within_a_day() -> None:
    zone = ZoneInfo("Asia/Shanghai")
    for now, opens in (("12:59", "12:59"), ("13:00", "15:00"), ("15:00", "15:00")):
        found = opens_at(at(f"2025-03-03T{now}", zone.key), time(13), time(15), zone)
        assert found == at(f"2025-03-03T{opens}", zone.key)


def test_the_same_start_and_end_is_never_quiet() -> None:
    now = at("2025-03-03T23:00", BERLIN)
    assert opens_at(now, NIGHT, NIGHT, ZoneInfo(BERLIN)) == now


CLOCKS = st.times().map(lambda clock: clock.replace(microsecond=0))
ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "Africa/Cairo")


@settings(deadline=None, max_examples=150)
@given(
    now=st.datetimes(datetime(2024, 1, 1), datetime(2026, 12, 31)),  # noqa: DTZ001 - UTC is put in
    start=CLOCKS,
    end=CLOCKS,
    zone=st.sampled_from(ZONES),
)
def test_it_opens_at_the_first_moment_that_is_not_quiet(
    now: datetime, start: time, end: time, zone: str
) -> None:
    now, there = now.replace(tzinfo=UTC), ZoneInfo(zone)
    opens = opens_at(now, start, end, there)
    assert opens >= now
    assert not quiet_at(opens.astimezone(there).time(), start, end)
    for part in range(60):
        before = now + (opens - now) * part / 60
        assert before == opens or quiet_at(before.astimezone(there).time(), start, end)


# ---------------------------------------------------------------- what waits


async def test_what_nobody_asked_for_waits_for_morning(town: Community, ana: Resident) -> None:
    await invited_at_night(town, ana)
    assert not ana.heard("referrals.came")
    await town.passes(hours=8, minutes=59)
    assert not ana.heard("referrals.came")
    await town.passes(minutes=2)
    assert ana.heard("referrals.came", friend="Bo", count=1)


async def test_morning_comes_by_the_members_own_clock(town: Community, ana: Resident) -> None:
    await lives_in(town, ana, "America/New_York")
    await invited_at_night(town, ana)  # which is ten in the morning there
    assert ana.heard("referrals.came")


async def test_an_answer_is_given_at_any_hour(town: Community, ana: Resident) -> None:
    await town.passes(hours=14)
    await ana.says("/checkin")
    assert ana.heard("checkin.done")


async def test_a_newcomer_is_greeted_at_any_hour(town: Community) -> None:
    await town.passes(hours=14)
    await town.resident("Ana")
    assert town.group_heard("welcome.newcomer", name="Ana")


@pytest.fixture
async def village(url: str) -> AsyncIterator[Community]:
    """A town with little more than news and quiet hours."""
    founded = await Community.founded(url, routers=[news, quiet_hours.router])
    yield founded
    await founded.close()


async def test_a_group_sleeps_by_its_communitys_clock(village: Community) -> None:
    ana = await village.resident("Ana")
    await lives_in(village, ana, "America/New_York")
    await village.passes(hours=11)  # night in the town, morning for her
    await ana.says("/news", group=True)
    assert NEWS not in [one.text for one in village.group]
    await ana.says("/news")
    assert ana.last.text == NEWS
    await village.passes(hours=9)
    assert village.group[-1].text == NEWS


# ---------------------------------------------------------------- asking when


async def test_a_member_is_told_the_hours_by_their_own_clock(
    town: Community, ana: Resident
) -> None:
    await lives_in(town, ana, "Europe/Berlin")
    await ana.says("/quiet now please")
    assert ana.heard("quiet_hours.hours", start=NIGHT, end=MORNING, zone="Europe/Berlin")
    assert "From 22:00 to 08:00" in ana.last.text


async def test_the_hours_are_told_in_chinese_and_in_the_group(
    town: Community, mei: Resident
) -> None:
    await mei.says("/quiet", group=True)
    assert town.group[-1].text.startswith("每天 22:00 到 08:00（你的时区：Asia/Shanghai）")


async def test_an_admin_is_told_where_to_change_them(town: Community) -> None:
    bo = await town.admin("Bo")
    await bo.says("/quiet")
    assert bo.heard("quiet_hours.hours_admin")
    assert "[quiet_hours] in config.toml" in bo.last.text


async def test_a_community_may_keep_none(url: str) -> None:
    same = {"start": time(22), "end": time(22)}
    town = await Community.founded(url, settings={"quiet_hours": same})
    ana, bo = await town.resident("Ana"), await town.admin("Bo", language="zh")
    await ana.says("/quiet")
    await bo.says("/quiet")
    assert ana.heard("quiet_hours.never")
    assert "[quiet_hours]" in bo.last.text
    await invited_at_night(town, ana)
    assert ana.heard("referrals.came")
    await town.close()


async def invited_at_night(town: Community, inviter: Resident) -> None:
    """At 23:00 in the town, Bo comes by the inviter's link."""
    await inviter.says("/invite")
    link = inviter.last.words["link"]
    night = datetime(2025, 3, 3, 15, tzinfo=UTC)
    await town.passes(seconds=(night - town.clock.now()).total_seconds())
    bo = await town.resident("Bo", member=False, home=False)
    await bo.joins(link)


async def lives_in(town: Community, someone: Resident, zone: str) -> None:
    """They have lived there for long."""
    member = await someone.known()
    await town.house.database.writer.settle([members.arrived_in_zone(member.id, zone)])
