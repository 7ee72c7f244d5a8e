"""Tokens: one-time permissions, known only by their digest."""

from __future__ import annotations

import hashlib
from datetime import datetime

from storage.moments import to_micros
from storage.writer import Change, Reader


def digest(token: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def issued(token: str, *, purpose: str, expires: datetime) -> list[Change]:
    """The token is good for this purpose, once, until then; earlier ones for it are void."""
    return [
        Change("DELETE FROM tokens WHERE purpose = :purpose", {"purpose": purpose}),
        Change(
            """
            INSERT INTO tokens (digest, purpose, expires_at) VALUES (:digest, :purpose, :expires)
            """,
            {"digest": digest(token), "purpose": purpose, "expires": to_micros(expires)},
            rows=1,
        ),
    ]


def used(token: str, *, purpose: str, at: datetime) -> Change:
    """The token has been used.  Misses if it is unknown, expired or spent."""
    return Change(
        """
        UPDATE tokens SET used_at = :at
        WHERE digest = :digest AND purpose = :purpose AND used_at IS NULL AND expires_at > :at
        """,
        {"digest": digest(token), "purpose": purpose, "at": to_micros(at)},
        rows=1,
    )


async def good(db: Reader, token: str, *, purpose: str, at: datetime) -> bool:
    """Whether the token may still be used."""
    found = await db.value(
        """
        SELECT 1 FROM tokens
        WHERE digest = :digest AND purpose = :purpose AND used_at IS NULL AND expires_at > :at
        """,
        digest=digest(token),
        purpose=purpose,
        at=to_micros(at),
    )
    return found is not None
