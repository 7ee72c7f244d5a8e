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
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
from msgspec.structs import replace

from benchmarks import cost
from benchmarks.contenders import ROOT, Contender, NotMeasured, Place, Start, Work
from benchmarks.server import News, Order

PATIENCE = 60.0  # seconds for a bot to start; for its work it has as long again for each 1,000
STOPPING = 15.0  # seconds for a bot to stop by itself
GLANCE = 0.05  # seconds between two looks at whether it is still busy
QUIET = 5  # glances in a row in which it does next to nothing
NEXT_TO_NOTHING = 0.001  # CPU seconds in a glance, for each of its processes


class Measured(msgspec.Struct):
    """What a round has shown."""

    cpu: float  # CPU seconds for 1,000 updates, of the whole process tree
    rate: float  # updates a second, from the gate to the last answer
    memory: float  # MB, the most it ever had
    sends: int
    waits: list[float] = []  # seconds to each answer, where updates came at a pace


@dataclass(frozen=True, slots=True)
class Cores:
    """Where a bot runs, and where everything else does; the same core if there is but one."""

    free: tuple[int, ...]

    @classmethod
    def here(cls) -> Cores:
        """Those that we may use."""
        return cls(tuple(sorted(os.sched_getaffinity(0))))

    @property
    def bot(self) -> int:
        return self.free[0]

    @property
    def rest(self) -> int:
        return self.free[1 % len(self.free)]

    @property
    def apart(self) -> bool:
        """Whether the bot has a core to itself."""
        return self.bot != self.rest

    def each(self, processes: int) -> list[int]:
        """Where so many processes of a bot run.

        On a core each, if that leaves as many to the servers that they work with; else all on one.
        """
        if len(self.free) < 2 * processes:
            return [self.bot] * processes
        return [self.free[0], *self.free[2 : processes + 1]]


async def run(contender: Contender, count: int, cores: Cores, folder: Path) -> Measured:
    """Measure one contender with so many updates.

    folder: one that is there, on the disk that is to be measured with
    Raises `NotMeasured` with what went wrong.
    """
    with tempfile.TemporaryDirectory(dir=folder) as made:
        async with telegram(cores.rest) as api:
            place = Place(Path(made), api.url, free_port(), count)
            start = await contender.start(place)
            try:
                async with running(start, place, cores) as pids:
                    await api.hears("ready")
                    await contender.settled(place)
                    measured = await _measure(contender.work, count, api, pids, start)
                if wrong := await contender.check(place, contender.work.told(count)):
                    raise NotMeasured(wrong)
            except (NotMeasured, TimeoutError) as fault:
                raise NotMeasured(f"{fault or 'it fell silent'}{last_words(place)}") from None
            finally:
                await contender.finish(place)
    return measured


async def _measure(
    work: Work, count: int, api: Telegram, pids: tuple[int, ...], start: Start
) -> Measured:
    roots = (*pids, *start.others)
    order = Order("load", heard=start.heard, people=work.people, crowd=work.crowd)
    await api.load(replace(order, work=work.warm_up, count=work.people or count))
    await api.opens(work.warm_up)
    await quiet(roots)
    given = work.counted(count)
    await api.load(replace(order, work=work.name, count=given, rate=work.rate))
    spent, began = cost.cpu_seconds(roots), time.perf_counter()
    news = await api.opens(work.name)
    answered = time.perf_counter() - began
    cpu, last = await quiet(roots)
    # Where nothing is answered, it is done when it has nothing more to do.
    seconds = last - began if work.people else answered
    return Measured(
        cpu=(cpu - spent) / given * 1000,
        rate=given / seconds,
        memory=cost.peak_memory(pids),
        sends=news.sends,
        waits=news.waits,
    )


async def quiet(roots: tuple[int, ...]) -> tuple[float, float]:
    """Wait until there is next to nothing left to do.

    Returns the CPU seconds spent until then, and when that was, by `time.perf_counter`: idling
    is not counted.
    """
    spent, at, calm = cost.cpu_seconds(roots), time.perf_counter(), 0
    idle = NEXT_TO_NOTHING * len(roots)
    deadline = at + PATIENCE
    while calm < QUIET and time.perf_counter() < deadline:
        await asyncio.sleep(GLANCE)
        now = cost.cpu_seconds(roots)
        if now - spent - calm * idle < idle:
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
        await self.order(order)
        await self.hears("loaded", updates=order.count)

    async def opens(self, work: str) -> News:
        """Let them go; returns when all are answered, or, where nothing is due, taken."""
        await self.order(Order("open"))
        told = "taken" if work == "chatter" else "answered"
        return await self.hears(told, updates=self._loaded)

    async def stands(self) -> News:
        """How things stand; what else it tells meanwhile is not heard."""
        await self.order(Order("look"))
        return await self.hears("stands")

    async def hears(self, told: str, *, updates: int = 0) -> News:
        """Wait until it tells this.  Raises `TimeoutError` if it does not."""
        assert self._process.stdout is not None
        async with asyncio.timeout(PATIENCE * (1 + updates / 1000)):
            while line := await self._process.stdout.readline():
                news = msgspec.json.decode(line, type=News)
                if news.told == told:
                    return news
        raise NotMeasured("the server ended")

    async def order(self, order: Order) -> None:
        """Have it do something."""
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode(order) + b"\n")
        await self._process.stdin.drain()


@asynccontextmanager
async def telegram(core: int) -> AsyncIterator[Telegram]:
    """A Bot API server of its own process on that core."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.server",
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, limit=2**24,
        preexec_fn=pinned(core),
    )  # fmt: skip
    try:
        api = Telegram(process)
        api.url = (await api.hears("listening")).url
        yield api
    finally:
        await _stopped(process)


@asynccontextmanager
async def running(start: Start, place: Place, cores: Cores) -> AsyncIterator[tuple[int, ...]]:
    """The bot's processes, while the block lasts; their numbers."""
    async with AsyncExitStack() as stack:
        pids = []
        where = cores.each(len(start.commands))
        for number, (command, core) in enumerate(zip(start.commands, where, strict=True)):
            process = await asyncio.create_subprocess_exec(
                *command, cwd=ROOT, env=start.environment, stdin=subprocess.DEVNULL,
                stdout=stack.enter_context((place.folder / f"log-{number}").open("wb")),
                stderr=subprocess.STDOUT, preexec_fn=pinned(core),
            )  # fmt: skip
            stack.push_async_callback(_stopped, process)
            pids.append(process.pid)
        yield tuple(pids)


def logs(place: Place) -> list[list[str]]:
    """What each of its processes has said, in lines."""
    files = sorted(place.folder.glob("log-*"))
    return [file.read_text("utf-8", "replace").strip().splitlines() for file in files]


def last_words(place: Place) -> str:
    """What it said last, in brackets, if it said anything."""
    said = [lines[-1][:160] for lines in logs(place) if lines]
    return f" (it last said: {'; '.join(said)})" if said else ""


async def _stopped(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
    try:
        await asyncio.wait_for(process.wait(), STOPPING)
    except TimeoutError:
        process.kill()
        await process.wait()


def pinned(core: int) -> Callable[[], None]:
    """What keeps a process that is being started on this core."""
    return lambda: os.sched_setaffinity(0, {core})


def free_port() -> int:
    """One that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])
