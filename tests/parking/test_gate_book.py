"""The gate book: every vehicle is counted as it stands and as the tablets logged it, and what left was paid for."""

from __future__ import annotations

import csv
import io
from typing import Any

import asyncpg
import httpx
import openpyxl
import pytest
from acts import Tablet, enrolled, log_in
from driving import CAR, look, open_shift, park, press_pay, transfer
from stage import Clock

from foundation.web import Platform

DAY = "2026-12-01"
OF_DONGDA = "select id from foundation.operator where code = 'dongda'"


@pytest.fixture
async def tablet(client: httpx.AsyncClient, here: Platform, clock: Clock) -> Tablet:
    """A tablet at the car lot of Đống Đa, in the morning, its attendant's drawer open."""
    await clock.move_to(f"{DAY} 08:00")
    opened = await enrolled(client, here, operator="dongda")
    await open_shift(here, opened, operator="dongda", place=4)
    assert (await log_in(client, "ketoan@dongda")).status_code == 303
    return opened


async def comes(tablet: Tablet, plate: str) -> dict[str, Any]:
    said = await tablet.does("vehicles/in", place=4, vehicle_class="car", plate=plate)
    assert said["verdict"] == "in"
    stay: dict[str, Any] = said["stay"]
    return stay


async def leaves(tablet: Tablet, stay: dict[str, Any]) -> str:
    verdict: str = (await tablet.does("vehicles/out", place=4, stay_id=stay["id"]))["verdict"]
    return verdict


async def book(client: httpx.AsyncClient, day: str = DAY) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The car lot in the gate book of a day, and everything that does not fit."""
    answer = await client.get("/api/v1/finance/gates", params={"day": day})
    assert answer.status_code == 200, answer.text
    (gate,) = answer.json()["gates"]
    return gate, answer.json()["differences"]


async def a_day_at_the_lot(tablet: Tablet, client: httpx.AsyncClient, clock: Clock) -> list[dict[str, Any]]:
    """Three cars come, a fourth is announced by its driver; one pays notes and one by its bank, and both leave."""
    cars = [await comes(tablet, f"30A-{10_000 + n}") for n in range(3)]
    await park(client, plate=CAR)
    await clock.move_to(f"{DAY} 08:50")
    await tablet.does("cash/stay", place=4, stay_id=cars[0]["id"], amount_vnd=25_000)
    code = cars[1]["code_url"].rpartition("/")[2]
    await transfer(client, await press_pay(client, f"/T/{code}"), f"{DAY} 08:50")
    assert [await leaves(tablet, car) for car in cars[:2]] == ["left", "left"]
    return cars


async def test_what_was_there_and_came_less_what_left_is_what_stands_there(
    tablet: Tablet, client: httpx.AsyncClient, clock: Clock
) -> None:
    await a_day_at_the_lot(tablet, client, clock)
    gate, differences = await book(client)
    assert differences == []
    counts = ("before", "came", "left", "standing", "announced", "difference", "paid", "free")
    assert [gate[name] for name in counts] == [0, 4, 2, 2, 1, 0, 2, 0]
    assert (gate["settled_vnd"], gate["paid_vnd"]) == (50_000, 50_000)
    await clock.move_to("2026-12-02 07:00")
    gate, differences = await book(client, "2026-12-02")
    assert [gate[name] for name in counts] == [2, 0, 0, 2, 1, 0, 0, 0]
    assert differences == []
    assert (await book(client))[0]["standing"] == 2, "a day that is over stays as it was"


PLANTED = {
    "a vehicle let in past the tablets": (
        "delete from foundation.action where kind = 'parking.in' and outcome ->> 'stay_id' = $1",
        "entry_not_logged",
        -1,
    ),
    "a vehicle crossed out of the records": (
        "delete from parking.stay where id = $1::uuid",
        "entry_of_nothing",
        1,
    ),
    "an entry made earlier than it was": (
        "update parking.stay set entered_at = entered_at - interval '3 minutes' where id = $1::uuid",
        "entry_of_nothing",
        0,
    ),
    "a vehicle written off as gone": (
        "update parking.stay set left_at = entered_at + interval '10 minutes', settled_vnd = 25000 where id = $1::uuid",
        "exit_not_logged",
        1,
    ),
}


@pytest.mark.parametrize("what", PLANTED)
async def test_a_vehicle_that_is_in_one_of_the_two_counts_only_is_named(
    what: str, tablet: Tablet, client: httpx.AsyncClient, clock: Clock, admin: asyncpg.Connection
) -> None:
    cars = await a_day_at_the_lot(tablet, client, clock)
    act, rule, off = PLANTED[what]
    await admin.execute("set session_replication_role = replica")
    assert (await admin.execute(act, cars[2]["id"])).endswith(" 1")
    gate, differences = await book(client)
    assert gate["difference"] == off
    assert rule in {each["rule"] for each in differences}
    named = next(each for each in differences if each["rule"] == rule)
    assert named["place"] == 4
    assert named["device"] == (None if rule == "exit_not_logged" else "Cổng 1"), "where no tablet did it, none is named"
    page = (await client.get(f"/finance/gates?day={DAY}&lang=en")).text
    assert "Car park" in page or "car park" in page


async def test_what_is_counted_as_paid_was_paid(
    tablet: Tablet, client: httpx.AsyncClient, clock: Clock, admin: asyncpg.Connection
) -> None:
    cars = await a_day_at_the_lot(tablet, client, clock)
    await admin.execute("set session_replication_role = replica")
    await admin.execute("update parking.stay set settled_vnd = 45000 where id = $1::uuid", cars[0]["id"])
    await admin.execute("update parking.stay set settled_vnd = 5000 where id = $1::uuid", cars[1]["id"])
    gate, differences = await book(client)
    assert {(each["rule"], each["reference"], each["amount"]) for each in differences} == {
        ("more_than_paid", cars[0]["id"], 20_000),
        ("less_than_paid", cars[1]["id"], 20_000),
    }
    assert (gate["settled_vnd"], gate["paid_vnd"]) == (50_000, 50_000)


async def test_who_left_owing_and_what_was_paid_for_nothing_is_named(
    tablet: Tablet, client: httpx.AsyncClient, clock: Clock, admin: asyncpg.Connection
) -> None:
    cars = await a_day_at_the_lot(tablet, client, clock)
    await admin.execute("set session_replication_role = replica")
    await admin.execute(
        "update parking.stay set may_leave_until = null, entered_at = entered_at - interval '2 hours' where id = $1::uuid",
        cars[0]["id"],
    )
    await admin.execute("delete from parking.stay where id = $1::uuid", cars[1]["id"])
    _, differences = await book(client)
    by_rule = {each["rule"]: each for each in differences}
    assert by_rule["left_owing"]["amount"] == 60_000, "three started hours of which one was paid"
    assert by_rule["paid_for_nothing"]["reference"] == cars[1]["id"]
    assert by_rule["exit_of_nothing"]["staff"]


async def test_a_lots_counter_that_says_otherwise_is_named_today(
    tablet: Tablet, client: httpx.AsyncClient, clock: Clock, admin: asyncpg.Connection
) -> None:
    await a_day_at_the_lot(tablet, client, clock)
    await admin.execute("update parking.lot set occupied = occupied + 3 where place = 4")
    _, (difference,) = await book(client)
    assert (difference["rule"], difference["amount"]) == ("counter", 3)


async def test_money_given_back_after_a_vehicle_left_is_no_difference(
    tablet: Tablet, client: httpx.AsyncClient, clock: Clock, admin: asyncpg.Connection
) -> None:
    cars = await a_day_at_the_lot(tablet, client, clock)
    await admin.execute("set session_replication_role = replica")
    await admin.execute(
        "update payments.charge set given_back_vnd = received_vnd where id in (select charge_id from payments.charge_line"
        " where reference = $1)",
        cars[0]["id"],
    )
    assert (await book(client))[1] == []


async def test_the_page_and_the_files_say_the_same_in_the_readers_language(
    tablet: Tablet, client: httpx.AsyncClient, clock: Clock
) -> None:
    await a_day_at_the_lot(tablet, client, clock)
    assert "Mọi thứ đều khớp" in await look(client, f"/finance/gates?day={DAY}", "vi")
    assert "Everything fits" in await look(client, f"/finance/gates?day={DAY}")
    file = await client.get(f"/finance/gates/{DAY}/gates.csv")
    rows = [row for row in csv.reader(io.StringIO(file.text.lstrip("\ufeff"))) if row]
    assert any(row[-2:] == ["50000", "50000"] for row in rows)
    sheet = await client.get(f"/finance/gates/{DAY}/gates.xlsx")
    book_ = openpyxl.load_workbook(io.BytesIO(sheet.content))
    cells = [cell.value for sheet in book_ for row in sheet.iter_rows() for cell in row]
    assert cells.count(50_000) >= 2


async def test_only_finance_reads_it_and_only_its_own(client: httpx.AsyncClient, tablet: Tablet, clock: Clock) -> None:
    await a_day_at_the_lot(tablet, client, clock)
    client.cookies.clear()
    assert (await client.get("/api/v1/finance/gates", params={"day": DAY})).status_code == 401
    assert (await log_in(client, "ketoan@vanmieu")).status_code == 303
    answer = (await client.get("/api/v1/finance/gates", params={"day": DAY})).json()
    assert [gate["place"] for gate in answer["gates"]] == [2]
    assert answer["gates"][0]["came"] == 0
    assert (await client.get("/api/v1/finance/gates", params={"day": "yesterday"})).status_code == 422
    assert (await log_in(client, "ketoan@thanglong")).status_code == 303
    assert "no parking lot" in await look(client, "/finance/gates")
