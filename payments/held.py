"""Money that waits for a person: what it is, since when, who looks after it, and what became of it.

A receipt that nobody knows the purpose of, or that came twice, too late or as too much, is its payer's. It waits in a
queue with its amount, its age and its owner, until it is used: applied to what it was meant for, or sent back.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import BigInteger
from sqlmodel import CheckConstraint, Field, ForeignKeyConstraint, Index, SQLModel, text

from foundation import audit
from foundation.database import Tx
from foundation.errors import NotFound, Refusal
from foundation.tables import instant, keys, owner_key
from payments import ledger
from payments.ledger import Source

Reason = Literal[
    "overpaid",
    "duplicate",
    "refused",
    "lapsed",
    "given_back",
    "returned",
    "unknown_reference",
    "ambiguous",
    "wrong_account",
    "unknown_return",
    "deposit_over",
    "deposit_twice",
]
UNDECIDED: frozenset[Reason] = frozenset({"unknown_reference", "ambiguous", "wrong_account", "unknown_return"})
"""Nobody knows yet what it was for: it still stands among the unapplied receipts. The rest is known to be the payer's."""


class Held(SQLModel, table=True):
    """What is left over of a receipt. `owner_id`: who of the staff looks after it. Closed when all of it is used."""

    __tablename__ = "held"
    __table_args__ = (
        ForeignKeyConstraint(
            keys("receipt_id"), ["payments.receipt.operator_id", "payments.receipt.id"], name="held_receipt_fkey"
        ),
        ForeignKeyConstraint(
            keys("owner_id"), ["foundation.staff.operator_id", "foundation.staff.id"], name="held_owner_fkey"
        ),
        CheckConstraint("amount_vnd > 0", name="amount"),
        CheckConstraint("used_vnd between 0 and amount_vnd", name="used"),
        CheckConstraint("(closed_at is null) = (used_vnd < amount_vnd)", name="closed"),
        Index("held_open_idx", *keys("opened_at"), postgresql_where=text("closed_at is null")),
        Index("held_charge_idx", *keys("charge_id")),
        {"schema": "payments"},
    )
    operator_id: UUID = owner_key()
    receipt_id: UUID = Field(primary_key=True)
    reason: str
    amount_vnd: int = Field(sa_type=BigInteger)
    used_vnd: int = Field(default=0, sa_type=BigInteger, sa_column_kwargs={"server_default": "0"})
    charge_id: UUID | None = None
    opened_at: datetime = instant()
    closed_at: datetime | None = instant(default=None)
    owner_id: UUID | None = None


class HeldUse(SQLModel, table=True):
    """One use of held money by a person: for a charge, an attendant's transfer, a deposit or a debit, with his reason."""

    __tablename__ = "held_use"
    __table_args__ = (
        ForeignKeyConstraint(
            keys("receipt_id"), ["payments.held.operator_id", "payments.held.receipt_id"], name="held_use_held_fkey"
        ),
        ForeignKeyConstraint(
            keys("charge_id"), ["payments.charge.operator_id", "payments.charge.id"], name="held_use_charge_fkey"
        ),
        ForeignKeyConstraint(
            keys("staff_id"), ["foundation.staff.operator_id", "foundation.staff.id"], name="held_use_staff_fkey"
        ),
        CheckConstraint("amount_vnd > 0 and number > 0", name="amount"),
        CheckConstraint("kind in ('applied', 'proxy', 'deposit', 'debit')", name="kind"),
        CheckConstraint("(kind = 'applied') = (charge_id is not null)", name="charge"),
        {"schema": "payments", "comment": "insert-only: what was decided"},
    )
    operator_id: UUID = owner_key()
    receipt_id: UUID = Field(primary_key=True)
    number: int = Field(primary_key=True)
    kind: str
    amount_vnd: int = Field(sa_type=BigInteger)
    charge_id: UUID | None = None
    staff_id: UUID
    reason: str
    at: datetime = instant()


class NothingHeld(NotFound):
    """Nothing of that receipt waits for anybody any more."""


class ReasonMissing(Refusal):
    """Please say why, in a few words."""

    status = 422


def reason_of(typed: str) -> str:
    """Why a person does it, in his words. Raises ReasonMissing."""
    if not typed.strip():
        raise ReasonMissing()
    return typed.strip()


@dataclass(frozen=True, slots=True)
class HeldView:
    """Money that waits: what is left of it, and why it waits."""

    receipt_id: UUID
    reason: Reason
    left_vnd: int
    charge_id: UUID | None
    owner_id: UUID | None
    means: Literal["QR_TRANSFER", "WALLET", "CARD"]
    flow: UUID
    """The receipt, or for what a charge gave back that charge: under which the ledger holds it."""

    @property
    def subject(self) -> str:
        """What the audit trail calls it."""
        return f"receipt {self.receipt_id}"


async def hold(
    tx: Tx, receipt_id: UUID, reason: str, amount_vnd: int, *, charge_id: UUID | None, now: datetime
) -> None:
    """Puts what is left over of a receipt into the queue."""
    await tx.execute(
        "insert into payments.held (operator_id, receipt_id, reason, amount_vnd, charge_id, opened_at)"
        " values ($1, $2, $3, $4, $5, $6)",
        tx.operator_id,
        receipt_id,
        reason,
        amount_vnd,
        charge_id,
        now,
    )


async def put_back(
    tx: Tx, receipt_id: UUID, reason: Reason, amount_vnd: int, *, charge_id: UUID, now: datetime
) -> HeldView:
    """An amount that a receipt had paid is its payer's again: its row in the queue grows, or opens anew."""
    await tx.execute(
        "insert into payments.held as h (operator_id, receipt_id, reason, amount_vnd, charge_id, opened_at)"
        " values ($1, $2, $3, $4, $5, $6) on conflict (operator_id, receipt_id) do update set"
        " amount_vnd = h.amount_vnd + excluded.amount_vnd, closed_at = null,"
        " reason = case when h.closed_at is null and h.reason = 'returned' then h.reason else excluded.reason end,"
        " charge_id = coalesce(h.charge_id, excluded.charge_id),"
        " opened_at = case when h.closed_at is null then h.opened_at else excluded.opened_at end",
        tx.operator_id,
        receipt_id,
        reason,
        amount_vnd,
        charge_id,
        now,
    )
    return await find(tx, receipt_id)


async def find(tx: Tx, receipt_id: UUID) -> HeldView:
    """What waits of a receipt, locked. Raises NothingHeld."""
    row = await tx.row(
        "select h.receipt_id, h.reason, h.amount_vnd - h.used_vnd as left_vnd, h.charge_id, h.owner_id, r.means,"
        " case when o.held_vnd > 0 then h.receipt_id else h.charge_id end as flow"
        " from payments.held h"
        " join payments.receipt r on r.operator_id = h.operator_id and r.id = h.receipt_id"
        " join payments.receipt_outcome o on o.operator_id = h.operator_id and o.receipt_id = h.receipt_id"
        " where h.operator_id = $1 and h.receipt_id = $2 and h.closed_at is null for update of h",
        tx.operator_id,
        receipt_id,
    )
    if row is None:
        raise NothingHeld()
    return HeldView(**row)


async def waiting(tx: Tx, *, most: int, owner_id: UUID | None = None, reason: str = "") -> list[Any]:
    """All that waits, oldest first, with whose it is to look after; `count` and `sum_vnd` of all, not only of `most`."""
    return await tx.rows(
        "select h.receipt_id, r.bank_ref, h.reason, h.amount_vnd, h.amount_vnd - h.used_vnd as left_vnd, h.opened_at,"
        " r.paid_at, h.charge_id, c.reference as charge, s.name as owner,"
        " count(*) over () as count, (sum(h.amount_vnd - h.used_vnd) over ())::bigint as sum_vnd"
        " from payments.held h"
        " join payments.receipt r on r.operator_id = h.operator_id and r.id = h.receipt_id"
        " left join payments.charge c on c.operator_id = h.operator_id and c.id = h.charge_id"
        " left join foundation.staff s on s.operator_id = h.operator_id and s.id = h.owner_id"
        " where h.operator_id = $1 and h.closed_at is null and ($2::uuid is null or h.owner_id = $2)"
        " and ($3 = '' or h.reason = $3) order by h.opened_at, h.receipt_id limit $4",
        tx.operator_id,
        owner_id,
        reason,
        most,
    )


async def take(tx: Tx, receipt_id: UUID, *, staff_id: UUID, owner_id: UUID | None, now: datetime) -> None:
    """Says who looks after it from now on (himself or nobody); also over somebody else's name, which is traced."""
    held = await find(tx, receipt_id)
    if owner_id is None and held.owner_id != staff_id:
        return  # a page that was open for a while: somebody else looks after it by now
    await tx.execute(
        "update payments.held set owner_id = $3 where operator_id = $1 and receipt_id = $2",
        tx.operator_id,
        receipt_id,
        owner_id,
    )
    await audit.note(
        tx,
        staff_id,
        "held.taken" if owner_id else "held.left",
        held.subject,
        before={"owner": held.owner_id},
        after={"owner": owner_id},
        now=now,
    )


async def use(
    tx: Tx,
    held: HeldView,
    amount_vnd: int,
    *,
    kind: Literal["applied", "proxy", "deposit", "debit"] = "applied",
    charge_id: UUID | None = None,
    staff_id: UUID,
    reason: str,
    now: datetime,
) -> tuple[int, str]:
    """Takes an amount out of the queue, with its postings, on the day it is decided.

    It stands among the unapplied receipts then, for whoever takes it from there. Returns the number of the use, and its
    id in the ledger.
    """
    await take_out(tx, held, amount_vnd, charge_id=charge_id, now=now)
    number: int = await tx.value(
        "insert into payments.held_use (operator_id, receipt_id, number, kind, amount_vnd, charge_id, staff_id, reason,"
        " at) select $1, $2, count(*) + 1, $8, $3, $4, $5, $6, $7 from payments.held_use"
        " where operator_id = $1 and receipt_id = $2 returning number",
        tx.operator_id,
        held.receipt_id,
        amount_vnd,
        charge_id,
        staff_id,
        reason,
        now,
        kind,
    )
    use_id = f"{held.receipt_id}/{number}"
    await ledger.post(
        tx,
        "held.taken",
        source=Source("held", use_id, "taken"),
        amount_vnd=amount_vnd,
        effective_at=now,
        flow=held.flow,
    )
    return number, use_id


async def take_out(tx: Tx, held: HeldView, amount_vnd: int, *, charge_id: UUID | None = None, now: datetime) -> None:
    """So much of it waits no longer. Raises NothingHeld if it is not there any more.

    Of money that nobody knew the purpose of, a rest is its payer's from now on.
    """
    if held.reason in UNDECIDED:
        await ledger.post(
            tx,
            "receipt.held",
            source=Source("receipt", str(held.receipt_id), "held"),
            amount_vnd=held.left_vnd,
            effective_at=now,
            flow=held.receipt_id,
        )
    status = await tx.execute(
        "update payments.held set used_vnd = used_vnd + $3,"
        " closed_at = case when used_vnd + $3 = amount_vnd then $4::timestamptz end,"
        " reason = case when reason = any($5) then 'overpaid' else reason end, charge_id = coalesce(charge_id, $6)"
        " where operator_id = $1 and receipt_id = $2 and closed_at is null and used_vnd + $3 <= amount_vnd",
        tx.operator_id,
        held.receipt_id,
        amount_vnd,
        now,
        list(UNDECIDED),
        charge_id,
    )
    if status != "UPDATE 1":
        raise NothingHeld()


async def take_in(tx: Tx, receipt_id: UUID, amount_vnd: int, *, reason: Reason | None, now: datetime) -> None:
    """What was taken out to be sent back did not go, or came back: it waits again. `reason` None: as before."""
    await tx.execute(
        "update payments.held set used_vnd = used_vnd - $3, closed_at = null, reason = coalesce($4, reason),"
        " opened_at = case when closed_at is null then opened_at else $5 end where operator_id = $1 and receipt_id = $2",
        tx.operator_id,
        receipt_id,
        amount_vnd,
        reason,
        now,
    )


async def may_have_meant(tx: Tx, receipt_id: UUID, *, most: int = 5) -> list[Any]:
    """Charges that a receipt may have been for: its text differs in one character, or amount and time fit.

    Rows of reference, amount_vnd, remaining_vnd, state, created_at, nearly (one character apart). Suggestions only.
    """
    return await tx.rows(
        "with wanted as (select r.*, h.amount_vnd - h.used_vnd as left_vnd from payments.receipt r"
        "   join payments.held h on h.operator_id = r.operator_id and h.receipt_id = r.id"
        "   where r.operator_id = $1 and r.id = $2)"
        " select c.reference, c.amount_vnd, c.amount_vnd - c.received_vnd as remaining_vnd, c.state, c.created_at,"
        " c.reference = any(w.references_like || w.references_found) as nearly"
        " from wanted w join payments.charge c on c.operator_id = w.operator_id and c.state in ('open', 'partial')"
        " where c.reference = any(w.references_like || w.references_found)"
        "    or (c.created_at between w.paid_at - interval '1 day' and w.paid_at"
        "        and c.amount_vnd - c.received_vnd = w.left_vnd)"
        " order by nearly desc, c.created_at desc limit $3",
        tx.operator_id,
        receipt_id,
        most,
    )
