"""Finance's report of what was taken: means × channel × service by day of a month or by month of a year."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any, Literal

from fastapi import APIRouter, Request, Response

from foundation import clock, texts
from foundation.operator import operator_name
from foundation.web import Clerk, Here, Language, permit
from payments import takings
from payments.finance.document import Cell, Column, Document, Fact, Table
from payments.finance.download import download
from payments.finance.journal import Sheet
from payments.finance.page import page
from payments.finance.period import Period, PeriodText, period_of, period_with
from payments.finance.words import word
from payments.takings import GivenBack, Group, Takings

routes = APIRouter(tags=["finance"])


@dataclass(frozen=True, slots=True)
class Part:
    """A day of the month or a month of the year."""

    period: Period
    taken: Takings

    def sum_of(self, means: str, channel: str) -> int:
        return sum(g.amount_vnd for g in self.taken.groups if (g.means, g.channel) == (means, channel))


@routes.get("/finance/sales", include_in_schema=False)
@permit("finance:read")
async def sales_page(
    request: Request, here: Here, person: Clerk, language: Language, period: PeriodText | None = None
) -> Response:
    """The sums of the period by service, means and channel, and each of its days or months."""
    async with here.database.transaction(person.operator_id, isolation="repeatable read") as tx:
        now, name = await clock.now(tx), await operator_name(tx, language)
        today = clock.hanoi_day(now)
        shown = _period(period) if period else period_with(today, "month")
        taken = await takings.of(tx, shown.first, shown.last)
    return page(
        request,
        "sales",
        person,
        language,
        now,
        operator_name=name,
        shown=shown,
        today=today,
        taken=taken,
        summed=Takings(*(_summed(rows, shown.first) for rows in (taken.groups, taken.free, taken.given_back))),
        pairs=sorted({(group.means, group.channel) for group in taken.groups}),
        parts=[part for part in parts_of(taken, shown) if part.period.first <= today],
    )


@routes.get("/finance/sales/{period}/sales.{form}", include_in_schema=False)
@permit("finance:read")
async def sales_file(here: Here, person: Clerk, language: Language, period: PeriodText, form: Sheet) -> Response:
    """The report as a file: the sums, then a row for each day or month, service, means and channel."""
    shown = _period(period)
    async with here.database.transaction(person.operator_id, isolation="repeatable read") as tx:
        issuer = await operator_name(tx, language)
        taken = await takings.of(tx, shown.first, shown.last)
    return await download(as_document(taken, shown, issuer, language), form, f"motcham-sales-{shown}", language)


@routes.get("/api/v1/finance/sales")
@permit("finance:read")
async def sales_json(here: Here, person: Clerk, answer: Response, period: PeriodText) -> dict[str, Any]:
    """Means x channel x service by day of a month (2026-11) or by month of a year (2026): sales and VND, what was free,
    and apart from them what was given back on a day of what was paid by a means, whenever that was."""
    answer.headers["cache-control"] = "no-store"
    shown = _period(period)
    async with here.database.transaction(person.operator_id, isolation="repeatable read") as tx:
        taken = await takings.of(tx, shown.first, shown.last)
    return {
        "first": shown.first,
        "last": shown.last,
        "lines": taken.lines,
        "sum_vnd": taken.sum_vnd,
        "given_back_vnd": taken.given_back_vnd,
        "parts": [
            {
                "period": str(part.period),
                "groups": [without_day(group) for group in part.taken.groups],
                "free": [without_day(group) for group in part.taken.free],
                "given_back": [without_day(row) for row in part.taken.given_back],
            }
            for part in parts_of(taken, shown)
            if part.taken.groups or part.taken.free or part.taken.given_back
        ],
    }


def _period(said: str) -> Period:
    """A day is shown within its month."""
    found = period_of(said)
    return period_with(found.first, "month") if found.kind == "day" else found


def parts_of(taken: Takings, shown: Period) -> list[Part]:
    """The takings of each day of a month, or of each month of a year, the empty ones as well."""
    kind: Literal["day", "month"] = "month" if shown.kind == "year" else "day"

    def of(part: Period, rows: Sequence[Any]) -> list[Any]:
        return _summed((row for row in rows if period_with(row.day, kind) == part), part.first)

    return [Part(part, Takings(*(of(part, rows) for rows in _all(taken)))) for part in shown.parts]


def _all(taken: Takings) -> tuple[Sequence[Any], ...]:
    return taken.groups, taken.free, taken.given_back


def _summed(rows: Iterable[Group | GivenBack], first: date) -> list[Any]:
    """Rows of several days as those of one, sums of what is alike."""
    counts: Counter[tuple[type, str, str, str]] = Counter()
    sums: Counter[tuple[type, str, str, str]] = Counter()
    for row in rows:
        key = (type(row), getattr(row, "service", ""), row.means, getattr(row, "channel", ""))
        counts[key] += row.lines if isinstance(row, Group) else row.count
        sums[key] += row.amount_vnd
    return [
        Group(first, service, means, channel, counts[key], sums[key])
        if kind is Group
        else GivenBack(first, means, counts[key], sums[key])
        for key in sorted(counts, key=lambda key: key[1:])
        for kind, service, means, channel in [key]
    ]


def without_day(row: Group | GivenBack) -> dict[str, Any]:
    return {name: value for name, value in asdict(row).items() if name != "day"}


def as_document(taken: Takings, shown: Period, issuer: str, language: str) -> Document:
    """The report as it is written to a file."""

    def t(key: str, **facts: object) -> str:
        return texts.text(language, f"finance.sales.{key}", **facts)

    by_day = shown.kind == "month"
    when = Column(t("day" if by_day else "month"), "day" if by_day else "text")
    of_group = [Column(t("service")), Column(t("means")), Column(t("channel"))]
    figures = [Column(t("lines"), "number"), Column(t("amount"), "money")]
    parts = parts_of(taken, shown)

    def said(part: Period) -> Cell:
        return part.first if by_day else str(part)

    def group_cells(group: Group) -> list[Cell]:
        channel = word(language, "channel", group.channel) if group.channel else None
        words = [word(language, "service", group.service), word(language, "means", group.means), channel]
        return [*words, group.lines, group.amount_vnd]

    def total(before: int, count: int, amount_vnd: int) -> list[Cell]:
        return [t("sum"), *[None] * (before - 1), count, amount_vnd]

    free = sum(group.lines for group in taken.free)
    back = sum(row.count for row in taken.given_back)
    return Document(
        title=t("title_of", period=shown.text(language)),
        issuer=issuer,
        made_at=clock.start_of_day(shown.first),
        facts=[
            Fact(t("first"), shown.first, "day"),
            Fact(t("last"), shown.last, "day"),
            Fact(t("lines"), taken.lines, "number"),
            Fact(t("amount"), taken.sum_vnd, "money"),
            Fact(t("given_back"), taken.given_back_vnd, "money"),
            Fact(t("left"), taken.sum_vnd - taken.given_back_vnd, "money"),
        ],
        tables=[
            Table(
                t("together"),
                [*of_group, *figures],
                [group_cells(group) for group in _summed(taken.groups, shown.first)],
                total(3, taken.lines, taken.sum_vnd),
            ),
            Table(
                t("by_day" if by_day else "by_month"),
                [when, *of_group, *figures],
                [[said(part.period), *group_cells(group)] for part in parts for group in part.taken.groups],
                total(4, taken.lines, taken.sum_vnd),
            ),
            Table(
                t("given_back"),
                [when, Column(t("means")), Column(t("give_backs"), "number"), Column(t("amount"), "money")],
                [
                    [said(part.period), word(language, "means", row.means), row.count, row.amount_vnd]
                    for part in parts
                    for row in part.taken.given_back
                ],
                total(2, back, taken.given_back_vnd),
            ),
            Table(
                t("free"),
                [when, Column(t("service")), Column(t("means")), Column(t("lines"), "number")],
                [
                    [said(part.period), group_cells(group)[0], group_cells(group)[1], group.lines]
                    for part in parts
                    for group in part.taken.free
                ],
                [t("sum"), None, None, free],
            ),
        ],
        notes=[t("hint")],
    )
