"""Row ids, known before the row is written: reserved in blocks, handed out in memory."""

from __future__ import annotations

from storage.writer import Change, Writer

BLOCK = 20_000
LOW = 5_000  # hundreds of turns at once, each taking a few, never get through this before a refill

RESERVE = """
    UPDATE blocks SET next_id = next_id + :size WHERE name = 'rows' RETURNING next_id
"""


def unmoved() -> Change:
    """Something to write that changes nothing, for seeing whether writing is possible."""
    return Change("UPDATE blocks SET next_id = next_id WHERE name = 'rows'")


class Ids:
    """Hands out ids that rise within a process and never repeat between processes (hi/lo)."""

    def __init__(self, writer: Writer, block: int = BLOCK) -> None:
        self._writer = writer
        self._block = block
        self._spans: list[tuple[int, int]] = []  # [next, end) of each reserved block

    def take(self) -> int:
        """The next id.  Raises `IndexError` if `refill` was not awaited in time."""
        start, end = self._spans[0]
        self._spans[0] = (start + 1, end)
        if start + 1 == end:
            self._spans.pop(0)
        return start

    async def refill(self, need: int = LOW) -> None:
        """Make sure that at least `need` ids can be taken without asking the database."""
        while sum(end - start for start, end in self._spans) < need:
            size = max(self._block, need)
            rows = (await self._writer.settle([Change(RESERVE, {"size": size}, rows=1)]))[0]
            assert not isinstance(rows, int)
            end = rows[0]["next_id"]
            self._spans.append((end - size, end))
