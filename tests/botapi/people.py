"""What people do, and what the bots are told of it."""

from collections.abc import Iterable
from typing import Any

from tests.botapi import shapes
from tests.botapi.methods import ICON_COLOR, drop_topic, open_topic
from tests.botapi.shapes import Json
from tests.botapi.town import USUAL_RIGHTS, Bot, Chat, Link, Message, Person, Topic, Town


class People:
    """The verbs of those who live in the town.  A chat of None is the private one with the bot."""

    town: Town

    @property
    def bot(self) -> Bot:
        """The first bot, which is meant wherever none is named."""
        return self.town.bots[0]

    # ---- who there is

    def person(self, name: str, *, username: str = "", language: str = "en") -> Person:
        """Somebody new; the bot has never heard of them."""
        # Real ids no longer fit into 32 bits.
        person = Person(5_000_000_000 + self.town.number(), name, username, language)
        return self.town.people.setdefault(person.id, person)

    def group(
        self,
        title: str,
        *members: Person,
        owner: Person | None = None,
        bot_is: str = "administrator",
        rights: Iterable[str] = USUAL_RIGHTS,
        forum: bool = False,
        basic: bool = False,
        username: str = "",
    ) -> Chat:
        """A group that has long been there, with these members; nobody is told of it.

        bot_is: "administrator" with these `rights`, "member", or "left"
        basic:  a group that is no supergroup yet
        """
        number = self.town.number()
        group_id = -4_000_000_000 - number if basic else -1_002_000_000_000 - number
        chat = Chat(group_id, "group" if basic else "supergroup", title, username, forum)
        self.town.groups[chat.id] = chat
        for person in members:
            _appoint(chat, person, "member")
        _appoint(chat, owner or self.person("Olga"), "creator")
        if bot_is != "left":
            _appoint(chat, self.bot.user, bot_is, rights)
        return chat

    def private(self, person: Person, bot: Bot | None = None) -> Chat:
        """The private chat of the person with the bot."""
        return self.town.private(person, bot or self.bot)

    # ---- what they say

    def says(
        self,
        person: Person,
        chat: Chat | None,
        text: str,
        *,
        thread: int = 0,
        reply_to: Message | None = None,
        mentioning: Iterable[Person] = (),
        bot: Bot | None = None,
        **more: Any,
    ) -> Message:
        """Write a text; commands, @names, links and #tags in it are marked as Telegram marks them.

        mentioning: people whose first names in the text become mentions of them
        more:       any further fields of the Message, such as `forward_origin`
        """
        named = [_mention(text, mentioned) for mentioned in mentioning]
        marks = {"entities": found} if (found := shapes.entities(text, named)) else {}
        return self._sends(
            person, chat, {"text": text, **marks, **more}, thread=thread, reply_to=reply_to, bot=bot
        )

    def tells(self, person: Person, text: str, *, bot: Bot | None = None, **more: Any) -> Message:
        """Write to the bot in private."""
        return self.says(person, None, text, bot=bot, **more)

    def starts(self, person: Person, payload: str = "", *, bot: Bot | None = None) -> Message:
        """Open the bot's private chat, by a deep link if there is a payload."""
        return self.tells(person, f"/start {payload}".strip(), bot=bot)

    def sends_photo(
        self,
        person: Person,
        chat: Chat | None,
        data: bytes,
        caption: str = "",
        *,
        thread: int = 0,
        reply_to: Message | None = None,
        bot: Bot | None = None,
        **more: Any,
    ) -> Message:
        """Send a picture."""
        name = f"photos/file_{self.town.number()}.jpg"
        file_id = self.keep(name, data)
        sizes = [
            {
                "file_id": file_id,
                "file_unique_id": f"{file_id}-unique",
                "width": 800,
                "height": 600,
                "file_size": len(data),
            }
        ]
        content = {"photo": sizes, **_caption(caption), **more}
        return self._sends(person, chat, content, thread=thread, reply_to=reply_to, bot=bot)

    def sends_file(
        self,
        person: Person,
        chat: Chat | None,
        data: bytes,
        name: str,
        caption: str = "",
        *,
        mime: str = "application/octet-stream",
        thread: int = 0,
        reply_to: Message | None = None,
        bot: Bot | None = None,
        **more: Any,
    ) -> Message:
        """Send a file."""
        file_id = self.keep(f"documents/file_{self.town.number()}", data)
        document = {
            "file_id": file_id,
            "file_unique_id": f"{file_id}-unique",
            "file_name": name,
            "mime_type": mime,
            "file_size": len(data),
        }
        content = {"document": document, **_caption(caption), **more}
        return self._sends(person, chat, content, thread=thread, reply_to=reply_to, bot=bot)

    def keep(self, name: str, data: bytes) -> str:
        """Store a file where bots can fetch it; returns its file_id."""
        raise NotImplementedError

    def edits(self, message: Message, text: str) -> None:
        """Change the words of a message of one's own."""
        name, marks = ("text", "entities")
        if "text" not in message.payload:
            name, marks = ("caption", "caption_entities")
        kept = {key: value for key, value in message.payload.items() if key != marks}
        found = shapes.entities(text)
        changed = {name: text, "edit_date": self.town.now()} | ({marks: found} if found else {})
        message.payload = kept | changed
        self.town.spread(message, "edited_message")

    def presses(self, person: Person, message: Message, button: str) -> str:
        """Press the button of this label or this callback_data; returns the query's id."""
        data = [
            one["callback_data"]
            for one in message.buttons
            if "callback_data" in one and button in (one["text"], one["callback_data"])
        ]
        assert data, f"no {button!r} to press among {message.buttons}"
        bot = next(bot for bot in self.town.bots if bot.user is message.sender)
        query_id = str(4_000_000_000_000_000_000 + self.town.number())
        bot.presses[query_id] = person
        query = {
            "id": query_id,
            "from": person.told(),
            "message": message.payload,
            "chat_instance": str(abs(message.chat.id) * 7919),
            "data": data[0],
        }
        self.town.tell(bot, "callback_query", query, f"press:{person.id}")
        return query_id

    def reacts(self, person: Person, message: Message, *emoji: str) -> None:
        """Have these reactions on a message and no others of one's own; none takes them off."""
        before = message.reactions.get(person, ())
        message.reactions[person] = emoji
        body = {
            "chat": message.chat.told(),
            "message_id": message.id,
            "user": person.told(),
            "date": self.town.now(),
            "old_reaction": [{"type": "emoji", "emoji": one} for one in before],
            "new_reaction": [{"type": "emoji", "emoji": one} for one in emoji],
        }
        for bot in self.town.bots:
            if message.chat.member(bot.user).status == "administrator":
                self.town.tell(bot, "message_reaction", body, f"reaction:{message.chat.id}")

    def _sends(
        self,
        person: Person,
        chat: Chat | None,
        content: Json,
        *,
        thread: int,
        reply_to: Message | None,
        bot: Bot | None,
    ) -> Message:
        if chat is None:
            chat = self.private(person, bot)
        if chat.bot:
            if person in chat.bot.blocked_by:
                self.unblocks(person, chat.bot)
            chat.bot.started_by.add(person)
        return self.town.post(chat, person, content, thread=thread, reply_to=reply_to)

    # ---- coming and going

    def joins(
        self,
        person: Person,
        chat: Chat,
        *,
        link: Link | str | None = None,
        added_by: Person | None = None,
    ) -> Message:
        """Come in, through an invite link or not; both signals follow: status and message."""
        invitation = self._link(chat, link)
        if invitation:
            assert not invitation.asks, "this link only lets one ask: use asks_to_join"
            assert self.town.good(invitation, chat), "INVITE_HASH_EXPIRED"
        return self.town.admit(chat, person, by=added_by, link=invitation)

    def asks_to_join(
        self, person: Person, chat: Chat, *, link: Link | str | None = None, bio: str = ""
    ) -> None:
        """Ask to be let in; bots that may invite hear of it, and may write to the person."""
        invitation = self._link(chat, link)
        chat.requests[person] = invitation
        for bot in self.town.bots:
            if not chat.member(bot.user).may("can_invite_users"):
                continue
            body = {
                "chat": chat.told(),
                "from": person.told(),
                "user_chat_id": person.id,
                "date": self.town.now(),
            }
            if bio:
                body["bio"] = bio
            if invitation:
                body["invite_link"] = invitation.told(bot.user)
            self.town.tell(bot, "chat_join_request", body, f"member:{person.id}")

    def leaves(self, person: Person, chat: Chat, *, removed_by: Person | None = None) -> Message:
        """Go, or be put out for good by an administrator."""
        return self.town.dismiss(chat, person, by=removed_by)

    def promotes(
        self, admin: Person, person: Person, chat: Chat, rights: Iterable[str] = USUAL_RIGHTS
    ) -> None:
        """Make somebody an administrator."""
        self.town.rank(chat, person, "administrator", by=admin, granted=rights)

    def demotes(self, admin: Person, person: Person, chat: Chat) -> None:
        """Make an administrator an ordinary member."""
        self.town.rank(chat, person, "member", by=admin)

    def link(self, chat: Chat, creator: Person, *, name: str = "", asks: bool = False) -> Link:
        """An invite link of a person's own."""
        url = f"https://t.me/+{self.town.number():08d}PeopleLink"
        link = Link(url, creator, name, asks)
        chat.links.append(link)
        return link

    def _link(self, chat: Chat, link: Link | str | None) -> Link | None:
        if isinstance(link, str):
            return next(one for one in chat.links if one.url == link)
        return link

    # ---- with the bot

    def adds_bot(
        self,
        person: Person,
        chat: Chat,
        *,
        rights: Iterable[str] | None = None,
        payload: str | None = None,
        bot: Bot | None = None,
    ) -> None:
        """Bring the bot into a group.

        rights:  make it an administrator with these at once; None for a plain member
        payload: what its startgroup link carried; then /start is posted in the group as well
        """
        bot = bot or self.bot
        status = "member" if rights is None else "administrator"
        self.town.rank(chat, bot.user, status, by=person, granted=rights or ())
        self.town.post(chat, person, {"new_chat_members": [bot.user.told()]})
        if payload is not None:
            self.says(person, chat, f"/start@{bot.user.username} {payload}".strip())

    def promotes_bot(
        self,
        person: Person,
        chat: Chat,
        rights: Iterable[str] = USUAL_RIGHTS,
        *,
        bot: Bot | None = None,
    ) -> None:
        """Make the bot an administrator with exactly these rights."""
        self.promotes(person, (bot or self.bot).user, chat, rights)

    def demotes_bot(self, person: Person, chat: Chat, *, bot: Bot | None = None) -> None:
        """Make the bot a plain member."""
        self.demotes(person, (bot or self.bot).user, chat)

    def removes_bot(self, person: Person, chat: Chat, *, bot: Bot | None = None) -> None:
        """Put the bot out of a group."""
        self.town.rank(chat, (bot or self.bot).user, "kicked", by=person)

    def blocks(self, person: Person, bot: Bot | None = None) -> None:
        """Stop the bot in private; what it sends there is refused from now on."""
        bot = bot or self.bot
        bot.blocked_by.add(person)
        self._block_told(person, bot, "member", "kicked")

    def unblocks(self, person: Person, bot: Bot | None = None) -> None:
        """Let the bot in again; writing to it does so by itself."""
        bot = bot or self.bot
        bot.blocked_by.discard(person)
        self._block_told(person, bot, "kicked", "member")

    def _block_told(self, person: Person, bot: Bot, before: str, after: str) -> None:
        body = {
            "chat": self.private(person, bot).told(),
            "from": person.told(),
            "date": self.town.now(),
            "old_chat_member": shapes.member(bot.user.told(), before),
            "new_chat_member": shapes.member(bot.user.told(), after),
        }
        self.town.tell(bot, "my_chat_member", body, f"me:{person.id}")

    # ---- with the group

    def upgrades(self, person: Person, group: Chat, *, forum: bool = False) -> Chat:
        """Make a group a supergroup, which has another id; the old one answers no more."""
        new = self.group(group.title, owner=person, bot_is="left", forum=forum)
        new.members = dict(group.members)
        self.town.post(group, person, {"migrate_to_chat_id": new.id})
        group.moved_to = new
        self.town.post(new, person, {"migrate_from_chat_id": group.id})
        return new

    def opens_topic(self, person: Person, chat: Chat, name: str) -> Topic:
        """Begin a topic in a forum; its `id` is what `thread=` takes."""
        return open_topic(self.town.post, chat, person, name, ICON_COLOR)

    def closes_topic(self, person: Person, chat: Chat, thread: int) -> None:
        """Close a topic to those who do not manage topics."""
        chat.topics[thread].closed = True
        self.town.post(chat, person, {"forum_topic_closed": {}}, thread=thread)

    def reopens_topic(self, person: Person, chat: Chat, thread: int) -> None:
        """Open it to all again."""
        chat.topics[thread].closed = False
        self.town.post(chat, person, {"forum_topic_reopened": {}}, thread=thread)

    def deletes_topic(
        self, chat: Chat, thread: int, *, refusal: str = "message thread not found"
    ) -> None:
        """Delete a topic with all that is in it; no bot is told.

        refusal: what a bot that writes there hears; Telegram also says "TOPIC_DELETED"
        """
        drop_topic(chat, thread, refusal)

    def deletes(self, message: Message) -> None:
        """Delete a message; no bot is told."""
        message.deleted = True


def _appoint(chat: Chat, person: Person, status: str, rights: Iterable[str] = ()) -> None:
    member = chat.member(person)
    member.status, member.granted = status, frozenset(rights)
    chat.members[person] = member


def _caption(text: str) -> Json:
    if not text:
        return {}
    found = shapes.entities(text)
    return {"caption": text} | ({"caption_entities": found} if found else {})


def _mention(text: str, person: Person) -> Json:
    start = text.index(person.first_name)
    end = start + len(person.first_name)
    return shapes.entity("text_mention", text, start, end, user=person.told())
