"""Pace: no faster than a platform allows, per chat, per group and in all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from bot.channels import Limits

BURST = 3.0  # messages a chat takes at once before a second's pause between them
KEPT = 10_000  # chats whose pace is remembered; the longest quiet is forgotten first


@dataclass(slots=True)
class Bucket:
    """A token bucket: `rate` tokens a second, at most `size` saved up."""

    rate: float
    size: float
    tokens: float
    at: float

    def take(self, now: float) -> float:
        """Take one token, on credit if need be; returns the seconds until it is earned."""
        self.tokens = min(self.size, self.tokens + (now - self.at) * self.rate) - 1
        self.at = now
        return max(0.0, -self.tokens / self.rate)


@dataclass(slots=True)
class Pace:
    """One channel's pace.  Clocks here are monotonic: a moved clock is no reason to hurry."""

    limits: Limits
    now: Callable[[], float]
    chats: dict[str, Bucket] = field(default_factory=dict)
    overall: Bucket | None = None
    paused_until: float = 0.0

    def wait(self, place: str, *, group: bool) -> float:
        """Seconds to wait before the next message to this chat; the message counts as sent."""
        now = self.now()
        if self.overall is None:
            self.overall = Bucket(self.limits.overall, 1.0, 1.0, now)  # evenly spaced
        chat = self._chat(place, now, group=group)
        return max(chat.take(now), self.overall.take(now), self.paused_until - now)

    def pause(self, seconds: float) -> None:
        """Say nothing on the whole channel for so long."""
        self.paused_until = max(self.paused_until, self.now() + seconds)

    def _chat(self, place: str, now: float, *, group: bool) -> Bucket:
        bucket = self.chats.pop(place, None)
        if bucket is None:
            per_second = self.limits.per_group / 60 if group else self.limits.per_chat
            size = self.limits.per_group if group else BURST
            bucket = Bucket(per_second, size, size, now)
        self.chats[place] = bucket
        if len(self.chats) > KEPT:
            del self.chats[next(iter(self.chats))]
        return bucket
