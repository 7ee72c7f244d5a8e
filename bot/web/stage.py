"""What all pages of the playground share: whom they act for, their language, how a "no" is told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

from aiohttp import web
from aiohttp.web_request import FileField

from bot.app import House
from bot.channels.web import WebChannel
from bot.channels.web_people import Declined, People
from bot.web.pages import Pages
from bot.web.phone import Face, Phones
from storage import tokens
from storage import web as kept
from storage.writer import Reader

SLOTS = ("a", "b", "c")
ROLES = {"a": ("member", "visitor"), "b": ("admin",), "c": ("staff",)}  # who sits there at first
YEAR = 365 * 86400  # seconds

Form = Mapping[str, str | bytes | bytearray | FileField]
Sitting = dict[str, int]  # slot → person


class Stage:
    """The house and its people, as requests see them."""

    def __init__(self, house: House, channel: WebChannel, *, everybody: bool) -> None:
        """everybody: one page acts for all; else each acts for the person whose secret it has"""
        self.house = house
        self.channel = channel
        self.everybody = everybody
        self.phones = Phones(channel, self.zone)
        self.pages = Pages(house.world.texts, house.clock, self.zone)

    @property
    def people(self) -> People:
        """What people do."""
        return self.channel.people

    @property
    def db(self) -> Reader:
        """What the channel remembers."""
        return self.channel.ground.database.reader

    @property
    def community(self) -> str:
        """The name of the community that is played."""
        community = self.house.directory.front_door
        return community.name if community else ""

    def zone(self) -> ZoneInfo:
        """Where the community is."""
        community = self.house.directory.front_door
        return ZoneInfo(community.zone if community else "UTC")

    async def check(self, request: web.Request, person: int) -> None:
        """Let a page act for this person.  Raises `HTTPForbidden` if it may not."""
        if self.everybody:
            return
        digest = tokens.digest(request.cookies.get("phone", ""))
        known = await kept.known_by(self.db, digest)
        if known is None or known.id != person:
            raise web.HTTPForbidden(text="not your phone\n")

    def language(self, request: web.Request) -> str:
        """The language of the page."""
        return self.pages.chosen(
            request.cookies.get("language", ""), request.headers.get("Accept-Language", "")
        )

    def shown(self, request: web.Request, name: str, **words: Any) -> web.Response:
        """A page of its own."""
        html = self.pages.page(name, self.language(request), **words)
        headers = {"Cache-Control": "no-store"}
        return web.Response(text=html, content_type="text/html", headers=headers)

    def declined(self, request: web.Request, declined: Declined) -> web.Response:
        """Why not, in words: where the page shows such things, or as a page of its own."""
        name = "declined.html" if "HX-Request" in request.headers else "refused.html"
        why = self.pages.text(self.language(request), declined.key, **declined.words)
        response = self.shown(request, name, why=why)
        response.set_status(409)
        response.headers["HX-Retarget"] = "#toast"
        response.headers["HX-Reswap"] = "innerHTML"
        return response


def text(form: Form, name: str) -> str:
    """A field of the form; empty if it is not there.  Raises `ValueError` for a file."""
    value = form.get(name, "")
    if not isinstance(value, str):
        raise ValueError(name)
    return value


def number(form: Form, name: str) -> int:
    """A row's id in the form; 0 if it is not there.  Raises `ValueError` for anything else."""
    return int(text(form, name) or 0)


def seated(faces: list[Face], request: web.Request, language: str) -> Sitting:
    """Who has which phone: as the address says, else as before, else one of each role.

    language: of the page, which those who are chosen should rather speak
    """
    known = {str(face.id) for face in faces}
    before = dict(zip(SLOTS, request.cookies.get("sitting", "").split("."), strict=False))
    wishes = {slot: request.query.get(slot) or before.get(slot, "") for slot in SLOTS}
    sitting = {slot: int(wish) for slot, wish in wishes.items() if wish in known}
    for slot in SLOTS:
        free = [face for face in faces if face.id not in sitting.values()]
        free.sort(key=lambda face: (face.role not in ROLES[slot], face.language != language))
        if slot not in sitting and free:
            sitting[slot] = free[0].id
    return {slot: sitting[slot] for slot in SLOTS if slot in sitting}
