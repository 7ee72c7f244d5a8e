"""The scenario: what is simulated, in which places, and what the bot knows and is set to there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import handlers
from bot import config
from bot.config import Config
from bot.simulation.doings import Questions
from bot.simulation.residents import Neighbourhood
from knowledge.library import Library

START = datetime(2025, 3, 3, tzinfo=UTC)  # both nights in which clocks are put forward follow
MARK = "(demo)"
ARTICLES = Path(__file__).parent.parent.parent / "knowledge" / "articles" / "harbour-tea"

HOODS = tuple(
    Neighbourhood(
        name=f"{name} {MARK}",
        group=f"group-{n}",
        desk=f"desk-{n}",
        zone=zone,
        language=language,
        link=f"https://town.example/+open{n}",
    )
    for n, (name, zone, language) in enumerate(
        (("Harbour Tea", "Asia/Shanghai", "en"), ("Hillside Books", "Europe/Berlin", "zh"))
    )
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to simulate."""

    url: str
    key: str
    members: int
    days: int
    seed: int
    crashes: int = 0
    faults: bool = False
    start: datetime = START


def questions() -> Questions:
    """What members ask that the bot knows: of the one community that has articles."""
    entries = Library.load(ARTICLES).entries
    asked: dict[tuple[str, bool], list[str]] = {
        (hood.name, chinese): [] for hood in HOODS for chinese in (False, True)
    }
    for entry in entries:
        asked[HOODS[0].name, entry.language == "zh"] += entry.phrasings
    return asked


def configured(plan: Plan) -> Config:
    """Two communities, one of them with articles, the other with a longer night."""
    contents = {
        "storage": {"url": plan.url, "seal_key": plan.key},
        "community": [
            {"name": hood.name, "zone": hood.zone, "language": hood.language} for hood in HOODS
        ],
    }
    contents["community"][0]["knowledge"] = str(ARTICLES)  # type: ignore[index]
    contents["community"][1]["quiet_hours"] = {"start": "23:00:00", "end": "09:00:00"}  # type: ignore[index]
    return config.checked(Path("simulation.toml").absolute(), contents, handlers.discovered())


async def blank(name: str, words: dict[str, Any]) -> bytes:
    """Pictures stay blank: drawing them takes a tenth of a second, and tells nothing here."""
    return b""
