"""Making a turn of an event: who it is about, where, and the upkeep that every event brings."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from handlers.roles import RANKS, Role
from handlers.turn import Event, Kind, Turn, World
from knowledge import texts
from storage import (
    communities,
    conversations,
    interactions,
    invites,
    members,
    pending,
    threads,
)
from storage.communities import Community, Directory, Spot
from storage.conversations import Conversation
from storage.database import Database
from storage.facts import Fact
from storage.members import Member
from storage.threads import Thread

# The end of a deep link that one of our doors made: see Turn.doorway.
DOORWAY = re.compile(r"[a-z]+_here-([0-9]{1,18})")
NEVER = datetime(1970, 1, 1, tzinfo=UTC)
SAME_JOIN = timedelta(minutes=1)  # between two tellings of one join, by the platform's own times
NOBODY = 0  # the member of a turn that is about nobody in particular


async def made(
    event: Event, *, database: Database, world: World, directory: Directory, now: datetime
) -> Turn | None:
    """The turn for this event, with its upkeep noted; None when it is about someone forgotten."""
    db = database.reader
    spot = None if event.where is None else directory.spot(event.channel, event.where.id)
    community, chosen = await _community(event, spot, database, directory)
    if community is None:
        return None
    member, conversation, known = await _member(event, community, database, world)
    if member is None:
        return None
    thread = await _thread(event, spot, database)
    turn = Turn(
        event=event,
        world=world,
        db=db,
        now=now,
        community=community,
        member=member,
        conversation=conversation
        or await conversations.of(db, member=member.id, community=community.id),
        spot=spot,
        thread=thread,
        subject=None if thread is None else await members.by_id(db, thread.member),
    )
    if event.person is not None:
        _keep_up(turn, known=known, chosen=chosen)
    else:
        _zone(turn)
    return turn


async def _community(
    event: Event, spot: Spot | None, database: Database, directory: Directory
) -> tuple[Community | None, bool]:
    """Where the event belongs, and whether it chooses the community to speak with from now on.

    Its place's; in private that whose link or message it answers, else the one
    last chosen; for a stranger, the oldest.
    """
    if event.community:
        return directory.community(event.community), False
    if spot is not None:
        return directory.community(spot.community), False
    if event.person is None or not (event.where is None or event.where.private):
        return directory.front_door, False
    if len(directory.communities) == 1:
        return directory.front_door, False  # there is no choice
    if (led := directory.community(await _led_to(event, database) or 0)) is not None:
        return led, True
    known = await members.communities_of(
        database.reader, channel=event.channel, ref=event.person.id
    )
    if len(known) > 1 and (answered := await _answered(event, database)) in known:
        return directory.community(answered or 0), True
    found = directory.community(known[0]) if known else None
    return found or directory.front_door, False


async def _led_to(event: Event, database: Database) -> int | None:
    """The community whose link brought them to the bot, if one did."""
    command, _, payload = event.text.partition(" ")
    if event.kind is not Kind.SAID or command != "/start" or not payload:
        return None
    if (door := DOORWAY.fullmatch(payload)) is not None:
        return int(door.group(1))
    return await invites.community(database.reader, channel=event.channel, link=payload)


async def _answered(event: Event, database: Database) -> int | None:
    """The community that said the message they answer, or under which they press."""
    message = event.message if event.kind is Kind.PRESSED else event.reply_to
    if not message or event.where is None:
        return None
    earlier = await interactions.by_message(
        database.reader, channel=event.channel, place=event.where.id, message=message
    )
    return None if earlier is None else earlier.community


async def _member(
    event: Event, community: Community, database: Database, world: World
) -> tuple[Member | None, Conversation | None, bool]:
    """The member, their conversation if that was read too, and whether we knew them before."""
    if event.person is None:
        if not event.member:
            nobody = Member(id=NOBODY, community=community.id, channel=event.channel, ref="")
            return nobody, None, True
        return await members.by_id(database.reader, event.member), None, True
    found = await members.met_and_heard(
        database.reader, community=community.id, channel=event.channel, ref=event.person.id
    )
    if found is not None:
        return *found, True
    owner = await members.owns(database.reader, channel=event.channel, ref=event.person.id)
    return (
        Member(
            id=world.ids.take(),
            role=Role.OWNER if owner else Role.MEMBER,
            community=community.id,
            channel=event.channel,
            ref=event.person.id,
            name=texts.name(event.person.name),
            language=world.texts.chosen(event.person.language, community.language),
            first_seen_at=event.at,
        ),
        None,
        False,
    )


async def _thread(event: Event, spot: Spot | None, database: Database) -> Thread | None:
    where = event.where
    if where is None or spot is None or spot.kind != "staff" or not where.thread:
        return None
    return await threads.at(
        database.reader, channel=event.channel, place=where.id, ref=where.thread
    )


# ---------------------------------------------------------------- upkeep


def _keep_up(turn: Turn, *, known: bool, chosen: bool) -> None:
    """Note what every event tells of a person, whatever anybody answers."""
    if not known:
        # A first word in a group is no choice of the community to speak with in private.
        since = turn.now if turn.private else NEVER
        identity = turn.world.ids.take()
        turn.note(*members.arrived(turn.member, identity=identity, at=turn.now, chosen=since))
    _name(turn)
    _home(turn, chosen=chosen)
    _language(turn)
    _zone(turn)
    _role(turn)
    _presence(turn)
    if turn.event.kind in (Kind.SAID, Kind.PRESSED):
        said = turn.event.kind is Kind.SAID
        turn.note(members.heard(turn.member.id, messages=int(said), at=turn.event.at))
    if (also := ALSO.get(turn.event.kind)) is not None:
        also(turn)


def _name(turn: Turn) -> None:
    assert turn.event.person is not None
    if turn.event.person.name == turn.member.name:
        return
    name = texts.name(turn.event.person.name)
    if turn.event.person.name and name != turn.member.name:
        turn.note(members.renamed(turn.member.id, name))
        turn.member = replace(turn.member, name=name)


def _language(turn: Turn) -> None:
    """Whose language nobody knew yet is asked in the one their platform tells."""
    told = turn.event.person.language if turn.event.person is not None else ""
    if not turn.member.language and told:
        language = turn.world.texts.chosen(told, turn.community.language)
        turn.note(members.speaks(turn.member.id, language))
        turn.member = replace(turn.member, language=language)


def _home(turn: Turn, *, chosen: bool) -> None:
    """Whoever speaks with us in private may be written to there, in the community they chose."""
    spoke = turn.event.kind in (Kind.SAID, Kind.PRESSED)
    if spoke and turn.private and turn.event.where is not None:
        home = turn.event.where.id
        if turn.member.home != home or chosen:
            turn.note(members.at_home(turn.member, home, at=turn.now))
            turn.member = replace(turn.member, home=home)


def _zone(turn: Turn) -> None:
    """A zone that was chosen is in force from the next local day."""
    member = turn.member
    if member.next_zone and member.zone_from is not None and turn.today >= member.zone_from:
        turn.note(members.arrived_in_zone(member.id, member.next_zone))
        turn.member = replace(member, zone=member.next_zone, next_zone="", zone_from=None)


def _role(turn: Turn) -> None:
    """Whoever may write in the staff place, and shows who they are, is staff."""
    person = turn.event.person
    known = person is not None and not person.anonymous
    at_work = known and turn.spot is not None and turn.spot.kind == "staff"
    if at_work and turn.event.kind in (Kind.SAID, Kind.PRESSED, Kind.JOINED):
        _at_least(turn, Role.STAFF)
    if at_work and turn.event.kind is Kind.LEFT and turn.member.role == Role.STAFF:
        _become(turn, Role.MEMBER)


def _presence(turn: Turn) -> None:
    """Whoever speaks in the community's group is in it: they may have come before the bot did."""
    spoke = turn.event.kind in (Kind.SAID, Kind.PRESSED)
    person = turn.event.person
    in_group = turn.spot is not None and turn.spot.kind == "group"
    left = turn.member.left_at
    if left is not None and turn.event.at <= left:
        return  # said before they left, and told of late
    if spoke and in_group and not turn.member.present and person and not person.anonymous:
        turn.note(members.found_here(turn.member.id, at=turn.event.at))
        turn.member = replace(turn.member, status="member")


def _at_least(turn: Turn, role: Role) -> None:
    if RANKS[Role(turn.member.role)] < RANKS[role]:
        _become(turn, role)


def _become(turn: Turn, role: Role) -> None:
    turn.note(members.ranked(turn.member.id, role.value))
    turn.member = replace(turn.member, role=role.value)


def _blocked(turn: Turn) -> None:
    event = turn.event
    assert event.person is not None
    turn.note(members.everywhere(channel=event.channel, ref=event.person.id, home=""))
    turn.member = replace(turn.member, home="")


def _returned(turn: Turn) -> None:
    event = turn.event
    assert event.person is not None
    home = event.where.id if event.where else event.person.id
    turn.note(members.everywhere(channel=event.channel, ref=event.person.id, home=home))
    turn.member = replace(turn.member, home=home)


def _ranked(turn: Turn) -> None:
    """An administrator of the community's own group is its admin; of any other, nothing."""
    if turn.spot is None or turn.spot.kind != "group":
        return
    if turn.event.data == Role.ADMIN:
        _at_least(turn, Role.ADMIN)
    elif turn.member.role == Role.ADMIN:
        _become(turn, Role.MEMBER)


def _moved(turn: Turn) -> None:
    assert turn.event.where is not None
    old, new, channel = turn.event.where.id, turn.event.data, turn.event.channel
    turn.note(*communities.moved(channel=channel, old=old, new=new))
    turn.note(pending.moved_out(channel=channel, old=old, new=new))


ALSO: dict[Kind, Callable[[Turn], None]] = {
    Kind.BLOCKED: _blocked,
    Kind.RETURNED: _returned,
    Kind.RANKED: _ranked,
    Kind.MOVED: _moved,
}


# ---------------------------------------------------------------- coming and going


def comes_or_goes(turn: Turn) -> bool:
    """Note a join or a leave of the community's group; False for what changes nothing.

    Platforms tell of one join in several ways, and of joins we know: only the
    first counts.  `turn.member.status` stays what it was before.
    """
    if turn.spot is None or turn.spot.kind != "group":
        return False
    if turn.event.kind is Kind.JOINED and not turn.member.present:
        turn.note(members.joined(turn.member.id, at=turn.event.at))
        turn.record(Fact.JOINED)
        return True
    if turn.event.kind is Kind.LEFT and turn.member.present:
        turn.note(members.left(turn.member.id, at=turn.event.at))
        turn.record(Fact.LEFT)
        return True
    return False


def tells_the_link(turn: Turn) -> bool:
    """Whether this tells by which link somebody came, of whom another telling came long before."""
    joined, event = turn.member.joined_at, turn.event
    known = turn.spot is not None and turn.spot.kind == "group" and turn.member.present
    return known and bool(event.data) and joined is not None and abs(event.at - joined) <= SAME_JOIN
