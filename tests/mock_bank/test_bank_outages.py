"""A bank that is slow, down, failing, or that acts and cannot say so; over connections that can break."""

from __future__ import annotations

import time
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.mock_bank.receiving import ACCOUNT, BIN, Misbehave, Pay

LIST = {"bin": BIN, "account": ACCOUNT}


def payment(**changed: Any) -> dict[str, Any]:
    return {"id": str(uuid4()), "bin": BIN, "account": ACCOUNT, "amount_vnd": 70_000, "text": "A", **changed}


async def status(wire: httpx.AsyncClient) -> int:
    """What a request for the list is answered; 0: the connection broke."""
    try:
        return (await wire.get("/api/v1/transactions", params=LIST)).status_code
    except httpx.RemoteProtocolError:
        return 0


@pytest.mark.parametrize(
    ("answers", "comes"), [("closed", 0), ("error_500", 500), ("error_502", 502), ("error_503", 503)]
)
async def test_a_bank_that_is_down_does_nothing(
    wire: httpx.AsyncClient, misbehave: Misbehave, account: str, answers: str, comes: int
) -> None:
    await misbehave(answers=answers)
    assert await status(wire) == comes
    if comes:
        assert (await wire.post("/api/v1/payments", json=payment())).status_code == comes
    else:
        with pytest.raises(httpx.RemoteProtocolError):
            await wire.post("/api/v1/payments", json=payment())
    assert (await wire.get("/healthz")).status_code == 200, "it is in trouble, not dead"
    await misbehave()
    assert (await wire.get("/api/v1/transactions", params=LIST)).json()["items"] == []


async def test_a_bank_that_is_down_can_still_be_mended_and_opens_accounts(
    wire: httpx.AsyncClient, misbehave: Misbehave, account: str
) -> None:
    await misbehave(answers="closed", answer_delay_ms=30_000)
    assert (await wire.get("/api/v1/faults")).json()["answers"] == "closed"
    assert (await wire.put(f"/api/v1/accounts/{BIN}/OTHER1", json={"owner_name": "B"})).status_code == 200
    assert (await wire.get("/app/faults")).status_code == 200
    assert (await wire.put("/api/v1/faults", json={})).status_code == 200
    assert await status(wire) == 200


async def test_every_answer_takes_its_time(wire: httpx.AsyncClient, misbehave: Misbehave, account: str) -> None:
    await misbehave(answer_delay_ms=300)
    began = time.monotonic()
    assert await status(wire) == 200
    assert 0.3 <= time.monotonic() - began < 2


async def test_a_share_of_the_answers_fails_and_the_same_seed_fails_the_same(
    wire: httpx.AsyncClient, misbehave: Misbehave, account: str
) -> None:
    async def run(seed: int) -> list[int]:
        await misbehave(answers="error_503", seed=seed, when={"answers": {"share": 0.3}})
        return [await status(wire) for _ in range(40)]

    first = await run(1)
    assert set(first) == {200, 503}
    assert 4 <= first.count(503) <= 22
    assert await run(1) == first
    assert await run(2) != first


async def test_a_stranger_uses_no_fault_up(wire: httpx.AsyncClient, misbehave: Misbehave, account: str) -> None:
    await misbehave(answers="error_500", when={"answers": {"next": 1}})
    stranger = await wire.get("/api/v1/transactions", params=LIST, headers={"authorization": "Bearer other"})
    assert stranger.status_code == 401
    assert [await status(wire), await status(wire)] == [500, 200]


async def test_a_payment_whose_answer_is_lost_was_made_and_is_made_once(
    wire: httpx.AsyncClient, api: httpx.AsyncClient, misbehave: Misbehave, account: str
) -> None:
    await misbehave(lose_payment_answers=True, when={"lose_payment_answers": {"next": 2}})
    body = payment()
    for _ in range(2):
        with pytest.raises(httpx.RemoteProtocolError):
            await wire.post("/api/v1/payments", json=body)
    answer = await wire.post("/api/v1/payments", json=body)
    assert (answer.status_code, answer.headers["idempotent-replayed"]) == (201, "true")
    assert (await api.get(f"/api/v1/accounts/{BIN}/{ACCOUNT}")).json()["balance_vnd"] == 70_000


async def test_a_refund_whose_answer_is_lost_is_found_by_its_id(
    wire: httpx.AsyncClient, api: httpx.AsyncClient, pay: Pay, misbehave: Misbehave
) -> None:
    paid = (await pay()).json()
    refund = {**payment(amount_vnd=20_000), "bank_ref": paid["bank_ref"]}
    await misbehave(answers="closed", when={"answers": {"next": 1}})
    with pytest.raises(httpx.RemoteProtocolError):
        await wire.post("/api/v1/refunds", json=refund)
    unknown = await wire.get(f"/api/v1/refunds/{refund['id']}")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "unknown_refund")

    await misbehave(lose_refund_answers=True, when={"lose_refund_answers": {"next": 1}})
    with pytest.raises(httpx.RemoteProtocolError):
        await wire.post("/api/v1/refunds", json=refund)
    assert (await wire.get(f"/api/v1/refunds/{refund['id']}")).json()["state"] in ("accepted", "sent", "settled")
    assert (await wire.post("/api/v1/refunds", json=refund)).headers["idempotent-replayed"] == "true"
    assert (await api.get(f"/api/v1/accounts/{BIN}/{ACCOUNT}")).json()["balance_vnd"] == 50_000
