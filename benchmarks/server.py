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
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from itertools import islice
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
STRIDE = 786_433  # a prime
RETRY_SECONDS = 0.05  # before an update is brought again to a webhook that did not take it


class Order(msgspec.Struct):
    """What to do.

    load: prepare updates; open: let them go
    watch: look at how the next `count` messages come, which nobody asked for
    look: tell how things stand
    """

    do: Literal["load", "open", "watch", "look"]
    work: str = ""  # what is said, as in benchmarks/talk.py
    count: int = 0
    people: int = 0  # after so many, the first speaks again; 0: everybody once
    crowd: int = 0  # those who speak are drawn from so many, by the numbers of their updates
    heard: int = 0  # updates that the bot was told of in its earlier lives: numbers go on there
    rate: float = 0.0  # updates a second; 0: as fast as they are fetched


Loaded = tuple[int, bytes, "int | None"]  # number, update, and where an answer is due


class News(msgspec.Struct, omit_defaults=True):
    """What happened.

    listening: at `url`; ready: the bot waits for updates
    taken: the bot has confirmed every update; answered: so is everything that was said to it
    said: as many messages have come as were watched for
    stands: how things stand
    """

    told: Literal["listening", "ready", "loaded", "taken", "answered", "said", "stands"]
    url: str = ""
    sends: int = 0
    seconds: float = 0.0  # since the gate was opened; of what was watched, from first to last
    waits: list[float] = []  # seconds from handing an update out to its answer, where asked for
    held: int = 0  # updates that the bot has not taken yet
    gone: int = 0  # updates that could be taken since the gate was opened
    owed: int = 0  # answers that are still due
    disorder: int = 0  # answers to errands that came in another order than the errands
    busiest: int = 0  # messages in the fullest span of a second
    chats: int = 0  # in which they were


class Telegram:
    """The one bot's Telegram."""

    def __init__(self, tell: Callable[[News], None]) -> None:
        self._tell = tell
        self._ready = False
        self._hook: tuple[str, str] | None = None  # address and secret
        self._loaded: deque[Loaded] = deque()
        self._waiting: deque[Loaded] = deque()  # handed out in order until confirmed
        self._number = 0  # of the last update made
        self._gone = 0
        self._owed: dict[int, int] = {}  # chat → how many answers are due there
        self._due = 0  # and in all
        self._spoken: dict[int, float] = {}  # chat → when it was spoken in
        self._waits: list[float] = []
        self._errands = Errands()
        self._watch: Watch | None = None
        self._sends = 0
        self._message = 0
        self._opened = 0.0
        self._pace = 0.0
        self._timed = False  # whether it is to be told how long each answer took
        self._held: list[tuple[Line, int]] = []  # polls that wait for an update
        self._bringing: list[asyncio.Task[None]] = []
        self._more = asyncio.Condition()

    # ---------------------------------------------------------------- as ordered

    def load(self, order: Order) -> None:
        """Prepare updates, all in bytes, so that handing them out costs next to nothing."""
        self._pace, self._timed = order.rate, bool(order.rate and not order.people)
        self._owed.clear()
        self._errands.begin(order.work)
        self._number = max(self._number, order.heard)
        for nth in range(order.count):
            self._number += 1
            if order.crowd:
                person, before = drawn(self._number, order.crowd), 0
            else:
                before, person = divmod(nth, order.people) if order.people else (0, nth)
            chat, update = talk.update(order.work, self._number, person, before)
            self._loaded.append((self._number, msgspec.json.encode(update), chat))
            if chat is not None:
                self._owed[chat] = self._owed.get(chat, 0) + 1
        self._due = sum(self._owed.values())
        self._tell(News("loaded"))

    async def open(self) -> None:
        """Let the prepared updates go."""
        self._sends = self._gone = 0
        self._waits = []
        self._spoken.clear()
        self._opened = time.perf_counter()
        if self._pace:
            await self._trickle()
        else:
            await self._release(len(self._loaded))

    async def _trickle(self) -> None:
        """Let them go at their pace, however late this task itself is woken."""
        while self._loaded:
            await asyncio.sleep(0.002)
            due = int((time.perf_counter() - self._opened) * self._pace) - self._gone
            await self._release(min(due, len(self._loaded)))

    async def _release(self, count: int) -> None:
        now = time.perf_counter()
        self._gone += count
        for _ in range(count):
            one = self._loaded.popleft()
            self._waiting.append(one)
            if self._timed and one[2] is not None:
                self._spoken[one[2]] = now
        held, self._held = self._held, []
        for line, _ in held:
            line.give_updates(0)
        async with self._more:
            self._more.notify_all()

    def watch(self, count: int) -> None:
        """Look at how the next messages come."""
        self._watch = Watch(count)

    def look(self) -> None:
        """Tell how things stand."""
        self._tell(
            News(
                "stands",
                sends=self._sends,
                held=len(self._waiting),
                gone=self._gone,
                owed=self._due,
                disorder=self._errands.disorder,
            )
        )

    # ---------------------------------------------------------------- as asked by the bot

    def answer(self, method: str, values: dict[str, Any], line: Line) -> bytes | None:
        """The answer to a call, as JSON; None if it comes later."""
        match method.lower():
            case "getupdates":
                line.give_updates(int(values.get("offset") or 0), values.get("timeout"))
                return None
            case "sendmessage":
                return self._said(int(values["chat_id"]), str(values.get("text", "")))
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
        batch = [one for _, one, _ in islice(waiting, BATCH)]
        return b'{"ok":true,"result":[' + b",".join(batch) + b"]}"

    def hold(self, line: Line, seconds: int) -> None:
        """Let the poll wait for an update."""
        self._held.append((line, seconds))
        self._waits_for_us()

    def let_go(self, line: Line) -> None:
        """The poll waits no longer."""
        self._held = [one for one in self._held if one[0] is not line]

    def _said(self, chat: int, text: str) -> bytes:
        self._sends += 1
        self._message += 1
        if self._owed.get(chat):
            self._answered(chat, text)
        if self._watch is not None and (news := self._watch.saw(chat, time.perf_counter())):
            self._tell(news)
        kind = "private" if chat > 0 else "supergroup"
        told = {
            "message_id": self._message,
            "from": ME,
            "chat": {"id": chat, "type": kind, "first_name": "P"},
            "date": int(time.time()),
            "text": "noted",
        }
        return success(told)

    def _answered(self, chat: int, text: str) -> None:
        self._owed[chat] -= 1
        self._due -= 1
        self._errands.saw(chat, text)
        if (spoken := self._spoken.pop(chat, None)) is not None:
            self._waits.append(time.perf_counter() - spoken)
        if not self._due:
            self._announce("answered")

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


class Errands:
    """Knows what each errand is answered with, and whether the answers come in their order.

    Those who come later run them one after the other, as whoever came first did, alone.
    """

    def __init__(self) -> None:
        self.disorder = 0
        self._answers: dict[str, int] = {}  # text → which errand it answers
        self._next: dict[int, int] = {}  # chat → which errand is answered there next
        self._work = ""

    def begin(self, work: str) -> None:
        """This is said from now on; each errand alone, to begin with."""
        self._work = work
        self._next.clear()

    def saw(self, chat: int, text: str) -> None:
        """It was answered with this."""
        if self._work in talk.ERRANDS:
            self._answers.setdefault(text, talk.ERRANDS.index(self._work))
        elif self._work == "errands":
            nth = self._next.get(chat, 0)
            self.disorder += self._answers.get(text) != nth
            self._next[chat] = (nth + 1) % len(talk.ERRANDS)


class Watch:
    """Looks at how so many messages come."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._times: list[float] = []
        self._chats: set[int] = set()

    def saw(self, chat: int, at: float) -> News | None:
        """One more; what there is to tell of them if it was the last.

        at: seconds, by whatever clock
        """
        self._times.append(at)
        self._chats.add(chat)
        if len(self._times) != self._count:
            return None
        return News(
            "said",
            sends=self._count,
            seconds=at - self._times[0],
            busiest=busiest(self._times),
            chats=len(self._chats),
        )


def busiest(times: Sequence[float], span: float = 1.0) -> int:
    """How many of these rising times fall into the fullest span of so many seconds.

    >>> busiest([0.0, 0.5, 0.9, 1.0, 1.2, 3.0])
    4
    """
    most = first = 0
    for number, at in enumerate(times):
        while times[first] <= at - span:
            first += 1
        most = max(most, number - first + 1)
    return most


def drawn(number: int, crowd: int) -> int:
    """Who of so many speaks in this update: neighbours are far apart, and none twice in a round."""
    return number * STRIDE % crowd


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
    opening: list[asyncio.Task[None]] = []
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    while line := await orders.readline():
        order = msgspec.json.decode(line, type=Order)
        match order.do:
            case "load":
                telegram.load(order)
            case "open":
                opening.append(loop.create_task(telegram.open()))
            case "watch":
                telegram.watch(order.count)
            case "look":
                telegram.look()


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
