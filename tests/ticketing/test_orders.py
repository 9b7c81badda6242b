"""Buying an entrance at `/S/<site>`: choose, pay, one code for the group; no JavaScript, no account."""

from __future__ import annotations

import asyncio

import asyncpg
import httpx
import pytest
from acts import code_of, hidden, notify, order, order_to_pay
from stage import Clock

from foundation.web import Platform
from ticketing.web import ORDERS_PER_ADDRESS


async def test_a_group_pays_once_and_gets_one_code(client: httpx.AsyncClient, admin: asyncpg.Connection) -> None:
    reference = await order_to_pay(client, adult=2, student=1, child=3)
    page = (await client.get(f"/pay/{reference}?lang=vi")).text
    assert "175.000" in page
    assert "TT VAN MIEU QUOC TU GIAM" in page
    await notify(client, text=f"MBVCB.{reference}.CT TU", amount_vnd=175_000)
    ticket = await client.get(f"/T/{await code_of(client, reference)}")
    assert ticket.status_code == 200
    assert "0 / 6" in ticket.text
    assert await admin.fetchval("select count(*) from ticketing.ticket") == 1


async def test_before_the_money_there_is_no_ticket(client: httpx.AsyncClient, admin: asyncpg.Connection) -> None:
    reference = await order_to_pay(client, adult=1)
    assert (await client.get(f"/pay/{reference}")).status_code == 200
    assert await admin.fetchval("select count(*) from ticketing.ticket") == 0


async def test_a_class_of_free_pupils_gets_its_ticket_at_once(
    client: httpx.AsyncClient, admin: asyncpg.Connection
) -> None:
    answer = await order(client, child=30)
    shown = await client.get(answer.headers["location"])
    assert shown.headers["location"].startswith("/T/")
    assert await admin.fetchval("select count(*) from payments.charge") == 0
    assert await admin.fetchval("select means from payments.free_note") == "FREE"


async def test_thang_long_costs_what_its_year_says(client: httpx.AsyncClient, clock: Clock) -> None:
    reference = await order_to_pay(client, "THANGLONG", adult=1)
    assert (await client.get(f"/api/v1/public/payments/{reference}")).json()["amount_vnd"] == 100_000
    for day, price in (("2023-06-01", 30_000), ("2024-06-01", 70_000), ("2025-01-01", 100_000)):
        site = (await client.get(f"/api/v1/public/sites/THANGLONG?day={day}")).json()
        assert site["categories"][0]["price_vnd"] == price


@pytest.mark.parametrize("category", ["adult", "child"])
async def test_the_second_click_is_the_same_order(
    client: httpx.AsyncClient, admin: asyncpg.Connection, category: str
) -> None:
    page = (await client.get("/S/VANMIEU")).text
    form = {"key": hidden(page, "key"), "day": hidden(page, "day"), f"heads_{category}": "1"}
    clicks = await asyncio.gather(*(client.post("/S/VANMIEU", data=form) for _ in range(4)))
    assert {click.status_code for click in clicks} == {303}
    assert len({click.headers["location"] for click in clicks}) == 1
    for table in ('ticketing."order"', "foundation.stored_answer"):
        assert await admin.fetchval(f"select count(*) from {table}") == 1
    for table in ("payments.charge", "payments.charge_line") if category == "adult" else ("ticketing.ticket",):
        assert await admin.fetchval(f"select count(*) from {table}") == 1
    changed = await client.post("/S/VANMIEU", data=form | {f"heads_{category}": "2"})
    assert changed.status_code == 422


async def test_what_is_no_form_is_refused(client: httpx.AsyncClient) -> None:
    page = (await client.get("/S/VANMIEU")).text
    form = f"key={hidden(page, 'key')}&day={hidden(page, 'day')}&heads_adult=1"
    urlencoded = {"content-type": "application/x-www-form-urlencoded"}
    for nothing in (b"", b"key=short", f"{form}&x=%ff".encode(), form.encode() + b"\xff", f"{form}&a=1".encode() * 300):
        answer = await client.post("/S/VANMIEU", content=nothing, headers=urlencoded)
        assert answer.status_code == 422, nothing[:80]


@pytest.mark.parametrize(
    ("heads", "status"),
    [
        ({"adult": ""}, 422),
        ({"adult": "-1"}, 422),
        ({"adult": "1.5"}, 422),
        ({"adult": "1e3"}, 422),
        ({"adult": "300"}, 409),
        ({"pirate": "1"}, 422),
    ],
)
async def test_what_is_no_group_is_refused_and_nothing_is_written(
    client: httpx.AsyncClient, admin: asyncpg.Connection, heads: dict[str, str], status: int
) -> None:
    page = (await client.get("/S/VANMIEU")).text
    form = {"key": hidden(page, "key"), "day": hidden(page, "day")} | {f"heads_{k}": v for k, v in heads.items()}
    answer = await client.post("/S/VANMIEU", data=form)
    assert answer.status_code == status
    assert 'role="alert"' in answer.text
    assert await admin.fetchval('select count(*) from ticketing."order"') == 0


async def test_no_ticket_is_sold_for_yesterday_or_next_year(client: httpx.AsyncClient) -> None:
    assert (await order(client, day="2020-01-01", adult=1)).status_code == 409
    assert (await order(client, day="2199-01-01", adult=1)).status_code == 422


async def test_money_for_a_day_that_is_over_is_kept_for_its_payer(
    client: httpx.AsyncClient, admin: asyncpg.Connection, clock: Clock
) -> None:
    await clock.move_to("2030-03-01 10:00")
    reference = await order_to_pay(client, adult=1)
    await clock.move_to("2030-03-02 10:00")
    await notify(client, text=reference, amount_vnd=70_000)
    page = (await client.get(f"/pay/{reference}?lang=en")).text
    assert "goes back" in page
    assert await admin.fetchval("select count(*) from ticketing.ticket") == 0
    held = await admin.fetchrow("select reason, amount_vnd from payments.held")
    assert tuple(held) == ("refused", 70_000)


async def test_a_stranger_cannot_guess_an_order_or_a_site(client: httpx.AsyncClient) -> None:
    reference = await order_to_pay(client, adult=1)
    for path in ("/S/VANMIEU/AAAAAAAAAAAAAAAAAAAAAA", "/S/NOWHERE", f"/pay/{reference[:-1]}", "/T/AAAA"):
        answer = await client.get(path)
        assert answer.status_code == 404, path
        assert "Một Chạm" in answer.text


async def test_one_address_cannot_order_without_limit(
    client: httpx.AsyncClient, here: Platform, admin: asyncpg.Connection
) -> None:
    for _ in range(int(ORDERS_PER_ADDRESS.partition("/")[0]) - 1):
        here.limits.bound(ORDERS_PER_ADDRESS, "order", "127.0.0.1")
    assert (await order(client, adult=1)).status_code == 303
    refused = await client.post(
        "/S/VANMIEU?lang=en", data={"key": "one-too-many", "day": "2026-12-01", "heads_adult": "2"}
    )
    assert refused.status_code == 429
    assert "Too many tries" in refused.text
    assert 'value="2"' in refused.text  # what was typed stays
    assert await admin.fetchval('select count(*) from ticketing."order"') == 1


async def test_the_sign_opens_our_page_and_cannot_be_paid(client: httpx.AsyncClient) -> None:
    for size in ("A4", "A5"):
        sign = (await client.get(f"/S/VANMIEU/sign?size={size}")).text
        assert "test.local/S/VANMIEU" in sign
        assert "000201" not in sign
        assert f"sheet {size.lower()}" in sign
