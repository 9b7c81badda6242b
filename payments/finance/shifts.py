"""Shifts as finance sees them: open, counted, closed, with what is not right; the report of one; closing one from here.

A shift is closed from here when its tablet is lost or its attendant is gone. Only finance can: a supervisor has a PIN, which
opens no browser; he counts and signs at the tablet.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse

from foundation import audit, clock, idempotency
from foundation.database import Tx
from foundation.errors import BadPayload, NotFound
from foundation.operator import operator_name
from foundation.web import Clerk, Here, Language, permit
from payments import deposit, handover, notes, shift_report
from payments.drop import NoNotes
from payments.finance.page import page
from payments.shift import REASONS

routes = APIRouter(tags=["finance"])
LISTED_MAX = 200
State = Literal["", "open", "counted", "closed"]


@routes.get("/finance/shifts", include_in_schema=False)
@permit("finance:read")
async def shifts_page(request: Request, here: Here, person: Clerk, language: Language, state: State = "") -> Response:
    """The shifts of the operator: those that are not closed first, then the newest."""
    async with here.database.transaction(person.operator_id, isolation="repeatable read") as tx:
        now = await clock.now(tx)
        rows = await listed(tx, state)
        name = await operator_name(tx, language)
    return page(
        request,
        "shifts",
        person,
        language,
        now,
        operator_name=name,
        rows=rows,
        state=state,
    )


@routes.get("/api/v1/finance/shifts")
@permit("finance:read")
async def shifts_json(here: Here, person: Clerk, answer: Response, state: State = "") -> list[dict[str, Any]]:
    """The same for programs: amounts in VND, instants in UTC."""
    answer.headers["cache-control"] = "no-store"
    async with here.database.transaction(person.operator_id) as tx:
        return [dict(row) for row in await listed(tx, state)]


@routes.get("/finance/shifts/{place}/{number}", include_in_schema=False)
@permit("finance:read")
async def shift_page(
    request: Request, here: Here, person: Clerk, language: Language, place: str, number: int
) -> Response:
    """One shift: its report as it was signed, or what it comes to so far; what happened since; closing it."""
    async with here.database.transaction(person.operator_id, isolation="repeatable read") as tx:
        now = await clock.now(tx)
        shift_id = await _find(tx, place, number)
        signed = await shift_report.read(tx, shift_id)
        present = await shift_report.figures(tx, shift_id)
        later = await tx.row(
            "select s.safe_vnd, s.bagged_vnd, s.explained_vnd, b.balance_vnd from payments.shift s"
            " left join payments.balance b on b.operator_id = s.operator_id and b.account = 'cash_drawer:' || s.id"
            " where s.operator_id = $1 and s.id = $2",
            tx.operator_id,
            shift_id,
        )
        bags = await tx.rows(
            "select d.number, d.reference, x.amount_vnd from payments.deposit_shift x"
            " join payments.deposit d on d.operator_id = x.operator_id and d.reference = x.reference"
            " where x.operator_id = $1 and x.shift_id = $2 order by d.number",
            tx.operator_id,
            shift_id,
        )
        trail = await audit.of(tx, f"shift {shift_id}")
        name = await operator_name(tx, language)
    return page(
        request,
        "shift",
        person,
        language,
        now,
        operator_name=name,
        report=signed or present,
        signed=signed is not None,
        proxies=present["proxies"],
        later=later,
        missing_vnd=-min(present["difference_vnd"] or 0, 0) - later["explained_vnd"],
        bags=bags,
        trail=trail,
        denominations=notes.DENOMINATIONS,
        reasons=[reason for reason in REASONS if reason != "uncounted"],
        own=present["login"] == person.login,
        instant=datetime.fromisoformat,
    )


@routes.post("/finance/shifts/{place}/{number}/close", include_in_schema=False)
@permit("finance:handle")
async def close_shift(request: Request, here: Here, person: Clerk, place: str, number: int) -> Response:
    """Closes a shift over its tablet's head: counted note by note, or uncounted. 409 shift_over, 422 reason_missing."""
    form = await request.form()
    uncounted = form.get("uncounted") == "true"
    reason = str(form.get("why", "other"))
    async with here.database.transaction(person.operator_id) as tx:
        await handover.close_from_office(
            tx,
            await _find(tx, place, number),
            staff_id=person.staff_id,
            counted=None if uncounted else _counted(form),
            reason=reason if reason in REASONS and reason != "uncounted" else "other",
            words=str(form.get("reason", ""))[:300],
            now=await clock.now(tx),
        )
    return RedirectResponse(f"/finance/shifts/{place}/{number}", 303)


@routes.post("/finance/shifts/{place}/{number}/found", include_in_schema=False)
@permit("finance:handle")
async def found_notes(request: Request, here: Here, person: Clerk, place: str, number: int) -> Response:
    """Notes of a closed shift were seen only later, booked once per form. 409 not_closed, more_than_missing; 422
    no_notes, reason_missing."""
    form = await request.form()
    counted, words = _counted(form), str(form.get("reason", ""))[:300]
    key = str(form.get("key", ""))[:255]
    if not key:
        raise BadPayload(reason="key")
    asked = {"shift": f"{place}/{number}", "notes": counted, "words": words}
    async with here.database.transaction(person.operator_id) as tx:

        async def find() -> dict[str, bool]:
            shift_id, now = await _find(tx, place, number), await clock.now(tx)
            await handover.find_notes(tx, shift_id, staff_id=person.staff_id, counted=counted, words=words, now=now)
            return {"found": True}

        await idempotency.once(
            tx, principal=f"staff {person.staff_id}", route="shift.found", key=key, asked=asked, act=find
        )
    return RedirectResponse(f"/finance/shifts/{place}/{number}", 303)


@routes.get("/finance/deposits", include_in_schema=False)
@permit("finance:read")
async def deposits_page(request: Request, here: Here, person: Clerk, language: Language) -> Response:
    """The bags on their way, what arrived of them, and the shifts whose notes are still in the safe."""
    async with here.database.transaction(person.operator_id, isolation="repeatable read") as tx:
        now = await clock.now(tx)
        bags = await deposit.listed(tx)
        waiting = await deposit.to_deposit(tx)
        name = await operator_name(tx, language)
    return page(
        request,
        "deposits",
        person,
        language,
        now,
        operator_name=name,
        bags=bags,
        waiting=waiting,
    )


@routes.get("/api/v1/finance/deposits")
@permit("finance:read")
async def deposits_json(here: Here, person: Clerk, answer: Response) -> list[dict[str, Any]]:
    """The same for programs: amounts in VND, instants in UTC."""
    answer.headers["cache-control"] = "no-store"
    async with here.database.transaction(person.operator_id) as tx:
        return [dict(row) for row in await deposit.listed(tx)]


@routes.post("/finance/deposits/make", include_in_schema=False)
@permit("finance:handle")
async def make_deposit(here: Here, person: Clerk, shift: Annotated[list[UUID] | None, Form()] = None) -> Response:
    """Bags what the safe holds of the chosen shifts. 409 nothing_to_deposit."""
    async with here.database.transaction(person.operator_id) as tx:
        await deposit.make(tx, shift or [], staff_id=person.staff_id, now=await clock.now(tx))
    return RedirectResponse("/finance/deposits", 303)


@routes.post("/finance/deposits/{reference}/short", include_in_schema=False)
@permit("finance:handle")
async def ask_short(
    here: Here, person: Clerk, reference: str, reason: Annotated[str, Form(max_length=300)] = ""
) -> Response:
    """What did not arrive of a bag is to be settled as missing. 409 nothing_short, 422 reason_missing."""
    async with here.database.transaction(person.operator_id) as tx:
        await deposit.ask_short(tx, reference, staff_id=person.staff_id, reason=reason, now=await clock.now(tx))
    return RedirectResponse("/finance/deposits", 303)


@routes.post("/finance/deposits/{reference}/short/agree", include_in_schema=False)
@permit("finance:handle")
async def agree_short(here: Here, person: Clerk, reference: str) -> Response:
    """A second person agrees, and it is booked as missing. 409 nothing_short, 403 own_shortage."""
    async with here.database.transaction(person.operator_id) as tx:
        await deposit.agree_short(tx, reference, staff_id=person.staff_id, now=await clock.now(tx))
    return RedirectResponse("/finance/deposits", 303)


async def listed(tx: Tx, state: State) -> list[Any]:
    """Shifts with what is not finished about them; `expected_vnd` of an open one is what its drawer should hold now."""
    return await tx.rows(
        "select s.id, n.code as place_code, s.number, p.name, s.opened_at, s.counted_at, s.closed_at, s.receipts,"
        " case when s.closed_at is not null then 'closed' when s.counted_at is not null then 'counted' else 'open' end"
        "   as state,"
        " coalesce(s.expected_vnd, b.balance_vnd) as expected_vnd, s.counted_vnd,"
        " s.counted_vnd - s.expected_vnd as difference_vnd, s.explained_vnd, s.reason, s.uncounted,"
        " case when s.closed_at is null then 0 else s.safe_vnd - s.bagged_vnd end as to_deposit_vnd,"
        " coalesce((select sum(t.amount_vnd - t.received_vnd - t.released_vnd) from payments.proxy_transfer t"
        "   where t.operator_id = s.operator_id and t.shift_id = s.id), 0)::bigint as proxy_vnd"
        " from payments.shift s"
        " join foundation.place n on n.operator_id = s.operator_id and n.number = s.place"
        " join foundation.staff p on p.operator_id = s.operator_id and p.id = s.staff_id"
        " left join payments.balance b on b.operator_id = s.operator_id and b.account = 'cash_drawer:' || s.id"
        " where s.operator_id = $1 and ($2 = '' or $2 = case when s.closed_at is not null then 'closed'"
        "   when s.counted_at is not null then 'counted' else 'open' end)"
        " order by s.closed_at is not null, s.opened_at desc, s.number desc limit $3",
        tx.operator_id,
        state,
        LISTED_MAX,
    )


async def _find(tx: Tx, place: str, number: int) -> UUID:
    """A shift by the code or the number of its place, and its own number. Raises NotFound."""
    found: UUID | None = await tx.value(
        "select s.id from payments.shift s"
        " join foundation.place n on n.operator_id = s.operator_id and n.number = s.place"
        " where s.operator_id = $1 and (n.code = $2 or n.number::text = $2) and s.number::bigint = $3",
        tx.operator_id,
        place,
        number,
    )
    if found is None:
        raise NotFound()
    return found


def _counted(form: Any) -> dict[str, int]:
    """The count of a form, `notes_500000` and so on. Raises BadPayload; NoNotes if nothing at all was entered."""
    said = {str(note): str(form.get(f"notes_{note}", "")).strip() for note in notes.DENOMINATIONS}
    entered = {note: pieces for note, pieces in said.items() if pieces}
    if not entered:
        raise NoNotes()
    if wrong := [
        pieces for pieces in entered.values() if not (pieces.isascii() and pieces.isdigit() and len(pieces) < 5)
    ]:
        raise BadPayload(reason=wrong[0])
    return {note: int(pieces) for note, pieces in entered.items()}
