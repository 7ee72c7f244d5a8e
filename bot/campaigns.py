"""Campaigns from the command line: written and steered beside a bot that is running."""

from __future__ import annotations

import asyncio
from argparse import Namespace
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from bot import config
from bot.chores import with_database
from handlers import broadcast as capability
from handlers import discovered
from storage import campaigns, communities
from storage.campaigns import Audience, Campaign
from storage.communities import Community
from storage.database import Database
from storage.ids import Ids
from storage.writer import Change, Miss

STEERING: dict[str, Callable[[int], list[Change]]] = {
    "pause": campaigns.paused,
    "resume": campaigns.resumed,
    "cancel": campaigns.cancelled,
}
BECAME = {"pause": "is paused", "resume": "goes on", "cancel": "is cancelled"}


def broadcast(arguments: Namespace) -> int:
    """Write a message to many members, or show and steer those there are."""
    found = config.read(arguments.config, discovered())
    found.require_key()
    return asyncio.run(with_database(found, _wanted(arguments)))


def _wanted(arguments: Namespace) -> Callable[[Database], Awaitable[int]]:
    """What the options ask for."""
    if arguments.list:
        return listed
    if arguments.show is not None:
        return partial(shown, number=arguments.show)
    for verb in STEERING:
        if (number := getattr(arguments, verb)) is not None:
            return partial(steered, verb=verb, number=number)
    return partial(
        written,
        community=arguments.community or "",
        text=_text(arguments.text, arguments.file),
        audience=_audience(arguments.audience, arguments.language),
        sure=_yes if arguments.yes else _asked,
    )


async def written(
    opened: Database,
    *,
    community: str,
    text: str,
    audience: Audience,
    sure: Callable[[int], bool],
) -> int:
    """Show what would be sent and to how many; if that is meant, leave it to the running bot."""
    known = await communities.read(opened.reader)
    named = known.named(community) if community else _only(list(known.communities.values()))
    if named is None:
        names = ", ".join(one.name for one in known.communities.values())
        _tell(f"--community must name one of these: {names}")
        return 1
    if not text or len(text) > capability.LONGEST:
        _tell(f"a message has between 1 and {capability.LONGEST} characters: --text or --file")
        return 1
    now = datetime.now(UTC)  # noqa: TID251 - the edge
    reach = await campaigns.reach(opened.reader, named.id, audience, now)
    _tell(f"{text}\n")
    _tell(f"to {reach.reached} members of {named.name}, who read it outside of their quiet hours")
    _tell(f"not to {reach.silenced} who want nothing unasked")
    _tell(f"not to {reach.homeless} who have no private chat with the bot")
    if not reach.reached or not sure(reach.reached):
        _tell("nothing is sent")
        return 1
    ids = Ids(opened.writer, block=1)
    await ids.refill(1)
    campaign = Campaign(ids.take(), named.id, text, audience=audience)
    await opened.writer.settle(
        [
            campaigns.drafted(campaign, at=now),
            campaigns.started(campaign.id, total=reach.reached, at=now),
        ]
    )
    _tell(f"{campaign.id} is on its way as soon as a bot is running")
    _tell(f"how far it is: python -m bot broadcast --show {campaign.id}")
    return 0


async def listed(opened: Database) -> int:
    """Print the last ones, newest first."""
    known = await communities.read(opened.reader)
    latest = await campaigns.latest(opened.reader, most=20)
    for one in latest:
        where = known.community(one.community)
        words = " ".join(one.text.split())
        _tell(f"{one.id}  {_state(one)}  {where.name if where else '?'}: {words[:40]}")
    _tell(f"{len(latest)} broadcasts; of each: --show, --pause, --resume, --cancel NUMBER")
    return 0


async def shown(opened: Database, *, number: int) -> int:
    """Print one, with its figures."""
    one = await campaigns.by_id(opened.reader, number)
    if one is None:
        return _unknown(number)
    _tell(f"{one.id}  {_state(one)}\n\n{one.text}\n")
    for outcome, count in one.counts.items():
        _tell(f"{outcome:9} {count}")
    _tell(f"{'not sent' if one.state == 'cancelled' else 'left':9} {one.left}")
    return 0


async def steered(opened: Database, *, verb: str, number: int) -> int:
    """Pause it, resume it, or cancel it for good."""
    one = await campaigns.by_id(opened.reader, number)
    if one is None:
        return _unknown(number)
    try:
        await opened.writer.settle(STEERING[verb](number))
    except Miss:
        _tell(f"{number} is {one.state}: there is nothing to {verb}")
        return 1
    _tell(f"{number} {BECAME[verb]}")
    return 0


def _state(one: Campaign) -> str:
    began = one.started_at or one.created_at
    when = f"{began:%Y-%m-%d %H:%M} UTC" if began else ""
    return f"{when}  {one.state}: {one.settled} of {one.total}"


def _unknown(number: int) -> int:
    _tell(f"there is no broadcast {number}")
    return 1


def _only(known: list[Community]) -> Community | None:
    return known[0] if len(known) == 1 else None


def _text(text: str | None, file: Path | None) -> str:
    if file is not None:
        return file.read_text("utf-8").strip()
    return (text or "").strip()


def _audience(code: str, language: str | None) -> Audience:
    return replace(capability.AUDIENCES[code], language=language or "")


def _asked(count: int) -> bool:
    """Whether whoever sits there says yes; nobody who cannot be asked does."""
    try:
        return input(f"Send it to {count} members? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


def _yes(_: int) -> bool:
    return True


def _tell(line: str) -> None:
    print(line)  # noqa: T201 - a chore says what it found by printing it
