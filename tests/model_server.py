"""A language model to test against: an OpenAI-compatible endpoint on loopback, of many moods.

async with ModelServer.start() as server:
    server.next(chooses(2), broken(500))
    model = OpenAIModel(Endpoint(server.url, "tiny", "key"), now=clock.now)
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Self

from aiohttp import web

Mood = Callable[["ModelServer"], Awaitable[web.Response]]


@dataclass(frozen=True)
class Request:
    """What the endpoint was sent."""

    path: str
    key: str
    body: dict[str, Any]

    @property
    def task(self) -> str:
        """What the model was told to do."""
        told: str = self.body["messages"][0]["content"]
        return told

    @property
    def data(self) -> dict[str, Any]:
        """What stood between the two lines of the boundary."""
        begin, *between, end = self.body["messages"][1]["content"].split("\n")
        assert begin == end
        assert begin in self.task
        assert len(between) == 1
        found: dict[str, Any] = json.loads(between[0])
        return found

    @property
    def boundary(self) -> str:
        """The line that the data stands between."""
        first: str = self.body["messages"][1]["content"].partition("\n")[0]
        return first


class ModelServer:
    """Answers every request in the next of its moods, and in the last of them from then on."""

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[Request] = []
        self.asked = asyncio.Event()  # a request has come, since somebody last cleared this
        self.released = asyncio.Event()  # the slow ones may answer
        self._moods: list[Mood] = [chooses(None)]

    @classmethod
    @asynccontextmanager
    async def start(cls) -> AsyncIterator[Self]:
        """Serve on a free port of this machine until the block is left."""
        server = cls()
        application = web.Application()
        application.router.add_post("/v1/chat/completions", server._answer)
        runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=1)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            host, port = runner.addresses[0][:2]
            server.url = f"http://{host}:{port}/v1"
            yield server
        finally:
            server.released.set()
            await runner.cleanup()

    def next(self, *moods: Mood) -> None:
        """Be in these moods from now on, one request each; the last one stays."""
        self._moods = list(moods)

    async def _answer(self, request: web.Request) -> web.Response:
        self.requests.append(
            Request(request.path, request.headers.get("Authorization", ""), await request.json())
        )
        self.asked.set()
        mood = self._moods.pop(0) if len(self._moods) > 1 else self._moods[0]
        return await mood(self)


# ---------------------------------------------------------------- moods


def chooses(number: int | None) -> Mood:
    """Chooses the option of this number, from 1, or none."""
    return says(json.dumps({"choice": number}))


def says(text: str) -> Mood:
    """Says this, whatever it was asked."""
    message = {"role": "assistant", "content": text}
    return _sends(
        200,
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 0,
            "model": "tiny",
            "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
        },
    )


def broken(status: int, **headers: str) -> Mood:
    """Refuses with this status; underscores in the names of headers stand for hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return _sends(status, {"error": {"message": "not today", "type": "mood"}}, named)


def hollow() -> Mood:
    """Answers without any choice in it."""
    return _sends(200, {"id": "chatcmpl-1", "object": "chat.completion", "choices": []})


def slow(then: Mood) -> Mood:
    """Answers once the server is released."""

    async def mood(server: ModelServer) -> web.Response:
        await server.released.wait()
        return await then(server)

    return mood


def no_form(then: Mood) -> Mood:
    """Refuses, as models that think first do, to be told how to answer; else does as `then`."""
    refused = broken(400)

    async def mood(server: ModelServer) -> web.Response:
        body = server.requests[-1].body
        return await (refused if body.keys() > {"model", "messages"} else then)(server)

    return mood


def nowhere() -> str:
    """The URL of an endpoint that is not there."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/v1"


def _sends(status: int, body: Any, headers: dict[str, str] | None = None) -> Mood:
    async def mood(_: ModelServer) -> web.Response:
        return web.json_response(body, status=status, headers=headers)

    return mood
