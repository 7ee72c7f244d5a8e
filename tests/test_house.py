"""The house: what config.toml says of communities and places holds from the next start on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bot import config
from bot.app import House
from storage import communities, members
from storage.sealing import fresh_key
from tests.community import Street, TownClock
from tests.test_scheduler import bell

KEY = fresh_key()


async def opened(url: str, **telegram: Any) -> House:
    """A house whose file gives its one community these places."""
    contents = {
        "storage": {"url": url, "seal_key": KEY},
        "community": [{"name": "Tea", "zone": "UTC", "language": "en", "telegram": telegram}],
    }
    found = config.checked(Path("config.toml"), contents, [bell()])
    house = House(found, [bell()], [Street("telegram")], TownClock())
    await house.open()
    return house


def places(house: House) -> set[tuple[str, str]]:
    return {(spot.kind, spot.ref) for spot in house.directory.spots.values()}


async def test_places_follow_the_file(url: str) -> None:
    house = await opened(url, chats=[-1, -2], staff=-9)
    assert places(house) == {("group", "-1"), ("group", "-2"), ("staff", "-9")}
    await house.close()
    house = await opened(url, chats=[-2], staff=-8)
    assert places(house) == {("group", "-2"), ("staff", "-8")}
    await house.close()


async def test_places_that_were_set_up_in_chat_stay(url: str) -> None:
    house = await opened(url, chats=[-1])
    tea = house.directory.front_door
    assert tea is not None
    await house.database.writer.settle(
        [
            communities.bound(
                id=house.world.ids.take(), community=tea.id, channel="telegram", ref=ref,
                kind=kind, at=house.clock.now(),
            )
            for ref, kind in (("-7", "group"), ("-9", "staff"))
        ]
    )  # fmt: skip
    await house.close()
    house = await opened(url, chats=[-1])
    assert places(house) == {("group", "-1"), ("group", "-7"), ("staff", "-9")}
    await house.close()


async def test_who_worked_at_a_desk_that_is_gone_is_staff_no_more(url: str) -> None:
    house = await opened(url, staff=-9)
    tea = house.directory.front_door
    assert tea is not None
    lin = members.Member(
        id=house.world.ids.take(), community=tea.id, channel="telegram", ref="5", role="staff"
    )
    await house.database.writer.settle(
        members.arrived(lin, identity=house.world.ids.take(), at=house.clock.now())
    )
    await house.close()
    house = await opened(url, staff=-8)
    found = await members.by_id(house.database.reader, lin.id)
    assert found is not None
    assert found.role == "member"
    await house.close()


async def test_what_the_file_leaves_out_stays_as_it_was_set_up(url: str) -> None:
    """A zone chosen in chat was once set back to UTC at every start."""
    contents = {"storage": {"url": url, "seal_key": KEY}, "community": [{"name": "Tea"}]}
    found = config.checked(Path("config.toml"), contents, [bell()])
    for zone, language in (("UTC", "en"), ("Asia/Tokyo", "zh")):
        house = House(found, [bell()], [Street("telegram")], TownClock())
        await house.open()
        tea = house.directory.front_door
        assert tea is not None
        assert (tea.zone, tea.language) == (zone, language)
        await house.database.writer.settle(
            [communities.lives_by(tea.id, zone="Asia/Tokyo", language="zh")]
        )
        await house.close()
