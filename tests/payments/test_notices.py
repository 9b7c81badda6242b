"""Money arrives: notices of the bank, forged, repeated, stale; what each amount does; polling when they are lost."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta

import asyncpg
import httpx
import pytest
from acts import ACCOUNTS, BANK_SECRET, OPERATOR_IDS, code_of, notify, order_to_pay
from trade import Trade

from foundation import outbox
from foundation.web import Platform
from payments import books, notice
from payments.gateway.bank import Bank
from payments.payment import find, touch_statistics
from payments.receipt import Credit, receive


async def state(client: httpx.AsyncClient, reference: str) -> str:
    said: str = (await client.get(f"/api/v1/public/payments/{reference}")).json()["state"]
    return said


async def test_the_same_notice_twice_counts_once(client: httpx.AsyncClient, admin: asyncpg.Connection) -> None:
    reference = await order_to_pay(client, adult=1)
    for event in ("evt_1", "evt_1", "evt_2"):
        answer = await notify(client, text=reference, amount_vnd=70_000, bank_ref="FT1", event_id=event)
        assert answer.status_code == 202
    assert await state(client, reference) == "paid"
    assert await admin.fetchval("select count(*) from payments.receipt") == 1
    assert await admin.fetchval("select count(*) from payments.transfer") == 3
    assert await admin.fetchval("select count(*) from payments.held") == 0


async def test_the_same_notice_at_once_eight_times_counts_once(
    client: httpx.AsyncClient, admin: asyncpg.Connection
) -> None:
    reference = await order_to_pay(client, adult=1)
    sent = [notify(client, text=reference, amount_vnd=70_000, bank_ref="FT1") for _ in range(8)]
    assert {answer.status_code for answer in await asyncio.gather(*sent)} == {202}
    assert await admin.fetchval("select count(*) from payments.receipt") == 1
    assert await admin.fetchval("select count(*) from ticketing.ticket") == 1


async def test_too_little_leaves_the_rest_to_pay_and_the_rest_completes_it(
    client: httpx.AsyncClient, admin: asyncpg.Connection
) -> None:
    reference = await order_to_pay(client, adult=2)
    await notify(client, text=reference, amount_vnd=100_000)
    said = (await client.get(f"/api/v1/public/payments/{reference}")).json()
    assert (said["state"], said["remaining_vnd"]) == ("partial", 40_000)
    assert "540540000" in said["pay"]["vietqr"]
    assert "40.000" in (await client.get(f"/pay/{reference}?lang=vi")).text
    await notify(client, text=reference, amount_vnd=40_000)
    assert await state(client, reference) == "paid"


async def test_too_much_gives_one_ticket_and_keeps_the_excess_for_its_payer(
    client: httpx.AsyncClient, admin: asyncpg.Connection
) -> None:
    reference = await order_to_pay(client, adult=1)
    await notify(client, text=reference, amount_vnd=75_000)
    assert await code_of(client, reference)
    assert tuple(await admin.fetchrow("select reason, amount_vnd from payments.held")) == ("overpaid", 5_000)


async def test_a_second_real_transfer_is_wholly_kept_for_its_payer(
    client: httpx.AsyncClient, admin: asyncpg.Connection
) -> None:
    reference = await order_to_pay(client, adult=1)
    for _ in range(2):
        await notify(client, text=reference, amount_vnd=70_000)
    assert tuple(await admin.fetchrow("select reason, amount_vnd from payments.held")) == ("duplicate", 70_000)
    assert await admin.fetchval("select count(*) from ticketing.ticket") == 1


async def test_money_without_a_known_reference_waits_with_a_name(
    client: httpx.AsyncClient, admin: asyncpg.Connection
) -> None:
    await notify(client, text="CHUYEN TIEN AN TRUA", amount_vnd=50_000)
    held = await admin.fetchrow("select reason, amount_vnd, charge_id from payments.held")
    assert tuple(held) == ("unknown_reference", 50_000, None)


async def test_two_references_in_one_text_are_never_guessed(
    client: httpx.AsyncClient, admin: asyncpg.Connection
) -> None:
    one, two = await order_to_pay(client, adult=1), await order_to_pay(client, adult=1)
    await notify(client, text=f"{one} {two}", amount_vnd=70_000)
    assert await admin.fetchval("select reason from payments.held") == "ambiguous"
    assert await state(client, one) == "open"


@pytest.mark.parametrize("dirt", ["MBVCB.72 {}.CT TU 0011", "{}20261121", "thanh toan {} cam on", "QR-{}-FT"])
async def test_a_reference_is_found_in_what_banks_make_of_it(client: httpx.AsyncClient, dirt: str) -> None:
    reference = await order_to_pay(client, adult=1)
    spaced = " ".join((reference[:4], reference[4:].lower()))
    await notify(client, text=dirt.format(spaced), amount_vnd=70_000)
    assert await state(client, reference) == "paid"


async def test_forged_stale_and_future_notices_leave_nothing(
    client: httpx.AsyncClient, admin: asyncpg.Connection
) -> None:
    reference = await order_to_pay(client, adult=1)
    wrong = "whsec_" + "bm90LXRoZS1zZWNyZXQtb2YtdGhlLWJhbmshISEhISE="
    old, future = datetime.now(UTC) - timedelta(minutes=6), datetime.now(UTC) + timedelta(minutes=6)
    for changed in ({"secret": wrong}, {"sent_at": old}, {"sent_at": future}):
        answer = await notify(client, text=reference, amount_vnd=70_000, **changed)  # type: ignore[arg-type]
        assert (answer.status_code, answer.json()["code"]) == (401, "notice_forged")
    bare = await client.post("/api/v1/hooks/bank", json={"type": "transaction.booked"})
    assert bare.status_code == 401
    assert await admin.fetchval("select count(*) from payments.notice") == 0
    assert await state(client, reference) == "open"


@pytest.mark.parametrize(
    "amount", ["1", 1.0, True, "NaN", 0, -1, 10**22, None, [70_000]], ids=lambda amount: repr(amount)[:12]
)
async def test_an_amount_that_is_no_whole_number_of_dong_is_refused(
    client: httpx.AsyncClient, admin: asyncpg.Connection, amount: object
) -> None:
    reference = await order_to_pay(client, adult=1)
    answer = await notify(client, text=reference, amount_vnd=amount)
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_payload")
    assert await admin.fetchval("select count(*) from payments.receipt") == 0


@pytest.mark.parametrize(
    "raw",
    [
        '{"type":"transaction.booked","data":{"amount_vnd":NaN}}',
        '{"type":"transaction.booked","data":{"amount_vnd":1e3}}',
        '{"type":"transaction.booked","type":"x","data":{}}',
        "[" * 20_000,
        "not json",
        '"text"',
    ],
    ids=["NaN", "1e3", "a key twice", "deep", "no json", "a text"],
)
async def test_a_signed_body_that_is_not_what_we_read_is_refused_by_name(client: httpx.AsyncClient, raw: str) -> None:
    answer = await notify(client, text="", amount_vnd=1, raw=raw)
    assert answer.status_code in (200, 422), answer.text
    assert answer.status_code == 422 or answer.json() == {"accepted": False}


async def test_a_body_of_a_megabyte_is_refused_before_it_is_read(client: httpx.AsyncClient) -> None:
    answer = await notify(client, text="x", amount_vnd=1, raw='{"a":"' + "x" * 1_000_000 + '"}')
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


async def test_money_on_an_account_of_another_operator_does_not_pay_our_charge(
    client: httpx.AsyncClient, admin: asyncpg.Connection
) -> None:
    reference = await order_to_pay(client, adult=1)
    await notify(client, text=reference, amount_vnd=70_000, operator="dongda")
    assert await state(client, reference) == "open"
    assert await admin.fetchval("select reason from payments.held") == "wrong_account"


async def test_who_pays_by_a_clock_that_is_ahead_pays_now(client: httpx.AsyncClient, admin: asyncpg.Connection) -> None:
    reference = await order_to_pay(client, adult=1)
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    assert (await notify(client, text=reference, amount_vnd=70_000, paid_at=tomorrow)).status_code == 202
    assert await state(client, reference) == "paid"
    assert await admin.fetchval("select paid_at <= recorded_at from payments.receipt")


@pytest.mark.parametrize("year", [1, 1999, 2101, 9999])
async def test_a_time_of_another_century_is_no_time_of_payment(
    client: httpx.AsyncClient, admin: asyncpg.Connection, year: int
) -> None:
    reference = await order_to_pay(client, adult=1)
    answer = await notify(
        client, text=reference, amount_vnd=70_000, paid_at=datetime(year, 12, 31, 23, 59, 59, tzinfo=UTC)
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_payload")
    assert await admin.fetchval("select count(*) from payments.receipt") == 0


async def test_what_the_web_did_not_apply_the_worker_applies(
    client: httpx.AsyncClient, here: Platform, admin: asyncpg.Connection
) -> None:
    reference = await order_to_pay(client, adult=1)
    owner = await admin.fetchval("select operator_id from payments.charge")
    bin, account = ACCOUNTS["vanmieu"]
    now = datetime.now(UTC)
    credit = Credit(bin, account, "FT9", 70_000, reference, now, "NGUYEN VAN THU")
    await receive(here.database, here.sealer, owner, credit, now=now, source="poll")
    assert await state(client, reference) == "open"
    await admin.execute("update foundation.due set due_at = now() - interval '1 second'")
    claims = [held for held in await outbox.claim(here.database) if held.kind == "payments.apply"]
    assert len(claims) == 1
    await notice.apply_due(here.database, claims[0])
    async with here.database.transaction(owner) as tx:
        await outbox.done(tx, claims[0])
    assert await state(client, reference) == "paid"
    assert not [held for held in await outbox.claim(here.database) if held.kind == "payments.apply"]


async def test_payer_and_text_are_sealed_and_nothing_of_them_stands_in_clear(
    client: httpx.AsyncClient, here: Platform, admin: asyncpg.Connection
) -> None:
    reference = await order_to_pay(client, adult=1)
    await notify(client, text=f"{reference} SECRETWORD", amount_vnd=70_000)
    row = await admin.fetchrow("select r.*, n.sealed from payments.receipt r, payments.notice n")
    for field in (row["text_sealed"], row["payer_sealed"], row["sealed"]):
        assert b"SECRETWORD" not in field
        assert b"NGUYEN" not in field
    assert await here.sealer.open(row["payer_sealed"], context="receipt.payer") == "NGUYEN VAN THU 970422/0123456789"
    assert BANK_SECRET not in json.dumps(dict(row), default=str)


async def test_the_waiting_page_is_told_of_its_payment_at_once(client: httpx.AsyncClient, here: Platform) -> None:
    reference = await order_to_pay(client, adult=1)
    told = asyncio.create_task(anext(aiter_changes(here, reference)))
    await asyncio.sleep(0.1)
    await notify(client, text=reference, amount_vnd=70_000)
    await asyncio.wait_for(told, 2)


async def aiter_changes(here: Platform, reference: str):  # type: ignore[no-untyped-def]
    first = True
    async for changed in here.live.changes(f"charge:{reference}", seconds=5):
        if changed and not first:
            yield True
        first = False


async def test_a_reference_alone_never_opens_what_was_bought(client: httpx.AsyncClient) -> None:
    reference = await order_to_pay(client, adult=1)
    await notify(client, text=reference, amount_vnd=70_000)
    stranger = await client.get(f"/pay/{reference}?lang=en")
    assert stranger.status_code == 200
    assert "This is paid" in stranger.text
    assert "/T/" not in stranger.text
    assert (await client.get(f"/pay/{reference}/guessed-token-of-22-ch")).status_code == 404
    assert "return_path" not in (await client.get(f"/api/v1/public/payments/{reference}")).text
    assert await code_of(client, reference)


async def test_one_bank_reference_with_two_amounts_is_put_before_a_person(
    client: httpx.AsyncClient, admin: asyncpg.Connection
) -> None:
    reference = await order_to_pay(client, adult=1)
    await notify(client, text=reference, amount_vnd=70_000, bank_ref="FT7")
    await notify(client, text=reference, amount_vnd=90_000, bank_ref=" FT7 ")
    assert await admin.fetchval("select sum(amount_vnd)::int from payments.receipt") == 70_000
    parked = await admin.fetchrow("select kind, last_error from foundation.due where parked_at is not null")
    assert parked["kind"] == "payments.receipt_differs"
    assert "90000" in parked["last_error"]


async def test_a_line_of_the_bank_that_cannot_be_read_stops_neither_its_list_nor_another_account(
    client: httpx.AsyncClient, here: Platform, admin: asyncpg.Connection
) -> None:
    references = {
        operator: await order_to_pay(client, site, adult=1)
        for operator, site in (("vanmieu", "VANMIEU"), ("thanglong", "THANGLONG"))
    }
    lists, booked_at = {ACCOUNTS[operator][1]: operator for operator in references}, datetime.now(UTC).isoformat()

    def answer(request: httpx.Request) -> httpx.Response:
        account = request.url.params["account"]
        if request.url.params.get("after") or account not in lists:
            return httpx.Response(200, json={"items": [], "next_cursor": "end", "has_more": False})
        good = {
            "bank_ref": "FT1",
            "bin": request.url.params["bin"],
            "account": account,
            "direction": "credit",
            "amount_vnd": 70_000 if lists[account] == "vanmieu" else 100_000,
            "text": references[lists[account]],
            "booked_at": booked_at,
        }
        poison = [good | {"text": "x" * 2001}, good | {"bank_ref": ""}, good | {"amount_vnd": 0}, "nonsense"]
        return httpx.Response(200, json={"items": [*poison, good], "next_cursor": "1", "has_more": False})

    gateway = Bank("http://bank.test", "key", transport=httpx.MockTransport(answer))
    assert await notice.poll(here.database, here.sealer, gateway) == 2
    assert await notice.poll(here.database, here.sealer, gateway) == 0
    async with here.database.transaction(OPERATOR_IDS["vanmieu"]) as tx:
        settled = await tx.value(
            "select min(id) from foundation.due where operator_id = $1 and kind = 'payments.unreadable'", tx.operator_id
        )
        assert await outbox.settle_by_hand(tx, "payments.unreadable", settled)
    assert await notice.sweep(here.database, here.sealer, gateway) == 0
    await gateway.close()
    for reference in references.values():
        assert await state(client, reference) == "paid"
    kept = await admin.fetch("select kind from foundation.due where parked_at is not null")
    assert [row["kind"] for row in kept] == ["payments.unreadable"] * 7, "what a person settled does not come back"
    assert await admin.fetchval("select count(*) from payments.notice where type = 'unreadable'") == 8


async def test_a_line_that_the_bank_lists_late_behind_its_cursor_is_found_by_the_sweep(
    client: httpx.AsyncClient, here: Platform, admin: asyncpg.Connection
) -> None:
    reference = await order_to_pay(client, adult=1)
    bin, account = ACCOUNTS["vanmieu"]
    asked: list[httpx.QueryParams] = []
    late = {
        "bank_ref": "FT-LATE",
        "bin": bin,
        "account": account,
        "direction": "credit",
        "amount_vnd": 70_000,
        "text": reference,
        "booked_at": datetime.now(UTC).isoformat(),
        "payer_name": None,
        "payer_bin": None,
        "payer_account": None,
    }
    taken_back = late | {"bank_ref": "FT-BACK", "direction": "debit", "kind": "reversal", "relates_to": "FT-OLD"}
    listed: list[object] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.params)
        first = request.url.params["account"] == account and not request.url.params.get("after")
        return httpx.Response(200, json={"items": listed if first else [], "next_cursor": "7", "has_more": False})

    gateway = Bank("http://bank.test", "key", transport=httpx.MockTransport(answer))
    await notice.sweep(here.database, here.sealer, gateway)
    await notice.poll(here.database, here.sealer, gateway)
    alike = late | {"direction": "debit"}  # the bank takes it back under the number of its credit
    listed += [late, taken_back, alike]  # behind the cursor that was given out
    assert await notice.poll(here.database, here.sealer, gateway) == 0
    assert await state(client, reference) == "open"
    assert await notice.sweep(here.database, here.sealer, gateway) == 1
    assert await state(client, reference) == "paid"
    since = [datetime.fromisoformat(params["since"]) for params in asked if "since" in params]
    swept = await admin.fetchval("select swept_at from payments.collection_account where account = $1", account)
    assert min(since) <= swept - timedelta(minutes=74)
    assert await notice.sweep(here.database, here.sealer, gateway) == 0
    await gateway.close()
    gone = await admin.fetch("select bank_ref, amount_vnd, kind, relates_to from payments.debit order by bank_ref")
    assert [tuple(row) for row in gone] == [("FT-BACK", 70_000, "reversal", "FT-OLD"), ("FT-LATE", 70_000, "", "")]
    proof = await books.prove(admin)
    assert proof.findings == ()
    assert sorted(item.flow for item in proof.lines[8].open if item.rule == "suspense_open") == ["FT-BACK", "FT-LATE"]


async def test_money_that_left_and_that_a_person_settled_does_not_come_back_with_the_next_sweep(
    here: Platform, admin: asyncpg.Connection
) -> None:
    bin, account = ACCOUNTS["vanmieu"]
    left = {
        "bank_ref": "FT-GONE",
        "bin": bin,
        "account": account,
        "direction": "debit",
        "kind": "fee",
        "amount_vnd": 11_000,
        "text": "PHI",
        "booked_at": datetime.now(UTC).isoformat(),
    }

    def answer(request: httpx.Request) -> httpx.Response:
        first = request.url.params["account"] == account and not request.url.params.get("after")
        return httpx.Response(200, json={"items": [left] if first else [], "next_cursor": "7", "has_more": False})

    gateway = Bank("http://bank.test", "key", transport=httpx.MockTransport(answer))
    await notice.sweep(here.database, here.sealer, gateway)
    trade = await Trade.at(here.settings, here.database)
    await trade.explains(await admin.fetchval("select id from payments.debit"), "charge")
    await notice.sweep(here.database, here.sealer, gateway)
    await gateway.close()
    rows = await admin.fetch("select bank_ref, settled_vnd from payments.debit")
    assert [tuple(row) for row in rows] == [("FT-GONE", 11_000)], "what a person settled does not come back"
    assert await admin.fetchval("select count(*) from foundation.due") == 0
    assert await admin.fetchval("select count(*) from payments.notice where type = 'debit_unexpected'") == 1


async def test_a_payment_waits_for_no_other_payment_of_the_same_operator(
    client: httpx.AsyncClient, here: Platform
) -> None:
    first, second = await order_to_pay(client, adult=1), await order_to_pay(client, adult=1)
    async with here.database.transaction(OPERATOR_IDS["vanmieu"]) as tx:
        owed = await find(tx, reference=first)
        await touch_statistics(tx, owed.id)
        await asyncio.wait_for(notify(client, text=second, amount_vnd=70_000), 2)
        assert await state(client, second) == "paid"
