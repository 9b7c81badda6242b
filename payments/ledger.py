"""The ledger: every movement of money is a transfer from a template, insert-only, one journal per business event.

A transfer debits one account and credits another by the same amount, so a journal balances by construction. A journal
has a natural key (source type, source id, purpose) that is kept for ever: posting the same event twice is one journal,
posting another amount under it is refused. Accounts that authorise (a cash drawer) have a guarded balance row that
cannot go below zero; all others have none, so that no payment waits for another (money.md 2.4).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal
from uuid import UUID

import asyncpg
from sqlalchemy import BigInteger
from sqlmodel import CheckConstraint, Field, ForeignKeyConstraint, Index, SQLModel, UniqueConstraint

from foundation.database import Tx
from foundation.errors import Refusal
from foundation.money import TRANSFER_MAX_VND
from foundation.tables import instant, keys, new_id, owner_key, recorded


class Account(SQLModel, table=True):
    """An account of one operator. Kinds: A asset, L liability, I income, E expense, C clearing (returns to zero)."""

    __tablename__ = "account"
    __table_args__ = (
        CheckConstraint("kind in ('A', 'L', 'I', 'E', 'C')", name="kind"),
        {"schema": "payments", "comment": "insert-only: an account never changes its nature"},
    )
    operator_id: UUID = owner_key()
    code: str = Field(primary_key=True)
    kind: str
    authorising: bool


class Balance(SQLModel, table=True):
    """What an authorising account holds (debits − credits); a transfer that would take more than is there fails."""

    __tablename__ = "balance"
    __table_args__ = (
        ForeignKeyConstraint(
            keys("account"), ["payments.account.operator_id", "payments.account.code"], name="balance_account_fkey"
        ),
        CheckConstraint("balance_vnd >= 0", name="not_overdrawn"),
        {"schema": "payments"},
    )
    operator_id: UUID = owner_key()
    account: str = Field(primary_key=True)
    balance_vnd: int = Field(sa_type=BigInteger)


class Journal(SQLModel, table=True):
    """One business event. `effective_day` is its Hanoi day; `recorded_at` is the database's real time."""

    __tablename__ = "journal"
    __table_args__ = (
        UniqueConstraint(*keys("source_type", "source_id", "purpose"), name="journal_source_key"),
        {"schema": "payments", "comment": "insert-only: corrected by reversal"},
    )
    operator_id: UUID = owner_key()
    id: UUID = Field(primary_key=True)
    template: str
    version: int
    source_type: str
    source_id: str
    purpose: str
    effective_at: datetime = instant()
    effective_day: date
    recorded_at: datetime = recorded()


class Transfer(SQLModel, table=True):
    """One leg of a journal: debit and credit of the same amount. `flow` is the charge or receipt it belongs to."""

    __tablename__ = "transfer"
    __table_args__ = (
        ForeignKeyConstraint(
            keys("journal_id"), ["payments.journal.operator_id", "payments.journal.id"], name="transfer_journal_fkey"
        ),
        ForeignKeyConstraint(
            keys("debit"), ["payments.account.operator_id", "payments.account.code"], name="transfer_debit_fkey"
        ),
        ForeignKeyConstraint(
            keys("credit"), ["payments.account.operator_id", "payments.account.code"], name="transfer_credit_fkey"
        ),
        CheckConstraint(f"amount_vnd between 1 and {TRANSFER_MAX_VND}", name="amount"),
        CheckConstraint("debit <> credit", name="two_accounts"),
        Index("transfer_flow_idx", *keys("flow")),
        {"schema": "payments", "comment": "insert-only: corrected by reversal"},
    )
    operator_id: UUID = owner_key()
    journal_id: UUID = Field(primary_key=True)
    leg: int = Field(primary_key=True)
    debit: str
    credit: str
    amount_vnd: int = Field(sa_type=BigInteger)
    flow: UUID | None = None


class PostedOtherwise(Refusal):
    """This event was already posted with another content."""

    status = 409


class NotEnoughThere(Refusal):
    """There is not that much in the drawer."""

    status = 409


PLATFORM_ACCOUNTS: Mapping[str, str] = {
    "gw_receivable": "C",
    "unapplied_receipts": "L",
    "intent_clearing": "C",
    "operator_payable": "L",
    "overpaid_held": "L",
    "cash_in_transit": "A",
    "cash_over_short": "E",
}
"""The accounts every operator has from its first day, with their kind."""

Template = Literal[
    "receipt.seen",
    "receipt.applied",
    "receipt.held",
    "charge.released",
    "service.delivered",
    "cash.sold",
    "proxy.transferred",
    "shift.opened",
    "shift.closed",
    "shift.short",
    "shift.over",
]

TEMPLATES: Mapping[Template, tuple[int, str, str]] = {
    # template: version, debit, credit. {drawer} is the shift's drawer, or cash_in_transit once the shift is closed.
    "receipt.seen": (1, "gw_receivable", "unapplied_receipts"),
    "receipt.applied": (1, "unapplied_receipts", "intent_clearing"),
    "receipt.held": (1, "unapplied_receipts", "overpaid_held"),
    "charge.released": (1, "intent_clearing", "overpaid_held"),
    "service.delivered": (1, "intent_clearing", "operator_payable"),
    "cash.sold": (1, "{drawer}", "intent_clearing"),
    "proxy.transferred": (1, "unapplied_receipts", "{drawer}"),
    "shift.opened": (1, "{drawer}", "cash_in_transit"),
    "shift.closed": (1, "cash_in_transit", "{drawer}"),
    "shift.short": (1, "cash_over_short", "{drawer}"),
    "shift.over": (1, "{drawer}", "cash_over_short"),
}
"""Every posting there is (money.md 2.9): read "debit → credit"; debits increase assets."""


@dataclass(frozen=True, slots=True)
class Source:
    """The natural key of an event: what kind of thing, which one, and what about it."""

    type: str
    id: str
    purpose: str


async def open_accounts(tx: Tx) -> None:
    """The accounts of a new operator."""
    await tx.execute(
        "insert into payments.account (operator_id, code, kind, authorising)"
        " select $1, code, kind, false from unnest($2::text[], $3::text[]) as a(code, kind)"
        " on conflict do nothing",
        tx.operator_id,
        list(PLATFORM_ACCOUNTS),
        list(PLATFORM_ACCOUNTS.values()),
    )


async def open_drawer(tx: Tx, shift_id: UUID) -> str:
    """The drawer of a shift: an asset that cannot be overdrawn. Returns its account code."""
    code = f"cash_drawer:{shift_id}"
    await tx.execute(
        "with opened as"
        " (insert into payments.account (operator_id, code, kind, authorising) values ($1, $2, 'A', true))"
        " insert into payments.balance (operator_id, account, balance_vnd) values ($1, $2, 0)",
        tx.operator_id,
        code,
    )
    return code


async def post(
    tx: Tx,
    template: Template,
    *,
    source: Source,
    amount_vnd: int,
    effective_at: datetime,
    flow: UUID | None = None,
    drawer: str = "cash_in_transit",
) -> bool:
    """Posts an event from its template. True if it is new, False if exactly this was posted before.

    Raises PostedOtherwise if the event was posted with another content, NotEnoughThere for an overdrawn drawer.
    """
    version, debit, credit = TEMPLATES[template]
    try:
        return bool(
            await tx.value(
                "select payments.post($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
                tx.operator_id,
                new_id(),
                template,
                version,
                source.type,
                source.id,
                source.purpose,
                effective_at,
                debit.format(drawer=drawer),
                credit.format(drawer=drawer),
                amount_vnd,
                flow,
            )
        )
    except asyncpg.CheckViolationError as error:
        if error.constraint_name == "balance_not_overdrawn":
            raise NotEnoughThere() from error
        raise
    except asyncpg.PostgresError as error:
        if error.sqlstate == "MC409":
            raise PostedOtherwise() from error
        raise
