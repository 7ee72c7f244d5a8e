"""The crew: each share and duty is one process's at a time, and never nobody's for long."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import asyncpg
import pytest

from storage.crew import Shared
from storage.database import opened
from storage.pending import ALL
from storage.sealing import Seal, fresh_key
from storage.writer import Change, Unavailable
from tests.postgres import Server


class Hands:
    """Remembers what is its own."""

    def __init__(self) -> None:
        self.shares: set[int] = set()
        self.duties: set[str] = set()
        self.news: list[str] = []
        self.heard = asyncio.Event()

    async def take(self, shares: frozenset[int]) -> None:
        assert not self.shares & shares
        self.shares |= shares

    async def give(self, shares: frozenset[int]) -> None:
        assert self.shares >= shares
        self.shares -= shares

    async def begin(self, duty: str) -> None:
        self.duties.add(duty)

    async def end(self, duty: str) -> None:
        self.duties.discard(duty)

    def hear(self, news: Sequence[str]) -> None:
        self.news += news
        self.heard.set()


class Hand(Shared):
    """A place in the crew whose looks the test takes."""

    def __init__(self, url: str, *, works: bool = True, own: int = 0) -> None:
        self.hands = Hands()
        super().__init__(url, self.hands, works=works, duties=["lead", "ear"], own=lambda: own)


@pytest.fixture
async def empty(postgres: Server) -> str:
    return await postgres.create()


async def looks(*crew: Hand) -> None:
    """Everybody looks until nothing is left to move."""
    for _ in range(4):
        for one in crew:
            await one.looked()


def divided(*crew: Hand) -> list[int]:
    """How many shares each has; all of them are somebody's, and none two people's."""
    shares = [one.hands.shares for one in crew]
    assert set().union(*shares) == ALL
    assert sum(map(len, shares)) == len(ALL)
    return sorted(map(len, shares))


async def cut_off_all(url: str) -> None:
    """The server ends every connection but the one it is asked on."""
    connection = await asyncpg.connect(url)
    await connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    await connection.close()


async def test_one_who_is_alone_has_everything(empty: str) -> None:
    ann = Hand(empty)
    await ann.join()
    assert ann.hands.shares == ALL
    assert ann.hands.duties == {"lead", "ear"}
    await ann.leave()


async def test_whoever_comes_gets_a_fair_part_and_leaves_it_to_the_others(empty: str) -> None:
    ann, ben, cho = Hand(empty), Hand(empty), Hand(empty)
    await ann.join()
    await ben.join()
    await looks(ann, ben)
    assert divided(ann, ben) == [32, 32]
    await cho.join()
    await looks(ann, ben, cho)
    assert divided(ann, ben, cho) == [20, 22, 22]
    assert [one.hands.duties for one in (ann, ben, cho)] == [{"lead", "ear"}, set(), set()]
    await ann.leave()  # as a process that ends does, in good order or not
    await looks(ben, cho)
    assert divided(ben, cho) == [32, 32]
    assert ben.hands.duties | cho.hands.duties == {"lead", "ear"}
    await ben.leave()
    await cho.leave()


async def test_who_takes_no_turns_gets_no_lanes(empty: str) -> None:
    web, worker = Hand(empty, works=False), Hand(empty)
    await web.join()
    await worker.join()
    await looks(web, worker)
    assert web.hands.shares == set()
    assert worker.hands.shares == ALL
    assert (web.size, worker.size) == (1, 1)
    await web.leave()
    await worker.leave()


async def test_who_is_cut_off_has_nothing_until_the_server_answers(empty: str) -> None:
    ann, ben = Hand(empty), Hand(empty)
    await ann.join()
    running = asyncio.ensure_future(ann.run())  # noqa: TID251 - cancelled below
    await cut_off_all(empty)
    await ben.join()
    async with asyncio.timeout(30):
        while not len(ann.hands.shares) == len(ben.hands.shares) == 32:
            await ben.looked()
    assert divided(ann, ben) == [32, 32]
    assert ann.hands.duties | ben.hands.duties == {"lead", "ear"}
    assert not ann.hands.duties & ben.hands.duties
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await ann.leave()
    await ben.leave()


async def test_a_server_that_is_away_is_told_as_such() -> None:
    with pytest.raises(Unavailable):
        await Hand("postgresql://127.0.0.1:1/nothing").join()


async def test_others_hear_what_was_written_down_and_who_wrote_it_does_not(empty: str) -> None:
    database = await opened(empty, Seal.of(fresh_key()))
    database.writer.rings = True
    await database.writer.settle([Change("SELECT 1")])
    ann, ben = Hand(empty, own=database.writer.pid), Hand(empty)
    await ann.join()
    await ben.join()
    for hands in (ann.hands, ben.hands):
        assert hands.news == ["directory"]  # which may be another than when they last looked
        hands.news.clear()
        hands.heard.clear()
    await database.writer.settle(
        [Change("SELECT 1", wakes="in:3:17"), Change("SELECT 1", shared=True)]
    )
    await asyncio.wait_for(ben.hands.heard.wait(), 30)
    assert ben.hands.news == ["directory", "in:3:17"]
    assert ann.hands.news == []
    await ann.leave()
    await ben.leave()
    await database.close()
