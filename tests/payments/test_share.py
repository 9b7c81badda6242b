"""How one sale is divided: nothing is lost, nothing is made, and what is given back ends at nothing."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payments.share import (
    BP,
    Entitlement,
    FeeTerm,
    Item,
    SoldLine,
    Terms,
    apportion,
    fee_of,
    items_of_give_back,
    items_of_sale,
    of_sale,
    taken_back,
    vat_in,
)

SELLER, CITY, AUTHORITY, PLATFORM = (UUID(int=number) for number in range(1, 5))
CONTRACT, SALE, CHARGE = UUID(int=11), UUID(int=12), UUID(int=13)
amounts = st.integers(1, 499_999_999)


@st.composite
def terms_of_any_kind(draw: st.DrawFn) -> Terms:
    cuts = sorted(draw(st.lists(st.integers(1, BP - 1), max_size=2, unique=True)))
    shares = [upper - lower for lower, upper in zip([0, *cuts], [*cuts, BP], strict=True)]
    sharing = draw(st.permutations([SELLER, CITY, AUTHORITY]))
    sums = draw(st.lists(st.integers(1, 50_000), max_size=2))
    return Terms(
        seller=SELLER,
        platform=PLATFORM,
        entitlements=[
            *(Entitlement(payee, sum_vnd=vnd) for payee, vnd in zip([PLATFORM, CITY], sums, strict=False)),
            *(Entitlement(payee, share_bp=bp) for payee, bp in zip(sharing, shares, strict=False)),
        ],
        vat_bp=draw(st.sampled_from([0, 500, 800, 1_000])),
        fees={"QR_TRANSFER": FeeTerm(draw(st.integers(0, 300)), draw(st.integers(0, 2_000)))},
        fee_vat_bp=draw(st.sampled_from([0, 800, 1_000])),
        fees_returned=draw(st.booleans()),
    )


@pytest.mark.parametrize(
    ("total", "weights", "parts"),
    [
        (100, [1, 1, 1], [34, 33, 33]),  # among equals the first
        (70_000, [6_000, 4_000], [42_000, 28_000]),
        (5_001, [3_333, 3_333, 3_334], [1_667, 1_667, 1_667]),
        (1, [1, 9_999], [0, 1]),
        (0, [5, 5], [0, 0]),
        (7, [0, 3], [0, 7]),
    ],
)
def test_the_largest_remainder_gets_the_last_dong(total: int, weights: list[int], parts: list[int]) -> None:
    assert apportion(total, weights) == parts


def test_an_amount_cannot_be_divided_among_nobody() -> None:
    for weights in ([], [0, 0]):
        with pytest.raises(ValueError, match="nobody"):
            apportion(10, weights)


@given(st.integers(0, 500_000_000_000), st.lists(st.integers(0, 10_000), min_size=1, max_size=8).filter(any))
@settings(max_examples=300)
def test_parts_add_up_to_the_whole_and_are_less_than_a_dong_from_exact(total: int, weights: list[int]) -> None:
    parts, whole = apportion(total, weights), sum(weights)
    assert sum(parts) == total
    assert all(abs(part * whole - total * weight) < whole for part, weight in zip(parts, weights, strict=True))


@pytest.mark.parametrize(
    ("price", "bp", "vat"), [(108_000, 800, 8_000), (110, 1_000, 10), (5_000, 800, 370), (1, 800, 0), (70_000, 0, 0)]
)
def test_vat_is_what_the_price_contains(price: int, bp: int, vat: int) -> None:
    assert vat_in(price, bp) == vat


def test_sums_go_first_then_the_vat_then_the_shares() -> None:
    terms = Terms(
        seller=SELLER,
        platform=PLATFORM,
        entitlements=[
            Entitlement(PLATFORM, sum_vnd=1_000),
            Entitlement(SELLER, share_bp=7_000),
            Entitlement(CITY, share_bp=3_000),
        ],
        vat_bp=800,
    )
    assert [(part.payee_id, part.kind, part.amount_vnd) for part in of_sale(25_000, terms)] == [
        (PLATFORM, "sum", 1_000),
        (SELLER, "vat", 1_852),
        (SELLER, "share", 15_504),
        (CITY, "share", 6_644),
    ]
    # A sale smaller than the sum is all the sum's.
    assert [(part.payee_id, part.amount_vnd) for part in of_sale(700, terms)] == [(PLATFORM, 700)]


def test_the_fee_depends_on_the_means_and_never_exceeds_the_sale() -> None:
    terms = Terms(
        SELLER, PLATFORM, [Entitlement(SELLER, share_bp=BP)], fees={"CARD": FeeTerm(180, 500)}, fee_vat_bp=1_000
    )
    fee = fee_of(70_000, "CARD", terms)
    assert (fee.amount_vnd, fee.vat_vnd) == (1_760, 160)
    assert fee_of(70_000, "CASH", terms).amount_vnd == 0
    assert fee_of(300, "CARD", terms).amount_vnd == 300


@given(amounts, terms_of_any_kind())
@settings(max_examples=150)
def test_the_parts_of_a_sale_are_the_sale(amount: int, terms: Terms) -> None:
    parts = of_sale(amount, terms)
    assert sum(part.amount_vnd for part in parts) == amount
    assert all(part.amount_vnd > 0 for part in parts)


@given(st.lists(amounts, min_size=1, max_size=3), terms_of_any_kind(), st.data())
@settings(max_examples=80)
def test_a_sale_given_back_in_any_steps_ends_at_nothing_for_everybody(
    prices: list[int], terms: Terms, data: st.DataObject
) -> None:
    lines = [SoldLine(CHARGE, number, price, "QR_TRANSFER", CONTRACT, terms) for number, price in enumerate(prices, 1)]
    items = items_of_sale(SALE, lines)
    returning = frozenset({CONTRACT} if terms.fees_returned else ())
    left, step = sum(prices), 0
    while left:
        back = data.draw(st.integers(max(1, left // 3), left))
        held = _left(items)
        made = items_of_give_back(UUID(int=100 + step), back, held, returning)
        assert sum(item.amount_vnd for item in made if item.kind != "fee") == -back
        assert all(item.amount_vnd < 0 for item in made if item.kind != "fee")
        assert sum(item.amount_vnd for item in made if item.kind == "fee") == 0
        items += made
        left, step = left - back, step + 1
        assert all(item.amount_vnd >= 0 for item in _left(items) if item.kind != "fee")
    for item in _left(items):
        assert item.amount_vnd == 0 or (item.kind == "fee" and not terms.fees_returned)


def test_what_is_given_back_is_taken_in_proportion_to_what_is_left() -> None:
    assert taken_back(50, [60, 40]) == [30, 20]
    assert taken_back(0, [60, 40]) == [0, 0]
    assert taken_back(100, [60, 40]) == [60, 40]


def _left(items: list[Item]) -> list[Item]:
    sums: dict[tuple[int, UUID, str], int] = {}
    vats: dict[tuple[int, UUID, str], int] = {}
    for item in items:
        key = item.line_no, item.payee_id, item.kind
        sums[key], vats[key] = sums.get(key, 0) + item.amount_vnd, vats.get(key, 0) + item.vat_vnd
    return [
        Item(SALE, CHARGE, line_no, payee, kind, CONTRACT, amount, vats[line_no, payee, kind])  # type: ignore[arg-type]
        for (line_no, payee, kind), amount in sums.items()
    ]
