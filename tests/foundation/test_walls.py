"""The walls: one operator never sees another's rows, insert-only stays so, every route says who may call it."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Iterator
from typing import Any

import asyncpg
import httpx
import pytest
from acts import bought_code, log_in, notify, order_to_pay
from fastapi import APIRouter, FastAPI
from starlette.routing import Match
from starlette.types import Message

import demo
import main
from foundation.database import NOBODY, DatabaseUnreachable
from foundation.migrate import role_url
from foundation.settings import Settings
from foundation.web import Clerk, HotActs, Platform, Service, all_routes, create_app, hot, permit

OPEN_TABLES = {"foundation.directory", "foundation.due"}


async def test_every_table_with_an_operator_has_forced_row_security_and_a_policy(admin: asyncpg.Connection) -> None:
    rows = await admin.fetch(
        "select c.oid::regclass::text as name, c.relrowsecurity and c.relforcerowsecurity as forced,"
        " exists (select from pg_policy p where p.polrelid = c.oid and p.polname = 'own_rows') as ruled"
        " from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'operator_id'"
        " join pg_namespace n on n.oid = c.relnamespace"
        " where c.relkind = 'r' and n.nspname in ('foundation', 'payments', 'parking', 'ticketing')"
    )
    open_ones = {row["name"] for row in rows if not (row["forced"] and row["ruled"])}
    assert open_ones == OPEN_TABLES
    assert len(rows) > 20


async def test_without_an_operator_there_is_nothing_and_with_another_there_is_only_his(
    client: httpx.AsyncClient, here: Platform
) -> None:
    await bought_code(client, adult=1)
    tables = ["payments.charge", "payments.transfer", "payments.receipt", "ticketing.ticket", "foundation.staff"]
    for table in tables:
        assert await here.database.value(f"select count(*) from {table}") == 0
        async with here.database.transaction(NOBODY) as tx:
            assert await tx.value(f"select count(*) from {table}") == 0
    async with here.database.transaction(demo.DONGDA) as tx:
        assert await tx.value("select count(*) from payments.charge") == 0
        assert await tx.value("select count(*) from foundation.staff") == 4
    async with here.database.transaction(demo.VANMIEU) as tx:
        assert await tx.value("select count(*) from payments.charge") == 1


async def test_a_pool_shared_by_operators_never_mixes_them_even_when_calls_are_cut_off(here: Platform) -> None:
    dice = random.Random(20261121)

    async def look(operator_id: object) -> None:
        async with here.database.transaction(operator_id) as tx:  # type: ignore[arg-type]
            rows = await tx.rows("select distinct operator_id from foundation.staff")
            assert [row["operator_id"] for row in rows] == [operator_id]

    for _ in range(60):
        tasks = [asyncio.create_task(look(dice.choice([demo.VANMIEU, demo.THANGLONG, demo.DONGDA]))) for _ in range(16)]
        await asyncio.sleep(dice.random() / 100)
        for task in dice.sample(tasks, 4):
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            assert result is None or isinstance(result, asyncio.CancelledError), result


async def test_nobody_changes_or_removes_a_ledger_row_not_even_the_owner(
    client: httpx.AsyncClient, here: Platform, admin: asyncpg.Connection
) -> None:
    await bought_code(client, adult=1)
    for statement in (
        "update payments.transfer set amount_vnd = 1",
        "delete from payments.transfer",
        "truncate payments.transfer cascade",
        "update payments.receipt set amount_vnd = 1",
        "delete from foundation.action",
    ):
        with pytest.raises(asyncpg.PostgresError):
            async with here.database.transaction(demo.VANMIEU) as tx:
                await tx.execute(statement)
    await admin.execute("set role motcham_owner")
    await admin.execute("select set_config('app.operator', $1, false)", str(demo.VANMIEU))
    for statement in ("update payments.transfer set amount_vnd = 1", "delete from payments.transfer"):
        with pytest.raises(asyncpg.PostgresError, match="insert-only"):
            await admin.execute(statement)
    with pytest.raises(asyncpg.PostgresError, match="insert-only"):
        await admin.execute("truncate payments.transfer")


async def test_the_app_changes_states_but_never_amounts_accounts_or_whose_a_thing_is(
    client: httpx.AsyncClient, here: Platform
) -> None:
    await bought_code(client, adult=1)
    for statement in (
        "update payments.charge set amount_vnd = 1",
        "update payments.collection_account set account = '999999'",
        "update ticketing.ticket set heads = 200",
        "update parking.tariff_row set rule = '{}'",
        "update foundation.staff set roles = array['manager']",
        "update foundation.directory set operator_id = operator_id",
        "update foundation.operator set name_vi = 'x'",
        "delete from foundation.session",
        "delete from payments.cashless_day",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with here.database.transaction(demo.VANMIEU) as tx:
                await tx.execute(statement)


async def test_what_nobody_types_is_refused_in_every_place(client: httpx.AsyncClient) -> None:
    for path in (
        "/S/VANMIEU/%00",
        "/P/%00",
        "/T/%1b[2J",
        "/city/?to=%00",
        "/api/v1/public/sites/VANMIEU?day=0001-01-01",
    ):
        answer = await client.get(path)
        assert answer.status_code in (404, 422), (path, answer.status_code)
    login = await client.post("/finance/login", data={"login": "\x00", "password": "x"})
    assert login.status_code == 422
    for day in ("0001-01-05", "9999-12-31"):
        assert (await client.get(f"/city/?to={day}")).status_code == 422


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/x-www-form-urlencoded", b"login=%00&password=x"),
        ("Application/X-WWW-Form-URLEncoded", b"login=%00&password=x"),
        (
            "MULTIPART/form-data; boundary=b",
            b'--b\r\ncontent-disposition: form-data; name="login"\r\n\r\n\x00\r\n--b--\r\n',
        ),
        ("application/x-www-form-urlencoded; charset=utf-7", b"login=+AAA-&password=x"),
    ],
)
async def test_a_form_with_what_no_column_holds_is_refused_however_it_is_written(
    client: httpx.AsyncClient, kind: str, body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await client.post("/finance/login", content=body, headers={"content-type": kind})
    assert answer.status_code == 422
    assert not [record for record in caplog.records if record.name == "motcham.web"], "it was refused at the door"


async def test_a_number_that_no_column_holds_is_refused_and_is_one_line_in_the_log(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    assert (await log_in(client, "ketoan@vanmieu")).status_code == 303
    answer = await client.get("/finance/shifts/VANMIEU/99999999999999999999")
    assert answer.status_code == 422
    (logged,) = [record for record in caplog.records if record.name == "motcham.web"]
    assert (logged.levelname, logged.exc_info) == ("WARNING", None)
    assert "99999" not in logged.message


@pytest.mark.parametrize("path", ["/api/v1/hooks/bank", "/api/v1/device/scan", "/finance/login", "/S/VANMIEU"])
async def test_a_request_that_breaks_off_in_its_body_breaks_nothing(
    app: FastAPI, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    kind = b"application/json" if path.startswith("/api/") else b"application/x-www-form-urlencoded"
    headers = [(b"host", b"test.local"), (b"content-length", b"9"), (b"content-type", kind)]
    scope: dict[str, Any] = {"type": "http", "http_version": "1.1", "method": "POST", "scheme": "http", "path": path}
    scope |= {"raw_path": path.encode(), "query_string": b"", "headers": headers, "client": ("127.0.0.1", 1)}
    came: Iterator[Message] = iter(
        [{"type": "http.request", "body": b"a=", "more_body": True}, {"type": "http.disconnect"}]
    )
    said: list[Message] = []

    async def receive() -> Message:
        return next(came)

    async def send(message: Message) -> None:
        said.append(message)

    await app(scope, receive, send)
    assert said[0]["status"] in (401, 422)
    assert not [record for record in caplog.records if record.name == "motcham.web"]


async def test_the_city_role_reads_rollups_and_nothing_else(admin_url: str, settings: Settings) -> None:
    city = await asyncpg.connect(role_url(admin_url, settings.root, "city"))
    try:
        for table in ("payments.charge", "foundation.staff", "ticketing.ticket", "payments.receipt"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await city.fetchval(f"select count(*) from {table}")
        assert await city.fetchval("select count(*) from payments.cashless_day") == 0
    finally:
        await city.close()


def test_a_route_without_a_permission_stops_the_app_from_starting(settings: Settings) -> None:
    routes = APIRouter()

    @routes.get("/forgotten")
    async def forgotten() -> str:
        return "open to all"

    with pytest.raises(RuntimeError, match="/forgotten declares no permission"):
        create_app(settings, [Service("x", [routes])], lambda: None)


def test_a_staff_route_that_asks_nobody_stops_the_app_from_starting(settings: Settings) -> None:
    routes = APIRouter()

    @routes.get("/unguarded")
    @permit("finance:read")
    async def unguarded() -> str:
        return "open to all"

    with pytest.raises(RuntimeError, match="nobody asks who is there"):
        create_app(settings, [Service("x", [routes])], lambda: None)


def test_a_staff_route_is_not_hot(settings: Settings) -> None:
    routes = APIRouter()

    @routes.get("/unasked")
    @permit("finance:read")
    @hot
    async def unasked(clerk: Clerk) -> str:
        return "open to all"

    with pytest.raises(RuntimeError, match="/unasked is hot, but nobody asks there for finance:read"):
        create_app(settings, [Service("x", [routes])], lambda: None)


def test_a_hot_act_answers_where_the_framework_would_choose_its_route_and_nowhere_else(settings: Settings) -> None:
    app = main.assemble(settings)
    acts = HotActs(all_routes(app))
    asked = [("HEAD", "/T/some"), ("POST", "/T/some"), ("GET", "/T/"), ("GET", "/pay/some/qr.png/"), ("GET", "/")]
    asked += [(method, re.sub(r"{\w+}", "some", r.path)) for r in all_routes(app) for method in r.methods]
    hot_ones = set()
    for method, path in asked:
        scope = {"type": "http", "method": method, "path": path, "root_path": "", "headers": []}
        chosen = next((r for r in all_routes(app) if r.matches(scope)[0] is Match.FULL), None)
        expected = chosen.endpoint if chosen is not None and hasattr(chosen.endpoint, "hot") else None
        found = acts.find(method, path)
        assert (found and found[0]) is expected, f"{method} {path}"
        hot_ones |= {chosen.path} if chosen is not None and found else set()
    assert {"/T/{text}", "/pay/{reference}/{token}", "/api/v1/device/scan"} <= hot_ones
    assert acts.find("GET", "/pay/A/B") == (acts.find("GET", "/pay/C/D")[0], {"reference": "A", "token": "B"})  # type: ignore[index]


async def test_an_unreachable_database_is_one_sentence_without_the_password() -> None:
    from foundation.database import Database

    with pytest.raises(DatabaseUnreachable) as told:
        await Database.open("postgresql://someone:geheim@127.0.0.1:1/nothing")
    assert "geheim" not in str(told.value)
    assert "does not answer" in str(told.value)


async def test_every_answer_carries_the_headers_and_every_page_a_strict_policy(client: httpx.AsyncClient) -> None:
    for path in ("/", "/S/VANMIEU", "/nothing-here", "/api/v1/public/sites/VANMIEU", "/static/style.css"):
        answer = await client.get(path)
        policy = answer.headers["content-security-policy"]
        assert "unsafe-inline" not in policy
        assert "unsafe-eval" not in policy
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["x-content-type-options"] == "nosniff"


async def test_pages_hold_no_inline_script_style_or_handler(client: httpx.AsyncClient) -> None:
    reference = await order_to_pay(client, adult=1)
    for path in ("/", "/S/VANMIEU", f"/pay/{reference}", "/docs", "/finance/login", "/city/", "/P/VM1"):
        page = (await client.get(path)).text
        assert "<style" not in page, path
        assert " style=" not in page, path
        assert " onclick=" not in page, path
        assert not [part for part in page.split("<script")[1:] if "src=" not in part.split(">")[0]], path


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
    ],
)
async def test_a_form_from_another_site_is_not_carried_out(
    client: httpx.AsyncClient, admin: asyncpg.Connection, headers: dict[str, str]
) -> None:
    answer = await client.post("/S/VANMIEU", data={"key": "k" * 20, "day": "2030-01-01"}, headers=headers)
    assert answer.status_code == 403
    assert await admin.fetchval('select count(*) from ticketing."order"') == 0


async def test_a_language_link_never_leads_to_another_site(client: httpx.AsyncClient) -> None:
    for back in ("//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)"):
        answer = await client.get("/language/en", params={"back": back})
        assert answer.headers["location"] == "/"
    assert (await client.get("/language/en?back=/S/VANMIEU")).headers["location"] == "/S/VANMIEU"


async def test_a_code_is_masked_where_requests_are_logged(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    code = await bought_code(client, adult=1)
    with caplog.at_level("INFO"):
        await client.get(f"/T/{code[:-1]}")
    ours = " ".join(record.getMessage() for record in caplog.records if record.name.startswith("motcham"))
    assert code[:-1] not in ours
    assert "/T/AEAQ" in ours


async def test_a_notice_is_not_a_browser_and_needs_no_origin(client: httpx.AsyncClient) -> None:
    reference = await order_to_pay(client, adult=1)
    assert (await notify(client, text=reference, amount_vnd=70_000)).status_code == 202
