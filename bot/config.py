"""Configuration: config.toml, changed by the environment, checked whole before anything starts."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from handlers.router import Router
from knowledge.texts import FOLDER
from storage.sealing import BadKey, Seal

S = TypeVar("S")

PREFIX = "BOT_"
SECRETS = {
    "telegram": ("token", "webhook_secret"),
    "storage": ("url", "seal_key"),
    "model": ("key",),
}
PASSWORDS = ("token", "webhook_secret", "seal_key", "key")  # never in the file


class Misconfigured(Exception):
    """Configuration that cannot be used: one line each, with the section and the fix."""

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults = list(faults)
        super().__init__("\n".join(self.faults))


class Section(BaseModel):
    """A section in which a name that does not exist is a fault."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TelegramPlaces(Section):
    """A community's places on Telegram."""

    chats: tuple[int, ...] = ()
    staff: int | None = None


class CommunitySection(BaseModel):
    """One [[community]]; sections of capabilities inside it override the general ones."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str = Field(min_length=1, max_length=80)
    zone: str = "UTC"
    language: str = "en"
    knowledge: str = ""  # a folder of articles, relative to the file
    telegram: TelegramPlaces = TelegramPlaces()

    @field_validator("zone")
    @classmethod
    def known_zone(cls, zone: str) -> str:
        """A zone of the IANA database."""
        try:
            ZoneInfo(zone)
        except (KeyError, ValueError, OSError) as error:
            raise ValueError('is no time zone; write one such as "Asia/Shanghai"') from error
        return zone


class TelegramSection(Section):
    """How to reach Telegram; without a token the channel is off."""

    token: str = ""
    api: str = "https://api.telegram.org"
    mode: Literal["polling", "webhook"] = "polling"
    webhook_url: str = ""
    webhook_secret: str = ""
    per_second: float = 30.0  # messages in all; more only with paid broadcasts


class StorageSection(Section):
    """Where the bot remembers."""

    url: str = "sqlite:///var/innkeeper.sqlite"
    seal_key: str = ""
    keep_days: int = Field(default=365, ge=1)  # what was said and heard


class WebSection(Section):
    """The web server: health, metrics, webhooks, the dashboard."""

    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)
    url: str = Field(default="", pattern=r"^(https?://[^/\s?#]+/?)?$")  # where people reach it

    @property
    def address(self) -> str:
        """Where its pages are found, without a slash at the end."""
        return self.url.rstrip("/") or f"http://127.0.0.1:{self.port}"

    @property
    def here(self) -> bool:
        """Whether only this machine can open that."""
        return _loopback(self.address)


class ModelSection(Section):
    """A language model that helps to find the right answer; off without a key and a name."""

    url: str = Field(default="https://api.openai.com/v1", pattern=r"^https?://")
    name: str = ""
    key: str = ""
    timeout: float = Field(default=4.0, gt=0, le=30)  # seconds a question may take in all
    daily_budget: int = Field(default=1_000, ge=1)  # questions a UTC day


class BotSection(Section):
    """The bot itself."""

    privacy_url: str = ""  # your own privacy policy, shown by /privacy
    drain_seconds: float = 10.0  # how long to finish work when told to stop


OWN: dict[str, type[Section]] = {
    "bot": BotSection,
    "telegram": TelegramSection,
    "storage": StorageSection,
    "web": WebSection,
    "model": ModelSection,
}


@dataclass(frozen=True, slots=True)
class Book:
    """Every capability's settings, with what a community changed of them."""

    shapes: Mapping[type[Any], Any]
    changed: Mapping[tuple[str, type[Any]], Any]

    def of(self, shape: type[S], community: str) -> S:
        """The settings of this shape, as they hold in the community of this name."""
        found: S = self.changed.get((community, shape)) or self.shapes[shape]
        return found


@dataclass(frozen=True, slots=True)
class Config:
    """Everything an operator may set, checked."""

    file: Path
    bot: BotSection
    telegram: TelegramSection
    storage: StorageSection
    web: WebSection
    model: ModelSection
    communities: tuple[CommunitySection, ...]
    book: Book

    def require_key(self) -> None:
        """Raise `Misconfigured`, saying how to make one, if there is no key."""
        if not self.storage.seal_key:
            raise Misconfigured(
                [
                    "BOT_STORAGE__SEAL_KEY is not set: names and messages are kept encrypted, so a"
                    " key is needed.\n  export BOT_STORAGE__SEAL_KEY=$(python -m bot key)   and"
                    " keep a copy of it"
                ]
            )

    @property
    def seal(self) -> Seal:
        """The key that names and messages are sealed under."""
        return Seal.of(self.storage.seal_key)

    @property
    def folders(self) -> dict[str, Path]:
        """Each community's folder of articles."""
        return {
            one.name: self.file.parent / one.knowledge for one in self.communities if one.knowledge
        }


def read(
    file: Path, routers: Iterable[Router], environment: Mapping[str, str] = os.environ
) -> Config:
    """The configuration in `file`, overridden by BOT_<SECTION>__<KEY>.

    A file that does not exist is an empty one.  Raises `Misconfigured` with
    every fault found, not just the first.
    """
    return checked(file, overridden(_contents(file), environment), routers)


def checked(file: Path, contents: Mapping[str, Any], routers: Iterable[Router]) -> Config:
    """The configuration, from what stands in the file and the environment together."""
    routers = list(routers)
    shapes = {router.name: router.shape for router in routers}
    faults: list[str] = []
    name = file.name
    known = {*OWN, *shapes, "community"}
    faults += [
        f"{name}: [{section}] is no section; there are {', '.join(sorted(known))}"
        for section in contents
        if section not in known
    ]
    own = {
        section: _section(shape, contents.get(section, {}), f"{name}: [{section}]", faults)
        for section, shape in OWN.items()
    }
    general = {
        shape: _section(shape, contents.get(section, {}), f"{name}: [{section}]", faults)
        for section, shape in shapes.items()
    }
    communities = [
        _section(CommunitySection, one, f"{name}: [[community]] number {n}", faults)
        for n, one in enumerate(_list(contents.get("community", []), name, faults), start=1)
    ]
    changed = _changed(contents, [c for c in communities if c], shapes, name, faults)
    faults += _together(name, own, [c for c in communities if c])
    if faults:
        raise Misconfigured(faults)
    return Config(file=file, communities=tuple(communities), book=Book(general, changed), **own)


def overridden(contents: Mapping[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
    """The file's contents with every BOT_<SECTION>__<KEY> put in its place."""
    merged = dict(contents)
    for variable, text in environment.items():
        section, _, key = variable.removeprefix(PREFIX).lower().partition("__")
        if not variable.startswith(PREFIX) or not key:
            continue
        inner = dict(merged.get(section) or {})
        inner[key] = text if key in PASSWORDS or key == "url" else _value(text)
        merged[section] = inner
    return merged


def _contents(file: Path) -> dict[str, Any]:
    if not file.exists():
        return {}
    try:
        contents = tomllib.loads(file.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Misconfigured([f"{file.name}: {error}"]) from error
    found = [
        f"{file.name}: [{section}] {key} is a secret; set {PREFIX}{section.upper()}__"
        f"{key.upper()} in the environment instead"
        for section, keys in SECRETS.items()
        for key in keys
        if key in PASSWORDS and key in (contents.get(section) or {})
    ]
    if found:
        raise Misconfigured(found)
    return contents


def _section(shape: type[BaseModel], values: Any, where: str, faults: list[str]) -> Any:
    try:
        return shape.model_validate(values)
    except ValidationError as error:
        for one in error.errors():
            key = ".".join(map(str, one["loc"]))
            faults.append(f"{where} {key}: {one['msg']}" if key else f"{where}: {one['msg']}")
        return None


def _list(value: Any, name: str, faults: list[str]) -> list[Any]:
    if isinstance(value, list):
        return value
    faults.append(f"{name}: [community] is written with two brackets: [[community]]")
    return []


def _changed(
    contents: Mapping[str, Any],
    communities: Iterable[CommunitySection],
    shapes: Mapping[str, type[BaseModel]],
    name: str,
    faults: list[str],
) -> dict[tuple[str, type[Any]], Any]:
    changed: dict[tuple[str, type[Any]], Any] = {}
    for community in communities:
        for section, values in (community.model_extra or {}).items():
            where = f"{name}: [community.{section}] of {community.name}"
            if section not in shapes:
                faults.append(f"{where}: there is no capability {section}")
            elif not isinstance(values, dict):
                faults.append(f"{where}: must be a section")
            else:
                both = {**contents.get(section, {}), **values}
                shape = shapes[section]
                changed[community.name, shape] = _section(shape, both, where, faults)
    return changed


def _together(name: str, own: Mapping[str, Any], communities: list[CommunitySection]) -> list[str]:
    """What is wrong only when seen together."""
    faults = []
    telegram, storage = own["telegram"], own["storage"]
    if telegram and telegram.mode == "webhook" and telegram.token:
        if not telegram.webhook_secret:
            faults.append(
                f"{name}: [telegram] mode is webhook, which needs a secret so that nobody else can"
                " speak for Telegram; set BOT_TELEGRAM__WEBHOOK_SECRET (letters, digits, _ and -)"
            )
        if not telegram.webhook_url.startswith("https://") and not _loopback(telegram.webhook_url):
            faults.append(f"{name}: [telegram] webhook_url must begin with https://")
    if storage and storage.seal_key:
        try:
            Seal.of(storage.seal_key)
        except BadKey as error:
            faults.append(
                f"{name}: [storage] BOT_STORAGE__SEAL_KEY is {error}; python -m bot key makes one"
            )
    faults += _strangers(name, communities)
    names = [community.name for community in communities]
    faults += [
        f"{name}: [[community]] two are called {twice}"
        for twice in {one for one in names if names.count(one) > 1}
    ]
    return faults


def _strangers(name: str, communities: list[CommunitySection]) -> list[str]:
    """Languages we do not speak, and chats that cannot be told apart."""
    spoken = sorted(one.name for one in FOLDER.iterdir() if one.is_dir())
    faults = [
        f"{name}: [[community]] {one.name}: language {one.language} is not spoken;"
        f" there are {', '.join(spoken)}"
        for one in communities
        if one.language not in spoken
    ]
    chats = [
        chat
        for one in communities
        for chat in (*one.telegram.chats, one.telegram.staff)
        if chat is not None
    ]
    return faults + [
        f"{name}: [[community]] telegram chat {chat} is named twice; a chat is one place"
        for chat in sorted({chat for chat in chats if chats.count(chat) > 1})
    ]


def _loopback(url: str) -> bool:
    return url.startswith(("http://127.0.0.1", "http://localhost", "http://[::1]"))


def _value(text: str) -> Any:
    """A number, a truth, a time or a list as TOML writes it; anything else is text."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
