"""The practice tax office beside the practice bank, asked through our own way of speaking to it."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import asyncpg
import httpx
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.types import Message

from mock_tax.app import beside, create_app
from payments.tax_office import Key, PracticeTaxOffice, TaxOfficeSilent, Told

SECRET = "a secret for tests"
ISSUER = "0100000003"
AT = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)


class Desk(PracticeTaxOffice):
    """Ours, with the office in the same process."""

    def __init__(self, app: Any, secret: str = SECRET) -> None:
        super().__init__("http://tax", secret)
        self._http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://tax")

    async def misbehaves(self, **faults: object) -> None:
        body = json.dumps(faults).encode()
        headers = {"x-signature": hmac.new(self._secret, body, hashlib.sha256).hexdigest()}
        (await self._http.put("/api/v1/faults", content=body, headers=headers)).raise_for_status()


@pytest.fixture
async def office(admin: asyncpg.Connection, admin_url: str) -> AsyncIterator[Desk]:
    app = create_app(admin_url, SECRET)
    async with app.router.lifespan_context(app):
        desk = Desk(app)
        yield desk
        await desk.close()


def issue(number: int, **changes: object) -> Told:
    facts: dict[str, Any] = {
        "kind": "invoice",
        "sold_at": AT,
        "issued_at": AT,
        "item": "Trông giữ xe, Bãi xe",
        "amount_vnd": 10_800,
        "vat_bp": 800,
        "vat_vnd": 800,
        "means": "CASH",
        "buyer": None,
        "replaces": None,
        "look_up": "vanmieu-AAAAA",
    }
    return Told(Key("issue", "1", "C26MVM", number), facts | changes)


def cancel(number: int) -> Told:
    return Told(Key("cancel", "1", "C26MVM", number), {"at": AT, "reason": "given_back"})


async def fates(office: Desk, *items: Told) -> list[str]:
    said = await office.tell(ISSUER, items)
    return [said[item.key].why or said[item.key].fate for item in items]


async def test_documents_are_taken_in_the_order_of_their_numbers_and_the_same_again_is_the_same(office: Desk) -> None:
    assert await fates(office, issue(1), issue(3), issue(2), issue(1)) == [
        "accepted",
        "number_missing",
        "accepted",
        "accepted",
    ]
    assert await fates(office, issue(3), issue(2, item="something else"), cancel(1), cancel(1), cancel(9)) == [
        "accepted",
        "number_used",
        "accepted",
        "accepted",
        "nothing_to_cancel",
    ]
    asked = [issue(3).key, issue(4).key, cancel(2).key]
    assert [verdict.fate for verdict in (await office.fates_of(ISSUER, asked)).values()] == [
        "accepted",
        "unknown",
        "unknown",
    ]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"vat_vnd": 801}, "vat_differs"),
        ({"amount_vnd": 0, "vat_vnd": 0}, "no_amount"),
        ({"kind": "receipt"}, "fee_with_vat"),
        ({"issued_at": datetime(2026, 11, 22, 2, 0, tzinfo=UTC)}, "issued_before_sale"),
        ({"buyer": {"tax_code": "0100109107", "name": "Hoa Sen"}}, "buyer_unknown"),
        ({"buyer": {"tax_code": "0100109106-001", "name": "Hoa Sen"}}, "accepted"),
        ({"replaces": {"form": "1", "symbol": "C26MVM", "number": 7}}, "nothing_to_replace"),
    ],
)
async def test_each_document_is_looked_at(office: Desk, changes: dict[str, object], why: str) -> None:
    assert await fates(office, issue(1, **changes)) == [why]
    assert await fates(office, issue(2)) == ["accepted"], "its number is used all the same"


async def test_it_misbehaves_as_it_is_told(office: Desk, admin: asyncpg.Connection) -> None:
    await office.misbehaves(lose_answers=1)
    with pytest.raises(TaxOfficeSilent):
        await office.tell(ISSUER, [issue(1)])
    assert (await office.fates_of(ISSUER, [issue(1).key]))[issue(1).key].fate == "accepted", "it had arrived"
    await office.misbehaves(reject=1)
    assert await fates(office, issue(2)) == ["by_lot"]
    assert await fates(office, issue(2)) == ["accepted"], "told again, it is looked at again"
    await office.misbehaves(decide_seconds=60)
    assert await fates(office, issue(3)) == ["received"]
    await admin.execute("update mock_tax.item set decides_at = now()")
    assert (await office.fates_of(ISSUER, [issue(3).key]))[issue(3).key].fate == "accepted"
    await office.misbehaves(closed=True)
    with pytest.raises(TaxOfficeSilent):
        await office.fates_of(ISSUER, [issue(3).key])


async def test_it_stands_beside_another_app(admin: asyncpg.Connection, admin_url: str) -> None:
    bank = FastAPI()

    @bank.get("/healthz")
    async def health() -> str:
        return "the bank"

    assert beside(bank, admin_url) is bank, "without a secret there is no office"
    both = beside(bank, admin_url, SECRET)
    assert isinstance(both, Starlette)
    transport = httpx.ASGITransport(both)
    async with (
        both.router.lifespan_context(both),
        httpx.AsyncClient(transport=transport, base_url="http://x") as client,
    ):
        assert (await client.get("/healthz")).json() == "the bank"
        signature = {"x-signature": "0" * 64}
        assert (await client.post("/tax/api/v1/messages", content=b"{}", headers=signature)).status_code == 401


async def test_nobody_else_is_listened_to(office: Desk) -> None:
    stranger = Desk(office._http._transport.app, "another secret")  # type: ignore[attr-defined]
    with pytest.raises(TaxOfficeSilent):
        await stranger.tell(ISSUER, [issue(1)])
    assert (await office.fates_of(ISSUER, [issue(1).key]))[issue(1).key].fate == "unknown"
    await stranger.close()
    with pytest.raises(TaxOfficeSilent):
        await office.tell("not an issuer", [issue(1)])


async def test_a_message_that_breaks_off_is_no_error_of_the_office(admin_url: str) -> None:
    app, answers = create_app(admin_url, SECRET), list[Message]()
    parts = iter([{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}])

    async def receive() -> Message:
        return next(parts)

    async def send(message: Message) -> None:
        answers.append(message)

    path = "/api/v1/messages"
    scope: dict[str, Any] = {"type": "http", "http_version": "1.1", "method": "POST", "scheme": "http", "path": path}
    scope |= {"raw_path": path.encode(), "query_string": b"", "headers": [(b"x-signature", b"0" * 64)]}
    async with app.router.lifespan_context(app):
        await app(scope, receive, send)
    assert answers[0]["status"] == 400
