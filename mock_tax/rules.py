"""What the practice office demands of a document. Pure; nothing here is shared with who sends them."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

Number = Annotated[int, Field(strict=True, ge=1, lt=10**12)]
Vnd = Annotated[int, Field(strict=True, ge=0, lt=10**12)]
Form = Annotated[str, Field(pattern="^[0-9A-Z][0-9A-Z/-]{0,10}$")]
Symbol = Annotated[str, Field(pattern="^[0-9A-Z][0-9A-Z/-]{1,14}$")]


class In(BaseModel):
    """Something sent to the office: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")


class Name(In):
    """How a document is known, beside its issuer."""

    form: Form
    symbol: Symbol
    number: Number


class Buyer(In):
    tax_code: str = Field(max_length=14)
    name: str = Field(min_length=1, max_length=400)


class Issue(Name):
    """A receipt or an invoice."""

    what: Literal["issue"]
    kind: Literal["receipt", "invoice"]
    sold_at: AwareDatetime
    issued_at: AwareDatetime
    item: str = Field(min_length=1, max_length=500)
    amount_vnd: Vnd
    vat_bp: Annotated[int, Field(strict=True, ge=0, le=5000)]
    vat_vnd: Vnd
    means: str = Field(max_length=20)
    buyer: Buyer | None
    replaces: Name | None
    look_up: str = Field(max_length=60)


class Cancel(Name):
    """That a document is cancelled."""

    what: Literal["cancel"]
    at: AwareDatetime
    reason: str = Field(min_length=1, max_length=300)


class Question(Name):
    what: Literal["issue", "cancel"]


class Message(In):
    issuer: str = Field(pattern=r"^\d{10}(-\d{3})?$")
    items: list[Annotated[Issue | Cancel, Field(discriminator="what")]] = Field(max_length=200)


class Questions(In):
    issuer: str = Field(pattern=r"^\d{10}(-\d{3})?$")
    items: list[Question] = Field(max_length=200)


def fault_of(document: Issue) -> str | None:
    """Why a document cannot be taken, by itself; None if it can."""
    if not document.amount_vnd:
        return "no_amount"
    if document.kind == "receipt" and document.vat_vnd:
        return "fee_with_vat"
    # Net × (1 + rate) is the amount, to half a đồng.
    net = document.amount_vnd - document.vat_vnd
    if abs(net * document.vat_bp - document.vat_vnd * 10_000) * 2 > 10_000 + document.vat_bp:
        return "vat_differs"
    if document.issued_at < document.sold_at:
        return "issued_before_sale"
    if document.buyer is not None and not _is_tax_code(document.buyer.tax_code):
        return "buyer_unknown"
    return None


def _is_tax_code(code: str) -> bool:
    if re.fullmatch(r"\d{12}", code, re.ASCII):
        return True
    if not re.fullmatch(r"\d{10}(-\d{3})?", code, re.ASCII):
        return False
    digits = [int(sign) for sign in code[:10]]
    checked = 31 * digits[0] + 29 * digits[1] + 23 * digits[2] + 19 * digits[3] + 17 * digits[4] + 13 * digits[5]
    checked += 7 * digits[6] + 5 * digits[7] + 3 * digits[8]
    return (checked + digits[9]) % 11 == 10
