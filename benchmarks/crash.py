"""Kills the real bot under load, hundreds of times, and audits that nothing is lost or doubled.

    python -m benchmarks.crash [--kills 200] [--database sqlite|postgresql|both]
        [--mode polling|webhook|both] [--workers 1|3] [--seed N] [--power] [--tree FOLDER]

People join, talk, check in, press, ask, invite and call for staff on a Bot API server that repeats
and reorders updates, answers 429 and 502, resets connections and falls silent; meanwhile the bot is
killed with SIGKILL at random moments and at the tenderest points of its work, and started again.
In the end everything is let settle, and what was told and sent is compared with every table.
docs/reliability.md says what is promised, and how to read what comes out.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import msgspec

from benchmarks.crash_audit import audit
from benchmarks.crash_campaign import EVIDENCE, Report, campaign
from benchmarks.crash_evidence import Evidence
from benchmarks.crash_power import NoCompiler
from benchmarks.crash_setting import RATE, ROOT, Plan

# ---------------------------------------------------------------- showing


def shown(report: Report) -> str:
    """The campaign as a few lines for people."""
    found, kinds = report.tally, Counter(one.promise for one in report.violations)
    points = ", ".join(f"{count} {point}" for point, count in report.points.most_common())
    lines = [
        f"{report.plan.name}, seed {report.plan.seed}: {report.seconds:.0f} s",
        f"  kills {report.kills} ({points})",
        f"  updates {found.updates}, handed out again {found.repeated_updates}",
        f"  messages {found.sends}, repeated {found.repeated_sends},"
        f" at most once and unknown {found.unknowns},"
        f" blamed and set aside {found.set_aside}, 429 {found.asked_to_slow_down}",
        f"  fullest: {found.largest}; slowest recovery {found.slowest_recovery:.1f} s",
        f"  lost {kinds['lost']}, twice {kinds['twice']}, out of order {kinds['order']},"
        f" over a limit {kinds['limit']}, left over {kinds['left over']},"
        f" broken {kinds['broken']}, faults {kinds['fault']}",
    ]
    if report.disk:
        lines.append(f"  disk: {report.disk}")
    for promise in kinds:
        of_it = [one.what for one in report.violations if one.promise == promise]
        lines += [f"  {promise.upper()}: {what}" for what in of_it[:12]]
        lines += [f"  … and {len(of_it) - 12} more"] if len(of_it) > 12 else []
    return "\n".join(lines)


def again(plan: Plan) -> str:
    """How to play the same once more."""
    words = f"--kills {plan.kills} --database {plan.database} --mode {plan.mode}"
    power = " --power" if plan.power else ""
    power += f" --doctored {plan.doctored}" if plan.doctored else ""
    return f"python -m benchmarks.crash {words} --workers {plan.workers} --seed {plan.seed}{power}"


# ---------------------------------------------------------------- the command line


def plans(arguments: argparse.Namespace) -> list[Plan]:
    """Every combination that was asked for."""
    databases = ("sqlite", "postgresql") if arguments.database == "both" else (arguments.database,)
    modes = ("polling", "webhook") if arguments.mode == "both" else (arguments.mode,)
    seed = arguments.seed if arguments.seed is not None else int(time.time()) % 1_000_000
    return [
        Plan(
            database=database,
            mode=mode,
            kills=arguments.kills,
            workers=arguments.workers,
            seed=seed,
            power=arguments.power,
            rate=arguments.rate,
            tree=arguments.tree,
            doctored=arguments.doctored or "",
        )
        for database in databases
        for mode in modes
    ]


def main() -> int:
    """Play every campaign asked for; 1 if any promise was broken."""
    arguments = _arguments()
    if arguments.audit:
        found = audit(msgspec.json.decode(arguments.audit.read_bytes(), type=Evidence))
        print("\n".join(f"{one.promise.upper()}: {one.what}" for one in found) or "all is well")
        return int(bool(found))
    if arguments.workers > 1 and arguments.database != "postgresql":
        print("Several workers share a PostgreSQL database: --database postgresql")
        return 2
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.system()}")
    broken = False
    for plan in plans(arguments):
        print(f"playing: {again(plan)}", flush=True)
        folder = Path(tempfile.mkdtemp(prefix="innkeeper-crash-"))
        try:
            report = asyncio.run(campaign(plan, folder))
        except NoCompiler as missing:
            print(missing)
            continue
        print(shown(report), flush=True)
        if report.violations:
            broken = True
            print(f"  logs and database: {folder}\n  once more: {again(plan)}")
        else:
            shutil.rmtree(folder)
    return int(broken)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.crash", description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--database", choices=("sqlite", "postgresql", "both"), default="sqlite")
    parser.add_argument("--mode", choices=("polling", "webhook", "both"), default="polling")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--rate", type=float, default=RATE, help="things people do a second")
    parser.add_argument("--power", action="store_true", help="each kill takes the power, too")
    parser.add_argument("--audit", type=Path, help=f"only audit this {EVIDENCE} once more")
    parser.add_argument("--tree", type=Path, default=ROOT, help="a checkout whose bot is played")
    parser.add_argument(
        "--doctored", choices=("OFF", "NORMAL"), help="play a bot that syncs no more than that"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
