"""Open items as a person sees them: filtered, with their suggestions, with what a bulk of them would be; and the history.

Only reads; the acts are those of `matching`. A filter is always applied by the server to everything, never to the page shown.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal
from uuid import UUID

from foundation.database import Tx
from foundation.seal import Sealer
from foundation.texts import fold
from payments import bank_statement
from payments.claim import MATCH_OF, Matched

PAGE = 50
NAMED_MAX = 20
SURE = 65
"""A bulk takes suggestions with this score at least, unless somebody says another."""
AGES = ((0, 1), (2, 3), (4, 7), (8, None))
"""Buckets of days."""
State = Literal["unmatched", "suggested", "ambiguous", "differs", "named"]


@dataclass(frozen=True, slots=True)
class Filter:
    """What of the open items is wanted. `text`: in a line's text, its counterparty or reference; or an amount."""

    side: Literal["line", "movement"] = "line"
    state: State | None = None
    text: str = ""
    last: date | None = None


@dataclass(frozen=True, slots=True)
class Proposal:
    """A suggestion with its items, lines first."""

    id: UUID
    rule: str
    score: int
    days: int
    difference_vnd: int
    ambiguous: bool
    items: Sequence[Any] = ()


@dataclass(frozen=True, slots=True)
class ItemView:
    """An open item: `said` is a line's text, counterparty and its account."""

    row: Any
    said: Sequence[str]
    proposals: Sequence[Proposal] = ()


@dataclass(frozen=True, slots=True)
class Bulk:
    """Suggestions that may be accepted together: each alone fits its items, to the đồng."""

    ids: Sequence[UUID]
    lines: int
    sum_vnd: int


@dataclass(frozen=True, slots=True)
class Listed:
    """A page of open items, and count and sum of all that the filter finds."""

    items: Sequence[ItemView]
    count: int
    sum_vnd: int
    bulk: Bulk
    ages: Sequence[tuple[int, int | None, int, int]] = field(default_factory=list)
    """Buckets of days (first, last): count and sum of all open items of that side."""


async def listed(tx: Tx, sealer: Sealer, wanted: Filter, *, today: date, page: int = 1, least: int = SURE) -> Listed:
    """The page `page` (from 1) of what the filter finds."""
    found = await _found(tx, sealer, wanted)
    shown = found[(page - 1) * PAGE : page * PAGE]
    items = await _views(tx, sealer, [row["id"] for row in shown])
    ages = []
    totals = await tx.rows(
        "select day, count(*) as count, sum(amount_vnd)::bigint as sum_vnd from payments.open_item"
        " where operator_id = $1 and side = $2 group by day",
        tx.operator_id,
        wanted.side,
    )
    for first, last in AGES:
        there = [row for row in totals if first <= (today - row["day"]).days <= (10**6 if last is None else last)]
        ages.append((first, last, sum(row["count"] for row in there), sum(row["sum_vnd"] for row in there)))
    return Listed(
        items,
        len(found),
        sum(row["amount_vnd"] for row in found),
        await bulk(tx, [row["id"] for row in found], least=least),
        ages,
    )


async def filtered(tx: Tx, sealer: Sealer, wanted: Filter) -> list[UUID]:
    """Everything that the filter finds."""
    return [row["id"] for row in await _found(tx, sealer, wanted)]


async def bulk(tx: Tx, items: Sequence[UUID], *, least: int = SURE) -> Bulk:
    """The suggestions for these items that may be accepted together."""
    row = await tx.row(
        "with chosen as (select s.id from payments.suggestion s where s.operator_id = $1 and s.score >= $3"
        "   and not s.ambiguous and s.difference_vnd = 0 and exists (select from payments.suggestion_item i"
        "     where i.operator_id = $1 and i.suggestion_id = s.id and i.item_id = any($2)))"
        " select coalesce((select array_agg(id order by id) from chosen), '{}') as ids, count(*) as lines,"
        "   coalesce(sum(o.amount_vnd), 0)::bigint as sum_vnd"
        " from payments.suggestion_item i"
        " join payments.open_item o on o.operator_id = i.operator_id and o.id = i.item_id and o.side = 'line'"
        " where i.operator_id = $1 and i.suggestion_id in (select id from chosen)",
        tx.operator_id,
        list(items),
        least,
    )
    return Bulk(row["ids"], row["lines"], row["sum_vnd"])


async def candidates(tx: Tx, item_id: UUID, *, most: int = 30) -> list[Any]:
    """Of the other side, what is nearest to an item by amount and day: for whoever matches by hand."""
    return await tx.rows(
        "select o.* from payments.open_item o join payments.open_item this on this.operator_id = o.operator_id"
        "   and this.id = $2 and o.side <> this.side and o.bank_account = this.bank_account"
        "   and sign(o.amount_vnd) = sign(this.amount_vnd)"
        " where o.operator_id = $1"
        " order by abs(o.amount_vnd - this.amount_vnd), abs(o.day - this.day), o.id limit $3",
        tx.operator_id,
        item_id,
        most,
    )


async def find(tx: Tx, sealer: Sealer, item_id: UUID) -> ItemView | None:
    """One open item, or None if it is none any more."""
    return next(iter(await _views(tx, sealer, [item_id])), None)


async def asks(tx: Tx, item_id: UUID | None = None) -> list[tuple[Any, list[Any]]]:
    """What waits for a second person (about this item), each with its items as far as they still are open."""
    asked = await tx.rows(
        "select a.*, s.name as asker from payments.matching_ask a"
        " join foundation.staff s on s.operator_id = a.operator_id and s.id = a.asked_by"
        " where a.operator_id = $1 and a.decided_at is null and ($2::text is null or a.items ? $2) order by a.asked_at",
        tx.operator_id,
        str(item_id) if item_id else None,
    )
    ids = {each["id"]: [UUID(item) for item in json.loads(each["items"])] for each in asked}
    items = await tx.rows(
        "select id, side, day, amount_vnd, bank_ref, kind from payments.open_item where operator_id = $1 and id = any($2)"
        " order by side, day, id",
        tx.operator_id,
        [item for its in ids.values() for item in its],
    )
    return [(each, [item for item in items if item["id"] in ids[each["id"]]]) for each in asked]


async def history(tx: Tx, *, before: UUID | None = None, most: int = 50) -> list[Any]:
    """What was done, newest first: runs and people."""
    return await tx.rows(
        "select e.*, s.name as by, a.name as agreer from payments.matching_event e"
        " left join foundation.staff s on s.operator_id = e.operator_id and s.id = e.staff_id"
        " left join foundation.staff a on a.operator_id = e.operator_id and a.id = e.agreed_by"
        " where e.operator_id = $1 and ($2::uuid is null or e.id < $2) and (e.act <> 'run' or e.lines > 0)"
        " order by e.id desc limit $3",
        tx.operator_id,
        before,
        most,
    )


def about(event: Any) -> tuple[list[Matched], int]:
    """What an act of a person was about, as far as its event names it: its lines, or without any its movements; and what he
    wrote off."""
    facts = json.loads(event["facts"])
    items = [*facts.get("items", ()), *facts.get("claims", ())]
    lines = [
        Matched(UUID(item["statement_id"]), int(item["position"]))
        for item in items
        if item.get("statement_id") and item.get("position") is not None
    ]
    movements = [
        Matched(kind=item["kind"], movement_id=UUID(item["movement_id"]))
        for item in items
        if item.get("kind", "none") != "none"
    ]
    return (lines or movements)[:NAMED_MAX], facts.get("difference_vnd", 0)


async def line(tx: Tx, sealer: Sealer, statement_id: UUID, position: int) -> Any | None:
    """A line of a statement with what it says, what it is matched with, and by what event."""
    row = await tx.row(
        "select l.*, c.match_id, c.event_id, c.effective_day, c.kind is not null as claimed, e.act, e.at as matched_at,"
        " e.reason, s.name as by, a.name as agreer, b.said_number, b.day as statement_day,"
        " (select o.id from payments.open_item o where o.operator_id = l.operator_id and o.statement_id = l.statement_id"
        "   and o.position = l.position) as item_id"
        " from payments.statement_line l"
        " join payments.bank_statement b on b.operator_id = l.operator_id and b.id = l.statement_id"
        " left join payments.claim c on c.operator_id = l.operator_id and c.statement_id = l.statement_id"
        "   and c.position = l.position"
        " left join payments.matching_event e on e.operator_id = c.operator_id and e.id = c.event_id"
        " left join foundation.staff s on s.operator_id = e.operator_id and s.id = e.staff_id"
        " left join foundation.staff a on a.operator_id = e.operator_id and a.id = e.agreed_by"
        " where l.operator_id = $1 and l.statement_id = $2 and l.position = $3",
        tx.operator_id,
        statement_id,
        position,
    )
    if row is None:
        return None
    said = await bank_statement.texts(tx, sealer, [(statement_id, position)])
    return {**row, "said": said.get((statement_id, position), ["", "", ""])}


async def movement(tx: Tx, kind: str, movement_id: UUID) -> Any | None:
    """A movement of the books with by what event it is matched, or under what id it is open."""
    return await tx.row(
        "select m.*, payments.day_in_books($1, m.kind, m.id, m.at) as day, c.kind is not null as claimed, e.act,"
        " e.at as matched_at, e.reason, s.name as by, a.name as agreer,"
        " (select o.id from payments.open_item o where o.operator_id = $1 and o.kind = m.kind and o.movement_id = m.id)"
        "   as item_id"
        " from payments.movements($1) m"
        " left join payments.claim c on c.operator_id = $1 and c.kind = m.kind and c.movement_id = m.id"
        " left join payments.matching_event e on e.operator_id = c.operator_id and e.id = c.event_id"
        " left join foundation.staff s on s.operator_id = e.operator_id and s.id = e.staff_id"
        " left join foundation.staff a on a.operator_id = e.operator_id and a.id = e.agreed_by"
        " where m.kind = $2 and m.id = $3",
        tx.operator_id,
        kind,
        movement_id,
    )


async def lines_with(tx: Tx, matched: Matched) -> list[Any]:
    """The lines of the bank in the match of a line or a movement."""
    return await tx.rows(
        f"with of as ({MATCH_OF})"
        " select distinct l.statement_id, l.position, l.bank_ref, l.day, l.amount_vnd from of"
        " join payments.claim c on c.operator_id = $1"
        "   and (c.match_id = of.match_id or c.kind = of.kind and c.movement_id = of.movement_id)"
        " join payments.statement_line l on l.operator_id = $1 and l.statement_id = c.statement_id"
        "   and l.position = c.position order by l.day, l.statement_id, l.position",
        tx.operator_id,
        *matched,
    )


async def matched_with(tx: Tx, matched: Matched) -> list[Any]:
    """The movements in the match of a line or a movement, each with the payments that it was applied to (their references)."""
    return await tx.rows(
        f"with of as ({MATCH_OF}),"
        " taken as (select distinct c.kind, c.movement_id, c.moved_vnd from payments.claim c, of where c.operator_id = $1"
        "   and c.kind <> 'none' and (c.match_id = of.match_id or c.kind = of.kind and c.movement_id = of.movement_id))"
        " select t.kind, t.movement_id, t.moved_vnd, m.bank_ref, m.at, e.payout_id, p.run_id,"
        "   (select array_agg(distinct g.reference) from payments.receipt_outcome o"
        "      join payments.charge g on g.operator_id = o.operator_id and g.id = o.charge_id"
        "      where o.operator_id = $1 and t.kind = 'receipt' and o.receipt_id = t.movement_id) as charges"
        " from taken t join payments.movements($1) m on m.kind = t.kind and m.id = t.movement_id"
        " left join payments.payout_entry e on t.kind in ('payout', 'payout_return') and e.operator_id = $1"
        "   and e.bank_account = m.bank_account and e.bank_ref = m.bank_ref"
        " left join payments.payout p on p.operator_id = $1 and p.id = e.payout_id"
        " order by m.at, t.movement_id",
        tx.operator_id,
        *matched,
    )


async def lines_of(tx: Tx, receipts: Sequence[UUID]) -> Mapping[UUID, Any]:
    """By receipt the line of the bank's statement that it is matched with: statement_id, position, day."""
    rows = await tx.rows(
        "select c.movement_id, l.statement_id, l.position, l.day from payments.claim c"
        " join payments.claim of on of.operator_id = c.operator_id and of.position is not null"
        "   and (of.match_id = c.match_id or of.kind = c.kind and of.movement_id = c.movement_id)"
        " join payments.statement_line l on l.operator_id = of.operator_id and l.statement_id = of.statement_id"
        "   and l.position = of.position"
        " where c.operator_id = $1 and c.kind = 'receipt' and c.movement_id = any($2)",
        tx.operator_id,
        list(receipts),
    )
    return {row["movement_id"]: row for row in rows}


async def _found(tx: Tx, sealer: Sealer, wanted: Filter) -> list[Any]:
    """Key facts of everything that the filter finds: first what nobody has said anything of, the oldest first."""
    asked = fold(wanted.text)
    rows = await tx.rows(
        f"select id, amount_vnd, bank_ref{', sealed' if asked else ''} from payments.open_item where operator_id = $1 and side = $2"
        " and ($3::text is null or case when $3 = 'named' then name is not null else state = $3 and name is null end)"
        " and ($4::date is null or day <= $4) order by name is not null, day, id",
        tx.operator_id,
        wanted.side,
        wanted.state,
        wanted.last,
    )
    if not asked:
        return rows
    digits = asked.replace(".", "").replace(",", "").replace(" ", "")
    amount = abs(int(digits)) if digits.lstrip("-").isdigit() else None
    return [
        row
        for row in rows
        if amount == abs(row["amount_vnd"])
        or asked in row["bank_ref"].lower()
        or (row["sealed"] and asked in fold(await sealer.open(row["sealed"], context=bank_statement.TEXT)))
    ]


async def _views(tx: Tx, sealer: Sealer, ids: Sequence[UUID]) -> list[ItemView]:
    """These open items, in this order, as far as they still are."""
    rows = await tx.rows(
        "select o.*, s.name as namer from payments.open_item o"
        " left join foundation.staff s on s.operator_id = o.operator_id and s.id = o.named_by"
        " where o.operator_id = $1 and o.id = any($2) order by array_position($2, o.id)",
        tx.operator_id,
        list(ids),
    )
    proposals = await _proposals(tx, [row["id"] for row in rows])
    return [ItemView(row, await _said(sealer, row), proposals.get(row["id"], ())) for row in rows]


async def _said(sealer: Sealer, row: Any) -> list[str]:
    if not row["sealed"]:
        return []
    said: list[str] = json.loads(await sealer.open(row["sealed"], context=bank_statement.TEXT))
    return said


async def _proposals(tx: Tx, items: Sequence[UUID]) -> dict[UUID, list[Proposal]]:
    """By item its suggestions, best first, with all their items."""
    rows = await tx.rows(
        "select s.*, o.id as item_id, o.side, o.day, o.amount_vnd, o.bank_ref, o.kind, o.movement_id, o.statement_id,"
        " o.position from payments.suggestion s"
        " join payments.suggestion_item i on i.operator_id = s.operator_id and i.suggestion_id = s.id"
        " join payments.open_item o on o.operator_id = i.operator_id and o.id = i.item_id"
        " where s.operator_id = $1 and exists (select from payments.suggestion_item w where w.operator_id = $1"
        "   and w.suggestion_id = s.id and w.item_id = any($2)) order by s.score desc, s.id, o.side, o.day, o.id",
        tx.operator_id,
        list(items),
    )
    by_suggestion: dict[UUID, list[Any]] = defaultdict(list)
    for row in rows:
        by_suggestion[row["id"]].append(row)
    found: dict[UUID, list[Proposal]] = defaultdict(list)
    for id, its in by_suggestion.items():
        first = its[0]
        proposal = Proposal(
            id, first["rule"], first["score"], first["days"], first["difference_vnd"], first["ambiguous"], its
        )
        for row in its:
            found[row["item_id"]].append(proposal)
    return found
