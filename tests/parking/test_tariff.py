"""What a stay costs: the golden vectors, an oracle that walks minute by minute, and what must hold for every stay."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parking.tariff import (
    BadTariff,
    DayNight,
    Fee,
    HourBands,
    LeftBeforeEntered,
    Part,
    Rule,
    TimeWithoutZone,
    Unit,
    fee,
    next_change,
    rule_from_json,
)

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parents[1] / "golden" / "tariff.json").read_text("utf-8"))
HANOI = ZoneInfo("Asia/Ho_Chi_Minh")
CAR = rule_from_json(GOLDEN["rules"]["dong-da-car"])
MOTORBIKE = rule_from_json(GOLDEN["rules"]["motorbike"])
MORNING = datetime(2024, 5, 6, 8, 0, tzinfo=HANOI)
SECOND = timedelta(seconds=1)


def _part_as_json(part: Part) -> dict[str, object]:
    return {
        "quantity": part.quantity,
        "unit": part.unit.value,
        "unit_minutes": part.unit_minutes,
        "first": part.first,
        "last": part.last,
        "price_vnd": part.price_vnd,
        "sum_vnd": part.sum_vnd,
    }


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: f"{case['rule']}: {case['name']}")
def test_a_golden_stay_costs_exactly_what_was_counted_by_hand(case: dict[str, Any]) -> None:
    rule = rule_from_json(GOLDEN["rules"][case["rule"]])
    entered_at, left_at = _instant(case["entered_at"]), _instant(case["left_at"])
    counted = fee(rule, entered_at=entered_at, left_at=left_at)
    assert counted.amount_vnd == case["amount_vnd"]
    assert [_part_as_json(part) for part in counted.parts] == case["parts"]
    assert _walked(rule, entered_at, left_at) == case["amount_vnd"]
    same_until = next_change(rule, entered_at=entered_at, at=left_at)
    assert same_until == (case["same_until"] and _instant(case["same_until"]))


@pytest.mark.parametrize("case", GOLDEN["refused_rules"], ids=lambda case: case["name"])
def test_a_bad_rule_is_refused_with_field_and_reason(case: dict[str, Any]) -> None:
    with pytest.raises(BadTariff) as refusal:
        rule_from_json(case["rule"])
    assert refusal.value.facts == {"field": case["field"], "reason": case["reason"]}


@pytest.mark.parametrize("rule", [None, True, 1, 1.0, "hour_bands", b"hour_bands", [], {}, {"kind": None}])
def test_what_is_no_rule_at_all_is_refused(rule: object) -> None:
    with pytest.raises(BadTariff):
        rule_from_json(rule)


@pytest.mark.parametrize("price", [float("nan"), float("inf"), 1e3, 25_000.0, 10**23, -(10**23)])
def test_only_whole_numbers_within_one_transfer_are_prices(price: object) -> None:
    with pytest.raises(BadTariff):
        rule_from_json({"kind": "hour_bands", "bands": [{"up_to_hour": None, "price_vnd": price}]})


def test_the_rules_of_the_demo_city_are_read_as_written() -> None:
    assert isinstance(CAR, HourBands)
    assert [(band.up_to_hour, band.price_vnd) for band in CAR.bands] == [(2, 25_000), (4, 35_000), (None, 45_000)]
    assert (CAR.block_minutes, CAR.free_minutes) == (60, 0)
    assert DayNight(5_000, 8_000, 12_000, 6 * 60, 18 * 60, 0) == MOTORBIKE


def test_each_fee_says_how_it_was_counted() -> None:
    counted = fee(CAR, entered_at=MORNING, left_at=MORNING + timedelta(hours=4, minutes=5))
    assert counted == Fee(
        amount_vnd=165_000,
        parts=(
            Part(Unit.BLOCK, 60, first=1, last=2, price_vnd=25_000),
            Part(Unit.BLOCK, 60, first=3, last=4, price_vnd=35_000),
            Part(Unit.BLOCK, 60, first=5, last=5, price_vnd=45_000),
        ),
    )
    assert [(part.quantity, part.sum_vnd) for part in counted.parts] == [(2, 50_000), (2, 70_000), (1, 45_000)]


@pytest.mark.parametrize("rule", [CAR, MOTORBIKE])
def test_leaving_before_entering_is_refused(rule: Rule) -> None:
    with pytest.raises(LeftBeforeEntered) as refusal:
        fee(rule, entered_at=MORNING, left_at=MORNING - SECOND)
    assert (refusal.value.code, refusal.value.status) == ("left_before_entered", 409)
    with pytest.raises(LeftBeforeEntered):
        next_change(rule, entered_at=MORNING, at=MORNING - SECOND)


@pytest.mark.parametrize("rule", [CAR, MOTORBIKE])
def test_a_time_without_its_zone_is_refused(rule: Rule) -> None:
    naive = MORNING.replace(tzinfo=None)
    for entered_at, left_at in ((naive, MORNING), (MORNING, naive), (naive, naive)):
        with pytest.raises(TimeWithoutZone):
            fee(rule, entered_at=entered_at, left_at=left_at)
        with pytest.raises(TimeWithoutZone):
            next_change(rule, entered_at=entered_at, at=left_at)


def test_the_zone_an_instant_is_written_in_does_not_matter() -> None:
    entered_at, left_at = MORNING, MORNING + timedelta(hours=11)
    for zone in (UTC, ZoneInfo("America/New_York"), timezone(timedelta(hours=-11, minutes=-30))):
        for rule in (CAR, MOTORBIKE):
            elsewhere = fee(rule, entered_at=entered_at.astimezone(zone), left_at=left_at)
            assert elsewhere == fee(rule, entered_at=entered_at, left_at=left_at)


def test_the_fixed_offset_is_that_of_hanoi_on_every_day_of_the_platform() -> None:
    day = datetime(2017, 1, 1, tzinfo=UTC)
    while day.year < 2035:
        assert day.astimezone(HANOI).utcoffset() == timedelta(hours=7)
        day += timedelta(days=1)


def test_the_change_is_told_as_the_last_second_in_time() -> None:
    until = next_change(CAR, entered_at=MORNING, at=MORNING + timedelta(minutes=10))
    assert until == MORNING + timedelta(hours=1)
    assert until is not None
    assert until.tzinfo is UTC
    assert fee(CAR, entered_at=MORNING, left_at=until).amount_vnd == 25_000
    assert fee(CAR, entered_at=MORNING, left_at=until + SECOND).amount_vnd == 50_000


def test_a_free_lot_never_gets_dearer() -> None:
    free = rule_from_json({"kind": "hour_bands", "bands": [{"up_to_hour": None, "price_vnd": 0}]})
    assert next_change(free, entered_at=MORNING, at=MORNING) is None
    free = rule_from_json({**GOLDEN["rules"]["motorbike"], "day_vnd": 0, "night_vnd": 0, "day_night_vnd": 0})
    assert next_change(free, entered_at=MORNING, at=MORNING) is None


def test_a_stay_of_ten_years_is_counted_at_once() -> None:
    ten_years = fee(CAR, entered_at=MORNING, left_at=MORNING + timedelta(days=3_650))
    assert ten_years.amount_vnd == 2 * 25_000 + 2 * 35_000 + (3_650 * 24 - 4) * 45_000
    assert fee(MOTORBIKE, entered_at=MORNING, left_at=MORNING + timedelta(days=3_650)).amount_vnd == 3_650 * 12_000


# The oracle knows nothing of the engine: it walks the stay minute by minute and looks at what each minute touches.


def _walked(rule: Rule, entered_at: datetime, left_at: datetime) -> int:
    entered_at, left_at = entered_at.replace(microsecond=0), left_at.replace(microsecond=0)
    minutes = [entered_at]
    while minutes[-1] + timedelta(minutes=1) < left_at:
        minutes.append(minutes[-1] + timedelta(minutes=1))
    if rule.free_minutes and left_at <= entered_at + timedelta(minutes=rule.free_minutes):
        return 0
    return _walked_bands(rule, len(minutes)) if isinstance(rule, HourBands) else _walked_turns(rule, minutes, left_at)


def _walked_bands(rule: HourBands, minutes: int) -> int:
    amount_vnd = 0
    for minute in range(minutes):
        if minute % rule.block_minutes == 0:
            for band in rule.bands:
                if band.up_to_hour is None or minute < band.up_to_hour * 60:
                    amount_vnd += band.price_vnd
                    break
    return amount_vnd


def _walked_turns(rule: DayNight, minutes: list[datetime], left_at: datetime) -> int:
    touched: dict[int, set[bool]] = {}
    for number, minute in enumerate(minutes):
        last_second = max(minute, min(minute + timedelta(seconds=59), left_at - SECOND))
        touched.setdefault(number // 1_440, set()).update((_by_day(rule, minute), _by_day(rule, last_second)))
    amount_vnd = 0
    for number, periods in touched.items():
        if left_at >= minutes[0] + timedelta(days=number + 1):
            amount_vnd += rule.day_night_vnd
        elif periods == {True}:
            amount_vnd += rule.day_vnd
        elif periods == {False}:
            amount_vnd += rule.night_vnd
        else:
            amount_vnd += min(rule.day_vnd + rule.night_vnd, rule.day_night_vnd)
    return amount_vnd


def _by_day(rule: DayNight, at: datetime) -> bool:
    local = at.astimezone(HANOI)
    return rule.day_from_minute <= local.hour * 60 + local.minute < rule.day_to_minute


# Instants close to where prices change are as likely as all others together.
prices = st.sampled_from([0, 1, 3_000, 5_000, 8_000, 12_000, 25_000, 35_000, 45_000, 499_999_999])
free = st.sampled_from([0, 0, 1, 10, 60, 95, 1_440])


@st.composite
def hour_bands(draw: st.DrawFn) -> Rule:
    block_minutes = draw(st.sampled_from([1, 15, 30, 60, 90, 120, 1_440]))
    step = {90: 3, 120: 2, 1_440: 24}.get(block_minutes, 1)
    ends = sorted(draw(st.sets(st.integers(1, 12), max_size=4)))
    bands: list[dict[str, object]] = [{"up_to_hour": end * step, "price_vnd": draw(prices)} for end in ends]
    bands.append({"up_to_hour": None, "price_vnd": draw(prices)})
    return rule_from_json(
        {"kind": "hour_bands", "bands": bands, "block_minutes": block_minutes, "free_minutes": draw(free)}
    )


@st.composite
def day_night(draw: st.DrawFn) -> Rule:
    day_vnd, night_vnd = draw(prices), draw(prices)
    day_from, day_to = draw(
        st.sampled_from([("06:00", "18:00"), ("00:00", "23:59"), ("05:30", "22:00"), ("12:00", "12:01")])
    )
    return rule_from_json(
        {
            "kind": "day_night",
            "day_vnd": day_vnd,
            "night_vnd": night_vnd,
            "day_night_vnd": min(499_999_999, max(day_vnd, night_vnd) + draw(prices)),
            "day_from": day_from,
            "day_to": day_to,
            "timezone": "Asia/Ho_Chi_Minh",
            "free_minutes": draw(free),
        }
    )


rules = st.one_of(hour_bands(), day_night(), st.sampled_from([CAR, MOTORBIKE]))
entries = st.one_of(
    st.datetimes(datetime(2018, 1, 1), datetime(2034, 1, 1), timezones=st.just(HANOI)),
    st.builds(
        lambda day, hour, second: datetime(2024, 2, 8, tzinfo=HANOI) + timedelta(days=day, hours=hour, seconds=second),
        st.sampled_from([0, 1, 2, 20, 21, 327, 328]),  # Tết, the leap day, the end of the year
        st.sampled_from([0, 6, 12, 18, 22]),
        st.integers(-2, 2),
    ),
)
lengths = st.one_of(
    st.integers(0, 3 * 86_400),
    st.builds(
        lambda hours, seconds: max(0, hours * 3_600 + seconds),
        st.sampled_from([0, 1, 2, 3, 4, 8, 9, 12, 24, 36, 48, 72]),
        st.integers(-2, 2),
    ),
).map(lambda seconds: timedelta(seconds=seconds))


@settings(max_examples=300, deadline=None)
@given(rule=rules, entered_at=entries, length=lengths)
def test_the_fee_is_what_a_walk_minute_by_minute_finds(rule: Rule, entered_at: datetime, length: timedelta) -> None:
    left_at = entered_at + length
    assert fee(rule, entered_at=entered_at, left_at=left_at).amount_vnd == _walked(rule, entered_at, left_at)


@settings(max_examples=300, deadline=None)
@given(rule=rules, entered_at=entries, length=lengths, more=lengths)
def test_the_fee_never_falls_while_a_vehicle_stands(
    rule: Rule, entered_at: datetime, length: timedelta, more: timedelta
) -> None:
    earlier = fee(rule, entered_at=entered_at, left_at=entered_at + length)
    later = fee(rule, entered_at=entered_at, left_at=entered_at + length + more)
    assert earlier.amount_vnd <= later.amount_vnd


@settings(max_examples=300, deadline=None)
@given(rule=rules, entered_at=entries, length=lengths)
def test_the_parts_add_up_and_number_every_unit_of_the_stay_once(
    rule: Rule, entered_at: datetime, length: timedelta
) -> None:
    counted = fee(rule, entered_at=entered_at, left_at=entered_at + length)
    assert counted.parts
    assert type(counted.amount_vnd) is int
    assert counted.amount_vnd == sum(part.quantity * part.price_vnd for part in counted.parts)
    expected = 1
    for part in counted.parts:
        assert part.first == expected
        assert part.quantity >= 1
        expected = part.last + 1


@settings(max_examples=300, deadline=None)
@given(rule=rules, entered_at=entries, length=lengths, fraction=st.integers(0, 999_999))
def test_until_the_next_change_the_fee_stays_and_one_second_later_it_has_risen(
    rule: Rule, entered_at: datetime, length: timedelta, fraction: int
) -> None:
    at = entered_at + length
    now_vnd = fee(rule, entered_at=entered_at, left_at=at).amount_vnd
    until = next_change(rule, entered_at=entered_at, at=at)
    if until is None:
        for days in (1, 2, 3, 4, 30):
            assert fee(rule, entered_at=entered_at, left_at=at + timedelta(days=days)).amount_vnd == now_vnd
    else:
        assert until >= at.replace(microsecond=0)
        assert fee(rule, entered_at=entered_at, left_at=max(until, at)).amount_vnd == now_vnd
        within = until + timedelta(microseconds=fraction)
        assert fee(rule, entered_at=entered_at, left_at=max(within, at)).amount_vnd == now_vnd
        assert fee(rule, entered_at=entered_at, left_at=until + SECOND).amount_vnd > now_vnd


@settings(max_examples=200, deadline=None)
@given(entered_at=entries, length=lengths, fractions=st.tuples(st.integers(0, 999_999), st.integers(0, 999_999)))
def test_cutting_fractions_of_a_second_never_makes_a_stay_dearer(
    entered_at: datetime, length: timedelta, fractions: tuple[int, int]
) -> None:
    entered_at = entered_at.replace(microsecond=fractions[0])
    left_at = (entered_at + length).replace(microsecond=fractions[1])
    if left_at >= entered_at:
        exact = -((entered_at - left_at) // timedelta(hours=1)) or 1
        assert sum(part.quantity for part in fee(CAR, entered_at=entered_at, left_at=left_at).parts) <= exact


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.just("06:00")),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["kind", "bands", "up_to_hour", "price_vnd", "day_from"]), inner, max_size=3),
    ),
    max_leaves=6,
)


@given(
    base=st.sampled_from(list(GOLDEN["rules"].values())), field=st.text(max_size=8), value=json_values, data=st.data()
)
def test_whatever_is_sent_as_a_rule_is_read_or_refused_by_name(
    base: dict[str, Any], field: str, value: object, data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from([*base, field]))
    try:
        rule = rule_from_json({**base, name: value})
    except BadTariff:
        return
    assert fee(rule, entered_at=MORNING, left_at=MORNING + timedelta(hours=30)).amount_vnd >= 0
