"""One reply becomes as many Telegram messages as it takes, and no word is lost between them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.channels import Impossible, Said
from bot.channels.telegram_pieces import (
    LONGEST_CAPTION,
    LONGEST_TEXT,
    Piece,
    keyboard,
    pieces,
    plain,
    portions,
    units,
)

PNG = b"\x89PNG"
PHOTO, STICKER = ("photo", "F1", ""), ("sticker", "F2", "")
FILE = ("your-data.json", b"{}")
LONG = "line of a text\n" * 100  # longer than a caption, shorter than a message


@settings(deadline=None)
@given(st.text(st.characters(categories=["L", "So", "Zs", "Cc", "Nd"])), st.integers(2, 40))
def test_every_portion_fits_and_none_is_empty(text: str, longest: int) -> None:
    parts = [*portions(text, longest)]
    assert all(part.strip() for part in parts)
    assert all(units(part) <= longest for part in parts)
    assert "".join("".join(parts).split()) == "".join(text.split())


def test_a_text_is_parted_at_line_ends_where_there_are_any() -> None:
    assert [*portions("first line\nsecond line\nthird", 23)] == ["first line\nsecond line", "third"]
    assert [*portions("word word word", 9)] == ["word word", "word"]
    assert [*portions("无空格的一句话", 4)] == ["无空格的", "一句话"]
    assert [*portions("😀😀😀", 3)] == ["😀", "😀", "😀"]


@pytest.mark.parametrize(
    ("said", "shape"),
    [
        (Said(text="hi"), ["hi!"]),
        (Said(text="hi", image=PNG), ["image hi!"]),
        (Said(text="", image=PNG), ["image !"]),
        (Said(text="hi", media=(PHOTO, PHOTO)), ["photo hi!", "photo "]),
        (Said(text="hi", media=(STICKER,)), ["sticker ", "hi!"]),
        (Said(text="hi", media=(STICKER, PHOTO)), ["sticker ", "photo hi!"]),
        (Said(text="", media=(STICKER,)), ["sticker !"]),
        (Said(text="hi", image=PNG, media=(PHOTO,)), ["image hi!", "photo "]),
        (Said(text="hi", file=FILE), ["your-data.json hi!"]),
        (Said(text="", file=FILE), ["your-data.json !"]),
        (Said(text="hi", image=PNG, file=FILE), ["image hi!", "your-data.json "]),
    ],
)
def test_words_go_under_what_is_shown_where_it_can_have_a_caption(
    said: Said, shape: list[str]
) -> None:
    told = [f"{shown_by(one)}{one.text}{'!' if one.last_word else ''}" for one in pieces(said)]
    assert told == shape


def shown_by(piece: Piece) -> str:
    """What it shows, with a space behind."""
    if piece.image is not None:
        return "image "
    named = piece.file or piece.media
    return f"{named[0]} " if named else ""


def test_words_too_many_for_a_caption_follow_what_is_shown() -> None:
    assert LONGEST_CAPTION < units(LONG.strip()) <= LONGEST_TEXT
    shown, told = pieces(Said(text=LONG, image=PNG))
    assert (shown.image, shown.text, shown.last_word) == (PNG, "", False)
    assert (told.text, told.last_word) == (LONG.strip(), True)


def test_words_too_many_for_a_message_make_several_and_the_last_has_the_last_word() -> None:
    told = pieces(Said(text=LONG * 4))
    assert [one.last_word for one in told] == [False, True]
    assert all(units(one.text) <= LONGEST_TEXT for one in told)


@pytest.mark.parametrize("text", ["", " \n ", "\0"])
def test_nothing_cannot_be_said(text: str) -> None:
    with pytest.raises(Impossible):
        pieces(Said(text=text))


def test_buttons_are_choices_or_links() -> None:
    rows = ((("Here", "checkin.here", ""), ("Rules", "", "https://tea.example/r")), ())
    assert keyboard(rows) == {
        "inline_keyboard": [
            [
                {"text": "Here", "callback_data": "checkin.here"},
                {"text": "Rules", "url": "https://tea.example/r"},
            ],
            [],
        ]
    }
    assert keyboard(()) is None


def test_data_is_measured_in_bytes() -> None:
    assert keyboard(((("a", "茶" * 21, ""),),))
    with pytest.raises(Impossible):
        keyboard(((("a", "茶" * 22, ""),),))


def test_what_cannot_be_sent_is_left_out() -> None:
    assert plain("a\0b \ud83d c 😀") == "ab \ufffd c 😀"
    plain("\ude00\ud83d").encode()
