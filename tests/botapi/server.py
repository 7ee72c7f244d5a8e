"""One bot's door: the library's emulator, joined to the town behind it."""

import asyncio
import json
import re
from typing import Any

from aiohttp import web
from lo_bot_api_emulator import ApiRefusal, LoBotApiEmulator

from tests.botapi.desk import Desk, written
from tests.botapi.faults import Fault, Held, HungUp, hang_up
from tests.botapi.journal import Call, Journal
from tests.botapi.methods import AFTER, OWN
from tests.botapi.queues import Queue
from tests.botapi.shapes import Json

# What the Bot API has and the library has not heard of; it is taken off before the library looks.
NEWER = {
    "allow_paid_broadcast",
    "disable_content_type_detection",
    "link_preview_options",
    "message_effect_id",
    "message_thread_id",
    "protect_content",
    "show_caption_above_media",
}
NEWER_ON_BUTTONS = {"icon_custom_emoji_id", "style"}

# How the params of a form are to be read, so that the journal tells them as JSON would.
OBJECTS = {
    "allowed_updates",
    "caption_entities",
    "commands",
    "entities",
    "link_preview_options",
    "media",
    "message_ids",
    "permissions",
    "reply_markup",
    "reply_parameters",
    "scope",
}
NUMBERS = {
    "chat_id",
    "expire_date",
    "from_chat_id",
    "icon_color",
    "member_limit",
    "message_id",
    "message_thread_id",
    "reply_to_message_id",
    "until_date",
    "user_id",
}
FLAGS = {
    "allow_sending_without_reply",
    "creates_join_request",
    "disable_notification",
    "only_if_banned",
    "protect_content",
    "return_bots",
    "show_alert",
}


class Server(LoBotApiEmulator):  # type: ignore[misc]  # it publishes no types
    """Answers one bot: faults first, then the town, and the library for all that it knows."""

    def __init__(self, desk: Desk, journal: Journal, faults: list[Fault], queue: Queue) -> None:
        super().__init__(max_assets=100_000, max_history=1)
        self.queue = self._update_queues = queue
        self._desk, self._journal, self._faults = desk, journal, faults

    async def handle(self, request: web.Request) -> web.Response:
        """Answer a call, or break its connection."""
        try:
            response: web.Response = await super().handle(request)
        except ConnectionResetError:
            return web.Response()  # whoever called ended in the middle of saying it
        except HungUp as gone:
            await asyncio.sleep(gone.after)
            hang_up(request)
            return web.Response()
        except Held as held:
            await held.gate.wait()
            return web.json_response({"ok": True, "result": held.result})
        if request.match_info["method"] == "getUpdates" and response.status == 200:
            envelopes = json.loads(response.text or "")["result"]
            self._journal.pass_("handed")
            if envelopes and self.queue.loses():
                hang_up(request)
            return web.json_response({"ok": True, "result": [one["raw"] for one in envelopes]})
        return response

    def validate(self, method: str, fields: Json, uploads: Json) -> Any:
        """What the library asks about each call: its result, or an `ApiRefusal`."""
        call = Call(self._desk.town.clock(), self._desk.bot, method, {})
        call.files = {name: upload["data"] for name, upload in uploads.items()}
        try:
            call.params = {name: _read(name, value) for name, value in fields.items()}
            return self._answer_or_fail(call, fields, uploads)
        except ApiRefusal as refusal:
            call.status, call.refused = refusal.status, refusal.description
            raise
        except HungUp:
            call.lost = True
            raise
        except (KeyError, TypeError, ValueError) as wrong:  # the library makes a 400 of these
            call.status, call.refused = 400, repr(wrong)
            raise
        finally:
            if method != "getUpdates":
                self._journal.add(call)

    def _answer_or_fail(self, call: Call, fields: Json, uploads: Json) -> Any:
        chat_id = call.params.get("chat_id")
        matching = (
            fault
            for fault in self._faults
            if fault.matches(self._desk.bot.token, call.method, chat_id)
        )
        fault = next(matching, None)
        if fault:
            fault.meet()
            if fault.before:
                raise fault.before()
        self._journal.pass_("asked")
        call.result = self._answer(call.method, call.params, fields, uploads)
        self._journal.pass_("acted")
        if fault and fault.after:
            raise fault.after(call.result)
        return call.result

    def _answer(self, method: str, params: Json, fields: Json, uploads: Json) -> Any:
        if method in OWN:
            if params.get("reply_markup"):
                self.validate_markup(params["reply_markup"], private_chat=params["chat_id"] > 0)
            return OWN[method](self._desk, params)
        known = {name: value for name, value in fields.items() if name not in NEWER}
        known |= {name: text for name, text in written(params).items() if name in fields}
        if method in AFTER and "chat_id" in params:
            # Refused before the library stores any file.
            known["chat_id"] = self._desk.chat(params).id
        result = super().validate(method, known, uploads)
        if method == "getFile":
            return result | {"file_size": len(self.assets[result["file_id"]]["data"])}
        if method not in AFTER:
            return result
        for told in result if isinstance(result, list) else [result]:
            self._describe(told)
        return AFTER[method](self._desk, params, result)

    def _describe(self, result: Any) -> None:
        """Say of a file what Telegram says beside its id."""
        if isinstance(result, dict) and "document" in result:
            asset = self.assets[result["document"]["file_id"]]
            result["document"] |= {"file_name": asset["filename"], "file_size": asset["size"]}

    @classmethod
    def validate_markup(cls, markup: Json, *, private_chat: bool = True) -> None:
        """The library's check of a keyboard, with what is newer than the library let through."""
        if "force_reply" in markup:
            return
        if rows := markup.get("inline_keyboard"):
            rows = [[_plain(button) for button in row] for row in rows]
            markup = markup | {"inline_keyboard": rows}
        super().validate_markup(markup, private_chat=private_chat)


def _plain(button: Any) -> Any:
    if not isinstance(button, dict):
        return button
    return {key: value for key, value in button.items() if key not in NEWER_ON_BUTTONS}


def _read(name: str, value: Any) -> Any:
    """A param as JSON would carry it."""
    if not isinstance(value, str):
        return value
    if name in OBJECTS:
        try:
            return json.loads(value)
        except ValueError:
            raise ApiRefusal(f"Bad Request: can't parse {name} JSON object") from None
    if name in NUMBERS and re.fullmatch(r"-?\d+", value):
        return int(value)
    if name in FLAGS:
        return value.lower() in {"true", "yes", "1"}
    return value
