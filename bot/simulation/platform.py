"""The platform: chats in memory that outlive the house, and the trouble that platforms make."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from bot.channels import (
    Ability,
    Faltered,
    Impossible,
    Intake,
    Limits,
    Malformed,
    Menus,
    NotNow,
    Said,
    Unreachable,
)
from bot.simulation.fate import Fate, Point
from handlers.turn import Clock, Event, To

SHOWN = 12  # messages of a chat that somebody scrolls back to
REMEMBERED = 40  # events that may be told again
IN_A_ROW = 3  # troubles that one chat has at the most, before something arrives
WAIT = (1, 20)  # seconds that the platform asks for when we are too fast


class Trouble(StrEnum):
    """What may become of something said."""

    SLOW_DOWN = "asked to slow down"
    REFUSED = "failed at once"
    LOST = "lost on the way there"
    UNHEARD = "arrived, and its answer was lost"


RATES = {Trouble.SLOW_DOWN: 0.02, Trouble.REFUSED: 0.02, Trouble.LOST: 0.01, Trouble.UNHEARD: 0.01}
REPEATED = 0.03  # of all batches: something in it is told twice at once
TOLD_AGAIN = 0.05  # of all batches: something that was acknowledged long ago is told once more
OVERTAKEN = 0.02  # of all talk: it comes after what came later
CATCHES_UP = 0.3  # of all batches: what was overtaken comes with them
NO_RIGHT = 0.1  # of all links that are asked for


@dataclass(slots=True)
class Bubble:
    """A message of the bot, as the platform has it."""

    number: int
    place: str
    private: bool
    thread: str
    key: str
    text: str
    words: Mapping[str, Any]
    buttons: tuple[tuple[str, str, str], ...]  # label, data, url
    at: datetime
    answered: bool = True  # whether the bot was told that it arrived
    speaker: str = ""  # who spoke with the member just then, for a machine's answer

    @property
    def id(self) -> str:
        """The platform's id of the message."""
        return f"m{self.number}"


@dataclass(slots=True)
class Chat:
    """What somebody who looks at a chat, or at a topic of one, has before them."""

    bubbles: deque[Bubble] = field(default_factory=lambda: deque(maxlen=SHOWN))
    title: str = ""


class Platform:
    """It tells what happens until that is acknowledged, and takes what is said."""

    name = "town"
    limits: Limits | None = None
    link = "https://town.example/start/{payload}"
    abilities = frozenset(Ability)

    def __init__(
        self,
        clock: Clock,
        fate: Fate,
        chance: random.Random,
        *,
        record: Callable[[Bubble], None],
        speaker: Callable[[str], Awaitable[str]],
        faults: bool,
    ) -> None:
        """record: sees every message that arrives

        speaker: who speaks in a private chat at the moment
        """
        self._clock = clock
        self._fate = fate
        self._chance = chance
        self._record = record
        self._speaker = speaker
        self._faults = faults
        self._intake: Intake | None = None
        self._count = 0
        self._in_a_row: dict[str, int] = {}
        self.queue: list[Event | Malformed] = []  # told, and not acknowledged yet
        self._overtaken: list[Event] = []
        self._old: deque[Event] = deque(maxlen=REMEMBERED)
        self.chats: dict[tuple[str, str], Chat] = {}  # by place and topic
        self.closed: set[str] = set()  # private chats whose person stopped the bot
        self.invitations: dict[str, str] = {}  # link → the place it leads into
        self.bubbles: list[Bubble] = []  # everything that ever arrived
        self.in_vain: list[tuple[datetime, str, str]] = []  # when, to whom who left, and what
        self.let_in: Callable[[str, str], None] = lambda place, person: None
        self.arrivals = 0  # messages, and corrections of them
        self.latest: dict[str, int] = {}  # place → the latest of those there
        self.told = 0
        self.repeats = 0  # events told again
        self.troubles = dict.fromkeys(Trouble, 0)

    # ---------------------------------------------------------------- telling what happens

    def tell(self, event: Event | Malformed, *, talk: bool = False) -> None:
        """This happened; the bot hears of it with the next batch.

        talk: whether it may be overtaken by what happens after it
        """
        self.told += 1
        if talk and self._faults and self._chance.random() < OVERTAKEN:
            assert isinstance(event, Event)
            self._overtaken.append(event)
            return
        self.queue.append(event)

    def next_batch(self) -> None:
        """Put together what is told next: by and by also what was overtaken, and repeats."""
        if not self._faults:
            return
        if self._overtaken and self._chance.random() < CATCHES_UP:
            self.catch_up()
        if self.queue and self._chance.random() < REPEATED:
            self._again(self._chance.choice(self.queue))
        if self._old and self._chance.random() < TOLD_AGAIN:
            self._again(self._chance.choice(self._old))

    def catch_up(self) -> None:
        """What was overtaken is told now."""
        self.queue += self._overtaken
        self._overtaken.clear()

    def calm_down(self) -> None:
        """From now on all goes well."""
        self._faults = False
        self.catch_up()

    @property
    def busy(self) -> bool:
        """Whether anything that happened has not been told yet."""
        return bool(self.queue or self._overtaken)

    async def deliver(self) -> None:
        """Tell the bot, and let go of what it has taken into its care."""
        batch = list(self.queue)
        if not batch:
            return
        assert self._intake is not None
        await self._intake(batch)
        await self._fate.passes(Point.BEFORE_THANKS)
        del self.queue[: len(batch)]
        self._old.extend(one for one in batch if isinstance(one, Event))

    def _again(self, event: Event | Malformed) -> None:
        self.repeats += 1
        self.queue.append(event)

    # ---------------------------------------------------------------- the bot's side

    async def open(self, intake: Intake) -> None:
        self._intake = intake

    async def listen(self) -> None:
        """Whoever drives the town has it delivered."""

    async def send(self, to: To, said: Said) -> str:
        await self._fate.passes(Point.BEFORE_SEND)
        if to.place in self.closed:
            self.in_vain.append((self._clock.now(), to.place, said.key))
            raise Unreachable(to.place)
        trouble = self._meets(to.place)
        self._refuses(trouble)
        if said.edits:
            bubble = self._edited(said)
            await self._answered(trouble, None)  # a correction may come twice
        else:
            bubble = await self._shown(to, said)
            await self._answered(trouble, bubble)
        return bubble.id

    async def do(self, to: To, ability: Ability, words: dict[str, Any]) -> dict[str, Any]:
        await self._fate.passes(Point.BEFORE_SEND)
        trouble = self._meets(to.place)
        self._refuses(trouble)
        result = self._done(to, ability, words)
        await self._answered(trouble, None)
        return result

    async def acknowledge(self, press: str) -> None:
        self._refuses(self._meets(press))

    async def announce(self, menus: Menus, staff: Sequence[str]) -> None:
        """Nobody here looks at menus."""

    async def close(self) -> None:
        self._intake = None

    def fresh(self) -> datetime | None:
        return self._clock.now()

    # ---------------------------------------------------------------- trouble

    def _meets(self, place: str) -> Trouble | None:
        """The trouble that this meets, seldom and never for long."""
        drawn = self._chance.random()
        if not self._faults or self._in_a_row.get(place, 0) >= IN_A_ROW:
            self._in_a_row.pop(place, None)
            return None
        for trouble, rate in RATES.items():
            drawn -= rate
            if drawn < 0:
                self._in_a_row[place] = self._in_a_row.get(place, 0) + 1
                self.troubles[trouble] += 1
                return trouble
        self._in_a_row.pop(place, None)
        return None

    def _refuses(self, trouble: Trouble | None) -> None:
        match trouble:
            case Trouble.SLOW_DOWN:
                raise NotNow(self._chance.randint(*WAIT), everywhere=self._chance.random() < 0.2)
            case Trouble.REFUSED:
                raise Faltered("502", unsent=True)
            case Trouble.LOST:
                raise Faltered("timed out")

    async def _answered(self, trouble: Trouble | None, bubble: Bubble | None) -> None:
        """Return if the bot hears that it was done; else note that it does not."""
        if trouble is Trouble.UNHEARD or self._fate.strikes(Point.AFTER_SEND):
            if bubble is not None:
                bubble.answered = False
            if self._fate.over:
                await self._fate.never()
            raise Faltered("timed out")

    # ---------------------------------------------------------------- what is done

    async def _shown(self, to: To, said: Said) -> Bubble:
        bubble = Bubble(
            number=len(self.bubbles) + 1,
            place=to.place,
            private=to.private,
            thread=to.thread,
            key=said.key,
            text=said.text,
            words=said.words,
            buttons=tuple(one for row in said.buttons for one in row),
            at=self._clock.now(),
            speaker=await self._speaker(to.place) if to.private else "",
        )
        self.bubbles.append(bubble)
        self.chat(to.place, to.thread).bubbles.append(bubble)
        self._arrives(bubble)
        return bubble

    def _edited(self, said: Said) -> Bubble:
        number = int(said.edits[1:]) if said.edits[1:].isdecimal() else 0
        if not 0 < number <= len(self.bubbles):
            raise Impossible("the message to edit is gone")
        bubble = self.bubbles[number - 1]
        bubble.text = said.text
        self._arrives(bubble)
        return bubble

    def _arrives(self, bubble: Bubble) -> None:
        self.arrivals += 1
        self.latest[bubble.place] = self.arrivals
        self._record(bubble)

    def chat(self, place: str, thread: str = "") -> Chat:
        """What is to be seen there."""
        return self.chats.setdefault((place, thread), Chat())

    def _done(self, to: To, ability: Ability, words: dict[str, Any]) -> dict[str, Any]:
        match ability:
            case Ability.MAKE_LINK:
                return {"link": self._invitation(to.place)}
            case Ability.APPROVE:
                self.let_in(to.place, str(words["person"]))
            case Ability.OPEN_THREAD:
                self._count += 1
                self.chat(to.place, f"t{self._count}").title = str(words["title"])
                return {"thread": f"t{self._count}"}
            case Ability.RIGHTS:
                return {"missing": [], "admins": [], "forum": True, "title": to.place}
        return {}

    def _invitation(self, place: str) -> str:
        if self._faults and self._chance.random() < NO_RIGHT:
            raise Impossible("not enough rights to make a link")
        self._count += 1
        link = f"https://town.example/+{self._count}"
        self.invitations[link] = place
        return link
