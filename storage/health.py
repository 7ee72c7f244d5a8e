"""Health: whether what is written is kept, as the latest commits have shown."""

from __future__ import annotations

import time
from collections.abc import Callable

SLOW = 3.0  # seconds; a commit takes milliseconds
QUIET = 30.0  # seconds without a try, after which a look may try


class Health:
    """How writing goes.  The writer tells it; whoever asks may be in another thread."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._begun: float | None = None
        self._failed = 0.0
        self._reason = ""

    def begun(self) -> None:
        """A commit is under way."""
        self._begun = self._monotonic()

    def kept(self) -> None:
        """And went through."""
        self._begun, self._reason = None, ""

    def failed(self, reason: str) -> None:
        """Or did not, because the database is not to be written at present."""
        self._failed = self._monotonic()
        self._begun, self._reason = None, reason or "nobody knows why"

    @property
    def wrong(self) -> str:
        """Why nothing can be written, in words; empty when the latest commit went through."""
        begun = self._begun
        waits = 0.0 if begun is None else self._monotonic() - begun
        if self._reason:
            return f"cannot be written: {self._reason}"
        return f"has been writing for {waits:.0f} s" if waits > SLOW else ""

    @property
    def stale(self) -> bool:
        """Whether it went wrong, and nobody has come to see for a while whether it still does.

        Not at once: a little may still fit on a disk that is full for all that matters.
        """
        return bool(self._reason) and self._monotonic() - self._failed > QUIET
