"""The bot's processes in a crash campaign: started, killed, started again, stopped at the end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.crash_evidence import Kill

PATIENCE = 60.0  # seconds for a process to come up, or to stop in good order
LOOK = 0.02  # seconds between two looks

# What the log says of a fault that is ours; what the network or the platform does is none.
FAULTS = ("turn.fault", "lane.fault", "loop.fault", "send.fault", "apology.fault")


class NotUp(Exception):
    """A process does not come up; the message ends with what it said last."""


@dataclass
class Process:
    """One process of the bot, whichever it is at present."""

    words: tuple[str, ...]  # of its command line, after `python -m bot run`
    tree: Path
    log: Path
    environment: Callable[[], Mapping[str, str]]
    running: subprocess.Popen[bytes] | None = None
    since: int = 0  # where in the log the present process begins

    def start(self) -> None:
        """Start it, its words going to the log."""
        self.since = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self.running = subprocess.Popen(  # noqa: S603 - our own bot
                [sys.executable, "-m", "bot", "run", *self.words],
                cwd=self.tree,
                env=self.environment(),
                stdout=log,
                stderr=log,
            )

    @property
    def alive(self) -> bool:
        return self.running is not None and self.running.poll() is None

    async def up(self) -> None:
        """Wait until it says that it runs."""
        async with asyncio.timeout(PATIENCE):
            while '"running"' not in self.said():
                if not self.alive:
                    raise NotUp(self.said()[-3000:])
                await asyncio.sleep(LOOK)

    def said(self) -> str:
        """What the present process has logged."""
        with self.log.open("rb") as log:
            log.seek(self.since)
            return log.read().decode("utf-8", "replace")

    def kill(self) -> None:
        """End it without a word."""
        if self.running is not None and self.alive:
            os.kill(self.running.pid, signal.SIGKILL)

    def gone(self) -> None:
        """Wait until it is gone."""
        if self.running is not None:
            self.running.wait(PATIENCE)

    async def stopped(self) -> int:
        """Tell it to stop; returns the status it ends with."""
        if self.running is None:
            return 0
        self.running.send_signal(signal.SIGTERM)
        return await asyncio.to_thread(self.running.wait, PATIENCE)


@dataclass
class Supervisor:
    """Keeps the processes up, kills them when told, and remembers when."""

    processes: list[Process]
    kills: list[Kill] = field(default_factory=list)
    starts: list[float] = field(default_factory=list)

    def start(self) -> None:
        """Start every process that is not alive."""
        for process in self.processes:
            if not process.alive:
                process.start()
                self.starts.append(time.time())

    async def up(self) -> None:
        """Wait until all say that they run."""
        for process in self.processes:
            await process.up()

    def kill(self, which: list[Process], point: str = "") -> None:
        """Kill these at once; they are gone when it returns."""
        for process in which:
            process.kill()
        self.kills.append(Kill(time.time(), point))
        for process in which:
            process.gone()

    async def died(self, within: float) -> bool:
        """Whether one of them ends by itself within so many seconds."""
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            if not all(process.alive for process in self.processes):
                return True
            await asyncio.sleep(LOOK)
        return False

    async def stop(self) -> int:
        """Stop all in good order; returns the worst status."""
        statuses = [await process.stopped() for process in reversed(self.processes)]
        return max(statuses, key=abs, default=0)

    def end(self) -> None:
        """Leave nothing running, whatever happened."""
        for process in self.processes:
            process.kill()
            process.gone()

    def faults(self) -> tuple[str, ...]:
        """What the logs call a fault of our own, each with its number."""
        counted: dict[str, int] = {}
        for line in self._lines():
            event = str(line.get("event", ""))
            if event in FAULTS:
                fault = " ".join(str(line.get(key, "")) for key in ("event", "fault", "kind"))
                last = str(line.get("exception", "")).strip().rpartition("\n")[2][:200]
                counted[f"{fault.strip()} {last}".strip()] = (
                    counted.get(f"{fault.strip()} {last}".strip(), 0) + 1
                )
        return tuple(f"{count} × {fault}" for fault, count in counted.items())

    def _lines(self) -> Iterator[dict[str, object]]:
        for process in self.processes:
            if not process.log.exists():
                continue
            with process.log.open("rb") as log:
                for line in log:
                    try:
                        yield json.loads(line)
                    except ValueError:
                        continue  # what was cut off by a kill
