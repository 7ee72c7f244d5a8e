"""What people say to the bots: the updates of each kind of work, the same for every bot."""

from __future__ import annotations

import time
from typing import Any

GROUP = -1001234567890
FIRST_PERSON = 500_000_000

NAMES = ("Ana", "Ben", "Chen", "Dora", "Emeka", "Fatima", "Goran", "Hana", "Ines", "Jun")
CHATTER = (
    "Good morning everybody, the ferry is late again",
    "has anyone tried the new noodle place by the pier?",
    "yes, twice. Go before noon, later there is a queue down to the bridge",
    "😂",
    "I will be there on Saturday with the two kids, rain or no rain",
    "谁有上周聚会的照片？",
    "在群相册里，昨天刚传上去的",
    "ok",
)


def update(work: str, number: int, person: int) -> tuple[int | None, dict[str, Any]]:
    """One update, and the chat in which an answer to it is due, if any.

    work:   "start" and "checkin" are commands in private, "chatter" is talk in a group
    number: the update's, which also is the message's
    person: who speaks, counted from 0
    """
    if work == "chatter":
        text = CHATTER[number % len(CHATTER)]
        return None, _message(number, person, _group(), text, command=False)
    chat = FIRST_PERSON + person
    return chat, _message(number, person, _private(person), f"/{work}", command=True)


def _message(
    number: int, person: int, chat: dict[str, Any], text: str, *, command: bool
) -> dict[str, Any]:
    said: dict[str, Any] = {
        "message_id": number,
        "from": {"id": FIRST_PERSON + person, "is_bot": False, "language_code": "en"}
        | _names(person),
        "chat": chat,
        "date": int(time.time()),
        "text": text,
    }
    if command:
        said["entities"] = [{"type": "bot_command", "offset": 0, "length": len(text)}]
    return {"update_id": number, "message": said}


def _names(person: int) -> dict[str, str]:
    return {"first_name": NAMES[person % len(NAMES)], "username": f"person_{person}"}


def _private(person: int) -> dict[str, Any]:
    return {"id": FIRST_PERSON + person, "type": "private"} | _names(person)


def _group() -> dict[str, Any]:
    return {"id": GROUP, "type": "supergroup", "title": "Harbour Tea"}
