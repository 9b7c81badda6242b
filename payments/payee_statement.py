"""What a settled day says to one payee, line by line: from the net to every sale, and from a sale to its statement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from foundation.database import Tx
from payments import dues
from payments.contract import PayeeView, payees
from payments.dues import DueView
from payments.settlement import NoSuchSettlement


@dataclass(frozen=True, slots=True)
class StatementView:
    """A payee's statement of a day: gross - refunds - fees + adjustments - reserve = net; what was carried over, plus the
    net, is what it is owed now."""

    payee: PayeeView
    day: date
    made_at: datetime
    carried_vnd: int
    gross_vnd: int
    refunds_vnd: int
    fees_vnd: int
    adjustments_vnd: int
    reserve_vnd: int
    net_vnd: int
    due_on: date

    @property
    def owed_vnd(self) -> int:
        return self.carried_vnd + self.net_vnd


@dataclass(frozen=True, slots=True)
class LineView:
    """A payee's part of one sale, or of one give-back (negative), with the fee for it (negative where it pays)."""

    at: datetime
    charge: str
    purpose: str
    reference: str
    service: str
    place: str
    means: str
    price_vnd: int
    part_vnd: int
    fee_vnd: int
    fee_vat_vnd: int
    back: bool


@dataclass(frozen=True, slots=True)
class AdjustmentView:
    """What else came or went: its kind, by how much, how much the operator keeps of that kind now, or the due item."""

    kind: str
    amount_vnd: int
    level_vnd: int | None
    due: DueView | None


@dataclass(frozen=True, slots=True)
class HeldView:
    """What was held back (> 0) or released (< 0) with a statement, of which day, until when."""

    amount_vnd: int
    day: date
    release_on: date


@dataclass(frozen=True, slots=True)
class DayView:
    """A settled day with what each payee got of it."""

    day: date
    journals: int
    sold_vnd: int
    given_back_vnd: int
    made_at: datetime
    digest: bytes
    statements: Sequence[StatementView]

    def of(self, payee_id: UUID) -> StatementView:
        """One payee's. Raises NoSuchSettlement."""
        for found in self.statements:
            if found.payee.id == payee_id:
                return found
        raise NoSuchSettlement()


async def days(tx: Tx, *, most: int = 31, day: date | None = None) -> list[DayView]:
    """The days settled last (or one day), newest first. Of a single day that is not settled: NoSuchSettlement."""
    rows = await tx.rows(
        "select day, journals, sold_vnd, given_back_vnd, made_at, digest from payments.settlement"
        " where operator_id = $1 and ($2::date is null or day = $2) order by day desc limit $3",
        tx.operator_id,
        day,
        most,
    )
    if day is not None and not rows:
        raise NoSuchSettlement()
    said = await tx.rows(
        "select s.day, s.payee_id, s.carried_vnd, s.gross_vnd, s.refunds_vnd, s.fees_vnd, s.adjustments_vnd, s.reserve_vnd,"
        " s.net_vnd, s.due_on from payments.payee_statement s where s.operator_id = $1 and s.day = any($2)",
        tx.operator_id,
        [row["day"] for row in rows],
    )
    known = await payees(tx)
    return [
        DayView(
            **row,
            statements=[
                _statement(payee, each, row["made_at"])
                for payee in known
                for each in said
                if each["day"] == row["day"] and each["payee_id"] == payee.id
            ],
        )
        for row in rows
    ]


def _statement(payee: PayeeView, row: Any, made_at: datetime) -> StatementView:
    return StatementView(
        payee=payee, made_at=made_at, **{name: value for name, value in row.items() if name != "payee_id"}
    )


async def lines(tx: Tx, day: date, payee_id: UUID, *, most: int | None = None) -> tuple[list[LineView], int]:
    """A payee's parts of a day's sales and give-backs in the order of their time (at most so many), and how many there are."""
    rows = await tx.rows(
        "select j.effective_at as at, c.reference as charge, l.purpose, l.reference, l.service, p.code as place, k.means,"
        "   l.amount_vnd as price_vnd,"
        "   coalesce(sum(i.amount_vnd) filter (where i.kind <> 'fee'), 0)::bigint as part_vnd,"
        "   coalesce(sum(i.amount_vnd) filter (where i.kind = 'fee'), 0)::bigint as fee_vnd,"
        "   coalesce(sum(i.vat_vnd), 0)::bigint as fee_vat_vnd, s.amount_vnd < 0 as back, count(*) over () as whole"
        " from payments.settlement_item i"
        " join payments.settlement_journal s on s.operator_id = i.operator_id and s.journal_id = i.journal_id"
        " join payments.journal j on j.operator_id = i.operator_id and j.id = i.journal_id"
        " join payments.charge c on c.operator_id = i.operator_id and c.id = i.charge_id"
        " join payments.charge_line l on l.operator_id = i.operator_id and l.charge_id = i.charge_id and l.line_no = i.line_no"
        " join payments.line_paid k on k.operator_id = l.operator_id and k.charge_id = l.charge_id and k.line_no = l.line_no"
        " join foundation.place p on p.operator_id = l.operator_id and p.number = l.place"
        " where i.operator_id = $1 and i.day = $2 and i.payee_id = $3"
        " group by j.id, j.effective_at, c.reference, l.operator_id, l.charge_id, l.line_no, l.purpose, l.reference,"
        "   l.service, p.code, k.means, l.amount_vnd, s.amount_vnd"
        " order by j.effective_at, j.id, l.line_no limit $4",
        tx.operator_id,
        day,
        payee_id,
        most,
    )
    whole = rows[0]["whole"] if rows else 0
    return [LineView(*list(row.values())[:-1]) for row in rows], whole


async def adjustments(tx: Tx, day: date, payee_id: UUID) -> list[AdjustmentView]:
    """What else came or went with a statement."""
    rows = await tx.rows(
        "select kind, amount_vnd, level_vnd, due_item_id from payments.payee_adjustment"
        " where operator_id = $1 and day = $2 and payee_id = $3 order by number",
        tx.operator_id,
        day,
        payee_id,
    )
    named = await dues.of_settlement(tx, day, payee_id)
    return [
        AdjustmentView(row["kind"], row["amount_vnd"], row["level_vnd"], named.get(row["due_item_id"])) for row in rows
    ]


async def held(tx: Tx, day: date, payee_id: UUID) -> list[HeldView]:
    """What was held back and what was released with a statement."""
    rows = await tx.rows(
        "select case when day = $2 then amount_vnd else -amount_vnd end as amount_vnd, day, release_on"
        " from payments.held_back where operator_id = $1 and payee_id = $3 and $2 in (day, released_with) order by day",
        tx.operator_id,
        day,
        payee_id,
    )
    return [HeldView(*row) for row in rows]


@dataclass(frozen=True, slots=True)
class PartView:
    """Who got what of a sale, and with which day's statement."""

    day: date
    payee: PayeeView
    part_vnd: int
    fee_vnd: int
    back: bool


async def parts_of(tx: Tx, charge_id: UUID) -> list[PartView]:
    """How a sale was divided, and what was taken back of it: by settlement and payee."""
    known = {payee.id: payee for payee in await payees(tx)}
    rows = await tx.rows(
        "select i.day, i.payee_id, coalesce(sum(i.amount_vnd) filter (where i.kind <> 'fee'), 0)::bigint as part_vnd,"
        "   coalesce(sum(i.amount_vnd) filter (where i.kind = 'fee'), 0)::bigint as fee_vnd, s.amount_vnd < 0 as back"
        " from payments.settlement_item i"
        " join payments.settlement_journal s on s.operator_id = i.operator_id and s.journal_id = i.journal_id"
        " where i.operator_id = $1 and i.charge_id = $2 group by i.day, i.payee_id, s.amount_vnd < 0"
        " order by i.day, s.amount_vnd < 0",
        tx.operator_id,
        charge_id,
    )
    order = list(known)
    return sorted(
        (PartView(row["day"], known[row["payee_id"]], row["part_vnd"], row["fee_vnd"], row["back"]) for row in rows),
        key=lambda part: (part.day, part.back, order.index(part.payee.id)),
    )


@dataclass(frozen=True, slots=True)
class Waiting:
    """Sales and give-backs that no settlement has had: of which service, how many, how much, since when."""

    service: str
    count: int
    amount_vnd: int
    since: date


async def waiting(tx: Tx, *, until: date) -> list[Waiting]:
    """What days that are settled have left for lack of a contract, by service."""
    rows = await tx.rows(
        "select l.service, count(distinct j.id)::int, sum(l.amount_vnd)::bigint, min(j.effective_day)"
        " from payments.journal j"
        " join payments.charge_line l on l.operator_id = j.operator_id and l.charge_id = j.source_id::uuid"
        " cross join (select open_from, recorded_at from payments.settlement where operator_id = $1"
        "   order by day desc limit 1) t"
        " where j.operator_id = $1 and j.template = 'service.delivered' and j.source_type = 'charge' and j.effective_day <= $2"
        "   and j.effective_day >= t.open_from and j.recorded_at < t.recorded_at"  # what came since waits for its turn only
        "   and not exists (select from payments.settlement_journal s"
        "                   where s.operator_id = j.operator_id and s.journal_id = j.id)"
        " group by l.service order by l.service",
        tx.operator_id,
        until,
    )
    return [Waiting(*row) for row in rows]


async def held_back_vnd(tx: Tx) -> int:
    """What is held back at present, of all payees."""
    whole: int = await tx.value(
        "select coalesce(sum(amount_vnd), 0)::bigint from payments.held_back"
        " where operator_id = $1 and released_with is null",
        tx.operator_id,
    )
    return whole


@dataclass(frozen=True, slots=True)
class PaidView:
    """The payout that pays a statement: how far it is, and once it has left, how many whole hours the day's sales had waited
    for it on average (`hours`) and at most."""

    run_id: UUID
    number: int
    state: str
    left_at: datetime | None
    hours: int | None
    longest_hours: int | None


async def paid_by(tx: Tx, day: date, payee_id: UUID) -> PaidView | None:
    """What pays a statement; None while nothing does."""
    row = await tx.row(
        "select r.id, r.number, p.state, p.left_at, w.hours, w.longest from payments.payout_day d"
        " join payments.payout p on p.operator_id = d.operator_id and p.id = d.payout_id"
        " join payments.payout_run r on r.operator_id = p.operator_id and r.id = p.run_id"
        " cross join lateral ("
        "   select (extract(epoch from avg(p.left_at - j.effective_at)) / 3600)::int as hours,"
        "     (extract(epoch from max(p.left_at - j.effective_at)) / 3600)::int as longest"
        "   from payments.settlement_journal s"
        "   join payments.journal j on j.operator_id = s.operator_id and j.id = s.journal_id"
        "   where s.operator_id = d.operator_id and s.day = d.day and s.amount_vnd > 0) w"
        " where d.operator_id = $1 and d.day = $2 and d.payee_id = $3 and not d.released",
        tx.operator_id,
        day,
        payee_id,
    )
    return None if row is None else PaidView(*row)
