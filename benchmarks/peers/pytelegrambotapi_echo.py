"""An echo bot in pyTelegramBotAPI's async half; it keeps nothing."""

from __future__ import annotations

import asyncio
from typing import Any

from telebot import asyncio_helper  # type: ignore[import-not-found]
from telebot.async_telebot import AsyncTeleBot  # type: ignore[import-not-found]

from benchmarks.peers.circumstances import API, TOKEN


async def main() -> None:
    """Run until ended."""
    asyncio_helper.API_URL = API + "/bot{0}/{1}"
    bot = AsyncTeleBot(TOKEN)

    async def echo(message: Any) -> None:
        await bot.send_message(message.chat.id, message.text)

    bot.register_message_handler(echo, content_types=["text"])
    await bot.polling(non_stop=True)


if __name__ == "__main__":
    asyncio.run(main())
