"""Transactions: a customer pays onto a collection account; the account's owner lists what was booked.

The list is in the order of booking. A line may appear in it late, with its old number; see `list_transactions`.
"""

from __future__ import annotations

import base64
import json
import re
from datetime import date, datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

import asyncpg
from fastapi import APIRouter, Query, Response
from pydantic import AwareDatetime, BaseModel, Field, model_validator

from mock_bank import failpoint, faults, language, memo, vietqr
from mock_bank.account import AccountInPath, AccountNumber, Bin, BinInPath, Name, Printable, UnknownAccount
from mock_bank.database import Database
from mock_bank.later import Clerk
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


class Booked(BaseModel):
    """What every booked transaction says."""

    bin: str
    account: str
    direction: Literal["credit", "debit"]
    amount_vnd: int
    text: str
    booked_at: Annotated[str, Field(json_schema_extra={"format": "date-time"})]


class Transaction(Booked):
    """A payment, as its payer is shown it."""

    bank_ref: str
    payer_name: str
    payer_bin: str
    payer_account: str


class PaymentOut(Transaction):
    id: UUID


class Line(Booked):
    """A transaction as the account's owner is told of it, in a notice and in the list alike.

    A bank in trouble tells no `bank_ref` or no payer (see faults). What is no payment says its `kind`; `relates_to` is
    then the bank_ref of the line that it takes back, gives back or returns.
    """

    bank_ref: str | None = None
    payer_name: str | None = None
    payer_bin: str | None = None
    payer_account: str | None = None
    kind: Literal["reversal", "refund", "refund_return", "payout", "payout_return"] | None = None
    relates_to: str | None = None
    refund_id: UUID | None = None
    payout_id: str | None = None
    payee_name: str | None = None
    payee_bin: str | None = None
    payee_account: str | None = None


class Lines(BaseModel):
    """A page of the list. `next_cursor` is where to go on, also when nothing is left for the moment."""

    items: list[Line]
    next_cursor: str
    has_more: bool


class Balance(BaseModel):
    """One day of an account: opening + credits − debits = closing. All that is booked counts, listed or not."""

    bin: str
    account: str
    day: date
    as_of: datetime
    opening_vnd: int
    credits_vnd: int
    credits: int
    debits_vnd: int
    debits: int
    closing_vnd: int


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
    failpoint.here("bank.booked.before")
    row = await db.fetchrow(
        "SELECT outcome, shown FROM mock_bank.book($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        payment_id,
        json.dumps(request),
        bin,
        account,
        amount_vnd,
        json.dumps(
            memo.arrivals(text, seed=payment_id, payer_name=payer.name, payer_account=payer.account, account=account)
        ),
        payer.name,
        payer.bin,
        payer.account,
    )
    failpoint.here("bank.booked.after")
    assert row is not None
    if row["outcome"] == "unknown_account":
        raise UnknownAccount(bin=bin, account=account)
    if row["outcome"] == "other_body":
        raise OtherPayment
    return PaymentOut(id=payment_id, **json.loads(row["shown"])), row["outcome"] == "replayed"


async def list_booked(
    db: asyncpg.Pool[Any], *, bin: str, account: str, after: str | None, since: datetime | None, limit: int
) -> Lines:
    """What was booked after the cursor, and not before `since`, in the order of booking."""
    seen = 0 if after is None else _number(after, bin=bin, account=account)
    overlap = int(await db.fetchval("SELECT mock_bank.struck('list_overlap')") or 0)
    rows = await db.fetch(
        """SELECT t.number, mock_bank.told(t) AS told FROM mock_bank.transaction t
            WHERE bin = $1 AND account = $2 AND number > $3 AND booked_at >= coalesce($4, booked_at)
              AND (visible_at IS NULL OR visible_at <= (SELECT mock_bank.now()))
            ORDER BY number LIMIT $5""",
        bin,
        account,
        seen - min(overlap, limit - 1),  # at least one item of a page is new
        since,
        limit + 1,
    )
    if not rows and not await db.fetchval(
        "SELECT true FROM mock_bank.account WHERE bin = $1 AND account = $2", bin, account
    ):
        raise UnknownAccount(bin=bin, account=account)
    page = rows[:limit]
    return Lines(
        items=[Line(**json.loads(row["told"])) for row in page],
        next_cursor=_cursor(max(seen, page[-1]["number"] if page else 0), bin=bin, account=account),
        has_more=len(rows) > limit,
    )


async def balance_of(db: asyncpg.Pool[Any], *, bin: str, account: str, day: date | None) -> Balance:
    """The account's balance over a day in Hanoi; None: today, as of now."""
    row = await db.fetchrow(
        "SELECT mock_bank.now() AS as_of FROM mock_bank.account WHERE bin = $1 AND account = $2", bin, account
    )
    if row is None:
        raise UnknownAccount(bin=bin, account=account)
    as_of = row["as_of"].astimezone(language.HANOI)
    day = day or as_of.date()
    begins = datetime(day.year, day.month, day.day, tzinfo=language.HANOI)
    sums = await db.fetchrow(
        """SELECT coalesce(sum(CASE direction WHEN 'credit' THEN amount_vnd ELSE -amount_vnd END)
                             FILTER (WHERE booked_at < $3), 0)::bigint AS opening_vnd,
                  coalesce(sum(amount_vnd) FILTER (WHERE booked_at >= $3 AND direction = 'credit'), 0)::bigint
                      AS credits_vnd,
                  count(*) FILTER (WHERE booked_at >= $3 AND direction = 'credit') AS credits,
                  coalesce(sum(amount_vnd) FILTER (WHERE booked_at >= $3 AND direction = 'debit'), 0)::bigint
                      AS debits_vnd,
                  count(*) FILTER (WHERE booked_at >= $3 AND direction = 'debit') AS debits
             FROM mock_bank.transaction WHERE bin = $1 AND account = $2 AND booked_at < $4""",
        bin,
        account,
        begins,
        begins + timedelta(days=1),
    )
    assert sums is not None
    closing_vnd = sums["opening_vnd"] + sums["credits_vnd"] - sums["debits_vnd"]
    return Balance(bin=bin, account=account, day=day, as_of=as_of, closing_vnd=closing_vnd, **dict(sums))


async def of_payments(db: asyncpg.Pool[Any], ids: list[UUID]) -> list[Transaction]:
    """What these payments became; those that were never made are left out."""
    rows = await db.fetch(
        "SELECT mock_bank.shown(t) AS shown FROM mock_bank.transaction t WHERE payment_id = ANY($1) ORDER BY number",
        ids,
    )
    return [Transaction(**json.loads(row["shown"])) for row in rows]


async def history(db: asyncpg.Pool[Any], payer: Payer = PRACTICE_CUSTOMER, limit: int = 50) -> list[Any]:
    """The payer's newest transactions with the other side's names, newest first; `came`: the money came back."""
    return await db.fetch(
        """SELECT t.*, a.owner_name
             FROM ((SELECT false AS came, bin, account, bank_ref, amount_vnd, text, booked_at, recorded_at
                      FROM mock_bank.transaction WHERE payer_bin = $1 AND payer_account = $2 AND kind = 'payment'
                     ORDER BY recorded_at DESC LIMIT $3)
                   UNION ALL
                   (SELECT true, bin, account, bank_ref, amount_vnd, text, booked_at, recorded_at
                      FROM mock_bank.transaction WHERE payee_bin = $1 AND payee_account = $2
                     ORDER BY recorded_at DESC LIMIT $3)) t
             JOIN mock_bank.account a USING (bin, account)
            ORDER BY recorded_at DESC LIMIT $3""",
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


router = APIRouter(prefix="/api/v1", tags=["transactions"], route_class=StrictRoute, dependencies=[faults.Behaving])


@router.post("/payments", status_code=201)
async def make_payment(
    wanted: PaymentIn, response: Response, db: Database, sender: Sender, clerk: Clerk, key: ApiKey
) -> PaymentOut:
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
    clerk.wake()
    await faults.lose_answer(db, "lose_payment_answers")
    if replayed:
        response.headers["idempotent-replayed"] = "true"
    return payment


@router.get("/transactions", response_model_exclude_unset=True)
async def list_transactions(
    bank_bin: Annotated[str, Query(alias="bin", pattern="^[0-9]{6}$")],
    account: Annotated[str, Query(pattern="^[0-9A-Za-z]{1,19}$")],
    db: Database,
    key: ApiKey,
    after: Annotated[str | None, Query(max_length=200)] = None,
    since: Annotated[AwareDatetime | None, Query(description="Only what was booked at this time or later.")] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> Lines:
    """Everything booked on an account, in the order of booking.

    `after` walks on from a cursor. An item may be told twice: know it again by its bank_ref. As a rule nothing appears
    behind a cursor; but a bank in trouble lists an item late, up to one hour after `booked_at` by the bank's time,
    with the number of its booking, and then a cursor that has passed it never tells it. So nothing is lost by a client
    that each time begins anew, without a cursor, at `since` = the time of its last complete walk less an hour and a
    little, and walks to the end (`has_more` false).
    """
    return await list_booked(db, bin=bank_bin, account=account, after=after, since=since, limit=limit)


@router.get("/accounts/{bank_bin}/{account}/balance")
async def see_balance(
    bank_bin: BinInPath,
    account: AccountInPath,
    db: Database,
    key: ApiKey,
    day: Annotated[date | None, Query(description="A day in Hanoi; today if left out.")] = None,
) -> Balance:
    """The day's opening balance, what came and went, and the closing balance; of today as of now.

    What is booked counts at once, also what the list still keeps back: a closing balance that the list does not explain
    means that something is missing from the list.
    """
    return await balance_of(db, bin=bank_bin, account=account, day=day)
