"""Members: who they are, how each channel knows them, and what every turn needs of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from storage import conversations
from storage.conversations import Conversation
from storage.moments import from_micros, to_micros
from storage.sealing import Sealed
from storage.writer import Change, Reader, Row

COLUMNS = """
    m.id, m.community_id, m.name, m.language, m.zone, m.next_zone, m.zone_from, m.role, m.status,
    m.silenced, m.reminders, m.first_seen_at, m.joined_at, m.left_at, m.last_seen_at, m.messages,
    m.streak, m.longest, m.checked_in_on, m.invited_by, m.referred,
    i.channel, i.ref, i.home
"""
NAMES = tuple(column.strip().partition(".")[2] for column in COLUMNS.split(","))


@dataclass(frozen=True, slots=True)
class Member:
    """A person in a community, as known when the turn began."""

    id: int
    community: int
    channel: str  # the channel they are met on in this turn, or were last met on
    ref: str  # how that channel knows them
    home: str = ""  # their private chat there; empty: we may not write to them
    name: str = ""
    language: str = ""
    zone: str = ""
    next_zone: str = ""
    zone_from: date | None = None
    role: str = "member"
    status: str = "visitor"
    silenced: bool = False
    reminders: bool = True
    first_seen_at: datetime | None = None
    joined_at: datetime | None = None
    left_at: datetime | None = None
    last_seen_at: datetime | None = None
    messages: int = 0
    streak: int = 0
    longest: int = 0
    checked_in_on: date | None = None
    invited_by: int | None = None
    referred: int = 0

    @property
    def present(self) -> bool:
        """Whether they are in one of the community's groups."""
        return self.status == "member"


@dataclass(frozen=True, slots=True)
class Arrival:
    """Somebody who joined, and the fact by which it is remembered."""

    member: Member
    fact: int
    returning: bool  # they had been here before


async def met(db: Reader, *, community: int, channel: str, ref: str) -> Member | None:
    """The member whom this channel knows by `ref`, in this community."""
    found = await met_and_heard(db, community=community, channel=channel, ref=ref)
    return None if found is None else found[0]


async def met_and_heard(
    db: Reader, *, community: int, channel: str, ref: str
) -> tuple[Member, Conversation] | None:
    """The member whom this channel knows by `ref`, with their conversation: one question a turn."""
    row = await db.row(
        f"""
        SELECT {COLUMNS}, c.speaker, c.epoch, c.expects, c.expects_until, c.missed
        FROM identities i JOIN members m ON m.id = i.member_id
        LEFT JOIN conversations c ON c.member_id = m.id
        WHERE i.channel = :channel AND i.ref = :ref AND i.community_id = :community
        """,  # noqa: S608 - the columns are our own constant
        community=community,
        channel=channel,
        ref=ref,
    )
    if row is None:
        return None
    member = _member(db, row)
    return member, conversations.known(row, member=member.id, community=member.community)


async def communities_of(db: Reader, *, channel: str, ref: str) -> list[int]:
    """The communities that know this person, first the one last chosen to speak with in private."""
    rows = await db.rows(
        """
        SELECT community_id FROM identities WHERE channel = :channel AND ref = :ref
        ORDER BY chosen_at DESC, id DESC
        """,
        channel=channel,
        ref=ref,
    )
    return [row["community_id"] for row in rows]


async def by_id(db: Reader, id: int) -> Member | None:
    """The member with this id, on the channel where they were last met."""
    row = await db.row(
        f"""
        SELECT {COLUMNS} FROM members m JOIN identities i ON i.member_id = m.id
        WHERE m.id = :id
        ORDER BY CASE WHEN i.home = '' THEN 1 ELSE 0 END, i.chosen_at DESC, i.id DESC LIMIT 1
        """,  # noqa: S608 - the columns are our own constant
        id=id,
    )
    return None if row is None else known(db, row)


async def by_ids(db: Reader, ids: list[int]) -> list[Member]:
    """The members with these ids, in that order; those who are gone are left out."""
    found = [await by_id(db, id) for id in ids]
    return [member for member in found if member is not None]


async def named(db: Reader, id: int) -> str:
    """A member's name; empty when they have none or are gone."""
    cell = await db.value("SELECT name FROM members WHERE id = :id", id=id)
    return db.open("members", "name", id, cell)


async def streaks(db: Reader, community: int, *, since: date, limit: int = 10) -> list[Member]:
    """Those on the longest streaks that are still alive, longest first.

    since: a streak whose last day is before this has ended
    """
    rows = await db.rows(
        f"""
        SELECT {COLUMNS} FROM members m JOIN identities i ON i.member_id = m.id
        WHERE m.community_id = :community AND m.streak > 0 AND m.checked_in_on >= :since
          AND i.id = (SELECT min(id) FROM identities WHERE member_id = m.id)
        ORDER BY m.streak DESC, m.checked_in_on, m.id LIMIT :most
        """,  # noqa: S608 - the columns are our own constant
        community=community,
        since=since.isoformat(),
        most=limit,
    )
    return [known(db, row) for row in rows]


async def count(db: Reader, community: int, *, status: str = "member") -> int:
    """How many members have this status."""
    found: int = await db.value(
        "SELECT count(*) FROM members WHERE community_id = :community AND status = :status",
        community=community,
        status=status,
    )
    return found


async def ungreeted(
    db: Reader, community: int, *, channel: str, place: str, since: datetime, most: int = 100
) -> list[Arrival]:
    """Those who joined this place since then, are still there, and were not greeted since then."""
    rows = await db.rows(
        f"""
        SELECT {COLUMNS}, f.id AS fact, EXISTS (
            SELECT 1 FROM facts l WHERE l.member_id = m.id AND l.name = 'left'
        ) AS returning_
        FROM facts f JOIN members m ON m.id = f.member_id
        JOIN identities i ON i.member_id = m.id AND i.channel = :channel
        WHERE f.community_id = :community AND f.name = 'joined' AND f.at >= :since
          AND m.status = 'member'
          AND NOT EXISTS (
            SELECT 1 FROM facts g
            WHERE g.member_id = m.id AND g.name = 'greeted' AND g.at >= :since
          )
          AND EXISTS (
            SELECT 1 FROM interactions n
            WHERE n.member_id = m.id AND n.kind = 'joined' AND n.at >= :since
              AND n.channel = :channel AND n.place = :place
          )
        ORDER BY f.at DESC, f.id DESC LIMIT :most
        """,  # noqa: S608 - the columns are our own constant
        community=community,
        channel=channel,
        place=place,
        since=to_micros(since),
        most=most,
    )
    latest = {row["id"]: row for row in reversed(rows)}  # one each, the earliest to come first
    return [
        Arrival(known(db, row), row["fact"], bool(row["returning_"])) for row in latest.values()
    ]


async def has_owner(db: Reader) -> bool:
    """Whether anybody has become the owner of this bot."""
    found = await db.value(
        "SELECT 1 FROM members WHERE role = 'owner' AND role <> 'member' LIMIT 1"
    )
    return found is not None


async def homes(db: Reader, *, community: int, among: str, zone: str) -> list[int]:
    """The ids of reachable members in a zone who want reminders.

    among: "everyone", or "on_streak" for those with a streak to keep
    zone:  members who set none count as being in their community's
    """
    rows = await db.rows(
        """
        SELECT DISTINCT m.id FROM members m
        JOIN identities i ON i.member_id = m.id AND i.home <> ''
        JOIN communities c ON c.id = m.community_id
        WHERE m.community_id = :community AND NOT m.silenced AND m.reminders
          AND m.status <> 'left'
          AND (m.zone = :zone OR (m.zone = '' AND c.zone = :zone))
          AND (:among = 'everyone' OR m.streak > 0)
        ORDER BY m.id
        """,
        community=community,
        zone=zone,
        among=among,
    )
    return [row["id"] for row in rows]


async def owns(db: Reader, *, channel: str, ref: str) -> bool:
    """Whether this person is the owner, in whichever community."""
    found = await db.value(
        """
        SELECT 1 FROM identities i JOIN members m ON m.id = i.member_id
        WHERE i.channel = :channel AND i.ref = :ref AND m.role = 'owner' LIMIT 1
        """,
        channel=channel,
        ref=ref,
    )
    return found is not None


async def in_charge(db: Reader, community: int) -> list[Member]:
    """The community's owners and admins who can be written to, owners first."""
    rows = await db.rows(
        """
        SELECT id FROM members
        WHERE community_id = :community AND role IN ('admin', 'owner') AND role <> 'member'
        ORDER BY role DESC, id
        """,
        community=community,
    )
    found = await by_ids(db, [row["id"] for row in rows])
    return [member for member in found if member.home]


async def zones(db: Reader, community: int) -> list[str]:
    """Every zone in which the community has members, its own first."""
    rows = await db.rows(
        """
        SELECT zone FROM communities WHERE id = :community
        UNION SELECT zone FROM members WHERE community_id = :community AND zone <> ''
        """,
        community=community,
    )
    return [row["zone"] for row in rows]


# ---------------------------------------------------------------- changes


def arrived(
    member: Member, *, identity: int, at: datetime, chosen: datetime | None = None
) -> list[Change]:
    """Somebody new is known, by one channel so far.

    chosen: since when they speak with this community in private, if it is not `at`
    """
    moment = to_micros(at)
    return [
        Change(
            """
            INSERT INTO identities (id, community_id, member_id, channel, ref, home, chosen_at)
            VALUES (:id, :community, :member, :channel, :ref, :home, :at)
            ON CONFLICT (channel, ref, community_id) DO NOTHING
            """,
            {
                "id": identity, "community": member.community, "member": member.id,
                "channel": member.channel, "ref": member.ref, "home": member.home,
                "at": to_micros(chosen or at),
            },
            rows=1,
        ),
        Change(
            """
            INSERT INTO members (
                id, community_id, name, language, zone, next_zone, role, status, silenced,
                reminders, first_seen_at, last_seen_at, messages, streak, longest, referred
            ) VALUES (
                :id, :community, :name, :language, '', '', :role, :status, FALSE,
                TRUE, :at, :at, 0, 0, 0, 0
            )
            """,
            {
                "id": member.id, "community": member.community,
                "name": Sealed("members", "name", member.id, member.name),
                "language": member.language, "role": member.role, "status": member.status,
                "at": moment,
            },
            rows=1,
        ),
    ]  # fmt: skip


def heard(member: int, *, messages: int, at: datetime, rows: int | None = None) -> Change:
    """They were heard from at this moment, with so many messages more.

    rows: 1 where nobody has looked whether they are still known; then it misses if not
    """
    return Change(
        """
        UPDATE members SET messages = messages + :messages,
            last_seen_at = CASE WHEN last_seen_at < :at THEN :at ELSE last_seen_at END
        WHERE id = :id
        """,
        {"id": member, "messages": messages, "at": to_micros(at)},
        rows=rows,
    )


def renamed(member: int, name: str) -> Change:
    """They call themselves this now."""
    return Change(
        "UPDATE members SET name = :name WHERE id = :id",
        {"id": member, "name": Sealed("members", "name", member, name)},
    )


def at_home(member: Member, home: str, *, at: datetime) -> Change:
    """Their private chat is open at `home` (empty: closed), and this community is spoken to."""
    return Change(
        """
        UPDATE identities SET home = :home, chosen_at = :at
        WHERE channel = :channel AND ref = :ref AND community_id = :community
        """,
        {
            "home": home, "at": to_micros(at), "channel": member.channel, "ref": member.ref,
            "community": member.community,
        },
    )  # fmt: skip


def unreachable(*, channel: str, home: str) -> Change:
    """Nobody can be written to at this private chat any more, until they return."""
    return Change(
        "UPDATE identities SET home = '' WHERE channel = :channel AND home = :home",
        {"channel": channel, "home": home},
    )


def everywhere(*, channel: str, ref: str, home: str) -> Change:
    """The person's private chat is open (or, empty, closed) for all their communities."""
    return Change(
        "UPDATE identities SET home = :home WHERE channel = :channel AND ref = :ref",
        {"channel": channel, "ref": ref, "home": home},
    )


def joined(member: int, *, at: datetime) -> Change:
    """They are in the community's group.  Misses if they already were."""
    return Change(
        """
        UPDATE members SET status = 'member', joined_at = :at, left_at = NULL
        WHERE id = :id AND status <> 'member'
        """,
        {"id": member, "at": to_micros(at)},
        rows=1,
    )


def found_here(member: int, *, at: datetime) -> Change:
    """They are in the group, and it is not known since when."""
    return Change(
        """
        UPDATE members SET status = 'member', left_at = NULL,
            joined_at = COALESCE(joined_at, :at)
        WHERE id = :id AND status <> 'member'
        """,
        {"id": member, "at": to_micros(at)},
    )


def left(member: int, *, at: datetime) -> Change:
    """They are in the group no more."""
    return Change(
        "UPDATE members SET status = 'left', left_at = :at WHERE id = :id AND status = 'member'",
        {"id": member, "at": to_micros(at)},
    )


def ranked(member: int, role: str) -> Change:
    """They have this role."""
    return Change("UPDATE members SET role = :role WHERE id = :id", {"id": member, "role": role})


def dismissed(community: int) -> Change:
    """Nobody is staff there any more; whoever writes in its next staff place is again."""
    return Change(
        "UPDATE members SET role = 'member' WHERE community_id = :community AND role = 'staff'",
        {"community": community},
    )


def owner_everywhere(member: int) -> Change:
    """They own the bot, and so every community in which they are known."""
    return Change(
        """
        UPDATE members SET role = 'owner' WHERE id IN (
            SELECT other.member_id FROM identities mine
            JOIN identities other ON other.channel = mine.channel AND other.ref = mine.ref
            WHERE mine.member_id = :id
        )
        """,
        {"id": member},
    )


def speaks(member: int, language: str) -> Change:
    """They chose this language."""
    return Change(
        "UPDATE members SET language = :language WHERE id = :id",
        {"id": member, "language": language},
    )


def moves_to(member: int, zone: str, *, since: date) -> Change:
    """They chose this zone, in force from their next local day."""
    return Change(
        "UPDATE members SET next_zone = :zone, zone_from = :since WHERE id = :id",
        {"id": member, "zone": zone, "since": since.isoformat()},
    )


def arrived_in_zone(member: int, zone: str) -> Change:
    """The zone they chose is in force."""
    return Change(
        "UPDATE members SET zone = :zone, next_zone = '', zone_from = NULL WHERE id = :id",
        {"id": member, "zone": zone},
    )


def zones_in_force(today: date) -> Change:
    """Whoever chose another zone, for today or before, is in it."""
    return Change(
        """
        UPDATE members SET zone = next_zone, next_zone = '', zone_from = NULL
        WHERE next_zone <> '' AND zone_from <= :today
        """,
        {"today": today.isoformat()},
    )


def wishes(member: int, *, silenced: bool, reminders: bool) -> Change:
    """What they want to be sent without asking."""
    return Change(
        "UPDATE members SET silenced = :silenced, reminders = :reminders WHERE id = :id",
        {"id": member, "silenced": silenced, "reminders": reminders},
    )


def checked_in(member: int, *, day: date, streak: int, longest: int) -> Change:
    """The streak now ends on this day.  Misses if it already did, or ends later."""
    return Change(
        """
        UPDATE members SET checked_in_on = :day, streak = :streak, longest = :longest
        WHERE id = :id AND (checked_in_on IS NULL OR checked_in_on < :day)
        """,
        {"id": member, "day": day.isoformat(), "streak": streak, "longest": longest},
        rows=1,
    )


def came_by(member: int, inviter: int) -> list[Change]:
    """They came by this inviter.  Misses if they had already come by somebody."""
    return [
        Change(
            """
            UPDATE members SET invited_by = :inviter
            WHERE id = :id AND invited_by IS NULL AND id <> :inviter
            """,
            {"id": member, "inviter": inviter},
            rows=1,
        ),
        Change("UPDATE members SET referred = referred + 1 WHERE id = :id", {"id": inviter}),
    ]


def known(db: Reader, row: Row) -> Member:
    """The member in a row that has COLUMNS."""
    return _member(db, [row[name] for name in NAMES])


def _member(db: Reader, row: Iterable[Any]) -> Member:
    """The member in a row that begins with COLUMNS: its cells by place cost less than by name."""
    (
        id, community, name, language, zone, next_zone, zone_from, role, status,
        silenced, reminders, first_seen_at, joined_at, left_at, last_seen_at, messages,
        streak, longest, checked_in_on, invited_by, referred,
        channel, ref, home, *_,
    ) = row  # fmt: skip
    return Member(
        id=id,
        community=community,
        channel=channel,
        ref=ref,
        home=home,
        name=db.open("members", "name", id, name),
        language=language,
        zone=zone,
        next_zone=next_zone,
        zone_from=_day(zone_from),
        role=role,
        status=status,
        silenced=bool(silenced),
        reminders=bool(reminders),
        first_seen_at=_moment(first_seen_at),
        joined_at=_moment(joined_at),
        left_at=_moment(left_at),
        last_seen_at=_moment(last_seen_at),
        messages=messages,
        streak=streak,
        longest=longest,
        checked_in_on=_day(checked_in_on),
        invited_by=invited_by,
        referred=referred,
    )


def _moment(micros: int | None) -> datetime | None:
    return None if micros is None else from_micros(micros)


def _day(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)
