"""Logs: one JSON object a line, or coloured lines on a terminal; never personal data."""

from __future__ import annotations

import logging
import sys
from typing import Any, TextIO

import structlog

# What may stand in a log line.  A key that is not here is dropped, so that a name
# or a message cannot slip in with a new one.
ALLOWED = frozenset(
    {
        "event", "level", "timestamp", "channel", "kind", "row", "number", "fault", "loop",
        "outcome", "attempts", "seconds", "count", "reason", "address", "version", "path", "method",
        "status", "exception", "stage", "capability", "update", "url", "part",
        "duty", "shares", "ours", "workers", "news",
    }
)  # fmt: skip


def configure(*, stream: TextIO = sys.stderr, plain: bool | None = None) -> None:
    """Log to `stream`: as lines for people (`plain`) or as JSON; by default by its being a tty."""
    for_people = stream.isatty() if plain is None else plain
    renderer: Any = (
        structlog.dev.ConsoleRenderer() if for_people else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            traced,
            only_allowed,
            renderer,
        ],
        logger_factory=structlog.WriteLoggerFactory(file=stream),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(level=logging.WARNING, handlers=[Bridge()], force=True)


class Bridge(logging.Handler):
    """What libraries log becomes a line of ours: who and how grave, never their words."""

    def emit(self, record: logging.LogRecord) -> None:
        fault = type(record.exc_info[1]).__name__ if record.exc_info else ""
        level = record.levelname.lower()
        tell = getattr(structlog.get_logger(), level, structlog.get_logger().warning)
        tell("library", capability=record.name, fault=fault)


def traced(_: Any, __: str, entry: Any) -> Any:
    """Where a fault happened, as file:line function; never its message, which may quote people."""
    if entry.pop("exc_info", None):
        kind, _value, trace = sys.exc_info()
        steps = []
        while trace is not None:
            code = trace.tb_frame.f_code
            steps.append(f"{code.co_filename.rpartition('/')[2]}:{trace.tb_lineno} {code.co_name}")
            trace = trace.tb_next
        entry["exception"] = (
            f"{kind.__name__ if kind else '?'} at {' < '.join(reversed(steps[-6:]))}"
        )
    return entry


def only_allowed(_: Any, __: str, entry: Any) -> Any:
    """Drop every key that is not on the list."""
    return {key: value for key, value in entry.items() if key in ALLOWED}
