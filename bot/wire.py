"""How events and letters are written into pending rows, and read back exactly as they were."""

from __future__ import annotations

from datetime import date, datetime, time
from typing import Any

import msgspec

from handlers.turn import Act, Button, Event, Letter, Reply
from storage.pending import Waiting
from storage.quarantine import Quarantined

TYPES: dict[str, Any] = {"datetime": datetime, "date": date, "time": time}
MARK = "$"
PLAIN = frozenset({str, int, float, bool, type(None)})
NUL = "\\u0000"  # as JSON writes it

_event = msgspec.json.Decoder(Event)
_letter = msgspec.json.Decoder(Letter)


def packed_event(event: Event) -> str:
    """The event as JSON, without what no database keeps: NUL, and halves of characters."""
    words = event.words
    tagged = msgspec.structs.replace(event, words=_tagged(words)) if words else event
    try:
        packed = msgspec.json.encode(tagged).decode()
    except UnicodeEncodeError:
        packed = msgspec.json.encode(_whole(msgspec.to_builtins(tagged))).decode()
    return packed.replace(NUL, "") if NUL in packed else packed


def sound(event: Event) -> Event:
    """The same with "?" for every half of a character, which some platforms let through."""
    person = event.person
    plain = event.text.isascii() and (person is None or person.name.isascii())
    if plain and not event.media and not event.data:
        return event
    try:
        msgspec.json.encode(event)
    except UnicodeEncodeError:
        return msgspec.convert(_whole(msgspec.to_builtins(event)), Event)
    return event


def event(payload: str) -> Event:
    """The event from its JSON.  Raises `msgspec.MsgspecError` for anything else."""
    found = _event.decode(payload)
    return msgspec.structs.replace(found, words=_untagged(found.words))


def packed_letter(letter: Letter) -> str:
    """The letter as JSON."""
    tagged = letter if _is_json(letter) else _mapped(letter, _tagged)
    return msgspec.json.encode(tagged).decode()


def letter(payload: str) -> Letter:
    """The letter from its JSON.  Raises `msgspec.MsgspecError` for anything else."""
    return _mapped(_letter.decode(payload), _untagged)


def waking(event: Event, *, id: int, lane: str, due: datetime) -> Waiting:
    """What the clock is to tell of, as it waits for its time (aware)."""
    return Waiting(
        id=id,
        kind="woke",
        channel=event.channel,
        key=event.id,
        lane=lane,
        payload=packed_event(event),
        due=due,
        community=event.community or None,
        member=event.member or None,
    )


def waiting_again(one: Quarantined) -> Waiting | None:
    """What was set aside, as it waited before; None for what never could be read.

    An event waits as a waking, which is found by whoever looks at the clock.
    """
    for kind, read in (("woke", event), ("out", letter)):
        try:
            found = read(one.payload)
        except msgspec.MsgspecError:
            continue
        place = found.to.place if isinstance(found, Letter) else str(one.member or one.id)
        return Waiting(
            id=one.id,
            kind=kind,
            channel=one.channel,
            key=one.key,
            lane=f"{one.channel}:{place}",
            payload=one.payload,
            due=one.at,
            member=one.member,
        )
    return None


def _whole(value: Any) -> Any:
    """The same with "?" for every half of a surrogate pair."""
    match value:
        case str():
            return value.encode("utf-8", "replace").decode()
        case dict():
            return {_whole(key): _whole(item) for key, item in value.items()}
        case list() | tuple():
            return [_whole(item) for item in value]
    return value


def _is_json(letter: Letter) -> bool:
    """Whether its words are such as JSON has: most are, and need no second look."""
    reply = letter.reply
    return (
        reply is not None
        and letter.act is None
        and reply.picture is None
        and _plain(reply.words)
        and all(_plain(button.words) for row in reply.buttons for button in row)
    )


def _plain(words: dict[str, Any]) -> bool:
    return all(type(value) in PLAIN for value in words.values())


def _mapped(one: Letter, change: Any) -> Letter:
    if one.act is not None:
        return msgspec.structs.replace(one, act=Act(one.act.name, change(one.act.words)))
    if one.reply is None:
        return one
    reply = one.reply
    rows = tuple(tuple(_button(button, change) for button in row) for row in reply.buttons)
    picture = reply.picture
    if picture is not None:
        picture = msgspec.structs.replace(picture, words=change(picture.words))
    return msgspec.structs.replace(
        one,
        reply=_reply(reply, words=change(reply.words), buttons=rows, picture=picture),
    )


def _reply(reply: Reply, **changes: Any) -> Reply:
    return msgspec.structs.replace(reply, **changes)


def _button(button: Button, change: Any) -> Button:
    return msgspec.structs.replace(button, words=change(button.words)) if button.words else button


def _tagged(value: Any) -> Any:
    """JSON has no dates: each becomes {"$": type, "v": text}."""
    match value:
        case dict():
            return {key: _tagged(item) for key, item in value.items()}
        case list() | tuple():
            return [_tagged(item) for item in value]
        case datetime() | date() | time():
            return {MARK: type(value).__name__, "v": value.isoformat()}
    return value


def _untagged(value: Any) -> Any:
    match value:
        case {"$": str(kind), "v": str(text)}:
            return TYPES[kind].fromisoformat(text)
        case dict():
            return {key: _untagged(item) for key, item in value.items()}
        case list():
            return [_untagged(item) for item in value]
    return value
