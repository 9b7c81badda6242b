"""Money out: a refund leaves once, whatever is lost, and sometimes comes back."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest

from mock_bank.settings import Settings
from tests.mock_bank.receiving import ACCOUNT, BIN, KEY, BankProcess, Misbehave, Pay, Receiver

Refund = Callable[..., Awaitable[httpx.Response]]
NAMED = {"bin": "970422", "account": "55501234", "name": "TRAN VAN B"}


@pytest.fixture
def refund(api: httpx.AsyncClient) -> Refund:
    """Send 20,000 đồng of a payment back, or what the test says."""

    async def refund(bank_ref: str, **wanted: Any) -> httpx.Response:
        usual = {"id": str(uuid4()), "bin": BIN, "account": ACCOUNT, "amount_vnd": 20_000, "text": "HOAN TIEN"}
        return await api.post("/api/v1/refunds", json={**usual, "bank_ref": bank_ref, **wanted})

    return refund


@pytest.fixture
async def paid(pay: Pay) -> str:
    """The bank reference of a payment of 70,000 đồng."""
    return str((await pay()).json()["bank_ref"])


async def state_of(api: httpx.AsyncClient, refund_id: str) -> dict[str, Any]:
    return dict((await api.get(f"/api/v1/refunds/{refund_id}")).raise_for_status().json())


async def becomes(api: httpx.AsyncClient, refund_id: str, state: str) -> dict[str, Any]:
    """The refund, as soon as it stands there."""
    async with asyncio.timeout(5):
        while (await state_of(api, refund_id))["state"] != state:
            await asyncio.sleep(0.02)
    return await state_of(api, refund_id)


async def listed(api: httpx.AsyncClient) -> list[dict[str, Any]]:
    query = {"bin": BIN, "account": ACCOUNT, "limit": "500"}
    return list((await api.get("/api/v1/transactions", params=query)).raise_for_status().json()["items"])


async def balance_vnd(api: httpx.AsyncClient) -> int:
    return int((await api.get(f"/api/v1/accounts/{BIN}/{ACCOUNT}")).raise_for_status().json()["balance_vnd"])


async def test_a_refund_is_accepted_debited_and_settled(
    api: httpx.AsyncClient, refund: Refund, paid: str, receiver: Receiver
) -> None:
    answer = await refund(paid)
    assert answer.status_code == 201
    accepted = answer.json()
    assert (accepted["state"], accepted["amount_vnd"], accepted["bank_ref"]) == ("accepted", 20_000, paid)
    settled = await becomes(api, accepted["id"], "settled")
    debit = (await listed(api))[1]
    assert (debit["direction"], debit["kind"], debit["text"]) == ("debit", "refund", "HOAN TIEN")
    assert (debit["relates_to"], debit["refund_id"], debit["bank_ref"]) == (
        paid,
        accepted["id"],
        settled["debit_bank_ref"],
    )
    assert debit["payee_account"] == "0011009998887", "back where it came from"
    assert await balance_vnd(api) == 50_000
    await receiver.has(2)
    assert debit in receiver.told


async def test_a_refund_takes_its_time_from_accepted_over_sent_to_settled(
    api: httpx.AsyncClient, refund: Refund, paid: str, misbehave: Misbehave
) -> None:
    await api.put("/clock", json={"at": "2026-11-21T10:00:00+07:00", "rate": 0})
    await misbehave(refund_seconds=3600)
    refund_id = (await refund(paid)).json()["id"]
    assert (await state_of(api, refund_id))["state"] == "accepted"
    assert await balance_vnd(api) == 50_000, "debited with the acceptance"
    for at, state in (("10:29:59", "accepted"), ("10:30:00", "sent"), ("10:59:59", "sent"), ("11:00:00", "settled")):
        await api.put("/clock", json={"at": f"2026-11-21T{at}+07:00", "rate": 0})
        assert (await becomes(api, refund_id, state))["state"] == state
    ended = await state_of(api, refund_id)
    assert [ended[name][11:19] for name in ("asked_at", "sent_at", "ended_at")] == ["10:00:00", "10:30:00", "11:00:00"]


async def test_a_refund_asked_for_again_is_made_once_and_answered_alike(
    api: httpx.AsyncClient, refund: Refund, paid: str
) -> None:
    refund_id = str(uuid4())
    answers = await asyncio.gather(*(refund(paid, id=refund_id) for _ in range(8)))
    await becomes(api, refund_id, "settled")
    answers.append(await refund(paid, id=refund_id))
    assert [answer.status_code for answer in answers] == [201] * 9
    assert len({answer.content for answer in answers}) == 1
    assert sum(answer.headers.get("idempotent-replayed") == "true" for answer in answers) == 8
    assert await balance_vnd(api) == 50_000


@pytest.mark.parametrize("other", [{"amount_vnd": 20_001}, {"text": "B"}, {"to": NAMED}, {"bank_ref": "FT00000"}])
async def test_an_id_used_for_another_refund_is_refused(
    api: httpx.AsyncClient, refund: Refund, paid: str, other: dict[str, Any]
) -> None:
    refund_id = (await refund(paid)).json()["id"]
    refused = await refund(**{"bank_ref": paid, "id": refund_id, **other})
    assert (refused.status_code, refused.json()["code"]) == (422, "other_refund")
    assert await balance_vnd(api) == 50_000


async def test_one_id_races_for_two_accounts_and_moves_money_once(
    api: httpx.AsyncClient, pay: Pay, refund: Refund, paid: str
) -> None:
    await api.put(f"/api/v1/accounts/{BIN}/OTHER1", json={"owner_name": "B"})
    other = (await pay(account="OTHER1")).json()["bank_ref"]
    refund_id = str(uuid4())
    answers = await asyncio.gather(
        *(refund(ref, account=name, id=refund_id) for name, ref in ((ACCOUNT, paid), ("OTHER1", other)) * 4)
    )
    assert {answer.status_code for answer in answers} == {201, 422}
    there = (await api.get(f"/api/v1/accounts/{BIN}/OTHER1")).json()["balance_vnd"]
    assert sorted([await balance_vnd(api), there]) == [50_000, 70_000]


async def test_a_refund_of_an_unknown_payment_is_refused(api: httpx.AsyncClient, refund: Refund, paid: str) -> None:
    refused = await refund("FT2600100000404")
    assert (refused.status_code, refused.json()["code"]) == (409, "unknown_original")
    debit = (await state_of(api, (await refund(paid)).json()["id"]))["debit_bank_ref"]
    assert (await refund(debit)).json()["code"] == "unknown_original", "a refund is no payment"
    assert (await refund(paid, account="404404")).json()["code"] == "unknown_account"


async def test_no_more_goes_back_than_came_however_many_ask_at_once(
    api: httpx.AsyncClient, refund: Refund, pay: Pay, paid: str
) -> None:
    await pay(amount_vnd=500_000)
    answers = await asyncio.gather(*(refund(paid) for _ in range(10)))
    assert sorted(answer.status_code for answer in answers) == [201] * 3 + [409] * 7
    refused = next(answer.json() for answer in answers if answer.status_code == 409)
    assert (refused["code"], refused["left_vnd"]) == ("more_than_left", "10000")
    assert (await refund(paid, amount_vnd=10_000)).status_code == 201
    assert await balance_vnd(api) == 500_000


async def test_a_credit_that_was_refunded_may_be_taken_back_as_well_and_then_the_account_holds_too_little(
    api: httpx.AsyncClient, refund: Refund, pay: Pay, misbehave: Misbehave
) -> None:
    await api.put("/clock", json={"at": "2026-11-21T10:00:00+07:00", "rate": 0})
    await misbehave(reverse_after_seconds=60, when={"reverse_after_seconds": {"next": 1}})
    first = (await pay(amount_vnd=70_000)).json()["bank_ref"]
    second = (await pay(amount_vnd=70_000)).json()["bank_ref"]
    await refund(first, amount_vnd=20_000)
    await api.put("/clock", json={"at": "2026-11-21T10:01:00+07:00", "rate": 0})
    async with asyncio.timeout(5):
        while await balance_vnd(api) != 50_000:
            await asyncio.sleep(0.02)
    assert [item.get("kind") for item in await listed(api)] == [None, None, "refund", "reversal"]
    refused = await refund(first, amount_vnd=1)
    assert (refused.json()["code"], refused.json()["left_vnd"]) == ("more_than_left", "0")
    refused = await refund(second, amount_vnd=50_001)
    assert (refused.status_code, refused.json()["code"]) == (409, "insufficient_balance")
    assert refused.json()["balance_vnd"] == "50000"
    assert (await refund(second, amount_vnd=50_000)).status_code == 201


async def test_a_credit_is_not_taken_back_while_the_account_holds_too_little(
    api: httpx.AsyncClient, refund: Refund, pay: Pay, misbehave: Misbehave
) -> None:
    await api.put("/clock", json={"at": "2026-11-21T10:00:00+07:00", "rate": 0})
    await misbehave(reverse_after_seconds=60, when={"reverse_after_seconds": {"next": 1}})
    await refund((await pay(amount_vnd=70_000)).json()["bank_ref"], amount_vnd=1)
    await api.put("/clock", json={"at": "2026-11-21T10:01:00+07:00", "rate": 0})
    await asyncio.sleep(0.2)
    assert await balance_vnd(api) == 69_999
    await pay(amount_vnd=1)
    async with asyncio.timeout(5):
        while await balance_vnd(api) != 0:
            await asyncio.sleep(0.02)


async def test_what_was_refused_stays_refused_under_its_id(
    api: httpx.AsyncClient, refund: Refund, paid: str, misbehave: Misbehave
) -> None:
    await misbehave(refuse_send_back=True)
    refund_id = str(uuid4())
    first = await refund(paid, id=refund_id)
    assert (first.status_code, first.json()["code"]) == (409, "cannot_send_back")
    await misbehave()
    assert (await refund(paid, id=refund_id)).content == first.content
    known = await state_of(api, refund_id)
    assert (known["state"], known["refusal"]) == ("refused", {"code": "cannot_send_back"})
    assert (await refund(paid)).status_code == 201
    assert await balance_vnd(api) == 50_000


async def test_where_the_bank_cannot_send_back_a_named_account_takes_the_money(
    api: httpx.AsyncClient, refund: Refund, paid: str, misbehave: Misbehave
) -> None:
    await misbehave(refuse_send_back=True)
    assert (await refund(paid)).json()["code"] == "cannot_send_back"
    assert (await refund(paid, to=NAMED)).json()["to"] == NAMED
    debit = (await listed(api))[-1]
    assert {name: debit[f"payee_{name}"] for name in NAMED} == NAMED


async def test_a_returned_refund_comes_back_as_a_credit_that_names_it_and_may_go_out_again(
    api: httpx.AsyncClient, refund: Refund, paid: str, misbehave: Misbehave, receiver: Receiver
) -> None:
    await misbehave(return_refunds=True, when={"return_refunds": {"next": 1}})
    refund_id = (await refund(paid, amount_vnd=70_000)).json()["id"]
    returned = await becomes(api, refund_id, "returned")
    credit = (await listed(api))[-1]
    assert (credit["direction"], credit["kind"], credit["amount_vnd"]) == ("credit", "refund_return", 70_000)
    assert (credit["refund_id"], credit["relates_to"]) == (refund_id, returned["debit_bank_ref"])
    assert credit["bank_ref"] == returned["return_bank_ref"]
    assert await balance_vnd(api) == 70_000
    await receiver.has(3)
    again = (await refund(paid, amount_vnd=70_000, to=NAMED)).json()["id"]
    assert (await becomes(api, again, "settled"))["return_bank_ref"] is None
    assert await balance_vnd(api) == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"amount_vnd": 0},
        {"amount_vnd": "20000"},
        {"amount_vnd": 1.0},
        {"amount_vnd": 500_000_000},
        {"id": "no uuid"},
        {"bank_ref": ""},
        {"to": {"bin": "970422"}},
        {"to": {**NAMED, "tip": 1}},
        {"text": "two\nlines"},
        {"tip": 1},
    ],
)
async def test_a_refund_that_cannot_be_read_is_refused(
    api: httpx.AsyncClient, refund: Refund, paid: str, wrong: dict[str, Any]
) -> None:
    refused = await refund(**{"bank_ref": paid, **wrong})
    assert (refused.status_code, refused.json()["code"]) == (422, "bad_payload")
    assert await balance_vnd(api) == 70_000


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_whatever_happens_the_balance_is_credits_less_debits(
    api: httpx.AsyncClient, db: asyncpg.Pool[Any], pay: Pay, refund: Refund, misbehave: Misbehave, seed: int
) -> None:
    chance = random.Random(seed)
    await misbehave(
        seed=seed,
        reverse_after_seconds=0,
        return_refunds=True,
        list_late_seconds=3600,
        two_event_ids=True,
        when={name: {"share": 0.4} for name in ("reverse_after_seconds", "return_refunds", "list_late_seconds")},
    )
    refs = [(await pay(amount_vnd=chance.randrange(50_000, 100_000))).json()["bank_ref"] for _ in range(10)]
    acts = [
        refund(chance.choice(refs), amount_vnd=chance.randrange(1, 20_000))
        if chance.random() < 0.7
        else pay(amount_vnd=1)
        for _ in range(40)
    ]
    await asyncio.gather(*acts)
    async with asyncio.timeout(10):
        while await db.fetchval(
            """SELECT EXISTS (SELECT FROM mock_bank.refund WHERE due_at IS NOT NULL)
                   OR EXISTS (SELECT FROM mock_bank.transaction t JOIN mock_bank.account a USING (bin, account)
                               WHERE reverse_at IS NOT NULL AND amount_vnd <= balance_vnd)"""
        ):
            await asyncio.sleep(0.02)
    day = (await api.get(f"/api/v1/accounts/{BIN}/{ACCOUNT}/balance")).json()
    assert await balance_vnd(api) == day["closing_vnd"] == day["credits_vnd"] - day["debits_vnd"] >= 0
    out = """SELECT r.state, r.amount_vnd, coalesce(sum(CASE direction WHEN 'debit' THEN t.amount_vnd ELSE -t.amount_vnd END), 0)
                    AS out_vnd
               FROM mock_bank.refund r LEFT JOIN mock_bank.transaction t ON t.refund_id = r.id GROUP BY r.id"""
    states = set()
    for row in await db.fetch(out):
        assert row["out_vnd"] == (row["amount_vnd"] if row["state"] == "settled" else 0)
        states.add(row["state"])
    assert states >= {"settled", "returned"}
    back = """SELECT t.amount_vnd, (SELECT coalesce(sum(r.amount_vnd), 0) FROM mock_bank.refund r
                                    WHERE r.original = t.bank_ref AND r.state = 'settled') AS back_vnd
                FROM mock_bank.transaction t WHERE kind = 'payment'"""
    assert all(row["back_vnd"] <= row["amount_vnd"] for row in await db.fetch(back))


async def test_a_bank_killed_in_the_middle_of_refunds_moves_each_once(
    settings: Settings, receiver: Receiver, tmp_path: Path
) -> None:
    process = BankProcess(settings, tmp_path, port=41_000 + os.getpid() % 15_000)
    async with httpx.AsyncClient(base_url=process.url, headers=KEY, trust_env=False) as api:
        bank = await process.started(api)
        try:
            opened = {"owner_name": "A", "webhook_url": receiver.url}
            (await api.put(f"/api/v1/accounts/{BIN}/{ACCOUNT}", json=opened)).raise_for_status()
            (await api.put("/api/v1/faults", json={"refund_seconds": 2})).raise_for_status()
            at = {"bin": BIN, "account": ACCOUNT, "text": "A"}
            paid = await api.post("/api/v1/payments", json={**at, "id": str(uuid4()), "amount_vnd": 1_000})
            asked = [
                {**at, "id": str(uuid4()), "amount_vnd": 10, "bank_ref": paid.json()["bank_ref"]} for _ in range(20)
            ]
            asking = [asyncio.create_task(api.post("/api/v1/refunds", json=body)) for body in asked]
            await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
            bank.send_signal(signal.SIGKILL)
            await bank.wait()
            await asyncio.gather(*asking, return_exceptions=True)
            bank = await process.started(api)
            for body in asked:  # whoever does not know asks by the id, and asks again with the same id
                known = await api.get(f"/api/v1/refunds/{body['id']}")
                if known.status_code == 404:
                    assert (await api.post("/api/v1/refunds", json=body)).status_code == 201
            for body in asked:
                await becomes(api, str(body["id"]), "settled")
            assert await balance_vnd(api) == 800
            debits = [item for item in await listed(api) if item["direction"] == "debit"]
            assert len(debits) == len({item["refund_id"] for item in debits}) == 20
        finally:
            bank.terminate()
            await bank.wait()
