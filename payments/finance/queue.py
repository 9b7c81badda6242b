"""Finance's queue: money that waits for a person, with its amount, its age and its owner; work that stands still; and on
top of both, days that were opened again and are not closed yet.

One item shows why it waits, what it may have been for, and everything that was done about it. A clerk takes it, says
which payment it was for, or reads what the bank wrote, which is itself written down.
"""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse

from foundation import audit, clock, outbox
from foundation.errors import Refusal
from foundation.operator import operator_name
from foundation.web import Clerk, Here, Language, permit
from payments import application, book_request, debit, held
from payments.finance import refunds as refunds_page
from payments.finance.page import page

routes = APIRouter(tags=["finance"])
LISTED_MAX = 200
BY_HAND = frozenset({"payments.receipt_differs", "payments.unreadable", "payments.attempt_differs"})
"""What no worker can do: a person finds out and says how it was settled. All other work is money's own way, and is only
ever tried again."""


class OnlyTheWorkerCan(Refusal):
    """This can be tried again, not settled by hand: money hangs on it."""


class OnlyAPersonCan(Refusal):
    """No worker can do this; find out, and say how it was settled."""


@routes.get("/finance/queue", include_in_schema=False)
@permit("finance:read")
async def queue_page(
    request: Request, here: Here, person: Clerk, language: Language, mine: bool = False, reason: str = ""
) -> Response:
    """All money that waits, oldest first; `mine` shows what the reader looks after, `reason` one kind of it."""
    async with here.database.transaction(person.operator_id, isolation="repeatable read") as tx:
        now = await clock.now(tx)
        items = await held.waiting(tx, owner_id=person.staff_id if mine else None, reason=reason, most=LISTED_MAX)
        reasons = await tx.rows(
            "select reason, count(*) as count, sum(amount_vnd - used_vnd)::bigint as sum_vnd from payments.held"
            " where operator_id = $1 and closed_at is null group by reason order by reason",
            tx.operator_id,
        )
        debits = await debit.waiting(tx, most=LISTED_MAX)
        reopened = await book_request.reopened(tx)
        name = await operator_name(tx, language)
    return page(
        request,
        "queue",
        person,
        language,
        now,
        operator_name=name,
        items=items,
        reasons=reasons,
        debits=debits,
        reopened=reopened,
        mine=mine,
        reason=reason,
    )


@routes.get("/api/v1/finance/held")
@permit("finance:read")
async def held_json(here: Here, person: Clerk, answer: Response) -> list[dict[str, Any]]:
    """The same for programs: amounts in VND, instants in UTC."""
    answer.headers["cache-control"] = "no-store"
    async with here.database.transaction(person.operator_id) as tx:
        return [dict(row) for row in await held.waiting(tx, most=LISTED_MAX)]


@routes.get("/finance/queue/{receipt_id}", include_in_schema=False)
@permit("finance:read")
async def held_page(request: Request, here: Here, person: Clerk, language: Language, receipt_id: UUID) -> Response:
    """One item: what is known, what it may have been for, what was done."""
    return await _held_page(request, here, person, language, receipt_id)


@routes.post("/finance/queue/{receipt_id}/take", include_in_schema=False)
@permit("finance:handle")
async def take(here: Here, person: Clerk, receipt_id: UUID, leave: Annotated[bool, Form()] = False) -> Response:
    """The reader looks after it from now on, or no longer."""
    async with here.database.transaction(person.operator_id) as tx:
        await held.take(
            tx,
            receipt_id,
            staff_id=person.staff_id,
            owner_id=None if leave else person.staff_id,
            now=await clock.now(tx),
        )
    return _back(receipt_id)


@routes.post("/finance/queue/{receipt_id}/assign", include_in_schema=False)
@permit("finance:handle")
async def assign(
    here: Here,
    person: Clerk,
    receipt_id: UUID,
    reference: Annotated[str, Form(max_length=40)] = "",
    reason: Annotated[str, Form(max_length=300)] = "",
) -> Response:
    """It was for that payment: applied as if the payer had named it."""
    async with here.database.transaction(person.operator_id) as tx:
        await application.assign(
            tx,
            receipt_id,
            reference=reference,
            staff_id=person.staff_id,
            reason=reason,
            limit_vnd=here.settings.refund_limit_vnd,
            now=await clock.now(tx),
        )
    return _back(receipt_id)


@routes.post("/finance/queue/{receipt_id}/read", include_in_schema=False)
@permit("finance:handle")
async def read_in_clear(request: Request, here: Here, person: Clerk, language: Language, receipt_id: UUID) -> Response:
    """What the bank wrote and who paid, in clear, once; that it was read is written down first."""
    async with here.database.transaction(person.operator_id) as tx:
        row = await tx.row(
            "select text_sealed, payer_sealed from payments.receipt where operator_id = $1 and id = $2",
            tx.operator_id,
            receipt_id,
        )
        if row is None:
            raise held.NothingHeld()
        await audit.note(tx, person.staff_id, "receipt.read", f"receipt {receipt_id}", now=await clock.now(tx))
    clear = {
        "text": await here.sealer.open(row["text_sealed"], context="receipt.text"),
        "payer": await here.sealer.open(row["payer_sealed"], context="receipt.payer"),
    }
    return await _held_page(request, here, person, language, receipt_id, clear=clear)


@routes.post("/finance/parked/again", include_in_schema=False)
@permit("finance:handle")
async def try_again(
    here: Here,
    person: Clerk,
    kind: Annotated[str, Form(max_length=100)],
    id: Annotated[str, Form(max_length=300)],
) -> Response:
    """Work that stands still is tried again, from its first try on."""
    if kind in BY_HAND:
        raise OnlyAPersonCan()
    async with here.database.transaction(person.operator_id) as tx:
        if await outbox.try_again(tx, kind, id):
            await audit.note(tx, person.staff_id, "work.again", f"{kind} {id}", now=await clock.now(tx))
    return RedirectResponse("/finance/day#parked", 303)


@routes.post("/finance/parked/settled", include_in_schema=False)
@permit("finance:handle")
async def settled_by_hand(
    here: Here,
    person: Clerk,
    kind: Annotated[str, Form(max_length=100)],
    id: Annotated[str, Form(max_length=300)],
    reason: Annotated[str, Form(max_length=300)] = "",
) -> Response:
    """Nobody has to do it any more, and why."""
    if kind not in BY_HAND:
        raise OnlyTheWorkerCan()
    reason = held.reason_of(reason)
    async with here.database.transaction(person.operator_id) as tx:
        error = await outbox.settle_by_hand(tx, kind, id)
        if error is not None:
            await audit.note(
                tx,
                person.staff_id,
                "work.settled",
                f"{kind} {id}",
                reason=reason,
                before={"error": error},
                now=await clock.now(tx),
            )
    return RedirectResponse("/finance/day#parked", 303)


async def _held_page(
    request: Request,
    here: Here,
    person: Clerk,
    language: Language,
    receipt_id: UUID,
    clear: dict[str, str] | None = None,
) -> Response:
    async with here.database.transaction(person.operator_id, isolation="repeatable read") as tx:
        now = await clock.now(tx)
        item = await tx.row(
            "select h.receipt_id, r.bank_ref, r.bank_account, r.means, h.reason, h.amount_vnd, h.used_vnd, h.opened_at,"
            " h.closed_at, h.owner_id, r.paid_at, r.amount_vnd as arrived_vnd, r.references_found, c.reference as charge,"
            " s.name as owner"
            " from payments.held h"
            " join payments.receipt r on r.operator_id = h.operator_id and r.id = h.receipt_id"
            " left join payments.charge c on c.operator_id = h.operator_id and c.id = h.charge_id"
            " left join foundation.staff s on s.operator_id = h.operator_id and s.id = h.owner_id"
            " where h.operator_id = $1 and h.receipt_id = $2",
            tx.operator_id,
            receipt_id,
        )
        if item is None:
            raise held.NothingHeld()
        meant = [] if item["closed_at"] else await held.may_have_meant(tx, receipt_id)
        trail = await audit.of(tx, f"receipt {receipt_id}")
        refunds = await tx.rows(
            refunds_page.LISTED + " and f.receipt_id = $2 order by f.id", tx.operator_id, receipt_id
        )
        account_named = await tx.value(
            "select max(at) from payments.payee_named where operator_id = $1 and receipt_id = $2",
            tx.operator_id,
            receipt_id,
        )
        name = await operator_name(tx, language)
    return page(
        request,
        "held",
        person,
        language,
        now,
        operator_name=name,
        item=item,
        refunds=refunds,
        account_named=account_named,
        limit_vnd=here.settings.refund_limit_vnd,
        undecided=held.UNDECIDED,
        meant=meant,
        trail=trail,
        clear=clear,
    )


def _back(receipt_id: UUID) -> Response:
    return RedirectResponse(f"/finance/queue/{receipt_id}", 303)
