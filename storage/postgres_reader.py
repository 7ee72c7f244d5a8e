"""PostgreSQL's reader: a pool, on which questions asked at once are asked together."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
from tenacity import (
    AsyncRetrying,
    retry_if_exception_type,
    stop_after_delay,
    wait_random_exponential,
)

from storage.batches import columns, numbered, questions
from storage.sealing import Seal
from storage.writer import Row, Unavailable

READERS = 8
RECONNECT_SECONDS = 30.0
STATEMENTS = 500  # that a connection keeps prepared
PAGE = 200  # questions in one query at the most

GONE = (OSError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError)


@dataclass(frozen=True, slots=True)
class Question:
    """Somebody waits for the answer to this."""

    values: Mapping[str, Any]
    answer: asyncio.Future[Sequence[Row]]


class PostgresReader:
    """Reads on a pool.  Questions that differ in their values only, asked in one tick of the loop,
    are one query: that a commit was shared by many turns is what makes them ask at once.

    Raises `Unavailable`.
    """

    def __init__(self, pool: asyncpg.Pool, seal: Seal) -> None:
        self._pool = pool
        self._asked: dict[tuple[str, bool], list[Question]] = {}
        self._together: dict[tuple[str, bool], str] = {}
        self._answering: set[asyncio.Task[None]] = set()
        self.open = seal.open

    async def rows(self, sql: str, **values: Any) -> Sequence[Row]:
        return await self._ask(sql, values, one=False)

    async def row(self, sql: str, **values: Any) -> Row | None:
        found = await self._ask(sql, values, one=True)
        return found[0] if found else None

    async def value(self, sql: str, **values: Any) -> Any:
        found: Any = await self._ask(sql, values, one=True)
        return found[0][0] if found else None

    async def close(self) -> None:
        if self._answering:
            await asyncio.wait(self._answering)
        await self._pool.close()

    async def _ask(self, sql: str, values: Mapping[str, Any], *, one: bool) -> Sequence[Row]:
        loop = asyncio.get_running_loop()
        question = Question(values, loop.create_future())
        alike = self._asked.setdefault((sql, one), [])
        if not alike:
            loop.call_soon(self._begin, sql, one)
        alike.append(question)
        return await question.answer

    def _begin(self, sql: str, one: bool) -> None:
        """Whoever had the same question in this tick has asked it by now."""
        asked = self._asked.pop((sql, one))
        for start in range(0, len(asked), PAGE):
            work = self._answer(sql, asked[start : start + PAGE], one)
            task = asyncio.create_task(work)  # noqa: TID251 - awaited in `close`
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)

    async def _answer(self, sql: str, asked: list[Question], one: bool) -> None:
        try:
            if len(asked) > 1 and sql.lstrip().startswith("SELECT"):
                found = await self._fetch_many(sql, asked, one)
            else:
                found = [await self._fetch(sql, question, one) for question in asked]
        except Exception as error:
            if len(asked) > 1 and not isinstance(error, Unavailable):
                # One of them cannot be asked; the others can.
                for question in asked:
                    await self._answer(sql, [question], one)
                return
            found = [error for _ in asked]
        for question, answer in zip(asked, found, strict=True):
            if question.answer.done():
                continue  # whoever asked has been cancelled
            if isinstance(answer, Exception):
                question.answer.set_exception(answer)
            else:
                question.answer.set_result(answer)

    async def _fetch(self, sql: str, question: Question, one: bool) -> Any:
        statement, names = numbered(sql)
        values = [question.values[name] for name in names]
        with reached():
            if not one:
                return await self._pool.fetch(statement, *values)
            row = await self._pool.fetchrow(statement, *values)
        return [] if row is None else [row]

    async def _fetch_many(self, sql: str, asked: list[Question], one: bool) -> list[Any]:
        statement, names = numbered(sql)
        if not names:
            return [await self._fetch(sql, asked[0], one)] * len(asked)
        values = columns([question.values for question in asked], names)
        with reached():
            async with self._pool.acquire() as connection:
                together = self._together.get((sql, one))
                if together is None:
                    blanks = dict(zip(names, await types(connection, statement), strict=True))
                    self._together[sql, one] = together = questions(sql, blanks, one=one)
                rows = await connection.fetch(together, *values)
        answers: list[list[Row]] = [[] for _ in asked]
        for row in rows:
            answers[row["v_n"] - 1].append(row)
        return answers


@contextmanager
def reached() -> Iterator[None]:
    """Whatever means that the server is away is no fault of who asks."""
    try:
        yield
    except (*GONE, asyncpg.OperatorInterventionError, asyncpg.InsufficientResourcesError) as error:
        raise Unavailable(str(error)) from error


async def connect(url: str) -> asyncpg.Connection:
    """A connection, tried again for half a minute while the server is away."""
    async for attempt in AsyncRetrying(
        retry=retry_if_exception_type((OSError, asyncpg.CannotConnectNowError)),
        wait=wait_random_exponential(multiplier=0.1, max=5),  # not every process at once
        stop=stop_after_delay(RECONNECT_SECONDS),
        reraise=True,
    ):
        with attempt:
            connection: asyncpg.Connection = await asyncpg.connect(
                url, statement_cache_size=STATEMENTS
            )
    return connection


async def pool(url: str) -> asyncpg.Pool:
    """The readers' connections, tried again for half a minute while the server is away."""
    (await connect(url)).terminate()
    return await asyncpg.create_pool(
        url, min_size=1, max_size=READERS, statement_cache_size=STATEMENTS, reset=_as_it_is
    )


async def _as_it_is(connection: Any) -> None:
    """A question leaves nothing behind, and to clear up all the same would be a round trip each."""


async def types(connection: Any, statement: str) -> list[str]:
    """The type of each numbered blank of a statement."""
    prepared = await connection.prepare(statement)
    return [one.name for one in prepared.get_parameters()]
