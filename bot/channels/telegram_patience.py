"""Patience with Telegram: what is tried again, how often, and after how long."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    stop_after_attempt,
    stop_never,
    wait_exponential_jitter,
)

from bot.channels import Faltered, Impossible, NotNow, Unreachable
from bot.channels.telegram_api import Refused, Stranger

log = structlog.get_logger()

T = TypeVar("T")

TROUBLE = (Faltered, NotNow, Impossible, Unreachable)
SOON = 60.0  # seconds; for longer nobody is kept waiting in the middle of something


@dataclass(frozen=True, slots=True)
class Patience:
    """Tries again; `channel` is for the log, and `sleep` takes seconds."""

    channel: str
    sleep: Callable[[float], Awaitable[None]]

    async def trying(
        self,
        attempt: Callable[[], Awaitable[T]],
        worth_it: Callable[[BaseException], bool],
        *,
        attempts: int | None = None,
    ) -> T:
        """Try until it goes well, or until a failure is not `worth_it`.

        attempts: the most there may be; None for no end
        Raises what the last attempt raised.
        """

        def tell(state: RetryCallState) -> None:
            number, seconds = state.attempt_number, state.upcoming_sleep
            self.tell("telegram.again", _fault(state), attempts=number, seconds=seconds)

        return await AsyncRetrying(
            sleep=self.sleep,
            wait=_pause,
            stop=stop_never if attempts is None else stop_after_attempt(attempts),
            retry=retry_if_exception(worth_it),
            before_sleep=tell,
            reraise=True,
        )(attempt)

    def tell(self, event: str, fault: BaseException | None, **more: Any) -> None:
        """Log what went wrong, in words that are ours or Telegram's own."""
        reason = str(fault) if isinstance(fault, (Faltered, Refused)) else ""
        if isinstance(fault, Refused) and fault.status == 409:
            reason = "another process listens for the same token, or a webhook is set for it"
        log.warning(event, channel=self.channel, fault=type(fault).__name__, reason=reason, **more)


def anything(fault: BaseException) -> bool:
    """Whether it is a failure at all, and not the end of the task."""
    return isinstance(fault, Exception)


def trouble(fault: BaseException) -> bool:
    """Whether it is a failure to reach Telegram, of any kind."""
    return isinstance(fault, TROUBLE)


def passing(fault: BaseException) -> bool:
    """Whether it may be gone by itself in a moment."""
    return isinstance(fault, (Faltered, NotNow)) and not isinstance(fault, Stranger)


def slowed(fault: BaseException) -> bool:
    """Whether we are only asked to wait, and not for long."""
    return isinstance(fault, NotNow) and fault.seconds <= SOON


def _pause(state: RetryCallState) -> float:
    """Seconds before the next attempt: as asked for; long where a person must step in."""
    fault = _fault(state)
    if isinstance(fault, NotNow):
        return fault.seconds
    if isinstance(fault, Stranger):
        return 60.0
    if isinstance(fault, Refused):
        return min(5.0 * state.attempt_number, 30.0)
    return _backoff(state)


_backoff = wait_exponential_jitter(multiplier=0.5, max=30.0)


def _fault(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None
