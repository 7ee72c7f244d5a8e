"""The audit of how fast it went: never faster than the platform allows, or than it asked."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from benchmarks.crash_evidence import Evidence, Violation

JITTER = 0.95  # of a window: calls do not arrive as evenly as they leave
PER_CHAT, CHAT_BURST = 1.0, 3.0  # messages a second to one chat, and at once after a pause
PER_GROUP = 20  # messages a minute to one group
OVERALL = 30  # messages a second in all
IN_FLIGHT = 0.3  # seconds in which what had left before a 429 may still arrive
BUNCHED = 3  # messages that a busy machine lets arrive together with those before them


def limits(evidence: Evidence) -> Iterator[Violation]:
    """In no window that the server saw was there more than the platform allows."""
    for seconds in (1.0, 10.0):
        if (most := _beyond(evidence, seconds)) > BUNCHED:
            what = f"{most:.0f} messages more in {seconds:g} s than {OVERALL} a second"
            yield Violation("limit", what)
    for chat, at in _by_chat(evidence).items():
        if chat < 0 and (most := fullest(at, 60.0)) > PER_GROUP:
            yield Violation("limit", f"{most} messages to group {chat} in one minute")
        if chat > 0:
            for seconds in (1.0, 3.0, 10.0):
                allowed = CHAT_BURST + PER_CHAT * seconds
                if (most := fullest(at, seconds)) > allowed:
                    what = f"{most} messages to {chat} in {seconds:g} s"
                    yield Violation("limit", what)
                    break


def patient(evidence: Evidence) -> Iterator[Violation]:
    """After a 429 nothing goes to that chat before its time, while the process lives."""
    for refused in evidence.sent:
        if refused.status != 429:
            continue
        from_, until = refused.at + IN_FLIGHT, refused.at + JITTER * refused.retry_after
        until = min([until, *(kill.at for kill in evidence.kills if kill.at > refused.at)])
        for other in evidence.sent:
            if other.chat == refused.chat and from_ < other.at < until:
                early = f"{until - other.at:.2f} s too early"
                yield Violation("limit", f"chat {refused.chat} was written to {early}")


def _beyond(evidence: Evidence, seconds: float) -> float:
    """By how much the fullest window goes beyond the limit.

    While our own server was held up, what came meanwhile waited outside, and is seen too late.
    """
    moments, most, first = [one.at for one in evidence.sent], 0.0, 0
    for last, moment in enumerate(moments):
        while moment - moments[first] >= seconds * JITTER:
            first += 1
        held_up = sum(lag for at, lag in evidence.lags if moments[first] - lag <= at <= moment)
        most = max(most, last - first + 1 - OVERALL * (seconds + held_up))
    return most


def fullest(moments: Iterable[float], seconds: float) -> int:
    """The most of them that lie within any window so long, less what jitter may do.

    >>> fullest([0.0, 0.5, 0.9, 5.0], 1.0)
    3
    """
    ordered, most, first = sorted(moments), 0, 0
    for last, moment in enumerate(ordered):
        while moment - ordered[first] >= seconds * JITTER:
            first += 1
        most = max(most, last - first + 1)
    return most


def _by_chat(evidence: Evidence) -> dict[int, list[float]]:
    found: dict[int, list[float]] = defaultdict(list)
    for one in evidence.sent:
        found[one.chat].append(one.at)
    return found


def windows(evidence: Evidence) -> str:
    chats = _by_chat(evidence)
    groups = max((fullest(at, 60.0) for chat, at in chats.items() if chat < 0), default=0)
    overall = fullest([one.at for one in evidence.sent], 1.0)
    return f"{overall}/s in all, {groups}/min to a group"
