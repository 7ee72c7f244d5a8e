"""Updates of every kind, whole and spoilt: each is settled or set aside, its neighbours served."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bot.channels import Malformed
from bot.channels.telegram_shapes import several
from bot.channels.telegram_updates import Heard, Me, heard
from storage import communities, pending, quarantine
from tests.community import Community
from tests.updates import ANA, CHAT, DESK, HOME, OF_EVERY_KIND, OF_OURS, US, Json, message

ME = Me("street", US["id"], str(US["username"]))
DEEP = 2_000  # levels


class Telegram:
    """A town whose street hears what Telegram's own bytes say."""

    def __init__(self, town: Community) -> None:
        self.town = town
        self._number = 1_000_000

    def number(self) -> int:
        """The next update's."""
        self._number += 1
        return self._number

    async def brings(self, *updates: bytes) -> list[Heard]:
        """Bring these in one answer to getUpdates; returns what the decoder made of each."""
        body = b'{"ok":true,"result":[' + b",".join(updates) + b"]}"
        told = [heard(raw, ME, self.town.clock.now()) for raw in several(body)]
        events = [event for one in told for event in one.events]
        await self.town.street.tell(*events)
        await self.town.house.settled()
        # What is a fault is tried again after two and after four seconds, and then set aside.
        await self.town.passes(seconds=10)
        return told

    def whole(self, kind: str, body: Json) -> Json:
        """An update of this kind."""
        return {"update_id": self.number(), kind: body}

    def neighbour(self) -> tuple[str, bytes]:
        """Somebody new who asks what is always answered; who, and the update."""
        # Longer than any other's number, as a spoilt one must not be taken for a repeat of theirs.
        number = 10_000_000_000 + self.number()
        person = {**ANA, "id": number}
        chat = {**HOME, "id": person["id"]}
        update = {
            "update_id": number,
            "message": message(**{"from": person}, chat=chat, text="/checkin"),
        }
        return str(person["id"]), written(update)

    async def at_rest(self) -> None:
        """Everything that came in has been settled, or set aside."""
        assert await pending.counts(self.town.house.database.reader) == {}

    def answers(self, person: str) -> list[str]:
        return [one.key for one in self.town.street.delivered if one.to.place == person]


def written(update: Any) -> bytes:
    """As Telegram writes it: ASCII, and half a surrogate pair as what it is."""
    return json.dumps(update).encode()


@pytest.fixture
async def telegram(url: str) -> AsyncIterator[Telegram]:
    town = await Community.founded(url)
    house = town.house
    await house.world.ids.refill()
    await house.database.writer.settle(
        [
            communities.bound(
                id=house.world.ids.take(), community=town.known.id, channel="street",
                ref=str(chat), kind=kind, at=town.clock.now(),
            )
            for chat, kind in ((CHAT, "group"), (DESK, "staff"))
        ]
    )  # fmt: skip
    await house.pipeline.reload()
    yield Telegram(town)
    await town.close()


# ---------------------------------------------------------------- whole


async def test_an_update_of_every_kind_is_dealt_with(telegram: Telegram) -> None:
    for kind, body in (*OF_EVERY_KIND.items(), *OF_OURS):
        before, one = telegram.neighbour()
        after, other = telegram.neighbour()
        told = await telegram.brings(one, written(telegram.whole(kind, body)), other)
        assert not any(isinstance(event, Malformed) for event in told[1].events), kind
        assert telegram.answers(before) == telegram.answers(after) == ["checkin.done"], kind
    await telegram.at_rest()
    assert await quarantine.count(telegram.town.house.database.reader) == 0


async def test_a_kind_of_tomorrow_is_passed_over(telegram: Telegram) -> None:
    person, one = telegram.neighbour()
    told = await telegram.brings(written(telegram.whole("teleport", {"to": [None, {}]})), one)
    assert told[0].events == ()
    assert telegram.answers(person) == ["checkin.done"]


# ---------------------------------------------------------------- spoilt

NASTY: tuple[Any, ...] = (
    None, True, False, 0, -1, 1.5, 2**31, 2**53 + 1, -(2**53) - 1, 2**63 - 1, 2**63, 2**64, 10**30,
    -(10**30), 10**400, 1e308, "", " ", "0", "\0", "a\0b", "\ud800", "\udfff\ud800", "😀", "\u202e",
    "\u202eabc\u202c\u2066", "Z̷̡̛͚̈́a̶̗͑l̴̙̈g̸͈͝o̵̘͝" * 50, "/" * 300, "/checkin", "/close 1", "@innkeeper_bot",
    "handoff.close:" + "9" * 40, "handoff.cancel:٣", "handoff.claim:²",
    "\x01\x7f\x85\u2028", "x" * 5_000,
    "字" * 5_000, [], [[]], {}, [None], {"id": None}, {"\ud800": "\0"},
    "'; DROP TABLE members; --", "%s{0}{name}",
)  # fmt: skip


def paths(value: Any, so_far: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to everything in this."""
    found = [so_far] if so_far else []
    if isinstance(value, dict):
        for key, item in value.items():
            found += paths(item, (*so_far, key))
    if isinstance(value, list):
        for index, item in enumerate(value):
            found += paths(item, (*so_far, index))
    return found


def spoil(draw: Callable[[st.SearchStrategy[Any]], Any], update: Json) -> Json:
    """The update with something missing, something of another type, or something added."""
    spoilt = deepcopy(update)
    for _ in range(draw(st.integers(1, 3))):
        way = draw(st.sampled_from(paths(spoilt) or [("update_id",)]))
        holder: Any = spoilt
        for step in way[:-1]:
            holder = holder[step]
        if draw(st.booleans()) and way[-1] in (holder if isinstance(holder, dict) else ()):
            del holder[way[-1]]
        else:
            holder[way[-1]] = deepcopy(draw(st.sampled_from(NASTY)))
    return spoilt


@st.composite
def spoilt_updates(draw: st.DrawFn) -> Json:
    """An update of any kind, spoilt; its number, if that was spared, is to be put in."""
    kind, body = draw(st.sampled_from([*OF_EVERY_KIND.items(), *OF_OURS, *OF_OURS]))
    return spoil(draw, {"update_id": "ours", kind: body})


@st.composite
def spoilt_bytes(draw: st.DrawFn, update: bytes) -> bytes:
    """The bytes of an update, some of them others; still an object to those that count braces."""
    spoilt = bytearray(update)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(1, len(spoilt) - 2))
        byte = draw(st.sampled_from(b"\x00\x80\xc3\xed\xff09aZ:,\\ "))
        if spoilt[at] not in b'{}[]"\\':
            spoilt[at] = byte
    return bytes(spoilt)


many = settings(
    max_examples=3_000 if os.environ.get("HYPOTHESIS_PROFILE") == "long" else 60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@given(updates=st.lists(spoilt_updates(), min_size=1, max_size=4))
@many
async def test_spoilt_updates_stop_nobody(telegram: Telegram, updates: list[Json]) -> None:
    before, one = telegram.neighbour()
    after, other = telegram.neighbour()
    numbered = [
        {**update, "update_id": telegram.number()} if update.get("update_id") == "ours" else update
        for update in updates
    ]
    told = await telegram.brings(one, *map(written, numbered), other)
    assert len(told) == len(updates) + 2
    assert telegram.answers(before) == telegram.answers(after) == ["checkin.done"]
    await telegram.at_rest()


@given(data=st.data())
@many
async def test_spoilt_bytes_stop_nobody(telegram: Telegram, data: st.DataObject) -> None:
    kind, body = data.draw(st.sampled_from([*OF_EVERY_KIND.items(), *OF_OURS]))
    spoilt = data.draw(spoilt_bytes(written(telegram.whole(kind, body))))
    before, one = telegram.neighbour()
    after, other = telegram.neighbour()
    await telegram.brings(one, spoilt, other)
    assert telegram.answers(before) == telegram.answers(after) == ["checkin.done"]
    await telegram.at_rest()


TEXTS = st.text(st.characters(), max_size=60) | st.sampled_from(
    [one for one in NASTY if isinstance(one, str)]
)


@given(text=TEXTS, name=TEXTS)
@example(text="\0", name="\ud83d")
@example(text="half \ud83d of a smile", name="A\0na")
@many
async def test_what_is_said_is_kept_the_same_on_every_database(
    telegram: Telegram, text: str, name: str
) -> None:
    """NUL is left out and half a character becomes a mark; all else stays as it was said."""
    number = telegram.number()
    person = {**ANA, "id": 2_000_000 + number, "first_name": name}
    said = message(**{"from": person}, chat={**HOME, "id": person["id"]}, text=f"x{text}")
    await telegram.brings(written({"update_id": number, "message": said}))
    await telegram.at_rest()
    db = telegram.town.house.database.reader
    row = await db.row(
        "SELECT id, body FROM interactions WHERE place = :place AND direction = 'in'",
        place=str(person["id"]),
    )
    assert row is not None
    kept = json.loads(db.open("interactions", "body", row["id"], row["body"]))
    assert kept["text"] == clean(f"x{text}")


def clean(text: str) -> str:
    return text.replace("\0", "").encode("utf-16", "surrogatepass").decode("utf-16", "replace")


# ---------------------------------------------------------------- huge and hostile, one by one


@pytest.mark.parametrize(
    "body",
    [
        message(text="字" * 350_000),  # a megabyte
        message(text="x" * 1_000_000),
        message(text="/checkin " + "x" * 100_000),
        message(text="hi", entities=[{"type": "mention", "offset": 2**40, "length": 2**40}]),
        message(text="hi", entities=[{"type": "mention", "offset": -5, "length": -(2**31)}]),
        message(text="@innkeeper_bot " * 500, entities=[
            {"type": "mention", "offset": 15 * n, "length": 14} for n in range(500)
        ]),
        message(text="😀@innkeeper_bot", entities=[{"type": "mention", "offset": 1, "length": 15}]),
        message(date=0),
        message(date=-(2**40), text="long ago"),
        message(date=253_402_300_799, text="the last second of the year 9999"),
        message(date=2**62, text="after the end of time"),
        message(**{"from": {**ANA, "id": 2**53 + 1}}, text="a large number"),
        message(**{"from": {**ANA, "id": -1}}, text="a negative one"),
        message(**{"from": {**ANA, "first_name": "\u202e" * 2_000}}, text="who am I"),
        message(**{"from": {**ANA, "language_code": "x" * 9_000}}, text="what do I speak"),
        message(chat={**HOME, "id": 2**70}, text="/checkin"),
        message(chat={"id": CHAT, "type": "supergroup", "title": "\0" * 100}, text="/setup"),
    ],
)  # fmt: skip
async def test_what_is_huge_or_hostile_is_settled_or_set_aside(
    telegram: Telegram, body: Json
) -> None:
    before, one = telegram.neighbour()
    after, other = telegram.neighbour()
    await telegram.brings(one, written(telegram.whole("message", body)), other)
    assert telegram.answers(before) == telegram.answers(after) == ["checkin.done"]
    await telegram.at_rest()


@pytest.mark.parametrize(
    "data",
    [
        "handoff.close:" + "9" * 19, "handoff.claim:" + "9" * 50, "handoff.cancel:-1",
        "handoff.take_over:٣", "faq.answer:" + "9" * 50, "help.nothing", ":", "::::", "checkin.",
        "language.zone:../../etc/passwd", "language.zone:" + "A" * 60, "faq.right:0", "quiet.x",
    ],
)  # fmt: skip
async def test_a_button_that_was_forged_is_no_fault(telegram: Telegram, data: str) -> None:
    """Programs press what nobody was shown: each such press once told every admin of a fault."""
    for chat in (HOME, {"id": DESK, "type": "supergroup", "is_forum": True}):
        press = {
            "id": "c9", "from": ANA, "chat_instance": "i", "data": data,
            "message": message(**{"from": US}, chat=chat),
        }  # fmt: skip
        await telegram.brings(written(telegram.whole("callback_query", press)))
    await telegram.at_rest()
    held = await quarantine.held(telegram.town.house.database.reader)
    assert [one.reason for one in held] == []


async def test_a_depth_without_end_is_set_aside(telegram: Telegram) -> None:
    person, one = telegram.neighbour()
    number = telegram.number()
    deep = b'{"update_id":%d,"message":' % number + b'{"a":' * DEEP + b"1" + b"}" * DEEP + b"}"
    await telegram.brings(deep, one)
    assert telegram.answers(person) == ["checkin.done"]
    held = await quarantine.held(telegram.town.house.database.reader)
    assert [one.key for one in held] == [str(number)]


async def test_a_flood_of_repeats_counts_once(telegram: Telegram) -> None:
    person, one = telegram.neighbour()
    await telegram.brings(*[one] * 50)
    await telegram.brings(*[one] * 50)
    assert telegram.answers(person) == ["checkin.done"]


async def test_what_is_told_over_and_over_in_another_form_is_set_aside_once(
    telegram: Telegram,
) -> None:
    bad = b'{"update_id":77,"message":{"message_id":"none"}}'
    for _ in range(3):
        await telegram.brings(bad, bad)
    held = await quarantine.held(telegram.town.house.database.reader)
    assert Counter(one.key for one in held) == {"77": 1}
