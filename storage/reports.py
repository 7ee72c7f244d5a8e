"""Reports: the questions behind the dashboard, asked of counts and facts.

They may take their time, so ask them of the reader in storage/unhurried.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from storage import quarantine
from storage.database import Database, is_sqlite
from storage.moments import from_micros, to_micros
from storage.quarantine import Quarantined
from storage.writer import Reader, Row

MOST = 50  # of a list on a page

# What was set aside, with the community of whom it is about; of nobody, it is nobody's.
SET_ASIDE = """
    SELECT q.id, q.channel, q.key, q.reason, q.attempts, q.at, q.payload, q.member_id,
        m.community_id, m.name
    FROM quarantine q LEFT JOIN members m ON m.id = q.member_id
"""


# ---------------------------------------------------------------- who may look


@dataclass(frozen=True, slots=True)
class Standing:
    """What somebody is in one of the communities that know them."""

    member: int
    community: int
    role: str
    name: str
    language: str
    zone: str


async def standings(db: Reader, member: int) -> list[Standing]:
    """What the person behind this member is, in every community that knows them, by its id.

    A person is whoever a channel knows by the same id.
    """
    rows = await db.rows(
        """
        SELECT DISTINCT m.id, m.community_id, m.role, m.name, m.language, m.zone
        FROM identities mine
        JOIN identities i ON i.channel = mine.channel AND i.ref = mine.ref
        JOIN members m ON m.id = i.member_id
        WHERE mine.member_id = :member
        ORDER BY m.community_id
        """,
        member=member,
    )
    return [
        Standing(
            member=row["id"],
            community=row["community_id"],
            role=row["role"],
            name=db.open("members", "name", row["id"], row["name"]),
            language=row["language"],
            zone=row["zone"],
        )
        for row in rows
    ]


# ---------------------------------------------------------------- how the community is doing


async def happened(
    db: Reader, community: int, *, since: datetime, until: datetime
) -> dict[str, int]:
    """How often what the dashboard counts happened from `since` to before `until` (aware).

    Names of facts, without those that did not happen.
    """
    rows = await db.rows(
        """
        SELECT name, count(*) AS n FROM facts
        WHERE community_id = :community
          AND name IN ('joined', 'left', 'referred', 'checked_in', 'answered', 'unanswered')
          AND at >= :since AND at < :until
        GROUP BY name
        """,
        community=community,
        since=to_micros(since),
        until=to_micros(until),
    )
    return {row["name"]: row["n"] for row in rows}


async def began(db: Reader, community: int) -> datetime | None:
    """When the first of these things happened; None while nothing has."""
    found = await db.value(
        """
        SELECT min(first) FROM (
            SELECT min(at) AS first FROM facts WHERE community_id = :c AND name = 'joined'
            UNION ALL
            SELECT min(at) FROM facts WHERE community_id = :c AND name = 'checked_in'
            UNION ALL
            SELECT min(at) FROM facts WHERE community_id = :c AND name = 'answered'
            UNION ALL
            SELECT min(at) FROM facts WHERE community_id = :c AND name = 'unanswered'
        ) AS firsts
        """,
        c=community,
    )
    return None if found is None else from_micros(found)


@dataclass(frozen=True, slots=True)
class Waits:
    """Open cases: how many, how many of them nobody answers, and since when the first waits."""

    open: int
    unclaimed: int
    since: datetime | None


async def waits(db: Reader, community: int) -> Waits:
    """Who waits for a person."""
    row = await db.row(
        """
        SELECT count(*) AS n,
            count(CASE WHEN assignee_id IS NULL THEN 1 END) AS unclaimed,
            min(CASE WHEN assignee_id IS NULL THEN opened_at END) AS since
        FROM cases WHERE community_id = :c AND closed_at IS NULL
        """,
        c=community,
    )
    assert row is not None
    since = row["since"]
    return Waits(row["n"], row["unclaimed"], None if since is None else from_micros(since))


# ---------------------------------------------------------------- what was set aside


@dataclass(frozen=True, slots=True)
class SetAside:
    """What was set aside, whose community it belongs to, and the name of whom it is about."""

    held: Quarantined
    community: int | None
    name: str


async def set_aside(
    db: Reader, community: int, *, nobodys: bool, most: int = MOST
) -> list[SetAside]:
    """What was set aside in the community, latest first.

    nobodys: with what belongs to no community, such as what could not be read at all
    """
    rows = await db.rows(
        f"{SET_ASIDE} WHERE m.community_id = :c OR (:nobodys = 1 AND m.community_id IS NULL)"
        " ORDER BY q.at DESC, q.id DESC LIMIT :most",
        c=community,
        nobodys=int(nobodys),
        most=most,
    )
    return [_set_aside(db, row) for row in rows]


async def set_aside_as(db: Reader, id: int) -> SetAside | None:
    """What was set aside under this number."""
    row = await db.row(f"{SET_ASIDE} WHERE q.id = :id", id=id)
    return None if row is None else _set_aside(db, row)


async def count_set_aside(db: Reader, community: int, *, nobodys: bool) -> int:
    """How much is set aside, as in `set_aside`."""
    found: int = await db.value(
        """
        SELECT count(*) FROM quarantine q LEFT JOIN members m ON m.id = q.member_id
        WHERE m.community_id = :c OR (:nobodys = 1 AND m.community_id IS NULL)
        """,
        c=community,
        nobodys=int(nobodys),
    )
    return found


def _set_aside(db: Reader, row: Row) -> SetAside:
    name = db.open("members", "name", row["member_id"] or 0, row["name"])
    return SetAside(quarantine.known(db, row), row["community_id"], name)


# ---------------------------------------------------------------- the machine room


@dataclass(frozen=True, slots=True)
class Queue:
    """What waits of one kind: how much is due, the first of it since when, and what is not yet.

    The letters of a message to many that is paused are not due.
    """

    kind: str  # "in", "out" or "woke"
    due: int = 0
    since: datetime | None = None
    later: int = 0


async def queues(db: Reader, *, now: datetime, community: int | None) -> list[Queue]:
    """What comes in, what goes out and what the clock woke, in that order.

    community: whose; None for all of them together
    """
    rows = await db.rows(
        """
        SELECT kind, count(*) AS n,
            count(CASE WHEN due_at <= :now AND state NOT LIKE 'paused:%' THEN 1 END) AS due,
            min(CASE WHEN state NOT LIKE 'paused:%' THEN due_at END) AS since
        FROM pending WHERE CAST(:c AS BIGINT) IS NULL OR community_id = :c GROUP BY kind
        """,
        now=to_micros(now),
        c=community,
    )
    found = {row["kind"]: _queue(row) for row in rows}
    return [found.get(kind, Queue(kind)) for kind in ("in", "out", "woke")]


def _queue(row: Row) -> Queue:
    due = row["due"]
    since = from_micros(row["since"]) if due else None
    return Queue(row["kind"], due, since, row["n"] - due)


async def outcomes(
    db: Reader, *, since: datetime, until: datetime, community: int | None
) -> dict[str, int]:
    """What became of all that was said from `since` to before `until`, as the log has it.

    "sent", "unknown", and "failed" and "withheld" each with its reason behind a colon.
    """
    rows = await db.rows(
        """
        SELECT outcome, count(*) AS n FROM interactions
        WHERE at >= :since AND at < :until AND direction = 'out'
          AND (CAST(:c AS BIGINT) IS NULL OR community_id = :c)
        GROUP BY outcome
        """,
        since=to_micros(since),
        until=to_micros(until),
        c=community,
    )
    return {row["outcome"]: row["n"] for row in rows}


async def size(database: Database, db: Reader) -> tuple[str, int]:
    """Which kind of database it is, and its size in bytes."""
    if is_sqlite(database.url):
        pages = "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
        return "SQLite", await db.value(pages)
    return "PostgreSQL", await db.value("SELECT pg_database_size(current_database())")
