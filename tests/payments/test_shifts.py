"""How a shift ends and what becomes of its notes: signatures, drops, refunds, late transfers, the office, the bank."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from uuid import UUID

import asyncpg
import httpx
import pytest
from acts import Tablet, enrolled, log_in, press
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stage import settings_for
from trade import PURPOSE, Trade

import demo
import payments
from foundation import code
from foundation.database import Database, Tx
from foundation.web import Platform
from payments import books, cash_refund, deposit, drop, handover, notes, payment, shift
from payments.application import KnownToBeAPayers, OwnBag, assign
from payments.ledger import NotEnoughThere, ReservationEnded
from payments.shift import ShiftClosedByOffice, ShiftCounted
from payments.witness import SupervisorNeeded

SALE = {"place": 1, "heads": {"adult": 1}, "amount_vnd": 70_000, "proxy": False}


async def balance(admin: asyncpg.Connection, account: str) -> int:
    """Debits less credits of an account."""
    moved: int = await admin.fetchval(
        "select coalesce(sum(case when debit = $1 then amount_vnd else -amount_vnd end), 0)::bigint"
        " from payments.transfer where $1 in (debit, credit)",
        account,
    )
    return moved


async def books_balance(admin: asyncpg.Connection) -> None:
    found = [one for one in (await books.prove(admin)).findings if one.rule != "rollup_differs"]
    assert found == []


# --- signatures


async def proof_of(
    tablet: Tablet,
    login: str = "02",
    pin: str = demo.PIN,
    *,
    signs: str = "shift.close",
    amount_vnd: int | None = None,
) -> httpx.Response:
    return await tablet.post("witness", {"login": login, "pin": pin, "signs": signs, "amount_vnd": amount_vnd})


async def counted(tablet: Tablet) -> None:
    await tablet.does("shift/open", place=1, notes={"100000": 2})
    await tablet.does("shift/count", notes={"100000": 2})


async def test_the_second_signature_is_never_the_attendants_own(client: httpx.AsyncClient, here: Platform) -> None:
    tablet = await enrolled(client, here)
    himself = await proof_of(tablet, "01")
    assert (himself.status_code, himself.json()["code"]) == (403, "witness_himself")


@pytest.mark.parametrize(("login", "pin"), [("02", "000000"), ("99", demo.PIN), ("ketoan", demo.PASSWORD)])
async def test_a_wrong_number_or_pin_signs_nothing_and_ends_no_login(
    client: httpx.AsyncClient, here: Platform, admin: asyncpg.Connection, login: str, pin: str
) -> None:
    tablet = await enrolled(client, here)
    wrong = await proof_of(tablet, login, pin)
    assert (wrong.status_code, wrong.json()["code"]) == (403, "wrong_witness")
    tried = await admin.fetchrow(
        "select act, subject, after->>'login' as login, after::text from foundation.audit_entry order by id desc limit 1"
    )
    assert (tried["act"], tried["subject"], tried["login"]) == ("witness.wrong", "tablet Cổng 1", login)
    assert pin not in tried["after"]
    await tablet.does("shift/open", place=1, notes={})


async def test_guessing_a_pin_is_stopped(client: httpx.AsyncClient, here: Platform) -> None:
    tablet = await enrolled(client, here)
    answers = [(await proof_of(tablet, "02", f"{n:06}")).status_code for n in range(11)]
    assert answers == [403] * 10 + [429]


async def test_a_signature_is_good_for_one_act_at_one_tablet(
    client: httpx.AsyncClient, here: Platform, admin: asyncpg.Connection
) -> None:
    tablet, other = await enrolled(client, here), await enrolled(client, here, name="Cổng 2")
    bundle = {"signs": "shift.drop.receive", "amount_vnd": 100_000}
    proof = (await proof_of(tablet)).json()["witness"]
    await counted(other)
    stolen = await other.post("shift/close", other.action(witness=proof))
    assert (stolen.status_code, stolen.json()["code"]) == (403, "witness_needed")
    proof = (await proof_of(tablet, **bundle)).json()["witness"]
    await tablet.does("shift/open", place=1, notes={"100000": 2})
    first = await tablet.does("shift/drop", notes={"100000": 1})
    second = await tablet.does("shift/drop", notes={"100000": 1})
    await tablet.does("shift/drop/receive", number=first["number"], witness=proof)
    again = await tablet.post("shift/drop/receive", tablet.action(number=second["number"], witness=proof))
    assert (again.status_code, again.json()["code"]) == (403, "witness_needed")
    late = (await proof_of(tablet, **bundle)).json()["witness"]
    await admin.execute("update payments.witness set expires_at = clock_timestamp() where used_at is null")
    expired = await tablet.post("shift/drop/receive", tablet.action(number=second["number"], witness=late))
    assert expired.json()["code"] == "witness_needed"


async def test_a_signature_is_good_for_the_act_and_the_amount_that_it_was_given_for(
    client: httpx.AsyncClient, here: Platform, admin: asyncpg.Connection
) -> None:
    tablet = await enrolled(client, here)
    opened = await tablet.does("shift/open", place=1, notes={"100000": 2})
    bundle = await tablet.does("shift/drop", notes={"100000": 1})
    for signs, amount_vnd in (("shift.close", None), ("shift.drop.receive", 50_000), ("cash.refund", 100_000)):
        proof = (await proof_of(tablet, signs=signs, amount_vnd=amount_vnd)).json()["witness"]
        refused = await tablet.post("shift/drop/receive", tablet.action(number=bundle["number"], witness=proof))
        assert (refused.status_code, refused.json()["code"]) == (403, "signed_for_another")
    await tablet.does("cash/ticket", **SALE | {"heads": {"adult": 4}, "amount_vnd": 280_000})
    refund = {"place": 1, "shift_number": opened["number"], "receipt_number": 1, "reason": "other"}
    small = (await proof_of(tablet, signs="cash.refund", amount_vnd=5_000)).json()["witness"]
    more = await tablet.post("cash/refund", tablet.action(**refund, amount_vnd=250_000, witness=small))
    assert (more.status_code, more.json()["code"]) == (403, "signed_for_another")
    assert await admin.fetchval("select count(*) from payments.cash_refund") == 0
    assert await admin.fetchval("select count(*) from payments.witness where used_at is not null") == 0


@pytest.mark.parametrize(
    ("signs", "amount_vnd"),
    [
        ("shift.close", 1),
        ("cash.refund", None),
        ("cash.refund", 0),
        ("shift.drop.receive", "5000"),
        ("cash.ticket", 5_000),
    ],
)
async def test_what_is_signed_for_is_said_whole(
    client: httpx.AsyncClient, here: Platform, signs: str, amount_vnd: object
) -> None:
    tablet = await enrolled(client, here)
    said = {"login": "02", "pin": demo.PIN, "signs": signs, "amount_vnd": amount_vnd}
    answer = await tablet.post("witness", said)
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_payload")


async def test_no_pin_is_kept_anywhere(client: httpx.AsyncClient, here: Platform, admin: asyncpg.Connection) -> None:
    tablet = await enrolled(client, here)
    await counted(tablet)
    await tablet.does("shift/close", witness=(await proof_of(tablet)).json()["witness"])
    for table in ("foundation.action", "foundation.stored_answer", "payments.witness", "payments.shift"):
        assert not await admin.fetchval(f"select bool_or(t::text like '%{demo.PIN}%') from {table} t"), table


# --- hand-over


async def test_the_next_attendant_takes_over_a_part_as_his_float(trade: Trade, admin: asyncpg.Connection) -> None:
    who = await trade.attendant()
    await trade.opens(who, 200_000)
    await trade.sells(who, trade.line(500_000))
    await trade.counts(who, 700_000)
    with pytest.raises(handover.NotThoseNotes):
        await trade.hands_over(who, next_float={"1000": 1})
    report = await trade.hands_over(who, next_float={"200000": 1})
    assert (report["next_shift"], report["next_float_vnd"]) == (2, 200_000)
    following = await admin.fetchrow("select * from payments.shift where number = 2")
    assert following["staff_id"] == (await trade.colleague()).staff_id
    assert following["device_id"] == who.device_id
    assert await balance(admin, "cash_in_transit") == 700_000 - 200_000 - 200_000
    await books_balance(admin)


async def test_the_report_is_numbered_hashed_and_stays(trade: Trade, admin: asyncpg.Connection) -> None:
    who = await trade.attendant()
    await trade.opens(who, 100_000)
    late = await trade.sells(who, trade.line(8_000), proxy=True)
    report = await trade.closes(who, 108_000)
    row = await admin.fetchrow("select number, figures, sha256 from payments.shift_report")
    assert (row["number"], row["sha256"]) == (1, hashlib.sha256(row["figures"].encode()).hexdigest())
    assert report["proxies"] == [
        {
            "receipt": 1,
            "reference": late.pay and late.pay.reference,
            "amount_vnd": 8_000,
            "received_vnd": 0,
            "released_vnd": 0,
            "arrived_at": None,
        }
    ]
    assert late.pay
    await trade.transfers(late.pay.reference, 8_000)
    assert await admin.fetchval("select sha256 from payments.shift_report") == row["sha256"]
    with pytest.raises(asyncpg.PostgresError):
        await admin.execute("update payments.shift_report set at = now()")


# --- late transfers, and texts that were garbled


@pytest.mark.parametrize(("short_vnd", "explained_vnd"), [(0, 0), (3_000, 3_000), (8_000, 8_000), (20_000, 8_000)])
async def test_a_late_transfer_explains_what_was_missing_and_buys_the_rest_from_the_safe(
    trade: Trade, admin: asyncpg.Connection, short_vnd: int, explained_vnd: int
) -> None:
    who = await trade.attendant()
    await trade.opens(who, 100_000)
    sale = await trade.sells(who, trade.line(8_000), proxy=True)
    await trade.closes(who, 108_000 - short_vnd)
    assert sale.pay
    await trade.transfers(sale.pay.reference, 8_000)
    assert await balance(admin, "cash_over_short") == short_vnd - explained_vnd
    assert await balance(admin, "cash_in_transit") == 8_000 - short_vnd - (8_000 - explained_vnd)
    await books_balance(admin)


async def assigned(trade: Trade, reference: str, login: str = "ketoan") -> tuple[str, int]:
    async with trade.database.transaction(trade.operator_id) as tx:
        receipt_id: UUID = await tx.value(
            "select receipt_id from payments.held where operator_id = $1 and closed_at is null", trade.operator_id
        )
        staff = await tx.value(
            "select id from foundation.staff where operator_id = $1 and login = $2", trade.operator_id, login
        )
        return await assign(
            tx, receipt_id, reference=reference, staff_id=staff, reason="hỏi nhân viên", limit_vnd=10**9, now=trade.now
        )


async def test_money_known_to_be_a_payers_never_stands_for_notes(trade: Trade, admin: asyncpg.Connection) -> None:
    who = await trade.attendant()
    await trade.opens(who, 100_000)
    sale = await trade.sells(who, trade.line(8_000), proxy=True)
    assert sale.pay
    await trade.transfers((await trade.owes(trade.line(20_000))).reference, 28_000)
    with pytest.raises(KnownToBeAPayers):
        await assigned(trade, sale.pay.reference)
    await books_balance(admin)


async def test_who_made_a_bag_does_not_say_what_came_for_it(trade: Trade, admin: asyncpg.Connection) -> None:
    who = await trade.attendant()
    await trade.opens(who)
    await trade.sells(who, trade.line(70_000))
    await trade.closes(who, 70_000)
    bag = await trade.bags()
    await trade.transfers("nop tien", 70_000)
    with pytest.raises(OwnBag):
        await assigned(trade, bag, (await trade.colleague()).login)
    assert await assigned(trade, bag) == ("deposit", 70_000)
    await books_balance(admin)


async def test_finance_gives_a_garbled_transfer_to_the_attendant_it_came_from(
    trade: Trade, admin: asyncpg.Connection
) -> None:
    who = await trade.attendant()
    opened = await trade.opens(who)
    sale = await trade.sells(who, trade.line(8_000), proxy=True)
    assert sale.pay
    assert await trade.transfers("nop ho khach", 10_000) == "unknown_reference"
    assert await assigned(trade, sale.pay.reference.lower()) == ("proxy", 8_000)
    assert await admin.fetchval("select balance_vnd from payments.balance where account = $1", opened.drawer) == 0
    assert await admin.fetchval("select amount_vnd - used_vnd from payments.held where closed_at is null") == 2_000
    await books_balance(admin)


async def test_a_transfer_for_notes_that_went_to_the_safe_meanwhile_buys_them_there(
    trade: Trade, admin: asyncpg.Connection
) -> None:
    who = await trade.attendant()
    opened = await trade.opens(who)
    sale = await trade.sells(who, trade.line(8_000), proxy=True)
    await trade.drops(who, 2_000)
    await trade.drops(who, 1_000, sign=False)
    assert sale.pay
    assert await trade.transfers(sale.pay.reference, 8_000) == "proxy"
    assert await balance(admin, opened.drawer) == 1_000, "what is promised to the safe stays"
    assert await balance(admin, "cash_in_transit") == 2_000 - 3_000
    await books_balance(admin)


# --- between count and close


async def test_the_books_are_green_while_a_counted_shift_waits_for_its_close(
    trade: Trade, admin: asyncpg.Connection
) -> None:
    who = await trade.attendant()
    await trade.opens(who, 100_000)
    await trade.counts(who, 99_000)
    await books_balance(admin)
    await trade.hands_over(who, reason="change")
    await books_balance(admin)


# --- a proxy sale given back before its transfer came


async def asked_vnd(admin: asyncpg.Connection) -> int:
    asked: int = await admin.fetchval("select amount_vnd - received_vnd - released_vnd from payments.proxy_transfer")
    return asked


async def test_what_a_guest_gets_back_his_attendant_need_not_transfer(trade: Trade, admin: asyncpg.Connection) -> None:
    who = await trade.attendant()
    opened = await trade.opens(who)
    sale = await trade.sells(who, trade.line(8_000), proxy=True)
    await trade.refunds(who, opened, sale.receipt_number, 5_000)
    assert await asked_vnd(admin) == 3_000
    assert sale.pay
    assert await trade.transfers(sale.pay.reference, 8_000) == "proxy"
    assert await admin.fetchval("select amount_vnd from payments.held where reason = 'overpaid'") == 5_000
    assert await balance(admin, opened.drawer) == 0
    assert (await trade.closes(who, 0))["proxies"][0]["released_vnd"] == 5_000
    await books_balance(admin)


async def test_a_transfer_that_came_before_is_not_asked_for_twice_nor_released(
    trade: Trade, admin: asyncpg.Connection
) -> None:
    who = await trade.attendant()
    opened = await trade.opens(who, 100_000)
    sale = await trade.sells(who, trade.line(8_000), proxy=True)
    assert sale.pay
    await trade.transfers(sale.pay.reference, 6_000)
    await trade.refunds(who, opened, sale.receipt_number, 8_000)
    assert await asked_vnd(admin) == 0
    assert await admin.fetchval("select proxy_vnd from payments.cash_refund") == 2_000
    await books_balance(admin)


@pytest.mark.parametrize(("counted_vnd", "still_asked_vnd"), [(None, 8_000), (8_000, 0), (5_000, 3_000), (0, 8_000)])
async def test_out_of_another_drawer_only_what_was_handed_over_at_the_count_is_not_owed(
    trade: Trade, admin: asyncpg.Connection, counted_vnd: int | None, still_asked_vnd: int
) -> None:
    who, other = await trade.attendant(), await trade.attendant()
    opened = await trade.opens(who)
    sale = await trade.sells(who, trade.line(8_000), proxy=True)
    if counted_vnd is not None:
        await trade.closes(who, counted_vnd)
    await trade.opens(other, 100_000)
    await trade.refunds(other, opened, sale.receipt_number, 8_000)
    assert await asked_vnd(admin) == still_asked_vnd
    await books_balance(admin)


# --- drops


async def test_what_was_announced_for_the_safe_cannot_be_spent(trade: Trade, admin: asyncpg.Connection) -> None:
    who = await trade.attendant()
    opened = await trade.opens(who)
    sale = await trade.sells(who, trade.line(70_000))
    await trade.drops(who, 60_000, sign=False)
    with pytest.raises(NotEnoughThere):
        await trade.refunds(who, opened, sale.receipt_number, 20_000)
    with pytest.raises(NotEnoughThere):
        await trade.drops(who, 20_000)
    async with trade.database.transaction(trade.operator_id) as tx:
        await drop.void(tx, await shift.must_be_open(tx, who, lock=True), 1, now=trade.now)
    await trade.refunds(who, opened, sale.receipt_number, 20_000)
    await books_balance(admin)


async def test_a_bundle_is_taken_once_and_an_expired_one_is_free_again(trade: Trade, admin: asyncpg.Connection) -> None:
    who = await trade.attendant()
    opened = await trade.opens(who, 100_000)
    number = await trade.drops(who, 50_000)
    async with trade.database.transaction(trade.operator_id) as tx:
        with pytest.raises(ReservationEnded):
            await drop.receive(tx, opened, number, await trade.colleague(), now=trade.now)
    await trade.drops(who, 50_000, sign=False)
    trade.now += drop.WAITS
    await trade.drops(who, 50_000, sign=False)
    assert await admin.fetchval("select reserved_vnd from payments.balance where account = $1", opened.drawer) == 50_000
    report = await trade.closes(who, 50_000)
    assert [one["received_at"] is not None for one in report["drops"]] == [True, False, False]
    assert (report["dropped_vnd"], report["difference_vnd"]) == (50_000, 0)
    await books_balance(admin)


async def test_a_blind_count_cannot_be_probed_with_bundles_without_a_trace(
    client: httpx.AsyncClient, clerk: httpx.AsyncClient, here: Platform, admin: asyncpg.Connection
) -> None:
    tablet = await enrolled(client, here)
    await tablet.does("shift/open", place=1, notes={"100000": 2})
    for _ in range(2):
        probe = tablet.action(notes={"500000": 1})
        for _ in range(2):
            refused = await tablet.post("shift/drop", probe)
            assert (refused.status_code, refused.json()["code"]) == (409, "not_enough_there")
    for _ in range(shift.VOIDS_MAX):
        made = await tablet.does("shift/drop", notes={"100000": 1})
        await tablet.does("shift/drop/void", number=made["number"])
    made = await tablet.does("shift/drop", notes={"100000": 1})
    once_more = await tablet.post("shift/drop/void", tablet.action(number=made["number"]))
    assert (once_more.status_code, once_more.json()["code"]) == (409, "too_many_voids")
    with pytest.raises(asyncpg.CheckViolationError, match=drop.TooManyVoids.constraint):
        await admin.execute("update payments.shift set voids = voids + 1")
    assert "3 taken back, 2 announced that were not there" in (await clerk.get("/finance/shifts/1/1?lang=en")).text
    await tablet.does("shift/count", notes={"100000": 2})
    report = await tablet.does("shift/close", witness=(await proof_of(tablet)).json()["witness"])
    assert (report["voids"], report["drops_refused"]) == (3, 2)
    await books_balance(admin)


# --- refunds in notes


async def test_never_more_is_given_back_than_was_paid_nor_than_is_in_the_drawer(
    trade: Trade, admin: asyncpg.Connection
) -> None:
    who = await trade.attendant()
    opened = await trade.opens(who)
    sale = await trade.sells(who, trade.line(70_000))
    await trade.refunds(who, opened, sale.receipt_number, 50_000)
    with pytest.raises(payment.NothingToGiveBack):
        await trade.refunds(who, opened, sale.receipt_number, 21_000)
    slip = await trade.refunds(who, opened, sale.receipt_number, 20_000)
    assert (slip.number, slip.left_vnd) == (2, 0)
    assert await balance(admin, opened.drawer) == 0
    await books_balance(admin)


async def test_the_whole_of_a_receipt_takes_back_what_was_sold(trade: Trade) -> None:
    taken: list[str] = []

    async def take(tx: Tx, line: payment.GivenBackLine) -> object:
        taken.append(line.reference)
        return line.now

    payment.when_given_back(PURPOSE, take)  # type: ignore[arg-type]
    try:
        who = await trade.attendant()
        opened = await trade.opens(who)
        sale = await trade.sells(who, trade.line(70_000, reference="vé 7"))
        await trade.refunds(who, opened, sale.receipt_number, 30_000)
        assert taken == []
        await trade.refunds(who, opened, sale.receipt_number, 40_000)
        assert taken == ["vé 7"]
    finally:
        payment._give_back_acts.pop(PURPOSE)


async def test_a_thing_that_a_gate_may_still_accept_gives_no_notes_back(trade: Trade) -> None:
    async def later(tx: Tx, line: payment.GivenBackLine) -> object:
        return line.now + drop.WAITS

    payment.when_given_back(PURPOSE, later)  # type: ignore[arg-type]
    try:
        who = await trade.attendant()
        opened = await trade.opens(who)
        sale = await trade.sells(who, trade.line(70_000))
        with pytest.raises(cash_refund.StillAccepted):
            await trade.refunds(who, opened, sale.receipt_number, 70_000)
    finally:
        payment._give_back_acts.pop(PURPOSE)


async def test_the_limit_is_on_the_sum_of_the_day_and_split_refunds_do_not_slip_under_it(trade: Trade) -> None:
    who = await trade.attendant()
    opened = await trade.opens(who)
    sales = [await trade.sells(who, trade.line(99_000)) for _ in range(8)]
    outcomes = await asyncio.gather(
        *(trade.refunds(who, opened, sale.receipt_number, 99_000) for sale in sales), return_exceptions=True
    )
    assert sum(isinstance(one, cash_refund.Slip) for one in outcomes) == cash_refund.ALONE_VND // 99_000
    assert {type(one) for one in outcomes} == {cash_refund.Slip, SupervisorNeeded}


async def test_above_the_limit_a_supervisor_agrees_at_the_tablet(
    client: httpx.AsyncClient, here: Platform, admin: asyncpg.Connection
) -> None:
    tablet = await enrolled(client, here)
    opened = await tablet.does("shift/open", place=1, notes={})
    sold = await tablet.does("cash/ticket", **SALE | {"heads": {"adult": 4}, "amount_vnd": 280_000})
    numbers = {"place": 1, "shift_number": opened["number"], "receipt_number": sold["receipt_number"]}
    found = (await tablet.post("cash/receipt", numbers)).json()
    assert (found["amount_vnd"], found["left_vnd"]) == (280_000, 280_000)
    whole = {**numbers, "amount_vnd": 250_000, "reason": "not_used", "shift": opened["id"]}
    alone = await tablet.post("cash/refund", tablet.action(**whole))
    assert (alone.status_code, alone.json()["code"]) == (403, "supervisor_needed")
    signed = await proof_of(tablet, signs="cash.refund", amount_vnd=250_000)
    slip = await tablet.does("cash/refund", **whole, witness=signed.json()["witness"])
    assert (slip["number"], slip["left_vnd"], slip["approved_by"]) == (1, 30_000, "Trần Văn Bình")
    unknown = await tablet.post("cash/receipt", numbers | {"receipt_number": 99})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "no_cash_receipt")
    await books_balance(admin)


@pytest.mark.parametrize("why", ["used", "yesterday"])
async def test_what_was_used_or_is_of_another_day_always_needs_a_supervisor(
    client: httpx.AsyncClient, here: Platform, admin: asyncpg.Connection, why: str
) -> None:
    tablet = await enrolled(client, here)
    opened = await tablet.does("shift/open", place=1, notes={})
    await tablet.does("cash/ticket", **SALE)
    if why == "used":
        short = await admin.fetchval("select short from ticketing.ticket")
        assert (await tablet.does("scan", place=1, code=code.format_short(short)))["verdict"] == "valid"
    else:
        await admin.execute("set session_replication_role = replica")
        await admin.execute("update payments.cash_receipt set at = at - interval '1 day'")
    refund = {"place": 1, "shift_number": 1, "receipt_number": 1, "amount_vnd": 1_000, "reason": "other"}
    alone = await tablet.post("cash/refund", tablet.action(**refund, shift=opened["id"]))
    assert (alone.status_code, alone.json()["code"]) == (403, "supervisor_needed")
    witness = (await proof_of(tablet, signs="cash.refund", amount_vnd=1_000)).json()["witness"]
    slip = await tablet.does("cash/refund", **refund, shift=opened["id"], witness=witness)
    assert slip["approved_by"] == "Trần Văn Bình"
    assert await admin.fetchval("select used from payments.cash_refund") is (why == "used")
    with pytest.raises(asyncpg.CheckViolationError, match="used_signed"):
        await admin.execute("set session_replication_role = replica")
        await admin.execute("update payments.cash_refund set used = true, approved_by = null")


async def test_an_amount_that_no_notes_make_is_refused(client: httpx.AsyncClient, here: Platform) -> None:
    tablet = await enrolled(client, here)
    opened = await tablet.does("shift/open", place=1, notes={})
    await tablet.does("cash/ticket", **SALE)
    refund = {"place": 1, "shift_number": 1, "receipt_number": 1, "amount_vnd": 1_500, "reason": "other"}
    answer = await tablet.post("cash/refund", tablet.action(**refund, shift=opened["id"]))
    assert (answer.status_code, answer.json()["code"]) == (422, "not_in_notes")


# --- the office


async def test_a_close_from_the_office_reaches_the_tablet_at_its_next_word(
    client: httpx.AsyncClient, clerk: httpx.AsyncClient, here: Platform, admin: asyncpg.Connection
) -> None:
    tablet = await enrolled(client, here)
    opened = await tablet.does("shift/open", place=1, notes={"100000": 1})
    await tablet.does("cash/ticket", **SALE, shift=opened["id"])
    page = "/finance/shifts/VANMIEU/1"
    silent = await press(clerk, page, f"{page}/close", uncounted="false", notes_50000="3", reason=" ")
    assert (silent.status_code, "reason_missing" in silent.text) == (422, True)
    form = {"uncounted": "false", "notes_50000": "3", "why": "lost", "reason": "mất máy"}
    assert (await press(clerk, page, f"{page}/close", **form)).status_code == 303
    refused = await tablet.post("cash/ticket", tablet.action(**SALE, shift=opened["id"]))
    said = refused.json()
    assert (refused.status_code, said["code"]) == (409, "shift_closed_by_office")
    assert (said["name"], said["number"]) == ("Lê Thu Cúc", 1)
    me = await client.get("/api/v1/device/me", headers={"authorization": f"Bearer {tablet.session_token}"})
    assert me.json()["closed_by_office"]["name"] == "Lê Thu Cúc"
    await tablet.does("shift/open", place=1, notes={})
    late = await tablet.post("cash/ticket", tablet.action(**SALE, shift=opened["id"]))
    assert late.json()["code"] == "shift_closed_by_office", "a sale of the old shift went into the new one"
    assert await admin.fetchval("select count(*) from payments.cash_receipt") == 1
    report = (await clerk.get(page)).text
    assert "mất máy" in report
    assert await admin.fetchval("select counted_vnd - expected_vnd from payments.shift where number = 1") == -20_000
    assert await admin.fetchval("select act from foundation.audit_entry where act like 'shift%'") == "shift.closed"
    await books_balance(admin)


async def test_a_shift_that_nobody_counted_is_booked_as_missing_to_the_last_note(
    trade: Trade, admin: asyncpg.Connection
) -> None:
    who = await trade.attendant()
    opened = await trade.opens(who, 100_000)
    sale = await trade.sells(who, trade.line(8_000), proxy=True)
    staff_id = (await trade.colleague()).staff_id
    async with trade.database.transaction(trade.operator_id) as tx:
        await handover.close_from_office(
            tx, opened.id, staff_id=staff_id, counted=None, reason="other", words="người trực bỏ đi", now=trade.now
        )
    row = await admin.fetchrow("select counted_notes, counted_vnd, expected_vnd, reason from payments.shift")
    assert tuple(row) == (None, 0, 108_000, "uncounted")
    assert await balance(admin, "cash_over_short") == 108_000
    assert sale.pay
    await trade.transfers(sale.pay.reference, 8_000)
    assert await balance(admin, "cash_over_short") == 100_000, "his transfer explains its part"
    with pytest.raises(ShiftClosedByOffice):
        async with trade.database.transaction(trade.operator_id) as tx:
            await shift.must_be_open(tx, who, named=opened.id)
    await books_balance(admin)


async def test_notes_that_turn_up_later_lie_in_the_safe_and_explain_what_was_missing(
    clerk: httpx.AsyncClient, trade: Trade, admin: asyncpg.Connection
) -> None:
    who = await trade.attendant()
    await trade.opens(who, 100_000)
    page = "/finance/shifts/VANMIEU/1"
    form = {"key": "một", "notes_50000": "1", "notes_1000": "0", "reason": "dưới gầm bàn"}
    early = await press(clerk, page, f"{page}/found", **form)
    assert (early.status_code, "not_closed" in early.text) == (409, True)
    await press(clerk, page, f"{page}/close", uncounted="true", reason="mất máy")
    nothing = await press(clerk, page, f"{page}/found", key="không", reason="dưới gầm bàn")
    assert (nothing.status_code, "no_notes" in nothing.text) == (422, True)
    for _ in range(2):
        assert (await press(clerk, page, f"{page}/found", **form)).status_code == 303
    assert await balance(admin, "cash_over_short") == 50_000, "a second press of one form found the notes again"
    too_many = await press(clerk, page, f"{page}/found", **form | {"key": "hai", "notes_1000": "1"})
    assert (too_many.status_code, "more_than_missing" in too_many.text) == (409, True)
    assert (await press(clerk, page, f"{page}/found", **form | {"key": "ba"})).status_code == 303
    assert await balance(admin, "cash_over_short") == 0
    assert await balance(admin, "cash_in_transit") == 0
    assert await admin.fetchval("select explained_vnd from payments.shift") == 100_000
    assert await admin.fetchval("select counted_vnd from payments.shift") == 0, "the count stays what it was"
    await books_balance(admin)


async def test_of_eight_who_find_the_same_notes_at_once_one_does(trade: Trade, admin: asyncpg.Connection) -> None:
    who = await trade.attendant()
    opened = await trade.opens(who, 100_000)
    await trade.closes(who, 40_000)
    staff_id = (await trade.colleague()).staff_id

    async def find() -> None:
        async with trade.database.transaction(trade.operator_id) as tx:
            await handover.find_notes(
                tx, opened.id, staff_id=staff_id, counted={"20000": 2}, words="trong túi", now=trade.now
            )

    outcomes = await asyncio.gather(*(find() for _ in range(8)), return_exceptions=True)
    assert [type(one) for one in outcomes].count(handover.MoreThanMissing) == 7
    assert await balance(admin, "cash_over_short") == 20_000
    await books_balance(admin)


async def test_nobody_closes_his_own_shift_from_the_office(trade: Trade, admin: asyncpg.Connection) -> None:
    who = await trade.attendant()
    opened = await trade.opens(who, 100_000)
    with pytest.raises(handover.OwnShift):
        async with trade.database.transaction(trade.operator_id) as tx:
            await handover.close_from_office(
                tx, opened.id, staff_id=who.staff_id, counted=None, reason="other", words="tự đóng", now=trade.now
            )
    await trade.counts(who, 100_000)
    with pytest.raises(asyncpg.CheckViolationError, match=handover.OwnShift.constraint):
        await admin.execute("update payments.shift set closed_at = now(), closed_by = staff_id")
    assert await admin.fetchval("select closed_at from payments.shift") is None


async def test_a_count_that_was_made_stands_when_the_office_closes(trade: Trade, admin: asyncpg.Connection) -> None:
    who = await trade.attendant()
    opened = await trade.opens(who, 100_000)
    await trade.counts(who, 99_000)
    staff_id = (await trade.colleague()).staff_id
    async with trade.database.transaction(trade.operator_id) as tx:
        await handover.close_from_office(
            tx, opened.id, staff_id=staff_id, counted={"1000": 1}, reason="change", words="hết giờ", now=trade.now
        )
    assert await admin.fetchval("select counted_vnd from payments.shift") == 99_000
    await books_balance(admin)


async def test_finance_reads_shifts_and_deposits_in_both_languages(
    clerk: httpx.AsyncClient, trade: Trade, admin: asyncpg.Connection
) -> None:
    who = await trade.attendant()
    opened = await trade.opens(who, 100_000)
    sale = await trade.sells(who, trade.line(70_000))
    await trade.sells(who, trade.line(8_000), proxy=True)
    await trade.refunds(who, opened, sale.receipt_number, 20_000)
    await trade.drops(who, 50_000)
    await trade.closes(who, 107_000)
    await trade.opens(who, 100_000)
    reference = await trade.bags()
    for page in ("/finance/shifts", "/finance/shifts/1/1", "/finance/shifts/1/2", "/finance/deposits"):
        for language in ("vi", "en"):
            answer = await clerk.get(f"{page}?lang={language}")
            assert answer.status_code == 200, answer.text
            assert not re.search(r"finance\.[a-z_]+", re.sub(r"<[^>]*>", "", answer.text)), f"{page} has no words"
    assert reference in (await clerk.get("/finance/deposits")).text
    accounts = (await clerk.get("/finance/days?lang=en")).text
    assert '<a href="/finance/shifts/VANMIEU/1">Shift VANMIEU/1, ' in accounts, "a drawer is somebody's, not a number"
    assert "cash_drawer:" not in accounts
    assert (await clerk.get("/finance/shifts/1/3")).status_code == 404
    listed = (await clerk.get("/api/v1/finance/shifts")).json()
    assert [(one["state"], one["difference_vnd"]) for one in listed] == [("open", None), ("closed", -1_000)]


# --- deposits


async def a_bag(trade: Trade, amount_vnd: int = 70_000) -> str:
    who = await trade.attendant()
    await trade.opens(who)
    await trade.sells(who, trade.line(amount_vnd))
    await trade.closes(who, amount_vnd)
    return await trade.bags()


@pytest.mark.parametrize(
    ("told", "arrived_vnd", "held"),
    [
        ((70_000,), 70_000, []),
        ((69_000,), 69_000, []),
        ((30_000, 40_000), 70_000, []),
        ((71_000,), 70_000, [("deposit_over", 1_000)]),
        ((70_000, 70_000), 70_000, [("deposit_twice", 70_000)]),
    ],
)
async def test_too_little_too_much_and_twice_each_have_a_name(
    trade: Trade, admin: asyncpg.Connection, told: tuple[int, ...], arrived_vnd: int, held: list[tuple[str, int]]
) -> None:
    reference = await a_bag(trade)
    for amount_vnd in told:
        assert await trade.transfers(f"NOP TIEN MAT {reference} VANMIEU", amount_vnd) == "deposit"
    row = await admin.fetchrow("select arrived_vnd, arrived_at is not null as whole from payments.deposit")
    assert tuple(row) == (arrived_vnd, arrived_vnd == 70_000)
    assert [tuple(row) for row in await admin.fetch("select reason, amount_vnd from payments.held")] == held
    assert await balance(admin, "cash_in_transit") == 70_000 - arrived_vnd
    await books_balance(admin)


async def test_finance_gives_a_garbled_deposit_to_its_bag(trade: Trade, admin: asyncpg.Connection) -> None:
    reference = await a_bag(trade)
    assert await trade.transfers("nop tien ban ve", 70_000) == "unknown_reference"
    assert await assigned(trade, reference) == ("deposit", 70_000)
    assert await balance(admin, "cash_in_transit") == 0
    await books_balance(admin)


async def test_a_shift_is_bagged_once_however_many_bag_it(trade: Trade, admin: asyncpg.Connection) -> None:
    who = await trade.attendant()
    await trade.opens(who)
    await trade.sells(who, trade.line(70_000))
    await trade.closes(who, 70_000)
    outcomes = await asyncio.gather(*(trade.bags() for _ in range(4)), return_exceptions=True)
    assert sum(isinstance(one, str) for one in outcomes) == 1
    assert {type(one) for one in outcomes} == {str, deposit.NothingToDeposit}
    assert await admin.fetchval("select sum(amount_vnd) from payments.deposit_shift") == 70_000


async def test_a_bag_that_stays_short_is_settled_by_two_who_did_not_make_it(
    client: httpx.AsyncClient, clerk: httpx.AsyncClient, trade: Trade, admin: asyncpg.Connection
) -> None:
    reference = await a_bag(trade)
    await trade.transfers(reference, 60_000)
    page = "/finance/deposits"
    short = f"{page}/{reference}/short"
    early = await press(clerk, "/finance/", f"{short}/agree")
    assert (early.status_code, "nothing_short" in early.text) == (409, True)
    unsaid = await press(clerk, "/finance/", short, reason=" ")
    assert (unsaid.status_code, "reason_missing" in unsaid.text) == (422, True)
    assert (await press(clerk, "/finance/", short, reason="mất trên đường")).status_code == 303
    himself = await press(clerk, "/finance/", f"{short}/agree")
    assert (himself.status_code, "own_shortage" in himself.text) == (403, True)

    await trade.transfers(reference, 9_000)
    stale = await press(clerk, "/finance/", f"{short}/agree")
    assert (stale.status_code, "nothing_short" in stale.text) == (409, True), "more came after he asked"
    assert (await press(clerk, "/finance/", short, reason="mất trên đường")).status_code == 303
    made_by = (await trade.colleague()).staff_id
    async with trade.database.transaction(trade.operator_id) as tx:
        with pytest.raises(deposit.OwnShortage):
            await deposit.agree_short(tx, reference, staff_id=made_by, now=trade.now)
    with pytest.raises(asyncpg.CheckViolationError, match=deposit.OwnShortage.constraint):
        await admin.execute("update payments.deposit set short_agreed_by = made_by, short_agreed_at = now()")

    login = await trade.clerk()
    await log_in(clerk, login, "mat-khau-thu")
    for language in ("vi", "en"):
        assert f"{short}/agree" in (await clerk.get(f"{page}?lang={language}")).text
    assert (await press(clerk, "/finance/", f"{short}/agree")).status_code == 303
    again = await press(clerk, "/finance/", f"{short}/agree")
    assert again.status_code == 409
    assert await balance(admin, "cash_over_short") == 1_000
    assert await balance(admin, "cash_in_transit") == 0
    assert await open_findings(admin) == []
    acts = await admin.fetch("select act from foundation.audit_entry where act like 'deposit.short%' order by id")
    assert [row["act"] for row in acts] == ["deposit.short_asked", "deposit.short_asked", "deposit.short"]

    await trade.transfers(reference, 1_000)
    held = await admin.fetchval("select receipt_id from payments.held where reason = 'deposit_twice'")
    assert "may be notes of ours" in (await clerk.get(f"/finance/queue/{held}?lang=en")).text
    await books_balance(admin)


async def open_findings(admin: asyncpg.Connection) -> list[tuple[str, str | None, int | None]]:
    return [
        (one.rule, one.flow, one.amount_vnd)
        for line in (await books.prove(admin)).lines
        for one in line.open
        if one.rule in ("safe_below_zero", "deposit_open", "deposit_late")
    ]


async def test_a_bag_that_stays_short_for_more_than_a_day_has_a_name(trade: Trade, admin: asyncpg.Connection) -> None:
    reference = await a_bag(trade)
    await trade.transfers(reference, 69_000)
    assert await open_findings(admin) == [("deposit_open", reference, 1_000)]
    await admin.execute("select foundation.set_clock($1, 1)", trade.now + timedelta(hours=25))
    assert await open_findings(admin) == [("deposit_late", reference, 1_000)]


async def test_change_from_outside_is_not_refused_but_named(trade: Trade, admin: asyncpg.Connection) -> None:
    who = await trade.attendant()
    await trade.opens(who, 200_000)
    assert await open_findings(admin) == [("safe_below_zero", "VANMIEU", -200_000)]
    await trade.closes(who, 200_000)
    assert await open_findings(admin) == []


async def test_finances_day_shows_a_counted_shift_with_its_difference(clerk: httpx.AsyncClient, trade: Trade) -> None:
    who = await trade.attendant()
    await trade.opens(who, 200_000)
    assert "counted" not in shifts_of(await clerk.get("/finance/day?lang=en"))
    await trade.counts(who, 199_000)
    said = shifts_of(await clerk.get("/finance/day?lang=en"))
    assert "counted" in said and "1,000" in said and "199,000" in said


def shifts_of(page: httpx.Response) -> str:
    """The rows of the list of shifts on finance's day."""
    assert page.status_code == 200
    return page.text.split('id="shifts"')[1].split("<tbody>")[1].split("</tbody>")[0]


# --- races, and any order of everything


async def test_of_a_count_and_eight_sales_at_once_each_has_one_outcome(trade: Trade, admin: asyncpg.Connection) -> None:
    for _ in range(10):
        who = await trade.attendant()
        await trade.opens(who, 10_000)
        doing: list[Awaitable[object]] = [trade.sells(who, trade.line(5_000)) for _ in range(8)]
        doing.insert(4, trade.counts(who, 10_000))
        outcomes = await asyncio.gather(*doing, return_exceptions=True)
        sold = sum(isinstance(one, payments.CashSale) for one in outcomes)
        (count,) = (one for one in outcomes if isinstance(one, handover.Counted))
        assert count.expected_vnd == 10_000 + 5_000 * sold
        assert sum(isinstance(one, ShiftCounted) for one in outcomes) == 8 - sold
        await trade.hands_over(who, reason="other" if sold else None)
    await books_balance(admin)


Step = tuple[str, int]
steps = st.lists(
    st.tuples(
        st.sampled_from(["sell", "proxy", "arrive", "drop", "promise", "refund", "count", "close", "bag", "tell"]),
        st.integers(1, 60),
    ),
    min_size=5,
    max_size=40,
)


class Drawers:
    """One attendant's shifts, done step by step beside a model of three numbers."""

    def __init__(self, trade: Trade) -> None:
        self.trade = trade
        self.steps: dict[str, Callable[[int], Awaitable[None]]] = {
            name: getattr(self, name)
            for name in ("sell", "proxy", "arrive", "drop", "promise", "refund", "count", "close", "bag", "tell")
        }
        self.drawer_vnd = 0
        self.counted_vnd: int | None = None
        self.asked: list[tuple[str, int]] = []
        self.sold: list[tuple[shift.OpenShift, int]] = []
        self.bags: list[str] = []
        self.reports: list[dict[str, int]] = []

    async def begin(self) -> None:
        self.who = await self.trade.attendant()
        await self._open()

    async def _open(self) -> None:
        self.opened, self.drawer_vnd, self.counted_vnd = await self.trade.opens(self.who, 100_000), 100_000, None

    async def sell(self, thousands: int, proxy: bool = False) -> None:
        if self.counted_vnd is not None:
            with pytest.raises(ShiftCounted):
                await self.trade.sells(self.who, self.trade.line(thousands * 1_000))
            return
        sale = await self.trade.sells(self.who, self.trade.line(thousands * 1_000), proxy=proxy)
        self.drawer_vnd += sale.amount_vnd
        self.sold.append((self.opened, sale.receipt_number))
        if sale.pay:
            self.asked.append((sale.pay.reference, sale.amount_vnd))

    async def proxy(self, thousands: int) -> None:
        await self.sell(thousands, proxy=True)

    async def arrive(self, which: int) -> None:
        if self.asked:
            reference, amount_vnd = self.asked[which % len(self.asked)]
            await self.trade.transfers(reference, amount_vnd // 2 + 1)

    async def drop(self, thousands: int, sign: bool = True) -> None:
        if self.counted_vnd is None:
            try:
                await self.trade.drops(self.who, thousands * 1_000, sign=sign)
            except NotEnoughThere:
                return

    async def promise(self, thousands: int) -> None:
        await self.drop(thousands, sign=False)

    async def refund(self, which: int) -> None:
        if self.sold and self.counted_vnd is None:
            sold_in, number = self.sold[which % len(self.sold)]
            try:
                await self.trade.refunds(self.who, sold_in, number, 1_000)
            except (NotEnoughThere, payment.NothingToGiveBack, SupervisorNeeded):
                return

    async def count(self, thousands: int) -> None:
        if self.counted_vnd is None:
            self.counted_vnd = thousands * 5_000
            await self.trade.counts(self.who, self.counted_vnd)

    async def close(self, thousands: int) -> None:
        await self.count(thousands)
        self.reports.append(await self.trade.hands_over(self.who, reason="other"))
        await self._open()

    async def bag(self, _: int) -> None:
        try:
            self.bags.append(await self.trade.bags())
        except deposit.NothingToDeposit:
            return

    async def tell(self, thousands: int) -> None:
        if self.bags:
            await self.trade.transfers(self.bags[thousands % len(self.bags)], thousands * 7_000)


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps)
def test_any_order_of_everything_leaves_books_that_balance_and_figures_that_add_up(
    admin_url: str, steps: list[Step]
) -> None:
    async def live() -> None:
        made = settings_for(admin_url)
        database = await Database.open(made.url("database_app_url"), size=4)
        admin = await asyncpg.connect(admin_url)
        try:
            drawers = Drawers(await Trade.at(made, database))
            await drawers.begin()
            for name, number in steps:
                await drawers.steps[name](number)
            await drawers.close(3)
            for one in drawers.reports:
                assert one["expected_vnd"] == (
                    one["float_vnd"]
                    + one["cash_vnd"]
                    + one["proxy_vnd"]
                    - one["proxy_arrived_vnd"]
                    - one["dropped_vnd"]
                    - one["refunded_vnd"]
                )
                assert one["difference_vnd"] == one["counted_vnd"] - one["expected_vnd"]
            await books_balance(admin)
        finally:
            await admin.close()
            await database.close()

    asyncio.run(live())


def test_an_amount_in_notes_makes_the_amount_and_knows_no_coins() -> None:
    assert notes.sum_vnd(notes.of(888_000)) == 888_000
    assert notes.without({"1000": 2}, {"1000": 3}) is None
    assert notes.without({"1000": 2}, {"1000": 2}) == {}
    with pytest.raises(ValueError, match="500"):
        notes.of(500)
