"""One update of every kind that the Bot API has, each as small as Telegram may send it."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

DATE = 1_741_000_000
CHAT, DESK = -1_001_000_000_001, -1_002_000_000_002

ANA = {"id": 42, "is_bot": False, "first_name": "Ana", "language_code": "en"}
BEN = {"id": 43, "is_bot": False, "first_name": "Ben", "last_name": "B."}
US: Json = {"id": 7, "is_bot": True, "first_name": "Innkeeper", "username": "innkeeper_bot"}
HOME = {"id": 42, "type": "private", "first_name": "Ana"}
GROUP = {"id": CHAT, "type": "supergroup", "title": "Harbour Tea"}
CHANNEL = {"id": -1_003_000_000_003, "type": "channel", "title": "News"}
FORUM = {"id": DESK, "type": "supergroup", "title": "Desk", "is_forum": True}
LINK = {
    "invite_link": "https://t.me/+abc", "creator": US, "creates_join_request": False,
    "is_primary": False, "is_revoked": False,
}  # fmt: skip


def message(**more: Any) -> Json:
    """A message in private."""
    return {"message_id": 5, "date": DATE, "chat": HOME, "from": ANA, **more}


def standing(status: str, user: Json = BEN, **more: Any) -> Json:
    """What somebody is in a chat."""
    return {"status": status, "user": user, **more}


def change(chat: Json, old: Json, new: Json, **more: Any) -> Json:
    """Somebody is something else in a chat than before."""
    return {
        "chat": chat, "from": ANA, "date": DATE, "old_chat_member": old, "new_chat_member": new,
        **more,
    }  # fmt: skip


OF_EVERY_KIND: dict[str, Json] = {
    "message": message(text="When are you open?"),
    "edited_message": message(text="When do you open?", edit_date=DATE + 60),
    "channel_post": message(chat=CHANNEL, sender_chat=CHANNEL, text="News"),
    "edited_channel_post": message(chat=CHANNEL, sender_chat=CHANNEL, text="News!", edit_date=DATE),
    "business_connection": {
        "id": "b1", "user": ANA, "user_chat_id": 42, "date": DATE, "is_enabled": True
    },
    "business_message": message(business_connection_id="b1", text="Hello"),
    "edited_business_message": message(business_connection_id="b1", text="Hello!", edit_date=DATE),
    "deleted_business_messages": {"business_connection_id": "b1", "chat": HOME, "message_ids": [5]},
    "guest_message": message(chat=GROUP, text="Hello", guest_query_id="g1"),
    "message_reaction": {
        "chat": GROUP, "message_id": 5, "user": ANA, "date": DATE, "old_reaction": [],
        "new_reaction": [{"type": "emoji", "emoji": "👍"}],
    },
    "message_reaction_count": {
        "chat": GROUP, "message_id": 5, "date": DATE,
        "reactions": [{"type": {"type": "emoji", "emoji": "👍"}, "total_count": 2}],
    },
    "inline_query": {"id": "q1", "from": ANA, "query": "tea", "offset": ""},
    "chosen_inline_result": {"result_id": "r1", "from": ANA, "query": "tea"},
    "callback_query": {
        "id": "c1", "from": ANA, "chat_instance": "i1", "data": "checkin.here",
        "message": message(**{"from": US}, text="Here?"),
    },
    "shipping_query": {
        "id": "s1", "from": ANA, "invoice_payload": "p",
        "shipping_address": {
            "country_code": "CN", "state": "", "city": "Xiamen", "street_line1": "1",
            "street_line2": "", "post_code": "361000",
        },
    },
    "pre_checkout_query": {
        "id": "p1", "from": ANA, "currency": "XTR", "total_amount": 1, "invoice_payload": "p"
    },
    "purchased_paid_media": {"from": ANA, "paid_media_payload": "p"},
    "poll": {
        "id": "1", "question": "Tea?", "options": [{"text": "Yes", "voter_count": 1}],
        "total_voter_count": 1, "is_closed": False, "is_anonymous": True, "type": "regular",
        "allows_multiple_answers": False,
    },
    "poll_answer": {"poll_id": "1", "user": ANA, "option_ids": [0]},
    "my_chat_member": change(
        GROUP, standing("left", US), standing("administrator", US, can_invite_users=True)
    ),
    "chat_member": change(GROUP, standing("left"), standing("member"), invite_link=LINK),
    "chat_join_request": {
        "chat": GROUP, "from": BEN, "user_chat_id": 43, "date": DATE, "invite_link": LINK
    },
    "chat_boost": {
        "chat": CHANNEL,
        "boost": {
            "boost_id": "b", "add_date": DATE, "expiration_date": DATE + 9,
            "source": {"source": "premium", "user": ANA},
        },
    },
    "removed_chat_boost": {
        "chat": CHANNEL, "boost_id": "b", "remove_date": DATE,
        "source": {"source": "premium", "user": ANA},
    },
    "managed_bot": {"user": ANA, "bot": US},
    "subscription": {"user": ANA, "date": DATE},
    "stopped_message_generation": {"chat": HOME, "user": ANA},
}  # fmt: skip

# More of the kinds that we listen to.
OF_OURS: list[tuple[str, Json]] = [
    ("message", message(text="/checkin",
                        entities=[{"type": "bot_command", "offset": 0, "length": 8}])),
    ("message", message(text="/start help_here-1")),
    ("message", message(chat=GROUP, text="@innkeeper_bot hello",
                        entities=[{"type": "mention", "offset": 0, "length": 14}])),
    ("message", message(chat=GROUP, text="just talk")),
    ("message", message(chat=GROUP, text="/checkin@innkeeper_bot", sender_chat=GROUP)),
    ("message", message(chat=FORUM, text="Hello", message_thread_id=3, is_topic_message=True)),
    ("message", message(photo=[{"file_id": "f", "width": 1, "height": 1}], caption="Look")),
    ("message", message(chat=GROUP, new_chat_members=[BEN, US])),
    ("message", message(chat=GROUP, left_chat_member=BEN)),
    ("message", message(reply_to_message={"message_id": 4, "from": US}, text="Thanks")),
    ("message", message(location={"latitude": 1.0, "longitude": 2.0})),
    ("callback_query", {"id": "c2", "from": BEN, "chat_instance": "i", "data": "handoff.close:9",
                        "message": {"message_id": 5, "date": 0, "chat": FORUM}}),
    ("my_chat_member", change(HOME, standing("member", US), standing("kicked", US))),
    ("my_chat_member", change(HOME, standing("kicked", US), standing("member", US))),
    ("chat_member", change(GROUP, standing("member"), standing("administrator"))),
    ("chat_member", change(GROUP, standing("member"), standing("left"))),
    ("chat_member", change(GROUP, standing("restricted", is_member=True), standing("kicked"))),
]  # fmt: skip
