"""The audit trail: who of the staff did what to what, when and why, and what it was before and after. Insert-only.

Every act of a person in an office writes its row in the transaction of its effect: there is no act without its trace, and
no trace of what did not happen. Values in clear that are sealed elsewhere (plates, payers) never stand in here.
"""

from __future__ import annotations

import json
from datetime import datetime
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


async def of(tx: Tx, subject: str) -> list[Any]:
    """What was done to something, oldest first: at, name, act, reason, before, after (JSON texts)."""
    return await tx.rows(
        "select e.at, s.name, e.act, e.reason, e.before, e.after from foundation.audit_entry e"
        " join foundation.staff s on s.operator_id = e.operator_id and s.id = e.staff_id"
        " where e.operator_id = $1 and e.subject = $2 order by e.id",
        tx.operator_id,
        subject,
    )
