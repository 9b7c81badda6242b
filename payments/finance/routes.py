"""The routes of finance: an operator's day as a page, as JSON and as files. A clerk sees his own operator only."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from foundation import audit, clock, texts
from foundation.operator import operator_name
from foundation.web import Clerk, Here, Language, events, permit
from payments.finance import (
    chart,
    contracts,
    days,
    debits,
    fiscal,
    front,
    gates,
    journal,
    login,
    payouts,
    proof,
    queue,
    reconciliation,
    refunds,
    sales,
    search,
    settlements,
    shifts,
    statements,
    trail,
)
from payments.finance.day import Day, Listing, day_of, lines_of, transfers_of
from payments.finance.download import csv_answer
from payments.finance.page import page
from payments.finance.spreadsheet import csv_file
from payments.finance.words import age, word

routes = APIRouter(tags=["finance"])
routers = [
    *(front.routes, search.routes, routes, login.routes, queue.routes, debits.routes, refunds.routes),
    *(days.routes, settlements.routes, payouts.routes, contracts.routes, fiscal.routes, trail.routes, shifts.routes),
    *(journal.routes, sales.routes, chart.routes, statements.routes, reconciliation.routes, gates.routes),
]
"""Of all of finance's pages."""

ONE_INSTANT = "repeatable read"
"""All figures of a page are of one instant, or books that balance would look as if they did not."""


@routes.get("/finance/day", include_in_schema=False)
@permit("finance:read")
async def day_page(
    request: Request, here: Here, person: Clerk, language: Language, day: clock.Day | None = None
) -> Response:
    """The day: what was paid and how, what waits, and what the last proof of the books found."""
    async with here.database.transaction(person.operator_id, isolation=ONE_INSTANT) as tx:
        now, real_now = await clock.now(tx), await tx.value("select clock_timestamp()")
        shown = await day_of(tx, day or clock.hanoi_day(now), now=now)
        name = await operator_name(tx, language)
    return page(
        request,
        "day",
        person,
        language,
        now,
        operator_name=name,
        shown=shown,
        today=clock.hanoi_day(now),
        real_age=lambda since: age(language, real_now, since),
        live=f"/api/v1/finance/proof/events?seen={shown.books.version}",
        by_hand=queue.BY_HAND,
    )


@routes.post("/finance/prove", include_in_schema=False)
@permit("finance:read")
async def prove_now(here: Here, person: Clerk) -> Response:
    """Asks the worker for a proof of the books and goes back to the page, which shows it when it is there."""
    async with here.database.transaction(person.operator_id) as tx:
        await proof.ask(tx)
        await audit.note(tx, person.staff_id, "books.proof", "books", now=await clock.now(tx))
    return RedirectResponse("/finance/day#books", 303)


@routes.get("/api/v1/finance/proof/events", include_in_schema=False)
@permit("finance:read")
async def proof_events(here: Here, person: Clerk, seen: str = "") -> Response:
    """Server-sent events: one `change` as soon as there is another proof than the one the page shows."""

    async def state() -> str:
        async with here.database.transaction(person.operator_id) as tx:
            return (await proof.kept(tx)).version

    return events(here, proof.channel(person.operator_id), state, seen)


@routes.get("/api/v1/finance/day")
@permit("finance:read")
async def day_json(here: Here, person: Clerk, answer: Response, day: clock.Day | None = None) -> dict[str, Any]:
    """The same day for programs: amounts in VND, instants in UTC.

    `proof` is the last proof of the books, an entry per invariant M1-M10, made at `proved_at` (real time); `balanced`
    says whether it held. Both are null before the first proof.
    """
    answer.headers["cache-control"] = "no-store"
    async with here.database.transaction(person.operator_id, isolation=ONE_INSTANT) as tx:
        now = await clock.now(tx)
        return _as_json(await day_of(tx, day or clock.hanoi_day(now), now=now))


@routes.get("/finance/day.csv", include_in_schema=False)
@permit("finance:read")
async def day_csv(here: Here, person: Clerk, language: Language, day: clock.Day | None = None) -> Response:
    """Every line paid on the day; the last row is the sum that the page shows."""
    async with here.database.transaction(person.operator_id, isolation=ONE_INSTANT) as tx:
        day = day or clock.hanoi_day(await clock.now(tx))
        lines = await lines_of(tx, day)
    columns = ("paid_at", "reference", "service", "place", "class", "means", "channel", "what", "amount")
    rows = [
        (
            row["paid_at"],
            row["reference"],
            word(language, "service", row["service"]),
            row["name_vi" if language == "vi" else "name_en"] or str(row["place"]),
            row["class"],
            word(language, "means", row["means"]),
            word(language, "channel", row["channel"]),
            said.text(language) if said else row["purpose"],
            row["amount_vnd"],
        )
        for row, said in lines
    ]
    total = (texts.text(language, "finance.csv.total"), len(rows), *[None] * 6, sum(row[-1] for row in rows))
    return csv_answer(csv_file(_headings(language, columns), [*rows, total]), f"motcham-{day.isoformat()}.csv")


@routes.get("/finance/transfers.csv", include_in_schema=False)
@permit("finance:read")
async def transfers_csv(here: Here, person: Clerk, language: Language, day: clock.Day | None = None) -> Response:
    """Every transfer of the ledger that took effect on the day; the last row is count and sum."""
    async with here.database.transaction(person.operator_id, isolation=ONE_INSTANT) as tx:
        day = day or clock.hanoi_day(await clock.now(tx))
        transfers = await transfers_of(tx, day)
    columns = ("recorded_at", "effective_at", "template", "source", "journal", "debit", "credit", "amount")
    rows = [
        (
            row["recorded_at"],
            row["effective_at"],
            row["template"],
            f"{row['source_type']} {row['source_id']}",
            f"{row['journal_id']}/{row['leg']}",
            row["debit"],
            row["credit"],
            row["amount_vnd"],
        )
        for row in transfers
    ]
    total = (texts.text(language, "finance.csv.total"), len(rows), *[None] * 5, sum(row[-1] for row in rows))
    return csv_answer(
        csv_file(_headings(language, columns), [*rows, total]), f"motcham-transfers-{day.isoformat()}.csv"
    )


def _headings(language: str, columns: tuple[str, ...]) -> list[str]:
    return [texts.text(language, f"finance.csv.{column}") for column in columns]


def _as_json(shown: Day) -> dict[str, Any]:
    last = shown.books.proof
    return {
        "day": shown.day,
        "now": shown.now,
        "lines": shown.taken.lines,
        "sum_vnd": shown.taken.sum_vnd,
        "proxy_vnd": shown.proxy_vnd,
        "groups": [sales.without_day(group) for group in shown.taken.groups],
        "free": [{"service": g.service, "means": g.means, "lines": g.lines} for g in shown.taken.free],
        "given_back": [sales.without_day(row) for row in shown.taken.given_back],
        "given_back_vnd": shown.taken.given_back_vnd,
        "waiting": _listing_json(shown.waiting),
        "held": _listing_json(shown.held),
        "unapplied": _listing_json(shown.unapplied),
        "proxies": _listing_json(shown.proxies),
        "debits": _listing_json(shown.debits),
        "parked": [dict(row) for row in shown.parked],
        "shifts": [dict(row) for row in shown.shifts],
        "reopened": [dict(row) for row in shown.reopened],
        "proved_at": last.at if last else None,
        "proving": shown.books.under_way,
        "transfers_since": shown.books.transfers_since,
        "balanced": last.holds if last else None,
        "proof": last
        and [
            {
                "invariant": line.invariant,
                "holds": line.holds,
                "checked": line.checked,
                "sum_vnd": line.sum_vnd,
                "findings": [asdict(finding) for finding in line.findings],
                "open": [asdict(item) for item in line.open],
            }
            for line in last.lines
        ],
    }


def _listing_json(listing: Listing) -> dict[str, Any]:
    return {
        "count": listing.count,
        "sum_vnd": listing.sum_vnd,
        "items": [
            {
                "reference": item.reference,
                "what_vi": [said.vi for said in item.what],
                "what_en": [said.en for said in item.what],
                "amount_vnd": item.amount_vnd,
                "since": item.since,
                **item.facts,
            }
            for item in listing.items
        ],
    }
