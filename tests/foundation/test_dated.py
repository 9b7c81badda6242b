"""One row holds on a day; gaps and overlaps are refused, never guessed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.dated import EndsBeforeItBegins, NothingValid, SeveralValid, unbroken, valid_on


@dataclass(frozen=True)
class Row:
    valid_from: date
    valid_to: date | None
    name: str = ""


OLD = Row(date(2018, 1, 1), date(2024, 1, 1), "old")
STEP = Row(date(2024, 1, 1), date(2025, 1, 1), "step")
NOW = Row(date(2025, 1, 1), None, "now")


@pytest.mark.parametrize(
    ("day", "row"),
    [
        (date(2018, 1, 1), OLD),
        (date(2023, 12, 31), OLD),
        (date(2024, 1, 1), STEP),
        (date(2024, 2, 29), STEP),
        (date(2024, 12, 31), STEP),
        (date(2025, 1, 1), NOW),
        (date(9999, 12, 31), NOW),
    ],
)
def test_a_row_holds_from_its_first_day_until_the_day_before_its_end(day: date, row: Row) -> None:
    assert valid_on([NOW, OLD, STEP], day) is row


def test_a_day_before_the_first_row_is_refused() -> None:
    with pytest.raises(NothingValid, match="2017-12-31") as refusal:
        valid_on([OLD, STEP, NOW], date(2017, 12, 31))
    assert refusal.value.code == "nothing_valid"


def test_a_day_in_a_gap_is_refused() -> None:
    with pytest.raises(NothingValid):
        valid_on([OLD, NOW], date(2024, 6, 1))


def test_no_rows_at_all_are_a_gap() -> None:
    with pytest.raises(NothingValid):
        valid_on([], date(2024, 6, 1))


def test_a_day_in_an_overlap_is_refused() -> None:
    with pytest.raises(SeveralValid, match="2024-06-01"):
        valid_on([STEP, Row(date(2024, 6, 1), None)], date(2024, 6, 1))


def test_a_mistake_about_another_day_does_not_stop_today() -> None:
    assert valid_on([STEP, Row(date(2024, 6, 1), None)], date(2024, 5, 31)) is STEP


def test_a_row_without_days_never_holds() -> None:
    with pytest.raises(NothingValid):
        valid_on([Row(date(2024, 1, 1), date(2024, 1, 1))], date(2024, 1, 1))


def test_unbroken_rows_come_in_order_of_time() -> None:
    assert list(unbroken([NOW, OLD, STEP])) == [OLD, STEP, NOW]
    assert list(unbroken([])) == []
    assert list(unbroken([OLD])) == [OLD]


@pytest.mark.parametrize(
    ("rows", "refusal", "day"),
    [
        ([OLD, NOW], NothingValid, "2024-01-01"),
        ([OLD, OLD], SeveralValid, "2018-01-01"),
        ([NOW, Row(date(2026, 1, 1), None)], SeveralValid, "2026-01-01"),
        ([OLD, Row(date(2023, 12, 31), None)], SeveralValid, "2023-12-31"),
        ([Row(date(2024, 1, 1), date(2024, 1, 1))], EndsBeforeItBegins, "2024-01-01"),
        ([Row(date(2024, 1, 1), date(2023, 1, 1))], EndsBeforeItBegins, "2024-01-01"),
    ],
)
def test_broken_rows_are_refused_with_the_day_where_they_break(
    rows: list[Row], refusal: type[NothingValid | SeveralValid | EndsBeforeItBegins], day: str
) -> None:
    with pytest.raises(refusal) as refused:
        unbroken(rows)
    assert refused.value.told == {"day": day}


@given(
    lengths=st.lists(st.integers(1, 400), min_size=1, max_size=6),
    offset=st.integers(-50, 2_600),
    order=st.randoms(use_true_random=False),
)
def test_of_unbroken_rows_exactly_one_holds_on_each_day_from_the_first_on(
    lengths: list[int], offset: int, order: Random
) -> None:
    first = date(2020, 1, 1)
    rows: list[Row] = []
    begins = first
    for number, length in enumerate(lengths):
        ends = begins + timedelta(days=length)
        rows.append(Row(begins, ends if number < len(lengths) - 1 else None, str(number)))
        begins = ends
    order.shuffle(rows)
    assert [row.name for row in unbroken(rows)] == [str(number) for number in range(len(lengths))]
    day = first + timedelta(days=offset)
    if offset < 0:
        with pytest.raises(NothingValid):
            valid_on(rows, day)
    else:
        row = valid_on(rows, day)
        assert row.valid_from <= day
        assert row.valid_to is None or day < row.valid_to
