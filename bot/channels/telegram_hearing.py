"""Hearing from Telegram: updates, fetched or brought, are confirmed once in our care."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime
from functools import partial
from typing import Any

import msgspec
import structlog
from aiohttp import web

from bot.channels import Intake
from bot.channels.telegram_api import Wire, scrubbed
from bot.channels.telegram_patience import TROUBLE, Patience, anything, trouble
from bot.channels.telegram_updates import Heard, Me, heard
from handlers.turn import Clock

log = structlog.get_logger()

# Said outright, because Telegram leaves out chat_member otherwise, and keeps what was asked last.
KINDS = [
    "message",
    "edited_message",
    "callback_query",
    "my_chat_member",
    "chat_member",
    "chat_join_request",
    "message_reaction",
]
BATCH = 100  # updates; Telegram gives no more at once
WATCH_SECONDS = 60.0  # between two looks at the webhook
LARGEST_UPDATE = 1024**2  # bytes
RETRY_AFTER = 5  # seconds, told to Telegram when we cannot take an update in

SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105 - a header's name


class Hearing:
    """One bot's ear."""

    def __init__(
        self, wire: Wire, patience: Patience, clock: Clock, *, secret: str, seconds: int
    ) -> None:
        """secret: what Telegram shows when it brings an update; seconds: how long a poll lasts."""
        self.me = Me(patience.channel, 0, "")
        self.intake: Intake = _not_yet
        self.heard_at: datetime | None = None
        self._wire = wire
        self._patience = patience
        self._clock = clock
        self._secret = secret
        self._seconds = seconds

    def answer_to(self, id: int, username: str) -> None:
        """Telegram has told us who we are."""
        self.me = Me(self.me.channel, id, username)
        self.heard_at = self._clock.now()

    async def poll(self) -> None:
        """Fetch and take in: the next fetch confirms, so it waits until the last is in our care."""
        offset = 0
        while True:
            batch = await self._patience.trying(partial(self._fetch, offset), trouble)
            told = [heard(raw, self.me, self._clock.now()) for raw in batch]
            await self._patience.trying(partial(self._take_in, told), anything)
            if told and all(one.number is None for one in told):
                await self._patience.sleep(1.0)  # it may come again at once
            offset = beyond(told, offset)

    async def receive(self, request: web.Request) -> web.Response:
        """Take one update in, and only then say so.

        401 for whoever does not know the secret; 405, 413 and 415 for what is no update at all;
        503 when we cannot take it in, so that Telegram brings it again.
        """
        if request.method != "POST":
            return web.Response(status=405, headers={"Allow": "POST"})
        if not self._trusts(request.headers.get(SECRET_HEADER, "")):
            return web.Response(status=401)
        if request.content_type != "application/json":
            return web.Response(status=415)
        body = await _body(request)
        if body is None:
            return web.Response(status=413)
        try:
            await self._take_in([heard(body, self.me, self._clock.now())])
        # Whatever keeps us from taking it in, Telegram must not forget it.
        except Exception as fault:
            self._patience.tell("telegram.intake", fault)
            return web.Response(status=503, headers={"Retry-After": str(RETRY_AFTER)})
        self.heard_at = self._clock.now()
        return web.Response()

    async def watch(self, hook: Callable[[], Awaitable[Any]]) -> None:
        """See now and then that Telegram still brings updates, and say why if it cannot.

        hook: sets the webhook, should somebody have taken it away
        """
        last = 0
        while True:
            await self._patience.sleep(WATCH_SECONDS)
            try:
                found = await self._wire.call("getWebhookInfo", {}, _Webhook)
                self.heard_at = self._clock.now()
                if not found.url:
                    log.warning("telegram.webhook_lost", channel=self.me.channel)
                    await hook()
            except TROUBLE as fault:
                self._patience.tell("telegram.webhook_unseen", fault)
                continue
            if found.last_error_date > last:
                last = found.last_error_date
                reason = scrubbed(found.last_error_message)
                log.warning("telegram.webhook_trouble", channel=self.me.channel, reason=reason)

    async def _fetch(self, offset: int) -> list[bytes]:
        params = {
            "timeout": self._seconds,
            "limit": BATCH,
            "allowed_updates": KINDS,
            **({"offset": offset} if offset else {}),
        }
        batch = await self._wire.updates(params, seconds=self._seconds)
        self.heard_at = self._clock.now()
        return batch

    async def _take_in(self, told: Iterable[Heard]) -> None:
        if events := [event for one in told for event in one.events]:
            await self.intake(events)

    def _trusts(self, shown: str) -> bool:
        """Whether this is the secret; never, where there is none."""
        ours, theirs = self._secret.encode(), shown.encode("utf-8", "surrogateescape")
        return bool(ours) and hmac.compare_digest(ours, theirs)


def beyond(told: Sequence[Heard], offset: int) -> int:
    """The offset that confirms all of these to Telegram.

    Where none has a number, one further than the last: Telegram counts upwards, so in the end that
    is past them and never past what came later.  Not from 0, which means the oldest there is.
    """
    numbers = [one.number for one in told if one.number is not None]
    if numbers:
        return max(numbers) + 1
    return offset + 1 if told and offset else offset


async def _body(request: web.Request) -> bytes | None:
    """The request's body; None if it is larger than an update ever is."""
    if (request.content_length or 0) > LARGEST_UPDATE:
        return None
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > LARGEST_UPDATE:
            return None
    return bytes(body)


async def _not_yet(_: object) -> None:
    raise RuntimeError("the channel is not open")


class _Webhook(msgspec.Struct):
    url: str = ""
    last_error_date: int = 0
    last_error_message: str = ""
