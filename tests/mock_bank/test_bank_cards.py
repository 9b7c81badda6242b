"""The gateway for cards and foreign wallets, asked by the platform's own adapter: two readings of one protocol must agree."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI
from starlette.types import Message, Receive, Scope, Send

from payments.gateway import AttemptOrder, GatewaySilent, News, RefundOrder, Told
from payments.gateway.vnpay import Vnpay
from tests.mock_bank.conftest import served
from tests.mock_bank.receiving import Misbehave

MERCHANT, SECRET = "TESTTMN1", "a secret of 8 letters and more"


@dataclass
class Shop:
    """A merchant's server: keeps the query of every notice; answers the codes in `answers`, then 00 for ever."""

    answers: list[str] = field(default_factory=list)
    got: list[str] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.got.append(scope["query_string"].decode())
        self.news.set()
        body = b'{"RspCode": "%s"}' % (self.answers.pop(0) if self.answers else "00").encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": body})

    async def has(self, count: int) -> None:
        async with asyncio.timeout(5):
            while len(self.got) < count:
                self.news.clear()
                await self.news.wait()

    async def stays_at(self, count: int) -> None:
        await asyncio.sleep(0.4)
        assert len(self.got) == count


@pytest.fixture
async def shop(api: httpx.AsyncClient) -> AsyncIterator[Shop]:
    shop = Shop()
    async with served(shop) as address:
        wanted = {"owner_name": "TT VAN MIEU", "secret": SECRET, "ipn_url": f"{address}/ipn"}
        (await api.put(f"/api/v1/merchants/{MERCHANT}", json=wanted)).raise_for_status()
        yield shop


@pytest.fixture
def gateway(app: FastAPI) -> Vnpay:
    """The platform's adapter."""
    bank = httpx.ASGITransport(app)
    return Vnpay(
        {MERCHANT: SECRET},
        "http://bank/paymentv2/vpcpay.html",
        "http://bank/merchant_webapi/api/transaction",
        transport=bank,
    )


@pytest.fixture
def order() -> AttemptOrder:
    now = datetime.now(UTC)
    return AttemptOrder(MERCHANT, "MCTEST01", 70_000, "Mot Cham MCTEST", now, now + timedelta(minutes=15))


def address_of(gateway: Vnpay, order: AttemptOrder) -> str:
    return gateway.begin(order, language="en", back="http://localhost/back", payer_address="127.0.0.1")


async def choose(phone: httpx.AsyncClient, address: str, outcome: str, card: str = "visa") -> httpx.Response:
    """Opens the page and presses a button; the page that says how it ended."""
    page = await phone.get(address)
    assert page.status_code == 200, page.text
    form = {"asked": urlsplit(address).query, "card": card, "outcome": outcome}
    return await phone.post("/paymentv2/pay", data=form, follow_redirects=True)


def heard(gateway: Vnpay, query: str) -> News:
    news = gateway.hear(Told({}, query, b""))
    assert news is not None
    return news


def way_back(page: httpx.Response) -> str:
    found = re.search(r'http-equiv="refresh" content="1; url=([^"]+)"', page.text)
    assert found, page.text
    return found[1].replace("&amp;", "&")


@pytest.mark.parametrize(
    ("outcome", "card", "event", "code", "means"),
    [
        ("pay", "visa", "paid", "", "CARD"),
        ("pay", "domestic", "paid", "", "CARD"),
        ("pay", "wallet", "paid", "", "WALLET"),
        ("no_funds", "visa", "declined", "51", None),
        ("wrong_otp", "visa", "declined", "06", None),
        ("cancel", "visa", "declined", "24", None),
        ("expired", "visa", "declined", "11", None),
        ("suspect", "visa", "suspected", "07", None),
        ("reversed", "visa", "reversed", "99", None),
    ],
)
async def test_each_outcome_is_told_the_same_three_ways(
    phone: httpx.AsyncClient,
    gateway: Vnpay,
    order: AttemptOrder,
    shop: Shop,
    outcome: str,
    card: str,
    event: str,
    code: str,
    means: str | None,
) -> None:
    page = await choose(phone, address_of(gateway, order), outcome, card)
    await shop.has(1)
    told = heard(gateway, shop.got[0])
    assert told.end and (told.end.event, told.end.code, told.end.amount_vnd) == (event, code, 70_000)
    assert (told.credit and told.credit.means) == means
    assert heard(gateway, urlsplit(way_back(page)).query).end == told.end
    asked = await gateway.ask(order)
    assert asked and asked.end and asked.end.event == event
    assert (asked.credit and asked.credit.bank_ref) == (told.credit and told.credit.bank_ref)
    await shop.stays_at(1)


async def test_the_page_shows_payee_and_amount_and_asks_for_no_number(
    phone: httpx.AsyncClient, gateway: Vnpay, order: AttemptOrder, shop: Shop
) -> None:
    page = await phone.get(address_of(gateway, order))
    assert "TT VAN MIEU" in page.text and "70,000" in page.text
    assert set(re.findall(r'<input type="([a-z]+)"', page.text)) == {"hidden", "radio"}
    assert "Thanh toán bằng thẻ" in (await phone.get(address_of(gateway, order) + "&lang=vi")).text


async def test_the_seller_says_which_language_the_payer_reads(
    phone: httpx.AsyncClient, gateway: Vnpay, order: AttemptOrder, shop: Shop
) -> None:
    address = gateway.begin(order, language="vi", back="http://localhost/back", payer_address="")
    assert "Thanh toán bằng thẻ" in (await phone.get(address)).text


async def test_an_address_that_somebody_changed_is_refused(
    phone: httpx.AsyncClient, gateway: Vnpay, order: AttemptOrder, shop: Shop
) -> None:
    address = address_of(gateway, order)
    assert (await phone.get(address.replace("7000000", "7000100"))).status_code == 403
    assert (await phone.get(address.replace(MERCHANT, "NOBODY00"))).status_code == 404
    assert (await phone.get("/paymentv2/vpcpay.html")).status_code == 404
    forged = {"asked": urlsplit(address).query.replace("7000000", "100"), "outcome": "pay"}
    assert (await phone.post("/paymentv2/pay", data=forged)).status_code == 403
    assert await gateway.ask(order) is None


async def test_the_same_number_for_another_sum_is_refused(
    phone: httpx.AsyncClient, gateway: Vnpay, order: AttemptOrder, shop: Shop
) -> None:
    await phone.get(address_of(gateway, order))
    assert (await phone.get(address_of(gateway, replace(order, amount_vnd=80_000)))).status_code == 409


async def test_a_payment_ends_once(phone: httpx.AsyncClient, gateway: Vnpay, order: AttemptOrder, shop: Shop) -> None:
    address = address_of(gateway, order)
    await choose(phone, address, "no_funds")
    form = {"asked": urlsplit(address).query, "outcome": "pay"}
    again = await phone.post("/paymentv2/pay", data=form, follow_redirects=True)
    assert "not enough money" in again.text
    assert "not enough money" in (await phone.get(address, follow_redirects=True)).text
    await shop.has(1)
    await shop.stays_at(1)


async def test_who_closes_the_browser_has_paid_and_does_not_come_back(
    phone: httpx.AsyncClient, gateway: Vnpay, order: AttemptOrder, shop: Shop
) -> None:
    page = await choose(phone, address_of(gateway, order), "close")
    assert "http://localhost/back" not in page.text
    await shop.has(1)
    end = heard(gateway, shop.got[0]).end
    assert end and end.event == "paid"


async def test_nobody_is_sent_to_a_strangers_address(
    phone: httpx.AsyncClient, gateway: Vnpay, order: AttemptOrder, shop: Shop
) -> None:
    address = gateway.begin(order, language="en", back="https://elsewhere.example/", payer_address="")
    page = await choose(phone, address, "pay")
    assert "http-equiv" not in page.text and 'href="https://elsewhere' not in page.text


async def test_after_its_time_the_page_takes_nothing(
    phone: httpx.AsyncClient, gateway: Vnpay, order: AttemptOrder, shop: Shop
) -> None:
    late = replace(order, expires_at=datetime.now(UTC) - timedelta(seconds=2))
    page = await phone.get(address_of(gateway, late), follow_redirects=True)
    assert "time has run out" in page.text
    await shop.has(1)
    end = heard(gateway, shop.got[0]).end
    assert end and end.code == "11"


async def test_who_has_not_decided_has_no_end_yet(
    phone: httpx.AsyncClient, gateway: Vnpay, order: AttemptOrder, shop: Shop
) -> None:
    assert await gateway.ask(order) is None, "the gateway has never heard of it"
    await phone.get(address_of(gateway, order))
    assert await gateway.ask(order) is None, "the payer has not decided"


# Notices that go wrong


async def test_a_notice_is_repeated_until_it_is_confirmed(
    phone: httpx.AsyncClient, gateway: Vnpay, order: AttemptOrder, shop: Shop
) -> None:
    shop.answers = ["99", "97", "01", "04", "02"]
    await choose(phone, address_of(gateway, order), "pay")
    await shop.has(5)
    await shop.stays_at(5)
    assert len(set(shop.got)) == 1


async def test_notices_are_lost_doubled_and_wrongly_signed_on_request(
    phone: httpx.AsyncClient, gateway: Vnpay, order: AttemptOrder, shop: Shop, misbehave: Misbehave
) -> None:
    await misbehave(lose_notices=True)
    await choose(phone, address_of(gateway, order), "pay")
    await shop.stays_at(0)
    asked = await gateway.ask(order)
    assert asked and asked.credit, "what no notice tells, the question does"

    await misbehave(repeat_notices=3)
    await choose(phone, address_of(gateway, replace(order, ref="MCTEST02")), "pay")
    await shop.has(3)
    await shop.stays_at(3)

    shop.got.clear()
    shop.answers = ["97"]
    await misbehave(wrong_signature=True)
    await choose(phone, address_of(gateway, replace(order, ref="MCTEST03")), "pay")
    await shop.has(2)
    with pytest.raises(Exception, match="signature"):
        heard(gateway, shop.got[0])
    assert heard(gateway, shop.got[1]).credit

    shop.got.clear()
    await misbehave(lose_notice_answers=True)
    await choose(phone, address_of(gateway, replace(order, ref="MCTEST04")), "pay")
    await shop.has(2)
    await misbehave(delay_seconds=1)
    shop.got.clear()
    await choose(phone, address_of(gateway, replace(order, ref="MCTEST05")), "pay")
    await shop.stays_at(0)
    await shop.has(1)


# Refunds


async def paid(phone: httpx.AsyncClient, gateway: Vnpay, order: AttemptOrder) -> RefundOrder:
    """A payment by Visa, and the order to give all of it back."""
    await choose(phone, address_of(gateway, order), "pay")
    news = await gateway.ask(order)
    assert news and news.credit
    return RefundOrder(
        id=uuid4(),
        account=news.account,
        original_ref=news.credit.bank_ref,
        original_vnd=70_000,
        amount_vnd=70_000,
        text="Mot Cham hoan tien",
        asked_by="ketoan",
        asked_at=datetime.now(UTC) + timedelta(seconds=5),
        facts={"ref": order.ref, "opened_at": order.opened_at.isoformat()},
    )


async def test_refunds_of_one_second_are_not_taken_for_each_other_nor_for_their_payment(
    phone: httpx.AsyncClient, gateway: Vnpay, order: AttemptOrder, shop: Shop
) -> None:
    whole = await paid(phone, gateway, order)
    first = replace(whole, amount_vnd=20_000, asked_at=order.opened_at)
    second = replace(first, id=uuid4())
    assert (await gateway.fate_of(first)).fate == "unknown", "it was never asked for"
    assert (await gateway.send_back(first)).fate == "accepted"
    assert (await gateway.fate_of(first)).fate == "settled"
    assert (await gateway.fate_of(second)).fate == "unknown", "this one was never asked for"


async def test_the_whole_goes_back_once(
    phone: httpx.AsyncClient,
    gateway: Vnpay,
    order: AttemptOrder,
    shop: Shop,
    misbehave: Misbehave,
    api: httpx.AsyncClient,
) -> None:
    refund = await paid(phone, gateway, order)
    await misbehave(refund_seconds=100)
    assert (await gateway.fate_of(refund)).fate == "unknown"
    assert (await gateway.send_back(refund)).fate == "accepted"
    assert (await gateway.send_back(refund)).fate == "accepted", "asked again: 94"
    now = datetime.now(UTC)
    for seconds, fate in ((0, "accepted"), (60, "sent"), (110, "settled")):
        at = now + timedelta(seconds=seconds)
        await api.put("/clock", json={"at": at.isoformat(), "rate": 1.0})
        assert (await gateway.fate_of(refund)).fate == fate
    more = replace(refund, id=uuid4(), amount_vnd=1_000, asked_at=refund.asked_at + timedelta(seconds=5))
    answer = await gateway.send_back(more)
    assert (answer.fate, answer.why) == ("refused", "93")
    assert (await gateway.fate_of(more)).fate == "unknown", "nothing was done under it"


async def test_parts_go_back_until_nothing_is_left(
    phone: httpx.AsyncClient, gateway: Vnpay, order: AttemptOrder, shop: Shop
) -> None:
    whole = await paid(phone, gateway, order)
    parts = [
        replace(whole, id=uuid4(), amount_vnd=amount_vnd, asked_at=whole.asked_at + timedelta(seconds=number))
        for number, amount_vnd in enumerate((30_000, 30_000, 30_000, 10_000))
    ]
    answers = [await gateway.send_back(part) for part in parts]
    assert [answer.fate for answer in answers] == ["accepted", "accepted", "refused", "accepted"]
    fates = [await gateway.fate_of(part) for part in parts]
    assert [fate.fate for fate in fates] == ["settled", "settled", "unknown", "settled"]
    assert len({fate.ref for fate in fates if fate.ref}) == 3, "each has a number of its own"


async def test_a_refund_refused_later_comes_to_nothing_and_can_be_asked_anew(
    phone: httpx.AsyncClient, gateway: Vnpay, order: AttemptOrder, shop: Shop, misbehave: Misbehave
) -> None:
    refund = await paid(phone, gateway, order)
    await misbehave(return_refunds=True)
    assert (await gateway.send_back(refund)).fate == "accepted"
    fate = await gateway.fate_of(refund)
    assert (fate.fate, fate.why) == ("refused", "09")
    await misbehave()
    anew = replace(refund, id=uuid4(), asked_at=refund.asked_at + timedelta(seconds=9))
    assert (await gateway.send_back(anew)).fate == "accepted"
    assert (await gateway.fate_of(anew)).fate == "settled"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"facts": {"ref": "MCNONE01", "opened_at": "2026-11-21T02:30:00+00:00"}}, "91"),
        ({"amount_vnd": 80_000}, "93"),
    ],
)
async def test_what_cannot_go_back_is_refused_with_its_code(
    phone: httpx.AsyncClient, gateway: Vnpay, order: AttemptOrder, shop: Shop, changes: dict[str, object], why: str
) -> None:
    refund = replace(await paid(phone, gateway, order), **changes)  # type: ignore[arg-type]
    answer = await gateway.send_back(refund)
    assert (answer.fate, answer.why) == ("refused", why)


async def test_what_was_never_paid_is_not_given_back(
    phone: httpx.AsyncClient, gateway: Vnpay, order: AttemptOrder, shop: Shop
) -> None:
    refund = await paid(phone, gateway, order)
    other = replace(order, ref="MCTEST02")
    await choose(phone, address_of(gateway, other), "no_funds")
    answer = await gateway.send_back(replace(refund, facts=refund.facts | {"ref": "MCTEST02"}))  # type: ignore[operator]
    assert (answer.fate, answer.why) == ("refused", "95")


async def test_after_a_lost_answer_the_question_finds_out(
    phone: httpx.AsyncClient, gateway: Vnpay, order: AttemptOrder, shop: Shop, misbehave: Misbehave, app: FastAPI
) -> None:
    refund = await paid(phone, gateway, order)
    await misbehave(lose_refund_answers=True)
    async with served(app) as address:
        over_a_wire = Vnpay({MERCHANT: SECRET}, "", f"{address}/merchant_webapi/api/transaction")
        with pytest.raises(GatewaySilent):
            await over_a_wire.send_back(refund)
        await over_a_wire.close()
    await misbehave()
    assert (await gateway.fate_of(refund)).fate == "settled"


async def test_silence_and_answers_with_another_signature_are_silence(
    phone: httpx.AsyncClient, gateway: Vnpay, order: AttemptOrder, shop: Shop, misbehave: Misbehave, app: FastAPI
) -> None:
    refund = await paid(phone, gateway, order)
    await misbehave(answers="error_503")
    for asking in (gateway.ask(order), gateway.send_back(refund), gateway.fate_of(refund)):
        with pytest.raises(GatewaySilent):
            await asking
    await misbehave()

    class Liar(httpx.ASGITransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            answer = await super().handle_async_request(request)
            body = (await answer.aread()).replace(b'"vnp_TransactionStatus":"00"', b'"vnp_TransactionStatus":"02"')
            return httpx.Response(answer.status_code, content=body)

    lied_to = Vnpay({MERCHANT: SECRET}, "", "http://bank/merchant_webapi/api/transaction", transport=Liar(app))
    with pytest.raises(GatewaySilent):
        await lied_to.ask(order)


async def test_a_question_signed_with_another_secret_is_answered_97(
    phone: httpx.AsyncClient, gateway: Vnpay, order: AttemptOrder, shop: Shop, app: FastAPI
) -> None:
    await paid(phone, gateway, order)
    stranger = {"vnp_Command": "querydr", "vnp_TmnCode": MERCHANT, "vnp_SecureHash": "0" * 128}
    needed = ("RequestId", "Version", "TxnRef", "TransactionDate", "CreateDate", "IpAddr", "OrderInfo")
    body = stranger | {f"vnp_{name}": "1" for name in needed}
    answer = await phone.post("/merchant_webapi/api/transaction", json=body)
    assert answer.json()["vnp_ResponseCode"] == "97"
    answer = await phone.post("/merchant_webapi/api/transaction", json=stranger)
    assert answer.json()["vnp_ResponseCode"] == "03"
    answer = await phone.post("/merchant_webapi/api/transaction", json={"vnp_TmnCode": "NOBODY00"})
    assert answer.json()["vnp_ResponseCode"] == "02"


async def test_a_merchant_is_opened_with_the_banks_key_only_and_its_secret_is_not_shown(
    phone: httpx.AsyncClient, api: httpx.AsyncClient
) -> None:
    wanted = {"owner_name": "A", "secret": "12345678", "ipn_url": "http://localhost/ipn"}
    assert (await phone.put("/api/v1/merchants/ABCD1234", json=wanted)).status_code == 401
    assert (await api.put("/api/v1/merchants/ABCD1234", json=wanted | {"secret": ""})).status_code == 422
    said = await api.put("/api/v1/merchants/ABCD1234", json=wanted)
    assert said.status_code == 200 and "12345678" not in said.text


async def test_a_question_that_breaks_off_in_its_body_breaks_nothing(app: FastAPI) -> None:
    path = "/merchant_webapi/api/transaction"
    scope: dict[str, Any] = {"type": "http", "http_version": "1.1", "method": "POST", "scheme": "http", "path": path}
    scope |= {"raw_path": path.encode(), "query_string": b"", "headers": [(b"content-length", b"9")]}
    came: Iterator[Message] = iter(
        [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]
    )
    said: list[Message] = []

    async def receive() -> Message:
        return next(came)

    async def send(message: Message) -> None:
        said.append(message)

    await app(scope, receive, send)
    assert said[0]["status"] == 400
