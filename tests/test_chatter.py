"""Chatter: group talk is kept and counted without a turn, and nothing it may change is missed."""

from __future__ import annotations

from dataclasses import replace

from handlers.turn import Kind, Where
from storage import members, quarantine
from tests.community import GROUP, Community, Resident


async def kept(town: Community) -> int:
    """How many messages of the group the past holds."""
    found = await town.house.database.reader.value(
        "SELECT count(*) FROM interactions WHERE place = :place AND kind = 'said'", place=GROUP
    )
    return int(found)


async def test_talk_is_kept_and_counted_once(town: Community, ana: Resident) -> None:
    before = (await ana.known()).messages
    for n in range(5):
        await ana.says(f"talk {n}", group=True, addressed=False)
    assert (await ana.known()).messages == before + 5
    assert await kept(town) == 5
    assert len(town.group) == 1  # the welcome


async def test_a_regular_needs_no_turn(town: Community, ana: Resident) -> None:
    await ana.says("first", group=True, addressed=False)
    talk = ana._event(
        Kind.SAID, where=Where(id=GROUP, private=False), text="second", addressed=False
    )
    assert await town.house.pipeline._take_down(talk) is None
    assert await kept(town) == 2


async def test_a_repeat_is_not_counted_again(town: Community, ana: Resident) -> None:
    await ana.says("first", group=True, addressed=False)
    before = (await ana.known()).messages
    talk = ana._event(
        Kind.SAID, where=Where(id=GROUP, private=False), text="again", addressed=False
    )
    await town.happens(talk, talk)
    await town.happens(talk)
    assert (await ana.known()).messages == before + 1


async def test_half_a_character_holds_nobody_up(town: Community, ana: Resident) -> None:
    """As platforms that do not look let through; it becomes a question mark."""
    for text in ("first", "half \ud83d of a smile", "third"):
        await ana.says(text, group=True, addressed=False)
    assert await kept(town) == 3
    await ana.says("and \ud83d in private")
    assert await quarantine.count(town.house.database.reader) == 0


async def test_talk_told_of_after_its_speaker_left_brings_nobody_back(
    town: Community, ana: Resident
) -> None:
    talk = ana._event(Kind.SAID, where=Where(id=GROUP, private=False), text="x", addressed=False)
    await town.passes(minutes=1)
    await ana.leaves()
    await town.happens(talk)
    assert (await ana.known()).status == "left"


async def test_a_new_name_is_noticed_in_the_middle_of_talk(town: Community, ana: Resident) -> None:
    await ana.says("first", group=True, addressed=False)
    ana.name = "Anna"
    await ana.says("second", group=True, addressed=False)
    assert (await ana.known()).name == "Anna"


async def test_who_left_and_was_forgotten_is_looked_at_anew(town: Community, ana: Resident) -> None:
    await ana.says("first", group=True, addressed=False)
    old = await ana.known()
    await ana.says("/forget")
    await ana.presses(next(one for one in ana.last.buttons if one.startswith("privacy.forget")))
    await ana.says("hello again", group=True, addressed=False)
    assert (await ana.known()).id != old.id


async def test_commands_and_mentions_still_have_their_turn(town: Community, ana: Resident) -> None:
    await ana.says("first", group=True, addressed=False)
    await ana.says("/checkin", group=True, addressed=False)
    assert ana.heard("checkin.done")


async def test_talk_keeps_last_seen_from_going_back(town: Community, ana: Resident) -> None:
    await ana.says("first", group=True, addressed=False)
    latest = (await ana.known()).last_seen_at
    known = await ana.known()
    assert known.last_seen_at is not None
    early = replace(known, last_seen_at=None)
    await town.house.database.writer.settle(
        [members.heard(early.id, messages=0, at=town.clock.now().replace(year=2020))]
    )
    assert (await ana.known()).last_seen_at == latest
