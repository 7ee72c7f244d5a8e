"""Quiet hours: what nobody asked for waits for morning; answers never do."""

from __future__ import annotations

from bisect import bisect_left
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from pydantic import BaseModel

from handlers.roles import Role
from handlers.router import Outgoing, Router
from handlers.turn import Turn


class Settings(BaseModel, extra="forbid", frozen=True):
    """The [quiet_hours] section of config.toml."""

    start: time = time(22)  # local to each member; in a group, to its community
    end: time = time(8)  # the same as `start` for no quiet hours at all


router = Router("quiet_hours", Settings)


@router.gate
async def wait_for_morning(outgoing: Outgoing) -> datetime | None:
    """Hold what nobody asked for until the reader's quiet hours are over."""
    settings = outgoing.world.settings.of(Settings, outgoing.community.name)
    opens = opens_at(outgoing.now, settings.start, settings.end, _zone(outgoing))
    return opens if opens > outgoing.now else None


@router.command("quiet")
async def hours(turn: Turn) -> None:
    """Tell when it is quiet; and an admin, where that is decided."""
    settings = turn.settings(Settings)
    admin = Role(turn.member.role).may(Role.ADMIN)
    if settings.start == settings.end:
        turn.say("quiet_hours.never_admin" if admin else "quiet_hours.never")
        return
    turn.say(
        "quiet_hours.hours_admin" if admin else "quiet_hours.hours",
        start=settings.start,
        end=settings.end,
        zone=turn.zone.key,
    )


def opens_at(now: datetime, start: time, end: time, zone: ZoneInfo) -> datetime:
    """The first moment, at or after `now`, that is outside the quiet hours.

    now:        aware, any zone
    start, end: wall-clock times in `zone`; start is quiet, end is not.
                `start > end` spans midnight; `start == end` is never quiet.
    Returns an aware UTC time; `now` itself when it is already allowed.
    """
    moment = now.astimezone(UTC)
    while quiet_at(moment.astimezone(zone).time(), start, end):
        moment = _next_showing(end, moment, zone)
    return moment


def quiet_at(clock: time, start: time, end: time) -> bool:
    """Whether a wall clock showing this time is within the quiet hours.

    >>> quiet_at(time(23), time(22), time(8)), quiet_at(time(8), time(22), time(8))
    (True, False)
    """
    return start <= clock < end if start <= end else clock >= start or clock < end


def _next_showing(clock: time, after: datetime, zone: ZoneInfo) -> datetime:
    """The first moment after this one at which the zone's clocks show `clock`, or jump past it."""
    day = after.astimezone(zone).date()
    days = (day, day + timedelta(days=1))
    return min(at for one in days for at in _showing(clock, one, zone) if at > after)


def _showing(clock: time, day: date, zone: ZoneInfo) -> list[datetime]:
    """When clocks show this on that day: twice if they are put back over it, and if they are
    put forward over it, the moment in which they are."""
    first, second = (
        datetime.combine(day, clock, zone).replace(fold=fold).astimezone(UTC) for fold in (0, 1)
    )
    return [first, second] if first <= second else [_jump(second, first, zone)]


def _jump(before: datetime, after: datetime, zone: ZoneInfo) -> datetime:
    """The moment between these two in which the zone's clocks are put forward."""
    seconds = range(int(before.timestamp()), int(after.timestamp()) + 1)
    offset = before.astimezone(zone).utcoffset()
    jumped = bisect_left(
        seconds, True, key=lambda second: datetime.fromtimestamp(second, zone).utcoffset() != offset
    )
    return datetime.fromtimestamp(seconds[jumped], UTC)


def _zone(outgoing: Outgoing) -> ZoneInfo:
    """The reader's zone: a group is read by many, and so by its community's clock."""
    theirs = outgoing.member.zone if outgoing.letter.to.private else ""
    return ZoneInfo(theirs or outgoing.community.zone)
