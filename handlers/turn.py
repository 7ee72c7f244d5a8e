"""The vocabulary: what can happen, what can be answered, and the turn in which they meet."""

from __future__ import annotations

import random
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol, TypeVar
from zoneinfo import ZoneInfo

import msgspec

from knowledge.library import Library
from knowledge.model import Model, NoModel
from knowledge.search import Index
from knowledge.shelf import Rules
from knowledge.texts import Texts
from storage import conversations, facts, ids
from storage.communities import Community, Spot
from storage.conversations import Conversation
from storage.facts import Fact
from storage.members import Member
from storage.threads import Thread
from storage.writer import Change, Reader

S = TypeVar("S")

STALE = timedelta(days=1)  # what nobody asked for and could not be said for so long is not news
ANSWERED = "👌"  # on a question asked in a group and answered in private


class Clock(Protocol):
    """Where `now` comes from; tests and the playground move it."""

    def now(self) -> datetime:
        """The present moment (aware, UTC)."""


# ---------------------------------------------------------------- what happens


class Kind(StrEnum):
    """What sort of thing an event is."""

    SAID = "said"
    EDITED = "edited"
    PRESSED = "pressed"
    JOINED = "joined"
    LEFT = "left"
    LINKED = "linked"  # by which link (`data`) somebody came, of whom we know that they did
    ASKED_TO_JOIN = "asked_to_join"
    RANKED = (
        "ranked"  # the platform made someone an administrator, or no longer; `data` is the rank
    )
    BLOCKED = "blocked"  # the person stopped the bot in their private chat
    RETURNED = "returned"  # and let it in again
    ADDED = "added"  # the bot itself was put into a place, or its rights changed; `words` has them
    MOVED = "moved"  # a place has a new id (`data`) on its platform
    DID = "did"  # the channel has done an Act; `data` is the act's name, `words` what came of it
    WOKE = "woke"  # the clock


class Person(msgspec.Struct, frozen=True, omit_defaults=True):
    """Someone, as a channel knows them.  `name` is theirs to choose, so it proves nothing."""

    id: str
    name: str = ""
    language: str = ""  # the code the platform gives, such as "zh-hans"; may be empty
    anonymous: bool = False  # speaks in a chat's name, so that nobody can tell who it is


class Where(msgspec.Struct, frozen=True, omit_defaults=True):
    """A chat, as a channel knows it."""

    id: str
    private: bool = True
    title: str = ""
    thread: str = ""  # the channel's id of a forum topic, where there is one


class Media(msgspec.Struct, frozen=True, omit_defaults=True):
    """A picture or file somebody sent; `ref` is good on its own channel only."""

    kind: str  # "photo", "file", or another sort its channel can send again, such as "voice"
    ref: str
    name: str = ""


class Event(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One thing that happened, told the same way whatever channel it came by.

    `channel` and `id` together are unique, so that a repeat is known as one.
    `at` is aware UTC: when it happened, as the platform tells it.
    """

    kind: Kind
    channel: str
    id: str
    at: datetime
    person: Person | None = None
    where: Where | None = None
    text: str = ""
    message: str = ""  # the channel's id of the message said, edited, or under whose button it was
    reply_to: str = ""  # the message it answers, if any
    addressed: bool = True  # private, or in a group: the bot was mentioned or answered
    media: tuple[Media, ...] = ()
    data: str = ""  # a button's data, an invite link, a deep link's payload: see `Kind`
    press: str = ""  # what the channel needs in order to acknowledge a pressed button
    member: int = 0  # for WOKE and DID: whom it is about
    community: int = 0  # for WOKE and DID: where
    until: datetime | None = None  # for WOKE: not dealt with any more once this has passed
    words: dict[str, Any] = {}


# ---------------------------------------------------------------- what is answered


class Button(msgspec.Struct, frozen=True, omit_defaults=True):
    """A choice under a message: a text key and either what pressing it means, or a link."""

    key: str
    data: str = ""  # "capability.trigger" or "capability.trigger:argument"; at most 64 bytes
    url: str = ""
    words: dict[str, Any] = {}


class Picture(msgspec.Struct, frozen=True, omit_defaults=True):
    """A picture drawn when it is sent: its name in knowledge/pictures.py and what to draw."""

    name: str
    words: dict[str, Any] = {}


class File(msgspec.Struct, frozen=True):
    """A text file made for one reader, such as a copy of what is kept about them."""

    name: str  # with its ending, which tells what it is
    text: str


class Reply(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Something to say: a text key with its blanks, or words that are somebody's own."""

    key: str = ""
    words: dict[str, Any] = {}
    text: str = ""  # verbatim, when a person's words are carried; then `key` may frame them
    buttons: tuple[tuple[Button, ...], ...] = ()  # rows of buttons
    picture: Picture | None = None
    media: tuple[Media, ...] = ()
    file: File | None = None  # the text is then its caption
    reply_to: str = ""  # the channel's id of the message answered


class Act(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something to do on a channel that is not saying: `name` is an Ability."""

    name: str
    words: dict[str, Any] = {}


class To(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Where a message goes: a chat on a channel, and in which language."""

    channel: str
    place: str
    language: str
    thread: str = ""  # the channel's own topic id, when answering inside one
    thread_of: int = 0  # or: the staff topic of this member, opened when first needed
    private: bool = True


class Policy(StrEnum):
    """What to do when it is unknown whether a send succeeded."""

    AT_LEAST_ONCE = "at_least_once"  # say it again: answers, handoffs
    AT_MOST_ONCE = "at_most_once"  # leave it: welcomes, reminders, campaigns


class Letter(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One thing on its way out: a reply, an edit of an earlier one, or an act."""

    id: int
    community: int
    member: int  # whom it is to or about; 0 for nobody in particular
    to: To
    reply: Reply | None = None
    act: Act | None = None
    policy: Policy = Policy.AT_LEAST_ONCE
    prompted: bool = True  # an unprompted letter passes the gates
    topic: str = ""  # the capability that wrote it
    due: datetime | None = None
    until: datetime | None = None  # not said any more once this has passed
    edits: int = 0  # the letter whose message this one replaces
    mirrors: int = 0  # the interaction it carries to somebody else's chat
    epoch: int | None = None  # for the bot's own words: unsaid if the speaker has changed since
    attempts: int = 0


class Refusal(Exception):
    """The member asked for something we will not do, and we tell them why.

    Not a fault: nothing is logged as an error.  The turn is undone, and the
    member is shown the text `key`, filled with `words`.
    """

    def __init__(self, key: str, *, buttons: Sequence[Sequence[Button]] = (), **words: Any) -> None:
        super().__init__(key)
        self.reply = Reply(key=key, words=words, buttons=tuple(map(tuple, buttons)))


# ---------------------------------------------------------------- where it happens


class Book(Protocol):
    """Every capability's settings, with what a community changed of them."""

    def of(self, shape: type[S], community: str) -> S:
        """The settings of this shape, as they hold in the community of this name."""


class Shelf(Protocol):
    """What each community knows; nothing of one is seen from another."""

    def index(self, community: str) -> Index:
        """The searchable knowledge of the community of this name; empty if it has none."""

    def rules(self, community: str) -> Rules:
        """The rules of the community of this name."""

    def library(self, community: str) -> Library:
        """Everything the community of this name knows."""


@dataclass(frozen=True, slots=True)
class World:
    """Everything a turn may use that is not the event or the database."""

    clock: Clock
    random: random.Random
    texts: Texts
    settings: Book
    shelf: Shelf
    ids: ids.Ids
    commands: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # role → commands
    links: Mapping[str, str] = field(default_factory=dict)  # channel → deep link, with {payload}
    pages: str = ""  # where the dashboard is, without a slash at the end; empty: nowhere
    pages_here: bool = True  # and only whoever sits at this machine can open it
    abilities: Mapping[str, frozenset[str]] = field(default_factory=dict)  # channel → acts
    model: Model = field(default_factory=NoModel)  # may choose among our answers; writes none
    policy_url: str = ""
    in_file: frozenset[str] = frozenset()  # the communities that config.toml names
    keep_days: int = 365  # how long what was said and heard is kept
    secret: Callable[[], str] = lambda: secrets.token_urlsafe(15)  # fit for a link, guessed by none


@dataclass(slots=True)
class Turn:
    """One event being dealt with, at a single `now`.  Its verbs only note; nothing is done yet.

    A turn may be played twice, so a handler has no effects but these notes.
    """

    event: Event
    world: World
    db: Reader
    now: datetime  # aware, UTC
    community: Community
    member: Member  # who said, pressed, joined; for the clock: whom it is about
    conversation: Conversation
    spot: Spot | None = None  # the place, when it is one we know
    thread: Thread | None = None  # the staff topic this was said in
    subject: Member | None = None  # and the member that topic is about
    rest: str = ""  # what followed the command, or a button's argument
    topic: str = ""  # the capability now speaking
    turn_id: int = 0  # the pending row, and later the row in the log
    notes: list[Change] = field(default_factory=list)
    letters: list[Letter] = field(default_factory=list)
    woken: list[tuple[datetime, Event]] = field(default_factory=list)
    recorded: list[tuple[Fact, int, int]] = field(default_factory=list)  # fact, amount, about
    fact: tuple[Fact, int, int] | None = None  # what a listener is hearing of

    # ---- reading

    @property
    def zone(self) -> ZoneInfo:
        """The member's own zone; the community's until they set one."""
        return ZoneInfo(self.member.zone or self.community.zone)

    @property
    def today(self) -> date:
        """The member's own calendar day when the event happened."""
        return self.event.at.astimezone(self.zone).date()

    @property
    def language(self) -> str:
        """The language to answer the member in."""
        return self.member.language or self.community.language

    @property
    def private(self) -> bool:
        """Whether this happened between the member and the bot alone."""
        return self.event.where is None or self.event.where.private

    def settings(self, shape: type[S]) -> S:
        """The capability's settings as they hold in this community."""
        return self.world.settings.of(shape, self.community.name)

    def once(self, key: object) -> str:
        """How `record` keeps a member's own `once` key, for asking whether it is known."""
        return f"{self.member.id}:{key}"

    # ---- noting

    def note(self, *changes: Change) -> None:
        """Change what is remembered, together with everything else in this turn."""
        self.notes.extend(changes)

    def say(
        self,
        key: str,
        *,
        to: To | None = None,
        buttons: Sequence[Sequence[Button]] = (),
        picture: Picture | None = None,
        prompted: bool | None = None,
        policy: Policy | None = None,
        stale: timedelta | None = None,
        bot_speaks: bool = False,
        **words: Any,
    ) -> int:
        """Say the text `key`, filled with `words`; returns the letter's id.

        to:         `here` (the default), `at_home(member)` or `with_staff(member)`
        prompted:   False for what nobody asked for, which then passes the gates;
                    None: only what the clock starts is unprompted
        stale:      it is dropped if it could not be said for so long; None for the usual: a day
                    for what nobody asked for, and never for an answer
        bot_speaks: a machine's answer, unsaid if a human has taken over by the time it leaves
        """
        reply = Reply(key=key, words=words, buttons=tuple(map(tuple, buttons)), picture=picture)
        return self.send(
            reply, to=to, prompted=prompted, policy=policy, stale=stale, bot_speaks=bot_speaks
        )

    def send(
        self,
        reply: Reply,
        *,
        to: To | None = None,
        prompted: bool | None = None,
        policy: Policy | None = None,
        stale: timedelta | None = None,
        bot_speaks: bool = False,
        about: int | None = None,
        mirrors: int = 0,
        edits: int = 0,
    ) -> int:
        """Like `say`, for a reply already made: a carried message, an edit.  Returns its id."""
        asked_for = self.event.kind is not Kind.WOKE if prompted is None else prompted
        usual = Policy.AT_LEAST_ONCE if asked_for else Policy.AT_MOST_ONCE
        stale = stale if stale is not None or asked_for else STALE
        letter = Letter(
            id=self.world.ids.take(),
            community=self.community.id,
            member=self.member.id if about is None else about,
            to=to or self.here,
            reply=reply,
            policy=policy or usual,
            prompted=asked_for,
            topic=self.topic,
            mirrors=mirrors,
            edits=edits,
            until=None if stale is None else self.now + stale,
            epoch=self.conversation.epoch if bot_speaks else None,
        )
        self.letters.append(letter)
        return letter.id

    def do(
        self, name: str, /, *, to: To | None = None, member: int | None = None, **words: Any
    ) -> None:
        """Have the channel do an Act; what comes of it arrives as a DID event."""
        self.letters.append(
            Letter(
                id=self.world.ids.take(),
                community=self.community.id,
                member=self.member.id if member is None else member,
                to=to or self.here,
                act=Act(name, words),
                topic=self.topic,
            )
        )

    def record(
        self, fact: Fact, *, amount: int = 1, once: object = None, about: int | None = None
    ) -> None:
        """Remember that this happened; who listens for it hears it in this same turn.

        once:  makes the fact unique in its community: a second one with the same
               key undoes the turn, which is then played again on what is true
        about: another member it concerns, such as the one who was invited
        """
        self.recorded.append((fact, amount, about or 0))
        self.notes.append(
            facts.recorded(
                id=self.world.ids.take(),
                community=self.community.id,
                member=self.member.id,
                fact=fact,
                amount=amount,
                day=self.today,
                at=self.now,
                once=None if once is None else self.once(once) if about is None else str(once),
                about=about,
            )
        )

    def later(
        self,
        trigger: str,
        at: datetime,
        *,
        key: object = "",
        stale: timedelta | None = None,
        **words: Any,
    ) -> None:
        """Wake this capability's `trigger` at `at` (aware); the same `key` is woken only once.

        key:   without one, every call is its own
        stale: a reminder is dropped, and counted, if it comes later than this after its time,
               as when the machine was asleep; None: a duty, done however late
        """
        name = f"{self.topic}.{trigger}" if "." not in trigger else trigger
        unique = key or self.world.ids.take()
        self.woken.append(
            (
                at,
                Event(
                    kind=Kind.WOKE,
                    channel="clock",
                    id=f"{name}:{self.member.id}:{unique}",
                    at=at,
                    data=name,
                    member=self.member.id,
                    community=self.community.id,
                    until=None if stale is None else at + stale,
                    words=words,
                ),
            )
        )

    def expect(self, trigger: str, *, within: timedelta = timedelta(minutes=10)) -> None:
        """Give the next thing the member says in private to this capability's `trigger`."""
        self.note(
            *conversations.expecting(
                self.conversation, f"{self.topic}.{trigger}", self.now + within
            )
        )

    def seen_as(self, member: Member) -> None:
        """Go on with the member as just changed by a note, so that what follows sees it."""
        self.member = member

    def nameless(self) -> None:
        """Go on about nobody: who it was, where, and what they said is not kept of this turn."""
        self.member = replace(self.member, id=0)
        self.event = msgspec.structs.replace(
            self.event, person=None, where=None, text="", data="", message=""
        )

    # ---- where to say it

    @property
    def here(self) -> To:
        """Where the event happened; for the clock, the member's private chat."""
        where = self.event.where
        if where is None:
            home = self.at_home(self.member)
            if home is None:
                raise Refusal("house.unreachable")
            return home
        return To(
            channel=self.event.channel,
            place=where.id,
            thread="" if self.thread else where.thread,
            thread_of=self.thread.member if self.thread else 0,
            language=self.language,
            private=where.private,
        )

    def doorway(
        self, key: str, payload: str, *, channel: str = ""
    ) -> tuple[tuple[Button, ...], ...]:
        """A row with one button, labelled `key`, that opens the private chat with us.

        payload: what the deep link says, ending in "_here"; a capability's `@router.start`
                 answers it, in this community
        channel: where the button will be, if it is not where this happened
        There is no row where the channel has no such links.
        """
        link = self.world.links.get(channel or self.event.channel, "")
        return (
            ((Button(key, url=link.format(payload=f"{payload}-{self.community.id}")),),)
            if link
            else ()
        )

    def at_home(self, member: Member) -> To | None:
        """The member's private chat, or None where they cannot be reached."""
        if not member.home:
            return None
        return To(
            channel=member.channel,
            place=member.home,
            language=member.language or self.community.language,
        )

    def aside(self) -> To:
        """The member's private chat, or where they cannot be reached there, here.

        What they asked in a group gets a mark there, as the answer is not seen in it.
        """
        home = self.at_home(self.member)
        if home is None or self.private:
            return self.here
        able = self.world.abilities.get(self.event.channel, ())
        if self.event.kind is Kind.SAID and "sign" in able:
            self.do("sign", message=self.event.message, emoji=ANSWERED)
        return home

    def with_staff(self, member: Member) -> To | None:
        """The member's topic in the staff place, or None where there is no staff place."""
        staff = self.community.staff_on(member.channel)
        if staff is None:
            return None
        return To(
            channel=staff.channel,
            place=staff.ref,
            thread_of=member.id,
            language=self.community.language,
            private=False,
        )


def as_told_by(turn: Turn, member: Member) -> Turn:
    """The same turn with another member in the first person, sharing all its notes."""
    return replace(turn, member=member)
