"""Vehicles in and out at a tablet: every verdict, whoever asks, however often, and two tablets at once."""

from __future__ import annotations

import asyncio
import json
import uuid
from typing import Any

import asyncpg
import httpx
import pytest
from acts import Tablet, bought_code, enrolled
from driving import CAR, MOTORBIKE, held, look, occupied, open_shift, park, press_pay, send_form, transfer
from stage import Clock

import demo
from foundation import device
from foundation.web import Platform


async def comes_in(tablet: Tablet, plate: str | None = CAR, *, place: int = 4, kind: str = "car") -> dict[str, Any]:
    return await tablet.does("vehicles/in", place=place, vehicle_class=kind, plate=plate)


async def test_a_vehicle_comes_in_and_its_code_opens_its_page(
    client: httpx.AsyncClient, here: Platform, clock: Clock, admin: asyncpg.Connection
) -> None:
    await clock.move_to("2026-12-01 09:00")
    tablet = await enrolled(client, here)
    said = await comes_in(tablet, "29 b1-123 45", place=2, kind="motorbike")
    stay = said["stay"]
    assert (said["verdict"], said["warnings"]) == ("in", [])
    assert (stay["plate"], stay["vehicle_class"]) == (MOTORBIKE, "motorbike")
    assert stay["code_url"].startswith("HTTP://TEST.LOCAL/T/")
    assert len(stay["code_url"]) <= 90
    assert "5.000" in stay["tariff_vi"]
    assert "Overnight" in stay["tariff_en"]
    assert stay["short"] in await look(client, "/T/" + stay["code_url"].rpartition("/")[2])
    assert await occupied(admin, 2) == 1


async def test_the_same_plate_comes_in_once_per_class(
    client: httpx.AsyncClient, here: Platform, admin: asyncpg.Connection
) -> None:
    tablet = await enrolled(client, here, operator="dongda")
    first = await comes_in(tablet)
    again = await comes_in(tablet, "30a 12345")
    assert again["verdict"] == "already_in"
    assert again["stay"] == first["stay"]
    assert (await park(client, plate=CAR)).startswith("/P/DD1/stay/" + uuid.UUID(first["stay"]["id"]).hex)
    assert await occupied(admin, 4) == 1


async def test_what_visitors_say_from_home_takes_no_space_from_a_vehicle_at_the_gate(
    client: httpx.AsyncClient, here: Platform, admin: asyncpg.Connection
) -> None:
    await admin.execute("update parking.lot set capacity = 2 where place = 4")
    for number in range(6):
        assert (await park(client, plate=f"30A-{10_000 + number}")).startswith("/T/")
    assert await occupied(admin, 4) == 0
    tablet = await enrolled(client, here, operator="dongda")
    assert [(await comes_in(tablet, plate))["verdict"] for plate in (CAR, "30A-999.99")] == ["in", "in"]
    full = await tablet.post("vehicles/in", tablet.action(place=4, vehicle_class="car", plate="30A-888.88"))
    assert (full.status_code, full.json()["code"]) == (409, "lot_full")


async def test_a_vehicle_that_its_driver_announced_is_counted_once_an_attendant_sees_it(
    client: httpx.AsyncClient, here: Platform, admin: asyncpg.Connection
) -> None:
    stay = await park(client)
    assert await occupied(admin, 4) == 0
    tablets = [await enrolled(client, here, operator="dongda", name=f"Cổng {n}") for n in range(4)]
    said = await asyncio.gather(*(comes_in(tablets[n % 4]) for n in range(8)))
    assert {one["verdict"] for one in said} == {"already_in"}
    assert {one["stay"]["code_url"].rpartition("/")[2] for one in said} == {stay.removeprefix("/T/")}
    assert await admin.fetchval("select count(*) from parking.stay") == 1
    assert await occupied(admin, 4) == 1
    await admin.execute("update parking.stay set settled_vnd = 1000000")
    assert (await tablets[0].does("vehicles/out", place=4, code=stay.removeprefix("/T/")))["verdict"] == "left"
    assert await occupied(admin, 4) == 0


async def test_a_paid_stay_of_a_visitor_takes_its_space_and_gives_it_back(
    client: httpx.AsyncClient, here: Platform, clock: Clock, admin: asyncpg.Connection
) -> None:
    await clock.move_to("2026-12-01 09:00")
    await admin.execute("update parking.lot set capacity = 1 where place = 4")
    tablet = await enrolled(client, here, operator="dongda")
    stays = [await park(client, plate=plate) for plate in ("30A-111.11", "30A-222.22")]
    for stay in stays:
        await transfer(client, await press_pay(client, stay), "2026-12-01 09:01")
    assert await occupied(admin, 4) == 1, "the second one found no space, and its money was taken all the same"
    for stay in stays:
        assert (await tablet.does("vehicles/out", place=4, code=stay.removeprefix("/T/")))["verdict"] == "left"
    assert await occupied(admin, 4) == 0


async def test_a_visitors_vehicle_that_nobody_counted_leaves_no_hole_in_the_counter(
    client: httpx.AsyncClient, here: Platform, admin: asyncpg.Connection
) -> None:
    await admin.execute("update parking.tariff_row set rule = rule || '{\"free_minutes\": 10}' where place = 4")
    tablet = await enrolled(client, here, operator="dongda")
    await comes_in(tablet)
    stay = await park(client, plate="30A-999.99")
    assert (await tablet.does("vehicles/out", place=4, code=stay.removeprefix("/T/")))["verdict"] == "left"
    assert await occupied(admin, 4) == 1


async def test_the_attendant_sees_two_vehicles_of_one_plate_and_who_began_each(
    client: httpx.AsyncClient, here: Platform, admin: asyncpg.Connection
) -> None:
    await admin.execute(
        "insert into parking.tariff_row select operator_id, place, 2, 2, valid_from, valid_to, rule, name_vi, name_en"
        " from parking.tariff_row where place = 4"
    )
    tablet = await enrolled(client, here, operator="dongda")
    await park(client, "DD1", "30A12345", "motorbike")
    car = (await comes_in(tablet, "30A12345"))["stay"]
    found = (await tablet.post("vehicles/find", {"place": 4, "plate": "30A12345"})).json()["stays"]
    assert {(one["vehicle_class"], one["begun_by"]) for one in found} == {
        ("car", "attendant"),
        ("motorbike", "visitor"),
    }
    out = await tablet.does("vehicles/out", place=4, stay_id=car["id"])
    assert (out["stay"]["vehicle_class"], out["stay"]["begun_by"]) == ("car", "attendant")


@pytest.mark.parametrize("first", ["attendant", "visitor"])
async def test_a_visitor_cannot_begin_a_cheaper_stay_of_a_plate_that_stands_there(
    client: httpx.AsyncClient, here: Platform, admin: asyncpg.Connection, first: str
) -> None:
    tablet = await enrolled(client, here)
    if first == "attendant":
        await comes_in(tablet, MOTORBIKE, place=2, kind="motorbike")
    else:
        await park(client, "VM1", MOTORBIKE, "motorbike")
    answer = await send_form(client, "VM1", vehicle_class="bicycle", plate=MOTORBIKE)
    assert answer.status_code == 409
    assert "already stands here as another kind of vehicle; please ask the attendant" in answer.text
    assert await admin.fetchval("select count(*) from parking.stay") == 1
    assert (await comes_in(tablet, MOTORBIKE, place=2, kind="bicycle"))["verdict"] == "in"


async def test_two_forms_at_once_do_not_begin_one_plate_in_two_classes(
    client: httpx.AsyncClient, admin: asyncpg.Connection
) -> None:
    for number in range(5):
        plate, kinds = f"29-B1 {10_000 + number}", ("motorbike", "bicycle") * 3
        answers = await asyncio.gather(*(send_form(client, "VM1", vehicle_class=kind, plate=plate) for kind in kinds))
        assert {answer.status_code for answer in answers} == {303, 409}
    assert await admin.fetchval("select count(*) from parking.stay") == 5


@pytest.mark.parametrize(
    ("plate", "kind", "warnings"),
    [
        ("29-MD1 123.45", "motorbike", ["plate_unknown", "use_d_bar"]),
        ("29-MĐ1 123.45", "motorbike", []),
        ("HELLO", "motorbike", ["plate_unknown"]),
        ("30A-123.45", "bicycle", ["class_unusual"]),
        (None, "bicycle", []),
    ],
)
async def test_a_strange_plate_is_a_warning_and_never_a_refusal(
    client: httpx.AsyncClient, here: Platform, plate: str | None, kind: str, warnings: list[str]
) -> None:
    tablet = await enrolled(client, here)
    said = await comes_in(tablet, plate, place=2, kind=kind)
    assert (said["verdict"], said["warnings"]) == ("in", warnings)


async def test_an_action_sent_again_has_its_first_outcome_and_another_body_is_refused(
    client: httpx.AsyncClient, here: Platform, clock: Clock, admin: asyncpg.Connection
) -> None:
    await clock.move_to("2026-12-01 09:00")
    tablet = await enrolled(client, here, operator="dongda")
    enter = tablet.action(place=4, vehicle_class="car", plate=None)
    entered = [(await tablet.post("vehicles/in", enter)).json() for _ in range(3)]
    assert entered[0] == entered[1] == entered[2]
    assert await occupied(admin, 4) == 1
    leave = tablet.action(place=4, stay_id=entered[0]["stay"]["id"])
    first = (await tablet.post("vehicles/out", leave)).json()
    assert first["verdict"] == "unpaid"
    await clock.move_to("2026-12-01 12:00")
    await admin.execute("update parking.stay set settled_vnd = 1000000")
    assert (await tablet.post("vehicles/out", leave)).json() == first
    last = tablet.action(place=4, stay_id=entered[0]["stay"]["id"])
    left = (await tablet.post("vehicles/out", last)).json()
    assert left["verdict"] == "left"
    await clock.move_to("2026-12-01 15:00")
    assert (await tablet.post("vehicles/out", last)).json() == left
    for path, body in (
        ("vehicles/in", enter | {"plate": CAR}),
        ("vehicles/out", leave | {"at": "2026-12-01T09:00:00+07:00"}),
        ("vehicles/out", last | {"place": 4, "code": "ABC", "stay_id": None}),
        ("vehicles/out", {**leave, "id": enter["id"]}),
        ("vehicles/in", {**enter, "id": leave["id"]}),
    ):
        answer = await tablet.post(path, body)
        assert (answer.status_code, answer.json()["code"]) == (422, "key_used_for_another"), body
    assert await admin.fetchval("select count(*) from parking.stay") == 1


async def test_one_action_sent_eight_times_at_once_happens_once(
    client: httpx.AsyncClient, here: Platform, admin: asyncpg.Connection
) -> None:
    tablet = await enrolled(client, here, operator="dongda")
    for number in range(1, 6):
        body = tablet.action(place=4, vehicle_class="car", plate=None)
        answers = await asyncio.gather(*(tablet.post("vehicles/in", body) for _ in range(8)))
        assert {answer.status_code for answer in answers} == {200}
        assert len({json.dumps(answer.json()) for answer in answers}) == 1
        assert await occupied(admin, 4) == number


async def test_a_stay_left_by_many_tablets_at_once_is_left_by_exactly_one(
    client: httpx.AsyncClient, here: Platform, admin: asyncpg.Connection
) -> None:
    tablets = [await enrolled(client, here, operator="dongda", name=f"Cổng {n}") for n in range(4)]
    for round_number in range(20):
        said = await comes_in(tablets[0], f"30A-{10_000 + round_number}")
        # By turns paid and in time, and covered without a grace time, where the fee is counted between two calls.
        paid = "may_leave_until = foundation.now() + interval '1 hour'" if round_number % 2 else "settled_vnd = 25000"
        await admin.execute(f"update parking.stay set {paid} where id = $1", uuid.UUID(said["stay"]["id"]))
        names = [{"stay_id": said["stay"]["id"]}, {"code": said["stay"]["code_url"]}, {"code": said["stay"]["short"]}]
        answers = await asyncio.gather(
            *(tablets[n % 4].post("vehicles/out", tablets[n % 4].action(place=4, **names[n % 3])) for n in range(8))
        )
        assert {answer.status_code for answer in answers} == {200}
        verdicts = sorted(answer.json()["verdict"] for answer in answers)
        assert verdicts == ["already_left"] * 7 + ["left"]
        assert len({answer.json()["left_at"] for answer in answers}) == 1
    assert await occupied(admin, 4) == 0


async def test_the_same_plate_entered_by_many_tablets_at_once_is_one_stay(
    client: httpx.AsyncClient, here: Platform, admin: asyncpg.Connection
) -> None:
    tablets = [await enrolled(client, here, operator="dongda", name=f"Cổng {n}") for n in range(4)]
    for number in range(1, 6):
        said = await asyncio.gather(*(comes_in(tablets[n % 4], f"30A-{20_000 + number}") for n in range(8)))
        assert sorted(one["verdict"] for one in said) == ["already_in"] * 7 + ["in"]
        assert len({one["stay"]["id"] for one in said}) == 1
        assert await occupied(admin, 4) == number


async def test_the_last_space_is_taken_by_exactly_one(
    client: httpx.AsyncClient, here: Platform, admin: asyncpg.Connection
) -> None:
    tablet = await enrolled(client, here, operator="dongda")
    await admin.execute("update parking.lot set capacity = 3 where place = 4")
    bodies = [tablet.action(place=4, vehicle_class="car", plate=f"30A-{n}0000") for n in range(1, 9)]
    answers = await asyncio.gather(*(tablet.post("vehicles/in", body) for body in bodies))
    assert sorted(answer.status_code for answer in answers) == [200] * 3 + [409] * 5
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} == {"lot_full"}
    assert await occupied(admin, 4) == 3
    refused = next(n for n, answer in enumerate(answers) if answer.status_code == 409)
    await admin.execute("update parking.lot set capacity = 4 where place = 4")
    assert (await tablet.post("vehicles/in", bodies[refused])).json()["verdict"] == "in"


async def test_unpaid_already_left_unknown_and_wrong_place_are_told_apart(
    client: httpx.AsyncClient, here: Platform, clock: Clock, admin: asyncpg.Connection
) -> None:
    await clock.move_to("2026-12-01 09:00")
    tablet, other = await enrolled(client, here, operator="dongda"), await enrolled(client, here)
    stay = (await comes_in(tablet))["stay"]
    unpaid = await tablet.does("vehicles/out", place=4, code=stay["code_url"])
    assert unpaid["verdict"] == "unpaid"
    assert (unpaid["fee_vnd"], unpaid["due_vnd"], unpaid["left_at"]) == (25_000, 25_000, None)
    assert unpaid["stay"]["plate"] == "30A-123.45"
    assert unpaid["stay"]["parts_en"] == "1 × 25,000\N{NO-BREAK SPACE}₫ (hour 1)"
    elsewhere = await other.does("vehicles/out", place=2, code=stay["code_url"])
    assert elsewhere == {"verdict": "wrong_place"}
    forged = stay["code_url"][:-1] + ("A" if stay["code_url"][-1] != "A" else "B")
    ticket = await bought_code(client, adult=1)
    for code in (forged, "A" * 48, "ABCDE FGHJK", "gibberish", "https://example.com/T/", ticket):
        assert (await tablet.does("vehicles/out", place=4, code=code)) == {"verdict": "unknown"}, code
    await transfer(client, await press_pay(client, f"/T/{stay['code_url'].rpartition('/')[2]}"), "2026-12-01 09:01")
    left = await tablet.does("vehicles/out", place=4, code=stay["short"].lower())
    assert (left["verdict"], left["due_vnd"]) == ("left", 0)
    again = await tablet.does("vehicles/out", place=4, code=stay["code_url"])
    assert (again["verdict"], again["left_at"]) == ("already_left", left["left_at"])
    assert await occupied(admin, 4) == 0


async def test_a_stay_at_another_lot_of_the_same_operator_is_named(
    client: httpx.AsyncClient, here: Platform, admin: asyncpg.Connection
) -> None:
    tablet = await enrolled(client, here)
    stay = (await comes_in(tablet, None, place=2, kind="bicycle"))["stay"]
    for name in ({"stay_id": stay["id"]}, {"code": stay["short"]}, {"code": stay["code_url"]}):
        said = await tablet.does("vehicles/out", place=1, **name)
        assert said["verdict"] == "wrong_place"
        assert said["place_name_en"] == "Temple of Literature motorbike lot"
    assert await occupied(admin, 2) == 1


async def test_the_leave_code_lets_a_paid_vehicle_out(client: httpx.AsyncClient, here: Platform, clock: Clock) -> None:
    await clock.move_to("2026-12-01 09:00")
    tablet = await enrolled(client, here, operator="dongda")
    stay = await park(client)
    await transfer(client, await press_pay(client, stay), "2026-12-01 09:01")
    page = await look(client, stay)
    leave = next(part.split("/qr.png")[0] for part in page.split('href="/T/') if "/qr.png" in part[:60])
    assert leave != stay.removeprefix("/T/")
    assert (await tablet.does("vehicles/out", place=4, code=leave))["verdict"] == "left"


async def test_a_vehicle_is_found_by_plate_tail_code_and_short_form(
    client: httpx.AsyncClient, here: Platform, clock: Clock
) -> None:
    await clock.move_to("2026-12-01 09:00")
    tablet = await enrolled(client, here)
    stay = (await comes_in(tablet, "29-MĐ1 123.45", place=2, kind="motorbike"))["stay"]
    await comes_in(tablet, "29-B1 999.99", place=2, kind="motorbike")
    await clock.move_to("2026-12-01 19:00")
    for name in (
        {"plate": "29mđ1 12345"},
        {"plate": "29MD1-123.45"},
        {"plate": "2345"},
        {"code": stay["code_url"]},
        {"short": stay["short"]},
    ):
        answer = await tablet.post("vehicles/find", {"place": 2, **name})
        assert answer.status_code == 200, answer.text
        (found,) = answer.json()["stays"]
        assert (found["id"], found["plate"]) == (stay["id"], "29-MĐ1 123.45"), name
        assert (found["fee_vnd"], found["due_vnd"]) == (12_000, 12_000)
    for nothing in ({"plate": "29-X1 555.55"}, {"plate": "5555"}):
        assert (await tablet.post("vehicles/find", {"place": 2, **nothing})).json() == {"stays": []}
    for bad in ({}, {"plate": "1", "short": "2"}, {"plate": "1", "more": 1}):
        assert (await tablet.post("vehicles/find", {"place": 2, **bad})).status_code == 422


async def test_cash_for_a_stay_is_what_is_due_and_opens_the_way_out(
    client: httpx.AsyncClient, here: Platform, clock: Clock, admin: asyncpg.Connection
) -> None:
    await clock.move_to("2026-12-01 09:00")
    tablet = await enrolled(client, here, operator="dongda")
    stay = (await comes_in(tablet))["stay"]
    said = {"place": 4, "stay_id": stay["id"], "proxy": False}
    no_shift = await tablet.post("cash/stay", tablet.action(**said, amount_vnd=25_000))
    assert (no_shift.status_code, no_shift.json()["code"]) == (409, "no_shift")
    await open_shift(here, tablet, operator="dongda", place=4)
    await clock.move_to("2026-12-01 10:10")
    changed = await tablet.post("cash/stay", tablet.action(**said, amount_vnd=25_000))
    assert (changed.status_code, changed.json()["code"], changed.json()["due_vnd"]) == (409, "amount_changed", 50_000)
    body = tablet.action(**said, amount_vnd=50_000)
    answers = [(await tablet.post("cash/stay", body)).json() for _ in range(3)]
    assert answers[0] == answers[1] == answers[2]
    assert (answers[0]["receipt_number"], answers[0]["amount_vnd"], answers[0]["pay"]) == (1, 50_000, None)
    assert answers[0]["may_leave_until"].startswith("2026-12-01T03:25:")
    again = await tablet.post("cash/stay", tablet.action(**said, amount_vnd=50_000))
    assert (again.status_code, again.json()["code"]) == (409, "nothing_due")
    assert (await tablet.does("vehicles/out", place=4, stay_id=stay["id"]))["verdict"] == "left"
    over = await tablet.post("cash/stay", tablet.action(**said, amount_vnd=50_000))
    assert (over.status_code, over.json()["code"]) == (409, "stay_over")
    rows = await admin.fetch("select means, channel from payments.line_paid")
    assert [tuple(row) for row in rows] == [("CASH", "CASH_DEPOSIT")]


async def test_notes_after_a_part_was_transferred_send_the_part_back(
    client: httpx.AsyncClient, here: Platform, clock: Clock, admin: asyncpg.Connection
) -> None:
    await clock.move_to("2026-12-01 09:00")
    tablet = await enrolled(client, here, operator="dongda")
    await open_shift(here, tablet, operator="dongda", place=4)
    stay = (await comes_in(tablet))["stay"]
    reference = await press_pay(client, "/T/" + stay["code_url"].rpartition("/")[2])
    await transfer(client, reference, "2026-12-01 09:01", amount_vnd=10_000)
    paying = {"place": 4, "stay_id": stay["id"], "amount_vnd": 25_000, "proxy": False}
    body = tablet.action(**paying)
    at_once = await asyncio.gather(*(tablet.post("cash/stay", body) for _ in range(4)))
    assert {answer.status_code for answer in at_once} == {200}
    assert (await client.get(f"/api/v1/public/payments/{reference}")).json()["state"] == "refused"
    assert await held(admin) == [("refused", 10_000)]
    assert await admin.fetchval("select settled_vnd from parking.stay") == 25_000
    await transfer(client, reference, "2026-12-01 09:02", amount_vnd=15_000)
    assert [amount_vnd for _, amount_vnd in await held(admin)] == [10_000, 15_000]
    assert (await tablet.does("vehicles/out", place=4, stay_id=stay["id"]))["verdict"] == "left"


async def test_a_part_that_nobody_completed_goes_back_when_the_vehicle_leaves(
    client: httpx.AsyncClient, here: Platform, clock: Clock, admin: asyncpg.Connection
) -> None:
    await clock.move_to("2026-12-01 09:00")
    tablet = await enrolled(client, here, operator="dongda")
    stay = await park(client)
    await clock.move_to("2026-12-01 10:25")
    first = await press_pay(client, stay)
    await clock.move_to("2026-12-01 11:01")
    second = await press_pay(client, stay)
    await transfer(client, second, "2026-12-01 11:01", amount_vnd=10_000)
    await transfer(client, first, "2026-12-01 10:55")  # the bank tells it late; it covered the fee of its time
    body = tablet.action(place=4, code=stay.removeprefix("/T/"))
    answers = [(await tablet.post("vehicles/out", body)).json() for _ in range(2)]
    assert answers[0] == answers[1]
    assert answers[0]["verdict"] == "left"
    assert await held(admin) == [("refused", 10_000)]
    assert await admin.fetchval("select state from payments.charge where reference = $1", second) == "refused"
    assert await occupied(admin, 4) == 0


async def test_cash_that_the_attendant_transfers_himself_is_told_apart(
    client: httpx.AsyncClient, here: Platform, clock: Clock, admin: asyncpg.Connection
) -> None:
    await clock.move_to("2026-12-01 09:00")
    tablet = await enrolled(client, here, operator="dongda")
    await open_shift(here, tablet, operator="dongda", place=4)
    stay = (await comes_in(tablet))["stay"]
    sold = await tablet.does("cash/stay", place=4, stay_id=stay["id"], amount_vnd=25_000, proxy=True)
    assert (sold["proxy"], sold["pay"]["amount_vnd"], sold["pay"]["payee"]) == (
        True,
        25_000,
        "CTY TRONG GIU XE DONG DA",
    )
    assert await admin.fetchval("select channel from payments.line_paid") == "ATTENDANT_PROXY"


@pytest.mark.parametrize(
    "amount", ["25000", 25000.0, True, -1, 0, 10**23, "NaN", "1e3", None], ids=lambda value: repr(value)[:12]
)
async def test_an_amount_that_is_no_whole_number_of_dong_is_refused(
    client: httpx.AsyncClient, here: Platform, admin: asyncpg.Connection, amount: object
) -> None:
    tablet = await enrolled(client, here, operator="dongda")
    await open_shift(here, tablet, operator="dongda", place=4)
    stay = (await comes_in(tablet))["stay"]
    body = json.dumps(tablet.action(place=4, stay_id=stay["id"], amount_vnd="AMOUNT"))
    raw = body.replace('"AMOUNT"', amount if amount in ("NaN", "1e3") else json.dumps(amount))
    answer = await client.post(
        "/api/v1/device/cash/stay",
        content=raw,
        headers={"authorization": f"Bearer {tablet.session_token}", "content-type": "application/json"},
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_payload")
    assert await admin.fetchval("select count(*) from payments.charge") == 0


@pytest.mark.parametrize(
    "raw",
    [
        '{"place": 4, "place": 4}',
        "[]",
        "",
        "{",
        '{"place": "4"}',
        '{"id": "x"}',
        '{"place": 1e3}',
        "[" * 50,
        '{"at": "2026-12-01T09:00:00"}',
    ],
)
@pytest.mark.parametrize("path", ["in", "out", "find"])
async def test_what_cannot_be_read_is_a_malformed_payload(
    client: httpx.AsyncClient, here: Platform, path: str, raw: str
) -> None:
    tablet = await enrolled(client, here, operator="dongda")
    answer = await client.post(
        f"/api/v1/device/vehicles/{path}",
        content=raw,
        headers={"authorization": f"Bearer {tablet.session_token}", "content-type": "application/json"},
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_payload"), answer.text


def every_action(tablet: Tablet, *, place: int, stay: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Each route of a lot's tablet, about that stay at that place."""
    return [
        ("vehicles/in", tablet.action(place=place, vehicle_class="car", plate=CAR)),
        ("vehicles/out", tablet.action(place=place, stay_id=stay["id"])),
        ("vehicles/out", tablet.action(place=place, code=stay["short"])),
        ("vehicles/out", tablet.action(place=place, code=stay["code_url"])),
        ("vehicles/find", {"place": place, "plate": CAR}),
        ("vehicles/find", {"place": place, "code": stay["code_url"]}),
        ("cash/stay", tablet.action(place=place, stay_id=stay["id"], amount_vnd=25_000)),
    ]


async def test_another_operators_stay_is_out_of_reach_by_every_route(
    client: httpx.AsyncClient, here: Platform, admin: asyncpg.Connection
) -> None:
    owner = await enrolled(client, here, operator="dongda")
    stay = (await comes_in(owner))["stay"]
    before = await admin.fetchrow("select * from parking.stay")
    stranger = await enrolled(client, here)
    await open_shift(here, stranger, operator="vanmieu", place=2)
    for path, body in every_action(stranger, place=4, stay=stay):
        answer = await stranger.post(path, body)
        assert (answer.status_code, answer.json()["code"]) == (403, "place_not_yours"), path
    for path, body in every_action(stranger, place=2, stay=stay)[1:]:
        answer = await stranger.post(path, body)
        said = answer.json()
        assert (
            said.get("verdict") in ("unknown", "wrong_place")
            or said.get("stays") == []
            or (said["code"] == "no_such_stay")
        ), (path, said)
        assert "30A" not in answer.text
    assert await admin.fetchrow("select * from parking.stay") == before
    assert await admin.fetchval("select count(*) from payments.charge") == 0


async def test_a_device_may_be_enrolled_for_a_place_of_another_operator_and_still_reaches_nothing(
    client: httpx.AsyncClient, here: Platform, admin: asyncpg.Connection
) -> None:
    owner = await enrolled(client, here, operator="dongda")
    stay = (await comes_in(owner))["stay"]
    stranger = await enrolled(client, here, operator="vanmieu", places=[1, 2, 4])
    answers = [(await stranger.post(path, body)).json() for path, body in every_action(stranger, place=4, stay=stay)]
    assert [said.get("code") or said.get("verdict") or said["stays"] for said in answers] == [
        "not_parked_here",
        "unknown",
        "unknown",
        "unknown",
        [],
        [],
        "no_such_stay",
    ]


@pytest.mark.parametrize("end", ["revoked", "expired", "logged_out", "forged", "inactive"])
async def test_nobody_without_a_living_login_on_a_living_tablet_does_anything(
    client: httpx.AsyncClient, here: Platform, admin: asyncpg.Connection, end: str
) -> None:
    tablet = await enrolled(client, here, operator="dongda")
    stay = (await comes_in(tablet))["stay"]
    before = await admin.fetchval("select count(*) from foundation.action")
    match end:
        case "revoked":
            async with here.database.transaction(demo.DONGDA) as tx:
                await device.revoke(tx, await tx.value("select id from foundation.device"))
        case "expired":
            await admin.execute("update foundation.session set expires_at = clock_timestamp()")
        case "logged_out":
            await admin.execute("update foundation.session set ended_at = clock_timestamp()")
        case "inactive":
            await admin.execute("update foundation.staff set active = false")
        case "forged":
            tablet.session_token = tablet.session_token[:-4] + "AAAA"
    for path, body in every_action(tablet, place=4, stay=stay):
        answer = await tablet.post(path, body)
        assert answer.status_code == 401, (path, answer.text)
        assert answer.json()["code"] == ("device_revoked" if end == "revoked" else "login_expired")
    tablet.session_token = "nonsense"
    assert (await tablet.post(*every_action(tablet, place=4, stay=stay)[0])).json()["code"] == "login_needed"
    assert await admin.fetchval("select count(*) from foundation.action") == before


async def test_the_device_token_alone_moves_no_vehicle(client: httpx.AsyncClient, here: Platform) -> None:
    tablet = await enrolled(client, here, operator="dongda")
    tablet.session_token = tablet.device_token
    answer = await tablet.post("vehicles/in", tablet.action(place=4, vehicle_class="car", plate=CAR))
    assert answer.status_code == 401


async def test_a_vehicle_is_counted_by_the_tariff_of_its_day_of_entry(
    client: httpx.AsyncClient, here: Platform, clock: Clock, admin: asyncpg.Connection
) -> None:
    await admin.execute("update parking.tariff_row set valid_to = '2026-12-02' where place = 4")
    await admin.execute(
        "insert into parking.tariff_row (operator_id, place, number, vehicle_class, valid_from, rule, name_vi, name_en)"
        " select operator_id, 4, 2, 3, '2026-12-02',"
        ' \'{"kind": "hour_bands", "bands": [{"up_to_hour": null, "price_vnd": 99000}]}\', \'Ô tô\', \'Car\''
        " from parking.lot where place = 4"
    )
    await clock.move_to("2026-12-01 23:30")
    tablet = await enrolled(client, here, operator="dongda")
    old = (await comes_in(tablet, "30A-111.11"))["stay"]
    await clock.move_to("2026-12-02 00:10")
    new = (await comes_in(tablet, "30A-222.22"))["stay"]
    fees = [(await tablet.does("vehicles/out", place=4, stay_id=stay["id"]))["fee_vnd"] for stay in (old, new)]
    assert fees == [25_000, 99_000]


async def test_a_tablet_is_told_the_lots_and_classes_it_works_with(client: httpx.AsyncClient, here: Platform) -> None:
    tablet = await enrolled(client, here)
    lot = next(place for place in tablet.facts["places"] if place["service"] == "parking")
    assert (lot["number"], lot["code"], lot["name_vi"]) == (2, "VM1", "Bãi xe máy Văn Miếu")
    assert [one["code"] for one in lot["classes"]] == ["motorbike", "bicycle"]
