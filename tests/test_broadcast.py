"""Broadcast: an admin writes once, each member reads it once, and every letter is accounted for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

import handlers
from bot import config
from bot.app import House
from bot.channels import Faltered, NotNow, Said
from handlers.turn import Kind, Media, To
from storage import campaigns, members, privacy
from storage.campaigns import Campaign
from storage.sealing import fresh_key
from storage.writer import Miss
from tests.community import Community, Delivered, Resident, Street, TownClock
from tests.test_cli import bot as run

NIGHT = datetime(2025, 3, 3, 13, 30, tzinfo=UTC)  # half past nine in Shanghai, and ten in Tokyo


@pytest.fixture
async def lin(town: Community) -> Resident:
    """Somebody who may write to everybody."""
    return await town.admin("Lin")


async def press(who: Resident, verb: str, *, more: str = "", on: Delivered | None = None) -> None:
    """Press the button under the latest message that has it, as a platform tells of it."""
    on = on or next(
        one
        for one in reversed(who.inbox)
        if any(data.startswith(f"broadcast.{verb}:") for data in one.buttons)
    )
    data = next(
        one for one in on.buttons if one.startswith(f"broadcast.{verb}:") and one.endswith(more)
    )
    await who.town.happens(
        who._event(
            Kind.PRESSED,
            where=who._where(False),
            data=data,
            press=who.town.number("press"),
            message=on.id,
        )
    )


async def crowd(town: Community, count: int) -> list[Resident]:
    return [await town.resident(f"Guest {n}") for n in range(count)]


async def only(town: Community) -> Campaign:
    """The one broadcast that was begun."""
    (found,) = await campaigns.latest(town.house.database.reader)
    return found


def read(who: Resident, text: str) -> int:
    """How often they were told this."""
    return sum(one.text == text for one in who.inbox)


def readers(everybody: Iterable[Resident], text: str) -> list[str]:
    return [who.name for who in everybody for _ in range(read(who, text))]


def adds_up(campaign: Campaign) -> bool:
    return campaign.settled == campaign.total and campaign.ended_at is not None


# ---------------------------------------------------------------- the whole of it


async def test_an_admin_writes_once_and_everybody_reads_it_once(
    town: Community, lin: Resident
) -> None:
    guests = await crowd(town, 5)
    await lin.says("/broadcast")
    assert lin.last.key == "broadcast.ask"
    await lin.says("Hello {name}, tea at {four}!")
    preview, summary = lin.inbox[-2:]
    assert preview.text == "Hello Lin, tea at {four}!"
    assert "6 members get it." in summary.text
    await press(lin, "send")
    for guest in guests:
        assert read(guest, f"Hello {guest.name}, tea at {{four}}!") == 1
    assert lin.last.key == "broadcast.done"
    assert lin.last.text.endswith("6 members have it.")
    assert summary.said.key == "broadcast.state.done"
    assert summary.buttons == []
    campaign = await only(town)
    assert adds_up(campaign)
    assert campaign.counts["sent"] == 6


async def test_it_may_be_a_picture_and_come_with_the_command(
    town: Community, lin: Resident
) -> None:
    (guest,) = await crowd(town, 1)
    await lin.says("/broadcast New teapots", media=(Media("photo", "file-1"),))
    assert lin.inbox[-2].said.media == (("photo", "file-1", ""),)
    await press(lin, "send")
    assert guest.last.said.media == (("photo", "file-1", ""),)
    assert guest.last.text == "New teapots"


async def test_pressed_twice_it_is_sent_once(town: Community, lin: Resident) -> None:
    guests = await crowd(town, 3)
    await lin.says("/broadcast Hello")
    summary = lin.last
    data = next(one for one in summary.buttons if one.startswith("broadcast.send"))
    await lin.presses(data)
    await lin.presses(data)
    assert lin.last.key == "broadcast.begun"
    assert readers(guests, "Hello") == [guest.name for guest in guests]


async def test_only_who_is_in_charge_may_write_or_press(town: Community, lin: Resident) -> None:
    mallory = await town.resident("Mallory")
    await lin.says("/broadcast Hello")
    send = next(one for one in lin.last.buttons if one.startswith("broadcast.send"))
    await mallory.says("/broadcast Buy my coins")
    await mallory.presses(send)
    assert [one.key for one in mallory.inbox[-2:]] == ["house.not_allowed"] * 2
    assert await campaigns.latest(town.house.database.reader) == []


async def test_in_the_group_nobody_is_asked_what_to_write(town: Community, lin: Resident) -> None:
    await lin.says("/broadcast Hello", group=True)
    assert town.group_heard("broadcast.in_private")


async def test_what_is_dropped_is_never_sent(town: Community, lin: Resident) -> None:
    guests = await crowd(town, 2)
    await lin.says("/broadcast Hello")
    send = next(one for one in lin.last.buttons if one.startswith("broadcast.send"))
    await press(lin, "drop")
    await lin.presses(send)
    assert lin.last.key == "broadcast.dropped_before"
    assert readers(guests, "Hello") == []


async def test_what_is_too_long_for_a_message_is_not_cut(town: Community, lin: Resident) -> None:
    await lin.says("/broadcast " + "x" * 3900)
    assert lin.last.key == "broadcast.too_long"


# ---------------------------------------------------------------- who gets it


async def test_who_does_not_get_it_is_said_before(town: Community, lin: Resident) -> None:
    ana, ben = await crowd(town, 2)
    await town.resident("Cal", home=False)
    await ben.says("/stop")
    await lin.says("/broadcast Hello")
    assert lin.last.text.splitlines()[3:] == [
        "2 members get it.",
        "1 does not: wants nothing unasked.",
        "1 does not: has no private chat with me.",
    ]
    await press(lin, "send")
    assert (read(ana, "Hello"), read(ben, "Hello")) == (1, 0)


async def test_it_may_be_for_some_only(town: Community, lin: Resident) -> None:
    ana = await town.resident("Ana")
    mei = await town.resident("梅", language="zh-hans")
    outsider = await town.resident("Oto", member=False)
    for code, expected in (
        ("zh", [mei.name]),
        ("present", [lin.name, ana.name, mei.name]),
        ("new7", [lin.name, ana.name, mei.name]),
        ("everybody", [lin.name, ana.name, mei.name, outsider.name]),
    ):
        text = f"For {code}"
        await lin.says(f"/broadcast {text}")
        await press(lin, "choose")
        await press(lin, "whom", more=f":{code}")
        await press(lin, "send")
        sent = sum(read(one, text) for one in (ana, mei, outsider))
        # Whoever writes it has seen the preview, too.
        assert sent == len(expected) - (lin.name in expected), code
        assert (await campaigns.latest(town.house.database.reader))[0].total == len(expected)


async def test_those_long_silent_may_be_woken(town: Community, lin: Resident) -> None:
    ana = await town.resident("Ana")
    await town.passes(days=31)
    ben = await town.resident("Ben")
    await lin.says("/broadcast We miss you")
    await press(lin, "choose")
    await press(lin, "whom", more=":silent30")
    await press(lin, "send")
    assert (read(ana, "We miss you"), read(ben, "We miss you")) == (1, 0)


async def test_it_is_told_in_the_language_of_who_writes(town: Community) -> None:
    hua = await town.admin("华", language="zh-hans")
    await hua.says("/broadcast 大家好")
    assert "1 人会收到。" in hua.last.text
    await press(hua, "send")
    assert hua.last.text == "群发已完成。\n\n1 人已收到。"


async def test_who_has_blocked_us_is_counted_and_the_others_get_it(
    town: Community, lin: Resident
) -> None:
    guests = await crowd(town, 19)
    town.street.closed.add(guests[7].home)
    await lin.says("/broadcast Hello")
    await press(lin, "send")
    assert len(readers(guests, "Hello")) == 18
    assert lin.last.text.splitlines()[2:] == ["19 members have it.", "1 could not be reached."]
    assert adds_up(await only(town))
    assert (await guests[7].known()).home == ""


async def test_at_night_it_waits_for_morning(town: Community, lin: Resident) -> None:
    ana, ben = await crowd(town, 2)
    known = await ben.known()
    await town.house.database.writer.settle([members.arrived_in_zone(known.id, "Asia/Tokyo")])
    await town.passes(seconds=(NIGHT - town.clock.now()).total_seconds())
    await lin.says("/broadcast Hello")
    assert "For 1 of them I keep quiet now" in lin.last.text
    await press(lin, "send")
    assert (read(ana, "Hello"), read(ben, "Hello")) == (1, 0)
    assert (await only(town)).state == "running"
    await town.passes(hours=9)
    assert read(ben, "Hello") == 0
    await town.passes(hours=1, minutes=1)
    assert read(ben, "Hello") == 1
    assert adds_up(await only(town))
    assert lin.last.key == "broadcast.done"


# ---------------------------------------------------------------- while it is on its way


class Moody(Street):
    """A street on which broadcasts, and nothing else, may be slow, fail, or hang."""

    def __init__(self) -> None:
        super().__init__()
        self.mood: Exception | None = None
        self.hangs_after: int | None = None  # so many of them
        self.hung: list[str] = []
        self.hangs = asyncio.Event()

    async def send(self, to: To, said: Said) -> str:
        if not said.key:
            if self.mood is not None:
                raise self.mood
            if self.hangs_after is not None and self.hangs_after <= 0:
                self.hung.append(to.place)
                self.hangs.set()
                await asyncio.Event().wait()
            if self.hangs_after is not None:
                self.hangs_after -= 1
        return await super().send(to, said)


async def founded(
    url: str, street: Street, *, key: str = "A" * 43 + "=", clock: TownClock | None = None
) -> Community:
    """A town on a street of its own, which stops without much ado."""
    contents = {
        "bot": {"drain_seconds": 0.2},
        "storage": {"url": url, "seal_key": key},
        "community": [{"name": "Harbour Tea", "zone": "Asia/Shanghai", "language": "en"}],
    }
    found = handlers.discovered()
    clock = clock or TownClock()
    checked = config.checked(Path("config.toml"), contents, found)
    house = House(checked, found, [street], clock, seed=7)
    await house.open()
    town = Community(house, street, clock)
    await town._settle_places()
    return town


@pytest.fixture
def street() -> Moody:
    return Moody()


@pytest.fixture
async def slow(url: str, street: Moody) -> AsyncIterator[Community]:
    """A town in which whoever is written to asks to wait a minute."""
    town = await founded(url, street)
    yield town
    await town.close()


async def begun(town: Community, lin: Resident, text: str = "Hello") -> None:
    """A broadcast of which nobody has anything yet."""
    assert isinstance(town.street, Moody)
    await lin.says(f"/broadcast {text}")
    town.street.mood = NotNow(60)
    await press(lin, "send")
    town.street.mood = None


async def test_who_says_stop_meanwhile_or_is_forgotten_gets_nothing_and_is_counted(
    slow: Community,
) -> None:
    lin = await slow.admin("Lin")
    ana, ben, cal = await crowd(slow, 3)
    await begun(slow, lin)
    await ana.says("/stop")
    await slow.house.database.writer.settle(privacy.forgotten((await ben.known()).id))
    await slow.passes(minutes=3)
    assert readers([ana, ben, cal], "Hello") == [cal.name]
    campaign = await only(slow)
    assert adds_up(campaign)
    assert (campaign.counts["sent"], campaign.counts["withheld"]) == (2, 2)


async def test_paused_it_waits_and_resumed_it_goes_on(slow: Community) -> None:
    lin = await slow.admin("Lin")
    guests = await crowd(slow, 4)
    await begun(slow, lin)
    await press(lin, "pause")
    assert lin.last.key == "broadcast.state.paused"
    await slow.passes(minutes=30)
    assert readers(guests, "Hello") == []
    await press(lin, "resume")
    assert readers(guests, "Hello") == [guest.name for guest in guests]
    assert adds_up(await only(slow))


async def test_cancelled_the_rest_is_spared_and_counted(slow: Community) -> None:
    lin = await slow.admin("Lin")
    guests = await crowd(slow, 4)
    await begun(slow, lin)
    await press(lin, "cancel")
    await slow.passes(minutes=30)
    assert readers(guests, "Hello") == []
    assert lin.last.key == "broadcast.cancelled"
    assert "5 were not written to." in lin.last.text
    assert (await only(slow)).ended_at is not None
    await press(lin, "resume", on=Delivered(lin.last.to, _with_button(await only(slow)), ""))
    assert lin.last.key == "broadcast.state.cancelled"


def _with_button(campaign: Campaign) -> Said:
    return Said("", buttons=((("Resume", f"broadcast.resume:{campaign.id}", ""),),))


async def test_of_two_who_press_at_once_one_wins_and_the_other_is_told(slow: Community) -> None:
    lin, bo = await slow.admin("Lin"), await slow.admin("Bo")
    await crowd(slow, 2)
    await begun(slow, lin)
    await bo.says("/broadcasts")
    resume, cancel = bo.last.buttons
    assert resume.startswith("broadcast.pause:")
    await slow.happens(
        *(
            who._event(
                Kind.PRESSED, where=who._where(False), data=cancel, press=slow.number("press")
            )
            for who in (lin, bo)
        )
    )
    await slow.passes(minutes=5)
    keys = [one.key for who in (lin, bo) for one in who.inbox]
    assert keys.count("broadcast.cancelled") == 1
    assert "broadcast.state.cancelled" in [one.key for one in bo.inbox]


async def test_its_author_sees_how_far_it_is(slow: Community) -> None:
    lin = await slow.admin("Lin")
    guests = await crowd(slow, 9)
    assert isinstance(slow.street, Moody)
    await lin.says("/broadcast Hello")
    slow.street.closed.update(guest.home for guest in guests[:4])
    await begun_for_some(slow, lin)
    assert lin.last.text == "On its way: 0 of 10 (0 %)."
    await slow.passes(seconds=4)
    assert lin.last.text == "On its way: 4 of 10 (40 %)."


async def begun_for_some(town: Community, lin: Resident) -> None:
    """Those who can be reached are asked to wait; the others are known at once."""
    street = town.street
    assert isinstance(street, Moody)

    class ForTheRest(Moody):
        async def send(self, to: To, said: Said) -> str:
            if not said.key and to.place not in street.closed:
                raise NotNow(60)
            return await street.send(to, said)

    town.house.channels["street"] = ForTheRest()
    await press(lin, "send")
    town.house.channels["street"] = street


async def test_what_may_have_arrived_is_not_sent_again(slow: Community) -> None:
    lin = await slow.admin("Lin")
    guests = await crowd(slow, 2)
    await lin.says("/broadcast Hello")
    assert isinstance(slow.street, Moody)
    slow.street.mood = Faltered("reset")
    await press(lin, "send")
    slow.street.mood = None
    await slow.passes(hours=1)
    assert readers(guests, "Hello") == []
    assert (await only(slow)).counts["unknown"] == 3
    assert adds_up(await only(slow))


# ---------------------------------------------------------------- when the process ends


async def test_ended_in_the_middle_nobody_is_left_out_and_nobody_gets_it_twice(
    url: str, street: Moody
) -> None:
    town = await founded(url, street)
    lin = await town.admin("Lin")
    guests = await crowd(town, 20)
    await lin.says("/broadcast Hello")
    street.hangs_after = 8
    send = next(one for one in lin.last.buttons if one.startswith("broadcast.send"))
    sending = asyncio.create_task(lin.presses(send))  # noqa: TID251 - ended below
    await street.hangs.wait()
    sending.cancel()
    with suppress(asyncio.CancelledError):
        await sending
    hung = set(street.hung)
    await town.close()

    street.hangs_after = None
    again = await founded(url, street, clock=town.clock)
    for who in (lin, *guests):
        who.town = again
    await again.house.settled()
    hung |= set(street.hung)
    expected = [who.name for who in guests if who.home not in hung]
    assert readers(guests, "Hello") == expected
    campaign = await only(again)
    assert adds_up(campaign)
    assert campaign.counts["unknown"] == len(hung)
    assert campaign.total == 21
    await again.close()


async def test_a_page_of_letters_is_written_down_once_by_however_many(
    slow: Community,
) -> None:
    lin = await slow.admin("Lin")
    await crowd(slow, 5)
    db, writer = slow.house.database.reader, slow.house.database.writer
    now = slow.clock.now()
    campaign = Campaign(slow.house.world.ids.take(), slow.known.id, "Hello", (await lin.known()).id)
    await writer.settle(
        [
            campaigns.drafted(campaign, at=now),
            campaigns.started(campaign.id, total=6, at=now),
        ]
    )
    found = await campaigns.by_id(db, campaign.id)
    assert found is not None
    count, last = await campaigns.page(db, found, 4)
    assert count == 4
    await writer.settle(campaigns.written_down(found, count=count, last=last, at=now))
    with pytest.raises(Miss):
        await writer.settle(campaigns.written_down(found, count=count, last=last, at=now))
    await slow.house.settled()
    assert adds_up(await only(slow))
    assert len({one.to.place for one in slow.street.delivered if one.text == "Hello"}) == 6


async def test_what_was_written_at_the_command_line_is_sent_by_whoever_runs(
    url: str, tmp_path: Path
) -> None:
    key = fresh_key()
    town = await Community.founded(url, key=key)
    ana = await town.resident("Ana")
    environment = {"BOT_STORAGE__URL": url, "BOT_STORAGE__SEAL_KEY": key}

    async def bot(*words: str) -> str:
        return (
            await asyncio.to_thread(run, "broadcast", *words, cwd=tmp_path, **environment)
        ).stdout

    assert "nothing is sent" in await bot("--text", "Hello {name}")
    told = await bot("--text", "Hello {name}", "--yes")
    assert "to 1 members of Harbour Tea" in told
    number = (await only(town)).id
    assert "is paused" in await bot("--pause", str(number))
    await town.house.settled()
    assert read(ana, "Hello Ana") == 0
    assert "goes on" in await bot("--resume", str(number))
    await town.house.settled()
    assert read(ana, "Hello Ana") == 1
    assert "sent      1" in await bot("--show", str(number))
    assert "done: 1 of 1" in await bot("--list")
    assert "nothing to cancel" in await bot("--cancel", str(number))
    await town.close()
