"""Parcels: a letter on its way out, how urgent it is, and what is written down once it is done."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from bot import wire
from bot.channels import Said
from bot.pace import Urgency
from handlers.turn import Letter, Policy, To
from storage import campaigns, interactions, members, pending
from storage.interactions import Interaction
from storage.members import Member
from storage.pending import Waiting
from storage.writer import Change

SENT, FAILED, UNKNOWN, WITHHELD = "sent", "failed", "unknown", "withheld"
TWICE = "perhaps twice"  # why what was sent is told apart


@dataclass(slots=True)
class Parcel:
    """A letter in hand, and what has been tried with it."""

    waiting: Waiting
    letter: Letter
    tries: int = 0
    reopened: int = 0
    marked: bool = False  # as being sent, as far as we know
    sending: bool = False  # committed as such, so that it is not sent a second time
    again: bool = False  # it may have been sent before
    campaign: int = 0  # of whose letters it is one
    member: Member | None = None  # whom it is for, where that was read a moment ago
    said: Said | None = None  # what it says, where that is known already

    @property
    def to(self) -> To:
        return self.letter.to

    @property
    def once(self) -> bool:
        """Whether it must rather be lost than be said twice."""
        return self.letter.policy is Policy.AT_MOST_ONCE

    @property
    def urgency(self) -> Urgency:
        """How soon it goes, of all that waits for its channel."""
        letter = self.letter
        if self.campaign:
            return Urgency.CAMPAIGN
        if letter.mirrors and letter.prompted:
            return Urgency.ANSWER  # somebody's own words
        if not letter.prompted or letter.edits or letter.to.thread_of:
            return Urgency.UPDATE
        return Urgency.ANSWER


def opened(waiting: Waiting) -> Parcel:
    """The parcel of a row that waits.  Raises `msgspec.MsgspecError` for one that is no letter."""
    if campaign := campaigns.of_letter(waiting.key):
        return Parcel(waiting, campaign_letter(waiting, campaign), campaign=campaign)
    letter = waiting.handed or wire.letter(waiting.payload)
    return Parcel(waiting, letter, again=waiting.attempts > 0)


def campaign_letter(waiting: Waiting, campaign: int, language: str = "") -> Letter:
    """One of a campaign's letters, of which the row holds nothing but whom it is for."""
    place = waiting.lane.removeprefix(f"{waiting.channel}:")
    return Letter(
        id=waiting.id,
        community=waiting.community or 0,
        member=waiting.member or 0,
        to=To(channel=waiting.channel, place=place, language=language),
        policy=Policy.AT_MOST_ONCE,
        prompted=False,
        topic="broadcast",
        mirrors=campaign,
    )


def done_with(
    parcel: Parcel,
    outcome: str,
    *,
    at: datetime,
    reason: str = "",
    message: str = "",
    body: str = "",
    place: str = "",
) -> list[Change]:
    """The row moves to the past."""
    waiting, letter = parcel.waiting, parcel.letter
    changes = [pending.settled(waiting.id)]
    nobodys = letter.to.private and not letter.member  # such as the last word to one forgotten
    if letter.act is None and not nobodys:
        changes.append(
            interactions.logged(
                Interaction(
                    id=waiting.id,
                    community=letter.community,
                    member=letter.member or None,
                    channel=letter.to.channel,
                    direction="out",
                    kind=letter.topic,
                    at=at,
                    place=place or letter.to.place,
                    message=message,
                    outcome=f"{outcome}: {reason}" if reason else outcome,
                    mirrors=letter.mirrors or None,
                    body=body,
                )
            )
        )
    if reason == "unreachable" and letter.to.private:
        changes.append(members.unreachable(channel=letter.to.channel, home=letter.to.place))
    return changes
