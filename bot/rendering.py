"""Rendering: a reply put into words, in its reader's language, with its picture drawn."""

from __future__ import annotations

from typing import Any

import msgspec

from bot.channels import Said
from bot.studio import Draw
from handlers.turn import Button, Letter, Picture, To, World
from knowledge import texts


class Renderer:
    """Turns replies into what a channel is able to say."""

    def __init__(self, world: World, draw: Draw) -> None:
        self._world = world
        self._draw = draw

    async def said(self, letter: Letter, to: To, *, edits: str) -> Said:
        """The letter's reply in the language of `to`."""
        reply = letter.reply
        assert reply is not None
        image = None if reply.picture is None else await self._drawn(reply.picture, to.language)
        return Said(
            text=self.text(to.language, reply.key, reply.words, reply.text),
            buttons=tuple(
                tuple(self._label(to.language, button) for button in row) for row in reply.buttons
            ),
            image=image,
            media=tuple((one.kind, one.ref, one.name) for one in reply.media),
            file=None if reply.file is None else (reply.file.name, reply.file.text.encode()),
            reply_to=reply.reply_to,
            edits=edits,
            carried=letter.mirrors != 0,
            key=reply.key,
            words=reply.words,
        )

    def text(self, language: str, key: str, words: dict[str, Any], verbatim: str) -> str:
        """The text `key`, with somebody's own words in its blank {text}; or those alone."""
        own = texts.clean(verbatim) if verbatim else ""
        if not key:
            return own
        return self._world.texts.say(language, key, **({"text": texts.Own(own)} | words))

    def _label(self, language: str, button: Button) -> tuple[str, str, str]:
        label = self._world.texts.say(language, button.key, **button.words)
        return label, button.data, button.url

    async def _drawn(self, picture: Picture, language: str) -> bytes:
        words = self._labelled(picture.words, picture.words, language)
        return await self._draw(picture.name, {"language": language, **words})

    def _labelled(self, value: Any, words: dict[str, Any], language: str) -> Any:
        """The same with every "@capability.moment" replaced by that text, filled from `words`."""
        match value:
            case dict():
                return {key: self._labelled(one, words, language) for key, one in value.items()}
            case list():
                return [self._labelled(one, words, language) for one in value]
            case str() if value.startswith("@") and self._world.texts.has(value[1:]):
                return self._world.texts.say(language, value[1:], **words)
        return value


def kept(said: Said) -> str:
    """What the past keeps of it."""
    return msgspec.json.encode({"key": said.key, "text": said.text}).decode()
