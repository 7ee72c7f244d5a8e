"""A small town to test in: real handlers, a real database, a clock that waits for us."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import handlers
from bot import config
from bot.app import House, Opened
from bot.channels import Ability, Limits, Malformed, Menus, Said, Unreachable
from bot.clock import ShiftedClock
from handlers.router import Router
from handlers.turn import Event, Kind, Media, Person, To, Where
from storage import communities, database, members
from storage.communities import Community as Known
from storage.members import Member
from storage.sealing import fresh_key

GROUP, STAFF = "group-1", "desk-1"
NOON = datetime(2025, 3, 3, 4, 0, tzinfo=UTC)  # a Monday, noon in Shanghai
SAMPLE = Path(__file__).parent.parent / "knowledge" / "articles" / "harbour-tea"


class TownClock(ShiftedClock):
    """A clock that stands still until somebody moves it."""

    def __init__(self, now: datetime = NOON) -> None:
        super().__init__()
        self._start = now

    def now(self) -> datetime:
        return self._start + self.ahead


@dataclass
class Delivered:
    """Something the bot said or did, as the town's channel received it."""

    to: To
    said: Said
    id: str
    gone: bool = False

    @property
    def key(self) -> str:
        return self.said.key

    @property
    def text(self) -> str:
        return self.said.text

    @property
    def words(self) -> dict[str, Any]:
        return self.said.words

    @property
    def image(self) -> bytes | None:
        return self.said.image

    @property
    def buttons(self) -> list[str]:
        """The data (or link) of each button, in reading order."""
        return [data or url for row in self.said.buttons for _, data, url in row]

    @property
    def labels(self) -> list[str]:
        """What stands on each button, in reading order."""
        return [label for row in self.said.buttons for label, _, _ in row]


@dataclass
class Done:
    """An act the bot asked for."""

    to: To
    ability: Ability
    words: dict[str, Any]


class Street:
    """The town's own channel: everything is possible, nothing is lost, unless a test says so."""

    name = "street"
    abilities = frozenset(Ability)
    limits: Limits | None = None
    link = "https://street.example/innkeeper?start={payload}"

    def __init__(self, name: str = "street") -> None:
        self.name = name
        self.delivered: list[Delivered] = []
        self.done: list[Done] = []
        self.acknowledged: list[str] = []
        self.menus: dict[tuple[str, str], list[tuple[str, str]]] = {}
        self.closed: set[str] = set()  # private chats whose person has blocked the bot
        self.trouble: list[Exception] = []  # raised one at each send, in order
        self.rights: dict[str, Any] = {"missing": [], "admins": [], "forum": True, "title": "Town"}
        self._intake: Callable[[list[Event | Malformed]], Awaitable[None]] | None = None
        self._count = 0

    async def open(self, intake: Any) -> None:
        self._intake = intake

    async def listen(self) -> None:
        return

    async def tell(self, *events: Event | Malformed) -> None:
        """Hand these to the bot, as a platform would."""
        assert self._intake is not None
        await self._intake(list(events))

    async def send(self, to: To, said: Said) -> str:
        if self.trouble:
            raise self.trouble.pop(0)
        if to.place in self.closed:
            raise Unreachable(to.place)
        if said.edits:
            for one in self.delivered:
                if one.id == said.edits:
                    one.said = said
                    return one.id
        self._count += 1
        self.delivered.append(Delivered(to, said, f"m{self._count}"))
        return f"m{self._count}"

    async def do(self, to: To, ability: Ability, words: dict[str, Any]) -> dict[str, Any]:
        if self.trouble:
            raise self.trouble.pop(0)
        self.done.append(Done(to, ability, words))
        self._count += 1
        match ability:
            case Ability.MAKE_LINK:
                return {"link": f"https://street.example/+{self._count}"}
            case Ability.OPEN_THREAD:
                return {"thread": f"t{self._count}"}
            case Ability.RIGHTS:
                return dict(self.rights)
        return {}

    async def acknowledge(self, press: str) -> None:
        self.acknowledged.append(press)

    async def announce(self, menus: Menus, staff: Sequence[str]) -> None:
        self.menus = menus

    async def close(self) -> None:
        return

    def fresh(self) -> datetime | None:
        return None


@dataclass
class Resident:
    """Somebody who lives in the town."""

    town: Community
    name: str
    id: str
    language: str = "en"
    channel: Street = field(repr=False, default_factory=Street)

    @property
    def home(self) -> str:
        return f"home-{self.id}"

    # ---- what they do

    async def says(
        self,
        text: str,
        *,
        group: bool = False,
        addressed: bool = True,
        media: tuple[Media, ...] = (),
        reply_to: str = "",
    ) -> str:
        """Say something, in private or in the group; returns the message's id."""
        message = self.town.number("said")
        await self.town.happens(
            self._event(
                Kind.SAID,
                where=self._where(group),
                text=text,
                message=message,
                addressed=addressed,
                media=media,
                reply_to=reply_to,
            )
        )
        return message

    async def presses(self, data: str, *, group: bool = False) -> None:
        """Press a button."""
        press = self.town.number("press")
        where = self._where(group)
        await self.town.happens(self._event(Kind.PRESSED, where=where, data=data, press=press))

    async def edits(self, message: str, text: str, *, group: bool = False) -> None:
        """Change what was said."""
        where = self._where(group)
        await self.town.happens(self._event(Kind.EDITED, where=where, text=text, message=message))

    async def joins(self, link: str = "") -> None:
        """Join the group, perhaps by somebody's link."""
        await self.town.happens(self._event(Kind.JOINED, where=self._where(True), data=link))

    async def asks_to_join(self, link: str = "") -> None:
        """Ask to be let into the group."""
        await self.town.happens(self._event(Kind.ASKED_TO_JOIN, where=self._where(True), data=link))

    async def leaves(self) -> None:
        """Leave the group."""
        await self.town.happens(self._event(Kind.LEFT, where=self._where(True)))

    async def blocks(self) -> None:
        """Stop the bot in private."""
        self.channel.closed.add(self.home)
        await self.town.happens(self._event(Kind.BLOCKED, where=self._where(False)))

    async def returns(self) -> None:
        """Let the bot in again."""
        self.channel.closed.discard(self.home)
        await self.town.happens(self._event(Kind.RETURNED, where=self._where(False)))

    async def answers(self, member: Resident, text: str, **more: Any) -> str:
        """Say something in that member's topic at the staff desk; returns the message's id."""
        thread = await self.town.topic(member)
        message = self.town.number("said")
        where = Where(id=STAFF, private=False, thread=thread)
        await self.town.happens(
            self._event(Kind.SAID, where=where, text=text, message=message, **more)
        )
        return message

    async def corrects(self, member: Resident, message: str, text: str) -> None:
        """Change what was said in that member's topic."""
        where = Where(id=STAFF, private=False, thread=await self.town.topic(member))
        await self.town.happens(self._event(Kind.EDITED, where=where, text=text, message=message))

    async def presses_at_desk(self, member: Resident, data: str) -> None:
        """Press a button in that member's topic."""
        where = Where(id=STAFF, private=False, thread=await self.town.topic(member))
        press = self.town.number("press")
        await self.town.happens(self._event(Kind.PRESSED, where=where, data=data, press=press))

    # ---- what they heard

    @property
    def inbox(self) -> list[Delivered]:
        """Everything in their private chat, oldest first."""
        return [one for one in self.channel.delivered if one.to.place == self.home]

    @property
    def last(self) -> Delivered:
        """The latest in their private chat."""
        return self.inbox[-1]

    def heard(self, key: str, **words: Any) -> bool:
        """Whether this was said to them in private, or in the group."""
        public = [one for one in self.channel.delivered if one.to.place == GROUP]
        return any(_is(one, key, words) for one in (*self.inbox, *public))

    async def outcomes(self) -> set[str]:
        """What became of all that was to be said to them: "sent", "withheld: …"."""
        rows = await self.town.house.database.reader.rows(
            "SELECT outcome FROM interactions WHERE member_id = :id AND direction = 'out'",
            id=(await self.known()).id,
        )
        return {row["outcome"] for row in rows}

    async def known(self) -> Member:
        """What the bot knows of them."""
        found = await members.met(
            self.town.house.database.reader,
            community=self.town.known.id,
            channel=self.channel.name,
            ref=self.id,
        )
        assert found is not None, f"nobody knows {self.name}"
        return found

    def _where(self, group: bool) -> Where:
        return Where(id=GROUP, private=False, title="Town") if group else Where(id=self.home)

    def _event(self, kind: Kind, **more: Any) -> Event:
        return Event(
            kind=kind,
            channel=self.channel.name,
            id=self.town.number("event"),
            at=self.town.clock.now(),
            person=Person(self.id, self.name, self.language),
            **more,
        )


class Community:
    """The town: one community with a group and a staff place, and whoever lives there."""

    def __init__(self, house: House, street: Street, clock: TownClock) -> None:
        self.house = house
        self.street = street
        self.clock = clock
        self._count = 0

    @classmethod
    async def founded(
        cls,
        url: str,
        *,
        routers: list[Router] | None = None,
        settings: dict[str, Any] | None = None,
        key: str | None = None,
        clock: TownClock | None = None,
        opened: Opened = database.opened,
        street: Street | None = None,
    ) -> Community:
        """Found the town on the (empty, migrated) database at this URL.

        street: that of a town which stood here before, and whose house has gone
        """
        contents = {
            "storage": {"url": url, "seal_key": key or fresh_key()},
            "community": [
                {
                    "name": "Harbour Tea",
                    "zone": "Asia/Shanghai",
                    "language": "en",
                    "knowledge": str(SAMPLE),
                }
            ],
            **(settings or {}),
        }
        found = handlers.discovered() if routers is None else routers
        clock = clock or TownClock()
        street = street or Street()
        checked = config.checked(Path("config.toml"), contents, found)
        house = House(checked, found, [street], clock, seed=7, opened=opened)
        await house.open()
        town = cls(house, street, clock)
        await town._settle_places()
        return town

    async def _settle_places(self) -> None:
        await self.house.world.ids.refill()
        take, at = self.house.world.ids.take, self.clock.now()
        await self.house.database.writer.settle(
            [
                communities.bound(
                    id=take(), community=self.known.id, channel="street", ref=ref, kind=kind, at=at
                )
                for ref, kind in ((GROUP, "group"), (STAFF, "staff"))
            ]
        )
        await self.house.pipeline.reload()

    async def close(self) -> None:
        """Close the house."""
        await self.house.close()

    @property
    def known(self) -> Known:
        """What the bot knows of the community."""
        found = self.house.directory.front_door
        assert found is not None
        return found

    # ---- who lives here

    async def resident(
        self, name: str, *, language: str = "en", member: bool = True, home: bool = True
    ) -> Resident:
        """Somebody new: in the group if a `member`, in private too if the bot may go `home`."""
        self._count += 1
        someone = Resident(self, name, f"p{self._count}", language, self.street)
        if home:
            await someone.says("/start")
        if member:
            await someone.joins()
            await self.passes(minutes=1)
        return someone

    async def staff(self, name: str) -> Resident:
        """Somebody who works here: has written in the staff place."""
        someone = await self.resident(name, member=False)
        await self.happens(
            someone._event(Kind.SAID, where=Where(id=STAFF, private=False), text="Morning all")
        )
        return someone

    async def admin(self, name: str, *, language: str = "en") -> Resident:
        """Somebody whom the platform made an administrator of the group."""
        someone = await self.resident(name, language=language)
        await self.happens(
            someone._event(Kind.RANKED, where=Where(id=GROUP, private=False), data="admin")
        )
        return someone

    async def owner(self, name: str) -> Resident:
        """Whoever opened the owner's link."""
        someone = await self.resident(name)
        link = await self.house.owner_link()
        assert link is not None
        await someone.says(f"/start {link.rpartition('=')[2]}")
        return someone

    # ---- what happens

    async def happens(self, *events: Event | Malformed) -> None:
        """Let this happen, and everything that follows from it at once."""
        await self.street.tell(*events)
        await self.house.settled()

    async def passes(self, **span: float) -> None:
        """Let time pass, as in `passes(days=1, hours=2)`, through all that falls due on the way."""
        await self.house.advance(timedelta(**span))

    def number(self, what: str) -> str:
        """An id nothing else has."""
        self._count += 1
        return f"{what}-{self._count}"

    async def topic(self, member: Resident) -> str:
        """The member's topic at the staff desk."""
        from storage import threads

        known = await member.known()
        found = await threads.of(
            self.house.database.reader, channel="street", place=STAFF, member=known.id
        )
        assert found is not None, f"{member.name} has no topic"
        return found

    # ---- what was heard

    @property
    def group(self) -> list[Delivered]:
        """What the bot said in the group, oldest first."""
        return [one for one in self.street.delivered if one.to.place == GROUP]

    @property
    def desk(self) -> list[Delivered]:
        """What the bot said at the staff desk, oldest first."""
        return [one for one in self.street.delivered if one.to.place == STAFF]

    def group_heard(self, key: str, **words: Any) -> bool:
        """Whether the bot said this in the group."""
        return any(_is(one, key, words) for one in self.group)

    def desk_heard(self, key: str, **words: Any) -> bool:
        """Whether the bot said this at the staff desk."""
        return any(_is(one, key, words) for one in self.desk)


def _is(one: Delivered, key: str, words: dict[str, Any]) -> bool:
    return one.key == key and all(one.words.get(name) == word for name, word in words.items())
