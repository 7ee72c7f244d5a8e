"""The doctor: what was found, whether it is well, and how to mend what is not."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from bot import config
from bot.config import Config, Misconfigured
from handlers import discovered
from handlers.router import Conflict, Router, Switchboard

ENOUGH_DISK = 500 * 2**20  # bytes


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's report; `mend` says what to do when it is not well."""

    what: str
    found: str
    well: bool = True
    mend: str = ""


def check(file: Path, *, as_json: bool, online: bool) -> int:
    """Print every finding; 0 if all is well, 1 otherwise.  Sends nothing."""
    findings = list(examined(file, online=online))
    if as_json:
        print(json.dumps([asdict(one) for one in findings], ensure_ascii=False))  # noqa: T201
    else:
        for one in findings:
            print(f"{'ok  ' if one.well else 'MEND'} {one.what}: {one.found}")  # noqa: T201
            if not one.well:
                print(f"     → {one.mend}")  # noqa: T201
    return 0 if all(one.well for one in findings) else 1


def examined(file: Path, *, online: bool = False) -> Iterator[Finding]:
    """Every finding, in the order in which things are needed."""
    yield Finding("python", ".".join(map(str, sys.version_info[:3])))
    routers = discovered()
    yield triggers(routers)
    yield texts(routers)
    try:
        found = config.read(file, routers)
    except Misconfigured as wrong:
        for fault in wrong.faults:
            yield Finding("configuration", fault, False, "correct this line, or take it out")
        return
    here = "" if file.exists() else " (no such file: everything is as by default)"
    count = len(found.communities)
    yield Finding("configuration", f"{file.name}{here}; communities: {count}")
    for look in (key, storage, disk, knowledge, model, telegram):
        yield look(found)
    if online and found.telegram.token:
        yield asyncio.run(_greeted(found))


def triggers(routers: list[Router]) -> Finding:
    """Whether every trigger has one owner."""
    try:
        board = Switchboard.of(routers)
    except Conflict as conflict:
        return Finding("capabilities", str(conflict), False, "let one of them give it up")
    names = ", ".join(router.name for router in board.routers)
    return Finding("capabilities", f"{len(routers)} ({names}), {board.triggers} triggers")


def texts(routers: list[Router]) -> Finding:
    """Whether every language says the same things with the same blanks."""
    from knowledge.texts import BadText, Texts, blanks

    try:
        found = Texts.load()
    except BadText as error:
        return Finding("texts", str(error), False, "correct the file; quotes must be straight")
    first, *others = found.languages
    for language in others:
        for key in {*found.languages[first], *found.languages[language]}:
            one, other = found.languages[first].get(key), found.languages[language].get(key)
            if one is None or other is None:
                lacking = first if one is None else language
                return Finding("texts", f"{key} is missing in {lacking}", False, "write it")
            if blanks(one) != blanks(other):
                told = f"{key} has other blanks in {language} than in {first}"
                return Finding("texts", told, False, "use the same {blanks} in both")
    return Finding("texts", f"{len(found.languages[first])} in {', '.join(found.languages)}")


def key(found: Config) -> Finding:
    """Whether there is a key to seal with."""
    if not found.storage.seal_key:
        mend = "set BOT_STORAGE__SEAL_KEY to what `python -m bot key` prints, and keep a copy of it"
        return Finding("sealing key", "none", False, mend)
    return Finding("sealing key", f"fingerprint {found.seal.fingerprint}")


def storage(found: Config) -> Finding:
    """Whether the database answers, with our schema."""
    from storage import database, schema

    url = found.storage.url
    try:
        kind = "SQLite" if database.is_sqlite(url) else "PostgreSQL"
        version = asyncio.run(asyncio.wait_for(schema.found(url), 5))
    except database.BadURL as error:
        return Finding("storage", str(error), False, "correct BOT_STORAGE__URL")
    except Exception as error:  # any driver's own, all meaning the same
        mend = "see that the server is up, and that BOT_STORAGE__URL is right"
        return Finding("storage", f"not to be reached ({type(error).__name__})", False, mend)
    if version is None:
        return Finding("storage", f"{kind}, empty: the first run makes the tables")
    if version < schema.head():
        mend = "make a backup, then run: python -m bot migrate"
        return Finding("storage", f"{kind}, schema {version} of {schema.head()}", False, mend)
    if version > schema.head():
        told = f"{kind}, schema {version}, newer than this program's {schema.head()}"
        return Finding("storage", told, False, "run the newer program")
    if found.storage.seal_key and (wrong := asyncio.run(_sealed_otherwise(found))):
        return Finding("storage", wrong, False, "use the key this database was begun with")
    return Finding("storage", f"{kind}, schema {version}")


async def _sealed_otherwise(found: Config) -> str:
    """Why our key does not open what the database holds; empty if it does."""
    from storage import database
    from storage.sealing import Unsealable

    opened = await database.opened(found.storage.url, found.seal)
    try:
        await database.opens(opened)
    except Unsealable as wrong:
        return str(wrong)
    finally:
        await opened.close()
    return ""


def disk(found: Config) -> Finding:
    """Whether there is room left where an SQLite database grows."""
    from storage import database

    try:
        if not database.is_sqlite(found.storage.url):
            return Finding("disk", "the server's own")
        path = database.sqlite_path(found.storage.url)
    except database.BadURL:
        return Finding("disk", "unknown, for want of a database")
    folder = path.absolute().parent
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    told = f"{free // 2**20:,} MB free"
    return Finding("disk", told, free > ENOUGH_DISK, "make room: a full disk stops the intake")


def knowledge(found: Config) -> Finding:
    """Whether every community's articles can be read."""
    from knowledge.library import Unreadable
    from knowledge.shelf import Shelf

    shelf = Shelf(found.folders)
    try:
        counts = {name: len(shelf.library(name).entries) for name in found.folders}
    except Unreadable as error:
        return Finding("knowledge", str(error), False, "correct the file")
    told = ", ".join(f"{name}: {count} entries" for name, count in counts.items())
    return Finding("knowledge", told or "none: questions go to people")


def model(found: Config) -> Finding:
    """Whether a language model is to be asked, and which; asks nobody."""
    section = found.model
    if section.key and not section.name:
        mend = "set [model] name to one that the endpoint has, or take BOT_MODEL__KEY away"
        return Finding("model", f"off: a key for {section.url}, but no name", False, mend)
    if section.name and not section.key:
        mend = "set BOT_MODEL__KEY (to any word, if the endpoint asks for none), or clear the name"
        return Finding("model", f"off: {section.name} at {section.url}, but no key", False, mend)
    if not section.key:
        return Finding("model", "off: where search is unsure, the member is asked")
    return Finding("model", f"on: {section.name} at {section.url}")


def telegram(found: Config) -> Finding:
    """Whether there is a token, and of the right form; asks nobody."""
    token, section = found.telegram.token, found.telegram
    if not token:
        return Finding("telegram", "off; set BOT_TELEGRAM__TOKEN to the token of @BotFather")
    number, colon, secret = token.partition(":")
    if not (number.isdigit() and colon and len(secret) >= 30):
        mend = "copy the whole token from @BotFather: digits, a colon, 35 letters"
        return Finding("telegram", "the token has not the form of one", False, mend)
    return Finding("telegram", f"{section.mode}, bot number {number}")


async def _greeted(found: Config) -> Finding:
    """Whether the platform knows us."""
    import aiohttp

    url = f"{found.telegram.api}/bot{found.telegram.token}/getMe"
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(10)) as session,
            session.get(url) as response,
        ):
            answer = await response.json(content_type=None)
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        mend = "see that this machine reaches the Bot API, and that [telegram] api is right"
        return Finding("telegram online", type(error).__name__, False, mend)
    if not answer.get("ok"):
        return Finding(
            "telegram online", "the token is refused", False, "get a new one from @BotFather"
        )
    return Finding("telegram online", f"@{answer['result'].get('username', '?')}")
