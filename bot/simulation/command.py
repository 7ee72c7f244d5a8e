"""The command `simulate`: a town on a database of its own, looked at, told of, and cleared away."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import structlog

from bot.simulation.scenario import MARK, START, Plan
from bot.simulation.town import Tally, Town
from bot.simulation.watch import Broken
from storage import audit, database, schema, sole
from storage.database import is_sqlite, sqlite_path
from storage.sealing import Seal, fresh_key

DEMO = "sqlite:///var/demo.sqlite"
KEY = "BOT_STORAGE__SEAL_KEY"
MEMORY = Path("/dev/shm")  # noqa: S108 - where files never wait for a disk, if there is such a place


class NotOurs(Exception):
    """The database holds what is no demonstration; the message says what to do."""


def simulate(arguments: argparse.Namespace) -> int:
    """Do what the command line says; the status is 1 if anything was wrong."""
    url = arguments.url or (DEMO if arguments.keep else "")
    try:
        with _quiet(), _ground(url, keep=arguments.keep) as (ground, key):
            plan = Plan(
                url=ground,
                key=key,
                members=arguments.members,
                days=arguments.days,
                seed=arguments.seed,
                crashes=arguments.crashes,
                faults=arguments.faults,
                start=_midnight(arguments.start),
            )
            tell(table(run(plan)))
    except (Broken, NotOurs) as wrong:
        tell(f"{wrong}")
        return 1
    if arguments.keep:
        tell(_kept(url))
    return 0


@contextmanager
def _quiet() -> Iterator[None]:
    """Faults are what it is about: the history tells of them, and no log has to."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.disable()
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
        structlog.configure(**before)


def run(plan: Plan) -> Tally:
    """Simulate it.  Raises `Broken` when something is wrong."""
    # The plainest loop there is: what it does first is the same everywhere.
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        return runner.run(Town(plan, tell=tell).live())


def table(tally: Tally) -> str:
    """What came of it, a line each."""
    figures = {
        **{name: f"{count:,}" for name, count in tally.figures.items()},
        "real seconds": f"{tally.seconds:.1f}",
        "digest": tally.digest,
    }
    wide = max(map(len, figures))
    return "\n".join(["", *(f"{name:<{wide}}  {figure}" for name, figure in figures.items())])


# ---------------------------------------------------------------- on which database


@contextmanager
def _ground(url: str, *, keep: bool) -> Iterator[tuple[str, str]]:
    """An empty database of our schema, and the key it is sealed with; gone afterwards unless kept.

    url: empty for one that never waits for a disk
    """
    with ExitStack() as held:
        if not url:
            where = MEMORY if MEMORY.is_dir() else None
            folder = held.enter_context(tempfile.TemporaryDirectory(dir=where))
            url = f"sqlite:///{folder}/town.sqlite"
        asyncio.run(_refuse_what_is_real(url))
        _cleared(url)
        schema.upgrade(url)
        try:
            yield url, _key(url) if keep else fresh_key()
        finally:
            if not keep:
                _cleared(url)


async def _refuse_what_is_real(url: str) -> None:
    """Raise `NotOurs` for a database with members that no simulation made up."""
    found = await schema.found(url)
    if found is None:
        return
    if found != schema.head():
        raise NotOurs(f"this database has schema {found}; give --url an empty one")
    if is_sqlite(url):
        sole.Hold(url).release()
    opened = await database.opened(url, Seal.of(fresh_key()))
    try:
        names = await audit.community_names(opened.reader)
    finally:
        await opened.close()
    if real := [name for name in names if not name.endswith(MARK)]:
        raise NotOurs(
            f"this database is no demonstration: it is of {', '.join(real)}\n  Give --url another;"
            f" what a simulation made up is known by its communities' names, which end in {MARK}"
        )


def _cleared(url: str) -> None:
    """Nothing is left of what an earlier simulation made up there."""
    if is_sqlite(url):
        path = sqlite_path(url)
        for end in ("", "-wal", "-shm"):
            path.with_name(path.name + end).unlink(missing_ok=True)
    elif asyncio.run(schema.found(url)) is not None:
        schema.downgrade(url, "base")


def _key(url: str) -> str:
    """What the kept database is sealed with: the operator's own key, else one beside the file."""
    if key := os.environ.get(KEY, ""):
        return key
    if not is_sqlite(url):
        raise NotOurs(f"set {KEY} first: what is kept is sealed with it (python -m bot key)")
    file = _key_file(url)
    if not file.exists():
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
            opened.write(fresh_key())
    return file.read_text().strip()


def _key_file(url: str) -> Path:
    path = sqlite_path(url)
    return path.with_name(f"{path.name}.key")


# ---------------------------------------------------------------- what is told


def _kept(url: str) -> str:
    own = not os.environ.get(KEY) and is_sqlite(url)
    lines = [
        "",
        "This is demonstration data: nobody in it exists, and the names of its communities"
        f" end in {MARK}.",
        "To look at it, point the bot's pages at it:",
        f"  export BOT_STORAGE__URL={url if is_sqlite(url) else '…'}",
    ]
    if own:
        lines.append(f"  export {KEY}=$(cat {_key_file(url)})")
    return "\n".join(lines)


def _midnight(day: str | None) -> datetime:
    """The day's beginning in UTC; without one, the day that every simulation begins on."""
    return START if day is None else datetime.fromisoformat(day).replace(tzinfo=UTC)


def tell(line: str) -> None:
    """Say it at once, also to a pipe."""
    print(line, flush=True)  # noqa: T201 - a command says what it found by printing it
