"""The playground's sample community: made once, by letting its people really come and speak."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bot.app import House
from bot.channels.web import WebChannel
from storage import communities, web
from storage.web import Chat

# The [[community]] to configure the playground with.
COMMUNITY: dict[str, Any] = {
    "name": "Harbour Tea 港湾茶铺",
    "zone": "Asia/Shanghai",
    "language": "en",
    "knowledge": str(Path(__file__).parent.parent / "knowledge" / "articles" / "harbour-tea"),
}
DESK = "Staff 同事"


async def seed(house: House, channel: WebChannel) -> None:
    """Make the community's places and people, unless there are people already."""
    if await web.people(house.database.reader):
        return
    group = await channel.people.makes("group", COMMUNITY["name"])
    desk = await channel.people.makes("staff", DESK)
    await bind(house, group, desk)
    await _Story(house, channel, group, desk).tell()


async def bind(house: House, group: Chat, desk: Chat) -> None:
    """Both belong to the community with which the house was configured."""
    community = next(iter(house.directory.communities.values()))
    ids, now = house.world.ids, house.clock.now()
    await ids.refill()
    await house.database.writer.settle(
        [
            communities.bound(
                id=ids.take(),
                community=community.id,
                channel=WebChannel.name,
                ref=str(chat.id),
                kind=chat.kind,
                title=chat.title,
                at=now,
            )
            for chat in (group, desk)
        ]
    )
    await house.pipeline.reload()


class _Story:
    """How it came that these people are here; each waits until the bot has answered the last."""

    def __init__(self, house: House, channel: WebChannel, group: Chat, desk: Chat) -> None:
        self._house = house
        self._people = channel.people
        self._db = house.database.reader
        self._group = group
        self._desk = desk

    async def tell(self) -> None:
        """From the admin, who was first, to the member who is about to look around."""
        bo = await self._comes("Bo 柏", "en", self._group)
        await self._people.ranks(bo, self._group.id, "admin")
        lin = await self._comes("Lin 林", "zh", self._group, self._desk)
        await self._says(bo, self._group.id, "Welcome to Harbour Tea. New here? Say hello.")
        mei = await self._comes("Mei 梅", "zh", self._group)
        ana = await self._comes("Ana", "en", self._group)
        he = await self._comes("小禾", "zh", self._group)
        await self._says(
            ana, self._group.id, "Hello all. I mostly drink oolong, and too much of it."
        )
        await self._says(he, self._group.id, "大家好，我是小禾，刚开始学着喝茶。")
        await self._starts(he)
        await self._says(he, await self._home(he), "/checkin")
        await self._asks_for_a_person(he, lin)
        await self._starts(ana)
        await self._says(mei, self._group.id, "大家好，我是梅，喜欢白茶。")
        await self._starts(mei)
        await self._comes("Theo", "en")
        await self._look(mei, ana, bo, lin)

    async def _asks_for_a_person(self, member: int, staff: int) -> None:
        """So that the staff place has a topic to look at."""
        await self._says(member, await self._home(member), "/human 想请人帮我挑第一款茶")
        answer = "小禾你好，我是林。平时喜欢清淡一点，还是浓一点？"
        for topic in await web.topics(self._db, self._desk.id):
            await self._people.says(staff, self._desk.id, answer, topic=topic.id)
        await self._house.settled()
        await self._says(member, await self._home(member), "清淡一点的，谢谢。")

    async def _look(self, mei: int, ana: int, bo: int, lin: int) -> None:
        """What each has open, and has read."""
        topics = [one.id for one in await web.topics(self._db, self._desk.id)]
        for person, chat, topic in (
            (mei, await self._home(mei), web.GENERAL),
            (ana, await self._home(ana), web.GENERAL),
            (bo, self._group.id, web.GENERAL),
            *((lin, self._desk.id, topic) for topic in topics),
        ):
            await self._people.opens(person, chat, topic)
            last = await web.latest(self._db, chat=chat, topic=topic, most=1)
            await self._people.reads(person, chat, topic, last[-1].id if last else 0)

    async def _comes(self, name: str, language: str, *places: Chat) -> int:
        person = await self._people.arrives(name, language)
        for place in places:
            await self._people.joins(person.id, await web.public_link(self._db, place.id))
        await self._house.settled()
        return person.id

    async def _starts(self, person: int) -> None:
        await self._people.starts(person)
        await self._house.settled()

    async def _says(self, person: int, chat: int, text: str) -> None:
        await self._people.says(person, chat, text)
        await self._house.settled()

    async def _home(self, person: int) -> int:
        return await web.home(self._db, person)
