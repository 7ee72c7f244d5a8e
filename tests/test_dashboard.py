"""The dashboard: who gets in, what they see of whose, what is counted, and how it looks."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from threading import current_thread
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from aiohttp import ClientSession
from playwright.async_api import Browser, Page, expect

from bot.channels import Malformed
from bot.web.almanac import Almanac
from bot.web.app import application
from bot.web.findings import Week, found
from handlers.turn import Event, Kind, Person, Where
from knowledge.texts import Texts
from storage import campaigns, cases, facts, members, quarantine, reports, sessions, tokens
from storage.facts import Fact
from storage.members import Member
from storage.unhurried import UnhurriedReader, unhurried
from storage.writer import Change
from tests.browser import axe_source, violations
from tests.community import GROUP, SAMPLE, Community, Resident
from tests.village import browsing, served, village

SHANGHAI = ZoneInfo("Asia/Shanghai")
PATHS = ("", "/messages", "/aside", "/machine")
TWO = [
    {"name": "Harbour Tea", "zone": "Asia/Shanghai", "knowledge": str(SAMPLE)},
    {"name": "Hill Coffee (demo)", "zone": "America/New_York"},
]


@pytest.fixture
async def bo(town: Community) -> Resident:
    """Who looks after the town."""
    return await town.admin("Bo")


@pytest.fixture
async def address(town: Community) -> AsyncIterator[str]:
    """Where the pages are served."""
    async with served(application(town.house)) as found:
        yield found


@pytest.fixture
async def visitor(address: str) -> AsyncIterator[ClientSession]:
    """Somebody's browser, as far as HTTP goes."""
    async with browsing(address) as session:
        yield session


async def link(admin: Resident) -> str:
    """The way in that the bot gives, without the machine it leads to."""
    await admin.says("/dashboard")
    assert admin.last.key == "dashboard.link_here"
    whole: str = admin.last.words["link"]
    return whole.removeprefix("http://127.0.0.1:8080")


async def enter(visitor: ClientSession, way: str) -> int:
    """Press the button on the page behind a link; returns how that was answered."""
    async with visitor.post("/login", data={"t": way.partition("=")[2]}) as answer:
        return answer.status


async def page(visitor: ClientSession, path: str, status: int = 200) -> str:
    async with visitor.get(path) as answer:
        assert answer.status == status
        return (await answer.text()).replace("\u00a0", " ").replace("\u2011", "-")


def here(town: Community) -> str:
    return f"/dashboard/{town.known.id}"


# ---------------------------------------------------------------- getting in


async def test_an_admin_gets_a_link_that_lets_them_in_once(
    bo: Resident, address: str, visitor: ClientSession
) -> None:
    way = await link(bo)
    for _ in range(2):  # a messenger may look at it first
        html = await page(visitor, way)
        assert "Welcome back" in html
        assert bo.name not in html
    assert await enter(visitor, way) == 200
    assert "<b>Innkeeper</b>" in await page(visitor, "/dashboard")
    async with browsing(address) as other:
        assert await enter(other, way) == 410
        assert "Send /dashboard to the bot" in await page(other, way, 410)
        assert "Come in through the chat" in await page(other, "/dashboard")


async def test_a_link_is_good_for_ten_minutes(
    town: Community, bo: Resident, visitor: ClientSession
) -> None:
    way = await link(bo)
    await town.passes(minutes=10)
    assert "no longer works" in await page(visitor, way, 410)
    assert await enter(visitor, way) == 410


async def test_another_link_voids_the_one_before(bo: Resident, visitor: ClientSession) -> None:
    first, second = await link(bo), await link(bo)
    assert await enter(visitor, first) == 410
    assert await enter(visitor, second) == 200


async def test_a_link_lets_in_nobody_but_whom_it_was_given_to(
    town: Community, bo: Resident, visitor: ClientSession
) -> None:
    cy = await town.admin("Cy")
    way, other = await link(bo), (await cy.known()).id
    for wrong in (re.sub(r"=\d+", f"={other}", way), "/login?t=x", "/login?t=-1.x", "/login?t=1."):
        assert await enter(visitor, wrong) == 410


async def test_nothing_but_a_digest_of_link_and_session_is_kept(
    town: Community, bo: Resident, visitor: ClientSession
) -> None:
    way = await link(bo)
    await enter(visitor, way)
    (cookie,) = visitor.cookie_jar
    db = town.house.database.reader
    kept = [
        *await db.rows("SELECT digest FROM tokens WHERE purpose LIKE 'login%'"),
        *await db.rows("SELECT digest FROM sessions"),
    ]
    secret = way.partition(".")[2]
    assert [row["digest"] for row in kept] == [tokens.digest(secret), tokens.digest(cookie.value)]
    assert (cookie.key, cookie["httponly"], cookie["samesite"]) == ("innkeeper", True, "Lax")


async def test_members_are_not_let_in(town: Community, ana: Resident) -> None:
    await ana.says("/dashboard")
    assert ana.last.key == "house.not_allowed"
    await ana.says(f"/start dashboard_here-{town.known.id}")  # passed on by somebody
    assert ana.last.key == "house.not_allowed"


async def test_in_a_group_the_way_leads_to_the_private_chat(town: Community, bo: Resident) -> None:
    await bo.says("/dashboard", group=True)
    asked = town.group[-1]
    assert asked.key == "dashboard.in_private"
    assert asked.buttons == [
        f"https://street.example/innkeeper?start=dashboard_here-{town.known.id}"
    ]
    await bo.says(f"/start {asked.buttons[0].rpartition('=')[2]}")
    assert bo.last.key == "dashboard.link_here"
    assert "opens only on the machine" in bo.last.text


async def test_where_there_is_a_public_address_it_is_a_button(url: str) -> None:
    town = await Community.founded(url, settings={"web": {"url": "https://inn.example/"}})
    bo = await town.admin("博", language="zh-hans")
    await bo.says("/dashboard")
    assert bo.last.key == "dashboard.link"
    assert bo.last.text == "这是你的入口，10 分钟内有效，只能用一次。"
    assert bo.last.buttons[0].startswith("https://inn.example/login?t=")
    way = bo.last.buttons[0].partition("=")[2]
    async with served(application(town.house)) as at, browsing(at) as visitor:
        async with visitor.post("/login", data={"t": way}, allow_redirects=False) as answer:
            cookie = answer.cookies["__Host-innkeeper"]
        assert (cookie["secure"], cookie["path"], cookie["domain"]) == (True, "/", "")
    await town.close()


async def test_it_opens_from_the_playground_too(tmp_path: Path, migrated_file: Path) -> None:
    path = tmp_path / "village.sqlite"
    shutil.copy(migrated_file, path)
    async with village(f"sqlite:///{path}") as place:
        bo = await place.villager("Bo")
        await place.people.ranks(bo.id, place.group.id, "admin")
        await place.house.settled()
        await bo.says("/dashboard")
        found = re.search(r"http://127.0.0.1:8080(/login\?t=\S+)", (await bo.last()).body.text)
        assert found is not None
        pages = application(place.house, playground=place.channel)
        async with served(pages) as at, browsing(at) as visitor:
            await enter(visitor, found[1])
            html = await page(visitor, "/dashboard")
            assert "Harbour Tea" in html
            assert "Machine</a>" in html
            community, *_ = place.house.directory.communities
            room = await page(visitor, f"/dashboard/{community}/machine")
            assert "heard from just now" in room


async def test_the_door_speaks_the_visitors_language(visitor: ClientSession) -> None:
    async with visitor.get("/login", headers={"Accept-Language": "zh-CN,zh;q=0.9"}) as answer:
        assert "请从聊天里进来" in await answer.text()


# ---------------------------------------------------------------- staying, and going


async def test_a_session_lasts_while_it_is_used_but_not_for_ever(
    town: Community, bo: Resident, visitor: ClientSession
) -> None:
    await enter(visitor, await link(bo))
    for _ in range(66):
        await page(visitor, here(town))
        town.clock.move(timedelta(hours=11))
    assert "Come in through the chat" in await page(visitor, here(town))  # a month is over
    await enter(visitor, await link(bo))
    town.clock.move(timedelta(hours=12))
    assert "Come in through the chat" in await page(visitor, here(town))


async def test_a_page_that_renews_itself_keeps_nobody_logged_in(
    town: Community, bo: Resident, visitor: ClientSession
) -> None:
    await enter(visitor, await link(bo))
    live = {"HX-Request": "true"}
    for _ in range(2):
        town.clock.move(timedelta(hours=5))
        async with visitor.get(here(town), headers=live) as answer:
            assert answer.status == 200
    town.clock.move(timedelta(hours=2))
    async with visitor.get(here(town), headers=live) as answer:
        assert (answer.status, answer.headers["HX-Redirect"]) == (401, "/login")


async def test_whoever_logs_out_is_out(
    town: Community, bo: Resident, visitor: ClientSession
) -> None:
    await enter(visitor, await link(bo))
    (cookie,) = visitor.cookie_jar
    async with visitor.post("/logout") as answer:
        assert "You are logged out" in await answer.text()
    visitor.cookie_jar.update_cookies({"innkeeper": cookie.value})  # as if it had been copied
    assert "Come in through the chat" in await page(visitor, here(town))


async def test_rights_are_those_of_the_moment(
    town: Community, bo: Resident, visitor: ClientSession
) -> None:
    unused = None
    await enter(visitor, await link(bo))
    unused = await link(bo)
    await page(visitor, here(town))
    await town.happens(
        Event(
            kind=Kind.RANKED,
            channel="street",
            id="lowered",
            at=town.clock.now(),
            person=Person(bo.id, bo.name),
            where=Where(id=GROUP, private=False),
            data="member",
        )
    )
    assert (await bo.known()).role == "member"
    assert "Come in through the chat" in await page(visitor, here(town))
    assert await enter(visitor, unused) == 403


async def test_whoever_is_forgotten_is_logged_out(
    town: Community, bo: Resident, visitor: ClientSession
) -> None:
    await enter(visitor, await link(bo))
    await bo.says("/forget")
    await bo.presses(f"privacy.forget:{(await bo.known()).id}")
    assert await town.house.database.reader.value("SELECT count(*) FROM sessions") == 0
    assert "Come in through the chat" in await page(visitor, here(town))


async def test_old_sessions_go_when_somebody_comes(town: Community) -> None:
    writer, now = town.house.database.writer, town.clock.now()
    await writer.settle(sessions.begun("old", member=1, at=now - sessions.IDLE))
    await writer.settle(sessions.begun("new", member=2, at=now))
    rows = await town.house.database.reader.rows("SELECT digest FROM sessions")
    assert [row["digest"] for row in rows] == ["new"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {},
    ],
)
async def test_other_sites_cannot_act(
    town: Community, bo: Resident, address: str, headers: dict[str, str]
) -> None:
    way = await link(bo)
    paths = [
        "/login", "/logout", f"{here(town)}/aside/1/retry", f"{here(town)}/aside/1/drop",
        f"{here(town)}/messages/1/pause", f"{here(town)}/messages/1/cancel",
    ]  # fmt: skip
    async with ClientSession(address) as session:
        for path in paths:
            async with session.post(
                path, data={"t": way.partition("=")[2]}, headers=headers
            ) as answer:
                assert (path, answer.status) == (path, 403)
    async with browsing(address) as own:
        assert await enter(own, way) == 200  # nobody has spent it


async def test_every_post_is_guarded(town: Community) -> None:
    pages = application(town.house)
    posts = [one for one in pages.router.routes() if one.method == "POST"]
    assert len(posts) >= 7
    assert [one for one in posts if one.handler.__name__ != "guarded"] == []


# ---------------------------------------------------------------- who sees what


@asynccontextmanager
async def two_towns(url: str) -> AsyncIterator[tuple[Community, int]]:
    """The town, and the id of another community of the same bot."""
    town = await Community.founded(url, settings={"community": TWO})
    ids = list(town.house.directory.communities)
    yield town, next(id for id in ids if id != town.known.id)
    await town.close()


async def known_in(
    town: Community, community: int, *people: Resident, role: str = "member"
) -> list[Member]:
    """The same people, in another community too."""
    take, changes = town.house.world.ids.take, list[Change]()
    known = [
        Member(
            id=take(), community=community, channel="street", ref=one.id, name=one.name,
            role=role, status="member",
        )
        for one in people
    ]  # fmt: skip
    for one in known:
        changes += members.arrived(one, identity=take(), at=town.clock.now())
    await town.house.database.writer.settle(changes)
    return known


async def test_what_is_anothers_is_as_if_it_were_not_there(url: str) -> None:
    async with two_towns(url) as (town, other):
        bo, zoe = await town.admin("Bo"), await town.resident("Zoe")
        (there,) = await known_in(town, other, zoe, role="admin")
        held = await hold(town, 1, member=(await zoe.known()).id)
        theirs = await hold(town, 2, member=there.id)
        async with served(application(town.house)) as at, browsing(at) as visitor:
            await enter(visitor, await link(bo))
            assert f"/dashboard/{other}" not in await page(visitor, here(town))
            for path in PATHS:
                html = await page(visitor, f"/dashboard/{other}{path}", 404)
                assert "There is nothing here" in html
                assert "Hill" not in html
            for community, number, status in (
                (other, theirs, 404),
                (town.known.id, theirs, 404),
                (town.known.id, held, 200),
            ):
                path = f"/dashboard/{community}/aside/{number}/drop"
                async with visitor.post(path) as answer:
                    assert (path, answer.status) == (path, status)
            assert await quarantine.count(town.house.database.reader) == 1
            await page(visitor, "/dashboard/99999", 404)
            await page(visitor, "/dashboard/x", 404)


async def test_whoever_looks_after_several_changes_between_them(url: str) -> None:
    async with two_towns(url) as (town, other):
        bo = await town.admin("Bo")
        await known_in(town, other, bo, role="admin")
        async with served(application(town.house)) as at, browsing(at) as visitor:
            await enter(visitor, await link(bo))
            html = await page(visitor, here(town))
            assert f'href="/dashboard/{other}"' in html
            assert "Demonstration data" not in html
            html = await page(visitor, f"/dashboard/{other}")
            assert "Demonstration data" in html


# ---------------------------------------------------------------- what is counted


async def test_what_happened_is_counted_between_two_moments(
    town: Community, ana: Resident, mei: Resident
) -> None:
    await ana.says("/checkin")
    await ana.says("Can I return tea?")
    start = town.clock.now()
    await town.passes(days=1)
    await mei.says("/checkin")
    await mei.says("海王星的第三颗卫星叫什么名字？")
    db, end = town.house.database.reader, town.clock.now() + timedelta(seconds=1)
    assert await reports.happened(
        db, town.known.id, since=start - timedelta(days=1), until=start + timedelta(hours=1)
    ) == {"joined": 2, "checked_in": 1, "answered": 1}
    assert await reports.happened(
        db, town.known.id, since=start + timedelta(hours=1), until=end
    ) == {"checked_in": 1, "unanswered": 1}
    assert await reports.happened(db, 0, since=start - timedelta(days=9), until=end) == {}
    began = await reports.began(db, town.known.id)
    assert began is not None
    assert began <= start
    assert await reports.began(db, 0) is None


async def test_days_are_the_communitys_and_one_that_is_over_is_asked_once(
    town: Community,
) -> None:
    asked: list[tuple[datetime, datetime]] = []

    async def ask(since: datetime, until: datetime) -> dict[str, int]:
        asked.append((since, until))
        return {"joined": 1}

    almanac, today = Almanac(town.clock), date(2025, 3, 3)
    for _ in range(3):
        days = await almanac.days("facts", ask, first=date(2025, 3, 2), last=today, zone=SHANGHAI)
        assert days == {date(2025, 3, 2): Counter(joined=1), today: Counter(joined=1)}
    assert [since.isoformat() for since, _ in asked] == [
        "2025-03-02T00:00:00+08:00",
        "2025-03-03T00:00:00+08:00",
        "2025-03-03T00:00:00+08:00",
        "2025-03-03T00:00:00+08:00",
    ]
    spring = date(2025, 3, 30)  # of 23 hours in Berlin
    await almanac.days("x", ask, first=spring, last=spring, zone=ZoneInfo("Europe/Berlin"))
    since, until = asked[-1]
    assert until.timestamp() - since.timestamp() == 23 * 3600


@pytest.mark.parametrize(
    ("this", "before", "name"),
    [
        (Week(), Week(), "silent"),
        (Week(joined=2, checked_in=3), Week(checked_in=1), "few"),
        (Week(answered=30, unanswered=30), Week(answered=50, unanswered=10), "answers_fell"),
        (Week(left=20, joined=3), Week(left=4, joined=9), "leaving"),
        (Week(left=20, joined=30), Week(left=4, joined=28), "steady"),
        (Week(checked_in=60), Week(checked_in=100), "checkins_fell"),
        (Week(checked_in=92), Week(checked_in=100), "steady"),
        (Week(checked_in=140), Week(checked_in=100), "checkins_rose"),
        (Week(joined=4, checked_in=50), Week(joined=20, checked_in=50), "joins_fell"),
        (Week(joined=40, checked_in=50), Week(joined=20, checked_in=50), "joins_rose"),
    ],
)
def test_what_is_said_first(this: Week, before: Week, name: str) -> None:
    finding = found(this, before)
    assert finding.name == name
    texts = Texts.load()
    for language in texts.languages:
        for part in ("finding", "advice"):
            assert texts.say(language, f"dashboard.{part}.{name}", **finding.words)


async def test_the_page_says_what_changed_and_who_waits(
    town: Community, bo: Resident, mei: Resident, visitor: ClientSession
) -> None:
    await history(town, [(day, Fact.CHECKED_IN, 10 if day > 7 else 4) for day in range(1, 15)])
    await history(town, [(20, Fact.JOINED, 5), (3, Fact.JOINED, 2), (3, Fact.LEFT, 1)])
    await enter(visitor, await link(bo))
    html = await page(visitor, here(town))
    assert "Check-ins fell to 28, from 70 the week before." in html
    assert "brings more people back" in html
    assert "Check-ins: 28 in the last 7 days, 70 in the 7 before" in html
    assert "2 joined in the last 7 days, 0 of them brought by members" in html
    await mei.says("/human")
    await town.passes(hours=2, minutes=10)
    html = await page(visitor, here(town))
    assert "First: somebody has waited 2 h 10 min for a person to answer." in html
    assert await reports.waits(town.house.database.reader, town.known.id) == reports.Waits(
        1, 1, (await case_of(town, mei)).opened_at
    )


async def test_members_are_told_back_from_how_many_there_are(
    town: Community, bo: Resident, mei: Resident, visitor: ClientSession
) -> None:
    await history(town, [(40, Fact.JOINED, 1), (2, Fact.JOINED, 1), (1, Fact.LEFT, 3)])
    await enter(visitor, await link(bo))
    html = await page(visitor, here(town))
    assert "Members: 2, as many as 30 days ago" in html  # 3 left, 2 + 1 joined since
    table = html.partition("Members</th>")[2].partition("</table>")[0]
    rows = re.findall(r'scope="row">([^<]+)</th><td>(\d+)</td>', table)
    assert rows[:4] == [
        ("3 Mar, so far", "2"), ("2 Mar", "0"), ("1 Mar", "3"), ("28 Feb", "2"),
    ]  # fmt: skip


async def test_a_young_community_is_shown_by_the_day_and_an_empty_one_taught(
    town: Community, visitor: ClientSession
) -> None:
    bo = await town.resident("Bo", member=False)
    await town.house.database.writer.settle([members.ranked((await bo.known()).id, "admin")])
    await enter(visitor, await link(bo))
    html = await page(visitor, here(town))
    assert "Nothing has happened here yet." in html
    for taught in ("No members yet", "No check-ins in", "No questions yet", "Nobody has joined"):
        assert taught in html
    await bo.joins()
    await bo.says("/checkin")
    html = await page(visitor, here(town))
    assert "Your first day: 1 joined, 1 checked in, 0 asked something." in html
    assert "Members: 1" in html
    assert "Check-ins: 1 so far" in html
    assert "Few so far" in html
    for days, told in (
        (13, "Since 3 Mar: newcomers 1, check-ins 1, questions 0."),
        (1, "Too little happened to call it a change: 0 entries this week, 2 the week before."),
        (14, "Two weeks without a newcomer, a check-in or a question."),
    ):
        await town.passes(days=days)
        await enter(visitor, await link(bo))
        assert told in await page(visitor, here(town))


async def history(town: Community, happened: Sequence[tuple[int, Fact, int]]) -> None:
    """So many days ago this happened so often, at noon of that day."""
    ids, changes = town.house.world.ids, []
    await ids.refill(sum(times for _, _, times in happened) + 100)
    for back, fact, times in happened:
        at = town.clock.now() - timedelta(days=back)
        changes += [
            facts.recorded(
                id=ids.take(), community=town.known.id, member=1, fact=fact, amount=1,
                day=at.astimezone(SHANGHAI).date(), at=at, once=None, about=None,
            )
            for _ in range(times)
        ]  # fmt: skip
    await town.house.database.writer.settle(changes)


async def case_of(town: Community, member: Resident) -> cases.Case:
    found = await cases.open_case(town.house.database.reader, (await member.known()).id)
    assert found is not None
    return found


# ---------------------------------------------------------------- what was set aside


async def hold(town: Community, number: int, *, member: int | None, payload: str = "{}") -> int:
    """Something that was set aside."""
    id = town.house.world.ids.take()
    held = quarantine.Quarantined(
        id=id, channel="street", key=f"k{number}", reason=f"KeyError number {number}",
        at=town.clock.now(), payload=payload, attempts=3, member=member,
    )  # fmt: skip
    await town.house.database.writer.settle([quarantine.put(held)])
    return id


async def test_admins_see_their_own_masked_and_owners_what_is_nobodys_too(
    town: Community, ana: Resident, bo: Resident, address: str
) -> None:
    own = await hold(town, 1, member=(await ana.known()).id, payload='{"text": "A secret"}')
    await town.happens(Malformed(id="bad", reason="not JSON at all", payload="\0ÿ<b>"))
    (nobodys,) = [
        one.id for one in await quarantine.held(town.house.database.reader) if one.id != own
    ]
    async with browsing(address) as visitor:
        await enter(visitor, await link(bo))
        html = await page(visitor, f"{here(town)}/aside?show={own}")
        assert "KeyError number 1" in html
        assert "about A•••" in html
        assert "Ana" not in html
        assert "A secret" not in html
        assert "not JSON at all" not in html
        async with visitor.post(f"{here(town)}/aside/{nobodys}/drop") as answer:
            assert answer.status == 404
    olga = await town.owner("Olga")
    async with browsing(address) as visitor:
        await enter(visitor, await link(olga))
        html = await page(visitor, f"{here(town)}/aside")
        assert "not JSON at all" in html
        assert "about nobody we know" in html
        assert "A secret" not in html
        assert "A secret" in await page(visitor, f"{here(town)}/aside?show={own}")
        shown = await page(visitor, f"{here(town)}/aside?show={nobodys}")
        assert "&lt;b&gt;" in shown
        async with visitor.post(f"{here(town)}/aside/{nobodys}/retry") as answer:
            assert "can only be dropped" in await answer.text()
        async with visitor.post(f"{here(town)}/aside/{nobodys}/drop") as answer:
            assert "It is deleted." in await answer.text()
        async with visitor.post(f"{here(town)}/aside/{nobodys}/drop") as answer:
            assert "no longer there" in await answer.text()


async def test_what_is_tried_again_is_done(
    town: Community, ana: Resident, bo: Resident, visitor: ClientSession
) -> None:
    number = await hold(town, 1, member=(await ana.known()).id, payload=late(town, ana))
    await enter(visitor, await link(bo))
    assert "Set aside<span" in await page(visitor, here(town))
    async with visitor.post(f"{here(town)}/aside/{number}/retry") as answer:
        html = await answer.text()
    assert "It waits for another try now." in html
    assert "Nothing is set aside" in html
    await town.house.settled()
    assert ana.heard("checkin.done")


async def test_a_letter_that_is_tried_again_is_said_once(
    town: Community, ana: Resident, bo: Resident, visitor: ClientSession
) -> None:
    town.street.trouble = [RuntimeError("cannot be put into words")]
    await ana.says("/checkin")
    assert not ana.heard("checkin.done")
    (held,) = await quarantine.held(town.house.database.reader)
    await enter(visitor, await link(bo))
    async with visitor.post(f"{here(town)}/aside/{held.id}/retry") as answer:
        assert "It waits for another try now." in await answer.text()
    for _ in range(3):
        await town.passes(minutes=1)
    assert [one.key for one in ana.inbox].count("checkin.done") == 1


def late(town: Community, someone: Resident) -> str:
    """That somebody wanted to check in, as it is kept."""
    return json.dumps(
        {
            "kind": "said", "channel": "street", "id": "late", "at": town.clock.now().isoformat(),
            "person": {"id": someone.id, "name": someone.name, "language": "en"},
            "where": {"id": someone.home}, "text": "/checkin", "message": "m-late",
        }
    )  # fmt: skip


# ---------------------------------------------------------------- the machine room


async def test_the_machine_room_tells_what_waits_and_what_became_of_what_was_said(
    town: Community, ana: Resident, bo: Resident, visitor: ClientSession
) -> None:
    await ana.blocks()
    ends = ["sent", "sent", "sent: perhaps twice", "unknown", "unknown", "withheld: quiet"]
    await said(town, await ana.known(), ends)
    await waiting(town, 3, timedelta(minutes=5))
    await enter(visitor, await link(bo))
    html = re.sub(r"\s+", " ", await page(visitor, f"{here(town)}/machine"))
    assert "<b>3</b> <small>the first for 5 min" in html
    assert "quiet" in html
    assert "Your community" in html
    assert "<dt>Repeated sends</dt><dd><b>1</b>" in html
    assert "<dt>Unknown</dt><dd><b>2</b>" in html
    assert "<dt>street</dt><dd>not heard from yet</dd>" in html
    assert re.search(r"(SQLite|PostgreSQL), [\d.]+ MB", html)
    assert "0.1.0" in html


async def test_the_log_is_asked_by_day_and_community(town: Community, ana: Resident) -> None:
    known = await ana.known()
    await said(town, known, ["sent", "unknown", "failed: gone"])
    db, now = town.house.database.reader, town.clock.now()
    since, until = now - timedelta(seconds=1), now + timedelta(seconds=1)
    own = await reports.outcomes(db, since=since, until=until, community=town.known.id)
    assert own["unknown"] == own["failed: gone"] == 1
    assert await reports.outcomes(db, since=since, until=until, community=None) == own
    assert await reports.outcomes(db, since=since, until=until, community=0) == {}
    assert await reports.outcomes(db, since=until, until=until, community=None) == {}


async def said(town: Community, member: Member, outcomes: Sequence[str]) -> None:
    """This became of what was said to them just now."""
    await town.house.database.writer.settle(
        [
            Change(
                """
                INSERT INTO interactions (id, community_id, member_id, channel, place, message,
                    direction, kind, outcome, at)
                VALUES (:id, :community, :member, 'street', '', '', 'out', 'test', :outcome, :at)
                """,
                {
                    "id": town.house.world.ids.take(), "community": member.community,
                    "member": member.id, "outcome": one,
                    "at": int(town.clock.now().timestamp() * 1_000_000),
                },
            )
            for one in outcomes
        ]
    )  # fmt: skip


async def waiting(town: Community, many: int, span: timedelta) -> None:
    """So many letters have been due for so long, in a chat that nobody can reach."""
    at = int((town.clock.now() - span).timestamp() * 1_000_000)
    await town.house.database.writer.settle(
        [
            Change(
                """
                INSERT INTO pending (id, kind, channel, key, lane, share, community_id, state,
                    attempts, due_at, created_at)
                VALUES (:id, 'out', 'away', :key, 'away:1', 0, :c, 'sending', 0, :at, :at)
                """,
                {
                    "id": town.house.world.ids.take(), "key": f"w{nth}", "c": town.known.id,
                    "at": at,
                },
            )
            for nth in range(many)
        ]
    )  # fmt: skip


# ---------------------------------------------------------------- messages to many


async def test_messages_to_many_are_shown_with_how_far_they_have_got(
    town: Community, bo: Resident, visitor: ClientSession
) -> None:
    await enter(visitor, await link(bo))
    assert "Nothing has been sent to many yet" in await page(visitor, f"{here(town)}/messages")
    await campaign(town, "The <b>harbour</b> feast is on Sunday", state="running")
    html = await page(visitor, f"{here(town)}/messages")
    assert "The &lt;b&gt;harbour&lt;/b&gt; feast" in html
    assert "6,000 sent, 20 failed, 30 withheld, 2 unknown, 3,948 to come" in html
    assert "6,052 of 10,000" in html
    assert "on its way" in html


async def test_a_message_to_many_is_paused_goes_on_and_ends(
    town: Community, bo: Resident, visitor: ClientSession
) -> None:
    await enter(visitor, await link(bo))
    number = await campaign(town, "A feast", state="running")
    anothers = await campaign(town, "Theirs", state="running", community=77)
    path = f"{here(town)}/messages"
    for doing, state, said in (
        ("pause", "paused", "Paused. What is just leaving still arrives."),
        ("pause", "paused", "That was no longer possible"),
        ("resume", "running", "It goes on."),
        ("cancel", "cancelled", "Cancelled. Nobody else gets it."),
        ("resume", "cancelled", "That was no longer possible"),
    ):
        async with visitor.post(f"{path}/{number}/{doing}") as answer:
            assert said in await answer.text()
        found = await campaigns.by_id(town.house.database.reader, number)
        assert found is not None
        assert found.state == state
    async with visitor.post(f"{path}/{anothers}/cancel") as answer:
        assert answer.status == 404


async def campaign(town: Community, text: str, *, state: str, community: int = 0) -> int:
    """A message to many, that has got some way."""
    id, at = town.house.world.ids.take(), int(town.clock.now().timestamp() * 1_000_000)
    await town.house.database.writer.settle(
        [
            Change(
                """
                INSERT INTO campaigns (id, community_id, state, text, media, audience, reached,
                    total, queued, sent, failed, withheld, unknown, created_at, started_at)
                VALUES (:id, :c, :state, :text, '', '', 0, 10000, 6060, 6000, 20, 30, 2, :at, :at)
                """,
                {"id": id, "c": community or town.known.id, "state": state, "text": text, "at": at},
            )
        ]
    )
    return id


# ---------------------------------------------------------------- underneath


async def test_long_questions_hold_up_nobody_on_sqlite(town: Community, ana: Resident) -> None:
    async with unhurried(town.house.database) as reader:
        assert await reader.value("SELECT count(*) FROM members") == 1
        row = await reader.row("SELECT id, name FROM members")
        assert row is not None
        assert reader.open("members", "name", row["id"], row["name"]) == "Ana"
        if not isinstance(reader, UnhurriedReader):
            return
        threads = {current_thread().name}
        reader._connection.set_trace_callback(lambda _: threads.add(current_thread().name))
        await reader.rows("SELECT id FROM members")
        assert len(threads) == 2
        with pytest.raises(Exception, match="readonly"):
            await reader.rows("DELETE FROM members")


def test_every_text_of_the_dashboard_is_said() -> None:
    root = Path(__file__).parent.parent
    written = "\n".join(
        one.read_text("utf-8")
        for folder in ("bot/web", "handlers")
        for one in (root / folder).rglob("*")
        if one.suffix in (".py", ".html")
    )
    families = ("finding", "advice", "page", "queue", "outcome", "state", "login", "done", "span")
    keys = [key for key in Texts.load().languages["en"] if key.startswith("dashboard.")]
    silent = [
        key
        for key in keys
        if key.split(".")[1] not in families
        and not any(f'"{part}"' in written for part in (key, key.partition(".")[2]))
        and not re.search(rf'"{key.rpartition(".")[2]}"|{key.split(".")[1]}\.{{name}}', written)
    ]
    assert silent == []


# ---------------------------------------------------------------- in a browser


@dataclass
class Desk:
    """The dashboard, open in a browser."""

    town: Community
    page: Page
    faults: list[str]

    async def shuts_nobody_out(self) -> bool:
        """Whether axe-core finds nothing; it breaks our content policy itself, and may."""
        assert self.faults == []
        await self.page.evaluate(axe_source())
        assert await violations(self.page) == []
        self.faults.clear()
        return True

    async def goes(self, path: str) -> None:
        await self.page.goto(f"{self.page.url.partition('/dashboard')[0]}{here(self.town)}{path}")


@asynccontextmanager
async def look(
    browser: Browser, town: Community, address: str, admin: Resident, **context: Any
) -> AsyncIterator[Desk]:
    """Come in by the link, with a real browser; whatever its console complained of is a fault."""
    given = {"viewport": {"width": 1280, "height": 800}, "locale": "en-GB"} | context
    opened = await browser.new_context(**given)
    page, faults = await opened.new_page(), list[str]()
    page.on("console", lambda told: faults.append(told.text) if told.type == "error" else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    desk = Desk(town, page, faults)
    await page.goto(f"{address}{await link(admin)}")
    assert await desk.shuts_nobody_out()
    await page.keyboard.press("Enter")  # the one button has the focus
    await expect(page).to_have_url(re.compile(r"/dashboard/\d+$"))
    yield desk
    await opened.close()
    assert faults == []


@pytest.mark.browser
@pytest.mark.parametrize("language", ["en", "zh-hans"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
async def test_nobody_is_shut_out(
    browser: Browser, sample: Community, language: str, scheme: Any, width: int
) -> None:
    town = sample
    olga = await lived_in(town, language)
    async with served(application(town.house)) as address:
        context = {
            "viewport": {"width": width, "height": 900},
            "color_scheme": scheme,
            "locale": "zh-CN" if language != "en" else "en-GB",
        }
        async with look(browser, town, address, olga, **context) as desk:
            for path in PATHS:
                await desk.goes(path)
                for opened in await desk.page.locator("main details > summary").all():
                    await opened.click()
                assert await desk.shuts_nobody_out()
                assert await desk.page.evaluate(
                    "document.documentElement.scrollWidth <= innerWidth"
                )


@pytest.mark.browser
async def test_what_changes_is_renewed_without_a_reload(
    browser: Browser, sample: Community
) -> None:
    town = sample
    bo = await town.admin("Bo")
    number = await campaign(town, "A feast", state="paused")
    async with (
        served(application(town.house)) as address,
        look(browser, town, address, bo) as desk,
    ):
        await desk.page.clock.install()
        await desk.goes("/messages")
        await desk.page.get_by_text("Cancel…").click()
        for sent in (7000, 8000):
            await town.house.database.writer.settle(
                [Change("UPDATE campaigns SET sent = :n WHERE id = :id", {"n": sent, "id": number})]
            )
            await desk.page.clock.run_for(6_000)
            await expect(desk.page.locator(".campaign")).to_contain_text(f"sent {sent // 1000},000")
            await expect(desk.page.get_by_text("Cancel for good")).to_be_visible()


@pytest.mark.browser
async def test_a_link_in_a_chat_elsewhere_finds_its_reader_logged_in(
    browser: Browser, sample: Community
) -> None:
    bo = await sample.admin("Bo")
    async with (
        served(application(sample.house)) as address,
        look(browser, sample, address, bo) as desk,
    ):
        elsewhere = address.replace("127.0.0.1", "localhost")  # another site, to a browser
        await desk.page.goto(f"{elsewhere}/login")
        await expect(desk.page.locator("h1")).to_have_text("Come in through the chat")
        await desk.page.evaluate("to => { location.href = to }", f"{address}{here(sample)}/aside")
        await expect(desk.page.locator("h1")).to_have_text("Set aside")


@pytest.mark.browser
async def test_it_is_worked_with_the_keyboard_alone(browser: Browser, sample: Community) -> None:
    town = sample
    bo = await town.admin("Bo")
    number = await hold(town, 1, member=(await bo.known()).id)
    async with (
        served(application(town.house)) as address,
        look(browser, town, address, bo) as desk,
    ):
        await desk.goes("/aside")
        reached = []
        for _ in range(12):
            await desk.page.keyboard.press("Tab")
            seen = await desk.page.evaluate(
                "() => { const e = document.activeElement; return [e.textContent.trim(),"
                " getComputedStyle(e).outlineStyle !== 'none'] }"
            )
            reached.append(tuple(seen))
            if seen[0] == "Drop…":
                break
        names = [name for name, _ in reached]
        assert names[0] == "To the content"
        assert {"Today", "Messages", "Machine", "Log out", "Drop…"} <= set(names)
        assert [name for name, outlined in reached if not outlined] == []
        await desk.page.keyboard.press("Enter")
        await desk.page.keyboard.press("Tab")
        await desk.page.keyboard.press("Enter")
        await expect(desk.page.locator(".notice")).to_have_text("It is deleted.")
        assert await quarantine.by_id(town.house.database.reader, number) is None


@pytest.fixture
async def sample(tmp_path: Path, migrated_file: Path) -> AsyncIterator[Community]:
    """A town for the browser, on SQLite: what is counted how, other tests say for both."""
    path = tmp_path / "sample.sqlite"
    shutil.copy(migrated_file, path)
    town = await Community.founded(
        f"sqlite:///{path}", settings={"community": [TWO[0] | {"name": "Harbour Tea (demo)"}]}
    )
    yield town
    await town.close()


async def lived_in(town: Community, language: str) -> Resident:
    """Two months of life, with something on every page; returns the owner."""
    olga = await town.owner("Olga")
    await town.house.database.writer.settle(
        [members.speaks((await olga.known()).id, language.partition("-")[0])]
    )
    ana, mei = await town.resident("Ana"), await town.resident("梅")
    days: list[tuple[int, Fact, int]] = []
    for back in range(1, 64):
        busy = 1.6 if back % 7 in (1, 2) else 1.0
        days += [
            (back, Fact.CHECKED_IN, int((34 - back // 3) * busy)),
            (back, Fact.ANSWERED, int((9 - back // 16) * busy)),
            (back, Fact.UNANSWERED, 2 + (back % 3 == 0)),
            (back, Fact.JOINED, 1 + (back % 4 == 0) * 2),
            (back, Fact.REFERRED, int(back % 4 == 0)),
            (back, Fact.LEFT, int(back % 9 == 0)),
        ]
    await history(town, days)
    guests = [Resident(town, f"Guest {nth}", f"g{nth}") for nth in range(140)]
    await known_in(town, town.known.id, *guests)
    await ana.says("/checkin")
    await mei.says("/human 想请人帮我挑茶")
    await hold(town, 1, member=(await ana.known()).id, payload=late(town, ana))
    await hold(town, 2, member=None, payload="\ufffd\ufffd not JSON")
    await said(town, await ana.known(), ["sent"] * 60 + ["unknown"] + ["withheld: quiet hours"] * 6)
    await said(town, await ana.known(), ["failed: unreachable"] * 4)
    await town.passes(hours=1, minutes=5)
    await campaign(town, "The harbour feast is on Sunday: come at noon.", state="paused")
    await campaign(town, "新茶到了，周五开汤。", state="done")
    return olga
