"""The chronicle: every line of the town's history, and the one number by which two are compared."""

from __future__ import annotations

import hashlib
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from datetime import datetime

LATELY = 30  # lines of a resident's history that are shown when something is wrong


class Chronicle:
    """Keeps the digest of every chat's history, and of every resident's the latest lines.

    Each chat has a history of its own: what is told in two chats at the same instant
    has no order.
    """

    def __init__(self) -> None:
        self._chats: dict[str, hashlib._Hash] = defaultdict(hashlib.sha256)
        self._lately: dict[str, deque[str]] = defaultdict(lambda: deque(maxlen=LATELY))
        self.lines = 0

    def record(self, at: datetime, *, place: str, who: str, line: str) -> None:
        """This was said or done there at this moment (aware); `who` has it in their history."""
        told = f"{at:%Y-%m-%d %H:%M:%S} {place or '-'} {line}".encode("utf-8", "replace").decode()
        self.lines += 1
        self._chats[place].update(told.encode() + b"\n")
        if who:
            self._lately[who].append(told)

    def lately(self, who: str) -> Sequence[str]:
        """A resident's latest lines, oldest first."""
        return list(self._lately[who])

    def digest(self, content: Mapping[str, Sequence[str]]) -> str:
        """The same for the same history that left the same in every table."""
        whole = hashlib.sha256()
        for place, chat in sorted(self._chats.items()):
            whole.update(f"{place} {chat.hexdigest()}\n".encode())
        for table, rows in sorted(content.items()):
            for row in rows:
                whole.update(f"{table} {row}\n".encode("utf-8", "replace"))
        return whole.hexdigest()
