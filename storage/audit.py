"""Audit: the tables as they are, in plain rows, for comparing them with what was seen outside."""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import date, datetime
from typing import Any, NamedTuple

from storage.moments import from_micros, to_micros
from storage.writer import Reader, Row

ID = re.compile(r"(^|_)id$|^mirrors$|^reached$|^progress$")  # columns that number rows


class Person(NamedTuple):
    """A member, as the tables have them."""

    id: int
    community: int
    ref: str
    home: str
    zone: str
    next_zone: str
    role: str
    status: str
    silenced: bool
    reminders: bool
    streak: int
    longest: int
    checked_in_on: date | None
    messages: int
    invited_by: int | None
    referred: int


class Happened(NamedTuple):
    """A fact."""

    id: int
    community: int
    member: int | None
    about: int | None
    name: str
    amount: int
    day: date
    at: datetime


class Logged(NamedTuple):
    """A row of the past."""

    id: int
    community: int | None
    member: int | None
    place: str
    message: str
    direction: str
    kind: str
    outcome: str
    at: datetime


class Issue(NamedTuple):
    """A case, and who it is about."""

    id: int
    community: int
    member: int
    number: int
    assigned: bool
    opened_at: datetime
    closed_at: datetime | None


class Talk(NamedTuple):
    """Who speaks with a member."""

    member: int
    community: int
    speaker: str


class Waits(NamedTuple):
    """A row that waits."""

    id: int
    kind: str
    key: str
    state: str
    due: datetime
    community: int | None
    member: int | None


async def people(db: Reader, ids: Collection[int] | None = None) -> list[Person]:
    """All members, or these, each as one of their channels knows them."""
    rows = await db.rows(
        f"""
        SELECT m.*, i.ref, i.home FROM members m JOIN identities i ON i.member_id = m.id
        WHERE {_among("m.id", ids)} ORDER BY m.id
        """  # noqa: S608 - numbers of our own
    )
    return [
        Person(
            row["id"], row["community_id"], row["ref"], row["home"], row["zone"], row["next_zone"],
            row["role"], row["status"], bool(row["silenced"]), bool(row["reminders"]),
            row["streak"], row["longest"], _day(row["checked_in_on"]), row["messages"],
            row["invited_by"], row["referred"],
        )
        for row in rows
    ]  # fmt: skip


async def facts(db: Reader, ids: Collection[int] | None = None) -> list[Happened]:
    """Everything that happened, or what happened to these members, oldest first."""
    rows = await db.rows(
        f"""
        SELECT id, community_id, member_id, about_id, name, amount, day, at FROM facts
        WHERE {_among("member_id", ids)} ORDER BY at, id
        """  # noqa: S608 - numbers of our own
    )
    return [
        Happened(
            row["id"], row["community_id"], row["member_id"], row["about_id"], row["name"],
            row["amount"], date.fromisoformat(row["day"]), from_micros(row["at"]),
        )
        for row in rows
    ]  # fmt: skip


async def log(db: Reader, *, since: datetime) -> list[Logged]:
    """What was heard and said since a moment (aware), oldest first."""
    rows = await db.rows(
        """
        SELECT id, community_id, member_id, place, message, direction, kind, outcome, at
        FROM interactions WHERE at >= :since ORDER BY at, id
        """,
        since=to_micros(since),
    )
    return [_logged(row) for row in rows]


async def heard_at(db: Reader, moments: Collection[datetime]) -> list[Logged]:
    """What was heard of those things that happened at these moments (aware)."""
    rows = await db.rows(
        f"""
        SELECT id, community_id, member_id, place, message, direction, kind, outcome, at
        FROM interactions WHERE direction = 'in' AND {_among("at", map(to_micros, moments))}
        """  # noqa: S608 - numbers of our own
    )
    return [_logged(row) for row in rows]


async def said_by(db: Reader, ids: Collection[int] | None = None) -> dict[int, int]:
    """How many messages of each member, or of each of these, are in the log."""
    rows = await db.rows(
        f"""
        SELECT member_id, count(*) AS n FROM interactions
        WHERE direction = 'in' AND kind = 'said' AND {_among("member_id", ids)} GROUP BY member_id
        """  # noqa: S608 - numbers of our own
    )
    return {row["member_id"]: row["n"] for row in rows}


async def issues(db: Reader, ids: Collection[int] | None = None) -> list[Issue]:
    """All cases, or those of these members."""
    rows = await db.rows(
        f"SELECT * FROM cases WHERE {_among('member_id', ids)} ORDER BY id"  # noqa: S608
    )
    return [
        Issue(
            row["id"], row["community_id"], row["member_id"], row["number"],
            row["assignee_id"] is not None, from_micros(row["opened_at"]),
            None if row["closed_at"] is None else from_micros(row["closed_at"]),
        )
        for row in rows
    ]  # fmt: skip


async def talks(db: Reader, ids: Collection[int] | None = None) -> list[Talk]:
    """Who speaks with every member who has a conversation, or with these."""
    rows = await db.rows(
        "SELECT member_id, community_id, speaker FROM conversations"  # noqa: S608
        f" WHERE {_among('member_id', ids)}"
    )
    return [Talk(row["member_id"], row["community_id"], row["speaker"]) for row in rows]


async def speaks_with(db: Reader, ref: str) -> set[str]:
    """Who speaks with this person, in each of their communities."""
    rows = await db.rows(
        """
        SELECT c.speaker FROM conversations c JOIN identities i ON i.member_id = c.member_id
        WHERE i.ref = :ref
        """,
        ref=ref,
    )
    return {row["speaker"] for row in rows}


async def waiting(db: Reader) -> list[Waits]:
    """Every row that waits."""
    rows = await db.rows(
        "SELECT id, kind, key, state, due_at, community_id, member_id FROM pending ORDER BY id"
    )
    return [
        Waits(
            row["id"], row["kind"], row["key"], row["state"], from_micros(row["due_at"]),
            row["community_id"], row["member_id"],
        )
        for row in rows
    ]  # fmt: skip


async def set_aside(db: Reader) -> list[str]:
    """The keys of what is in quarantine, in order."""
    return [row["key"] for row in await db.rows("SELECT key FROM quarantine ORDER BY key")]


async def members_of(db: Reader, refs: Collection[str]) -> list[int]:
    """The ids of the members that these people are."""
    if not refs:
        return []
    marks = ", ".join(f":p_{_letters(n)}" for n in range(len(refs)))
    rows = await db.rows(
        f"SELECT member_id FROM identities WHERE ref IN ({marks})",  # noqa: S608
        **{f"p_{_letters(n)}": ref for n, ref in enumerate(refs)},
    )
    return [row["member_id"] for row in rows]


async def members(db: Reader) -> int:
    """How many members there are in all communities together."""
    found: int = await db.value("SELECT count(*) FROM members")
    return found


async def community_names(db: Reader) -> list[str]:
    """What the communities are called, oldest first."""
    return [row["name"] for row in await db.rows("SELECT name FROM communities ORDER BY id")]


async def content(db: Reader) -> dict[str, list[str]]:
    """What every table says, row by row and sorted, with names in place of row numbers.

    Two databases in which the same has happened give the same, whatever numbers were
    handed out, and however their rows were sealed.
    """
    from storage.privacy import tables

    names = {row["member_id"]: row["ref"] for row in await db.rows("SELECT * FROM identities")}
    names |= {row["id"]: row["name"] for row in await db.rows("SELECT * FROM communities")}
    said: dict[str, list[str]] = {}
    for table, privacy in tables():
        sealed = privacy.sealed if privacy is not None else ()
        lines = []
        for row in await db.rows(f"SELECT * FROM {table.name}"):  # noqa: S608 - our own tables
            cells = [
                f"{column.name}={_cell(db, table.name, row, column.name, sealed, names)}"
                for column in table.columns
                if column.name not in NUMBERED
            ]
            lines.append(" ".join(cells))
        said[table.name] = sorted(lines)
    return said


# Columns made of row numbers: keys, the words of letters and wakings, and where lanes belong.
NUMBERED = frozenset({"once", "key", "payload", "digest", "next_id", "taken", "data"})


def _cell(
    db: Reader, table: str, row: Row, column: str, sealed: tuple[str, ...], names: dict[int, str]
) -> Any:
    value = row[column]
    if column in sealed:
        return db.open(table, column, row["id"], value)
    if ID.search(column) and value is not None:
        return names.get(value, "#")
    return bool(value) if column in ("silenced", "reminders") else value


def _logged(row: Row) -> Logged:
    return Logged(
        row["id"], row["community_id"], row["member_id"], row["place"], row["message"],
        row["direction"], row["kind"], row["outcome"], from_micros(row["at"]),
    )  # fmt: skip


def _among(column: str, numbers: Any) -> str:
    if numbers is None:
        return "TRUE"
    return f"{column} IN ({', '.join(str(int(one)) for one in numbers) or 'NULL'})"


def _letters(number: int) -> str:
    """A number as letters, for a blank's name."""
    return "".join(chr(ord("a") + int(digit)) for digit in str(number))


def _day(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)
