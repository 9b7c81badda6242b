"""Finance's general journal: a day or a month under the numbers of the operator's chart, as a page, as JSON and as a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Literal

from fastapi import APIRouter, Request, Response

from foundation import clock, texts
from foundation.database import Tx
from foundation.errors import Refusal
from foundation.operator import operator_name
from foundation.web import Clerk, Here, Language, permit
from payments import general_journal, ledger
from payments.chart import NotMapped
from payments.finance.document import Cell, Column, Document, Fact, Table
from payments.finance.download import download
from payments.finance.page import page
from payments.finance.period import Period, PeriodText, period_of, period_with
from payments.finance.words import word
from payments.general_journal import Balance, Journal, JournalUntied, Leg

routes = APIRouter(tags=["finance"])
Sheet = Literal["csv", "xlsx"]
SIDES = ("opening_debit", "opening_credit", "debits", "credits", "closing_debit", "closing_credit")


@routes.get("/finance/journal", include_in_schema=False)
@permit("finance:read")
async def journal_page(
    request: Request, here: Here, person: Clerk, language: Language, period: PeriodText | None = None
) -> Response:
    """A month with its days, or a day with its entries; the trial balance of either."""
    async with here.database.transaction(person.operator_id, isolation="repeatable read") as tx:
        now, name = await clock.now(tx), await operator_name(tx, language)
        today = clock.hanoi_day(now)
        shown = _period(period) if period else period_with(today, "month")
        month = period_with(shown.first, "month")
        days = await general_journal.days(tx, month.first, month.last)
        closed_through = await ledger.closed_through(tx)
        journal, refusal = await _made(tx, shown)
    return page(
        request,
        "journal",
        person,
        language,
        now,
        operator_name=name,
        shown=shown,
        month=month,
        days=days,
        closed_through=closed_through,
        journal=journal,
        refusal=refusal,
        unmapped=isinstance(refusal, NotMapped),
        today=today,
    )


@routes.get("/finance/journal/{period}/journal.{form}", include_in_schema=False)
@permit("finance:read")
async def journal_file(
    here: Here, person: Clerk, language: Language, period: PeriodText, form: Sheet, detail: bool = False
) -> Response:
    """The journal as a file; of a day with `detail` every transfer, too. 409 not_mapped, journal_untied."""
    shown = _period(period)
    async with here.database.transaction(person.operator_id, isolation="repeatable read") as tx:
        issuer = await operator_name(tx, language)
        journal, legs = await _read(tx, shown, detail)
    name = f"motcham-journal-{shown}{'-detail' if legs is not None else ''}"
    return await download(as_document(journal, shown, legs, issuer, language), form, name, language)


@routes.get("/api/v1/finance/journal")
@permit("finance:read")
async def journal_json(
    here: Here, person: Clerk, answer: Response, period: PeriodText, detail: bool = False
) -> dict[str, Any]:
    """The general journal of a day or a month: amounts in VND, balances as debits - credits.

    A row is all transfers of one event between two accounts on a day; its document number is always the same. Before
    `closed` is true a day may still grow. `detail` lists every transfer of a day. 409 not_mapped, journal_untied.
    """
    answer.headers["cache-control"] = "no-store"
    async with here.database.transaction(person.operator_id, isolation="repeatable read") as tx:
        journal, legs = await _read(tx, _period(period), detail)
    return {
        "first": journal.first,
        "last": journal.last,
        "closed": journal.closed,
        "transfers": journal.count,
        "amount_vnd": journal.amount_vnd,
        "carried_vnd": journal.carried_vnd,
        "rows": [
            {
                "document": row.document,
                "day": row.day,
                "event": row.event,
                "debit": {name: getattr(row.debit, name) for name in ("number", "name", "account")},
                "credit": {name: getattr(row.credit, name) for name in ("number", "name", "account")},
                "transfers": row.count,
                "amount_vnd": row.amount_vnd,
            }
            for row in journal.rows
        ],
        "balances": [{**asdict(row), "closing_vnd": row.closing_vnd} for row in journal.balances],
        "detail": legs and [{**asdict(leg), "debit": leg.debit.number, "credit": leg.credit.number} for leg in legs],
    }


def _period(said: str) -> Period:
    """A year is read by its months."""
    found = period_of(said)
    return period_with(found.first, "month") if found.kind == "year" else found


async def _read(tx: Tx, shown: Period, detail: bool) -> tuple[Journal, list[Leg] | None]:
    journal = await general_journal.of(tx, shown.first, shown.last)
    return journal, await general_journal.legs(tx, shown.first) if detail and shown.kind == "day" else None


async def _made(tx: Tx, shown: Period) -> tuple[Journal | None, Refusal | None]:
    """The journal, or why there is none: the page says so and leads on."""
    try:
        return await general_journal.of(tx, shown.first, shown.last), None
    except (NotMapped, JournalUntied) as refusal:
        return None, refusal


def event_text(language: str, event: str) -> str:
    """What an accountant reads as the text of an entry."""
    return word(language, "posting", event)


def account_text(language: str, account: str) -> str:
    """An account of ours (a key of the chart) in words."""
    family, _, kind = account.partition(".")
    said = word(language, "account", family)
    return f"{said}: {word(language, 'payee_kind', kind)}" if kind else said


def _sides(row: Balance) -> list[int]:
    """A balance in the six columns of a trial balance."""
    return [
        max(row.opening_vnd, 0),
        max(-row.opening_vnd, 0),
        row.debits_vnd,
        row.credits_vnd,
        max(row.closing_vnd, 0),
        max(-row.closing_vnd, 0),
    ]


def as_document(journal: Journal, shown: Period, legs: Sequence[Leg] | None, issuer: str, language: str) -> Document:
    """The journal as it is written to a file."""

    def t(key: str, **facts: object) -> str:
        return texts.text(language, f"finance.journal.{key}", **facts)

    sides = [_sides(row) for row in journal.balances]
    totals = [sum(column) for column in zip(*sides, strict=True)] or [0] * len(SIDES)
    of_house = any(entry.version == 0 for row in journal.rows for entry in (row.debit, row.credit))
    tables = [
        Table(
            t("title"),
            [
                *(Column(t("document")), Column(t("day"), "day"), Column(t("event"))),
                *(Column(t("debit")), Column(t("debit_name")), Column(t("credit")), Column(t("credit_name"))),
                *(Column(t("transfers"), "number"), Column(t("amount"), "money")),
                *(Column(t("our_debit")), Column(t("our_credit"))),
            ],
            [
                [
                    *(row.document, row.day, event_text(language, row.event)),
                    *(row.debit.number, row.debit.name, row.credit.number, row.credit.name),
                    *(row.count, row.amount_vnd),
                    *(account_text(language, entry.account) for entry in (row.debit, row.credit)),
                ]
                for row in journal.rows
            ],
            [t("sum"), *[None] * 6, journal.count, journal.amount_vnd, None, None],
        ),
        Table(
            t("balances"),
            [Column(t("number")), Column(t("name")), *(Column(t(side), "money") for side in SIDES)],
            [[row.number, row.name, *cells] for row, cells in zip(journal.balances, sides, strict=True)],
            [t("sum"), None, *totals],
        ),
    ]
    if legs is not None:
        cells: list[list[Cell]] = [
            [
                *(leg.document, leg.recorded_at, leg.effective_at, event_text(language, leg.event), leg.source),
                *(leg.journal, leg.debit.number, leg.credit.number, leg.amount_vnd),
            ]
            for leg in legs
        ]
        columns = [
            *(Column(t("document")), Column(t("recorded_at"), "moment"), Column(t("effective_at"), "moment")),
            *(Column(t("event")), Column(t("source")), Column(t("entry"))),
            *(Column(t("debit")), Column(t("credit")), Column(t("amount"), "money")),
        ]
        total = [t("sum"), *[None] * 7, sum(leg.amount_vnd for leg in legs)]
        tables.append(Table(t("detail"), columns, cells, total))
    return Document(
        title=t("title_of", period=shown.text(language)),
        issuer=issuer,
        made_at=journal.written_at,
        facts=[
            Fact(t("first"), journal.first, "day"),
            Fact(t("last"), journal.last, "day"),
            Fact(t("state"), t("closed" if journal.closed else "open")),
            Fact(t("transfers"), journal.count, "number"),
            Fact(t("amount"), journal.amount_vnd, "money"),
            Fact(t("carried"), journal.carried_vnd, "money"),
            Fact(t("books_debits"), totals[2], "money"),
            Fact(t("books_credits"), totals[3], "money"),
        ],
        tables=tables,
        notes=[t("no_revenue"), *([t("of_house")] if of_house else [])],
    )
