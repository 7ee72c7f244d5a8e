"""The composition root: the only place where the world is built and the parts are joined."""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, suppress
from datetime import timedelta
from functools import partial
from typing import Any

import structlog

from bot import metrics
from bot.broadcasting import Broadcasting
from bot.channels import Channel, Menus
from bot.clock import ShiftedClock
from bot.company import Company, Part
from bot.config import CommunitySection, Config, Misconfigured
from bot.delivery import Delivery
from bot.pipeline import Pipeline
from bot.scheduler import Scheduler
from bot.studio import Draw, draw_here
from bot.worker import Activity, Alarm, forever
from handlers.roles import Role
from handlers.router import Router, Switchboard
from handlers.turn import Clock, World
from knowledge.model import Endpoint, Model, NoModel, OpenAIModel, Outcome
from knowledge.shelf import Shelf
from knowledge.texts import Texts
from storage import communities, database, members, pending, sole, tokens
from storage.communities import Community, Directory
from storage.database import is_sqlite
from storage.database import opened as opened_at
from storage.ids import Ids
from storage.sealing import Seal
from storage.writer import Change, Unavailable

log = structlog.get_logger()

Opened = Callable[[str, Seal], Awaitable[database.Database]]

FIRST_COMMUNITY = "My community"
OWNER_LINK_HOURS = 24
INSTANT = timedelta(milliseconds=1)
STEP = timedelta(minutes=30)  # in which a moved clock passes through what falls due on the way


class House:
    """The whole bot, put together; `open` it, `start` it or drive it by hand, and `close` it."""

    database: database.Database
    world: World
    pipeline: Pipeline
    delivery: Delivery
    scheduler: Scheduler
    broadcasting: Broadcasting
    company: Company

    def __init__(
        self,
        config: Config,
        routers: Iterable[Router],
        channels: Sequence[Channel],
        clock: Clock,
        *,
        seed: int | None = None,
        part: Part = Part.ALL,
        draw: Draw = draw_here,
        opened: Opened = opened_at,
    ) -> None:
        """part: what this process does, of several on one PostgreSQL database.

        Raises `Misconfigured` for a part of the work on a database that only one can work on.
        """
        if part is not Part.ALL and is_sqlite(config.storage.url):
            raise Misconfigured(
                ["[storage] several processes need PostgreSQL; on SQLite leave --role out"]
            )
        self.config = config
        self.clock = clock
        self.board = Switchboard.of(routers)
        self.channels = {channel.name: channel for channel in channels}
        self.directory = Directory()
        self.activity = Activity()
        self.alarm = Alarm(clock, self.activity)
        self._random = random.Random(seed)  # noqa: S311 - for choices, never for secrets
        self._part = part
        self._draw = draw
        self._opening = opened
        self._tasks: list[asyncio.Task[None]] = []
        self._menus: Menus = {}
        self._announced: dict[str, list[str]] = {}  # channel → where staff have their menu
        self._opened = AsyncExitStack()  # what is to be let go of again, the latest first

    # ---------------------------------------------------------------- opening

    async def open(self) -> None:
        """Open the database, greet the platforms, and finish what an earlier process left.

        Whatever fails, nothing is left open.
        """
        async with AsyncExitStack() as opened:
            await self._open(opened)
            self._opened = opened.pop_all()

    async def _open(self, opened: AsyncExitStack) -> None:
        url = self.config.storage.url
        if is_sqlite(url):
            opened.callback(sole.Hold(url).release)
        self.database = await self._opening(url, self.config.seal)
        opened.push_async_callback(self.database.close)
        await database.opens(self.database)
        ids = Ids(self.database.writer)
        await ids.refill()
        await self._settle_in(ids)
        for name, channel in self.channels.items():
            opened.push_async_callback(channel.close)
            await channel.open(partial(self._intake, name))
        self.world = self._world(ids)
        opened.push_async_callback(self.world.model.close)
        self._join()
        opened.push_async_callback(self.company.leave)
        await self.company.join()

    def start(self) -> None:
        """Listen to every channel, to the clock and to other processes, until closed."""
        loops: dict[str, Callable[[], Awaitable[None]]] = {
            "scheduler": self.scheduler.run,
            "broadcasting": self.broadcasting.run,
            "company": self.company.run,
            "news": self.company.attend,
        }
        if self._part.hears:
            for name, channel in self.channels.items():
                loops[name] = partial(self.company.listen, channel)
        self._tasks = [
            asyncio.create_task(forever(name, loop, asyncio.sleep), name=name)
            for name, loop in loops.items()
        ]

    async def close(self) -> None:
        """Listen no more, finish what is being done, leave the rest written down, let go."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.alarm.end()
        seconds = self.config.bot.drain_seconds
        await self.pipeline.lanes.stop(seconds / 2)
        led = self.delivery.leads
        await self.delivery.rest(seconds / 2)
        with suppress(Unavailable):
            await self.pipeline.let_go()
            if led:
                await self.delivery.let_go()
        await self._opened.aclose()

    # ---------------------------------------------------------------- driving

    async def settled(self) -> None:
        """Return once everything that is due has been done; what waits for the clock waits."""
        while True:
            await self.activity.quiet()
            if not (await self.scheduler.tick() or await self.broadcasting.tick()):
                await self.activity.quiet()
                return

    def nudge(self) -> None:
        """The clock has been moved: look at it again."""
        self.alarm.nudge()

    async def advance(self, by: timedelta) -> None:
        """Move the (movable) clock forward through everything that falls due on the way."""
        clock = self.clock
        if not isinstance(clock, ShiftedClock):
            raise TypeError("only a movable clock can be moved")
        left = by
        while left > timedelta():
            falls_due = [
                await self.scheduler.next_due(),
                await self.broadcasting.next_due(),
                self.alarm.next,
            ]
            next_steps = [due - clock.now() for due in falls_due if due is not None]
            step = max(min(left, STEP, *next_steps), INSTANT)
            clock.move(step)
            left -= step
            self.nudge()
            await self.settled()

    async def ready(self) -> dict[str, str]:
        """What is wrong at present, by part; empty when the bot is ready."""
        wrong: dict[str, str] = {}
        try:
            for kind, count in (await pending.counts(self.database.reader)).items():
                metrics.WAITING.labels(kind).set(count)
        except Exception as error:  # any driver's own, all meaning the same
            wrong["storage"] = type(error).__name__
        return wrong

    async def owner_link(self) -> str | None:
        """A one-time link that makes whoever opens it the owner; None when there is one.

        Of several processes the one that leads has it, as each new link voids the last.
        """
        if not self.company.leads or await members.has_owner(self.database.reader):
            return None
        token = secrets.token_urlsafe(24)
        expires = self.clock.now() + timedelta(hours=OWNER_LINK_HOURS)
        await self.database.writer.settle(tokens.issued(token, purpose="owner", expires=expires))
        link = next(iter(self.world.links.values()), "")
        return link.format(payload=f"owner_{token}") if link else None

    # ---------------------------------------------------------------- joining the parts

    async def _intake(self, channel: str, arrivals: Any) -> None:
        await self.pipeline.intake(channel, arrivals)

    def _world(self, ids: Ids) -> World:
        return World(
            clock=self.clock,
            random=self._random,
            texts=Texts.load(),
            settings=self.config.book,
            shelf=Shelf(self.config.folders),
            ids=ids,
            commands={
                role.value: tuple(
                    f"{one.topic}.command.{one.name}" for one in self.board.listed(role)
                )
                for role in Role
            },
            links={
                name: link
                for name, channel in self.channels.items()
                if (link := getattr(channel, "link", ""))
            },
            abilities={
                name: frozenset(ability.value for ability in channel.abilities)
                for name, channel in self.channels.items()
            },
            pages=self.config.web.address,
            pages_here=self.config.web.here,
            model=self._model(),
            policy_url=self.config.bot.privacy_url,
            keep_days=self.config.storage.keep_days,
            in_file=frozenset(one.name for one in self.config.communities),
        )

    def _model(self) -> Model:
        section = self.config.model
        if not (section.key and section.name):
            return NoModel()
        endpoint = Endpoint(
            url=section.url,
            name=section.name,
            key=section.key,
            timeout=section.timeout,
            daily_budget=section.daily_budget,
        )
        return OpenAIModel(endpoint, now=self.clock.now, told=_model_told)

    def _join(self) -> None:
        """Make the way in, the way out and the clock, each knowing only what it needs."""
        database, world, directory = self.database, self.world, self.directory
        self.delivery = Delivery(
            database=database,
            world=world,
            directory=directory,
            board=self.board,
            channels=self.channels,
            activity=self.activity,
            alarm=self.alarm,
            monotonic=time.monotonic,
            take_up=lambda waiting: self.pipeline.take_up(waiting),
            reload=lambda: self.pipeline.reload(),
            draw=self._draw,
        )
        self.pipeline = Pipeline(
            database=database,
            world=world,
            directory=directory,
            board=self.board,
            front=self.delivery,
            activity=self.activity,
            alarm=self.alarm,
            reloaded=self._announce_to_staff,
        )
        self.scheduler = Scheduler(
            database=database,
            world=world,
            directory=directory,
            board=self.board,
            alarm=self.alarm,
            pipeline=self.pipeline,
            delivery=self.delivery,
            keep=timedelta(days=self.config.storage.keep_days),
        )
        self.broadcasting = Broadcasting(
            database=database, world=world, delivery=self.delivery, alarm=self.alarm
        )
        self.company = Company(
            database=database,
            pipeline=self.pipeline,
            delivery=self.delivery,
            scheduler=self.scheduler,
            alarm=self.alarm,
            clock=self.clock,
            part=self._part,
            channels=self.channels,
            announce=self._announce,
        )

    async def _settle_in(self, ids: Ids) -> None:
        """Make sure that every community and place of config.toml is known."""
        now = self.clock.now()
        sections = self.config.communities
        known = await communities.read(self.database.reader)
        if not sections and not known.communities:
            sections = (CommunitySection(name=FIRST_COMMUNITY),)
        await self.database.writer.settle(
            [
                communities.kept(id=ids.take(), name=one.name, at=now, **_said_or_known(one, known))
                for one in sections
            ]
        )
        known = await communities.read(self.database.reader)
        changes: list[Change] = []
        for one in sections:
            community = known.named(one.name)
            assert community is not None
            changes += self._places_of(one, community, ids)
        changes += _no_longer_named(sections, known)
        await self.database.writer.settle(changes)
        fresh = await communities.read(self.database.reader)
        self.directory.communities, self.directory.spots = fresh.communities, fresh.spots

    def _places_of(self, section: CommunitySection, community: Community, ids: Ids) -> list[Change]:
        """The places that config.toml gives the community."""
        telegram, changes = section.telegram, list[Change]()
        places = [("group", chat) for chat in telegram.chats]
        if telegram.staff is not None:
            places.append(("staff", telegram.staff))
            changes += communities.only_staff_place(
                community=community.id, channel="telegram", ref=str(telegram.staff)
            )
        return changes + [
            communities.bound(
                id=ids.take(),
                community=community.id,
                channel="telegram",
                ref=str(chat),
                kind=kind,
                at=self.clock.now(),
                by="file",
            )
            for kind, chat in places
        ]

    async def _announce(self) -> None:
        """Register the commands with every platform, per role and language."""
        texts = self.world.texts
        menus = {
            (role.value, language): [
                (one.name, texts.say(language, f"{one.topic}.command.{one.name}"))
                for one in self.board.listed(role)
            ]
            for role in (Role.MEMBER, Role.STAFF, Role.ADMIN)
            for language in texts.languages
        }
        self._menus = menus
        for name, channel in self.channels.items():
            self._announced[name] = self._staff_places(name)
            await channel.announce(menus, self._announced[name])

    async def _announce_to_staff(self) -> None:
        """Staff who have just got a place see their menu there."""
        if not self.company.leads:
            return
        for name, channel in self.channels.items():
            if (places := self._staff_places(name)) != self._announced.get(name):
                staffs = {key: menu for key, menu in self._menus.items() if key[0] == Role.STAFF}
                await channel.announce(staffs, places)
                self._announced[name] = places

    def _staff_places(self, channel: str) -> list[str]:
        spots = self.directory.spots.values()
        return [one.ref for one in spots if one.kind == "staff" and one.channel == channel]


def _said_or_known(section: CommunitySection, known: Directory) -> dict[str, str]:
    """The zone and language that the file says; what it leaves out stays as /setup left it."""
    community = known.named(section.name)
    said = section.model_fields_set
    return {
        "zone": community.zone if community and "zone" not in said else section.zone,
        "language": (
            community.language if community and "language" not in said else section.language
        ),
    }


def _no_longer_named(sections: Iterable[CommunitySection], known: Directory) -> list[Change]:
    """Places that config.toml once named and names no more belong to nobody."""
    named = {str(chat) for one in sections for chat in (*one.telegram.chats, one.telegram.staff)}
    return [
        communities.unbound(channel=spot.channel, ref=spot.ref)
        for spot in known.spots.values()
        if spot.by == "file" and spot.ref not in named
    ]


def _model_told(outcome: Outcome, fault: str) -> None:
    """Log a question that the model could not be asked, or did not answer; never what it was."""
    metrics.MODEL.labels(outcome.value).inc()
    if outcome not in (Outcome.CHOSEN, Outcome.NONE):
        log.warning("model.unanswered", outcome=outcome.value, fault=fault)
