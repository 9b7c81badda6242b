"""What an operator gives back of what a paid charge has earned: within a limit at once, above it when two want it.

Until the second person agrees there is a request and nothing else: the charge, its ticket and the books are as before.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger
from sqlmodel import CheckConstraint, Field, ForeignKeyConstraint, Index, SQLModel, text

from foundation import audit
from foundation.database import Tx
from foundation.errors import Refusal
from foundation.tables import instant, keys, new_id, owner_key
from payments import held, ledger
from payments.ledger import Source
from payments.payment import ChargeView, NothingToGiveBack, find, take_back
from payments.refund import NoSuchRefund, OwnRefund, RefundDecided, set_aside, within_limit


class GivenBack(SQLModel, table=True):
    """So much of what a receipt had paid for a charge was given back to its payer by the operator, and is held for him."""

    __tablename__ = "given_back"
    __table_args__ = (
        ForeignKeyConstraint(
            keys("receipt_id"), ["payments.held.operator_id", "payments.held.receipt_id"], name="given_back_held_fkey"
        ),
        ForeignKeyConstraint(
            keys("charge_id"), ["payments.charge.operator_id", "payments.charge.id"], name="given_back_charge_fkey"
        ),
        ForeignKeyConstraint(
            keys("staff_id"), ["foundation.staff.operator_id", "foundation.staff.id"], name="given_back_staff_fkey"
        ),
        CheckConstraint("amount_vnd > 0 and number > 0", name="amount"),
        Index("given_back_charge_idx", *keys("charge_id")),
        {"schema": "payments", "comment": "insert-only: what was decided"},
    )
    operator_id: UUID = owner_key()
    receipt_id: UUID = Field(primary_key=True)
    number: int = Field(primary_key=True)
    charge_id: UUID
    amount_vnd: int = Field(sa_type=BigInteger)
    leaves_from: datetime = instant()
    staff_id: UUID
    reason: str
    at: datetime = instant()


class GiveBackRequest(SQLModel, table=True):
    """Somebody wants to give back more than his limit allows; one at a time waits per charge. `why`: why it ended so."""

    __tablename__ = "give_back_request"
    __table_args__ = (
        ForeignKeyConstraint(
            keys("charge_id"),
            ["payments.charge.operator_id", "payments.charge.id"],
            name="give_back_request_charge_fkey",
        ),
        ForeignKeyConstraint(
            keys("requested_by"),
            ["foundation.staff.operator_id", "foundation.staff.id"],
            name="give_back_request_requested_fkey",
        ),
        ForeignKeyConstraint(
            keys("decided_by"),
            ["foundation.staff.operator_id", "foundation.staff.id"],
            name="give_back_request_decided_fkey",
        ),
        CheckConstraint("amount_vnd > 0", name="amount"),
        CheckConstraint("state in ('requested', 'approved', 'rejected')", name="state"),
        CheckConstraint(
            "num_nulls(decided_by, decided_at) = case state when 'requested' then 2 else 0 end", name="decided"
        ),
        CheckConstraint("state = 'rejected' or decided_by <> requested_by", name="second_person"),
        Index(
            "give_back_request_open_key", *keys("charge_id"), unique=True, postgresql_where=text("state = 'requested'")
        ),
        {"schema": "payments"},
    )
    operator_id: UUID = owner_key()
    id: UUID = Field(primary_key=True)
    charge_id: UUID
    amount_vnd: int = Field(sa_type=BigInteger)
    state: str = "requested"
    reason: str
    requested_by: UUID
    requested_at: datetime = instant()
    decided_by: UUID | None = None
    decided_at: datetime | None = instant(default=None)
    why: str | None = None


class PaidWithNotes(Refusal):
    """This was paid with notes; it is given back as notes, against its receipt."""


class GiveBackWaits(Refusal):
    """To give this payment back was asked before and waits for a second person; that is decided first."""

    constraint = "give_back_request_open_key"


async def give_back(
    tx: Tx,
    reference: str,
    amount_vnd: int | None,
    *,
    staff_id: UUID,
    reason: str,
    limit_vnd: int,
    now: datetime,
) -> list[UUID]:
    """The operator gives back (None: all) of what a paid charge has earned: it is held for its payers, latest payment
    first, and goes back at once. Returns the refunds: none where the limit does not allow it and a second person is asked.

    Raises NoSuchCharge, NothingToGiveBack, PaidWithNotes, GiveBackWaits, ReasonMissing, and what the services refuse.
    """
    reason = held.reason_of(reason)
    owed, shares = await _lock(tx, (await find(tx, reference=reference)).id)
    left_vnd = sum(share["left_vnd"] for share in shares)
    amount_vnd = left_vnd if amount_vnd is None else amount_vnd
    await _check(tx, owed, left_vnd, amount_vnd)
    if await _waits(tx, owed.id):
        raise GiveBackWaits()
    if await within_limit(tx, staff_id, amount_vnd, limit_vnd, now):
        return await _carry_out(tx, owed, shares, amount_vnd, staff_id=staff_id, agreed_by=None, reason=reason, now=now)
    tx.step("give_back.asked")
    await tx.execute(
        "insert into payments.give_back_request (operator_id, id, charge_id, amount_vnd, state, reason, requested_by,"
        " requested_at) values ($1, $2, $3, $4, 'requested', $5, $6, $7)",
        tx.operator_id,
        new_id(),
        owed.id,
        amount_vnd,
        reason,
        staff_id,
        now,
    )
    await audit.note(
        tx,
        staff_id,
        "give_back.asked",
        f"charge {owed.id}",
        reason=reason,
        after={"amount_vnd": amount_vnd, "left_vnd": left_vnd},
        now=now,
    )
    return []


async def approve(tx: Tx, id: UUID, *, staff_id: UUID, now: datetime) -> str:
    """A second person agrees: now it happens, if it still can. Returns the reference of the charge.

    Raises NoSuchRefund, OwnRefund, RefundDecided, NothingToGiveBack, PaidWithNotes, and what the services refuse; then it
    still waits.
    """
    asked = await _find(tx, id)
    if asked["requested_by"] == staff_id:
        raise OwnRefund()
    owed, shares = await _lock(tx, asked["charge_id"])
    await _decide(tx, id, "approved", staff_id=staff_id, why=None, now=now)
    await _check(tx, owed, sum(share["left_vnd"] for share in shares), asked["amount_vnd"])
    await _carry_out(
        tx,
        owed,
        shares,
        asked["amount_vnd"],
        staff_id=asked["requested_by"],
        agreed_by=staff_id,
        reason=asked["reason"],
        now=now,
    )
    return owed.reference


async def reject(tx: Tx, id: UUID, *, staff_id: UUID, reason: str, now: datetime) -> str:
    """Somebody says no, or the requester takes it back: nothing has happened. Returns the reference of the charge.

    Raises NoSuchRefund, RefundDecided, ReasonMissing.
    """
    reason = held.reason_of(reason)
    asked = await _find(tx, id)
    await _decide(tx, id, "rejected", staff_id=staff_id, why=reason, now=now)
    await audit.note(
        tx,
        staff_id,
        "give_back.rejected",
        f"charge {asked['charge_id']}",
        reason=reason,
        before={"amount_vnd": asked["amount_vnd"], "requested_by": asked["requested_by"]},
        now=now,
    )
    return str(asked["reference"])


async def waiting(tx: Tx, *, most: int, charge_id: UUID | None = None) -> list[Any]:
    """What waits for a second person, oldest first: id, amount_vnd, reason, requested_by, requester, requested_at and the
    charge's reference; `count` and `sum_vnd` of all, not only of `most`."""
    return await tx.rows(
        "select g.id, g.amount_vnd, g.reason, g.requested_by, g.requested_at, s.name as requester, c.reference,"
        " count(*) over () as count, (sum(g.amount_vnd) over ())::bigint as sum_vnd"
        " from payments.give_back_request g"
        " join payments.charge c on c.operator_id = g.operator_id and c.id = g.charge_id"
        " join foundation.staff s on s.operator_id = g.operator_id and s.id = g.requested_by"
        " where g.operator_id = $1 and g.state = 'requested' and ($2::uuid is null or g.charge_id = $2)"
        " order by g.requested_at, g.id limit $3",
        tx.operator_id,
        charge_id,
        most,
    )


async def _carry_out(
    tx: Tx,
    owed: ChargeView,
    shares: list[Any],
    amount_vnd: int,
    *,
    staff_id: UUID,
    agreed_by: UUID | None,
    reason: str,
    now: datetime,
) -> list[UUID]:
    left_vnd = sum(share["left_vnd"] for share in shares)
    taken = await take_back(tx, owed, amount_vnd, now=now)
    tx.step("charge.given_back")
    refunds, missing_vnd = [], amount_vnd
    for share in shares:
        part_vnd = min(share["left_vnd"], missing_vnd)
        if not part_vnd:
            continue
        missing_vnd -= part_vnd
        money = await held.put_back(tx, share["receipt_id"], "given_back", part_vnd, charge_id=owed.id, now=now)
        number: int = await tx.value(
            "insert into payments.given_back (operator_id, receipt_id, number, charge_id, amount_vnd, leaves_from,"
            " staff_id, reason, at) select $1, $2, count(*) + 1, $3, $4, $5, $6, $7, $8 from payments.given_back"
            " where operator_id = $1 and receipt_id = $2 returning number",
            tx.operator_id,
            money.receipt_id,
            owed.id,
            part_vnd,
            taken.leaves_from,
            staff_id,
            reason,
            now,
        )
        await ledger.post(
            tx,
            "charge.given_back",
            source=Source("given_back", f"{money.receipt_id}/{number}", "given_back"),
            amount_vnd=part_vnd,
            effective_at=now,
            flow=money.flow,
        )
        refunds.append(
            await set_aside(
                tx, money, part_vnd, staff_id=staff_id, reason=reason, agreed=True, agreed_by=agreed_by, now=now
            )
        )
    before = {"left_vnd": left_vnd} | ({"requested_by": staff_id} if agreed_by else {})
    await audit.note(
        tx,
        agreed_by or staff_id,
        "charge.given_back",
        f"charge {owed.id}",
        reason=reason,
        before=before,
        after={"given_back_vnd": amount_vnd, "left_vnd": left_vnd - amount_vnd, "refunds": refunds, "used": taken.used},
        now=now,
    )
    return refunds


async def _check(tx: Tx, owed: ChargeView, left_vnd: int, amount_vnd: int) -> None:
    if owed.state == "paid" and left_vnd < owed.received_vnd and await _has_notes(tx, owed.id):
        raise PaidWithNotes()
    if owed.state != "paid" or not 0 < amount_vnd <= left_vnd:
        raise NothingToGiveBack(left_vnd=left_vnd if owed.state == "paid" else 0)


async def _decide(tx: Tx, id: UUID, state: str, *, staff_id: UUID, why: str | None, now: datetime) -> None:
    status = await tx.execute(
        "update payments.give_back_request set state = $3, decided_by = $4, decided_at = $5, why = $6"
        " where operator_id = $1 and id = $2 and state = 'requested'",
        tx.operator_id,
        id,
        state,
        staff_id,
        now,
        why,
    )
    if status != "UPDATE 1":
        raise RefundDecided()


async def _find(tx: Tx, id: UUID) -> Any:
    row = await tx.row(
        "select g.charge_id, g.amount_vnd, g.reason, g.requested_by, c.reference from payments.give_back_request g"
        " join payments.charge c on c.operator_id = g.operator_id and c.id = g.charge_id"
        " where g.operator_id = $1 and g.id = $2",
        tx.operator_id,
        id,
    )
    if row is None:
        raise NoSuchRefund()
    return row


async def _waits(tx: Tx, charge_id: UUID) -> bool:
    found: bool = await tx.value(
        "select exists (select from payments.give_back_request"
        " where operator_id = $1 and charge_id = $2 and state = 'requested')",
        tx.operator_id,
        charge_id,
    )
    return found


async def _lock(tx: Tx, charge_id: UUID) -> tuple[ChargeView, list[Any]]:
    """A charge and its shares; held money before its charge, as whoever assigns it takes them."""
    await tx.execute(
        "select from payments.held where operator_id = $1 and receipt_id = any($2) order by receipt_id for update",
        tx.operator_id,
        [share["receipt_id"] for share in await _shares(tx, charge_id)],
    )
    owed = await find(tx, id=charge_id, lock=True)
    return owed, await _shares(tx, charge_id)


async def _shares(tx: Tx, charge_id: UUID) -> list[Any]:
    """What of a charge each receipt has paid and nobody gave back yet, the latest first: receipt_id, left_vnd."""
    return await tx.rows(
        "select p.receipt_id, (sum(p.amount_vnd) - coalesce((select sum(g.amount_vnd) from payments.given_back g"
        "   where g.operator_id = $1 and g.receipt_id = p.receipt_id and g.charge_id = $2), 0))::bigint as left_vnd"
        " from (select receipt_id, applied_vnd as amount_vnd, at from payments.receipt_outcome"
        "         where operator_id = $1 and charge_id = $2 and applied_vnd > 0"
        "       union all select receipt_id, amount_vnd, at from payments.held_use"
        "         where operator_id = $1 and charge_id = $2) p"
        " group by p.receipt_id order by max(p.at) desc, p.receipt_id desc",
        tx.operator_id,
        charge_id,
    )


async def _has_notes(tx: Tx, charge_id: UUID) -> bool:
    found: bool = await tx.value(
        "select exists (select from payments.cash_receipt where operator_id = $1 and charge_id = $2)",
        tx.operator_id,
        charge_id,
    )
    return found
