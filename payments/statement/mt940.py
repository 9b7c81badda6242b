"""MT940 of SWIFT (fields :20: to :86:), with or without its block envelope, several messages in one file.

A message is a page: F marks the first opening and the final closing balance, M those in between. The pages of a
statement follow each other and are read as one. What a payer wrote stands only in :86:, so a line in there that begins
like a field is read as one: balances that then do not tie refuse the statement.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import date
from typing import NamedTuple

from payments.statement import (
    Entry,
    Event,
    Place,
    Statement,
    StatementAccountMissing,
    StatementAmountUnreadable,
    StatementCurrencyMixed,
    StatementCurrencyRefused,
    StatementCutOff,
    StatementFieldMissing,
    StatementFieldUnreadable,
    StatementNotTied,
    StatementPageMissing,
    StatementRefused,
    StatementTooManyEntries,
    octets,
    shown,
    values,
)
from payments.statement.tally import Tally

BEGINS = re.compile(r"\{1:|(?:[^:{\r\n]{0,80}\r?\n){0,5}:20:")
"""What the first bytes of such a file look like; some banks put a line or two of their own before the first field."""

MOST_ROWS = 100
MOST_HEAD = 10
FULL_ROW = 65

_TAG = re.compile(r":(\d\d[A-Z]?|[A-Z]{2}):")
_BALANCE = re.compile(r"(?P<mark>[CD])(?P<day>\d{6})(?P<currency>[A-Z]{3})(?P<amount>[\d.,+-]+)", re.ASCII)
_LINE = re.compile(
    r"(?P<value>\d{6})(?P<entry>\d{4})?(?P<mark>RC|RD|C|D)[A-Z]?(?P<amount>[\d.,+-]+)"
    r"(?P<type>[A-Z][A-Z0-9]{3})(?P<ours>.*?)(?://(?P<theirs>.*))?",
    re.ASCII,
)
_NO_REFERENCE = ("", "NONREF")
_HEAD = frozenset({"13", "13D", "21", "25", "25P", "28", "28C"})
_IGNORED = frozenset({"13", "13D", "21", "34F", "64", "65", "90C", "90D", "NS"})


class _Field(NamedTuple):
    """A field with its rows. The end of a message, where one is marked, has the tag "-"."""

    tag: str
    rows: list[str]
    line: int

    @property
    def whole(self) -> str:
        return "".join(self.rows).strip()


def read(pieces: Iterable[bytes], name: str, inside: str = "") -> Iterator[Event]:
    """The statements of a file, its pages joined. Raises FileRefused."""
    reading: _Reading | None = None
    head: list[_Field] = []  # of a message of which it is not known yet whether it is a further page
    number = 0
    for field in _fields(octets.lines(pieces, name)):
        if (field.tag == "20" and not head) or (head and field.tag in _HEAD and len(head) < MOST_HEAD):
            head.append(field)
            continue
        if head:
            if reading and not (reading.goes_on and field.tag == "60M"):
                yield from reading.end()
                reading = None
            if reading is None:
                number += 1
                reading = _Reading(f"{inside}[{number}]:")
            reading.message(head[0])
            for one in head[1:]:
                yield from reading.take(one)
            head = [field] if field.tag == "20" else []
        if reading and not head:
            yield from reading.take(field)
    if reading:
        yield from reading.end()


class _Reading:
    """One statement while it is read, over all of its pages."""

    def __init__(self, where: str) -> None:
        self.where, self.line = where, 0
        self.tally = Tally()
        self.id = self.account = self.number = self.currency = ""
        self.opening_vnd: int | None = None
        self.closing_vnd: int | None = None
        self.first_day: date | None = None
        self.last_day: date | None = None
        self.goes_on = False  # the page that ended is not the last
        self.seen: set[str] = set()  # the fields of this page
        self.entry: Entry | None = None  # waits for its :86:
        self.entry_place = Place(0, "")

    def message(self, field: _Field) -> None:
        """A further page begins."""
        self.seen, self.line = set(), field.line
        self.id = self.id or field.whole

    def take(self, field: _Field) -> Iterator[Event]:
        """A field. What is wrong with it refuses the statement; the rest is then passed over."""
        if field.tag != "-":
            self.line = field.line
        if self.tally.refusal is not None:
            if field.tag in ("62F", "62M"):
                self.goes_on = field.tag == "62M"
            return
        place = Place(field.line, f"{self.where}{field.tag}:")
        try:
            if field.tag != "86" and self.entry:
                yield self._flush()
            if len(field.rows) > MOST_ROWS:
                raise StatementTooManyEntries(**place.at(), most=MOST_ROWS)
            if field.tag in ("20", "25", "25P", "28", "28C", "60F", "60M", "62F", "62M") and field.tag in self.seen:
                raise StatementFieldUnreadable(**place.at(), text=shown(field.whole))
            self.seen.add(field.tag)
            match field.tag:
                case "25" | "25P":
                    self._account(field.whole.replace(" ", ""), place)
                case "28" | "28C":
                    self._number(field.whole, place)
                case "60F" | "60M":
                    yield from self._open(field, place)
                case "61":
                    self._line(field, place)
                case "86" if self.entry:
                    self.entry = _with_text(self.entry, field.rows)
                    yield self._flush()
                case "62F" | "62M":
                    self._close(field, place)
                case "86" | "-":
                    pass
                case _ if field.tag not in _IGNORED:
                    self.tally.remark("unknown_field", place)
        except StatementRefused as refusal:
            self.tally.refusal = refusal

    def end(self) -> Iterator[Event]:
        place = Place(self.line, self.where)
        if self.tally.refusal is None and (self.entry or self.closing_vnd is None):
            self.tally.refusal = StatementCutOff(**place.at())
        if self.tally.refusal is None and self.goes_on:
            self.tally.refusal = StatementPageMissing(**place.at())
        if not self.tally.begun:
            yield self._head()
        yield self.tally.verdict(place, day=self.last_day, opening_vnd=self.opening_vnd, closing_vnd=self.closing_vnd)

    def _head(self) -> Statement:
        self.tally.begun = True
        self.tally.statement = Statement(
            *(shown(self.account), shown(self.currency), "statement", shown(self.id), shown(self.number)),
            first_day=self.first_day,
        )
        return self.tally.statement

    def _flush(self) -> Entry:
        entry, self.entry = self.entry, None
        assert entry is not None
        return self.tally.add(entry, self.entry_place)

    def _account(self, account: str, place: Place) -> None:
        if not account:
            raise StatementAccountMissing(**place.at())
        if self.goes_on and account != self.account:
            raise StatementPageMissing(**place.at())
        self.account = account

    def _number(self, text: str, place: Place) -> None:
        number = text.partition("/")[0]
        if self.goes_on and number != self.number:
            raise StatementPageMissing(**place.at())
        self.number = number

    def _open(self, field: _Field, place: Place) -> Iterator[Event]:
        first, (opening_vnd, day) = field.tag == "60F", self._balance(field, place)
        if first is self.goes_on or (self.goes_on and opening_vnd != self.closing_vnd):
            raise StatementPageMissing(**place.at())
        if not self.account:
            raise StatementAccountMissing(**place.at())
        self.goes_on, self.closing_vnd = False, None
        if first:
            self.opening_vnd, self.first_day = opening_vnd, day
            yield self._head()

    def _close(self, field: _Field, place: Place) -> None:
        if self.opening_vnd is None:
            raise StatementFieldMissing(**Place(field.line, self.where).at("60F:"))
        self.closing_vnd, self.last_day = self._balance(field, place)
        self.goes_on = field.tag == "62M"
        # The page of a statement ties by itself; the last is looked at with the whole.
        if self.goes_on and self.opening_vnd + self.tally.sum_vnd != self.closing_vnd:
            sum_vnd = self.tally.sum_vnd
            raise StatementNotTied(
                **place.at(),
                opening_vnd=self.opening_vnd,
                sum_vnd=sum_vnd,
                closing_vnd=self.closing_vnd,
                difference_vnd=self.opening_vnd + sum_vnd - self.closing_vnd,
            )

    def _balance(self, field: _Field, place: Place) -> tuple[int, date]:
        found = _BALANCE.fullmatch(field.whole)
        day = values.short_day(found["day"]) if found else None
        if found is None or day is None:
            raise StatementFieldUnreadable(**place.at(), text=shown(field.whole))
        self.currency = self.currency or found["currency"]
        if found["currency"] != self.currency:
            raise StatementCurrencyMixed(**place.at(), currency=found["currency"], other=self.currency)
        if self.currency != "VND":
            raise StatementCurrencyRefused(**place.at(), currency=self.currency)
        amount_vnd = _amount(found["amount"], place)
        return (amount_vnd if found["mark"] == "C" else -amount_vnd), day

    def _line(self, field: _Field, place: Place) -> None:
        if self.opening_vnd is None or self.closing_vnd is not None:
            raise StatementFieldUnreadable(**place.at(), text=shown(field.whole))
        found = _LINE.fullmatch(field.rows[0].strip())
        value_day = values.short_day(found["value"]) if found else None
        if found is None or value_day is None:
            raise StatementFieldUnreadable(**place.at(), text=shown(field.rows[0]))
        booked_day = values.nearest_day(found["entry"], value_day) if found["entry"] else value_day
        if booked_day is None:
            raise StatementFieldUnreadable(**place.at(), text=shown(field.rows[0]))
        amount_vnd, mark = _amount(found["amount"], place), found["mark"]
        if amount_vnd == 0:
            self.tally.remark("zero", place)
            return
        ours, theirs = found["ours"].strip(), (found["theirs"] or "").strip()
        self.entry_place = place
        self.entry = Entry(
            line=field.line,
            bank_ref="" if theirs in _NO_REFERENCE else theirs,
            amount_vnd=amount_vnd if mark in ("C", "RD") else -amount_vnd,
            booked_day=booked_day,
            value_day=value_day,
            text=_unwrapped(field.rows[1:]),
            end_to_end_id="" if ours in _NO_REFERENCE else ours,
            is_reversal=mark.startswith("R"),
        )


def _fields(lines: Iterable[str]) -> Iterator[_Field]:
    """The fields of all messages, without their envelopes: a row that begins no field belongs to the one before."""
    open_field: _Field | None = None
    number = 0
    for number, line in enumerate(lines, 1):
        row = line.rstrip("\n")
        tag = _TAG.match(row)
        is_end = row.startswith(("-}", "{")) or row.rstrip() == "-"
        if tag or is_end:
            if open_field:
                yield open_field
            open_field = _Field(tag[1], [row[tag.end() :]], number) if tag else None
            if is_end:
                yield _Field("-", [], number)
        elif open_field and len(open_field.rows) <= MOST_ROWS:
            open_field.rows.append(row)
    if open_field:
        yield open_field
    yield _Field("-", [], number)


def _with_text(entry: Entry, rows: list[str]) -> Entry:
    return replace(entry, text=_unwrapped(rows) or entry.text)


def _unwrapped(rows: list[str]) -> str:
    """The text on one line. A full row was cut wherever it ended, also within a reference; a shorter one ends a word."""
    text = "".join(row if len(row) >= FULL_ROW else row + " " for row in rows)
    return " ".join(text.split())


def _amount(text: str, place: Place) -> int:
    """Here an amount always has its comma, which also proves that it is whole."""
    if "," not in text:
        raise StatementAmountUnreadable(**place.at(), amount=shown(text))
    return values.vnd(text, place, "", decimal=",")
