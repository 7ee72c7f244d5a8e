"""Interactions: the past, one row for everything heard and said, only ever appended."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime

from storage.members import Member
from storage.moments import from_micros, to_micros
from storage.sealing import Sealed
from storage.writer import Change, Reader, Row


@dataclass(frozen=True, slots=True)
class Interaction:
    """Something that was heard ("in") or said ("out")."""

    id: int
    community: int | None
    member: int | None
    channel: str
    direction: str
    kind: str  # of what was heard: the event's kind; of what was said: the capability
    at: datetime
    place: str = ""
    message: str = ""
    outcome: str = ""
    mirrors: int | None = None
    body: str = ""

    @property
    def text(self) -> str:
        """What was said or heard, without what else is kept of it."""
        return str(json.loads(self.body).get("text", "")) if self.body else ""


def logged(one: Interaction) -> Change:
    """This belongs to the past now.  Once: a second row with the id is a fault."""
    return Change(
        """
        INSERT INTO interactions (
            id, community_id, member_id, channel, place, message, direction, kind, outcome,
            mirrors, body, at
        ) VALUES (
            :id, :community, :member, :channel, :place, :message, :direction, :kind, :outcome,
            :mirrors, :body, :at
        )
        """,
        {
            "id": one.id, "community": one.community, "member": one.member,
            "channel": one.channel, "place": one.place, "message": one.message,
            "direction": one.direction, "kind": one.kind, "outcome": one.outcome,
            "mirrors": one.mirrors, "at": to_micros(one.at),
            "body": Sealed("interactions", "body", one.id, one.body) if one.body else None,
        },
        rows=1,
    )  # fmt: skip


async def by_message(db: Reader, *, channel: str, place: str, message: str) -> Interaction | None:
    """The interaction whose message has this id in this chat, whoever said it."""
    row = await db.row(
        """
        SELECT * FROM interactions
        WHERE channel = :channel AND place = :place AND message = :message
        ORDER BY id LIMIT 1
        """,
        channel=channel,
        place=place,
        message=message,
    )
    return None if row is None else _interaction(db, row)


async def copies(db: Reader, of: int) -> list[Interaction]:
    """Where an interaction was carried to, and under which message ids."""
    rows = await db.rows(
        "SELECT * FROM interactions WHERE mirrors = :of AND message <> '' ORDER BY id", of=of
    )
    return [_interaction(db, row) for row in rows]


async def underway(db: Reader, *, member: int, of: int) -> list[int]:
    """The letters that carry an interaction and have not been said yet."""
    rows = await db.rows(
        "SELECT id, payload FROM pending WHERE kind = 'out' AND member_id = :member ORDER BY id",
        member=member,
    )
    letters = {row["id"]: db.open("pending", "payload", row["id"], row["payload"]) for row in rows}
    return [id for id, letter in letters.items() if json.loads(letter).get("mirrors") == of]


async def message_of(db: Reader, letter: int) -> Interaction | None:
    """What became of a letter; None while it has not been said."""
    row = await db.row("SELECT * FROM interactions WHERE id = :id", id=letter)
    return None if row is None else _interaction(db, row)


async def private_talk(db: Reader, member: Member, *, most: int = 8) -> list[Interaction]:
    """What was last said in the member's private chat by either side, oldest first."""
    rows = await db.rows(
        """
        SELECT * FROM interactions
        WHERE member_id = :member AND channel = :channel AND place = :place
          AND (kind = 'said' OR (direction = 'out' AND message <> ''))
        ORDER BY at DESC, id DESC LIMIT :most
        """,
        member=member.id,
        channel=member.channel,
        place=member.home,
        most=most,
    )
    return [_interaction(db, row) for row in reversed(rows)]


async def said_since(db: Reader, since: datetime) -> list[tuple[str, str, datetime]]:
    """The channel, place and moment of everything that went out from then on, oldest first."""
    rows = await db.rows(
        """
        SELECT channel, place, at FROM interactions
        WHERE at >= :since AND direction = 'out' AND message <> '' ORDER BY at
        """,
        since=to_micros(since),
    )
    return [(row["channel"], row["place"], from_micros(row["at"])) for row in rows]


def pruned(before: datetime) -> Change:
    """What is older than that is deleted."""
    return Change("DELETE FROM interactions WHERE at < :at", {"at": to_micros(before)})


def _interaction(db: Reader, row: Row) -> Interaction:
    return Interaction(
        id=row["id"],
        community=row["community_id"],
        member=row["member_id"],
        channel=row["channel"],
        direction=row["direction"],
        kind=row["kind"],
        at=from_micros(row["at"]),
        place=row["place"],
        message=row["message"],
        outcome=row["outcome"],
        mirrors=row["mirrors"],
        body=db.open("interactions", "body", row["id"], row["body"]),
    )
