"""Statement files that are wrong, half, oversized or built to do harm: each is refused by name, with its place."""

from __future__ import annotations

import contextlib
import io
import os
import random
import re
import subprocess
import sys
import time
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from bank_files import DAY, LATER, SIGNED, TWO, camt, code, mt940, ntry, only, read, statement, verdicts
from hypothesis import given, settings
from hypothesis import strategies as st

import main
from foundation.errors import Refusal
from loadtests import statements
from loadtests.statements import Day, some_day
from payments.statement import FileRefused, StatementRefused, archive, reader, sheet, tally
from payments.statement.profile import Profile, profile_of

MB = 1 << 20
CSV, MT940 = statements.csv_two_columns([DAY]), statements.mt940([DAY])
FIRST = DAY.lines[0]


def why(file: str | bytes, profile: Profile | None = None) -> Refusal:
    """The one refusal of a file, or of the one statement in it."""
    try:
        refusal = only(read(file, profile)).refusal
    except FileRefused as refused:
        return refused
    assert refusal is not None
    return refusal


# Files


def packed(**members: bytes) -> bytes:
    return statements.zipped(members)


def encrypted() -> bytes:
    """A file that says of itself that it is: one bit in each of its two headers."""
    octets = bytearray(packed(a=camt(DAY).encode()))
    octets[6] |= 1
    octets[octets.index(b"PK\x01\x02") + 8] |= 1
    return bytes(octets)


def crowded() -> bytes:
    return packed(**{f"m{at}": b"x" for at in range(archive.MOST_FILES + 1)})


def overlapping() -> bytes:
    """Two hundred names for one piece of data."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as packing:
        packing.writestr("a", random.Random(1).randbytes(9_000))
        first = packing.filelist[0]
        for at in range(200):
            again = zipfile.ZipInfo(f"a{at}")
            again.compress_type, again.CRC = first.compress_type, first.CRC
            again.file_size, again.compress_size, again.header_offset = first.file_size, first.compress_size, 0
            packing.filelist.append(again)
    return written.getvalue()


def workbook(**parts: str) -> bytes:
    with zipfile.ZipFile(io.BytesIO(statements.xlsx([statements.two_columns([DAY])]))) as opened:
        kept = {name: opened.read(name).decode() for name in opened.namelist()}
    return statements.zipped(kept | {f"xl/{name.replace('__', '/')}.xml": text for name, text in parts.items()})


def entities(depth: int) -> str:
    told = "".join(f'<!ENTITY e{at} "{f"&e{at - 1};" * 10}">' for at in range(1, depth))
    return f'<?xml version="1.0"?><!DOCTYPE d [<!ENTITY e0 "lol">{told}]><Document>&e{depth - 1};</Document>'


DOCTYPE = "<!DOCTYPE Document {}><Document/>"
FILES: dict[str, tuple[str | bytes, str]] = {
    "nothing": (b"", "statement_file_empty"),
    "a PDF": (b"%PDF-1.7\n...", "statement_format_unknown"),
    "old Excel": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(100), "statement_format_unknown"),
    "gzip": (b"\x1f\x8b\x08\x00", "statement_format_unknown"),
    "rubbish": (bytes(range(256)), "statement_format_unknown"),
    "a table of no named layout": (CSV, "statement_profile_needed"),
    "a workbook of no named layout": (workbook(), "statement_profile_needed"),
    "MT942-like": (":9401:X\n:25:1\n", "statement_profile_needed"),
    "half camt": (camt(DAY)[:-30], "statement_file_cut_off"),
    "camt cut in a name": (camt(DAY)[:-4], "statement_file_cut_off"),
    "camt with two roots": (camt(DAY) + "<More/>", "statement_xml_broken"),
    "camt with crossed elements": (camt(DAY).replace("</Amt>", "</Amz>", 1), "statement_xml_broken"),
    "camt with a NUL": (camt(DAY).replace("<Ntry>", "<Ntry>\0", 1), "statement_xml_broken"),
    "camt in Latin-1": (
        camt(DAY).replace("UTF-8", "ISO-8859-1").encode("latin-1", "ignore"),
        "statement_xml_encoding_refused",
    ),
    "camt that is not the UTF-8 it says": (camt(DAY).encode().replace(b"FT", b"\xff\xfe", 1), "statement_xml_broken"),
    "camt.052": (
        camt(DAY).replace("BkToCstmrStmt", "BkToCstmrAcctRpt").replace("Stmt>", "Rpt>"),
        "statement_xml_other",
    ),
    "a web page": ("<html><body><p>Please log in</p></body></html>", "statement_xml_other"),
    "a message without a statement": (camt(DAY).replace("Stmt>", "Other>"), "statement_xml_other"),
    "a document type": (DOCTYPE.format(""), "statement_xml_doctype"),
    "an external document type": (DOCTYPE.format('SYSTEM "http://bank.example/x.dtd"'), "statement_xml_doctype"),
    "an external entity": (DOCTYPE.format('[<!ENTITY x SYSTEM "file:///etc/passwd">]'), "statement_xml_doctype"),
    "a parameter entity": (DOCTYPE.format('[<!ENTITY % x SYSTEM "file:///etc/passwd">%x;]'), "statement_xml_doctype"),
    "a billion laughs": (entities(10), "statement_xml_doctype"),
    "quadratic blow-up": (
        DOCTYPE.format(f'[<!ENTITY x "{"a" * 50_000}">]').replace("/>", ">" + "&x;" * 50_000 + "</Document>"),
        "statement_xml_doctype",
    ),
    "an entity that nobody declared": (camt(DAY).replace("<Id>", "<Id>&x;", 1), "statement_xml_broken"),
    "a deep document": ("<a>" * 100_000, "statement_xml_too_deep"),
    "a document of names": ("<r>" + "".join(f"<a{at}/>" for at in range(5_000)), "statement_xml_too_many_names"),
    "an element of attributes": (
        "<r>" + "".join(f'<a b{at}=""/>' for at in range(50_000)),
        "statement_xml_too_many_names",
    ),
    "an endless attribute": ('<r a="' + "x" * 5 * MB, "statement_piece_too_large"),
    "an endless comment": ("<r><!--" + "x" * 5 * MB, "statement_piece_too_large"),
    "an endless text": (statement(ntry("<AddtlNtryInf>" + "x" * 5 * MB)), "statement_piece_too_large"),
    "an endless entry": (statement(ntry("<X><Y>1</Y></X>" * 200_000)), "statement_piece_too_large"),
    "an archive cut off": (packed(a=camt(DAY).encode())[:-9], "statement_zip_broken"),
    "an archive with a wrong byte": (
        packed(a=camt(DAY).encode()).replace(b"PK\x01\x02", b"PK\x01\x03", 1),
        "statement_zip_broken",
    ),
    "an archive with a comment": (packed(a=b"x")[:-2] + b"\x01\x00c", "statement_zip_broken"),
    "an archive of nothing": (statements.zipped({"__MACOSX/x": b"x"}), "statement_file_empty"),
    "an archive whose file is empty": (packed(a=b""), "statement_file_empty"),
    "an encrypted archive": (encrypted(), "statement_zip_encrypted"),
    "an archive in an archive": (packed(a=packed(b=b"x")), "statement_zip_nested"),
    "an archive of too many files": (crowded(), "statement_zip_too_many"),
    "an archive of one file under many names": (overlapping(), "statement_zip_broken"),
    "an absolute name": (statements.zipped({"/etc/passwd": camt(DAY)}), "statement_zip_name"),
    "a name that climbs": (statements.zipped({"a/../../b": camt(DAY)}), "statement_zip_name"),
    "a name of Windows": (statements.zipped({"C:\\a": camt(DAY)}), "statement_zip_name"),
    "a bomb": (packed(a=bytes(30 * MB)), "statement_zip_bomb"),
    "a file of an archive that is refused": (packed(a=camt(DAY).encode(), b=b"%PDF"), "statement_format_unknown"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_cannot_be_used_is_refused_by_name(name: str) -> None:
    file, wanted = FILES[name]
    with pytest.raises(FileRefused) as refused:
        read(file)
    assert refused.value.code == wanted
    assert "file" in str(refused.value)
    assert refused.value.status == 422


TABLES: dict[str, tuple[str | bytes, str]] = {
    "Windows-1258": (CSV.encode("cp1258", "ignore"), "statement_characters_refused"),
    "half a character": (CSV.encode()[:-1] + "ử".encode()[:-1], "statement_characters_refused"),
    "UTF-16 without its mark": ("a,b\n".encode("utf-16-le"), "statement_nul_byte"),
    "half of UTF-16": (CSV.encode("utf-16")[:-1], "statement_characters_refused"),
    "a NUL": (CSV.replace("Nội", "Nội\0"), "statement_nul_byte"),
    "an open quote": ('"' + CSV, "statement_csv_broken"),
    "an open quote over a million lines": ('"\n' + "a\n" * 1_000_000, "statement_csv_broken"),
    "a quote opened again on every line": ('"x' + 'x","x\n' * 1_000_000, "statement_csv_broken"),
    "no headings": ("a,b\n" * 1000, "statement_table_missing"),
    "other headings": (CSV.replace("Số bút toán", "Mã"), "statement_cut_off"),
    "a workbook without its sheet": (
        workbook(_rels__workbook="x").replace(b"sheet1.xml", b"sheet9.xml"),
        "statement_zip_broken",
    ),
    "a workbook that is a bomb": (
        workbook(worksheets__sheet1="<worksheet><sheetData>" + " " * 30 * MB),
        "statement_zip_bomb",
    ),
    "a workbook with a document type": (workbook(worksheets__sheet1=entities(3)), "statement_xml_doctype"),
    "a workbook cut off": (workbook()[:-100], "statement_zip_broken"),
    "a sheet cut off": (workbook(worksheets__sheet1="<worksheet><sheetData><row>"), "statement_file_cut_off"),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_that_cannot_be_used_is_refused_by_name(name: str) -> None:
    file, wanted = TABLES[name]
    refusal = why(file, TWO)
    assert refusal.code == wanted, str(refusal)


def test_strings_that_cells_share_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheet, "MOST_CHARACTERS", 500)
    assert why(workbook(), TWO).code == "statement_sheet_too_large"


def test_too_large_is_refused_before_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MOST_BYTES", 1000)
    assert why(camt(DAY)).code == "statement_file_too_large"
    assert why(packed(a=camt(DAY).encode())).code == "statement_file_too_large"


def test_too_many_statements_and_entries_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "MOST_STATEMENTS", 1)
    with pytest.raises(FileRefused, match="more than 1 statements"):
        read("".join(statements.camt053([DAY, LATER])))
    monkeypatch.setattr(tally, "MOST_ENTRIES", 2)
    assert why(camt(DAY)).code == "statement_too_many_entries"


def test_a_layout_that_nobody_declared_is_refused() -> None:
    with pytest.raises(FileRefused, match="example-signed, example-two-columns"):
        profile_of("vietcombank")


# Statements


def swap(text: str, old: str, new: str) -> str:
    assert old in text, old
    return text.replace(old, new, 1)


def camt_amount(amount: str) -> str:
    return statement(ntry("", amount))


def swift_amount(amount: str) -> str:
    return mt940(f":61:270102C{amount}NTRFNONREF//B1")


def table_amount(amount: str) -> str:
    return swap(CSV, f",{abs(FIRST.amount_vnd):,}".replace(",", ".").replace(".", ",", 1), f',"{amount}"')


ACCOUNT = "<Acct><Id><Othr><Id>190</Id></Othr></Id><Ccy>VND</Ccy></Acct>"
TWICE = ":61:270102C500,NTRFNONREF//B1"
STATEMENTS: dict[str, tuple[str, str, str]] = {
    # camt: the file, the refusal, where it says that it is
    "decimals": (camt_amount("1000.50"), "statement_amount_not_whole", "Stmt[1]/Ntry[1]/Amt"),
    "a float": (camt_amount("1e3"), "statement_amount_unreadable", "Stmt[1]/Ntry[1]/Amt"),
    "a comma": (camt_amount("1,000"), "statement_amount_unreadable", "Stmt[1]/Ntry[1]/Amt"),
    "no number": (camt_amount("NaN"), "statement_amount_unreadable", "Stmt[1]/Ntry[1]/Amt"),
    "digits of another script": (camt_amount("١٠٠٠"), "statement_amount_unreadable", "Stmt[1]/Ntry[1]/Amt"),
    "a negative amount": (camt_amount("-1000"), "statement_amount_negative", "Stmt[1]/Ntry[1]/Amt"),
    "23 digits": (camt_amount("1" * 23), "statement_amount_too_large", "Stmt[1]/Ntry[1]/Amt"),
    "two amounts": (swap(camt_amount("1"), "<Sts>", '<Amt Ccy="VND">2</Amt><Sts>'), "statement_amount_unreadable", "Amt"),
    "no amount": (swap(statement(ntry("")), ">1000<", "><"), "statement_field_missing", "Stmt[1]/Bal[CLBD]/Amt"),
    "no direction": (
        statement(ntry("", direction="")), "statement_field_missing", "Stmt[1]/Ntry[1]/CdtDbtInd"),
    "an unknown direction": (
        statement(ntry("", direction="X")), "statement_field_unreadable", "Stmt[1]/Ntry[1]/CdtDbtInd"),
    "an unknown status": (statement(ntry("", status="DONE")), "statement_field_unreadable", "Stmt[1]/Ntry[1]/Sts"),
    "another date format": (
        statement(ntry("").replace("2026-11-21", "21.11.2026", 1)), "statement_date_unreadable", "Ntry[1]/BookgDt/Dt"),
    "a day that never was": (
        statement(ntry("").replace("2026-11-21", "2026-02-30", 1)), "statement_date_unreadable", "Ntry[1]/BookgDt/Dt"),
    "a week date": (
        statement(ntry("").replace("2026-11-21", "2026-W05-1", 1)), "statement_date_unreadable", "Ntry[1]/BookgDt/Dt"),
    "no date": (statement(ntry("").replace("<Dt>2026-11-21</Dt>", "")), "statement_field_missing", "Ntry[1]/BookgDt"),
    "no account": (statement(ntry(""), head="<Acct><Ccy>VND</Ccy></Acct>"), "statement_account_missing", "Acct/Id"),
    "euros": (statement(ntry("")).replace("VND", "EUR"), "statement_currency_refused", "Stmt[1]"),
    "opening in dong, closing in euros": (
        "EUR".join(statement(ntry("")).rsplit("VND", 2)[:2]) + statement(ntry("")).rsplit("VND", 1)[1],
        "statement_currency_mixed", "Stmt[1]/Bal[CLBD]"),
    "an entry in dollars": (
        statement(ntry("").replace("VND", "USD")), "statement_currency_mixed", "Stmt[1]/Ntry[1]"),
    "no balances": (statement(ntry(""), balances=""), "statement_balance_missing", "Stmt[1]"),
    "two openings": (
        swap(statement(ntry("")), "<Bal>", '<Bal><Tp><CdOrPrtry><Cd>PRCD</Cd></CdOrPrtry></Tp><Amt Ccy="VND">5</Amt>'
             "<CdtDbtInd>CRDT</CdtDbtInd></Bal><Bal>"), "statement_balances_differ", "Stmt[1]/Bal[PRCD]"),
    "one entry twice": (
        statement(ntry("", "500"), ntry("", "500")), "statement_entry_twice", "Stmt[1]/Ntry[2]"),
    "an endless reference": (
        statement(ntry("").replace("B1", "B" * 65)), "statement_field_unreadable", "Stmt[1]/Ntry[1]"),
    "too many balances": (statement(balances="<Bal><Amt Ccy='VND'>1</Amt></Bal>" * 101),
                          "statement_too_many_entries", "Stmt[1]/Bal[]"),
    # MT940
    "MT940: no comma": (swift_amount("1000"), "statement_amount_unreadable", "[1]:61:"),
    "MT940: decimals": (swift_amount("1000,5"), "statement_amount_not_whole", "[1]:61:"),
    "MT940: negative": (swift_amount("-1000,"), "statement_amount_negative", "[1]:61:"),
    "MT940: a point": (swift_amount("1.000,"), "statement_amount_unreadable", "[1]:61:"),
    "MT940: 23 digits": (swift_amount("1" * 23 + ","), "statement_amount_too_large", "[1]:61:"),
    "MT940: no type": (mt940(":61:270102C1000,"), "statement_field_unreadable", "[1]:61:"),
    "MT940: no such day": (mt940(":61:270230C1000,NTRFX//B"), "statement_field_unreadable", "[1]:61:"),
    "MT940: no such entry day": (mt940(":61:2701020230C1000,NTRFX//B"), "statement_field_unreadable", "[1]:61:"),
    "MT940: wrong closing": (mt940(":61:270102C999,NTRFX//B"), "statement_not_tied", "[1]:"),
    "MT940: other closing currency": (
        mt940(":61:270102C1000,NTRFX//B", closing="C270102EUR1000,"), "statement_currency_mixed", "[1]:62F:"),
    "MT940: euros": (mt940(opening="C270102EUR0,"), "statement_currency_refused", "[1]:60F:"),
    "MT940: no account": (mt940().replace(":25:190\n", ""), "statement_account_missing", "[1]:60F:"),
    "MT940: no opening": (swap(mt940(), ":60F:C261231VND0,\n", ""), "statement_field_missing", "[1]:60F:"),
    "MT940: half a balance": (mt940(closing="C2701"), "statement_field_unreadable", "[1]:62F:"),
    "MT940: no closing": (mt940().split(":62F:")[0], "statement_cut_off", "[1]:"),
    "MT940: two closings": (mt940(":62F:C270102VND1000,"), "statement_field_unreadable", "[1]:62F:"),
    "MT940: an entry behind the closing": (mt940(":62F:C270102VND0,", TWICE), "statement_field_unreadable", "[1]:61:"),
    "MT940: one entry twice": (mt940(TWICE, TWICE), "statement_entry_twice", "[1]:61:"),
    "MT940: endless text": (mt940(TWICE, ":86:x", *["y"] * 1000), "statement_too_many_entries", "[1]:86:"),
    # tables, by cell
    "CSV: decimals": (table_amount("1.000,50"), "statement_amount_not_whole", "Ghi có"),
    "CSV: the other separators": (table_amount("1,000.00"), "statement_amount_unreadable", "Ghi có"),
    "CSV: thousands in the wrong place": (table_amount("10.00"), "statement_amount_unreadable", "Ghi có"),
    "CSV: negative": (table_amount("-1.000"), "statement_amount_negative", "Ghi có"),
    "CSV: a float": (table_amount("1e6"), "statement_amount_unreadable", "Ghi có"),
    "CSV: 23 digits": (table_amount("1" * 23), "statement_amount_too_large", "Ghi có"),
    "CSV: another amount": (table_amount("1.000"), "statement_line_not_tied", "Số dư"),
    "CSV: another date format": (
        swap(CSV, f"1,{DAY.day:%d/%m/%Y}", f"1,{DAY.day}"), "statement_date_unreadable", "Ngày giao dịch"),
    "CSV: month before day": (
        swap(CSV, f"1,{DAY.day:%d/%m/%Y}", "1,11/21/2026"), "statement_date_unreadable", "Ngày giao dịch"),
    "CSV: a day of another century": (
        swap(CSV, f"1,{DAY.day:%d/%m/%Y}", "1,21/11/1926"), "statement_date_unreadable", "Ngày giao dịch"),
    "CSV: no day": (swap(CSV, f"1,{DAY.day:%d/%m/%Y}", "1,"), "statement_date_unreadable", "Ngày giao dịch"),
    "CSV: no account": (swap(CSV, DAY.account, ""), "statement_account_missing", "example-two-columns"),
    "CSV: dollars": (swap(CSV, "VND", "USD"), "statement_currency_refused", "Loại tiền:"),
    "CSV: wrong closing": (
        swap(CSV, f"kỳ:,{DAY.closing_vnd:,}".replace(",", ".").replace(".", ",", 1), "kỳ:,7"),
        "statement_not_tied", "Số dư cuối kỳ"),
    "CSV: no closing": (CSV.split("Số dư cuối")[0], "statement_cut_off", "Số dư cuối kỳ"),
    "CSV: wrong sums": (swap(CSV, "Cộng phát sinh,,,,", "Cộng phát sinh,,,,1"), "statement_totals_differ", "Ghi nợ"),
    "CSV: half a line": (swap(CSV, f",{FIRST.text}", "\r\n"), "statement_field_missing", "[5]"),
}  # fmt: skip


@pytest.mark.parametrize("name", STATEMENTS)
def test_a_statement_that_cannot_be_used_is_refused_with_its_place(name: str) -> None:
    file, wanted, where = STATEMENTS[name]
    refusal = why(file, TWO)
    assert refusal.code == wanted, str(refusal)
    assert str(refusal.facts["where"]).endswith(where)
    line = refusal.facts["line"]
    assert isinstance(line, int) and 1 <= line <= file.count("\n") + 1


def test_both_columns_at_once_are_refused() -> None:
    rows = statements.two_columns([DAY])
    rows[6][5] = rows[6][6] = 1000
    assert why(statements.csv_text(rows), TWO).code == "statement_amount_twice"


def test_lines_of_two_accounts_in_one_table_are_refused() -> None:
    table = swap(statements.csv_signed(DAY), f"\n{DAY.account}", "\n19")
    assert why(table, SIGNED).code == "statement_account_mixed"


def sheet_with(cell: str) -> bytes:
    """The day in a workbook, the first credit or debit being this cell."""
    with zipfile.ZipFile(io.BytesIO(workbook())) as opened:
        text = opened.read("xl/worksheets/sheet1.xml").decode()
    column = "G" if FIRST.amount_vnd > 0 else "F"
    begin = text.index(f'<c r="{column}7">')
    end = text.index("</c>", begin) + 4
    return workbook(worksheets__sheet1=text[:begin] + cell.replace("AT", f"{column}7") + text[end:])


@pytest.mark.parametrize(
    ("cell", "wanted"),
    [
        ('<c r="AT"><f>SUM(A1:A9)</f><v>1000</v></c>', "statement_formula"),
        ('<c r="AT"><f t="shared" si="0"/><v>1000</v></c>', "statement_formula"),
        ('<c r="AT"><v>1000.5</v></c>', "statement_amount_not_whole"),
        ('<c r="AT"><v>-1000</v></c>', "statement_amount_negative"),
        ('<c r="AT"><v>1E22</v></c>', "statement_amount_too_large"),
        ('<c r="AT"><v>1E999999</v></c>', "statement_field_unreadable"),
        ('<c r="AT"><v>NaN</v></c>', "statement_field_unreadable"),
        ('<c r="AT" t="e"><v>#REF!</v></c>', "statement_field_unreadable"),
        ('<c r="AT" t="b"><v>1</v></c>', "statement_field_unreadable"),
        ('<c r="AT" t="s"><v>99999</v></c>', "statement_field_unreadable"),
        ('<c r="A7"><v>1</v></c>', "statement_field_unreadable"),
        ('<c r="XFD7"><v>1</v></c>', "statement_field_unreadable"),
        ('<c r="AT" t="inlineStr"><is><t>1.000,50</t></is></c>', "statement_amount_not_whole"),
    ],
)
def test_a_cell_that_is_no_plain_amount_is_refused_by_its_name(cell: str, wanted: str) -> None:
    refusal = why(sheet_with(cell), TWO)
    assert refusal.code == wanted, str(refusal)
    assert str(refusal.facts["where"]).startswith("S1!")
    assert refusal.facts["line"] == 7


def test_a_reference_that_a_spreadsheet_rounded_is_refused() -> None:
    rows = statements.two_columns([DAY])
    rows[6][3] = 1234567890123456789
    assert why(statements.xlsx([rows]), TWO).code == "statement_number_lost"


def test_the_same_statement_twice_in_a_file_counts_once() -> None:
    for file in ("".join(statements.camt053([DAY, DAY])), statements.mt940([DAY, DAY]), CSV + CSV):
        assert [code(verdict) for verdict in verdicts(read(file, TWO))] == [None, "statement_twice"]


def test_every_refusal_of_the_room_has_been_met() -> None:
    met = {wanted for _, wanted in (*FILES.values(), *TABLES.values())}
    met |= {wanted for _, wanted, _ in STATEMENTS.values()}
    elsewhere = {
        "statement_account_mixed", "statement_amount_twice", "statement_file_too_large", "statement_file_too_many",
        "statement_formula", "statement_line_too_long", "statement_number_lost", "statement_page_missing", "statement_profile_unknown",
        "statement_sheet_too_large", "statement_twice", "statement_unreadable",
    }  # fmt: skip
    ours = {one.code for base in (FileRefused, StatementRefused) for one in base.__subclasses__()}
    assert ours == met | elsewhere


def test_nothing_that_a_terminal_obeys_gets_into_a_message() -> None:
    refusal = why(statement(ntry("", "1\x9b31m" + "9" * 100)))
    assert str(refusal).isprintable() and len(str(refusal)) < 200


# Whatever comes


VALID: list[tuple[bytes, Profile]] = [
    (camt(DAY, "08").encode(), TWO),
    (MT940.encode(), TWO),
    (CSV.encode(), TWO),
    (statements.csv_signed(DAY).encode(), SIGNED),
    (workbook(), TWO),
]


@settings(max_examples=150)
@given(st.sampled_from(VALID), st.randoms(use_true_random=False))
def test_a_damaged_file_is_refused_or_tells_what_ties(valid: tuple[bytes, Profile], chance: random.Random) -> None:
    octets, profile = bytearray(valid[0]), valid[1]
    for _ in range(chance.randrange(1, 4)):
        at = chance.randrange(len(octets))
        octets[at : at + chance.randrange(0, 9)] = chance.randbytes(chance.randrange(0, 9))
    try:
        told = verdicts(read(bytes(octets), profile))
    except FileRefused:
        return
    for verdict in told:
        assert verdict.refusal is not None or verdict.difference_vnd == 0


@settings(max_examples=150)
@given(st.binary(max_size=300), st.sampled_from([b"", b"<Document>", b":20:", b"{1:", b"PK\x03\x04", b"\xff\xfe"]))
def test_only_named_refusals_come_out_of_any_bytes(octets: bytes, begins: bytes) -> None:
    with contextlib.suppress(FileRefused):
        read(begins + octets, TWO)


# Memory and time


def endless(pieces: Iterator[bytes]) -> io.BufferedReader:
    """A file of any size that lies nowhere."""

    class Raw(io.RawIOBase):
        rest = b""

        def readable(self) -> bool:
            return True

        def seekable(self) -> bool:
            return True

        def seek(self, offset: int, whence: int = 0) -> int:
            return 0

        def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
            self.rest = self.rest or next(pieces, b"")
            taken, self.rest = self.rest[: len(buffer)], self.rest[len(buffer) :]
            buffer[: len(taken)] = taken
            return len(taken)

    return io.BufferedReader(Raw())


def test_a_line_of_100_mb_is_refused_where_it_became_too_long() -> None:
    tracemalloc.start()
    with pytest.raises(FileRefused) as refused:
        list(reader.read(endless(b"x" * MB for _ in range(100)), "file", TWO))
    assert refused.value.code == "statement_line_too_long"
    assert tracemalloc.get_traced_memory()[1] < 3 * MB
    tracemalloc.stop()


def many_days(days: int, lines: int, write: Callable[[list[Day]], str]) -> Iterator[bytes]:
    chance = random.Random(3)
    for number in range(days):
        yield write([some_day(chance, lines, number=number)]).encode()


def test_memory_does_not_grow_with_the_file() -> None:
    def camt_of(days: int) -> Iterator[bytes]:
        whole = camt(Day("1", DAY.day, 1, 0))
        before, after = whole.split("<Stmt>")[0], "</BkToCstmrStmt></Document>"
        yield before.encode()
        yield from many_days(
            days, 50, lambda day: "<Stmt>" + camt(day[0]).split("<Stmt>")[1].removesuffix(after + "\n")
        )
        yield after.encode()

    def peak(file: io.BufferedReader, profile: Profile | None = None) -> int:
        tracemalloc.start()
        for _ in reader.read(file, "file", profile):
            pass
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    for file in (
        endless(camt_of(20)),
        endless(many_days(20, 50, statements.mt940)),
    ):
        assert peak(file) < 2 * MB
    assert peak(endless(many_days(20, 50, statements.csv_two_columns)), TWO) < 2 * MB


@pytest.mark.parametrize(
    "name", ["a billion laughs", "quadratic blow-up", "a bomb", "an endless attribute", "a deep document"]
)
def test_an_attack_costs_little(name: str) -> None:
    file = FILES[name][0]
    octets = file.encode() if isinstance(file, str) else file
    tracemalloc.start()
    began = time.process_time()
    with pytest.raises(FileRefused):
        list(reader.read(io.BytesIO(octets), "file"))
    assert time.process_time() - began < 1
    assert tracemalloc.get_traced_memory()[1] < len(octets) + 8 * MB
    tracemalloc.stop()


def test_the_measure_of_a_large_file_runs(house: Path) -> None:
    """`python -m loadtests.statements --mb 100` in small: the whole process stays within what was promised for 100 MB."""
    said = subprocess.run(
        [sys.executable, "-m", "loadtests.statements", "--mb", "3"],
        cwd=house,
        env={**os.environ, "PYTHONPATH": str(house)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert said.returncode == 0, said.stdout + said.stderr
    peak = re.search(r"peak (\d+) MB", said.stdout)
    assert peak is not None and int(peak[1]) < 256
    assert "ties" in said.stdout


# The command


def check(tmp_path: Path, octets: bytes | str, *arguments: str) -> int:
    file = tmp_path / "file"
    file.write_bytes(octets.encode() if isinstance(octets, str) else octets)
    return main.command(["statement", "check", str(file), *arguments])


def test_the_command_says_what_a_file_holds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(tmp_path, "".join(statements.camt053([DAY, LATER], "08"))) == 0
    said = capsys.readouterr().out
    for wanted in (DAY.account, LATER.account, f"{DAY.opening_vnd:,}", f"{DAY.closing_vnd:,}", "Every statement"):
        assert wanted in said
    assert said.count("  ties") == 2


def test_the_command_says_by_how_much_a_statement_does_not_tie(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = swap(camt(DAY), f">{DAY.closing_vnd}<", f">{DAY.closing_vnd + 5}<")
    assert check(tmp_path, wrong) == 1
    said = capsys.readouterr().out
    assert "REFUSED: Line" in said and "closing: -5\N{NO-BREAK SPACE}₫" in said


def test_the_command_names_the_layout_of_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(tmp_path, CSV) == 1
    assert "example-two-columns" in capsys.readouterr().out
    assert check(tmp_path, CSV, "--profile", "example-two-columns") == 0
    assert check(tmp_path, CSV, "--profile", "nobody") == 1


def test_the_command_ends_with_a_sentence_whatever_the_file_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for octets, _ in FILES.values():
        assert check(tmp_path, octets) == 1
        assert "nothing of this file can be used" in capsys.readouterr().out
    assert main.command(["statement", "check", str(tmp_path / "nowhere")]) == 1
    assert main.command(["statement", "check", str(tmp_path)]) == 1
