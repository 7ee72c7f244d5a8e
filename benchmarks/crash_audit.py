"""The audit after a crash campaign: nothing lost, nothing twice, everything in its order.

Pure functions over the evidence, one for each promise; what they yield are violations.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benchmarks import crash_effects, crash_letters, crash_pace
from benchmarks.crash_evidence import Evidence, Violation
from benchmarks.crash_letters import Copies

# The columns that name a member, beside which there must be one.
MEMBERS_OF = {
    "cases": ("member_id", "assignee_id"), "conversations": ("member_id",),
    "facts": ("member_id", "about_id"), "identities": ("member_id",),
    "interactions": ("member_id",), "invites": ("member_id",), "pending": ("member_id",),
    "threads": ("member_id",),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tally:
    """What is allowed, and counted, and shown."""

    updates: int
    repeated_updates: int
    sends: int
    repeated_sends: int  # the platform had them, and was not known to
    unknowns: int  # at most once, and nobody knows
    set_aside: int  # being dealt with alone at three ends of a process, and blamed for them
    asked_to_slow_down: int
    slowest_recovery: float  # seconds from the start of a process to the first message after it
    largest: str  # the fullest windows the server saw


Check = Callable[[Evidence], Iterator[Violation]]


def audit(evidence: Evidence) -> list[Violation]:
    """Every promise that was not kept."""
    return [violation for check in CHECKS for violation in check(evidence)]


def tally(evidence: Evidence) -> Tally:
    """What is counted and shown, whether or not all is well."""
    extra = Copies.of(evidence)
    return Tally(
        updates=len(evidence.told),
        repeated_updates=sum(one.handed - 1 for one in evidence.told if one.handed),
        sends=sum(one.acted for one in evidence.sent),
        repeated_sends=len(extra.repeats),
        unknowns=sum(1 for _ in evidence.ended("unknown")),
        set_aside=sum(crash_effects.BLAMED in row["reason"] for row in evidence.rows("quarantine")),
        asked_to_slow_down=sum(one.status == 429 for one in evidence.sent),
        slowest_recovery=max(recoveries(evidence), default=0.0),
        largest=crash_pace.windows(evidence),
    )


def recoveries(evidence: Evidence) -> list[float]:
    """Seconds from each start to the first message after it, if it was left alive for so long."""
    edges = sorted([*evidence.starts, *(one.at for one in evidence.kills)])
    found = []
    for start in evidence.starts:
        end = next((edge for edge in edges if edge > start), float("inf"))
        first = next((s.at for s in evidence.sent if s.acted and start < s.at <= end), None)
        if first is not None:
            found.append(first - start)
    return found


# ---------------------------------------------------------------- what is left


def left_over(evidence: Evidence) -> Iterator[Violation]:
    """Nothing waits any more but what is due much later."""
    if evidence.unsettled:
        yield Violation("left over", evidence.unsettled)
    soon = (evidence.now + 600) * 1_000_000
    for row in evidence.rows("pending"):
        if row["kind"] == "in" or row["state"] == "sending" or row["due_at"] < soon:
            yield Violation("left over", f"{row['kind']} {row['key']} is {row['state']}")


def whole(evidence: Evidence) -> Iterator[Violation]:
    """The database is sound, and no row speaks of a member who is not there."""
    for complaint in evidence.integrity:
        yield Violation("broken", f"integrity: {complaint}")
    members = {row["id"] for row in evidence.rows("members")}
    for table, columns in MEMBERS_OF.items():
        for row in evidence.rows(table):
            for column in columns:
                if row[column] and row[column] not in members:
                    yield Violation("broken", f"{table}.{column} {row[column]} is nobody")
    known = Counter((row["channel"], row["ref"]) for row in evidence.rows("identities"))
    communities = Counter(
        (row["channel"], row["ref"], row["community_id"]) for row in evidence.rows("identities")
    )
    for person, times in communities.items():
        if times > 1:
            yield Violation("twice", f"{person} is {times} members; {known[person[:2]]} in all")


def ended_well(evidence: Evidence) -> Iterator[Violation]:
    """Told to stop, it stops in good order; and it found no fault in itself."""
    if evidence.status:
        yield Violation("fault", f"it ended with status {evidence.status}")
    for fault in evidence.faults:
        yield Violation("fault", fault)


CHECKS: tuple[Check, ...] = (
    crash_effects.heard,
    crash_effects.logged_once,
    crash_effects.counters,
    crash_effects.check_ins,
    crash_effects.referrals,
    crash_effects.cases,
    crash_effects.greetings,
    crash_letters.letters,
    crash_letters.said_again,
    crash_letters.answers,
    crash_letters.talk,
    crash_letters.order,
    crash_letters.sleep,
    crash_pace.limits,
    crash_pace.patient,
    left_over,
    whole,
    ended_well,
)
