"""The list and the balance, and how a bank in trouble tells them: pages that overlap, lines that are late or undone."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.mock_bank.receiving import ACCOUNT, BIN, Misbehave, Pay, Receiver


async def page(api: httpx.AsyncClient, **query: str) -> dict[str, Any]:
    answer = await api.get("/api/v1/transactions", params={"bin": BIN, "account": ACCOUNT, **query})
    return dict(answer.raise_for_status().json())


async def walk(api: httpx.AsyncClient, **query: str) -> tuple[list[dict[str, Any]], str]:
    """All items from a cursor or a time to the end, and the last cursor."""
    items: list[dict[str, Any]] = []
    for _ in range(100):
        got = await page(api, **query)
        items += got["items"]
        query["after"] = got["next_cursor"]
        if not got["has_more"]:
            return items, got["next_cursor"]
    raise AssertionError("the list never ends")


async def balance(api: httpx.AsyncClient, **query: str) -> dict[str, Any]:
    answer = await api.get(f"/api/v1/accounts/{BIN}/{ACCOUNT}/balance", params=query)
    return dict(answer.raise_for_status().json())


async def until(api: httpx.AsyncClient, count: int) -> list[dict[str, Any]]:
    """The list, as soon as it has so many items."""
    async with asyncio.timeout(5):
        while len((await page(api))["items"]) < count:
            await asyncio.sleep(0.02)
    return list((await page(api))["items"])


def amounts(items: list[dict[str, Any]]) -> list[int]:
    return [item["amount_vnd"] for item in items]


async def standing_clock(api: httpx.AsyncClient, at: str) -> None:
    (await api.put("/clock", json={"at": at, "rate": 0})).raise_for_status()


async def test_a_page_begins_with_the_end_of_the_page_before(
    api: httpx.AsyncClient, pay: Pay, misbehave: Misbehave
) -> None:
    for amount_vnd in range(1, 8):
        await pay(amount_vnd=amount_vnd)
    await misbehave(list_overlap=2)
    first = await page(api, limit="4")
    second = await page(api, limit="4", after=first["next_cursor"])
    assert (amounts(first["items"]), amounts(second["items"])) == ([1, 2, 3, 4], [3, 4, 5, 6])
    last = await page(api, limit="4", after=second["next_cursor"])
    assert (amounts(last["items"]), last["has_more"]) == ([5, 6, 7], False)
    again = await page(api, after=last["next_cursor"])
    assert (amounts(again["items"]), again["next_cursor"]) == ([6, 7], last["next_cursor"])


@pytest.mark.parametrize("limit", ["1", "2", "5"])
async def test_whoever_walks_an_overlapping_list_comes_to_its_end(
    api: httpx.AsyncClient, pay: Pay, misbehave: Misbehave, limit: str
) -> None:
    for amount_vnd in range(1, 8):
        await pay(amount_vnd=amount_vnd)
    await misbehave(list_overlap=100)
    assert set(amounts((await walk(api, limit=limit))[0])) == set(range(1, 8))


async def test_a_late_line_is_booked_at_once_and_listed_later_with_its_old_number(
    api: httpx.AsyncClient, pay: Pay, misbehave: Misbehave, receiver: Receiver
) -> None:
    await standing_clock(api, "2026-11-21T10:00:00+07:00")
    await misbehave(list_late_seconds=600, when={"list_late_seconds": {"next": 1}})
    await pay(amount_vnd=1)
    await pay(amount_vnd=2)
    items, cursor = await walk(api)
    assert amounts(items) == [2]
    assert (await balance(api))["closing_vnd"] == 3, "the balance knows it already"
    await receiver.has(2)

    await standing_clock(api, "2026-11-21T10:10:00+07:00")
    assert amounts((await walk(api))[0]) == [1, 2], "in the order of booking"
    assert amounts((await walk(api, after=cursor))[0]) == [], "the cursor has passed it"
    assert amounts((await walk(api, after=cursor, since="2026-11-21T09:00:00+07:00"))[0]) == []
    assert amounts((await walk(api, since="2026-11-21T09:10:00+07:00"))[0]) == [1, 2]


async def test_since_tells_what_was_booked_then_or_later(api: httpx.AsyncClient, pay: Pay) -> None:
    for minute in (0, 1, 2):
        await standing_clock(api, f"2026-11-21T10:0{minute}:00+07:00")
        await pay(amount_vnd=minute + 1)
    assert amounts((await walk(api, since="2026-11-21T03:01:00Z", limit="1"))[0]) == [2, 3]
    refused = await api.get(
        "/api/v1/transactions", params={"bin": BIN, "account": ACCOUNT, "since": "2026-11-21T10:00"}
    )
    assert refused.status_code == 422


async def test_a_client_that_asks_with_an_overlap_of_an_hour_loses_nothing(
    api: httpx.AsyncClient, pay: Pay, misbehave: Misbehave
) -> None:
    at = datetime.fromisoformat("2026-11-21T08:00:00+07:00")
    await misbehave(list_late_seconds=3600, list_overlap=3, seed=4, when={"list_late_seconds": {"share": 0.5}})
    known: set[str] = set()
    by_cursor: set[str] = set()
    cursor, walked_at = "", at
    for quarter in range(16):
        now = at + timedelta(minutes=15 * quarter)
        await standing_clock(api, now.isoformat())
        for _ in range(3 if quarter < 11 else 0):
            await pay(amount_vnd=1)
        items, cursor = await walk(api, limit="5", **({"after": cursor} if cursor else {}))
        by_cursor |= {item["bank_ref"] for item in items}
        items, _ = await walk(api, limit="5", since=(walked_at - timedelta(minutes=61)).isoformat())
        known |= {item["bank_ref"] for item in items}
        walked_at = now
    assert len(known) == 33 == (await balance(api))["credits"]
    assert len(by_cursor) < 33, "a cursor alone would have lost some"


async def test_the_balance_of_a_day_is_opening_and_credits_less_debits(
    api: httpx.AsyncClient, pay: Pay, misbehave: Misbehave
) -> None:
    await standing_clock(api, "2026-11-20T23:59:59.999999+07:00")
    await pay(amount_vnd=1_000)
    await standing_clock(api, "2026-11-21T00:00:00+07:00")
    await pay(amount_vnd=200)
    await misbehave(reverse_after_seconds=0)
    await pay(amount_vnd=30)
    await until(api, 4)
    usual = {"bin": BIN, "account": ACCOUNT, "as_of": "2026-11-21T00:00:00+07:00"}
    assert await balance(api) == {
        **usual,
        "day": "2026-11-21",
        "opening_vnd": 1_000,
        "credits_vnd": 230,
        "credits": 2,
        "debits_vnd": 30,
        "debits": 1,
        "closing_vnd": 1_200,
    }
    before = await balance(api, day="2026-11-20")
    assert (before["opening_vnd"], before["credits_vnd"], before["closing_vnd"]) == (0, 1_000, 1_000)
    assert (await balance(api, day="2026-11-22"))["opening_vnd"] == 1_200
    assert (await api.get(f"/api/v1/accounts/{BIN}/404404/balance")).json()["code"] == "unknown_account"


async def test_a_credit_is_taken_back_by_a_debit_that_names_it(
    api: httpx.AsyncClient, pay: Pay, misbehave: Misbehave, receiver: Receiver
) -> None:
    await misbehave(reverse_after_seconds=0, text_style="clean", when={"reverse_after_seconds": {"next": 1}})
    paid = (await pay()).json()
    credit, debit = await until(api, 2)
    assert credit["bank_ref"] == paid["bank_ref"] and "kind" not in credit
    assert (debit["direction"], debit["kind"], debit["relates_to"]) == ("debit", "reversal", paid["bank_ref"])
    assert (debit["amount_vnd"], debit["payee_account"]) == (paid["amount_vnd"], paid["payer_account"])
    assert debit["bank_ref"] != paid["bank_ref"]
    await receiver.has(2)
    assert debit in receiver.told
    assert (await api.get(f"/api/v1/accounts/{BIN}/{ACCOUNT}")).json()["balance_vnd"] == 0


async def test_a_credit_is_taken_back_in_its_time_and_once(
    api: httpx.AsyncClient, pay: Pay, misbehave: Misbehave
) -> None:
    await standing_clock(api, "2026-11-21T10:00:00+07:00")
    await misbehave(reverse_after_seconds=86_400)
    await pay()
    await asyncio.sleep(0.1)
    assert len((await page(api))["items"]) == 1
    await standing_clock(api, "2026-11-22T10:00:00+07:00")
    assert (await until(api, 2))[1]["booked_at"].startswith("2026-11-22T10:00:00")
    await standing_clock(api, "2026-11-23T10:00:00+07:00")
    await asyncio.sleep(0.1)
    assert len((await page(api))["items"]) == 2


async def test_the_customer_sees_money_that_came_back(
    phone: httpx.AsyncClient, api: httpx.AsyncClient, pay: Pay, misbehave: Misbehave
) -> None:
    await misbehave(reverse_after_seconds=0)
    await pay()
    await until(api, 2)
    history = (await phone.get("/app/history")).text
    assert "+70,000 ₫" in history
    assert "−70,000 ₫" in history
