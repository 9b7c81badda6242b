"""A contract as finance reads it: its terms in plain words, and what comes of an example sale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal
from uuid import UUID

from foundation import texts
from foundation.money import format_vnd
from payments import share
from payments.contract import FEE_MEANS, ContractView, PayeeView, Rent, in_force
from payments.finance.words import word
from payments.share import BP, Fee, Part

EXAMPLE_VND = 70_000
Standing = Literal["proposed", "withdrawn", "in_force", "later", "former"]


@dataclass(frozen=True, slots=True)
class Names:
    """How payees and lots are called in a language."""

    language: str
    payees: Mapping[UUID, PayeeView]
    lots: Mapping[int, Any]

    def payee(self, id: UUID) -> str:
        return self.payees[id].name(self.language)

    def lot(self, place: int) -> str:
        return f"{self.lots[place]['name_vi' if self.language == 'vi' else 'name_en']} ({self.lots[place]['code']})"

    def say(self, key: str, **facts: object) -> str:
        return texts.text(self.language, f"finance.contract.{key}", **facts)

    def vnd(self, amount_vnd: int) -> str:
        return format_vnd(amount_vnd, self.language)

    def percent(self, bp: int) -> str:
        return f"{decimal(bp, self.language)}\N{NO-BREAK SPACE}%"


@dataclass(frozen=True, slots=True)
class Example:
    """What comes of a sale: everybody's part, the seller's whole part and what of it is held back, the fee by means."""

    amount_vnd: int
    parts: Sequence[Part]
    sellers_vnd: int
    held_vnd: int
    fees: Mapping[str, Fee]


@dataclass(frozen=True, slots=True)
class Shown:
    """A contract on a page: how it stands today, until when it holds, and its terms, each a code and lines of words."""

    view: ContractView
    standing: Standing
    until: date | None
    terms: Mapping[str, Sequence[str]]
    example: Example


def decimal(bp: int, language: str) -> str:
    """Basis points as percent, no more decimals than needed: 1,8 in Vietnamese, 1.8 elsewhere."""
    whole, rest = divmod(bp, 100)
    return f"{whole}{',' if language == 'vi' else '.'}{rest:02}".rstrip("0") if rest else str(whole)


def shown(found: Sequence[ContractView], names: Names, today: date) -> list[Shown]:
    """All contracts as pages show them, in their order."""
    return [
        Shown(view, standing(view, found, today), _until(view, found), _terms(view, names), _example(view))
        for view in found
    ]


def standing(view: ContractView, found: Sequence[ContractView], today: date) -> Standing:
    """What a contract is on a day, among all of them."""
    if view.state != "agreed":
        return "proposed" if view.state == "proposed" else "withdrawn"
    holding = in_force(found, view.said.service, today)
    if holding is not None and holding.id == view.id:
        return "in_force"
    return "later" if view.said.valid_from > today else "former"


def _until(view: ContractView, found: Sequence[ContractView]) -> date | None:
    """The last day of an agreed contract; None while nothing agreed follows it."""
    follow = [
        each.said.valid_from
        for each in found
        if each.state == "agreed"
        and each.said.service == view.said.service
        and each.said.valid_from > view.said.valid_from
    ]
    return min(follow) - timedelta(days=1) if view.state == "agreed" and follow else None


def _terms(view: ContractView, names: Names) -> dict[str, list[str]]:
    said = view.said
    sums = [
        names.say("of_each_sale", payee=names.payee(part.payee_id), sum=names.vnd(part.sum_vnd))
        for part in said.entitlements
        if part.sum_vnd
    ]
    shares = [
        f"{names.payee(part.payee_id)}: {names.percent(part.share_bp)}" for part in said.entitlements if part.share_bp
    ]
    fees = []
    for means in FEE_MEANS:
        term = said.fees.get(means)
        if term is not None:
            price = [*([names.percent(term.bp)] if term.bp else []), *([names.vnd(term.vnd)] if term.vnd else [])]
            fees.append(f"{word(names.language, 'means', means)}: {' + '.join(price or [names.vnd(0)])}")
    none = texts.text(names.language, "finance.none")
    return {
        "sums": sums or [none],
        "vat": [names.say("vat_in_price", percent=names.percent(said.vat_bp))] if said.vat_bp else [none],
        "shares": shares,
        "fees": fees or [none],
        "fee_vat": [names.percent(said.fee_vat_bp)] if said.fee_vat_bp else [none],
        "fees_returned": [texts.text(names.language, "common.yes" if said.fees_returned else "common.no")],
        "hold_back": [names.say("hold_back", percent=names.percent(said.hold_back_bp), n=said.hold_back_days)]
        if said.hold_back_bp
        else [none],
        "due_days": [str(said.due_days)],
        **({"rents": [_rent(rent, names) for rent in said.rents] or [none]} if said.service == "parking" else {}),
    }


def _rent(rent: Rent, names: Names) -> str:
    return names.say(
        "rent",
        lot=names.lot(rent.place),
        area=rent.area_m2,
        price=names.vnd(rent.vnd_per_m2_month),
        sum=names.vnd(rent.month_vnd),
        day=rent.due_day,
        payee=names.payee(rent.payee_id),
    )


def _example(view: ContractView) -> Example:
    parts = share.of_sale(EXAMPLE_VND, view.terms)
    sellers_vnd = sum(part.amount_vnd for part in parts if part.payee_id == view.terms.seller)
    return Example(
        EXAMPLE_VND,
        parts,
        sellers_vnd,
        sellers_vnd * view.said.hold_back_bp // BP,
        {means: share.fee_of(EXAMPLE_VND, means, view.terms) for means in FEE_MEANS},
    )
