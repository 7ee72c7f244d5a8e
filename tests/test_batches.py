"""Many turns at once: what they come to together is what they come to one after the other."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from storage import batches, database
from storage.batches import waves
from storage.database import Database
from storage.sealing import Seal, fresh_key
from storage.writer import Change, Miss, Unavailable
from tests.postgres import Server

KEY = fresh_key()

# Statements of every form that we have, on one small table.
ADDED = "INSERT INTO tokens (digest, purpose, expires_at) VALUES (:d, 'new', :n)"
ADDED_ONCE = f"{ADDED} ON CONFLICT (digest) DO NOTHING"
PUT = f"{ADDED} ON CONFLICT (digest) DO UPDATE SET purpose = excluded.purpose || '+'"
USED = "UPDATE tokens SET used_at = :n WHERE digest = :d AND used_at IS NULL"
COUNTED = "UPDATE tokens SET expires_at = expires_at * 2 + :n WHERE digest = :d"
DROPPED = "DELETE FROM tokens WHERE digest = :d"
DROPPED_USED = "DELETE FROM tokens WHERE digest = :d AND used_at IS NOT NULL"
RENAMED = "UPDATE tokens SET purpose = :d WHERE purpose = 'new' AND expires_at < :n"
COPIED = """
    INSERT INTO tokens (digest, purpose, expires_at)
    SELECT :d || '2', purpose, :n FROM tokens WHERE digest = :d
"""
FORMS = (
    ADDED, ADDED_ONCE, PUT, USED, COUNTED, DROPPED, DROPPED_USED, RENAMED, COPIED,
)  # fmt: skip
BEFORE = [("a", "old", 10, None), ("b", "old", 20, 5), ("c", "new", 30, None)]
COLUMNS = ("digest", "purpose", "expires_at", "used_at")
ALL = "SELECT digest, purpose, expires_at, used_at FROM tokens ORDER BY digest"

Turn = list[Change]
Outcome = tuple[list[Any], list[bool]]  # the table afterwards, and which turns missed

shapes = st.lists(st.tuples(st.sampled_from(FORMS), st.booleans()), min_size=1, max_size=3)


@st.composite
def turns(draw: st.DrawFn) -> list[Turn]:
    """Up to four turns of one or two shapes, about rows that some of them share."""
    found = draw(st.lists(shapes, min_size=1, max_size=2))
    return [
        [
            Change(
                sql,
                {"d": draw(st.sampled_from("abcd")), "n": draw(st.integers(0, 40))},
                rows=1 if must else None,
            )
            for sql, must in draw(st.sampled_from(found))
        ]
        for _ in range(draw(st.integers(2, 4)))
    ]


def one(sql: str, digest: str, n: int = 1, rows: int | None = None) -> Turn:
    return [Change(sql, {"d": digest, "n": n}, rows=rows)]


@pytest.fixture
async def opened(url: str) -> AsyncIterator[Database]:
    opened = await database.opened(url, Seal.of(KEY))
    yield opened
    await opened.close()


@given(turns())
@example([one(COUNTED, "a"), one(COUNTED, "a"), one(COUNTED, "a", 3)])  # one row, three times
@example([one(USED, "a", rows=1), one(USED, "a", rows=1), one(USED, "c", rows=1)])
@example([one(USED, "a") + one(DROPPED, "b"), one(USED, "b") + one(DROPPED, "a")])
@example([one(ADDED_ONCE, "d", 1), one(ADDED_ONCE, "d", 2), one(ADDED_ONCE, "a", 3)])
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
async def test_turns_settled_at_once_come_to_what_they_would_in_some_order(
    opened: Database, migrated_file: Path, turns: list[Turn]
) -> None:
    await _begin(opened)
    outcomes = await asyncio.gather(
        *(opened.writer.settle(turn) for turn in turns), return_exceptions=True
    )
    assert all(isinstance(outcome, list | Miss) for outcome in outcomes)
    rows = await opened.reader.rows(ALL)
    table = [tuple(row[name] for name in COLUMNS) for row in rows]
    missed = [isinstance(outcome, Miss) for outcome in outcomes]
    assert (table, missed) in list(_in_every_order(migrated_file, turns))


async def _begin(opened: Database) -> None:
    await opened.writer.settle(
        [Change("DELETE FROM tokens")]
        + [
            Change(
                """
                INSERT INTO tokens (digest, purpose, expires_at, used_at)
                VALUES (:d, :purpose, :expires, :used)
                """,
                dict(zip(("d", "purpose", "expires", "used"), row, strict=True)),
            )
            for row in BEFORE
        ]
    )


def _in_every_order(template: Path, turns: Sequence[Turn]) -> Iterable[Outcome]:
    """What the turns come to, applied one after the other by nothing but sqlite3."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    source = sqlite3.connect(template)
    source.backup(connection)
    source.close()
    connection.executemany("INSERT INTO tokens VALUES (?, ?, ?, ?)", BEFORE)
    for order in itertools.permutations(range(len(turns))):
        connection.execute("BEGIN")
        missed = {n: not _applied(connection, turns[n]) for n in order}
        table = connection.execute(ALL).fetchall()
        connection.execute("ROLLBACK")
        yield table, [missed[n] for n in range(len(turns))]
    connection.close()


def _applied(connection: sqlite3.Connection, turn: Turn) -> bool:
    connection.execute("SAVEPOINT turn")
    try:
        for change in turn:
            rows = connection.execute(change.sql, change.values).rowcount
            if change.rows not in (None, rows):
                raise Miss
    except (Miss, sqlite3.IntegrityError):
        connection.execute("ROLLBACK TO turn")
        return False
    finally:
        connection.execute("RELEASE turn")
    return True


# ---------------------------------------------------------------- what can be done for many


@pytest.mark.parametrize(
    ("sql", "many"),
    [
        (
            "INSERT INTO t (a, b, c) VALUES (:a, 'x', coalesce(:n, 0)) ON CONFLICT (a) DO NOTHING",
            "INSERT INTO t (a, b, c) SELECT v.v_a, 'x', coalesce(v.v_n, 0)"
            " FROM unnest($1::int8[], $2::text[]) AS v (v_a, v_n) ON CONFLICT (a) DO NOTHING",
        ),
        (
            "UPDATE t SET b = b + :n, c = CASE WHEN b = 1 THEN :n END WHERE a = :a AND b > :n",
            "UPDATE t SET b = b + v.v_n, c = CASE WHEN b = 1 THEN v.v_n END"
            " FROM unnest($1::int8[], $2::text[]) AS v (v_a, v_n) WHERE a = v.v_a AND b > v.v_n",
        ),
        (
            "DELETE FROM t WHERE a = :a AND (b = :n OR c IS NULL)",
            "DELETE FROM t USING unnest($1::int8[], $2::text[]) AS v (v_a, v_n)"
            " WHERE a = v.v_a AND (b = v.v_n OR c IS NULL)",
        ),
    ],
)
def test_a_statement_for_one_row_is_made_one_for_many(sql: str, many: str) -> None:
    single = batches.single(sql)
    assert single is not None
    assert single.table == "t"
    made = single.for_many({"a": "int8", "n": "text"}, [["a"], ["d", "e"]])
    assert made is not None
    assert made.sql.strip() == many
    assert list(made.names({"a": 5, "n": "x"})) == [("t a", 5)]
    assert list(made.names({"a": None, "n": "x"})) == []


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM t WHERE b = :a",  # any number of rows
        "DELETE FROM t WHERE a < :a",
        "DELETE FROM t WHERE a = :a OR b = 1",
        "DELETE FROM t WHERE (a = :a AND b = 1) OR TRUE",
        "DELETE FROM t WHERE CASE WHEN b = 1 AND a = :a AND c = 2 THEN TRUE ELSE TRUE END",
        "DELETE FROM t WHERE a = 1",  # the same row for all
        "DELETE FROM t WHERE a = :a AND EXISTS (SELECT 1 FROM t WHERE a = :b)",  # others' rows
        "UPDATE t SET b = (SELECT max(b) FROM t) WHERE a = :a",
        "UPDATE t SET a = :b WHERE a = :a",  # the row is another's afterwards
        "UPDATE t SET b = 1 WHERE a = :a RETURNING b",  # somebody wants to know
        "INSERT INTO t (a, b) VALUES (:a, 1), (:b, 2)",
        "INSERT INTO t (b, c) VALUES (:a, 1)",  # a row that the values do not name
        "INSERT INTO t (a, b) SELECT :a, b FROM t",
        "INSERT INTO t (a, b) VALUES (:a, 1) ON CONFLICT (a) DO UPDATE SET b = :b",
        "INSERT INTO t (a, b) VALUES (:a, 1) ON CONFLICT (b) DO UPDATE SET a = excluded.a",
        "INSERT INTO t (a, b) VALUES (:a, '(, :b')",
        "VACUUM",
    ],
)
def test_what_might_touch_other_rows_is_left_to_one_turn_at_a_time(sql: str) -> None:
    single = batches.single(sql)
    assert single is None or single.for_many({"a": "int8", "b": "int8"}, [["a"]]) is None


def test_turns_about_the_same_row_wait_for_each_other() -> None:
    turns = [{"a", "b"}, {"c"}, {"b", "c"}, {"a"}, {"d"}]
    parted = waves(turns, lambda turn: [("row", name) for name in sorted(turn)])
    assert parted == [[{"a", "b"}, {"c"}, {"d"}], [{"a"}, {"b", "c"}]]


# ---------------------------------------------------------------- several on one server


@pytest.fixture
async def served(postgres: Server, migrated_url: str) -> AsyncIterator[Database]:
    """A database on PostgreSQL."""
    url = await postgres.create(template=migrated_url)
    opened = await database.opened(url, Seal.of(KEY))
    yield opened
    await opened.close()
    await postgres.drop(url)


async def obstructed(opened: Database, *, code: str, times: int) -> None:
    """The server answers that many statements with this error."""
    connection = await asyncpg.connect(opened.url)
    await connection.execute(f"""
        CREATE SEQUENCE tried;
        CREATE FUNCTION obstruct() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF nextval('tried') <= {times} THEN
                RAISE EXCEPTION 'in the way' USING ERRCODE = '{code}';
            END IF;
            RETURN NULL;
        END $$;
        CREATE TRIGGER obstruct AFTER INSERT ON tokens
            FOR EACH STATEMENT EXECUTE FUNCTION obstruct();
    """)
    await connection.close()


# a deadlock, a serialization failure, a lock that others keep for long
@pytest.mark.parametrize("code", ["40P01", "40001", "55P03"])
@pytest.mark.parametrize("times", [1, 12])
async def test_processes_that_get_in_each_others_way_begin_again(
    served: Database, code: str, times: int
) -> None:
    await obstructed(served, code=code, times=times)
    await asyncio.gather(*(served.writer.settle(one(ADDED, name, rows=1)) for name in "abc"))
    assert await served.reader.value("SELECT count(*) FROM tokens") == 3
    assert served.writer.health.wrong == ""


async def test_a_server_that_cannot_write_is_no_fault_of_a_turn(served: Database) -> None:
    await obstructed(served, code="53100", times=1)  # the disk is full
    turns = [served.writer.settle(one(ADDED, name, rows=1)) for name in "abc"]
    outcomes = await asyncio.gather(*turns, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {Unavailable}
    assert served.writer.health.wrong
    await served.writer.settle(one(ADDED, "a", rows=1))
    assert served.writer.health.wrong == ""


# ---------------------------------------------------------------- questions asked at once

NUMBERS = "SELECT n, :word || n AS said FROM generate_series(1, :most) n ORDER BY n DESC"


async def test_questions_asked_at_once_are_answered_as_if_asked_alone(served: Database) -> None:
    def asked() -> list[Any]:
        db = served.reader
        return [
            db.rows(NUMBERS, word="a", most=3),
            db.rows(NUMBERS, word="b", most=0),
            db.rows(NUMBERS, word="c", most=2),
            db.row(NUMBERS, word="a", most=3),
            db.row(NUMBERS, word="b", most=0),
            db.value(NUMBERS, word="c", most=30),
            db.value(NUMBERS, word="c", most=0),
            db.rows("SELECT 1 AS a, 2 AS a"),
            db.rows("SELECT 1 AS a, 2 AS a"),
        ]

    alone = [await question for question in asked()]
    together = await asyncio.gather(*asked())
    assert [row["said"] for row in alone[0]] == ["a3", "a2", "a1"]
    assert [_bare(found) for found in together] == [_bare(found) for found in alone]


def _bare(found: Any) -> Any:
    """What was answered, without what else came along with it."""
    if isinstance(found, list):
        return [_bare(row) for row in found]
    if isinstance(found, asyncpg.Record):
        return {key: value for key, value in found.items() if not key.startswith("v_")}
    return found


async def test_a_question_that_cannot_be_asked_spoils_nobody_elses(served: Database) -> None:
    words: tuple[Any, ...] = ("a", "\ud800", "b")
    asked = [served.reader.value(NUMBERS + " LIMIT 1 OFFSET 1", word=w, most=2) for w in words]
    found = await asyncio.gather(*asked, return_exceptions=True)
    assert [found[0], found[2]] == [1, 1]
    assert isinstance(found[1], asyncpg.DataError)
