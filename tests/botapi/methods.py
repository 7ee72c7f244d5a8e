"""What each method does in the town: those the library lacks, and what follows those it has."""

import json
from collections.abc import Callable
from typing import Any

from lo_bot_api_emulator import ApiRefusal

from tests.botapi.desk import Desk, written
from tests.botapi.shapes import PERMISSIONS, Json
from tests.botapi.town import ADMINISTRATORS, Chat, Link, Message, Person, Topic

ICON_COLOR = 0x6FB9F0
CONTENT = {
    "animation",
    "audio",
    "caption",
    "caption_entities",
    "document",
    "entities",
    "photo",
    "sticker",
    "text",
    "video",
    "voice",
}

# ---------------------------------------------------------------- messages


def sent(desk: Desk, params: Json, result: Json) -> Json:
    """What the library has checked and stored now stands in the chat."""
    content = {key: result[key] for key in (CONTENT | {"reply_markup"}) & result.keys()}
    if preview := params.get("link_preview_options"):
        content["link_preview_options"] = preview
    return desk.post(desk.chat(params), params, content | written(params)).payload


def copy_message(desk: Desk, params: Json) -> Json:
    """The same content again, as the bot's own; only the new id comes back."""
    source = desk.chat({"chat_id": params["from_chat_id"]}, reading=True)
    chat = desk.chat(params)
    original = desk.message(source, params["message_id"], "message to copy not found")
    if original.service:
        raise ApiRefusal("Bad Request: message can't be copied")
    content = {key: original.payload[key] for key in CONTENT & original.payload.keys()}
    if "caption" in params and "text" not in content:
        content = _but(content, "caption", "caption_entities") | written(params)
    if params.get("reply_markup"):
        content["reply_markup"] = params["reply_markup"]
    return {"message_id": desk.post(chat, params, content).id}


def album(desk: Desk, params: Json, results: list[Json]) -> list[Json]:
    """Several pictures or files that belong together, each a message of its own."""
    chat, told = desk.chat(params), []
    for item, result in zip(params["media"], results, strict=True):
        content = {key: result[key] for key in (CONTENT | {"media_group_id"}) & result.keys()}
        told.append(desk.post(chat, params, content | written(item)).payload)
    return told


def edits(*rewritten: str) -> Callable[[Desk, Json, Json], Json]:
    """One of the bot's messages says something else; without a keyboard it loses its buttons."""

    def edit(desk: Desk, params: Json, _: Json) -> Json:
        chat = desk.chat(params)
        message = desk.message(chat, params["message_id"], "message to edit not found")
        if message.sender is not desk.bot.user:
            raise ApiRefusal("Bad Request: message can't be edited")
        if "text" in rewritten and "text" not in message.payload:
            raise ApiRefusal("Bad Request: there is no text in the message to edit")
        if "caption" in rewritten and "text" in message.payload:
            raise ApiRefusal("Bad Request: there is no caption in the message to edit")
        before = _but(message.payload, "edit_date")
        after = _but(before, "reply_markup", *rewritten) | written(params) | _around(params)
        if before == after:
            raise ApiRefusal(
                "Bad Request: message is not modified: specified new message content and reply "
                "markup are exactly the same as a current content and reply markup of the message"
            )
        message.payload = after | {"edit_date": desk.town.now()}
        return message.payload

    return edit


def _around(params: Json) -> Json:
    """What a call says of a message beside its words."""
    return {
        name: params[name] for name in ("reply_markup", "link_preview_options") if params.get(name)
    }


def _but(payload: Json, *names: str) -> Json:
    return {key: value for key, value in payload.items() if key not in names}


def deleted(desk: Desk, params: Json, _: Json) -> bool:
    """A message is gone: the bot's own, or another's if it may."""
    chat = desk.chat(params)
    _delete(desk, chat, desk.message(chat, params["message_id"], "message to delete not found"))
    return True


def delete_messages(desk: Desk, params: Json) -> bool:
    """Many are gone at once; those that are not there do no harm."""
    chat = desk.chat(params)
    for message in map(chat.messages.get, params["message_ids"]):
        if message and not message.deleted:
            _delete(desk, chat, message)
    return True


def _delete(desk: Desk, chat: Chat, message: Message) -> None:
    if message.sender is not desk.bot.user and chat.type != "private":
        desk.needs(chat, "can_delete_messages", "message can't be deleted")
    if "forum_topic_created" in message.payload:
        raise ApiRefusal("Bad Request: message can't be deleted")
    message.deleted = True


def pin(desk: Desk, params: Json) -> bool:
    """A message is pinned, and the chat is told, the bot included."""
    chat = desk.chat(params)
    message = desk.message(chat, params["message_id"], "message to pin not found")
    if chat.type != "private":
        desk.needs(
            chat, "can_pin_messages", "not enough rights to manage pinned messages in the chat"
        )
    chat.pinned.append(message.id)
    notice = desk.town.post(chat, desk.bot.user, {"pinned_message": message.told()})
    desk.town.tell(desk.bot, "message", notice.payload, f"message:{chat.id}")
    return True


def unpin(desk: Desk, params: Json) -> bool:
    """A message, or the last one, is pinned no longer."""
    chat = desk.chat(params)
    wanted = params.get("message_id") or (chat.pinned[-1] if chat.pinned else 0)
    if wanted not in chat.pinned:
        raise ApiRefusal("Bad Request: message to unpin not found")
    if chat.type != "private":
        desk.needs(
            chat, "can_pin_messages", "not enough rights to manage pinned messages in the chat"
        )
    chat.pinned.remove(wanted)
    return True


def answered(desk: Desk, params: Json, _: Json) -> bool:
    """A pressed button stops turning."""
    if str(params["callback_query_id"]) not in desk.bot.presses:
        raise ApiRefusal(
            "Bad Request: query is too old and response timeout expired or query ID is invalid"
        )
    return True


def acted(desk: Desk, params: Json, _: Json) -> bool:
    """The bot is seen to be typing."""
    desk.chat(params)
    return True


# ---------------------------------------------------------------- who comes in


def create_link(desk: Desk, params: Json) -> Json:
    """A new invite link of the bot's own."""
    chat = desk.chat(params)
    _may_invite(desk, chat)
    if len(params.get("name", "")) > 32:
        raise ApiRefusal("Bad Request: invite link name is too long")
    if params.get("creates_join_request") and params.get("member_limit"):
        raise ApiRefusal(
            "Bad Request: member limit can't be specified for links requiring approval"
        )
    link = Link(
        url=f"https://t.me/+{desk.town.number():08d}TestLink",
        creator=desk.bot.user,
        name=params.get("name", ""),
        asks=bool(params.get("creates_join_request")),
        limit=params.get("member_limit"),
        expires=params.get("expire_date"),
    )
    chat.links.append(link)
    return link.told(desk.bot.user)


def revoke_link(desk: Desk, params: Json) -> Json:
    """A link lets nobody in any more."""
    chat = desk.chat(params)
    _may_invite(desk, chat)
    for link in chat.links:
        if link.url == params["invite_link"] and link.creator is desk.bot.user:
            link.revoked = True
            return link.told(desk.bot.user)
    raise ApiRefusal("Bad Request: INVITE_HASH_EXPIRED")


def approve(desk: Desk, params: Json) -> bool:
    """Whoever asked to join is in."""
    chat, person = desk.chat(params), desk.person(params)
    link = _request(desk, chat, params)
    desk.town.admit(chat, person, by=desk.bot.user, link=link, by_request=True)
    return True


def decline(desk: Desk, params: Json) -> bool:
    """Whoever asked to join stays out."""
    chat = desk.chat(params)
    _request(desk, chat, params)
    del chat.requests[desk.person(params)]
    return True


def _may_invite(desk: Desk, chat: Chat) -> None:
    desk.needs(chat, "can_invite_users", "not enough rights to manage chat invite link")


def _request(desk: Desk, chat: Chat, params: Json) -> Link | None:
    desk.needs(chat, "can_invite_users", "CHAT_ADMIN_REQUIRED")
    person = desk.person(params)
    if chat.member(person).present:
        raise ApiRefusal("Bad Request: USER_ALREADY_PARTICIPANT")
    if person not in chat.requests:
        raise ApiRefusal("Bad Request: HIDE_REQUESTER_MISSING")
    return chat.requests[person]


# ---------------------------------------------------------------- members


def get_chat(desk: Desk, params: Json) -> Json:
    """The ChatFullInfo."""
    chat = desk.chat(params, reading=True)
    gifts = "unlimited_gifts limited_gifts unique_gifts premium_subscription gifts_from_channels"
    told = chat.told() | {
        "accent_color_id": 0,
        "max_reaction_count": 11,
        "accepted_gift_types": dict.fromkeys(gifts.split(), False),
    }
    return (
        told if chat.type == "private" else told | {"permissions": dict.fromkeys(PERMISSIONS, True)}
    )


def get_member(desk: Desk, params: Json) -> Json:
    """The ChatMember, which for a stranger is `left`."""
    return desk.chat(params, reading=True).member(desk.person(params)).told()


def get_administrators(desk: Desk, params: Json) -> list[Json]:
    """The creator and the administrators, other bots left out."""
    chat = desk.chat(params, reading=True)
    if chat.type == "private":
        raise ApiRefusal("Bad Request: there are no administrators in the private chat")
    return [
        member.told()
        for member in chat.members.values()
        if member.status in ADMINISTRATORS
        and (not member.person.is_bot or member.person is desk.bot.user)
    ]


def count_members(desk: Desk, params: Json) -> int:
    """How many are in the chat, bots included."""
    return sum(member.present for member in desk.chat(params, reading=True).members.values())


def ban(desk: Desk, params: Json) -> bool:
    """Somebody is out and may not come back."""
    chat, person = _of_lower_rank(desk, params)
    desk.town.rank(chat, person, "kicked", by=desk.bot.user)
    return True


def unban(desk: Desk, params: Json) -> bool:
    """Somebody may come back; who was never banned is put out, unless `only_if_banned`."""
    chat, person = _of_lower_rank(desk, params)
    banned = chat.member(person).status == "kicked"
    if banned or (not params.get("only_if_banned") and chat.member(person).present):
        desk.town.rank(chat, person, "left", by=desk.bot.user)
    return True


def restrict(desk: Desk, params: Json) -> bool:
    """Somebody may do only what is permitted; all permissions end the restriction."""
    chat, person = _of_lower_rank(desk, params)
    permitted = {may for may in PERMISSIONS if params["permissions"].get(may)}
    inside = chat.member(person).present
    if permitted == {*PERMISSIONS}:
        desk.town.rank(chat, person, "member" if inside else "left", by=desk.bot.user)
    else:
        desk.town.rank(
            chat, person, "restricted", by=desk.bot.user, granted=permitted, inside=inside
        )
    return True


def tag(desk: Desk, params: Json) -> bool:
    """Somebody has a word beside their name; an empty one takes it away."""
    chat, person = desk.chat(params), desk.person(params)
    desk.needs(chat, "can_manage_tags", "not enough rights to manage member tags")
    if len(params.get("tag", "")) > 16 or not chat.member(person).present:
        raise ApiRefusal("Bad Request: TAG_INVALID")
    chat.member(person).tag = params.get("tag", "")
    return True


def leave(desk: Desk, params: Json) -> bool:
    """The bot is out."""
    desk.town.dismiss(desk.chat(params), desk.bot.user)
    return True


def _of_lower_rank(desk: Desk, params: Json) -> tuple[Chat, Person]:
    chat, person = desk.chat(params), desk.person(params)
    desk.needs(chat, "can_restrict_members", "not enough rights to restrict/unrestrict chat member")
    if chat.member(person).status in ADMINISTRATORS:
        raise ApiRefusal("Bad Request: user is an administrator of the chat")
    return chat, person


# ---------------------------------------------------------------- topics


def create_topic(desk: Desk, params: Json) -> Json:
    """A new topic, with the message that opens it."""
    chat = _forum(desk, params, "create a topic")
    if not 1 <= len(params["name"]) <= 128:
        raise ApiRefusal("Bad Request: TOPIC_TITLE_EMPTY")
    topic = open_topic(
        desk.town.post,
        chat,
        desk.bot.user,
        params["name"],
        params.get("icon_color") or ICON_COLOR,
        str(params.get("icon_custom_emoji_id") or ""),
    )
    return {"message_thread_id": topic.id, **topic.told()}


def open_topic(
    post: Callable[..., Message], chat: Chat, by: Person, name: str, color: int, icon: str = ""
) -> Topic:
    """A new topic, whoever opens it."""
    topic = Topic(0, name, color, icon)
    topic.id = post(chat, by, {"forum_topic_created": topic.told()}).id
    chat.topics[topic.id] = topic
    return topic


def edit_topic(desk: Desk, params: Json) -> bool:
    """A topic has another name or icon."""
    chat = _forum(desk, _but(params, "message_thread_id"), "edit the topic")
    topic = desk.topic(chat, params)
    name = params.get("name") or topic.name
    icon = str(params.get("icon_custom_emoji_id", topic.icon))
    if (name, icon) == (topic.name, topic.icon):
        raise ApiRefusal("Bad Request: TOPIC_NOT_MODIFIED")
    topic.name, topic.icon = name, icon
    changed = {"name": name, "icon_custom_emoji_id": icon} if icon else {"name": name}
    desk.town.post(chat, desk.bot.user, {"forum_topic_edited": changed}, thread=topic.id)
    return True


def close_topic(desk: Desk, params: Json) -> bool:
    """A topic takes no more messages, but of those who manage topics."""
    return _turn_topic(desk, params, closed=True)


def reopen_topic(desk: Desk, params: Json) -> bool:
    """A topic takes messages again."""
    return _turn_topic(desk, params, closed=False)


def _turn_topic(desk: Desk, params: Json, *, closed: bool) -> bool:
    chat = _forum(desk, _but(params, "message_thread_id"), "close or reopen the topic")
    topic = desk.topic(chat, params)
    if topic.closed == closed:
        raise ApiRefusal("Bad Request: TOPIC_NOT_MODIFIED")
    topic.closed = closed
    notice = "forum_topic_closed" if closed else "forum_topic_reopened"
    desk.town.post(chat, desk.bot.user, {notice: {}}, thread=topic.id)
    return True


def delete_topic(desk: Desk, params: Json) -> bool:
    """A topic is gone with all that was said in it."""
    chat = desk.chat(_but(params, "message_thread_id"))
    desk.needs(chat, "can_delete_messages", "not enough rights to delete the topic")
    drop_topic(chat, desk.topic(chat, params).id, "message thread not found")
    return True


def drop_topic(chat: Chat, thread: int, refusal: str) -> None:
    """Forget a topic; who writes there is refused in these words."""
    chat.topics[thread].gone = refusal
    for message in chat.messages.values():
        message.deleted = message.deleted or message.thread == thread


def _forum(desk: Desk, params: Json, purpose: str) -> Chat:
    chat = desk.chat(params)
    if not chat.forum:
        raise ApiRefusal("Bad Request: the chat is not a forum")
    desk.needs(chat, "can_manage_topics", f"not enough rights to {purpose}")
    return chat


# ---------------------------------------------------------------- the bot itself


def get_me(desk: Desk, _: Json) -> Json:
    """The bot's own User."""
    return desk.bot.user.told() | {
        "can_join_groups": True,
        "can_read_all_group_messages": desk.bot.reads_all,
        "supports_inline_queries": False,
        "can_connect_to_business": False,
        "has_main_web_app": False,
    }


def commands_set(desk: Desk, params: Json, _: object) -> bool:
    """A menu for one scope and one language."""
    desk.bot.menus[_menu(params)] = params["commands"]
    return True


def commands_got(desk: Desk, params: Json, _: object) -> list[Json]:
    """The menu of exactly this scope and language; no other stands in for it."""
    return desk.bot.menus.get(_menu(params), [])


def commands_deleted(desk: Desk, params: Json, _: object) -> bool:
    """That menu is gone."""
    desk.bot.menus.pop(_menu(params), None)
    return True


def _menu(params: Json) -> tuple[str, str]:
    scope = params.get("scope") or {"type": "default"}
    return json.dumps(scope, sort_keys=True), params.get("language_code", "")


def set_word(word: str) -> Callable[[Desk, Json], bool]:
    """setMyName and its like."""

    def put(desk: Desk, params: Json) -> bool:
        desk.bot.words[word, params.get("language_code", "")] = params.get(word, "")
        return True

    return put


def get_word(word: str) -> Callable[[Desk, Json], Json]:
    """getMyName and its like; a language without a word of its own has the common one."""

    def get(desk: Desk, params: Json) -> Json:
        words, language = desk.bot.words, params.get("language_code", "")
        common = words.get((word, ""), desk.bot.user.first_name if word == "name" else "")
        return {word: words.get((word, language)) or common}

    return get


def accept(_: Desk, __: Json) -> bool:
    """Nothing comes of it that a bot could see."""
    return True


OWN: dict[str, Callable[[Desk, Json], Any]] = {
    "approveChatJoinRequest": approve,
    "banChatMember": ban,
    "closeForumTopic": close_topic,
    "copyMessage": copy_message,
    "createChatInviteLink": create_link,
    "createForumTopic": create_topic,
    "declineChatJoinRequest": decline,
    "deleteForumTopic": delete_topic,
    "deleteMessages": delete_messages,
    "editForumTopic": edit_topic,
    "getChat": get_chat,
    "getChatAdministrators": get_administrators,
    "getChatMember": get_member,
    "getChatMemberCount": count_members,
    "getMe": get_me,
    "getMyDescription": get_word("description"),
    "getMyName": get_word("name"),
    "getMyShortDescription": get_word("short_description"),
    "leaveChat": leave,
    "pinChatMessage": pin,
    "reopenForumTopic": reopen_topic,
    "restrictChatMember": restrict,
    "revokeChatInviteLink": revoke_link,
    "setChatMemberTag": tag,
    "setMyDefaultAdministratorRights": accept,
    "setMyDescription": set_word("description"),
    "setMyName": set_word("name"),
    "setMyShortDescription": set_word("short_description"),
    "unbanChatMember": unban,
    "unpinChatMessage": unpin,
}

AFTER: dict[str, Callable[[Desk, Json, Any], Any]] = {
    "answerCallbackQuery": answered,
    "deleteMessage": deleted,
    "deleteMyCommands": commands_deleted,
    "editMessageCaption": edits("caption", "caption_entities"),
    "editMessageReplyMarkup": edits(),
    "editMessageText": edits("text", "entities", "link_preview_options"),
    "getMyCommands": commands_got,
    "sendAudio": sent,
    "sendChatAction": acted,
    "sendDocument": sent,
    "sendMediaGroup": album,
    "sendMessage": sent,
    "sendPhoto": sent,
    "sendVideo": sent,
    "sendVoice": sent,
    "setMyCommands": commands_set,
}
