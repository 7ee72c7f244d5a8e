"""Check-in: one tap a day, counted by the member's own calendar, once."""

from __future__ import annotations

import asyncio
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from handlers.checkin import alive_on, at_stake, spans, streak_after
from storage import facts, members
from storage.facts import Fact
from tests.community import Community, Resident

PNG = b"\x89PNG"
TODAY = date(2025, 3, 3)
YESTERDAY = TODAY - timedelta(days=1)


# ---------------------------------------------------------------- the rules


@pytest.mark.parametrize(
    ("last", "streak", "after"),
    [
        (None, 0, 1),  # the first
        ("2025-02-28", 6, 7),  # the day before, across a month
        ("2025-02-27", 6, 1),  # a day was missed
        ("2025-03-01", 6, 6),  # today, again
        ("2025-03-02", 6, 6),  # a day that is over elsewhere: they flew west
    ],
)
def test_a_streak_grows_by_a_day_or_begins_again(last: str | None, streak: int, after: int) -> None:
    ended = None if last is None else date.fromisoformat(last)
    assert streak_after(date(2025, 3, 1), ended, streak) == after


def test_a_streak_is_alive_until_a_whole_day_was_missed() -> None:
    assert [alive_on(TODAY, TODAY - timedelta(days=n), 5) for n in range(4)] == [5, 5, 0, 0]
    assert alive_on(TODAY, None, 0) == 0


def test_only_yesterdays_streak_is_at_stake() -> None:
    days = [None, TODAY, YESTERDAY, YESTERDAY - timedelta(days=1)]
    assert [at_stake(TODAY, day) for day in days] == [False, False, True, False]


def test_days_are_written_as_people_write_them() -> None:
    assert spans([]) == []
    assert spans([date(2025, 3, day) for day in (1, 3, 4, 30, 31)]) == ["1", "3–4", "30–31"]


# ---------------------------------------------------------------- checking in


async def test_a_first_check_in(town: Community, ana: Resident) -> None:
    await ana.says("/checkin")
    assert ana.last.text == (
        "Checked in, Ana. Day one. Come back tomorrow and it becomes a streak."
    )
    assert ana.last.buttons == ["checkin.calendar", "checkin.top"]
    known = await ana.known()
    assert (known.streak, known.longest, known.checked_in_on) == (1, 1, TODAY)


async def test_a_first_check_in_in_chinese(town: Community, mei: Resident) -> None:
    await mei.says("/checkin")
    assert mei.last.text == "梅，打卡成功，这是第 1 天。明天再来，就开始连续了。"
    assert mei.last.labels == ["我的日历", "连续打卡榜"]


async def test_today_is_counted_once(town: Community, ana: Resident) -> None:
    await ana.says("/checkin")
    await ana.says("/checkin with some words")
    await ana.presses("checkin.here", group=True)
    assert ana.last.key == "checkin.already"
    assert town.group_heard("checkin.already", streak=1)
    assert (await ana.known()).streak == 1
    assert await check_ins(town) == 1


async def test_two_taps_at_once_are_counted_once(town: Community, ana: Resident) -> None:
    await asyncio.gather(*(ana.presses("checkin.here") for _ in range(3)))
    assert await check_ins(town) == 1
    assert [one.key for one in ana.inbox[-3:]] == ["checkin.done", *["checkin.already"] * 2]


async def test_in_the_group_it_is_told_who_checked_in(town: Community, ana: Resident) -> None:
    bo = await town.resident("Bo")
    await ana.says("/checkin", group=True)
    await bo.presses("checkin.here", group=True)
    assert town.group_heard("checkin.done", name="Ana", streak=1)
    assert town.group_heard("checkin.done", name="Bo", streak=1)


async def test_midnight_parts_two_days(town: Community, ana: Resident) -> None:
    await until(town, "2025-03-03T23:59")
    await ana.says("/checkin")
    await until(town, "2025-03-04T00:00")
    await ana.says("/checkin")
    assert ana.heard("checkin.done", streak=2)


async def test_a_missed_day_starts_the_streak_again(town: Community, ana: Resident) -> None:
    await been_checking_in(town, ana, streak=5, until=YESTERDAY - timedelta(days=1))
    await ana.says("/checkin")
    assert ana.heard("checkin.done", streak=1, next="@checkin.next.again")
    assert (await ana.known()).longest == 5


async def test_a_milestone_is_celebrated(town: Community, ana: Resident) -> None:
    await been_checking_in(town, ana, streak=6, until=YESTERDAY)
    await ana.says("/checkin")
    assert ana.last.key == "checkin.milestone"
    assert ana.last.text.startswith("🍵 7 days in a row, Ana.")
    assert ana.last.text.endswith("Your longest yet.")


async def test_milestones_are_where_the_community_sets_them(url: str) -> None:
    town = await Community.founded(url, settings={"checkin": {"milestone": 3}})
    mei = await town.resident("梅", language="zh")
    await been_checking_in(town, mei, streak=5, until=YESTERDAY, longest=9)
    await mei.says("/checkin")
    assert mei.last.text == "🍵 梅，连续打卡 6 天，值得喝杯好茶。明天见。"
    await town.close()


# ---------------------------------------------------------------- zones


async def test_flying_west_earns_no_second_check_in(town: Community, ana: Resident) -> None:
    await ana.says("/checkin")
    await moves(town, ana, "America/Los_Angeles")
    await town.passes(hours=13)  # the fourth in Shanghai, the third again in Los Angeles
    await ana.says("/checkin")
    assert ana.last.key == "checkin.already"
    await town.passes(hours=15)  # the fourth in Los Angeles
    await ana.says("/checkin")
    assert ana.heard("checkin.done", streak=2)


async def test_a_day_that_is_over_is_not_counted_again(town: Community, ana: Resident) -> None:
    """Between these islands lie 25 hours: who flies far enough lands the day before."""
    await lives_in(town, ana, "Pacific/Kiritimati")
    await ana.says("/checkin")  # the third
    await moves(town, ana, "Pacific/Pago_Pago")
    await town.passes(hours=6)  # the second, nearly over
    await ana.says("/checkin")
    assert ana.last.key == "checkin.already"
    await town.passes(hours=25)  # the fourth
    await ana.says("/checkin")
    assert ana.heard("checkin.done", streak=2)


async def test_flying_east_keeps_the_streak(town: Community, ana: Resident) -> None:
    await lives_in(town, ana, "America/Los_Angeles")
    await ana.says("/checkin")  # the second there
    await moves(town, ana, "Asia/Shanghai", since=TODAY)
    await town.passes(hours=5)  # the third there, though in Shanghai it was so all day
    await ana.says("/checkin")
    assert ana.heard("checkin.done", streak=2)
    await ana.says("/checkin")
    assert ana.last.key == "checkin.already"


# ---------------------------------------------------------------- calendar and leaderboard


async def test_the_calendar_is_a_picture_that_is_also_told_in_words(
    town: Community, ana: Resident
) -> None:
    await ana.says("/checkin")
    await town.passes(days=1)
    await ana.presses("checkin.here")
    await town.passes(days=2)
    await ana.says("/streak")
    assert ana.last.image is not None
    assert ana.last.image.startswith(PNG)
    assert ana.last.text == ("2 check-ins this month, on days 3–4. In a row now: 0; longest: 2.")
    assert ana.last.buttons == ["checkin.here", "checkin.top"]


async def test_the_calendar_in_chinese_and_in_the_group(town: Community, mei: Resident) -> None:
    await mei.says("/checkin")
    await mei.presses("checkin.calendar", group=True)
    assert town.group[-1].text == "本月已打卡 1 天：3 日。目前连续 1 天，最长 1 天。"
    assert town.group[-1].image is not None
    assert town.group[-1].image.startswith(PNG)


async def test_a_new_month_has_an_empty_calendar(town: Community, ana: Resident) -> None:
    await been_checking_in(town, ana, streak=2, until=date(2025, 2, 28))
    await ana.says("/streak")
    assert ana.heard("checkin.calendar_empty", streak=0, longest=2)


async def test_without_a_check_in_the_calendar_says_how_to_begin(
    town: Community, ana: Resident
) -> None:
    await ana.says("/streak")
    assert ana.last.key == "checkin.none_yet"
    assert ana.last.buttons == ["checkin.here"]


async def test_the_leaderboard_lists_what_is_alive(town: Community, ana: Resident) -> None:
    for name, streak, until in (
        ("Bo", 9, YESTERDAY),
        ("Cy", 40, YESTERDAY - timedelta(days=1)),  # it has ended
        ("Di", 9, TODAY),
        ("Ed", 2, TODAY),
    ):
        await been_checking_in(town, await town.resident(name), streak=streak, until=until)
    await ana.says("/top")
    assert ana.last.text == (
        "Longest streaks still going:\n1. Bo: 9 days\n1. Di: 9 days\n3. Ed: 2 days"
    )


async def test_who_is_not_among_the_first_still_sees_their_own(url: str) -> None:
    town = await Community.founded(url, settings={"checkin": {"shown": 1}})
    bo, mei = await town.resident("Bo"), await town.resident("梅", language="zh")
    await been_checking_in(town, bo, streak=9, until=TODAY)
    await been_checking_in(town, mei, streak=4, until=YESTERDAY)
    await mei.presses("checkin.top", group=True)
    assert town.group[-1].text == "连续打卡榜：\n1. Bo：9 天\n你：4 天"
    await town.close()


async def test_an_empty_leaderboard_invites_to_begin(town: Community, ana: Resident) -> None:
    await ana.says("/top")
    assert ana.last.key == "checkin.top_empty"
    assert ana.last.buttons == ["checkin.here"]


# ---------------------------------------------------------------- reminders


async def test_a_streak_at_stake_is_reminded_of_at_eight(town: Community, ana: Resident) -> None:
    await been_checking_in(town, ana, streak=4, until=YESTERDAY)
    await until(town, "2025-03-03T19:59")
    assert not ana.heard("checkin.remind")
    await until(town, "2025-03-03T20:00")
    assert ana.heard("checkin.remind", name="Ana", streak=4)
    assert ana.last.buttons == ["checkin.here", "subscriptions.stop"]
    await ana.presses("checkin.here")
    assert ana.heard("checkin.done", streak=5)


async def test_eight_is_by_the_members_own_clock(town: Community, ana: Resident) -> None:
    await been_checking_in(town, ana, streak=4, until=YESTERDAY)
    await lives_in(town, ana, "Europe/Berlin")
    await until(town, "2025-03-04T02:59")  # 19:59 there
    assert not ana.heard("checkin.remind")
    await until(town, "2025-03-04T03:00")
    assert ana.heard("checkin.remind")


@pytest.mark.parametrize("until", [TODAY, YESTERDAY - timedelta(days=1)])
async def test_nobody_is_reminded_without_need(town: Community, ana: Resident, until: date) -> None:
    await been_checking_in(town, ana, streak=4, until=until)
    await town.passes(hours=9)
    assert not ana.heard("checkin.remind")
    assert await withheld(ana) == set()


async def test_a_reminder_is_said_once_a_day(town: Community, mei: Resident) -> None:
    await been_checking_in(town, mei, streak=4, until=YESTERDAY)
    await town.passes(hours=11)
    await town.passes(hours=30)  # a day later the streak is over
    said = [one.text for one in mei.inbox if one.key == "checkin.remind"]
    assert said == ["梅，你已连续打卡 4 天，今天还没打。点一下就续上了。"]


async def test_a_reminder_that_waited_too_long_is_not_said(url: str) -> None:
    """At 21:30, with quiet hours from 21:00, it would wait until the streak is lost."""
    town = await Community.founded(
        url,
        settings={
            "checkin": {"remind_at": time(21, 30)},
            "quiet_hours": {"start": time(21), "end": time(8)},
        },
    )
    ana = await town.resident("Ana")
    await been_checking_in(town, ana, streak=4, until=YESTERDAY)
    await town.passes(hours=24)
    assert not ana.heard("checkin.remind")
    assert await withheld(ana) == {"withheld: too late"}
    await town.close()


async def until(town: Community, local: str) -> None:
    """Let time pass until the town's clocks show this."""
    then = datetime.fromisoformat(local).replace(tzinfo=ZoneInfo(town.known.zone))
    await town.passes(seconds=(then - town.clock.now()).total_seconds())


async def check_ins(town: Community) -> int:
    since = town.clock.now() - timedelta(days=30)
    return await facts.count(
        town.house.database.reader, town.known.id, Fact.CHECKED_IN, since=since
    )


async def withheld(someone: Resident) -> set[str]:
    """Why something was not said to them after all."""
    return {one for one in await someone.outcomes() if one.startswith("withheld")}


async def been_checking_in(
    town: Community, someone: Resident, *, streak: int, until: date, longest: int = 0
) -> None:
    """They have been checking in for so many days, the last of them `until`."""
    member = await someone.known()
    longest = max(streak, longest)
    await town.house.database.writer.settle(
        [members.checked_in(member.id, day=until, streak=streak, longest=longest)]
    )


async def lives_in(town: Community, someone: Resident, zone: str) -> None:
    """They have lived there for long."""
    member = await someone.known()
    await town.house.database.writer.settle([members.arrived_in_zone(member.id, zone)])


async def moves(
    town: Community, someone: Resident, zone: str, *, since: date = TODAY + timedelta(days=1)
) -> None:
    """They choose another zone, in force from their next day."""
    member = await someone.known()
    await town.house.database.writer.settle([members.moves_to(member.id, zone, since=since)])
