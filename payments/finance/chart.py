"""Finance's page of the chart of accounts: the operator's number for each account of ours, and changing one from a day on."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Annotated, Any

import asyncpg
from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse

from foundation import clock
from foundation.errors import Refusal, refusal_of_constraint
from foundation.operator import operator_name
from foundation.staff import OnDuty
from foundation.web import Clerk, Here, Language, Platform, permit
from payments import chart
from payments.chart import Entry
from payments.finance.journal import account_text
from payments.finance.page import page

routes = APIRouter(tags=["finance"])
Text = Annotated[str, Form(max_length=200)]


@routes.get("/finance/chart", include_in_schema=False)
@permit("finance:read")
async def chart_page(request: Request, here: Here, person: Clerk, language: Language, account: str = "") -> Response:
    """What holds today, what will, and the form to change an account."""
    return await _page(request, here, person, language, {"account": account})


@routes.post("/finance/chart", include_in_schema=False)
@permit("finance:handle")
async def change(
    request: Request,
    here: Here,
    person: Clerk,
    language: Language,
    account: Text,
    number: Text,
    name: Text,
    valid_from: Annotated[clock.Day, Form()],
) -> Response:
    """Changes an account; what was typed stays where it is refused."""
    said = {"number": number, "name": name}
    try:
        async with here.database.transaction(person.operator_id) as tx:
            now = await clock.now(tx)
            await chart.change(tx, account, **said, valid_from=valid_from, staff_id=person.staff_id, now=now)
    except Refusal as refusal:
        typed = {"account": account, **said, "valid_from": valid_from.isoformat()}
        return await _page(request, here, person, language, typed, refusal)
    except asyncpg.UniqueViolationError as error:
        raise refusal_of_constraint(error.constraint_name) or error from error
    return RedirectResponse("/finance/chart", 303)


@routes.get("/api/v1/finance/chart")
@permit("finance:read")
async def chart_json(here: Here, person: Clerk, answer: Response, day: clock.Day | None = None) -> dict[str, Any]:
    """The operator's number for each account of ours on a day (today). `own` is false where it is the platform's default;
    `unmapped` are accounts without a number, because of which nothing is exported."""
    answer.headers["cache-control"] = "no-store"
    async with here.database.transaction(person.operator_id, isolation="repeatable read") as tx:
        day = day or clock.hanoi_day(await clock.now(tx))
        holding = chart.in_force(await chart.entries(tx), day)
        known = await chart.accounts(tx)
    return {
        "day": day,
        "accounts": [
            {
                "account": entry.account,
                "number": entry.number,
                "name": entry.name,
                "valid_from": entry.valid_from,
                "own": entry.version > 0,
            }
            for entry in (holding[account] for account in known if account in holding)
        ],
        "unmapped": [account for account in known if account not in holding],
    }


async def _page(
    request: Request,
    here: Platform,
    person: OnDuty,
    language: str,
    typed: Mapping[str, str],
    refusal: Refusal | None = None,
) -> Response:
    async with here.database.transaction(person.operator_id, isolation="repeatable read") as tx:
        now, operator = await clock.now(tx), await operator_name(tx, language)
        entries, known = await chart.entries(tx), await chart.accounts(tx)
    today = clock.hanoi_day(now)
    holding = chart.in_force(entries, today)
    chosen = typed["account"] if typed["account"] in known else ""
    filled = {"valid_from": (today + timedelta(days=1)).isoformat(), "number": "", "name": ""}
    if chosen in holding:
        filled |= {"number": holding[chosen].number, "name": holding[chosen].name}
    return page(
        request,
        "chart",
        person,
        language,
        now,
        status=refusal.status if refusal else 200,
        operator_name=operator,
        known=known,
        holding=holding,
        later=_later(entries, today),
        former=[entry for entry in entries if entry.version and entry.valid_from <= today],
        account_text=lambda account: account_text(language, account),
        typed={**filled, **typed, "account": chosen},
        refusal=refusal,
    )


def _later(entries: list[Entry], today: date) -> list[Entry]:
    """What will hold, in order of time; what was said twice of a day counts once."""
    said = {(entry.valid_from, entry.account): entry for entry in entries if entry.valid_from > today}
    return [said[key] for key in sorted(said)]
