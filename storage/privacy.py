"""Privacy: what is kept about a member, given to them or forgotten, as the tables declare."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from storage.moments import from_micros
from storage.writer import Change, Reader, Row

if TYPE_CHECKING:
    from sqlalchemy import Column, Table

    from storage.tables import Privacy

# The member's person on the web, unless that person is somebody in another community too.
WEB_PERSON = """
    IN (SELECT CAST(i.ref AS BIGINT) FROM identities i
        WHERE i.channel = 'web' AND i.member_id = :member AND NOT EXISTS (
            SELECT 1 FROM identities o
            WHERE o.channel = 'web' AND o.ref = i.ref AND o.member_id <> :member))
"""

# What staff wrote is theirs, but what was carried to the member is about the member.
SAID_TO_THEM = """
    DELETE FROM interactions WHERE id IN (
        SELECT mirrors FROM interactions WHERE member_id = :member AND direction = 'out')
"""


def tables() -> list[tuple[Table, Privacy | None]]:
    """Every table, with what it says about privacy; None where it is about nobody.

    Raises `KeyError` for a table that says nothing.
    """
    from storage.tables import MemberRow  # takes most of a second, which few turns need to spend

    return [(table, table.info["privacy"]) for table in MemberRow.metadata.sorted_tables]


def personal_tables() -> list[tuple[Table, Privacy]]:
    """The tables about people; first those that are found by who a person is on the web."""
    found = [(table, privacy) for table, privacy in tables() if privacy is not None]
    return sorted(found, key=lambda one: one[1].by == "member")


def forgotten(member: int) -> list[Change]:
    """Nothing is left of the member: rows are deleted, or stay and name nobody.

    A row that only mentions the member, such as the case they answered as staff, stays.
    """
    changes = [SAID_TO_THEM]
    for table, privacy in personal_tables():
        theirs, *mentions = [f"{column} {_whose(privacy)}" for column in privacy.of]
        if privacy.forget == "delete":
            changes.append(f"DELETE FROM {table.name} WHERE {theirs}")  # noqa: S608 - the names are our own
        else:
            mentions.insert(0, theirs)
        changes += [_unnamed(table, privacy, mention) for mention in mentions]
    return [Change(sql, {"member": member}) for sql in changes]


def _whose(privacy: Privacy) -> str:
    return "= :member" if privacy.by == "member" else WEB_PERSON


def _unnamed(table: Table, privacy: Privacy, mention: str) -> str:
    emptied = [mention.partition(" ")[0], *privacy.traces]
    columns = ", ".join(f"{column} = NULL" for column in emptied)
    return f"UPDATE {table.name} SET {columns} WHERE {mention}"  # noqa: S608 - the names are our own


async def export(db: Reader, member: int) -> dict[str, list[dict[str, Any]]]:
    """Everything about the member that is theirs to have: rows by table, sealed cells opened."""
    copy = {}
    for table, privacy in personal_tables():
        if privacy.export:
            order = ", ".join(column.name for column in table.primary_key)
            rows = await db.rows(
                f"SELECT * FROM {table.name} WHERE {privacy.of[0]} {_whose(privacy)}"  # noqa: S608
                f" ORDER BY {order}",
                member=member,
            )
            copy[table.name] = [_readable(db, table, privacy, row) for row in rows]
    return copy


def _readable(db: Reader, table: Table, privacy: Privacy, row: Row) -> dict[str, Any]:
    return {
        column.name: _opened(db, table, row, column.name)
        if column.name in privacy.sealed
        else _plain(column, row[column.name])
        for column in table.columns
    }


def _opened(db: Reader, table: Table, row: Row, column: str) -> Any:
    text = db.open(table.name, column, row["id"], row[column])
    return json.loads(text) if text.startswith("{") else text or None


def _plain(column: Column[Any], value: Any) -> Any:
    """The value as a person reads it: moments in ISO 8601 and UTC, truths as such."""
    from storage.columns import Moment

    if value is None:
        return None
    if isinstance(column.type, Moment):
        return from_micros(value).isoformat()
    return bool(value) if column.type.python_type is bool else value
