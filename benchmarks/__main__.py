"""Measures our bot against others, and itself on each database, in one run.

    python -m benchmarks [--only NAME]... [--updates 3000] [--rounds 4] [--json FILE]

Each bot in turn is started on a core of its own, warmed up, and given its updates by a Bot API
server on another core; what counts is the CPU time of all its processes.  docs/performance.md
says how to read what comes out.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import shlex
import signal
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from benchmarks import contenders, ours, race, report
from benchmarks.contenders import Contender, NotMeasured
from benchmarks.race import Cores, Measured

FOLDER = contenders.ROOT / "var" / "bench"  # on the disk that the bot would use


class Results(msgspec.Struct):
    """A run, as --json keeps it."""

    began: datetime
    machine: str
    command: str
    updates: int
    load: list[tuple[float, float, float]]  # at the start of each round
    rounds: dict[str, list[Measured | None]]
    unmeasured: dict[str, str]


def main(words: Sequence[str] | None = None) -> int:
    """Measure what the command line asks for; 1 if something of it could not be measured."""
    chosen = _parser().parse_args(words)
    postgres = ours.Postgres(chosen.postgres)
    everybody = [*ours.contenders(postgres, chosen.rate), *contenders.peers()]
    wanted = [one for one in everybody if not chosen.only or _named(one, chosen.only, everybody)]
    if not wanted:
        print(f"nobody is called {' or '.join(chosen.only)}")
        return 2
    FOLDER.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # nobody is left running
    try:
        results = asyncio.run(measured(wanted, chosen.updates, chosen.rounds))
    finally:
        postgres.close()
    show(results)
    if chosen.json:
        chosen.json.write_bytes(msgspec.json.format(msgspec.json.encode(results)))
    return 1 if results.unmeasured else 0


async def measured(wanted: Sequence[Contender], updates: int, rounds: int) -> Results:
    """Every contender once in each round, so that a noisy minute meets all of them."""
    cores = Cores.here()
    results = Results(
        began=datetime.now(UTC).replace(microsecond=0),
        machine=machine(cores),
        command=shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]]),
        updates=updates,
        load=[],
        rounds={one.name: [] for one in wanted},
        unmeasured={},
    )
    ready = [one for one in wanted if await _prepared(one, results)]
    for number in range(rounds):
        results.load.append(os.getloadavg())
        for one in ready:
            told = f"round {number + 1} of {rounds}: {one.name}"
            print(f"\r\033[K{told}", end="", file=sys.stderr, flush=True)
            results.rounds[one.name].append(await _round(one, updates, cores, results))
    print("\r\033[K", end="", file=sys.stderr)
    return results


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
    try:
        return await race.run(contender, updates, cores, FOLDER)
    except NotMeasured as why:
        results.unmeasured[contender.name] = f"in one round: {why}"
        return None


def _named(one: Contender, names: Sequence[str], everybody: Sequence[Contender]) -> bool:
    """Whether it has one of these names, or, where nobody has just that name, a part of one."""
    whole = {contender.name for contender in everybody}
    return any(one.name == name or (name not in whole and name in one.name) for name in names)


def show(results: Results) -> None:
    """Print the tables."""
    low, high = min(one[0] for one in results.load), max(one[0] for one in results.load)
    rounds = max(len(one) for one in results.rounds.values())
    print(f"{results.began:%Y-%m-%d %H:%M} UTC, {results.machine}")
    print(f"{results.command}: {rounds} rounds of {results.updates:,} updates;", end=" ")
    print(f"load average {low:.1f}–{high:.1f}\n")
    for part in (
        report.table(results.rounds, results.unmeasured),
        report.figures(results.rounds),
        report.answers(results.rounds),
    ):
        for line in part:
            print(line)
        print()


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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=(__doc__ or "").partition("\n")[0]
    )
    add = parser.add_argument
    add("--only", action="append", default=[], metavar="NAME", help="its name, or a part of it")
    add("--updates", type=int, default=3000, help="to each bot in each round; default: 3000")
    add("--rounds", type=int, default=4, help="default: 4")
    add("--rate", type=float, default=500, help="updates a second for answer times; default: 500")
    add("--json", type=Path, metavar="FILE", help="keep every number there")
    add("--postgres", default="", metavar="URL", help="a server on this machine; else the tests'")
    return parser


if __name__ == "__main__":
    sys.exit(main())
