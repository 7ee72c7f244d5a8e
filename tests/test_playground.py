"""The playground as people meet it: its pages over HTTP, and in a real browser."""

from __future__ import annotations

import re
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, FormData
from aiohttp import web as http
from playwright.async_api import Browser, Locator, Page, expect

from bot.channels import Said
from bot.channels.web import WebChannel
from bot.channels.web_people import FILE_BYTES
from bot.clock import KeptClock
from bot.seed import seed
from bot.web.app import application
from bot.web.direction import until
from bot.web.pages import TEMPLATES
from bot.web.playground import Playground
from bot.web.words import bits
from handlers.turn import To
from knowledge.texts import Texts
from storage import web
from tests.browser import axe_source, violations
from tests.community import NOON
from tests.village import BASE, DOT, Village, browsing, served, village


@pytest.fixture
async def place(tmp_path: Path, migrated_file: Path) -> AsyncIterator[Village]:
    """The village on SQLite: what is kept how, the channel's own tests say for both."""
    path = tmp_path / "village.sqlite"
    shutil.copy(migrated_file, path)
    async with village(f"sqlite:///{path}") as founded:
        yield founded


@pytest.fixture
async def address(place: Village) -> AsyncIterator[str]:
    """Where the playground is served."""
    async with served(application(place.house, playground=place.channel)) as found:
        yield found


@pytest.fixture
async def visitor(address: str) -> AsyncIterator[ClientSession]:
    """Somebody's browser, as far as HTTP goes."""
    async with browsing(address) as session:
        yield session


# ---------------------------------------------------------------- health


async def test_it_is_healthy_and_ready(visitor: ClientSession) -> None:
    async with visitor.get("/healthz") as answer:
        assert (answer.status, await answer.text()) == (200, "ok\n")
    async with visitor.get("/readyz") as answer:
        assert (answer.status, await answer.json()) == (200, {"ready": True, "wrong": {}})


async def test_a_channel_that_fell_silent_makes_it_unready(place: Village) -> None:
    silent = Silent(BASE, place.clock)
    place.house.channels["silent"] = silent
    async with (
        served(application(place.house)) as at,
        ClientSession(at) as session,
        session.get("/readyz") as never,
    ):
        assert (await never.json())["wrong"] == {"silent": "has not been heard from"}
        silent.heard = place.clock.now()
        place.clock.move(timedelta(minutes=4))
        async with session.get("/readyz") as no_more:
            assert no_more.status == 503
            assert "2025-03-03T04:00" in (await no_more.json())["wrong"]["silent"]
    del place.house.channels["silent"]


async def test_a_database_that_does_not_answer_makes_it_unready(
    place: Village, visitor: ClientSession
) -> None:
    await place.house.database.reader.close()
    async with visitor.get("/readyz") as answer:
        assert answer.status == 503
        assert "storage" in (await answer.json())["wrong"]


async def test_metrics_are_counted_without_naming_anybody(
    place: Village, visitor: ClientSession
) -> None:
    await place.villager("Anastasia")
    async with visitor.get("/metrics") as answer:
        text = await answer.text()
    assert 'innkeeper_events_total{channel="web",kind="said"}' in text
    assert "Anastasia" not in text


async def test_without_a_playground_there_are_no_pages_but_webhooks(place: Village) -> None:
    async def heard(request: http.Request) -> http.Response:
        return http.Response(text=await request.text())

    pages = application(place.house, webhooks={"/telegram": heard})
    async with served(pages) as at, ClientSession(at) as session:
        async with session.get("/") as answer:
            assert answer.status == 404
        async with session.post("/telegram", data="{}") as answer:
            assert await answer.text() == "{}"


# ---------------------------------------------------------------- who may


async def test_a_name_pointed_at_this_machine_is_not_answered(visitor: ClientSession) -> None:
    for host, status in (
        ("evil.example", 421),
        ("localhost:8080", 200),
        ("127.0.0.1", 200),
        ("[::1]:80", 200),
    ):
        async with visitor.get("/", headers={"Host": host}) as answer:
            assert (host, answer.status) == (host, status)


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
@pytest.mark.parametrize(
    "path",
    ["/people", "/clock", "/language", "/phone/1/say", "/phone/1/window", "/join/a", "/start/a"],
)
async def test_other_sites_cannot_act(address: str, path: str, headers: dict[str, str]) -> None:
    async with ClientSession(address) as session, session.post(path, headers=headers) as answer:
        assert answer.status == 403


async def test_every_post_is_guarded(place: Village) -> None:
    pages = application(place.house, playground=place.channel)
    posts = [one for one in pages.router.routes() if one.method == "POST"]
    assert len(posts) > 15
    assert [one for one in posts if one.handler.__name__ != "guarded"] == []


async def test_pages_carry_their_policy_and_nothing_inline(
    place: Village, visitor: ClientSession
) -> None:
    await place.villager("Ana")
    async with visitor.get("/") as answer:
        html, headers = await answer.text(), answer.headers
    assert "default-src 'self'" in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert not re.search(r"<script(?![^>]* src=)|<style|\sstyle=|\son[a-z]+=", html)
    assert set(re.findall(r"""(?:src|href)=["']https?://[^"']+""", html)) == set()


async def test_names_and_words_are_never_markup(place: Village, visitor: ClientSession) -> None:
    evil = '"><script>alert(1)</script>'
    ana = await place.villager(evil)
    await ana.says(f"{evil} <hx-partial hx-target='body'>gone</hx-partial> javascript:alert(1)")
    await place.people.opens(ana.id, ana.home)
    async with visitor.get(f"/?a={ana.id}") as answer:
        html = await answer.text()
    assert "<script>" not in html
    assert "<hx-partial" not in html
    assert "&lt;hx-partial" in html
    assert 'href="javascript' not in html


async def test_what_a_link_tells_the_bot_is_not_shown(
    place: Village, visitor: ClientSession
) -> None:
    ana = await place.villager("Ana")
    await place.people.starts(ana.id, "help_here")
    await place.people.opens(ana.id, ana.home)
    async with visitor.get(f"/?a={ana.id}") as answer:
        html = await answer.text()
    assert "/start" in html
    assert "help_here" not in html


async def test_a_file_that_is_no_picture_is_only_there_to_be_saved(
    place: Village, visitor: ClientSession
) -> None:
    ana = await place.villager("Ana")
    form = FormData({"chat": str(ana.home), "text": ""})
    form.add_field("file", b"<script>alert(1)</script>", filename="tea.png")
    async with visitor.post(f"/phone/{ana.id}/say", data=form) as answer:
        assert answer.status == 204
    message = next(one for one in await place.said_in(ana.home) if one.body.kind)
    async with visitor.get(f"/phone/{ana.id}/file/{message.id}") as answer:
        assert answer.content_type == "application/octet-stream"
        assert answer.headers["Content-Disposition"] == "attachment"
        assert "sandbox" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize("size", [FILE_BYTES + 1, FILE_BYTES + 2**22])
async def test_a_file_that_is_too_large_is_declined_in_words(
    place: Village, visitor: ClientSession, size: int
) -> None:
    ana = await place.villager("Ana")
    form = FormData({"chat": str(ana.home)})
    form.add_field("file", BytesIO(b"0" * size), filename="film.mp4")
    said = "8 MB"
    async with visitor.post(
        f"/phone/{ana.id}/say", data=form, headers={"HX-Request": "true"}
    ) as answer:
        assert (answer.status, answer.headers["HX-Retarget"]) == (409, "#toast")
        assert said in await answer.text()


@pytest.mark.parametrize(
    "path", ["/phone/x/say", "/phone/1/file/x", "/live?who=x", "/live", "/phone/1/nothing"]
)
async def test_what_makes_no_sense_is_refused_quietly(visitor: ClientSession, path: str) -> None:
    method = "POST" if "say" in path or "nothing" in path else "GET"
    async with visitor.request(method, path) as answer:
        assert answer.status in (400, 404)


async def test_ones_own_phone_is_nobody_elses(place: Village) -> None:
    ana, bo = await place.villager("Ana"), await place.villager("Bo")
    secret = await place.people.secret(ana.id)
    pages = http.Application()
    Playground(place.house, place.channel, everybody=False).join(pages)
    async with served(pages) as at, browsing(at) as session:
        for path in (f"/phone/{ana.id}/stop", f"/phone/{bo.id}/stop"):
            async with session.post(path) as answer:
                assert answer.status == 403
        async with session.get(f"/live?who={ana.id}") as answer:
            assert answer.status == 403
        async with session.get("/me/wrong") as answer:
            assert answer.status == 404
        async with session.get(f"/me/{secret}") as answer:
            cookie = answer.cookies["phone"]
            assert (cookie["httponly"], cookie["samesite"]) == (True, "Strict")
            assert "Bo" not in await answer.text()
        async with session.post(f"/phone/{ana.id}/stop") as answer:
            assert answer.status == 204
        async with session.post(f"/phone/{bo.id}/stop") as answer:
            assert answer.status == 403
        for path in ("/", "/join/a"):
            async with session.get(path) as answer:
                assert answer.status == 404


# ---------------------------------------------------------------- words


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh-Hans"),
        ("en-GB", "en"),
        ("fr,zh;q=0.5", "zh-Hans"),
        ("", "en"),
    ],
)
async def test_the_page_speaks_the_browsers_language(
    visitor: ClientSession, accepted: str, language: str
) -> None:
    async with visitor.get("/", headers={"Accept-Language": accepted}) as answer:
        assert f'<html lang="{language}">' in await answer.text()


async def test_a_chosen_language_stays(visitor: ClientSession) -> None:
    async with visitor.post("/language", data={"language": "zh"}) as answer:
        assert answer.status == 200
        assert '<html lang="zh-Hans">' in await answer.text()


def test_every_text_of_the_page_is_on_it() -> None:
    written = {key for key in Texts.load().languages["en"] if key.startswith("playground.")}
    root = Path(__file__).parents[1]
    files = [*TEMPLATES.glob("*.html"), *(root / "bot").rglob("*.py")]
    told = " ".join(one.read_text("utf-8") for one in files)
    silent = {key for key in written if f'"{key}"' not in told}
    assert {key for key in silent if not key.startswith("playground.role.")} == set()


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("plain words", ["words"]),
        ("see https://a.example/b?c=d.", ["words", "link", "words"]),
        ("看 https://a.example/茶。好", ["words", "link", "words"]),
        ("/help or /ask", ["command", "words", "command"]),
        ("and/or 1/2 a/help", ["words"]),
        ("http://here/join/abc", ["join"]),
        ("http://here/start/help_1", ["start"]),
        ("http://here.evil.example/join/abc", ["link"]),
        ("ftp://a.example javascript:x data:text/html,x", ["words"]),
        ("", []),
    ],
)
def test_a_message_falls_into_its_bits(text: str, kinds: list[str]) -> None:
    found = bits(text, "http://here", commands=True)
    assert [one.kind for one in found] == kinds
    assert "".join(one.text for one in found) == text


def test_a_kept_clock_is_still_ahead_after_a_stop(tmp_path: Path) -> None:
    KeptClock(tmp_path / "clock").move(timedelta(days=2))
    again = KeptClock(tmp_path / "clock")
    again.move(timedelta(hours=1))
    assert KeptClock(tmp_path / "clock").ahead == timedelta(days=2, hours=1)


def test_the_clock_moves_on_to_the_next_morning_even_when_the_clocks_change() -> None:
    from zoneinfo import ZoneInfo

    berlin = ZoneInfo("Europe/Berlin")
    evening = datetime(2025, 3, 29, 22, 30, tzinfo=berlin)  # the night has one hour less
    assert until(datetime(2025, 1, 1, 8, 30).time(), evening) == timedelta(hours=9)  # noqa: DTZ001


# ---------------------------------------------------------------- the stream


async def test_the_stream_sends_everything_first_and_then_only_what_changed(
    place: Village, visitor: ClientSession
) -> None:
    ana, bo = await place.villager("Ana"), await place.villager("Bo")
    async with visitor.get(f"/live?who={ana.id}.{bo.id}") as stream:
        first = await event(stream.content)
        parts = {f"{part}-{slot}" for part in ("tag", "top", "view", "foot") for slot in "ab"}
        assert targets(first) == {"clock"} | parts
        await place.channel.send(
            To(channel="web", place=str(ana.home), language="en"), Said("One moment")
        )
        second = await event(stream.content)
    assert "One moment" in second
    assert targets(second) == {"tag-a", "view-a"}


async def test_a_page_that_was_closed_looks_at_nothing(
    place: Village, visitor: ClientSession
) -> None:
    ana = await place.villager("Ana")
    async with visitor.get(f"/live?who={ana.id}") as stream:
        await event(stream.content)
        assert place.channel.live.watched(ana.id)
    while place.channel.live.watched(ana.id):
        place.channel.live.publish([ana.id])  # it notices when it next has something to say
        async with visitor.get("/healthz"):
            pass


async def event(stream: Any) -> str:
    lines = []
    while line := (await stream.readline()).decode().rstrip("\n"):
        lines.append(line.removeprefix("data: "))
    return "\n".join(lines)


def targets(html: str) -> set[str]:
    return set(re.findall(r'<hx-partial hx-target="#([^"]+)"', html))


class Silent(WebChannel):
    """A channel whose platform was last heard from at a certain time."""

    heard: datetime | None = None

    def fresh(self) -> datetime | None:
        return self.heard


# ---------------------------------------------------------------- the sample community


async def test_the_sample_community_is_made_once_and_kept(
    tmp_path: Path, migrated_file: Path
) -> None:
    from bot.seed import COMMUNITY
    from tests.village import opened

    path = tmp_path / "sample.sqlite"
    shutil.copy(migrated_file, path)
    async with opened(f"sqlite:///{path}", [COMMUNITY]) as (house, channel):
        await seed(house, channel)
        people = await web.people(house.database.reader)
        roles = {one.name: one.role for one in await _faces(house, channel)}
        await seed(house, channel)
        assert await web.people(house.database.reader) == people
        assert (roles["Mei 梅"], roles["Bo 柏"], roles["Lin 林"]) == ("member", "admin", "staff")
        known = await house.database.reader.rows("SELECT DISTINCT role FROM members")
        assert {row["role"] for row in known} == {"member", "staff", "admin"}
        desk = next(one for one in house.directory.spots.values() if one.kind == "staff")
        assert await web.topics(house.database.reader, int(desk.ref))


async def _faces(house: Any, channel: Any) -> Any:
    from bot.web.stage import Stage

    return await Stage(house, channel, everybody=True).phones.faces()


# ---------------------------------------------------------------- in a browser


@dataclass
class Desk:
    """The playground, open in a browser, with a member, an admin and somebody of the staff."""

    place: Village
    page: Page
    ids: dict[str, int]
    faults: list[str]

    def phone(self, slot: str) -> Locator:
        return self.page.locator(f"#phone-{slot}")

    async def says(self, slot: str, text: str) -> None:
        field = self.phone(slot).locator("textarea")
        await field.fill(text)
        await field.press("Enter")

    async def tries(self, chip: str) -> None:
        """The member presses what the page proposes."""
        await self.phone("a").locator(".chips button", has_text=chip).click()

    async def opens(self, slot: str, title: str) -> None:
        tab = self.phone(slot).locator(".tabs button", has_text=title)
        await tab.click()
        await expect(tab).to_have_attribute("aria-current", "true")


async def look(browser: Browser, place: Village, address: str, **context: Any) -> Desk:
    """Seat a member, an admin and somebody of the staff, and open the page."""
    people = [await place.villager("Ana"), await place.villager("Bo"), await place.staff("Lin")]
    await place.people.ranks(people[1].id, place.group.id, "admin")
    await place.house.settled()
    place.clock.move(timedelta(minutes=1))
    await place.people.opens(people[1].id, place.group.id)
    await place.people.opens(people[2].id, place.desk.id)
    ids = dict(zip("abc", (one.id for one in people), strict=True))
    given = {"viewport": {"width": 1400, "height": 900}, "locale": "en-GB"} | context
    page = await (await browser.new_context(**given)).new_page()
    faults: list[str] = []
    page.on("console", lambda told: faults.append(told.text) if told.type == "error" else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    async with page.expect_response(lambda one: "/live" in one.url, timeout=90_000):
        await page.goto(f"{address}/?a={ids['a']}&b={ids['b']}&c={ids['c']}")
    return Desk(place, page, ids, faults)


@pytest.fixture
async def desk(browser: Browser, place: Village, address: str) -> AsyncIterator[Desk]:
    """A wide page in English; whatever its console complained of is a fault."""
    opened = await look(browser, place, address)
    yield opened
    await opened.page.context.close()
    assert opened.faults == []


@pytest.mark.browser
async def test_a_newcomer_presses_a_chip_and_the_bot_answers(desk: Desk) -> None:
    ana = desk.phone("a")
    await desk.tries("Check in")
    await expect(ana.locator(".msg.mine").last).to_contain_text("/checkin")
    answer = ana.locator(".msg.right").last
    await expect(answer.locator(".from")).to_contain_text("Innkeeper")
    await expect(answer.locator(".rows button")).not_to_have_count(0)
    before = await ana.locator(".msg.right").count()
    await answer.locator(".rows button").first.click()
    await expect(ana.locator(".msg.right")).to_have_count(before + 1)


@pytest.mark.browser
async def test_enter_sends_shift_enter_does_not_and_the_field_is_empty_again(desk: Desk) -> None:
    field = desk.phone("a").locator("textarea")
    await field.fill("one")
    await field.press("Shift+Enter")
    await field.press_sequentially("two")
    await field.press("Enter")
    await expect(desk.phone("a").locator(".msg.mine").last.locator(".text")).to_have_text(
        "one\ntwo"
    )
    await expect(field).to_have_value("")
    await expect(field).to_be_focused()


@pytest.mark.browser
async def test_a_word_in_the_group_reaches_everybody_and_is_unread_where_it_is_not_open(
    desk: Desk,
) -> None:
    await desk.says("b", "Good morning")
    badge = desk.phone("a").locator(".tabs button", has_text="Harbour Tea").locator(".badge")
    await expect(badge).to_be_visible()
    await desk.opens("a", "Harbour Tea")
    await expect(desk.phone("a").locator(".rule.new")).to_be_visible()
    heard = desk.phone("a").locator(".msg", has_text="Good morning")
    await expect(heard).to_have_class(re.compile("right"))  # an admin belongs to the house
    await expect(heard.locator(".from")).to_contain_text("Bo")
    await expect(badge).to_have_count(0)


@pytest.mark.browser
async def test_a_member_is_answered_by_a_person_and_sees_that_it_is_one(desk: Desk) -> None:
    ana, lin = desk.phone("a"), desk.phone("c")
    await expect(lin.locator(".empty")).to_be_visible()
    await desk.tries("Talk to a person")
    await lin.locator(".topics button").click()
    await expect(lin.locator(".crumb")).to_contain_text("Ana")
    await desk.says("c", "Lin here, how can I help?")
    carried = ana.locator(".msg.human", has_text="Lin here")
    await expect(carried.locator(".from")).to_contain_text("person")
    await desk.says("a", "My parcel is late")
    await expect(lin.locator(".msg.left.human", has_text="My parcel is late")).to_be_visible()


@pytest.mark.browser
async def test_what_one_said_can_be_changed_in_place(desk: Desk) -> None:
    await desk.opens("a", "Harbour Tea")
    await desk.says("a", "See you at noom")
    said = desk.phone("a").locator(".msg.mine").last
    await said.hover()
    await said.get_by_role("button", name="Change this message").click()
    field = desk.phone("a").locator("textarea")
    await expect(field).to_have_value("See you at noom")
    await field.fill("See you at noon")
    await field.press("Enter")
    at_bo = desk.phone("b").locator(".msg", has_text="See you at noon")
    await expect(at_bo.locator(".edited")).to_have_text("edited")
    await expect(desk.phone("b").locator(".msg", has_text="noom")).to_have_count(0)
    await expect(field).to_have_value("")


@pytest.mark.browser
async def test_an_answer_quotes_what_it_answers(desk: Desk) -> None:
    await desk.says("b", "Who likes oolong?")
    await desk.opens("a", "Harbour Tea")
    asked = desk.phone("a").locator(".msg", has_text="Who likes oolong?")
    await asked.hover()
    await asked.get_by_role("button", name="Answer Bo").click()
    await expect(desk.phone("a").locator(".picked")).to_contain_text("Who likes oolong?")
    await desk.says("a", "I do")
    quote = desk.phone("b").locator(".msg", has_text="I do").locator("blockquote")
    await expect(quote).to_contain_text("Who likes oolong?")
    await expect(desk.phone("a").locator(".picked")).to_have_count(0)


@pytest.mark.browser
async def test_a_persons_words_are_theirs_and_not_the_bots_also_when_quoted(desk: Desk) -> None:
    ana, lin = desk.phone("a"), desk.phone("c")
    await desk.says("a", "/human")
    await lin.locator(".topics button").click()
    await expect(lin.locator(".feed")).to_be_visible()
    await desk.says("c", "Hello Ana")
    told = ana.locator(".msg.human", has_text="Hello Ana")
    await expect(told.locator(".text")).to_have_text("Hello Ana")
    await expect(told.locator(".from")).to_have_text("Staff person")
    await told.hover()
    await told.get_by_role("button", name="Answer Staff").click()
    await expect(ana.locator(".picked")).to_contain_text("Answering Staff")
    await desk.says("a", "Hello Lin")
    await expect(ana.locator("blockquote")).to_have_text("Staff Hello Ana")
    await expect(lin.locator(".msg", has_text="Hello Lin").locator(".from")).to_contain_text(
        "member"
    )


@pytest.mark.browser
async def test_a_short_word_stays_on_one_line_on_a_touch_screen(
    browser: Browser, place: Village, address: str
) -> None:
    desk = await look(
        browser, place, address,
        viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True,
    )  # fmt: skip
    await desk.says("a", "/checkin")
    said = desk.phone("a").locator(".msg.mine", has_text="/checkin").locator(".text")
    lines = await said.evaluate(
        "one => one.offsetHeight / parseFloat(getComputedStyle(one).lineHeight)"
    )
    assert round(lines) == 1
    await desk.page.context.close()


@pytest.mark.browser
async def test_whatever_grows_late_does_not_push_the_end_out_of_sight(desk: Desk) -> None:
    ana = desk.phone("a")
    await desk.says("a", "Hello")
    await expect(ana.locator(".msg.right").last).to_be_in_viewport()
    feed = ana.locator(".feed")
    await feed.evaluate(
        """one => {
            one.querySelector(".msg").style.paddingTop = "900px";  // as a picture that has come
            one.dispatchEvent(new Event("scroll"));  // which is told of before the growing is
        }"""
    )
    await expect(ana.locator(".end")).to_be_hidden()
    await expect(ana.locator(".msg").last).to_be_in_viewport()


@pytest.mark.browser
async def test_the_conversation_keeps_its_place_while_one_reads_above(desk: Desk) -> None:
    bo = desk.phone("b")
    for number in range(30):
        await desk.place.channel.send(
            To(channel="web", place=str(desk.place.group.id), language="en"),
            Said(f"line {number}"),
        )
    await expect(bo.locator(".msg").last).to_contain_text("line 29")
    await expect(bo.locator(".msg").last).to_be_in_viewport()
    feed = bo.locator(".feed")
    await feed.evaluate("one => one.scrollTop = 200")
    await expect(bo.locator(".end")).to_be_visible()
    await desk.opens("a", "Harbour Tea")
    await desk.says("a", "Anybody here?")
    await expect(bo.locator(".msg", has_text="Anybody here?")).to_have_count(1)
    await expect(bo.locator(".end")).to_contain_text("1 new message")
    assert await feed.evaluate("one => one.scrollTop") == 200
    await bo.locator(".end").click()
    await expect(bo.locator(".msg").last).to_be_in_viewport()
    await expect(bo.locator(".rule.new")).to_be_visible()
    await expect(bo.locator(".end")).to_be_hidden()


@pytest.mark.browser
async def test_earlier_messages_come_when_wanted_and_nothing_jumps(desk: Desk) -> None:
    for number in range(60):
        await desk.place.channel.send(
            To(channel="web", place=str(desk.place.group.id), language="en"),
            Said(f"line {number}"),
        )
    bo = desk.phone("b")
    await expect(bo.locator(".msg").last).to_contain_text("line 59")
    await bo.locator(".feed").evaluate("one => one.scrollTop = 0")
    oldest = bo.locator(".msg").first
    text = await oldest.locator(".text").inner_text()
    await bo.get_by_role("button", name="Show earlier messages").click()
    await expect(bo.get_by_role("button", name="Show earlier messages")).to_have_count(0)
    await expect(bo.locator(".msg", has_text=re.compile(rf"\b{text}\b"))).to_be_in_viewport()


@pytest.mark.browser
async def test_a_picture_is_sent_carried_and_opened_large(desk: Desk) -> None:
    ana = desk.phone("a")
    picture: Any = {"name": "tea.png", "mimeType": "image/png", "buffer": DOT}
    await ana.locator("input[type=file]").set_input_files(picture)
    await expect(ana.locator(".attached")).to_contain_text("tea.png")
    await desk.says("a", "Look")
    await expect(ana.locator(".attached")).to_be_hidden()
    await ana.locator(".msg.mine .picture").click()
    await expect(desk.page.locator("#large")).to_be_visible()
    await desk.page.keyboard.press("Escape")
    await expect(desk.page.locator("#large")).to_be_hidden()


@pytest.mark.browser
async def test_whoever_is_added_joins_by_a_members_link(desk: Desk) -> None:
    page, ana = desk.page, desk.phone("a")
    await desk.tries("Invite")
    await ana.locator(".msg .text a[href^='/join/']").click()
    await page.get_by_label("Name").fill("Theo")
    await page.get_by_role("button", name="Add", exact=True).click()
    await expect(desk.phone("a").locator(".who")).to_contain_text("Theo")
    await expect(desk.phone("b").locator(".rule", has_text="Theo joined")).to_be_visible()
    referred = await desk.place.db.value("SELECT max(referred) FROM members")
    assert referred == 1


@pytest.mark.browser
async def test_somebody_else_takes_a_phone(desk: Desk) -> None:
    await desk.place.villager("Theo", member=False, home=False)
    await desk.page.reload()
    await desk.phone("a").locator(".who").click()
    await desk.page.locator("#people-a").get_by_role("link", name="Theo").click()
    ana = desk.phone("a")
    await expect(ana.locator(".who")).to_contain_text("Theo")
    await expect(ana.locator(".empty")).to_contain_text("press Start")
    await ana.get_by_role("button", name="Start", exact=True).click()
    await expect(ana.locator(".msg.right")).not_to_have_count(0)
    await desk.page.goto(desk.page.url.partition("?")[0])
    await expect(desk.phone("a").locator(".who")).to_contain_text("Theo")


@pytest.mark.browser
async def test_the_form_for_somebody_new_is_seen_whole(desk: Desk) -> None:
    await desk.page.set_viewport_size({"width": 1400, "height": 600})
    for number in range(6):
        await desk.place.villager(f"Guest {number}", member=False, home=False)
    await desk.page.reload()
    await desk.phone("a").locator(".who").click()
    card = desk.page.locator("#people-a")
    await card.get_by_text("Add a person").click()
    await expect(card.get_by_role("button", name="Add", exact=True)).to_be_in_viewport(ratio=1)


@pytest.mark.browser
@pytest.mark.parametrize("locale", ["en-GB", "zh-CN"])
async def test_the_bar_is_one_line_on_a_laptop(
    browser: Browser, place: Village, address: str, locale: str
) -> None:
    desk = await look(
        browser, place, address, locale=locale, viewport={"width": 1280, "height": 720}
    )
    bar = await desk.page.locator(".bar").bounding_box()
    assert bar is not None
    assert bar["height"] < 72
    await desk.page.context.close()


@pytest.mark.browser
async def test_one_leaves_stops_the_bot_and_lets_it_in_again(desk: Desk) -> None:
    page, ana = desk.page, desk.phone("a")
    await ana.locator(".owner > .round").click()
    await page.locator("#menu-a").get_by_role("button", name="Stop the bot").click()
    await expect(ana.locator(".stopped")).to_be_visible()
    await expect(ana.locator("textarea")).to_have_count(0)
    await ana.get_by_role("button", name="Let it in again").click()
    await expect(ana.locator("textarea")).to_be_visible()
    await ana.locator(".owner > .round").click()
    await page.locator("#menu-a").get_by_role("button", name="Leave Harbour Tea").click()
    await expect(desk.phone("b").locator(".rule", has_text="Ana left")).to_be_visible()
    await desk.opens("a", "Harbour Tea")
    await ana.get_by_role("button", name="Join", exact=True).click()
    await expect(desk.phone("b").locator(".rule", has_text="Ana joined")).to_have_count(2)


@pytest.mark.browser
async def test_whoever_asks_to_be_forgotten_is_gone_from_every_phone(desk: Desk) -> None:
    await desk.opens("a", "Harbour Tea")
    await desk.says("a", "Something I may regret")
    await expect(desk.phone("b").locator(".msg", has_text="regret")).to_be_visible()
    await desk.opens("a", "Innkeeper")
    await desk.says("a", "/forget")
    await desk.phone("a").get_by_role("button", name="Yes, forget everything").click()
    await expect(desk.phone("a").locator(".empty")).to_contain_text("asked to be forgotten")
    await expect(desk.phone("b").locator(".msg", has_text="regret")).to_have_count(0)


@pytest.mark.browser
async def test_what_was_begun_is_still_there_when_one_comes_back(desk: Desk) -> None:
    await desk.phone("a").locator("textarea").fill("half a thou")
    await desk.opens("a", "Harbour Tea")
    await expect(desk.phone("a").locator("textarea")).to_have_value("")
    await desk.opens("a", "Innkeeper")
    await expect(desk.phone("a").locator("textarea")).to_have_value("half a thou")


@pytest.mark.browser
async def test_others_see_that_somebody_is_typing(desk: Desk) -> None:
    await desk.opens("a", "Harbour Tea")
    await desk.phone("a").locator("textarea").press_sequentially("Hi")
    await expect(desk.phone("b").locator(".dots")).to_contain_text("Ana is writing")
    await desk.phone("a").locator("textarea").fill("")
    await expect(desk.phone("b").locator(".dots")).to_have_count(0)


@pytest.mark.browser
async def test_the_clock_goes_on_and_with_it_what_falls_due(desk: Desk) -> None:
    await desk.tries("Check in")
    await expect(desk.phone("a").locator(".msg.right")).not_to_have_count(1)
    before = await desk.phone("a").locator(".msg.right").count()
    await expect(desk.page.locator("#clock")).to_contain_text("Mon 3 Mar")
    await desk.page.get_by_role("button", name="1 day").click()
    await expect(desk.page.locator("#clock")).to_contain_text("Tue 4 Mar")
    await expect(desk.phone("a").locator(".rule", has_text="Yesterday")).to_be_visible()
    await desk.page.get_by_role("button", name="To night").click()
    await expect(desk.page.locator("#clock")).to_contain_text("22:30")
    await expect(desk.phone("a").locator(".msg.right")).not_to_have_count(before)
    assert desk.place.clock.now() > NOON + timedelta(days=1)


@pytest.mark.browser
async def test_markup_in_names_and_messages_does_nothing(desk: Desk) -> None:
    evil = "<img src=x onerror=\"document.title='taken'\">"
    theo = await desk.place.villager(evil[:60])
    await theo.says(f"{evil}<script>document.title='taken'</script>", desk.place.group.id)
    await expect(desk.phone("b").locator(".msg").last).to_contain_text("<script>")
    assert await desk.page.title() == "Innkeeper playground"


@pytest.mark.browser
async def test_ones_own_window_is_the_same_phone_and_hides_its_secret(desk: Desk) -> None:
    await desk.phone("a").locator(".owner > .round").click()
    async with desk.page.context.expect_page() as opening:
        await desk.page.locator("#menu-a").get_by_role("button", name="window").click()
    window = await opening.value
    await expect(window).to_have_url(re.compile(r"/me$"))
    field = window.locator("textarea")
    await field.fill("/checkin")
    await field.press("Enter")
    await expect(desk.phone("a").locator(".msg.mine").last).to_contain_text("/checkin")
    await expect(window.locator(".phone")).to_have_count(1)


@pytest.mark.browser
async def test_the_page_heals_itself_when_the_connection_comes_back(
    desk: Desk, address: str
) -> None:
    await desk.page.route("**/live*", lambda route: route.abort())
    await desk.page.evaluate(
        "Object.defineProperty(document, 'hidden', {value: true, configurable: true});"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )
    await desk.place.channel.send(
        To(channel="web", place=str(desk.place.group.id), language="en"), Said("You missed this")
    )
    await desk.page.unroute("**/live*")
    await desk.page.evaluate(
        "Object.defineProperty(document, 'hidden', {value: false, configurable: true});"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )
    await expect(desk.phone("b").locator(".msg", has_text="You missed this")).to_be_visible()


@pytest.mark.browser
async def test_everything_is_reached_by_keyboard(desk: Desk) -> None:
    page, reached = desk.page, []
    for _ in range(60):
        await page.keyboard.press("Tab")
        reached.append(
            await page.evaluate(
                "() => { const e = document.activeElement;"
                " const o = getComputedStyle(e);"
                " return [e.className || e.id || e.name, o.outlineStyle !== 'none'"
                " || e.closest('label')?.matches(':focus-within') || false] }"
            )
        )
        if reached[-1][0] == "send":
            break
    names = [name for name, _ in reached]
    for name in ("who", "round", "feed", "send"):
        assert name in names
    assert [name for name, seen in reached if not seen] == []
    assert names.index("who") < names.index("feed") < names.index("send")


@pytest.mark.browser
@pytest.mark.parametrize("locale", ["en-GB", "zh-CN"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1400])
async def test_nobody_is_shut_out(
    browser: Browser, place: Village, address: str, locale: str, scheme: str, width: int
) -> None:
    opened = await look(
        browser, place, address,
        viewport={"width": width, "height": 800}, locale=locale, color_scheme=scheme,
    )  # fmt: skip
    page = opened.page
    ana = await web.person(place.db, opened.ids["a"])
    assert ana is not None
    await place.people.says(ana.id, await web.home(place.db, ana.id), "/human")
    await place.house.settled()
    await place.channel.send(
        To(channel="web", place=str(place.group.id), language="en"),
        Said("A picture", image=DOT, buttons=((("Yes", "faq.ask", ""), ("No", "", "http://a.b")),)),
    )
    await expect(page.locator("#phone-b .picture")).to_have_count(1)
    assert opened.faults == []
    await page.evaluate(axe_source())
    assert await violations(page) == []
    fronts = ("a", "b", "c") if width < 1000 else ("a",)
    for slot in fronts:
        if width < 1000:
            await page.locator(f"#front-{slot}").check()
            await expect(opened.phone(slot)).to_be_visible()
            assert await page.locator(".phone:visible").count() == 1
        await opened.phone(slot).locator(".who").click()
        assert await violations(page) == []
        await page.keyboard.press("Escape")
        await opened.phone(slot).locator(".owner > .round").click()
        assert await violations(page) == []
        await page.keyboard.press("Escape")
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    await page.goto(f"{address}/start/help_here")
    await page.evaluate(axe_source())
    assert await violations(page) == []
    await page.context.close()


@pytest.mark.browser
async def test_nothing_moves_for_whoever_asked_for_stillness(
    browser: Browser, place: Village, address: str
) -> None:
    still = await look(browser, place, address, reduced_motion="reduce")
    await still.says("a", "/checkin")
    await expect(still.phone("a").locator(".msg.mine").last).to_contain_text("/checkin")
    moving = await still.page.evaluate("document.getAnimations().length")
    assert moving == 0
    await still.page.context.close()
