"""The crew: the processes at work on one database, and which of them does what.

On SQLite there is one.  On PostgreSQL there may be any number: every lane belongs to
a share, every share and every duty to one process at a time.  Who has what is held by
advisory locks on a connection of its own, which the server lets go of when the process
ends, however it ends: no lease outlives its holder, and no clocks have to agree.

A process that was cut off from the server and does not know it yet can do no harm: what
it settles is fenced by the row it settles, which one commit only can take away.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol
from zlib import crc32

import structlog

from storage.database import is_sqlite
from storage.pending import ALL, SHARES
from storage.writer import DIRECTORY, Unavailable

if TYPE_CHECKING:
    import asyncpg

log = structlog.get_logger()

BEAT = 1.0  # seconds between two looks at who is there
PATIENCE = 3.0  # seconds for the server to answer a look; else we count as cut off
LOCKS = {"worker": 0x1_2212, "share": 0x1_2213, "duty": 0x1_2214}  # the first of a lock's keys

# What the server does when a process that holds locks falls silent: it lets go after 11 s.
WATCHED = {"tcp_keepalives_idle": "5", "tcp_keepalives_interval": "2", "tcp_keepalives_count": "3"}

HELD = """
    SELECT classid::int AS kind, objid::int AS number FROM pg_locks
    WHERE locktype = 'advisory' AND objsubid = 2 AND granted AND classid = ANY($1::oid[])
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
TAKE = "SELECT number FROM unnest($2::int[]) AS number WHERE pg_try_advisory_lock($1, number)"
RELEASE = "SELECT pg_advisory_unlock($1, number) FROM unnest($2::int[]) AS number"


class Hands(Protocol):
    """What a process does when work comes to it or goes from it."""

    async def take(self, shares: frozenset[int]) -> None:
        """These shares of the lanes are ours from now on."""

    async def give(self, shares: frozenset[int]) -> None:
        """These are not ours any more; when this returns another may take them."""

    async def begin(self, duty: str) -> None:
        """This, which one process does at a time, is ours to do from now on."""

    async def end(self, duty: str) -> None:
        """And no longer."""

    def hear(self, news: Sequence[str]) -> None:
        """What another process has written down: see `Change.wakes`."""


class Crew(Protocol):
    """Our place among the processes at work."""

    size: int  # how many take turns, as far as we know

    async def join(self) -> None:
        """Take what is free and fairly ours."""

    async def run(self) -> None:
        """Keep looking at who comes and goes, for ever."""

    async def leave(self) -> None:
        """Let go of everything, for others to take."""


def crew(
    url: str, hands: Hands, *, works: bool, duties: Sequence[str], own: Callable[[], int]
) -> Crew:
    """Our place among the processes on this database.

    works:  whether we take shares of the lanes
    duties: what we are willing to do of what only one does at a time
    own:    the server's number of our writer's connection, whose news is none to us
    """
    if is_sqlite(url):
        return Alone(hands, works=works, duties=duties)
    return Shared(url, hands, works=works, duties=duties, own=own)


class Alone:
    """The only process there is: see storage/sole.py."""

    size = 1

    def __init__(self, hands: Hands, *, works: bool, duties: Sequence[str]) -> None:
        self._hands = hands
        self._works = works
        self._duties = duties

    async def join(self) -> None:
        for duty in self._duties:
            await self._hands.begin(duty)
        if self._works:
            await self._hands.take(ALL)

    async def run(self) -> None:
        await asyncio.Event().wait()

    async def leave(self) -> None:
        pass


class Shared:
    """One of several processes on a PostgreSQL server."""

    def __init__(
        self,
        url: str,
        hands: Hands,
        *,
        works: bool,
        duties: Sequence[str],
        own: Callable[[], int],
    ) -> None:
        self.size = 1
        self._url = url
        self._hands = hands
        self._works = works
        self._wanted = duties
        self._own = own
        self._me = secrets.randbelow(2**31)  # no two processes draw the same
        self._shares: set[int] = set()
        self._duties: set[str] = set()
        self._connection: asyncpg.Connection | None = None
        self._lost = asyncio.Event()

    async def join(self) -> None:
        await self.looked()

    async def run(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(BEAT):
                    await self._lost.wait()
            try:
                if self._lost.is_set():
                    await self._drop()
                await self.looked()
            except Unavailable as away:
                log.warning("crew.cut_off", reason=str(away))
                await self._drop()

    async def leave(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.remove_termination_listener(self._cut_off)
            await connection.close()

    # ---------------------------------------------------------------- who is there

    async def looked(self) -> None:
        """See who is there; take what is free and fairly ours, give what is more than that."""
        held = await self._held()
        self.size = max(1, len(held["worker"]))
        await self._look_for_duties()
        if self._works:
            fair = -(-SHARES // self.size)
            if len(self._shares) > fair:
                await self._give(sorted(self._shares)[fair:])
            elif len(self._shares) < fair:
                free = sorted(ALL - held["share"])
                await self._take(free, most=fair - len(self._shares))

    async def _held(self) -> dict[str, set[int]]:
        rows = await self._ask(HELD, list(LOCKS.values()))
        return {
            name: {row["number"] for row in rows if row["kind"] == kind}
            for name, kind in LOCKS.items()
        }

    async def _look_for_duties(self) -> None:
        for duty in self._wanted:
            number = crc32(duty.encode()) >> 1  # the same for all, whatever else they want
            if duty not in self._duties and await self._lock("duty", [number]):
                self._duties.add(duty)
                log.info("crew.duty", duty=duty)
                await self._hands.begin(duty)

    async def _take(self, free: list[int], *, most: int) -> None:
        start = self._me % max(1, len(free))  # those who look at once ask for others each
        asked = (free[start:] + free[:start])[:most]
        if taken := frozenset(await self._lock("share", asked)):
            self._shares |= taken
            log.info("crew.took", shares=len(taken), ours=len(self._shares), workers=self.size)
            await self._hands.take(taken)

    async def _give(self, shares: Iterable[int]) -> None:
        given = frozenset(shares)
        self._shares -= given
        await self._hands.give(given)
        await self._ask(RELEASE, LOCKS["share"], list(given))
        log.info("crew.gave", shares=len(given), ours=len(self._shares), workers=self.size)

    async def _lock(self, kind: str, numbers: list[int]) -> list[int]:
        """Those of the locks that we could have."""
        return [row["number"] for row in await self._ask(TAKE, LOCKS[kind], numbers)]

    # ---------------------------------------------------------------- the connection

    async def _ask(self, sql: str, *values: object) -> Sequence[asyncpg.Record]:
        """Raises `Unavailable` when the server does not answer soon."""
        from storage.postgres import reached

        with reached():
            connection = await self._standing()
            rows: Sequence[asyncpg.Record] = await connection.fetch(sql, *values, timeout=PATIENCE)
            return rows

    async def _standing(self) -> asyncpg.Connection:
        if self._connection is None:
            import asyncpg

            from storage.postgres import BELL

            made = await asyncpg.connect(self._url, timeout=PATIENCE, server_settings=WATCHED)
            made.add_termination_listener(self._cut_off)
            await made.add_listener(BELL, self._heard)
            if self._works:
                await made.fetchval("SELECT pg_advisory_lock($1, $2)", LOCKS["worker"], self._me)
            self._lost.clear()
            self._connection = made
            self._hands.hear([DIRECTORY])  # it may have changed while nobody told us
        return self._connection

    def _heard(self, _: object, pid: int, __: str, news: object) -> None:
        if pid != self._own():
            self._hands.hear(str(news).split())

    def _cut_off(self, _: object) -> None:
        self._lost.set()

    async def _drop(self) -> None:
        """We are cut off: nothing is ours, and others may have it already."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()
        shares, self._shares = frozenset(self._shares), set()
        duties, self._duties = self._duties, set()
        for duty in duties:
            await self._hands.end(duty)
        if shares:
            await self._hands.give(shares)
