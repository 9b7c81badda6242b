"""Finance's pages of what each payee is due: the settled days, a payee's statement with all its lines, and as a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request, Response

from foundation import clock, texts
from foundation.database import Tx
from foundation.operator import operator_name
from foundation.web import Clerk, Here, Language, permit
from payments import contract, dues, payee_statement, settlement
from payments.dues import DueView
from payments.explain import Explanation, explain
from payments.finance.document import Column, Document, Fact, Kind, Table
from payments.finance.download import Form, download
from payments.finance.page import page
from payments.finance.words import word
from payments.payee_statement import AdjustmentView, HeldView, LineView, PaidView, StatementView

routes = APIRouter(tags=["finance"])
LISTED_MAX = 200


@dataclass(frozen=True, slots=True)
class Whole:
    """A statement with everything that it is made of."""

    said: StatementView
    others: Sequence[StatementView]
    """Of the same day."""
    lines: Sequence[LineView]
    count: int
    what: dict[tuple[str, str], Explanation]
    adjustments: Sequence[AdjustmentView]
    held: Sequence[HeldView]
    paid: PaidView | None
    late: Sequence[DueView]
    """Open dues that concern the payee: what the operator owes, or what it is owed."""


@routes.get("/finance/settlements", include_in_schema=False)
@permit("finance:read")
async def settlements_page(request: Request, here: Here, person: Clerk, language: Language) -> Response:
    """The days settled last with what each payee got, what waits for a contract, and what is owed and late."""
    async with here.database.transaction(person.operator_id, isolation="repeatable read") as tx:
        now, name = await clock.now(tx), await operator_name(tx, language)
        today = clock.hanoi_day(now)
        payees = await contract.payees(tx)
        days = await payee_statement.days(tx)
        waiting = await payee_statement.waiting(tx, until=days[0].day) if days else []
        owed = await dues.still_open(tx)
        held_back_vnd = await payee_statement.held_back_vnd(tx)
        following = await settlement.next_day(tx)
    return page(
        request,
        "settlements",
        person,
        language,
        now,
        operator_name=name,
        payees=payees,
        days=days,
        waiting=waiting,
        owed=[(item, _of(payees, item.payee_id)) for item in owed],
        held_back_vnd=held_back_vnd,
        following=following,
        settles_at=settlement.SETTLES_AT,
        due_text=lambda item: due_text(item, language),
        today=today,
    )


@routes.get("/finance/settlements/{day}/{payee_id}", include_in_schema=False)
@permit("finance:read")
async def statement_page(
    request: Request, here: Here, person: Clerk, language: Language, day: clock.Day, payee_id: UUID
) -> Response:
    """A payee's statement of a day: the equation, and every line that it is made of."""
    async with here.database.transaction(person.operator_id, isolation="repeatable read") as tx:
        now, name = await clock.now(tx), await operator_name(tx, language)
        whole = await _whole(tx, day, payee_id, most=LISTED_MAX)
        following = await tx.value(
            "select min(day) from payments.settlement where operator_id = $1 and day > $2", tx.operator_id, day
        )
        before = await tx.value(
            "select max(day) from payments.settlement where operator_id = $1 and day < $2", tx.operator_id, day
        )
    return page(
        request,
        "statement",
        person,
        language,
        now,
        operator_name=name,
        whole=whole,
        adjustment_text=lambda each: adjustment_text(each, language),
        due_text=lambda item: due_text(item, language),
        paid_text=lambda paid: paid_text(paid, language),
        before=before,
        following=following,
        today=clock.hanoi_day(now),
    )


@routes.get("/finance/settlements/{day}/{payee_id}/statement.{form}", include_in_schema=False)
@permit("finance:read")
async def statement_file(
    here: Here, person: Clerk, language: Language, day: clock.Day, payee_id: UUID, form: Form
) -> Response:
    """The statement as a file, with all its lines: CSV, Excel or PDF."""
    async with here.database.transaction(person.operator_id, isolation="repeatable read") as tx:
        issuer = await operator_name(tx, language)
        whole = await _whole(tx, day, payee_id)
    name = f"motcham-{day.isoformat()}-{whole.said.payee.kind}"
    return await download(as_document(whole, issuer, language), form, name, language)


@routes.get("/api/v1/finance/settlements")
@permit("finance:read")
async def settlements_json(
    here: Here, person: Clerk, answer: Response, day: clock.Day | None = None
) -> list[dict[str, Any]]:
    """The settled days (the last 31, or one), newest first, with every payee's statement: amounts in VND, instants in UTC.

    Of each statement gross - refunds - fees + adjustments - reserve = net; `owed_vnd` is what was carried over and the net.
    """
    answer.headers["cache-control"] = "no-store"
    async with here.database.transaction(person.operator_id, isolation="repeatable read") as tx:
        return [
            {
                "day": settled.day,
                "journals": settled.journals,
                "sold_vnd": settled.sold_vnd,
                "given_back_vnd": settled.given_back_vnd,
                "made_at": settled.made_at,
                "sha256": settled.digest.hex(),
                "statements": [
                    {
                        "payee_id": said.payee.id,
                        "payee_kind": said.payee.kind,
                        **{
                            name: value
                            for name, value in asdict(said).items()
                            if name not in ("payee", "day", "made_at")
                        },
                        "owed_vnd": said.owed_vnd,
                    }
                    for said in settled.statements
                ],
            }
            for settled in await payee_statement.days(tx, day=day)
        ]


async def _whole(tx: Tx, day: date, payee_id: UUID, *, most: int | None = None) -> Whole:
    (settled,) = await payee_statement.days(tx, day=day)
    said = settled.of(payee_id)
    lines, count = await payee_statement.lines(tx, day, payee_id, most=most)
    return Whole(
        said,
        settled.statements,
        lines,
        count,
        await explain(tx, [(line.purpose, line.reference) for line in lines]),
        await payee_statement.adjustments(tx, day, payee_id),
        await payee_statement.held(tx, day, payee_id),
        await payee_statement.paid_by(tx, day, payee_id),
        [item for item in await dues.still_open(tx) if said.payee.kind == "operator" or item.payee_id == payee_id],
    )


def as_document(whole: Whole, issuer: str, language: str) -> Document:
    """The statement as it is written to a file: the same figures as on the page, and all lines."""
    said = whole.said

    def t(key: str, **facts: object) -> str:
        return texts.text(language, f"finance.settlement.{key}", **facts)

    def facts() -> list[Fact]:
        payee = said.payee
        of_budget = [
            Fact(t("treasury"), payee.treasury or ""),
            Fact(t("budget_line"), payee.budget_line or ""),
        ]
        equation = [Fact(t(name), getattr(said, f"{name}_vnd"), "money") for name in EQUATION]
        return [
            Fact(t("payee"), payee.name(language)),
            *([Fact(t("tax_code"), payee.tax_code)] if payee.tax_code else []),
            *(of_budget if payee.treasury else []),
            Fact(t("day"), said.day, "day"),
            *equation,
            Fact(t("carried"), said.carried_vnd, "money"),
            Fact(t("owed"), said.owed_vnd, "money"),
            Fact(t("due_on"), said.due_on, "day"),
            *([Fact(t("paid"), paid_text(whole.paid, language))] if whole.paid else []),
        ]

    tables = []
    for back in (False, True):
        rows = [_line_cells(line, whole.what, language) for line in whole.lines if line.back is back]
        if rows or not back:
            total = [t("sum"), *[None] * 5, *(sum(row[n] for row in rows) for n in (6, 7, 8))]
            tables.append(Table(t("give_backs" if back else "sales"), _line_columns(language), rows, total))
    if whole.adjustments:
        tables.append(
            Table(
                t("adjustments"),
                [Column(t("what")), Column(t("amount"), "money"), Column(t("level"), "money")],
                [[adjustment_text(each, language), each.amount_vnd, each.level_vnd] for each in whole.adjustments],
            )
        )
    if whole.held:
        tables.append(
            Table(
                t("reserve"),
                [Column(t("held_day"), "day"), Column(t("amount"), "money"), Column(t("release_on"), "day")],
                [[each.day, each.amount_vnd, each.release_on] for each in whole.held],
            )
        )
    if whole.late:
        tables.append(
            Table(
                t("dues"),
                [Column(t("what")), Column(t("due_on"), "day"), Column(t("open"), "money")],
                [[due_text(item, language), item.due_on, item.left_vnd] for item in whole.late],
            )
        )
    return Document(
        title=t("title", day=clock.day_text(said.day, language)),
        issuer=issuer,
        made_at=said.made_at,
        facts=facts(),
        tables=tables,
        notes=[t("equation")],
    )


EQUATION = ("gross", "refunds", "fees", "adjustments", "reserve", "net")


def _line_columns(language: str) -> list[Column]:
    names: tuple[tuple[str, Kind], ...] = (
        *(("at", "moment"), ("reference", "text"), ("what", "text"), ("service", "text"), ("means", "text")),
        *(("price", "money"), ("part", "money"), ("fee", "money"), ("fee_vat", "money")),
    )
    return [Column(texts.text(language, f"finance.settlement.{name}"), kind) for name, kind in names]


def _line_cells(line: LineView, what: dict[tuple[str, str], Explanation], language: str) -> list[Any]:
    said = what.get((line.purpose, line.reference))
    return [
        line.at,
        line.charge,
        said.text(language) if said else texts.text(language, "finance.unexplained"),
        f"{word(language, 'service', line.service)} {line.place}",
        word(language, "means", line.means),
        line.price_vnd,
        line.part_vnd,
        line.fee_vnd,
        line.fee_vat_vnd,
    ]


def adjustment_text(each: AdjustmentView, language: str) -> str:
    """`Notes that the operator keeps`, or which rent."""
    return due_text(each.due, language) if each.due else texts.text(language, f"finance.settlement.kept.{each.kind}")


def paid_text(paid: PaidView, language: str) -> str:
    """`MC000007, paid 23 Nov 2026 08:12; the sales had waited 14 h on average, 22 h at most`."""
    said = f"MC{paid.number:06}, {texts.text(language, f'finance.payouts.state.{paid.state}')}"
    if paid.left_at is None or paid.hours is None:
        return said
    waited = texts.text(language, "finance.settlement.waited", n=paid.hours, most=paid.longest_hours)
    return f"{said} {clock.moment_text(paid.left_at, language)}; {waited}"


def due_text(item: DueView, language: str) -> str:
    """`Rent of DD1, 09/2026: 40 m²`."""
    return texts.text(
        language, "finance.settlement.rent", place=item.place_code, month=f"{item.month:%m/%Y}", area=item.area_m2
    )


def _of(payees: Sequence[contract.PayeeView], id: UUID) -> contract.PayeeView:
    return next(payee for payee in payees if payee.id == id)
