"""A claim holds a line of the bank's statement and a movement of the books for each other: each at most once, whoever comes
first. What nothing claims is an open item.

Whatever is claimed is booked from what is on its way (`gw_receivable`) to what the bank says (`bank:<account>`), by the run
(`matching`) per account, day and direction, or by the act of a person (`match_by_hand`); the events are their history.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any, Literal, NamedTuple
from uuid import UUID

from sqlalchemy import BigInteger
from sqlmodel import CheckConstraint, Field, ForeignKeyConstraint, Index, SQLModel, UniqueConstraint, text

from foundation import clock
from foundation.database import Database, Tx
from foundation.errors import Refusal
from foundation.money import TRANSFER_MAX_VND
from foundation.seal import Sealer
from foundation.tables import document, instant, keys, new_id, octets, owner_key
from payments import bank_statement, debit, ledger
from payments.gateway import Gone
from payments.ledger import Source
from payments.postings import Template
from payments.receipt import Credit, receive
from payments.reconciliation import Side

Act = Literal["run", "accepted", "matched", "written_off", "booked", "named", "undone"]
Difference = Literal["fee", "rounding", "shortage", "interest"]


class MatchingEvent(SQLModel, table=True):
    """What was done, by whom (nobody: a run), to how many lines and which sum of theirs. `digest`: of what a run decided."""

    __tablename__ = "matching_event"
    __table_args__ = (
        ForeignKeyConstraint(
            keys("staff_id"), ["foundation.staff.operator_id", "foundation.staff.id"], name="matching_event_staff_fkey"
        ),
        ForeignKeyConstraint(
            keys("agreed_by"),
            ["foundation.staff.operator_id", "foundation.staff.id"],
            name="matching_event_agreed_fkey",
        ),
        CheckConstraint(
            "act in ('run', 'accepted', 'matched', 'written_off', 'booked', 'named', 'undone')"
            " and (staff_id is null or act <> 'run')",
            name="act",
        ),
        CheckConstraint("agreed_by <> staff_id", name="second_person"),
        Index("matching_event_at_idx", *keys("at", "id")),
        {"schema": "payments", "comment": "insert-only: history"},
    )
    operator_id: UUID = owner_key()
    id: UUID = Field(primary_key=True)
    act: str
    staff_id: UUID | None = None
    agreed_by: UUID | None = None
    reason: str = ""
    lines: int = Field(sa_type=BigInteger)
    sum_vnd: int = Field(sa_type=BigInteger)
    facts: dict[str, object] = document(default={})
    digest: bytes | None = octets(default=None, nullable=True)
    at: datetime = instant()


class MatchedStatement(SQLModel, table=True):
    """A run has looked at every line of the statement; what it left is an open item."""

    __tablename__ = "matched_statement"
    __table_args__ = (
        ForeignKeyConstraint(
            keys("statement_id"),
            ["payments.bank_statement.operator_id", "payments.bank_statement.id"],
            name="matched_statement_statement_fkey",
        ),
        ForeignKeyConstraint(
            keys("event_id"),
            ["payments.matching_event.operator_id", "payments.matching_event.id"],
            name="matched_statement_event_fkey",
        ),
        {"schema": "payments", "comment": "insert-only: history"},
    )
    operator_id: UUID = owner_key(implied=True)
    statement_id: UUID = Field(primary_key=True)
    event_id: UUID


class Claim(SQLModel, table=True):
    """A line and a movement that are one; or of a match of several, one of each until either side ends (then the other is
    empty: `kind` none). `match_id` holds the rows of such a match together. Undone, the row is gone and stands in its event.

    Without foreign keys: a run writes a million of them, and its event last; the proof of the books looks after both.
    """

    __tablename__ = "claim"
    __table_args__ = (
        UniqueConstraint(*keys("statement_id", "position"), name="claim_line_key"),
        CheckConstraint("(kind = 'none') = (moved_vnd = 0)", name="movement"),
        CheckConstraint(
            "(statement_id is null) = (position is null) and (position is null) = (line_vnd = 0)", name="line"
        ),
        CheckConstraint("kind <> 'none' or position is not null", name="something"),
        Index("claim_match_idx", *keys("match_id"), postgresql_where=text("match_id is not null")),
        Index("claim_day_idx", "effective_day", postgresql_using="brin"),  # rows come in the order of days
        {"schema": "payments"},
    )
    operator_id: UUID = owner_key(implied=True)
    movement_id: UUID = Field(primary_key=True)  # first: two of them are told apart before their kinds are read
    kind: str = Field(primary_key=True)
    statement_id: UUID | None = None
    position: int | None = None
    match_id: UUID | None = None
    event_id: UUID
    bank_account: str
    line_vnd: int = Field(sa_type=BigInteger)
    moved_vnd: int = Field(sa_type=BigInteger)
    effective_day: date


class MatchedSum(SQLModel, table=True):
    """What an event booked: a sum of lines (or, of its differences, `account` where they went) with its day, in one journal."""

    __tablename__ = "matched_sum"
    __table_args__ = (
        ForeignKeyConstraint(
            keys("event_id"),
            ["payments.matching_event.operator_id", "payments.matching_event.id"],
            name="matched_sum_event_fkey",
        ),
        CheckConstraint("template in ('line.credit', 'line.debit', 'line.less', 'line.more')", name="template"),
        CheckConstraint("amount_vnd > 0 and number > 0", name="amount"),
        {"schema": "payments", "comment": "insert-only: history"},
    )
    operator_id: UUID = owner_key(implied=True)
    event_id: UUID = Field(primary_key=True)
    template: str = Field(primary_key=True)
    account: str = Field(primary_key=True)
    day: date = Field(primary_key=True)
    number: int = Field(primary_key=True)
    amount_vnd: int = Field(sa_type=BigInteger)
    effective_at: datetime = instant()


class OpenItem(SQLModel, table=True):
    """A line, or a movement, that nothing claims. `sealed`: the line's texts, so that a page of many opens no blocks.

    `name`: what somebody knows of it, who and when; `state`: what the last run found. `told_by`: of a movement that only a
    statement told of which was withdrawn since: that one. It is on its way to none. Without a foreign key to its operator, as lines and
    claims: a run writes them by the ten thousand.
    """

    __tablename__ = "open_item"
    __table_args__ = (
        UniqueConstraint(*keys("statement_id", "position"), name="open_item_line_key"),
        UniqueConstraint(*keys("kind", "movement_id"), name="open_item_movement_key"),
        ForeignKeyConstraint(
            keys("named_by"), ["foundation.staff.operator_id", "foundation.staff.id"], name="open_item_named_fkey"
        ),
        CheckConstraint(
            "side in ('line', 'movement') and num_nulls(statement_id, position) = case side when 'line' then 0 else 2 end"
            " and num_nulls(kind, movement_id) = case side when 'line' then 2 else 0 end",
            name="side",
        ),
        CheckConstraint("state in ('unmatched', 'suggested', 'ambiguous', 'differs')", name="state"),
        CheckConstraint(
            "name in ('bank_asked', 'payer_asked', 'dispute', 'next_statement', 'other')"
            " and num_nulls(name, named_by, named_at) in (0, 3)",
            name="name",
        ),
        Index("open_item_list_idx", *keys("side", "day", "id")),
        {"schema": "payments"},
    )
    operator_id: UUID = owner_key(implied=True)
    id: UUID = Field(primary_key=True)
    side: str
    statement_id: UUID | None = None
    position: int | None = None
    kind: str | None = None
    movement_id: UUID | None = None
    bank_account: str
    bank_ref: str
    amount_vnd: int = Field(sa_type=BigInteger)
    day: date
    since: datetime = instant()
    sealed: bytes | None = octets(default=None, nullable=True)
    codes: list[str] = document(default=[], sa_column_kwargs={"server_default": "[]"})
    state: str = Field(default="unmatched", sa_column_kwargs={"server_default": "unmatched"})
    score: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    name: str | None = None
    note: str = Field(default="", sa_column_kwargs={"server_default": ""})
    named_by: UUID | None = None
    named_at: datetime | None = instant(default=None)
    told_by: UUID | None = None


class Suggestion(SQLModel, table=True):
    """What may belong together, by the last run; its items are rows of their own."""

    __tablename__ = "suggestion"
    __table_args__ = (
        CheckConstraint("score between 1 and 100", name="score"),
        {"schema": "payments"},
    )
    operator_id: UUID = owner_key()
    id: UUID = Field(primary_key=True)
    rule: str
    score: int
    days: int
    difference_vnd: int = Field(sa_type=BigInteger)
    ambiguous: bool


class SuggestionItem(SQLModel, table=True):
    """An open item in a suggestion."""

    __tablename__ = "suggestion_item"
    __table_args__ = (
        ForeignKeyConstraint(
            keys("suggestion_id"),
            ["payments.suggestion.operator_id", "payments.suggestion.id"],
            name="suggestion_item_suggestion_fkey",
        ),
        Index("suggestion_item_item_idx", *keys("item_id")),
        {"schema": "payments"},
    )
    operator_id: UUID = owner_key(implied=True)
    suggestion_id: UUID = Field(primary_key=True)
    item_id: UUID = Field(primary_key=True)


class MatchingAsk(SQLModel, table=True):
    """What one person may not do alone on a day: write a `difference` off, or give a `name` to what stays open. It waits for
    a second one, who signs what he sees. `amount_vnd`: the difference, or of a name the sum of its items."""

    __tablename__ = "matching_ask"
    __table_args__ = (
        ForeignKeyConstraint(
            keys("asked_by"), ["foundation.staff.operator_id", "foundation.staff.id"], name="matching_ask_asked_fkey"
        ),
        ForeignKeyConstraint(
            keys("decided_by"),
            ["foundation.staff.operator_id", "foundation.staff.id"],
            name="matching_ask_decided_fkey",
        ),
        CheckConstraint(
            "coalesce(difference in ('fee', 'rounding', 'shortage', 'interest'),"
            " name in ('bank_asked', 'payer_asked', 'dispute', 'next_statement', 'other'))",
            name="what",
        ),
        CheckConstraint("num_nulls(difference, name) = 1", name="one"),
        CheckConstraint("num_nulls(decided_by, decided_at, agreed) in (0, 3)", name="decided"),
        CheckConstraint("not agreed or decided_by <> asked_by", name="second_person"),
        {"schema": "payments"},
    )
    operator_id: UUID = owner_key()
    id: UUID = Field(primary_key=True)
    items: list[str] = document()
    difference: str | None = None
    name: str | None = None
    amount_vnd: int = Field(sa_type=BigInteger)
    reason: str
    asked_by: UUID
    asked_at: datetime = instant()
    decided_by: UUID | None = None
    decided_at: datetime | None = instant(default=None)
    agreed: bool | None = None


class AccountsMixed(Refusal):
    """What belongs together stands on one account of the bank."""


@dataclass(frozen=True, slots=True)
class Books:
    """Up to where the books are closed, and on which day what belongs to a closed one takes effect."""

    now: datetime
    closed: date
    open_day: date

    @classmethod
    async def of(cls, tx: Tx) -> Books:
        """Holds off the close of a day until this transaction ends, as every posting does."""
        now = await clock.now(tx)
        await tx.execute("select pg_advisory_xact_lock_shared(payments.day_lock($1))", tx.operator_id)
        closed = await ledger.closed_through(tx) or date(1970, 1, 1)
        return cls(now, closed, max(closed + timedelta(days=1), clock.hanoi_day(now)))

    def day(self, *days: date) -> date:
        """The day on which something of these days takes effect."""
        return max(days) if max(days) > self.closed else self.open_day


async def open_items_of(tx: Tx, ids: Sequence[UUID] | None = None) -> dict[UUID, Any]:
    """Open items, all or these, locked, with what tells one from another. `fetched`: the bank itself was asked for it."""
    rows = await tx.rows(
        "select o.id, o.side, o.statement_id, o.position, o.kind, o.movement_id, o.bank_account, o.bank_ref, o.amount_vnd,"
        " o.day, o.sealed, o.name, case when o.side = 'line' then o.codes else coalesce(to_jsonb(r.references_found), '[]') end"
        "   as codes,"
        " case when o.kind = 'payout' then coalesce(e.payout_id::text, '') when o.kind = 'refund' then o.movement_id::text"
        "   else coalesce(l.end_to_end_id, '') end as order_id,"
        " l.booked_day, l.identity, f.loaded_by,"
        # A part of a payout that has not left as a whole is known: it is matched when the rest has.
        " o.side = 'line' and f.loaded_by is null and not exists (select from payments.payout_entry p"
        "   where p.operator_id = o.operator_id and p.bank_account = o.bank_account and p.bank_ref = o.bank_ref) as fetched"
        " from payments.open_item o"
        " left join payments.statement_line l on l.operator_id = o.operator_id and l.statement_id = o.statement_id"
        "   and l.position = o.position"
        " left join payments.bank_statement s on s.operator_id = o.operator_id and s.id = o.statement_id"
        " left join payments.statement_file f on f.operator_id = s.operator_id and f.id = s.file_id"
        " left join payments.receipt r on o.kind = 'receipt' and r.operator_id = o.operator_id and r.id = o.movement_id"
        " left join payments.payout_entry e on o.kind = 'payout' and e.operator_id = o.operator_id"
        "   and e.bank_account = o.bank_account and e.bank_ref = o.bank_ref"
        " where o.operator_id = $1 and ($2::uuid[] is null or o.id = any($2)) order by o.side, o.day, o.id"
        " for update of o",
        tx.operator_id,
        ids,
    )
    return {row["id"]: row for row in rows}


def sides(items: Iterable[Any]) -> tuple[list[Side], list[Side]]:
    """Open items as the calculation takes them: lines, movements."""
    sides: dict[str, list[Side]] = {"line": [], "movement": []}
    for item in items:
        codes: frozenset[str] = frozenset() if item["codes"] == "[]" else frozenset(json.loads(item["codes"]))
        order = item["order_id"].replace("-", "").lower()
        sides[item["side"]].append(
            Side(str(item["id"]), item["bank_account"], item["bank_ref"], item["amount_vnd"], item["day"], codes, order)
        )
    return sides["line"], sides["movement"]


class Matched(NamedTuple):
    """What a match is found by: a line of a statement, or a movement of the books."""

    statement_id: UUID | None = None
    position: int | None = None
    kind: str | None = None
    movement_id: UUID | None = None


MATCH_OF = (
    "select kind, movement_id, match_id from payments.claim"
    " where operator_id = $1 and (statement_id = $2 and position = $3 or kind = $4 and movement_id = $5)"
)
"""The match of a line or of a movement (`Matched`, from $2 on)."""
Moved = tuple[str, date, int]
"""On which account of the bank, on which day, how much of its lines was matched (> 0 came in)."""


async def claim_items(
    tx: Tx, items: Sequence[Any], event_id: UUID, books: Books, *, match_id: UUID | None = None
) -> list[Moved]:
    """Claims items for each other, which are then open no more. Several rows are held together by `match_id`, or the event
    where it is one match only. Raises TakenMeanwhile, AccountsMixed."""
    lines = [item for item in items if item["side"] == "line"]
    movements = [item for item in items if item["side"] == "movement"]
    accounts = {item["bank_account"] for item in items}
    if len(accounts) != 1:
        raise AccountsMixed()
    day = books.day(*(item["day"] for item in items))
    rows = []
    many = max(len(lines), len(movements))
    held_by = (match_id or event_id) if many > 1 else None
    for n in range(many):
        line = lines[n] if n < len(lines) else None
        movement = movements[n] if n < len(movements) else None
        rows.append(
            (
                tx.operator_id,
                movement["kind"] if movement else "none",
                movement["movement_id"] if movement else new_id(),
                line["statement_id"] if line else None,
                line["position"] if line else None,
                held_by,
                event_id,
                next(iter(accounts)),
                line["amount_vnd"] if line else 0,
                movement["amount_vnd"] if movement else 0,
                day,
            )
        )
    await tx.connection.executemany(
        "insert into payments.claim (operator_id, kind, movement_id, statement_id, position, match_id, event_id,"
        " bank_account, line_vnd, moved_vnd, effective_day) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        rows,
    )
    await tx.execute(
        "delete from payments.open_item where operator_id = $1 and id = any($2)",
        tx.operator_id,
        [item["id"] for item in items],
    )
    return [(next(iter(accounts)), day, line["amount_vnd"]) for line in lines]


def sums_of(
    moved: Iterable[Moved], *, difference: tuple[str, int, date] | None = None, back: bool = False
) -> list[tuple[Template, str, date, int]]:
    """What is booked of matched lines, per account, day and direction; or, `back`, of lines that no longer are.

    `difference`: the account of a difference, lines less movements, and its day.
    """
    sums: dict[tuple[str, date, bool], int] = defaultdict(int)
    for account, day, line_vnd in moved:
        sums[account, day, line_vnd > 0] += abs(line_vnd)
    booked: list[tuple[Template, str, date, int]] = [
        ("line.credit" if came_in is not back else "line.debit", account, day, amount_vnd)
        for (account, day, came_in), amount_vnd in sorted(sums.items())
    ]
    if difference and difference[1]:
        account, difference_vnd, day = difference
        less = (difference_vnd < 0) is not back
        booked.append(("line.less" if less else "line.more", account, day, abs(difference_vnd)))
    return booked


async def post(tx: Tx, event_id: UUID, books: Books, sums: Iterable[tuple[Template, str, date, int]]) -> None:
    """Books the sums of an event that is written down, each in as many journals as the largest transfer asks for."""
    for template, account, day, sum_vnd in sums:
        at, parts = noon(day, books.now), -(-sum_vnd // TRANSFER_MAX_VND)
        for n in range(1, parts + 1):
            amount_vnd = min(sum_vnd - (n - 1) * TRANSFER_MAX_VND, TRANSFER_MAX_VND)
            await tx.execute(
                "insert into payments.matched_sum (operator_id, event_id, template, account, day, number, amount_vnd,"
                " effective_at) values ($1, $2, $3, $4, $5, $6, $7, $8)",
                tx.operator_id,
                event_id,
                template,
                account,
                day,
                n,
                amount_vnd,
                at,
            )
            source = Source("matching", f"{event_id}/{account}/{day}/{n}", template)
            await ledger.post(tx, template, source=source, amount_vnd=amount_vnd, effective_at=at, account=account)


def noon(day: date, now: datetime) -> datetime:
    """A moment of that Hanoi day that is not to come."""
    return min(datetime.combine(day, time(12), clock.HANOI), now) if day < clock.hanoi_day(now) else now


async def remember(
    tx: Tx,
    id: UUID,
    act: Act,
    *,
    now: datetime,
    staff_id: UUID | None = None,
    agreed_by: UUID | None = None,
    reason: str = "",
    lines: int,
    sum_vnd: int,
    facts: Mapping[str, object] | None = None,
    digest: bytes | None = None,
) -> None:
    await tx.execute(
        "insert into payments.matching_event (operator_id, id, act, staff_id, agreed_by, reason, lines, sum_vnd, facts,"
        " digest, at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        tx.operator_id,
        id,
        act,
        staff_id,
        agreed_by,
        reason,
        lines,
        sum_vnd,
        json.dumps(facts or {}),
        digest,
        now,
    )


async def book_line(tx: Tx, database: Database, sealer: Sealer, item: Any, event_id: UUID, books: Books) -> list[Moved]:
    """A line that no movement stands behind comes into the books: a credit as a receipt, whose meaning is found out as that
    of any other; a debit into suspense. Then it is its own match."""
    bin, _, account = item["bank_account"].partition("/")
    at = noon(item["booked_day"], books.now)
    bank_ref = item["bank_ref"] or f"S{item['identity'].hex}"  # its identity says whether it was here before
    said: list[str] = json.loads(await sealer.open(item["sealed"], context=bank_statement.TEXT))
    if item["amount_vnd"] > 0:
        credit = Credit(bin, account, bank_ref, item["amount_vnd"], said[0], at, f"{said[1]} /{said[2]}")
        id, fresh = await receive(database, sealer, tx.operator_id, credit, now=books.now, source="statement", tx=tx)
        kind = "receipt"
    else:
        gone = Gone(item["bank_account"], bank_ref, -item["amount_vnd"], at, "", "")
        fresh, kind = await debit.book(tx, gone), "debit"
        id = await tx.value(
            "select id from payments.debit where operator_id = $1 and bank_account = $2 and bank_ref = $3",
            tx.operator_id,
            item["bank_account"],
            bank_ref,
        )
    if not fresh:  # the books know another amount under that reference: that is for a person to compare
        return []
    movement = {**item, "side": "movement", "kind": kind, "movement_id": id, "day": books.day(item["booked_day"])}
    return await claim_items(tx, [item, movement], event_id, books)
