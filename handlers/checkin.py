"""Check-in: one tap a day keeps the streak alive."""

from __future__ import annotations

from datetime import date, time, timedelta
from itertools import groupby
from zoneinfo import ZoneInfo

from pydantic import BaseModel, PositiveInt

from handlers.router import Outgoing, Router, Withheld
from handlers.turn import Button, Picture, Refusal, Turn
from storage import facts, members
from storage.facts import Fact
from storage.members import Member

ONE_DAY = timedelta(days=1)


class Settings(BaseModel, extra="forbid", frozen=True):
    """The [checkin] section of config.toml."""

    remind_at: time = time(20)  # local to each member
    milestone: PositiveInt = 7  # days in a row worth celebrating, and every multiple of it
    shown: PositiveInt = 10  # places on the leaderboard


router = Router("checkin", Settings)

HERE = Button("checkin.here_button", "checkin.here")
CALENDAR = Button("checkin.calendar_button", "checkin.calendar")
TOP = Button("checkin.top_button", "checkin.top")
STOP = Button("subscriptions.stop_button", "subscriptions.stop")


@router.command("checkin")
@router.button("here")
async def check_in(turn: Turn) -> None:
    """Count today, once; celebrate when the streak reaches a milestone."""
    member, today = turn.member, turn.today
    if member.checked_in_on is not None and today <= member.checked_in_on:
        raise Refusal(
            "checkin.already", buttons=((CALENDAR, TOP),), name=member.name, streak=member.streak
        )
    streak = streak_after(today, member.checked_in_on, member.streak)
    longest = max(streak, member.longest)
    turn.note(members.checked_in(member.id, day=today, streak=streak, longest=longest))
    turn.record(Fact.CHECKED_IN, amount=streak, once=today)

    reached = streak % turn.settings(Settings).milestone == 0
    turn.say(
        "checkin.milestone" if reached else "checkin.done",
        buttons=((CALENDAR, TOP),),
        name=member.name,
        streak=streak,
        longest=longest,
        next=_next(member, streak),
    )


@router.command("streak")
@router.button("calendar")
async def show_calendar(turn: Turn) -> None:
    """Draw the member's month, with the same said in words below it."""
    member, today = turn.member, turn.today
    if member.checked_in_on is None:
        raise Refusal("checkin.none_yet", buttons=((HERE,),), name=member.name)
    first = today.replace(day=1)
    days = sorted(await facts.days(turn.db, member.id, Fact.CHECKED_IN, since=first, until=today))
    streak = alive_on(today, member.checked_in_on, member.streak)
    counted = today <= member.checked_in_on
    turn.say(
        "checkin.calendar" if days else "checkin.calendar_empty",
        picture=_picture(turn, days, streak),
        buttons=((TOP,),) if counted else ((HERE, TOP),),
        count=len(days),
        days=spans(days),
        streak=streak,
        longest=member.longest,
    )


@router.command("top")
@router.button("top")
async def show_top(turn: Turn) -> None:
    """List the longest streaks that are still alive, and the member's own if it is not there."""
    yesterday = turn.now.astimezone(ZoneInfo(turn.community.zone)).date() - ONE_DAY
    best = await members.streaks(
        turn.db, turn.community.id, since=yesterday, limit=turn.settings(Settings).shown
    )
    if not best:
        raise Refusal("checkin.top_empty", buttons=((HERE,),))
    turn.say("checkin.top", rows="\n".join(_places(turn, best)), buttons=((HERE, CALENDAR),))


@router.daily("remind_at", among="on_streak")
async def remind(turn: Turn) -> None:
    """Remind whoever would lose a streak by midnight."""
    today = turn.now.astimezone(turn.zone).date()
    if at_stake(today, turn.member.checked_in_on):
        turn.say(
            "checkin.remind",
            buttons=((HERE,), (STOP,)),
            name=turn.member.name,
            streak=turn.member.streak,
        )


@router.gate
async def drop_late_reminders(outgoing: Outgoing) -> Withheld | None:
    """A reminder that had to wait is not said once there is nothing left to be reminded of."""
    if outgoing.letter.topic != router.name:
        return None
    zone = ZoneInfo(outgoing.member.zone or outgoing.community.zone)
    today = outgoing.now.astimezone(zone).date()
    return None if at_stake(today, outgoing.member.checked_in_on) else Withheld("too late")


def streak_after(today: date, last: date | None, streak: int) -> int:
    """The streak once `today` is counted.

    last:   the day of the latest check-in; None if there was none
    streak: the streak that ended on `last`
    Days only rise: one that is not after `last` is counted already, as for somebody
    who flew east and back, and changes nothing.

    >>> streak_after(date(2025, 3, 2), date(2025, 3, 1), 6)
    7
    """
    if last is not None and today <= last:
        return streak
    return streak + 1 if last == today - ONE_DAY else 1


def alive_on(today: date, last: date | None, streak: int) -> int:
    """The streak as it stands today: 0 once a whole day was missed."""
    return streak if last is not None and last >= today - ONE_DAY else 0


def at_stake(today: date, last: date | None) -> bool:
    """Whether a streak ends unless today is counted."""
    return last == today - ONE_DAY


def spans(days: list[date]) -> list[str]:
    """Days of one month, in order, as a person writes them.

    >>> spans([date(2025, 3, 1), date(2025, 3, 2), date(2025, 3, 3), date(2025, 3, 9)])
    ['1–3', '9']
    """
    runs = groupby(enumerate(days), key=lambda nth: nth[1] - nth[0] * ONE_DAY)
    together = [[day.day for _, day in run] for _, run in runs]
    return [str(run[0]) if len(run) == 1 else f"{run[0]}–{run[-1]}" for run in together]


def _next(member: Member, streak: int) -> str:
    """The one thing worth adding: a text key, to be put into the reader's language."""
    if member.checked_in_on is None:
        return "@checkin.next.first"
    if streak == 1:
        return "@checkin.next.again"
    return "@checkin.next.record" if streak > member.longest else "@checkin.next.tomorrow"


def _picture(turn: Turn, days: list[date], streak: int) -> Picture:
    member, language, say = turn.member, turn.language, turn.world.texts.say
    return Picture(
        "calendar",
        {
            "month": turn.today,
            "days": days,
            "today": turn.today,
            "streak": streak,
            "longest": member.longest,
            "name": member.name,
            "words": {
                "streak": say(language, "checkin.picture.streak", days=streak),
                "longest": say(language, "checkin.picture.longest", days=member.longest),
                "guest": say(language, "checkin.picture.guest"),
            },
        },
    )


def _places(turn: Turn, best: list[Member]) -> list[str]:
    """One line a member; those with equal streaks share a place."""
    language, say = turn.language, turn.world.texts.say
    lines = [
        say(
            language,
            "checkin.place",
            rank=1 + sum(other.streak > one.streak for other in best),
            name=one.name,
            streak=one.streak,
        )
        for one in best
    ]
    own = alive_on(turn.today, turn.member.checked_in_on, turn.member.streak)
    if own and turn.member.id not in {one.id for one in best}:
        lines.append(say(language, "checkin.place_own", streak=own))
    return lines
