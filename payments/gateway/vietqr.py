"""VietQR: the payment code that every banking app in Vietnam reads (EMVCo merchant-presented, NAPAS template 38).

A payload is a row of fields, each two digits of tag, two digits of length and its value; tag 00 first, 63 (CRC) last.
Source of the rules: NAPAS "QR Format T&C" 1.0 (09/2021) and its revision 1.5.2 (10/2022). Only tag 62-08, at most 25
letters, digits and spaces, reaches the memo of the transfer, so the order reference stands there.
"""

from __future__ import annotations

import binascii
import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

from foundation.errors import Refusal

MOST_VND = 499_999_999
"""The most one instant transfer between banks may carry: under 500 million đồng."""

_AID = "A000000727"
_SERVICES_BUILT = ("QRIBFTTA", "QRIBFTTC")
# QRPUSH came with 1.5.2, which is not public in full: such a code is read, never built.
_SERVICES_READ = (*_SERVICES_BUILT, "QRPUSH")
_LONGEST_PAYLOAD = 512
_WORDS = re.compile(r"[A-Za-z0-9 ]{1,25}")
_ACCOUNT = re.compile(r"[A-Za-z0-9]{1,19}")
_ASK_THE_PAYER = "***"


class VietqrRefused(Refusal):
    """This payment code cannot be used."""

    status = 422
    code: ClassVar[str] = "vietqr_refused"


class VietqrNotAscii(VietqrRefused):
    """The payment code has characters outside ASCII, so two readers could disagree about where a field ends."""


class VietqrTooLong(VietqrRefused):
    """The payment code is longer than {longest} characters."""


class VietqrTagNotDigits(VietqrRefused):
    """A tag or a length in the payment code is not made of two digits."""


class VietqrBadLength(VietqrRefused):
    """The length of field {tag} of the payment code is wrong."""


class VietqrDuplicateTag(VietqrRefused):
    """Field {tag} stands twice in the payment code."""


class VietqrMissingField(VietqrRefused):
    """Field {tag} is missing in the payment code."""


class VietqrBadField(VietqrRefused):
    """Field {tag} of the payment code has a value that is not allowed."""


class VietqrTrailingGarbage(VietqrRefused):
    """Something stands behind the end of the payment code."""


class VietqrCrcMismatch(VietqrRefused):
    """The checksum of the payment code is wrong: it was damaged or altered."""


class NotAVietqr(VietqrRefused):
    """This is a payment code of another system, not a VietQR."""

    code = "not_a_vietqr"


class VietqrNoAid(VietqrRefused):
    """The payment code does not say which system it belongs to."""


class VietqrWrongCurrency(VietqrRefused):
    """The payment code is not in Vietnamese đồng."""


class VietqrTipOrFee(VietqrRefused):
    """The payment code adds a tip or a fee to its amount."""


class VietqrAmountNotWhole(VietqrRefused):
    """The amount of a payment code must be a whole number of đồng."""


class VietqrAmountZero(VietqrRefused):
    """The amount of a payment code must be more than 0 đồng."""


class VietqrAmountTooLarge(VietqrRefused):
    """The amount of a payment code may be at most {most_vnd} đồng."""


class VietqrBadBin(VietqrRefused):
    """The bank number in a payment code must have six digits."""


class VietqrUnknownBank(VietqrRefused):
    """No bank with the number {bin} is known."""


class VietqrBadAccount(VietqrRefused):
    """The account in a payment code must have 1 to 19 letters or digits."""


class VietqrBadPurpose(VietqrRefused):
    """The purpose in a payment code must have at most 25 letters, digits or spaces, without marks."""


class VietqrBadBillNumber(VietqrRefused):
    """The bill number in a payment code must have at most 25 letters, digits or spaces, without marks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VietQR:
    """What a payment code asks for. `bill_number` and `purpose` are empty where the code has none.

    initiation "11" for many payments, "12" for one; service "QRIBFTTA" (to an account), "QRIBFTTC" (to a card) or
    "QRPUSH"; amount_vnd 1..499,999,999, None where the payer types it; purpose "***" asks the payer for one.
    """

    initiation: str
    bin: str
    account: str
    service: str
    amount_vnd: int | None
    bill_number: str
    purpose: str


def build(
    *,
    bin: str,
    account: str,
    amount_vnd: int | None,
    text: str,
    bill_number: str = "",
    service: str = "QRIBFTTA",
) -> str:
    """The payload of a VietQR: dynamic (one payment) with an amount, static without one.

    `text` is the purpose, which becomes the memo of the transfer; empty text and bill number are left out.
    Raises a VietqrRefused for whatever a bank could misread.
    """
    if service not in _SERVICES_BUILT:
        raise VietqrBadField(tag="38-02")
    beneficiary = _field("00", _checked_bin(bin)) + _field("01", _checked_account(account))
    payload = _field("00", "01") + _field("01", "11" if amount_vnd is None else "12")
    payload += _field("38", _field("00", _AID) + _field("01", beneficiary) + _field("02", service))
    payload += _field("53", "704")
    if amount_vnd is not None:
        payload += _field("54", str(_checked_amount(amount_vnd)))
    payload += _field("58", "VN")
    additional = ""
    if bill_number:
        additional += _field("01", _checked_words(bill_number, VietqrBadBillNumber))
    if text:
        additional += _field("08", _checked_words(text, VietqrBadPurpose))
    if additional:
        payload += _field("62", additional)
    payload += "6304"
    return payload + crc(payload)


def parse(payload: str) -> VietQR:
    """What a VietQR asks for, read strictly; a lower-case checksum and an amount as "50000." are legal.

    Raises a VietqrRefused with a code of its own for every way in which it is wrong.
    """
    if not payload.isascii():
        raise VietqrNotAscii
    if len(payload) > _LONGEST_PAYLOAD:
        raise VietqrTooLong(longest=_LONGEST_PAYLOAD)
    fields = _fields(payload, ends_with_crc=True)
    if fields["63"].upper() != crc(payload[:-4]):
        raise VietqrCrcMismatch
    _expect(fields, "00", "01")
    initiation = _needed(fields, "01")
    if initiation not in ("11", "12"):
        raise VietqrBadField(tag="01")
    bin, account, service = _beneficiary(fields)
    if not re.fullmatch(r"[0-9]{4}", fields.get("52", "0000")):
        raise VietqrBadField(tag="52")
    if _needed(fields, "53") != "704":
        raise VietqrWrongCurrency
    if fields.keys() & {"55", "56", "57"}:
        raise VietqrTipOrFee
    _expect(fields, "58", "VN")
    amount_vnd = _read_amount(fields["54"]) if "54" in fields else None
    additional = _fields(fields["62"], inside="62") if "62" in fields else {}
    purpose = additional.get("08", "")
    if purpose and purpose != _ASK_THE_PAYER:
        _checked_words(purpose, VietqrBadPurpose)
    bill_number = additional.get("01", "")
    if bill_number:
        _checked_words(bill_number, VietqrBadBillNumber)
    return VietQR(
        initiation=initiation,
        bin=bin,
        account=account,
        service=service,
        amount_vnd=amount_vnd,
        bill_number=bill_number,
        purpose=purpose,
    )


def crc(text: str) -> str:
    """CRC-16/CCITT-FALSE (polynomial 1021, initial FFFF, not reflected) as four upper-case hexadecimal digits."""
    # The standard library's CRC has the same polynomial and bit order; only its initial value is ours to give.
    return f"{binascii.crc_hqx(text.encode(), 0xFFFF):04X}"


def bank_name(bin: str) -> str:
    """The name of the bank with this six-digit number. Raises VietqrBadBin, VietqrUnknownBank."""
    return banks()[_checked_bin(bin)]


@lru_cache(maxsize=1)
def banks() -> Mapping[str, str]:
    with Path(__file__).with_name("banks.csv").open(encoding="utf-8", newline="") as file:
        return {row["bin"]: row["name"] for row in csv.DictReader(file)}


def _field(tag: str, value: str) -> str:
    return f"{tag}{len(value):02d}{value}"


def _fields(row: str, *, inside: str = "", ends_with_crc: bool = False) -> dict[str, str]:
    fields: dict[str, str] = {}
    at = 0
    while at < len(row):
        if "63" in fields and ends_with_crc:
            raise VietqrTrailingGarbage
        head = row[at : at + 4]
        tag = f"{inside}-{head[:2]}" if inside else head[:2]
        if not head.isdigit():
            raise VietqrTagNotDigits
        if len(head) < 4:
            raise VietqrBadLength(tag=tag)
        length = int(head[2:])
        value = row[at + 4 : at + 4 + length]
        if length == 0 or len(value) != length:
            raise VietqrBadLength(tag=tag)
        if head[:2] in fields:
            raise VietqrDuplicateTag(tag=tag)
        fields[head[:2]] = value
        at += 4 + length
    if ends_with_crc:
        if "63" not in fields:
            raise VietqrMissingField(tag="63")
        if len(fields["63"]) != 4:
            raise VietqrBadLength(tag="63")
        if next(iter(fields)) != "00":
            raise VietqrBadField(tag="00")
    return fields


def _beneficiary(fields: Mapping[str, str]) -> tuple[str, str, str]:
    if "38" not in fields:
        raise NotAVietqr
    template = _fields(fields["38"], inside="38")
    if "00" not in template:
        raise VietqrNoAid
    if template["00"] != _AID:
        raise NotAVietqr
    account = _fields(_needed(template, "01", inside="38"), inside="38-01")
    service = _needed(template, "02", inside="38")
    if service not in _SERVICES_READ:
        raise VietqrBadField(tag="38-02")
    return (
        _checked_bin(_needed(account, "00", inside="38-01")),
        _checked_account(_needed(account, "01", inside="38-01")),
        service,
    )


def _needed(fields: Mapping[str, str], tag: str, *, inside: str = "") -> str:
    if tag not in fields:
        raise VietqrMissingField(tag=f"{inside}-{tag}" if inside else tag)
    return fields[tag]


def _expect(fields: Mapping[str, str], tag: str, value: str) -> None:
    if _needed(fields, tag) != value:
        raise VietqrBadField(tag=tag)


def _read_amount(text: str) -> int:
    if not re.fullmatch(r"[0-9]+\.?", text):
        raise VietqrAmountNotWhole
    if len(text) > 13:
        raise VietqrBadLength(tag="54")
    return _checked_amount(int(text.removesuffix(".")))


def _checked_amount(amount_vnd: int) -> int:
    # True is an int to Python, and a float may come from an untyped caller.
    if type(amount_vnd) is not int:
        raise VietqrAmountNotWhole
    if amount_vnd <= 0:
        raise VietqrAmountZero
    if amount_vnd > MOST_VND:
        raise VietqrAmountTooLarge(most_vnd=MOST_VND)
    return amount_vnd


def _checked_bin(bin: str) -> str:
    if not re.fullmatch(r"[0-9]{6}", bin):
        raise VietqrBadBin
    # Not every number begins with 9704, so only the table decides.
    if bin not in banks():
        raise VietqrUnknownBank(bin=bin)
    return bin


def _checked_account(account: str) -> str:
    if not _ACCOUNT.fullmatch(account):
        raise VietqrBadAccount
    return account


def _checked_words(text: str, refusal: type[VietqrRefused]) -> str:
    if not _WORDS.fullmatch(text):
        raise refusal
    return text
