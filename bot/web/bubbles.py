"""Messages as one person sees them: on which side, who speaks, what can be pressed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

from bot.web.words import Bit, bits, followed
from storage import web
from storage.moments import to_micros
from storage.web import Chat, Message
from storage.writer import Reader

HUES = 5
PREVIEW = 80  # characters
PERSON = "👤"  # what a person's words are carried with; here the bubble says it already


@dataclass(frozen=True, slots=True)
class Press:
    """A button under a message: with `data` for the bot, or a `follow` that leads somewhere."""

    label: str
    data: str = ""
    follow: Bit | None = None


@dataclass(frozen=True, slots=True)
class Bubble:
    """A message as this person sees it.

    side: "left" for members, "right" for the house
    mark: who speaks: "bot", "human" (of the house, or brought by the bot), or "" for a member
    """

    id: int
    side: str
    mine: bool
    who: str  # empty: the bot, or whoever's words it brought
    mark: str
    hue: int
    first: bool  # of several by the same person
    at: datetime  # local
    words: Sequence[Bit] = ()
    text: str = ""
    rows: Sequence[Sequence[Press]] = ()
    kind: str = ""  # of the file: "photo", "file" or ""
    file: str = ""
    version: int = 0  # another with every edit, so that a picture is fetched anew
    quote: str = ""
    quoted: str = ""  # who said that, as in `who`
    quoted_mark: str = ""
    sign: str = ""
    gone: bool = False
    notice: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a conversation: "day", "new" (from here on), "notice" or "bubble"."""

    kind: str
    day: date | None = None
    bubble: Bubble | None = None


@dataclass(frozen=True, slots=True)
class View:
    """With whose eyes, and where."""

    db: Reader
    chat: Chat
    person: int
    zone: ZoneInfo
    base: str  # where our own pages are


@dataclass(frozen=True, slots=True)
class Company:
    """Whom and what the messages speak of."""

    at_work: Mapping[int, str]  # who belongs to the house
    names: Mapping[int, str]
    answered: Mapping[int, Message]


async def bubbles(messages: Sequence[Message], view: View) -> list[Bubble]:
    """These messages of one chat, oldest first, as somebody sees them."""
    answered = await _answered(messages, view)
    speakers = [one.person for one in (*messages, *answered.values()) if one.person is not None]
    company = Company(await web.at_work(view.db), await web.named(view.db, speakers), answered)
    befores: list[Message | None] = [None, *messages]
    return [
        _bubble(one, before, view, company) for before, one in zip(befores, messages, strict=False)
    ]


def lines(bubbles: Sequence[Bubble], new_from: int) -> list[Line]:
    """The messages, with a line for each day and one where the new ones begin."""
    found: list[Line] = []
    day: date | None = None
    for one in bubbles:
        if one.at.date() != day:
            day = one.at.date()
            found.append(Line("day", day=day))
        if one.id == new_from:
            found.append(Line("new"))
        found.append(Line("notice" if one.notice else "bubble", bubble=one))
    return found


async def _answered(messages: Sequence[Message], view: View) -> dict[int, Message]:
    """The messages that these answer, as far as they were said in the same chat."""
    found = [
        await web.message(view.db, id)
        for id in {one.body.reply_to for one in messages if one.body.reply_to}
    ]
    return {one.id: one for one in found if one is not None and one.chat == view.chat.id}


def _bubble(one: Message, before: Message | None, view: View, company: Company) -> Bubble:
    body = one.body
    side, mark = _sided(one, view.chat, company)
    answered = company.answered.get(body.reply_to)
    text = _text(one, view.chat)
    return Bubble(
        id=one.id,
        side=side,
        mine=one.person == view.person,
        who=_name(one, company),
        mark=mark,
        hue=(one.person or 0) % HUES,
        first=before is None or _speaker(before) != _speaker(one),
        at=one.at.astimezone(view.zone),
        words=bits(text, view.base, commands=one.person is None),
        text=text,
        rows=[[_press(view, *button) for button in row] for row in body.buttons],
        kind=body.kind,
        file=body.name,
        version=0 if one.edited_at is None else to_micros(one.edited_at),
        quote="" if answered is None else _shortened(answered, _text(answered, view.chat)),
        quoted="" if answered is None else _name(answered, company),
        quoted_mark="" if answered is None else _sided(answered, view.chat, company)[1],
        sign=one.sign,
        gone=one.gone,
        notice=one.notice,
    )


def _sided(one: Message, chat: Chat, company: Company) -> tuple[str, str]:
    """On which side it stands, and the mark of who speaks."""
    if one.person is None:
        if not one.body.carried:
            return "right", "bot"
        return ("left", "human") if chat.kind == "staff" else ("right", "human")
    if chat.kind == "private" or one.person not in company.at_work:
        return "left", ""
    return "right", "human"


def _text(one: Message, chat: Chat) -> str:
    """What is to be read of it: a link's payload behind /start is for the bot alone."""
    text = one.body.text
    if chat.kind != "private":
        return text
    if one.body.carried:
        return text.removeprefix(PERSON).lstrip()
    return "/start" if one.person is not None and text.startswith("/start ") else text


def _speaker(one: Message) -> tuple[object, ...]:
    return one.person, one.body.carried, one.notice


def _press(view: View, label: str, data: str, url: str) -> Press:
    return Press(label, data, followed(url, view.base) if url else None)


def _name(one: Message, company: Company) -> str:
    return "" if one.person is None else company.names.get(one.person, "")


def _shortened(one: Message, text: str) -> str:
    """What a quotation or a list shows of it."""
    if one.gone:
        return ""
    return " ".join(text.split())[:PREVIEW] or one.body.name or "…"


def preview(one: Message | None) -> str:
    """One line of it, for a list."""
    return "" if one is None else _shortened(one, one.body.text)
