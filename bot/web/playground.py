"""The playground: three people's phones side by side in a browser, talking to the real bot."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from aiohttp import web

from bot.app import House
from bot.channels.web import WebChannel
from bot.channels.web_live import Watch
from bot.web.access import same_origin
from bot.web.direction import Direction
from bot.web.doings import Doings
from bot.web.phone import Face, Screen
from bot.web.stage import SLOTS, YEAR, Sitting, Stage, seated, text
from storage import tokens
from storage import web as kept

STATIC = Path(__file__).parent / "static"
TOGETHER = 0.02  # seconds in which changes are gathered, so that they are shown at once
PULSE = 15.0  # seconds after which a page hears from us at the latest
PARTS = ("tag", "top", "view", "foot")


class Playground:
    """Pages that act for people of the web channel.

    everybody: one page acts for all of them, which is why the playground is bound to this
               machine alone; else each acts only for the person whose secret it has
    """

    def __init__(self, house: House, channel: WebChannel, *, everybody: bool = True) -> None:
        self._stage = Stage(house, channel, everybody=everybody)
        self._live = channel.live
        self._closing = False

    def join(self, app: web.Application) -> None:
        """Add the pages to the server."""
        doings = Doings(self._stage)
        doings.join(app)
        app.router.add_get("/live", self._stream)
        app.router.add_get("/me", self._mine)
        app.router.add_get("/me/{secret}", self._mine)
        app.router.add_post("/language", same_origin(self._choose_language))
        app.router.add_static("/static", STATIC)
        if self._stage.everybody:
            app.router.add_get("/", self._three)
            Direction(self._stage, doings).join(app)
        app.on_shutdown.append(self._close)

    # ---------------------------------------------------------------- pages

    async def _three(self, request: web.Request) -> web.Response:
        """The three phones."""
        faces = await self._stage.phones.faces()
        sitting = seated(faces, request, self._stage.language(request))
        response = await self._page(request, sitting, faces, alone=False)
        ids = ".".join(str(sitting.get(slot, 0)) for slot in SLOTS)
        response.set_cookie("sitting", ids, samesite="Strict", httponly=True, max_age=YEAR)
        return response

    async def _mine(self, request: web.Request) -> web.Response:
        """One phone, for whoever has its secret."""
        secret = request.match_info.get("secret") or request.cookies.get("phone", "")
        person = await kept.known_by(self._stage.db, tokens.digest(secret))
        if person is None:
            response = self._stage.shown(
                request, "choose.html", kind="join", value="", faces=[], title=""
            )
            response.set_status(404)
            return response
        faces = [one for one in await self._stage.phones.faces() if one.id == person.id]
        response = await self._page(request, {"a": person.id}, faces, alone=True)
        response.headers["Referrer-Policy"] = "no-referrer"
        response.set_cookie("phone", secret, samesite="Strict", httponly=True, max_age=YEAR)
        return response

    async def _page(
        self, request: web.Request, sitting: Sitting, faces: list[Face], *, alone: bool
    ) -> web.Response:
        language = self._stage.language(request)
        return self._stage.shown(
            request,
            "playground.html",
            sitting=sitting,
            names={face.id: face.name for face in faces},
            parts=await self._parts(sitting, language, alone=alone),
            alone=alone,
            community=self._stage.community,
        )

    async def _choose_language(self, request: web.Request) -> web.Response:
        form = await request.post()
        language = self._stage.pages.chosen(text(form, "language"), "")
        back = "/me" if text(form, "alone") else "/"
        response = web.Response(status=303, headers={"Location": back})
        response.set_cookie("language", language, samesite="Strict", httponly=True, max_age=YEAR)
        return response

    # ---------------------------------------------------------------- what changes on them

    async def _parts(self, sitting: Sitting, language: str, *, alone: bool) -> dict[str, str]:
        """Everything that changes while one looks at it: the id of its element → HTML."""
        pages, phones = self._stage.pages, self._stage.phones
        faces = [] if alone else await phones.faces()
        parts = {"clock": pages.page("clock.html", language)}
        for slot, person in sitting.items():
            screen = await phones.screen(person, language)
            for name in PARTS:
                parts[f"{name}-{slot}"] = pages.page(
                    f"{name}.html",
                    language,
                    slot=slot,
                    screen=screen,
                    person=person,
                    faces=faces,
                    alone=alone,
                    url=f"/phone/{person}",
                    chips=self._chips(screen, language) if screen else (),
                )
        return parts

    def _chips(self, screen: Screen, language: str) -> list[tuple[str, str]]:
        """What is worth trying here: (what stands on it, what it says)."""
        say, theirs = self._stage.pages.text, screen.face.language
        usual = {name for name, _ in self._stage.channel.menus.get(("member", language), ())}
        ask = (
            say(language, "playground.chip.ask"),
            say(theirs, "playground.chip.ask_text"),
        )
        special = [(f"/{name}", f"/{name}") for name, _ in screen.commands if name not in usual]
        match screen.kind:
            case "staff":
                return special
            case "group":
                named = say(theirs, "playground.chip.mention", text=ask[1])
                return [(say(language, "playground.chip.ask_here"), named)]
        if screen.face.role not in ("member", "visitor"):
            return [*special, ask]
        return [
            (say(language, "playground.chip.checkin"), "/checkin"),
            (say(language, "playground.chip.invite"), "/invite"),
            ask,
            (
                say(language, "playground.chip.person"),
                say(theirs, "playground.chip.person_text"),
            ),
        ]

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        """Send whatever changes on a page, for as long as it is open."""
        sitting = await self._watched(request)
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
        )
        await response.prepare(request)
        closed = suppress(ConnectionResetError)
        with self._live.watching(sitting.values()) as watch, closed:
            await self._follow(request, response, watch, sitting)
        for person in sitting.values():
            if not self._live.watched(person):
                self._stage.phones.looks(person, False)
                self._live.hush(person)
        return response

    async def _follow(
        self,
        request: web.Request,
        response: web.StreamResponse,
        watch: Watch,
        sitting: Sitting,
    ) -> None:
        language, alone = self._stage.language(request), "alone" in request.query
        shown: Mapping[str, str] = {}
        while not self._closing:
            watch.clear()
            parts = await self._parts(sitting, language, alone=alone)
            changed = {id: html for id, html in parts.items() if shown.get(id) != html}
            await response.write(message(changed))
            shown = parts
            await watch.wait(PULSE)
            await asyncio.sleep(TOGETHER)

    async def _watched(self, request: web.Request) -> Sitting:
        """Whom the page shows, if it may."""
        try:
            ids = [int(one) for one in request.query.get("who", "").split(".")]
        except ValueError as error:
            raise web.HTTPBadRequest from error
        for person in ids:
            await self._stage.check(request, person)
        return dict(zip(SLOTS, ids, strict=False))

    async def _close(self, _: web.Application) -> None:
        """End the pages' streams, or the server would wait for them."""
        self._closing = True
        self._live.everybody()


def message(parts: Mapping[str, str]) -> bytes:
    """A server-sent event that puts these parts in their places; for none, a sign of life.

    >>> message({"clock": "<p id='clock'>1</p>"}).decode().partition(">")[0]
    'data: <hx-partial hx-target="#clock" hx-swap="outerMorph"'
    >>> message({})
    b':\\n\\n'
    """
    if not parts:
        return b":\n\n"
    html = "".join(
        f'<hx-partial hx-target="#{id}" hx-swap="outerMorph">{part.strip()}</hx-partial>'
        for id, part in parts.items()
    )
    lines = html.replace("\r", "").split("\n")
    return ("".join(f"data: {line}\n" for line in lines) + "\n").encode()
