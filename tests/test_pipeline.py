"""The way in: what is said is dealt with once, in order, whole or not at all."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from bot import pipeline, wire
from bot.channels import Malformed
from handlers.roles import Role
from handlers.router import Conflict, Router, Switchboard
from handlers.turn import Event, Kind, Person, Refusal, Reply, Turn, Where
from storage import communities, members, pending, quarantine
from storage.conversations import Speaker
from storage.facts import Fact
from storage.sealing import Unsealable
from tests.community import Community


def echo() -> Router:
    """A capability that repeats what it hears, and can be made to misbehave."""
    router = Router("echo")
    attempts: dict[str, int] = {}

    @router.otherwise()
    async def repeat(turn: Turn) -> None:
        text = turn.event.text
        attempts[text] = attempts.get(text, 0) + 1
        if text == "poison" or (text == "hiccup" and attempts[text] == 1):
            raise RuntimeError(text)
        if text == "no":
            turn.record(Fact.ASKED)
            turn.send(Reply(text="never said"))
            raise Refusal("house.unreachable")
        turn.send(Reply(text=f"{text} {attempts[text]}"))

    @router.command("staffonly", role=Role.STAFF, listed=False)
    async def work(turn: Turn) -> None:
        turn.send(Reply(text="at work"))

    @router.command("start", listed=False)
    async def start(turn: Turn) -> None:
        turn.send(Reply(text="welcome"))

    @router.command("ask", listed=False)
    async def ask(turn: Turn) -> None:
        turn.expect("reply", within=timedelta(minutes=5))

    @router.answer("reply")
    async def reply(turn: Turn) -> None:
        turn.send(Reply(text=f"answered {turn.rest}"))

    @router.command("twice", listed=False)
    async def twice(turn: Turn) -> None:
        turn.record(Fact.CHECKED_IN, once=turn.today)
        turn.send(Reply(text="counted"))

    @router.command("soon", listed=False)
    async def soon(turn: Turn) -> None:
        turn.later("rang", turn.now + timedelta(hours=1), key="bell", what="bell")

    @router.later("rang")
    async def rang(turn: Turn) -> None:
        turn.send(Reply(text=f"{turn.event.words['what']} rang"), prompted=True)

    @router.on(Fact.CHECKED_IN)
    async def cheer(turn: Turn) -> None:
        turn.send(Reply(text="cheers"))

    return router


@pytest.fixture
async def town(url: str) -> AsyncIterator[Community]:
    founded = await Community.founded(url, routers=[echo()])
    yield founded
    await founded.close()


async def texts(town: Community) -> list[str]:
    return [one.text for one in town.street.delivered]


async def test_a_repeated_event_changes_nothing(town: Community) -> None:
    ana = await town.resident("Ana", member=False)
    event = ana._event(Kind.SAID, where=Where(id=ana.home), text="hello")
    await town.happens(event, event)
    await town.happens(event)
    assert await texts(town) == ["welcome", "hello 1"]


async def test_what_one_person_says_is_answered_in_order(town: Community) -> None:
    ana = await town.resident("Ana", member=False)
    said = [ana._event(Kind.SAID, where=Where(id=ana.home), text=f"number {n}") for n in range(20)]
    await town.happens(*said)
    assert (await texts(town))[1:] == [f"number {n} 1" for n in range(20)]


async def test_a_refusal_undoes_the_turn_and_says_why(town: Community) -> None:
    ana = await town.resident("Ana", member=False)
    await ana.says("no")
    assert ana.last.key == "house.unreachable"
    assert await town.house.database.reader.value("SELECT count(*) FROM facts") == 0


async def test_a_passing_fault_is_tried_again(town: Community) -> None:
    ana = await town.resident("Ana", member=False)
    await ana.says("hiccup")
    assert ana.last.text == "welcome"
    await town.passes(minutes=1)
    assert ana.last.text == "hiccup 2"
    assert await quarantine.count(town.house.database.reader) == 0


async def test_poison_is_set_aside_and_its_neighbours_go_on(town: Community) -> None:
    ana = await town.resident("Ana", member=False)
    ben = await town.resident("Ben", member=False)
    bo = await town.admin("Bo")
    await ana.says("poison")
    await ana.says("and then?")
    await ben.says("hello")
    assert ben.last.text == "hello 1"
    await town.passes(minutes=5)
    assert ana.inbox[-2].key == "house.fault"
    assert ana.last.text == "and then? 1"
    (held,) = await quarantine.held(town.house.database.reader)
    assert held.attempts == pipeline.ATTEMPTS
    assert held.reason == "RuntimeError while said"
    assert "poison" in held.payload
    assert [one.key for one in bo.inbox].count("house.fault_admin") == 1
    assert bo.heard("house.fault_admin", attempts=3, number=held.id)


async def test_what_cannot_be_read_is_kept_and_blocks_nobody(town: Community) -> None:
    ana = await town.resident("Ana", member=False)
    hello = ana._event(Kind.SAID, where=Where(id=ana.home), text="hello")
    await town.happens(Malformed("77", '{"update_id": 77, "message": 3}', "no object"), hello)
    assert ana.last.text == "hello 1"
    (held,) = await quarantine.held(town.house.database.reader)
    assert (held.key, held.payload) == ("77", '{"update_id": 77, "message": 3}')


async def test_a_command_needs_its_role(town: Community) -> None:
    ana = await town.resident("Ana", member=False)
    lin = await town.staff("Lin")
    await ana.says("/staffonly")
    await lin.says("/staffonly")
    assert ana.heard("house.not_allowed")
    assert lin.last.text == "at work"


async def test_an_unknown_command_is_answered_in_private_only(town: Community) -> None:
    ana = await town.resident("Ana")
    await ana.says("/nonsense")
    await ana.says("/nonsense", group=True, addressed=False)
    assert [one.key for one in town.street.delivered].count("house.unknown_command") == 1


async def test_group_talk_is_counted_but_not_answered(town: Community) -> None:
    ana = await town.resident("Ana")
    await ana.says("just chatting", group=True, addressed=False)
    assert town.group == []
    known = await ana.known()
    assert known.messages == 2  # with her /start


async def test_what_is_expected_is_taken_once_and_not_for_ever(town: Community) -> None:
    ana = await town.resident("Ana", member=False)
    await ana.says("/ask")
    await ana.says("green tea")
    await ana.says("green tea")
    await ana.says("/ask")
    await town.passes(minutes=6)
    await ana.says("too late")
    assert (await texts(town))[1:] == ["answered green tea", "green tea 1", "too late 1"]


async def test_a_fact_that_happens_once_is_recorded_once(town: Community) -> None:
    """The second press misses, is played again eight times and then set aside: nothing doubles."""
    ana = await town.resident("Ana", member=False)
    await ana.says("/twice")
    await ana.says("/twice")
    await town.passes(minutes=5)
    counted = await town.house.database.reader.value("SELECT count(*) FROM facts")
    assert counted == 1
    assert (await texts(town)).count("counted") == 1
    assert (await texts(town)).count("cheers") == 1


async def test_what_is_put_off_happens_once_at_its_time(town: Community) -> None:
    ana = await town.resident("Ana", member=False)
    await ana.says("/soon")
    await ana.says("/soon")
    await town.passes(minutes=59)
    assert "bell rang" not in await texts(town)
    await town.passes(minutes=2)
    assert (await texts(town)).count("bell rang") == 1


async def test_joining_is_counted_once_though_two_updates_tell_of_it(town: Community) -> None:
    ana = await town.resident("Ana", member=False)
    await ana.joins()
    await ana.joins()
    await ana.leaves()
    await ana.leaves()
    await ana.joins()
    names = [row["name"] for row in await town.house.database.reader.rows(
        "SELECT name FROM facts ORDER BY id"
    )]  # fmt: skip
    assert names == ["joined", "left", "joined"]


async def test_names_and_words_are_sealed_at_rest(town: Community) -> None:
    ana = await town.resident("Anastasia", member=False)
    await ana.says("my secret wish")
    db = town.house.database.reader
    rows = [
        *await db.rows("SELECT name AS cell FROM members"),
        *await db.rows("SELECT body AS cell FROM interactions WHERE body IS NOT NULL"),
    ]
    assert len(rows) >= 3
    for row in rows:
        assert b"Anastasia" not in bytes(row["cell"])
        assert b"secret" not in bytes(row["cell"])
    assert (await ana.known()).name == "Anastasia"


async def test_nothing_that_was_taken_in_is_lost_by_stopping(town: Community) -> None:
    """What was written down before a stop is dealt with after the next start."""
    ana = await town.resident("Ana", member=False)
    house = town.house
    event = ana._event(Kind.SAID, where=Where(id=ana.home), text="before the stop")
    waiting = await house.pipeline._take_down(event)  # taken in, and then the process ended
    assert waiting is not None
    await house.pipeline.take(house.pipeline.shares)
    await house.settled()
    assert ana.last.text == "before the stop 1"
    assert await pending.counts(house.database.reader) == {}


async def test_a_stranger_in_a_group_of_nobody_is_received_at_the_front_door(
    town: Community,
) -> None:
    someone = Event(
        kind=Kind.SAID,
        channel="street",
        id="x1",
        at=town.clock.now(),
        person=Person("p99", "Zoë"),
        where=Where(id="elsewhere", private=False),
        text="hello",
    )
    await town.happens(someone)
    found = await members.met(
        town.house.database.reader, community=town.known.id, channel="street", ref="p99"
    )
    assert found is not None
    assert found.status == "visitor"


def test_two_capabilities_cannot_claim_the_same_command() -> None:
    first, second = Router("first"), Router("second")

    async def nothing(turn: Turn) -> None:
        return

    first.command("hello")(nothing)
    second.command("hello")(nothing)
    with pytest.raises(Conflict, match="/hello is claimed by first and second"):
        Switchboard.of([first, second])


def test_two_capabilities_cannot_both_answer_talk() -> None:
    first, second = Router("first"), Router("second")

    async def nothing(turn: Turn) -> None:
        return

    first.otherwise(Speaker.HUMAN)(nothing)
    second.otherwise(Speaker.HUMAN)(nothing)
    with pytest.raises(Conflict, match="claimed by first, second"):
        Switchboard.of([first, second])


async def test_the_telling_of_a_join_that_names_the_link_wins_in_any_order(
    town: Community,
) -> None:
    """A note in the chat may come first, without the link: it waits for the better telling."""
    ana = await town.resident("Ana", member=False)
    where = Where(id="group-1", private=False)
    await town.happens(ana._event(Kind.JOINED, where=where, message="note-1"))
    assert not (await ana.known()).present
    await ana.joins("https://street.example/+link")
    await town.passes(seconds=5)
    names = await town.house.database.reader.rows("SELECT name FROM facts ORDER BY id")
    assert [row["name"] for row in names] == ["joined"]
    ben = await town.resident("Ben", member=False)
    await town.happens(ben._event(Kind.JOINED, where=where, message="note-2"))
    await town.passes(seconds=5)
    assert (await ben.known()).present


async def test_nobody_becomes_staff_by_hiding_who_they_are(town: Community) -> None:
    hidden = Person("chat:-100", "Desk", anonymous=True)
    event = Event(
        kind=Kind.SAID, channel="street", id="a1", at=town.clock.now(), person=hidden,
        where=Where(id="desk-1", private=False), text="hello",
    )  # fmt: skip
    await town.happens(event)
    roles = await town.house.database.reader.rows("SELECT role FROM members")
    assert [row["role"] for row in roles] == ["member"]


async def test_what_was_written_down_unheard_is_dealt_with_when_told_again(
    town: Community,
) -> None:
    """The database went away just after keeping the row: the platform tells again, we listen."""
    ana = await town.resident("Ana", member=False)
    event = ana._event(Kind.SAID, where=Where(id=ana.home), text="hello")
    assert await town.house.pipeline._take_down(event) is not None  # and then nobody took it up
    await town.happens(event)
    assert ana.last.text == "hello 1"


async def test_whoever_speaks_in_the_group_is_in_it(town: Community) -> None:
    """Members who came before the bot did are members, though nobody saw them join."""
    ana = await town.resident("Ana", member=False)
    await ana.says("morning", group=True, addressed=False)
    assert (await ana.known()).present
    assert await town.house.database.reader.value("SELECT count(*) FROM facts") == 0


async def test_the_key_of_another_database_stops_the_start(url: str) -> None:
    town = await Community.founded(url, routers=[echo()])
    await town.resident("Ana", member=False)
    await town.close()
    with pytest.raises(Unsealable, match="BOT_STORAGE__SEAL_KEY"):
        await Community.founded(url, routers=[echo()])


async def test_what_was_set_aside_may_be_tried_again(town: Community) -> None:
    """The operator mends what was wrong, and then nothing has been lost."""
    ana = await town.resident("Ana", member=False)
    await ana.says("hiccup then fine")
    await ana.says("poison")
    await town.passes(minutes=5)
    db = town.house.database
    (held,) = await quarantine.held(db.reader)
    mended = replace(held, payload=held.payload.replace("poison", "hello"))
    again = wire.waiting_again(mended)
    assert again is not None
    await db.writer.settle([quarantine.released(held.id), pending.put(again, at=town.clock.now())])
    await town.house.settled()
    assert ana.last.text == "hello 1"
    assert await quarantine.count(db.reader) == 0


async def test_what_never_could_be_read_can_only_be_dropped(town: Community) -> None:
    await town.happens(Malformed("9", "{", "no JSON"))
    (held,) = await quarantine.held(town.house.database.reader)
    assert wire.waiting_again(held) is None


async def test_an_administrator_of_some_other_group_is_nobodys_admin(town: Community) -> None:
    """A stranger once made a friend admin by promoting them in a group of their own."""
    ana = await town.resident("Ana", member=False)
    elsewhere = Where(id="my-own-group", private=False)
    await town.happens(ana._event(Kind.RANKED, where=elsewhere, data="admin"))
    assert (await ana.known()).role == "member"
    bo = await town.admin("Bo")
    await town.happens(bo._event(Kind.RANKED, where=elsewhere, data="member"))
    assert (await bo.known()).role == "admin"


async def test_a_command_by_somebody_who_hides_is_refused_aloud(town: Community) -> None:
    hidden = Person("chat:-100", "Group", anonymous=True)
    event = Event(
        kind=Kind.SAID, channel="street", id="a2", at=town.clock.now(), person=hidden,
        where=Where(id="group-1", private=False), text="/twice",
    )  # fmt: skip
    await town.happens(event)
    assert [one.key for one in town.group] == ["house.anonymous"]


async def test_private_talk_stays_with_the_community_it_is_with(url: str) -> None:
    """A word in another community's group once carried the private chat away with it."""
    sections = [{"name": name, "zone": "UTC", "language": "en"} for name in ("First", "Second")]
    town = await Community.founded(url, routers=[echo()], settings={"community": sections})
    second = town.house.directory.named("Second")
    assert second is not None
    bound = communities.bound(
        id=town.house.world.ids.take(), community=second.id, channel="street", ref="second",
        kind="group", at=town.clock.now(),
    )  # fmt: skip
    await town.house.database.writer.settle([bound])
    await town.house.pipeline.reload()
    ana = await town.resident("Ana", member=False)
    await town.happens(
        ana._event(Kind.SAID, where=Where(id="second", private=False), text="hi", addressed=False)
    )
    await ana.says("to the first")
    assert (await ana.known()).messages == 2  # with her /start: both with the first community
    await ana.says(f"/start help_here-{second.id}")
    await ana.says("to the second")
    known = await members.met(
        town.house.database.reader, community=second.id, channel="street", ref=ana.id
    )
    assert known is not None
    assert known.messages == 3  # "hi", the door, and what followed
    first_answer = next(one for one in ana.inbox if "to the first" in one.text)
    await ana.says("an answer to the first", reply_to=first_answer.id)
    assert (await ana.known()).messages == 3
    await town.close()


async def test_whoever_was_met_without_a_language_is_asked_in_their_own(town: Community) -> None:
    mei = await town.resident("梅", language="zh-hans", member=False)
    known = await mei.known()
    await town.house.database.writer.settle([members.speaks(known.id, "")])
    await mei.says("hello")
    assert (await mei.known()).language == "zh"


async def test_an_event_that_nobody_has_in_hand_is_taken_up_again(town: Community) -> None:
    """The database went away in the middle of noting a fault: the row was left for a restart."""
    ana = await town.resident("Ana", member=False)
    event = ana._event(Kind.SAID, where=Where(id=ana.home), text="hello")
    assert await town.house.pipeline._take_down(event) is not None
    await town.passes(minutes=2)
    assert ana.last.text == "hello 1"


async def test_stopping_does_not_wait_for_what_waits(town: Community) -> None:
    """A lane that only sleeps is cancelled at once; what it was at is found at the next start."""
    ana = await town.resident("Ana", member=False)
    await ana.says("poison")  # to be tried again in two seconds, which nobody waits for
    town.house.alarm.end()
    await town.house.pipeline.lanes.stop(0.0)
    assert (await pending.counts(town.house.database.reader))["in"] == 1
