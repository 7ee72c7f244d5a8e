"""Channels: how the bot hears and speaks; each adapts one platform to the vocabulary."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from handlers.turn import Event, To


class Ability(StrEnum):
    """An Act that a channel may be able to do, with its words and what comes of it."""

    MAKE_LINK = "make_link"  # name → link: a personal invitation into the place
    APPROVE = "approve"  # person → {}: let somebody in who asked to join the place
    DECLINE = "decline"  # person → {}
    OPEN_THREAD = "open_thread"  # title → thread: a topic in the staff place
    CLOSE_THREAD = "close_thread"  # thread, closed → {}: mark a topic as done, or open again
    DELETE = "delete"  # message → {}
    RIGHTS = "rights"  # → missing: [right]; admins: [person id]; forum: bool; title
    SIGN = "sign"  # message, emoji → {}: a reaction on a message


@dataclass(frozen=True, slots=True)
class Malformed:
    """A payload that could not be read, kept whole."""

    id: str
    payload: str
    reason: str


async def _at_once() -> None:
    return


@dataclass(frozen=True, slots=True)
class Said:
    """A reply in the reader's language, ready for a channel to put in its own form.

    text:     plain text; channels escape for themselves
    buttons:  rows of (label, data, url); either data or url is empty
    image:    a PNG drawn for this message
    media:    (kind, ref, name) of things somebody sent on this same channel, to be copied
    file:     (name, contents) of a document made for this reader, such as "your-data.json"; send
              it as a file to download, with `text` as its caption
    reply_to: the channel's id of the message answered
    edits:    the channel's id of the message to replace instead of sending a new one
    carried:  these are somebody's own words, brought here from another chat
    turn:     to be awaited before each message after the first, where it takes several: the
              platform counts every one of them
    """

    text: str
    buttons: tuple[tuple[tuple[str, str, str], ...], ...] = ()
    image: bytes | None = None
    media: tuple[tuple[str, str, str], ...] = ()
    file: tuple[str, bytes] | None = None
    reply_to: str = ""
    edits: str = ""
    carried: bool = False
    key: str = ""  # which text this is, and with what in its blanks: for logs and tests
    words: dict[str, Any] = field(default_factory=dict)
    turn: Callable[[], Awaitable[None]] = field(default=_at_once, compare=False, repr=False)


class NotNow(Exception):
    """The channel asks us to slow down; try again after `seconds`.

    everywhere: it means the whole channel, not this chat alone
    """

    def __init__(self, seconds: float, *, everywhere: bool = False) -> None:
        super().__init__(f"{seconds} s")
        self.seconds = seconds
        self.everywhere = everywhere


class Unreachable(Exception):
    """The person has blocked us, or the chat is gone; saying it again is of no use."""


class Impossible(Exception):
    """The platform will never accept this message or act; the reason is its own."""


class ThreadGone(Exception):
    """The topic was deleted; open another."""


class PlaceMoved(Exception):
    """The chat has a new id."""

    def __init__(self, to: str) -> None:
        super().__init__(to)
        self.to = to


class Faltered(Exception):
    """Nobody knows whether it was sent: the connection broke, or the platform failed.

    unsent: it certainly was not
    """

    def __init__(self, reason: str, *, unsent: bool = False) -> None:
        super().__init__(reason)
        self.unsent = unsent


# Takes a batch into our care: returns once it is safe, and only then may the platform be told.
Intake = Callable[[Sequence[Event | Malformed]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a platform lets us say."""

    per_chat: float  # messages a second
    per_group: float  # messages a minute
    overall: float  # messages a second


# (role, language) → [(command, description)]
Menus = dict[tuple[str, str], list[tuple[str, str]]]


class Channel(Protocol):
    """One platform.  `send` and `do` raise only the exceptions of this file."""

    name: str
    abilities: frozenset[Ability]
    limits: Limits | None

    async def open(self, intake: Intake) -> None:
        """Say hello to the platform; raise with a clear message if it does not know us."""

    async def listen(self) -> None:
        """Hand everything that happens to `intake`, until cancelled."""

    async def send(self, to: To, said: Said) -> str:
        """Say it; returns the platform's id of the message."""

    async def do(self, to: To, ability: Ability, words: dict[str, Any]) -> dict[str, Any]:
        """Do it; returns what came of it, as beside each Ability."""

    async def acknowledge(self, press: str) -> None:
        """Tell the platform that a pressed button was heard."""

    async def announce(self, menus: Menus, staff: Sequence[str]) -> None:
        """Register the menus; that of staff is shown in these chats, where they work."""

    async def close(self) -> None:
        """Let go of the platform."""

    def fresh(self) -> datetime | None:
        """When the platform was last heard from (aware); None if never yet."""
