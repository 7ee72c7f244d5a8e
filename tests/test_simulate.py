"""The simulated town: one seed makes one history on every database, and nothing wrong is missed."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.cli import main
from bot.simulation import invariants
from bot.simulation.evidence import Community, Evidence
from bot.simulation.platform import Bubble
from bot.simulation.scenario import Plan
from bot.simulation.town import Tally, Town
from bot.simulation.watch import Broken
from bot.simulation.witness import Clockwork, Telling
from handlers.turn import Event, Kind, Person, Where
from storage import audit, communities, database, schema
from storage.audit import Happened, Issue, Logged, Talk, Waits
from storage.sealing import Seal, fresh_key
from storage.writer import Change

NOON = datetime(2025, 3, 4, 4, tzinfo=UTC)  # in Shanghai
MONDAY, TUESDAY = date(2025, 3, 3), date(2025, 3, 4)


# ---------------------------------------------------------------- one seed, one history


def lived(url: str, town: type[Town] = Town, **changes: Any) -> Tally:
    """What came of a small town with faults and crashes, on this (empty, migrated) database."""
    plan: dict[str, Any] = {"members": 20, "days": 5, "seed": 7, "crashes": 12, "faults": True}
    planned = Plan(url=url, key=fresh_key(), **{**plan, **changes})
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        return runner.run(town(planned, tell=lambda line: None).live())


@pytest.fixture
def files(tmp_path: Path, migrated_file: Path) -> Iterator[str]:
    """Fresh SQLite databases of our schema, as many as are asked for."""
    return (copied(tmp_path / f"{n}.sqlite", migrated_file) for n in range(9))


def copied(path: Path, template: Path) -> str:
    path.write_bytes(template.read_bytes())
    return f"sqlite:///{path}"


def test_the_same_seed_makes_the_same_history_on_every_database(
    url: str, files: Iterator[str]
) -> None:
    one, other = lived(url), lived(next(files))
    assert one.figures == other.figures
    assert one.digest == other.digest
    assert one.figures["crashes survived"] == 12
    assert one.figures["faults of the platform"] > 0
    assert one.figures["events told again"] > 0


def test_another_seed_makes_another_history(files: Iterator[str]) -> None:
    digests = {lived(next(files), seed=seed, days=2, crashes=2).digest for seed in (7, 8)}
    assert len(digests) == 2


class Spoilt(Town):
    """A town in which somebody meddles with the tables on the second day."""

    async def _through(self, day: int, chance: Any) -> None:
        if day == 1:
            spoil = Change("UPDATE members SET streak = streak + 1, longest = longest + 1")
            self._far.ask(self._ground.writer.settle([spoil]))
        await super()._through(day, chance)


def test_a_house_that_counts_wrongly_is_found_out(files: Iterator[str]) -> None:
    with pytest.raises(Broken, match=r"^streaks_follow_from_facts: p\d+ .*\nseed 7, step \d+"):
        lived(next(files), Spoilt)


# ---------------------------------------------------------------- every invariant can fail


def person(id: int = 1, **changes: Any) -> audit.Person:
    """A member of the first community, of whom nothing is to be said."""
    usual = audit.Person(
        id=id, community=1, ref=f"p{id}", home=f"home-p{id}", zone="", next_zone="",
        role="owner" if id == 1 else "member", status="member", silenced=False, reminders=True,
        streak=0, longest=0, checked_in_on=None, messages=0, invited_by=None, referred=0,
    )  # fmt: skip
    return usual._replace(**changes)


def fact(name: str, member: int = 1, about: int | None = None, day: date = MONDAY) -> Happened:
    return Happened(9, 1, member, about, name, 1, day, NOON)


def bubble(key: str = "faq.glad", **changes: Any) -> Bubble:
    usual: dict[str, Any] = {
        "number": 1, "place": "home-p1", "private": True, "thread": "", "key": key, "text": "…",
        "words": {}, "buttons": (), "at": NOON,
    }  # fmt: skip
    return Bubble(**{**usual, **changes})


def said(message: str = "m1", **changes: Any) -> Logged:
    usual = Logged(5, 1, 1, "home-p1", message, "out", "faq", "sent", NOON)
    return usual._replace(**changes)


def told(**changes: Any) -> Telling:
    event = Event(
        kind=Kind.SAID, channel="town", id="e1", at=NOON, person=Person("p1"),
        where=Where("home-p1"), text="hm",
    )  # fmt: skip
    return Telling(event, "p1", **changes)


def case(number: int = 1, **changes: Any) -> Issue:
    usual = Issue(7, 1, 1, number, assigned=False, opened_at=NOON, closed_at=None)
    return usual._replace(**changes)


def seen(**changes: Any) -> Evidence:
    """What is to be seen of a town of two, in which all is well unless a test says otherwise."""
    usual: dict[str, Any] = {
        "now": NOON,
        "since": NOON - timedelta(days=1),
        "up": NOON - timedelta(days=1),
        "communities": {
            n: Community(n, name, "Asia/Shanghai", frozenset({f"group-{n}"}), (time(22), time(8)))
            for n, name in ((1, "Tea"), (2, "Books"))
        },
        "people": (person(1), person(2)),
    }
    return Evidence(**{**usual, **changes})


HUMAN = (Talk(1, 1, "human"),)
NIGHT = NOON.replace(hour=18)  # two in the morning in Shanghai
ASIDE = {"people": (person(1), person(2, community=2)), "names": {"Mei": {2}}}

DOCTORED: dict[str, Evidence] = {
    "one_check_in_a_day": seen(
        people=(person(streak=1, longest=1, checked_in_on=MONDAY),),
        facts=[fact("checked_in"), fact("checked_in")],
    ),
    "check_ins_as_pressed": seen(
        people=(person(streak=1, longest=1, checked_in_on=MONDAY),),
        facts=[fact("checked_in")],
        clockworks={1: Clockwork("UTC")},
    ),
    "streaks_follow_from_facts": seen(people=(person(streak=2, longest=2),)),
    "messages_add_up": seen(said={1: 3}),
    "referrals_add_up": seen(people=(person(referred=1),)),
    "credited_once": seen(
        people=(person(referred=1, invited_by=1),),
        facts=[fact("referred", 1, about=1)],
        brought={"p1": ["p1"]},
    ),
    "credited_as_invited": seen(came_by={"p2": "p1"}),
    "one_owner": seen(people=(person(1), person(2, role="owner"))),
    "zones_as_chosen": seen(
        people=(person(zone="Asia/Tokyo"),),
        clockworks={1: Clockwork("Asia/Shanghai", "Asia/Tokyo", TUESDAY + timedelta(days=1))},
    ),
    "wishes_kept": seen(clockworks={1: Clockwork("UTC", silenced=True)}),
    "presence_as_seen": seen(inside={"p1": frozenset()}),
    "speaker_matches_case": seen(cases=[case(assigned=True)]),
    "one_open_case": seen(cases=[case(1), case(2)], talks=[Talk(1, 1, "none")]),
    "cases_are_numbered": seen(cases=[case(2)], talks=[Talk(1, 1, "none")]),
    "machine_keeps_silent": seen(everything=[bubble("faq.answer", speaker="human")], log=[said()]),
    "sent_is_arrived": seen(log=[said("m4")]),
    "arrived_is_logged": seen(everything=[bubble()]),
    "repeats_are_told_apart": seen(
        everything=[bubble(answered=False), bubble(number=2)], log=[said("m2")]
    ),
    "nothing_is_given_up": seen(log=[said(outcome="failed: no words")]),
    "at_most_once": seen(
        everything=[bubble("checkin.remind"), bubble("checkin.remind", number=2)],
        log=[said(), said("m2")],
    ),
    "greeted_once": seen(facts=[fact("joined"), fact("greeted"), fact("greeted")]),
    "questions_are_answered": seen(owed=[told(answerable=True)]),
    "answers_in_order": seen(
        everything=[bubble(), bubble(number=2)], log=[said("m2", id=5), said("m1", id=6)]
    ),
    "sleep_is_not_broken": seen(
        whole=False, everything=[bubble("checkin.remind", at=NIGHT)], log=[said()]
    ),
    "the_muted_are_left_alone": seen(
        whole=False,
        people=(person(silenced=True),),
        clockworks={1: Clockwork("UTC", silenced=True)},
        everything=[bubble("checkin.remind")],
        log=[said()],
    ),
    "who_left_is_left_alone": seen(
        in_vain=[(NOON, "home-p1", "checkin.remind")], stopped={"p1": NOON - timedelta(hours=1)}
    ),
    "nothing_waits_for_ever": seen(
        waiting=[Waits(3, "out", "out:3", "waiting", NOON - timedelta(hours=2), 1, 1)]
    ),
    "logged_once": seen(tellings=[told()]),
    "communities_stay_apart": seen(
        everything=[bubble("welcome.newcomer", place="group-1", words={"name": "Mei"})],
        log=[said(place="group-1")],
        **ASIDE,
    ),
}  # fmt: skip


def test_nothing_is_wrong_where_all_is_well() -> None:
    assert list(invariants.broken(seen())) == []


def test_every_invariant_has_somebody_who_broke_it() -> None:
    assert DOCTORED.keys() == {one.__name__ for one in invariants.ALL}


@pytest.mark.parametrize("name", DOCTORED)
def test_what_breaks_an_invariant_breaks_that_one_alone(name: str) -> None:
    assert {found for found, _ in invariants.broken(DOCTORED[name])} == {name}


def test_every_invariant_is_explained() -> None:
    page = (Path(__file__).parent.parent / "docs" / "simulation.md").read_text("utf-8")
    assert [one.__name__ for one in invariants.ALL if f"`{one.__name__}`" not in page] == []


# ---------------------------------------------------------------- on which database


async def founded(url: str, *names: str) -> None:
    """Communities of these names are known there."""
    opened = await database.opened(url, Seal.of(fresh_key()))
    kept = [
        communities.kept(id=n, name=name, zone="UTC", language="en", at=NOON)
        for n, name in enumerate(names, start=1)
    ]
    await opened.writer.settle(kept)
    await opened.close()


def test_a_database_that_is_no_demonstration_is_left_alone(
    files: Iterator[str], capsys: pytest.CaptureFixture[str]
) -> None:
    url = next(files)
    asyncio.run(founded(url, "Harbour Tea"))
    before = Path(url.removeprefix("sqlite:///")).read_bytes()
    assert main(["simulate", "--members", "5", "--days", "1", "--url", url]) == 1
    assert "this database is no demonstration: it is of Harbour Tea" in capsys.readouterr().out
    assert Path(url.removeprefix("sqlite:///")).read_bytes() == before


def test_what_is_kept_is_marked_and_can_be_made_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"sqlite:///{tmp_path}/demo.sqlite"
    for _ in range(2):
        assert main(["simulate", "--members", "5", "--days", "1", "--url", url, "--keep"]) == 0
        assert "This is demonstration data" in capsys.readouterr().out
    key = (tmp_path / "demo.sqlite.key").read_text()
    assert asyncio.run(names_and_members(url, key)) == (
        ["Harbour Tea (demo)", "Hillside Books (demo)"],
        True,
    )


async def names_and_members(url: str, key: str) -> tuple[list[str], bool]:
    opened = await database.opened(url, Seal.of(key))
    try:
        await database.opens(opened)
        found = await audit.community_names(opened.reader), bool(await audit.members(opened.reader))
    finally:
        await opened.close()
    return found


def test_nothing_is_left_unless_it_is_to_be_kept(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/town.sqlite"
    assert main(["simulate", "--members", "5", "--days", "1", "--url", url]) == 0
    assert asyncio.run(schema.found(url)) is None


@pytest.mark.process
def test_neither_telegram_nor_a_model_is_needed() -> None:
    script = "import sys, bot.simulation.command; print({'aiogram', 'openai'} & sys.modules.keys())"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "set()"
