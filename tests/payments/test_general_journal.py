"""The accountant's journal explains the books to the đồng, under the operator's own numbers, and is the same whenever made."""

from __future__ import annotations

import csv
import io
from collections import Counter
from datetime import date, timedelta
from itertools import product
from typing import get_args

import asyncpg
import httpx
import openpyxl
import pytest
from acts import log_in
from banking import the_bank_tells
from hypothesis import given
from hypothesis import strategies as st
from paying import Desk
from returning import a_day_of_refunds
from trade import Trade, a_day_of_everything

from foundation import clock
from foundation.texts import catalogue, languages
from payments import chart, contract, day_close, ledger
from payments.chart import Entry
from payments.contract import PAYEE_KINDS
from payments.general_journal import CARRIED, document_number, written
from payments.postings import ACCOUNTS, POSTINGS, Template

DAY = date(2026, 11, 21)
KEYS = [entry.account for entry in chart.of_the_house()]
HOUSE = chart.in_force(chart.of_the_house(), DAY)


@pytest.fixture
def today(trade: Trade) -> date:
    return clock.hanoi_day(trade.now)


def own(account: str, number: str, valid_from: date, version: int = 1) -> Entry:
    return Entry(account, valid_from, number, f"TK {number}", version, "Cúc")


# --- the chart


def test_every_account_that_there_can_be_has_a_number_from_the_first_day() -> None:
    families = [f"payee_{what}.{kind}" for what, kind in product(("payable", "reserve"), PAYEE_KINDS)]
    assert set(KEYS) == {*ACCOUNTS, "bank", "cash_drawer", *families}
    assert set(chart.in_force(chart.of_the_house(), date(2000, 1, 1))) == set(KEYS)


def test_what_the_operator_names_takes_the_place_of_the_default_from_its_day_on() -> None:
    entries = [
        *chart.of_the_house(),
        own("losses", "8111", DAY),
        own("losses", "8112", DAY + timedelta(days=2), 2),
        own("losses", "8113", DAY + timedelta(days=2), 3),  # said once more
        own("losses", "8110", DAY + timedelta(days=1), 4),
    ]
    said = [chart.in_force(entries, DAY + timedelta(days=n))["losses"].number for n in (-1, 0, 1, 2, 99)]
    assert said == ["811", "8111", "8110", "8113", "8113"]


def test_an_account_without_a_number_is_named_and_never_left_out() -> None:
    with pytest.raises(chart.NotMapped, match="brand_new, other_new"):
        chart.mapped(chart.of_the_house(), DAY, ["losses", "other_new", "brand_new"])


# --- the calculation


def test_every_posting_between_any_two_accounts_has_a_document_number_of_its_own_and_its_words() -> None:
    events = [*get_args(Template), "reversal", CARRIED]
    assert {row.template for row in POSTINGS} == set(get_args(Template))
    sides = {
        (event, debit, credit)
        for row in POSTINGS
        for debit, credit in product(_keys(row.debit), _keys(row.credit))
        for event, debit, credit in ((row.template, debit, credit), ("reversal", credit, debit))
    } | {(CARRIED, key, key) for key in KEYS}
    assert len({document_number(DAY, *side) for side in sides}) == len(sides)
    for language in languages():
        assert {f"finance.posting.{event}" for event in events} <= set(catalogue(language))


def _keys(side: str) -> list[str]:
    if side == "{drawer}":
        return ["cash_drawer", "cash_in_transit"]
    family, _, whose = side.partition(":")
    return [f"{family}.{kind}" for kind in PAYEE_KINDS] if whose else [side]


moves = st.dictionaries(
    st.tuples(st.integers(0, 3).map(lambda n: DAY + timedelta(days=n)), st.just("event"), *[st.sampled_from(KEYS)] * 2),
    st.tuples(st.integers(1, 9), st.integers(1, 10**9)),
    max_size=12,
)
changes = st.lists(
    st.tuples(st.sampled_from(KEYS), st.integers(-1, 4), st.sampled_from(["111", "222", "333"])), max_size=6
)
openings = st.dictionaries(st.sampled_from(KEYS), st.integers(-(10**9), 10**9), max_size=6)


@given(moves, changes, openings)
def test_each_day_opens_with_what_the_day_before_closed_with_whatever_numbers_change(
    moved: dict[tuple[date, str, str, str], tuple[int, int]],
    changed: list[tuple[str, int, str]],
    opening: dict[str, int],
) -> None:
    entries = [
        *chart.of_the_house(),
        *(own(key, number, DAY + timedelta(days=n), v) for v, (key, n, number) in enumerate(changed, 1)),
    ]
    last = DAY + timedelta(days=3)
    rows, balances = written(DAY, last, moved, opening, entries)
    assert sum(row.amount_vnd for row in rows if row.event != CARRIED) == sum(vnd for _, vnd in moved.values())
    assert sum(row.count for row in rows) == sum(count for count, _ in moved.values())
    assert sum(each.debits_vnd for each in balances) == sum(each.credits_vnd for each in balances)

    held, day_by_day = dict(opening), []
    closed = _by_number(opening, entries, DAY - timedelta(days=1))
    for day in (DAY + timedelta(days=n) for n in range(4)):
        of_day = {key: amounts for key, amounts in moved.items() if key[0] == day}
        day_rows, day_balances = written(day, day, of_day, held, entries)
        assert {each.number: each.opening_vnd for each in day_balances if each.opening_vnd} == closed
        for (_, _, debit, credit), (_, amount_vnd) in of_day.items():
            held[debit] = held.get(debit, 0) + amount_vnd
            held[credit] = held.get(credit, 0) - amount_vnd
        closed = _by_number(held, entries, day)
        assert {each.number: each.closing_vnd for each in day_balances if each.closing_vnd} == closed
        day_by_day += day_rows
    assert rows == day_by_day  # a month is its days
    assert {each.number: each.closing_vnd for each in balances if each.closing_vnd} == closed


def _by_number(held: dict[str, int], entries: list[Entry], day: date) -> dict[str, int]:
    holding = chart.in_force(entries, day)
    sums: Counter[str] = Counter()
    for key, vnd in held.items():
        sums[holding[key].number] += vnd
    return {number: vnd for number, vnd in sums.items() if vnd}


# --- on real books


async def test_a_day_with_every_kind_of_event_is_the_ledger_to_the_dong_in_every_form(
    trade: Trade, clerk: httpx.AsyncClient, admin: asyncpg.Connection, today: date
) -> None:
    await a_day_of_everything(trade)
    await a_day_of_refunds(trade)
    desk = await Desk.of(trade)
    await desk.settled(today)
    await the_bank_tells(trade, today)
    path = f"/finance/journal/{today.isoformat()}/journal"
    unclosed = (await clerk.get(f"{path}.csv?lang=en")).text
    assert "Not closed" in unclosed
    shown = (await clerk.get(f"/api/v1/finance/journal?period={today.isoformat()}&detail=1")).json()

    async with trade.database.transaction(trade.operator_id) as tx:
        books = await ledger.balances(tx, today)
        kinds = {str(each.id): each.kind for each in await contract.payees(tx)}
    expected: dict[str, list[int]] = {}
    for each in books:
        sums = expected.setdefault(HOUSE[chart.key_of(each.account, kinds)].number, [0, 0, 0])
        for n, vnd in enumerate((each.debits_vnd, each.credits_vnd, each.closing_vnd)):
            sums[n] += vnd
    said = {row["number"]: [row["debits_vnd"], row["credits_vnd"], row["closing_vnd"]] for row in shown["balances"]}
    assert said == expected
    events = {row["event"] for row in shown["rows"]}
    settled_otherwise = {
        "line.credit",
        "line.debit",
        "line.less",
        "line.more",
        "payout.reserved",
        "payout.sent",
        "payee.paid",
        "payee.handed",
        "payee.released",
    }
    assert set(get_args(Template)) - events <= settled_otherwise | {"payee.held_back", "payee.kept"}
    moved = await admin.fetchrow(
        "select count(*), sum(t.amount_vnd)::bigint from payments.transfer t"
        " join payments.journal j on j.operator_id = t.operator_id and j.id = t.journal_id"
        " where j.operator_id = $1 and j.effective_day = $2",
        trade.operator_id,
        today,
    )
    assert moved and [shown["transfers"], shown["amount_vnd"]] == list(moved) == [
        len(shown["detail"]),
        sum(leg["amount_vnd"] for leg in shown["detail"]),
    ]
    by_document: Counter[str] = Counter()
    for leg in shown["detail"]:
        by_document[leg["document"]] += leg["amount_vnd"]
    assert by_document == {row["document"]: row["amount_vnd"] for row in shown["rows"]}

    book = openpyxl.load_workbook(io.BytesIO((await clerk.get(f"{path}.xlsx?lang=en&detail=1")).content))
    _, entries, balances, detail = book.worksheets
    totals = list(entries.iter_rows(values_only=True))[-1]
    assert (totals[7], totals[8]) == (shown["transfers"], shown["amount_vnd"])
    assert list(balances.iter_rows(values_only=True))[-1][4:6] == (shown["amount_vnd"],) * 2
    assert list(detail.iter_rows(values_only=True))[-1][8] == shown["amount_vnd"]
    types = [cell.data_type for cell in entries[2]]
    assert types == ["s", "d", "s", "s", "s", "s", "s", "n", "n", "s", "s"]  # an account's number is no number
    assert not [cell for sheet in book for row in sheet.iter_rows() for cell in row if cell.data_type == "f"]

    trade.now += timedelta(days=1)
    assert await day_close.close_day(
        trade.database, trade.operator_id, today, staff_id=desk.people["ketoan"], now=trade.now
    )
    closed = (await clerk.get(f"{path}.csv?lang=en")).text
    assert closed == unclosed.replace('"Not closed: more may come"', "Closed").replace(
        "Not closed: more may come", "Closed"
    )
    for form in ("csv?detail=1", "xlsx?detail=1", "xlsx"):
        first, second = [(await clerk.get(f"{path}.{form}")).content for _ in range(2)]
        assert first == second, form
    month = (await clerk.get(f"/api/v1/finance/journal?period={today:%Y-%m}")).json()
    assert (month["rows"], month["balances"]) == (shown["rows"], shown["balances"])
    page = (await clerk.get(f"/finance/journal?lang=vi&period={today.isoformat()}")).text
    for found in (
        "Sổ nhật ký chung",
        "33882",
        "Ngân hàng báo có",
        shown["rows"][0]["document"],
        f"{path}.xlsx?detail=1",
    ):
        assert found in page, found

    # Who touches a closed day does not get his journal out.
    await admin.execute("set session_replication_role = replica")
    await admin.execute(
        "update payments.transfer set amount_vnd = amount_vnd + 1 where operator_id = $1 and debit = 'losses'",
        trade.operator_id,
    )
    refused = await clerk.get(f"{path}.csv?lang=en")
    assert refused.status_code == 409
    assert "losses, suspense" in refused.text
    page = await clerk.get(f"/finance/journal?lang=en&period={today.isoformat()}")
    assert (page.status_code, "losses, suspense" in page.text) == (200, True)


async def test_a_changed_number_holds_from_its_day_on_and_every_day_before_is_exported_as_it_was(
    trade: Trade, clerk: httpx.AsyncClient, admin: asyncpg.Connection, today: date
) -> None:
    await trade.pays(trade.line(70_000))
    files = [f"/finance/journal/{today.isoformat()}/journal.{form}?lang=en" for form in ("csv", "xlsx")]
    before = [(await clerk.get(file)).content for file in files]

    async def changes(
        number: str, valid_from: date, account: str = "gw_receivable", name: str = "=1+1"
    ) -> httpx.Response:
        csrf = (await clerk.get("/finance/chart")).text.split('name="csrf" value="')[1].split('"')[0]
        said = {"account": account, "number": number, "name": name, "valid_from": valid_from.isoformat(), "csrf": csrf}
        return await clerk.post("/finance/chart?lang=en", data=said)

    early = await changes("11319", today)
    assert (early.status_code, clock.day_text(today, "en") in early.text) == (409, True)
    assert 'value="11319"' in early.text
    tomorrow = today + timedelta(days=1)
    for number, account in (("=1", "gw_receivable"), ("1", "nothing_of_ours")):
        assert (await changes(number, tomorrow, account)).status_code == 422
    assert (await changes("11319", tomorrow, name=" ")).status_code == 422
    assert (await changes("11319", tomorrow)).status_code == 303
    assert [(await clerk.get(file)).content for file in files] == before
    assert "changed the chart of accounts" in (await clerk.get("/finance/audit?lang=en")).text
    assert "11319" in (await clerk.get("/finance/chart?lang=en")).text

    trade.now += timedelta(days=1)
    await trade.pays(trade.line(5_000))
    shown = (await clerk.get(f"/api/v1/finance/journal?period={tomorrow.isoformat()}")).json()
    carried = shown["rows"][0]
    assert [carried["event"], carried["debit"]["number"], carried["credit"]["number"], carried["amount_vnd"]] == [
        "chart.changed",
        "11319",
        "11311",
        70_000,
    ]
    assert [
        (row["number"], row["opening_vnd"], row["debits_vnd"], row["credits_vnd"], row["closing_vnd"])
        for row in shown["balances"]
        if row["number"].startswith("1131")
    ] == [("11311", 70_000, 0, 70_000, 0), ("11319", 0, 75_000, 0, 75_000)]
    assert (shown["amount_vnd"], shown["carried_vnd"], shown["transfers"]) == (85_000, 70_000, 3)
    rows = list(csv.reader(io.StringIO((await clerk.get(files[0].replace(str(today), str(tomorrow)))).text)))
    assert [row[3:7] for row in rows if row and row[0] == carried["document"]] == [
        ["11319", "'=1+1", "11311", "Tiền đang chuyển – chờ sao kê ngân hàng"]
    ]

    # What has no number yet may get one for the past: nothing could be exported without it.
    await admin.execute(
        "insert into payments.account (operator_id, code, kind, authorising) values ($1, 'brand_new', 'A', false)",
        trade.operator_id,
    )
    await admin.execute("set session_replication_role = replica")
    await admin.execute("update payments.transfer set debit = 'brand_new' where debit = 'gw_receivable'")
    refused = await clerk.get(files[0])
    assert (refused.status_code, "no number for: brand_new." in refused.text) == (409, True)
    assert 'href="/finance/chart"' in (await clerk.get(f"/finance/journal?period={today.isoformat()}")).text
    assert (await clerk.get("/api/v1/finance/chart")).json()["unmapped"] == ["brand_new"]
    assert (await changes("1128", today - timedelta(days=1), "brand_new")).status_code == 303
    assert (await clerk.get(files[0])).status_code == 200
    assert (await changes("1129", today, "brand_new")).status_code == 409


async def test_an_empty_period_has_its_journal_and_an_unreadable_one_is_refused(clerk: httpx.AsyncClient) -> None:
    shown = (await clerk.get("/api/v1/finance/journal?period=2026-02")).json()
    assert (shown["first"], shown["last"], shown["rows"], shown["balances"]) == ("2026-02-01", "2026-02-28", [], [])
    for form in ("csv", "xlsx"):
        answer = await clerk.get(f"/finance/journal/2026-02-28/journal.{form}?detail=1")
        assert (answer.status_code, answer.headers["content-disposition"]) == (
            200,
            f'attachment; filename="motcham-journal-2026-02-28-detail.{form}"',
        )
    assert "Nothing moved." in (await clerk.get("/finance/journal?lang=en&period=2026-02")).text
    for period in ("2026-13", "2026-02-30", "1999", "soon", "2026-2"):
        assert (await clerk.get(f"/api/v1/finance/journal?period={period}")).status_code == 422, period


async def test_who_is_not_of_finance_sees_nothing_of_it_and_a_manager_changes_no_number(
    client: httpx.AsyncClient,
) -> None:
    for path in ("journal", "sales", "chart"):
        assert (await client.get(f"/finance/{path}")).status_code == 303
        assert (await client.get(f"/api/v1/finance/{path}?period=2026")).status_code == 401
    await log_in(client, "quanly@vanmieu")
    shown = (await client.get("/finance/chart?lang=en")).text
    assert ("33882" in shown, 'action="/finance/chart"' in shown) == (True, False)
    said = {"account": "losses", "number": "1", "name": "x", "valid_from": "2099-01-01"}
    said["csrf"] = (await client.get("/finance/")).text.split('name="csrf" value="')[1].split('"')[0]
    assert (await client.post("/finance/chart", data=said)).status_code == 403
