"""Our own bot, as operators run it: `python -m bot run`, on each database, each way in."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import sys
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks import race, talk
from benchmarks.contenders import (
    CHATTER,
    CHECK_IN,
    TOKEN,
    Contender,
    NotMeasured,
    Place,
    Start,
    Work,
)
from benchmarks.postgres import Postgres
from storage.pending import SHARES
from storage.sealing import fresh_key

COMMUNITY = "Harbour Tea"
CONFIG = """
[telegram]
api = "{api}"
mode = "{mode}"
webhook_url = "http://127.0.0.1:{port}/hooks/telegram"
per_second = {per_second:.1f}

[storage]
keep_days = 36500  # a database that was filled on another day stays as it is

[web]
port = {port}

[checkin]
remind_at = {remind_at}  # not during the round

[quiet_hours]  # none: what is said unasked is said at once
start = 00:00:00
end = 00:00:00

[[community]]
name = "{community}"
telegram.chats = [{group}]
"""
UNLIMITED = 1_000_000.0  # messages a second: the platform's limit is not what is measured

# What must have been kept of each work, if so many updates were told of.
KEPT = {
    "checkin": "SELECT count(*) FROM facts WHERE name = 'checked_in' AND at >= {since}",
    "chatter": (
        "SELECT count(*) FROM interactions"
        " WHERE direction = 'in' AND kind = 'said' AND at >= {since}"
    ),
}

CHECK_IN_NAME = "ours, check-in"
WORKERS = 3
SHARING = 30.0  # seconds that processes may take to divide the work


def contenders(postgres: Postgres, rate: float) -> list[Contender]:
    """Our bot with every work it is measured at.

    rate: updates a second, where it is measured how long an answer takes; 0: half of what it takes
    """
    if rate:
        steady = _on_sqlite(f"ours, check-in, {rate:g} a second", replace(CHECK_IN, rate=rate))
    else:
        half = replace(CHECK_IN, rate=500, half_of=CHECK_IN_NAME)
        steady = _on_sqlite("ours, check-in, half load", half)
    return [
        _on_sqlite(CHECK_IN_NAME, CHECK_IN),
        _on_sqlite("ours, check-in, webhook", CHECK_IN, "webhook"),
        _on_sqlite("ours, group chatter", CHATTER),
        steady,
        _on_postgres("ours, check-in, PostgreSQL", CHECK_IN, postgres),
        _on_postgres("ours, check-in, PostgreSQL, 3 workers", CHECK_IN, postgres, workers=WORKERS),
        _on_postgres("ours, check-in, PostgreSQL, webhook", CHECK_IN, postgres, "webhook"),
        _on_postgres(
            "ours, check-in, PostgreSQL, webhook, 3 workers",
            CHECK_IN,
            postgres,
            "webhook",
            workers=WORKERS,
        ),
        _on_postgres("ours, group chatter, PostgreSQL", CHATTER, postgres),
    ]


def _on_sqlite(name: str, work: Work, mode: str = "polling") -> Contender:
    async def start(place: Place) -> Start:
        return started(place, on_disk(place), mode=mode)

    async def check(place: Place, count: int) -> str:
        return missing(kept_on_disk(file(place), asked(work)), count)

    return Contender(name, start, work, check=check)


def _on_postgres(
    name: str,
    work: Work,
    postgres: Postgres,
    mode: str = "polling",
    *,
    workers: int = 1,
) -> Contender:
    async def start(place: Place) -> Start:
        url = await postgres.create(place)
        return started(place, url, mode=mode, others=(postgres.pid,), processes=workers)

    async def settled(place: Place) -> None:
        await divided(place, workers)

    async def check(place: Place, count: int) -> str:
        return missing(await postgres.value(place, asked(work)), count)

    return Contender(
        name,
        start,
        work,
        prepare=postgres.prepare,
        settled=settled,
        check=check,
        finish=postgres.drop,
    )


def started(
    place: Place,
    url: str,
    *,
    mode: str = "polling",
    per_second: float = UNLIMITED,
    seal_key: str = "",
    others: tuple[int, ...] = (),
    processes: int = 1,
    heard: int = 0,
) -> Start:
    """How the bot is started there, on the database at this URL.

    processes: how many of it share the database, and the port
    seal_key:  of what is sealed in it already, if anything is
    """
    later = (datetime.now(UTC) + timedelta(hours=6)).strftime("%H:%M:%S")
    config = CONFIG.format(
        api=place.api,
        mode=mode,
        port=place.port,
        per_second=per_second,
        remind_at=later,
        community=COMMUNITY,
        group=talk.GROUP,
    )
    (place.folder / "config.toml").write_text(config, "utf-8")
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("BOT_")},
        "BOT_TELEGRAM__TOKEN": TOKEN,
        "BOT_TELEGRAM__WEBHOOK_SECRET": "only-telegram-knows",
        "BOT_STORAGE__URL": url,
        "BOT_STORAGE__SEAL_KEY": seal_key or fresh_key(),
    }
    return Start((command(place, "run"),) * processes, environment, others, heard)


def command(place: Place, name: str, *words: str) -> list[str]:
    """One of the bot's own commands, there."""
    return [
        sys.executable,
        "-m",
        "bot",
        name,
        "--config",
        str(place.folder / "config.toml"),
        *words,
    ]


def file(place: Place) -> Path:
    """Where its SQLite database is."""
    return place.folder / "bench.sqlite"


def on_disk(place: Place) -> str:
    """The URL of that."""
    return f"sqlite:///{file(place)}"


async def divided(place: Place, processes: int) -> None:
    """Wait until all its processes run, and each has its share of the lanes.

    Raises `NotMeasured` if that does not come about.
    """
    fair = -(-SHARES // processes)
    try:
        async with asyncio.timeout(SHARING):
            while True:
                told = [_told(lines) for lines in race.logs(place)]
                shares = [_share(one) for one in told]
                if all(map(_runs, told)) and sum(shares) == SHARES and max(shares) <= fair:
                    return
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise NotMeasured("its processes did not share the work") from None


def _told(lines: list[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]


def _runs(told: list[dict[str, Any]]) -> bool:
    return any(one.get("event") == "running" for one in told)


def _share(told: list[dict[str, Any]]) -> int:
    """How many of the lanes' shares a process has, as it last logged that."""
    shares = [one["ours"] for one in told if one.get("event") in ("crew.took", "crew.gave")]
    return int(shares[-1]) if shares else 0


def asked(work: Work, since: int = 0) -> str:
    """The question how often this was said.

    since: microseconds since 1970
    """
    return KEPT[work.name].format(since=since)


def kept_on_disk(path: Path, question: str) -> int:
    """A number out of an SQLite database.  Raises `NotMeasured` if that is broken."""
    try:
        with closing(sqlite3.connect(path)) as connection:
            return int(connection.execute(question).fetchone()[0])
    except sqlite3.DatabaseError as error:
        raise NotMeasured(f"{path.name}: {error}") from error


def missing(found: int, count: int) -> str:
    """What is wrong if so many were kept of so many; empty if nothing is."""
    return "" if found == count else f"{found} of {count} were kept"
