"""The way out: what is due is said, in order, within limits, whatever a platform answers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import pytest

from bot import wire
from bot.channels import (
    Ability,
    Faltered,
    Impossible,
    Limits,
    NotNow,
    PlaceMoved,
    ThreadGone,
)
from bot.pace import BURST, Pace
from handlers.router import Outgoing, Router, Withheld
from handlers.turn import Letter, Policy, Reply, To, Turn
from storage import interactions, pending, quarantine
from storage.conversations import Speaker, passed
from storage.pending import Waiting
from tests.community import GROUP, NOON, Community, Resident

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


def letter(town: Community, place: str) -> Waiting:
    """A letter as it waits, written by nobody in particular."""
    id, now = town.house.world.ids.take(), town.clock.now()
    to = To(channel="street", place=place, language="en")
    told = Letter(id=id, community=town.known.id, member=0, to=to, reply=Reply(text="hello"))
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


async def test_an_answer_whose_fate_is_unknown_is_said_again(
    town: Community, ana: Resident
) -> None:
    town.street.trouble = [Faltered("reset"), Faltered("reset")]
    await ana.says("hello")
    await town.passes(minutes=1)
    assert heard(ana) == ["hello"]
    assert await outcomes(town) == ["sent"]


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
    town.clock.move(timedelta(hours=25))
    town.house.nudge()
    await town.house.settled()
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
    await town.house.delivery.recover()
    assert await outcomes(town) == ["unknown"]
    assert await interactions.message_of(town.house.database.reader, waiting.id) is not None


async def test_a_press_is_acknowledged(town: Community, ana: Resident) -> None:
    await ana.presses("nobody.listens")
    assert len(town.street.acknowledged) == 1


def test_a_chat_may_burst_and_then_keeps_its_pace() -> None:
    time = [100.0]
    pace = Pace(Limits(per_chat=1, per_group=20, overall=1e9), lambda: time[0])
    waits = [pace.wait("a", group=False) for _ in range(int(BURST) + 3)]
    assert waits == pytest.approx([0, 0, 0, 1, 2, 3], abs=1e-3)
    assert pace.wait("b", group=False) == pytest.approx(0, abs=1e-3)


def test_a_group_hears_twenty_a_minute() -> None:
    time = [100.0]
    pace = Pace(Limits(per_chat=1, per_group=20, overall=1e9), lambda: time[0])
    waits = [pace.wait("g", group=True) for _ in range(21)]
    assert waits[:20] == pytest.approx([0] * 20, abs=1e-3)
    assert waits[20] == pytest.approx(3)


def test_all_chats_together_keep_the_pace_of_the_platform() -> None:
    time = [100.0]
    pace = Pace(Limits(per_chat=1, per_group=20, overall=30), lambda: time[0])
    sent = [time[0] + pace.wait(f"c{chat}", group=False) for chat in range(90)]
    for second in (100, 101, 102):
        assert sum(second <= at < second + 1 for at in sent) <= 31


def test_a_pause_of_the_whole_platform_holds_everybody() -> None:
    time = [100.0]
    pace = Pace(Limits(per_chat=1, per_group=20, overall=1e9), lambda: time[0])
    pace.pause(timedelta(seconds=9).total_seconds())
    assert pace.wait("a", group=False) == pytest.approx(9)


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
