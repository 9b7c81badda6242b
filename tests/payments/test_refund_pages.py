"""Refunds on pages: what finance asks for and agrees to, what a payer reads, and the account that he may name."""

from __future__ import annotations

import json
import re
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from acts import bought_code, enrolled, hidden, log_in, notify, order_to_pay, press
from returning import Gateway, Office
from trade import Trade

from foundation.clock import hanoi_day
from foundation.web import Platform
from payments import books, cashless_share, refund


@pytest.fixture
async def office(trade: Trade) -> Office:
    return await Office.of(trade)


@pytest.fixture
async def waits(trade: Trade, office: Office) -> UUID:
    """300,000 ₫ too much, above anybody's limit."""
    owed = await trade.owes(trade.line(20_000))
    await trade.transfers(owed.reference, 320_000)
    return await office.held_by(owed.id)


async def send_back(browser: httpx.AsyncClient, receipt_id: UUID, amount_vnd: int, **more: str) -> str:
    """Asks for it on the page of the money; the path of the refund."""
    page = f"/finance/queue/{receipt_id}"
    key = hidden((await browser.get(page)).text, "key")
    form = {"amount_vnd": str(amount_vnd), "reason": "trả thừa", "key": key} | more
    answer = await press(browser, page, f"{page}/send-back", **form)
    assert answer.status_code == 303, answer.text
    path: str = answer.headers["location"]
    return path


async def test_a_clerk_asks_and_the_manager_agrees(
    clerk: httpx.AsyncClient, waits: UUID, office: Office, app: object, admin: asyncpg.Connection
) -> None:
    assert "Held for payers → On its way back to payers" in (await clerk.get(f"/finance/queue/{waits}?lang=en")).text
    path = await send_back(clerk, waits, 300_000)
    page = (await clerk.get(f"{path}?lang=en")).text
    assert "waits for a second person" in page
    assert re.search(r'<button class="button" disabled>', page), "his own"
    refused = await press(clerk, path, f"{path}/approve")
    assert refused.status_code == 403

    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://test.local") as manager:
        await log_in(manager, "quanly@vanmieu")
        assert path in (await manager.get("/finance/refunds")).text
        assert (await press(manager, path, f"{path}/approve")).status_code == 303
        assert (await press(manager, path, f"{path}/approve")).status_code == 409
    await office.works()
    listed = (await clerk.get("/api/v1/finance/refunds?state=accepted")).json()
    assert [(row["amount_vnd"], row["state"]) for row in listed] == [(300_000, "accepted")]
    page = (await clerk.get(f"{path}?lang=en")).text
    assert "taken on by the bank" in page
    assert "On its way back to payers → Credited at the bank" in page
    assert (await books.prove(admin)).findings == ()


async def test_a_button_pressed_twice_asks_once(
    clerk: httpx.AsyncClient, waits: UUID, admin: asyncpg.Connection
) -> None:
    first = await send_back(clerk, waits, 10_000, key="one press")
    assert await send_back(clerk, waits, 10_000, key="one press") == first
    assert await admin.fetchval("select count(*) from payments.refund") == 1
    form = {"amount_vnd": "10001", "reason": "trả thừa", "key": "one press"}
    other = await press(clerk, "/finance/", f"/finance/queue/{waits}/send-back", **form)
    assert other.status_code == 422


async def test_one_that_was_refused_a_no_leaves_the_money_in_the_queue(
    clerk: httpx.AsyncClient, waits: UUID, admin: asyncpg.Connection
) -> None:
    path = await send_back(clerk, waits, 300_000)
    assert (await press(clerk, path, f"{path}/reject", reason=" ")).status_code == 422
    assert (await press(clerk, path, f"{path}/reject", reason="nhầm")).status_code == 303
    assert "nhầm" in (await clerk.get(path)).text
    assert await admin.fetchval("select amount_vnd - used_vnd from payments.held") == 300_000


async def test_who_may_only_read_sees_no_button_and_another_operator_sees_nothing(
    client: httpx.AsyncClient, waits: UUID, office: Office
) -> None:
    id = await office.asks(waits)
    await log_in(client, "quanly@vanmieu")
    assert "/send-back" not in (await client.get(f"/finance/queue/{waits}")).text
    csrf = hidden((await client.get("/finance/")).text, "csrf")
    form = {"csrf": csrf, "amount_vnd": "1", "reason": "x", "key": "k"}
    assert (await client.post(f"/finance/queue/{waits}/send-back", data=form)).status_code == 403
    client.cookies.clear()
    await log_in(client, "ketoan@dongda")
    csrf = hidden((await client.get("/finance/")).text, "csrf")
    form |= {"csrf": csrf}
    assert (await client.get(f"/finance/refunds/{id}")).status_code == 404
    for act in ("approve", "reject", "read"):
        assert (await client.post(f"/finance/refunds/{id}/{act}", data=form)).status_code in (404, 409)
    assert (await client.post(f"/finance/queue/{waits}/send-back", data=form)).status_code == 404
    assert (await client.get("/api/v1/finance/refunds")).json() == []


async def test_a_ticket_given_back_is_void_at_the_gate_and_its_holder_reads_how_far_the_money_is(
    client: httpx.AsyncClient, here: Platform, trade: Trade, office: Office, admin: asyncpg.Connection
) -> None:
    code = await bought_code(client, adult=2)
    reference = await admin.fetchval("select reference from payments.charge")
    await log_in(client, "ketoan@vanmieu")
    found = await client.get(f"/finance/charges?reference={reference.lower()}")
    path = found.headers["location"]
    assert (await client.get("/finance/charges?reference=+")).headers["location"] == "/finance/"
    page = (await client.get(path)).text
    form = {"amount_vnd": "40000", "reason": "khách ốm", "key": hidden(page, "key")}
    assert (await press(client, path, f"{path}/give-back", **form)).status_code == 303
    assert await admin.fetchval("select revoked_at is null from ticketing.ticket"), "a part is money only"
    form = {"amount_vnd": "100000", "reason": "khách ốm", "key": "the rest"}
    for _ in range(2):
        assert (await press(client, "/finance/", f"{path}/give-back", **form)).status_code == 303
    assert (await (await enrolled(client, here)).scan(code))["verdict"] == "revoked"
    ticket = (await client.get(f"/T/{code}?lang=en")).text
    assert "is being sent back" in ticket
    await office.works()
    assert "was sent back to you" in (await client.get(f"/T/{code}?lang=en")).text
    office.gateway.fates = dict.fromkeys(office.gateway.fates, "settled")
    await office.works()
    assert "arrived at your account" in (await client.get(f"/T/{code}?lang=en")).text
    said = (await client.get(f"/api/v1/public/payments/{reference}")).json()
    assert said["goes_back_vnd"] == 0
    assert [(item["state"], item["amount_vnd"]) for item in said["goes_back"]] == [("settled", 140_000)]
    assert "khách ốm" in (await client.get(path)).text
    assert (await books.prove(admin)).findings == ()


async def test_above_the_limit_the_ticket_stays_good_until_the_manager_agrees(
    client: httpx.AsyncClient, here: Platform, app: object, admin: asyncpg.Connection
) -> None:
    code = await bought_code(client, adult=4)
    reference = await admin.fetchval("select reference from payments.charge")
    said = (await client.get(f"/api/v1/public/payments/{reference}")).json()
    await log_in(client, "ketoan@vanmieu")
    path = f"/finance/charges/{reference}"
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://test.local") as manager:
        await log_in(manager, "quanly@vanmieu")

        async def asks() -> str:
            page = (await client.get(path)).text
            form = {"amount_vnd": "280000", "reason": "khách ốm", "key": hidden(page, "key")}
            assert (await press(client, path, f"{path}/give-back", **form)).status_code == 303
            refused = await press(client, path, f"{path}/give-back", **form | {"key": "another"})
            assert refused.status_code == 409
            page = (await client.get(f"{path}?lang=en")).text
            assert "waits for a second person" in page
            assert "khách ốm" in page
            assert f"{path}/give-back" not in page
            assert re.search(r'<button class="button" disabled>', page), "his own"
            found = re.search(r"/finance/give-backs/[0-9a-f-]+", page)
            assert found
            assert f"{path}#decide" in (await manager.get("/finance/refunds")).text
            return found[0]

        wanted = await asks()
        assert (await press(client, path, f"{wanted}/approve")).status_code == 403
        assert (await client.get(f"/api/v1/public/payments/{reference}")).json() == said, (
            "its payer reads nothing of it"
        )
        assert (await press(manager, path, f"{wanted}/reject", reason=" ")).status_code == 422
        assert (await press(manager, path, f"{wanted}/reject", reason="vẫn đi được")).status_code == 303
        assert "vẫn đi được" in (await client.get(path)).text
        tablet = await enrolled(client, here)
        assert (await tablet.scan(code, heads=1))["verdict"] == "valid"

        wanted = await asks()
        assert (await press(manager, path, f"{wanted}/approve")).status_code == 303
        assert (await press(manager, "/finance/", f"{wanted}/approve")).status_code == 409
    assert (await tablet.scan(code, heads=1))["verdict"] == "revoked"
    assert "is being sent back" in (await client.get(f"/T/{code}?lang=en")).text
    assert (await books.prove(admin)).findings == ()


async def test_another_operators_request_to_give_back_is_not_there(
    client: httpx.AsyncClient, trade: Trade, office: Office
) -> None:
    await office.gives_back((await trade.pays(trade.line(280_000))).reference)
    await log_in(client, "ketoan@dongda")
    wanted = await office.wanted()
    assert str(wanted) not in (await client.get("/finance/refunds")).text
    for act in ("approve", "reject"):
        answer = await press(client, "/finance/", f"/finance/give-backs/{wanted}/{act}", reason="x")
        assert answer.status_code == 404


async def test_only_who_proves_his_payment_may_name_an_account_on_his_own_page(
    client: httpx.AsyncClient, office: Office, admin: asyncpg.Connection
) -> None:
    reference = await order_to_pay(client, adult=1)
    await notify(client, text=reference, amount_vnd=100_000, bank_ref="FT26326000001")
    token = await admin.fetchval("select token from payments.charge")
    own = f"/pay/{reference}/{token}"
    assert "/payee" not in (await client.get(own)).text
    office.gateway.refuses = "cannot_send_back"
    await office.asks(await office.held_by(await admin.fetchval("select id from payments.charge")))
    await office.works()
    page = (await client.get(f"{own}?lang=en")).text
    assert "Your bank cannot take 30,000" in page
    assert "/payee" in page
    assert "/payee" not in (await client.get(f"/pay/{reference}")).text, "a reference is no proof"

    form = {"bin": "970422", "account": "0123456789", "name": "NGUYEN VAN THU", "bank_ref": "FT26326000001"}
    wrong = await client.post(f"{own}/payee", data=form | {"amount_vnd": "30000"})
    assert wrong.status_code == 409
    assert "0123456789" in wrong.text, "what was typed stays"
    stranger = await client.post(f"/pay/{reference}/{token[:-1]}x/payee", data=form | {"amount_vnd": "100000"})
    assert stranger.status_code == 404
    assert (await client.post(f"{own}/payee", data=form | {"amount_vnd": "100000"})).status_code == 303
    assert "You named an account" in (await client.get(f"{own}?lang=en")).text
    for _ in range(3):
        await client.post(f"{own}/payee", data=form | {"amount_vnd": "1"})
    assert (await client.post(f"{own}/payee", data=form | {"amount_vnd": "100000"})).status_code == 429

    await log_in(client, "ketoan@vanmieu")
    receipt_id = await admin.fetchval("select receipt_id from payments.held")
    path = await send_back(client, receipt_id, 30_000, to_named="true")
    assert "0123456789" not in (await client.get(path)).text
    assert "0123456789" in (await press(client, path, f"{path}/read")).text
    assert await admin.fetchval("select count(*) from foundation.audit_entry where act = 'refund.account_read'") == 1
    office.gateway = Gateway()
    with pytest.raises(refund.AccountUnread):
        await office.approves(UUID(path.rsplit("/", 1)[1]), reads=False)
    await office.approves(UUID(path.rsplit("/", 1)[1]))
    await office.works()
    (order,) = office.gateway.orders.values()
    assert order.to is not None
    assert (order.to.bin, order.to.account, order.to.name) == ("970422", "0123456789", "NGUYEN VAN THU")


async def test_to_a_named_account_goes_nothing_where_none_was_named(clerk: httpx.AsyncClient, waits: UUID) -> None:
    form = {"amount_vnd": "1000", "reason": "x", "key": "k", "to_named": "true"}
    answer = await press(clerk, "/finance/", f"/finance/queue/{waits}/send-back", **form)
    assert answer.status_code == 409


async def test_the_banks_notice_of_a_return_is_no_new_receipt_and_an_unknown_one_waits_under_its_name(
    client: httpx.AsyncClient, office: Office, trade: Trade, admin: asyncpg.Connection
) -> None:
    owed = await trade.owes(trade.line(20_000))
    await trade.transfers(owed.reference, 50_000)
    id = await office.asks(await office.held_by(owed.id))
    await office.works()
    bin, account = trade.account

    async def told(refund_id: object, bank_ref: str) -> dict[str, object]:
        line = {"bank_ref": bank_ref, "bin": bin, "account": account, "direction": "credit", "amount_vnd": 30_000}
        line |= {"text": f"HOAN TRA {owed.reference}", "booked_at": trade.now.isoformat(), "kind": "refund_return"}
        raw = json.dumps({"type": "transaction.booked", "data": line | {"refund_id": str(refund_id)}})
        said: dict[str, object] = (await notify(client, text="", amount_vnd=0, raw=raw)).json()
        return said

    for _ in range(2):
        assert await told(id, "FTR1") == {"accepted": True, "new": False}
    assert await office.state(id) == "returned"
    assert await told(uuid4(), "FTR2") == {"accepted": True, "new": True}
    rows = await admin.fetch("select reason, amount_vnd - used_vnd as left_vnd from payments.held order by reason")
    assert [tuple(row) for row in rows] == [("returned", 30_000), ("unknown_return", 30_000)]
    assert (await books.prove(admin)).findings == ()


async def test_a_part_given_back_lowers_the_value_and_the_whole_takes_the_sale_out_of_its_day(
    here: Platform, office: Office, trade: Trade
) -> None:
    two = await trade.pays(trade.line(70_000), trade.line(5_000, service="parking"))
    await trade.pays(trade.line(70_000))
    day = hanoi_day(trade.now)

    async def counted() -> tuple[int, int]:
        async with trade.database.transaction(trade.operator_id) as tx:
            await tx.execute("select payments.recount_cashless($1, $2)", day, trade.now)
        share = (await cashless_share.publication(here.city, first=day, last=day)).total
        assert (share.cashless_units, share.cashless_vnd) == (share.charged_units, share.charged_vnd)
        return share.charged_units, share.charged_vnd

    assert await counted() == (3, 145_000)
    await office.gives_back(two.reference, 10_000)
    assert await counted() == (3, 135_000)
    await office.gives_back(two.reference)
    assert await counted() == (1, 70_000)


async def test_finances_day_says_what_was_given_back_and_what_is_left(
    clerk: httpx.AsyncClient, trade: Trade, office: Office
) -> None:
    owed = await trade.pays(trade.line(70_000))
    who = await trade.attendant()
    opened = await trade.opens(who)
    sale = await trade.sells(who, trade.line(30_000))
    await office.gives_back(owed.reference)
    await trade.refunds(who, opened, sale.receipt_number, 10_000)
    said = (await clerk.get("/api/v1/finance/day")).json()
    assert (said["sum_vnd"], said["given_back_vnd"]) == (100_000, 80_000)
    assert said["given_back"] == [
        {"means": "CASH", "count": 1, "amount_vnd": 10_000},
        {"means": "QR_TRANSFER", "count": 1, "amount_vnd": 70_000},
    ]
    page = (await clerk.get("/finance/day?lang=en")).text
    for figure in ("-70,000", "-10,000", "20,000"):
        assert figure in page


@pytest.mark.parametrize(
    "typed", ["35.000", "1e3", "+1000", " 1000 ", "-5", "１０００", "99999999999999999999", "1000\x0b"]
)
async def test_an_amount_in_a_form_is_digits_and_nothing_else(
    clerk: httpx.AsyncClient, waits: UUID, typed: str
) -> None:
    form = {"amount_vnd": typed, "reason": "x", "key": "k"}
    answer = await press(clerk, "/finance/", f"/finance/queue/{waits}/send-back", **form)
    assert answer.status_code == 422
