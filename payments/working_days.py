"""On which days banks work: Monday to Friday, but for the public holidays of Viet Nam.

The fixed ones are law (Labour Code 2019, art. 112); those of the lunar calendar, and the days that the government adds to
or moves for them, are told anew each year and stand here as data: those of 2026 and 2027 are unverified, and of a year
that is not listed only the fixed ones are known.
"""

from __future__ import annotations

from datetime import date, timedelta

FIXED = ((1, 1), (4, 30), (5, 1), (9, 2))
"""(month, day): New Year, Reunification, Labour Day, National Day."""

MOVABLE = {
    2026: (
        (date(2026, 2, 14), date(2026, 2, 22)),
        (date(2026, 4, 26), date(2026, 4, 27)),
        (date(2026, 9, 1), date(2026, 9, 2)),
    ),
    2027: (
        (date(2027, 2, 4), date(2027, 2, 10)),
        (date(2027, 4, 16), date(2027, 4, 16)),
        (date(2027, 5, 3), date(2027, 5, 3)),
        (date(2027, 9, 2), date(2027, 9, 3)),
    ),
}
"""First and last day: Tết, the Hùng Kings, National Day with the day beside it, and the Monday for one on a weekend."""


def is_working(day: date) -> bool:
    """Whether banks work on a day."""
    holiday = (day.month, day.day) in FIXED or any(first <= day <= last for first, last in MOVABLE.get(day.year, ()))
    return day.weekday() < 5 and not holiday


def after(day: date, count: int) -> date:
    """The `count`th working day after a day."""
    while count:
        day += timedelta(days=1)
        count -= is_working(day)
    return day
