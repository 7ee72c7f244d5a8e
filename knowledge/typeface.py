"""What our own font can draw, and how much room it takes."""

import functools
import re
import struct
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

FONTS = Path(__file__).with_name("fonts")
REGULAR = FONTS / "NotoSansSC-Regular.otf"
SEMIBOLD = FONTS / "NotoSansSC-SemiBold.ttf"  # Latin, digits and 年月日 only

LONGEST = 400  # characters; more than any line we draw, little enough for any stranger's name
STROKED = str.maketrans("ŁłĦħŦŧı", "LlHhTti")  # letters that Unicode does not take apart

_OPENING, _CLOSING = "「『“‘（《【", "，。、；：！？」』”’）》】…"
_HAN = "\u3001-\u30ff\u3400-\u9fff\uff01-\uff5e"  # with kana and full-width marks
_QUOTE = re.compile(rf"(?<![{_HAN}])[‘’“”](?![{_HAN}])")  # our font draws these for Chinese only
_WORD = rf"[{_OPENING}]*[{_HAN}]|[^\s{_HAN}{_OPENING}]+"
_UNIT = re.compile(rf"\s*(?:(?:{_WORD})[{_CLOSING}]*|\S)")


def legible(text: str, most: int = LONGEST) -> str:
    """The text as the font can draw it, on one line, in the order it is stored.

    What cannot be drawn is replaced by what it is a form of (𝓐 by A, č by c), or left out:
    emoji, marks of direction, invisible and control characters, scripts we have no letters
    for.  No more than the first `most` characters are looked at.  Returns "" when letters
    were lost and none is left, since "()" is nobody's name.
    """
    text = unicodedata.normalize("NFC", text[:most])
    drawn = [(character, _drawn_as(character)) for character in text]
    shown = " ".join("".join(form for _, form in drawn).split())
    lost = any(character.isalpha() and not form for character, form in drawn)
    if lost and not any(map(str.isalnum, shown)):
        return ""
    return _QUOTE.sub(lambda found: "'" if found[0] in "‘’" else '"', shown)


def can_be_bold(text: str) -> bool:
    """Whether the small bold font holds all of the text; half of it would look torn."""
    return _advances(SEMIBOLD).keys() >= set(text)


def width(text: str, size: float, *, bold: bool = False) -> float:
    """How wide the text is when drawn at this size, in the same unit as the size."""
    advances = _advances(SEMIBOLD if bold and can_be_bold(text) else REGULAR)
    return sum(advances.get(character, 1000) for character in text) * size / 1000


def fitted(text: str, size: float, room: float, *, bold: bool = False) -> str:
    """The text; where it would outgrow the room, its beginning and "…" (after Latin "...")."""
    if width(text, size, bold=bold) <= room:
        return text
    while text and width(_ended(text), size, bold=bold) > room:
        text = text[:-1]
    return _ended(text)


def wrapped(text: str, size: float, room: float, lines: int, *, bold: bool = False) -> list[str]:
    """The text on as few lines as it needs, evenly filled, and at most so many.

    Latin breaks between words and Chinese between characters, but no line begins with a
    closing mark.  What is too long ends like `fitted`.  Nothing to draw is no lines.
    """
    units = [(unit, width(unit, size, bold=bold)) for unit in _units(text, size, room, bold=bold)]
    broken = _filled(units, room)
    if len(broken) <= lines:
        narrower = (_filled(units, room * share / 20) for share in range(10, 21))
        even = next((other for other in narrower if len(other) == len(broken)), broken)
        return [line.strip() for line in even]
    kept = [*broken[: lines - 1], "".join(broken[lines - 1 :])]
    return [fitted(line.strip(), size, room, bold=bold) for line in kept]


def _filled(units: Iterable[tuple[str, float]], room: float) -> list[str]:
    """The units, each with its width, put on one line after another until it is full."""
    broken: list[str] = []
    taken = 0.0
    for unit, wide in units:
        if broken and taken + wide <= room:
            broken[-1] += unit
            taken += wide
        else:
            broken.append(unit)
            taken = wide
    return broken


def _units(text: str, size: float, room: float, *, bold: bool) -> Iterator[str]:
    """What a line may not break inside of; a word wider than the room breaks anywhere."""
    for found in _UNIT.finditer(text):
        unit = found.group()
        yield from (unit,) if width(unit, size, bold=bold) <= room else unit


def _ended(text: str) -> str:
    """The text with the dots that its last character calls for: ours are drawn for Chinese."""
    text = text.rstrip()
    return text + ("…" if re.search(rf"[{_HAN}]$", text) else "...")


def _drawn_as(character: str) -> str:
    """The nearest thing to this character that the font holds; "" when there is none."""
    if character.isspace():
        return " "
    held = _advances(REGULAR).keys()
    compatible = unicodedata.normalize("NFKC", character)
    bare = "".join(
        part for part in unicodedata.normalize("NFKD", character) if not unicodedata.combining(part)
    ).translate(STROKED)
    forms = (form for form in (character, compatible, bare) if form and held >= set(form))
    return next(forms, "")


@functools.cache
def _advances(font: Path) -> Mapping[str, int]:
    """How far each character of the font moves the pen, in thousandths of the size.

    Reads the three tables of the file that say so, which is quicker than any library.
    """
    data = font.read_bytes()
    tables = {
        data[at : at + 4]: int.from_bytes(data[at + 8 : at + 12])
        for at in range(12, 12 + 16 * int.from_bytes(data[4:6]), 16)
    }
    (measured,) = struct.unpack_from(">H", data, tables[b"hhea"] + 34)
    metrics = struct.unpack_from(">" + "Hh" * measured, data, tables[b"hmtx"])[::2]
    return {
        chr(code): metrics[min(glyph, measured - 1)]
        for code, glyph in _glyphs(data, tables[b"cmap"])
    }


def _glyphs(data: bytes, cmap: int) -> Iterator[tuple[int, int]]:
    """Each character code with its glyph, from the table (format 4) that our fonts have."""
    (offset,) = struct.unpack_from(">L", data, cmap + 8)
    at = cmap + offset
    (doubled,) = struct.unpack_from(">H", data, at + 6)
    shape = f">{doubled // 2}H"
    ends = struct.unpack_from(shape, data, at + 14)
    starts, deltas, ranges = (
        struct.unpack_from(shape, data, at + 16 + doubled * nth) for nth in (1, 2, 3)
    )
    for segment, (start, end, delta, skip) in enumerate(
        zip(starts, ends, deltas, ranges, strict=True)
    ):
        for code in range(start, min(end, 0xFFFE) + 1):
            glyph = code
            if skip:
                place = at + 16 + doubled * 3 + 2 * segment + skip + 2 * (code - start)
                (glyph,) = struct.unpack_from(">H", data, place)
            if (glyph + delta) % 0x10000:
                yield code, (glyph + delta) % 0x10000
