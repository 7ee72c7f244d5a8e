"""Search: the entries nearest a question, each with the probability that it is the right one."""

from __future__ import annotations

import math
import re
import unicodedata
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from zhconv_rs import zhconv

from knowledge.library import Audience, Entry

LONGEST = 1_000  # characters of a question that are read; the rest is not a question
REHEARSALS = 150  # phrasings asked to learn the threshold; it is then known to about .03
WHOLE = 0.6  # of an entry's score; the rest is its nearest phrasing
LEAST_THRESHOLD = 0.25  # a library of a few entries has no near neighbours to learn from

# A logistic of score and margin, both in units of the library's threshold.  Fitted on the dev
# splits of CLINC150, BANKING77 and CMRC 2018, each whole with ten phrasings an entry, half with
# five and a third with three, one half of the weight on questions without an answer, by
# `python -m benchmarks.knowledge DATASET... --fit`; fit again when what a score is made of changes.
BIAS, BY_SCORE, BY_MARGIN = -4.35, 3.40, 4.43

HAN = "\u2e80-\u2fdf\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
RUNS = re.compile(rf"([{HAN}]+)|([^\W_{HAN}]{{1,32}})")  # of a word without end, pieces
HIDDEN = re.compile(  # what nobody sees, and what UTF-8 cannot carry
    "[\x00-\x08\xad\u034f\u061c\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\ufe00-\ufe0f\ufeff\ud800-\udfff\U000e0000-\U000e0fff]"
)

Bag = Mapping[str, float]  # gram → its share of a text
Row = Mapping[str, float]  # gram → its weight in a vector of length 1


@dataclass(frozen=True, slots=True)
class Hit:
    """An entry that was found."""

    entry: Entry
    score: float  # how alike entry and question are, 0 to 1; comparable within one library
    confidence: float  # calibrated: how likely it is that this is what was asked, 0 to 1


class Index:
    """What a library's entries can be found by.

    A row is a sparse TF-IDF vector of length 1 over character n-grams: one for each phrasing, and
    one for the whole entry with its answer.  An entry scores a weighted sum of its nearest phrasing
    and of the whole.  The rows are kept as an inverted index.

    `threshold` is the score that a question *without* an answer here stays under nine times out of
    ten; it is learnt by asking the library's own phrasings with their own entry removed.
    """

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._entries = tuple(entries)
        bags = [_bags(entry) for entry in self._entries]
        self._rarity, self._unseen = self._rarities([whole for *_, whole in bags])
        self._spans = list(_spans(len(parts) for parts in bags))
        rows = [self._row(bag) for parts in bags for bag in parts]
        self._postings = _inverted(rows)
        self.threshold = max(LEAST_THRESHOLD, self._rehearsed(rows))

    def search(
        self, question: str, *, audience: Audience, language: str | None = None, limit: int = 5
    ) -> list[Hit]:
        """The nearest entries this audience may see, nearest first; none if nothing is shared.

        Of entries with the same key only one is given: the one in `language` (a code such as "zh"
        or "zh-Hans") if it exists, else the one that was nearest.  Of a long question only the
        first 1,000 characters are read.
        """
        spoken = (language or "").lower().replace("_", "-").partition("-")[0]
        best: dict[str, float] = {}
        shown: dict[str, tuple[bool, float, Entry]] = {}
        for entry, score in self._open(question, audience):
            group = _group(entry)
            offer = (entry.language == spoken, score, entry)
            shown[group] = max(offer, shown.get(group, offer), key=lambda one: one[:2])
            best[group] = max(score, best.get(group, 0.0))

        ranked = sorted(best, key=best.__getitem__, reverse=True)
        top = [best[group] for group in ranked[:2]]
        return [
            Hit(shown[group][2], best[group], self._confidence(best[group], _rival(top, place)))
            for place, group in enumerate(ranked[:limit])
        ]

    def _open(self, question: str, audience: Audience) -> Iterator[tuple[Entry, float]]:
        """The entries this audience may see that share anything with the question."""
        scores = self._scores(self._row(weighed(question[:LONGEST])))
        for entry, score in zip(self._entries, scores, strict=True):
            if score > 0 and entry.open_to(audience):
                yield entry, score

    def _scores(self, question: Row) -> list[float]:
        """The score of every entry, in their order."""
        found = [0.0] * self._spans[-1][1] if self._spans else []
        for gram, weight in question.items():
            if posted := self._postings.get(gram):
                for row, theirs in zip(*posted, strict=True):
                    found[row] += weight * theirs
        return [
            (1 - WHOLE) * max(found[start : end - 1]) + WHOLE * found[end - 1]
            for start, end in self._spans
        ]

    def _row(self, bag: Bag) -> Row:
        """Unknown grams count, too: they are what the library has nothing to say about."""
        rarity, unseen = self._rarity.get, self._unseen
        weights = {gram: share**0.5 * rarity(gram, unseen) for gram, share in bag.items()}
        length = math.hypot(*weights.values())
        return {gram: weight / length for gram, weight in weights.items()}

    def _rarities(self, wholes: list[Bag]) -> tuple[dict[str, float], float]:
        """How telling each gram is, and one never seen; languages of one key count once."""
        known: dict[str, set[str]] = defaultdict(set)
        for entry, whole in zip(self._entries, wholes, strict=True):
            known[_group(entry)].update(whole)
        seen = Counter(gram for grams in known.values() for gram in grams)
        most = math.log(1 + len(known)) + 1
        return {gram: most - math.log(1 + times) for gram, times in seen.items()}, most

    def _rehearsed(self, rows: list[Row]) -> float:
        """The 90th percentile of the best wrong scores; 0 without entries."""
        asked = [
            (_group(entry), row)
            for entry, (start, _) in zip(self._entries, self._spans, strict=True)
            for row in range(start, start + len(entry.phrasings))
        ]
        wrong = sorted(self._best_but(group, rows[row]) for group, row in _spread(asked))
        return wrong[int(0.9 * len(wrong))] if wrong else 0.0

    def _best_but(self, group: str, question: Row) -> float:
        scored = zip(self._entries, self._scores(question), strict=True)
        return max((score for entry, score in scored if _group(entry) != group), default=0.0)

    def _confidence(self, score: float, rival: float) -> float:
        logit = BIAS + (BY_SCORE * score + BY_MARGIN * (score - rival)) / self.threshold
        return 1 / (1 + math.exp(-logit))


def weighed(text: str) -> Bag:
    """What a text is compared by, each part with its share of the text.

    Chinese by one and two characters; other words by two to five letters, with a space at either
    end so that beginnings and ends count as such.  A word's parts are weighed by the root of how
    many there are: a long word has many more of them, and would drown the short ones.

    >>> sorted(weighed("開門"))
    ['开', '开门', '门']
    >>> sorted(weighed("Tea"), key=len)
    [' t', 'te', 'ea', 'a ', ' te', 'tea', 'ea ', ' tea', 'tea ', ' tea ']
    """
    bag: dict[str, float] = defaultdict(float)
    for han, word in RUNS.findall(folded(text)):
        for gram in han:
            bag[gram] += 1
        for first, second in pairwise(han):
            bag[first + second] += 1
        for gram, share in _parts(word):
            bag[gram] += share
    return bag


def folded(text: str) -> str:
    """The text as it is compared: one width, lower case, Simplified, nothing hidden.

    >>> folded("ＷｉＦｉ 密碼")
    'wifi 密码'
    """
    plain = unicodedata.normalize("NFKC", HIDDEN.sub("", text)).lower()
    return zhconv(plain, "zh-Hans", False)


def _bags(entry: Entry) -> list[Bag]:
    """What the entry's rows are made of: its phrasings, and last the whole of it.

    A passage that nobody has phrased questions for is found by its own words.
    """
    phrasings = [weighed(text) for text in entry.phrasings]
    answer = weighed(f"{entry.question} {entry.answer}")
    whole: dict[str, float] = defaultdict(float)
    for bag in (*phrasings, answer):
        for gram, share in bag.items():
            whole[gram] += share
    return [*phrasings, whole] if entry.variants else [*phrasings, answer, whole]


@lru_cache(maxsize=2_000)
def _parts(word: str) -> list[tuple[str, float]]:
    padded = f" {word} " if word else ""
    parts = [
        padded[start : start + size]
        for size in range(2, min(5, len(padded)) + 1)
        for start in range(len(padded) - size + 1)
    ]
    return [(part, len(parts) ** -0.5) for part in parts]


def _inverted(rows: Iterable[Row]) -> dict[str, tuple[array[int], array[float]]]:
    """For each gram the rows it stands in, and its weight in each."""
    postings: dict[str, tuple[array[int], array[float]]] = defaultdict(
        lambda: (array("i"), array("f"))
    )
    for number, row in enumerate(rows):
        for gram, weight in row.items():
            numbers, weights = postings[gram]
            numbers.append(number)
            weights.append(weight)
    return dict(postings)


def _spread(asked: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """At most REHEARSALS of them, from all over; a fixed step could fall on titles only."""
    golden = 0.618034
    if len(asked) <= REHEARSALS:
        return asked
    return [asked[int(len(asked) * (n * golden % 1))] for n in range(REHEARSALS)]


def _group(entry: Entry) -> str:
    return entry.key or entry.id


def _spans(lengths: Iterable[int]) -> Iterator[tuple[int, int]]:
    end = 0
    for length in lengths:
        yield end, end + length
        end += length


def _rival(top: list[float], place: int) -> float:
    """The score to beat: the second best for the first, the best for all others."""
    return top[0] if place else (*top, 0.0)[1]
