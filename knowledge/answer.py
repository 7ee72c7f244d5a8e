"""Answer: what we know about a question, in three zones: an answer, a choice, or nothing.

Nothing is ever composed here.  What is said is an entry, word for word, with its source.
"""

from __future__ import annotations

from dataclasses import dataclass

from knowledge.library import Audience, Entry
from knowledge.search import LONGEST, Index

SURE = 0.5  # balanced: rather right than wrong
UNSURE = 0.12  # below this a choice would be a guess
OFFERED = 3  # as many as a person reads before choosing
NEAR = 0.5  # of the best score: what is further off would only be in the way


@dataclass(frozen=True, slots=True)
class Answered:
    """This entry is what was asked for."""

    entry: Entry
    confidence: float


@dataclass(frozen=True, slots=True)
class Unsure:
    """One of these may be what was asked for, nearest first; let the person choose."""

    candidates: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nothing here answers this."""


Outcome = Answered | Unsure | Unknown


def answer(
    index: Index, question: str, audience: Audience, language: str, *, strict: bool = False
) -> Outcome:
    """What the library has to say to a question.

    A message too long to be read to its end is never answered outright.

    audience: what the person may be shown; in a group "public", whoever asks
    language: of the person; an entry that exists in it is preferred
    strict:   also demands a score that nine of ten questions without an answer stay under
    """
    if question.lstrip().startswith(("/", "／")):
        return Unknown()  # a command, ours or mistyped, is not a question
    hits = index.search(question, audience=audience, language=language, limit=OFFERED)
    if not hits or hits[0].confidence < UNSURE:
        return Unknown()
    best = hits[0]
    doubted = len(question) > LONGEST or (strict and best.score < index.threshold)
    if best.confidence >= SURE and not doubted:
        return Answered(best.entry, best.confidence)
    return Unsure(tuple(hit.entry for hit in hits if hit.score >= NEAR * best.score))
