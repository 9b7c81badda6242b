"""Statements as the files that banks write: camt.053 and camt.054, MT940, and tables as CSV and XLSX in two layouts.

Pure. A file is written as it is told, piece by piece: its beginning, its entries in the order it wants them, its end. The
same statement and entries give the same bytes.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial
from typing import IO, ClassVar, Literal
from xml.sax.saxutils import escape

from typing_extensions import Buffer

from mock_bank import language

Batch = Literal["details", "no_details", "wrong_details"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What stands around the entries. The balances are as the file says them; what was counted is the sums'.

    `batch`: how the payments are told, if as one entry of `batched_vnd`.
    """

    bin: str
    account: str
    owner_name: str
    day: date
    number: int
    id: str
    issued_at: datetime
    opening_vnd: int
    credits: int
    credits_vnd: int
    debits: int
    debits_vnd: int
    closing_vnd: int
    batch: Batch | None
    batched: int
    batched_vnd: int

    @property
    def entry(self) -> Line:
        """The batch as an entry."""
        midnight = datetime(self.day.year, self.day.month, self.day.day, tzinfo=language.HANOI)
        return Line(
            bank_ref=f"FB{self.day:%y%j}{self.number:08}",
            amount_vnd=self.batched_vnd,
            booked_at=midnight + timedelta(days=1, seconds=-1),
            text=f"GHI CO GOP {self.batched} GIAO DICH",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Money that moved: `amount_vnd` > 0 came in. Empty is what the owner is not told, or what there is none of.

    `is_counted`, `is_written`: what is told once is both; a defect is one of them only.
    """

    bank_ref: str
    amount_vnd: int
    booked_at: datetime
    text: str
    bin: str = ""
    account: str = ""
    name: str = ""
    end_to_end_id: str = ""
    is_reversal: bool = False
    is_return: bool = False
    is_counted: bool = True
    is_written: bool = True

    @property
    def day(self) -> date:
        return self.booked_at.date()


class File:
    """One statement in one form. `begin`, then the batch if there is one and the lines, then `end`."""

    suffix: ClassVar[str]
    media_type: ClassVar[str]
    newest_first: bool = False
    tells_details: ClassVar[bool] = False

    def __init__(self, statement: Statement) -> None:
        self.statement = statement

    def begin(self) -> str:
        raise NotImplementedError

    def line(self, line: Line) -> str:
        """An entry; "" for one that the file does not show, but has to know."""
        raise NotImplementedError

    def begin_batch(self) -> str:
        return self.line(self.statement.entry)

    def detail(self, line: Line) -> str:
        """A transaction of the batch."""
        raise NotImplementedError

    def end_batch(self) -> str:
        return ""

    def end(self) -> str:
        raise NotImplementedError

    def first(self, text: str) -> bytes:
        """The bytes with which the file begins."""
        return text.encode()

    def more(self, text: str) -> bytes:
        return text.encode()

    def last(self, text: str) -> bytes:
        return text.encode()


# camt, in the structure of its version: 02, or 08 with its deeper status and parties


class Camt(File):
    """camt.053, or camt.054: the same entries without balances, and with the bank's count of them instead."""

    suffix = "xml"
    media_type = "application/xml"
    tells_details = True

    def __init__(self, statement: Statement, message: str, version: str) -> None:
        super().__init__(statement)
        self.message, self.is_later = f"camt.{message}.001.{version}", version >= "08"
        self.root, self.element = {
            "053": ("BkToCstmrStmt", "Stmt"),
            "054": ("BkToCstmrDbtCdtNtfctn", "Ntfctn"),
        }[message]
        self._details = 0

    def begin(self) -> str:
        its = self.statement
        made = f"<CreDtTm>{its.issued_at.isoformat(timespec='seconds')}</CreDtTm>"
        agent = self._agent(its.bin)
        told = (
            _balance("OPBD", its.opening_vnd, its.day) + _balance("CLBD", its.closing_vnd, its.day)
            if self.element == "Stmt"
            else self._totals()
        )
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f'<Document xmlns="urn:iso:std:iso:20022:tech:xsd:{self.message}"><{self.root}>'
            f"<GrpHdr><MsgId>{its.id}</MsgId>{made}</GrpHdr>\n"
            f"<{self.element}><Id>{its.id}</Id><ElctrncSeqNb>{its.number}</ElctrncSeqNb>{made}"
            f"<FrToDt><FrDtTm>{its.day}T00:00:00+07:00</FrDtTm><ToDtTm>{its.day}T23:59:59+07:00</ToDtTm></FrToDt>"
            f"<Acct><Id><Othr><Id>{its.account}</Id></Othr></Id><Ccy>VND</Ccy>"
            f"<Ownr><Nm>{escape(its.owner_name)}</Nm></Ownr><Svcr>{agent}</Svcr></Acct>\n{told}"
        )

    def line(self, line: Line) -> str:
        if not line.is_written:
            return ""
        return f"{self._head(line)}<NtryDtls>{self._transaction(line)}</NtryDtls></Ntry>\n"

    def begin_batch(self) -> str:
        its = self.statement
        count = f"<Btch><NbOfTxs>{its.batched}</NbOfTxs></Btch>"
        return f"{self._head(its.entry)}<NtryDtls>{count}\n"

    def detail(self, line: Line) -> str:
        if not line.is_written:
            return ""
        self._details += 1
        is_wrong = self.statement.batch == "wrong_details" and self._details == 1
        return f"{self._transaction(line, more_vnd=1000 if is_wrong else 0, in_batch=True)}\n"

    def end_batch(self) -> str:
        return "</NtryDtls></Ntry>\n"

    def end(self) -> str:
        return f"</{self.element}></{self.root}></Document>\n"

    def _totals(self) -> str:
        its = self.statement
        credits = its.credits - its.batched + 1 if its.batch else its.credits
        return (
            f"<TxsSummry><TtlNtries><NbOfNtries>{credits + its.debits}</NbOfNtries></TtlNtries>"
            f"<TtlCdtNtries><NbOfNtries>{credits}</NbOfNtries><Sum>{its.credits_vnd}</Sum></TtlCdtNtries>"
            f"<TtlDbtNtries><NbOfNtries>{its.debits}</NbOfNtries><Sum>{its.debits_vnd}</Sum></TtlDbtNtries></TxsSummry>\n"
        )

    def _head(self, line: Line) -> str:
        booked = f"<DtTm>{line.booked_at.isoformat(timespec='seconds')}</DtTm>" if self.is_later else _day(line.day)
        family = "RCDT" if line.amount_vnd > 0 else "ICDT"
        kind = "RRTN" if line.is_reversal or line.is_return else "OTHR"
        return (
            f"<Ntry>{_amount(line.amount_vnd)}{_direction(line.amount_vnd)}"
            f"{'<RvslInd>true</RvslInd>' if line.is_reversal else ''}"
            f"<Sts>{'<Cd>BOOK</Cd>' if self.is_later else 'BOOK'}</Sts>"
            f"<BookgDt>{booked}</BookgDt><ValDt>{_day(line.day)}</ValDt>"
            f"<AcctSvcrRef>{line.bank_ref or 'NOTPROVIDED'}</AcctSvcrRef>"
            f"<BkTxCd><Domn><Cd>PMNT</Cd><Fmly><Cd>{family}</Cd><SubFmlyCd>{kind}</SubFmlyCd></Fmly></Domn></BkTxCd>"
        )

    def _transaction(self, line: Line, *, more_vnd: int = 0, in_batch: bool = False) -> str:
        amount = _amount(line.amount_vnd + more_vnd)
        own = f"<AcctSvcrRef>{line.bank_ref}</AcctSvcrRef>" if in_batch and line.bank_ref else ""
        # The parties of a reversal are still those of the payment that it takes back.
        role = "Dbtr" if (line.amount_vnd > 0) is not line.is_reversal else "Cdtr"
        parties = ""
        if line.name:
            name = f"<Nm>{escape(line.name)}</Nm>"
            parties = (
                f"<RltdPties><{role}>{f'<Pty>{name}</Pty>' if self.is_later else name}</{role}>"
                f"<{role}Acct><Id><Othr><Id>{escape(line.account)}</Id></Othr></Id></{role}Acct></RltdPties>"
                f"<RltdAgts><{role}Agt>{self._agent(line.bin)}</{role}Agt></RltdAgts>"
            )
        # A remittance line has 140 characters; the banks' own words around a payer's text can make it longer.
        text = escape(line.text)
        told = f"<RmtInf><Ustrd>{text}</Ustrd></RmtInf>" if 0 < len(line.text) <= 140 else ""
        return (
            f"<TxDtls><Refs>{own}<EndToEndId>{escape(line.end_to_end_id) or 'NOTPROVIDED'}</EndToEndId></Refs>"
            f"{amount + _direction(line.amount_vnd) if self.is_later else f'<AmtDtls><TxAmt>{amount}</TxAmt></AmtDtls>'}"
            f"{parties}{told}{f'<AddtlTxInf>{escape(line.text[:500])}</AddtlTxInf>' if len(line.text) > 140 else ''}"
            "</TxDtls>"
        )

    def _agent(self, bin: str) -> str:
        return f"<FinInstnId><ClrSysMmbId><MmbId>{escape(bin)}</MmbId></ClrSysMmbId></FinInstnId>"


def _day(day: date) -> str:
    return f"<Dt>{day}</Dt>"


def _amount(amount_vnd: int) -> str:
    return f'<Amt Ccy="VND">{abs(amount_vnd)}</Amt>'


def _direction(amount_vnd: int) -> str:
    return f"<CdtDbtInd>{'CRDT' if amount_vnd >= 0 else 'DBIT'}</CdtDbtInd>"


def _balance(code: str, amount_vnd: int, day: date) -> str:
    kind = f"<Tp><CdOrPrtry><Cd>{code}</Cd></CdOrPrtry></Tp>"
    return f"<Bal>{kind}{_amount(amount_vnd)}{_direction(amount_vnd)}<Dt>{_day(day)}</Dt></Bal>\n"


# MT940


class Mt940(File):
    """MT940 as one page in its envelope. The owner's reference stands in :61: in full, longer than SWIFT allows."""

    suffix = "sta"
    media_type = "text/plain; charset=utf-8"
    ROW = 65

    def begin(self) -> str:
        its = self.statement
        return self._rows(
            f"{{1:F01PRAC{its.bin[-4:]}AXXX0000000000}}{{2:I940MOTCVNVXXXXXN}}{{4:",
            f":20:{its.id}",
            f":25:{its.account}",
            f":28C:{its.number}/1",
            self._balance("60F", its.opening_vnd),
        )

    def line(self, line: Line) -> str:
        if not line.is_written:
            return ""
        mark = "C" if (line.amount_vnd > 0) is not line.is_reversal else "D"
        refs = f"{line.end_to_end_id or 'NONREF'}//{line.bank_ref or 'NONREF'}"
        days = f"{line.day:%y%m%d}{line.day:%m%d}"
        rows = self._text(line.text)
        return self._rows(
            f":61:{days}{'R' if line.is_reversal else ''}{mark}{abs(line.amount_vnd)},NTRF{refs}",
            f":86:{rows[0]}",
            *rows[1:],
        )

    def end(self) -> str:
        return self._rows(self._balance("62F", self.statement.closing_vnd), "-}")

    def _balance(self, tag: str, amount_vnd: int) -> str:
        return f":{tag}:{'C' if amount_vnd >= 0 else 'D'}{self.statement.day:%y%m%d}VND{abs(amount_vnd)},"

    def _text(self, text: str) -> list[str]:
        """Rows of 65, cut wherever they end. None begins as a field or the end of a message does."""
        rows = [text[at : at + self.ROW] for at in range(0, len(text), self.ROW)] or [""]
        return [rows[0], *("." + row[1:] if row.startswith((":", "-", "{")) else row for row in rows[1:])]

    def _rows(self, *rows: str) -> str:
        return "".join(f"{row}\r\n" for row in rows)


# Tables, in two layouts as Vietnamese banks export them

Cell = str | int | date | datetime
Row = Sequence[Cell]


class Layout:
    """The rows of a table. The column of balances tells what was counted, with whatever the balances say wrongly."""

    def __init__(self, statement: Statement) -> None:
        self.statement = statement

    newest_first: ClassVar[bool]
    separator: ClassVar[str]
    group: ClassVar[str]
    order: ClassVar[str]

    def begin(self) -> list[Row]:
        raise NotImplementedError

    def line(self, line: Line) -> list[Row]:
        raise NotImplementedError

    def end(self) -> list[Row]:
        raise NotImplementedError


class TwoColumns(Layout):
    """Debits and credits apart, the account and the balances in lines of their own."""

    newest_first, separator, group, order = False, ",", ".", "%d/%m/%Y"

    def begin(self) -> list[Row]:
        its = self.statement
        self._at, self._balance_vnd = 0, its.opening_vnd
        return [
            ["NGÂN HÀNG TẬP SỰ"],
            [f"Sao kê từ ngày {its.day:%d/%m/%Y} đến ngày {its.day:%d/%m/%Y}"],
            ["Chủ tài khoản:", its.owner_name],
            ["Số tài khoản:", its.account],
            ["Loại tiền:", "VND"],
            ["Số sao kê:", str(its.number)],
            ["Số dư đầu kỳ:", its.opening_vnd],
            ["STT", "Ngày giao dịch", "Ngày hiệu lực", "Số bút toán", "Nội dung", "Ghi nợ", "Ghi có", "Số dư"],
        ]

    def line(self, line: Line) -> list[Row]:
        self._balance_vnd += line.amount_vnd if line.is_counted else 0
        if not line.is_written:
            return []
        self._at += 1
        sides: list[Cell] = ["", line.amount_vnd] if line.amount_vnd > 0 else [-line.amount_vnd, ""]
        return [[self._at, line.day, line.day, line.bank_ref, line.text, *sides, self._balance_vnd]]

    def end(self) -> list[Row]:
        its = self.statement
        return [
            ["", "Cộng phát sinh", "", "", "", its.debits_vnd, its.credits_vnd, ""],
            ["Số dư cuối kỳ:", its.closing_vnd],
            ["Đây là chứng từ điện tử, không cần chữ ký"],
        ]


class Signed(Layout):
    """One signed amount, newest first, nothing around the lines but their sum: an empty day does not say whose it is."""

    newest_first, separator, group, order = True, ";", ",", "%Y-%m-%d"

    def begin(self) -> list[Row]:
        its = self.statement
        self._balance_vnd = its.opening_vnd + its.credits_vnd - its.debits_vnd
        # Only the newest balance is the closing one.
        self._error_vnd = its.closing_vnd - self._balance_vnd
        return [
            [
                "Tài khoản",
                "Thời gian",
                "Mã giao dịch",
                "Số tiền",
                "Số dư sau giao dịch",
                "Tên đối ứng",
                "Tài khoản đối ứng",
                "Diễn giải",
            ]
        ]

    def line(self, line: Line) -> list[Row]:
        balance_vnd = self._balance_vnd + self._error_vnd
        self._balance_vnd -= line.amount_vnd if line.is_counted else 0
        if not line.is_written:
            return []
        self._error_vnd = 0
        return [
            [
                self.statement.account,
                line.booked_at,
                line.bank_ref,
                line.amount_vnd,
                balance_vnd,
                line.name,
                line.account,
                line.text,
            ]
        ]

    def end(self) -> list[Row]:
        its = self.statement
        return [["Tổng cộng", "", "", its.credits_vnd - its.debits_vnd]]


class Csv(File):
    """UTF-8 with its mark, days and amounts as the layout writes them."""

    suffix = "csv"
    media_type = "text/csv; charset=utf-8"

    def __init__(self, statement: Statement, layout: type[Layout]) -> None:
        super().__init__(statement)
        self.layout, self.newest_first = layout(statement), layout.newest_first

    def begin(self) -> str:
        return "\N{BYTE ORDER MARK}" + self._written(self.layout.begin())

    def line(self, line: Line) -> str:
        return self._written(self.layout.line(line))

    def end(self) -> str:
        return self._written(self.layout.end())

    def _written(self, rows: Sequence[Row]) -> str:
        written = io.StringIO()
        csv.writer(written, delimiter=self.layout.separator).writerows(
            [self._shown(cell) for cell in row] for row in rows
        )
        return written.getvalue()

    def _shown(self, cell: Cell) -> str:
        if isinstance(cell, datetime):
            return f"{cell:{self.layout.order} %H:%M:%S}"
        if isinstance(cell, date):
            return f"{cell:{self.layout.order}}"
        return f"{cell:,}".replace(",", self.layout.group) if isinstance(cell, int) else cell


class Xlsx(File):
    """A workbook of one sheet: days and amounts as numbers, every text in its own cell."""

    suffix = "xlsx"
    media_type = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
    SHEET = "xl/worksheets/sheet1.xml"

    def __init__(self, statement: Statement, layout: type[Layout]) -> None:
        super().__init__(statement)
        self.layout, self.newest_first = layout(statement), layout.newest_first

    def begin(self) -> str:
        self._row = 0
        return f'{XML}<worksheet xmlns="{SHEETS}"><sheetData>{self._written(self.layout.begin())}'

    def line(self, line: Line) -> str:
        return self._written(self.layout.line(line))

    def end(self) -> str:
        return f"{self._written(self.layout.end())}</sheetData></worksheet>"

    def first(self, text: str) -> bytes:
        self._archive = Archive(self.statement.day)
        octets = b""
        for name, part in {**PARTS, self.SHEET: text}.items():
            self._archive.open(name)
            octets += self._archive.write(part.encode())
        return octets

    def more(self, text: str) -> bytes:
        return self._archive.write(text.encode())

    def last(self, text: str) -> bytes:
        return self._archive.write(text.encode()) + self._archive.end()

    def _written(self, rows: Sequence[Row]) -> str:
        written = []
        for row in rows:
            self._row += 1
            cells = "".join(_cell(cell, f"{chr(65 + at)}{self._row}") for at, cell in enumerate(row))
            written.append(f'<row r="{self._row}">{cells}</row>')
        return "".join(written)


XML = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
SHEETS = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"
PART = "application/vnd.openxmlformats-officedocument.spreadsheetml"
PARTS = {
    "[Content_Types].xml": f'{XML}<Types xmlns="{PACKAGE}/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Default Extension="xml" ContentType="application/xml"/>'
    f'<Override PartName="/xl/workbook.xml" ContentType="{PART}.sheet.main+xml"/>'
    f'<Override PartName="/xl/styles.xml" ContentType="{PART}.styles+xml"/>'
    f'<Override PartName="/{Xlsx.SHEET}" ContentType="{PART}.worksheet+xml"/></Types>',
    "_rels/.rels": f'{XML}<Relationships xmlns="{PACKAGE}/relationships">'
    f'<Relationship Id="rId1" Type="{RELATIONS}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
    "xl/workbook.xml": f'{XML}<workbook xmlns="{SHEETS}" xmlns:r="{RELATIONS}">'
    '<sheets><sheet name="Sao kê" sheetId="1" r:id="rId1"/></sheets></workbook>',
    "xl/_rels/workbook.xml.rels": f'{XML}<Relationships xmlns="{PACKAGE}/relationships">'
    f'<Relationship Id="rId1" Type="{RELATIONS}/worksheet" Target="worksheets/sheet1.xml"/>'
    f'<Relationship Id="rId2" Type="{RELATIONS}/styles" Target="styles.xml"/></Relationships>',
    # Cells are plain (0), days (1), times (2) or amounts (3).
    "xl/styles.xml": f'{XML}<styleSheet xmlns="{SHEETS}"><fonts count="1"><font><sz val="11"/><name val="Calibri"/></font>'
    '</fonts><fills count="2"><fill><patternFill patternType="none"/></fill><fill><patternFill patternType="gray125"/>'
    '</fill></fills><borders count="1"><border/></borders><cellStyleXfs count="1"><xf/></cellStyleXfs>'
    '<cellXfs count="4"><xf/><xf numFmtId="14" applyNumberFormat="1"/><xf numFmtId="22" applyNumberFormat="1"/>'
    '<xf numFmtId="3" applyNumberFormat="1"/></cellXfs>'
    '<cellStyles count="1"><cellStyle name="Normal" xfId="0" builtinId="0"/></cellStyles></styleSheet>',
}
DAY_ZERO = date(1899, 12, 30)


def _cell(cell: Cell, at: str) -> str:
    if cell == "":
        return ""
    if isinstance(cell, datetime):
        seconds = cell.hour * 3600 + cell.minute * 60 + cell.second
        return f'<c r="{at}" s="2"><v>{(cell.date() - DAY_ZERO).days + seconds / 86_400:.8f}</v></c>'
    if isinstance(cell, date):
        return f'<c r="{at}" s="1"><v>{(cell - DAY_ZERO).days}</v></c>'
    if isinstance(cell, int):
        return f'<c r="{at}" s="3"><v>{cell}</v></c>'
    return f'<c r="{at}" t="inlineStr"><is><t xml:space="preserve">{escape(cell)}</t></is></c>'


# Archives


class Archive:
    """A ZIP that goes out as it is written; nothing of it is kept."""

    def __init__(self, day: date) -> None:
        self._at = (day.year, day.month, day.day, 0, 0, 0)
        self._out = _Out()
        self._zip = zipfile.ZipFile(self._out, "w")
        self._file: IO[bytes] | None = None

    def open(self, name: str) -> None:
        """A file begins, and the one before ends."""
        self._close()
        info = zipfile.ZipInfo(name, self._at)
        info.compress_type = zipfile.ZIP_DEFLATED
        self._file = self._zip.open(info, "w")

    def write(self, octets: bytes) -> bytes:
        assert self._file is not None
        self._file.write(octets)
        return self._out.taken()

    def end(self) -> bytes:
        self._close()
        self._zip.close()
        return self._out.taken()

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()


class _Out(io.RawIOBase):
    """What was written since it was last taken."""

    def __init__(self) -> None:
        self._octets = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, octets: Buffer) -> int:
        before = len(self._octets)
        self._octets += octets
        return len(self._octets) - before

    def taken(self) -> bytes:
        taken, self._octets = bytes(self._octets), bytearray()
        return taken


FORMS: dict[str, Callable[[Statement], File]] = {
    **{
        f"camt.{message}.001.{version}": partial(Camt, message=message, version=version)
        for message in ("053", "054")
        for version in ("02", "08")
    },
    "mt940": Mt940,
    "csv.example-two-columns": partial(Csv, layout=TwoColumns),
    "csv.example-signed": partial(Csv, layout=Signed),
    "xlsx.example-two-columns": partial(Xlsx, layout=TwoColumns),
    "xlsx.example-signed": partial(Xlsx, layout=Signed),
}
"""By name. A table says behind the point which layout it has."""
