"""Matching: which line of the bank's statement is which movement in the books, and what is neither, as work for a person.

A run matches what leaves no doubt, set by set, and keeps the rest as open items with suggestions (`reconciliation` decides). A
claim holds a line and a movement for each other: each at most once, whoever comes first. Whatever is matched is booked
from what is on its way (`gw_receivable`) to what the bank says (`bank:<account>`), per run, account, day and direction, or
per act of a person. What a person did is undone as a whole, by its reversal; both stay in the history.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import BigInteger
from sqlmodel import CheckConstraint, Field, ForeignKeyConstraint, Index, SQLModel, UniqueConstraint, text

from foundation import audit, clock
from foundation.database import Database, Tx
from foundation.errors import NotFound, Refusal
from foundation.money import TRANSFER_MAX_VND
from foundation.seal import Sealer
from foundation.tables import document, instant, keys, new_id, octets, owner_key
from payments import bank_statement, debit, ledger, payout, reconciliation, reference, refund
from payments.bank_statement import LONGEST_S, Progress, noted
from payments.gateway import Gone, PayoutLine, RefundLine
from payments.held import reason_of
from payments.ledger import Source
from payments.postings import Template
from payments.receipt import Credit, receive
from payments.reconciliation import Match, Side
from payments.refund import within_limit

NAMED_MAX = 20
"""So many lines of a bulk are named in its event; all of them are in its claims."""
COMMITS_WITHIN = timedelta(minutes=10)
"""Real time: what was written down so long before a run can be seen by it."""
Act = Literal["run", "accepted", "matched", "written_off", "booked", "named", "undone"]
Difference = Literal["fee", "rounding", "shortage", "interest"]
ACCOUNTS: Mapping[Difference, str] = {
    "fee": "bank_charges",
    "rounding": "rounding",
    "shortage": "losses",
    "interest": "bank_interest",
}
"""Where a difference between the bank's word and ours is booked, by its reason. `interest` is what the bank added by itself."""
LESS: frozenset[Difference] = frozenset({"fee", "rounding", "shortage"})
MORE: frozenset[Difference] = frozenset({"rounding", "interest"})
Name = Literal["bank_asked", "payer_asked", "dispute", "next_statement", "other"]
"""What a person knows of an item that stays open: with a name it no longer holds up the close of its day."""


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
            "num_nulls(statement_id, position) in (0, 2) and (position is null) = (line_vnd = 0)", name="line"
        ),
        CheckConstraint("kind <> 'none' or position is not null", name="something"),
        Index("claim_match_idx", *keys("match_id"), postgresql_where=text("match_id is not null")),
        Index("claim_day_idx", "effective_day", postgresql_using="brin"),  # rows come in the order of days
        {"schema": "payments"},
    )
    operator_id: UUID = owner_key(implied=True)
    kind: str = Field(primary_key=True)
    movement_id: UUID = Field(primary_key=True)
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

    `name`: what somebody knows of it, who and when; `state`: what the last run found.
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
    operator_id: UUID = owner_key()
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


class WriteOffAsk(SQLModel, table=True):
    """A difference above what one person may write off on a day: it waits for a second one, who signs what he sees."""

    __tablename__ = "write_off_ask"
    __table_args__ = (
        ForeignKeyConstraint(
            keys("asked_by"), ["foundation.staff.operator_id", "foundation.staff.id"], name="write_off_ask_asked_fkey"
        ),
        ForeignKeyConstraint(
            keys("decided_by"),
            ["foundation.staff.operator_id", "foundation.staff.id"],
            name="write_off_ask_decided_fkey",
        ),
        CheckConstraint("difference in ('fee', 'rounding', 'shortage', 'interest')", name="difference"),
        CheckConstraint("num_nulls(decided_by, decided_at, agreed) in (0, 3)", name="decided"),
        CheckConstraint("not agreed or decided_by <> asked_by", name="second_person"),
        {"schema": "payments"},
    )
    operator_id: UUID = owner_key()
    id: UUID = Field(primary_key=True)
    items: list[str] = document()
    difference: str
    difference_vnd: int = Field(sa_type=BigInteger)
    reason: str
    asked_by: UUID
    asked_at: datetime = instant()
    decided_by: UUID | None = None
    decided_at: datetime | None = instant(default=None)
    agreed: bool | None = None


class NoSuchItem(NotFound):
    """There is no such open item."""


class NoSuchMatch(NotFound):
    """There is no such match."""


class TakenMeanwhile(Refusal):
    """{who} has matched it meanwhile; nothing was changed."""


class NothingChosen(Refusal):
    """Choose what belongs together first."""


class FilterChanged(Refusal):
    """It is something else by now: {count} of {sum_vnd} đồng in all. Look again; nothing was changed."""


class SumsDiffer(Refusal):
    """What you chose differs by {difference_vnd} đồng: say what the difference is, or choose otherwise."""


class DirectionsMixed(Refusal):
    """Money that came in and money that left are not one: each is matched, or taken into the books, by itself."""


class UndoneByAnother(Refusal):
    """Somebody else made this match, or two people agreed to it: who may agree to such acts has to undo it."""

    status = 403


class DifferenceUnfit(Refusal):
    """A difference of {difference_vnd} đồng cannot be that."""


class AccountsMixed(Refusal):
    """What belongs together stands on one account of the bank."""


class SuggestionUnsure(Refusal):
    """Something else fits as well, or the sums differ: such a suggestion is decided one by one."""


class LoadedByYourself(Refusal):
    """You have given this statement in yourself; somebody else has to book what only it tells of."""

    status = 403


class InTheBooks(Refusal):
    """This is a movement of the books; only a line of a statement can be booked."""


class MatchClosed(Refusal):
    """This match is in the books of {day}, which are closed: reopen the day first."""


class AskedByYourself(Refusal):
    """You have asked for this yourself; somebody else has to agree."""

    status = 403


class AskDecided(Refusal):
    """That was decided before."""


@dataclass(frozen=True, slots=True)
class Ran:
    """What a run did: lines matched and their sum, items left open, suggestions made."""

    event_id: UUID
    matched: int
    sum_vnd: int
    open: int
    suggestions: int
    digest: bytes


# --- a run -----------------------------------------------------------------------------------------------------------


async def run(database: Database, sealer: Sealer, operator_id: UUID, progress: Progress = noted) -> Ran:
    """Matches what leaves no doubt, of every statement that no run has seen and of what is still open; books it; makes
    suggestions for the rest. Done again with nothing new it changes nothing and decides the same, to the bit."""
    await _tell(database, operator_id)
    async with database.transaction(operator_id) as tx:
        await tx.execute(f"set local statement_timeout = '{LONGEST_S}s'")
        await tx.one_at_a_time("matching")
        books, event_id = await _Books.of(tx), new_id()
        await sealer.ready(books.now)
        unseen = [
            row["id"] for row in await tx.rows("select id from payments.unseen_statements($1) u (id)", operator_id)
        ]
        # Of the account that lags behind most: what came to it was expected on no statement yet.
        seen: date = await tx.value(
            "select coalesce(min(day), '2000-01-01') from (select coalesce(max(s.day) filter (where m.statement_id is not null),"
            "   '2000-01-01') as day from payments.bank_statement s"
            "   left join payments.matched_statement m on m.operator_id = s.operator_id and m.statement_id = s.id"
            "   where s.operator_id = $1 and s.state = 'accepted' group by s.bank_account) account",
            operator_id,
        )
        exact = await tx.connection.fetch(
            "select * from payments.match_exactly($1, $2, $3, $4)",
            *(operator_id, event_id, books.closed, books.open_day),
            timeout=LONGEST_S,
        )
        await tx.connection.execute(
            "select payments.keep_open_items($1, $2, $3, $4)",
            *(operator_id, clock.start_of_day(seen), await seen_before(tx), books.now),
            timeout=LONGEST_S,
        )
        matched, sum_vnd = sum(row["lines"] for row in exact), sum(row["amount_vnd"] for row in exact)
        moved = [(row["bank_account"], row["effective_day"], row["amount_vnd"]) for row in exact]
        progress("matched", matched)
        await _read_texts(tx, sealer, books.now)
        items = await _items(tx)
        lines, movements = _sides(items.values())
        decided = reconciliation.decide(lines, movements)
        suggestions = []
        for match in decided:
            if not match.automatic:
                suggestions.append(match)
                continue
            claimed = await _claim(tx, [items[UUID(key)] for key in (*match.lines, *match.movements)], event_id, books)
            moved += claimed
            matched, sum_vnd = matched + 1, sum_vnd + claimed[0][2]
        taken = {key for match in decided if match.automatic for key in (*match.lines, *match.movements)}
        batches = reconciliation.batches(lines, [each for each in movements if each.key not in taken])
        spoken_for = taken | batches | {key for match in suggestions for key in match.lines}
        for item in items.values():
            if item["fetched"] and item["bank_ref"] and str(item["id"]) not in spoken_for:
                # The bank itself was asked, and its statement is the last word: what it tells of is in the books from now.
                booked = await _book(tx, database, sealer, item, event_id, books)
                moved += booked
                matched, sum_vnd = matched + len(booked), sum_vnd + sum(vnd for _, _, vnd in booked)
        await _suggest(tx, suggestions)
        digest = hashlib.sha256(json.dumps([_as_text(match) for match in decided]).encode()).digest()
        tx.step("matching.ran")
        await _remember(tx, event_id, "run", now=books.now, lines=matched, sum_vnd=sum_vnd, digest=digest)
        await _post(tx, event_id, books, _sums(moved))
        await tx.execute(
            "insert into payments.matched_statement (operator_id, statement_id, event_id) select $1, unnest($2::uuid[]), $3",
            operator_id,
            unseen,
            event_id,
        )
        left = await tx.value("select count(*) from payments.open_item where operator_id = $1", operator_id)
        return Ran(event_id, matched, sum_vnd, left, len(suggestions), digest)


@dataclass(frozen=True, slots=True)
class _Books:
    """Up to where the books are closed, and on which day what belongs to a closed one takes effect."""

    now: datetime
    closed: date
    open_day: date

    @classmethod
    async def of(cls, tx: Tx) -> _Books:
        """Holds off the close of a day until this transaction ends, as every posting does."""
        now = await clock.now(tx)
        await tx.execute("select pg_advisory_xact_lock_shared(payments.day_lock($1))", tx.operator_id)
        closed = await ledger.closed_through(tx) or date(1970, 1, 1)
        return cls(now, closed, max(closed + timedelta(days=1), clock.hanoi_day(now)))

    def day(self, *days: date) -> date:
        """The day on which something of these days takes effect."""
        return max(days) if max(days) > self.closed else self.open_day


async def seen_before(tx: Tx) -> UUID:
    """An id (UUIDv7) before which the last run has seen every receipt that there is."""
    last: UUID | None = await tx.value(
        "select id from payments.matching_event where operator_id = $1 and act = 'run' order by id desc limit 1",
        tx.operator_id,
    )
    milliseconds = ((last.int >> 80) if last else 0) - int(COMMITS_WITHIN.total_seconds() * 1000)
    return UUID(int=max(milliseconds, 0) << 80)


async def _tell(database: Database, operator_id: UUID) -> None:
    """Lines that carry the number of a payout or refund of ours, which the bank's list has not told of yet: told now. Only of
    files that the bank itself was asked for: anybody can write one."""
    async with database.transaction(operator_id) as tx:
        rows = await tx.rows(
            "select l.bank_account, l.bank_ref, l.amount_vnd, l.booked_day, l.end_to_end_id from payments.statement_line l"
            " join payments.bank_statement s on s.operator_id = l.operator_id and s.id = l.statement_id"
            " join payments.statement_file f on f.operator_id = s.operator_id and f.id = s.file_id and f.loaded_by is null"
            " where l.operator_id = $1 and l.end_to_end_id <> '' and l.bank_ref <> ''"
            "   and l.statement_id in (select payments.unseen_statements($1))",
            operator_id,
        )
        now = await clock.now(tx)
    for row in rows:
        try:
            id = UUID(row["end_to_end_id"])
        except ValueError:
            continue
        said = (row["bank_account"], row["bank_ref"], abs(row["amount_vnd"]), row["amount_vnd"] > 0)
        at = _noon(row["booked_day"], now)
        if not await payout.told(database, operator_id, PayoutLine(id, *said, at)):
            await refund.told(database, operator_id, RefundLine(id, *said, at))


async def _read_texts(tx: Tx, sealer: Sealer, now: datetime) -> None:
    """What is sensitive in new open lines, sealed line by line, and our references in it."""
    rows = await tx.rows(
        "select id, statement_id, position from payments.open_item"
        " where operator_id = $1 and side = 'line' and sealed is null order by statement_id, position",
        tx.operator_id,
    )
    if not rows:
        return
    month = await sealer.ready(now)
    found = await bank_statement.texts(tx, sealer, [(row["statement_id"], row["position"]) for row in rows])
    said = [found[row["statement_id"], row["position"]] for row in rows]
    await tx.execute(
        "update payments.open_item o set sealed = t.sealed, codes = t.codes::jsonb"
        " from unnest($2::uuid[], $3::bytea[], $4::text[]) t (id, sealed, codes)"
        " where o.operator_id = $1 and o.id = t.id",
        tx.operator_id,
        [row["id"] for row in rows],
        [sealer.seal(json.dumps(each, ensure_ascii=False), month=month, context=bank_statement.TEXT) for each in said],
        [json.dumps(reference.find(each[0])) for each in said],
    )


async def _items(tx: Tx, ids: Sequence[UUID] | None = None) -> dict[UUID, Any]:
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


def _sides(items: Iterable[Any]) -> tuple[list[Side], list[Side]]:
    """Open items as the calculation takes them: lines, movements."""
    sides: dict[str, list[Side]] = {"line": [], "movement": []}
    for item in items:
        codes = frozenset(json.loads(item["codes"]))
        order = item["order_id"].replace("-", "").lower()
        sides[item["side"]].append(
            Side(str(item["id"]), item["bank_account"], item["bank_ref"], item["amount_vnd"], item["day"], codes, order)
        )
    return sides["line"], sides["movement"]


async def _suggest(tx: Tx, suggestions: Sequence[Match]) -> None:
    """The suggestions of the last run, in the place of those before, and what each line's best one is."""
    await tx.execute("delete from payments.suggestion_item where operator_id = $1", tx.operator_id)
    await tx.execute("delete from payments.suggestion where operator_id = $1", tx.operator_id)
    ids = [new_id() for _ in suggestions]
    best: dict[str, Match] = {}
    for match in suggestions:
        for key in (*match.lines, *match.movements):
            best.setdefault(key, match)  # they come best first
    await tx.execute(
        "insert into payments.suggestion (operator_id, id, rule, score, days, difference_vnd, ambiguous)"
        " select $1, * from unnest($2::uuid[], $3::text[], $4::int[], $5::int[], $6::bigint[], $7::bool[])",
        tx.operator_id,
        ids,
        [match.rule for match in suggestions],
        [match.score for match in suggestions],
        [match.days for match in suggestions],
        [match.difference_vnd for match in suggestions],
        [match.ambiguous for match in suggestions],
    )
    of = [(id, key) for id, match in zip(ids, suggestions, strict=True) for key in (*match.lines, *match.movements)]
    await tx.execute(
        "insert into payments.suggestion_item (operator_id, suggestion_id, item_id)"
        " select $1, * from unnest($2::uuid[], $3::text[]::uuid[])",
        tx.operator_id,
        [id for id, _ in of],
        [key for _, key in of],
    )
    await tx.execute(
        "update payments.open_item o set state = coalesce(b.state, 'unmatched'), score = coalesce(b.score, 0)"
        " from payments.open_item i left join unnest($2::uuid[], $3::text[], $4::int[]) b (id, state, score) on b.id = i.id"
        " where o.operator_id = $1 and i.operator_id = $1 and i.id = o.id"
        " and (o.state, o.score) is distinct from (coalesce(b.state, 'unmatched'), coalesce(b.score, 0))",
        tx.operator_id,
        [UUID(key) for key in best],
        [_state(match) for match in best.values()],
        [match.score for match in best.values()],
    )


def _state(match: Match) -> str:
    if match.ambiguous:
        return "ambiguous"
    return "differs" if match.difference_vnd else "suggested"


def _as_text(match: Match) -> list[object]:
    """A decision as it is hashed. Open items have the same keys whenever they are found."""
    return [match.rule, match.lines, match.movements, match.score, match.difference_vnd, match.days, match.ambiguous]


# --- claims and their postings -----------------------------------------------------------------------------------------

Moved = tuple[str, date, int]
"""On which account of the bank, on which day, how much of its lines was matched (> 0 came in)."""


async def _claim(
    tx: Tx, items: Sequence[Any], event_id: UUID, books: _Books, *, match_id: UUID | None = None
) -> list[Moved]:
    """Claims items for each other, which are then open no more. Raises TakenMeanwhile, AccountsMixed."""
    lines = [item for item in items if item["side"] == "line"]
    movements = [item for item in items if item["side"] == "movement"]
    accounts = {item["bank_account"] for item in items}
    if len(accounts) != 1:
        raise AccountsMixed()
    day = books.day(*(item["day"] for item in items))
    rows = []
    for n in range(max(len(lines), len(movements))):
        line = lines[n] if n < len(lines) else None
        movement = movements[n] if n < len(movements) else None
        rows.append(
            (
                tx.operator_id,
                movement["kind"] if movement else "none",
                movement["movement_id"] if movement else new_id(),
                line["statement_id"] if line else None,
                line["position"] if line else None,
                match_id,
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


def _sums(
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


async def _post(tx: Tx, event_id: UUID, books: _Books, sums: Iterable[tuple[Template, str, date, int]]) -> None:
    """Books the sums of an event that is written down, each in as many journals as the largest transfer asks for."""
    for template, account, day, sum_vnd in sums:
        at, parts = _noon(day, books.now), -(-sum_vnd // TRANSFER_MAX_VND)
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


def _noon(day: date, now: datetime) -> datetime:
    """A moment of that Hanoi day that is not to come."""
    return min(datetime.combine(day, time(12), clock.HANOI), now) if day < clock.hanoi_day(now) else now


async def _remember(
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


async def _book(tx: Tx, database: Database, sealer: Sealer, item: Any, event_id: UUID, books: _Books) -> list[Moved]:
    """A line that no movement stands behind comes into the books: a credit as a receipt, whose meaning is found out as that
    of any other; a debit into suspense. Then it is its own match."""
    bin, _, account = item["bank_account"].partition("/")
    at = _noon(item["booked_day"], books.now)
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
    return await _claim(tx, [item, movement], event_id, books)


# --- what people do ----------------------------------------------------------------------------------------------------


async def accept(tx: Tx, suggestions: Sequence[UUID], *, staff_id: UUID, seen: str, now: datetime) -> tuple[int, int]:
    """Accepts suggestions as they are: each alone fits its items, and to the đồng. `seen`: the digest of what the person
    was shown (`digest_of`); anything else by now, and nothing is done. Returns how many lines, and their sum.

    Raises NothingChosen, FilterChanged, SuggestionUnsure, TakenMeanwhile.
    """
    if not suggestions:
        raise NothingChosen()
    rows = await tx.rows(
        "select s.id, s.rule, s.ambiguous, s.difference_vnd, array_agg(i.item_id) as items from payments.suggestion s"
        " join payments.suggestion_item i on i.operator_id = s.operator_id and i.suggestion_id = s.id"
        " where s.operator_id = $1 and s.id = any($2) group by s.operator_id, s.id order by s.id",
        tx.operator_id,
        list(suggestions),
    )
    items = await _items(tx, [item for row in rows for item in row["items"]])
    chosen = [row for row in rows if all(item in items for item in row["items"])]
    lines = [items[item] for row in chosen for item in row["items"] if items[item]["side"] == "line"]
    if digest_of(row["id"] for row in chosen) != seen:
        raise FilterChanged(count=len(lines), sum_vnd=sum(line["amount_vnd"] for line in lines))
    if any(row["ambiguous"] or row["difference_vnd"] for row in chosen):
        raise SuggestionUnsure()
    books, event_id, moved = await _Books.of(tx), new_id(), list[Moved]()
    taken: set[UUID] = set()
    for row in chosen:
        if taken & set(row["items"]):
            raise SuggestionUnsure()
        taken |= set(row["items"])
        match_id = row["id"] if len(row["items"]) > 2 else None
        moved += await _claim(tx, [items[item] for item in row["items"]], event_id, books, match_id=match_id)
    sum_vnd = sum(line["amount_vnd"] for line in lines)
    tx.step("matching.accepted")
    rules = sorted({row["rule"] for row in chosen})
    await _remember(
        tx,
        event_id,
        "accepted",
        now=now,
        staff_id=staff_id,
        lines=len(lines),
        sum_vnd=sum_vnd,
        facts={"rules": rules, "items": [_told(line) for line in lines[:NAMED_MAX]]},
    )
    await _post(tx, event_id, books, _sums(moved))
    after = {"lines": len(lines), "sum_vnd": sum_vnd}
    await audit.note(tx, staff_id, "matching.accepted", f"matching {event_id}", after=after, now=now)
    return len(lines), sum_vnd


def digest_of(ids: Iterable[UUID]) -> str:
    """What a set of suggestions, or of open items, is told by: a page shows it, an act asks for it again."""
    return hashlib.sha256("".join(sorted(id.hex for id in ids)).encode()).hexdigest()[:32]


async def match(
    tx: Tx,
    ids: Sequence[UUID],
    *,
    difference: Difference | None = None,
    reason: str = "",
    staff_id: UUID,
    limit_vnd: int,
    now: datetime,
) -> UUID:
    """A person says that these items are one: one line and one movement, a split, a group; the sums agree, or he says what
    the difference is. A line alone with a `difference` is that as a whole (the bank's fee, its interest).

    Above what he may write off alone on a day it waits for a second person. Returns the event, or what was asked. Raises
    NothingChosen, TakenMeanwhile, AccountsMixed, SumsDiffer, DifferenceUnfit, ReasonMissing.
    """
    items, difference_vnd = await _chosen(tx, ids)
    if len({item["amount_vnd"] > 0 for item in items}) > 1:
        raise DirectionsMixed()
    if not difference:
        if difference_vnd or len({item["side"] for item in items}) < 2:
            raise SumsDiffer(difference_vnd=difference_vnd)
        return await _match(tx, items, None, 0, reason="", staff_id=staff_id, agreed_by=None, now=now)
    _check_difference(difference, difference_vnd)
    reason = reason.strip()[:300] or difference  # what it is has been said; more words are a help
    if await within_limit(tx, staff_id, abs(difference_vnd), limit_vnd, now):
        return await _match(
            tx, items, difference, difference_vnd, reason=reason, staff_id=staff_id, agreed_by=None, now=now
        )
    id = new_id()
    await tx.execute(
        "insert into payments.write_off_ask (operator_id, id, items, difference, difference_vnd, reason, asked_by, asked_at)"
        " values ($1, $2, $3, $4, $5, $6, $7, $8)",
        tx.operator_id,
        id,
        json.dumps(sorted(str(item["id"]) for item in items)),
        difference,
        difference_vnd,
        reason,
        staff_id,
        now,
    )
    after = {"difference": difference, "difference_vnd": difference_vnd}
    await audit.note(tx, staff_id, "matching.asked", f"matching {id}", reason=reason, after=after, now=now)
    return id


async def decide_ask(tx: Tx, id: UUID, *, agree: bool, staff_id: UUID, now: datetime) -> None:
    """A second person agrees to a difference that was asked for, or refuses; he who asked may only take it back.

    Raises AskDecided, AskedByYourself, TakenMeanwhile.
    """
    ask = await tx.row(
        "select * from payments.write_off_ask where operator_id = $1 and id = $2 for update", tx.operator_id, id
    )
    if ask is None or ask["decided_at"] is not None:
        raise AskDecided()
    if agree and ask["asked_by"] == staff_id:
        raise AskedByYourself()
    await tx.execute(
        "update payments.write_off_ask set decided_by = $3, decided_at = $4, agreed = $5"
        " where operator_id = $1 and id = $2",
        tx.operator_id,
        id,
        staff_id,
        now,
        agree,
    )
    if agree:
        items, difference_vnd = await _chosen(tx, [UUID(each) for each in json.loads(ask["items"])])
        if difference_vnd != ask["difference_vnd"]:
            raise SumsDiffer(difference_vnd=difference_vnd)
        await _match(
            tx,
            items,
            ask["difference"],
            difference_vnd,
            reason=ask["reason"],
            staff_id=ask["asked_by"],
            agreed_by=staff_id,
            now=now,
        )
    else:
        await audit.note(tx, staff_id, "matching.refused", f"matching {id}", now=now)


async def book(tx: Tx, database: Database, sealer: Sealer, id: UUID, *, staff_id: UUID, now: datetime) -> None:
    """A line that the books know nothing of comes into them: a credit as a receipt like any other, a debit into suspense.

    Not by whoever gave the statement in: a file can be written by anybody. Raises TakenMeanwhile, InTheBooks,
    LoadedByYourself, DifferenceUnfit if the books know its reference with another amount.
    """
    items, _ = await _chosen(tx, [id])
    (item,) = items
    if item["side"] != "line":
        raise InTheBooks()
    if item["loaded_by"] == staff_id:
        raise LoadedByYourself()
    books, event_id = await _Books.of(tx), new_id()
    moved = await _book(tx, database, sealer, item, event_id, books)
    if not moved:
        raise DifferenceUnfit(difference_vnd=item["amount_vnd"])
    tx.step("matching.booked")
    facts = {"items": [_told(item)]}
    await _remember(
        tx, event_id, "booked", now=now, staff_id=staff_id, lines=1, sum_vnd=item["amount_vnd"], facts=facts
    )
    await _post(tx, event_id, books, _sums(moved))
    await audit.note(
        tx, staff_id, "matching.booked", f"matching {event_id}", after={"amount_vnd": item["amount_vnd"]}, now=now
    )


async def name(tx: Tx, ids: Sequence[UUID], said: Name, *, note: str, staff_id: UUID, now: datetime) -> None:
    """A person says why items stay open: they no longer hold up the close of a day. Raises TakenMeanwhile, ReasonMissing."""
    items, _ = await _chosen(tx, ids)
    note = reason_of(note) if said in ("other", "dispute") else note.strip()[:300]
    await tx.execute(
        "update payments.open_item set name = $3, note = $4, named_by = $5, named_at = $6"
        " where operator_id = $1 and id = any($2)",
        tx.operator_id,
        [item["id"] for item in items],
        said,
        note,
        staff_id,
        now,
    )
    event_id, sum_vnd = new_id(), sum(item["amount_vnd"] for item in items)
    facts = {"name": said, "items": [_told(item) for item in items]}
    await _remember(
        tx, event_id, "named", now=now, staff_id=staff_id, reason=note, lines=len(items), sum_vnd=sum_vnd, facts=facts
    )
    after = {"name": said, "items": len(items), "sum_vnd": sum_vnd}
    await audit.note(tx, staff_id, "matching.named", f"matching {event_id}", reason=note, after=after, now=now)


async def undo(
    tx: Tx, statement_id: UUID, position: int, *, staff_id: UUID, may_approve: bool, reason: str, now: datetime
) -> None:
    """Takes back the match that a line is in, as a whole, by its reversal: its items are open again. Another's match, or one
    that two agreed to, takes somebody who `may_approve`.

    Raises NoSuchMatch, MatchClosed, UndoneByAnother, ReasonMissing.
    """
    reason = reason_of(reason)
    books = await _Books.of(tx)
    rows = await tx.rows(
        "with of as (select kind, movement_id, match_id from payments.claim"
        "   where operator_id = $1 and statement_id = $2 and position = $3)"
        " delete from payments.claim c using of where c.operator_id = $1"
        " and (c.match_id = of.match_id or c.kind = of.kind and c.movement_id = of.movement_id) returning c.*",
        tx.operator_id,
        statement_id,
        position,
    )
    if not rows:
        raise NoSuchMatch()
    day = max(row["effective_day"] for row in rows)
    if day <= books.closed:
        raise MatchClosed(day=day)
    made = await tx.row(
        "select * from payments.matching_event where operator_id = $1 and id = $2", tx.operator_id, rows[0]["event_id"]
    )
    if (made["agreed_by"] or made["staff_id"] not in (None, staff_id)) and not may_approve:
        raise UndoneByAnother()
    event_id = new_id()
    moved = [(row["bank_account"], row["effective_day"], row["line_vnd"]) for row in rows if row["line_vnd"]]
    difference_vnd = sum(row["line_vnd"] - row["moved_vnd"] for row in rows)
    difference = json.loads(made["facts"]).get("difference")
    account = (ACCOUNTS[difference], difference_vnd, day) if difference else None
    tx.step("matching.undone")
    claims = [
        {
            name: str(row[name]) if row[name] is not None else None
            for name in ("kind", "movement_id", "statement_id", "position", "event_id", "line_vnd", "moved_vnd")
        }
        for row in rows
    ]
    await _reopen(tx, rows, now)
    lines, sum_vnd = len(moved), sum(vnd for _, _, vnd in moved)
    facts = {"claims": claims, "made_by": made["act"]}
    await _remember(
        tx, event_id, "undone", now=now, staff_id=staff_id, reason=reason, lines=lines, sum_vnd=sum_vnd, facts=facts
    )
    await _post(tx, event_id, books, _sums(moved, difference=account, back=True))
    before = {"event": rows[0]["event_id"], "act": made["act"], "by": made["staff_id"]}
    await audit.note(
        tx,
        staff_id,
        "matching.undone",
        f"matching {event_id}",
        reason=reason,
        before=before,
        after={"sum_vnd": sum_vnd},
        now=now,
    )


async def _chosen(tx: Tx, ids: Sequence[UUID]) -> tuple[list[Any], int]:
    """Open items that a person has chosen, locked, and by how much lines and movements differ.

    Raises NothingChosen, TakenMeanwhile (naming who has one of them).
    """
    if not ids:
        raise NothingChosen()
    items = await _items(tx, list(ids))
    if len(items) < len(set(ids)):
        who = await tx.value(
            "select coalesce(s.name, e.act) from payments.matching_event e"
            " left join foundation.staff s on s.operator_id = e.operator_id and s.id = e.staff_id"
            " where e.operator_id = $1 order by e.at desc, e.id desc limit 1",
            tx.operator_id,
        )
        raise TakenMeanwhile(who=who or "?")
    lines_vnd, movements_vnd = (
        sum(item["amount_vnd"] for item in items.values() if item["side"] == side) for side in ("line", "movement")
    )
    return list(items.values()), lines_vnd - movements_vnd


def _check_difference(difference: Difference, difference_vnd: int) -> None:
    if not difference_vnd or difference not in (LESS if difference_vnd < 0 else MORE):
        raise DifferenceUnfit(difference_vnd=difference_vnd)


async def _match(
    tx: Tx,
    items: Sequence[Any],
    difference: Difference | None,
    difference_vnd: int,
    *,
    reason: str,
    staff_id: UUID,
    agreed_by: UUID | None,
    now: datetime,
) -> UUID:
    books, event_id = await _Books.of(tx), new_id()
    lines = [item for item in items if item["side"] == "line"]
    match_id = event_id if len(items) > 2 else None
    moved = await _claim(tx, items, event_id, books, match_id=match_id)
    day = books.day(*(item["day"] for item in items))
    account = (ACCOUNTS[difference], difference_vnd, day) if difference else None
    tx.step("matching.matched")
    sum_vnd = sum(line["amount_vnd"] for line in lines)
    facts = {"difference": difference, "difference_vnd": difference_vnd} if difference else {}
    act: Act = "written_off" if difference else "matched"
    await _remember(
        tx,
        event_id,
        act,
        now=now,
        staff_id=staff_id,
        agreed_by=agreed_by,
        reason=reason,
        lines=len(lines),
        sum_vnd=sum_vnd,
        facts={**facts, "items": [_told(item) for item in items]},
    )
    await _post(tx, event_id, books, _sums(moved, difference=account))
    after = {"items": len(items), "sum_vnd": sum_vnd, **facts}
    await audit.note(
        tx, agreed_by or staff_id, f"matching.{act}", f"matching {event_id}", reason=reason, after=after, now=now
    )
    return event_id


def _told(item: Any) -> dict[str, object]:
    """An item as the history keeps it."""
    which = ("statement_id", "position") if item["side"] == "line" else ("kind", "movement_id")
    return {**{name: str(item[name]) for name in which}, "amount_vnd": item["amount_vnd"]}


async def _reopen(tx: Tx, claims: Sequence[Any], now: datetime) -> None:
    """What claims held is open again, under the ids that it had."""
    for claim in claims:
        if claim["position"] is not None:
            await tx.execute(
                "insert into payments.open_item (operator_id, id, side, statement_id, position, bank_account, bank_ref,"
                " amount_vnd, day, since) select $1, md5(statement_id::text || position)::uuid, 'line', statement_id, position,"
                " bank_account, bank_ref, amount_vnd, day, $4 from payments.statement_line"
                " where operator_id = $1 and statement_id = $2 and position = $3",
                tx.operator_id,
                claim["statement_id"],
                claim["position"],
                now,
            )
        if claim["kind"] != "none":
            await tx.execute(
                "insert into payments.open_item (operator_id, id, side, kind, movement_id, bank_account, bank_ref,"
                " amount_vnd, day, since) select $1, md5(kind || id)::uuid, 'movement', kind, id, bank_account,"
                " coalesce(bank_ref, ''), amount_vnd, payments.day_in_books($1, kind, id, at), $4 from payments.movements($1)"
                " where kind = $2 and id = $3",
                tx.operator_id,
                claim["kind"],
                claim["movement_id"],
                now,
            )
