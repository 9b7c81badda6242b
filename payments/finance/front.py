"""Finance's front page: what needs a hand today, what is late, what is closed."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from foundation import clock
from foundation.operator import operator_name
from foundation.web import Clerk, Here, Language, permit
from payments.book_request import month_text
from payments.finance import overview
from payments.finance.page import page
from payments.finance.words import age

routes = APIRouter(tags=["finance"])
AREAS = {
    "held": "reason",
    "parked": "work",
    "contracts": "service",
    "payouts_failed": "payouts.state",
    "write_offs": "difference",
    "names": "item_name",
}
"""Of which kinds of work the word about an item is a code, and where its words stand."""


@routes.get("/finance/", include_in_schema=False)
@permit("finance:read")
async def front_page(
    request: Request, here: Here, person: Clerk, language: Language, day: clock.Day | None = None
) -> Response:
    """What needs a hand, by amount and age; what is late; what is closed. A day has its own page, and once stood here."""
    if day is not None:
        return RedirectResponse(f"/finance/day?day={day.isoformat()}", 303)
    async with here.database.transaction(person.operator_id, isolation="repeatable read") as tx:
        now, real_now = await clock.now(tx), await tx.value("select clock_timestamp()")
        shown = await overview.of(tx, person.staff_id, now=now)
        name = await operator_name(tx, language)
    return page(
        request,
        "front",
        person,
        language,
        now,
        operator_name=name,
        shown=shown,
        areas=AREAS,
        today=clock.hanoi_day(now),
        month_text=month_text,
        real_age=lambda since: age(language, real_now, since),
    )


@routes.get("/api/v1/finance/overview")
@permit("finance:read")
async def overview_json(here: Here, person: Clerk, answer: Response) -> dict[str, Any]:
    """The same for programs: amounts in VND, instants in UTC. `ages` counts what waits 0–1, 2–3, 4–7 and more days;
    `own` is what the reader asked for himself, so that somebody else decides."""
    answer.headers["cache-control"] = "no-store"
    async with here.database.transaction(person.operator_id, isolation="repeatable read") as tx:
        shown = await overview.of(tx, person.staff_id, now=await clock.now(tx))
    closed, cash, last = shown.closed, shown.closed.cash, shown.closed.books.proof
    return {
        "needs": [asdict(need) for need in shown.needs],
        "late": [asdict(each) for each in shown.late],
        "closed": {
            "closed_through": closed.day,
            "closed_at": closed.at,
            "month": closed.month and asdict(closed.month),
            "cash": {
                "day": cash.day,
                "closing_vnd": cash.closing_vnd,
                "books_vnd": cash.books_vnd,
                "difference_vnd": cash.difference_vnd,
                "awaited": [account.bank_account for account in cash.awaited],
                "unnamed": cash.unnamed,
                "holds": cash.holds,
            },
            "proved_at": last.at if last else None,
            "balanced": last.holds if last else None,
        },
    }
