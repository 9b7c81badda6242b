"""Finance's page of money that left by nobody of us: what the bank says of it, and what a person found out."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import AwareDatetime

from foundation import audit, clock
from foundation.operator import operator_name
from foundation.web import Clerk, Here, Language, permit
from payments import debit
from payments.finance.page import page

routes = APIRouter(tags=["finance"])


@routes.get("/finance/debits/{id}", include_in_schema=False)
@permit("finance:read")
async def debit_page(request: Request, here: Here, person: Clerk, language: Language, id: UUID) -> Response:
    """One debit: what is known, what somebody says it was, what was done."""
    async with here.database.transaction(person.operator_id, isolation="repeatable read") as tx:
        now, name = await clock.now(tx), await operator_name(tx, language)
        item = await debit.find(tx, id)
        trail = await audit.of(tx, f"debit {id}")
    return page(
        request,
        "debit",
        person,
        language,
        now,
        operator_name=name,
        item=item,
        limit_vnd=here.settings.refund_limit_vnd,
        trail=trail,
    )


@routes.post("/finance/debits/{id}/settle", include_in_schema=False)
@permit("finance:handle")
async def settle(
    here: Here,
    person: Clerk,
    id: UUID,
    way: Annotated[debit.Way, Form()],
    bank_ref: Annotated[str, Form(max_length=64)] = "",
    reason: Annotated[str, Form(max_length=300)] = "",
) -> Response:
    """What it was, in the clerk's words; above his limit a second person is asked."""
    async with here.database.transaction(person.operator_id) as tx:
        await debit.settle(
            tx,
            id,
            way,
            bank_ref=bank_ref,
            staff_id=person.staff_id,
            reason=reason,
            limit_vnd=here.settings.refund_limit_vnd,
            now=await clock.now(tx),
        )
    return RedirectResponse(f"/finance/debits/{id}", 303)


@routes.post("/finance/debits/{id}/agree", include_in_schema=False)
@permit("finance:approve")
async def agree(here: Here, person: Clerk, id: UUID, asked_at: Annotated[AwareDatetime, Form()]) -> Response:
    """A second person agrees to what the page showed him."""
    async with here.database.transaction(person.operator_id) as tx:
        await debit.agree(tx, id, asked_at=asked_at, staff_id=person.staff_id, now=await clock.now(tx))
    return RedirectResponse(f"/finance/debits/{id}", 303)
