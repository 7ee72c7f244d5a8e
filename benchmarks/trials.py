"""Trials: what is measured once in a run, takes its time, and is more than a cost."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from benchmarks.race import Cores


class Finding(msgspec.Struct):
    """Something that was found out, beside what it has to be."""

    what: str
    found: str
    goal: str = ""  # empty: only to be looked at
    reached: bool | None = None  # None: cannot be told here
    unclear: str = ""  # why not

    @property
    def verdict(self) -> str:
        """Whether that is good enough."""
        if not self.goal or self.reached is None:
            return self.unclear
        return "reached" if self.reached else "NOT REACHED"


@dataclass(frozen=True, slots=True)
class Trial:
    """Something to find out; in a folder that is there, on the disk to be measured with.

    Raises `NotMeasured` with what went wrong.
    """

    name: str
    run: Callable[[Cores, Path], Awaitable[list[Finding]]]
