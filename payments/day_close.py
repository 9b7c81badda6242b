"""The close of a day: a cut through the ledger that stands for ever, and what every account held there.

The closes of a day are numbered. Only the last closed day can be opened again, and only by two people (`book_request`);
its close has then ended and stays as history, and the one that follows is the one that counts.

A day closes on its proof of cash, which is looked at just before, while everything but postings is held off; if something
was booked in between, it is looked at again.

While a day is closed it takes no posting (`payments.journal` puts late facts on the open day), so its closing balances are
a snapshot from which any later balance is a short sum. Closing is one call that holds the operator's day lock alone: it
waits for postings on their way, and those that come meanwhile wait for it. It compares what it computed from the rows
with the guarded balances and closes nothing if they differ. (READ COMMITTED behind that lock sees what SERIALIZABLE
would, and sees the postings it waited for, which a snapshot taken before the wait would not.)
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import BigInteger
from sqlmodel import CheckConstraint, Field, ForeignKeyConstraint, SQLModel

from foundation import clock
from foundation.database import Database, Tx
from foundation.errors import Refusal
from foundation.tables import instant, keys, new_id, owner_key, recorded
from payments.proof_of_cash import prove_cash

WAITS = 20
"""So often it tries to get the lock, half a second each. Waiting longer at a time would make payments wait behind it."""


class Book(SQLModel, table=True):
    """Up to which day an operator's books are closed; without a row or a date, none is."""

    __tablename__ = "book"
    __table_args__ = {"schema": "payments"}
    operator_id: UUID = owner_key()
    closed_through: date | None = None


class DayClose(SQLModel, table=True):
    """A day that was closed: by whom, when, and how much had moved. `number`: 1, and one more after each reopening."""

    __tablename__ = "day_close"
    __table_args__ = (
        CheckConstraint("journals >= 0 and turnover_vnd >= 0 and number > 0", name="counts"),
        {"schema": "payments", "comment": "insert-only: a cut"},
    )
    operator_id: UUID = owner_key()
    day: date = Field(primary_key=True)
    number: int = Field(primary_key=True)
    journals: int = Field(sa_type=BigInteger)
    turnover_vnd: int = Field(sa_type=BigInteger)
    closed_by: UUID
    closed_at: datetime = instant()
    recorded_at: datetime = recorded()


class DayBalance(SQLModel, table=True):
    """An account in a close of a day: turnover, and debits − credits of all time at its end. No row: neither."""

    __tablename__ = "day_balance"
    __table_args__ = (
        ForeignKeyConstraint(
            keys("day", "number"),
            ["payments.day_close.operator_id", "payments.day_close.day", "payments.day_close.number"],
            name="day_balance_day_fkey",
        ),
        CheckConstraint("debits_vnd >= 0 and credits_vnd >= 0", name="turnover"),
        {"schema": "payments", "comment": "insert-only: a snapshot"},
    )
    operator_id: UUID = owner_key()
    day: date = Field(primary_key=True)
    number: int = Field(primary_key=True)
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
    """Something is being booked, matched or taken in just now; try to close the day again in a moment."""

    status = 503
    retry_after_s = 1


@dataclass(frozen=True, slots=True)
class Close:
    """One close of a day; the last four tell how it ended, if it did: who asked for that, who agreed, why, when."""

    number: int
    journals: int
    turnover_vnd: int
    closed_by: str
    closed_at: datetime
    asked_by: str | None
    agreed_by: str | None
    reason: str | None
    reopened_at: datetime | None


@dataclass(frozen=True, slots=True)
class ClosedDay:
    """A day that was closed at least once, with all its closes; `state`: closed, reopened (and open now) or locked."""

    day: date
    state: str
    closes: tuple[Close, ...]

    @property
    def last(self) -> Close:
        return self.closes[-1]


@dataclass(frozen=True, slots=True)
class Difference:
    """An account whose turnover or balance is another in a close than in the one before it, and by how much."""

    account: str
    debits_vnd: int
    credits_vnd: int
    closing_vnd: int


async def close_day(database: Database, operator_id: UUID, day: date, *, staff_id: UUID, now: datetime) -> bool:
    """Closes a day, with its trace. True if it is closed now, False if it was before.

    Raises DayNotOver, DayBeforeOpen, what the proof of cash finds (StatementAwaited, CashNotProven, ItemsUnnamed),
    BooksDiffer (and nothing is closed), BooksBusy.
    """
    if day >= clock.hanoi_day(now):
        raise DayNotOver()
    try:
        async with database.transaction(operator_id, isolation="repeatable read") as tx:
            await _look(tx, day)  # what is clear at once waits for nobody
        async with database.transaction(operator_id) as tx:
            # The day is looked at again while nobody takes in, matches or names anything: only postings can still move what
            # the proof says, and each of them is a journal more. So payments wait for the call that closes, not for the look.
            await tx.one_at_a_time("statement")
            await tx.one_at_a_time("matching")
            tx.step("day.closed")
            row = await _close(tx, day, staff_id, now)
    except (asyncpg.LockNotAvailableError, asyncpg.QueryCanceledError) as error:
        raise BooksBusy() from error
    if row["refusal"] == "day_before_open":
        raise DayBeforeOpen(day=row["next_day"] or "–")
    return bool(row["closed_now"])


async def _close(tx: Tx, day: date, staff_id: UUID, now: datetime) -> Any:
    """Looks and closes, again as long as the lock is not to be had or something was booked after the look."""
    journals = await _look(tx, day)
    for _ in range(WAITS):
        try:
            async with tx.savepoint():
                return await tx.row(
                    "select * from payments.close_day($1, $2, $3, $4, $5, $6)",
                    tx.operator_id,
                    day,
                    journals,
                    staff_id,
                    now,
                    new_id(),
                )
        except asyncpg.LockNotAvailableError:
            await asyncio.sleep(0.1)
        except asyncpg.PostgresError as error:
            if error.sqlstate == "MC413":
                raise BooksDiffer(account=str(error)) from error
            if error.sqlstate != "MC416":
                raise
            journals = await _look(tx, day)
    raise BooksBusy()


async def _look(tx: Tx, day: date) -> int:
    """Raises what hinders the close of the day, if it is the next one. How many journals it would close: counted before the
    look, so that the same number afterwards means that all of it still holds."""
    journals: int = await tx.value("select payments.journals_to_close($1, $2)", tx.operator_id, day)
    if day == await next_day(tx) and (hindrance := (await prove_cash(tx, day)).hindrance()):
        raise hindrance
    return journals


async def alone(database: Database, query: str, *args: object) -> Any:
    """One call of a function that holds the operator's day lock alone; its first row. Raises BooksBusy."""
    for _ in range(WAITS):
        try:
            return await database.hot(query, *args)
        except asyncpg.LockNotAvailableError:
            await asyncio.sleep(0.1)
        except asyncpg.QueryCanceledError as error:
            raise BooksBusy() from error
    raise BooksBusy()


async def next_day(tx: Tx) -> date | None:
    """The day that is to be closed next, whether it is over or not; None before anything moved."""
    found: date | None = await tx.value("select payments.next_day($1)", tx.operator_id)
    return found


async def closed_days(tx: Tx, *, most: int = 31, day: date | None = None) -> list[ClosedDay]:
    """The days that were closed, newest first, or one of them."""
    rows = await tx.rows(
        "with last as (select distinct day from payments.day_close"
        "   where operator_id = $1 and ($3::date is null or day = $3) order by day desc limit $2)"
        " select c.day, c.number, c.journals, c.turnover_vnd, s.name as closed_by, c.closed_at, a.name as asked_by,"
        "   b.name as agreed_by, r.reason, r.at as reopened_at,"
        "   case when m.month is not null then 'locked' when c.day <= k.closed_through then 'closed' else 'reopened' end"
        "     as state"
        " from last join payments.day_close c on c.operator_id = $1 and c.day = last.day"
        " join payments.book k on k.operator_id = $1"
        " join foundation.staff s on s.operator_id = $1 and s.id = c.closed_by"
        " left join payments.month_lock m on m.operator_id = $1 and m.month = date_trunc('month', c.day)::date"
        " left join payments.day_reopening r on r.operator_id = $1 and r.day = c.day and r.number = c.number"
        " left join foundation.staff a on a.operator_id = $1 and a.id = r.asked_by"
        " left join foundation.staff b on b.operator_id = $1 and b.id = r.agreed_by"
        " order by c.day desc, c.number",
        tx.operator_id,
        most,
        day,
    )
    found: dict[date, list[Any]] = defaultdict(list)
    for row in rows:
        found[row["day"]].append(row)
    return [
        ClosedDay(day, each[0]["state"], tuple(Close(*list(row.values())[1:-1]) for row in each))
        for day, each in found.items()
    ]


async def differences(tx: Tx, day: date, number: int) -> list[Difference]:
    """What a close of a day says otherwise than the one before it, by account."""
    rows = await tx.rows(
        "with said as (select account, sign * debits_vnd as debits_vnd, sign * credits_vnd as credits_vnd,"
        "     sign * closing_vnd as closing_vnd"
        "   from payments.day_balance join (values ($3::int, 1), ($3 - 1, -1)) as of (which, sign) on which = number"
        "   where operator_id = $1 and day = $2)"
        " select account, sum(debits_vnd)::bigint as debits_vnd, sum(credits_vnd)::bigint as credits_vnd,"
        "   sum(closing_vnd)::bigint as closing_vnd from said group by account"
        " having sum(debits_vnd) <> 0 or sum(credits_vnd) <> 0 or sum(closing_vnd) <> 0 order by account",
        tx.operator_id,
        day,
        number,
    )
    return [Difference(**row) for row in rows]
