"""What stands in a message: plain words, links, and commands that one can press."""

from __future__ import annotations

import re
from dataclasses import dataclass

FOUND = re.compile(
    r"(?P<url>https?://[^\s<>\"'，。；：！？、）】》」]+)|(?<![\w/])(?P<command>/[a-z][a-z0-9_]{1,31})\b"
)
TRAILING = ".,;:!?)"  # more often the sentence's than the link's


@dataclass(frozen=True, slots=True)
class Bit:
    """A piece of a message; `kind` is "words", "link", "join", "start" or "command".

    value: the address of a link, the token of an invitation, the payload of a start
    """

    kind: str
    text: str
    value: str = ""


def bits(text: str, base: str, *, commands: bool) -> list[Bit]:
    """The message in pieces, which joined again are the whole of it.

    base:     where our own pages are: a link to them is followed inside the chat
    commands: whether to find commands, as in what the bot says

    >>> [(one.kind, one.text) for one in bits("Try /help, or https://a.b/c.", "", commands=True)]
    [('words', 'Try '), ('command', '/help'), ('words', ', or '), ('link', 'https://a.b/c'), \
('words', '.')]
    """
    found: list[Bit] = []
    done = 0
    for match in FOUND.finditer(text):
        if match["command"] and not commands:
            continue
        shown = match[0].rstrip(TRAILING) if match["url"] else match[0]
        if match.start() > done:
            found.append(Bit("words", text[done : match.start()]))
        found.append(_link(shown, base) if match["url"] else Bit("command", shown))
        done = match.start() + len(shown)
    if done < len(text):
        found.append(Bit("words", text[done:]))
    return found


def followed(url: str, base: str) -> Bit:
    """What pressing a button with this address does."""
    return _link(url, base)


def _link(url: str, base: str) -> Bit:
    for kind in ("join", "start"):
        before = f"{base}/{kind}/"
        if base and url.startswith(before):
            return Bit(kind, url, url.removeprefix(before))
    return Bit("link", url, url)
