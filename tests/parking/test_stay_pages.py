"""The pages of a lot and of a stay, as a visitor's browser without JavaScript sees them."""

from __future__ import annotations

import asyncio
import re

import asyncpg
import httpx
import pytest
from acts import enrolled, hidden
from driving import CAR, MOTORBIKE, amount, look, occupied, open_shift, park, pay_page, press_pay, send_form, transfer
from stage import Clock

from foundation.code import Kind, read
from foundation.web import Platform
from parking.web import BEGINS_PER_ADDRESS


async def test_the_lot_says_what_it_costs_who_is_paid_and_what_is_free(
    client: httpx.AsyncClient, here: Platform
) -> None:
    tablet = await enrolled(client, here)
    await tablet.does("vehicles/in", place=2, vehicle_class="motorbike", plate=MOTORBIKE)
    page = (await client.get("/P/VM1?lang=vi")).text
    assert "Bãi xe máy Văn Miếu" in page
    assert "Trung tâm Văn Miếu – Quốc Tử Giám" in page
    assert "Còn 199 trên 200 chỗ" in page
    for price in ("5.000", "8.000", "12.000", "3.000", "7.000"):
        assert f"{price}\N{NO-BREAK SPACE}₫" in page
    car = (await client.get("/P/DD1?lang=en")).text
    assert "Hour 1–2, each started hour" in car
    assert "From hour 5, each started hour" in car


async def test_the_code_on_the_sign_may_be_typed_in_small_letters(client: httpx.AsyncClient) -> None:
    assert (await client.get("/p/dd1")).status_code == 404
    assert "Dong Da car park" in (await client.get("/P/dd1?lang=en")).text
    answer = await client.post("/P/dd1", data={"key": "k" * 20, "plate": CAR, "vehicle_class": "car"})
    assert answer.status_code == 303


@pytest.mark.parametrize("code", ["NOWHERE", "VANMIEU", "x" * 200, "VM1'--"])
@pytest.mark.parametrize("path", ["/P/{}", "/P/{}/sign", "/api/v1/public/lots/{}"])
async def test_what_is_no_lot_is_not_found(client: httpx.AsyncClient, path: str, code: str) -> None:
    answer = await client.get(path.format(code))
    assert answer.status_code == 404, answer.text


@pytest.mark.parametrize("again", ["30a12345", "30A - 123.45", " 30a.123 45 "])
async def test_the_same_plate_in_any_spelling_comes_back_to_its_stay(client: httpx.AsyncClient, again: str) -> None:
    first = await park(client, plate=CAR)
    assert first.startswith("/T/")
    found = await park(client, plate=again)
    assert found.startswith("/P/DD1/stay/")
    assert await park(client, plate=CAR) == found


@pytest.mark.parametrize(
    ("language", "sentences"),
    [
        (
            "en",
            (
                "show the slip you were given",
                "finds the vehicle by its plate",
                "1 Dec 2026 09:00",
                "You may leave until 09:16.",
            ),
        ),
        ("vi", ("hãy đưa phiếu gửi xe", "nhân viên tìm xe theo biển số", "01/12/2026 09:00", "Bạn được ra đến 09:16.")),
    ],
)
async def test_whoever_knows_a_plate_may_pay_for_it_and_gets_nothing_to_leave_with(
    client: httpx.AsyncClient, here: Platform, clock: Clock, language: str, sentences: tuple[str, str, str, str]
) -> None:
    await clock.move_to("2026-12-01 09:00")
    tablet = await enrolled(client, here, operator="dongda")
    slip = (await tablet.does("vehicles/in", place=4, vehicle_class="car", plate=CAR))["stay"]
    found = await park(client, plate=CAR)
    before = await look(client, found, language)
    assert amount(before, "due") == amount(before, "fee") == 25_000
    for fact in ("1 × 25", *sentences[:3]):
        assert fact in before
    to_pay_on = await pay_page(client, found)
    await clock.move_to("2026-12-01 09:01")
    await transfer(client, to_pay_on.split("/")[2], "2026-12-01 09:01")
    assert (await client.get(to_pay_on)).headers["location"] == found
    after = await look(client, found, language)
    for sentence in sentences:
        assert sentence in after
    for page in (before, after):
        for secret in (
            "/T/",
            slip["code_url"][-48:],
            slip["short"],
            slip["short"].replace(" ", ""),
            "<figure",
            "123.45",
            "12345",
        ):
            assert secret not in page, secret
    gone = await tablet.does("vehicles/out", place=4, code=slip["code_url"])
    assert gone["verdict"] == "left"
    assert "/pay" not in await look(client, found, language)
    assert (await client.post(f"{found}/pay")).status_code == 409


async def test_the_name_of_a_found_stay_cannot_be_made_up(client: httpx.AsyncClient) -> None:
    mine, found = await park(client, plate=CAR), await park(client, plate=CAR)
    name = found.rpartition("/")[2]
    other = await park(client, plate="30A-999.99")
    assert other.startswith("/T/")
    made_up = (name[:-1] + ("0" if name[-1] != "0" else "1"), name.upper(), name[:32], "x", f"{'0' * 32}-{name[33:]}")
    for lot, wrong in [("DD1", one) for one in made_up] + [("VM1", name)]:
        assert (await client.get(f"/P/{lot}/stay/{wrong}")).status_code == 404, wrong
        assert (await client.post(f"/P/{lot}/stay/{wrong}/pay")).status_code == 404, wrong
    assert (await client.get(f"/P/NOWHERE/stay/{name}")).status_code == 404
    assert mine.startswith("/T/")


async def test_a_payment_leads_back_only_to_the_page_that_asked_for_it(client: httpx.AsyncClient, clock: Clock) -> None:
    await clock.move_to("2026-12-01 09:00")
    own, found = await park(client, plate=CAR), await park(client, plate=CAR)
    to_pay_on = await pay_page(client, own)
    strangers = await pay_page(client, found)
    assert strangers.split("/")[2] == to_pay_on.split("/")[2], "one stay, one payment"
    await transfer(client, to_pay_on.split("/")[2], "2026-12-01 09:01")
    answer = await client.get(strangers)
    assert answer.status_code == 200
    assert own not in answer.text
    assert (await client.get(to_pay_on)).headers["location"] == own


async def test_a_form_sent_twice_is_answered_alike_and_another_form_finds(client: httpx.AsyncClient) -> None:
    form = {"key": "k" * 20, "vehicle_class": "car", "plate": CAR}
    own = [(await client.post("/P/DD1", data=form)).headers["location"] for _ in range(3)]
    assert len(set(own)) == 1
    assert own[0].startswith("/T/")
    found = [(await client.post("/P/DD1", data=form | {"key": "l" * 20})).headers["location"] for _ in range(2)]
    assert len(set(found)) == 1
    assert found[0].startswith("/P/DD1/stay/")


async def test_plates_cannot_be_tried_without_limit(client: httpx.AsyncClient, here: Platform) -> None:
    tablet = await enrolled(client, here, operator="dongda")
    await tablet.does("vehicles/in", place=4, vehicle_class="car", plate=CAR)
    one_plate = [await send_form(client, "DD1", vehicle_class="car", plate=CAR) for _ in range(21)]
    assert [answer.status_code for answer in one_plate] == [303] * 20 + [429]
    assert "location" not in one_plate[-1].headers


async def test_a_d_typed_for_a_d_with_a_bar_is_asked_about_and_never_changed(
    client: httpx.AsyncClient, admin: asyncpg.Connection
) -> None:
    asked = await send_form(client, "VM1", vehicle_class="motorbike", plate="29-MD1 123.45")
    assert asked.status_code == 200
    assert "29-MĐ1 123.45" in asked.text
    assert await admin.fetchval("select count(*) from parking.stay") == 0
    key = hidden(asked.text, "key")
    meant = await client.post("/P/VM1", data={"key": key, "vehicle_class": "motorbike", "plate": "29MĐ112345"})
    assert meant.headers["location"].startswith("/T/")
    assert (await park(client, "VM1", "29-mđ1 123.45")).startswith("/P/VM1/stay/")
    typed = {"vehicle_class": "motorbike", "plate": "29MD112345"}
    other = await client.post("/P/VM1", data=typed | {"key": "k" * 20, "as_typed": "true"})
    assert other.status_code == 303
    assert other.headers["location"].startswith("/T/")
    assert other.headers["location"] != meant.headers["location"]
    back = await send_form(client, "VM1", **typed)
    assert back.headers["location"].startswith("/P/VM1/stay/")


async def test_an_unknown_plate_is_accepted(client: httpx.AsyncClient) -> None:
    assert (await park(client, "DD1", "粤B·12345")).startswith("/T/")


async def test_a_double_click_without_a_plate_is_one_stay_and_a_second_form_another(
    client: httpx.AsyncClient, admin: asyncpg.Connection
) -> None:
    page = await client.get("/P/VM1")
    form = {"key": hidden(page.text, "key"), "vehicle_class": "bicycle", "without": "true"}
    answers = await asyncio.gather(*(client.post("/P/VM1", data=form) for _ in range(8)))
    assert {answer.status_code for answer in answers} == {303}
    assert len({answer.headers["location"] for answer in answers}) == 1
    assert await park(client, "VM1", None, "bicycle") != answers[0].headers["location"]
    assert await admin.fetchval("select count(*) from parking.stay") == 2
    assert await occupied(admin, 2) == 0


async def test_eight_visitors_with_one_plate_begin_one_stay(
    client: httpx.AsyncClient, admin: asyncpg.Connection
) -> None:
    led_to = await asyncio.gather(*(park(client, "VM1", MOTORBIKE) for _ in range(8)))
    assert sorted(path.split("/")[1] for path in led_to) == ["P"] * 7 + ["T"], "one began it, the others found it"
    assert len(set(led_to)) == 2
    assert await admin.fetchval("select count(*) from parking.stay") == 1


@pytest.mark.parametrize(
    ("form", "status", "sentence"),
    [
        ({"vehicle_class": "car", "plate": " . "}, 422, "Type the plate"),
        ({"vehicle_class": "car", "plate": "A" * 30}, 422, "at most 20"),
        ({"vehicle_class": "truck", "plate": CAR}, 422, "no vehicle class named truck"),
        ({"vehicle_class": "bicycle", "plate": CAR}, 409, "does not take that kind of vehicle"),
    ],
)
async def test_what_cannot_be_is_said_above_the_form_and_what_was_typed_stays(
    client: httpx.AsyncClient, admin: asyncpg.Connection, form: dict[str, str], status: int, sentence: str
) -> None:
    answer = await send_form(client, "DD1", **form)
    assert answer.status_code == status
    assert sentence in answer.text
    assert f'value="{form["plate"]}"' in answer.text
    assert await admin.fetchval("select count(*) from parking.stay") == 0


async def test_a_form_sent_again_with_another_plate_is_refused(client: httpx.AsyncClient) -> None:
    form = {"key": "k" * 20, "vehicle_class": "car"}
    assert (await client.post("/P/DD1", data=form | {"plate": CAR})).status_code == 303
    answer = await client.post("/P/DD1", data=form | {"plate": "30A-999.99"}, headers={"accept-language": "en"})
    assert answer.status_code == 422
    assert "already used" in answer.text


async def test_a_full_lot_says_so_and_still_takes_money_for_who_stands_there(
    client: httpx.AsyncClient, here: Platform, admin: asyncpg.Connection
) -> None:
    await admin.execute("update parking.lot set capacity = 1 where place = 4")
    tablet = await enrolled(client, here, operator="dongda")
    await tablet.does("vehicles/in", place=4, vehicle_class="car", plate=CAR)
    assert "Full at the moment" in (await client.get("/P/DD1?lang=en")).text
    assert (await park(client, plate=CAR)).startswith("/P/DD1/stay/")
    assert await occupied(admin, 4) == 1


async def test_one_address_cannot_begin_without_limit(
    client: httpx.AsyncClient, here: Platform, admin: asyncpg.Connection
) -> None:
    for _ in range(int(BEGINS_PER_ADDRESS.partition("/")[0]) - 1):
        await here.limits.spend(BEGINS_PER_ADDRESS, "parking.begin", "127.0.0.1")
    answers = [await send_form(client, "VM1", vehicle_class="bicycle", without="true") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [303, 429]
    assert await admin.fetchval("select count(*) from parking.stay") == 1


async def test_the_page_of_a_stay_shows_no_more_than_the_tail_of_its_plate(client: httpx.AsyncClient) -> None:
    stay = await park(client, plate=CAR)
    page = await look(client, stay)
    assert "•••345" in page
    assert "12345" not in page
    assert "123.45" not in page
    assert "No plate" in await look(client, await park(client, "VM1", None, "bicycle"))


async def test_a_paid_stay_shows_its_leave_code(client: httpx.AsyncClient, here: Platform, clock: Clock) -> None:
    await clock.move_to("2026-12-01 23:50")
    stay = await park(client)
    own = here.codes.verify(stay.removeprefix("/T/"))
    assert (own.kind, own.place, own.product, own.day.isoformat()) == (Kind.STAY, 4, 1, "2026-12-01")
    assert (own.vehicle_class, own.entry_minute) == (3, 23 * 60 + 50)
    reference = await press_pay(client, stay)
    await clock.move_to("2026-12-01 23:52")
    await transfer(client, reference, "2026-12-01 23:51")
    page = await look(client, stay)
    leave_path = next(part.split("/qr.png")[0] for part in page.split('href="') if "/qr.png" in part[:80])
    leave = here.codes.verify(read(leave_path.removeprefix("/T/")))
    assert (leave.kind, leave.serial, leave.day.isoformat(), leave.leave_until_minute) == (
        Kind.LEAVE,
        own.serial,
        "2026-12-02",
        6,
    )
    assert "You may leave until 00:06 (2 Dec 2026)." in await look(client, leave_path)


async def test_a_stay_that_left_is_a_receipt(client: httpx.AsyncClient, here: Platform, clock: Clock) -> None:
    await clock.move_to("2026-12-01 09:00")
    tablet = await enrolled(client, here, operator="dongda")
    stay = await park(client)
    await transfer(client, await press_pay(client, stay), "2026-12-01 09:01")
    await clock.move_to("2026-12-01 09:10")
    await tablet.does("vehicles/out", place=4, code=stay.removeprefix("/T/"))
    await clock.move_to("2026-12-02 09:00")
    page = await look(client, stay)
    assert amount(page, "settled") == amount(page, "fee") == 25_000
    assert "1 Dec 2026 09:10" in page
    assert "Dong Da Parking Company" in page
    assert 'id="pay"' not in page
    answer = await client.post(f"/P/stay/{stay.removeprefix('/T/')}/pay")
    assert answer.status_code == 409
    assert "already left" in answer.text


async def test_where_nothing_is_due_the_button_leads_back(client: httpx.AsyncClient, clock: Clock) -> None:
    await clock.move_to("2026-12-01 09:00")
    stay = await park(client)
    await transfer(client, await press_pay(client, stay), "2026-12-01 09:01")
    assert (await client.post(f"/P/stay/{stay.removeprefix('/T/')}/pay")).headers["location"] == stay


async def test_a_paid_charge_leads_back_to_the_stay(
    client: httpx.AsyncClient, here: Platform, clock: Clock, admin: asyncpg.Connection
) -> None:
    await clock.move_to("2026-12-01 09:00")
    stay = await park(client)
    to_pay_on = await pay_page(client, stay)
    await transfer(client, to_pay_on.split("/")[2], "2026-12-01 09:01")
    assert (await client.get(to_pay_on)).headers["location"] == stay


async def test_only_codes_of_stays_can_be_paid(client: httpx.AsyncClient, here: Platform) -> None:
    stay = (await park(client)).removeprefix("/T/")
    for forged in (stay[:-1] + ("A" if stay[-1] != "A" else "B"), "A" * 48, "x", stay + "A"):
        assert (await client.post(f"/P/stay/{forged}/pay")).status_code == 404
        assert (await client.get(f"/T/{forged}")).status_code == 404


@pytest.mark.parametrize(
    ("asked", "drawn"), [("", "a4"), ("?size=A5", "a5"), ("?size=a5", "a5"), ("?size=%3Cb%3E", "a4")]
)
async def test_the_sign_names_the_lot_the_payee_and_the_domain(
    client: httpx.AsyncClient, asked: str, drawn: str
) -> None:
    page = (await client.get(f"/P/dd1/sign{asked}")).text
    assert f'<article class="sheet {drawn}">' in page
    for word in ("Bãi ô tô Đống Đa", "Công ty Trông giữ xe Đống Đa", "Dong Da Parking Company", "test.local/P/DD1"):
        assert word in page
    assert "<svg" in page
    assert "Quét" in page
    assert "Scan with" in page


async def test_a_program_reads_a_lot_and_hears_when_nothing_changed(client: httpx.AsyncClient, here: Platform) -> None:
    tablet = await enrolled(client, here, operator="dongda")
    first = await client.get("/api/v1/public/lots/dd1")
    said = first.json()
    assert (said["code"], said["free"], said["occupied"], said["capacity"]) == ("DD1", 60, 0, 60)
    assert said["tariffs"][0]["rule"]["bands"][0] == {"up_to_hour": 2, "price_vnd": 25_000}
    again = await client.get("/api/v1/public/lots/DD1", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    await tablet.does("vehicles/in", place=4, vehicle_class="car", plate=CAR)
    changed = await client.get("/api/v1/public/lots/DD1", headers={"if-none-match": first.headers["etag"]})
    assert (changed.status_code, changed.json()["free"]) == (200, 59)


async def test_no_plate_stands_in_the_database_in_clear(
    client: httpx.AsyncClient, here: Platform, clock: Clock, admin: asyncpg.Connection
) -> None:
    await clock.move_to("2026-12-01 09:00")
    tablet = await enrolled(client, here, operator="dongda")
    await open_shift(here, tablet, operator="dongda", place=4)
    said = await tablet.does("vehicles/in", place=4, vehicle_class="car", plate="30A-987.61")
    await tablet.does("cash/stay", place=4, stay_id=said["stay"]["id"], amount_vnd=25_000)
    await tablet.does("vehicles/out", place=4, stay_id=said["stay"]["id"])
    await park(client, plate="30A-987.61")
    for table in await admin.fetch(
        "select c.oid::regclass::text as name from pg_class c join pg_namespace n on n.oid = c.relnamespace"
        " where c.relkind = 'r' and n.nspname in ('foundation', 'payments', 'parking', 'ticketing')"
    ):
        rows = await admin.fetch(f"select t::text as row from {table['name']} t")
        for row in rows:
            # Five digits of their own: a time's microseconds may hold the same ones.
            said = re.search(r"(?<!\d)98761(?!\d)", row["row"].replace("-", "").replace(".", ""))
            assert said is None, table["name"]
            assert b"30A98761".hex() not in row["row"], table["name"]
