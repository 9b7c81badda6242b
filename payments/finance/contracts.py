"""Finance's pages of contracts: who gets what of a sale and since when, proposing other terms, agreeing to them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

import asyncpg
from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse

from foundation import audit, clock, idempotency
from foundation.database import Tx
from foundation.errors import BadPayload, Refusal, refusal_of_constraint
from foundation.operator import operator_name
from foundation.staff import OnDuty
from foundation.web import Clerk, Here, Language, Platform, permit
from payments import contract
from payments.contract import PAYEE_KINDS, SERVICES, ContractView, NoSuchContract, PayeeKind, PayeeView, TermsUnfit
from payments.finance import contract_form
from payments.finance.contract_form import FieldEmpty, text_of
from payments.finance.contract_words import Names, Shown, shown
from payments.finance.page import page

routes = APIRouter(tags=["finance"])
Service = Literal["ticketing", "parking"]
PAYEE_FIELDS = ("name_vi", "name_en", "tax_code", "treasury", "budget_line")


@dataclass(frozen=True, slots=True)
class _Seen:
    """All contracts of an operator, and whom and what they name, at one instant."""

    now: datetime
    today: date
    operator_name: str
    payees: Sequence[PayeeView]
    lots: Sequence[Any]
    contracts: Sequence[ContractView]
    names: Names

    def all_shown(self) -> list[Shown]:
        return shown(self.contracts, self.names, self.today)


async def _see(tx: Tx, language: str) -> _Seen:
    now = await clock.now(tx)
    payees = await contract.payees(tx)
    lots = await tx.rows(
        "select number, code, name_vi, name_en from foundation.place where operator_id = $1 and service = 'parking'"
        " order by number",
        tx.operator_id,
    )
    names = Names(language, {payee.id: payee for payee in payees}, {lot["number"]: lot for lot in lots})
    return _Seen(
        now,
        clock.hanoi_day(now),
        await operator_name(tx, language),
        payees,
        lots,
        await contract.contracts(tx),
        names,
    )


@routes.get("/finance/contracts", include_in_schema=False)
@permit("finance:read")
async def contracts_page(request: Request, here: Here, person: Clerk, language: Language) -> Response:
    """What holds today, what waits for a second person, what held before; rents of pavement; the payees."""
    return await _contracts_page(request, here, person, language)


@routes.get("/api/v1/finance/contracts")
@permit("finance:read")
async def contracts_json(here: Here, person: Clerk, language: Language, answer: Response) -> dict[str, Any]:
    """The same for programs: shares in basis points (`_bp`), amounts in VND, instants in UTC.

    `standing` is how a contract stands on `day`: proposed, withdrawn, later, in_force or former; `valid_until` is null
    while nothing agreed follows it.
    """
    answer.headers["cache-control"] = "no-store"
    async with here.database.transaction(person.operator_id, isolation="repeatable read") as tx:
        seen = await _see(tx, language)
    return {
        "day": seen.today,
        "payees": [asdict(payee) for payee in seen.payees],
        "contracts": [
            {
                "id": one.view.id,
                "standing": one.standing,
                "valid_until": one.until,
                **asdict(one.view.said),
                "proposed_by": one.view.proposer,
                "proposed_at": one.view.proposed_at,
                "agreed_by": one.view.agreer,
                "agreed_at": one.view.agreed_at,
                "withdrawn_at": one.view.withdrawn_at,
            }
            for one in seen.all_shown()
        ],
    }


@routes.get("/finance/contracts/new", include_in_schema=False)
@permit("finance:handle")
async def new_contract_page(
    request: Request, here: Here, person: Clerk, language: Language, service: Service = "ticketing"
) -> Response:
    """The form of a proposal, filled with what holds now."""
    return await _form_page(request, here, person, language, service)


@routes.post("/finance/contracts", include_in_schema=False)
@permit("finance:handle")
async def propose(request: Request, here: Here, person: Clerk, language: Language) -> Response:
    """Proposes a contract, once per form; what was typed stays where it is refused."""
    typed = await _typed(request)
    service = typed.get("service", "")
    if service not in SERVICES:
        raise TermsUnfit(which="terms_service")

    async def act(tx: Tx) -> UUID:
        said = contract_form.read(typed)
        return await contract.propose(tx, said, staff_id=person.staff_id, now=await clock.now(tx))

    try:
        id = await _once(here, person, "contract.propose", typed, act)
    except Refusal as refusal:
        return await _form_page(request, here, person, language, service, typed, refusal)
    return RedirectResponse(f"/finance/contracts/{id}", 303)


@routes.post("/finance/payees", include_in_schema=False)
@permit("finance:handle")
async def add_payee(request: Request, here: Here, person: Clerk, language: Language) -> Response:
    """Adds a payee, once per form; what was typed stays where it is refused."""
    typed = await _typed(request)

    async def act(tx: Tx) -> UUID:
        kind = _kind(typed)
        named = {field: text_of(typed, field) for field in PAYEE_FIELDS}
        return await contract.add_payee(tx, kind=kind, **named, staff_id=person.staff_id, now=await clock.now(tx))

    try:
        await _once(here, person, "payee.add", typed, act)
    except Refusal as refusal:
        return await _contracts_page(request, here, person, language, typed, refusal)
    return RedirectResponse("/finance/contracts#payees", 303)


@routes.get("/finance/contracts/{id}", include_in_schema=False)
@permit("finance:read")
async def contract_page(request: Request, here: Here, person: Clerk, language: Language, id: UUID) -> Response:
    """One contract: its terms beside those that hold now, an example, who proposed and agreed, what was done."""
    async with here.database.transaction(person.operator_id, isolation="repeatable read") as tx:
        seen = await _see(tx, language)
        trail = await audit.of(tx, f"contract {id}")
    found = seen.all_shown()
    one = next((each for each in found if each.view.id == id), None)
    if one is None:
        raise NoSuchContract()
    return page(
        request,
        "contract",
        person,
        language,
        seen.now,
        operator_name=seen.operator_name,
        one=one,
        holding=_holding(found, one.view.said.service) if one.standing in ("proposed", "later") else None,
        names=seen.names,
        trail=trail,
    )


@routes.post("/finance/contracts/{id}/agree", include_in_schema=False)
@permit("finance:approve")
async def agree(here: Here, person: Clerk, id: UUID) -> Response:
    """A second person agrees."""
    async with here.database.transaction(person.operator_id) as tx:
        await contract.agree(tx, id, staff_id=person.staff_id, now=await clock.now(tx))
    return RedirectResponse(f"/finance/contracts/{id}", 303)


@routes.post("/finance/contracts/{id}/withdraw", include_in_schema=False)
@permit("finance:approve")
async def withdraw(here: Here, person: Clerk, id: UUID, reason: Annotated[str, Form(max_length=300)] = "") -> Response:
    """A proposal is taken back; who may propose may also agree to others', so one permission covers both."""
    async with here.database.transaction(person.operator_id) as tx:
        await contract.withdraw(tx, id, staff_id=person.staff_id, reason=reason, now=await clock.now(tx))
    return RedirectResponse(f"/finance/contracts/{id}", 303)


async def _contracts_page(
    request: Request,
    here: Platform,
    person: OnDuty,
    language: str,
    typed: Mapping[str, str] | None = None,
    refusal: Refusal | None = None,
) -> Response:
    async with here.database.transaction(person.operator_id, isolation="repeatable read") as tx:
        seen = await _see(tx, language)
    found = seen.all_shown()
    return page(
        request,
        "contracts",
        person,
        language,
        seen.now,
        status=refusal.status if refusal else 200,
        operator_name=seen.operator_name,
        waiting=[one for one in found if one.standing == "proposed"],
        holding={service: _holding(found, service) for service in SERVICES},
        others=[one for one in found if one.standing in ("later", "former", "withdrawn")],
        payees=seen.payees,
        kinds=PAYEE_KINDS,
        names=seen.names,
        typed=typed or {},
        refusal=refusal,
    )


async def _form_page(
    request: Request,
    here: Platform,
    person: OnDuty,
    language: str,
    service: str,
    typed: Mapping[str, str] | None = None,
    refusal: Refusal | None = None,
) -> Response:
    async with here.database.transaction(person.operator_id, isolation="repeatable read") as tx:
        seen = await _see(tx, language)
    held = contract.in_force(seen.contracts, service, seen.today)
    if typed is None:
        following = (seen.today.replace(day=1) + timedelta(days=31)).replace(day=1)
        typed = contract_form.filled(held.said if held else None, service=service, first=following, language=language)
    return page(
        request,
        "contract_new",
        person,
        language,
        seen.now,
        status=refusal.status if refusal else 200,
        operator_name=seen.operator_name,
        service=service,
        held=held,
        payees=seen.payees,
        lots=seen.lots if service == "parking" else [],
        means=contract.FEE_MEANS,
        names=seen.names,
        typed=typed,
        refusal=refusal,
    )


def _holding(found: Sequence[Shown], service: str) -> Shown | None:
    return next((one for one in found if one.standing == "in_force" and one.view.said.service == service), None)


async def _typed(request: Request) -> dict[str, str]:
    """The fields of a form whose names depend on payees, means and lots; a file in their place counts as nothing."""
    form = await request.form()
    return {name: value for name, value in form.multi_items() if isinstance(value, str) and name != "csrf"}


def _kind(typed: Mapping[str, str]) -> PayeeKind:
    for kind in PAYEE_KINDS:
        if kind == typed.get("kind"):
            return kind
    raise FieldEmpty(what="payee_kind", field="kind")


async def _once(
    here: Platform, person: OnDuty, route: str, typed: Mapping[str, str], act: Callable[[Tx], Awaitable[UUID]]
) -> UUID:
    """Does it once per key of a form; a second press gets the id of the first. What a constraint says is a refusal too."""
    key = typed.get("key", "")
    if not 0 < len(key) <= 255:
        raise BadPayload(reason="key")
    asked = {name: value for name, value in typed.items() if name != "key"}
    try:
        async with here.database.transaction(person.operator_id) as tx:

            async def do() -> dict[str, str]:
                return {"id": str(await act(tx))}

            answer = await idempotency.once(
                tx, principal=f"staff {person.staff_id}", route=route, key=key, asked=asked, act=do
            )
    except asyncpg.UniqueViolationError as error:
        raise refusal_of_constraint(error.constraint_name) or error from error
    return UUID(answer["id"])
