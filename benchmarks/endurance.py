"""Memory: under a steady load for minutes, and under ten times what the bot can bear."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import linear_regression, mean

from benchmarks import cost, ours, race, talk
from benchmarks.contenders import NotMeasured, Place
from benchmarks.race import Cores
from benchmarks.server import News, Order
from benchmarks.trials import Finding, Trial

PEOPLE = 3000
BEGINNING = 60.0  # seconds of a steady load that do not count; of a short one its first half
GLANCE = 0.5  # seconds between two looks
GROWTH = 0.01  # of the memory, in the whole time: less is none
TIMES = 10  # what it can bear
PROBE = 6000  # updates by which that is found out
BOUND = 1.25  # times the memory it has when it bears the load: more under any load is too much
IN_HAND = 10_000  # updates that the bot may have taken and not answered
PATIENCE = 30.0  # seconds without a single answer, after which it is given up


def trials(seconds: float, rate: float, overload: float) -> list[Trial]:
    """A steady load of this rate for so many seconds, and an overload for so many; 0: not."""
    steady = Trial("ours, memory, steady", partial(_steady, seconds=seconds, rate=rate))
    overloaded = Trial("ours, memory, overload", partial(_overloaded, seconds=overload))
    return [steady] * (seconds > 0) + [overloaded] * (overload > 0)


@dataclass(frozen=True, slots=True)
class Glance:
    """How things stood at a moment."""

    at: float  # seconds since the gate was opened
    memory: float  # MB
    news: News

    @property
    def in_hand(self) -> int:
        """Updates that the bot has taken and not answered, where each is to be answered."""
        return self.news.gone - self.news.held - self.news.sends


@dataclass(frozen=True, slots=True)
class Bot:
    """Our bot at work, and its Telegram."""

    api: race.Telegram
    pids: tuple[int, ...]

    async def told(self, work: str, count: int, people: int = 0) -> float:
        """Have so many updates told, as fast as they are taken; how many a second it settled."""
        await self.api.load(Order("load", work, count, people))
        began = time.perf_counter()
        await self.api.opens(work)
        seconds = time.perf_counter() - began
        await race.quiet(self.pids)
        return count / seconds

    async def watched(self, work: str, count: int, rate: float) -> list[Glance]:
        """Have so many updates told at this rate; how things stood, until all were answered."""
        await self.api.load(Order("load", work, count, PEOPLE, rate=rate))
        await self.api.order(Order("open"))
        began = moved = time.perf_counter()
        glances: list[Glance] = []
        while not glances or glances[-1].news.gone < count or _busy(glances[-1].news):
            await asyncio.sleep(GLANCE)
            now = time.perf_counter()
            glances.append(Glance(now - began, cost.memory(self.pids), await self.api.stands()))
            if len(glances) < 2 or glances[-1].news != glances[-2].news:
                moved = now
            elif now - moved > PATIENCE:
                raise NotMeasured(f"{glances[-1].news.owed} answers never came")
        return glances


def _busy(news: News) -> bool:
    return bool(news.held or news.owed)


async def _steady(cores: Cores, folder: Path, *, seconds: float, rate: float) -> list[Finding]:
    async with _bot(cores, folder) as bot:
        await bot.told("start", PEOPLE)
        glances = await bot.watched("town", int(seconds * rate), rate)
    beginning = min(BEGINNING, seconds / 2)
    later = [one for one in glances if beginning <= one.at <= seconds]
    grown, level = growth(later), mean(one.memory for one in later)
    what = f"memory, {rate:g} updates/s for {_minutes(seconds)}"
    told = seconds > BEGINNING
    return [
        Finding(
            f"{what}: growth after {beginning:g} s",
            f"{grown:+.1f} MB of {level:.0f}",
            f"≤ {GROWTH:.0%}",
            grown <= GROWTH * level if told else None,
            "" if told else "too short to tell",
        ),
        Finding(f"{what}: peak", f"{max(one.memory for one in later):.0f} MB"),
    ]


async def _overloaded(cores: Cores, folder: Path, *, seconds: float) -> list[Finding]:
    async with _bot(cores, folder) as bot:
        await bot.told("start", PEOPLE)
        for errand in talk.ERRANDS:
            await bot.told(errand, 1)
        bears = await bot.told("errands", PROBE, PEOPLE)
        before = cost.peak_memory(bot.pids)
        glances = await bot.watched("errands", int(TIMES * bears * seconds), TIMES * bears)
    peak = max(one.memory for one in glances)
    in_hand = max(one.in_hand for one in glances)
    held = max(one.news.held for one in glances)
    last = glances[-1].news
    what = f"{TIMES} × {bears:,.0f} updates/s for {_minutes(seconds)}"
    return [
        Finding(
            f"memory, {what}: peak / before",
            f"{peak:.0f} / {before:.0f} MB = {peak / before:.2f}",
            f"≤ {BOUND:g}",
            peak <= BOUND * before,
        ),
        Finding(
            f"{what}: in the bot's hands, with the platform",
            f"{in_hand:,}, {held:,}",
            f"≤ {IN_HAND:,}",
            in_hand <= IN_HAND,
        ),
        Finding(
            f"{what}: answered {last.sends:,} of {last.gone:,}, out of order",
            f"{last.disorder:,}",
            "0",
            not last.disorder and last.sends == last.gone,
        ),
    ]


def growth(glances: Sequence[Glance]) -> float:
    """By how many MB memory grew from the first to the last, by the line that fits best."""
    times = [one.at for one in glances]
    slope, _ = linear_regression(times, [one.memory for one in glances])
    return slope * (times[-1] - times[0])


@asynccontextmanager
async def _bot(cores: Cores, folder: Path) -> AsyncIterator[Bot]:
    """Our bot, on an SQLite database of its own, by long polling."""
    with tempfile.TemporaryDirectory(dir=folder) as made:
        async with race.telegram(cores.rest) as api:
            place = Place(Path(made), api.url, race.free_port(), PEOPLE)
            start = ours.started(place, ours.on_disk(place))
            try:
                async with race.running(start, place, cores) as pids:
                    await api.hears("ready")
                    yield Bot(api, pids)
            except (NotMeasured, TimeoutError) as fault:
                why = f"{fault or 'it fell silent'}{race.last_words(place)}"
                raise NotMeasured(why) from None


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:g} min" if seconds >= 60 else f"{seconds:g} s"
