"""Quarantine: what could not be dealt with, kept whole until somebody looks at it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from storage.moments import from_micros, to_micros
from storage.sealing import Sealed
from storage.writer import Change, Reader, Row

KEPT = timedelta(days=90)  # time enough to look at it


@dataclass(frozen=True, slots=True)
class Quarantined:
    """An event that failed, or a payload that could not be read."""

    id: int
    channel: str
    key: str
    reason: str
    at: datetime
    payload: str
    attempts: int = 1
    member: int | None = None


def put(one: Quarantined) -> Change:
    """It is set aside; the same event is set aside once."""
    return Change(
        """
        INSERT INTO quarantine (id, channel, key, member_id, reason, attempts, at, payload)
        VALUES (:id, :channel, :key, :member, :reason, :attempts, :at, :payload)
        ON CONFLICT (channel, key) DO NOTHING
        """,
        {
            "id": one.id, "channel": one.channel, "key": one.key, "member": one.member,
            "reason": one.reason[:500], "attempts": one.attempts, "at": to_micros(one.at),
            "payload": Sealed("quarantine", "payload", one.id, one.payload),
        },
    )  # fmt: skip


def pruned(before: datetime) -> Change:
    """What was set aside before then is deleted."""
    return Change("DELETE FROM quarantine WHERE at < :at", {"at": to_micros(before)})


def released(id: int) -> Change:
    """It is set aside no more.  Misses if there is no such thing."""
    return Change("DELETE FROM quarantine WHERE id = :id", {"id": id}, rows=1)


async def held(db: Reader, *, most: int = 50) -> list[Quarantined]:
    """What is set aside, latest first."""
    rows = await db.rows("SELECT * FROM quarantine ORDER BY at DESC, id DESC LIMIT :m", m=most)
    return [known(db, row) for row in rows]


async def by_id(db: Reader, id: int) -> Quarantined | None:
    """What is set aside under this number."""
    row = await db.row("SELECT * FROM quarantine WHERE id = :id", id=id)
    return None if row is None else known(db, row)


async def count(db: Reader) -> int:
    """How much is set aside."""
    found: int = await db.value("SELECT count(*) FROM quarantine")
    return found


def known(db: Reader, row: Row) -> Quarantined:
    """What is set aside, from its row."""
    return Quarantined(
        id=row["id"],
        channel=row["channel"],
        key=row["key"],
        reason=row["reason"],
        at=from_micros(row["at"]),
        payload=db.open("quarantine", "payload", row["id"], row["payload"]),
        attempts=row["attempts"],
        member=row["member_id"],
    )
