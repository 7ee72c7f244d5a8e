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

ERRANDS = ("help", "quiet", "privacy")  # commands whose answers differ, and are alike for everybody


def update(
    work: str, number: int, person: int, before: int = 0
) -> tuple[int | None, dict[str, Any]]:
    """One update, and the chat in which an answer to it is due, if any.

    work:   a command in private such as "checkin"; "chatter" is talk in a group, "town" half of
            that and half check-ins, "errands" one of `ERRANDS` after the other
    number: the update's, which also is the message's
    person: who speaks, counted from 0
    before: how often they have spoken before
    """
    if work == "errands":
        work = ERRANDS[before % len(ERRANDS)]
    if work == "town":
        work = "chatter" if (person + before) % 2 else "checkin"
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
        | {"first_name": name(person), "username": username(person)},
        "chat": chat,
        "date": int(time.time()),
        "text": text,
    }
    if command:
        said["entities"] = [{"type": "bot_command", "offset": 0, "length": len(text)}]
    return {"update_id": number, "message": said}


def name(person: int) -> str:
    """What this person calls themselves."""
    return NAMES[person % len(NAMES)]


def username(person: int) -> str:
    """By which others find them."""
    return f"person_{person}"


def _private(person: int) -> dict[str, Any]:
    named = {"first_name": name(person), "username": username(person)}
    return {"id": FIRST_PERSON + person, "type": "private"} | named


def _group() -> dict[str, Any]:
    return {"id": GROUP, "type": "supergroup", "title": "Harbour Tea"}
