"""What an operator owes apart from his sales: rent of the pavement that his lots stand on, a due item for each month.

An item is made when its month is over, for the days on which each contract held, and is due on the contract's day of the
month after. Settlements take it from what the operator earned; what is not covered ages, and stands on the statement of
whom it is owed to as well.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger
from sqlmodel import CheckConstraint, Field, ForeignKeyConstraint, Index, SQLModel, UniqueConstraint, text

from foundation.database import Tx
from foundation.tables import instant, keys, new_id, owner_key
from payments.contract import ContractView


class DueItem(SQLModel, table=True):
    """Rent of one lot for one month under one contract; `netted_vnd` of it was taken by settlements."""

    __tablename__ = "due_item"
    __table_args__ = (
        ForeignKeyConstraint(
            keys("contract_id", "place"),
            [f"payments.contract_rent.{name}" for name in ("operator_id", "contract_id", "place")],
            name="due_item_rent_fkey",
        ),
        ForeignKeyConstraint(
            keys("payee_id"), ["payments.payee.operator_id", "payments.payee.id"], name="due_item_payee_fkey"
        ),
        UniqueConstraint(*keys("contract_id", "place", "month"), name="due_item_month_key"),
        CheckConstraint("amount_vnd > 0 and netted_vnd between 0 and amount_vnd", name="amounts"),
        CheckConstraint("extract(day from month) = 1 and due_on > month", name="days"),
        Index("due_item_open_idx", *keys("due_on"), postgresql_where=text("netted_vnd < amount_vnd")),
        {"schema": "payments"},
    )
    operator_id: UUID = owner_key()
    id: UUID = Field(primary_key=True)
    contract_id: UUID
    place: int
    month: date
    payee_id: UUID
    area_m2: int
    days: int
    amount_vnd: int = Field(sa_type=BigInteger)
    netted_vnd: int = Field(default=0, sa_type=BigInteger, sa_column_kwargs={"server_default": "0"})
    due_on: date
    made_at: datetime = instant()


@dataclass(frozen=True, slots=True)
class DueView:
    """A due item as pages show it: whose, for which lot and month, how much of it is open, since when it is late."""

    id: UUID
    payee_id: UUID
    place: int
    place_code: str
    month: date
    area_m2: int
    days: int
    amount_vnd: int
    netted_vnd: int
    due_on: date

    @property
    def left_vnd(self) -> int:
        return self.amount_vnd - self.netted_vnd

    def late_days(self, today: date) -> int:
        """Days since it was due; 0 while it is not late."""
        return max((today - self.due_on).days, 0) if self.left_vnd else 0


@dataclass(frozen=True, slots=True)
class _Rented:
    contract_id: UUID
    place: int
    payee_id: UUID
    area_m2: int
    days: int
    amount_vnd: int
    due_on: date


def rents_of(contracts: Sequence[ContractView], month: date) -> list[_Rented]:
    """What is owed for a month (its first day): per lot the price of whole months, by days where a contract began or ended
    in it, rounded half up to the đồng: what is owed by the end of its days less what was by their beginning, so that
    contracts that follow each other in a month owe it once."""
    length = monthrange(month.year, month.month)[1]
    following = month + timedelta(days=length)
    holding = sorted(
        (view for view in contracts if view.state == "agreed" and view.said.service == "parking"),
        key=lambda view: view.said.valid_from,
    )
    found = []
    for view, later in zip(holding, [*holding[1:], None], strict=False):
        until = min(following, later.said.valid_from) if later else following
        first, last = (max(view.said.valid_from, month) - month).days, (until - month).days
        for rent in view.said.rents if last > first else ():
            amount_vnd = _by(last, length, rent.month_vnd) - _by(first, length, rent.month_vnd)
            due_on = following.replace(day=rent.due_day)
            found.append(_Rented(view.id, rent.place, rent.payee_id, rent.area_m2, last - first, amount_vnd, due_on))
    return [rent for rent in found if rent.amount_vnd]


def _by(days: int, length: int, month_vnd: int) -> int:
    return (2 * month_vnd * days + length) // (2 * length)


async def fall_due(tx: Tx, contracts: Sequence[ContractView], day: date, *, now: datetime) -> int:
    """With the last day of a month settled, its rents fall due. Returns how many are new; made before, they stay.

    So do those of settled months before, if a contract that began in them was agreed only later.
    """
    if (day + timedelta(days=1)).day != 1:
        return 0
    first: date = await tx.value(
        "select least($2, coalesce((select max(month) + interval '1 month' from payments.due_item where operator_id = $1),"
        "  (select min(day) from payments.settlement where operator_id = $1), $2))::date",
        tx.operator_id,
        day,
    )
    made, month = 0, first.replace(day=1)
    while month <= day:
        made += await _make(tx, rents_of(contracts, month), month, now)
        month += timedelta(days=monthrange(month.year, month.month)[1])
    return made


async def _make(tx: Tx, rents: Sequence[_Rented], month: date, now: datetime) -> int:
    made = 0
    for rent in rents:
        status = await tx.execute(
            "insert into payments.due_item (operator_id, id, contract_id, place, month, payee_id, area_m2, days, amount_vnd,"
            " due_on, made_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
            " on conflict (operator_id, contract_id, place, month) do nothing",
            tx.operator_id,
            new_id(),
            rent.contract_id,
            rent.place,
            month,
            rent.payee_id,
            rent.area_m2,
            rent.days,
            rent.amount_vnd,
            rent.due_on,
            now,
        )
        made += status == "INSERT 0 1"
    return made


async def still_open(tx: Tx, *, until: date | None = None) -> list[DueView]:
    """What is still owed (and due by a day), what is due first at the top."""
    return await _dues(
        tx, "d.netted_vnd < d.amount_vnd and ($2::date is null or d.due_on <= $2) order by d.due_on, d.id", until
    )


async def of_settlement(tx: Tx, day: date, payee_id: UUID) -> dict[UUID, DueView]:
    """The due items that a payee's statement of a day names."""
    found = await _dues(
        tx,
        "d.id in (select due_item_id from payments.payee_adjustment where operator_id = $1 and day = $2 and payee_id = $3)",
        day,
        payee_id,
    )
    return {item.id: item for item in found}


async def net(tx: Tx, id: UUID, amount_vnd: int) -> None:
    """So much of an item was taken from what the operator earned."""
    await tx.execute(
        "update payments.due_item set netted_vnd = netted_vnd + $3 where operator_id = $1 and id = $2",
        tx.operator_id,
        id,
        amount_vnd,
    )


async def _dues(tx: Tx, which: str, *values: object) -> list[DueView]:
    rows: list[Any] = await tx.rows(
        "select d.id, d.payee_id, d.place, p.code as place_code, d.month, d.area_m2, d.days, d.amount_vnd, d.netted_vnd,"
        " d.due_on from payments.due_item d"
        " join foundation.place p on p.operator_id = d.operator_id and p.number = d.place"
        f" where d.operator_id = $1 and {which}",
        tx.operator_id,
        *values,
    )
    return [DueView(**row) for row in rows]
