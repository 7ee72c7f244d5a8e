"""What one reply becomes on Telegram: messages within its limits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from bot.channels import Impossible, Said

LONGEST_TEXT = 4096  # UTF-16 units
LONGEST_CAPTION = 1024
LONGEST_DATA = 64  # bytes

UNCAPTIONED = {"sticker", "video_note"}

Rows = tuple[tuple[tuple[str, str, str], ...], ...]


@dataclass(frozen=True, slots=True)
class Piece:
    """One message: a text, or a picture or file with the text for a caption.

    file:      (name, contents) of a document made for the reader
    last_word: it has the reply's buttons and the end of its words, so that the reply is known by it
    """

    text: str = ""
    image: bytes | None = None
    media: tuple[str, str, str] | None = None
    file: tuple[str, bytes] | None = None
    last_word: bool = False


def pieces(said: Said) -> list[Piece]:
    """The messages that say it, in order; exactly one of them has the last word.

    Words go under the first picture or file that can have a caption, if they fit there; else they
    follow in messages of their own, parted at line ends.
    """
    text = plain(said.text)
    shown = [Piece(media=one) for one in said.media]
    if said.file is not None:
        shown.insert(0, Piece(file=said.file))
    if said.image is not None:
        shown.insert(0, Piece(image=said.image))
    told = [Piece(text=portion) for portion in portions(text, LONGEST_TEXT)]
    captioned = next((n for n, one in enumerate(shown) if _captioned(one)), None)
    if captioned is not None and units(text) <= LONGEST_CAPTION:
        shown[captioned] = replace(shown[captioned], text=text, last_word=True)
        return shown
    if not (shown or told):
        raise Impossible("there is nothing to say")
    *before, last = [*shown, *told]
    return [*before, replace(last, last_word=True)]


def keyboard(rows: Rows) -> dict[str, Any] | None:
    """The buttons as Telegram wants them; None if there are none."""
    if not rows:
        return None
    return {"inline_keyboard": [[_button(*button) for button in row] for row in rows]}


def portions(text: str, longest: int) -> Iterator[str]:
    """The text in parts of at most so many UTF-16 units; whole, if it fits.

    Parted at the last line end that fits, else at the last space, else between any two
    characters.  `longest` is at least 2, as one character may take two units.

    >>> [*portions("one two\\nthree four", 8)]
    ['one two', 'three', 'four']
    """
    rest = text.strip()
    while units(rest) > longest:
        most = len(fitting(rest, longest))
        # A separator just behind what fits is as good as one inside.
        ends = (rest.rfind(end, 1, most + 1) for end in ("\n", " "))
        cut = next((end for end in ends if end > 0), most)
        yield rest[:cut].rstrip()
        rest = rest[cut:].lstrip()
    if rest:
        yield rest


def fitting(text: str, longest: int) -> str:
    """As much of the beginning as has at most so many UTF-16 units.

    >>> fitting("a😀b", 2)
    'a'
    """
    return plain(text).encode("utf-16-le")[: 2 * longest].decode("utf-16-le", "ignore")


def units(text: str) -> int:
    """How long Telegram takes a text to be: in UTF-16 code units."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def plain(text: str) -> str:
    """The text without what cannot be sent: NUL, and halves of surrogate pairs."""
    return text.replace("\0", "").encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _captioned(piece: Piece) -> bool:
    return piece.media is None or piece.media[0] not in UNCAPTIONED


def _button(label: str, data: str, url: str) -> dict[str, str]:
    if url:
        return {"text": plain(label), "url": plain(url)}
    if len(data.encode()) > LONGEST_DATA:
        raise Impossible(f"a button's data is longer than {LONGEST_DATA} bytes")
    return {"text": plain(label), "callback_data": data}
