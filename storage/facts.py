"""Facts: countable things that happened to members, named once, never changed."""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum

from storage.moments import to_micros
from storage.writer import Change, Reader


class Fact(StrEnum):
    """Everything that can have happened, in the past tense."""

    JOINED = "joined"
    LEFT = "left"
    GREETED = "greeted"
    CHECKED_IN = "checked_in"  # amount: the streak it made
    ASKED = "asked"
    ANSWERED = "answered"
    UNANSWERED = "unanswered"
    HANDED_OVER = "handed_over"
    NEEDED_HUMAN = "needed_human"  # amount: how many unanswered questions led to it
    WROTE_WAITING = "wrote_waiting"  # before anybody claimed their case; once a case
    CLAIMED = "claimed"  # member: the staff; about: whose case it is
    CLOSED = "closed"  # likewise
    FOUND_HELPFUL = "found_helpful"
    FOUND_WRONG = "found_wrong"
    REFERRED = "referred"  # member: who invited; about: who came


def recorded(
    *,
    id: int,
    community: int,
    member: int,
    fact: Fact,
    amount: int,
    day: date,
    at: datetime,
    once: str | None,
    about: int | None,
) -> Change:
    """This happened.  Misses if `once` is given and the same had happened before."""
    return Change(
        """
        INSERT INTO facts (id, community_id, member_id, about_id, name, amount, day, at, once)
        VALUES (:id, :community, :member, :about, :name, :amount, :day, :at, :once)
        ON CONFLICT (community_id, name, once) DO NOTHING
        """,
        {
            "id": id, "community": community, "member": member, "about": about,
            "name": fact.value, "amount": amount, "day": day.isoformat(), "at": to_micros(at),
            "once": once,
        },
        rows=1,
    )  # fmt: skip


async def days(db: Reader, member: int, fact: Fact, *, since: date, until: date) -> set[date]:
    """The member's own calendar days, from `since` to `until` inclusive, on which it happened."""
    rows = await db.rows(
        """
        SELECT DISTINCT day FROM facts
        WHERE member_id = :member AND name = :name AND day >= :since AND day <= :until
        """,
        member=member,
        name=fact.value,
        since=since.isoformat(),
        until=until.isoformat(),
    )
    return {date.fromisoformat(row["day"]) for row in rows}


async def happened(db: Reader, community: int, fact: Fact, once: str) -> bool:
    """Whether the fact with this unique key has been recorded."""
    found = await db.value(
        "SELECT 1 FROM facts WHERE community_id = :community AND name = :name AND once = :once",
        community=community,
        name=fact.value,
        once=once,
    )
    return found is not None


async def count(db: Reader, community: int, fact: Fact, *, since: datetime) -> int:
    """How often it happened in a community since a moment (aware)."""
    found: int = await db.value(
        """
        SELECT count(*) FROM facts
        WHERE community_id = :community AND name = :name AND at >= :since
        """,
        community=community,
        name=fact.value,
        since=to_micros(since),
    )
    return found


async def times(db: Reader, member: int, fact: Fact) -> int:
    """How often this happened to the member."""
    found: int = await db.value(
        "SELECT count(*) FROM facts WHERE member_id = :member AND name = :name",
        member=member,
        name=fact.value,
    )
    return found


async def about(db: Reader, member: int, fact: Fact) -> list[int]:
    """The members it happened about, latest first; such as those whom `member` brought."""
    rows = await db.rows(
        """
        SELECT about_id FROM facts
        WHERE member_id = :member AND name = :name AND about_id IS NOT NULL
        ORDER BY at DESC, id DESC
        """,
        member=member,
        name=fact.value,
    )
    return [row["about_id"] for row in rows]


async def nth(db: Reader, member: int, fact: Fact, *, about: int) -> int | None:
    """The how-manieth time it happened to `member` when it was about this other one.

    1 for the first; None if it never was about them.
    """
    found: int = await db.value(
        """
        SELECT count(*) FROM facts f
        JOIN facts this ON this.member_id = f.member_id AND this.name = f.name
        WHERE this.member_id = :member AND this.name = :name AND this.about_id = :about
          AND (f.at < this.at OR (f.at = this.at AND f.id <= this.id))
        """,
        member=member,
        name=fact.value,
        about=about,
    )
    return found or None
