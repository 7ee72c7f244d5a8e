"""Privacy: members are told what is kept, are given it, and are forgotten without a trace."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from handlers.turn import Kind, Where
from storage import members, privacy
from storage.columns import Day, Moment
from storage.members import Member
from storage.moments import to_micros
from storage.sealing import Sealed
from storage.writer import Change
from tests.community import Community, Resident
from tests.test_handoff import case_of

WHEN = datetime(2025, 3, 3, tzinfo=UTC)
HER, HIM, PERSON, OTHER_PERSON = 900_001, 900_002, 800_001, 800_002

# Columns named so hold the id of a member or of a person on the web.
PEOPLE = re.compile(r"(^|_)(member|assignee|about|person)_id$|^invited_by$")


async def dump(town: Community) -> dict[str, list[dict[str, Any]]]:
    """Every row of every table, as it lies in the database."""
    reader = town.house.database.reader
    return {
        table.name: [
            {column.name: row[column.name] for column in table.columns}
            for row in await reader.rows(f"SELECT * FROM {table.name}")  # noqa: S608
        ]
        for table, _ in privacy.tables()
    }


# ---------------------------------------------------------------- what the tables declare


def test_every_table_says_whether_it_is_about_people() -> None:
    assert all("privacy" in table.info for table, _ in privacy.tables())
    silent = [table.name for table, said in privacy.tables() if table.info["privacy"] is not said]
    assert silent == []


def test_every_column_about_a_person_is_declared_as_such() -> None:
    undeclared = [
        f"{table.name}.{column.name}"
        for table, said in privacy.tables()
        for column in table.columns
        if PEOPLE.search(column.name) and (said is None or column.name not in said.of)
    ]
    assert undeclared == []


def test_what_is_sealed_is_declared_and_the_other_way_round() -> None:
    for table, said in privacy.tables():
        sealed = {one.name for one in table.columns if isinstance(one.type, sa.LargeBinary)}
        assert sealed == set(said.sealed if said else ()), table.name


def test_whoever_is_unnamed_can_be() -> None:
    for table, said in privacy.personal_tables():
        mentions = said.of if said.forget == "unname" else said.of[1:]
        assert all(table.c[name].nullable for name in (*mentions, *said.traces)), table.name


# ---------------------------------------------------------------- forgetting, table by table


def filled(table: sa.Table, id: int, people: dict[str, Any], salt: str) -> Change:
    """A row with something in every column."""
    id = people.get("id", id)
    values = {
        column.name: people.get(column.name, _something(table, column, id, salt))
        for column in table.columns
    }
    names = ", ".join(values)
    blanks = ", ".join(f":{name}" for name in values)
    return Change(f"INSERT INTO {table.name} ({names}) VALUES ({blanks})", values, rows=1)  # noqa: S608


def _something(table: sa.Table, column: sa.Column[Any], id: int, salt: str) -> Any:
    if column.foreign_keys:
        return _PARENTS[next(iter(column.foreign_keys)).column.table.name]
    if column.primary_key and column.name == "id":
        return id
    choices = _CHOICES.get((table.name, column.name))
    if choices is not None:
        return choices
    kind = column.type
    if isinstance(kind, sa.LargeBinary):
        return Sealed(table.name, column.name, id, f'{{"text": "sealed {salt}"}}')
    if isinstance(kind, Moment):
        return to_micros(WHEN)
    if isinstance(kind, Day):
        return "2025-03-03"
    if isinstance(kind, sa.Boolean):
        return False
    return id if isinstance(kind, sa.Integer) else f"{salt}-{id}"


# What a row of one table needs of another, and what a CHECK allows.
_PARENTS = {"web_chats": 700_001, "web_topics": 700_002}
_CHOICES = {
    ("members", "role"): "member",
    ("members", "status"): "member",
    ("conversations", "speaker"): "bot",
    ("pending", "kind"): "woke",
    ("campaigns", "state"): "draft",
    ("web_chats", "kind"): "group",
    ("identities", "channel"): "web",
    ("interactions", "mirrors"): None,
    ("cases", "closed_at"): to_micros(WHEN),
}


def whose(table: sa.Table, said: Any, member: int, person: int, other: int) -> dict[str, Any]:
    """The row is this member's, and mentions the other wherever it can."""
    first, *mentions = said.of
    mine = member if said.by == "member" else person
    return {first: mine, **dict.fromkeys(mentions, other)}


async def fill(town: Community) -> None:
    """A row of hers in each table, mentioning him, and one of his, mentioning her."""
    parents = [
        Change(
            "INSERT INTO web_chats (id, kind, title, created_at) VALUES (700001, 'group', '', 1)"
        ),
        Change(
            "INSERT INTO web_topics (id, chat_id, member_id, closed)"
            " VALUES (700002, 700001, 5, FALSE)"
        ),
    ]
    rows, id = [], 910_000
    order = {table.name: n for n, (table, _) in enumerate(privacy.tables())}
    for table, said in sorted(privacy.personal_tables(), key=lambda one: order[one[0].name]):
        for salt, member, person, other in (
            ("violet", HER, PERSON, HIM),
            ("amber", HIM, OTHER_PERSON, HER),
        ):
            id += 1
            people = whose(table, said, member, person, other)
            if table.name == "identities":
                people["ref"] = str(person)
            rows.append(filled(table, id, people, salt))
    await town.house.database.writer.settle([*parents, *rows])


async def test_forgetting_empties_every_table_of_one_member_and_of_nobody_else(
    town: Community,
) -> None:
    await fill(town)
    before = await dump(town)
    await town.house.database.writer.settle(privacy.forgotten(HER))
    after = await dump(town)
    for table, said in privacy.personal_tables():
        ids = (HER, HIM) if said.by == "member" else (PERSON, OTHER_PERSON)
        hers, his = (
            [[row for row in rows[table.name] if row[said.of[0]] == id] for rows in (before, after)]
            for id in ids
        )
        assert (len(hers[0]), len(hers[1])) == (1, 0), table.name
        assert len(his[0]) == len(his[1]) == 1, table.name
        assert all(his[1][0][mention] is None for mention in said.of[1:]), table.name
        kept = len(after[table.name]) - len(before[table.name])
        assert kept == (-1 if said.forget == "delete" else 0), table.name
        if said.forget == "unname":
            unnamed = [row for row in after[table.name] if row[said.of[0]] is None]
            assert all(unnamed[0][trace] is None for trace in said.traces), table.name
    left = json.dumps(after, default=str)
    assert str(HER) not in left
    assert str(PERSON) not in left


async def test_a_person_on_the_web_stays_while_they_are_somebody_elsewhere(
    town: Community,
) -> None:
    await fill(town)
    elsewhere = Member(id=900_003, community=77, channel="web", ref=str(PERSON))
    await town.house.database.writer.settle(
        [*members.arrived(elsewhere, identity=900_004, at=WHEN), *privacy.forgotten(HER)]
    )
    people = [row["id"] for row in (await dump(town))["web_people"]]
    assert sorted(people) == [PERSON, OTHER_PERSON]
    await town.house.database.writer.settle(privacy.forgotten(elsewhere.id))
    assert [row["id"] for row in (await dump(town))["web_people"]] == [OTHER_PERSON]


async def test_the_copy_holds_what_is_theirs_opened_and_nothing_of_others(
    town: Community,
) -> None:
    await fill(town)
    copy = await privacy.export(town.house.database.reader, HER)
    declared = {table.name for table, said in privacy.personal_tables() if said.export}
    assert copy.keys() == declared
    assert all(len(rows) == 1 for rows in copy.values())
    assert copy["interactions"][0]["body"] == {"text": "sealed violet"}
    assert copy["members"][0]["joined_at"] == "2025-03-03T00:00:00+00:00"
    assert copy["members"][0]["reminders"] is False
    assert "amber" not in json.dumps(copy)


# ---------------------------------------------------------------- as members live it


async def test_what_is_kept_is_told_in_a_few_lines(
    town: Community, ana: Resident, mei: Resident
) -> None:
    await ana.says("/privacy")
    assert "kept for 365 days" in ana.last.text
    assert ana.last.buttons == ["privacy.export", "privacy.ask"]
    await mei.says("/privacy", group=True)
    assert "保存 365 天" in town.group[-1].text
    assert town.group[-1].buttons == [
        f"https://street.example/innkeeper?start=privacy_here-{town.known.id}"
    ]


async def test_a_copy_is_a_file_and_for_private_eyes(town: Community, ana: Resident) -> None:
    await ana.says("/checkin")
    await ana.says("my secret")
    for ask in ("/export", "/export"):
        await ana.says(ask)
        assert ana.last.said.file is not None
        name, contents = ana.last.said.file
        copy = json.loads(contents)
        assert name == "your-data.json"
        assert copy["members"][0]["name"] == "Ana"
        assert "my secret" in [(row["body"] or {}).get("text") for row in copy["interactions"]]
    await ana.says("/export", group=True)
    assert (town.group[-1].key, town.group[-1].said.file) == ("privacy.in_private", None)


async def test_forgetting_is_asked_twice_and_can_be_declined(ana: Resident) -> None:
    await ana.says("/forget")
    assert ana.last.key == "privacy.sure"
    assert ana.last.buttons[1] == "privacy.stay"
    await ana.presses("privacy.stay")
    assert ana.last.key == "privacy.stayed"
    assert (await ana.known()).name == "Ana"


async def test_whoever_was_forgotten_is_a_stranger_again(town: Community, ana: Resident) -> None:
    await ana.says("/checkin")
    await ana.says("Can I return tea?")
    before = await ana.known()
    await ana.says("/forget")
    yes = ana.last.buttons[0]
    await ana.presses(yes)
    assert ana.last.key == "privacy.forgotten"
    for table, said in privacy.personal_tables():
        rows = (await dump(town))[table.name]
        assert [row for row in rows if before.id in [row[name] for name in said.of]] == []
    left = [row for rows in (await dump(town)).values() for row in rows if ana.home in str(row)]
    assert [(row["kind"], row["direction"], row["member_id"]) for row in left] in (
        [],
        [("privacy", "out", None)],  # that it was confirmed, to nobody known
    )
    facts = (await dump(town))["facts"]
    assert {row["name"] for row in facts} >= {"checked_in", "asked", "answered"}

    await ana.presses(yes)
    assert ana.last.key == "privacy.forgotten_before"
    await ana.says("/checkin")
    after = await ana.known()
    assert after.id != before.id
    assert (after.streak, after.status, after.messages) == (1, "visitor", 1)


async def test_only_the_one_who_was_asked_is_forgotten(
    town: Community, ana: Resident, mei: Resident
) -> None:
    await ana.says("/forget")
    yes = ana.last.buttons[0]
    await mei.presses(yes)
    assert mei.last.key == "privacy.forgotten_before"
    await ana.presses(yes, group=True)
    assert town.group[-1].key == "privacy.in_private"
    await ana.says("/forget", group=True)
    assert town.group[-1].key == "privacy.in_private"
    assert ((await ana.known()).name, (await mei.known()).name) == ("Ana", "梅")


async def test_staff_are_asked_to_delete_the_topic_and_nothing_is_left_of_the_case(
    town: Community, ana: Resident
) -> None:
    lin = await town.staff("Lin")
    await ana.says("/human my address is 5 Quay Street")
    topic = await town.topic(ana)
    await lin.answers(ana, "Thank you, Ana from Quay Street")
    await ana.says("/forget")
    await ana.presses(ana.last.buttons[0])
    assert (town.desk[-1].key, town.desk[-1].to.thread) == ("privacy.topic_forgotten", topic)
    rows = await dump(town)
    assert (rows["cases"], rows["threads"]) == ([], [])
    await ana.says("hello")
    assert ana.last.key == "faq.greeting"
    where = Where(id="desk-1", private=False, thread=topic)
    await town.happens(lin._event(Kind.SAID, where=where, text="Are you still there?"))
    assert ana.last.key == "faq.greeting"


async def test_the_cases_of_staff_who_are_forgotten_are_free_for_others(
    town: Community, ana: Resident
) -> None:
    lin, bo = await town.staff("Lin"), await town.staff("Bo")
    await ana.says("/human")
    await lin.answers(ana, "Hello")
    await lin.says("/forget")
    await lin.presses(lin.last.buttons[0])
    case = await case_of(ana)
    assert case is not None
    assert case.waiting
    await bo.answers(ana, "Bo here, go on")
    assert ana.last.text == "👤 Bo here, go on"


async def test_an_owner_is_warned_and_may_go(town: Community) -> None:
    owner = await town.owner("Olga")
    await owner.says("/forget")
    assert owner.last.key == "privacy.sure_owner"
    await owner.presses(owner.last.buttons[0])
    assert await town.house.owner_link() is not None


@pytest.mark.parametrize("waits", ["/checkin", "/human"])
async def test_nothing_that_was_due_later_is_said_to_whoever_was_forgotten(
    town: Community, ana: Resident, waits: str
) -> None:
    await ana.says(waits)
    await ana.says("/forget")
    await ana.presses(ana.last.buttons[0])
    heard = len(ana.inbox)
    await town.passes(days=2)
    assert len(ana.inbox) == heard
