"""What the bots have sent, in the order they sent it, with a way to wait for more."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from tests.botapi.shapes import Json
from tests.botapi.town import Bot

T = TypeVar("T")


@dataclass(eq=False)
class Call:
    """One call of a Bot API method, and what came of it."""

    at: float  # Unix seconds, by the town's clock
    bot: Bot
    method: str
    params: Json  # the same whether they came as a form, as parts or as JSON
    files: dict[str, bytes] = field(default_factory=dict)
    result: Any = None
    status: int = 200
    refused: str = ""  # the description, if it was
    lost: bool = False  # the bot got no answer, whatever was done

    def __str__(self) -> str:
        outcome = f" -> {self.status} {self.refused}" if self.refused else ""
        return f"{self.method} {self.params}{outcome}{' (answer lost)' if self.lost else ''}"


class Journal:
    """Every call, oldest first.  getUpdates is not among them, for it would bury the rest."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.watchers: list[Callable[[str], None]] = []  # called at each moment, by its name
        self._changed = asyncio.Event()

    def add(self, call: Call) -> None:
        """Note a call."""
        self.calls.append(call)
        self.stir()

    def pass_(self, moment: str) -> None:
        """Tell the watchers that this moment has come.

        "handed": updates are about to leave; "confirmed": a poll or a webhook has taken some;
        "asked": a method is about to be done; "acted": it is done, and not answered yet
        """
        for watcher in self.watchers:
            watcher(moment)

    def stir(self) -> None:
        """Have everybody who waits look again."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def until(self, look: Callable[[], T | None], *, within: float, for_what: str) -> T:
        """What `look` finds, as soon as it finds something true; it looks after every change.

        Fails after `within` seconds, saying what was awaited and what was sent last.
        """
        try:
            async with asyncio.timeout(within):
                while not (found := look()):
                    await self._changed.wait()
                return found
        except TimeoutError:
            raise AssertionError(self._told(for_what, within)) from None

    def _told(self, for_what: str, within: float) -> str:
        latest = "\n".join(f"  {call}" for call in self.calls[-12:]) or "  nothing at all"
        return f"{for_what}: not within {within:g} s.  The last that was sent:\n{latest}"
