"""The gateway's own page: a payer chooses a practice card and what shall happen. It never asks for a card number.

The end of a payment is written down with its notice; then the browser is sent back, or is closed. What a merchant's
server asks (query, refund) is answered here as well, signed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import uuid4

import asyncpg
from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import JSONResponse

from mock_bank import failpoint, faults, merchant, pages, vnpay
from mock_bank.database import Database
from mock_bank.ipn import IpnSent
from mock_bank.merchant import Merchant, UnknownMerchant
from mock_bank.refusal import BadPayload, Refusal
from mock_bank.vietqr import LARGEST_TRANSFER_VND

CARDS = {"visa": ("VISA", "VISA"), "domestic": ("NCB", "ATM"), "wallet": ("ALIPAY", "WALLET")}
"""Practice cards: bank code, card type."""

OUTCOMES = {
    "pay": ("00", "00"),
    "close": ("00", "00"),  # and the browser never comes back
    "no_funds": ("51", "02"),
    "wrong_otp": ("06", "02"),
    "cancel": ("24", "02"),
    "expired": ("11", "02"),
    "suspect": ("07", "07"),
    "reversed": ("99", "04"),
}
"""What shall happen: vnp_ResponseCode, vnp_TransactionStatus."""

NEEDED = tuple(
    f"vnp_{name}" for name in ("Version", "Amount", "TxnRef", "OrderInfo", "ReturnUrl", "CreateDate", "ExpireDate")
)

MESSAGES = {
    "00": "Success",
    "02": "Unknown merchant",
    "03": "Bad format",
    "91": "Transaction not found",
    "93": "Invalid refund amount",
    "94": "Duplicate request",
    "95": "Transaction was not successful",
    "97": "Invalid checksum",
}


class ForgedAddress(Refusal):
    """The signature of this payment does not hold. Nothing was paid; go back to the seller and begin again."""

    status = 403


class OtherCardPayment(Refusal):
    """Another payment was begun under this number. Nothing was paid; go back to the seller and begin again."""


@dataclass(frozen=True, slots=True)
class CardPayment:
    """A payment on the page, as the gateway knows it."""

    merchant: Merchant
    asked: Mapping[str, str]
    row: Any

    @property
    def over(self) -> bool:
        return bool(self.row["status"] != "01")

    def told(self) -> dict[str, str]:
        """What its notice and the address of the way back say of it."""
        paid = self.row["status"] != "02"
        facts = {
            "vnp_Amount": str(self.row["amount_vnd"] * 100),
            "vnp_BankCode": self.row["bank_code"] or "",
            "vnp_BankTranNo": f"{self.row['bank_code']}{self.row['number']}" if paid else "",
            "vnp_CardType": self.row["card_type"] or "",
            "vnp_OrderInfo": self.asked["vnp_OrderInfo"],
            "vnp_PayDate": vnpay.stamp(self.row["ended_at"]),
            "vnp_ResponseCode": self.row["response_code"],
            "vnp_TmnCode": self.merchant.code,
            "vnp_TransactionNo": str(self.row["number"]) if paid else "0",
            "vnp_TransactionStatus": self.row["status"],
            "vnp_TxnRef": self.row["txn_ref"],
        }
        return {name: value for name, value in facts.items() if value}


async def begun(db: asyncpg.Pool[Any], query: str) -> CardPayment:
    """The payment that a signed address begins, or began before. Raises UnknownMerchant, ForgedAddress, BadPayload."""
    asked = vnpay.fields_of(query)
    owner = await merchant.find(db, asked.get("vnp_TmnCode", ""))
    if not vnpay.address_holds(asked, owner.secret):
        raise ForgedAddress
    asked.pop("vnp_SecureHash")
    if missing := [name for name in NEEDED if not asked.get(name)]:
        raise BadPayload(reason=", ".join(missing))
    try:
        amount_vnd, rest = divmod(int(asked["vnp_Amount"]), 100)
        for name in ("vnp_CreateDate", "vnp_ExpireDate"):
            vnpay.moment(asked[name])
    except ValueError as error:
        raise BadPayload(reason="a number or a time") from error
    if rest or not 1 <= amount_vnd <= LARGEST_TRANSFER_VND or asked["vnp_Version"] != "2.1.0":
        raise BadPayload(reason="vnp_Amount or vnp_Version")
    await db.execute(
        """INSERT INTO mock_bank.card_payment (merchant, txn_ref, asked, amount_vnd) VALUES ($1, $2, $3, $4)
           ON CONFLICT DO NOTHING""",
        owner.code,
        asked["vnp_TxnRef"],
        json.dumps(asked),
        amount_vnd,
    )
    payment = CardPayment(owner, asked, await _row(db, owner.code, asked["vnp_TxnRef"]))
    known = json.loads(payment.row["asked"])
    if any(known[name] != asked[name] for name in ("vnp_Amount", "vnp_CreateDate")):
        raise OtherCardPayment
    return payment


async def end(db: asyncpg.Pool[Any], payment: CardPayment, outcome: str, card: str) -> CardPayment:
    """Let it end like this, once, and put its notice into the outbox; what has ended stays as it is."""
    response_code, status = OUTCOMES[outcome]
    bank_code, card_type = CARDS[card]
    failpoint.here("bank.card.before")
    async with db.acquire() as connection, connection.transaction():
        row = await connection.fetchrow(
            """UPDATE mock_bank.card_payment
                  SET status = $3, response_code = $4, bank_code = $5, card_type = $6, ended_at = mock_bank.now()
                WHERE merchant = $1 AND txn_ref = $2 AND status = '01' RETURNING *""",
            payment.merchant.code,
            payment.row["txn_ref"],
            status,
            response_code,
            bank_code,
            card_type,
        )
        if row is not None:
            payment = CardPayment(payment.merchant, payment.asked, row)
            await connection.execute(
                "SELECT mock_bank.announce_card($1, $2, $3, $4)",
                payment.merchant.code,
                row["number"],
                row["ended_at"],
                vnpay.signed_address(payment.told(), payment.merchant.secret),
            )
    failpoint.here("bank.card.after")
    return CardPayment(payment.merchant, payment.asked, await _row(db, payment.merchant.code, payment.row["txn_ref"]))


async def give_back(db: asyncpg.Pool[Any], owner: Merchant, body: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """Take a refund on, once per vnp_RequestId: vnp_ResponseCode, and the facts of it."""
    async with db.acquire() as connection, connection.transaction():
        payment = await connection.fetchrow(
            "SELECT * FROM mock_bank.card_payment WHERE merchant = $1 AND txn_ref = $2 FOR UPDATE",
            owner.code,
            body["vnp_TxnRef"],
        )
        if await connection.fetchval(
            "SELECT true FROM mock_bank.card_refund WHERE merchant = $1 AND request_id = $2",
            owner.code,
            body["vnp_RequestId"],
        ):
            return "94", {}
        if payment is None or json.loads(payment["asked"])["vnp_CreateDate"] != body["vnp_TransactionDate"]:
            return "91", {}
        if payment["status"] != "00":
            return "95", {}
        amount_vnd, rest = divmod(int(body["vnp_Amount"]), 100)
        gone_vnd = await connection.fetchval(
            """SELECT coalesce(sum(amount_vnd), 0)::bigint FROM mock_bank.card_refund r
                WHERE merchant = $1 AND txn_ref = $2 AND mock_bank.status(r) <> '09'""",
            owner.code,
            body["vnp_TxnRef"],
        )
        whole = body["vnp_TransactionType"] == "02"
        if rest or amount_vnd < 1 or amount_vnd > payment["amount_vnd"] - gone_vnd:
            return "93", {}
        if whole != (amount_vnd == payment["amount_vnd"]):
            return "93", {}
        row = await connection.fetchrow(
            """INSERT INTO mock_bank.card_refund (merchant, request_id, txn_ref, kind, amount_vnd, create_date, text,
                                                  asked_at, seconds, refused)
               VALUES ($1, $2, $3, $4, $5, $6, $7, mock_bank.now(),
                       coalesce(mock_bank.struck('refund_seconds')::integer, 0),
                       coalesce(mock_bank.struck('return_refunds') = 'true', false)) RETURNING *""",
            owner.code,
            body["vnp_RequestId"],
            body["vnp_TxnRef"],
            body["vnp_TransactionType"],
            amount_vnd,
            body["vnp_CreateDate"],
            body["vnp_OrderInfo"],
        )
    assert row is not None
    return "00", {
        "vnp_Amount": body["vnp_Amount"],
        "vnp_BankCode": payment["bank_code"],
        "vnp_PayDate": vnpay.stamp(row["asked_at"]),
        "vnp_TransactionNo": str(row["number"]),
        "vnp_TransactionType": row["kind"],
        "vnp_TransactionStatus": "05",
    }


async def look_up(db: asyncpg.Pool[Any], owner: Merchant, body: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """The payment, or the refund, of that number and vnp_TransactionDate: vnp_ResponseCode, and the facts of it."""
    payment = await _row(db, owner.code, body["vnp_TxnRef"])
    if payment is None:
        return "91", {}
    asked = json.loads(payment["asked"])
    if asked["vnp_CreateDate"] == body["vnp_TransactionDate"]:
        if payment["status"] == "01":
            return "00", {"vnp_Amount": asked["vnp_Amount"], "vnp_TransactionType": "01", "vnp_TransactionStatus": "01"}
        told = CardPayment(owner, asked, payment).told() | {"vnp_TransactionType": "01"}
        return "00", {name: told[name] for name in told if name not in ("vnp_CardType", "vnp_BankTranNo")}
    refund = await db.fetchrow(
        """SELECT r.*, mock_bank.status(r) AS status FROM mock_bank.card_refund r
            WHERE merchant = $1 AND txn_ref = $2 AND create_date = $3 AND text = $4""",
        owner.code,
        body["vnp_TxnRef"],
        body["vnp_TransactionDate"],
        body["vnp_OrderInfo"],
    )
    if refund is None:
        return "91", {}
    return "00", {
        "vnp_Amount": str(refund["amount_vnd"] * 100),
        "vnp_BankCode": payment["bank_code"],
        "vnp_PayDate": vnpay.stamp(refund["asked_at"]),
        "vnp_TransactionNo": str(refund["number"]),
        "vnp_TransactionType": refund["kind"],
        "vnp_TransactionStatus": refund["status"],
        "vnp_OrderInfo": refund["text"],
    }


async def _row(db: asyncpg.Pool[Any], code: str, txn_ref: str) -> Any:
    return await db.fetchrow("SELECT * FROM mock_bank.card_payment WHERE merchant = $1 AND txn_ref = $2", code, txn_ref)


router = APIRouter(include_in_schema=False)


@router.get("/paymentv2/vpcpay.html")
async def choose(request: Request, db: Database, ipn: IpnSent) -> Response:
    """Who asks for how much; which practice card, and what shall happen."""
    payment = await begun(db, request.url.query)
    if not payment.over and await db.fetchval(
        "SELECT mock_bank.now() > $1", vnpay.moment(payment.asked["vnp_ExpireDate"])
    ):
        payment = await end(db, payment, "expired", "visa")
        ipn.wake()
    if payment.over:
        return pages.go_to(f"/paymentv2/result?{request.url.query}")
    return pages.show(
        request,
        "hosted.html",
        payment=payment,
        asked=request.url.query,
        cards=tuple(CARDS),
        outcomes=[name for name in OUTCOMES if name not in ("pay", "cancel")],
    )


@router.post("/paymentv2/pay")
async def decide(
    db: Database,
    ipn: IpnSent,
    asked: Annotated[str, Form(max_length=4000)] = "",
    card: Annotated[str, Form()] = "visa",
    outcome: Annotated[str, Form()] = "pay",
) -> Response:
    """What was chosen happens, once."""
    if card not in CARDS or outcome not in OUTCOMES:
        raise BadPayload(reason="card or outcome")
    await end(db, await begun(db, asked), outcome, card)
    ipn.wake()
    return pages.go_to(f"/paymentv2/result?{asked}" + ("&closed=1" if outcome == "close" else ""))


@router.get("/paymentv2/result")
async def result(request: Request, db: Database) -> Response:
    """How it ended; the browser then goes back to the seller by itself, unless it is "closed"."""
    payment = await begun(db, request.url.query)
    if not payment.over:
        return pages.go_to(f"/paymentv2/vpcpay.html?{request.url.query}")
    answer = vnpay.signed_address(payment.told(), payment.merchant.secret)
    closed = request.query_params.get("closed") == "1"
    return pages.show(
        request,
        "hosted_result.html",
        payment=payment,
        word=next(word for word, ended in OUTCOMES.items() if ended[0] == payment.row["response_code"]),
        closed=closed,
        back="" if closed else pages.link_back(request, f"{payment.asked['vnp_ReturnUrl']}?{answer}"),
    )


@router.post("/merchant_webapi/api/transaction", dependencies=[faults.BehavingToMerchants])
async def answer_merchant(request: Request, db: Database) -> JSONResponse:
    """A question of a merchant's server: `querydr` or `refund`, signed both ways."""
    try:
        body = {str(name): str(value) for name, value in json.loads(await request.body()).items()}
        owner = await merchant.find(db, body.get("vnp_TmnCode", ""))
    except (ValueError, AttributeError):
        return JSONResponse({"vnp_ResponseCode": "03", "vnp_Message": MESSAGES["03"]})
    except UnknownMerchant:
        return JSONResponse({"vnp_ResponseCode": "02", "vnp_Message": MESSAGES["02"]})
    command = body.get("vnp_Command", "")
    facts: dict[str, str] = {}
    if command not in vnpay.QUESTIONS or any(not body.get(f"vnp_{name}") for name in vnpay.QUESTIONS[command]):
        code = "03"
    elif not vnpay.question_holds(body, owner.secret):
        code = "97"
    elif command == "querydr":
        code, facts = await look_up(db, owner, body)
    elif body["vnp_TransactionType"] not in ("02", "03") or not body["vnp_Amount"].isdecimal():
        code = "03"
    else:
        code, facts = await give_back(db, owner, body)
        failpoint.here("bank.card.refunded")
        await faults.lose_answer(db, "lose_refund_answers")
    said = {
        "vnp_ResponseId": uuid4().hex,
        "vnp_Command": command,
        "vnp_ResponseCode": code,
        "vnp_Message": MESSAGES[code],
        "vnp_TmnCode": owner.code,
        "vnp_TxnRef": body.get("vnp_TxnRef", ""),
        "vnp_OrderInfo": body.get("vnp_OrderInfo", ""),
        **{name: value for name, value in facts.items() if name != "vnp_ResponseCode"},
    }
    return JSONResponse(vnpay.signed_answer(said, owner.secret))
