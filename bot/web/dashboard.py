"""The dashboard: how a community is doing, for whoever looks after it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from aiohttp import web

from bot import setaside
from bot.app import House
from bot.setaside import Tried
from bot.web import charts
from bot.web.access import Handler, same_origin
from bot.web.almanac import Almanac
from bot.web.engine import MachineRoom
from bot.web.figures import Figures
from bot.web.login import Door, Guest
from bot.web.pages import Pages
from bot.web.today import today
from handlers.roles import Role
from storage import campaigns, members, reports
from storage.campaigns import Campaign
from storage.communities import Community
from storage.reports import SetAside, Standing
from storage.unhurried import unhurried
from storage.writer import Change, Miss, Reader

STATIC = Path(__file__).parent / "static"
PAGES = {"today": "", "messages": "/messages", "aside": "/aside", "machine": "/machine"}
DEMO = "(demo)"  # at the end of a community's name
NOTICES = (
    "retried", "dropped", "gone", "unreadable", "paused", "resumed", "cancelled", "unchanged",
)  # fmt: skip
MADE_OF = (("jade", "sent"), ("cinnabar", "failed"), ("amber", "withheld"), ("plum", "unknown"))


@dataclass(frozen=True, slots=True)
class Visit:
    """One request: who looks at which community, and how things are written for them."""

    guest: Guest
    standing: Standing
    community: Community
    figures: Figures

    @property
    def owner(self) -> bool:
        """Whether they own the bot, and so may see what belongs to no community."""
        return Role(self.standing.role).may(Role.OWNER)

    @property
    def path(self) -> str:
        """Where this community's pages begin."""
        return f"/dashboard/{self.community.id}"


@dataclass(frozen=True, slots=True)
class Sent:
    """A message to many, as it is shown."""

    campaign: Campaign
    author: str  # empty: from the command line, or they asked to be forgotten
    counts: dict[str, int]
    bar: Any


@dataclass(frozen=True, slots=True)
class Held:
    """Something set aside, as somebody may see it."""

    row: SetAside
    name: str  # masked
    readable: bool
    payload: str  # empty unless the owner wishes to see it


Page = Callable[[web.Request, Visit], Awaitable[web.Response]]


class Dashboard:
    """Its pages, each a question to the reports; and the few things that can be done on them."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._pages = Pages(house.world.texts, house.clock, lambda: ZoneInfo("UTC"))
        self._door = Door(house, self._pages)
        self._almanac = Almanac(house.clock)
        self._machine_room = MachineRoom(house, self._almanac)
        self._db: Reader = house.database.reader

    def join(self, app: web.Application) -> None:
        """Add the pages to the server."""
        app.cleanup_ctx.append(self._reading)
        self._door.join(app)
        add, here = app.router, r"/dashboard/{community:\d{1,18}}"
        add.add_get("/dashboard", self._first)
        add.add_get(here, self._visited(self._today))
        add.add_get(f"{here}/messages", self._visited(self._messages))
        add.add_get(f"{here}/aside", self._visited(self._aside))
        add.add_get(f"{here}/machine", self._visited(self._machine))
        number = r"{number:\d{1,18}}"
        for name, page in (("retry", self._retry), ("drop", self._drop)):
            add.add_post(f"{here}/aside/{number}/{name}", same_origin(self._visited(page)))
        for name, steer, done in (
            ("pause", campaigns.paused, "paused"),
            ("resume", campaigns.resumed, "resumed"),
            ("cancel", campaigns.cancelled, "cancelled"),
        ):
            do = self._visited(self._steer(steer, done))
            add.add_post(f"{here}/messages/{number}/{name}", same_origin(do))

    async def _reading(self, _: web.Application) -> AsyncIterator[None]:
        async with unhurried(self._house.database) as self._db:
            yield

    # ---------------------------------------------------------------- who sees what

    def _visited(self, page: Page) -> Handler:
        """The page of a community, for whoever looks after it; for all others there is none."""

        async def visited(request: web.Request) -> web.Response:
            guest = await self._door.guest(request)
            number = int(request.match_info["community"])
            standing = guest.at(number)
            community = self._house.directory.community(number)
            if standing is None or community is None:
                return self._lost(guest)
            return await page(request, self._visit(guest, standing, community))

        return visited

    def _visit(self, guest: Guest, standing: Standing, community: Community) -> Visit:
        texts = self._house.world.texts
        language = texts.chosen(standing.language, community.language)
        zone = ZoneInfo(community.zone)
        return Visit(
            guest, standing, community, Figures(texts, language, zone, self._house.clock.now())
        )

    async def _first(self, request: web.Request) -> web.Response:
        guest = await self._door.guest(request)
        raise web.HTTPSeeOther(f"/dashboard/{guest.first.community}")

    def _lost(self, guest: Guest) -> web.Response:
        community = self._house.directory.communities[guest.first.community]
        language = self._house.world.texts.chosen(guest.first.language, community.language)
        response = self._html(self._pages.page("dashboard_lost.html", language))
        response.set_status(404)
        return response

    # ---------------------------------------------------------------- pages

    async def _today(self, request: web.Request, visit: Visit) -> web.Response:
        told = await today(self._db, self._almanac, visit.community, visit.figures)
        return await self._shown(request, visit, "today", today=told)

    async def _messages(self, request: web.Request, visit: Visit) -> web.Response:
        found = await campaigns.latest(self._db, visit.community.id, most=reports.MOST)
        sent = [
            Sent(
                campaign=one,
                author=await members.named(self._db, one.author) if one.author else "",
                counts=dict(one.counts),
                bar=_progress(one, visit.figures),
            )
            for one in found
        ]
        return await self._shown(request, visit, "messages", messages=sent, made_of=MADE_OF)

    async def _aside(self, request: web.Request, visit: Visit) -> web.Response:
        rows = await reports.set_aside(self._db, visit.community.id, nobodys=visit.owner)
        wish = request.query.get("show", "")
        held = [
            Held(
                row=one,
                name=masked(one.name) if one.held.member else "",
                readable=setaside.readable(one.held),
                payload=_readable(one.held.payload)
                if visit.owner and wish == str(one.held.id)
                else "",
            )
            for one in rows
        ]
        return await self._shown(request, visit, "aside", held=held)

    async def _machine(self, request: web.Request, visit: Visit) -> web.Response:
        whose = None if visit.owner else visit.community.id
        told = await self._machine_room.told(self._db, visit.figures, community=whose)
        return await self._shown(request, visit, "machine", room=told)

    # ---------------------------------------------------------------- doings

    async def _retry(self, request: web.Request, visit: Visit) -> web.Response:
        number = await self._theirs(request, visit)
        tried = await setaside.retry(self._house.database, number)
        self._house.nudge()
        done = {Tried.WAITS: "retried", Tried.GONE: "gone", Tried.UNREADABLE: "unreadable"}
        raise _back(visit, "aside", done[tried])

    async def _drop(self, request: web.Request, visit: Visit) -> web.Response:
        number = await self._theirs(request, visit)
        dropped = await setaside.drop(self._house.database, number)
        raise _back(visit, "aside", "dropped" if dropped else "gone")

    def _steer(self, steer: Callable[[int], list[Change]], done: str) -> Page:
        """Pause a message to many, let it go on, or end it."""

        async def steered(request: web.Request, visit: Visit) -> web.Response:
            number = int(request.match_info["number"])
            one = await campaigns.by_id(self._house.database.reader, number)
            if one is None or one.community != visit.community.id:
                raise web.HTTPNotFound
            try:
                await self._house.database.writer.settle(steer(number))
            except Miss:
                raise _back(visit, "messages", "unchanged") from None
            self._house.nudge()
            raise _back(visit, "messages", done)

        return steered

    async def _theirs(self, request: web.Request, visit: Visit) -> int:
        """The number of what was set aside, if it is this community's, or the owner's to see."""
        number = int(request.match_info["number"])
        one = await reports.set_aside_as(self._house.database.reader, number)
        if one is None:
            raise _back(visit, "aside", "gone")
        if one.community != visit.community.id and not (visit.owner and one.community is None):
            raise web.HTTPNotFound
        return number

    # ---------------------------------------------------------------- putting a page together

    async def _shown(
        self, request: web.Request, visit: Visit, name: str, **words: Any
    ) -> web.Response:
        communities = self._house.directory.communities
        notice = request.query.get("done", "")
        html = self._pages.page(
            f"dashboard_{name}.html",
            visit.figures.language,
            at=name,
            pages={page: f"{visit.path}{rest}" for page, rest in PAGES.items()},
            visit=visit,
            figures=visit.figures,
            communities=[communities[one.community] for one in visit.guest.standings],
            demo=visit.community.name.endswith(DEMO),
            waiting=await reports.count_set_aside(
                self._db, visit.community.id, nobodys=visit.owner
            ),
            notice=visit.figures.say(f"done.{notice}") if notice in NOTICES else "",
            **words,
        )
        return self._html(html)

    def _html(self, html: str) -> web.Response:
        headers = {"Cache-Control": "no-store"}
        return web.Response(text=html, content_type="text/html", headers=headers)


def masked(name: str) -> str:
    """A name by which one knows somebody again without learning it.

    >>> [masked(name) for name in ("Ana", "梅", "", " Zoe")]
    ['A•••', '梅•••', '•••', 'Z•••']
    """
    return f"{name.strip()[:1]}•••"


def _readable(payload: str) -> str:
    """JSON with a line for each thing it says; anything else as it is."""
    with suppress(ValueError):
        return json.dumps(json.loads(payload), ensure_ascii=False, indent=2)
    return payload


def _progress(one: Campaign, figures: Figures) -> Any:
    told = {name: figures.number(count) for name, count in one.counts.items()}
    title = figures.say("messages.progress", **told, open=figures.number(one.left))
    parts = [(colour, one.counts[name]) for colour, name in MADE_OF]
    return charts.bar(parts, one.total, title=title)


def _back(visit: Visit, page: str, done: str) -> web.HTTPException:
    """To the page again, which says what was done."""
    return web.HTTPSeeOther(f"{visit.path}{PAGES[page]}?done={done}")
