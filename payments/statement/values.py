"""Amounts and days as banks write them. Each refuses with its place what it cannot read to the đồng and the day."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from functools import lru_cache

from foundation.hanoi import HANOI
from payments.statement import (
    Place,
    StatementAmountNegative,
    StatementAmountNotWhole,
    StatementAmountTooLarge,
    StatementAmountUnreadable,
    StatementDateUnreadable,
    shown,
)

DIGITS = 15
"""Of an amount or a balance, at most: what a spreadsheet keeps of a number, and a thousand times the largest transfer."""

_ISO_DAY = re.compile(r"(\d{4}-\d\d-\d\d)(?:Z|[+-]\d\d:\d\d)?", re.ASCII)
_ISO_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)?", re.ASCII)
_DAY_ZERO = {False: date(1899, 12, 30), True: date(1904, 1, 1)}
_OUR_CENTURY = range(2000, 2101)


def vnd(text: str, place: Place, field: str, *, decimal: str = ".", group: str = "", signed: bool = False) -> int:
    """Whole đồng of a number with these separators. Đồng have no smaller unit: decimals are zeros or refused, never cut."""
    if text.isascii() and text.isdigit():
        negative, digits = False, text
    else:
        found = _number(decimal, group).fullmatch(text)
        if found is None:
            raise StatementAmountUnreadable(**place.at(field), amount=shown(text))
        if (found["decimals"] or "").strip("0"):
            raise StatementAmountNotWhole(**place.at(field), amount=shown(text))
        negative, digits = found["sign"] not in ("", "+"), found["whole"]
        if group:
            digits = digits.replace(group, "")
    if len(digits) > DIGITS and len(digits.lstrip("0")) > DIGITS:
        raise StatementAmountTooLarge(**place.at(field), amount=shown(text), digits=DIGITS)
    if negative and not signed:
        raise StatementAmountNegative(**place.at(field), amount=shown(text))
    return -int(digits) if negative else int(digits)


def day(text: str, place: Place, field: str) -> date:
    """The day of an xs:date."""
    found = _iso_day(text)
    if found is None:
        raise StatementDateUnreadable(**place.at(field), text=shown(text), wanted="yyyy-mm-dd")
    return found


def instant(text: str, place: Place, field: str) -> datetime:
    """The Hanoi time of an xs:dateTime; a bank that names no zone means its own."""
    try:
        if not _ISO_INSTANT.fullmatch(text):
            raise ValueError
        at = datetime.fromisoformat(text)
        at = at.replace(tzinfo=HANOI) if at.tzinfo is None else at.astimezone(HANOI)
        if at.year not in _OUR_CENTURY:
            raise ValueError
    except (ValueError, OverflowError):
        wanted = "yyyy-mm-ddThh:mm:ss"
        raise StatementDateUnreadable(**place.at(field), text=shown(text), wanted=wanted) from None
    return at


def in_order(order: str, text: str) -> tuple[date, datetime | None] | None:
    """The day of "21/11/2026" in the order "dd/mm/yyyy", and the time where one stands behind it; None if it is none."""
    found = _ordered(order).fullmatch(text)
    if found is None:
        return None
    try:
        made = date(int(found["y"]), int(found["m"]), int(found["d"]))
        if made.year not in _OUR_CENTURY:
            return None
        if found["hour"] is None:
            return made, None
        seconds = int(found["second"] or 0)
        return made, datetime(
            made.year, made.month, made.day, int(found["hour"]), int(found["minute"]), seconds, 0, HANOI
        )
    except ValueError:
        return None


def from_serial(days: int, seconds: int, *, since_1904: bool) -> tuple[date, datetime | None] | None:
    """The day that a spreadsheet counts as a number of days, and the time if it is not midnight; None outside of ours."""
    try:
        made = _DAY_ZERO[since_1904] + timedelta(days)
    except OverflowError:
        return None
    if made.year not in _OUR_CENTURY:
        return None
    at = datetime(made.year, made.month, made.day, tzinfo=HANOI) + timedelta(seconds=seconds)
    return at.date(), at if seconds else None


@lru_cache(maxsize=1000)
def short_day(text: str) -> date | None:
    """The day of YYMMDD, in this century."""
    try:
        return date(2000 + int(text[:2]), int(text[2:4]), int(text[4:6]))
    except ValueError:
        return None


@lru_cache(maxsize=1000)
def nearest_day(month_and_day: str, to: date) -> date | None:
    """The day of MMDD that is nearest to another: 31 December is booked for a value day of 2 January the year before."""
    near = []
    for year in (to.year - 1, to.year, to.year + 1):
        try:
            near.append(date(year, int(month_and_day[:2]), int(month_and_day[2:])))
        except ValueError:
            continue
    return min(near, key=lambda one: abs(one - to), default=None)


@lru_cache(maxsize=1000)
def _iso_day(text: str) -> date | None:
    found = _ISO_DAY.fullmatch(text)
    try:
        made = date.fromisoformat(found[1]) if found else None
    except ValueError:
        return None
    return made if made and made.year in _OUR_CENTURY else None


@lru_cache
def _number(decimal: str, group: str) -> re.Pattern[str]:
    grouped = rf"\d{{1,3}}(?:{re.escape(group)}\d{{3}})+|" if group else ""
    return re.compile(
        rf"(?P<sign>[+\-−]?) ?(?P<whole>{grouped}\d+)(?:{re.escape(decimal)}(?P<decimals>\d*))?", re.ASCII
    )


@lru_cache
def _ordered(order: str) -> re.Pattern[str]:
    parts = {"dd": r"(?P<d>\d{1,2})", "mm": r"(?P<m>\d{1,2})", "yyyy": r"(?P<y>\d{4})"}
    pattern = "".join(parts.get(part) or re.escape(part) for part in re.split(r"(dd|mm|yyyy)", order))
    return re.compile(pattern + r"(?:[ T](?P<hour>\d{1,2}):(?P<minute>\d\d)(?::(?P<second>\d\d))?)?", re.ASCII)
