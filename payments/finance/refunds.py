"""Finance's pages of what goes back: asking for it, agreeing to it, what became of it; and a payment with its history."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Annotated, Any
from urllib.parse import quote
from uuid import UUID

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse

from foundation import audit, clock, idempotency
from foundation.database import Tx
from foundation.operator import operator_name
from foundation.staff import OnDuty
from foundation.web import Clerk, FormVnd, Here, Language, permit
from payments import fiscal, open_items, payee_statement, payment, refund
from payments import give_back as giving_back
from payments.explain import explain
from payments.finance.page import page
from payments.gateway import vietqr

routes = APIRouter(tags=["finance"])
LISTED_MAX = 100
GROUPS = {
    "requested": ("requested",),
    "unclear": ("asking", "unknown"),
    "on_its_way": ("approved", "accepted"),
    "failed": ("returned", "refused"),
    "settled": ("settled",),
    "rejected": ("rejected",),
}
"""How the list is divided, what needs a person first; each with its states."""
LISTED = (
    "select f.id, f.receipt_id, f.amount_vnd, f.state, f.reason, f.why, f.requested_at, f.requested_by, f.approved_at,"
    " f.leaves_from, f.asked_at, f.accepted_at, f.ended_at, f.debit_ref, f.return_ref, f.to_sealed is not null as to_named,"
    " r.bank_ref, r.gateway, r.paid_at, r.amount_vnd as arrived_vnd, c.reference as charge, p.name as requester,"
    " a.name as approver"
    " from payments.refund f"
    " join payments.receipt r on r.operator_id = f.operator_id and r.id = f.receipt_id"
    " join payments.held h on h.operator_id = f.operator_id and h.receipt_id = f.receipt_id"
    " join foundation.staff p on p.operator_id = f.operator_id and p.id = f.requested_by"
    " left join foundation.staff a on a.operator_id = f.operator_id and a.id = f.approved_by"
    " left join payments.charge c on c.operator_id = h.operator_id and c.id = h.charge_id"
    " where f.operator_id = $1"
)


@routes.get("/finance/refunds", include_in_schema=False)
@permit("finance:read")
async def refunds_page(request: Request, here: Here, person: Clerk, language: Language) -> Response:
    """All refunds by how far they are: what waits for a second person and what is unclear stand first."""
    async with here.database.transaction(person.operator_id, isolation="repeatable read") as tx:
        now, name = await clock.now(tx), await operator_name(tx, language)
        groups = [(group, *await _group(tx, states)) for group, states in GROUPS.items()]
        wanted = await giving_back.waiting(tx, most=LISTED_MAX)
    return page(request, "refunds", person, language, now, operator_name=name, groups=groups, wanted=wanted)


@routes.get("/api/v1/finance/refunds")
@permit("finance:read")
async def refunds_json(here: Here, person: Clerk, answer: Response, state: str = "") -> list[dict[str, Any]]:
    """The same for programs, the latest first: amounts in VND, instants in UTC; `state` is one of `refund_states`."""
    answer.headers["cache-control"] = "no-store"
    async with here.database.transaction(person.operator_id) as tx:
        rows = await tx.rows(
            LISTED + " and ($2 = '' or f.state = $2) order by f.requested_at desc, f.id desc limit $3",
            tx.operator_id,
            state,
            LISTED_MAX,
        )
    return [dict(row) for row in rows]


@routes.get("/finance/refunds/{id}", include_in_schema=False)
@permit("finance:read")
async def refund_page(request: Request, here: Here, person: Clerk, language: Language, id: UUID) -> Response:
    """One refund: what it is, who asked and agreed, every word of the gateway, what was posted."""
    return await _refund_page(request, here, person, language, id)


@routes.post("/finance/refunds/{id}/approve", include_in_schema=False)
@permit("finance:approve")
async def approve(here: Here, person: Clerk, id: UUID) -> Response:
    """A second person agrees."""
    async with here.database.transaction(person.operator_id) as tx:
        await refund.approve(tx, id, staff_id=person.staff_id, now=await clock.now(tx))
    return RedirectResponse(f"/finance/refunds/{id}", 303)


@routes.post("/finance/refunds/{id}/reject", include_in_schema=False)
@permit("finance:approve")
async def reject(here: Here, person: Clerk, id: UUID, reason: Annotated[str, Form(max_length=300)] = "") -> Response:
    """It does not go: the money is held as before."""
    async with here.database.transaction(person.operator_id) as tx:
        await refund.reject(tx, id, staff_id=person.staff_id, reason=reason, now=await clock.now(tx))
    return RedirectResponse(f"/finance/refunds/{id}", 303)


@routes.post("/finance/refunds/{id}/read", include_in_schema=False)
@permit("finance:approve")
async def read_account(request: Request, here: Here, person: Clerk, language: Language, id: UUID) -> Response:
    """The account that the payer named, in clear, once; that it was read is written down first."""
    async with here.database.transaction(person.operator_id) as tx:
        sealed: bytes | None = await tx.value(
            "select to_sealed from payments.refund where operator_id = $1 and id = $2", tx.operator_id, id
        )
        if sealed is None:
            raise refund.NoAccountNamed()
        await audit.note(tx, person.staff_id, "refund.account_read", f"refund {id}", now=await clock.now(tx))
    named = json.loads(await here.sealer.open(sealed, context=refund.TO))
    return await _refund_page(request, here, person, language, id, named=named)


@routes.post("/finance/queue/{receipt_id}/send-back", include_in_schema=False)
@permit("finance:handle")
async def send_back(
    here: Here,
    person: Clerk,
    receipt_id: UUID,
    key: Annotated[str, Form(min_length=1, max_length=255)],
    amount_vnd: FormVnd,
    reason: Annotated[str, Form(max_length=300)] = "",
    to_named: Annotated[bool, Form()] = False,
) -> Response:
    """Held money is to go back, the way it came or to the account its payer named."""

    async def act(tx: Tx) -> list[UUID]:
        id = await refund.request(
            tx,
            receipt_id,
            amount_vnd,
            staff_id=person.staff_id,
            reason=reason,
            limit_vnd=here.settings.refund_limit_vnd,
            to_named=to_named,
            now=await clock.now(tx),
        )
        return [id]

    asked = {"receipt": receipt_id, "amount_vnd": amount_vnd, "reason": reason, "to_named": to_named}
    (id,) = await _once(here, person, "refund.request", key, asked, act)
    return RedirectResponse(f"/finance/refunds/{id}", 303)


@routes.get("/finance/charges", include_in_schema=False)
@permit("finance:read")
async def find_charge(here: Here, person: Clerk, reference: str = "") -> Response:
    """From the search box to the payment's page; with nothing in it, back to where it stands."""
    sought = quote(reference.strip().upper(), safe="")
    return RedirectResponse(f"/finance/charges/{sought}" if sought else "/finance/", 303)


@routes.get("/finance/charges/{reference}", include_in_schema=False)
@permit("finance:read")
async def charge_page(request: Request, here: Here, person: Clerk, language: Language, reference: str) -> Response:
    """A payment: what it was for, what came for it, what was given back, its whole history."""
    async with here.database.transaction(person.operator_id, isolation="repeatable read") as tx:
        now, name = await clock.now(tx), await operator_name(tx, language)
        owed = await payment.find(tx, reference=reference.upper())
        given_back_vnd: int = await tx.value(
            "select given_back_vnd from payments.charge where operator_id = $1 and id = $2", tx.operator_id, owed.id
        )
        lines = await tx.rows(
            "select l.purpose, l.reference, l.service, l.amount_vnd, p.means, p.channel from payments.charge_line l"
            " left join payments.line_paid p"
            "   on p.operator_id = l.operator_id and p.charge_id = l.charge_id and p.line_no = l.line_no"
            " where l.operator_id = $1 and l.charge_id = $2 order by l.line_no",
            tx.operator_id,
            owed.id,
        )
        known = await explain(tx, [(row["purpose"], row["reference"]) for row in lines])
        receipts = await tx.rows(
            "select r.id, r.bank_ref, r.paid_at, r.amount_vnd, o.outcome, o.applied_vnd, o.held_vnd,"
            " h.receipt_id is not null as queued"
            " from payments.receipt_outcome o"
            " join payments.receipt r on r.operator_id = o.operator_id and r.id = o.receipt_id"
            " left join payments.held h on h.operator_id = o.operator_id and h.receipt_id = o.receipt_id"
            " where o.operator_id = $1 and o.charge_id = $2"
            " union all"
            " select r.id, r.bank_ref, r.paid_at, r.amount_vnd, 'assigned', u.amount_vnd, 0, true"
            " from payments.held_use u"
            " join payments.receipt r on r.operator_id = u.operator_id and r.id = u.receipt_id"
            " where u.operator_id = $1 and u.charge_id = $2 order by paid_at",
            tx.operator_id,
            owed.id,
        )
        notes = await tx.row(
            "select amount_vnd, number, at from payments.cash_receipt where operator_id = $1 and charge_id = $2",
            tx.operator_id,
            owed.id,
        )
        events = await tx.rows(
            "select state, cause, at from payments.charge_event where operator_id = $1 and charge_id = $2 order by id",
            tx.operator_id,
            owed.id,
        )
        refunds = await tx.rows(
            LISTED + " and f.receipt_id = any($2) order by f.id", tx.operator_id, [row["id"] for row in receipts]
        )
        wanted = await giving_back.waiting(tx, most=1, charge_id=owed.id)
        trail = await audit.of(tx, f"charge {owed.id}")
        parts = await payee_statement.parts_of(tx, owed.id)
        on_statement = await open_items.lines_of(tx, [row["id"] for row in receipts])
        papers = await fiscal.documents(tx, "d.charge_id = $2 order by d.line_no, d.issued_at, d.id", owed.id)
    return page(
        request,
        "charge",
        person,
        language,
        now,
        operator_name=name,
        owed=owed,
        given_back_vnd=given_back_vnd,
        parts=parts,
        papers=papers,
        lines=[(row, known.get((row["purpose"], row["reference"]))) for row in lines],
        receipts=receipts,
        on_statement=on_statement,
        notes=notes,
        events=events,
        refunds=refunds,
        wanted=wanted,
        limit_vnd=here.settings.refund_limit_vnd,
        trail=trail,
    )


@routes.post("/finance/charges/{reference}/give-back", include_in_schema=False)
@permit("finance:handle")
async def give_back(
    here: Here,
    person: Clerk,
    reference: str,
    key: Annotated[str, Form(min_length=1, max_length=255)],
    amount_vnd: FormVnd,
    reason: Annotated[str, Form(max_length=300)] = "",
) -> Response:
    """What was earned is given back, in part or as a whole, and goes back to whoever paid it; or a second person is asked."""

    async def act(tx: Tx) -> list[UUID]:
        return await giving_back.give_back(
            tx,
            reference.upper(),
            amount_vnd,
            staff_id=person.staff_id,
            reason=reason,
            limit_vnd=here.settings.refund_limit_vnd,
            now=await clock.now(tx),
        )

    asked = {"charge": reference.upper(), "amount_vnd": amount_vnd, "reason": reason}
    await _once(here, person, "refund.give_back", key, asked, act)
    return RedirectResponse(f"/finance/charges/{quote(reference.upper(), safe='')}", 303)


@routes.post("/finance/give-backs/{id}/approve", include_in_schema=False)
@permit("finance:approve")
async def approve_give_back(here: Here, person: Clerk, id: UUID) -> Response:
    """A second person agrees: it is given back now."""
    async with here.database.transaction(person.operator_id) as tx:
        reference = await giving_back.approve(tx, id, staff_id=person.staff_id, now=await clock.now(tx))
    return RedirectResponse(f"/finance/charges/{reference}", 303)


@routes.post("/finance/give-backs/{id}/reject", include_in_schema=False)
@permit("finance:approve")
async def reject_give_back(
    here: Here, person: Clerk, id: UUID, reason: Annotated[str, Form(max_length=300)] = ""
) -> Response:
    """It is not given back: nothing has changed."""
    async with here.database.transaction(person.operator_id) as tx:
        reference = await giving_back.reject(tx, id, staff_id=person.staff_id, reason=reason, now=await clock.now(tx))
    return RedirectResponse(f"/finance/charges/{reference}", 303)


async def _once(
    here: Here,
    person: OnDuty,
    route: str,
    key: str,
    asked: dict[str, Any],
    act: Callable[[Tx], Awaitable[list[UUID]]],
) -> list[UUID]:
    """Does it once per key of a form; a second press gets the refunds of the first."""
    async with here.database.transaction(person.operator_id) as tx:

        async def refunds() -> dict[str, list[str]]:
            return {"refunds": [str(id) for id in await act(tx)]}

        answer = await idempotency.once(
            tx, principal=f"staff {person.staff_id}", route=route, key=key, asked=asked, act=refunds
        )
    return [UUID(id) for id in answer["refunds"]]


async def _refund_page(
    request: Request,
    here: Here,
    person: OnDuty,
    language: str,
    id: UUID,
    named: dict[str, str] | None = None,
) -> Response:
    async with here.database.transaction(person.operator_id, isolation="repeatable read") as tx:
        now, name = await clock.now(tx), await operator_name(tx, language)
        item = await tx.row(LISTED + " and f.id = $2", tx.operator_id, id)
        if item is None:
            raise refund.NoSuchRefund()
        events = await tx.rows(
            "select e.state, e.cause, e.why, e.at, s.name from payments.refund_event e"
            " left join foundation.staff s on s.operator_id = e.operator_id and s.id = e.staff_id"
            " where e.operator_id = $1 and e.refund_id = $2 order by e.id",
            tx.operator_id,
            id,
        )
        postings = await tx.rows(
            "with mine as (select id, recorded_at, template from payments.journal"
            "   where operator_id = $1 and source_type = 'refund' and source_id = $2),"
            " all_of as (select * from mine union all select r.id, r.recorded_at, r.template from mine m"
            "   join payments.journal r on r.operator_id = $1 and r.source_type = 'journal' and r.source_id = m.id::text"
            "     and r.purpose = 'reversed')"
            " select j.recorded_at, j.template, t.debit, t.credit, t.amount_vnd from all_of j"
            " join payments.transfer t on t.operator_id = $1 and t.journal_id = j.id order by j.recorded_at",
            tx.operator_id,
            str(id),
        )
    if named is not None:
        named["bank"] = vietqr.bank_name(named["bin"])
    return page(
        request,
        "refund",
        person,
        language,
        now,
        operator_name=name,
        item=item,
        events=events,
        postings=postings,
        named=named,
    )


async def _group(tx: Tx, states: tuple[str, ...]) -> tuple[list[Any], int, int]:
    """The latest refunds in these states, and count and sum of all of them."""
    rows = await tx.rows(
        LISTED + " and f.state = any($2) order by f.requested_at desc, f.id desc limit $3",
        tx.operator_id,
        list(states),
        LISTED_MAX,
    )
    whole = await tx.row(
        "select count(*) as count, coalesce(sum(amount_vnd), 0)::bigint as sum_vnd from payments.refund"
        " where operator_id = $1 and state = any($2)",
        tx.operator_id,
        list(states),
    )
    return rows, whole["count"], whole["sum_vnd"]
