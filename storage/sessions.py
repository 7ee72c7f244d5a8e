"""Sessions: who is logged in to the pages, known only by the digest of a secret."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from storage.moments import from_micros, to_micros
from storage.writer import Change, Reader

IDLE = timedelta(hours=12)  # without a look at any page
LONGEST = timedelta(days=30)  # however often one looks
RENEWED = timedelta(minutes=30)  # at most this often a look is written down


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody who is logged in, until `expires` unless they look at a page before."""

    digest: str
    member: int
    created: datetime
    expires: datetime


async def of(db: Reader, digest: str, *, at: datetime) -> Session | None:
    """The session whose secret has this digest; None if there is none, or no longer."""
    row = await db.row(
        "SELECT * FROM sessions WHERE digest = :digest AND expires_at > :at",
        digest=digest,
        at=to_micros(at),
    )
    if row is None:
        return None
    return Session(
        digest, row["member_id"], from_micros(row["created_at"]), from_micros(row["expires_at"])
    )


def begun(digest: str, *, member: int, at: datetime) -> list[Change]:
    """This member is logged in; whoever's time is over is let go of on the way."""
    return [
        pruned(at),
        Change(
            """
            INSERT INTO sessions (digest, member_id, created_at, expires_at)
            VALUES (:digest, :member, :at, :expires)
            """,
            {
                "digest": digest, "member": member, "at": to_micros(at),
                "expires": to_micros(at + IDLE),
            },
            rows=1,
        ),
    ]  # fmt: skip


def looked(session: Session, *, at: datetime) -> list[Change]:
    """They looked at a page, which keeps the session alive; nothing if that is known well enough.

    >>> from datetime import UTC
    >>> noon = datetime(2025, 3, 3, 12, tzinfo=UTC)
    >>> session = Session("d", 1, created=noon, expires=noon + IDLE)
    >>> [len(looked(session, at=noon + timedelta(minutes=m))) for m in (29, 30)]
    [0, 1]
    """
    expires = min(at + IDLE, session.created + LONGEST)
    if expires - session.expires < RENEWED:
        return []
    return [
        Change(
            "UPDATE sessions SET expires_at = :expires WHERE digest = :digest",
            {"digest": session.digest, "expires": to_micros(expires)},
        )
    ]


def ended(digest: str) -> Change:
    """They are logged out."""
    return Change("DELETE FROM sessions WHERE digest = :digest", {"digest": digest})


def pruned(at: datetime) -> Change:
    """Sessions whose time was over at that moment are deleted."""
    return Change("DELETE FROM sessions WHERE expires_at <= :at", {"at": to_micros(at)})
