"""Cash drops: notes that go from an open drawer to the safe during a shift.

Announced by denomination, they are set aside at once, so that nothing else can spend them; whoever takes them to the safe
signs for them at the same tablet. Without his signature they are free again after a while, or when the drawer is counted.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger
from sqlmodel import CheckConstraint, Field, ForeignKeyConstraint, SQLModel

from foundation.database import Tx
from foundation.errors import NotFound, Refusal
from foundation.tables import document, instant, keys, new_id, owner_key
from payments import ledger, notes
from payments.ledger import Source
from payments.notes import Notes
from payments.shift import VOIDS_MAX, OpenShift
from payments.witness import Person

WAITS = timedelta(minutes=15)
"""So long notes that were announced wait for a signature."""


class CashDrop(SQLModel, table=True):
    """One bundle of notes for the safe, numbered within its shift: announced, then received or voided."""

    __tablename__ = "cash_drop"
    __table_args__ = (
        ForeignKeyConstraint(
            keys("shift_id"), ["payments.shift.operator_id", "payments.shift.id"], name="cash_drop_shift_fkey"
        ),
        ForeignKeyConstraint(
            keys("received_by"), ["foundation.staff.operator_id", "foundation.staff.id"], name="cash_drop_staff_fkey"
        ),
        ForeignKeyConstraint(
            keys("reservation_id"),
            ["payments.reservation.operator_id", "payments.reservation.id"],
            name="cash_drop_reservation_fkey",
        ),
        CheckConstraint("amount_vnd > 0 and number > 0", name="amount"),
        CheckConstraint(notes.holds("notes", "amount_vnd"), name="notes"),
        CheckConstraint("(received_at is null) = (received_by is null)", name="received"),
        CheckConstraint("received_at is null or voided_at is null", name="one_end"),
        {"schema": "payments"},
    )
    operator_id: UUID = owner_key()
    shift_id: UUID = Field(primary_key=True)
    number: int = Field(primary_key=True)
    id: UUID
    notes: dict[str, int] = document()
    amount_vnd: int = Field(sa_type=BigInteger)
    reservation_id: UUID
    announced_at: datetime = instant()
    expires_at: datetime = instant()
    received_at: datetime | None = instant(default=None)
    received_by: UUID | None = None
    voided_at: datetime | None = instant(default=None)


class NoNotes(Refusal):
    """Count at least one note."""

    status = 422


class TooManyVoids(Refusal):
    """Bundles were taken back {most} times in this shift: this one is for the safe, or waits until its time is over."""

    constraint = "shift_voids"


@dataclass(frozen=True, slots=True)
class Drop:
    """A bundle that waits for its signature."""

    number: int
    amount_vnd: int
    notes: dict[str, int]
    expires_at: datetime


async def announce(tx: Tx, shift: OpenShift, counted: Notes, *, now: datetime) -> Drop:
    """Sets notes of an open drawer aside for the safe (the shift is locked). Raises NoNotes, NotEnoughThere."""
    await free(tx, shift.id, now=now, only_expired=True)
    id, amount_vnd, expires_at = new_id(), notes.sum_vnd(counted), now + WAITS
    if not amount_vnd:
        raise NoNotes()
    source = Source("cash_drop", str(id), "dropped")
    reservation = await ledger.reserve(tx, shift.drawer, source=source, amount_vnd=amount_vnd, expires_at=expires_at)
    number: int = await tx.value(
        "update payments.shift set drops = drops + 1 where operator_id = $1 and id = $2 returning drops",
        tx.operator_id,
        shift.id,
    )
    await tx.execute(
        "insert into payments.cash_drop (operator_id, shift_id, number, id, notes, amount_vnd, reservation_id,"
        " announced_at, expires_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        tx.operator_id,
        shift.id,
        number,
        id,
        json.dumps(notes.tidy(counted)),
        amount_vnd,
        reservation,
        now,
        expires_at,
    )
    return Drop(number, amount_vnd, notes.tidy(counted), expires_at)


async def amount_of(tx: Tx, shift: OpenShift, number: int) -> int:
    """What a bundle holds, in VND. Raises NotFound."""
    amount_vnd: int = (await _find(tx, shift.id, number))["amount_vnd"]
    return amount_vnd


async def receive(tx: Tx, shift: OpenShift, number: int, receiver: Person, *, now: datetime) -> None:
    """The receiver has the notes: they leave the drawer for the safe.

    Raises NotFound, ReservationExpired, ReservationEnded.
    """
    row = await _find(tx, shift.id, number)
    if row["voided_at"] is not None or row["received_at"] is not None:
        raise ledger.ReservationEnded()
    tx.step("drop.received")
    await ledger.post(
        tx,
        "cash.dropped",
        source=Source("cash_drop", str(row["id"]), "dropped"),
        amount_vnd=row["amount_vnd"],
        effective_at=now,
        drawer=shift.drawer,
        reserved=row["reservation_id"],
    )
    await tx.execute(
        "with received as (update payments.cash_drop set received_at = $4, received_by = $5"
        "   where operator_id = $1 and shift_id = $2 and number = $3 and received_at is null and voided_at is null"
        "   returning amount_vnd)"
        " update payments.shift set safe_vnd = safe_vnd + (select amount_vnd from received)"
        " where operator_id = $1 and id = $2",
        tx.operator_id,
        shift.id,
        number,
        now,
        receiver.staff_id,
    )


async def void(tx: Tx, shift: OpenShift, number: int, *, now: datetime) -> None:
    """The attendant keeps the notes in the drawer after all. Raises NotFound, ReservationEnded, TooManyVoids."""
    row = await _find(tx, shift.id, number)
    if not await tx.value(
        "update payments.shift set voids = voids + 1 where operator_id = $1 and id = $2 and voids < $3 returning true",
        tx.operator_id,
        shift.id,
        VOIDS_MAX,
    ):
        raise TooManyVoids(most=VOIDS_MAX)
    await ledger.release_reserved(tx, row["reservation_id"])
    await _end(tx, shift.id, [number], now)


async def note_refused(tx: Tx, shift_id: UUID) -> None:
    """Notes were announced that the drawer should not hold: whoever reads the report sees how often."""
    await tx.execute(
        "update payments.shift set drops_refused = drops_refused + 1 where operator_id = $1 and id = $2",
        tx.operator_id,
        shift_id,
    )


async def free(tx: Tx, shift_id: UUID, *, now: datetime, only_expired: bool = False) -> None:
    """Bundles that nobody signed for are the drawer's again: all of them, or those whose time is over."""
    rows = await tx.rows(
        "select number, reservation_id from payments.cash_drop where operator_id = $1 and shift_id = $2"
        " and received_at is null and voided_at is null and (expires_at <= $3 or not $4)",
        tx.operator_id,
        shift_id,
        now,
        only_expired,
    )
    for row in rows:
        await ledger.release_reserved(tx, row["reservation_id"])
    await _end(tx, shift_id, [row["number"] for row in rows], now)


async def waiting(tx: Tx, shift_id: UUID, *, now: datetime) -> list[Drop]:
    """The bundles that wait for a signature."""
    rows = await tx.rows(
        "select number, amount_vnd, notes, expires_at from payments.cash_drop where operator_id = $1 and shift_id = $2"
        " and received_at is null and voided_at is null and expires_at > $3 order by number",
        tx.operator_id,
        shift_id,
        now,
    )
    return [Drop(row["number"], row["amount_vnd"], json.loads(row["notes"]), row["expires_at"]) for row in rows]


async def _find(tx: Tx, shift_id: UUID, number: int) -> Any:
    row = await tx.row(
        "select id, amount_vnd, reservation_id, received_at, voided_at from payments.cash_drop"
        " where operator_id = $1 and shift_id = $2 and number = $3 for update",
        tx.operator_id,
        shift_id,
        number,
    )
    if row is None:
        raise NotFound()
    return row


async def _end(tx: Tx, shift_id: UUID, numbers: list[int], now: datetime) -> None:
    await tx.execute(
        "update payments.cash_drop set voided_at = $4 where operator_id = $1 and shift_id = $2 and number = any($3)"
        " and received_at is null and voided_at is null",
        tx.operator_id,
        shift_id,
        numbers,
        now,
    )
