"""A statement of the bank that was wrong is withdrawn: one person asks for it, another agrees, and it counts no more.

Only the newest one of an account, so that none behind it hangs in the air, and only while the days are open in whose books
it is. Then every match of its lines is booked back, what stood on the other side is open again, and the account ends where it
did before. Nothing is erased: the statement, its lines and who wanted it stay to be seen, and the true one is taken in as if
this one had never come. What came into the books by it alone stays there, because it may have paid for something: as an open
item that is on its way to no statement, so that no day is closed before a person has said what it was.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger
from sqlmodel import CheckConstraint, Field, ForeignKeyConstraint, SQLModel

from foundation import audit
from foundation.database import Database, Tx
from foundation.errors import Refusal
from foundation.seal import Sealer
from foundation.tables import instant, keys, new_id, owner_key, recorded
from payments import bank_statement, book_request, ledger, matching
from payments.bank_statement import LONGEST_S
from payments.book_request import BookRequestDecided, MonthLocked, NoSuchBookRequest, OwnBookRequest
from payments.claim import Books, Moved, post, remember, sums_of
from payments.held import reason_of
from payments.match_by_hand import ACCOUNTS


class StatementWithdrawal(SQLModel, table=True):
    """The end of a statement: who asked, who agreed and why; and what it was about: so many of its lines were matched, so much
    came into the books by it alone. `id` is of that moment: what came later has a later one. `back_to`: the day of the
    statement with which the account ends again.
    """

    __tablename__ = "statement_withdrawal"
    __table_args__ = (
        ForeignKeyConstraint(
            keys("statement_id"),
            ["payments.bank_statement.operator_id", "payments.bank_statement.id"],
            name="statement_withdrawal_statement_fkey",
        ),
        ForeignKeyConstraint(
            keys("request_id"),
            ["payments.book_request.operator_id", "payments.book_request.id"],
            name="statement_withdrawal_request_fkey",
        ),
        CheckConstraint("agreed_by <> asked_by and reason <> ''", name="second_person"),
        CheckConstraint("undone >= 0 and alone >= 0 and back_to <= day", name="counts"),
        {"schema": "payments", "comment": "insert-only: history"},
    )
    operator_id: UUID = owner_key()
    statement_id: UUID = Field(primary_key=True)
    id: UUID
    request_id: UUID
    bank_account: str
    day: date
    back_to: date | None = None
    asked_by: UUID
    agreed_by: UUID
    reason: str
    undone: int = Field(sa_type=BigInteger)
    undone_vnd: int = Field(sa_type=BigInteger)
    alone: int = Field(sa_type=BigInteger)
    alone_vnd: int = Field(sa_type=BigInteger)
    at: datetime = instant()
    recorded_at: datetime = recorded()


class StatementUncounted(Refusal):
    """This statement counts nowhere: there is nothing to withdraw."""


class StatementContinued(Refusal):
    """A later statement continues this one: withdraw that of {day} first."""


class StatementDayClosed(Refusal):
    """What this statement says is in the books of {day}, which are closed: open the day again first."""


async def ask(tx: Tx, statement_id: UUID, *, staff_id: UUID, reason: str, now: datetime) -> UUID:
    """Asks that a statement be withdrawn; nothing changes yet. The same person again: the same request.

    Raises NoSuchStatement, ReasonMissing, StatementUncounted, StatementContinued, StatementDayClosed, MonthLocked,
    BookRequestWaits.
    """
    reason = reason_of(reason)
    await tx.one_at_a_time("book request")
    said, _ = await _withdrawable(tx, statement_id, await ledger.closed_through(tx))
    return await book_request.ask(
        tx, "withdraw", said["day"], statement_id=statement_id, staff_id=staff_id, reason=reason, now=now
    )


async def agree(
    database: Database, sealer: Sealer, operator_id: UUID, request_id: UUID, *, staff_id: UUID, now: datetime
) -> bool:
    """A second person agrees, and the statement is withdrawn, with its trace; then what is open is matched anew. False if he
    had agreed before.

    Raises NoSuchBookRequest, BookRequestDecided, OwnBookRequest, StatementUncounted, StatementContinued,
    StatementDayClosed, MonthLocked.
    """
    async with database.transaction(operator_id) as tx:
        await tx.execute(f"set local statement_timeout = '{LONGEST_S}s'")
        # Meanwhile nothing is taken in behind it, and neither a run nor a person has one of its lines in hand.
        for what in ("statement", "matching"):
            await tx.one_at_a_time(what)
        asked = await tx.row(
            "select * from payments.book_request where operator_id = $1 and id = $2 and kind = 'withdraw' for update",
            tx.operator_id,
            request_id,
        )
        if asked is None:
            raise NoSuchBookRequest()
        if (asked["state"], asked["decided_by"]) == ("agreed", staff_id):
            return False
        if asked["state"] != "requested":
            raise BookRequestDecided()
        if asked["requested_by"] == staff_id:
            raise OwnBookRequest()
        books = await Books.of(tx)
        said, back_to = await _withdrawable(tx, asked["statement_id"], books.closed)
        await _withdraw(tx, said, back_to, asked, books, staff_id=staff_id, now=now)
    await matching.run(database, sealer, operator_id)
    return True


async def of(tx: Tx, statement_id: UUID) -> Any:
    """The withdrawal of a statement with who asked (`asker`) and who agreed (`agreer`), or None."""
    return await tx.row(
        "select w.*, a.name as asker, b.name as agreer from payments.statement_withdrawal w"
        " join foundation.staff a on a.operator_id = w.operator_id and a.id = w.asked_by"
        " join foundation.staff b on b.operator_id = w.operator_id and b.id = w.agreed_by"
        " where w.operator_id = $1 and w.statement_id = $2",
        tx.operator_id,
        statement_id,
    )


async def hindrance(tx: Tx, statement_id: UUID) -> Refusal | None:
    """Why a statement cannot be withdrawn now, or None."""
    try:
        await _withdrawable(tx, statement_id, await ledger.closed_through(tx))
    except Refusal as refusal:
        return refusal
    return None


async def _withdrawable(tx: Tx, statement_id: UUID, closed: date | None) -> tuple[Any, date | None]:
    """The statement, and the day of the one before it, with which the account would end again."""
    said = await bank_statement.find(tx, statement_id)
    chain = await tx.rows(
        "select id, day from payments.standing_statements($1) where bank_account = $2 and state = 'accepted'"
        " order by day desc, id desc limit 2",
        tx.operator_id,
        said["bank_account"],
    )
    if said["state"] != "accepted" or await of(tx, statement_id):
        raise StatementUncounted()
    if chain[0]["id"] != statement_id:
        raise StatementContinued(day=chain[0]["day"])
    # Every close whose proof of cash rests on it, and its matches, none of which is in the books of a day before its own.
    day: date | None = await tx.value(
        "select min(day) from ("
        " select c.effective_day as day from payments.claim c"
        " where $4::date <= $3::date and c.operator_id = $1 and c.statement_id = $2 and c.effective_day <= $3"
        " union all"
        " select k.day from payments.day_close k where k.operator_id = $1 and k.day between $4 and $3 and k.closed_at >= $5"
        "   and not exists (select from payments.day_reopening r"
        "     where r.operator_id = $1 and r.day = k.day and r.number = k.number)) book",
        tx.operator_id,
        statement_id,
        closed,
        said["first_day"] or said["day"],
        said["at"],
    )
    if day and await tx.value(
        "select true from payments.month_lock where operator_id = $1 and month = $2",
        tx.operator_id,
        book_request.first_of(day),
    ):
        raise MonthLocked(month=book_request.month_text(day))
    if day:
        raise StatementDayClosed(day=day)
    return said, chain[1]["day"] if len(chain) > 1 else None


async def _withdraw(
    tx: Tx, said: Any, back_to: date | None, asked: Any, books: Books, *, staff_id: UUID, now: datetime
) -> None:
    id, statement_id, reason = new_id(), said["id"], asked["reason"]
    undone, undone_vnd = await _undo_matches(tx, said, asked, books, agreed_by=staff_id, now=now)
    alone, alone_vnd = await _open_the_others(tx, statement_id, now)
    await _close_its_items(tx, statement_id, staff_id=staff_id, now=now)
    tx.step("statement.withdrawn")
    await tx.execute(
        "insert into payments.statement_withdrawal (operator_id, statement_id, id, request_id, bank_account, day, back_to,"
        " asked_by, agreed_by, reason, undone, undone_vnd, alone, alone_vnd, at)"
        " values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
        *(tx.operator_id, statement_id, id, asked["id"], said["bank_account"], said["day"], back_to),
        *(asked["requested_by"], staff_id, reason, undone, undone_vnd, alone, alone_vnd, now),
    )
    await tx.execute(
        "update payments.book_request set state = 'agreed', decided_by = $3, decided_at = $4"
        " where operator_id = $1 and id = $2",
        tx.operator_id,
        asked["id"],
        staff_id,
        now,
    )
    # The bank is asked for the day again at once.
    await tx.execute(
        "update payments.collection_account set statement_at = null where operator_id = $1 and bin || '/' || account = $2",
        tx.operator_id,
        said["bank_account"],
    )
    await audit.note(
        tx,
        staff_id,
        "withdraw.agreed",
        book_request.subject_of("withdraw", said["day"], statement_id),
        reason=reason,
        before={"requested_by": asked["requested_by"], "closing_vnd": said["closing_vnd"], "lines": said["lines"]},
        after={"undone": undone, "undone_vnd": undone_vnd, "alone": alone, "alone_vnd": alone_vnd},
        now=now,
    )


async def _undo_matches(
    tx: Tx, said: Any, asked: Any, books: Books, *, agreed_by: UUID, now: datetime
) -> tuple[int, int]:
    """Books back every match that one of its lines is in, as one act; how many lines that were, and their sum. Each match that
    a person made stands in its event, those of runs follow from the rows and are counted."""
    await tx.execute(
        "create temp table if not exists undone_claim (like payments.claim) on commit drop; truncate undone_claim"
    )
    await tx.connection.execute(
        "with gone as (delete from payments.claim c where c.operator_id = $1 and (c.statement_id = $2 or c.match_id in"
        "   (select match_id from payments.claim where operator_id = $1 and statement_id = $2 and match_id is not null))"
        "   returning *)"
        " insert into undone_claim select * from gone",
        *(tx.operator_id, said["id"]),
        timeout=LONGEST_S,
    )
    sums = await tx.rows(
        "select bank_account, effective_day, count(*)::bigint as lines, sum(line_vnd)::bigint as vnd from undone_claim"
        " where line_vnd <> 0 group by bank_account, effective_day, line_vnd > 0"
    )
    lines, sum_vnd = sum(row["lines"] for row in sums), sum(row["vnd"] for row in sums)
    by_people = await tx.rows(
        "select u.kind, u.movement_id, u.statement_id, u.position, u.event_id, u.line_vnd, u.moved_vnd, u.effective_day,"
        " e.facts ->> 'difference' as difference from undone_claim u"
        " join payments.matching_event e on e.operator_id = u.operator_id and e.id = u.event_id"
        " where e.act <> 'run' order by u.event_id, u.kind, u.movement_id"
    )
    if not lines and not by_people:
        return 0, 0
    differences: dict[tuple[str, date, bool], int] = defaultdict(int)
    for one in _whole(by_people):
        account, day, difference_vnd = one
        differences[account, day, difference_vnd > 0] += difference_vnd
    moved: list[Moved] = [(row["bank_account"], row["effective_day"], row["vnd"]) for row in sums]
    booked = sums_of(moved, back=True)
    for (account, day, _), vnd in sorted(differences.items()):
        booked += sums_of((), difference=(account, vnd, day), back=True)
    told = ("kind", "movement_id", "statement_id", "position", "event_id", "line_vnd", "moved_vnd")
    event_id = new_id()
    await remember(
        tx,
        event_id,
        "undone",
        now=now,
        staff_id=asked["requested_by"],
        agreed_by=agreed_by,
        reason=asked["reason"],
        lines=lines,
        sum_vnd=sum_vnd,
        facts={
            "withdrawn": str(said["id"]),
            "claims": [{name: str(row[name]) if row[name] is not None else None for name in told} for row in by_people],
        },
    )
    await post(tx, event_id, books, booked)
    return lines, sum_vnd


def _whole(claims: list[Any]) -> list[tuple[str, date, int]]:
    """Of matches that were written off: where the difference went, in which books, and lines less movements."""
    found: dict[UUID, tuple[str, date, int]] = {}
    for row in claims:
        if row["difference"]:
            _, day, vnd = found.get(row["event_id"], ("", row["effective_day"], 0))
            account = ACCOUNTS[row["difference"]]
            found[row["event_id"]] = (account, max(day, row["effective_day"]), vnd + row["line_vnd"] - row["moved_vnd"])
    return [each for each in found.values() if each[2]]


async def _open_the_others(tx: Tx, statement_id: UUID, now: datetime) -> tuple[int, int]:
    """What its lines were matched with is open again, under the ids that it had; how much of it came into the books by this
    statement alone: a receipt that no notice and no list told of, a debit that was made by the act that matched it."""
    await tx.connection.execute(
        "insert into payments.open_item (operator_id, id, side, statement_id, position, bank_account, bank_ref, amount_vnd,"
        " day, since) select $1, payments.line_item(l.statement_id, l.position), 'line', l.statement_id, l.position,"
        " l.bank_account, l.bank_ref, l.amount_vnd, l.day, $3 from undone_claim u"
        " join payments.statement_line l on l.operator_id = $1 and l.statement_id = u.statement_id and l.position = u.position"
        " where u.statement_id <> $2",
        *(tx.operator_id, statement_id, now),
        timeout=LONGEST_S,
    )
    opened = await tx.connection.fetchrow(
        "with opened as (insert into payments.open_item (operator_id, id, side, kind, movement_id, bank_account, bank_ref,"
        "   amount_vnd, day, since, told_by)"
        "  select $1, payments.movement_item(m.kind, m.id), 'movement', m.kind, m.id, m.bank_account, coalesce(m.bank_ref, ''),"
        "   m.amount_vnd, payments.day_in_books($1, m.kind, m.id, m.at), $3,"
        "   case when r.source = 'statement' or m.kind = 'debit' and m.id > u.event_id then $2::uuid end"
        "  from undone_claim u join payments.movements($1) m on m.kind = u.kind and m.id = u.movement_id"
        "  left join payments.receipt r on m.kind = 'receipt' and r.operator_id = $1 and r.id = m.id"
        "  returning amount_vnd, told_by)"
        " select count(*) as alone, coalesce(sum(amount_vnd), 0)::bigint as alone_vnd from opened where told_by is not null",
        *(tx.operator_id, statement_id, now),
        timeout=LONGEST_S,
    )
    return opened["alone"], opened["alone_vnd"]


async def _close_its_items(tx: Tx, statement_id: UUID, *, staff_id: UUID, now: datetime) -> None:
    """Its lines are work for nobody: neither their items, nor what was suggested or asked of them."""
    gone = [
        row["id"]
        for row in await tx.rows(
            "delete from payments.open_item where operator_id = $1 and statement_id = $2 returning id",
            tx.operator_id,
            statement_id,
        )
    ]
    await tx.execute(
        "with idle as (delete from payments.suggestion_item where operator_id = $1 and suggestion_id in"
        "   (select suggestion_id from payments.suggestion_item where operator_id = $1 and item_id = any($2))"
        "   returning suggestion_id)"
        " delete from payments.suggestion where operator_id = $1 and id in (select suggestion_id from idle)",
        tx.operator_id,
        gone,
    )
    await tx.execute(
        "update payments.matching_ask set decided_by = $3, decided_at = $4, agreed = false where operator_id = $1 and id in"
        " (select id from payments.matching_ask where operator_id = $1 and decided_at is null and items ?| $2::text[]"
        "   for update skip locked)",  # who is deciding on it just now finds its items gone
        tx.operator_id,
        [str(id) for id in gone],
        staff_id,
        now,
    )
