"""Invariants: what must be true of the town after every step, each a question of its own."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from bot.simulation.evidence import Evidence
from bot.simulation.platform import Bubble
from handlers.quiet_hours import quiet_at
from storage.audit import Happened, Issue, Logged, Person, Talk, Waits
from storage.facts import Fact

ONE_DAY = timedelta(days=1)
UNNOTICED = timedelta(days=2)  # in which somebody who only chats may be in their new zone
SOON = timedelta(hours=1)  # the longest that anything due may still wait

REPEATED = timedelta(hours=4)  # in which what arrives again in the same words is the same letter

UNASKED = ("checkin.remind", "referrals.thanks", "referrals.came", "referrals.came_too")
MACHINE = (
    "faq.answer", "faq.answer_with_link", "faq.unsure", "faq.unknown", "faq.unknown_alone",
)  # fmt: skip
GREETINGS = ("welcome.newcomer", "welcome.returning", "welcome.several", "welcome.crowd")
EXCUSES = (
    "silenced", "no reminders", "too late", "someone else speaks now", "nobody to say it to",
    "out of reach",
)  # fmt: skip

Invariant = Callable[[Evidence], Iterator[str]]


# ---------------------------------------------------------------- check-ins and streaks


def one_check_in_a_day(seen: Evidence) -> Iterator[str]:
    """Nobody checks in twice on one of their days."""
    days = Counter((one.member, one.day) for one in seen.facts if one.name == Fact.CHECKED_IN)
    for (member, day), count in days.items():
        if count > 1 and member is not None:
            yield f"{_who(seen, member)} checked in {count} times on {day}"


def check_ins_as_pressed(seen: Evidence) -> Iterator[str]:
    """Exactly those days count on which the member said or pressed so."""
    check_ins = _check_ins(seen)
    for person in seen.people:
        clockwork = seen.clockworks.get(person.id)
        if clockwork is None or clockwork.unsure:
            continue
        counted, pressed = check_ins[person.id], clockwork.days
        if counted != pressed:
            odd = sorted(set(counted) ^ set(pressed)) or counted
            yield f"{person.ref} pressed on {_dates(pressed)} and got {_dates(counted)}: {odd[0]}"


def streaks_follow_from_facts(seen: Evidence) -> Iterator[str]:
    """A member's streak, longest streak and last day are those of their check-ins."""
    check_ins = _check_ins(seen)
    for person in seen.people:
        days = check_ins[person.id]
        streak, longest = _streaks(days)
        kept = (person.streak, person.longest, person.checked_in_on)
        if kept != (streak, longest, days[-1] if days else None):
            yield f"{person.ref} has {kept}, and their days make {streak}, {longest}"


# ---------------------------------------------------------------- counters and referrals


def messages_add_up(seen: Evidence) -> Iterator[str]:
    """The messages counted for a member are those in the log."""
    for person in seen.people:
        logged = seen.said.get(person.id, 0)
        if person.messages != logged:
            yield f"{person.ref} has {person.messages} messages, and {logged} are logged"


def referrals_add_up(seen: Evidence) -> Iterator[str]:
    """A member's count, the facts, and who came by them say the same."""
    credited = Counter(one.member for one in seen.facts if one.name == Fact.REFERRED)
    for person in seen.people:
        if person.referred != credited[person.id]:
            yield f"{person.ref} has {person.referred} referrals, and {credited[person.id]} facts"
    if seen.whole:
        came = sum(one.invited_by is not None for one in seen.people)
        if came != credited.total():
            yield f"{came} members came by somebody, and there are {credited.total()} credits"


def credited_once(seen: Evidence) -> Iterator[str]:
    """A newcomer is credited to one member of their own community, and never to themselves."""
    by_id = seen.by_id()
    about = Counter(one.about for one in seen.facts if one.name == Fact.REFERRED)
    for newcomer, count in about.items():
        if count > 1 and newcomer is not None:
            yield f"{_who(seen, newcomer)} was credited {count} times"
    for one in seen.facts:
        if one.name != Fact.REFERRED or one.about is None:
            continue
        if one.about == one.member:
            yield f"{_who(seen, one.about)} was credited to themselves"
        other = by_id.get(one.about)
        if other is not None and other.community != one.community:
            yield f"{other.ref} was credited in another community"


def credited_as_invited(seen: Evidence) -> Iterator[str]:
    """Whoever came by a friend's link is that friend's, and nobody else is anybody's."""
    by_id = seen.by_id()
    credited: dict[str, set[str]] = defaultdict(set)
    for person in seen.people:
        inviter = by_id.get(person.invited_by or 0)
        if inviter is not None:
            credited[person.ref].add(inviter.ref)
            if inviter.ref not in seen.brought.get(person.ref, ()):
                yield f"{person.ref} never used a link of {inviter.ref}"
    for ref, inviter_due in seen.came_by.items():
        if seen.whole and inviter_due not in credited[ref]:
            yield f"{ref} came by {inviter_due}, and it went to {credited[ref] or 'nobody'}"


# ---------------------------------------------------------------- roles, zones, wishes, presence


def one_owner(seen: Evidence) -> Iterator[str]:
    """One person owns the bot."""
    owners = {one.ref for one in seen.people if one.role == "owner"}
    if len(owners) > 1 or (seen.whole and not owners):
        yield f"{len(owners)} owners: {', '.join(sorted(owners))}"


def zones_as_chosen(seen: Evidence) -> Iterator[str]:
    """A zone that was chosen is in force from the member's next day on, and not before."""
    for person in seen.people:
        theirs = seen.clockworks.get(person.id)
        if theirs is None or theirs.unsure or not person.zone:
            continue
        soon = theirs.in_force(seen.now) and person.zone == theirs.next_zone
        late = seen.now - theirs.moved < UNNOTICED and person.zone == theirs.old_zone
        if person.zone != theirs.zone and not soon and not late:
            yield f"{person.ref} is in {person.zone} and chose {theirs.zone}, {theirs.next_zone}"


def wishes_kept(seen: Evidence) -> Iterator[str]:
    """What a member asked to be sent, or not, is what is remembered."""
    for person in seen.people:
        theirs = seen.clockworks.get(person.id)
        if theirs and (theirs.silenced, theirs.reminders) != (person.silenced, person.reminders):
            yield f"{person.ref} wished silenced={theirs.silenced} reminders={theirs.reminders}"


def presence_as_seen(seen: Evidence) -> Iterator[str]:
    """Who is in a community's group is present in it, and nobody else is."""
    if not seen.calm:
        return
    for person in seen.people:
        if person.ref not in seen.inside:
            continue
        inside = bool(seen.inside[person.ref] & seen.communities[person.community].places)
        if inside != (person.status == "member"):
            yield f"{person.ref} is {person.status}, and {'in' if inside else 'not in'} the group"


# ---------------------------------------------------------------- handoff


def speaker_matches_case(seen: Evidence) -> Iterator[str]:
    """The bot speaks without an open case, nobody while one waits, a human once one is taken."""
    open_ones = {one.member: one for one in seen.cases if one.closed_at is None}
    speakers = {one.member: one.speaker for one in seen.talks}
    for member in open_ones.keys() | speakers.keys():
        case = open_ones.get(member)
        due = "bot" if case is None else "human" if case.assigned else "none"
        if speakers.get(member, "bot") != due:
            yield f"{_who(seen, member)}: {speakers.get(member)} speaks, and it should be {due}"


def one_open_case(seen: Evidence) -> Iterator[str]:
    """A member has one open case at the most."""
    for member, count in Counter(c.member for c in seen.cases if c.closed_at is None).items():
        if count > 1:
            yield f"{_who(seen, member)} has {count} open cases"


def cases_are_numbered(seen: Evidence) -> Iterator[str]:
    """Each community counts its cases from 1, without a gap and without a number twice."""
    if not seen.whole:
        return
    numbers = defaultdict(list)
    for one in seen.cases:
        numbers[one.community].append(one.number)
    for community, found in numbers.items():
        if sorted(found) != list(range(1, len(found) + 1)):
            yield f"the cases of {seen.communities[community].name} are {sorted(found)}"


def machine_keeps_silent(seen: Evidence) -> Iterator[str]:
    """No answer of the machine arrives while a person speaks, or is waited for."""
    for bubble in seen.bubbles:
        if bubble.key in MACHINE and bubble.private and bubble.speaker not in ("", "bot"):
            yield f"{bubble.place} was told {bubble.key} while {bubble.speaker} spoke"


# ---------------------------------------------------------------- said once, said at all


def sent_is_arrived(seen: Evidence) -> Iterator[str]:
    """What the log calls sent has arrived, in the place that it names."""
    for row in seen.log:
        if row.direction != "out" or not row.outcome.startswith("sent"):
            continue
        number = int(row.message[1:]) if row.message[1:].isdecimal() else 0
        there = 0 < number <= len(seen.everything)
        if not there or seen.everything[number - 1].place != row.place:
            yield f"{row.kind} to {row.place} is logged as {row.message}, which never arrived there"


def arrived_is_logged(seen: Evidence) -> Iterator[str]:
    """What arrived is in the log once; said again is only what the platform never confirmed."""
    logged = Counter(row.message for row in seen.log if row.outcome.startswith("sent"))
    for bubble in seen.bubbles:
        if bubble.answered and not logged[bubble.id]:
            yield f"{bubble.key} arrived in {bubble.place} as {bubble.id} and is not in the log"


def repeats_are_told_apart(seen: Evidence) -> Iterator[str]:
    """What is said again, as nobody knew whether it had arrived, is logged as perhaps twice."""
    outcomes = {row.message: row.outcome for row in seen.log}
    unsure: dict[tuple[str, str, str, str], Bubble] = {}
    for bubble in seen.bubbles:
        if bubble.key in (*UNASKED, *GREETINGS):
            continue
        alike = (bubble.place, bubble.thread, bubble.key, bubble.text)
        before = unsure.pop(alike, None)
        again = before is not None and bubble.at - before.at < REPEATED
        if again and outcomes.get(bubble.id) == "sent":
            yield f"{bubble.key} arrived again in {bubble.place} as {bubble.id}, and was not marked"
        if not bubble.answered:
            unsure[alike] = bubble


def nothing_is_given_up(seen: Evidence) -> Iterator[str]:
    """What is not sent has an excuse; and only what must not be said twice is in doubt."""
    gone = {place for _, place, _ in seen.in_vain}
    for row in seen.log:
        if row.direction != "out" or not row.outcome or row.outcome.startswith("sent"):
            continue
        outcome, _, reason = row.outcome.partition(": ")
        fine = (
            (outcome == "unknown" and row.kind in ("welcome", "checkin", "referrals"))
            or (outcome == "withheld" and reason in EXCUSES)
            or (outcome == "failed" and reason == "unreachable" and row.place in gone)
        )
        if not fine:
            yield f"{row.kind} to {row.place}: {row.outcome}"


def at_most_once(seen: Evidence) -> Iterator[str]:
    """What nobody asked for never arrives twice, whatever the platform answered."""
    among = seen.everything if seen.whole else seen.bubbles
    alike = Counter(_alike(one) for one in among if one.key in UNASKED)
    for (place, key, text, _), count in alike.items():
        if count > 1:
            yield f"{key} arrived {count} times in {place}: {text}"


def greeted_once(seen: Evidence) -> Iterator[str]:
    """Nobody is greeted more often than they joined."""
    if not seen.whole:
        return
    joined = Counter(one.member for one in seen.facts if one.name == Fact.JOINED)
    refs = {one.id: one.ref for one in seen.people}
    greeted = Counter(one.member for one in seen.facts if one.name == Fact.GREETED)
    for member, count in greeted.items():
        if count > joined[member] and member is not None:
            yield f"{refs[member]} joined {joined[member]} times and was greeted {count} times"
    said = [one for one in seen.everything if one.key in GREETINGS]
    twice = Counter((one.place, one.text, one.at) for one in said)
    for (place, text, _), count in twice.items():
        if count > 1:
            yield f"{place} was greeted {count} times at once: {text}"


def questions_are_answered(seen: Evidence) -> Iterator[str]:
    """Whoever says or presses something in private hears of it, unless a person has taken over."""
    cases = defaultdict(list)
    refs = {one.id: one.ref for one in seen.people}
    for case in seen.cases:
        cases[refs.get(case.member)].append(case)
    for one in seen.owed:
        at = one.event.at
        handled = any(
            case.opened_at - ONE_DAY <= at and (case.closed_at is None or at <= case.closed_at)
            for case in cases[one.who]
        )
        assert one.event.where is not None
        if not handled and seen.latest.get(one.event.where.id, 0) <= one.after:
            yield f"{one.who} got no answer to {one.event.text or one.event.data!r} at {at}"


def answers_in_order(seen: Evidence) -> Iterator[str]:
    """In a private chat, answers arrive in the order in which they were decided on."""
    number = {one.id: one.number for one in seen.bubbles if one.private and one.key not in UNASKED}
    by_place = defaultdict(list)
    edited = Counter(row.message for row in seen.log)
    for row in sorted(seen.log, key=lambda row: row.id):
        if row.outcome.startswith("sent") and row.message in number and edited[row.message] == 1:
            by_place[row.place].append((number[row.message], row))
    for place, rows in by_place.items():
        for (one, _), (other, late) in pairwise(rows):
            if one > other:
                yield f"in {place}, m{one} was to come before m{other} ({late.kind}) and came after"


# ---------------------------------------------------------------- left in peace


def sleep_is_not_broken(seen: Evidence) -> Iterator[str]:
    """What nobody asked for does not arrive in the reader's quiet hours."""
    for bubble, theirs in _unasked(seen):
        if theirs and all(_quiet(seen, person, bubble.at) for person in theirs):
            yield f"{theirs[0].ref} was sent {bubble.key} at {bubble.at}, {_zones(seen, theirs)}"


def the_muted_are_left_alone(seen: Evidence) -> Iterator[str]:
    """What nobody asked for does not arrive at those who wanted nothing of the kind."""
    for bubble, theirs in _unasked(seen):
        if theirs and all(_unwanted(seen, person, bubble) for person in theirs):
            yield f"{theirs[0].ref} wanted none of it and was sent {bubble.key}"


def who_left_is_left_alone(seen: Evidence) -> Iterator[str]:
    """Nothing is sent unasked to whoever stopped the bot, once it has heard of that."""
    for at, place, key in seen.in_vain:
        known = seen.stopped.get(_ref(place))
        if key in UNASKED and at >= seen.since and known is not None and known < at:
            yield f"{key} was sent to {place}, whose person had stopped the bot"


# ---------------------------------------------------------------- what waits, what is past


def nothing_waits_for_ever(seen: Evidence) -> Iterator[str]:
    """Whatever waits is due in future, or was due only just now, or while nobody was there."""
    for row in seen.waiting:
        if max(row.due, seen.up) < seen.now - SOON:
            yield f"{row.kind} {row.key} of {_who(seen, row.member)} was due at {row.due}"
        elif seen.calm and row.state == "sending":
            yield f"{row.kind} {row.key} is being sent, and nobody sends it"


def logged_once(seen: Evidence) -> Iterator[str]:
    """Each event that was acknowledged is in the log once; what could not be read is set aside."""
    found = Counter(row.at for row in seen.heard)
    for one in seen.tellings:
        count = found[one.event.at]
        if not (1 <= count <= one.rows if not seen.calm else count == one.rows):
            yield f"{one.event.kind} {one.event.id} of {one.who} is logged {count} times"
    for key in Counter(seen.set_aside) - Counter(seen.malformed):
        yield f"{key} was set aside, and there was nothing wrong with it"
    for key in Counter(seen.malformed) - Counter(seen.set_aside):
        yield f"{key} could not be read, and was not set aside"


def communities_stay_apart(seen: Evidence) -> Iterator[str]:
    """Nothing of one community is told in another, or counted there."""
    by_id = seen.by_id()
    rows: tuple[Happened | Issue | Talk | Waits | Logged, ...] = (
        *seen.facts, *seen.cases, *seen.talks, *seen.waiting, *seen.log,
    )  # fmt: skip
    for row in rows:
        person = by_id.get(row.member or 0)
        if person is not None and row.community not in (None, person.community):
            yield f"{type(row).__name__} {row[0]} of {person.ref} is in another community"
    placed = {place: one.id for one in seen.communities.values() for place in one.places}
    homes = defaultdict(set)
    for person in seen.people:
        homes[f"home-{person.ref}"].add(person.community)
    for bubble in seen.bubbles:
        here = {placed[bubble.place]} if bubble.place in placed else homes.get(bubble.place, set())
        for name in _named(bubble):
            if here and name in seen.names and not here & set(seen.names[name]):
                yield f"{bubble.place} was told of {name}, who is of another community"


ALL: tuple[Invariant, ...] = (
    one_check_in_a_day, check_ins_as_pressed, streaks_follow_from_facts, messages_add_up,
    referrals_add_up, credited_once, credited_as_invited, one_owner, zones_as_chosen, wishes_kept,
    presence_as_seen, speaker_matches_case, one_open_case, cases_are_numbered,
    machine_keeps_silent, sent_is_arrived, arrived_is_logged, repeats_are_told_apart,
    nothing_is_given_up, at_most_once, greeted_once, questions_are_answered, answers_in_order,
    sleep_is_not_broken, the_muted_are_left_alone, who_left_is_left_alone,
    nothing_waits_for_ever, logged_once, communities_stay_apart,
)  # fmt: skip


def broken(seen: Evidence) -> Iterator[tuple[str, str]]:
    """Every invariant that does not hold, by name, with what is wrong."""
    for invariant in ALL:
        for wrong in invariant(seen):
            yield invariant.__name__, wrong


# ---------------------------------------------------------------- shared


def _check_ins(seen: Evidence) -> dict[int, list[date]]:
    """The days on which each member checked in, in order."""
    days = defaultdict(list)
    for one in seen.facts:
        if one.name == Fact.CHECKED_IN and one.member is not None:
            days[one.member].append(one.day)
    return defaultdict(list, {member: sorted(found) for member, found in days.items()})


def _streaks(days: list[date]) -> tuple[int, int]:
    """The streak that ends on the last of these days, in order, and the longest in them."""
    streak = longest = 0
    last: date | None = None
    for day in days:
        streak = streak + 1 if last is not None and day - last == ONE_DAY else 1
        longest, last = max(longest, streak), day
    return streak, longest


def _who(seen: Evidence, member: int | None) -> str:
    return next((one.ref for one in seen.people if one.id == member), f"member {member}")


def _dates(days: list[date]) -> str:
    return ", ".join(day.isoformat() for day in days[-5:]) or "no day"


def _alike(bubble: Bubble) -> tuple[str, str, str, date]:
    return bubble.place, bubble.key, bubble.text, bubble.at.date()


def _unasked(seen: Evidence) -> Iterator[tuple[Bubble, list[Person]]]:
    """What nobody asked for, just now: later it may be another hour where its reader lives."""
    if seen.whole:
        return
    by_place = defaultdict(list)
    for person in seen.people:
        by_place[f"home-{person.ref}"].append(person)
    for bubble in seen.bubbles:
        if bubble.key in UNASKED and bubble.private:
            yield bubble, by_place[bubble.place]


def _quiet(seen: Evidence, person: Person, at: datetime) -> bool:
    """Whether it is quiet for them, in whichever zone they may be just then."""
    start, end = seen.communities[person.community].quiet
    theirs = seen.clockworks.get(person.id)
    zones = {seen.zone_of(person), *((theirs.zone, theirs.next_zone) if theirs else ())} - {""}
    clocks = [at.astimezone(ZoneInfo(zone)).time() for zone in zones]
    return all(quiet_at(clock, start, end) for clock in clocks)


def _zones(seen: Evidence, people: list[Person]) -> str:
    return ", ".join(seen.zone_of(one) for one in people)


def _unwanted(seen: Evidence, person: Person, bubble: Bubble) -> bool:
    theirs = seen.clockworks.get(person.id)
    if theirs is None or bubble.at <= theirs.wished:
        return False
    return theirs.silenced or (not theirs.reminders and bubble.key.startswith("checkin."))


def _ref(place: str) -> str:
    return place.removeprefix("home-")


def _named(bubble: Bubble) -> set[str]:
    """Whom a message names."""
    words = bubble.words
    one = {word for key in ("name", "member", "friend") if isinstance(word := words.get(key), str)}
    return one | {name for name in words.get("names", ()) if isinstance(name, str)}
