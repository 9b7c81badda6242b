"""The report of a shift: made once when it is closed, numbered like its shift, never changed.

Shifts are numbered without gaps per place, and each closed one has its report: a number without a report is a shift that
is not closed. What happens later (an attendant's late transfer, a deposit) is shown beside the report, not written in it.
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlmodel import CheckConstraint, Field, ForeignKeyConstraint, SQLModel, UniqueConstraint

from foundation.database import Tx
from foundation.tables import instant, keys, owner_key


class ShiftReport(SQLModel, table=True):
    """The figures of a closed shift as canonical JSON, and the SHA-256 of exactly that text in hexadecimal."""

    __tablename__ = "shift_report"
    __table_args__ = (
        ForeignKeyConstraint(
            keys("shift_id"), ["payments.shift.operator_id", "payments.shift.id"], name="shift_report_shift_fkey"
        ),
        UniqueConstraint(*keys("place", "number"), name="shift_report_number_key"),
        CheckConstraint("sha256 = encode(sha256(convert_to(figures, 'UTF8')), 'hex')", name="sha256"),
        {"schema": "payments", "comment": "insert-only: a report was signed"},
    )
    operator_id: UUID = owner_key()
    shift_id: UUID = Field(primary_key=True)
    place: int
    number: int
    figures: str
    sha256: str
    at: datetime = instant()


async def write(tx: Tx, shift_id: UUID, *, now: datetime) -> dict[str, Any]:
    """The report of a shift that was just closed. Returns the figures with their `sha256`."""
    said = await figures(tx, shift_id)
    text = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    digest = hashlib.sha256(text.encode()).hexdigest()
    await tx.execute(
        "insert into payments.shift_report (operator_id, shift_id, place, number, figures, sha256, at)"
        " values ($1, $2, $3, $4, $5, $6, $7)",
        tx.operator_id,
        shift_id,
        said["place"],
        said["number"],
        text,
        digest,
        now,
    )
    return said | {"sha256": digest}


async def read(tx: Tx, shift_id: UUID) -> dict[str, Any] | None:
    """The report as it was signed, with its `sha256`; None while the shift is not closed."""
    row = await tx.row(
        "select figures, sha256 from payments.shift_report where operator_id = $1 and shift_id = $2",
        tx.operator_id,
        shift_id,
    )
    return None if row is None else json.loads(row["figures"]) | {"sha256": row["sha256"]}


async def figures(tx: Tx, shift_id: UUID) -> dict[str, Any]:
    """What a shift comes to: amounts in VND, instants in ISO 8601.

    `expected_vnd` (once counted) = float + cash + proxy − proxy_arrived − dropped − refunded; `proxy_arrived_vnd` is
    what attendants' transfers bought out of the drawer before the count.
    """
    row = await tx.row(
        "select s.id, s.place, n.code as place_code, n.name_vi as place_vi, n.name_en as place_en, s.number,"
        " p.login, p.name as attendant, d.name as device, s.opened_at, s.counted_at, s.closed_at, s.float_vnd,"
        " s.opened_notes, s.counted_notes, s.counted_vnd, s.expected_vnd, s.uncounted, s.reason, s.words, s.receipts,"
        " s.voids, s.drops_refused,"
        " w.name as countersigned_by, o.name as closed_by, t.number as next_shift, t.float_vnd as next_float_vnd,"
        " t.opened_notes as next_float_notes, f.number as taken_over_from"
        " from payments.shift s"
        " join foundation.place n on n.operator_id = s.operator_id and n.number = s.place"
        " join foundation.staff p on p.operator_id = s.operator_id and p.id = s.staff_id"
        " join foundation.device d on d.operator_id = s.operator_id and d.id = s.device_id"
        " left join foundation.staff w on w.operator_id = s.operator_id and w.id = s.countersigned_by"
        " left join foundation.staff o on o.operator_id = s.operator_id and o.id = s.closed_by"
        " left join payments.shift t on t.operator_id = s.operator_id and t.taken_over_from = s.id"
        " left join payments.shift f on f.operator_id = s.operator_id and f.id = s.taken_over_from"
        " where s.operator_id = $1 and s.id = $2",
        tx.operator_id,
        shift_id,
    )
    said = {name: _plain(name, value) for name, value in dict(row).items()}
    receipts = await tx.rows(
        "select number, amount_vnd, proxy from payments.cash_receipt where operator_id = $1 and shift_id = $2",
        tx.operator_id,
        shift_id,
    )
    numbers = {one["number"] for one in receipts}
    proxies = await tx.rows(
        "select t.receipt_number as receipt, t.reference, t.amount_vnd, t.received_vnd, t.released_vnd, max(a.at) as arrived_at,"
        " coalesce(sum(a.drawer_vnd), 0)::bigint as bought_vnd"
        " from payments.proxy_transfer t"
        " left join payments.proxy_arrival a on a.operator_id = t.operator_id and a.reference = t.reference"
        " where t.operator_id = $1 and t.shift_id = $2 group by t.operator_id, t.reference order by t.receipt_number",
        tx.operator_id,
        shift_id,
    )
    drops = await tx.rows(
        "select d.number, d.amount_vnd, d.received_at, p.name as received_by from payments.cash_drop d"
        " left join foundation.staff p on p.operator_id = d.operator_id and p.id = d.received_by"
        " where d.operator_id = $1 and d.shift_id = $2 order by d.number",
        tx.operator_id,
        shift_id,
    )
    refunds = await tx.rows(
        "select r.number, r.amount_vnd, r.reason, r.used, r.at, p.name as approved_by from payments.cash_refund r"
        " left join foundation.staff p on p.operator_id = r.operator_id and p.id = r.approved_by"
        " where r.operator_id = $1 and r.shift_id = $2 order by r.number",
        tx.operator_id,
        shift_id,
    )
    return said | {
        "difference_vnd": None if row["counted_vnd"] is None else row["counted_vnd"] - row["expected_vnd"],
        "cash_vnd": sum(one["amount_vnd"] for one in receipts if not one["proxy"]),
        "proxy_vnd": sum(one["amount_vnd"] for one in receipts if one["proxy"]),
        "proxy_arrived_vnd": sum(one["bought_vnd"] for one in proxies),
        "dropped_vnd": sum(one["amount_vnd"] for one in drops if one["received_at"]),
        "refunded_vnd": sum(one["amount_vnd"] for one in refunds),
        "receipt_gaps": [n for n in range(1, max([row["receipts"], *numbers], default=0) + 1) if n not in numbers],
        "proxies": [_listed(one) for one in proxies],
        "drops": [_listed(one) for one in drops],
        "refunds": [_listed(one) for one in refunds],
    }


def _listed(row: Any) -> dict[str, Any]:
    return {name: _plain(name, value) for name, value in dict(row).items() if name != "bought_vnd"}


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    return json.loads(value) if name.endswith("_notes") and value is not None else value
