"""The web channel: a platform of our own, in which people chat with the bot in a browser."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any

import msgspec

from bot.channels import (
    Ability,
    Faltered,
    Impossible,
    Intake,
    Limits,
    Menus,
    Said,
    ThreadGone,
    Unreachable,
)
from bot.channels.web_ground import Ground, number, packed
from bot.channels.web_people import TITLE, People
from handlers.turn import Clock, To
from knowledge import texts
from storage import web
from storage.database import Database
from storage.ids import Ids
from storage.web import Body, Chat, Topic
from storage.writer import Miss, Unavailable

SIGN = 8  # characters of a reaction: an emoji may have several

Doing = Callable[[To, dict[str, Any]], Awaitable[dict[str, Any]]]


class WebChannel:
    """The bot's side of it; `people` is the other, and `ground` what both stand on."""

    name = "web"
    limits: Limits | None = None
    abilities = frozenset(
        {
            Ability.MAKE_LINK,
            Ability.OPEN_THREAD,
            Ability.CLOSE_THREAD,
            Ability.DELETE,
            Ability.RIGHTS,
            Ability.SIGN,
        }
    )

    def __init__(self, base: str, clock: Clock) -> None:
        """base: where the pages are, such as http://127.0.0.1:8080"""
        self.link = f"{base}/start/{{payload}}"
        self.ground = Ground(base, clock)
        self.live = self.ground.live
        self.people = People(self.ground)
        self.menus: Menus = {}
        self._acts: dict[Ability, Doing] = {
            Ability.MAKE_LINK: self._make_link,
            Ability.OPEN_THREAD: self._open_thread,
            Ability.CLOSE_THREAD: self._close_thread,
            Ability.DELETE: self._delete,
            Ability.RIGHTS: self._rights,
            Ability.SIGN: self._sign,
        }

    def attach(self, database: Database, ids: Ids) -> None:
        """Keep things in this database from now on; what is sent before waits for it."""
        self.ground.attach(database, ids)

    async def open(self, intake: Intake) -> None:
        self.people.intake = intake

    async def listen(self) -> None:
        """People's doings are handed over as they happen, so there is nothing to wait for."""
        await asyncio.Event().wait()

    async def send(self, to: To, said: Said) -> str:
        await self.ground.attached.wait()
        try:
            return await self._sent(to, said)
        except Unavailable as error:
            raise Faltered(str(error), unsent=True) from error

    async def do(self, to: To, ability: Ability, words: dict[str, Any]) -> dict[str, Any]:
        await self.ground.attached.wait()
        try:
            return await self._acts[ability](to, words)
        except Unavailable as error:
            raise Faltered(str(error), unsent=True) from error
        except Miss as error:
            raise Impossible("the message is gone") from error

    async def acknowledge(self, press: str) -> None:
        """The bot has dealt with what was said or pressed there."""
        chat, _, topic = press.partition(":")
        self.live.answered((int(chat), int(topic)))
        await self.ground.changed(int(chat))

    async def announce(self, menus: Menus, staff: Sequence[str]) -> None:
        """Keep them for the pages, which show everybody the menu of what they are."""
        self.menus |= menus

    async def close(self) -> None:
        """Nothing is held."""

    def fresh(self) -> datetime | None:
        """The platform is this very process."""
        return self.ground.clock.now()

    # ---------------------------------------------------------------- saying

    async def _sent(self, to: To, said: Said) -> str:
        chat, topic = await self._place(to)
        if said.edits:
            await self._reword(said)
            await self.ground.changed(chat.id)
            return said.edits
        ids = [
            await self.ground.add(chat.id, topic, None, body, file) for body, file in _pieces(said)
        ]
        self.live.answered((chat.id, topic))
        await self.ground.changed(chat.id)
        return str(ids[0])

    async def _place(self, to: To) -> tuple[Chat, int]:
        db = self.ground.database.reader
        chat = await web.chat(db, number(to.place))
        if chat is None:
            raise Unreachable("there is no such chat")
        if chat.person is not None:
            person = await web.person(db, chat.person)
            if person is None or not person.reachable:
                raise Unreachable("they have not started the bot, or have stopped it")
        if not to.thread:
            return chat, web.GENERAL
        topic = await web.topic(db, number(to.thread), chat=chat.id)
        if topic is None:
            raise ThreadGone
        return chat, topic.id

    async def _reword(self, said: Said) -> None:
        """Replace a message's words and buttons; its picture stays unless there is another."""
        id = number(said.edits)
        before = await web.message(self.ground.database.reader, id)
        if before is None or before.gone or before.person is not None:
            raise Impossible("the message to edit is gone")
        (body, file), was = _pieces(said)[0], before.body
        if not body.kind:
            body = msgspec.structs.replace(body, kind=was.kind, name=was.name, copy=was.copy)
        body = msgspec.structs.replace(
            body, reply_to=body.reply_to or was.reply_to, carried=body.carried or was.carried
        )
        now = self.ground.clock.now()
        try:
            await self.ground.keep(web.reworded(id, body, at=now, file=packed(file or b"")))
        except Miss as error:
            raise Impossible("the message to edit is gone") from error

    # ---------------------------------------------------------------- doing

    async def _make_link(self, to: To, words: dict[str, Any]) -> dict[str, Any]:
        chat, _ = await self._place(to)
        return {"link": await self.ground.invited(chat.id)}

    async def _open_thread(self, to: To, words: dict[str, Any]) -> dict[str, Any]:
        chat, _ = await self._place(to)
        await self.ground.ids.refill()
        title = texts.clean(str(words["title"]), TITLE)
        topic = Topic(self.ground.ids.take(), chat.id, title, closed=False)
        await self.ground.keep(web.begun(topic, member=to.thread_of))
        await self.ground.changed(chat.id)
        return {"thread": str(topic.id)}

    async def _close_thread(self, to: To, words: dict[str, Any]) -> dict[str, Any]:
        topic = number(str(words.get("thread") or to.thread))
        try:
            await self.ground.keep(web.closed(topic, bool(words.get("closed", True))))
        except Miss as error:
            raise ThreadGone from error
        await self.ground.changed(number(to.place))
        return {}

    async def _delete(self, to: To, words: dict[str, Any]) -> dict[str, Any]:
        await self.ground.keep(web.removed(number(str(words["message"]))))
        await self.ground.changed(number(to.place))
        return {}

    async def _rights(self, to: To, words: dict[str, Any]) -> dict[str, Any]:
        chat, _ = await self._place(to)
        present = await web.present(self.ground.database.reader, chat.id)
        return {
            "missing": [],
            "admins": [str(person) for person, rank in present.items() if rank == "admin"],
            "forum": chat.kind == "staff",
            "title": chat.title,
        }

    async def _sign(self, to: To, words: dict[str, Any]) -> dict[str, Any]:
        emoji = str(words["emoji"])[:SIGN]
        await self.ground.keep(web.signed(number(str(words["message"])), emoji))
        await self.ground.changed(number(to.place))
        return {}


def _pieces(said: Said) -> list[tuple[Body, bytes | None]]:
    """One message, and one more for each further picture or file that came along."""
    files: list[tuple[Body, bytes | None]] = []
    if said.image:
        files.append((Body(kind="photo"), said.image))
    if said.file:
        name, contents = said.file
        files.append((Body(kind="file", name=name), contents))
    files += [
        (Body(kind=kind, name=name, copy=number(ref)), None) for kind, ref, name in said.media
    ]
    (first, data), *others = files or [(Body(), None)]
    told = msgspec.structs.replace(
        first, text=said.text, buttons=said.buttons, reply_to=number(said.reply_to)
    )
    return [
        (msgspec.structs.replace(body, carried=said.carried), file)
        for body, file in ((told, data), *others)
    ]
