"""Finance reads what each payee is due: from the day to the statement, from the statement to the sale and the bank's line."""

from __future__ import annotations

import csv
import io
from datetime import date, timedelta

import asyncpg
import httpx
import openpyxl
import pypdf
import pytest
from paying import Desk
from returning import Office
from trade import Trade

from foundation import clock
from payments import settlement


@pytest.fixture
def today(trade: Trade) -> date:
    return clock.hanoi_day(trade.now)


async def settle(trade: Trade, day: date) -> None:
    async with trade.database.transaction(trade.operator_id, isolation="repeatable read") as tx:
        assert await settlement.settle_day(tx, day, now=trade.now)


async def path_of(admin: asyncpg.Connection, trade: Trade, day: date, kind: str) -> str:
    payee_id = await admin.fetchval(
        "select id from payments.payee where operator_id = $1 and kind = $2", trade.operator_id, kind
    )
    return f"/finance/settlements/{day.isoformat()}/{payee_id}"


async def test_before_anything_is_settled_the_page_says_so(clerk: httpx.AsyncClient) -> None:
    assert "No day is settled yet." in (await clerk.get("/finance/settlements?lang=en")).text
    assert "Chưa có ngày nào được quyết toán." in (await clerk.get("/finance/settlements?lang=vi")).text


async def test_from_the_day_to_the_sale_and_to_the_banks_line_in_two_clicks(
    trade: Trade, clerk: httpx.AsyncClient, admin: asyncpg.Connection, today: date
) -> None:
    owed = await trade.owes(trade.line(70_000))
    await trade.transfers(owed.reference, 70_000, bank_ref="FT-TWO-CLICKS")
    await settle(trade, today)
    path = await path_of(admin, trade, today, "city_budget")
    assert f'href="{path}"' in (await clerk.get("/finance/settlements?lang=vi")).text
    said = (await clerk.get(f"{path}?lang=en")).text
    assert "28,000" in said
    assert f'href="/finance/charges/{owed.reference}#parts"' in said
    sale = (await clerk.get(f"/finance/charges/{owed.reference}?lang=en")).text
    assert "FT-TWO-CLICKS" in sale
    assert f'href="{path}"' in sale  # and back again


async def test_the_equation_holds_on_the_page_in_the_json_and_in_every_file(
    trade: Trade, clerk: httpx.AsyncClient, admin: asyncpg.Connection, today: date
) -> None:
    office = await Office.of(trade)
    await trade.pays(trade.line(70_000))
    await office.gives_back((await trade.pays(trade.line(50_000, service="parking"))).reference, 20_000)
    await settle(trade, today)
    (day,) = (await clerk.get(f"/api/v1/finance/settlements?day={today.isoformat()}")).json()
    (own,) = [said for said in day["statements"] if said["payee_kind"] == "operator"]
    assert (
        own["gross_vnd"] - own["refunds_vnd"] - own["fees_vnd"] + own["adjustments_vnd"] - own["reserve_vnd"]
        == own["net_vnd"]
    )
    assert (own["gross_vnd"], own["refunds_vnd"], own["fees_vnd"], own["reserve_vnd"]) == (92_000, 20_000, 600, 600)
    path = await path_of(admin, trade, today, "operator")

    rows = list(csv.reader(io.StringIO((await clerk.get(f"{path}/statement.csv?lang=en")).text)))
    facts = {row[0]: row[1] for row in rows if len(row) == 2}
    assert (facts["Part of the sales"], facts["Net of the day"]) == ("92000", "70800")
    assert [row for row in rows if row and row[0] == "Sum"] == [
        ["Sum", "", "", "", "", "", "92000", "-600", "-55"],
        ["Sum", "", "", "", "", "", "-20000", "0", "0"],
    ]

    book = openpyxl.load_workbook(io.BytesIO((await clerk.get(f"{path}/statement.xlsx")).content))
    sold = book.worksheets[1]
    assert "Các khoản bán" in sold.title
    assert [cell.value for cell in list(sold.columns)[6]][1:] == [42_000, 50_000, 92_000]
    assert not [cell for sheet in book for row in sheet.iter_rows() for cell in row if cell.data_type == "f"]

    printed = (await clerk.get(f"{path}/statement.pdf")).content
    text = "".join(each.extract_text() for each in pypdf.PdfReader(io.BytesIO(printed)).pages)
    assert "70.800" in text
    assert "Thực hưởng trong ngày" in text


async def test_what_no_settlement_has_had_yet_is_not_said_to_lack_a_contract(
    trade: Trade, clerk: httpx.AsyncClient, today: date
) -> None:
    await trade.pays(trade.line(70_000))
    await settle(trade, today - timedelta(days=1))
    assert "Sold without a contract" not in (await clerk.get("/finance/settlements?lang=en")).text


async def test_a_statement_says_which_payout_pays_it_and_how_long_its_sales_waited(
    trade: Trade, clerk: httpx.AsyncClient, admin: asyncpg.Connection, today: date
) -> None:
    await trade.pays(trade.line(70_000))
    await settle(trade, today)
    desk = await Desk.of(trade)
    trade.now += timedelta(hours=14)
    await desk.approves(await desk.makes())
    for row in await admin.fetch("select id, amount_vnd from payments.payout"):
        desk.bank.fate = "accepted"
        await desk.works()
        assert await desk.lists(row["id"], row["amount_vnd"], f"D{row['id']}")
    said = (await clerk.get(await path_of(admin, trade, today, "city_budget") + "?lang=en")).text
    assert "MC000001, paid" in said
    assert "waited 14 h on average, 14 h at most" in said


async def test_a_file_made_again_is_the_same_to_the_byte(
    trade: Trade, clerk: httpx.AsyncClient, admin: asyncpg.Connection, today: date
) -> None:
    await trade.pays(trade.line(70_000))
    await settle(trade, today)
    path = await path_of(admin, trade, today, "operator")
    for form in ("csv", "xlsx", "pdf"):
        first, second = [(await clerk.get(f"{path}/statement.{form}")).content for _ in range(2)]
        assert first == second, form
    assert (await clerk.get(f"{path}/statement.doc")).status_code == 422


async def test_sales_without_a_contract_are_named_with_their_amount(
    trade: Trade, clerk: httpx.AsyncClient, admin: asyncpg.Connection, today: date
) -> None:
    await trade.pays(trade.line(70_000))
    await admin.execute("set session_replication_role = replica")
    await admin.execute("update payments.contract set agreed_at = null, agreed_by = null where service = 'ticketing'")
    await settle(trade, today)
    shown = (await clerk.get("/finance/settlements?lang=en")).text
    assert "Sold without a contract" in shown
    assert "70,000" in shown


async def test_a_day_that_is_not_settled_and_a_payee_of_another_operator_are_not_found(
    trade: Trade, clerk: httpx.AsyncClient, admin: asyncpg.Connection, today: date
) -> None:
    await settle(trade, today)
    other = await admin.fetchval("select id from payments.payee where operator_id <> $1 limit 1", trade.operator_id)
    path = await path_of(admin, trade, today + timedelta(days=1), "operator")
    for missing in (path, f"{path}/statement.pdf", f"/finance/settlements/{today.isoformat()}/{other}"):
        assert (await clerk.get(missing)).status_code == 404, missing
    assert (await clerk.get("/finance/settlements/tomorrow/x")).status_code == 422


async def test_who_is_not_of_finance_sees_no_statement(client: httpx.AsyncClient) -> None:
    assert (await client.get("/finance/settlements")).status_code == 303
    assert (await client.get("/api/v1/finance/settlements")).status_code == 401
