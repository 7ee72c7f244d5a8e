"""The parts of Telegram's updates that we read, and how they are read from bytes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Annotated, Any

import msgspec


class User(msgspec.Struct):
    """A person, or a bot."""

    id: int
    is_bot: bool = False
    first_name: str = ""
    last_name: str = ""
    language_code: str = ""


class Chat(msgspec.Struct):
    """A private chat, a group or a channel."""

    id: int
    type: str
    title: str = ""
    is_forum: bool = False


class Entity(msgspec.Struct):
    """Something marked in a text; offset and length count UTF-16 units."""

    type: str
    offset: int
    length: int
    user: User | None = None


class File(msgspec.Struct):
    """Something that can be sent again by its id."""

    file_id: str
    file_name: str = ""
    width: int = 0
    height: int = 0


class Replied(msgspec.Struct):
    """The message that another one answers."""

    message_id: int
    sender: User | None = msgspec.field(name="from", default=None)


class Message(msgspec.Struct):
    """What somebody said, or a note of Telegram's own about the chat."""

    message_id: int
    date: int
    chat: Chat
    sender: User | None = msgspec.field(name="from", default=None)
    sender_chat: Chat | None = None
    edit_date: int = 0
    message_thread_id: int = 0
    is_topic_message: bool = False
    reply_to_message: Replied | None = None
    forward_origin: Any = None
    forward_date: int = 0  # from servers older than forward_origin
    is_automatic_forward: bool = False  # a channel's post, brought here without anybody
    text: str = ""
    caption: str = ""
    entities: list[Entity] = []
    caption_entities: list[Entity] = []
    # What can be sent again.  Telegram adds a document to every animation, so that comes first.
    photo: list[File] = []
    animation: File | None = None
    document: File | None = None
    voice: File | None = None
    video: File | None = None
    video_note: File | None = None
    audio: File | None = None
    sticker: File | None = None
    # What cannot.
    checklist: Any = None
    contact: Any = None
    dice: Any = None
    game: Any = None
    live_photo: Any = None
    location: Any = None
    paid_media: Any = None
    poll: Any = None
    rich_message: Any = None
    story: Any = None
    venue: Any = None
    # Telegram's own notes.
    new_chat_members: list[User] = []
    left_chat_member: User | None = None
    migrate_to_chat_id: int = 0
    migrate_from_chat_id: int = 0


class Under(msgspec.Struct):
    """The message under whose button somebody pressed; too old a one has no more than this."""

    message_id: int
    chat: Chat
    message_thread_id: int = 0
    is_topic_message: bool = False


class Press(msgspec.Struct):
    """A pressed button."""

    id: str
    sender: User = msgspec.field(name="from")
    message: Under | None = None
    data: str = ""


class Standing(msgspec.Struct):
    """What somebody is in a chat."""

    status: str
    user: User
    is_member: bool = False  # said of the restricted only

    @property
    def present(self) -> bool:
        """Whether they are in the chat."""
        return self.status in {"creator", "administrator", "member"} or (
            self.status == "restricted" and self.is_member
        )

    @property
    def ranked(self) -> bool:
        """Whether they are an administrator of it."""
        return self.status in {"creator", "administrator"}


class Link(msgspec.Struct):
    """The invite link somebody came by."""

    invite_link: str


class Change(msgspec.Struct):
    """Somebody is something else in a chat than before; `sender` is who made them so."""

    chat: Chat
    date: int
    sender: User = msgspec.field(name="from")
    old_chat_member: Standing
    new_chat_member: Standing
    invite_link: Link | None = None


class OwnChange(msgspec.Struct):
    """The bot itself is something else in a chat than before."""

    chat: Chat
    date: int
    sender: User = msgspec.field(name="from")
    new_chat_member: dict[str, Any]


class JoinRequest(msgspec.Struct):
    """Somebody wants to come in."""

    chat: Chat
    date: int
    sender: User = msgspec.field(name="from")
    invite_link: Link | None = None


class Update(msgspec.Struct):
    """One update: its number, and one of these."""

    update_id: Annotated[int, msgspec.Meta(ge=0, le=2**62)]
    message: Message | None = None
    edited_message: Message | None = None
    callback_query: Press | None = None
    my_chat_member: OwnChange | None = None
    chat_member: Change | None = None
    chat_join_request: JoinRequest | None = None


# ---------------------------------------------------------------- reading


def several(body: bytes) -> list[bytes]:
    """The updates in an answer to getUpdates, each still to be read.

    Where the answer as a whole is no JSON, because of one update in it, they are cut out by their
    braces; a last one that is cut off is left out, so that it is asked for again.
    """
    try:
        return [bytes(item) for item in _ANSWERS.decode(body).result]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return [*_cut(body)]


def understood(raw: bytes) -> Update:
    """The update in these bytes, its strings without NUL and lone surrogates; raises if none is.

    msgspec is strict about surrogates, which people do send, and no database takes a NUL: those
    few updates are read again with patience.
    """
    if b"\\u0000" not in raw:
        try:
            return _UPDATES.decode(raw)
        except msgspec.ValidationError:
            raise
        except (msgspec.DecodeError, UnicodeDecodeError):
            pass
    return msgspec.convert(_cleaned(json.loads(raw.decode("utf-8", "replace"))), Update)


def number_in(raw: bytes) -> int | None:
    """The update_id of an update that cannot be read, if it can be made out."""
    found = _NUMBER.search(raw)
    return int(found[1]) if found else None


def _cleaned(value: Any) -> Any:
    match value:
        case str():
            return (
                value.replace("\0", "")
                .encode("utf-16", "surrogatepass")
                .decode("utf-16", "replace")
            )
        case list():
            return [_cleaned(item) for item in value]
        case dict():
            return {_cleaned(key): _cleaned(item) for key, item in value.items()}
    return value


_BEGINNING = re.compile(rb'\{\s*+"update_id"\s*+:')
_END = re.compile(rb"\]\s*+\}\s*+\Z")  # of an answer that came whole
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[\[\]{}]', re.DOTALL)


def _cut(body: bytes) -> Iterator[bytes]:
    """Every object in the array "result", found without going down into it.

    A quotation mark too many in one of them hides where it ends: then it ends where the next
    update begins, which tells its number first.
    """
    opened = re.search(rb'"result"\s*+:\s*+\[', body)
    at = opened.end() if opened else len(body)
    beginnings = (found.start() for found in _BEGINNING.finditer(body, at))
    following = next(beginnings, len(body))
    while (span := _braced(body, at)) is not None:
        begun, end = span
        while following <= begun:
            following = next(beginnings, len(body))
        if end is not None and end <= following:
            at = end
        elif following < len(body):
            at = following
        elif (closed := _END.search(body, begun)) is not None:
            at = closed.start()
        else:
            return
        yield body[begun:at].rstrip(b", \t\r\n")


def _braced(body: bytes, at: int) -> tuple[int, int | None] | None:
    """Where the next object begins and ends; its end is None where braces do not match."""
    depth = begun = 0
    for token in _TOKEN.finditer(body, at):
        match token[0]:
            case b"{" | b"[":
                begun = token.start() if depth == 0 else begun
                depth += 1
            case b"}" | b"]":
                depth -= 1
                if depth < 0:
                    return None
                if depth == 0:
                    return begun, token.end()
    return (begun, None) if depth else None


class _Answer(msgspec.Struct):
    result: list[msgspec.Raw]


_UPDATES = msgspec.json.Decoder(Update)
_ANSWERS = msgspec.json.Decoder(_Answer)
_NUMBER = re.compile(rb'"update_id"\s*+:\s*+(\d{1,18})(?!\d)')  # quotes in a text are escaped
