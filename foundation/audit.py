"""The audit trail: who of the staff did what to what, when and why, and what it was before and after. Insert-only.

Every act of a person in an office writes its row in the transaction of its effect: there is no act without its trace, and
no trace of what did not happen. What is done at a tablet has its row in `foundation.action` already and is read from
there. Values in clear that are sealed elsewhere (plates, payers) never stand in here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlmodel import Field, ForeignKeyConstraint, Index, SQLModel

from foundation.database import Tx
from foundation.tables import document, instant, keys, new_id, owner_key, recorded


class AuditEntry(SQLModel, table=True):
    """One act. `act` is a stable code (`held.taken`), `subject` what it was done to (`receipt <id>`)."""

    __tablename__ = "audit_entry"
    __table_args__ = (
        ForeignKeyConstraint(
            keys("staff_id"), ["foundation.staff.operator_id", "foundation.staff.id"], name="audit_entry_staff_fkey"
        ),
        Index("audit_entry_subject_idx", *keys("subject")),
        {"schema": "foundation", "comment": "insert-only: the audit trail"},
    )
    operator_id: UUID = owner_key()
    id: UUID = Field(primary_key=True)
    staff_id: UUID
    act: str
    subject: str
    reason: str
    before: dict[str, Any] | None = document(default=None, nullable=True)
    after: dict[str, Any] | None = document(default=None, nullable=True)
    at: datetime = instant()
    recorded_at: datetime = recorded()


async def note(
    tx: Tx,
    staff_id: UUID,
    act: str,
    subject: str,
    *,
    reason: str = "",
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
    now: datetime,
) -> None:
    """Writes the trace of an act, in the transaction of its effect."""
    await tx.execute(
        "insert into foundation.audit_entry (operator_id, id, staff_id, act, subject, reason, before, after, at)"
        " values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        tx.operator_id,
        new_id(),
        staff_id,
        act,
        subject,
        reason,
        None if before is None else json.dumps(before, default=str),
        None if after is None else json.dumps(after, default=str),
        now,
    )


async def did(tx: Tx, staff_id: UUID, act: str, subject: str) -> bool:
    """Whether a person has done that to something."""
    found: bool = await tx.value(
        "select exists (select from foundation.audit_entry"
        " where operator_id = $1 and subject = $2 and staff_id = $3 and act = $4)",
        tx.operator_id,
        subject,
        staff_id,
        act,
    )
    return found


async def of(tx: Tx, subject: str) -> list[tuple[Any, dict[str, Any]]]:
    """What was done to something, oldest first: (at, name, act, reason; what it was afterwards)."""
    rows = await tx.rows(
        "select e.at, s.name, e.act, e.reason, e.after from foundation.audit_entry e"
        " join foundation.staff s on s.operator_id = e.operator_id and s.id = e.staff_id"
        " where e.operator_id = $1 and e.subject = $2 order by e.id",
        tx.operator_id,
        subject,
    )
    return [(row, json.loads(row["after"] or "{}")) for row in rows]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which part of the trail: of a person, an act, a subject (or how it begins), days in Hanoi; None or "" is all."""

    staff_id: UUID | None = None
    act: str = ""
    subject: str = ""
    first: date | None = None
    last: date | None = None


async def trail(tx: Tx, wanted: Wanted, *, most: int, before: UUID | None = None) -> list[Any]:
    """What was done in the office, newest first, from before an entry on: id, at, name, act, subject, reason, before,
    after (JSON texts)."""
    return await tx.rows(
        "select e.id, e.at, s.name, e.act, e.subject, e.reason, e.before, e.after from foundation.audit_entry e"
        " join foundation.staff s on s.operator_id = e.operator_id and s.id = e.staff_id"
        " where e.operator_id = $1 and ($2::uuid is null or e.staff_id = $2) and ($3 = '' or e.act = $3)"
        " and starts_with(e.subject, $4) and ($5::date is null or foundation.hanoi_day(e.at) >= $5)"
        " and ($6::date is null or foundation.hanoi_day(e.at) <= $6) and ($7::uuid is null or e.id < $7)"
        " order by e.id desc limit $8",
        tx.operator_id,
        wanted.staff_id,
        wanted.act,
        wanted.subject,
        wanted.first,
        wanted.last,
        before,
        most,
    )


async def at_tablets(tx: Tx, wanted: Wanted, *, most: int, before: UUID | None = None) -> list[Any]:
    """What was done at tablets, newest first, in the same columns: the act is its kind, the subject the tablet, `after`
    its outcome without what opens anything (codes are bearer secrets). From before an action on, by when it was recorded."""
    return await tx.rows(
        "select a.id, a.done_at as at, s.name, a.kind as act, d.name as subject, '' as reason, null as before,"
        " a.outcome - array['code_url', 'pay', 'short', 'code'] as after"
        " from foundation.action a"
        " join foundation.staff s on s.operator_id = a.operator_id and s.id = a.staff_id"
        " join foundation.device d on d.operator_id = a.operator_id and d.id = a.device_id"
        " where a.operator_id = $1 and ($2::uuid is null or a.staff_id = $2) and ($3 = '' or a.kind = $3)"
        " and starts_with(d.name, $4) and ($5::date is null or foundation.hanoi_day(a.done_at) >= $5)"
        " and ($6::date is null or foundation.hanoi_day(a.done_at) <= $6)"
        " and ($7::uuid is null or (a.recorded_at, a.id) <"
        "   (select b.recorded_at, b.id from foundation.action b where b.operator_id = $1 and b.id = $7 limit 1))"
        " order by a.recorded_at desc, a.id desc limit $8",
        tx.operator_id,
        wanted.staff_id,
        wanted.act,
        wanted.subject,
        wanted.first,
        wanted.last,
        before,
        most,
    )
