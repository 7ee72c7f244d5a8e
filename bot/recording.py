"""Recording: what the past keeps of what was heard."""

from __future__ import annotations

import msgspec

from handlers.turn import Event

BODY = 8000  # characters of a message


def body(event: Event) -> str:
    """The words, the button and the kinds of media, as JSON; empty if there were none."""
    kept = {"text": event.text[:BODY]} if event.text else {}
    if event.data:
        kept["data"] = event.data
    if event.media:
        kept["media"] = ",".join(one.kind for one in event.media)
    return msgspec.json.encode(kept).decode() if kept else ""
