"""Paying without a Vietnamese bank: attempts on the gateway's page, from the button to the ticket, whatever is told."""

from __future__ import annotations

import asyncio
from itertools import product

import asyncpg
import httpx
import pytest
from acts import choose_card, code_of, ipn, notify, order_to_pay, page_of, said_of

from payments.attempt_states import ENDS, EVENTS, STATES, STEPS, NoStep

DECLINED = {"vnp_ResponseCode": "51", "vnp_TransactionStatus": "02", "vnp_TransactionNo": "0"}
REVERSED = {"vnp_ResponseCode": "99", "vnp_TransactionStatus": "04"}
SUSPECTED = {"vnp_ResponseCode": "07", "vnp_TransactionStatus": "07"}


async def state(client: httpx.AsyncClient, reference: str) -> str:
    said: str = (await client.get(f"/api/v1/public/payments/{reference}")).json()["state"]
    return said


# The table


def test_every_state_meets_every_event() -> None:
    assert set(STEPS) == set(product(STATES, EVENTS))


@pytest.mark.parametrize(("at", "event"), list(STEPS))
def test_each_cell_of_the_table_makes_sense(at: str, event: str) -> None:
    step = STEPS[at, event]  # type: ignore[index]
    if at == "paid":
        assert isinstance(step, NoStep), "paid is never left"
    elif event == "paid":
        assert not isinstance(step, NoStep) and step.state == "paid", "money wins over everything"
    if not isinstance(step, NoStep):
        assert step.state != "open" or at == "open", "nothing opens again"


def test_the_same_things_told_in_any_order_end_the_same() -> None:
    def end(events: tuple[str, ...]) -> str:
        at = "open"
        for event in events:
            step = STEPS[at, event]  # type: ignore[index]
            at = at if isinstance(step, NoStep) else step.state
        return at

    for told in product(EVENTS, repeat=4):
        assert end(told) == end(tuple(sorted(told))) == end(tuple(sorted(told, reverse=True)))
        assert end(told) == end(told + told)
        assert end(told) in ENDS or set(told) == {"suspected"}


# Beginning


async def test_the_button_leads_to_the_gateways_page_for_what_remains(client: httpx.AsyncClient) -> None:
    reference = await order_to_pay(client, adult=2)
    await notify(client, text=reference, amount_vnd=100_000)
    begun = await choose_card(client, reference)
    assert begun["vnp_Amount"] == "4000000"
    assert begun["vnp_TmnCode"] == "VANMIEU1"
    assert begun["vnp_TxnRef"] == f"{reference}01"
    assert begun["vnp_ReturnUrl"] == f"http://test.local/pay/{reference}/return", "no address that opens anything"
    assert reference in begun["vnp_OrderInfo"] and begun["vnp_OrderInfo"].isascii()


async def test_a_second_click_leads_to_the_same_attempt(client: httpx.AsyncClient, admin: asyncpg.Connection) -> None:
    reference = await order_to_pay(client, adult=1)
    begun = await asyncio.gather(*(choose_card(client, reference) for _ in range(4)))
    assert {one["vnp_TxnRef"] for one in begun} == {f"{reference}01"}
    assert await admin.fetchval("select count(*) from payments.attempt") == 1


async def test_another_sum_and_another_quarter_of_an_hour_are_another_attempt(
    client: httpx.AsyncClient, admin: asyncpg.Connection
) -> None:
    reference = await order_to_pay(client, adult=2)
    first = await choose_card(client, reference)
    await notify(client, text=reference, amount_vnd=100_000)
    second = await choose_card(client, reference)
    assert (first["vnp_TxnRef"], second["vnp_TxnRef"]) == (f"{reference}01", f"{reference}02")
    await admin.execute("update payments.attempt set expires_at = now() where state = 'open'")
    assert (await choose_card(client, reference))["vnp_TxnRef"] == f"{reference}03"
    rows = await admin.fetch("select state from payments.attempt order by gateway_ref")
    assert [row["state"] for row in rows] == ["abandoned", "abandoned", "open"]


async def test_who_does_not_know_the_payers_address_begins_nothing(client: httpx.AsyncClient) -> None:
    reference = await order_to_pay(client, adult=1)
    assert (await client.post(f"/pay/{reference}/{'A' * 22}/card")).status_code == 404
    assert "/card" not in (await client.get(f"/pay/{reference}")).text


async def test_without_the_merchants_secret_there_is_no_button_and_no_way(
    client: httpx.AsyncClient, admin: asyncpg.Connection
) -> None:
    await admin.execute("update payments.merchant set code = 'SECRETLESS' where code = 'VANMIEU1'")
    reference = await order_to_pay(client, adult=1)
    assert "/card" not in (await client.get(page_of(reference))).text
    refused = await client.post(f"{page_of(reference)}/card")
    assert refused.status_code == 409 and "VietQR" in refused.text


async def test_what_is_paid_begins_nothing_more(client: httpx.AsyncClient, admin: asyncpg.Connection) -> None:
    reference = await order_to_pay(client, adult=1)
    await notify(client, text=reference, amount_vnd=70_000)
    answer = await client.post(f"{page_of(reference)}/card")
    assert (answer.status_code, answer.headers["location"]) == (303, page_of(reference))
    assert await admin.fetchval("select count(*) from payments.attempt") == 0


# What the gateway says


async def test_paid_by_card_is_a_receipt_and_a_ticket(client: httpx.AsyncClient, admin: asyncpg.Connection) -> None:
    reference = await order_to_pay(client, adult=1)
    begun = await choose_card(client, reference)
    assert await ipn(client, said_of(begun)) == "00"
    assert await code_of(client, reference)
    receipt = await admin.fetchrow("select * from payments.receipt")
    assert (receipt["gateway"], receipt["bank_account"], receipt["means"]) == ("vnpay", "vnpay/VANMIEU1", "CARD")
    assert receipt["bank_ref"] == said_of(begun)["vnp_TransactionNo"]
    assert begun["vnp_TxnRef"] in receipt["facts"]
    assert await admin.fetchval("select means || ' ' || channel from payments.line_paid") == "CARD GATEWAY"


async def test_a_notice_told_again_and_at_once_is_confirmed_once(
    client: httpx.AsyncClient, admin: asyncpg.Connection
) -> None:
    reference = await order_to_pay(client, adult=1)
    said = said_of(await choose_card(client, reference))
    answers = await asyncio.gather(*(ipn(client, said) for _ in range(8)))
    assert sorted(answers) == ["00"] + ["02"] * 7
    assert await ipn(client, said) == "02"
    assert await admin.fetchval("select count(*) from payments.receipt") == 1
    assert await admin.fetchval("select count(*) from ticketing.ticket") == 1


async def test_the_checks_stand_in_their_order(client: httpx.AsyncClient, admin: asyncpg.Connection) -> None:
    reference = await order_to_pay(client, adult=1)
    said = said_of(await choose_card(client, reference))
    wrong_ref, wrong_sum = {"vnp_TxnRef": "MCNOSUCH01"}, {"vnp_Amount": "100"}
    assert await ipn(client, said | wrong_ref | wrong_sum, secret="another") == "97"
    assert await ipn(client, said | {"vnp_TmnCode": "NOBODY00"}, secret="another") == "97"
    assert await ipn(client, said | wrong_ref | wrong_sum) == "01"
    assert await ipn(client, said | {"vnp_TmnCode": "DONGDA01"}) == "01"
    assert await ipn(client, said | wrong_sum) == "04"
    assert await ipn(client, said | {"vnp_TransactionStatus": "77"}) == "99"
    assert await admin.fetchval("select count(*) from payments.receipt") == 0
    assert await ipn(client, said) == "00"
    assert await ipn(client, said | wrong_sum) == "04"
    assert await ipn(client, said) == "02"
    parked = await admin.fetch("select id from foundation.due where kind = 'payments.attempt_differs'")
    assert [row["id"] for row in parked] == [said["vnp_TxnRef"]], "a person is told of the other amount"


async def test_a_database_that_is_away_lets_the_gateway_tell_it_again(
    client: httpx.AsyncClient, admin: asyncpg.Connection
) -> None:
    reference = await order_to_pay(client, adult=1)
    said = said_of(await choose_card(client, reference))
    await admin.execute("alter table payments.attempt rename to away")
    assert await ipn(client, said) == "99"
    await admin.execute("alter table payments.away rename to attempt")
    assert await ipn(client, said) == "00"


@pytest.mark.parametrize(
    ("said", "kept", "words"),
    [
        (DECLINED, "declined", "not enough money"),
        (DECLINED | {"vnp_ResponseCode": "24"}, "declined", "You cancelled"),
        (DECLINED | {"vnp_ResponseCode": "42"}, "declined", "was declined"),
        (REVERSED, "reversed", "you were not charged by us"),
        (SUSPECTED, "open", "still checking"),
    ],
)
async def test_a_payment_that_failed_says_so_and_can_be_tried_again(
    client: httpx.AsyncClient, admin: asyncpg.Connection, said: dict[str, str], kept: str, words: str
) -> None:
    reference = await order_to_pay(client, adult=1)
    begun = await choose_card(client, reference)
    assert await ipn(client, said_of(begun, **said)) == "00"
    assert await ipn(client, said_of(begun, **said)) == "02"
    assert await admin.fetchval("select state from payments.attempt") == kept
    page = (await client.get(f"{page_of(reference)}?lang=en")).text
    assert words in page and 'id="vietqr"' in page
    assert (await choose_card(client, reference))["vnp_TxnRef"] == f"{reference}02"
    assert await admin.fetchval("select count(*) from payments.receipt") == 0
    await notify(client, text=reference, amount_vnd=70_000)
    assert await code_of(client, reference)


@pytest.mark.parametrize("first", [DECLINED, REVERSED, SUSPECTED])
async def test_a_later_truth_wins(client: httpx.AsyncClient, admin: asyncpg.Connection, first: dict[str, str]) -> None:
    reference = await order_to_pay(client, adult=1)
    begun = await choose_card(client, reference)
    assert await ipn(client, said_of(begun, **first)) == "00"
    assert await ipn(client, said_of(begun)) == "00"
    assert await state(client, reference) == "paid"
    assert await ipn(client, said_of(begun, **first)) == "02"
    assert await admin.fetchval("select state from payments.attempt") == "paid"


async def test_a_reversal_told_after_the_money_is_shown_to_a_person(
    client: httpx.AsyncClient, admin: asyncpg.Connection
) -> None:
    reference = await order_to_pay(client, adult=1)
    begun = await choose_card(client, reference)
    await ipn(client, said_of(begun))
    assert await ipn(client, said_of(begun, **REVERSED)) == "02"
    assert await admin.fetchval("select id from foundation.due where parked_at is not null") == begun["vnp_TxnRef"]


# Twice, too late


async def test_paid_by_card_and_by_vietqr_keeps_the_second_for_its_payer(
    client: httpx.AsyncClient, admin: asyncpg.Connection
) -> None:
    reference = await order_to_pay(client, adult=1)
    begun = await choose_card(client, reference)
    await notify(client, text=reference, amount_vnd=70_000)
    assert await ipn(client, said_of(begun)) == "00"
    held = await admin.fetchrow(
        "select h.reason, h.amount_vnd, r.gateway from payments.held h join payments.receipt r on r.id = h.receipt_id"
    )
    assert tuple(held) == ("duplicate", 70_000, "vnpay")
    assert await admin.fetchval("select means from payments.line_paid") == "QR_TRANSFER"


async def test_finance_reads_that_the_money_came_by_card(clerk: httpx.AsyncClient, admin: asyncpg.Connection) -> None:
    reference = await order_to_pay(clerk, adult=1)
    begun = await choose_card(clerk, reference)
    await notify(clerk, text=reference, amount_vnd=70_000)
    await ipn(clerk, said_of(begun))
    receipt_id = await admin.fetchval("select receipt_id from payments.held")
    page = (await clerk.get(f"/finance/queue/{receipt_id}?lang=en")).text
    assert "<dt>Means</dt><dd>card</dd>" in page and "vnpay/VANMIEU1" in page


async def test_an_abandoned_attempt_that_was_paid_all_the_same_counts(
    client: httpx.AsyncClient, admin: asyncpg.Connection
) -> None:
    reference = await order_to_pay(client, adult=1)
    begun = await choose_card(client, reference)
    await admin.execute("update payments.attempt set state = 'abandoned', ended_at = now()")
    assert "not finished" in (await client.get(f"{page_of(reference)}?lang=en")).text
    assert await ipn(client, said_of(begun)) == "00"
    assert await state(client, reference) == "paid"


# Coming back


async def test_the_return_address_settles_nothing(client: httpx.AsyncClient, admin: asyncpg.Connection) -> None:
    reference = await order_to_pay(client, adult=1)
    begun = await choose_card(client, reference)
    back = f"/pay/{reference}/return"
    page = await client.get(back, params=said_of(begun) | {"lang": "en"})
    assert page.status_code == 200 and "We are asking" in page.text
    assert await state(client, reference) == "open"
    assert await admin.fetchval("select ask_at <= now() from payments.attempt"), "the gateway is asked at once"
    await ipn(client, said_of(begun))
    page = await client.get(back)
    assert (page.status_code, page.headers["location"]) == (303, page_of(reference))
    assert (await client.get(page_of(reference))).headers["location"].startswith("/S/")
    client.cookies.clear()
    page = await client.get(back)
    assert page.headers["location"] == f"/pay/{reference}", "another browser sees what anybody sees"


async def test_who_comes_back_from_a_declined_payment_sees_why(client: httpx.AsyncClient) -> None:
    reference = await order_to_pay(client, adult=1)
    begun = await choose_card(client, reference)
    await ipn(client, said_of(begun, **DECLINED))
    back = f"/pay/{reference}/return"
    page = await client.get(back, headers={"accept-language": "en"}, follow_redirects=True)
    assert "not enough money" in page.text


async def test_an_open_page_hears_of_a_declined_payment(client: httpx.AsyncClient) -> None:
    reference = await order_to_pay(client, adult=1)
    begun = await choose_card(client, reference)
    before = (await client.get(page_of(reference))).text
    await ipn(client, said_of(begun, **DECLINED))
    seen = before.partition("/events?seen=")[2].partition('"')[0]
    address = f"/api/v1/public/payments/{reference}/events?seen={seen}"
    async with asyncio.timeout(5), client.stream("GET", address) as events:
        assert "event: change" in "".join([line async for line in events.aiter_text()])


async def test_a_browser_may_be_sent_to_the_gateway(client: httpx.AsyncClient) -> None:
    policy = (await client.get(page_of(await order_to_pay(client, adult=1)))).headers["content-security-policy"]
    assert policy.endswith("form-action 'self' http://localhost:8001")
    assert (await client.get("/")).headers["content-security-policy"].endswith("form-action 'self'")
