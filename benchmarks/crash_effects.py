"""The audit of what came in: everything in the log once, and its effects exactly one set."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from benchmarks.crash_evidence import Evidence, Json, Violation

ONE_DAY = timedelta(days=1)
BLAMED = "RuntimeError"  # the reason of what was being dealt with whenever the process ended
INSIDE = {"creator", "administrator", "member"}  # what somebody in a chat is there

# ---------------------------------------------------------------- what was told


def heard(evidence: Evidence) -> Iterator[Violation]:
    """Every acknowledged update is in the log once for each thing it tells, or in quarantine."""
    quarantined = {row["key"]: row["reason"] for row in evidence.rows("quarantine")}
    expected: Counter[tuple[str, str, str]] = Counter()
    for one in evidence.told:
        reason = quarantined.get(str(one.number), "")
        if not one.acknowledged:
            yield Violation("lost", f"update {one.number} was never taken in")
        elif reason:
            if events(one.update) and BLAMED not in reason:
                yield Violation("lost", f"update {one.number} can be read: {reason}")
        elif _unreadable(one.update):
            yield Violation("lost", f"unreadable update {one.number} is not in quarantine")
        else:
            expected.update(events(one.update))
    refs = evidence.refs()
    found = Counter(
        (row["kind"], refs.get(row["member_id"], ""), row["place"])
        for row in evidence.rows("interactions", direction="in")
    )
    for event in sorted((expected | found).keys()):
        told, logged = expected[event], found[event]
        if told != logged:
            kind = "lost" if logged < told else "twice"
            yield Violation(kind, f"{event}: told {told} times, logged {logged} times")


def events(update: Json) -> list[tuple[str, str, str]]:
    """What an update tells, each as it is logged: kind, person, place.

    A note in the chat that somebody came is logged twice: as it comes, and once more
    when it has waited for the better telling.
    """
    name = next((one for one in update if one != "update_id"), "")
    body = update.get(name)
    if not isinstance(body, dict) or _unreadable(update):
        return []
    place = str(body.get("chat", {}).get("id", ""))
    sender = body.get("from", {})
    person = str(sender.get("id", ""))
    match name:
        case "message" if "new_chat_members" in body:
            came = [one for one in body["new_chat_members"] if not one["is_bot"]]
            return [("joined", str(one["id"]), place) for one in came for _ in range(2)]
        case "message" if "left_chat_member" in body:
            return [("left", str(body["left_chat_member"]["id"]), place)]
        case "message" | "edited_message":
            kind = "said" if name == "message" else "edited"
            says = bool(body.get("text")) and not sender.get("is_bot")
            return [(kind, person, place)] if says else []
        case "callback_query":
            return [("pressed", person, str(body["message"]["chat"]["id"]))]
        case "chat_member":
            return _changed(body, place)
        case "my_chat_member" if body["chat"]["type"] == "private":
            status = body["new_chat_member"]["status"]
            return [("blocked" if status == "kicked" else "returned", person, place)]
    return []


def _changed(body: Json, place: str) -> list[tuple[str, str, str]]:
    before, after = body["old_chat_member"]["status"], body["new_chat_member"]["status"]
    person = str(body["new_chat_member"]["user"]["id"])
    if (before in INSIDE) == (after in INSIDE):
        return []
    return [("joined" if after in INSIDE else "left", person, place)]


def _unreadable(update: Json) -> bool:
    """Whether it is one of those that were spoilt on purpose."""
    message = update.get("message")
    return isinstance(message, dict) and not isinstance(message.get("message_id"), int)


def logged_once(evidence: Evidence) -> Iterator[Violation]:
    """No message that was said is in the log twice."""
    said = Counter(
        (row["place"], row["message"])
        for row in evidence.rows("interactions", direction="in", kind="said")
    )
    for message, times in said.items():
        if times > 1:
            yield Violation("twice", f"message {message} was logged {times} times")


# ---------------------------------------------------------------- effects


def counters(evidence: Evidence) -> Iterator[Violation]:
    """A member has as many messages as the log has of theirs."""
    said = Counter(
        row["member_id"] for row in evidence.rows("interactions", direction="in", kind="said")
    )
    for row in evidence.rows("members"):
        if row["messages"] != said[row["id"]]:
            kind = "lost" if row["messages"] < said[row["id"]] else "twice"
            what = f"{row['messages']} messages counted, {said[row['id']]} logged"
            yield Violation(kind, f"member {row['id']}: {what}")


def check_ins(evidence: Evidence) -> Iterator[Violation]:
    """One check-in a member-day, for each who asked for it; streaks follow from them."""
    days: dict[int, list[date]] = defaultdict(list)
    for row in evidence.rows("facts", name="checked_in"):
        days[row["member_id"]].append(_day(row["day"]))
    for row in evidence.rows("members"):
        counted = sorted(days[row["id"]])
        if len(counted) != len(set(counted)):
            yield Violation("twice", f"member {row['id']} checked in twice on a day: {counted}")
        streak, longest = _streaks(sorted(set(counted)))
        last = _day(row["checked_in_on"]) if row["checked_in_on"] else None
        kept = (row["streak"], row["longest"], last)
        if kept != (streak, longest, max(counted, default=None)):
            yield Violation("broken", f"member {row['id']}: streak {kept}, facts {counted}")
    for person, day in _asked_to_check_in(evidence):
        ids = _members_of(evidence, person)
        if not any(day in days[id] for id in ids):
            yield Violation("lost", f"{person} asked to check in on {day}, and is not")


def _asked_to_check_in(evidence: Evidence) -> Iterator[tuple[str, date]]:
    zones = {row["id"]: ZoneInfo(row["zone"]) for row in evidence.rows("communities")}
    home = {row["ref"]: zones[row["community_id"]] for row in evidence.rows("identities")}
    for one in evidence.handled():
        said = one.update.get("message")
        if isinstance(said, dict) and said.get("text") == "/checkin":
            person = str(said["from"]["id"])
            if person in home:
                local = datetime.fromtimestamp(said["date"], UTC).astimezone(home[person])
                yield person, local.date()


def _streaks(days: list[date]) -> tuple[int, int]:
    streak = longest = 0
    for before, day in zip([None, *days], days, strict=False):
        streak = streak + 1 if before is not None and day - before == ONE_DAY else 1
        longest = max(longest, streak)
    return streak, longest


def _day(value: Any) -> date:
    return value if isinstance(value, date) else date.fromisoformat(value)


def referrals(evidence: Evidence) -> Iterator[Violation]:
    """Whoever came by a member's link counts for that member, once, and for nobody else."""
    credit = Counter(row["about_id"] for row in evidence.rows("facts", name="referred"))
    brought = Counter(row["member_id"] for row in evidence.rows("facts", name="referred"))
    by = {row["about_id"]: row["member_id"] for row in evidence.rows("facts", name="referred")}
    for about, times in credit.items():
        if times > 1:
            yield Violation("twice", f"member {about} was credited {times} times")
    for row in evidence.rows("members"):
        if row["referred"] != brought[row["id"]]:
            what = f"{row['referred']} counted, {brought[row['id']]} facts"
            yield Violation("broken", f"member {row['id']}: referred {what}")
        if row["invited_by"] != by.get(row["id"]):
            yield Violation("broken", f"member {row['id']}: invited_by {row['invited_by']}")
    for person, inviter in _came_by_link(evidence):
        ids = _members_of(evidence, person)
        if not any(by.get(id) == inviter for id in ids):
            yield Violation("lost", f"{person} came by member {inviter}'s link, and nobody knows")


def _came_by_link(evidence: Evidence) -> Iterator[tuple[str, int]]:
    """Those whose first coming was by a link that belongs to somebody else."""
    owners = {row["link"]: row["member_id"] for row in evidence.rows("invites")}
    met: set[str] = set()
    for one in evidence.handled():
        for kind, person, _ in events(one.update):
            if person in met:
                continue
            met.add(person)
            link = one.update.get("chat_member", {}).get("invite_link", {}).get("invite_link", "")
            if kind == "joined" and link in owners:
                yield person, owners[link]


def cases(evidence: Evidence) -> Iterator[Violation]:
    """One open case a member at the most, numbers without a gap, and a speaker that fits."""
    numbers: dict[int, list[int]] = defaultdict(list)
    open_cases = Counter[int]()
    for row in evidence.rows("cases"):
        numbers[row["community_id"]].append(row["number"])
        open_cases[row["member_id"]] += row["closed_at"] is None
    for community, given in numbers.items():
        if sorted(given) != list(range(1, len(given) + 1)):
            yield Violation("broken", f"community {community}: case numbers {sorted(given)}")
    for member, count in open_cases.items():
        if count > 1:
            yield Violation("twice", f"member {member} has {count} open cases")
    for row in evidence.rows("conversations"):
        waits = open_cases[row["member_id"]] > 0
        if (row["speaker"] != "bot") != waits:
            what = f"{row['speaker']} speaks, open cases: {open_cases[row['member_id']]}"
            yield Violation("broken", f"member {row['member_id']}: {what}")


def greetings(evidence: Evidence) -> Iterator[Violation]:
    """Whoever came and stayed is greeted once, and named in one greeting at the most."""
    gone = {row["member_id"] for row in evidence.rows("facts", name="left")}
    joins = {row["id"]: row["member_id"] for row in evidence.rows("facts", name="joined")}
    greeted = Counter(row["once"] for row in evidence.rows("facts", name="greeted"))
    for fact in joins:
        times = greeted[str(fact)]
        if times > 1 or (not times and joins[fact] not in gone):
            promise = "lost" if not times else "twice"
            yield Violation(promise, f"join {fact} was greeted {times} times")
    names = {row["id"]: row["name"] for row in evidence.rows("members")}
    comings = Counter(names.get(member, "") for member in joins.values())
    named: Counter[str] = Counter()
    for one in evidence.sent:
        if one.acted and one.chat < 0 and one.text.startswith("Welcome"):
            named.update(set(re.findall(r"\w+", one.text)) & comings.keys())
    for name, times in named.items():
        if times > comings[name]:
            yield Violation("twice", f"{name} came {comings[name]} times, greeted {times} times")
    unsure = any(row["kind"] == "welcome" for row in evidence.unsaid())
    stayed = {names.get(member, "") for member in joins.values() if member not in gone}
    missing = sorted(name for name in stayed if not named[name])
    if missing and not unsure:
        yield Violation("lost", f"{len(missing)} who came are in no greeting: {missing[:5]}")


# ---------------------------------------------------------------- shared


def _members_of(evidence: Evidence, person: str) -> list[int]:
    return [row["member_id"] for row in evidence.rows("identities", ref=person)]
