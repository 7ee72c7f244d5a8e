"""Pending: the small hot table of what has come in, what is going out, and what is due later."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zlib import crc32

from storage.moments import from_micros, to_micros
from storage.sealing import Sealed
from storage.writer import Change, Reader, Row

PAGE = 500
SHARES = 64  # of all lanes, each worked on by one process at a time
ALL = frozenset(range(SHARES))
EVER = 2**62  # later than any moment


@dataclass(frozen=True, slots=True)
class Waiting:
    """A row that waits: an event ("in", "woke") or a letter ("out"), as JSON in `payload`."""

    id: int
    kind: str
    channel: str
    key: str
    lane: str
    payload: str
    due: datetime
    state: str = "waiting"
    attempts: int = 0
    community: int | None = None
    member: int | None = None
    created: datetime | None = None  # when it was written down; None while it is being
    handed: Any = field(default=None, compare=False)  # what `payload` says, while in this process


INSERT = """
    INSERT INTO pending (
        id, kind, channel, key, lane, share, community_id, member_id, state, attempts, due_at,
        created_at, payload
    ) VALUES (
        :id, :kind, :channel, :key, :lane, :share, :community, :member, 'waiting', 0, :due, :at,
        :payload
    ) ON CONFLICT (channel, key) DO NOTHING
"""


def share_of(lane: str) -> int:
    """Which share the lane belongs to, the same in every process.

    >>> share_of("telegram:42")
    53
    """
    return crc32(lane.encode()) % SHARES


def taken_in(waiting: Waiting, *, at: datetime) -> list[Change]:
    """The event is ours to deal with.  Misses if the channel had told us of it before."""
    return [seen(waiting.channel, waiting.key, at=at), put(waiting, at=at)]


def seen(channel: str, key: str, *, at: datetime) -> Change:
    """The channel has told us of this.  Misses if it had before."""
    return Change(
        """
        INSERT INTO seen (channel, key, at) VALUES (:channel, :key, :at)
        ON CONFLICT (channel, key) DO NOTHING
        """,
        {"channel": channel, "key": key, "at": to_micros(at)},
        rows=1,
    )


def put(waiting: Waiting, *, at: datetime) -> Change:
    """The row waits from now on.  One with the same key that already waits stays as it is."""
    share = share_of(waiting.lane)
    return Change(
        INSERT,
        {
            "id": waiting.id, "kind": waiting.kind, "channel": waiting.channel,
            "key": waiting.key, "lane": waiting.lane, "share": share,
            "community": waiting.community, "member": waiting.member, "due": to_micros(waiting.due),
            "at": to_micros(at),
            "payload": Sealed("pending", "payload", waiting.id, waiting.payload),
        },
        wakes=f"{waiting.kind}:{share}:{waiting.id}",
    )  # fmt: skip


def settled(id: int) -> Change:
    """The row has been dealt with.  Misses if it had been already."""
    return Change("DELETE FROM pending WHERE id = :id", {"id": id}, rows=1)


def dropped(id: int) -> Change:
    """The row is gone, whether or not it still was there."""
    return Change("DELETE FROM pending WHERE id = :id", {"id": id})


def put_off(id: int, *, until: datetime, attempts: int) -> Change:
    """The row waits until then (aware), having been tried so often."""
    return Change(
        """
        UPDATE pending SET due_at = :until, attempts = :attempts, state = 'waiting'
        WHERE id = :id
        """,
        {"id": id, "until": to_micros(until), "attempts": attempts},
    )


def sending(id: int, *, again: bool = False) -> Change:
    """It is about to be sent and, whatever becomes of it, will not be sent again.

    again: whoever has it in hand tried to note this before, and does not know whether it was kept
    Misses if the row is gone, or somebody else is about to send it.
    """
    return Change(MARK_AGAIN if again else MARK, {"id": id}, rows=1)


MARK_AGAIN = "UPDATE pending SET state = 'sending' WHERE id = :id"
MARK = "UPDATE pending SET state = 'sending' WHERE id = :id AND state = 'waiting'"


def moved_out(*, channel: str, old: str, new: str) -> Change:
    """What waits to be said in a place that has a new id waits in the new lane."""
    return Change(
        """
        UPDATE pending SET lane = :new || substr(lane, length(:old) + 1)
        WHERE kind = 'out' AND channel = :channel AND (lane = :old OR lane LIKE :old || ':%')
        """,
        {"channel": channel, "old": f"{channel}:{old}", "new": f"{channel}:{new}"},
    )


async def unsettled(
    db: Reader, shares: Collection[int], *, before: datetime | None = None
) -> list[int]:
    """The ids of all events of these shares that wait, in the order of their coming.

    before: only of those written down before that moment (aware)
    """
    rows = await db.rows(
        f"""
        SELECT id FROM pending WHERE kind = 'in' AND created_at < :before AND {_among(shares)}
        ORDER BY created_at, id
        """,  # noqa: S608 - numbers of our own
        before=EVER if before is None else to_micros(before),
    )
    return [row["id"] for row in rows]


async def by_ids(db: Reader, ids: Sequence[int]) -> list[Waiting]:
    """Those of these rows that wait, in the order of their coming."""
    if not ids:
        return []
    # As many blanks as the next power of two, so that there are but a few statements to prepare.
    blanks = 1 << (len(ids) - 1).bit_length()
    names = [f"i_{_letters(n)}" for n in range(blanks)]
    padded = [*ids, *[ids[-1]] * (blanks - len(ids))]
    rows = await db.rows(
        f"""
        SELECT * FROM pending WHERE id IN ({", ".join(f":{name}" for name in names)})
        ORDER BY created_at, id
        """,  # noqa: S608 - numbered blanks
        **dict(zip(names, padded, strict=True)),
    )
    return _all(db, rows)


async def by_key(db: Reader, channel: str, key: str) -> Waiting | None:
    """The row that waits under this key; None if none does, or no longer."""
    rows = await db.rows(
        "SELECT * FROM pending WHERE channel = :channel AND key = :key AND kind <> 'out'",
        channel=channel,
        key=key,
    )
    return next(iter(_all(db, rows)), None)


async def due(
    db: Reader,
    kind: str,
    now: datetime,
    *,
    after: Waiting | None = None,
    most: int = PAGE,
    shares: Collection[int] = ALL,
) -> list[Waiting]:
    """A page of the rows of a kind due at `now`, the longest due first, from behind `after` on."""
    rows = await db.rows(
        f"""
        SELECT * FROM pending WHERE kind = :kind AND due_at <= :now AND state = 'waiting'
          AND {_among(shares)} AND (due_at > :due OR (due_at = :due AND id > :id))
        ORDER BY due_at, id LIMIT :most
        """,  # noqa: S608 - numbers of our own
        kind=kind,
        now=to_micros(now),
        due=0 if after is None else to_micros(after.due),
        id=0 if after is None else after.id,
        most=most,
    )
    return _all(db, rows)


async def in_doubt(db: Reader) -> list[Waiting]:
    """What was about to be sent when the process ended, so that nobody knows whether it was."""
    return _all(db, await db.rows("SELECT * FROM pending WHERE state = 'sending' ORDER BY id"))


async def last_seen(db: Reader) -> datetime | None:
    """When a channel, or the clock, last told us of anything; None if nothing is known of that."""
    found = await db.value("SELECT max(at) FROM seen")
    return None if found is None else from_micros(found)


async def waits(db: Reader, id: int) -> bool:
    """Whether the row is still there."""
    return await db.value("SELECT 1 FROM pending WHERE id = :id", id=id) is not None


async def next_due(
    db: Reader, kind: str, after: datetime, *, shares: Collection[int] = ALL
) -> datetime | None:
    """When, after that moment, the next row of this kind is due; None when none is."""
    found = await db.value(
        f"""
        SELECT min(due_at) FROM pending
        WHERE kind = :kind AND state = 'waiting' AND due_at > :after AND {_among(shares)}
        """,  # noqa: S608 - numbers of our own
        kind=kind,
        after=to_micros(after),
    )
    return None if found is None else from_micros(found)


async def counts(db: Reader) -> dict[str, int]:
    """How many rows of each kind wait."""
    rows = await db.rows("SELECT kind, count(*) AS n FROM pending GROUP BY kind")
    return {row["kind"]: row["n"] for row in rows}


def forgotten_before(at: datetime) -> Change:
    """Repeats of what a channel told us before then are no longer expected."""
    return Change("DELETE FROM seen WHERE at < :at", {"at": to_micros(at)})


def _letters(number: int) -> str:
    """The number in letters, as blanks have no digits in their names."""
    return chr(97 + number // 676) + chr(97 + number // 26 % 26) + chr(97 + number % 26)


def _among(shares: Collection[int]) -> str:
    """The condition that a row is of these shares; numbers all of them, and our own."""
    if len(shares) == SHARES:
        return "TRUE"
    return f"share IN ({', '.join(map(str, sorted(shares)))})" if shares else "FALSE"


def _all(db: Reader, rows: Sequence[Row]) -> list[Waiting]:
    return [
        Waiting(
            id=row["id"],
            kind=row["kind"],
            channel=row["channel"],
            key=row["key"],
            lane=row["lane"],
            payload=db.open("pending", "payload", row["id"], row["payload"]),
            due=from_micros(row["due_at"]),
            state=row["state"],
            attempts=row["attempts"],
            community=row["community_id"],
            member=row["member_id"],
            created=from_micros(row["created_at"]),
        )
        for row in rows
    ]
