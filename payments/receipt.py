"""What arrived: a credit on an operator's collection account, recorded before anybody asks what it is for.

Transaction 1 of design.md 4: inbox row + receipt + transfer, one call of one SQL function (receipt.sql). A receipt is
identified by the bank's reference on that account, whoever announces it and however often.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, Text
from sqlmodel import CheckConstraint, Field, ForeignKeyConstraint, Index, SQLModel, UniqueConstraint

from foundation import outbox
from foundation.database import Database, Tx
from foundation.errors import NotFound, Refusal
from foundation.seal import Sealer
from foundation.tables import document, instant, keys, new_id, octets, owner_key, recorded
from payments import reference


class CollectionAccount(SQLModel, table=True):
    """The account, in the operator's own name, that VietQR codes name and payers pay to. `statement_at`: no earlier is the
    bank asked for its next statement."""

    __tablename__ = "collection_account"
    __table_args__ = (
        CheckConstraint("bin ~ '^[0-9]{6}$' and account ~ '^[0-9A-Z]{4,19}$'", name="form"),
        {"schema": "payments"},
    )
    operator_id: UUID = owner_key()
    bin: str = Field(primary_key=True)
    account: str = Field(primary_key=True)
    owner_name: str
    poll_cursor: str | None = None
    polled_at: datetime | None = instant(default=None)
    swept_at: datetime | None = instant(default=None)
    statement_at: datetime | None = instant(default=None)


class Notice(SQLModel, table=True):
    """The inbox: what the bank told us, raw and sealed, once per event. Finding is by event, never by content."""

    __tablename__ = "notice"
    __table_args__ = {"schema": "payments", "comment": "insert-only: the inbox"}
    operator_id: UUID = owner_key()
    event_id: str = Field(primary_key=True, max_length=255)
    type: str
    sealed: bytes = octets()
    received_at: datetime = recorded()


class Receipt(SQLModel, table=True):
    """One credit. `references_found` are our own references read in its text; the text itself is sealed.

    `references_like`: what a text without a reference may have meant, for a person to choose from. `gateway`: through
    which it came, and through which it goes back; `facts`: what that gateway wants to hear of it then.
    """

    __tablename__ = "receipt"
    __table_args__ = (
        UniqueConstraint(*keys("bank_account", "bank_ref"), name="receipt_bank_ref_key"),
        CheckConstraint("amount_vnd > 0", name="amount"),
        CheckConstraint("source in ('notice', 'poll', 'statement')", name="source"),
        CheckConstraint("means in ('QR_TRANSFER', 'WALLET', 'CARD', 'ETC_ACCOUNT')", name="means"),
        Index("receipt_paid_idx", "paid_at", postgresql_using="brin"),  # they come in the order of time
        {"schema": "payments", "comment": "insert-only: what arrived, arrived"},
    )
    operator_id: UUID = owner_key()
    id: UUID = Field(primary_key=True)
    bank_account: str
    bank_ref: str
    amount_vnd: int = Field(sa_type=BigInteger)
    paid_at: datetime = instant()
    references_found: list[str] = Field(sa_type=ARRAY(Text))
    references_like: list[str] = Field(sa_type=ARRAY(Text), sa_column_kwargs={"server_default": "{}"})
    text_sealed: bytes = octets()
    payer_sealed: bytes = octets()
    source: str
    gateway: str = Field(default="bank", sa_column_kwargs={"server_default": "bank"})
    means: str = Field(default="QR_TRANSFER", sa_column_kwargs={"server_default": "QR_TRANSFER"})
    facts: dict[str, str] = document(default={}, sa_column_kwargs={"server_default": "{}"})
    recorded_at: datetime = recorded()


class ReceiptOutcome(SQLModel, table=True):
    """What became of a receipt, once: how much was applied to which charge, how much is held for the payer.

    `late`: by the bank's time it was paid after the shown amount had stopped to hold.
    """

    __tablename__ = "receipt_outcome"
    __table_args__ = (
        ForeignKeyConstraint(
            keys("receipt_id"), ["payments.receipt.operator_id", "payments.receipt.id"], name="outcome_receipt_fkey"
        ),
        CheckConstraint("applied_vnd >= 0 and held_vnd >= 0", name="amounts"),
        {"schema": "payments", "comment": "insert-only: a receipt resolves once"},
    )
    operator_id: UUID = owner_key(implied=True)
    receipt_id: UUID = Field(primary_key=True)
    outcome: str
    charge_id: UUID | None = None
    applied_vnd: int = Field(sa_type=BigInteger)
    held_vnd: int = Field(sa_type=BigInteger)
    late: bool = Field(default=False, sa_column_kwargs={"server_default": "false"})
    policy: int = Field(default=1, sa_column_kwargs={"server_default": "1"})
    at: datetime = instant()


class AccountUnknown(NotFound):
    """That collection account is not one of ours."""


class BankRefMissing(Refusal):
    """A transaction without the bank's reference cannot be told from its repetition and was not booked."""

    status = 422


@dataclass(frozen=True, slots=True)
class Credit:
    """A credit in a gateway's words, already read: what `gateway` gives and `receive` books."""

    bin: str
    account: str
    bank_ref: str
    amount_vnd: int
    text: str
    paid_at: datetime
    payer: str
    gateway: str = "bank"
    means: Literal["QR_TRANSFER", "WALLET", "CARD"] = "QR_TRANSFER"
    facts: Mapping[str, str] = field(default_factory=dict)


async def receive(
    database: Database,
    sealer: Sealer,
    operator_id: UUID,
    credit: Credit,
    *,
    now: datetime | None = None,
    source: Literal["notice", "poll", "statement"],
    event_id: str | None = None,
    raw: str = "",
    tx: Tx | None = None,
) -> tuple[UUID, bool]:
    """Books a credit: inbox, receipt, transfer, due application; committed when it returns. (receipt id, is it new).

    `now`: None is the platform's; nobody pays later than that. `tx`: in this transaction of the operator's instead, for a
    gateway whose credit ends something else with it.
    """
    bank_ref = credit.bank_ref.strip()
    if not bank_ref:
        raise BankRefMissing()
    # Real time where nobody says: how long texts are kept is about people, and asking would be a call more.
    month = await sealer.ready(now or datetime.now(UTC))
    found = reference.find(credit.text)
    (row,) = await (tx.row if tx else database.hot)(
        "select payments.receive($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)",
        operator_id,
        new_id(),
        new_id(),
        f"{credit.bin}/{credit.account}",
        bank_ref,
        credit.amount_vnd,
        credit.paid_at,
        found,
        [] if found else reference.mend(credit.text),
        sealer.seal(credit.text, month=month, context="receipt.text"),
        sealer.seal(credit.payer, month=month, context="receipt.payer"),
        source,
        event_id,
        sealer.seal(raw, month=month, context="notice") if event_id else None,
        "transaction.booked",
        credit.gateway,
        credit.means,
        json.dumps(dict(credit.facts)),
        now,
    )
    receipt_id, fresh, same = row
    if not same:
        # The bank says of one transaction two amounts: the first stands, and a person is told.
        async with nullcontext(tx) if tx else database.transaction(operator_id) as mine:
            await outbox.park(
                mine,
                "payments.receipt_differs",
                str(receipt_id),
                f"announced again with {credit.amount_vnd} VND",
            )
    return receipt_id, fresh


async def keep(tx: Tx, sealer: Sealer, event_id: str, kind: str, raw: str, *, month: int) -> bool:
    """Keeps what a gateway said whole and sealed, once per event; False if it was kept before. `month` is from
    `Sealer.ready`."""
    status = await tx.execute(
        "insert into payments.notice (operator_id, event_id, type, sealed) values ($1, $2, $3, $4) on conflict do nothing",
        tx.operator_id,
        event_id,
        kind,
        sealer.seal(raw, month=month, context="notice"),
    )
    return status == "INSERT 0 1"


async def payee(tx: Tx) -> str:
    """Whom a payer's bank will name: the owner of the operator's collection account."""
    owner: str = (await collection_account(tx))["owner_name"]
    return owner


async def collection_account(tx: Tx) -> Any:
    """The operator's collection account: bin, account, owner_name. (One for now; a second is a row.)"""
    row = await tx.row(
        "select bin, account, owner_name from payments.collection_account where operator_id = $1 order by bin, account"
        " limit 1",
        tx.operator_id,
    )
    if row is None:
        raise AccountUnknown()
    return row
