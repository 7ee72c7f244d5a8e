"""Communities and their places: a few rows, read once and kept in memory while the bot runs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from storage.moments import to_micros
from storage.writer import Change, Reader


@dataclass(frozen=True, slots=True)
class Spot:
    """A chat of a community: `kind` is "group" or "staff"."""

    id: int
    community: int
    channel: str
    ref: str  # the channel's id of the chat
    kind: str
    title: str = ""
    link: str = ""
    by: str = "chat"  # who bound it: "file" or "chat"


@dataclass(frozen=True, slots=True)
class Community:
    """A group of places with one set of settings, one staff place and one knowledge."""

    id: int
    name: str
    zone: str
    language: str
    spots: tuple[Spot, ...] = ()
    wordings: dict[tuple[str, str], str] = field(default_factory=dict)  # (key, language) → text

    def staff_on(self, channel: str) -> Spot | None:
        """Where staff work on this channel; else wherever they do; None without staff."""
        staff = [spot for spot in self.spots if spot.kind == "staff"]
        return next((spot for spot in staff if spot.channel == channel), next(iter(staff), None))

    def groups_on(self, channel: str) -> list[Spot]:
        """Its groups on this channel, oldest first."""
        return [spot for spot in self.spots if spot.kind == "group" and spot.channel == channel]


class Directory:
    """Every community and place, by id and by chat."""

    def __init__(self, communities: Iterable[Community] = ()) -> None:
        self.communities = {community.id: community for community in communities}
        self.spots = {
            (spot.channel, spot.ref): spot
            for community in self.communities.values()
            for spot in community.spots
        }

    def spot(self, channel: str, ref: str) -> Spot | None:
        """The place with this id on this channel, if it belongs to a community."""
        return self.spots.get((channel, ref))

    def community(self, id: int) -> Community | None:
        """The community with this id."""
        return self.communities.get(id)

    def named(self, name: str) -> Community | None:
        """The community of this name."""
        return next((one for one in self.communities.values() if one.name == name), None)

    @property
    def front_door(self) -> Community | None:
        """Where a stranger who writes in private is received: the oldest community."""
        return self.communities[min(self.communities)] if self.communities else None


async def read(db: Reader) -> Directory:
    """All communities with their places and wordings, oldest first."""
    spots = [
        Spot(
            row["id"], row["community_id"], row["channel"], row["ref"], row["kind"],
            row["title"], row["link"], row["by"],
        )
        for row in await db.rows("SELECT * FROM places ORDER BY id")
    ]  # fmt: skip
    wordings = await db.rows("SELECT community_id, key, language, text FROM wordings")
    return Directory(
        Community(
            id=row["id"],
            name=row["name"],
            zone=row["zone"],
            language=row["language"],
            spots=tuple(spot for spot in spots if spot.community == row["id"]),
            wordings={
                (one["key"], one["language"]): one["text"]
                for one in wordings
                if one["community_id"] == row["id"]
            },
        )
        for row in await db.rows("SELECT id, name, zone, language FROM communities ORDER BY id")
    )


def kept(*, id: int, name: str, zone: str, language: str, at: datetime) -> Change:
    """A community of this name exists, with this zone and language."""
    return Change(
        """
        INSERT INTO communities (id, name, zone, language, created_at)
        VALUES (:id, :name, :zone, :language, :at)
        ON CONFLICT (name) DO UPDATE SET zone = excluded.zone, language = excluded.language
        """,
        {"id": id, "name": name, "zone": zone, "language": language, "at": to_micros(at)},
        shared=True,
    )


def renamed(community: int, name: str) -> Change:
    """The community is called this now.  Misses if another is."""
    return Change(
        "UPDATE communities SET name = :name WHERE id = :id",
        {"id": community, "name": name},
        rows=1,
        shared=True,
    )


def lives_by(community: int, *, zone: str, language: str) -> Change:
    """The community keeps this zone's time and speaks this language."""
    return Change(
        "UPDATE communities SET zone = :zone, language = :language WHERE id = :id",
        {"id": community, "zone": zone, "language": language},
        shared=True,
    )


def bound(
    *,
    id: int,
    community: int,
    channel: str,
    ref: str,
    kind: str,
    title: str = "",
    at: datetime,
    by: str = "chat",
) -> Change:
    """The chat belongs to the community, as a group or as its staff place.

    by: "file" if config.toml says so, "chat" if the owner's /setup did
    """
    return Change(
        """
        INSERT INTO places (id, community_id, channel, ref, kind, title, link, by, created_at)
        VALUES (:id, :community, :channel, :ref, :kind, :title, '', :by, :at)
        ON CONFLICT (channel, ref) DO UPDATE SET
            community_id = excluded.community_id, kind = excluded.kind, by = excluded.by,
            title = CASE WHEN excluded.title = '' THEN places.title ELSE excluded.title END
        """,
        {
            "id": id, "community": community, "channel": channel, "ref": ref, "kind": kind,
            "title": title[:200], "by": by, "at": to_micros(at),
        },
        shared=True,
    )  # fmt: skip


def unbound(*, channel: str, ref: str) -> Change:
    """The chat belongs to no community any more."""
    return Change(
        "DELETE FROM places WHERE channel = :channel AND ref = :ref",
        {"channel": channel, "ref": ref},
        shared=True,
    )


def only_staff_place(*, community: int, channel: str, ref: str) -> list[Change]:
    """The community's staff work there and nowhere else on this channel.

    Whoever was staff by writing in the old place becomes it again by writing in the new.
    """
    values = {"community": community, "channel": channel, "ref": ref}
    old = """
        SELECT 1 FROM places WHERE community_id = :community AND channel = :channel
        AND kind = 'staff' AND ref <> :ref
    """
    return [
        Change(
            f"""
            UPDATE members SET role = 'member'
            WHERE community_id = :community AND role = 'staff' AND EXISTS ({old})
            """,  # noqa: S608 - our own constant
            values,
        ),
        Change(
            """
            DELETE FROM places WHERE community_id = :community AND channel = :channel
            AND kind = 'staff' AND ref <> :ref
            """,
            values,
            shared=True,
        ),
    ]


def moved(*, channel: str, old: str, new: str) -> list[Change]:
    """The chat has another id from now on, wherever it was noted."""
    values = {"channel": channel, "old": old, "new": new}
    return [
        Change(
            "UPDATE places SET ref = :new WHERE channel = :channel AND ref = :old",
            values,
            shared=True,
        ),
        Change("UPDATE threads SET place = :new WHERE channel = :channel AND place = :old", values),
        Change("UPDATE invites SET place = :new WHERE channel = :channel AND place = :old", values),
    ]


def linked(*, spot: int, link: str) -> Change:
    """The place has this public invitation."""
    return Change(
        "UPDATE places SET link = :link WHERE id = :spot",
        {"spot": spot, "link": link},
        shared=True,
    )


def worded(*, id: int, community: int, key: str, language: str, text: str, at: datetime) -> Change:
    """The community says it in these words of its own."""
    return Change(
        """
        INSERT INTO wordings (id, community_id, key, language, text, changed_at)
        VALUES (:id, :community, :key, :language, :text, :at)
        ON CONFLICT (community_id, key, language) DO UPDATE SET
            text = excluded.text, changed_at = excluded.changed_at
        """,
        {
            "id": id, "community": community, "key": key, "language": language, "text": text,
            "at": to_micros(at),
        },
        shared=True,
    )  # fmt: skip
