"""Which open pages must be told that something has changed, and what goes on that nobody keeps."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

Spoken = tuple[int, int]  # a chat and a topic in it

PATIENCE = 30.0  # seconds after which an answer is not thought of as on its way any more


class Watch:
    """Whether something has changed for the people one page shows."""

    def __init__(self, people: frozenset[int]) -> None:
        self.people = people
        self._changed = asyncio.Event()

    def tell(self, people: Iterable[int]) -> None:
        """Something has changed for these."""
        if not self.people.isdisjoint(people):
            self._changed.set()

    async def wait(self, seconds: float) -> None:
        """Return once something has changed, or after so many seconds."""
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            pass

    def clear(self) -> None:
        """From here on only what is new counts."""
        self._changed.clear()


class Live:
    """The open pages; where the bot is thinking, and who is typing."""

    def __init__(self) -> None:
        self._watches: list[Watch] = []
        self._thinking: dict[Spoken, float] = {}
        self._typing: dict[Spoken, set[int]] = {}

    @contextmanager
    def watching(self, people: Iterable[int]) -> Iterator[Watch]:
        """Be told, meanwhile, what changes for these people."""
        watch = Watch(frozenset(people))
        self._watches.append(watch)
        try:
            yield watch
        finally:
            self._watches.remove(watch)

    def publish(self, people: Iterable[int]) -> None:
        """Something has changed for these people."""
        told = list(people)
        for watch in self._watches:
            watch.tell(told)

    def everybody(self) -> None:
        """Something has changed for everybody whom a page shows."""
        for watch in self._watches:
            watch.tell(watch.people)

    def watched(self, person: int) -> bool:
        """Whether any open page shows this person."""
        return any(person in watch.people for watch in self._watches)

    # ---- the bot's dots

    def asks(self, where: Spoken) -> None:
        """The bot was asked something there."""
        self._thinking[where] = asyncio.get_running_loop().time()

    def answered(self, where: Spoken) -> None:
        """The bot has dealt with it."""
        self._thinking.pop(where, None)

    def thinking(self, where: Spoken) -> bool:
        """Whether the bot is about to answer there."""
        since = self._thinking.get(where)
        return since is not None and asyncio.get_running_loop().time() - since < PATIENCE

    # ---- people's dots

    def types(self, where: Spoken, person: int, is_typing: bool) -> bool:
        """Somebody has begun to type, or stopped; whether that is new."""
        typing = self._typing.setdefault(where, set())
        new = (person in typing) is not is_typing
        if is_typing:
            typing.add(person)
        else:
            typing.discard(person)
        if not typing:
            del self._typing[where]
        return new

    def hush(self, person: int) -> None:
        """Somebody's last page was closed, so they type nowhere."""
        for where in [one for one, typing in self._typing.items() if person in typing]:
            self.types(where, person, False)

    def typists(self, where: Spoken) -> frozenset[int]:
        """Who is typing there."""
        return frozenset(self._typing.get(where, ()))
