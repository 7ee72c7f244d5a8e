"""Cases: conversations that staff must answer, one open case a member at most."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from storage.moments import from_micros, to_micros
from storage.writer import Change, Reader, Row


@dataclass(frozen=True, slots=True)
class Case:
    """A work item; `number` is what people call it in their community."""

    id: int
    community: int
    member: int
    number: int
    reason: str
    opened_at: datetime
    assignee: int | None = None
    claimed_at: datetime | None = None
    closed_at: datetime | None = None

    @property
    def waiting(self) -> bool:
        """Whether nobody answers it yet."""
        return self.assignee is None


async def by_id(db: Reader, id: int) -> Case | None:
    """The case with this id, open or closed."""
    row = await db.row("SELECT * FROM cases WHERE id = :id", id=id)
    return None if row is None else _case(row)


async def open_case(db: Reader, member: int) -> Case | None:
    """The member's open case, if there is one."""
    row = await db.row(
        "SELECT * FROM cases WHERE member_id = :member AND closed_at IS NULL", member=member
    )
    return None if row is None else _case(row)


async def ahead(db: Reader, case: Case) -> int:
    """How many unclaimed cases of the community have waited longer than this one."""
    found: int = await db.value(
        """
        SELECT count(*) FROM cases
        WHERE community_id = :community AND closed_at IS NULL AND assignee_id IS NULL
          AND (opened_at < :at OR (opened_at = :at AND id < :id))
        """,
        community=case.community,
        at=to_micros(case.opened_at),
        id=case.id,
    )
    return found


async def waiting(db: Reader, community: int) -> list[Case]:
    """The community's open cases, longest waiting first."""
    rows = await db.rows(
        "SELECT * FROM cases WHERE community_id = :c AND closed_at IS NULL ORDER BY opened_at, id",
        c=community,
    )
    return [_case(row) for row in rows]


async def count_open(db: Reader, community: int) -> int:
    """How many of the community's cases are open."""
    found: int = await db.value(
        "SELECT count(*) FROM cases WHERE community_id = :c AND closed_at IS NULL", c=community
    )
    return found


async def next_number(db: Reader, community: int) -> int:
    """The number for the community's next case."""
    last = await db.value("SELECT max(number) FROM cases WHERE community_id = :c", c=community)
    return int(last or 0) + 1


def opened(case: Case) -> Change:
    """The case is open.  Misses if the member already has one, or its number is taken."""
    return Change(
        """
        INSERT INTO cases (id, community_id, member_id, number, reason, opened_at, closed_by)
        SELECT :id, :community, :member, :number, :reason, :at, ''
        WHERE NOT EXISTS (
            SELECT 1 FROM cases WHERE community_id = :community AND number = :number
        )
        """,
        {
            "id": case.id, "community": case.community, "member": case.member,
            "number": case.number, "reason": case.reason, "at": to_micros(case.opened_at),
        },
        rows=1,
    )  # fmt: skip


def claimed(case: int, *, by: int, at: datetime) -> Change:
    """This staff member answers it.  Misses if somebody else already does."""
    return Change(
        """
        UPDATE cases SET assignee_id = :by, claimed_at = :at
        WHERE id = :id AND assignee_id IS NULL AND closed_at IS NULL
        """,
        {"id": case, "by": by, "at": to_micros(at)},
        rows=1,
    )


def passed_on(case: int, *, of: int, to: int, at: datetime) -> Change:
    """Another staff member answers it.  Misses if `of` no longer does, or it is closed."""
    return Change(
        """
        UPDATE cases SET assignee_id = :to, claimed_at = :at
        WHERE id = :id AND assignee_id = :of AND closed_at IS NULL
        """,
        {"id": case, "of": of, "to": to, "at": to_micros(at)},
        rows=1,
    )


def closed(case: int, *, by: str, at: datetime) -> Change:
    """It is done: `by` "staff" or "member".  Misses if it already was."""
    return Change(
        "UPDATE cases SET closed_at = :at, closed_by = :by WHERE id = :id AND closed_at IS NULL",
        {"id": case, "by": by, "at": to_micros(at)},
        rows=1,
    )


def _case(row: Row) -> Case:
    return Case(
        id=row["id"],
        community=row["community_id"],
        member=row["member_id"],
        number=row["number"],
        reason=row["reason"],
        opened_at=from_micros(row["opened_at"]),
        assignee=row["assignee_id"],
        claimed_at=None if row["claimed_at"] is None else from_micros(row["claimed_at"]),
        closed_at=None if row["closed_at"] is None else from_micros(row["closed_at"]),
    )
