"""Days that are opened again and months that never are: two people want it, nothing of the first close is lost."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import date, timedelta
from uuid import uuid4

import asyncpg
import httpx
import pytest
from acts import log_in, press
from paying import OF_CLOSES, Desk
from trade import SINCE_THE_BEGINNING, Trade

from foundation import clock
from foundation.database import Tx
from foundation.errors import Refusal
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


async def effective_day(admin: asyncpg.Connection) -> date:
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
    assert await effective_day(admin) > first + ONE, "the day is closed: booked on the open one"
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
    assert await effective_day(admin) == first
    assert await desk.closes(first)
    assert not await desk.closes(first)
    second, one = (await days(desk))[:2]
    assert [(close.number, close.turnover_vnd) for close in one.closes] == [(1, 280_000), (2, 310_000)]
    assert (one.closes[0].asked_by, one.closes[0].agreed_by) == ("Lê Thu Cúc", "Phạm Quốc Dũng")
    assert one.closes[0].reason == "quên một phiếu" and one.last.reopened_at is None
    assert (one.state, second.state) == ("closed", "reopened")
    async with trade.database.transaction(trade.operator_id) as tx:
        changed = await day_close.differences(tx, first, 2)
        assert [(each.account, each.closing_vnd) for each in changed] == [
            ("gw_receivable", 30_000),
            ("unapplied_receipts", -30_000),
        ]
        assert {row.account: row.closing_vnd for row in await ledger.balances(tx, first)}["gw_receivable"] == 30_000
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
                with pytest.raises(asyncpg.PostgresError, match=r"locked|insert-only"):
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
    assert not [each for each in odd if not isinstance(each, Refusal)], odd
    reopened, locked = [
        await admin.fetchval(f"select count(*) from payments.{table}") for table in ("day_reopening", "month_lock")
    ]
    assert (reopened, locked) in ((1, 0), (0, 1), (1, 1)), "whichever came first, once"
    assert (await books.prove(admin)).findings == ()


async def test_who_agrees_waits_for_a_posting_on_its_way_and_the_next_finds_the_day_open(
    desk: Desk, first: date, admin: asyncpg.Connection
) -> None:
    trade = desk.trade
    await closed_through(desk, first)
    asked = await desk.asks(first)

    async def posts(tx: Tx, which: str) -> None:
        source = ledger.Source("test", which, "held")
        await ledger.post(tx, "receipt.held", source=source, amount_vnd=5_000, effective_at=trade.now)

    async with trade.database.transaction(trade.operator_id) as tx:
        await posts(tx, "before")
        agreeing = asyncio.create_task(desk.agrees(asked))
        await asyncio.sleep(0.3)
        assert not agreeing.done()
    assert await agreeing
    async with trade.database.transaction(trade.operator_id) as tx:
        await posts(tx, "after")
    rows = await admin.fetch("select source_id, effective_day from payments.journal where source_type = 'test'")
    effective = {row["source_id"]: row["effective_day"] for row in rows}
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


# Pages


@pytest.fixture
async def manager(app: object) -> AsyncIterator[httpx.AsyncClient]:
    """A second browser, in which the manager of Văn Miếu is logged in."""
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://test.local") as browser:
        assert (await log_in(browser, "quanly@vanmieu")).status_code == 303
        yield browser


async def test_the_clerk_asks_the_manager_agrees_and_everybody_sees_it_until_it_is_closed_again(
    desk: Desk, first: date, clerk: httpx.AsyncClient, manager: httpx.AsyncClient
) -> None:
    page, alarm = "/finance/days", "was opened again and is not closed yet"

    async def seen(browser: httpx.AsyncClient, path: str = page) -> str:
        return (await browser.get(f"{path}{'&' if '?' in path else '?'}lang=en")).text

    async def decides(browser: httpx.AsyncClient, way: str, **said: str) -> httpx.Response:
        shown = await seen(browser)
        found = re.search(rf'action="({page}/requests/[^/]+/{way})"', shown)
        assert found, shown
        return await press(browser, page, found[1], **said)

    last = await closed_through(desk, end_of_month(first))
    assert f"{page}/reopen" not in await seen(manager), "who may not close a day asks for none"
    form = {"day": last.isoformat(), "reason": "quên một phiếu"}
    for _ in range(2):
        asked = await press(clerk, page, f"{page}/reopen", **form)
        assert asked.headers["location"] == f"{page}#waiting"
    shown = await seen(clerk)
    assert "You asked for this yourself" in shown
    assert re.search(r"<button[^>]* disabled>Agree: open", shown), "his own is greyed out"
    own = await decides(clerk, "agree")
    assert own.status_code == 403
    assert "wait for a second person: 1." in await seen(manager, "/finance/day")
    assert (await decides(manager, "refuse", reason="")).status_code == 422
    assert (await decides(manager, "refuse", reason="không cần")).status_code == 303
    await press(clerk, page, f"{page}/reopen", **form)
    assert (await decides(clerk, "refuse")).status_code == 303, "withdrawn"
    await press(clerk, page, f"{page}/reopen", **form)
    assert (await decides(manager, "agree")).status_code == 303
    for path in ("/finance/", "/finance/day", "/finance/queue", page):
        assert alarm in await seen(clerk, path), path
    assert (await clerk.get("/api/v1/finance/day")).json()["reopened"][0]["reason"] == "quên một phiếu"
    listed = (await clerk.get(f"/api/v1{page}")).json()
    assert (listed["days"][0]["state"], listed["months"][-1]["state"]) == ("reopened", "open")

    desk.trade.now = clock.start_of_day(last) + timedelta(hours=9)
    await desk.trade.pays(desk.trade.line(30_000))
    assert (await press(clerk, page, f"{page}/close", day=last.isoformat())).status_code == 303
    shown = await seen(clerk, f"{page}?day={last.isoformat()}")
    for said in (
        "Close 1",
        "Close 2",
        "Change from close 1 to close 2",
        "30,000",
        "Phạm Quốc Dũng",
        "This close has ended",
    ):
        assert said in shown, said
    assert alarm not in await seen(clerk, "/finance/")

    locked = await press(clerk, page, f"{page}/lock", month=first.replace(day=1).isoformat())
    assert locked.headers["location"] == f"{page}#waiting"
    assert (await decides(manager, "agree")).status_code == 303
    assert f"{page}/reopen" not in await seen(clerk)
    late = await press(clerk, page, f"{page}/reopen", **form)
    assert late.status_code == 409
    listed = (await clerk.get(f"/api/v1{page}")).json()
    assert listed["months"][-1] | {"at": None} == {
        "month": first.replace(day=1).isoformat(),
        "state": "locked",
        "asked_by": "Lê Thu Cúc",
        "agreed_by": "Phạm Quốc Dũng",
        "at": None,
    }
    assert [close["number"] for close in listed["days"][0]["closes"]] == [1, 2]
    assert "đã khóa kỳ" in (await clerk.get(f"{page}?lang=vi")).text
