"""A network and a server that fail when a test asks them to."""

import asyncio
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from aiohttp import web
from lo_bot_api_emulator import ApiRefusal


class HungUp(Exception):
    """The connection breaks and no answer is given."""


class Held(Exception):
    """The answer waits until it is let go."""

    def __init__(self, gate: asyncio.Event, result: object) -> None:
        super().__init__("held")
        self.gate, self.result = gate, result


@dataclass(eq=False)
class Fault:
    """Something that goes wrong with the next calls that match, `times` times; None: until lifted.

    It matches a method, or every one but getUpdates; a chat, or any; a bot's token, or any.
    """

    method: str = ""
    chat: int | None = None
    token: str = ""
    times: int | None = 1
    met: int = 0  # how many calls have met it
    before: Callable[[], Exception] | None = None  # raised instead of acting
    after: Callable[[object], Exception] | None = None  # raised when all is done
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    def lift(self) -> None:
        """Let calls pass again, and let go of the answers that were held."""
        self.times = 0
        self.gate.set()

    def matches(self, token: str, method: str, chat: object) -> bool:
        named = method == self.method if self.method else method != "getUpdates"
        here = self.chat is None or self.chat == chat
        return self.times != 0 and named and here and self.token in ("", token)

    def meet(self) -> None:
        self.met += 1
        if self.times is not None:
            self.times -= 1


def too_many(retry_after: int) -> Callable[[], Exception]:
    """429, asking to be left alone for so many seconds."""
    description = f"Too Many Requests: retry after {retry_after}"
    return lambda: ApiRefusal(description, 429, {"retry_after": retry_after})


def broken(status: int, description: str) -> Callable[[], Exception]:
    """An answer with a status of its own, such as 502."""
    return lambda: ApiRefusal(description, status)


def hang_up(request: web.Request) -> None:
    """Break the connection under a request, so that its sender sees it reset."""
    if request.transport is None:
        return
    wire = request.transport.get_extra_info("socket")
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    request.transport.abort()
