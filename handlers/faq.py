"""FAQ: questions are answered from what the community knows, with the source, or not at all."""

from __future__ import annotations

import re

from msgspec.structs import replace
from pydantic import BaseModel, PositiveInt

from handlers.roles import Role
from handlers.router import Router
from handlers.turn import Button, Refusal, Reply, Turn
from knowledge.answer import Answered, Outcome, Unsure, answer
from knowledge.lexicon import Courtesy, about_own_case, courtesy, in_crisis, wants_human
from knowledge.library import Audience, Entry
from knowledge.search import LONGEST
from storage import conversations, facts, interactions
from storage.conversations import Speaker
from storage.facts import Fact


class Settings(BaseModel, extra="forbid", frozen=True):
    """The [faq] section of config.toml."""

    patience: PositiveInt = 2  # questions in a row without an answer, before staff are called
    strict: bool = False  # answer less, and be wrong less often


router = Router("faq", Settings)

PERSON = Button("faq.person_button", "handoff.human")
COURTESIES: dict[Courtesy, str] = {
    "greeting": "faq.greeting",
    "thanks": "faq.thanks",
    "farewell": "faq.farewell",
    "agreement": "faq.agreement",
}
DATA_BYTES = 64  # of a button
LABEL = 60  # characters that stay readable on a button
MENTION = re.compile(r"^(?:@\w+[\s,:，：]*)+|\s*@\w+$")  # of the bot, in a group
HAN = re.compile("[\u3400-\u9fff]")


# ---------------------------------------------------------------- being asked


@router.command("ask")
@router.button("ask")
async def ask(turn: Turn) -> None:
    """Answer the question behind the command, or ask what it is."""
    _only_while_the_bot_speaks(turn)
    if turn.rest:
        await respond(turn, turn.rest)
    elif turn.private:
        turn.say("faq.ask_what")
        turn.expect("question")
    else:
        raise Refusal("faq.ask_with_question")


@router.answer("question")
@router.otherwise(Speaker.BOT)
async def reply(turn: Turn) -> None:
    """Answer what was said to the bot."""
    question = MENTION.sub("", turn.event.text)
    if await _greeted_back(turn):
        await _hear_out(turn, question)
    else:
        await respond(turn, question)


async def _greeted_back(turn: Turn) -> bool:
    """Whether this answers the greeting of a newcomer, who was asked for a word, in the group."""
    event = turn.event
    if turn.private or event.where is None or not event.reply_to:
        return False
    answered = await interactions.by_message(
        turn.db, channel=event.channel, place=event.where.id, message=event.reply_to
    )
    return answered is not None and answered.kind == "welcome"


async def _hear_out(turn: Turn, said: str) -> None:
    """A word about oneself wants no answer from a machine; a plain question or a call does."""
    calls = in_crisis(said) or wants_human(said) or about_own_case(said)
    if calls or isinstance(_found(turn, said, _language(turn, said)), Answered):
        await respond(turn, said)


async def respond(turn: Turn, question: str) -> None:
    """Courtesy for courtesy, a person for whoever asks for one, and for questions what is known."""
    kind = courtesy(question)
    if in_crisis(question) or wants_human(question):
        turn.record(Fact.NEEDED_HUMAN, amount=0)
    elif kind is not None:
        turn.say(COURTESIES[kind], name=turn.member.name)
    elif not question.strip():
        turn.say("faq.only_words", buttons=_person(turn))
    elif not turn.private and about_own_case(question):
        turn.say("faq.in_private", buttons=turn.doorway("faq.door_button", "help_here"))
    else:
        await _look_up(turn, question)


async def _look_up(turn: Turn, question: str) -> None:
    turn.record(Fact.ASKED)
    language = _language(turn, question)
    match _found(turn, question, language):
        case Answered(entry):
            _tell(turn, entry, language)
        case Unsure(entries):
            meant = await _meant(turn, question, entries)
            if meant is None:
                _offer(turn, entries, language)
            else:
                _tell(turn, meant, language)
        case _:
            _admit(turn, language)


def _found(turn: Turn, question: str, language: str) -> Outcome:
    return answer(
        turn.world.shelf.index(turn.community.name),
        question,
        audience=_audience(turn),
        language=language,
        strict=turn.settings(Settings).strict,
    )


async def _meant(turn: Turn, question: str, entries: tuple[Entry, ...]) -> Entry | None:
    """Which of these the language model, where there is one, takes the question to be.

    Nobody reads more of a message than search did; a longer one is for the person to put shorter.
    """
    if len(question) > LONGEST:
        return None
    choice = await turn.world.model.choose(question, [one.question for one in entries])
    return None if choice is None else entries[choice]


def _audience(turn: Turn) -> Audience:
    """What may be shown where it was asked: whatever is said in a group, everybody reads."""
    at_work = turn.spot is not None and turn.spot.kind == "staff"
    if at_work or (turn.private and Role(turn.member.role).may(Role.STAFF)):
        return "staff"
    return "members" if turn.private and turn.member.present else "public"


def _language(turn: Turn, question: str) -> str:
    """Chinese for whoever asks in Chinese, else the member's own."""
    return "zh" if HAN.search(question) else turn.language


# ---------------------------------------------------------------- the three outcomes


def _tell(turn: Turn, entry: Entry, language: str) -> None:
    """Answer with the entry word for word, its source, and the way on if it is not enough."""
    turn.record(Fact.ANSWERED)
    turn.note(*conversations.missed(turn.conversation, 0))
    verdicts = (
        _button("faq.helpful_button", f"faq.helpful:{entry.id}"),
        _button("faq.wrong_button", f"faq.wrong:{entry.id}"),
    )
    source = entry.source
    answered = Reply(
        key="faq.answer_with_link" if source.link else "faq.answer",
        words={"answer": entry.answer, "source": source.title, "link": source.link},
        buttons=(verdicts, *_person(turn)) if turn.private else (),
    )
    _say(turn, answered, language)


def _offer(turn: Turn, entries: tuple[Entry, ...], language: str) -> None:
    """Let the person choose which of these they meant."""
    choices = tuple(
        (_button("faq.choice_button", f"faq.entry:{one.id}", question=one.question[:LABEL]),)
        for one in entries
    )
    buttons = choices + _person(turn)
    _say(turn, Reply(key="faq.unsure", buttons=buttons), language)


def _admit(turn: Turn, language: str) -> None:
    """Say honestly that we do not know; the second time in a row, bring in a person."""
    turn.record(Fact.UNANSWERED)
    here = replace(turn.here, language=language)
    if not turn.private:
        doorway = turn.doorway("faq.door_button", "help_here")
        turn.say("faq.unknown_in_group", to=here, buttons=doorway)
        return
    misses = turn.conversation.missed + 1
    if misses >= turn.settings(Settings).patience and _has_staff(turn):
        turn.record(Fact.NEEDED_HUMAN, amount=misses)
        return
    turn.note(*conversations.missed(turn.conversation, misses))
    key = "faq.unknown" if _has_staff(turn) else "faq.unknown_alone"
    turn.say(key, to=here, buttons=_person(turn), bot_speaks=True)


def _say(turn: Turn, reply: Reply, language: str) -> None:
    """Say it as the machine's word, in the language it was asked in, below what it answers."""
    turn.note(*conversations.still(turn.conversation))
    turn.send(
        replace(reply, reply_to="" if turn.private else turn.event.message),
        to=replace(turn.here, language=language),
        bot_speaks=True,
    )


# ---------------------------------------------------------------- what is said to it


@router.button("entry")
async def tell_chosen(turn: Turn) -> None:
    """Answer with the entry that was chosen from those offered."""
    _only_while_the_bot_speaks(turn)
    entries = turn.world.shelf.library(turn.community.name).entries
    chosen = next((one for one in entries if one.id == turn.rest), None)
    if chosen is None or not chosen.open_to(_audience(turn)):
        raise Refusal("faq.gone")
    _tell(turn, chosen, chosen.language)


@router.button("helpful")
async def be_glad(turn: Turn) -> None:
    """Count that an answer helped, once."""
    await _judge(turn, Fact.FOUND_HELPFUL)
    turn.say("faq.glad")


@router.button("wrong")
async def be_sorry(turn: Turn) -> None:
    """Count that an answer missed the question, once, and ask again."""
    await _judge(turn, Fact.FOUND_WRONG)
    turn.note(*conversations.missed(turn.conversation, turn.conversation.missed + 1))
    turn.say("faq.sorry", buttons=_person(turn))


async def _judge(turn: Turn, verdict: Fact) -> None:
    """One verdict an answer: the first one stays."""
    _only_while_the_bot_speaks(turn)
    answer = f"{turn.event.message}:{turn.rest}"
    for fact in (Fact.FOUND_HELPFUL, Fact.FOUND_WRONG):
        if await facts.happened(turn.db, turn.community.id, fact, turn.once(answer)):
            raise Refusal("faq.judged_before")
    turn.record(verdict, once=answer)


# ---------------------------------------------------------------- shared


def _only_while_the_bot_speaks(turn: Turn) -> None:
    """While a person answers, or is waited for, the machine stays out of it."""
    if turn.private and turn.conversation.speaker is not Speaker.BOT:
        raise Refusal("faq.not_my_turn")


def _has_staff(turn: Turn) -> bool:
    return turn.with_staff(turn.member) is not None


def _person(turn: Turn) -> tuple[tuple[Button, ...], ...]:
    return ((PERSON,),) if turn.private and _has_staff(turn) else ()


def _button(key: str, data: str, **words: str) -> Button:
    """Buttons carry little; an entry whose name is too long is pressed in vain, and told so."""
    return Button(key, data.encode()[:DATA_BYTES].decode(errors="ignore"), words=words)
