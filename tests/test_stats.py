"""Stats: small numbers, counted as they are, for those who look after the community."""

from __future__ import annotations

from tests.community import Community, Resident


async def numbers(admin: Resident) -> dict[str, int]:
    await admin.says("/stats")
    assert admin.last.key == "stats.now"
    return {name: count for name, count in admin.last.words.items() if name != "community"}


async def test_what_happened_is_what_is_counted(
    town: Community, ana: Resident, mei: Resident
) -> None:
    bo = await town.admin("Bo")
    await ana.says("/checkin")
    await ana.says("Can I return tea?")
    await mei.says("海王星的第三颗卫星叫什么名字？")
    await mei.says("/human")
    assert await numbers(bo) == {
        "members": 3,
        "joined": 3,
        "referred": 0,
        "checked_in": 1,
        "answered": 1,
        "unanswered": 1,
        "open": 1,
    }


async def test_days_and_weeks_go_by(town: Community, ana: Resident) -> None:
    bo = await town.admin("Bo")
    await ana.says("/checkin")
    await ana.says("Can I return tea?")
    await town.passes(hours=12)  # past midnight in Shanghai
    counted = await numbers(bo)
    assert (counted["checked_in"], counted["answered"], counted["joined"]) == (0, 1, 2)
    await town.passes(days=7)
    await ana.leaves()
    counted = await numbers(bo)
    assert (counted["members"], counted["answered"], counted["joined"]) == (1, 0, 0)


async def test_they_are_told_in_the_admins_language(town: Community) -> None:
    bo = await town.admin("博", language="zh-hans")
    await bo.says("/stats")
    assert bo.last.text.startswith("Harbour Tea 今天\n我认识的群成员：1\n今日打卡：0")


async def test_only_admins_are_told_and_not_before_the_whole_group(
    town: Community, ana: Resident
) -> None:
    await ana.says("/stats")
    assert ana.last.key == "house.not_allowed"
    bo = await town.admin("Bo")
    await bo.says("/stats", group=True)
    assert town.group[-1].key == "stats.in_private"
