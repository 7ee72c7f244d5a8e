"""What every test may ask for: a town on SQLite and on PostgreSQL, and who lives there."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from storage import schema
from tests.community import Community, Resident

if TYPE_CHECKING:
    from tests.postgres import Server  # as a plugin, it must not be imported before pytest does

pytest_plugins = ["tests.postgres", "tests.browser"]


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty SQLite database of our schema, to copy."""
    path = tmp_path_factory.mktemp("template") / "empty.sqlite"
    schema.upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
async def migrated_url(postgres: Server) -> str:
    """An empty PostgreSQL database of our schema, to copy."""
    url = await postgres.create()
    await asyncio.to_thread(schema.upgrade, url)
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
async def url(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    migrated_file: Path,
    postgres: Server,
    migrated_url: str,
) -> AsyncIterator[str]:
    """A fresh database of our schema, on each kind of database in turn."""
    if request.param == "sqlite":
        path = tmp_path / "town.sqlite"
        shutil.copy(migrated_file, path)
        yield f"sqlite:///{path}"
        return
    made = await postgres.create(template=migrated_url)
    yield made
    await postgres.drop(made)


@pytest.fixture
async def town(url: str) -> AsyncIterator[Community]:
    """The town, with every capability there is."""
    founded = await Community.founded(url)
    yield founded
    await founded.close()


@pytest.fixture
async def ana(town: Community) -> Resident:
    """A member who speaks English."""
    return await town.resident("Ana", language="en")


@pytest.fixture
async def mei(town: Community) -> Resident:
    """A member who speaks Chinese."""
    return await town.resident("梅", language="zh-hans")
