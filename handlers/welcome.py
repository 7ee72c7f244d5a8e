"""Welcome: whoever joins is greeted by name within seconds, and shown the rules of the house."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from pydantic import BaseModel, Field, PositiveInt

from handlers.roles import Role
from handlers.router import Router
from handlers.turn import Button, Kind, Policy, Refusal, To, Turn, as_told_by
from knowledge import texts
from storage import communities, facts, members
from storage.facts import Fact
from storage.members import Arrival
from storage.writer import Change

LATELY = timedelta(hours=1)  # who comes and goes within this is greeted once; later, not at all
LONGEST = 2000  # characters of a community's rules, so that they fit in a message on any channel


class Settings(BaseModel, extra="forbid", frozen=True):
    """The [welcome] section of config.toml."""

    gather: float = Field(default=5, ge=0, le=25)  # seconds; who join within them share a greeting
    names: PositiveInt = 8  # named in one greeting; those beyond are counted


router = Router("welcome", Settings)

RULES = Button("welcome.rules_button", "welcome.rules")


@router.watch(Kind.JOINED)
async def notice(turn: Turn) -> None:
    """Put the greeting off by a moment, so that those who come together are greeted together.

    Everybody has a waking of their own, and the first to wake greets all who
    wait: so nobody is missed, however closely they come.
    """
    if turn.event.where is not None:
        gather = timedelta(seconds=turn.settings(Settings).gather)
        turn.later(
            "greet",
            turn.now + gather,
            stale=LATELY,
            channel=turn.event.channel,
            place=turn.event.where.id,
        )


@router.later("greet")
async def greet(turn: Turn) -> None:
    """Greet everybody who came to this place and has not been greeted."""
    channel, place = turn.event.words["channel"], turn.event.words["place"]
    arrivals = await members.ungreeted(
        turn.db, turn.community.id, channel=channel, place=place, since=turn.now - LATELY
    )
    if not arrivals:
        return
    turn.note(*(_greeted(turn, arrival) for arrival in arrivals))
    shown = turn.settings(Settings).names
    turn.say(
        _greeting(arrivals, shown),
        to=To(channel=channel, place=place, language=_language(turn, arrivals), private=False),
        buttons=_ways_on(turn, channel),
        prompted=True,  # by their joining
        policy=Policy.AT_MOST_ONCE,
        name=arrivals[0].member.name,
        names=[one.member.name for one in arrivals[:shown]],
        more=len(arrivals) - shown,
    )


@router.command("rules")
@router.button("rules")
@router.start("rules")
async def show_rules(turn: Turn) -> None:
    """Show the rules, in private if there is a way there: a group need not read them each time."""
    rules = rules_of(turn, turn.language)
    if not rules:
        raise Refusal("welcome.no_rules")
    door = turn.doorway("welcome.rules_door_button", "rules_here")
    if door and not turn.private and not turn.member.home:
        turn.say("welcome.rules_door", buttons=door, name=turn.member.name)
        return
    turn.say("welcome.house_rules", to=turn.aside(), rules=rules)


@router.command("setrules", role=Role.ADMIN)
async def set_rules(turn: Turn) -> None:
    """Put an admin's wording in place of the rules, for readers of the admin's language."""
    wording = texts.clean(turn.rest).strip()
    if not wording:
        raise Refusal("welcome.how_to_set_rules")
    if len(wording) > LONGEST:
        raise Refusal("welcome.rules_too_long", length=len(wording), most=LONGEST)
    turn.note(
        communities.worded(
            id=turn.world.ids.take(),
            community=turn.community.id,
            key="rules",
            language=turn.language,
            text=wording,
            at=turn.now,
        )
    )
    turn.say("welcome.rules_set", rules=wording)


def rules_of(turn: Turn, language: str) -> str:
    """The community's rules: in its admins' own words, else as its library has them.

    Where there are none in this language, those in another are better than none.
    """
    own = {lang: text for (key, lang), text in turn.community.wordings.items() if key == "rules"}
    shelved = turn.world.shelf.rules(turn.community.name).text(language)
    return own.get(language) or shelved or next(iter(own.values()), "")


def _greeted(turn: Turn, arrival: Arrival) -> Change:
    """Remember it, once for each joining: two that wake together greet nobody twice."""
    return facts.recorded(
        id=turn.world.ids.take(),
        community=turn.community.id,
        member=arrival.member.id,
        fact=Fact.GREETED,
        amount=1,
        day=as_told_by(turn, arrival.member).today,
        at=turn.now,
        once=str(arrival.fact),
        about=None,
    )


def _greeting(arrivals: Sequence[Arrival], shown: int) -> str:
    if len(arrivals) > shown:
        return "welcome.crowd"
    if len(arrivals) > 1:
        return "welcome.several"
    return "welcome.returning" if arrivals[0].returning else "welcome.newcomer"


def _language(turn: Turn, arrivals: Sequence[Arrival]) -> str:
    """Theirs, if they have one in common; else the community's."""
    spoken = {one.member.language or turn.community.language for one in arrivals}
    return spoken.pop() if len(spoken) == 1 else turn.community.language


def _ways_on(turn: Turn, channel: str) -> tuple[tuple[Button, ...], ...]:
    door = turn.doorway("welcome.hello_button", "help_here", channel=channel)
    return ((RULES, *(button for row in door for button in row)),)
