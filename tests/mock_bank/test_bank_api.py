"""The bank as programs see it: accounts, payments, the list, faults and the clock."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import httpx
import pytest

from tests.mock_bank.receiving import ACCOUNT, BIN, Pay, Receiver

ORDER = "00020101021238540010A00000072701240006970436011012345678900208QRIBFTTA530370454061400005802VN62160812HNTKA8B4C6D26304"


async def listed(api: httpx.AsyncClient, account: str = ACCOUNT, limit: int = 500) -> list[dict[str, object]]:
    """Everything the list tells, page by page."""
    items: list[dict[str, object]] = []
    after: dict[str, str] = {}
    while True:
        query = {"bin": BIN, "account": account, "limit": str(limit), **after}
        page = (await api.get("/api/v1/transactions", params=query)).raise_for_status().json()
        items += page["items"]
        if not page["has_more"]:
            return items
        after = {"after": page["next_cursor"]}


async def balance_vnd(api: httpx.AsyncClient, account: str = ACCOUNT) -> int:
    return int((await api.get(f"/api/v1/accounts/{BIN}/{account}")).raise_for_status().json()["balance_vnd"])


async def test_opening_an_account_again_changes_its_owner_and_keeps_its_money(api: httpx.AsyncClient, pay: Pay) -> None:
    await pay(amount_vnd=5_000)
    again = await api.put(f"/api/v1/accounts/{BIN}/{ACCOUNT}", json={"owner_name": "DOI TEN", "webhook_url": None})
    assert again.json() == {**again.json(), "owner_name": "DOI TEN", "webhook_url": None, "balance_vnd": 5_000}


async def test_a_payment_is_booked_with_what_the_bank_knows_of_it(api: httpx.AsyncClient, pay: Pay) -> None:
    await api.put("/api/v1/faults", json={"text_style": "clean"})
    answer = await pay(text="ve Văn Miếu HNTKA8B4C6D2", payer={"name": "TRAN VAN A", "bin": "970422", "account": "99"})
    assert answer.status_code == 201
    booked = answer.json()
    assert booked["bank_ref"].startswith("FT")
    assert booked["text"] == "ve Văn Miếu HNTKA8B4C6D2"
    assert (booked["amount_vnd"], booked["direction"]) == (70_000, "credit")
    assert (booked["payer_name"], booked["payer_bin"], booked["payer_account"]) == ("TRAN VAN A", "970422", "99")
    assert abs(datetime.fromisoformat(booked["booked_at"]) - datetime.now(UTC)) < timedelta(seconds=5)
    assert await balance_vnd(api) == 70_000


async def test_a_dirty_text_still_holds_the_reference(pay: Pay) -> None:
    assert "HNTKA8B4C6D2" in (await pay(text="hntka8b4c6d2")).json()["text"]


async def test_the_same_id_and_content_is_booked_once_and_answered_alike(api: httpx.AsyncClient, pay: Pay) -> None:
    payment_id = str(uuid4())
    answers = await asyncio.gather(*(pay(id=payment_id) for _ in range(8)))
    assert [answer.status_code for answer in answers] == [201] * 8
    assert len({answer.content for answer in answers}) == 1
    assert sum(answer.headers.get("idempotent-replayed") == "true" for answer in answers) == 7
    assert await balance_vnd(api) == 70_000
    assert len(await listed(api)) == 1


async def test_the_same_id_with_other_content_is_refused(api: httpx.AsyncClient, pay: Pay) -> None:
    payment_id = str(uuid4())
    await pay(id=payment_id)
    refused = await pay(id=payment_id, amount_vnd=70_001)
    assert (refused.status_code, refused.json()["code"]) == (422, "other_payment")
    assert await balance_vnd(api) == 70_000


async def test_one_id_races_for_two_accounts_and_wins_one(api: httpx.AsyncClient, pay: Pay) -> None:
    await api.put(f"/api/v1/accounts/{BIN}/OTHER1", json={"owner_name": "B"})
    payment_id = str(uuid4())
    answers = await asyncio.gather(*(pay(id=payment_id, account=name) for name in (ACCOUNT, "OTHER1") * 4))
    winners = {answer.json()["account"] for answer in answers if answer.status_code == 201}
    assert len(winners) == 1
    assert {answer.status_code for answer in answers} == {201, 422}
    assert await balance_vnd(api) + await balance_vnd(api, "OTHER1") == 70_000


async def test_a_code_pays_what_it_says_unless_the_payer_says_otherwise(api: httpx.AsyncClient, pay: Pay) -> None:
    from mock_bank.vietqr import checksum

    code = ORDER + checksum(ORDER)
    by_code = {"bin": None, "account": None, "text": None, "code": code}
    assert (await pay(**by_code, amount_vnd=None)).json()["amount_vnd"] == 140_000
    assert (await pay(**by_code, amount_vnd=100_000)).json()["amount_vnd"] == 100_000
    broken = await pay(**{**by_code, "code": code[:-1] + ("0" if code[-1] != "0" else "1")}, amount_vnd=None)
    assert (broken.status_code, broken.json()["code"]) == (400, "wrong_checksum")


async def test_an_unknown_account_takes_no_money(pay: Pay) -> None:
    refused = await pay(account="404404")
    assert (refused.status_code, refused.json()["code"]) == (404, "unknown_account")
    assert refused.headers["content-type"] == "application/problem+json"
    assert "404404" in refused.json()["detail"]


@pytest.mark.parametrize(
    "amount",
    [
        "1",
        '"70000"',
        "1.0",
        "7e4",
        "true",
        "NaN",
        "Infinity",
        "-1",
        "0",
        "500000000",
        "9" * 23,
        "9" * 5000,
        "[1]",
        "{}",
    ],
)
async def test_an_amount_that_is_no_whole_number_of_dong_is_refused(
    api: httpx.AsyncClient, account: str, amount: str
) -> None:
    body = f'{{"id": "{uuid4()}", "bin": "{BIN}", "account": "{account}", "text": "A", "amount_vnd": {amount}}}'
    answer = await api.post("/api/v1/payments", content=body, headers={"content-type": "application/json"})
    if amount == "1":
        assert answer.status_code == 201
    else:
        assert (answer.status_code, answer.json()["code"]) == (422, "bad_payload")
        assert await balance_vnd(api) == 0


@pytest.mark.parametrize(
    "body",
    [
        '{"id": "%s", "bin": "970436", "account": "1234567890", "text": "A", "amount_vnd": 1, "amount_vnd": 2}',
        '{"id": "%s", "bin": "970436", "account": "1234567890", "text": "A", "amount_vnd": 1, "tip": 2}',
        '{"id": "%s", "bin": "970436", "text": "A", "amount_vnd": 1}',
        '{"id": "%s", "bin": "970436", "account": "1234567890", "code": "A", "amount_vnd": 1}',
        '{"id": "%s", "bin": "970436", "account": "1234567890", "text": "\\u0000", "amount_vnd": 1}',
        '{"id": "%s", "bin": "970436", "account": "1234567890", "text": "\\ud800", "amount_vnd": 1}',
        '{"id": "no uuid", "bin": "970436", "account": "1234567890", "amount_vnd": 1}',
        "not json",
        "[" * 60_000,
    ],
)
async def test_a_payload_that_cannot_be_read_is_refused(api: httpx.AsyncClient, account: str, body: str) -> None:
    body = body.replace("%s", str(uuid4()))
    answer = await api.post("/api/v1/payments", content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_payload")
    assert await balance_vnd(api) == 0


async def test_a_body_of_a_megabyte_is_refused(api: httpx.AsyncClient) -> None:
    answer = await api.post("/api/v1/payments", content=b" " * 1_000_000, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


@pytest.mark.parametrize(
    "header", [{"authorization": ""}, {"authorization": "Bearer other"}, {"authorization": "Basic eA=="}]
)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", f"/api/v1/accounts/{BIN}/{ACCOUNT}"),
        ("GET", f"/api/v1/accounts/{BIN}/{ACCOUNT}"),
        ("GET", f"/api/v1/transactions?bin={BIN}&account={ACCOUNT}"),
        ("POST", "/api/v1/payments"),
        ("GET", "/api/v1/faults"),
        ("PUT", "/api/v1/faults"),
        ("GET", "/clock"),
        ("PUT", "/clock"),
    ],
)
async def test_without_the_key_nothing_is_told_or_done(
    api: httpx.AsyncClient, account: str, method: str, path: str, header: dict[str, str]
) -> None:
    answer = await api.request(method, path, headers=header, json={} if method != "GET" else None)
    assert (answer.status_code, answer.json()["code"]) == (401, "not_authorised")


async def test_the_list_tells_everything_once_in_the_order_of_booking(api: httpx.AsyncClient, pay: Pay) -> None:
    paid = [(await pay(amount_vnd=amount)).json() for amount in range(1, 8)]
    told = await listed(api, limit=3)
    assert [item["amount_vnd"] for item in told] == [1, 2, 3, 4, 5, 6, 7]
    assert told == [{name: fact for name, fact in one.items() if name != "id"} for one in paid]
    assert len({item["bank_ref"] for item in told}) == 7


async def test_nothing_ever_appears_behind_the_cursor_while_many_pay(api: httpx.AsyncClient, pay: Pay) -> None:
    told: list[str] = []
    cursor: dict[str, str] = {}

    async def poll() -> None:
        page = (
            await api.get("/api/v1/transactions", params={"bin": BIN, "account": ACCOUNT, "limit": "7", **cursor})
        ).json()
        told.extend(item["bank_ref"] for item in page["items"])
        cursor["after"] = page["next_cursor"]

    paying = asyncio.gather(*(pay(amount_vnd=1) for _ in range(120)))
    while not paying.done():
        await poll()
    for _ in range(120 // 7 + 1):
        await poll()
    assert told == [item["bank_ref"] for item in await listed(api)]
    assert len(told) == len(set(told)) == 120


async def test_a_cursor_of_another_list_is_refused(api: httpx.AsyncClient, pay: Pay) -> None:
    await api.put(f"/api/v1/accounts/{BIN}/OTHER1", json={"owner_name": "B"})
    others = (await api.get("/api/v1/transactions", params={"bin": BIN, "account": "OTHER1"})).json()["next_cursor"]
    for cursor in (others, "nonsense", "é", "AAAA"):
        answer = await api.get("/api/v1/transactions", params={"bin": BIN, "account": ACCOUNT, "after": cursor})
        assert (answer.status_code, answer.json()["code"]) == (400, "bad_cursor")


async def test_the_list_of_an_unknown_account_says_so(api: httpx.AsyncClient) -> None:
    answer = await api.get("/api/v1/transactions", params={"bin": BIN, "account": "404404"})
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_account")


async def test_the_banks_time_can_be_set_and_bookings_carry_it(api: httpx.AsyncClient, pay: Pay) -> None:
    answer = await api.put("/clock", json={"at": "2026-12-31T23:59:59+07:00", "rate": 0})
    assert datetime.fromisoformat(answer.json()["at"]) == datetime(2026, 12, 31, 16, 59, 59, tzinfo=UTC)
    paid = (await pay()).json()
    assert paid["booked_at"] == "2026-12-31T23:59:59.000000+07:00"
    assert paid["bank_ref"].startswith("FT26365")
    assert (await listed(api))[0]["booked_at"] == paid["booked_at"]


async def test_the_banks_time_runs_at_its_rate(api: httpx.AsyncClient) -> None:
    await api.put("/clock", json={"at": "2026-11-21T00:00:00Z", "rate": 3600})
    await asyncio.sleep(0.1)
    passed = datetime.fromisoformat((await api.get("/clock")).json()["at"]) - datetime(2026, 11, 21, tzinfo=UTC)
    assert timedelta(seconds=360) <= passed < timedelta(seconds=3600)


@pytest.mark.parametrize(
    "body",
    [{"at": "2026-11-21T00:00:00"}, {"at": "1999-01-01T00:00:00Z"}, {"at": "2026-11-21T00:00:00Z", "rate": -1}, {}],
)
async def test_a_time_that_makes_no_sense_is_refused(api: httpx.AsyncClient, body: dict[str, object]) -> None:
    assert (await api.put("/clock", json=body)).status_code == 422


@pytest.mark.parametrize(
    "body",
    [{"repeat_notices": 0}, {"repeat_notices": 6}, {"delay_seconds": 3601}, {"text_style": "odd"}, {"lose": True}],
)
async def test_faults_beyond_reason_are_refused(api: httpx.AsyncClient, body: dict[str, object]) -> None:
    assert (await api.put("/api/v1/faults", json=body)).status_code == 422


async def test_what_a_program_is_refused_is_said_in_its_language(pay: Pay, api: httpx.AsyncClient) -> None:
    api.headers["accept-language"] = "vi-VN,vi;q=0.9,en;q=0.8"
    vietnamese = (await pay(account="404404")).json()
    api.headers["accept-language"] = "en-GB,en;q=0.9"
    english = (await pay(account="404404")).json()
    assert vietnamese["code"] == english["code"] == "unknown_account"
    assert "tài khoản" in vietnamese["detail"]
    assert "knows no account" in english["detail"]


async def test_the_bank_says_that_it_is_well(api: httpx.AsyncClient) -> None:
    assert (await api.get("/healthz")).json() == {"status": "ok"}


async def test_a_notice_and_the_list_say_the_same(api: httpx.AsyncClient, pay: Pay, receiver: Receiver) -> None:
    await pay()
    await receiver.has(1)
    assert json.loads(receiver.got[0][1])["data"] == (await listed(api))[0]
