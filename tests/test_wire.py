"""What waits in the database is read back exactly as it was written down."""

from __future__ import annotations

from datetime import UTC, date, datetime, time

from hypothesis import given
from hypothesis import strategies as st

from bot import wire
from handlers.turn import Act, Button, Event, Kind, Letter, Person, Picture, Reply, To, Where

MOMENTS = st.datetimes(timezones=st.just(UTC), min_value=datetime(1971, 1, 1))  # noqa: DTZ001
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT | MOMENTS | st.dates()
    | st.times(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
WORDS = st.dictionaries(TEXT, VALUES, max_size=4).filter(lambda words: "$" not in words)


@given(WORDS, TEXT, MOMENTS)
def test_an_event_comes_back_as_it_was(words: dict[str, object], text: str, at: datetime) -> None:
    event = Event(
        kind=Kind.SAID, channel="web", id="1", at=at, person=Person("1", text), where=Where("2"),
        text=text, words=words,
    )  # fmt: skip
    assert wire.event(wire.packed_event(event)) == event


@given(WORDS)
def test_a_letter_comes_back_as_it_was(words: dict[str, object]) -> None:
    to = To(channel="web", place="1", language="zh")
    reply = Reply(
        key="a.b", words=words, buttons=((Button("x", "y", words=words),),),
        picture=Picture("calendar", words),
    )  # fmt: skip
    for letter in (
        Letter(id=1, community=1, member=1, to=to, reply=reply),
        Letter(id=1, community=1, member=1, to=to, act=Act("make_link", words)),
    ):
        assert wire.letter(wire.packed_letter(letter)) == letter


@given(st.text(st.characters()))
def test_no_text_keeps_an_event_from_being_written_down(text: str) -> None:
    """Halves of characters and NUL are what no database keeps; all else stays."""
    event = Event(
        kind=Kind.SAID, channel="web", id="1", at=datetime(2025, 1, 1, tzinfo=UTC), text=text
    )
    whole = text.encode("utf-8", "replace").decode().replace("\0", "")
    assert wire.event(wire.packed_event(event)).text == whole


def test_dates_are_told_from_text_that_looks_like_them() -> None:
    words = {"day": date(2025, 3, 3), "text": "2025-03-03", "at": time(8)}
    event = Event(
        kind=Kind.WOKE, channel="clock", id="1", at=datetime(2025, 1, 1, tzinfo=UTC), words=words
    )
    assert wire.event(wire.packed_event(event)).words == words
