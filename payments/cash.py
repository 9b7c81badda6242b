"""Notes: a sale for cash goes into the drawer of an open shift and gets a receipt number without gaps.

Two facts are kept apart (design.md 4). The guest paid with notes: CASH. If the attendant then transfers the amount
himself, the channel is ATTENDANT_PROXY and the statistics show it apart; his transfer, when it arrives, buys the notes
out of the drawer, or explains why a count did not find them.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from random import SystemRandom
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger
from sqlmodel import CheckConstraint, Field, ForeignKeyConstraint, SQLModel

from foundation import directory
from foundation.database import Tx
from foundation.device import Attendant
from foundation.errors import Refusal
from foundation.tables import instant, keys, new_id, owner_key
from payments import ledger, payment, reference, shift
from payments.gateway import vietqr
from payments.ledger import Source
from payments.payment import Line
from payments.postings import Template
from payments.receipt import collection_account

_draw = SystemRandom()


class CashReceipt(SQLModel, table=True):
    """One sale for notes, numbered within its shift."""

    __tablename__ = "cash_receipt"
    __table_args__ = (
        ForeignKeyConstraint(
            keys("shift_id"), ["payments.shift.operator_id", "payments.shift.id"], name="cash_receipt_shift_fkey"
        ),
        ForeignKeyConstraint(
            keys("charge_id"), ["payments.charge.operator_id", "payments.charge.id"], name="cash_receipt_charge_fkey"
        ),
        CheckConstraint("amount_vnd > 0 and number > 0", name="amount"),
        {"schema": "payments", "comment": "insert-only: a receipt was handed out"},
    )
    operator_id: UUID = owner_key()
    shift_id: UUID = Field(primary_key=True)
    number: int = Field(primary_key=True)
    id: UUID
    charge_id: UUID
    amount_vnd: int = Field(sa_type=BigInteger)
    proxy: bool
    staff_id: UUID
    at: datetime = instant()


class ProxyTransferRow(SQLModel, table=True):
    """What an attendant still has to transfer for a guest whose notes he keeps. `released_vnd`: what he owes no longer,
    because the guest got notes back."""

    __tablename__ = "proxy_transfer"
    __table_args__ = (
        ForeignKeyConstraint(
            keys("shift_id", "receipt_number"),
            ["payments.cash_receipt.operator_id", "payments.cash_receipt.shift_id", "payments.cash_receipt.number"],
            name="proxy_transfer_receipt_fkey",
        ),
        CheckConstraint(
            "received_vnd >= 0 and released_vnd >= 0 and received_vnd + released_vnd <= amount_vnd", name="received"
        ),
        {"schema": "payments"},
    )
    operator_id: UUID = owner_key()
    reference: str = Field(primary_key=True)
    shift_id: UUID
    receipt_number: int
    amount_vnd: int = Field(sa_type=BigInteger)
    received_vnd: int = Field(default=0, sa_type=BigInteger)
    released_vnd: int = Field(default=0, sa_type=BigInteger, sa_column_kwargs={"server_default": "0"})
    asked_at: datetime = instant()


class ProxyArrival(SQLModel, table=True):
    """What of one receipt was an attendant's transfer: by its own text (`use` 0), or by what finance decided later.

    Before the count it buys notes out of the drawer, as far as they are there (`drawer_vnd`); after it, first those that the
    count found missing (`explained_vnd`: they were his). The rest of them lies in the safe.
    """

    __tablename__ = "proxy_arrival"
    __table_args__ = (
        ForeignKeyConstraint(
            keys("reference"),
            ["payments.proxy_transfer.operator_id", "payments.proxy_transfer.reference"],
            name="proxy_arrival_transfer_fkey",
        ),
        ForeignKeyConstraint(
            keys("receipt_id"),
            ["payments.receipt.operator_id", "payments.receipt.id"],
            name="proxy_arrival_receipt_fkey",
        ),
        CheckConstraint("drawer_vnd >= 0 and explained_vnd >= 0 and amount_vnd > 0", name="amount"),
        CheckConstraint("drawer_vnd + explained_vnd <= amount_vnd", name="parts"),
        {"schema": "payments", "comment": "insert-only: what arrived"},
    )
    operator_id: UUID = owner_key()
    receipt_id: UUID = Field(primary_key=True)
    use: int = Field(primary_key=True)
    reference: str
    amount_vnd: int = Field(sa_type=BigInteger)
    drawer_vnd: int = Field(sa_type=BigInteger)
    explained_vnd: int = Field(sa_type=BigInteger)
    at: datetime = instant()


class AmountChanged(Refusal):
    """The price is {due_vnd} đồng now; please check and confirm again."""


@dataclass(frozen=True, slots=True)
class ProxyTransfer:
    """An attendant's own transfer that is (partly) outstanding or done. `missing_vnd`: notes that the count of its shift
    found missing and nothing has explained yet."""

    reference: str
    shift_id: UUID
    amount_vnd: int
    received_vnd: int
    released_vnd: int
    counted: bool
    missing_vnd: int

    @property
    def remaining_vnd(self) -> int:
        return self.amount_vnd - self.received_vnd - self.released_vnd


@dataclass(frozen=True, slots=True)
class PayOrder:
    """How to make one transfer: what a VietQR says, in words and as its payload."""

    reference: str
    vietqr: str
    bin: str
    bank: str
    account: str
    payee: str
    amount_vnd: int


def pay_json(order: PayOrder) -> dict[str, Any]:
    """A pay order as the tablet gets it."""
    return asdict(order)


@dataclass(frozen=True, slots=True)
class CashSale:
    """A sale for notes: its number in the shift and, for a proxy sale, what the attendant must transfer."""

    receipt_number: int
    amount_vnd: int
    proxy: bool
    charge_id: UUID
    pay: PayOrder | None


async def record_cash(
    tx: Tx,
    who: Attendant,
    *,
    lines: list[Line],
    proxy: bool,
    return_path: str,
    shift_id: UUID | None = None,
    now: datetime,
) -> CashSale:
    """Sells the lines for notes: charge, drawer, receipt number, and the acts of the services, in one transaction.

    `proxy`: the attendant keeps the notes and transfers the amount himself. `shift_id`: the shift that his tablet believes
    to be open. Raises NoShift, ShiftCounted, ShiftClosedByOffice, ShiftOver, and what the acts refuse.
    """
    tx.step("cash.sold")
    # Shift before drawer, in the order of closing: otherwise a sale and a close at once wait for each other for ever.
    # Only this tablet waits.
    drawer_of = await shift.must_be_open(tx, who, named=shift_id, lock=True)
    owed = await payment.charge(tx, lines=lines, holds=timedelta(0), return_path=return_path, now=now)
    sold = ledger.posting(
        "cash.sold",
        source=Source("charge", str(owed.id), "cash"),
        amount_vnd=owed.amount_vnd,
        effective_at=now,
        flow=owed.id,
        drawer=drawer_of.drawer,
    )
    await payment.settle(
        tx,
        owed,
        means="CASH",
        channel="ATTENDANT_PROXY" if proxy else "CASH_DEPOSIT",
        paid_at=now,
        now=now,
        via=Source("cash", str(owed.id), "sold"),
        first=sold,
    )
    number: int = await tx.value(
        "update payments.shift set receipts = receipts + 1 where operator_id = $1 and id = $2 returning receipts",
        tx.operator_id,
        drawer_of.id,
    )
    await tx.execute(
        "insert into payments.cash_receipt (operator_id, shift_id, number, id, charge_id, amount_vnd, proxy, staff_id,"
        " at)"
        " values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        tx.operator_id,
        drawer_of.id,
        number,
        new_id(),
        owed.id,
        owed.amount_vnd,
        proxy,
        who.staff_id,
        now,
    )
    pay = await _ask_proxy(tx, drawer_of.id, number, owed.amount_vnd, now) if proxy else None
    return CashSale(number, owed.amount_vnd, proxy, owed.id, pay)


async def proxy_transfers(tx: Tx, references: list[str], *, lock: bool = True) -> list[ProxyTransfer]:
    """The attendants' transfers among these references, with `lock` locked together with their shifts (those first, in the
    order of a refund in notes)."""
    rows = await tx.rows(
        "select t.reference, t.shift_id, t.amount_vnd, t.received_vnd, t.released_vnd, s.counted_at is not null as counted,"
        " greatest(coalesce(s.expected_vnd - s.counted_vnd, 0), 0) - s.explained_vnd as missing_vnd"
        " from payments.proxy_transfer t"
        " join payments.shift s on s.operator_id = t.operator_id and s.id = t.shift_id"
        " where t.operator_id = $1 and t.reference = any($2)" + (" for update of s, t" if lock else ""),
        tx.operator_id,
        references,
    )
    return [ProxyTransfer(**row) for row in rows]


async def receive_proxy(
    tx: Tx, owed: ProxyTransfer, amount_vnd: int, *, source: tuple[str, str], receipt_id: UUID, use: int, at: datetime
) -> int:
    """An attendant's transfer arrived: the notes it stands for are his. Returns how much of it was owed.

    Notes that a count has already found missing were these: that much of the shortage is explained. What went to the safe
    meanwhile, he finds there.
    """
    taken_vnd = min(amount_vnd, owed.remaining_vnd)
    if not taken_vnd:
        return 0
    explained_vnd = drawer_vnd = 0
    if owed.counted:
        explained_vnd = min(taken_vnd, owed.missing_vnd)
    else:
        drawer_vnd = min(taken_vnd, await ledger.free_vnd(tx, f"cash_drawer:{owed.shift_id}"))
    safe_vnd = taken_vnd - explained_vnd - drawer_vnd
    postings: tuple[tuple[Template, str, int, str], ...] = (
        ("proxy.transferred", "applied", drawer_vnd, f"cash_drawer:{owed.shift_id}"),
        ("proxy.transferred", "from_safe", safe_vnd, "cash_in_transit"),
        ("proxy.explained", "explained", explained_vnd, ""),
    )
    for template, purpose, amount, drawer in postings:
        if amount:
            await ledger.post(
                tx,
                template,
                source=Source(*source, purpose),
                amount_vnd=amount,
                effective_at=at,
                flow=receipt_id,
                drawer=drawer,
            )
    await tx.execute(
        "insert into payments.proxy_arrival (operator_id, receipt_id, use, reference, amount_vnd, drawer_vnd,"
        " explained_vnd, at) values ($1, $2, $3, $4, $5, $6, $7, $8)",
        tx.operator_id,
        receipt_id,
        use,
        owed.reference,
        taken_vnd,
        drawer_vnd,
        explained_vnd,
        at,
    )
    await tx.execute(
        "update payments.proxy_transfer set received_vnd = received_vnd + $3 where operator_id = $1 and reference = $2",
        tx.operator_id,
        owed.reference,
        taken_vnd,
    )
    if explained_vnd or safe_vnd:
        await tx.execute(
            "update payments.shift set explained_vnd = explained_vnd + $3, safe_vnd = safe_vnd - $4"
            " where operator_id = $1 and id = $2",
            tx.operator_id,
            owed.shift_id,
            explained_vnd,
            safe_vnd,
        )
    return taken_vnd


async def release_proxy(tx: Tx, shift_id: UUID, charge_id: UUID, amount_vnd: int) -> int:
    """A guest gets so much back in notes out of the drawer of `shift_id` (locked): the attendant who kept his need not
    transfer it any more. Returns by how much less he is asked for.

    Out of another drawer only what that attendant handed over at his count is not owed: what it found missing, and notes
    of a shift that is not counted, are still his to transfer.
    """
    released_vnd: int | None = await tx.value(
        "with owed as (select t.reference, least($4::bigint, t.amount_vnd - t.received_vnd - t.released_vnd"
        "     - greatest(coalesce(s.expected_vnd - s.counted_vnd, 0), 0) + s.explained_vnd) as amount_vnd"
        "   from payments.cash_receipt k"
        "   join payments.proxy_transfer t"
        "     on t.operator_id = k.operator_id and t.shift_id = k.shift_id and t.receipt_number = k.number"
        "   join payments.shift s on s.operator_id = t.operator_id and s.id = t.shift_id"
        "   where k.operator_id = $1 and k.charge_id = $3 and (s.id = $2 or s.counted_at is not null) for update of t)"
        " update payments.proxy_transfer t set released_vnd = t.released_vnd + o.amount_vnd from owed o"
        " where t.operator_id = $1 and t.reference = o.reference and o.amount_vnd > 0 returning o.amount_vnd",
        tx.operator_id,
        shift_id,
        charge_id,
        amount_vnd,
    )
    return released_vnd or 0


async def _ask_proxy(tx: Tx, shift_id: UUID, number: int, amount_vnd: int, now: datetime) -> PayOrder:
    drawn = reference.draw(_draw)
    await tx.execute(
        "insert into payments.proxy_transfer (operator_id, reference, shift_id, receipt_number, amount_vnd,"
        " received_vnd, asked_at) values ($1, $2, $3, $4, $5, 0, $6)",
        tx.operator_id,
        drawn,
        shift_id,
        number,
        amount_vnd,
        now,
    )
    await directory.enter(tx, "reference", drawn)
    account = await collection_account(tx)
    return PayOrder(
        reference=drawn,
        vietqr=vietqr.build(bin=account["bin"], account=account["account"], amount_vnd=amount_vnd, text=drawn),
        bin=account["bin"],
        bank=vietqr.bank_name(account["bin"]),
        account=account["account"],
        payee=account["owner_name"],
        amount_vnd=amount_vnd,
    )
