"""Privacy: what is kept about a member is told, handed over, or forgotten, whenever they say so."""

from __future__ import annotations

import json

from msgspec.structs import replace

from handlers.roles import Role
from handlers.router import Router
from handlers.turn import Button, File, Refusal, Reply, To, Turn
from storage import privacy, threads

router = Router("privacy")

COPY = "your-data.json"


@router.command("privacy")
@router.start("privacy")
async def explain(turn: Turn) -> None:
    """Tell what is kept, how long, and how to end it."""
    choices = (
        Button("privacy.export_button", "privacy.export"),
        Button("privacy.forget_button", "privacy.ask"),
    )
    buttons = ((choices,) if turn.private else _door(turn)) + _policy(turn)
    turn.say("privacy.kept", buttons=buttons, days=turn.world.keep_days)


@router.command("export")
@router.button("export")
async def hand_over(turn: Turn) -> None:
    """Send the member everything that is kept about them, as a file."""
    _only_in_private(turn)
    everything = await privacy.export(turn.db, turn.member.id)
    text = json.dumps(everything, ensure_ascii=False, indent=2)
    turn.send(Reply(key="privacy.copy", file=File(COPY, text)))


@router.command("forget")
@router.button("ask")
async def ask(turn: Turn) -> None:
    """Say what forgetting means, and make sure that it is meant."""
    _only_in_private(turn)
    yes = Button("privacy.yes_button", f"privacy.forget:{turn.member.id}")
    no = Button("privacy.no_button", "privacy.stay")
    owns = turn.member.role == Role.OWNER
    turn.say("privacy.sure_owner" if owns else "privacy.sure", buttons=((yes,), (no,)))


@router.button("stay")
async def stay(turn: Turn) -> None:
    """Nothing is forgotten after all."""
    turn.say("privacy.stayed")


@router.button("forget")
async def forget(turn: Turn) -> None:
    """Forget the member, and that it was they who asked for it."""
    _only_in_private(turn)
    if turn.rest != str(turn.member.id):
        raise Refusal("privacy.forgotten_before")
    here, topic = turn.here, await _topic(turn)
    turn.note(*privacy.forgotten(turn.member.id))
    turn.nameless()
    turn.say("privacy.forgotten", to=here)
    if topic is not None:
        turn.say("privacy.topic_forgotten", to=topic)


async def _topic(turn: Turn) -> To | None:
    """The member's topic as it is now, for a moment later nobody knows whose it was."""
    staff = turn.with_staff(turn.member)
    if staff is None:
        return None
    ref = await threads.of(turn.db, channel=staff.channel, place=staff.place, member=turn.member.id)
    if ref is None:
        return None
    return replace(staff, thread=ref, thread_of=0)


def _only_in_private(turn: Turn) -> None:
    if not turn.private:
        raise Refusal("privacy.in_private", buttons=_door(turn))


def _door(turn: Turn) -> tuple[tuple[Button, ...], ...]:
    return turn.doorway("privacy.door_button", "privacy_here")


def _policy(turn: Turn) -> tuple[tuple[Button, ...], ...]:
    url = turn.world.policy_url
    return ((Button("privacy.policy_button", url=url),),) if url else ()
