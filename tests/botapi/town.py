"""The town: who there is, in which chats, what was said, and which bot hears of it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from tests.botapi import shapes
from tests.botapi.shapes import RIGHTS, Json

INSIDE = {"creator", "administrator", "member"}
ADMINISTRATORS = {"creator", "administrator"}

# What marks a message as Telegram's own, telling what was done in the chat.
SERVICE = {
    "forum_topic_closed",
    "forum_topic_created",
    "forum_topic_edited",
    "forum_topic_reopened",
    "left_chat_member",
    "migrate_from_chat_id",
    "migrate_to_chat_id",
    "new_chat_members",
    "new_chat_title",
    "pinned_message",
}

# What an ordinary administrator is given: all but making others administrators.
USUAL_RIGHTS = frozenset(RIGHTS) - {"can_promote_members"}


@dataclass(eq=False)
class Person:
    """Somebody with an account: a human, or the account of a bot."""

    id: int
    first_name: str
    username: str = ""
    language: str = ""
    is_bot: bool = False

    def told(self) -> Json:
        """The User that stands for them."""
        user: Json = {"id": self.id, "is_bot": self.is_bot, "first_name": self.first_name}
        if self.username:
            user["username"] = self.username
        if self.language:
            user["language_code"] = self.language
        return user


@dataclass(eq=False)
class Bot:
    """A bot's account, and what it has told Telegram about itself."""

    token: str
    user: Person
    reads_all: bool = True  # False is Telegram's privacy mode
    started_by: set[Person] = field(default_factory=set)
    blocked_by: set[Person] = field(default_factory=set)
    presses: dict[str, Person] = field(default_factory=dict)  # query id → who pressed
    menus: dict[tuple[str, str], list[Json]] = field(default_factory=dict)  # (scope, language)
    words: dict[tuple[str, str], str] = field(default_factory=dict)  # (name of the word, language)


@dataclass(eq=False)
class Link:
    """An invite link."""

    url: str
    creator: Person
    name: str = ""
    asks: bool = False  # it creates join requests
    limit: int | None = None  # how many who came by it may be in the chat at once
    expires: int | None = None  # Unix seconds
    revoked: bool = False

    def told(self, to: Person) -> Json:
        """The ChatInviteLink; only its creator sees all of the address."""
        shown = self.url if to is self.creator else f"{self.url[: len(self.url) // 2 + 8]}..."
        link: Json = {
            "invite_link": shown,
            "creator": self.creator.told(),
            "creates_join_request": self.asks,
            "is_primary": False,
            "is_revoked": self.revoked,
        }
        extras = {"name": self.name, "member_limit": self.limit, "expire_date": self.expires}
        return link | {key: value for key, value in extras.items() if value}


@dataclass(eq=False)
class Member:
    """What somebody is in one chat."""

    person: Person
    status: str = "left"
    granted: frozenset[str] = frozenset()
    inside: bool = True  # for the restricted, who stay so after they leave
    link: Link | None = None
    tag: str = ""

    @property
    def present(self) -> bool:
        return self.status in INSIDE or (self.status == "restricted" and self.inside)

    def may(self, right: str) -> bool:
        """Whether an administrator has been given this right."""
        return self.status == "creator" or (
            self.status == "administrator" and right in self.granted
        )

    def told(self) -> Json:
        """The ChatMember that says so."""
        tag = {"tag": self.tag} if self.tag and self.status in {"member", "restricted"} else {}
        return (
            shapes.member(self.person.told(), self.status, self.granted, inside=self.inside) | tag
        )


@dataclass(eq=False)
class Topic:
    """A topic of a forum; its id is that of the message that opened it."""

    id: int
    name: str
    icon_color: int
    icon: str = ""
    closed: bool = False
    gone: str = ""  # once deleted: the refusal that whoever writes there gets

    def told(self) -> Json:
        """The ForumTopic, without its id."""
        icon = {"icon_custom_emoji_id": self.icon} if self.icon else {}
        return {"name": self.name, "icon_color": self.icon_color} | icon


@dataclass(eq=False)
class Message:
    """A message as it stands now: edits change it, and deleting marks it."""

    chat: "Chat"
    sender: Person
    payload: Json  # the Bot API's Message
    deleted: bool = False
    reactions: dict[Person, tuple[str, ...]] = field(default_factory=dict)

    @property
    def id(self) -> int:
        return int(self.payload["message_id"])

    @property
    def text(self) -> str:
        """Its text, or its caption, or nothing."""
        return str(self.payload.get("text", self.payload.get("caption", "")))

    @property
    def service(self) -> bool:
        """Whether nobody wrote it: it tells of something done in the chat."""
        return bool(SERVICE & self.payload.keys())

    @property
    def thread(self) -> int:
        """The topic it is in; 0 for none."""
        return int(self.payload["message_thread_id"]) if "is_topic_message" in self.payload else 0

    @property
    def reply_to(self) -> int:
        """The id of the message it answers; 0 for none.  In a topic, the opening message's."""
        return int(self.payload.get("reply_to_message", {}).get("message_id", 0))

    @property
    def buttons(self) -> list[Json]:
        """Its inline buttons, row by row in one list."""
        return [*shapes.buttons(self.payload)]

    def told(self) -> Json:
        """The Message as another one quotes it: without what it replies to in turn."""
        return {key: value for key, value in self.payload.items() if key != "reply_to_message"}


@dataclass(eq=False)
class Chat:
    """A private chat or a group, with all that Telegram remembers of it."""

    id: int
    type: str  # "private", "group" or "supergroup"
    title: str
    username: str = ""
    forum: bool = False
    bot: Bot | None = None  # whose private chat it is
    moved_to: "Chat | None" = None
    members: dict[Person, Member] = field(default_factory=dict)
    messages: dict[int, Message] = field(default_factory=dict)
    topics: dict[int, Topic] = field(default_factory=dict)
    links: list[Link] = field(default_factory=list)
    requests: dict[Person, Link | None] = field(default_factory=dict)
    pinned: list[int] = field(default_factory=list)
    last_id: int = 0

    def member(self, person: Person) -> Member:
        """What they are here; `left` if they never came."""
        return self.members.get(person) or Member(person)

    def told(self) -> Json:
        """The Chat that stands for it in updates."""
        name = "first_name" if self.type == "private" else "title"
        chat: Json = {"id": self.id, "type": self.type, name: self.title}
        if self.username:
            chat["username"] = self.username
        return chat | ({"is_forum": True} if self.forum else {})


class Mailbox(Protocol):
    """Where the updates for one bot wait for it."""

    def put(self, kind: str, body: Json, lane: str) -> None:
        """Add an update; those of one lane reach a webhook one after the other."""


@dataclass
class Town:
    """Everything there is; people and bots act on it, and it tells the bots."""

    clock: Callable[[], float]  # Unix seconds
    bots: list[Bot] = field(default_factory=list)
    people: dict[int, Person] = field(default_factory=dict)
    groups: dict[int, Chat] = field(default_factory=dict)
    mailboxes: dict[Bot, Mailbox] = field(default_factory=dict)
    _private: dict[tuple[Person, Bot], Chat] = field(default_factory=dict)
    _numbered: int = 0

    def now(self) -> int:
        return int(self.clock())

    def number(self) -> int:
        """One that was not given before."""
        self._numbered += 1
        return self._numbered

    def private(self, person: Person, bot: Bot) -> Chat:
        """The private chat of the two, which has the person's id."""
        made = Chat(person.id, "private", person.first_name, person.username, bot=bot)
        return self._private.setdefault((person, bot), made)

    def chat(self, chat_id: object, bot: Bot) -> Chat | None:
        """The chat that this bot knows by this id, which may be a group's @username."""
        if isinstance(chat_id, str) and chat_id.startswith("@"):
            named = (chat for chat in self.groups.values() if f"@{chat.username}" == chat_id)
            return next(named, None)
        if not isinstance(chat_id, int):
            return None
        person = self.people.get(chat_id)
        return self.private(person, bot) if person else self.groups.get(chat_id)

    # ---- what is said

    def post(
        self,
        chat: Chat,
        sender: Person,
        content: Json,
        *,
        thread: int = 0,
        reply_to: Message | None = None,
    ) -> Message:
        """Put a message into a chat and tell the bots that hear it."""
        chat.last_id += 1
        payload: Json = {
            "message_id": chat.last_id,
            "date": self.now(),
            "chat": chat.told(),
            "from": sender.told(),
            **_place(chat, chat.last_id, thread, reply_to, content),
            **content,
        }
        message = Message(chat, sender, payload)
        chat.messages[message.id] = message
        self.spread(message, "message")
        return message

    def spread(self, message: Message, kind: str) -> None:
        """Tell every other bot that hears this message."""
        for bot in self.bots:
            if bot.user is not message.sender and hears(bot, message):
                self.tell(bot, kind, message.payload, f"message:{message.chat.id}")

    def tell(self, bot: Bot, kind: str, body: Json, lane: str) -> None:
        """Leave an update for one bot."""
        self.mailboxes[bot].put(kind, body, lane)

    # ---- who is where

    def rank(
        self,
        chat: Chat,
        person: Person,
        status: str,
        *,
        by: Person,
        granted: Iterable[str] = (),
        inside: bool = True,
        link: Link | None = None,
        by_request: bool = False,
    ) -> None:
        """Make somebody something else in a chat, and tell those bots that may know."""
        before = chat.member(person)
        after = Member(person, status, frozenset(granted), inside, link or before.link, before.tag)
        chat.members[person] = after
        chat.requests.pop(person, None)
        for bot in self.bots:
            watches = chat.member(bot.user).status in ADMINISTRATORS
            if bot.user is not person and not watches:
                continue
            body = {
                "chat": chat.told(),
                "from": by.told(),
                "date": self.now(),
                "old_chat_member": before.told(),
                "new_chat_member": after.told(),
            }
            if link:
                body["invite_link"] = link.told(bot.user)
            if by_request:
                body["via_join_request"] = True
            if bot.user is person:
                self.tell(bot, "my_chat_member", body, f"me:{chat.id}")
            else:
                self.tell(bot, "chat_member", body, f"member:{person.id}")

    def good(self, link: Link, chat: Chat) -> bool:
        """Whether a link still lets people in."""
        came = sum(member.link is link and member.present for member in chat.members.values())
        full = link.limit is not None and came >= link.limit
        expired = link.expires is not None and link.expires <= self.now()
        return not (link.revoked or expired or full)

    def admit(
        self,
        chat: Chat,
        person: Person,
        *,
        by: Person | None = None,
        link: Link | None = None,
        by_request: bool = False,
    ) -> Message:
        """Let somebody in: the change of status, and the message that says so.

        by: who adds them, or approves them; themselves if nobody
        """
        before = chat.member(person)
        restricted = before.status == "restricted"
        self.rank(
            chat,
            person,
            before.status if restricted else "member",
            by=by or person,
            granted=before.granted if restricted else (),
            link=link,
            by_request=by_request,
        )
        # Whoever was approved comes in on their own feet.
        sender = person if by_request or not by else by
        return self.post(chat, sender, {"new_chat_members": [person.told()]})

    def dismiss(self, chat: Chat, person: Person, *, by: Person | None = None) -> Message:
        """Let somebody leave, or put them out: the change of status, and the message."""
        before = chat.member(person)
        if before.status == "restricted":
            self.rank(
                chat, person, "restricted", by=by or person, granted=before.granted, inside=False
            )
        else:
            self.rank(chat, person, "kicked" if by else "left", by=by or person)
        return self.post(chat, by or person, {"left_chat_member": person.told()})


def hears(bot: Bot, message: Message) -> bool:
    """Whether Telegram tells the bot of this message.

    In privacy mode a bot that is no administrator hears service messages, commands, its own name
    and answers to what it said.
    """
    chat, told = message.chat, message.payload
    if chat.bot:
        return chat.bot is bot
    member = chat.member(bot.user)
    if not member.present:
        return False
    if bot.reads_all or member.status in ADMINISTRATORS:
        return True
    named = f"@{bot.user.username}".lower()
    answers = told.get("reply_to_message", {}).get("from", {}).get("id") == bot.user.id
    return (
        message.service or answers or message.text.startswith("/") or named in message.text.lower()
    )


def _place(
    chat: Chat, message_id: int, thread: int, reply_to: Message | None, content: Json
) -> Json:
    """What a message says of its topic, and of the message it answers."""
    place: Json = {}
    if "forum_topic_created" in content:
        return {"message_thread_id": message_id, "is_topic_message": True}
    if thread:
        place = {"message_thread_id": thread, "is_topic_message": True}
        # Telegram takes what answers nothing in a topic for an answer to the message opening it.
        reply_to = reply_to or chat.messages.get(thread)
    if reply_to:
        place["reply_to_message"] = reply_to.told()
        if chat.type == "supergroup" and not chat.forum:
            place["message_thread_id"] = reply_to.payload.get("message_thread_id", reply_to.id)
    return place
