"""What was set aside: given another try, or let go of, from the command line and the dashboard."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum

import msgspec

from bot import wire
from storage import pending
from storage import quarantine as held
from storage.database import Database
from storage.ids import Ids
from storage.pending import Waiting
from storage.quarantine import Quarantined
from storage.writer import Miss


class Tried(StrEnum):
    """What came of giving it another try."""

    WAITS = "waits"
    GONE = "gone"  # there is nothing under that number, or no longer
    UNREADABLE = "unreadable"  # it can only be dropped


def readable(one: Quarantined) -> bool:
    """Whether it is an event or a letter that could be given another try."""
    return wire.waiting_again(one) is not None


async def retry(database: Database, number: int) -> Tried:
    """Put it back among what waits; a bot that is running takes it up within half a minute."""
    one = await held.by_id(database.reader, number)
    if one is None:
        return Tried.GONE
    again = wire.waiting_again(one)
    if again is None:
        return Tried.UNREADABLE
    if again.kind == "out":
        again = await _anew(database, again)
    try:
        await database.writer.settle([held.released(number), pending.put(again, at=one.at)])
    except Miss:  # somebody else was quicker
        return Tried.GONE
    return Tried.WAITS


async def drop(database: Database, number: int) -> bool:
    """Delete it; False if there is nothing under that number."""
    try:
        await database.writer.settle([held.released(number)])
    except Miss:
        return False
    return True


async def _anew(database: Database, letter: Waiting) -> Waiting:
    """The letter under another number: under its own, the log has it as failed for good."""
    ids = Ids(database.writer, block=1)
    await ids.refill(1)
    id = ids.take()
    renamed = msgspec.structs.replace(wire.letter(letter.payload), id=id)
    return replace(letter, id=id, key=f"out:{id}", payload=wire.packed_letter(renamed))
