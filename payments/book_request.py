"""What one person asks of the books and another agrees to: that the last closed day is opened again, that a month is locked
for good, that the bank's last statement is withdrawn (`statement_withdrawal`).

Until somebody agrees nothing changes. A reopening ends a close and takes nothing of it away: the close and its balances
stay, and who asked, who agreed and why stands beside them. No day of a locked month is ever opened again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from sqlmodel import CheckConstraint, Field, ForeignKeyConstraint, Index, SQLModel, text

from foundation import audit
from foundation.database import Database, Tx
from foundation.errors import NotFound, Refusal
from foundation.tables import instant, keys, new_id, owner_key, recorded
from payments import day_close
from payments.held import reason_of

Kind = Literal["reopen", "lock", "withdraw"]


class BookRequest(SQLModel, table=True):
    """Somebody asks that close `number` of a day be ended, that the month which begins on `day` be locked, or that a statement
    of the bank, of that day, be withdrawn.

    One of a kind at a time waits per day, or per statement. Refused by another person, withdrawn by whoever asked.
    """

    __tablename__ = "book_request"
    __table_args__ = (
        ForeignKeyConstraint(
            keys("day", "number"),
            ["payments.day_close.operator_id", "payments.day_close.day", "payments.day_close.number"],
            name="book_request_close_fkey",
        ),
        ForeignKeyConstraint(
            keys("statement_id"),
            ["payments.bank_statement.operator_id", "payments.bank_statement.id"],
            name="book_request_statement_fkey",
        ),
        ForeignKeyConstraint(
            keys("requested_by"),
            ["foundation.staff.operator_id", "foundation.staff.id"],
            name="book_request_requested_fkey",
        ),
        ForeignKeyConstraint(
            keys("decided_by"),
            ["foundation.staff.operator_id", "foundation.staff.id"],
            name="book_request_decided_fkey",
        ),
        CheckConstraint("kind in ('reopen', 'lock', 'withdraw')", name="kind"),
        CheckConstraint("(kind = 'reopen') = (number is not null) and (kind = 'lock' or reason <> '')", name="close"),
        CheckConstraint("(kind = 'withdraw') = (statement_id is not null)", name="statement"),
        CheckConstraint("kind <> 'lock' or extract(day from day) = 1", name="month"),
        CheckConstraint("state in ('requested', 'agreed', 'refused', 'withdrawn')", name="state"),
        CheckConstraint(
            "num_nulls(decided_by, decided_at) = case state when 'requested' then 2 else 0 end", name="decided"
        ),
        CheckConstraint("(decided_by = requested_by) = (state = 'withdrawn')", name="second_person"),
        Index(
            "book_request_open_key",
            *keys("kind", "day", "statement_id"),
            unique=True,
            postgresql_where=text("state = 'requested'"),
            postgresql_nulls_not_distinct=True,
        ),
        {"schema": "payments"},
    )
    operator_id: UUID = owner_key()
    id: UUID = Field(primary_key=True)
    kind: str
    day: date
    number: int | None = None
    statement_id: UUID | None = None
    reason: str
    state: str = "requested"
    requested_by: UUID
    requested_at: datetime = instant()
    decided_by: UUID | None = None
    decided_at: datetime | None = instant(default=None)
    why: str | None = None


class DayReopening(SQLModel, table=True):
    """The end of a close: from `recorded_at` on its day takes postings again, until it is closed once more."""

    __tablename__ = "day_reopening"
    __table_args__ = (
        ForeignKeyConstraint(
            keys("day", "number"),
            ["payments.day_close.operator_id", "payments.day_close.day", "payments.day_close.number"],
            name="day_reopening_close_fkey",
        ),
        ForeignKeyConstraint(
            keys("request_id"),
            ["payments.book_request.operator_id", "payments.book_request.id"],
            name="day_reopening_request_fkey",
        ),
        CheckConstraint("agreed_by <> asked_by", name="second_person"),
        {"schema": "payments", "comment": "insert-only: history"},
    )
    operator_id: UUID = owner_key()
    day: date = Field(primary_key=True)
    number: int = Field(primary_key=True)
    request_id: UUID
    asked_by: UUID
    agreed_by: UUID
    reason: str
    at: datetime = instant()
    recorded_at: datetime = recorded()


class MonthLock(SQLModel, table=True):
    """A month none of whose days is ever opened again. `month` is its first day."""

    __tablename__ = "month_lock"
    __table_args__ = (
        ForeignKeyConstraint(
            keys("request_id"),
            ["payments.book_request.operator_id", "payments.book_request.id"],
            name="month_lock_request_fkey",
        ),
        CheckConstraint("agreed_by <> asked_by", name="second_person"),
        CheckConstraint("extract(day from month) = 1", name="month"),
        {"schema": "payments", "comment": "insert-only: a lock without a key"},
    )
    operator_id: UUID = owner_key()
    month: date = Field(primary_key=True)
    request_id: UUID
    asked_by: UUID
    agreed_by: UUID
    at: datetime = instant()
    recorded_at: datetime = recorded()


class NotLastClosed(Refusal):
    """Only the day closed last can be opened again: {day}."""


class MonthLocked(Refusal):
    """{month} is locked: none of its days is ever opened again."""


class MonthNotClosed(Refusal):
    """Not every day of {month} is closed."""


class MonthBeforeUnlocked(Refusal):
    """Lock the months in order: the next is {month}."""


class BookRequestWaits(Refusal):
    """Somebody asked for this before; it waits for another person."""

    constraint = "book_request_open_key"


class OwnBookRequest(Refusal):
    """You asked for this yourself; another person has to agree to it."""

    status = 403


class BookRequestDecided(Refusal):
    """This was decided before."""


class NoSuchBookRequest(NotFound):
    """Nobody has asked for that."""


@dataclass(frozen=True, slots=True)
class Month:
    """A month of the books; `state`: open, closed (every day of it), locked, and then at whose request, by whom, when."""

    month: date
    state: str
    asked_by: str | None
    agreed_by: str | None
    at: datetime | None


async def ask_to_reopen(tx: Tx, day: date, *, staff_id: UUID, reason: str, now: datetime) -> UUID:
    """Asks that the day closed last be opened again. The same person again: the same request.

    Raises ReasonMissing, MonthLocked, NotLastClosed, BookRequestWaits.
    """
    reason = reason_of(reason)
    closed = await _lock_book(tx)
    if await tx.value(
        "select true from payments.month_lock where operator_id = $1 and month = $2", tx.operator_id, first_of(day)
    ):
        raise MonthLocked(month=month_text(day))
    if closed is None or day != closed:
        raise NotLastClosed(day=closed or "–")
    number: int = await tx.value(
        "select max(number) from payments.day_close where operator_id = $1 and day = $2", tx.operator_id, day
    )
    return await ask(tx, "reopen", day, number=number, staff_id=staff_id, reason=reason, now=now)


async def propose_lock(tx: Tx, month: date, *, staff_id: UUID, now: datetime) -> UUID:
    """Proposes to lock a month. The same person again: the same proposal.

    Raises MonthLocked, MonthBeforeUnlocked, MonthNotClosed, BookRequestWaits.
    """
    month = first_of(month)
    closed = await _lock_book(tx)
    following: date | None = await tx.value("select payments.next_month($1)", tx.operator_id)
    if following is not None and month < following:
        raise MonthLocked(month=month_text(month))
    if following is not None and month > following:
        raise MonthBeforeUnlocked(month=month_text(following))
    if closed is None or first_of(closed + timedelta(days=1)) <= month:
        raise MonthNotClosed(month=month_text(month))
    return await ask(tx, "lock", month, staff_id=staff_id, reason="", now=now)


async def agree(database: Database, operator_id: UUID, id: UUID, *, staff_id: UUID, now: datetime) -> bool:
    """A second person agrees, and it is done, with its trace. False if he had agreed before.

    Raises NoSuchBookRequest, OwnBookRequest, BookRequestDecided, NotLastClosed, MonthLocked, MonthNotClosed,
    MonthBeforeUnlocked, BooksBusy.
    """
    row = await day_close.alone(
        database,
        "select * from payments.agree_to_request($1, $2, $3, $4, $5)",
        operator_id,
        id,
        staff_id,
        now,
        new_id(),
    )
    day: date | None = row["about"]
    match row["refusal"]:
        case "no_such_book_request":
            raise NoSuchBookRequest()
        case "own_book_request":
            raise OwnBookRequest()
        case "book_request_decided":
            raise BookRequestDecided()
        case "not_last_closed":
            raise NotLastClosed(day=day or "–")
        case "month_locked":
            raise MonthLocked(month=month_text(day))
        case "month_before_unlocked":
            raise MonthBeforeUnlocked(month=month_text(day))
        case "month_not_closed":
            raise MonthNotClosed(month=month_text(day))
    return bool(row["agreed_now"])


async def refuse(tx: Tx, id: UUID, *, staff_id: UUID, reason: str, now: datetime) -> bool:
    """Another person refuses, and says why, or whoever asked withdraws it. False if he had done so before.

    Raises NoSuchBookRequest, ReasonMissing, BookRequestDecided.
    """
    asked = await tx.row(
        "select kind, day, statement_id, state, requested_by, decided_by from payments.book_request"
        " where operator_id = $1 and id = $2 for update",
        tx.operator_id,
        id,
    )
    if asked is None:
        raise NoSuchBookRequest()
    state = "withdrawn" if asked["requested_by"] == staff_id else "refused"
    if (asked["state"], asked["decided_by"]) == (state, staff_id):
        return False
    if asked["state"] != "requested":
        raise BookRequestDecided()
    why = reason.strip() if state == "withdrawn" else reason_of(reason)
    await tx.execute(
        "update payments.book_request set state = $3, decided_by = $4, decided_at = $5, why = $6"
        " where operator_id = $1 and id = $2",
        tx.operator_id,
        id,
        state,
        staff_id,
        now,
        why or None,
    )
    subject = subject_of(asked["kind"], asked["day"], asked["statement_id"])
    await audit.note(tx, staff_id, f"{asked['kind']}.{state}", subject, reason=why, now=now)
    return True


async def waiting(tx: Tx) -> list[Any]:
    """What waits for a second person, oldest first: id, kind, day, number, reason, requested_by, requester, requested_at; of a
    statement statement_id and bank_account."""
    return await tx.rows(
        "select q.id, q.kind, q.day, q.number, q.reason, q.requested_by, q.requested_at, s.name as requester,"
        " q.statement_id, b.bank_account from payments.book_request q"
        " join foundation.staff s on s.operator_id = q.operator_id and s.id = q.requested_by"
        " left join payments.bank_statement b on b.operator_id = q.operator_id and b.id = q.statement_id"
        " where q.operator_id = $1 and q.state = 'requested' order by q.requested_at, q.id",
        tx.operator_id,
    )


async def reopened(tx: Tx) -> list[Any]:
    """Days that were opened again and are open still, oldest first: day, number, reason, at, asker, agreer."""
    return await tx.rows(
        "select r.day, r.number, r.reason, r.at, a.name as asker, b.name as agreer from payments.day_reopening r"
        " join payments.book k on k.operator_id = r.operator_id and r.day > coalesce(k.closed_through, '-infinity')"
        " join foundation.staff a on a.operator_id = r.operator_id and a.id = r.asked_by"
        " join foundation.staff b on b.operator_id = r.operator_id and b.id = r.agreed_by"
        " where r.operator_id = $1 and r.number = (select max(c.number) from payments.day_close c"
        "   where c.operator_id = r.operator_id and c.day = r.day) order by r.day",
        tx.operator_id,
    )


async def months(tx: Tx, *, until: date, most: int = 13) -> list[Month]:
    """The months from the first close to a day's, newest first."""
    rows = await tx.rows(
        "select m.month::date as month, case when l.month is not null then 'locked'"
        "   when b.closed_through >= m.month + interval '1 month' - interval '1 day' then 'closed' else 'open' end as state,"
        "   a.name as asked_by, g.name as agreed_by, l.at"
        " from (select date_trunc('month', min(day)) as first from payments.day_close where operator_id = $1) f"
        " cross join lateral generate_series(f.first, date_trunc('month', $2::date), interval '1 month') as m (month)"
        " join payments.book b on b.operator_id = $1"
        " left join payments.month_lock l on l.operator_id = $1 and l.month = m.month::date"
        " left join foundation.staff a on a.operator_id = $1 and a.id = l.asked_by"
        " left join foundation.staff g on g.operator_id = $1 and g.id = l.agreed_by"
        " order by m.month desc limit $3",
        tx.operator_id,
        until,
        most,
    )
    return [Month(**row) for row in rows]


def first_of(day: date) -> date:
    """The month of a day, as its first day."""
    return day.replace(day=1)


def month_text(month: date | None) -> str:
    """11/2026, as both languages write it."""
    return "–" if month is None else f"{month:%m/%Y}"


def subject_of(kind: Kind, day: date, statement_id: UUID | None) -> str:
    """What the trail calls it."""
    if statement_id:
        return f"statement {statement_id}"
    return f"day {day}" if kind == "reopen" else f"month {month_text(day)}"


async def _lock_book(tx: Tx) -> date | None:
    """The last closed day, which stays it until this transaction ends."""
    found: date | None = await tx.value(
        "select closed_through from payments.book where operator_id = $1 for update", tx.operator_id
    )
    return found


async def ask(
    tx: Tx,
    kind: Kind,
    day: date,
    *,
    number: int | None = None,
    statement_id: UUID | None = None,
    staff_id: UUID,
    reason: str,
    now: datetime,
) -> UUID:
    """Writes down what somebody asks for. The same person again: the same request. Raises BookRequestWaits."""
    before = await tx.row(
        "select id, requested_by from payments.book_request where operator_id = $1 and kind = $2 and day = $3"
        " and statement_id is not distinct from $4 and state = 'requested'",
        *(tx.operator_id, kind, day, statement_id),
    )
    if before is not None:
        if before["requested_by"] != staff_id:
            raise BookRequestWaits()
        return UUID(str(before["id"]))
    id = new_id()
    await tx.execute(
        "insert into payments.book_request (operator_id, id, kind, day, number, statement_id, reason, state, requested_by,"
        " requested_at) values ($1, $2, $3, $4, $5, $6, $7, 'requested', $8, $9)",
        tx.operator_id,
        id,
        kind,
        day,
        number,
        statement_id,
        reason,
        staff_id,
        now,
    )
    await audit.note(tx, staff_id, f"{kind}.requested", subject_of(kind, day, statement_id), reason=reason, now=now)
    return id
