"""Days that are opened again and months that never are: two people want it, nothing of the first close is lost."""

from __future__ import annotations

import asyncio
from datetime import date, timedelta
from uuid import uuid4

import asyncpg
import pytest
from paying import OF_CLOSES, Desk
from trade import SINCE_THE_BEGINNING, Trade

from foundation import clock
from payments import book_request, books, day_close, ledger, settlement
from payments.book_request import (
    BookRequestDecided,
    BookRequestWaits,
    MonthBeforeUnlocked,
    MonthLocked,
    MonthNotClosed,
    NoSuchBookRequest,
    NotLastClosed,
    OwnBookRequest,
)
from payments.held import ReasonMissing

ONE = timedelta(days=1)


@pytest.fixture
async def desk(trade: Trade) -> Desk:
    """An operator whose books begin three days before the end of the last month with a sale of 70,000."""
    trade.now = trade.now.replace(day=1) - 3 * ONE
    await trade.pays(trade.line(70_000))
    return await Desk.of(trade)


@pytest.fixture
def first(desk: Desk) -> date:
    return clock.hanoi_day(desk.trade.now)


async def closed_through(desk: Desk, last: date) -> date:
    """Closes every day up to one."""
    async with desk.trade.database.transaction(desk.trade.operator_id) as tx:
        following = await day_close.next_day(tx)
    while following is not None and following <= last:
        assert await desk.closes(following)
        following += ONE
    return last


def end_of_month(day: date) -> date:
    return (day.replace(day=1) + timedelta(days=32)).replace(day=1) - ONE


async def days(desk: Desk) -> list[day_close.ClosedDay]:
    async with desk.trade.database.transaction(desk.trade.operator_id) as tx:
        return await day_close.closed_days(tx)


async def states(desk: Desk) -> list[str]:
    """Of the months, newest first."""
    async with desk.trade.database.transaction(desk.trade.operator_id) as tx:
        return [each.state for each in await book_request.months(tx, until=clock.hanoi_day(desk.trade.now))]


async def effective(admin: asyncpg.Connection) -> date:
    """The day on which the last event took effect."""
    found: date = await admin.fetchval("select effective_day from payments.journal order by recorded_at desc limit 1")
    return found


async def test_a_day_opened_again_takes_what_was_late_and_both_its_closes_stay(
    desk: Desk, first: date, admin: asyncpg.Connection
) -> None:
    trade = desk.trade
    await closed_through(desk, first + ONE)
    first_said = await admin.fetch("select * from payments.day_balance order by day, account")
    await trade.transfers("cam on", 20_000)
    assert await effective(admin) > first + ONE, "the day is closed: booked on the open one"
    asked = await desk.asks(first + ONE)
    with pytest.raises(OwnBookRequest):
        await desk.agrees(asked, "ketoan")
    assert (await days(desk))[0].state == "closed", "asking changes nothing"
    await desk.agrees(asked)
    assert not await desk.agrees(asked), "a second click changes nothing"
    await desk.reopens(first)
    assert [each.state for each in await days(desk)] == ["reopened", "reopened"]
    assert (await books.prove(admin)).findings == ()

    await trade.transfers("cam on", 30_000)
    assert await effective(admin) == first
    assert await desk.closes(first)
    assert not await desk.closes(first)
    second, one = (await days(desk))[:2]
    assert [(close.number, close.turnover_vnd) for close in one.closes] == [(1, 210_000), (2, 240_000)]
    assert (one.closes[0].asked_by, one.closes[0].agreed_by) == ("Lê Thu Cúc", "Phạm Quốc Dũng")
    assert one.closes[0].reason == "quên một phiếu" and one.last.reopened_at is None
    assert (one.state, second.state) == ("closed", "reopened")
    async with trade.database.transaction(trade.operator_id) as tx:
        changed = await day_close.differences(tx, first, 2)
        assert [(each.account, each.closing_vnd) for each in changed] == [
            ("gw_receivable", 30_000),
            ("unapplied_receipts", -30_000),
        ]
        assert {row.account: row.closing_vnd for row in await ledger.balances(tx, first)}["gw_receivable"] == 100_000
        assert [row["day"] for row in await book_request.reopened(tx)] == [first + ONE]
    assert await admin.fetch("select * from payments.day_balance where number = 1 order by day, account") == first_said
    assert await desk.closes(first + ONE)
    assert (await books.prove(admin)).findings == ()
    acts = await admin.fetch(f"select act from foundation.audit_entry where {SINCE_THE_BEGINNING} order by recorded_at")
    one_day = ["reopen.requested", "reopen.agreed"]
    assert [row["act"] for row in acts] == [*["day.closed"] * 2, *one_day * 2, *["day.closed"] * 2]


async def test_only_the_last_closed_day_is_opened_again_and_nobody_decides_twice(desk: Desk, first: date) -> None:
    last = await closed_through(desk, first + ONE)
    for day, facts in ((first, last), (last + ONE, last)):
        with pytest.raises(NotLastClosed) as refused:
            await desk.asks(day)
        assert refused.value.facts == {"day": facts}
    with pytest.raises(ReasonMissing):
        await desk.asks(last, reason=" ")
    asked = await desk.asks(last)
    assert await desk.asks(last) == asked, "a second click asks for nothing more"
    with pytest.raises(BookRequestWaits):
        await desk.asks(last, "quanly")
    refuse = book_request.refuse
    with pytest.raises(ReasonMissing):
        await desk.does(refuse, asked, staff_id=desk.people["quanly"], reason="")
    assert await desk.does(refuse, asked, staff_id=desk.people["quanly"], reason="không cần")
    assert not await desk.does(refuse, asked, staff_id=desk.people["quanly"], reason="không cần")
    for late in (desk.agrees(asked), desk.does(refuse, asked, staff_id=desk.people["ketoan"], reason="")):
        with pytest.raises(BookRequestDecided):
            await late
    own = await desk.asks(last)
    assert await desk.does(refuse, own, staff_id=desk.people["ketoan"], reason="")
    stale = await desk.asks(last)
    await closed_through(desk, last + ONE)
    with pytest.raises(NotLastClosed):
        await desk.agrees(stale)
    for nothing in (desk.agrees(uuid4()), desk.does(refuse, uuid4(), staff_id=desk.people["quanly"], reason="x")):
        with pytest.raises(NoSuchBookRequest):
            await nothing
    assert [each.state for each in await days(desk)] == ["closed"] * 3


async def test_a_locked_month_is_never_opened_again_by_anybody(
    desk: Desk, first: date, admin: asyncpg.Connection
) -> None:
    propose, clerk, last = book_request.propose_lock, desk.people["ketoan"], end_of_month(first)
    with pytest.raises(MonthNotClosed):
        await desk.does(propose, first, staff_id=clerk)
    await closed_through(desk, last - ONE)
    with pytest.raises(MonthNotClosed):
        await desk.does(propose, first, staff_id=clerk)
    await closed_through(desk, last)
    assert (await states(desk))[-1] == "closed"
    with pytest.raises(MonthBeforeUnlocked):
        await desk.does(propose, last + ONE, staff_id=clerk)
    proposed, asked = await desk.does(propose, first, staff_id=clerk), await desk.asks(last)
    with pytest.raises(OwnBookRequest):
        await desk.agrees(proposed, "ketoan")
    await desk.agrees(asked)
    with pytest.raises(MonthNotClosed):
        await desk.agrees(proposed)
    await desk.closes(last)
    again = await desk.asks(last)
    assert await desk.agrees(proposed)
    assert not await desk.agrees(proposed)
    assert (await states(desk))[-1] == "locked"
    for late in (desk.agrees(again), desk.asks(last), desk.does(propose, first, staff_id=clerk)):
        with pytest.raises(MonthLocked) as refused:
            await late
        assert refused.value.facts == {"month": f"{first:%m/%Y}"}
    assert {each.state for each in await days(desk)} == {"locked"}

    reopening = (
        "insert into payments.day_reopening (operator_id, day, number, request_id, asked_by, agreed_by, reason, at)"
        f" select operator_id, day, 2, id, requested_by, '{desk.people['quanly']}', reason, now()"
        f" from payments.book_request where id = '{again}'"
    )
    for role in ("motcham_app", "motcham_owner", None):
        for forbidden in (
            reopening,
            "update payments.book set closed_through = closed_through - 1",
            "update payments.book set closed_through = null",
            *(("delete from payments.book", "delete from payments.month_lock") if role != "motcham_app" else ()),
        ):
            async with admin.transaction():
                with pytest.raises(asyncpg.PostgresError, match="locked|insert-only"):
                    async with admin.transaction():
                        if role:
                            await admin.execute(
                                f"set local role {role}; set local app.operator = '{desk.trade.operator_id}'"
                            )
                        await admin.execute(forbidden)
    await closed_through(desk, last + ONE)
    await desk.reopens(last + ONE)
    assert (await books.prove(admin)).findings == ()


async def test_many_who_close_reopen_and_lock_at_once_do_each_thing_once(
    desk: Desk, first: date, admin: asyncpg.Connection
) -> None:
    last = await closed_through(desk, end_of_month(first))
    asked = await desk.asks(last)
    proposed = await desk.does(book_request.propose_lock, first, staff_id=desk.people["ketoan"])
    done = await asyncio.gather(
        *(desk.agrees(id) for id in (asked, proposed) * 3),
        *(desk.closes(last) for _ in range(3)),
        *(desk.closes(last + ONE) for _ in range(3)),
        *(desk.trade.transfers("cam on", 1_000) for _ in range(6)),
        return_exceptions=True,
    )
    odd = [each for each in done if isinstance(each, BaseException)]
    assert not [each for each in odd if not isinstance(each, book_request.Refusal)], odd
    assert await admin.fetchval("select count(*) from payments.day_reopening") <= 1
    assert await admin.fetchval("select count(*) from payments.month_lock") <= 1
    assert (await books.prove(admin)).findings == ()


async def test_who_agrees_waits_for_a_posting_on_its_way_and_the_next_finds_the_day_open(
    desk: Desk, first: date, admin: asyncpg.Connection
) -> None:
    trade = desk.trade
    await closed_through(desk, first)
    asked = await desk.asks(first)

    async def posts(tx: object, which: str) -> None:
        source = ledger.Source("test", which, "held")
        await ledger.post(tx, "receipt.held", source=source, amount_vnd=5_000, effective_at=trade.now)  # type: ignore[arg-type]

    async with trade.database.transaction(trade.operator_id) as tx:
        await posts(tx, "before")
        agreeing = asyncio.create_task(desk.agrees(asked))
        await asyncio.sleep(0.3)
        assert not agreeing.done()
    assert await agreeing
    async with trade.database.transaction(trade.operator_id) as tx:
        await posts(tx, "after")
    effective = dict(
        await admin.fetch("select source_id, effective_day from payments.journal where source_type = 'test'")
    )
    assert effective == {"before": clock.hanoi_day(await admin.fetchval("select foundation.now()")), "after": first}
    await desk.closes(first)
    proof = await books.prove(admin)
    assert {finding.rule for finding in proof.findings if finding.invariant in ("M3", "M8")} == set()


async def test_a_sale_on_a_day_opened_again_is_settled_once_however_late(
    desk: Desk, first: date, admin: asyncpg.Connection
) -> None:
    """A settlement names its sales and needs no closed day; what comes into a day that was closed when it was settled is
    the next one's, even if the day is closed again before that, or is opened again while another day is being settled."""
    trade, settled = desk.trade, "select coalesce(sum(sold_vnd), 0)::bigint from payments.settlement"
    await closed_through(desk, first + ONE)
    await desk.settled(first)
    await desk.settled(first + ONE)
    await desk.reopens(first + ONE)
    await desk.reopens(first)
    await trade.pays(trade.line(30_000))
    assert (await books.prove(admin)).findings == (), "it waits for the next settlement"
    await closed_through(desk, first + 2 * ONE)
    await desk.settled(first + 2 * ONE)
    assert await admin.fetchval(settled) == 100_000

    asked = await desk.asks(first + 2 * ONE)
    async with trade.database.transaction(trade.operator_id, isolation="repeatable read") as tx:
        assert await settlement.settle_day(tx, first + 3 * ONE, now=trade.now)
        agreeing = asyncio.create_task(desk.agrees(asked))
        await asyncio.sleep(0.2)
        assert not agreeing.done(), "the settlement is to know of it, or the next one"
    assert await agreeing
    trade.now += 2 * ONE
    await trade.pays(trade.line(5_000))
    await closed_through(desk, first + 2 * ONE)
    await desk.settled(first + 4 * ONE)
    assert await admin.fetchval(settled) == 105_000
    assert await admin.fetchval("select count(*) from payments.settlement_journal") == 3
    assert (await books.prove(admin)).findings == ()


async def test_what_a_vandal_does_to_closes_reopenings_and_locks_is_found_and_named(
    desk: Desk, first: date, admin: asyncpg.Connection
) -> None:
    trade, last = desk.trade, end_of_month(first)
    await closed_through(desk, first)
    await trade.pays(trade.line(5_000))  # late: takes effect today
    await desk.reopens(first)
    await trade.pays(trade.line(6_000))
    await closed_through(desk, last)
    await desk.locks(first)
    trade.now = clock.start_of_day(last + ONE) + timedelta(hours=9)
    await closed_through(desk, last + ONE)
    for n in range((last + ONE - first).days + 1):
        await desk.settled(first + n * ONE)
    await desk.reopens(last + ONE)
    await trade.pays(trade.line(7_000))
    assert (await books.prove(admin)).findings == ()
    await admin.execute("set session_replication_role = replica")
    for rule, plant in OF_CLOSES:
        vandalism = admin.transaction()
        await vandalism.start()
        assert await admin.execute(plant) not in ("UPDATE 0", "DELETE 0"), plant
        found = await books.prove(admin)
        await vandalism.rollback()
        assert rule in {finding.rule for finding in found.findings}, plant
