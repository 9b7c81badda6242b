"""Bank statements: the files that a bank writes about an account, read into one shape whatever their format.

Pure: bytes in, events out, nothing is posted. Per statement of a file comes a `Statement`, its `Entry`s, then its
`Verdict`: only there stands whether it holds, so nothing of it is believed before. A `FileRefused` may come out of the
stream at any moment and means: nothing of this file. A statement that does not hold is refused in its verdict, and the
others of its file stay usable. Memory is bounded by the largest entry, never by the file.

Amounts are whole đồng. Never post from a notification (camt.054) what a statement (camt.053) will tell again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import ClassVar, Literal

from foundation.errors import Refusal

Kind = Literal["statement", "notification"]
"""A statement has balances that its entries tie; a notification has none, and nothing in it proves that it is whole."""

RemarkCode = Literal[
    "batch_not_split",  # the details of an entry do not add up to it: it stays one entry
    "no_bank_ref",  # the bank gave an entry no reference: repeats of it cannot be told from each other
    "not_booked",  # pending or for information only: left out, as no money moved
    "pages_follow",  # this is one page of a statement, and not its last
    "unknown_field",
    "zero",  # an entry of 0 đồng: left out
]


@dataclass(frozen=True, slots=True)
class Statement:
    """What a bank says about one account for one period. `account` as the bank writes it, without spaces.

    `id`, `number`, `page`: the bank's own; together with the account they tell this statement from any other. `day`: its last,
    where the file tells it before the entries; only the verdict says whether it is. `first_day`: from when on it tells of every
    day, where the file says that: that of its period, or of its opening balance.
    """

    account: str
    currency: str
    kind: Kind = "statement"
    id: str = ""
    number: str = ""
    page: int = 1
    day: date | None = field(default=None, compare=False)
    first_day: date | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Entry:
    """Money that moved: `amount_vnd` > 0 is a credit of the account, < 0 a debit; never 0.

    `bank_ref` is empty where the bank gave none. Within an account (bank_ref, part, amount_vnd) is one line: banks repeat a
    reference for a fee or a reversal. `part` counts the details of a batch from 1, and is 0 for a whole entry.
    Days are of Hanoi. `booked_at` only where the bank tells the time.
    """

    line: int
    bank_ref: str
    amount_vnd: int
    booked_day: date
    value_day: date
    booked_at: datetime | None = None
    text: str = ""
    counterparty_name: str = ""
    counterparty_account: str = ""
    end_to_end_id: str = ""
    is_reversal: bool = False
    part: int = 0


@dataclass(frozen=True, slots=True)
class Remark:
    """Something that finance should know of a statement that may be used: how often, and where first."""

    code: RemarkCode
    count: int
    line: int
    where: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a statement: its balances and sums in đồng, and why it is refused, if it is.

    Sums are of the entries given out; of a refused statement these are only those before the fault. `day`: the last. `line`:
    where the statement ends in its file.
    """

    statement: Statement
    line: int
    day: date | None
    opening_vnd: int | None
    closing_vnd: int | None
    credits: int
    credits_vnd: int
    debits: int
    debits_vnd: int
    remarks: tuple[Remark, ...]
    refusal: StatementRefused | None

    @property
    def difference_vnd(self) -> int | None:
        """Opening and entries, less closing; None where a balance is not known."""
        if self.opening_vnd is None or self.closing_vnd is None:
            return None
        return self.opening_vnd + self.credits_vnd - self.debits_vnd - self.closing_vnd


@dataclass(frozen=True, slots=True)
class Entries:
    """Whole entries that follow each other, column by column: what a reader gives out that reads many lines at once."""

    line: Sequence[int]
    bank_ref: Sequence[str]
    amount_vnd: Sequence[int]
    booked_day: Sequence[date]
    value_day: Sequence[date]
    booked_at: Sequence[datetime | None]
    text: Sequence[str]
    counterparty_name: Sequence[str]
    counterparty_account: Sequence[str]
    end_to_end_id: Sequence[str]

    def each(self) -> Iterator[Entry]:
        columns = (self.line, self.bank_ref, self.amount_vnd, self.booked_day, self.value_day, self.booked_at)
        said = (self.text, self.counterparty_name, self.counterparty_account, self.end_to_end_id)
        return map(Entry, *columns, *said)


Event = Statement | Entry | Verdict


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a file: a line (of a sheet: a row), and what stands there (element path, field, heading or cell)."""

    line: int
    where: str

    def at(self, field: str = "") -> Mapping[str, object]:
        """The facts of a refusal about a field of this place."""
        return {"line": self.line, "where": self.where + field}


def shown(text: str) -> str:
    """A piece of a file as it may stand in a message: short, on one line, nothing that a terminal obeys."""
    piece = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[:41])
    return piece if len(piece) <= 40 else piece[:40] + "…"


# Nothing of the file can be used.


class FileRefused(Refusal):
    """This statement file cannot be used."""

    status = 422
    code: ClassVar[str] = "statement_file_refused"


class StatementFileEmpty(FileRefused):
    """The file {file} is empty."""


class StatementFormatUnknown(FileRefused):
    """The file {file} is neither camt.053, camt.054, MT940, CSV nor XLSX."""


class StatementFileTooLarge(FileRefused):
    """The file {file} is larger than {most_bytes} bytes, packed or unpacked."""


class StatementFileTooMany(FileRefused):
    """The file {file} has more than {most} statements."""


class StatementProfileNeeded(FileRefused):
    """The file {file} is a table: say which bank's layout it has ({profiles})."""


class StatementProfileUnknown(FileRefused):
    """No layout is called {profile}; there are {profiles}."""


class StatementCharactersRefused(FileRefused):
    """Line {line} of {file} has characters that are not {encoding}."""


class StatementNulByte(FileRefused):
    """Line {line} of {file} has a NUL character: the file is damaged, or is UTF-16 without its mark at the start."""


class StatementLineTooLong(FileRefused):
    """Line {line} of {file} is longer than {longest} characters."""


class StatementFileCutOff(FileRefused):
    """The file {file} ends in the middle, on line {line}: fetch it again."""


class StatementXmlBroken(FileRefused):
    """Line {line} of {file} is not well-formed XML: {reason}."""


class StatementXmlEncodingRefused(FileRefused):
    """The file {file} says on line {line} that it is {encoding}; only UTF-8 and UTF-16 are read."""


class StatementXmlDoctype(FileRefused):
    """Line {line} of {file} declares a document type, which no statement has and attacks need."""


class StatementXmlTooDeep(FileRefused):
    """Line {line} of {file}: elements are nested more than {most} deep."""


class StatementXmlTooManyNames(FileRefused):
    """Line {line} of {file}: there are more than {most} different names of elements and attributes."""


class StatementPieceTooLarge(FileRefused):
    """Line {line} of {file}: one element is larger than {most_bytes} bytes."""


class StatementXmlOther(FileRefused):
    """The file {file} is XML, but no camt.053 or camt.054 with a statement in it: it begins with {root}."""


class StatementCsvBroken(FileRefused):
    """Line {line} of {file} is not well-formed CSV: {reason}."""


class StatementTableMissing(FileRefused):
    """The file {file} has no line with the headings of the layout {profile}: {headings}."""


class StatementZipBroken(FileRefused):
    """The archive {file} is damaged, cut off or not of the plain kind, at {member}."""


class StatementZipEncrypted(FileRefused):
    """In the archive {file}, {member} is encrypted: unpack it first."""


class StatementZipNested(FileRefused):
    """In the archive {file}, {member} is an archive itself: unpack it first."""


class StatementZipName(FileRefused):
    """In the archive {file}, {member} is no plain name of a file, or stands there twice."""


class StatementZipTooMany(FileRefused):
    """The archive {file} has more than {most} files."""


class StatementZipBomb(FileRefused):
    """In the archive {file}, {member} would unpack to more than {ratio} times its size."""


class StatementSheetTooLarge(FileRefused):
    """The sheet {file} has more than {most} characters of text: save it as CSV."""


# The statement cannot be used; others of its file may.


class StatementRefused(Refusal):
    """This statement cannot be used."""

    status = 422
    code: ClassVar[str] = "statement_refused"


class StatementCutOff(StatementRefused):
    """Line {line}, {where}: the statement ends before its closing balance."""


class StatementFieldMissing(StatementRefused):
    """Line {line}: {where} is missing."""


class StatementFieldUnreadable(StatementRefused):
    """Line {line}, {where}: “{text}” cannot be read."""


class StatementAccountMissing(StatementRefused):
    """Line {line}, {where}: the statement does not say whose account it is about."""


class StatementAccountMixed(StatementRefused):
    """Line {line}, {where}: the account is {account}, before it was {other}."""


class StatementCurrencyRefused(StatementRefused):
    """Line {line}, {where}: the currency is {currency}; only statements in VND are read."""


class StatementCurrencyMixed(StatementRefused):
    """Line {line}, {where}: the currency is {currency}, before it was {other}."""


class StatementBalanceMissing(StatementRefused):
    """Line {line}, {where}: there is no opening and closing balance."""


class StatementBalancesDiffer(StatementRefused):
    """Line {line}, {where}: the balance is {balance_vnd} đồng, and {other_vnd} đồng elsewhere in the same statement."""


class StatementNotTied(StatementRefused):
    """Line {line}, {where}: opening {opening_vnd} and entries {sum_vnd} are not closing {closing_vnd}, by {difference_vnd}."""


class StatementLineNotTied(StatementRefused):
    """Line {line}, {where}: the balance should be {expected_vnd} đồng and is {balance_vnd}: a line is missing or altered."""


class StatementTotalsDiffer(StatementRefused):
    """Line {line}, {where}: the bank counted {said}, its entries are {found}."""


class StatementAmountUnreadable(StatementRefused):
    """Line {line}, {where}: “{amount}” is no amount as this format writes it."""


class StatementAmountNotWhole(StatementRefused):
    """Line {line}, {where}: {amount} is no whole number of đồng."""


class StatementAmountNegative(StatementRefused):
    """Line {line}, {where}: {amount} is negative; the direction is said elsewhere."""


class StatementAmountTooLarge(StatementRefused):
    """Line {line}, {where}: the amount {amount} has more than {digits} digits."""


class StatementAmountTwice(StatementRefused):
    """Line {line}, {where}: there is an amount both as credit and as debit."""


class StatementDateUnreadable(StatementRefused):
    """Line {line}, {where}: “{text}” is no date as this format writes it ({wanted})."""


class StatementEntryTwice(StatementRefused):
    """Line {line}, {where}: reference {bank_ref} with the same amount stood here before."""


class StatementTooManyEntries(StatementRefused):
    """Line {line}, {where}: more than {most} of them."""


class StatementTwice(StatementRefused):
    """Line {line}, {where}: this statement stood in the file before."""


class StatementPageMissing(StatementRefused):
    """Line {line}, {where}: the page before or after this one is missing."""


class StatementFormula(StatementRefused):
    """Line {line}, {where}: the cell holds a formula, which no bank's export does."""


class StatementNumberLost(StatementRefused):
    """Line {line}, {where}: a spreadsheet keeps 15 digits of a number, and {text} has lost some."""
