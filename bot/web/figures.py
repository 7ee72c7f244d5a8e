"""Numbers, days and spans, as the reader's language and the community's clock write them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from babel.dates import format_datetime
from babel.numbers import format_decimal

from knowledge.texts import Texts

# CLDR patterns, shorter than its own: a day under a chart, and in a sentence.
SHORT = {"en": "d MMM", "zh": "M月d日"}
LONG = {"en": "EEEE d MMMM", "zh": "M月d日 EEEE"}
MOMENT = {"en": "d MMM, HH:mm", "zh": "M月d日 HH:mm"}

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Figures:
    """How things are written for one reader, at one moment."""

    texts: Texts
    language: str
    zone: ZoneInfo
    now: datetime  # aware

    @property
    def today(self) -> date:
        """The community's present day."""
        return self.now.astimezone(self.zone).date()

    def say(self, key: str, /, **words: Any) -> str:
        """A text of the dashboard."""
        return self.texts.say(self.language, f"dashboard.{key}", **words)

    def number(self, value: float) -> str:
        """With the language's own marks between thousands."""
        return format_decimal(value, locale=self.language)

    def day(self, day: date) -> str:
        """A day, as short as it can be."""
        return self._written(day, SHORT)

    def long_day(self, day: date) -> str:
        """A day with its weekday."""
        return self._written(day, LONG)

    def moment(self, moment: datetime) -> str:
        """A day and the time, by the community's clock."""
        pattern = MOMENT.get(self.language, MOMENT["en"])
        return format_datetime(moment, pattern, tzinfo=self.zone, locale=self.language)

    def since(self, moment: datetime) -> str:
        """How long ago that was."""
        return self.span(self.now - moment)

    def span(self, span: timedelta) -> str:
        """So long, in the two largest units that it has."""
        if span < MINUTE:
            return self.say("span.now")
        if span < HOUR:
            return self.say("span.minutes", n=span // MINUTE)
        if span < DAY:
            return self.say("span.hours", hours=span // HOUR, minutes=span % HOUR // MINUTE)
        return self.say("span.days", days=span // DAY, hours=span % DAY // HOUR)

    def _written(self, day: date, patterns: dict[str, str]) -> str:
        pattern = patterns.get(self.language, patterns["en"])
        return format_datetime(datetime.combine(day, time()), pattern, locale=self.language)


def midnight(day: date, zone: ZoneInfo) -> datetime:
    """When the day begins there (aware)."""
    return datetime.combine(day, time(), zone)
