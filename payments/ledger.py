"""The ledger: every movement of money is a transfer by a posting of `postings`, insert-only, one journal per event.

A transfer debits one account and credits another by the same amount, so a journal balances by construction. A journal
has a natural key (source type, source id, purpose) that is kept for ever: posting the same event twice is one journal,
posting another amount under it is refused. What was wrong is reversed as a whole and posted anew, never changed.

Accounts that authorise (a cash drawer) have a guarded balance row that can hold neither less than nothing nor less than
is reserved; all others have none, so that no payment waits for another (money.md 2.4). A closed day takes no posting: a
fact that arrives late takes effect on the open day and keeps the day it belongs to (`day_close`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

import asyncpg
from sqlalchemy import BigInteger, Computed
from sqlmodel import CheckConstraint, Field, ForeignKeyConstraint, Index, SQLModel, UniqueConstraint

from foundation.database import Tx
from foundation.errors import NotFound, Refusal
from foundation.money import TRANSFER_MAX_VND
from foundation.tables import instant, keys, new_id, owner_key, recorded
from payments.postings import ACCOUNTS, BANK, CURRENT, DRAWER, PAYABLE, RESERVE, Template


class Account(SQLModel, table=True):
    """An account of one operator. Kinds: A asset, L liability, I income, E expense, C clearing (returns to zero)."""

    __tablename__ = "account"
    __table_args__ = (
        CheckConstraint("kind in ('A', 'L', 'I', 'E', 'C')", name="kind"),
        CheckConstraint("authorising = (code like 'cash_drawer:%')", name="authorising"),
        {"schema": "payments", "comment": "insert-only: an account never changes its nature"},
    )
    operator_id: UUID = owner_key()
    code: str = Field(primary_key=True)
    kind: str
    authorising: bool


class Balance(SQLModel, table=True):
    """What an authorising account holds (debits − credits), and how much of it is promised to reservations.

    A transfer that would take more than is there, or what is reserved, fails.
    """

    __tablename__ = "balance"
    __table_args__ = (
        ForeignKeyConstraint(
            keys("account"), ["payments.account.operator_id", "payments.account.code"], name="balance_account_fkey"
        ),
        CheckConstraint("balance_vnd >= 0", name="not_overdrawn"),
        CheckConstraint("reserved_vnd between 0 and balance_vnd", name="reserved"),
        {"schema": "payments"},
    )
    operator_id: UUID = owner_key()
    account: str = Field(primary_key=True)
    balance_vnd: int = Field(sa_type=BigInteger)
    reserved_vnd: int = Field(default=0, sa_type=BigInteger, sa_column_kwargs={"server_default": "0"})


class Journal(SQLModel, table=True):
    """One business event. `recorded_at` is the database's real time, `relates_to_day` the Hanoi day of `effective_at`.

    `effective_day` is the day whose books it changes: the same day, or if that was closed already, the open one.
    """

    __tablename__ = "journal"
    __table_args__ = (
        UniqueConstraint(*keys("source_type", "source_id", "purpose"), name="journal_source_key"),
        CheckConstraint("effective_day >= relates_to_day", name="days"),
        Index("journal_day_idx", *keys("effective_day")),
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
    relates_to_day: date = Field(
        sa_column_args=[Computed("(effective_at at time zone 'Asia/Ho_Chi_Minh')::date", persisted=True)]
    )
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
    operator_id: UUID = owner_key(implied=True)
    journal_id: UUID = Field(primary_key=True)
    leg: int = Field(primary_key=True)
    debit: str
    credit: str
    amount_vnd: int = Field(sa_type=BigInteger)
    flow: UUID | None = None


class Reservation(SQLModel, table=True):
    """Money of an authorising account that is promised: spent by nothing else until it is posted, voided or expired."""

    __tablename__ = "reservation"
    __table_args__ = (
        ForeignKeyConstraint(
            keys("account"),
            ["payments.balance.operator_id", "payments.balance.account"],
            name="reservation_account_fkey",
        ),
        UniqueConstraint(*keys("source_type", "source_id", "purpose"), name="reservation_source_key"),
        CheckConstraint(f"amount_vnd between 1 and {TRANSFER_MAX_VND}", name="amount"),
        {"schema": "payments", "comment": "insert-only: its end is a row of its own"},
    )
    operator_id: UUID = owner_key()
    id: UUID = Field(primary_key=True)
    account: str
    amount_vnd: int = Field(sa_type=BigInteger)
    source_type: str
    source_id: str
    purpose: str
    expires_at: datetime = instant()
    recorded_at: datetime = recorded()


class ReservationEnd(SQLModel, table=True):
    """How a reservation ended, once: posted (up to its amount; the rest is free again), voided, or expired."""

    __tablename__ = "reservation_end"
    __table_args__ = (
        ForeignKeyConstraint(
            keys("reservation_id"),
            ["payments.reservation.operator_id", "payments.reservation.id"],
            name="reservation_end_reservation_fkey",
        ),
        CheckConstraint("outcome in ('posted', 'voided', 'expired')", name="outcome"),
        CheckConstraint("posted_vnd >= 0 and (outcome = 'posted') = (posted_vnd > 0)", name="posted"),
        {"schema": "payments", "comment": "insert-only: a reservation ends once"},
    )
    operator_id: UUID = owner_key()
    reservation_id: UUID = Field(primary_key=True)
    outcome: str
    posted_vnd: int = Field(sa_type=BigInteger)
    recorded_at: datetime = recorded()


class PostedOtherwise(Refusal):
    """This event was already posted with another {field}."""


class NotEnoughThere(Refusal):
    """There is not that much in the drawer."""


class ReversalReversed(Refusal):
    """A reversal cannot be reversed; post the event anew."""


class ReservationEnded(Refusal):
    """That money is no longer reserved."""


class ReservationExpired(Refusal):
    """The time for this has run out; nothing was moved."""


@dataclass(frozen=True, slots=True)
class AccountOfDay:
    """An account on one day: its turnover, and debits − credits of all time up to the day's end."""

    account: str
    kind: str
    debits_vnd: int
    credits_vnd: int
    closing_vnd: int


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
        list(ACCOUNTS),
        list(ACCOUNTS.values()),
    )


async def open_drawer(tx: Tx, shift_id: UUID) -> str:
    """The drawer of a shift: an asset that cannot be overdrawn. Returns its account code."""
    code = DRAWER.format(shift=shift_id)
    await tx.execute(
        "with opened as"
        " (insert into payments.account (operator_id, code, kind, authorising) values ($1, $2, 'A', true))"
        " insert into payments.balance (operator_id, account, balance_vnd) values ($1, $2, 0)",
        tx.operator_id,
        code,
    )
    return code


async def open_payable(tx: Tx, payee_id: UUID) -> None:
    """The accounts of a payee: what it is owed, and what of it is held back."""
    await tx.execute(
        "insert into payments.account (operator_id, code, kind, authorising)"
        " select $1, unnest($2::text[]), 'L', false on conflict do nothing",
        tx.operator_id,
        [PAYABLE.format(payee=payee_id), RESERVE.format(payee=payee_id)],
    )


async def open_bank(tx: Tx, bank_account: str) -> None:
    """The account of a collection account, "<bin>/<account>", from its first statement on."""
    await tx.execute(
        "insert into payments.account (operator_id, code, kind, authorising) values ($1, $2, 'A', false)"
        " on conflict do nothing",
        tx.operator_id,
        BANK.format(account=bank_account),
    )


async def post(
    tx: Tx,
    template: Template,
    *,
    source: Source,
    amount_vnd: int,
    effective_at: datetime,
    flow: UUID | None = None,
    drawer: str = "cash_in_transit",
    payee: UUID | None = None,
    other: UUID | None = None,
    account: str | None = None,
    reserved: UUID | None = None,
) -> bool:
    """Posts an event. True if it is new, False if exactly this was posted before.

    `reserved`: the reservation that this spends; what it does not spend is free again. Raises PostedOtherwise if the
    event was posted with another content, NotEnoughThere for an overdrawn drawer, ReservationEnded, ReservationExpired.
    """
    said = posting(
        template,
        source=source,
        amount_vnd=amount_vnd,
        effective_at=effective_at,
        flow=flow,
        drawer=drawer,
        payee=payee,
        other=other,
        account=account,
    )
    with refusals():
        return bool(await tx.value(f"select payments.post($1, {parameters(2)}, $13)", tx.operator_id, *said, reserved))


def posting(
    template: Template,
    *,
    source: Source,
    amount_vnd: int,
    effective_at: datetime,
    flow: UUID | None = None,
    drawer: str = "cash_in_transit",
    payee: UUID | None = None,
    other: UUID | None = None,
    account: str | None = None,
) -> tuple[object, ...]:
    """What `payments.post` is told behind the operator, for a statement that posts among other things (`refusals`)."""
    row = CURRENT[template]
    debit, credit = (
        side.format(drawer=drawer, payee=payee, other=other, account=account) for side in (row.debit, row.credit)
    )
    natural_key = (source.type, source.id, source.purpose)
    return (new_id(), template, row.version, *natural_key, effective_at, debit, credit, amount_vnd, flow)


def parameters(first: int) -> str:
    """The places of a `posting` in a statement: `$2, $3, …`."""
    return ", ".join(f"${number}" for number in range(first, first + 11))


async def reverse(tx: Tx, source: Source, *, effective_at: datetime) -> bool:
    """Takes back the journal of an event as a whole, by its mirror. True if new, False if it was reversed before.

    Raises NotFound if there is no such journal, ReversalReversed, NotEnoughThere.
    """
    with refusals():
        done: bool | None = await tx.value(
            "select payments.reverse($1, $2, $3, $4, $5, $6)",
            tx.operator_id,
            new_id(),
            source.type,
            source.id,
            source.purpose,
            effective_at,
        )
    if done is None:
        raise NotFound()
    return done


async def reserve(tx: Tx, account: str, *, source: Source, amount_vnd: int, expires_at: datetime) -> UUID:
    """Sets money of an authorising account aside until it is posted, voided or expired. The id of the reservation.

    The same source again is the same reservation. Raises NotEnoughThere, PostedOtherwise.
    """
    with refusals():
        made: UUID = await tx.value(
            "select payments.reserve($1, $2, $3, $4, $5, $6, $7, $8)",
            tx.operator_id,
            new_id(),
            account,
            amount_vnd,
            source.type,
            source.id,
            source.purpose,
            expires_at,
        )
    return made


async def free_vnd(tx: Tx, account: str) -> int:
    """What an authorising account holds and has not promised, locked."""
    free: int = await tx.value(
        "select balance_vnd - reserved_vnd from payments.balance where operator_id = $1 and account = $2 for update",
        tx.operator_id,
        account,
    )
    return free


async def release_reserved(tx: Tx, reservation_id: UUID) -> bool:
    """Frees what was set aside: voided, or expired if its time is over. False if it had been released before.

    Raises ReservationEnded if it was posted.
    """
    with refusals():
        return bool(
            await tx.value("select payments.end_reservation($1, $2, 0)", tx.operator_id, reservation_id),
        )


async def closed_through(tx: Tx) -> date | None:
    """The last closed day; no day before it is open."""
    found: date | None = await tx.value(
        "select closed_through from payments.book where operator_id = $1", tx.operator_id
    )
    return found


async def balances(tx: Tx, day: date) -> list[AccountOfDay]:
    """The trial balance of a day: every account that moved on it or holds something at its end, by code."""
    rows = await tx.rows(
        "select account, kind, debits_vnd, credits_vnd, closing_vnd from payments.balances($1, $2) order by account",
        tx.operator_id,
        day,
    )
    return [AccountOfDay(**row) for row in rows]


@contextmanager
def refusals() -> Iterator[None]:
    """What the functions of ledger.sql refuse, by its name."""
    try:
        yield
    except asyncpg.CheckViolationError as error:
        if error.constraint_name in ("balance_not_overdrawn", "balance_reserved"):
            raise NotEnoughThere() from error
        raise
    except asyncpg.PostgresError as error:
        match error.sqlstate:
            case "MC409":
                raise PostedOtherwise(field=str(error)) from error
            case "MC410":
                raise ReservationEnded() from error
            case "MC411":
                raise ReservationExpired() from error
            case "MC412":
                raise ReversalReversed() from error
        raise
