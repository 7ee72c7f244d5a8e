"""Conversations: who speaks with a member at present, and what the bot expects to hear next."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from storage.moments import from_micros, to_micros
from storage.writer import Change, Reader, Row


class Speaker(StrEnum):
    """Who answers the member."""

    BOT = "bot"
    HUMAN = "human"
    NONE = "none"  # waiting for a human


@dataclass(frozen=True, slots=True)
class Conversation:
    """A member's conversation; `epoch` rises by one whenever the speaker changes."""

    member: int
    community: int
    speaker: Speaker = Speaker.BOT
    epoch: int = 0
    expects: str = ""
    expects_until: datetime | None = None
    missed: int = 0


async def of(db: Reader, *, member: int, community: int) -> Conversation:
    """The member's conversation; one in which the bot speaks if there was none."""
    row = await db.row("SELECT * FROM conversations WHERE member_id = :member", member=member)
    if row is None:
        return Conversation(member, community)
    return known(row, member=member, community=community)


def known(row: Row, *, member: int, community: int) -> Conversation:
    """The conversation in a row that has its columns; one in which the bot speaks without any."""
    if row["speaker"] is None:
        return Conversation(member, community)
    until = row["expects_until"]
    return Conversation(
        member=member,
        community=community,
        speaker=Speaker(row["speaker"]),
        epoch=row["epoch"],
        expects=row["expects"],
        expects_until=None if until is None else from_micros(until),
        missed=row["missed"],
    )


async def epoch(db: Reader, member: int) -> int:
    """The member's present epoch."""
    found = await db.value("SELECT epoch FROM conversations WHERE member_id = :m", m=member)
    return int(found or 0)


def begun(conversation: Conversation) -> Change:
    """There is a row for this conversation."""
    return Change(
        """
        INSERT INTO conversations (member_id, community_id, speaker, epoch, expects, missed)
        VALUES (:member, :community, 'bot', 0, '', 0)
        ON CONFLICT (member_id) DO NOTHING
        """,
        {"member": conversation.member, "community": conversation.community},
    )


def passed(conversation: Conversation, to: Speaker) -> list[Change]:
    """Another speaks from now on.  Misses if it had changed meanwhile."""
    return [
        begun(conversation),
        Change(
            """
            UPDATE conversations SET speaker = :speaker, epoch = epoch + 1, expects = '',
                missed = 0
            WHERE member_id = :member AND epoch = :epoch
            """,
            {"member": conversation.member, "speaker": to.value, "epoch": conversation.epoch},
            rows=1,
        ),
    ]


def still(conversation: Conversation) -> list[Change]:
    """Nothing changes, but the turn rests on nobody else having begun to speak."""
    return [
        begun(conversation),
        Change(
            "UPDATE conversations SET epoch = epoch WHERE member_id = :member AND epoch = :epoch",
            {"member": conversation.member, "epoch": conversation.epoch},
            rows=1,
        ),
    ]


def expecting(conversation: Conversation, trigger: str, until: datetime | None) -> list[Change]:
    """The next thing said in private goes to this trigger, until then; "" for none."""
    return [
        begun(conversation),
        Change(
            """
            UPDATE conversations SET expects = :trigger, expects_until = :until
            WHERE member_id = :member
            """,
            {
                "member": conversation.member, "trigger": trigger,
                "until": None if until is None else to_micros(until),
            },
        ),
    ]  # fmt: skip


def missed(conversation: Conversation, times: int) -> list[Change]:
    """That many questions in a row went unanswered."""
    return [
        begun(conversation),
        Change(
            "UPDATE conversations SET missed = :times WHERE member_id = :member",
            {"member": conversation.member, "times": times},
        ),
    ]
