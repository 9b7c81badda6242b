"""Tablets: a one-time code enrols one tablet, a PIN opens one session, guessing is stopped, revoking works at once."""

from __future__ import annotations

import asyncio

import asyncpg
import httpx
import pytest
from acts import enrolled

import demo
from foundation import device
from foundation.web import Platform


async def offered(here: Platform, places: list[int] | None = None) -> str:
    async with here.database.transaction(demo.VANMIEU) as tx:
        return await device.offer_enrolment(tx, operator_code="vanmieu", device_name="Cổng", places=places or [1, 2])


async def test_a_code_enrols_one_tablet_however_often_it_is_sent(
    client: httpx.AsyncClient, here: Platform, admin: asyncpg.Connection
) -> None:
    code = await offered(here)
    sent = [client.post("/api/v1/device/enrol", json={"code": code.lower().replace("-", " - ", 1)}) for _ in range(1)]
    answers = await asyncio.gather(*sent, *(client.post("/api/v1/device/enrol", json={"code": code}) for _ in range(7)))
    assert sorted(answer.status_code for answer in answers) == [200] + [403] * 7
    assert await admin.fetchval("select count(*) from foundation.device") == 1
    said = next(answer.json() for answer in answers if answer.status_code == 200)
    assert [place["number"] for place in said["places"]] == [1, 2]
    assert said["places"][0]["categories"][0]["price_vnd"] == 70_000


async def test_a_code_that_ran_out_or_is_of_nobody_is_refused(
    client: httpx.AsyncClient, here: Platform, admin: asyncpg.Connection
) -> None:
    code = await offered(here)
    await admin.execute("update foundation.enrolment set expires_at = now() - interval '1 second'")
    for wrong in (code, "VANMIEU-AAAAA-AAAAA", "NOBODY-AAAAA-AAAAA", "x" * 20):
        answer = await client.post("/api/v1/device/enrol", json={"code": wrong})
        assert (answer.status_code, answer.json()["code"]) == (403, "enrolment_refused"), wrong


async def test_the_next_attendant_ends_the_session_of_the_one_before(client: httpx.AsyncClient, here: Platform) -> None:
    tablet = await enrolled(client, here)
    again = await client.post(
        "/api/v1/device/login",
        json={"login": "02", "pin": demo.PIN},
        headers={"authorization": f"Bearer {tablet.device_token}"},
    )
    assert again.json()["attendant"]["login"] == "02"
    old = await client.get("/api/v1/device/me", headers={"authorization": f"Bearer {tablet.session_token}"})
    assert (old.status_code, old.json()["code"]) == (401, "login_expired")


async def test_a_wrong_pin_and_an_unknown_number_sound_the_same_and_guessing_ends(
    client: httpx.AsyncClient, here: Platform
) -> None:
    tablet = await enrolled(client, here)
    header = {"authorization": f"Bearer {tablet.device_token}"}
    said = set()
    for login, pin in (("01", "000000"), ("99", "000000"), ("ketoan", demo.PASSWORD)):
        answer = await client.post("/api/v1/device/login", json={"login": login, "pin": pin}, headers=header)
        said.add((answer.status_code, answer.json()["code"], answer.json()["title"]))
    assert len(said) == 1
    assert next(iter(said))[:2] == (401, "wrong_login")
    statuses = [
        (await client.post("/api/v1/device/login", json={"login": "01", "pin": "111111"}, headers=header)).status_code
        for _ in range(12)
    ]
    assert 429 in statuses
    right = await client.post("/api/v1/device/login", json={"login": "01", "pin": demo.PIN}, headers=header)
    assert right.status_code == 429


async def test_logging_out_and_revoking_work_at_once(client: httpx.AsyncClient, here: Platform) -> None:
    tablet = await enrolled(client, here)
    header = {"authorization": f"Bearer {tablet.session_token}"}
    assert (await client.get("/api/v1/device/me", headers=header)).status_code == 200
    assert (await client.post("/api/v1/device/logout", headers=header)).status_code == 204
    assert (await client.get("/api/v1/device/me", headers=header)).status_code == 401
    other = await enrolled(client, here)
    header = {"authorization": f"Bearer {other.session_token}"}
    async with here.database.transaction(demo.VANMIEU) as tx:
        for row in await tx.rows("select id from foundation.device"):
            await device.revoke(tx, row["id"])
    assert (await client.get("/api/v1/device/me", headers=header)).json()["code"] == "device_revoked"
    again = await client.post(
        "/api/v1/device/login",
        json={"login": "01", "pin": demo.PIN},
        headers={"authorization": f"Bearer {other.device_token}"},
    )
    assert again.json()["code"] == "device_revoked"


async def test_someone_who_left_is_logged_out_everywhere(
    client: httpx.AsyncClient, here: Platform, admin: asyncpg.Connection
) -> None:
    tablet = await enrolled(client, here)
    await admin.execute("update foundation.staff set active = false where login = '01'")
    answer = await client.get("/api/v1/device/me", headers={"authorization": f"Bearer {tablet.session_token}"})
    assert answer.json()["code"] == "login_expired"


async def test_what_is_no_token_is_nobody(client: httpx.AsyncClient) -> None:
    for header in ("", "Bearer", "Bearer x", "Basic YTpi", "Bearer " + "0" * 32 + "." + "x" * 43):
        answer = await client.get("/api/v1/device/me", headers={"authorization": header})
        assert answer.status_code == 401, header


async def test_hot_acts_go_on_after_a_refusal_a_cut_off_call_and_a_connection_that_the_server_closed(
    here: Platform, admin: asyncpg.Connection
) -> None:
    hot = here.database.hot
    with pytest.raises(asyncpg.DivisionByZeroError):
        await hot("select 1 / 0")
    cut_off = asyncio.create_task(hot("select pg_sleep(5)"))
    await asyncio.sleep(0.2)
    cut_off.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cut_off
    kept = {
        row[0] for row in await asyncio.gather(*(hot("select pg_backend_pid(), pg_sleep(0.05)") for _ in range(20)))
    }
    for number in kept:
        await admin.execute("select pg_terminate_backend($1)", number)
    await asyncio.sleep(0.2)
    assert [row[0] for row in await asyncio.gather(*(hot("select 1") for _ in range(20)))] == [1] * 20
    async with here.database.transaction(demo.VANMIEU) as tx:
        assert await tx.value("select 1") == 1
