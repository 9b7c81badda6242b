"""Bank deposits: bags of the safe's notes, made of the closed shifts they came from, and what the bank says arrived.

A bag has a reference like a charge's, to be written into the text of the deposit. Of what the bank tells under it, so much
as is in the bag comes out of the safe; too little leaves the bag open by the difference, until two of finance settle it as
missing; too much or once more is held with its reason. A shift whose notes change after its bag was made (a late
transfer) carries the change into the next bag.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from random import SystemRandom
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger
from sqlmodel import CheckConstraint, Field, ForeignKeyConstraint, SQLModel, UniqueConstraint

from foundation import audit, directory
from foundation.database import Tx
from foundation.errors import Refusal
from foundation.money import TRANSFER_MAX_VND
from foundation.tables import instant, keys, owner_key
from payments import held, ledger, reference
from payments.ledger import Source

_draw = SystemRandom()


class Deposit(SQLModel, table=True):
    """One bag, numbered without gaps per operator. Open while `arrived_vnd` is less than what is in it.

    `short_…`: what somebody wants to settle as missing, and who agreed: neither he nor who made the bag.
    """

    __tablename__ = "deposit"
    __table_args__ = (
        UniqueConstraint(*keys("number"), name="deposit_number_key"),
        ForeignKeyConstraint(
            keys("made_by"), ["foundation.staff.operator_id", "foundation.staff.id"], name="deposit_staff_fkey"
        ),
        CheckConstraint(f"amount_vnd between 1 and {TRANSFER_MAX_VND} and number > 0", name="amount"),
        CheckConstraint("arrived_vnd between 0 and amount_vnd", name="arrived"),
        ForeignKeyConstraint(
            keys("short_asked_by"), ["foundation.staff.operator_id", "foundation.staff.id"], name="deposit_asker_fkey"
        ),
        ForeignKeyConstraint(
            keys("short_agreed_by"), ["foundation.staff.operator_id", "foundation.staff.id"], name="deposit_agreer_fkey"
        ),
        CheckConstraint(
            "num_nulls(short_vnd, short_reason, short_asked_by, short_asked_at) in (0, 4) and short_vnd > 0",
            name="short_asked",
        ),
        CheckConstraint(
            "num_nulls(short_agreed_by, short_agreed_at) in (0, 2)"
            " and (short_agreed_at is null or coalesce(arrived_vnd + short_vnd = amount_vnd, false))",
            name="short_agreed",
        ),
        CheckConstraint("short_agreed_by not in (short_asked_by, made_by)", name="short_second_person"),
        {"schema": "payments"},
    )
    operator_id: UUID = owner_key()
    reference: str = Field(primary_key=True)
    number: int
    amount_vnd: int = Field(sa_type=BigInteger)
    arrived_vnd: int = Field(default=0, sa_type=BigInteger, sa_column_kwargs={"server_default": "0"})
    made_by: UUID
    made_at: datetime = instant()
    arrived_at: datetime | None = instant(default=None)
    short_vnd: int | None = Field(default=None, sa_type=BigInteger)
    short_reason: str | None = None
    short_asked_by: UUID | None = None
    short_asked_at: datetime | None = instant(default=None)
    short_agreed_by: UUID | None = None
    short_agreed_at: datetime | None = instant(default=None)


class DepositShift(SQLModel, table=True):
    """What a bag holds of one shift. Less than nothing where later transfers bought notes that an earlier bag held."""

    __tablename__ = "deposit_shift"
    __table_args__ = (
        ForeignKeyConstraint(
            keys("reference"), ["payments.deposit.operator_id", "payments.deposit.reference"], name="deposit_shift_fkey"
        ),
        ForeignKeyConstraint(
            keys("shift_id"), ["payments.shift.operator_id", "payments.shift.id"], name="deposit_shift_shift_fkey"
        ),
        CheckConstraint("amount_vnd <> 0", name="amount"),
        {"schema": "payments", "comment": "insert-only: what went into a bag"},
    )
    operator_id: UUID = owner_key()
    reference: str = Field(primary_key=True)
    shift_id: UUID = Field(primary_key=True)
    amount_vnd: int = Field(sa_type=BigInteger)


class DepositArrival(SQLModel, table=True):
    """What of one receipt was for a bag: by its own text (`use` 0), or by what finance decided of held money."""

    __tablename__ = "deposit_arrival"
    __table_args__ = (
        ForeignKeyConstraint(
            keys("reference"),
            ["payments.deposit.operator_id", "payments.deposit.reference"],
            name="deposit_arrival_deposit_fkey",
        ),
        ForeignKeyConstraint(
            keys("receipt_id"),
            ["payments.receipt.operator_id", "payments.receipt.id"],
            name="deposit_arrival_receipt_fkey",
        ),
        CheckConstraint("amount_vnd > 0", name="amount"),
        {"schema": "payments", "comment": "insert-only: what arrived"},
    )
    operator_id: UUID = owner_key()
    receipt_id: UUID = Field(primary_key=True)
    use: int = Field(primary_key=True)
    reference: str
    amount_vnd: int = Field(sa_type=BigInteger)
    at: datetime = instant()


class NothingToDeposit(Refusal):
    """Those shifts have no notes in the safe that could be deposited."""


class NothingShort(Refusal):
    """Nothing of this bag waits to be settled as missing."""


class OwnShortage(Refusal):
    """You made this bag or asked to settle it yourself; somebody else has to agree."""

    status = 403
    constraint = "deposit_short_second_person"


@dataclass(frozen=True, slots=True)
class DepositView:
    """A bag that the bank may tell of. `short_vnd`: what was settled as missing."""

    reference: str
    amount_vnd: int
    arrived_vnd: int
    made_by: UUID
    short_vnd: int

    @property
    def remaining_vnd(self) -> int:
        return self.amount_vnd - self.arrived_vnd - self.short_vnd


async def make(tx: Tx, shifts: Sequence[UUID], *, staff_id: UUID, now: datetime) -> str:
    """Bags what the safe holds of these closed shifts. Returns the reference. Raises NothingToDeposit."""
    # The lock first: a second bag at the same moment finds nothing left of these shifts.
    rows = await tx.rows(
        "select id, safe_vnd - bagged_vnd as amount_vnd from payments.shift where operator_id = $1 and id = any($2)"
        " and closed_at is not null and safe_vnd <> bagged_vnd order by id for update",
        tx.operator_id,
        list(shifts),
    )
    amount_vnd = sum(row["amount_vnd"] for row in rows)
    if amount_vnd <= 0:
        raise NothingToDeposit()
    tx.step("deposit.made")
    drawn = reference.draw(_draw)
    await directory.enter(tx, "reference", drawn)
    # Numbers are gapless per operator, so bags of one operator follow one another.
    await tx.one_at_a_time("deposit")
    number: int = await tx.value(
        "insert into payments.deposit (operator_id, reference, number, amount_vnd, made_by, made_at)"
        " select $1, $2, coalesce(max(number), 0) + 1, $3, $4, $5 from payments.deposit where operator_id = $1"
        " returning number",
        tx.operator_id,
        drawn,
        amount_vnd,
        staff_id,
        now,
    )
    await tx.execute(
        "with bagged as (insert into payments.deposit_shift (operator_id, reference, shift_id, amount_vnd)"
        "   select $1, $2, * from unnest($3::uuid[], $4::bigint[]) returning shift_id, amount_vnd)"
        " update payments.shift s set bagged_vnd = s.bagged_vnd + b.amount_vnd from bagged b"
        " where s.operator_id = $1 and s.id = b.shift_id",
        tx.operator_id,
        drawn,
        [row["id"] for row in rows],
        [row["amount_vnd"] for row in rows],
    )
    await audit.note(
        tx,
        staff_id,
        "deposit.made",
        f"deposit {drawn}",
        after={"number": number, "amount_vnd": amount_vnd, "shifts": len(rows)},
        now=now,
    )
    return drawn


async def find(tx: Tx, references: Sequence[str]) -> list[DepositView]:
    """The bags among these references, locked."""
    rows = await tx.rows(
        "select reference, amount_vnd, arrived_vnd, made_by,"
        " case when short_agreed_at is null then 0 else short_vnd end as short_vnd"
        " from payments.deposit where operator_id = $1 and reference = any($2) for update",
        tx.operator_id,
        list(references),
    )
    return [DepositView(**row) for row in rows]


async def arrive(
    tx: Tx, bag: DepositView, amount_vnd: int, *, source: tuple[str, str], receipt_id: UUID, use: int, at: datetime
) -> int:
    """The bank told of money for a bag (locked): returns how much of it was in the bag and not yet here."""
    taken_vnd = min(amount_vnd, bag.remaining_vnd)
    if taken_vnd:
        tx.step("deposit.arrived")
        await ledger.post(
            tx,
            "deposit.arrived",
            source=Source(*source, "deposited"),
            amount_vnd=taken_vnd,
            effective_at=at,
            flow=receipt_id,
        )
        await tx.execute(
            "with arrived as (insert into payments.deposit_arrival (operator_id, receipt_id, use, reference, amount_vnd, at)"
            "   values ($1, $3, $4, $2, $5, $6))"
            " update payments.deposit set arrived_vnd = arrived_vnd + $5,"
            " arrived_at = case when arrived_vnd + $5 = amount_vnd then $6 else arrived_at end,"
            " short_vnd = null, short_reason = null, short_asked_by = null, short_asked_at = null"
            " where operator_id = $1 and reference = $2",
            tx.operator_id,
            bag.reference,
            receipt_id,
            use,
            taken_vnd,
            at,
        )
    return taken_vnd


async def ask_short(tx: Tx, drawn: str, *, staff_id: UUID, reason: str, now: datetime) -> None:
    """Somebody wants to settle what did not arrive of a bag as missing; if more arrives, he has to ask anew.

    Raises ReasonMissing, NothingShort.
    """
    reason = held.reason_of(reason)
    short_vnd: int | None = await tx.value(
        "update payments.deposit set short_vnd = amount_vnd - arrived_vnd, short_reason = $3, short_asked_by = $4,"
        " short_asked_at = $5 where operator_id = $1 and reference = $2 and arrived_vnd < amount_vnd"
        " and short_agreed_at is null returning short_vnd",
        tx.operator_id,
        drawn,
        reason,
        staff_id,
        now,
    )
    if short_vnd is None:
        raise NothingShort()
    after = {"short_vnd": short_vnd}
    subject = f"deposit {drawn}"
    await audit.note(tx, staff_id, "deposit.short_asked", subject, reason=reason, after=after, now=now)


async def agree_short(tx: Tx, drawn: str, *, staff_id: UUID, now: datetime) -> None:
    """A second person agrees: the notes are booked as missing. Raises NothingShort, OwnShortage."""
    row = await tx.row(
        "select short_vnd, short_reason, short_asked_by, made_by, arrived_vnd from payments.deposit"
        " where operator_id = $1 and reference = $2 and short_vnd is not null and short_agreed_at is null for update",
        tx.operator_id,
        drawn,
    )
    if row is None:
        raise NothingShort()
    if staff_id in (row["short_asked_by"], row["made_by"]):
        raise OwnShortage()
    await tx.execute(
        "update payments.deposit set short_agreed_by = $3, short_agreed_at = $4 where operator_id = $1 and reference = $2",
        tx.operator_id,
        drawn,
        staff_id,
        now,
    )
    await ledger.post(
        tx,
        "deposit.short",
        source=Source("deposit", drawn, "short"),
        amount_vnd=row["short_vnd"],
        effective_at=now,
    )
    await audit.note(
        tx,
        staff_id,
        "deposit.short",
        f"deposit {drawn}",
        reason=row["short_reason"],
        before={"arrived_vnd": row["arrived_vnd"]},
        after={"short_vnd": row["short_vnd"]},
        now=now,
    )


async def listed(tx: Tx, *, most: int = 200) -> list[Any]:
    """Every bag, the open ones first: number, reference, amounts, who made it when, its shifts, what is held of it."""
    return await tx.rows(
        "select d.number, d.reference, d.amount_vnd, d.arrived_vnd, d.made_at, d.arrived_at, p.name as made_by,"
        " d.short_vnd, d.short_reason, q.name as short_asked_by, d.short_agreed_at, o.name as short_agreed_by,"
        " array[d.made_by, d.short_asked_by] as not_by,"
        " (select string_agg(n.code || '/' || s.number, ', ' order by n.code, s.number)"
        "    from payments.deposit_shift x join payments.shift s on s.operator_id = x.operator_id and s.id = x.shift_id"
        "    join foundation.place n on n.operator_id = s.operator_id and n.number = s.place"
        "    where x.operator_id = d.operator_id and x.reference = d.reference) as shifts,"
        " coalesce((select sum(h.amount_vnd - h.used_vnd) from payments.held h"
        "    join payments.receipt r on r.operator_id = h.operator_id and r.id = h.receipt_id"
        "    where h.operator_id = d.operator_id and h.closed_at is null"
        "      and h.reason in ('deposit_over', 'deposit_twice') and d.reference = any(r.references_found)), 0)::bigint"
        "    as too_much_vnd"
        " from payments.deposit d join foundation.staff p on p.operator_id = d.operator_id and p.id = d.made_by"
        " left join foundation.staff q on q.operator_id = d.operator_id and q.id = d.short_asked_by"
        " left join foundation.staff o on o.operator_id = d.operator_id and o.id = d.short_agreed_by"
        " where d.operator_id = $1 order by d.arrived_at is not null or d.short_agreed_at is not null, d.number desc limit $2",
        tx.operator_id,
        most,
    )


async def to_deposit(tx: Tx) -> list[Any]:
    """The closed shifts whose notes are in the safe and in no bag yet: id, place_code, number, name, closed_at, amount_vnd."""
    return await tx.rows(
        "select s.id, n.code as place_code, s.number, p.name, s.closed_at, s.safe_vnd - s.bagged_vnd as amount_vnd"
        " from payments.shift s"
        " join foundation.place n on n.operator_id = s.operator_id and n.number = s.place"
        " join foundation.staff p on p.operator_id = s.operator_id and p.id = s.staff_id"
        " where s.operator_id = $1 and s.closed_at is not null and s.safe_vnd <> s.bagged_vnd"
        " order by s.closed_at, s.number",
        tx.operator_id,
    )
