"""A village: the sample community on the web channel, with the real house behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web as http

import handlers
from bot import config
from bot.app import House
from bot.channels.web import WebChannel
from bot.channels.web_ground import File
from bot.channels.web_people import People
from bot.seed import COMMUNITY, bind
from storage import web
from storage.sealing import fresh_key
from storage.web import Chat, Message
from storage.writer import Reader
from tests.community import TownClock

BASE = "http://127.0.0.1:8080"

# A picture of one dot.
DOT = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c6360606060000000050001a5f645400000000049454e44ae426082"
)


@dataclass
class Villager:
    """Somebody who chats in the browser."""

    village: Village
    id: int
    home: int

    async def starts(self) -> None:
        await self.village.people.starts(self.id)
        await self.village.house.settled()

    async def stops(self) -> None:
        await self.village.people.stops(self.id)
        await self.village.house.settled()

    async def joins(self, link: str = "") -> None:
        """Follow an invite link; without one, the group's own."""
        token = link.rpartition("/")[2] or await web.public_link(
            self.village.db, self.village.group.id
        )
        await self.village.people.joins(self.id, token)
        await self.village.house.settled()

    async def says(
        self,
        text: str,
        chat: int = 0,
        *,
        topic: int = 0,
        reply_to: int = 0,
        file: File | None = None,
    ) -> int:
        """Say something, in private unless another `chat` is named."""
        id = await self.village.people.says(
            self.id, chat or self.home, text, topic=topic, reply_to=reply_to, file=file
        )
        await self.village.house.settled()
        return id

    async def presses(self, message: int, data: str) -> None:
        await self.village.people.presses(self.id, message, data)
        await self.village.house.settled()

    async def inbox(self) -> list[Message]:
        """What the bot has said in their private chat, oldest first."""
        found = await web.latest(self.village.db, chat=self.home, topic=0, most=100)
        return [one for one in found if one.person is None]

    async def last(self) -> Message:
        """The latest of it."""
        return (await self.inbox())[-1]


@dataclass
class Village:
    """The house, its channel, and the places of the community."""

    house: House
    channel: WebChannel
    clock: TownClock
    group: Chat
    desk: Chat

    @property
    def people(self) -> People:
        return self.channel.people

    @property
    def db(self) -> Reader:
        return self.house.database.reader

    async def villager(
        self, name: str, language: str = "en", *, member: bool = True, home: bool = True
    ) -> Villager:
        """Somebody new, in the group if a `member`, whom the bot may write to if `home`."""
        person = await self.people.arrives(name, language)
        someone = Villager(self, person.id, await web.home(self.db, person.id))
        if home:
            await someone.starts()
        if member:
            await someone.joins()
        return someone

    async def staff(self, name: str) -> Villager:
        """Somebody who sits in the staff place too."""
        someone = await self.villager(name)
        token = await web.public_link(self.db, self.desk.id)
        await self.people.joins(someone.id, token)
        await self.house.settled()
        return someone

    async def said_in(self, chat: int, topic: int = 0) -> list[Message]:
        """Everything said in a chat, oldest first."""
        return await web.latest(self.db, chat=chat, topic=topic, most=100)


@asynccontextmanager
async def opened(
    url: str, sections: list[dict[str, Any]], base: str = BASE
) -> AsyncIterator[tuple[House, WebChannel]]:
    """A house on the (empty, migrated) database at this URL, with nobody in it yet."""
    clock = TownClock()
    channel = WebChannel(base, clock)
    contents = {"storage": {"url": url, "seal_key": fresh_key()}, "community": sections}
    found = handlers.discovered()
    house = House(config.checked(Path("config.toml"), contents, found), found, [channel], clock)
    await house.open()
    channel.attach(house.database, house.world.ids)
    try:
        yield house, channel
    finally:
        await house.close()


@asynccontextmanager
async def village(url: str) -> AsyncIterator[Village]:
    """A village on the (empty, migrated) database at this URL."""
    async with opened(url, [COMMUNITY | {"name": "Harbour Tea"}]) as (house, channel):
        group = await channel.people.makes("group", "Harbour Tea")
        desk = await channel.people.makes("staff", "Staff")
        await bind(house, group, desk)
        assert isinstance(house.clock, TownClock)
        yield Village(house, channel, house.clock, group, desk)


@asynccontextmanager
async def served(pages: http.Application) -> AsyncIterator[str]:
    """The pages on a free port of this machine; gives their address."""
    runner = http.AppRunner(pages, shutdown_timeout=1)
    await runner.setup()
    try:
        await http.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def browsing(address: str) -> aiohttp.ClientSession:
    """A browser, as far as HTTP goes, that keeps cookies and looks at our own pages."""
    return aiohttp.ClientSession(
        address,
        headers={"Sec-Fetch-Site": "same-origin"},
        cookie_jar=aiohttp.CookieJar(unsafe=True),
    )
