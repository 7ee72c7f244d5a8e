"""An echo bot in python-telegram-bot, 32 updates at once; it keeps nothing."""

from __future__ import annotations

from typing import Any

from telegram.ext import (  # type: ignore[import-not-found]
    ApplicationBuilder,
    MessageHandler,
    filters,
)

from benchmarks.peers.circumstances import API, HOOK, PATH, PORT, SECRET, TOKEN, WEBHOOK


async def echo(update: Any, _: Any) -> None:
    """Say it back."""
    await update.message.reply_text(update.message.text)


def main() -> None:
    """Run until ended."""
    builder = ApplicationBuilder().token(TOKEN).base_url(f"{API}/bot").concurrent_updates(32)
    application = builder.build()
    application.add_handler(MessageHandler(filters.TEXT, echo))
    if WEBHOOK:
        application.run_webhook(
            listen="127.0.0.1", port=PORT, url_path=PATH, webhook_url=HOOK, secret_token=SECRET
        )
    else:
        application.run_polling()


if __name__ == "__main__":
    main()
