"""Residents: who lives in the town, with the habits that chance gave them."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

HOMES = 0.85  # of all who come: they open a private chat with the bot
BOTH = 0.03  # they belong to both communities
ELSEWHERE = 0.25  # they live in another zone, and say so
STAFF = 2  # for each community, beside its admin
QUIET_DAYS = 25  # how long somebody stays talkative who will fall silent

ZONES = (
    "Europe/Berlin", "America/New_York", "America/Los_Angeles", "Asia/Kathmandu", "Asia/Tokyo",
    "Australia/Lord_Howe", "Pacific/Auckland", "America/St_Johns", "Europe/London", "Asia/Tehran",
)  # fmt: skip
GIVEN = (
    "Ana", "Ben", "Cora", "Dan", "Elif", "Finn", "Gita", "Hugo", "Iris", "Jon", "Kaya", "Leo",
    "Maya", "Nils", "Olga", "Pia", "Rosa", "Sam", "Tess", "Uma", "Vera", "Will", "Yara", "Zoe",
)  # fmt: skip
FAMILY = (
    "Abel", "Brandt", "Costa", "Diaz", "Evans", "Fischer", "Garcia", "Hansen", "Ito", "Jensen",
    "Klein", "Lopez", "Meyer", "Novak", "Okafor", "Patel", "Quinn", "Rossi", "Silva", "Turner",
)  # fmt: skip
SURNAMES = "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗"
NAMES = "安宁晓禾梅竹兰清远山海月星晨雨雪松柏棠溪"


@dataclass(frozen=True, slots=True)
class Neighbourhood:
    """A community's places on the platform."""

    name: str
    group: str
    desk: str
    zone: str
    language: str
    link: str  # anybody's invitation into the group


@dataclass(slots=True)
class Resident:
    """Somebody with a telephone; all they know of the bot is what it shows them."""

    ref: str
    name: str
    language: str  # as their platform tells it
    zone: str  # where they live
    hoods: tuple[Neighbourhood, ...]
    role: str  # "", "staff", "admin" or "owner"
    arrives: int  # on which day
    silent_from: int  # the day after which nothing is heard of them
    talkative: float  # things said on a usual day
    keen: float  # how likely they check in on a day
    hour: float  # of their day, at which they check in
    opens: bool  # whether they will open a private chat

    came: bool = False
    started: bool = False
    stopped: bool = False
    inside: set[str] = field(default_factory=set)  # the groups they are in
    was_inside: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)  # their own invitations
    said: deque[tuple[str, str]] = field(default_factory=lambda: deque(maxlen=4))  # place, message

    @property
    def home(self) -> str:
        """Their private chat with the bot."""
        return f"home-{self.ref}"

    @property
    def hood(self) -> Neighbourhood:
        """Where they feel at home."""
        return self.hoods[0]

    @property
    def reachable(self) -> bool:
        """Whether they and the bot can talk in private."""
        return self.started and not self.stopped

    def learns(self, link: str) -> None:
        """They were shown an invitation of their own."""
        if link not in self.links:
            self.links.append(link)

    @property
    def chinese(self) -> bool:
        """Which of our languages they write."""
        return self.language.startswith("zh")


def settled(
    chance: random.Random, *, members: int, days: int, hoods: Sequence[Neighbourhood]
) -> list[Resident]:
    """So many members, and beside them the owner and each community's staff and admin.

    A quarter is there from the first day, the others come bit by bit.
    """
    names = _names(chance)
    roles = ["owner", *(["staff"] * STAFF + ["admin"]) * len(hoods)]
    at_work = [
        _resident(chance, n, names, hoods[max(0, n - 1) // (STAFF + 1) % len(hoods)], role)
        for n, role in enumerate(roles)
    ]
    return at_work + [
        _newcomer(chance, n, names, days=days, hoods=hoods)
        for n in range(len(roles), len(roles) + members)
    ]


def _newcomer(
    chance: random.Random,
    n: int,
    names: _Names,
    *,
    days: int,
    hoods: Sequence[Neighbourhood],
) -> Resident:
    hood = hoods[0] if chance.random() < 0.7 else chance.choice(hoods)
    someone = _resident(chance, n, names, hood, "")
    someone.arrives = 0 if chance.random() < 0.25 else chance.randrange(max(1, days * 9 // 10))
    if chance.random() < 0.35:
        someone.silent_from = someone.arrives + 1 + chance.randrange(QUIET_DAYS)
    if chance.random() < BOTH and len(hoods) > 1:
        someone.hoods = (hood, next(one for one in hoods if one is not hood))
    return someone


def _resident(
    chance: random.Random, n: int, names: _Names, hood: Neighbourhood, role: str
) -> Resident:
    chinese = chance.random() < 0.5
    abroad = not role and chance.random() < ELSEWHERE
    return Resident(
        ref=f"p{n}",
        name=names.next(chinese=chinese),
        language=chance.choice(("zh-hans", "zh", "zh-TW") if chinese else ("en", "en-GB", "fr")),
        zone=chance.choice(ZONES) if abroad else hood.zone,
        hoods=(hood,),
        role=role,
        arrives=0,
        silent_from=10**6,
        talkative=chance.expovariate(0.8),
        keen=chance.choice((0.0, 0.1, 0.4, 0.8, 0.95)),
        hour=chance.choice((7.5, 8.0, 9.0, 12.5, 18.0, 21.0, 23.2, 0.4)) + chance.random() / 2,
        opens=bool(role) or chance.random() < HOMES,
    )


class _Names:
    """Names that are nobody else's."""

    def __init__(self, english: list[str], chinese: list[str]) -> None:
        self._names = {False: english, True: chinese}
        self._taken = {False: 0, True: 0}

    def next(self, *, chinese: bool) -> str:
        names, taken = self._names[chinese], self._taken[chinese]
        self._taken[chinese] += 1
        again = taken // len(names)
        return names[taken % len(names)] + (f" {again + 1}" if again else "")


def _names(chance: random.Random) -> _Names:
    english = [f"{given} {family}" for given in GIVEN for family in FAMILY]
    chinese = [f"{one}{two}{three}" for one in SURNAMES for two in NAMES for three in NAMES]
    chance.shuffle(english)
    chance.shuffle(chinese)
    return _Names(english, chinese)
