"""Money that left and that none of us sent: it is in the books at once, and a person says what it was."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from acts import hidden, log_in, press
from returning import Office
from trade import Trade

from payments import books, debit
from payments.debit import NoSuchDebit, NothingToSettle
from payments.held import NothingHeld, ReasonMissing
from payments.receipt import BankRefMissing
from payments.refund import OwnRefund


@pytest.fixture
async def office(trade: Trade) -> Office:
    return await Office.of(trade)


async def stands_at(admin: asyncpg.Connection, account: str) -> int:
    """Debits less credits of an account; and the books hold."""
    assert (await books.prove(admin)).findings == ()
    found: int = await admin.fetchval(
        "select coalesce(sum(case $1 when debit then amount_vnd when credit then -amount_vnd end), 0)"
        " from payments.transfer",
        account,
    )
    return found


async def agrees(office: Office, id: UUID, who: UUID, *, asked_at: datetime | None = None) -> None:
    """To what the page shows now, or showed then."""
    async with office.trade.database.transaction(office.trade.operator_id) as tx:
        asked_at = asked_at or (await debit.find(tx, id))["asked_at"] or office.trade.now
        await debit.agree(tx, id, asked_at=asked_at, staff_id=who, now=office.trade.now)


async def test_it_is_booked_once_however_often_it_is_told(trade: Trade, admin: asyncpg.Connection) -> None:
    await trade.pays(trade.line(70_000))
    await asyncio.gather(*(trade.debited(11_000, bank_ref="FT-GONE") for _ in range(8)))
    assert await stands_at(admin, "gw_receivable") == 59_000, "what is at the bank"
    assert await stands_at(admin, "suspense") == 11_000


async def test_a_line_without_the_banks_reference_is_not_booked(trade: Trade, admin: asyncpg.Connection) -> None:
    with pytest.raises(BankRefMissing):
        await trade.debited(11_000, bank_ref=" ")
    assert await admin.fetchval("select count(*) from payments.debit") == 0


async def test_a_charge_and_a_loss_leave_suspense_with_a_trace(
    trade: Trade, office: Office, admin: asyncpg.Connection
) -> None:
    for way, account in (("charge", "bank_charges"), ("loss", "losses")):
        id = await trade.debited(11_000)
        await trade.explains(id, way, who=office.ann)
        assert await stands_at(admin, account) == 11_000
        with pytest.raises(NothingToSettle):
            await trade.explains(id, way, who=office.ann)
    assert await stands_at(admin, "suspense") == 0
    trail = await admin.fetch("select act, staff_id, reason from foundation.audit_entry where act like 'debit.%'")
    assert [tuple(entry) for entry in trail] == [("debit.settled", office.ann, "hỏi ngân hàng")] * 2


async def test_a_recall_takes_what_is_still_held_of_the_receipt_and_the_rest_is_lost(
    trade: Trade, office: Office, admin: asyncpg.Connection
) -> None:
    owed = await trade.owes(trade.line(70_000))
    await trade.transfers(owed.reference, 100_000, bank_ref="FT-OLD")
    id = await trade.debited(100_000, relates_to="FT-OLD")
    await trade.explains(id, "receipt", bank_ref="FT-OLD", who=office.ann)
    assert await stands_at(admin, "suspense") == 70_000
    with pytest.raises(NothingHeld):
        await trade.explains(id, "receipt", bank_ref="FT-OLD", who=office.ann)
    await trade.explains(id, "loss", who=office.ann)
    assert (await stands_at(admin, "suspense"), await stands_at(admin, "losses")) == (0, 70_000)
    with pytest.raises(NothingHeld):
        await office.asks(await office.held_by(owed.id))


async def test_above_the_limit_of_a_day_a_second_person_agrees(
    trade: Trade, office: Office, admin: asyncpg.Connection
) -> None:
    small, id = await trade.debited(150_000), await trade.debited(60_000)
    with pytest.raises(NothingToSettle):
        await agrees(office, id, office.bao)
    await trade.explains(small, "charge", who=office.ann)
    await trade.explains(id, "loss", who=office.ann)
    assert await stands_at(admin, "suspense") == 60_000, "150,000 and 60,000 are above it"
    with pytest.raises(OwnRefund):
        await agrees(office, id, office.ann)
    await agrees(office, id, office.bao)
    assert await stands_at(admin, "losses") == 60_000
    row = await admin.fetchrow("select staff_id, agreed_by from payments.debit_settled where way = 'loss'")
    assert tuple(row) == (office.ann, office.bao)
    with pytest.raises(NothingToSettle):
        await agrees(office, id, office.bao)


async def test_nobody_agrees_to_what_was_said_after_he_looked(
    trade: Trade, office: Office, admin: asyncpg.Connection
) -> None:
    id, looked_at = await trade.debited(250_000), trade.now
    await trade.explains(id, "charge", who=office.ann)
    trade.now += timedelta(seconds=1)
    await trade.explains(id, "loss", who=office.ann)
    with pytest.raises(NothingToSettle):
        await agrees(office, id, office.bao, asked_at=looked_at)
    assert await stands_at(admin, "suspense") == 250_000


async def test_at_the_yes_the_money_must_still_be_held(trade: Trade, office: Office, admin: asyncpg.Connection) -> None:
    await trade.transfers("tien gi", 250_000, bank_ref="FT-OLD")
    id = await trade.debited(250_000, relates_to="FT-OLD")
    await trade.explains(id, "receipt", bank_ref="FT-OLD", who=office.ann)
    refund = await office.asks(await office.held_by())
    with pytest.raises(NothingHeld):
        await agrees(office, id, office.bao)
    await office.rejects(refund)
    await agrees(office, id, office.bao)
    assert await stands_at(admin, "suspense") == 0


async def test_without_a_reason_or_for_what_is_not_there_nothing_is_settled(trade: Trade, office: Office) -> None:
    id = await trade.debited(11_000)
    async with trade.database.transaction(trade.operator_id) as tx:
        with pytest.raises(ReasonMissing):
            await debit.settle(tx, id, "charge", staff_id=office.ann, reason=" ", limit_vnd=200_000, now=trade.now)
        with pytest.raises(NoSuchDebit):
            await debit.find(tx, uuid4())


async def test_eight_at_once_settle_it_once(trade: Trade, office: Office, admin: asyncpg.Connection) -> None:
    id = await trade.debited(11_000)
    done = await asyncio.gather(
        *(trade.explains(id, "charge", who=office.ann) for _ in range(8)), return_exceptions=True
    )
    assert sum(isinstance(one, NothingToSettle) for one in done) == 7
    assert await stands_at(admin, "bank_charges") == 11_000


async def test_finance_sees_it_says_what_it_was_and_the_manager_agrees(
    clerk: httpx.AsyncClient, trade: Trade, app: object, admin: asyncpg.Connection
) -> None:
    id = await trade.debited(250_000, bank_ref="FT-GONE", kind="reversal", relates_to="FT-OLD")
    path = f"/finance/debits/{id}"
    for page in ("/finance/day", "/finance/queue", f"{path}?lang=en"):
        text = (await clerk.get(page)).text
        assert "FT-GONE" in text
        assert "250,000" in text or "250.000" in text
    assert [item["reference"] for item in (await clerk.get("/api/v1/finance/day")).json()["debits"]["items"]] == [
        "FT-GONE"
    ]
    assert (await press(clerk, path, f"{path}/settle", way="nonsense", reason="x")).status_code == 422
    assert (await press(clerk, path, f"{path}/settle", way="loss", reason="ngân hàng đòi lại")).status_code == 303
    assert (await press(clerk, path, f"{path}/agree", asked_at="2026-01-01T00:00:00Z")).status_code == 409
    seen = hidden((await clerk.get(path)).text, "asked_at")
    assert (await press(clerk, path, f"{path}/agree", asked_at=seen)).status_code == 403
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://test.local") as manager:
        await log_in(manager, "quanly@vanmieu")
        assert "ngân hàng đòi lại" in (await manager.get(path)).text
        assert (await press(manager, path, f"{path}/settle", way="loss", reason="x")).status_code == 403
        seen = hidden((await manager.get(path)).text, "asked_at")
        assert (await press(manager, path, f"{path}/agree", asked_at=seen)).status_code == 303
    assert "nothing of it is open" in (await clerk.get(f"{path}?lang=en")).text
    assert "FT-GONE" not in (await clerk.get("/finance/queue")).text
    assert await stands_at(admin, "losses") == 250_000


async def test_another_operators_debit_is_not_there(client: httpx.AsyncClient, trade: Trade) -> None:
    id = await trade.debited(11_000)
    await log_in(client, "ketoan@dongda")
    assert (await client.get(f"/finance/debits/{id}")).status_code == 404
    assert str(id) not in (await client.get("/finance/queue")).text
    answer = await press(client, "/finance/", f"/finance/debits/{id}/settle", way="charge", reason="x")
    assert answer.status_code == 409
