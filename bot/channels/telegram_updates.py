"""Telegram's updates, told as events."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum, auto

from bot.channels import Malformed
from bot.channels.telegram_shapes import (
    Change,
    Chat,
    JoinRequest,
    Message,
    OwnChange,
    Press,
    Replied,
    Under,
    Update,
    User,
    number_in,
    understood,
)
from handlers.turn import Event, Kind, Media, Person, Where


@dataclass(frozen=True, slots=True)
class Me:
    """Who is listening: our name for the channel, and the bot's account."""

    channel: str
    id: int
    username: str


@dataclass(frozen=True, slots=True)
class Heard:
    """What came of one update; `number` is its update_id, where one could be found."""

    number: int | None
    events: tuple[Event | Malformed, ...]


def heard(raw: bytes, me: Me, now: datetime) -> Heard:
    """Read one update; never raises.

    now: for pressed buttons, which Telegram does not date
    An update of a kind we have no word for, or that tells of nothing a person did, gives no event
    and is to be acknowledged like any other.  One that cannot be read is kept whole, as Malformed.
    Its events have the update_id for their id, or "update_id:n" where it gives several, but for
    MOVED, of which Telegram sends two updates: both give the same id.
    """
    try:
        update = understood(raw)
        return Heard(update.update_id, tuple(_events(update, me, now)))
    # Whatever is wrong with one update must not stop its neighbours.
    except Exception as fault:
        return _malformed(raw, fault)


def _malformed(raw: bytes, fault: Exception) -> Heard:
    payload = raw.decode("utf-8", "replace").replace("\0", "\ufffd")
    number = number_in(raw)
    name = f"?{hashlib.sha256(raw).hexdigest()[:16]}" if number is None else str(number)
    reason = f"{type(fault).__name__}: {fault}"[:200]
    return Heard(number, (Malformed(name, payload, reason),))


# ---------------------------------------------------------------- telling


def _events(update: Update, me: Me, now: datetime) -> Iterable[Event]:
    number = str(update.update_id)
    if update.message:
        return _message(update.message, number, me)
    if update.edited_message:
        return _said(update.edited_message, Kind.EDITED, number, me)
    if update.callback_query:
        return _pressed(update.callback_query, number, me, now)
    if update.chat_member:
        return _changed(update.chat_member, number, me)
    if update.my_chat_member:
        return [_own_change(update.my_chat_member, number, me)]
    if update.chat_join_request:
        return _asked(update.chat_join_request, number, me)
    return ()


def _message(message: Message, number: str, me: Me) -> Iterable[Event]:
    if message.migrate_to_chat_id or message.migrate_from_chat_id:
        return [_moved(message, me)]
    if message.new_chat_members:
        return _came(message, Kind.JOINED, message.new_chat_members, number, me)
    if message.left_chat_member:
        return _came(message, Kind.LEFT, [message.left_chat_member], number, me)
    return _said(message, Kind.SAID, number, me)


def _moved(message: Message, me: Me) -> Event:
    """A group has a new id; told once in the old group and once in the new one."""
    old = message.migrate_from_chat_id or message.chat.id
    new = message.migrate_to_chat_id or message.chat.id
    return Event(
        kind=Kind.MOVED,
        channel=me.channel,
        id=f"moved:{old}:{new}",
        at=_moment(message.date),
        where=Where(id=str(old), private=False, title=message.chat.title),
        data=str(new),
    )


def _came(
    message: Message, kind: Kind, people: Sequence[User], number: str, me: Me
) -> Iterator[Event]:
    """Those whom a note in the chat says to have come or gone; bots are furniture."""
    for index, user in enumerate(people, 1):
        if not user.is_bot:
            yield Event(
                kind=kind,
                channel=me.channel,
                id=number if len(people) == 1 else f"{number}:{index}",
                at=_moment(message.date),
                person=_person(user),
                where=_where(message),
                message=str(message.message_id),
            )


def _said(message: Message, kind: Kind, number: str, me: Me) -> Iterator[Event]:
    """What a person said; nothing for what bots say, and for Telegram's notes on the chat.

    Who speaks in the name of a chat (an anonymous administrator, a channel) is the anonymous
    person "chat:<id>".  Their commands are told, so that they learn why none is obeyed; with
    anything else they never address us.  A command in a channel's post, which Telegram itself
    brings into the channel's group, is dropped.  A command that was forwarded is somebody else's,
    so an arrow before it makes it talk.
    """
    person, media = _speaker(message), _media(message)
    sort = "" if message.text or message.caption or media else _sort(message)
    text, named = _without_our_name(message, me)
    hidden = message.sender_chat is not None
    if person is None or not (message.text or message.caption or media or sort):
        return
    command = text.startswith("/")
    if command:
        if message.is_automatic_forward:
            return
        if message.forward_origin or message.forward_date:
            text, command = f"↪ {text}", False
    text, called = _called(text, me)
    answered = _answered(message)
    ours = answered is not None and answered.sender is not None and answered.sender.id == me.id
    addressed = message.chat.type == "private" or named or ours or called is Called.US
    yield Event(
        kind=kind,
        channel=me.channel,
        id=number,
        at=_moment(message.edit_date or message.date),
        person=person,
        where=_where(message),
        text=text,
        message=str(message.message_id),
        reply_to=str(answered.message_id) if answered else "",
        addressed=addressed and called is not Called.ANOTHER and (command or not hidden),
        media=media,
        words={"sort": sort} if sort else {},
    )


def _pressed(press: Press, number: str, me: Me, now: datetime) -> Iterator[Event]:
    """A pressed button of ours; nothing for games, and for messages sent through inline mode."""
    if press.data and press.message:
        yield Event(
            kind=Kind.PRESSED,
            channel=me.channel,
            id=number,
            at=now,
            person=_person(press.sender),
            where=_where(press.message),
            message=str(press.message.message_id),
            data=press.data,
            press=press.id,
        )


def _changed(change: Change, number: str, me: Me) -> Iterator[Event]:
    """Who came, went, or was made an administrator; `sender` may be somebody else who did it."""
    before, after = change.old_chat_member, change.new_chat_member
    told: list[tuple[Kind, str]] = []
    if after.present and not before.present:
        told.append((Kind.JOINED, change.invite_link.invite_link if change.invite_link else ""))
    if before.present and not after.present:
        told.append((Kind.LEFT, ""))
    if after.ranked != before.ranked:
        told.append((Kind.RANKED, "admin" if after.ranked else "member"))
    for index, (kind, data) in enumerate(told if not after.user.is_bot else (), 1):
        yield Event(
            kind=kind,
            channel=me.channel,
            id=number if len(told) == 1 else f"{number}:{index}",
            at=_moment(change.date),
            person=_person(after.user),
            where=_place(change.chat),
            data=data,
        )


def _own_change(change: OwnChange, number: str, me: Me) -> Event:
    """In private: the person has stopped us, or let us in again; elsewhere: what we may do now.

    There `words` has our `status`, the names of our `rights`, and whether it is a `forum`.
    """
    status = str(change.new_chat_member.get("status", ""))
    private = change.chat.type == "private"
    rights = sorted(
        name
        for name, given in change.new_chat_member.items()
        if name.startswith("can_") and given is True
    )
    back = Kind.BLOCKED if status == "kicked" else Kind.RETURNED
    return Event(
        kind=back if private else Kind.ADDED,
        channel=me.channel,
        id=number,
        at=_moment(change.date),
        person=None if change.sender.is_bot else _person(change.sender),
        where=_place(change.chat),
        words={}
        if private
        else {"status": status, "rights": rights, "forum": change.chat.is_forum},
    )


def _asked(request: JoinRequest, number: str, me: Me) -> Iterator[Event]:
    if not request.sender.is_bot:
        yield Event(
            kind=Kind.ASKED_TO_JOIN,
            channel=me.channel,
            id=number,
            at=_moment(request.date),
            person=_person(request.sender),
            where=_place(request.chat),
            data=request.invite_link.invite_link if request.invite_link else "",
        )


# ---------------------------------------------------------------- parts of a message


def _speaker(message: Message) -> Person | None:
    """Who said it; None for a bot.  A chat is not a person, so its id cannot be a member's."""
    if message.sender_chat:
        chat = message.sender_chat
        return Person(id=f"chat:{chat.id}", name=chat.title, anonymous=True)
    if message.sender is None or message.sender.is_bot:
        return None
    return _person(message.sender)


def _person(user: User) -> Person:
    return Person(
        id=str(user.id),
        name=f"{user.first_name} {user.last_name}".strip(),
        language=user.language_code,
    )


def _place(chat: Chat, thread: str = "") -> Where:
    return Where(id=str(chat.id), private=chat.type == "private", title=chat.title, thread=thread)


def _where(message: Message | Under) -> Where:
    """The chat and its topic; outside of forums a thread id only tells of a chain of replies."""
    topic = message.is_topic_message and message.message_thread_id
    return _place(message.chat, str(message.message_thread_id) if topic else "")


def _answered(message: Message) -> Replied | None:
    """The message it answers; what opened the topic is answered by all that is said in it."""
    replied = message.reply_to_message
    if replied and message.is_topic_message and replied.message_id == message.message_thread_id:
        return None
    return replied


def _media(message: Message) -> tuple[Media, ...]:
    if message.photo:
        largest = max(message.photo, key=lambda size: size.width * size.height)
        return (Media(kind="photo", ref=largest.file_id),)
    for kind, file in (
        ("animation", message.animation),
        ("file", message.document),
        ("voice", message.voice),
        ("video", message.video),
        ("video_note", message.video_note),
        ("audio", message.audio),
        ("sticker", message.sticker),
    ):
        if file:
            return (Media(kind=kind, ref=file.file_id, name=file.file_name),)
    return ()


def _sort(message: Message) -> str:
    """What else somebody said it with, such as a location; empty for Telegram's own notes."""
    return next((sort for sort in SORTS if getattr(message, sort) is not None), "")


SORTS = (
    "checklist",
    "contact",
    "dice",
    "game",
    "live_photo",
    "venue",  # which has a location too
    "location",
    "paid_media",
    "poll",
    "rich_message",
    "story",
)


def _without_our_name(message: Message, me: Me) -> tuple[str, bool]:
    """The text or caption without mentions of us, and whether there was one."""
    text = message.text or message.caption
    marks = [one for one in message.entities or message.caption_entities if _names(one.type)]
    if not marks:
        return text, False
    units = text.encode("utf-16-le")
    pieces: list[bytes] = []
    begun = 0
    for one in marks:
        start, end = 2 * max(one.offset, 0), 2 * max(one.offset + one.length, 0)
        name = units[start:end].decode("utf-16-le", "ignore").casefold()
        if one.user.id == me.id if one.user else name == f"@{me.username}".casefold():
            pieces.append(units[begun:start])
            begun = end
    if not pieces:
        return text, False
    words = (piece.decode("utf-16-le", "ignore").strip() for piece in (*pieces, units[begun:]))
    return " ".join(filter(None, words)).lstrip(" ,:，：、"), True


def _names(entity: str) -> bool:
    return entity in {"mention", "text_mention"}


class Called(Enum):
    """Whose command it is, where it says so."""

    NOBODY = auto()
    US = auto()
    ANOTHER = auto()


def _called(text: str, me: Me) -> tuple[str, Called]:
    """A command without "@ourname", and whom it calls; one that calls another bot stays whole."""
    found = _COMMAND.match(text)
    if found is None:
        return text, Called.NOBODY
    if found[2].casefold() != me.username.casefold():
        return text, Called.ANOTHER
    return f"{found[1]}{text[found.end() :]}", Called.US


_COMMAND = re.compile(r"(/\w+)@(\w+)")


def _moment(unix: int) -> datetime:
    return datetime.fromtimestamp(unix, UTC)
