"""VNPAY PAY 2.1.0 as the gateway speaks it: what is signed of addresses, and of questions and answers between servers."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime
from urllib.parse import parse_qsl, urlencode

from mock_bank import language

SHOWN_IN_ADDRESSES = ("vnp_SecureHash", "vnp_SecureHashType")
QUESTIONS: Mapping[str, tuple[str, ...]] = {
    "querydr": ("RequestId", "Version", "Command", "TmnCode", "TxnRef", "TransactionDate", "CreateDate", "IpAddr", "OrderInfo"),
    "refund": (
        "RequestId", "Version", "Command", "TmnCode", "TransactionType", "TxnRef", "Amount", "TransactionNo",
        "TransactionDate", "CreateBy", "CreateDate", "IpAddr", "OrderInfo",
    ),
}  # fmt: skip
_ANSWER = (
    "ResponseId", "Command", "ResponseCode", "Message", "TmnCode", "TxnRef", "Amount", "BankCode", "PayDate",
    "TransactionNo", "TransactionType", "TransactionStatus", "OrderInfo",
)  # fmt: skip
ANSWERS: Mapping[str, tuple[str, ...]] = {"querydr": (*_ANSWER, "PromotionCode", "PromotionAmount"), "refund": _ANSWER}


def fields_of(query: str) -> dict[str, str]:
    """The fields of an address that are VNPAY's."""
    return {name: value for name, value in parse_qsl(query) if name.startswith("vnp_")}


def signed_address(fields: Mapping[str, str], secret: str) -> str:
    """The query of an address: its fields by name, and their signature."""
    text = _address(fields)
    return f"{text}&vnp_SecureHash={_hash(text, secret)}"


def address_holds(fields: Mapping[str, str], secret: str) -> bool:
    return hmac.compare_digest(_hash(_address(fields), secret), fields.get("vnp_SecureHash", "-").lower())


def question_holds(body: Mapping[str, str], secret: str) -> bool:
    """Whether a merchant's server signed this."""
    names = QUESTIONS.get(body.get("vnp_Command", ""), ())
    return hmac.compare_digest(_hash(_piped(body, names), secret), body.get("vnp_SecureHash", "-").lower())


def signed_answer(body: Mapping[str, str], secret: str) -> dict[str, str]:
    names = ANSWERS.get(body.get("vnp_Command", ""), _ANSWER)
    return {**body, "vnp_SecureHash": _hash(_piped(body, names), secret)}


def stamp(at: datetime) -> str:
    return at.astimezone(language.HANOI).strftime("%Y%m%d%H%M%S")


def moment(text: str) -> datetime:
    """Raises ValueError."""
    return datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=language.HANOI)


def _address(fields: Mapping[str, str]) -> str:
    return urlencode(
        sorted((name, value) for name, value in fields.items() if value and name not in SHOWN_IN_ADDRESSES)
    )


def _piped(body: Mapping[str, str], names: tuple[str, ...]) -> str:
    return "|".join(body.get(f"vnp_{name}", "") for name in names)


def _hash(text: str, secret: str) -> str:
    return hmac.new(secret.encode(), text.encode(), hashlib.sha512).hexdigest()
