"""Login: a link that is good once becomes a session, and each request is asked whose it is."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from bot.app import House
from bot.web.access import same_origin
from bot.web.pages import Pages
from bot.web.stage import text
from handlers.dashboard import purpose
from handlers.roles import Role
from storage import reports, sessions, tokens
from storage.reports import Standing
from storage.sessions import LONGEST, Session
from storage.writer import Miss


@dataclass(frozen=True, slots=True)
class Guest:
    """Somebody who is logged in, and what they look after: one standing a community."""

    session: Session
    standings: tuple[Standing, ...]

    def at(self, community: int) -> Standing | None:
        """What they are in this community; None if they do not look after it."""
        return next((one for one in self.standings if one.community == community), None)

    @property
    def first(self) -> Standing:
        """Where they asked for the link; else anything they look after."""
        own = (one for one in self.standings if one.member == self.session.member)
        return next(own, self.standings[0])


class Door:
    """The way into the pages, and out again."""

    def __init__(self, house: House, pages: Pages) -> None:
        self._house = house
        self._pages = pages
        self._secure = house.config.web.address.startswith("https://")
        # With this prefix a browser takes the cookie from nobody but this very host.
        self._cookie = "__Host-innkeeper" if self._secure else "innkeeper"

    def join(self, app: web.Application) -> None:
        """Add it to the server."""
        app.router.add_get("/login", self._ask)
        app.router.add_post("/login", same_origin(self._enter))
        app.router.add_post("/logout", same_origin(self._leave))

    async def guest(self, request: web.Request) -> Guest:
        """Who asks, with the rights they have at this moment.

        Raises `HTTPFound` to the login page if nobody is logged in, or they may no longer be here.
        """
        now, db = self._house.clock.now(), self._house.database.reader
        session = await sessions.of(db, self._digest(request), at=now)
        standings = () if session is None else await self._standings(session.member)
        if session is None or not standings:
            raise self._turned_away(request)
        if "HX-Request" not in request.headers:  # a page that renews itself is not being looked at
            await self._house.database.writer.settle(sessions.looked(session, at=now))
        return Guest(session, standings)

    async def _standings(self, member: int) -> tuple[Standing, ...]:
        """Where the person behind this member is an admin, of communities that there are."""
        found = await reports.standings(self._house.database.reader, member)
        known = self._house.directory.communities
        return tuple(
            one for one in found if Role(one.role).may(Role.ADMIN) and one.community in known
        )

    def _turned_away(self, request: web.Request) -> web.HTTPException:
        if "HX-Request" in request.headers:  # the page goes there, rather than a part of it
            return web.HTTPUnauthorized(headers={"HX-Redirect": "/login"}, text="")
        return web.HTTPSeeOther("/login")

    # ---------------------------------------------------------------- coming in

    async def _ask(self, request: web.Request) -> web.Response:
        """Whether to come in: looking at the link does not spend it, as messengers look too."""
        if "out" in request.query:
            return self._shown(request, "out")
        link = request.query.get("t", "")
        if not link:
            return self._shown(request, "need")
        good = await self._good(*_parts(link))
        return self._shown(request, "enter", link=link) if good else self._spent(request)

    async def _enter(self, request: web.Request) -> web.Response:
        """Spend the link and begin a session, in one commit."""
        member, token = _parts(text(await request.post(), "t"))
        now, secret = self._house.clock.now(), secrets.token_urlsafe(32)
        if not await self._good(member, token):
            return self._spent(request)
        if not await self._standings(member):
            return self._shown(request, "not_allowed", status=403)
        try:
            await self._house.database.writer.settle(
                [
                    tokens.used(token, purpose=purpose(member), at=now),
                    sessions.ended(self._digest(request)),
                    *sessions.begun(tokens.digest(secret), member=member, at=now),
                ]
            )
        except Miss:
            return self._spent(request)
        response = web.Response(status=303, headers={"Location": "/dashboard"})
        response.set_cookie(
            self._cookie,
            secret,
            max_age=int(LONGEST.total_seconds()),
            path="/",
            secure=self._secure,
            httponly=True,
            # Not "Strict": a link to a page in a chat is to find its reader logged in.  Nothing
            # changes by following a link, and whatever changes something asks where it comes from.
            samesite="Lax",
        )
        return response

    async def _good(self, member: int, token: str) -> bool:
        now = self._house.clock.now()
        return await tokens.good(
            self._house.database.reader, token, purpose=purpose(member), at=now
        )

    # ---------------------------------------------------------------- going out

    async def _leave(self, request: web.Request) -> web.Response:
        await self._house.database.writer.settle([sessions.ended(self._digest(request))])
        response = web.Response(status=303, headers={"Location": "/login?out"})
        response.del_cookie(
            self._cookie, path="/", secure=self._secure, httponly=True, samesite="Lax"
        )
        return response

    # ---------------------------------------------------------------- pages

    def _digest(self, request: web.Request) -> str:
        return tokens.digest(request.cookies.get(self._cookie, ""))

    def _spent(self, request: web.Request) -> web.Response:
        return self._shown(request, "spent", status=410)

    def _shown(
        self, request: web.Request, state: str, *, status: int = 200, **words: Any
    ) -> web.Response:
        language = self._pages.chosen("", request.headers.get("Accept-Language", ""))
        html = self._pages.page(
            "login.html",
            language,
            state=state,
            title=self._pages.text(language, f"dashboard.login.{state}_title"),
            words=self._pages.text(language, f"dashboard.login.{state}"),
            **{"link": "", **words},
        )
        headers = {"Cache-Control": "no-store"}
        return web.Response(text=html, content_type="text/html", status=status, headers=headers)


def _parts(link: str) -> tuple[int, str]:
    """The member and the token in a link; nobody's, if it is none.

    >>> _parts("17.abc"), _parts("abc"), _parts("-1.abc"), _parts(f"{9 ** 99}.abc")
    ((17, 'abc'), (0, ''), (0, ''), (0, ''))
    """
    member, _, token = link.partition(".")
    if not (member.isascii() and member.isdecimal() and len(member) <= 18):
        return 0, ""
    return int(member), token
