"""VNPAY PAY 2.1.0: cards and foreign wallets, paid on the gateway's own page. No card number ever reaches us.

Above, the protocol as pure functions and data: what is signed and how, what each code means. Below, the gateway. An
address it sends a payer back to settles nothing: money is what its notice (IPN) or its answer to a query says.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Literal
from urllib.parse import parse_qsl, quote_plus, urlencode
from uuid import uuid4

import httpx

from foundation.clock import HANOI, hanoi
from foundation.errors import BadPayload
from foundation.money import CHARGE_MAX_VND
from foundation.settings import Settings
from payments.gateway import (
    AttemptAmountDiffers,
    AttemptEnd,
    AttemptEvent,
    AttemptOrder,
    Done,
    GatewaySilent,
    News,
    NoSuchAttempt,
    NoticeForged,
    RefundAnswer,
    RefundFate,
    RefundOrder,
    Told,
)
from payments.receipt import AccountUnknown, Credit

VERSION = "2.1.0"
HASHES = ("vnp_SecureHash", "vnp_SecureHashType")
SERVER_ADDRESS = "127.0.0.1"
"""What we call our own address in calls between servers; it identifies nobody."""

STATUSES: Mapping[str, AttemptEvent | None] = {
    "00": "paid",
    "01": None,  # the payer has not finished
    "02": "declined",
    "04": "reversed",
    "07": "suspected",
}
"""vnp_TransactionStatus of a payment."""

WHY: Mapping[str, str] = {
    "05": "wrong_secret",
    "06": "wrong_otp",
    "07": "suspected",
    "08": "bank_down",
    "09": "not_enabled",
    "10": "wrong_data",
    "11": "too_late",
    "12": "locked",
    "13": "wrong_otp",
    "24": "cancelled",
    "51": "no_funds",
    "65": "limit",
    "75": "bank_down",
    "79": "wrong_secret",
}
"""vnp_ResponseCode, in a word that our pages have a sentence for; any other is `declined`."""

BANKS: Mapping[str, Literal["QR_TRANSFER", "WALLET", "CARD"]] = {
    "VNPAYQR": "QR_TRANSFER",
    "VNMART": "WALLET",
    "ALIPAY": "WALLET",
    "WECHATPAY": "WALLET",
    "UNIONPAYQR": "WALLET",
}
"""vnp_BankCode of what is no card, by the payer's means."""

CARD_TYPES: Mapping[str, Literal["QR_TRANSFER", "WALLET", "CARD"]] = {"QRCODE": "QR_TRANSFER", "WALLET": "WALLET"}
"""vnp_CardType of what is no card, where the bank's code does not say it. A query does not tell this field."""

REFUND_CODES: Mapping[str, RefundFate] = {
    "00": "accepted",
    "02": "refused",  # no such merchant
    "03": "refused",  # unreadable
    "91": "refused",  # no such payment
    "93": "refused",  # more than is left of it
    "94": "accepted",  # asked before under this id
    "95": "refused",  # the payment had failed
    "97": "refused",  # our signature
}
"""vnp_ResponseCode of an answer to a refund. Any other (99) says nothing about what was done."""

REFUND_STATUSES: Mapping[str, RefundFate] = {
    "00": "settled",
    "05": "accepted",
    "06": "sent",
    "09": "refused",
}
"""vnp_TransactionStatus of a refund."""

ANSWERS: Mapping[str, str] = {
    "00": "Confirm Success",
    "01": "Order not found",
    "02": "Order already confirmed",
    "04": "Invalid amount",
    "97": "Fail checksum",
    "99": "Unknown error",
}

QUERY_ASKED = "RequestId|Version|Command|TmnCode|TxnRef|TransactionDate|CreateDate|IpAddr|OrderInfo"
REFUND_ASKED = (
    "RequestId|Version|Command|TmnCode|TransactionType|TxnRef|Amount|TransactionNo|TransactionDate|CreateBy"
    "|CreateDate|IpAddr|OrderInfo"
)
REFUND_SAID = (
    "ResponseId|Command|ResponseCode|Message|TmnCode|TxnRef|Amount|BankCode|PayDate|TransactionNo|TransactionType"
    "|TransactionStatus|OrderInfo"
)
QUERY_SAID = REFUND_SAID + "|PromotionCode|PromotionAmount"
"""What is hashed of questions and answers between servers: these fields' values, in this order, joined by pipes."""


def query_of(params: Mapping[str, str]) -> str:
    """What is signed: all that is not empty, by name, as a browser would send it."""
    kept = sorted((name, value) for name, value in params.items() if value and name not in HASHES)
    return urlencode(kept, quote_via=quote_plus)


def signature(params: Mapping[str, str], secret: str) -> str:
    return _hmac(query_of(params), secret)


def signed_query(params: Mapping[str, str], secret: str) -> str:
    """The whole query of an address, with its signature at the end."""
    return f"{query_of(params)}&vnp_SecureHash={signature(params, secret)}"


def verified(query: str, secrets: Mapping[str, str]) -> dict[str, str]:
    """The fields of a signed query, by name. Raises NoticeForged: also for a merchant we have no secret of."""
    pairs = [(name, value) for name, value in parse_qsl(query, keep_blank_values=True) if name.startswith("vnp_")]
    params = dict(pairs)
    secret = secrets.get(params.get("vnp_TmnCode", ""))
    given = params.get("vnp_SecureHash", "").encode()
    if len(params) < len(pairs) or not secret:
        raise NoticeForged()
    if not hmac.compare_digest(signature(params, secret).encode(), given):
        raise NoticeForged()
    return params


def piped(params: Mapping[str, object], fields: str) -> str:
    """The values of these fields, joined by pipes; what is missing is empty."""
    return "|".join(str(params.get(f"vnp_{field}") or "") for field in fields.split("|"))


def stamp(at: datetime) -> str:
    """yyyyMMddHHmmss on a Hanoi clock."""
    return f"{hanoi(at):%Y%m%d%H%M%S}"


def read_stamp(text: str) -> datetime:
    try:
        return datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=HANOI)
    except ValueError as error:
        raise BadPayload(reason="a time") from error


def read_amount(text: str) -> int:
    """VND of an amount in hundredths. Raises BadPayload."""
    if not text.isascii() or not text.isdigit() or len(text) > 15 or int(text) % 100:
        raise BadPayload(reason="an amount")
    return int(text) // 100


def means_of(bank: str, card_type: str) -> Literal["QR_TRANSFER", "WALLET", "CARD"]:
    """How the payer paid."""
    return BANKS.get(bank) or CARD_TYPES.get(card_type) or "CARD"


def why(code: str) -> str:
    """The word our pages know for a code of a declined payment."""
    return WHY.get(code, "declined")


def news_of(params: Mapping[str, str], *, response_code: str, event_id: str) -> News | None:
    """What the fields of a notice or of a query's answer say of a payment; None: nothing yet. Raises BadPayload."""
    merchant, ref = params.get("vnp_TmnCode", ""), params.get("vnp_TxnRef", "")
    status = params.get("vnp_TransactionStatus", "")
    if status not in STATUSES:
        raise BadPayload(reason="a status")
    event = "suspected" if response_code == "07" else STATUSES[status]
    if event == "paid" and response_code != "00":
        raise BadPayload(reason="a status that contradicts its code")
    if event is None:
        return None
    amount_vnd = read_amount(params.get("vnp_Amount", ""))
    credit = None
    if event == "paid":
        if not 1 <= amount_vnd <= CHARGE_MAX_VND or not params.get("vnp_TransactionNo", "").strip("0"):
            raise BadPayload(reason="a payment without its number")
        bank, card_type = params.get("vnp_BankCode", ""), params.get("vnp_CardType", "")
        credit = Credit(
            "vnpay",
            merchant,
            params["vnp_TransactionNo"],
            amount_vnd,
            params.get("vnp_OrderInfo", ""),
            read_stamp(params.get("vnp_PayDate", "")),
            " ".join(filter(None, (bank, card_type, params.get("vnp_BankTranNo")))),
            gateway="vnpay",
            means=means_of(bank, card_type),
        )
    # A query tells no code of the payment, only its status.
    code = "07" if event == "suspected" else "" if response_code == "00" else response_code
    return News(f"vnpay/{merchant}", event_id, credit, AttemptEnd(ref, amount_vnd, event, code))


class Vnpay:
    """The gateway. What goes over the network may raise GatewaySilent and is never inside a transaction of ours."""

    name = "vnpay"
    a_second_apart = True

    def __init__(
        self,
        secrets: Mapping[str, str],
        page_url: str = "",
        api_url: str = "",
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """`secrets`: by merchant."""
        self._secrets, self._page_url, self._api_url, self._transport = secrets, page_url, api_url, transport

    @classmethod
    def of(cls, settings: Settings) -> Vnpay:
        return cls(settings.vnpay_secret_of, settings.vnpay_page_url, settings.vnpay_api_url)

    @cached_property
    def _http(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=self._transport, timeout=httpx.Timeout(5, connect=2))

    async def close(self) -> None:
        if "_http" in self.__dict__:
            await self._http.aclose()

    # --- paying on its page ---

    def serves(self, merchant: str) -> bool:
        return bool(self._secrets.get(merchant))

    def begin(self, order: AttemptOrder, *, language: str, back: str, payer_address: str) -> str:
        params = {
            "vnp_Version": VERSION,
            "vnp_Command": "pay",
            "vnp_TmnCode": order.merchant,
            "vnp_Amount": str(order.amount_vnd * 100),
            "vnp_CurrCode": "VND",
            "vnp_TxnRef": order.ref,
            "vnp_OrderInfo": order.text,
            "vnp_OrderType": "other",
            "vnp_Locale": "vn" if language == "vi" else "en",
            "vnp_ReturnUrl": back,
            "vnp_IpAddr": payer_address,
            "vnp_CreateDate": stamp(order.opened_at),
            "vnp_ExpireDate": stamp(order.expires_at),
        }
        return f"{self._page_url}?{signed_query(params, self._secrets[order.merchant])}"

    def hear(self, told: Told) -> News | None:
        params = verified(told.query, self._secrets)
        event_id = "vnpay:" + params["vnp_SecureHash"][:64]
        return news_of(params, response_code=params.get("vnp_ResponseCode", ""), event_id=event_id)

    def answer(self, done: Done | Exception) -> tuple[int, dict[str, object]]:
        """RspCode; with 99 (and every other but 00 and 02) the gateway tells it again."""
        match done:
            case "known":
                code = "02"
            case "booked" | "ignored":
                code = "00"
            case NoticeForged():
                code = "97"
            case NoSuchAttempt() | AccountUnknown():
                code = "01"
            case AttemptAmountDiffers():
                code = "04"
            case _:
                code = "99"
        return 200, {"RspCode": code, "Message": ANSWERS[code]}

    async def ask(self, order: AttemptOrder) -> News | None:
        said = await self._query(order.merchant, order.ref, order.opened_at, order.text)
        if said is None:
            return None
        # A query's own code says that it was answered; only the status speaks of the payment.
        return news_of(said, response_code="00", event_id="vnpay:" + said["vnp_SecureHash"][:64])

    # --- giving back ---

    async def send_back(self, order: RefundOrder) -> RefundAnswer:
        at, text = _known_as(order)
        params = self._question("refund", _merchant(order), order.facts["ref"], text) | {
            "vnp_RequestId": order.id.hex,
            "vnp_TransactionType": "02" if order.amount_vnd == order.original_vnd else "03",
            "vnp_Amount": str(order.amount_vnd * 100),
            "vnp_TransactionNo": order.original_ref,
            "vnp_TransactionDate": stamp(datetime.fromisoformat(order.facts["opened_at"])),
            "vnp_CreateBy": order.asked_by,
            "vnp_CreateDate": stamp(at),
        }
        said = await self._call(params, REFUND_ASKED, REFUND_SAID)
        fate = REFUND_CODES.get(said["vnp_ResponseCode"])
        if fate is None:
            raise GatewaySilent()
        return RefundAnswer(fate, said["vnp_ResponseCode"] if fate == "refused" else None, _ref(said))

    async def fate_of(self, order: RefundOrder) -> RefundAnswer:
        """A refund is a transaction of its own under the number of its payment, known by when we asked for it."""
        said = await self._query(_merchant(order), order.facts["ref"], *_known_as(order))
        if said is None or said.get("vnp_TransactionType") not in ("02", "03"):
            return RefundAnswer("unknown")
        if said.get("vnp_Amount") != str(order.amount_vnd * 100):
            raise ValueError(f"the gateway knows another refund as {order.id}")
        fate = REFUND_STATUSES.get(said["vnp_TransactionStatus"])
        if fate is None:
            raise GatewaySilent()
        at = read_stamp(said["vnp_PayDate"]) if said.get("vnp_PayDate") else None
        return RefundAnswer(fate, said["vnp_TransactionStatus"] if fate == "refused" else None, _ref(said), at)

    # --- speaking to it ---

    async def _query(self, merchant: str, ref: str, at: datetime, text: str) -> dict[str, str] | None:
        """What it knows of the transaction of that number and time; None: of none such."""
        params = self._question("querydr", merchant, ref, text) | {"vnp_TransactionDate": stamp(at)}
        said = await self._call(params, QUERY_ASKED, QUERY_SAID)
        if said["vnp_ResponseCode"] == "91":
            return None
        if said["vnp_ResponseCode"] != "00" or said.get("vnp_TxnRef") != ref:
            raise GatewaySilent()
        return said

    def _question(self, command: str, merchant: str, ref: str, text: str) -> dict[str, str]:
        return {
            "vnp_RequestId": uuid4().hex,
            "vnp_Version": VERSION,
            "vnp_Command": command,
            "vnp_TmnCode": merchant,
            "vnp_TxnRef": ref,
            "vnp_OrderInfo": text,
            "vnp_CreateDate": stamp(datetime.now(UTC)),
            "vnp_IpAddr": SERVER_ADDRESS,
        }

    async def _call(self, params: Mapping[str, str], asked: str, said: str) -> dict[str, str]:
        """Asks, signed; the answer's fields, whose signature holds. Anything else is silence."""
        secret = self._secrets.get(params["vnp_TmnCode"])
        if not secret:
            raise GatewaySilent()
        body = {**params, "vnp_SecureHash": _hmac(piped(params, asked), secret)}
        try:
            answer = await self._http.post(self._api_url, json=body)
            answer.raise_for_status()
            fields = {str(name): "" if value is None else str(value) for name, value in answer.json().items()}
        except (httpx.HTTPError, ValueError, AttributeError) as error:
            raise GatewaySilent() from error
        expected = _hmac(piped(fields, said), secret)
        if not hmac.compare_digest(expected.encode(), fields.get("vnp_SecureHash", "").encode()):
            raise GatewaySilent()
        if fields.get("vnp_TmnCode") != params["vnp_TmnCode"]:
            raise GatewaySilent()
        return fields


def _merchant(order: RefundOrder) -> str:
    return order.account.partition("/")[2]


def _known_as(order: RefundOrder) -> tuple[datetime, str]:
    """When a refund was asked for, and its words: by these it is looked up under the number of its payment.

    Times are whole seconds there, so it is never of the payment's own second, and its words are of no other refund.
    """
    begun = datetime.fromisoformat(order.facts["opened_at"])
    return max(order.asked_at, begun + timedelta(seconds=1)), f"{order.text} {order.id.hex[-8:]}"


def _ref(said: Mapping[str, str]) -> str | None:
    return said.get("vnp_TransactionNo") or None


def _hmac(text: str, secret: str) -> str:
    return hmac.new(secret.encode(), text.encode(), hashlib.sha512).hexdigest()
