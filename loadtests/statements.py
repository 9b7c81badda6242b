"""Bank statements to read: one invented day of an account, written as every kind of file that banks write.

python -m loadtests.statements --mb 100        # camt.053 of that size: seconds and peak memory of reading it
"""

from __future__ import annotations

import argparse
import io
import random
import resource
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from xml.sax.saxutils import escape


@dataclass(frozen=True)
class Line:
    """Money that moved, as an account's owner would tell it: `amount_vnd` > 0 came in."""

    ref: str
    amount_vnd: int
    booked_day: date
    value_day: date
    text: str = ""
    name: str = ""
    account: str = ""
    end_to_end_id: str = ""
    is_reversal: bool = False


@dataclass(frozen=True)
class Day:
    """What a bank knows of an account on a day, or from `first_day` to that day."""

    account: str
    day: date
    number: int
    opening_vnd: int
    lines: Sequence[Line] = field(default_factory=list)
    first_day: date | None = None

    @property
    def closing_vnd(self) -> int:
        return self.opening_vnd + sum(line.amount_vnd for line in self.lines)

    @property
    def credits_vnd(self) -> int:
        return sum(line.amount_vnd for line in self.lines if line.amount_vnd > 0)

    @property
    def debits_vnd(self) -> int:
        return -sum(line.amount_vnd for line in self.lines if line.amount_vnd < 0)


def some_day(chance: random.Random, lines: int, *, account: str = "0011002345678", number: int = 1) -> Day:
    day = date(2026, 1, 1) + timedelta(chance.randrange(300))
    made = [
        Line(
            ref=f"FT{day:%y%j}{number:03}{at:07}",
            amount_vnd=chance.choice((1, 1, 1, 1, -1)) * chance.randrange(5, 2000) * 1000,
            booked_day=day,
            value_day=day,
            text=f"MBVCB.{chance.randrange(10**10)} MC{chance.randrange(10**10):010} NGUYEN VAN A chuyen tien ve tham quan",
            name=chance.choice(("NGUYEN VAN A", "TRAN THI B", "CONG TY TNHH HOA SEN", "LE C")),
            account=f"{chance.randrange(10**13):013}",
        )
        for at in range(lines)
    ]
    return Day(account, day, number, chance.randrange(10**9), made)


# camt, in the structure of its version: 02, or 08 with its deeper status and parties


def camt053(days: Sequence[Day], version: str = "02") -> Iterator[str]:
    yield _begin("053", "BkToCstmrStmt", version)
    for day in days:
        yield f"<Stmt><Id>{day.account}-{day.number}</Id><ElctrncSeqNb>{day.number}</ElctrncSeqNb>"
        yield f"<CreDtTm>{day.day}T23:59:00+07:00</CreDtTm>{_account(day)}"
        yield _balance("OPBD", day.opening_vnd, day.first_day or day.day) + _balance("CLBD", day.closing_vnd, day.day)
        yield _totals(day)
        for line in day.lines:
            yield _entry(line, version)
        yield "</Stmt>\n"
    yield "</BkToCstmrStmt></Document>\n"


def camt054(days: Sequence[Day], version: str = "02") -> Iterator[str]:
    yield _begin("054", "BkToCstmrDbtCdtNtfctn", version)
    for day in days:
        yield f"<Ntfctn><Id>{day.account}-{day.number}</Id><ElctrncSeqNb>{day.number}</ElctrncSeqNb>"
        yield f"<CreDtTm>{day.day}T23:59:00+07:00</CreDtTm>{_account(day)}{_totals(day)}"
        for line in day.lines:
            yield _entry(line, version)
        yield "</Ntfctn>\n"
    yield "</BkToCstmrDbtCdtNtfctn></Document>\n"


def _begin(message: str, element: str, version: str) -> str:
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.{message}.001.{version}"><{element}>'
        "<GrpHdr><MsgId>M1</MsgId><CreDtTm>2026-11-21T23:59:00</CreDtTm></GrpHdr>\n"
    )


def _account(day: Day) -> str:
    return f"<Acct><Id><Othr><Id>{day.account}</Id></Othr></Id><Ccy>VND</Ccy></Acct>\n"


def _direction(amount_vnd: int) -> str:
    return f"<CdtDbtInd>{'CRDT' if amount_vnd >= 0 else 'DBIT'}</CdtDbtInd>"


def _balance(code: str, amount_vnd: int, day: date) -> str:
    kind = f"<Tp><CdOrPrtry><Cd>{code}</Cd></CdOrPrtry></Tp>"
    amount = f'<Amt Ccy="VND">{abs(amount_vnd)}</Amt>{_direction(amount_vnd)}'
    return f"<Bal>{kind}{amount}<Dt><Dt>{day}</Dt></Dt></Bal>\n"


def _totals(day: Day) -> str:
    said = f"<TtlNtries><NbOfNtries>{len(day.lines)}</NbOfNtries></TtlNtries>"
    for name, sign, sum_vnd in (("TtlCdtNtries", 1, day.credits_vnd), ("TtlDbtNtries", -1, day.debits_vnd)):
        count = sum(line.amount_vnd * sign > 0 for line in day.lines)
        said += f"<{name}><NbOfNtries>{count}</NbOfNtries><Sum>{sum_vnd}.00</Sum></{name}>"
    return f"<TxsSummry>{said}</TxsSummry>\n"


def _entry(line: Line, version: str) -> str:
    later = version >= "08"
    amount = f'<Amt Ccy="VND">{abs(line.amount_vnd)}</Amt>'
    direction = _direction(line.amount_vnd)
    role = "Dbtr" if (line.amount_vnd > 0) is not line.is_reversal else "Cdtr"
    name = f"<Nm>{escape(line.name)}</Nm>"
    reversal = "<RvslInd>true</RvslInd>" if line.is_reversal else ""
    end_to_end = f"<EndToEndId>{escape(line.end_to_end_id or 'NOTPROVIDED')}</EndToEndId>"
    own = amount + direction if later else f"<AmtDtls><TxAmt>{amount}</TxAmt></AmtDtls>"
    parties = (
        f"<{role}>{f'<Pty>{name}</Pty>' if later else name}</{role}>"
        f"<{role}Acct><Id><Othr><Id>{escape(line.account)}</Id></Othr></Id></{role}Acct>"
    )
    return (
        f"<Ntry>\n<NtryRef>{line.ref[-7:]}</NtryRef>\n{amount}\n{direction}{reversal}\n"
        f"<Sts>{'<Cd>BOOK</Cd>' if later else 'BOOK'}</Sts>\n"
        f"<BookgDt><Dt>{line.booked_day}</Dt></BookgDt>\n<ValDt><Dt>{line.value_day}</Dt></ValDt>\n"
        f"<AcctSvcrRef>{escape(line.ref)}</AcctSvcrRef>\n"
        "<BkTxCd><Domn><Cd>PMNT</Cd><Fmly><Cd>RCDT</Cd><SubFmlyCd>OTHR</SubFmlyCd></Fmly></Domn></BkTxCd>\n"
        f"<NtryDtls>\n<TxDtls>\n<Refs>{end_to_end}</Refs>\n{own}\n"
        f"<RltdPties>{parties}</RltdPties>\n<RmtInf><Ustrd>{escape(line.text)}</Ustrd></RmtInf>\n"
        "</TxDtls>\n</NtryDtls>\n</Ntry>\n"
    )


# MT940


def mt940(days: Sequence[Day], *, enveloped: bool = True) -> str:
    return "".join(_mt940_message(day, enveloped) for day in days)


def _mt940_message(day: Day, enveloped: bool) -> str:
    rows = [
        f":20:ST{day.number}",
        f":25:{day.account}",
        f":28C:{day.number}/1",
        mt940_balance("60F", day.opening_vnd, day.first_day or day.day),
    ]
    for line in day.lines:
        mark = "C" if (line.amount_vnd > 0) is not line.is_reversal else "D"
        mark = ("R" if line.is_reversal else "") + mark
        ours = line.end_to_end_id or "NONREF"
        rows.append(
            f":61:{line.value_day:%y%m%d}{line.booked_day:%m%d}{mark}{abs(line.amount_vnd)},NTRF{ours}//{line.ref}"
        )
        rows += wrapped(":86:", line.text)
    rows.append(mt940_balance("62F", day.closing_vnd, day.day))
    if enveloped:
        return "\r\n".join(["{1:F01MOTCVNVXAXXX0000000000}{2:I940MOTCVNVXXXXXN}{4:", *rows, "-}", ""])
    return "\r\n".join([*rows, "-", ""])


def mt940_balance(tag: str, amount_vnd: int, day: date) -> str:
    return f":{tag}:{'C' if amount_vnd >= 0 else 'D'}{day:%y%m%d}VND{abs(amount_vnd)},"


def wrapped(tag: str, text: str) -> list[str]:
    """A text in rows of 65, cut wherever they end, as SWIFT does; a row never ends or begins with the blank it was cut at."""
    rows = [text[at : at + 65] for at in range(0, len(text), 65)] or [""]
    return [tag + rows[0], *rows[1:]]


# Tables, in the two invented layouts


def two_columns(days: Sequence[Day]) -> list[list[str | int | date]]:
    """The rows of the layout `example-two-columns`, amounts and days as values."""
    rows: list[list[str | int | date]] = []
    for day in days:
        rows += [
            ["NGÂN HÀNG THƯƠNG MẠI VÍ DỤ"],
            ["Số tài khoản:", day.account],
            ["Loại tiền:", "VND"],
            ["Số sao kê:", str(day.number)],
            ["Số dư đầu kỳ:", day.opening_vnd],
            ["STT", "Ngày giao dịch", "Ngày hiệu lực", "Số bút toán", "Nội dung", "Ghi nợ", "Ghi có", "Số dư"],
        ]
        balance_vnd = day.opening_vnd
        for at, line in enumerate(day.lines, 1):
            balance_vnd += line.amount_vnd
            sides: list[str | int] = ["", line.amount_vnd] if line.amount_vnd > 0 else [-line.amount_vnd, ""]
            rows.append([str(at), line.booked_day, line.value_day, line.ref, line.text, *sides, balance_vnd])
        rows += [
            ["", "Cộng phát sinh", "", "", "", day.debits_vnd, day.credits_vnd, ""],
            ["Số dư cuối kỳ:", day.closing_vnd],
            ["Đây là chứng từ điện tử"],
        ]
    return rows


def signed(day: Day) -> list[list[str | int | date]]:
    """The rows of the layout `example-signed`, newest first."""
    rows: list[list[str | int | date]] = []
    balance_vnd = day.opening_vnd
    for line in day.lines:
        balance_vnd += line.amount_vnd
        rows.append(
            [day.account, line.booked_day, line.ref, line.amount_vnd, balance_vnd, line.name, line.account, line.text]
        )
    headings = "Tài khoản|Thời gian|Mã giao dịch|Số tiền|Số dư sau giao dịch|Tên đối ứng|Tài khoản đối ứng|Diễn giải"
    return [list(headings.split("|")), *reversed(rows), ["Tổng cộng", "", "", day.closing_vnd - day.opening_vnd]]


def csv_text(
    rows: Sequence[Sequence[str | int | date]], *, separator: str = ",", group: str = ".", order: str = "%d/%m/%Y"
) -> str:
    def cell(value: str | int | date) -> str:
        if isinstance(value, int):
            value = f"{value:,}".replace(",", group)
        elif isinstance(value, date):
            value = value.strftime(order)
        return '"' + value.replace('"', '""') + '"' if separator in value or '"' in value else value

    return "".join(separator.join(map(cell, row)) + "\r\n" for row in rows)


def csv_two_columns(days: Sequence[Day]) -> str:
    return csv_text(two_columns(days))


def csv_signed(day: Day) -> str:
    return csv_text(signed(day), separator=";", group=",", order="%Y-%m-%d")


def xlsx(sheets: Sequence[Sequence[Sequence[str | int | date]]], *, shared: bool = True) -> bytes:
    """A workbook of sheets; `shared`: texts in a part of their own, as spreadsheets write them, or each in its cell."""
    strings: dict[str, int] = {}
    parts = {"[Content_Types].xml": "<Types/>"}
    names = "".join(f'<sheet name="S{at}" sheetId="{at}" r:id="rId{at}"/>' for at in range(1, len(sheets) + 1))
    parts["xl/workbook.xml"] = (
        '<workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
        ' xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships">'
        f"<sheets>{names}</sheets></workbook>"
    )
    parts["xl/_rels/workbook.xml.rels"] = (
        "<Relationships>"
        + "".join(
            f'<Relationship Id="rId{at + 1}" Target="worksheets/sheet{at + 1}.xml"/>' for at in range(len(sheets))
        )
        + "</Relationships>"
    )
    for number, rows in enumerate(sheets, 1):
        written = "".join(
            f'<row r="{line}">{"".join(_cell(value, f"{chr(65 + at)}{line}", strings, shared) for at, value in enumerate(row))}</row>'
            for line, row in enumerate(rows, 1)
        )
        parts[f"xl/worksheets/sheet{number}.xml"] = f"<worksheet><sheetData>{written}</sheetData></worksheet>"
    if shared:
        parts["xl/sharedStrings.xml"] = "<sst>" + "".join(f"<si><t>{escape(s)}</t></si>" for s in strings) + "</sst>"
    return zipped(parts)


def _cell(value: str | int | date, at: str, strings: dict[str, int], shared: bool) -> str:
    if value == "":
        return ""
    if isinstance(value, date):
        return f'<c r="{at}" s="1"><v>{(value - date(1899, 12, 30)).days}</v></c>'
    if isinstance(value, int):
        return f'<c r="{at}"><v>{value}</v></c>'
    if shared:
        return f'<c r="{at}" t="s"><v>{strings.setdefault(value, len(strings))}</v></c>'
    return f'<c r="{at}" t="inlineStr"><is><t>{escape(value)}</t></is></c>'


def zipped(parts: dict[str, str] | dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in parts.items():
            archive.writestr(name, text)
    return packed.getvalue()


# Measuring


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mb", type=int, default=100)
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.write:
        return _write(given.write, given.mb)
    if given.read:
        return _measure(given.read)
    # A process begins with the peak of the one that started it: writing and reading have one each, started by a small one.
    with tempfile.TemporaryDirectory() as folder:
        itself, path = [sys.executable, "-m", "loadtests.statements"], f"{folder}/camt053.xml"
        subprocess.run([*itself, "--write", path, "--mb", str(given.mb)], check=True)
        return subprocess.run([*itself, "--read", path], check=False).returncode


def _write(path: Path, megabytes: int) -> int:
    chance = random.Random(1)
    each = len("".join(_entry(some_day(chance, 1).lines[0], "08")).encode())
    with path.open("w", encoding="utf-8") as file:
        file.writelines(camt053([some_day(chance, megabytes * 1_000_000 // each)], "08"))
    return 0


def _measure(path: Path) -> int:
    from payments.statement import Entry, Verdict, reader

    # On Linux in kB. What importing the house needs is shown apart.
    before, entries = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, 0
    began, worked = time.perf_counter(), time.process_time()
    verdicts = []
    with path.open("rb") as file:
        for event in reader.read(file, path.name):
            if isinstance(event, Entry):
                entries += 1
            elif isinstance(event, Verdict):
                verdicts.append(event)
    seconds, worked = time.perf_counter() - began, time.process_time() - worked
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(
        f"{path.stat().st_size / 1e6:.0f} MB, {entries:,} entries, {seconds:.1f} s ({worked:.1f} s of CPU), peak {peak / 1024:.0f} MB"
        f" ({before / 1024:.0f} MB before), {'ties' if all(v.refusal is None for v in verdicts) else 'REFUSED'}"
    )
    return 0 if all(verdict.refusal is None for verdict in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
