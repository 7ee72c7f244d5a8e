"""The audit of what went out: every answer sent, once but for what is excused, and in order."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.crash_evidence import Evidence, Json, Sent, Violation

NOTE_WINDOW = 10.0  # seconds: a send is noted, or its process is dead, within this
AFTER_DEATH = 2.0  # seconds in which the server may still read what a dead process had sent

# What is said rather never than twice.
ONCE = {
    "checkin.remind", "referrals.came", "referrals.came_too", "referrals.thanks",
    "welcome.crowd", "welcome.newcomer", "welcome.returning", "welcome.several",
}  # fmt: skip

# Each line or button that wants exactly one answer, and how that answer may begin.
ANSWERS = {
    "/checkin": ("checkin.done", "checkin.milestone", "checkin.already"),
    "/streak": ("checkin.calendar", "checkin.calendar_empty", "checkin.none_yet"),
    "/top": ("checkin.top", "checkin.top_empty"),
    "/help": ("help.commands",),
    "/start": ("help.start",),
    "/rules": ("welcome.house_rules", "welcome.no_rules"),
    "/human": ("handoff.queued", "handoff.still_queued", "handoff.here_already"),
    "/invite": (
        "referrals.link", "referrals.link_and_count", "referrals.link_and_total",
        "referrals.no_link",
    ),
}  # fmt: skip
BUTTONS = {
    "checkin.here": "/checkin", "checkin.calendar": "/streak", "checkin.top": "/top",
    "handoff.human": "/human", "referrals.invite": "/invite", "welcome.rules": "/rules",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Copies:
    """The messages in the chats that are not the one noted of their letter."""

    repeats: list[Sent]  # of a letter that was noted with another message
    unknown: list[Sent]  # of a letter of which nobody knew
    doubled: list[Sent]  # of a letter that must not be said twice
    strays: list[Sent]  # of no letter at all

    @classmethod
    def of(cls, evidence: Evidence) -> Copies:
        noted = {(row["place"], row["message"]) for row in evidence.ended("sent")}
        known: dict[tuple[str, str], set[str]] = defaultdict(set)
        for row in evidence.ended("sent"):
            body = row["body"]
            known[row["place"], _plain(body.get("text", ""))].add(body.get("key", ""))
        unsure = Counter(row["place"] for row in evidence.unsaid())
        found = cls([], [], [], [])
        for one in evidence.sent:
            place = str(one.chat)
            if not one.acted or (place, str(one.message)) in noted:
                continue
            keys = known.get((place, _plain(one.text)), set())
            if keys - ONCE:
                found.repeats.append(one)
            elif unsure[place]:
                unsure[place] -= 1
                found.unknown.append(one)
            else:
                (found.doubled if keys else found.strays).append(one)
        return found


def _plain(text: str) -> str:
    return " ".join(text.split())


def letters(evidence: Evidence) -> Iterator[Violation]:
    """Whatever was decided on has ended, and what is noted as sent is in its chat, once."""
    stands = {(str(one.chat), str(one.message)) for one in evidence.sent if one.acted}
    noted: Counter[tuple[str, str]] = Counter()
    for row in evidence.rows("interactions", direction="out"):
        outcome = row["outcome"].partition(":")[0]
        if outcome not in ("sent", "failed", "unknown", "withheld"):
            yield Violation("broken", f"letter {row['id']} ended {row['outcome']!r}")
        if outcome == "sent":
            noted[row["place"], row["message"]] += 1
            if (row["place"], row["message"]) not in stands:
                yield Violation("lost", f"letter {row['id']} was noted as sent, and never was")
    for place, times in noted.items():
        if times > 1:
            yield Violation("broken", f"message {place} is noted for {times} letters")
    yield from _refused(evidence)


def _refused(evidence: Evidence) -> Iterator[Violation]:
    """What failed was refused: nothing else is a reason to give up an answer."""
    refusals = Counter(str(one.chat) for one in evidence.sent if one.status in (400, 403))
    failed = Counter(row["place"] for row in evidence.ended("failed"))
    for place, times in failed.items():
        if times > refusals[place]:
            what = f"{times} letters failed, {refusals[place]} were refused"
            yield Violation("lost", f"chat {place}: {what}")


def said_again(evidence: Evidence) -> Iterator[Violation]:
    """A send is repeated only if it was under way at a kill, or its answer was lost."""
    copies = Copies.of(evidence)
    for one in copies.doubled:
        yield Violation("twice", f"said twice, and never should be: {one.text!r} to {one.chat}")
    for one in copies.strays:
        yield Violation("twice", f"nobody decided on: {one.text!r} to {one.chat}")
    for one in copies.repeats:
        if one.answered and not _under_way(evidence, one):
            yield Violation("twice", f"repeated without need: {one.text!r} to {one.chat}")


def _under_way(evidence: Evidence, one: Sent) -> bool:
    """Whether a process was killed before the send could be noted: nothing followed in its lane."""
    ends = [
        kill.at
        for kill in evidence.kills
        if one.at - AFTER_DEATH <= kill.at <= one.at + NOTE_WINDOW
    ]
    after = [
        other.at
        for other in evidence.sent
        if (other.chat, other.thread) == (one.chat, one.thread) and other.at > one.at
    ]
    return any(not any(at < end for at in after) for end in ends)


def answers(evidence: Evidence) -> Iterator[Violation]:
    """Each line that wants one answer got one decided on: no more, no less."""
    wanted: Counter[tuple[str, str]] = Counter()
    for one in evidence.handled():
        place, line = _line(one.update)
        if line in ANSWERS:
            wanted[place, line] += 1
    lines = {key: line for line, keys in ANSWERS.items() for key in keys}
    refs = evidence.refs()
    decided: Counter[tuple[str, str]] = Counter()
    for row in evidence.rows("interactions", direction="out"):
        line, place = lines.get(row["body"].get("key", ""), ""), row["place"]
        if line == "/invite":  # whoever has blocked us meanwhile is told in the group
            place = refs.get(row["member_id"], "")
        if line and not place.startswith("-"):
            decided[place, line] += 1
    unsaid = Counter(row["place"] for row in evidence.unsaid())
    for place, line in sorted(wanted.keys() | decided.keys()):
        asked, given = wanted[place, line], decided[place, line]
        if given > asked:
            yield Violation("twice", f"{line} in {place}: asked {asked} times, answered {given}")
        elif given + unsaid[place] < asked:
            yield Violation("lost", f"{line} in {place}: asked {asked} times, answered {given}")


def _line(update: Json) -> tuple[str, str]:
    """The private chat and the line that was said there, or that its button stands for."""
    said, pressed = update.get("message"), update.get("callback_query")
    if isinstance(said, dict) and said.get("chat", {}).get("type") == "private":
        line = str(said.get("text", ""))
        return str(said["chat"]["id"]), line.partition(" ")[0]
    if isinstance(pressed, dict) and pressed["message"]["chat"]["type"] == "private":
        return str(pressed["message"]["chat"]["id"]), BUTTONS.get(pressed["data"], "")
    return "", ""


def talk(evidence: Evidence) -> Iterator[Violation]:
    """What was said freely in private was carried to a person or answered, and carried once."""
    carried = Counter(
        row["mirrors"] for row in evidence.rows("interactions", direction="out") if row["mirrors"]
    )
    for source, times in carried.items():
        if times > 1:
            yield Violation("twice", f"message {source} was carried {times} times")
    silent: Counter[str] = Counter()
    for row in evidence.rows("interactions", direction="in", kind="said"):
        text = str(row["body"].get("text", ""))
        free = not text.startswith("/") and not row["place"].startswith("-")
        if free and not carried[row["id"]]:
            silent[row["place"]] += 1
    answered = Counter(
        row["place"]
        for row in evidence.rows("interactions", direction="out")
        if row["kind"] == "faq" or row["body"].get("key") == "handoff.queued_unanswered"
        or (row["kind"] == "handoff" and not row["outcome"].startswith("sent"))
    )  # fmt: skip
    for place, count in silent.items():
        if count > answered[place]:
            yield Violation("lost", f"{place}: {count} words went nowhere, {answered[place]} did")


def order(evidence: Evidence) -> Iterator[Violation]:
    """Answers come in the order of what they answer, and so does what is carried."""
    lines = {key: line for line, keys in ANSWERS.items() for key in keys}
    wanted: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for one in evidence.handled():
        said = one.update.get("message")
        if not isinstance(said, dict) or said.get("text") not in ANSWERS:
            continue
        if said["chat"]["id"] in evidence.orderly:
            wanted[str(said["chat"]["id"])].append((said["message_id"], said["text"]))
    given: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for row in evidence.ended("sent"):
        line = lines.get(row["body"].get("key", ""), "")
        if line and row["place"] in wanted:
            given[row["place"]].append((int(row["message"]), line))
    for place, asked in wanted.items():
        expected = [line for _, line in sorted(asked)]
        found = [line for _, line in sorted(given[place])]
        if sorted(expected) == sorted(found) and expected != found:
            at = next(
                i for i, pair in enumerate(zip(expected, found, strict=True)) if len({*pair}) > 1
            )
            yield Violation(
                "order", f"{place}: asked …{expected[at : at + 4]}, answered …{found[at : at + 4]}"
            )
    yield from _carried_in_order(evidence)


def _carried_in_order(evidence: Evidence) -> Iterator[Violation]:
    sources = {
        row["id"]: int(row["message"])
        for row in evidence.rows("interactions", direction="in", kind="said")
        if row["message"]
    }
    threads = {(one.chat, one.message): one.thread for one in evidence.sent if one.acted}
    carried: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
    for row in evidence.ended("sent"):
        if row["mirrors"] in sources:
            chat, message = int(row["place"]), int(row["message"])
            lane = (chat, threads.get((chat, message), 0))
            carried[lane].append((message, sources[row["mirrors"]]))
    for lane, pairs in carried.items():
        origins = [origin for _, origin in sorted(pairs)]
        if origins != sorted(origins):
            yield Violation("order", f"carried to {lane} out of order: {origins}")


def sleep(evidence: Evidence) -> Iterator[Violation]:
    """Whoever is asleep is not woken by what nobody asked for."""
    asleep = {row["id"] for row in evidence.rows("communities") if row["name"] in evidence.asleep}
    for row in evidence.ended("sent"):
        woken = row["body"].get("key", "").startswith(("referrals.came", "referrals.thanks"))
        if woken and row["community_id"] in asleep:
            yield Violation("limit", f"letter {row['id']} was sent in the quiet hours")
