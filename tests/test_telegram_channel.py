"""The Telegram channel, over HTTP, against a Bot API that behaves and misbehaves as Telegram's."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import traceback
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from io import BytesIO
from typing import Any

import pytest
from aiohttp import ClientSession, web
from structlog.testing import capture_logs

from bot.channels import (
    Ability,
    Faltered,
    Impossible,
    Malformed,
    NotNow,
    PlaceMoved,
    Said,
    ThreadGone,
    Unreachable,
)
from bot.channels.telegram import Telegram
from bot.channels.telegram_api import scrubbed
from bot.channels.telegram_hearing import SECRET_HEADER, beyond
from bot.channels.telegram_updates import Heard
from bot.config import Misconfigured
from handlers.turn import Event, Kind, To
from tests.botapi import BotAPI, Chat, Person

SECRET = "a-secret_Of-letters9"
NOBODY_LISTENS = "http://127.0.0.1:9"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(64)
WITHIN = 10.0


class Clock:
    """Stands still until told."""

    def __init__(self) -> None:
        self.at = datetime(2026, 3, 3, 8, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at


class Naps:
    """Sleeping that takes no time, but is remembered."""

    def __init__(self) -> None:
        self.taken: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.taken.append(seconds)
        await asyncio.sleep(0)


class Desk:
    """Where events are taken in; the first so many times it fails."""

    def __init__(self, fails: int = 0) -> None:
        self.fails = fails
        self.taken: list[Event | Malformed] = []
        self._changed = asyncio.Event()

    async def __call__(self, arrivals: Sequence[Event | Malformed]) -> None:
        self._changed.set()
        if self.fails:
            self.fails -= 1
            raise ConnectionError("the database is away")
        self.taken += arrivals

    async def has(self, many: int) -> list[Event | Malformed]:
        """Everything that was taken in, once it is so many."""
        async with asyncio.timeout(WITHIN):
            while len(self.taken) < many:
                self._changed.clear()
                await self._changed.wait()
        return self.taken

    @property
    def texts(self) -> list[str]:
        return [one.text for one in self.taken if isinstance(one, Event)]


@pytest.fixture
async def api() -> AsyncIterator[BotAPI]:
    async with BotAPI.start() as running:
        yield running


@pytest.fixture
def naps() -> Naps:
    return Naps()


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
async def telegram(api: BotAPI, naps: Naps, desk: Desk) -> AsyncIterator[Telegram]:
    """A channel that is open, and does not listen yet."""
    channel = Telegram(api.token, Clock(), api=api.url, sleep=naps)
    await channel.open(desk)
    yield channel
    await channel.close()


@asynccontextmanager
async def listening(channel: Telegram) -> AsyncIterator[None]:
    """The channel listens meanwhile."""
    async with asyncio.TaskGroup() as tasks:
        ear = tasks.create_task(channel.listen())
        try:
            yield
        finally:
            ear.cancel()


@pytest.fixture
def ana(api: BotAPI) -> Person:
    """Somebody who has pressed Start."""
    ana = api.person("Ana", language="en")
    api.bot.started_by.add(ana)
    return ana


HOME = To(channel="telegram", place="5", language="en")


def at_home(person: Person) -> To:
    return To(channel="telegram", place=str(person.id), language="en")


def at(chat: Chat, thread: int | str = "") -> To:
    return To(
        channel="telegram", place=str(chat.id), language="en", thread=str(thread), private=False
    )


# ---------------------------------------------------------------- opening


def test_a_bot_that_does_not_use_it_does_not_import_aiogram() -> None:
    program = "import sys, bot.channels.telegram; sys.exit('aiogram' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


async def test_opening_learns_who_we_are_and_drops_nothing(api: BotAPI, ana: Person) -> None:
    api.tells(ana, "while you slept")
    channel, desk = Telegram(api.token, Clock(), api=api.url), Desk()
    assert (channel.link, channel.fresh()) == ("", None)
    await channel.open(desk)
    assert channel.username == "innkeeper_bot"
    assert channel.link.format(payload="ref_9") == "https://t.me/innkeeper_bot?start=ref_9"
    assert channel.fresh() == Clock().now()
    assert api.calls("deleteWebhook")[0].params["drop_pending_updates"] == "false"
    async with listening(channel):
        await desk.has(1)
    assert desk.texts == ["while you slept"]
    await channel.close()


async def test_a_token_that_is_not_known_is_said_so(api: BotAPI) -> None:
    channel = Telegram("1:wrong", Clock(), api=api.url)
    with pytest.raises(Misconfigured, match=r"\[telegram\].*token.*BOT_TELEGRAM__TOKEN") as said:
        await channel.open(Desk())
    assert "1:wrong" not in told(said.value)
    await channel.close()


async def test_an_address_where_nobody_is_is_tried_and_then_said_so(naps: Naps) -> None:
    channel = Telegram("1:token", Clock(), api=NOBODY_LISTENS, sleep=naps)
    with pytest.raises(Misconfigured, match="cannot be reached"):
        await channel.open(Desk())
    assert len(naps.taken) == 4
    await channel.close()


@pytest.mark.parametrize("secret", ["", "has spaces", "x" * 257])
def test_a_webhook_that_anybody_could_call_is_refused(secret: str) -> None:
    with pytest.raises(Misconfigured, match=r"\[telegram\].*BOT_TELEGRAM__WEBHOOK_SECRET"):
        Telegram("1:t", Clock(), mode="webhook", webhook_url="https://tea.example", secret=secret)


# ---------------------------------------------------------------- fetching


async def test_what_happens_is_taken_in_and_then_confirmed(
    api: BotAPI, telegram: Telegram, desk: Desk, ana: Person
) -> None:
    club = api.group("Club")
    async with listening(telegram):
        await api.listening()
        api.says(ana, club, "hello 😀")
        api.joins(ana, club)
        events = await desk.has(3)
        await api.all_taken()
    kinds = [one.kind for one in events if isinstance(one, Event)]
    # chat_member is only told to those who name it.
    assert kinds == [Kind.SAID, Kind.JOINED, Kind.JOINED]


async def test_nothing_is_confirmed_before_it_is_in_our_care(
    api: BotAPI, telegram: Telegram, desk: Desk, naps: Naps, ana: Person
) -> None:
    desk.fails = 3
    waiting: list[int] = []
    refuse = desk.__call__

    async def watched(arrivals: Sequence[Event | Malformed]) -> None:
        waiting.append(api.queue().pending)
        await refuse(arrivals)

    await telegram.open(watched)
    api.tells(ana, "do not lose me")
    async with listening(telegram):
        await desk.has(1)
        await api.all_taken()
    assert waiting == [1, 1, 1, 1]
    assert desk.texts == ["do not lose me"]
    assert len(naps.taken) == 3


async def test_what_cannot_be_read_does_not_stop_what_comes_after(
    api: BotAPI, telegram: Telegram, desk: Desk, ana: Person
) -> None:
    api.tells(ana, "before")
    number = api.update("message", {"message_id": "not a number", "chat": {"type": 3}})
    api.update("chat_member", {"new_chat_member": {"status": "of next year"}})
    api.update("something_new", {"is": "here"})
    api.tells(ana, "half \ud83d of a smile, and \0")
    async with listening(telegram):
        await desk.has(4)
        await api.all_taken()
    assert desk.texts == ["before", "half \ufffd of a smile, and "]
    unreadable = [one for one in desk.taken if isinstance(one, Malformed)]
    assert [one.id for one in unreadable] == [str(number), str(number + 1)]


async def test_what_has_no_number_does_not_hold_us_up(
    api: BotAPI, telegram: Telegram, desk: Desk, naps: Naps, ana: Person
) -> None:
    async with listening(telegram):
        await api.listening()
        api.raw({"message": "without a number"})
        await desk.has(1)
        api.tells(ana, "after")
        await desk.has(2)
        await api.all_taken()
    assert isinstance(desk.taken[0], Malformed)
    assert desk.texts == ["after"]
    assert naps.taken == [1.0]


@pytest.mark.parametrize(
    ("numbers", "offset", "beyond_them"),
    [
        ([], 0, 0),
        ([], 7, 7),
        ([4, 9, 5], 4, 10),
        ([None, 9], 4, 10),
        ([None], 0, 0),
        ([None], 7, 8),
    ],
)
def test_the_offset_confirms_what_was_taken_in(
    numbers: list[int | None], offset: int, beyond_them: int
) -> None:
    assert beyond([Heard(number, ()) for number in numbers], offset) == beyond_them


async def test_another_process_with_the_same_token_is_told_and_waited_for(
    api: BotAPI, telegram: Telegram, desk: Desk, naps: Naps, ana: Person
) -> None:
    words = "Conflict: terminated by other getUpdates request"
    conflict = api.breaks(409, words, method="getUpdates", times=3)
    api.tells(ana, "still here")
    with capture_logs() as logs:
        async with listening(telegram):
            await desk.has(1)
    assert conflict.met == 3
    assert naps.taken == [5.0, 10.0, 15.0]
    assert "another process" in logs[0]["reason"]


async def test_a_network_that_fails_is_tried_again(
    api: BotAPI, telegram: Telegram, desk: Desk, naps: Naps, ana: Person
) -> None:
    api.resets(method="getUpdates", times=2)
    api.breaks(502, method="getUpdates", times=2)
    api.slow_down(17, method="getUpdates")
    api.tells(ana, "at last")
    async with listening(telegram):
        await desk.has(1)
        await api.all_taken()
    assert desk.texts == ["at last"]
    assert len(naps.taken) == 5
    assert naps.taken[-1] == 17


async def test_a_token_that_was_taken_back_is_waited_for(
    api: BotAPI, telegram: Telegram, desk: Desk, naps: Naps, ana: Person
) -> None:
    api.breaks(401, "Unauthorized", method="getUpdates")
    api.tells(ana, "back again")
    async with listening(telegram):
        await desk.has(1)
    assert naps.taken == [60.0]


async def test_it_is_known_when_telegram_was_last_heard_from(api: BotAPI, ana: Person) -> None:
    clock, desk = Clock(), Desk()
    channel = Telegram(api.token, clock, api=api.url)
    await channel.open(desk)
    clock.at += timedelta(minutes=5)
    api.tells(ana, "hello")
    async with listening(channel):
        await desk.has(1)
    assert channel.fresh() == clock.at
    await channel.close()


# ---------------------------------------------------------------- being brought


class Porch:
    """Where a webhook is served: `channel` may be put there later."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.channel: Telegram | None = None

    async def serve(self, request: web.Request) -> web.Response:
        assert self.channel is not None
        assert request.path == self.channel.path
        return await self.channel.handler(request)


@pytest.fixture
async def porch() -> AsyncIterator[Porch]:
    app = web.Application()
    runner = web.AppRunner(app, access_log=None)
    porch = Porch("")
    app.router.add_route("*", "/{path:.*}", porch.serve)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    porch.url = "http://{}:{}".format(*runner.addresses[0])
    yield porch
    await runner.cleanup()


class Restful:
    """Sleeping that ends when told."""

    def __init__(self) -> None:
        self.rested = asyncio.Semaphore(0)

    async def __call__(self, seconds: float) -> None:
        await self.rested.acquire()


@pytest.fixture
def rest() -> Restful:
    return Restful()


@pytest.fixture
async def hooked(api: BotAPI, porch: Porch, desk: Desk, rest: Restful) -> AsyncIterator[Telegram]:
    """A channel with a webhook, open."""
    channel = Telegram(
        api.token,
        Clock(),
        api=api.url,
        mode="webhook",
        webhook_url=f"{porch.url}/tea/hook",
        secret=SECRET,
        sleep=rest,
    )
    porch.channel = channel
    await channel.open(desk)
    yield channel
    await channel.close()


async def test_what_is_brought_is_taken_in_before_it_is_acknowledged(
    api: BotAPI, hooked: Telegram, desk: Desk, ana: Person
) -> None:
    pending: list[int] = []

    async def watched(arrivals: Sequence[Event | Malformed]) -> None:
        pending.append(api.queue().pending)
        await desk(arrivals)

    await hooked.open(watched)
    api.tells(ana, "hello")
    await api.all_taken()
    api.joins(ana, api.group("Club"))
    await api.all_taken()
    assert pending[0] == 1
    assert desk.texts == ["hello", "", ""]
    assert [one.kind for one in desk.taken[1:] if isinstance(one, Event)] == [Kind.JOINED] * 2
    assert api.calls("setWebhook")[0].params["secret_token"] == SECRET
    assert hooked.fresh() == Clock().now()


async def test_what_is_brought_and_cannot_be_read_is_kept_and_acknowledged(
    api: BotAPI, hooked: Telegram, desk: Desk
) -> None:
    number = api.update("message", {"message_id": []})
    await desk.has(1)
    await api.all_taken()
    assert isinstance(desk.taken[0], Malformed)
    assert desk.taken[0].id == str(number)


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({}, 200),
        ({"method": "GET"}, 405),
        ({"headers": {SECRET_HEADER: "wrong"}}, 401),
        ({"headers": {SECRET_HEADER: "茶"}}, 401),
        ({"headers": {}}, 401),
        ({"headers": {SECRET_HEADER: SECRET, "Content-Type": "text/plain"}}, 415),
        ({"data": BytesIO(b"[" * (1024**2 + 1))}, 413),
        ({"data": b"not json"}, 200),
    ],
)
async def test_only_telegram_is_let_in(
    porch: Porch, hooked: Telegram, desk: Desk, changed: dict[str, Any], status: int
) -> None:
    asked: dict[str, Any] = {
        "method": "POST",
        "headers": {SECRET_HEADER: SECRET},
        "data": b'{"update_id": 1, "poll": {}}',
    } | changed
    asked["headers"] = {"Content-Type": "application/json"} | asked["headers"]
    async with ClientSession() as session:
        url = f"{porch.url}{hooked.path}"
        async with session.request(asked.pop("method"), url, **asked) as answer:
            assert answer.status == status
    kept = 1 if changed.get("data") == b"not json" else 0
    assert len(desk.taken) == kept


async def test_a_body_without_a_length_is_measured_as_it_comes(
    porch: Porch, hooked: Telegram, desk: Desk
) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"[" * 100_000

    headers = {SECRET_HEADER: SECRET, "Content-Type": "application/json"}
    async with ClientSession() as session:
        url = f"{porch.url}{hooked.path}"
        async with session.post(url, data=endless(), headers=headers) as answer:
            assert answer.status == 413
    assert desk.taken == []


async def test_when_the_database_is_away_telegram_is_asked_to_come_again(
    porch: Porch, hooked: Telegram, desk: Desk
) -> None:
    desk.fails = 1
    update = (
        b'{"update_id":1,"message":{"message_id":1,"date":1,"text":"hi",'
        b'"chat":{"id":1,"type":"private"},"from":{"id":1,"first_name":"A"}}}'
    )
    headers = {SECRET_HEADER: SECRET, "Content-Type": "application/json"}
    async with ClientSession() as session:
        for status, again in ((503, "5"), (200, None)):
            url = f"{porch.url}{hooked.path}"
            async with session.post(url, data=update, headers=headers) as answer:
                assert (answer.status, answer.headers.get("Retry-After")) == (status, again)
    assert desk.texts == ["hi"]


async def test_a_channel_that_polls_lets_nobody_in(
    porch: Porch, telegram: Telegram, desk: Desk
) -> None:
    porch.channel = telegram
    async with ClientSession() as session:
        for headers in ({}, {SECRET_HEADER: ""}):
            url = f"{porch.url}{telegram.path}"
            async with session.post(url, json={"update_id": 1}, headers=headers) as answer:
                assert answer.status == 401
    assert desk.taken == []


def test_a_webhook_without_a_path_of_its_own_gets_one() -> None:
    def path(url: str) -> str:
        return Telegram("1:t", Clock(), mode="webhook", webhook_url=url, secret=SECRET).path

    assert path("https://tea.example") == "/hooks/telegram"
    assert path("https://tea.example/") == "/hooks/telegram"
    assert path("https://tea.example/my/hook") == "/my/hook"


async def test_a_webhook_that_somebody_took_away_is_set_again(
    api: BotAPI, hooked: Telegram, desk: Desk, rest: Restful, ana: Person
) -> None:
    async with ClientSession() as session:
        await session.post(f"{api.url}/bot{api.token}/deleteWebhook")
    api.tells(ana, "hello?")
    async with listening(hooked):
        rest.rested.release()
        await desk.has(1)
    assert desk.texts == ["hello?"]


# ---------------------------------------------------------------- saying


async def test_words_are_plain_and_links_stay_links(
    api: BotAPI, telegram: Telegram, ana: Person
) -> None:
    number = await telegram.send(at_home(ana), Said(text="<b>1 & 2</b> _x_ https://tea.example"))
    (message,) = api.messages(ana)
    assert (str(message.id), message.text) == (number, "<b>1 & 2</b> _x_ https://tea.example")
    (call,) = api.calls("sendMessage")
    assert call.params["link_preview_options"] == {"is_disabled": True}
    assert "parse_mode" not in call.params


async def test_what_cannot_be_encoded_is_sent_without_it(
    api: BotAPI, telegram: Telegram, ana: Person
) -> None:
    await telegram.send(at_home(ana), Said(text="half \ud83d of\0 it"))
    await telegram.send(at_home(ana), Said(text="half \ud83d of\0 it", image=PNG))
    assert [one.text for one in api.messages(ana)] == ["half \ufffd of it"] * 2


async def test_buttons_come_back_as_presses(
    api: BotAPI, telegram: Telegram, desk: Desk, ana: Person
) -> None:
    rows = ((("Here", "checkin.here:1", ""),), (("Rules", "", "https://tea.example/r"),))
    number = await telegram.send(at_home(ana), Said(text="Here today?", buttons=rows))
    (message,) = api.messages(ana)
    async with listening(telegram):
        query = api.presses(ana, message, "Here")
        (event, *_) = await desk.has(1)
    assert isinstance(event, Event)
    assert (event.kind, event.data, event.message) == (Kind.PRESSED, "checkin.here:1", number)
    assert event.press == query
    await telegram.acknowledge(event.press)
    assert await api.answered(query)


async def test_a_press_of_long_ago_needs_no_answer(telegram: Telegram) -> None:
    await telegram.acknowledge("12345")


async def test_a_long_text_is_known_by_its_last_part_which_has_the_buttons(
    api: BotAPI, telegram: Telegram, ana: Person
) -> None:
    asked = api.tells(ana, "tell me all")
    said = Said(
        text="\n".join(f"line {n} 😀" for n in range(700)),
        buttons=((("More", "faq.more", ""),),),
        reply_to=str(asked.id),
    )
    number = await telegram.send(at_home(ana), said)
    first, *_, last = api.messages(ana)
    assert str(last.id) == number
    assert "\n".join(one.text for one in api.messages(ana)) == said.text
    assert [bool(one.buttons) for one in (first, last)] == [False, True]
    assert [one.reply_to for one in (first, last)] == [asked.id, 0]


async def test_the_message_answered_may_be_gone_or_not_be_telegrams(
    api: BotAPI, telegram: Telegram, ana: Person
) -> None:
    await telegram.send(at_home(ana), Said(text="one", reply_to="999"))
    await telegram.send(at_home(ana), Said(text="two", reply_to="web-7"))
    assert [one.reply_to for one in api.messages(ana)] == [0, 0]


async def test_a_picture_carries_its_words(api: BotAPI, telegram: Telegram, ana: Person) -> None:
    rows = ((("Again", "checkin.calendar", ""),),)
    number = await telegram.send(at_home(ana), Said(text="March", image=PNG, buttons=rows))
    (message,) = api.messages(ana)
    assert (str(message.id), message.text) == (number, "March")
    (call,) = api.calls("sendPhoto")
    assert [*call.files.values()] == [PNG]
    button = {"text": "Again", "callback_data": "checkin.calendar"}
    assert call.params["reply_markup"] == {"inline_keyboard": [[button]]}


async def test_a_picture_with_many_words_is_followed_by_them(
    api: BotAPI, telegram: Telegram, ana: Person
) -> None:
    number = await telegram.send(at_home(ana), Said(text="word " * 300, image=PNG))
    picture, words = api.messages(ana)
    assert ("photo" in picture.payload, picture.text) == (True, "")
    assert (str(words.id), words.text) == (number, ("word " * 300).strip())


async def test_a_file_is_sent_with_its_name_and_its_words(
    api: BotAPI, telegram: Telegram, ana: Person
) -> None:
    rows = ((("Erase", "privacy.erase", ""),),)
    said = Said(text="All I know", file=("your-data.json", b'{"name": "Ana"}'), buttons=rows)
    number = await telegram.send(at_home(ana), said)
    (message,) = api.messages(ana)
    assert (str(message.id), message.text) == (number, "All I know")
    assert message.payload["document"]["file_name"] == "your-data.json"
    (call,) = api.calls("sendDocument")
    button = {"text": "Erase", "callback_data": "privacy.erase"}
    assert call.params["reply_markup"] == {"inline_keyboard": [[button]]}
    assert [*call.files.values()] == [b'{"name": "Ana"}']


async def test_a_file_with_many_words_is_followed_by_them(
    api: BotAPI, telegram: Telegram, ana: Person
) -> None:
    said = Said(
        text="word " * 300,
        file=("your-data.json", b"{}"),
        buttons=((("Erase", "privacy.erase", ""),),),
    )
    number = await telegram.send(at_home(ana), said)
    file, words = api.messages(ana)
    assert ("document" in file.payload, file.text) == (True, "")
    assert "reply_markup" not in api.calls("sendDocument")[0].params
    assert (str(words.id), words.text) == (number, ("word " * 300).strip())
    assert len(words.buttons) == 1


async def test_what_people_send_is_carried_on(
    api: BotAPI, telegram: Telegram, desk: Desk, ana: Person
) -> None:
    club = api.group("Desk", forum=True)
    thread = int((await telegram.do(at(club), Ability.OPEN_THREAD, {"title": "Ana"}))["thread"])
    async with listening(telegram):
        api.sends_photo(ana, None, b"a picture", "broken cup")
        api.sends_file(ana, None, b"a receipt", "receipt.pdf")
        await desk.has(2)
    heard = [one for one in desk.taken if isinstance(one, Event)]
    for event in heard:
        media = tuple((one.kind, one.ref, one.name) for one in event.media)
        await telegram.send(at(club, thread), Said(text=f"Ana: {event.text}", media=media))
    photo, file = api.messages(club)
    assert ("photo" in photo.payload, photo.text) == (True, "Ana: broken cup")
    assert ("document" in file.payload, file.thread) == (True, thread)


async def test_what_is_not_telegrams_cannot_be_carried(telegram: Telegram, ana: Person) -> None:
    with pytest.raises(Impossible):
        await telegram.send(at_home(ana), Said(text="", media=(("hologram", "x", ""),)))
    with pytest.raises(Impossible):
        await telegram.send(at_home(ana), Said(text="", media=(("photo", "of another bot", ""),)))


# ---------------------------------------------------------------- replacing


async def test_a_message_is_replaced_in_its_place(
    api: BotAPI, telegram: Telegram, ana: Person
) -> None:
    rows = ((("Cancel", "handoff.cancel", ""),),)
    number = await telegram.send(at_home(ana), Said(text="You are third", buttons=rows))
    for text in ("You are second", "You are second", "It is your turn"):
        assert await telegram.send(at_home(ana), Said(text=text, edits=number)) == number
    (message,) = api.messages(ana)
    assert (message.text, message.buttons) == ("It is your turn", [])


async def test_buttons_alone_are_replaced_when_there_are_no_words(
    api: BotAPI, telegram: Telegram, ana: Person
) -> None:
    rows = ((("Yes", "x.yes", ""),),)
    number = await telegram.send(at_home(ana), Said(text="Well?", buttons=rows))
    assert await telegram.send(at_home(ana), Said(text="", edits=number)) == number
    (message,) = api.messages(ana)
    assert (message.text, message.buttons) == ("Well?", [])


async def test_the_words_under_a_picture_are_replaced(
    api: BotAPI, telegram: Telegram, ana: Person
) -> None:
    number = await telegram.send(at_home(ana), Said(text="March", image=PNG))
    assert await telegram.send(at_home(ana), Said(text="April", edits=number)) == number
    assert [one.text for one in api.messages(ana)] == ["April"]


async def test_the_words_under_what_was_carried_are_replaced_and_it_is_not_sent_again(
    api: BotAPI, telegram: Telegram, desk: Desk, ana: Person
) -> None:
    club = api.group("Desk")
    async with listening(telegram):
        photo = api.sends_photo(ana, None, b"a picture", "broken cup")
        (first, *_) = await desk.has(1)
        number = await telegram.send(at(club), carried(first))
        api.edits(photo, "broken cup, and saucer")
        (_, corrected) = await desk.has(2)
        for _ in range(2):  # the second time it is so already
            assert await telegram.send(at(club), carried(corrected, edits=number)) == number
    (message,) = api.messages(club)
    assert ("photo" in message.payload, message.text) == (True, "broken cup, and saucer")
    assert len(api.calls("sendPhoto")) == 1


async def test_many_words_that_follow_what_was_carried_are_replaced_too(
    api: BotAPI, telegram: Telegram, desk: Desk, ana: Person
) -> None:
    photo = await a_photo(api, telegram, desk, ana)
    number = await telegram.send(at_home(ana), Said(text="word " * 300, media=photo))
    changed = Said(text="other " * 300, media=photo, edits=number)
    assert await telegram.send(at_home(ana), changed) == number
    shown, words = api.messages(ana)
    assert ("photo" in shown.payload, words.text.strip()) == (True, ("other " * 300).strip())


@pytest.mark.parametrize(("before", "after"), [("short", "word " * 300), ("", "a picture now")])
async def test_where_the_words_do_not_fit_it_is_all_said_anew(
    api: BotAPI, telegram: Telegram, desk: Desk, ana: Person, before: str, after: str
) -> None:
    photo = await a_photo(api, telegram, desk, ana)
    old = Said(text=before, media=photo) if before else Said(text="no picture yet")
    number = await telegram.send(at_home(ana), old)
    new = await telegram.send(at_home(ana), Said(text=after, media=photo, edits=number))
    assert new != number
    assert api.messages(ana)[-1].text == after.strip()
    assert len(api.calls("sendPhoto")) == (2 if before else 1)


async def a_photo(
    api: BotAPI, telegram: Telegram, desk: Desk, ana: Person
) -> tuple[tuple[str, str, str], ...]:
    """The media of a photo that somebody has sent."""
    async with listening(telegram):
        api.sends_photo(ana, None, b"a picture")
        (event, *_) = await desk.has(1)
    return carried(event).media


def carried(event: Event | Malformed, edits: str = "") -> Said:
    """What somebody sent, to be said elsewhere."""
    assert isinstance(event, Event)
    media = tuple((one.kind, one.ref, one.name) for one in event.media)
    return Said(text=event.text, media=media, edits=edits, carried=True)


@pytest.mark.parametrize("edits", ["gone", "1", "web-7"])
async def test_what_is_not_there_to_be_replaced_is_said_anew(
    api: BotAPI, telegram: Telegram, ana: Person, edits: str
) -> None:
    api.tells(ana, "the first message, which is not ours")
    if edits == "gone":
        edits = await telegram.send(at_home(ana), Said(text="old"))
        api.deletes(api.messages(ana)[0])
    number = await telegram.send(at_home(ana), Said(text="new", edits=edits))
    assert [(str(one.id), one.text) for one in api.messages(ana)] == [(number, "new")]


async def test_a_text_does_not_become_a_picture_but_is_followed_by_one(
    api: BotAPI, telegram: Telegram, ana: Person
) -> None:
    old = await telegram.send(at_home(ana), Said(text="wait"))
    new = await telegram.send(at_home(ana), Said(text="here", image=PNG, edits=old))
    assert new != old
    assert [one.text for one in api.messages(ana)] == ["wait", "here"]


# ---------------------------------------------------------------- topics


async def test_a_topic_that_was_deleted_is_told(api: BotAPI, telegram: Telegram) -> None:
    desk = api.group("Desk", forum=True)
    for refusal in ("message thread not found", "TOPIC_DELETED"):
        thread = (await telegram.do(at(desk), Ability.OPEN_THREAD, {"title": "Ana"}))["thread"]
        assert await telegram.send(at(desk, thread), Said(text="card"))
        api.deletes_topic(desk, int(thread), refusal=refusal)
        with pytest.raises(ThreadGone):
            await telegram.send(at(desk, thread), Said(text="news"))
        with pytest.raises(ThreadGone):
            await telegram.do(at(desk, thread), Ability.CLOSE_THREAD, {})


async def test_a_closed_topic_is_opened_to_speak_in_it(api: BotAPI, telegram: Telegram) -> None:
    desk = api.group("Desk", forum=True)
    thread = (await telegram.do(at(desk), Ability.OPEN_THREAD, {"title": "Ana"}))["thread"]
    await telegram.do(at(desk, thread), Ability.CLOSE_THREAD, {"closed": True})
    # Telegram lets those who manage topics write in a closed one; not so every server.
    api.breaks(400, "Bad Request: TOPIC_CLOSED", method="sendMessage")
    assert await telegram.send(at(desk, thread), Said(text="news"))
    assert not desk.topics[int(thread)].closed
    assert [one.text for one in api.messages(desk)] == ["news"]


async def test_a_closed_topic_that_we_may_not_open_is_as_good_as_gone(
    api: BotAPI, telegram: Telegram
) -> None:
    olga = api.person("Olga")
    desk = api.group("Desk", owner=olga, forum=True, rights=["can_invite_users"])
    thread = api.opens_topic(olga, desk, "Ana").id
    api.closes_topic(olga, desk, thread)
    with pytest.raises(ThreadGone):
        await telegram.send(at(desk, thread), Said(text="news"))


async def test_where_there_is_no_topic_none_is_opened(api: BotAPI, telegram: Telegram) -> None:
    desk = api.group("Desk", forum=True)
    api.breaks(400, "Bad Request: TOPIC_CLOSED", method="sendMessage")
    with pytest.raises(Impossible, match="General"):
        await telegram.send(at(desk), Said(text="news"))


# ---------------------------------------------------------------- when it does not go well


def told(error: BaseException) -> str:
    """All that a log could show of it."""
    return "".join(traceback.format_exception(error)) + repr(error) + repr(error.__dict__)


async def refusal(channel: Telegram, to: To, said: Said | None = None) -> Exception:
    with pytest.raises(Exception) as raised:  # noqa: PT011 - which one, is for the test to say
        await channel.send(to, said or Said(text="hello"))
    assert not re.search("AAtest|secret", told(raised.value)), "the token is in it"
    return raised.value


async def test_being_asked_to_slow_down(api: BotAPI, telegram: Telegram, ana: Person) -> None:
    api.slow_down(33, chat=api.private(ana))
    error = await refusal(telegram, at_home(ana))
    assert isinstance(error, NotNow)
    assert (error.seconds, error.everywhere) == (33, False)
    assert api.messages(ana) == []


async def test_who_cannot_be_reached(api: BotAPI, telegram: Telegram, ana: Person) -> None:
    api.blocks(ana)
    stranger = api.person("Bo")
    away = api.group("Away", bot_is="left")
    nowhere = To(channel="telegram", place="-100777", language="en", private=False)
    for to in (at_home(ana), at_home(stranger), at(away), nowhere):
        assert isinstance(await refusal(telegram, to), Unreachable)
    api.breaks(400, "Bad Request: user is deactivated", method="sendMessage")
    assert isinstance(await refusal(telegram, at_home(ana)), Unreachable)


async def test_a_group_that_moved(api: BotAPI, telegram: Telegram) -> None:
    olga = api.person("Olga")
    old = api.group("Club", owner=olga, basic=True)
    new = api.upgrades(olga, old)
    error = await refusal(telegram, at(old))
    assert isinstance(error, PlaceMoved)
    assert error.to == str(new.id)
    with pytest.raises(PlaceMoved):
        await telegram.do(at(old), Ability.RIGHTS, {})


async def test_what_may_or_may_not_have_been_sent(
    api: BotAPI, telegram: Telegram, ana: Person
) -> None:
    for fault in (api.breaks, api.resets, api.loses_answer):
        fault(chat=api.private(ana))
        error = await refusal(telegram, at_home(ana))
        assert isinstance(error, Faltered)
        assert not error.unsent
    assert len(api.messages(ana)) == 1  # its answer was lost


async def test_what_certainly_was_not_sent() -> None:
    async with BotAPI.start() as api:
        channel = Telegram(api.token, Clock(), api=api.url)
        await channel.open(Desk())
    for said in (Said(text="hello"), Said(text="hello", image=PNG)):
        error = await refusal(channel, HOME, said)
        assert isinstance(error, Faltered)
        assert error.unsent
    await channel.close()


async def test_a_token_that_is_no_longer_known_leaves_it_for_later(
    api: BotAPI, telegram: Telegram, ana: Person
) -> None:
    api.breaks(401, "Unauthorized", method="sendMessage")
    error = await refusal(telegram, at_home(ana))
    assert isinstance(error, Faltered)
    assert error.unsent


async def test_what_telegram_never_takes(api: BotAPI, telegram: Telegram, ana: Person) -> None:
    for said in (
        Said(text="x", buttons=((("Go", "", "no link"),),)),
        Said(text="x", buttons=((("Go", "d" * 65, ""),),)),
        Said(text=" "),
    ):
        assert isinstance(await refusal(telegram, at_home(ana), said), Impossible)
    assert api.messages(ana) == []


async def test_a_refusal_says_why_and_quotes_nobody(
    api: BotAPI, telegram: Telegram, ana: Person
) -> None:
    words = "Bad Request: can't parse 'Ana Lima' at https://x.example/5000000001 of @ana_lima"
    api.breaks(400, words, method="sendMessage")
    error = await refusal(telegram, at_home(ana))
    assert str(error) == "Bad Request: can't parse … at … of …"
    assert isinstance(error, Impossible)


def test_what_is_scrubbed_is_not_too_long() -> None:
    assert len(scrubbed("word " * 100)) == 200
    assert scrubbed('chat -1001234567 says "Ana') == "chat … says …"


async def test_the_rest_of_a_reply_waits_rather_than_begin_again(
    api: BotAPI, telegram: Telegram, naps: Naps, ana: Person
) -> None:
    api.slow_down(4, method="sendMessage", times=2)
    await telegram.send(at_home(ana), Said(text="word " * 300, image=PNG))
    assert naps.taken == [4, 4]
    assert len(api.messages(ana)) == 2


async def test_a_reply_that_was_sent_in_part_may_have_been_sent(
    api: BotAPI, telegram: Telegram, ana: Person
) -> None:
    said = Said(text="word " * 300, image=PNG)
    for spoil in (partial(api.slow_down, 3600), api.breaks):
        spoil(method="sendMessage")
        error = await refusal(telegram, at_home(ana), said)
        assert isinstance(error, Faltered)
        assert not error.unsent
    assert len(api.messages(ana)) == 2  # the pictures


# ---------------------------------------------------------------- doing


async def test_an_invitation_of_ones_own(api: BotAPI, telegram: Telegram) -> None:
    club = api.group("Club")
    name = "a name far too long for Telegram, of 梅"
    made = await telegram.do(at(club), Ability.MAKE_LINK, {"name": name})
    asking = await telegram.do(at(club), Ability.MAKE_LINK, {"name": "x", "request": True})
    assert [one.url for one in club.links] == [made["link"], asking["link"]]
    assert [one.asks for one in club.links] == [False, True]
    assert club.links[0].name == name[:32]


async def test_into_a_public_group_people_ask_so_that_it_is_known_by_whose_link(
    api: BotAPI, telegram: Telegram, desk: Desk, ana: Person
) -> None:
    square = api.group("Square", username="the_square")
    link = (await telegram.do(at(square), Ability.MAKE_LINK, {"name": "m7"}))["link"]
    assert [one.asks for one in square.links] == [True]
    async with listening(telegram):
        await api.listening()
        api.asks_to_join(ana, square, link=link)
        (event, *_) = await desk.has(1)
    assert isinstance(event, Event)
    assert (event.kind, event.data) == (Kind.ASKED_TO_JOIN, link)
    await telegram.do(at(square), Ability.APPROVE, {"person": str(ana.id)})
    assert square.member(ana).present


async def test_whether_a_group_is_public_is_asked_now_and_then(api: BotAPI) -> None:
    clock, club = Clock(), api.group("Club")
    channel = Telegram(api.token, clock, api=api.url)
    await channel.open(Desk())
    for minutes in (0, 9, 1):  # since the link before
        clock.at += timedelta(minutes=minutes)
        await channel.do(at(club), Ability.MAKE_LINK, {"name": "x"})
        club.username = "the_club"  # after the first
    assert [one.asks for one in club.links] == [False, False, True]
    assert len(api.calls("getChat")) == 2
    assert "member_limit" not in api.calls("createChatInviteLink")[-1].params
    await channel.close()


async def test_whoever_asks_is_let_in_or_not(api: BotAPI, telegram: Telegram, ana: Person) -> None:
    club, bo = api.group("Club"), api.person("Bo")
    for person in (ana, bo):
        api.asks_to_join(person, club)
    for _ in range(2):  # the second time it is so already
        assert await telegram.do(at(club), Ability.APPROVE, {"person": str(ana.id)}) == {}
        assert await telegram.do(at(club), Ability.DECLINE, {"person": str(bo.id)}) == {}
    assert club.member(ana).present
    assert not club.member(bo).present
    assert club.requests == {}
    with pytest.raises(Impossible):
        await telegram.do(at(club), Ability.APPROVE, {"person": str(bo.id)})
    with pytest.raises(Impossible):
        await telegram.do(at(club), Ability.APPROVE, {"person": "chat:-1001"})


async def test_topics_are_opened_closed_and_opened_again(api: BotAPI, telegram: Telegram) -> None:
    desk = api.group("Desk", forum=True)
    opened = await telegram.do(at(desk), Ability.OPEN_THREAD, {"title": "梅" * 200, "member": 7})
    topic = desk.topics[int(opened["thread"])]
    assert topic.name == "梅" * 128
    for words, closed in (({}, True), ({"closed": True}, True), ({"closed": False}, False)):
        here = {"thread": opened["thread"], **words}
        assert await telegram.do(at(desk), Ability.CLOSE_THREAD, here) == {}
        assert topic.closed is closed


async def test_a_message_is_deleted_and_may_be_gone_already(
    api: BotAPI, telegram: Telegram, ana: Person
) -> None:
    number = await telegram.send(at_home(ana), Said(text="oops"))
    for _ in range(2):
        assert await telegram.do(at_home(ana), Ability.DELETE, {"message": number}) == {}
    assert api.messages(ana) == []


async def test_what_we_lack_in_a_place_is_told(api: BotAPI, telegram: Telegram) -> None:
    olga, bo = api.person("Olga"), api.person("Bo")
    desk = api.group("Desk", bo, owner=olga, forum=True, rights=["can_invite_users"])
    club = api.group("Club", bo, owner=olga, bot_is="member")
    full = api.group("Full", owner=olga, forum=True)
    api.promotes(olga, bo, desk)
    told = [
        await telegram.do(at(chat), Ability.RIGHTS, {"kind": kind})
        for chat, kind in ((desk, "staff"), (club, "group"), (full, "staff"))
    ]
    assert [one["missing"] for one in told] == [
        ["can_manage_topics"],
        ["can_invite_users"],
        [],
    ]
    assert [one["forum"] for one in told] == [True, False, True]
    assert [one["title"] for one in told] == ["Desk", "Club", "Full"]
    assert sorted(told[0]["admins"]) == sorted([str(olga.id), str(bo.id)])
    assert told[1]["admins"] == [str(olga.id)]


async def test_a_group_needs_no_topics_and_a_staff_place_no_invitations(
    api: BotAPI, telegram: Telegram
) -> None:
    inviting = api.group("Desk", forum=True, rights=["can_invite_users"])
    managing = api.group("Desk", forum=True, rights=["can_manage_topics"])
    plain = api.group("Desk", bot_is="member")
    for chat, kind, missing in (
        (inviting, "group", []),
        (inviting, "staff", ["can_manage_topics"]),
        (managing, "staff", []),
        (managing, "group", ["can_invite_users"]),
        (plain, "staff", []),  # where it is the topics that are missing
    ):
        told = await telegram.do(at(chat), Ability.RIGHTS, {"kind": kind})
        assert told["missing"] == missing


async def test_the_bots_private_chat_lacks_nothing(telegram: Telegram, ana: Person) -> None:
    told = await telegram.do(at_home(ana), Ability.RIGHTS, {})
    assert (told["missing"], told["admins"]) == ([], [])


async def test_what_may_not_be_done_is_said(api: BotAPI, telegram: Telegram) -> None:
    club = api.group("Club", bot_is="member")
    for ability, words in (
        (Ability.MAKE_LINK, {"name": "x"}),
        (Ability.OPEN_THREAD, {"title": "x"}),
        (Ability.DELETE, {"message": "not a message"}),
    ):
        with pytest.raises(Impossible):
            await telegram.do(at(club), ability, words)


# ---------------------------------------------------------------- menus


def menus(api: BotAPI) -> dict[tuple[str, str], list[str]]:
    """What is shown: (scope or chat, language) → commands."""
    shown = {}
    for (told, language), commands in api.bot.menus.items():
        scope = json.loads(told)
        name = str(scope.get("chat_id", scope["type"]))
        shown[name, language] = [one["command"] for one in commands]
    return shown


async def test_each_role_sees_its_menu_in_its_language(api: BotAPI, desk: Desk) -> None:
    room = api.group("Desk", forum=True)
    channel = Telegram(api.token, Clock(), api=api.url)
    await channel.open(desk)
    api.breaks(400, "Bad Request: of next year", method="setMyCommands")
    with capture_logs() as logs:
        await channel.announce(
            {
                ("member", "zh"): [("checkin", "打卡"), ("help", "帮助")],
                ("member", "en"): [("checkin", "Check in"), ("help", "d" * 300)],
                ("staff", "en"): [("close", "Close the case")],
                ("admin", "en"): [("setup", "Set up")],
            },
            staff=[str(room.id)],
        )
    await channel.close()
    shown = menus(api)
    for language in ("", "en", "zh"):
        # The very first one was not taken.
        assert shown.get(("default", language)) == (["checkin", "help"] if language else None)
        assert shown["all_private_chats", language] == ["checkin", "help"]
    for language in ("", "en"):
        assert shown["all_chat_administrators", language] == ["setup"]
        assert shown[str(room.id), language] == ["close"]
    lengths = [len(one["description"]) for menu in api.bot.menus.values() for one in menu]
    assert max(lengths) == 256
    assert [(one["event"], one["reason"]) for one in logs] == [
        ("telegram.menu", "Bad Request: of next year")
    ]


# ---------------------------------------------------------------- servers of another age


class Scripted:
    """A server that answers whatever it was told to, and remembers what it was asked."""

    def __init__(self) -> None:
        self.url = ""
        self.answers: dict[str, tuple[int, bytes]] = {
            "getMe": (200, b'{"ok":true,"result":{"id":7001,"username":"innkeeper_bot"}}')
        }
        self.asked: list[tuple[str, dict[str, str]]] = []

    async def answer(self, request: web.Request) -> web.Response:
        method = request.match_info["method"]
        if request.content_type != "application/json":
            self.asked.append(
                (method, {key: str(one) for key, one in (await request.post()).items()})
            )
        status, body = self.answers.get(method, (200, b'{"ok":true,"result":true}'))
        return web.Response(status=status, body=body, content_type="application/json")


@pytest.fixture
async def scripted() -> AsyncIterator[Scripted]:
    server, app = Scripted(), web.Application()
    app.router.add_post("/bot{token}/{method}", server.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = "http://{}:{}".format(*runner.addresses[0])
    yield server
    await runner.cleanup()


@pytest.fixture
async def channel(scripted: Scripted, naps: Naps, desk: Desk) -> AsyncIterator[Telegram]:
    made = Telegram("7001:secret", Clock(), api=scripted.url, sleep=naps)
    await made.open(desk)
    yield made
    await made.close()


async def test_a_reaction_is_put_on_and_taken_off(scripted: Scripted, channel: Telegram) -> None:
    await channel.do(HOME, Ability.SIGN, {"message": "9", "emoji": "👌"})
    await channel.do(HOME, Ability.SIGN, {"message": "9", "emoji": ""})
    put_on, taken_off = (asked for method, asked in scripted.asked if "Reaction" in method)
    assert put_on["message_id"] == "9"
    assert json.loads(put_on["reaction"]) == [{"type": "emoji", "emoji": "👌"}]
    assert taken_off["reaction"] == "[]"


@pytest.mark.parametrize(
    "result",
    [
        b'{"message_id":4,"rich_message":{"blocks":[{"type":"of next year"}]}}',
        b'{"message_id":4,"reply_to_message":{"text":"half \\ud83d"}}',
    ],
)
async def test_a_success_we_cannot_wholly_read_is_still_a_success(
    scripted: Scripted, channel: Telegram, result: bytes
) -> None:
    answer = (200, b'{"ok":true,"result":' + result + b"}")
    scripted.answers |= {"sendMessage": answer, "sendPhoto": answer}
    assert await channel.send(HOME, Said(text="hello")) == "4"
    assert await channel.send(HOME, Said(text="hello", image=PNG)) == "4"


async def test_an_older_server_that_knows_fewer_rights_is_understood(
    scripted: Scripted, channel: Telegram
) -> None:
    """aiogram's own ChatMemberAdministrator wants `can_send_welcome_messages`, of Bot API 10.3."""
    scripted.answers |= {
        "getChat": (200, b'{"ok":true,"result":{"id":-1,"type":"supergroup","title":"Club"}}'),
        "getChatMember": (
            200,
            b'{"ok":true,"result":{"status":"administrator","can_invite_users":true,'
            b'"can_delete_messages":true,"user":{"id":7001,"is_bot":true}}}',
        ),
        "getChatAdministrators": (
            200,
            b'{"ok":true,"result":[{"status":"of next year","user":{"id":5}},'
            b'{"status":"administrator","user":{"id":7001,"is_bot":true}}]}',
        ),
    }
    told = await channel.do(HOME, Ability.RIGHTS, {})
    assert told == {"missing": [], "admins": ["5"], "forum": False, "title": "Club"}


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (200, b"<html>", Faltered),
        (200, b'{"ok":true,"result":{"message_id":"x"}}', Faltered),
        (502, b"<html>bad gateway</html>", Faltered),
        (429, b"", NotNow),
        (413, b"<html>", Impossible),
        (400, b'{"ok":false,"description":7}', Impossible),
        (404, b'{"ok":false,"description":"Not Found"}', Faltered),
        (404, b'{"ok":false,"description":"Not Found: method not found"}', Impossible),
        (403, b'{"ok":false,"description":"Forbidden: of next year"}', Unreachable),
    ],
)
async def test_an_answer_of_any_kind_becomes_one_of_our_exceptions(
    scripted: Scripted, channel: Telegram, status: int, body: bytes, error: type[Exception]
) -> None:
    scripted.answers |= {"sendMessage": (status, body), "sendPhoto": (status, body)}
    for said in (Said(text="hello"), Said(text="hello", image=PNG)):
        assert isinstance(await refusal(channel, HOME, said), error)


async def test_the_log_names_nobody(
    api: BotAPI, telegram: Telegram, desk: Desk, ana: Person
) -> None:
    api.breaks(500, f"Internal: {ana.id}", method="getUpdates")
    api.breaks(400, f"Bad Request: chat {ana.id} of 'Ana'", method="getUpdates")
    desk.fails = 1
    api.tells(ana, "my secret")
    with capture_logs() as logs:
        async with listening(telegram):
            await desk.has(1)
    assert len(logs) == 3
    for private in (str(ana.id), "Ana", "my secret", api.token, "database is away"):
        assert private not in str(logs)
