"""Setup: an owner makes places known with one command, and hears what is missing in each."""

from __future__ import annotations

from typing import Any

import pytest

from bot.channels import Ability, Impossible
from handlers.turn import Event, Kind, To, Where
from storage import communities, members
from storage.communities import Directory
from storage.members import Member
from tests.community import GROUP, STAFF, Community, Delivered, Resident, Street


class Silent(Street):
    """A street on which nobody says what a bot may do."""

    async def do(self, to: To, ability: Ability, words: dict[str, Any]) -> dict[str, Any]:
        raise Impossible("not an administrator")


NEW = Where(id="group-2", private=False, title="Tea friends")


@pytest.fixture
async def owner(town: Community) -> Resident:
    """Whoever opened the owner's link."""
    return await town.owner("Olga")


async def says_in(someone: Resident, where: Where, text: str) -> None:
    await someone.town.happens(someone._event(Kind.SAID, where=where, text=text))


def heard_in(town: Community, where: Where) -> list[Delivered]:
    return [one for one in town.street.delivered if one.to.place == where.id]


async def known_in(town: Community, community: int, ref: str) -> Member | None:
    reader = town.house.database.reader
    return await members.met(reader, community=community, channel="street", ref=ref)


async def stored(town: Community) -> Directory:
    return await communities.read(town.house.database.reader)


async def test_a_group_is_bound_with_one_command_and_again_changes_nothing(
    town: Community, owner: Resident
) -> None:
    for _ in range(2):
        await says_in(owner, NEW, "/setup")
        bound, ready = heard_in(town, NEW)[-2:]
        assert bound.key == "setup.group_bound"
        assert bound.words == {"community": "Harbour Tea", "chat": "group-2"}
        assert ready.key == "setup.ready"
    spot = town.house.directory.spot("street", "group-2")
    assert spot is not None
    assert (spot.kind, spot.community, spot.title) == ("group", town.known.id, "Tea friends")
    assert len((await stored(town)).spots) == 3


async def test_there_is_one_staff_place_and_it_needs_topics(
    town: Community, owner: Resident
) -> None:
    town.street.rights = {"missing": [], "admins": [], "forum": False, "title": "Desk"}
    await says_in(owner, NEW, "/setup staff")
    assert [one.key for one in heard_in(town, NEW)[-2:]] == [
        "setup.staff_bound",
        "setup.no_topics",
    ]
    staff = town.known.staff_on("street")
    assert staff is not None
    assert staff.ref == "group-2"
    assert town.house.directory.spot("street", STAFF) is None


async def test_what_is_missing_is_said_in_words_and_in_the_owners_language(
    town: Community, owner: Resident
) -> None:
    await owner.presses("language.use:zh")
    missing = ["can_invite_users", "can_fly"]
    town.street.rights = {"missing": missing, "admins": [], "forum": True, "title": "Desk"}
    await says_in(owner, NEW, "/setup")
    assert heard_in(town, NEW)[-1].text == (
        "还差一步。请在管理员设置里允许我：\n· 通过链接邀请用户\n· can_fly\n然后再发送一次 /setup。"
    )


async def test_a_staff_place_is_told_the_command_that_keeps_it_one(
    town: Community, owner: Resident
) -> None:
    town.street.rights["missing"] = ["can_manage_topics"]
    await says_in(owner, NEW, "/setup staff")
    assert heard_in(town, NEW)[-1].text.endswith("Then send /setup staff once more.")
    silent = Silent()
    silent.delivered = town.street.delivered
    town.house.channels["street"] = silent
    await says_in(owner, NEW, "/setup staff")
    assert heard_in(town, NEW)[-1].text.endswith("then send /setup staff once more.")


async def test_a_platform_that_does_not_tell_is_admitted(town: Community, owner: Resident) -> None:
    silent = Silent()
    silent.delivered = town.street.delivered
    town.house.channels["street"] = silent
    await says_in(owner, NEW, "/setup")
    assert heard_in(town, NEW)[-1].key == "setup.rights_unknown"


async def test_the_platforms_admins_are_admins_here_and_nobody_is_made_less(
    town: Community, owner: Resident, ana: Resident
) -> None:
    town.street.rights["admins"] = [owner.id, ana.id, "p77"]
    for _ in range(2):
        await says_in(owner, NEW, "/setup")
    roles = [(await owner.known()).role, (await ana.known()).role]
    assert roles == ["owner", "admin"]
    unseen = await known_in(town, town.known.id, "p77")
    assert unseen is not None
    assert (unseen.role, unseen.present, unseen.home) == ("admin", True, "")


async def test_the_staff_places_admins_are_staff_and_no_more(
    town: Community, owner: Resident, ana: Resident
) -> None:
    town.street.rights["admins"] = [ana.id]
    await says_in(owner, NEW, "/setup staff")
    assert (await ana.known()).role == "member"


async def test_a_place_can_be_let_go(town: Community, owner: Resident) -> None:
    await owner.says("/setup off", group=True)
    assert town.group[-1].key == "setup.unbound"
    assert town.house.directory.spot("street", GROUP) is None
    await owner.says("/setup off", group=True)
    assert town.group[-1].key == "setup.not_bound"
    await owner.says("/setup", group=True)
    assert town.house.directory.spot("street", GROUP) is not None


async def test_only_the_owner_sets_up(town: Community, ana: Resident) -> None:
    admin = await town.admin("Bo")
    for someone in (ana, admin):
        for said in ("/setup", "/setup staff", "/setup off", "/setup community Mine"):
            await says_in(someone, NEW, said)
            assert heard_in(town, NEW)[-1].key == "house.not_allowed"
    assert town.house.directory.spot("street", "group-2") is None


async def test_wrong_words_and_wrong_places_are_explained(town: Community, owner: Resident) -> None:
    await owner.says("/setup")
    assert owner.last.key == "setup.in_group"
    for said in ("/setup everything", "/setup community", "/setup community   "):
        await says_in(owner, NEW, said)
        assert heard_in(town, NEW)[-1].key == "setup.how"
    assert town.house.directory.spot("street", "group-2") is None


async def test_who_worked_in_a_staff_place_that_is_none_any_more_is_staff_no_longer(
    town: Community, owner: Resident
) -> None:
    desk, lin = Where(id=STAFF, private=False), await town.staff("Lin")
    for said in ("/setup off", "/setup"):
        await says_in(owner, desk, "/setup staff")
        await says_in(lin, desk, "Morning all")
        await says_in(owner, desk, "/setup staff")  # once more changes nothing
        assert (await lin.known()).role == "staff"
        await says_in(owner, desk, said)
        assert (await lin.known()).role == "member"
    assert (await owner.known()).role == "owner"


async def test_when_the_staff_place_moves_its_people_move_by_writing_there(
    town: Community, owner: Resident
) -> None:
    lin = await town.staff("Lin")
    await says_in(owner, NEW, "/setup staff")
    assert (await lin.known()).role == "member"
    await says_in(lin, NEW, "Morning all")
    assert (await lin.known()).role == "staff"
    await says_in(owner, Where(id=GROUP, private=False), "/setup off")
    assert (await lin.known()).role == "staff"


# ---------------------------------------------------------------- its clock and its language


async def test_the_owner_sets_the_communitys_clock(town: Community, owner: Resident) -> None:
    await owner.says("/setup zone asia/tokyo", group=True)
    assert town.group[-1].key == "setup.zone_set"
    assert town.group[-1].words == {"community": "Harbour Tea", "zone": "Asia/Tokyo"}
    assert "config.toml" in town.group[-1].text
    assert (town.known.zone, town.known.language) == ("Asia/Tokyo", "en")
    for said in ("/setup zone", "/setup zone Atlantis", "/setup zone ../etc"):
        await owner.says(said, group=True)
        assert town.group[-1].key == "setup.zone_unknown"
    assert (await stored(town)).communities[town.known.id].zone == "Asia/Tokyo"


async def test_the_owner_sets_the_communitys_language(town: Community, owner: Resident) -> None:
    await owner.says("/setup language ZH", group=True)
    assert town.group[-1].key == "setup.language_set"
    assert "speaks 中文 by default" in town.group[-1].text
    assert (town.known.zone, town.known.language) == ("Asia/Shanghai", "zh")
    for said in ("/setup language", "/setup language tlh"):
        await owner.says(said, group=True)
        assert town.group[-1].text.endswith("en and zh")
    assert town.known.language == "zh"


async def test_where_no_community_is_no_clock_is_changed(town: Community, owner: Resident) -> None:
    for said in ("/setup zone Asia/Tokyo", "/setup language zh"):
        await says_in(owner, NEW, said)
        assert heard_in(town, NEW)[-1].key == "setup.not_bound"
    assert (town.known.zone, town.known.language) == ("Asia/Shanghai", "en")


# ---------------------------------------------------------------- put out of a place


async def test_who_is_in_charge_hears_that_the_bot_was_put_out(
    town: Community, owner: Resident, ana: Resident
) -> None:
    bo = await town.admin("博", language="zh")
    await put_out(town, Where(id=GROUP, private=False, title="Tea @all"), "kicked")
    for someone in (owner, bo):
        assert someone.last.key == "setup.out_of_group"
        assert someone.last.words == {"place": "Tea all", "community": "Harbour Tea"}
    assert bo.last.text.startswith("我被移出了「Tea all」")
    await put_out(town, Where(id=STAFF, private=False, title="Desk"), "left")
    assert owner.last.key == bo.last.key == "setup.out_of_staff"
    assert "nobody can be called" in owner.last.text
    assert not ana.heard("setup.out_of_group")
    assert not ana.heard("setup.out_of_staff")


async def test_other_changes_of_the_bots_standing_are_not_told(
    town: Community, owner: Resident
) -> None:
    before = len(owner.inbox)
    await put_out(town, NEW, "kicked")
    for status in ("member", "administrator", "restricted"):
        await put_out(town, Where(id=GROUP, private=False), status)
    assert len(owner.inbox) == before


async def put_out(town: Community, where: Where, status: str) -> None:
    """The platform tells that the bot's standing in a place is another."""
    await town.happens(
        Event(
            kind=Kind.ADDED,
            channel="street",
            id=town.number("event"),
            at=town.clock.now(),
            where=where,
            words={"status": status, "rights": [], "forum": False},
        )
    )


# ---------------------------------------------------------------- another community


async def test_another_community_begins_with_a_name_and_the_same_owner(
    town: Community, owner: Resident
) -> None:
    town.street.rights["admins"] = ["p77"]
    for _ in range(2):
        await says_in(owner, NEW, "/setup community   Hill  Coffee ")
    second = town.house.directory.named("Hill Coffee")
    assert second is not None
    assert (second.zone, second.language) == ("Asia/Shanghai", "en")
    assert [spot.ref for spot in second.spots] == ["group-2"]
    there, admin = (
        await known_in(town, second.id, owner.id),
        await known_in(town, second.id, "p77"),
    )
    assert there is not None
    assert admin is not None
    assert (there.role, there.name, there.home) == ("owner", "Olga", owner.home)
    assert admin.role == "admin"
    assert await known_in(town, town.known.id, "p77") is None


async def test_a_place_let_go_comes_back_to_its_own_community_as_it_was_told(
    town: Community, owner: Resident
) -> None:
    await says_in(owner, NEW, "/setup community Hill Coffee")
    await says_in(owner, NEW, "/setup off")
    told = heard_in(town, NEW)[-1].text
    command = "/setup community Hill Coffee"
    assert command in told
    await says_in(owner, NEW, command)
    hill, spot = (
        town.house.directory.named("Hill Coffee"),
        town.house.directory.spot("street", NEW.id),
    )
    assert hill is not None
    assert spot is not None
    assert spot.community == hill.id


async def test_the_owner_keeps_their_language_in_another_community(
    town: Community, owner: Resident
) -> None:
    await owner.presses("language.use:zh")
    await says_in(owner, NEW, "/setup community Hill Coffee")
    await says_in(owner, NEW, "/checkin")
    assert heard_in(town, NEW)[-1].text.startswith("Olga，打卡成功")


async def test_a_community_without_a_place_is_given_the_name_instead(url: str) -> None:
    """The one the bot makes for itself at its first start, that is: nobody has named it yet."""
    town = await Community.founded(url, settings={"community": []})
    for ref in (GROUP, STAFF):
        await town.house.database.writer.settle([communities.unbound(channel="street", ref=ref)])
    await town.house.pipeline.reload()
    olga = await town.owner("Olga")
    await says_in(olga, NEW, "/setup community Hill Coffee")
    assert [one.name for one in (await stored(town)).communities.values()] == ["Hill Coffee"]
    await town.close()


async def test_a_community_that_the_file_names_keeps_its_name(
    town: Community, owner: Resident
) -> None:
    """Renamed, it would be founded anew at the next start, and the old one would be nobody's."""
    for where in (Where(id=GROUP, private=False), Where(id=STAFF, private=False)):
        await says_in(owner, where, "/setup off")
    await says_in(owner, NEW, "/setup community Hill Coffee")
    names = [one.name for one in (await stored(town)).communities.values()]
    assert names == ["Harbour Tea", "Hill Coffee"]


async def test_being_an_admin_of_one_community_gives_no_right_to_another(
    town: Community, owner: Resident, ana: Resident
) -> None:
    await says_in(owner, NEW, "/setup community Hill Coffee")
    hill = town.house.directory.named("Hill Coffee")
    assert hill is not None
    mine = await town.house.database.writer.settle(
        [members.ranked((await ana.known()).id, "admin")]
    )
    assert mine == [1]
    third = Where(id="group-3", private=False)
    await says_in(ana, third, "/setup community Hill Coffee")
    assert heard_in(town, third)[-1].key == "house.not_allowed"
    assert town.house.directory.spot("street", "group-3") is None
    await says_in(ana, NEW, "/setup off")
    assert heard_in(town, NEW)[-1].key == "house.not_allowed"
