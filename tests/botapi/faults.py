"""A network and a server that fail when a test asks them to."""

import asyncio
import socket
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random

from aiohttp import web
from lo_bot_api_emulator import ApiRefusal


class HungUp(Exception):
    """The connection breaks and no answer is given.

    after: seconds of silence before it breaks, as when the other side is gone without a word
    """

    def __init__(self, *, after: float = 0.0) -> None:
        super().__init__("hung up")
        self.after = after


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


# What may go wrong with a call by chance, and how often, in rough weather.
ROUGH = {
    "slow down": 0.01,  # 429 for the chat, and for as long as it says
    "broken": 0.01,  # 502 instead of acting
    "broken after": 0.005,  # 502, though it was done
    "reset": 0.01,
    "reset after": 0.01,
    "silent": 0.001,  # accepted, and never answered
    "silent after": 0.001,  # done, and never answered
}


@dataclass(eq=False)
class Weather(Fault):
    """Faults by chance: any call may meet one, each sort as often as its share says.

    shares:   of all calls; a poll only meets those that come before anything is done
    longest:  seconds for which a 429 or a silence lasts at the most
    """

    random: Random = field(default_factory=lambda: Random(0))
    clock: Callable[[], float] = lambda: 0.0
    shares: Mapping[str, float] = field(default_factory=lambda: ROUGH)
    longest: int = 3
    times: int | None = None
    _closed: dict[object, float] = field(default_factory=dict)  # chat → until when it is left alone

    def matches(self, token: str, method: str, chat: object) -> bool:
        """Whether this very call meets something; draws what."""
        if self.times == 0:
            return False
        self.before = self.after = None
        left = self._closed.get(chat, 0.0) - self.clock()
        if chat is not None and left > 0:
            self.before = too_many(int(left) + 1)
            return True
        return self._meets(self._drawn(), method, chat)

    def _drawn(self) -> str:
        point = self.random.random()
        for sort, share in self.shares.items():
            point -= share
            if point < 0:
                return sort
        return ""

    def _meets(self, sort: str, method: str, chat: object) -> bool:
        if method == "getUpdates" and (sort.endswith("after") or sort == "slow down"):
            return False
        seconds = self.random.randint(1, self.longest)
        match sort:
            case "slow down" if chat is not None:
                self._closed[chat] = self.clock() + seconds
                self.before = too_many(seconds)
            case "broken":
                self.before = broken(502, "Bad Gateway")
            case "broken after":
                self.after = lambda _: broken(502, "Bad Gateway")()
            case "reset":
                self.before = HungUp
            case "reset after":
                self.after = lambda _: HungUp()
            case "silent":
                self.before = lambda: HungUp(after=seconds)
            case "silent after":
                self.after = lambda _: HungUp(after=seconds)
            case _:
                return False
        return True


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
