"""ISO 20022 as the bank speaks it: payout files in (pain.001.001.03), reports on them out (pain.002.001.03). Pure.

Taken are files of one payment instruction, in whole đồng, with accounts named by the bank's bin and number.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated
from uuid import uuid4
from xml.etree.ElementTree import Element, SubElement, TreeBuilder, tostring
from xml.parsers import expat

from pydantic import Field, ValidationError

from mock_bank import memo
from mock_bank.account import AccountNumber, Bin, Name, Printable
from mock_bank.refusal import BadPayload
from mock_bank.web import In

ORDERS = "pain.001.001.03"
REPORT = "pain.002.001.03"
NAMESPACE = "urn:iso:std:iso:20022:tech:xsd:"
DEEPEST = 20
LARGEST_PAYOUT_VND = 500_000_000_000

Id = Annotated[str, Field(pattern=r"^[\x21-\x7e]{1,35}$")]
Count = Annotated[int, Field(ge=0, lt=10**15)]
Vnd = Annotated[int, Field(ge=0, lt=10**18)]


class Transfer(In):
    """One transfer as it was asked for. `id`: its EndToEndId."""

    id: Id
    amount_vnd: Annotated[int, Field(ge=1, le=LARGEST_PAYOUT_VND)]
    bin: Bin
    account: AccountNumber
    name: Name
    text: Annotated[Printable, Field(max_length=memo.LONGEST_TEXT)]


class PayoutFile(In):
    """A file as it was handed in. `number`, `total_vnd`: what it says of itself; `bin`, `account`: who pays."""

    message_id: Id
    payment_id: Id
    number: Count
    total_vnd: Vnd
    payment_number: Count
    payment_total_vnd: Vnd
    execute_on: date
    bin: Bin
    account: AccountNumber
    transfers: Annotated[list[Transfer], Field(min_length=1)]

    @property
    def refusal(self) -> str | None:
        """The reason for which nothing of it can be taken on: AM18, another number; AM10, another control sum."""
        total_vnd = sum(transfer.amount_vnd for transfer in self.transfers)
        if {self.number, self.payment_number} != {len(self.transfers)}:
            return "AM18"
        return "AM10" if {self.total_vnd, self.payment_total_vnd} != {total_vnd} else None


@dataclass(frozen=True, slots=True)
class Said:
    """What the bank says of a transfer. `why`: the code for its rejection; `omitted`: the report leaves it out."""

    id: str
    status: str
    why: str | None
    omitted: bool


def read(body: bytes) -> PayoutFile:
    """The file. Raises BadPayload for whatever is none that this bank takes."""
    message = _parse(body, NAMESPACE + ORDERS).find("CstmrCdtTrfInitn")
    if message is None:
        raise BadPayload(reason=f"no {ORDERS}")
    payment = _one(message, "PmtInf")
    _must(_text(payment, "PmtMtd") == "TRF", "PmtMtd: only TRF")
    _must((payment.findtext("BtchBookg") or "false") in ("false", "0"), "BtchBookg: one debit for each transfer only")
    try:
        file = PayoutFile(
            message_id=_text(message, "GrpHdr/MsgId"),
            payment_id=_text(payment, "PmtInfId"),
            number=_whole(_text(message, "GrpHdr/NbOfTxs")),
            total_vnd=_whole(_text(message, "GrpHdr/CtrlSum")),
            payment_number=_whole(_text(payment, "NbOfTxs")),
            payment_total_vnd=_whole(_text(payment, "CtrlSum")),
            execute_on=date.fromisoformat(_text(payment, "ReqdExctnDt")),
            bin=_text(payment, "DbtrAgt/FinInstnId/ClrSysMmbId/MmbId"),
            account=_text(payment, "DbtrAcct/Id/Othr/Id"),
            transfers=[_transfer(element) for element in payment.findall("CdtTrfTxInf")],
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise BadPayload(reason=f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}") from None
    except ValueError as error:
        raise BadPayload(reason=str(error)) from None
    _must(len({one.id for one in file.transfers}) == len(file.transfers), "EndToEndId: one stands twice")
    return file


def report(
    *,
    message_id: str,
    payment_id: str,
    number: int,
    total_vnd: int,
    why: str | None,
    at: datetime,
    said: Sequence[Said],
) -> str:
    """The report on a file. `why`: for which nothing of it was taken on. Levels above say one thing only if nothing is
    left out below."""
    document = Element("Document", xmlns=NAMESPACE + REPORT)
    message = SubElement(document, "CstmrPmtStsRpt")
    header = SubElement(message, "GrpHdr")
    _put(header, "MsgId", uuid4().hex)
    _put(header, "CreDtTm", at.isoformat(timespec="seconds"))
    of_all = "PART" if any(one.omitted for one in said) else _of_all({one.status for one in said})
    group = SubElement(message, "OrgnlGrpInfAndSts")
    _put(group, "OrgnlMsgId", message_id)
    _put(group, "OrgnlMsgNmId", ORDERS)
    payment = SubElement(message, "OrgnlPmtInfAndSts")
    _put(payment, "OrgnlPmtInfId", payment_id)
    for level, status in ((group, "GrpSts"), (payment, "PmtInfSts")):
        _put(level, "OrgnlNbOfTxs", str(number))
        _put(level, "OrgnlCtrlSum", str(total_vnd))
        _put(level, status, of_all)
        _put_why(level, why)
    for one in said:
        if not one.omitted:
            transfer = SubElement(payment, "TxInfAndSts")
            _put(transfer, "OrgnlEndToEndId", one.id)
            _put(transfer, "TxSts", one.status)
            _put_why(transfer, one.why)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(document, encoding="unicode")


def _of_all(statuses: set[str]) -> str:
    """All rejected; or none, and as far as the last of them; or PART."""
    if "RJCT" in statuses:
        return "RJCT" if statuses == {"RJCT"} else "PART"
    return next(step for step in ("ACCP", "ACSP", "ACSC") if step in statuses)


def _transfer(element: Element) -> Transfer:
    amount = _one(element, "Amt/InstdAmt")
    _must(amount.get("Ccy") == "VND", "InstdAmt: only VND")
    return Transfer(
        id=_text(element, "PmtId/EndToEndId"),
        amount_vnd=_whole(amount.text or ""),
        bin=_text(element, "CdtrAgt/FinInstnId/ClrSysMmbId/MmbId"),
        account=_text(element, "CdtrAcct/Id/Othr/Id"),
        name=_text(element, "Cdtr/Nm"),
        text=_text(element, "RmtInf/Ustrd"),
    )


def _whole(text: str) -> int:
    # Decimals that say nothing are allowed; the đồng has none.
    if re.fullmatch(r"[0-9]{1,18}(\.0{1,5})?", text) is None:
        raise ValueError(f"{text[:40]!r}: not a whole number")
    return int(Decimal(text))


def _one(parent: Element, path: str) -> Element:
    found = parent.findall(path)
    _must(len(found) == 1, f"{path}: exactly one")
    return found[0]


def _text(parent: Element, path: str) -> str:
    return (_one(parent, path).text or "").strip()


def _put(parent: Element, name: str, text: str) -> None:
    SubElement(parent, name).text = text


def _put_why(parent: Element, why: str | None) -> None:
    if why is not None:
        _put(SubElement(SubElement(parent, "StsRsnInf"), "Rsn"), "Cd", why)


def _must(holds: bool, otherwise: str) -> None:
    if not holds:
        raise BadPayload(reason=otherwise)


def _parse(body: bytes, namespace: str) -> Element:
    """The document, its elements without their namespace. A document type, and so every entity, is refused."""
    tree, depth = TreeBuilder(), 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        of, _, local = name.rpartition(" ")
        _must(of == namespace, f"not {namespace}")
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
        raise BadPayload(reason=str(error)) from None
    return tree.close()
