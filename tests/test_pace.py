"""Pace: no second and no minute has more than a platform allows, and what is urgent goes first."""

from __future__ import annotations

import bisect
from collections.abc import Callable
from dataclasses import dataclass, field
from operator import itemgetter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.channels import Limits
from bot.pace import BURST, KEPT, Pace, Slot, Urgency

ANSWER, UPDATE, CAMPAIGN = Urgency


@dataclass
class Said:
    """Something that was let go."""

    at: float
    place: str
    group: bool
    urgency: Urgency
    asked: int  # who asked earlier has a smaller one


@dataclass
class Street:
    """A pace on a clock of its own, and everything it let go."""

    limits: Limits
    before: list[tuple[str, float]] = field(default_factory=list)
    lag: Callable[[int], float] = lambda _: 0.0  # seconds until the nth is answered
    now: float = 1000.0
    rings_at: float | None = None
    said: list[Said] = field(default_factory=list)
    looks: int = 0
    waiting: dict[int, tuple[str, Urgency]] = field(default_factory=dict)
    answers: list[tuple[float, Slot]] = field(default_factory=list)
    asked: int = 0

    def __post_init__(self) -> None:
        self.pace = Pace(self.limits, lambda: self.now, self._wake, said=self.before)

    def _wake(self, seconds: float) -> None:
        rings_at = self.now + seconds
        self.rings_at = rings_at if self.rings_at is None else min(self.rings_at, rings_at)

    def ask(self, place: str = "a", *, group: bool = False, urgency: Urgency = ANSWER) -> Slot:
        self.asked += 1
        number = self.asked
        self.waiting[number] = (place, urgency)

        def given() -> None:
            del self.waiting[number]
            self.said.append(Said(self.now, place, group, urgency, number))
            lag = self.lag(len(self.said))
            if slots:
                self.answers.append((self.now + lag, slots[0]))
            else:
                due.append(self.now + lag)
            self.answers.sort(key=itemgetter(0))

        due: list[float] = []
        slots: list[Slot] = []
        slots.append(self.pace.ask(place, group=group, urgency=urgency, given=given))
        self.answers += [(at, slots[0]) for at in due]
        self.answers.sort(key=itemgetter(0))
        return slots[0]

    def passes(self, seconds: float, *, late: float = 0.0) -> None:
        """Let time pass; each alarm rings `late` by so many seconds, as on a busy machine."""
        end = self.now + seconds
        while (event := min(self._rings(late), self._answered())) <= end:
            self.now = max(self.now, event)
            if self._rings(late) <= event:
                self.rings_at = None
                self.looks += 1
                self.pace.look()
            else:
                self.pace.answered(self.answers.pop(0)[1])
        self.now = end

    def _rings(self, late: float) -> float:
        return float("inf") if self.rings_at is None else self.rings_at + late

    def _answered(self) -> float:
        return self.answers[0][0] if self.answers else float("inf")

    def until_all_is_said(self, *, late: float = 0.0) -> None:
        while self.waiting:
            assert self.rings_at is not None, "nobody would ever look again"
            self.passes(max(self.rings_at - self.now, 0.0) + late, late=late)

    def moments(self, **what: object) -> list[float]:
        """When those were said of whom all this is true."""
        return [
            one.at
            for one in self.said
            if all(getattr(one, name) == value for name, value in what.items())
        ]


def most_within(moments: list[float], seconds: float) -> int:
    """The most there are in any span of so many seconds, its end not included."""
    ordered = sorted(moments)
    return max(
        (bisect.bisect_left(ordered, at + seconds - 1e-6) - n for n, at in enumerate(ordered)),
        default=0,
    )


def street(rate: float = 1e9, **more: object) -> Street:
    return Street(Limits(per_chat=1, per_group=20, overall=rate), **more)  # type: ignore[arg-type]


def test_a_chat_may_burst_and_then_keeps_its_pace() -> None:
    town = street()
    for _ in range(int(BURST) + 3):
        town.ask("a")
    town.until_all_is_said()
    assert [one.at - 1000 for one in town.said] == pytest.approx([0, 0, 0, 1, 2, 3], abs=0.01)
    town.ask("b")
    assert town.said[-1].at == town.now


def test_a_group_hears_twenty_in_any_minute() -> None:
    """A full bucket of twenty, and its refill, once made that thirty-nine."""
    town = street()
    for _ in range(90):
        town.ask("g", group=True)
    town.until_all_is_said()
    assert most_within(town.moments(), 60) == 20
    assert town.said[-1].at - 1000 < 5 * 60


def test_chats_do_not_wait_for_a_group_that_has_heard_enough() -> None:
    town = street(30)
    for _ in range(30):
        town.ask("g", group=True)
    town.ask("a", urgency=CAMPAIGN)
    town.passes(30)
    assert len(town.moments(place="g")) == 20
    assert len(town.moments(place="a")) == 1


@pytest.mark.parametrize("rate", [1, 30, 100, 1000])
@pytest.mark.parametrize("late", [0.0, 0.003])
def test_the_rate_is_reached_and_never_passed(rate: int, late: float) -> None:
    town = street(rate)
    for chat in range(rate * 6):
        town.ask(f"c{chat}", urgency=CAMPAIGN)
    start = town.now
    town.until_all_is_said(late=late)
    assert most_within(town.moments(), 1) <= rate
    assert len(town.said) / (town.now - start) >= 0.95 * rate


@pytest.mark.parametrize("least", [0.0, 0.15])
def test_a_platform_that_is_late_now_and_then_counts_no_more_than_it_allows(least: float) -> None:
    """It may have counted a message any time until its answer came."""
    random = Random(7)
    lags = [least + random.choice([0.0, 0.001, 0.01, 0.06]) for _ in range(12_001)]
    town = street(1000, lag=lags.__getitem__)
    for chat in range(12_000):
        town.ask(f"c{chat}")
    town.until_all_is_said()
    moments = town.moments()
    counted = [at + least + random.random() * (lags[n] - least) for n, at in enumerate(moments, 1)]
    assert most_within(counted, 1) <= 1000
    learnt = moments[6000:]  # by when it is known how long an answer takes at least
    assert len(learnt) / (learnt[-1] - learnt[0]) >= 950


def test_what_is_never_answered_holds_up_nobody_else() -> None:
    town = street(30, lag=lambda n: 0.01 if n % 10 else 1e9)
    for chat in range(300):
        town.ask(f"c{chat}")
    start = town.now
    town.until_all_is_said()
    assert len(town.said) / (town.now - start) >= 0.9 * 30


def test_a_stall_is_made_up_for_by_a_few_and_not_by_all() -> None:
    town = street(100)
    for chat in range(500):
        town.ask(f"c{chat}")
    town.passes(1)
    town.rings_at = town.now + 2  # the loop stands still
    town.until_all_is_said()
    assert most_within(town.moments(), 0.001) <= 26
    assert most_within(town.moments(), 1) <= 100


def test_a_thousand_a_second_take_few_alarms() -> None:
    town = street(1000)
    for chat in range(3000):
        town.ask(f"c{chat}")
    town.until_all_is_said()
    assert town.looks < 1000


def test_an_answer_overtakes_a_campaign_at_once() -> None:
    town = street(30)
    for chat in range(500):
        town.ask(f"c{chat}", urgency=CAMPAIGN)
    town.passes(3)
    before = len(town.said)
    town.ask("x", urgency=UPDATE)
    town.ask("y", urgency=ANSWER)
    town.passes(0.1)
    assert [one.place for one in town.said[before : before + 2]] == ["y", "x"]


def test_a_chat_that_is_to_be_left_alone_is() -> None:
    town = street()
    town.pace.hold("a", 9, group=False)
    town.ask("a")
    town.ask("b")
    assert town.moments(place="b") == [1000]
    town.until_all_is_said()
    assert town.moments(place="a") == pytest.approx([1009])


def test_a_pause_of_the_whole_platform_holds_everybody() -> None:
    town = street()
    town.pace.pause(9)
    town.ask("a")
    town.ask("b")
    town.until_all_is_said()
    assert town.moments() == pytest.approx([1009, 1009])


def test_who_has_gone_away_takes_nobodys_turn() -> None:
    town = street(1)
    town.ask("a")
    gone, _ = town.ask("b"), town.ask("c")
    gone.gone = True
    town.passes(1.1)
    assert [one.place for one in town.said] == ["a", "c"]


def test_what_went_out_before_a_restart_counts() -> None:
    town = street(30, before=[("g", ago) for ago in range(15)] + [("x", 0.2)] * 29)
    for _ in range(10):
        town.ask("g", group=True)
    town.passes(40)
    assert len(town.said) == 5
    town.until_all_is_said()
    assert most_within([1000 - ago for ago in range(15)] + town.moments(), 60) <= 20


def test_a_restart_begins_without_a_burst() -> None:
    town = street(1000)
    for chat in range(50):
        town.ask(f"c{chat}")
    assert len(town.said) == 1


def test_no_more_chats_are_remembered_than_need_be() -> None:
    town = street()
    for chat in range(KEPT + 500):
        town.ask(f"c{chat}")
        town.now += 0.01
    assert len(town.pace._chats) <= KEPT


asks = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c", "d", "g1", "g2"]),
        st.sampled_from(list(Urgency)),
        st.floats(0, 4),  # seconds until the next one asks
    ),
    max_size=120,
)


@settings(deadline=None, max_examples=150)
@given(asks=asks, rate=st.sampled_from([1, 2, 5, 30]), late=st.sampled_from([0.0, 0.002, 0.3]))
def test_whatever_is_asked_the_limits_hold_and_everybody_has_their_turn(
    asks: list[tuple[str, Urgency, float]], rate: int, late: float
) -> None:
    town = street(rate)
    for place, urgency, pause in asks:
        town.ask(place, group=place.startswith("g"), urgency=urgency)
        town.passes(pause, late=late)
    town.until_all_is_said(late=late)

    assert len(town.said) == len(asks)
    assert most_within(town.moments(), 1) <= rate
    for place in {place for place, _, _ in asks}:
        moments = town.moments(place=place)
        assert most_within(moments, 60) <= (20 if place.startswith("g") else 63)
        assert most_within(moments, 1) <= BURST + 1
        for urgency in Urgency:
            turns = [one.asked for one in town.said if (one.place, one.urgency) == (place, urgency)]
            assert turns == sorted(turns)


@settings(deadline=None, max_examples=100)
@given(asks=st.lists(st.sampled_from(list(Urgency)), min_size=1, max_size=60))
def test_the_most_urgent_goes_first_and_among_equals_who_asked_first(asks: list[Urgency]) -> None:
    town = street(2)
    town.ask("first")
    for chat, urgency in enumerate(asks):
        town.ask(f"c{chat}", urgency=urgency)
    town.until_all_is_said()
    order = [(one.urgency, one.asked) for one in town.said[1:]]
    assert order == sorted(order)
