"""The form of a proposal: what a person typed, read to the basis point and the đồng, and filled from a contract.

Fields are named after what they are for: `share_<payee>`, `sum_<payee>`, `fee_percent_<means>`, `fee_vnd_<means>`, and for
each lot `area_`, `price_`, `due_day_` and `rent_to_<place>`. A field that is left empty stands for nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date
from uuid import UUID

from foundation.errors import Refusal
from payments.contract import FEE_MEANS, Proposal, Rent, TermsUnfit
from payments.finance.contract_words import decimal
from payments.share import BP, Entitlement, FeeTerm

TEXT_MAX = 200
SHOWN_MAX = 40
"""So much of what was typed is said again in a refusal."""


class FieldEmpty(Refusal):
    """Please fill in: {what}."""

    status = 422


class NotPercent(Refusal):
    """“{typed}” is no percentage: please write a number from 0 to 100 with at most two decimals, e.g. 12.5 ({what})."""

    status = 422


class NotWhole(Refusal):
    """“{typed}” is no whole number: please write digits only, at most nine, e.g. 35000 ({what})."""

    status = 422


class NotADay(Refusal):
    """“{typed}” is no day between 2000 and 2100 ({what})."""

    status = 422


class TextTooLong(Refusal):
    """Please be shorter: at most {most} characters in a field."""

    status = 422


def read(typed: Mapping[str, str]) -> Proposal:
    """What the form proposes. A refusal names its field as the fact `field`.

    Raises FieldEmpty, NotPercent, NotWhole, NotADay, TextTooLong, TermsUnfit.
    """
    text_of(typed, "paper", required="terms_paper")
    return Proposal(
        service=typed.get("service", ""),
        valid_from=_day(typed, "valid_from", "terms_first_day"),
        paper=typed["paper"].strip(),
        entitlements=_entitlements(typed),
        fees=_fees(typed),
        vat_bp=_percent(typed, "vat", "terms_vat"),
        fee_vat_bp=_percent(typed, "fee_vat", "terms_vat"),
        fees_returned=typed.get("fees_returned") == "true",
        hold_back_bp=_percent(typed, "hold_back", "terms_hold_back"),
        hold_back_days=_whole(typed, "hold_back_days", "terms_hold_back"),
        due_days=_whole(typed, "due_days", "terms_due_days", required=True),
        rents=_rents(typed),
    )


def filled(held: Proposal | None, *, service: str, first: date, language: str) -> dict[str, str]:
    """The form as it is opened: the terms that hold now, from another day on and under another number."""
    typed = {"service": service, "valid_from": first.isoformat(), "due_days": "1"}
    if held is None:
        return typed

    def percent(bp: int) -> str:
        return decimal(bp, language) if bp else ""

    typed |= {
        "vat": percent(held.vat_bp),
        "fee_vat": percent(held.fee_vat_bp),
        "hold_back": percent(held.hold_back_bp),
        "hold_back_days": str(held.hold_back_days or ""),
        "due_days": str(held.due_days),
    }
    if held.fees_returned:
        typed["fees_returned"] = "true"
    for part in held.entitlements:
        if part.sum_vnd:
            typed[f"sum_{part.payee_id}"] = str(part.sum_vnd)
        else:
            typed[f"share_{part.payee_id}"] = percent(part.share_bp)
    for means, term in held.fees.items():
        typed |= {f"fee_percent_{means}": percent(term.bp), f"fee_vnd_{means}": str(term.vnd or "")}
    for rent in held.rents:
        typed |= {
            f"area_{rent.place}": str(rent.area_m2),
            f"price_{rent.place}": str(rent.vnd_per_m2_month),
            f"due_day_{rent.place}": str(rent.due_day),
            f"rent_to_{rent.place}": str(rent.payee_id),
        }
    return typed


def text_of(typed: Mapping[str, str], field: str, *, required: str = "") -> str:
    """A text of a form, without blanks around it; `required` names what is missing if it is empty.

    Raises FieldEmpty, TextTooLong.
    """
    text = typed.get(field, "").strip()
    if required and not text:
        raise FieldEmpty(what=required, field=field)
    if len(text) > TEXT_MAX:
        raise TextTooLong(most=TEXT_MAX, field=field)
    return text


def _entitlements(typed: Mapping[str, str]) -> list[Entitlement]:
    found = []
    for payee in _behind(typed, "share_", "sum_"):
        sum_vnd, share_bp = _whole(typed, f"sum_{payee}", "terms_sum"), _percent(typed, f"share_{payee}", "terms_share")
        payee_id = _uuid(payee)
        found += [Entitlement(payee_id, sum_vnd=sum_vnd)] if sum_vnd else []
        found += [Entitlement(payee_id, share_bp=share_bp)] if share_bp else []
    return found


def _fees(typed: Mapping[str, str]) -> dict[str, FeeTerm]:
    terms = {
        means: FeeTerm(
            _percent(typed, f"fee_percent_{means}", "terms_fee"), _whole(typed, f"fee_vnd_{means}", "terms_fee")
        )
        for means in FEE_MEANS
    }
    return {means: term for means, term in terms.items() if term != FeeTerm()}


def _rents(typed: Mapping[str, str]) -> list[Rent]:
    """A lot without area and price pays no rent, whatever stands in its other fields."""
    rents = []
    for lot in _behind(typed, "area_", "price_"):
        area_m2, price_vnd = (
            _whole(typed, f"area_{lot}", "terms_rent"),
            _whole(typed, f"price_{lot}", "terms_rent"),
        )
        if not (area_m2 or price_vnd):
            continue
        if not re.fullmatch("[0-9]{1,9}", lot):
            raise TermsUnfit(which="terms_lot")
        due_day = _whole(typed, f"due_day_{lot}", "terms_due_day", required=True)
        rents.append(Rent(int(lot), _uuid(typed.get(f"rent_to_{lot}", "")), area_m2, price_vnd, due_day))
    return rents


def _behind(typed: Mapping[str, str], *prefixes: str) -> Iterable[str]:
    """What the fields are for whose names begin so, each once, in the order of the form."""
    return dict.fromkeys(name.removeprefix(prefix) for name in typed for prefix in prefixes if name.startswith(prefix))


def _percent(typed: Mapping[str, str], field: str, what: str) -> int:
    """Basis points, without ever being a fraction: `12,5`, `12.50` and `12.5 %` are 1,250."""
    text = typed.get(field, "").strip()
    if not text:
        return 0
    found = re.fullmatch(r"([0-9]{1,3})(?:[.,]([0-9]{1,2}))?\s*%?", text)
    bp = int(found[1]) * 100 + int((found[2] or "").ljust(2, "0")) if found else BP + 1
    if bp > BP:
        raise NotPercent(typed=text[:SHOWN_MAX], what=what, field=field)
    return bp


def _whole(typed: Mapping[str, str], field: str, what: str, *, required: bool = False) -> int:
    """`35.000` is thirty-five thousand for one reader and thirty-five for another: only digits are read."""
    text = typed.get(field, "").strip()
    if not text and required:
        raise FieldEmpty(what=what, field=field)
    if text and not re.fullmatch("[0-9]{1,9}", text):
        raise NotWhole(typed=text[:SHOWN_MAX], what=what, field=field)
    return int(text or 0)


def _day(typed: Mapping[str, str], field: str, what: str) -> date:
    text = typed.get(field, "").strip()
    if not text:
        raise FieldEmpty(what=what, field=field)
    try:
        day = date.fromisoformat(text) if re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", text) else None
    except ValueError:
        day = None
    if day is None or not 2000 <= day.year <= 2100:
        raise NotADay(typed=text[:SHOWN_MAX], what=what, field=field)
    return day


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise TermsUnfit(which="terms_payee") from error
