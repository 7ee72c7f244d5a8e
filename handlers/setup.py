"""Setup: the owner says in a group what it is for, and hears what is still missing there."""

from __future__ import annotations

from dataclasses import dataclass
from zoneinfo import available_timezones

from handlers.roles import Role
from handlers.router import Router
from handlers.turn import Kind, Refusal, Turn, as_told_by
from knowledge import texts
from storage import communities, members
from storage.communities import Community, Spot
from storage.members import Member

router = Router("setup")

NAME_LENGTH = 80
OUTSIDE = ("left", "kicked")  # of a place, as the bot itself stands to it


@dataclass(frozen=True, slots=True)
class Target:
    """The community a place is given to; it may only begin to exist in this turn."""

    id: int
    name: str


@router.command("setup", role=Role.OWNER)
async def set_up(turn: Turn) -> None:
    """Make this group the community's own, or its staff place, or neither; or set its clock."""
    if turn.private:
        raise Refusal("setup.in_group")
    word, _, rest = turn.rest.partition(" ")
    name = " ".join(rest.split())[:NAME_LENGTH]
    own = Target(turn.community.id, turn.community.name)
    match word.lower():
        case "":
            _bind(turn, own, "group")
        case "staff":
            _bind(turn, own, "staff")
        case "community" if name:
            _bind(turn, await _called(turn, name), "group")
        case "off":
            _unbind(turn)
        case "zone":
            _keep_time(turn, name)
        case "language":
            _speak(turn, name)
        case _:
            raise Refusal("setup.how")


def _bind(turn: Turn, target: Target, kind: str) -> None:
    """Give the place to the community, then ask the platform what we may do there."""
    channel, where = turn.event.channel, turn.event.where
    if where is None:
        return
    if kind == "staff":
        _leave_the_old(turn, channel, where.id)
    elif turn.spot is not None:
        _dismiss(turn, turn.spot)
    turn.note(
        communities.bound(
            id=turn.world.ids.take(),
            community=target.id,
            channel=channel,
            ref=where.id,
            kind=kind,
            title=where.title,
            at=turn.now,
        )
    )
    key = "setup.staff_bound" if kind == "staff" else "setup.group_bound"
    turn.say(key, community=target.name, chat=where.id)
    if "rights" in turn.world.abilities.get(channel, ()):
        turn.do("rights", community=target.id, kind=kind)


def _leave_the_old(turn: Turn, channel: str, ref: str) -> None:
    """A community has one staff place on a channel: members' topics are all in it."""
    for spot in turn.community.spots:
        if spot.kind == "staff" and spot.channel == channel and spot.ref != ref:
            turn.note(communities.unbound(channel=channel, ref=spot.ref))
            _dismiss(turn, spot)


def _dismiss(turn: Turn, spot: Spot) -> None:
    """Who worked in a place that is no staff place any more is not staff for that."""
    if spot.kind == "staff":
        turn.note(members.dismissed(turn.community.id))


def _unbind(turn: Turn) -> None:
    if turn.spot is None:
        raise Refusal("setup.not_bound")
    turn.note(communities.unbound(channel=turn.spot.channel, ref=turn.spot.ref))
    _dismiss(turn, turn.spot)
    turn.say("setup.unbound", community=turn.community.name)


# ---------------------------------------------------------------- the community's clock and tongue


def _keep_time(turn: Turn, said: str) -> None:
    """From now on the community's days begin and end by this zone."""
    here = _community_here(turn)
    zone = next((one for one in available_timezones() if one.lower() == said.lower()), None)
    if zone is None:
        raise Refusal("setup.zone_unknown", zone=here.zone)
    turn.note(communities.lives_by(here.id, zone=zone, language=here.language))
    turn.say("setup.zone_set", community=here.name, zone=zone)


def _speak(turn: Turn, said: str) -> None:
    """From now on the community is spoken to in this language, wherever nobody chose another."""
    here, spoken = _community_here(turn), turn.world.texts
    language = said.lower()
    if language not in spoken.languages:
        raise Refusal("setup.language_unknown", codes=sorted(spoken.languages))
    turn.note(communities.lives_by(here.id, zone=here.zone, language=language))
    named = spoken.say(language, "language.own_name")
    turn.say("setup.language_set", community=here.name, language=named)


def _community_here(turn: Turn) -> Community:
    """The community of this place: where there is none, nobody's clock is to be changed."""
    if turn.spot is None:
        raise Refusal("setup.not_bound")
    return turn.community


# ---------------------------------------------------------------- another community


async def _called(turn: Turn, name: str) -> Target:
    """The community of this name: the owner's own, the one still without a place, or a new one."""
    known = (await communities.read(turn.db)).named(name)
    if known is not None:
        return Target(known.id, known.name)
    if not turn.community.spots and turn.community.name not in turn.world.in_file:
        turn.note(communities.renamed(turn.community.id, name))
        return Target(turn.community.id, name)
    return _founded(turn, name)


def _founded(turn: Turn, name: str) -> Target:
    """A new community, with the zone and language of this one, and the same owner."""
    here, owner = turn.community, turn.member
    target = Target(turn.world.ids.take(), name)
    turn.note(
        communities.kept(
            id=target.id, name=name, zone=here.zone, language=here.language, at=turn.now
        )
    )
    _make_known(
        turn,
        target.id,
        owner.ref,
        Role.OWNER,
        name=owner.name,
        home=owner.home,
        language=owner.language,
    )
    return target


# ---------------------------------------------------------------- what the platform says


@router.did("rights")
async def look_around(turn: Turn) -> None:
    """Say what is missing in the place just bound, and know who leads it."""
    told = turn.event.words
    missing = [_right(turn, name) for name in told["missing"]]
    if told["kind"] == "group":
        await _know_admins(turn, told["community"], told["admins"])
    if told["kind"] == "staff" and not told["forum"]:
        turn.say("setup.no_topics")
    elif missing:
        rights = "\n".join(f"· {right}" for right in missing)
        turn.say("setup.rights_missing", rights=rights, again=_again(told["kind"]))
    else:
        turn.say("setup.ready")


@router.did("undelivered")
async def cannot_look(turn: Turn) -> None:
    """The platform does not tell, most often because we are no administrator there."""
    if turn.event.words.get("act") == "rights":
        turn.say("setup.rights_unknown", again=_again(turn.spot.kind if turn.spot else "group"))


def _again(kind: str) -> str:
    """What to send once more: /setup alone would make a staff place a group."""
    return "/setup staff" if kind == "staff" else "/setup"


def _right(turn: Turn, name: str) -> str:
    """What the platform calls a right, in words where we have some."""
    key = f"setup.right.{name}"
    known = turn.world.texts
    return known.say(turn.language, key) if known.has(key) else name


async def _know_admins(turn: Turn, community: int, people: list[str]) -> None:
    for ref in people:
        known = await members.met(turn.db, community=community, channel=turn.event.channel, ref=ref)
        if known is None:
            _make_known(turn, community, ref, Role.ADMIN)
        elif not Role(known.role).may(Role.ADMIN):
            turn.note(members.ranked(known.id, Role.ADMIN.value))


def _make_known(
    turn: Turn,
    community: int,
    ref: str,
    role: Role,
    *,
    name: str = "",
    home: str = "",
    language: str = "",
) -> None:
    """Somebody who has not spoken there yet; whoever leads a group is in it."""
    newcomer = Member(
        id=turn.world.ids.take(),
        community=community,
        channel=turn.event.channel,
        ref=ref,
        home=home,
        name=name,
        language=language,
        role=role.value,
        status="member",
    )
    turn.note(*members.arrived(newcomer, identity=turn.world.ids.take(), at=turn.now))


# ---------------------------------------------------------------- put out of a place


@router.watch(Kind.ADDED)
async def notice_the_door(turn: Turn) -> None:
    """Tell who is in charge that the bot was put out of one of their places."""
    where, spot = turn.event.where, turn.spot
    if where is None or spot is None or turn.event.words.get("status") not in OUTSIDE:
        return
    key = "setup.out_of_staff" if spot.kind == "staff" else "setup.out_of_group"
    place = texts.name(where.title or spot.title or spot.ref)
    for one in await members.in_charge(turn.db, turn.community.id):
        told = as_told_by(turn, one)
        told.say(key, to=told.at_home(one), place=place, community=turn.community.name)
