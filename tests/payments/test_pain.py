"""Payout files and reports on them: valid by the published schemas, and nothing follows from what a bank did not say."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from iso20022 import schema

from foundation.clock import HANOI
from foundation.errors import BadPayload
from foundation.money import TRANSFER_MAX_VND
from payments.gateway import PayoutAnswer, PayoutOrder, PayoutReport, PayoutTransfer, pain

FIRST, SECOND, THIRD = (UUID(int=number) for number in (1, 2, 3))


def transfer(id: UUID, amount_vnd: int = 150_000) -> PayoutTransfer:
    return PayoutTransfer(id, amount_vnd, "970422", "55501234", "Công ty Đỗ & Con", "Chi trả tuần 47")


ORDER = PayoutOrder(
    message_id=UUID(int=0xC0FFEE),
    batch="CT-2026-0007",
    created_at=datetime(2026, 11, 22, 10, 30, tzinfo=HANOI),
    execute_on=date(2026, 11, 23),
    account="970436/1234567890",
    account_name="Trung tâm Văn Miếu – Quốc Tử Giám",
    transfers=(transfer(FIRST), transfer(SECOND, 70_001), transfer(THIRD, 1)),
)
FILE = pain.write(ORDER)
names = st.text(min_size=1, max_size=200).filter(pain.plain)
orders = st.builds(
    PayoutOrder,
    message_id=st.uuids(),
    batch=st.from_regex("[A-Za-z0-9-]{1,35}", fullmatch=True),
    created_at=st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),
    execute_on=st.dates(date(2020, 1, 1), date(2100, 1, 1)),
    account=st.from_regex("[0-9]{6}/[0-9A-Za-z]{1,19}", fullmatch=True),
    account_name=names,
    transfers=st.lists(
        st.builds(
            PayoutTransfer,
            id=st.uuids(),
            amount_vnd=st.integers(1, TRANSFER_MAX_VND),
            bin=st.from_regex("[0-9]{6}", fullmatch=True),
            account=st.from_regex("[0-9A-Za-z]{1,19}", fullmatch=True),
            name=names,
            text=st.text(max_size=300),
        ),
        min_size=1,
        max_size=8,
        unique_by=lambda one: one.id,
    ),
)


# The file


@given(orders)
@settings(max_examples=40, deadline=None)
def test_every_file_is_valid_and_says_what_was_ordered(order: PayoutOrder) -> None:
    file = pain.write(order)
    assert file.isascii()
    assert pain.instructed(file).transfers == {one.id: one.amount_vnd for one in order.transfers}
    # Validated by the published schema as it is read.
    document: Any = schema(pain.ORDERS).to_dict(file.decode())
    message = document["CstmrCdtTrfInitn"]
    (payment,) = message["PmtInf"]
    total_vnd = sum(one.amount_vnd for one in order.transfers)
    for level in (message["GrpHdr"], payment):
        assert (level["NbOfTxs"], level["CtrlSum"]) == (str(len(order.transfers)), Decimal(total_vnd))
    said = payment["CdtTrfTxInf"]
    assert len({one["PmtId"]["EndToEndId"] for one in said}) == len(said)
    for one, ordered in zip(said, order.transfers, strict=True):
        assert one["Amt"]["InstdAmt"] == {"@Ccy": "VND", "$": Decimal(ordered.amount_vnd)}
        assert one["CdtrAcct"]["Id"]["Othr"]["Id"] == ordered.account
        (text,) = one["RmtInf"]["Ustrd"]
        assert text.startswith(order.batch) and len(text) <= 140
        assert len(one["Cdtr"]["Nm"]) <= 70


def test_an_equal_order_is_the_same_file_to_the_byte() -> None:
    other = dataclasses.replace(ORDER, created_at=ORDER.created_at.astimezone(UTC), transfers=list(ORDER.transfers))
    assert pain.write(other) == FILE
    assert hashlib.sha256(FILE).hexdigest() == "49de4031e34c736b2c035d027d295e79a2ed03708a252b8270d0811449683b51", (
        "a person signed files that read like this: change it only together with what is signed"
    )


@pytest.mark.parametrize(
    ("typed", "written"),
    [
        ("Trung tâm Văn Miếu – Quốc Tử Giám", "Trung tam Van Mieu - Quoc Tu Giam"),
        ("ĐƯỜNG ƠI", "DUONG OI"),
        ("A & B\n<C>", "A + B C"),
        ("１２３", "123"),
        ("寺", ""),
    ],
)
def test_texts_are_put_into_what_banks_take(typed: str, written: str) -> None:
    assert pain.plain(typed) == written


def test_an_amount_is_never_divided() -> None:
    assert b'<InstdAmt Ccy="VND">150000</InstdAmt>' in FILE
    assert b"<CtrlSum>220002</CtrlSum>" in FILE


@pytest.mark.parametrize(
    "wrong",
    [
        {"transfers": ()},
        {"transfers": (transfer(FIRST), transfer(FIRST))},
        {"transfers": (transfer(FIRST, 0),)},
        {"transfers": (transfer(FIRST, -1),)},
        {"transfers": (transfer(FIRST, True),)},
        {"transfers": (transfer(FIRST, TRANSFER_MAX_VND + 1),)},
        {"transfers": (dataclasses.replace(transfer(FIRST), amount_vnd=1.0),)},  # type: ignore[arg-type]
        {"transfers": (dataclasses.replace(transfer(FIRST), bin="97042"),)},
        {"transfers": (dataclasses.replace(transfer(FIRST), account="555 01"),)},
        {"transfers": (dataclasses.replace(transfer(FIRST), name="寺"),)},
        {"transfers": tuple(transfer(UUID(int=number)) for number in range(4_000))},
        {"account": "1234567890"},
        {"account_name": " "},
        {"batch": ""},
        {"batch": "lô 7"},
        {"batch": "B" * 36},
        {"created_at": datetime(2026, 11, 22)},
        {"execute_on": datetime(2026, 11, 23, tzinfo=HANOI)},
    ],
)
def test_an_order_that_no_bank_could_carry_out_is_not_written(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="cannot be written"):
        pain.write(dataclasses.replace(ORDER, **wrong))  # type: ignore[arg-type]


@pytest.mark.parametrize("file", [b"", b"<Document/>", FILE.replace(b"pain.001", b"pain.009"), FILE[:-20]])
def test_a_file_that_is_not_ours_is_not_read(file: bytes) -> None:
    with pytest.raises(ValueError, match="no payout file"):
        pain.instructed(file)


# The report

ALL = "<OrgnlNbOfTxs>3</OrgnlNbOfTxs><OrgnlCtrlSum>220002</OrgnlCtrlSum>"


def reason(code: str) -> str:
    return f"<StsRsnInf><Rsn><Cd>{code}</Cd></Rsn></StsRsnInf>" if code else ""


def one(id: UUID, status: str, why: str = "", more: str = "") -> str:
    status = status and f"<TxSts>{status}</TxSts>"
    return f"<TxInfAndSts><OrgnlEndToEndId>{id.hex}</OrgnlEndToEndId>{status}{reason(why)}{more}</TxInfAndSts>"


def report(
    *named: str, group: str = "", payment: str | None = "", group_why: str = "", of: str = ALL, payment_of: str = ALL
) -> bytes:
    """A report with the statuses of each level. `of`: the number and the sum that a level states."""
    group = group and f"<GrpSts>{group}</GrpSts>"
    payment = payment and f"<PmtInfSts>{payment}</PmtInfSts>"
    inner = f"<OrgnlPmtInfId>{ORDER.message_id.hex}</OrgnlPmtInfId>{payment_of}{payment}{''.join(named)}"
    payment = "" if payment is None else f"<OrgnlPmtInfAndSts>{inner}</OrgnlPmtInfAndSts>"
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.002.001.03"><CstmrPmtStsRpt>'
        "<GrpHdr><MsgId>R1</MsgId><CreDtTm>2026-11-22T10:31:00+07:00</CreDtTm></GrpHdr>"
        f"<OrgnlGrpInfAndSts><OrgnlMsgId>{ORDER.message_id.hex}</OrgnlMsgId>"
        f"<OrgnlMsgNmId>pain.001.001.03</OrgnlMsgNmId>{of}{group}{reason(group_why)}</OrgnlGrpInfAndSts>{payment}"
        "</CstmrPmtStsRpt></Document>"
    ).encode()


def read(body: bytes) -> PayoutReport:
    schema(pain.REPORT).validate(body.decode())
    return pain.read(body, FILE)


def statuses(body: bytes) -> list[str | None]:
    """Of each transfer of the file, in its order."""
    said = read(body).transfers
    assert list(said) == [FIRST, SECOND, THIRD]
    return [answer.status for answer in said.values()]


def test_each_transfer_is_what_its_own_line_says() -> None:
    body = report(one(FIRST, "ACSC"), one(SECOND, "RJCT", "AC03"), one(THIRD, "PDNG"), group="PART")
    assert read(body) == PayoutReport(
        ORDER.message_id,
        "PART",
        None,
        {
            FIRST: PayoutAnswer("settled", "ACSC"),
            SECOND: PayoutAnswer("rejected", "RJCT", "AC03"),
            THIRD: PayoutAnswer("pending", "PDNG"),
        },
    )


@pytest.mark.parametrize(
    ("status", "fate"),
    [
        ("PDNG", "pending"),
        ("ACTC", "pending"),
        ("ACCP", "accepted"),
        ("ACWC", "accepted"),
        ("ACSP", "accepted"),
        ("ACSC", "settled"),
        ("RJCT", "rejected"),
    ],
)
@pytest.mark.parametrize("level", ["group", "payment", "transfer"])
def test_every_status_of_every_level_is_understood(level: str, status: str, fate: str) -> None:
    bodies = {
        "group": report(group=status, payment=None),
        "payment": report(payment=status),
        "transfer": report(*(one(id, status) for id in (FIRST, SECOND, THIRD))),
    }
    assert [(said.fate, said.status) for said in read(bodies[level]).transfers.values()] == [(fate, status)] * 3


@pytest.mark.parametrize(
    ("body", "others"),
    [
        # Only the rejected one is listed: of the others nothing was said.
        (report(one(FIRST, "RJCT", "AC03"), group="PART"), None),
        (report(one(FIRST, "RJCT", "AC03"), payment="PART"), None),
        (report(one(FIRST, "RJCT", "AC03")), None),
        (report(one(FIRST, "ACSC"), group="RCVD"), None),
        # All are said to be accepted, and one of them is not.
        (report(one(FIRST, "RJCT", "AC03"), group="ACCP"), None),
        (report(one(FIRST, "PDNG"), group="ACCP"), None),
        (report(one(FIRST, "ACSP"), payment="ACSC"), None),
        (report(one(FIRST, ""), group="ACSC"), None),
        # All are said to be rejected, and one of them is not.
        (report(one(FIRST, "ACSC"), group="RJCT"), None),
        # All are said to be something, and all are meant.
        (report(one(FIRST, "ACSC"), group="ACCP"), "ACCP"),
        (report(one(FIRST, "RJCT"), group="RJCT"), "RJCT"),
        # It does not say how many it means, or how much.
        (report(one(FIRST, "ACSC"), group="ACCP", of=""), None),
        (report(one(FIRST, "ACSC"), group="ACCP", of="<OrgnlNbOfTxs>3</OrgnlNbOfTxs>"), None),
        (report(one(FIRST, "ACSC"), payment="ACCP", payment_of=""), None),
        # The nearest level speaks, unless the one above says the opposite.
        (report(one(FIRST, "ACSC"), payment="ACSP", group="ACCP"), "ACSP"),
        (report(one(FIRST, "ACSC"), payment="ACSP", group="PART"), "ACSP"),
        (report(one(FIRST, "ACSC"), payment="PART", group="ACCP"), None),
        (report(one(FIRST, "ACSC"), payment="ACSP", group="RJCT"), None),
        (report(one(FIRST, "RJCT"), payment="RJCT", group="ACCP"), None),
    ],
)
def test_what_is_not_listed_is_what_a_level_says_of_all_or_unknown(body: bytes, others: str | None) -> None:
    assert statuses(body)[1:] == [others] * 2
    assert all((answer.fate == "unknown") == (answer.status is None) for answer in read(body).transfers.values())


def test_a_whole_file_is_rejected_with_its_reason() -> None:
    said = read(report(group="RJCT", group_why="AM10", payment=None))
    assert (said.group_status, said.group_why) == ("RJCT", "AM10")
    assert set(said.transfers.values()) == {PayoutAnswer("rejected", "RJCT", "AM10")}


def test_a_sum_may_be_stated_with_decimals() -> None:
    assert statuses(report(group="ACSC", of=ALL.replace("220002", "220002.00"))) == ["ACSC"] * 3


def test_an_amount_may_be_stated_and_is_compared() -> None:
    amount = '<OrgnlTxRef><Amt><InstdAmt Ccy="VND">150000</InstdAmt></Amt></OrgnlTxRef>'
    assert statuses(report(one(FIRST, "ACSC", more=amount)))[0] == "ACSC"
    with pytest.raises(BadPayload, match="another amount"):
        read(report(one(FIRST, "ACSC", more=amount.replace("150000", "1500.00"))))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda body: b"", "not well-formed"),
        (lambda body: b"\x00", "not well-formed"),
        (lambda body: body[:-3], "not well-formed"),
        (lambda body: b'{"status": "ACSC"}', "not well-formed"),
        (lambda body: b"<html><body>502</body></html>", "namespace"),
        (lambda body: FILE, "namespace"),
        (lambda body: body.replace(b"pain.002.001.03", b"pain.002.001.10"), "namespace"),
        (lambda body: body.replace(b"CstmrPmtStsRpt", b"CstmrCdtTrfInitn"), "no pain.002"),
        (lambda body: body.replace(b"OrgnlGrpInfAndSts", b"OrgnlGrpInf"), "no OrgnlGrpInfAndSts"),
        (lambda body: body.replace(b"<Document", b"<!DOCTYPE d><Document", 1), "document type"),
        (
            lambda body: body.replace(b"<Document", b'<!DOCTYPE d [<!ENTITY e "ACSC">]><Document', 1).replace(
                b"PART", b"&e;"
            ),
            "document type",
        ),
        (lambda body: body.replace(b"PART", b"&e;"), "not well-formed"),
        (lambda body: body.replace(b"PART", b"<a>" * 30 + b"</a>" * 30), "deeply"),
        (lambda body: body + b" " * pain.LARGEST_BYTES, "too large"),
        (lambda body: body.replace(b"00c0ffee</OrgnlMsgId>", b"00c0ffff</OrgnlMsgId>"), "another message"),
        (lambda body: body.replace(b"<OrgnlMsgNmId>pain.001", b"<OrgnlMsgNmId>pain.008"), "kind of message"),
        (lambda body: body.replace(b"00c0ffee</OrgnlPmtInfId>", b"00c0ffff</OrgnlPmtInfId>"), "another payment"),
        (lambda body: body.replace(FIRST.hex.encode(), UUID(int=9).hex.encode()), "not in the file"),
        (lambda body: body.replace(FIRST.hex.encode(), SECOND.hex.encode()), "a transfer twice"),
        (lambda body: body.replace(FIRST.hex.encode(), b""), "no OrgnlEndToEndId"),
        (lambda body: body.replace(b"ACSC", b"PART"), "a status"),
        (lambda body: body.replace(b"ACSC", b"DONE"), "a status"),
        (lambda body: body.replace(b"<GrpSts>PART", b"<GrpSts>"), "a status"),
        (lambda body: body.replace(b"<GrpSts>", b"<GrpSts>ACSC</GrpSts><GrpSts>"), "GrpSts twice"),
        (lambda body: body.replace(b">3</OrgnlNbOfTxs>", b">2</OrgnlNbOfTxs>", 1), "another number"),
        (lambda body: body.replace(b">3</OrgnlNbOfTxs>", b">three</OrgnlNbOfTxs>", 1), "a number that is none"),
        (lambda body: body.replace(b">220002<", b">2200.02<", 1), "another control sum"),
        (lambda body: b">220003<".join(body.rsplit(b">220002<", 1)), "another control sum"),
    ],
)
def test_a_report_that_is_none_or_not_on_this_file_is_refused(change: Callable[[bytes], bytes], why: str) -> None:
    body = report(one(FIRST, "ACSC"), one(SECOND, "RJCT", "AC03"), group="PART")
    assert statuses(body) == ["ACSC", "RJCT", None]
    assert change(body) != body
    with pytest.raises(BadPayload, match=why):
        pain.read(change(body), FILE)


@given(
    st.binary(max_size=300) | st.text(max_size=100).map(lambda text: report(text.replace("<", "")).replace(b"R1", b""))
)
@settings(max_examples=200, deadline=None)
def test_whatever_a_bank_sends_is_read_or_refused(body: bytes) -> None:
    try:
        said = pain.read(body, FILE)
    except BadPayload:
        return
    assert all(answer.fate == "unknown" for answer in said.transfers.values())
