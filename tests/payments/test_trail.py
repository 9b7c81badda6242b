"""The audit trail: every act of staff stands there, can be found and taken away, and nobody can change it."""

from __future__ import annotations

import csv
import io
from uuid import UUID

import asyncpg
import httpx
import pytest
from acts import enrolled, log_in, press
from trade import Trade

from foundation.web import Platform


async def rows_of(client: httpx.AsyncClient, query: str = "") -> list[list[str]]:
    """The exported trail without its headings, and without the contracts and bank details that every city begins with."""
    answer = await client.get(f"/finance/audit.csv?lang=en{query}")
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.reader(io.StringIO(answer.text.lstrip("\N{BYTE ORDER MARK}"))))[1:]
    return [row for row in rows if not row[3].startswith(("contract ", "payee ", "fiscal_term "))]


async def test_who_did_what_to_what_and_why_stands_on_a_page_and_in_a_file(
    clerk: httpx.AsyncClient, trade: Trade, admin: asyncpg.Connection
) -> None:
    await trade.transfers("cam on", 50_000)
    owed = await trade.owes(trade.line(50_000))
    receipt: UUID = await admin.fetchval("select receipt_id from payments.held")
    at = f"/finance/queue/{receipt}"
    await press(clerk, at, f"{at}/take")
    await press(clerk, at, f"{at}/assign", reference=owed.reference, reason="khách gọi điện")
    page = (await clerk.get("/finance/audit?lang=en")).text
    for said in ("Lê Thu Cúc", "looks after it", "said what it was for", "khách gọi điện", owed.reference, at):
        assert said in page, said
    exported = await rows_of(clerk)
    assert [row[2] for row in exported] == ["said what it was for", "looks after it", "logged in"]
    assert '"left_vnd": 50000' in exported[0][5]
    assert '"applied_vnd": 50000' in exported[0][6]
    assert "downloaded the audit trail" in (await clerk.get("/finance/audit?lang=en")).text


async def test_the_trail_is_narrowed_by_person_act_subject_and_day(
    clerk: httpx.AsyncClient, admin: asyncpg.Connection
) -> None:
    await press(clerk, "/finance/", "/finance/prove")
    await log_in(clerk, "quanly@vanmieu")
    assert [row[2] for row in await rows_of(clerk, "&act=books.proof")] == ["asked for a proof of the books"]
    assert {row[2] for row in await rows_of(clerk, "&subject=browser")} == {"logged in", "logged out"}
    assert await rows_of(clerk, "&first=2099-01-01") == []
    assert await rows_of(clerk, "&last=2001-01-01") == []
    clerk_id = await admin.fetchval("select staff_id from foundation.audit_entry where act = 'books.proof'")
    assert {row[1] for row in await rows_of(clerk, f"&who={clerk_id}")} == {"Lê Thu Cúc"}
    assert "Nothing like that was done." in (await clerk.get("/finance/audit?lang=en&who=x&first=y&act=z")).text


async def test_older_entries_are_a_page_further(clerk: httpx.AsyncClient) -> None:
    for _ in range(101):
        await press(clerk, "/finance/", "/finance/prove")
    first = (await clerk.get("/api/v1/finance/audit")).json()
    assert len(first["items"]) == 100
    rest = (await clerk.get(f"/api/v1/finance/audit?before={first['next_before']}")).json()
    assert [item["act"] for item in rest["items"]][:2] == ["books.proof", "session.opened"]
    assert rest["next_before"] is None
    assert "before=" in (await clerk.get("/finance/audit")).text


async def test_what_is_done_at_tablets_is_read_there_too_and_so_is_who_saw_plates(
    client: httpx.AsyncClient, here: Platform
) -> None:
    tablet = await enrolled(client, here, operator="dongda")
    entered = await tablet.does("vehicles/in", place=4, vehicle_class="car", plate="30A-123.45")
    found = (await tablet.post("vehicles/find", {"place": 4, "plate": "12345"})).json()
    assert found["stays"][0]["plate"] == "30A-123.45"
    await log_in(client, "ketoan@dongda")
    at_tablets = await rows_of(client, "&where=tablets")
    assert [row[2] for row in at_tablets] == ["let a vehicle in"]
    (seen,) = await rows_of(client, "&act=plates.shown")
    assert seen[3] == "place 4"
    assert entered["stay"]["id"] in seen[6]
    assert "12345" not in seen[6], "which plate was asked for is not written in clear"


async def test_another_operators_trail_is_not_there(client: httpx.AsyncClient) -> None:
    await log_in(client, "ketoan@vanmieu")
    await press(client, "/finance/", "/finance/prove")
    await log_in(client, "ketoan@dongda")
    assert [row[2] for row in await rows_of(client)] == ["logged in"]


async def test_nobody_changes_the_trail_not_even_the_owner_of_the_tables(
    clerk: httpx.AsyncClient, admin: asyncpg.Connection
) -> None:
    for change in (
        "update foundation.audit_entry set reason = 'x'",
        "delete from foundation.audit_entry",
        "truncate foundation.audit_entry",
    ):
        with pytest.raises(asyncpg.PostgresError):
            await admin.execute(change)
