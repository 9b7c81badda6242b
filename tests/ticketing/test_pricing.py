"""What a group pays at a relic of Hanoi."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.dated import NothingValid, unbroken, valid_on
from foundation.errors import Refusal
from ticketing.pricing import (
    HANOI,
    BadPrice,
    Category,
    HeadsNotCounted,
    Line,
    NobodyComes,
    TooManyHeads,
    TotalTooLarge,
    UnknownCategory,
    categories_at,
    price,
    total,
)


@dataclass(frozen=True)
class Entrance:
    valid_from: date
    valid_to: date | None
    base_vnd: int


VAN_MIEU = (
    Entrance(date(2018, 1, 1), date(2024, 1, 1), 30_000),
    Entrance(date(2024, 1, 1), None, 70_000),
)
THANG_LONG = (
    Entrance(date(2018, 1, 1), date(2024, 1, 1), 30_000),
    Entrance(date(2024, 1, 1), date(2025, 1, 1), 70_000),
    Entrance(date(2025, 1, 1), None, 100_000),
)
CODES = [category.code for category in HANOI]


@pytest.mark.parametrize(
    ("rows", "day", "base_vnd"),
    [
        (VAN_MIEU, date(2023, 12, 31), 30_000),
        (VAN_MIEU, date(2024, 1, 1), 70_000),
        (VAN_MIEU, date(2026, 11, 21), 70_000),
        (THANG_LONG, date(2023, 12, 31), 30_000),
        (THANG_LONG, date(2024, 1, 1), 70_000),
        (THANG_LONG, date(2024, 12, 31), 70_000),
        (THANG_LONG, date(2025, 1, 1), 100_000),
    ],
)
def test_the_fee_is_that_of_the_day_of_the_visit(rows: tuple[Entrance, ...], day: date, base_vnd: int) -> None:
    assert list(unbroken(rows)) == list(rows)
    assert valid_on(rows, day).base_vnd == base_vnd


def test_a_day_before_every_fee_is_refused() -> None:
    with pytest.raises(NothingValid):
        valid_on(VAN_MIEU, date(2017, 12, 31))


@pytest.mark.parametrize(
    ("code", "at_van_mieu_vnd", "at_thang_long_2025_vnd", "at_2023_vnd"),
    [
        ("adult", 70_000, 100_000, 30_000),
        ("child", 0, 0, 0),
        ("student", 35_000, 50_000, 15_000),
        ("elderly", 35_000, 50_000, 15_000),
        ("severe_disability", 35_000, 50_000, 15_000),
        ("extreme_disability", 0, 0, 0),
        ("policy", 35_000, 50_000, 15_000),
    ],
)
def test_each_category_pays_its_share(
    code: str, at_van_mieu_vnd: int, at_thang_long_2025_vnd: int, at_2023_vnd: int
) -> None:
    for base_vnd, expected_vnd in ((70_000, at_van_mieu_vnd), (100_000, at_thang_long_2025_vnd), (30_000, at_2023_vnd)):
        assert total(base_vnd=base_vnd, heads={code: 1}, categories=HANOI).total_vnd == expected_vnd


def test_a_family_pays_line_by_line_in_the_order_of_the_categories() -> None:
    quote = total(base_vnd=70_000, heads={"elderly": 1, "child": 3, "adult": 2}, categories=HANOI)
    assert quote.lines == (
        Line("adult", 100, 2, 70_000, 140_000),
        Line("child", 0, 3, 0, 0),
        Line("elderly", 50, 1, 35_000, 35_000),
    )
    assert (quote.heads, quote.total_vnd) == (6, 175_000)


def test_a_class_of_free_pupils_pays_nothing_and_still_has_heads() -> None:
    quote = total(base_vnd=70_000, heads={"child": 40}, categories=HANOI)
    assert (quote.heads, quote.total_vnd) == (40, 0)


def test_a_category_without_heads_makes_no_line() -> None:
    quote = total(base_vnd=70_000, heads={"adult": 1, "child": 0}, categories=HANOI)
    assert [line.code for line in quote.lines] == ["adult"]


def test_a_head_counts_once_for_nothing_stacks() -> None:
    quote = total(base_vnd=70_000, heads={"student": 1, "policy": 1}, categories=HANOI)
    assert (quote.heads, quote.total_vnd) == (2, 70_000)


@pytest.mark.parametrize("heads", [{}, {"adult": 0}, {"adult": 0, "child": 0}])
def test_nobody_is_refused(heads: dict[str, int]) -> None:
    with pytest.raises(NobodyComes):
        total(base_vnd=70_000, heads=heads, categories=HANOI)


@pytest.mark.parametrize("count", [-1, True, False, 1.0, "1", None, 1e3, float("nan")])
def test_heads_that_are_no_whole_number_are_refused(count: object) -> None:
    with pytest.raises(HeadsNotCounted):
        total(base_vnd=70_000, heads={"adult": count, "child": 2}, categories=HANOI)  # type: ignore[dict-item]


def test_a_negative_head_is_refused_even_if_the_sum_is_positive() -> None:
    with pytest.raises(HeadsNotCounted):
        total(base_vnd=70_000, heads={"adult": 3, "elderly": -1}, categories=HANOI)


@pytest.mark.parametrize("code", ["", "Adult", "vip", "adult ", "người lớn"])
def test_an_unknown_category_is_refused_by_name(code: str) -> None:
    with pytest.raises(UnknownCategory) as refusal:
        total(base_vnd=70_000, heads={code: 1}, categories=HANOI)
    assert refusal.value.facts == {"category": code}


def test_students_are_a_category_only_where_the_rule_names_the_site() -> None:
    for site in ("van-mieu", "ngoc-son", "co-loa", "quan-thanh", "hoa-lo", "thang-long"):
        assert categories_at(site) == HANOI
    elsewhere = categories_at("chua-huong")
    assert [category.code for category in elsewhere] == [code for code in CODES if code != "student"]
    with pytest.raises(UnknownCategory):
        total(base_vnd=120_000, heads={"student": 1}, categories=elsewhere)


def test_a_code_holds_255_heads_and_not_one_more() -> None:
    assert total(base_vnd=70_000, heads={"adult": 200, "child": 55}, categories=HANOI).heads == 255
    with pytest.raises(TooManyHeads, match="255"):
        total(base_vnd=70_000, heads={"adult": 200, "child": 56}, categories=HANOI)


def test_a_total_above_one_bank_transfer_is_refused() -> None:
    base_vnd = 499_999_999 // 255
    assert total(base_vnd=base_vnd, heads={"adult": 255}, categories=HANOI).total_vnd <= 499_999_999
    assert total(base_vnd=499_999_999, heads={"adult": 1}, categories=HANOI).total_vnd == 499_999_999
    with pytest.raises(TotalTooLarge, match="499999999"):
        total(base_vnd=base_vnd + 1, heads={"adult": 255}, categories=HANOI)
    with pytest.raises(TotalTooLarge):
        total(base_vnd=500_000_000, heads={"adult": 1}, categories=HANOI)


@pytest.mark.parametrize(
    ("base_vnd", "percent", "expected_vnd"),
    [(70_000, 50, 35_000), (1, 50, 1), (3, 50, 2), (101, 33, 33), (150, 33, 50), (7, 0, 0), (7, 100, 7), (0, 50, 0)],
)
def test_a_share_is_rounded_half_up_to_whole_dong(base_vnd: int, percent: int, expected_vnd: int) -> None:
    assert price(base_vnd, percent) == expected_vnd


@pytest.mark.parametrize(
    ("base_vnd", "percent"),
    [(-1, 50), (70_000, -1), (70_000, 101), (70_000.0, 50), (True, 50), (70_000, True), ("70000", 50), (70_000, 0.5)],
)
def test_a_price_that_is_no_whole_number_is_refused(base_vnd: object, percent: object) -> None:
    with pytest.raises(BadPrice):
        price(base_vnd, percent)  # type: ignore[arg-type]


def test_category_codes_are_unique_and_stable() -> None:
    assert CODES == ["adult", "child", "student", "elderly", "severe_disability", "extreme_disability", "policy"]


def test_every_reduction_asks_for_a_proof_and_the_full_fee_does_not() -> None:
    for category in HANOI:
        assert category.name_key == f"category.{category.code}.name"
        assert (category.proof_key is None) == (category.percent == 100)


groups = st.dictionaries(st.sampled_from(CODES), st.integers(0, 36), max_size=7).filter(
    lambda heads: any(heads.values())
)


@given(base_vnd=st.integers(0, 1_900_000), heads=groups)
def test_a_group_pays_what_its_members_would_pay_one_by_one(base_vnd: int, heads: dict[str, int]) -> None:
    quote = total(base_vnd=base_vnd, heads=heads, categories=HANOI)
    alone = [
        total(base_vnd=base_vnd, heads={code: 1}, categories=HANOI).total_vnd
        for code, count in heads.items()
        for _ in range(count)
    ]
    assert quote.total_vnd == sum(alone) == sum(line.sum_vnd for line in quote.lines)
    assert quote.heads == len(alone)
    assert all(type(line.sum_vnd) is int and line.heads > 0 for line in quote.lines)


@given(base_vnd=st.integers(0, 2_000_000), percent=st.integers(0, 100))
def test_a_share_is_never_off_by_more_than_half_a_dong(base_vnd: int, percent: int) -> None:
    assert abs(100 * price(base_vnd, percent) - base_vnd * percent) <= 50
    assert 0 <= price(base_vnd, percent) <= base_vnd


anything = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text())


@given(heads=st.dictionaries(st.one_of(st.sampled_from(CODES), st.text()), anything), base_vnd=anything)
def test_whatever_is_sent_is_priced_or_refused_by_name(heads: dict[str, object], base_vnd: object) -> None:
    categories: tuple[Category, ...] = HANOI
    try:
        quote = total(base_vnd=base_vnd, heads=heads, categories=categories)  # type: ignore[arg-type]
    except Refusal:
        return
    assert 0 <= quote.total_vnd <= 499_999_999
    assert 1 <= quote.heads <= 255
