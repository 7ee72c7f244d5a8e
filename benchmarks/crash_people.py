"""The people of a crash campaign: they come, talk, press and ask, whether the bot lives or not."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from tests.botapi import BotAPI, Chat, Json, Link, Message, Person

LINES = ("/checkin", "/streak", "/top", "/help", "/rules")
QUESTIONS = ("When are you open?", "How much is a ticket?", "Where can I park?")
CHATTER = (
    "Good morning everybody, the ferry is late again",
    "谁有上周聚会的照片？",
    "😂",
    "I will be there on Saturday, rain or no rain",
    "ok",
)
NAMES = ("Ana", "Ben", "Chen", "Dora", "Emeka", "Fatima", "Goran", "Hana", "Ines", "Jun")
AT_DESK = 8  # things a minute that make the bot write to one desk, a group of 20 a minute
COMINGS = 8  # a minute to one group, for each may mean a greeting
BACKLOG = 250  # updates the bot has not taken, from which on people wait


@dataclass(eq=False)
class Quarter:
    """One community: its group, its desk, who works there and who lives there."""

    name: str
    group: Chat
    desk: Chat
    staff: list[Person]
    asleep: bool = False
    residents: list[Person] = field(default_factory=list)
    lively: list[Person] = field(default_factory=list)  # who press, block, invite and call people
    busy: list[float] = field(default_factory=list)  # when the bot was given to write to the desk
    came: list[float] = field(default_factory=list)


class Crowd:
    """Everybody; each `act` is one thing that somebody does, drawn from the given chance."""

    def __init__(
        self, api: BotAPI, quarters: list[Quarter], random: Random, clock: Callable[[], float]
    ) -> None:
        self._api, self._quarters, self._random, self._clock = api, quarters, random, clock
        self._numbered = 0
        self.orderly: set[int] = set()
        deeds: dict[Callable[[Quarter], None], int] = {
            self.chat: 34,
            self.command: 22,
            self.press: 10,
            self.come: 7,
            self.come_by_link: 5,
            self.ask: 5,
            self.invite: 3,
            self.call: 2,
            self.tell_staff: 5,
            self.work: 6,
            self.correct: 1,
            self.block: 1,
            self.leave: 1,
        }
        self._deeds, self._weights = [*deeds], [*deeds.values()]

    def settle_in(self, each: int) -> None:
        """The first residents of every quarter come."""
        for quarter in self._quarters:
            for _ in range(each):
                self._comes(quarter)

    def act(self) -> None:
        """Somebody does something, unless the bot has more than enough to do."""
        if self._api.queue().pending > BACKLOG:
            return
        deed = self._random.choices(self._deeds, self._weights)[0]
        deed(self._random.choice(self._quarters))

    def disturb(self) -> None:
        """What the platform itself does now and then: repeats, jumps in its numbers, nonsense."""
        queue, draw = self._api.queue(), self._random.random()
        if draw < 0.10 and queue.told:
            recent = queue.told[-200:] if draw < 0.07 else queue.told
            update = self._random.choice(recent)
            for _ in range(self._random.randint(1, 4)):
                self._api.repeats(update)
        elif draw < 0.11:
            queue.jump(self._random.choice((1, 7, 1000, 10**6)))
        elif draw < 0.115:
            self._api.update("message", {"message_id": "no number", "chat": {"id": 7}})

    # ---- coming and going

    def come(self, quarter: Quarter) -> None:
        """Somebody new comes into the group."""
        if self._may(quarter.came, COMINGS):
            self._comes(quarter)

    def come_by_link(self, quarter: Quarter) -> None:
        """Somebody new comes by a member's link."""
        good = [link for link in self._links(quarter) if self._api.town.good(link, quarter.group)]
        if good and self._may(quarter.came, COMINGS):
            person = self._newcomer()
            self._api.joins(person, quarter.group, link=self._random.choice(good))
            quarter.lively.append(person)

    def leave(self, quarter: Quarter) -> None:
        """Somebody goes for good."""
        if len(quarter.lively) > 10:
            person = quarter.lively.pop(self._random.randrange(len(quarter.lively)))
            self._api.leaves(person, quarter.group)

    def _comes(self, quarter: Quarter) -> None:
        person = self._newcomer()
        self._api.joins(person, quarter.group)
        if self._random.random() < 0.5:
            self.orderly.add(person.id)
            quarter.residents.append(person)
        else:
            quarter.lively.append(person)

    def _newcomer(self) -> Person:
        self._numbered += 1
        return self._api.person(f"{self._random.choice(NAMES)}{self._numbered}", language="en")

    def _links(self, quarter: Quarter) -> list[Link]:
        """The links that members have been given: others nobody knows of."""
        given = {
            link.url: link
            for link in quarter.group.links
            if link.creator is self._api.bot.user and not link.revoked
        }
        told = " ".join(
            message.text
            for person in quarter.lively
            for message in self._api.messages(person)
            if "t.me/+" in message.text
        )
        return [link for url, link in given.items() if url in told]

    # ---- talking

    def chat(self, quarter: Quarter) -> None:
        """Talk in the group that is not for the bot."""
        if everybody := quarter.residents + quarter.lively:
            person = self._random.choice(everybody)
            self._api.says(person, quarter.group, self._random.choice(CHATTER))

    def command(self, quarter: Quarter) -> None:
        """A line in private that wants one answer; mostly by those who do nothing else."""
        among = quarter.residents if self._random.random() < 0.8 else quarter.lively
        if among:
            self._api.tells(self._random.choice(among), self._random.choice(LINES))

    def ask(self, quarter: Quarter) -> None:
        """A question in private."""
        if quarter.lively:
            self._api.tells(self._random.choice(quarter.lively), self._random.choice(QUESTIONS))

    def press(self, quarter: Quarter) -> None:
        """A button under the latest message that has any, pressed twice by the impatient."""
        if not quarter.lively:
            return
        person = self._random.choice(quarter.lively)
        found = self._pressable(self._api.messages(person)[-5:])
        if found:
            message, data = self._random.choice(found)
            for _ in range(self._random.choice((1, 1, 2, 3))):
                self._api.presses(person, message, data)

    def _pressable(self, messages: list[Message]) -> list[tuple[Message, str]]:
        harmless = ("checkin.", "welcome.rules")
        return [
            (message, button["callback_data"])
            for message in messages
            for button in message.buttons
            if button.get("callback_data", "").startswith(harmless)
        ]

    def invite(self, quarter: Quarter) -> None:
        """Ask for a link of one's own."""
        if quarter.lively:
            self._api.tells(self._random.choice(quarter.lively), "/invite")

    def correct(self, quarter: Quarter) -> None:
        """Put the latest word in the group differently."""
        said = [
            one
            for one in list(quarter.group.messages.values())[-20:]
            if "text" in one.payload and not one.sender.is_bot
        ]
        if said:
            self._numbered += 1
            self._api.edits(said[-1], f"{said[-1].text} ({self._numbered})")

    def block(self, quarter: Quarter) -> None:
        """Stop the bot in private; the next line there lets it in again."""
        if quarter.lively:
            person = self._random.choice(quarter.lively)
            if person in self._api.bot.started_by and person not in self._api.bot.blocked_by:
                self._api.blocks(person)

    # ---- people among each other

    def call(self, quarter: Quarter) -> None:
        """Ask for a person."""
        if quarter.lively and self._may(quarter.busy, AT_DESK):
            self._api.tells(self._random.choice(quarter.lively[:12]), "/human")

    def tell_staff(self, quarter: Quarter) -> None:
        """Write something to nobody but whoever answers at present."""
        if quarter.lively and self._may(quarter.busy, AT_DESK):
            self._numbered += 1
            person = self._random.choice(quarter.lively[:12])
            self._api.tells(person, f"my parcel {self._numbered} is wet")

    def work(self, quarter: Quarter) -> None:
        """Staff claim, answer or close, sometimes two of them the same."""
        topics = [one for one in quarter.desk.topics.values() if not one.gone]
        if not topics or not self._may(quarter.busy, AT_DESK):
            return
        topic, draw = self._random.choice(topics), self._random.random()
        if draw < 0.35:
            self._claim(quarter, topic.id)
        elif draw < 0.85:
            self._numbered += 1
            text = f"we are looking into it, {self._numbered}"
            self._api.says(self._random.choice(quarter.staff), quarter.desk, text, thread=topic.id)
        else:
            self._api.says(quarter.staff[0], quarter.desk, "/close", thread=topic.id)

    def _claim(self, quarter: Quarter, thread: int) -> None:
        cards = [
            (message, button["callback_data"])
            for message in list(quarter.desk.messages.values())[-200:]
            for button in message.buttons
            if message.thread == thread and button["callback_data"].startswith("handoff.claim")
        ]
        if cards:
            message, data = cards[-1]
            for person in quarter.staff[: self._random.randint(1, 2)]:
                self._api.presses(person, message, data)

    def _may(self, done: list[float], most: int) -> bool:
        """Whether fewer than `most` were done in the last minute; then this one is."""
        now = self._clock()
        done[:] = [at for at in done if at > now - 60]
        if len(done) >= most:
            return False
        done.append(now)
        return True


def shuffled(batch: list[Json], random: Random) -> list[Json]:
    """A batch in another order, in which each person's and each place's own keep theirs."""
    lanes: dict[str, list[Json]] = {}
    for item in batch:
        lanes.setdefault(_whose(item), []).append(item)
    turns = [lane for lane, items in lanes.items() for _ in items]
    random.shuffle(turns)
    return [lanes[lane].pop(0) for lane in turns]


def _whose(item: Json) -> str:
    raw = item["raw"]
    body: Any = next((raw[name] for name in raw if name != "update_id"), {})
    if not isinstance(body, dict):
        return json.dumps(body)
    thread = body.get("message_thread_id", "")
    if "message" in body:  # a pressed button's
        thread = body["message"].get("message_thread_id", "")
    if thread:
        return f"thread {thread}"
    changed = body.get("new_chat_member", {}).get("user") or body.get("from") or {}
    came = next(iter(body.get("new_chat_members", ())), changed)
    return str(came.get("id", ""))
