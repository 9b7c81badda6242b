"""Transactions: a customer pays onto a collection account; the account's owner lists what was booked."""

from __future__ import annotations

import base64
import json
import re
from typing import Annotated, Any, Literal
from uuid import UUID

import asyncpg
from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field, model_validator

from mock_bank import memo, vietqr
from mock_bank.account import AccountNumber, Bin, Name, Printable, UnknownAccount
from mock_bank.database import Database
from mock_bank.notice import Sender
from mock_bank.refusal import Refusal
from mock_bank.vietqr import LARGEST_TRANSFER_VND
from mock_bank.web import ApiKey, In, StrictRoute


class OtherPayment(Refusal):
    """Another payment was already made under this id; this one was not made. Begin a new payment."""

    status = 422


class AmountMissing(Refusal):
    """The code names no amount, so the payer has to."""

    status = 400


class BadCursor(Refusal):
    """This cursor was not given by this list."""

    status = 400


class Payer(In):
    """Who pays. The default is the practice bank's own customer, who does not exist."""

    name: Name = "LE THI TAP SU"
    bin: Bin = "970436"
    account: AccountNumber = "0011009998887"


PRACTICE_CUSTOMER = Payer()


class PaymentIn(In):
    """Either a VietQR `code`, or `bin`, `account` and `text`. `id` makes the payment once, however often it is sent."""

    id: UUID
    code: Annotated[str, Field(min_length=1, max_length=600)] | None = None
    bin: Bin | None = None
    account: AccountNumber | None = None
    text: Annotated[Printable, Field(max_length=memo.LONGEST_TEXT)] | None = None
    amount_vnd: Annotated[int, Field(strict=True, ge=1, le=LARGEST_TRANSFER_VND)] | None = None
    payer: Payer = PRACTICE_CUSTOMER

    @model_validator(mode="after")
    def _code_or_account(self) -> PaymentIn:
        named = self.bin is not None and self.account is not None
        if (self.code is None) != named or (self.code is not None and (self.bin or self.account)):
            raise ValueError("either `code`, or `bin` and `account`")
        return self


class Transaction(BaseModel):
    """One booked transaction; the same in the notice, in the list and in the answer to a payment."""

    bank_ref: str
    bin: str
    account: str
    direction: Literal["credit", "debit"]
    amount_vnd: int
    text: str
    booked_at: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    payer_name: str
    payer_bin: str
    payer_account: str


class PaymentOut(Transaction):
    id: UUID


class Transactions(BaseModel):
    """A page of the list. `next_cursor` is where to go on, also when nothing is left for the moment."""

    items: list[Transaction]
    next_cursor: str
    has_more: bool


async def pay(
    db: asyncpg.Pool[Any],
    *,
    payment_id: UUID,
    bin: str,
    account: str,
    amount_vnd: int,
    text: str,
    payer: Payer = PRACTICE_CUSTOMER,
) -> tuple[PaymentOut, bool]:
    """Book the payment once; True: it had been booked before. OtherPayment if the id was used for another one."""
    request = {"bin": bin, "account": account, "amount_vnd": amount_vnd, "text": text, "payer": payer.model_dump()}
    row = await db.fetchrow(
        "SELECT outcome, shown FROM mock_bank.book($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        payment_id,
        json.dumps(request),
        bin,
        account,
        amount_vnd,
        text,
        memo.dirtied(text, seed=payment_id, payer_name=payer.name, payer_account=payer.account, account=account),
        payer.name,
        payer.bin,
        payer.account,
    )
    assert row is not None
    if row["outcome"] == "unknown_account":
        raise UnknownAccount(bin=bin, account=account)
    if row["outcome"] == "other_body":
        raise OtherPayment
    return PaymentOut(id=payment_id, **json.loads(row["shown"])), row["outcome"] == "replayed"


async def list_booked(db: asyncpg.Pool[Any], *, bin: str, account: str, after: str | None, limit: int) -> Transactions:
    """What was booked after the cursor, in the order of booking; nothing ever appears before it later."""
    seen = 0 if after is None else _number(after, bin=bin, account=account)
    rows = await db.fetch(
        """SELECT t.number, mock_bank.shown(t) AS shown FROM mock_bank.transaction t
            WHERE bin = $1 AND account = $2 AND number > $3 ORDER BY number LIMIT $4""",
        bin,
        account,
        seen,
        limit + 1,
    )
    if not rows and not await db.fetchval(
        "SELECT true FROM mock_bank.account WHERE bin = $1 AND account = $2", bin, account
    ):
        raise UnknownAccount(bin=bin, account=account)
    page = rows[:limit]
    return Transactions(
        items=[Transaction(**json.loads(row["shown"])) for row in page],
        next_cursor=_cursor(page[-1]["number"] if page else seen, bin=bin, account=account),
        has_more=len(rows) > limit,
    )


async def of_payments(db: asyncpg.Pool[Any], ids: list[UUID]) -> list[Transaction]:
    """What these payments became; those that were never made are left out."""
    rows = await db.fetch(
        "SELECT mock_bank.shown(t) AS shown FROM mock_bank.transaction t WHERE payment_id = ANY($1) ORDER BY number",
        ids,
    )
    return [Transaction(**json.loads(row["shown"])) for row in rows]


async def history(db: asyncpg.Pool[Any], payer: Payer = PRACTICE_CUSTOMER, limit: int = 50) -> list[Any]:
    """The payer's newest transactions with the payees' names, newest first."""
    return await db.fetch(
        """SELECT t.bank_ref, t.amount_vnd, t.text, t.booked_at, a.owner_name, t.bin, t.account
             FROM mock_bank.transaction t JOIN mock_bank.account a USING (bin, account)
            WHERE payer_bin = $1 AND payer_account = $2 ORDER BY recorded_at DESC LIMIT $3""",
        payer.bin,
        payer.account,
        limit,
    )


def _cursor(number: int, *, bin: str, account: str) -> str:
    return base64.urlsafe_b64encode(f"{bin}:{account}:{number}".encode()).decode()


def _number(cursor: str, *, bin: str, account: str) -> int:
    try:
        plain = base64.b64decode(cursor, altchars=b"-_", validate=True).decode("ascii")
    except ValueError:
        raise BadCursor from None
    found = re.fullmatch(rf"{re.escape(bin)}:{re.escape(account)}:([0-9]{{1,18}})", plain)
    if found is None:
        raise BadCursor
    return int(found[1])


router = APIRouter(prefix="/api/v1", tags=["transactions"], route_class=StrictRoute)


@router.post("/payments", status_code=201)
async def make_payment(wanted: PaymentIn, response: Response, db: Database, sender: Sender, key: ApiKey) -> PaymentOut:
    """Pay as the customer's app does. Same `id` and content: the same answer again; other content: 422."""
    code = vietqr.read(wanted.code) if wanted.code is not None else None
    amount_vnd = wanted.amount_vnd or (code.amount_vnd if code else None)
    if amount_vnd is None:
        raise AmountMissing
    payment, replayed = await pay(
        db,
        payment_id=wanted.id,
        bin=code.bin if code else wanted.bin or "",
        account=code.account if code else wanted.account or "",
        amount_vnd=amount_vnd,
        text=wanted.text if wanted.text is not None else code.text if code else "",
        payer=wanted.payer,
    )
    sender.wake()
    if replayed:
        response.headers["idempotent-replayed"] = "true"
    return payment


@router.get("/transactions")
async def list_transactions(
    bank_bin: Annotated[str, Query(alias="bin", pattern="^[0-9]{6}$")],
    account: Annotated[str, Query(pattern="^[0-9A-Za-z]{1,19}$")],
    db: Database,
    key: ApiKey,
    after: Annotated[str | None, Query(max_length=200)] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> Transactions:
    """Everything booked on an account, in the order of booking."""
    return await list_booked(db, bin=bank_bin, account=account, after=after, limit=limit)
