"""Language: each member's own language, time zone, and what they are sent without asking."""

from __future__ import annotations

import difflib
from dataclasses import replace
from datetime import timedelta
from functools import cache
from zoneinfo import available_timezones

from handlers.router import Router
from handlers.turn import Button, Kind, Refusal, Reply, Turn
from knowledge.search import folded
from storage import interactions, members

router = Router("language")

SUGGESTED = 4  # zones offered for one that is misspelt
CLOSE = 0.8  # how alike two names must be, from 0 to 1
ALSO_CALLED = dict.fromkeys(("beijing", "北京", "china", "中国"), "Asia/Shanghai")
NO_PLACES = ("Etc/", "SystemV/", "posix/", "right/", "US/")  # names of zones, but of no city


# ---------------------------------------------------------------- language


@router.command("language")
@router.button("choose")
async def choose(turn: Turn) -> None:
    """Offer every language there is, each by its own name."""
    _only_in_private(turn)
    if turn.rest:
        await use(turn)
        return
    languages = turn.world.texts.languages
    names = {code: turn.world.texts.say(code, "language.own_name") for code in languages}
    choices = [
        Button("language.choice_button", f"language.use:{code}", words={"name": name})
        for code, name in names.items()
    ]
    turn.say("language.choose", buttons=(choices,))


@router.button("use")
async def use(turn: Turn) -> None:
    """Speak this language from now on, beginning with this answer."""
    code = _language(turn, turn.rest)
    if code is None:
        raise Refusal("language.unknown")
    turn.note(members.speaks(turn.member.id, code))
    turn.seen_as(replace(turn.member, language=code))
    turn.say("language.done")


def _language(turn: Turn, said: str) -> str | None:
    """The language of ours that a code or a name stands for."""
    texts, said = turn.world.texts, said.strip().lower()
    for code in texts.languages:
        if said in (code, texts.say(code, "language.own_name").lower()):
            return code
    return texts.chosen(said, "") or None


# ---------------------------------------------------------------- zone


@router.command("zone")
@router.button("zone")
async def choose_zone(turn: Turn) -> None:
    """Ask which zone, or take the one that was named."""
    _only_in_private(turn)
    if turn.rest:
        await set_zone(turn)
        return
    turn.say("language.zone_ask", zone=turn.zone.key)
    turn.expect("zone")


@router.answer("zone")
async def set_zone(turn: Turn) -> None:
    """Go by this zone from the member's next day on, so that no day is lived twice."""
    zone = zone_named(turn.rest)
    if zone is None:
        _suggest(turn)
        return
    tomorrow = turn.today + timedelta(days=1)
    if zone != turn.zone.key or turn.member.next_zone:
        turn.note(members.moves_to(turn.member.id, zone, since=tomorrow))
    if zone == turn.zone.key:
        turn.say("language.zone_already", zone=zone)
    else:
        turn.say("language.zone_done", zone=zone, day=tomorrow)


def _suggest(turn: Turn) -> None:
    near = zones_like(turn.rest)
    if not near:
        turn.say("language.zone_unknown")
        return
    choices = [
        (Button("language.choice_button", f"language.zone:{zone}", words={"name": zone}),)
        for zone in near
    ]
    turn.say("language.zone_which", buttons=choices)


def zone_named(said: str) -> str | None:
    """The zone of this name or of this city, however it is written; None if there is none.

    >>> zone_named(" asia/shanghai "), zone_named("New York"), zone_named("東京")
    ('Asia/Shanghai', 'America/New_York', 'Asia/Tokyo')
    """
    return _zones().get(_plain(said))


def zones_like(said: str) -> list[str]:
    """Zones of a name, or of a city, close to this one, the closest first; there may be none.

    >>> zones_like("Asia/Shangai")[0], zones_like("a cup of tea")
    ('Asia/Shanghai', [])
    """
    near = difflib.get_close_matches(_plain(said), _zones(), SUGGESTED, CLOSE)
    return list(dict.fromkeys(_zones()[name] for name in near))


@cache
def _zones() -> dict[str, str]:
    """Zones by what people call them: their name, or their city in any language of ours."""
    from babel import Locale  # read when first needed: its data is large

    zones = sorted(z for z in available_timezones() if "/" in z and not z.startswith(NO_PLACES))
    names = {_plain(zone.rpartition("/")[2]): zone for zone in zones}
    for language in ("en", "zh"):
        for zone, called in Locale.parse(language).time_zones.items():
            if zone in zones and "city" in called:
                names[_plain(called["city"])] = zone
    return names | {_plain(zone): zone for zone in [*zones, "UTC"]} | ALSO_CALLED


def _plain(said: str) -> str:
    return folded(" ".join(said.replace("_", " ").split()))


# ---------------------------------------------------------------- everything at one glance


@router.command("settings")
@router.start("settings")
@router.button("settings")
async def show(turn: Turn) -> None:
    """Show what the member has chosen, with a button to change each."""
    _only_in_private(turn)
    await _show(turn)


@router.button("reminders")
async def set_reminders(turn: Turn) -> None:
    """Send reminders, or none; the rest stays as it is."""
    await _wish(turn, silenced=turn.member.silenced, reminders=turn.rest == "on")


@router.button("notices")
async def set_notices(turn: Turn) -> None:
    """Send what was not asked for, or nothing of it."""
    await _wish(turn, silenced=turn.rest == "off", reminders=turn.member.reminders)


async def _wish(turn: Turn, *, silenced: bool, reminders: bool) -> None:
    if turn.rest not in ("on", "off"):
        raise Refusal("language.unknown")
    turn.note(members.wishes(turn.member.id, silenced=silenced, reminders=reminders))
    turn.seen_as(replace(turn.member, silenced=silenced, reminders=reminders))
    await _show(turn)


async def _show(turn: Turn) -> None:
    member = turn.member
    words = {
        "speaks": turn.world.texts.say(turn.language, "language.own_name"),
        "zone": _zone_in_words(turn),
        "reminders": "@language.on" if member.reminders else "@language.off",
        "notices": "@language.off" if member.silenced else "@language.on",
    }
    buttons = (
        (
            Button("language.language_button", "language.choose"),
            Button("language.zone_button", "language.zone"),
        ),
        (
            Button("language.reminders_off_button", "language.reminders:off")
            if member.reminders
            else Button("language.reminders_on_button", "language.reminders:on"),
        ),
        (
            Button("language.notices_on_button", "language.notices:on")
            if member.silenced
            else Button("language.notices_off_button", "language.notices:off"),
        ),
    )
    reply = Reply(key="language.settings", words=words, buttons=buttons)
    turn.send(reply, edits=await _pressed_under(turn))


async def _pressed_under(turn: Turn) -> int:
    """The letter whose button was pressed, to be changed in place; 0 for a new one."""
    event = turn.event
    if event.kind is not Kind.PRESSED or event.where is None or not turn.rest:
        return 0
    found = await interactions.by_message(
        turn.db, channel=event.channel, place=event.where.id, message=event.message
    )
    return 0 if found is None else found.id


def _zone_in_words(turn: Turn) -> str:
    member, zone = turn.member, turn.zone.key
    if not member.next_zone or member.next_zone == zone:
        return zone
    return turn.world.texts.say(
        turn.language, "language.zone_soon", zone=zone, next=member.next_zone, day=member.zone_from
    )


def _only_in_private(turn: Turn) -> None:
    if not turn.private:
        door = turn.doorway("language.door_button", "settings_here")
        raise Refusal("language.in_private", buttons=door)
