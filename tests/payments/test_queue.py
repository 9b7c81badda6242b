"""Finance's queue and days: what waits has an amount, an age and an owner; what a clerk decides, and what he may not."""

from __future__ import annotations

import re
from datetime import timedelta
from uuid import UUID

import asyncpg
import httpx
import pytest
from acts import log_in, press
from banking import the_bank_tells
from trade import SINCE_THE_BEGINNING, Trade

from foundation import outbox
from foundation.clock import hanoi_day
from payments import books


@pytest.fixture
async def waits(trade: Trade, admin: asyncpg.Connection) -> UUID:
    """50,000 ₫ that name no payment of ours."""
    assert await trade.transfers("cam on", 50_000) == "unknown_reference"
    found: UUID = await admin.fetchval("select receipt_id from payments.held")
    return found


async def test_an_empty_queue_says_so(clerk: httpx.AsyncClient) -> None:
    assert "Nothing waits." in (await clerk.get("/finance/queue?lang=en")).text


async def test_what_waits_stands_there_with_amount_age_reason_and_owner(clerk: httpx.AsyncClient, waits: UUID) -> None:
    page = (await clerk.get("/finance/queue?lang=en")).text
    for said in ("50,000", "0 min", "names no payment of ours", "nobody yet"):
        assert said in page
    answer = await press(clerk, f"/finance/queue/{waits}", f"/finance/queue/{waits}/take")
    assert answer.headers["location"] == f"/finance/queue/{waits}"
    assert "Lê Thu Cúc" in (await clerk.get("/finance/queue?mine=true")).text
    assert "looks after it" in (await clerk.get(f"/finance/queue/{waits}?lang=en")).text
    await press(clerk, f"/finance/queue/{waits}", f"/finance/queue/{waits}/take", leave="true")
    assert "Nothing waits." in (await clerk.get("/finance/queue?mine=true&lang=en")).text


async def test_a_clerk_says_what_it_was_for_and_it_is_paid(
    clerk: httpx.AsyncClient, trade: Trade, waits: UUID, admin: asyncpg.Connection
) -> None:
    owed = await trade.owes(trade.line(50_000))
    page = f"/finance/queue/{waits}"
    assert owed.reference in (await clerk.get(page)).text
    refused = await press(clerk, page, f"{page}/assign", reference=owed.reference, reason=" ")
    assert refused.status_code == 422
    answer = await press(clerk, page, f"{page}/assign", reference=owed.reference, reason="khách gọi điện")
    assert answer.status_code == 303
    assert "khách gọi điện" in (await clerk.get(page)).text
    assert await admin.fetchval("select state from payments.charge where id = $1", owed.id) == "paid"
    second = await press(clerk, page, f"{page}/assign", reference=owed.reference, reason="khách gọi điện")
    assert second.status_code == 404, "the second click finds nothing that waits"
    assert (await books.prove(admin)).findings == ()


async def test_reading_the_banks_text_is_written_down(
    clerk: httpx.AsyncClient, waits: UUID, admin: asyncpg.Connection
) -> None:
    page = f"/finance/queue/{waits}"
    assert "NGUYEN VAN THU" not in (await clerk.get(page)).text
    read = await press(clerk, page, f"{page}/read")
    assert "cam on" in read.text
    assert "NGUYEN VAN THU" in read.text
    trace = await admin.fetchrow("select act, subject, after from foundation.audit_entry where act = 'receipt.read'")
    assert tuple(trace) == ("receipt.read", f"receipt {waits}", None)


async def test_a_manager_sees_the_queue_and_decides_nothing(client: httpx.AsyncClient, waits: UUID) -> None:
    await log_in(client, "quanly@vanmieu")
    page = f"/finance/queue/{waits}"
    shown = (await client.get(page)).text
    assert "50.000" in shown or "50,000" in shown
    assert f"{page}/assign" not in shown
    csrf = re.search(r'name="csrf" value="([^"]+)"', (await client.get("/finance/")).text)
    assert csrf
    for act in ("take", "read", "assign"):
        answer = await client.post(f"{page}/{act}", data={"csrf": csrf[1], "reference": "x", "reason": "x"})
        assert answer.status_code == 403


async def test_another_operators_money_is_not_there(client: httpx.AsyncClient, waits: UUID) -> None:
    await log_in(client, "ketoan@dongda")
    assert "Nothing waits." in (await client.get("/finance/queue?lang=en")).text
    page = f"/finance/queue/{waits}"
    assert (await client.get(page)).status_code == 404
    csrf = re.search(r'name="csrf" value="([^"]+)"', (await client.get("/finance/")).text)
    assert csrf
    for act in ("take", "read", "assign"):
        answer = await client.post(f"{page}/{act}", data={"csrf": csrf[1], "reference": "x", "reason": "x"})
        assert answer.status_code == 404
    assert (await client.get("/api/v1/finance/held")).json() == []


# Work that stands still


async def test_work_that_stands_still_is_tried_again_or_settled_with_a_reason(
    clerk: httpx.AsyncClient, trade: Trade, admin: asyncpg.Connection
) -> None:
    async with trade.database.transaction(trade.operator_id) as tx:
        await outbox.park(tx, "payments.receipt_differs", "b", "announced again with 1 VND")
        await outbox.park(tx, "payments.apply", "a", "a service refused in a way nobody knew")
    page = (await clerk.get("/finance/day")).text
    assert (page.count("/finance/parked/again"), page.count("/finance/parked/settled")) == (1, 1)
    await press(clerk, "/finance/", "/finance/parked/again", kind="payments.apply", id="a")
    row = await admin.fetchrow("select parked_at, attempts from foundation.due where id = 'a'")
    assert tuple(row) == (None, 0)
    by_hand = {"kind": "payments.receipt_differs", "id": "b"}
    refused = await press(clerk, "/finance/", "/finance/parked/settled", **by_hand, reason="")
    assert refused.status_code == 422
    await press(clerk, "/finance/", "/finance/parked/settled", **by_hand, reason="ngân hàng xác nhận")
    assert not await admin.fetchval("select count(*) from foundation.due where id = 'b'")
    acts = [
        row["act"]
        for row in await admin.fetch(f"select act from foundation.audit_entry where {SINCE_THE_BEGINNING} order by id")
    ]
    assert acts == ["session.opened", "work.again", "work.settled"]


async def test_money_on_its_way_cannot_be_settled_by_hand_nor_a_persons_work_be_given_to_a_worker(
    clerk: httpx.AsyncClient, trade: Trade, admin: asyncpg.Connection
) -> None:
    await trade.transfers("cam on", 50_000, apply=False)
    await admin.execute("update foundation.due set attempts = 100 where kind = 'payments.apply'")
    id = await admin.fetchval("select id from foundation.due where kind = 'payments.apply'")
    refused = await press(clerk, "/finance/", "/finance/parked/settled", kind="payments.apply", id=id, reason="x")
    assert refused.status_code == 409
    async with trade.database.transaction(trade.operator_id) as tx:
        await outbox.park(tx, "payments.receipt_differs", "b", "announced again with 1 VND")
    again = await press(clerk, "/finance/", "/finance/parked/again", kind="payments.receipt_differs", id="b")
    assert again.status_code == 409
    kept = await admin.fetchval("select last_error from foundation.due where id = 'b'")
    assert kept == "announced again with 1 VND"
    assert await admin.fetchval("select count(*) from foundation.due where kind = 'payments.apply'") == 1


# Days


async def test_a_clerk_closes_yesterday_and_sees_what_every_account_held(
    clerk: httpx.AsyncClient, trade: Trade, admin: asyncpg.Connection
) -> None:
    await trade.pays(trade.line(70_000))
    day = hanoi_day(trade.now)
    assert "Every day that is over is closed." in (await clerk.get("/finance/days?lang=en")).text
    early = await press(clerk, "/finance/", "/finance/days/close", day=day.isoformat())
    assert early.status_code == 409
    await admin.execute("select foundation.set_clock(foundation.now() + interval '1 day', 1)")
    unproven = await press(clerk, "/finance/days", "/finance/days/close", day=day.isoformat())
    assert unproven.status_code == 409, "the bank has not said yet what it holds"
    await the_bank_tells(trade, day)
    answer = await press(clerk, "/finance/days", "/finance/days/close", day=day.isoformat())
    assert answer.headers["location"] == f"/finance/days?day={day.isoformat()}"
    page = (await clerk.get(answer.headers["location"] + "&lang=en")).text
    for said in ("Earned, to be paid out", "70,000", "Lê Thu Cúc", "closed"):
        assert said in page
    said = (await clerk.get(f"/api/v1/finance/balances?day={day.isoformat()}")).json()
    assert said["closed"]
    assert sum(account["closing_vnd"] for account in said["accounts"]) == 0
    again = await press(clerk, "/finance/", "/finance/days/close", day=day.isoformat())
    assert again.status_code == 303, "a second click changes nothing"
    assert await admin.fetchval("select count(*) from foundation.audit_entry where act = 'day.closed'") == 1
    skipped = await press(clerk, "/finance/", "/finance/days/close", day=(day + timedelta(days=2)).isoformat())
    assert skipped.status_code == 409


async def test_of_money_known_to_be_a_payers_a_clerk_uses_little_a_day(
    clerk: httpx.AsyncClient, trade: Trade, admin: asyncpg.Connection
) -> None:
    for _ in range(2):
        await trade.transfers((await trade.owes(trade.line(20_000))).reference, 170_000)
    answers = []
    for row in await admin.fetch("select receipt_id from payments.held order by receipt_id"):
        page, owed = f"/finance/queue/{row[0]}", await trade.owes(trade.line(150_000))
        answers.append(await press(clerk, page, f"{page}/assign", reference=owed.reference, reason="khách gọi điện"))
    assert [answer.status_code for answer in answers] == [303, 409]
    assert "150" in answers[1].text or "200" in answers[1].text
    assert (await books.prove(admin)).findings == ()
