"""How Alembic reaches the database and writes migrations that need none of our own types."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

import sqlalchemy as sa
from alembic import context
from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import create_async_engine
from sqlmodel import SQLModel
from sqlmodel.sql.sqltypes import AutoString

import storage.tables  # noqa: F401 - so that the metadata knows every table
from storage.columns import Day, Moment


def render_item(kind: str, item: Any, _: Any) -> str | Literal[False]:
    """Write our column types as what they are to a database."""
    if kind != "type":
        return False
    match item:
        case Moment():
            return "sa.BigInteger()"
        case Day():
            return "sa.String(length=10)"
        case AutoString():
            return f"sa.String(length={item.length})" if item.length else "sa.String()"
    return False


def schema() -> sa.MetaData:
    """Our tables without what only we know of them, which has no place in a migration."""
    bare = sa.MetaData(naming_convention=SQLModel.metadata.naming_convention)
    for table in SQLModel.metadata.tables.values():
        table.to_metadata(bare).info = {}
    return bare


def run(connection: Connection) -> None:
    """Run the migrations on this connection, all in one transaction."""
    context.configure(
        connection=connection,
        target_metadata=schema(),
        render_as_batch=True,
        render_item=render_item,
        compare_type=True,
        transactional_ddl=True,  # on SQLite too, where Alembic has none by default: see `whole`
    )
    with context.begin_transaction():
        context.run_migrations()


def whole(engine: sa.Engine) -> None:
    """Keep a migration in one transaction on SQLite: its driver begins none before a CREATE."""

    @sa.event.listens_for(engine, "connect")
    def by_hand(connection: Any, _: Any) -> None:
        connection.isolation_level = None

    @sa.event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


async def connect() -> None:
    """Reach the database by the URL we were given."""
    engine = create_async_engine(context.config.attributes["url"], poolclass=sa.NullPool)
    if engine.dialect.name == "sqlite":
        whole(engine.sync_engine)
    async with engine.connect() as connection:
        await connection.run_sync(run)
        await connection.commit()
    await engine.dispose()


asyncio.run(connect())
