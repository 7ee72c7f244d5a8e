"""Pages and their parts, put together on the server in the reader's language."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from babel.dates import format_datetime
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from bot.web.phone import Face
from handlers.turn import Clock
from knowledge.texts import Texts

TEMPLATES = Path(__file__).parent / "templates"

# How each language writes a day, and a day with its time, in a line of its own: CLDR patterns.
DAYS = {"en": "EEEE d MMMM", "zh": "M月d日 EEEE"}
CLOCKS = {"en": "EEE d MMM, HH:mm", "zh": "M月d日 EEE HH:mm"}


class Pages:
    """Renders templates; whatever is put into them is escaped."""

    def __init__(self, texts: Texts, clock: Clock, zone: Callable[[], ZoneInfo]) -> None:
        self._texts = texts
        self._clock = clock
        self._zone = zone
        self._templates = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )

    def page(self, name: str, language: str, **words: Any) -> str:
        """The template of this name, filled."""
        return self._templates.get_template(name).render(
            lang="zh-Hans" if language == "zh" else language,
            language=language,
            say=partial(self._texts.say, language),
            day=partial(self._day, language),
            role=partial(self._role, language),
            clock=self.clock(language),
            **words,
        )

    def text(self, language: str, key: str, **words: Any) -> str:
        """A text alone."""
        return self._texts.say(language, key, **words)

    def chosen(self, cookie: str, accepted: str) -> str:
        """The language of a page: as chosen on it, else the first the browser would like.

        accepted: the Accept-Language header
        """
        codes = [cookie, *(one.partition(";")[0].strip() for one in accepted.split(","))]
        found = (self._texts.chosen(code, "") for code in codes if code)
        return next(filter(None, found), "en")

    def clock(self, language: str) -> str:
        """The local time in the community."""
        return _written(self._now(), CLOCKS, language)

    def _day(self, language: str, day: date) -> str:
        today = self._now().date()
        if day == today:
            return self.text(language, "playground.day.today")
        if day == today - timedelta(days=1):
            return self.text(language, "playground.day.yesterday")
        return _written(datetime(day.year, day.month, day.day, tzinfo=self._zone()), DAYS, language)

    def _role(self, language: str, face: Face) -> str:
        return self.text(language, f"playground.role.{face.role}")

    def _now(self) -> datetime:
        return self._clock.now().astimezone(self._zone())


def _written(moment: datetime, patterns: dict[str, str], language: str) -> str:
    pattern = patterns.get(language, patterns["en"])
    return format_datetime(moment, pattern, tzinfo=moment.tzinfo, locale=language)
