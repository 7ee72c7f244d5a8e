"""One statement that does for many rows of values what a statement of ours does for one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter
from typing import Any, TypeVar

NAME = re.compile(r"(?<!:):([a-z_]+)")
INSERT = re.compile(
    r"\s*INSERT INTO (?P<table>\w+)\s*\((?P<columns>[\w\s,]+)\)\s*"
    r"VALUES\s*\((?P<values>.*?)\)\s*(?P<conflict>ON CONFLICT\b.*)?",
    re.DOTALL,
)
UPDATE = re.compile(
    r"\s*UPDATE (?P<table>\w+)\s+SET\s+(?P<sets>.+?)\s+WHERE\s+(?P<where>.+)", re.DOTALL
)
DELETE = re.compile(r"\s*DELETE FROM (?P<table>\w+)\s+WHERE\s+(?P<where>.+)", re.DOTALL)
PINNED = re.compile(r"(\w+)\s*=\s*:([a-z_]+)")
SET = re.compile(r"(\w+)\s*=")
# What looks at other rows than its own, or tells of them, is for one turn at a time.
ALONE = re.compile(r"\b(SELECT|RETURNING|EXISTS)\b|--", re.IGNORECASE)
LITERAL = re.compile(r"'([^']*)'")

T = TypeVar("T")
Values = Mapping[str, Any]
Name = tuple[str, Any]  # which row is meant: a unique key of a table, and what is in it
Key = tuple[str, Callable[[Values], Any]]


@lru_cache(maxsize=2048)
def numbered(sql: str) -> tuple[str, tuple[str, ...]]:
    """The statement with `$1` for `:name`, and the names in the order of their numbers.

    >>> numbered("SELECT a FROM t WHERE b = :b AND c > :c AND d <> :b")
    ('SELECT a FROM t WHERE b = $1 AND c > $2 AND d <> $1', ('b', 'c'))
    """
    names = tuple(dict.fromkeys(NAME.findall(sql)))
    return NAME.sub(lambda found: f"${names.index(found[1]) + 1}", sql), names


@dataclass(frozen=True, slots=True)
class Many:
    """A statement for many turns at once, each of which touches one row at the most.

    sql:   takes one array for each of `blanks`
    keys:  how the row that a turn touches is named in its values
    """

    sql: str
    blanks: tuple[str, ...]
    keys: tuple[Key, ...]

    def names(self, values: Values) -> Iterable[Name]:
        """Every name of the row that these values touch; NULL names nothing."""
        for key, value_of in self.keys:
            value = value_of(values)
            if value is not None and not (type(value) is tuple and None in value):
                yield key, value


@dataclass(frozen=True, slots=True)
class Single:
    """A statement for one turn, taken apart.

    sql:     for many turns, with {many} where their values come from
    pinned:  each column that is, or must be, what a blank says, and that blank
    changed: the columns in which a row that was there may get another value
    """

    table: str
    sql: str
    pinned: Mapping[str, str]
    changed: frozenset[str]

    def for_many(self, blanks: Mapping[str, str], unique: Iterable[Sequence[str]]) -> Many | None:
        """The statement for many; None if one turn could touch several rows, or which is unknown.

        blanks: every blank and its type
        unique: the columns of each of the table's unique keys
        """
        keys = [tuple(key) for key in unique]
        named = [key for key in keys if self.pinned.keys() >= set(key)]
        if not named or any(self.changed.intersection(key) for key in keys):
            return None
        return Many(
            sql=self.sql.replace("{many}", f"{_arrays(blanks)} AS v ({_columns(blanks)})"),
            blanks=tuple(blanks),
            keys=tuple(
                (f"{self.table} {' '.join(key)}", itemgetter(*(self.pinned[one] for one in key)))
                for key in named
            ),
        )


def columns(turns: Iterable[Values], blanks: Sequence[str]) -> list[Sequence[Any]]:
    """The values of each blank, in the order of the turns."""
    rows = [[values[blank] for blank in blanks] for values in turns]
    return list(zip(*rows, strict=True))


def single(sql: str) -> Single | None:
    """The statement taken apart; None for one that must be applied to one turn at a time."""
    plain = all(literal == "" or literal.isalnum() for literal in LITERAL.findall(sql))
    if not plain or ALONE.search(sql) or not NAME.search(sql):
        return None
    if found := INSERT.fullmatch(sql):
        return _insert(**found.groupdict(default=""))
    if found := UPDATE.fullmatch(sql):
        return _update(**found.groupdict())
    if found := DELETE.fullmatch(sql):
        return _delete(**found.groupdict())
    return None


def questions(sql: str, blanks: Mapping[str, str], *, one: bool) -> str:
    """The question asked once for each place in arrays of values; `v_n`, from 1, says which.

    one: the first row that answers each is enough
    """
    asked = f"{_arrays(blanks)} WITH ORDINALITY AS v ({_columns(blanks)}, v_n)"
    answer = _from_many(sql)
    if one:
        answer = f"SELECT * FROM ({answer}) AS a LIMIT 1"  # noqa: S608
        return f"SELECT q.*, v_n FROM {asked} CROSS JOIN LATERAL ({answer}) AS q"  # noqa: S608
    # The rows of each answer keep the order that the question asks for.
    answer = f"SELECT a.*, row_number() OVER () AS v_r FROM ({answer}) AS a"  # noqa: S608
    asked = f"{asked} CROSS JOIN LATERAL ({answer}) AS q"
    return f"SELECT q.*, v_n FROM {asked} ORDER BY v_n, v_r"  # noqa: S608


def waves(turns: Iterable[T], names: Callable[[T], Iterable[Name]]) -> list[list[T]]:
    """The turns in waves: no two of a wave touch the same row, and those that do keep their order.

    Within a wave they are in the order of what they touch, so that two processes
    at work on the same rows come to them in the same order.

    >>> waves(["b1", "a1", "a2", "c1"], lambda turn: [("a letter", turn[0])])
    [['a1', 'b1', 'c1'], ['a2']]
    """
    found: list[list[tuple[list[Name], T]]] = []
    next_wave: dict[Name, int] = {}
    for turn in turns:
        touched = list(names(turn))
        wave = max((next_wave.get(name, 0) for name in touched), default=0)
        if wave == len(found):
            found.append([])
        found[wave].append((touched, turn))
        next_wave.update(dict.fromkeys(touched, wave + 1))
    return [[turn for _, turn in sorted(wave, key=itemgetter(0))] for wave in found]


def _insert(table: str, columns: str, values: str, conflict: str) -> Single | None:
    names, given = [name.strip() for name in columns.split(",")], _parts(values, ",")
    if NAME.search(conflict) or given is None or len(given) != len(names):
        return None
    blanks = {
        column: value[1:]
        for column, value in zip(names, given, strict=True)
        if NAME.fullmatch(value)
    }
    updated = conflict.partition("DO UPDATE")[2]
    sql = f"INSERT INTO {table} ({columns}) SELECT {_from_many(values)} FROM {{many}} {conflict}"  # noqa: S608
    return Single(table, sql, blanks, frozenset(SET.findall(updated)))


def _update(table: str, sets: str, where: str) -> Single | None:
    pinned, changed = _pinned(where), _parts(sets, ",")
    if pinned is None or changed is None:
        return None
    sql = f"UPDATE {table} SET {_from_many(sets)} FROM {{many}} WHERE {_from_many(where)}"  # noqa: S608
    return Single(table, sql, pinned, frozenset(part.partition("=")[0].strip() for part in changed))


def _delete(table: str, where: str) -> Single | None:
    pinned = _pinned(where)
    if pinned is None:
        return None
    sql = f"DELETE FROM {table} USING {{many}} WHERE {_from_many(where)}"  # noqa: S608
    return Single(table, sql, pinned, frozenset())


def _pinned(where: str) -> dict[str, str] | None:
    """The columns that must equal a blank; None where it is not plainly "this and that"."""
    parts = _parts(where, "AND")
    if parts is None or "CASE" in where or any(_parts(part, "OR") != [part] for part in parts):
        return None
    return {found[1]: found[2] for part in parts if (found := PINNED.fullmatch(part))}


def _arrays(blanks: Mapping[str, str]) -> str:
    types = [f"${n}::{type_}[]" for n, type_ in enumerate(blanks.values(), 1)]
    return f"unnest({', '.join(types)})"


def _columns(blanks: Iterable[str]) -> str:
    return ", ".join(f"v_{blank}" for blank in blanks)


def _from_many(text: str) -> str:
    return NAME.sub(r"v.v_\1", text)


def _parts(text: str, between: str) -> list[str] | None:
    """The parts between commas or words outside of parentheses; None if those do not close.

    >>> _parts("a = 1 AND (b = 2 AND c = 3)", "AND")
    ['a = 1', '(b = 2 AND c = 3)']
    """
    token = re.compile(rf"\b{between}\b" if between.isalpha() else between)
    parts, depth, start = [], 0, 0
    for found in re.finditer(rf"[()]|{token.pattern}", text):
        if found[0] == "(":
            depth += 1
        elif found[0] == ")":
            depth -= 1
            if depth < 0:
                return None
        elif depth == 0:
            parts.append(text[start : found.start()].strip())
            start = found.end()
    return None if depth else [*parts, text[start:].strip()]
