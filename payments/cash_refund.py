"""Notes handed back against a receipt for notes, out of the attendant's own open drawer, with a numbered slip.

What an attendant may give back alone is limited by the sum of his day, and to what was sold on that day and not used;
for all else a supervisor agrees at the same tablet.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import BigInteger
from sqlmodel import CheckConstraint, Field, ForeignKeyConstraint, SQLModel

from foundation.clock import hanoi_day
from foundation.database import Tx
from foundation.device import Attendant
from foundation.errors import NotFound, Refusal
from foundation.tables import instant, keys, new_id, owner_key
from payments import cash, drop, ledger, notes, payment, shift
from payments.ledger import Source
from payments.postings import Template
from payments.witness import Person, SupervisorNeeded, sign

ALONE_VND = 200_000
"""So much an attendant may give back in a day (Hanoi) without a supervisor, all his refunds together."""

Why = Literal["wrong_sale", "not_used", "closed_place", "overcharged", "other"]


class CashRefund(SQLModel, table=True):
    """One refund in notes, numbered within the shift whose drawer it came from. `approved_by`: the supervisor, if asked.

    `used`: (a part of) what was sold had been had already. `proxy_vnd`: by how much less an attendant has to transfer for it.
    """

    __tablename__ = "cash_refund"
    __table_args__ = (
        ForeignKeyConstraint(
            keys("shift_id"), ["payments.shift.operator_id", "payments.shift.id"], name="cash_refund_shift_fkey"
        ),
        ForeignKeyConstraint(
            keys("charge_id"), ["payments.charge.operator_id", "payments.charge.id"], name="cash_refund_charge_fkey"
        ),
        ForeignKeyConstraint(
            keys("approved_by"),
            ["foundation.staff.operator_id", "foundation.staff.id"],
            name="cash_refund_approver_fkey",
        ),
        CheckConstraint("amount_vnd > 0 and number > 0", name="amount"),
        CheckConstraint(f"amount_vnd % {notes.DENOMINATIONS[-1]} = 0", name="in_notes"),
        CheckConstraint("approved_by is distinct from staff_id", name="two_names"),
        CheckConstraint("proxy_vnd between 0 and amount_vnd", name="proxy"),
        CheckConstraint("not used or approved_by is not null", name="used_signed"),
        CheckConstraint("reason in ('wrong_sale', 'not_used', 'closed_place', 'overcharged', 'other')", name="reason"),
        {"schema": "payments", "comment": "insert-only: notes were handed back"},
    )
    operator_id: UUID = owner_key()
    shift_id: UUID = Field(primary_key=True)
    number: int = Field(primary_key=True)
    id: UUID
    charge_id: UUID
    amount_vnd: int = Field(sa_type=BigInteger)
    reason: str
    words: str
    staff_id: UUID
    approved_by: UUID | None = None
    used: bool = Field(default=False, sa_column_kwargs={"server_default": "false"})
    proxy_vnd: int = Field(default=0, sa_type=BigInteger, sa_column_kwargs={"server_default": "0"})
    at: datetime = instant()


class CashRefundDay(SQLModel, table=True):
    """What one attendant gave back on one day, counted as it is given: the limit is on this, not on a single refund."""

    __tablename__ = "cash_refund_day"
    __table_args__ = (
        ForeignKeyConstraint(
            keys("staff_id"), ["foundation.staff.operator_id", "foundation.staff.id"], name="cash_refund_day_staff_fkey"
        ),
        CheckConstraint("given_vnd > 0", name="given"),
        {"schema": "payments"},
    )
    operator_id: UUID = owner_key()
    staff_id: UUID = Field(primary_key=True)
    day: date = Field(primary_key=True)
    given_vnd: int = Field(sa_type=BigInteger)


class NoCashReceipt(NotFound):
    """There is no cash receipt with that number here."""


class NotInNotes(Refusal):
    """No notes make that amount: the smallest is 1,000 đồng."""

    status = 422
    constraint = "cash_refund_in_notes"


class StillAccepted(Refusal):
    """A gate may still accept this until {until}; nothing was given back."""


@dataclass(frozen=True, slots=True)
class Slip:
    """The slip of a refund."""

    number: int
    amount_vnd: int
    receipt_number: int
    left_vnd: int
    approved_by: str | None


async def find(tx: Tx, *, place: int, shift_number: int, receipt_number: int) -> Any:
    """A cash receipt by its numbers: charge_id, amount_vnd, left_vnd, at, proxy. Raises NoCashReceipt."""
    row = await tx.row(
        "select k.charge_id, k.amount_vnd, k.proxy, k.at, c.received_vnd - c.given_back_vnd as left_vnd"
        " from payments.shift s"
        " join payments.cash_receipt k on k.operator_id = s.operator_id and k.shift_id = s.id and k.number = $4"
        " join payments.charge c on c.operator_id = k.operator_id and c.id = k.charge_id"
        " where s.operator_id = $1 and s.place = $2 and s.number = $3",
        tx.operator_id,
        place,
        shift_number,
        receipt_number,
    )
    if row is None:
        raise NoCashReceipt()
    return row


async def give_back(
    tx: Tx,
    who: Attendant,
    *,
    place: int,
    shift_number: int,
    receipt_number: int,
    amount_vnd: int,
    reason: Why,
    words: str,
    proof: str | None = None,
    named: UUID | None = None,
    now: datetime,
) -> Slip:
    """Hands notes of the open drawer back for (a part of) a cash receipt of this operator.

    `proof`: a supervisor's, needed above `ALONE_VND`, for what was used and for a receipt of another day (Hanoi). Raises
    NotInNotes, NoShift, ShiftCounted, NoCashReceipt, PlaceNotYours, NothingToGiveBack, NotEnoughThere, SupervisorNeeded,
    StillAccepted, and what the services refuse.
    """
    who.must_work_at(place)
    if amount_vnd % notes.DENOMINATIONS[-1]:
        raise NotInNotes()
    open = await shift.must_be_open(tx, who, named=named, lock=True)
    receipt = await find(tx, place=place, shift_number=shift_number, receipt_number=receipt_number)
    owed = await payment.find(tx, id=receipt["charge_id"], lock=True)
    taken = await payment.take_back(tx, owed, amount_vnd, now=now)
    if taken.leaves_from > now:
        raise StillAccepted(until=taken.leaves_from)
    today = hanoi_day(now)
    alone_vnd = 0 if taken.used or hanoi_day(receipt["at"]) != today else ALONE_VND
    approver = await _approved(tx, who, amount_vnd, proof, today, alone_vnd)
    await drop.free(tx, open.id, now=now, only_expired=True)
    tx.step("cash.given_back")
    id = new_id()
    number: int = await tx.value(
        "update payments.shift set refunds = refunds + 1 where operator_id = $1 and id = $2 returning refunds",
        tx.operator_id,
        open.id,
    )
    await tx.execute(
        "insert into payments.cash_refund (operator_id, shift_id, number, id, charge_id, amount_vnd, reason, words,"
        " staff_id, approved_by, used, proxy_vnd, at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
        tx.operator_id,
        open.id,
        number,
        id,
        owed.id,
        amount_vnd,
        reason,
        words.strip(),
        who.staff_id,
        approver and approver.staff_id,
        taken.used,
        await cash.release_proxy(tx, open.id, owed.id, amount_vnd),
        now,
    )
    postings: tuple[tuple[Template, str], ...] = (
        ("charge.given_back", "given_back"),
        ("refund.requested", "requested"),
        ("cash.given_back", "paid"),
    )
    for template, purpose in postings:
        await ledger.post(
            tx,
            template,
            source=Source("cash_refund", str(id), purpose),
            amount_vnd=amount_vnd,
            effective_at=now,
            flow=owed.id,
            drawer=open.drawer,
        )
    return Slip(
        number, amount_vnd, receipt_number, receipt["left_vnd"] - amount_vnd, approver.name if approver else None
    )


async def _approved(
    tx: Tx, who: Attendant, amount_vnd: int, proof: str | None, day: date, alone_vnd: int
) -> Person | None:
    """Counts an amount into the attendant's day, whose row makes his refunds follow one another; who agreed to it, if
    the day comes to more than `alone_vnd`."""
    given_vnd: int = await tx.value(
        "insert into payments.cash_refund_day as d (operator_id, staff_id, day, given_vnd) values ($1, $2, $3, $4)"
        " on conflict (operator_id, staff_id, day) do update set given_vnd = d.given_vnd + $4 returning given_vnd",
        tx.operator_id,
        who.staff_id,
        day,
        amount_vnd,
    )
    if given_vnd <= alone_vnd:
        return None
    if proof is None:
        raise SupervisorNeeded()
    approver = await sign(tx, who, proof, "cash.refund", amount_vnd)
    if not approver.supervises:
        raise SupervisorNeeded()
    return approver
