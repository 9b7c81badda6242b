"""Who gets what of one sale: pure calculation over the terms of a contract, in whole đồng, and nothing is lost.

Of an amount first the agreed sums go, then the VAT contained in the price (it is the seller's to pay on), and the rest is
divided by shares. Every division is by largest remainder, so the parts always add up to the whole. The fee for taking the
money is the seller's; it contains its own VAT. What is given back takes from every part in proportion to what is left of
it, so that a sale given back in any number of steps ends at nothing for everybody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal
from uuid import UUID

BP = 10_000
"""Basis points in a whole: 1 bp is a hundredth of a percent."""

PartKind = Literal["sum", "vat", "share"]


@dataclass(frozen=True, slots=True)
class Entitlement:
    """What a payee gets of each sale: a fixed sum, or a share (bp) of what remains; never both."""

    payee_id: UUID
    sum_vnd: int = 0
    share_bp: int = 0


@dataclass(frozen=True, slots=True)
class FeeTerm:
    """What taking money by one means costs the seller, VAT included: bp of the amount plus a fixed sum."""

    bp: int = 0
    vnd: int = 0


@dataclass(frozen=True, slots=True)
class Terms:
    """What a contract says of one sale. `seller` keeps the VAT and pays the fees, `platform` gets them."""

    seller: UUID
    platform: UUID | None
    entitlements: Sequence[Entitlement]
    vat_bp: int = 0
    fees: Mapping[str, FeeTerm] = field(default_factory=dict)
    fee_vat_bp: int = 0
    fees_returned: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """A payee's part of a sale."""

    payee_id: UUID
    kind: PartKind
    amount_vnd: int


@dataclass(frozen=True, slots=True)
class Fee:
    """What the seller pays the platform for a sale; `vat_vnd` is contained in `amount_vnd`."""

    amount_vnd: int
    vat_vnd: int


def apportion(total_vnd: int, weights: Sequence[int]) -> list[int]:
    """Divides an amount (>= 0) in proportion to weights (>= 0, at least one positive): largest remainder, the earlier
    one first among equals. The parts add up to the amount, and none is a whole đồng or more from its exact part."""
    whole = sum(weights)
    if not whole:
        raise ValueError("nobody to divide among")
    parts = [total_vnd * weight // whole for weight in weights]
    order = sorted(range(len(weights)), key=lambda at: (-(total_vnd * weights[at] % whole), at))
    for at in order[: total_vnd - sum(parts)]:
        parts[at] += 1
    return parts


def vat_in(amount_vnd: int, vat_bp: int) -> int:
    """The VAT contained in a price, rounded half up."""
    return (2 * amount_vnd * vat_bp + BP + vat_bp) // (2 * (BP + vat_bp))


def of_sale(amount_vnd: int, terms: Terms) -> list[Part]:
    """The parts of a sale, in the order of the contract; parts of nothing are left out. They add up to the amount."""
    left_vnd = amount_vnd
    parts = []
    for entitled in terms.entitlements:
        if entitled.sum_vnd:
            parts.append(Part(entitled.payee_id, "sum", min(entitled.sum_vnd, left_vnd)))
            left_vnd -= parts[-1].amount_vnd
    vat_vnd = min(vat_in(amount_vnd, terms.vat_bp), left_vnd)
    parts.append(Part(terms.seller, "vat", vat_vnd))
    sharing = [entitled for entitled in terms.entitlements if entitled.share_bp]
    shares = apportion(left_vnd - vat_vnd, [entitled.share_bp for entitled in sharing])
    parts += [Part(entitled.payee_id, "share", share_vnd) for entitled, share_vnd in zip(sharing, shares, strict=True)]
    return [part for part in parts if part.amount_vnd]


def fee_of(amount_vnd: int, means: str, terms: Terms) -> Fee:
    """The fee for a sale paid by some means, rounded half up, at most the amount. No term for the means: no fee."""
    term = terms.fees.get(means)
    if term is None or terms.platform is None:
        return Fee(0, 0)
    fee_vnd = min((2 * amount_vnd * term.bp + BP) // (2 * BP) + term.vnd, amount_vnd)
    return Fee(fee_vnd, vat_in(fee_vnd, terms.fee_vat_bp))


def taken_back(amount_vnd: int, left: Sequence[int]) -> list[int]:
    """What a give-back takes from each part, of which so much is left; at most all of it. Adds up to the amount."""
    return apportion(amount_vnd, left) if amount_vnd else [0] * len(left)


@dataclass(frozen=True, slots=True)
class SoldLine:
    """A paid line, as it is divided: what it cost, what it was paid by, and the contract that holds for it."""

    charge_id: UUID
    line_no: int
    amount_vnd: int
    means: str
    contract_id: UUID
    terms: Terms


@dataclass(frozen=True, slots=True)
class Item:
    """A payee's part of one line, in one journal: of a sale (> 0), or of what was given back of it (< 0).

    Items of kind `fee` are the seller's loss and the platform's gain; `vat_vnd` is what of it is VAT.
    """

    journal_id: UUID
    charge_id: UUID
    line_no: int
    payee_id: UUID
    kind: PartKind | Literal["fee"]
    contract_id: UUID
    amount_vnd: int
    vat_vnd: int = 0


def items_of_sale(journal_id: UUID, lines: Sequence[SoldLine]) -> list[Item]:
    """A sale divided: without fees the items add up to its lines, the fees to nothing."""
    items = []
    for line in lines:
        where = journal_id, line.charge_id, line.line_no
        for part in of_sale(line.amount_vnd, line.terms):
            items.append(Item(*where, part.payee_id, part.kind, line.contract_id, part.amount_vnd))
        fee = fee_of(line.amount_vnd, line.means, line.terms)
        if fee.amount_vnd and line.terms.platform is not None:
            for payee_id, sign in ((line.terms.seller, -1), (line.terms.platform, 1)):
                items.append(Item(*where, payee_id, "fee", line.contract_id, sign * fee.amount_vnd, sign * fee.vat_vnd))
    return items


def items_of_give_back(
    journal_id: UUID, amount_vnd: int, left: Sequence[Item], returning_fees: frozenset[UUID]
) -> list[Item]:
    """What a give-back takes from everybody: `left` are the items of the sale less what was given back before.

    `returning_fees`: the contracts under which the platform gives its fee back as well, in proportion; a sale that is
    given back as a whole gives all of it back.
    """
    order = sorted(left, key=lambda item: (item.line_no, item.kind, item.payee_id))
    parts = [item for item in order if item.kind != "fee" and item.amount_vnd]
    left_vnd = sum(item.amount_vnd for item in parts)
    items = [
        Item(journal_id, item.charge_id, item.line_no, item.payee_id, item.kind, item.contract_id, -taken_vnd)
        for item, taken_vnd in zip(parts, taken_back(amount_vnd, [item.amount_vnd for item in parts]), strict=True)
        if taken_vnd
    ]
    for fee in (item for item in order if item.kind == "fee" and item.contract_id in returning_fees):
        sign = 1 if fee.amount_vnd > 0 else -1
        back_vnd, vat_vnd = (sign * (sign * each * amount_vnd // left_vnd) for each in (fee.amount_vnd, fee.vat_vnd))
        if back_vnd:
            where = journal_id, fee.charge_id, fee.line_no, fee.payee_id
            items.append(Item(*where, "fee", fee.contract_id, -back_vnd, -vat_vnd))
    return items
