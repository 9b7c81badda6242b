"""The days and months of an operator's books: which are closed, opened again or locked, by whom, and what every account
held; closing the next day, asking for what two people have to want, agreeing to it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse

from foundation import clock
from foundation.database import Tx
from foundation.operator import operator_name
from foundation.texts import text
from foundation.web import Clerk, Here, Language, permit
from payments import book_request, contract, day_close, ledger
from payments.finance.page import page

routes = APIRouter(tags=["finance"])


@routes.get("/finance/days", include_in_schema=False)
@permit("finance:read")
async def days_page(
    request: Request, here: Here, person: Clerk, language: Language, day: clock.Day | None = None
) -> Response:
    """What waits for a second person, the next day to be closed, a day's trial balance and closes, all days, all months."""
    async with here.database.transaction(person.operator_id, isolation="repeatable read") as tx:
        now = await clock.now(tx)
        today = clock.hanoi_day(now)
        through = await ledger.closed_through(tx)
        closed = await day_close.closed_days(tx)
        following = await day_close.next_day(tx)
        chosen = day or through or today
        of_chosen = await day_close.closed_days(tx, day=chosen)
        accounts = await ledger.balances(tx, chosen)
        changes = {
            close.number: await day_close.differences(tx, chosen, close.number)
            for each in of_chosen
            for close in each.closes[1:]
        }
        months = await book_request.months(tx, until=today)
        waiting, reopened = await book_request.waiting(tx), await book_request.reopened(tx)
        shown = {each.account for each in accounts} | {row.account for rows in changes.values() for row in rows}
        whose = await _owners(tx, language, shown)
        name = await operator_name(tx, language)
    return page(
        request,
        "days",
        person,
        language,
        now,
        operator_name=name,
        waiting=waiting,
        reopened=reopened,
        closed=closed,
        through=through,
        following=following if following and following < today else None,
        chosen=chosen,
        closes=of_chosen[0].closes if of_chosen else (),
        changes=changes,
        is_closed=through is not None and chosen <= through,
        today=today,
        accounts=accounts,
        whose=whose,
        months=months,
        lockable=[each.month for each in months if each.state == "closed"][-1:],
        month_text=book_request.month_text,
    )


async def _owners(tx: Tx, language: str, accounts: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Of the accounts that are a shift's or a payee's: whose, in words, and the page of it ("" where there is none)."""
    shifts = await tx.rows(
        "select s.id, p.code, s.number, a.name from payments.shift s"
        " join foundation.place p on p.operator_id = s.operator_id and p.number = s.place"
        " join foundation.staff a on a.operator_id = s.operator_id and a.id = s.staff_id"
        " where s.operator_id = $1 and s.id = any($2::text[]::uuid[])",
        tx.operator_id,
        [account.removeprefix("cash_drawer:") for account in accounts if account.startswith("cash_drawer:")],
    )
    whose = {
        f"cash_drawer:{row['id']}": (
            f"{text(language, 'finance.shift.one', place=row['code'], number=row['number'])}, {row['name']}",
            f"/finance/shifts/{row['code']}/{row['number']}",
        )
        for row in shifts
    }
    for payee in await contract.payees(tx):
        whose |= {f"{kind}:{payee.id}": (payee.name(language), "") for kind in ("payee_payable", "payee_reserve")}
    return whose


@routes.get("/api/v1/finance/days")
@permit("finance:read")
async def days_json(here: Here, person: Clerk, answer: Response) -> dict[str, Any]:
    """The days that were closed, newest first, with all their closes, and the months; instants in UTC.

    `state` of a day: closed, reopened (it takes postings until it is closed again) or locked; of a month: open, closed
    or locked. The last close of a day that is not reopened is the one that counts. `waiting` waits for a second person.
    """
    answer.headers["cache-control"] = "no-store"
    async with here.database.transaction(person.operator_id, isolation="repeatable read") as tx:
        today = clock.hanoi_day(await clock.now(tx))
        return {
            "closed_through": await ledger.closed_through(tx),
            "days": [asdict(each) for each in await day_close.closed_days(tx)],
            "months": [asdict(each) for each in await book_request.months(tx, until=today)],
            "waiting": [dict(row) for row in await book_request.waiting(tx)],
        }


@routes.get("/api/v1/finance/balances")
@permit("finance:read")
async def balances_json(here: Here, person: Clerk, day: clock.Day, answer: Response) -> dict[str, Any]:
    """The trial balance of a day: per account debits and credits of the day and debits − credits at its end (VND)."""
    answer.headers["cache-control"] = "no-store"
    async with here.database.transaction(person.operator_id, isolation="repeatable read") as tx:
        through = await ledger.closed_through(tx)
        return {
            "day": day,
            "closed": through is not None and day <= through,
            "accounts": await ledger.balances(tx, day),
        }


@routes.post("/finance/days/close", include_in_schema=False)
@permit("finance:handle")
async def close_day(here: Here, person: Clerk, day: Annotated[clock.Day, Form()]) -> Response:
    """Closes the day. 409 day_not_over, day_before_open, books_differ."""
    async with here.database.transaction(person.operator_id) as tx:
        now = await clock.now(tx)
    await day_close.close_day(here.database, person.operator_id, day, staff_id=person.staff_id, now=now)
    return RedirectResponse(f"/finance/days?day={day.isoformat()}", 303)


@routes.post("/finance/days/reopen", include_in_schema=False)
@permit("finance:handle")
async def ask_to_reopen(
    here: Here, person: Clerk, day: Annotated[clock.Day, Form()], reason: Annotated[str, Form(max_length=300)] = ""
) -> Response:
    """Asks that the last closed day be opened again; nothing changes yet."""
    async with here.database.transaction(person.operator_id) as tx:
        await book_request.ask_to_reopen(tx, day, staff_id=person.staff_id, reason=reason, now=await clock.now(tx))
    return RedirectResponse("/finance/days#waiting", 303)


@routes.post("/finance/days/lock", include_in_schema=False)
@permit("finance:handle")
async def propose_lock(here: Here, person: Clerk, month: Annotated[clock.Day, Form()]) -> Response:
    """Proposes to lock a month for good; nothing changes yet."""
    async with here.database.transaction(person.operator_id) as tx:
        await book_request.propose_lock(tx, month, staff_id=person.staff_id, now=await clock.now(tx))
    return RedirectResponse("/finance/days#waiting", 303)


@routes.post("/finance/days/requests/{id}/agree", include_in_schema=False)
@permit("finance:approve")
async def agree(here: Here, person: Clerk, id: UUID) -> Response:
    """A second person agrees: the day is open again, or the month locked."""
    async with here.database.transaction(person.operator_id) as tx:
        now = await clock.now(tx)
    await book_request.agree(here.database, person.operator_id, id, staff_id=person.staff_id, now=now)
    return RedirectResponse("/finance/days", 303)


@routes.post("/finance/days/requests/{id}/refuse", include_in_schema=False)
@permit("finance:approve")
async def refuse(here: Here, person: Clerk, id: UUID, reason: Annotated[str, Form(max_length=300)] = "") -> Response:
    """A second person refuses, or whoever asked withdraws it: all stays as it is."""
    async with here.database.transaction(person.operator_id) as tx:
        await book_request.refuse(tx, id, staff_id=person.staff_id, reason=reason, now=await clock.now(tx))
    return RedirectResponse("/finance/days", 303)
