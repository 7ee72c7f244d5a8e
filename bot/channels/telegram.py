"""Telegram: a bot's account there, as a channel."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit, urlunsplit

import msgspec
from aiohttp import web

from bot.channels import (
    Ability,
    Channel,
    Faltered,
    Impossible,
    Intake,
    Limits,
    NotNow,
    Said,
    ThreadGone,
)
from bot.channels.telegram_api import Posted, Refused, Stranger, ThreadClosed, Wire, whole
from bot.channels.telegram_hearing import KINDS, Hearing
from bot.channels.telegram_patience import TROUBLE, Patience, passing, slowed
from bot.channels.telegram_pieces import LONGEST_TEXT, Piece, keyboard, pieces, plain, units
from bot.config import Misconfigured
from handlers.turn import Clock, To

if TYPE_CHECKING:
    from bot.channels.telegram_methods import Methods

Menus = dict[tuple[str, str], list[tuple[str, str]]]

OFFICIAL = "https://api.telegram.org"
POLL_SECONDS = 30  # that Telegram waits for something to happen
OPENING_ATTEMPTS = 5
PART_ATTEMPTS = 3  # at what follows the first message of a reply

# Whose menu each scope shows; staff see theirs in the staff places.
SCOPES = {"member": ("default", "all_private_chats"), "admin": ("all_chat_administrators",)}


class Telegram(Channel):
    """One bot on Telegram.

    Telegram's 429 does not say whether it means one chat or all of them: it is taken for the
    chat's, so `NotNow.everywhere` is never set.
    """

    abilities = frozenset(Ability)

    def __init__(
        self,
        token: str,
        clock: Clock,
        *,
        name: str = "telegram",
        api: str = OFFICIAL,
        mode: Literal["polling", "webhook"] = "polling",
        webhook_url: str = "",
        secret: str = "",
        per_second: float = 30.0,
        poll_seconds: int = POLL_SECONDS,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Nothing is asked of the network yet.

        webhook_url: where Telegram reaches us; without a path it gets "/hooks/<name>"
        secret:      what Telegram shows when it comes there
        Raises `Misconfigured` for a webhook at which anybody could pretend to be Telegram.
        """
        if mode == "webhook" and not re.fullmatch(r"[A-Za-z0-9_-]{1,256}", secret):
            raise Misconfigured(
                [
                    f"[{name}] mode is webhook, which needs a secret of letters, digits, _ and -"
                    " so that nobody else can speak for Telegram;"
                    f" set BOT_{name.upper()}__WEBHOOK_SECRET"
                ]
            )
        self.name = name
        self.limits: Limits | None = Limits(per_chat=1, per_group=20, overall=per_second)
        address = urlsplit(webhook_url)
        self.path = address.path if address.path.strip("/") else f"/hooks/{name}"
        self._webhook_url = urlunsplit(address._replace(path=self.path))
        self._mode = mode
        self._secret = secret
        self._token = token
        self._api = api
        self._clock = clock
        self._wire = Wire(token, api)
        self._patience = Patience(name, sleep)
        self._hearing = Hearing(
            self._wire, self._patience, clock, secret=secret, seconds=poll_seconds
        )
        self._methods: Methods

    @property
    def username(self) -> str:
        """The bot's own name, without the @; empty before `open`."""
        return self._hearing.me.username

    @property
    def link(self) -> str:
        """What opens the bot's private chat and brings it a {payload}; empty before `open`."""
        return f"https://t.me/{self.username}?start={{payload}}" if self.username else ""

    def fresh(self) -> datetime | None:
        """When Telegram was last heard from (aware); None if never yet."""
        return self._hearing.heard_at

    # ---------------------------------------------------------------- opening and listening

    async def open(self, intake: Intake) -> None:
        """Ask who we are, and say how we want to hear; nothing that waits for us is dropped.

        Raises `Misconfigured` if Telegram does not know us, or cannot be reached at all.
        """
        try:
            await self._patience.trying(self._introduce, passing, attempts=OPENING_ATTEMPTS)
            # aiogram takes seconds to import, in which others may already be working.
            self._methods = await asyncio.to_thread(_methods, self._wire, self._token, self._clock)
            self._hearing.intake = intake
            await self._patience.trying(self._arrange, passing, attempts=OPENING_ATTEMPTS)
        except Stranger:
            raise Misconfigured(
                [
                    f"[{self.name}] Telegram does not know this token; copy it again from"
                    f" @BotFather into BOT_{self.name.upper()}__TOKEN"
                ]
            ) from None
        except Refused as refused:
            raise Misconfigured([f"[{self.name}] Telegram refuses: {refused}"]) from None
        except (Faltered, NotNow) as fault:
            raise Misconfigured(
                [f"[{self.name}] {self._api} cannot be reached ({fault}); is api right?"]
            ) from None

    async def listen(self) -> None:
        """Hand everything that happens to `intake`, until cancelled.

        With a webhook it is `handler` that does so; then this only sees that it stays set.
        """
        if self._mode == "webhook":
            await self._hearing.watch(self._arrange)
        else:
            await self._hearing.poll()

    async def handler(self, request: web.Request) -> web.Response:
        """The webhook, to be served at `path` for every method."""
        return await self._hearing.receive(request)

    async def close(self) -> None:
        """Let go of the connection."""
        await self._wire.close()

    async def _introduce(self) -> None:
        account = await self._wire.call("getMe", {}, _Account)
        self._hearing.answer_to(account.id, account.username)

    async def _arrange(self) -> None:
        if self._mode == "webhook":
            await self._methods.hook(self._webhook_url, self._secret, KINDS)
        else:
            await self._methods.unhook()

    # ---------------------------------------------------------------- saying

    async def send(self, to: To, said: Said) -> str:
        """Say it; returns the id of the message with its last words, and its buttons.

        What cannot replace the message it was to replace is said anew.  Once the first message of
        several is said, `NotNow` is waited for here: whoever catches it would begin again.
        """
        place = _place(to)
        if said.edits and await self._replaced(place, said):
            return said.edits
        known_by = 0
        for index, piece in enumerate(pieces(said)):
            if index:
                await said.turn()
            more = _buttons(said) if piece.last_word else {}
            if index == 0 and said.reply_to.isdigit():
                answered = {"message_id": int(said.reply_to), "allow_sending_without_reply": True}
                more = more | {"reply_parameters": answered}
            say = partial(self._say, to, piece, place | more)
            number = await (self._say_on(say) if index else say())
            known_by = number if piece.last_word else known_by
        return str(known_by)

    async def _replaced(self, place: dict[str, Any], said: Said) -> bool:
        """Edit the earlier message; whether that was possible."""
        text = plain(said.text)
        made = said.image is not None or said.file is not None
        if made or units(text) > LONGEST_TEXT or not said.edits.isdigit():
            return False
        target = {"chat_id": place["chat_id"], "message_id": int(said.edits)}
        # What was carried is in the earlier message, or before it; only its words are others now.
        edited = self._methods.recaptioned if said.media else self._methods.edited
        return await edited(text, target | _buttons(said))

    async def _say_on(self, say: Callable[[], Awaitable[int]]) -> int:
        """Say what follows the first message."""
        try:
            return await self._patience.trying(say, slowed, attempts=PART_ATTEMPTS)
        except (NotNow, Faltered):
            raise Faltered("only a part of it was sent") from None

    async def _say(self, to: To, piece: Piece, place: dict[str, Any]) -> int:
        """Send one message, opening a closed topic for it."""
        try:
            return await self._post(piece, place)
        except ThreadClosed:
            if not to.thread:
                raise Impossible("the General topic is closed") from None
        try:
            await self._methods.turn_thread(place["chat_id"], whole(to.thread), closed=False)
        except Refused:
            raise ThreadGone from None
        return await self._post(piece, place)

    async def _post(self, piece: Piece, place: dict[str, Any]) -> int:
        if (piece.image, piece.file, piece.media) != (None, None, None):
            return await self._methods.show(piece, place)
        message = {**place, "text": piece.text, "link_preview_options": {"is_disabled": True}}
        return (await self._wire.call("sendMessage", message, Posted)).message_id

    # ---------------------------------------------------------------- doing

    async def do(self, to: To, ability: Ability, words: dict[str, Any]) -> dict[str, Any]:
        """Do it; returns what came of it, as beside each Ability.

        MAKE_LINK takes `request` too: that those who use the link must be let in one by one.  In a
        public chat they must in any case, as of who joins it at once no link is told.
        RIGHTS takes the `kind` of place, "group" unless told: that needs no right to manage topics,
        as a "staff" place needs none to invite.
        """
        return await self._methods.do(_chat(to.place), to.thread, ability, words)

    async def acknowledge(self, press: str) -> None:
        """End the waiting sign on a pressed button; one pressed long ago has none any more."""
        try:
            await self._wire.call("answerCallbackQuery", {"callback_query_id": press}, bool)
        except Refused as refused:
            if not refused.says("query is too old", "query id is invalid"):
                raise

    async def announce(self, menus: Menus, staff: Sequence[str]) -> None:
        """Register the menus; one that Telegram does not take is logged, and the rest go on.

        A role's English menu, or else its first, is also shown to those of other languages.
        """
        for (role, language), commands in _for_everyone(menus).items():
            for scope in staff if role == "staff" else SCOPES.get(role, ()):
                menu = partial(self._methods.menu, commands, scope, language)
                try:
                    await self._patience.trying(menu, slowed, attempts=PART_ATTEMPTS)
                except TROUBLE as fault:
                    self._patience.tell("telegram.menu", fault)


def _place(to: To) -> dict[str, Any]:
    thread = {"message_thread_id": whole(to.thread)} if to.thread else {}
    return {"chat_id": _chat(to.place), **thread}


def _chat(place: str) -> int | str:
    """A chat's number, or its @name."""
    return int(place) if re.fullmatch(r"-?[0-9]+", place) else place


def _buttons(said: Said) -> dict[str, Any]:
    return {"reply_markup": keyboard(said.buttons)} if said.buttons else {}


def _for_everyone(menus: Menus) -> Menus:
    """The menus, with one in no language for each role that has none."""
    common: Menus = {}
    for (role, language), commands in menus.items():
        if language == "en" or (role, "") not in common:
            common[role, ""] = commands
    return common | menus


def _methods(wire: Wire, token: str, clock: Clock) -> Methods:
    from bot.channels.telegram_methods import Methods  # which imports aiogram

    return Methods(wire, token, clock)


class _Account(msgspec.Struct):
    id: int
    username: str = ""
