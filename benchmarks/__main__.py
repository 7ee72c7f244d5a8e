"""Measures our bot against others, itself on each database, and what it bears, in one run.

    python -m benchmarks [--quick | --full] [--only NAME]... [--rounds N] [--json FILE]

Each bot in turn is started on a core of its own, warmed up, and given its updates by a Bot API
server on another core; what counts is the CPU time of all its processes.  docs/performance.md
says how to read what comes out.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import os
import platform
import shlex
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import msgspec

from benchmarks import contenders, endurance, filled, mailing, ours, race, report
from benchmarks.contenders import Contender, NotMeasured
from benchmarks.postgres import Postgres
from benchmarks.race import Cores, Measured
from benchmarks.trials import Finding, Trial

FOLDER = contenders.ROOT / "var" / "bench"  # on the disk that the bot would use


@dataclass(frozen=True, slots=True)
class Extent:
    """How much is measured; the options of the command line, with other defaults each."""

    rounds: int
    updates: int  # to each bot in each round
    fill: int  # members of the large community
    broadcast: int  # members of the one that is written to
    slowly: float  # minutes of writing to them at everybody's rate
    memory: float  # seconds of a steady load
    overload: float  # seconds of ten times what it bears


USUAL = Extent(3, 3000, 1_000_000, 10_000, slowly=0.5, memory=120, overload=10)
QUICK = Extent(1, 2000, 20_000, 3_000, slowly=0.2, memory=15, overload=1)
FULL = Extent(3, 3000, 1_000_000, 100_000, slowly=10, memory=600, overload=60)
STEADY = 500  # updates a second under which memory is looked at


class Results(msgspec.Struct):
    """A run, as --json keeps it."""

    began: datetime
    machine: str
    command: str
    updates: int
    load: list[tuple[float, float, float]]  # at the start of each round
    rounds: dict[str, list[Measured | None]]
    trials: dict[str, list[Finding]]
    unmeasured: dict[str, str]


def main(words: Sequence[str] | None = None) -> int:
    """Measure what the command line asks for; 1 if something of it could not be measured."""
    chosen = _parser().parse_args(words)
    extent = _extent(chosen)
    postgres = Postgres(chosen.postgres)
    everybody: list[Contender | Trial] = [
        *ours.contenders(postgres, chosen.rate),
        *contenders.peers(),
        *filled.contenders(extent.fill, postgres if chosen.fill_postgres else None),
        *mailing.trials(extent.broadcast, extent.slowly),
        *endurance.trials(extent.memory, chosen.rate or STEADY, extent.overload),
    ]
    wanted = [one for one in everybody if not chosen.only or _named(one, chosen.only, everybody)]
    if not wanted:
        print(f"nobody is called {' or '.join(chosen.only)}")
        return 2
    FOLDER.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # nobody is left running
    try:
        with _alone():
            results = asyncio.run(measured(wanted, extent))
    finally:
        postgres.close()
    show(results, extent)
    if chosen.json:
        chosen.json.write_bytes(msgspec.json.format(msgspec.json.encode(results)))
    return 1 if results.unmeasured else 0


@contextmanager
def _alone() -> Iterator[None]:
    """While no other run of ours takes the cores, or fills the databases that are kept."""
    with (FOLDER / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _tell("waiting for another run to end")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


async def measured(wanted: Sequence[Contender | Trial], extent: Extent) -> Results:
    """Every contender once in each round, so that a noisy minute meets all of them; then the
    trials, once each."""
    cores = Cores.here()
    racing = [one for one in wanted if isinstance(one, Contender)]
    results = Results(
        began=datetime.now(UTC).replace(microsecond=0),
        machine=machine(cores),
        command=shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]]),
        updates=extent.updates,
        load=[],
        rounds={one.name: [] for one in racing},
        trials={},
        unmeasured={},
    )
    ready = [one for one in racing if await _prepared(one, results)]
    for number in range(extent.rounds if ready else 0):
        results.load.append(os.getloadavg())
        for one in ready:
            _tell(f"round {number + 1} of {extent.rounds}: {one.name}")
            results.rounds[one.name].append(await _round(one, extent.updates, cores, results))
    for trial in wanted:
        if isinstance(trial, Trial):
            _tell(trial.name)
            results.load.append(os.getloadavg())
            await _tried(trial, cores, results)
    _tell("")
    return results


def _tell(what: str) -> None:
    """Say what is being done, in the place of what was."""
    print(f"\r\033[K{what}", end="", file=sys.stderr, flush=True)


async def _prepared(contender: Contender, results: Results) -> bool:
    try:
        await contender.prepare()
    except NotMeasured as why:
        results.unmeasured[contender.name] = str(why)
        return False
    return True


async def _round(
    contender: Contender, updates: int, cores: Cores, results: Results
) -> Measured | None:
    work = contender.work
    if most := [one.rate for one in results.rounds.get(work.half_of, ()) if one]:
        contender = replace(contender, work=replace(work, rate=median(most) / 2))
    try:
        return await race.run(contender, updates, cores, FOLDER)
    except NotMeasured as why:
        results.unmeasured[contender.name] = f"in one round: {why}"
        return None


async def _tried(trial: Trial, cores: Cores, results: Results) -> None:
    try:
        results.trials[trial.name] = await trial.run(cores, FOLDER)
    except NotMeasured as why:
        results.unmeasured[trial.name] = str(why)


def _named(
    one: Contender | Trial, names: Sequence[str], everybody: Sequence[Contender | Trial]
) -> bool:
    """Whether it has one of these names, or, where nobody has just that name, a part of one."""
    whole = {contender.name for contender in everybody}
    return any(one.name == name or (name not in whole and name in one.name) for name in names)


def show(results: Results, extent: Extent) -> None:
    """Print the tables."""
    low, high = min(one[0] for one in results.load), max(one[0] for one in results.load)
    print(f"{results.began:%Y-%m-%d %H:%M} UTC, {results.machine}")
    print(f"{results.command}:", end=" ")
    if results.rounds:
        print(f"{extent.rounds} rounds of {results.updates:,} updates;", end=" ")
    print(f"load average {low:.1f}–{high:.1f}\n")
    cores = len(Cores.here().free)
    found = [*report.ratios(results.rounds, extent.fill, cores), *report.answers(results.rounds)]
    found += [finding for one in results.trials.values() for finding in one]
    for part in (report.table(results.rounds, results.unmeasured), report.goals(found)):
        if lines := "\n".join(part):
            print(f"{lines}\n")


def machine(cores: Cores) -> str:
    """The machine, in a few words."""
    apart = "bot and server on a core each" if cores.apart else "bot and server on ONE core"
    return f"{os.cpu_count()} × {_processor()}, Python {platform.python_version()}; {apart}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _extent(chosen: argparse.Namespace) -> Extent:
    """How much is to be measured: as much as usual, less or more, but for what is named."""
    extent = QUICK if chosen.quick else FULL if chosen.full else USUAL
    return Extent(
        *(
            usual if (said := getattr(chosen, option)) is None else said
            for option, usual in asdict(extent).items()
        )
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=(__doc__ or "").partition("\n")[0]
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="in minutes, and not to be relied on")
    add("--full", action="store_true", help="for an hour: as many and as long as the goals say")
    add("--only", action="append", default=[], metavar="NAME", help="its name, or a part of it")
    add("--updates", type=int, metavar="N", help="to each bot in each round; usually 3000")
    add("--rounds", type=int, metavar="N", help="usually 3")
    add("--rate", type=float, default=0, help="updates a second for answer times; else half load")
    add("--fill", type=int, metavar="MEMBERS", help="of the large community; usually 1000000")
    add("--fill-postgres", action="store_true", help="fill one on PostgreSQL too")
    add("--broadcast", type=int, metavar="MEMBERS", help="written to at once; usually 10000")
    add("--slowly", type=float, metavar="MINUTES", help="of 30 letters a second; usually 0.5")
    add("--memory", type=float, metavar="SECONDS", help="of a steady load; usually 120")
    add("--overload", type=float, metavar="SECONDS", help="of ten times too much; usually 10")
    add("--json", type=Path, metavar="FILE", help="keep every number there")
    add("--postgres", default="", metavar="URL", help="a server on this machine; else the tests'")
    return parser


if __name__ == "__main__":
    sys.exit(main())
