"""Money that left the account and that none of us sent: a bank's charge, a recall, a mistake.

It stands in suspense from the moment the bank's list tells of it, so that the books always say what the bank says, until a
person finds out what it was. Whatever he decides, above his limit of a day a second person agrees.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import BigInteger
from sqlmodel import CheckConstraint, Field, ForeignKeyConstraint, Index, SQLModel, UniqueConstraint, text

from foundation import audit
from foundation.database import Tx
from foundation.errors import NotFound, Refusal
from foundation.tables import instant, keys, new_id, owner_key, recorded
from payments import held, ledger
from payments.gateway import Gone
from payments.ledger import Source
from payments.postings import Template
from payments.receipt import BankRefMissing
from payments.refund import OwnRefund, within_limit

Way = Literal["charge", "receipt", "loss"]
"""The bank's own charge. Met with what is held of a receipt: the one that was recalled, or the one that brought it back.
Lost: recalled or taken, and nothing of it comes back."""


class Debit(SQLModel, table=True):
    """One line of the bank's list. `kind` and `relates_to` are the bank's words. `asked_*`: what waits for a second person."""

    __tablename__ = "debit"
    __table_args__ = (
        UniqueConstraint(*keys("bank_account", "bank_ref"), name="debit_bank_ref_key"),
        ForeignKeyConstraint(
            keys("asked_by"), ["foundation.staff.operator_id", "foundation.staff.id"], name="debit_asked_fkey"
        ),
        CheckConstraint("amount_vnd > 0", name="amount"),
        CheckConstraint("settled_vnd between 0 and amount_vnd", name="settled"),
        CheckConstraint("asked_way in ('charge', 'receipt', 'loss')", name="asked_way"),
        CheckConstraint(
            "num_nulls(asked_way, asked_ref, asked_reason, asked_by, asked_at) in (0, 5)"
            " and (asked_by is null or settled_vnd < amount_vnd)",
            name="asked",
        ),
        Index("debit_open_idx", *keys("left_at"), postgresql_where=text("settled_vnd < amount_vnd")),
        {"schema": "payments"},
    )
    operator_id: UUID = owner_key()
    id: UUID = Field(primary_key=True)
    bank_account: str
    bank_ref: str
    amount_vnd: int = Field(sa_type=BigInteger)
    left_at: datetime = instant()
    kind: str
    relates_to: str
    settled_vnd: int = Field(default=0, sa_type=BigInteger, sa_column_kwargs={"server_default": "0"})
    asked_way: str | None = None
    asked_ref: str | None = None
    asked_reason: str | None = None
    asked_by: UUID | None = None
    asked_at: datetime | None = instant(default=None)
    recorded_at: datetime = recorded()


class DebitSettled(SQLModel, table=True):
    """What so much of it was. `use`: of what is held of the receipt, for `way` receipt."""

    __tablename__ = "debit_settled"
    __table_args__ = (
        ForeignKeyConstraint(
            keys("debit_id"), ["payments.debit.operator_id", "payments.debit.id"], name="debit_settled_debit_fkey"
        ),
        ForeignKeyConstraint(
            keys("receipt_id", "use"),
            ["payments.held_use.operator_id", "payments.held_use.receipt_id", "payments.held_use.number"],
            name="debit_settled_use_fkey",
        ),
        ForeignKeyConstraint(
            keys("staff_id"), ["foundation.staff.operator_id", "foundation.staff.id"], name="debit_settled_staff_fkey"
        ),
        ForeignKeyConstraint(
            keys("agreed_by"), ["foundation.staff.operator_id", "foundation.staff.id"], name="debit_settled_agreed_fkey"
        ),
        CheckConstraint("amount_vnd > 0 and number > 0", name="amount"),
        CheckConstraint("way in ('charge', 'receipt', 'loss')", name="way"),
        CheckConstraint("num_nulls(receipt_id, use) = case way when 'receipt' then 0 else 2 end", name="receipt"),
        CheckConstraint("agreed_by <> staff_id", name="second_person"),
        {"schema": "payments", "comment": "insert-only: what was decided"},
    )
    operator_id: UUID = owner_key()
    debit_id: UUID = Field(primary_key=True)
    number: int = Field(primary_key=True)
    way: str
    amount_vnd: int = Field(sa_type=BigInteger)
    receipt_id: UUID | None = None
    use: int | None = None
    staff_id: UUID
    agreed_by: UUID | None = None
    reason: str
    at: datetime = instant()


class NoSuchDebit(NotFound):
    """There is no such debit."""


class NothingToSettle(Refusal):
    """Nothing of that debit waits for you any more."""


async def book(tx: Tx, gone: Gone) -> bool:
    """Money left: it is in suspense from now on. The same line again is no news: False. Raises BankRefMissing."""
    bank_ref = gone.bank_ref.strip()
    if not bank_ref:
        raise BankRefMissing()
    id: UUID | None = await tx.value(
        "insert into payments.debit (operator_id, id, bank_account, bank_ref, amount_vnd, left_at, kind, relates_to)"
        " values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict (operator_id, bank_account, bank_ref) do nothing"
        " returning id",
        tx.operator_id,
        new_id(),
        gone.account,
        bank_ref,
        gone.amount_vnd,
        gone.left_at,
        gone.kind,
        gone.relates_to,
    )
    if id is not None:
        await ledger.post(
            tx,
            "debit.seen",
            source=Source("debit", str(id), "seen"),
            amount_vnd=gone.amount_vnd,
            effective_at=gone.left_at,
            flow=id,
        )
    return id is not None


async def settle(
    tx: Tx, id: UUID, way: Way, *, bank_ref: str = "", staff_id: UUID, reason: str, limit_vnd: int, now: datetime
) -> None:
    """A person says what it was, as a whole, or as much of it as is held of the receipt with that reference of the bank.

    Above what he may decide alone on a day it waits for a second person. Raises NothingToSettle, NothingHeld, ReasonMissing.
    """
    reason = held.reason_of(reason)
    gone = await _lock(tx, id)
    money = await _held(tx, bank_ref) if way == "receipt" else None
    amount_vnd = min(gone["left_vnd"], money.left_vnd) if money else gone["left_vnd"]
    if await within_limit(tx, staff_id, amount_vnd, limit_vnd, now):
        await _clear(tx, gone, way, money, staff_id=staff_id, agreed_by=None, reason=reason, now=now)
        return
    await tx.execute(
        "update payments.debit set asked_way = $3, asked_ref = $4, asked_reason = $5, asked_by = $6, asked_at = $7"
        " where operator_id = $1 and id = $2",
        tx.operator_id,
        id,
        way,
        bank_ref.strip(),
        reason,
        staff_id,
        now,
    )
    after = {"way": way, "receipt": bank_ref.strip(), "amount_vnd": amount_vnd}
    await audit.note(tx, staff_id, "debit.asked", f"debit {id}", reason=reason, after=after, now=now)


async def agree(tx: Tx, id: UUID, *, asked_at: datetime, staff_id: UUID, now: datetime) -> None:
    """A second person agrees to what somebody said of it at that moment, and to nothing that he said since.

    Raises NothingToSettle, OwnRefund, NothingHeld.
    """
    gone = await _lock(tx, id)
    if gone["asked_at"] != asked_at:
        raise NothingToSettle()
    if gone["asked_by"] == staff_id:
        raise OwnRefund()
    money = await _held(tx, gone["asked_ref"]) if gone["asked_way"] == "receipt" else None
    await _clear(
        tx,
        gone,
        gone["asked_way"],
        money,
        staff_id=gone["asked_by"],
        agreed_by=staff_id,
        reason=gone["asked_reason"],
        now=now,
    )


async def waiting(tx: Tx, *, most: int) -> list[Any]:
    """What is in suspense, oldest first; `count` and `sum_vnd` of all, not only of `most`."""
    return await tx.rows(
        "select id, bank_ref, amount_vnd, amount_vnd - settled_vnd as left_vnd, left_at, kind, relates_to, asked_at,"
        " count(*) over () as count, (sum(amount_vnd - settled_vnd) over ())::bigint as sum_vnd"
        " from payments.debit where operator_id = $1 and settled_vnd < amount_vnd order by left_at, id limit $2",
        tx.operator_id,
        most,
    )


async def find(tx: Tx, id: UUID) -> Any:
    """A debit with what is left of it, and who wants to settle it how. Raises NoSuchDebit."""
    row = await tx.row(
        "select d.*, d.amount_vnd - d.settled_vnd as left_vnd, s.name as asker from payments.debit d"
        " left join foundation.staff s on s.operator_id = d.operator_id and s.id = d.asked_by"
        " where d.operator_id = $1 and d.id = $2",
        tx.operator_id,
        id,
    )
    if row is None:
        raise NoSuchDebit()
    return row


async def _clear(
    tx: Tx,
    gone: Any,
    way: Way,
    money: held.HeldView | None,
    *,
    staff_id: UUID,
    agreed_by: UUID | None,
    reason: str,
    now: datetime,
) -> None:
    amount_vnd, receipt_id, use = gone["left_vnd"], None, None
    number: int = await tx.value(
        "select count(*) + 1 from payments.debit_settled where operator_id = $1 and debit_id = $2",
        tx.operator_id,
        gone["id"],
    )
    source, flow = Source("debit", f"{gone['id']}/{number}", "settled"), gone["id"]
    if money is not None:
        amount_vnd, receipt_id = min(amount_vnd, money.left_vnd), money.receipt_id
        use, use_id = await held.use(tx, money, amount_vnd, kind="debit", staff_id=staff_id, reason=reason, now=now)
        source, flow = Source("held", use_id, "met"), receipt_id
    await tx.execute(
        "with said as (insert into payments.debit_settled (operator_id, debit_id, number, way, amount_vnd, receipt_id, use,"
        "   staff_id, agreed_by, reason, at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11))"
        " update payments.debit set settled_vnd = settled_vnd + $5,"
        " asked_way = null, asked_ref = null, asked_reason = null, asked_by = null, asked_at = null"
        " where operator_id = $1 and id = $2",
        tx.operator_id,
        gone["id"],
        number,
        way,
        amount_vnd,
        receipt_id,
        use,
        staff_id,
        agreed_by,
        reason,
        now,
    )
    await ledger.post(tx, POSTED[way], source=source, amount_vnd=amount_vnd, effective_at=now, flow=flow)
    await audit.note(
        tx,
        agreed_by or staff_id,
        "debit.settled",
        f"debit {gone['id']}",
        reason=reason,
        before={"left_vnd": gone["left_vnd"]} | ({"asked_by": staff_id} if agreed_by else {}),
        after={"way": way, "receipt": receipt_id, "amount_vnd": amount_vnd, "left_vnd": gone["left_vnd"] - amount_vnd},
        now=now,
    )


POSTED: dict[Way, Template] = {"charge": "debit.charge", "receipt": "debit.met", "loss": "debit.lost"}


async def _lock(tx: Tx, id: UUID) -> Any:
    row = await tx.row(
        "select id, amount_vnd - settled_vnd as left_vnd, asked_way, asked_ref, asked_reason, asked_by,"
        " asked_at from payments.debit"
        " where operator_id = $1 and id = $2 and settled_vnd < amount_vnd for update",
        tx.operator_id,
        id,
    )
    if row is None:
        raise NothingToSettle()
    return row


async def _held(tx: Tx, bank_ref: str) -> held.HeldView:
    """What waits of the receipt with that reference of the bank. Raises NothingHeld."""
    receipt_id: UUID | None = await tx.value(
        "select h.receipt_id from payments.held h"
        " join payments.receipt r on r.operator_id = h.operator_id and r.id = h.receipt_id"
        " where h.operator_id = $1 and h.closed_at is null and r.bank_ref = $2 and r.gateway = 'bank'",
        tx.operator_id,
        bank_ref.strip(),
    )
    if receipt_id is None:
        raise held.NothingHeld()
    return await held.find(tx, receipt_id)
