"""Language: everybody is spoken to in their own language and by their own clock."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from handlers.turn import Kind, Where
from tests.community import Community, Resident


async def test_a_language_is_chosen_by_button_and_confirmed_in_it(ana: Resident) -> None:
    await ana.says("/language")
    assert (ana.last.labels, ana.last.buttons) == (
        ["English", "中文"],
        ["language.use:en", "language.use:zh"],
    )
    for _ in range(2):
        await ana.presses("language.use:zh")
        assert ana.last.text == "好，以后都用中文。"
    await ana.says("/checkin")
    assert ana.last.text.startswith("Ana，打卡成功")
    await ana.presses("language.use:en")
    assert ana.last.text == "English it is, from now on."


async def test_a_language_may_be_named_and_an_unknown_one_is_refused(mei: Resident) -> None:
    for name in ("English", "en", "en-GB"):
        await mei.says(f"/language {name}")
        assert (await mei.known()).language == "en"
    await mei.says("/language 中文")
    assert (await mei.known()).language == "zh"
    for data in ("xx", "", "../../etc"):
        await mei.presses(f"language.use:{data}")
        assert mei.last.key == "language.unknown"
    assert (await mei.known()).language == "zh"


async def test_settings_are_shown_and_changed_with_buttons(mei: Resident) -> None:
    await mei.says("/settings")
    assert mei.last.text == "你的设置\n\n语言：中文\n时区：Asia/Shanghai\n提醒：开\n主动消息：开"
    for _ in range(2):
        await mei.presses("language.reminders:off")
        assert "提醒：关" in mei.last.text
        assert "language.reminders:on" in mei.last.buttons
    await mei.presses("language.notices:off")
    known = await mei.known()
    assert (known.reminders, known.silenced) == (False, True)
    await mei.presses("language.notices:on")
    await mei.presses("language.reminders:on")
    known = await mei.known()
    assert (known.reminders, known.silenced) == (True, False)
    await mei.presses("language.reminders:perhaps")
    assert mei.last.key == "language.unknown"


async def test_a_pressed_setting_changes_the_message_it_stands_under(
    town: Community, ana: Resident
) -> None:
    await ana.says("/settings")
    shown = ana.last
    heard = len(ana.inbox)
    where = Where(id=ana.home)
    data = "language.reminders:off"
    await town.happens(ana._event(Kind.PRESSED, where=where, data=data, message=shown.id))
    assert "Reminders: off" in shown.text
    assert len(ana.inbox) == heard


async def test_settings_are_nobody_elses_business(town: Community, ana: Resident) -> None:
    for said in ("/settings", "/language", "/zone Europe/Berlin"):
        await ana.says(said, group=True)
        assert town.group[-1].key == "language.in_private"
        assert town.group[-1].buttons == [
            f"https://street.example/innkeeper?start=settings_here-{town.known.id}"
        ]
    assert (await ana.known()).next_zone == ""
    await ana.says("/start settings_here")
    assert ana.last.key == "language.settings"


# ---------------------------------------------------------------- zones


async def test_a_zone_is_in_force_from_the_members_next_day(town: Community, ana: Resident) -> None:
    await ana.says("/zone Asia/Tokyo")
    assert ana.last.words == {"zone": "Asia/Tokyo", "day": date(2025, 3, 4)}
    assert "Asia/Tokyo, from March 4, 2025 on" in ana.last.text
    known = await ana.known()
    assert (known.zone, known.next_zone, known.zone_from) == ("", "Asia/Tokyo", date(2025, 3, 4))
    await ana.says("/settings")
    assert "Asia/Shanghai; from March 4, 2025 on Asia/Tokyo" in ana.last.text
    await town.passes(days=1)
    await ana.says("/zone Asia/Tokyo")
    assert ana.last.key == "language.zone_already"
    assert (await ana.known()).zone == "Asia/Tokyo"


async def test_far_west_a_zone_is_not_in_force_before_midnight_either(
    town: Community, ana: Resident
) -> None:
    """The house tidies up by UTC, by which the members' next day begins hours too early here."""
    await ana.says("/zone America/New_York")
    await town.passes(days=2)
    await ana.says("/zone Asia/Tokyo")
    chosen = await ana.known()
    assert chosen.zone == "America/New_York"
    assert chosen.zone_from is not None
    eve = datetime.combine(chosen.zone_from, time(), ZoneInfo("America/New_York"))
    left = eve - timedelta(hours=1) - town.clock.now()
    await town.passes(seconds=left.total_seconds())
    assert (await ana.known()).zone == "America/New_York"


async def test_another_zone_earns_no_second_check_in(town: Community, ana: Resident) -> None:
    await ana.says("/checkin")
    await ana.says("/zone Pacific/Auckland")  # where it is tomorrow already, later today
    await town.passes(hours=11)
    await ana.says("/checkin")
    assert ana.last.key == "checkin.already"


async def test_a_city_is_enough_and_a_misspelt_one_is_asked_back(
    ana: Resident, mei: Resident
) -> None:
    await mei.says("/zone 東京")
    assert (await mei.known()).next_zone == "Asia/Tokyo"
    await ana.says("/zone Asia/Tokio")
    assert ana.last.key == "language.zone_which"
    assert ana.last.labels[0] == "Asia/Tokyo"
    await ana.presses(ana.last.buttons[0])
    assert (await ana.known()).next_zone == "Asia/Tokyo"


async def test_a_change_of_mind_on_the_same_day_is_kept(ana: Resident) -> None:
    await ana.says("/zone Asia/Tokyo")
    await ana.says("/zone Asia/Shanghai")
    assert ana.last.key == "language.zone_already"
    assert (await ana.known()).next_zone == "Asia/Shanghai"
    await ana.says("/settings")
    assert "Time zone: Asia/Shanghai\n" in ana.last.text


async def test_the_zone_is_asked_for_once_and_nonsense_is_no_zone(ana: Resident) -> None:
    await ana.says("/zone")
    assert ana.last.key == "language.zone_ask"
    await ana.says("a cup of tea")
    assert ana.last.key == "language.zone_unknown"
    await ana.says("Europe/Berlin")
    assert (await ana.known()).next_zone == ""
    for said in ("Europe/Berlin'; --", "../../etc/passwd", "Mars/Olympus", "localtime"):
        await ana.says(f"/zone {said}")
        assert ana.last.key in ("language.zone_unknown", "language.zone_which")
    assert (await ana.known()).next_zone == ""
    await ana.presses("language.zone")
    await ana.says("berlin")
    assert (await ana.known()).next_zone == "Europe/Berlin"
