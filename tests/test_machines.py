"""Three machines, each against what must be true of it whatever happens in whatever order."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections import Counter
from collections.abc import Coroutine
from contextlib import suppress
from datetime import date, datetime, timedelta
from itertools import count, pairwise
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from bot.channels import Faltered, NotNow
from handlers.router import Outgoing, Router
from handlers.turn import Event, Kind, Policy, Reply, Turn, Where
from storage import pending, quarantine
from storage.facts import Fact
from storage.moments import to_micros
from storage.writer import Unavailable
from tests.community import STAFF, Community, Resident
from tests.weather import KEPT, LOST, UNHEARD, Weather

T = TypeVar("T")

KEY = "A" * 43 + "="
NEVER = timedelta(days=365)
LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"
SIZE = settings(
    max_examples=400 if LONG else 15,
    stateful_step_count=80 if LONG else 20,
    deadline=None,
    # Not "explain", which traces every line: a whole house is too much of that.
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)
PEOPLE = st.integers(0, 2)
FATES = st.sampled_from([LOST, UNHEARD])
CLOSING = {"bot": {"drain_seconds": 0.0}}


class Machine(RuleBasedStateMachine):
    """A town that can be told things, repeated, deprived of its database, killed and started."""

    template: Path
    folder: Path
    numbers = count()
    routers: tuple[Router, ...] | None = None  # None: every capability there is

    def __init__(self) -> None:
        super().__init__()
        path = self.folder / f"{next(self.numbers)}.sqlite"
        shutil.copy(self.template, path)
        self.url = f"sqlite:///{path}"
        self.loop = asyncio.new_event_loop()
        self.weather = Weather()
        self.town = self.now(self.opened())
        self.people = [
            Resident(self.town, f"P{n}", f"p{n}", "en", self.town.street) for n in (0, 1, 2)
        ]
        self.told: list[Event] = []  # what the platform has been rid of
        self.crashes = 0
        self.weather.armed = True

    def now(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    async def opened(self) -> Community:
        """The town, on what an earlier process left, with the same street before its house."""
        before = getattr(self, "town", None)
        return await Community.founded(
            self.url,
            routers=None if self.routers is None else [*self.routers],
            settings=CLOSING,
            key=KEY,
            clock=before and before.clock,
            opened=self.weather.opened,
            street=before and before.street,
        )

    # ---- what befalls it

    def tell(self, event: Event, *, again: bool = False) -> None:
        """Tell it, as a platform does: until it is taken in."""
        while not self.now(self._taken_in(event)):
            if self.weather.gone:
                self.restore()
            self.pass_(5)
        if not again:
            self.told.append(event)
        self.pass_(0)

    async def _taken_in(self, event: Event) -> bool:
        with suppress(Unavailable):
            await self.town.street.tell(event)
            return True
        return False

    def pass_(self, seconds: float) -> None:
        """Let the clock run; who looks at it while the database is away looks again later."""
        self.now(self._passed(seconds))

    async def _passed(self, seconds: float) -> None:
        for step in (0.0, seconds):
            self.town.clock.move(timedelta(seconds=step))
            self.town.house.nudge()
            with suppress(Unavailable):
                await self.town.house.settled()
            await self.town.house.activity.quiet()  # so that what follows is the same every time

    def restore(self) -> None:
        """The database is back; and if the process has died, another is started."""
        died = self.weather.ends and self.weather.gone
        self.weather.gone = self.weather.ends = False
        self.weather.commits.clear()
        self.weather.questions.clear()
        if died:
            self.restart()

    def restart(self) -> None:
        """The process dies with all that it had not written down, and another one starts."""
        self.crashes += 1
        self.weather.gone = True
        self.now(self.town.house.close())
        self.weather.gone = False
        numbers = self.town._count
        self.town = self.now(self.opened())
        self.town._count = numbers
        for one in self.people:
            one.town = self.town

    def drain(self) -> None:
        """Everything that can be done is done."""
        self.restore()
        for _ in range(20):
            self.pass_(90)
            due = self.value(
                "SELECT count(*) FROM pending WHERE due_at <= :now",
                now=to_micros(self.town.clock.now()),
            )
            if not due:
                return
        raise AssertionError(f"still waiting: {self.now(pending.counts(self.db))}")

    @property
    def db(self) -> Any:
        return self.town.house.database.reader

    def rows(self, sql: str, **values: Any) -> list[Any]:
        self.weather.armed = False
        found = self.now(self.db.rows(sql, **values))
        self.weather.armed = True
        return list(found)

    def value(self, sql: str, **values: Any) -> Any:
        (row,) = self.rows(sql, **values)
        return row[0]

    def teardown(self) -> None:
        try:
            if self.told:
                self.drain()
                self.check()
        finally:
            self.weather.gone = True
            self.now(self.town.house.close())
            self.loop.close()

    def check(self) -> None:
        """What must be true in the end."""

    # ---- what may happen at any time to any of them

    @rule()
    def dies(self) -> None:
        self.restore()
        self.restart()

    @rule(after=st.integers(0, 6), fate=FATES)
    def will_die(self, after: int, fate: str) -> None:
        """In the middle of what comes next, between two commits or in one."""
        self.restore()
        self.weather.commits = [KEPT] * after + [fate]
        self.weather.ends = True

    @rule(fates=st.lists(st.sampled_from([KEPT, LOST, UNHEARD]), max_size=6))
    def storm(self, fates: list[str]) -> None:
        self.restore()
        self.weather.commits = list(fates)
        self.weather.questions = [one for one in fates if one != UNHEARD]

    @rule(minutes=st.sampled_from([1, 31, 24 * 60]))
    def time_passes(self, minutes: int) -> None:
        self.restore()
        self.pass_(60 * minutes)

    @precondition(lambda self: self.told)
    @rule(data=st.data())
    def repeated(self, data: st.DataObject) -> None:
        """A platform tells what it told before."""
        self.tell(data.draw(st.sampled_from(self.told[-9:])), again=True)


def machine(kind: type[Machine], template: Path, folder: Path) -> None:
    kind.template, kind.folder = template, folder
    run_state_machine_as_test(kind, settings=SIZE)


# ---------------------------------------------------------------- the ledger


class Ledger(Machine):
    """Facts and the counters that are kept beside them always say the same."""

    @rule(who=PEOPLE, group=st.booleans())
    def checks_in(self, who: int, group: bool) -> None:
        one = self.people[who]
        self.tell(one._event(Kind.SAID, where=one._where(group), text="/checkin", message="m"))

    @rule(who=PEOPLE, zone=st.sampled_from(["Asia/Tokyo", "America/New_York", "Pacific/Apia"]))
    def flies(self, who: int, zone: str) -> None:
        one = self.people[who]
        self.tell(one._event(Kind.SAID, where=one._where(False), text=f"/zone {zone}"))

    @rule(who=PEOPLE)
    def invites(self, who: int) -> None:
        one = self.people[who]
        self.tell(one._event(Kind.SAID, where=one._where(False), text="/invite"))

    @rule(who=PEOPLE, data=st.data())
    def joins(self, who: int, data: st.DataObject) -> None:
        links = [row["link"] for row in self.rows("SELECT link FROM invites ORDER BY id")]
        link = data.draw(st.sampled_from(["", *links]))
        self.tell(
            self.people[who]._event(Kind.JOINED, where=self.people[who]._where(True), data=link)
        )

    @rule(who=PEOPLE)
    def leaves(self, who: int) -> None:
        self.tell(self.people[who]._event(Kind.LEFT, where=self.people[who]._where(True)))

    @rule(who=PEOPLE)
    def chats(self, who: int) -> None:
        one = self.people[who]
        self.tell(one._event(Kind.SAID, where=one._where(True), text="hm", addressed=False))

    @invariant()
    def the_books_agree(self) -> None:
        facts = self.rows("SELECT * FROM facts ORDER BY at, id")
        heard = Counter(
            row["member_id"]
            for row in self.rows("SELECT member_id FROM interactions WHERE kind = 'said'")
        )
        for member in self.rows("SELECT * FROM members"):
            own = [one for one in facts if one["member_id"] == member["id"]]
            days = [one for one in own if one["name"] == Fact.CHECKED_IN]
            assert len({one["day"] for one in days}) == len(days)
            streaks = [one["amount"] for one in days]
            assert streaks == streaks_of([one["day"] for one in days])
            assert member["streak"] == (streaks[-1] if streaks else 0)
            assert member["longest"] == max(streaks, default=0)
            assert member["checked_in_on"] == (days[-1]["day"] if days else None)
            friends = [one["about_id"] for one in own if one["name"] == Fact.REFERRED]
            assert member["referred"] == len(friends) == len(set(friends))
            comings = [one["name"] for one in own if one["name"] in (Fact.JOINED, Fact.LEFT)]
            # Whoever was found here had come unseen, and so may leave twice, but not come twice.
            assert (Fact.JOINED, Fact.JOINED) not in pairwise(comings)
            assert member["messages"] == heard[member["id"]]
        invited = self.rows("SELECT id, invited_by FROM members WHERE invited_by IS NOT NULL")
        credited = [one for one in facts if one["name"] == Fact.REFERRED]
        assert {(row["invited_by"], row["id"]) for row in invited} == {
            (one["member_id"], one["about_id"]) for one in credited
        }
        assert len(invited) == len(credited)

    def check(self) -> None:
        self.the_books_agree()
        said = sum(one.kind is Kind.SAID for one in self.told)
        assert self.value("SELECT count(*) FROM interactions WHERE kind = 'said'") == said
        assert self.now(quarantine.count(self.db)) == 0


def streaks_of(days: list[str]) -> list[int]:
    """How many days in a row each of these ends.

    >>> streaks_of(["2025-03-01", "2025-03-02", "2025-03-04"])
    [1, 2, 1]
    """
    streaks: list[int] = []
    for n, day in enumerate(days):
        gap = date.fromisoformat(day) - date.fromisoformat(days[n - 1]) if n else timedelta()
        assert n == 0 or gap > timedelta()
        streaks.append(streaks[-1] + 1 if gap == timedelta(days=1) else 1)
    return streaks


def test_the_ledger_agrees_with_itself(migrated_file: Path, tmp_path: Path) -> None:
    machine(Ledger, migrated_file, tmp_path)


# ---------------------------------------------------------------- the queue


def echo() -> Router:
    """A capability that says again what it hears, once it may."""
    router = Router("echo")

    @router.otherwise()
    async def repeat(turn: Turn) -> None:
        text = turn.event.text
        if text.startswith("careful"):
            turn.send(Reply(text=text), policy=Policy.AT_MOST_ONCE)
        elif text.startswith("unasked"):
            turn.send(Reply(text=text), prompted=False, policy=Policy.AT_LEAST_ONCE, stale=NEVER)
        elif text.startswith("later"):
            turn.later("wake", turn.now + timedelta(minutes=20), text=text)
        else:
            turn.send(Reply(text=text))

    @router.later("wake")
    async def wake(turn: Turn) -> None:
        turn.send(Reply(text=turn.event.words["text"]), prompted=True)

    @router.gate
    async def on_the_hour(outgoing: Outgoing) -> datetime | None:
        """What nobody asked for is said in even hours only."""
        now = outgoing.now
        open_ = now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
        return open_ if now.hour % 2 else None

    return router


class Queue(Machine):
    """What is told is answered: nothing is lost, nothing twice, and in order."""

    routers = (echo(),)

    def __init__(self) -> None:
        super().__init__()
        self.words = count(1)

    @rule(
        who=PEOPLE,
        sorts=st.lists(
            st.sampled_from(["plain", "plain", "careful", "unasked", "later"]),
            min_size=1,
            max_size=5,
        ),
    )
    def says(self, who: int, sorts: list[str]) -> None:
        """Several at once, as one answer to getUpdates brings them."""
        one = self.people[who]
        for sort in sorts:
            self.tell(
                one._event(Kind.SAID, where=Where(id=one.home), text=f"{sort} {next(self.words)}")
            )

    @rule(faults=st.lists(st.sampled_from(["slow", "down"]), min_size=1, max_size=4))
    def platform_stumbles(self, faults: list[str]) -> None:
        self.town.street.trouble = [
            NotNow(3.0) if fault == "slow" else Faltered("down", unsent=True) for fault in faults
        ]

    def check(self) -> None:
        for _ in range(8):  # until an even hour has come
            self.pass_(1800)
        self.drain()
        assert self.value("SELECT count(*) FROM pending") == 0
        assert self.now(quarantine.count(self.db)) == 0
        repeats = 0
        for one in self.people:
            said = [event.text for event in self.told if event.where == Where(id=one.home)]
            heard = Counter(letter.text for letter in one.inbox)
            assert heard.keys() <= set(said)
            for text in said:
                least = 0 if text.startswith("careful") and self.crashes else 1
                most = 1 if text.startswith("careful") or not self.crashes else 1 + self.crashes
                assert least <= heard[text] <= most, text
                repeats += max(heard[text] - 1, 0)
            firsts = list(dict.fromkeys(letter.text for letter in one.inbox))
            for sort in ("plain", "careful"):
                assert [text for text in firsts if text.startswith(sort)] == [
                    text for text in said if text.startswith(sort) and heard[text]
                ]
        # What is in flight when a process dies may be said again: here one lane each at the most.
        assert repeats <= len(self.people) * self.crashes


def test_the_queue_loses_and_doubles_nothing(migrated_file: Path, tmp_path: Path) -> None:
    machine(Queue, migrated_file, tmp_path)


# ---------------------------------------------------------------- the conversation


class Conversation(Machine):
    """One speaks at a time, one case is open at most, and whatever a member says is seen."""

    def __init__(self) -> None:
        super().__init__()
        self.lin = Resident(self.town, "Lin", "lin", "en", self.town.street)
        self.moe = Resident(self.town, "Moe", "moe", "en", self.town.street)
        self.epochs: dict[int, int] = {}
        self.heard = 0  # how much of what was delivered has been looked at
        self.spoke: dict[str, str] = {}  # who spoke in each home when we last looked
        self.words = count(1)
        self.for_staff: list[str] = []
        self.weather.armed = False
        for staff in (self.lin, self.moe):
            self.tell(staff._event(Kind.SAID, where=Where(id=STAFF, private=False), text="Morning"))
        self.weather.armed = True

    def restart(self) -> None:
        super().restart()
        self.lin.town = self.moe.town = self.town

    @rule(who=PEOPLE)
    def asks(self, who: int) -> None:
        """A question that the articles answer."""
        self.say(self.people[who], "When are you open?")

    @rule(who=PEOPLE)
    def tells(self, who: int) -> None:
        """Words that only a person can do something with."""
        one, word = self.people[who], f"parcel-{next(self.words)}"
        case = self.case(one)
        self.say(one, f"{word} came wet and torn")
        waiting = self.value("SELECT count(*) FROM pending WHERE kind = 'in'")
        if case and case == self.case(one) and not waiting:
            self.for_staff.append(word)  # there was a case all the while it was dealt with

    @rule(who=PEOPLE)
    def calls(self, who: int) -> None:
        self.say(self.people[who], "/human")

    @rule(who=PEOPLE, again=st.booleans())
    def presses(self, who: int, again: bool) -> None:
        one = self.people[who]
        data = "handoff.again" if again else f"handoff.cancel:{self.case(one) or 7}"
        self.tell(one._event(Kind.PRESSED, where=Where(id=one.home), data=data, press="x"))

    @rule(who=PEOPLE, moe=st.booleans(), note=st.booleans())
    def answers(self, who: int, moe: bool, note: bool) -> None:
        mark = "// " if note else ""
        self.at_desk(who, moe, Kind.SAID, text=f"{mark}answer-{next(self.words)}")

    @rule(who=PEOPLE, moe=st.booleans(), what=st.sampled_from(["claim", "take_over", "close"]))
    def handles(self, who: int, moe: bool, what: str) -> None:
        case = self.case(self.people[who]) or 7
        self.at_desk(who, moe, Kind.PRESSED, data=f"handoff.{what}:{case}", press="x")

    @rule(who=PEOPLE, moe=st.booleans())
    def closes(self, who: int, moe: bool) -> None:
        self.at_desk(who, moe, Kind.SAID, text="/close")

    def say(self, one: Resident, text: str) -> None:
        self.tell(
            one._event(
                Kind.SAID, where=Where(id=one.home), text=text, message=f"m{next(self.words)}"
            )
        )

    def at_desk(self, who: int, moe: bool, kind: Kind, **more: Any) -> None:
        """Something in the member's topic, if there is one yet."""
        topics = self.rows(
            "SELECT t.ref FROM threads t JOIN identities i ON i.member_id = t.member_id"
            " WHERE i.ref = :ref",
            ref=self.people[who].id,
        )
        for (topic,) in topics:
            staff = self.moe if moe else self.lin
            where = Where(id=STAFF, private=False, thread=topic)
            self.tell(staff._event(kind, where=where, message=f"m{next(self.words)}", **more))

    def case(self, one: Resident) -> int:
        found = self.rows(
            "SELECT c.id FROM cases c JOIN identities i ON i.member_id = c.member_id"
            " WHERE i.ref = :ref AND c.closed_at IS NULL",
            ref=one.id,
        )
        return int(found[0][0]) if found else 0

    @invariant()
    def one_speaks(self) -> None:
        """The speaker and the open case say the same, and who speaks is never the past's."""
        speakers = {
            row["member_id"]: (row["speaker"], row["epoch"], row["home"])
            for row in self.rows(
                "SELECT c.member_id, c.speaker, c.epoch, i.home FROM conversations c"
                " JOIN identities i ON i.member_id = c.member_id"
            )
        }
        cases: dict[int, list[Any]] = {}
        for row in self.rows("SELECT * FROM cases WHERE closed_at IS NULL"):
            cases.setdefault(row["member_id"], []).append(row["assignee_id"])
        for member, (speaker, epoch, home) in speakers.items():
            opened = cases.get(member, [])
            assert len(opened) <= 1
            expected = "bot" if not opened else "none" if opened[0] is None else "human"
            assert speaker == expected
            assert epoch >= self.epochs.get(member, 0)
            changed = epoch != self.epochs.get(member, 0)
            self.epochs[member] = epoch
            # What the bot answered since we last looked, it did while it spoke, before or after.
            for one in self.town.street.delivered[self.heard :]:
                if one.to.place == home and one.key.startswith("faq."):
                    assert "bot" in (speaker, self.spoke.get(home, "bot")) or changed
            self.spoke[home] = speaker
        assert cases.keys() <= speakers.keys()
        self.heard = len(self.town.street.delivered)

    def check(self) -> None:
        self.one_speaks()
        assert self.now(quarantine.count(self.db)) == 0
        at_desk = " ".join(one.text for one in self.town.desk).split()
        assert set(self.for_staff) <= set(at_desk)
        for event in self.told:
            if event.kind is not Kind.SAID or event.where is None or event.text[:1] == "/":
                continue
            if event.text.startswith("parcel-"):
                home = [one for one in self.town.street.delivered if one.to.place == event.where.id]
                assert event.text.split()[0] in at_desk or home
            if event.text.startswith("answer-"):
                self.reached_the_member_or_was_kept(event)

    def reached_the_member_or_was_kept(self, event: Event) -> None:
        """What staff say without a mark reaches the member, or they are told that it did not."""
        carried = [one for one in self.town.street.delivered if event.text in one.text]
        told = {one.key for one in self.town.desk}
        assert carried or told & {"handoff.kept_as_note", "handoff.out_of_reach"}


def test_a_conversation_has_one_voice(migrated_file: Path, tmp_path: Path) -> None:
    machine(Conversation, migrated_file, tmp_path)
