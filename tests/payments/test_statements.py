"""Bank statements: one day's truth, written as every kind of file, is read back as the same entries; nothing else is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta

import pytest
from bank_files import (
    DAY,
    LATER,
    SIGNED,
    TWO,
    camt,
    code,
    detail,
    entries,
    mt940,
    ntry,
    only,
    read,
    statement,
    verdicts,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from foundation.clock import HANOI
from loadtests import statements
from loadtests.statements import Day, Line
from payments.statement import Entry, Event, FileRefused, Statement
from payments.statement.profile import Profile


def files(*days: Day) -> dict[str, tuple[str | bytes, Profile | None]]:
    """The days in every format that keeps several statements apart."""
    return {
        "camt.053.001.02": ("".join(statements.camt053(days, "02")), None),
        "camt.053.001.08": ("".join(statements.camt053(days, "08")), None),
        "camt.054.001.02": ("".join(statements.camt054(days, "02")), None),
        "camt.054.001.08": ("".join(statements.camt054(days, "08")), None),
        "MT940": (statements.mt940(days), None),
        "MT940 without envelope": (statements.mt940(days, enveloped=False), None),
        "CSV": (statements.csv_two_columns(days), TWO),
        "CSV in UTF-8 with its mark": (statements.csv_two_columns(days).encode("utf-8-sig"), TWO),
        "CSV in UTF-16": (statements.csv_two_columns(days).encode("utf-16"), TWO),
        "XLSX": (statements.xlsx([statements.two_columns([day]) for day in days]), TWO),
        "XLSX without shared strings": (
            statements.xlsx([statements.two_columns([day]) for day in days], shared=False),
            TWO,
        ),
    }


def facts(entry: Entry | Line) -> tuple[object, ...]:
    """What every format tells."""
    ref = entry.bank_ref if isinstance(entry, Entry) else entry.ref
    return ref, entry.amount_vnd, entry.booked_day, entry.value_day, entry.text


def assert_told(events: Sequence[Event], *days: Day) -> None:
    assert [facts(entry) for entry in entries(events)] == [facts(line) for day in days for line in day.lines]
    told = verdicts(events)
    assert [code(verdict) for verdict in told] == [None] * len(days)
    for verdict, day in zip(told, days, strict=True):
        assert (verdict.statement.account, verdict.statement.currency) == (day.account, "VND")
        assert (verdict.credits_vnd, verdict.debits_vnd) == (day.credits_vnd, day.debits_vnd)
        assert verdict.credits + verdict.debits == len(day.lines)
        if verdict.statement.kind == "statement":
            assert (verdict.opening_vnd, verdict.closing_vnd) == (day.opening_vnd, day.closing_vnd)
            assert verdict.difference_vnd == 0


@pytest.mark.parametrize("name", files(DAY))
def test_every_format_tells_the_same_days_and_keeps_statements_apart(name: str) -> None:
    file, profile = files(DAY, LATER)[name]
    events = read(file, profile)
    assert_told(events, DAY, LATER)
    assert [event.account for event in events if isinstance(event, Statement)] == [DAY.account, LATER.account]


@pytest.mark.parametrize("version", ["02", "08"])
def test_camt_tells_who_paid_and_from_which_account(version: str) -> None:
    for entry, line in zip(entries(read(camt(DAY, version))), DAY.lines, strict=True):
        assert (entry.counterparty_name, entry.counterparty_account) == (line.name, line.account)


def test_a_signed_table_that_begins_with_the_newest_line_tells_the_same_day() -> None:
    events = read(statements.csv_signed(DAY), SIGNED)
    assert_told([*reversed(entries(events)), *verdicts(events)], DAY)
    assert [e.counterparty_name for e in entries(events)] == [line.name for line in reversed(DAY.lines)]
    sheet = read(statements.xlsx([statements.signed(DAY)]), SIGNED)
    assert [facts(entry) for entry in entries(sheet)] == [facts(entry) for entry in entries(events)]


def test_files_of_an_archive_are_read_one_by_one() -> None:
    packed = statements.zipped({"a.xml": camt(DAY), "__MACOSX/._a.xml": "x", "b/c.sta": statements.mt940([LATER])})
    assert_told(read(packed), DAY, LATER)


words = st.text("ABCXYZ abcđỗ 019.-/", max_size=100).map(lambda text: " ".join(text.split()))
printable = words.map(lambda text: text.encode("ascii", "ignore").decode()).map(lambda text: " ".join(text.split()))
days_of_the_year = st.dates(date(2025, 1, 1), date(2026, 12, 31))


@st.composite
def some_days(draw: st.DrawFn) -> Day:
    day = draw(days_of_the_year)
    amounts = draw(st.lists(st.integers(1, 10**12) | st.integers(-(10**12), -1), max_size=6))
    lines = [
        Line(
            ref=f"R{at}",
            amount_vnd=amount,
            booked_day=day,
            value_day=day + timedelta(draw(st.integers(-5, 5))),
            text=draw(printable),
            name="A",
            account="1",
        )
        for at, amount in enumerate(amounts)
    ]
    return Day("19001234", day, draw(st.integers(1, 99999)), draw(st.integers(-(10**12), 10**12)), lines)


@settings(max_examples=40)
@given(some_days())
def test_any_day_is_read_back_from_every_format(day: Day) -> None:
    for name, (file, profile) in files(day).items():
        if "MT940" in name:  # a row that was cut at a blank cannot be put together again
            day_told = replace(day, lines=[replace(line, text="") for line in day.lines])
            file = statements.mt940([day_told])
            assert_told(read(file, profile), day_told)
        else:
            assert_told(read(file, profile), day)


# Half files


@pytest.mark.parametrize("name", files(DAY))
def test_a_file_cut_anywhere_is_refused_or_tells_whole_statements_only(name: str) -> None:
    """A refused file gives nothing, whatever came out of it before."""
    file, profile = files(DAY, LATER)[name]
    octets = file.encode() if isinstance(file, str) else file
    whole = {(verdict.statement, verdict.closing_vnd): verdict for verdict in verdicts(read(octets, profile))}
    step = 3 if len(octets) < 4000 else 11
    refused = 0
    for length in range(0, len(octets) - 1, step):
        try:
            told = verdicts(read(octets[:length], profile))
        except FileRefused:
            refused += 1
            continue
        for verdict in told:
            if verdict.refusal is None:
                one = whole[verdict.statement, verdict.closing_vnd]
                assert replace(verdict, remarks=()) == replace(one, remarks=())
    assert refused


# camt: what an entry means


def test_a_statement_whose_entries_do_not_tie_is_refused_with_the_numbers_and_the_other_stays() -> None:
    wrong = "".join(statements.camt053([DAY, LATER])).replace(f">{DAY.closing_vnd}<", f">{DAY.closing_vnd + 5}<", 1)
    refused, good = verdicts(read(wrong))
    assert code(refused) == "statement_not_tied" and code(good) is None
    assert refused.refusal is not None
    assert refused.refusal.facts["closing_vnd"] == DAY.closing_vnd + 5
    assert refused.refusal.facts["difference_vnd"] == -5 == refused.difference_vnd
    assert refused.refusal.facts["where"] == "Stmt[1]"


def test_a_batch_is_split_into_details_that_add_up_to_it() -> None:
    batch = ntry(f"<NtryDtls>{detail('400', 'E1')}{detail('600.00', 'NOTPROVIDED')}</NtryDtls>")
    events = read(statement(batch))
    assert [(e.bank_ref, e.part, e.amount_vnd, e.end_to_end_id) for e in entries(events)] == [
        ("B1", 1, 400, "E1"),
        ("B1", 2, 600, ""),
    ]
    assert only(events).refusal is None and only(events).remarks == ()


def test_a_reference_that_a_bank_says_it_has_not_is_none() -> None:
    unknown = ntry("").replace("<AcctSvcrRef>B1", "<AcctSvcrRef>NOTPROVIDED")
    events = read(statement(unknown, unknown, closing=2000))
    assert [entry.bank_ref for entry in entries(events)] == ["", ""]
    assert (code(only(events)), only(events).remarks[0].code) == (None, "no_bank_ref")


@pytest.mark.parametrize(
    "details",
    [
        detail("400", "E1") + detail("500", "E2"),
        detail("400", "E1") + detail("600", "E2").replace("VND", "USD"),
        detail("400", "E1") + "<TxDtls><Refs><EndToEndId>E2</EndToEndId></Refs></TxDtls>",
        detail("999", "E1"),
    ],
)
def test_a_batch_whose_details_do_not_add_up_stays_one_entry_with_a_remark(details: str) -> None:
    events = read(statement(ntry(f"<NtryDtls>{details}</NtryDtls>")))
    (entry,) = entries(events)
    assert (entry.amount_vnd, entry.part, entry.bank_ref) == (1000, 0, "B1")
    (remark,) = only(events).remarks
    assert (remark.code, remark.count, remark.where) == ("batch_not_split", 1, "Stmt[1]/Ntry[1]")


def test_a_reversal_takes_its_sign_from_the_direction_alone() -> None:
    payer = "<NtryDtls>" + detail("1000", "E", "<RltdPties><Cdtr><Nm>B</Nm></Cdtr></RltdPties>") + "</NtryDtls>"
    (entry,) = entries(read(statement(ntry(f"<RvslInd>true</RvslInd>{payer}"))))
    assert (entry.amount_vnd, entry.is_reversal, entry.counterparty_name) == (1000, True, "B")


def test_pending_and_informational_entries_are_left_out_by_name() -> None:
    events = read(statement(ntry(""), ntry("", "7", status="PDNG"), ntry("", "9", status="<Cd>INFO</Cd>")))
    assert [entry.amount_vnd for entry in entries(events)] == [1000]
    assert [(remark.code, remark.count) for remark in only(events).remarks] == [("not_booked", 2)]


def test_a_time_with_a_zone_is_a_day_of_hanoi() -> None:
    late = ntry("").replace("<Dt>2026-11-21</Dt>", "<DtTm>2026-11-21T23:30:00Z</DtTm>", 1)
    (entry,) = entries(read(statement(late)))
    assert entry.booked_day == date(2026, 11, 22)
    assert entry.booked_at == datetime(2026, 11, 22, 6, 30, tzinfo=HANOI)


def test_the_namespace_its_prefix_and_an_envelope_around_the_message_do_not_matter() -> None:
    plain = camt(DAY, "08")
    prefixed = plain.replace("<Document", "<E:Env><n:Document").replace("</Document>", "</n:Document></E:Env>")
    for tag in ("Stmt", "Ntry", "Amt", "TxDtls"):
        prefixed = prefixed.replace(f"<{tag}>", f"<n:{tag}>").replace(f"<{tag} ", f"<n:{tag} ")
        prefixed = prefixed.replace(f"</{tag}>", f"</n:{tag}>")
    assert_told(read(prefixed), DAY)


def test_a_page_in_the_middle_ties_by_its_interim_balances() -> None:
    page = camt(DAY).replace("OPBD", "ITBD").replace("CLBD", "ITBD")
    page = page.replace("</Acct>", "</Acct>", 1).replace(
        "<Stmt><Id>", "<Stmt><StmtPgntn><PgNb>2</PgNb><LastPgInd>false</LastPgInd></StmtPgntn><Id>"
    )
    verdict = only(read(page))
    assert verdict.refusal is None and verdict.statement.page == 2
    assert [remark.code for remark in verdict.remarks] == ["pages_follow"]


def test_a_notification_that_lacks_entries_the_bank_counted_is_refused() -> None:
    whole = "".join(statements.camt054([DAY]))
    first = whole[whole.index("<Ntry>") : whole.index("</Ntry>") + 7]
    assert code(only(read(whole.replace(first, "")))) == "statement_totals_differ"


# MT940


def test_an_entry_day_without_a_year_is_the_one_nearest_to_the_value_day() -> None:
    forward = entries(read(mt940(":61:2701021231C1000,NTRFNONREF//B1")))
    back = entries(read(mt940(":61:2612310102C1000,NTRFNONREF//B1")))
    leap = entries(read(mt940(":61:2802290229C1000,NTRFNONREF//B1")))
    assert [(e.value_day, e.booked_day) for e in (*forward, *back, *leap)] == [
        (date(2027, 1, 2), date(2026, 12, 31)),
        (date(2026, 12, 31), date(2027, 1, 2)),
        (date(2028, 2, 29), date(2028, 2, 29)),
    ]


def test_reversals_turn_the_direction_round_and_a_funds_code_does_not() -> None:
    events = read(
        mt940(
            ":61:270102CD5000,NTRFE1//B1",
            ":61:270102RD3000,00NTRFNONREF//B2",
            ":61:270102RCD6000,NTRFNONREF//B3",
            ":61:270102DD1000,NCHGNONREF//B4",
        )
    )
    assert [(e.amount_vnd, e.is_reversal, e.end_to_end_id) for e in entries(events)] == [
        (5000, False, "E1"),
        (3000, True, ""),
        (-6000, True, ""),
        (-1000, False, ""),
    ]
    assert only(events).refusal is None


def test_a_reference_that_a_full_row_cut_in_two_is_whole_again() -> None:
    text = "x" * 60 + "MC9K2F" + "4TB7QA chuyen tien"
    rows = statements.wrapped(":86:", text)
    assert rows[0].endswith("MC9K2") and rows[1].startswith("F4TB7QA")
    (entry,) = entries(read(mt940(":61:270102C1000,NTRFNONREF//B1", *rows)))
    assert entry.text == text
    (entry,) = entries(read(mt940(":61:270102C1000,NTRFNONREF//B1", ":86:one", "two")))
    assert entry.text == "one two"


FIRST_PAGE = "\n".join(
    [":20:S", ":25:190", ":28C:1/1", ":60F:C261231VND0,", ":61:261231C400,NTRFN//B1", ":62M:C261231VND400,", "-"]
)
LAST_PAGE = "\n".join(
    [":20:T", ":25:190", ":28C:1/2", ":60M:C261231VND400,", ":61:261231C600,NTRFN//B2", ":62F:C261231VND1000,", "-"]
)


def test_pages_that_follow_each_other_are_one_statement() -> None:
    events = read(f"{FIRST_PAGE}\n{LAST_PAGE}\n")
    assert [entry.amount_vnd for entry in entries(events)] == [400, 600]
    assert (only(events).refusal, only(events).closing_vnd) == (None, 1000)


@pytest.mark.parametrize(
    "pages",
    [FIRST_PAGE, LAST_PAGE, f"{FIRST_PAGE}\n{LAST_PAGE.replace(':28C:1', ':28C:2')}",
     f"{FIRST_PAGE}\n{LAST_PAGE.replace(':25:190', ':25:191')}", f"{FIRST_PAGE}\n{LAST_PAGE.replace('D400', 'D401')}"],
)  # fmt: skip
def test_a_page_without_its_neighbour_is_refused(pages: str) -> None:
    assert "statement_page_missing" in {code(verdict) for verdict in verdicts(read(pages))}


def test_a_first_page_alone_does_not_swallow_the_next_account() -> None:
    refused, good = verdicts(read(f"{FIRST_PAGE}\n{statements.mt940([LATER], enveloped=False)}"))
    assert code(refused) == "statement_page_missing"
    assert (code(good), good.statement.account) == (None, LATER.account)


def test_lines_of_the_bank_before_the_first_field_and_fields_nobody_knows_do_no_harm() -> None:
    events = read("VIDUBANK\n940\n" + mt940(":61:270102C1000,NTRFNONREF//B1", ":99Z:what"))
    assert only(events).refusal is None
    assert [remark.code for remark in only(events).remarks] == ["unknown_field"]


# Tables


def test_a_text_that_looks_like_the_closing_line_ends_no_table() -> None:
    sly = replace(DAY, lines=[replace(line, text="Số dư cuối kỳ: 0") for line in DAY.lines])
    assert_told(read(statements.csv_two_columns([sly]), TWO), sly)


def test_a_sheet_may_leave_out_cells_that_are_empty() -> None:
    silent = replace(DAY, lines=[replace(line, text="") for line in DAY.lines])
    events = read(statements.xlsx([statements.signed(silent)]), SIGNED)
    assert_told([*reversed(entries(events)), *verdicts(events)], silent)


def test_a_table_with_a_wrong_last_line_does_not_swallow_the_next() -> None:
    first, second = statements.csv_signed(DAY), statements.csv_signed(LATER)
    refused, good = verdicts(read(first.replace("Tổng cộng;;;", "Tổng cộng;;;x") + second, SIGNED))
    assert code(refused) == "statement_amount_unreadable"
    assert (code(good), good.statement.account) == (None, LATER.account)


def test_a_missing_line_of_a_table_is_named_where_it_is_missing() -> None:
    rows = statements.two_columns([DAY])
    del rows[8]
    refused = only(read(statements.csv_text(rows), TWO))
    assert code(refused) == "statement_line_not_tied"
    assert refused.refusal is not None and refused.refusal.facts["line"] == 9
    sheet = only(read(statements.xlsx([rows]), TWO)).refusal
    assert sheet is not None and sheet.facts["where"] == "S1!H9"


def test_a_time_behind_the_day_is_kept() -> None:
    table = statements.csv_signed(DAY).replace(f";{DAY.day};", f";{DAY.day} 08:15:30;")
    assert entries(read(table, SIGNED))[0].booked_at == datetime(
        DAY.day.year, DAY.day.month, DAY.day.day, 8, 15, 30, tzinfo=HANOI
    )
