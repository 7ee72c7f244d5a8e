"""One round of one contender: started, warmed up, measured, stopped."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from benchmarks import cost
from benchmarks.contenders import ROOT, Contender, NotMeasured, Place, Start
from benchmarks.server import News, Order

PATIENCE = 60.0  # seconds for a bot to start; for its work it has as long again for each 1,000
STOPPING = 15.0  # seconds for a bot to stop by itself
GLANCE = 0.05  # seconds between two looks at whether it is still busy
QUIET = 5  # glances in a row in which it does next to nothing
NEXT_TO_NOTHING = 0.001  # CPU seconds in a glance


class Measured(msgspec.Struct):
    """What a round has shown."""

    cpu: float  # CPU seconds for 1,000 updates, of the whole process tree
    rate: float  # updates a second, from the gate to the last answer
    memory: float  # MB, the most it ever had
    sends: int
    waits: list[float] = []  # seconds to each answer, where updates came at a pace


@dataclass(frozen=True, slots=True)
class Cores:
    """Where the bot runs, and where everything else does; the same core if there is but one."""

    bot: int
    rest: int

    @classmethod
    def here(cls) -> Cores:
        """The first two cores that we may use."""
        free = sorted(os.sched_getaffinity(0))
        return cls(free[0], free[1 % len(free)])

    @property
    def apart(self) -> bool:
        """Whether the bot has a core to itself."""
        return self.bot != self.rest


async def run(contender: Contender, count: int, cores: Cores, folder: Path) -> Measured:
    """Measure one contender with so many updates.

    folder: one that is there, on the disk that is to be measured with
    Raises `NotMeasured` with what went wrong.
    """
    with tempfile.TemporaryDirectory(dir=folder) as made:
        async with telegram(cores.rest) as api:
            place = Place(Path(made), api.url, _free_port())
            start = await contender.start(place)
            try:
                async with _bot(start, place, cores.bot) as process:
                    measured = await _measure(contender, count, api, process.pid, start)
                if wrong := await contender.check(place, contender.work.told(count)):
                    raise NotMeasured(wrong)
            except (NotMeasured, TimeoutError) as fault:
                raise NotMeasured(f"{fault or 'it fell silent'}{_last_words(place)}") from None
            finally:
                await contender.finish(place)
    return measured


async def _measure(
    contender: Contender, count: int, api: Telegram, pid: int, start: Start
) -> Measured:
    work, roots = contender.work, (pid, *start.others)
    await api.hears("ready")
    before = work.people or count
    await api.load(Order("load", work.warm_up, 0, before, work.people))
    await api.opens(work.warm_up)
    await quiet(roots)
    await api.load(Order("load", work.name, 0, count, work.people, work.rate))
    spent, began = cost.cpu_seconds(roots), time.perf_counter()
    news = await api.opens(work.name)
    answered = time.perf_counter() - began
    cpu, last = await quiet(roots)
    # Where nothing is answered, it is done when it has nothing more to do.
    seconds = last - began if work.people else answered
    return Measured(
        cpu=(cpu - spent) / count * 1000,
        rate=count / seconds,
        memory=cost.peak_memory((pid,)),
        sends=news.sends,
        waits=news.waits,
    )


async def quiet(roots: tuple[int, ...]) -> tuple[float, float]:
    """Wait until there is next to nothing left to do.

    Returns the CPU seconds spent until then, and when that was, by `time.perf_counter`: idling
    is not counted.
    """
    spent, at, calm = cost.cpu_seconds(roots), time.perf_counter(), 0
    deadline = at + PATIENCE
    while calm < QUIET and time.perf_counter() < deadline:
        await asyncio.sleep(GLANCE)
        now = cost.cpu_seconds(roots)
        if now - spent - calm * NEXT_TO_NOTHING < NEXT_TO_NOTHING:
            calm += 1
        else:
            spent, at, calm = now, time.perf_counter(), 0
    return spent, at


# ---------------------------------------------------------------- the two processes


class Telegram:
    """The server's process, and what it tells."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._loaded = 0
        self.url = ""

    async def load(self, order: Order) -> None:
        """Have updates prepared."""
        self._loaded = order.count
        await self._order(order)
        await self.hears("loaded")

    async def opens(self, work: str) -> News:
        """Let them go; returns when all are answered, or, where nothing is due, taken."""
        await self._order(Order("open"))
        told = "taken" if work == "chatter" else "answered"
        return await self.hears(told, updates=self._loaded)

    async def hears(self, told: str, *, updates: int = 0) -> News:
        """Wait until it tells this.  Raises `TimeoutError` if it does not."""
        assert self._process.stdout is not None
        async with asyncio.timeout(PATIENCE * (1 + updates / 1000)):
            while line := await self._process.stdout.readline():
                news = msgspec.json.decode(line, type=News)
                if news.told == told:
                    return news
        raise NotMeasured("the server ended")

    async def _order(self, order: Order) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode(order) + b"\n")
        await self._process.stdin.drain()


@asynccontextmanager
async def telegram(core: int) -> AsyncIterator[Telegram]:
    """A Bot API server of its own process on that core."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.server",
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, limit=2**24,
        preexec_fn=_pinned(core),
    )  # fmt: skip
    try:
        api = Telegram(process)
        api.url = (await api.hears("listening")).url
        yield api
    finally:
        await _stopped(process)


@asynccontextmanager
async def _bot(start: Start, place: Place, core: int) -> AsyncIterator[asyncio.subprocess.Process]:
    with (place.folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *start.command, cwd=ROOT, env=start.environment, stdin=subprocess.DEVNULL,
            stdout=log, stderr=log, preexec_fn=_pinned(core),
        )  # fmt: skip
        try:
            yield process
        finally:
            await _stopped(process)


async def _stopped(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
    try:
        await asyncio.wait_for(process.wait(), STOPPING)
    except TimeoutError:
        process.kill()
        await process.wait()


def _pinned(core: int) -> Callable[[], None]:
    return lambda: os.sched_setaffinity(0, {core})


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def _last_words(place: Place) -> str:
    lines = (place.folder / "log").read_text("utf-8", "replace").strip().splitlines()
    return f" (it last said: {lines[-1][:160]})" if lines else ""
