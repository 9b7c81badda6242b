"""Finance pays out by its pages: sees what is owed, makes a run, another lets it go, and reads what became of it."""

from __future__ import annotations

import hashlib
import re
import secrets
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import httpx
import pytest
from acts import log_in, press
from paying import Desk
from trade import Trade

from foundation import clock
from foundation.database import Tx
from payments import payout
from payments.working_days import after


@pytest.fixture
async def desk(trade: Trade) -> Desk:
    """An operator with a settled day of 70,000."""
    made = await Desk.of(trade)
    await trade.pays(trade.line(70_000))
    await made.settled(clock.hanoi_day(trade.now))
    return made


async def made(clerk: httpx.AsyncClient) -> str:
    """A run made on the page; its path."""
    answer = await press(clerk, "/finance/payouts", "/finance/payouts", key=secrets.token_hex(8))
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


async def test_what_is_owed_is_shown_before_anything_was_made(desk: Desk, clerk: httpx.AsyncClient) -> None:
    shown = (await clerk.get("/finance/payouts?lang=en")).text
    for said in ("41,650", "28,000", "350", "can be paid", "No payout has been made yet.", "KBNN KHU VUC I"):
        assert said in shown, said


async def test_what_should_have_been_paid_out_is_late_by_days(
    desk: Desk, trade: Trade, clerk: httpx.AsyncClient, admin: asyncpg.Connection
) -> None:
    assert "1 days late" not in (await clerk.get("/finance/payouts?lang=en")).text
    async with trade.database.transaction(trade.operator_id) as tx:
        (city,) = [each for each in await payout.owed(tx, now=trade.now) if each.payee.kind == "city_budget"]
    assert city.due_on == after(clock.hanoi_day(trade.now), 1)
    assert city.late_days(city.due_on + timedelta(days=3)) == 3


async def test_one_makes_it_another_lets_exactly_that_file_go(
    desk: Desk, client: httpx.AsyncClient, admin: asyncpg.Connection
) -> None:
    await log_in(client, "ketoan@vanmieu")
    path = await made(client)
    assert "another person has to let it go" in (await client.get(f"{path}?lang=en")).text
    file = (await client.get(f"{path}/file.xml")).content
    for reason in ("", "  "):
        assert (await press(client, path, f"{path}/cancel", reason=reason)).status_code == 422
    await client.post("/finance/logout")
    client.cookies.clear()
    await log_in(client, "quanly@vanmieu")
    page = (await client.get(f"{path}?lang=en")).text
    digest = re.search(r'name="digest" value="([0-9a-f]{64})"', page)
    assert digest and digest[1] == hashlib.sha256(file).hexdigest()
    stale = await press(client, path, f"{path}/approve", digest="0" * 64)
    assert (stale.status_code, await admin.fetchval("select count(*) from payments.payout where state = 'draft'")) == (
        409,
        3,
    )
    assert (await press(client, path, f"{path}/approve", digest=digest[1])).status_code == 303
    desk.bank.ids = [row["id"] for row in await admin.fetch("select id from payments.payout")]
    await desk.works()
    said = (await client.get("/api/v1/finance/payouts")).json()
    assert [row["state"] for row in said[0]["payouts"]] == ["accepted"] * 3
    assert said[0]["amount_vnd"] == 70_000


async def test_the_second_press_is_the_same_run(
    desk: Desk, clerk: httpx.AsyncClient, admin: asyncpg.Connection
) -> None:
    shown = (await clerk.get("/finance/payouts")).text
    csrf, key = (re.search(rf'name="{name}" value="([^"]+)"', shown) for name in ("csrf", "key"))
    assert csrf and key
    first, second = [await clerk.post("/finance/payouts", data={"csrf": csrf[1], "key": key[1]}) for _ in range(2)]
    assert first.headers["location"] == second.headers["location"]
    assert await admin.fetchval("select count(*) from payments.payout_run") == 1
    assert (
        await press(clerk, first.headers["location"], first.headers["location"] + "/cancel", reason="nhầm")
    ).status_code == 303


async def test_new_bank_details_wait_for_another_person_and_two_days(desk: Desk, client: httpx.AsyncClient) -> None:
    await log_in(client, "ketoan@vanmieu")
    city = desk.payees["city_budget"]
    said = {"bin": "970436", "account": "123456789", "owner_name": "NGAN SACH", "contact": "0912 345 678"}
    assert (await press(client, "/finance/payouts", f"/finance/payees/{city}/account", **said)).status_code == 303
    shown = (await client.get("/finance/payouts?lang=en")).text
    assert "details wait for a second person" in shown
    assert "another person has to agree" in shown
    wrong = await press(client, "/finance/payouts", f"/finance/payees/{city}/account", **{**said, "account": "12"})
    assert wrong.status_code in (409, 422)
    client.cookies.clear()
    await log_in(client, "quanly@vanmieu")
    agree = f"/finance/payees/{city}/account/2/agree"
    assert (await press(client, "/finance/payouts", agree, told=" ")).status_code == 422
    assert (await press(client, "/finance/payouts", agree, told="gọi")).status_code == 303
    assert "details can be used from" in (await client.get("/finance/payouts?lang=en")).text


async def test_a_run_of_another_operator_is_not_found(desk: Desk, client: httpx.AsyncClient) -> None:
    id = await desk.makes()
    await log_in(client, "ketoan@dongda")
    for path in (f"/finance/payouts/{id}", f"/finance/payouts/{id}/file.xml"):
        assert (await client.get(path)).status_code == 404
    assert (await press(client, "/finance/payouts", f"/finance/payouts/{id}/cancel", reason="x")).status_code == 404


async def test_an_account_that_a_payout_came_back_from_waits_for_a_word_with_its_reason(
    desk: Desk, client: httpx.AsyncClient
) -> None:
    await desk.approves(await desk.makes())
    await desk.works()
    (paid, *_) = await desk.does(payout_rows)
    assert await desk.lists(paid["id"], paid["amount_vnd"], "D1")
    assert await desk.lists(paid["id"], paid["amount_vnd"], "R1", returns=True)
    trust = f"/finance/payees/{paid['payee_id']}/account/{paid['version']}/trust"
    await log_in(client, "ketoan@vanmieu")
    shown = (await client.get("/finance/payouts?lang=en")).text
    assert "the last payout came back" in shown
    assert "bị trả lại" in (await client.get("/finance/payouts?lang=vi")).text
    assert (await press(client, "/finance/payouts", trust, reason=" ")).status_code == 422
    assert (await press(client, "/finance/payouts", trust, reason="the bank was closed")).status_code == 303
    assert (await press(client, "/finance/payouts", trust, reason="the bank was closed")).status_code == 409
    assert "the last payout came back" not in (await client.get("/finance/payouts?lang=en")).text
    assert "the bank was closed" in (await client.get("/finance/audit")).text


async def payout_rows(tx: Tx, *, now: datetime) -> list[Any]:
    return await tx.rows("select * from payments.payout order by amount_vnd desc")
