"""The days of an operator's books: which are closed, by whom, what every account held; and closing the next one."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse

from foundation import clock
from foundation.operator import operator_name
from foundation.web import Clerk, Here, Language, permit
from payments import day_close, ledger
from payments.finance.page import page

routes = APIRouter(tags=["finance"])


@routes.get("/finance/days", include_in_schema=False)
@permit("finance:read")
async def days_page(
    request: Request, here: Here, person: Clerk, language: Language, day: clock.Day | None = None
) -> Response:
    """The closed days, the next to be closed, and the trial balance of the chosen day."""
    async with here.database.transaction(person.operator_id, isolation="repeatable read") as tx:
        now = await clock.now(tx)
        today = clock.hanoi_day(now)
        closed = await day_close.closed_days(tx)
        following = await day_close.next_day(tx)
        chosen = day or (closed[0].day if closed else today)
        accounts = await ledger.balances(tx, chosen)
        name = await operator_name(tx, language)
    return page(
        request,
        "days",
        person,
        language,
        now,
        operator_name=name,
        closed=closed,
        following=following if following and following < today else None,
        chosen=chosen,
        is_closed=bool(closed) and chosen <= closed[0].day,
        today=today,
        accounts=accounts,
    )


@routes.get("/api/v1/finance/balances")
@permit("finance:read")
async def balances_json(here: Here, person: Clerk, day: clock.Day, answer: Response) -> dict[str, Any]:
    """The trial balance of a day: per account debits and credits of the day and debits − credits at its end (VND)."""
    answer.headers["cache-control"] = "no-store"
    async with here.database.transaction(person.operator_id, isolation="repeatable read") as tx:
        closed = await day_close.closed_days(tx, most=1)
        return {
            "day": day,
            "closed": bool(closed) and day <= closed[0].day,
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
