"""Payout files through the gateway's own language, against the practice bank as a process of its own."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from mock_bank.settings import Settings as BankSettings
from payments.gateway import (
    GatewaySilent,
    Paying,
    PayoutFileRefused,
    PayoutLine,
    PayoutOrder,
    PayoutReport,
    PayoutTransfer,
    pain,
)
from payments.gateway.bank import Bank, read_transaction
from tests.mock_bank.receiving import ACCOUNT, BIN, KEY, SECRETS, BankProcess


@dataclass
class AtTheBank:
    """A collection account of 100,000 đồng at a real bank, and who pays out from it."""

    gateway: Paying
    api: httpx.AsyncClient

    async def misbehaves(self, **faults: Any) -> None:
        (await self.api.put("/api/v1/faults", json=faults)).raise_for_status()

    async def becomes(self, file: bytes, *fates: str) -> PayoutReport:
        """The report, as soon as its transfers stand there."""
        async with asyncio.timeout(20):
            while True:
                report = await self.gateway.payout_report(file)
                assert report is not None
                if fates_of(report) == fates:
                    return report
                await asyncio.sleep(0.05)

    async def lines(self) -> list[PayoutLine]:
        """What the list tells of payouts."""
        params = {"bin": BIN, "account": ACCOUNT}
        items = (await self.api.get("/api/v1/transactions", params=params)).raise_for_status().json()["items"]
        return [line for item in items if (line := read_transaction(item).payout()) is not None]

    async def balance_vnd(self) -> int:
        return int((await self.api.get(f"/api/v1/accounts/{BIN}/{ACCOUNT}")).json()["balance_vnd"])


@pytest.fixture
async def bank(admin_url: str, tmp_path: Path) -> AsyncIterator[AtTheBank]:
    settings = BankSettings(
        database_url=admin_url, environment="test", api_key="a key for tests", webhook_secret=SECRETS
    )
    process = BankProcess(settings, tmp_path, port=20_000 + os.getpid() % 20_000)
    gateway = Bank(process.url, "a key for tests")
    async with httpx.AsyncClient(base_url=process.url, headers=KEY, trust_env=False) as api:
        running = await process.started(api)
        try:
            await gateway.register(bin=BIN, account=ACCOUNT, owner_name="VAN MIEU", webhook_url="http://127.0.0.1:9/")
            body = {"id": str(uuid4()), "bin": BIN, "account": ACCOUNT, "amount_vnd": 100_000, "text": "A"}
            (await api.post("/api/v1/payments", json=body)).raise_for_status()
            yield AtTheBank(gateway, api)
        finally:
            await gateway.close()
            running.terminate()
            await running.wait()


def order(*amounts_vnd: int) -> PayoutOrder:
    return PayoutOrder(
        message_id=uuid4(),
        batch="CT-2026-0007",
        created_at=datetime(2026, 11, 22, 3, 30, tzinfo=UTC),
        execute_on=date(2020, 1, 1),
        account=f"{BIN}/{ACCOUNT}",
        account_name="Trung tâm Văn Miếu",
        transfers=[
            PayoutTransfer(uuid4(), amount_vnd, "970422", "55501234", "Công ty Đỗ & Con", "Chi trả tuần 47")
            for amount_vnd in amounts_vnd
        ],
    )


def ids(order: PayoutOrder) -> list[UUID]:
    return [transfer.id for transfer in order.transfers]


def fates_of(report: PayoutReport) -> tuple[str, ...]:
    return tuple(answer.fate for answer in report.transfers.values())


async def test_a_file_is_paid_and_its_lines_name_its_transfers(bank: AtTheBank) -> None:
    paid = order(60_000, 15_000)
    file = pain.write(paid)
    assert await bank.gateway.payout_report(file) is None
    report = await bank.gateway.pay_out(file)
    assert (report.message_id, report.group_status, fates_of(report)) == (
        paid.message_id,
        "ACCP",
        ("accepted", "accepted"),
    )
    assert list(report.transfers) == ids(paid)
    await bank.becomes(file, "settled", "settled")
    lines = await bank.lines()
    assert [(line.payout_id, line.amount_vnd, line.returns) for line in lines] == [
        (ids(paid)[0], 60_000, False),
        (ids(paid)[1], 15_000, False),
    ]
    assert {line.account for line in lines} == {f"{BIN}/{ACCOUNT}"}
    assert all(line.ref.startswith("FT") for line in lines)
    params = {"bin": BIN, "account": ACCOUNT}
    items = (await bank.api.get("/api/v1/transactions", params=params)).json()["items"]
    assert [item["text"] for item in items[1:]] == ["CT-2026-0007 Chi tra tuan 47"] * 2
    assert [item["payee_name"] for item in items[1:]] == ["Cong ty Do + Con"] * 2
    assert await bank.balance_vnd() == 25_000


async def test_after_a_lost_answer_the_report_tells_and_the_same_bytes_pay_nothing_twice(bank: AtTheBank) -> None:
    file = pain.write(order(60_000))
    await bank.misbehaves(lose_payout_answers=True)
    with pytest.raises(GatewaySilent):
        await bank.gateway.pay_out(file)
    assert fates_of(await bank.becomes(file, "settled")) == ("settled",)
    await bank.misbehaves()
    assert fates_of(await bank.gateway.pay_out(file)) == ("accepted",), "what was answered then"
    assert await bank.balance_vnd() == 40_000


@pytest.mark.parametrize("how", ["closed", "error_500", "error_502", "error_503"])
async def test_a_bank_in_trouble_was_asked_nothing_for_sure(bank: AtTheBank, how: str) -> None:
    file = pain.write(order(60_000))
    await bank.misbehaves(answers=how)
    with pytest.raises(GatewaySilent):
        await bank.gateway.pay_out(file)
    with pytest.raises(GatewaySilent):
        await bank.gateway.payout_report(file)
    await bank.misbehaves()
    assert await bank.gateway.payout_report(file) is None


async def test_other_bytes_under_one_message_id_are_refused_by_name(bank: AtTheBank) -> None:
    first = order(60_000)
    await bank.gateway.pay_out(pain.write(first))
    with pytest.raises(PayoutFileRefused) as refused:
        await bank.gateway.pay_out(pain.write(replace(first, batch="CT-2026-0008")))
    assert refused.value.facts == {"why": "other_file"}


async def test_a_file_that_is_not_ours_is_not_sent(bank: AtTheBank) -> None:
    with pytest.raises(ValueError, match="no payout file"):
        await bank.gateway.pay_out(b"<Document/>")


async def test_each_transfer_has_its_own_fate_and_reason(bank: AtTheBank) -> None:
    wanted = order(60_000, 50_000, 30_000)
    file = pain.write(wanted)
    await bank.misbehaves(reject_payouts=True, when={"reject_payouts": {"next": 1}})
    await bank.gateway.pay_out(file)
    report = await bank.becomes(file, "rejected", "rejected", "settled")
    assert [answer.why for answer in report.transfers.values()] == ["AC03", "AM04", None]
    assert report.group_status == "PART"
    assert [line.payout_id for line in await bank.lines()] == ids(wanted)[2:]


async def test_an_account_that_the_bank_does_not_know_pays_nothing(bank: AtTheBank) -> None:
    report = await bank.gateway.pay_out(pain.write(replace(order(1), account=f"{BIN}/NOBODY1")))
    assert (report.group_status, report.group_why, fates_of(report)) == ("RJCT", "AC02", ("rejected",))


async def test_a_transfer_that_the_report_leaves_out_is_unknown(bank: AtTheBank) -> None:
    file = pain.write(order(10_000, 20_000))
    await bank.misbehaves(omit_payout_statuses=True, when={"omit_payout_statuses": {"next": 1}})
    assert fates_of(await bank.gateway.pay_out(file)) == ("unknown", "accepted")
    await bank.misbehaves(omit_payout_statuses=True)
    assert fates_of(await bank.becomes(file, "unknown", "unknown"))
    await bank.misbehaves()
    await bank.becomes(file, "settled", "settled")


async def test_what_comes_back_is_a_credit_that_names_the_transfer_and_stays_settled(bank: AtTheBank) -> None:
    wanted = order(60_000)
    file = pain.write(wanted)
    await bank.misbehaves(return_payouts=True, split_payouts=True)
    await bank.gateway.pay_out(file)
    async with asyncio.timeout(20):
        while len(lines := await bank.lines()) < 3:
            await asyncio.sleep(0.05)
    assert [(line.payout_id, line.amount_vnd, line.returns) for line in lines] == [
        (ids(wanted)[0], 30_000, False),
        (ids(wanted)[0], 30_000, False),
        (ids(wanted)[0], 60_000, True),
    ]
    assert len({line.ref for line in lines}) == 3
    await bank.becomes(file, "settled")
    assert await bank.balance_vnd() == 100_000


async def test_a_report_on_another_file_is_not_believed(bank: AtTheBank) -> None:
    """A bank that mixes its answers up: nothing follows from what it says, and the outcome stays unknown."""
    first, second = pain.write(order(10_000)), pain.write(order(20_000))
    await bank.gateway.pay_out(first)
    report = await bank.api.get(f"/api/v1/payout-files/{pain.instructed(first).message_id.hex}")

    async def mixed_up(request: httpx.Request) -> httpx.Response:
        return httpx.Response(201 if request.method == "POST" else 200, content=report.content)

    gateway = Bank("http://bank", "a key", httpx.MockTransport(mixed_up))
    for asks in (gateway.pay_out, gateway.payout_report):
        assert await asks(first) is not None
        with pytest.raises(GatewaySilent):
            await asks(second)
    await gateway.close()


@pytest.mark.parametrize("payout_id", [None, "", "B7-1"])
def test_a_line_of_a_payout_that_names_none_of_ours_is_any_other_line(payout_id: str | None) -> None:
    line = {"bank_ref": "FT1", "bin": BIN, "account": ACCOUNT, "direction": "debit", "amount_vnd": 1, "text": "A"}
    line |= {"booked_at": "2026-11-22T10:00:00+07:00", "kind": "payout", "payout_id": payout_id}
    transaction = read_transaction(line)
    assert (transaction.payout(), transaction.credit()) == (None, None)
    assert transaction.gone().kind == "payout"
