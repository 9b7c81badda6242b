"""Banks' days: what is sent on the next working day is not sent on a Sunday or at Tết."""

from __future__ import annotations

from datetime import date

import pytest

from payments.working_days import after, is_working


@pytest.mark.parametrize(
    ("day", "count", "reached"),
    [
        (date(2026, 11, 18), 1, date(2026, 11, 19)),
        (date(2026, 11, 20), 1, date(2026, 11, 23)),  # a Friday: Monday
        (date(2026, 11, 22), 1, date(2026, 11, 23)),
        (date(2026, 2, 13), 1, date(2026, 2, 23)),  # Tết
        (date(2026, 4, 29), 1, date(2026, 5, 4)),  # two holidays and a week-end
        (date(2026, 12, 31), 2, date(2027, 1, 5)),
        (date(2027, 4, 29), 1, date(2027, 5, 4)),  # Labour Day is a Saturday
    ],
)
def test_the_next_working_day_leaves_out_week_ends_and_holidays(day: date, count: int, reached: date) -> None:
    assert after(day, count) == reached
    assert is_working(reached)
