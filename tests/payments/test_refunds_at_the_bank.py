"""Refunds through the gateway's own language, against the practice bank as a process of its own, with what it does wrong."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from returning import Office
from trade import Trade

from mock_bank.settings import Settings as BankSettings
from payments import books, going_back, notice, payment
from payments.gateway import PayeeAccount
from payments.gateway.bank import Bank
from tests.mock_bank.receiving import KEY, SECRETS, BankProcess


@dataclass
class AtTheBank:
    """An operator's account at a real bank, and the office that sends money back from it."""

    office: Office
    admin: asyncpg.Connection
    api: httpx.AsyncClient
    gateway: Bank

    async def misbehaves(self, **faults: Any) -> None:
        (await self.api.put("/api/v1/faults", json=faults)).raise_for_status()

    async def pays(self, text: str, amount_vnd: int) -> str:
        """Somebody pays, and we hear of it by the list alone. The bank's reference."""
        bin, account = self.office.trade.account
        body = {"id": str(uuid4()), "bin": bin, "account": account, "amount_vnd": amount_vnd, "text": text}
        paid = (await self.api.post("/api/v1/payments", json=body)).raise_for_status().json()
        await self.polls()
        return str(paid["bank_ref"])

    async def polls(self) -> None:
        await notice.poll(self.office.trade.database, self.office.trade.sealer, self.gateway)

    async def too_much(self, amount_vnd: int = 30_000) -> UUID:
        owed = await self.office.trade.owes(self.office.trade.line(20_000))
        await self.pays(owed.reference, 20_000 + amount_vnd)
        return await self.office.held_by(owed.id)

    async def becomes(self, id: UUID, *states: str) -> str:
        """The worker looks again until the refund is in one of the states."""
        async with asyncio.timeout(20):
            while True:
                await self.office.works()
                state = await self.office.state(id)
                if state in states:
                    return state
                await asyncio.sleep(0.1)

    async def parked(self) -> list[str]:
        return [
            row["kind"] for row in await self.admin.fetch("select kind from foundation.due where parked_at is not null")
        ]

    async def balances(self) -> bool:
        """Our books hold, and what we say is at the bank is there."""
        proof = await books.prove(self.admin)
        assert proof.findings == (), proof.findings
        bin, account = self.office.trade.account
        there = (await self.api.get(f"/api/v1/accounts/{bin}/{account}/balance")).json()["closing_vnd"]
        ours = await self.admin.fetchval(
            "select coalesce(sum(case 'gw_receivable' when debit then amount_vnd when credit then -amount_vnd end), 0)"
            " from payments.transfer"
        )
        return bool(there == ours)


@pytest.fixture
async def bank(trade: Trade, admin: asyncpg.Connection, admin_url: str, tmp_path: Path) -> AsyncIterator[AtTheBank]:
    settings = BankSettings(
        database_url=admin_url, environment="test", api_key="a key for tests", webhook_secret=SECRETS
    )
    process = BankProcess(settings, tmp_path, port=20_000 + os.getpid() % 20_000)
    gateway = Bank(process.url, "a key for tests")
    async with httpx.AsyncClient(base_url=process.url, headers=KEY, trust_env=False) as api:
        running = await process.started(api)
        try:
            bin, account = trade.account
            await gateway.register(bin=bin, account=account, owner_name="VAN MIEU", webhook_url="http://127.0.0.1:9/")
            await gateway.set_clock(at=trade.now, rate=1.0)
            office = await Office.of(trade)
            office.gateway = gateway  # type: ignore[assignment]
            yield AtTheBank(office, admin, api, gateway)
        finally:
            await gateway.close()
            running.terminate()
            await running.wait()


async def test_money_goes_back_and_arrives_and_its_line_is_ours(bank: AtTheBank) -> None:
    id = await bank.office.asks(await bank.too_much())
    assert await bank.becomes(id, "settled") == "settled"
    await bank.polls()
    assert await bank.parked() == []
    assert await bank.admin.fetchval("select debit_ref from payments.refund") is not None
    assert await bank.balances()


async def test_a_lost_answer_is_looked_up_and_moves_the_money_once(bank: AtTheBank) -> None:
    await bank.misbehaves(lose_refund_answers=True)
    id = await bank.office.asks(await bank.too_much())
    await bank.office.works()
    assert await bank.office.state(id) == "unknown"
    await bank.misbehaves()
    assert await bank.becomes(id, "settled")
    await bank.polls()
    causes = [row["cause"] for row in await bank.admin.fetch("select cause from payments.refund_event order by id")]
    assert causes[:4] == ["request", "within_limit", "ask", "silent"]
    assert "unheard" not in causes
    assert await bank.balances()


async def test_of_a_lost_answer_the_list_tells_as_well(bank: AtTheBank) -> None:
    await bank.misbehaves(lose_refund_answers=True, refund_seconds=3600)
    id = await bank.office.asks(await bank.too_much())
    await bank.office.works()
    await bank.polls()
    assert await bank.office.state(id) == "accepted"
    assert await bank.balances()


async def test_a_bank_that_is_away_was_never_asked_and_is_asked_again(bank: AtTheBank) -> None:
    receipt_id = await bank.too_much()
    await bank.misbehaves(answers="error_503")
    id = await bank.office.asks(receipt_id)
    await bank.office.works()
    await bank.office.works()
    assert await bank.office.state(id) == "unknown"
    await bank.misbehaves()
    assert await bank.becomes(id, "settled")
    assert await bank.balances()


async def test_what_the_payers_bank_returns_is_owed_again_and_is_no_new_receipt(bank: AtTheBank) -> None:
    await bank.misbehaves(return_refunds=True)
    receipt_id = await bank.too_much()
    id = await bank.office.asks(receipt_id)
    assert await bank.becomes(id, "returned")
    await bank.polls()
    row = await bank.admin.fetchrow("select reason, amount_vnd - used_vnd as left_vnd from payments.held")
    assert tuple(row) == ("returned", 30_000)
    assert await bank.admin.fetchval("select count(*) from payments.receipt") == 1
    assert await bank.admin.fetchval("select return_ref from payments.refund") is not None
    assert await bank.parked() == []
    assert await bank.balances()


async def test_a_return_told_by_the_list_alone_is_believed(bank: AtTheBank) -> None:
    await bank.misbehaves(return_refunds=True)
    id = await bank.office.asks(await bank.too_much())
    await bank.office.works()
    async with asyncio.timeout(20):
        while await bank.office.state(id) != "returned":
            await bank.polls()
    assert await bank.balances()


async def test_a_return_of_a_refund_that_we_do_not_know_waits_under_its_own_name(bank: AtTheBank) -> None:
    bank_ref = await bank.pays("cam on", 50_000)
    await bank.misbehaves(return_refunds=True)
    bin, account = bank.office.trade.account
    body = {"bin": bin, "account": account, "bank_ref": bank_ref, "amount_vnd": 20_000, "text": "AI DO"}
    (await bank.api.post("/api/v1/refunds", json={**body, "id": str(uuid4())})).raise_for_status()
    async with asyncio.timeout(20):
        while not await bank.admin.fetchval("select true from payments.held where reason = 'unknown_return'"):
            await bank.polls()
    row = await bank.admin.fetchrow("select bank_ref, amount_vnd, kind from payments.debit")
    assert tuple(row)[1:] == (20_000, "refund"), "money left that none of us sent"
    assert await bank.balances(), "the books say what is at the bank"
    returned = await bank.admin.fetchval(
        "select r.bank_ref from payments.receipt r join payments.held h on h.receipt_id = r.id"
        " where h.reason = 'unknown_return'"
    )
    trade = bank.office.trade
    await trade.explains(await bank.admin.fetchval("select id from payments.debit"), "receipt", bank_ref=returned)
    assert await bank.admin.fetchval("select settled_vnd = amount_vnd from payments.debit"), "it brought it back"
    assert await bank.balances()


async def test_a_credit_that_the_bank_takes_back_is_in_the_books_at_once_and_met_with_what_is_held_of_it(
    bank: AtTheBank,
) -> None:
    await bank.misbehaves(reverse_after_seconds=0)
    bank_ref = await bank.pays("cam on", 50_000)
    async with asyncio.timeout(20):
        while (
            debit_id := await bank.admin.fetchval("select id from payments.debit where relates_to = $1", bank_ref)
        ) is None:
            await bank.polls()
    assert await bank.balances(), "the books say what is at the bank"
    await bank.office.trade.explains(debit_id, "receipt", bank_ref=bank_ref)
    assert await bank.admin.fetchval("select closed_at is not null from payments.held")
    assert await bank.balances()


async def test_a_bank_that_cannot_send_back_sends_to_the_account_that_the_payer_named(bank: AtTheBank) -> None:
    trade, office = bank.office.trade, bank.office
    owed = await trade.owes(trade.line(20_000))
    bank_ref = await bank.pays(owed.reference, 50_000)
    receipt_id = await office.held_by(owed.id)
    await bank.misbehaves(refuse_send_back=True)
    assert await bank.becomes(await office.asks(receipt_id), "refused")

    async def names(bank_ref: str, amount_vnd: int, bin: str = "970422") -> None:
        month = await trade.sealer.ready(trade.now)
        async with trade.database.transaction(trade.operator_id) as tx:
            await going_back.name_account(
                tx,
                trade.sealer,
                await payment.find(tx, id=owed.id),
                bank_ref=bank_ref,
                amount_vnd=amount_vnd,
                to=PayeeAccount(bin, "0123 456-789", "Nguyễn  Văn Thử"),
                month=month,
                now=await tx.value("select foundation.now()"),
            )

    for wrong in ((bank_ref, 30_000), ("FT0", 50_000)):
        with pytest.raises(going_back.ProofWrong):
            await names(*wrong)
    with pytest.raises(going_back.AccountUnreadable):
        await names(bank_ref, 50_000, bin="000000")
    await names(bank_ref.lower(), 50_000)
    assert "0123456789" not in str(await bank.admin.fetch("select * from payments.payee_named"))

    id = await office.asks(receipt_id, to_named=True, limit_vnd=10**9)
    assert await office.state(id) == "requested", "a second person, whatever the limit"
    await office.works()
    await office.approves(id)
    assert await bank.becomes(id, "settled")
    told = (await bank.api.get(f"/api/v1/refunds/{id}")).json()
    assert told["to"] == {"bin": "970422", "account": "0123456789", "name": "Nguyễn Văn Thử"}
    assert await bank.balances()
