"""Library: a community's articles, read into entries that can be searched and quoted."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

Audience = Literal["public", "members", "staff"]
AUDIENCES: tuple[Audience, ...] = get_args(Audience)  # each reads what those before it may read

SETTINGS = ("audience", "tags", "link")
WORDING = ("question", "variants", "answer")
QUOTES = "look for a missing quote or bracket, or curly quotes (“ ”) where straight ones belong"


class Unreadable(Exception):
    """An article that cannot be used: which file, which line and section, and how to mend it."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where an answer stands, so that it can be cited."""

    title: str  # of the article
    section: str  # of the part that was quoted
    link: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """One question answered in one language."""

    id: str
    language: str
    question: str  # short: it is also what a person is offered to choose from
    variants: tuple[str, ...]  # the same question as people really put it
    answer: str
    source: Source
    audience: Audience = "public"
    tags: tuple[str, ...] = ()
    key: str = ""  # entries that share it say the same in different languages

    @property
    def phrasings(self) -> tuple[str, ...]:
        """Every way of asking this."""
        return (self.question, *self.variants)

    def open_to(self, audience: Audience) -> bool:
        """Whether somebody of this audience may be shown the entry."""
        return AUDIENCES.index(self.audience) <= AUDIENCES.index(audience)


@dataclass(frozen=True, slots=True)
class Library:
    """All the entries of one community, in the order of its files."""

    entries: tuple[Entry, ...]

    @classmethod
    def load(cls, folder: Path) -> Library:
        """Read every `*.toml` in the folder, in the order of their names.

        An article has a [title] with a line for each language, and for each question a section
        [key.language] with `question`, `variants` and `answer`; what holds for all languages
        (`audience`, `tags`, `link`) stands in a section [key].
        Raises `Unreadable` at the first fault, so that nothing is half known.
        """
        if not folder.is_dir():
            raise Unreadable(f"{folder}: there is no such folder; create it or correct the path")
        read = [one for file in sorted(folder.glob("*.toml")) for one in _article(file)]
        _refuse_repeats(read)
        return cls(tuple(entry for entry, _ in read))

    def get(self, key: str, language: str) -> Entry | None:
        """The entry of this key: in this language if there is one, else in any."""
        found = [one for one in self.entries if one.key == key]
        return next((one for one in found if one.language == language), next(iter(found), None))


@dataclass(frozen=True, slots=True)
class _Place:
    """A section of a file, able to say what is wrong with it."""

    file: Path
    text: str
    section: str

    def wrong(self, what: str) -> Unreadable:
        header = f"[{self.section}]"
        lines = enumerate(self.text.splitlines(), start=1)
        line = next((f", line {n}" for n, one in lines if one.strip().startswith(header)), "")
        return Unreadable(f"{self.file}{line}, {header}: {what}")

    def within(self, name: str) -> _Place:
        return _Place(self.file, self.text, f"{self.section}.{name}")


def _article(file: Path) -> Iterator[tuple[Entry, _Place]]:
    text = _read(file)
    try:
        article = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Unreadable(f"{file}: {error}; {QUOTES}") from error

    at_title = _Place(file, text, "title")
    if "title" not in article:
        raise at_title.wrong('is missing; begin the file with it, and below it en = "…"')
    titles = _table(article.pop("title"), at_title)
    for key, value in article.items():
        at = _Place(file, text, key)
        section = _table(value, at)
        settings = {name: one for name, one in section.items() if not isinstance(one, dict)}
        wordings = {name: one for name, one in section.items() if isinstance(one, dict)}
        _refuse_unknown(settings, SETTINGS, at)
        if not wordings:
            raise at.wrong(f"has no question yet; add [{key}.en] or [{key}.zh]")
        for language, wording in wordings.items():
            place = at.within(language)
            if language not in titles:
                raise at_title.wrong(f'needs {language} = "…", because {place.section} uses it')
            title = _text(titles, language, at_title)
            yield _entry(key, language, title, settings, wording, at, place), place


def _entry(
    key: str,
    language: str,
    title: str,
    settings: dict[str, Any],
    wording: dict[str, Any],
    at: _Place,
    place: _Place,
) -> Entry:
    _refuse_unknown(wording, WORDING, place)
    question = _text(wording, "question", place)
    return Entry(
        id=f"{key}.{language}",
        language=language,
        question=question,
        variants=_texts(wording, "variants", place),
        answer=_text(wording, "answer", place),
        source=Source(title, question, _text(settings, "link", at) if "link" in settings else ""),
        audience=_audience(settings.get("audience", "public"), at),
        tags=_texts(settings, "tags", at),
        key=key,
    )


def _read(file: Path) -> str:
    try:
        return file.read_text("utf-8-sig")  # Notepad begins a file with a mark
    except UnicodeDecodeError as error:
        raise Unreadable(f"{file}: is not UTF-8; save it again with that encoding") from error


def _table(value: Any, at: _Place) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise at.wrong(f"must be a section; write [{at.section}] above its lines")
    return value


def _text(table: dict[str, Any], name: str, at: _Place) -> str:
    value = table.get(name)
    if not isinstance(value, str) or not value.strip():
        raise at.wrong(f'needs a text: {name} = "…"')
    return value.strip()


def _texts(table: dict[str, Any], name: str, at: _Place) -> tuple[str, ...]:
    values = table.get(name, [])
    if not isinstance(values, list) or not all(isinstance(v, str) and v.strip() for v in values):
        raise at.wrong(f'needs a list of texts: {name} = ["…", "…"]')
    return tuple(value.strip() for value in values)


def _audience(value: Any, at: _Place) -> Audience:
    for known in AUDIENCES:
        if value == known:
            return known
    raise at.wrong(f"does not know the audience {value!r}; choose from {', '.join(AUDIENCES)}")


def _refuse_unknown(table: dict[str, Any], known: tuple[str, ...], at: _Place) -> None:
    for name in table:
        if name not in known:
            raise at.wrong(f"does not know {name!r}; choose from {', '.join(known)}")


def _refuse_repeats(read: list[tuple[Entry, _Place]]) -> None:
    """One key, one place; and no phrasing that would lead to two answers."""
    ids: dict[str, _Place] = {}
    asked: dict[tuple[str, str], tuple[str, _Place]] = {}
    for entry, place in read:
        if entry.id in ids:
            other = ids[entry.id].file.name
            raise place.wrong(f"is in {other} too; keep one, or give this one another name")
        ids[entry.id] = place
        for phrasing in entry.phrasings:
            plain = " ".join(phrasing.lower().split()).rstrip(" ?？.。!！")
            key, other_place = asked.setdefault((entry.audience, plain), (entry.key, place))
            if key != entry.key:
                raise place.wrong(
                    f"asks {phrasing!r}, and so does [{other_place.section}]"
                    f" in {other_place.file.name}; leave it in one of them"
                )
