"""A Bot API server to test against: what bots call, and what people do to them.

    async with BotAPI.start() as api:
        ana, club = api.person("Ana"), api.group("Book club")
        api.says(ana, club, "/checkin")
        answer = await api.sent(club, containing="streak")
        api.presses(ana, answer, "Here")

It stands on the PyPI package `lo-bot-api-emulator`, written by other people, which reads the
requests, checks keyboards and captions, keeps the files and holds the long polls.  What is here is
what that package leaves out: chats that remember, members with rights, topics, invite links, every
kind of update, and a network that can fail.
"""

from tests.botapi.api import BotAPI
from tests.botapi.faults import Fault, Weather
from tests.botapi.journal import Call, Journal
from tests.botapi.shapes import RIGHTS, Json
from tests.botapi.town import USUAL_RIGHTS, Bot, Chat, Link, Member, Message, Person, Topic

__all__ = [
    "RIGHTS",
    "USUAL_RIGHTS",
    "Bot",
    "BotAPI",
    "Call",
    "Chat",
    "Fault",
    "Journal",
    "Json",
    "Link",
    "Member",
    "Message",
    "Person",
    "Topic",
    "Weather",
]
