"""What the one who plays does: brings people, lets them follow links, moves the clock."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, time, timedelta

from aiohttp import web

from bot.channels.web_people import Declined
from bot.web.access import Handler, same_origin
from bot.web.doings import Doings
from bot.web.stage import Form, Stage, number, seated, text
from storage import web as kept

MORNING, NIGHT = time(8, 30), time(22, 30)


class Direction:
    """Only where one page acts for everybody."""

    def __init__(self, stage: Stage, doings: Doings) -> None:
        self._stage = stage
        self._doings = doings
        self._moving = asyncio.Lock()

    def join(self, app: web.Application) -> None:
        """Add it to the server."""
        app.router.add_post("/people", same_origin(self._add))
        app.router.add_post("/clock", same_origin(self._move))
        app.router.add_get("/join/{token}", self._who_joins)
        app.router.add_post("/join/{token}", same_origin(self._follow("token")))
        app.router.add_get("/start/{payload}", self._who_starts)
        app.router.add_post("/start/{payload}", same_origin(self._follow("payload")))

    # ---------------------------------------------------------------- people

    async def _add(self, request: web.Request) -> web.Response:
        """Somebody new, put at once where the page wants them."""
        form = await request.post()
        try:
            person = await self._newcomer(form)
        except Declined as declined:
            return self._stage.declined(request, declined)
        except ValueError as error:
            raise web.HTTPBadRequest from error
        return _to(f"/?{text(form, 'slot') or 'a'}={person}")

    async def _newcomer(self, form: Form) -> int:
        language = "zh" if text(form, "language") == "zh" else "en"
        return (await self._stage.people.arrives(text(form, "name"), language)).id

    # ---------------------------------------------------------------- links

    async def _who_joins(self, request: web.Request) -> web.Response:
        """Who follows an invite link?"""
        token = request.match_info["token"]
        chat = await kept.led_to(self._stage.db, token)
        inside = await kept.present(self._stage.db, chat.id) if chat else {}
        faces = [one for one in await self._stage.phones.faces() if one.id not in inside]
        title = chat.title if chat else ""
        return self._stage.shown(
            request, "choose.html", kind="join", value=token, faces=faces, title=title
        )

    async def _who_starts(self, request: web.Request) -> web.Response:
        """Who opens a link to the private chat?"""
        return self._stage.shown(
            request,
            "choose.html",
            kind="start",
            value=request.match_info["payload"],
            faces=await self._stage.phones.faces(),
            title=self._stage.community,
        )

    def _follow(self, name: str) -> Handler:
        """Whoever was chosen follows the link, or somebody new does."""
        follow = self._doings.join_by if name == "token" else self._doings.start

        async def followed(request: web.Request) -> web.Response:
            form = await request.post()
            try:
                person = number(form, "person") or await self._newcomer(form)
                await follow(person, {name: request.match_info[name]})
            except Declined as declined:
                return self._stage.declined(request, declined)
            except ValueError as error:
                raise web.HTTPBadRequest from error
            language = self._stage.language(request)
            sitting = seated(await self._stage.phones.faces(), request, language)
            slot = next((slot for slot, sits in sitting.items() if sits == person), "a")
            return _to(f"/?{slot}={person}")

        return followed

    # ---------------------------------------------------------------- the clock

    async def _move(self, request: web.Request) -> web.Response:
        """Move the community's clock on, through everything that falls due on the way."""
        wish = text(await request.post(), "by")
        async with self._moving:
            now = self._stage.house.clock.now().astimezone(self._stage.zone())
            match wish:
                case "hour":
                    by = timedelta(hours=1)
                case "morning":
                    by = until(MORNING, now)
                case "night":
                    by = until(NIGHT, now)
                case "day":
                    by = timedelta(days=1)
                case _:
                    raise web.HTTPBadRequest
            await self._stage.house.advance(by)
        self._stage.channel.live.everybody()
        return web.Response(status=204)


def until(moment: time, now: datetime) -> timedelta:
    """How long until the clock next shows this time; never nothing.

    now: aware, in the zone whose clock it is

    >>> until(time(8, 30), datetime(2025, 3, 3, 8, 30, tzinfo=UTC))
    datetime.timedelta(days=1)
    """
    then = datetime.combine(now.date(), moment, now.tzinfo)
    if then <= now:
        then = datetime.combine(now.date() + timedelta(days=1), moment, now.tzinfo)
    return then.astimezone(UTC) - now.astimezone(UTC)


def _to(place: str) -> web.Response:
    return web.Response(status=303, headers={"Location": place})
