"""What people do in tests, through the interfaces they would use: order, pay through the bank, work at a tablet."""

from __future__ import annotations

import itertools
import json
import re
import secrets
import uuid
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

import httpx
from standardwebhooks import Webhook

import demo
from foundation import device
from foundation.web import Platform
from payments.gateway import vnpay

BANK_SECRET = "whsec_" + "c2VjcmV0LW9mLXRoZS10ZXN0LWJhbmstbm90LXJlYWwh"
MERCHANTS = {operator[1]: demo.MERCHANTS[operator[0]] for operator in demo.OPERATORS}
VNPAY_SECRETS = ",".join(f"{code}:secret of {code}" for code in MERCHANTS.values())
ACCOUNTS = {operator[1]: (operator[4], operator[5]) for operator in demo.OPERATORS}
OPERATOR_IDS = {operator[1]: operator[0] for operator in demo.OPERATORS}


_pages: dict[str, str] = {}
"""The payers' own addresses, as their browsers remember them; a reference alone leads nowhere."""


def hidden(page: str, name: str) -> str:
    """The value of a hidden field of a page."""
    found = re.search(rf'name="{name}" value="([^"]*)"', page)
    assert found, f"the page has no field {name}"
    return found[1]


async def order(
    client: httpx.AsyncClient, site: str = "VANMIEU", *, day: str | None = None, **heads: int
) -> httpx.Response:
    """Chooses heads at a site and sends the form; the answer redirects to the payment or the ticket."""
    page = await client.get(f"/S/{site}")
    form = {"key": hidden(page.text, "key"), "day": day or hidden(page.text, "day")}
    return await client.post(f"/S/{site}", data=form | {f"heads_{code}": str(n) for code, n in heads.items()})


async def order_to_pay(client: httpx.AsyncClient, site: str = "VANMIEU", **heads: int) -> str:
    """The reference of a fresh order."""
    answer = await order(client, site, **heads)
    assert answer.status_code == 303, answer.text
    reference: str = answer.headers["location"].split("/")[2]
    _pages[reference] = answer.headers["location"]
    return reference


async def notify(
    client: httpx.AsyncClient,
    *,
    text: str,
    amount_vnd: object,
    operator: str = "vanmieu",
    bank_ref: str | None = None,
    event_id: str | None = None,
    paid_at: datetime | None = None,
    secret: str = BANK_SECRET,
    sent_at: datetime | None = None,
    raw: str | None = None,
) -> httpx.Response:
    """A signed notice of the bank, as it really arrives."""
    bin, account = ACCOUNTS[operator]
    body = raw or json.dumps(
        {
            "type": "transaction.booked",
            "timestamp": datetime.now(UTC).isoformat(),
            "data": {
                "bank_ref": bank_ref or f"FT{secrets.token_hex(6)}",
                "bin": bin,
                "account": account,
                "direction": "credit",
                "amount_vnd": amount_vnd,
                "text": text,
                "booked_at": (paid_at or datetime.now(UTC)).isoformat(),
                "payer_name": "NGUYEN VAN THU",
                "payer_bin": "970422",
                "payer_account": "0123456789",
            },
        }
    )
    event_id = event_id or f"evt_{uuid.uuid4()}"
    sent_at = sent_at or datetime.now(UTC)
    return await client.post(
        "/api/v1/hooks/bank",
        content=body,
        headers={
            "content-type": "application/json",
            "webhook-id": event_id,
            "webhook-timestamp": str(int(sent_at.timestamp())),
            "webhook-signature": Webhook(secret).sign(event_id, sent_at, body),
        },
    )


async def choose_card(client: httpx.AsyncClient, reference: str) -> dict[str, str]:
    """Presses "card or foreign wallet" on the payment page; the fields with which the gateway's page is opened."""
    answer = await client.post(f"{_pages[reference]}/card")
    assert answer.status_code == 303, answer.text
    page, _, query = answer.headers["location"].partition("?")
    assert page.endswith("/paymentv2/vpcpay.html"), page
    return dict(parse_qsl(query))


def said_of(begun: Mapping[str, str], **changes: str) -> dict[str, str]:
    """What the gateway says of a payment begun with these fields, if it was paid by Visa; unsigned."""
    number = str(10_000_000 + zlib.crc32(begun["vnp_TxnRef"].encode()) % 80_000_000)
    said = {
        "vnp_TmnCode": begun["vnp_TmnCode"],
        "vnp_TxnRef": begun["vnp_TxnRef"],
        "vnp_Amount": begun["vnp_Amount"],
        "vnp_OrderInfo": begun["vnp_OrderInfo"],
        "vnp_BankCode": "VISA",
        "vnp_BankTranNo": f"VISA{number}",
        "vnp_CardType": "VISA",
        "vnp_PayDate": begun["vnp_CreateDate"],
        "vnp_TransactionNo": number,
        "vnp_ResponseCode": "00",
        "vnp_TransactionStatus": "00",
    }
    return said | changes


async def ipn(client: httpx.AsyncClient, said: Mapping[str, str], *, secret: str | None = None) -> str:
    """The gateway's notice as it really arrives; the RspCode it is answered with."""
    query = vnpay.signed_query(said, secret or f"secret of {said['vnp_TmnCode']}")
    answer = await client.get(f"/api/v1/hooks/vnpay?{query}")
    assert answer.status_code == 200, answer.text
    code: str = answer.json()["RspCode"]
    return code


async def bought_code(client: httpx.AsyncClient, site: str = "VANMIEU", **heads: int) -> str:
    """Orders, pays, and reads the code of the ticket from its page's address."""
    operator = {"VANMIEU": "vanmieu", "THANGLONG": "thanglong"}[site]
    reference = await order_to_pay(client, site, **heads)
    owed = (await client.get(f"/api/v1/public/payments/{reference}")).json()
    assert (await notify(client, text=reference, amount_vnd=owed["amount_vnd"], operator=operator)).status_code == 202
    return await code_of(client, reference)


async def code_of(client: httpx.AsyncClient, reference: str) -> str:
    """The code of the ticket that a paid order led to."""
    back = await client.get(_pages[reference])
    # Who paid too much is told so first, and goes on by himself.
    onward = re.search(r'class="button big" href="(/S/[^"]+)"', back.text)
    assert back.status_code == 303 or onward, "the order is not paid"
    ticket = await client.get(onward[1] if onward else back.headers["location"])
    assert ticket.status_code == 303
    return ticket.headers["location"].removeprefix("/T/")


def page_of(reference: str) -> str:
    """The payer's own address of a payment."""
    return _pages[reference]


@dataclass
class Tablet:
    """An enrolled tablet with an attendant logged in."""

    client: httpx.AsyncClient
    device_token: str
    session_token: str
    facts: dict[str, Any]
    counter: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def action(self, **body: object) -> dict[str, Any]:
        """A body with a fresh id."""
        return {"id": str(uuid.uuid4()), "counter": next(self.counter), "at": datetime.now(UTC).isoformat(), **body}

    async def post(self, path: str, body: dict[str, Any]) -> httpx.Response:
        return await self.client.post(
            f"/api/v1/device/{path}", json=body, headers={"authorization": f"Bearer {self.session_token}"}
        )

    async def does(self, path: str, **body: object) -> dict[str, Any]:
        """One action that must be carried out; its answer."""
        answer = await self.post(path, self.action(**body))
        assert answer.status_code == 200, answer.text
        said: dict[str, Any] = answer.json()
        return said

    async def scan(self, code: str, *, place: int = 1, heads: int | None = None) -> dict[str, Any]:
        return await self.does("scan", place=place, code=code, heads=heads)


async def enrolled(
    client: httpx.AsyncClient,
    here: Platform,
    *,
    operator: str = "vanmieu",
    places: list[int] | None = None,
    login: str = "01",
    name: str = "Cổng 1",
) -> Tablet:
    """A new tablet of an operator at its places, with an attendant logged in, through the real way in."""
    places = places or {"vanmieu": [1, 2], "thanglong": [3], "dongda": [4]}[operator]
    async with here.database.transaction(OPERATOR_IDS[operator]) as tx:
        code = await device.offer_enrolment(tx, operator_code=operator, device_name=name, places=places)
    enrol = await client.post("/api/v1/device/enrol", json={"code": code})
    assert enrol.status_code == 200, enrol.text
    token = enrol.json()["device_token"]
    said = await client.post(
        "/api/v1/device/login",
        json={"login": login, "pin": demo.PIN},
        headers={"authorization": f"Bearer {token}"},
    )
    assert said.status_code == 200, said.text
    return Tablet(client, token, said.json()["session_token"], said.json())


async def log_in(
    browser: httpx.AsyncClient, login: str, password: str = demo.PASSWORD, next: str = "/finance/"
) -> httpx.Response:
    """Somebody of the staff logs in with a password."""
    return await browser.post("/finance/login", data={"login": login, "password": password, "next": next})


async def press(browser: httpx.AsyncClient, page: str, action: str, **fields: object) -> httpx.Response:
    """Sends a form as the page holds it: with its token, and what was filled in."""
    found = re.search(r'name="csrf" value="([^"]+)"', (await browser.get(page)).text)
    assert found, f"{page} has no form"
    return await browser.post(action, data={"csrf": found[1], **fields})
