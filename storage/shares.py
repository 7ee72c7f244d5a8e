"""Shares: whether somebody ended while dealing with what they had taken over."""

from __future__ import annotations

from collections.abc import Collection

from storage.pending import SHARES
from storage.writer import Change, Reader

OUT = SHARES  # all that is going out, which one process says


async def ended_over(db: Reader) -> set[int]:
    """The shares that were taken over with work in them, which never got done."""
    return {row["share"] for row in await db.rows("SELECT share FROM shares WHERE taken > 0")}


def taken(shares: Collection[int]) -> list[Change]:
    """Taken over, with work in them."""
    return [
        Change("UPDATE shares SET taken = taken + 1 WHERE share = :share", {"share": one}, rows=1)
        for one in sorted(shares)
    ]


def in_order(shares: Collection[int]) -> list[Change]:
    """What was in them is done, or they were given up in good order."""
    return [
        Change("UPDATE shares SET taken = 0 WHERE share = :share AND taken > 0", {"share": one})
        for one in sorted(shares)
    ]
