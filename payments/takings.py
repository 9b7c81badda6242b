"""What was taken: the lines paid by service, the payer's means and the remittance channel, what was free, and what was given
back, by Hanoi day. The one source of the day's page and of the reports of a month and a year."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from foundation import clock
from foundation.database import Tx


@dataclass(frozen=True, slots=True)
class Group:
    """Lines paid on a day by one service, means and channel; without a channel they were free."""

    day: date
    service: str
    means: str
    channel: str
    lines: int
    amount_vnd: int


@dataclass(frozen=True, slots=True)
class GivenBack:
    """What was given back on a day of what was paid by one means, whenever that was: so many decisions, their sum."""

    day: date
    means: str
    count: int
    amount_vnd: int


@dataclass(frozen=True, slots=True)
class Takings:
    """All of a period of days (by the bank's or the drawer's time of payment), in order of days."""

    groups: Sequence[Group]
    free: Sequence[Group]
    given_back: Sequence[GivenBack]

    @property
    def lines(self) -> int:
        return sum(group.lines for group in self.groups)

    @property
    def sum_vnd(self) -> int:
        return sum(group.amount_vnd for group in self.groups)

    @property
    def given_back_vnd(self) -> int:
        return sum(row.amount_vnd for row in self.given_back)


async def of(tx: Tx, first: date, last: date) -> Takings:
    """The takings of a period, both days included. `tx` should be repeatable read, so that all is of one instant."""
    bounds = clock.span(first, last)
    groups = await tx.rows(
        "select foundation.hanoi_day(p.paid_at) as day, l.service, p.means, p.channel, count(*) as lines,"
        " sum(l.amount_vnd)::bigint as amount_vnd"
        " from payments.line_paid p"
        " join payments.charge_line l"
        "   on l.operator_id = p.operator_id and l.charge_id = p.charge_id and l.line_no = p.line_no"
        " where p.operator_id = $1 and p.paid_at >= $2 and p.paid_at < $3 group by 1, 2, 3, 4 order by 1, 2, 3, 4",
        tx.operator_id,
        *bounds,
    )
    free = await tx.rows(
        "select foundation.hanoi_day(at) as day, service, means, '' as channel, count(*) as lines,"
        " 0::bigint as amount_vnd from payments.free_note"
        " where operator_id = $1 and at >= $2 and at < $3 group by 1, 2, 3 order by 1, 2, 3",
        tx.operator_id,
        *bounds,
    )
    given_back = await tx.rows(
        "select foundation.hanoi_day(at) as day, means, count(*) as count, sum(amount_vnd)::bigint as amount_vnd from ("
        "   select r.means, g.amount_vnd, g.at from payments.given_back g"
        "   join payments.receipt r on r.operator_id = g.operator_id and r.id = g.receipt_id where g.operator_id = $1"
        "   union all select 'CASH', amount_vnd, at from payments.cash_refund where operator_id = $1) given"
        " where at >= $2 and at < $3 group by 1, 2 order by 1, 2",
        tx.operator_id,
        *bounds,
    )
    return Takings(
        [Group(**row) for row in groups], [Group(**row) for row in free], [GivenBack(**row) for row in given_back]
    )
