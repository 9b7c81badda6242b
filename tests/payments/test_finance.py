"""The finance pages: who gets in, what a clerk sees, what he must not see, and files that a spreadsheet can trust."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import AsyncIterator
from datetime import timedelta

import asyncpg
import httpx
import pytest
from acts import log_in
from fastapi import FastAPI
from trade import PURPOSE, Trade, a_day_of_everything

import demo
import payments
from foundation import clock, outbox
from foundation.database import Tx
from foundation.web import Platform, all_routes
from payments.explain import Explanation
from payments.finance import proof
from payments.finance.spreadsheet import BOM, csv_file

KETOAN = "ketoan@vanmieu"
ROUTES = ["/finance/", "/finance/day", "/finance/day.csv", "/finance/transfers.csv", "/api/v1/finance/day"]


@pytest.fixture
async def browser(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A second browser."""
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test.local") as made:
        yield made


async def ask_for_a_proof(clerk: httpx.AsyncClient) -> httpx.Response:
    """The button of the page."""
    csrf = re.search(r'name="csrf" value="([^"]+)"', (await clerk.get("/finance/")).text)
    assert csrf
    return await clerk.post("/finance/prove", data={"csrf": csrf[1]})


async def worker_proves(here: Platform) -> int:
    """What the worker does with the proofs that are due; returns how many."""
    claims = [claim for claim in await outbox.claim(here.database) if claim.kind == proof.PROVE]
    for claim in claims:
        await proof.keep(here.database, claim)
        async with here.database.transaction(claim.operator_id) as tx:
            await outbox.done(tx, claim)
    return len(claims)


def cells(answer: httpx.Response) -> list[list[str]]:
    assert answer.text.startswith(BOM)
    return list(csv.reader(io.StringIO(answer.text.removeprefix(BOM))))


# --- the way in


async def test_a_clerk_logs_in_sees_the_day_and_logs_out(client: httpx.AsyncClient) -> None:
    assert (await client.get("/finance/login")).status_code == 200
    answer = await log_in(client, "  Ketoan@VANMIEU ".lower())
    assert (answer.status_code, answer.headers["location"]) == (303, "/finance/")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "Path=/" in cookie
    page = await client.get("/finance/")
    assert page.status_code == 200
    assert "Trung tâm Văn Miếu" in page.text
    csrf = re.search(r'name="csrf" value="([^"]+)"', page.text)
    assert csrf
    out = await client.post("/finance/logout", data={"csrf": csrf[1]})
    assert (out.status_code, out.headers["location"]) == (303, "/finance/login")
    assert (await client.get("/finance/")).status_code == 303


async def test_over_tls_the_cookie_is_bound_to_this_host(settings: object, here: Platform) -> None:
    from foundation.web import session_cookie

    secure = here.settings.model_copy(update={"public_url": "https://motcham.example"})
    assert secure.secure
    assert session_cookie(secure).startswith("__Host-")


@pytest.mark.parametrize("route", ROUTES)
async def test_nothing_is_shown_without_a_login(client: httpx.AsyncClient, route: str) -> None:
    answer = await client.get(route)
    if route.startswith("/api/"):
        assert (answer.status_code, answer.json()["code"]) == (401, "login_needed")
    else:
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/finance/login?next=")


async def test_an_unknown_login_and_a_wrong_password_get_one_and_the_same_answer(client: httpx.AsyncClient) -> None:
    answers = [
        await log_in(client, login, password)
        for login, password in [
            ("ketoan@vanmieu", "falsch"),
            ("niemand@vanmieu", demo.PASSWORD),
            ("ketoan@nowhere", demo.PASSWORD),
            ("ketoan@thanglongx", demo.PASSWORD),
            ("", ""),
        ]
    ]
    assert {answer.status_code for answer in answers} == {401}
    assert len({re.sub(r'(id="login" name="login" value=")[^"]*', r"\1", answer.text) for answer in answers}) == 1
    assert not any("set-cookie" in answer.headers for answer in answers)


async def test_an_attendants_pin_opens_no_browser(client: httpx.AsyncClient) -> None:
    assert (await log_in(client, "01@vanmieu", demo.PIN)).status_code == 401


async def test_guessing_ends_after_five_tries_per_login_and_twenty_per_address(client: httpx.AsyncClient) -> None:
    for n in range(5):
        assert (await log_in(client, KETOAN, f"guess {n}")).status_code == 401
    assert (await log_in(client, KETOAN)).status_code == 429, "the right password after five wrong ones"
    assert (await log_in(client, KETOAN.upper())).status_code == 429, "another spelling is another try"
    for n in range(13):
        assert (await log_in(client, f"guess{n}@vanmieu")).status_code == 401
    assert (await log_in(client, "quanly@vanmieu")).status_code == 429, "twenty tries from one address"


@pytest.mark.parametrize(
    "next", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)", "/finance/logout", ""]
)
async def test_after_the_login_nobody_is_sent_elsewhere(client: httpx.AsyncClient, next: str) -> None:
    assert (await log_in(client, KETOAN, next=next)).headers["location"] == "/finance/"


async def test_after_the_login_one_goes_on_to_the_page_that_was_asked_for(client: httpx.AsyncClient) -> None:
    answer = await log_in(client, KETOAN, next="/finance/day.csv?day=2026-11-21")
    assert answer.headers["location"] == "/finance/day.csv?day=2026-11-21"


async def test_a_cookie_that_was_set_beforehand_is_not_adopted(client: httpx.AsyncClient) -> None:
    planted = f"{demo.VANMIEU.hex}.{'x' * 43}"
    client.cookies.set("motcham", planted, domain="test.local")
    answer = await log_in(client, KETOAN)
    assert planted not in answer.headers["set-cookie"]
    client.cookies.clear()
    client.cookies.set("motcham", planted, domain="test.local")
    assert (await client.get("/finance/")).status_code == 303, "the planted secret opens the session"


async def test_a_new_login_ends_the_one_before_in_the_same_browser(
    client: httpx.AsyncClient, browser: httpx.AsyncClient
) -> None:
    await log_in(client, KETOAN)
    browser.cookies = httpx.Cookies(client.cookies)
    await log_in(client, KETOAN)
    assert (await client.get("/finance/")).status_code == 200
    assert (await browser.get("/finance/")).status_code == 303


async def test_a_copied_cookie_is_dead_after_the_logout(clerk: httpx.AsyncClient, browser: httpx.AsyncClient) -> None:
    browser.cookies = httpx.Cookies(clerk.cookies)
    page = await browser.get("/finance/")
    assert page.status_code == 200
    csrf = re.search(r'name="csrf" value="([^"]+)"', page.text)
    assert csrf
    await clerk.post("/finance/logout", data={"csrf": csrf[1]})
    assert (await browser.get("/finance/")).status_code == 303
    answer = await browser.get("/api/v1/finance/day")
    assert (answer.status_code, answer.json()["code"]) == (401, "login_expired")


@pytest.mark.parametrize(
    "change",
    ["seen_at = seen_at - interval '31 minutes'", "expires_at = clock_timestamp() - interval '1 second'"],
)
async def test_an_idle_or_old_login_has_ended(clerk: httpx.AsyncClient, admin: asyncpg.Connection, change: str) -> None:
    await admin.execute(f"update foundation.session set {change}")
    answer = await clerk.get("/api/v1/finance/day")
    assert (answer.status_code, answer.json()["code"]) == (401, "login_expired")


async def test_a_person_who_left_is_out_at_once(clerk: httpx.AsyncClient, admin: asyncpg.Connection) -> None:
    await admin.execute("update foundation.staff set active = false where login = 'ketoan'")
    assert (await clerk.get("/api/v1/finance/day")).status_code == 401


async def test_a_changed_role_counts_at_once(clerk: httpx.AsyncClient, admin: asyncpg.Connection) -> None:
    await admin.execute("update foundation.staff set roles = '{attendant}' where login = 'ketoan'")
    answer = await clerk.get("/api/v1/finance/day")
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


@pytest.mark.parametrize("sent", [{}, {"csrf": ""}, {"csrf": "0" * 32}])
async def test_a_form_without_its_token_does_nothing(clerk: httpx.AsyncClient, sent: dict[str, str]) -> None:
    answer = await clerk.post("/finance/logout", data=sent)
    assert answer.status_code == 403
    assert (await clerk.get("/finance/")).status_code == 200


async def test_a_form_of_another_site_does_nothing(clerk: httpx.AsyncClient) -> None:
    for headers in ({"origin": "https://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}):
        answer = await clerk.post("/finance/login", data={"login": KETOAN, "password": demo.PASSWORD}, headers=headers)
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers


def test_every_route_of_finance_says_who_may_call_it(app: FastAPI) -> None:
    declared = {
        route.path: route.endpoint.permission  # type: ignore[attr-defined]
        for route in all_routes(app)
        if "finance" in route.path
    }
    assert declared.pop("/finance/login") == "public"
    assert set(declared.values()) == {"finance:read", "finance:handle", "finance:approve"}
    assert set(ROUTES) <= set(declared)


# --- one operator only


async def test_a_clerk_sees_nothing_of_another_operator_by_any_route(
    clerk: httpx.AsyncClient, trade: Trade, here: Platform, admin: asyncpg.Connection
) -> None:
    other = await Trade.at(here.settings, here.database, "dongda")
    await a_day_of_everything(other)
    await admin.execute(
        "update foundation.due set parked_at = clock_timestamp(), last_error = 'secret of another' where operator_id = $1",
        other.operator_id,
    )
    secrets = [
        row[0]
        for row in await admin.fetch(
            "select reference from payments.charge union all select bank_ref from payments.receipt"
            " union all select reference from payments.proxy_transfer union all select id::text from payments.shift"
            " union all select id::text from payments.journal union all select 'secret of another'"
        )
    ]
    assert len(secrets) > 50
    for route in ROUTES:
        answer = await clerk.get(route)
        assert answer.status_code == 200
        assert [secret for secret in secrets if secret in answer.text] == [], route
    assert (await clerk.get("/api/v1/finance/day")).json()["sum_vnd"] == 0


async def test_each_clerk_sees_his_own(
    clerk: httpx.AsyncClient, browser: httpx.AsyncClient, trade: Trade, here: Platform
) -> None:
    await trade.pays(trade.line(70_000))
    other = await Trade.at(here.settings, here.database, "dongda")
    await other.pays(other.line(25_000, service="parking"))
    await log_in(browser, "ketoan@dongda")
    assert (await clerk.get("/api/v1/finance/day")).json()["sum_vnd"] == 70_000
    assert (await browser.get("/api/v1/finance/day")).json()["sum_vnd"] == 25_000


# --- what the day shows


async def test_the_day_shows_what_was_paid_and_what_waits(
    clerk: httpx.AsyncClient, trade: Trade, here: Platform
) -> None:
    await a_day_of_everything(trade)
    await ask_for_a_proof(clerk)
    assert await worker_proves(here) == 1
    day = (await clerk.get("/api/v1/finance/day")).json()
    groups = {(g["service"], g["means"], g["channel"]): (g["lines"], g["amount_vnd"]) for g in day["groups"]}
    assert groups == {
        ("ticketing", "QR_TRANSFER", "GATEWAY"): (4, 280_000),
        ("parking", "QR_TRANSFER", "GATEWAY"): (1, 5_000),
        ("ticketing", "CASH", "CASH_DEPOSIT"): (5, 780_000),
        ("ticketing", "CARD", "GATEWAY"): (2, 140_000),
        ("parking", "CASH", "ATTENDANT_PROXY"): (5, 36_000),
    }
    assert (day["lines"], day["sum_vnd"], day["proxy_vnd"]) == (17, 1_241_000, 36_000)
    assert day["free"] == [{"service": "ticketing", "means": "FREE", "lines": 1}]
    assert {item["state"] for item in day["waiting"]["items"]} == {"open", "partial"}
    assert (day["waiting"]["count"], day["waiting"]["sum_vnd"]) == (3, 60_000)
    assert sorted((item["reason"], item["amount_vnd"]) for item in day["held"]["items"]) == [
        ("ambiguous", 20_000),
        ("duplicate", 70_000),
        ("overpaid", 3_000),
        ("overpaid", 8_000),
        ("overpaid", 30_000),
        ("refused", 15_000),
        ("refused", 20_000),
        ("refused", 20_000),
        ("unknown_reference", 20_000),
    ]
    assert (day["unapplied"]["count"], day["unapplied"]["sum_vnd"]) == (1, 10_000)
    assert (day["proxies"]["count"], day["proxies"]["sum_vnd"]) == (1, 3_000)
    assert [shift["difference_vnd"] for shift in day["shifts"]] == [None, -2_000, 1_000, 0, 0]
    assert day["shifts"][0]["expected_vnd"] == 170_000
    assert day["balanced"] is True
    page = (await clerk.get("/finance/day?lang=vi")).text
    for shown in ("1.241.000", "816.000", "Sổ sách cân đối.", "trả lần thứ hai", "ca 1, biên lai 5", "M10"):
        assert shown in page, shown
    assert "The books balance." in (await clerk.get("/finance/day?lang=en")).text


async def test_the_day_is_the_hanoi_day_of_the_payment(clerk: httpx.AsyncClient, trade: Trade) -> None:
    midnight = clock.start_of_day(clock.hanoi_day(trade.now))
    for at, amount_vnd in ((midnight - timedelta(seconds=1), 1_000), (midnight, 2_000)):
        trade.now = at
        await trade.pays(trade.line(amount_vnd))
    days = [clock.hanoi_day(midnight - timedelta(days=1)), clock.hanoi_day(midnight)]
    sums = [(await clerk.get(f"/api/v1/finance/day?day={day}")).json()["sum_vnd"] for day in days]
    assert sums == [1_000, 2_000]


async def test_a_payment_whose_hold_ran_out_waits_no_more(clerk: httpx.AsyncClient, trade: Trade) -> None:
    await trade.owes(trade.line(70_000), holds=timedelta(0))
    assert (await clerk.get("/api/v1/finance/day")).json()["waiting"]["count"] == 0


async def test_work_that_stands_still_is_shown(
    clerk: httpx.AsyncClient, trade: Trade, admin: asyncpg.Connection
) -> None:
    await trade.transfers("cam on", 5_000, apply=False)
    await admin.execute("update foundation.due set parked_at = clock_timestamp(), last_error = 'it <broke>'")
    page = (await clerk.get("/finance/day")).text
    assert "it &lt;broke&gt;" in page
    assert (await clerk.get("/api/v1/finance/day")).json()["parked"][0]["kind"] == "payments.apply"


async def test_books_that_do_not_balance_are_red_and_named(
    clerk: httpx.AsyncClient, trade: Trade, here: Platform, admin: asyncpg.Connection
) -> None:
    paid = await trade.pays(trade.line(70_000))
    await admin.execute("set session_replication_role = replica")
    await admin.execute("update payments.transfer set amount_vnd = 70001 where credit = 'operator_payable'")
    await ask_for_a_proof(clerk)
    assert await worker_proves(here) == 1
    page = (await clerk.get("/finance/day?lang=en")).text
    assert "The books do not balance." in page
    assert "The books balance." not in page
    assert str(paid.id) in page
    assert (await clerk.get("/api/v1/finance/day")).json()["balanced"] is False


# --- the proof of the books


async def test_before_the_first_proof_the_page_says_so(clerk: httpx.AsyncClient) -> None:
    assert "The books have not been proved yet" in (await clerk.get("/finance/day?lang=en")).text
    day = (await clerk.get("/api/v1/finance/day")).json()
    assert (day["balanced"], day["proof"], day["proved_at"], day["proving"]) == (None, None, None, False)


async def test_a_clerk_asks_for_a_proof_and_finds_it_on_the_page(
    clerk: httpx.AsyncClient, trade: Trade, here: Platform
) -> None:
    await trade.pays(trade.line(70_000))
    answer = await ask_for_a_proof(clerk)
    assert (answer.status_code, answer.headers["location"]) == (303, "/finance/day#books")
    page = (await clerk.get("/finance/day?lang=en")).text
    assert "The books are being proved" in page
    assert 'data-live="/api/v1/finance/proof/events?seen=none"' in page
    assert await worker_proves(here) == 1
    page = (await clerk.get("/finance/day?lang=en")).text
    assert "The books balance." in page
    assert "0 transfers since" in page
    assert "being proved" not in page
    assert "3 transfers, 210" in page, "what was looked at"


async def test_a_proof_is_kept_and_says_what_was_booked_since(
    clerk: httpx.AsyncClient, trade: Trade, here: Platform, admin: asyncpg.Connection
) -> None:
    await trade.pays(trade.line(70_000))
    await ask_for_a_proof(clerk)
    await worker_proves(here)
    before = (await clerk.get("/api/v1/finance/day")).json()
    await trade.pays(trade.line(35_000))
    await admin.execute("set session_replication_role = replica")
    await admin.execute("update payments.balance set balance_vnd = 1; update payments.transfer set amount_vnd = 1")
    after = (await clerk.get("/api/v1/finance/day")).json()
    assert (before["transfers_since"], after["transfers_since"]) == (0, 3)
    assert (after["balanced"], after["proved_at"], after["proof"]) == (True, before["proved_at"], before["proof"])


async def test_a_kept_proof_names_what_it_found(
    clerk: httpx.AsyncClient, trade: Trade, here: Platform, admin: asyncpg.Connection
) -> None:
    await trade.owes(trade.line(70_000))
    await trade.transfers("cam on", 20_000)
    await admin.execute("set session_replication_role = replica")
    await admin.execute("update payments.charge set amount_vnd = 70001")
    await ask_for_a_proof(clerk)
    await worker_proves(here)
    lines = {line["invariant"]: line for line in (await clerk.get("/api/v1/finance/day")).json()["proof"]}
    assert [(found["rule"], found["amount_vnd"]) for found in lines["M6"]["findings"]] == [("amount_differs", 1)]
    assert {item["rule"] for item in lines["M9"]["open"]} == {"unapplied_open", "receivable_unmatched"}
    assert lines["M9"]["holds"]


async def test_one_who_asks_while_a_proof_is_made_waits_for_that_one(
    clerk: httpx.AsyncClient, trade: Trade, here: Platform
) -> None:
    await ask_for_a_proof(clerk)
    (claim,) = [claim for claim in await outbox.claim(here.database) if claim.kind == proof.PROVE]
    async with here.database.transaction(trade.operator_id, isolation="repeatable read") as tx:
        assert await outbox.still_held(tx, claim)  # as long as the worker proves
        assert (await ask_for_a_proof(clerk)).status_code == 303
        assert (await clerk.get("/api/v1/finance/day")).json()["proving"] is True
    async with here.database.transaction(trade.operator_id) as tx:
        await outbox.done(tx, claim)
    assert (await clerk.get("/api/v1/finance/day")).json()["proving"] is False


async def test_a_worker_that_lost_its_lease_keeps_no_proof(
    clerk: httpx.AsyncClient, here: Platform, admin: asyncpg.Connection
) -> None:
    await ask_for_a_proof(clerk)
    (claim,) = [claim for claim in await outbox.claim(here.database) if claim.kind == proof.PROVE]
    await admin.execute("update foundation.due set lease_token = gen_random_uuid()")
    await proof.keep(here.database, claim)
    assert await admin.fetchval("select count(*) from payments.books_proof") == 0


async def test_every_operator_is_proved_every_hour_one_at_a_time(here: Platform, admin: asyncpg.Connection) -> None:
    operators = await admin.fetchval("select count(*) from foundation.operator")
    for _ in range(operators):
        await proof.ask_for_the_oldest(here.database)
        await proof.ask_for_the_oldest(here.database)
        assert await worker_proves(here) == 1
    assert await admin.fetchval("select count(*) from payments.books_proof") == operators
    await proof.ask_for_the_oldest(here.database)
    assert await worker_proves(here) == 0, "a proof of this hour is good enough"
    oldest = await admin.fetchval(
        "update payments.books_proof set at = at - interval '61 minutes'"
        " where operator_id = (select max(operator_id::text)::uuid from payments.books_proof) returning operator_id"
    )
    await proof.ask_for_the_oldest(here.database)
    (claim,) = await outbox.claim(here.database)
    assert (claim.kind, claim.operator_id) == (proof.PROVE, oldest)


async def test_an_empty_day_is_a_day(clerk: httpx.AsyncClient) -> None:
    page = (await clerk.get("/finance/day?day=2020-01-01&lang=en")).text
    assert "Nothing was paid on this day." in page
    assert "1 Jan 2020" in page
    rows = cells(await clerk.get("/finance/day.csv?day=2020-01-01&lang=en"))
    assert rows[1] == ["Total", "0", "", "", "", "", "", "", "0"]


async def test_a_day_that_is_no_day_is_refused(clerk: httpx.AsyncClient) -> None:
    assert (await clerk.get("/api/v1/finance/day?day=yesterday")).status_code == 422


# --- files


async def test_the_last_row_of_the_file_is_the_sum_on_the_screen(clerk: httpx.AsyncClient, trade: Trade) -> None:
    await a_day_of_everything(trade)
    shown = (await clerk.get("/api/v1/finance/day")).json()
    answer = await clerk.get("/finance/day.csv?lang=vi")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"].startswith("attachment")
    header, *lines, total = cells(answer)
    assert header[0] == "Trả lúc"
    assert len(lines) == shown["lines"]
    assert sum(int(line[-1]) for line in lines) == int(total[-1]) == shown["sum_vnd"]
    assert (total[0], total[1]) == ("Tổng cộng", str(shown["lines"]))


async def test_the_file_of_transfers_holds_every_transfer_of_the_day(
    clerk: httpx.AsyncClient, trade: Trade, admin: asyncpg.Connection
) -> None:
    await a_day_of_everything(trade)
    header, *lines, total = cells(await clerk.get("/finance/transfers.csv?lang=en"))
    assert header[-3:] == ["Debit", "Credit", "Amount (VND)"]
    count, sum_vnd = await admin.fetchrow("select count(*), sum(amount_vnd) from payments.transfer")
    assert (len(lines), int(total[1]), int(total[-1])) == (count, count, sum_vnd)


async def test_what_a_line_was_cannot_become_a_formula(clerk: httpx.AsyncClient, trade: Trade) -> None:
    async def describe(tx: Tx, references: object) -> dict[str, Explanation]:
        return {"thing": Explanation('=HYPERLINK("http://evil")', "+1;=2\n@SUM(A1)")}

    payments.explained_by(PURPOSE, describe)
    await trade.pays(trade.line(70_000, class_="-1+1"))
    for language, what in (("vi", '\'=HYPERLINK("http://evil")'), ("en", "'+1;'=2\n'@SUM(A1)")):
        line = cells(await clerk.get(f"/finance/day.csv?lang={language}"))[1]
        assert line[7] == what
        assert line[4] == "'-1+1"
        assert line[-1] == "70000"


@pytest.mark.parametrize(
    "payload",
    [
        "=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "a\n=1", "a\r\n=1", "a;=1", "a,=1", "a|=1",
        "a\t=1", "a; =1", "=cmd|' /C calc'!A0", "＝1", "＋1", "－1", "＠a", "\u00a0=1", ";;=1", "\t\t-1",
    ],
)  # fmt: skip
def test_no_cell_begins_to_calculate(payload: str) -> None:
    (cell,) = next(csv.reader(io.StringIO(csv_file(["x"], [[payload]], bom=False).split("\r\n", 1)[1])))
    for part in re.split(r"[\t\r\n,;|]", cell):
        assert not part.strip(" \u00a0").startswith(("=", "+", "-", "@", "＝", "＋", "－", "＠"))
    assert cell.replace("'", "") == payload.replace("'", "")


def test_numbers_stay_numbers_and_harmless_text_stays_itself() -> None:
    text = csv_file(["a", "b", "c", "d"], [[-1_000, "Văn Miếu, 21/11/2026: 2 × người lớn", None, 70_000]], bom=False)
    assert text == 'a,b,c,d\r\n-1000,"Văn Miếu, 21/11/2026: 2 × người lớn",,70000\r\n'
