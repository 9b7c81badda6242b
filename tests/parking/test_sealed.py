"""What is sensitive stands nowhere in clear: not in any row of any table, not in a log, not in an answer to a refusal."""

from __future__ import annotations

import logging
import re

import asyncpg
import httpx
import pytest
from acts import enrolled, log_in, notify, press
from driving import CAR, look, park, pay_page

from foundation.web import Platform

PAYER, PAYERS_ACCOUNT, SAID = "NGUYEN VAN THU", "0123456789", "CHUYEN KHOAN TU CHI HOA"
PLATES = re.compile(r"30A-?123\.?45")
TABLES = (
    "select format('%I.%I', table_schema, table_name) from information_schema.tables"
    " where table_type = 'BASE TABLE' and table_schema in ('foundation', 'payments', 'parking', 'ticketing')"
)


def names_somebody(text: str) -> bool:
    """Whether a plate, a payer, his account or what he wrote can be read in a text, or in the bytes it shows as hex."""
    for run in re.findall(r"(?:[0-9a-f]{2}){4,}", text):
        text += bytes.fromhex(run).decode("latin-1")
    return bool(PLATES.search(text)) or any(each in text for each in (PAYER, PAYERS_ACCOUNT, SAID))


async def test_no_row_no_log_and_no_refusal_names_a_plate_or_a_payer(
    client: httpx.AsyncClient, here: Platform, admin: asyncpg.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    # A visitor parks and pays; an attendant looks for the vehicle; money without a reference comes, twice and badly.
    stay = await park(client, plate=CAR)
    reference = (await pay_page(client, stay)).split("/")[2]
    owed = (await client.get(f"/api/v1/public/payments/{reference}")).json()["amount_vnd"]
    await notify(client, text=f"{SAID} {reference}", amount_vnd=owed, operator="dongda")
    tablet = await enrolled(client, here, operator="dongda")
    found = (await tablet.post("vehicles/find", {"place": 4, "plate": CAR})).json()
    assert found["stays"][0]["plate"] == CAR, "an attendant sees it"
    await notify(client, text=SAID, amount_vnd=40_000, operator="dongda", bank_ref="FT1")
    await notify(client, text=SAID, amount_vnd=41_000, operator="dongda", bank_ref="FT1")
    refused = [
        await notify(client, text=SAID, amount_vnd="one", operator="dongda"),
        await tablet.post("vehicles/in", tablet.action(place=99, vehicle_class="car", plate=CAR)),
        await tablet.post("vehicles/in", tablet.action(place=4, vehicle_class="ship", plate=CAR)),
    ]
    assert all(answer.status_code >= 400 for answer in refused)
    await log_in(client, "ketoan@dongda")
    waits = await admin.fetchval("select receipt_id from payments.held where reason = 'unknown_reference'")
    read = await press(client, f"/finance/queue/{waits}", f"/finance/queue/{waits}/read")
    assert SAID in read.text
    assert PAYER in read.text, "a clerk reads it, which is written down"

    for table in [row[0] for row in await admin.fetch(TABLES)]:
        for row in await admin.fetch(f"select t::text from {table} t"):
            assert not names_somebody(row[0]), table
    for record in caplog.records:
        assert not names_somebody(record.getMessage()), record.name
    for answer in refused:
        assert not names_somebody(answer.text)
    assert not PLATES.search(await look(client, stay)), "whoever has the code of a stay does not learn its plate"
    assert not names_somebody(str(client.cookies)) and not names_somebody(stay)


def test_the_search_itself_finds_what_is_in_clear() -> None:
    assert names_somebody("(1,30A-123.45)")
    assert names_somebody(f"(\\x{PAYER.encode().hex()})")
    assert not names_somebody("(1,29B1-000.00)")
