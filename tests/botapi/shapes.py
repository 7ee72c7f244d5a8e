"""Bot API objects that follow from a text or a status alone: entities and members."""

import re
from collections.abc import Iterable, Iterator
from html.parser import HTMLParser
from itertools import accumulate
from typing import Any, NoReturn

from lo_bot_api_emulator import ApiRefusal

Json = dict[str, Any]

# What an administrator of a group may be allowed, as Bot API 10.3 names it.
RIGHTS = (
    "can_manage_chat",
    "can_delete_messages",
    "can_manage_video_chats",
    "can_restrict_members",
    "can_promote_members",
    "can_change_info",
    "can_invite_users",
    "can_post_stories",
    "can_edit_stories",
    "can_delete_stories",
    "can_send_welcome_messages",
    "can_pin_messages",
    "can_manage_topics",
    "can_manage_tags",
)

PERMISSIONS = (
    "can_send_messages",
    "can_send_audios",
    "can_send_documents",
    "can_send_photos",
    "can_send_videos",
    "can_send_video_notes",
    "can_send_voice_notes",
    "can_send_polls",
    "can_send_other_messages",
    "can_add_web_page_previews",
    "can_react_to_messages",
    "can_edit_tag",
    "can_change_info",
    "can_invite_users",
    "can_pin_messages",
    "can_manage_topics",
)


def member(user: Json, status: str, granted: Iterable[str] = (), *, inside: bool = True) -> Json:
    """A ChatMember of this status; `granted` are its rights, or permissions if restricted."""
    told: Json = {"status": status, "user": user}
    match status:
        case "creator":
            told["is_anonymous"] = False
        case "administrator":
            told |= {"can_be_edited": False, "is_anonymous": False}
            told |= {right: right in set(granted) for right in RIGHTS}
        case "restricted":
            told |= {"is_member": inside, "until_date": 0}
            told |= {may: may in set(granted) for may in PERMISSIONS}
        case "kicked":
            told["until_date"] = 0
    return told


# ---------------------------------------------------------------- entities

FOUND = (
    ("url", re.compile(r"https?://[^\s<>\"]+")),
    ("bot_command", re.compile(r"(?<![\w/<>])/[A-Za-z0-9_]{1,64}(?:@[A-Za-z0-9_]{3,32})?(?!\w)")),
    ("mention", re.compile(r"(?<![\w@])@[A-Za-z0-9_]{3,32}(?!\w)")),
    ("hashtag", re.compile(r"(?<!\w)#\w*[^\W\d]\w*")),
)


def units(text: str) -> int:
    """How long Telegram takes a text to be: in UTF-16 code units."""
    return len(text.encode("utf-16-le")) // 2


def entity(kind: str, text: str, start: int, end: int, **more: Any) -> Json:
    """A MessageEntity over `text[start:end]`."""
    return {"type": kind, "offset": units(text[:start]), "length": units(text[start:end]), **more}


def entities(text: str, given: Iterable[Json] = ()) -> list[Json]:
    """The given entities, and those Telegram finds by itself where none is given, in order."""
    all_of_them = [*given]
    for kind, pattern in FOUND:
        for match in pattern.finditer(text):
            one = entity(kind, text, *match.span())
            if not any(_overlap(one, other) for other in all_of_them):
                all_of_them.append(one)
    return sorted(all_of_them, key=lambda one: (one["offset"], -one["length"]))


def checked(text: str, given: Iterable[Json]) -> list[Json]:
    """The entities a bot gave, refused where they begin or end outside of the characters."""
    edges = {0, *accumulate(map(units, text))}
    for one in given:
        if not {one["offset"], one["offset"] + one["length"]} <= edges or one["length"] < 1:
            raise ApiRefusal("Bad Request: ENTITY_BOUNDS_INVALID")
    return [*given]


def _overlap(one: Json, other: Json) -> bool:
    return bool(
        one["offset"] < other["offset"] + other["length"]
        and other["offset"] < one["offset"] + one["length"]
    )


# ---------------------------------------------------------------- markup

STYLES = {
    "b": "bold",
    "strong": "bold",
    "i": "italic",
    "em": "italic",
    "u": "underline",
    "ins": "underline",
    "s": "strikethrough",
    "del": "strikethrough",
    "code": "code",
    "pre": "pre",
    "blockquote": "blockquote",
    "tg-spoiler": "spoiler",
    "a": "text_link",
}


def unmarked(text: str, parse_mode: str | None) -> tuple[str, list[Json]]:
    """A text without its markup, and the entities that the markup meant."""
    if not parse_mode:
        return text, []
    if parse_mode.lower() != "html":
        raise ApiRefusal(f"Bad Request: parse_mode {parse_mode} is not modelled here")
    markup = _Markup()
    markup.feed(text)
    markup.close()
    if markup.open:
        _cannot_parse(f"Can't find end tag corresponding to start tag {markup.open[-1][0]}")
    return markup.text, [one for one in markup.entities if one["length"]]


class _Markup(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.text = ""
        self.entities: list[Json] = []
        self.open: list[tuple[str, int, Json]] = []

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in STYLES:
            _cannot_parse(f'Unsupported start tag "{tag}"')
        link = {"url": dict(attrs).get("href")} if tag == "a" else {}
        self.open.append((tag, len(self.text), link))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open[-1][0] != tag:
            _cannot_parse(f'Unmatched end tag "{tag}"')
        _, start, link = self.open.pop()
        end = len(self.text)
        self.entities.append(entity(STYLES[tag], self.text, start, end, **link))


def _cannot_parse(why: str) -> NoReturn:
    raise ApiRefusal(f"Bad Request: can't parse entities: {why}")


# ---------------------------------------------------------------- buttons


def buttons(payload: Json) -> Iterator[Json]:
    """The inline buttons under a message, row by row."""
    for row in payload.get("reply_markup", {}).get("inline_keyboard", ()):
        yield from row
