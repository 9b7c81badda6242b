"""Finance's page of reconciliation: the proof of cash on top, below it the open items with their suggestions, and the acts.

Everything works without a script; with one the list is a grid for the keyboard (reconcile.js).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date, datetime
from typing import Annotated, Any, Literal
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Depends, Form, Query, Request, Response
from fastapi.responses import RedirectResponse

from foundation import audit, clock, texts
from foundation.database import Tx
from foundation.errors import Forbidden, Refusal
from foundation.operator import operator_name
from foundation.staff import OnDuty
from foundation.web import Clerk, Here, Language, Platform, permit
from payments import bank_statement, match_by_hand, matching, open_items
from payments.claim import Difference, Matched
from payments.finance.page import page
from payments.match_by_hand import Name
from payments.open_items import Filter, ItemView
from payments.proof_of_cash import CashProof, items_between, prove_cash

routes = APIRouter(tags=["finance"])
HOME = "/finance/reconciliation"
MOST_CHOSEN = 500
DIFFERENCES: tuple[Difference, ...] = ("fee", "rounding", "shortage", "interest")
NAMES: tuple[Name, ...] = ("next_statement", "bank_asked", "payer_asked", "dispute", "other")


async def _wanted(
    side: Literal["line", "movement"] = "line",
    state: str = "",
    q: Annotated[str, Query(max_length=80)] = "",
    day: str = "",
) -> Filter:
    """The filter as its form sends it; a field left empty stands for everything."""
    known = {"unmatched", "suggested", "ambiguous", "differs", "named"}
    try:
        last = date.fromisoformat(day) if day else None
    except ValueError:
        last = None
    return Filter(side, state if state in known else None, q.strip(), last)  # type: ignore[arg-type]


Wanted = Annotated[Filter, Depends(_wanted)]
Chosen = Annotated[list[UUID], Form(max_length=MOST_CHOSEN, default_factory=list)]
"""Open items; none is for the act to refuse."""
Reason = Annotated[str, Form(max_length=300)]


@routes.get(HOME, include_in_schema=False)
@permit("finance:read")
async def reconciliation_page(
    request: Request,
    here: Here,
    person: Clerk,
    language: Language,
    wanted: Wanted,
    n: int = 1,
    least: int = open_items.SURE,
) -> Response:
    """The proof of cash of the last statement's day, and the open items that the filter finds, a page of them. Whoever
    narrows the list waits for the list only."""
    is_narrow = wanted != Filter(wanted.side)
    n, least = min(max(n, 1), 10_000), min(max(least, 1), 100)
    async with here.database.transaction(person.operator_id, isolation="repeatable read") as tx:
        now, name = await clock.now(tx), await operator_name(tx, language)
        today = clock.hanoi_day(now)
        proof = None if is_narrow else await _proof(tx, None)
        found = await open_items.listed(tx, here.sealer, wanted, today=today, page=n, least=least)
        await _has_read(tx, here, person, wanted, found.items, now)
        asks = await open_items.asks(tx)
        last = await open_items.history(tx, most=1)
    return page(
        request,
        "reconciliation",
        person,
        language,
        now,
        operator_name=name,
        proof=proof,
        hindrance=proof and _hindrance(proof, language),
        wanted=wanted,
        is_narrow=is_narrow,
        found=found,
        least=least,
        digest=match_by_hand.digest_of(found.bulk.ids),
        query=_query(wanted),
        n=n,
        pages=-(-found.count // open_items.PAGE),
        asks=asks,
        limit_vnd=here.settings.refund_limit_vnd,
        last=last,
        today=today,
        differences=DIFFERENCES,
        names=NAMES,
    )


@routes.get(f"{HOME}/cash", include_in_schema=False)
@permit("finance:read")
async def cash_page(request: Request, here: Here, person: Clerk, language: Language, day: clock.Day) -> Response:
    """The proof of cash of a day with every item between the bank and the books."""
    async with here.database.transaction(person.operator_id, isolation="repeatable read") as tx:
        now, name = await clock.now(tx), await operator_name(tx, language)
        proof = await prove_cash(tx, day)
        between = await items_between(tx, day, most=MOST_CHOSEN)
    return page(
        request,
        "cash",
        person,
        language,
        now,
        operator_name=name,
        proof=proof,
        between=between,
        hindrance=_hindrance(proof, language),
        today=clock.hanoi_day(now),
    )


@routes.get(f"{HOME}/items/{{item_id}}", include_in_schema=False)
@permit("finance:read")
async def item_page(request: Request, here: Here, person: Clerk, language: Language, item_id: UUID) -> Response:
    """One open item, with everything on the other side that it could belong to: to be split, grouped or written off."""
    async with here.database.transaction(person.operator_id, isolation="repeatable read") as tx:
        now, name = await clock.now(tx), await operator_name(tx, language)
        item = await open_items.find(tx, here.sealer, item_id)
        if item is None:
            raise match_by_hand.NoSuchItem()
        if item.said:
            subject = f"statement {item.row['statement_id']} {item.row['position']}"
            await audit.note(tx, person.staff_id, "statement.read", subject, now=now)
        others = await open_items.candidates(tx, item_id)
        asks = await open_items.asks(tx, item_id)
    return page(
        request,
        "open_item",
        person,
        language,
        now,
        operator_name=name,
        item=item,
        others=others,
        asks=asks,
        differences=DIFFERENCES,
        names=NAMES,
        limit_vnd=here.settings.refund_limit_vnd,
        today=clock.hanoi_day(now),
    )


@routes.get(f"{HOME}/history", include_in_schema=False)
@permit("finance:read")
async def history_page(
    request: Request, here: Here, person: Clerk, language: Language, before: UUID | None = None
) -> Response:
    """What was matched, written off, booked, named and undone, newest first."""
    async with here.database.transaction(person.operator_id, isolation="repeatable read") as tx:
        now, name = await clock.now(tx), await operator_name(tx, language)
        events = await open_items.history(tx, before=before)
    return page(
        request,
        "matchings",
        person,
        language,
        now,
        operator_name=name,
        events=events,
        about={event["id"]: open_items.about(event) for event in events},
        older=events[-1]["id"] if len(events) == open_items.PAGE else None,
    )


@routes.post(f"{HOME}/run", include_in_schema=False)
@permit("finance:handle")
async def run_again(here: Here, person: Clerk) -> Response:
    """Matches anew; with nothing new it changes nothing."""
    await matching.run(here.database, here.sealer, person.operator_id)
    return RedirectResponse(HOME, 303)


@routes.post(f"{HOME}/accept", include_in_schema=False)
@permit("finance:handle")
async def accept(
    here: Here,
    person: Clerk,
    wanted: Wanted,
    suggestion: Annotated[UUID | None, Form()] = None,
    seen: Annotated[str, Form(max_length=64)] = "",
    least: Annotated[int, Form(ge=1, le=100)] = open_items.SURE,
) -> Response:
    """Accepts one suggestion; or, without one, exactly the set that the page counted (`seen`) under the filter of the address."""
    async with here.database.transaction(person.operator_id) as tx:
        if suggestion is not None:
            ids: Sequence[UUID] = [suggestion]
            seen = match_by_hand.digest_of(ids)
        else:
            items = await open_items.filtered(tx, here.sealer, wanted)
            ids = (await open_items.bulk(tx, items, least=least)).ids
        await match_by_hand.accept(tx, ids, staff_id=person.staff_id, seen=seen, now=await clock.now(tx))
    return RedirectResponse(f"{HOME}?{_query(wanted)}#items", 303)


@routes.post(f"{HOME}/match", include_in_schema=False)
@permit("finance:handle")
async def match(
    here: Here,
    person: Clerk,
    wanted: Wanted,
    item: Chosen,
    difference: Annotated[Difference | Literal[""], Form()] = "",
    reason: Reason = "",
) -> Response:
    """What was chosen is one; what differs is what the clerk says. Above his limit of the day a second person is asked."""
    async with here.database.transaction(person.operator_id) as tx:
        asked = await match_by_hand.match(
            tx,
            item,
            difference=difference or None,
            reason=reason,
            staff_id=person.staff_id,
            limit_vnd=here.settings.refund_limit_vnd,
            now=await clock.now(tx),
        )
    return RedirectResponse(f"{HOME}?{_query(wanted)}#{'asked' if asked else 'items'}", 303)


@routes.post(f"{HOME}/name", include_in_schema=False)
@permit("finance:handle")
async def name_items(
    here: Here,
    person: Clerk,
    wanted: Wanted,
    name: Annotated[Name, Form()],
    item: Chosen,
    reason: Reason = "",
) -> Response:
    """Why items stay open. Above the clerk's limit of the day a second person is asked."""
    async with here.database.transaction(person.operator_id) as tx:
        asked = await match_by_hand.name(
            tx,
            item,
            name,
            note=reason,
            staff_id=person.staff_id,
            limit_vnd=here.settings.refund_limit_vnd,
            now=await clock.now(tx),
        )
    return RedirectResponse(f"{HOME}?{_query(wanted)}#{'asked' if asked else 'items'}", 303)


@routes.post(f"{HOME}/book", include_in_schema=False)
@permit("finance:read")
async def book(
    here: Here,
    person: Clerk,
    wanted: Wanted,
    item: Chosen,
) -> Response:
    """Lines that only the statement knows come into the books; of a file that a clerk gave in, by who may agree to his acts."""
    _handles_or_approves(person)
    async with here.database.transaction(person.operator_id) as tx:
        now = await clock.now(tx)
        for id in item:
            await match_by_hand.book(tx, here.database, here.sealer, id, staff_id=person.staff_id, now=now)
        if not item:
            raise match_by_hand.NothingChosen()
    return RedirectResponse(f"{HOME}?{_query(wanted)}#items", 303)


@routes.post(f"{HOME}/asks/{{id}}", include_in_schema=False)
@permit("finance:approve")
async def decide(here: Here, person: Clerk, id: UUID, agree: Annotated[bool, Form()] = False) -> Response:
    """A second person agrees to a difference or a name, or refuses."""
    async with here.database.transaction(person.operator_id) as tx:
        await match_by_hand.decide_ask(tx, id, agree=agree, staff_id=person.staff_id, now=await clock.now(tx))
    return RedirectResponse(HOME, 303)


@routes.get("/finance/movements/{kind}/{movement_id}", include_in_schema=False)
@permit("finance:read")
async def movement_page(
    request: Request, here: Here, person: Clerk, language: Language, kind: str, movement_id: UUID
) -> Response:
    """A movement of the books: which lines of the bank it is, or what else was said of it."""
    matched = Matched(kind=kind, movement_id=movement_id)
    async with here.database.transaction(person.operator_id, isolation="repeatable read") as tx:
        now, name = await clock.now(tx), await operator_name(tx, language)
        moved = await open_items.movement(tx, kind, movement_id)
        if moved is None:
            raise match_by_hand.NoSuchItem()
        lines = await open_items.lines_with(tx, matched)
        movements = await open_items.matched_with(tx, matched)
    return page(
        request,
        "movement",
        person,
        language,
        now,
        operator_name=name,
        moved=moved,
        lines=lines,
        movements=movements,
    )


@routes.post("/finance/lines/{statement_id}/{position}/undo", include_in_schema=False)
@permit("finance:read")
async def undo(here: Here, person: Clerk, statement_id: UUID, position: int, reason: Reason = "") -> Response:
    """Takes the match of a line back, by its reversal."""
    await _undo(here, person, Matched(statement_id, position), reason)
    return RedirectResponse(f"/finance/lines/{statement_id}/{position}", 303)


@routes.post("/finance/movements/{kind}/{movement_id}/undo", include_in_schema=False)
@permit("finance:read")
async def undo_of_movement(here: Here, person: Clerk, kind: str, movement_id: UUID, reason: Reason = "") -> Response:
    """The same of a movement, also of one that was written off without a line."""
    await _undo(here, person, Matched(kind=kind, movement_id=movement_id), reason)
    return RedirectResponse(f"/finance/movements/{kind}/{movement_id}", 303)


@routes.get("/api/v1/finance/proof-of-cash")
@permit("finance:read")
async def proof_of_cash_json(
    here: Here, person: Clerk, answer: Response, day: clock.Day | None = None
) -> dict[str, Any]:
    """The proof of cash of a day (the last statement's, unless another is asked for): amounts in VND. `hindrance`: the code of
    what holds up the close of the day."""
    answer.headers["cache-control"] = "no-store"
    async with here.database.transaction(person.operator_id, isolation="repeatable read") as tx:
        proof = await _proof(tx, day)
    if proof is None:
        raise bank_statement.NoSuchStatement()
    refused: Refusal | None = proof.hindrance()
    return {
        **asdict(proof),
        "closing_vnd": proof.closing_vnd,
        "before_vnd": proof.before_vnd,
        "should_vnd": proof.should_vnd,
        "difference_vnd": proof.difference_vnd,
        "hindrance": refused.code if refused else None,
    }


@routes.get("/api/v1/finance/open-items")
@permit("finance:read")
async def open_items_json(here: Here, person: Clerk, wanted: Wanted, answer: Response, n: int = 1) -> dict[str, Any]:
    """Open items with their suggestions, a page of 50: `side` line or movement, `state`, `q` text or amount, `day` up to."""
    answer.headers["cache-control"] = "no-store"
    async with here.database.transaction(person.operator_id, isolation="repeatable read") as tx:
        now = await clock.now(tx)
        found = await open_items.listed(
            tx, here.sealer, wanted, today=clock.hanoi_day(now), page=min(max(n, 1), 10_000)
        )
        await _has_read(tx, here, person, wanted, found.items, now)
    return {
        "count": found.count,
        "sum_vnd": found.sum_vnd,
        "bulk": {
            "lines": found.bulk.lines,
            "sum_vnd": found.bulk.sum_vnd,
            "seen": match_by_hand.digest_of(found.bulk.ids),
        },
        "items": [
            {
                **{k: v for k, v in item.row.items() if k not in ("sealed", "operator_id", "codes")},
                "text": item.said[0] if item.said else None,
                "suggestions": [
                    {
                        **{
                            name: getattr(each, name)
                            for name in ("id", "rule", "score", "days", "difference_vnd", "ambiguous")
                        },
                        "items": [row["item_id"] for row in each.items],
                    }
                    for each in item.proposals
                ],
            }
            for item in found.items
        ],
    }


async def _has_read(
    tx: Tx, here: Platform, person: OnDuty, wanted: Filter, items: Sequence[ItemView], now: datetime
) -> None:
    """Whose texts were shown in clear, a page of them in one entry; what was searched for by a keyed tag, never in clear."""
    read: dict[str, list[int]] = defaultdict(list)
    for item in items:
        if item.said:
            read[str(item.row["statement_id"])].append(item.row["position"])
    if read:
        read = {statement: sorted(positions) for statement, positions in read.items()}
        after: dict[str, Any] = {"lines": sum(map(len, read.values())), "positions": read}
        if wanted.text:
            after["search"] = here.sealer.tag(person.operator_id, "search " + texts.fold(wanted.text)).hex()[:16]
        await audit.note(tx, person.staff_id, "items.read", "open items", after=after, now=now)


def _handles_or_approves(person: OnDuty) -> None:
    """Raises Forbidden for who only reads."""
    if not person.permissions & {"finance:handle", "finance:approve"}:
        raise Forbidden()


async def _undo(here: Platform, person: OnDuty, matched: Matched, reason: str) -> None:
    _handles_or_approves(person)
    async with here.database.transaction(person.operator_id) as tx:
        await match_by_hand.undo(
            tx,
            matched,
            staff_id=person.staff_id,
            may_approve="finance:approve" in person.permissions,
            reason=reason,
            now=await clock.now(tx),
        )


async def _proof(tx: Tx, day: date | None) -> CashProof | None:
    """The proof of that day, or of the last statement's."""
    day = day or await tx.value(
        "select max(day) from payments.standing_statements($1) where state = 'accepted'", tx.operator_id
    )
    return await prove_cash(tx, day) if day else None


def _hindrance(proof: CashProof, language: str) -> str | None:
    """What holds up the close of the day, in the reader's language."""
    refused = proof.hindrance()
    return texts.refusal_text(language, refused) if refused else None


def _query(wanted: Filter) -> str:
    said = {"side": wanted.side, "state": wanted.state or "", "q": wanted.text, "day": wanted.last or ""}
    return urlencode({name: value for name, value in said.items() if value})
