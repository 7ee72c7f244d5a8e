"""What is known after a crash campaign: what was told, what was sent, and what the database has.

Plain values, so that the audit needs neither a bot nor a server, and can be given doctored ones.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from storage import database
from storage.database import is_sqlite
from storage.sealing import Seal
from tests.botapi import BotAPI, Call

Json = dict[str, Any]
Lag = tuple[float, float]  # our own server was held up: until when, and for how many seconds
Rows = list[Json]

# What puts a new message into a chat, which is what the platform's limits count.
SENDS = {
    "copyMessage", "sendAudio", "sendDocument", "sendMediaGroup", "sendMessage", "sendPhoto",
    "sendVideo", "sendVoice",
}  # fmt: skip
TABLES = (
    "cases", "communities", "conversations", "facts", "identities", "interactions", "invites",
    "members", "pending", "places", "quarantine", "seen", "threads",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Told:
    """One update, however often it was told."""

    number: int
    update: Json
    handed: int  # how often the bot was given it
    acknowledged: bool  # the bot has said that it has it


@dataclass(frozen=True, slots=True)
class Sent:
    """One call of a method that puts a message into a chat, as the server saw it."""

    at: float  # Unix seconds
    chat: int
    thread: int = 0
    text: str = ""
    message: int = 0  # its id; 0 if there is none
    acted: bool = True  # it stands in the chat
    answered: bool = True  # and the bot was told so
    status: int = 200
    retry_after: int = 0  # seconds that a 429 asked for


@dataclass(frozen=True, slots=True)
class Kill:
    """A process was killed, at this moment and at this point of its work."""

    at: float
    point: str = ""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything the audit goes by; rows as the tables have them, with sealed columns opened."""

    told: list[Told] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)
    kills: list[Kill] = field(default_factory=list)
    starts: list[float] = field(default_factory=list)
    lags: list[Lag] = field(default_factory=list)
    tables: dict[str, Rows] = field(default_factory=dict)
    integrity: list[str] = field(default_factory=list)  # what the database says is wrong with it
    orderly: frozenset[int] = frozenset()  # people whose every line wants one answer, in order
    asleep: frozenset[str] = frozenset()  # communities in their quiet hours all the while
    unsettled: str = ""  # what was still going on when patience ended
    status: int = 0  # with which the bot ended when told to stop
    faults: tuple[str, ...] = ()  # what the bot's own log calls one
    now: float = 0.0  # Unix seconds, when it was gathered

    def rows(self, table: str, **having: Any) -> Iterator[Json]:
        """The rows of a table with these values."""
        for row in self.tables.get(table, ()):
            if all(row[name] == value for name, value in having.items()):
                yield row

    def handled(self) -> Iterator[Told]:
        """The updates that were not set aside, each of which has had its effect."""
        aside = {row["key"] for row in self.rows("quarantine")}
        return (one for one in self.told if str(one.number) not in aside)

    def ended(self, outcome: str) -> Iterator[Json]:
        """The letters that ended so."""
        for row in self.rows("interactions", direction="out"):
            if row["outcome"].partition(":")[0] == outcome and (
                outcome != "sent" or row["message"]
            ):
                yield row

    def refs(self) -> dict[int, str]:
        """How the platform knows each member."""
        return {row["member_id"]: row["ref"] for row in self.rows("identities")}

    def unsaid(self) -> Iterator[Json]:
        """The letters of which the chat may or may not have the message."""
        for row in self.rows("interactions", direction="out"):
            if row["outcome"].partition(":")[0] != "sent":
                yield row


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that was not kept."""

    promise: str  # "lost", "twice", "order", "limit", "left over", "broken" or "fault"
    what: str


# ---------------------------------------------------------------- gathering it


def told(api: BotAPI) -> list[Told]:
    """Every update that the server had for the bot, in the order it came about."""
    queue = api.queue()
    known: dict[int, Json] = {}
    for update in queue.told:
        known.setdefault(update["update_id"], update)
    return [
        Told(number, update, queue.handed[number], number in queue.acknowledged)
        for number, update in known.items()
    ]


def sent(api: BotAPI) -> list[Sent]:
    """Every call that was to put a message into a chat, in the order they came."""
    return [_sent(call) for call in api.journal.calls if call.method in SENDS]


def _sent(call: Call) -> Sent:
    payload = call.result if isinstance(call.result, dict) else {}
    words = call.refused.rpartition("retry after ")[2]
    return Sent(
        at=call.at,
        chat=int(call.params.get("chat_id") or 0),
        thread=int(call.params.get("message_thread_id") or 0),
        text=str(payload.get("text", payload.get("caption", ""))),
        message=int(payload.get("message_id", 0)),
        acted=call.result is not None,
        answered=not call.lost and call.status == 200,
        status=call.status,
        retry_after=int(words) if call.status == 429 and words.isdigit() else 0,
    )


async def tables(url: str, key: str) -> dict[str, Rows]:
    """Every row of the tables we look at, opened with the key."""
    opened = await database.opened(url, Seal.of(key))
    reader, found = opened.reader, dict[str, Rows]()
    try:
        for table in TABLES:
            rows = [_row(one) for one in await reader.rows(f"SELECT * FROM {table}")]  # noqa: S608
            for row in rows:
                for column in {"body", "payload", "name"} & row.keys():
                    if isinstance(row[column], bytes):
                        row[column] = reader.open(table, column, row["id"], row[column])
            found[table] = rows
    finally:
        await opened.close()
    for row in found["interactions"]:
        row["body"] = json.loads(row["body"]) if row["body"] else {}
    return found


async def integrity(url: str, key: str) -> list[str]:
    """What the database itself finds wrong with its files; nothing when all is well."""
    opened = await database.opened(url, Seal.of(key))
    try:
        if not is_sqlite(url):
            return []  # its own checksums are verified as the tables are read
        found = [_row(one) for one in await opened.reader.rows("PRAGMA integrity_check")]
        found += [_row(one) for one in await opened.reader.rows("PRAGMA foreign_key_check")]
        return [str(one) for one in found if one != {"integrity_check": "ok"}]
    finally:
        await opened.close()


async def waiting(url: str, key: str, *, now: float, grace: float = 900.0) -> int:
    """How much is still to be done within the next while (seconds): come in, going out, or due."""
    opened = await database.opened(url, Seal.of(key))
    try:
        found: int = await opened.reader.value(
            "SELECT count(*) FROM pending WHERE kind = 'in' OR due_at < :soon",
            soon=int((now + grace) * 1_000_000),
        )
        return found
    finally:
        await opened.close()


def _row(row: Any) -> Json:
    """What any driver calls a row, as a dict."""
    return dict(row)
