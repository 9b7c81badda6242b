"""A shift: who answers for which notes, from the opening float to the count at the end.

The drawer is an account of its own that cannot be overdrawn. Closing is blind: the attendant counts first and only then
learns what was expected; a difference is posted to its own account, never smoothed away.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger
from sqlmodel import CheckConstraint, Field, Index, SQLModel, UniqueConstraint, text

from foundation.database import Tx
from foundation.device import Attendant
from foundation.errors import Refusal
from foundation.tables import instant, keys, new_id, owner_key
from payments import ledger
from payments.ledger import Source


class Shift(SQLModel, table=True):
    """One attendant, one tablet, one place. `receipts` counts its cash receipts, numbered without gaps."""

    __tablename__ = "shift"
    __table_args__ = (
        UniqueConstraint(*keys("place", "number"), name="shift_number_key"),
        Index("shift_open_idx", *keys("device_id"), unique=True, postgresql_where=text("closed_at is null")),
        CheckConstraint("float_vnd >= 0 and (counted_vnd is null or counted_vnd >= 0)", name="amounts"),
        CheckConstraint(
            "(closed_at is null) = (counted_vnd is null) and (closed_at is null) = (expected_vnd is null)",
            name="closed",
        ),
        {"schema": "payments"},
    )
    operator_id: UUID = owner_key()
    id: UUID = Field(primary_key=True)
    place: int
    number: int
    device_id: UUID
    staff_id: UUID
    opened_at: datetime = instant()
    float_vnd: int = Field(sa_type=BigInteger)
    receipts: int = 0
    closed_at: datetime | None = instant(default=None)
    counted_vnd: int | None = Field(default=None, sa_type=BigInteger)
    expected_vnd: int | None = Field(default=None, sa_type=BigInteger)


class NoShift(Refusal):
    """Open a shift before taking cash."""


class ShiftOpen(Refusal):
    """A shift is already open on this tablet; close it first."""

    constraint = "shift_open_idx"


class ShiftOfAnother(Refusal):
    """The open shift on this tablet belongs to {name}; only that person can use or close it."""

    status = 403


@dataclass(frozen=True, slots=True)
class OpenShift:
    """The shift that an attendant's cash goes into."""

    id: UUID
    number: int
    place: int
    opened_at: datetime
    float_vnd: int
    receipts: int

    @property
    def drawer(self) -> str:
        return f"cash_drawer:{self.id}"


@dataclass(frozen=True, slots=True)
class ClosedShift:
    """What a close says. expected = float + cash + proxy notes not yet transferred; difference = counted − expected."""

    number: int
    float_vnd: int
    cash_vnd: int
    proxy_vnd: int
    proxy_arrived_vnd: int
    expected_vnd: int
    counted_vnd: int
    difference_vnd: int
    receipts: int


async def open_shift(tx: Tx, who: Attendant, *, place: int, float_vnd: int, now: datetime) -> OpenShift:
    """Opens a shift with the notes that were handed over. Raises PlaceNotYours, ShiftOpen."""
    who.must_work_at(place)
    tx.step("shift.opened")
    id = new_id()
    # The unique index, not this look, is what forbids two; it makes the sentence kind.
    if await tx.value(
        "select true from payments.shift where operator_id = $1 and device_id = $2 and closed_at is null",
        tx.operator_id,
        who.device_id,
    ):
        raise ShiftOpen()
    # Numbers are gapless per place, so openings at one place follow one another.
    await tx.execute(
        "select from foundation.place where operator_id = $1 and number = $2 for update", tx.operator_id, place
    )
    number: int = await tx.value(
        "insert into payments.shift"
        " (operator_id, id, place, number, device_id, staff_id, opened_at, float_vnd, receipts)"
        " select $1, $2, $3, coalesce(max(number), 0) + 1, $4, $5, $6, $7, 0 from payments.shift"
        " where operator_id = $1 and place = $3 returning number",
        tx.operator_id,
        id,
        place,
        who.device_id,
        who.staff_id,
        now,
        float_vnd,
    )
    drawer = await ledger.open_drawer(tx, id)
    if float_vnd:
        await ledger.post(
            tx,
            "shift.opened",
            source=Source("shift", str(id), "opened"),
            amount_vnd=float_vnd,
            effective_at=now,
            drawer=drawer,
        )
    return OpenShift(id, number, place, now, float_vnd, 0)


async def current(tx: Tx, who: Attendant, *, lock: bool = False) -> OpenShift | None:
    """The open shift of this tablet, if it is this attendant's. Raises ShiftOfAnother."""
    row = await tx.row(
        "select s.id, s.number, s.place, s.opened_at, s.float_vnd, s.receipts, s.staff_id, p.name"
        " from payments.shift s join foundation.staff p on p.operator_id = s.operator_id and p.id = s.staff_id"
        " where s.operator_id = $1 and s.device_id = $2 and s.closed_at is null" + (" for update of s" if lock else ""),
        tx.operator_id,
        who.device_id,
    )
    if row is None:
        return None
    if row["staff_id"] != who.staff_id:
        raise ShiftOfAnother(name=row["name"])
    return OpenShift(row["id"], row["number"], row["place"], row["opened_at"], row["float_vnd"], row["receipts"])


async def must_be_open(tx: Tx, who: Attendant, *, lock: bool = False) -> OpenShift:
    """The open shift of this attendant. Raises NoShift, ShiftOfAnother."""
    found = await current(tx, who, lock=lock)
    if found is None:
        raise NoShift()
    return found


async def close_shift(tx: Tx, who: Attendant, *, counted_vnd: int, now: datetime) -> ClosedShift:
    """Closes with what was counted: the drawer is emptied to the safe, a difference gets its own posting."""
    shift = await must_be_open(tx, who, lock=True)
    tx.step("shift.closed")
    row = await tx.row(
        "select coalesce(sum(amount_vnd) filter (where not proxy), 0)::bigint as cash_vnd,"
        " coalesce(sum(amount_vnd) filter (where proxy), 0)::bigint as proxy_vnd"
        " from payments.cash_receipt where operator_id = $1 and shift_id = $2",
        tx.operator_id,
        shift.id,
    )
    arrived_vnd: int = await tx.value(
        "select coalesce(sum(received_vnd), 0)::bigint from payments.proxy_transfer"
        " where operator_id = $1 and shift_id = $2",
        tx.operator_id,
        shift.id,
    )
    expected_vnd: int = await tx.value(
        "select balance_vnd from payments.balance where operator_id = $1 and account = $2 for update",
        tx.operator_id,
        shift.drawer,
    )
    difference_vnd = counted_vnd - expected_vnd
    source = str(shift.id)
    if difference_vnd:
        await ledger.post(
            tx,
            "shift.over" if difference_vnd > 0 else "shift.short",
            source=Source("shift", source, "difference"),
            amount_vnd=abs(difference_vnd),
            effective_at=now,
            drawer=shift.drawer,
        )
    if counted_vnd:
        await ledger.post(
            tx,
            "shift.closed",
            source=Source("shift", source, "closed"),
            amount_vnd=counted_vnd,
            effective_at=now,
            drawer=shift.drawer,
        )
    await tx.execute(
        "update payments.shift set closed_at = $3, counted_vnd = $4, expected_vnd = $5"
        " where operator_id = $1 and id = $2",
        tx.operator_id,
        shift.id,
        now,
        counted_vnd,
        expected_vnd,
    )
    return ClosedShift(
        shift.number,
        shift.float_vnd,
        row["cash_vnd"],
        row["proxy_vnd"],
        arrived_vnd,
        expected_vnd,
        counted_vnd,
        difference_vnd,
        shift.receipts,
    )
