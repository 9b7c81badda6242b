"""The bank's statement of yesterday is here in the morning and matched; one that does not hold is asked for until it does."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
from banking import Statements
from paying import Desk
from trade import Trade

from foundation import clock
from mock_bank.settings import Settings as BankSettings
from payments import bank_statement, books, daily_statement, notice, statement_withdrawal
from payments.gateway.bank import Bank
from tests.mock_bank.receiving import KEY, SECRETS, BankProcess


@dataclass
class Nights:
    """An operator with an account at a real bank, and how days pass for both."""

    trade: Trade
    gateway: Bank
    api: httpx.AsyncClient
    admin: asyncpg.Connection

    async def paid(self, amount_vnd: int, *, listed: bool = True) -> None:
        bin, account = self.trade.account
        body = {"id": str(uuid4()), "bin": bin, "account": account, "amount_vnd": amount_vnd, "text": "ve"}
        (await self.api.post("/api/v1/payments", json=body)).raise_for_status()
        if listed:
            await notice.poll(self.trade.database, self.trade.sealer, self.gateway)

    async def morning(self, **faults: Any) -> int:
        """The next day, an hour after midnight: how many statements came."""
        day = clock.hanoi_day(self.trade.now) + timedelta(days=1)
        await self.to(datetime.combine(day, time(1), clock.HANOI))
        return await self.fetched(**faults)

    async def fetched(self, **faults: Any) -> int:
        (await self.api.put("/api/v1/faults", json=faults)).raise_for_status()
        return await daily_statement.fetch_what_is_over(self.trade.database, self.trade.sealer, self.gateway)

    async def to(self, at: datetime) -> None:
        self.trade.now = at
        await self.admin.execute("select foundation.set_clock($1, 0)", at)
        await self.gateway.set_clock(at=at, rate=0)

    async def states(self) -> list[str]:
        async with self.trade.database.transaction(self.trade.operator_id) as tx:
            rows = await tx.rows("select state, why from payments.bank_statement order by at, id")
        return [row["why"] or row["state"] for row in rows]

    async def open(self) -> int:
        async with self.trade.database.transaction(self.trade.operator_id) as tx:
            return int(await tx.value("select count(*) from payments.open_item"))


@pytest.fixture
async def nights(trade: Trade, admin: asyncpg.Connection, admin_url: str, tmp_path: Path) -> AsyncIterator[Nights]:
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
            made = Nights(trade, gateway, api, admin)
            await made.to(trade.now + timedelta(minutes=1))
            yield made
        finally:
            await gateway.close()
            running.terminate()
            await running.wait()


async def test_yesterdays_statement_is_here_in_the_morning_and_a_wrong_one_is_asked_for_again(nights: Nights) -> None:
    await nights.paid(70_000)
    await nights.paid(30_000)
    assert await nights.fetched() == 0, "the day is not over"
    assert (await nights.morning(), await nights.states(), await nights.open()) == (1, ["accepted"], 0)
    assert await nights.fetched() == 0
    await nights.paid(5_000, listed=False)
    assert await nights.morning(wrong_closing=True) == 0
    assert await nights.states() == ["accepted", "statement_not_tied"]
    await nights.to(nights.trade.now + timedelta(minutes=61))
    assert await nights.fetched() == 0
    assert await nights.states() == ["accepted", "statement_not_tied"], "the same file again is no news"
    bin, account = nights.trade.account
    day = clock.hanoi_day(nights.trade.now) - timedelta(days=1)
    (await nights.api.post(f"/api/v1/accounts/{bin}/{account}/statements/{day}/reissue")).raise_for_status()
    await nights.to(nights.trade.now + timedelta(minutes=61))
    assert await nights.fetched() == 1
    async with nights.trade.database.transaction(nights.trade.operator_id) as tx:
        assert await tx.value("select source from payments.receipt where amount_vnd = 5000") == "statement"
    assert await nights.open() == 0, "what no list told of came with the statement"
    await nights.paid(1_000)
    early = Statements(nights.trade, number=7, balance_vnd=105_000)
    half = early.day()  # of today, before anything was booked
    await early.load(half, who=(await nights.trade.colleague()).staff_id)
    assert (await nights.morning(), (await nights.states())[-2:]) == (1, ["accepted", "accepted"]), "and the bank's own"


async def test_a_withdrawn_day_is_fetched_again_and_another_file_is_taken_but_never_the_same_by_itself(
    nights: Nights,
) -> None:
    trade, desk = nights.trade, await Desk.of(nights.trade)
    bin, account = trade.account

    async def withdrawn() -> None:
        async with trade.database.transaction(trade.operator_id) as tx:
            last = await bank_statement.head(tx, f"{bin}/{account}")
        asked = await desk.does(
            statement_withdrawal.ask, last["id"], staff_id=desk.people["ketoan"], reason="ngân hàng báo sai"
        )
        assert await statement_withdrawal.agree(
            trade.database, trade.sealer, trade.operator_id, asked, staff_id=desk.people["quanly"], now=trade.now
        )

    await nights.paid(70_000)
    assert (await nights.morning(), await nights.states()) == (1, ["accepted"])
    await nights.paid(30_000)
    assert await nights.morning(count_statement_line_twice=True) == 1, "it ties, and it is wrong"
    assert await nights.open() == 0
    await withdrawn()
    assert await nights.open() == 2, "what only it told of as well"
    for _ in range(2):
        assert await nights.fetched() == 0, "asked for again at once, and every hour"
        assert await nights.states() == ["accepted", "accepted", "statement_withdrawn"], "said once"
        await nights.to(trade.now + timedelta(minutes=61))
    day = clock.hanoi_day(trade.now) - timedelta(days=1)
    (await nights.api.put("/api/v1/faults", json={})).raise_for_status()
    (await nights.api.post(f"/api/v1/accounts/{bin}/{account}/statements/{day}/reissue")).raise_for_status()
    assert await nights.fetched() == 1
    assert (await nights.states())[3:] == ["accepted"]
    assert (await nights.open(), await nights.fetched()) == (1, 0), (
        "the true line is matched, the other waits for a person"
    )
    await withdrawn()
    assert await nights.fetched() == 0
    same = await nights.api.get(f"/api/v1/accounts/{bin}/{account}/statements/{day}?format=camt.053.001.08")
    await Statements(trade).load(same.text, who=desk.people["ketoan"])
    assert (await nights.states())[-2:] == ["statement_withdrawn", "accepted"], "by hand the same is taken"
    await nights.to(trade.now + timedelta(minutes=61))
    assert (await nights.fetched(), await nights.open()) == (0, 1), "and the bank is not asked for it any more"
    assert (await books.prove(nights.admin)).findings == ()


async def test_what_the_bank_only_said_again_is_asked_for_again_when_what_it_said_is_withdrawn(nights: Nights) -> None:
    trade, desk = nights.trade, await Desk.of(nights.trade)
    early = Statements(trade)
    await nights.paid(70_000)
    ref = await nights.admin.fetchval("select bank_ref from payments.receipt where amount_vnd = 70000")
    given = await early.load(early.day(early.line(ref, 70_000)), who=desk.people["ketoan"])
    assert (await nights.morning(), await nights.states()) == (1, ["accepted", "known"])
    asked = await desk.does(
        statement_withdrawal.ask, given.statements[0].id, staff_id=desk.people["ketoan"], reason="nhầm tệp"
    )
    assert await statement_withdrawal.agree(
        trade.database, trade.sealer, trade.operator_id, asked, staff_id=desk.people["quanly"], now=trade.now
    )
    assert await nights.fetched() == 1, "by the bank itself"
    assert (await nights.states(), await nights.open()) == (["accepted", "known", "accepted"], 0)
