"""What people do on the pages: each of their doings is a POST for the person in its path."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.web_request import FileField

from bot.channels.web_ground import File
from bot.channels.web_people import FILE_BYTES, Declined
from bot.web.access import Handler, same_origin
from bot.web.stage import Form, Stage, number, text
from storage import web as kept

Doing = Callable[[int, Form], Awaitable[None]]


class Doings:
    """The phones' buttons and fields."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._people = stage.people
        self._phones = stage.phones

    def join(self, app: web.Application) -> None:
        """Add them to the server."""
        for name, doing in self._all().items():
            app.router.add_post(f"/phone/{{person}}/{name}", same_origin(self._done(doing)))
        app.router.add_post("/phone/{person}/window", same_origin(self._window))
        app.router.add_get("/phone/{person}/file/{message}", self._file)

    def _all(self) -> dict[str, Doing]:
        return {
            "say": self._say,
            "edit": self._edit,
            "press": self._press,
            "open": self._open,
            "earlier": self._earlier,
            "pick": self._pick,
            "watch": self._watch,
            "typing": self._typing,
            "start": self.start,
            "stop": self._stop,
            "join": self.join_by,
            "leave": self._leave,
            "rank": self._rank,
        }

    def _done(self, doing: Doing) -> Handler:
        """Do it; if it cannot be, say so on the page."""

        async def done(request: web.Request) -> web.Response:
            try:
                person = int(request.match_info["person"])
                await self._stage.check(request, person)
                await doing(person, await request.post())
            except Declined as declined:
                return self._stage.declined(request, declined)
            except web.HTTPRequestEntityTooLarge:
                large = Declined("playground.declined.large", most=FILE_BYTES // 2**20)
                return self._stage.declined(request, large)
            except ValueError as error:
                raise web.HTTPBadRequest from error
            return web.Response(status=204)

        return done

    # ---------------------------------------------------------------- speaking

    async def _say(self, person: int, form: Form) -> None:
        upload, file = form.get("file"), None
        if isinstance(upload, FileField) and upload.filename:
            file = File(upload.filename, upload.file.read())
        await self._people.says(
            person,
            number(form, "chat"),
            text(form, "text"),
            topic=number(form, "topic"),
            reply_to=self._phones.of(person).picked,
            file=file,
        )
        self._phones.spoke(person)

    async def _edit(self, person: int, form: Form) -> None:
        await self._people.edits(person, number(form, "message"), text(form, "text"))
        self._phones.spoke(person)

    async def _press(self, person: int, form: Form) -> None:
        await self._people.presses(person, number(form, "message"), text(form, "data"))

    async def _typing(self, person: int, form: Form) -> None:
        on = text(form, "on") == "1"
        await self._people.types(person, number(form, "chat"), number(form, "topic"), on)

    async def _pick(self, person: int, form: Form) -> None:
        self._phones.picks(person, number(form, "message"), editing=text(form, "for") == "edit")

    # ---------------------------------------------------------------- looking

    async def _open(self, person: int, form: Form) -> None:
        await self._phones.opens(person, number(form, "chat"), number(form, "topic"))

    async def _earlier(self, person: int, form: Form) -> None:
        self._phones.earlier(person)

    async def _watch(self, person: int, form: Form) -> None:
        self._phones.looks(person, text(form, "attentive") == "1")

    async def _file(self, request: web.Request) -> web.Response:
        """A picture to be shown, or a file to be saved."""
        try:
            person, message = int(request.match_info["person"]), int(request.match_info["message"])
            await self._stage.check(request, person)
            file = await self._people.file(person, message)
        except (ValueError, Declined) as error:
            raise web.HTTPNotFound from error
        response = web.Response(body=file.data, content_type=file.type)
        response.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
        response.headers["Cache-Control"] = "private, max-age=86400"
        if file.kind != "photo":
            response.headers["Content-Disposition"] = "attachment"
        return response

    # ---------------------------------------------------------------- coming and going

    async def start(self, person: int, form: Form) -> None:
        """Open the private chat with the bot, by a link with a `payload` or without."""
        await self._people.starts(person, text(form, "payload"))
        await self._phones.opens(person, await kept.home(self._stage.db, person), kept.GENERAL)

    async def _stop(self, person: int, form: Form) -> None:
        await self._people.stops(person)

    async def join_by(self, person: int, form: Form) -> None:
        """Follow an invite link, or only its `token`."""
        chat = await self._people.joins(person, text(form, "token").strip().rpartition("/")[2])
        await self._phones.opens(person, chat.id, kept.GENERAL)

    async def _leave(self, person: int, form: Form) -> None:
        await self._people.leaves(person, number(form, "chat"))

    async def _rank(self, person: int, form: Form) -> None:
        rank = "admin" if text(form, "rank") == "admin" else ""
        await self._people.ranks(person, number(form, "chat"), rank)

    async def _window(self, request: web.Request) -> web.Response:
        """This phone alone, by a link of its own that can be opened elsewhere."""
        try:
            person = int(request.match_info["person"])
            await self._stage.check(request, person)
            secret = await self._people.secret(person)
        except ValueError as error:
            raise web.HTTPBadRequest from error
        except Declined as declined:
            return self._stage.declined(request, declined)
        return web.Response(status=303, headers={"Location": f"/me/{secret}"})
