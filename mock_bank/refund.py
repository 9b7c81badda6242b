"""Refunds: money of the account's owner goes back to who paid it, once per id, however often it is asked for.

accepted → sent → settled | returned; or refused, for ever under that id. The debit is booked with the acceptance; what
a receiving bank returns comes back as a credit of its own.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import asyncpg
from fastapi import APIRouter, Response
from pydantic import ConfigDict, Field

from mock_bank import failpoint, faults, language, memo
from mock_bank.account import AccountNumber, Bin, Name, Printable, UnknownAccount
from mock_bank.database import Database
from mock_bank.later import Clerk
from mock_bank.notice import Sender
from mock_bank.refusal import Refusal
from mock_bank.vietqr import LARGEST_TRANSFER_VND
from mock_bank.web import ApiKey, In, StrictRoute


class OtherRefund(Refusal):
    """Another refund was already asked for under this id; this one was not made. Ask with a new id."""

    status = 422


class UnknownRefund(Refusal):
    """No refund was ever asked for under this id, so nothing was done."""

    status = 404


class UnknownOriginal(Refusal):
    """No payment with this bank reference ever came onto this account. Nothing was sent back."""


class MoreThanLeft(Refusal):
    """Of this payment {left_vnd} đồng are left to send back. Nothing was sent back."""


class InsufficientBalance(Refusal):
    """The account holds {balance_vnd} đồng, less than is to be sent back. Nothing was sent back."""


class CannotSendBack(Refusal):
    """The payer's account takes nothing back. Name an account of the payer's, under a new id."""


REFUSALS = {kind.code: kind for kind in (UnknownOriginal, MoreThanLeft, InsufficientBalance, CannotSendBack)}


class PayeeIn(In):
    """An account that the payer named, for when the bank cannot send back where the money came from."""

    bin: Bin
    account: AccountNumber
    name: Name


class RefundIn(In):
    """`id` makes the refund once. `bin`, `account`: where the payment came; `bank_ref`: the payment. `to` null: back
    to the payer's account."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "id": "7d1f2b1c-58a5-4b3e-9a0e-5b1f0c7f6a11",
                "bin": "970436",
                "account": "1234567890",
                "bank_ref": "FT2632600000001",
                "amount_vnd": 30_000,
                "text": "HOAN TIEN VE",
            }
        },
    )
    id: UUID
    bin: Bin
    account: AccountNumber
    bank_ref: Annotated[Printable, Field(min_length=1, max_length=64)]
    amount_vnd: Annotated[int, Field(strict=True, ge=1, le=LARGEST_TRANSFER_VND)]
    text: Annotated[Printable, Field(max_length=memo.LONGEST_TEXT)]
    to: PayeeIn | None = None


class RefundAccepted(RefundIn):
    """What was taken on: the same answer however often it is asked for. What became of it, the status query says."""

    state: Literal["accepted"] = "accepted"
    accepted_at: datetime


class RefundOut(RefundIn):
    """Where a refund stands. `refusal`: why it was refused. `debit_bank_ref`, `return_bank_ref`: its lines in the list."""

    state: Literal["refused", "accepted", "sent", "settled", "returned"]
    refusal: dict[str, str | int] | None
    debit_bank_ref: str | None
    return_bank_ref: str | None
    asked_at: datetime
    sent_at: datetime | None
    ended_at: datetime | None


async def give_back(db: asyncpg.Pool[Any], wanted: RefundIn) -> tuple[RefundAccepted, bool]:
    """Take the refund on once; True: it had been before. Raises why not, and for a refused id always the same."""
    asked = wanted.model_dump(mode="json", exclude={"id"})
    failpoint.here("bank.refund.before")
    query = "SELECT outcome, to_json(refund) AS refund FROM mock_bank.give_back($1, $2)"
    try:
        row = await db.fetchrow(query, wanted.id, json.dumps(asked))
    except asyncpg.UniqueViolationError:  # asked for on another account at this very moment: now it is known
        row = await db.fetchrow(query, wanted.id, json.dumps(asked))
    failpoint.here("bank.refund.after")
    assert row is not None
    if row["outcome"] == "unknown_account":
        raise UnknownAccount(bin=wanted.bin, account=wanted.account)
    if row["outcome"] == "other_body":
        raise OtherRefund
    refund = json.loads(row["refund"])
    if refund["refusal"] is not None:
        raise _refusal(refund["refusal"])
    accepted_at = datetime.fromisoformat(refund["asked_at"]).astimezone(language.HANOI)
    return RefundAccepted(**wanted.model_dump(), accepted_at=accepted_at), row["outcome"] == "replayed"


def _refusal(why: dict[str, Any]) -> Refusal:
    return REFUSALS[why["code"]](**{name: fact for name, fact in why.items() if name != "code"})


async def find(db: asyncpg.Pool[Any], refund_id: UUID) -> RefundOut:
    """The refund, or UnknownRefund."""
    row = await db.fetchrow("SELECT * FROM mock_bank.refund WHERE id = $1", refund_id)
    if row is None:
        raise UnknownRefund
    moments = {name: row[name] and row[name].astimezone(language.HANOI) for name in ("asked_at", "sent_at", "ended_at")}
    return RefundOut(
        id=refund_id,
        **json.loads(row["request"]),
        state=row["state"],
        refusal=row["refusal"] and json.loads(row["refusal"]),
        debit_bank_ref=row["debit_bank_ref"],
        return_bank_ref=row["return_bank_ref"],
        **moments,
    )


router = APIRouter(prefix="/api/v1/refunds", tags=["refunds"], route_class=StrictRoute, dependencies=[faults.Behaving])


@router.post(
    "",
    status_code=201,
    responses={
        404: {"description": "unknown_account"},
        409: {"description": "Refused, for ever under this id: " + ", ".join(REFUSALS)},
        422: {"description": "bad_payload, or other_refund: the id was used for another refund"},
    },
)
async def ask_for_refund(
    wanted: RefundIn, response: Response, db: Database, sender: Sender, clerk: Clerk, key: ApiKey
) -> RefundAccepted:
    """Send money of a payment back. Same `id` and content: the same answer again; other content: 422."""
    refund, replayed = await give_back(db, wanted)
    sender.wake()
    clerk.wake()
    await faults.lose_answer(db, "lose_refund_answers")
    if replayed:
        response.headers["idempotent-replayed"] = "true"
    return refund


@router.get("/{refund_id}", responses={404: {"description": "unknown_refund: nothing was done under this id"}})
async def see_refund(refund_id: UUID, db: Database, key: ApiKey) -> RefundOut:
    """What became of a refund. After a lost answer this, not a new id, is the way to know."""
    return await find(db, refund_id)
