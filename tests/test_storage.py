"""What is remembered: sealed cells, commits that many turns share, ids that never repeat."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage import database
from storage.database import BadURL, Database
from storage.ids import Ids
from storage.sealing import BadKey, Seal, Sealed, Unsealable, fresh_key
from storage.sqlite_book import Book, too_slow
from storage.writer import Change, Closed, Miss

KEY = fresh_key()
COUNT_FAR = """
    INSERT INTO tokens (digest, purpose, expires_at)
    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 300000)
    SELECT max(i), 'test', 0 FROM n
"""
ADD = "INSERT INTO tokens (digest, purpose, expires_at) VALUES (:d, 'test', 0)"


@pytest.fixture
async def opened(url: str) -> AsyncIterator[Database]:
    one = await database.opened(url, Seal.of(KEY))
    yield one
    await one.close()


def add(digest: str) -> Change:
    return Change(ADD, {"d": digest}, rows=1)


async def digests(opened: Database) -> list[str]:
    rows = await opened.reader.rows("SELECT digest FROM tokens ORDER BY 1")
    return [row["digest"] for row in rows]


async def test_all_changes_of_a_turn_are_kept_or_none(opened: Database) -> None:
    missing = Change("UPDATE tokens SET purpose = 'x' WHERE digest = 'nobody'", rows=1)
    with pytest.raises(Miss):
        await opened.writer.settle([add("a"), missing])
    assert await digests(opened) == []


async def test_a_miss_undoes_one_turn_alone(opened: Database) -> None:
    await opened.writer.settle([add("taken")])
    turns = [opened.writer.settle([add(one)]) for one in ("a", "taken", "b", "taken", "c")]
    outcomes = await asyncio.gather(*turns, return_exceptions=True)
    assert [type(one).__name__ for one in outcomes] == ["list", "Miss", "list", "Miss", "list"]
    assert await digests(opened) == ["a", "b", "c", "taken"]


async def test_a_statement_that_is_wrong_spoils_nobody_elses_turn(opened: Database) -> None:
    turns = [
        opened.writer.settle([add("a")]),
        opened.writer.settle([Change(ADD, {"x": 1})]),
        opened.writer.settle([add("b")]),
    ]
    outcomes = await asyncio.gather(*turns, return_exceptions=True)
    assert isinstance(outcomes[1], Exception)
    assert not isinstance(outcomes[1], Miss)
    assert await digests(opened) == ["a", "b"]


async def test_many_turns_settled_at_once_are_all_kept(opened: Database) -> None:
    await asyncio.gather(*(opened.writer.settle([add(f"{n:04}")]) for n in range(1000)))
    assert await digests(opened) == [f"{n:04}" for n in range(1000)]


async def test_who_waits_for_somebody_elses_lock_keeps_nobody_else_waiting(
    migrated_file: Path, tmp_path: Path
) -> None:
    path = tmp_path / "town.sqlite"
    shutil.copy(migrated_file, path)
    opened = await database.opened(f"sqlite:///{path}", Seal.of(KEY))
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    async with asyncio.TaskGroup() as tasks:
        turn = tasks.create_task(opened.writer.settle([add("a")]))
        for _ in range(100):
            await asyncio.sleep(0)
        assert not turn.done()
        assert await digests(opened) == []
        other.execute("ROLLBACK")
    assert await digests(opened) == ["a"]
    other.close()
    await opened.close()


async def test_what_takes_long_is_not_done_in_a_hurry(migrated_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "town.sqlite"
    shutil.copy(migrated_file, path)
    book = Book(path, Seal.of(KEY), patience=0)
    with pytest.raises(sqlite3.OperationalError) as raised:
        book.applied([[add("a")], [Change(COUNT_FAR)]], hurried=True)
    assert too_slow(raised.value)
    book.undo()
    assert book.committed(book.applied([[Change(COUNT_FAR)]], hurried=False)) == [[1]]
    book.close()
    opened = await database.opened(f"sqlite:///{path}", Seal.of(KEY))
    assert await digests(opened) == ["300000"]
    await asyncio.gather(
        opened.writer.settle([add("a")]),
        opened.writer.settle([Change("DELETE FROM tokens"), Change(COUNT_FAR), add("b")]),
    )
    assert await digests(opened) == ["300000", "b"]
    await opened.close()


async def test_a_closed_writer_takes_nothing_and_has_kept_everything(url: str) -> None:
    one = await database.opened(url, Seal.of(KEY))
    await asyncio.gather(one.writer.settle([add("last")]), one.writer.close())
    with pytest.raises(Closed):
        await one.writer.settle([add("late")])
    assert await digests(one) == ["last"]
    await one.reader.close()


async def test_ids_rise_and_never_repeat_between_processes(opened: Database) -> None:
    first, second = Ids(opened.writer), Ids(opened.writer)
    taken = []
    for _ in range(50):
        for ids in (first, second):
            await ids.refill(60)
            taken += [ids.take() for _ in range(60)]
    assert len(set(taken)) == len(taken)


async def test_text_is_sealed_by_the_writer_and_opened_by_the_reader(opened: Database) -> None:
    sealed = Change(
        """
        INSERT INTO quarantine (id, channel, key, reason, attempts, at, payload)
        VALUES (5, 'c', 'k', 'r', 1, 0, :payload)
        """,
        {"payload": Sealed("quarantine", "payload", 5, "私密的话")},
    )
    await opened.writer.settle([sealed])
    cell = await opened.reader.value("SELECT payload FROM quarantine")
    assert "私密的话".encode() not in bytes(cell)
    assert opened.reader.open("quarantine", "payload", 5, cell) == "私密的话"
    with pytest.raises(Unsealable):
        opened.reader.open("quarantine", "payload", 6, cell)


@given(st.text(), st.integers(1, 2**62))
def test_what_was_sealed_opens_in_its_own_cell_only(text: str, row: int) -> None:
    seal = Seal.of(KEY)
    cell = seal.seal(Sealed("members", "name", row, text))
    assert seal.open("members", "name", row, cell) == text.encode("utf-8", "replace").decode()
    for elsewhere in (("members", "name", row + 1), ("members", "note", row), ("x", "name", row)):
        with pytest.raises(Unsealable):
            seal.open(*elsewhere, cell)


def test_a_new_key_still_opens_what_the_old_one_sealed() -> None:
    old, new = fresh_key(), fresh_key()
    cell = Seal.of(old).seal(Sealed("members", "name", 1, "Ana"))
    both = Seal.of(f"{new},{old}")
    assert both.open("members", "name", 1, cell) == "Ana"
    assert both.seal(Sealed("members", "name", 1, "Ana"))[:4] == Seal.of(new).current
    with pytest.raises(Unsealable):
        Seal.of(new).open("members", "name", 1, cell)


@pytest.mark.parametrize("key", ["", "short", "a" * 44, "!" * 44])
def test_a_key_that_is_none_is_refused(key: str) -> None:
    with pytest.raises(BadKey):
        Seal.of(key)


@pytest.mark.parametrize("url", ["mysql://x/y", "nonsense", "sqlite:///", "sqlite:///:memory:"])
def test_a_url_that_names_no_database_is_refused(url: str) -> None:
    with pytest.raises(BadURL):
        database.sqlite_path(url) if url.startswith("sqlite:") else database.is_sqlite(url)


async def test_text_that_no_database_takes_is_a_fault_of_its_own_turn(opened: Database) -> None:
    """A lone surrogate once ended the writer's thread, and with it everything."""
    turns = [opened.writer.settle([add("a")]), opened.writer.settle([add("\ud800")])]
    outcomes = await asyncio.gather(*turns, return_exceptions=True)
    assert isinstance(outcomes[1], Exception)
    await opened.writer.settle([add("b")])
    assert await digests(opened) == ["a", "b"]
