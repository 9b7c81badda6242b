"""The gate: every verdict, whoever scans, however often, and two people at the last head of a group."""

from __future__ import annotations

import asyncio
import uuid

import asyncpg
import httpx
import pytest
from acts import bought_code, enrolled
from stage import Clock

from foundation.code import CodeKeys
from foundation.web import Platform


async def test_a_paid_ticket_is_valid_once(client: httpx.AsyncClient, here: Platform) -> None:
    tablet, other = await enrolled(client, here, name="Cổng 1"), await enrolled(client, here, name="Cổng 2")
    code = await bought_code(client, adult=2, child=1)
    first = await tablet.scan(f"HTTP://TEST.LOCAL/T/{code}")
    assert first["verdict"] == "valid"
    assert (first["admitted_now"], first["admitted_total"], first["heads"]) == (3, 3, 3)
    assert [line["heads"] for line in first["lines"]] == [2, 1]
    second = await other.scan(code)
    assert second["verdict"] == "used"
    assert second["last_used_where"] == "Cổng 1"
    assert second["first_used_at"] == first["first_used_at"]


async def test_the_same_code_within_three_seconds_at_one_tablet_is_ignored(
    client: httpx.AsyncClient, here: Platform, clock: Clock
) -> None:
    tablet = await enrolled(client, here)
    code = await bought_code(client, adult=1)
    assert (await tablet.scan(code))["verdict"] == "valid"
    assert (await tablet.scan(code))["verdict"] == "repeated"
    await clock.admin.execute("select foundation.set_clock(foundation.now() + interval '4 seconds', 1)")
    assert (await tablet.scan(code))["verdict"] == "used"


async def test_a_group_may_come_in_parts_but_never_as_more(client: httpx.AsyncClient, here: Platform) -> None:
    tablet, other = await enrolled(client, here), await enrolled(client, here)
    code = await bought_code(client, adult=5)
    assert (await tablet.scan(code, heads=3))["admitted_total"] == 3
    too_many = await other.scan(code, heads=3)
    assert (too_many["verdict"], too_many["admitted_total"]) == ("used", 3)
    assert (await other.scan(code, heads=2))["verdict"] == "valid"
    assert (await tablet.scan(code, heads=1))["verdict"] == "used"


async def test_the_last_head_of_a_group_is_admitted_by_exactly_one_of_many(
    client: httpx.AsyncClient, here: Platform, admin: asyncpg.Connection
) -> None:
    tablets = [await enrolled(client, here, name=f"Cổng {n}") for n in range(4)]
    for _ in range(10):
        code = await bought_code(client, adult=2)
        await tablets[0].scan(code, heads=1)
        verdicts = [r["verdict"] for r in await asyncio.gather(*(t.scan(code, heads=1) for t in tablets[1:] * 2))]
        assert verdicts.count("valid") == 1, verdicts
        assert set(verdicts) <= {"valid", "used", "repeated"}
    assert await admin.fetchval("select bool_and(admitted = heads) from ticketing.ticket")


async def test_the_short_form_typed_by_hand_is_the_same_ticket(
    client: httpx.AsyncClient, here: Platform, admin: asyncpg.Connection
) -> None:
    tablet = await enrolled(client, here)
    await bought_code(client, adult=1)
    short: str = await admin.fetchval("select short from ticketing.ticket")
    assert (await tablet.scan(f" {short[:5].lower()}-{short[5:]} "))["verdict"] == "valid"
    wrong = short[:-1] + ("A" if short[-1] != "A" else "B")
    assert (await tablet.scan(wrong))["verdict"] == "unknown"


async def test_wrong_place_wrong_day_revoked_and_unknown_are_told_apart(
    client: httpx.AsyncClient, here: Platform, admin: asyncpg.Connection, clock: Clock
) -> None:
    await clock.move_to("2030-03-01 10:00")
    tablet, citadel = await enrolled(client, here), await enrolled(client, here, operator="thanglong")
    code = await bought_code(client, adult=1)
    assert (await citadel.scan(code, place=3))["verdict"] == "wrong_place"
    await admin.execute("update ticketing.ticket set revoked_at = now()")
    assert (await tablet.scan(code))["verdict"] == "revoked"
    await admin.execute("update ticketing.ticket set revoked_at = null")
    await clock.move_to("2030-03-02 10:00")
    late = await tablet.scan(code)
    assert (late["verdict"], late["day"]) == ("wrong_day", "2030-03-01")
    for nonsense in (
        "hello",
        "HTTPS://EVIL.EXAMPLE/T/" + "A" * 48,
        "X" * 200,
        code[:-1] + ("A" if code[-1] != "A" else "B"),
    ):
        assert (await tablet.scan(nonsense))["verdict"] == "unknown", nonsense


async def test_a_code_of_another_environment_opens_nothing(client: httpx.AsyncClient, here: Platform) -> None:
    tablet = await enrolled(client, here)
    code = await bought_code(client, adult=1)
    foreign = CodeKeys({1: here.settings.root}, "production").sign(here.codes.verify(code))
    assert (await tablet.scan(foreign))["verdict"] == "unknown"
    assert (await client.get(f"/T/{foreign}")).status_code == 404


async def test_a_scan_sent_again_returns_its_first_outcome_and_another_body_is_refused(
    client: httpx.AsyncClient, here: Platform, admin: asyncpg.Connection
) -> None:
    tablet = await enrolled(client, here)
    code = await bought_code(client, adult=1)
    body = tablet.action(place=1, code=code, heads=None)
    first = await tablet.post("scan", body)
    again = await tablet.post("scan", body)
    assert first.json() == again.json()
    assert first.json()["verdict"] == "valid"
    other = await tablet.post("scan", body | {"heads": 1})
    assert (other.status_code, other.json()["code"]) == (422, "key_used_for_another")
    assert await admin.fetchval("select count(*) from foundation.action") == 1


async def test_the_same_scan_sent_eight_times_at_once_admits_once(
    client: httpx.AsyncClient, here: Platform, admin: asyncpg.Connection
) -> None:
    tablet = await enrolled(client, here)
    for _ in range(10):
        body = tablet.action(place=1, code=await bought_code(client, adult=1), heads=None)
        answers = await asyncio.gather(*(tablet.post("scan", body) for _ in range(8)))
        assert {answer.status_code for answer in answers} == {200}
        assert {answer.json()["verdict"] for answer in answers} == {"valid"}
    unknown = tablet.action(place=1, code="hello", heads=None)
    answers = await asyncio.gather(*(tablet.post("scan", unknown) for _ in range(8)))
    assert {answer.json()["verdict"] for answer in answers} == {"unknown"}
    assert await admin.fetchval("select count(*) from foundation.action") == 11


async def test_who_may_not_scan_is_told_why_and_admits_nobody(
    client: httpx.AsyncClient, here: Platform, admin: asyncpg.Connection
) -> None:
    tablet = await enrolled(client, here, places=[1])
    code = await bought_code(client, adult=1)
    body = tablet.action(place=2, code=code, heads=None)
    assert (await tablet.post("scan", body)).json()["code"] == "place_not_yours"
    await admin.execute("update foundation.session set expires_at = now() - interval '1 second'")
    expired = await tablet.post("scan", tablet.action(place=1, code=code, heads=None))
    assert (expired.status_code, expired.json()["code"]) == (401, "login_expired")
    await admin.execute("update foundation.session set expires_at = now() + interval '1 hour'")
    await admin.execute("update foundation.device set revoked_at = now()")
    revoked = await tablet.post("scan", tablet.action(place=1, code=code, heads=None))
    assert (revoked.status_code, revoked.json()["code"]) == (401, "device_revoked")
    stranger = await client.post(
        "/api/v1/device/scan", json=body, headers={"authorization": f"Bearer {uuid.uuid4().hex}.{'x' * 43}"}
    )
    assert stranger.status_code == 401
    assert await admin.fetchval("select sum(admitted) from ticketing.ticket") == 0


@pytest.mark.parametrize("heads", ["1", 1.0, True, 0, -1, 256])
async def test_heads_are_a_whole_number_or_nothing(client: httpx.AsyncClient, here: Platform, heads: object) -> None:
    tablet = await enrolled(client, here)
    answer = await tablet.post("scan", tablet.action(place=1, code="x", heads=heads))
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_payload")


async def test_another_language_of_the_attendant_gets_its_own_sentence(
    client: httpx.AsyncClient, here: Platform, admin: asyncpg.Connection
) -> None:
    tablet = await enrolled(client, here)
    await admin.execute("update foundation.device set revoked_at = now()")
    answer = await client.get(
        "/api/v1/device/me",
        headers={"authorization": f"Bearer {tablet.session_token}", "accept-language": "vi"},
    )
    assert answer.json()["title"] != "This tablet was taken out of service; hand it to your supervisor."
