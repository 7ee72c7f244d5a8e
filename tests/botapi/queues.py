"""One bot's updates, from when they happen until the bot has confirmed them."""

import asyncio
import copy
import json
from collections import Counter
from collections.abc import Callable
from typing import Any

from aiohttp import ClientConnectorError, ClientError, ClientSession, ClientTimeout
from lo_bot_api_emulator.updates import UpdateError, UpdateQueues

from tests.botapi.journal import Journal
from tests.botapi.shapes import Json

# Told only to a bot that asks for them by name.
ON_REQUEST = {"chat_member", "message_reaction", "message_reaction_count"}


class Queue(UpdateQueues):  # type: ignore[misc]  # it publishes no types
    """The library's queue, with every kind of update, and a webhook that is tried again.

    What waits is an envelope: a place in the row, and inside it the update exactly as the bot is
    to see it, which a test may have made unreadable.
    """

    def __init__(
        self,
        token: str,
        journal: Journal,
        tasks: asyncio.TaskGroup,
        session: ClientSession,
        clock: Callable[[], float],
    ) -> None:
        super().__init__(record=lambda _: None, max_updates=10**9, insecure_webhooks=True)
        self.token = token
        self.pause = 0.02  # seconds before a second failed delivery is tried again, then doubled
        self.longest_pause = 60.0  # seconds, of those pauses
        self.patience = 60.0  # seconds a webhook may take to answer
        self.closed = False
        self.polls = 0
        self.told: list[Json] = []  # every update that was put here, oldest first
        self.handed: Counter[int] = Counter()  # update_id → how often the bot was given it
        self.acknowledged: set[int] = set()  # update_ids that the bot has said it has
        self.arrange: Callable[[list[Json]], list[Json]] = list  # a batch's order
        self.loses: Callable[[], bool] = lambda: False  # whether a batch is lost on its way
        self._journal, self._tasks, self._session, self._clock = journal, tasks, session, clock
        self._inbox = self._state(token)
        self._wanted: list[str] = []
        self._poller = object()
        self._confirmed = 0
        self._lanes: dict[str, asyncio.Task[None]] = {}
        self._connections = asyncio.Semaphore(40)
        self._limit = 40
        self._trouble: Json = {}

    # ---- what waits

    def put(self, kind: str, body: Json, lane: str) -> None:
        """Add an update, unless the bot has not asked for its kind."""
        if kind in self._wanted or (not self._wanted and kind not in ON_REQUEST):
            number = self._inbox.next_id
            self.put_raw({"update_id": number, kind: body}, lane, number=number)

    def put_raw(self, update: Any, lane: str, *, number: int | None = None) -> None:
        """Add whatever it is, as it is.

        Without a number of its own it cannot be confirmed by a poll, so it is handed out once.
        """
        inbox = self._inbox
        place = inbox.next_id if number is None else number
        inbox.next_id = max(inbox.next_id, place + 1)
        raw = copy.deepcopy(update)
        envelope = {"update_id": place, "raw": raw, "lane": lane, "once": number is None}
        inbox.updates.append(envelope)
        self.told.append(raw)
        self._tasks.create_task(self._wake())
        self._pump()

    def jump(self, by: int) -> None:
        """Number what is to come from so much further on."""
        self._inbox.next_id += by

    @property
    def next_number(self) -> int:
        return int(self._inbox.next_id)

    @property
    def pending(self) -> int:
        """How many updates the bot has not confirmed."""
        return sum(item["update_id"] >= self._confirmed for item in self._inbox.updates)

    @property
    def listening(self) -> bool:
        """Whether the bot has ever asked for updates, or wants them brought."""
        return self.polls > 0 or bool(self._inbox.url)

    async def close(self) -> None:
        """End the poll that waits, and bring nothing more."""
        self.closed = True
        for lane in self._lanes.values():
            lane.cancel()
        await self._wake()

    async def _wake(self) -> None:
        async with self._inbox.condition:
            self._inbox.condition.notify_all()

    # ---- fetched by the bot

    async def poll(
        self, token: str, fields: Json, *, disconnected: Callable[[], bool] | None = None
    ) -> list[Json]:
        """The updates from `offset` on, once there are any; ends the poll before it with 409."""
        self._choose(fields)
        self._confirm(int(fields.get("offset") or 0))
        self.polls += 1
        self._journal.stir()
        mine = self._poller = object()

        def over() -> bool:
            if self._poller is not mine:
                raise UpdateError(
                    "Conflict: terminated by other getUpdates request; "
                    "make sure that only one bot instance is running",
                    409,
                )
            return self.closed or bool(disconnected and disconnected())

        async with self._inbox.condition:
            self._inbox.condition.notify_all()
            await self._inbox.condition.wait_for(lambda: not self._inbox.polling)
        rest = {key: value for key, value in fields.items() if key != "allowed_updates"}
        try:
            found: list[Json] = await super().poll(token, rest, disconnected=over)
        finally:
            await self._wake()
        handed_out = {item["update_id"] for item in found if item["once"]}
        self._inbox.updates = [
            item for item in self._inbox.updates if item["update_id"] not in handed_out
        ]
        self.handed.update(map(_id, found))
        return self.arrange(found)

    def _confirm(self, offset: int) -> None:
        """What is numbered below the offset is the bot's now."""
        self._confirmed = max(self._confirmed, offset)
        taken = {_id(item) for item in self._inbox.updates if item["update_id"] < offset}
        if taken:
            self.acknowledged |= taken
            self._journal.pass_("confirmed")

    def _choose(self, fields: Json) -> None:
        """Remember which kinds are wanted; what is not said stays as it was."""
        if "allowed_updates" in fields:
            wanted = fields["allowed_updates"]
            self._wanted = json.loads(wanted) if isinstance(wanted, str) else wanted

    # ---- brought to the bot

    async def set_webhook(self, token: str, fields: Json) -> bool:
        """Bring updates to this address from now on; an empty one ends that."""
        self._choose(fields)
        self._trouble = {}
        self._limit = int(fields.get("max_connections", 40))
        self._connections = asyncio.Semaphore(self._limit)
        rest = {key: value for key, value in fields.items() if key != "allowed_updates"}
        done = bool(await super().set_webhook(token, rest))
        self._journal.stir()
        return done

    async def deliver(self, token: str) -> int:
        """Begin to bring what waits, without waiting for it as the library does."""
        self._pump()
        return 0

    def info(self, token: str) -> Json:
        """The WebhookInfo."""
        told: Json = super().info(token)
        wanted = {"allowed_updates": self._wanted} if self._wanted else {}
        limit = {"max_connections": self._limit} if self._inbox.url else {}
        return told | {"pending_update_count": self.pending} | wanted | limit | self._trouble

    def _pump(self) -> None:
        """See that every lane with something in it is being brought."""
        if self._inbox.url:
            for lane in {item["lane"] for item in self._inbox.updates}:
                if lane not in self._lanes or self._lanes[lane].done():
                    self._lanes[lane] = self._tasks.create_task(self._bring(lane))

    async def _bring(self, lane: str) -> None:
        """Bring a lane's updates one after the other, each until it is taken."""
        failures = 0
        while self._inbox.url and (item := self._first(lane)):
            async with self._connections:
                self._journal.pass_("handed")
                status, told_to_wait = await self._offer(item)
            if 200 <= status < 300:
                failures = 0
                self.acknowledged.add(_id(item))
                self._journal.pass_("confirmed")
                if self.loses():
                    continue  # the 200 was lost on its way, so it is brought again
                self._inbox.updates = [other for other in self._inbox.updates if other is not item]
                self._journal.stir()
                continue
            failures += 1
            if told_to_wait is None:
                # The first repeat comes at once.
                told_to_wait = self.pause * 2 ** (failures - 2) if failures > 1 else 0.0
            await asyncio.sleep(min(told_to_wait, self.longest_pause))

    def _first(self, lane: str) -> Json | None:
        return next((item for item in self._inbox.updates if item["lane"] == lane), None)

    async def _offer(self, item: Json) -> tuple[int, float | None]:
        """The status the webhook answers, 0 for none, and for how long it asks to be left alone."""
        secret, number = self._inbox.secret, _id(item)
        self.handed[number] += 1
        headers = {"X-Telegram-Bot-Api-Secret-Token": secret} if secret else {}
        try:
            async with self._session.post(
                self._inbox.url,
                json=item["raw"],
                headers=headers,
                allow_redirects=False,
                timeout=ClientTimeout(total=self.patience),
            ) as answer:
                status, wait = answer.status, answer.headers.get("Retry-After")
                trouble = f"Wrong response from the webhook: {status} {answer.reason}"
        except (ClientError, TimeoutError) as failure:
            status, wait, trouble = 0, None, str(failure) or "Read timeout expired"
            if isinstance(failure, ClientConnectorError):
                self.handed[number] -= 1  # nobody was there to take it
        if not 200 <= status < 300:
            told_at = int(self._clock())
            self._trouble = {"last_error_date": told_at, "last_error_message": trouble}
        return status, float(wait) if wait else None


def _id(item: Json) -> int:
    """The update_id that the bot sees; that of the envelope if it sees none."""
    raw = item["raw"]
    number = raw.get("update_id") if isinstance(raw, dict) else None
    return int(number if isinstance(number, int) else item["update_id"])
