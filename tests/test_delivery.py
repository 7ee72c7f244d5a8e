"""The way out: what is due is said, in order, within limits, whatever a platform answers."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from bot import wire
from bot.channels import (
    Ability,
    Faltered,
    Impossible,
    Limits,
    NotNow,
    PlaceMoved,
    Said,
    ThreadGone,
)
from bot.channels.telegram import Telegram
from bot.pace import Urgency
from bot.parcels import Parcel
from handlers.router import Outgoing, Router, Withheld
from handlers.turn import Letter, Policy, Reply, To, Turn
from storage import interactions, pending, quarantine
from storage.conversations import Speaker, passed
from storage.pending import Waiting
from tests.botapi import BotAPI
from tests.community import GROUP, NOON, Community, Resident, Street, TownClock

NIGHT = NOON + timedelta(hours=8)


def speaker() -> Router:
    """A capability that says what it is told to, in every manner there is."""
    router = Router("speaker")

    @router.command("start", listed=False)
    async def start(turn: Turn) -> None:
        return

    @router.otherwise()
    async def repeat(turn: Turn) -> None:
        turn.send(Reply(text=turn.event.text))

    @router.command("once", listed=False)
    async def once(turn: Turn) -> None:
        turn.send(Reply(text="once"), policy=Policy.AT_MOST_ONCE)

    @router.command("unasked", listed=False)
    async def unasked(turn: Turn) -> None:
        turn.send(Reply(text=f"unasked {turn.rest}"), prompted=False)

    @router.command("machine", listed=False)
    async def machine(turn: Turn) -> None:
        turn.send(Reply(text="machine"), bot_speaks=True)
        if turn.rest == "overtaken":
            turn.note(*passed(turn.conversation, Speaker.HUMAN))

    @router.command("broken", listed=False)
    async def broken(turn: Turn) -> None:
        turn.say("house.not_allowed")

    @router.command("desk", listed=False)
    async def desk(turn: Turn) -> None:
        turn.send(Reply(text=turn.rest), to=turn.with_staff(turn.member))

    @router.command("change", listed=False)
    async def change(turn: Turn) -> None:
        letter = turn.send(Reply(text="before"))
        turn.send(Reply(text="after"), edits=letter)

    @router.command("link", listed=False)
    async def link(turn: Turn) -> None:
        turn.do(Ability.MAKE_LINK.value, name="x")

    @router.did("make_link")
    async def made(turn: Turn) -> None:
        turn.send(Reply(text=turn.event.words["link"]))

    @router.did("undelivered")
    async def undelivered(turn: Turn) -> None:
        turn.send(Reply(text="could not be delivered"), to=turn.with_staff(turn.member))

    @router.gate
    async def closed(outgoing: Outgoing) -> datetime | Withheld | None:
        assert outgoing.letter.reply is not None
        text = outgoing.letter.reply.text
        if "never" in text:
            return Withheld("never")
        return NIGHT if "later" in text and outgoing.now < NIGHT else None

    return router


@pytest.fixture
async def town(url: str) -> AsyncIterator[Community]:
    founded = await Community.founded(url, routers=[speaker()])
    yield founded
    await founded.close()


@pytest.fixture
async def ana(town: Community) -> Resident:
    return await town.resident("Ana", member=False)


def heard(ana: Resident) -> list[str]:
    return [one.text for one in ana.inbox]


def letter(town: Community, place: str, text: str = "hello") -> Waiting:
    """A letter as it waits, written by nobody in particular."""
    id, now = town.house.world.ids.take(), town.clock.now()
    to = To(channel="street", place=place, language="en")
    told = Letter(id=id, community=town.known.id, member=0, to=to, reply=Reply(text=text))
    return Waiting(
        id=id, kind="out", channel="street", key=f"out:{id}", lane=f"street:{place}",
        payload=wire.packed_letter(told), due=now,
    )  # fmt: skip


async def outcomes(town: Community) -> list[str]:
    rows = await town.house.database.reader.rows(
        "SELECT outcome FROM interactions WHERE direction = 'out' ORDER BY id"
    )
    return [row["outcome"] for row in rows]


async def test_a_platform_that_asks_us_to_slow_down_is_obeyed(
    town: Community, ana: Resident
) -> None:
    town.street.trouble = [NotNow(30), NotNow(5)]
    await ana.says("first")
    await ana.says("second")
    assert heard(ana) == []
    await town.passes(seconds=34)
    assert heard(ana) == []
    await town.passes(seconds=2)
    assert heard(ana) == ["first", "second"]


async def test_an_answer_whose_fate_is_unknown_is_said_again_and_counted(
    town: Community, ana: Resident
) -> None:
    town.street.trouble = [Faltered("reset"), Faltered("reset")]
    await ana.says("hello")
    await town.passes(minutes=1)
    assert heard(ana) == ["hello"]
    assert await outcomes(town) == ["sent: perhaps twice"]


async def test_what_must_not_be_doubled_is_not_said_again(town: Community, ana: Resident) -> None:
    town.street.trouble = [Faltered("reset")]
    await ana.says("/once")
    await town.passes(hours=1)
    assert heard(ana) == []
    assert await outcomes(town) == ["unknown"]


async def test_what_certainly_was_not_sent_is_said_after_all(
    town: Community, ana: Resident
) -> None:
    town.street.trouble = [Faltered("no route", unsent=True)]
    await ana.says("/once")
    await town.passes(minutes=1)
    assert heard(ana) == ["once"]


async def test_what_cannot_be_said_for_a_day_is_given_up(town: Community, ana: Resident) -> None:
    town.street.trouble = [Faltered("down") for _ in range(5000)]
    await ana.says("hello")
    town.clock.move(timedelta(hours=25))  # in which a machine may as well have slept
    await town.passes(minutes=5)
    assert heard(ana) == []
    assert (await outcomes(town))[0] == "failed: not to be reached for a day"


async def test_who_has_blocked_us_is_left_alone_until_they_return(
    town: Community, ana: Resident
) -> None:
    town.street.closed.add(ana.home)
    await ana.says("hello")
    assert (await ana.known()).home == ""
    assert await outcomes(town) == ["failed: unreachable", "sent"]
    assert [one.text for one in town.desk] == ["could not be delivered"]
    await ana.returns()
    assert (await ana.known()).home == ana.home


async def test_what_a_platform_never_accepts_is_not_tried_again(
    town: Community, ana: Resident
) -> None:
    town.street.trouble = [Impossible("text is empty")]
    await ana.says("hello")
    await ana.says("next")
    assert heard(ana) == ["next"]


async def test_a_group_that_became_a_supergroup_is_followed(town: Community, ana: Resident) -> None:
    town.street.trouble = [PlaceMoved("group-2")]
    await ana.says("hello", group=True)
    assert [(one.to.place, one.text) for one in town.street.delivered] == [("group-2", "hello")]
    assert town.house.directory.spot("street", "group-2") is not None
    assert town.house.directory.spot("street", GROUP) is None


async def test_a_deleted_topic_is_opened_anew(town: Community, ana: Resident) -> None:
    await ana.says("/desk one")
    first = await town.topic(ana)
    town.street.trouble = [ThreadGone()]
    await ana.says("/desk two")
    second = await town.topic(ana)
    assert first != second
    assert [(one.to.thread, one.text) for one in town.desk] == [(first, "one"), (second, "two")]


async def test_one_topic_serves_all_that_is_said_of_a_member(
    town: Community, ana: Resident
) -> None:
    await ana.says("/desk one")
    await ana.says("/desk two")
    opened = [one for one in town.street.done if one.ability is Ability.OPEN_THREAD]
    assert len(opened) == 1


async def test_a_machine_falls_silent_once_a_human_speaks(town: Community, ana: Resident) -> None:
    await ana.says("/machine")
    await ana.says("/machine overtaken")
    assert heard(ana) == ["machine"]
    assert await outcomes(town) == ["sent", "withheld: someone else speaks now"]


async def test_a_gate_holds_what_nobody_asked_for_or_withholds_it(
    town: Community, ana: Resident
) -> None:
    await ana.says("/unasked later")
    await ana.says("/unasked never")
    await ana.says("/unasked now")
    assert heard(ana) == ["unasked now"]
    await town.passes(hours=9)
    assert heard(ana) == ["unasked now", "unasked later"]
    assert "withheld: never" in await outcomes(town)


async def test_an_edit_changes_the_message_in_its_place(town: Community, ana: Resident) -> None:
    await ana.says("/change")
    assert heard(ana) == ["after"]


async def test_what_came_of_an_act_is_heard_by_who_asked(town: Community, ana: Resident) -> None:
    await ana.says("/link")
    assert ana.last.text.startswith("https://street.example/+")


async def test_what_was_being_said_at_a_crash_is_not_said_again(
    town: Community, ana: Resident
) -> None:
    town.street.trouble = [NotNow(60)]
    await ana.says("/once")
    (waiting,) = await pending.in_doubt(town.house.database.reader)
    await town.house.delivery.lead()
    assert await outcomes(town) == ["unknown"]
    assert await interactions.message_of(town.house.database.reader, waiting.id) is not None


async def test_what_may_have_been_said_before_a_crash_is_said_and_counted(
    town: Community, ana: Resident
) -> None:
    """Only the first of a lane can have been under way when whoever said things ended."""
    house = town.house
    house.delivery.leads = False  # as if another were to say it, who is no more
    for text in ("one", "two"):
        await ana.says(text)
    await house.delivery.lead()
    await house.settled()
    assert heard(ana) == ["one", "two"]
    assert await outcomes(town) == ["sent: perhaps twice", "sent"]


async def test_who_ended_in_good_order_left_nothing_in_doubt(
    town: Community, ana: Resident
) -> None:
    house = town.house
    await house.delivery.rest(1)
    await house.delivery.let_go()
    await ana.says("one")
    await house.delivery.lead()
    await house.settled()
    assert await outcomes(town) == ["sent"]


async def test_who_was_cut_off_says_nothing_of_who_leads_now(
    town: Community, ana: Resident
) -> None:
    """Another leads by then; that this one ended resting must not hide that the other crashed."""
    house = town.house
    await house.company.end("leading")
    await ana.says("one")
    await house.delivery.lead()
    await house.settled()
    assert await outcomes(town) == ["sent: perhaps twice"]


async def test_a_press_is_acknowledged(town: Community, ana: Resident) -> None:
    await ana.presses("nobody.listens")
    assert len(town.street.acknowledged) == 1


async def test_a_letter_that_cannot_be_put_into_words_is_set_aside(
    town: Community, ana: Resident
) -> None:
    """A text with an unfilled blank once kept the house awake for ever."""
    await ana.says("/broken")
    await ana.says("hello")
    assert heard(ana) == ["hello"]
    (held,) = await quarantine.held(town.house.database.reader)
    assert held.reason == "BadText while sending for speaker"
    assert await outcomes(town) == ["failed: BadText", "sent", "sent"]


async def test_those_who_cannot_be_reached_now_keep_nobody_else_waiting(
    town: Community, ana: Resident
) -> None:
    """More letters in hand than a page has, all told to wait, and after a restart one more."""
    house = town.house
    stuck: list[Exception] = [NotNow(3600) for _ in range(pending.PAGE + 5)]
    await house.world.ids.refill(pending.PAGE + 10)
    letters = [letter(town, f"chat-{n}") for n in range(len(stuck))]
    last = letter(town, "chat-last")
    now = town.clock.now()
    await house.database.writer.settle([pending.put(one, at=now) for one in letters])
    town.street.trouble = stuck
    await house.settled()
    await house.database.writer.settle([pending.put(last, at=now)])
    await house.settled()
    assert [one.to.place for one in town.street.delivered] == ["chat-last"]


async def test_what_a_platform_stumbles_over_lets_the_others_go_first(
    town: Community, ana: Resident
) -> None:
    """One message that kept meeting a 5xx once silenced the whole desk for a day."""
    town.street.trouble = [Faltered("500") for _ in range(5)]
    await ana.says("stumbling block")
    await ana.says("next")
    await town.passes(minutes=1)
    assert heard(ana)[:1] == ["next"]
    await town.passes(minutes=5)
    assert heard(ana) == ["next", "stumbling block"]


async def test_topics_of_one_desk_do_not_wait_for_each_other(
    town: Community, ana: Resident
) -> None:
    ben = await town.resident("Ben", member=False)
    await ana.says("/desk one")
    await ben.says("/desk two")
    town.street.trouble = [NotNow(3600)]
    await ana.says("/desk stuck")
    await ben.says("/desk through")
    assert [one.text for one in town.desk] == ["one", "two", "through"]


# ---------------------------------------------------------------- how much is in hand


class Busy(Street):
    """A street on which nothing gets through until somebody says so."""

    def __init__(self) -> None:
        super().__init__()
        self.open_again = asyncio.Event()

    async def send(self, to: To, said: Said) -> str:
        await self.open_again.wait()
        return await super().send(to, said)


async def written(town: Community, *places: str) -> list[Waiting]:
    """Letters to these places, numbered, written down in this order."""
    await town.house.world.ids.refill(len(places))
    letters = [letter(town, place, f"{place}{n}") for n, place in enumerate(places)]
    now = town.clock.now()
    await town.house.database.writer.settle([pending.put(one, at=now) for one in letters])
    return letters


async def test_what_there_is_no_room_for_stays_written_down_and_keeps_its_order(
    town: Community,
) -> None:
    delivery = town.house.delivery
    busy = Busy()
    town.house.channels["street"] = busy
    delivery.hand.most = 3
    first = await written(town, "a", "b", "a", "a", "c", "b")
    assert delivery.offer(first) == 3
    assert delivery.offer(await written(town, "d", "a")) == 0
    busy.open_again.set()
    await town.house.settled()
    assert len(delivery.hand) == 0
    heard = [one.text for one in busy.delivered]
    assert [text for text in heard if text[0] == "a"] == ["a0", "a2", "a3", "a1"]
    assert sorted(heard) == sorted(["a0", "b1", "a2", "a3", "c4", "b5", "d0", "a1"])


async def test_nothing_overtakes_what_was_left_in_its_chat(town: Community) -> None:
    delivery = town.house.delivery
    busy = Busy()
    town.house.channels["street"] = busy
    delivery.hand.most = 1
    one, two, three = await written(town, "a", "b", "b")
    assert delivery.offer([one, two]) == 1
    delivery.hand.most = 100
    assert delivery.offer([three]) == 0
    assert delivery.offer([two]) == 1
    assert delivery.offer([three]) == 1
    busy.open_again.set()
    await town.house.settled()
    assert [one.to.place for one in busy.delivered] == ["a", "b", "b"]


async def test_a_row_read_just_before_it_was_settled_is_not_said_again(town: Community) -> None:
    letters = await written(town, "a")
    await town.house.settled()
    assert town.house.delivery.offer(letters) == 0
    await town.house.settled()
    assert len(town.street.delivered) == 1


async def test_a_row_that_is_no_letter_is_set_aside_and_its_lane_goes_on(town: Community) -> None:
    good = letter(town, "a", "good")
    bad = dataclasses.replace(letter(town, "a"), payload="{", due=NOON - timedelta(hours=1))
    now = town.clock.now()
    await town.house.database.writer.settle([pending.put(one, at=now) for one in (bad, good)])
    await town.house.settled()
    assert [one.text for one in town.street.delivered] == ["good"]
    (held,) = await quarantine.held(town.house.database.reader)
    assert held.id == bad.id


# ---------------------------------------------------------------- who says it


async def test_who_does_not_lead_says_nothing_and_who_leads_again_says_it_all(
    town: Community, ana: Resident
) -> None:
    delivery = town.house.delivery
    await delivery.rest(within=1)
    await ana.says("hello")
    assert delivery.offer(await written(town, "a")) == 0
    await town.house.settled()
    assert town.street.delivered == []
    await delivery.lead()
    await town.house.settled()
    assert {one.to.place for one in town.street.delivered} == {ana.home, "a"}


async def test_what_is_queued_is_let_go_of_and_what_has_begun_may_end(town: Community) -> None:
    delivery = town.house.delivery
    busy = Busy()
    town.house.channels["street"] = busy
    assert delivery.offer(await written(town, "a", "a", "a")) == 3
    await asyncio.sleep(0)
    resting = asyncio.create_task(delivery.rest(within=5))  # noqa: TID251 - awaited below
    await asyncio.sleep(0)
    busy.open_again.set()
    await resting
    assert len(busy.delivered) == 1
    await delivery.lead()
    await town.house.settled()
    assert len(busy.delivered) == 3


# ---------------------------------------------------------------- within the limits


class Limited(Street):
    """A street that allows so much, and says long things in several messages."""

    limits: Limits | None = Limits(per_chat=1, per_group=20, overall=1000)

    async def send(self, to: To, said: Said) -> str:
        for _ in range(said.text.count("+")):
            await said.turn()
        return await super().send(to, said)


@pytest.fixture
async def narrow(town: Community) -> AsyncIterator[Community]:
    """The town, on a street that has limits."""
    town.house.channels["street"] = Limited()
    await again(town)
    yield town
    await town.house.delivery.rest(within=0)


async def again(town: Community) -> None:
    """Another process begins to lead."""
    await town.house.delivery.rest(within=0)
    await town.house.delivery.lead()


def heard_of(town: Community) -> list[str]:
    street = town.house.channels["street"]
    assert isinstance(street, Street)
    return [one.text for one in street.delivered]


async def test_each_message_of_a_long_reply_counts(narrow: Community) -> None:
    ana = await narrow.resident("Ana", member=False)
    await ana.says("in two parts+")
    await ana.says("short")
    await ana.says("one too many")
    assert heard_of(narrow) == ["in two parts+", "short"]


async def test_what_went_out_under_another_counts_too(narrow: Community) -> None:
    ana = await narrow.resident("Ana", member=False)
    for n in range(3):
        await ana.says(f"{n}")
    await again(narrow)
    await ana.says("one too many")
    assert heard_of(narrow) == ["0", "1", "2"]


async def test_telegram_asks_for_its_turn_before_each_further_message() -> None:
    turns: list[int] = []

    async def turn() -> None:
        turns.append(len(turns))

    async with BotAPI.start() as api:
        ana = api.person("Ana")
        api.bot.started_by.add(ana)
        telegram = Telegram(api.token, TownClock(), api=api.url)

        async def intake(_: object) -> None:
            return

        await telegram.open(intake)
        to = To(channel="telegram", place=str(ana.id), language="en")
        await telegram.send(to, Said("word " * 2000, turn=turn))
        await telegram.close()
    assert turns == [0, 1]


@pytest.mark.parametrize(
    ("changes", "urgency"),
    [
        ({}, Urgency.ANSWER),
        ({"prompted": False}, Urgency.UPDATE),
        ({"edits": 7}, Urgency.UPDATE),
        ({"to": To(channel="street", place="d", language="en", thread_of=3)}, Urgency.UPDATE),
        (
            {"to": To(channel="street", place="d", language="en", thread_of=3), "mirrors": 5},
            Urgency.ANSWER,
        ),
    ],
)
def test_an_answer_and_what_a_person_wrote_go_before_the_rest(
    changes: dict[str, Any], urgency: Urgency
) -> None:
    told = Letter(id=1, community=1, member=1, to=To(channel="street", place="a", language="en"))
    waiting = Waiting(1, "out", "street", "out:1", "street:a", "", NOON)
    assert Parcel(waiting, replace(told, **changes)).urgency is urgency
    assert Parcel(waiting, told, campaign=9).urgency is Urgency.CAMPAIGN
