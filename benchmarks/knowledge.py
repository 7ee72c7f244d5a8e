"""Measures how well questions find their answers, on data sets and articles given by path.

    python -m benchmarks.knowledge DATASET... [--articles FOLDER] [--phrasings 10] [--fit]

A data set is a folder with kb.jsonl {id, question, answer, variants} and queries.jsonl
{query, gold: [ids] or null, lang, split}.  Measured on its "test" questions; `--fit` learns the
calibration of knowledge/search.py from its "dev" questions and prints the constants.
"""

from __future__ import annotations

import argparse
import json
import math
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean
from time import perf_counter
from typing import Any

from knowledge.answer import SURE, UNSURE
from knowledge.library import Entry, Library, Source
from knowledge.search import BIAS, BY_MARGIN, BY_SCORE, Hit, Index

# A calibration has to hold for large and small libraries: (phrasings an entry, share of entries).
SIZES = ((10, 1.0), (5, 0.5), (3, 0.3))
ASKED = 600  # of each kind, so that fitting stays a matter of a minute


@dataclass(frozen=True, slots=True)
class Question:
    """What somebody asked, and the entries that answer it, if any."""

    text: str
    gold: frozenset[str]
    split: str


@dataclass(frozen=True, slots=True)
class DataSet:
    """Entries, and questions put to them."""

    name: str
    entries: tuple[Entry, ...]
    questions: tuple[Question, ...]

    def of(self, split: str) -> list[Question]:
        """The questions of one split."""
        return [one for one in self.questions if one.split == split]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came back for one question."""

    question: Question
    hits: list[Hit]

    @property
    def right(self) -> bool:
        return self.place == 0

    @property
    def place(self) -> int:
        """Where the answer is among the hits; -1 if it is not."""
        found = [hit.entry.id for hit in self.hits]
        return next((n for n, one in enumerate(found) if one in self.question.gold), -1)

    @property
    def score(self) -> float:
        return self.hits[0].score if self.hits else 0.0

    @property
    def margin(self) -> float:
        return self.score - (self.hits[1].score if len(self.hits) > 1 else 0.0)

    @property
    def confidence(self) -> float:
        return self.hits[0].confidence if self.hits else 0.0


def main() -> None:
    """Measure what the command line names."""
    parser = argparse.ArgumentParser(prog="benchmarks.knowledge")
    parser.add_argument("datasets", nargs="*", type=Path)
    parser.add_argument("--articles", type=Path)
    parser.add_argument("--phrasings", type=int, default=10)
    parser.add_argument("--fit", action="store_true")
    chosen = parser.parse_args()

    sets = [read(folder, chosen.phrasings) for folder in chosen.datasets]
    for data in sets:
        print(report(data))
    if chosen.articles:
        for line in sample(Library.load(chosen.articles), sets):
            print(line)
    if chosen.fit:
        for line in fitting([read(folder, 10) for folder in chosen.datasets]):
            print(line)


def read(folder: Path, phrasings: int) -> DataSet:
    """A data set, with the first so many phrasings of each entry beside its title."""
    entries = tuple(
        Entry(
            id=one["id"],
            language=one.get("lang", ""),
            question=one["question"],
            variants=tuple(one["variants"][:phrasings]),
            answer=one["answer"],
            source=Source(folder.name, one["question"]),
        )
        for one in _lines(folder / "kb.jsonl")
    )
    questions = tuple(
        Question(one["query"], frozenset(one["gold"] or ()), one["split"])
        for one in _lines(folder / "queries.jsonl")
    )
    return DataSet(folder.name, entries, questions)


def report(data: DataSet) -> str:
    """One line: ranking, telling answerable from not, the zones, and the time."""
    started = perf_counter()
    index = Index(data.entries)
    built = perf_counter() - started
    started = perf_counter()
    asked = ask(index, data.of("test"))
    took = (perf_counter() - started) / len(asked)
    answerable = [one for one in asked if one.question.gold]
    others = [one for one in asked if not one.question.gold]
    refused = [one.score for one in others]
    return (
        f"{data.name:13} R@1 {mean(one.right for one in answerable):.3f}"
        f"  R@3 {mean(0 <= one.place < 3 for one in answerable):.3f}"
        f" | AUROC {separation([one.score for one in answerable], refused):.3f}"
        f" acc@90 {kept([(one.score, one.right) for one in answerable], refused):.3f}"
        f" | {zones(answerable, others)}"
        f" | threshold {index.threshold:.3f}, strict refuses"
        f" {mean(one.score < index.threshold for one in others):.3f}"
        f" | {len(data.entries)} entries built in {built * 1e3:.0f} ms, {took * 1e3:.2f} ms a query"
    )


def ask(index: Index, questions: Iterable[Question]) -> list[Outcome]:
    """What the index says to each question."""
    return [Outcome(one, index.search(one.text, audience="public")) for one in questions]


def zones(answerable: Sequence[Outcome], others: Sequence[Outcome]) -> str:
    """How the three zones of knowledge/answer.py fall out."""
    sure = [one for one in answerable if one.confidence >= SURE]
    offered = [one for one in answerable if UNSURE <= one.confidence < SURE]
    return (
        f"sure: right {sum(one.right for one in sure) / len(answerable):.3f}"
        f" wrong {sum(not one.right for one in sure) / len(answerable):.3f},"
        f" refuses {mean(one.confidence < SURE for one in others):.3f};"
        f" offered {len(offered) / len(answerable):.3f} of the answerable"
        f" (among them {mean(0 <= one.place < 3 for one in offered) if offered else 0:.2f}),"
        f" {mean(UNSURE <= one.confidence < SURE for one in others):.3f} of the others"
    )


def separation(higher: Sequence[float], lower: Sequence[float]) -> float:
    """AUROC: how often one of `higher` is above one of `lower`; ties count half."""
    marked = sorted([(value, 1) for value in higher] + [(value, 0) for value in lower])
    ranks, start = 0.0, 0
    while start < len(marked):
        end = start
        while end < len(marked) and marked[end][0] == marked[start][0]:
            end += 1
        ranks += (start + end + 1) / 2 * sum(one for _, one in marked[start:end])
        start = end
    return (ranks - len(higher) * (len(higher) + 1) / 2) / (len(higher) * len(lower))


def kept(answerable: Sequence[tuple[float, bool]], others: Sequence[float]) -> float:
    """acc@90: the share answered rightly when nine tenths of the unanswerable are refused."""
    limit = sorted(others)[int(0.9 * len(others))]
    return mean(right and score > limit for score, right in answerable)


def sample(library: Library, sets: Sequence[DataSet]) -> Iterator[str]:
    """The articles: each variant without its own row, and questions from another world."""
    started = perf_counter()
    index = Index(library.entries)
    yield f"{len(library.entries)} entries built in {(perf_counter() - started) * 1e3:.0f} ms"

    found = list(left_out(library))
    places = [place for _, _, place, _ in found]
    yield (
        f"{len(found)} variants asked without their own row:"
        f" first {mean(p == 0 for p in places):.3f},"
        f" among three {mean(0 <= p < 3 for p in places):.3f},"
        f" sure and right {mean(p == 0 and c >= SURE for *_, p, c in found):.3f},"
        f" sure and wrong {mean(p != 0 and c >= SURE for *_, p, c in found):.3f}"
    )
    for entry, variant, place, confidence in found:
        if place:
            yield f"  missed: {entry.id} {variant!r} (place {place}, {confidence:.2f})"
    for data in sets:
        asked = ask(index, [one for one in data.of("test") if not one.gold])
        refused = mean(one.confidence < SURE for one in asked)
        yield f"{len(asked)} questions that {data.name} cannot answer: refuses {refused:.3f}"


def left_out(library: Library) -> Iterator[tuple[Entry, str, int, float]]:
    """Each variant, where its entry is found without it, and the confidence of the first hit."""
    for nth in range(max(len(entry.variants) for entry in library.entries)):
        index = Index(
            replace(entry, variants=entry.variants[:nth] + entry.variants[nth + 1 :])
            for entry in library.entries
        )
        for entry in library.entries:
            for variant in entry.variants[nth : nth + 1]:
                hits = index.search(variant, audience=entry.audience)
                keys = [hit.entry.key for hit in hits]
                place = keys.index(entry.key) if entry.key in keys else -1
                yield entry, variant, place, hits[0].confidence if hits else 0.0


Row = tuple[tuple[float, float, float], bool, float]  # features, whether right, weight


def fitting(sets: Sequence[DataSet]) -> Iterator[str]:
    """The calibration from all sets, and for each set the one learnt without it."""
    dev = {data.name: [_rows(data, "dev", *size) for size in SIZES] for data in sets}
    yield f"in use: BIAS, BY_SCORE, BY_MARGIN = {BIAS}, {BY_SCORE}, {BY_MARGIN}"
    everything = [row for parts in dev.values() for rows in parts for row in rows]
    bias, by_score, by_margin = fitted(everything)
    yield f"fitted: BIAS, BY_SCORE, BY_MARGIN = {bias:.2f}, {by_score:.2f}, {by_margin:.2f}"
    for data in sets if len(sets) > 1 else ():
        others = [row for name in dev if name != data.name for rows in dev[name] for row in rows]
        learnt = fitted(others)
        for size in SIZES:
            rows = _rows(data, "test", *size)
            part = f"{size[0]} phrasings of {size[1]:.0%}"
            yield f"  {data.name} left out, {part}: {_loss(learnt, rows)}"


def fitted(rows: Sequence[Row]) -> tuple[float, float, float]:
    """A weighted logistic regression by Newton's method."""
    learnt = [0.0, 0.0, 0.0]
    for _ in range(25):
        slope = [0.0] * 3
        bend = [[1e-6 * (a == b) for b in range(3)] for a in range(3)]
        for features, right, weight in rows:
            p = _probability(learnt, features)
            for a in range(3):
                slope[a] += weight * (right - p) * features[a]
                for b in range(3):
                    bend[a][b] += weight * p * (1 - p) * features[a] * features[b]
        learnt = [old + step for old, step in zip(learnt, _solved(bend, slope), strict=True)]
    return learnt[0], learnt[1], learnt[2]


def _rows(data: DataSet, split: str, phrasings: int, share: float) -> list[Row]:
    """Features of questions put to a part of the set; half the weight to those without an answer.

    What the left out entries would have answered is asked too: near, and without an answer.
    """
    chance = random.Random(7)
    index, known = _part(data, phrasings, share, chance)
    asked = data.of(split)
    answerable = [one for one in asked if one.gold & known]
    far = [one for one in asked if not one.gold]
    near = [one for one in asked if one.gold and not one.gold & known]
    some = chance.sample(answerable, min(ASKED, len(answerable)))
    none = chance.sample(far, min(ASKED, len(far)))
    none += chance.sample(near, min(len(none), len(near)))
    unit = index.threshold
    return [
        ((1.0, one.score / unit, one.margin / unit), one.right, 0.5 / len(questions))
        for questions in (some, none)
        for one in ask(index, questions)
    ]


def _part(
    data: DataSet, phrasings: int, share: float, chance: random.Random
) -> tuple[Index, frozenset[str]]:
    entries = [
        replace(entry, variants=entry.variants[:phrasings])
        for entry in data.entries
        if chance.random() < share
    ]
    return Index(entries), frozenset(entry.id for entry in entries)


def _loss(learnt: Sequence[float], rows: Sequence[Row]) -> str:
    chances = [(_probability(learnt, features), right, weight) for features, right, weight in rows]
    loss = -sum(w * math.log(p if right else 1 - p) for p, right, w in chances)
    sure = sum(w for p, _, w in chances if p >= SURE)
    wrong = sum(w for p, right, w in chances if p >= SURE and not right)
    return f"log loss {loss:.3f}, of what it is sure of {1 - wrong / sure:.3f} right"


def _probability(learnt: Sequence[float], features: Sequence[float]) -> float:
    logit = sum(a * b for a, b in zip(learnt, features, strict=True))
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, logit))))


def _solved(matrix: list[list[float]], right: list[float]) -> list[float]:
    """Gauss-Jordan; the matrix is positive definite, so no pivoting is needed."""
    rows = [[*line, value] for line, value in zip(matrix, right, strict=True)]
    for pivot, line in enumerate(rows):
        rows[pivot] = line = [value / line[pivot] for value in line]
        for other, theirs in enumerate(rows):
            if other != pivot:
                factor = theirs[pivot]
                rows[other] = [a - factor * b for a, b in zip(theirs, line, strict=True)]
    return [line[-1] for line in rows]


def _lines(file: Path) -> Iterator[dict[str, Any]]:
    with file.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


if __name__ == "__main__":
    main()
