"""What may become of a charge: the whole table, and each row of money.md 4.5 through what people would see of it."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta
from itertools import product
from uuid import UUID

import asyncpg
import httpx
import pytest
from acts import code_of, notify, order_to_pay, page_of
from hypothesis import given
from hypothesis import strategies as st
from trade import SINCE_THE_BEGINNING, SOLD_OUT, SoldOut, Trade

from foundation.money import format_vnd
from foundation.settings import Settings
from foundation.web import Platform
from payments import ChargeView, application, books, going_back, held, payment
from payments.charge_states import ENDS, EVENTS, STATES, STEPS, NoStep, Step, applied_vnd, receipt_event

# The table

RECEIPTS = ("less", "exact", "more")


def test_every_state_meets_every_event() -> None:
    assert set(STEPS) == set(product(STATES, EVENTS))


@pytest.mark.parametrize(("state", "event"), list(STEPS))
def test_each_cell_of_the_table_makes_sense(state: str, event: str) -> None:
    step = STEPS[state, event]  # type: ignore[index]
    if isinstance(step, NoStep):
        assert event not in RECEIPTS, "a receipt is always something"
        assert step.why
        return
    if state in ENDS:
        assert step.state == state, "an end is never left"
        assert step.apply == "nothing" and not step.gives_back
    assert (step.outcome is not None) == (event in RECEIPTS or event == "undeliverable")
    assert step.gives_back == (step.state in ("refused", "lapsed") and state not in ENDS)
    assert (step.apply == "all") == (step.outcome in ("partly", "applied"))
    assert (step.state == "paid") == (step.outcome in ("applied", "overpaid", "duplicate"))


@given(st.sampled_from(STATES), st.integers(1, 499_999_999), st.integers(1, 499_999_999))
def test_what_is_applied_and_what_is_kept_are_together_what_arrived(
    state: str, remaining_vnd: int, received_vnd: int
) -> None:
    step = STEPS[state, receipt_event(remaining_vnd, received_vnd)]  # type: ignore[index]
    assert isinstance(step, Step)
    applied = applied_vnd(step, remaining_vnd, received_vnd)
    assert 0 <= applied <= min(remaining_vnd, received_vnd)
    assert (applied == remaining_vnd) == (step.outcome in ("applied", "overpaid"))
    assert state not in ENDS or applied == 0


# The same table, walked on a real database: how each state comes about, and what each event then does


async def in_state(trade: Trade, state: str) -> ChargeView:
    owed = await trade.owes(trade.line(70_000, reference=SOLD_OUT if state == "refused" else "thing"))
    match state:
        case "partial":
            assert await trade.transfers(owed.reference, 20_000) == "partly"
        case "paid":
            assert await trade.transfers(owed.reference, 70_000) == "applied"
        case "refused":
            assert await trade.transfers(owed.reference, 70_000) == "refused"
        case "lapsed":
            assert await trade.transfers(owed.reference, 20_000) == "partly"
            await lapse(trade)
    return await seen(trade, owed)


async def seen(trade: Trade, owed: ChargeView) -> ChargeView:
    async with trade.database.transaction(trade.operator_id) as tx:
        return await payment.find(tx, id=owed.id)


async def lapse(trade: Trade) -> int:
    async with trade.database.transaction(trade.operator_id) as tx:
        await tx.execute(
            "update payments.charge set topup_until = foundation.now() - $1::interval where state = 'partial'",
            payment.ARRIVES_WITHIN,
        )
    return await payment.lapse(trade.database)


async def happens(trade: Trade, owed: ChargeView, event: str) -> str | None:
    """Lets an event happen to a charge; the outcome of a receipt."""
    remaining_vnd = owed.remaining_vnd or owed.amount_vnd
    match event:
        case "less":
            return await trade.transfers(owed.reference, remaining_vnd - 1)
        case "exact":
            return await trade.transfers(owed.reference, remaining_vnd)
        case "more":
            return await trade.transfers(owed.reference, remaining_vnd + 5_000)
        case "undeliverable":
            async with trade.database.transaction(trade.operator_id) as tx:
                await payment.end_unpaid(tx, owed, "undeliverable", at=trade.now, now=trade.now)
        case "supplied_otherwise":
            async with trade.database.transaction(trade.operator_id) as tx:
                await payment.release(tx, owed.id, now=trade.now)
        case "window_over":
            await lapse(trade)
    return None


@pytest.mark.parametrize("state", STATES)
async def test_every_event_does_what_the_table_says(trade: Trade, admin: asyncpg.Connection, state: str) -> None:
    for event in EVENTS:
        owed = await in_state(trade, state)
        assert owed.state == state
        step = STEPS[owed.state, event]
        outcome = await happens(trade, owed, event)
        after = await seen(trade, owed)
        if isinstance(step, NoStep):
            assert after == owed, f"{event} must change nothing of a charge that is {state}"
            continue
        assert after.state == step.state, f"{state}, then {event}"
        if event in RECEIPTS:
            assert outcome == step.outcome
        if step.gives_back:
            assert after.received_vnd == 0
            assert await _waits(trade, owed) == owed.received_vnd
        history = [
            row["state"]
            for row in await admin.fetch(
                "select state from payments.charge_event where charge_id = $1 order by id", owed.id
            )
        ]
        assert history[-1] == after.state
    assert (await books.prove(admin)).findings == ()


async def _waits(trade: Trade, owed: ChargeView) -> int:
    async with trade.database.transaction(trade.operator_id) as tx:
        return sum(item.amount_vnd for item in await going_back.of_charge(tx, owed))


# The rows of table 4.5


async def test_paid_late_is_supplied_and_marked(trade: Trade, admin: asyncpg.Connection) -> None:
    owed = await trade.owes(trade.line(70_000), holds=timedelta(minutes=-1))
    assert await trade.transfers(owed.reference, 70_000) == "applied"
    assert await admin.fetchval("select late from payments.receipt_outcome")


async def test_paid_late_when_it_is_gone_goes_back(trade: Trade, admin: asyncpg.Connection) -> None:
    owed = await trade.owes(trade.line(70_000, reference=SOLD_OUT), holds=timedelta(minutes=-1))
    assert await trade.transfers(owed.reference, 70_000) == "refused"
    row = await admin.fetchrow("select reason, amount_vnd from payments.held")
    assert tuple(row) == ("refused", 70_000)


async def test_the_rest_of_a_part_payment_may_come_for_a_day(trade: Trade, admin: asyncpg.Connection) -> None:
    owed = await in_state(trade, "partial")
    assert owed.topup_until == trade.now + timedelta(hours=24)
    assert await payment.lapse(trade.database) == 0
    await admin.execute("select foundation.set_clock(foundation.now() + interval '24 hours 1 minute', 1)")
    assert await payment.lapse(trade.database) == 0, "money paid in time may still be told of"
    await admin.execute("select foundation.set_clock(foundation.now() + interval '90 minutes', 1)")
    assert await payment.lapse(trade.database) == 1
    assert (await seen(trade, owed)).state == "lapsed"
    row = await admin.fetchrow("select reason, amount_vnd, charge_id from payments.held")
    assert tuple(row) == ("lapsed", 20_000, owed.id)
    assert await trade.transfers(owed.reference, 50_000) == "lapsed"
    assert await _waits(trade, owed) == 70_000


async def test_what_is_refused_to_several_at_once_is_kept_for_its_payer_once(
    trade: Trade, admin: asyncpg.Connection
) -> None:
    owed = await trade.owes(trade.line(70_000), trade.line(20_000, reference=SOLD_OUT))
    await trade.transfers(owed.reference, 90_000, apply=False)
    receipt_id = UUID(await admin.fetchval("select id from foundation.due where kind = 'payments.apply'"))
    said = await asyncio.gather(
        *(application.apply_receipt(trade.database, trade.operator_id, receipt_id, now=trade.now) for _ in range(4))
    )
    assert sorted(said, key=str) == [None, None, None, "refused"]
    assert (await seen(trade, owed)).state == "refused" and await _waits(trade, owed) == 90_000
    for nothing in ("line_paid", "journal where template in ('receipt.applied', 'service.delivered')"):
        assert await admin.fetchval(f"select count(*) from payments.{nothing}") == 0, "all of it was rolled back"


async def test_a_part_payment_whose_rest_has_arrived_and_is_not_yet_applied_does_not_lapse(
    trade: Trade, admin: asyncpg.Connection
) -> None:
    owed = await in_state(trade, "partial")
    await trade.transfers(f"CK {owed.reference.lower()}", 50_000, apply=False)
    assert await lapse(trade) == 0
    receipt_id = await admin.fetchval("select id from foundation.due where kind = 'payments.apply'")
    applied = await application.apply_receipt(trade.database, trade.operator_id, UUID(receipt_id), now=trade.now)
    assert applied == "applied"
    assert (await seen(trade, owed)).state == "paid"


async def test_money_that_a_charge_gave_back_can_be_given_to_another(
    trade: Trade, admin: asyncpg.Connection, clerk_id: UUID
) -> None:
    owed = await in_state(trade, "lapsed")
    other = await trade.owes(trade.line(15_000))
    assert await _assigns(trade, await _held_receipt(admin), other.reference, clerk_id) == ("overpaid", 15_000)
    assert await _waits(trade, owed) == 5_000
    assert (await books.prove(admin)).findings == ()


async def test_the_rest_of_unknown_money_is_its_payers_once_it_is_known_what_it_was_for(
    trade: Trade, admin: asyncpg.Connection, clerk_id: UUID
) -> None:
    owed = await trade.owes(trade.line(70_000))
    await trade.transfers("cam on", 100_000)
    assert await _assigns(trade, await _held_receipt(admin), owed.reference, clerk_id) == ("overpaid", 70_000)
    assert await _waits(trade, owed) == 30_000
    assert await admin.fetchval("select reason from payments.held") == "overpaid"
    assert (await books.prove(admin)).findings == ()


async def test_what_was_paid_another_way_is_not_called_sold_out(client: httpx.AsyncClient, trade: Trade) -> None:
    owed = await in_state(trade, "partial")
    async with trade.database.transaction(trade.operator_id) as tx:
        await payment.release(tx, owed.id, now=trade.now)
    page = (await client.get(f"/pay/{owed.reference}?lang=en")).text
    assert "paid another way" in page
    assert f"Your {vnd(20_000)} is kept safe and goes back" in page


async def test_money_for_another_operators_reference_says_so(settings: Settings, trade: Trade) -> None:
    elsewhere = await (await Trade.at(settings, trade.database, "dongda")).owes(trade.line(70_000))
    assert await trade.transfers(elsewhere.reference, 70_000) == "wrong_account"
    assert await trade.transfers("MC2345678923", 70_000) == "unknown_reference"


# What a person decides


@pytest.fixture
async def clerk_id(trade: Trade, admin: asyncpg.Connection) -> UUID:
    await trade.clerk()
    found: UUID = await admin.fetchval("select id from foundation.staff where login = 'sổ'")
    return found


async def _held_receipt(admin: asyncpg.Connection) -> UUID:
    found: UUID = await admin.fetchval("select receipt_id from payments.held where closed_at is null")
    return found


async def _assigns(trade: Trade, receipt_id: UUID, reference: str, clerk_id: UUID, reason: str = "hỏi khách") -> object:
    async with trade.database.transaction(trade.operator_id) as tx:
        return await application.assign(
            tx, receipt_id, reference=reference, staff_id=clerk_id, reason=reason, limit_vnd=10**9, now=trade.now
        )


async def test_a_clerk_says_what_unknown_money_was_for(trade: Trade, admin: asyncpg.Connection, clerk_id: UUID) -> None:
    owed = await trade.owes(trade.line(70_000))
    slipped = owed.reference[:5] + ("2" if owed.reference[5] != "2" else "3") + owed.reference[6:]
    assert await trade.transfers(slipped, 70_000) == "unknown_reference"
    receipt_id = await _held_receipt(admin)
    async with trade.database.transaction(trade.operator_id) as tx:
        (meant,) = await held.may_have_meant(tx, receipt_id)
    assert meant["reference"] == owed.reference and meant["nearly"]
    assert await _assigns(trade, receipt_id, f" {owed.reference.lower()} ", clerk_id) == ("applied", 70_000)
    assert (await seen(trade, owed)).state == "paid"
    trace = await admin.fetchrow(
        f"select act, subject, reason, after from foundation.audit_entry where {SINCE_THE_BEGINNING}"
    )
    assert trace["act"] == "held.applied" and trace["reason"] == "hỏi khách" and owed.reference in trace["after"]
    assert (await books.prove(admin)).findings == ()
    with pytest.raises(held.NothingHeld):
        await _assigns(trade, receipt_id, owed.reference, clerk_id)


async def test_what_is_more_than_the_charge_stays_in_the_queue(
    trade: Trade, admin: asyncpg.Connection, clerk_id: UUID
) -> None:
    first, second = await trade.owes(trade.line(70_000)), await trade.owes(trade.line(20_000))
    assert await trade.transfers(first.reference, 100_000) == "overpaid"
    receipt_id = await _held_receipt(admin)
    assert await _assigns(trade, receipt_id, second.reference, clerk_id) == ("overpaid", 20_000)
    assert await admin.fetchval("select amount_vnd - used_vnd from payments.held where closed_at is null") == 10_000
    third = await trade.owes(trade.line(10_000))
    assert await _assigns(trade, receipt_id, third.reference, clerk_id) == ("applied", 10_000)
    assert await admin.fetchval("select count(*) from payments.held where closed_at is null") == 0
    assert (await books.prove(admin)).findings == ()


async def test_what_a_clerk_may_not_do_changes_nothing(trade: Trade, admin: asyncpg.Connection, clerk_id: UUID) -> None:
    await trade.transfers("cam on", 50_000)
    receipt_id = await _held_receipt(admin)
    bigger = await trade.owes(trade.line(70_000))
    paid = await trade.pays(trade.line(50_000))
    gone = await trade.owes(trade.line(50_000, reference=SOLD_OUT))
    for reference, reason, refusal in (
        (bigger.reference, "x", application.OnlyAPart),
        (paid.reference, "x", application.NothingOwed),
        (gone.reference, "x", SoldOut),
        ("MC2345678923", "x", payment.NoSuchCharge),
        (bigger.reference, "  ", held.ReasonMissing),
    ):
        with pytest.raises(refusal):
            await _assigns(trade, receipt_id, reference, clerk_id, reason)
    assert await admin.fetchval("select used_vnd from payments.held") == 0
    assert await admin.fetchval(f"select count(*) from foundation.audit_entry where {SINCE_THE_BEGINNING}") == 0
    assert (await seen(trade, gone)).state == "open"


async def test_held_money_has_an_owner_and_the_trail_says_who_took_it(
    trade: Trade, admin: asyncpg.Connection, clerk_id: UUID
) -> None:
    await trade.transfers("cam on", 50_000)
    receipt_id = await _held_receipt(admin)
    for owner in (clerk_id, None):
        async with trade.database.transaction(trade.operator_id) as tx:
            await held.take(tx, receipt_id, staff_id=clerk_id, owner_id=owner, now=trade.now)
        assert await admin.fetchval("select owner_id from payments.held") == owner
    acts = [
        row["act"]
        for row in await admin.fetch(f"select act from foundation.audit_entry where {SINCE_THE_BEGINNING} order by id")
    ]
    assert acts == ["held.taken", "held.left"]


async def test_the_same_money_is_used_once_by_two_clerks_at_once(
    trade: Trade, admin: asyncpg.Connection, clerk_id: UUID
) -> None:
    await trade.transfers("cam on", 50_000)
    receipt_id = await _held_receipt(admin)
    charges = [await trade.owes(trade.line(50_000)) for _ in range(6)]
    outcomes = await asyncio.gather(
        *(_assigns(trade, receipt_id, owed.reference, clerk_id) for owed in charges), return_exceptions=True
    )
    assert sum(outcome == ("applied", 50_000) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, held.NothingHeld) for outcome in outcomes) == 5
    assert (await books.prove(admin)).findings == ()


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_in_whatever_order_and_however_often_money_is_announced_it_ends_at_the_same(
    trade: Trade, admin: asyncpg.Connection, seed: int
) -> None:
    chance = random.Random(seed)
    charges = [await trade.owes(trade.line(70_000)) for _ in range(8)]
    paid: dict[UUID, list[int]] = {
        owed.id: [chance.choice((70_000, 70_000, 20_000, 50_000, 75_000)) for _ in range(chance.randint(0, 3))]
        for owed in charges
    }
    announced = [
        (owed.reference, amount_vnd, f"FT-{owed.reference}-{number}")
        for owed in charges
        for number, amount_vnd in enumerate(paid[owed.id])
        for _ in range(chance.randint(1, 3))  # by notices, again, and by the bank's list
    ]
    chance.shuffle(announced)
    for reference, amount_vnd, bank_ref in announced:
        await trade.transfers(reference, amount_vnd, bank_ref=bank_ref, apply=chance.random() < 0.6)
    # What was not applied at once is the worker's; it comes in its own order.
    due = [row["id"] for row in await admin.fetch("select id from foundation.due where kind = 'payments.apply'")]
    chance.shuffle(due)
    for id in due:
        await application.apply_receipt(trade.database, trade.operator_id, UUID(id), now=trade.now)
    for owed in charges:
        total_vnd, after = sum(paid[owed.id]), await seen(trade, owed)
        assert after.received_vnd == min(total_vnd, 70_000)
        assert (after.state == "paid") == (total_vnd >= 70_000)
        assert await _waits(trade, owed) == total_vnd - after.received_vnd
    assert (await books.prove(admin)).findings == ()


# What the visitor is told


def vnd(amount_vnd: int) -> str:
    return format_vnd(amount_vnd, "en")


async def test_who_paid_too_much_or_twice_reads_on_his_ticket_that_it_goes_back(
    client: httpx.AsyncClient,
) -> None:
    reference = await order_to_pay(client, adult=1)
    await notify(client, text=reference, amount_vnd=75_000)
    said = await client.get(page_of(reference) + "?lang=en")
    assert f"You paid {vnd(5_000)} too much: it goes back" in said.text
    ticket = await client.get(f"/T/{await code_of(client, reference)}")
    assert f"You paid {vnd(5_000)} too much" in ticket.text
    await notify(client, text=reference, amount_vnd=70_000)
    ticket = await client.get(f"/T/{await code_of(client, reference)}")
    assert f"paid a second time: {vnd(70_000)} goes back" in ticket.text


async def test_who_paid_a_part_reads_until_when_the_rest_may_come_and_afterwards_that_it_goes_back(
    client: httpx.AsyncClient, admin: asyncpg.Connection, here: Platform
) -> None:
    reference = await order_to_pay(client, adult=1)
    await notify(client, text=reference, amount_vnd=20_000)
    page = (await client.get(f"/pay/{reference}?lang=en")).text
    assert f"{vnd(20_000)} has arrived. {vnd(50_000)} is still missing" in page
    await admin.execute(
        "update payments.charge set topup_until = now() - interval '91 minutes' where state = 'partial'"
    )
    assert await payment.lapse(here.database) == 1
    ended = (await client.get(f"/pay/{reference}?lang=en")).text
    assert "did not come in time" in ended
    assert f"Your {vnd(20_000)} goes back" in ended
    assert (await client.get(f"/pay/{reference}/qr.png")).status_code == 404
    said = (await client.get(f"/api/v1/public/payments/{reference}")).json()
    assert (said["state"], said["goes_back_vnd"], said["pay"]) == ("lapsed", 20_000, None)
