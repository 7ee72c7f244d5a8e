"""The crash programme: a short run of it, and an audit that sees whatever is wrong."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from benchmarks import crash, crash_power
from benchmarks.crash_audit import audit, recoveries, tally
from benchmarks.crash_campaign import Report, campaign
from benchmarks.crash_evidence import Evidence, Json, Kill, Sent, Told
from benchmarks.crash_pace import fullest
from benchmarks.crash_power import Disk
from benchmarks.crash_setting import Plan

COMPILER = any(map(shutil.which, ("cc", "gcc", "clang")))
GROUP, DESK, ANA, BEN, LIN = -100, -200, 11, 12, 13
NOON = 1_750_000_000.0  # Unix seconds

# ---------------------------------------------------------------- the real bot, killed


SMALL = Plan(quarters=2, residents=3, rate=6, founding=1)
PLANS = {
    "SQLite, polling": replace(SMALL, kills=5, seed=11),
    "PostgreSQL, webhook": replace(SMALL, database="postgresql", mode="webhook", kills=3, seed=12),
    "SQLite, without power": replace(SMALL, mode="webhook", kills=2, power=True, seed=13),
    "SQLite, never synced": replace(
        SMALL, mode="webhook", kills=1, power=True, doctored="OFF", seed=14
    ),
}


@pytest.fixture(scope="session")
async def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Report]:
    """What came of each plan, all played at once: while one waits, another has the machine."""
    played = [name for name, plan in PLANS.items() if COMPILER or not plan.power]
    found = await asyncio.gather(
        *(campaign(PLANS[name], tmp_path_factory.mktemp("crash")) for name in played)
    )
    return dict(zip(played, found, strict=True))


@pytest.mark.process
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", [name for name, plan in PLANS.items() if not plan.doctored])
def test_nothing_is_lost_and_nothing_is_done_twice(name: str, reports: dict[str, Report]) -> None:
    if name not in reports:
        pytest.skip("no C compiler here, so a loss of power cannot be played")
    report = reports[name]
    assert report.violations == [], crash.shown(report)
    assert report.kills >= PLANS[name].kills
    assert report.tally.updates > 20
    assert report.tally.sends > 10


@pytest.mark.process
@pytest.mark.timeout(300)
@pytest.mark.skipif(not COMPILER, reason="no C compiler here")
def test_a_bot_that_does_not_sync_is_found_out(reports: dict[str, Report]) -> None:
    """The audit has teeth: the same bot with one pragma changed loses what it acknowledged."""
    report = reports["SQLite, never synced"]
    broken = {one.promise for one in report.violations}
    assert broken & {"lost", "fault"}, crash.shown(report)  # or it did not even come up again


# ---------------------------------------------------------------- the audit


def test_where_all_is_well_the_audit_says_nothing() -> None:
    assert audit(_sound()) == []


def _without(table: str, **having: Any) -> Callable[[Evidence], Evidence]:
    def change(evidence: Evidence) -> Evidence:
        kept = [row for row in evidence.tables[table] if not _is(row, having)]
        assert len(kept) < len(evidence.tables[table])
        return replace(evidence, tables={**evidence.tables, table: kept})

    return change


def _twice(table: str, other: dict[str, Any], **having: Any) -> Callable[[Evidence], Evidence]:
    """One of the rows a second time, but for what is other."""

    def change(evidence: Evidence) -> Evidence:
        rows = evidence.tables[table]
        again = next(row for row in rows if _is(row, having)) | other
        return replace(evidence, tables={**evidence.tables, table: [*rows, again]})

    return change


def _with(table: str, other: dict[str, Any], **having: Any) -> Callable[[Evidence], Evidence]:
    """The rows have other values."""

    def change(evidence: Evidence) -> Evidence:
        rows = [row | other if _is(row, having) else row for row in evidence.tables[table]]
        assert rows != evidence.tables[table]
        return replace(evidence, tables={**evidence.tables, table: rows})

    return change


def _is(row: Json, having: dict[str, Any]) -> bool:
    return all(row[name] == value for name, value in having.items())


def _sent_too(*more: Sent) -> Callable[[Evidence], Evidence]:
    return lambda evidence: replace(evidence, sent=[*evidence.sent, *more])


def _unacknowledged(evidence: Evidence) -> Evidence:
    first, *rest = evidence.told
    return replace(evidence, told=[replace(first, acknowledged=False), *rest])


DONE_AGAIN = Sent(NOON + 100, ANA, text="Checked in", message=90)
WRONG: dict[str, tuple[str, Callable[[Evidence], Evidence]]] = {
    "an update nobody took in": ("lost", _unacknowledged),
    "an update that is not in the log": ("lost", _without("interactions", id=105)),
    "an update that is in the log twice": ("twice", _twice("interactions", {"id": 999}, id=105)),
    "a nonsense that is nowhere": ("lost", _without("quarantine")),
    "a good update in quarantine": ("lost", _twice("quarantine", {"id": 9, "key": "5"})),
    "a message that was not counted": ("lost", _with("members", {"messages": 0}, id=1)),
    "a message that was counted twice": ("twice", _with("members", {"messages": 9}, id=1)),
    "a check-in that is not there": ("lost", _without("facts", name="checked_in")),
    "two check-ins on one day": ("twice", _twice("facts", {"id": 999}, name="checked_in")),
    "a streak that does not follow": ("broken", _with("members", {"streak": 2}, id=1)),
    "a friend nobody is thanked for": ("lost", _without("facts", name="referred")),
    "a friend who counts twice": ("twice", _twice("facts", {"id": 999}, name="referred")),
    "a count of friends that is too high": ("broken", _with("members", {"referred": 2}, id=1)),
    "two open cases": ("twice", _twice("cases", {"id": 999, "number": 2})),
    "a gap in the cases' numbers": ("broken", _with("cases", {"number": 2})),
    "a bot that talks into a case": ("broken", _with("conversations", {"speaker": "bot"})),
    "a join nobody greeted": ("lost", _without("facts", name="greeted", once="301")),
    "a newcomer greeted twice": (
        "twice", _sent_too(Sent(NOON + 100, GROUP, text="Welcome, Ana.", message=90)),
    ),
    "an answer that is noted and not there": (
        "lost", lambda evidence: replace(evidence, sent=evidence.sent[1:]),
    ),
    "an answer that failed, and was not refused": (
        "lost", _with("interactions", {"outcome": "failed", "message": ""}, id=205),
    ),
    "an answer that ended in no known way": (
        "broken", _with("interactions", {"outcome": ""}, id=205),
    ),
    "an answer that was never decided on": ("lost", _without("interactions", id=205)),
    "an answer that was decided on twice": (
        "twice", _twice("interactions", {"id": 999, "message": "90"}, id=205),
    ),
    "a repeat without any need": ("twice", _sent_too(DONE_AGAIN)),
    "a message out of nowhere": ("twice", _sent_too(replace(DONE_AGAIN, text="Boo"))),
    "a word that was carried twice": (
        "twice", _twice("interactions", {"id": 999, "message": "91"}, id=210),
    ),
    "a word that went nowhere": ("lost", _without("interactions", id=210)),
    "answers in another order": (
        "order",
        lambda evidence: _with("interactions", {"message": "42"}, id=204)(
            _with("interactions", {"message": "41"}, id=205)(evidence)
        ),
    ),
    "words carried in another order": (
        "order", _with("interactions", {"message": "1"}, id=109),
    ),
    "somebody woken at night": (
        "limit", lambda evidence: replace(evidence, asleep=frozenset({"Harbour Tea"})),
    ),
    "a group that is flooded": (
        "limit", _sent_too(*(Sent(NOON + 200 + n, GROUP, message=400 + n) for n in range(25))),
    ),
    "a chat that is flooded": (
        "limit", _sent_too(*(Sent(NOON + 200, ANA, message=400 + n) for n in range(6))),
    ),
    "the platform flooded": (
        "limit", _sent_too(*(Sent(NOON + 200, 50 + n, message=4) for n in range(40))),
    ),
    "the platform flooded slowly": (
        "limit", _sent_too(*(Sent(NOON + 200 + n / 32, 50 + n, message=4) for n in range(400))),
    ),
    "a 429 that was not obeyed": (
        "limit",
        _sent_too(
            Sent(NOON + 200, BEN, acted=False, status=429, retry_after=5),
            Sent(NOON + 201, BEN, acted=False, status=429, retry_after=1),
        ),
    ),
    "an event that still waits": ("left over", _twice("pending", {"kind": "in"})),
    "a letter that still waits": ("left over", _twice("pending", {"due_at": 0})),
    "no rest": ("left over", lambda evidence: replace(evidence, unsettled="still going")),
    "a broken file": ("broken", lambda evidence: replace(evidence, integrity=["page 7"])),
    "a row about nobody": ("broken", _twice("threads", {"member_id": 77})),
    "one person, two members": ("twice", _twice("identities", {"id": 99}, member_id=2)),
    "a bad end": ("fault", lambda evidence: replace(evidence, status=1)),
    "a fault in the log": ("fault", lambda evidence: replace(evidence, faults=("turn.fault",))),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_the_audit_sees(wrong: str) -> None:
    promise, change = WRONG[wrong]
    assert promise in {one.promise for one in audit(change(_sound()))}


def test_what_was_blamed_for_the_kills_is_counted_and_wants_no_answer() -> None:
    blamed = {"id": 9, "key": "5", "reason": "RuntimeError while said"}
    aside = _twice("quarantine", blamed)(_sound())
    for table, id in (("interactions", 106), ("interactions", 205)):
        aside = _without(table, id=id)(aside)
    aside = _with("members", {"messages": 3}, id=1)(aside)
    aside = replace(aside, sent=[one for one in aside.sent if one.text != "Your month"])
    assert audit(aside) == []
    assert tally(aside).set_aside == 1


def test_a_repeat_is_excused_by_a_kill_or_a_lost_answer() -> None:
    repeated = _sent_too(DONE_AGAIN)(_sound())
    killed = replace(repeated, kills=[Kill(DONE_AGAIN.at + 0.2)])
    lost = _sent_too(replace(DONE_AGAIN, answered=False))(_sound())
    assert audit(killed) == audit(lost) == []
    assert tally(killed).repeated_sends == tally(lost).repeated_sends == 1


def test_a_repeat_is_not_excused_by_a_kill_after_something_else_was_said_there() -> None:
    later = Sent(DONE_AGAIN.at + 0.1, ANA, text="Your month", message=0, acted=False)
    repeated = replace(_sent_too(DONE_AGAIN, later)(_sound()), kills=[Kill(DONE_AGAIN.at + 0.2)])
    assert "twice" in {one.promise for one in audit(repeated)}


def test_what_was_held_up_on_its_way_is_no_flood() -> None:
    flood = _sent_too(*(Sent(NOON + 200, 50 + n, message=400 + n) for n in range(40)))
    promises = [one.promise for one in audit(replace(flood(_sound()), lags=[(NOON + 200, 0.5)]))]
    assert "limit" not in promises


def test_recovery_is_from_a_start_to_the_first_message_unless_it_was_killed_before() -> None:
    evidence = Evidence(
        sent=[Sent(13.5, ANA), Sent(21.0, ANA)], starts=[10.0, 14.0], kills=[Kill(13.9), Kill(15)]
    )
    assert recoveries(evidence) == [3.5]


def test_a_window_is_as_full_as_it_gets() -> None:
    assert fullest([0, 0.1, 0.2, 5, 5.1, 5.2, 5.3], 1.0) == 4


# ---------------------------------------------------------------- what a disk forgets


def test_the_disk_keeps_what_was_synced_and_may_tear_the_rest(tmp_path: Path) -> None:
    seen = set()
    for seed in range(60):
        disk = _disk(tmp_path / str(seed))
        disk.journal.write_bytes(
            _record("C", 5, name="a") + _record("D", 1)
            + _record("W", 5, data=b"s" * 1024) + _record("S", 5)
            + _record("W", 5, at=1024, data=b"u" * 1024)
        )  # fmt: skip
        disk.cut(Random(seed))
        content = (disk.folder / "a").read_bytes()
        assert content.startswith(b"s" * 1024)
        seen.add(content[1024:])
    assert {b"", b"u" * 1024, b"u" * 512, bytes(512) + b"u" * 512} <= seen


def test_a_name_is_only_sure_once_its_folder_is_synced(tmp_path: Path) -> None:
    there = set()
    for seed in range(30):
        disk = _disk(tmp_path / str(seed))
        disk.journal.write_bytes(
            _record("C", 5, name="a") + _record("W", 5, data=b"x") + _record("S", 5)
        )
        disk.cut(Random(seed))
        there.add((disk.folder / "a").exists())
    assert there == {True, False}


def test_what_a_kill_cut_off_the_journal_never_happened(tmp_path: Path) -> None:
    disk = _disk(tmp_path / "one")
    whole = _record("C", 5, name="a") + _record("D", 1) + _record("W", 5, data=b"x")
    disk.journal.write_bytes(whole + _record("S", 5)[:-3])
    disk.cut(Random(1))
    assert (disk.folder / "a").read_bytes() in (b"", b"x")


def _disk(folder: Path) -> Disk:
    folder.mkdir()
    return Disk(folder, folder.parent / "none.so", folder.parent / f"{folder.name}.journal")


def _record(what: str, inode: int, *, at: int = 0, data: bytes = b"", name: str = "") -> bytes:
    data = data or name.encode()
    return crash_power.HEAD.pack(what.encode(), inode, at, len(data)) + data


# ---------------------------------------------------------------- evidence of a good day


def _sound() -> Evidence:
    """Ana joins, brings Ben, checks in, asks for the month, and talks with Lin; one nonsense."""
    private, group = _place(ANA, "private"), _place(GROUP, "supergroup")
    link = {"invite_link": {"invite_link": "https://t.me/+1"}}
    updates: list[Json] = [
        {"chat_member": _joined(ANA)},
        {"message": _noted(1, ANA, group)},
        {"chat_member": _joined(BEN) | link},
        {"message": _said(1, ANA, private, "/checkin")},
        {"message": _said(2, ANA, private, "/streak")},
        {"callback_query": _pressed(BEN, "welcome.rules")},
        {"message": {"message_id": "no number", "chat": {"id": 7}}},
        {"message": _said(5, ANA, private, "my parcel is wet")},
        {"message": _said(6, ANA, private, "and cold")},
    ]  # fmt: skip
    told = [
        Told(number, {"update_id": number} | update, 1, True)
        for number, update in enumerate(updates, 1)
    ]
    heard = [
        _heard(101, 1, "joined", GROUP), _heard(102, 1, "joined", GROUP),
        _heard(103, 1, "joined", GROUP), _heard(104, 2, "joined", GROUP),
        _heard(105, 1, "said", ANA, "1", "/checkin"), _heard(106, 1, "said", ANA, "2", "/streak"),
        _heard(107, 2, "pressed", BEN),
        _heard(108, 1, "said", ANA, "5", "my parcel is wet"),
        _heard(109, 1, "said", ANA, "6", "and cold"),
    ]  # fmt: skip
    said = [
        _told(201, GROUP, "3", "welcome.newcomer", "Welcome, Ana."),
        _told(202, GROUP, "4", "welcome.newcomer", "Welcome, Ben."),
        _told(203, ANA, "40", "referrals.came", "Ben is here"),
        _told(204, ANA, "41", "checkin.done", "Checked in"),
        _told(205, ANA, "42", "checkin.calendar", "Your month"),
        _told(206, BEN, "43", "welcome.house_rules", "Be kind"),
        _told(210, DESK, "44", "handoff.from_member", "my parcel is wet", 108),
        _told(211, DESK, "45", "handoff.from_member", "and cold", 109),
    ]
    sent = [
        Sent(
            NOON + 10 * n, int(row["place"]), text=row["body"]["text"], message=int(row["message"])
        )
        for n, row in enumerate(said)
    ]
    member = {
        "name": "Ana",
        "messages": 4,
        "streak": 1,
        "longest": 1,
        "checked_in_on": "2025-06-15",
    }
    other = {"name": "Ben", "messages": 0, "streak": 0, "longest": 0, "checked_in_on": None}
    case = {"member_id": 1, "assignee_id": 3, "closed_at": None}
    later = {"member_id": 1, "due_at": int((NOON + 10**6) * 10**6)}
    tables: dict[str, list[Json]] = {
        "communities": [{"id": 1, "name": "Harbour Tea", "zone": "UTC"}],
        "members": [
            {"id": 1, "referred": 1, "invited_by": None, **member},
            {"id": 2, "referred": 0, "invited_by": 1, **other},
            {"id": 3, "referred": 0, "invited_by": None, **other, "name": "Lin"},
        ],
        "identities": [
            {"id": 10 + id, "channel": "telegram", "ref": ref, "member_id": id, "community_id": 1}
            for id, ref in ((1, str(ANA)), (2, str(BEN)), (3, str(LIN)))
        ],
        "facts": [
            _fact(301, 1, "joined"), _fact(302, 2, "joined"),
            _fact(303, 1, "greeted", once="301"), _fact(304, 2, "greeted", once="302"),
            _fact(305, 1, "checked_in", once="1:2025-06-15"),
            _fact(306, 1, "referred", once="2", about=2),
        ],
        "invites": [{"member_id": 1, "link": "https://t.me/+1"}],
        "cases": [{"id": 1, "community_id": 1, "number": 1, **case}],
        "conversations": [{"member_id": 1, "speaker": "human"}],
        "threads": [{"member_id": 1}],
        "quarantine": [{"id": 1, "key": "7", "reason": "ValidationError"}],
        "pending": [{"kind": "out", "key": "out:1", "state": "waiting", **later}],
        "interactions": heard + said,
    }  # fmt: skip
    return Evidence(told=told, sent=sent, tables=tables, orderly=frozenset({ANA}), now=NOON)


def _person(id: int) -> Json:
    return {"id": id, "is_bot": False, "first_name": "Somebody"}


def _place(id: int, kind: str) -> Json:
    return {"id": id, "type": kind}


def _joined(id: int) -> Json:
    return {
        "chat": _place(GROUP, "supergroup"),
        "old_chat_member": {"status": "left", "user": _person(id)},
        "new_chat_member": {"status": "member", "user": _person(id)},
    }


def _noted(message: int, person: int, chat: Json) -> Json:
    who = _person(person)
    return {"message_id": message, "chat": chat, "from": who, "new_chat_members": [who]}


def _pressed(person: int, data: str) -> Json:
    under = {"chat": _place(person, "private")}
    return {"from": _person(person), "data": data, "message": under}


def _said(message: int, person: int, chat: Json, text: str) -> Json:
    who = _person(person)
    return {"message_id": message, "chat": chat, "from": who, "text": text, "date": int(NOON)}


def _heard(id: int, member: int, kind: str, place: int, message: str = "", text: str = "") -> Json:
    row = {"id": id, "member_id": member, "direction": "in", "kind": kind, "place": str(place)}
    return row | {"message": message, "outcome": "", "mirrors": None, "body": {"text": text}}


def _told(
    id: int, place: int, message: str, key: str, text: str, mirrors: int | None = None
) -> Json:
    row = {"id": id, "member_id": 1, "direction": "out", "kind": key.partition(".")[0]}
    row |= {"place": str(place), "message": message, "outcome": "sent", "community_id": 1}
    return row | {"mirrors": mirrors, "body": {"key": key, "text": text}}


def _fact(
    id: int, member: int, name: str, once: str | None = None, about: int | None = None
) -> Json:
    row = {"id": id, "community_id": 1, "member_id": member, "about_id": about, "name": name}
    return row | {"once": once, "day": "2025-06-15"}
