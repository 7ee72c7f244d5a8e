"""Invites: members' own links, by which it is known who came by whom."""

from __future__ import annotations

from datetime import datetime

from storage.moments import to_micros
from storage.writer import Change, Reader


async def link_of(db: Reader, *, member: int, channel: str, place: str) -> str | None:
    """The member's link into this place, once it has been made."""
    found: str | None = await db.value(
        """
        SELECT link FROM invites
        WHERE member_id = :member AND channel = :channel AND place = :place
        ORDER BY id DESC LIMIT 1
        """,
        member=member,
        channel=channel,
        place=place,
    )
    return found


async def inviter(db: Reader, *, channel: str, link: str) -> int | None:
    """Whose link this is."""
    found: int | None = await db.value(
        "SELECT member_id FROM invites WHERE channel = :channel AND link = :link",
        channel=channel,
        link=link,
    )
    return found


async def community(db: Reader, *, channel: str, link: str) -> int | None:
    """Into which community this link leads."""
    found: int | None = await db.value(
        "SELECT community_id FROM invites WHERE channel = :channel AND link = :link",
        channel=channel,
        link=link,
    )
    return found


def made(
    *, id: int, community: int, member: int, channel: str, place: str, link: str, at: datetime
) -> Change:
    """The link is this member's."""
    return Change(
        """
        INSERT INTO invites (id, community_id, member_id, channel, place, link, created_at)
        VALUES (:id, :community, :member, :channel, :place, :link, :at)
        ON CONFLICT (channel, link) DO NOTHING
        """,
        {
            "id": id, "community": community, "member": member, "channel": channel,
            "place": place, "link": link, "at": to_micros(at),
        },
    )  # fmt: skip
