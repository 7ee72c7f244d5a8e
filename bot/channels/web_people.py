"""What people do in the web channel: each of their doings is the bot's before they hear of it."""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec

from bot.channels import Intake
from bot.channels.web_ground import File, Ground
from handlers.turn import Event, Kind, Media, Where
from handlers.turn import Person as Speaker
from knowledge import texts
from storage import tokens, web
from storage.web import Body, Chat, Message, Person, Seat
from storage.writer import Change, Miss, Reader, Unavailable

MENTION = re.compile(r"@(?:innkeeper|掌柜)(?![a-z0-9_])", re.IGNORECASE)
LENGTH = 4000  # characters of a message
FILE_BYTES = 8 * 2**20
TITLE = 80


class Declined(Exception):
    """Somebody in the browser wants what cannot be; `key` is the text that tells them why."""

    def __init__(self, key: str, **words: Any) -> None:
        super().__init__(key)
        self.key = key
        self.words = words


class People:
    """The people's side of the web channel.  Its verbs raise only `Declined`."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self.intake: Intake

    # ---------------------------------------------------------------- coming to the platform

    async def arrives(self, name: str, language: str) -> Person:
        """Somebody new, with a private chat in which nothing has been said."""
        if not texts.clean(name).strip():
            raise Declined("playground.declined.nameless")
        take = await self._ids()
        person = Person(take(), texts.name(name), language, reachable=False)
        home = Chat(take(), "private", "", person.id)
        now = self._ground.clock.now()
        await self._keep(
            web.arrived(person, at=now),
            web.made(home, at=now),
            web.seated(id=take(), chat=home.id, person=person.id),
        )
        self._ground.live.everybody()
        return person

    async def makes(self, kind: str, title: str) -> Chat:
        """A group or a staff place, with an invite link of its own."""
        take = await self._ids()
        chat = Chat(take(), kind, texts.clean(title, TITLE), None)
        await self._keep(web.made(chat, at=self._ground.clock.now()))
        await self._ground.invited(chat.id, public=True)
        return chat

    async def secret(self, person: int) -> str:
        """A new secret by which they are known; earlier ones are void."""
        secret = secrets.token_urlsafe(24)
        await self._keep(web.keyed(person, tokens.digest(secret)))
        return secret

    # ---------------------------------------------------------------- coming and going

    async def starts(self, person: int, payload: str = "") -> None:
        """They open their private chat with the bot, or let it write again."""
        who = await self._person(person)
        home = await web.home(self._db, person)
        if not who.reachable:
            before = await web.latest(self._db, chat=home, topic=web.GENERAL, most=1)
            await self._keep(web.reached(person, True))
            await self._ground.changed(home)
            if before:
                await self._tell(who, Kind.RETURNED, "r", await self._where(home))
                if not payload:
                    return
        await self.says(person, home, f"/start {payload}".strip())

    async def stops(self, person: int) -> None:
        """The bot may not write to them any more."""
        who = await self._person(person)
        home = await web.home(self._db, person)
        await self._keep(web.reached(person, False))
        await self._ground.changed(home)
        await self._tell(who, Kind.BLOCKED, "b", await self._where(home))

    async def joins(self, person: int, token: str) -> Chat:
        """They follow an invite link; returns where it led."""
        who = await self._person(person)
        chat = await web.led_to(self._db, token)
        if chat is None:
            raise Declined("playground.declined.link")
        if await web.seat(self._db, chat=chat.id, person=person) is not None:
            return chat
        take = await self._ids()
        await self._keep(
            web.seated(id=take(), chat=chat.id, person=person),
            self._noticed(take(), chat.id, person, "joined"),
        )
        await self._ground.changed(chat.id)
        link = self._ground.invitation(token)
        await self._tell(who, Kind.JOINED, "j", await self._where(chat.id), data=link)
        return chat

    async def leaves(self, person: int, chat: int) -> None:
        """They leave a group or a staff place."""
        who = await self._person(person)
        seat = await self._seat(person, chat)
        if seat.chat.kind == "private":
            raise Declined("playground.declined.gone")
        take = await self._ids()
        await self._keep(
            web.got_up(chat=chat, person=person),
            self._noticed(take(), chat, person, "left"),
        )
        self._ground.live.publish([person])
        await self._ground.changed(chat)
        await self._tell(who, Kind.LEFT, "l", await self._where(chat))

    async def ranks(self, person: int, chat: int, rank: str) -> None:
        """The group makes them an administrator ("admin"), or no longer ("")."""
        who = await self._person(person)
        await self._keep(web.ranked(chat=chat, person=person, rank=rank))
        await self._ground.changed(chat)
        await self._tell(who, Kind.RANKED, "k", await self._where(chat), data=rank)

    # ---------------------------------------------------------------- speaking

    async def says(
        self,
        person: int,
        chat: int,
        text: str,
        *,
        topic: int = web.GENERAL,
        reply_to: int = 0,
        file: File | None = None,
    ) -> int:
        """They say something, perhaps with a file; returns the message's id."""
        who = await self._person(person)
        seat = await self._may_write(who, chat)
        if topic and await web.topic(self._db, topic, chat=chat) is None:
            raise Declined("playground.declined.gone")
        said = text.strip()[:LENGTH]
        if not said and file is None:
            raise Declined("playground.declined.empty")
        if file is not None and len(file.data) > FILE_BYTES:
            raise Declined("playground.declined.large", most=FILE_BYTES // 2**20)
        media: tuple[Media, ...] = ()
        body = Body(text=said, reply_to=reply_to)
        if file is not None:
            name = texts.clean(file.name, TITLE)
            body = msgspec.structs.replace(body, kind=file.kind, name=name)
        id = await self._add(chat, topic, person, body, file)
        if file is not None:
            media = (Media(body.kind, str(id), body.name),)
        addressed = await self._addressed(seat.chat, said, reply_to)
        self._ground.live.types((chat, topic), person, False)
        if addressed:
            self._ground.live.asks((chat, topic))
        await self._ground.changed(chat)
        try:
            await self._tell(
                who,
                Kind.SAID,
                "m",
                await self._where(chat, topic),
                id=id,
                text=_unmentioned(said),
                message=str(id),
                reply_to=str(reply_to or ""),
                addressed=addressed,
                media=media,
                # as of a pressed button, so that we hear when it has been dealt with
                press=f"{chat}:{topic}" if addressed else "",
            )
        except Declined:
            await self._unsaid(chat, topic, id)
            raise
        return id

    async def _unsaid(self, chat: int, topic: int, id: int) -> None:
        """The bot did not hear it, so nobody is to think it did."""
        self._ground.live.answered((chat, topic))
        with suppress(Miss, Unavailable):
            await self._ground.keep(web.removed(id))
        await self._ground.changed(chat)

    async def edits(self, person: int, message: int, text: str) -> None:
        """They change what they said."""
        who = await self._person(person)
        found = await self._message(person, message)
        seat = await self._may_write(who, found.chat)
        said = text.strip()[:LENGTH]
        if found.person != person or not said:
            raise Declined("playground.declined.empty")
        body = msgspec.structs.replace(found.body, text=said)
        await self._keep(web.reworded(message, body, at=self._ground.clock.now()))
        await self._ground.changed(found.chat)
        await self._tell(
            who,
            Kind.EDITED,
            "e",
            await self._where(found.chat, found.topic),
            text=_unmentioned(said),
            message=str(message),
            addressed=await self._addressed(seat.chat, said, found.body.reply_to),
        )

    async def presses(self, person: int, message: int, data: str) -> None:
        """They press a button under a message of the bot."""
        who = await self._person(person)
        found = await self._message(person, message)
        await self._may_write(who, found.chat)
        if data not in {one for row in found.body.buttons for _, one, _ in row if one}:
            raise Declined("playground.declined.gone")
        where = (found.chat, found.topic)
        self._ground.live.asks(where)
        await self._ground.changed(found.chat)
        await self._tell(
            who,
            Kind.PRESSED,
            "p",
            await self._where(*where),
            message=str(message),
            data=data,
            press=f"{found.chat}:{found.topic}",
        )

    async def types(self, person: int, chat: int, topic: int, is_typing: bool) -> None:
        """They are typing, or have stopped."""
        await self._seat(person, chat)
        if self._ground.live.types((chat, topic), person, is_typing):
            await self._ground.changed(chat)

    # ---------------------------------------------------------------- reading

    async def opens(self, person: int, chat: int, topic: int = web.GENERAL) -> None:
        """They have this chat, or this topic of it, before them now; a group's door is public."""
        found = await web.chat(self._db, chat)
        if found is None or found.kind != "group":
            await self._seat(person, chat)
        now = self._ground.clock.now()
        await self._keep(web.opened(person=person, chat=chat, topic=topic, at=now))
        self._ground.live.publish([person])

    async def reads(self, person: int, chat: int, topic: int, to: int) -> None:
        """They have seen everything up to this message."""
        now = self._ground.clock.now()
        await self._keep(web.read(person=person, chat=chat, topic=topic, to=to, at=now))

    async def file(self, person: int, message: int) -> File:
        """The file that came with a message they may see."""
        found = await self._message(person, message)
        packed = await web.file(self._db, found.body.copy or message)
        if not packed:
            raise Declined("playground.declined.gone")
        return File(found.body.name, base64.b64decode(packed))

    # ---------------------------------------------------------------- telling the bot

    async def _tell(
        self, who: Person, kind: Kind, sign: str, where: Where, *, id: int = 0, **more: Any
    ) -> None:
        """Give it into the bot's care."""
        take = await self._ids()
        event = Event(
            kind=kind,
            channel="web",
            id=f"{sign}{id or take()}",
            at=self._ground.clock.now(),
            person=Speaker(str(who.id), who.name, who.language),
            where=where,
            **more,
        )
        try:
            await self.intake([event])
        except Unavailable as error:
            raise Declined("playground.declined.unavailable") from error

    async def _where(self, chat: int, topic: int = web.GENERAL) -> Where:
        found = await web.chat(self._db, chat)
        if found is None:
            raise Declined("playground.declined.gone")
        private = found.kind == "private"
        return Where(str(chat), private, found.title, str(topic) if topic else "")

    async def _addressed(self, chat: Chat, text: str, reply_to: int) -> bool:
        """Whether the bot is meant: in private, by a command, by its name, or by an answer."""
        if chat.kind == "private" or text.startswith("/") or MENTION.search(text):
            return True
        answered = await web.message(self._db, reply_to) if reply_to else None
        return answered is not None and answered.person is None and answered.chat == chat.id

    # ---------------------------------------------------------------- keeping

    @property
    def _db(self) -> Reader:
        return self._ground.database.reader

    async def _ids(self) -> Callable[[], int]:
        await self._ground.ids.refill()
        return self._ground.ids.take

    async def _add(self, chat: int, topic: int, person: int, body: Body, file: File | None) -> int:
        try:
            return await self._ground.add(chat, topic, person, body, file.data if file else None)
        except Miss as error:
            raise Declined("playground.declined.gone") from error
        except Unavailable as error:
            raise Declined("playground.declined.unavailable") from error

    def _noticed(self, id: int, chat: int, person: int, notice: str) -> Change:
        now = self._ground.clock.now()
        return web.said(Message(id, chat, web.GENERAL, person, Body(), now, notice=notice))

    async def _keep(self, *changes: Change) -> None:
        try:
            await self._ground.keep(*changes)
        except Miss as error:
            raise Declined("playground.declined.gone") from error
        except Unavailable as error:
            raise Declined("playground.declined.unavailable") from error

    # ---------------------------------------------------------------- who may

    async def _person(self, id: int) -> Person:
        person = await web.person(self._db, id)
        if person is None:
            raise Declined("playground.declined.nobody")
        return person

    async def _seat(self, person: int, chat: int) -> Seat:
        seat = await web.seat(self._db, chat=chat, person=person)
        if seat is None:
            raise Declined("playground.declined.outside")
        return seat

    async def _may_write(self, who: Person, chat: int) -> Seat:
        seat = await self._seat(who.id, chat)
        if seat.chat.kind == "private" and not who.reachable:
            raise Declined("playground.declined.stopped")
        return seat

    async def _message(self, person: int, id: int) -> Message:
        """A message they may see, which is still there."""
        found = await web.message(self._db, id)
        if found is None or found.gone:
            raise Declined("playground.declined.gone")
        await self._seat(person, found.chat)
        return found


def _unmentioned(text: str) -> str:
    """What was said, without the name of the bot that it was said to."""
    return MENTION.sub("", text).strip() or text
