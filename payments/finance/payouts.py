"""Finance's pages of payouts: what is owed and where it would go, making a run, letting it go, and what became of it."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse

from foundation import audit, clock, idempotency
from foundation.database import Tx
from foundation.operator import operator_name
from foundation.web import Clerk, Here, Language, permit
from payments import payee_account, payout
from payments.finance.page import page
from payments.gateway import vietqr

routes = APIRouter(tags=["finance"])
LISTED_MAX = 60
RUNS = (
    "select r.id, r.number, r.up_to_day, r.execute_on, r.digest, r.made_by, r.made_at, r.approved_at, m.name as maker, a.name as approver,"
    " (select array_agg(distinct p.state order by p.state) from payments.payout p"
    "   where p.operator_id = r.operator_id and p.run_id = r.id) as states,"
    " (select sum(p.amount_vnd)::bigint from payments.payout p where p.operator_id = r.operator_id and p.run_id = r.id)"
    "   as amount_vnd"
    " from payments.payout_run r"
    " join foundation.staff m on m.operator_id = r.operator_id and m.id = r.made_by"
    " left join foundation.staff a on a.operator_id = r.operator_id and a.id = r.approved_by"
    " where r.operator_id = $1"
)


@routes.get("/finance/payouts", include_in_schema=False)
@permit("finance:read")
async def payouts_page(request: Request, here: Here, person: Clerk, language: Language) -> Response:
    """What every payee is owed and why it is not paid yet, the runs, and the bank details."""
    async with here.database.transaction(person.operator_id, isolation="repeatable read") as tx:
        now, name = await clock.now(tx), await operator_name(tx, language)
        owed = await payout.owed(tx, now=now)
        runs = await tx.rows(RUNS + " order by r.number desc limit $2", tx.operator_id, LISTED_MAX)
        details = await payee_account.of_payee(tx)
    return page(
        request,
        "payouts",
        person,
        language,
        now,
        operator_name=name,
        owed=owed,
        runs=runs,
        details={each.payee.id: [d for d in details if d.payee_id == each.payee.id] for each in owed},
        old_contact=payee_account.old_contact,
        payable=any(each.held is None for each in owed),
        banks=sorted(vietqr.banks().items(), key=lambda bank: bank[1]),
        moment=now,
        today=clock.hanoi_day(now),
    )


@routes.get("/finance/payouts/{id}", include_in_schema=False)
@permit("finance:read")
async def run_page(request: Request, here: Here, person: Clerk, language: Language, id: UUID) -> Response:
    """One run: every payout with its days, the file and its hash, who made it and let it go, what the bank said."""
    async with here.database.transaction(person.operator_id, isolation="repeatable read") as tx:
        now, name = await clock.now(tx), await operator_name(tx, language)
        run = await tx.row(RUNS + " and r.id = $2", tx.operator_id, id)
        if run is None:
            raise payout.NoSuchPayout()
        payouts = await _payouts(tx, id)
        days = await tx.rows(
            "select d.payout_id, d.day, d.payee_id, d.net_vnd, d.released from payments.payout_day d"
            " join payments.payout p on p.operator_id = d.operator_id and p.id = d.payout_id"
            " where d.operator_id = $1 and p.run_id = $2 order by d.day",
            tx.operator_id,
            id,
        )
        events = await tx.rows(
            "select e.payout_id, e.state, e.cause, e.why, e.at, s.name from payments.payout_event e"
            " join payments.payout p on p.operator_id = e.operator_id and p.id = e.payout_id"
            " left join foundation.staff s on s.operator_id = e.operator_id and s.id = e.staff_id"
            " where e.operator_id = $1 and p.run_id = $2 order by e.id",
            tx.operator_id,
            id,
        )
        entries = await tx.rows(
            "select e.payout_id, e.bank_ref, e.amount_vnd, e.returns, e.at from payments.payout_entry e"
            " join payments.payout p on p.operator_id = e.operator_id and p.id = e.payout_id"
            " where e.operator_id = $1 and p.run_id = $2 order by e.at",
            tx.operator_id,
            id,
        )
        trail = await audit.of(tx, f"payout {id}")
    return page(
        request,
        "payout",
        person,
        language,
        now,
        operator_name=name,
        run=run,
        payouts=payouts,
        days=days,
        events=events,
        entries=entries,
        trail=trail,
        bank_name=vietqr.bank_name,
        undecided=set(run["states"]) == {"draft"},
        unsent=set(run["states"]) <= {"draft", "approved"},
    )


@routes.get("/finance/payouts/{id}/file.xml", include_in_schema=False)
@permit("finance:read")
async def run_file(here: Here, person: Clerk, id: UUID) -> Response:
    """The file of the run (pain.001) as it is sent, to the byte."""
    async with here.database.transaction(person.operator_id) as tx:
        row = await tx.row(
            "select file, number from payments.payout_run where operator_id = $1 and id = $2", tx.operator_id, id
        )
    if row is None:
        raise payout.NoSuchPayout()
    headers = {
        "content-disposition": f'attachment; filename="motcham-payout-{row["number"]:06}.xml"',
        "cache-control": "private, no-store",
    }
    return Response(row["file"], media_type="application/xml", headers=headers)


@routes.get("/api/v1/finance/payouts")
@permit("finance:read")
async def payouts_json(here: Here, person: Clerk, answer: Response) -> list[dict[str, Any]]:
    """The runs, the latest first, with what became of each payout: amounts in VND, instants in UTC."""
    answer.headers["cache-control"] = "no-store"
    async with here.database.transaction(person.operator_id, isolation="repeatable read") as tx:
        runs = await tx.rows(RUNS + " order by r.number desc limit $2", tx.operator_id, LISTED_MAX)
        return [
            {
                "id": run["id"],
                "number": run["number"],
                "up_to_day": run["up_to_day"],
                "execute_on": run["execute_on"],
                "sha256": run["digest"].hex(),
                "made_at": run["made_at"],
                "approved_at": run["approved_at"],
                "amount_vnd": run["amount_vnd"],
                "payouts": [
                    {
                        name: row[name]
                        for name in ("id", "payee_id", "amount_vnd", "state", "why", "left_at", "ended_at")
                    }
                    for row in await _payouts(tx, run["id"])
                ],
            }
            for run in runs
        ]


@routes.post("/finance/payouts", include_in_schema=False)
@permit("finance:handle")
async def make(here: Here, person: Clerk, key: Annotated[str, Form(min_length=1, max_length=255)]) -> Response:
    """Makes a run of all that is owed and can be paid. The form's hidden key makes the second press the same run."""

    async with here.database.transaction(person.operator_id) as tx:

        async def act() -> dict[str, str]:
            return {"run": str(await payout.make(tx, staff_id=person.staff_id, now=await clock.now(tx)))}

        answer = await idempotency.once(
            tx, principal=f"staff {person.staff_id}", route="payout.make", key=key, asked={}, act=act
        )
    return RedirectResponse(f"/finance/payouts/{answer['run']}", 303)


@routes.post("/finance/payouts/{id}/approve", include_in_schema=False)
@permit("finance:approve")
async def approve(
    here: Here, person: Clerk, id: UUID, digest: Annotated[str, Form(pattern="^[0-9a-f]{64}$")]
) -> Response:
    """Another person lets the run go: exactly the file of that hash."""
    async with here.database.transaction(person.operator_id) as tx:
        await payout.approve(tx, id, digest=digest, staff_id=person.staff_id, now=await clock.now(tx))
    return RedirectResponse(f"/finance/payouts/{id}", 303)


@routes.post("/finance/payouts/{id}/cancel", include_in_schema=False)
@permit("finance:approve")
async def cancel(
    here: Here, person: Clerk, id: UUID, reason: Annotated[str, Form(min_length=1, max_length=300)]
) -> Response:
    """The run is called off before the bank hears of it."""
    async with here.database.transaction(person.operator_id) as tx:
        await payout.cancel(tx, id, staff_id=person.staff_id, reason=reason, now=await clock.now(tx))
    return RedirectResponse(f"/finance/payouts/{id}", 303)


@routes.post("/finance/payees/{payee_id}/account", include_in_schema=False)
@permit("finance:handle")
async def enter_details(
    here: Here,
    person: Clerk,
    payee_id: UUID,
    bin: Annotated[str, Form(max_length=10)],
    account: Annotated[str, Form(max_length=40)],
    owner_name: Annotated[str, Form(max_length=100)],
    contact: Annotated[str, Form(max_length=200)],
) -> Response:
    """New bank details of a payee. Runs to the old ones that have not left are called off."""
    async with here.database.transaction(person.operator_id) as tx:
        await payout.change_details(
            tx,
            payee_id,
            bin=bin,
            account=account,
            owner_name=owner_name,
            contact=contact,
            staff_id=person.staff_id,
            now=await clock.now(tx),
        )
    return RedirectResponse(f"/finance/payouts#{payee_id}", 303)


@routes.post("/finance/payees/{payee_id}/account/{version}/agree", include_in_schema=False)
@permit("finance:approve")
async def agree_to_details(
    here: Here, person: Clerk, payee_id: UUID, version: int, told: Annotated[str, Form(max_length=300)] = ""
) -> Response:
    """A second person agrees to bank details; they are used two days later."""
    async with here.database.transaction(person.operator_id) as tx:
        await payee_account.agree(tx, payee_id, version, staff_id=person.staff_id, told=told, now=await clock.now(tx))
    return RedirectResponse(f"/finance/payouts#{payee_id}", 303)


@routes.post("/finance/payees/{payee_id}/account/{version}/withdraw", include_in_schema=False)
@permit("finance:approve")
async def withdraw_details(
    here: Here, person: Clerk, payee_id: UUID, version: int, reason: Annotated[str, Form(max_length=300)] = ""
) -> Response:
    """Bank details that wait are taken back."""
    async with here.database.transaction(person.operator_id) as tx:
        await payee_account.withdraw(
            tx, payee_id, version, staff_id=person.staff_id, reason=reason, now=await clock.now(tx)
        )
    return RedirectResponse(f"/finance/payouts#{payee_id}", 303)


@routes.post("/finance/payees/{payee_id}/account/{version}/trust", include_in_schema=False)
@permit("finance:approve")
async def trust_details(
    here: Here, person: Clerk, payee_id: UUID, version: int, reason: Annotated[str, Form(max_length=300)] = ""
) -> Response:
    """Why a payout came back is known, and the bank details are right."""
    async with here.database.transaction(person.operator_id) as tx:
        await payee_account.trust_again(
            tx, payee_id, version, staff_id=person.staff_id, reason=reason, now=await clock.now(tx)
        )
    return RedirectResponse(f"/finance/payouts#{payee_id}", 303)


async def _payouts(tx: Tx, run_id: UUID) -> list[Any]:
    return await tx.rows(
        "select p.id, p.payee_id, p.amount_vnd, p.debited_vnd, p.state, p.why, p.left_at, p.ended_at, y.name_vi, y.name_en,"
        " a.bin, a.account, a.owner_name, a.version, a.entered_by,"
        # How long the oldest of the sales that it pays waited for it.
        " (select extract(epoch from p.left_at - min(j.effective_at))::bigint / 3600 from payments.payout_day d"
        "   join payments.settlement_journal s on s.operator_id = d.operator_id and s.day = d.day"
        "   join payments.journal j on j.operator_id = s.operator_id and j.id = s.journal_id"
        "   where d.operator_id = p.operator_id and d.payout_id = p.id) as hours"
        " from payments.payout p"
        " join payments.payee y on y.operator_id = p.operator_id and y.id = p.payee_id"
        " join payments.payee_account a on a.operator_id = p.operator_id and a.payee_id = p.payee_id and a.version = p.version"
        " where p.operator_id = $1 and p.run_id = $2"
        " order by array_position(array['operator', 'authority', 'city_budget', 'platform'], y.kind), p.id",
        tx.operator_id,
        run_id,
    )
