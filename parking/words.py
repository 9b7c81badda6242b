"""A tariff and a fee in words, for people who want to know what they pay and why. Pure, in the reader's language."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from foundation.money import format_vnd
from foundation.texts import text
from parking.tariff import Fee, HourBands, Part, Rule, Unit


def tariff_rows(language: str, rule: Rule) -> list[tuple[str, int]]:
    """(when, price in VND) for each price of a rule: `("giờ 1–2, mỗi giờ", 25000)`."""
    return list(_bands(language, rule) if isinstance(rule, HourBands) else _turns(language, rule))


@lru_cache(maxsize=512)
def tariff_sentence(language: str, rule: Rule) -> str:
    """All prices of a rule in one line."""
    return "; ".join(f"{when}: {format_vnd(price_vnd, language)}" for when, price_vnd in tariff_rows(language, rule))


def fee_rows(language: str, counted: Fee) -> list[tuple[str, int]]:
    """(how it was counted, sum in VND) for each part of a fee: `("2 × 25.000 ₫ (giờ 1–2)", 50000)`."""
    return [(_part(language, part), part.sum_vnd) for part in counted.parts]


@lru_cache(maxsize=512)
def fee_sentence(language: str, counted: Fee) -> str:
    """How a fee was counted, in one line."""
    return " + ".join(said for said, _ in fee_rows(language, counted))


def _part(language: str, part: Part) -> str:
    if part.unit is Unit.FREE:
        return text(language, "parking.part.free", minutes=part.unit_minutes)
    unit = f"parking.part.{part.unit}"
    if part.unit is Unit.BLOCK:
        unit += "_hour" if part.unit_minutes == 60 else "_minutes"
    which = text(language, unit, span=_span(part.first, part.last), minutes=part.unit_minutes)
    return f"{part.quantity} × {format_vnd(part.price_vnd, language)} ({which})"


def _bands(language: str, rule: HourBands) -> Iterable[tuple[str, int]]:
    yield from _forgiven(language, rule)
    each = text(language, "parking.tariff.each_hour" if rule.block_minutes == 60 else "parking.tariff.each_minutes")
    each = each.format(minutes=rule.block_minutes)
    first = 1
    for band in rule.bands:
        if band.up_to_hour is None:
            hours = text(language, "parking.tariff.from_hour", first=first) if first > 1 else ""
        else:
            hours = text(language, "parking.tariff.hours", span=_span(first, band.up_to_hour))
            first = band.up_to_hour + 1
        yield (f"{hours}, {each}" if hours else each), band.price_vnd


def _turns(language: str, rule: Rule) -> Iterable[tuple[str, int]]:
    assert not isinstance(rule, HourBands)
    yield from _forgiven(language, rule)
    day_from, day_to = _clock(rule.day_from_minute), _clock(rule.day_to_minute)
    yield text(language, "parking.tariff.day", begins=day_from, ends=day_to), rule.day_vnd
    yield text(language, "parking.tariff.night", begins=day_to, ends=day_from), rule.night_vnd
    yield text(language, "parking.tariff.day_night"), rule.day_night_vnd


def _forgiven(language: str, rule: Rule) -> Iterable[tuple[str, int]]:
    if rule.free_minutes:
        yield text(language, "parking.tariff.free", minutes=rule.free_minutes), 0


def _span(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}–{last}"


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"
