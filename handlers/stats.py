"""Stats: how the community is doing, in a few numbers that are as small as they are."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from handlers.roles import Role
from handlers.router import Router
from handlers.turn import Refusal, Turn
from storage import cases, facts, members
from storage.facts import Fact

router = Router("stats")

WEEK = timedelta(days=7)


@router.command("stats", role=Role.ADMIN)
async def show(turn: Turn) -> None:
    """Count what happened today and in the last seven days."""
    if not (turn.private or (turn.spot is not None and turn.spot.kind == "staff")):
        raise Refusal("stats.in_private", buttons=turn.doorway("stats.door_button", "help_here"))
    db, here = turn.db, turn.community.id
    week = turn.now - WEEK
    turn.say(
        "stats.now",
        community=turn.community.name,
        members=await members.count(db, here),
        joined=await facts.count(db, here, Fact.JOINED, since=week),
        referred=await facts.count(db, here, Fact.REFERRED, since=week),
        checked_in=await facts.count(db, here, Fact.CHECKED_IN, since=_midnight(turn)),
        answered=await facts.count(db, here, Fact.ANSWERED, since=week),
        unanswered=await facts.count(db, here, Fact.UNANSWERED, since=week),
        open=await cases.count_open(db, here),
    )


def _midnight(turn: Turn) -> datetime:
    """When the community's present day began."""
    today = turn.now.astimezone(ZoneInfo(turn.community.zone)).date()
    return datetime.combine(today, time(), ZoneInfo(turn.community.zone))
