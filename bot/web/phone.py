"""A person's phone in the browser: which chat is open on it, and everything that is to be seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from zoneinfo import ZoneInfo

from bot.channels.web import WebChannel
from bot.web.bubbles import HUES, Bubble, Line, View, bubbles, lines, preview
from storage import web
from storage.web import Chat, Message, Person, Seat
from storage.writer import Reader

PAGE = 40  # messages shown at first, and more with every wish for earlier ones
ORDER = ("private", "group", "staff")

Place = tuple[int, int]  # a chat and a topic in it


@dataclass(slots=True)
class Hand:
    """What somebody is doing with their phone at present; nobody needs to remember it."""

    attentive: bool = False  # the end of the open chat is before their eyes
    fresh: bool = True  # the chat has just been opened
    new_from: int = 0  # the first message under the "new" line
    most: int = PAGE
    picked: int = 0  # a message they are about to answer
    editing: bool = False  # or rather to change


@dataclass(frozen=True, slots=True)
class Face:
    """Somebody as a page shows them; `role` is "member", "staff", "admin" or "visitor"."""

    id: int
    name: str
    language: str
    role: str
    reachable: bool

    @property
    def initial(self) -> str:
        """What stands in the circle for their picture."""
        return self.name[:1].upper()

    @property
    def hue(self) -> int:
        """Which of the colours the circle has."""
        return self.id % HUES


@dataclass(frozen=True, slots=True)
class Tab:
    """A chat in the list; `inside` if they are in it."""

    chat: int
    kind: str
    title: str
    unread: int
    current: bool
    inside: bool
    rank: str


@dataclass(frozen=True, slots=True)
class TopicLine:
    """A topic in the list of a staff place."""

    id: int
    title: str
    preview: str
    unread: int
    closed: bool
    at: datetime | None  # of the last message; local


@dataclass(frozen=True, slots=True)
class Screen:
    """Everything that is to be seen on a phone.

    view: "chat", "topics" (the list in a staff place), "start" (the private chat has
          not been begun, or was stopped), "join" (a group they are not in)
    """

    face: Face
    tabs: Sequence[Tab]
    view: str
    kind: str  # of the open chat
    title: str
    chat: int
    topic: int
    unread: int  # in what is open
    elsewhere: int  # in all that is not
    commands: Sequence[tuple[str, str]]
    token: str = ""  # of the invitation, for "join"
    closed: bool = False
    lines: Sequence[Line] = ()
    topics: Sequence[TopicLine] = ()
    earlier: bool = False  # there is more to be seen above
    thinking: bool = False
    typing: Sequence[str] = ()
    begun: bool = False  # something has been said here
    picked: Bubble | None = None
    editing: bool = False


class Phones:
    """The phones of everybody the pages show."""

    def __init__(self, channel: WebChannel, zone: Callable[[], ZoneInfo]) -> None:
        self.channel = channel
        self._zone = zone
        self._hands: dict[int, Hand] = {}

    @property
    def _db(self) -> Reader:
        return self.channel.ground.database.reader

    def of(self, person: int) -> Hand:
        """What this person is doing with theirs."""
        return self._hands.setdefault(person, Hand())

    # ---------------------------------------------------------------- handling it

    async def opens(self, person: int, chat: int, topic: int) -> None:
        """They open a chat, or a topic of a staff place."""
        self._hands[person] = Hand(attentive=self.of(person).attentive)
        await self.channel.people.opens(person, chat, topic)

    def earlier(self, person: int) -> None:
        """They want to see what was said before."""
        self.of(person).most += PAGE
        self.channel.live.publish([person])

    def picks(self, person: int, message: int, *, editing: bool) -> None:
        """They are about to answer or to change a message; 0 for none any more."""
        hand = self.of(person)
        hand.picked, hand.editing = message, editing
        self.channel.live.publish([person])

    def spoke(self, person: int) -> None:
        """They said something, so what is above is no longer new."""
        hand = self.of(person)
        hand.picked, hand.editing, hand.new_from = 0, False, 0
        self.channel.live.publish([person])

    def looks(self, person: int, attentive: bool) -> None:
        """Whether the end of the open chat is before their eyes."""
        hand = self.of(person)
        if hand.attentive is not attentive:
            hand.attentive = attentive
            self.channel.live.publish([person])

    # ---------------------------------------------------------------- seeing it

    async def faces(self) -> list[Face]:
        """Everybody, in the order of their coming."""
        return [await self._face(one) for one in await web.people(self._db)]

    async def screen(self, person: int, language: str) -> Screen | None:
        """What is to be seen; None when the person is gone.

        language: of the menu of commands
        """
        who = await web.person(self._db, person)
        if who is None:
            return None
        face = await self._face(who)
        seats = {seat.chat.id: seat for seat in await web.seats(self._db, person)}
        chats = [seat.chat for seat in seats.values()]
        chats += [chat for chat in await web.groups(self._db) if chat.id not in seats]
        chats.sort(key=lambda one: (ORDER.index(one.kind), one.id))
        chat, topic = await self._open_place(person, chats)
        if chat.id in seats:
            await self._read_along(person, (chat.id, topic), seats[chat.id].since)
        unread = await web.unread(self._db, person)
        here = unread.get((chat.id, topic), 0)
        screen = Screen(
            face=face,
            tabs=[_tab(one, seats, unread, current=one.id == chat.id) for one in chats],
            view="chat",
            kind=chat.kind,
            title=chat.title,
            chat=chat.id,
            topic=topic,
            unread=here,
            elsewhere=sum(unread.values()) - here,
            commands=self._commands(face.role, language),
        )
        if chat.id not in seats:
            token = await web.public_link(self._db, chat.id)
            return replace(screen, view="join", token=token)
        if chat.kind == "staff" and topic == web.GENERAL:
            return replace(screen, view="topics", topics=await self._topics(chat, unread))
        return await self._conversation(screen, chat)

    async def _open_place(self, person: int, chats: Sequence[Chat]) -> tuple[Chat, int]:
        """What they opened last and are still able to see; else their private chat."""
        known = {chat.id: chat for chat in chats}
        for mark in await web.marks(self._db, person):
            chat = known.get(mark.chat)
            if chat is None:
                continue
            if mark.topic and await web.topic(self._db, mark.topic, chat=chat.id) is None:
                continue
            return chat, mark.topic
        return chats[0], web.GENERAL

    async def _read_along(self, person: int, place: Place, since: int) -> None:
        """Whoever looks at the end of a chat has read it; else a line says from where it is new."""
        hand = self.of(person)
        chat, topic = place
        latest = await web.latest(self._db, chat=chat, topic=topic, most=hand.most)
        marks = {(one.chat, one.topic): one.read_to for one in await web.marks(self._db, person)}
        read_to = max(marks.get(place, 0), since)
        new = [one.id for one in latest if _is_new(one, person, read_to)]
        if new and not hand.new_from and (hand.fresh or not hand.attentive):
            hand.new_from = new[0]
        hand.fresh = False
        if new and hand.attentive:
            await self.channel.people.reads(person, chat, topic, new[-1])

    async def _conversation(self, screen: Screen, chat: Chat) -> Screen:
        hand, person = self.of(screen.face.id), screen.face.id
        place = (chat.id, screen.topic)
        found = await web.latest(self._db, chat=chat.id, topic=screen.topic, most=hand.most + 1)
        shown = found[-hand.most :]
        topic = await web.topic(self._db, screen.topic, chat=chat.id) if screen.topic else None
        view = View(self._db, chat, person, self._zone(), self.channel.ground.base)
        said = await bubbles(shown, view)
        picked = next((one for one in said if one.id == hand.picked and not one.gone), None)
        typists = self.channel.live.typists(place) - {person}
        stopped = chat.kind == "private" and not screen.face.reachable
        return replace(
            screen,
            view="start" if stopped else "chat",
            begun=bool(found),
            title=topic.title if topic else screen.title,
            closed=topic is not None and topic.closed,
            lines=lines(said, hand.new_from),
            earlier=len(found) > len(shown),
            thinking=self.channel.live.thinking(place),
            typing=sorted((await web.named(self._db, list(typists))).values()),
            picked=picked,
            editing=hand.editing and picked is not None,
        )

    async def _topics(self, chat: Chat, unread: Mapping[Place, int]) -> list[TopicLine]:
        shown = []
        for topic in await web.topics(self._db, chat.id):
            last = await web.message(self._db, topic.latest) if topic.latest else None
            at = None if last is None else last.at.astimezone(self._zone())
            new = unread.get((chat.id, topic.id), 0)
            shown.append(TopicLine(topic.id, topic.title, preview(last), new, topic.closed, at))
        return shown

    async def _face(self, who: Person) -> Face:
        seats = await web.seats(self._db, who.id)
        kinds = {seat.chat.kind for seat in seats}
        role = "member" if "group" in kinds else "visitor"
        if any(seat.rank == "admin" for seat in seats):
            role = "admin"
        elif "staff" in kinds:
            role = "staff"
        return Face(who.id, who.name, who.language, role, who.reachable)

    def _commands(self, role: str, language: str) -> list[tuple[str, str]]:
        """What the platform's menu offers."""
        role = role if role in ("staff", "admin") else "member"
        return self.channel.menus.get((role, language), [])


def _tab(
    chat: Chat, seats: Mapping[int, Seat], unread: Mapping[Place, int], *, current: bool
) -> Tab:
    seat = seats.get(chat.id)
    count = sum(n for (of, _), n in unread.items() if of == chat.id)
    rank = seat.rank if seat else ""
    return Tab(chat.id, chat.kind, chat.title, count, current, seat is not None, rank)


def _is_new(one: Message, person: int, read_to: int) -> bool:
    return one.id > read_to and one.person != person and not one.gone and not one.notice
