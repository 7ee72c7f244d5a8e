"""Company: what is ours to do among the processes on one database, and what they tell us."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime
from enum import StrEnum

import structlog

from bot.channels import Channel
from bot.delivery import Delivery
from bot.pipeline import Pipeline
from bot.scheduler import Scheduler
from bot.worker import Alarm
from handlers.turn import Clock
from storage import pending
from storage.crew import Crew, crew
from storage.database import Database
from storage.writer import DIRECTORY, Unavailable

log = structlog.get_logger()

LEADING = "leading"  # saying what is to be said, and looking at the clock for everybody
RESTING = 5.0  # seconds that what is being said may take when another is to say the rest


class Part(StrEnum):
    """What a process does of what there is to do."""

    ALL = "all"
    WEB = "web"  # takes in what the platforms tell, and serves pages
    WORKER = "worker"  # plays turns, and says what came of them

    @property
    def works(self) -> bool:
        """Whether it plays turns."""
        return self is not Part.WEB

    @property
    def hears(self) -> bool:
        """Whether it takes in."""
        return self is not Part.WORKER


class Duty:
    """Something that one process does at a time."""

    def __init__(self) -> None:
        self._ours = asyncio.Event()
        self._anothers = asyncio.Event()
        self._anothers.set()

    @property
    def ours(self) -> bool:
        """Whether it is ours at present."""
        return self._ours.is_set()

    def begin(self) -> None:
        """It is ours from now on."""
        self._ours.set()
        self._anothers.clear()

    def end(self) -> None:
        """And no longer."""
        self._ours.clear()
        self._anothers.set()

    async def while_ours(self, work: Callable[[], Awaitable[None]]) -> None:
        """Keep at it whenever it is ours; raises what the work raises."""
        while True:
            await self._ours.wait()
            doing = asyncio.ensure_future(work())  # noqa: TID251 - awaited below, whatever comes
            lost = asyncio.ensure_future(self._anothers.wait())  # noqa: TID251 - likewise
            try:
                await asyncio.wait({doing, lost}, return_when=asyncio.FIRST_COMPLETED)
                if doing.done():
                    return doing.result()
            finally:
                doing.cancel()
                lost.cancel()
                await asyncio.gather(doing, lost, return_exceptions=True)


class Company:
    """Takes and gives lanes and duties as processes come and go, and hears what they wrote down."""

    def __init__(
        self,
        *,
        database: Database,
        pipeline: Pipeline,
        delivery: Delivery,
        scheduler: Scheduler,
        alarm: Alarm,
        clock: Clock,
        part: Part,
        channels: Iterable[str],
        announce: Callable[[], Awaitable[None]],
    ) -> None:
        self._database = database
        self._pipeline = pipeline
        self._delivery = delivery
        self._scheduler = scheduler
        self._alarm = alarm
        self._clock = clock
        self._part = part
        self._announce = announce  # tells the platforms of our commands
        self._heard: asyncio.Queue[Sequence[str]] = asyncio.Queue()
        duties = [LEADING] * part.works + [*channels] * part.hears
        self._duties = {duty: Duty() for duty in duties}
        self._crew: Crew = crew(
            database.url,
            self,
            works=part.works,
            duties=duties,
            own=lambda: database.writer.pid,
        )

    @property
    def leads(self) -> bool:
        """Whether it is ours to say what is to be said, and to look at the clock for everybody."""
        return self._delivery.leads

    @property
    def workers(self) -> int:
        """How many processes play turns, as far as we know."""
        return self._crew.size

    def listens(self, channel: str) -> bool:
        """Whether it is ours to listen to this channel's platform."""
        duty = self._duties.get(channel)
        return self._part.hears and (duty is None or duty.ours)

    async def join(self) -> None:
        """Take what is free and fairly ours."""
        await self._crew.join()
        self._ring()

    async def run(self) -> None:
        """Keep looking at who comes and goes, for ever."""
        await self._crew.run()

    async def leave(self) -> None:
        """Let others have what is ours."""
        await self._crew.leave()

    async def listen(self, channel: Channel) -> None:
        """Listen to the channel whenever that is ours."""
        await self._duties[channel.name].while_ours(channel.listen)

    async def attend(self) -> None:
        """Deal with what other processes have written down for us, for ever."""
        while True:
            news = [*await self._heard.get()]
            while not self._heard.empty():
                news += self._heard.get_nowait()
            try:
                await self._told(news)
            except Unavailable:
                log.info("company.missed", news=len(news))  # the next look finds it all

    # ---------------------------------------------------------------- work comes and goes

    async def take(self, shares: frozenset[int]) -> None:
        self._ring()
        # What has been said to be said in these lanes goes before what they will say now.
        await self._scheduler.letters(self._clock.now())
        await self._pipeline.take(shares)
        self._alarm.nudge()

    async def give(self, shares: frozenset[int]) -> None:
        self._ring()
        await self._pipeline.give(shares)

    async def begin(self, duty: str) -> None:
        if duty == LEADING:
            await self._delivery.lead()
        self._duties[duty].begin()
        self._alarm.nudge()
        if duty == LEADING:
            await self._announce()

    async def end(self, duty: str) -> None:
        self._duties[duty].end()
        if duty == LEADING:
            await self._delivery.rest(RESTING)

    def hear(self, news: Sequence[str]) -> None:
        self._heard.put_nowait(news)

    def _ring(self) -> None:
        """Tell others of what we write down, if there are others."""
        self._database.writer.rings = self._crew.size > 1 or self._part is not Part.ALL

    async def _told(self, news: Iterable[str]) -> None:
        """Take up what is ours of the rows that were written down: "kind:share:id" each."""
        ids: defaultdict[str, list[int]] = defaultdict(list)
        for word in news:
            kind, _, rest = word.partition(":")
            share, _, id = rest.partition(":")
            if kind == DIRECTORY:
                await self._pipeline.reload()
            elif kind == "out" or int(share) in self._pipeline.shares:
                ids[kind].append(int(id))
        await self._pipeline.told(ids["in"])
        if ids["woke"]:
            self._alarm.nudge()
        if self._delivery.leads and ids["out"]:
            await self._say(ids["out"])

    async def _say(self, ids: list[int]) -> None:
        for start in range(0, len(ids), pending.PAGE):
            page = ids[start : start + pending.PAGE]
            letters = await pending.by_ids(self._database.reader, page)
            self._delivery.offer(sorted(letters, key=_due))


def _due(one: pending.Waiting) -> tuple[datetime, int]:
    return one.due, one.id
