"""Articles: what operators may write, what stops the bot, and how the sample reads."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from knowledge.library import Entry, Library, Source, Unreadable

ARTICLES = Path(__file__).parent.parent / "knowledge" / "articles"
SAMPLE = ARTICLES / "harbour-tea"

GOOD = """
[title]
en = "Visiting"
zh = "到店"

[hours]
audience = "members"
tags = ["visit"]
link = "https://harbourtea.example/visit"

[hours.en]
question = "When are you open?"
variants = ["opening hours"]
answer = "From ten to eight."

[hours.zh]
question = "几点开门？"
answer = '''
10:00–20:00。
'''
"""

SUPERLATIVES = re.compile(
    r"最|第一|绝对|极致|顶级|唯一|100%"
    r"|\b(best|finest|perfect|unique|amazing|ultimate|guaranteed?|number one)\b",
    re.IGNORECASE,
)
HAN = "\u4e00-\u9fff"
UNSPACED = re.compile(rf"[{HAN}][A-Za-z0-9]|[A-Za-z0-9][{HAN}]")
HALF_WIDTH = re.compile(rf"[{HAN}][,;:?!]|[,;?!][{HAN}]")
ADDRESSES = re.compile(r"[\w.]+@[\w.]+\w|harbourtea\.example(?:/[\w-]+)*")


def written(folder: Path, text: str, name: str = "visiting.toml") -> Path:
    (folder / name).write_text(text, "utf-8")
    return folder


@pytest.fixture(scope="module")
def sample() -> Library:
    return Library.load(SAMPLE)


def test_an_article_becomes_one_entry_for_each_language(tmp_path: Path) -> None:
    english, chinese = Library.load(written(tmp_path, GOOD)).entries

    assert english == Entry(
        id="hours.en",
        language="en",
        question="When are you open?",
        variants=("opening hours",),
        answer="From ten to eight.",
        source=Source("Visiting", "When are you open?", "https://harbourtea.example/visit"),
        audience="members",
        tags=("visit",),
        key="hours",
    )
    assert english.phrasings == ("When are you open?", "opening hours")
    assert (chinese.id, chinese.key, chinese.answer) == ("hours.zh", "hours", "10:00–20:00。")
    assert chinese.source.title == "到店"


def test_an_entry_is_open_to_its_audience_and_to_those_above(tmp_path: Path) -> None:
    entry = Library.load(written(tmp_path, GOOD)).entries[0]

    assert not entry.open_to("public")
    assert entry.open_to("members")
    assert entry.open_to("staff")


def test_an_entry_is_got_in_the_language_asked_for_or_in_any(tmp_path: Path) -> None:
    library = Library.load(written(tmp_path, GOOD))

    assert library.get("hours", "zh") == library.entries[1]
    assert library.get("hours", "fr") == library.entries[0]
    assert library.get("nowhere", "en") is None


def test_a_file_may_begin_with_the_mark_that_notepad_writes(tmp_path: Path) -> None:
    assert len(Library.load(written(tmp_path, "\ufeff" + GOOD)).entries) == 2


def test_an_empty_folder_is_an_empty_library(tmp_path: Path) -> None:
    assert Library.load(tmp_path).entries == ()


def test_a_missing_folder_stops_the_bot(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match=r"nowhere: there is no such folder"):
        Library.load(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        (
            'answer = "From ten to eight."',
            "answer = “From ten to eight.”",
            r"visiting\.toml: Invalid value \(at line 14, column 10\); .*curly quotes",
        ),
        (
            'answer = "From ten',
            'anser = "From ten',
            r"line 11, \[hours\.en\]: does not know 'anser'; choose from question, variants, a",
        ),
        (
            'answer = "From ten to eight."',
            'answer = "  "',
            r'line 11, \[hours\.en\]: needs a text: answer = "…"',
        ),
        (
            'variants = ["opening hours"]',
            'variants = "opening hours"',
            r'line 11, \[hours\.en\]: needs a list of texts: variants = \["…", "…"\]',
        ),
        (
            'tags = ["visit"]',
            "tags = [7]",
            r"line 6, \[hours\]: needs a list of texts: tags",
        ),
        (
            'audience = "members"',
            'audience = "everyone"',
            r"line 6, \[hours\]: does not know the audience 'everyone'; choose from public, memb",
        ),
        (
            'tags = ["visit"]',
            'tag = "visit"',
            r"line 6, \[hours\]: does not know 'tag'; choose from audience, tags, link",
        ),
        (
            'zh = "到店"',
            "",
            r'line 2, \[title\]: needs zh = "…", because hours\.zh uses it',
        ),
        (
            "[title]",
            "[titel]",
            r"visiting\.toml, \[title\]: is missing; begin the file with it",
        ),
        (
            "[title]",
            "open = true\n[title]",
            r"visiting\.toml, \[open\]: must be a section; write \[open\] above its lines",
        ),
        (
            "[hours.zh]",
            '[parking]\ntags = ["visit"]\n\n[hours.zh]',
            r"\[parking\]: has no question yet; add \[parking\.en\]",
        ),
        (
            "[hours.zh]",
            '[parking.en]\nquestion = "Opening hours?"\nanswer = "No."\n\n[hours.zh]',
            None,  # not the same audience: each is shown its own
        ),
        (
            "[hours.zh]",
            '[park]\naudience = "members"\n[park.en]\nquestion = "Opening  hours?"\nanswer = "No."'
            "\n\n[hours.zh]",
            r"\[park\.en\]: asks 'Opening  hours\?', and so does \[hours\.en\] in visiting\.toml",
        ),
    ],
)
def test_a_fault_says_where_it_is_and_how_to_mend_it(
    tmp_path: Path, right: str, wrong: str, message: str | None
) -> None:
    assert right in GOOD
    folder = written(tmp_path, GOOD.replace(right, wrong))

    if message is None:
        assert len(Library.load(folder).entries) == 3
    else:
        with pytest.raises(Unreadable, match=message):
            Library.load(folder)


def test_one_key_in_two_files_is_a_fault(tmp_path: Path) -> None:
    written(tmp_path, GOOD, "old.toml")

    with pytest.raises(Unreadable, match=r"visiting\.toml.*\[hours\.en\]: is in old\.toml too"):
        Library.load(written(tmp_path, GOOD))


def test_a_file_in_another_encoding_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "visiting.toml").write_bytes(GOOD.encode("gb18030"))

    with pytest.raises(Unreadable, match="is not UTF-8; save it again"):
        Library.load(tmp_path)


def test_the_sample_says_everything_in_both_languages(sample: Library) -> None:
    english = {one.key for one in sample.entries if one.language == "en"}
    chinese = {one.key for one in sample.entries if one.language == "zh"}

    assert english == chinese
    assert len(english) >= 45


def test_the_sample_has_two_to_five_variants_of_each_question(sample: Library) -> None:
    assert [one.id for one in sample.entries if not 2 <= len(one.variants) <= 5] == []


def test_the_questions_of_the_sample_fit_on_a_button(sample: Library) -> None:
    assert [one.id for one in sample.entries if len(one.question.encode()) > 64] == []


def test_the_sample_names_the_same_addresses_in_both_languages(sample: Library) -> None:
    named: dict[str, dict[str, list[str]]] = {}
    for entry in sample.entries:
        found = sorted(set(ADDRESSES.findall(entry.answer)))
        named.setdefault(entry.key, {})[entry.language] = found

    assert [key for key, by in named.items() if by["en"] != by["zh"]] == []


def test_the_sample_keeps_the_rules_it_would_have_others_keep(sample: Library) -> None:
    said = [(one.id, text) for one in sample.entries for text in (one.question, one.answer)]

    assert [(where, found[0]) for where, text in said if (found := SUPERLATIVES.search(text))] == []
    assert [where for where, text in said if "!" in text or "！" in text] == []


def test_the_chinese_of_the_sample_is_set_as_chinese(sample: Library) -> None:
    texts = [(one.id, one.answer) for one in sample.entries if one.language == "zh"]

    assert [(where, m[0]) for where, text in texts if (m := UNSPACED.search(text))] == []
    assert [(where, m[0]) for where, text in texts if (m := HALF_WIDTH.search(text))] == []
    assert [where for where, text in texts if "亲" in text] == []


def test_the_sample_has_six_rules_for_whoever_asks(sample: Library) -> None:
    for language in ("en", "zh"):
        rules = sample.get("rules", language)
        assert rules
        assert rules.audience == "public"
        assert re.findall(r"^\d", rules.answer, re.MULTILINE) == list("123456")
