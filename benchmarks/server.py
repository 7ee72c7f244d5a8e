"""A Bot API on loopback that costs little: it hands out updates at a signal and counts answers.

    python -m benchmarks.server

It is told what to do on its standard input, and tells what happened on its standard output, a JSON
object a line; see `Order` and `News`.  Nothing about a chat is kept but whether it was answered.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Literal, cast
from urllib.parse import parse_qs, urlsplit

import msgspec

from benchmarks import talk

BATCH = 100  # updates; Telegram gives no more at once
DELIVERIES = 40  # at once to a webhook: Telegram's own default
ME = {
    "id": 1,
    "is_bot": True,
    "first_name": "Bench",
    "username": "bench_bot",
    "can_join_groups": True,
    "can_read_all_group_messages": True,
    "supports_inline_queries": False,
}
RETRY_SECONDS = 0.05  # before an update is brought again to a webhook that did not take it


class Order(msgspec.Struct):
    """What to do: `load` prepares updates, `open` lets them go."""

    do: Literal["load", "open"]
    work: str = ""  # a name in benchmarks/talk.py
    first: int = 0  # the number of the first person, counted on from update to update
    count: int = 0
    people: int = 0  # after so many, the first speaks again; 0: everybody once
    rate: float = 0.0  # updates a second; 0: as fast as they are fetched


class News(msgspec.Struct, omit_defaults=True):
    """What happened.

    listening: at `url`; ready: the bot waits for updates
    taken: the bot has confirmed every update; answered: every chat spoken in was written to
    """

    told: Literal["listening", "ready", "loaded", "taken", "answered"]
    url: str = ""
    sends: int = 0
    seconds: float = 0.0  # since the gate was opened
    waits: list[float] = []  # seconds from handing an update out to its answer, where asked for


class Telegram:
    """The one bot's Telegram."""

    def __init__(self, tell: Callable[[News], None]) -> None:
        self._tell = tell
        self._ready = False
        self._hook: tuple[str, str] | None = None  # address and secret
        self._loaded: deque[tuple[int, bytes]] = deque()
        self._waiting: deque[tuple[int, bytes]] = deque()  # handed out in order until confirmed
        self._number = 0  # of the last update made
        self._unanswered: dict[int, float] = {}  # chat → when it was spoken in
        self._waits: list[float] = []
        self._sends = 0
        self._message = 0
        self._opened = 0.0
        self._pace = 0.0
        self._held: list[tuple[Line, int]] = []  # polls that wait for an update
        self._bringing: list[asyncio.Task[None]] = []
        self._more = asyncio.Condition()

    # ---------------------------------------------------------------- as ordered

    def load(self, order: Order) -> None:
        """Prepare updates, all in bytes, so that handing them out costs next to nothing."""
        self._pace = order.rate
        self._unanswered.clear()
        for nth in range(order.count):
            self._number += 1
            person = order.first + (nth % order.people if order.people else nth)
            chat, update = talk.update(order.work, self._number, person)
            self._loaded.append((self._number, msgspec.json.encode(update)))
            if chat is not None:
                self._unanswered[chat] = 0.0
        self._tell(News("loaded"))

    async def open(self) -> None:
        """Let the prepared updates go."""
        self._sends = 0
        self._waits = []
        self._opened = time.perf_counter()
        self._unanswered = dict.fromkeys(self._unanswered, self._opened)
        if self._pace:
            await self._trickle()
        else:
            await self._release(len(self._loaded))

    async def _trickle(self) -> None:
        """Let them go at their pace, however late this task itself is woken."""
        chats = list(self._unanswered)
        gone = 0
        while self._loaded:
            await asyncio.sleep(0.002)
            due = int((time.perf_counter() - self._opened) * self._pace) - gone
            now = time.perf_counter()
            self._unanswered.update(dict.fromkeys(chats[gone : gone + due], now))
            await self._release(min(due, len(self._loaded)))
            gone += max(due, 0)

    async def _release(self, count: int) -> None:
        for _ in range(count):
            self._waiting.append(self._loaded.popleft())
        held, self._held = self._held, []
        for line, _ in held:
            line.give_updates(0)
        async with self._more:
            self._more.notify_all()

    # ---------------------------------------------------------------- as asked by the bot

    def answer(self, method: str, values: dict[str, Any], line: Line) -> bytes | None:
        """The answer to a call, as JSON; None if it comes later."""
        match method.lower():
            case "getupdates":
                line.give_updates(int(values.get("offset") or 0), values.get("timeout"))
                return None
            case "sendmessage":
                return self._said(int(values["chat_id"]))
            case "getme":
                return success(ME)
            case "setwebhook":
                self._hook_to(str(values["url"]), str(values.get("secret_token", "")))
            case "getwebhookinfo":
                url = self._hook[0] if self._hook else ""
                told = {"url": url, "has_custom_certificate": False, "pending_update_count": 0}
                return success(told)
        return success(True)

    def updates(self, offset: int) -> bytes | None:
        """What waits from this offset on, which confirms all before it; None if nothing does."""
        waiting = self._waiting
        had = bool(waiting)
        while waiting and waiting[0][0] < offset:
            waiting.popleft()
        if not waiting:
            if had:
                self._taken()
            return None
        batch = [waiting[n][1] for n in range(min(BATCH, len(waiting)))]
        return b'{"ok":true,"result":[' + b",".join(batch) + b"]}"

    def hold(self, line: Line, seconds: int) -> None:
        """Let the poll wait for an update."""
        self._held.append((line, seconds))
        self._waits_for_us()

    def let_go(self, line: Line) -> None:
        """The poll waits no longer."""
        self._held = [one for one in self._held if one[0] is not line]

    def _said(self, chat: int) -> bytes:
        self._sends += 1
        self._message += 1
        spoken = self._unanswered.pop(chat, None)
        if spoken is not None:
            if self._pace:
                self._waits.append(time.perf_counter() - spoken)
            if not self._unanswered and not self._loaded:
                self._announce("answered")
        kind = "private" if chat > 0 else "supergroup"
        told = {
            "message_id": self._message,
            "from": ME,
            "chat": {"id": chat, "type": kind, "first_name": "P"},
            "date": int(time.time()),
            "text": "noted",
        }
        return success(told)

    def _taken(self) -> None:
        if not self._loaded:
            self._announce("taken")

    def _announce(self, told: Literal["taken", "answered"]) -> None:
        seconds = time.perf_counter() - self._opened
        self._tell(News(told, sends=self._sends, seconds=seconds, waits=self._waits))

    def _waits_for_us(self) -> None:
        if not self._ready:
            self._ready = True
            self._tell(News("ready"))

    # ---------------------------------------------------------------- bringing updates

    def _hook_to(self, url: str, secret: str) -> None:
        if self._hook is not None or not url:
            return
        self._hook = (url, secret)
        loop = asyncio.get_running_loop()
        self._bringing = [loop.create_task(self._bring()) for _ in range(DELIVERIES)]
        self._waits_for_us()

    async def _bring(self) -> None:
        """Bring one update after the other, each until it is taken."""
        assert self._hook is not None
        door = Door(*self._hook)
        while True:
            async with self._more:
                await self._more.wait_for(lambda: self._waiting)
            while self._waiting:
                one = self._waiting.popleft()
                if not await door.takes(one[1]):
                    self._waiting.appendleft(one)
                    await asyncio.sleep(RETRY_SECONDS)
            self._taken()


class Door:
    """A webhook, and a connection to it that is kept open."""

    def __init__(self, url: str, secret: str) -> None:
        address = urlsplit(url)
        self._host, self._port = address.hostname or "127.0.0.1", address.port or 80
        self._head = (
            f"POST {address.path or '/'} HTTP/1.1\r\nHost: {address.netloc}\r\n"
            f"X-Telegram-Bot-Api-Secret-Token: {secret}\r\n"
            "Content-Type: application/json\r\nContent-Length: "
        ).encode()
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def takes(self, update: bytes) -> bool:
        """Bring it; whether the bot took it."""
        try:
            if self._streams is None:
                self._streams = await asyncio.open_connection(self._host, self._port)
            reader, writer = self._streams
            writer.write(self._head + str(len(update)).encode() + b"\r\n\r\n" + update)
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(length(head))
        except (OSError, asyncio.IncompleteReadError):
            self._streams = None
            return False
        return head.split(b" ", 2)[1] == b"200"


class Line(asyncio.Protocol):
    """A connection from the bot: one request after the other."""

    def __init__(self, telegram: Telegram) -> None:
        self._telegram = telegram
        self._buffer = b""
        self._transport: asyncio.Transport
        self._later: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own is a class of its own

    def connection_lost(self, exc: Exception | None) -> None:
        self._telegram.let_go(self)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[: end + 4]
            whole = len(head) + length(head)
            if len(self._buffer) < whole:
                return
            body, self._buffer = self._buffer[len(head) : whole], self._buffer[whole:]
            self._asked(head, body)

    def give_updates(self, offset: int, seconds: Any = None) -> None:
        """Answer a poll, at once if anything waits; `seconds`: how long it may be kept waiting."""
        if self._later is not None:
            self._later.cancel()
            self._later = None
        found = self._telegram.updates(offset)
        patience = int(seconds or 0)
        if found is None and patience:
            self._telegram.hold(self, patience)
            self._later = asyncio.get_running_loop().call_later(patience, self._nothing)
            return
        self._write(found or success([]))

    def _nothing(self) -> None:
        self._later = None
        self._telegram.let_go(self)
        self._write(success([]))

    def _asked(self, head: bytes, body: bytes) -> None:
        path, _, query = head.split(b" ", 2)[1].decode().partition("?")
        values = fields(head, body)
        values.update({name: one[0] for name, one in parse_qs(query).items()})
        found = self._telegram.answer(path.rpartition("/")[2], values, self)
        if found is not None:
            self._write(found)

    def _write(self, body: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(HEAD + str(len(body)).encode() + b"\r\n\r\n" + body)


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "


def success(result: Any) -> bytes:
    """What a call that went well is answered with."""
    return b'{"ok":true,"result":' + msgspec.json.encode(result) + b"}"


def length(head: bytes) -> int:
    """The Content-Length in a request's or an answer's head; 0 where there is none."""
    lines = head.lower()
    start = lines.find(b"content-length:")
    if start < 0:
        if b"transfer-encoding:" in lines:
            raise ValueError("this server reads no chunked bodies")
        return 0
    return int(lines[start + 15 : lines.index(b"\r\n", start)])


def fields(head: bytes, body: bytes) -> dict[str, Any]:
    """The parameters of a call, in whichever of the three ways the Bot API takes them."""
    if not body:
        return {}
    lines = head.lower()
    if b"application/json" in lines:
        found: dict[str, Any] = msgspec.json.decode(body)
        return found
    if b"multipart/form-data" in lines:
        return dict(parts(body))
    return {name: one[0] for name, one in parse_qs(body.decode()).items()}


def parts(body: bytes) -> list[tuple[str, str]]:
    """The fields of a form with boundaries."""
    boundary = body[: body.index(b"\r\n")]
    found = []
    for part in body.split(boundary)[1:-1]:
        head, _, value = part.partition(b"\r\n\r\n")
        name = head.partition(b'name="')[2].partition(b'"')[0]
        found.append((name.decode(), value.removesuffix(b"\r\n").decode()))
    return found


# ---------------------------------------------------------------- the process


async def main() -> None:
    """Serve until the standard input ends."""
    loop = asyncio.get_running_loop()
    telegram = Telegram(tell)
    listening = await loop.create_server(lambda: Line(telegram), "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    tell(News("listening", url=f"http://127.0.0.1:{port}"))
    orders = asyncio.StreamReader(limit=2**20)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    while line := await orders.readline():
        order = msgspec.json.decode(line, type=Order)
        if order.do == "load":
            telegram.load(order)
        else:
            await telegram.open()


def tell(news: News) -> None:
    """Tell whoever started us, at once."""
    os.write(sys.stdout.fileno(), msgspec.json.encode(news) + b"\n")


def run(work: Callable[[], Awaitable[None]]) -> None:
    """Run on the fastest event loop there is."""

    async def go() -> None:
        await work()

    with suppress(ModuleNotFoundError):
        import uvloop

        uvloop.run(go())
        return
    asyncio.run(go())


if __name__ == "__main__":
    run(main)
