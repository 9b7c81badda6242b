"""The close of a day: a cut through the ledger that stands for ever, and what every account held there.

From then on the day takes no posting (`payments.journal` puts late facts on the open day), so its closing balances are a
snapshot from which any later balance is a short sum. Closing is one call that holds the operator's day lock alone: it
waits for postings on their way, and those that come meanwhile wait for it. It compares what it computed from the rows
with the guarded balances and closes nothing if they differ. (READ COMMITTED behind that lock sees what SERIALIZABLE
would, and sees the postings it waited for, which a snapshot taken before the wait would not.)
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

import asyncpg
from sqlalchemy import BigInteger
from sqlmodel import CheckConstraint, Field, ForeignKeyConstraint, SQLModel

from foundation.database import Database, Tx
from foundation.errors import Refusal
from foundation.tables import instant, keys, new_id, owner_key, recorded

WAITS = 20
"""So often it tries to get the lock, half a second each. Waiting longer at a time would make payments wait behind it."""


class Book(SQLModel, table=True):
    """Up to which day an operator's books are closed; without a row, none is."""

    __tablename__ = "book"
    __table_args__ = {"schema": "payments"}
    operator_id: UUID = owner_key()
    closed_through: date


class DayClose(SQLModel, table=True):
    """A day that was closed: by whom, when, and how much had moved."""

    __tablename__ = "day_close"
    __table_args__ = (
        CheckConstraint("journals >= 0 and turnover_vnd >= 0", name="counts"),
        {"schema": "payments", "comment": "insert-only: a cut"},
    )
    operator_id: UUID = owner_key()
    day: date = Field(primary_key=True)
    journals: int = Field(sa_type=BigInteger)
    turnover_vnd: int = Field(sa_type=BigInteger)
    closed_by: UUID
    closed_at: datetime = instant()
    recorded_at: datetime = recorded()


class DayBalance(SQLModel, table=True):
    """An account in a closed day: turnover, and debits − credits of all time at its end. No row: neither."""

    __tablename__ = "day_balance"
    __table_args__ = (
        ForeignKeyConstraint(
            keys("day"), ["payments.day_close.operator_id", "payments.day_close.day"], name="day_balance_day_fkey"
        ),
        CheckConstraint("debits_vnd >= 0 and credits_vnd >= 0", name="turnover"),
        {"schema": "payments", "comment": "insert-only: a snapshot"},
    )
    operator_id: UUID = owner_key()
    day: date = Field(primary_key=True)
    account: str = Field(primary_key=True)
    debits_vnd: int = Field(sa_type=BigInteger)
    credits_vnd: int = Field(sa_type=BigInteger)
    closing_vnd: int = Field(sa_type=BigInteger)


class DayNotOver(Refusal):
    """A day can be closed once it is over."""


class DayBeforeOpen(Refusal):
    """Close the days in order: the next is {day}."""


class BooksDiffer(Refusal):
    """The day cannot be closed: {account} does not hold what its entries say."""


class BooksBusy(Refusal):
    """Payments are being booked all the time; try to close the day again in a moment."""

    status = 503
    retry_after_s = 1


@dataclass(frozen=True, slots=True)
class ClosedDay:
    """A closed day as pages show it."""

    day: date
    journals: int
    turnover_vnd: int
    closed_by: str
    closed_at: datetime


async def close_day(database: Database, operator_id: UUID, day: date, *, staff_id: UUID, now: datetime) -> bool:
    """Closes a day, with its trace. True if it is closed now, False if it was before.

    Raises DayNotOver, DayBeforeOpen, BooksDiffer (and nothing is closed), BooksBusy.
    """
    for _ in range(WAITS):
        try:
            row = await database.hot(
                "select * from payments.close_day($1, $2, $3, $4, $5)", operator_id, day, staff_id, now, new_id()
            )
        except asyncpg.LockNotAvailableError:
            await asyncio.sleep(0.1)
            continue
        except asyncpg.QueryCanceledError as error:
            raise BooksBusy() from error
        except asyncpg.PostgresError as error:
            if error.sqlstate == "MC413":
                raise BooksDiffer(account=str(error)) from error
            raise
        match row["refusal"]:
            case "day_not_over":
                raise DayNotOver()
            case "day_before_open":
                raise DayBeforeOpen(day=row["next_day"] or "–")
        return bool(row["closed_now"])
    raise BooksBusy()


async def next_day(tx: Tx) -> date | None:
    """The day that is to be closed next, whether it is over or not; None before anything moved."""
    found: date | None = await tx.value("select payments.next_day($1)", tx.operator_id)
    return found


async def closed_days(tx: Tx, *, most: int = 31) -> list[ClosedDay]:
    """The days closed last, newest first."""
    rows = await tx.rows(
        "select c.day, c.journals, c.turnover_vnd, s.name as closed_by, c.closed_at from payments.day_close c"
        " join foundation.staff s on s.operator_id = c.operator_id and s.id = c.closed_by"
        " where c.operator_id = $1 order by c.day desc limit $2",
        tx.operator_id,
        most,
    )
    return [ClosedDay(**row) for row in rows]
