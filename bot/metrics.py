"""What is counted, for /metrics; no label ever names a person."""

from __future__ import annotations

from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY = CollectorRegistry()

EVENTS = Counter(
    "innkeeper_events", "Events taken in, by channel and kind.", ["channel", "kind"],
    registry=REGISTRY,
)  # fmt: skip
REPEATS = Counter(
    "innkeeper_repeats", "Events a channel told us of again.", ["channel"], registry=REGISTRY
)
TURNS = Counter(
    "innkeeper_turns", "Turns by how they ended: done, refused, replayed, fault.", ["outcome"],
    registry=REGISTRY,
)  # fmt: skip
TURN_SECONDS = Histogram(
    "innkeeper_turn_seconds", "From taking a turn up to its commit.", registry=REGISTRY
)
SENDS = Counter(
    "innkeeper_sends", "Messages and acts by channel and outcome.", ["channel", "outcome"],
    registry=REGISTRY,
)  # fmt: skip
RESENDS = Counter(
    "innkeeper_resends", "Sends repeated though the platform may have had them.", ["channel"],
    registry=REGISTRY,
)  # fmt: skip
MODEL = Counter(
    "innkeeper_model", "Questions put to the model, by outcome.", ["outcome"], registry=REGISTRY
)
WAITING = Gauge("innkeeper_waiting", "Rows that wait, by kind.", ["kind"], registry=REGISTRY)
LATE = Counter(
    "innkeeper_late", "What came too late and was dropped by rule: daily, waking, letter.",
    ["what", "capability"], registry=REGISTRY,
)  # fmt: skip
QUARANTINED = Counter("innkeeper_quarantined", "Events set aside.", registry=REGISTRY)


@cache
def of(counter: Counter, *labels: str) -> Counter:
    """The counter under these labels, looked up once: they are few, and counted at every turn."""
    return counter.labels(*labels)
