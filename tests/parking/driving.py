"""What drivers and attendants do at a lot in these tests, through the interfaces they would use."""

from __future__ import annotations

import re
from datetime import datetime

import asyncpg
import httpx
from acts import OPERATOR_IDS, Tablet, hidden, notify

from foundation import clock as platform_clock
from foundation.clock import HANOI
from foundation.device import attendant
from foundation.staff import Token
from foundation.web import Platform
from payments import notes, shift

OPERATOR_OF = {"VM1": "vanmieu", "DD1": "dongda"}
CAR, MOTORBIKE = "30A-123.45", "29-B1 123.45"


def hanoi(text: str) -> datetime:
    """`2026-12-01 09:00` on a Hanoi clock."""
    return datetime.fromisoformat(text).replace(tzinfo=HANOI)


async def send_form(client: httpx.AsyncClient, lot: str, **form: str) -> httpx.Response:
    """Opens the lot's page and sends its form."""
    page = await client.get(f"/P/{lot}", params={"lang": "en"})
    return await client.post(f"/P/{lot}", data={"key": hidden(page.text, "key")} | form)


async def park(
    client: httpx.AsyncClient, lot: str = "DD1", plate: str | None = CAR, vehicle_class: str | None = None
) -> str:
    """A visitor's own entry; the address of the stay's page."""
    vehicle_class = vehicle_class or {"DD1": "car", "VM1": "motorbike"}[lot]
    named = {"without": "true"} if plate is None else {"plate": plate}
    answer = await send_form(client, lot, vehicle_class=vehicle_class, **named)
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


async def occupied(admin: asyncpg.Connection, place: int) -> int:
    """How many the counter says, after looking that it says the truth."""
    counter: int = await admin.fetchval("select occupied from parking.lot where place = $1", place)
    assert counter == await admin.fetchval(
        "select count(*) from parking.stay where place = $1 and left_at is null and counted", place
    )
    return counter


async def held(admin: asyncpg.Connection) -> list[tuple[str, int]]:
    """The money that waits for its payer: (why, VND)."""
    rows = await admin.fetch("select reason, amount_vnd from payments.held order by amount_vnd")
    return [(row["reason"], row["amount_vnd"]) for row in rows]


async def look(client: httpx.AsyncClient, stay: str, language: str = "en") -> str:
    """The text of a stay's page."""
    answer = await client.get(stay, params={"lang": language})
    assert answer.status_code == 200, answer.text
    return answer.text


def amount(page: str, id: str) -> int | None:
    """The sum in the element of that id, in VND."""
    found = re.search(rf'id="{id}">([\d,.]+)', page)
    return int(re.sub(r"\D", "", found[1])) if found else None


async def due(client: httpx.AsyncClient, stay: str) -> int | None:
    return amount(await look(client, stay), "due")


async def press_pay(client: httpx.AsyncClient, stay: str) -> str:
    """Presses the button; the reference of the payment that the driver is sent to."""
    return (await pay_page(client, stay)).split("/")[2]


async def pay_page(client: httpx.AsyncClient, stay: str) -> str:
    """Presses the button of a stay's page, at `/T/` or `/P/`; the address of the page to pay on."""
    action = f"{stay}/pay" if stay.startswith("/P/") else f"/P/stay/{stay.removeprefix('/T/')}/pay"
    answer = await client.post(action)
    assert answer.status_code == 303, answer.text
    assert answer.headers["location"].startswith("/pay/"), answer.headers["location"]
    return answer.headers["location"]


async def transfer(
    client: httpx.AsyncClient, reference: str, at: str, amount_vnd: int | None = None, operator: str = "dongda"
) -> None:
    """The bank tells us that somebody paid at that time, all that is owed unless said otherwise."""
    if amount_vnd is None:
        amount_vnd = (await client.get(f"/api/v1/public/payments/{reference}")).json()["amount_vnd"]
    answer = await notify(client, text=reference, amount_vnd=amount_vnd, operator=operator, paid_at=hanoi(at))
    assert answer.status_code == 202, answer.text


async def open_shift(here: Platform, tablet: Tablet, *, operator: str, place: int) -> None:
    """The attendant of a tablet opens a drawer with 100,000 đồng in it."""
    token = Token.read(tablet.session_token)
    assert token is not None
    async with here.database.transaction(OPERATOR_IDS[operator]) as tx:
        who = await attendant(tx, token)
        await shift.open_shift(tx, who, place=place, counted=notes.of(100_000), now=await platform_clock.now(tx))
