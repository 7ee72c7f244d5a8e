"""Subscriptions: whoever says stop is left alone, and finds the way back."""

from __future__ import annotations

from dataclasses import replace

from handlers.router import Outgoing, Withheld
from handlers.subscriptions import respect
from handlers.turn import Letter, Reply, To
from tests.community import Community, Resident


async def test_who_said_stop_is_sent_nothing_unasked(town: Community, ana: Resident) -> None:
    link = await link_of(ana)
    await ana.says("/stop")
    assert ana.heard("subscriptions.stopped")
    before = len(ana.inbox)
    await friend_joins(town, "Bo", link)
    assert len(ana.inbox) == before
    assert "withheld: silenced" in await ana.outcomes()


async def test_who_said_stop_is_still_answered(town: Community, ana: Resident) -> None:
    await ana.says("/stop")
    await ana.says("/checkin")
    assert ana.heard("checkin.done")


async def test_stopping_is_undone_by_a_button(town: Community, ana: Resident) -> None:
    link = await link_of(ana)
    await ana.says("/stop")
    assert "subscriptions.resume" in ana.last.buttons
    await ana.presses("subscriptions.resume")
    assert ana.heard("subscriptions.resumed")
    await friend_joins(town, "Bo", link)
    assert ana.heard("referrals.came", friend="Bo")


async def test_stopping_twice_is_stopping(town: Community, ana: Resident) -> None:
    await ana.presses("subscriptions.stop")
    await ana.presses("subscriptions.stop")
    assert (await ana.known()).silenced
    assert [one.key for one in ana.inbox[-2:]] == ["subscriptions.stopped"] * 2


async def test_resuming_what_was_never_stopped_changes_nothing(ana: Resident) -> None:
    await ana.says("/resume please")
    known = await ana.known()
    assert (known.silenced, known.reminders) == (False, True)
    assert ana.heard("subscriptions.resumed")


async def test_only_the_reminders_may_be_stopped(town: Community, ana: Resident) -> None:
    link = await link_of(ana)
    await ana.says("/checkin")
    await ana.says("/stop")
    await ana.presses("subscriptions.no_reminders")
    assert ana.heard("subscriptions.no_reminders")
    await town.passes(days=1, hours=9)
    assert not ana.heard("checkin.remind")
    await town.passes(hours=14)
    await friend_joins(town, "Bo", link)
    assert ana.heard("referrals.came", friend="Bo")
    await ana.presses("subscriptions.resume")
    assert (await ana.known()).reminders


async def test_the_gate_tells_reminders_from_news_and_a_group_from_a_member(
    town: Community, ana: Resident
) -> None:
    known = await ana.known()
    hers = To(channel="street", place=ana.home, language="en")
    groups = To(channel="street", place="group-1", language="en", private=False)

    def going_out(topic: str, to: To, **wishes: bool) -> Outgoing:
        letter = Letter(
            id=1,
            community=town.known.id,
            member=known.id,
            to=to,
            reply=Reply(key="house.plain"),
            prompted=False,
            topic=topic,
        )
        world, reader = town.house.world, town.house.database.reader
        member = replace(known, **wishes)  # type: ignore[arg-type]
        return Outgoing(letter, member, town.known, world, reader, town.clock.now())

    assert await respect(going_out("checkin", hers)) is None
    assert await respect(going_out("checkin", hers, reminders=False)) == Withheld("no reminders")
    assert await respect(going_out("referrals", hers, reminders=False)) is None
    assert await respect(going_out("referrals", hers, silenced=True)) == Withheld("silenced")
    assert await respect(going_out("referrals", groups, silenced=True)) is None


async def test_in_the_group_and_in_chinese(town: Community, mei: Resident) -> None:
    await mei.says("/stop", group=True)
    assert town.group[-1].text.startswith("好的。从现在起，只有你提问")
    assert town.group[-1].labels == ["恢复接收", "只停提醒"]
    await mei.presses("subscriptions.resume", group=True)
    assert town.group[-1].text.startswith("好的，提醒和消息都恢复了")
    assert not (await mei.known()).silenced


async def link_of(someone: Resident) -> str:
    await someone.says("/invite")
    link: str = someone.last.words["link"]
    return link


async def friend_joins(town: Community, name: str, link: str) -> None:
    friend = await town.resident(name, member=False, home=False)
    await friend.joins(link)
