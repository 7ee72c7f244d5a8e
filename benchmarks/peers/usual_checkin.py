"""A check-in bot as it is usually written: an aiogram handler, and an ORM session an update.

It does our check-in's job: who it is, what was said, once a day, the streak, a fact, the answer;
all in one SQLite commit an update, which survives a loss of power.  It promises less than ours:
nothing is written down before it is handled, an answer that fails is lost, nothing is sealed.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta
from typing import Any

from aiogram import Bot, Dispatcher
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.filters import Command
from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup, Message
from sqlalchemy import UniqueConstraint, event
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine
from sqlmodel import Field, SQLModel, select
from sqlmodel.ext.asyncio.session import AsyncSession

from benchmarks.peers.circumstances import API, DATABASE, TOKEN

ONE_DAY = timedelta(days=1)
BUTTONS = InlineKeyboardMarkup(
    inline_keyboard=[
        [
            InlineKeyboardButton(text="My month", callback_data="calendar"),
            InlineKeyboardButton(text="Best streaks", callback_data="top"),
        ]
    ]
)


class Member(SQLModel, table=True):
    """A person in the community."""

    id: int = Field(default=None, primary_key=True)
    telegram_id: int = Field(unique=True)
    name: str
    streak: int = 0
    longest: int = 0
    checked_in_on: date | None = None
    last_seen_at: datetime | None = None
    messages: int = 0


class Interaction(SQLModel, table=True):
    """Something said, by them or by us."""

    id: int = Field(default=None, primary_key=True)
    member_id: int = Field(foreign_key="member.id", index=True)
    direction: str
    text: str
    at: datetime


class CheckIn(SQLModel, table=True):
    """One a day."""

    __table_args__ = (UniqueConstraint("member_id", "day"),)

    id: int = Field(default=None, primary_key=True)
    member_id: int = Field(foreign_key="member.id")
    day: date
    streak: int


class Seen(SQLModel, table=True):
    """What Telegram has told us of already."""

    message_id: int = Field(primary_key=True)
    chat_id: int = Field(primary_key=True)


class Bench:
    """The handlers, and the database they use."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._session = async_sessionmaker(engine, class_=AsyncSession)

    async def start(self, message: Message) -> None:
        """Greet, and remember who it is."""
        async with self._session() as session:
            await self._met(session, message)
            await session.commit()
        await message.answer("Welcome! /checkin once a day keeps your streak.")

    async def check_in(self, message: Message) -> None:
        """Count today, once."""
        async with self._session() as session:
            if await session.get(Seen, (message.message_id, message.chat.id)) is not None:
                return
            session.add(Seen(message_id=message.message_id, chat_id=message.chat.id))
            member = await self._met(session, message)
            today = datetime.now(UTC).date()
            done = await session.exec(
                select(CheckIn).where(CheckIn.member_id == member.id, CheckIn.day == today)
            )
            if done.first() is None:
                self._count(member, today)
                session.add(CheckIn(member_id=member.id, day=today, streak=member.streak))
                answer = f"Checked in, {member.name}! Streak: {member.streak}."
            else:
                answer = f"You have already checked in today. Streak: {member.streak}."
            session.add(
                Interaction(member_id=member.id, direction="out", text=answer, at=datetime.now(UTC))
            )
            await session.commit()
        await message.answer(answer, reply_markup=BUTTONS)

    async def _met(self, session: AsyncSession, message: Message) -> Member:
        assert message.from_user is not None
        found = await session.exec(select(Member).where(Member.telegram_id == message.from_user.id))
        member = found.first()
        if member is None:
            member = Member(telegram_id=message.from_user.id, name=message.from_user.full_name)
            session.add(member)
            await session.flush()
        member.last_seen_at = datetime.now(UTC)
        member.messages += 1
        session.add(
            Interaction(
                member_id=member.id, direction="in", text=message.text or "", at=message.date
            )
        )
        return member

    def _count(self, member: Member, today: date) -> None:
        follows = member.checked_in_on == today - ONE_DAY
        member.streak = member.streak + 1 if follows else 1
        member.longest = max(member.longest, member.streak)
        member.checked_in_on = today


def durable(connection: Any, _: object) -> None:
    """As durable as ours: the write-ahead log, synced at every commit."""
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "busy_timeout = 30000"):
        connection.execute(f"PRAGMA {pragma}")


async def main() -> None:
    """Run until ended."""
    engine = create_async_engine(f"sqlite+aiosqlite:///{DATABASE}")
    event.listen(engine.sync_engine, "connect", durable)
    async with engine.begin() as connection:
        await connection.run_sync(SQLModel.metadata.create_all)
    bench = Bench(engine)
    dispatcher = Dispatcher()
    dispatcher.message.register(bench.start, Command("start"))
    dispatcher.message.register(bench.check_in, Command("checkin"))
    bot = Bot(TOKEN, session=AiohttpSession(api=TelegramAPIServer.from_base(API)))
    await dispatcher.start_polling(bot)


if __name__ == "__main__":
    asyncio.run(main())
