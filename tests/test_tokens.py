"""The colours of our pages can be read, by day and by night."""

import hashlib
import re
from pathlib import Path

import pytest

from knowledge import drawing

STATIC = Path(__file__).parents[1] / "bot/web/static"
CSS = (STATIC / "tokens.css").read_text()

Scheme = dict[str, str]


def colours(css: str) -> Scheme:
    return dict(re.findall(r"--([a-z-]+): (#[0-9A-F]{6});", css))


LIGHT = colours(CSS.partition("@media")[0])
DARK = LIGHT | colours(CSS.partition("@media")[2].partition("/* Pico's words")[0])

WORDS = [
    *((ink, on) for on in ("paper", "card") for ink in ("ink", "quiet", "jade", "jade-deep")),
    *((ink, on) for on in ("paper", "card") for ink in ("cinnabar", "amber-ink", "blue", "plum")),
    *(("ink", on) for on in ("line", "jade-tint", "cinnabar-tint", "amber-tint")),
    *(("quiet", on) for on in ("jade-tint", "cinnabar-tint", "amber-tint")),
    *(("paper", on) for on in ("ink", "jade", "jade-deep", "cinnabar")),
    ("jade", "jade-tint"),
    ("jade-deep", "jade-tint"),
    ("cinnabar", "cinnabar-tint"),
    ("amber-ink", "amber-tint"),
]
EDGES = [
    *((edge, on) for on in ("paper", "card") for edge in ("edge", "amber", "jade", "cinnabar")),
    *((edge, "paper") for edge in ("blue", "plum")),
]


def luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize(("ink", "on"), WORDS)
def test_words_can_be_read(scheme: Scheme, ink: str, on: str) -> None:
    assert contrast(scheme[ink], scheme[on]) >= 4.5


@pytest.mark.parametrize("scheme", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize(("edge", "on"), EDGES)
def test_edges_and_marks_can_be_seen(scheme: Scheme, edge: str, on: str) -> None:
    assert contrast(scheme[edge], scheme[on]) >= 3


def test_both_schemes_name_the_same_colours() -> None:
    in_the_dark = colours(CSS.partition("@media")[2])
    assert in_the_dark.keys() == LIGHT.keys()


def test_pictures_wear_the_tokens_of_the_pages() -> None:
    assert {name: colour for name, colour in drawing.COLOURS.items() if name != "amber"} == {
        name: LIGHT[name] for name in drawing.COLOURS if name != "amber"
    }
    assert drawing.COLOURS["amber"] == DARK["amber"]


def test_a_page_can_recolour_everything_a_picture_wears() -> None:
    for name in drawing.COLOURS.keys() - {"amber"}:
        assert f"svg.picture .{name} {{ fill: var(--{name}); }}" in CSS


def test_what_we_vendor_is_what_the_list_says() -> None:
    table = (STATIC / "vendor/LICENSES.md").read_text()
    listed = dict(re.findall(r"^\| `([^`]+)` .*`([0-9a-f]{64})` \|$", table, re.MULTILINE))
    files = [file for file in (STATIC / "vendor").iterdir() if file.name != "LICENSES.md"]
    assert listed == {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def test_every_file_the_tokens_ask_for_is_there() -> None:
    asked = re.findall(r'@import url\("([^"]+)"\)', CSS)
    assert asked
    assert all((STATIC / name).is_file() for name in asked)
