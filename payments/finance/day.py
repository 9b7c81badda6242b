"""An operator's day as finance sees it: what was paid and how, and everything that is not finished."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from foundation import clock, outbox
from foundation.database import Tx
from payments import book_request, debit, held, takings
from payments.explain import Explanation, explain
from payments.finance.proof import Kept, kept
from payments.takings import Takings

LISTED_MAX = 100
"""So many entries of a list are shown; its count and sum are those of all."""


@dataclass(frozen=True, slots=True)
class Item:
    """Something that waits: its reference, what it was, its amount, since when; `facts` differ from list to list."""

    reference: str
    what: tuple[Explanation, ...]
    amount_vnd: int
    since: datetime
    facts: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Listing:
    """A list of what waits, the longest waiting first; `count` and `sum_vnd` are those of all, not of those listed."""

    count: int
    sum_vnd: int
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Day:
    """A day of one operator. The lists are of now, whatever the day; `asked`: so many requests about closed books wait."""

    day: date
    now: datetime
    taken: Takings
    waiting: Listing
    held: Listing
    unapplied: Listing
    proxies: Listing
    debits: Listing
    parked: tuple[Any, ...]
    shifts: tuple[Any, ...]
    reopened: tuple[Any, ...]
    asked: int
    books: Kept

    def sum_of(self, *means: str) -> int:
        return sum(group.amount_vnd for group in self.taken.groups if group.means in means)

    @property
    def proxy_vnd(self) -> int:
        return sum(group.amount_vnd for group in self.taken.groups if group.channel == "ATTENDANT_PROXY")


async def day_of(tx: Tx, day: date, *, now: datetime) -> Day:
    """Everything of one operator's day (by the bank's or the drawer's time of payment, Hanoi).

    `tx` should be repeatable read, so that all figures are of one instant.
    """
    return Day(
        day=day,
        now=now,
        taken=await takings.of(tx, day, day),
        waiting=await _waiting(tx, now),
        held=await _held(tx),
        unapplied=await _unapplied(tx),
        proxies=await _proxies(tx),
        debits=await _debits(tx),
        parked=tuple(await _parked(tx)),
        shifts=tuple(await _shifts(tx, *clock.span(day, day))),
        reopened=tuple(await book_request.reopened(tx)),
        asked=len(await book_request.waiting(tx)),
        books=await kept(tx),
    )


async def lines_of(tx: Tx, day: date) -> list[tuple[Any, Explanation | None]]:
    """Every line paid on a day, in order of payment, with what it was."""
    rows = await tx.rows(
        "select p.paid_at, c.reference, l.purpose, l.reference as thing, l.service, l.place, l.class, p.means, p.channel,"
        " l.amount_vnd, n.name_vi, n.name_en"
        " from payments.line_paid p"
        " join payments.charge c on c.operator_id = p.operator_id and c.id = p.charge_id"
        " join payments.charge_line l"
        "   on l.operator_id = p.operator_id and l.charge_id = p.charge_id and l.line_no = p.line_no"
        " left join foundation.place n on n.operator_id = l.operator_id and n.number = l.place"
        " where p.operator_id = $1 and p.paid_at >= $2 and p.paid_at < $3 order by p.paid_at, c.reference, l.line_no",
        tx.operator_id,
        *clock.span(day, day),
    )
    known = await explain(tx, [(row["purpose"], row["thing"]) for row in rows])
    return [(row, known.get((row["purpose"], row["thing"]))) for row in rows]


async def transfers_of(tx: Tx, day: date) -> list[Any]:
    """Every transfer whose event took effect on a day, in the order it was recorded."""
    return await tx.rows(
        "select j.recorded_at, j.effective_at, j.template, j.source_type, j.source_id, t.journal_id, t.leg, t.debit,"
        " t.credit, t.amount_vnd from payments.journal j"
        " join payments.transfer t on t.operator_id = j.operator_id and t.journal_id = j.id"
        " where j.operator_id = $1 and j.effective_day = $2 order by j.recorded_at, j.id, t.leg",
        tx.operator_id,
        day,
    )


async def _waiting(tx: Tx, now: datetime) -> Listing:
    """Charges that somebody may still pay: part paid, or shown and still held."""
    waits = "operator_id = $1 and (state = 'partial' or state = 'open' and holds_until > $2)"
    rows = await tx.rows(
        "select id, reference, state, amount_vnd, received_vnd, created_at as since, holds_until,"
        " count(*) over () as count, (sum(amount_vnd - received_vnd) over ())::bigint as sum_vnd"
        f" from payments.charge where {waits} order by created_at limit {LISTED_MAX}",
        tx.operator_id,
        now,
    )
    return _listing(rows, await _what(tx, [row["id"] for row in rows]), "id", ("state", "received_vnd", "holds_until"))


async def _held(tx: Tx) -> Listing:
    """Money that is a payer's and waits for its refund, or for somebody to find out what it was for."""
    rows = [
        {**row, "reference": row["bank_ref"], "amount_vnd": row["left_vnd"], "since": row["opened_at"]}
        for row in await held.waiting(tx, most=LISTED_MAX)
    ]
    charges = [row["charge_id"] for row in rows if row["charge_id"]]
    return _listing(rows, await _what(tx, charges), "charge_id", ("receipt_id", "reason", "charge", "paid_at", "owner"))


async def _unapplied(tx: Tx) -> Listing:
    """What arrived and was not looked at yet: the worker tries again, or waits for a person."""
    rows = await tx.rows(
        "select r.bank_ref as reference, r.amount_vnd, r.recorded_at as since, r.paid_at, r.source,"
        " count(*) over () as count, (sum(r.amount_vnd) over ())::bigint as sum_vnd"
        " from payments.receipt r"
        " left join payments.receipt_outcome o on o.operator_id = r.operator_id and o.receipt_id = r.id"
        f" where r.operator_id = $1 and o.receipt_id is null order by r.recorded_at limit {LISTED_MAX}",
        tx.operator_id,
    )
    return _listing(rows, {}, None, ("paid_at", "source"))


async def _proxies(tx: Tx) -> Listing:
    """What attendants still have to transfer for guests whose notes they kept."""
    rows = await tx.rows(
        "select t.reference, t.amount_vnd - t.received_vnd - t.released_vnd as amount_vnd, t.asked_at as since, t.receipt_number,"
        " s.number as shift, p.name, k.charge_id,"
        " count(*) over () as count, (sum(t.amount_vnd - t.received_vnd - t.released_vnd) over ())::bigint as sum_vnd"
        " from payments.proxy_transfer t"
        " join payments.shift s on s.operator_id = t.operator_id and s.id = t.shift_id"
        " join foundation.staff p on p.operator_id = s.operator_id and p.id = s.staff_id"
        " join payments.cash_receipt k"
        "   on k.operator_id = t.operator_id and k.shift_id = t.shift_id and k.number = t.receipt_number"
        f" where t.operator_id = $1 and t.received_vnd + t.released_vnd < t.amount_vnd order by t.asked_at limit {LISTED_MAX}",
        tx.operator_id,
    )
    what = await _what(tx, [row["charge_id"] for row in rows])
    return _listing(rows, what, "charge_id", ("receipt_number", "shift", "name"))


async def _debits(tx: Tx) -> Listing:
    """Money that left and that none of us sent, as long as nobody has said what it was."""
    rows = [
        {**row, "reference": row["bank_ref"], "amount_vnd": row["left_vnd"], "since": row["left_at"]}
        for row in await debit.waiting(tx, most=LISTED_MAX)
    ]
    return _listing(rows, {}, None, ("id", "kind", "relates_to"))


async def _parked(tx: Tx) -> list[Any]:
    """Work in trouble. The queue has no row-level wall: the WHERE is the wall."""
    return await tx.rows(
        "select kind, id, attempts, parked_at, due_at, last_error from foundation.due"
        f" where operator_id = $1 and {outbox.TROUBLED} order by parked_at, due_at limit {LISTED_MAX}",
        tx.operator_id,
    )


async def _shifts(tx: Tx, start: datetime, end: datetime) -> list[Any]:
    """Shifts that are open now or were closed on the day, with what their drawer should hold."""
    return await tx.rows(
        "select s.id, s.place, s.number, n.name_vi, n.name_en, p.name, s.opened_at, s.counted_at, s.closed_at, s.float_vnd, s.receipts,"
        " coalesce(s.expected_vnd, b.balance_vnd) as expected_vnd, s.counted_vnd,"
        " s.counted_vnd - s.expected_vnd as difference_vnd"
        " from payments.shift s"
        " join foundation.staff p on p.operator_id = s.operator_id and p.id = s.staff_id"
        " join foundation.place n on n.operator_id = s.operator_id and n.number = s.place"
        " left join payments.balance b on b.operator_id = s.operator_id and b.account = 'cash_drawer:' || s.id"
        " where s.operator_id = $1 and (s.closed_at is null or s.closed_at >= $2 and s.closed_at < $3)"
        " order by s.closed_at nulls first, s.opened_at",
        tx.operator_id,
        start,
        end,
    )


async def _what(tx: Tx, charges: Sequence[Any]) -> dict[Any, tuple[Explanation, ...]]:
    """What each charge was for, in the words of the service that asked for it."""
    rows = await tx.rows(
        "select charge_id, purpose, reference from payments.charge_line"
        " where operator_id = $1 and charge_id = any($2) order by charge_id, line_no",
        tx.operator_id,
        list(charges),
    )
    known = await explain(tx, [(row["purpose"], row["reference"]) for row in rows])
    found: dict[Any, tuple[Explanation, ...]] = {}
    for row in rows:
        said = known.get((row["purpose"], row["reference"]))
        found[row["charge_id"]] = found.get(row["charge_id"], ()) + ((said,) if said else ())
    return found


def _listing(
    rows: Sequence[Any], what: dict[Any, tuple[Explanation, ...]], key: str | None, facts: Sequence[str]
) -> Listing:
    items = tuple(
        Item(
            row["reference"],
            what.get(row[key], ()) if key else (),
            row["amount_vnd"],
            row["since"],
            {name: row[name] for name in facts},
        )
        for row in rows
    )
    return Listing(rows[0]["count"] if rows else 0, rows[0]["sum_vnd"] if rows else 0, items)
