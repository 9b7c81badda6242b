"""The ledger: each posting by a worked example, natural keys, reversals, reservations, the close of a day, and a model."""

from __future__ import annotations

import ast
import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import pytest
from banking import Statements, the_bank_tells
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from paying import Desk
from returning import Office
from stage import Clock, settings_for
from trade import SOLD_OUT, Trade, a_day_of_everything

from foundation.clock import hanoi_day
from foundation.database import Database
from foundation.errors import NotFound, Refusal
from payments import books, claim, day_close, ledger, match_by_hand, settlement
from payments.application import assign
from payments.handover import find_notes
from payments.ledger import (
    NotEnoughThere,
    PostedOtherwise,
    ReservationEnded,
    ReservationExpired,
    ReversalReversed,
    Source,
)
from payments.postings import ACCOUNTS, BANK, CURRENT, PAYABLE, POSTINGS, RESERVE

# The worked examples: what happens, and what the event's posting says. {drawer} is the one drawer of the example.


async def a_receipt(trade: Trade) -> None:
    await trade.transfers("cam on", 20_000)


async def a_full_payment(trade: Trade) -> None:
    await trade.pays(trade.line(70_000))


async def a_payment_too_much(trade: Trade) -> None:
    await trade.transfers((await trade.owes(trade.line(70_000))).reference, 100_000)


async def a_payment_meant_for_another(trade: Trade) -> None:
    first, second = await trade.owes(trade.line(70_000)), await trade.owes(trade.line(30_000))
    await trade.transfers(first.reference, 100_000)
    await trade.clerk()
    async with trade.database.transaction(trade.operator_id) as tx:
        receipt_id = await tx.value("select receipt_id from payments.held")
        clerk_id = await tx.value("select id from foundation.staff where login = 'sổ'")
        await assign(
            tx,
            receipt_id,
            reference=second.reference,
            staff_id=clerk_id,
            reason="hỏi khách",
            limit_vnd=10**9,
            now=trade.now,
        )


async def a_part_payment_of_what_is_sold_out(trade: Trade) -> None:
    gone = await trade.owes(trade.line(35_000, reference=SOLD_OUT))
    await trade.transfers(gone.reference, 15_000)
    await trade.transfers(gone.reference, 20_000)


async def a_sale_for_notes(trade: Trade) -> None:
    who = await trade.attendant()
    await trade.opens(who, 200_000)
    await trade.sells(who, trade.line(5_000))


async def a_sale_that_the_attendant_transfers(trade: Trade) -> None:
    who = await trade.attendant()
    await trade.opens(who, 200_000)
    sale = await trade.sells(who, trade.line(5_000), proxy=True)
    assert sale.pay
    await trade.transfers(sale.pay.reference, 5_000)


async def a_shift(trade: Trade, counted_vnd: int = 270_000) -> None:
    who = await trade.attendant()
    await trade.opens(who, 200_000)
    await trade.sells(who, trade.line(70_000))
    await trade.closes(who, counted_vnd)


async def a_sale_given_back(trade: Trade) -> None:
    office = await Office.of(trade)
    await office.gives_back((await trade.pays(trade.line(70_000))).reference)
    await office.works()


async def a_late_transfer_for_missing_notes(trade: Trade) -> None:
    who = await trade.attendant()
    await trade.opens(who)
    sale = await trade.sells(who, trade.line(8_000), proxy=True)
    await trade.closes(who, 5_000)
    assert sale.pay
    await trade.transfers(sale.pay.reference, 8_000)


async def notes_that_turned_up(trade: Trade) -> None:
    await a_shift(trade, 268_000)
    staff_id = (await trade.colleague()).staff_id
    async with trade.database.transaction(trade.operator_id) as tx:
        shift_id = await tx.value("select id from payments.shift")
        await find_notes(tx, shift_id, staff_id=staff_id, counted={"2000": 1}, words="dưới ngăn", now=trade.now)


async def a_drop(trade: Trade) -> None:
    who = await trade.attendant()
    await trade.opens(who, 200_000)
    await trade.drops(who, 50_000)


async def a_refund_in_notes(trade: Trade) -> None:
    who = await trade.attendant()
    opened = await trade.opens(who)
    sale = await trade.sells(who, trade.line(70_000))
    await trade.refunds(who, opened, sale.receipt_number, 20_000)


async def a_deposit(trade: Trade) -> None:
    who = await trade.attendant()
    await trade.opens(who)
    await trade.sells(who, trade.line(70_000))
    await trade.closes(who, 70_000)
    await trade.transfers(await trade.bags(), 70_000)


async def a_bag_that_stays_short(trade: Trade) -> None:
    who = await trade.attendant()
    await trade.opens(who)
    await trade.sells(who, trade.line(70_000))
    await trade.closes(who, 70_000)
    reference = await trade.bags()
    await trade.transfers(reference, 69_000)
    await trade.settles_short(reference)


async def a_charge_of_the_bank(trade: Trade) -> None:
    await trade.explains(await trade.debited(11_000), "charge")


async def a_recall_of_what_is_held_in_part(trade: Trade) -> None:
    await trade.transfers("tien gi", 20_000, bank_ref="FT-OLD")
    recalled = await trade.debited(30_000, relates_to="FT-OLD")
    await trade.explains(recalled, "receipt", bank_ref="FT-OLD")
    await trade.explains(recalled, "loss")


async def a_settled_day(trade: Trade) -> None:
    """A lot's sale by transfer: all is the operator's, with a fee of half a percent, two percent held back for a week."""
    await trade.pays(trade.line(100_000, service="parking"))
    await settles(trade)


async def a_settled_week(trade: Trade) -> None:
    await a_settled_day(trade)
    for days in range(1, 8):
        await settles(trade, days)


async def settles(trade: Trade, later: int = 0) -> None:
    async with trade.database.transaction(trade.operator_id, isolation="repeatable read") as tx:
        await settlement.settle_day(tx, hanoi_day(trade.now) + timedelta(days=later), now=trade.now)


async def a_settled_sale_given_back(trade: Trade) -> None:
    office = await Office.of(trade)
    sold = await trade.pays(trade.line(100_000, service="parking"))
    await settles(trade)
    await office.gives_back(sold.reference)
    await settles(trade, 1)


async def notes_kept_and_deposited(trade: Trade) -> None:
    await a_deposited_bag(trade)
    await settles(trade, 1)


async def a_deposited_bag(trade: Trade) -> None:
    await a_shift(trade)
    await settles(trade)
    assert await trade.transfers(await trade.bags(), 70_000) == "deposit"


async def a_payout_that_left(trade: Trade) -> None:
    await a_settled_day(trade)
    desk = await Desk.of(trade)
    await desk.approves(await desk.makes())
    desk.bank.fate = "settled"
    await desk.works()


async def a_statement(trade: Trade) -> None:
    """A credit and a debit that the bank's statement confirms, one that it tells otherwise, and its interest."""
    await trade.transfers("?", 20_000, bank_ref="FT1")
    await trade.transfers("?", 1_000, bank_ref="FT2")
    await trade.debited(11_000, bank_ref="PHI")
    bank = Statements(trade)
    lines = [bank.line("FT1", 20_000), bank.line("PHI", -11_000), bank.line("FT2", 990), bank.line("LAI", 77)]
    who = (await trade.colleague()).staff_id
    await bank.load(bank.day(*lines), who=who)
    items = {(item["bank_ref"], item["side"]): item["id"] for item in await bank.open()}
    differ: dict[claim.Difference, list[UUID]] = {
        "rounding": [items["FT2", "line"], items["FT2", "movement"]],
        "interest": [items["LAI", "line"]],
    }
    async with trade.database.transaction(trade.operator_id) as tx:
        for difference, ids in differ.items():
            await match_by_hand.match(
                tx, ids, difference=difference, reason="sao kê", staff_id=who, limit_vnd=200_000, now=trade.now
            )


Example = tuple[Callable[[Trade], Awaitable[None]], str, str, int]
EXAMPLES: dict[str, Example] = {
    "receipt.seen": (a_receipt, "gw_receivable", "unapplied_receipts", 20_000),
    "receipt.applied": (a_full_payment, "unapplied_receipts", "intent_clearing", 70_000),
    "receipt.held": (a_payment_too_much, "unapplied_receipts", "overpaid_held", 30_000),
    "held.taken": (a_payment_meant_for_another, "overpaid_held", "unapplied_receipts", 30_000),
    "charge.released": (a_part_payment_of_what_is_sold_out, "intent_clearing", "overpaid_held", 15_000),
    "service.delivered": (a_full_payment, "intent_clearing", "operator_payable", 70_000),
    "charge.given_back": (a_sale_given_back, "operator_payable", "overpaid_held", 70_000),
    "refund.requested": (a_sale_given_back, "overpaid_held", "refund_clearing", 70_000),
    "refund.sent": (a_sale_given_back, "refund_clearing", "gw_receivable", 70_000),
    "cash.sold": (a_sale_for_notes, "{drawer}", "intent_clearing", 5_000),
    "proxy.transferred": (a_sale_that_the_attendant_transfers, "unapplied_receipts", "{drawer}", 5_000),
    "shift.opened": (a_shift, "{drawer}", "cash_in_transit", 200_000),
    "shift.closed": (a_shift, "cash_in_transit", "{drawer}", 270_000),
    "shift.short": (lambda trade: a_shift(trade, 269_000), "cash_over_short", "{drawer}", 1_000),
    "shift.over": (lambda trade: a_shift(trade, 271_000), "{drawer}", "cash_over_short", 1_000),
    "shift.found": (notes_that_turned_up, "cash_in_transit", "cash_over_short", 2_000),
    "proxy.explained": (a_late_transfer_for_missing_notes, "unapplied_receipts", "cash_over_short", 3_000),
    "cash.dropped": (a_drop, "cash_in_transit", "{drawer}", 50_000),
    "cash.given_back": (a_refund_in_notes, "refund_clearing", "{drawer}", 20_000),
    "deposit.arrived": (a_deposit, "unapplied_receipts", "cash_in_transit", 70_000),
    "debit.seen": (a_charge_of_the_bank, "suspense", "gw_receivable", 11_000),
    "debit.charge": (a_charge_of_the_bank, "bank_charges", "suspense", 11_000),
    "debit.met": (a_recall_of_what_is_held_in_part, "unapplied_receipts", "suspense", 20_000),
    "debit.lost": (a_recall_of_what_is_held_in_part, "losses", "suspense", 10_000),
    "deposit.short": (a_bag_that_stays_short, "cash_over_short", "cash_in_transit", 1_000),
    "payee.earned": (a_settled_day, "operator_payable", "payee_payable:{operator}", 100_000),
    "payee.paid": (a_settled_day, "payee_payable:{operator}", "payee_payable:{platform}", 500),
    "payee.held_back": (a_settled_day, "payee_payable:{operator}", "payee_reserve:{operator}", 2_000),
    "payee.released": (a_settled_week, "payee_reserve:{operator}", "payee_payable:{operator}", 2_000),
    "payee.gave_back": (a_settled_sale_given_back, "payee_payable:{operator}", "operator_payable", 100_000),
    "payee.kept": (a_deposited_bag, "payee_payable:{operator}", "kept_by_operator", 70_000),
    "payout.reserved": (a_payout_that_left, "payee_payable:{operator}", "payout_clearing", 97_500),
    "payout.sent": (a_payout_that_left, "payout_clearing", "gw_receivable", 97_500),
    "line.credit": (a_statement, "bank:{bank}", "gw_receivable", 20_000),
    "line.debit": (a_statement, "gw_receivable", "bank:{bank}", 11_000),
    "line.less": (a_statement, "rounding", "gw_receivable", 10),
    "line.more": (a_statement, "gw_receivable", "bank_interest", 77),
    "payee.handed": (notes_kept_and_deposited, "kept_by_operator", "payee_payable:{operator}", 70_000),
}


@pytest.mark.parametrize("posting", EXAMPLES)
async def test_each_posting_by_its_worked_example(admin: asyncpg.Connection, trade: Trade, posting: str) -> None:
    happens, debit, credit, amount_vnd = EXAMPLES[posting]
    await happens(trade)
    drawer = await admin.fetchval("select code from payments.account where code like 'cash_drawer:%'")
    row, *_ = await admin.fetch(  # a payout is one of several, the largest is the operator's
        "select j.version, t.debit, t.credit, t.amount_vnd from payments.journal j"
        " join payments.transfer t on t.operator_id = j.operator_id and t.journal_id = j.id"
        " where j.template = $1 and t.operator_id = $2 order by t.amount_vnd desc",
        posting,
        trade.operator_id,
    )
    payees = await admin.fetch("select kind, id from payments.payee where operator_id = $1", trade.operator_id)
    names = {"drawer": drawer, "bank": "/".join(trade.account), **{payee["kind"]: payee["id"] for payee in payees}}
    assert tuple(row) == (CURRENT[posting].version, debit.format(**names), credit.format(**names), amount_vnd)


def test_each_posting_of_the_table_has_an_example_and_each_version_stays() -> None:
    assert set(EXAMPLES) == set(CURRENT)
    for template in CURRENT:
        versions = [row.version for row in POSTINGS if row.template == template]
        assert sorted(versions) == list(range(1, len(versions) + 1))
    assert {side for row in POSTINGS for side in (row.debit, row.credit)} <= {
        *(*ACCOUNTS, BANK, "{account}", "{drawer}", PAYABLE, PAYABLE.replace("payee}", "other}"), RESERVE)
    }


def test_no_money_is_ever_a_float() -> None:
    """In the rooms that reckon: no float literal, no call or annotation of float, no true division."""
    house = Path(ledger.__file__).resolve().parent.parent
    drawing = {"chart.py"}  # the curves of the city's page: pixels
    found = []
    for room in ("payments", "parking", "ticketing"):
        for file in (house / room).rglob("*.py"):
            if file.name in drawing or "migrations" in file.parts:
                continue
            for node in ast.walk(ast.parse(file.read_text("utf-8"))):
                floats = (
                    (isinstance(node, ast.Constant) and isinstance(node.value, float))
                    or (isinstance(node, ast.Name) and node.id == "float")
                    or (isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div) and "_vnd" in ast.unparse(node))
                )
                if floats:
                    found.append(f"{file.relative_to(house)}:{node.lineno}")  # type: ignore[attr-defined]
    # A curve's points; the rate of a demo's clock; a pause; the age of a proof in seconds; places on a printed page.
    allowed = {
        "payments/city/routes.py",
        "payments/gateway/bank.py",
        "payments/day_close.py",
        "payments/finance/proof.py",
        "payments/finance/pdf.py",
        "payments/search.py",  # seconds
    }
    assert {place.rpartition(":")[0] for place in found} <= allowed, found


async def test_no_column_of_money_is_anything_but_a_whole_number(admin: asyncpg.Connection) -> None:
    rows = await admin.fetch(
        "select table_schema || '.' || table_name || '.' || column_name as name, data_type from information_schema.columns"
        " where table_schema in ('payments', 'parking', 'ticketing')"
    )
    assert not [row["name"] for row in rows if row["data_type"] in ("real", "double precision", "numeric", "money")]
    money = {row["data_type"] for row in rows if row["name"].endswith("_vnd")}
    assert money == {"bigint"}


# Natural keys


async def test_an_event_posted_twice_is_one_journal(trade: Trade, admin: asyncpg.Connection) -> None:
    async with trade.database.transaction(trade.operator_id) as tx:
        assert await _held(tx, trade, 5_000)
        assert not await _held(tx, trade, 5_000)
    assert await admin.fetchval("select count(*) from payments.transfer") == 1


async def test_an_event_posted_otherwise_is_refused_by_the_name_of_the_field(trade: Trade) -> None:
    async with trade.database.transaction(trade.operator_id) as tx:
        await _held(tx, trade, 5_000)
        for field_name, otherwise in (
            ("amount_vnd", {"amount_vnd": 6_000}),
            ("template", {"template": "receipt.applied"}),
            ("flow", {"flow": uuid4()}),
        ):
            with pytest.raises(PostedOtherwise) as refused:
                async with tx.savepoint():
                    await _held(tx, trade, **({"amount_vnd": 5_000} | otherwise))  # type: ignore[arg-type]
            assert refused.value.facts == {"field": field_name}


async def _held(
    tx: object, trade: Trade, amount_vnd: int, template: str = "receipt.held", flow: UUID | None = None
) -> bool:
    return await ledger.post(
        tx,  # type: ignore[arg-type]
        template,  # type: ignore[arg-type]
        source=Source("test", "one", "held"),
        amount_vnd=amount_vnd,
        effective_at=trade.now,
        flow=flow,
    )


# Reversal


async def test_a_journal_is_reversed_as_a_whole_once_and_its_reversal_never(
    trade: Trade, admin: asyncpg.Connection
) -> None:
    await a_sale_for_notes(trade)
    sale = Source("charge", str(await admin.fetchval("select id from payments.charge")), "cash")
    async with trade.database.transaction(trade.operator_id) as tx:
        assert await ledger.reverse(tx, sale, effective_at=trade.now)
        assert not await ledger.reverse(tx, sale, effective_at=trade.now)
        reversal = await tx.value("select source_id from payments.journal where template = 'reversal'")
        with pytest.raises(ReversalReversed):
            async with tx.savepoint():
                await ledger.reverse(tx, Source("journal", reversal, "reversed"), effective_at=trade.now)
        with pytest.raises(NotFound):
            await ledger.reverse(tx, Source("charge", "none", "cash"), effective_at=trade.now)
    rows = await admin.fetch(
        "select t.debit, t.credit, t.amount_vnd, t.flow from payments.transfer t join payments.journal j"
        " on j.id = t.journal_id where j.template in ('cash.sold', 'reversal') order by j.template"
    )
    assert (rows[1]["debit"], rows[1]["credit"]) == (rows[0]["credit"], rows[0]["debit"])
    assert rows[1]["amount_vnd"] == rows[0]["amount_vnd"] and rows[1]["flow"] == rows[0]["flow"]
    assert await admin.fetchval("select balance_vnd from payments.balance") == 200_000


async def test_a_reversal_cannot_take_notes_that_are_not_there(trade: Trade, admin: asyncpg.Connection) -> None:
    await a_shift(trade)
    sale = Source("charge", str(await admin.fetchval("select id from payments.charge")), "cash")
    with pytest.raises(NotEnoughThere):
        async with trade.database.transaction(trade.operator_id) as tx:
            await ledger.reverse(tx, sale, effective_at=trade.now)
    assert not await admin.fetchval("select count(*) from payments.journal where template = 'reversal'")


# Reservations


@dataclass
class Drawer:
    """An open drawer with 200,000 ₫ in it."""

    trade: Trade
    account: str
    ids: list[UUID] = field(default_factory=list)

    async def reserves(self, amount_vnd: int, *, key: str = "one", lasts: timedelta = timedelta(hours=1)) -> UUID:
        async with self.trade.database.transaction(self.trade.operator_id) as tx:
            now = await tx.value("select foundation.now()")
            return await ledger.reserve(
                tx, self.account, source=Source("test", key, "drop"), amount_vnd=amount_vnd, expires_at=now + lasts
            )

    async def spends(self, amount_vnd: int, *, reserved: UUID | None = None, key: str = "spent") -> bool:
        async with self.trade.database.transaction(self.trade.operator_id) as tx:
            return await ledger.post(
                tx,
                "shift.closed",
                source=Source("test", key, "spent"),
                amount_vnd=amount_vnd,
                effective_at=self.trade.now,
                drawer=self.account,
                reserved=reserved,
            )

    async def releases(self, reservation: UUID) -> bool:
        async with self.trade.database.transaction(self.trade.operator_id) as tx:
            return await ledger.release_reserved(tx, reservation)

    async def holds(self) -> tuple[int, int]:
        async with self.trade.database.transaction(self.trade.operator_id) as tx:
            row = await tx.row("select balance_vnd, reserved_vnd from payments.balance")
        return row["balance_vnd"], row["reserved_vnd"]


@pytest.fixture
async def drawer(trade: Trade) -> Drawer:
    who = await trade.attendant()
    return Drawer(trade, (await trade.opens(who, 200_000)).drawer)


async def test_what_is_reserved_cannot_be_spent_by_anything_else(drawer: Drawer) -> None:
    await drawer.reserves(150_000)
    assert await drawer.holds() == (200_000, 150_000)
    with pytest.raises(NotEnoughThere):
        await drawer.spends(50_001)
    with pytest.raises(NotEnoughThere):
        await drawer.reserves(50_001, key="two")
    assert await drawer.spends(50_000)


async def test_a_reservation_is_posted_up_to_its_amount_and_the_rest_is_free_again(drawer: Drawer) -> None:
    reserved = await drawer.reserves(150_000)
    with pytest.raises(ReservationEnded):
        await drawer.spends(150_001, reserved=reserved, key="too much")
    await drawer.spends(100_000, reserved=reserved)
    assert await drawer.holds() == (100_000, 0)
    with pytest.raises(ReservationEnded):
        await drawer.spends(50_000, reserved=reserved, key="again")
    with pytest.raises(ReservationEnded):
        await drawer.releases(reserved)


async def test_a_released_reservation_is_free_and_cannot_be_posted(drawer: Drawer) -> None:
    reserved = await drawer.reserves(150_000)
    assert await drawer.releases(reserved)
    assert not await drawer.releases(reserved)
    assert await drawer.holds() == (200_000, 0)
    with pytest.raises(ReservationEnded):
        await drawer.spends(1_000, reserved=reserved)


async def test_a_reservation_ends_by_the_platforms_clock(
    drawer: Drawer, clock: Clock, admin: asyncpg.Connection
) -> None:
    reserved = await drawer.reserves(150_000, lasts=timedelta(minutes=5))
    await admin.execute("select foundation.set_clock(foundation.now() + interval '6 minutes', 1)")
    with pytest.raises(ReservationExpired):
        await drawer.spends(1_000, reserved=reserved)
    assert await drawer.releases(reserved)
    assert await admin.fetchval("select outcome from payments.reservation_end") == "expired"


async def test_the_same_reservation_again_is_the_same_and_another_amount_is_refused(drawer: Drawer) -> None:
    assert await drawer.reserves(150_000) == await drawer.reserves(150_000)
    assert await drawer.holds() == (200_000, 150_000)
    with pytest.raises(PostedOtherwise):
        await drawer.reserves(140_000)


async def test_what_one_drawer_reserved_is_not_spent_by_another(drawer: Drawer) -> None:
    reserved = await drawer.reserves(60_000)
    other = Drawer(drawer.trade, (await drawer.trade.opens(await drawer.trade.attendant(), 100_000)).drawer)
    with pytest.raises(ReservationEnded):
        await other.spends(1_000, reserved=reserved)


async def test_two_who_reserve_the_last_notes_at_once_get_them_once(drawer: Drawer) -> None:
    outcomes = await asyncio.gather(*(drawer.reserves(150_000, key=str(n)) for n in range(8)), return_exceptions=True)
    assert sum(isinstance(outcome, UUID) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, NotEnoughThere) for outcome in outcomes) == 7


# The close of a day


@pytest.fixture
async def clerk_id(trade: Trade, admin: asyncpg.Connection) -> UUID:
    await trade.clerk()
    found: UUID = await admin.fetchval("select id from foundation.staff where login = 'sổ'")
    return found


Close = Callable[..., Awaitable[bool]]


@pytest.fixture
def close(trade: Trade, clerk_id: UUID) -> Close:
    async def close_day(day: date, *, later: timedelta = timedelta(days=3)) -> bool:
        if day < hanoi_day(trade.now + later):
            await the_bank_tells(trade, day)
        return await day_close.close_day(
            trade.database, trade.operator_id, day, staff_id=clerk_id, now=trade.now + later
        )

    return close_day


async def test_a_closed_day_keeps_what_every_account_held(
    trade: Trade, close: Close, admin: asyncpg.Connection
) -> None:
    await a_day_of_everything(trade)
    day = hanoi_day(trade.now)
    assert await close(day)
    assert not await close(day), "a second click changes nothing"
    snapshot = await _balances(trade, day)
    assert snapshot == await _from_rows(admin, trade, day)
    assert sum(account.closing_vnd for account in snapshot) == 0
    closed = await admin.fetchrow("select journals, turnover_vnd from payments.day_close")
    assert tuple(closed) == tuple(
        await admin.fetchrow("select count(distinct journal_id), sum(amount_vnd) from payments.transfer")
    )


async def test_a_late_fact_takes_effect_on_the_open_day_and_keeps_the_day_it_belongs_to(
    trade: Trade, close: Close, admin: asyncpg.Connection
) -> None:
    day = hanoi_day(trade.now)
    await trade.pays(trade.line(70_000))
    await close(day)
    before = await _balances(trade, day)
    await admin.execute("select foundation.set_clock(foundation.now() + interval '3 days', 1)")
    await trade.transfers("cam on", 20_000)
    row = await admin.fetchrow(
        "select effective_day, relates_to_day from payments.journal order by recorded_at desc limit 1"
    )
    assert tuple(row) == (day + timedelta(days=3), day)
    assert await _balances(trade, day) == before
    assert (await books.prove(admin)).findings == ()


async def test_nobody_writes_into_a_closed_day(trade: Trade, close: Close, admin: asyncpg.Connection) -> None:
    day = hanoi_day(trade.now)
    await trade.transfers("cam on", 1_000)
    await close(day)
    with pytest.raises(asyncpg.PostgresError, match="is closed"):
        await admin.execute(
            "insert into payments.journal (operator_id, id, template, version, source_type, source_id, purpose,"
            " effective_at, effective_day) values ($1, $2, 'receipt.seen', 1, 'test', 'x', 'y', $3, $4)",
            trade.operator_id,
            uuid4(),
            trade.now,
            day,
        )


async def test_days_are_closed_in_order_and_only_when_they_are_over(trade: Trade, close: Close) -> None:
    day = hanoi_day(trade.now)
    with pytest.raises(day_close.DayNotOver):
        await close(day, later=timedelta())
    with pytest.raises(day_close.DayBeforeOpen):
        await close(day)  # nothing has ever moved
    await trade.transfers("cam on", 1_000)
    with pytest.raises(day_close.DayBeforeOpen) as first:
        await close(day - timedelta(days=300))
    assert first.value.facts == {"day": day}
    await close(day)
    with pytest.raises(day_close.DayBeforeOpen) as refused:
        await close(day + timedelta(days=2))
    assert refused.value.facts == {"day": day + timedelta(days=1)}
    assert await close(day + timedelta(days=1)), "a day without any movement has its close as well"


async def test_a_day_whose_drawer_does_not_agree_with_its_entries_is_not_closed(
    trade: Trade, close: Close, admin: asyncpg.Connection
) -> None:
    await a_sale_for_notes(trade)
    await admin.execute("update payments.balance set balance_vnd = balance_vnd + 1")
    with pytest.raises(day_close.BooksDiffer) as refused:
        await close(hanoi_day(trade.now))
    assert str(refused.value.facts["account"]).startswith("cash_drawer:")
    for table in ("book", "day_close", "day_balance"):
        assert not await admin.fetchval(f"select count(*) from payments.{table}")


async def test_a_close_waits_for_postings_on_their_way(trade: Trade, close: Close, admin: asyncpg.Connection) -> None:
    day = hanoi_day(trade.now)
    async with trade.database.transaction(trade.operator_id) as tx:
        await _held(tx, trade, 5_000)
        closing = asyncio.create_task(close(day))
        await asyncio.sleep(0.3)
        assert not closing.done()
    assert await closing
    assert {row.account: row.closing_vnd for row in await _balances(trade, day)} == {
        "overpaid_held": -5_000,
        "unapplied_receipts": 5_000,
    }


async def test_payments_go_on_while_a_day_is_being_closed(
    trade: Trade, close: Close, admin: asyncpg.Connection
) -> None:
    day = hanoi_day(trade.now)
    await trade.transfers("cam on", 1_000)
    outcomes = await asyncio.gather(
        *(trade.transfers("cam on", 1_000) for _ in range(40)), close(day), return_exceptions=True
    )
    assert not [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert await admin.fetchval("select sum(amount_vnd) from payments.receipt") == 41_000
    assert (await books.prove(admin)).findings == ()
    assert await _balances(trade, day) == await _from_rows(admin, trade, day)


async def _balances(trade: Trade, day: date) -> list[ledger.AccountOfDay]:
    async with trade.database.transaction(trade.operator_id) as tx:
        return await ledger.balances(tx, day)


async def _from_rows(admin: asyncpg.Connection, trade: Trade, day: date) -> list[ledger.AccountOfDay]:
    """The same, added up from every row there is."""
    rows = await admin.fetch(
        "select a.code, a.kind, coalesce(sum(s.debit) filter (where j.effective_day = $2), 0)::bigint as debits,"
        " coalesce(sum(s.credit) filter (where j.effective_day = $2), 0)::bigint as credits,"
        " sum(s.debit - s.credit)::bigint as closing from payments.transfer t"
        " join payments.journal j on j.id = t.journal_id"
        " cross join lateral (values (t.debit, t.amount_vnd, 0), (t.credit, 0, t.amount_vnd)) s (account, debit, credit)"
        " join payments.account a on a.operator_id = t.operator_id and a.code = s.account"
        " where t.operator_id = $1 and j.effective_day <= $2 group by a.code, a.kind order by a.code",
        trade.operator_id,
        day,
    )
    return [ledger.AccountOfDay(*row) for row in rows if row["debits"] or row["credits"] or row["closing"]]


# A model: any order of events, with the same sums in a dictionary

Step = tuple[str, int, int]  # what, amount in thousands, which event
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["in", "out", "held", "reverse", "reserve", "spend", "release", "close", "again"]),
        st.integers(1, 300),
        st.integers(0, 9),
    ),
    min_size=5,
    max_size=40,
)


@dataclass
class Model:
    """What the ledger should hold."""

    balance_vnd: int = 0
    held_vnd: int = 0
    reserved: dict[int, int] = field(default_factory=dict)
    ended: set[int] = field(default_factory=set)
    posted: dict[tuple[str, int], int] = field(default_factory=dict)
    posted_at: dict[tuple[str, int], datetime] = field(default_factory=dict)
    reversed: set[tuple[str, int]] = field(default_factory=set)

    @property
    def free_vnd(self) -> int:
        return self.balance_vnd - sum(self.reserved.values())


@settings(max_examples=30, suppress_health_check=list(HealthCheck))
@given(steps=STEPS)
def test_any_order_of_events_holds_what_the_model_holds(admin_url: str, steps: list[Step]) -> None:
    async def play() -> None:
        database = await Database.open(settings_for(admin_url).url("database_app_url"), size=2)
        try:
            await _play(database, steps)
        finally:
            await database.close()

    asyncio.run(play())


async def _play(database: Database, steps: list[Step]) -> None:
    operator, shift, staff = uuid4(), uuid4(), uuid4()
    model, ids = Model(), dict[int, UUID]()
    async with database.transaction(operator) as tx:
        await tx.execute(
            "with made as (insert into foundation.operator (id, code, name_vi, name_en) values ($1, $2, 'x', 'x'))"
            " insert into foundation.staff (operator_id, id, login, name, roles, secret_hash, active)"
            " values ($1, $3, 'x', 'x', '{finance}', 'none', true)",
            operator,
            "m" + operator.hex[:12],
            staff,
        )
        await ledger.open_accounts(tx)
        drawer = await ledger.open_drawer(tx, shift)
        start: datetime = await tx.value("select foundation.now()")
    day = hanoi_day(start) - timedelta(days=60)
    at = start - timedelta(days=60)
    for what, thousands, which in steps:
        amount_vnd = thousands * 1000
        wanted: type[Refusal] | None = None
        if what == "close" and not model.posted and not model.ended:
            with pytest.raises(day_close.DayBeforeOpen):
                await day_close.close_day(database, operator, day, staff_id=staff, now=start)
            continue
        if what == "close":
            assert await day_close.close_day(database, operator, day, staff_id=staff, now=start)
            day, at = day + timedelta(days=1), at + timedelta(days=1)
            continue
        try:
            async with database.transaction(operator) as tx:
                match what:
                    case "in" | "out" | "again":
                        template = "shift.closed" if what == "out" else "shift.opened"
                        key = ("event", which)
                        known = model.posted.get(key)
                        signed = -amount_vnd if what == "out" else amount_vnd
                        if known is not None and (
                            known != signed or model.posted_at[key] != at or key in model.reversed
                        ):
                            wanted = PostedOtherwise
                        elif known is None and signed < 0 and model.free_vnd + signed < 0:
                            wanted = NotEnoughThere
                        new = await ledger.post(
                            tx,
                            template,  # type: ignore[arg-type]
                            source=Source("event", str(which), "event"),
                            amount_vnd=amount_vnd,
                            effective_at=at,
                            drawer=drawer,
                        )
                        assert new == (known is None)
                        if new:
                            model.posted[key], model.posted_at[key] = signed, at
                            model.balance_vnd += signed
                    case "held":
                        key = ("held", which)
                        known = model.posted.get(key)
                        if known is not None and (
                            known != amount_vnd or model.posted_at[key] != at or key in model.reversed
                        ):
                            wanted = PostedOtherwise
                        if await ledger.post(
                            tx,
                            "receipt.held",
                            source=Source("held", str(which), "held"),
                            amount_vnd=amount_vnd,
                            effective_at=at,
                        ):
                            model.posted[key], model.posted_at[key] = amount_vnd, at
                            model.held_vnd += amount_vnd
                    case "reverse":
                        key = ("event" if thousands % 2 else "held", which)
                        amount = model.posted.get(key)
                        gone = key in model.reversed
                        if amount is None:
                            wanted = NotFound
                        elif key[0] == "event" and not gone and model.free_vnd - amount < 0:
                            wanted = NotEnoughThere
                        new = await ledger.reverse(tx, Source(key[0], str(which), key[0]), effective_at=at)
                        assert new == (not gone)
                        if new and amount is not None:
                            model.reversed.add(key)
                            if key[0] == "event":
                                model.balance_vnd -= amount
                            else:
                                model.held_vnd -= amount
                    case "reserve":
                        if which in ids:
                            continue
                        wanted = NotEnoughThere if amount_vnd > model.free_vnd else None
                        made = await ledger.reserve(
                            tx,
                            drawer,
                            source=Source("reserve", str(which), "x"),
                            amount_vnd=amount_vnd,
                            expires_at=start + timedelta(days=1),
                        )
                        ids[which] = made
                        model.reserved[which] = amount_vnd
                    case "spend":
                        reservation = ids.get(which)
                        if reservation is None:
                            continue
                        promised = model.reserved.get(which)
                        wanted = ReservationEnded if promised is None or amount_vnd > promised else None
                        await ledger.post(
                            tx,
                            "shift.closed",
                            source=Source("spend", str(which), str(len(model.ended))),
                            amount_vnd=amount_vnd,
                            effective_at=at,
                            drawer=drawer,
                            reserved=reservation,
                        )
                        del model.reserved[which]
                        model.ended.add(which)
                        model.balance_vnd -= amount_vnd
                    case "release":
                        reservation = ids.get(which)
                        if reservation is None:
                            continue
                        wanted = ReservationEnded if which in model.ended else None
                        assert await ledger.release_reserved(tx, reservation) == (which in model.reserved)
                        model.reserved.pop(which, None)
            came: type[Refusal] | None = None
        except Refusal as refused:
            came = type(refused)
        assert came is wanted, f"{what} {amount_vnd} {which}"
        async with database.transaction(operator) as tx:
            row = await tx.row("select balance_vnd, reserved_vnd from payments.balance")
            assert tuple(row) == (model.balance_vnd, sum(model.reserved.values()))
            now = {account.account: account.closing_vnd for account in await ledger.balances(tx, day)}
            assert sum(now.values()) == 0
            assert now.get(drawer, 0) == model.balance_vnd
            assert -now.get("overpaid_held", 0) == model.held_vnd
