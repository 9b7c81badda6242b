"""The proof of cash of a day: what the bank says, what the books say, and every item that stands between them, by name.

Closing balances of the day's statements, less what stood there before the first of them, less lines that are not in the books,
plus what is in the books and on no statement yet, plus what is with another gateway: that is what the accounts for the
money at the bank must hold. Both sides are counted from rows of their own, so a difference means that one of them is wrong.
A day may be closed at a difference of 0, and when every item of it has a name (money.md R43).

The bank says how a day ended by its statement; of a statement over several days it says the end of the last. How the others
ended follows from its lines, which are all that moved: `derived_from` says that it does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from foundation.database import Tx
from foundation.errors import Refusal
from payments import ledger
from payments.matching import seen_before
from payments.postings import BANK

OVERDUE_DAYS = 2
"""So long what is in the books may be on its way to a statement; then somebody has to say what is the matter with it."""
NEXT_STATEMENT_DAYS = 4
"""So long "it will be on the next statement" is a name; then it did not come."""


class StatementAwaited(Refusal):
    """The bank's statement of {day} for account {account} is not here yet."""


class CashNotProven(Refusal):
    """The bank and the books differ by {difference_vnd} đồng that nobody has explained: find the reason first."""


class ItemsUnnamed(Refusal):
    """{count} items of {day} have no name: match them, or say why they stay open."""


@dataclass(frozen=True, slots=True)
class AtTheBank:
    """One account at the bank: its newest statement up to the day, and what stood there before the first. `derived_from`: the
    last day of the statement from whose lines it follows what the bank would have said of this one.
    """

    bank_account: str
    statement_id: UUID | None
    day: date | None
    derived_from: date | None
    opening_vnd: int
    credits_vnd: int
    debits_vnd: int
    closing_vnd: int
    before_vnd: int
    lines_vnd: int
    """Its lines that are not in our books."""
    books_vnd: int
    """What the ledger holds of it by its matched lines."""

    @property
    def difference_vnd(self) -> int:
        return self.books_vnd - (self.closing_vnd - self.before_vnd - self.lines_vnd)


@dataclass(frozen=True, slots=True)
class Between:
    """Items on one side only: how many, their sum, and how many of them nobody has named."""

    count: int
    sum_vnd: int
    unnamed: int


@dataclass(frozen=True, slots=True)
class CashProof:
    """The proof of one operator and day. `elsewhere_vnd`: with other gateways; `books_vnd`: what the ledger holds."""

    day: date
    accounts: Sequence[AtTheBank]
    lines: Between
    movements: Between
    elsewhere_vnd: int
    books_vnd: int

    @property
    def closing_vnd(self) -> int:
        return sum(account.closing_vnd for account in self.accounts)

    @property
    def before_vnd(self) -> int:
        return sum(account.before_vnd for account in self.accounts)

    @property
    def should_vnd(self) -> int:
        """What the books should hold by the bank's word and the items between."""
        return self.closing_vnd - self.before_vnd - self.lines.sum_vnd + self.movements.sum_vnd + self.elsewhere_vnd

    @property
    def difference_vnd(self) -> int:
        """A surplus is as red as a deficit."""
        return self.books_vnd - self.should_vnd

    @property
    def awaited(self) -> Sequence[AtTheBank]:
        """Accounts whose statement of the day is not here."""
        return [account for account in self.accounts if account.day != self.day]

    @property
    def unnamed(self) -> int:
        return self.lines.unnamed + self.movements.unnamed

    @property
    def holds(self) -> bool:
        return not self.awaited and self.unexplained_vnd == 0

    @property
    def unexplained_vnd(self) -> int:
        """The difference; or where accounts only make up for each other, what one of them differs by."""
        return self.difference_vnd or next(
            (account.difference_vnd for account in self.accounts if account.difference_vnd), 0
        )

    def hindrance(self) -> Refusal | None:
        """Why the day cannot be closed, or None."""
        if self.awaited:
            return StatementAwaited(day=self.day, account=self.awaited[0].bank_account)
        if self.unexplained_vnd:
            return CashNotProven(difference_vnd=self.unexplained_vnd)
        return ItemsUnnamed(count=self.unnamed, day=self.day) if self.unnamed else None


# Open still, or matched in the books of a later day: a line always has to be named, and what only a withdrawn statement told
# of; what else is in the books may be on its way for a while, and so long may be said of it that it comes next. $1 operator,
# $2 day, $3 what the last run has seen, $6 and $7 up to where the books are closed, and whether ever a day was opened again.
_BETWEEN = (
    "select item.*, coalesce(name, 'next_statement') = 'next_statement'"
    "   and (name is null and (side = 'line' or told_by is not null)"
    "     or $2 - day >= case when name is null then $4::int else $5::int end) as unnamed from ("
    "select id, side, statement_id, position, kind, movement_id, bank_account, bank_ref, amount_vnd, day, name, note, told_by"
    " from payments.open_item where operator_id = $1 and day <= $2"
    " union all"
    " select null, 'line', c.statement_id, c.position, null, null, c.bank_account, l.bank_ref, c.line_vnd, l.day,"
    # Claims of later days are found before their lines are looked up: they are few, and the day's lines a million.
    "   'matched_later', '', null from (select * from payments.claim where operator_id = $1 and effective_day > $2 offset 0) c"
    " join payments.statement_line l on l.operator_id = c.operator_id and l.statement_id = c.statement_id"
    "   and l.position = c.position where l.day <= $2"
    " union all"
    " select null, 'movement', null, null, m.kind, m.id, m.bank_account, m.bank_ref, m.amount_vnd, b.day,"
    "   'matched_later', '', null from payments.claim c"
    " join payments.movements($1) m on m.kind = c.kind and m.id = c.movement_id"
    " cross join lateral (select payments.day_in_open_books($1, m.kind, m.id, m.at, $6, $7) as day) b"
    " where c.operator_id = $1 and c.effective_day > $2 and b.day <= $2"
    " union all"
    " select null, 'movement', null, null, m.kind, m.id, m.bank_account, m.bank_ref, m.amount_vnd, b.day, null, '', null"
    " from (select * from payments.movements($1) m"
    "   where (m.kind <> 'receipt' or m.id >= $3) and foundation.hanoi_day(m.at) <= $2"
    "     and not exists (select from payments.claim c"
    "       where c.operator_id = $1 and c.kind = m.kind and c.movement_id = m.id)"
    "     and not exists (select from payments.open_item o"
    "       where o.operator_id = $1 and o.kind = m.kind and o.movement_id = m.id)"
    "   offset 0) m"  # the day in the books is looked up for those few only
    " cross join lateral (select payments.day_in_open_books($1, m.kind, m.id, m.at, $6, $7) as day) b where b.day <= $2"
    ") item"
)


async def prove_cash(tx: Tx, day: date) -> CashProof:
    """The proof of a day, from one snapshot."""
    accounts = await tx.rows(
        "select a.bin || '/' || a.account as bank_account, coalesce(n.id, s.id) as statement_id,"
        " case when n.id is null then s.day else $2 end as day, n.day as derived_from,"
        " coalesce(n.opening_vnd, s.opening_vnd, 0) as opening_vnd, coalesce(n.credits_vnd, s.credits_vnd, 0) as credits_vnd,"
        " coalesce(n.debits_vnd, s.debits_vnd, 0) as debits_vnd,"
        " coalesce(n.opening_vnd + n.credits_vnd - n.debits_vnd, s.closing_vnd, 0) as closing_vnd,"
        " coalesce(f.opening_vnd, n.first_vnd, 0) as before_vnd"
        " from payments.collection_account a"
        " left join lateral (select * from payments.standing_statements($1) where state = 'accepted'"
        "   and bank_account = a.bin || '/' || a.account and day <= $2 order by day desc, id desc limit 1) s on true"
        " left join lateral (select opening_vnd from payments.standing_statements($1) where state = 'accepted'"
        "   and bank_account = a.bin || '/' || a.account and day <= $2 order by day, id limit 1) f on true"
        # The statement that the day lies within, as if it were one of that day alone.
        " left join lateral (select o.id, o.day, o.opening_vnd as first_vnd,"
        "     coalesce(s.closing_vnd, o.opening_vnd) + l.before_vnd as opening_vnd, l.credits_vnd, l.debits_vnd"
        "   from (select * from payments.standing_statements($1) where state = 'accepted'"
        "     and bank_account = a.bin || '/' || a.account and day > $2 and first_day <= $2 order by day, id limit 1) o"
        "   cross join lateral (select coalesce(sum(amount_vnd) filter (where day < $2), 0)::bigint as before_vnd,"
        "     coalesce(sum(amount_vnd) filter (where day = $2 and amount_vnd > 0), 0)::bigint as credits_vnd,"
        "     coalesce(-sum(amount_vnd) filter (where day = $2 and amount_vnd < 0), 0)::bigint as debits_vnd"
        "     from payments.statement_line where operator_id = $1 and statement_id = o.id and day <= $2) l"
        "   where s.day is distinct from $2) n on true"
        " where a.operator_id = $1 and (s.id is not null or n.id is not null or exists (select from payments.movements($1) m"
        "   where m.bank_account = a.bin || '/' || a.account and foundation.hanoi_day(m.at) <= $2))"
        " order by 1",
        tx.operator_id,
        day,
    )
    between = await tx.rows(
        "select side, bank_account, count(*) as count, sum(amount_vnd)::bigint as sum_vnd,"
        f" count(*) filter (where unnamed) as unnamed from ({_BETWEEN}) item group by side, bank_account",
        *await _of(tx, day),
    )
    lines, movements = (
        Between(*(sum(row[name] for row in between if row["side"] == side) for name in ("count", "sum_vnd", "unnamed")))
        for side in ("line", "movement")
    )
    of_account = {row["bank_account"]: row["sum_vnd"] for row in between if row["side"] == "line"}
    held = {
        each.account: each.closing_vnd
        for each in await ledger.balances(tx, day)
        if each.account == "gw_receivable" or each.account.startswith("bank:")
    }
    elsewhere_vnd: int = await tx.value(
        "select (select coalesce(sum(r.amount_vnd), 0) from payments.receipt r"
        "   join payments.journal j on j.operator_id = r.operator_id and j.source_type = 'receipt'"
        "     and j.source_id = r.id::text and j.purpose = 'seen'"
        "   where r.operator_id = $1 and r.gateway <> 'bank' and j.effective_day <= $2)::bigint"
        " + (select coalesce(sum(case when f.state = 'returned'"
        "     and payments.day_in_books($1, 'refund_return', f.id, f.ended_at) <= $2 then 0 else -f.amount_vnd end), 0)"
        "   from payments.refund f"
        "   join payments.receipt r on r.operator_id = f.operator_id and r.id = f.receipt_id and r.gateway <> 'bank'"
        "   where f.operator_id = $1 and f.state in ('accepted', 'settled', 'returned')"
        "     and payments.day_in_books($1, 'refund', f.id, f.accepted_at) <= $2)::bigint",
        tx.operator_id,
        day,
    )
    at_the_bank = [
        AtTheBank(
            **row,
            lines_vnd=of_account.get(row["bank_account"], 0),
            books_vnd=held.get(BANK.format(account=row["bank_account"]), 0),
        )
        for row in accounts
    ]
    return CashProof(day, at_the_bank, lines, movements, elsewhere_vnd, sum(held.values()))


async def items_between(tx: Tx, day: date, *, most: int) -> list[Any]:
    """What stood on one side only at the end of a day, oldest first. What came into the books since the last run has no id here
    yet."""
    return await tx.rows(f"{_BETWEEN} order by day, side, bank_ref, amount_vnd limit $8", *await _of(tx, day), most)


async def _of(tx: Tx, day: date) -> tuple[object, ...]:
    """What `_BETWEEN` is asked with."""
    closed = await ledger.closed_through(tx) or date.min
    reopened = await tx.value(
        "select exists (select from payments.day_reopening where operator_id = $1)", tx.operator_id
    )
    return tx.operator_id, day, await seen_before(tx), OVERDUE_DAYS, NEXT_STATEMENT_DAYS, closed, reopened
