"""Refunds: what may become of one, who may send one, what the gateway is asked, and that never more goes back than came."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from returning import LIMIT_VND, Gateway, Office, a_day_of_refunds
from stage import settings_for
from trade import SINCE_THE_BEGINNING, SOLD_OUT, SoldOut, Trade, a_day_of_everything

import payments
from foundation.database import Database, Tx
from foundation.errors import Refusal
from foundation.staff import PERMISSIONS
from payments import books, payment, refund
from payments.application import assign
from payments.give_back import GiveBackWaits, PaidWithNotes
from payments.held import NothingHeld, ReasonMissing
from payments.payment import GivenBackLine, NothingToGiveBack
from payments.refund import MoreThanHeld, NoSuchRefund, OwnRefund, RefundDecided
from payments.refund_states import ENDED, EVENTS, HELD_AGAIN, LEFT, STATES, STEPS, WAITING, WORKED_ON, NoStep, Step


@pytest.fixture
async def office(trade: Trade) -> Office:
    return await Office.of(trade)


async def too_much(office: Office, amount_vnd: int = 30_000) -> UUID:
    """A receipt of which so much is held for its payer."""
    owed = await office.trade.owes(office.trade.line(20_000))
    assert await office.trade.transfers(owed.reference, 20_000 + amount_vnd) == "overpaid"
    return await office.held_by(owed.id)


async def green(admin: asyncpg.Connection) -> bool:
    proof = await books.prove(admin)
    assert proof.findings == (), proof.findings
    return True


async def held_of(admin: asyncpg.Connection, receipt_id: UUID) -> tuple[int, str]:
    """(what still waits of it, why)."""
    row = await admin.fetchrow(
        "select amount_vnd - used_vnd as left_vnd, reason from payments.held where receipt_id = $1", receipt_id
    )
    return row["left_vnd"], row["reason"]


# The table


def test_the_table_knows_every_state_and_every_event_and_says_why_nothing_happens() -> None:
    assert set(STEPS) == {(state, event) for state in STATES for event in EVENTS}
    assert all(step.why for step in STEPS.values() if isinstance(step, NoStep))
    reached = {step.state for step in STEPS.values() if isinstance(step, Step)}
    assert reached == set(STATES) - {"requested"}


def test_what_may_have_left_is_never_stopped_nor_tried_anew() -> None:
    for state in ("asking", "unknown", "accepted", "settled"):
        assert isinstance(STEPS[state, "reject"], NoStep)
        assert isinstance(STEPS[state, "ask"], NoStep)
    after_silence = STEPS["asking", "silent"]
    assert after_silence == Step("unknown")
    leaves = {event for event in EVENTS if isinstance(STEPS["unknown", event], Step)}
    assert leaves == {"unheard", "taken", "arrived", "came_back", "declined"}, "only the gateway's word leads out"


def test_only_a_settled_refund_may_still_change_once_it_has_ended() -> None:
    for state in ENDED:
        steps = {event: step.state for event in EVENTS if isinstance(step := STEPS[state, event], Step)}
        assert steps == ({"came_back": "returned"} if state == "settled" else {})
    assert set(STATES) == WAITING | LEFT | HELD_AGAIN
    assert set(STATES) == WORKED_ON | ENDED | {"requested"}


# One refund


async def test_a_small_one_is_sent_at_once_and_arrives(office: Office, admin: asyncpg.Connection) -> None:
    receipt_id = await too_much(office)
    id = await office.asks(receipt_id)
    assert await office.state(id) == "approved"
    await office.works()
    assert await office.state(id) == "accepted"
    office.gateway.fates[id] = "settled"
    await office.works()
    assert await office.state(id) == "settled"
    order = office.gateway.orders[id]
    assert (order.amount_vnd, order.original_vnd, order.to) == (30_000, 50_000, None)
    assert await held_of(admin, receipt_id) == (0, "overpaid")
    history = await admin.fetch("select cause from payments.refund_event order by id")
    assert [row["cause"] for row in history] == ["request", "within_limit", "ask", "taken", "arrived"]
    assert await green(admin)


async def test_the_same_word_twice_is_written_once(office: Office, admin: asyncpg.Connection) -> None:
    id = await office.asks(await too_much(office))
    for _ in range(3):
        await office.works()
    assert office.gateway.asked[id] == 1
    assert await office.hears(id, 30_000, returns=False)
    assert await office.hears(id, 30_000, returns=False), "the list tells what the answer told"
    assert not await office.hears(id, 30_000, returns=False, ref="ANOTHER"), "a second debit is not ours"
    assert not await office.hears(id, 29_999, returns=False)
    assert await admin.fetchval("select count(*) from payments.refund_event where cause = 'taken'") == 1
    assert await green(admin)


async def test_silence_is_unknown_and_only_looked_up(office: Office, admin: asyncpg.Connection) -> None:
    receipt_id = await too_much(office)
    id = await office.asks(receipt_id)
    office.gateway.silent = True
    for _ in range(3):
        await office.works()
    assert await office.state(id) == "unknown"
    assert office.gateway.asked[id] == 1
    with pytest.raises(RefundDecided):
        await office.rejects(id)
    with pytest.raises(NothingHeld):
        await office.asks(receipt_id)
    office.gateway.silent = False
    await office.works()
    assert await office.state(id) == "accepted"
    assert office.gateway.made[id] == 1
    assert await green(admin)


async def test_what_the_gateway_never_heard_of_is_asked_again_under_the_same_id(
    office: Office, admin: asyncpg.Connection
) -> None:
    id = await office.asks(await too_much(office))
    office.gateway.deaf = True
    await office.works()
    assert await office.state(id) == "unknown"
    office.gateway.deaf = False
    await office.works()
    assert await office.state(id) == "accepted"
    assert (office.gateway.asked[id], office.gateway.made[id]) == (2, 1)
    assert await green(admin)


async def test_a_process_that_dies_after_it_asked_looks_up_first(office: Office, admin: asyncpg.Connection) -> None:
    id = await office.asks(await too_much(office))

    class Dies(BaseException):
        pass

    send_back = office.gateway.send_back

    async def asks_and_dies(order: object) -> object:
        await send_back(order)  # type: ignore[arg-type]
        raise Dies

    office.gateway.send_back = asks_and_dies  # type: ignore[assignment]
    with pytest.raises(Dies):
        await office.works()
    assert await office.state(id) == "asking"
    office.gateway.send_back = send_back  # type: ignore[method-assign]
    await admin.execute("update foundation.due set lease_until = null")
    await office.works()
    assert await office.state(id) == "accepted"
    assert (office.gateway.asked[id], office.gateway.made[id]) == (1, 1)
    assert await green(admin)


async def test_a_refusal_puts_the_money_back_into_the_queue(office: Office, admin: asyncpg.Connection) -> None:
    receipt_id = await too_much(office)
    office.gateway.refuses = "insufficient_balance"
    id = await office.asks(receipt_id, 10_000)
    await office.works()
    assert await office.state(id) == "refused"
    assert await held_of(admin, receipt_id) == (30_000, "returned")
    assert await admin.fetchval("select why from payments.refund where id = $1", id) == "insufficient_balance"
    office.gateway.refuses = None
    again = await office.asks(receipt_id)
    await office.works()
    assert await office.state(again) == "accepted", "asked anew by a person, under a new id"
    assert await green(admin)


async def test_what_comes_back_is_owed_again_also_long_after_it_arrived(
    office: Office, admin: asyncpg.Connection
) -> None:
    receipt_id = await too_much(office)
    id = await office.asks(receipt_id)
    await office.works()
    office.gateway.fates[id] = "settled"
    await office.works()
    assert await office.state(id) == "settled"
    assert await office.hears(id, 30_000, returns=True)
    assert await office.hears(id, 30_000, returns=True), "told by the notice and by the list"
    assert not await office.hears(id, 30_000, returns=True, ref="ONCE MORE")
    assert await office.state(id) == "returned"
    assert await held_of(admin, receipt_id) == (30_000, "returned")
    assert await admin.fetchval("select count(*) from payments.receipt") == 1, "no new receipt"
    assert await green(admin)


async def test_money_of_which_nobody_knew_what_it_was_for_becomes_its_payers_when_it_goes_back(
    office: Office, admin: asyncpg.Connection
) -> None:
    assert await office.trade.transfers("cam on", 50_000) == "unknown_reference"
    receipt_id = await office.held_by()
    await office.asks(receipt_id, 20_000)
    assert await held_of(admin, receipt_id) == (30_000, "overpaid")
    assert await green(admin)
    await office.asks(receipt_id)
    await office.works()
    assert await green(admin)


async def test_nothing_leaves_before_it_may(office: Office, admin: asyncpg.Connection, trade: Trade) -> None:
    later = trade.now + timedelta(hours=2)

    async def still_accepted(tx: Tx, line: GivenBackLine) -> datetime:
        return later

    payments.when_given_back("test.thing", still_accepted)
    try:
        (id,) = await office.gives_back((await trade.pays(trade.line(70_000))).reference)
    finally:
        payments.when_given_back("test.thing", accepted_no_more)
    await office.works()
    assert await office.state(id) == "approved"
    assert not office.gateway.asked
    await admin.execute("select foundation.set_clock($1, 1)", later)
    await office.works()
    assert await office.state(id) == "accepted"
    assert await green(admin)


async def accepted_no_more(tx: Tx, line: GivenBackLine) -> datetime:
    return line.now


# Who may


async def test_above_the_limit_a_second_person_has_to_agree_and_never_oneself(
    office: Office, admin: asyncpg.Connection
) -> None:
    id = await office.asks(await too_much(office, LIMIT_VND + 1))
    assert await office.state(id) == "requested"
    with pytest.raises(OwnRefund):
        await office.approves(id, who=office.ann)
    await office.works()
    assert not office.gateway.asked
    await office.approves(id)
    with pytest.raises(RefundDecided):
        await office.approves(id)
    await office.works()
    assert await office.state(id) == "accepted"
    row = await admin.fetchrow("select requested_by, approved_by from payments.refund")
    assert tuple(row) == (office.ann, office.bao)
    acts = [
        row["act"]
        for row in await admin.fetch(f"select act from foundation.audit_entry where {SINCE_THE_BEGINNING} order by id")
    ]
    assert acts == ["refund.requested", "refund.approved"]
    assert await green(admin)


async def test_splitting_does_not_pass_the_limit(office: Office, admin: asyncpg.Connection) -> None:
    receipt_id = await too_much(office, 990_000)
    for _ in range(10):
        await office.asks(receipt_id, 99_000)
    states = [row["state"] for row in await admin.fetch("select state from payments.refund order by id")]
    assert states == ["approved"] * 2 + ["requested"] * 8
    office.trade.now += timedelta(days=1)
    other = await too_much(office, 99_000)
    assert await office.state(await office.asks(other)) == "approved", "a new day"
    assert await green(admin)


async def test_the_limit_counts_each_person_alone_and_holds_for_eight_at_once(
    office: Office, admin: asyncpg.Connection
) -> None:
    receipts = [await too_much(office, 90_000) for _ in range(8)]
    await asyncio.gather(*(office.asks(receipt_id) for receipt_id in receipts))
    assert await admin.fetchval("select count(*) from payments.refund where state = 'approved'") == 2
    assert await admin.fetchval("select asked_vnd from payments.refund_day") == 180_000
    assert await office.state(await office.asks(await too_much(office, 90_000), who=office.bao)) == "approved"
    assert await green(admin)


async def test_a_rejected_one_leaves_the_money_where_it_was(office: Office, admin: asyncpg.Connection) -> None:
    receipt_id = await too_much(office, 300_000)
    id = await office.asks(receipt_id)
    await office.rejects(id)
    assert await office.state(id) == "rejected"
    assert await held_of(admin, receipt_id) == (300_000, "overpaid")
    with pytest.raises(RefundDecided):
        await office.approves(id)
    assert await green(admin)


async def test_more_than_is_held_or_without_a_reason_is_refused(office: Office, trade: Trade) -> None:
    receipt_id = await too_much(office)
    for amount_vnd in (30_001, 0, -1):
        with pytest.raises(MoreThanHeld):
            await office.asks(receipt_id, amount_vnd)
    async with trade.database.transaction(trade.operator_id) as tx:
        with pytest.raises(ReasonMissing):
            await refund.request(
                tx, receipt_id, None, staff_id=office.ann, reason=" ", limit_vnd=LIMIT_VND, now=trade.now
            )


def test_who_may_agree_is_said_in_the_roles() -> None:
    may = {role for role, permissions in PERMISSIONS.items() if "finance:approve" in permissions}
    assert may == {"finance", "manager"}


# Giving back what was earned


async def test_a_sale_given_back_as_a_whole_goes_back_by_the_receipts_that_paid_it(
    office: Office, admin: asyncpg.Connection, trade: Trade
) -> None:
    owed = await trade.owes(trade.line(70_000))
    await trade.transfers(owed.reference, 20_000)
    await trade.transfers(owed.reference, 80_000)  # 30,000 too much
    ids = await office.gives_back(owed.reference)
    amounts = await admin.fetch("select amount_vnd from payments.refund order by id")
    assert [row["amount_vnd"] for row in amounts] == [50_000, 20_000]
    await office.works()
    assert [await office.state(id) for id in ids] == ["accepted", "accepted"]
    with pytest.raises(NothingToGiveBack):
        await office.gives_back(owed.reference, 1)
    await office.asks(await admin.fetchval("select receipt_id from payments.held where closed_at is null"))
    await office.works()
    assert await admin.fetchval("select sum(amount_vnd) from payments.refund") == 100_000, "all that came"
    assert await green(admin)


async def test_a_sale_is_given_back_in_parts_and_the_service_takes_back_with_the_last(
    office: Office, admin: asyncpg.Connection, trade: Trade
) -> None:
    taken_back = []

    async def takes_back(tx: Tx, line: GivenBackLine) -> datetime:
        taken_back.append(line.reference)
        return line.now

    payments.when_given_back("test.thing", takes_back)
    try:
        owed = await trade.pays(trade.line(70_000))
        await office.gives_back(owed.reference, 50_000)
        assert taken_back == []
        await office.gives_back(owed.reference)
        assert taken_back == ["thing"]
    finally:
        payments.when_given_back("test.thing", accepted_no_more)
    await office.works()
    assert await green(admin)


async def test_a_sale_that_held_money_paid_goes_back_by_that_money(
    office: Office, admin: asyncpg.Connection, trade: Trade
) -> None:
    owed = await trade.owes(trade.line(30_000))
    receipt_id = await too_much(office)
    async with trade.database.transaction(trade.operator_id) as tx:
        await assign(
            tx,
            receipt_id,
            reference=owed.reference,
            staff_id=office.ann,
            reason="hỏi khách",
            limit_vnd=10**9,
            now=trade.now,
        )
    await office.gives_back(owed.reference)
    assert await held_of(admin, receipt_id) == (0, "given_back")
    await office.works()
    assert await green(admin)
    again = await trade.pays(trade.line(10_000))
    await office.gives_back(again.reference)
    returned = await admin.fetchval("select id from payments.refund where amount_vnd = 10000")
    await office.works()
    assert await office.hears(returned, 10_000, returns=True)
    other = await trade.owes(trade.line(10_000))
    async with trade.database.transaction(trade.operator_id) as tx:
        back = await tx.value("select receipt_id from payments.held where closed_at is null")
        await assign(
            tx,
            back,
            reference=other.reference,
            staff_id=office.ann,
            reason="mua vé khác",
            limit_vnd=10**9,
            now=trade.now,
        )
    await office.gives_back(other.reference)
    await office.works()
    assert await green(admin)


async def test_what_was_not_paid_or_was_paid_with_notes_cannot_be_given_back_so(
    office: Office, admin: asyncpg.Connection, trade: Trade
) -> None:
    with pytest.raises(NothingToGiveBack):
        await office.gives_back((await trade.owes(trade.line(70_000))).reference)
    gone = await trade.owes(trade.line(35_000, reference=SOLD_OUT))
    await trade.transfers(gone.reference, 35_000)
    with pytest.raises(NothingToGiveBack):
        await office.gives_back(gone.reference)
    who = await trade.attendant()
    await trade.opens(who)
    await trade.sells(who, trade.line(5_000))
    sold = await admin.fetchval(
        "select c.reference from payments.charge c join payments.cash_receipt k on k.charge_id = c.id"
    )
    with pytest.raises(PaidWithNotes):
        await office.gives_back(sold)
    paid = await trade.pays(trade.line(70_000))
    with pytest.raises(NothingToGiveBack):
        await office.gives_back(paid.reference, 70_001)
    assert await green(admin)


# Giving back more than one person may


async def untouched(admin: asyncpg.Connection, reference: str) -> bool:
    """Whether a charge is as if nobody had asked: nothing given back, held or on its way."""
    row = await admin.fetchrow(
        "select c.given_back_vnd, (select count(*) from payments.held) + (select count(*) from payments.refund)"
        " + (select count(*) from payments.given_back) as rows from payments.charge c where c.reference = $1",
        reference,
    )
    return tuple(row) == (0, 0) and await green(admin)


async def test_above_the_limit_it_is_only_asked_for_and_happens_when_a_second_person_agrees(
    office: Office, admin: asyncpg.Connection, trade: Trade
) -> None:
    taken_back = []

    async def takes_back(tx: Tx, line: GivenBackLine) -> datetime:
        taken_back.append(line.reference)
        return line.now

    payments.when_given_back("test.thing", takes_back)
    try:
        owed = await trade.pays(trade.line(280_000))
        assert await office.gives_back(owed.reference) == []
        wanted = await office.wanted()
        assert wanted is not None
        assert await untouched(admin, owed.reference)
        assert taken_back == []
        with pytest.raises(OwnRefund):
            await office.agrees(wanted, who=office.ann)
        with pytest.raises(NoSuchRefund):
            await office.agrees(office.ann)
        await office.agrees(wanted)
        assert taken_back == ["thing"]
    finally:
        payments.when_given_back("test.thing", accepted_no_more)
    row = await admin.fetchrow("select id, state, amount_vnd, requested_by, approved_by from payments.refund")
    assert tuple(row)[1:] == ("approved", 280_000, office.ann, office.bao)
    assert await green(admin)
    await office.works()
    assert await office.state(row["id"]) == "accepted"
    with pytest.raises(RefundDecided):
        await office.agrees(wanted)
    trail = await admin.fetch(
        "select act, staff_id from foundation.audit_entry"
        f" where act <> 'session.opened' and {SINCE_THE_BEGINNING} order by id"
    )
    assert [tuple(entry) for entry in trail] == [
        ("give_back.asked", office.ann),
        ("refund.approved", office.bao),
        ("charge.given_back", office.bao),
    ]
    assert await green(admin)


async def test_a_no_or_taking_it_back_ends_the_request_and_nothing_has_changed(
    office: Office, admin: asyncpg.Connection, trade: Trade
) -> None:
    owed = await trade.pays(trade.line(280_000))
    for who in (office.bao, office.ann):
        await office.gives_back(owed.reference)
        wanted = await office.wanted()
        assert wanted is not None
        await office.refuses(wanted, who=who)
        assert await untouched(admin, owed.reference)
        for again in (office.agrees, office.refuses):
            with pytest.raises(RefundDecided):
                await again(wanted)
    trail = await admin.fetch(
        "select staff_id, reason from foundation.audit_entry where act = 'give_back.rejected' order by id"
    )
    assert [tuple(entry) for entry in trail] == [(office.bao, "vé còn dùng"), (office.ann, "vé còn dùng")]


async def test_while_one_waits_another_for_the_same_payment_is_refused_even_a_small_one(
    office: Office, admin: asyncpg.Connection, trade: Trade
) -> None:
    owed = await trade.pays(trade.line(280_000))
    await office.gives_back(owed.reference)
    for amount_vnd in (280_000, 1_000):
        with pytest.raises(GiveBackWaits):
            await office.gives_back(owed.reference, amount_vnd)
    assert await untouched(admin, owed.reference)


async def test_what_waits_is_not_counted_and_small_ones_do_not_add_up_to_more_than_the_limit(
    office: Office, admin: asyncpg.Connection, trade: Trade
) -> None:
    owed = [await trade.pays(trade.line(280_000)) for _ in range(3)]
    assert await office.gives_back(owed[0].reference) == []
    assert await admin.fetchval("select count(*) from payments.refund_day") == 0
    assert len(await office.gives_back(owed[1].reference, 150_000)) == 1
    assert await office.gives_back(owed[1].reference, 60_000) == [], "150,000 and 60,000 are above it"
    assert await office.gives_back(owed[2].reference, 60_000) == []
    assert await admin.fetchval("select asked_vnd from payments.refund_day") == 150_000
    assert await green(admin)


async def test_of_a_payment_in_two_transfers_either_all_goes_at_once_or_all_waits(
    office: Office, admin: asyncpg.Connection, trade: Trade
) -> None:
    owed = await trade.owes(trade.line(280_000))
    await trade.transfers(owed.reference, 180_000)
    await trade.transfers(owed.reference, 100_000)
    assert await office.gives_back(owed.reference) == []
    assert await untouched(admin, owed.reference)


async def test_at_the_yes_all_is_looked_at_anew_and_what_is_refused_still_waits(
    office: Office, admin: asyncpg.Connection, trade: Trade
) -> None:
    async def refuses(tx: Tx, line: GivenBackLine) -> datetime:
        raise SoldOut()

    owed = await trade.pays(trade.line(280_000))
    await office.gives_back(owed.reference)
    wanted = await office.wanted()
    assert wanted is not None
    payments.when_given_back("test.thing", refuses)
    try:
        with pytest.raises(SoldOut):
            await office.agrees(wanted)
    finally:
        payments.when_given_back("test.thing", accepted_no_more)
    assert await office.wanted() == wanted
    assert await untouched(admin, owed.reference)
    async with trade.database.transaction(trade.operator_id) as tx:
        await payment.take_back(tx, owed, 1_000, now=trade.now)  # meanwhile, some other way
    with pytest.raises(NothingToGiveBack):
        await office.agrees(wanted)
    assert await office.wanted() == wanted


# Races


async def winners(acts: list[Awaitable[object]]) -> int:
    """How many of them went through; the others were refused, and nothing broke."""
    done = await asyncio.gather(*acts, return_exceptions=True)
    assert all(not isinstance(result, Exception) or isinstance(result, Refusal) for result in done), done
    return sum(not isinstance(result, Exception) for result in done)


async def test_eight_at_once_on_the_same_held_money_send_no_more_than_there_is(
    office: Office, admin: asyncpg.Connection
) -> None:
    receipt_id = await too_much(office)
    assert await winners([office.asks(receipt_id, 10_000) for _ in range(8)]) == 3
    assert await held_of(admin, receipt_id) == (0, "overpaid")
    assert await green(admin)


async def test_eight_at_once_give_a_sale_back_once(office: Office, admin: asyncpg.Connection, trade: Trade) -> None:
    owed = await trade.pays(trade.line(70_000))
    assert await winners([office.gives_back(owed.reference, 70_000) for _ in range(8)]) == 1
    assert await green(admin)


async def test_eight_at_once_ask_once_and_of_eight_decisions_at_once_one_stands(
    office: Office, admin: asyncpg.Connection, trade: Trade
) -> None:
    owed = await trade.pays(trade.line(280_000))
    assert await winners([office.gives_back(owed.reference) for _ in range(8)]) == 1
    wanted = await office.wanted()
    assert wanted is not None
    acts: list[Awaitable[object]] = [office.agrees(wanted) for _ in range(4)]
    acts += [office.refuses(wanted) for _ in range(4)]
    assert await winners(acts) == 1
    given_back_vnd = await admin.fetchval("select given_back_vnd from payments.charge")
    assert given_back_vnd == await admin.fetchval("select coalesce(sum(amount_vnd), 0) from payments.refund")
    assert await green(admin)


async def test_of_eight_decisions_at_once_one_stands(office: Office, admin: asyncpg.Connection) -> None:
    id = await office.asks(await too_much(office, 300_000))
    acts: list[Awaitable[object]] = [office.approves(id) for _ in range(4)] + [office.rejects(id) for _ in range(4)]
    # A rejection after an approval is one more decision, as long as nobody has asked the gateway.
    assert await winners(acts) in (1, 2)
    await office.works()
    assert await office.state(id) in ("accepted", "rejected")
    assert await green(admin)


async def test_of_eight_words_of_the_bank_at_once_one_is_news(office: Office, admin: asyncpg.Connection) -> None:
    receipt_id = await too_much(office)
    id = await office.asks(receipt_id)
    await office.works()
    told = await asyncio.gather(*(office.hears(id, 30_000, returns=True) for _ in range(8)))
    assert all(told)
    assert await held_of(admin, receipt_id) == (30_000, "returned")
    assert await admin.fetchval("select count(*) from payments.refund_event where cause = 'came_back'") == 1
    assert await green(admin)


async def test_giving_back_and_assigning_at_once_wait_for_each_other(
    office: Office, admin: asyncpg.Connection, trade: Trade
) -> None:
    for _ in range(4):
        owed = await trade.owes(trade.line(20_000))
        await trade.transfers(owed.reference, 50_000)
        receipt_id = await office.held_by(owed.id)

        async def assigns(receipt_id: UUID = receipt_id, reference: str = owed.reference) -> None:
            async with trade.database.transaction(trade.operator_id) as tx:
                await assign(
                    tx,
                    receipt_id,
                    reference=reference,
                    staff_id=office.bao,
                    reason="thử",
                    limit_vnd=10**9,
                    now=trade.now,
                )

        await winners([office.gives_back(owed.reference), assigns(), office.asks(receipt_id, 1_000), assigns()])
    assert await green(admin)


async def test_a_day_with_a_refund_in_every_state_balances(admin: asyncpg.Connection, trade: Trade) -> None:
    await a_day_of_everything(trade)
    await a_day_of_refunds(trade)
    states = {row["state"] for row in await admin.fetch("select distinct state from payments.refund")}
    assert states == set(STATES) - {"asking"}
    assert await green(admin)


# Any order of everything


MOVES = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "pay too much",
                "give back",
                "ask",
                "approve",
                "reject",
                "agree",
                "refuse",
                "work",
                "silence",
                "deafness",
                "refusing",
                "hearing again",
                "settles",
                "returns",
                "list debits",
                "list returns",
                "assign",
            ]
        ),
        st.integers(1, 60),
        st.integers(0, 7),
    ),
    min_size=8,
    max_size=40,
)


GATEWAYS: dict[str, Gateway] = {}


@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(moves=MOVES)
def test_no_order_of_anything_lets_more_go_back_than_came(admin_url: str, moves: list[tuple[str, int, int]]) -> None:
    async def play() -> None:
        database = await Database.open(settings_for(admin_url).url("database_app_url"), size=2)
        admin = await asyncpg.connect(admin_url)
        try:
            office = await Office.of(await Trade.at(settings_for(admin_url), database))
            # The gateway remembers what it was asked by the days before, as the database does.
            office.gateway = GATEWAYS.setdefault(admin_url, office.gateway)
            office.gateway.silent, office.gateway.deaf, office.gateway.refuses = False, False, None
            await _play(office, admin, moves)
            assert await green(admin)
        finally:
            await admin.close()
            await database.close()

    asyncio.run(play())


async def _play(office: Office, admin: asyncpg.Connection, moves: list[tuple[str, int, int]]) -> None:
    trade, gateway = office.trade, office.gateway
    sold: list[str] = []
    for what, thousands, which in [("pay too much", 5, 0), *moves]:
        mine = [row["id"] for row in await admin.fetch("select receipt_id as id from payments.held order by 1")]
        ids = [
            row["id"]
            for row in await admin.fetch(
                "select id from payments.refund where requested_by = $1 order by 1", office.ann
            )
        ]
        amount_vnd = thousands * 1000
        id, on_its_way = (ids[which % len(ids)] if ids else None), list(gateway.fates)
        try:
            match what:
                case "pay too much":
                    owed = await trade.owes(trade.line(30_000))
                    await trade.transfers(owed.reference, 30_000 + amount_vnd)
                    sold.append(owed.reference)
                case "give back":
                    await office.gives_back(sold[which % len(sold)], amount_vnd, limit_vnd=40_000)
                case "ask":
                    await office.asks(mine[which % len(mine)], amount_vnd, limit_vnd=40_000)
                case "assign":
                    owed = await trade.owes(trade.line(amount_vnd))
                    async with trade.database.transaction(trade.operator_id) as tx:
                        await assign(
                            tx,
                            mine[which % len(mine)],
                            reference=owed.reference,
                            staff_id=office.ann,
                            reason="thử",
                            limit_vnd=40_000,
                            now=trade.now,
                        )
                    sold.append(owed.reference)
                case "approve" if id:
                    await office.approves(id)
                case "reject" if id:
                    await office.rejects(id)
                case "agree" | "refuse" if wanted := await office.wanted():
                    await (office.agrees(wanted) if what == "agree" else office.refuses(wanted))
                case "work":
                    await office.works()
                case "silence":
                    gateway.silent = True
                case "deafness":
                    gateway.deaf = True
                case "refusing":
                    gateway.refuses = "cannot_send_back"
                case "hearing again":
                    gateway.silent, gateway.deaf, gateway.refuses = False, False, None
                case "settles" | "returns" if on_its_way:
                    told = on_its_way[which % len(on_its_way)]
                    if gateway.fates[told] in ("accepted", "settled"):
                        gateway.fates[told] = "settled" if what == "settles" else "returned"
                case "list debits" | "list returns" if on_its_way:
                    told = on_its_way[which % len(on_its_way)]
                    fate = gateway.fates[told]
                    if fate == "returned" or (fate != "refused" and what == "list debits"):
                        order = gateway.orders[told]
                        assert await office.hears(told, order.amount_vnd, returns=what == "list returns")
        except Refusal:
            pass
        received, back = await admin.fetchrow(
            "select (select sum(amount_vnd) from payments.receipt), (select coalesce(sum(amount_vnd), 0)"
            " from payments.refund where state not in ('returned', 'refused', 'rejected'))"
        )
        assert back <= received
    assert all(times == 1 for times in gateway.made.values()), "the gateway made one refund twice"
