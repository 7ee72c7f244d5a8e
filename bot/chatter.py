"""Chatter: group talk that is not for the bot is written down and counted, and no turn is built."""

from __future__ import annotations

from collections.abc import Callable

from bot.recording import body
from handlers.router import Switchboard, said_command
from handlers.turn import Event, Kind, Person, Turn
from knowledge import texts
from storage import interactions, members, pending
from storage.communities import Directory, Spot
from storage.interactions import Interaction
from storage.writer import Change, Reader

REGULARS = 50_000  # people whose talk needs no look into the database; the longest silent go first

Key = tuple[str, str, int]  # channel, person, community


class Chatter:
    """Knows whose talk changes nothing but counters, because a turn has just found it so.

    What it rests on is checked by the writer: talk of somebody who has gone since
    misses, and takes the way of everything else.
    """

    def __init__(self, board: Switchboard, directory: Directory, db: Reader) -> None:
        self._board = board
        self._directory = directory
        self._db = db
        self._regulars: dict[Key, tuple[int, str]] = {}  # → member, the name they showed

    def is_it(self, event: Event) -> Spot | None:
        """The group in which this is mere talk; None if somebody may want to hear it."""
        if event.kind is not Kind.SAID or event.addressed or event.where is None:
            return None
        spot = self._directory.spot(event.channel, event.where.id)
        if spot is None or spot.kind != "group" or self._board.watching(Kind.SAID):
            return None
        said = said_command(event)
        return None if said is not None and said[0] in self._board.commands else spot

    async def noted(
        self, event: Event, *, id: Callable[[], int], ours: bool
    ) -> list[Change] | None:
        """What to keep of it; None if it has to take the way of everything else.

        ours: its turn would be played by this process, which would learn of a regular by it
        """
        spot = self.is_it(event)
        if spot is None or event.person is None or event.where is None:
            return None
        member, name = self._regulars.get(_key(event, spot.community), (0, ""))
        if (not member or name != event.person.name) and not ours:
            member, name = await self._look(event, event.person, spot.community)
        if not member or name != event.person.name:
            return None
        return [
            pending.seen(event.channel, event.id, at=event.at),
            members.heard(member, messages=1, at=event.at, rows=1),
            interactions.logged(
                Interaction(
                    id=id(),
                    community=spot.community,
                    member=member,
                    channel=event.channel,
                    direction="in",
                    kind=event.kind.value,
                    at=event.at,
                    place=event.where.id,
                    message=event.message,
                    body=body(event),
                )
            ),
        ]

    async def _look(self, event: Event, person: Person, community: int) -> tuple[int, str]:
        """Whether they are a regular, of whose turns we hear nothing."""
        found = await members.met(
            self._db, community=community, channel=event.channel, ref=person.id
        )
        if found is None or not found.present or found.next_zone or person.anonymous:
            return 0, ""
        if found.name != texts.name(person.name):
            return 0, ""
        self._remember(_key(event, community), found.id, person.name)
        return found.id, person.name

    def learn(self, turn: Turn) -> None:
        """Remember whoever was found to be a regular; anything else they do makes us look anew."""
        event = turn.event
        if event.person is None:
            return
        key = _key(event, turn.community.id)
        self._regulars.pop(key, None)
        if self.is_it(event) is not None and turn.member.present:
            self._remember(key, turn.member.id, event.person.name)

    def _remember(self, key: Key, member: int, name: str) -> None:
        self._regulars[key] = (member, name)
        if len(self._regulars) > REGULARS:
            del self._regulars[next(iter(self._regulars))]


def _key(event: Event, community: int) -> Key:
    return event.channel, "" if event.person is None else event.person.id, community
