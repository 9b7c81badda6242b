"""A shift: who answers for which notes, from the opening float to the count at the end.

The drawer is an account of its own that cannot be overdrawn. A shift is open, then counted, then closed (`handover`):
from the count on nothing more is sold in it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger
from sqlmodel import CheckConstraint, Field, ForeignKeyConstraint, Index, SQLModel, UniqueConstraint, text

from foundation.database import Tx
from foundation.device import Attendant
from foundation.errors import NotFound, Refusal
from foundation.tables import document, instant, keys, new_id, owner_key
from payments import ledger, notes
from payments.ledger import Source
from payments.notes import Notes

REASONS = ("change", "sale", "counterfeit", "lost", "uncounted", "other")
"""Why a drawer was not right: wrong change, a sale not or wrongly entered, a false note, lost, nobody counted, other."""
VOIDS_MAX = 3
"""So often an attendant may take an announced bundle back in a shift: each one tells him a bound of what is expected."""


class Shift(SQLModel, table=True):
    """One attendant, one tablet, one place. `receipts`, `drops`, `refunds` count its slips, numbered without gaps.

    `opened_notes`: null only in shifts of before notes were counted by denomination. `uncounted`: nobody saw the notes,
    so none counted as there. `explained_vnd`: how much of a shortage late transfers of the attendant explained.
    `voids`: bundles for the safe that the attendant took back; `drops_refused`: those he announced that were not there.
    `safe_vnd`: notes that the safe holds by this shift (drops and count, less its float and what late transfers bought);
    `bagged_vnd`: how much of that went into deposits.
    """

    __tablename__ = "shift"
    __table_args__ = (
        UniqueConstraint(*keys("place", "number"), name="shift_number_key"),
        ForeignKeyConstraint(
            keys("countersigned_by"), ["foundation.staff.operator_id", "foundation.staff.id"], name="shift_witness_fkey"
        ),
        ForeignKeyConstraint(
            keys("closed_by"), ["foundation.staff.operator_id", "foundation.staff.id"], name="shift_closed_by_fkey"
        ),
        ForeignKeyConstraint(
            keys("taken_over_from"), ["payments.shift.operator_id", "payments.shift.id"], name="shift_taken_over_fkey"
        ),
        Index("shift_open_idx", *keys("device_id"), unique=True, postgresql_where=text("closed_at is null")),
        CheckConstraint("float_vnd >= 0 and (counted_vnd is null or counted_vnd >= 0)", name="amounts"),
        CheckConstraint(notes.holds("opened_notes", "float_vnd"), name="opened_notes"),
        CheckConstraint(notes.holds("counted_notes", "counted_vnd"), name="counted_notes"),
        CheckConstraint(
            "(counted_at is null) = (counted_vnd is null) and (counted_at is null) = (expected_vnd is null)"
            " and (closed_at is null or counted_at is not null)",
            name="counted",
        ),
        CheckConstraint(
            "opened_notes is null or counted_at is null"
            " or uncounted = (counted_notes is null) and (not uncounted or counted_vnd = 0)",
            name="uncounted",
        ),
        CheckConstraint(
            "opened_notes is null or closed_at is null"
            " or num_nonnulls(countersigned_by, closed_by) = 1 and countersigned_by is distinct from staff_id",
            name="two_names",
        ),
        CheckConstraint(f"voids between 0 and {VOIDS_MAX}", name="voids"),
        CheckConstraint("closed_by is distinct from staff_id", name="closed_by_another"),
        CheckConstraint(
            "opened_notes is null or closed_at is null or counted_vnd = expected_vnd and not uncounted"
            " or reason is not null",
            name="difference_has_reason",
        ),
        CheckConstraint(
            "reason in ('change', 'sale', 'counterfeit', 'lost', 'uncounted', 'other')",
            name="reason",
        ),
        CheckConstraint(
            "explained_vnd between 0 and greatest(coalesce(expected_vnd - counted_vnd, 0), 0)", name="explained"
        ),
        CheckConstraint("bagged_vnd = 0 or closed_at is not null", name="bagged"),
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
    opened_notes: dict[str, int] | None = document(default=None, nullable=True)
    taken_over_from: UUID | None = None
    receipts: int = 0
    drops: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    refunds: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    voids: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    drops_refused: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    counted_at: datetime | None = instant(default=None)
    counted_notes: dict[str, int] | None = document(default=None, nullable=True)
    counted_vnd: int | None = Field(default=None, sa_type=BigInteger)
    expected_vnd: int | None = Field(default=None, sa_type=BigInteger)
    uncounted: bool = Field(default=False, sa_column_kwargs={"server_default": "false"})
    explained_vnd: int = Field(default=0, sa_type=BigInteger, sa_column_kwargs={"server_default": "0"})
    closed_at: datetime | None = instant(default=None)
    reason: str | None = None
    words: str | None = None
    countersigned_by: UUID | None = None
    closed_by: UUID | None = None
    safe_vnd: int = Field(default=0, sa_type=BigInteger, sa_column_kwargs={"server_default": "0"})
    bagged_vnd: int = Field(default=0, sa_type=BigInteger, sa_column_kwargs={"server_default": "0"})


class NoShift(Refusal):
    """Open a shift before taking cash."""


class ShiftOpen(Refusal):
    """A shift is already open on this tablet; close it first."""

    constraint = "shift_open_idx"


class ShiftOfAnother(Refusal):
    """The open shift on this tablet belongs to {name}; only that person can use or close it."""

    status = 403


class ShiftCounted(Refusal):
    """Shift {number} has been counted: nothing more goes into its drawer or out of it. Close it."""


class ShiftClosedByOffice(Refusal):
    """Shift {number} was closed by {name} from the office at {at}; this was not recorded."""


class ShiftOver(Refusal):
    """Shift {number} is closed since {at}; this was not recorded."""


@dataclass(frozen=True, slots=True)
class OpenShift:
    """The shift that an attendant's cash goes into; `counted_at` once it waits for being closed."""

    id: UUID
    number: int
    place: int
    opened_at: datetime
    float_vnd: int
    receipts: int
    counted_at: datetime | None = None

    @property
    def drawer(self) -> str:
        return f"cash_drawer:{self.id}"


async def open_shift(
    tx: Tx, who: Attendant, *, place: int, counted: Notes, taken_over_from: UUID | None = None, now: datetime
) -> OpenShift:
    """Opens a shift with the notes that were handed over. Raises PlaceNotYours, ShiftOpen."""
    who.must_work_at(place)
    tx.step("shift.opened")
    id, float_vnd = new_id(), notes.sum_vnd(counted)
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
        "insert into payments.shift (operator_id, id, place, number, device_id, staff_id, opened_at, float_vnd,"
        " opened_notes, safe_vnd, taken_over_from, receipts)"
        " select $1, $2, $3, coalesce(max(number), 0) + 1, $4, $5, $6, $7, $8, - $7::bigint, $9, 0 from payments.shift"
        " where operator_id = $1 and place = $3 returning number",
        tx.operator_id,
        id,
        place,
        who.device_id,
        who.staff_id,
        now,
        float_vnd,
        json.dumps(notes.tidy(counted)),
        taken_over_from,
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
    """The shift of this tablet that is not closed, if it is this attendant's. Raises ShiftOfAnother."""
    row = await _on_tablet(tx, who, lock)
    if row is not None and row["staff_id"] != who.staff_id:
        raise ShiftOfAnother(name=row["name"])
    return _open(row)


async def must_be_open(tx: Tx, who: Attendant, *, named: UUID | None = None, lock: bool = False) -> OpenShift:
    """The shift of this attendant that notes may go into. `named`: the one that his tablet believes to be open.

    Raises NoShift, ShiftOfAnother, ShiftCounted; ShiftClosedByOffice or ShiftOver if the named one is closed by now.
    """
    found = await not_closed(tx, who, named=named, lock=lock)
    if found.counted_at is not None:
        raise ShiftCounted(number=found.number)
    return found


async def not_closed(tx: Tx, who: Attendant, *, named: UUID | None, lock: bool = True) -> OpenShift:
    """The same, also if it is counted already."""
    row = await _on_tablet(tx, who, lock)
    if named is not None and (row is None or row["id"] != named):
        raise await _how_it_ended(tx, who, named)
    if row is not None and row["staff_id"] != who.staff_id:
        raise ShiftOfAnother(name=row["name"])
    if row is None:
        raise NoShift()
    found = _open(row)
    assert found is not None
    return found


async def closed_by_office(tx: Tx, who: Attendant) -> ShiftClosedByOffice | None:
    """If the last shift of this attendant on this tablet was closed over his head: who did it and when."""
    row = await tx.row(
        "select s.id, s.closed_by from payments.shift s where s.operator_id = $1 and s.device_id = $2 and s.staff_id = $3"
        " order by s.opened_at desc, s.number desc limit 1",
        tx.operator_id,
        who.device_id,
        who.staff_id,
    )
    ended = await _how_it_ended(tx, who, row["id"]) if row and row["closed_by"] else None
    return ended if isinstance(ended, ShiftClosedByOffice) else None


def _open(row: Any) -> OpenShift | None:
    return row and OpenShift(*(row[name] for name in OpenShift.__dataclass_fields__))


async def _on_tablet(tx: Tx, who: Attendant, lock: bool) -> Any:
    return await tx.row(
        "select s.id, s.number, s.place, s.opened_at, s.float_vnd, s.receipts, s.counted_at, s.staff_id, p.name"
        " from payments.shift s join foundation.staff p on p.operator_id = s.operator_id and p.id = s.staff_id"
        " where s.operator_id = $1 and s.device_id = $2 and s.closed_at is null" + (" for update of s" if lock else ""),
        tx.operator_id,
        who.device_id,
    )


async def _how_it_ended(tx: Tx, who: Attendant, shift_id: UUID) -> Refusal:
    row = await tx.row(
        "select s.number, s.closed_at, p.name from payments.shift s"
        " left join foundation.staff p on p.operator_id = s.operator_id and p.id = s.closed_by"
        " where s.operator_id = $1 and s.id = $2 and s.device_id = $3 and s.closed_at is not null",
        tx.operator_id,
        shift_id,
        who.device_id,
    )
    if row is None:
        return NotFound()
    if row["name"]:
        return ShiftClosedByOffice(number=row["number"], name=row["name"], at=row["closed_at"])
    return ShiftOver(number=row["number"], at=row["closed_at"])
