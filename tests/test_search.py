"""Search: who is found by what, in which language, and by whom it may be seen."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knowledge.library import Audience, Entry, Source
from knowledge.search import LEAST_THRESHOLD, Index, folded

ROOT = Path(__file__).parent.parent


def entry(
    name: str, question: str, *variants: str, audience: Audience = "public", answer: str = "Yes."
) -> Entry:
    """An entry named "key.language"."""
    key, _, language = name.partition(".")
    source = Source("Test", question)
    return Entry(name, language, question, variants, answer, source, audience, key=key)


SHOP = (
    entry("wifi.en", "Is there Wi-Fi?", "what is the wifi password"),
    entry("wifi.zh", "有 Wi-Fi 吗？", "wifi 密码是多少", answer="密码在桌上。"),
    entry("hours.en", "When are you open?", "opening hours", answer="Ten to eight."),
    entry("hours.zh", "几点开门？", "营业时间是什么", answer="十点到八点。"),
    entry("invoice.zh", "怎么开发票？", "可以开发票吗", answer="在订单里申请。"),
    entry("parking.en", "Is there parking?", "where can I park my car"),
    entry("till.en", "How do I open the till?", "till code", audience="staff"),
    entry("guest.en", "May a member bring a guest?", "guest price", audience="members"),
)


@pytest.fixture(scope="module")
def index() -> Index:
    return Index(SHOP)


def ids(
    index: Index, question: str, audience: Audience = "public", language: str | None = None
) -> list[str]:
    return [hit.entry.id for hit in index.search(question, audience=audience, language=language)]


@pytest.mark.parametrize(
    ("question", "first"),
    [
        ("opening hours", "hours.en"),
        ("OPENING HOURS??", "hours.en"),
        ("opning huors", "hours.en"),  # two slips
        ("where to park the car", "parking.en"),
        ("請問幾點開門", "hours.zh"),  # Traditional
        ("可以開發票嗎", "invoice.zh"),
        ("ｗｉｆｉ　密碼", "wifi.zh"),  # full width
        ("wi\u200bfi pass\u00adword", "wifi.en"),  # what nobody sees
        ("\u202ewifi password\u202c", "wifi.en"),
        ("发票", "invoice.zh"),  # two characters are enough
    ],
)
def test_a_question_finds_its_entry_however_it_is_typed(
    index: Index, question: str, first: str
) -> None:
    assert ids(index, question)[0] == first


def test_hits_come_nearest_first_and_no_more_than_asked_for(index: Index) -> None:
    hits = index.search("wifi password, or where to park", audience="public", limit=2)

    assert [hit.entry.key for hit in hits] == ["wifi", "parking"]
    assert hits[0].score >= hits[1].score
    assert hits[0].confidence > hits[1].confidence


def test_what_shares_nothing_finds_nothing(index: Index) -> None:
    for question in ("", "   ", "…？！", "\x00", "\ud800", "😀" * 500, "ж"):
        assert index.search(question, audience="staff") == []


def test_a_library_without_entries_finds_nothing() -> None:
    index = Index(())

    assert index.search("opening hours", audience="public") == []
    assert index.threshold == LEAST_THRESHOLD


@pytest.mark.parametrize("language", ["zh", "zh-Hans", "zh_CN", "ZH"])
def test_the_askers_language_wins_where_the_entry_has_it(index: Index, language: str) -> None:
    assert ids(index, "wifi password", language=language)[0] == "wifi.zh"


def test_an_entry_in_another_language_is_better_than_none(index: Index) -> None:
    assert ids(index, "怎么开发票", language="en")[0] == "invoice.zh"
    assert ids(index, "opening hours", language="fr")[0] == "hours.en"


def test_the_same_entry_in_two_languages_is_no_rival_of_itself(index: Index) -> None:
    hits = index.search("wifi", audience="public")

    assert [hit.entry.key for hit in hits].count("wifi") == 1
    assert hits[0].confidence > 0.5


def test_everybody_sees_what_is_open_to_them(index: Index) -> None:
    assert "till.en" not in ids(index, "till code")
    assert "till.en" not in ids(index, "till code", "members")
    assert ids(index, "till code", "staff")[0] == "till.en"
    assert "guest.en" not in ids(index, "guest price")
    assert ids(index, "guest price", "members")[0] == "guest.en"
    assert ids(index, "opening hours", "staff")[0] == "hours.en"


def test_what_is_hidden_is_left_out_before_ranking() -> None:
    twins = (
        entry("public.en", "refund limit"),
        entry("staff.en", "refund limit", audience="staff"),
    )
    index = Index((*SHOP, *twins))

    hidden = index.search("refund limit", audience="public", limit=1)
    shown = index.search("refund limit", audience="staff", limit=1)

    assert [hit.entry.id for hit in hidden] == ["public.en"]
    assert hidden[0].confidence > 0.9 > 0.7 > shown[0].confidence  # nobody else is a rival


def test_a_passage_without_phrasings_is_found_by_its_own_words() -> None:
    passage = entry("keemun.zh", "祁门红茶", answer="祁门红茶产于安徽，汤色红亮，带蜜香。")

    assert ids(Index((*SHOP, passage)), "安徽产什么带蜜香的茶")[0] == "keemun.zh"


def test_a_phrasing_of_the_library_itself_is_certain(index: Index) -> None:
    for one in SHOP:
        for phrasing in one.phrasings:
            hit = index.search(phrasing, audience="staff")[0]
            assert (hit.entry.key, hit.confidence > 0.9) == (one.key, True), phrasing


def test_words_the_library_does_not_know_count_against_it(index: Index) -> None:
    def confidence(question: str) -> float:
        return index.search(question, audience="public")[0].confidence

    assert (
        confidence("parking")
        > confidence("parking fines in court")
        > confidence("parking fines in court under administrative law in Bavaria")
    )


def test_of_a_long_question_the_beginning_is_read(index: Index) -> None:
    beginning = "wifi password " + "x" * 2_000

    assert ids(index, beginning + " opening hours") == ids(index, beginning)
    assert ids(index, "発" * 20_000) == []


def test_the_threshold_is_higher_where_entries_are_alike() -> None:
    shades = ("green", "black", "white", "yellow", "dark", "red", "blue", "grey")
    alike = [entry(f"{name}.en", f"how long do I brew {name} tea") for name in shades]

    assert 1 > Index(alike).threshold > Index(SHOP).threshold >= LEAST_THRESHOLD


@given(st.text(max_size=200))
@settings(max_examples=60, deadline=None)
def test_nothing_that_can_be_typed_breaks_it(typed: str) -> None:
    index = Index(SHOP)
    hits = index.search(typed, audience="members", language="zh", limit=3)

    assert len(hits) <= 3
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert all(0 < hit.score <= 1.0001 and 0 <= hit.confidence <= 1 for hit in hits)
    assert all(hit.entry.audience != "staff" for hit in hits)


def test_markup_of_other_converters_is_only_text() -> None:
    assert folded("-{zh-hans:甲; zh-hant:乙}-") == "-{zh-hans:甲; zh-hant:乙}-"


def test_searching_needs_no_heavy_library() -> None:
    heavy = "{'numpy', 'pydantic', 'sqlalchemy', 'aiogram', 'aiohttp', 'babel', 'openai'}"
    program = f"import sys, knowledge.answer; print({heavy} & set(sys.modules))"

    told = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert told.stdout.strip() == "set()"
