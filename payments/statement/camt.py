"""camt.053 and camt.054 of ISO 20022, read by their structure: all versions from 02 on, whatever namespace they name.

Versions differ in three places that matter: a status and a party are nested one level deeper since 04 and 08, and the
details of an entry have an amount of their own since 04. Amounts carry no sign: `CdtDbtInd` says the direction, also of a
reversal (`RvslInd`), which only says that an earlier entry is taken back.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import date, datetime
from typing import NamedTuple

from payments.statement import (
    Entry,
    Event,
    Kind,
    Place,
    Statement,
    StatementAccountMissing,
    StatementBalancesDiffer,
    StatementCurrencyMixed,
    StatementCurrencyRefused,
    StatementFieldMissing,
    StatementFieldUnreadable,
    StatementRefused,
    StatementTooManyEntries,
    StatementTotalsDiffer,
    StatementXmlOther,
    shown,
    values,
    xml,
)
from payments.statement.tally import Tally

MOST_DETAILS = 50_000
"""In one entry: what is kept until it ends."""

MOST_BALANCES = 100

# An envelope of the bank's may stand around the message.
_MESSAGE = "(?:.*/)?(?:BkToCstmrStmt|BkToCstmrDbtCdtNtfctn)"
_WANTED = re.compile(f"{_MESSAGE}/(?:GrpHdr|(?:Stmt|Ntfctn)(?:/[^/]+(?:/NtryDtls/TxDtls)?)?)")
_HEAD = frozenset(
    ["Id", "ElctrncSeqNb", "LglSeqNb", "CreDtTm", "FrToDt", "Acct", "StmtPgntn", "NtfctnPgntn", "TxsSummry"]
)
_NOT_BOOKED = ("PDNG", "INFO", "FUTR")

Fields = Mapping[str, str]


class _Detail(NamedTuple):
    """A transaction inside of an entry. `amount_vnd`: without a sign, None where it has none in đồng."""

    amount_vnd: int | None
    direction: str
    bank_ref: str
    end_to_end_id: str
    text: str
    debtor: tuple[str, str]
    creditor: tuple[str, str]


def read(octets: Iterable[bytes], name: str, inside: str = "") -> Iterator[Event]:
    """The statements and notifications of a message. `inside` stands before every place (the file of an archive).

    Raises FileRefused.
    """
    names: list[str] = []

    def wanted(path: str) -> bool:
        if len(names) < 2:
            names.append(path)
        return _WANTED.fullmatch(path) is not None

    group: Fields = {}
    reading: _Reading | None = None
    count = 0
    for path, fields, line in xml.read(octets, wanted, name):
        last = path.rpartition("/")[2]
        if last == "GrpHdr":
            group = fields
            continue
        if reading is None:
            count += 1
            kind: Kind = "statement" if "BkToCstmrStmt" in path else "notification"
            element = "Stmt" if kind == "statement" else "Ntfctn"
            reading = _Reading(kind, Place(line, f"{inside}{element}[{count}]"), group)
        if last in ("Stmt", "Ntfctn"):
            yield from reading.end(line)
            reading = None
        else:
            yield from reading.take(last, fields, line)
    if not count:
        raise StatementXmlOther(file=name, root=shown(names[-1] if names else ""))


class _Reading:
    """One statement while it is read: its head and balances, and the details of the entry that has not ended yet."""

    def __init__(self, kind: Kind, place: Place, group: Fields) -> None:
        self.kind, self.place, self.group = kind, place, group
        self.tally = Tally()
        self.currency = ""
        self.head: dict[str, Fields] = {}
        self.balances: dict[str, list[tuple[Fields, Place]]] = {}
        self.details: list[_Detail] = []
        self.entries = 0
        # The bank's count may be of booked entries or of all that are shown: direction → number and sum.
        self.booked, self.all = {"CRDT": [0, 0], "DBIT": [0, 0]}, {"CRDT": [0, 0], "DBIT": [0, 0]}

    def take(self, name: str, fields: Fields, line: int) -> Iterator[Event]:
        """A part of the statement. What is wrong with it refuses the statement; the rest is then passed over."""
        if self.tally.refusal is not None:
            return
        try:
            if name == "Ntry":
                self.entries += 1
                place = self._inside(line, f"Ntry[{self.entries}]")
                self._same_currency(_needed(fields, "Amt@Ccy", place), place)
                if not self.tally.begun:
                    yield self._begin()
                for entry in self._entries(fields, place):
                    yield self.tally.add(entry, place)
                self.details.clear()
            elif name == "TxDtls":
                place = self._inside(line, f"Ntry[{self.entries + 1}]/TxDtls[{len(self.details) + 1}]")
                self.details.append(_detail(fields, place))
                if len(self.details) > MOST_DETAILS:
                    raise StatementTooManyEntries(**place.at(), most=MOST_DETAILS)
            elif name == "Bal":
                code = fields.get("Tp/CdOrPrtry/Cd", "").strip()
                place = self._inside(line, f"Bal[{shown(code)}]")
                self._same_currency(_needed(fields, "Amt@Ccy", place), place)
                self.balances.setdefault(code, []).append((fields, place))
                if sum(map(len, self.balances.values())) > MOST_BALANCES:
                    raise StatementTooManyEntries(**place.at(), most=MOST_BALANCES)
            elif name in _HEAD:
                self.head.setdefault(name, fields)
                if name == "Acct" and "Ccy" in fields:
                    self._same_currency(fields["Ccy"].strip(), self._inside(line, "Acct/Ccy"))
        except StatementRefused as refusal:
            self.tally.refusal = refusal

    def end(self, line: int) -> Iterator[Event]:
        """The head if it did not come before, and the verdict."""
        place = Place(line, self.place.where)
        opening_vnd = closing_vnd = last_day = None
        try:
            if not self.tally.begun:
                yield self._begin()
            if self.tally.refusal is None:
                opening_vnd, closing_vnd, last_day = self._balances(place)
                self._check_totals(place)
        except StatementRefused as refusal:
            self.tally.refusal = self.tally.refusal or refusal
        yield self.tally.verdict(place, day=last_day, opening_vnd=opening_vnd, closing_vnd=closing_vnd)

    def _inside(self, line: int, where: str) -> Place:
        return Place(line, f"{self.place.where}/{where}")

    def _same_currency(self, currency: str, place: Place) -> None:
        """All of a statement is in one currency."""
        self.currency = self.currency or currency
        if currency != self.currency:
            raise StatementCurrencyMixed(**place.at(), currency=shown(currency), other=shown(self.currency))

    def _begin(self) -> Statement:
        """The head; if it does not say whose account it is or of which currency, that is the refusal."""
        account = self.head.get("Acct", {})
        number = (account.get("Id/IBAN") or account.get("Id/Othr/Id") or "").replace(" ", "")
        sequence = self._text("ElctrncSeqNb") or self._text("LglSeqNb")
        pages = self.head.get("StmtPgntn") or self.head.get("NtfctnPgntn") or {}
        page = pages.get("PgNb") or self.group.get("MsgPgntn/PgNb") or "1"
        self.tally.begun = True
        self.tally.statement = Statement(
            shown(number),
            shown(self.currency),
            self.kind,
            shown(self._text("Id")),
            shown(sequence),
            _page(page),
            self._day_told("CLBD"),
            self._began(),
        )
        if (pages.get("LastPgInd") or self.group.get("MsgPgntn/LastPgInd")) in ("false", "0"):
            self.tally.remark("pages_follow", self.place)
        if self.tally.refusal is None:
            self.tally.refusal = self._head_fault(number)
        return self.tally.statement

    def _day_told(self, *codes: str) -> date | None:
        """Of a balance, which stands before the entries."""
        told = [balance for code in codes for balance in self.balances.get(code, ())]
        try:
            return _day(told[0][0], "Dt", told[0][1]) if told else None
        except StatementRefused:
            return None

    def _began(self) -> date | None:
        """The first day of the period; where the bank names none, that of the opening balance."""
        try:
            began = self.head.get("FrToDt", {}).get("FrDtTm", "").strip()
            return values.instant(began, self.place, "/FrToDt").date() if began else self._day_told("OPBD", "PRCD")
        except StatementRefused:
            return None

    def _head_fault(self, number: str) -> StatementRefused | None:
        if not number:
            return StatementAccountMissing(**self.place.at("/Acct/Id"))
        if not self.currency:
            return StatementFieldMissing(**self.place.at("/Acct/Ccy"))
        if self.currency != "VND":
            return StatementCurrencyRefused(**self.place.at(), currency=shown(self.currency))
        return None

    def _text(self, name: str) -> str:
        return self.head.get(name, {}).get("", "").strip()

    def _entries(self, fields: Fields, place: Place) -> list[Entry]:
        """What an entry is to the books: itself, the details of a batch if they add up to it, or nothing."""
        if self.tally.refusal is not None:
            return []
        amount_vnd, direction = _amount(fields, "Amt", place), _direction(fields, place)
        status = (fields.get("Sts") or fields.get("Sts/Cd") or fields.get("Sts/Prtry") or "").strip()
        if status not in ("BOOK", *_NOT_BOOKED):
            raise StatementFieldUnreadable(**place.at("/Sts"), text=shown(status))
        for counted in (self.all, self.booked) if status == "BOOK" else (self.all,):
            counted[direction][0] += 1
            counted[direction][1] += amount_vnd
        if status != "BOOK":
            self.tally.remark("not_booked", place)
            return []
        if amount_vnd == 0:
            self.tally.remark("zero", place)
            return []
        whole = _entry(fields, amount_vnd, direction, self.details[0] if len(self.details) == 1 else None, place)
        if not self.details or (len(self.details) == 1 and self.details[0].amount_vnd in (None, amount_vnd)):
            return [whole]
        parts = [_part(whole, number, detail) for number, detail in enumerate(self.details, 1)]
        if len(parts) == 1 or None in parts or sum(part.amount_vnd for part in parts if part) != whole.amount_vnd:
            self.tally.remark("batch_not_split", place)
            return [whole]
        return [part for part in parts if part]

    def _balances(self, place: Place) -> tuple[int | None, int | None, date | None]:
        """Opening, closing and its day. A page in the middle of a statement begins or ends with an interim balance."""
        opening = [*self.balances.get("OPBD", ()), *self.balances.get("PRCD", ())]
        closing, interim = self.balances.get("CLBD", []), [*self.balances.get("ITBD", ())]
        if not opening and interim:
            opening = [interim.pop(0)]
        if not closing and interim:
            closing = [interim.pop()]
        last_day = _day(closing[0][0], "Dt", closing[0][1]) if closing else None
        if last_day is None:
            until = self.head.get("FrToDt", {}).get("ToDtTm", "").strip() or self._text("CreDtTm")
            last_day = values.instant(until, place, "/CreDtTm").date() if until else None
        return _one_balance(opening), _one_balance(closing), last_day

    def _check_totals(self, place: Place) -> None:
        """The bank's own count of its entries, where it gives one: all that proves a notification whole."""
        said = self.head.get("TxsSummry", {})
        for total, direction in (("TtlCdtNtries", "CRDT"), ("TtlDbtNtries", "DBIT")):
            for at, field in enumerate(("NbOfNtries", "Sum")):
                where = f"{total}/{field}"
                if where not in said:
                    continue
                told = values.vnd(said[where].strip(), place, f"/TxsSummry/{where}")
                if told not in (self.booked[direction][at], self.all[direction][at]):
                    found = self.all[direction][at]
                    raise StatementTotalsDiffer(**place.at(f"/TxsSummry/{where}"), said=told, found=found)


def _entry(fields: Fields, amount_vnd: int, direction: str, only: _Detail | None, place: Place) -> Entry:
    is_reversal = fields.get("RvslInd", "").strip() in ("true", "1")
    booked_at = _time(fields, "BookgDt", place)
    booked_day = _day(fields, "BookgDt", place)
    value_day = _day(fields, "ValDt", place) or booked_day
    if value_day is None:
        raise StatementFieldMissing(**place.at("/BookgDt"))
    text, own = _joined(fields.get("AddtlNtryInf", "")), _reference(fields, "AcctSvcrRef")
    name = account = ""
    if only:
        # The parties of a reversal are still those of the payment that it takes back.
        name, account = only.debtor if (direction == "CRDT") is not is_reversal else only.creditor
    return Entry(
        line=place.line,
        bank_ref=own or (only.bank_ref if only else ""),
        amount_vnd=amount_vnd if direction == "CRDT" else -amount_vnd,
        booked_day=booked_day or value_day,
        value_day=value_day,
        booked_at=booked_at,
        text=(only.text if only else "") or text,
        counterparty_name=name,
        counterparty_account=account,
        end_to_end_id=only.end_to_end_id if only else "",
        is_reversal=is_reversal,
    )


def _part(whole: Entry, number: int, detail: _Detail) -> Entry | None:
    """A detail of a batch as an entry of its own; None if it has no amount."""
    if not detail.amount_vnd:
        return None
    is_credit = detail.direction == "CRDT" if detail.direction else whole.amount_vnd > 0
    name, account = detail.debtor if is_credit is not whole.is_reversal else detail.creditor
    return replace(
        whole,
        bank_ref=detail.bank_ref or whole.bank_ref,
        amount_vnd=detail.amount_vnd if is_credit else -detail.amount_vnd,
        text=detail.text or whole.text,
        counterparty_name=name,
        counterparty_account=account,
        end_to_end_id=detail.end_to_end_id,
        part=number,
    )


def _detail(fields: Fields, place: Place) -> _Detail:
    amount_vnd, own = None, "Amt" if "Amt" in fields else "AmtDtls/TxAmt/Amt"
    if fields.get(f"{own}@Ccy") == "VND":
        amount_vnd = _amount(fields, own, place)
    text = fields.get("RmtInf/Ustrd") or fields.get("RmtInf/Strd/CdtrRefInf/Ref") or fields.get("AddtlTxInf") or ""
    return _Detail(
        amount_vnd,
        _direction(fields, place) if "CdtDbtInd" in fields else "",
        _reference(fields, "Refs/AcctSvcrRef"),
        _reference(fields, "Refs/EndToEndId"),
        _joined(text),
        _party(fields, "Dbtr"),
        _party(fields, "Cdtr"),
    )


def _party(fields: Fields, role: str) -> tuple[str, str]:
    """Name and account."""
    name = fields.get(f"RltdPties/{role}/Nm") or fields.get(f"RltdPties/{role}/Pty/Nm") or ""
    account = fields.get(f"RltdPties/{role}Acct/Id/IBAN") or fields.get(f"RltdPties/{role}Acct/Id/Othr/Id") or ""
    return _joined(name), account.replace(" ", "")


def _reference(fields: Fields, field: str) -> str:
    """Empty where there is none, or the word that banks write then."""
    found = fields.get(field, "").strip()
    return "" if found == "NOTPROVIDED" else found


def _joined(text: str) -> str:
    """Free text on one line: banks cut it into several of 140 characters."""
    return " ".join(text.split())


def _needed(fields: Fields, field: str, place: Place) -> str:
    found = fields.get(field, "").strip()
    if not found:
        raise StatementFieldMissing(**place.at(f"/{field}"))
    return found


def _amount(fields: Fields, field: str, place: Place) -> int:
    return values.vnd(_needed(fields, field, place), place, f"/{field}")


def _direction(fields: Fields, place: Place) -> str:
    found = _needed(fields, "CdtDbtInd", place)
    if found not in ("CRDT", "DBIT"):
        raise StatementFieldUnreadable(**place.at("/CdtDbtInd"), text=shown(found))
    return found


def _one_balance(same: list[tuple[Fields, Place]]) -> int | None:
    """The amount of a balance that may stand under two codes, but not as two amounts."""
    amounts_vnd = []
    for fields, place in same:
        amount_vnd = _amount(fields, "Amt", place)
        amounts_vnd.append(amount_vnd if _direction(fields, place) == "CRDT" else -amount_vnd)
        if amounts_vnd[-1] != amounts_vnd[0]:
            raise StatementBalancesDiffer(**place.at(), balance_vnd=amounts_vnd[-1], other_vnd=amounts_vnd[0])
    return amounts_vnd[0] if amounts_vnd else None


def _day(fields: Fields, field: str, place: Place) -> date | None:
    """The Hanoi day of a date or a time; None if there is neither."""
    if text := fields.get(f"{field}/Dt", "").strip():
        return values.day(text, place, f"/{field}/Dt")
    at = _time(fields, field, place)
    return at.date() if at else None


def _time(fields: Fields, field: str, place: Place) -> datetime | None:
    text = fields.get(f"{field}/DtTm", "").strip()
    return values.instant(text, place, f"/{field}/DtTm") if text else None


def _page(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 5 else 1
