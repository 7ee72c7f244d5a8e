"""Clocks: the machine's own, and one that can be moved."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The present moment (aware, UTC)."""
        return datetime.now(UTC)


class ShiftedClock:
    """The machine's clock, some way ahead: the playground's, which people may move forward."""

    def __init__(self, ahead: timedelta = timedelta()) -> None:
        self.ahead = ahead

    def now(self) -> datetime:
        """The present moment (aware, UTC), moved."""
        return datetime.now(UTC) + self.ahead

    def move(self, by: timedelta) -> None:
        """Move forward.  Raises `ValueError` for a step backwards."""
        if by < timedelta():
            raise ValueError("the clock only moves forward")
        self.ahead += by


class KeptClock(ShiftedClock):
    """A shifted clock that is still as far ahead after a stop; `file` is where that is written."""

    def __init__(self, file: Path) -> None:
        super().__init__(
            timedelta(seconds=float(file.read_text())) if file.exists() else timedelta()
        )
        self._file = file

    def move(self, by: timedelta) -> None:
        """Move forward, for good.  Raises `ValueError` for a step backwards."""
        super().move(by)
        self._file.write_text(f"{self.ahead.total_seconds()}\n")
