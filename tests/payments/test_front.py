"""Finance's front page: what needs a hand by amount and age, what is late, what is closed; and the box that finds everything."""

from __future__ import annotations

import re
from datetime import date
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest
from acts import bought_code, hidden, log_in
from banking import Statements
from hypothesis import given
from hypothesis import strategies as st
from paying import Desk
from returning import Office
from stage import Clock
from trade import Trade

from foundation import clock, outbox
from foundation.code import read as read_code
from payments import books, deposit, payout, search
from payments.reference import draw


async def overview(browser: httpx.AsyncClient) -> dict[str, Any]:
    answer = await browser.get("/api/v1/finance/overview")
    assert answer.status_code == 200, answer.text
    said: dict[str, Any] = answer.json()
    return said


async def at(trade: Trade, clock_: Clock, instant: str) -> None:
    await clock_.move_to(instant)
    async with trade.database.transaction(trade.operator_id) as tx:
        trade.now = await clock.now(tx)


async def test_the_front_page_says_what_needs_a_hand_what_is_late_and_what_is_closed(
    client: httpx.AsyncClient, trade: Trade, admin: asyncpg.Connection, clock: Clock
) -> None:
    await log_in(client, "ketoan@vanmieu")
    page = (await client.get("/finance/?lang=en")).text
    assert "Nothing waits for anybody." in page
    assert "Nothing is late." in page
    old = await client.get("/finance/?day=2026-11-20")
    assert (old.status_code, old.headers["location"]) == (303, "/finance/day?day=2026-11-20")

    # Nine days ago: money that nobody knows the purpose of, and a sale that has to be paid out.
    await at(trade, clock, "2026-11-25 10:00")
    desk, office, bank = await Desk.of(trade), await Office.of(trade), Statements(trade)
    await trade.pays(trade.line(70_000))
    assert await trade.transfers("cam on", 50_000, bank_ref="FTOLD") == "unknown_reference"
    sold = bank.today
    await at(trade, clock, "2026-12-04 08:30")
    await trade.transfers("cam on", 9_000, bank_ref="FTNEW")
    waits = UUID(str(await admin.fetchval("select id from payments.receipt where bank_ref = 'FTOLD'")))
    refund = await office.asks(waits, 30_000, who=desk.people["ketoan"], limit_vnd=0)
    await bank.load(bank.day(bank.line("FT9", -1_100), bank.line("FT8", 3_000)), who=desk.people["quanly"])
    async with trade.database.transaction(trade.operator_id) as tx:
        await outbox.park(tx, "payments.receipt_differs", "FTODD", "announced again with 1 VND")

    said = await overview(client)
    needs = {need["kind"]: need for need in said["needs"]}
    assert set(needs) == {"held", "refunds", "lines", "parked"}
    held = needs["held"]
    assert (held["count"], held["sum_vnd"], held["ages"]) == (2, 29_000, [1, 0, 0, 1])
    assert [item["name"] for item in held["items"]] == ["FTOLD", "FTNEW"], "the oldest first"
    assert (needs["lines"]["count"], needs["lines"]["sum_vnd"]) == (2, 4_100), (
        "what came in and went out, without signs"
    )
    assert needs["refunds"]["items"][0]["path"] == f"/finance/refunds/{refund}"
    assert needs["refunds"]["own"] == 1, "who asked does not decide"
    assert [need["kind"] for need in said["needs"]][-1] == "refunds", "what only others can decide stands last"
    client.cookies.clear()
    await log_in(client, "quanly@vanmieu")
    assert next(need for need in (await overview(client))["needs"] if need["kind"] == "refunds")["own"] == 0

    kinds = [need["kind"] for need in (await overview(client))["needs"]]
    assert kinds == ["parked", "held", "refunds", "lines"], (
        "by amount and days; work without an amount weighs a million"
    )

    late = {each["kind"]: each for each in said["late"]}
    assert {"statements", "days", "movements"} <= set(late)
    assert late["days"]["since"] == sold.isoformat()
    assert late["days"]["count"] == 8, "before nine in the morning the day before is not late yet"
    await at(trade, clock, "2026-12-04 09:30")
    assert {each["kind"]: each for each in (await overview(client))["late"]}["days"]["count"] == 9
    assert (late["movements"]["count"], late["movements"]["sum_vnd"]) == (2, 120_000), "the new one is on its way"

    page = (await client.get("/finance/?lang=en")).text
    for shown in (
        "FTOLD",
        "&gt; 7 d: 1",
        "Lines of the bank without a match",
        "/finance/reconciliation?side=line",
        "/finance/reconciliation/items/",
    ):
        assert shown in page, shown
    # The page is used by keyboard alone: everything on it is a link, a field or a button, none taken out of the order.
    assert 'tabindex="-1"' not in page.replace('<main id="main" class="wide" tabindex="-1">', "")
    assert 'data-shortcut="/"' in page
    assert 'accesskey="s"' in page

    await desk.settled(sold)
    late = {each["kind"]: each for each in (await overview(client))["late"]}
    assert (late["payouts"]["count"], late["payouts"]["sum_vnd"]) == (3, 70_000), "all that was earned, by payee"
    run = await desk.makes()
    assert "payouts" in {each["kind"] for each in (await overview(client))["late"]}, "made is not sent"
    runs = {need["kind"]: need for need in (await overview(client))["needs"]}["runs"]
    assert (runs["sum_vnd"], runs["items"][0]["path"]) == (70_000, f"/finance/payouts/{run}")
    await desk.approves(run)
    await desk.works()
    assert "runs" not in {need["kind"] for need in (await overview(client))["needs"]}
    client.cookies.clear()
    await log_in(client, "ketoan@dongda")
    assert [need["kind"] for need in (await overview(client))["needs"]] == [], "nothing of another operator"
    assert (await books.prove(admin)).findings == ()


async def test_every_kind_of_work_stands_there_until_it_is_done(
    client: httpx.AsyncClient, trade: Trade, clock: Clock
) -> None:
    await at(trade, clock, "2026-11-25 10:00")
    desk, office, bank = await Desk.of(trade), await Office.of(trade), Statements(trade)
    ketoan = desk.people["ketoan"]
    paid, sold = await trade.pays(trade.line(70_000)), bank.today
    await desk.settled(sold)
    run = await desk.makes()
    desk.bank.fate = "rejected"
    await desk.approves(run)
    await desk.works()
    desk.bank.fate, desk.bank.deaf = "accepted", True
    unheard = await desk.makes()
    await desk.approves(unheard)
    await desk.works()
    who = await trade.attendant()
    await trade.opens(who)
    await trade.sells(who, trade.line(40_000))
    await trade.closes(who, 40_000)
    late_bag = await trade.bags()
    await at(trade, clock, "2026-11-27 10:00")
    await trade.opens(who)
    await trade.sells(who, trade.line(30_000))
    await trade.closes(who, 30_000)
    short_bag = await trade.bags()
    await desk.does(deposit.ask_short, short_bag, staff_id=ketoan, reason="mất trên đường")
    await desk.closes(sold)
    await desk.asks(sold)
    await office.gives_back(paid.reference, 20_000, limit_vnd=0)
    gone, asked = await trade.debited(7_000), await trade.debited(8_000)
    await trade.explains(asked, "loss", limit_vnd=0, who=ketoan)
    details = ("970436", "19034567890", "DON VI MOI", "0912 345 678")
    said = dict(zip(("bin", "account", "owner_name", "contact"), details, strict=True))
    await desk.does(payout.change_details, desk.payees["platform"], **said, staff_id=ketoan)
    async with trade.database.transaction(trade.operator_id) as tx:
        held_vnd = await tx.value("select max(closing_vnd) from payments.bank_statement where state = 'accepted'")
    bank.balance_vnd = held_vnd
    await bank.load(bank.day(bank.line("FT7", 5_000), opening_vnd=held_vnd + 1), who=ketoan)

    await log_in(client, "ketoan@vanmieu")
    needs = {need["kind"]: need for need in (await overview(client))["needs"]}
    told = {kind: (need["count"], need["sum_vnd"], need["own"]) for kind, need in needs.items()}
    assert told == {
        "bags": (1, 40_000, 0),
        "debits": (1, 7_000, 0),
        "debits_asked": (1, 8_000, 1),
        "details": (1, None, 1),
        "give_backs": (1, 20_000, 0),
        "payouts_failed": (3, 70_000, 0),
        "quarantine": (1, abs(bank.balance_vnd), 0),
        "reopenings": (1, None, 1),
        "shortages": (1, 30_000, 1),
    }
    assert needs["bags"]["items"][0]["name"] == late_bag
    assert needs["debits"]["items"][0]["path"] == f"/finance/debits/{gone}"
    assert needs["payouts_failed"]["items"][0]["what"] == "unknown", "what was rejected is paid anew and forgotten"
    for language in ("vi", "en"):
        page = (await client.get(f"/finance/?lang={language}")).text
        for need in needs.values():
            for item in need["items"]:
                assert f'href="{item["path"]}"' in page
                assert (await client.get(item["path"].partition("#")[0])).status_code == 200, item["path"]


async def test_one_box_finds_a_payment_by_all_its_names(
    client: httpx.AsyncClient, trade: Trade, admin: asyncpg.Connection
) -> None:
    url = await bought_code(client, adult=1)
    short = await admin.fetchval("select short from ticketing.ticket")
    row = await admin.fetchrow("select reference, amount_vnd from payments.charge")
    reference, amount_vnd = row
    bank_ref = await admin.fetchval("select bank_ref from payments.receipt")
    await log_in(client, "ketoan@vanmieu")

    async def found(text: str, **said: str) -> str:
        answer = await client.get("/finance/search", params={"q": text, "lang": "en", **said})
        assert answer.status_code == 200, answer.text
        return re.sub(r"<header.*?</header>", "", answer.text, flags=re.DOTALL)

    link = f'href="/finance/charges/{reference}"'
    names = [
        reference, f" {reference[:4].lower()} {reference[4:].lower()} ", f"{amount_vnd}", f"{amount_vnd:,} đ".replace(",", "."),
        bank_ref, bank_ref.lower() if bank_ref.upper() == bank_ref else bank_ref, short, f"{short[:5]}-{short[5:]}",
        short[5:].lower(), url, read_code(url),
    ]  # fmt: skip
    for name in names:
        assert link in await found(name), name
    assert not await admin.fetchval("select count(*) from foundation.audit_entry where act = 'receipt.read'")

    assert await trade.transfers("Nguyễn gửi tiền áo dài", 50_000, bank_ref="FTTEXT") == "unknown_reference"
    receipt = await admin.fetchval("select id from payments.receipt where bank_ref = 'FTTEXT'")
    shown = await found("NGUYEN  gui tien")
    assert f'href="/finance/queue/{receipt}"' in shown
    assert "Nguyễn gửi tiền áo dài" in shown
    assert "the texts of all receipts: 2" in shown
    trail = await admin.fetch(
        "select act, subject, after from foundation.audit_entry where act in ('receipt.read', 'search.made')"
    )
    assert ("receipt.read", f"receipt {receipt}") in [(entry["act"], entry["subject"]) for entry in trail]
    assert not [entry for entry in trail if "nguyen" in str(dict(entry)).lower()], "never in clear"
    made = len([entry for entry in trail if entry["act"] == "search.made"])
    again = await found("nguyễn gửi tiền")
    assert "Nguyễn gửi tiền áo dài" in again, "marks and case do not count"
    same = await admin.fetch(
        "select subject, count(*) from foundation.audit_entry where act = 'search.made' group by 1 having count(*) > 1"
    )
    assert same, "who looks for the same again is seen to"
    nothing = await found("khong co ai")
    assert "Nothing was found." in nothing
    assert "the texts of all receipts: 2" in nothing, "and what was looked through"
    assert made >= 1

    bank = Statements(trade)
    await bank.load(bank.day(bank.line("LINE1", 123_456, text="TIEN NUOC THANG MUOI")))
    assert "LINE1" in await found("123.456")
    assert "TIEN NUOC" in await found("tien nuoc")
    assert "/finance/day?day=2026-11-21" in await found("21/11/2026")
    assert "Nothing was found." in await found("MC000007")

    client.cookies.clear()
    await log_in(client, "quanly@vanmieu")
    assert "you may not read them" in await found("nguyen gui tien"), "who may not read one text searches none"
    client.cookies.clear()
    await log_in(client, "ketoan@dongda")
    for name in [*names, "nguyen gui tien", "123456"]:
        assert "Nothing was found." in await found(name), name


async def test_a_stay_is_found_by_its_plate_or_the_tail_of_it_and_a_payout_by_its_number(
    client: httpx.AsyncClient, trade: Trade, admin: asyncpg.Connection
) -> None:
    key = hidden((await client.get("/P/VM1")).text, "key")
    await client.post("/P/VM1", data={"key": key, "vehicle_class": "motorbike", "plate": "29-B1 234.56"})
    await log_in(client, "ketoan@vanmieu")
    for name in ("3456", "29b1-23456"):
        page = (await client.get("/finance/search", params={"q": name, "lang": "en"})).text
        assert "Tickets and vehicles" in page, name
        assert "29B123456" not in page, "the plate itself stays sealed"
    assert (
        await admin.fetchval("select count(distinct subject) from foundation.audit_entry where act = 'search.made'")
        == 2
    )
    desk = await Desk.of(trade)
    await trade.pays(trade.line(70_000))
    await desk.settled(clock.hanoi_day(trade.now))
    run = await desk.makes()
    for name in ("MC000001", "mc 000001"):
        assert f"/finance/payouts/{run}" in (await client.get("/finance/search", params={"q": name})).text
    assert await admin.fetchval("select count(*) from foundation.audit_entry where act = 'search.made'") == 2
    client.cookies.clear()
    await log_in(client, "ketoan@dongda")
    for name in ("3456", "29b1-23456", "MC000001"):
        assert "Nothing was found." in (await client.get("/finance/search", params={"q": name, "lang": "en"})).text


async def test_whoever_searches_too_often_waits(clerk: httpx.AsyncClient) -> None:
    answers = [(await clerk.get("/finance/search?q=MC000001")).status_code for _ in range(61)]
    assert (answers[:60].count(200), answers[60]) == (60, 429)
    assert (await clerk.get("/finance/search")).status_code == 200, "the help is no search"


# --- what a text may be


@given(st.randoms(use_true_random=False), st.integers(0, 11), st.booleans())
def test_a_reference_is_read_in_any_case_and_with_spaces_and_is_nothing_else(
    random: Any, at_: int, small: bool
) -> None:
    drawn = draw(random)
    typed = f" {drawn[:at_]} {drawn[at_:]}"
    read = search.read(typed.lower() if small else typed)
    assert (read.reference, read.exact, read.words, read.amount_vnd) == (drawn, True, "", None)


@given(st.integers(1, 500_000_000_000), st.sampled_from(["", ".", ",", " "]), st.sampled_from(["", "đ", " ₫", " VND"]))
def test_an_amount_is_read_with_any_separator(amount_vnd: int, separator: str, currency: str) -> None:
    assert search.read(f"{amount_vnd:,}".replace(",", separator) + currency).amount_vnd == amount_vnd


@given(st.text(max_size=60))
def test_reading_never_fails_and_folding_twice_changes_nothing(text: str) -> None:
    search.read(text)
    assert search.fold(search.fold(text)) == search.fold(text)


@pytest.mark.parametrize(
    ("text", "day"),
    [("21/11/2026", date(2026, 11, 21)), ("1.2.2027", date(2027, 2, 1)), ("2026-11-21", date(2026, 11, 21)), ("31/02/2026", None)],
)  # fmt: skip
def test_a_day_is_read_as_it_is_written_here(text: str, day: date | None) -> None:
    assert search.read(text).day == day
