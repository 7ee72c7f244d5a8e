"""The shelf: each community's library and rules, read when first needed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from knowledge.library import Library
from knowledge.search import Index

RULES = "rules"  # the key of the entry that holds a community's rules


@dataclass(frozen=True, slots=True)
class Rules:
    """A community's rules by language; empty where nobody wrote any."""

    texts: Mapping[str, str]

    def text(self, language: str) -> str:
        """The rules in this language, else in any; empty if there are none."""
        return self.texts.get(language) or next(iter(self.texts.values()), "")


@dataclass(slots=True)
class Shelf:
    """Libraries by the name of their community; a community without a folder knows nothing."""

    folders: Mapping[str, Path]
    _libraries: dict[str, Library] = field(default_factory=dict)
    _indexes: dict[str, Index] = field(default_factory=dict)

    def library(self, community: str) -> Library:
        """Everything the community knows.  Raises `Unreadable` where an article is faulty."""
        if community not in self._libraries:
            folder = self.folders.get(community)
            self._libraries[community] = Library(()) if folder is None else Library.load(folder)
        return self._libraries[community]

    def index(self, community: str) -> Index:
        """The searchable knowledge of the community; empty if it has none."""
        if community not in self._indexes:
            self._indexes[community] = Index(self.library(community).entries)
        return self._indexes[community]

    def rules(self, community: str) -> Rules:
        """The rules of the community, from the entry with the key "rules"."""
        entries = self.library(community).entries
        return Rules({one.language: one.answer for one in entries if one.key == RULES})
