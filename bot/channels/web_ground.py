"""What both sides of the web channel stand on: its database, its clock, its open pages."""

from __future__ import annotations

import asyncio
import base64
import secrets
from dataclasses import dataclass

from bot.channels.web_live import Live
from handlers.turn import Clock
from storage import web
from storage.database import Database
from storage.ids import Ids
from storage.web import Body, Message
from storage.writer import Change

PICTURES = {  # how a picture of this type begins
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
    b"RIFF": "image/webp",
}


@dataclass(frozen=True, slots=True)
class File:
    """A file with its type, as its first bytes tell it."""

    name: str
    data: bytes

    @property
    def type(self) -> str:
        """The MIME type of a picture we show; anything else is only there to be saved."""
        for beginning, type_ in PICTURES.items():
            if self.data.startswith(beginning) and (
                type_ != "image/webp" or self.data[8:12] == b"WEBP"
            ):
                return type_
        return "application/octet-stream"

    @property
    def kind(self) -> str:
        """What a message calls it."""
        return "photo" if self.type.startswith("image/") else "file"


class Ground:
    """Keeps and shows messages, whoever said them."""

    def __init__(self, base: str, clock: Clock) -> None:
        """base: where the pages are, such as http://127.0.0.1:8080"""
        self.base = base
        self.clock = clock
        self.live = Live()
        self.attached = asyncio.Event()
        self.database: Database
        self.ids: Ids

    def attach(self, database: Database, ids: Ids) -> None:
        """Keep things in this database from now on."""
        self.database = database
        self.ids = ids
        self.attached.set()

    async def keep(self, *changes: Change) -> None:
        """Raises `Miss` or `Unavailable`, as the writer does."""
        await self.database.writer.settle(changes)

    async def add(
        self, chat: int, topic: int, person: int | None, body: Body, file: bytes | None = None
    ) -> int:
        """A new message; whoever said it has also read it.  Returns its id."""
        await self.ids.refill()
        one = Message(self.ids.take(), chat, topic, person, body, self.clock.now())
        changes = [web.said(one, file=packed(file or b""))]
        if person is not None:
            changes.append(web.read(person=person, chat=chat, topic=topic, to=one.id, at=one.at))
        await self.keep(*changes)
        return one.id

    async def invited(self, chat: int, *, public: bool = False) -> str:
        """A new link by which anybody may join the chat."""
        token = secrets.token_urlsafe(9)
        await self.keep(web.linked(token, chat=chat, public=public, at=self.clock.now()))
        return self.invitation(token)

    def invitation(self, token: str) -> str:
        """The link with this token."""
        return f"{self.base}/join/{token}"

    async def changed(self, chat: int) -> None:
        """Tell the pages of everybody in the chat; all pages, if it is gone with its person."""
        present = await web.present(self.database.reader, chat)
        if present:
            self.live.publish(present)
        else:
            self.live.everybody()


def packed(data: bytes) -> str:
    """Bytes as the text that is sealed."""
    return base64.b64encode(data).decode()


def number(ref: str) -> int:
    """The row id that a channel's id is; 0 for what is none."""
    return int(ref) if ref.isdecimal() and len(ref) < 19 else 0
