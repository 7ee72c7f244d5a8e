"""Campaigns: one message to many, written down a page of letters at a time, each counted once.

A campaign's letters wait among all others, with nothing in them: whom they are for is in
the row, and what they say is in the campaign.  Their state names the campaign, so that
pausing it puts them out of reach and cancelling it takes them away, at once and for good.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from storage import members
from storage.members import Member
from storage.moments import from_micros, to_micros
from storage.pending import Waiting
from storage.writer import Change, Reader, Row

KEY = "campaign:"  # what the keys of all their letters begin with
OUTCOMES = ("sent", "failed", "withheld", "unknown")

# The private chat in which they last spoke with us.
HOME = """
    SELECT x.id FROM identities x WHERE x.member_id = m.id AND x.home <> ''
    ORDER BY x.chosen_at DESC, x.id DESC LIMIT 1
"""
REACHABLE = "EXISTS (SELECT 1 FROM identities x WHERE x.member_id = m.id AND x.home <> '')"


@dataclass(frozen=True, slots=True)
class Audience:
    """Whom a message is for, of those who have not left; each that is set narrows it."""

    language: str = ""
    present: bool = False  # in one of the groups now
    new: int = 0  # came in the last so many days
    silent: int = 0  # not heard from for so many days


EVERYBODY = Audience()


@dataclass(frozen=True, slots=True)
class Campaign:
    """One message to many members, and how far it has got."""

    id: int
    community: int
    text: str
    author: int | None = None
    state: str = "draft"
    media: tuple[tuple[str, str, str, str], ...] = ()  # (channel, kind, ref, name) of each
    audience: Audience = EVERYBODY
    reached: int = 0
    total: int = 0
    queued: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)  # of each of OUTCOMES
    progress: int | None = None
    created_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None

    @property
    def settled(self) -> int:
        """How many letters have come to an end, whichever."""
        return sum(self.counts.values())

    @property
    def left(self) -> int:
        """How many have not."""
        return self.total - self.settled


@dataclass(frozen=True, slots=True)
class Reach:
    """Who of an audience gets a message now, and who does not."""

    reached: int = 0
    silenced: int = 0  # want nothing unasked
    homeless: int = 0  # have no private chat with us
    zones: tuple[tuple[int, int], ...] = ()  # for each zone: how many get it, and one of them


@dataclass(frozen=True, slots=True)
class Errand:
    """One letter of a campaign as it waits, and whom it is for."""

    waiting: Waiting
    member: Member


def of_letter(key: str) -> int:
    """The campaign that a letter with this key is of; 0 for none.

    >>> of_letter("campaign:12:345"), of_letter("out:345")
    (12, 0)
    """
    return int(key.split(":")[1]) if key.startswith(KEY) else 0


def waiting_in(campaign: int) -> str:
    """The state of its letters that may be sent."""
    return f"campaign:{campaign}"


def held_in(campaign: int) -> str:
    """The state of its letters while it is paused."""
    return f"paused:{campaign}"


# ---------------------------------------------------------------- asking


async def by_id(db: Reader, id: int) -> Campaign | None:
    """The campaign with this id."""
    row = await db.row("SELECT * FROM campaigns WHERE id = :id", id=id)
    return None if row is None else _campaign(row)


async def latest(db: Reader, community: int | None = None, *, most: int = 5) -> list[Campaign]:
    """The last ones that were begun, newest first; of all communities unless one is named."""
    where = "" if community is None else "AND community_id = :community"
    values = {} if community is None else {"community": community}
    rows = await db.rows(
        f"""
        SELECT * FROM campaigns WHERE started_at IS NOT NULL {where}
        ORDER BY started_at DESC, id DESC LIMIT :most
        """,  # noqa: S608 - a condition of our own
        most=most,
        **values,
    )
    return [_campaign(row) for row in rows]


async def underway(db: Reader) -> list[Campaign]:
    """Those that have something left to be done: running, or cancelled and not wound up yet."""
    rows = await db.rows(
        """
        SELECT * FROM campaigns
        WHERE state = 'running' OR (state = 'cancelled' AND ended_at IS NULL) ORDER BY id
        """
    )
    return [_campaign(row) for row in rows]


async def reach(db: Reader, community: int, audience: Audience, now: datetime) -> Reach:
    """Who would get a message sent now."""
    whom, values = _whom(community, audience, now)
    rows = await db.rows(
        f"""
        SELECT CASE WHEN m.zone = '' THEN c.zone ELSE m.zone END AS zone,
            CASE WHEN m.silenced THEN 'silenced' WHEN {REACHABLE} THEN 'reached'
            ELSE 'homeless' END AS how,
            count(*) AS n, min(m.id) AS one
        FROM members m JOIN communities c ON c.id = m.community_id
        WHERE {whom} GROUP BY 1, 2 ORDER BY 1, 2
        """,  # noqa: S608 - conditions of our own
        **values,
    )
    counts = {how: sum(row["n"] for row in rows if row["how"] == how) for how in HOWS}
    zones = tuple((row["n"], row["one"]) for row in rows if row["how"] == "reached")
    return Reach(**counts, zones=zones)


HOWS = ("reached", "silenced", "homeless")


async def page(db: Reader, campaign: Campaign, most: int) -> tuple[int, int]:
    """How many the next page of recipients has, and the last of them; (0, 0) when all are done."""
    whom, values = _recipients(campaign)
    row = await db.row(
        f"""
        SELECT count(*) AS n, max(p.id) AS last FROM (
            SELECT m.id AS id FROM members m WHERE {whom} AND m.id > :reached
            ORDER BY m.id LIMIT :most
        ) AS p
        """,  # noqa: S608 - conditions of our own
        reached=campaign.reached,
        most=most,
        **values,
    )
    assert row is not None
    return row["n"], row["last"] or 0


async def errands(
    db: Reader, campaign: int, now: datetime, *, after: Waiting | None, most: int
) -> list[Errand]:
    """Its letters that are due, the longest due first, from behind `after` on."""
    rows = await db.rows(
        f"""
        SELECT p.id AS letter, p.key, p.lane, p.due_at, p.attempts, p.created_at, {members.COLUMNS}
        FROM pending p JOIN members m ON m.id = p.member_id
        JOIN identities i ON i.member_id = m.id AND i.channel = p.channel
        WHERE p.kind = 'out' AND p.state = :state AND p.due_at <= :now
          AND (p.due_at > :due OR (p.due_at = :due AND p.id > :id))
        ORDER BY p.due_at, p.id LIMIT :most
        """,  # noqa: S608 - the columns are our own constant
        state=waiting_in(campaign),
        now=to_micros(now),
        due=0 if after is None else to_micros(after.due),
        id=0 if after is None else after.id,
        most=most,
    )
    return [_errand(db, row) for row in rows]


async def next_due(db: Reader, campaign: int, after: datetime) -> datetime | None:
    """When, after that moment, the next of its letters is due; None when none is."""
    found = await db.value(
        """
        SELECT min(due_at) FROM pending
        WHERE kind = 'out' AND state = :state AND due_at > :after
        """,
        state=waiting_in(campaign),
        after=to_micros(after),
    )
    return None if found is None else from_micros(found)


# ---------------------------------------------------------------- its life


def drafted(campaign: Campaign, *, at: datetime) -> Change:
    """It has been written, and nothing of it is sent yet."""
    return Change(
        """
        INSERT INTO campaigns (
            id, community_id, author_id, state, text, media, audience, reached, total, queued,
            sent, failed, withheld, unknown, created_at
        ) VALUES (
            :id, :community, :author, 'draft', :text, :media, :audience, 0, 0, 0, 0, 0, 0, 0, :at
        )
        """,
        {
            "id": campaign.id, "community": campaign.community, "author": campaign.author,
            "text": campaign.text, "media": json.dumps(campaign.media) if campaign.media else "",
            "audience": _packed(campaign.audience), "at": to_micros(at),
        },
        rows=1,
    )  # fmt: skip


def meant_for(campaign: int, audience: Audience) -> Change:
    """It is for these.  Misses if it has been sent, or dropped."""
    return Change(
        "UPDATE campaigns SET audience = :audience WHERE id = :id AND state = 'draft'",
        {"id": campaign, "audience": _packed(audience)},
        rows=1,
    )


def started(campaign: int, *, total: int, at: datetime, progress: int | None = None) -> Change:
    """It is being sent, to so many.  Misses if somebody had begun that before, or dropped it.

    progress: the letter that shows its author how far it is
    """
    return Change(
        """
        UPDATE campaigns SET state = 'running', total = :total, started_at = :at,
            progress = :progress
        WHERE id = :id AND state = 'draft'
        """,
        {"id": campaign, "total": total, "at": to_micros(at), "progress": progress},
        rows=1,
    )


def dropped(campaign: int, *, at: datetime) -> Change:
    """It is not sent at all.  Misses if it was begun."""
    return Change(
        """
        UPDATE campaigns SET state = 'cancelled', ended_at = :at WHERE id = :id AND state = 'draft'
        """,
        {"id": campaign, "at": to_micros(at)},
        rows=1,
    )


def paused(campaign: int) -> list[Change]:
    """Nothing more of it is sent for now.  Misses if it was not running."""
    return [
        _becomes(campaign, "paused", "state = 'running'"),
        _restated(waiting_in(campaign), held_in(campaign)),
    ]


def resumed(campaign: int) -> list[Change]:
    """It goes on.  Misses if it was not paused."""
    return [
        _becomes(campaign, "running", "state = 'paused'"),
        _restated(held_in(campaign), waiting_in(campaign)),
    ]


def cancelled(campaign: int) -> list[Change]:
    """Nothing more of it is ever sent.  Misses if it was over."""
    return [
        _becomes(campaign, "cancelled", "state IN ('running', 'paused')"),
        _taken_away(campaign),
    ]


def finished(campaign: Campaign, *, at: datetime) -> list[Change]:
    """All its letters have come to an end.  Misses if one has not, or if that was known.

    Those whom it was for when it began, and for whom there was no letter any more when
    their turn came, or who were forgotten, count as withheld: so the figures add up.
    """
    adds_up = "state = 'done', withheld = total - sent - failed - unknown,"
    done = campaign.state == "running"
    change = Change(
        f"""
        UPDATE campaigns SET {adds_up if done else ""} ended_at = :at
        WHERE id = :id AND state = :state AND ended_at IS NULL AND reached = :reached
          AND NOT EXISTS (
            SELECT 1 FROM pending WHERE kind = 'out' AND (
                state = :waiting OR state = :held OR (state = 'sending' AND key LIKE :keys)))
        """,  # noqa: S608 - a column of our own
        {
            "id": campaign.id, "at": to_micros(at), "state": campaign.state,
            "reached": campaign.reached, "waiting": waiting_in(campaign.id),
            "held": held_in(campaign.id), "keys": f"{KEY}{campaign.id}:%",
        },
        rows=1,
    )  # fmt: skip
    return [change] if done else [_taken_away(campaign.id), change]


# ---------------------------------------------------------------- its letters


def written_down(campaign: Campaign, *, count: int, last: int, at: datetime) -> list[Change]:
    """The letters to the next page of recipients wait, and are not written a second time.

    count, last: as `page` found them
    Misses if somebody else has written them, the campaign does not run, or somebody in
    the page is not to be reached any more: look again.
    """
    whom, values = _recipients(campaign)
    share = {"id": campaign.id, "reached": campaign.reached, "last": last, "count": count}
    return [
        Change(
            """
            UPDATE campaigns SET reached = :last, queued = queued + :count,
                total = CASE WHEN queued + :count > total THEN queued + :count ELSE total END
            WHERE id = :id AND state = 'running' AND reached = :reached
            """,
            share,
            rows=1,
        ),
        Change("UPDATE blocks SET next_id = next_id + :size WHERE name = 'rows'", {"size": count}),
        Change(
            f"""
            INSERT INTO pending (
                id, kind, channel, key, lane, share, community_id, member_id, state, attempts,
                due_at, created_at
            )
            SELECT b.next_id - row_number() OVER (ORDER BY m.id DESC), 'out', i.channel,
                CAST(:key AS TEXT) || CAST(m.id AS TEXT), i.channel || ':' || i.home, 0,
                m.community_id, m.id, CAST(:state AS TEXT), 0, CAST(:at AS BIGINT),
                CAST(:at AS BIGINT)
            FROM members m JOIN identities i ON i.id = ({HOME})
            JOIN blocks b ON b.name = 'rows'
            WHERE {whom} AND m.id > :reached AND m.id <= :last
            """,  # noqa: S608 - conditions of our own
            {
                **values, "reached": campaign.reached, "last": last, "at": to_micros(at),
                "key": f"{KEY}{campaign.id}:", "state": waiting_in(campaign.id),
            },
            rows=count,
        ),
    ]  # fmt: skip


def sending(letter: int, campaign: int, *, again: bool = False) -> Change:
    """It is about to be sent, and never again.  Misses if the campaign does not run any more.

    again: whoever has it in hand tried to note this before, and does not know whether it was kept
    """
    return Change(
        MARK_AGAIN if again else MARK, {"id": letter, "state": waiting_in(campaign)}, rows=1
    )


MARK = "UPDATE pending SET state = 'sending' WHERE id = :id AND state = :state"
MARK_AGAIN = """
    UPDATE pending SET state = 'sending' WHERE id = :id AND (state = :state OR state = 'sending')
"""


def put_off(letter: int, campaign: int, *, until: datetime, attempts: int, begun: bool) -> Change:
    """The letter waits until then (aware), having been tried so often.

    begun: it was marked as being sent, and certainly was not
    """
    return Change(
        """
        UPDATE pending SET due_at = :until, attempts = :attempts, state = :then
        WHERE id = :id AND state = :state
        """,
        {
            "id": letter, "until": to_micros(until), "attempts": attempts,
            "state": "sending" if begun else waiting_in(campaign), "then": waiting_in(campaign),
        },
    )  # fmt: skip


def counted(campaign: int, outcomes: Mapping[str, int]) -> Change:
    """So many more of its letters have come to these ends."""
    return Change(
        """
        UPDATE campaigns SET sent = sent + :sent, failed = failed + :failed,
            withheld = withheld + :withheld, unknown = unknown + :unknown
        WHERE id = :id
        """,
        {"id": campaign, **dict.fromkeys(OUTCOMES, 0), **outcomes},
    )


# ---------------------------------------------------------------- in SQL


def _recipients(campaign: Campaign) -> tuple[str, dict[str, Any]]:
    """The condition on a member `m` to be sent it, with its values."""
    assert campaign.started_at is not None
    whom, values = _whom(campaign.community, campaign.audience, campaign.started_at)
    return f"{whom} AND NOT m.silenced AND {REACHABLE}", values


def _whom(community: int, audience: Audience, began: datetime) -> tuple[str, dict[str, Any]]:
    """The condition on a member `m` to be of the audience, with its values.

    The plus keeps SQLite from reading the whole community to find a page of it.
    """
    values: dict[str, Any] = {"community": community, "began": to_micros(began)}
    parts = [
        "+m.community_id = :community", "m.status <> 'left'", "m.first_seen_at <= :began",
    ]  # fmt: skip
    if audience.language:
        parts.append("m.language = :language")
        values["language"] = audience.language
    if audience.present:
        parts.append("m.status = 'member'")
    if audience.new:
        parts.append("m.joined_at >= :since")
        values["since"] = to_micros(began - timedelta(days=audience.new))
    if audience.silent:
        parts.append("m.last_seen_at < :heard")
        values["heard"] = to_micros(began - timedelta(days=audience.silent))
    return " AND ".join(parts), values


def _becomes(campaign: int, state: str, where: str) -> Change:
    return Change(
        f"UPDATE campaigns SET state = :state WHERE id = :id AND {where}",  # noqa: S608 - our own
        {"id": campaign, "state": state},
        rows=1,
    )


def _restated(old: str, new: str) -> Change:
    return Change(
        "UPDATE pending SET state = :new WHERE kind = 'out' AND state = :old",
        {"old": old, "new": new},
    )


def _taken_away(campaign: int) -> Change:
    return Change(
        "DELETE FROM pending WHERE kind = 'out' AND (state = :waiting OR state = :held)",
        {"waiting": waiting_in(campaign), "held": held_in(campaign)},
    )


def _packed(audience: Audience) -> str:
    return "" if audience == EVERYBODY else json.dumps(asdict(audience))


def _campaign(row: Row) -> Campaign:
    return Campaign(
        id=row["id"],
        community=row["community_id"],
        author=row["author_id"],
        state=row["state"],
        text=row["text"],
        media=_media(json.loads(row["media"])) if row["media"] else (),
        audience=Audience(**json.loads(row["audience"])) if row["audience"] else EVERYBODY,
        reached=row["reached"],
        total=row["total"],
        queued=row["queued"],
        counts={name: row[name] for name in OUTCOMES},
        progress=row["progress"],
        created_at=_moment(row["created_at"]),
        started_at=_moment(row["started_at"]),
        ended_at=_moment(row["ended_at"]),
    )


def _media(kept: Sequence[Sequence[str]]) -> tuple[tuple[str, str, str, str], ...]:
    return tuple((channel, kind, ref, name) for channel, kind, ref, name in kept)


def _moment(micros: int | None) -> datetime | None:
    return None if micros is None else from_micros(micros)


def _errand(db: Reader, row: Row) -> Errand:
    member = members.known(db, row)
    waiting = Waiting(
        id=row["letter"],
        kind="out",
        channel=member.channel,
        key=row["key"],
        lane=row["lane"],
        payload="",
        due=from_micros(row["due_at"]),
        state="campaign",
        attempts=row["attempts"],
        community=member.community,
        member=member.id,
        created=from_micros(row["created_at"]),
    )
    return Errand(waiting, member)
