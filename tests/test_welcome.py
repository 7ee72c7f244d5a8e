"""Welcome: whoever joins is greeted by name, once, and shown the rules."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from handlers.turn import Event, Kind, Person, Where
from storage import facts
from storage.facts import Fact
from tests.community import GROUP, Community, Delivered, Resident

# ---------------------------------------------------------------- greeting


async def test_a_newcomer_is_greeted_by_name_within_seconds(town: Community) -> None:
    ana = await stranger(town, "Ana")
    await ana.joins()
    assert greetings(town) == []
    await town.passes(seconds=6)
    (greeting,) = greetings(town)
    assert greeting.text.startswith("Welcome, Ana.")
    assert greeting.labels == ["Rules", "Say hello to me"]
    assert greeting.buttons == [
        "welcome.rules",
        f"https://street.example/innkeeper?start=help_here-{town.known.id}",
    ]
    await ana.says("/start help_here")
    assert ana.last.key == "help.start"


async def test_a_newcomer_is_greeted_in_their_language(town: Community) -> None:
    mei = await stranger(town, "梅", language="zh-hans")
    await mei.joins()
    await town.passes(seconds=6)
    (greeting,) = greetings(town)
    assert greeting.text.startswith("欢迎你，梅。")
    assert greeting.labels == ["群规", "和我打个招呼"]


async def test_those_who_come_together_are_greeted_together(town: Community) -> None:
    for name in ("Ana", "Bo", "Cy"):
        await (await stranger(town, name)).joins()
        await town.passes(seconds=1)
    await town.passes(minutes=1)
    (greeting,) = greetings(town)
    assert greeting.text.startswith("Welcome, Ana, Bo, and Cy.")


async def test_those_who_come_at_the_same_moment_are_greeted_once(town: Community) -> None:
    await town.happens(*(joining(town, f"p-{n}", f"N{n}") for n in range(12)))
    await town.passes(minutes=1)
    (greeting,) = greetings(town)
    assert greeting.key == "welcome.crowd"
    assert len(greeting.words["names"]) == 8
    assert greeting.words["more"] == 4
    since = town.clock.now() - timedelta(hours=1)
    assert (
        await facts.count(town.house.database.reader, town.known.id, Fact.GREETED, since=since)
        == 12
    )


async def test_who_speaks_different_languages_is_greeted_in_the_communitys(
    town: Community,
) -> None:
    await (await stranger(town, "Ana")).joins()
    await (await stranger(town, "梅", language="zh")).joins()
    await town.passes(seconds=6)
    assert greetings(town)[0].text.startswith("Welcome, Ana and 梅.")


async def test_chinese_newcomers_are_greeted_together_in_chinese(town: Community) -> None:
    await (await stranger(town, "小林", language="zh")).joins()
    await (await stranger(town, "梅", language="zh")).joins()
    await town.passes(seconds=6)
    assert greetings(town)[0].text.startswith("欢迎小林、梅。")


async def test_who_joins_twice_or_is_told_of_twice_is_greeted_once(town: Community) -> None:
    ana = await stranger(town, "Ana")
    await ana.joins()
    await ana.joins()
    await town.passes(seconds=6)
    await ana.leaves()
    await ana.joins()  # within the hour
    await town.passes(minutes=1)
    assert [one.key for one in greetings(town)] == ["welcome.newcomer"]


async def test_a_returning_friend_is_greeted_as_one(town: Community, ana: Resident) -> None:
    await ana.leaves()
    await town.passes(hours=2)
    await ana.joins()
    await town.passes(seconds=6)
    assert greetings(town)[-1].text == "Welcome back, Ana. Your seat was kept."


async def test_who_left_at_once_is_not_greeted(town: Community) -> None:
    ana = await stranger(town, "Ana")
    await ana.joins()
    await ana.leaves()
    await town.passes(minutes=1)
    assert greetings(town) == []


async def test_the_moment_of_gathering_is_set_by_the_community(url: str) -> None:
    town = await Community.founded(url, settings={"welcome": {"gather": 20}})
    await (await stranger(town, "Ana")).joins()
    await town.passes(seconds=19)
    assert greetings(town) == []
    await town.passes(seconds=2)
    assert len(greetings(town)) == 1
    await town.close()


async def test_a_name_cannot_call_others_or_pose_as_a_text(town: Community) -> None:
    await (await stranger(town, "@house.fault\u202e @everyone\n{rules}")).joins()
    await town.passes(seconds=6)
    assert greetings(town)[0].text.startswith("Welcome, house·fault everyone {rules}.")


# ---------------------------------------------------------------- rules


async def test_the_rules_are_shown_in_private_to_whoever_can_be_reached(
    town: Community, ana: Resident
) -> None:
    await ana.presses("welcome.rules", group=True)
    assert ana.last.text.startswith("1. Be kind.")
    assert not town.group_heard("welcome.house_rules")


async def test_asking_in_the_group_is_ticked_there_and_answered_in_private(
    town: Community, mei: Resident
) -> None:
    message = await mei.says("/rules", group=True)
    assert mei.last.text.startswith("1. 待人和气。")
    assert not town.group_heard("welcome.house_rules")
    assert [one.words["message"] for one in town.street.done if one.ability == "sign"] == [message]


async def test_who_cannot_be_reached_is_shown_the_door_to_the_rules(town: Community) -> None:
    ana = await town.resident("Ana", home=False)
    for asked in (ana.presses("welcome.rules", group=True), ana.says("/rules", group=True)):
        await asked
        door = town.group[-1]
        assert door.key == "welcome.rules_door"
        assert door.labels == ["Read the rules"]
    assert not town.group_heard("welcome.house_rules")
    await ana.says(f"/start {door.buttons[0].rpartition('=')[2]}")
    assert ana.last.text.startswith("1. Be kind.")


async def test_where_no_link_leads_to_private_the_rules_are_shown_in_the_group(
    town: Community,
) -> None:
    ana = await town.resident("Ana", home=False)
    town.house.world = replace(town.house.world, links={})
    town.house.pipeline.world = town.house.world
    await ana.presses("welcome.rules", group=True)
    assert town.group[-1].text.startswith("1. Be kind.")


async def test_an_admin_puts_the_rules_in_their_own_words(town: Community, ana: Resident) -> None:
    bo = await town.admin("Bo")
    await bo.says("/setrules\n1. Be early.\n2. Bring {cups}.")
    assert bo.heard("welcome.rules_set")
    await ana.says("/rules")
    assert ana.last.text == "1. Be early.\n2. Bring {cups}."
    await bo.says("/setrules Be on time.")
    await ana.says("/rules")
    assert ana.last.text == "Be on time."


async def test_rules_are_set_for_one_language(town: Community, ana: Resident) -> None:
    lin = await town.admin("Lin", language="zh")
    await lin.says("/setrules 早到。", group=True)
    assert town.group[-1].text == "从现在起，看中文的成员看到的群规是：\n\n早到。"
    await ana.says("/rules")
    assert ana.last.text.startswith("1. Be kind.")
    await lin.presses("welcome.rules")
    assert lin.last.text == "早到。"


async def test_rules_in_one_language_are_better_than_none(url: str) -> None:
    bare = {"name": "Bare", "zone": "UTC", "language": "en"}
    town = await Community.founded(url, settings={"community": [bare]})
    lin = await town.admin("Lin", language="zh")
    await lin.says("/setrules 早到。")
    ana = await town.resident("Ana")
    await ana.says("/rules")
    assert ana.last.text == "早到。"
    await town.close()


async def test_a_member_does_not_set_the_rules(town: Community, ana: Resident) -> None:
    await ana.says("/setrules Anything goes.")
    assert ana.last.key == "house.not_allowed"
    await ana.says("/rules")
    assert ana.last.text.startswith("1. Be kind.")


async def test_rules_that_cannot_be_set_are_explained(town: Community) -> None:
    bo = await town.admin("Bo")
    await bo.says("/setrules  \u200b ")
    assert bo.last.key == "welcome.how_to_set_rules"
    await bo.says("/setrules " + "a" * 2001)
    assert bo.heard("welcome.rules_too_long", length=2001, most=2000)
    await bo.says("/rules")
    assert bo.last.text.startswith("1. Be kind.")


async def test_a_community_without_rules_says_so(url: str) -> None:
    bare = {"name": "Bare", "zone": "UTC", "language": "en"}
    town = await Community.founded(url, settings={"community": [bare]})
    ana = await town.resident("Ana")
    await ana.says("/rules")
    assert ana.last.key == "welcome.no_rules"
    await town.close()


async def stranger(town: Community, name: str, language: str = "en") -> Resident:
    return await town.resident(name, language=language, member=False, home=False)


def joining(town: Community, id: str, name: str) -> Event:
    return Event(
        kind=Kind.JOINED,
        channel="street",
        id=town.number("event"),
        at=town.clock.now(),
        person=Person(id, name, "en"),
        where=Where(id=GROUP, private=False),
    )


def greetings(town: Community) -> list[Delivered]:
    """What the bot said in the group to those who came."""
    return [one for one in town.group if one.key.startswith("welcome.")]
