"""The settlement of a day: what of it every payee is owed, to the sale and to the đồng.

Once a day is over, all sales and give-backs that no settlement has had are divided by the contracts that held on their
days, each in one settlement only. What the operator has without the account (notes in his safe, shortages, what the bank
took) counts against him, rents that are due are taken from him, a part may be held back for a while. A settled day stands:
whatever comes later belongs to a later one. It is a pure function of the rows it names, so to make it again gives the same
bytes.

A sale for which no contract holds is not divided: it stays with `operator_payable`, named, until one does.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import BigInteger
from sqlmodel import CheckConstraint, Field, ForeignKeyConstraint, Index, SQLModel, text

from foundation import clock, directory
from foundation.database import CONFLICTS, Database, Tx
from foundation.errors import NotFound
from foundation.tables import instant, keys, octets, owner_key, recorded
from payments import contract, dues, ledger, working_days
from payments.contract import ContractView, PayeeView
from payments.ledger import Source
from payments.postings import Template
from payments.share import BP, Item, SoldLine, items_of_give_back, items_of_sale

log = logging.getLogger("motcham.settlement")
SETTLES_AT = time(0, 30)
"""From then on (Hanoi) the worker settles the day before: what was paid before midnight has arrived."""
KEPT: Mapping[str, tuple[str, ...]] = {
    "notes": ("cash_drawer:", "cash_in_transit"),
    "short": ("cash_over_short",),
    "bank": ("bank_charges", "losses", "suspense"),
}
"""What the operator has, or lost, without the account: the accounts (by their beginning) whose balance it is."""


class Settlement(SQLModel, table=True):
    """A settled day: how much was sold and given back in it. `digest` is of everything that follows from it.

    `open_from`: the first day of the ledger on which something is left for a later settlement, or may still come: a day
    takes postings until it is closed, also one that is settled.
    """

    __tablename__ = "settlement"
    __table_args__ = (
        CheckConstraint("sold_vnd >= 0 and given_back_vnd >= 0 and journals >= 0", name="amounts"),
        {"schema": "payments", "comment": "insert-only: a settled day stands"},
    )
    operator_id: UUID = owner_key()
    day: date = Field(primary_key=True)
    journals: int = Field(sa_type=BigInteger)
    sold_vnd: int = Field(sa_type=BigInteger)
    given_back_vnd: int = Field(sa_type=BigInteger)
    open_from: date
    digest: bytes = octets()
    made_at: datetime = instant()
    recorded_at: datetime = recorded()


class SettlementJournal(SQLModel, table=True):
    """That a sale, or a give-back, was settled on a day: once."""

    __tablename__ = "settlement_journal"
    __table_args__ = (
        ForeignKeyConstraint(
            keys("journal_id"),
            ["payments.journal.operator_id", "payments.journal.id"],
            name="settlement_journal_journal_fkey",
        ),
        ForeignKeyConstraint(
            keys("day"),
            ["payments.settlement.operator_id", "payments.settlement.day"],
            name="settlement_journal_day_fkey",
        ),
        CheckConstraint("amount_vnd <> 0", name="amount"),
        Index("settlement_journal_day_idx", *keys("day")),
        Index("settlement_journal_charge_idx", *keys("charge_id")),
        {"schema": "payments", "comment": "insert-only: in one settlement only"},
    )
    operator_id: UUID = owner_key(implied=True)
    journal_id: UUID = Field(primary_key=True)
    day: date
    charge_id: UUID
    amount_vnd: int = Field(sa_type=BigInteger)


class SettlementItem(SQLModel, table=True):
    """A payee's part of one line of a settled sale (> 0) or give-back (< 0), or of its fee."""

    __tablename__ = "settlement_item"
    __table_args__ = (
        ForeignKeyConstraint(
            keys("journal_id"),
            ["payments.settlement_journal.operator_id", "payments.settlement_journal.journal_id"],
            name="settlement_item_journal_fkey",
        ),
        ForeignKeyConstraint(
            keys("payee_id"), ["payments.payee.operator_id", "payments.payee.id"], name="settlement_item_payee_fkey"
        ),
        ForeignKeyConstraint(
            keys("contract_id"),
            ["payments.contract.operator_id", "payments.contract.id"],
            name="settlement_item_contract_fkey",
        ),
        CheckConstraint("kind in ('sum', 'vat', 'share', 'fee')", name="kind"),
        CheckConstraint("amount_vnd <> 0 and abs(vat_vnd) <= abs(amount_vnd)", name="amounts"),
        Index("settlement_item_day_idx", *keys("day", "payee_id")),
        Index("settlement_item_charge_idx", *keys("charge_id")),
        {"schema": "payments", "comment": "insert-only: what was divided"},
    )
    operator_id: UUID = owner_key(implied=True)
    journal_id: UUID = Field(primary_key=True)
    line_no: int = Field(primary_key=True)
    payee_id: UUID = Field(primary_key=True)
    kind: str = Field(primary_key=True)
    day: date
    charge_id: UUID
    contract_id: UUID
    amount_vnd: int = Field(sa_type=BigInteger)
    vat_vnd: int = Field(sa_type=BigInteger)


class PayeeStatement(SQLModel, table=True):
    """What a settled day means for one payee: gross - refunds - fees + adjustments - reserve = net.

    `carried_vnd` is what it was owed of earlier days when this one was settled. Fees are negative for who gets them; the
    reserve is what is held back more than is released. `due_on` is the day by which the net is to be paid out.
    """

    __tablename__ = "payee_statement"
    __table_args__ = (
        ForeignKeyConstraint(
            keys("day"), ["payments.settlement.operator_id", "payments.settlement.day"], name="payee_statement_day_fkey"
        ),
        ForeignKeyConstraint(
            keys("payee_id"), ["payments.payee.operator_id", "payments.payee.id"], name="payee_statement_payee_fkey"
        ),
        CheckConstraint("net_vnd = gross_vnd - refunds_vnd - fees_vnd + adjustments_vnd - reserve_vnd", name="net"),
        CheckConstraint("gross_vnd >= 0 and refunds_vnd >= 0", name="amounts"),
        CheckConstraint("due_on > day", name="due"),
        {"schema": "payments", "comment": "insert-only: a settled day stands"},
    )
    operator_id: UUID = owner_key()
    day: date = Field(primary_key=True)
    payee_id: UUID = Field(primary_key=True)
    carried_vnd: int = Field(sa_type=BigInteger)
    gross_vnd: int = Field(sa_type=BigInteger)
    refunds_vnd: int = Field(sa_type=BigInteger)
    fees_vnd: int = Field(sa_type=BigInteger)
    adjustments_vnd: int = Field(sa_type=BigInteger)
    reserve_vnd: int = Field(sa_type=BigInteger)
    net_vnd: int = Field(sa_type=BigInteger)
    due_on: date


class PayeeAdjustment(SQLModel, table=True):
    """What else a payee gets (> 0) or gives (< 0) on a settled day.

    `notes`, `short`, `bank`: by how much the operator has more or less of his without the account; `level_vnd` is how much
    it is now. `rent`: of which due item.
    """

    __tablename__ = "payee_adjustment"
    __table_args__ = (
        ForeignKeyConstraint(
            keys("day", "payee_id"),
            [f"payments.payee_statement.{name}" for name in ("operator_id", "day", "payee_id")],
            name="payee_adjustment_statement_fkey",
        ),
        ForeignKeyConstraint(
            keys("due_item_id"),
            ["payments.due_item.operator_id", "payments.due_item.id"],
            name="payee_adjustment_due_fkey",
        ),
        CheckConstraint("kind in ('notes', 'short', 'bank', 'rent')", name="kind"),
        CheckConstraint(
            "(kind = 'rent') = (due_item_id is not null) and (kind = 'rent') = (level_vnd is null)", name="of"
        ),
        CheckConstraint("amount_vnd <> 0", name="amount"),
        {"schema": "payments", "comment": "insert-only: a settled day stands"},
    )
    operator_id: UUID = owner_key()
    day: date = Field(primary_key=True)
    payee_id: UUID = Field(primary_key=True)
    number: int = Field(primary_key=True)
    kind: str
    amount_vnd: int = Field(sa_type=BigInteger)
    level_vnd: int | None = Field(default=None, sa_type=BigInteger)
    due_item_id: UUID | None = None


class HeldBack(SQLModel, table=True):
    """What was held back of a day's earnings under a contract; released with the settlement of `released_with`."""

    __tablename__ = "held_back"
    __table_args__ = (
        ForeignKeyConstraint(
            keys("day", "payee_id"),
            [f"payments.payee_statement.{name}" for name in ("operator_id", "day", "payee_id")],
            name="held_back_statement_fkey",
        ),
        ForeignKeyConstraint(
            keys("contract_id"),
            ["payments.contract.operator_id", "payments.contract.id"],
            name="held_back_contract_fkey",
        ),
        CheckConstraint("amount_vnd > 0 and release_on > day and released_with >= release_on", name="release"),
        Index("held_back_open_idx", *keys("release_on"), postgresql_where=text("released_with is null")),
        {"schema": "payments"},
    )
    operator_id: UUID = owner_key()
    day: date = Field(primary_key=True)
    contract_id: UUID = Field(primary_key=True)
    payee_id: UUID
    amount_vnd: int = Field(sa_type=BigInteger)
    release_on: date
    released_with: date | None = None


class NoSuchSettlement(NotFound):
    """That day is not settled."""


@dataclass(frozen=True, slots=True)
class Moved:
    """A sale (> 0) or a give-back (< 0) as the ledger has it, with the lines of its charge."""

    journal_id: UUID
    charge_id: UUID
    amount_vnd: int
    effective_day: date
    lines: tuple[tuple[int, str, date, int, str], ...]
    """Of its charge: number, service, day of the service, price, means."""


@dataclass(frozen=True, slots=True)
class Division:
    """The day's sales and give-backs divided; `undivided` are those that wait for a contract."""

    journals: tuple[tuple[UUID, UUID, int], ...]
    items: tuple[Item, ...]
    undivided: tuple[Moved, ...]

    def digest(self) -> bytes:
        """SHA-256 of all journals and items, in order."""
        lines = [
            json.dumps(astuple(row) if isinstance(row, Item) else row, default=str)
            for row in (*self.journals, *self.items)
        ]
        return hashlib.sha256("\n".join(lines).encode()).digest()


def divide(
    moved: Sequence[Moved], before: Mapping[UUID, Sequence[Item]], contracts: Sequence[ContractView]
) -> Division:
    """Divides what moved, in order: sales by the contract of each line's day, give-backs by what is left of their sale.

    `before`: by charge, the items that earlier settlements made of it. Pure.
    """
    left: dict[UUID, list[Item]] = {charge_id: _left(items) for charge_id, items in before.items()}
    returning = frozenset(view.id for view in contracts if view.said.fees_returned)
    journals, made, undivided = [], [], []
    for each in sorted(moved, key=lambda row: (row.amount_vnd < 0, row.effective_day, row.journal_id)):
        if each.amount_vnd > 0:
            lines = _sold(each, contracts)
            items = items_of_sale(each.journal_id, lines) if lines else []
        else:
            found = left.get(each.charge_id, [])
            items = items_of_give_back(each.journal_id, -each.amount_vnd, found, returning) if found else []
        if not items:
            undivided.append(each)
            continue
        journals.append((each.journal_id, each.charge_id, each.amount_vnd))
        made += items
        left[each.charge_id] = _left([*left.get(each.charge_id, ()), *items])
    return Division(tuple(journals), tuple(made), tuple(undivided))


def _sold(each: Moved, contracts: Sequence[ContractView]) -> list[SoldLine]:
    """The lines of a sale with their contracts; none at all if one of them has none."""
    lines = []
    for line_no, service, day, amount_vnd, means in each.lines:
        holds = contract.in_force(contracts, service, day)
        if holds is None:
            return []
        lines.append(SoldLine(each.charge_id, line_no, amount_vnd, means, holds.id, holds.terms))
    return lines


def _left(items: Iterable[Item]) -> list[Item]:
    """What is left of a sale after what was given back, by line, payee and kind, in the order of the sale."""
    sums: dict[tuple[int, UUID, str], Item] = {}
    for item in items:
        key = item.line_no, item.payee_id, item.kind
        had = sums.get(key)
        sums[key] = item if had is None else _plus(had, item)
    return list(sums.values())


def _plus(one: Item, other: Item) -> Item:
    return Item(
        *(one.journal_id, one.charge_id, one.line_no, one.payee_id, one.kind, one.contract_id),
        one.amount_vnd + other.amount_vnd,
        one.vat_vnd + other.vat_vnd,
    )


async def settle_what_is_over(database: Database) -> int:
    """Settles the days that are over, of every operator who has payees, in order; how many. The worker's, again and again."""
    settled = 0
    for operator_id in await directory.operators(database):
        try:
            while await _settle_next(database, operator_id):
                settled += 1
        except (asyncpg.UniqueViolationError, *CONFLICTS):
            log.info("another worker settles the days of %s", operator_id)
        except Exception:
            log.exception("the days of %s cannot be settled", operator_id)  # which never stops the others
    return settled


async def _settle_next(database: Database, operator_id: UUID) -> bool:
    async with database.transaction(operator_id, isolation="repeatable read") as tx:
        now, day = await clock.now(tx), await next_day(tx)
        return day is not None and clock.hanoi(now) >= _begins(day) and await settle_day(tx, day, now=now)


def _begins(day: date) -> datetime:
    return datetime.combine(day + timedelta(days=1), SETTLES_AT, clock.HANOI)


async def next_day(tx: Tx) -> date | None:
    """The day that is to be settled next; None before anything was sold, or while there is nobody to settle with."""
    found: date | None = await tx.value(
        "select coalesce((select max(day) + 1 from payments.settlement where operator_id = $1),"
        "  (select min(effective_day) from payments.journal where operator_id = $1))"
        " where exists (select from payments.payee where operator_id = $1 and kind = 'operator')",
        tx.operator_id,
    )
    return found


async def settle_day(tx: Tx, day: date, *, now: datetime) -> bool:
    """Settles a day with everything that follows. False if another is doing it, or has done it.

    The transaction is of one instant (repeatable read): what is booked meanwhile is the next settlement's.
    """
    if not await tx.value(
        "select pg_try_advisory_xact_lock(hashtextextended($1::text || 'settlement', 0))", str(tx.operator_id)
    ):
        return False
    if await tx.value("select true from payments.settlement where operator_id = $1 and day = $2", tx.operator_id, day):
        return False
    # Whoever agrees to a contract waits, and finds the day settled; one agreed since this instant ends this attempt.
    await tx.rows("select id from payments.contract where operator_id = $1 for share", tx.operator_id)
    contracts, payees = await contract.contracts(tx), await contract.payees(tx)
    moved = await _unsettled(tx, day)
    divided = divide(moved, await _items_of(tx, {each.charge_id for each in moved if each.amount_vnd < 0}), contracts)
    await dues.fall_due(tx, contracts, day, now=now)
    open_from = min(await _first_open(tx), day + timedelta(days=1), *(each.effective_day for each in divided.undivided))
    amounts = [amount_vnd for _, _, amount_vnd in divided.journals]
    tx.step("settlement")
    await tx.execute(
        "insert into payments.settlement (operator_id, day, journals, sold_vnd, given_back_vnd, open_from, digest, made_at)"
        " values ($1, $2, $3, $4, $5, $6, $7, $8)",
        tx.operator_id,
        day,
        len(amounts),
        sum(amount_vnd for amount_vnd in amounts if amount_vnd > 0),
        -sum(amount_vnd for amount_vnd in amounts if amount_vnd < 0),
        open_from,
        divided.digest(),
        now,
    )
    await _write_down(tx, day, divided)
    await _say(tx, day, divided.items, contracts, payees, now)
    return True


async def again(tx: Tx, day: date) -> tuple[bytes, bytes]:
    """The digest of a settled day as it stands, and of the same rows divided anew. They are equal. Raises NoSuchSettlement."""
    stored: bytes | None = await tx.value(
        "select digest from payments.settlement where operator_id = $1 and day = $2", tx.operator_id, day
    )
    if stored is None:
        raise NoSuchSettlement()
    moved = await _moved(tx, "s.day = $2", day)
    before = await _items_of(tx, {each.charge_id for each in moved if each.amount_vnd < 0}, until=day)
    return stored, divide(moved, before, await contract.contracts(tx)).digest()


_MOVED = """
with chosen as (
    select j.id, j.effective_day, j.template, j.source_type, j.source_id from payments.journal j
    left join payments.settlement_journal s on s.operator_id = j.operator_id and s.journal_id = j.id
    where j.operator_id = $1 and j.template in ('service.delivered', 'charge.given_back') and {which}
), amounted as (
    select c.id, c.effective_day, t.amount_vnd * case c.template when 'service.delivered' then 1 else -1 end as amount_vnd,
           case c.source_type when 'charge' then c.source_id::uuid
               when 'cash_refund' then (select r.charge_id from payments.cash_refund r
                                        where r.operator_id = $1 and r.id = c.source_id::uuid)
               else (select g.charge_id from payments.given_back g
                     where g.operator_id = $1 and g.receipt_id = split_part(c.source_id, '/', 1)::uuid
                       and g.number = split_part(c.source_id, '/', 2)::integer) end as charge_id
    from chosen c
    join payments.transfer t on t.operator_id = $1 and t.journal_id = c.id
)
select a.id, a.effective_day, a.amount_vnd, a.charge_id, l.line_no, l.service, l.service_day, l.amount_vnd as price_vnd,
       p.means
from amounted a
join payments.charge_line l on l.operator_id = $1 and l.charge_id = a.charge_id
join payments.line_paid p on p.operator_id = $1 and p.charge_id = l.charge_id and p.line_no = l.line_no
order by a.id, l.line_no
"""


async def _unsettled(tx: Tx, day: date) -> list[Moved]:
    """What no settlement has had, up to a day. A day that was opened again since the last one may have got more."""
    since: date | None = await tx.value(
        "select least(t.open_from, (select min(r.day) from payments.day_reopening r"
        "   where r.operator_id = t.operator_id and r.recorded_at > t.recorded_at))"
        " from payments.settlement t where t.operator_id = $1 order by t.day desc limit 1",
        tx.operator_id,
    )
    return await _moved(
        tx, "s.journal_id is null and j.effective_day <= $2 and j.effective_day >= $3", day, since or date.min
    )


async def _first_open(tx: Tx) -> date:
    """The first day that may get more: as this transaction sees it, so what is closed later is looked at once more.

    A day that is opened again waits until this is over, or has ended this attempt: the next settlement knows of it.
    """
    closed: date | None = await tx.value(
        "select closed_through from payments.book where operator_id = $1 for share", tx.operator_id
    )
    return closed + timedelta(days=1) if closed else date.min


async def _moved(tx: Tx, which: str, *values: object) -> list[Moved]:
    found: dict[UUID, list[Any]] = defaultdict(list)
    for row in await tx.rows(_MOVED.format(which=which), tx.operator_id, *values):
        found[row["id"]].append(row)
    return [
        Moved(
            id,
            rows[0]["charge_id"],
            rows[0]["amount_vnd"],
            rows[0]["effective_day"],
            tuple((r["line_no"], r["service"], r["service_day"], r["price_vnd"], r["means"]) for r in rows),
        )
        for id, rows in found.items()
    ]


async def _items_of(tx: Tx, charges: set[UUID], *, until: date | None = None) -> dict[UUID, list[Item]]:
    """By charge, what the settlements (of days before `until`) made of it, sales first."""
    found: dict[UUID, list[Item]] = defaultdict(list)
    rows = await tx.rows(
        "select i.journal_id, i.charge_id, i.line_no, i.payee_id, i.kind, i.contract_id, i.amount_vnd, i.vat_vnd"
        " from payments.settlement_item i"
        " join payments.settlement_journal s on s.operator_id = i.operator_id and s.journal_id = i.journal_id"
        " where i.operator_id = $1 and i.charge_id = any($2) and ($3::date is null or s.day < $3)"
        " order by s.amount_vnd < 0, s.day, i.journal_id, i.line_no, array_position(array['sum', 'vat', 'share', 'fee'], i.kind),"
        "   i.payee_id",
        tx.operator_id,
        list(charges),
        until,
    )
    for row in rows:
        found[row["charge_id"]].append(Item(*row))
    return found


async def _write_down(tx: Tx, day: date, divided: Division) -> None:
    if not divided.journals:
        return
    await tx.execute(
        "insert into payments.settlement_journal (operator_id, day, journal_id, charge_id, amount_vnd)"
        " select $1, $2, each.* from unnest($3::uuid[], $4::uuid[], $5::bigint[]) as each",
        tx.operator_id,
        day,
        *_columns(divided.journals),
    )
    await tx.execute(
        "insert into payments.settlement_item (operator_id, day, journal_id, charge_id, line_no, payee_id, kind,"
        "   contract_id, amount_vnd, vat_vnd)"
        " select $1, $2, each.* from unnest($3::uuid[], $4::uuid[], $5::int[], $6::uuid[], $7::text[], $8::uuid[],"
        "   $9::bigint[], $10::bigint[]) as each",
        tx.operator_id,
        day,
        *_columns([astuple(item) for item in divided.items]),
    )


def _columns(rows: Sequence[Sequence[object]]) -> list[list[object]]:
    return [list(column) for column in zip(*rows, strict=True)]


@dataclass(frozen=True, slots=True)
class _Adjustment:
    payee_id: UUID
    kind: str
    amount_vnd: int
    level_vnd: int | None = None
    due_item_id: UUID | None = None
    other: UUID | None = None


async def _say(
    tx: Tx,
    day: date,
    items: Sequence[Item],
    contracts: Sequence[ContractView],
    payees: Sequence[PayeeView],
    now: datetime,
) -> None:
    """Every payee's statement, also of a day without anything, and the postings that follow from it."""
    operator = next(payee.id for payee in payees if payee.kind == "operator")
    platform = next((payee.id for payee in payees if payee.kind == "platform"), None)
    sums: dict[UUID, dict[str, int]] = {payee.id: {"gross": 0, "refunds": 0, "fees": 0} for payee in payees}
    earned: dict[UUID, int] = defaultdict(int)
    for item in items:
        of = sums[item.payee_id]
        if item.kind == "fee":
            of["fees"] -= item.amount_vnd
        else:
            of["gross" if item.amount_vnd > 0 else "refunds"] += abs(item.amount_vnd)
            if item.payee_id == operator:
                earned[item.contract_id] += item.amount_vnd
    carried = await _carried(tx)
    held, released_vnd = _to_hold(earned, contracts, day), await _release(tx, day)
    reserve_vnd = sum(amount_vnd for _, amount_vnd, _ in held) - released_vnd
    adjustments = await _kept(tx, operator, day)
    left_vnd = carried.get(operator, 0) + sums[operator]["gross"] - sums[operator]["refunds"] - sums[operator]["fees"]
    left_vnd += sum(each.amount_vnd for each in adjustments) - reserve_vnd
    adjustments += await _rents(tx, operator, day, left_vnd)
    due_on = working_days.after(
        day,
        max((view.said.due_days for view in contracts if view.id in {item.contract_id for item in items}), default=1),
    )
    for payee in payees:
        of = sums[payee.id]
        of["adjustments"] = sum(each.amount_vnd for each in adjustments if each.payee_id == payee.id)
        of["reserve"] = reserve_vnd if payee.id == operator else 0
    await tx.execute(
        "insert into payments.payee_statement (operator_id, day, payee_id, carried_vnd, gross_vnd, refunds_vnd, fees_vnd,"
        "   adjustments_vnd, reserve_vnd, net_vnd, due_on)"
        " select $1, $2, p, c, g, r, f, a, h, g - r - f + a - h, $3 from unnest($4::uuid[], $5::bigint[], $6::bigint[],"
        "   $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[]) as each(p, c, g, r, f, a, h)",
        tx.operator_id,
        day,
        due_on,
        list(sums),
        [carried.get(payee_id, 0) for payee_id in sums],
        *([of[name] for of in sums.values()] for name in ("gross", "refunds", "fees", "adjustments", "reserve")),
    )
    await tx.connection.executemany(
        "insert into payments.payee_adjustment (operator_id, day, payee_id, number, kind, amount_vnd, level_vnd, due_item_id)"
        " values ($1, $2, $3, $4, $5, $6, $7, $8)",
        [
            (tx.operator_id, day, each.payee_id, number, each.kind, each.amount_vnd, each.level_vnd, each.due_item_id)
            for number, each in enumerate(adjustments, 1)
        ],
    )
    await tx.connection.executemany(
        "insert into payments.held_back (operator_id, day, contract_id, payee_id, amount_vnd, release_on)"
        " values ($1, $2, $3, $4, $5, $6)",
        [(tx.operator_id, day, contract_id, operator, amount_vnd, until) for contract_id, amount_vnd, until in held],
    )
    for payee_id, of in sums.items():
        post = _Posting(tx, day, payee_id, now)
        await post("payee.earned", "earned", of["gross"])
        await post("payee.gave_back", "gave_back", of["refunds"])
    post = _Posting(tx, day, operator, now)
    fees_vnd = sums[operator]["fees"]
    if platform is not None:
        if fees_vnd >= 0:
            await post("payee.paid", "fee", fees_vnd, other=platform)
        else:
            await _Posting(tx, day, platform, now)("payee.paid", "fee", -fees_vnd, other=operator)
    for each in adjustments:
        if each.kind == "rent" and each.payee_id == operator:
            await post("payee.paid", f"rent:{each.due_item_id}", -each.amount_vnd, other=each.other)
        elif each.kind != "rent":
            await post("payee.kept" if each.amount_vnd < 0 else "payee.handed", each.kind, abs(each.amount_vnd))
    await post("payee.held_back" if reserve_vnd > 0 else "payee.released", "reserve", abs(reserve_vnd))


@dataclass(frozen=True, slots=True)
class _Posting:
    """What is posted for one payee's statement; nothing for nothing."""

    tx: Tx
    day: date
    payee_id: UUID
    now: datetime

    async def __call__(self, template: Template, purpose: str, amount_vnd: int, *, other: UUID | None = None) -> None:
        if amount_vnd:
            source = Source("settlement", f"{self.day}/{self.payee_id}", purpose)
            await ledger.post(
                self.tx,
                template,
                source=source,
                amount_vnd=amount_vnd,
                effective_at=self.now,
                payee=self.payee_id,
                other=other,
            )


async def unpaid(tx: Tx) -> list[Any]:
    """The statements that no payout pays, the oldest first: payee_id, day, net_vnd, due_on."""
    return await tx.rows(
        "select s.payee_id, s.day, s.net_vnd, s.due_on from payments.payee_statement s"
        " left join payments.payout_day d"
        "   on d.operator_id = s.operator_id and d.payee_id = s.payee_id and d.day = s.day and not d.released"
        " where s.operator_id = $1 and d.day is null order by s.day",
        tx.operator_id,
    )


async def _carried(tx: Tx) -> dict[UUID, int]:
    """What each payee is owed of earlier days, as far as no payout pays it."""
    owed: dict[UUID, int] = defaultdict(int)
    for row in await unpaid(tx):
        owed[row["payee_id"]] += row["net_vnd"]
    return owed


def _to_hold(earned: Mapping[UUID, int], contracts: Sequence[ContractView], day: date) -> list[tuple[UUID, int, date]]:
    """(contract, what is held back of the day, until when)."""
    said = {view.id: view.said for view in contracts}
    held = []
    for contract_id, earned_vnd in earned.items():
        amount_vnd = max(earned_vnd, 0) * said[contract_id].hold_back_bp // BP
        if amount_vnd:
            held.append((contract_id, amount_vnd, day + timedelta(days=said[contract_id].hold_back_days)))
    return held


async def _release(tx: Tx, day: date) -> int:
    """What was held back until this day is free."""
    released: int = await tx.value(
        "with free as (update payments.held_back set released_with = $2"
        "   where operator_id = $1 and released_with is null and release_on <= $2 returning amount_vnd)"
        " select coalesce(sum(amount_vnd), 0)::bigint from free",
        tx.operator_id,
        day,
    )
    return released


async def _kept(tx: Tx, operator: UUID, day: date) -> list[_Adjustment]:
    """By how much the operator has more, or less, of his without the account than at the last settlement."""
    before = {
        row["kind"]: row["level_vnd"]
        for row in await tx.rows(
            "select distinct on (kind) kind, level_vnd from payments.payee_adjustment"
            " where operator_id = $1 and kind <> 'rent' order by kind, day desc",
            tx.operator_id,
        )
    }
    balances = await ledger.balances(tx, day)
    found = []
    for kind, beginnings in KEPT.items():
        level_vnd = sum(row.closing_vnd for row in balances if row.account.startswith(beginnings))
        if level_vnd != before.get(kind, 0):
            found.append(_Adjustment(operator, kind, before.get(kind, 0) - level_vnd, level_vnd))
    return found


async def _rents(tx: Tx, operator: UUID, day: date, left_vnd: int) -> list[_Adjustment]:
    """What is due by this day is taken from the operator and given to whom he owes it, as far as it goes."""
    found = []
    for item in await dues.still_open(tx, until=day):
        amount_vnd = min(item.left_vnd, left_vnd)
        if amount_vnd > 0:
            left_vnd -= amount_vnd
            await dues.net(tx, item.id, amount_vnd)
            found.append(_Adjustment(operator, "rent", -amount_vnd, due_item_id=item.id, other=item.payee_id))
            found.append(_Adjustment(item.payee_id, "rent", amount_vnd, due_item_id=item.id))
    return found
