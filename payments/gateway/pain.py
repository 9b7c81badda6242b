"""The payout file (ISO 20022 pain.001) and what a bank says of it (pain.002). Pure: no network, no database.

pain.001.001.03 and pain.002.001.03: they belong to one message set, and both schemas are published in a package that
the tests read. Accounts are named by NAPAS' bin and number (`ClrSysMmbId`, `Othr`): Vietnam has no IBAN.

What a report says of one transfer:

1. Named with a status (`TxSts` of its `OrgnlEndToEndId`): just that, whatever stands above.
2. Not named: what the nearest level that has a status says of all, `PmtInfSts` before `GrpSts`, if three things hold:
   it is one status for all (not PART, not RCVD); the level states number and sum of the file, so all are meant; and no
   transfer that is named says less or the opposite, nor does the level above.
3. Else: unknown. What is not listed is not accepted; many banks list only what they rejected.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from uuid import UUID
from xml.etree.ElementTree import Element, SubElement, TreeBuilder, indent, tostring
from xml.parsers import expat

from foundation.clock import HANOI
from foundation.errors import BadPayload
from foundation.money import TRANSFER_MAX_VND
from payments.gateway import PayoutAnswer, PayoutFate, PayoutOrder, PayoutReport, PayoutTransfer

ORDERS = "pain.001.001.03"
REPORT = "pain.002.001.03"
NAMESPACE = "urn:iso:std:iso:20022:tech:xsd:"
LARGEST_BYTES = 2 * 1024 * 1024
DEEPEST = 20
LONGEST_NAME = 70
"""The schema takes 140; most banks cut behind this."""
LONGEST_TEXT = 140

STEPS = ("PDNG", "ACTC", "ACCP", "ACWC", "ACSP", "ACSC")
"""How far a transfer has come, beside RJCT. ACTC: only the file's form was checked."""
FATES: Mapping[str, PayoutFate] = {
    **dict.fromkeys(("PDNG", "ACTC"), "pending"),
    **dict.fromkeys(("ACCP", "ACWC", "ACSP"), "accepted"),
    "ACSC": "settled",
    "RJCT": "rejected",
}
LIKE = str.maketrans("đĐ–—&", "dD--+")
NOT_ALL_ALIKE = ("PART", "RCVD")
"""What only a level above transfers can say, and which tells nothing of one of them."""


@dataclass(frozen=True, slots=True)
class Instructed:
    """What a payout file tells the bank to do: `transfers` holds the amount in VND of each, by its id."""

    message_id: UUID
    transfers: Mapping[UUID, int]

    @property
    def total_vnd(self) -> int:
        return sum(self.transfers.values())


def write(order: PayoutOrder) -> bytes:
    """The file: the same bytes for an equal order, since a person signs their SHA-256.

    Ids stand in it as 32 hexadecimal digits, for 35 characters are the most; amounts as whole đồng. Names and texts are
    put into what banks take (`plain`) and cut. Raises ValueError for an order that no bank could carry out.
    """
    _check(order)
    document = Element("Document", xmlns=NAMESPACE + ORDERS)
    message = SubElement(document, "CstmrCdtTrfInitn")
    number, total_vnd = str(len(order.transfers)), str(sum(transfer.amount_vnd for transfer in order.transfers))
    group = SubElement(message, "GrpHdr")
    _put(group, "MsgId", order.message_id.hex)
    _put(group, "CreDtTm", order.created_at.astimezone(HANOI).isoformat(timespec="seconds"))
    _put(group, "NbOfTxs", number)
    _put(group, "CtrlSum", total_vnd)
    _put(group, "InitgPty/Nm", _name(order.account_name))
    payment = SubElement(message, "PmtInf")
    bin, account = order.account.split("/")
    _put(payment, "PmtInfId", order.message_id.hex)
    _put(payment, "PmtMtd", "TRF")
    _put(payment, "BtchBookg", "false")  # one debit for each, so that its line of the list names it
    _put(payment, "NbOfTxs", number)
    _put(payment, "CtrlSum", total_vnd)
    _put(payment, "ReqdExctnDt", order.execute_on.isoformat())
    _put(payment, "Dbtr/Nm", _name(order.account_name))
    _put(payment, "DbtrAcct/Id/Othr/Id", account)
    _put(payment, "DbtrAgt/FinInstnId/ClrSysMmbId/MmbId", bin)
    for transfer in order.transfers:
        _put_transfer(payment, order.batch, transfer)
    indent(document)
    file = b'<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(document) + b"\n"
    if len(file) > LARGEST_BYTES:
        raise ValueError("a payout file cannot be written: too large, make two of it")
    return file


def plain(text: str) -> str:
    """Text as every bank takes it (SWIFT's set x): Latin letters without diacritics, digits, / - ? : ( ) . , ' + and spaces."""
    letters = unicodedata.normalize("NFKD", text.translate(LIKE))
    bare = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return " ".join(re.sub(r"[^A-Za-z0-9/\-?:().,'+]", " ", bare).split())


def instructed(file: bytes) -> Instructed:
    """What a file made by `write` says. Raises ValueError for any other."""
    try:
        message = _message(file, ORDERS, "CstmrCdtTrfInitn")
        transfers = {
            UUID(_said(transfer, "PmtId/EndToEndId")): int(_said(transfer, "Amt/InstdAmt"))
            for transfer in message.findall("PmtInf/CdtTrfTxInf")
        }
        return Instructed(UUID(_said(message, "GrpHdr/MsgId")), transfers)
    except BadPayload as error:
        raise ValueError("this is no payout file of ours") from error


def read(report: bytes, file: bytes) -> PayoutReport:
    """What a pain.002 says of each transfer of our file; the module's docstring says what follows from which level.

    Raises BadPayload for what is no such report or none on this file: another message or payment, a transfer that is
    not in it or stands twice, a number, sum or amount that is not the file's, a status that nobody agreed on.
    """
    ours = instructed(file)
    message = _message(report, REPORT, "CstmrPmtStsRpt")
    group = _only(message, "OrgnlGrpInfAndSts")
    if group is None:
        raise BadPayload(reason="no OrgnlGrpInfAndSts")
    _must(_said(group, "OrgnlMsgId") == ours.message_id.hex, "a report on another message")
    _must(_said(group, "OrgnlMsgNmId") == ORDERS, "a report on another kind of message")
    payment = _only(message, "OrgnlPmtInfAndSts")
    named: dict[UUID, PayoutAnswer] = {}
    if payment is not None:
        _must(_said(payment, "OrgnlPmtInfId") == ours.message_id.hex, "a report on another payment")
        named = _named(payment, ours)
    whole = _level(group, "GrpSts", ours)
    levels = [whole] if payment is None else [_level(payment, "PmtInfSts", ours), whole]
    others = _of_others([level for level in levels if level is not None], named)
    return PayoutReport(
        message_id=ours.message_id,
        group_status=None if whole is None else whole.status,
        group_why=None if whole is None else whole.why,
        transfers={id: named.get(id, others) for id in ours.transfers},
    )


UNSAID = PayoutAnswer("unknown")


@dataclass(frozen=True, slots=True)
class _Level:
    """What a level above transfers says of them. `names_all`: it states the number and the sum of the file."""

    status: str
    why: str | None
    names_all: bool


def _level(level: Element, status_name: str, ours: Instructed) -> _Level | None:
    number, total = _text(level, "OrgnlNbOfTxs"), _text(level, "OrgnlCtrlSum")
    _must(number is None or _decimal(number) == len(ours.transfers), "another number of transfers")
    _must(total is None or _decimal(total) == ours.total_vnd, "another control sum")
    status = _text(level, status_name)
    if status is None:
        return None
    _must(status in FATES or status in NOT_ALL_ALIKE, "a status that is none")
    return _Level(status, _why(level), number is not None and total is not None)


def _named(payment: Element, ours: Instructed) -> dict[UUID, PayoutAnswer]:
    by_name = {id.hex: id for id in ours.transfers}
    named: dict[UUID, PayoutAnswer] = {}
    for transfer in payment.findall("TxInfAndSts"):
        id = by_name.get(_said(transfer, "OrgnlEndToEndId"))
        if id is None:
            raise BadPayload(reason="a transfer that is not in the file")
        _must(id not in named, "a transfer twice")
        amount = _text(transfer, "OrgnlTxRef/Amt/InstdAmt")
        _must(amount is None or _decimal(amount) == ours.transfers[id], "another amount")
        status = _text(transfer, "TxSts")
        _must(status is None or status in FATES, "a status that is none")
        named[id] = UNSAID if status is None else _answer(status, _why(transfer))
    return named


def _of_others(levels: Sequence[_Level], named: Mapping[UUID, PayoutAnswer]) -> PayoutAnswer:
    """What follows for transfers that are not named, from the levels that have a status, the nearest first."""
    if not levels:
        return UNSAID
    nearest, *above = levels
    if not nearest.names_all or nearest.status in NOT_ALL_ALIKE:
        return UNSAID
    alike = all(_bears_out(answer.status, nearest.status) for answer in named.values()) and all(
        _bears_out(nearest.status, level.status) for level in above if level.status not in NOT_ALL_ALIKE
    )
    return _answer(nearest.status, nearest.why) if alike else UNSAID


def _bears_out(one: str | None, of_all: str) -> bool:
    """Whether the status of one does not contradict what is said of all."""
    if one is None or "RJCT" in (one, of_all):
        return one == of_all
    return STEPS.index(one) >= STEPS.index(of_all)


def _answer(status: str, why: str | None) -> PayoutAnswer:
    return PayoutAnswer(FATES[status], status, why)


# --- writing ---------------------------------------------------------------------------------------------------------


def _check(order: PayoutOrder) -> None:
    transfers: Sequence[PayoutTransfer] = order.transfers
    accounts = [order.account, *(f"{transfer.bin}/{transfer.account}" for transfer in transfers)]
    wrong = {
        "no transfers": not transfers,
        "an id twice": len({transfer.id for transfer in transfers}) < len(transfers),
        "an amount": any(
            type(transfer.amount_vnd) is not int or not 1 <= transfer.amount_vnd <= TRANSFER_MAX_VND
            for transfer in transfers
        ),
        "an account": not all(re.fullmatch("[0-9]{6}/[0-9A-Za-z]{1,19}", account) for account in accounts),
        "a name": not all(plain(name) for name in (order.account_name, *(transfer.name for transfer in transfers))),
        "the batch": not re.fullmatch("[A-Za-z0-9-]{1,35}", order.batch),
        "the moment": order.created_at.tzinfo is None,
        "the day": isinstance(order.execute_on, datetime) or not isinstance(order.execute_on, date),
    }
    for what, is_wrong in wrong.items():
        if is_wrong:
            raise ValueError(f"a payout file cannot be written: {what}")


def _put_transfer(payment: Element, batch: str, transfer: PayoutTransfer) -> None:
    instruction = SubElement(payment, "CdtTrfTxInf")
    _put(instruction, "PmtId/EndToEndId", transfer.id.hex)
    _put(instruction, "Amt/InstdAmt", str(transfer.amount_vnd), Ccy="VND")
    _put(instruction, "CdtrAgt/FinInstnId/ClrSysMmbId/MmbId", transfer.bin)
    _put(instruction, "Cdtr/Nm", _name(transfer.name))
    _put(instruction, "CdtrAcct/Id/Othr/Id", transfer.account)
    # The number stands in front: what banks cut is the end.
    _put(instruction, "RmtInf/Ustrd", f"{batch} {plain(transfer.text)}"[:LONGEST_TEXT].rstrip())


def _put(parent: Element, path: str, text: str, **attributes: str) -> None:
    *between, last = path.split("/")
    for name in between:
        parent = SubElement(parent, name)
    SubElement(parent, last, attributes).text = text


def _name(name: str) -> str:
    return plain(name)[:LONGEST_NAME].rstrip()


# --- reading ---------------------------------------------------------------------------------------------------------


def _message(body: bytes, kind: str, name: str) -> Element:
    """The message inside the document, its elements without their namespace, which is checked."""
    document = _parse(body, NAMESPACE + kind)
    message = _only(document, name) if document.tag == "Document" else None
    if message is None:
        raise BadPayload(reason=f"no {kind}")
    return message


def _parse(body: bytes, namespace: str) -> Element:
    """XML as money needs it: bounded, one namespace, no document type and so no entities."""
    if len(body) > LARGEST_BYTES:
        raise BadPayload(reason="too large")
    tree, depth = TreeBuilder(), 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        of, _, local = name.rpartition(" ")
        _must(of == namespace, "another namespace")
        _must(depth <= DEEPEST, "nested too deeply")
        tree.start(local, attributes)

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        tree.end(name.rpartition(" ")[2])

    def document_type(*_: object) -> None:
        raise BadPayload(reason="a document type")

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = tree.data
    parser.StartDoctypeDeclHandler = document_type
    try:
        parser.Parse(body, True)
    except expat.ExpatError as error:
        raise BadPayload(reason="not well-formed XML") from error
    return tree.close()


def _only(parent: Element, path: str) -> Element | None:
    """The element at the path, if there is one; two would contradict each other."""
    found: Element | None = parent
    for name in path.split("/"):
        if found is None:
            return None
        alike = found.findall(name)
        _must(len(alike) <= 1, f"{name} twice")
        found = alike[0] if alike else None
    return found


def _text(parent: Element, path: str) -> str | None:
    element = _only(parent, path)
    return None if element is None else (element.text or "").strip()


def _said(parent: Element, path: str) -> str:
    text = _text(parent, path)
    if not text:
        raise BadPayload(reason=f"no {path}")
    return text


def _why(parent: Element) -> str | None:
    """The first reason: a code of the standard or of the bank's own."""
    for reason in parent.findall("StsRsnInf"):
        if why := _text(reason, "Rsn/Cd") or _text(reason, "Rsn/Prtry"):
            return why[:35]
    return None


def _decimal(text: str) -> Decimal:
    _must(re.fullmatch(r"[0-9]{1,18}(\.[0-9]{1,17})?", text) is not None, "a number that is none")
    return Decimal(text)


def _must(holds: bool, otherwise: str) -> None:
    if not holds:
        raise BadPayload(reason=otherwise)
