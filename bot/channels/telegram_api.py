"""The Bot API over HTTP: a call goes out, its answer or one of our exceptions comes back."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn, TypeVar

import aiohttp
import msgspec

from bot.channels import Faltered, Impossible, NotNow, PlaceMoved, ThreadGone, Unreachable
from bot.channels.telegram_shapes import several

T = TypeVar("T")

ANSWER_SECONDS = 30.0
UPLOAD_SECONDS = 90.0
CONNECT_SECONDS = 10.0


class Refused(Impossible):
    """Telegram says no; its words are kept, but for what they quote."""

    def __init__(self, status: int, description: str) -> None:
        super().__init__(scrubbed(description))
        self.status = status

    def says(self, *words: str) -> bool:
        """Whether the description has any of these words, in whatever case."""
        return _has(str(self), words)


class ThreadClosed(ThreadGone):
    """The topic is closed, and can be opened again."""


class Stranger(Faltered):
    """Telegram does not know our token."""

    def __init__(self) -> None:
        super().__init__("Telegram does not know the token", unsent=True)


class Posted(msgspec.Struct):
    """What we need of a message that was sent."""

    message_id: int


def whole(id: object) -> int:
    """A person's, message's or topic's id as Telegram wants it; `Impossible` if it is none."""
    text = str(id)
    if not (text.isascii() and text.isdigit()):
        raise Impossible("that has no id on Telegram")
    return int(text)


class Wire:
    """One bot's line to the Bot API.

    No exception that leaves here has the token in it: aiohttp's own quote addresses, so only their
    names are kept.
    """

    def __init__(self, token: str, api: str) -> None:
        self._base = f"{api.rstrip('/')}/bot{token}/"
        # A proxy in the environment is meant for the world outside, not for a server of our own.
        self._proxied = api.startswith("https:")
        self._session: aiohttp.ClientSession | None = None

    async def call(
        self, method: str, params: dict[str, Any], shape: type[T], *, seconds: float = 0.0
    ) -> T:
        """Call a method with JSON and read its result; the lean way, for what is frequent.

        seconds: for how long the call itself asks Telegram to wait
        """
        body = msgspec.json.encode(params)
        answer = await self._post(method, body, JSON, ANSWER_SECONDS + seconds)
        return _read(answer, shape)

    async def submit(self, method: str, form: aiohttp.FormData, shape: type[T]) -> T:
        """Call a method with a form, which may carry files, and read its result."""
        return _read(await self._post(method, form, {}, UPLOAD_SECONDS), shape)

    async def updates(self, params: dict[str, Any], *, seconds: float) -> list[bytes]:
        """What getUpdates gives, each update still to be read."""
        body = msgspec.json.encode(params)
        return several(await self._post("getUpdates", body, JSON, ANSWER_SECONDS + seconds))

    async def close(self) -> None:
        """Hang up."""
        if self._session is not None:
            await self._session.close()

    async def _post(
        self, method: str, data: bytes | aiohttp.FormData, headers: dict[str, str], seconds: float
    ) -> bytes:
        """The answer's body; raises for any that is not a success."""
        patience = aiohttp.ClientTimeout(total=seconds, sock_connect=CONNECT_SECONDS)
        try:
            async with self._line().post(
                self._base + method, data=data, headers=headers, timeout=patience
            ) as response:
                status, body = response.status, await response.read()
        except UNSENT as broken:
            raise Faltered(type(broken).__name__, unsent=True) from None
        except (aiohttp.ClientError, TimeoutError, OSError) as broken:
            raise Faltered(type(broken).__name__) from None
        if status != 200:
            _complain(status, body)
        return body

    def _line(self) -> aiohttp.ClientSession:
        """The session, made when it is first needed: it belongs to the loop that runs then."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                cookie_jar=aiohttp.DummyCookieJar(), trust_env=self._proxied
            )
        return self._session


JSON = {"Content-Type": "application/json"}

# What breaks before anything has left us.
UNSENT = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.ClientHttpProxyError,
    aiohttp.InvalidURL,
)


def scrubbed(description: str) -> str:
    """What Telegram says, without what it quotes: addresses, names, numbers, somebody's words."""
    return _QUOTED.sub("…", description)[:200]


_QUOTED = re.compile(r"\"[^\"]*\"?|(?<!\w)'[^']*'?|https?://\S+|@\w+|-?\d{4,}")

# ---------------------------------------------------------------- reading the answer


class _Parameters(msgspec.Struct, frozen=True):
    retry_after: float = 0.0
    migrate_to_chat_id: int = 0


class _Complaint(msgspec.Struct):
    description: str = ""
    parameters: _Parameters = _Parameters()


def _read(body: bytes, shape: type[T]) -> T:
    """The result in an answer.  It is done, even if we cannot read what came of it."""
    try:
        raw = msgspec.json.decode(body, type=_Success).result
        return msgspec.json.decode(raw, type=shape)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass
    try:
        # A surrogate somewhere in a message: json is more patient than msgspec.
        return msgspec.convert(json.loads(body.decode("utf-8", "replace"))["result"], shape)
    except (msgspec.MsgspecError, ValueError, RecursionError, LookupError, TypeError):
        raise Faltered("an answer that cannot be read") from None


class _Success(msgspec.Struct):
    result: msgspec.Raw


def _complain(status: int, body: bytes) -> NoReturn:
    """Raise what the answer means for whoever called."""
    try:
        complaint = msgspec.json.decode(body, type=_Complaint)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        complaint = _Complaint()
    words, more = complaint.description, complaint.parameters
    if status == 429 or more.retry_after:
        # Telegram does not say whether it means this chat or all of them; it is mostly this one.
        raise NotNow(more.retry_after or 5.0)
    if more.migrate_to_chat_id:
        raise PlaceMoved(str(more.migrate_to_chat_id))
    if status in (401, 404) and not _has(words, ("method not found",)):
        raise Stranger
    if status >= 500:
        raise Faltered(f"status {status}")
    if status == 403 or (status == 400 and _has(words, GONE)):
        raise Unreachable(scrubbed(words))
    if _has(words, ("topic_closed",)):
        raise ThreadClosed
    if _has(words, NO_THREAD):
        raise ThreadGone
    raise Refused(status, words or f"status {status}")


GONE = (
    "bot was blocked",
    "bot was kicked",
    "chat not found",
    "group chat was deactivated",
    "peer_id_invalid",
    "user is deactivated",
    "user not found",
)
NO_THREAD = ("message thread not found", "topic_deleted", "topic_id_invalid")


def _has(words: str, any_of: tuple[str, ...]) -> bool:
    return any(one in words.casefold() for one in any_of)
