"""What the web channel keeps, being its own platform: people, chats, seats, topics, messages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from storage.moments import from_micros, to_micros
from storage.sealing import Sealed
from storage.writer import Change, Reader, Row

GENERAL = 0  # the topic of what is said in no topic

PEOPLE = "id, name, language, reachable"
MESSAGES = "id, chat_id, topic_id, person_id, body, sign, notice, edited_at, gone, at"


@dataclass(frozen=True, slots=True)
class Person:
    """Someone who chats in the browser."""

    id: int
    name: str
    language: str
    reachable: bool  # has started the bot, and not stopped it since


@dataclass(frozen=True, slots=True)
class Chat:
    """A chat: `kind` is "private" (with the bot), "group" or "staff"."""

    id: int
    kind: str
    title: str
    person: int | None  # whose private chat it is


@dataclass(frozen=True, slots=True)
class Seat:
    """A chat as one of those in it has it."""

    chat: Chat
    rank: str  # "admin", or empty
    since: int  # messages with a smaller id were said before they came


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic in a staff place, and the last message in it (0: none)."""

    id: int
    chat: int
    title: str
    closed: bool
    latest: int = 0


class Body(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a message says: kept sealed, as JSON."""

    text: str = ""
    buttons: tuple[tuple[tuple[str, str, str], ...], ...] = ()  # rows of (label, data, url)
    reply_to: int = 0
    kind: str = ""  # "photo" or "file", if there is one
    name: str = ""  # of the file
    copy: int = 0  # the message whose file it is, if not its own
    carried: bool = False  # a person's words, which the bot brought from another chat


@dataclass(frozen=True, slots=True)
class Message:
    """A message as the browser shows it."""

    id: int
    chat: int
    topic: int
    person: int | None  # None: the bot
    body: Body
    at: datetime
    sign: str = ""
    notice: str = ""  # "joined" or "left", of what nobody said
    edited_at: datetime | None = None
    gone: bool = False


@dataclass(frozen=True, slots=True)
class Mark:
    """How far somebody has read in a chat or topic."""

    chat: int
    topic: int
    read_to: int


# ---------------------------------------------------------------- people


async def person(db: Reader, id: int) -> Person | None:
    """The person with this id."""
    row = await db.row(f"SELECT {PEOPLE} FROM web_people WHERE id = :id", id=id)  # noqa: S608 - the columns are our own constant
    return None if row is None else _person(db, row)


async def people(db: Reader) -> list[Person]:
    """Everybody, in the order of their coming."""
    rows = await db.rows(f"SELECT {PEOPLE} FROM web_people ORDER BY id")  # noqa: S608 - as above
    return [_person(db, row) for row in rows]


async def named(db: Reader, ids: Sequence[int]) -> dict[int, str]:
    """The names of these people; whoever is gone is left out."""
    found = {one: await person(db, one) for one in set(ids)}
    return {id: one.name for id, one in found.items() if one is not None}


async def known_by(db: Reader, digest: str) -> Person | None:
    """The person whose secret has this digest."""
    row = await db.row(
        f"SELECT {PEOPLE} FROM web_people WHERE digest = :digest AND digest <> ''",  # noqa: S608 - as above
        digest=digest,
    )
    return None if row is None else _person(db, row)


def arrived(one: Person, *, at: datetime) -> Change:
    """There is somebody new."""
    return Change(
        """
        INSERT INTO web_people (id, name, language, digest, reachable, created_at)
        VALUES (:id, :name, :language, '', :reachable, :at)
        """,
        {
            "id": one.id, "name": Sealed("web_people", "name", one.id, one.name),
            "language": one.language, "reachable": one.reachable, "at": to_micros(at),
        },
        rows=1,
    )  # fmt: skip


def reached(person: int, reachable: bool) -> Change:
    """They have started the bot, or stopped it.  Misses if nothing changes."""
    return Change(
        "UPDATE web_people SET reachable = :is WHERE id = :id AND reachable <> :is",
        {"id": person, "is": reachable},
        rows=1,
    )


def keyed(person: int, digest: str) -> Change:
    """Their secret has this digest from now on."""
    return Change(
        "UPDATE web_people SET digest = :digest WHERE id = :id", {"id": person, "digest": digest}
    )


# ---------------------------------------------------------------- chats


async def chat(db: Reader, id: int) -> Chat | None:
    """The chat with this id."""
    row = await db.row("SELECT id, kind, title, person_id FROM web_chats WHERE id = :id", id=id)
    return None if row is None else _chat(row)


async def home(db: Reader, person: int) -> int:
    """The id of somebody's private chat with the bot; 0 if they are gone."""
    found = await db.value("SELECT id FROM web_chats WHERE person_id = :person", person=person)
    return found or 0


async def groups(db: Reader) -> list[Chat]:
    """Every group, oldest first."""
    rows = await db.rows(
        "SELECT id, kind, title, person_id FROM web_chats WHERE kind = 'group' ORDER BY id"
    )
    return [_chat(row) for row in rows]


def made(one: Chat, *, at: datetime) -> Change:
    """There is a new chat."""
    return Change(
        """
        INSERT INTO web_chats (id, kind, title, person_id, created_at)
        VALUES (:id, :kind, :title, :person, :at)
        """,
        {
            "id": one.id, "kind": one.kind, "title": one.title, "person": one.person,
            "at": to_micros(at),
        },
        rows=1,
    )  # fmt: skip


async def public_link(db: Reader, chat: int) -> str:
    """The token of the chat's own invite link; empty if it has none."""
    found = await db.value("SELECT token FROM web_links WHERE chat_id = :c AND public", c=chat)
    return found or ""


async def led_to(db: Reader, token: str) -> Chat | None:
    """The chat to which an invite link leads."""
    row = await db.row(
        """
        SELECT c.id, c.kind, c.title, c.person_id
        FROM web_links l JOIN web_chats c ON c.id = l.chat_id WHERE l.token = :token
        """,
        token=token,
    )
    return None if row is None else _chat(row)


def linked(token: str, *, chat: int, public: bool, at: datetime) -> Change:
    """Whoever has this token may join the chat."""
    return Change(
        """
        INSERT INTO web_links (token, chat_id, public, created_at)
        VALUES (:token, :chat, :public, :at)
        """,
        {"token": token, "chat": chat, "public": public, "at": to_micros(at)},
        rows=1,
    )


# ---------------------------------------------------------------- seats


async def seats(db: Reader, person: int) -> list[Seat]:
    """Where somebody is: their private chat, then groups, then staff places; oldest first."""
    rows = await db.rows(
        """
        SELECT c.id, c.kind, c.title, c.person_id, s.rank, s.id AS since
        FROM web_seats s JOIN web_chats c ON c.id = s.chat_id WHERE s.person_id = :person
        ORDER BY CASE c.kind WHEN 'private' THEN 0 WHEN 'group' THEN 1 ELSE 2 END, c.id
        """,
        person=person,
    )
    return [Seat(_chat(row), row["rank"], row["since"]) for row in rows]


async def seat(db: Reader, *, chat: int, person: int) -> Seat | None:
    """Somebody's place in this chat, if they have one."""
    row = await db.row(
        """
        SELECT c.id, c.kind, c.title, c.person_id, s.rank, s.id AS since
        FROM web_seats s JOIN web_chats c ON c.id = s.chat_id
        WHERE s.chat_id = :chat AND s.person_id = :person
        """,
        chat=chat,
        person=person,
    )
    return None if row is None else Seat(_chat(row), row["rank"], row["since"])


async def present(db: Reader, chat: int) -> dict[int, str]:
    """Who is in the chat: person → rank."""
    rows = await db.rows(
        "SELECT person_id, rank FROM web_seats WHERE chat_id = :chat ORDER BY id", chat=chat
    )
    return {row["person_id"]: row["rank"] for row in rows}


async def at_work(db: Reader) -> dict[int, str]:
    """Who belongs to the house: person → "staff" or "admin"."""
    rows = await db.rows(
        """
        SELECT s.person_id, s.rank, c.kind FROM web_seats s JOIN web_chats c ON c.id = s.chat_id
        WHERE c.kind = 'staff' OR s.rank = 'admin' ORDER BY c.kind DESC
        """
    )
    return {row["person_id"]: row["rank"] or row["kind"] for row in rows}


def seated(*, id: int, chat: int, person: int, rank: str = "") -> Change:
    """They are in the chat.  Misses if they already were."""
    return Change(
        """
        INSERT INTO web_seats (id, chat_id, person_id, rank) VALUES (:id, :chat, :person, :rank)
        ON CONFLICT (chat_id, person_id) DO NOTHING
        """,
        {"id": id, "chat": chat, "person": person, "rank": rank},
        rows=1,
    )


def got_up(*, chat: int, person: int) -> Change:
    """They are in the chat no more.  Misses if they were not."""
    return Change(
        "DELETE FROM web_seats WHERE chat_id = :chat AND person_id = :person",
        {"chat": chat, "person": person},
        rows=1,
    )


def ranked(*, chat: int, person: int, rank: str) -> Change:
    """They are an administrator of the chat, or no longer.  Misses if they are not in it."""
    return Change(
        "UPDATE web_seats SET rank = :rank WHERE chat_id = :chat AND person_id = :person",
        {"chat": chat, "person": person, "rank": rank},
        rows=1,
    )


# ---------------------------------------------------------------- reading along


async def marks(db: Reader, person: int) -> list[Mark]:
    """How far somebody has read, everywhere; what they opened last comes first."""
    rows = await db.rows(
        """
        SELECT chat_id, topic_id, read_to FROM web_marks WHERE person_id = :person
        ORDER BY opened_at DESC
        """,
        person=person,
    )
    return [Mark(row["chat_id"], row["topic_id"], row["read_to"]) for row in rows]


async def unread(db: Reader, person: int) -> dict[tuple[int, int], int]:
    """How much is new to somebody: (chat, topic) → messages; what has none is left out."""
    rows = await db.rows(
        """
        SELECT m.chat_id, coalesce(m.topic_id, 0) AS topic, count(*) AS n
        FROM web_seats s
        JOIN web_messages m ON m.chat_id = s.chat_id AND m.id > s.id
        LEFT JOIN web_marks k ON k.person_id = s.person_id AND k.chat_id = m.chat_id
            AND k.topic_id = coalesce(m.topic_id, 0)
        WHERE s.person_id = :person AND m.id > coalesce(k.read_to, 0)
            AND NOT m.gone AND m.notice = ''
            AND (m.person_id IS NULL OR m.person_id <> s.person_id)
        GROUP BY m.chat_id, coalesce(m.topic_id, 0)
        """,
        person=person,
    )
    return {(row["chat_id"], row["topic"]): row["n"] for row in rows}


def opened(*, person: int, chat: int, topic: int, at: datetime) -> Change:
    """They have this before them now, later than anything else even if no time has passed."""
    return Change(
        """
        INSERT INTO web_marks (person_id, chat_id, topic_id, read_to, opened_at)
        VALUES (:person, :chat, :topic, 0, (
            SELECT CASE WHEN max(k.opened_at) >= :at THEN max(k.opened_at) + 1 ELSE :at END
            FROM web_marks k WHERE k.person_id = :person
        ))
        ON CONFLICT (person_id, chat_id, topic_id) DO UPDATE SET opened_at = excluded.opened_at
        """,
        {"person": person, "chat": chat, "topic": topic, "at": to_micros(at)},
    )


def read(*, person: int, chat: int, topic: int, to: int, at: datetime) -> Change:
    """They have read up to this message; never less than before."""
    return Change(
        """
        INSERT INTO web_marks (person_id, chat_id, topic_id, read_to, opened_at)
        VALUES (:person, :chat, :topic, :to, :at)
        ON CONFLICT (person_id, chat_id, topic_id) DO UPDATE SET read_to = CASE
            WHEN web_marks.read_to < excluded.read_to THEN excluded.read_to
            ELSE web_marks.read_to END
        """,
        {"person": person, "chat": chat, "topic": topic, "to": to, "at": to_micros(at)},
    )


# ---------------------------------------------------------------- topics


async def topic(db: Reader, id: int, *, chat: int) -> Topic | None:
    """The topic with this id in this staff place."""
    row = await db.row(
        "SELECT id, chat_id, title, closed FROM web_topics WHERE id = :id AND chat_id = :chat",
        id=id,
        chat=chat,
    )
    return None if row is None else _topic(db, row, 0)


async def topics(db: Reader, chat: int) -> list[Topic]:
    """A staff place's topics, the one spoken in last first."""
    rows = await db.rows(
        """
        SELECT t.id, t.chat_id, t.title, t.closed,
            (SELECT max(m.id) FROM web_messages m WHERE m.topic_id = t.id) AS latest
        FROM web_topics t WHERE t.chat_id = :chat
        """,
        chat=chat,
    )
    found = [_topic(db, row, row["latest"] or 0) for row in rows]
    return sorted(found, key=lambda one: (-one.latest, -one.id))


def begun(one: Topic, *, member: int) -> Change:
    """There is a new topic, about this member."""
    return Change(
        """
        INSERT INTO web_topics (id, chat_id, member_id, title, closed)
        VALUES (:id, :chat, :member, :title, FALSE)
        """,
        {
            "id": one.id, "chat": one.chat, "member": member,
            "title": Sealed("web_topics", "title", one.id, one.title),
        },
        rows=1,
    )  # fmt: skip


def closed(topic: int, closed: bool) -> Change:
    """The topic is done, or open again.  Misses if there is no such topic."""
    return Change(
        "UPDATE web_topics SET closed = :closed WHERE id = :id",
        {"id": topic, "closed": closed},
        rows=1,
    )


# ---------------------------------------------------------------- messages


async def message(db: Reader, id: int) -> Message | None:
    """The message with this id."""
    row = await db.row(f"SELECT {MESSAGES} FROM web_messages WHERE id = :id", id=id)  # noqa: S608 - the columns are our own constant
    return None if row is None else _message(db, row)


async def latest(db: Reader, *, chat: int, topic: int, most: int) -> list[Message]:
    """The last messages of a chat, in this topic (0: in none), oldest first."""
    rows = await db.rows(
        f"""
        SELECT {MESSAGES} FROM web_messages
        WHERE chat_id = :chat AND coalesce(topic_id, 0) = :topic
        ORDER BY id DESC LIMIT :most
        """,  # noqa: S608 - as above
        chat=chat,
        topic=topic,
        most=most,
    )
    return [_message(db, row) for row in reversed(rows)]


async def file(db: Reader, id: int) -> str:
    """The file that came with a message, in base64; empty if there is none."""
    cell = await db.value("SELECT file FROM web_messages WHERE id = :id AND NOT gone", id=id)
    return db.open("web_messages", "file", id, cell)


def said(one: Message, *, file: str = "") -> Change:
    """This has been said; `file` in base64."""
    return Change(
        """
        INSERT INTO web_messages (
            id, chat_id, topic_id, person_id, body, file, sign, notice, gone, at
        ) VALUES (:id, :chat, :topic, :person, :body, :file, '', :notice, FALSE, :at)
        """,
        {
            "id": one.id, "chat": one.chat, "topic": one.topic or None, "person": one.person,
            "body": _sealed(one.id, one.body), "notice": one.notice, "at": to_micros(one.at),
            "file": Sealed("web_messages", "file", one.id, file) if file else None,
        },
        rows=1,
    )  # fmt: skip


def reworded(id: int, body: Body, *, at: datetime, file: str = "") -> Change:
    """The message says this instead.  Misses if it is gone."""
    return Change(
        """
        UPDATE web_messages SET body = :body, file = coalesce(:file, file), edited_at = :at
        WHERE id = :id AND NOT gone
        """,
        {
            "id": id, "body": _sealed(id, body), "at": to_micros(at),
            "file": Sealed("web_messages", "file", id, file) if file else None,
        },
        rows=1,
    )  # fmt: skip


def signed(id: int, emoji: str) -> Change:
    """The bot has put this sign to the message.  Misses if it is gone."""
    return Change(
        "UPDATE web_messages SET sign = :emoji WHERE id = :id AND NOT gone",
        {"id": id, "emoji": emoji},
        rows=1,
    )


def removed(id: int) -> Change:
    """Only that there was a message is kept.  Misses if it is gone."""
    return Change(
        """
        UPDATE web_messages SET gone = TRUE, body = NULL, file = NULL, sign = ''
        WHERE id = :id AND NOT gone
        """,
        {"id": id},
        rows=1,
    )


def pruned(before: datetime) -> Change:
    """Messages from before then are deleted."""
    return Change("DELETE FROM web_messages WHERE at < :at", {"at": to_micros(before)})


def _sealed(id: int, body: Body) -> Sealed:
    return Sealed("web_messages", "body", id, msgspec.json.encode(body).decode())


def _person(db: Reader, row: Row) -> Person:
    name = db.open("web_people", "name", row["id"], row["name"])
    return Person(row["id"], name, row["language"], bool(row["reachable"]))


def _chat(row: Row) -> Chat:
    return Chat(row["id"], row["kind"], row["title"], row["person_id"])


def _topic(db: Reader, row: Row, latest: int) -> Topic:
    title = db.open("web_topics", "title", row["id"], row["title"])
    return Topic(row["id"], row["chat_id"], title, bool(row["closed"]), latest)


def _message(db: Reader, row: Row) -> Message:
    body = db.open("web_messages", "body", row["id"], row["body"])
    return Message(
        id=row["id"],
        chat=row["chat_id"],
        topic=row["topic_id"] or GENERAL,
        person=row["person_id"],
        body=msgspec.json.decode(body, type=Body) if body else Body(),
        sign=row["sign"],
        notice=row["notice"],
        edited_at=None if row["edited_at"] is None else from_micros(row["edited_at"]),
        gone=bool(row["gone"]),
        at=from_micros(row["at"]),
    )
