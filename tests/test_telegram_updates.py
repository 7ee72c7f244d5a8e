"""What Telegram tells us becomes events, and nothing it may send stops what comes after."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.channels import Malformed
from bot.channels.telegram_shapes import several
from bot.channels.telegram_updates import Me, heard
from handlers.turn import Event, Kind, Media, Person, Where

Json = dict[str, Any]

ME = Me("telegram", 7001, "innkeeper_bot")
NOW = datetime(2026, 3, 3, 8, tzinfo=UTC)
DATE = 1_772_000_000
AT = datetime.fromtimestamp(DATE, UTC)

ANA: Json = {
    "id": 5_000_000_001,
    "is_bot": False,
    "first_name": "Ana",
    "last_name": "Lima",
    "language_code": "pt-br",
}
BO: Json = {"id": 5_000_000_002, "is_bot": False, "first_name": "Bo"}
US: Json = {"id": ME.id, "is_bot": True, "first_name": "Innkeeper", "username": ME.username}
OTHER_BOT: Json = {"id": 7002, "is_bot": True, "first_name": "Other", "username": "other_bot"}
HOME: Json = {"id": ANA["id"], "type": "private", "first_name": "Ana"}
CLUB: Json = {"id": -1001, "type": "supergroup", "title": "Club"}
DESK: Json = {"id": -1002, "type": "supergroup", "title": "Desk", "is_forum": True}


def update(number: int = 9, /, **kind: Any) -> bytes:
    return json.dumps({"update_id": number, **kind}).encode()


def message(chat: Json = CLUB, sender: Json | None = ANA, **more: Any) -> Json:
    who = {} if sender is None else {"from": sender}
    return {"message_id": 31, "date": DATE, "chat": chat, **who, **more}


def events(raw: bytes) -> list[Event]:
    """What is told, all of it readable."""
    told = heard(raw, ME, NOW).events
    assert not [one for one in told if isinstance(one, Malformed)], told
    return [one for one in told if isinstance(one, Event)]


def said(chat: Json = CLUB, **more: Any) -> Event:
    """The one event of a message with this in it."""
    (event,) = events(update(message=message(chat, **more)))
    assert event.kind is Kind.SAID
    return event


def marked(text: str, part: str, kind: str = "mention", **more: Any) -> Json:
    """An entity over `part`, counted in UTF-16 units as Telegram does."""
    before = text[: text.index(part)]
    return {
        "type": kind,
        "offset": len(before.encode("utf-16-le")) // 2,
        "length": len(part.encode("utf-16-le")) // 2,
        **more,
    }


# ---------------------------------------------------------------- what people say


def test_what_somebody_says_in_private_is_addressed() -> None:
    assert said(HOME, text="hello") == Event(
        kind=Kind.SAID,
        channel="telegram",
        id="9",
        at=AT,
        person=Person(id="5000000001", name="Ana Lima", language="pt-br"),
        where=Where(id="5000000001", private=True),
        text="hello",
        message="31",
        addressed=True,
    )


def test_group_talk_is_not_addressed_to_us() -> None:
    event = said(CLUB, text="anyone for tea?")
    assert not event.addressed
    assert event.where == Where(id="-1001", private=False, title="Club")


@pytest.mark.parametrize(
    ("text", "part", "told"),
    [
        ("@innkeeper_bot what time?", "@innkeeper_bot", "what time?"),
        ("@Innkeeper_Bot, what time?", "@Innkeeper_Bot", "what time?"),
        ("what time, @innkeeper_bot", "@innkeeper_bot", "what time,"),
        ("so @innkeeper_bot what time?", "@innkeeper_bot", "so what time?"),
        ("😀😀 @innkeeper_bot 几点？", "@innkeeper_bot", "😀😀 几点？"),
        ("@innkeeper_bot", "@innkeeper_bot", ""),
        ("@innkeeper_bot\nfirst\nsecond", "@innkeeper_bot", "first\nsecond"),
    ],
)
def test_our_name_addresses_us_and_is_left_out(text: str, part: str, told: str) -> None:
    event = said(text=text, entities=[marked(text, part)])
    assert (event.text, event.addressed) == (told, True)


def test_a_mention_by_name_alone_is_known_by_its_user() -> None:
    text = "😀 Innkeeper, tea?"
    event = said(text=text, entities=[marked(text, "Innkeeper", "text_mention", user=US)])
    assert (event.text, event.addressed) == ("😀 , tea?", True)


@pytest.mark.parametrize(
    "mark",
    [
        marked("@somebody_else hello", "@somebody_else"),
        marked("@somebody_else hello", "@somebody_else", "text_mention", user=BO),
        {"type": "mention", "offset": 4000, "length": 9},
        {"type": "mention", "offset": -3, "length": 1},
        {"type": "code", "offset": 0, "length": 14},
    ],
)
def test_a_mention_of_anybody_else_is_talk(mark: Json) -> None:
    event = said(text="@somebody_else hello", entities=[mark])
    assert (event.text, event.addressed) == ("@somebody_else hello", False)


def test_our_name_in_quoted_code_is_no_mention() -> None:
    text = "type @innkeeper_bot to call it"
    assert not said(text=text, entities=[marked(text, "@innkeeper_bot", "code")]).addressed


def test_a_caption_is_what_was_said() -> None:
    text = "@innkeeper_bot is this tea?"
    sizes = [
        {"file_id": "small", "file_unique_id": "s", "width": 90, "height": 60},
        {"file_id": "large", "file_unique_id": "l", "width": 900, "height": 600},
        {"file_id": "medium", "file_unique_id": "m", "width": 300, "height": 200},
    ]
    marks = [marked(text, "@innkeeper_bot")]
    event = said(photo=sizes, caption=text, caption_entities=marks)
    assert (event.text, event.addressed) == ("is this tea?", True)
    assert event.media == (Media(kind="photo", ref="large"),)


# ---------------------------------------------------------------- commands


@pytest.mark.parametrize(
    ("text", "told", "addressed"),
    [
        ("/checkin", "/checkin", False),  # a command is known by its slash
        ("/checkin@innkeeper_bot", "/checkin", True),
        ("/checkin@Innkeeper_BOT now", "/checkin now", True),
        ("/ask@innkeeper_bot\nwhy", "/ask\nwhy", True),
        ("/checkin@other_bot now", "/checkin@other_bot now", False),
        ("not /checkin@innkeeper_bot", "not /checkin@innkeeper_bot", False),
    ],
)
def test_a_command_names_whom_it_calls(text: str, told: str, addressed: bool) -> None:
    event = said(text=text)
    assert (event.text, event.addressed) == (told, addressed)


def test_a_command_for_another_bot_is_not_for_us_even_in_private() -> None:
    assert not said(HOME, text="/start@other_bot").addressed


def test_a_deep_link_keeps_its_payload() -> None:
    assert said(HOME, text="/start ref_Ab-9_x").text == "/start ref_Ab-9_x"


@pytest.mark.parametrize("chat", [HOME, CLUB, DESK])
@pytest.mark.parametrize(
    "origin",
    [
        {"forward_origin": {"type": "user", "date": DATE, "sender_user": BO}},
        {"forward_origin": {"type": "not known yet"}},
        {"forward_date": DATE, "forward_from": BO},
    ],
)
def test_a_forwarded_command_is_talk(chat: Json, origin: Json) -> None:
    event = said(chat, text="/close@innkeeper_bot 102", **origin)
    assert not event.text.startswith("/")
    assert "/close@innkeeper_bot 102" in event.text


def test_what_else_is_forwarded_stays_as_it_was() -> None:
    origin = {"forward_origin": {"type": "hidden_user", "date": DATE, "sender_user_name": "Eve"}}
    assert (
        said(HOME, text="see https://tea.example/a", **origin).text == "see https://tea.example/a"
    )


# ---------------------------------------------------------------- who says it


def anonymous(chat: Json, **more: Any) -> Json:
    hidden = {
        "id": 1087968824,
        "is_bot": True,
        "first_name": "Group",
        "username": "GroupAnonymousBot",
    }
    return message(chat, hidden, sender_chat=chat, **more)


def test_who_speaks_in_the_name_of_a_chat_is_no_member() -> None:
    (event,) = events(update(message=anonymous(CLUB, text="welcome, all")))
    assert event.person == Person(id="chat:-1001", name="Club", anonymous=True)
    assert not event.addressed


@pytest.mark.parametrize(
    ("text", "told", "addressed"),
    [
        ("/ban @rival", "/ban @rival", False),
        ("/ban@innkeeper_bot @rival", "/ban @rival", True),
        ("/ban@other_bot @rival", "/ban@other_bot @rival", False),
        ("@innkeeper_bot /ban @rival", "/ban @rival", True),
        ("@innkeeper_bot who is it?", "who is it?", False),  # only a command is worth an answer
    ],
)
def test_a_command_from_behind_a_chat_is_told_as_nobodys(
    text: str, told: str, addressed: bool
) -> None:
    marks = [marked(text, "@innkeeper_bot")] if text.startswith("@") else []
    (event,) = events(update(message=anonymous(CLUB, text=text, entities=marks)))
    assert event.person == Person(id="chat:-1001", name="Club", anonymous=True)
    assert (event.text, event.addressed) == (told, addressed)


def test_a_command_forwarded_from_behind_a_chat_is_talk() -> None:
    origin = {"forward_origin": {"type": "user", "date": DATE, "sender_user": BO}}
    (event,) = events(update(message=anonymous(CLUB, text="/ban@innkeeper_bot", **origin)))
    assert (event.text, event.addressed) == ("↪ /ban@innkeeper_bot", False)


def test_a_command_in_a_channels_post_is_not_heard_in_its_group() -> None:
    channel = {"id": -1009, "type": "channel", "title": "News"}
    origin = {"type": "channel", "date": DATE, "chat": channel, "message_id": 3}
    brought: Json = {"is_automatic_forward": True, "forward_origin": origin, "sender_chat": channel}
    telegram = {"id": 777000, "is_bot": False, "first_name": "Telegram"}
    for text, told in (("/ban @rival", []), ("fresh tea", ["fresh tea"])):
        post = message(CLUB, telegram, text=text, **brought)
        assert [one.text for one in events(update(message=post))] == told


def test_bots_are_not_listened_to() -> None:
    assert events(update(message=message(CLUB, OTHER_BOT, text="/checkin"))) == []
    assert events(update(message=message(CLUB, None, text="from nobody"))) == []


# ---------------------------------------------------------------- topics and answers


def test_a_topic_is_known_by_its_thread() -> None:
    event = said(DESK, text="hello", message_thread_id=12, is_topic_message=True)
    assert event.where == Where(id="-1002", private=False, title="Desk", thread="12")


def test_outside_of_forums_a_thread_is_only_a_chain_of_answers() -> None:
    answered = {"message_id": 12, "date": DATE, "chat": CLUB, "from": BO, "text": "hi"}
    event = said(CLUB, text="hello", message_thread_id=12, reply_to_message=answered)
    assert event.where == Where(id="-1001", private=False, title="Club")
    assert (event.reply_to, event.addressed) == ("12", False)


def test_an_answer_to_us_is_addressed_to_us() -> None:
    ours = {"message_id": 30, "date": DATE, "chat": CLUB, "from": US, "text": "hi"}
    event = said(text="thanks", reply_to_message=ours)
    assert (event.reply_to, event.addressed) == ("30", True)


@pytest.mark.parametrize("more", [{}, {"forum_topic_created": {"name": "Ana", "icon_color": 1}}])
def test_what_is_said_in_a_topic_of_ours_does_not_answer_what_opened_it(more: Json) -> None:
    opening = {"message_id": 12, "date": DATE, "chat": DESK, "from": US, **more}
    event = said(
        DESK, text="hello", message_thread_id=12, is_topic_message=True, reply_to_message=opening
    )
    assert (event.reply_to, event.addressed) == ("", False)


# ---------------------------------------------------------------- what is shown


@pytest.mark.parametrize(
    ("field", "kind"),
    [
        ("document", "file"),
        ("voice", "voice"),
        ("video", "video"),
        ("video_note", "video_note"),
        ("audio", "audio"),
        ("sticker", "sticker"),
        ("animation", "animation"),
    ],
)
def test_what_is_sent_can_be_sent_again(field: str, kind: str) -> None:
    file = {"file_id": "F1", "file_unique_id": "u", "file_name": "menu.pdf", "width": 3}
    event = said(HOME, **{field: file})
    assert event.media == (Media(kind=kind, ref="F1", name="menu.pdf"),)


def test_an_animation_is_not_taken_for_the_document_it_comes_with() -> None:
    moving, still = {"file_id": "A"}, {"file_id": "D"}
    assert said(HOME, animation=moving, document=still).media == (Media(kind="animation", ref="A"),)


@pytest.mark.parametrize(
    ("field", "content", "sort"),
    [
        ("location", {"latitude": 1.0, "longitude": 2.0}, "location"),
        ("contact", {"phone_number": "1", "first_name": "Ana"}, "contact"),
        ("rich_message", {"blocks": [{"type": "new in 10.4"}]}, "rich_message"),
    ],
)
def test_what_we_cannot_carry_is_at_least_named(field: str, content: Json, sort: str) -> None:
    event = said(HOME, **{field: content})
    assert (event.text, event.media, event.words) == ("", (), {"sort": sort})


@pytest.mark.parametrize(
    "note",
    [
        {"pinned_message": {"message_id": 3, "date": 0, "chat": CLUB}},
        {"forum_topic_created": {"name": "Ana", "icon_color": 1}},
        {"new_chat_title": "Club 2"},
        {"a_note_of_next_year": {}},
    ],
)
def test_telegrams_own_notes_are_not_said_by_anybody(note: Json) -> None:
    assert events(update(message=message(CLUB, **note))) == []


def test_an_edit_is_told_with_the_time_it_was_made() -> None:
    changed = message(CLUB, text="tea at 5", edit_date=DATE + 60)
    (event,) = events(update(edited_message=changed))
    assert (event.kind, event.text, event.message) == (Kind.EDITED, "tea at 5", "31")
    assert event.at == datetime.fromtimestamp(DATE + 60, UTC)


# ---------------------------------------------------------------- buttons


def press(**more: Any) -> Json:
    return {"id": "444", "from": ANA, "chat_instance": "1", **more}


def test_a_pressed_button_is_told_by_who_where_and_what() -> None:
    under = {
        "message_id": 40,
        "date": DATE,
        "chat": DESK,
        "from": US,
        "text": "claim?",
        "message_thread_id": 12,
        "is_topic_message": True,
    }
    assert events(update(callback_query=press(message=under, data="handoff.claim:7"))) == [
        Event(
            kind=Kind.PRESSED,
            channel="telegram",
            id="9",
            at=NOW,
            person=Person(id="5000000001", name="Ana Lima", language="pt-br"),
            where=Where(id="-1002", private=False, title="Desk", thread="12"),
            message="40",
            data="handoff.claim:7",
            press="444",
        )
    ]


def test_a_button_under_a_message_too_old_to_be_shown_still_works() -> None:
    old = {"message_id": 2, "date": 0, "chat": HOME}
    (event,) = events(update(callback_query=press(message=old, data="x.y")))
    assert (event.message, event.data) == ("2", "x.y")


def test_games_and_inline_messages_have_no_buttons_of_ours() -> None:
    assert events(update(callback_query=press(inline_message_id="i", data="x.y"))) == []
    game = press(message={"message_id": 2, "date": 0, "chat": HOME}, game_short_name="g")
    assert events(update(callback_query=game)) == []


# ---------------------------------------------------------------- coming and going


def standing(status: str, user: Json = ANA, **more: Any) -> Json:
    return {"status": status, "user": user, **more}


def change(before: Json, after: Json, *, by: Json = BO, chat: Json = CLUB, **more: Any) -> Json:
    return {
        "chat": chat,
        "from": by,
        "date": DATE,
        "old_chat_member": before,
        "new_chat_member": after,
        **more,
    }


def inside(status: str) -> Json:
    return standing("restricted", is_member=status == "in")


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (standing("left"), standing("member"), [("9", Kind.JOINED, "")]),
        (standing("kicked"), standing("member"), [("9", Kind.JOINED, "")]),
        (standing("left"), inside("in"), [("9", Kind.JOINED, "")]),
        (inside("out"), inside("in"), [("9", Kind.JOINED, "")]),
        (standing("member"), standing("left"), [("9", Kind.LEFT, "")]),
        (standing("member"), standing("kicked"), [("9", Kind.LEFT, "")]),
        (inside("in"), inside("out"), [("9", Kind.LEFT, "")]),
        (standing("member"), inside("out"), [("9", Kind.LEFT, "")]),
        (standing("member"), inside("in"), []),
        (inside("in"), standing("member"), []),
        (standing("left"), standing("kicked"), []),
        (inside("out"), standing("left"), []),
        (standing("member"), standing("administrator"), [("9", Kind.RANKED, "admin")]),
        (standing("administrator"), standing("creator"), []),
        (standing("administrator"), standing("member"), [("9", Kind.RANKED, "member")]),
        (
            standing("left"),
            standing("administrator"),
            [("9:1", Kind.JOINED, ""), ("9:2", Kind.RANKED, "admin")],
        ),
        (
            standing("administrator"),
            standing("kicked"),
            [("9:1", Kind.LEFT, ""), ("9:2", Kind.RANKED, "member")],
        ),
        (standing("member"), standing("a status of next year"), [("9", Kind.LEFT, "")]),
    ],
)
def test_a_change_of_standing_is_told_of_whom_it_is_about(
    before: Json, after: Json, told: list[tuple[str, Kind, str]]
) -> None:
    found = events(update(chat_member=change(before, after)))
    assert [(one.id, one.kind, one.data) for one in found] == told
    assert {one.person.id for one in found if one.person} <= {str(ANA["id"])}
    assert len({one.id for one in found}) == len(found)


def test_a_join_tells_by_which_link() -> None:
    link = {"invite_link": "https://t.me/+abc", "creator": US, "name": "Ana"}
    joined = change(standing("left"), standing("member"), by=ANA, invite_link=link)
    (event,) = events(update(chat_member=joined))
    assert (event.kind, event.data) == (Kind.JOINED, "https://t.me/+abc")


def test_bots_come_and_go_unheard() -> None:
    before, after = standing("left", OTHER_BOT), standing("administrator", OTHER_BOT)
    assert events(update(chat_member=change(before, after))) == []


def test_the_note_in_the_chat_tells_of_everybody_who_came_but_bots() -> None:
    came = message(CLUB, BO, new_chat_members=[ANA, US, BO])
    found = events(update(message=came))
    assert [(one.id, one.kind) for one in found] == [("9:1", Kind.JOINED), ("9:3", Kind.JOINED)]
    assert [one.person.id for one in found if one.person] == [str(ANA["id"]), str(BO["id"])]
    assert {one.message for one in found} == {"31"}


def test_the_note_in_the_chat_tells_who_left() -> None:
    (event,) = events(update(message=message(CLUB, BO, left_chat_member=ANA)))
    assert (event.id, event.kind) == ("9", Kind.LEFT)
    assert event.person is not None
    assert event.person.id == str(ANA["id"])


def test_who_asks_to_join_is_told_with_their_link() -> None:
    request = {
        "chat": CLUB,
        "from": ANA,
        "user_chat_id": ANA["id"],
        "date": DATE,
        "invite_link": {"invite_link": "https://t.me/+abc"},
    }
    (event,) = events(update(chat_join_request=request))
    assert (event.kind, event.data) == (Kind.ASKED_TO_JOIN, "https://t.me/+abc")
    assert event.where == Where(id="-1001", private=False, title="Club")


def test_a_person_blocks_us_and_comes_back() -> None:
    left = change(standing("member", US), standing("kicked", US), by=ANA, chat=HOME)
    back = change(standing("kicked", US), standing("member", US), by=ANA, chat=HOME)
    (blocked,), (returned,) = (
        events(update(my_chat_member=left)),
        events(update(my_chat_member=back)),
    )
    assert (blocked.kind, returned.kind) == (Kind.BLOCKED, Kind.RETURNED)
    assert blocked.person is not None
    assert blocked.person.id == str(ANA["id"])


def test_our_own_rights_in_a_group_are_told() -> None:
    rights = {"can_invite_users": True, "can_pin_messages": True, "can_be_edited": False}
    after = standing("administrator", US, is_anonymous=False, **rights)
    (event,) = events(update(my_chat_member=change(standing("left", US), after, chat=DESK)))
    assert event.kind is Kind.ADDED
    assert event.words == {
        "status": "administrator",
        "rights": ["can_invite_users", "can_pin_messages"],
        "forum": True,
    }


def test_a_group_with_a_new_id_is_told_the_same_way_from_both_sides() -> None:
    group = {"id": -4001, "type": "group", "title": "Club"}
    old = events(update(5, message=message(group, BO, migrate_to_chat_id=-1001)))
    new = events(update(8, message=message(CLUB, BO, migrate_from_chat_id=-4001)))
    assert old == new
    assert [(one.kind, one.id, one.data) for one in old] == [
        (Kind.MOVED, "moved:-4001:-1001", "-1001")
    ]
    assert old[0].where == Where(id="-4001", private=False, title="Club")


# ---------------------------------------------------------------- what cannot be read


@pytest.mark.parametrize("kind", ["poll_answer", "message_reaction", "a kind of next year"])
def test_a_kind_we_have_no_word_for_is_nothing_and_is_confirmed(kind: str) -> None:
    told = heard(update(**{kind: {"whatever": 1}}), ME, NOW)
    assert (told.number, told.events) == (9, ())


@pytest.mark.parametrize(
    "body",
    [
        {"message": {"message_id": "31", "date": DATE, "chat": CLUB}},
        {"message": message(CLUB, text="late", edit_date=10**15)},
        {"message": message(CLUB, text=["no", "text"])},
        {"chat_member": change(standing("left"), {"user": ANA})},
    ],
)
def test_an_update_that_cannot_be_read_is_kept_whole(body: Json) -> None:
    raw = update(**body)
    told = heard(raw, ME, NOW)
    (kept,) = told.events
    assert isinstance(kept, Malformed)
    assert (told.number, kept.id, kept.payload) == (9, "9", raw.decode())
    assert kept.reason


def test_what_has_no_number_is_known_by_what_it_is() -> None:
    first, again, other = (heard(raw, ME, NOW) for raw in (b"[1", b"[1", b"[2"))
    assert first.number is None
    assert first == again != other


def test_the_reason_quotes_nobody() -> None:
    (kept,) = heard(update(message=message(CLUB, text={"secret": "Ana"})), ME, NOW).events
    assert isinstance(kept, Malformed)
    assert "Ana" not in kept.reason
    assert "$.message.text" in kept.reason


@pytest.mark.parametrize(
    ("written", "told"),
    [
        (r"a\u0000b", "ab"),
        (r"half \ud83d of a smile", "half \ufffd of a smile"),
        (r"the other \ude00 half", "the other \ufffd half"),
        (r"whole \ud83d\ude00", "whole 😀"),
        (r"\u202eevil\u202c", "\u202eevil\u202c"),
    ],
)
def test_what_no_database_takes_is_cleaned(written: str, told: str) -> None:
    raw = update(message=message(HOME, text="TEXT")).replace(b"TEXT", written.encode())
    (event,) = events(raw)
    assert event.text == told
    assert msgspec.json.encode(event)


def test_broken_utf8_is_read_around() -> None:
    raw = update(message=message(HOME, text="TEXT")).replace(b"TEXT", b"tea \xff\xfe time")
    (event,) = events(raw)
    assert event.text == "tea \ufffd\ufffd time"


def test_an_update_with_endless_depth_is_set_aside_and_its_neighbours_are_heard() -> None:
    deep = b'{"update_id": 2, "message": ' + b"[" * 50_000 + b"]" * 50_000 + b"}"
    quoting = update(3, message=message(HOME, text='}]"\\ "update_id": 77'))
    body = b'{"ok":true,"result":[' + b",".join(
        [update(1, message=message(HOME, text="one")), deep, quoting]
    )
    told = [heard(raw, ME, NOW) for raw in several(body + b"]}")]
    assert [one.number for one in told] == [1, 2, 3]
    assert isinstance(told[1].events[0], Malformed)
    assert [type(one.events[0]) for one in told] == [Event, Malformed, Event]


def test_an_answer_that_was_cut_off_gives_what_came_whole() -> None:
    whole = update(1, message=message(HOME, text="one"))
    body = b'{"ok":true,"result":[' + whole + b"," + update(2, message=message(HOME))[:-9]
    assert [heard(raw, ME, NOW).number for raw in several(body)] == [1]


def test_an_answer_that_is_none_gives_nothing() -> None:
    assert several(b"<html>bad gateway</html>") == []


# ---------------------------------------------------------------- anything at all

anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(categories=["Cc", "Cs", "L", "N", "P", "S"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)
PARTS: list[Json] = [
    {"message": message(DESK, text="/a@innkeeper_bot", entities=[marked("ab", "a")], photo=[])},
    {"message": message(CLUB, BO, new_chat_members=[ANA], sender_chat=CLUB, reply_to_message=None)},
    {"chat_member": change(standing("left"), standing("member"))},
    {"my_chat_member": change(standing("left", US), standing("administrator", US))},
    {"callback_query": press(message={"message_id": 2, "date": 0, "chat": HOME}, data="x")},
]


@st.composite
def spoilt(draw: st.DrawFn) -> Json:
    """An update in which one value, somewhere, is anything at all."""
    whole: Json = json.loads(json.dumps({"update_id": 9, **draw(st.sampled_from(PARTS))}))
    inner: Any = whole
    while True:
        key = draw(st.sampled_from(sorted(inner) if isinstance(inner, dict) else range(len(inner))))
        if not (isinstance(inner[key], (dict, list)) and inner[key]) or draw(st.booleans()):
            inner[key] = draw(anything)
            return whole
        inner = inner[key]


@settings(deadline=None)
@given(st.binary())
def test_no_bytes_stop_us(raw: bytes) -> None:
    assert isinstance(several(raw), list)
    assert heard(raw, ME, NOW).events


@settings(deadline=None)
@given(anything)
def test_no_json_stops_us(value: Any) -> None:
    told = heard(json.dumps(value).encode(), ME, NOW)
    assert all(isinstance(one, (Event, Malformed)) for one in told.events)


@settings(deadline=None)
@given(spoilt())
def test_no_spoilt_update_stops_us_and_what_it_tells_can_be_kept(whole: Json) -> None:
    for one in heard(json.dumps(whole).encode(), ME, NOW).events:
        if isinstance(one, Malformed):
            assert "\0" not in one.payload
        else:
            kept = msgspec.json.encode(one)
            assert b"\\u0000" not in kept
            assert msgspec.json.decode(kept, type=Event) == one


@settings(deadline=None)
@given(st.lists(anything.map(lambda value: {"update_id": 1, "x": value}), max_size=4))
def test_cutting_an_answer_apart_loses_nothing(items: list[Json]) -> None:
    """With a lone surrogate in front, which msgspec refuses, the pieces are the same."""
    listed = json.dumps(items)[1:-1]
    broken = '{"ok":true,"result":[{"x":"\\ud800"}' + (f",{listed}" if items else "") + "]}"
    assert [json.loads(raw) for raw in several(broken.encode())[1:]] == json.loads(f"[{listed}]")
