"""Finance's pages of receipts and invoices: a day by series, what the tax office rejected, one document with its history,
and under which forms, symbols and rates they are made."""

from __future__ import annotations

import re
from dataclasses import asdict
from datetime import date
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse

from foundation import audit, clock
from foundation.database import Tx
from foundation.errors import Refusal
from foundation.operator import operator_name
from foundation.staff import OnDuty
from foundation.web import Clerk, Here, Language, Platform, permit
from payments import contract, fiscal, fiscal_sending, fiscal_series
from payments.contract import SERVICES
from payments.explain import explain
from payments.finance.page import page
from payments.fiscal import SENDING
from payments.fiscal_series import KINDS, SeriesUnfit

routes = APIRouter(tags=["finance"])
LISTED_MAX = 200
BY_SERIES = (
    "select s.id, s.kind, s.form, s.symbol, s.last_number, count(d.id) as made, min(d.number) as first, max(d.number) as last,"
    " coalesce(sum(d.amount_vnd) filter (where e.document_id is null), 0)::bigint as valid_vnd,"
    " coalesce(sum(d.vat_vnd) filter (where e.document_id is null), 0)::bigint as vat_vnd,"
    " count(*) filter (where d.replaces is not null) as replacing,"
    " count(*) filter (where r.id is not null) as replaced,"
    " count(*) filter (where e.document_id is not null and r.id is null) as cancelled,"
    " count(*) filter (where i.state = 'accepted') as accepted,"
    " count(*) filter (where i.state in ('waiting', 'asking')) as waiting,"
    " count(*) filter (where i.state = 'rejected') as rejected,"
    " (select s.last_number - count(*) from payments.fiscal_document a"
    "   where a.operator_id = s.operator_id and a.series_id = s.id) as gaps"
    " from payments.fiscal_series s"
    " left join payments.fiscal_document d on d.operator_id = s.operator_id and d.series_id = s.id"
    "   and d.issued_at >= $2 and d.issued_at < $3"
    " left join payments.fiscal_end e on e.operator_id = d.operator_id and e.document_id = d.id"
    " left join payments.fiscal_document r on r.operator_id = d.operator_id and r.replaces = d.id"
    " left join payments.fiscal_sending i on i.operator_id = d.operator_id and i.document_id = d.id and i.what = 'issue'"
    " where s.operator_id = $1 group by s.operator_id, s.id order by s.kind desc, s.form, s.symbol"
)
STILL_TO_MAKE = (
    "select count(*) as count, coalesce(sum(c.received_vnd - c.given_back_vnd), 0)::bigint as sum_vnd, min(c.paid_at) as since"
    " from payments.charge c where c.operator_id = $1 and c.state = 'paid'"
    " and c.documented_vnd <> c.received_vnd - c.given_back_vnd and c.paid_at >= $2"
)


@routes.get("/finance/fiscal", include_in_schema=False)
@permit("finance:read")
async def fiscal_page(
    request: Request, here: Here, person: Clerk, language: Language, day: clock.Day | None = None
) -> Response:
    """The documents of a day by series and one by one, what was rejected, and the terms by which they are made."""
    return await _fiscal_page(request, here, person, language, day)


@routes.get("/api/v1/finance/fiscal")
@permit("finance:read")
async def fiscal_json(here: Here, person: Clerk, answer: Response, day: clock.Day | None = None) -> dict[str, Any]:
    """The documents made on a day, by series: how many, from which number to which, what became of them; and each of them.

    Amounts in VND, `vat_bp` in basis points, instants in UTC. `gaps` is how many numbers of the series have no document
    (always 0); `to_make` are the charges whose documents are still to be made. Buyers are not told here.
    """
    answer.headers["cache-control"] = "no-store"
    async with here.database.transaction(person.operator_id, isolation="repeatable read") as tx:
        on = day or clock.hanoi_day(await clock.now(tx))
        series, made, to_make = await _day(tx, on, most=None)
    hidden = ("buyer_sealed", "code", "charge_id")
    return {
        "day": on,
        "to_make": dict(to_make),
        "series": [dict(row) for row in series],
        "documents": [
            {name: value for name, value in asdict(one).items() if name not in hidden} | {"standing": one.standing}
            for one in made
        ],
    }


@routes.get("/finance/fiscal/{id}", include_in_schema=False)
@permit("finance:read")
async def document_page(request: Request, here: Here, person: Clerk, language: Language, id: UUID) -> Response:
    """One document with its sale, those before and after it, and what the tax office said."""
    return await _document_page(request, here, person, language, id)


@routes.post("/finance/fiscal/terms", include_in_schema=False)
@permit("finance:approve")
async def add_term(
    request: Request,
    here: Here,
    person: Clerk,
    language: Language,
    service: Annotated[str, Form(max_length=20)] = "",
    valid_from: Annotated[str, Form(max_length=10)] = "",
    kind: Annotated[str, Form(max_length=20)] = "",
    form: Annotated[str, Form(max_length=20)] = "",
    symbol: Annotated[str, Form(max_length=20)] = "",
    vat: Annotated[str, Form(max_length=10)] = "",
) -> Response:
    """Another form, symbol or rate from a day on; what was typed stays where it is refused."""
    typed = {"service": service, "valid_from": valid_from, "kind": kind, "form": form, "symbol": symbol, "vat": vat}
    try:
        async with here.database.transaction(person.operator_id) as tx:
            now = await clock.now(tx)
            await fiscal_series.add(
                tx,
                service=service,
                valid_from=_day_of(valid_from),
                kind=kind,
                form=form,
                symbol=symbol,
                vat_bp=_bp_of(vat),
                staff_id=person.staff_id,
                now=now,
            )
    except (
        SeriesUnfit,
        fiscal_series.SeriesOfAnotherKind,
        fiscal_series.IssuerUnknown,
        fiscal_series.TermTooEarly,
    ) as no:
        return await _fiscal_page(request, here, person, language, None, typed, no)
    return RedirectResponse("/finance/fiscal#terms", 303)


@routes.post("/finance/fiscal/terms/{id}/withdraw", include_in_schema=False)
@permit("finance:approve")
async def withdraw_term(
    here: Here, person: Clerk, id: UUID, reason: Annotated[str, Form(max_length=300)] = ""
) -> Response:
    """An entry by which nothing was made is taken back."""
    async with here.database.transaction(person.operator_id) as tx:
        await fiscal_series.withdraw(tx, id, staff_id=person.staff_id, reason=reason, now=await clock.now(tx))
    return RedirectResponse("/finance/fiscal#terms", 303)


@routes.post("/finance/fiscal/{id}/again", include_in_schema=False)
@permit("finance:handle")
async def tell_again(here: Here, person: Clerk, id: UUID) -> Response:
    """What the tax office rejected is told once more as it is."""
    async with here.database.transaction(person.operator_id) as tx:
        await fiscal_sending.again(tx, id, staff_id=person.staff_id, now=await clock.now(tx))
    return RedirectResponse(f"/finance/fiscal/{id}", 303)


@routes.post("/finance/fiscal/{id}/mend", include_in_schema=False)
@permit("finance:handle")
async def mend(
    request: Request,
    here: Here,
    person: Clerk,
    language: Language,
    id: UUID,
    reason: Annotated[str, Form(max_length=300)] = "",
    tax_code: Annotated[str, Form(max_length=30)] = "",
    name: Annotated[str, Form(max_length=300)] = "",
) -> Response:
    """Another document takes its place, with another buyer if one is typed; what was typed stays where it is refused."""
    try:
        buyer = fiscal.buyer_of(tax_code, name) if tax_code.strip() or name.strip() else None
        async with here.database.transaction(person.operator_id) as tx:
            now = await clock.now(tx)
        month = await here.sealer.ready(now)
        async with here.database.transaction(person.operator_id) as tx:
            made = await fiscal.mend(
                tx, here.sealer, id, buyer=buyer, staff_id=person.staff_id, reason=reason, month=month, now=now
            )
    except Refusal as refusal:
        typed = {"reason": reason, "tax_code": tax_code, "name": name}
        return await _document_page(request, here, person, language, id, typed, refusal)
    return RedirectResponse(f"/finance/fiscal/{made}", 303)


async def _fiscal_page(
    request: Request,
    here: Platform,
    person: OnDuty,
    language: str,
    day: date | None,
    typed: dict[str, str] | None = None,
    refusal: Refusal | None = None,
) -> Response:
    async with here.database.transaction(person.operator_id, isolation="repeatable read") as tx:
        now, name = await clock.now(tx), await operator_name(tx, language)
        today = clock.hanoi_day(now)
        series, made, to_make = await _day(tx, day or today, most=LISTED_MAX)
        rejected = await fiscal.documents(
            tx,
            "r.id is null and d.id in (select document_id from payments.fiscal_sending"
            "   where operator_id = $1 and state = 'rejected') order by d.issued_at limit $2",
            LISTED_MAX,
        )
        terms = await fiscal_series.terms(tx)
        contracts = await contract.contracts(tx)
        sold = await tx.rows(
            "select distinct service from foundation.place where operator_id = $1 order by service", tx.operator_id
        )
        silent = await tx.value(
            "select max(attempts) from foundation.due where operator_id = $1 and kind = $2", tx.operator_id, SENDING
        )
    held = {service: contract.in_force(contracts, service, today) for service in SERVICES}
    in_force = {service: fiscal_series.in_force(terms, service, today) for service in SERVICES}
    return page(
        request,
        "fiscal",
        person,
        language,
        now,
        status=refusal.status if refusal else 200,
        operator_name=name,
        day=day or today,
        today=today,
        series=series,
        documents=made,
        to_make=to_make,
        rejected=rejected,
        silent=(silent or 0) > 2,
        terms=[(term, fiscal_series.standing(terms, term, today)) for term in terms],
        missing=[row["service"] for row in sold if in_force[row["service"]] is None],
        differing=[
            (service, term.vat_bp, view.said.vat_bp)
            for service, term in in_force.items()
            if term and (view := held[service]) and view.said.vat_bp != term.vat_bp
        ],
        services=[row["service"] for row in sold],
        kinds=KINDS,
        typed=typed or {},
        refusal=refusal,
    )


async def _document_page(
    request: Request,
    here: Platform,
    person: OnDuty,
    language: str,
    id: UUID,
    typed: dict[str, str] | None = None,
    refusal: Refusal | None = None,
) -> Response:
    async with here.database.transaction(person.operator_id, isolation="repeatable read") as tx:
        now, name = await clock.now(tx), await operator_name(tx, language)
        document = await fiscal.by_id(tx, id)
        chain = await fiscal.documents(
            tx, "d.charge_id = $2 and d.line_no = $3 order by d.issued_at, d.id", document.charge_id, document.line_no
        )
        line = await tx.row(
            "select purpose, reference from payments.charge_line where operator_id = $1 and charge_id = $2 and line_no = $3",
            *(tx.operator_id, document.charge_id, document.line_no),
        )
        what = await explain(tx, [(line["purpose"], line["reference"])])
        trail = await audit.of(tx, f"fiscal {id}")
    explained = what.get((line["purpose"], line["reference"]))
    buyer = await fiscal.buyer_on(here.sealer, document)
    return page(
        request,
        "fiscal_document",
        person,
        language,
        now,
        status=refusal.status if refusal else 200,
        operator_name=name,
        document=document,
        buyer=buyer.for_all() if buyer else None,
        chain=chain,
        what=explained.text(language) if explained else None,
        trail=trail,
        typed=typed or {},
        refusal=refusal,
    )


async def _day(tx: Tx, day: date, *, most: int | None) -> tuple[list[Any], list[fiscal.Document], Any]:
    """The series with what was made in them on a day, the documents, the latest first, and what is still to be made."""
    first, after = clock.start_of_day(day), clock.start_of_day(date.fromordinal(day.toordinal() + 1))
    series = await tx.rows(BY_SERIES, tx.operator_id, first, after)
    made = await fiscal.documents(
        tx,
        "d.issued_at >= $2 and d.issued_at < $3 order by d.issued_at desc, s.symbol, d.number desc limit $4",
        first,
        after,
        most,
    )
    begins = await tx.value(
        "select min(valid_from)::timestamp at time zone 'Asia/Ho_Chi_Minh' from payments.fiscal_term"
        " where operator_id = $1 and withdrawn_at is null",
        tx.operator_id,
    )
    return series, made, await tx.row(STILL_TO_MAKE, tx.operator_id, begins or first)


def _day_of(typed: str) -> date:
    try:
        return date.fromisoformat(typed)
    except ValueError as error:
        raise SeriesUnfit(which="fiscal_day") from error


def _bp_of(typed: str) -> int:
    """`8`, `8,5` or nothing, in percent. Raises SeriesUnfit."""
    found = re.fullmatch(r"(\d{1,2})(?:[.,](\d{1,2}))?", typed.strip() or "0", re.ASCII)
    if not found:
        raise SeriesUnfit(which="fiscal_vat")
    return int(found[1]) * 100 + int((found[2] or "").ljust(2, "0"))
