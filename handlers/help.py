"""Help: the first words in private, and what there is to ask for."""

from __future__ import annotations

from handlers.roles import Role
from handlers.router import Router
from handlers.turn import Button, Refusal, Turn
from storage import members, tokens

router = Router("help")

CHECK_IN = Button("help.checkin_button", "checkin.here")
ASK = Button("help.ask_button", "faq.ask")
INVITE = Button("help.invite_button", "referrals.invite")
PERSON = Button("help.person_button", "handoff.human")
LANGUAGE = Button("help.language_button", "language.choose")


@router.command("start", listed=False)
@router.start("help")
async def greet(turn: Turn) -> None:
    """Say who this is and what it is good for."""
    if not turn.private:
        turn.say("help.start_in_group", buttons=turn.doorway("help.door_button", "help_here"))
        return
    turn.say(
        "help.start",
        buttons=((CHECK_IN, ASK), (INVITE, PERSON), (LANGUAGE,)),
        name=turn.member.name,
        community=turn.community.name,
    )


@router.start("owner")
async def welcome_owner(turn: Turn) -> None:
    """Whoever opens the one-time link that the operator was given is the owner."""
    good = await tokens.good(turn.db, turn.rest, purpose="owner", at=turn.now)
    if not (good and turn.private):
        raise Refusal("help.owner_link_spent")
    turn.note(
        tokens.used(turn.rest, purpose="owner", at=turn.now),
        members.owner_everywhere(turn.member.id),
    )
    turn.say("help.owner", name=turn.member.name, community=turn.community.name)


@router.command("help")
async def list_commands(turn: Turn) -> None:
    """List what this person may ask for here."""
    lines = [
        turn.world.texts.say(
            turn.language, "help.line", command=key.rpartition(".")[2], what=f"@{key}"
        )
        for key in turn.world.commands[_role_here(turn)]
    ]
    here = "help.commands" if turn.private else "help.commands_in_group"
    buttons = () if turn.private else turn.doorway("help.door_button", "help_here")
    turn.say(here, buttons=buttons, lines="\n".join(lines))


def _role_here(turn: Turn) -> str:
    """What somebody may do is nobody else's business: a group is told what anyone may."""
    at_work = turn.spot is not None and turn.spot.kind == "staff"
    return turn.member.role if turn.private or at_work else Role.MEMBER.value
