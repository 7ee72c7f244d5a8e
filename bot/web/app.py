"""The one web server: health, metrics, the platforms' webhooks, dashboard and playground."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from bot import metrics
from bot.app import House
from bot.channels.web import WebChannel
from bot.web.access import Handler, by_own_name, harden
from bot.web.dashboard import STATIC, Dashboard
from storage import ids
from storage.writer import Unavailable

UPLOAD_BYTES = 10 * 2**20  # a little more than a file may have, so that we can say it is too large
PATIENCE = 2.0  # seconds for the database to answer a look
SILENT = timedelta(minutes=3)  # a platform is heard from every minute, news or none


def application(
    house: House,
    *,
    playground: WebChannel | None = None,
    webhooks: Mapping[str, Handler] | None = None,
) -> web.Application:
    """Everything that is served over HTTP.

    playground: the channel whose people its pages speak for; None: there is no playground
    webhooks:   path → what deals with a platform's POST; each checks its own secret
    """
    guards = [] if playground is None else [by_own_name(playground.ground.base)]
    app = web.Application(client_max_size=UPLOAD_BYTES, middlewares=guards)
    app.on_response_prepare.append(harden)
    app.add_routes(
        [
            web.get("/healthz", _healthy),
            web.get("/readyz", _ready(house)),
            web.get("/metrics", _measured),
            *(web.post(path, handler) for path, handler in (webhooks or {}).items()),
        ]
    )
    if playground is not None:
        from bot.web.playground import Playground

        Playground(house, playground).join(app)
    else:
        app.router.add_static("/static", STATIC)
    Dashboard(house).join(app)
    return app


async def _healthy(_: web.Request) -> web.Response:
    """The loop turns, or nobody would have answered."""
    return web.Response(text="ok\n")


def _ready(house: House) -> Handler:
    writing = Writing(house)

    async def ready(_: web.Request) -> web.Response:
        """200 when there is nothing wrong, else 503 with what is, by part."""
        wrong = await _reading(house) or await writing.wrong()
        wrong |= _silent(house)
        return web.json_response({"ready": not wrong, "wrong": wrong}, status=503 if wrong else 200)

    return ready


async def _reading(house: House) -> dict[str, str]:
    try:
        async with asyncio.timeout(PATIENCE):
            return await house.ready()
    except TimeoutError:
        return {"storage": f"has not answered for {PATIENCE:.0f} s"}


class Writing:
    """Whether what is written is kept: as the bot's own latest commits have shown, so that a look
    writes nothing.  Only if that went wrong, and then nobody came for a while, a look tries."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._trying = False

    async def wrong(self) -> dict[str, str]:
        """Why nothing can be written, by part; empty when the latest commit went through."""
        writer = self._house.database.writer
        if writer.health.stale and not self._trying:
            self._trying = True
            try:
                async with asyncio.timeout(PATIENCE):
                    await writer.settle([ids.unmoved()])
            except (Unavailable, TimeoutError):
                pass  # the writer knows why
            finally:
                self._trying = False
        found = writer.health.wrong
        return {"storage": found} if found else {}


def _silent(house: House) -> dict[str, str]:
    wrong = {}
    for name, channel in house.channels.items():
        if not house.company.listens(name):
            continue  # another process does
        heard = channel.fresh()
        if heard is None:
            wrong[name] = "has not been heard from"
        elif house.clock.now() - heard > SILENT:
            wrong[name] = f"was last heard from at {heard.isoformat(timespec='seconds')}"
    return wrong


async def _measured(_: web.Request) -> web.Response:
    return web.Response(
        body=generate_latest(metrics.REGISTRY), headers={"Content-Type": CONTENT_TYPE_LATEST}
    )
