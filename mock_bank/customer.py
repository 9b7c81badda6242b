"""The customer's banking app: show a code, see who asks for how much, pay it, less, more, twice, or refuse.

For anybody, in the demo and in tests: there is no login, and one practice customer who does not exist.
"""

from __future__ import annotations

import asyncio
import re
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import urlencode
from uuid import UUID, uuid4, uuid5

import asyncpg
from fastapi import APIRouter, Form, Request, Response, UploadFile

from mock_bank import account, faults, memo, pages, picture, transaction, vietqr
from mock_bank.database import Database
from mock_bank.later import Clerk
from mock_bank.notice import Sender
from mock_bank.refusal import BadPayload, Refusal
from mock_bank.transaction import PRACTICE_CUSTOMER
from mock_bank.vietqr import BadAmount

SECOND_TRANSFER = UUID("6ed4b7a2-6d0c-4b44-9b1c-0f8a4a3d2c11")
GROUPED = re.compile(r"[0-9]{1,12}|[0-9]{1,3}(?:[., \u00a0][0-9]{3}){1,3}")

router = APIRouter(prefix="/app", include_in_schema=False)


class BadText(Refusal):
    """The transfer text has at most 140 characters, in one line."""

    status = 400


def amount_typed(text: str) -> int:
    """Đồng as a person types them: 70000, 70.000, 70,000 or 70 000; BadAmount for anything else."""
    typed = text.strip().removesuffix("₫").strip()
    if not GROUPED.fullmatch(typed):
        raise BadAmount
    amount_vnd = int(re.sub(r"[^0-9]", "", typed))
    if not 1 <= amount_vnd <= vietqr.LARGEST_TRANSFER_VND:
        raise BadAmount
    return amount_vnd


def second_of(payment_id: UUID) -> UUID:
    """The id of the second transfer of "pay twice": derived, so that the form sent again does not make a third."""
    return uuid5(SECOND_TRANSFER, str(payment_id))


@router.get("")
async def home(request: Request, db: Database) -> Response:
    """Give the bank a code; one that arrives by a link goes straight to its confirmation."""
    asked = request.query_params
    if asked.get("code"):
        return pages.go_to(
            "/app/confirm", code=asked["code"], **{"return": asked.get("return", "")}, lang=asked.get("lang", "")
        )
    return await _home(request, db)


async def _home(
    request: Request,
    db: asyncpg.Pool[Any],
    *,
    code: str = "",
    back: str = "",
    refusal: Refusal | None = None,
) -> Response:
    return pages.show(
        request,
        "home.html",
        status=refusal.status if refusal else 200,
        code=code,
        back=back or request.query_params.get("return", ""),
        refusal=refusal,
        any_accounts=await db.fetchval("SELECT EXISTS (SELECT FROM mock_bank.account)"),
        misbehaves=await faults.read(db) != faults.Faults(),
    )


@router.post("/picture")
async def read_picture(
    request: Request, picture_file: Annotated[UploadFile, Form(alias="picture")], db: Database, back: str = Form("")
) -> Response:
    """Read the code in a picture, then go on as if its text had been pasted."""
    try:
        code = await asyncio.to_thread(picture.read_code, await picture_file.read())
    except Refusal as refusal:
        return await _home(request, db, back=back, refusal=refusal)
    return pages.go_to("/app/confirm", code=code, **{"return": back})


@router.get("/confirm")
async def confirm(request: Request, db: Database) -> Response:
    """Who asks for how much, from the bank's own register; nothing is paid yet."""
    code = request.query_params.get("code", "")
    try:
        return await _confirm(request, db, code=code, back=request.query_params.get("return", ""))
    except Refusal as refusal:
        return await _home(request, db, code=code, refusal=refusal)


async def _confirm(
    request: Request,
    db: asyncpg.Pool[Any],
    *,
    code: str,
    back: str,
    payment_id: UUID | None = None,
    amount: str | None = None,
    text: str | None = None,
    refusal: Refusal | None = None,
) -> Response:
    asked = vietqr.read(code)
    return pages.show(
        request,
        "confirm.html",
        status=refusal.status if refusal else 200,
        here=f"/app/confirm?{urlencode({'code': code, 'return': back})}",
        code=code,
        back=back,
        refusal=refusal,
        payee=await account.find(db, bin=asked.bin, account=asked.account),
        asked=asked,
        customer=PRACTICE_CUSTOMER,
        payment_id=payment_id or uuid4(),
        amount=amount if amount is not None else str(asked.amount_vnd or ""),
        text=text if text is not None else asked.text,
        longest_text=memo.LONGEST_TEXT,
    )


@router.post("/pay")
async def pay(
    request: Request,
    db: Database,
    sender: Sender,
    clerk: Clerk,
    payment: Annotated[UUID, Form()],
    code: Annotated[str, Form()] = "",
    amount: Annotated[str, Form()] = "",
    text: Annotated[str, Form()] = "",
    act: Annotated[str, Form()] = "pay",
    back: Annotated[str, Form()] = "",
) -> Response:
    """Pay once, twice, or not at all. The hidden payment id makes a double click pay once."""
    if act == "refuse":
        return pages.go_to("/app/refused", **{"return": back})
    if act not in ("pay", "twice"):
        raise BadPayload(reason="act")
    try:
        asked = vietqr.read(code)
        amount_vnd = amount_typed(amount)
        if len(text) > memo.LONGEST_TEXT or not text.isprintable():
            raise BadText
        for payment_id in (payment, second_of(payment))[: 2 if act == "twice" else 1]:
            await transaction.pay(
                db, payment_id=payment_id, bin=asked.bin, account=asked.account, amount_vnd=amount_vnd, text=text
            )
            sender.wake()
            clerk.wake()
    except (BadAmount, BadText) as refusal:
        return await _confirm(
            request, db, code=code, back=back, payment_id=payment, amount=amount, text=text, refusal=refusal
        )
    return pages.go_to(f"/app/receipt/{payment}", **{"return": back})


@router.get("/receipt/{payment_id}")
async def receipt(request: Request, payment_id: UUID, db: Database) -> Response:
    """What became of a payment."""
    made = await transaction.of_payments(db, [payment_id, second_of(payment_id)])
    payee = await account.find(db, bin=made[0].bin, account=made[0].account) if made else None
    return pages.show(
        request,
        "receipt.html",
        status=200 if made else 404,
        made=made,
        payee=payee,
        at=datetime.fromisoformat,
        total_vnd=sum(one.amount_vnd for one in made),
        back=pages.link_back(request, request.query_params.get("return", "")),
    )


@router.get("/refused")
async def refused(request: Request) -> Response:
    """The customer refused: nothing was paid."""
    back = pages.link_back(request, request.query_params.get("return", ""))
    return pages.show(request, "refused.html", back=back)


@router.get("/history")
async def see_history(request: Request, db: Database) -> Response:
    """The practice customer's newest transactions."""
    return pages.show(request, "history.html", rows=await transaction.history(db), customer=PRACTICE_CUSTOMER)
