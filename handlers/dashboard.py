"""Dashboard: whoever looks after the community gets a link by which they log in, once."""

from __future__ import annotations

from datetime import timedelta

from handlers.roles import Role
from handlers.router import Router
from handlers.turn import Button, Refusal, Turn
from storage import tokens

router = Router("dashboard")

GOOD = timedelta(minutes=10)


@router.command("dashboard", role=Role.ADMIN)
@router.start("dashboard")
async def let_in(turn: Turn) -> None:
    """Give an admin a link for themselves, in private."""
    if not Role(turn.member.role).may(Role.ADMIN):  # whoever was passed the button's link
        raise Refusal("house.not_allowed", role="@house.role.admin")
    if not turn.private:
        raise Refusal(
            "dashboard.in_private",
            buttons=turn.doorway("dashboard.door_button", "dashboard_here"),
        )
    token = turn.world.secret()
    turn.note(*tokens.issued(token, purpose=purpose(turn.member.id), expires=turn.now + GOOD))
    link = f"{turn.world.pages}/login?t={turn.member.id}.{token}"
    minutes = GOOD // timedelta(minutes=1)
    if turn.world.pages_here:  # which no messenger would open from a button
        turn.say("dashboard.link_here", link=link, minutes=minutes)
    else:
        enter = Button("dashboard.enter_button", url=link)
        turn.say("dashboard.link", buttons=((enter,),), minutes=minutes)


def purpose(member: int) -> str:
    """What a login token is good for: it lets in this member and nobody else."""
    return f"login {member}"
