"""Tables of banks (CSV, XLSX) by their declared layout: labelled lines, a line of headings, the entries, labelled lines.

No column that a payer writes decides where the table ends: a text may look like a label. Where
there is a column of balances every line is tied to the one before, so a missing line is found where it is missing.
"""

from __future__ import annotations

import csv
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from payments.statement import (
    Entries,
    Entry,
    Event,
    FileRefused,
    Place,
    Statement,
    StatementAccountMissing,
    StatementAccountMixed,
    StatementAmountNegative,
    StatementAmountNotWhole,
    StatementAmountTooLarge,
    StatementAmountTwice,
    StatementBalancesDiffer,
    StatementCsvBroken,
    StatementCurrencyRefused,
    StatementCutOff,
    StatementDateUnreadable,
    StatementFieldMissing,
    StatementLineNotTied,
    StatementNumberLost,
    StatementRefused,
    StatementTableMissing,
    StatementTotalsDiffer,
    block,
    octets,
    shown,
    values,
)
from payments.statement.profile import Column, Label, Profile
from payments.statement.tally import Tally

MOST_LINES = 50
"""That one cell of a CSV may be broken into."""

MOST_DAYS = 10_000
"""Days and times that are remembered while a table is read."""

_PAYERS: tuple[Column, ...] = ("counterparty_account", "counterparty_name", "end_to_end_id", "text")
"""What somebody else than the bank writes."""

_SUMMED: tuple[Column, ...] = ("amount", "credit", "debit")

Cell = str | Decimal
"""A text without blanks around it, or the number of a spreadsheet."""


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a table. `sheet` is empty in a CSV; `fault` is what is wrong with one of its cells."""

    line: int
    cells: list[Cell]
    sheet: str = ""
    since_1904: bool = False
    fault: StatementRefused | None = None

    def where(self, column: int, heading: str = "") -> str:
        """The cell as a spreadsheet names it; in a CSV its heading, or its number."""
        return f"{self.sheet}!{letters(column)}{self.line}" if self.sheet else heading or f"[{column + 1}]"


def letters(column: int) -> str:
    """A, B … Z, AA: the spreadsheet's name of a column counted from 0."""
    name = ""
    while column >= 0:
        name = chr(ord("A") + column % 26) + name
        column = column // 26 - 1
    return name


class Csv:
    """The lines of a CSV, one by one or, ahead of that, a block of them. Iterating raises FileRefused."""

    def __init__(self, pieces: Iterable[bytes], profile: Profile, name: str) -> None:
        self._pages, self._profile, self._name = octets.pages(pieces, name), profile, name
        self._page: list[str] = []
        self._taken = 0  # of the page
        self._fault: FileRefused | None = None
        self.line = 0

    def __iter__(self) -> Iterator[Row]:
        taken = 0

        def bounded() -> Iterator[str]:
            # A quote that is never closed would make one line of all that follow.
            nonlocal taken
            while self._taken < len(self._page) or self.ahead(1):
                taken += 1
                if taken > MOST_LINES:
                    raise StatementCsvBroken(line=self.line, file=self._name, reason=f"a quote over {MOST_LINES} lines")
                self.skip(1)
                yield self._page[self._taken - 1]
            if self._fault:
                raise self._fault

        try:
            for cells in csv.reader(bounded(), delimiter=self._profile.separator, strict=True):
                taken = 0
                yield Row(self.line, [cell.strip() for cell in cells])
        except csv.Error as error:
            raise StatementCsvBroken(line=self.line, file=self._name, reason=str(error)) from None

    def ahead(self, count: int) -> list[str]:
        """The next lines, without taking them: as many as there are before the end, or before what is no text."""
        while len(self._page) - self._taken < count and self._fault is None:
            try:
                page = next(self._pages, None)
            except FileRefused as fault:
                self._fault = fault
                break
            if page is None:
                break
            self._page, self._taken = self._page[self._taken :] + page, 0
        return self._page[self._taken : self._taken + count]

    def skip(self, count: int) -> None:
        self._taken += count
        self.line += count


def read(table: Iterable[Row], profile: Profile, name: str, inside: str = "") -> Iterator[Event | Entries]:
    """The statements of a table, one after the other. Raises FileRefused."""
    reading: Reading | None = None
    sheet, count, line = "", 0, 0
    one_by_one = 0  # up to this line
    for row in table:
        if row.sheet != sheet:
            # A sheet is a file of its own.
            if reading and reading.is_begun:
                count += 1
                yield from reading.end(line, cut_off=True)
            sheet, reading = row.sheet, None
        line = row.line
        reading = reading or Reading(profile, inside)
        yield from reading.take(row)
        while isinstance(table, Csv) and reading.is_among_entries and line >= one_by_one:
            lines = table.ahead(block.LINES)
            entries = block.take(reading, lines, line + 1) if len(lines) == block.LINES else None
            if entries is None:
                one_by_one = line + block.LINES
                break
            yield entries
            table.skip(block.LINES)
            line = table.line
        if reading.is_over:
            count += 1
            yield from reading.end(line, cut_off=False)
            reading = None
    if reading and reading.is_begun:
        count += 1
        yield from reading.end(line, cut_off=True)
    if not count:
        raise StatementTableMissing(file=name, profile=profile.name, headings=", ".join(profile.columns.values()))


class Reading:
    """One statement of a table while it is read."""

    def __init__(self, profile: Profile, inside: str) -> None:
        self.profile, self.inside = profile, inside
        self.tally = Tally()
        self.columns: dict[Column, int] = {}
        self.width = self.line = 0
        self.said: dict[Label, tuple[Cell, Place]] = {}
        self.account = ""
        self.balance_vnd: int | None = None  # of the line before
        self.before_vnd: int | None = None  # by the lines: before the first in time …
        self.after_vnd: int | None = None  # … and after the last
        self.totals: list[tuple[Column, int, Place]] = []
        self.last_day: date | None = None
        self.is_over = False
        self._labels = {_plain(said): label for label, said in profile.labels.items()}
        self._headings = {_plain(said): column for column, said in profile.columns.items()}
        self._days: dict[str, tuple[date, datetime | None] | None] = {}

    @property
    def is_begun(self) -> bool:
        return bool(self.columns or self.said)

    @property
    def is_among_entries(self) -> bool:
        """The next lines may be entries like the ones before, of which nothing is wrong so far."""
        return self.last_day is not None and not self.is_over and self.tally.refusal is None

    def begins_no_label(self, cells: Sequence[str]) -> bool:
        """Whether no line that begins with one of these cells could be taken for a label; an empty one says nothing."""
        if not all(cells):
            return False
        if self._first_by_payer:
            return not any(map(str.isspace, cells))
        return all(
            cell.isdecimal() or (cell.strip() and _plain(cell).partition(":")[0].strip() not in self._labels)
            for cell in set(cells)
        )

    def days_of(self, cells: Sequence[str]) -> list[tuple[date, datetime | None] | None]:
        """The days in cells of a CSV, and their times; None for what is none."""
        if len(self._days) > MOST_DAYS:
            self._days.clear()
        for cell in set(cells) - self._days.keys():
            self._days[cell] = values.in_order(self.profile.date, cell.strip())
        return [self._days[cell] for cell in cells]

    def take(self, row: Row) -> Iterator[Event]:
        """A line. What is wrong with it refuses the statement; the rest is then passed over, up to its last label."""
        self.line = row.line
        try:
            if not self.columns:
                if not self._take_headings(row):
                    self._take_labels(row)
            elif self._is_entry(row):
                if self.tally.refusal is None:
                    yield from self._take_entry(row)
            elif not self._take_labels(row) and any(cell != "" for cell in row.cells) and not self.tally.refusal:
                raise StatementDateUnreadable(
                    **self._place(row, "day").at(), text=shown(str(self._cell(row, "day"))), wanted=self.profile.date
                )
        except StatementRefused as refusal:
            self.tally.refusal = self.tally.refusal or refusal

    def end(self, line: int, *, cut_off: bool) -> Iterator[Event]:
        place = Place(line, f"{self.inside}{self.profile.labels[self.profile.last]}")
        opening_vnd = closing_vnd = None
        try:
            if not self.tally.begun:
                yield self._begin()
            if cut_off:
                raise StatementCutOff(**place.at())
            opening_vnd = self._balance("opening", self.before_vnd)
            if self.before_vnd not in (None, opening_vnd):
                at = self.said["opening"][1].at()
                raise StatementBalancesDiffer(**at, balance_vnd=opening_vnd, other_vnd=self.before_vnd)
            closing_vnd = self._balance("closing", self.after_vnd)
            self._check_totals()
        except StatementRefused as refusal:
            self.tally.refusal = self.tally.refusal or refusal
        yield self.tally.verdict(place, day=self.last_day, opening_vnd=opening_vnd, closing_vnd=closing_vnd)

    @property
    def _first_by_payer(self) -> bool:
        return 0 in {self.columns[column] for column in _PAYERS if column in self.columns}

    def _take_headings(self, row: Row) -> bool:
        found = {self._headings[said]: at for at, said in enumerate(map(_plain, row.cells)) if said in self._headings}
        if len(found) < len(self._headings):
            return False
        self.columns, self.width = found, max(found.values()) + 1
        return True

    def _take_labels(self, row: Row) -> bool:
        """Whether a cell of the line begins with a label; its value is behind a colon or in the next cell with one."""
        for at, cell in enumerate(row.cells):
            words, _, behind = _plain(cell).partition(":")
            label = self._labels.get(words.strip())
            if label is None:
                continue
            self.is_over = label == self.profile.last and bool(self.columns)
            if row.fault:
                raise row.fault
            beside = next((later for later in row.cells[at + 1 :] if later != ""), "")
            value: Cell = str(cell).partition(":")[2].strip() if behind.strip() else beside
            self.said.setdefault(label, (value, Place(row.line, self.inside + row.where(at, str(cell)))))
            if label == "totals" and self.columns:
                self._take_totals(row)
            return True
        return False

    def _is_entry(self, row: Row) -> bool:
        """A line with a day, unless it begins with a label where no payer writes: sums may stand below any heading."""
        if self._cell(row, "day") == "":
            return False
        first = next(at for at, cell in enumerate(row.cells) if cell != "")
        payers = {self.columns[column] for column in _PAYERS if column in self.columns}
        return first in payers or _plain(row.cells[first]).partition(":")[0].strip() not in self._labels

    def _day_told(self, row: Row) -> date | None:
        """The first line is of the last day where the newest stands first."""
        cell = self._cell(row, "day")
        found = (
            values.in_order(self.profile.date, cell) if self.profile.newest_first and isinstance(cell, str) else None
        )
        return found[0] if found else None

    def _begin(self, day: date | None = None) -> Statement:
        self.tally.begun = True
        nowhere = Place(self.line, self.inside or self.profile.name)
        account = self.account or _words(self.said.get("account", ("", nowhere))[0]).replace(" ", "")
        currency, place = self.said.get("currency", (self.profile.currency, nowhere))
        number = _words(self.said.get("number", ("", nowhere))[0])
        self.tally.statement = Statement(
            shown(account), shown(_words(currency)), "statement", "", shown(number), 1, day
        )
        if self.tally.refusal is None and not account:
            self.tally.refusal = StatementAccountMissing(**nowhere.at())
        elif self.tally.refusal is None and currency != "VND":
            self.tally.refusal = StatementCurrencyRefused(**place.at(), currency=shown(_words(currency)))
        return self.tally.statement

    def _take_entry(self, row: Row) -> Iterator[Event]:
        if row.fault:
            raise row.fault
        # A line of text ends where it was cut off; a spreadsheet leaves out cells that are empty.
        if not row.sheet and len(row.cells) < self.width:
            raise StatementFieldMissing(**self._place_at(row, len(row.cells)).at())
        if "account" in self.columns:
            account = _words(self._cell(row, "account")).replace(" ", "")
            if self.account and account != self.account:
                raise StatementAccountMixed(
                    **self._place(row, "account").at(), account=shown(account), other=shown(self.account)
                )
            self.account = account
        if not self.tally.begun:
            yield self._begin(self._day_told(row))
            if self.tally.refusal:
                return
        entry = self._entry(row)
        self._tie(row, entry.amount_vnd)
        self.last_day = max(self.last_day or entry.booked_day, entry.booked_day)
        place = self._place(row, "ref" if "ref" in self.columns else "day")
        if entry.amount_vnd == 0:
            self.tally.remark("zero", place)
        else:
            yield self.tally.add(entry, place)

    def _entry(self, row: Row) -> Entry:
        booked_day, booked_at = self._day(row, "day")
        value_day = self._day(row, "value_day")[0] if self._has(row, "value_day") else booked_day
        return Entry(
            line=row.line,
            bank_ref=self._text(row, "ref"),
            amount_vnd=self._amount_of(row),
            booked_day=booked_day,
            value_day=value_day,
            booked_at=booked_at,
            text=self._text(row, "text"),
            counterparty_name=self._text(row, "counterparty_name"),
            counterparty_account=self._text(row, "counterparty_account").replace(" ", ""),
            end_to_end_id=self._text(row, "end_to_end_id"),
        )

    def _amount_of(self, row: Row) -> int:
        if "amount" in self.columns:
            return self._vnd(self._cell(row, "amount"), self._place(row, "amount"), signed=True)
        credit_vnd = self._side(row, "credit")
        debit_vnd = self._side(row, "debit")
        if credit_vnd and debit_vnd:
            raise StatementAmountTwice(**self._place(row, "debit").at())
        if credit_vnd is None and debit_vnd is None:
            raise StatementFieldMissing(**self._place(row, "credit").at())
        return (credit_vnd or 0) - (debit_vnd or 0)

    def _side(self, row: Row, column: Column) -> int | None:
        return self._vnd(self._cell(row, column), self._place(row, column)) if self._has(row, column) else None

    def _tie(self, row: Row, amount_vnd: int) -> None:
        """The balance of this line follows from the one before, in the order of time."""
        if "balance" not in self.columns:
            return
        place = self._place(row, "balance")
        balance_vnd = self._vnd(self._cell(row, "balance"), place, signed=True)
        if self.profile.newest_first:
            expected_vnd, self.balance_vnd = self.balance_vnd, balance_vnd - amount_vnd
            self.before_vnd = self.balance_vnd
            self.after_vnd = balance_vnd if self.after_vnd is None else self.after_vnd
        else:
            if self.before_vnd is None:
                self.before_vnd = self._balance("opening", balance_vnd - amount_vnd)
            earlier_vnd = self.before_vnd if self.balance_vnd is None else self.balance_vnd
            expected_vnd = None if earlier_vnd is None else earlier_vnd + amount_vnd
            self.balance_vnd = self.after_vnd = balance_vnd
        if expected_vnd not in (None, balance_vnd):
            raise StatementLineNotTied(**place.at(), expected_vnd=expected_vnd, balance_vnd=balance_vnd)

    def _balance(self, label: Label, counted_vnd: int | None) -> int | None:
        """What the label says; where there is none, what the balances of the lines come to."""
        if label not in self.said:
            return counted_vnd
        cell, place = self.said[label]
        return self._vnd(cell, place, signed=True)

    def _take_totals(self, row: Row) -> None:
        """The bank's own sums stand under the columns that they are of."""
        for column in _SUMMED:
            if self._has(row, column):
                place = self._place(row, column)
                self.totals.append((column, self._vnd(self._cell(row, column), place, signed=True), place))

    def _check_totals(self) -> None:
        found = {"amount": self.tally.sum_vnd, "credit": self.tally.credits_vnd, "debit": self.tally.debits_vnd}
        for column, said_vnd, place in self.totals:
            if said_vnd != found[column]:
                raise StatementTotalsDiffer(**place.at(), said=said_vnd, found=found[column])

    def _day(self, row: Row, column: Column) -> tuple[date, datetime | None]:
        cell = self._cell(row, column)
        if isinstance(cell, Decimal):
            days = int(min(cell, Decimal(10**7)))
            found = values.from_serial(days, round((cell - days) * 86_400), since_1904=row.since_1904)
        else:
            found = values.in_order(self.profile.date, cell)
        if found is None:
            raise StatementDateUnreadable(
                **self._place(row, column).at(), text=shown(str(cell)), wanted=self.profile.date
            )
        return found

    def _vnd(self, cell: Cell, place: Place, *, signed: bool = False) -> int:
        if isinstance(cell, str):
            decimal, group = self.profile.decimal, self.profile.group
            return values.vnd(cell.removesuffix("VND").rstrip(), place, "", decimal=decimal, group=group, signed=signed)
        if cell != cell.to_integral_value():
            raise StatementAmountNotWhole(**place.at(), amount=shown(str(cell)))
        if abs(cell) >= 10**values.DIGITS:
            raise StatementAmountTooLarge(**place.at(), amount=shown(str(cell)), digits=values.DIGITS)
        if cell < 0 and not signed:
            raise StatementAmountNegative(**place.at(), amount=shown(str(cell)))
        return int(cell)

    def _text(self, row: Row, column: Column) -> str:
        if column not in self.columns:
            return ""
        cell = self._cell(row, column)
        if isinstance(cell, str):
            return " ".join(cell.split())
        if abs(cell) >= 10**values.DIGITS:
            raise StatementNumberLost(**self._place(row, column).at(), text=shown(str(cell)))
        return _words(cell)

    def _cell(self, row: Row, column: Column) -> Cell:
        at = self.columns[column]
        return row.cells[at] if at < len(row.cells) else ""

    def _has(self, row: Row, column: Column) -> bool:
        return column in self.columns and self._cell(row, column) != ""

    def _place(self, row: Row, column: Column) -> Place:
        return Place(row.line, self.inside + row.where(self.columns[column], self.profile.columns[column]))

    def _place_at(self, row: Row, column: int) -> Place:
        return Place(row.line, self.inside + row.where(column))


def _plain(cell: Cell) -> str:
    """A heading or label as it is compared: banks differ in blanks, capitals and the spelling of one letter's bytes."""
    return " ".join(unicodedata.normalize("NFC", str(cell)).casefold().split())


def _words(cell: Cell) -> str:
    return cell if isinstance(cell, str) else f"{cell:f}"
