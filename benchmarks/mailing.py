"""A message to many, by `python -m bot broadcast` beside the running bot: its pace and its cost."""

from __future__ import annotations

import asyncio
import os
import subprocess
import tempfile
from functools import partial
from pathlib import Path

from benchmarks import cost, filled, ours, race
from benchmarks.contenders import ROOT, NotMeasured, Place, Start
from benchmarks.past import Size
from benchmarks.race import Cores
from benchmarks.server import News, Order
from benchmarks.trials import Finding, Trial

TEXT = "{name}, on Saturday we taste this year's first teas, from three. Bring a cup and a friend."
REACH = 0.95  # of the rate
MOST_CPU = 60.0  # seconds for `MANY`
MANY = 100_000
ENDS = "SELECT count(*) FROM campaigns WHERE state = 'done' AND sent = {count}"
SETTLING = 20.0  # seconds in which the last of it is written down


def trials(members: int, minutes: float) -> list[Trial]:
    """To so many at the rate that is paid for, and for so many minutes at everybody's; 0: not."""
    slowly = int(minutes * 60 * 30)
    many = Trial(f"ours, broadcast to {members:,}", partial(_run, members=members, rate=1000))
    few = Trial(
        f"ours, broadcast, 30 a second for {minutes:g} min",
        partial(_run, members=slowly, rate=30),
    )
    return [many] * (members > 0) + [few] * (slowly > 0)


async def _run(cores: Cores, folder: Path, *, members: int, rate: int) -> list[Finding]:
    with tempfile.TemporaryDirectory(dir=folder) as made:
        async with race.telegram(cores.rest) as api:
            place = Place(Path(made), api.url, race.free_port(), members)
            await filled.fill(ours.on_disk(place), Size(members, 0))
            start = ours.started(place, ours.on_disk(place), per_second=rate, seal_key=filled.KEY)
            try:
                async with race.running(start, place, cores) as pids:
                    news, cpu = await _sent(api, place, start, pids, cores)
            except TimeoutError:
                raise NotMeasured(f"it fell silent{race.last_words(place)}") from None
    return _findings(news, cpu, rate)


async def _sent(
    api: race.Telegram, place: Place, start: Start, pids: tuple[int, ...], cores: Cores
) -> tuple[News, float]:
    """How it came, and the CPU seconds it took, those of the command included."""
    count = place.count
    await api.hears("ready")
    await race.quiet(pids)
    await api.order(Order("watch", count=count))
    spent = cost.cpu_seconds(pids)
    command = await _commanded(place, start, cores)
    news = await api.hears("said", updates=count)
    await _ended(place)
    cpu, _ = await race.quiet(pids)
    stands = await api.stands()
    if stands.sends != count or news.chats != count:
        raise NotMeasured(f"{stands.sends} messages to {news.chats} of {count}")
    return news, cpu - spent + command


async def _commanded(place: Place, start: Start, cores: Cores) -> float:
    """Have it written; the CPU seconds of that."""
    words = ("--community", ours.COMMUNITY, "--text", TEXT, "--yes")
    with (place.folder / "log-broadcast").open("wb") as log:
        process = subprocess.Popen(  # noqa: ASYNC220, S603 - our own bot; it is waited for aside
            ours.command(place, "broadcast", *words), cwd=ROOT, env=start.environment,
            stdout=log, stderr=log, preexec_fn=race.pinned(cores.bot),
        )  # fmt: skip
    _, status, used = await asyncio.to_thread(os.wait4, process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise NotMeasured(f"the command failed{race.last_words(place)}")
    return used.ru_utime + used.ru_stime


async def _ended(place: Place) -> None:
    """Wait until its end, with the right figures, is written down."""
    question = ENDS.format(count=place.count)
    try:
        async with asyncio.timeout(SETTLING):
            while not ours.kept_on_disk(ours.file(place), question):  # noqa: ASYNC110 - another's
                await asyncio.sleep(0.2)
    except TimeoutError:
        raise NotMeasured("its end was never written down") from None


def _findings(news: News, cpu: float, rate: int) -> list[Finding]:
    pace = (news.sends - 1) / news.seconds
    for_many = cpu / news.sends * MANY
    what = f"broadcast to {news.sends:,} at {rate:,} a second"
    found = [
        Finding(
            f"{what}: rate reached",
            f"{pace / rate:.1%}",
            f"≥ {REACH:.0%}",
            pace / rate >= REACH,
        ),
        Finding(f"{what}: fullest second", str(news.busiest), f"≤ {rate:,}", news.busiest <= rate),
    ]
    if rate * MANY / 1000 >= MANY:
        found.append(
            Finding(
                f"{what}: CPU s for {MANY:,}",
                f"{for_many:.1f}",
                f"≤ {MOST_CPU:g}",
                for_many <= MOST_CPU,
            )
        )
    return found
