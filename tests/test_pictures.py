"""Pictures say what they were asked to, in letters we have, whatever people call themselves."""

import re
import struct
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from xml.etree import ElementTree

import pytest
import segno
from hypothesis import given
from hypothesis import strategies as st

from knowledge import drawing, pictures, typeface

SVG = "{http://www.w3.org/2000/svg}"
ROOT = Path(__file__).parents[1]

ENGLISH = {
    "streak": "days in a row",
    "longest": "your longest streak",
    "guest": "A guest",
    "days": "Days in a row",
    "empty": "Nobody is on the board yet.",
}
CHINESE = {
    "streak": "天连续打卡",
    "longest": "最长连续天数",
    "guest": "一位客人",
    "days": "连续天数",
    "empty": "榜上还没有人。",
}
HOSTILE = [
    "<script>alert('x')</script>",
    '"/><image href="https://example.org/x.png"/>',
    "&lt;b&gt; &#x0; ]]>",
    "\u202egnp.exe\u202c\u2066\u200f",
    "a\u200bb\u200d\u2060\ufeffc",
    "\x00\x08\x1b[31m\x7f\x9f\ud83d",
    "🌸✨👨‍👩‍👧‍👦🇨🇳1️⃣",
    "Z̷̢̛̤̮͎a̸l̷g̷o̵",
    "김철수 محمد दीपिका",
    "\n\t\u2028\u2029\u3000",
    "w" * 5000,
    "好" * 5000,
    "",
]


def month(
    day: date,
    days: set[date],
    *,
    today: date = date(2020, 1, 1),
    streak: int = 0,
    longest: int = 0,
    name: str = "Ana",
    language: str = "en",
) -> ElementTree.Element:
    words = CHINESE if language == "zh" else ENGLISH
    svg = pictures.calendar_svg(
        day,
        days,
        today=today,
        streak=streak,
        longest=longest,
        name=name,
        language=language,
        words=words,
    )
    return parsed(svg)


def board(*rows: tuple[int, str, int], title: str = "Longest streaks") -> ElementTree.Element:
    return parsed(pictures.leaderboard_svg(rows, title=title, language="en", words=ENGLISH))


def parsed(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)  # noqa: S314 - we have just drawn it


def said(picture: ElementTree.Element) -> list[str]:
    return [text.text or "" for text in picture.iter(f"{SVG}text")]


def painted(picture: ElementTree.Element, kind: str, colour: str) -> list[ElementTree.Element]:
    return [shape for shape in picture.iter(f"{SVG}{kind}") if shape.get("class") == colour]


def days(of: date, *numbers: int) -> set[date]:
    return {of.replace(day=number) for number in numbers}


# Calendars.


@pytest.mark.parametrize(
    ("of", "weeks", "last"),
    [(date(2027, 2, 9), 4, 28), (date(2026, 10, 1), 5, 31), (date(2026, 8, 31), 6, 31)],
)
def test_every_day_of_the_month_is_there_once_in_its_weeks(of: date, weeks: int, last: int) -> None:
    picture = month(of, set(), streak=77, longest=99)
    assert [text for text in said(picture) if text.isdigit() and int(text) < 32] == [
        str(day) for day in range(1, last + 1)
    ]
    height = float(picture.get("height", 0))
    assert height == float(month(date(2027, 2, 1), set()).get("height", 0)) + 124 * (weeks - 4)


@pytest.mark.parametrize(
    ("language", "title", "monday"),
    [
        ("en", "November 2026", "Mon"),
        ("zh", "2026 年 11 月", "周一"),
        ("en-GB", "November 2026", "Mon"),
    ],
)
def test_the_month_is_named_as_its_reader_names_it_and_begins_on_monday(
    language: str, title: str, monday: str
) -> None:
    picture = month(date(2026, 11, 21), set(), language=language)
    assert said(picture)[1:3] == [title, monday]
    column = {text.text: text.get("x") for text in picture.iter(f"{SVG}text")}
    assert column["2"] == column[monday]  # 2 November 2026 was a Monday


@pytest.mark.parametrize("count", [0, 1, 31])
def test_every_day_checked_in_is_marked(count: int) -> None:
    october = date(2026, 10, 1)
    picture = month(october, days(october, *range(1, count + 1)))
    assert len(painted(picture, "circle", "jade")) == count


def test_days_of_other_months_are_left_alone() -> None:
    around = {date(2026, 9, 30), date(2026, 11, 1), date(2025, 10, 5)}
    assert painted(month(date(2026, 10, 1), around), "circle", "jade") == []


def test_days_in_a_row_are_joined_and_lead_on_to_the_next_week() -> None:
    october = date(2026, 10, 1)  # the 18th is a Sunday
    bands = painted(month(october, days(october, 17, 18, 19, 20, 22)), "rect", "jade-tint")
    ends = [(float(b.get("x", 0)), float(b.get("x", 0)) + float(b.get("width", 0))) for b in bands]
    assert len(ends) == 3
    assert ends[0][1] == drawing.RIGHT
    assert ends[1][0] == drawing.MARGIN
    assert ends[2][0] == ends[2][1]  # a day alone has nothing to be joined to


@pytest.mark.parametrize(("today", "rings"), [(date(2026, 10, 21), 1), (date(2026, 11, 21), 0)])
def test_today_is_outlined_in_its_own_month_only(today: date, rings: int) -> None:
    picture = month(date(2026, 10, 1), set(), today=today)
    assert len(painted(picture, "circle", "edge-ink")) == rings


@pytest.mark.parametrize(("language", "words"), [("en", ENGLISH), ("zh", CHINESE)])
def test_the_figures_stand_over_what_they_count(language: str, words: dict[str, str]) -> None:
    picture = month(date(2026, 10, 1), set(), streak=9, longest=1234, language=language)
    assert said(picture)[-4:] == ["9", words["streak"], "1,234", words["longest"]]


def test_a_figure_of_any_length_keeps_to_its_half() -> None:
    picture = month(date(2026, 10, 1), set(), streak=123_456_789, longest=3)
    (number,) = (text for text in picture.iter(f"{SVG}text") if text.text == "123,456,789")
    wide = typeface.width("123,456,789", float(number.get("font-size", 0)), bold=True)
    assert float(number.get("x", 0)) + wide <= drawing.WIDTH / 2


# Leaderboards and posters.


def test_a_leaderboard_keeps_the_order_and_the_ranks_it_is_given() -> None:
    picture = board((1, "Ana", 128), (2, "王小明", 97), (2, "Bo", 97), (4, "Cy", 0))
    assert said(picture)[1:] == [
        ENGLISH["days"],
        *("1", "Ana", "128"),
        *("2", "王小明", "97"),
        *("2", "Bo", "97"),
        *("4", "Cy", "0"),
    ]


def test_a_bar_is_as_long_as_the_streak_is_beside_the_best() -> None:
    bars = painted(board((1, "Ana", 100), (2, "Bo", 50)), "rect", "jade")
    best, half = (float(bar.get("width", 0)) for bar in bars)
    assert half == best / 2


def test_a_leaderboard_stops_where_it_could_not_be_read() -> None:
    picture = board(*((rank, f"Guest {rank}", 100 - rank) for rank in range(1, 40)))
    assert "Guest 20" in said(picture)
    assert "Guest 21" not in said(picture)


def test_an_empty_leaderboard_says_so() -> None:
    assert ENGLISH["empty"] in said(board())


def test_a_poster_carries_the_link_as_a_code_and_says_where_it_leads() -> None:
    link = "https://t.me/innkeeper_bot?start=AbCdEf0123456789"
    picture = parsed(pictures.qr_svg(link, caption="Scan me", title="Come in", language="en"))
    assert said(picture) == ["Come in", "Scan me", "t.me/innkeeper_bot"]
    (code,) = (path for path in picture.iter(f"{SVG}path") if path.get("shape-rendering"))
    wanted = segno.make(link, micro=False, error="m").matrix
    assert set(modules(code.get("d", ""))) == {
        (x, y) for y, row in enumerate(wanted) for x, dark in enumerate(row) if dark
    }


def modules(path: str) -> Iterator[tuple[int, int]]:
    for x, y, length in re.findall(r"M(\d+) (\d+)h(\d+)v1h-\3z", path):
        yield from ((int(x) + step, int(y)) for step in range(int(length)))


def test_a_link_that_no_code_can_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="too large"):
        pictures.qr_svg("https://t.me/" + "x" * 3000, caption="", title="", language="en")


# Whatever people call themselves.


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("language", ["en", "zh"])
def test_no_name_breaks_a_picture(name: str, language: str) -> None:
    assert_sound(month(date(2026, 10, 1), set(), name=name, language=language))
    assert_sound(board((1, name, 12345), title=name))
    assert_sound(
        parsed(pictures.qr_svg("https://t.me/x", caption=name, title=name, language=language))
    )


@given(st.text(max_size=80))
def test_nor_does_any_other(name: str) -> None:
    assert_sound(board((1, name, 3), title=name))


def assert_sound(picture: ElementTree.Element) -> None:
    """Only shapes and words of ours, in letters that the font holds, within the margins."""
    assert {shape.tag.removeprefix(SVG) for shape in picture.iter()} <= {
        *("svg", "rect", "circle", "path", "g", "text"),
    }
    for text in picture.iter(f"{SVG}text"):
        size, bold = float(text.get("font-size", 0)), "font-weight" in text.keys()  # noqa: SIM118
        shown = text.text or ""
        assert typeface.legible(shown) == shown
        wide, x = typeface.width(shown, size, bold=bold), float(text.get("x", 0))
        left = x - wide * {"start": 0.0, "middle": 0.5, "end": 1.0}[text.get("text-anchor", "")]
        assert left >= drawing.MARGIN - 20
        assert left + wide <= drawing.RIGHT + 20


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("王小明✨", "王小明"),
        ("陳大文", "陳大文"),
        ("\u202eAna\u202c", "Ana"),
        ("𝓐𝓷𝓪  Łukasz\tDvořák", "Ana Lukasz Dvorák"),
        ("Nguyễn Thị Ánh", "Nguyễn Thị Ánh"),
        ("O’Brien “Bo”", 'O\'Brien "Bo"'),
        ("他说“你好”", "他说“你好”"),
        ("Ирина", "Ирина"),
        ("★🌸", "★"),
        ("김철수", ""),
        ("(김) -", ""),
    ],
)
def test_a_name_stays_as_near_to_itself_as_the_font_can(name: str, shown: str) -> None:
    assert typeface.legible(name) == shown


def test_who_cannot_be_named_is_a_guest() -> None:
    assert ENGLISH["guest"] in said(month(date(2026, 10, 1), set(), name="김철수"))


def test_a_name_too_long_ends_in_the_dots_of_its_script() -> None:
    assert typeface.fitted("w" * 100, 40, 400).endswith("w...")
    assert typeface.fitted("好" * 100, 40, 400) == "好" * 9 + "…"


@given(st.text(alphabet="ab 你好，。（）", max_size=60), st.integers(80, 600))
def test_lines_keep_every_word_and_their_room(text: str, room: int) -> None:
    text = typeface.legible(text)
    broken = typeface.wrapped(text, 40, room, 1000)
    assert "".join(broken).replace(" ", "") == text.replace(" ", "")
    assert all(typeface.width(line, 40) <= room for line in broken)


@given(
    st.lists(st.sampled_from(["你", "好，", "（坐）", "Telegram。", " tea", "3："]), max_size=20)
)
def test_no_line_begins_with_a_mark_that_closes(pieces: list[str]) -> None:
    broken = typeface.wrapped(typeface.legible("".join(pieces)), 40, 400, 1000)
    assert not [line for line in broken if line[0] in "，）。："]


def test_two_lines_are_evenly_filled() -> None:
    assert typeface.wrapped("Longest streaks in November", 64, 780, 2) == [
        "Longest streaks",
        "in November",
    ]


# What is sent.


def test_a_png_is_1080_across_and_as_high_as_its_drawing() -> None:
    rows = [(1, "王小明", 3)]
    svg = pictures.leaderboard_svg(rows, title="打卡榜", language="zh", words=CHINESE)
    png = pictures.leaderboard(rows, title="打卡榜", language="zh", words=CHINESE)
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">LL", png[16:24]) == (1080, int(parsed(svg).get("height", 0)))


@pytest.mark.parametrize("words", ["November 2026", "掌柜", "你"])
def test_words_are_really_drawn(words: str) -> None:
    def drawn(shown: str, *, bold: bool) -> bytes:
        parts = [drawing.text(shown, 80, 80, 60, bold=bold)]
        return drawing.png(drawing.sheet(120, "", "zh", parts))

    assert len({drawn("", bold=False), drawn(words, bold=False), drawn(words, bold=True)}) == 3


def test_the_lantern_of_the_pictures_is_the_one_of_the_pages() -> None:
    mark = (ROOT / "bot/web/static/mark.svg").read_text()
    assert f'fill="{drawing.COLOURS["jade"]}" d="{drawing.LANTERN}"' in mark
    assert f'fill="{drawing.COLOURS["amber"]}" d="{drawing.DOOR}"' in mark


def test_importing_pictures_imports_nothing_heavy() -> None:
    heavy = "{'babel', 'segno', 'resvg_py', 'jinja2', 'PIL'} & sys.modules.keys()"
    asked = f"import sys, knowledge.pictures; sys.exit(str({heavy} or ''))"
    found = subprocess.run(
        [sys.executable, "-c", asked], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert found.stderr.strip() == ""
