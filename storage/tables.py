"""Every table on one page, each with what the law asks of it.

The rows are read and written by the plain functions beside this file; these
classes are the schema, from which migrations are made and people's data is
exported and forgotten.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from storage.columns import Day, Moment

SQLModel.metadata.naming_convention = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


@dataclass(frozen=True, slots=True)
class Privacy:
    """What happens to a table's rows when the member they are about asks.

    forget: "delete" the rows, or "unname" them (the totals stay true, the person is
            gone from them)
    export: whether the rows are in the copy a member may ask for
    keep:   days after which rows are deleted anyway; None: as long as the member stays
    of:     the columns that hold a member's id: first whose row it is, then who is only
            mentioned in it, and is unnamed when they ask, while the row stays
    traces: columns that give the member away too, and are emptied when the row is unnamed
    sealed: columns kept encrypted
    by:     a member's ids, or those the web channel, being its own platform, gives people
    """

    forget: Literal["delete", "unname"]
    export: bool
    keep: int | None = None
    of: tuple[str, ...] = ("member_id",)
    traces: tuple[str, ...] = ()
    sealed: tuple[str, ...] = ()
    by: Literal["member", "web person"] = "member"  # whose ids those columns hold


NOT_PERSONAL: dict[str, Any] = {"info": {"privacy": None}}


def personal(**what: Any) -> dict[str, Any]:
    """The last of a table's arguments, for a table about people."""
    return {"info": {"privacy": Privacy(**what)}}


def moment(index: bool = False, nullable: bool = False) -> Any:
    """A column for an aware moment."""
    return Field(default=None, sa_type=Moment, index=index, nullable=nullable)


def big(index: bool = False, nullable: bool = False, **more: Any) -> Any:
    """A column for a row's id, which may pass 32 bits."""
    return Field(default=None, sa_type=sa.BigInteger, index=index, nullable=nullable, **more)


def few(name: str, *columns: str, where: str) -> sa.Index:
    """An index of the few rows for which this holds; a query has to say so too."""
    only = sa.text(where)
    return sa.Index(name, *columns, sqlite_where=only, postgresql_where=only)


def of_chat(index: bool = False, primary_key: bool = False) -> Any:
    """A column for a chat of the web channel; the row goes when the chat does."""
    return Field(
        sa_column_args=(sa.ForeignKey("web_chats.id", ondelete="CASCADE"),),
        sa_type=sa.BigInteger,
        index=index,
        primary_key=primary_key,
    )


def own_id() -> Any:
    """The primary key: reserved before the row is written, never by the database."""
    return Field(
        default=None,
        primary_key=True,
        sa_type=sa.BigInteger,
        sa_column_kwargs={"autoincrement": False},
    )


def sealed() -> Any:
    """A column whose text is encrypted; NULL when there is nothing to keep."""
    return Field(default=None, sa_type=sa.LargeBinary, nullable=True)


class Block(SQLModel, table=True):
    """From which number the next block of row ids starts."""

    __tablename__ = "blocks"
    __table_args__ = NOT_PERSONAL

    name: str = Field(primary_key=True)
    next_id: int = big()


class CommunityRow(SQLModel, table=True):
    """A group of places with one set of settings, one staff place and one knowledge."""

    __tablename__ = "communities"
    __table_args__ = (sa.UniqueConstraint("name"), NOT_PERSONAL)

    id: int = own_id()
    name: str
    zone: str
    language: str
    created_at: datetime = moment()


class PlaceRow(SQLModel, table=True):
    """A chat that belongs to a community: one of its groups, or where its staff work."""

    __tablename__ = "places"
    __table_args__ = (
        sa.UniqueConstraint("channel", "ref"),
        sa.CheckConstraint("kind IN ('group', 'staff')", name="kind"),
        NOT_PERSONAL,
    )

    id: int = own_id()
    community_id: int = big(index=True)
    channel: str
    ref: str
    kind: str
    title: str = ""
    link: str = ""  # an invitation to it that members may be given
    by: str = "chat"  # who bound it: "file", config.toml, or "chat", the owner's /setup
    created_at: datetime = moment()


class WordingRow(SQLModel, table=True):
    """A text that a community's admins wrote themselves, such as its rules."""

    __tablename__ = "wordings"
    __table_args__ = (sa.UniqueConstraint("community_id", "key", "language"), NOT_PERSONAL)

    id: int = own_id()
    community_id: int = big()
    key: str
    language: str
    text: str
    changed_at: datetime = moment()


class MemberRow(SQLModel, table=True):
    """A person in a community, with what every turn needs to know of them."""

    __tablename__ = "members"
    __table_args__ = (
        sa.Index("ix_members_community_id_streak", "community_id", "streak"),
        sa.Index("ix_members_community_id_last_seen_at", "community_id", "last_seen_at"),
        few("ix_members_zone", "community_id", "zone", where="zone <> ''"),
        few("ix_members_role", "community_id", "role", where="role <> 'member'"),
        sa.CheckConstraint("role IN ('member', 'staff', 'admin', 'owner')", name="role"),
        sa.CheckConstraint("status IN ('visitor', 'member', 'left')", name="status"),
        personal(forget="delete", export=True, of=("id", "invited_by"), sealed=("name",)),
    )

    id: int = own_id()
    community_id: int = big()
    name: bytes | None = sealed()
    language: str = ""
    zone: str = ""  # empty: the community's
    next_zone: str = ""  # chosen today, in force from `zone_from`
    zone_from: date | None = Field(default=None, sa_type=Day)
    role: str = "member"
    status: str = "visitor"
    silenced: bool = False  # asked that nothing unprompted be sent
    reminders: bool = True
    first_seen_at: datetime = moment()
    joined_at: datetime | None = moment(nullable=True)
    left_at: datetime | None = moment(nullable=True)
    last_seen_at: datetime = moment()
    messages: int = 0
    streak: int = 0  # days in a row, the last of them `checked_in_on`
    longest: int = 0
    checked_in_on: date | None = Field(default=None, sa_type=Day)
    invited_by: int | None = big(index=True, nullable=True)
    referred: int = 0  # how many came by this member


class IdentityRow(SQLModel, table=True):
    """How one channel knows a member."""

    __tablename__ = "identities"
    __table_args__ = (
        sa.UniqueConstraint("channel", "ref", "community_id"),
        personal(forget="delete", export=True),
    )

    id: int = own_id()
    community_id: int = big()
    member_id: int = big(index=True)
    channel: str
    ref: str
    home: str = ""  # the private chat; empty until the person opened one, or once they blocked us
    chosen_at: datetime = moment()  # the latest chosen community is the one spoken to in private


class ConversationRow(SQLModel, table=True):
    """Who speaks with a member at present: the bot, a human, or nobody yet."""

    __tablename__ = "conversations"
    __table_args__ = (
        sa.CheckConstraint("speaker IN ('bot', 'human', 'none')", name="speaker"),
        personal(forget="delete", export=False),
    )

    member_id: int = own_id()
    community_id: int = big()
    speaker: str = "bot"
    epoch: int = 0  # +1 whenever the speaker changes
    expects: str = ""  # the trigger that takes the next thing said
    expects_until: datetime | None = moment(nullable=True)
    missed: int = 0  # unanswered questions in a row


class CaseRow(SQLModel, table=True):
    """A conversation that staff must answer."""

    __tablename__ = "cases"
    __table_args__ = (
        sa.Index(
            "uq_cases_open",
            "member_id",
            unique=True,
            sqlite_where=sa.text("closed_at IS NULL"),
            postgresql_where=sa.text("closed_at IS NULL"),
        ),
        sa.Index("ix_cases_community_id_closed_at", "community_id", "closed_at"),
        sa.UniqueConstraint("community_id", "number"),
        personal(forget="delete", export=True, of=("member_id", "assignee_id")),
    )

    id: int = own_id()
    community_id: int = big()
    member_id: int = big(index=True)
    number: int  # counts up in each community, for people to say
    reason: str
    opened_at: datetime = moment()
    assignee_id: int | None = big(index=True, nullable=True)
    claimed_at: datetime | None = moment(nullable=True)
    closed_at: datetime | None = moment(nullable=True)
    closed_by: str = ""


class ThreadRow(SQLModel, table=True):
    """The topic in a staff place where one member's conversation is worked on."""

    __tablename__ = "threads"
    __table_args__ = (
        sa.UniqueConstraint("channel", "place", "ref"),
        sa.UniqueConstraint("channel", "place", "member_id"),
        personal(forget="delete", export=False),
    )

    id: int = own_id()
    community_id: int = big()
    member_id: int = big(index=True)
    channel: str
    place: str
    ref: str
    lane: str  # the member's lane, so that staff events keep their order with the member's


class InviteRow(SQLModel, table=True):
    """A member's own link by which others come."""

    __tablename__ = "invites"
    __table_args__ = (
        sa.UniqueConstraint("channel", "link"),
        personal(forget="delete", export=True),
    )

    id: int = own_id()
    community_id: int = big()
    member_id: int = big(index=True)
    channel: str
    place: str
    link: str
    created_at: datetime = moment()


class FactRow(SQLModel, table=True):
    """Something countable that happened to a member; immutable."""

    __tablename__ = "facts"
    __table_args__ = (
        sa.UniqueConstraint("community_id", "name", "once"),
        sa.Index("ix_facts_member_id_name_day", "member_id", "name", "day"),
        sa.Index("ix_facts_community_id_name_at", "community_id", "name", "at"),
        personal(forget="unname", export=True, of=("member_id", "about_id"), traces=("once",)),
    )

    id: int = own_id()
    community_id: int = big()
    member_id: int | None = big(nullable=True)
    about_id: int | None = big(index=True, nullable=True)
    name: str
    amount: int = 1
    day: date = Field(sa_type=Day)  # the member's own
    at: datetime = moment()
    once: str | None = None  # no two facts of a name share it


class InteractionRow(SQLModel, table=True):
    """The past: everything heard and said, one row each, never changed."""

    __tablename__ = "interactions"
    __table_args__ = (
        sa.Index("ix_interactions_member_id_at", "member_id", "at"),
        sa.Index("ix_interactions_message", "channel", "place", "message"),
        sa.Index("ix_interactions_at", "at"),
        personal(forget="delete", export=True, keep=365, sealed=("body",)),
    )

    id: int = own_id()
    community_id: int | None = big(nullable=True)
    member_id: int | None = big(nullable=True)
    channel: str
    place: str = ""
    message: str = ""  # the channel's id of the message
    direction: str  # "in" or "out"
    kind: str  # what sort of event, or which capability said it
    outcome: str = ""  # for what was said: "sent", "failed", "unknown", "withheld: …"
    mirrors: int | None = big(index=True, nullable=True)  # the interaction this one carried on
    body: bytes | None = sealed()
    at: datetime = moment()


class PendingRow(SQLModel, table=True):
    """What is waiting: come in and not dealt with, going out and not said, or due later."""

    __tablename__ = "pending"
    __table_args__ = (
        sa.UniqueConstraint("channel", "key"),
        sa.Index("ix_pending_kind_due_at", "kind", "due_at", "id"),
        sa.CheckConstraint("kind IN ('in', 'out', 'woke')", name="kind"),
        personal(forget="delete", export=False, sealed=("payload",)),
    )

    id: int = own_id()
    kind: str
    channel: str
    key: str  # unique on its channel
    lane: str  # rows of one lane are dealt with in order
    share: int = Field(default=0, sa_column_kwargs={"server_default": "0"})  # of the lane
    community_id: int | None = big(nullable=True)
    member_id: int | None = big(index=True, nullable=True)
    state: str = "waiting"  # or "sending": committed before a send that must not be repeated
    attempts: int = 0
    due_at: datetime = moment()
    created_at: datetime = moment()
    payload: bytes | None = sealed()


class ShareRow(SQLModel, table=True):
    """A share of all lanes, worked on by one process at a time."""

    __tablename__ = "shares"
    __table_args__ = NOT_PERSONAL

    share: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    taken: int = 0  # how often it was taken over with work in it that never got done


class CampaignRow(SQLModel, table=True):
    """One message to many members, and how far it has got."""

    __tablename__ = "campaigns"
    __table_args__ = (
        sa.Index("ix_campaigns_community_id_state", "community_id", "state"),
        sa.CheckConstraint(
            "state IN ('draft', 'running', 'paused', 'cancelled', 'done')", name="state"
        ),
        personal(forget="unname", export=False, of=("author_id",)),
    )

    id: int = own_id()
    community_id: int = big()
    author_id: int | None = big(index=True, nullable=True)  # None: from the command line
    state: str = "draft"
    text: str
    media: str = ""  # JSON of what comes with it; empty if nothing does
    audience: str = ""  # JSON of whom it is for; empty for everybody
    reached: int = big()  # the last member whose letter was written down
    total: int = 0  # whom it was for when it began
    queued: int = 0  # letters written down so far
    sent: int = 0
    failed: int = 0
    withheld: int = 0
    unknown: int = 0  # nobody knows whether they arrived
    progress: int | None = big(nullable=True)  # the letter that shows the author how far it is
    created_at: datetime = moment()
    started_at: datetime | None = moment(nullable=True)
    ended_at: datetime | None = moment(nullable=True)


class SessionRow(SQLModel, table=True):
    """Somebody logged in to the pages; only the digest of the secret is kept."""

    __tablename__ = "sessions"
    __table_args__ = personal(forget="delete", export=False, keep=30)

    digest: str = Field(primary_key=True)
    member_id: int = big(index=True)
    created_at: datetime = moment()
    expires_at: datetime = moment()


class SeenRow(SQLModel, table=True):
    """Which events a channel has already told us of, so that a repeat changes nothing."""

    __tablename__ = "seen"
    __table_args__ = (
        sa.Index("ix_seen_at", "at"),
        {"sqlite_with_rowid": False, **NOT_PERSONAL},
    )

    channel: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    at: datetime = moment()


class QuarantineRow(SQLModel, table=True):
    """What could not be dealt with, kept whole until somebody looks at it."""

    __tablename__ = "quarantine"
    __table_args__ = (
        sa.UniqueConstraint("channel", "key"),
        personal(forget="delete", export=False, keep=90, sealed=("payload",)),
    )

    id: int = own_id()
    channel: str
    key: str
    member_id: int | None = big(index=True, nullable=True)
    reason: str
    attempts: int
    at: datetime = moment()
    payload: bytes | None = sealed()


class TokenRow(SQLModel, table=True):
    """A one-time permission, such as the owner's link; only its digest is kept."""

    __tablename__ = "tokens"
    __table_args__ = NOT_PERSONAL

    digest: str = Field(primary_key=True)
    purpose: str
    expires_at: datetime = moment()
    used_at: datetime | None = moment(nullable=True)


# ---- the web channel is its own platform, so it keeps what a platform keeps


class WebPersonRow(SQLModel, table=True):
    """Someone who chats in the browser."""

    __tablename__ = "web_people"
    __table_args__ = (
        sa.Index("ix_web_people_digest", "digest"),
        personal(forget="delete", export=True, of=("id",), sealed=("name",), by="web person"),
    )

    id: int = own_id()
    name: bytes | None = sealed()
    language: str
    digest: str = ""  # of the secret in their link; empty while they have none
    reachable: bool = False  # has started the bot, and not stopped it since
    created_at: datetime = moment()


class WebChatRow(SQLModel, table=True):
    """A chat in the browser: private with the bot, a group, or a staff place with topics."""

    __tablename__ = "web_chats"
    __table_args__ = (
        sa.CheckConstraint("kind IN ('private', 'group', 'staff')", name="kind"),
        personal(forget="delete", export=False, of=("person_id",), by="web person"),
    )

    id: int = own_id()
    kind: str
    title: str = ""
    person_id: int | None = big(index=True, nullable=True)  # whose private chat it is
    created_at: datetime = moment()


class WebLinkRow(SQLModel, table=True):
    """An invite link: whoever has it may join the chat."""

    __tablename__ = "web_links"
    __table_args__ = NOT_PERSONAL

    token: str = Field(primary_key=True)
    chat_id: int = of_chat(index=True)
    public: bool = False  # the chat's own, shown to those who are not in it
    created_at: datetime = moment()


class WebSeatRow(SQLModel, table=True):
    """Someone's place in a chat; what was said before its id was taken is not new to them."""

    __tablename__ = "web_seats"
    __table_args__ = (
        sa.UniqueConstraint("chat_id", "person_id"),
        personal(forget="delete", export=False, of=("person_id",), by="web person"),
    )

    id: int = own_id()
    chat_id: int = of_chat(index=True)
    person_id: int = big(index=True)
    rank: str = ""  # or "admin"


class WebMarkRow(SQLModel, table=True):
    """How far someone has read in a chat or topic, and when they last opened it."""

    __tablename__ = "web_marks"
    __table_args__ = personal(forget="delete", export=False, of=("person_id",), by="web person")

    person_id: int = big(primary_key=True)
    chat_id: int = of_chat(primary_key=True)
    topic_id: int = big(primary_key=True)  # 0 where there is no topic
    read_to: int = big()  # the id of the last message seen
    opened_at: datetime = moment()


class WebTopicRow(SQLModel, table=True):
    """A topic in a staff place; its messages go with it."""

    __tablename__ = "web_topics"
    __table_args__ = personal(forget="delete", export=False, sealed=("title",))

    id: int = own_id()
    chat_id: int = of_chat(index=True)
    member_id: int = big(index=True)
    title: bytes | None = sealed()
    closed: bool = False


class WebMessageRow(SQLModel, table=True):
    """A message as the browser shows it."""

    __tablename__ = "web_messages"
    __table_args__ = (
        sa.Index("ix_web_messages_chat_id", "chat_id", "id"),
        sa.Index("ix_web_messages_topic_id", "topic_id", "id"),
        personal(
            forget="delete",
            export=False,
            keep=365,
            of=("person_id",),
            sealed=("body", "file"),
            by="web person",
        ),
    )

    id: int = own_id()
    chat_id: int = of_chat()
    topic_id: int | None = Field(
        default=None,
        sa_column=sa.Column(
            sa.BigInteger, sa.ForeignKey("web_topics.id", ondelete="CASCADE"), nullable=True
        ),
    )
    person_id: int | None = big(index=True, nullable=True)  # None: the bot
    body: bytes | None = sealed()  # JSON: text, buttons, which message it answers, file name
    file: bytes | None = sealed()  # base64 of a picture or file
    sign: str = ""  # a reaction of the bot to it
    notice: str = ""  # for what nobody said: "joined" or "left"
    edited_at: datetime | None = moment(nullable=True)
    gone: bool = False
    at: datetime = moment()
