"""What a stay costs, and how that was counted.

A tariff rule is data (JSON), evaluated here and, offline, by a second engine on the tablet; both are held to
`tests/golden/tariff.json`. So that they cannot differ, everything is integer arithmetic on whole seconds since 1970: a
fraction of a second is cut off both instants, which never makes a stay dearer.

Common to all rules:

- A stay is the half-open interval [entered_at, left_at). Exactly 2 h 0 min 0 s is two started hours; one second more is
  three. A stay of no length at all is still one turn or one started hour.
- `free_minutes` (0 unless a lot says otherwise: a local setting, no city rule) forgives a stay of at most that length.
  A longer stay is counted from its entry, nothing is taken off.
- The fee never falls while a vehicle stands.

Prices of Hanoi: Quyết định 44/2017/QĐ-UBND; which rule holds on which day is said by dated rows of the lot
(`foundation.dated`), never here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from foundation.errors import Refusal
from foundation.money import CHARGE_MAX_VND

HOURS_MAX = 8_784
MINUTES_A_DAY = 1_440
DAY_S = 86_400
TIMEZONE = "Asia/Ho_Chi_Minh"
_UTC_OFFSET_S = 7 * 3_600  # without daylight saving since 1975
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)


class Unit(StrEnum):
    """What a price is the price of."""

    FREE = "free"
    BLOCK = "block"  # a started hour, or however many minutes the rule says
    DAY = "day"  # a turn by day
    NIGHT = "night"  # a turn by night
    DAY_NIGHT = "day_night"  # a turn of up to 24 hours over day and night


@dataclass(frozen=True)
class Part:
    """`quantity` units at `price_vnd` each: the `first` to the `last` unit of the stay, counted from 1.

    Two hours at the first price are (BLOCK, 60 minutes, 2 × 25,000, first 1, last 2): "2 × 25.000 ₫ (giờ 1–2)".
    `unit_minutes` is the length of a BLOCK and of what is FREE, and None for turns.
    """

    unit: Unit
    unit_minutes: int | None
    first: int
    last: int
    price_vnd: int

    @property
    def quantity(self) -> int:
        return self.last - self.first + 1

    @property
    def sum_vnd(self) -> int:
        return self.quantity * self.price_vnd


@dataclass(frozen=True)
class Fee:
    """What a stay costs, in đồng, and the parts it is the sum of, in the order of the stay."""

    amount_vnd: int
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Band:
    """The price of each started block up to the end of that hour of the stay; None: of all that follow."""

    up_to_hour: int | None
    price_vnd: int


@dataclass(frozen=True)
class HourBands:
    """Each started block of `block_minutes` costs the price of the band in which it begins.

    {"kind": "hour_bands", "bands": [{"up_to_hour": 2, "price_vnd": 25000}, {"up_to_hour": null, "price_vnd": 35000}],
    "block_minutes": 60, "free_minutes": 0}; the last two may be left out. Bands end where a block ends, the last one
    never. "60,000 per 2 hours" is one band of blocks of 120 minutes.
    """

    bands: tuple[Band, ...]
    block_minutes: int = 60
    free_minutes: int = 0


@dataclass(frozen=True)
class DayNight:
    """A price per turn by day, by night, and for up to 24 hours over both.

    {"kind": "day_night", "day_vnd": 5000, "night_vnd": 8000, "day_night_vnd": 12000, "day_from": "06:00",
    "day_to": "18:00", "timezone": "Asia/Ho_Chi_Minh", "free_minutes": 0}; the last one may be left out. Day is
    [day_from, day_to), night is the rest; other timezones are refused, as the tablet carries no table of them.

    The stay is cut into blocks of 24 hours from its entry. Each full block costs `day_night_vnd`. What remains costs
    `day_vnd` if it lies wholly in one day, `night_vnd` if wholly in one night, otherwise the smaller of both together
    and `day_night_vnd`.
    """

    day_vnd: int
    night_vnd: int
    day_night_vnd: int
    day_from_minute: int
    day_to_minute: int
    free_minutes: int = 0


Rule = HourBands | DayNight


class LeftBeforeEntered(Refusal):
    """A vehicle cannot leave before it has come."""


class TimeWithoutZone(Refusal):
    """A time was given without its timezone."""

    status = 422


class BadTariff(Refusal):
    """This tariff cannot be used: {field} ({reason}).

    `reason` is one of: missing, unknown, not_a_whole_number, out_of_range, not_a_time, not_a_list, not_an_object,
    gap (bands do not follow one another or do not end open), within_a_block (a band ends inside a block),
    falls (24 hours would cost less than a part of them).
    """

    status = 422


def fee(rule: Rule, *, entered_at: datetime, left_at: datetime) -> Fee:
    """What a stay from `entered_at` until `left_at` costs. Raises LeftBeforeEntered and TimeWithoutZone."""
    entered_s, left_s = _seconds(entered_at), _seconds(left_at)
    if left_s < entered_s:
        raise LeftBeforeEntered()
    parts = tuple(_parts(rule, entered_s, left_s))
    return Fee(amount_vnd=sum(part.sum_vnd for part in parts), parts=parts)


def next_change(rule: Rule, *, entered_at: datetime, at: datetime) -> datetime | None:
    """The last second (UTC) at which a stay still costs what it costs at `at`; None if it never costs more.

    Leaving then is in time, leaving one second later costs more. Raises like `fee`.
    """
    entered_s, at_s = _seconds(entered_at), _seconds(at)
    now_vnd = fee(rule, entered_at=entered_at, left_at=at).amount_vnd
    for end_s in sorted(_ends(rule, entered_s, at_s)):
        if sum(part.sum_vnd for part in _parts(rule, entered_s, end_s + 1)) > now_vnd:
            return _EPOCH + timedelta(seconds=end_s)
    return None


def rule_from_json(value: object) -> Rule:
    """The rule that a JSON object describes. Raises BadTariff, naming field and reason, for anything not exactly right.

    Only whole numbers are prices: 25000.0, true and "25000" are not. Unknown fields are refused.
    """
    rule = _object(value, "tariff")
    match rule.get("kind"):
        case "hour_bands":
            return _hour_bands(rule)
        case "day_night":
            return _day_night(rule)
        case kind:
            raise BadTariff(field="kind", reason="missing" if kind is None else "unknown")


def _parts(rule: Rule, entered_s: int, left_s: int) -> Iterator[Part]:
    if rule.free_minutes and left_s - entered_s <= rule.free_minutes * 60:
        yield Part(Unit.FREE, rule.free_minutes, 1, 1, 0)
    elif isinstance(rule, HourBands):
        yield from _blocks(rule, entered_s, left_s)
    else:
        yield from _turns(rule, entered_s, left_s)


def _blocks(rule: HourBands, entered_s: int, left_s: int) -> Iterator[Part]:
    started = max(1, -((entered_s - left_s) // (rule.block_minutes * 60)))
    first = 1
    for band in rule.bands:
        last = started if band.up_to_hour is None else min(started, band.up_to_hour * 60 // rule.block_minutes)
        if first <= last:
            yield Part(Unit.BLOCK, rule.block_minutes, first, last, band.price_vnd)
            first = last + 1


def _turns(rule: DayNight, entered_s: int, left_s: int) -> Iterator[Part]:
    full, rest_s = divmod(left_s - entered_s, DAY_S)
    begins_s = left_s - rest_s
    by_day = _is_day(rule, begins_s)
    if left_s <= _period_end(rule, begins_s):
        if full:
            yield Part(Unit.DAY_NIGHT, None, 1, full, rule.day_night_vnd)
        if rest_s or not full:
            yield _turn(rule, by_day, full + 1)
    elif rule.day_vnd + rule.night_vnd < rule.day_night_vnd:
        if full:
            yield Part(Unit.DAY_NIGHT, None, 1, full, rule.day_night_vnd)
        yield _turn(rule, by_day, full + 1)
        yield _turn(rule, not by_day, full + 2)
    else:
        yield Part(Unit.DAY_NIGHT, None, 1, full + 1, rule.day_night_vnd)


def _turn(rule: DayNight, by_day: bool, number: int) -> Part:
    if by_day:
        return Part(Unit.DAY, None, number, number, rule.day_vnd)
    return Part(Unit.NIGHT, None, number, number, rule.night_vnd)


def _is_day(rule: DayNight, at_s: int) -> bool:
    return rule.day_from_minute * 60 <= (at_s + _UTC_OFFSET_S) % DAY_S < rule.day_to_minute * 60


def _period_end(rule: DayNight, at_s: int) -> int:
    """The first second after `at_s` at which day becomes night or night becomes day."""
    into_day_s = (at_s + _UTC_OFFSET_S) % DAY_S
    changes = (rule.day_from_minute * 60, rule.day_to_minute * 60, rule.day_from_minute * 60 + DAY_S)
    return at_s - into_day_s + next(change for change in changes if change > into_day_s)


def _ends(rule: Rule, entered_s: int, at_s: int) -> Iterator[int]:
    """Every second, not before `at_s`, after which the next rise can come."""
    counted_s = max(at_s, entered_s + rule.free_minutes * 60)
    yield counted_s
    if isinstance(rule, HourBands):
        block_s = rule.block_minutes * 60
        yield entered_s + max(1, -((entered_s - counted_s) // block_s)) * block_s
        for band in rule.bands:
            if band.up_to_hour is not None and entered_s + band.up_to_hour * 3_600 >= counted_s:
                yield entered_s + band.up_to_hour * 3_600
    else:
        # A turn may be free: then the rise can wait for the end of the next block, but no longer.
        block_end_s = entered_s + max(1, -((entered_s - counted_s) // DAY_S)) * DAY_S
        # The full block itself can cost more than its last second did, where 24 hours cost more than day and night.
        yield from (block_end_s - 1, block_end_s, block_end_s + DAY_S - 1)
        change_s = counted_s - 1
        for _ in range(5):
            change_s = _period_end(rule, change_s)
            yield change_s


def _seconds(at: datetime) -> int:
    if at.utcoffset() is None:
        raise TimeWithoutZone()
    return (at - _EPOCH) // _SECOND


def _hour_bands(value: Mapping[str, Any]) -> HourBands:
    _only(value, "", required=("kind", "bands"), optional=("block_minutes", "free_minutes"))
    block_minutes = _whole(value.get("block_minutes", 60), "block_minutes", 1, MINUTES_A_DAY)
    bands = tuple(_bands(value["bands"], block_minutes))
    return HourBands(bands=bands, block_minutes=block_minutes, free_minutes=_free_minutes(value))


def _bands(value: object, block_minutes: int) -> Iterator[Band]:
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        raise BadTariff(field="bands", reason="not_a_list")
    if not value:
        raise BadTariff(field="bands", reason="gap")
    before = 0
    for number, item in enumerate(value):
        field = f"bands[{number}]"
        band = _object(item, field)
        _only(band, f"{field}.", required=("up_to_hour", "price_vnd"))
        price_vnd = _whole(band["price_vnd"], f"{field}.price_vnd", 0, CHARGE_MAX_VND)
        if (band["up_to_hour"] is None) != (number == len(value) - 1):
            raise BadTariff(field=f"{field}.up_to_hour", reason="gap")
        if band["up_to_hour"] is None:
            yield Band(up_to_hour=None, price_vnd=price_vnd)
            return
        up_to_hour = _whole(band["up_to_hour"], f"{field}.up_to_hour", 1, HOURS_MAX)
        if up_to_hour <= before:
            raise BadTariff(field=f"{field}.up_to_hour", reason="gap")
        if up_to_hour * 60 % block_minutes:
            raise BadTariff(field=f"{field}.up_to_hour", reason="within_a_block")
        before = up_to_hour
        yield Band(up_to_hour=up_to_hour, price_vnd=price_vnd)


def _day_night(value: Mapping[str, Any]) -> DayNight:
    prices = ("day_vnd", "night_vnd", "day_night_vnd")
    _only(value, "", required=("kind", *prices, "day_from", "day_to", "timezone"), optional=("free_minutes",))
    day_vnd, night_vnd, day_night_vnd = (_whole(value[name], name, 0, CHARGE_MAX_VND) for name in prices)
    if day_night_vnd < max(day_vnd, night_vnd):
        raise BadTariff(field="day_night_vnd", reason="falls")
    if value["timezone"] != TIMEZONE:
        raise BadTariff(field="timezone", reason="unknown")
    day_from_minute, day_to_minute = (_minute_of_day(value[name], name) for name in ("day_from", "day_to"))
    if day_to_minute <= day_from_minute:
        raise BadTariff(field="day_to", reason="out_of_range")
    return DayNight(day_vnd, night_vnd, day_night_vnd, day_from_minute, day_to_minute, _free_minutes(value))


def _free_minutes(value: Mapping[str, Any]) -> int:
    return _whole(value.get("free_minutes", 0), "free_minutes", 0, MINUTES_A_DAY)


def _object(value: object, field: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise BadTariff(field=field, reason="not_an_object")
    return value


def _only(value: Mapping[str, Any], path: str, *, required: Sequence[str], optional: Sequence[str] = ()) -> None:
    for name in required:
        if name not in value:
            raise BadTariff(field=path + name, reason="missing")
    for name in value:
        if name not in (*required, *optional):
            raise BadTariff(field=f"{path}{name}", reason="unknown")


def _whole(value: object, field: str, low: int, high: int) -> int:
    # `type` and not `isinstance`: True is an int to Python.
    if type(value) is not int:
        raise BadTariff(field=field, reason="not_a_whole_number")
    if not low <= value <= high:
        raise BadTariff(field=field, reason="out_of_range")
    return value


def _minute_of_day(value: object, field: str) -> int:
    if not isinstance(value, str) or re.fullmatch("([01][0-9]|2[0-3]):[0-5][0-9]", value) is None:
        raise BadTariff(field=field, reason="not_a_time")
    return int(value[:2]) * 60 + int(value[3:])
