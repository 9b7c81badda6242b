"""What a stay owes, when it may leave, and what its money does: fees, grace, holds, the rest, the way back."""

from __future__ import annotations

import asyncio

import asyncpg
import httpx
import pytest
from acts import enrolled, log_in, press
from driving import amount, due, held, look, open_shift, park, press_pay, transfer
from stage import Clock

import payments
from foundation.database import NOBODY
from foundation.web import Platform
from parking import stay as stays


@pytest.mark.parametrize(
    ("until", "fee_vnd"),
    [
        ("2026-12-01 09:10", 25_000),
        ("2026-12-01 10:59", 50_000),
        ("2026-12-01 11:01", 85_000),
        ("2026-12-01 12:59", 120_000),
        ("2026-12-01 16:59", 300_000),
        ("2026-12-01 17:01", 345_000),
        ("2026-12-02 08:59", 50_000 + 70_000 + 20 * 45_000),
    ],
)
async def test_a_car_pays_for_each_started_hour(
    client: httpx.AsyncClient, clock: Clock, until: str, fee_vnd: int
) -> None:
    await clock.move_to("2026-12-01 09:00")
    stay = await park(client)
    await clock.move_to(until)
    page = await look(client, stay)
    assert amount(page, "due") == amount(page, "fee") == fee_vnd


@pytest.mark.parametrize(
    ("entered", "until", "fee_vnd"),
    [
        ("2026-12-01 08:00", "2026-12-01 17:59", 5_000),
        ("2026-12-01 19:00", "2026-12-02 05:59", 8_000),
        ("2026-12-01 17:00", "2026-12-01 19:00", 12_000),
        ("2026-12-01 08:00", "2026-12-02 07:59", 12_000),
        ("2026-12-01 08:00", "2026-12-02 09:00", 17_000),
        ("2026-12-01 08:00", "2026-12-03 07:59", 24_000),
    ],
)
async def test_a_motorbike_pays_a_turn_by_day_by_night_or_for_24_hours(
    client: httpx.AsyncClient, clock: Clock, entered: str, until: str, fee_vnd: int
) -> None:
    await clock.move_to(entered)
    stay = await park(client, "VM1", "29-B1 123.45")
    await clock.move_to(until)
    assert await due(client, stay) == fee_vnd


async def test_the_page_says_how_the_fee_was_counted_and_until_when_it_stays(
    client: httpx.AsyncClient, clock: Clock
) -> None:
    await clock.move_to("2026-12-01 09:00")
    stay = await park(client)
    await clock.move_to("2026-12-01 13:30")
    page = await look(client, stay, "vi")
    for part in ("2 × 25.000\N{NO-BREAK SPACE}₫ (giờ 1–2)", "2 × 35.000\N{NO-BREAK SPACE}₫ (giờ 3–4)"):
        assert part in page
    assert "1 × 45.000\N{NO-BREAK SPACE}₫ (giờ 5)" in page
    assert "Số tiền này không đổi đến 14:00." in page


async def test_whoever_paid_may_leave_within_the_grace_time(
    client: httpx.AsyncClient, here: Platform, clock: Clock
) -> None:
    await clock.move_to("2026-12-01 09:00")
    tablet = await enrolled(client, here, operator="dongda")
    stay = await park(client)
    await clock.move_to("2026-12-01 09:50")
    await transfer(client, await press_pay(client, stay), "2026-12-01 09:50")
    page = await look(client, stay)
    assert "You may leave until 10:05" in page
    assert amount(page, "due") is None
    await clock.move_to("2026-12-01 10:04")
    gone = await tablet.does("vehicles/out", place=4, code=stay.removeprefix("/T/"))
    assert (gone["verdict"], gone["due_vnd"]) == ("left", 0)


async def test_the_grace_time_counts_from_the_banks_time_however_late_the_news(
    client: httpx.AsyncClient, here: Platform, clock: Clock
) -> None:
    await clock.move_to("2026-12-01 09:00")
    tablet = await enrolled(client, here, operator="dongda")
    early, late = await park(client, plate="30A-111.11"), await park(client, plate="30A-222.22")
    await clock.move_to("2026-12-01 09:55")
    references = [await press_pay(client, early), await press_pay(client, late)]
    await clock.move_to("2026-12-01 10:07")
    for reference in references:
        await transfer(client, reference, "2026-12-01 09:55")
    assert "You may leave until 10:10" in await look(client, early)
    await clock.move_to("2026-12-01 10:09")
    assert (await tablet.does("vehicles/out", place=4, code=early.removeprefix("/T/")))["verdict"] == "left"
    await clock.move_to("2026-12-01 10:11")
    refused = await tablet.does("vehicles/out", place=4, code=late.removeprefix("/T/"))
    assert (refused["verdict"], refused["fee_vnd"], refused["due_vnd"]) == ("unpaid", 50_000, 25_000)


async def test_a_shown_amount_holds_for_ten_minutes_although_the_hour_is_over(
    client: httpx.AsyncClient, clock: Clock
) -> None:
    await clock.move_to("2026-12-01 09:00")
    in_time, too_late = await park(client, plate="30A-111.11"), await park(client, plate="30A-222.22")
    await clock.move_to("2026-12-01 09:55")
    references = {stay: await press_pay(client, stay) for stay in (in_time, too_late)}
    await clock.move_to("2026-12-01 10:04")
    assert await due(client, in_time) == 50_000
    await transfer(client, references[in_time], "2026-12-01 10:04")
    assert "You may leave until 10:19" in await look(client, in_time)
    await clock.move_to("2026-12-01 10:07")
    await transfer(client, references[too_late], "2026-12-01 10:07")
    page = await look(client, too_late)
    assert amount(page, "due") == 25_000
    assert "25,000\N{NO-BREAK SPACE}₫ is paid" in page


async def test_a_late_payment_that_covers_the_fee_of_its_time_opens_the_way_out(
    client: httpx.AsyncClient, clock: Clock
) -> None:
    await clock.move_to("2026-12-01 09:00")
    stay = await park(client)
    await clock.move_to("2026-12-01 09:10")
    reference = await press_pay(client, stay)
    await clock.move_to("2026-12-01 09:45")
    await transfer(client, reference, "2026-12-01 09:45")
    assert "You may leave until 10:00" in await look(client, stay)


async def test_whoever_stays_on_after_paying_owes_the_difference(
    client: httpx.AsyncClient, here: Platform, clock: Clock
) -> None:
    await clock.move_to("2026-12-01 09:00")
    tablet = await enrolled(client, here, operator="dongda")
    stay = await park(client)
    await clock.move_to("2026-12-01 10:30")
    await transfer(client, await press_pay(client, stay), "2026-12-01 10:30")
    await clock.move_to("2026-12-01 12:10")
    refused = await tablet.does("vehicles/out", place=4, code=stay.removeprefix("/T/"))
    assert (refused["verdict"], refused["fee_vnd"], refused["due_vnd"]) == ("unpaid", 120_000, 70_000)
    assert await due(client, stay) == 70_000
    await transfer(client, await press_pay(client, stay), "2026-12-01 12:10")
    assert amount(await look(client, stay), "settled") == 120_000
    assert (await tablet.does("vehicles/out", place=4, code=stay.removeprefix("/T/")))["verdict"] == "left"


async def test_what_was_paid_covers_the_time_it_was_paid_for_also_after_the_grace_time(
    client: httpx.AsyncClient, here: Platform, clock: Clock
) -> None:
    await clock.move_to("2026-12-01 09:00")
    tablet = await enrolled(client, here, operator="dongda")
    stay = await park(client)
    await transfer(client, await press_pay(client, stay), "2026-12-01 09:00")
    await clock.move_to("2026-12-01 09:50")
    gone = await tablet.does("vehicles/out", place=4, code=stay.removeprefix("/T/"))
    assert (gone["verdict"], gone["fee_vnd"]) == ("left", 25_000)


async def test_two_clicks_are_one_charge_and_another_amount_is_another(
    client: httpx.AsyncClient, clock: Clock, admin: asyncpg.Connection
) -> None:
    await clock.move_to("2026-12-01 09:00")
    stay = await park(client)
    at_once = await asyncio.gather(*(press_pay(client, stay) for _ in range(8)))
    assert len(set(at_once)) == 1
    await clock.move_to("2026-12-01 09:09")
    assert await press_pay(client, stay) == at_once[0]
    await clock.move_to("2026-12-01 09:11")
    again = await press_pay(client, stay)
    assert again != at_once[0]
    await clock.move_to("2026-12-01 10:01")
    assert await press_pay(client, stay) != again
    assert [row[0] for row in await admin.fetch("select amount_vnd from payments.charge order by created_at")] == [
        25_000,
        25_000,
        50_000,
    ]


async def test_a_payment_made_in_part_stays_the_one_to_complete(client: httpx.AsyncClient, clock: Clock) -> None:
    await clock.move_to("2026-12-01 09:00")
    stay = await park(client)
    reference = await press_pay(client, stay)
    await transfer(client, reference, "2026-12-01 09:01", amount_vnd=10_000)
    page = await look(client, stay)
    assert "10,000\N{NO-BREAK SPACE}₫ has arrived. 15,000\N{NO-BREAK SPACE}₫ is still missing" in page
    await clock.move_to("2026-12-01 10:05")
    assert await press_pay(client, stay) == reference
    await transfer(client, reference, "2026-12-01 10:05", amount_vnd=15_000)
    page = await look(client, stay)
    assert amount(page, "settled") == 25_000
    assert amount(page, "due") == 25_000


async def test_money_for_a_stay_that_has_left_is_held_for_its_payer(
    client: httpx.AsyncClient, here: Platform, clock: Clock, admin: asyncpg.Connection
) -> None:
    await clock.move_to("2026-12-01 09:00")
    tablet = await enrolled(client, here, operator="dongda")
    await open_shift(here, tablet, operator="dongda", place=4)
    stay = await park(client)
    reference = await press_pay(client, stay)
    stay_id = str(await admin.fetchval("select id from parking.stay"))
    await tablet.does("cash/stay", place=4, stay_id=stay_id, amount_vnd=25_000, proxy=False)
    assert (await tablet.does("vehicles/out", place=4, stay_id=stay_id))["verdict"] == "left"
    await transfer(client, reference, "2026-12-01 09:01")
    held = await admin.fetch("select reason, amount_vnd from payments.held")
    assert [tuple(row) for row in held] == [("refused", 25_000)]
    assert await admin.fetchval("select settled_vnd from parking.stay") == 25_000


async def test_money_for_a_stay_that_somebody_paid_meanwhile_is_held_for_its_payer(
    client: httpx.AsyncClient, here: Platform, clock: Clock, admin: asyncpg.Connection
) -> None:
    await clock.move_to("2026-12-01 09:00")
    stay = await park(client)
    first = await press_pay(client, stay)
    await clock.move_to("2026-12-01 09:20")
    second = await press_pay(client, stay)
    for reference in (second, first):
        await transfer(client, reference, "2026-12-01 09:21")
    held = await admin.fetch("select reason, amount_vnd from payments.held")
    assert [tuple(row) for row in held] == [("refused", 25_000)]
    assert await admin.fetchval("select settled_vnd from parking.stay") == 25_000


async def test_a_second_payment_that_would_exceed_the_fee_is_held_and_the_rest_stays_due(
    client: httpx.AsyncClient, clock: Clock, admin: asyncpg.Connection
) -> None:
    await clock.move_to("2026-12-01 09:00")
    stay = await park(client)
    await clock.move_to("2026-12-01 10:30")
    first = await press_pay(client, stay)
    await clock.move_to("2026-12-01 12:10")
    second = await press_pay(client, stay)
    for reference in (first, second):
        await transfer(client, reference, "2026-12-01 12:10")
    page = await look(client, stay)
    assert (amount(page, "fee"), amount(page, "settled"), amount(page, "due")) == (120_000, 50_000, 70_000)
    assert [amount_vnd for _, amount_vnd in await held(admin)] == [120_000]


async def test_a_bank_clock_that_is_behind_takes_nothing_from_what_was_asked_and_paid(
    client: httpx.AsyncClient, clock: Clock, admin: asyncpg.Connection
) -> None:
    await clock.move_to("2026-12-01 09:00")
    stay = await park(client)
    await clock.move_to("2026-12-01 10:01")
    await transfer(client, await press_pay(client, stay), "2026-12-01 09:59")
    page = await look(client, stay)
    assert amount(page, "settled") == 50_000
    assert "You may leave until 10:16" in page
    assert await held(admin) == []


async def test_a_bank_clock_that_is_behind_does_not_turn_money_away(client: httpx.AsyncClient, clock: Clock) -> None:
    await clock.move_to("2026-12-01 09:00")
    stay = await park(client)
    await transfer(client, await press_pay(client, stay), "2026-12-01 08:59")
    assert "You may leave until 09:15" in await look(client, stay)


async def test_a_stay_that_costs_nothing_leaves_and_its_facts_are_noted(
    client: httpx.AsyncClient, here: Platform, clock: Clock, admin: asyncpg.Connection
) -> None:
    await admin.execute("update parking.tariff_row set rule = rule || '{\"free_minutes\": 10}' where place = 4")
    await clock.move_to("2026-12-01 09:00")
    tablet = await enrolled(client, here, operator="dongda")
    stay = await park(client)
    page = await look(client, stay)
    assert "Nothing due" in page
    assert "up to 10 minutes free" in page
    body = tablet.action(place=4, code=stay.removeprefix("/T/"))
    for _ in range(2):
        assert (await tablet.post("vehicles/out", body)).json()["verdict"] == "left"
    assert await admin.fetchval("select means from payments.free_note where purpose = 'parking.stay'") == "FREE"


async def test_finance_reads_what_a_stay_was_without_its_plate(
    client: httpx.AsyncClient, here: Platform, clock: Clock, admin: asyncpg.Connection
) -> None:
    await clock.move_to("2026-12-01 09:00")
    await park(client)
    row = await admin.fetchrow("select operator_id, id, short from parking.stay")
    assert row is not None
    async with here.database.transaction(row["operator_id"]) as tx:
        said = (await stays.describe(tx, [str(row["id"])]))[str(row["id"])]
    assert said.vi == f"Bãi ô tô Đống Đa: Ô tô đến 9 chỗ, mã {row['short'][:5]} {row['short'][5:]}, 01/12/2026 09:00"
    assert said.en.startswith("Dong Da car park: Car, up to 9 seats, code ")
    assert "12345" not in said.vi
    async with here.database.transaction(NOBODY) as tx:
        assert await stays.describe(tx, [str(row["id"])]) == {}


async def test_the_facts_of_a_charge_say_what_the_statistics_need(
    client: httpx.AsyncClient, clock: Clock, admin: asyncpg.Connection
) -> None:
    await clock.move_to("2026-12-01 23:30")
    stay = await park(client, "VM1", None, "bicycle")
    await press_pay(client, stay)
    row = await admin.fetchrow(
        'select purpose, amount_vnd, service, place, ward, "class", service_day::text, environment'
        " from payments.charge_line"
    )
    assert row is not None
    assert tuple(row) == ("parking.stay", 5_000, "parking", 2, "00226", "bicycle", "2026-12-01", "test")
    assert stays.PURPOSE == "parking.stay"
    assert payments.AmountChanged.code == "amount_changed"


async def test_a_stay_given_back_as_a_whole_is_due_again_until_the_vehicle_has_left(
    client: httpx.AsyncClient, clock: Clock, admin: asyncpg.Connection
) -> None:
    await clock.move_to("2026-12-01 09:00")
    stay = await park(client)
    await clock.move_to("2026-12-01 09:10")
    reference = await press_pay(client, stay)
    await transfer(client, reference, "2026-12-01 09:10")
    assert await due(client, stay) is None
    await log_in(client, "ketoan@dongda")
    page = f"/finance/charges/{reference}"

    async def gives_back(amount_vnd: int) -> None:
        form = {"amount_vnd": str(amount_vnd), "reason": "trả nhầm xe", "key": str(amount_vnd)}
        assert (await press(client, page, f"{page}/give-back", **form)).status_code == 303

    await gives_back(10_000)
    assert await due(client, stay) is None, "a part is money only"
    await gives_back(15_000)
    assert await due(client, stay) == 25_000
    assert "is being sent back" in await look(client, stay)

    again = await press_pay(client, stay)
    assert again != reference
    await transfer(client, again, "2026-12-01 09:10")
    await admin.execute("update parking.stay set left_at = foundation.now()")
    page = f"/finance/charges/{again}"
    await gives_back(25_000)
    assert await admin.fetchval("select settled_vnd from parking.stay") == 25_000, "what has left owes nothing"
    said = await admin.fetch(
        "select after ->> 'used' as used from foundation.audit_entry where act = 'charge.given_back' order by id"
    )
    assert [row["used"] for row in said] == ["false", "false", "true"], "it had left"
