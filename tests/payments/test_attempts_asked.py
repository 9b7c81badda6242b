"""Every notice lost: the worker asks the gateway about attempts, less and less often, and everything ends as it should."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import datetime
from itertools import pairwise

import asyncpg
import httpx
import pytest
from acts import MERCHANTS, VNPAY_SECRETS, choose_card, code_of, ipn, order_to_pay, said_of
from stage import Clock

from foundation.web import Platform
from payments import notice
from payments.gateway import vnpay
from payments.gateway.vnpay import Vnpay

SECRETS = dict(pair.split(":") for pair in VNPAY_SECRETS.split(","))
API = "http://gateway/merchant_webapi/api/transaction"


class Gateway(httpx.AsyncBaseTransport):
    """The gateway's side of the questions: `ends` is what it knows by number; None there: the payer has not finished."""

    def __init__(self) -> None:
        self.ends: dict[str, Mapping[str, str] | None] = {}
        self.asked: list[str] = []
        self.silent = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(await request.aread())
        secret = SECRETS[body["vnp_TmnCode"]]
        assert body["vnp_SecureHash"] == _hash(vnpay.piped(body, vnpay.QUERY_ASKED), secret)
        self.asked.append(body["vnp_TxnRef"])
        if self.silent:
            raise httpx.ConnectError("silence")
        said = {"vnp_ResponseId": "1", "vnp_Command": "querydr", "vnp_ResponseCode": "91"}
        if body["vnp_TxnRef"] in self.ends:
            end = self.ends[body["vnp_TxnRef"]] or {"vnp_TransactionStatus": "01"}
            said |= {name: end[name] for name in end if name not in ("vnp_CardType", "vnp_BankTranNo")}
            said["vnp_ResponseCode"] = "00"
        said |= {"vnp_TmnCode": body["vnp_TmnCode"], "vnp_TxnRef": body["vnp_TxnRef"]}
        return httpx.Response(200, json=said | {"vnp_SecureHash": _hash(vnpay.piped(said, vnpay.QUERY_SAID), secret)})


def _hash(text: str, secret: str) -> str:
    return hmac.new(secret.encode(), text.encode(), hashlib.sha512).hexdigest()


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()


async def ask(here: Platform, gateway: Gateway) -> int:
    """One round of the worker."""
    return await notice.ask(here.database, here.sealer, {"vnpay": Vnpay(SECRETS, "", API, transport=gateway)})


async def later(admin: asyncpg.Connection, seconds: int) -> None:
    """So much time passes on the platform's clock."""
    await admin.execute("select foundation.set_clock(foundation.now() + make_interval(secs => $1), 1)", float(seconds))


async def test_paid_with_the_notice_lost_and_the_browser_closed_ends_in_a_ticket(
    client: httpx.AsyncClient, here: Platform, admin: asyncpg.Connection, gateway: Gateway
) -> None:
    reference = await order_to_pay(client, adult=1)
    begun = await choose_card(client, reference)
    gateway.ends[begun["vnp_TxnRef"]] = said_of(begun)
    assert await ask(here, gateway) == 0
    assert gateway.asked == [], "a payer is given half a minute"
    await later(admin, 31)
    assert await ask(here, gateway) == 1
    assert await code_of(client, reference)
    assert await admin.fetchval("select source from payments.receipt") == "poll"
    assert await ipn(client, said_of(begun)) == "02", "its notice comes after all"
    await later(admin, 3600)
    assert await ask(here, gateway) == 0
    assert len(gateway.asked) == 1, "what is paid is not asked about again"


async def test_who_came_back_is_not_kept_waiting(
    client: httpx.AsyncClient, here: Platform, admin: asyncpg.Connection, gateway: Gateway
) -> None:
    reference = await order_to_pay(client, adult=1)
    begun = await choose_card(client, reference)
    gateway.ends[begun["vnp_TxnRef"]] = said_of(begun)
    assert (await client.get(f"/pay/{reference}/return")).status_code == 200
    assert await ask(here, gateway) == 1
    assert await code_of(client, reference)


async def test_declined_and_reversed_are_found_out_as_well(
    client: httpx.AsyncClient, here: Platform, admin: asyncpg.Connection, gateway: Gateway
) -> None:
    for status, state in (("02", "declined"), ("04", "reversed"), ("07", "open")):
        begun = await choose_card(client, await order_to_pay(client, adult=1))
        gateway.ends[begun["vnp_TxnRef"]] = said_of(begun, vnp_TransactionStatus=status)
        await later(admin, 31)
        await ask(here, gateway)
        found = await admin.fetchval("select state from payments.attempt where gateway_ref = $1", begun["vnp_TxnRef"])
        assert found == state
    assert await admin.fetchval("select code from payments.attempt where state = 'open'") == "07"
    assert await admin.fetchval("select count(*) from payments.receipt") == 0


async def test_an_attempt_is_asked_about_less_and_less_often_and_not_for_ever(
    client: httpx.AsyncClient, here: Platform, admin: asyncpg.Connection, gateway: Gateway
) -> None:
    begun = await choose_card(client, await order_to_pay(client, adult=1))
    gateway.ends[begun["vnp_TxnRef"]] = None
    began: datetime = await admin.fetchval("select foundation.now()")
    asked_at = []
    while (at := await admin.fetchval("select ask_at from payments.attempt")) is not None:
        asked_at.append((at - began).total_seconds())
        await admin.execute("select foundation.set_clock($1, 1)", at)
        await ask(here, gateway)
        state = await admin.fetchval("select state from payments.attempt")
        assert state == ("abandoned" if asked_at[-1] > 15 * 60 else "open")
    pauses = [after - before for before, after in pairwise(asked_at)]
    assert all(after > before - 1 for before, after in pairwise(pauses))
    assert len(gateway.asked) == len(asked_at) < 12
    assert 2 * 3600 < asked_at[-1] < 4 * 3600


async def test_a_gateway_that_is_away_is_asked_again(
    client: httpx.AsyncClient, here: Platform, admin: asyncpg.Connection, gateway: Gateway
) -> None:
    reference = await order_to_pay(client, adult=1)
    begun = await choose_card(client, reference)
    gateway.ends[begun["vnp_TxnRef"]] = said_of(begun)
    gateway.silent = True
    await later(admin, 31)
    assert await ask(here, gateway) == 0
    assert await admin.fetchval("select state from payments.attempt") == "open"
    gateway.silent = False
    await later(admin, 61)
    assert await ask(here, gateway) == 1
    assert await code_of(client, reference)


async def test_what_one_attempt_meets_never_stops_the_others(
    client: httpx.AsyncClient, here: Platform, admin: asyncpg.Connection, gateway: Gateway
) -> None:
    odd = await choose_card(client, await order_to_pay(client, adult=1))
    reference = await order_to_pay(client, adult=1)
    begun = await choose_card(client, reference)
    gateway.ends |= {
        odd["vnp_TxnRef"]: said_of(odd, vnp_Amount="100"),
        begun["vnp_TxnRef"]: said_of(begun),
    }
    await later(admin, 31)
    assert await ask(here, gateway) == 1
    assert await code_of(client, reference)
    assert await admin.fetchval("select id from foundation.due where parked_at is not null") == odd["vnp_TxnRef"]


async def test_each_operators_money_comes_to_his_own_merchant(
    client: httpx.AsyncClient, here: Platform, admin: asyncpg.Connection, clock: Clock
) -> None:
    begun = await choose_card(client, await order_to_pay(client, "THANGLONG", adult=1))
    assert begun["vnp_TmnCode"] == MERCHANTS["thanglong"]
    assert await ipn(client, said_of(begun) | {"vnp_TmnCode": MERCHANTS["vanmieu"]}) == "01"
    assert await ipn(client, said_of(begun)) == "00"
    owner = await admin.fetchval(
        "select o.code from payments.receipt r join foundation.operator o on o.id = r.operator_id"
    )
    assert owner == "thanglong"
