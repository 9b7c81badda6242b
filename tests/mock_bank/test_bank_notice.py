"""Notices on their way to an account's owner: signed, at least once, and sometimes not at all."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from pydantic import ValidationError
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from mock_bank.settings import Settings
from tests.mock_bank.receiving import BIN, KEY, SECRETS, BankProcess, Pay, Receiver


async def settled(db: asyncpg.Pool[Any], state: str) -> Any:
    """Wait until the only notice is in this state."""
    async with asyncio.timeout(5):
        while True:
            row = await db.fetchrow("SELECT state, sends, failures FROM mock_bank.notice")
            if row is not None and row["state"] == state:
                return row
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("secret", SECRETS)
async def test_a_notice_can_be_verified_with_either_secret(pay: Pay, receiver: Receiver, secret: str) -> None:
    paid = (await pay()).json()
    await receiver.has(1)
    headers, body = receiver.got[0]
    told = Webhook(secret).verify(body, headers)
    assert told["type"] == "transaction.booked"
    assert told["timestamp"] == paid["booked_at"]
    assert told["data"] == {name: fact for name, fact in paid.items() if name != "id"}


async def test_a_notice_that_was_changed_on_its_way_cannot_be_verified(pay: Pay, receiver: Receiver) -> None:
    await pay()
    await receiver.has(1)
    headers, body = receiver.got[0]
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRETS[0]).verify(body.replace(b"70000", b"80000"), headers)


async def test_a_notice_leaves_at_once(pay: Pay, receiver: Receiver) -> None:
    await pay()
    gaps = []
    for count in range(2, 7):
        await pay()
        booked = time.monotonic()
        await receiver.has(count)
        gaps.append(receiver.at[-1] - booked)
    assert sorted(gaps)[2] < 0.05


async def test_a_refused_notice_comes_again_under_the_same_id(
    pay: Pay, receiver: Receiver, db: asyncpg.Pool[Any]
) -> None:
    receiver.answers = [500, 302, 404]
    await pay()
    row = await settled(db, "delivered")
    assert (row["sends"], row["failures"]) == (4, 3)
    assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 1
    assert len({body for _, body in receiver.got}) == 1
    for headers, body in receiver.got:
        Webhook(SECRETS[1]).verify(body, headers)


async def test_after_eight_refusals_the_bank_falls_silent(pay: Pay, receiver: Receiver, db: asyncpg.Pool[Any]) -> None:
    receiver.answers = [500] * 20
    await pay()
    row = await settled(db, "silent")
    assert (row["sends"], row["failures"]) == (8, 8)
    await asyncio.sleep(0.1)
    assert len(receiver.got) == 8


async def test_a_lost_notice_is_never_sent_but_its_money_is_listed(
    api: httpx.AsyncClient, pay: Pay, receiver: Receiver, db: asyncpg.Pool[Any]
) -> None:
    await api.put("/api/v1/faults", json={"lose_notices": True})
    lost = (await pay(amount_vnd=1)).json()
    await api.put("/api/v1/faults", json={})
    await pay(amount_vnd=2)
    await receiver.has(1)
    await asyncio.sleep(0.05)
    assert [json.loads(body)["data"]["amount_vnd"] for _, body in receiver.got] == [2]
    told = (await api.get("/api/v1/transactions", params={"bin": BIN, "account": lost["account"]})).json()["items"]
    assert told[0]["bank_ref"] == lost["bank_ref"]


async def test_a_repeated_notice_is_the_same_notice(
    api: httpx.AsyncClient, pay: Pay, receiver: Receiver, db: asyncpg.Pool[Any]
) -> None:
    await api.put("/api/v1/faults", json={"repeat_notices": 3})
    await pay()
    await settled(db, "delivered")
    assert len(receiver.got) == 3
    assert len({(headers["webhook-id"], body) for headers, body in receiver.got}) == 1


async def test_a_late_notice_waits(api: httpx.AsyncClient, pay: Pay, receiver: Receiver, db: asyncpg.Pool[Any]) -> None:
    await api.put("/api/v1/faults", json={"delay_seconds": 3600})
    await pay()
    await asyncio.sleep(0.1)
    assert receiver.got == []
    await db.execute("UPDATE mock_bank.notice SET due_at = due_at - interval '1 hour'")
    await receiver.has(1)


async def test_an_account_without_an_address_gets_no_notices(
    api: httpx.AsyncClient, pay: Pay, db: asyncpg.Pool[Any]
) -> None:
    await api.put(f"/api/v1/accounts/{BIN}/NOHOOK", json={"owner_name": "B"})
    assert (await pay(account="NOHOOK")).status_code == 201
    assert await db.fetchval("SELECT count(*) FROM mock_bank.notice") == 0


async def test_a_receiver_that_is_away_does_not_hold_up_another(
    api: httpx.AsyncClient, pay: Pay, receiver: Receiver
) -> None:
    await api.put(f"/api/v1/accounts/{BIN}/AWAY", json={"owner_name": "B", "webhook_url": "http://127.0.0.1:9/"})
    await asyncio.gather(*(pay(account="AWAY") for _ in range(20)))
    await pay()
    await receiver.has(1, within=1)


async def test_a_bank_killed_in_the_middle_loses_no_notice(
    settings: Settings, receiver: Receiver, tmp_path: Path
) -> None:
    process = BankProcess(settings, tmp_path, port=20_000 + os.getpid() % 20_000)
    async with httpx.AsyncClient(base_url=process.url, headers=KEY, trust_env=False) as api:
        bank = await process.started(api)
        try:
            wanted = {"owner_name": "A", "webhook_url": receiver.url}
            (await api.put(f"/api/v1/accounts/{BIN}/KILLED", json=wanted)).raise_for_status()
            receiver.answers = [500] * 5
            for number in range(5):
                body = {"id": f"00000000-0000-4000-8000-00000000000{number}", "bin": BIN, "account": "KILLED"}
                (await api.post("/api/v1/payments", json={**body, "amount_vnd": 1 + number})).raise_for_status()
            bank.send_signal(signal.SIGKILL)
            await bank.wait()
            connection = await asyncpg.connect(settings.database_url)  # the dead bank's leases run out
            await connection.execute("UPDATE mock_bank.notice SET due_at = clock_timestamp() WHERE state = 'waiting'")
            await connection.close()
            bank = await process.started(api)
            async with asyncio.timeout(20):
                while len({json.loads(body)["data"]["bank_ref"] for _, body in receiver.got[5:]}) < 5:
                    await asyncio.sleep(0.05)
        finally:
            bank.terminate()
            await bank.wait()


@pytest.mark.parametrize("secret", ["", " , ", "whsec_", "plain", "whsec_c2hvcnQ=", "whsec_!", f"{SECRETS[0]},whsec_"])
def test_a_weak_secret_is_refused(secret: str) -> None:
    usual: dict[str, Any] = {"database_url": "postgresql:///x", "environment": "demo", "api_key": "k"}
    with pytest.raises(ValidationError, match="secret"):
        Settings(**usual, webhook_secret=secret)


def test_without_a_secret_the_bank_does_not_start(tmp_path: Path) -> None:
    surroundings = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "BANK_DATABASE_URL": "postgresql:///nowhere",
        "BANK_ENVIRONMENT": "demo",
        "BANK_API_KEY": "key",
        "BANK_WEBHOOK_SECRET": "",
    }
    run = subprocess.run(
        [sys.executable, "-m", "mock_bank"], env=surroundings, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert run.returncode == 2
    assert "BANK_WEBHOOK_SECRET" in run.stderr
    assert "Traceback" not in run.stderr


def test_an_unreachable_database_is_one_clear_sentence(tmp_path: Path) -> None:
    surroundings = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "BANK_DATABASE_URL": "postgresql://nobody:hunter2@127.0.0.1:9/none",
        "BANK_ENVIRONMENT": "demo",
        "BANK_API_KEY": "key",
        "BANK_WEBHOOK_SECRET": SECRETS[0],
    }
    run = subprocess.run(
        [sys.executable, "-m", "mock_bank"], env=surroundings, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert run.returncode == 2
    assert len(run.stderr.strip().splitlines()) == 1
    assert "BANK_DATABASE_URL" in run.stderr
    assert "hunter2" not in run.stderr
