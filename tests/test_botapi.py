"""The Bot API that our process tests run against behaves as Telegram's does."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientConnectionError, ClientSession, FormData, web

from tests.botapi import USUAL_RIGHTS, BotAPI, Json

JOINED = ("chat_member", "message")


class Caller:
    """A bot that knows nothing but HTTP."""

    def __init__(self, session: ClientSession, url: str, token: str) -> None:
        self.session, self.url, self.token = session, url, token

    async def __call__(self, method: str, **params: Any) -> Json:
        """The whole answer, `ok` or not."""
        async with self.session.post(f"{self.url}/bot{self.token}/{method}", json=params) as answer:
            body: Json = await answer.json()
            assert answer.status == body.get("error_code", 200)
            return body

    async def get(self, method: str, **params: Any) -> Any:
        """The result of a call that must not be refused."""
        body = await self(method, **params)
        assert body["ok"], body
        return body["result"]

    async def updates(self, **params: Any) -> list[Any]:
        """What waits now; nothing is confirmed unless `offset` is given."""
        found: list[Any] = await self.get("getUpdates", **params)
        return found


class Webhook:
    """A bot's own address: what was brought to it, and what it answers, 200 when out of words."""

    def __init__(self, *statuses: int) -> None:
        self.statuses, self.brought = [*statuses], list[tuple[str, Json]]()
        self.all_in = asyncio.Event()
        self.expected = 0

    async def take(self, request: web.Request) -> web.Response:
        secret = request.headers.get("X-Telegram-Bot-Api-Secret-Token", "")
        self.brought.append((secret, await request.json()))
        if len(self.brought) == self.expected:
            self.all_in.set()
        return web.Response(status=self.statuses.pop(0) if self.statuses else 200)

    async def serve(self) -> tuple[web.AppRunner, str]:
        app = web.Application()
        app.router.add_post("/hook", self.take)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return runner, "http://{}:{}/hook".format(*runner.addresses[0])

    async def has(self, many: int) -> list[Json]:
        """The first so many that were brought."""
        self.expected = many
        if len(self.brought) < many:
            async with asyncio.timeout(5):
                await self.all_in.wait()
        return [update for _, update in self.brought]


@pytest.fixture
async def api() -> AsyncIterator[BotAPI]:
    async with BotAPI.start() as running:
        yield running


@pytest.fixture
async def bot(api: BotAPI) -> AsyncIterator[Caller]:
    async with ClientSession() as session:
        yield Caller(session, api.url, api.token)


async def test_a_token_opens_one_bots_door(api: BotAPI, bot: Caller) -> None:
    assert (await bot.get("getMe"))["username"] == "innkeeper_bot"
    stranger = Caller(bot.session, api.url, "1:nobody")
    assert (await stranger("getMe"))["error_code"] == 401


async def test_an_update_stays_until_a_later_offset_confirms_it(api: BotAPI, bot: Caller) -> None:
    ana = api.person("Ana")
    api.tells(ana, "one")
    api.tells(ana, "two")
    first, second = await bot.updates()
    assert await bot.updates() == [first, second]
    assert await bot.updates(offset=second["update_id"]) == [second]
    assert api.queue().pending == 1
    assert await bot.updates(offset=second["update_id"] + 1) == []
    await api.all_taken()


async def test_a_second_poller_ends_the_first(api: BotAPI, bot: Caller) -> None:
    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(bot("getUpdates", timeout=50))
        await api.listening()
        second = tasks.create_task(bot("getUpdates", timeout=50))
        refused = await first
        api.tells(api.person("Ana"), "hello")
    assert (refused["error_code"], refused["description"][:20]) == (409, "Conflict: terminated")
    assert second.result()["result"][0]["message"]["text"] == "hello"


async def test_what_people_write_is_marked_in_utf16_units(api: BotAPI, bot: Caller) -> None:
    ana, club = api.person("Ana"), api.group("Club")
    api.says(ana, club, "😀 /checkin@innkeeper_bot 谢谢 Ana @bo_123", mentioning=[ana])
    [update] = await bot.updates()
    marks = [(one["type"], one["offset"], one["length"]) for one in update["message"]["entities"]]
    assert marks == [("bot_command", 3, 22), ("text_mention", 29, 3), ("mention", 33, 7)]


async def test_in_privacy_mode_a_plain_member_hears_only_what_is_meant_for_it() -> None:
    async with BotAPI.start(reads_all=False) as api:
        ana, club = api.person("Ana"), api.group("Club", bot_is="member")
        api.says(ana, club, "nice weather")
        assert api.queue().pending == 0
        api.says(ana, club, "/start")
        api.says(ana, club, "hi @Innkeeper_Bot")
        api.joins(api.person("Bo"), club)
        assert [
            next(iter({"text", "new_chat_members"} & told["message"].keys()))
            for told in api.queue().told
        ] == ["text", "text", "new_chat_members"]


async def test_a_topic_can_be_written_in_until_it_is_gone(api: BotAPI, bot: Caller) -> None:
    desk = api.group("Desk", forum=True)
    topic = await bot.get("createForumTopic", chat_id=desk.id, name="Ana")
    here = {"chat_id": desk.id, "message_thread_id": topic["message_thread_id"]}
    said = await bot.get("sendMessage", text="card", **here)
    # The trap of forums: what answers nothing seems to answer the bot, who opened the topic.
    assert said["is_topic_message"]
    assert said["reply_to_message"]["forum_topic_created"]["name"] == "Ana"

    await bot.get("closeForumTopic", **here)
    assert (await bot("closeForumTopic", **here))["description"].endswith("TOPIC_NOT_MODIFIED")
    api.promotes_bot(api.person("Olga"), desk, USUAL_RIGHTS - {"can_manage_topics"})
    assert (await bot("sendMessage", text="more", **here))["description"].endswith("TOPIC_CLOSED")

    api.deletes_topic(desk, topic["message_thread_id"])
    refused = await bot("sendMessage", text="more", **here)
    assert refused["description"] == "Bad Request: message thread not found"
    assert api.messages(desk) == []


async def test_a_join_is_told_twice_to_who_asked_for_it(api: BotAPI, bot: Caller) -> None:
    club, bo, cy = api.group("Club"), api.person("Bo"), api.person("Cy")
    link = await bot.get("createChatInviteLink", chat_id=club.id, name="from Ana")
    api.joins(bo, club, link=link["invite_link"])
    [only] = await bot.updates(allowed_updates=[*JOINED])
    assert only["message"]["new_chat_members"][0]["id"] == bo.id

    api.joins(cy, club, link=link["invite_link"])
    change, notice = await bot.updates(offset=only["update_id"] + 1)
    assert change["chat_member"]["invite_link"]["name"] == "from Ana"
    assert change["chat_member"]["new_chat_member"]["status"] == "member"
    assert notice["message"]["new_chat_members"][0]["id"] == cy.id


async def test_who_asks_to_join_can_be_written_to_until_let_in(api: BotAPI, bot: Caller) -> None:
    club, bo = api.group("Club"), api.person("Bo")
    await bot.updates(allowed_updates=[*JOINED, "chat_join_request"])
    assert (await bot("sendMessage", chat_id=bo.id, text="hi"))["error_code"] == 403

    api.asks_to_join(bo, club, bio="I read")
    await bot.get("sendMessage", chat_id=bo.id, text="Why do you want to join?")
    await bot.get("approveChatJoinRequest", chat_id=club.id, user_id=bo.id)
    asked, change, _ = await bot.updates()
    assert asked["chat_join_request"]["bio"] == "I read"
    assert change["chat_member"]["via_join_request"]
    assert (await bot("sendMessage", chat_id=bo.id, text="hi"))["error_code"] == 403
    again = await bot("approveChatJoinRequest", chat_id=club.id, user_id=bo.id)
    assert again["description"].endswith("USER_ALREADY_PARTICIPANT")


async def test_a_blocked_bot_is_refused_until_it_is_let_in_again(api: BotAPI, bot: Caller) -> None:
    ana = api.person("Ana")
    api.starts(ana, "ref_7")
    await bot.get("sendMessage", chat_id=ana.id, text="hello")
    api.blocks(ana)
    refused = await bot("sendMessage", chat_id=ana.id, text="hello?")
    assert (refused["error_code"], refused["description"]) == (
        403,
        "Forbidden: bot was blocked by the user",
    )
    api.tells(ana, "back")
    statuses = [
        told["my_chat_member"]["new_chat_member"]["status"]
        for told in await bot.updates()
        if "my_chat_member" in told
    ]
    assert statuses == ["kicked", "member"]
    await bot.get("sendMessage", chat_id=ana.id, text="welcome back")


async def test_an_upgraded_group_answers_with_its_new_id(api: BotAPI, bot: Caller) -> None:
    olga = api.person("Olga")
    old = api.group("Club", owner=olga, basic=True)
    new = api.upgrades(olga, old)
    refused = await bot("sendMessage", chat_id=old.id, text="hello")
    assert refused["parameters"] == {"migrate_to_chat_id": new.id}
    assert [told["message"].get("migrate_to_chat_id", "") for told in await bot.updates()] == [
        new.id,
        "",
    ]
    await bot.get("sendMessage", chat_id=new.id, text="hello")


async def test_a_button_is_pressed_answered_and_edited_away(api: BotAPI, bot: Caller) -> None:
    ana, club = api.person("Ana"), api.group("Club")
    keyboard = {"inline_keyboard": [[{"text": "Here", "callback_data": "checkin.here"}]]}
    await bot.get("sendMessage", chat_id=club.id, text="Who is here?", reply_markup=keyboard)
    asked = await api.sent(club, containing="here")
    query_id = api.presses(ana, asked, "Here")
    [update] = await bot.updates()
    assert update["callback_query"]["data"] == "checkin.here"
    assert update["callback_query"]["message"]["message_id"] == asked.id

    await bot.get("answerCallbackQuery", callback_query_id=query_id, text="Counted")
    assert (await api.answered(query_id)).params["text"] == "Counted"
    same = {"chat_id": club.id, "message_id": asked.id, "text": "One is here"}
    await bot.get("editMessageText", **same)
    assert (asked.text, asked.buttons) == ("One is here", [])
    assert "message is not modified" in (await bot("editMessageText", **same))["description"]


async def test_files_go_both_ways(api: BotAPI, bot: Caller) -> None:
    ana, staff = api.person("Ana"), api.group("Staff")
    received = api.sends_photo(ana, None, b"from Ana", "look")
    file_id = received.payload["photo"][0]["file_id"]
    path = (await bot.get("getFile", file_id=file_id))["file_path"]
    async with bot.session.get(f"{bot.url}/file/bot{bot.token}/{path}") as answer:
        assert await answer.read() == b"from Ana"

    form = FormData({"chat_id": str(staff.id), "caption": "made here"})
    form.add_field("photo", b"from us", filename="card.png", content_type="image/png")
    async with bot.session.post(f"{bot.url}/bot{bot.token}/sendPhoto", data=form) as answer:
        assert answer.status == 200
    await bot.get("sendPhoto", chat_id=staff.id, photo=file_id)
    await bot.get("copyMessage", chat_id=staff.id, from_chat_id=ana.id, message_id=received.id)
    [upload] = api.calls("sendPhoto", chat_id=staff.id, caption="made here")
    assert upload.files == {"photo": b"from us"}
    assert [message.text for message in api.messages(staff)] == ["made here", "", "look"]


async def test_faults_come_where_and_as_often_as_asked(api: BotAPI, bot: Caller) -> None:
    one, two = api.group("One"), api.group("Two")
    api.slow_down(1, chat=one, times=2)
    for _ in range(2):
        refused = await bot("sendMessage", chat_id=one.id, text="slow")
        assert refused["parameters"] == {"retry_after": 1}
        await bot.get("sendMessage", chat_id=two.id, text="free")
    api.breaks(502, method="sendMessage")
    assert (await bot("sendMessage", chat_id=one.id, text="broken"))["error_code"] == 502
    await bot.get("sendMessage", chat_id=one.id, text="fine")
    assert [message.text for message in api.messages(one)] == ["fine"]


async def test_a_broken_connection_is_told_apart_only_by_what_was_done(
    api: BotAPI, bot: Caller
) -> None:
    club = api.group("Club")
    api.resets()
    with pytest.raises(ClientConnectionError):
        await bot("sendMessage", chat_id=club.id, text="never arrived")
    api.loses_answer()
    with pytest.raises(ClientConnectionError):
        await bot("sendMessage", chat_id=club.id, text="arrived")
    assert [message.text for message in api.messages(club)] == ["arrived"]
    assert [call.lost for call in api.calls("sendMessage")] == [True, True]


async def test_an_answer_can_be_held_while_the_message_is_seen(api: BotAPI, bot: Caller) -> None:
    club = api.group("Club")
    held = api.holds_answer()
    async with asyncio.TaskGroup() as tasks:
        sending = tasks.create_task(bot("sendMessage", chat_id=club.id, text="seen"))
        await api.sent(club, containing="seen")
        assert not sending.done()
        held.lift()
    assert sending.result()["result"]["text"] == "seen"


async def test_poison_and_repeats_arrive_as_they_are(api: BotAPI, bot: Caller) -> None:
    ana = api.person("Ana")
    api.tells(ana, "good")
    number = api.update("message", "not even an object")
    api.raw(["no", "update", "at all"])
    api.tells(ana, "also good")
    good, poison, nonsense, last = await bot.updates()
    assert poison == {"update_id": number, "message": "not even an object"}
    assert nonsense == ["no", "update", "at all"]
    assert await bot.updates() == [good, poison, last]

    api.repeats()
    assert await bot.updates(offset=last["update_id"] + 1) == [last]
    assert await bot.updates(offset=last["update_id"] + 1) == []


async def test_a_webhook_is_tried_again_and_a_chat_keeps_its_order(
    api: BotAPI, bot: Caller
) -> None:
    hook = Webhook(500, 503)
    runner, url = await hook.serve()
    try:
        await bot.get("setWebhook", url=url, secret_token="inn-keeper_1")
        ana = api.person("Ana")
        api.tells(ana, "one")
        api.tells(ana, "two")
        told = await hook.has(4)
        await api.all_taken()
    finally:
        await runner.cleanup()
    assert [update["message"]["text"] for update in told] == ["one", "one", "one", "two"]
    assert {secret for secret, _ in hook.brought} == {"inn-keeper_1"}
    info = await bot.get("getWebhookInfo")
    assert (info["pending_update_count"], "503" in info["last_error_message"]) == (0, True)
    assert (await bot("getUpdates"))["error_code"] == 409


async def test_two_bots_in_one_group_hear_each_for_itself(api: BotAPI, bot: Caller) -> None:
    second = api.add_bot("second_bot")
    ana, club = api.person("Ana"), api.group("Club")
    api.adds_bot(ana, club, bot=second)
    other = Caller(bot.session, api.url, second.token)
    await other.get("sendMessage", chat_id=club.id, text="from the second")
    assert [message.text for message in api.messages(club, bot=second)] == ["from the second"]
    assert api.messages(club) == []
    assert "my_chat_member" in (await other.updates())[0]
    refused = await other("deleteMessage", chat_id=club.id, message_id=1)
    assert refused["description"] == "Bad Request: message can't be deleted"


async def test_waiting_in_vain_says_what_was_sent_instead(api: BotAPI, bot: Caller) -> None:
    club = api.group("Club")
    await bot.get("sendMessage", chat_id=club.id, text="something else")
    with pytest.raises(AssertionError, match="something else"):
        await api.sent(club, containing="what we hoped for", within=0.01)
