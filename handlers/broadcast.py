"""Broadcast: an admin writes once, and many members read it, none of them twice."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from handlers import discovered
from handlers.roles import Role
from handlers.router import Outgoing, Router
from handlers.turn import Button, Kind, Letter, Refusal, Reply, To, Turn, as_told_by
from knowledge.texts import Own, clean
from storage import campaigns, interactions, members
from storage.campaigns import Audience, Campaign, Reach
from storage.writer import Change

router = Router("broadcast")

LONGEST = 3800  # characters, so that a name still fits into one message
DIGITS = 19  # no number of ours has so many, but anything can be pressed by a program
SHORT = 40  # characters by which a broadcast is known in a list
NAME = "{name}"  # in the text: becomes the name of whoever reads it

SOON = timedelta(seconds=3)  # between two reports while it has just begun
BEGINNING = timedelta(seconds=15)
STEP = 0.05  # of the whole, between two reports later on
PAUSES = (timedelta(seconds=5), timedelta(minutes=5))  # the shortest and the longest then

AUDIENCES = {
    "everybody": Audience(),
    "present": Audience(present=True),
    "new7": Audience(new=7),
    "new30": Audience(new=30),
    "silent30": Audience(silent=30),
}


# ---------------------------------------------------------------- writing it


@router.command("broadcast", role=Role.ADMIN)
@router.start("broadcast")
async def begin(turn: Turn) -> None:
    """Take the text that came with the command, or ask for it."""
    _in_charge(turn)
    if not turn.private:
        door = turn.doorway("broadcast.door_button", "broadcast_here")
        raise Refusal("broadcast.in_private", buttons=door)
    if turn.event.media or (turn.rest and turn.event.text.startswith("/broadcast")):
        await written(turn)
        return
    turn.say("broadcast.ask")
    turn.expect("text")


@router.answer("text")
async def written(turn: Turn) -> None:
    """Show it as members will see it, and to how many it would go."""
    _in_charge(turn)
    text, media = turn.rest.strip(), turn.event.media
    if not (text or media):
        raise Refusal("broadcast.nothing")
    if len(text) > LONGEST:
        raise Refusal("broadcast.too_long", most=LONGEST, length=len(text))
    campaign = Campaign(
        id=turn.world.ids.take(),
        community=turn.community.id,
        text=text,
        author=turn.member.id,
        media=tuple((turn.event.channel, one.kind, one.ref, one.name) for one in media),
    )
    turn.note(campaigns.drafted(campaign, at=turn.now))
    turn.send(Reply(text=clean(text).replace(NAME, turn.member.name), media=media))
    await _show(turn, campaign)


async def _show(turn: Turn, campaign: Campaign) -> None:
    """Say who would get it, with what can be done about that."""
    reach = await campaigns.reach(turn.db, turn.community.id, campaign.audience, turn.now)
    say, language = turn.world.texts.say, turn.language
    counts = {
        "silenced": reach.silenced,
        "homeless": reach.homeless,
        "asleep": await _asleep(turn, reach),
    }
    lines = [say(language, "broadcast.for", whom=_whom(turn, campaign.audience))]
    lines.append(say(language, "broadcast.reached", count=reach.reached))
    lines += [say(language, f"broadcast.but.{why}", count=n) for why, n in counts.items() if n]
    choices = [_button("choose", campaign), _button("drop", campaign)]
    if reach.reached:
        choices.insert(0, _button("send", campaign))
    reply = Reply(
        key="broadcast.summary",
        words={"lines": "\n".join(lines)},
        buttons=tuple((choice,) for choice in choices),
    )
    turn.send(reply, edits=await _pressed_under(turn))


async def _asleep(turn: Turn, reach: Reach) -> int:
    """How many get it later, as a gate would hold it for those of their zone."""
    return sum([count for count, one in reach.zones if await _held(turn, one)])


async def _held(turn: Turn, one: int) -> bool:
    member = await members.by_id(turn.db, one)
    if member is None:
        return False
    to = To(channel=member.channel, place=member.home, language=member.language)
    letter = Letter(
        id=0,
        community=turn.community.id,
        member=member.id,
        to=to,
        prompted=False,
        topic=turn.topic,
    )
    outgoing = Outgoing(letter, member, turn.community, turn.world, turn.db, turn.now)
    verdicts = [await gate(outgoing) for router in discovered() for gate in router.gates]
    return any(isinstance(one, datetime) and one > turn.now for one in verdicts)


# ---------------------------------------------------------------- for whom


@router.button("choose")
async def choose(turn: Turn) -> None:
    """Offer every audience there is."""
    campaign = await _draft(turn)
    texts = turn.world.texts
    rows = [[_choice(campaign, "everybody"), _choice(campaign, "present")]]
    rows.append(
        [
            Button(
                "broadcast.language_button",
                f"broadcast.whom:{campaign.id}:{code}",
                words={"name": texts.say(code, "language.own_name")},
            )
            for code in texts.languages
        ]
    )
    rows.append([_choice(campaign, "new7"), _choice(campaign, "new30")])
    rows.append([_choice(campaign, "silent30")])
    buttons = tuple(map(tuple, rows))
    turn.send(Reply(key="broadcast.choose", buttons=buttons), edits=await _pressed_under(turn))


@router.button("whom")
async def narrow(turn: Turn) -> None:
    """Send it to these, and say how many they are."""
    campaign = await _draft(turn)
    code = turn.rest.partition(":")[2]
    audience = AUDIENCES.get(code)
    if audience is None and code in turn.world.texts.languages:
        audience = Audience(language=code)
    if audience is None:
        raise Refusal("broadcast.gone")
    turn.note(campaigns.meant_for(campaign.id, audience))
    await _show(turn, replace(campaign, audience=audience))


def _choice(campaign: Campaign, code: str) -> Button:
    return Button(f"broadcast.whom_button.{code}", f"broadcast.whom:{campaign.id}:{code}")


def _whom(turn: Turn, audience: Audience) -> str:
    """The audience in words."""
    if audience.language:
        name = turn.world.texts.say(audience.language, "language.own_name")
        return turn.world.texts.say(turn.language, "broadcast.speakers", name=name)
    code = next((code for code, one in AUDIENCES.items() if one == audience), "everybody")
    return turn.world.texts.say(turn.language, f"broadcast.whom.{code}")


# ---------------------------------------------------------------- sending it, or not


@router.button("send")
async def send(turn: Turn) -> None:
    """Begin, once, however often and by how many it is pressed."""
    campaign = await _draft(turn)
    reach = await campaigns.reach(turn.db, turn.community.id, campaign.audience, turn.now)
    if not reach.reached:
        raise Refusal("broadcast.nobody")
    running = replace(campaign, state="running", total=reach.reached)
    progress = turn.send(_status(running), edits=await _pressed_under(turn))
    turn.note(campaigns.started(campaign.id, total=reach.reached, at=turn.now, progress=progress))
    _look_again(turn, running, turn.now + SOON)


@router.button("drop")
async def drop(turn: Turn) -> None:
    """It is not sent at all."""
    campaign = await _draft(turn)
    turn.note(campaigns.dropped(campaign.id, at=turn.now))
    turn.send(Reply(key="broadcast.dropped"), edits=await _pressed_under(turn))


@router.button("pause")
async def pause(turn: Turn) -> None:
    """Send nothing more of it for now."""
    campaign = await _begun(turn, "running")
    await _becomes(turn, campaign, "paused", campaigns.paused(campaign.id))


@router.button("resume")
async def resume(turn: Turn) -> None:
    """Go on with it."""
    campaign = await _begun(turn, "paused")
    await _becomes(turn, campaign, "running", campaigns.resumed(campaign.id))
    author = await members.by_id(turn.db, campaign.author or 0)
    if author is not None:
        _look_again(as_told_by(turn, author), campaign, turn.now + SOON)


@router.button("cancel")
async def cancel(turn: Turn) -> None:
    """Send nothing more of it, ever."""
    campaign = await _begun(turn, "running", "paused")
    await _becomes(turn, campaign, "cancelled", campaigns.cancelled(campaign.id))


async def _becomes(turn: Turn, campaign: Campaign, state: str, changes: list[Change]) -> None:
    """Note it, and show it to its author, and to who did it."""
    turn.note(*changes)
    now = replace(campaign, state=state)
    await _update(turn, now)
    if turn.member.id != campaign.author:
        turn.send(_status(now))


# ---------------------------------------------------------------- telling how far it is


@router.later("progress")
async def report(turn: Turn) -> None:
    """Change the author's message, if there is anything new to say, and look again later."""
    campaign = await campaigns.by_id(turn.db, turn.event.words["campaign"])
    if campaign is None or campaign.state != "running":
        return
    if campaign.settled != turn.event.words["shown"]:
        await _update(turn, campaign)
    _look_again(turn, campaign, next_look(campaign, turn.now))


@router.later("finished")
async def conclude(turn: Turn) -> None:
    """Tell the author what came of it."""
    campaign = await campaigns.by_id(turn.db, turn.event.words["campaign"])
    if campaign is None:
        return
    await _update(turn, campaign)
    cancelled = campaign.state == "cancelled"
    key = "broadcast.cancelled" if cancelled else "broadcast.done"
    turn.say(key, lines="\n".join(_figures(turn, campaign)), prompted=True)


@router.command("broadcasts", role=Role.ADMIN)
async def show_latest(turn: Turn) -> None:
    """List the last ones, with buttons for those that are under way."""
    _in_charge(turn)
    if not turn.private:
        door = turn.doorway("broadcast.door_button", "broadcast_here")
        raise Refusal("broadcast.in_private", buttons=door)
    latest = await campaigns.latest(turn.db, turn.community.id)
    if not latest:
        turn.say("broadcast.none_yet")
        return
    lines = [_line(turn, number, one) for number, one in enumerate(latest, 1)]
    buttons = [
        tuple(_button(f"{verb}_number", one, verb, number=number) for verb in _verbs(one))
        for number, one in enumerate(latest, 1)
        if _verbs(one)
    ]
    turn.say("broadcast.latest", lines="\n\n".join(lines), buttons=buttons)


def next_look(campaign: Campaign, now: datetime) -> datetime:
    """When to tell how far it is: every few seconds at first, then at about each twentieth."""
    assert campaign.started_at is not None
    elapsed = now - campaign.started_at
    if elapsed < BEGINNING:
        return now + SOON
    shortest, longest = PAUSES
    share = campaign.settled / max(1, campaign.total)
    step = elapsed * (STEP / share) if share else longest
    return now + min(max(step, shortest), longest)


def _look_again(turn: Turn, campaign: Campaign, at: datetime) -> None:
    turn.later("progress", at, key=campaign.id, campaign=campaign.id, shown=campaign.settled)


async def _update(turn: Turn, campaign: Campaign) -> None:
    """Change the message that shows its author how far it is."""
    author = await members.by_id(turn.db, campaign.author or 0)
    home = None if author is None else turn.at_home(author)
    if home is None or author is None or campaign.progress is None:
        return
    turn.send(_status(campaign), to=home, about=author.id, edits=campaign.progress, prompted=True)


def _status(campaign: Campaign) -> Reply:
    """How far it is, with what can be done about that."""
    words = {
        "done": campaign.settled,
        "total": campaign.total,
        "percent": 100 * campaign.settled // max(1, campaign.total),
    }
    buttons = tuple(_button(verb, campaign) for verb in _verbs(campaign))
    key = f"broadcast.state.{campaign.state}"
    return Reply(key=key, words=words, buttons=(buttons,) if buttons else ())


def _verbs(campaign: Campaign) -> tuple[str, ...]:
    """What can be done with it now."""
    return {"running": ("pause", "cancel"), "paused": ("resume", "cancel")}.get(campaign.state, ())


def _figures(turn: Turn, campaign: Campaign) -> list[str]:
    """What came of it, one line for each that there is any of; together they are the whole."""
    counts = {**campaign.counts, "spared": campaign.left}
    say = turn.world.texts.say
    return [
        say(turn.language, f"broadcast.figure.{what}", count=count)
        for what, count in counts.items()
        if count or what == "sent"
    ]


def _line(turn: Turn, number: int, campaign: Campaign) -> str:
    assert campaign.started_at is not None
    words = " ".join(campaign.text.split())
    status = _status(campaign)
    return turn.world.texts.say(
        turn.language,
        "broadcast.line",
        number=number,
        at=campaign.started_at.astimezone(turn.zone),
        text=Own(clean(words, SHORT)) if words else "@broadcast.picture",
        state=turn.world.texts.say(turn.language, status.key, **status.words),
        sent=campaign.counts["sent"],
    )


# ---------------------------------------------------------------- what is pressed


def _in_charge(turn: Turn) -> None:
    """Whoever presses may have found the button anywhere."""
    if not Role(turn.member.role).may(Role.ADMIN):
        raise Refusal("house.not_allowed", role="@house.role.admin")


async def _named(turn: Turn) -> Campaign:
    """The broadcast that the button names, if it is of this community."""
    _in_charge(turn)
    number = turn.rest.partition(":")[0]
    known = number.isdecimal() and len(number) < DIGITS
    campaign = await campaigns.by_id(turn.db, int(number) if known else 0)
    if campaign is None or campaign.community != turn.community.id:
        raise Refusal("broadcast.gone")
    return campaign


async def _draft(turn: Turn) -> Campaign:
    """The one that is named, which nobody has sent or dropped."""
    campaign = await _named(turn)
    if campaign.state != "draft":
        raise Refusal("broadcast.begun" if campaign.started_at else "broadcast.dropped_before")
    return campaign


async def _begun(turn: Turn, *states: str) -> Campaign:
    """The one that is named, in one of these states."""
    campaign = await _named(turn)
    if campaign.state not in states:
        status = _status(campaign)
        raise Refusal(status.key, buttons=status.buttons, **status.words)
    return campaign


async def _pressed_under(turn: Turn) -> int:
    """The letter whose button was pressed, to be changed in place; 0 for a new one."""
    event = turn.event
    if event.kind is not Kind.PRESSED or event.where is None or not event.message:
        return 0
    found = await interactions.by_message(
        turn.db, channel=event.channel, place=event.where.id, message=event.message
    )
    return 0 if found is None else found.id


def _button(label: str, campaign: Campaign, verb: str = "", **words: int) -> Button:
    key = f"broadcast.{label}_button" if not verb else f"broadcast.{label}"
    return Button(key, f"broadcast.{verb or label}:{campaign.id}", words=words)
