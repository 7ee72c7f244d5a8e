"""Migrations: up, down and up again on both databases, and never a schema that is not ours."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from storage import schema
from storage.schema import WrongSchema


async def test_migrations_lead_to_what_the_tables_say_and_back(url: str) -> None:
    await asyncio.to_thread(schema.differences, url)
    await asyncio.to_thread(schema.downgrade, url, "base")
    assert await schema.found(url) is None
    await asyncio.to_thread(schema.upgrade, url)
    assert await schema.found(url) == schema.head()


async def test_an_empty_database_is_given_its_tables(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/new/house.sqlite"
    await schema.prepare(url)
    assert await schema.found(url) == schema.head()


@pytest.mark.parametrize(("version", "advice"), [("9999", "newer"), ("0000", "bot migrate")])
async def test_another_schema_is_refused(tmp_path: Path, version: str, advice: str) -> None:
    path = tmp_path / "house.sqlite"
    await schema.prepare(f"sqlite:///{path}")
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (version,))
    connection.close()
    with pytest.raises(WrongSchema, match=advice):
        await schema.prepare(f"sqlite:///{path}")
