"""What a peer is told by who starts it."""

from __future__ import annotations

import os

API = os.environ.get("BENCH_API", "")  # the Bot API's address, without a slash at the end
TOKEN = os.environ.get("BENCH_TOKEN", "")
WEBHOOK = os.environ.get("BENCH_MODE", "") == "webhook"
PORT = int(os.environ.get("BENCH_PORT", "0"))  # where to wait for a webhook
PATH = "/hook"
HOOK = f"http://127.0.0.1:{PORT}{PATH}"
SECRET = "only-telegram-knows"  # noqa: S105 - it opens nothing
DATABASE = os.environ.get("BENCH_DATABASE", "")  # the path of an SQLite file
