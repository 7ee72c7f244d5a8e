"""Help: the first words lead somewhere, and nobody is told of what they may not do."""

from __future__ import annotations

from datetime import timedelta

import pytest

from handlers.turn import Kind, Where
from storage import communities, members
from tests.community import STAFF, Community, Resident


async def test_the_first_words_say_what_this_is_and_every_button_leads_somewhere(
    town: Community, ana: Resident, mei: Resident
) -> None:
    english, chinese = ana.inbox[0], mei.inbox[0]
    assert english.text.startswith("Hello Ana. I am the bot that keeps the house at Harbour Tea.")
    assert chinese.text.startswith("梅，你好。我是机器人，替 Harbour Tea 看店。")
    assert len(english.text.splitlines()) == len(chinese.text.splitlines()) == 5
    assert len(english.buttons) == 5
    assert [one for one in english.buttons if f"button {one}" not in town.house.board.named] == []


async def test_starting_twice_says_it_twice_and_changes_nothing(
    town: Community, ana: Resident
) -> None:
    before = await ana.known()
    await ana.says("/start")
    assert ana.last.key == "help.start"
    assert (await ana.known()).id == before.id


async def test_starting_in_the_group_leads_to_the_private_chat(
    town: Community, ana: Resident
) -> None:
    await ana.says("/start", group=True)
    assert town.group[-1].key == "help.start_in_group"
    assert town.group[-1].buttons == [
        f"https://street.example/innkeeper?start=help_here-{town.known.id}"
    ]
    await ana.says("/start help_here")
    assert ana.last.key == "help.start"


async def test_help_lists_what_each_may_do(town: Community, ana: Resident) -> None:
    await ana.says("/help")
    assert "/checkin – Check in for today" in ana.last.text
    assert "/human – Talk to a person" in ana.last.text
    assert "/close" not in ana.last.text
    assert "/stats" not in ana.last.text
    lin, bo = await town.staff("Lin"), await town.admin("Bo")
    await lin.says("/help")
    assert "/close" in lin.last.text
    assert "/stats" not in lin.last.text
    await bo.says("/help")
    assert "/stats – How the community is doing" in bo.last.text
    assert "/setup" not in bo.last.text


async def test_help_is_in_the_readers_language(mei: Resident) -> None:
    await mei.says("/help")
    assert "/human 找真人客服" in mei.last.text
    assert "–" not in mei.last.text


async def test_a_group_is_told_what_anybody_may_do_whoever_asks(town: Community) -> None:
    bo = await town.admin("Bo")
    await bo.says("/help", group=True)
    assert town.group[-1].key == "help.commands_in_group"
    assert "/stats" not in town.group[-1].text
    where = Where(id=STAFF, private=False)
    await town.happens(bo._event(Kind.SAID, where=where, text="/help"))
    assert "/stats" in town.desk[-1].text


async def test_an_unknown_command_is_met_with_help(town: Community, mei: Resident) -> None:
    await mei.says("/fly")
    assert mei.last.text == "我不认识这个指令。发送 /help 看看我能做什么。"
    before = len(town.group)
    await mei.says("/fly", group=True, addressed=False)
    assert len(town.group) == before


# ---------------------------------------------------------------- the owner's link


async def link(town: Community) -> str:
    made = await town.house.owner_link()
    assert made is not None
    return made.rpartition("=")[2]


async def test_the_owners_link_works_once(town: Community, ana: Resident, mei: Resident) -> None:
    payload = await link(town)
    await ana.says(f"/start {payload}")
    assert ana.last.key == "help.owner"
    assert (await ana.known()).role == "owner"
    await mei.says(f"/start {payload}")
    assert mei.last.key == "help.owner_link_spent"
    assert (await mei.known()).role == "member"


async def test_two_who_open_it_at_once_are_not_both_owner(
    town: Community, ana: Resident, mei: Resident
) -> None:
    payload = await link(town)
    await town.happens(
        *(
            one._event(Kind.SAID, where=Where(id=one.home), text=f"/start {payload}")
            for one in (ana, mei)
        )
    )
    assert sorted([(await ana.known()).role, (await mei.known()).role]) == ["member", "owner"]


@pytest.mark.parametrize("payload", ["owner_", "owner_guessed", "owner"])
async def test_a_guess_makes_nobody_owner(town: Community, ana: Resident, payload: str) -> None:
    await link(town)
    await ana.says(f"/start {payload}")
    assert ana.last.key == "help.owner_link_spent"
    assert (await ana.known()).role == "member"


async def test_the_owners_link_is_for_a_day_and_for_private(town: Community, ana: Resident) -> None:
    payload = await link(town)
    await ana.says(f"/start {payload}", group=True)
    assert town.group[-1].key == "help.owner_link_spent"
    town.clock.move(timedelta(hours=25))
    await ana.says(f"/start {payload}")
    assert (await ana.known()).role == "member"


async def test_the_owner_owns_every_community(url: str) -> None:
    """Whoever opened the link is the owner wherever they are met, before or after."""
    sections = [{"name": name, "zone": "UTC", "language": "en"} for name in ("First", "Second")]
    town = await Community.founded(url, settings={"community": sections})
    second = town.house.directory.named("Second")
    assert second is not None
    await town.house.world.ids.refill()
    await town.house.database.writer.settle(
        [
            communities.bound(
                id=town.house.world.ids.take(), community=second.id, channel="street",
                ref="second", kind="group", at=town.clock.now(),
            )
        ]
    )  # fmt: skip
    await town.house.pipeline.reload()
    bo = await town.owner("Bo")
    there = Where(id="second", private=False)
    await town.happens(bo._event(Kind.SAID, where=there, text="hello"))
    found = await members.met(
        town.house.database.reader, community=second.id, channel="street", ref=bo.id
    )
    assert found is not None
    assert found.role == "owner"
    await town.close()
