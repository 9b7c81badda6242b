"""A wrong statement is withdrawn by two: it counts no more, nothing of it is lost, and the true one is taken in."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import date, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from acts import log_in, press
from banking import OF_WITHDRAWALS, Statements, only
from fastapi import FastAPI
from paying import Desk
from trade import Trade

from foundation import clock
from payments import bank_statement, book_request, books, day_close, match_by_hand, refund, statement_withdrawal
from payments.application import apply_receipt
from payments.bank_statement import NoSuchStatement
from payments.book_request import BookRequestDecided, BookRequestWaits, MonthLocked, NoSuchBookRequest, OwnBookRequest
from payments.claim import Difference
from payments.held import ReasonMissing
from payments.proof_of_cash import CashProof, ItemsUnnamed, StatementAwaited, prove_cash
from payments.statement_withdrawal import StatementContinued, StatementDayClosed, StatementUncounted

ONE = timedelta(days=1)
WHY = "sao kê giả"


@pytest.fixture
async def desk(trade: Trade) -> Desk:
    return await Desk.of(trade)


async def asks(desk: Desk, statement_id: UUID, who: str = "ketoan", reason: str = WHY) -> UUID:
    asked: UUID = await desk.does(statement_withdrawal.ask, statement_id, staff_id=desk.people[who], reason=reason)
    return asked


async def agrees(desk: Desk, request_id: UUID, who: str = "quanly") -> bool:
    trade = desk.trade
    return await statement_withdrawal.agree(
        trade.database, trade.sealer, trade.operator_id, request_id, staff_id=desk.people[who], now=trade.now
    )


async def withdrawn(desk: Desk, statement_id: UUID) -> None:
    assert await agrees(desk, await asks(desk, statement_id))


async def matches(desk: Desk, bank: Statements, *refs: str, difference: Difference | None = None, who: str) -> UUID:
    ids = [item["id"] for ref in refs for item in await bank.open() if item["bank_ref"] == ref]
    act: UUID = await desk.does(
        match_by_hand.match, ids, difference=difference, reason="?", staff_id=desk.people[who], limit_vnd=200_000
    )
    return act


async def books_it(desk: Desk, bank: Statements, ref: str, who: str = "quanly") -> None:
    (id,) = [item["id"] for item in await bank.open() if item["bank_ref"] == ref]
    await desk.does(match_by_hand.book, desk.trade.database, desk.trade.sealer, id, staff_id=desk.people[who])


async def proof(desk: Desk, day: date) -> CashProof:
    async with desk.trade.database.transaction(desk.trade.operator_id) as tx:
        return await prove_cash(tx, day)


async def stands(admin: asyncpg.Connection, desk: Desk, account: str) -> int:
    return int(
        await admin.fetchval(
            "select coalesce(sum(case $2 when debit then amount_vnd when credit then -amount_vnd end), 0)"
            " from payments.transfer where operator_id = $1",
            desk.trade.operator_id,
            account,
        )
    )


async def test_a_forged_statement_is_withdrawn_and_the_true_one_closes_its_day(
    desk: Desk, admin: asyncpg.Connection
) -> None:
    trade, bank, day = desk.trade, Statements(desk.trade), clock.hanoi_day(desk.trade.now)
    account = f"bank:{'/'.join(trade.account)}"
    await trade.transfers("?", 70_000, bank_ref="FT1")
    await trade.transfers("?", 30_000, bank_ref="FT2")
    forged = bank.day(bank.line("FT1", 70_000), bank.line("FAKE", 500_000), bank.line("OUT", -40_000))
    given = only(await bank.load(forged, who=desk.people["ketoan"]))
    await books_it(desk, bank, "FAKE")
    await books_it(desk, bank, "OUT")
    bank.balance_vnd = 0
    true = bank.day(bank.line("FT1", 70_000), bank.line("FT2", 30_000))
    assert only(await bank.load(true)).state == "quarantined", "the forged one stands in its way"

    asked = await asks(desk, given.id)
    assert await stands(admin, desk, account) == 530_000, "asking changes nothing"
    assert await agrees(desk, asked)
    assert not await agrees(desk, asked), "a second click changes nothing"
    assert (await stands(admin, desk, account), (await books.prove(admin)).findings) == (0, ())
    items = {item["bank_ref"]: (item["side"], item["told_by"]) for item in await bank.open()}
    items_of = {item["bank_ref"]: item["movement_id"] for item in await bank.open()}
    assert items == {
        "FT1": ("movement", None),
        "FT2": ("movement", None),
        "FAKE": ("movement", given.id),
        "OUT": ("movement", given.id),
    }
    async with trade.database.transaction(trade.operator_id) as tx:
        assert await bank_statement.head(tx, given.bank_account) is None
        assert len(await bank_statement.lines(tx, given.id, first=0, most=10)) == 3, "its lines stay to be seen"
        row = await statement_withdrawal.of(tx, given.id)
    assert (row["asker"], row["agreer"], row["reason"]) == ("Lê Thu Cúc", "Phạm Quốc Dũng", WHY)
    assert (row["undone"], row["undone_vnd"], row["alone"], row["alone_vnd"]) == (3, 530_000, 2, 460_000)
    undone = await admin.fetchrow("select * from payments.matching_event where act = 'undone'")
    assert undone is not None
    assert (undone["lines"], undone["staff_id"], undone["agreed_by"]) == (
        3,
        desk.people["ketoan"],
        desk.people["quanly"],
    )
    trail = await admin.fetch("select act, subject from foundation.audit_entry where act like 'withdraw.%' order by id")
    assert [tuple(each) for each in trail] == [
        ("withdraw.requested", f"statement {given.id}"),
        ("withdraw.agreed", f"statement {given.id}"),
    ]

    taken = only(await bank.load(true))
    assert (taken.state, taken.lines) == ("accepted", 2)
    assert await stands(admin, desk, account) == 100_000
    applied = await apply_receipt(trade.database, trade.operator_id, items_of["FAKE"], now=trade.now)
    assert applied == "unknown_reference"
    with pytest.raises(refund.MoneyUnproven):
        await desk.does(
            refund.request, items_of["FAKE"], None, staff_id=desk.people["ketoan"], reason="?", limit_vnd=10**9
        )
    trade.now += ONE
    hindered = await proof(desk, day)
    assert (hindered.difference_vnd, type(hindered.hindrance())) == (0, ItemsUnnamed), "who knows what FAKE is?"
    answers: dict[str, Difference] = {"FAKE": "shortage", "OUT": "interest"}
    for ref, difference in answers.items():
        ask = await matches(desk, bank, ref, difference=difference, who="ketoan")
        if ref == "FAKE":
            await desk.does(match_by_hand.decide_ask, ask, agree=True, staff_id=desk.people["quanly"])
    assert await desk.closes(day)
    assert (await proof(desk, day)).difference_vnd == 0
    assert (await books.prove(admin)).findings == ()
    with pytest.raises(StatementDayClosed) as closed:
        await asks(desk, taken.id)
    assert closed.value.facts == {"day": day}


async def test_the_first_statement_of_all_with_a_wrong_opening_is_no_dead_end(
    desk: Desk, admin: asyncpg.Connection
) -> None:
    trade, bank, day = desk.trade, Statements(desk.trade), clock.hanoi_day(desk.trade.now)
    await trade.transfers("?", 70_000, bank_ref="FT1")
    lines = [bank.line("FT1", 70_000), bank.line("", 5_000, text="lãi"), bank.line("", 5_000, text="lãi")]
    wrong = bank.day(*lines, opening_vnd=999)
    first = only(await bank.load(wrong, who=desk.people["ketoan"]))
    await withdrawn(desk, first.id)
    right = bank.day(*lines, opening_vnd=0)
    second = only(await bank.load(right, who=desk.people["ketoan"]))
    assert (second.state, second.lines, second.known) == ("accepted", 3, 0), "the same lines, as if never told"
    again = only(await bank.load(replace(right, number=99)))
    assert (again.state, again.known) == ("known", 3), "and told again they are known"
    assert (await proof(desk, day)).difference_vnd == 0
    await withdrawn(desk, second.id)
    third = only(await bank.load(right, who=desk.people["ketoan"]))
    assert (third.state, third.lines) == ("accepted", 3), "withdrawn by mistake: the same file, given in again"
    assert (await proof(desk, day)).difference_vnd == 0
    assert (await books.prove(admin)).findings == ()
    async with trade.database.transaction(trade.operator_id) as tx:
        listed = await bank_statement.listed(tx, most=10)
    assert [row["withdrawn_at"] is not None for row in listed] == [False, False, True, True]


async def test_only_the_newest_is_withdrawn_by_two_and_while_its_days_are_open(
    desk: Desk, admin: asyncpg.Connection
) -> None:
    trade, bank = desk.trade, Statements(desk.trade)
    day = clock.hanoi_day(trade.now).replace(day=1) - 2 * ONE
    trade.now = clock.start_of_day(day) + timedelta(hours=9)
    await trade.transfers("?", 70_000, bank_ref="FT1")
    one = only(await bank.load(bank.day(bank.line("FT1", 70_000))))
    trade.now += ONE
    two = only(await bank.load(bank.day(bank.line("FT2", 5_000))))
    waits = only(await bank.load(bank.day(opening_vnd=1)))
    with pytest.raises(StatementContinued) as continued:
        await asks(desk, one.id)
    assert continued.value.facts == {"day": two.day}
    for id, refusal in ((waits.id, StatementUncounted), (uuid4(), NoSuchStatement)):
        with pytest.raises(refusal):
            await asks(desk, id)
    with pytest.raises(ReasonMissing):
        await asks(desk, two.id, reason=" ")

    asked = await asks(desk, two.id)
    assert await asks(desk, two.id) == asked, "a second click asks for nothing more"
    with pytest.raises(BookRequestWaits):
        await asks(desk, two.id, "quanly")
    with pytest.raises(OwnBookRequest):
        await agrees(desk, asked, "ketoan")
    refuse = book_request.refuse
    with pytest.raises(ReasonMissing):
        await desk.does(refuse, asked, staff_id=desk.people["quanly"], reason="")
    assert await desk.does(refuse, asked, staff_id=desk.people["quanly"], reason="đúng mà")
    with pytest.raises(BookRequestDecided):
        await agrees(desk, asked)
    own = await asks(desk, two.id)
    assert await desk.does(refuse, own, staff_id=desk.people["ketoan"], reason=""), "taken back"
    for nothing in (uuid4(), await asks(desk, two.id)):
        if nothing != own:
            with pytest.raises(NoSuchBookRequest):
                await book_request.agree(
                    trade.database, trade.operator_id, nothing, staff_id=desk.people["quanly"], now=trade.now
                )
    with pytest.raises(NoSuchBookRequest):
        await agrees(desk, uuid4())

    (late,) = [row["id"] for row in await admin.fetch("select id from payments.book_request where state = 'requested'")]
    last = day + ONE
    for each in (day, last):
        assert await desk.closes(each)
    for refused in (agrees(desk, late), asks(desk, two.id)):
        with pytest.raises(StatementDayClosed):
            await refused
    await desk.reopens(last)
    assert await agrees(desk, late), "its day is open again"
    with pytest.raises(StatementUncounted):
        await asks(desk, two.id)
    with pytest.raises(StatementDayClosed):
        await asks(desk, one.id)
    assert (await books.prove(admin)).findings == ()
    bank.balance_vnd = 70_000
    three = only(await bank.load(bank.day(bank.line("FT2", 5_000))))
    assert await desk.closes(last)
    await desk.locks(last)
    with pytest.raises(MonthLocked):
        await asks(desk, three.id)
    assert (await books.prove(admin)).findings == ()


async def test_what_people_decided_about_its_lines_is_undone_with_it_and_what_they_asked_is_refused(
    desk: Desk, admin: asyncpg.Connection
) -> None:
    trade, bank = desk.trade, Statements(desk.trade)
    for ref, amount_vnd in (("A1", 40_000), ("B1", 900_000), ("C1", 8_000), ("D1", 600_000)):
        await trade.transfers("?", amount_vnd, bank_ref=ref)
    before = only(await bank.load(bank.day(bank.line("X1", 10_000)), who=desk.people["ketoan"]))
    trade.now += ONE
    given = only(
        await bank.load(
            bank.day(
                bank.line("X2", 30_000), bank.line("B1", 500_000), bank.line("C1", 7_990), bank.line("D1", 100_000)
            ),
            who=desk.people["ketoan"],
        )
    )
    await matches(desk, bank, "X1", "X2", "A1", who="ketoan")  # two lines, of two statements, and one receipt
    ask = await matches(desk, bank, "B1", difference="shortage", who="ketoan")
    await desk.does(match_by_hand.decide_ask, ask, agree=True, staff_id=desk.people["quanly"])
    await matches(desk, bank, "C1", difference="rounding", who="ketoan")
    await matches(desk, bank, "D1", difference="shortage", who="ketoan")
    assert (await stands(admin, desk, "losses"), await stands(admin, desk, "rounding")) == (400_000, 10)
    await withdrawn(desk, given.id)
    assert (await stands(admin, desk, "losses"), await stands(admin, desk, "rounding")) == (0, 0)
    items = sorted((item["side"], item["bank_ref"], item["statement_id"]) for item in await bank.open())
    assert items == [
        ("line", "X1", before.id),
        *(("movement", ref, None) for ref in ("A1", "B1", "C1", "D1")),
    ]
    told = await admin.fetchval("select facts from payments.matching_event where act = 'undone'")
    assert told.count("movement_id") == 4, "what people matched stands in the event that undid it"
    assert await admin.fetchval("select agreed from payments.matching_ask where amount_vnd = -500000") is False
    assert (
        await admin.fetchval(
            "select count(*) from payments.suggestion_item i where not exists"
            " (select from payments.open_item o where o.id = i.item_id)"
        )
        == 0
    )
    assert (await books.prove(admin)).findings == ()


async def test_two_managers_a_run_and_a_clerk_at_the_same_moment_leave_one_withdrawal(
    desk: Desk, admin: asyncpg.Connection
) -> None:
    trade, bank = desk.trade, Statements(desk.trade)
    for n in range(5):
        await trade.transfers("?", 10_000 + n, bank_ref=f"FT{n}")
    forged = bank.day(*(bank.line(f"FT{n}", 10_000 + n) for n in range(3)), bank.line("X", 10_003))
    given = only(await bank.load(forged, who=desk.people["ketoan"], run=False))
    await bank.match()
    asked = await asks(desk, given.id)
    behind = bank.day(bank.line("FT4", 10_004), day=bank.today)
    done: Any = await asyncio.gather(
        agrees(desk, asked),
        agrees(desk, asked),
        bank.match(),
        matches(desk, bank, "X", "FT3", difference=None, who="ketoan"),
        bank.load(behind, run=False),
        agrees(desk, asked),
        return_exceptions=True,
    )
    managers = [done[0], done[1], done[5]]
    if True in managers:
        assert managers.count(True) == 1 and managers.count(False) == 2, done
        assert given.id not in {item["statement_id"] for item in await bank.open()}
    else:  # another was taken in behind it first, and it is not the newest any more
        assert all(isinstance(each, StatementContinued) for each in managers), done
        assert only(done[4]).state == "accepted"
    await bank.match()
    assert (await books.prove(admin)).findings == ()


async def test_a_day_is_closed_with_its_statement_or_the_statement_withdrawn_never_both(desk: Desk) -> None:
    trade, bank, day = desk.trade, Statements(desk.trade), clock.hanoi_day(desk.trade.now)
    await trade.transfers("?", 70_000, bank_ref="FT1")
    given = only(await bank.load(bank.day(bank.line("FT1", 70_000))))
    trade.now += ONE
    request = await asks(desk, given.id)
    closing = day_close.close_day(trade.database, trade.operator_id, day, staff_id=desk.people["ketoan"], now=trade.now)
    closed, gone = await asyncio.gather(closing, agrees(desk, request), return_exceptions=True)
    if closed is True:
        assert isinstance(gone, StatementDayClosed)
    else:
        assert gone is True
        assert isinstance(closed, StatementAwaited)
        assert isinstance((await proof(desk, day)).hindrance(), StatementAwaited)


async def test_a_withdrawn_statement_that_counts_or_that_nobody_wanted_is_found_and_named(
    desk: Desk, admin: asyncpg.Connection
) -> None:
    trade, bank, day = desk.trade, Statements(desk.trade), clock.hanoi_day(desk.trade.now)
    await trade.transfers("?", 70_000, bank_ref="FT1")
    wrong = only(await bank.load(bank.day(bank.line("FT1", 70_000), bank.line("X", 1_000)), who=desk.people["ketoan"]))
    await withdrawn(desk, wrong.id)
    bank.balance_vnd = 0
    await bank.load(bank.day(bank.line("FT1", 70_000)))
    trade.now += ONE
    assert await desk.closes(day)
    await admin.execute("set jit = off")
    assert (await books.prove(admin)).findings == ()
    await admin.execute("set session_replication_role = replica")
    for rule, plant in OF_WITHDRAWALS:
        vandalism = admin.transaction()
        await vandalism.start()
        assert await admin.execute(plant) not in ("UPDATE 0", "DELETE 0", "INSERT 0 0"), plant
        found = await books.prove(admin)
        await vandalism.rollback()
        assert rule in {finding.rule for finding in found.findings}, plant


# Pages


@pytest.fixture
async def manager(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A second browser, in which the manager of Văn Miếu is logged in."""
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test.local") as browser:
        assert (await log_in(browser, "quanly@vanmieu")).status_code == 303
        yield browser


async def test_the_clerk_asks_on_its_page_the_manager_agrees_and_everybody_sees_that_it_counts_no_more(
    desk: Desk, clerk: httpx.AsyncClient, manager: httpx.AsyncClient
) -> None:
    trade, bank = desk.trade, Statements(desk.trade)
    await trade.transfers("?", 70_000, bank_ref="FT1")
    given = only(
        await bank.load(bank.day(bank.line("FT1", 70_000), bank.line("FAKE", 9_000)), who=desk.people["ketoan"])
    )
    await books_it(desk, bank, "FAKE")
    page = f"/finance/statements/{given.id}"

    async def seen(browser: httpx.AsyncClient, path: str = page) -> str:
        return (await browser.get(f"{path}{'&' if '?' in path else '?'}lang=en")).text

    assert f"{page}/withdraw" in await seen(clerk)
    assert f"{page}/withdraw" not in await seen(manager), "who takes none in withdraws none"
    assert (await press(clerk, page, f"{page}/withdraw", reason="")).status_code == 422
    for _ in range(2):
        asked = await press(clerk, page, f"{page}/withdraw", reason=WHY)
        assert asked.headers["location"] == f"{page}#waiting"
    (agree,) = set(re.findall(rf'action="({page}/withdrawals/[^"]+/agree)"', await seen(manager)))
    assert re.search(r"<button[^>]* disabled>Agree: it counts no more", await seen(clerk)), "his own is greyed out"
    assert (await press(clerk, page, agree)).status_code == 403
    assert (
        await press(manager, page, agree.replace("statements/", "days/").split("/withdrawals")[0])
    ).status_code == 404
    for path in ("/finance/days", "/finance/"):
        assert WHY in await seen(manager, path), path
    assert agree in await seen(manager, "/finance/days")
    needs = (await manager.get("/api/v1/finance/overview")).json()["needs"]
    assert [(need["count"], need["sum_vnd"]) for need in needs if need["kind"] == "withdrawals"] == [(1, 79_000)]
    assert (await press(manager, page, agree)).headers["location"] == page
    assert (await press(manager, "/finance/", agree)).status_code == 303, "a second click"
    for browser in (clerk, manager):
        shown = await seen(browser)
        for said in (
            "this statement counts no more",
            WHY,
            "Lê Thu Cúc",
            "Phạm Quốc Dũng",
            "Only this statement told of 1",
        ):
            assert said in shown, said
        assert f"{page}/withdraw" not in shown
    assert "withdrawn" in await seen(clerk, "/finance/statements")
    assert "counts no more" in await seen(clerk, f"/finance/lines/{given.id}/0")
    assert "on a withdrawn statement" in await seen(clerk, "/finance/search?q=FAKE")
    assert "no statement yet" in await seen(clerk, "/finance/statements")
    (item,) = [each for each in await bank.open() if each["bank_ref"] == "FAKE"]
    assert page in await seen(clerk, f"/finance/reconciliation/items/{item['id']}"), "where it came from"
    assert "undone" in await seen(clerk, "/finance/reconciliation/history")
    assert "agreed to withdraw" in await seen(clerk, "/finance/audit")
    (said,) = (await clerk.get("/api/v1/finance/statements")).json()
    assert said["withdrawn_at"]
    for path in (page, "/finance/days", "/finance/statements", f"/finance/lines/{given.id}/0"):
        assert "finance." not in re.sub(r'(href|action|src)="[^"]*"', "", (await clerk.get(f"{path}?lang=vi")).text)
