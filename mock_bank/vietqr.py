"""VietQR: the text inside a bank-transfer QR code, read as a payer's bank reads it.

Source: NAPAS "QR Format T&C" v1.0 (09/2021) and v1.5.2, on EMVCo Merchant-Presented Mode. Pure: no clock, no database.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mock_bank.refusal import Refusal

NAPAS = "A000000727"
SERVICES = frozenset({"QRIBFTTA", "QRIBFTTC", "QRPUSH"})
LONGEST_PAYLOAD = 512  # EMVCo
LARGEST_TRANSFER_VND = 499_999_999


class BrokenCode(Refusal):
    """This code is damaged or incomplete. Copy or photograph it again."""

    status = 400


class WrongChecksum(Refusal):
    """This code was copied with a mistake: its check digits do not agree. Copy it again."""

    status = 400


class NotATransferCode(Refusal):
    """This is not a VietQR bank-transfer code."""

    status = 400


class ForeignCurrency(Refusal):
    """This code is not for Vietnamese đồng in Vietnam."""

    status = 400


class BadAmount(Refusal):
    """The amount must be a whole number of đồng from 1 to 499,999,999."""

    status = 400


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """What a code asks for. `amount_vnd` None: the payer decides; `text` empty: the payer writes it."""

    bin: str
    account: str
    service: str
    amount_vnd: int | None
    text: str
    one_payment: bool


def checksum(text: str) -> str:
    """CRC-16/CCITT-FALSE as four upper-case hexadecimal digits (polynomial 1021, start FFFF, nothing reflected)."""
    crc = 0xFFFF
    for byte in text.encode():
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return f"{crc:04X}"


def read(payload: str) -> Transfer:
    """What the code asks for; a Refusal in plain words if it cannot be paid by bank transfer.

    The checksum is accepted in lower case too, as the MB app writes it.
    """
    payload = payload.strip()
    if len(payload) > LONGEST_PAYLOAD or not payload.isprintable():
        raise BrokenCode
    fields = _fields(payload)
    tags = list(fields)
    if tags[0] != "00" or fields["00"] != "01" or tags[-1] != "63" or len(fields["63"]) != 4:
        raise BrokenCode
    if checksum(payload[:-4]) != fields["63"].upper():
        raise WrongChecksum
    if "38" not in fields:
        raise NotATransferCode
    if fields.get("53") != "704" or fields.get("58") != "VN":
        raise ForeignCurrency
    if fields.get("01") not in ("11", "12"):
        raise BrokenCode
    bank_bin, account, service = _beneficiary(fields["38"])
    text = _fields(fields["62"]).get("08", "") if "62" in fields else ""
    if len(text) > 25:
        raise BrokenCode
    return Transfer(
        bin=bank_bin,
        account=account,
        service=service,
        amount_vnd=_amount_vnd(fields["54"]) if "54" in fields else None,
        text="" if text == "***" else text,
        one_payment=fields["01"] == "12",
    )


def _fields(text: str) -> dict[str, str]:
    """Tag, two digits of length, value, and again; lengths count characters, no tag stands twice."""
    fields: dict[str, str] = {}
    at = 0
    while at < len(text):
        head = re.compile(r"([0-9]{2})([0-9]{2})").match(text, at)
        if head is None or head[1] in fields or head[2] == "00" or head.end() + int(head[2]) > len(text):
            raise BrokenCode
        at = head.end() + int(head[2])
        fields[head[1]] = text[head.end() : at]
    if not fields:
        raise BrokenCode
    return fields


def _beneficiary(value: str) -> tuple[str, str, str]:
    merchant = _fields(value)
    if merchant.get("00") != NAPAS:
        raise NotATransferCode
    if "01" not in merchant or merchant.get("02") not in SERVICES:
        raise BrokenCode
    bank = _fields(merchant["01"])
    bank_bin, account = bank.get("00", ""), bank.get("01", "")
    if not re.fullmatch(r"[0-9]{6}", bank_bin) or not re.fullmatch(r"[0-9A-Za-z]{1,19}", account):
        raise BrokenCode
    return bank_bin, account, merchant["02"]


def _amount_vnd(value: str) -> int:
    """The đồng has no smaller unit, so at most a lonely final point is tolerated: `50000.` but not `50000.5`."""
    if len(value) > 13 or not re.fullmatch(r"[0-9]+\.?", value):
        raise BadAmount
    amount_vnd = int(value.rstrip("."))
    if not 1 <= amount_vnd <= LARGEST_TRANSFER_VND:
        raise BadAmount
    return amount_vnd
