"""How moments, days and sealed text are kept: the same way on every database."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import sqlalchemy as sa

from storage.moments import from_micros, to_micros


class Moment(sa.types.TypeDecorator[datetime]):
    """An aware moment, kept as whole microseconds since 1970 UTC; naive values are refused."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> int | None:
        return None if value is None else to_micros(value)

    def process_result_value(self, value: int | None, dialect: Any) -> datetime | None:
        return None if value is None else from_micros(value)


class Day(sa.types.TypeDecorator[date]):
    """A calendar day without a zone, kept as text such as 2025-03-03."""

    impl = sa.String(10)
    cache_ok = True

    def process_bind_param(self, value: date | None, dialect: Any) -> str | None:
        return None if value is None else value.isoformat()

    def process_result_value(self, value: str | None, dialect: Any) -> date | None:
        return None if value is None else date.fromisoformat(value)
