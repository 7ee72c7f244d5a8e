"""Texts: every sentence the bot can say, in every language it speaks."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time
from functools import cache, lru_cache
from pathlib import Path
from string import Formatter
from typing import Any

FOLDER = Path(__file__).parent / "texts"
DEFAULT = "en"
NAME_LENGTH = 64
SPOKEN_LENGTH = 4000

# What makes a platform see a mention, a command, a tag or an address in somebody's name.
UNLINKED = str.maketrans("", "", "@/#\\")

HAN = re.compile("[\u3400-\u9fff]")

Text = str | dict[str, str]


class Own(str):
    """Somebody's own words, never taken for the name of one of our texts."""

    __slots__ = ()


class BadText(Exception):
    """A text that is missing, or a file of texts that cannot be read."""


@dataclass(frozen=True, slots=True)
class Texts:
    """Texts by language and key; a key is "capability.moment"."""

    languages: Mapping[str, Mapping[str, Text]]
    _wordless: dict[tuple[str, str], str] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def load(cls, folder: Path = FOLDER) -> Texts:
        """Read `folder`/<language>/<capability>.toml.  Raises `BadText` naming the file."""
        return cls({one.name: _language(one) for one in sorted(folder.iterdir()) if one.is_dir()})

    def say(self, language: str, key: str, /, **words: Any) -> str:
        """The text in this language, its blanks filled.

        Numbers, dates, times and lists are written as the language writes them; a word
        that is itself a text key is given as "@capability.moment".  A text with
        plural forms chooses by the word it names in `by`, with CLDR's rules.
        Raises `BadText` if there is no such text, or a blank is not filled.
        """
        if words:
            return self._filled(language, key, words)
        known = self._wordless.get((language, key))
        if known is None:
            known = self._wordless[language, key] = self._filled(language, key, words)
        return known

    def _filled(self, language: str, key: str, words: Mapping[str, Any]) -> str:
        spoken = self.languages.get(language) or self.languages[DEFAULT]
        text = spoken.get(key)
        if text is None:
            raise BadText(f"no text {key} in {language}")
        if isinstance(text, dict):
            text = _plural(language, key, text, words)
        written = {k: self._written(language, v) for k, v in words.items()}
        if language == "zh" and written:
            text = _closed_up(text, written)
        try:
            return text.format_map(written)
        except (KeyError, IndexError, ValueError) as error:
            raise BadText(f"{key} in {language}: {error!r} is not filled") from error

    def has(self, key: str) -> bool:
        """Whether there is such a text."""
        return key in self.languages[DEFAULT]

    def chosen(self, code: str, otherwise: str = DEFAULT) -> str:
        """The language of ours for a platform's code such as "zh-hans"; else `otherwise`."""
        base = code.lower().replace("_", "-").partition("-")[0]
        return base if base in self.languages else otherwise

    def _written(self, language: str, value: Any) -> str:
        if type(value) is int:  # the most frequent, and asked for most often
            return _number(language, value)
        match value:
            case Own():
                return clean(value)
            case str() if value.startswith("@") and value[1:] in self.languages[DEFAULT]:
                return self.say(language, value[1:])
            case bool() | None:
                return str(value)
            case str():
                return clean(value)
            case int() | float():
                return _number(language, value)
            case datetime() | date() | time():
                return _when(language, value)
            case list() | tuple():
                return _listed(language, [self._written(language, one) for one in value])
        return str(value)


def clean(text: str, length: int = SPOKEN_LENGTH) -> str:
    """Somebody's words, without what could hide or disturb others: controls, bidi overrides.

    Line breaks and tabs stay; what is too long ends in "…".
    """
    if len(text) <= length and text.isprintable() and text.isascii():
        return text
    kept = "".join(
        one
        for one in text
        if one in "\n\t\u200d" or unicodedata.category(one) not in ("Cc", "Cf", "Cs", "Co", "Cn")
    )
    return kept if len(kept) <= length else kept[: length - 1] + "…"


def name(text: str) -> str:
    """A display name fit to stand in a sentence: one line, at most 64 characters, never a link.

    >>> name("  evil.example/x @all  ")
    'evil·examplex all'
    """
    plain = " ".join(clean(text).split()).translate(UNLINKED)
    return clean(re.sub(r"(?<=\w)\.(?=\w)", "·", plain), NAME_LENGTH) or "—"


def blanks(text: Text) -> set[str]:
    """The blanks in a text, in any of its plural forms.

    >>> sorted(blanks({"by": "n", "one": "{name}: a day", "other": "{name}: {n} days"}))
    ['n', 'name']
    """
    if isinstance(text, dict):
        forms = [form for case, form in text.items() if case != "by"]
        return set().union(*(blanks(form) for form in forms)) | {text["by"]}
    return {found for _, found, _, _ in Formatter().parse(text) if found}


def _language(folder: Path) -> dict[str, Text]:
    texts: dict[str, Text] = {}
    for file in sorted(folder.glob("*.toml")):
        try:
            section = tomllib.loads(file.read_text("utf-8"))
        except tomllib.TOMLDecodeError as error:
            raise BadText(f"{file.parent.name}/{file.name}: {error}") from error
        texts |= {f"{file.stem}.{key}": text for key, text in _flat(section)}
    return texts


def _flat(section: dict[str, Any], before: str = "") -> list[tuple[str, Text]]:
    flat: list[tuple[str, Text]] = []
    for key, value in section.items():
        if isinstance(value, dict) and "by" not in value:
            flat += _flat(value, f"{before}{key}.")
        else:
            flat.append((before + key, value.strip() if isinstance(value, str) else value))
    return flat


def _plural(language: str, key: str, forms: Mapping[str, str], words: Mapping[str, Any]) -> str:
    amount = words.get(forms["by"])
    if not isinstance(amount, int | float):
        raise BadText(f"{key} in {language}: {forms['by']} is not a number")
    exact = forms.get(f"={amount}")
    return exact or forms.get(_case(language, amount)) or forms["other"]


@lru_cache(maxsize=4096)
def _case(language: str, amount: float) -> str:
    """CLDR's name for how the language counts so many."""
    return str(_locale(language).plural_form(amount))


@cache
def _locale(language: str) -> Any:
    from babel import Locale  # read when first needed: its data is large

    return Locale.parse(language)


def _closed_up(text: str, written: Mapping[str, str]) -> str:
    """The text without the space around a blank where Chinese would meet Chinese.

    >>> [_closed_up("由 {name} 接待", {"name": name}) for name in ("小禾", "Lin", "Lin 林")]
    ['由{name}接待', '由 {name} 接待', '由 {name}接待']
    """
    for name, word in written.items():
        if HAN.match(word[:1]):
            text = re.sub(rf"(?<={HAN.pattern}) {{{name}}}", f"{{{name}}}", text)
        if HAN.match(word[-1:]):
            text = re.sub(rf"{{{name}}} (?={HAN.pattern})", f"{{{name}}}", text)
    return text


def _number(language: str, value: float) -> str:
    if isinstance(value, int) and abs(value) < 10_000:
        return str(value)
    from babel.numbers import format_decimal

    return format_decimal(value, locale=_locale(language))


def _listed(language: str, items: list[str]) -> str:
    if language == "zh":  # CLDR's "和" would touch Latin names without a space
        return "、".join(items)
    from babel.lists import format_list

    return format_list(items, locale=_locale(language))


def _when(language: str, value: date | time) -> str:
    from babel.dates import format_date, format_datetime, format_time

    locale = _locale(language)
    if isinstance(value, datetime):
        return format_datetime(value, "short", tzinfo=value.tzinfo, locale=locale)
    if isinstance(value, date):
        return format_date(value, "long", locale=locale)
    return format_time(value, "short" if language != "en" else "HH:mm", locale=locale)
