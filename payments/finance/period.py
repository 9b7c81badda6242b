"""A day, a month or a year as an address names it: `2026-11-21`, `2026-11`, `2026`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator

from foundation import clock, texts

_PERIOD = re.compile(r"(2[0-9]{3})(?:-([0-9]{2})(?:-([0-9]{2}))?)?")


@dataclass(frozen=True, slots=True)
class Period:
    """From its first day to its last."""

    kind: Literal["day", "month", "year"]
    first: date
    last: date

    def __str__(self) -> str:
        return self.first.isoformat()[: {"day": 10, "month": 7, "year": 4}[self.kind]]

    def text(self, language: str) -> str:
        if self.kind == "day":
            return clock.day_text(self.first, language)
        if self.kind == "month":
            month = f"{self.first:%m/%Y}" if language == "vi" else f"{self.first:%b %Y}"
            return texts.text(language, "finance.period.month", month=month)
        return texts.text(language, "finance.period.year", year=self.first.year)

    @property
    def before(self) -> Period:
        """The period of the same kind before it."""
        return period_with(self.first - timedelta(days=1), self.kind)

    @property
    def following(self) -> Period:
        return period_with(self.last + timedelta(days=1), self.kind)

    @property
    def parts(self) -> list[Period]:
        """The days of a month, the months of a year."""
        found = [period_with(self.first, "month" if self.kind == "year" else "day")]
        while found[-1].last < self.last:
            found.append(found[-1].following)
        return found


def period_of(said: str) -> Period:
    """Raises ValueError."""
    found = _PERIOD.fullmatch(said)
    if found is None:
        raise ValueError("must be a day (2026-11-21), a month (2026-11) or a year (2026)")
    year, month, day = (int(part) if part else None for part in found.groups())
    first = date(year or 0, month or 1, day or 1)
    if not 2000 <= first.year <= 2100:
        raise ValueError("must lie between 2000 and 2100")
    return period_with(first, "day" if day else "month" if month else "year")


def period_with(day: date, kind: Literal["day", "month", "year"]) -> Period:
    """The period of that kind in which a day lies."""
    if kind == "day":
        return Period(kind, day, day)
    if kind == "year":
        return Period(kind, date(day.year, 1, 1), date(day.year, 12, 31))
    first = day.replace(day=1)
    return Period(kind, first, (first + timedelta(days=31)).replace(day=1) - timedelta(days=1))


def _readable(said: str) -> str:
    period_of(said)
    return said


PeriodText = Annotated[str, AfterValidator(_readable)]
