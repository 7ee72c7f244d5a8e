"""The web channel as a platform: what people do reaches the bot, and what it says reaches them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from bot.channels import Ability, Impossible, Said, ThreadGone, Unreachable
from bot.channels.web_ground import File
from bot.channels.web_people import FILE_BYTES, Declined
from handlers.turn import To
from storage import web
from storage.web import Body
from storage.writer import Change, Miss, Unavailable
from tests.village import DOT, Village, Villager, village


@pytest.fixture
async def place(url: str) -> AsyncIterator[Village]:
    """The village, on each kind of database."""
    async with village(url) as founded:
        yield founded


@pytest.fixture
async def ana(place: Village) -> Villager:
    """A member."""
    return await place.villager("Ana")


def to(chat: int, thread: int = 0) -> To:
    return To(channel="web", place=str(chat), language="en", thread=str(thread or ""))


# ---- speaking


async def test_what_is_said_in_private_is_answered_there(ana: Villager) -> None:
    await ana.says("/checkin")
    answer = await ana.last()
    assert answer.body.text
    assert answer.body.buttons


async def test_a_button_is_the_bots_to_answer(ana: Villager) -> None:
    start = (await ana.inbox())[0]
    before = len(await ana.inbox())
    await ana.presses(start.id, start.body.buttons[0][0][1])
    assert len(await ana.inbox()) > before


async def test_only_buttons_that_are_there_can_be_pressed(ana: Villager) -> None:
    start = (await ana.inbox())[0]
    with pytest.raises(Declined) as declined:
        await ana.presses(start.id, "stats.everything")
    assert declined.value.key == "playground.declined.gone"


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("good morning everyone", False),
        ("@Innkeeper when do you open?", True),
        ("你好 @掌柜 几点开门", True),
        ("write to @innkeepers", False),
        ("/rules", True),
    ],
)
async def test_in_a_group_the_bot_hears_its_name_and_commands(
    place: Village, ana: Villager, text: str, meant: bool
) -> None:
    heard: list[Any] = []
    place.people.intake = Overhearing(place.people.intake, heard)
    await ana.says(text, place.group.id)
    assert [one.addressed for one in heard] == [meant]


async def test_answering_the_bot_in_a_group_is_speaking_to_it(
    place: Village, ana: Villager
) -> None:
    said = await place.channel.send(to(place.group.id), Said("Who is here?"))
    heard: list[Any] = []
    place.people.intake = Overhearing(place.people.intake, heard)
    await ana.says("me", place.group.id, reply_to=int(said))
    assert (heard[0].addressed, heard[0].reply_to) == (True, said)


async def test_what_the_bot_could_not_take_in_is_not_shown_as_said(
    place: Village, ana: Villager
) -> None:
    place.people.intake = Deaf()
    with pytest.raises(Declined) as declined:
        await ana.says("hello?")
    assert declined.value.key == "playground.declined.unavailable"
    assert (await place.said_in(ana.home))[-1].gone
    assert not place.channel.live.thinking((ana.home, 0))


async def test_the_bot_is_thinking_from_the_question_to_the_answer(
    place: Village, ana: Villager
) -> None:
    await place.people.says(ana.id, ana.home, "/checkin")
    assert place.channel.live.thinking((ana.home, 0))
    await place.house.settled()
    assert not place.channel.live.thinking((ana.home, 0))


async def test_what_people_change_is_told_to_the_bot(place: Village, ana: Villager) -> None:
    heard: list[Any] = []
    said = await ana.says("lets meet", place.group.id)
    place.people.intake = Overhearing(place.people.intake, heard)
    await place.people.edits(ana.id, said, "let us meet")
    shown = (await place.said_in(place.group.id))[-1]
    assert (shown.body.text, shown.edited_at is not None) == ("let us meet", True)
    assert (heard[0].kind, heard[0].message, heard[0].text) == ("edited", str(said), "let us meet")


async def test_nobody_changes_what_another_said(place: Village, ana: Villager) -> None:
    bo = await place.villager("Bo")
    said = await ana.says("mine", place.group.id)
    with pytest.raises(Declined):
        await place.people.edits(bo.id, said, "his")


@pytest.mark.parametrize("text", ["", "   \n", "\t"])
async def test_nothing_is_not_sent(ana: Villager, text: str) -> None:
    with pytest.raises(Declined):
        await ana.says(text)


async def test_a_very_long_message_is_cut_and_dealt_with(place: Village, ana: Villager) -> None:
    await ana.says("\0\u202e长" * 20_000)
    own = [one for one in await place.said_in(ana.home) if one.person == ana.id]
    assert len(own[-1].body.text) == 4000
    assert (await ana.last()).id > own[-1].id


# ---- starting and stopping


async def test_the_bot_writes_to_nobody_who_has_not_started_it(place: Village) -> None:
    theo = await place.villager("Theo", member=False, home=False)
    with pytest.raises(Unreachable):
        await place.channel.send(to(theo.home), Said("hello"))
    with pytest.raises(Declined):
        await theo.says("hello")


async def test_whoever_stops_the_bot_is_left_alone_until_they_let_it_in_again(
    place: Village, ana: Villager
) -> None:
    await ana.stops()
    with pytest.raises(Unreachable):
        await place.channel.send(to(ana.home), Said("hello"))
    before = len(await ana.inbox())
    await ana.starts()
    await place.channel.send(to(ana.home), Said("hello again"))
    assert len(await ana.inbox()) > before


async def test_a_deep_link_starts_with_its_payload(place: Village) -> None:
    theo = await place.villager("Theo", member=False, home=False)
    await place.people.starts(theo.id, "help_here")
    said = await place.said_in(theo.home)
    assert said[0].body.text == "/start help_here"


# ---- coming and going


async def test_who_comes_by_a_members_link_is_credited_to_the_member(
    place: Village, ana: Villager
) -> None:
    await ana.says("/invite")
    link = next(word for word in (await ana.last()).body.text.split() if "/join/" in word)
    theo = await place.villager("Theo", member=False)
    await theo.joins(link)
    referred = await place.db.value("SELECT max(referred) FROM members")
    assert referred == 1


async def test_joining_twice_is_joining_once(place: Village, ana: Villager) -> None:
    await ana.joins()
    notices = [one for one in await place.said_in(place.group.id) if one.notice == "joined"]
    assert len(notices) == 1


async def test_a_link_that_leads_nowhere_is_declined(ana: Villager) -> None:
    with pytest.raises(Declined) as declined:
        await ana.joins("http://127.0.0.1:8080/join/nowhere")
    assert declined.value.key == "playground.declined.link"


async def test_whoever_leaves_reads_and_writes_there_no_more(place: Village, ana: Villager) -> None:
    said = await place.channel.send(to(place.group.id), Said("", image=DOT))
    await place.people.leaves(ana.id, place.group.id)
    with pytest.raises(Declined):
        await ana.says("still here?", place.group.id)
    with pytest.raises(Declined):
        await place.people.file(ana.id, int(said))


async def test_rank_and_seats_are_known_as_rights(place: Village, ana: Villager) -> None:
    await place.people.ranks(ana.id, place.group.id, "admin")
    await place.house.settled()
    rights = await place.channel.do(to(place.group.id), Ability.RIGHTS, {})
    assert rights == {
        "missing": [], "admins": [str(ana.id)], "forum": False, "title": "Harbour Tea",
    }  # fmt: skip
    assert await place.db.value("SELECT role FROM members WHERE role = 'admin'") == "admin"


# ---- the staff place


async def test_a_person_answers_in_the_members_topic(place: Village, ana: Villager) -> None:
    lin = await place.staff("Lin")
    await ana.says("/human")
    topic = (await web.topics(place.db, place.desk.id))[0]
    await lin.says("Lin here. What is it?", place.desk.id, topic=topic.id)
    carried = (await ana.inbox())[-1]
    assert "Lin here. What is it?" in carried.body.text
    assert carried.body.carried
    await ana.says("my order never came")
    at_desk = (await place.said_in(place.desk.id, topic.id))[-1]
    assert (at_desk.body.text, at_desk.body.carried) == ("my order never came", True)


async def test_a_picture_carried_to_staff_is_seen_by_staff_and_no_outsider(
    place: Village, ana: Villager
) -> None:
    lin, bo = await place.staff("Lin"), await place.villager("Bo")
    await ana.says("/human")
    topic = (await web.topics(place.db, place.desk.id))[0]
    sent = await ana.says("look", file=File("tea.png", DOT))
    copy = next(one for one in await place.said_in(place.desk.id, topic.id) if one.body.copy)
    assert (await place.people.file(lin.id, copy.id)).data == DOT
    for message in (sent, copy.id):
        with pytest.raises(Declined):
            await place.people.file(bo.id, message)


async def test_a_topic_that_is_gone_is_told_as_such(place: Village) -> None:
    with pytest.raises(ThreadGone):
        await place.channel.send(to(place.desk.id, thread=7), Said("hello"))
    with pytest.raises(ThreadGone):
        await place.channel.do(to(place.desk.id), Ability.CLOSE_THREAD, {"thread": "7"})


async def test_a_topic_is_marked_as_done_and_opened_again(place: Village) -> None:
    told = await place.channel.do(to(place.desk.id), Ability.OPEN_THREAD, {"title": "Ana"})
    for closed in (True, False):
        words = {"thread": told["thread"], "closed": closed}
        await place.channel.do(to(place.desk.id), Ability.CLOSE_THREAD, words)
        assert (await web.topics(place.db, place.desk.id))[0].closed is closed


# ---- what the bot does with messages


async def test_an_edit_replaces_the_words_and_keeps_the_picture(
    place: Village, ana: Villager
) -> None:
    id = await place.channel.send(to(ana.home), Said("one", image=DOT))
    assert await place.channel.send(to(ana.home), Said("two", edits=id)) == id
    shown = await ana.last()
    assert (shown.body.text, shown.body.kind) == ("two", "photo")
    assert (await place.people.file(ana.id, int(id))).data == DOT


async def test_what_was_deleted_leaves_nothing_behind(place: Village, ana: Villager) -> None:
    id = await place.channel.send(to(ana.home), Said("secret", image=DOT))
    await place.channel.do(to(ana.home), Ability.DELETE, {"message": id})
    shown = await ana.last()
    assert (shown.gone, shown.body) == (True, Body())
    assert await place.db.value("SELECT file FROM web_messages WHERE id = :id", id=int(id)) is None
    with pytest.raises(Impossible):
        await place.channel.send(to(ana.home), Said("again", edits=id))
    with pytest.raises(Impossible):
        await place.channel.do(to(ana.home), Ability.SIGN, {"message": id, "emoji": "👍"})


async def test_nobodys_words_are_edited_by_the_bot(place: Village, ana: Villager) -> None:
    said = await ana.says("mine", place.group.id)
    with pytest.raises(Impossible):
        await place.channel.send(to(place.group.id), Said("ours", edits=str(said)))


async def test_the_bot_signs_a_message(place: Village, ana: Villager) -> None:
    said = await ana.says("done it", place.group.id)
    await place.channel.do(to(place.group.id), Ability.SIGN, {"message": str(said), "emoji": "👍"})
    assert (await web.message(place.db, said)).sign == "👍"  # type: ignore[union-attr]


async def test_a_document_is_a_file_to_save(place: Village, ana: Villager) -> None:
    document = ("your-data.json", b'{"name": "Ana"}')
    id = await place.channel.send(to(ana.home), Said("Here it is", file=document))
    shown = await ana.last()
    assert (shown.body.kind, shown.body.name) == ("file", "your-data.json")
    file = await place.people.file(ana.id, int(id))
    assert (file.data, file.type) == (document[1], "application/octet-stream")


@pytest.mark.parametrize(
    ("data", "type_"),
    [
        (DOT, "image/png"),
        (b"\xff\xd8\xff\xe0..", "image/jpeg"),
        (b"GIF89a..", "image/gif"),
        (b"RIFF....WEBPVP8 ", "image/webp"),
        (b"RIFF....WAVEfmt ", "application/octet-stream"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>", "application/octet-stream"),
        (b"<!doctype html>", "application/octet-stream"),
        (b"", "application/octet-stream"),
    ],
)
def test_a_file_is_what_its_bytes_say_whatever_it_is_called(data: bytes, type_: str) -> None:
    assert File("picture.png", data).type == type_


async def test_a_file_that_is_too_large_is_declined(ana: Villager) -> None:
    with pytest.raises(Declined) as declined:
        await ana.says("", file=File("film.mp4", b"0" * (FILE_BYTES + 1)))
    assert declined.value.words == {"most": 8}


# ---- reading


async def test_what_was_said_since_is_unread_until_it_is_read(
    place: Village, ana: Villager
) -> None:
    bo = await place.villager("Bo")
    await place.people.reads(
        ana.id, place.group.id, 0, (await place.said_in(place.group.id))[-1].id
    )
    said = [await bo.says(text, place.group.id) for text in ("one", "two", "three")]
    unread = await web.unread(place.db, ana.id)
    assert unread[place.group.id, 0] == 3
    await place.people.reads(ana.id, place.group.id, 0, said[1])
    await place.people.reads(ana.id, place.group.id, 0, said[0])  # never less than before
    assert (await web.unread(place.db, ana.id))[place.group.id, 0] == 1


async def test_what_was_said_before_one_came_is_not_new(place: Village, ana: Villager) -> None:
    await ana.says("an old story", place.group.id)
    bo = await place.people.arrives("Bo", "en")
    await place.people.joins(bo.id, await web.public_link(place.db, place.group.id))
    assert place.group.id not in {chat for chat, _ in await web.unread(place.db, bo.id)}


async def test_what_was_opened_last_comes_first_even_if_no_time_has_passed(
    place: Village, ana: Villager
) -> None:
    for chat in (ana.home, place.group.id, ana.home):
        await place.people.opens(ana.id, chat)
        assert (await web.marks(place.db, ana.id))[0].chat == chat


async def test_a_groups_door_is_public_and_a_staff_places_is_not(place: Village) -> None:
    theo = await place.villager("Theo", member=False)
    await place.people.opens(theo.id, place.group.id)
    with pytest.raises(Declined):
        await place.people.opens(theo.id, place.desk.id)


async def test_who_belongs_to_the_house_is_told_apart(place: Village, ana: Villager) -> None:
    bo, lin = await place.villager("Bo"), await place.staff("Lin")
    await place.people.ranks(bo.id, place.group.id, "admin")
    assert await web.at_work(place.db) == {bo.id: "admin", lin.id: "staff"}


# ---- keeping


async def test_names_messages_and_files_are_kept_sealed(place: Village, ana: Villager) -> None:
    await ana.says("a very private matter", file=File("letter.txt", b"very private bytes"))
    rows = await place.db.rows("SELECT body, file FROM web_messages")
    rows = [*rows, *await place.db.rows("SELECT name AS body, name AS file FROM web_people")]
    kept = b"".join(bytes(cell) for row in rows for cell in (row["body"], row["file"]) if cell)
    assert kept
    for word in (b"private", b"letter.txt", b"Ana"):
        assert word not in kept


async def test_with_the_person_goes_their_private_chat_whole(place: Village, ana: Villager) -> None:
    await place.house.database.writer.settle(
        [Change("DELETE FROM web_chats WHERE person_id = :id", {"id": ana.id})]
    )
    assert await place.said_in(ana.home) == []
    assert await web.home(place.db, ana.id) == 0


async def test_with_a_topic_go_its_messages(place: Village) -> None:
    told = await place.channel.do(to(place.desk.id), Ability.OPEN_THREAD, {"title": "Ana"})
    topic = int(told["thread"])
    await place.channel.send(to(place.desk.id, topic), Said("about Ana"))
    await place.house.database.writer.settle(
        [Change("DELETE FROM web_topics WHERE id = :id", {"id": topic})]
    )
    assert await place.said_in(place.desk.id, topic) == []


async def test_a_second_secret_makes_the_first_void(place: Village, ana: Villager) -> None:
    from storage.tokens import digest

    first, second = await place.people.secret(ana.id), await place.people.secret(ana.id)
    assert await web.known_by(place.db, digest(first)) is None
    known = await web.known_by(place.db, digest(second))
    assert known is not None
    assert known.id == ana.id
    assert await web.known_by(place.db, "") is None


async def test_nobody_sits_twice(place: Village, ana: Villager) -> None:
    with pytest.raises(Miss):
        await place.house.database.writer.settle(
            [web.seated(id=1, chat=place.group.id, person=ana.id)]
        )


# ---- stand-ins


class Overhearing:
    """Listens in on what the bot is told."""

    def __init__(self, intake: Any, heard: list[Any]) -> None:
        self._intake = intake
        self._heard = heard

    async def __call__(self, arrivals: Sequence[Any]) -> None:
        self._heard += arrivals
        await self._intake(arrivals)


class Deaf:
    """A bot whose database does not answer."""

    async def __call__(self, arrivals: Sequence[Any]) -> None:
        raise Unavailable("no database")
