"""The Bot API on a free loopback port, with the town behind it and the ways to watch it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from random import Random
from typing import Any, Self, TypeVar

from aiohttp import ClientSession, web

from tests.botapi.desk import Desk
from tests.botapi.faults import ROUGH, Fault, Held, HungUp, Weather, broken, too_many
from tests.botapi.journal import Call, Journal
from tests.botapi.people import People
from tests.botapi.queues import Queue
from tests.botapi.server import Server
from tests.botapi.town import Bot, Chat, Message, Person, Town

T = TypeVar("T")

WITHIN = 10.0  # seconds that a wait is given, if it does not say


class BotAPI(People):
    """A Telegram to test against: `url` and `token` are what a bot needs, the rest is for tests.

    What people do is not awaited (`api.says(...)`); what bots do is (`await api.sent(...)`).
    """

    def __init__(
        self, tasks: asyncio.TaskGroup, session: ClientSession, clock: Callable[[], float]
    ) -> None:
        self.url = ""
        self.town = Town(clock)
        self.journal = Journal()
        self.faults: list[Fault] = []
        self._servers: dict[str, Server] = {}
        self._tasks, self._session = tasks, session

    @classmethod
    @asynccontextmanager
    async def start(
        cls,
        *,
        username: str = "innkeeper_bot",
        reads_all: bool = True,
        clock: Callable[[], float] = time.time,  # noqa: TID251  # the edge: tests may hand another
    ) -> AsyncIterator[Self]:
        """Serve until the block is left.

        reads_all: False for Telegram's privacy mode, in which a bot that is no administrator hears
                   only what is meant for it
        clock:     Unix seconds, for the dates in what it tells
        """
        try:
            async with asyncio.TaskGroup() as tasks, ClientSession() as session:
                api = cls(tasks, session, clock)
                api.add_bot(username, reads_all=reads_all)
                async with api._serving():
                    yield api
        except BaseExceptionGroup as group:
            if len(group.exceptions) > 1:
                raise
            # A test that fails should say so itself, not as one of a group.
            raise group.exceptions[0] from None

    # ---- bots

    @property
    def token(self) -> str:
        """The first bot's token."""
        return self.bot.token

    def add_bot(self, username: str, *, name: str = "Innkeeper", reads_all: bool = True) -> Bot:
        """One more bot, with a token of its own."""
        account = Person(7_000_000_000 + self.town.number(), name, username, is_bot=True)
        bot = Bot(f"{account.id}:AAtest-token-of-{username}", account, reads_all)
        queue = Queue(bot.token, self.journal, self._tasks, self._session, self.town.clock)
        self.town.bots.append(bot)
        self.town.people[account.id] = account
        self.town.mailboxes[bot] = queue
        self._servers[bot.token] = Server(Desk(bot, self.town), self.journal, self.faults, queue)
        return bot

    def queue(self, bot: Bot | None = None) -> Queue:
        """What waits for a bot: `pending`, `listening`, `told`, the webhook's `pause`."""
        return self._servers[(bot or self.bot).token].queue

    def keep(self, name: str, data: bytes) -> str:
        """Store a file where every bot can fetch it; returns its file_id."""
        for server in self._servers.values():
            server.assets[name] = {"filename": name, "data": data, "size": len(data)}
        return name

    # ---- updates that no person makes

    def update(self, kind: str, body: Any, *, bot: Bot | None = None) -> int:
        """Put in an update of any kind, even if it was not asked for; returns its update_id."""
        queue = self.queue(bot)
        number = queue.next_number
        queue.put_raw({"update_id": number, kind: body}, "other", number=number)
        return number

    def raw(self, update: Any, *, bot: Bot | None = None) -> None:
        """Put in anything at all, exactly as it is.

        If it names an update_id that is still to come, polls confirm it; if not, it is handed out
        once.
        """
        queue = self.queue(bot)
        number = update.get("update_id") if isinstance(update, dict) else None
        proper = isinstance(number, int) and number >= queue.next_number
        queue.put_raw(update, "other", number=number if proper else None)

    def repeats(self, update: Any = None, *, bot: Bot | None = None) -> None:
        """Put in an update once more, with the same update_id; the last one if none is given."""
        queue = self.queue(bot)
        queue.put_raw(queue.told[-1] if update is None else update, "other")

    # ---- what goes wrong

    def slow_down(self, retry_after: int, *, times: int | None = 1, **where: Any) -> Fault:
        """429 instead of acting.  `where` is chat=, method= or bot=; without it, for every call."""
        return self._fault(times, where, before=too_many(retry_after))

    def breaks(
        self,
        status: int = 502,
        description: str = "Bad Gateway",
        *,
        times: int | None = 1,
        **where: Any,
    ) -> Fault:
        """A server error instead of acting."""
        return self._fault(times, where, before=broken(status, description))

    def resets(self, *, times: int | None = 1, **where: Any) -> Fault:
        """The connection is reset before anything is done."""
        return self._fault(times, where, before=HungUp)

    def loses_answer(self, *, times: int | None = 1, **where: Any) -> Fault:
        """It is done, and the connection is reset before the answer."""
        return self._fault(times, where, after=lambda _: HungUp())

    def holds_answer(self, *, times: int | None = 1, **where: Any) -> Fault:
        """It is done, and the answer waits until the fault is lifted."""
        fault = self._fault(times, where)
        fault.after = lambda result: Held(fault.gate, result)
        return fault

    def weather(
        self, random: Random, *, shares: Mapping[str, float] = ROUGH, longest: int = 3
    ) -> Weather:
        """From now on any call may fail by chance, until the weather is lifted; see `Weather`."""
        weather = Weather(random=random, clock=self.town.clock, shares=shares, longest=longest)
        self.faults.append(weather)
        return weather

    def _fault(
        self,
        times: int | None,
        where: dict[str, Any],
        *,
        before: Callable[[], Exception] | None = None,
        after: Callable[[object], Exception] | None = None,
    ) -> Fault:
        chat, bot = where.pop("chat", None), where.pop("bot", None)
        fault = Fault(
            method=where.pop("method", ""),
            chat=chat.id if chat else None,
            token=bot.token if bot else "",
            times=times,
            before=before,
            after=after,
        )
        assert not where, f"a fault is not told apart by {[*where]}"
        self.faults.append(fault)
        return fault

    # ---- watching

    def calls(self, method: str = "", **params: Any) -> list[Call]:
        """The calls so far with this method and these params, oldest first; refused ones too."""
        return [
            call
            for call in self.journal.calls
            if method in ("", call.method)
            and all(call.params.get(name) == value for name, value in params.items())
        ]

    def messages(self, where: Chat | Person, *, bot: Bot | None = None) -> list[Message]:
        """What the bot has said there and has not deleted, oldest first, as it stands now."""
        chat = self.private(where, bot) if isinstance(where, Person) else where
        speaker = (bot or self.bot).user
        return [
            message
            for message in chat.messages.values()
            if message.sender is speaker and not message.deleted and not message.service
        ]

    async def until(
        self,
        look: Callable[[], T | None],
        *,
        within: float = WITHIN,
        for_what: str = "what was awaited",
    ) -> T:
        """What `look` finds once that is true; it looks again after everything a bot does."""
        return await self.journal.until(look, within=within, for_what=for_what)

    async def sent(
        self,
        where: Chat | Person,
        containing: str = "",
        *,
        after: Message | None = None,
        thread: int | None = None,
        within: float = WITHIN,
        bot: Bot | None = None,
    ) -> Message:
        """The bot's first message there with these words, once it is there; edits count.

        after:  only messages later than this one, which may be a person's
        thread: only those in this topic
        """

        def look() -> Message | None:
            for message in self.messages(where, bot=bot):
                late = after is None or message.id > after.id
                here = thread is None or message.thread == thread
                if late and here and containing in message.text:
                    return message
            return None

        name = where.first_name if isinstance(where, Person) else where.title
        return await self.until(
            look, within=within, for_what=f"a message to {name} containing {containing!r}"
        )

    async def called(self, method: str, *, within: float = WITHIN, **params: Any) -> Call:
        """The first call of this method with these params, once it is made."""
        return await self.until(
            lambda: next(iter(self.calls(method, **params)), None),
            within=within,
            for_what=f"{method} {params}",
        )

    async def answered(self, query_id: str, *, within: float = WITHIN) -> Call:
        """How the bot answered a pressed button, once it has."""
        return await self.called("answerCallbackQuery", callback_query_id=query_id, within=within)

    async def listening(self, bot: Bot | None = None, *, within: float = WITHIN) -> None:
        """Wait until the bot first asks for updates, or says where to bring them."""
        queue = self.queue(bot)
        await self.until(lambda: queue.listening, within=within, for_what="a bot that listens")

    async def all_taken(self, bot: Bot | None = None, *, within: float = WITHIN) -> None:
        """Wait until the bot has confirmed every update."""
        queue = self.queue(bot)
        await self.until(
            lambda: queue.pending == 0, within=within, for_what="every update confirmed"
        )

    # ---- serving

    @asynccontextmanager
    async def _serving(self) -> AsyncIterator[None]:
        app = web.Application(client_max_size=64 * 1024**2)
        app.router.add_post("/bot{token}/{method}", self._called)
        app.router.add_get("/file/bot{token}/{path:.*}", self._fetched)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = "http://{}:{}".format(*runner.addresses[0])
        try:
            yield
        finally:
            await self._close()
            await runner.cleanup()

    async def _called(self, request: web.Request) -> web.Response:
        server = self._servers.get(request.match_info["token"])
        if server is None:
            refused = {"ok": False, "error_code": 401, "description": "Unauthorized"}
            return web.json_response(refused, status=401)
        return await server.handle(request)

    async def _fetched(self, request: web.Request) -> web.StreamResponse:
        server = self._servers.get(request.match_info["token"])
        if server is None:
            raise web.HTTPNotFound
        answer: web.StreamResponse = await server.download(request)
        return answer

    async def _close(self) -> None:
        for fault in self.faults:
            fault.lift()
        for server in self._servers.values():
            await server.queue.close()
