"""The router: which capability answers what, told by decorators and settled at start-up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from pydantic import BaseModel

from handlers.roles import Role
from handlers.turn import Event, Kind, Letter, Turn, World
from storage.communities import Community
from storage.conversations import Speaker
from storage.facts import Fact
from storage.members import Member
from storage.writer import Reader

Handler = Callable[[Turn], Awaitable[None]]
H = TypeVar("H", bound=Callable[..., object])


@dataclass(frozen=True, slots=True)
class Outgoing:
    """An unprompted letter on its way out, as a gate sees it."""

    letter: Letter
    member: Member
    community: Community
    world: World
    db: Reader
    now: datetime


@dataclass(frozen=True, slots=True)
class Withheld:
    """A gate's verdict: this is not to be said at all, and why."""

    reason: str


Gate = Callable[[Outgoing], Awaitable["datetime | Withheld | None"]]


@dataclass(frozen=True, slots=True)
class Command:
    """Something said with a slash, and who may say it."""

    name: str
    handler: Handler
    topic: str
    role: Role
    listed: bool  # shown in the platform's menu


@dataclass(frozen=True, slots=True)
class Daily:
    """Something done every day at the member's own time, which the settings' field `at` holds."""

    name: str
    handler: Handler
    topic: str
    at: str
    among: str  # who is woken: see storage.members.homes


class Conflict(Exception):
    """Two capabilities claim the same trigger."""


class NoSettings(BaseModel, extra="forbid", frozen=True):
    """A capability with nothing to set."""


@dataclass(slots=True)
class Router:
    """One capability's triggers.  `name` is its section in config.toml and its texts' prefix."""

    name: str
    shape: type[BaseModel] = NoSettings
    commands: list[Command] = field(default_factory=list)
    buttons: dict[str, Handler] = field(default_factory=dict)
    answers: dict[str, Handler] = field(default_factory=dict)
    wakings: dict[str, Handler] = field(default_factory=dict)
    done: dict[str, Handler] = field(default_factory=dict)
    dailies: list[Daily] = field(default_factory=list)
    spoken: dict[Speaker, Handler] = field(default_factory=dict)
    at_desk: list[Handler] = field(default_factory=list)
    edits: list[Handler] = field(default_factory=list)
    watchers: list[tuple[Kind, Handler]] = field(default_factory=list)
    listeners: list[tuple[Fact, Handler]] = field(default_factory=list)
    gates: list[Gate] = field(default_factory=list)
    starts: dict[str, Handler] = field(default_factory=dict)

    def command(
        self, name: str, *, role: Role = Role.MEMBER, listed: bool = True
    ) -> Callable[[H], H]:
        """Answers "/name"; what follows is in `turn.rest`.

        Its line in the platform's menu is the text "<capability>.command.<name>".
        """

        def claim(handler: H) -> H:
            self.commands.append(Command(name, handler, self.name, role, listed))  # type: ignore[arg-type]
            return handler

        return claim

    def button(self, name: str) -> Callable[[H], H]:
        """Answers a press of a button with data "<capability>.name"; its argument is in `rest`."""
        return self._keyed(self.buttons, name)

    def answer(self, name: str) -> Callable[[H], H]:
        """Takes what is said after `turn.expect(name)`."""
        return self._keyed(self.answers, name)

    def later(self, name: str) -> Callable[[H], H]:
        """Does what `turn.later(name, ...)` put off; the words are in `turn.event.words`."""
        return self._keyed(self.wakings, name)

    def did(self, act: str) -> Callable[[H], H]:
        """Hears what came of an Act this capability asked for; `turn.event.words` tells."""
        return self._keyed(self.done, act)

    def start(self, prefix: str) -> Callable[[H], H]:
        """Answers a deep link whose payload begins with "prefix_"; the remainder is in `rest`."""
        return self._keyed(self.starts, prefix)

    def daily(self, at: str, *, among: str = "everyone") -> Callable[[H], H]:
        """Done each day for each member `among`, at the local time in the settings' field `at`."""

        def claim(handler: H) -> H:
            name = f"{self.name}.{getattr(handler, '__name__', at)}"
            self.dailies.append(Daily(name, handler, self.name, at, among))  # type: ignore[arg-type]
            return handler

        return claim

    def otherwise(self, speaker: Speaker = Speaker.BOT) -> Callable[[H], H]:
        """Answers what a member says to the bot that is no command, while `speaker` speaks."""

        def claim(handler: H) -> H:
            self.spoken[speaker] = handler  # type: ignore[assignment]
            return handler

        return claim

    def staff(self, handler: H) -> H:
        """Answers what staff say in a member's topic; the member is `turn.subject`."""
        self.at_desk.append(handler)  # type: ignore[arg-type]
        return handler

    def edited(self, handler: H) -> H:
        """Hears that a message was edited, by a member or in a member's topic."""
        self.edits.append(handler)  # type: ignore[arg-type]
        return handler

    def watch(self, kind: Kind) -> Callable[[H], H]:
        """Hears of every event of this kind; many may."""

        def claim(handler: H) -> H:
            self.watchers.append((kind, handler))  # type: ignore[arg-type]
            return handler

        return claim

    def on(self, fact: Fact) -> Callable[[H], H]:
        """Hears of a fact in the turn that records it; many may, and all fail with it."""

        def claim(handler: H) -> H:
            self.listeners.append((fact, handler))  # type: ignore[arg-type]
            return handler

        return claim

    def gate(self, handler: H) -> H:
        """Asked before anything unprompted is said: None to let it pass, a moment (aware)
        to hold it until, or `Withheld`."""
        self.gates.append(handler)  # type: ignore[arg-type]
        return handler

    def _keyed(self, into: dict[str, Handler], name: str) -> Callable[[H], H]:
        def claim(handler: H) -> H:
            if name in into:
                raise Conflict(f"{self.name} answers {name} twice")
            into[name] = handler  # type: ignore[assignment]
            return handler

        return claim


@dataclass(slots=True)
class Switchboard:
    """All capabilities' triggers together: whose turn an event is."""

    routers: tuple[Router, ...]
    commands: dict[str, Command] = field(default_factory=dict)
    named: dict[str, tuple[str, Handler]] = field(default_factory=dict)  # buttons, answers, wakings
    spoken: dict[Speaker, tuple[str, Handler]] = field(default_factory=dict)
    desk: tuple[str, Handler] | None = None
    starts: dict[str, tuple[str, Handler]] = field(default_factory=dict)
    editors: list[tuple[str, Handler]] = field(default_factory=list)  # who hears of edits
    gates: list[tuple[str, Gate]] = field(default_factory=list)  # in the order of their names
    _watchers: dict[Kind, list[tuple[str, Handler]]] = field(default_factory=dict)
    _listeners: dict[Fact, list[tuple[str, Handler]]] = field(default_factory=dict)

    @classmethod
    def of(cls, routers: Iterable[Router]) -> Switchboard:
        """Join the routers.  Raises `Conflict` where two claim the same trigger."""
        board = cls(tuple(sorted(routers, key=lambda router: router.name)))
        for router in board.routers:
            board._join(router)
        return board

    def _join(self, router: Router) -> None:
        for command in router.commands:
            if command.name in self.commands:
                other = self.commands[command.name].topic
                raise Conflict(f"/{command.name} is claimed by {other} and {router.name}")
            self.commands[command.name] = command
        for kind, triggers in (
            ("button", router.buttons),
            ("answer", router.answers),
            ("later", router.wakings),
            ("did", router.done),
        ):
            for name, handler in triggers.items():
                self.named[f"{kind} {router.name}.{name}"] = (router.name, handler)
        for daily in router.dailies:
            self.named[f"later {daily.name}"] = (router.name, daily.handler)
        for prefix, handler in router.starts.items():
            if prefix in self.starts:
                raise Conflict(f"/start {prefix}_ is claimed twice")
            self.starts[prefix] = (router.name, handler)
        for speaker, handler in router.spoken.items():
            if speaker in self.spoken:
                other = self.spoken[speaker][0]
                raise Conflict(f"talk while {speaker} speaks is claimed by {other}, {router.name}")
            self.spoken[speaker] = (router.name, handler)
        for handler in router.at_desk:
            if self.desk is not None:
                raise Conflict(f"staff talk is claimed by {self.desk[0]} and {router.name}")
            self.desk = (router.name, handler)
        for kind_of_event, handler in router.watchers:
            self._watchers.setdefault(kind_of_event, []).append((router.name, handler))
        for fact, handler in router.listeners:
            self._listeners.setdefault(fact, []).append((router.name, handler))
        self.editors += [(router.name, handler) for handler in router.edits]
        self.gates += [(router.name, gate) for gate in router.gates]

    def watching(self, kind: Kind) -> list[tuple[str, Handler]]:
        """Who hears of this kind of event."""
        return self._watchers.get(kind, [])

    def listening(self, fact: Fact) -> list[tuple[str, Handler]]:
        """Who hears of this fact."""
        return self._listeners.get(fact, [])

    @property
    def dailies(self) -> list[Daily]:
        """Everything that happens every day."""
        return [daily for router in self.routers for daily in router.dailies]

    @property
    def triggers(self) -> int:
        """How many triggers there are in all."""
        watchers = sum(
            len(r.watchers) + len(r.listeners) + len(r.gates) + len(r.edits) for r in self.routers
        )
        return len(self.commands) + len(self.named) + len(self.spoken) + watchers

    def listed(self, role: Role) -> list[Command]:
        """The commands in the menu of this role, in alphabetical order."""
        return sorted(
            (one for one in self.commands.values() if one.listed and role.may(one.role)),
            key=lambda one: one.name,
        )


def said_command(event: Event) -> tuple[str, str] | None:
    """The command and what follows it, if the event says one.

    >>> from datetime import UTC, datetime
    >>> said = Event(kind=Kind.SAID, channel="web", id="1", at=datetime.now(UTC), text="/ask why ")
    >>> said_command(said)
    ('ask', 'why')
    """
    if not event.text.startswith("/"):
        return None
    head, _, rest = event.text[1:].partition(" ")
    first, _, more = head.partition("\n")
    return (first.lower(), f"{more} {rest}".strip()) if first.isascii() and first else None
