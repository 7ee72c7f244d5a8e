"""A crash campaign: the real bot under load, killed as often as planned, then let come to rest."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import msgspec

from benchmarks import crash_evidence, crash_power
from benchmarks.crash_audit import Tally, audit, tally
from benchmarks.crash_evidence import Evidence, Lag, Violation
from benchmarks.crash_people import Crowd, Quarter, shuffled
from benchmarks.crash_power import Disk
from benchmarks.crash_processes import LOOK, NotUp, Process, Supervisor
from benchmarks.crash_setting import Plan, config, doctored, free_port, quarter, roles
from storage.sealing import fresh_key
from tests.botapi import BotAPI

EVIDENCE = "evidence.json"  # all that the audit goes by, left beside the logs
SETTLING = 300.0  # seconds in which everything must have come to rest
TICK = 0.03  # seconds
QUIET = 2  # seconds of rest, after which it counts as that
PROGRESS = 30.0  # seconds in which a process that was started says something
EARLY = 0.05  # of all kills come while the process is still starting
WRITES = 400  # of all writes and syncs of a process's life, about
FOUNDING = 60  # writes and syncs within which the schema is made, about
POINTS = ("handed", "confirmed", "asked", "acted")  # see Journal.pass_


@dataclass(frozen=True)
class Report:
    """What came of it."""

    plan: Plan
    kills: int
    points: Counter[str]
    tally: Tally
    violations: list[Violation]
    seconds: float
    disk: str = ""


# ---------------------------------------------------------------- one campaign


async def campaign(plan: Plan, folder: Path) -> Report:
    """Play the plan; everything it leaves behind is in the folder."""
    began = time.monotonic()
    async with BotAPI.start() as api:
        with _database(plan, folder) as storage:
            run = _founded(plan, folder, api, storage)
            try:
                await run.play()
                evidence = await run.gathered()
            except NotUp as dead:
                evidence = run.dead(dead)
            else:
                (folder / EVIDENCE).write_bytes(msgspec.json.encode(evidence))
            finally:
                run.supervisor.end()
    disk = storage.disk
    return Report(
        plan=plan,
        kills=len(evidence.kills),
        points=Counter(kill.point or "any moment" for kill in evidence.kills),
        tally=tally(evidence),
        violations=audit(evidence),
        seconds=time.monotonic() - began,
        disk=f"{disk.cuts} cuts, {disk.dropped} writes dropped, {disk.torn} torn" if disk else "",
    )


@dataclass
class Storage:
    """The database, and how its power is taken."""

    url: str
    disk: Disk | None = None
    server: object = None

    def environment(self) -> dict[str, str]:
        return self.disk.environment if self.disk else {}

    def lose_power(self, random: Random) -> None:
        """Forget what was not durable, and be there again."""
        from benchmarks.crash_postgres import Postgres

        if self.disk:
            self.disk.cut(random)
        if isinstance(self.server, Postgres):
            self.server.crash()
            self.server.start()


@contextmanager
def _database(plan: Plan, folder: Path) -> Iterator[Storage]:
    if plan.database == "postgresql":
        from benchmarks.crash_postgres import durable

        with durable() as server:
            yield Storage(server.url, server=server)
        return
    place = folder / "database"
    place.mkdir()
    disk = None
    if plan.power:
        disk = Disk(place, crash_power.shim(folder), folder / "journal")
    yield Storage(f"sqlite:///{place}/town.sqlite", disk)


@dataclass
class Run:
    """A campaign under way."""

    plan: Plan
    api: BotAPI
    storage: Storage
    supervisor: Supervisor
    quarters: list[Quarter]
    key: str
    random: Random
    crowd: Crowd
    status: int = 0
    unsettled: str = ""
    lags: list[Lag] = field(default_factory=list)
    strike: asyncio.Event = field(default_factory=asyncio.Event)
    armed: tuple[str, int] = ("", 0)  # at which moment to kill, the how-manieth time it comes

    async def play(self) -> None:
        """Live, be killed and start again as often as planned; then come to rest, and stop."""
        queue = self.api.queue()
        queue.longest_pause = 0.5  # nobody waits a minute for a bot that is back in four seconds
        queue.arrange = lambda batch: (
            shuffled(batch, self.random) if self.random.random() < 0.3 else batch
        )
        queue.loses = lambda: self.random.random() < 0.02
        await self._begin()
        weather = self.api.weather(Random(self.plan.seed + 1))
        self.api.journal.watchers.append(self._watch)
        self.crowd.settle_in(self.plan.residents)
        living = asyncio.ensure_future(self._live())
        ticking = asyncio.ensure_future(self._tick())
        try:
            for number in range(1, self.plan.kills + 1):
                await self._kill_once(last=number == self.plan.kills)
                if living.done():
                    living.result()
        finally:
            living.cancel()
            await asyncio.gather(living, return_exceptions=True)
        weather.lift()
        queue.loses = lambda: False
        await self._settle()
        self.status = await self.supervisor.stop()
        ticking.cancel()

    async def _tick(self) -> None:
        """Note whenever this very process was held up."""
        before = time.time()
        while True:
            await asyncio.sleep(TICK)
            now = time.time()
            if (lag := now - before - TICK) > TICK:
                self.lags.append((now, lag))
            before = now

    async def _begin(self) -> None:
        """The first start; where power is played, after some in which the schema is half made."""
        disk = self.storage.disk
        for _ in range(self.plan.founding if disk else 0):
            assert disk is not None
            disk.ends_at = self.random.randint(1, FOUNDING)
            self.supervisor.start()
            await self.supervisor.died(within=PROGRESS)
            self._kill(self.supervisor.processes, "founding")
            self.storage.lose_power(self.random)
            disk.ends_at = 0
        self.supervisor.start()
        await self.supervisor.up()

    async def _live(self) -> None:
        """People do things all the time, in bursts."""
        while True:
            for _ in range(self.random.randint(1, 4)):
                self.crowd.act()
                self.crowd.disturb()
            await asyncio.sleep(self.random.expovariate(self.plan.rate / 2.5))

    # ---- killing

    async def _kill_once(self, *, last: bool) -> None:
        """Kill some of the processes, take the power if that is planned, start them again."""
        random = self.random
        point = await self._moment()
        processes = self.supervisor.processes
        count = len(processes) if self.plan.power else random.randint(1, len(processes))
        if not self.strike.is_set():
            self._kill(random.sample(processes, count), point)
        elif self.plan.power or count > 1:
            self._kill(processes, point, counted=False)
        self.strike.clear()
        if self.plan.power:
            self.storage.lose_power(random)
        self._next_end(last=last)
        self.supervisor.start()

    def _next_end(self, *, last: bool) -> None:
        """Have the next process die in the middle of its writing, or not."""
        disk = self.storage.disk
        if disk is not None:
            in_between = not last and self.random.random() < 0.6
            disk.ends_at = self.random.randint(1, WRITES) if in_between else 0

    async def _moment(self) -> str:
        """Wait for the moment to kill at; returns its name, and may have killed already."""
        random = self.random
        disk = self.storage.disk
        if disk is not None and disk.ends_at:
            return "writing" if await self.supervisor.died(within=PROGRESS) else ""
        if random.random() < EARLY:
            await asyncio.sleep(random.uniform(0.0, 3.0))
            return "starting"
        if random.random() < 0.8:
            await self.supervisor.up()
        await self._progress()
        if random.random() < 0.5:
            await asyncio.sleep(random.uniform(0.05, 1.0))
            return ""
        point = random.choice(POINTS)
        self.armed = (point, random.randint(1, 12))
        try:
            async with asyncio.timeout(3):
                await self.strike.wait()
        except TimeoutError:
            point = ""  # it did not come
        self.armed = ("", 0)
        return point

    async def _progress(self) -> None:
        """Wait until whoever was started last has said something."""
        since = self.supervisor.starts[-1]
        deadline = time.time() + PROGRESS
        while time.time() < deadline:
            calls = self.api.journal.calls[-200:]
            if any(one.at > since and one.method == "sendMessage" for one in calls):
                return
            await asyncio.sleep(LOOK)
        await self.supervisor.up()

    def _watch(self, moment: str) -> None:
        """Kill at the very moment, before the server goes on."""
        if self.armed[0] != moment:
            return
        if self.armed[1] > 1:
            self.armed = (moment, self.armed[1] - 1)
            return
        self.armed = ("", 0)
        everyone = self.supervisor.processes
        self._kill(everyone if self.plan.power else [self.random.choice(everyone)], moment)
        self.strike.set()

    def _kill(self, which: list[Process], point: str, *, counted: bool = True) -> None:
        if counted:
            self.supervisor.kill(which, point)
        else:
            for process in which:
                process.kill()
                process.gone()

    # ---- coming to rest

    async def _settle(self) -> None:
        """Wait until nothing is told, sent or due any more."""
        await self.supervisor.up()
        deadline, quiet = time.time() + SETTLING, 0
        while quiet < QUIET:
            before = len(self.api.journal.calls)
            await asyncio.sleep(1.0)
            left = await crash_evidence.waiting(self.storage.url, self.key, now=time.time())
            still = self.api.queue().pending == 0 and not left
            quiet = quiet + 1 if still and before == len(self.api.journal.calls) else 0
            if time.time() > deadline:
                told = self.api.queue().pending
                self.unsettled = f"after {SETTLING:g} s {told} updates and {left} rows still wait"
                return

    def dead(self, why: NotUp) -> Evidence:
        """All there is to say of a bot that does not come up any more."""
        last = str(why).strip().rpartition("\n")[2]
        return Evidence(
            kills=self.supervisor.kills,
            starts=self.supervisor.starts,
            faults=(f"it does not come up any more: {last}",),
        )

    async def gathered(self) -> Evidence:
        """Everything that the audit wants to see."""
        url, key = self.storage.url, self.key
        return Evidence(
            told=crash_evidence.told(self.api),
            sent=crash_evidence.sent(self.api),
            kills=self.supervisor.kills,
            starts=self.supervisor.starts,
            lags=self.lags,
            tables=await crash_evidence.tables(url, key),
            integrity=await crash_evidence.integrity(url, key),
            orderly=frozenset(self.crowd.orderly),
            asleep=frozenset(one.name for one in self.quarters if one.asleep),
            unsettled=self.unsettled,
            status=self.status,
            faults=self.supervisor.faults(),
            now=time.time(),
        )


def _founded(plan: Plan, folder: Path, api: BotAPI, storage: Storage) -> Run:
    """The town and its bot, still asleep."""
    random, key, port = Random(plan.seed), fresh_key(), free_port()
    quarters = [quarter(api, number) for number in range(plan.quarters)]
    (folder / "config.toml").write_text(config(plan, api, quarters, port), "utf-8")
    surroundings = {
        **{name: value for name, value in os.environ.items() if not name.startswith("BOT_")},
        "BOT_TELEGRAM__TOKEN": api.token,
        "BOT_TELEGRAM__WEBHOOK_SECRET": "only-telegram-knows",
        "BOT_STORAGE__URL": storage.url,
        "BOT_STORAGE__SEAL_KEY": key,
    }
    words = ("--config", str(folder / "config.toml"))
    tree = doctored(folder / "tree", synchronous=plan.doctored) if plan.doctored else plan.tree

    def environment() -> dict[str, str]:
        return {**surroundings, **storage.environment()}

    processes = [
        Process((*words, *role), tree, folder / f"bot-{number}.log", environment)
        for number, role in enumerate(roles(plan))
    ]
    crowd = Crowd(api, quarters, random, time.time)
    return Run(plan, api, storage, Supervisor(processes), quarters, key, random, crowd)
