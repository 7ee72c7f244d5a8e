"""Handoff: a member is answered by a person, and each message arrives once, on the right side."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from bot.channels import Impossible
from handlers.turn import Event, Kind, Media, Where
from storage import cases, conversations
from storage.cases import Case
from storage.conversations import Speaker
from tests.community import STAFF, Community, Delivered, Resident


@pytest.fixture
async def lin(town: Community) -> Resident:
    """Somebody at the staff desk."""
    return await town.staff("Lin")


@pytest.fixture
async def bo(town: Community) -> Resident:
    """A colleague of hers."""
    return await town.staff("Bo")


@pytest.fixture
async def alone(url: str) -> AsyncIterator[Community]:
    """A town in which nobody works at a staff desk."""
    founded = await Community.founded(url, settings={"handoff": {"contact": "hello@tea.example"}})
    ana = await founded.owner("Owner")
    where = Where(id=STAFF, private=False)
    await founded.happens(ana._event(Kind.SAID, where=where, text="/setup off"))
    yield founded
    await founded.close()


async def case_of(someone: Resident) -> Case | None:
    known = await someone.known()
    return await cases.open_case(someone.town.house.database.reader, known.id)


async def speaker(someone: Resident) -> Speaker:
    known = await someone.known()
    reader = someone.town.house.database.reader
    talk = await conversations.of(reader, member=known.id, community=known.community)
    return talk.speaker


def carried(said: list[Delivered]) -> list[str]:
    """What was brought over from the other side, in the order it arrived."""
    return [one.text for one in said if one.key in ("handoff.from_member", "handoff.from_staff")]


async def cases_ever(town: Community) -> int:
    count: int = await town.house.database.reader.value("SELECT count(*) FROM cases")
    return count


# ---------------------------------------------------------------- asking, waiting


async def test_asking_for_a_person_tells_the_member_and_the_staff(
    town: Community, ana: Resident
) -> None:
    await ana.says("/human my parcel is broken")
    assert ana.heard("handoff.queued", position=1)
    assert "next in line" in ana.last.text
    card = town.desk[-1]
    assert (card.key, card.to.thread) == ("handoff.card", await town.topic(ana))
    assert "Ana" in card.text
    assert "English" in card.text
    assert "· my parcel is broken" in card.text
    assert [one.partition(":")[0] for one in card.buttons] == ["handoff.claim", "handoff.close"]
    assert await speaker(ana) is Speaker.NONE


async def test_staff_see_who_said_what_and_nothing_that_tells_them_nothing(
    town: Community, ana: Resident, lin: Resident
) -> None:
    await ana.says("tea")  # which the bot is unsure of
    await ana.says("/checkin")
    await ana.says("/human")
    await lin.answers(ana, "Which tea?")
    await lin.answers(ana, "/close")
    await ana.presses("handoff.again")
    card = next(one for one in reversed(town.desk) if one.key == "handoff.card")
    said = [line for line in card.text.split("\n") if line[:1] in ("·", "🤖", "👤")]
    assert said == [
        "· tea",
        "🤖 I am not sure what you mean. Is it one of these?",
        "👤 Which tea?",
    ]


async def test_a_chinese_member_is_told_in_chinese_and_staff_in_the_houses_language(
    town: Community, mei: Resident
) -> None:
    await mei.says("/human")
    assert mei.last.text == "已通知客服，下一位就是你。可以先在这里说明情况，客服都会看到。"
    assert "梅 · 中文" in town.desk[-1].text
    assert "Why: asked for a person" in town.desk[-1].text


async def test_asking_thirty_times_is_one_case(town: Community, ana: Resident) -> None:
    for _ in range(15):
        await ana.says("/human")
        await ana.presses("handoff.human")
    assert await cases_ever(town) == 1
    assert ana.last.key == "handoff.still_queued"
    assert [one.key for one in town.desk] == ["handoff.card"]


async def test_those_who_wait_are_told_their_place(
    town: Community, ana: Resident, mei: Resident
) -> None:
    await ana.says("/human")
    await town.passes(minutes=1)
    await mei.says("/human")
    assert mei.heard("handoff.queued", position=2)
    first, second = await case_of(ana), await case_of(mei)
    assert first is not None
    assert second is not None
    assert (first.number, second.number) == (1, 2)
    await ana.presses(f"handoff.cancel:{first.id}")
    await mei.says("/human")
    assert mei.heard("handoff.still_queued", position=1)


async def test_what_is_said_while_waiting_is_carried_in_order_and_acknowledged_once(
    town: Community, ana: Resident
) -> None:
    await ana.says("/human")
    for text in ("the pot is cracked", "order 1234", "转人工"):
        await ana.says(text)
    assert carried(town.desk) == ["the pot is cracked", "order 1234", "转人工"]
    assert [one.key for one in ana.inbox[-3:]] == [
        "handoff.queued",
        "handoff.noted",
        "handoff.still_queued",
    ]


async def test_a_member_may_stop_waiting_and_an_old_button_stops_nothing(
    town: Community, ana: Resident
) -> None:
    await ana.says("/human")
    first = await case_of(ana)
    assert first is not None
    await ana.presses(f"handoff.cancel:{first.id}")
    assert ana.last.key == "handoff.cancelled"
    assert town.desk[-1].key == "handoff.cancelled_at_desk"
    assert await speaker(ana) is Speaker.BOT
    await ana.says("/human")
    await ana.presses(f"handoff.cancel:{first.id}")
    assert ana.last.key == "handoff.nothing_open"
    assert await speaker(ana) is Speaker.NONE


async def test_it_is_too_late_to_stop_waiting_once_somebody_has_come(
    town: Community, ana: Resident, lin: Resident
) -> None:
    await ana.says("/human")
    case = await case_of(ana)
    assert case is not None
    await lin.answers(ana, "Hello Ana")
    await ana.presses(f"handoff.cancel:{case.id}")
    assert (ana.last.key, ana.last.words) == ("handoff.too_late", {"name": "Lin"})


async def test_in_a_group_a_person_is_offered_in_private_only(
    town: Community, ana: Resident
) -> None:
    await ana.says("/human my parcel is broken", group=True)
    assert town.group[-1].key == "handoff.in_private"
    assert town.group[-1].buttons == [
        f"https://street.example/innkeeper?start=human_here-{town.known.id}"
    ]
    assert await cases_ever(town) == 0
    await ana.says("/start human_here")
    assert ana.last.key == "handoff.queued"


async def test_a_case_is_not_talked_about_in_the_group(
    town: Community, ana: Resident, lin: Resident
) -> None:
    await ana.says("/human")
    await ana.says("how is my case?", group=True)
    await lin.answers(ana, "Looking into it")
    await ana.says("how is my case?", group=True)
    assert [one.key for one in town.group if one.key.startswith("handoff.")] == [
        "handoff.in_private",
        "handoff.in_private",
    ]
    assert carried(town.desk) == []


async def test_without_staff_it_says_so_and_how_else_to_reach_people(alone: Community) -> None:
    ana = await alone.resident("Ana")
    await ana.says("/human")
    assert (ana.last.key, ana.last.words) == (
        "handoff.nobody_but",
        {"contact": "hello@tea.example"},
    )
    assert await speaker(ana) is Speaker.BOT


async def test_a_wait_ends_honestly_when_the_staff_place_is_gone(
    town: Community, ana: Resident
) -> None:
    owner = await town.owner("Owner")
    await ana.says("/human")
    where = Where(id=STAFF, private=False)
    await town.happens(owner._event(Kind.SAID, where=where, text="/setup off"))
    await ana.says("hello?")
    assert ana.last.key == "handoff.nobody"
    assert await case_of(ana) is None
    assert await speaker(ana) is Speaker.BOT


# ---------------------------------------------------------------- being answered


async def test_whoever_answers_first_has_the_case(
    town: Community, ana: Resident, lin: Resident, bo: Resident
) -> None:
    await ana.says("/human")
    await lin.answers(ana, "Hello Ana, what happened?")
    assert [one.text for one in ana.inbox[-2:]] == [
        "👤 Lin is here and answers you from now on.",
        "👤 Hello Ana, what happened?",
    ]
    assert await speaker(ana) is Speaker.HUMAN
    await bo.answers(ana, "I'll take this")
    assert town.desk[-1].key == "handoff.kept_as_note"
    assert town.desk[-1].words == {"name": "Lin"}
    assert carried(ana.inbox) == ["👤 Hello Ana, what happened?"]


async def test_a_claim_by_button_is_won_once(
    town: Community, ana: Resident, lin: Resident, bo: Resident
) -> None:
    await ana.says("/human")
    case = await case_of(ana)
    assert case is not None
    await lin.presses_at_desk(ana, f"handoff.claim:{case.id}")
    await lin.presses_at_desk(ana, f"handoff.claim:{case.id}")
    assert town.desk[-1].key == "handoff.yours_already"
    await bo.presses_at_desk(ana, f"handoff.claim:{case.id}")
    assert (town.desk[-1].key, town.desk[-1].words) == ("handoff.taken", {"name": "Lin"})
    assert [one.key for one in ana.inbox].count("handoff.here") == 1


async def test_two_who_claim_at_once_do_not_both_have_it(
    town: Community, ana: Resident, lin: Resident, bo: Resident
) -> None:
    await ana.says("/human")
    case = await case_of(ana)
    assert case is not None
    where = Where(id=STAFF, private=False, thread=await town.topic(ana))
    data = f"handoff.claim:{case.id}"
    await town.happens(
        lin._event(Kind.PRESSED, where=where, data=data, press="1"),
        bo._event(Kind.PRESSED, where=where, data=data, press="2"),
        # Elsewhere in the staff place it is their own lane, beside the member's.
        bo._event(Kind.PRESSED, where=Where(id=STAFF, private=False), data=data, press="3"),
    )
    assert [one.key for one in ana.inbox].count("handoff.here") == 1
    assert [one.key for one in town.desk].count("handoff.claimed") == 1
    assert [one.key for one in town.desk].count("handoff.taken") >= 1


async def test_a_colleague_may_take_over(
    town: Community, ana: Resident, lin: Resident, bo: Resident
) -> None:
    await ana.says("/human")
    await lin.answers(ana, "One moment")
    await bo.answers(ana, "Shall I?")
    (data,) = town.desk[-1].buttons
    await bo.presses_at_desk(ana, data)
    assert ana.heard("handoff.here", name="Bo")
    await bo.answers(ana, "Hello, Bo here")
    await lin.answers(ana, "thanks Bo")
    assert carried(ana.inbox) == ["👤 One moment", "👤 Hello, Bo here"]


async def test_each_message_goes_over_once_and_notes_stay(
    town: Community, ana: Resident, lin: Resident
) -> None:
    await ana.says("/human")
    await lin.answers(ana, "Hello")
    for note in ("// is she a regular?", "；；老客户", "🔒 password reset", ";; yes"):
        await lin.answers(ana, note)
    await ana.says("My pot is cracked")
    await lin.answers(ana, "A new one is on its way")
    assert carried(ana.inbox) == ["👤 Hello", "👤 A new one is on its way"]
    assert carried(town.desk) == ["My pot is cracked"]


async def test_the_same_update_twice_is_carried_once(
    town: Community, ana: Resident, lin: Resident
) -> None:
    await ana.says("/human")
    await lin.answers(ana, "Hello")
    where = Where(id=STAFF, private=False, thread=await town.topic(ana))
    again = lin._event(Kind.SAID, where=where, text="Are you there?", message="5")
    await town.happens(again, again)
    await town.happens(again)
    assert carried(ana.inbox) == ["👤 Hello", "👤 Are you there?"]


async def test_pictures_go_both_ways(town: Community, ana: Resident, lin: Resident) -> None:
    photo, file = Media("photo", "abc"), Media("file", "xyz", "invoice.pdf")
    await ana.says("/human")
    await ana.says("look at this", media=(photo,))
    await lin.answers(ana, "", media=(file,))
    assert [one.said.media for one in town.desk if one.key == "handoff.from_member"] == [
        (("photo", "abc", ""),)
    ]
    assert ana.last.said.media == (("file", "xyz", "invoice.pdf"),)


async def test_an_answer_to_a_message_is_one_on_the_other_side_too(
    town: Community, ana: Resident, lin: Resident
) -> None:
    await ana.says("/human")
    asked = await ana.says("Which tea is it?")
    answered = await lin.answers(ana, "Oolong", reply_to=town.desk[-1].id)
    assert ana.last.said.reply_to == asked
    await ana.says("Thanks", reply_to=ana.last.id)
    assert town.desk[-1].said.reply_to == answered


async def test_corrections_are_made_in_place_on_both_sides(
    town: Community, ana: Resident, lin: Resident
) -> None:
    await ana.says("/human")
    said = await ana.says("order 1243")
    answered = await lin.answers(ana, "Tomorow")
    heard = len(ana.inbox), len(town.desk)
    await ana.edits(said, "order 1234")
    await lin.corrects(ana, answered, "Tomorrow")
    await lin.corrects(ana, answered, "Tomorrow at ten")
    assert carried(town.desk) == ["order 1234"]
    assert carried(ana.inbox) == ["👤 Tomorrow at ten"]
    assert (len(ana.inbox), len(town.desk)) == heard


async def test_a_correction_is_not_lost_while_the_first_words_are_still_on_their_way(
    town: Community, ana: Resident, lin: Resident
) -> None:
    await ana.says("/human")
    await lin.answers(ana, "Hello")
    where = Where(id=STAFF, private=False, thread=await town.topic(ana))
    await town.happens(
        lin._event(Kind.SAID, where=where, text="At tne", message="77"),
        lin._event(Kind.EDITED, where=where, text="At ten", message="77"),
    )
    assert carried(ana.inbox) == ["👤 Hello", "👤 At ten"]


async def test_a_note_that_is_edited_stays_a_note(
    town: Community, ana: Resident, lin: Resident
) -> None:
    await ana.says("/human")
    await lin.answers(ana, "Hello")
    note = await lin.answers(ana, "// difficult customer")
    await lin.corrects(ana, note, "difficult customer")
    assert carried(ana.inbox) == ["👤 Hello"]


async def test_a_mistyped_command_is_not_said_to_the_member(
    town: Community, ana: Resident, lin: Resident
) -> None:
    await ana.says("/human")
    await lin.answers(ana, "/clsoe")
    assert town.desk[-1].key == "house.unknown_command"
    assert carried(ana.inbox) == []


async def test_staff_may_speak_first(town: Community, ana: Resident, lin: Resident) -> None:
    await ana.says("/human")
    await lin.answers(ana, "Hello")
    await lin.answers(ana, "/close")
    await lin.answers(ana, "One more thing, Ana")
    assert await speaker(ana) is Speaker.HUMAN
    assert carried(ana.inbox)[-1] == "👤 One more thing, Ana"
    assert await cases_ever(town) == 2


async def test_staff_are_told_when_the_member_cannot_be_reached(
    town: Community, ana: Resident, lin: Resident
) -> None:
    await ana.says("/human")
    await lin.answers(ana, "Hello")
    town.street.closed.add(ana.home)
    await lin.answers(ana, "Still there?")
    assert town.desk[-1].key == "handoff.undelivered"
    await lin.answers(ana, "Hello?")
    assert (town.desk[-1].key, town.desk[-1].words) == ("handoff.out_of_reach", {"name": "Ana"})
    await ana.returns()
    await lin.answers(ana, "Welcome back")
    assert carried(ana.inbox) == ["👤 Hello", "👤 Welcome back"]


async def test_staff_are_not_told_of_a_closed_chat_when_it_is_the_message_that_cannot_be_sent(
    town: Community, ana: Resident, lin: Resident
) -> None:
    await ana.says("/human")
    await lin.answers(ana, "Hello")
    town.street.trouble = [Impossible("Telegram cannot carry: hologram")]
    await lin.answers(ana, "Look at this")
    assert town.desk[-1].key == "handoff.undeliverable"


async def test_a_member_is_told_when_staff_cannot_be_reached(
    town: Community, ana: Resident, lin: Resident
) -> None:
    await ana.says("/human")
    town.street.closed.add(STAFF)  # the bot was put out of it
    await ana.says("are you there?")
    assert ana.heard("handoff.not_passed_on")


# ---------------------------------------------------------------- closing


async def test_closing_gives_the_conversation_back_and_can_be_undone(
    town: Community, ana: Resident, lin: Resident
) -> None:
    await ana.says("/human")
    await lin.answers(ana, "Done, it is on its way")
    await lin.answers(ana, "/close")
    assert (ana.last.key, ana.last.buttons) == ("handoff.closed", ["handoff.again"])
    assert (town.desk[-1].key, town.desk[-1].words["name"]) == ("handoff.closed_at_desk", "Lin")
    assert await speaker(ana) is Speaker.BOT
    await lin.answers(ana, "/close")
    assert town.desk[-1].key == "handoff.closed_before"
    await ana.presses("handoff.again")
    await ana.presses("handoff.again")
    assert [one.key for one in ana.inbox[-2:]] == ["handoff.queued_again", "handoff.still_queued"]
    assert town.desk[-1].words["reason"] == "@handoff.reason.again"
    assert await cases_ever(town) == 2


async def test_the_card_closes_the_case_for_whoever_works_there(
    town: Community, ana: Resident, lin: Resident
) -> None:
    await ana.says("/human")
    close = town.desk[-1].buttons[1]
    await lin.presses_at_desk(ana, close)
    await lin.presses_at_desk(ana, close)
    assert [one.key for one in town.desk[-2:]] == [
        "handoff.closed_at_desk",
        "handoff.closed_before",
    ]
    assert [one.key for one in ana.inbox].count("handoff.closed") == 1


async def test_only_the_staff_place_can_act_on_a_case(
    town: Community, ana: Resident, mei: Resident, lin: Resident
) -> None:
    await ana.says("/human")
    case = await case_of(ana)
    assert case is not None
    for data in ("claim", "take_over", "close"):
        await mei.presses(f"handoff.{data}:{case.id}")
        assert mei.last.key == "house.not_allowed"
        await lin.presses(f"handoff.{data}:{case.id}", group=True)
        assert town.group[-1].key == "house.not_allowed"
    await mei.says(f"/close {case.number}")
    assert mei.last.key == "house.not_allowed"
    await mei.presses(f"handoff.cancel:{case.id}")
    assert mei.last.key == "handoff.nothing_open"
    still = await case_of(ana)
    assert still is not None
    assert still.waiting


async def test_what_is_pressed_or_said_out_of_place_at_the_desk_is_explained(
    town: Community, ana: Resident, lin: Resident
) -> None:
    await ana.says("/human")
    for data in ("handoff.claim:999999", "handoff.claim:", "handoff.close:x"):
        await lin.presses_at_desk(ana, data)
        assert town.desk[-1].key == "handoff.gone"
    await town.happens(lin._event(Kind.SAID, where=Where(id=STAFF, private=False), text="/close"))
    assert town.desk[-1].key == "handoff.not_here"


# ---------------------------------------------------------------- whatever comes in between


@dataclass
class Model:
    """What must be true of a conversation, kept beside the real one."""

    speaker: str = "bot"  # "none", or who of the staff answers
    to_staff: list[str] = field(default_factory=list)
    to_member: list[str] = field(default_factory=list)
    answers: int = 0  # of the machine

    def step(self, who: str, said: str) -> None:
        """What somebody says or does, and what must come of it."""
        match who, said:
            case "ana", "/human":
                self.speaker = "none" if self.speaker == "bot" else self.speaker
            case "ana", _ if self.speaker == "bot":
                self.answers += 1
            case "ana", _:
                self.to_staff.append(said)
            case _, "/close":
                self.speaker = "bot"
            case _, _ if self.speaker in ("bot", "none", who):
                self.speaker = who
                self.to_member.append(f"👤 {said}")


@pytest.mark.parametrize("seed", range(4))
async def test_in_any_order_each_message_arrives_once_and_the_bot_interrupts_nobody(
    town: Community, ana: Resident, lin: Resident, bo: Resident, seed: int
) -> None:
    chance, model = random.Random(seed), Model()
    await ana.says("/human")
    model.step("ana", "/human")
    desk = Where(id=STAFF, private=False, thread=await town.topic(ana))
    people = {"ana": (ana, Where(id=ana.home)), "lin": (lin, desk), "bo": (bo, desk)}
    batch: list[Event] = []
    for n in range(60):
        who = chance.choice(("ana", "ana", "lin", "bo"))
        special = "/human" if who == "ana" else "/close"
        said = special if chance.random() < 0.2 else f"Can I return tea? ({n})"
        person, where = people[who]
        batch.append(person._event(Kind.SAID, where=where, text=said, message=f"{who} {n}"))
        model.step(who, said)
        if chance.random() < 0.5:
            await town.happens(*batch)
            await town.happens(chance.choice(batch))  # which the channel tells of twice
            batch = []
            spoken = {"bot": Speaker.BOT, "none": Speaker.NONE}.get(model.speaker, Speaker.HUMAN)
            assert await speaker(ana) is spoken
            case = await case_of(ana)
            assert (case is None) is (spoken is Speaker.BOT)
    await town.happens(*batch)
    assert carried(town.desk) == model.to_staff
    assert carried(ana.inbox) == model.to_member
    assert [one.key for one in ana.inbox].count("faq.answer") <= model.answers
    assert interruptions(ana.inbox) == []


def interruptions(inbox: list[Delivered]) -> list[str]:
    """What the machine said while a person was awaited, or spoke."""
    silent, found = False, []
    for one in inbox:
        if one.key.startswith(("handoff.queued", "handoff.here")):
            silent = True
        elif one.key == "handoff.closed":
            silent = False
        elif silent and one.key.startswith("faq."):
            found.append(one.key)
    return found


@pytest.mark.parametrize(
    "before",
    [
        (),
        ("Can I return tea?",),
        ("my order",),
        ("/ask",),
        ("Which satellite orbits the third moon of Neptune?",),
        ("/language",),
        ("/human", "the pot is cracked"),
    ],
)
async def test_a_person_is_one_message_away_from_wherever_one_is(
    town: Community, mei: Resident, before: tuple[str, ...]
) -> None:
    for said in before:
        await mei.says(said)
    await mei.says("转人工")
    case = await case_of(mei)
    assert case is not None
    await mei.presses(f"handoff.cancel:{case.id}")
    await mei.presses("handoff.human")
    assert await speaker(mei) is Speaker.NONE


# ---------------------------------------------------------------- when it matters most


async def test_whoever_may_be_in_danger_is_answered_as_such_at_any_stage(
    town: Community, mei: Resident
) -> None:
    await mei.says("/human 如果你不马上退款我就去跳楼")
    assert mei.heard("handoff.crisis")
    assert mei.heard("handoff.queued", position=1)
    assert "🆘" in town.desk[-1].text
    await mei.says("我不想活了")
    assert [one.key for one in mei.inbox].count("handoff.crisis") == 2
    assert town.desk[-1].key == "handoff.crisis_at_desk"


async def test_in_a_group_danger_reaches_staff_and_shows_no_case(
    town: Community, ana: Resident
) -> None:
    await ana.says("/human I want to kill myself", group=True)
    assert [one.key for one in town.group if one.key.startswith("handoff.")] == ["handoff.crisis"]
    assert town.desk[-1].words["reason"] == "@handoff.reason.crisis"


# ---------------------------------------------------------------- one house, many members


async def test_nothing_of_one_member_reaches_another(
    town: Community, ana: Resident, mei: Resident, lin: Resident
) -> None:
    await ana.says("/human")
    await mei.says("/human")
    await ana.says("my address is 5 Quay Street")
    await mei.says("我的茶壶裂了")
    await lin.answers(ana, "for Ana")
    await lin.answers(mei, "给梅")
    assert carried(ana.inbox) == ["👤 for Ana"]
    assert carried(mei.inbox) == ["👤 给梅"]
    topics = {one.to.thread: one.text for one in town.desk if one.key == "handoff.from_member"}
    assert topics == {
        await town.topic(ana): "my address is 5 Quay Street",
        await town.topic(mei): "我的茶壶裂了",
    }


async def test_staff_talk_outside_a_topic_reaches_nobody(
    town: Community, ana: Resident, lin: Resident
) -> None:
    await ana.says("/human")
    before = len(ana.inbox)
    event: Event = lin._event(
        Kind.SAID, where=Where(id=STAFF, private=False), text="Lunch anybody?"
    )
    await town.happens(event)
    assert len(ana.inbox) == before
