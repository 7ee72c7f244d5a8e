"""Referrals: by a member's own link it is known who came by whom, once."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from datetime import timedelta

import msgspec

from bot.channels import Ability, Impossible
from handlers.turn import Event, Kind, Person, Where
from storage import communities, facts, invites, members
from storage.facts import Fact
from tests.community import GROUP, Community, Done, Resident

# ---------------------------------------------------------------- the link


async def test_a_member_is_given_a_link_of_their_own(town: Community, ana: Resident) -> None:
    await ana.says("/invite")
    (made,) = made_links(town)
    assert made.words == {"name": f"m{(await ana.known()).id}"}
    assert made.to.place == GROUP
    assert ana.last.text.startswith("Your own link, Ana:\nhttps://street.example/+")
    assert ana.last.buttons == ["referrals.poster"]


async def test_asked_again_the_link_is_the_same(town: Community, ana: Resident) -> None:
    first = await link_of(ana)
    await ana.says("/invite my friends")
    await ana.presses("referrals.invite")
    assert ana.last.words["link"] == first
    assert len(made_links(town)) == 1


async def test_two_requests_at_once_give_one_link(town: Community, ana: Resident) -> None:
    await asyncio.gather(ana.presses("referrals.invite"), ana.presses("referrals.invite"))
    given = {one.words["link"] for one in ana.inbox if one.key == "referrals.link"}
    assert given == {await link_of(ana)}
    bo = await stranger(town, "Bo")
    await bo.joins(given.pop())
    assert ana.heard("referrals.came", friend="Bo")


async def test_asked_in_the_group_it_is_given_in_private(town: Community, mei: Resident) -> None:
    message = await mei.says("/invite", group=True)
    assert mei.last.text.startswith("梅，这是你的专属链接：\nhttps://street.example/+")
    assert not any(one.key.startswith("referrals.") for one in town.group)
    signs = [one.words["message"] for one in town.street.done if one.ability is Ability.SIGN]
    assert signs == [message]
    await mei.presses("referrals.invite", group=True)
    assert not any(one.key.startswith("referrals.") for one in town.group)


async def test_who_cannot_be_reached_is_given_it_in_the_group(town: Community) -> None:
    ana = await town.resident("Ana", home=False)
    await ana.says("/invite", group=True)
    assert town.group[-1].key == "referrals.link"
    assert town.group[-1].text.startswith("Your own link, Ana:")


async def test_the_link_is_also_a_code_to_scan(town: Community, mei: Resident) -> None:
    await mei.presses("referrals.poster")  # before there is a link, it is made
    link = mei.last.words["link"]
    await mei.presses("referrals.poster")
    assert mei.last.text == f"给身边的朋友扫一扫就行。链接是 {link}"
    assert mei.last.image is not None
    assert mei.last.image.startswith(b"\x89PNG")


# ---------------------------------------------------------------- coming by it


async def test_a_friend_who_joins_by_the_link_is_counted(town: Community, ana: Resident) -> None:
    link = await link_of(ana)
    bo = await stranger(town, "Bo")
    await bo.joins(link)
    assert ana.last.text == "Bo came by your link, Ana: 1 of 3 friends."
    assert ana.last.buttons == ["subscriptions.stop"]
    assert (await bo.known()).invited_by == (await ana.known()).id
    assert await referred(town, ana) == [(await bo.known()).id]


async def test_a_link_that_is_told_long_after_the_join_counts_all_the_same(
    town: Community, ana: Resident
) -> None:
    """Platforms tell of one join in several ways, and may tell the better one much later."""
    link = await link_of(ana)
    bo = await stranger(town, "Bo")
    joined = town.clock.now()
    await bo.joins()
    await town.passes(minutes=20)
    told = bo._event(Kind.JOINED, where=Where(id=GROUP, private=False), data=link)
    await town.happens(msgspec.structs.replace(told, at=joined + timedelta(seconds=1)))
    assert ana.last.text == "Bo came by your link, Ana: 1 of 3 friends."
    assert await referred(town, ana) == [(await bo.known()).id]


async def test_a_link_told_of_who_has_long_been_there_counts_nothing(
    town: Community, ana: Resident
) -> None:
    link = await link_of(ana)
    bo = await town.resident("Bo")
    await town.passes(hours=1)
    await bo.joins(link)
    assert await referred(town, ana) == []


async def test_a_link_told_of_late_does_not_count_who_had_been_there_before(
    town: Community, ana: Resident
) -> None:
    link = await link_of(ana)
    bo = await town.resident("Bo")
    await bo.leaves()
    await bo.joins()
    await bo.joins(link)
    assert await referred(town, ana) == []


async def test_the_third_friend_is_thanked_for_and_later_ones_are_told(
    town: Community, mei: Resident
) -> None:
    link = await link_of(mei)
    for name in ("Bo", "Cy", "Di", "Ed"):
        await (await stranger(town, name)).joins(link)
    said = [one.key for one in mei.inbox if one.key.startswith("referrals.") and one.words["count"]]
    assert said == [
        "referrals.came", "referrals.came", "referrals.thanks", "referrals.came_too",
    ]  # fmt: skip
    await mei.says("/invite")
    assert mei.last.text.endswith("已有 4 位朋友由它进来，谢谢你。最近的是：Ed、Di、Cy。")


async def test_three_friends_at_once_are_three(town: Community, ana: Resident) -> None:
    link = await link_of(ana)
    await town.happens(*(joining(town, name, link) for name in ("Bo", "Cy", "Di")))
    told = sorted(one.words["count"] for one in ana.inbox if "friend" in one.words)
    assert told == [1, 2, 3]
    assert ana.heard("referrals.thanks", count=3)
    assert (await ana.known()).referred == 3


async def test_progress_is_told_with_the_link(town: Community, ana: Resident) -> None:
    link = await link_of(ana)
    for name in ("Bo", "Cy"):
        await (await stranger(town, name)).joins(link)
    await ana.says("/invite")
    assert ana.last.text == (
        f"Your own link, Ana:\n{link}\n2 of 3 friends have come by it, the latest: Cy and Bo."
    )


async def test_the_goal_is_set_by_the_community(url: str) -> None:
    town = await Community.founded(url, settings={"referrals": {"goal": 1}})
    ana = await town.resident("Ana")
    await (await stranger(town, "Bo")).joins(await link_of(ana))
    assert ana.last.text == "Bo came by your link, Ana. Thank you for bringing a friend."
    await town.close()


async def test_nobody_comes_by_their_own_link(town: Community) -> None:
    ana = await town.resident("Ana", member=False)
    link = await link_of(ana)
    await ana.joins(link)
    known = await ana.known()
    assert (known.status, known.invited_by) == ("member", None)
    assert await referred(town, ana) == []


async def test_nobody_comes_twice(town: Community, ana: Resident) -> None:
    cy = await town.resident("Cy")
    by_ana, by_cy = await link_of(ana), await link_of(cy)
    bo = await stranger(town, "Bo")
    await bo.joins(by_ana)
    await bo.joins(by_ana)  # told of again
    await bo.leaves()
    await bo.joins(by_cy)
    assert (await bo.known()).status == "member"
    assert await referred(town, ana) == [(await bo.known()).id]
    assert await referred(town, cy) == []


async def test_who_had_been_here_before_did_not_come_by_it(town: Community, ana: Resident) -> None:
    bo = await town.resident("Bo")
    await bo.leaves()
    await bo.joins(await link_of(ana))
    assert await referred(town, ana) == []


async def test_a_link_of_nobody_brings_nobody(town: Community, ana: Resident) -> None:
    await link_of(ana)
    bo = await stranger(town, "Bo")
    await bo.joins("https://street.example/+someone-elses")
    assert await referred(town, ana) == []
    assert (await bo.known()).status == "member"


async def test_who_asks_to_join_by_a_members_link_is_let_in(town: Community, ana: Resident) -> None:
    link = await link_of(ana)
    bo = await stranger(town, "Bo")
    await bo.asks_to_join(link)
    approved = [one for one in town.street.done if one.ability is Ability.APPROVE]
    assert [(one.to.place, one.words["person"]) for one in approved] == [(GROUP, bo.id)]
    await bo.joins(link)
    assert await referred(town, ana) == [(await bo.known()).id]
    assert (await ana.known()).referred == 1


async def test_who_asks_to_join_by_another_link_is_left_to_the_admins(town: Community) -> None:
    bo = await stranger(town, "Bo")
    await bo.asks_to_join("https://street.example/+someone-elses")
    await bo.asks_to_join()
    assert [one for one in town.street.done if one.ability is Ability.APPROVE] == []


async def test_who_had_been_here_is_let_in_again_but_not_counted(
    town: Community, ana: Resident
) -> None:
    link = await link_of(ana)
    bo = await town.resident("Bo")
    await bo.leaves()
    await bo.asks_to_join(link)
    assert any(one.ability is Ability.APPROVE for one in town.street.done)
    assert await referred(town, ana) == []


# ---------------------------------------------------------------- where no link can be made


async def test_where_the_platform_makes_no_link_it_leads_to_the_bot(
    town: Community, ana: Resident
) -> None:
    payload = await deep_payload(town, ana)
    assert re.fullmatch(r"by_[A-Za-z0-9_-]{20,61}", payload)
    await group_has_link(town, "https://street.example/+group")
    bo = await stranger(town, "Bo")
    await bo.says(f"/start {payload}")
    assert bo.last.text.startswith("Welcome, Bo. Ana showed you the way.")
    assert bo.last.buttons == ["https://street.example/+group"]
    assert ana.heard("referrals.came", friend="Bo", count=1)
    await bo.joins()
    assert await referred(town, ana) == [(await bo.known()).id]


async def test_the_link_to_the_bot_stays_the_same(town: Community, ana: Resident) -> None:
    payload = await deep_payload(town, ana)
    town.street.trouble = [Impossible("not enough rights")]
    await ana.says("/invite")
    assert ana.last.words["link"].endswith(f"?start={payload}")


async def test_without_a_group_the_link_leads_to_the_bot(town: Community, ana: Resident) -> None:
    await town.house.database.writer.settle([communities.unbound(channel="street", ref=GROUP)])
    await town.house.pipeline.reload()
    await ana.says("/invite")
    payload = ana.last.words["link"].rpartition("=")[2]
    assert made_links(town) == []
    mei = await stranger(town, "梅", language="zh")
    await mei.says(f"/start {payload}")
    assert mei.last.text.startswith("欢迎你，梅，是 Ana 带你来的。")
    assert mei.last.buttons == []
    assert ana.heard("referrals.came", friend="梅")


async def test_a_deep_link_works_once_for_each_and_never_for_oneself(
    town: Community, ana: Resident
) -> None:
    payload = await deep_payload(town, ana)
    await ana.says(f"/start {payload}")
    assert ana.last.key == "referrals.own_link"
    bo = await stranger(town, "Bo")
    await bo.says(f"/start {payload}")
    await bo.says(f"/start {payload}")
    assert await referred(town, ana) == [(await bo.known()).id]
    cy = await town.resident("Cy")
    await cy.says(f"/start {payload}")
    assert (await ana.known()).referred == 1


async def test_an_old_acquaintance_is_no_newcomer(town: Community, ana: Resident) -> None:
    payload = await deep_payload(town, ana)
    bo = await town.resident("Bo", member=False)
    await town.passes(days=2)
    await bo.says(f"/start {payload}")
    assert bo.heard("referrals.welcome_from", inviter="Ana")
    assert await referred(town, ana) == []


async def test_a_guessed_link_is_nobodys(town: Community, ana: Resident) -> None:
    await deep_payload(town, ana)
    bo = await stranger(town, "Bo")
    for guess in ("by_", f"by_{(await ana.known()).id}", "by_Ana", "by_%'--"):
        await bo.says(f"/start {guess}")
        assert bo.last.key == "referrals.welcome"
    assert (await bo.known()).invited_by is None


async def test_where_no_link_can_be_made_at_all_it_is_said(town: Community, ana: Resident) -> None:
    town.house.pipeline.world = replace(town.house.world, links={})
    town.street.trouble = [Impossible("not enough rights")]
    await ana.says("/invite")
    assert ana.last.key == "referrals.no_link"


def made_links(town: Community) -> list[Done]:
    return [one for one in town.street.done if one.ability is Ability.MAKE_LINK]


async def link_of(someone: Resident) -> str:
    await someone.says("/invite")
    link: str = someone.last.words["link"]
    return link


async def deep_payload(town: Community, someone: Resident) -> str:
    """The payload of their link, where the platform refuses to make one into the group."""
    town.street.trouble = [Impossible("not enough rights")]
    return (await link_of(someone)).rpartition("=")[2]


async def group_has_link(town: Community, link: str) -> None:
    (group,) = town.known.groups_on("street")
    await town.house.database.writer.settle([communities.linked(spot=group.id, link=link)])
    await town.house.pipeline.reload()


async def referred(town: Community, someone: Resident) -> list[int]:
    known = await someone.known()
    return await facts.about(town.house.database.reader, known.id, Fact.REFERRED)


async def stranger(town: Community, name: str, language: str = "en") -> Resident:
    return await town.resident(name, language=language, member=False, home=False)


def joining(town: Community, name: str, link: str) -> Event:
    return Event(
        kind=Kind.JOINED,
        channel="street",
        id=town.number("event"),
        at=town.clock.now(),
        person=Person(name, name, "en"),
        where=Where(id=GROUP, private=False),
        data=link,
    )


async def test_an_invitation_leads_into_its_own_community(url: str) -> None:
    """One bot, two communities: a stranger is received where the link comes from, and credited."""
    sections = [{"name": name, "zone": "UTC", "language": "en"} for name in ("First", "Second")]
    town = await Community.founded(url, settings={"community": sections})
    second = town.house.directory.named("Second")
    assert second is not None
    ana = await town.resident("Ana", member=False)
    await town.house.world.ids.refill()
    take = town.house.world.ids.take
    known = replace(await ana.known(), id=take(), community=second.id)
    invite = invites.made(
        id=take(), community=second.id, member=known.id, channel="street", place="",
        link="by_secret", at=town.clock.now(),
    )  # fmt: skip
    await town.house.database.writer.settle(
        [*members.arrived(known, identity=take(), at=town.clock.now()), invite]
    )
    ben = await town.resident("Ben", member=False, home=False)
    await ben.says("/start by_secret")
    found = await members.met(
        town.house.database.reader, community=second.id, channel="street", ref=ben.id
    )
    assert found is not None
    assert found.invited_by == known.id
    await town.close()
