"""Threads: the topic in a staff place where one member's conversation is worked on."""

from __future__ import annotations

from dataclasses import dataclass

from storage.writer import Change, Reader


@dataclass(frozen=True, slots=True)
class Thread:
    """A topic and the member it is about; `lane` is that member's."""

    community: int
    member: int
    channel: str
    place: str
    ref: str
    lane: str


async def at(db: Reader, *, channel: str, place: str, ref: str) -> Thread | None:
    """The thread with this id in this staff place."""
    row = await db.row(
        "SELECT * FROM threads WHERE channel = :channel AND place = :place AND ref = :ref",
        channel=channel,
        place=place,
        ref=ref,
    )
    if row is None:
        return None
    return Thread(row["community_id"], row["member_id"], channel, place, ref, row["lane"])


async def of(db: Reader, *, channel: str, place: str, member: int) -> str | None:
    """The id of the member's topic in this staff place, once it has been opened."""
    found: str | None = await db.value(
        "SELECT ref FROM threads WHERE channel = :channel AND place = :place AND member_id = :m",
        channel=channel,
        place=place,
        m=member,
    )
    return found


def opened(thread: Thread, *, id: int) -> Change:
    """The member's topic is this one now."""
    return Change(
        """
        INSERT INTO threads (id, community_id, member_id, channel, place, ref, lane)
        VALUES (:id, :community, :member, :channel, :place, :ref, :lane)
        ON CONFLICT (channel, place, member_id) DO UPDATE SET ref = excluded.ref
        """,
        {
            "id": id, "community": thread.community, "member": thread.member,
            "channel": thread.channel, "place": thread.place, "ref": thread.ref,
            "lane": thread.lane,
        },
    )  # fmt: skip


def gone(*, channel: str, place: str, member: int) -> Change:
    """Somebody deleted the member's topic; the next message opens another."""
    return Change(
        "DELETE FROM threads WHERE channel = :channel AND place = :place AND member_id = :member",
        {"channel": channel, "place": place, "member": member},
    )
