"""The studio: pictures are drawn in a process of their own, so that nobody waits for them."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Awaitable, Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

Draw = Callable[[str, dict[str, Any]], Awaitable[bytes]]


def drawn(name: str, words: dict[str, Any]) -> bytes:
    """The PNG that knowledge/pictures.py draws under this name."""
    from knowledge import pictures  # its font is large, and most processes never draw

    picture: Callable[..., bytes] = getattr(pictures, name)
    return picture(**words)


async def draw_here(name: str, words: dict[str, Any]) -> bytes:
    """Draw in this very process, which stands still for a tenth of a second."""
    return drawn(name, words)


class Studio:
    """One drawing process, started when the first picture is wanted."""

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None

    async def draw(self, name: str, words: dict[str, Any]) -> bytes:
        """The picture; drawn again if the process was killed meanwhile."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._started(), drawn, name, words)
        except BrokenProcessPool:
            self.close()
            return await loop.run_in_executor(self._started(), drawn, name, words)

    def close(self) -> None:
        """End the process."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None

    def _started(self) -> ProcessPoolExecutor:
        if self._pool is None:
            # Not forked: a copy of the bot, its locks and connections, must never live on.
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(max_workers=1, mp_context=context)
        return self._pool
