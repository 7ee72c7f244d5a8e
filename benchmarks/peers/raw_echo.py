"""The floor: an echo with aiohttp, msgspec and uvloop alone; no framework, and it keeps nothing."""

from __future__ import annotations

import asyncio

import aiohttp
import msgspec
import uvloop
from aiohttp import web

from benchmarks.peers.circumstances import API, HOOK, PATH, PORT, SECRET, TOKEN, WEBHOOK

IN_FLIGHT = 32
JSON = {"Content-Type": "application/json"}


class Chat(msgspec.Struct):
    """Where it was said."""

    id: int


class Message(msgspec.Struct):
    """What was said."""

    chat: Chat
    text: str = ""


class Update(msgspec.Struct):
    """As much of an update as an echo needs."""

    update_id: int
    message: Message | None = None


class Answer(msgspec.Struct):
    """What getUpdates answers."""

    result: list[Update]


ANSWERS = msgspec.json.Decoder(Answer)
UPDATES = msgspec.json.Decoder(Update)


class Echo:
    """A line to the Bot API, and so many answers on their way at once."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session
        self._base = f"{API}/bot{TOKEN}/"
        self._slots = asyncio.Semaphore(IN_FLIGHT)

    async def call(self, method: str, **values: object) -> bytes:
        """Call a method; the answer's body."""
        body = msgspec.json.encode(values)
        async with self._session.post(self._base + method, data=body, headers=JSON) as answer:
            return await answer.read()

    async def answer(self, update: Update) -> None:
        """Say it back."""
        if update.message is not None:
            async with self._slots:
                chat = update.message.chat.id
                await self.call("sendMessage", chat_id=chat, text=update.message.text)

    async def poll(self) -> None:
        """Fetch and answer, for ever."""
        offset = 0
        async with asyncio.TaskGroup() as tasks:
            while True:
                found = ANSWERS.decode(await self.call("getUpdates", offset=offset, timeout=30))
                for update in found.result:
                    tasks.create_task(self.answer(update))
                    offset = update.update_id + 1

    async def receive(self, request: web.Request) -> web.Response:
        """A webhook: answer, then say that the update was taken."""
        await self.answer(UPDATES.decode(await request.read()))
        return web.Response()


async def main() -> None:
    """Run until ended."""
    async with aiohttp.ClientSession() as session:
        echo = Echo(session)
        if not WEBHOOK:
            await echo.poll()
        application = web.Application()
        application.router.add_post(PATH, echo.receive)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", PORT).start()
        await echo.call("setWebhook", url=HOOK, secret_token=SECRET)
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main())
