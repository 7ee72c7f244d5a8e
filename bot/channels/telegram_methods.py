"""The rarer Bot API methods, written down with aiogram's objects.

aiogram knows what each method takes and how a form with files is filled in.  What comes back is
read here, leniently: aiogram takes a whole Message or ChatMember apart, and one field it does not
know would turn a success into an error.  Importing this module takes seconds; see `Telegram.open`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, TypeVar

import msgspec
from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.methods import (
    ApproveChatJoinRequest,
    CloseForumTopic,
    CreateChatInviteLink,
    CreateForumTopic,
    DeclineChatJoinRequest,
    DeleteMessage,
    DeleteWebhook,
    EditMessageCaption,
    EditMessageReplyMarkup,
    EditMessageText,
    GetChat,
    GetChatAdministrators,
    GetChatMember,
    ReopenForumTopic,
    SendAnimation,
    SendAudio,
    SendDocument,
    SendPhoto,
    SendSticker,
    SendVideo,
    SendVideoNote,
    SendVoice,
    SetMessageReaction,
    SetMyCommands,
    SetWebhook,
    TelegramMethod,
)
from aiogram.types import (
    BotCommand,
    BotCommandScopeAllChatAdministrators,
    BotCommandScopeAllPrivateChats,
    BotCommandScopeChat,
    BotCommandScopeDefault,
    BotCommandScopeUnion,
    BufferedInputFile,
    LinkPreviewOptions,
    ReactionTypeEmoji,
)

from bot.channels import Ability, Impossible
from bot.channels.telegram_api import Posted, Refused, Wire, whole
from bot.channels.telegram_pieces import LONGEST_CAPTION, Piece, fitting, plain, units
from handlers.turn import Clock

T = TypeVar("T")

LONGEST_TITLE = 128  # of a topic
LONGEST_NAME = 32  # of an invite link
LONGEST_DESCRIPTION = 256  # of a command
COMMANDS = 100  # in one menu

KNOWN_FOR = timedelta(minutes=10)  # whether a chat is public; then it is asked again

NO_PREVIEW = LinkPreviewOptions(is_disabled=True)

# What the bot is to be allowed: people are invited into groups only, topics opened for staff.
NEEDED = {"group": ("can_invite_users",), "staff": ("can_manage_topics",)}

# How each kind of thing somebody sent is sent again: its method, and the field for its id.
CARRIED: dict[str, tuple[Callable[..., TelegramMethod[Any]], str]] = {
    "animation": (SendAnimation, "animation"),
    "audio": (SendAudio, "audio"),
    "file": (SendDocument, "document"),
    "photo": (SendPhoto, "photo"),
    "sticker": (SendSticker, "sticker"),
    "video": (SendVideo, "video"),
    "video_note": (SendVideoNote, "video_note"),
    "voice": (SendVoice, "voice"),
}


class Methods:
    """The rarer methods, for one bot; each raises what the wire raises."""

    def __init__(self, wire: Wire, token: str, clock: Clock) -> None:
        self._wire = wire
        self._clock = clock
        self._public: dict[int | str, tuple[datetime, bool]] = {}  # chat → (asked at, answer)
        self._session = AiohttpSession()
        self._bot = Bot(token, session=self._session)

    # ---- being reached

    async def unhook(self) -> None:
        """Have updates wait to be fetched; what already waits is kept."""
        await self._ask(DeleteWebhook(drop_pending_updates=False), bool)

    async def hook(self, url: str, secret: str, kinds: list[str]) -> None:
        """Have updates brought to an address; what already waits is kept."""
        await self._ask(
            SetWebhook(
                url=url, secret_token=secret, allowed_updates=kinds, drop_pending_updates=False
            ),
            bool,
        )

    async def menu(self, commands: list[tuple[str, str]], scope: str, language: str) -> None:
        """Show these commands in a language ("" for the others).

        scope: "default", "all_private_chats", "all_chat_administrators", or a chat's id
        """
        listed = [
            BotCommand(command=name, description=fitting(said, LONGEST_DESCRIPTION))
            for name, said in commands[:COMMANDS]
        ]
        where = SCOPES.get(scope) or BotCommandScopeChat(chat_id=int(scope))
        await self._ask(
            SetMyCommands(commands=listed, scope=where, language_code=language[:2] or None), bool
        )

    # ---- saying

    async def show(self, piece: Piece, place: dict[str, Any]) -> int:
        """Send a picture or a file with its caption; returns the message's id.

        place: chat_id, and whatever else of the common parameters applies
        """
        if piece.image is not None:
            picture = BufferedInputFile(piece.image, "picture.png")
            method: TelegramMethod[Any] = SendPhoto(photo=picture, caption=piece.text, **place)
        elif piece.file is not None:
            name, contents = piece.file
            document = BufferedInputFile(contents, plain(name))
            method = SendDocument(document=document, caption=piece.text, **place)
        else:
            kind, ref, _ = piece.media or ("", "", "")
            if kind not in CARRIED:
                raise Impossible(f"Telegram cannot carry: {kind}")
            send, field = CARRIED[kind]
            caption = {"caption": piece.text} if piece.text else {}
            method = send(**{field: ref}, **caption, **place)
        return (await self._ask(method, Posted)).message_id

    async def edited(self, text: str, place: dict[str, Any]) -> bool:
        """Replace a message's words and buttons; whether it was still there to be edited.

        place: chat_id, message_id, and the buttons it is to have, if any
        No words leave the words as they are.
        """
        try:
            await self._edit(text, place)
        except Refused as refused:
            if refused.says("message is not modified"):
                return True
            if refused.says("to edit not found", "can't be edited", "message_id_invalid"):
                return False
            raise
        return True

    async def recaptioned(self, text: str, place: dict[str, Any]) -> bool:
        """Replace the words said with something that was carried; whether Telegram did so.

        They are its caption, or a message of their own where they are too long for one.
        """
        method: TelegramMethod[Any] = (
            EditMessageCaption(caption=text, **place)
            if units(text) <= LONGEST_CAPTION
            else EditMessageText(text=text, link_preview_options=NO_PREVIEW, **place)
        )
        try:
            await self._ask(method, Any)
        except Refused as refused:
            return refused.says("message is not modified")
        return True

    async def _edit(self, text: str, place: dict[str, Any]) -> None:
        if not text:
            await self._ask(EditMessageReplyMarkup(**place), Any)
            return
        try:
            await self._ask(
                EditMessageText(text=text, link_preview_options=NO_PREVIEW, **place), Any
            )
        except Refused as refused:
            if not refused.says("no text in the message"):
                raise
            await self._ask(EditMessageCaption(caption=text, **place), Any)

    # ---- doing

    async def do(
        self, chat: int | str, thread: str, ability: Ability, words: dict[str, Any]
    ) -> dict[str, Any]:
        """Do it; returns what came of it."""
        match ability:
            case Ability.MAKE_LINK:
                return await self._make_link(chat, words)
            case Ability.APPROVE:
                return await self._approve(chat, whole(words.get("person")))
            case Ability.DECLINE:
                return await self._decline(chat, whole(words.get("person")))
            case Ability.OPEN_THREAD:
                return await self._open_thread(chat, str(words.get("title") or "…"))
            case Ability.CLOSE_THREAD:
                return await self.turn_thread(
                    chat, whole(words.get("thread") or thread), closed=words.get("closed", True)
                )
            case Ability.DELETE:
                return await self._delete(chat, whole(words.get("message")))
            case Ability.RIGHTS:
                return await self._rights(chat, kind=str(words.get("kind") or "group"))
            case Ability.SIGN:
                return await self._sign(chat, words)

    async def turn_thread(self, chat: int | str, thread: int, *, closed: bool) -> dict[str, Any]:
        """Close a topic, or open it again; no matter if it is so already."""
        method = (CloseForumTopic if closed else ReopenForumTopic)(
            chat_id=chat, message_thread_id=thread
        )
        with_it_so = ("topic_not_modified",)
        return await self._unless(with_it_so, method)

    async def _make_link(self, chat: int | str, words: dict[str, Any]) -> dict[str, Any]:
        """Make a link by which it can be told who came.

        Most apps join a public chat directly, and then Telegram tells of no link; but of whoever
        asks to join it does.
        """
        asking = bool(words.get("request")) or await self._is_public(chat)
        link = await self._ask(
            CreateChatInviteLink(
                chat_id=chat,
                name=fitting(str(words.get("name") or ""), LONGEST_NAME),
                creates_join_request=asking,
            ),
            _Link,
        )
        return {"link": link.invite_link}

    async def _is_public(self, chat: int | str) -> bool:
        """Whether anybody can find the chat by its name; Telegram is asked now and then."""
        now = self._clock.now()
        asked_at, public = self._public.get(chat, (None, False))
        if asked_at is None or now - asked_at >= KNOWN_FOR:
            place = await self._ask(GetChat(chat_id=chat), _Place)
            public = bool(place.username or place.active_usernames)
            self._public[chat] = now, public
        return public

    async def _approve(self, chat: int | str, person: int) -> dict[str, Any]:
        already = ("user_already_participant",)
        return await self._unless(already, ApproveChatJoinRequest(chat_id=chat, user_id=person))

    async def _decline(self, chat: int | str, person: int) -> dict[str, Any]:
        withdrawn = ("hide_requester_missing",)
        return await self._unless(withdrawn, DeclineChatJoinRequest(chat_id=chat, user_id=person))

    async def _open_thread(self, chat: int | str, title: str) -> dict[str, Any]:
        topic = await self._ask(
            CreateForumTopic(chat_id=chat, name=fitting(title, LONGEST_TITLE)), _Topic
        )
        return {"thread": str(topic.message_thread_id)}

    async def _delete(self, chat: int | str, message: int) -> dict[str, Any]:
        gone = ("to delete not found",)
        return await self._unless(gone, DeleteMessage(chat_id=chat, message_id=message))

    async def _sign(self, chat: int | str, words: dict[str, Any]) -> dict[str, Any]:
        emoji = str(words.get("emoji") or "")
        reaction = [ReactionTypeEmoji(emoji=emoji)] if emoji else []
        message = whole(words.get("message"))
        await self._ask(
            SetMessageReaction(chat_id=chat, message_id=message, reaction=[*reaction]), bool
        )
        return {}

    async def _rights(self, chat: int | str, *, kind: str) -> dict[str, Any]:
        """What we lack in a place that is for this, who leads it, and what it is.

        A staff place without topics lacks no right to manage them: it lacks the topics.
        """
        place = await self._ask(GetChat(chat_id=chat), _Place)
        told = {"missing": [], "admins": [], "forum": place.is_forum, "title": place.title}
        if place.type == "private":
            return told
        me = await self._ask(GetChatMember(chat_id=chat, user_id=self._bot.id), dict[str, Any])
        leaders = await self._ask(GetChatAdministrators(chat_id=chat), list[_Leader])
        needed = () if kind == "staff" and not place.is_forum else NEEDED.get(kind, ())
        return told | {
            "missing": [
                right for right in needed if me.get("status") != "creator" and not me.get(right)
            ],
            "admins": [str(one.user.id) for one in leaders if not one.user.is_bot],
        }

    # ---- asking

    async def _unless(
        self, reasons: tuple[str, ...], method: TelegramMethod[Any]
    ) -> dict[str, Any]:
        """Ask, and be content if Telegram refuses because it is so already."""
        try:
            await self._ask(method, bool)
        except Refused as refused:
            if not refused.says(*reasons):
                raise
        return {}

    async def _ask(self, method: TelegramMethod[Any], shape: type[T]) -> T:
        form = self._session.build_form_data(self._bot, method)
        return await self._wire.submit(method.__api_method__, form, shape)


SCOPES: dict[str, BotCommandScopeUnion] = {
    "default": BotCommandScopeDefault(),
    "all_private_chats": BotCommandScopeAllPrivateChats(),
    "all_chat_administrators": BotCommandScopeAllChatAdministrators(),
}


class _Link(msgspec.Struct):
    invite_link: str


class _Topic(msgspec.Struct):
    message_thread_id: int


class _Place(msgspec.Struct):
    type: str
    title: str = ""
    is_forum: bool = False
    username: str = ""
    active_usernames: list[str] = []


class _Account(msgspec.Struct):
    id: int
    is_bot: bool = False


class _Leader(msgspec.Struct):
    user: _Account
