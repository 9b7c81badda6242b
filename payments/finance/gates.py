"""Finance's gate book: what came to each gate and left it, beside what was paid for it, as a page, as JSON and as a file."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Literal

from fastapi import APIRouter, Request, Response

from foundation import clock, texts
from foundation.operator import operator_name
from foundation.web import Clerk, Here, Language, permit
from payments import gate_book
from payments.finance.document import Column, Document, Fact, Table
from payments.finance.download import download
from payments.finance.page import page
from payments.gate_book import GateBook

routes = APIRouter(tags=["finance"])


@routes.get("/finance/gates", include_in_schema=False)
@permit("finance:read")
async def gates_page(
    request: Request, here: Here, person: Clerk, language: Language, day: clock.Day | None = None
) -> Response:
    """A day: each gate in vehicles and đồng, then everything that does not fit."""
    async with here.database.transaction(person.operator_id, isolation="repeatable read") as tx:
        now, name = await clock.now(tx), await operator_name(tx, language)
        today = clock.hanoi_day(now)
        book = await gate_book.of(tx, day or today)
    names = {gate.place: gate.name(language) for gate in book.gates}
    return page(request, "gates", person, language, now, operator_name=name, book=book, names=names, today=today)


@routes.get("/finance/gates/{day}/gates.{form}", include_in_schema=False)
@permit("finance:read")
async def gates_file(
    here: Here, person: Clerk, language: Language, day: clock.Day, form: Literal["csv", "xlsx"]
) -> Response:
    """The gate book of a day as a file."""
    async with here.database.transaction(person.operator_id, isolation="repeatable read") as tx:
        issuer = await operator_name(tx, language)
        book = await gate_book.of(tx, day)
    return await download(as_document(book, issuer, language), form, f"motcham-gates-{day}", language)


@routes.get("/api/v1/finance/gates")
@permit("finance:read")
async def gates_json(here: Here, person: Clerk, answer: Response, day: clock.Day) -> dict[str, Any]:
    """What came to each gate on a day and left it, in vehicles, and what was paid for what left, in VND.

    `difference` is 0 where `before` + `came` - `left` = `standing`. `differences` are named by `rule`; `amount` is in VND, of
    the rule `counter` in vehicles.
    """
    answer.headers["cache-control"] = "no-store"
    async with here.database.transaction(person.operator_id, isolation="repeatable read") as tx:
        book = await gate_book.of(tx, day)
    counts = ("place", "name_vi", "name_en", "before", "came", "left", "standing", "announced", "difference", "paid")
    return {
        "day": book.day,
        "gates": [
            {name: getattr(gate, name) for name in counts}
            | {"free": gate.free, "settled_vnd": gate.settled_vnd, "paid_vnd": book.paid_vnd[gate.place]}
            for gate in book.gates
        ],
        "differences": [asdict(difference) for difference, _ in book.differences],
    }


def as_document(book: GateBook, issuer: str, language: str) -> Document:
    """The gate book as it is written to a file."""

    def t(key: str, **facts: object) -> str:
        return texts.text(language, f"finance.gates.{key}", **facts)

    names = {gate.place: gate.name(language) for gate in book.gates}
    counts = ("before", "came", "left", "standing", "announced", "difference", "paid", "free")
    sums = [sum(getattr(gate, name) for gate in book.gates) for name in counts]
    return Document(
        title=t("title_of", day=clock.day_text(book.day, language)),
        issuer=issuer,
        made_at=clock.start_of_day(book.day),
        facts=[Fact(t("day"), book.day, "day"), Fact(t("differences"), len(book.differences), "number")],
        tables=[
            Table(
                t("by_gate"),
                [
                    Column(t("gate")),
                    *(Column(t(name), "number") for name in counts),
                    Column(t("settled"), "money"),
                    Column(t("money"), "money"),
                ],
                [
                    [
                        gate.name(language),
                        *(getattr(gate, name) for name in counts),
                        gate.settled_vnd,
                        book.paid_vnd[gate.place],
                    ]
                    for gate in book.gates
                ],
                [t("sum"), *sums, sum(gate.settled_vnd for gate in book.gates), sum(book.paid_vnd.values())],
            ),
            Table(
                t("differences"),
                [
                    *(Column(t("gate")), Column(t("what")), Column(t("thing")), Column(t("amount"), "number")),
                    *(Column(t("at"), "moment"), Column(t("staff")), Column(t("device"))),
                ],
                [
                    [
                        names.get(each.place or 0, ""),
                        t(f"rule.{each.rule}"),
                        said.text(language) if said else each.reference,
                        each.amount,
                        each.at,
                        each.staff,
                        each.device,
                    ]
                    for each, said in book.differences
                ],
            ),
        ],
        notes=[t("hint")],
    )
