"""What a crash campaign is played with: the plan, the town it needs, and the bot's settings."""

from __future__ import annotations

import re
import shutil
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from benchmarks.crash_people import Quarter
from tests.botapi import BotAPI

ROOT = Path(__file__).parent.parent
RATE = 12.0  # things that people do a second
QUARTERS = 3
RESIDENTS = 8  # of each quarter, at the beginning

HEAD = """
[telegram]
api = "{api}"
mode = "{mode}"
webhook_url = "http://127.0.0.1:{port}/hooks/telegram"

[web]
port = {port}

[welcome]
gather = 3
names = 50

[faq]
patience = 100  # who asks what nobody knows is not always handed over

[checkin]
remind_at = {later}  # not during the campaign
"""
COMMUNITY = """
[[community]]
name = "{name}"
zone = "{zone}"
language = "en"
knowledge = "{knowledge}"
telegram.chats = [{group}]
telegram.staff = {desk}
"""


@dataclass(frozen=True)
class Plan:
    """What a campaign is to do."""

    database: str = "sqlite"  # or "postgresql"
    mode: str = "polling"  # or "webhook"
    kills: int = 200
    workers: int = 1
    seed: int = 1
    power: bool = False  # each kill takes the power, too
    rate: float = RATE
    quarters: int = QUARTERS
    residents: int = RESIDENTS
    founding: int = 2  # where power is taken: starts that end while the schema is made
    tree: Path = ROOT  # whose bot it is
    doctored: str = ""  # how little it syncs, if that is to be found out

    @property
    def name(self) -> str:
        power = ", power" if self.power else ""
        workers = f", {self.workers} workers" if self.workers > 1 else ""
        return f"{self.database}, {self.mode}{workers}{power}"


def roles(plan: Plan) -> list[tuple[str, ...]]:
    """The words for each process: one does everything, or several share the work."""
    if plan.workers == 1:
        return [()]
    if plan.mode == "webhook":
        return [("--role", "web"), *[("--role", "worker")] * (plan.workers - 1)]
    return [("--role", "all")] * plan.workers


def quarter(api: BotAPI, number: int) -> Quarter:
    owner = api.person("Olga")
    staff = [api.person("Lin"), api.person("Mo")]
    group = api.group(f"Harbour Tea {number}", owner, owner=owner)
    desk = api.group(f"Desk {number}", *staff, owner=owner, forum=True)
    return Quarter(f"Harbour Tea {number}", group, desk, staff, asleep=number == 1)


def config(plan: Plan, api: BotAPI, quarters: Sequence[Quarter], port: int) -> str:
    now = datetime.now(UTC)
    later = (now + timedelta(hours=6)).astimezone(_zone_where(now, 12)[1]).time()
    head = HEAD.format(api=api.url, mode=plan.mode, port=port, later=f"{later:%H:%M:%S}")
    return head + "".join(
        COMMUNITY.format(
            name=one.name,
            zone=_zone_where(now, 2 if one.asleep else 12)[0],
            knowledge=ROOT / "knowledge" / "articles" / "harbour-tea",
            group=one.group.id,
            desk=one.desk.id,
        )
        for one in quarters
    )


def _zone_where(now: datetime, hour: int) -> tuple[str, ZoneInfo]:
    """A zone in which it is about that hour of the day."""
    ahead = (hour - now.hour + 11) % 24 - 11
    name = f"Etc/GMT{-ahead:+d}" if ahead else "Etc/GMT"
    return name, ZoneInfo(name)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def doctored(tree: Path, *, synchronous: str) -> Path:
    """A copy of this checkout whose SQLite syncs less than it should: the audit must find it out.

    synchronous: "OFF" never syncs, "NORMAL" only when the log of writes is put into the database
    """
    rooms = ("bot", "handlers", "knowledge", "storage")
    for room in rooms:
        shutil.copytree(ROOT / room, tree / room, ignore=shutil.ignore_patterns("__pycache__"))
    changed = 0
    for file in (tree / "storage").rglob("*.py"):
        text = file.read_text("utf-8")
        other = SYNCHRONOUS.sub(rf"\g<1>{synchronous}", text)
        changed += other != text
        file.write_text(other, "utf-8")
    if not changed:
        raise LookupError("nothing in storage/ says PRAGMA synchronous = FULL any more")
    return tree


SYNCHRONOUS = re.compile(r"(PRAGMA synchronous ?= ?)FULL")
