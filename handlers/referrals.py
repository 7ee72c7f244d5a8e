"""Referrals: a member's own link shows who came by whom, and both are told so."""

from __future__ import annotations

from datetime import timedelta

from pydantic import BaseModel, PositiveInt

from handlers.router import Router
from handlers.turn import Button, Kind, Picture, Refusal, To, Turn, as_told_by
from storage import facts, invites, members
from storage.communities import Spot
from storage.facts import Fact
from storage.members import Member

NEW = timedelta(days=1)  # a stranger known for longer than this did not come by a link just now
PREFIX = "by"  # of a deep link's payload; what follows it is known to nobody but who has the link


class Settings(BaseModel, extra="forbid", frozen=True):
    """The [referrals] section of config.toml."""

    goal: PositiveInt = 3  # friends, for whom we say thank you
    latest: PositiveInt = 3  # friends named when a member asks


router = Router("referrals", Settings)

POSTER = Button("referrals.poster_button", "referrals.poster")
STOP = Button("subscriptions.stop_button", "subscriptions.stop")


# ---------------------------------------------------------------- giving the link


@router.command("invite")
@router.button("invite")
async def invite(turn: Turn) -> None:
    """Give the member their own link, and tell who has come by it."""
    link, group = await _link(turn), _group(turn)
    if link is None and group is not None:
        turn.do("make_link", to=_at(turn, group), name=f"m{turn.member.id}")
        turn.aside()  # the link will be given there
    else:
        await _tell(turn, link or _new_deep_link(turn))


@router.button("poster")
async def show_poster(turn: Turn) -> None:
    """Draw the link as a code, to be shown to somebody who stands beside you."""
    link = await _link(turn)
    if link is None:
        await invite(turn)
        return
    say, language = turn.world.texts.say, turn.language
    drawn = Picture(
        "qr",
        {
            "link": link,
            "title": say(language, "referrals.poster_title", name=turn.member.name),
            "caption": say(language, "referrals.poster_caption"),
        },
    )
    turn.say("referrals.poster", to=turn.aside(), picture=drawn, link=link)


@router.did("make_link")
async def keep_link(turn: Turn) -> None:
    """Keep the link that was made; of two that were asked for at once, the first."""
    made, place = str(turn.event.words["link"]), turn.here.place
    kept = await invites.link_of(
        turn.db, member=turn.member.id, channel=turn.event.channel, place=place
    )
    if kept is None:
        _keep(turn, made, place=place)
    await _tell(turn, kept or made)


@router.did("undelivered")
async def go_without(turn: Turn) -> None:
    """Where the platform makes no link, one to the private chat serves as well."""
    if turn.event.words.get("act") == "make_link":
        await _tell(turn, await _deep_link(turn) or _new_deep_link(turn))


# ---------------------------------------------------------------- coming by it


@router.start(PREFIX)
async def arrive(turn: Turn) -> None:
    """Receive whoever followed a member's deep link, and show them the way to the group."""
    inviter = await _inviter(turn, f"{PREFIX}_{turn.rest}")
    if inviter is not None and inviter.id == turn.member.id:
        raise Refusal("referrals.own_link")
    if inviter is not None and _new(turn):
        _count(turn, inviter)
    door = _door(turn)
    turn.say(
        "referrals.welcome" if inviter is None else "referrals.welcome_from",
        buttons=((Button("referrals.group_button", url=door),),) if door else (),
        name=turn.member.name,
        inviter="" if inviter is None else inviter.name,
    )


@router.watch(Kind.JOINED)
async def notice(turn: Turn) -> None:
    """Whoever joins by a member's link came by that member, if they come for the first time."""
    inviter = await _inviter(turn, turn.event.data)
    if inviter is not None and turn.member.status == "visitor":
        _count(turn, inviter)


@router.watch(Kind.LINKED)
async def notice_late(turn: Turn) -> None:
    """The same, when the platform told of the link long after it had told of the joining."""
    inviter = await _inviter(turn, turn.event.data)
    if inviter is not None and await facts.times(turn.db, turn.member.id, Fact.JOINED) <= 1:
        _count(turn, inviter)


@router.watch(Kind.ASKED_TO_JOIN)
async def let_in(turn: Turn) -> None:
    """Whoever asks to join by a member's link is let in."""
    inviter = await _inviter(turn, turn.event.data)
    if inviter is None:
        return
    turn.do("approve", person=turn.member.ref)
    if turn.member.status == "visitor":
        _count(turn, inviter)


@router.later("tell")
async def tell(turn: Turn) -> None:
    """Tell the inviter who came, and thank them when it was the friend that made the goal.

    A waking of its own, because only once it is kept is it known which friend it was.
    """
    newcomer = turn.event.words["newcomer"]
    count = await facts.nth(turn.db, turn.member.id, Fact.REFERRED, about=newcomer)
    home = turn.at_home(turn.member)
    if count is None or home is None:
        return
    goal = turn.settings(Settings).goal
    turn.say(
        "referrals.thanks"
        if count == goal
        else "referrals.came"
        if count < goal
        else "referrals.came_too",
        to=home,
        buttons=((STOP,),),
        name=turn.member.name,
        friend=await members.named(turn.db, newcomer),
        count=count,
        goal=goal,
    )


def _count(turn: Turn, inviter: Member) -> None:
    """Remember by whom they came: once, and nobody comes by themselves."""
    newcomer = turn.member
    if newcomer.invited_by is not None or inviter.id == newcomer.id:
        return
    turn.note(*members.came_by(newcomer.id, inviter.id))
    told = as_told_by(turn, inviter)
    told.record(Fact.REFERRED, once=newcomer.id, about=newcomer.id)
    told.later("tell", turn.now, key=newcomer.id, newcomer=newcomer.id)


def _new(turn: Turn) -> bool:
    """Whether this is somebody we did not know, as far as can be told without a group to join."""
    seen = turn.member.first_seen_at
    return turn.member.status == "visitor" and seen is not None and turn.now - seen < NEW


async def _inviter(turn: Turn, link: str) -> Member | None:
    """Whose link this is; None for anybody's, and for one of another community."""
    if not link:
        return None
    id = await invites.inviter(turn.db, channel=turn.event.channel, link=link)
    inviter = None if id is None else await members.by_id(turn.db, id)
    return inviter if inviter is not None and inviter.community == turn.community.id else None


# ---------------------------------------------------------------- links


async def _link(turn: Turn) -> str | None:
    """The member's link, if they have one."""
    group = _group(turn)
    if group is None:
        return await _deep_link(turn)
    return await invites.link_of(
        turn.db, member=turn.member.id, channel=group.channel, place=group.ref
    )


async def _deep_link(turn: Turn) -> str | None:
    """The member's link to the bot itself, if they have one."""
    link = turn.world.links.get(turn.event.channel)
    payload = await invites.link_of(
        turn.db, member=turn.member.id, channel=turn.event.channel, place=""
    )
    return link.format(payload=payload) if link and payload else None


def _new_deep_link(turn: Turn) -> str | None:
    """A link to the bot itself that nobody could guess; None where it has no address."""
    link = turn.world.links.get(turn.event.channel)
    if link is None:
        return None
    payload = f"{PREFIX}_{turn.world.secret()}"
    _keep(turn, payload, place="")
    return link.format(payload=payload)


def _keep(turn: Turn, link: str, *, place: str) -> None:
    turn.note(
        invites.made(
            id=turn.world.ids.take(),
            community=turn.community.id,
            member=turn.member.id,
            channel=turn.event.channel,
            place=place,
            link=link,
            at=turn.now,
        )
    )


async def _tell(turn: Turn, link: str | None) -> None:
    """Give the link in private where that is possible, else where it was asked for."""
    if link is None:
        turn.say("referrals.no_link", to=turn.aside())
        return
    count, settings = turn.member.referred, turn.settings(Settings)
    latest = (await facts.about(turn.db, turn.member.id, Fact.REFERRED))[: settings.latest]
    friends = [friend.name for friend in await members.by_ids(turn.db, latest)]
    turn.say(
        "referrals.link"
        if not count
        else "referrals.link_and_count"
        if count < settings.goal
        else "referrals.link_and_total",
        to=turn.aside(),
        buttons=((POSTER,),),
        name=turn.member.name,
        link=link,
        count=count,
        goal=settings.goal,
        friends=friends or ["—"],  # those who were forgotten have no name any more
    )


def _group(turn: Turn) -> Spot | None:
    """The group a personal link can be made for: the one we are in, else the first."""
    channel = turn.event.channel
    if "make_link" not in turn.world.abilities.get(channel, ()):
        return None
    if turn.spot is not None and turn.spot.kind == "group":
        return turn.spot
    return next(iter(turn.community.groups_on(channel)), None)


def _door(turn: Turn) -> str:
    """An invitation into one of the community's groups, on this channel if there is any."""
    near = [spot.link for spot in turn.community.groups_on(turn.event.channel) if spot.link]
    far = [spot.link for spot in turn.community.spots if spot.kind == "group" and spot.link]
    return next(iter([*near, *far]), "")


def _at(turn: Turn, group: Spot) -> To:
    here = turn.here
    if here.place == group.ref:
        return here
    return To(channel=group.channel, place=group.ref, language=turn.language, private=False)
