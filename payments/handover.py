"""How a shift ends: counted blindly and once, then handed over to somebody who signs for the notes.

Only the count's answer says what should be there. A difference is booked at the count and needs a reason before the shift
can be closed. The notes go to the safe, or (all or some of them) to the next attendant as his float. The office can end a
shift whose tablet or attendant is gone: counted, or uncounted, which books every note as missing until somebody sees it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger
from sqlmodel import CheckConstraint, Field, ForeignKeyConstraint, SQLModel

from foundation import audit
from foundation.database import Tx
from foundation.device import Attendant
from foundation.errors import NotFound, Refusal
from foundation.tables import document, instant, keys, owner_key
from payments import drop, held, ledger, notes, shift, shift_report
from payments.ledger import Source
from payments.notes import Notes
from payments.shift import OpenShift
from payments.witness import Person


class NotesFound(SQLModel, table=True):
    """Notes of a closed shift that were seen only later: they lie in the safe from then on. `explained_vnd`: how much of
    what its count found missing they were."""

    __tablename__ = "notes_found"
    __table_args__ = (
        ForeignKeyConstraint(
            keys("shift_id"), ["payments.shift.operator_id", "payments.shift.id"], name="notes_found_shift_fkey"
        ),
        ForeignKeyConstraint(
            keys("staff_id"), ["foundation.staff.operator_id", "foundation.staff.id"], name="notes_found_staff_fkey"
        ),
        CheckConstraint("number > 0 and amount_vnd > 0", name="amount"),
        CheckConstraint("explained_vnd between 0 and amount_vnd", name="explained"),
        CheckConstraint(notes.holds("notes", "amount_vnd"), name="notes"),
        {"schema": "payments", "comment": "insert-only: notes were seen"},
    )
    operator_id: UUID = owner_key()
    shift_id: UUID = Field(primary_key=True)
    number: int = Field(primary_key=True)
    notes: dict[str, int] = document()
    amount_vnd: int = Field(sa_type=BigInteger)
    explained_vnd: int = Field(sa_type=BigInteger)
    staff_id: UUID
    words: str
    at: datetime = instant()


class NotClosed(Refusal):
    """This shift is not closed yet: its notes are counted in its drawer."""


class NotCounted(Refusal):
    """Count the drawer first."""


class DifferenceUnexplained(Refusal):
    """The drawer is not right by {difference_vnd} đồng: say why before you close."""


class MoreThanMissing(Refusal):
    """Of this shift {missing_vnd} đồng are missing; more cannot be found of it."""


class OwnShift(Refusal):
    """This is your own shift: somebody else closes it from the office, or you hand it over at its tablet."""

    status = 403
    constraint = "shift_closed_by_another"


class NotThoseNotes(Refusal):
    """Those notes are not among what was counted."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What the answer of a count says: difference = counted − expected. Amounts in VND."""

    number: int
    expected_vnd: int
    counted_vnd: int
    difference_vnd: int


async def count(tx: Tx, who: Attendant, counted: Notes, *, named: UUID | None = None, now: datetime) -> Counted:
    """The attendant's count, final: nothing is sold from now on. Raises NoShift, ShiftOfAnother, ShiftCounted."""
    return await _count(tx, await shift.must_be_open(tx, who, named=named, lock=True), counted, now=now)


async def close(
    tx: Tx,
    who: Attendant,
    receiver: Person,
    *,
    reason: str | None = None,
    words: str = "",
    next_float: Notes | None = None,
    named: UUID | None = None,
    now: datetime,
) -> dict[str, Any]:
    """Hands the counted notes over to `receiver`, who signed; returns the report.

    `next_float`: those of the notes that he takes over as the float of his own shift, opened at once; the rest goes to the
    safe. Raises NotCounted, DifferenceUnexplained, NotThoseNotes.
    """
    ending = await shift.not_closed(tx, who, named=named)
    row = await _counted(tx, ending.id)
    difference_vnd = row["counted_vnd"] - row["expected_vnd"]
    if difference_vnd and reason is None:
        raise DifferenceUnexplained(difference_vnd=difference_vnd)
    await _close(
        tx, ending, row["counted_vnd"], reason=reason, words=words, countersigned_by=receiver.staff_id, now=now
    )
    if next_float is not None:
        if notes.without(json.loads(row["counted_notes"]), next_float) is None:
            raise NotThoseNotes()
        he = replace(who, staff_id=receiver.staff_id, login=receiver.login, name=receiver.name)
        await shift.open_shift(tx, he, place=ending.place, counted=next_float, taken_over_from=ending.id, now=now)
    return await shift_report.write(tx, ending.id, now=now)


async def close_from_office(
    tx: Tx, shift_id: UUID, *, staff_id: UUID, counted: Notes | None, reason: str, words: str, now: datetime
) -> None:
    """Finance closes a shift over the tablet's head. `counted` None: nobody counted, so nothing counts as there.

    What was counted at the tablet before stands. Raises NotFound, ReasonMissing, OwnShift, ShiftOver.
    """
    words = held.reason_of(words)
    row = await tx.row(
        "select id, number, place, staff_id, opened_at, float_vnd, receipts, counted_at, closed_at, counted_vnd, expected_vnd"
        " from payments.shift where operator_id = $1 and id = $2 for update",
        tx.operator_id,
        shift_id,
    )
    if row is None:
        raise NotFound()
    if row["closed_at"] is not None:
        raise shift.ShiftOver(number=row["number"], at=row["closed_at"])
    if row["staff_id"] == staff_id:
        raise OwnShift()
    ending = OpenShift(*(row[name] for name in OpenShift.__dataclass_fields__))
    uncounted = row["counted_at"] is None and counted is None
    if row["counted_at"] is None:
        await _count(tx, ending, counted, now=now)
    counted_vnd: int = (await _counted(tx, shift_id))["counted_vnd"]
    await _close(
        tx,
        ending,
        counted_vnd,
        reason="uncounted" if uncounted else reason,
        words=words,
        closed_by=staff_id,
        now=now,
    )
    report = await shift_report.write(tx, shift_id, now=now)
    await audit.note(
        tx,
        staff_id,
        "shift.closed",
        f"shift {shift_id}",
        reason=words,
        before={"counted": row["counted_vnd"]},
        after={name: report[name] for name in ("expected_vnd", "counted_vnd", "difference_vnd", "uncounted")},
        now=now,
    )


async def find_notes(tx: Tx, shift_id: UUID, *, staff_id: UUID, counted: Notes, words: str, now: datetime) -> None:
    """Notes that a closed shift's count found missing turned up: they are in the safe now.

    Raises NotFound, NotClosed, NoNotes, ReasonMissing, MoreThanMissing.
    """
    amount_vnd = notes.sum_vnd(counted)
    words = held.reason_of(words)
    if not amount_vnd:
        raise drop.NoNotes()
    missing_vnd: int | None = await tx.value(
        "update payments.shift set safe_vnd = safe_vnd + $3, explained_vnd = explained_vnd + $3"
        " where operator_id = $1 and id = $2 and closed_at is not null"
        " and $3 <= expected_vnd - counted_vnd - explained_vnd"
        " returning expected_vnd - counted_vnd - explained_vnd",
        tx.operator_id,
        shift_id,
        amount_vnd,
    )
    if missing_vnd is None:
        raise await _why_not_found(tx, shift_id)
    number: int = await tx.value(
        "insert into payments.notes_found (operator_id, shift_id, number, notes, amount_vnd, explained_vnd, staff_id,"
        " words, at) select $1, $2, count(*) + 1, $3, $4, $4, $5, $6, $7 from payments.notes_found"
        " where operator_id = $1 and shift_id = $2 returning number",
        tx.operator_id,
        shift_id,
        json.dumps(notes.tidy(counted)),
        amount_vnd,
        staff_id,
        words,
        now,
    )
    await ledger.post(
        tx,
        "shift.found",
        source=Source("shift", f"{shift_id}/{number}", "found"),
        amount_vnd=amount_vnd,
        effective_at=now,
    )
    await audit.note(
        tx,
        staff_id,
        "shift.found",
        f"shift {shift_id}",
        reason=words,
        before={"missing_vnd": missing_vnd + amount_vnd},
        after={"found_vnd": amount_vnd, "missing_vnd": missing_vnd},
        now=now,
    )


async def _why_not_found(tx: Tx, shift_id: UUID) -> Refusal:
    row = await tx.row(
        "select closed_at, greatest(expected_vnd - counted_vnd, 0) - explained_vnd as missing_vnd from payments.shift"
        " where operator_id = $1 and id = $2",
        tx.operator_id,
        shift_id,
    )
    if row is None:
        return NotFound()
    return NotClosed() if row["closed_at"] is None else MoreThanMissing(missing_vnd=row["missing_vnd"])


async def _count(tx: Tx, counting: OpenShift, counted: Notes | None, *, now: datetime) -> Counted:
    tx.step("shift.counted")
    await drop.free(tx, counting.id, now=now)
    expected_vnd: int = await tx.value(
        "select balance_vnd from payments.balance where operator_id = $1 and account = $2 for update",
        tx.operator_id,
        counting.drawer,
    )
    counted_vnd = 0 if counted is None else notes.sum_vnd(counted)
    difference_vnd = counted_vnd - expected_vnd
    await tx.execute(
        "update payments.shift set counted_at = $3, counted_notes = $4, counted_vnd = $5, expected_vnd = $6,"
        " uncounted = $4::jsonb is null where operator_id = $1 and id = $2 and counted_at is null",
        tx.operator_id,
        counting.id,
        now,
        None if counted is None else json.dumps(notes.tidy(counted)),
        counted_vnd,
        expected_vnd,
    )
    if difference_vnd:
        await ledger.post(
            tx,
            "shift.over" if difference_vnd > 0 else "shift.short",
            source=Source("shift", str(counting.id), "difference"),
            amount_vnd=abs(difference_vnd),
            effective_at=now,
            drawer=counting.drawer,
        )
    return Counted(counting.number, expected_vnd, counted_vnd, difference_vnd)


async def _counted(tx: Tx, shift_id: UUID) -> Any:
    row = await tx.row(
        "select counted_notes, counted_vnd, expected_vnd from payments.shift"
        " where operator_id = $1 and id = $2 and counted_at is not null",
        tx.operator_id,
        shift_id,
    )
    if row is None:
        raise NotCounted()
    return row


async def _close(
    tx: Tx,
    ending: OpenShift,
    counted_vnd: int,
    *,
    reason: str | None,
    words: str,
    countersigned_by: UUID | None = None,
    closed_by: UUID | None = None,
    now: datetime,
) -> None:
    tx.step("shift.closed")
    if counted_vnd:
        await ledger.post(
            tx,
            "shift.closed",
            source=Source("shift", str(ending.id), "closed"),
            amount_vnd=counted_vnd,
            effective_at=now,
            drawer=ending.drawer,
        )
    await tx.execute(
        "update payments.shift set closed_at = $3, reason = $4, words = $5, countersigned_by = $6, closed_by = $7,"
        " safe_vnd = safe_vnd + counted_vnd where operator_id = $1 and id = $2 and closed_at is null",
        tx.operator_id,
        ending.id,
        now,
        reason,
        words or None,
        countersigned_by,
        closed_by,
    )
