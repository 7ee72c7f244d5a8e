"""Subscriptions: nobody is sent what they did not ask for, once they have said stop."""

from __future__ import annotations

from handlers.router import Outgoing, Router, Withheld
from handlers.turn import Button, Turn
from storage import members

REMINDING = ("checkin",)  # the capabilities whose unprompted letters are reminders

router = Router("subscriptions")

UNDO = Button("subscriptions.resume_button", "subscriptions.resume")
REMINDERS_ONLY = Button("subscriptions.no_reminders_button", "subscriptions.no_reminders")


@router.gate
async def respect(outgoing: Outgoing) -> Withheld | None:
    """Withhold what the member does not wish to be sent.  A group's letters are nobody's own."""
    if not outgoing.letter.to.private:
        return None
    if outgoing.member.silenced:
        return Withheld("silenced")
    if not outgoing.member.reminders and outgoing.letter.topic in REMINDING:
        return Withheld("no reminders")
    return None


@router.command("stop")
@router.button("stop")
async def stop(turn: Turn) -> None:
    """Send nothing more that was not asked for."""
    turn.note(members.wishes(turn.member.id, silenced=True, reminders=turn.member.reminders))
    turn.say("subscriptions.stopped", buttons=((UNDO,), (REMINDERS_ONLY,)))


@router.button("no_reminders")
async def stop_reminders(turn: Turn) -> None:
    """Send no reminders, and the rest as before."""
    turn.note(members.wishes(turn.member.id, silenced=False, reminders=False))
    turn.say("subscriptions.no_reminders", buttons=((UNDO,),))


@router.command("resume")
@router.button("resume")
async def resume(turn: Turn) -> None:
    """Send everything again."""
    turn.note(members.wishes(turn.member.id, silenced=False, reminders=True))
    undo = Button("subscriptions.stop_button", "subscriptions.stop")
    turn.say("subscriptions.resumed", buttons=((undo,),))
