"""Handoff: a member is answered by a person, without being asked anything twice."""

from __future__ import annotations

from pydantic import BaseModel, NonNegativeInt

from handlers.roles import Role
from handlers.router import Router, said_command
from handlers.turn import Button, Kind, Refusal, Reply, To, Turn
from knowledge.lexicon import in_crisis, wants_human
from knowledge.texts import clean
from storage import cases, conversations, facts, interactions, members
from storage.cases import Case
from storage.conversations import Speaker
from storage.facts import Fact
from storage.members import Member


class Settings(BaseModel, extra="forbid", frozen=True):
    """The [handoff] section of config.toml."""

    contact: str = ""  # where else people can be reached, told where nobody can be called here
    shown: NonNegativeInt = 8  # messages from before the handoff that staff are shown


router = Router("handoff", Settings)

NOTES = ("//", "；；", ";;", "🔒")  # what staff begin with one of these stays among them
LONGEST = 19  # digits; no number of ours has so many, but anything can be pressed by a program
QUOTED = 300  # characters of a message in the summary for staff
QUEUED = {"unanswered": "handoff.queued_unanswered", "again": "handoff.queued_again"}


# ---------------------------------------------------------------- asking for a person


@router.command("human")
@router.start("human")
@router.button("human")
@router.button("again")
@router.on(Fact.NEEDED_HUMAN)
async def call(turn: Turn) -> None:
    """Have a person answer this member from now on; asking again changes nothing."""
    reason = _reason(turn)
    if reason == "crisis":
        turn.say("handoff.crisis", buttons=_door(turn))
    elif not turn.private:
        turn.say("handoff.in_private", buttons=_door(turn))
        return
    case = await cases.open_case(turn.db, turn.member.id)
    staff = turn.with_staff(turn.member)
    if case is None and staff is not None:
        await _open(turn, staff, reason)
    elif turn.private:
        await _tell_where_it_stands(turn, case)


def _reason(turn: Turn) -> str:
    if in_crisis(turn.event.text):
        return "crisis"
    if turn.event.data == "handoff.again":
        return "again"
    return "unanswered" if turn.fact is not None and turn.fact[1] else "asked"


async def _open(turn: Turn, staff: To, reason: str) -> None:
    case = await _new_case(turn, turn.member, reason)
    turn.note(cases.opened(case), *conversations.passed(turn.conversation, Speaker.NONE))
    turn.record(Fact.HANDED_OVER)
    if turn.private:
        await _tell_position(turn, case, QUEUED.get(reason, "handoff.queued"))
    await _introduce(turn, case, staff)


async def _new_case(turn: Turn, member: Member, reason: str) -> Case:
    return Case(
        id=turn.world.ids.take(),
        community=turn.community.id,
        member=member.id,
        number=await cases.next_number(turn.db, turn.community.id),
        reason=reason,
        opened_at=turn.now,
    )


async def _introduce(turn: Turn, case: Case, staff: To) -> None:
    """Give staff in the member's topic what they need to answer at once."""
    member = turn.member
    lines = await _said_before(turn)
    turn.say(
        "handoff.card",
        to=staff,
        buttons=((_claim(case), _close(case)),),
        number=case.number,
        name=member.name,
        speaks=turn.world.texts.say(turn.language, "language.own_name"),
        reason=f"@handoff.reason.{case.reason}",
        said="\n".join(lines) if lines else "@handoff.nothing_said",
    )


async def _said_before(turn: Turn) -> list[str]:
    """What was said in private before, oldest first, and what was just said.

    What the bot says beside its answers, such as its greeting, tells staff nothing.
    """
    most = turn.settings(Settings).shown
    talk = await interactions.private_talk(turn.db, turn.member, most=3 * most) if most else []
    told = [one for one in talk if one.direction == "in" or one.kind == "faq" or one.mirrors]
    lines = [
        _quoted("·" if one.direction == "in" else "🤖" if one.kind == "faq" else "👤", one.text)
        for one in told
        if one.text and not one.text.startswith("/")
    ][-most:]
    if turn.event.kind is Kind.SAID and (words := _own_words(turn)):
        lines.append(_quoted("·", words))
    return lines


def _own_words(turn: Turn) -> str:
    """What was just said, without a command's name."""
    command = said_command(turn.event)
    if command is None:
        return turn.event.text
    return "" if command[0] == "start" else command[1]


def _quoted(mark: str, text: str) -> str:
    """One line; a mark that the text has of its own is not doubled."""
    line = " ".join(text.split()).removeprefix(mark).lstrip()
    return f"{mark} {clean(line, QUOTED)}"


# ---------------------------------------------------------------- while waiting, and after


@router.otherwise(Speaker.NONE)
@router.otherwise(Speaker.HUMAN)
async def carry(turn: Turn) -> None:
    """Bring to staff what the member says; while nobody has come yet, tell them so once."""
    if not turn.private:
        turn.say("handoff.in_private", buttons=_door(turn))
        return
    case = await cases.open_case(turn.db, turn.member.id)
    staff = turn.with_staff(turn.member)
    if case is None or staff is None:
        await _give_back(turn, case)
        return
    if not (turn.event.text or turn.event.media):
        raise Refusal("handoff.not_carried")
    await _carry(turn, turn.member, staff)
    if in_crisis(turn.event.text):
        turn.say("handoff.crisis")
        _tell_desk(turn, turn.member, "handoff.crisis_at_desk", name=turn.member.name)
    elif wants_human(turn.event.text):
        await _tell_where_it_stands(turn, case)
    elif case.waiting:
        await _note_once(turn, case)


async def _give_back(turn: Turn, case: Case | None) -> None:
    """Nobody can come any more, for the staff place is gone: the bot answers again."""
    turn.note(*conversations.passed(turn.conversation, Speaker.BOT))
    if case is not None:
        turn.note(cases.closed(case.id, by="nobody", at=turn.now))
    _tell_that_nobody_comes(turn)


async def _tell_where_it_stands(turn: Turn, case: Case | None) -> None:
    if case is None:
        _tell_that_nobody_comes(turn)
    elif case.waiting:
        await _tell_position(turn, case, "handoff.still_queued")
    else:
        turn.say("handoff.here_already", name=await _assignee(turn, case))


async def _tell_position(turn: Turn, case: Case, key: str) -> None:
    position = 1 + await cases.ahead(turn.db, case)
    turn.say(key, buttons=((_cancel(case),),), number=case.number, position=position)


def _tell_that_nobody_comes(turn: Turn) -> None:
    contact = turn.settings(Settings).contact
    if contact:
        turn.say("handoff.nobody_but", contact=contact)
    else:
        turn.say("handoff.nobody")


async def _note_once(turn: Turn, case: Case) -> None:
    known = await facts.happened(turn.db, turn.community.id, Fact.WROTE_WAITING, turn.once(case.id))
    if not known:
        turn.record(Fact.WROTE_WAITING, once=case.id)
        turn.say("handoff.noted")


@router.button("cancel")
async def cancel(turn: Turn) -> None:
    """Stop waiting for a person."""
    case = await cases.open_case(turn.db, turn.member.id)
    if case is None or turn.rest != str(case.id):
        raise Refusal("handoff.nothing_open")
    if not case.waiting:
        raise Refusal("handoff.too_late", name=await _assignee(turn, case))
    turn.note(
        cases.closed(case.id, by="member", at=turn.now),
        *conversations.passed(turn.conversation, Speaker.BOT),
    )
    turn.say("handoff.cancelled")
    _tell_desk(turn, turn.member, "handoff.cancelled_at_desk", name=turn.member.name)


# ---------------------------------------------------------------- staff


@router.staff
async def answer(turn: Turn) -> None:
    """Bring to the member what staff say in the topic; whoever speaks first has the case."""
    event, subject = turn.event, turn.subject
    if subject is None or event.text.startswith(NOTES) or not (event.text or event.media):
        return
    if event.text.startswith("/"):
        raise Refusal("house.unknown_command")  # mistyped, and not meant for the member
    home = turn.at_home(subject)
    if home is None:
        _tell_desk(turn, subject, "handoff.out_of_reach", name=subject.name)
        return
    case = await cases.open_case(turn.db, subject.id)
    if case is not None and not case.waiting and case.assignee != turn.member.id:
        _keep_as_note(turn, case, await _assignee(turn, case))
        return
    if case is None:
        case = await _new_case(turn, subject, "staff")
        turn.note(cases.opened(case))
    if case.waiting:
        await _take_on(turn, case, subject)
    await _carry(turn, subject, home)


@router.button("claim")
async def claim(turn: Turn) -> None:
    """Take a waiting case; the first who does has it."""
    case, subject = await _at_hand(turn)
    if case.assignee == turn.member.id:
        raise Refusal("handoff.yours_already")
    if not case.waiting:
        name = await _assignee(turn, case)
        raise Refusal("handoff.taken", buttons=((_take_over(case),),), name=name)
    await _take_on(turn, case, subject)


@router.button("take_over")
async def take_over(turn: Turn) -> None:
    """Take a case from the colleague who has it, such as at the end of their day."""
    case, subject = await _at_hand(turn)
    if case.assignee == turn.member.id:
        raise Refusal("handoff.yours_already")
    if case.assignee is None:
        await _take_on(turn, case, subject)
        return
    turn.note(cases.passed_on(case.id, of=case.assignee, to=turn.member.id, at=turn.now))
    _introduce_staff(turn, subject)


@router.command("close", role=Role.STAFF)
async def close_here(turn: Turn) -> None:
    """Close the case of the topic this is said in."""
    if turn.subject is None:
        raise Refusal("handoff.not_here")
    case = await cases.open_case(turn.db, turn.subject.id)
    if case is None:
        raise Refusal("handoff.closed_before")
    await _finish(turn, case, turn.subject)


@router.button("close")
async def close(turn: Turn) -> None:
    """Close the case under whose card this is pressed."""
    await _finish(turn, *await _at_hand(turn))


async def _at_hand(turn: Turn) -> tuple[Case, Member]:
    """The open case that a button at the staff desk is about, and its member."""
    if turn.spot is None or turn.spot.kind != "staff":
        raise Refusal("house.not_allowed", role="@house.role.staff")
    number = turn.rest if turn.rest.isdecimal() and len(turn.rest) < LONGEST else ""
    case = await cases.by_id(turn.db, int(number)) if number else None
    subject = None if case is None else await members.by_id(turn.db, case.member)
    if case is None or subject is None or case.community != turn.community.id:
        raise Refusal("handoff.gone")
    if case.closed_at is not None:
        raise Refusal("handoff.closed_before")
    return case, subject


async def _take_on(turn: Turn, case: Case, subject: Member) -> None:
    await _pass(turn, subject, Speaker.HUMAN)
    turn.note(cases.claimed(case.id, by=turn.member.id, at=turn.now))
    turn.record(Fact.CLAIMED, about=subject.id)
    _introduce_staff(turn, subject)


def _introduce_staff(turn: Turn, subject: Member) -> None:
    """Both sides are told who answers from now on."""
    name, home = turn.member.name, turn.at_home(subject)
    if home is not None:
        turn.send(Reply(key="handoff.here", words={"name": name}), to=home, about=subject.id)
    _tell_desk(turn, subject, "handoff.claimed", name=name, member=subject.name)
    if home is None:
        _tell_desk(turn, subject, "handoff.out_of_reach", name=subject.name)


def _keep_as_note(turn: Turn, case: Case, name: str) -> None:
    """Only who has the case speaks for the house; what others say in the topic stays there."""
    turn.say("handoff.kept_as_note", buttons=((_take_over(case),),), name=name)


async def _finish(turn: Turn, case: Case, subject: Member) -> None:
    turn.note(cases.closed(case.id, by="staff", at=turn.now))
    await _pass(turn, subject, Speaker.BOT)
    turn.record(Fact.CLOSED, about=subject.id)
    home = turn.at_home(subject)
    if home is not None:
        turn.send(Reply(key="handoff.closed", buttons=((AGAIN,),)), to=home, about=subject.id)
    _tell_desk(turn, subject, "handoff.closed_at_desk", number=case.number, name=turn.member.name)


def _tell_desk(turn: Turn, subject: Member, key: str, **words: object) -> None:
    """Tell staff in the member's topic; it is about the member, and forgotten with them."""
    staff = turn.with_staff(subject)
    if staff is not None:
        turn.send(Reply(key=key, words=words), to=staff, about=subject.id)


async def _pass(turn: Turn, subject: Member, to: Speaker) -> None:
    """Let another speak in the conversation of the member whom staff work for."""
    conversation = await conversations.of(turn.db, member=subject.id, community=subject.community)
    turn.note(*conversations.passed(conversation, to))


async def _assignee(turn: Turn, case: Case) -> str:
    return await members.named(turn.db, case.assignee) if case.assignee else ""


# ---------------------------------------------------------------- between the two


async def _carry(turn: Turn, about: Member, to: To, *, edits: int = 0) -> None:
    """Say on the other side what was just said on this one.

    about: the member whose conversation it is, whichever side speaks
    edits: the letter that carried what is now corrected
    """
    event, same = turn.event, to.channel == turn.event.channel
    media = event.media if same else ()
    if event.text or media:
        reply = Reply(
            key="handoff.from_staff" if to.private else "handoff.from_member",
            text=event.text,
            media=media,
            reply_to=await _counterpart(turn) if same else "",
        )
        mirrors = 0 if edits else turn.turn_id
        turn.send(reply, to=to, about=about.id, mirrors=mirrors, edits=edits)
    if event.media and not same and not edits:
        turn.send(Reply(key="handoff.attachment_stays"), to=to, about=about.id)


async def _counterpart(turn: Turn) -> str:
    """The other side's id of the message that this one answers; empty if there is none."""
    event = turn.event
    if not event.reply_to or event.where is None:
        return ""
    answered = await interactions.by_message(
        turn.db, channel=event.channel, place=event.where.id, message=event.reply_to
    )
    if answered is None:
        return ""
    if answered.mirrors is not None:
        original = await interactions.message_of(turn.db, answered.mirrors)
        return "" if original is None else original.message
    copies = await interactions.copies(turn.db, answered.id)
    return copies[0].message if copies else ""


@router.edited
async def correct(turn: Turn) -> None:
    """Correct on the other side what somebody corrected on theirs."""
    event, about = turn.event, turn.subject or turn.member
    if event.where is None or event.text.startswith(NOTES):
        return
    to = turn.with_staff(about) if event.where.private else turn.at_home(about)
    original = await interactions.by_message(
        turn.db, channel=event.channel, place=event.where.id, message=event.message
    )
    if to is None or original is None:
        return
    # Asked in this order, a letter that is said meanwhile is found at least once.
    letters = await interactions.underway(turn.db, member=about.id, of=original.id)
    letters += [copy.id for copy in await interactions.copies(turn.db, original.id)]
    for letter in dict.fromkeys(letters):
        await _carry(turn, about, to, edits=letter)


@router.did("undelivered")
async def admit(turn: Turn) -> None:
    """Tell those who count on it that something did not arrive."""
    where, home = turn.event.where, turn.at_home(turn.member)
    if where is not None and where.private:
        if turn.event.words.get("mirrors"):
            gone = turn.event.words.get("reason") == "unreachable"
            key = "handoff.undelivered" if gone else "handoff.undeliverable"
            _tell_desk(turn, turn.member, key, name=turn.member.name)
    elif home is not None:
        turn.say("handoff.not_passed_on", to=home)


# ---------------------------------------------------------------- buttons

AGAIN = Button("handoff.again_button", "handoff.again")


def _claim(case: Case) -> Button:
    return Button("handoff.claim_button", f"handoff.claim:{case.id}")


def _take_over(case: Case) -> Button:
    return Button("handoff.take_over_button", f"handoff.take_over:{case.id}")


def _close(case: Case) -> Button:
    return Button("handoff.close_button", f"handoff.close:{case.id}")


def _cancel(case: Case) -> Button:
    return Button("handoff.cancel_button", f"handoff.cancel:{case.id}")


def _door(turn: Turn) -> tuple[tuple[Button, ...], ...]:
    return () if turn.private else turn.doorway("handoff.door_button", "human_here")
