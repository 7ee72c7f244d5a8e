"""What one bot may do where, refused in Telegram's own words."""

from dataclasses import dataclass
from typing import Any

from lo_bot_api_emulator import ApiRefusal

from tests.botapi.shapes import Json, checked, entities, unmarked
from tests.botapi.town import Bot, Chat, Message, Person, Topic, Town


@dataclass(frozen=True)
class Desk:
    """One bot's place in the town."""

    bot: Bot
    town: Town

    def chat(self, params: Json, *, reading: bool = False) -> Chat:
        """The chat a call is about; `reading` asks only to see it, not to write in it."""
        chat = self.town.chat(params.get("chat_id"), self.bot)
        if chat is None:
            raise ApiRefusal("Bad Request: chat not found")
        if chat.moved_to:
            raise ApiRefusal(
                "Bad Request: group chat was upgraded to a supergroup chat",
                parameters={"migrate_to_chat_id": chat.moved_to.id},
            )
        if chat.type == "private":
            if not reading:
                self._may_write_to(self.town.people[chat.id])
        else:
            self._is_in(chat)
        if thread := params.get("message_thread_id"):
            self._may_write_in(chat, thread)
        return chat

    def person(self, params: Json) -> Person:
        """The user a call is about."""
        person = self.town.people.get(params["user_id"])
        if person is None:
            raise ApiRefusal("Bad Request: user not found")
        return person

    def needs(self, chat: Chat, right: str, otherwise: str) -> None:
        """Refuse, unless the bot has this right in the chat."""
        if not chat.member(self.bot.user).may(right):
            raise ApiRefusal(f"Bad Request: {otherwise}")

    def message(self, chat: Chat, message_id: object, otherwise: str) -> Message:
        """The message of this id, if it is still there."""
        message = chat.messages.get(message_id) if isinstance(message_id, int) else None
        if message is None or message.deleted:
            raise ApiRefusal(f"Bad Request: {otherwise}")
        return message

    def topic(self, chat: Chat, params: Json) -> Topic:
        """The topic that is to be changed."""
        topic = chat.topics.get(params["message_thread_id"])
        if topic is None or topic.gone:
            raise ApiRefusal("Bad Request: TOPIC_ID_INVALID")
        return topic

    def replied(self, chat: Chat, params: Json) -> Message | None:
        """The message that a new one answers, if any."""
        wanted = params.get("reply_parameters") or {
            "message_id": params.get("reply_to_message_id"),
            "allow_sending_without_reply": params.get("allow_sending_without_reply"),
        }
        if not wanted.get("message_id"):
            return None
        try:
            return self.message(chat, wanted["message_id"], "message to be replied not found")
        except ApiRefusal:
            if wanted.get("allow_sending_without_reply"):
                return None
            raise

    def post(self, chat: Chat, params: Json, content: Json) -> Message:
        """Say something in the bot's own name."""
        if params.get("protect_content"):
            content = content | {"has_protected_content": True}
        thread, reply_to = params.get("message_thread_id") or 0, self.replied(chat, params)
        return self.town.post(chat, self.bot.user, content, thread=thread, reply_to=reply_to)

    def _may_write_to(self, person: Person) -> None:
        if person in self.bot.blocked_by:
            raise ApiRefusal("Forbidden: bot was blocked by the user", 403)
        waiting = any(person in chat.requests for chat in self.town.groups.values())
        if person not in self.bot.started_by and not waiting:
            raise ApiRefusal("Forbidden: bot can't initiate conversation with a user", 403)

    def _is_in(self, chat: Chat) -> None:
        member = chat.member(self.bot.user)
        if member.status == "kicked":
            raise ApiRefusal(f"Forbidden: bot was kicked from the {chat.type} chat", 403)
        if not member.present:
            raise ApiRefusal(f"Forbidden: bot is not a member of the {chat.type} chat", 403)

    def _may_write_in(self, chat: Chat, thread: Any) -> None:
        topic = chat.topics.get(thread)
        if topic is None:
            raise ApiRefusal("Bad Request: message thread not found")
        if topic.gone:
            raise ApiRefusal(f"Bad Request: {topic.gone}")
        if topic.closed and not chat.member(self.bot.user).may("can_manage_topics"):
            raise ApiRefusal("Bad Request: TOPIC_CLOSED")


def written(params: Json) -> Json:
    """The text or caption that a call carries, without markup and with its entities."""
    for name, marks in (("text", "entities"), ("caption", "caption_entities")):
        if params.get(name):
            text, meant = unmarked(str(params[name]), params.get("parse_mode"))
            found = entities(text, meant or checked(text, params.get(marks) or ()))
            return {name: text} | ({marks: found} if found else {})
    return {}
