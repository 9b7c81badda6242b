"""The proof that the books balance: invariants M1-M10 of money.md 2.2, each checked over all rows, both ways.

The queries travel with the program and not with the database they examine: a function changed there must not be able to
prove itself right. They state once more, independently of `ledger.TEMPLATES`, which postings the facts demand. What does
not fit is named (account, flow, amount, since when), and a surplus is as red as a deficit. Flows that are not finished
(part payments, money held for its payer, an open drawer) are named as open and are not red.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
from sqlmodel import SQLModel

from foundation import texts
from foundation.database import safe_url
from foundation.money import format_vnd
from foundation.settings import Settings
from payments import (  # noqa: F401 - their tables are examined
    application,
    attempt,
    bank_statement,
    book_request,
    cash,
    cash_refund,
    chart,
    claim,
    contract,
    day_close,
    debit,
    deposit,
    drop,
    dues,
    fiscal,
    give_back,
    handover,
    ledger,
    payee_account,
    payment,
    payout,
    receipt,
    refund,
    settlement,
    shift,
    shift_report,
    statement_withdrawal,
)

INVARIANTS = ("M1", "M2", "M3", "M4", "M5", "M6", "M7", "M8", "M9", "M10")
NAMED_MAX = 200
"""So many rows of one query are named; a longer list helps nobody."""

PROOF_SECONDS = 300
"""A proof reads every row there is: the patience of other statements is too short for it."""

# Hash tables over all transfers need room, or they go through the disk; here a second core is worth its start.
_FOR_THE_PROOF = f"""
set local work_mem = '128MB'; set local parallel_tuple_cost = 0.02; set local jit = off;
set local statement_timeout = '{PROOF_SECONDS}s'
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that does not fit, or (in `Line.open`) a flow that is not finished.

    `flow` is the charge, receipt, shift or journal concerned; `amount_vnd` is by how much it is too much (> 0) or too
    little; `rule` names the sentence `finance.books.rule.<rule>`.
    """

    invariant: str
    rule: str
    operator: str
    account: str | None
    flow: str | None
    amount_vnd: int | None
    since: datetime | None

    def text(self, language: str) -> str:
        return texts.text(language, f"finance.books.rule.{self.rule}")


@dataclass(frozen=True, slots=True)
class Line:
    """One invariant: how many rows and which sum were looked at, what does not fit, what is still open."""

    invariant: str
    checked: int
    sum_vnd: int
    findings: tuple[Finding, ...]
    open: tuple[Finding, ...]

    @property
    def holds(self) -> bool:
        return not self.findings


@dataclass(frozen=True, slots=True)
class Proof:
    """All ten invariants at one instant (`at`, the database's real time)."""

    at: datetime
    lines: tuple[Line, ...]

    @property
    def holds(self) -> bool:
        return all(line.holds for line in self.lines)

    @property
    def findings(self) -> tuple[Finding, ...]:
        return tuple(finding for line in self.lines for finding in line.findings)


async def prove(connection: Any, *, operator_id: UUID | None = None, every_day: bool = False) -> Proof:
    """The proof for one operator, or for all that the connection's role may see. Only reads.

    Of the closed days, the last month is met with its rows, older ones with each other; with `every_day` all of them.

    `connection` is an asyncpg connection inside a transaction whose statements share a snapshot (repeatable read);
    otherwise money that moves meanwhile looks like a difference.
    """
    await connection.execute(_FOR_THE_PROOF)
    rows = await connection.fetch(
        "select id, code from foundation.operator where $1::uuid is null or id = $1 order by code", operator_id
    )
    codes = {row["id"]: row["code"] for row in rows}
    insert_only = [
        name for name, table in SQLModel.metadata.tables.items() if (table.comment or "").startswith("insert-only")
    ]
    at: datetime = await connection.fetchval("select clock_timestamp()")
    salt = secrets.randbits(63)
    found: list[Any] = []
    for query in (
        _ACCOUNTS,
        _RECEIPTS,
        _ATTEMPTS,
        _EVENTS,
        _LINES,
        _DRAWERS,
        _SHIFTS,
        _SETTLEMENTS,
        _MATCHING,
        _DOCUMENTS,
        _REFUSALS,
    ):
        named = _MOST_IMPORTANT.format(query=query.replace("{days}", "1000000" if every_day else "31"))
        found += await connection.fetch(named, list(codes), NAMED_MAX, salt, timeout=PROOF_SECONDS)
    found += await connection.fetch(_WALLS, insert_only)
    return Proof(at, tuple(_line(invariant, found, codes) for invariant in INVARIANTS))


def _line(invariant: str, found: Sequence[Any], codes: dict[UUID, str]) -> Line:
    mine = [row for row in found if row["invariant"] == invariant]
    named = {
        kind: tuple(
            Finding(
                invariant,
                row["rule"],
                codes.get(row["operator_id"], ""),
                row["account"],
                row["flow"],
                row["amount_vnd"],
                row["since"],
            )
            for row in mine
            if row["kind"] == kind
        )
        for kind in ("red", "open")
    }
    counts = [row for row in mine if row["kind"] == "checked"]
    return Line(
        invariant,
        sum(int(row["flow"]) for row in counts),
        sum(row["amount_vnd"] or 0 for row in counts),
        named["red"],
        named["open"],
    )


def report(settings: Settings) -> int:
    """`motcham books`: the proof over all operators, a line per invariant; 1 if something does not fit, 2 if it cannot
    be looked at."""
    try:
        proof = asyncio.run(_as_keeper(settings.url("database_keeper_url")))
    except ValueError as error:
        print(error)
        return 2
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError) as error:
        print(f"The database at {safe_url(settings.url('database_keeper_url'))} does not answer: {error}")
        return 2
    for said in lines_of(proof, "en"):
        print(said)
    return 0 if proof.holds else 1


def lines_of(proof: Proof, language: str) -> list[str]:
    """The proof in words, a line per invariant, below it what does not fit and what is open."""
    said = []
    for line in proof.lines:
        verdict = texts.text(language, "finance.books.holds" if line.holds else "finance.books.fails")
        checked = texts.text(
            language,
            f"finance.books.checked.{line.invariant}",
            count=f"{line.checked:,}",
            sum=format_vnd(line.sum_vnd, language),
        )
        said.append(
            f"{line.invariant:<4}{verdict:<9}{texts.text(language, 'finance.books.' + line.invariant)} {checked}"
        )
        said += [f"    ! {_in_words(finding, proof.at, language)}" for finding in line.findings]
        said += [f"    · {_in_words(item, proof.at, language)}" for item in line.open]
    said.append(texts.text(language, "finance.books.all_hold" if proof.holds else "finance.books.not_all_hold"))
    return said


def _in_words(finding: Finding, at: datetime, language: str) -> str:
    facts = [
        finding.operator,
        finding.account,
        finding.flow,
        None if finding.amount_vnd is None else format_vnd(finding.amount_vnd, language),
        None if finding.since is None else str(timedelta(seconds=max(int((at - finding.since).total_seconds()), 0))),
    ]
    return f"{finding.text(language)}: " + ", ".join(fact for fact in facts if fact)


async def _as_keeper(url: str) -> Proof:
    connection = await asyncpg.connect(url, timeout=10, server_settings={"application_name": "motcham books"})
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            return await prove(connection, every_day=True)
    finally:
        await connection.close()


# Every query returns (invariant, kind, rule, operator_id, account, flow, amount_vnd, since): `checked` rows first, whose
# flow is a count, then what is `red` or `open`. $1 = the operators, $3 = a salt.
#
# Where two lists of a million rows must be the same, both are added up first, each row as a number made of everything in
# it and of the salt, which nobody knows before the proof is made. Only lists that differ are joined, to name the rows: a
# scan costs a tenth of a join. That two different lists add up to the same is left to a chance of about 2^-64.

_MOST_IMPORTANT = """
select * from ({query}) found where $3::bigint is not null
order by case kind when 'checked' then 0 when 'red' then 1 else 2 end, since limit $2
"""

# What the ledger alone says: M2, M3, and of M9 that no clearing account holds what no open flow explains. A flow counts
# as amount × number of the flow, so that one scan adds up all flows at once.
_ACCOUNTS = """
with moved as materialized (
    select operator_id, debit, credit, sum(amount_vnd)::bigint as amount_vnd,
           sum(amount_vnd * uuid_hash_extended(flow, $3)::numeric)
               filter (where debit in ('intent_clearing', 'overpaid_held', 'refund_clearing')
                          or credit in ('intent_clearing', 'overpaid_held', 'refund_clearing')) as weighed,
           bool_or(flow is null) as flowless
    from payments.transfer where operator_id = any($1) group by operator_id, debit, credit
), turned as (
    select operator_id, account, sum(debits)::bigint as debits, sum(credits)::bigint as credits
    from (select operator_id, debit as account, amount_vnd as debits, 0 as credits from moved
          union all select operator_id, credit, 0, amount_vnd from moved) side
    group by operator_id, account
), known as (
    select coalesce(a.operator_id, t.operator_id) as operator_id, coalesce(a.code, t.account) as account, a.kind,
           a.code is not null as known, coalesce(a.authorising, false) as authorising,
           coalesce(t.debits, 0) as debits, coalesce(t.credits, 0) as credits
    from (select * from payments.account where operator_id = any($1)) a
    full join turned t on t.operator_id = a.operator_id and t.account = a.code
), balanced as (
    select coalesce(k.operator_id, b.operator_id) as operator_id, coalesce(k.account, b.account) as account,
           coalesce(k.authorising, false) as authorising, coalesce(k.debits - k.credits, 0) as moved_vnd, b.balance_vnd
    from (select * from known where authorising) k
    full join (select * from payments.balance where operator_id = any($1)) b
      on b.operator_id = k.operator_id and b.account = k.account
), reserved as (
    select b.operator_id, b.account, b.reserved_vnd - coalesce(r.amount_vnd, 0) as surplus_vnd
    from (select * from payments.balance where operator_id = any($1)) b
    left join (select r.operator_id, r.account, sum(r.amount_vnd)::bigint as amount_vnd from payments.reservation r
               left join payments.reservation_end e on e.operator_id = r.operator_id and e.reservation_id = r.id
               where r.operator_id = any($1) and e.reservation_id is null group by 1, 2) r
      on r.operator_id = b.operator_id and r.account = b.account
), closes as (
    select c.*, r.operator_id is null as living from payments.day_close c
    left join payments.day_reopening r on r.operator_id = c.operator_id and r.day = c.day and r.number = c.number
    where c.operator_id = any($1)
), last_closed as (
    select operator_id, max(day) as ever, max(day) filter (where living) as day,
           max(recorded_at) filter (where living) as at
    from closes group by 1
), since_closed as (
    select t.operator_id, side.account, sum(side.signed_vnd)::bigint as moved_vnd
    from last_closed l
    join payments.journal j on j.operator_id = l.operator_id and j.effective_day > l.day
    join payments.transfer t on t.operator_id = j.operator_id and t.journal_id = j.id
    cross join lateral (values (t.debit, t.amount_vnd), (t.credit, -t.amount_vnd)) side (account, signed_vnd)
    group by 1, 2
), snapshot as (
    select k.operator_id, k.account, l.at,
           coalesce(d.closing_vnd, 0) + coalesce(m.moved_vnd, 0) - (k.debits - k.credits) as surplus_vnd
    from known k
    join last_closed l on l.operator_id = k.operator_id and l.day is not null
    left join (select d.* from payments.day_balance d
               join closes c on c.operator_id = d.operator_id and c.day = d.day and c.number = d.number and c.living) d
      on d.operator_id = k.operator_id and d.day = l.day and d.account = k.account
    left join since_closed m on m.operator_id = k.operator_id and m.account = k.account
), closed_rows as (
    -- A close that has ended holds what was recorded before it; the one that counts, whatever takes effect on its day.
    select j.operator_id, j.effective_day as day, c.number, j.id, t.debit, t.credit, t.amount_vnd
    from last_closed l
    join payments.journal j on j.operator_id = l.operator_id and j.effective_day between l.ever - {days} and l.ever
    join payments.transfer t on t.operator_id = j.operator_id and t.journal_id = j.id
    left join closes c on c.operator_id = j.operator_id and c.day = j.effective_day
                      and (c.living or c.recorded_at > j.recorded_at)
    where c.number is not null or j.effective_day <= l.day
), closed_turnover as (
    select coalesce(c.operator_id, r.operator_id) as operator_id, coalesce(c.day, r.day) as day, c.recorded_at as at,
           coalesce(c.turnover_vnd, 0) - coalesce(r.turnover_vnd, 0) as surplus_vnd,
           c.journals is distinct from coalesce(r.journals, 0) as uncounted
    from (select c.* from closes c join last_closed l on l.operator_id = c.operator_id
          where c.day >= l.ever - {days}) c
    full join (select operator_id, day, number, count(distinct id) as journals, sum(amount_vnd)::bigint as turnover_vnd
               from closed_rows group by 1, 2, 3) r
      on r.operator_id = c.operator_id and r.day = c.day and r.number = c.number
), closed_account as (
    select coalesce(d.operator_id, r.operator_id) as operator_id, coalesce(d.account, r.account) as account,
           coalesce(d.day, r.day) as day,
           coalesce(d.debits_vnd, 0) - coalesce(r.debits_vnd, 0) as debits_vnd,
           coalesce(d.credits_vnd, 0) - coalesce(r.credits_vnd, 0) as credits_vnd
    from (select d.* from payments.day_balance d join last_closed l on l.operator_id = d.operator_id
          where d.day >= l.ever - {days}) d
    full join (select r.operator_id, r.day, r.number, side.account, sum(side.debit_vnd)::bigint as debits_vnd,
                      sum(side.credit_vnd)::bigint as credits_vnd
               from closed_rows r
               cross join lateral (values (r.debit, r.amount_vnd, 0), (r.credit, 0, r.amount_vnd))
                   side (account, debit_vnd, credit_vnd)
               group by 1, 2, 3, 4) r
      on r.operator_id = d.operator_id and r.day = d.day and r.number = d.number and r.account = d.account
), following as (
    -- Each close with that of the day before which counted when it was made.
    select c.operator_id, c.day, c.number, max(b.number) as before
    from closes c
    left join closes b on b.operator_id = c.operator_id and b.day = c.day - 1 and b.recorded_at <= c.recorded_at
    group by 1, 2, 3
), chained as (
    select operator_id, account, day, sum(surplus_vnd)::bigint as surplus_vnd
    from (select d.operator_id, d.account, d.day, d.number, d.closing_vnd - d.debits_vnd + d.credits_vnd as surplus_vnd
          from payments.day_balance d where d.operator_id = any($1)
          union all
          select d.operator_id, d.account, f.day, f.number, -d.closing_vnd from following f
          join payments.day_balance d on d.operator_id = f.operator_id and d.day = f.day - 1 and d.number = f.before) each
    group by operator_id, account, day, number
), ended as (
    select r.*, c.recorded_at as closed_at, q.id is null or q.state <> 'agreed' or q.kind <> 'reopen' or q.day <> r.day
               or q.number <> r.number or q.requested_by <> r.asked_by or q.decided_by <> r.agreed_by
               or r.asked_by = r.agreed_by or q.reason <> r.reason as unagreed
    from payments.day_reopening r
    left join payments.day_close c on c.operator_id = r.operator_id and c.day = r.day and c.number = r.number
    left join payments.book_request q on q.operator_id = r.operator_id and q.id = r.request_id
    where r.operator_id = any($1)
), out_of_turn as (
    -- The first close of a day follows nothing, each other one the reopening of the one before it; days follow each other.
    select c.operator_id, c.day, c.recorded_at as at
    from closes c
    left join ended e on e.operator_id = c.operator_id and e.day = c.day and e.number = c.number - 1
    where c.number > 1 and (e.recorded_at < c.recorded_at) is not true or c.number < 1
    union all
    select c.operator_id, c.day, c.recorded_at from closes c
    join last_closed l on l.operator_id = c.operator_id and c.day < l.day
    where not c.living
      and not exists (select from closes n where n.operator_id = c.operator_id and n.day = c.day and n.living)
    union all
    select l.operator_id, l.day, l.at from last_closed l
    where l.day - (select min(c.day) from closes c where c.operator_id = l.operator_id) + 1
          <> (select count(distinct c.day) from closes c where c.operator_id = l.operator_id and c.day <= l.day)
    union all
    -- A close ends once, after it was made, and while no later day is closed.
    select e.operator_id, e.day, e.recorded_at from ended e
    where (e.closed_at < e.recorded_at) is not true or exists (
        select from payments.day_close c
        left join payments.day_reopening r on r.operator_id = c.operator_id and r.day = c.day and r.number = c.number
        where c.operator_id = e.operator_id and c.day > e.day and c.recorded_at < e.recorded_at
          and (r.recorded_at < e.recorded_at) is not true)
    union all
    select coalesce(b.operator_id, l.operator_id), coalesce(l.day, b.closed_through), l.at
    from (select * from payments.book where operator_id = any($1)) b
    full join last_closed l on l.operator_id = b.operator_id
    where b.closed_through is distinct from l.day
), locked as (
    select m.operator_id, m.month, m.recorded_at,
           q.id is null or q.state <> 'agreed' or q.kind <> 'lock' or q.day <> m.month or q.requested_by <> m.asked_by
               or q.decided_by <> m.agreed_by or m.asked_by = m.agreed_by
           or (l.day >= m.month + interval '1 month' - interval '1 day') is not true
           or exists (select from ended e where e.operator_id = m.operator_id and e.recorded_at >= m.recorded_at
                        and e.day < m.month + interval '1 month') as unfit
    from payments.month_lock m
    left join last_closed l on l.operator_id = m.operator_id
    left join payments.book_request q on q.operator_id = m.operator_id and q.id = m.request_id
    where m.operator_id = any($1)
), drawer as (
    select k.operator_id, k.account, s.id, s.opened_at, s.closed_at, k.debits - k.credits as left_vnd
    from known k
    left join payments.shift s on s.operator_id = k.operator_id and 'cash_drawer:' || s.id = k.account
    where k.account like 'cash_drawer:%'
), receivable as (
    select k.operator_id, k.debits - k.credits as booked_vnd,
           coalesce(r.received_vnd, 0) - coalesce(b.sent_vnd, 0) - coalesce(g.gone_vnd, 0) - coalesce(p.paid_vnd, 0)
               - coalesce(c.matched_vnd, 0) as received_vnd, r.since
    from known k
    left join (select operator_id, sum(amount_vnd)::bigint as sent_vnd from payments.refund
               where operator_id = any($1) and state in ('accepted', 'settled') group by operator_id) b
      on b.operator_id = k.operator_id
    left join (select operator_id, sum(amount_vnd)::bigint as received_vnd, min(recorded_at) as since
               from payments.receipt where operator_id = any($1) group by operator_id) r
      on r.operator_id = k.operator_id
    left join (select operator_id, sum(amount_vnd)::bigint as gone_vnd from payments.debit
               where operator_id = any($1) group by operator_id) g
      on g.operator_id = k.operator_id
    left join (select operator_id, sum(amount_vnd)::bigint as paid_vnd from payments.payout
               where operator_id = any($1) and state = 'settled' group by operator_id) p
      on p.operator_id = k.operator_id
    left join (select operator_id, sum(moved_vnd)::bigint as matched_vnd from payments.claim
               where operator_id = any($1) group by operator_id) c
      on c.operator_id = k.operator_id
    where k.account = 'gw_receivable'
), in_suspense as (
    select k.operator_id, k.debits - k.credits - coalesce(g.left_vnd, 0) as surplus_vnd, g.since
    from known k
    left join (select operator_id, sum(amount_vnd - settled_vnd)::bigint as left_vnd, min(recorded_at) as since
               from payments.debit where operator_id = any($1) group by operator_id) g
      on g.operator_id = k.operator_id
    where k.account = 'suspense'
), unfinished as (
    select operator_id, id as flow, received_vnd as amount_vnd, created_at as since
    from payments.charge where operator_id = any($1) and state = 'partial'
), owed as (
    select h.operator_id, case when o.held_vnd > 0 then h.receipt_id else h.charge_id end as flow,
           sum(h.amount_vnd - h.used_vnd)::bigint as amount_vnd, min(h.opened_at) as since
    from payments.held h
    left join payments.receipt_outcome o on o.operator_id = h.operator_id and o.receipt_id = h.receipt_id
    where h.operator_id = any($1) and h.closed_at is null
      and h.reason not in ('unknown_reference', 'ambiguous', 'wrong_account', 'unknown_return')
    group by 1, 2
), going_back as (
    select f.operator_id, case when o.held_vnd > 0 then f.receipt_id else h.charge_id end as flow,
           sum(f.amount_vnd)::bigint as amount_vnd, min(f.requested_at) as since
    from payments.refund f
    left join payments.held h on h.operator_id = f.operator_id and h.receipt_id = f.receipt_id
    left join payments.receipt_outcome o on o.operator_id = f.operator_id and o.receipt_id = f.receipt_id
    where f.operator_id = any($1) and f.state in ('requested', 'approved', 'asking', 'unknown')
    group by 1, 2
), waiting as (
    select r.operator_id, r.id::text as flow, coalesce(h.amount_vnd - h.used_vnd, r.amount_vnd) as amount_vnd,
           r.recorded_at as since,
           o.receipt_id is null and not exists (
               select from foundation.due d
               where d.operator_id = r.operator_id and d.kind = 'payments.apply' and d.id = r.id::text) as forgotten
    from payments.receipt r
    left join payments.receipt_outcome o on o.operator_id = r.operator_id and o.receipt_id = r.id
    left join payments.held h on h.operator_id = r.operator_id and h.receipt_id = r.id and h.closed_at is null
    where r.operator_id = any($1)
      and (o.receipt_id is null or h.reason in ('unknown_reference', 'ambiguous', 'wrong_account', 'unknown_return'))
), weighed as (
    select sum(case 'intent_clearing' when credit then weighed when debit then -weighed end) as clearing,
           sum(case 'overpaid_held' when credit then weighed when debit then -weighed end) as holding,
           sum(case 'refund_clearing' when credit then weighed when debit then -weighed end) as refunding,
           sum(case 'unapplied_receipts' when credit then amount_vnd when debit then -amount_vnd end) as unapplied,
           bool_or(flowless and ('intent_clearing' in (debit, credit) or 'overpaid_held' in (debit, credit)
                                 or 'refund_clearing' in (debit, credit))) as astray
    from moved
), agree as materialized (
    select coalesce(clearing, 0) = coalesce((select sum(amount_vnd * uuid_hash_extended(flow, $3)::numeric)
                                             from unfinished), 0) and astray is not true as clearing,
           coalesce(holding, 0) = coalesce((select sum(amount_vnd * uuid_hash_extended(flow, $3)::numeric)
                                            from owed), 0) and astray is not true as holding,
           coalesce(refunding, 0) = coalesce((select sum(amount_vnd * uuid_hash_extended(flow, $3)::numeric)
                                              from going_back), 0) and astray is not true as refunding,
           coalesce(unapplied, 0) = coalesce((select sum(amount_vnd) from waiting), 0) as unapplied
    from weighed
), cleared as (
    select operator_id, flow, min(amount_vnd) as least_vnd,
           sum(case 'intent_clearing' when credit then amount_vnd when debit then -amount_vnd else 0 end)::bigint
               as clearing_vnd,
           sum(case 'overpaid_held' when credit then amount_vnd when debit then -amount_vnd else 0 end)::bigint
               as held_vnd,
           sum(case 'refund_clearing' when credit then amount_vnd when debit then -amount_vnd else 0 end)::bigint
               as refunding_vnd
    from payments.transfer
    where operator_id = any($1) and not (select clearing and holding and refunding from agree)
    group by 1, 2
), assigned as (
    select j.operator_id, split_part(j.source_id, '/', 1) as flow, min(j.recorded_at) as since,
           sum(case 'unapplied_receipts' when t.credit then t.amount_vnd else -t.amount_vnd end)::bigint as left_vnd
    from payments.transfer t
    join payments.journal j on j.operator_id = t.operator_id and j.id = t.journal_id
    where t.operator_id = any($1) and 'unapplied_receipts' in (t.debit, t.credit)
      and not (select unapplied from agree)
    group by 1, 2
)
select 'M2' as invariant, 'checked' as kind, '' as rule, null::uuid as operator_id, null as account,
       count(*)::text as flow, sum(debits)::bigint as amount_vnd, null::timestamptz as since from known
union all
select 'M3', 'checked', '', null, null, count(*)::text, sum(balance_vnd)::bigint, null from balanced
union all
select 'M9', 'checked', '', null, null, count(*)::text, sum(left_vnd)::bigint, null from drawer
union all
select 'M2', 'red', 'account_unknown', operator_id, account, null, debits - credits, null from known where not known
union all
select 'M2', 'red', 'account_unfit', k.operator_id, k.account, null, k.debits - k.credits, null
from known k
left join (values ('gw_receivable', 'C'), ('unapplied_receipts', 'L'), ('intent_clearing', 'C'),
                  ('operator_payable', 'L'), ('overpaid_held', 'L'), ('cash_in_transit', 'A'),
                  ('cash_over_short', 'E'), ('refund_clearing', 'C'), ('suspense', 'A'),
                  ('bank_charges', 'E'), ('losses', 'E'), ('kept_by_operator', 'C'),
                  ('payout_clearing', 'C'), ('rounding', 'E'), ('bank_interest', 'I')) platform (code, kind)
  on platform.code = k.account
where k.known and (k.kind, k.authorising) is distinct from
    (case when k.account like 'cash_drawer:%' or k.account like 'bank:%' then 'A'
          when k.account like 'payee_payable:%' or k.account like 'payee_reserve:%' then 'L' else platform.kind end,
     k.account like 'cash_drawer:%')
union all
select 'M2', 'red', 'accounts_unequal', operator_id, null, null, (sum(debits) - sum(credits))::bigint, null
from known where known group by operator_id having sum(debits) <> sum(credits)
union all
select 'M3', 'red', case when balance_vnd is null then 'balance_missing'
                         when not authorising then 'balance_unasked' else 'balance_differs' end,
       operator_id, account, null, coalesce(balance_vnd, 0) - moved_vnd, null
from balanced where balance_vnd is distinct from moved_vnd or not authorising
union all
select 'M3', 'red', 'reserved_differs', operator_id, account, null, surplus_vnd, null from reserved where surplus_vnd <> 0
union all
select 'M3', 'red', 'closed_day_differs', operator_id, account, null, surplus_vnd, at from snapshot where surplus_vnd <> 0
union all
select 'M3', 'red', 'closed_day_differs', operator_id, account, day::text, surplus_vnd, null
from chained where surplus_vnd <> 0
union all
select 'M3', 'red', 'closed_day_differs', operator_id, null, day::text, surplus_vnd, at
from closed_turnover where surplus_vnd <> 0 or uncounted
union all
select 'M3', 'red', 'closed_day_differs', operator_id, account, day::text, debits_vnd - credits_vnd, null
from closed_account where debits_vnd <> 0 or credits_vnd <> 0
union all
select 'M3', 'red', 'close_out_of_turn', operator_id, null, day::text, null, at from out_of_turn
union all
select 'M3', 'red', 'reopening_unfit', operator_id, null, day::text, null, recorded_at from ended where unagreed
union all
select 'M3', 'red', 'lock_unfit', operator_id, null, month::text, null, recorded_at from locked where unfit
union all
select 'M9', 'red', case when id is null then 'drawer_without_shift' else 'drawer_not_empty' end,
       operator_id, account, id::text, left_vnd, closed_at
from drawer where id is null or closed_at is not null and left_vnd <> 0
union all
select 'M9', 'red', 'receivable_differs', operator_id, 'gw_receivable', null, booked_vnd - received_vnd, since
from receivable where booked_vnd <> received_vnd
union all
select 'M9', 'red', 'suspense_unexplained', operator_id, 'suspense', null, surplus_vnd, since
from in_suspense where surplus_vnd <> 0
union all
select 'M9', 'red', 'clearing_not_zero', coalesce(c.operator_id, u.operator_id), 'intent_clearing',
       coalesce(c.flow, u.flow)::text, coalesce(c.clearing_vnd, 0) - coalesce(u.amount_vnd, 0),
       (select min(j.recorded_at) from payments.transfer t
        join payments.journal j on j.operator_id = t.operator_id and j.id = t.journal_id
        where t.operator_id = coalesce(c.operator_id, u.operator_id) and t.flow = coalesce(c.flow, u.flow))
from (select * from cleared where clearing_vnd <> 0) c
full join unfinished u on u.operator_id = c.operator_id and u.flow = c.flow
where not (select clearing from agree) and coalesce(c.clearing_vnd, 0) <> coalesce(u.amount_vnd, 0)
union all
select 'M9', 'red', 'held_unexplained', coalesce(c.operator_id, o.operator_id), 'overpaid_held',
       coalesce(c.flow, o.flow)::text, coalesce(c.held_vnd, 0) - coalesce(o.amount_vnd, 0), o.since
from (select * from cleared where held_vnd <> 0) c
full join owed o on o.operator_id = c.operator_id and o.flow = c.flow
where not (select holding from agree) and coalesce(c.held_vnd, 0) <> coalesce(o.amount_vnd, 0)
union all
select 'M9', 'red', 'refund_unexplained', coalesce(c.operator_id, g.operator_id), 'refund_clearing',
       coalesce(c.flow, g.flow)::text, coalesce(c.refunding_vnd, 0) - coalesce(g.amount_vnd, 0), g.since
from (select * from cleared where refunding_vnd <> 0) c
full join going_back g on g.operator_id = c.operator_id and g.flow = c.flow
where not (select refunding from agree) and coalesce(c.refunding_vnd, 0) <> coalesce(g.amount_vnd, 0)
union all
select 'M9', 'red', 'unapplied_unexplained', coalesce(a.operator_id, w.operator_id), 'unapplied_receipts',
       coalesce(a.flow, w.flow), coalesce(a.left_vnd, 0) - coalesce(w.amount_vnd, 0), coalesce(a.since, w.since)
from (select * from assigned where left_vnd <> 0) a
full join waiting w on w.operator_id = a.operator_id and w.flow = a.flow
where not (select unapplied from agree) and coalesce(a.left_vnd, 0) <> coalesce(w.amount_vnd, 0)
union all
select 'M9', 'red', 'receipt_forgotten', operator_id, 'unapplied_receipts', flow, amount_vnd, since
from waiting where forgotten
union all
select 'M9', 'open', 'drawer_open', operator_id, account, id::text, left_vnd, opened_at
from drawer where id is not null and closed_at is null
union all
select 'M9', 'open', 'receivable_unmatched', operator_id, 'gw_receivable', null, booked_vnd, since
from receivable where booked_vnd = received_vnd and booked_vnd <> 0
union all
select 'M9', 'open', 'clearing_open', operator_id, 'intent_clearing', flow::text, amount_vnd, since from unfinished
union all
select 'M9', 'open', 'held_open', operator_id, 'overpaid_held', flow::text, amount_vnd, since from owed
union all
select 'M9', 'open', 'refund_open', operator_id, 'refund_clearing', flow::text, amount_vnd, since from going_back
union all
select 'M9', 'open', 'unapplied_open', operator_id, 'unapplied_receipts', flow, amount_vnd, since from waiting
union all
select 'M9', 'open', 'suspense_open', operator_id, 'suspense', bank_ref, amount_vnd - settled_vnd, recorded_at
from payments.debit where operator_id = any($1) and settled_vnd < amount_vnd
union all
select 'M9', 'open', 'line_undecided', operator_id, kind, id, null, parked_at from foundation.due
where operator_id = any($1) and parked_at is not null
  and kind in ('payments.receipt_differs', 'payments.unreadable', 'payments.attempt_differs')
"""

# What arrived, what became of it and what the payments say they received: M4, and of M6 when a payment was made.
_RECEIPTS = """
with outcome as not materialized (
    select coalesce(r.operator_id, o.operator_id) as operator_id, coalesce(r.id, o.receipt_id) as receipt_id,
           r.amount_vnd, r.paid_at, r.recorded_at, o.outcome, o.charge_id, o.applied_vnd, o.held_vnd
    from (select operator_id, id, amount_vnd, paid_at, recorded_at from payments.receipt where operator_id = any($1)) r
    full join (select * from payments.receipt_outcome where operator_id = any($1)) o
      on o.operator_id = r.operator_id and o.receipt_id = r.id
), notes as not materialized (
    select * from payments.cash_receipt where operator_id = any($1)
), given as not materialized (
    select operator_id, charge_id, receipt_id, number, amount_vnd, at from payments.held_use
    where operator_id = any($1) and kind = 'applied'
), refused as (
    select operator_id, id, state from payments.charge where operator_id = any($1) and state in ('refused', 'lapsed')
), arrived as (
    select count(*) as receipts, sum(amount_vnd)::bigint as sum_vnd,
           bool_or(outcome is not null and applied_vnd + held_vnd is distinct from amount_vnd) as differs,
           sum(applied_vnd * uuid_hash_extended(charge_id, $3)::numeric) as applied,
           sum(uuid_hash_extended(charge_id, timestamptz_hash_extended(paid_at, $3)))
               filter (where outcome in ('applied', 'overpaid')) as settled
    from outcome
), sold as (
    select sum(amount_vnd * uuid_hash_extended(charge_id, $3)::numeric) as applied,
           sum(uuid_hash_extended(charge_id, timestamptz_hash_extended(at, $3))) as settled
    from (select charge_id, amount_vnd, at from notes union all select charge_id, amount_vnd, at from given) sold
), given_up as (
    select coalesce((select sum(o.applied_vnd * uuid_hash_extended(o.charge_id, $3)::numeric)
                     from refused r join payments.receipt_outcome o
                       on o.operator_id = r.operator_id and o.charge_id = r.id), 0)
         + coalesce((select sum(k.amount_vnd * uuid_hash_extended(k.charge_id, $3)::numeric)
                     from refused r join notes k on k.operator_id = r.operator_id and k.charge_id = r.id), 0) as applied
), charged as (
    select count(*) as charges, sum(received_vnd * uuid_hash_extended(id, $3)::numeric) as received,
           sum(uuid_hash_extended(id, timestamptz_hash_extended(coalesce(paid_at, '-infinity'), $3)))
               filter (where state = 'paid') as settled
    from payments.charge where operator_id = any($1)
), agree as materialized (
    select a.differs is not true as outcome,
           coalesce(c.received, 0) = coalesce(a.applied, 0) + coalesce(s.applied, 0) - g.applied as received,
           coalesce(c.settled, 0) = coalesce(a.settled, 0) + coalesce(s.settled, 0) as settled,
           a.receipts, a.sum_vnd, c.charges
    from arrived a, sold s, given_up g, charged c
), received as (
    select coalesce(c.operator_id, a.operator_id) as operator_id, coalesce(c.id, a.charge_id) as charge_id, c.created_at,
           c.received_vnd - case when c.state in ('refused', 'lapsed') then 0 else coalesce(a.applied_vnd, 0) end as surplus_vnd
    from (select * from payments.charge where operator_id = any($1)) c
    full join (select operator_id, charge_id, sum(applied_vnd)::bigint as applied_vnd
               from (select operator_id, charge_id, applied_vnd from outcome where charge_id is not null
                     union all select operator_id, charge_id, amount_vnd from notes
                     union all select operator_id, charge_id, amount_vnd from given) paid
               group by 1, 2) a
      on a.operator_id = c.operator_id and a.charge_id = c.id
), settled as (
    select coalesce(c.operator_id, s.operator_id) as operator_id, coalesce(c.id, s.charge_id) as charge_id,
           c.paid_at, s.at, coalesce(s.at, c.paid_at, c.created_at) as since
    from (select * from payments.charge where operator_id = any($1) and state = 'paid') c
    full join (select operator_id, charge_id, paid_at as at from outcome where outcome in ('applied', 'overpaid')
               union all select operator_id, charge_id, at from notes
               union all select operator_id, charge_id, at from given) s
      on s.operator_id = c.operator_id and s.charge_id = c.id
), given_back as not materialized (
    select * from payments.given_back where operator_id = any($1)
), refunding as (
    select operator_id, receipt_id, bool_or(state in ('returned', 'refused')) as failed,
           coalesce(sum(amount_vnd) filter (where state not in ('returned', 'refused', 'rejected')), 0)::bigint
               as amount_vnd,
           min(requested_at) as since
    from payments.refund where operator_id = any($1) group by 1, 2
), should_hold as (
    select operator_id, receipt_id, min(reason) as reason, sum(amount_vnd)::bigint as amount_vnd,
           bool_or(reason is null) as given_back
    from (select operator_id, receipt_id,
                 case when outcome = 'proxy' then 'overpaid'
                      when outcome = 'deposit' and applied_vnd > 0 then 'deposit_over'
                      when outcome = 'deposit' then 'deposit_twice' else outcome end as reason,
                 held_vnd as amount_vnd
          from payments.receipt_outcome where operator_id = any($1) and held_vnd > 0
          union all
          select o.operator_id, o.receipt_id, c.state, o.applied_vnd from payments.receipt_outcome o
          join refused c on c.operator_id = o.operator_id and c.id = o.charge_id
          where o.applied_vnd > 0
          union all
          select operator_id, receipt_id, null, amount_vnd from given_back) each
    group by 1, 2
), holding as (
    select coalesce(s.operator_id, h.operator_id) as operator_id, coalesce(s.receipt_id, h.receipt_id) as receipt_id,
           coalesce(h.amount_vnd, 0) - coalesce(s.amount_vnd, 0) as surplus_vnd, h.opened_at,
           h.reason is not distinct from s.reason
           or h.reason = 'given_back' and s.given_back
           or h.reason = 'returned' and exists (select from refunding f where f.operator_id = h.operator_id
                                                  and f.receipt_id = h.receipt_id and f.failed)
           or h.reason = 'overpaid' and s.reason in ('unknown_reference', 'ambiguous', 'wrong_account', 'unknown_return')
              and (exists (select from payments.held_use g where g.operator_id = h.operator_id
                                                                     and g.receipt_id = h.receipt_id)
                   or exists (select from refunding f where f.operator_id = h.operator_id
                                                        and f.receipt_id = h.receipt_id)) as fits
    from should_hold s
    full join (select * from payments.held where operator_id = any($1)) h
      on h.operator_id = s.operator_id and h.receipt_id = s.receipt_id
), proxy as (
    select operator_id, reference, sum(amount_vnd)::bigint as arrived_vnd
    from payments.proxy_arrival where operator_id = any($1) group by 1, 2
), for_notes as (
    -- What came for notes (an attendant's transfer, a bag), met with what the receipts and the decisions say of it.
    select coalesce(a.operator_id, o.operator_id) as operator_id, coalesce(a.receipt_id, o.receipt_id) as receipt_id,
           coalesce(a.amount_vnd, 0) - coalesce(o.amount_vnd, 0) as surplus_vnd, coalesce(a.at, o.at) as since,
           a.named is false as astray
    from (select a.operator_id, a.receipt_id, a.use, 'proxy' as kind, a.amount_vnd, a.at,
                 a.use > 0 or a.reference = any(r.references_found) as named
          from payments.proxy_arrival a
          left join payments.receipt r on r.operator_id = a.operator_id and r.id = a.receipt_id
          where a.operator_id = any($1)
          union all
          select a.operator_id, a.receipt_id, a.use, 'deposit', a.amount_vnd, a.at,
                 a.use > 0 or a.reference = any(r.references_found)
          from payments.deposit_arrival a
          left join payments.receipt r on r.operator_id = a.operator_id and r.id = a.receipt_id
          where a.operator_id = any($1)) a
    full join (select operator_id, receipt_id, 0 as use, outcome as kind, applied_vnd as amount_vnd, at
               from payments.receipt_outcome
               where operator_id = any($1) and outcome in ('proxy', 'deposit') and applied_vnd > 0
               union all
               select operator_id, receipt_id, number, kind, amount_vnd, at
               from payments.held_use where operator_id = any($1) and kind in ('proxy', 'deposit')) o
      on o.operator_id = a.operator_id and o.receipt_id = a.receipt_id and o.use = a.use and o.kind = a.kind
), in_bags as (
    select d.operator_id, d.reference, d.made_at, d.number, d.arrived_vnd - coalesce(a.amount_vnd, 0) as arrived_vnd,
           d.amount_vnd - coalesce(i.amount_vnd, 0) as bagged_vnd
    from payments.deposit d
    left join (select operator_id, reference, sum(amount_vnd)::bigint as amount_vnd from payments.deposit_arrival
               where operator_id = any($1) group by 1, 2) a
      on a.operator_id = d.operator_id and a.reference = d.reference
    left join (select operator_id, reference, sum(amount_vnd)::bigint as amount_vnd from payments.deposit_shift
               where operator_id = any($1) group by 1, 2) i
      on i.operator_id = d.operator_id and i.reference = d.reference
    where d.operator_id = any($1)
), used as (
    select h.operator_id, h.receipt_id, h.opened_at,
           h.used_vnd - coalesce(sum(u.amount_vnd), 0)::bigint - coalesce(max(f.amount_vnd), 0) as surplus_vnd
    from payments.held h
    left join payments.held_use u on u.operator_id = h.operator_id and u.receipt_id = h.receipt_id
    left join refunding f on f.operator_id = h.operator_id and f.receipt_id = h.receipt_id
    where h.operator_id = any($1) group by h.operator_id, h.receipt_id
), beyond as (
    select f.operator_id, f.receipt_id, f.since, f.amount_vnd - coalesce(r.amount_vnd, 0) as surplus_vnd
    from refunding f
    left join payments.receipt r on r.operator_id = f.operator_id and r.id = f.receipt_id
), taken_back as (
    select coalesce(c.operator_id, g.operator_id) as operator_id, coalesce(c.id, g.charge_id) as charge_id, c.created_at,
           coalesce(c.given_back_vnd, 0) - coalesce(g.amount_vnd, 0) as surplus_vnd
    from (select * from payments.charge where operator_id = any($1) and given_back_vnd <> 0) c
    full join (select operator_id, charge_id, sum(amount_vnd)::bigint as amount_vnd
               from (select operator_id, charge_id, amount_vnd from given_back
                     union all
                     select operator_id, charge_id, amount_vnd from payments.cash_refund where operator_id = any($1)) given
               group by 1, 2) g
      on g.operator_id = c.operator_id and g.charge_id = c.id
), gone as (
    select d.operator_id, d.id, d.recorded_at, d.settled_vnd - coalesce(sum(s.amount_vnd), 0)::bigint as surplus_vnd
    from payments.debit d
    left join payments.debit_settled s on s.operator_id = d.operator_id and s.debit_id = d.id
    where d.operator_id = any($1) group by d.operator_id, d.id
), met_with as (
    -- What held money was used for debits, met with what was said of the debits.
    select coalesce(u.operator_id, s.operator_id) as operator_id, coalesce(u.receipt_id, s.receipt_id) as receipt_id,
           coalesce(u.at, s.at) as since, coalesce(u.amount_vnd, 0) - coalesce(s.amount_vnd, 0) as surplus_vnd
    from (select * from payments.held_use where operator_id = any($1) and kind = 'debit') u
    full join (select * from payments.debit_settled where operator_id = any($1) and way = 'receipt') s
      on s.operator_id = u.operator_id and s.receipt_id = u.receipt_id and s.use = u.number
), transferred as (
    select p.operator_id, p.reference, p.asked_at, p.received_vnd - coalesce(a.arrived_vnd, 0) as surplus_vnd
    from payments.proxy_transfer p
    left join proxy a on a.operator_id = p.operator_id and a.reference = p.reference
    where p.operator_id = any($1)
), released as (
    select coalesce(p.operator_id, g.operator_id) as operator_id, coalesce(p.reference, g.charge_id::text) as flow,
           coalesce(p.asked_at, g.since) as since, coalesce(p.released_vnd, 0) - coalesce(g.amount_vnd, 0) as surplus_vnd
    from (select t.*, k.charge_id from payments.proxy_transfer t
          left join notes k on k.operator_id = t.operator_id and k.shift_id = t.shift_id and k.number = t.receipt_number
          where t.operator_id = any($1)) p
    full join (select operator_id, charge_id, sum(proxy_vnd)::bigint as amount_vnd, min(at) as since
               from payments.cash_refund where operator_id = any($1) and proxy_vnd <> 0 group by 1, 2) g
      on g.operator_id = p.operator_id and g.charge_id = p.charge_id
), kept as (
    select coalesce(p.operator_id, k.operator_id) as operator_id, coalesce(p.reference, k.id::text) as flow,
           coalesce(p.asked_at, k.at) as since, coalesce(p.amount_vnd, 0) - coalesce(k.amount_vnd, 0) as surplus_vnd
    from (select * from payments.proxy_transfer where operator_id = any($1)) p
    full join (select * from notes where proxy) k
      on k.operator_id = p.operator_id and k.shift_id = p.shift_id and k.number = p.receipt_number
)
select 'M4' as invariant, 'checked' as kind, '' as rule, null::uuid as operator_id, null as account,
       receipts::text as flow, sum_vnd as amount_vnd, null::timestamptz as since from agree
union all
select 'M9', 'checked', '', null, null, (charges + receipts)::text, 0, null from agree
union all
select 'M4', 'red', case when amount_vnd is null then 'outcome_without_receipt' else 'outcome_differs' end,
       operator_id, null, receipt_id::text, applied_vnd + held_vnd - coalesce(amount_vnd, 0), recorded_at
from outcome
where not (select outcome from agree) and outcome is not null and applied_vnd + held_vnd is distinct from amount_vnd
union all
select 'M4', 'red', 'received_differs', operator_id, null, charge_id::text, surplus_vnd, created_at
from received where not (select received from agree) and surplus_vnd is distinct from 0
union all
select 'M4', 'red', 'held_differs', operator_id, null, receipt_id::text, surplus_vnd, opened_at
from holding where surplus_vnd <> 0 or fits is not true
union all
select 'M4', 'red', 'refund_beyond_receipt', operator_id, null, receipt_id::text, surplus_vnd, since
from beyond where surplus_vnd > 0
union all
select 'M4', 'red', 'given_back_differs', operator_id, null, charge_id::text, surplus_vnd, created_at
from taken_back where surplus_vnd <> 0
union all
select 'M4', 'red', 'held_use_differs', operator_id, null, receipt_id::text, surplus_vnd, opened_at
from used where surplus_vnd <> 0
union all
select 'M4', 'red', 'debit_differs', operator_id, null, id::text, surplus_vnd, recorded_at from gone where surplus_vnd <> 0
union all
select 'M4', 'red', 'debit_differs', operator_id, null, receipt_id::text, surplus_vnd, since
from met_with where surplus_vnd <> 0
union all
select 'M4', 'red', 'proxy_differs', operator_id, null, reference, surplus_vnd, asked_at
from transferred where surplus_vnd <> 0
union all
select 'M4', 'red', 'proxy_released_differs', operator_id, null, flow, surplus_vnd, since
from released where surplus_vnd <> 0
union all
select 'M4', 'red', 'notes_arrival_differs', operator_id, null, receipt_id::text, surplus_vnd, since
from for_notes where surplus_vnd <> 0 or astray
union all
select 'M4', 'red', 'deposit_differs', operator_id, null, reference,
       case when arrived_vnd <> 0 then arrived_vnd else bagged_vnd end, made_at
from in_bags where arrived_vnd <> 0 or bagged_vnd <> 0
union all
select 'M4', 'red', 'proxy_amount_differs', operator_id, null, flow, surplus_vnd, since from kept where surplus_vnd <> 0
union all
select 'M6', 'red', 'paid_at_differs', operator_id, null, charge_id::text, null, since
from settled where not (select settled from agree) and paid_at is distinct from at
"""

# What gateways said of attempts on their pages, met with the money that came from there: M4.
_ATTEMPTS = """
with met as (
    select coalesce(a.operator_id, r.operator_id) as operator_id, coalesce(r.bank_account, a.account) as account,
           coalesce(a.gateway_ref, r.bank_ref) as flow, coalesce(r.amount_vnd, 0) - coalesce(a.amount_vnd, 0) as surplus_vnd,
           coalesce(r.recorded_at, a.ended_at) as since, a.gateway_ref is distinct from r.facts ->> 'ref' as unlike
    from (select *, gateway || '/' || merchant as account from payments.attempt
          where operator_id = any($1) and state = 'paid') a
    full join (select * from payments.receipt where operator_id = any($1) and gateway <> 'bank') r
      on r.operator_id = a.operator_id and r.bank_account = a.account and r.bank_ref = a.transaction_no
)
select 'M4' as invariant, 'red' as kind, 'attempt_differs' as rule, operator_id, account, flow,
       surplus_vnd as amount_vnd, since
from met where surplus_vnd <> 0 or unlike
"""

# What the facts demand, met with what is booked: M1, M6, and of M8 time and day.
_SAID = (
    "coalesce(hashtextextended(source_type, hashtextextended(source_id, hashtextextended(purpose,"
    " hashtextextended(template, timestamptz_hash_extended(coalesce(at, '-infinity'), uuid_hash_extended(operator_id, $3)))))), 0)"
)
_MOVED = (
    "coalesce(hashtextextended(debit, hashtextextended(credit, hashint8extended(amount_vnd,"
    " uuid_hash_extended(coalesce(flow, operator_id), $3)))), 0)"
)
_EVENTS = """
with common as not materialized (
    select operator_id, 'receipt' as source_type, id::text as source_id, 'seen' as purpose, 'receipt.seen' as template,
           'gw_receivable' as debit, 'unapplied_receipts' as credit, amount_vnd, id as flow, paid_at as at
    from payments.receipt where operator_id = any($1)
    union all
    select o.operator_id, 'receipt', o.receipt_id::text, 'applied', 'receipt.applied', 'unapplied_receipts',
           'intent_clearing', o.applied_vnd, o.charge_id, r.paid_at
    from payments.receipt_outcome o
    left join payments.receipt r on r.operator_id = o.operator_id and r.id = o.receipt_id
    where o.operator_id = any($1) and o.applied_vnd > 0 and o.outcome not in ('proxy', 'deposit')
    union all
    select o.operator_id, 'receipt', o.receipt_id::text, 'held', 'receipt.held', 'unapplied_receipts', 'overpaid_held',
           o.held_vnd, o.receipt_id,
           case when o.outcome in ('unknown_reference', 'ambiguous', 'wrong_account', 'unknown_return')
                then (select min(at) from (
                          select u.at from payments.held_use u
                          where u.operator_id = o.operator_id and u.receipt_id = o.receipt_id
                          union all
                          select f.requested_at from payments.refund f
                          where f.operator_id = o.operator_id and f.receipt_id = o.receipt_id) decided)
                else r.paid_at end
    from payments.receipt_outcome o
    left join payments.receipt r on r.operator_id = o.operator_id and r.id = o.receipt_id
    left join payments.held h on h.operator_id = o.operator_id and h.receipt_id = o.receipt_id
    where o.operator_id = any($1) and o.held_vnd > 0
      and coalesce(h.reason, o.outcome) not in ('unknown_reference', 'ambiguous', 'wrong_account', 'unknown_return')
    union all
    select u.operator_id, 'held', u.receipt_id || '/' || u.number, 'taken', 'held.taken', 'overpaid_held',
           'unapplied_receipts', u.amount_vnd, case when o.held_vnd > 0 then u.receipt_id else h.charge_id end, u.at
    from payments.held_use u
    left join payments.held h on h.operator_id = u.operator_id and h.receipt_id = u.receipt_id
    left join payments.receipt_outcome o on o.operator_id = u.operator_id and o.receipt_id = u.receipt_id
    where u.operator_id = any($1)
    union all
    select operator_id, 'held', receipt_id || '/' || number, 'applied', 'receipt.applied', 'unapplied_receipts',
           'intent_clearing', amount_vnd, charge_id, at
    from payments.held_use where operator_id = any($1) and kind = 'applied'
    union all
    select g.operator_id, 'given_back', g.receipt_id || '/' || g.number, 'given_back', 'charge.given_back',
           'operator_payable', 'overpaid_held', g.amount_vnd,
           case when o.held_vnd > 0 then g.receipt_id else h.charge_id end, g.at
    from payments.given_back g
    left join payments.held h on h.operator_id = g.operator_id and h.receipt_id = g.receipt_id
    left join payments.receipt_outcome o on o.operator_id = g.operator_id and o.receipt_id = g.receipt_id
    where g.operator_id = any($1)
    union all
    select f.operator_id, 'refund', f.id::text, due.purpose, 'refund.' || due.purpose, due.debit, due.credit, f.amount_vnd,
           case when o.held_vnd > 0 then f.receipt_id else h.charge_id end, due.at
    from payments.refund f
    left join payments.held h on h.operator_id = f.operator_id and h.receipt_id = f.receipt_id
    left join payments.receipt_outcome o on o.operator_id = f.operator_id and o.receipt_id = f.receipt_id
    cross join lateral (values ('requested', 'overpaid_held', 'refund_clearing', f.requested_at),
                               ('sent', 'refund_clearing', 'gw_receivable', f.accepted_at)) due (purpose, debit, credit, at)
    where f.operator_id = any($1) and due.at is not null
    union all
    select f.operator_id, 'journal', j.id::text, 'reversed', 'reversal',
           case j.purpose when 'requested' then 'refund_clearing' else 'gw_receivable' end,
           case j.purpose when 'requested' then 'overpaid_held' else 'refund_clearing' end, f.amount_vnd,
           case when o.held_vnd > 0 then f.receipt_id else h.charge_id end, f.ended_at
    from payments.refund f
    join payments.journal j on j.operator_id = f.operator_id and j.source_type = 'refund' and j.source_id = f.id::text
                           and j.purpose in ('requested', 'sent')
    left join payments.held h on h.operator_id = f.operator_id and h.receipt_id = f.receipt_id
    left join payments.receipt_outcome o on o.operator_id = f.operator_id and o.receipt_id = f.receipt_id
    where f.operator_id = any($1) and f.state in ('returned', 'refused', 'rejected')
    union all
    select operator_id, 'charge', id::text, 'delivered', 'service.delivered', 'intent_clearing', 'operator_payable',
           amount_vnd, id, paid_at
    from payments.charge where operator_id = any($1) and state = 'paid'
    union all
    select operator_id, 'charge', charge_id::text, 'cash', 'cash.sold', 'cash_drawer:' || shift_id, 'intent_clearing',
           amount_vnd, charge_id, at
    from payments.cash_receipt where operator_id = any($1)
    union all
    select operator_id, 'deposit', reference, 'short', 'deposit.short', 'cash_over_short', 'cash_in_transit', short_vnd,
           null, short_agreed_at
    from payments.deposit where operator_id = any($1) and short_agreed_at is not null
    union all
    select operator_id, 'debit', id::text, 'seen', 'debit.seen', 'suspense', 'gw_receivable', amount_vnd, id, left_at
    from payments.debit where operator_id = any($1)
    union all
    select operator_id, case way when 'receipt' then 'held' else 'debit' end,
           case way when 'receipt' then receipt_id || '/' || use else debit_id || '/' || number end,
           case way when 'receipt' then 'met' else 'settled' end,
           case way when 'receipt' then 'debit.met' when 'charge' then 'debit.charge' else 'debit.lost' end,
           case way when 'receipt' then 'unapplied_receipts' when 'charge' then 'bank_charges' else 'losses' end,
           'suspense', amount_vnd, case way when 'receipt' then receipt_id else debit_id end, at
    from payments.debit_settled where operator_id = any($1)
    union all
    select operator_id, 'shift', id::text, 'opened', 'shift.opened', 'cash_drawer:' || id, 'cash_in_transit', float_vnd,
           null, opened_at
    from payments.shift where operator_id = any($1) and float_vnd > 0
    union all
    select operator_id, 'shift', id::text, 'closed', 'shift.closed', 'cash_in_transit', 'cash_drawer:' || id,
           counted_vnd, null, closed_at
    from payments.shift where operator_id = any($1) and closed_at is not null and counted_vnd > 0
    union all
    select operator_id, 'shift', id::text, 'difference',
           case when counted_vnd > expected_vnd then 'shift.over' else 'shift.short' end,
           case when counted_vnd > expected_vnd then 'cash_drawer:' || id else 'cash_over_short' end,
           case when counted_vnd > expected_vnd then 'cash_over_short' else 'cash_drawer:' || id end,
           abs(counted_vnd - expected_vnd), null, counted_at
    from payments.shift where operator_id = any($1) and counted_vnd <> expected_vnd
    union all
    select s.operator_id, 'settlement', s.day || '/' || s.payee_id, e.purpose, e.template, e.debit, e.credit, e.amount_vnd,
           null, t.made_at
    from payments.payee_statement s
    join payments.settlement t on t.operator_id = s.operator_id and t.day = s.day
    join payments.payee p on p.operator_id = s.operator_id and p.id = s.payee_id
    left join payments.payee o on o.operator_id = s.operator_id
                              and o.kind = case p.kind when 'operator' then 'platform' when 'platform' then 'operator' end
    cross join lateral (values
        ('earned', 'payee.earned', 'operator_payable', 'payee_payable:' || p.id, s.gross_vnd),
        ('gave_back', 'payee.gave_back', 'payee_payable:' || p.id, 'operator_payable', s.refunds_vnd),
        ('fee', 'payee.paid', 'payee_payable:' || p.id, 'payee_payable:' || o.id, s.fees_vnd),
        ('reserve', 'payee.held_back', 'payee_payable:' || p.id, 'payee_reserve:' || p.id, s.reserve_vnd),
        ('reserve', 'payee.released', 'payee_reserve:' || p.id, 'payee_payable:' || p.id, -s.reserve_vnd)
    ) e (purpose, template, debit, credit, amount_vnd)
    where s.operator_id = any($1) and e.amount_vnd > 0
    union all
    select a.operator_id, 'settlement', a.day || '/' || a.payee_id,
           case a.kind when 'rent' then 'rent:' || d.id else a.kind end,
           case when a.kind = 'rent' then 'payee.paid' when a.amount_vnd < 0 then 'payee.kept' else 'payee.handed' end,
           case when a.amount_vnd < 0 then 'payee_payable:' || a.payee_id else 'kept_by_operator' end,
           case when a.kind = 'rent' then 'payee_payable:' || d.payee_id
                when a.amount_vnd < 0 then 'kept_by_operator' else 'payee_payable:' || a.payee_id end,
           abs(a.amount_vnd), null, t.made_at
    from payments.payee_adjustment a
    join payments.settlement t on t.operator_id = a.operator_id and t.day = a.day
    left join payments.due_item d on d.operator_id = a.operator_id and d.id = a.due_item_id
    where a.operator_id = any($1) and (a.kind <> 'rent' or a.amount_vnd < 0)
    union all
    select p.operator_id, 'payout', p.id::text, e.purpose, 'payout.' || e.purpose, e.debit, e.credit, p.amount_vnd, p.id, e.at
    from payments.payout p
    cross join lateral (values
        ('reserved', 'payee_payable:' || p.payee_id, 'payout_clearing', p.approved_at),
        ('sent', 'payout_clearing', 'gw_receivable', p.left_at)
    ) e (purpose, debit, credit, at)
    where p.operator_id = any($1) and e.at is not null
    union all
    select p.operator_id, 'journal', j.id::text, 'reversed', 'reversal',
           case j.purpose when 'reserved' then 'payout_clearing' else 'gw_receivable' end,
           case j.purpose when 'reserved' then 'payee_payable:' || p.payee_id else 'payout_clearing' end, p.amount_vnd, p.id,
           p.ended_at
    from payments.payout p
    join payments.journal j on j.operator_id = p.operator_id and j.source_type = 'payout' and j.source_id = p.id::text
                           and j.purpose in ('reserved', 'sent')
    where p.operator_id = any($1) and p.state in ('rejected', 'returned', 'cancelled')
    union all
    select operator_id, 'matching', event_id || '/' || account || '/' || day || '/' || number, template, template,
           case template when 'line.credit' then 'bank:' || account when 'line.less' then account else 'gw_receivable' end,
           case template when 'line.debit' then 'bank:' || account when 'line.more' then account else 'gw_receivable' end,
           amount_vnd, null, effective_at
    from payments.matched_sum where operator_id = any($1)
), notes as not materialized (
    select a.operator_id, case when a.use = 0 then 'receipt' else 'held' end as source_type,
           a.receipt_id || case when a.use = 0 then '' else '/' || a.use end as source_id, e.purpose, e.template,
           'unapplied_receipts' as debit, e.credit, e.amount_vnd, a.receipt_id as flow,
           case when a.use = 0 then r.paid_at else u.at end as at
    from (select a.operator_id, a.receipt_id, a.use, a.amount_vnd, a.explained_vnd, a.drawer_vnd, p.shift_id
          from payments.proxy_arrival a
          left join payments.proxy_transfer p on p.operator_id = a.operator_id and p.reference = a.reference
          where a.operator_id = any($1)
          union all
          select operator_id, receipt_id, use, amount_vnd, null, null, null
          from payments.deposit_arrival where operator_id = any($1)) a
    left join payments.receipt r on r.operator_id = a.operator_id and r.id = a.receipt_id
    left join payments.held_use u on u.operator_id = a.operator_id and u.receipt_id = a.receipt_id and u.number = a.use
    cross join lateral (values
        ('applied', 'proxy.transferred', 'cash_drawer:' || a.shift_id, a.drawer_vnd),
        ('from_safe', 'proxy.transferred', 'cash_in_transit', a.amount_vnd - a.drawer_vnd - a.explained_vnd),
        ('explained', 'proxy.explained', 'cash_over_short', a.explained_vnd),
        ('deposited', 'deposit.arrived', 'cash_in_transit', case when a.drawer_vnd is null then a.amount_vnd end)
    ) e (purpose, template, credit, amount_vnd)
    where e.amount_vnd > 0
    union all
    select operator_id, 'shift', shift_id || '/' || number, 'found', 'shift.found', 'cash_in_transit', 'cash_over_short',
           amount_vnd, null, at
    from payments.notes_found where operator_id = any($1)
    union all
    select operator_id, 'cash_drop', id::text, 'dropped', 'cash.dropped', 'cash_in_transit', 'cash_drawer:' || shift_id,
           amount_vnd, null, received_at
    from payments.cash_drop where operator_id = any($1) and received_at is not null
    union all
    select r.operator_id, 'cash_refund', r.id::text, e.purpose, e.template, e.debit, e.credit, r.amount_vnd, r.charge_id,
           r.at
    from payments.cash_refund r
    cross join lateral (values
        ('given_back', 'charge.given_back', 'operator_payable', 'overpaid_held'),
        ('requested', 'refund.requested', 'overpaid_held', 'refund_clearing'),
        ('paid', 'cash.given_back', 'refund_clearing', 'cash_drawer:' || r.shift_id)
    ) e (purpose, template, debit, credit)
    where r.operator_id = any($1)
), released as (
    select c.operator_id, 'charge' as source_type, c.id::text as source_id, 'released' as purpose,
           'charge.released' as template, 'intent_clearing' as debit, 'overpaid_held' as credit,
           sum(o.applied_vnd)::bigint as amount_vnd, c.id as flow,
           (select max(coalesce(r.paid_at, e.at)) from payments.charge_event e
            left join payments.receipt r on r.operator_id = e.operator_id and r.id = e.receipt_id
            where e.operator_id = c.operator_id and e.charge_id = c.id and e.state in ('refused', 'lapsed')) as at
    from payments.charge c
    join payments.receipt_outcome o on o.operator_id = c.operator_id and o.charge_id = c.id and o.applied_vnd > 0
    where c.operator_id = any($1) and c.state in ('refused', 'lapsed') group by c.operator_id, c.id
), demanded as not materialized (
    select * from common union all select * from released union all select * from notes
), demanded_sum as (
    select sum(count) as count, sum(sum) as sum
    from (select count(*) as count, sum({fact}) as sum from common
          union all select count(*), sum({fact}) from released
          union all select count(*), sum({fact}) from notes) each
), booked_sum as (
    select count(*) as count, sum(amount_vnd)::bigint as sum_vnd,
           coalesce(bool_or(j.id is null or t.journal_id is null or j.unfit or t.unfit), false) as unfit,
           sum(j.said # t.moved) as sum
    from (select operator_id, id, {said} as said,
                 recorded_at > statement_timestamp()
                 or effective_day <> (at at time zone interval '7 hours')::date
                    and not exists (
                        select from payments.day_close c
                        left join payments.day_reopening r
                          on r.operator_id = c.operator_id and r.day = c.day and r.number = c.number
                        where c.operator_id = j.operator_id
                          and c.day >= (at at time zone interval '7 hours')::date and c.day < effective_day
                          and c.recorded_at <= j.recorded_at
                          and (r.recorded_at <= j.recorded_at) is not true) as unfit
          from (select *, effective_at as at from payments.journal where operator_id = any($1)) j) j
    full join (select operator_id, journal_id, amount_vnd, coalesce(amount_vnd < 1 or debit = credit or leg <> 1) as unfit,
                      {moved} as moved
               from payments.transfer where operator_id = any($1)) t
      on t.operator_id = j.operator_id and t.journal_id = j.id
), agree as materialized (
    select d.count = b.count and d.sum is not distinct from b.sum and not b.unfit as met, b.count as transfers, b.sum_vnd
    from demanded_sum d, booked_sum b
), booked as (
    select coalesce(j.operator_id, t.operator_id) as operator_id, j.source_type, j.source_id, j.purpose, j.template,
           j.id, t.journal_id, j.recorded_at, j.effective_at, j.effective_day, t.debit, t.credit, t.amount_vnd, t.flow,
           t.leg
    from (select * from payments.journal where operator_id = any($1)) j
    full join (select * from payments.transfer where operator_id = any($1)) t
      on t.operator_id = j.operator_id and t.journal_id = j.id
), met as (
    select coalesce(b.operator_id, d.operator_id) as operator_id, coalesce(b.debit, d.debit) as account,
           coalesce(b.source_type || ' ' || b.source_id || ' ' || b.purpose,
                    d.source_type || ' ' || d.source_id || ' ' || d.purpose, b.journal_id::text) as flow,
           coalesce(b.recorded_at, d.at) as since, coalesce(b.amount_vnd, 0) - coalesce(d.amount_vnd, 0) as surplus_vnd,
           b.id is not null and b.journal_id is null as lone_journal,
           b.id is null and b.journal_id is not null as lone_transfer,
           b.journal_id is not null and (b.amount_vnd < 1 or b.debit = b.credit) as unfit,
           d.source_id is not null and b.source_id is null as unbooked,
           d.source_id is null as undemanded,
           d.source_id is not null and b.journal_id is not null and not (
               b.template = d.template and b.debit = d.debit and b.flow is not distinct from d.flow and b.leg = 1
               and b.amount_vnd = d.amount_vnd and b.credit = d.credit) as unlike,
           d.source_id is not null and b.effective_at is distinct from d.at as moved,
           b.effective_day <> (b.effective_at at time zone interval '7 hours')::date and not exists (
               select from payments.day_close c
               left join payments.day_reopening r on r.operator_id = c.operator_id and r.day = c.day and r.number = c.number
               where c.operator_id = b.operator_id
                 and c.day >= (b.effective_at at time zone interval '7 hours')::date and c.day < b.effective_day
                 and c.recorded_at <= b.recorded_at and (r.recorded_at <= b.recorded_at) is not true) as astray,
           b.recorded_at > statement_timestamp() as future
    from demanded d
    full join booked b on b.operator_id = d.operator_id and b.source_id = d.source_id
                      and b.source_type = d.source_type and b.purpose = d.purpose
), arrived as (
    select operator_id, id::text as source_id, recorded_at from payments.receipt where operator_id = any($1)
    union all
    select o.operator_id, o.charge_id::text, r.recorded_at from payments.receipt_outcome o
    join payments.receipt r on r.operator_id = o.operator_id and r.id = o.receipt_id
    where o.operator_id = any($1) and o.applied_vnd > 0 and o.charge_id is not null
), numbered as (
    select s.operator_id, s.id, s.opened_at, s.receipts, count(k.number) as written, coalesce(max(k.number), 0) as last
    from payments.shift s
    left join payments.cash_receipt k on k.operator_id = s.operator_id and k.shift_id = s.id
    where s.operator_id = any($1) group by s.operator_id, s.id
)
select invariant, 'checked' as kind, '' as rule, null::uuid as operator_id, null as account,
       transfers::text as flow, sum_vnd as amount_vnd, null::timestamptz as since
from agree cross join (values ('M1'), ('M6'), ('M8')) of (invariant)
union all
select invariant, 'red', rule, operator_id, account, flow, surplus_vnd, since
from (select * from met
      where not (select met from agree)
        and (lone_journal or lone_transfer or unfit or unbooked or undemanded or unlike or moved or astray or future)) wrong
cross join lateral (values
    ('M1', 'journal_without_transfer', lone_journal), ('M1', 'transfer_without_journal', lone_transfer),
    ('M1', 'transfer_unfit', unfit), ('M6', 'event_without_journal', unbooked),
    ('M6', 'journal_without_event', undemanded), ('M6', 'journal_differs', unlike),
    ('M6', 'journal_moved', moved and not unbooked), ('M8', 'day_differs', astray),
    ('M8', 'recorded_in_future', future)) rule (invariant, rule, broken)
where broken
union all
select 'M8', 'red', 'recorded_before_cause', j.operator_id, null,
       j.source_type || ' ' || j.source_id || ' ' || j.purpose, null, j.recorded_at
from payments.journal j
join arrived a on a.operator_id = j.operator_id and a.source_id = j.source_id and j.recorded_at < a.recorded_at
where j.operator_id = any($1) and j.purpose <> 'cash'
union all
select 'M6', 'red', 'receipt_numbers', operator_id, 'cash_drawer:' || id, id::text, null, opened_at
from numbered where receipts <> written or receipts <> last
"""

_EVENTS = _EVENTS.replace("{fact}", f"{_SAID} # {_MOVED}").replace("{said}", _SAID).replace("{moved}", _MOVED)

# What was charged, line by line, met with how it was paid, and added up as the city publishes it: M6 and the rollup of M3.
# A day is judged by what was true when it was counted; one that is due to be counted again is not judged.
_LINES = """
with otherwise_paid as (
    select o.operator_id, o.charge_id, r.means from payments.receipt r
    join payments.receipt_outcome o on o.operator_id = r.operator_id and o.receipt_id = r.id
    where r.operator_id = any($1) and r.means <> 'QR_TRANSFER' and o.outcome in ('applied', 'overpaid')
    union all
    select u.operator_id, u.charge_id, r.means from payments.receipt r
    join payments.held_use u on u.operator_id = r.operator_id and u.receipt_id = r.id
    where r.operator_id = any($1) and r.means <> 'QR_TRANSFER' and u.charge_id is not null
), line as not materialized (
    select l.operator_id, l.charge_id, l.amount_vnd, l.service_day, l.environment, l.service, l.place, l.ward, l."class",
           c.amount_vnd as charged_vnd, c.created_at, p.paid_at, k.shift_id,
           p.means, p.channel,
           coalesce(c.given_back_vnd = c.amount_vnd, false) as undone,
           case when c.given_back_vnd = 0 then l.amount_vnd
                else greatest(0, least(l.amount_vnd, c.amount_vnd - c.given_back_vnd - coalesce((
                    select sum(e.amount_vnd) from payments.charge_line e
                    where e.operator_id = l.operator_id and e.charge_id = l.charge_id and e.line_no < l.line_no), 0)))
           end::bigint as kept_vnd,
           p.line_no is null and (c.state = 'partial' or c.state = 'open' and c.holds_until > d.counted_at) as pending,
           c.state = 'paid' and p.line_no is null as unsettled,
           p.means <> case when k.charge_id is null then coalesce(x.means, 'QR_TRANSFER') else 'CASH' end
           or p.channel <> case when k.charge_id is null then 'GATEWAY' when k.proxy then 'ATTENDANT_PROXY'
                                else 'CASH_DEPOSIT' end as otherwise,
           p.paid_at <> c.paid_at as moved,
           l.service_day <> (c.created_at at time zone interval '7 hours')::date as astray
    from payments.charge_line l
    left join payments.charge c on c.operator_id = l.operator_id and c.id = l.charge_id
    left join payments.line_paid p
      on p.operator_id = l.operator_id and p.charge_id = l.charge_id and p.line_no = l.line_no
    left join payments.cash_receipt k on k.operator_id = l.operator_id and k.charge_id = l.charge_id
    left join otherwise_paid x on x.operator_id = l.operator_id and x.charge_id = l.charge_id
    left join payments.cashless_counted d on d.operator_id = l.operator_id and d.service_day = l.service_day
    where l.operator_id = any($1)
), cell as materialized (
    select operator_id, service_day, environment, service, place, ward, "class", means, channel,
           count(*) filter (where means is not null and not undone) as units,
           sum(kept_vnd) filter (where means is not null and not undone) as amount_vnd,
           count(*) filter (where pending) as pending_units, sum(amount_vnd) filter (where pending) as pending_vnd,
           sum(amount_vnd * uuid_hash_extended(charge_id, $3)::numeric) as weighed,
           coalesce(bool_or(unsettled or otherwise or moved or astray), false) as wrong
    from line group by 1, 2, 3, 4, 5, 6, 7, 8, 9
), agree as materialized (
    select coalesce((select bool_or(wrong) from cell), false) = false as lines,
           coalesce((select sum(weighed) from cell), 0) = coalesce((
               select sum(amount_vnd * uuid_hash_extended(id, $3)::numeric)
               from payments.charge where operator_id = any($1)), 0) as amounts
), summed as (
    select operator_id, charge_id, sum(amount_vnd)::bigint as amount_vnd from payments.charge_line
    where operator_id = any($1) and not (select amounts from agree) group by 1, 2
), fact as (
    select operator_id, service_day, environment, service, place, ward, "class", means, channel, units, amount_vnd
    from cell where units > 0
    union all
    select operator_id, service_day, environment, service, place, ward, "class", 'PENDING', '', pending_units, pending_vnd
    from cell where pending_units > 0
    union all
    select operator_id, service_day, environment, service, place, ward, "class", means, '', count(*), 0
    from payments.free_note where operator_id = any($1) group by 1, 2, 3, 4, 5, 6, 7, 8
), published as (
    select coalesce(f.operator_id, d.operator_id) as operator_id, coalesce(f.service_day, d.service_day) as service_day,
           coalesce(f.service, d.service) as service,
           (coalesce(d.amount_vnd, 0) - coalesce(f.amount_vnd, 0))::bigint as surplus_vnd
    from (select * from fact where environment = (select environment from foundation.installation)) f
    full join (select * from payments.cashless_day where operator_id = any($1)) d
      using (operator_id, service_day, environment, service, place, ward, "class", means, channel)
    where coalesce(f.units, 0) <> coalesce(d.units, 0) or coalesce(f.amount_vnd, 0) <> coalesce(d.amount_vnd, 0)
)
select 'M6' as invariant, 'red' as kind, rule, operator_id, null as account, charge_id::text as flow,
       null::bigint as amount_vnd, coalesce(paid_at, created_at) as since
from line cross join lateral (values
    ('lines_differ', unsettled), ('means_differ', otherwise), ('line_moved', moved), ('line_astray', astray)) of (rule, broken)
where not (select lines from agree) and broken
union all
select 'M6', 'red', 'amount_differs', coalesce(c.operator_id, s.operator_id), null, coalesce(c.id, s.charge_id)::text,
       coalesce(c.amount_vnd, 0) - coalesce(s.amount_vnd, 0), c.created_at
from (select * from payments.charge where operator_id = any($1)) c
full join summed s on s.operator_id = c.operator_id and s.charge_id = c.id
where not (select amounts from agree) and c.amount_vnd is distinct from s.amount_vnd
union all
select 'M3', 'red', 'rollup_differs', p.operator_id, null, p.service_day || ' ' || p.service, p.surplus_vnd,
       (select counted_at from payments.cashless_counted c
        where c.operator_id = p.operator_id and c.service_day = p.service_day)
from published p
where not exists (select from foundation.due d where d.operator_id = p.operator_id and d.kind = 'payments.rollup'
                                                 and d.parked_at is null
                                                 and d.id = to_char(p.service_day, 'YYYY-MM-DD'))
"""

_DRAWERS = """
with guarded as (
    select operator_id, code, row_number() over () as number from payments.account
    where operator_id = any($1) and authorising
), side as materialized (
    select g.number, t.operator_id, t.journal_id, t.leg, t.amount_vnd
    from guarded g join payments.transfer t on t.operator_id = g.operator_id and t.debit = g.code
    union all
    select g.number, t.operator_id, t.journal_id, t.leg, -t.amount_vnd
    from guarded g join payments.transfer t on t.operator_id = g.operator_id and t.credit = g.code
), moved as (
    select s.number, j.recorded_at,
           sum(s.amount_vnd) over (partition by s.number order by j.recorded_at, j.id, s.leg) as left_vnd
    from side s
    join payments.journal j on j.operator_id = s.operator_id and j.id = s.journal_id
), lowest as (
    select number, min(left_vnd)::bigint as lowest_vnd, count(*) as moves,
           min(recorded_at) filter (where left_vnd < 0) as since
    from moved group by number
)
select 'M7' as invariant, 'checked' as kind, '' as rule, null::uuid as operator_id, null as account,
       coalesce(sum(moves), 0)::text as flow, 0::bigint as amount_vnd, null::timestamptz as since from lowest
union all
select 'M7', 'red', 'overdrawn', g.operator_id, g.code, null, lowest_vnd, since
from lowest join guarded g using (number) where lowest_vnd < 0
"""

# Shifts: their slips and reports are whole, and every đồng of the safe is explained. The safe holds, by shift: drops and
# counts less floats and what late transfers bought; less what the bank told of the bags made of it.
_SHIFTS = """
with slips as (
    select operator_id, shift_id, 'drop' as kind, count(*) as written, max(number) as last,
           coalesce(sum(amount_vnd) filter (where received_at is not null), 0)::bigint as amount_vnd
    from payments.cash_drop where operator_id = any($1) group by 1, 2
    union all
    select operator_id, shift_id, 'refund', count(*), max(number), sum(amount_vnd)::bigint
    from payments.cash_refund where operator_id = any($1) group by 1, 2
), late as (
    select p.operator_id, p.shift_id, sum(a.explained_vnd)::bigint as explained_vnd,
           sum(a.amount_vnd - a.drawer_vnd - a.explained_vnd)::bigint as bought_vnd
    from payments.proxy_arrival a
    join payments.proxy_transfer p on p.operator_id = a.operator_id and p.reference = a.reference
    where a.operator_id = any($1) group by 1, 2
), seen as (
    select operator_id, shift_id, sum(amount_vnd)::bigint as amount_vnd, sum(explained_vnd)::bigint as explained_vnd
    from payments.notes_found where operator_id = any($1) group by 1, 2
), bagged as (
    select operator_id, shift_id, sum(amount_vnd)::bigint as amount_vnd
    from payments.deposit_shift where operator_id = any($1) group by 1, 2
), whole as materialized (
    select s.*, r.number is not null as reported,
           r.number is distinct from s.number or r.place is distinct from s.place or r.at is distinct from s.closed_at
           or r.sha256 <> encode(sha256(convert_to(r.figures, 'UTF8')), 'hex')
           or (r.figures::jsonb ->> 'counted_vnd')::bigint is distinct from s.counted_vnd
           or (r.figures::jsonb ->> 'expected_vnd')::bigint is distinct from s.expected_vnd
           or (r.figures::jsonb ->> 'float_vnd')::bigint is distinct from s.float_vnd as report_unlike,
           s.drops <> coalesce(d.written, 0) or s.drops <> coalesce(d.last, 0)
           or s.refunds <> coalesce(f.written, 0) or s.refunds <> coalesce(f.last, 0) as slips_missing,
           s.number <> row_number() over (partition by s.operator_id, s.place order by s.number) as number_missing,
           s.explained_vnd - coalesce(l.explained_vnd, 0) - coalesce(n.explained_vnd, 0) as explained_surplus_vnd,
           s.safe_vnd - (coalesce(d.amount_vnd, 0) + coalesce(n.amount_vnd, 0) - s.float_vnd - coalesce(l.bought_vnd, 0)
                         + case when s.closed_at is null then 0 else s.counted_vnd end) as safe_surplus_vnd,
           s.bagged_vnd - coalesce(b.amount_vnd, 0) as bagged_surplus_vnd
    from payments.shift s
    left join payments.shift_report r on r.operator_id = s.operator_id and r.shift_id = s.id
    left join slips d on d.operator_id = s.operator_id and d.shift_id = s.id and d.kind = 'drop'
    left join slips f on f.operator_id = s.operator_id and f.shift_id = s.id and f.kind = 'refund'
    left join seen n on n.operator_id = s.operator_id and n.shift_id = s.id
    left join late l on l.operator_id = s.operator_id and l.shift_id = s.id
    left join bagged b on b.operator_id = s.operator_id and b.shift_id = s.id
    where s.operator_id = any($1)
), transit as (
    select a.operator_id,
           coalesce((select sum(t.amount_vnd) from payments.transfer t
                     where t.operator_id = a.operator_id and t.debit = a.code), 0)
         - coalesce((select sum(t.amount_vnd) from payments.transfer t
                     where t.operator_id = a.operator_id and t.credit = a.code), 0) as booked_vnd,
           coalesce((select sum(w.safe_vnd) from whole w where w.operator_id = a.operator_id), 0)
         - coalesce((select sum(d.arrived_vnd + case when d.short_agreed_at is null then 0 else d.short_vnd end)
                     from payments.deposit d where d.operator_id = a.operator_id), 0)
           as explained_vnd
    from payments.account a where a.operator_id = any($1) and a.code = 'cash_in_transit'
)
select 'M9' as invariant, 'checked' as kind, '' as rule, null::uuid as operator_id, null as account,
       count(*)::text as flow, 0::bigint as amount_vnd, null::timestamptz as since from whole
union all
select 'M6', 'red', rule, operator_id, 'cash_drawer:' || id, id::text, null, coalesce(closed_at, opened_at)
from whole cross join lateral (values
    ('slip_numbers', slips_missing), ('shift_numbers', number_missing),
    -- Shifts of before reports were kept have none.
    ('report_differs', case when closed_at is null then reported else reported and report_unlike
                                                                      or not reported and opened_notes is not null end)
) of (rule, broken)
where broken
union all
select 'M4', 'red', 'shortage_differs', operator_id, 'cash_over_short', id::text, explained_surplus_vnd, counted_at
from whole where explained_surplus_vnd <> 0
union all
select 'M9', 'red', 'safe_differs', operator_id, 'cash_in_transit', id::text,
       case when safe_surplus_vnd <> 0 then safe_surplus_vnd else bagged_surplus_vnd end, opened_at
from whole where safe_surplus_vnd <> 0 or bagged_surplus_vnd <> 0
union all
select 'M9', 'red', 'transit_unexplained', operator_id, 'cash_in_transit', null,
       (booked_vnd - explained_vnd)::bigint, null
from transit where booked_vnd <> explained_vnd
union all
select 'M9', 'open', 'safe_open', operator_id, 'cash_in_transit', id::text, safe_vnd - bagged_vnd,
       coalesce(closed_at, opened_at)
from whole where safe_vnd <> bagged_vnd
union all
-- More left the safe of a place than it got: its first change comes from outside, and somebody should know how much.
select 'M9', 'open', 'safe_below_zero', w.operator_id, 'cash_in_transit', p.code, sum(w.safe_vnd - w.bagged_vnd)::bigint,
       min(w.opened_at) filter (where w.safe_vnd < w.bagged_vnd)
from whole w join foundation.place p on p.operator_id = w.operator_id and p.number = w.place
group by w.operator_id, p.code having sum(w.safe_vnd - w.bagged_vnd) < 0
union all
select 'M9', 'open', case when made_at < foundation.now() - interval '1 day' then 'deposit_late' else 'deposit_open' end,
       operator_id, 'cash_in_transit', reference, amount_vnd - arrived_vnd, made_at
from payments.deposit where operator_id = any($1) and arrived_vnd < amount_vnd and short_agreed_at is null
"""

# What was settled: every sale once and divided wholly, every statement the sum of its items, and each follows the last.
_SETTLEMENTS = """
with moved_payable as (
    select operator_id, debit, credit, sum(amount_vnd) as amount_vnd from payments.transfer
    where operator_id = any($1) and (debit like 'payee_payable:%' or credit like 'payee_payable:%') group by 1, 2, 3
), sold as (
    select t.operator_id, j.id as journal_id, j.recorded_at, j.effective_day,
           t.amount_vnd * case j.template when 'service.delivered' then 1 else -1 end as amount_vnd
    from payments.journal j
    join payments.transfer t on t.operator_id = j.operator_id and t.journal_id = j.id
    where j.operator_id = any($1) and j.template in ('service.delivered', 'charge.given_back')
), journals as (
    select coalesce(s.operator_id, j.operator_id) as operator_id, coalesce(s.journal_id, j.journal_id) as journal_id,
           j.day, s.recorded_at, s.effective_day, s.amount_vnd as booked_vnd, j.amount_vnd as settled_vnd
    from sold s
    full join (select * from payments.settlement_journal where operator_id = any($1)) j
      on j.operator_id = s.operator_id and j.journal_id = s.journal_id
), divided as (
    select operator_id, journal_id, sum(amount_vnd) filter (where kind <> 'fee') as parts_vnd,
           coalesce(sum(amount_vnd) filter (where kind = 'fee'), 0) as fees_vnd,
           bool_or(day is distinct from (select s.day from payments.settlement_journal s
                                         where s.operator_id = i.operator_id and s.journal_id = i.journal_id)) as astray
    from payments.settlement_item i where operator_id = any($1) group by 1, 2
), days as (
    select t.operator_id, t.day, t.made_at,
           (t.journals, t.sold_vnd, t.given_back_vnd) is distinct from
           (count(j.journal_id), coalesce(sum(j.amount_vnd) filter (where j.amount_vnd > 0), 0)::bigint,
            coalesce(-sum(j.amount_vnd) filter (where j.amount_vnd < 0), 0)::bigint) as differs
    from payments.settlement t
    left join payments.settlement_journal j on j.operator_id = t.operator_id and j.day = t.day
    where t.operator_id = any($1) group by t.operator_id, t.day
), items as (
    select operator_id, day, payee_id,
           coalesce(sum(amount_vnd) filter (where kind <> 'fee' and amount_vnd > 0), 0) as gross_vnd,
           coalesce(-sum(amount_vnd) filter (where kind <> 'fee' and amount_vnd < 0), 0) as refunds_vnd,
           coalesce(-sum(amount_vnd) filter (where kind = 'fee'), 0) as fees_vnd
    from payments.settlement_item where operator_id = any($1) group by 1, 2, 3
), adjusted as (
    select operator_id, day, payee_id, sum(amount_vnd) as amount_vnd
    from payments.payee_adjustment where operator_id = any($1) group by 1, 2, 3
), held as (
    select operator_id, day, payee_id, sum(amount_vnd) as amount_vnd
    from (select operator_id, day, payee_id, amount_vnd from payments.held_back where operator_id = any($1)
          union all
          select operator_id, released_with, payee_id, -amount_vnd from payments.held_back
          where operator_id = any($1) and released_with is not null) each
    group by 1, 2, 3
), said as (
    select s.*, i.payee_id is null and (s.gross_vnd, s.refunds_vnd, s.fees_vnd) <> (0, 0, 0)
             or i.payee_id is not null and (s.gross_vnd, s.refunds_vnd, s.fees_vnd) <> (i.gross_vnd, i.refunds_vnd, i.fees_vnd)
             or s.adjustments_vnd <> coalesce(a.amount_vnd, 0) or s.reserve_vnd <> coalesce(h.amount_vnd, 0)
             or s.day <> coalesce(lag(s.day) over payee + 1, s.day) as differs
    from payments.payee_statement s
    left join items i on i.operator_id = s.operator_id and i.day = s.day and i.payee_id = s.payee_id
    left join adjusted a on a.operator_id = s.operator_id and a.day = s.day and a.payee_id = s.payee_id
    left join held h on h.operator_id = s.operator_id and h.day = s.day and h.payee_id = s.payee_id
    where s.operator_id = any($1)
    window payee as (partition by s.operator_id, s.payee_id order by s.day)
), unsaid as (
    select operator_id, day, payee_id from items union select operator_id, day, payee_id from adjusted
    union select operator_id, day, payee_id from held
    except select operator_id, day, payee_id from payments.payee_statement
), levels as (
    select operator_id, day, kind, payee_id,
           level_vnd - coalesce(lag(level_vnd) over (partition by operator_id, payee_id, kind order by day), 0) + amount_vnd
               as surplus_vnd
    from payments.payee_adjustment where operator_id = any($1) and kind <> 'rent'
), payable as (
    -- What a payee is owed by the ledger: the nets of its statements, but for what is set aside for it or was paid.
    select y.operator_id, y.id as payee_id,
           coalesce((select sum(case 'payee_payable:' || y.id when t.credit then t.amount_vnd else -t.amount_vnd end)
                     from moved_payable t where t.operator_id = y.operator_id
                       and 'payee_payable:' || y.id in (t.debit, t.credit)), 0)
         - coalesce((select sum(s.net_vnd) from payments.payee_statement s
                     where s.operator_id = y.operator_id and s.payee_id = y.id), 0)
         + coalesce((select sum(p.amount_vnd) from payments.payout p
                     where p.operator_id = y.operator_id and p.payee_id = y.id
                       and p.state in ('approved', 'asking', 'unknown', 'accepted', 'settled')), 0) as surplus_vnd
    from payments.payee y where y.operator_id = any($1)
), paid_days as (
    select p.operator_id, p.id, p.amount_vnd - coalesce(sum(d.net_vnd), 0)::bigint as surplus_vnd,
           p.debited_vnd <> coalesce((select sum(e.amount_vnd) from payments.payout_entry e
                                      where e.operator_id = p.operator_id and e.payout_id = p.id and not e.returns), 0)
           or bool_or(d.payee_id <> p.payee_id or d.released <> (p.state in ('rejected', 'returned', 'cancelled'))
                   or d.net_vnd <> (select s.net_vnd from payments.payee_statement s where s.operator_id = d.operator_id
                                      and s.payee_id = d.payee_id and s.day = d.day)) as astray
    from payments.payout p
    left join payments.payout_day d on d.operator_id = p.operator_id and d.payout_id = p.id
    where p.operator_id = any($1) group by p.operator_id, p.id
), unfit as (
    -- Let go by nobody, by who made it or entered the details, to details that were not usable, or in another file.
    select p.operator_id, p.id, p.amount_vnd, r.made_at
    from payments.payout p
    join payments.payout_run r on r.operator_id = p.operator_id and r.id = p.run_id
    join payments.payee_account a on a.operator_id = p.operator_id and a.payee_id = p.payee_id and a.version = p.version
    where p.operator_id = any($1) and (r.digest <> sha256(r.file)
        or p.approved_at is null and p.state not in ('draft', 'cancelled')
        or p.approved_at is not null and (r.approved_by is null or r.approved_by in (r.made_by, a.entered_by)
            or a.usable_from is null or a.usable_from > p.approved_at or a.usable_from < a.agreed_at + interval '48 hours'))
), rents as (
    select d.operator_id, d.id, d.made_at, d.netted_vnd + coalesce(sum(a.amount_vnd), 0)::bigint as surplus_vnd
    from payments.due_item d
    left join payments.payee_adjustment a on a.operator_id = d.operator_id and a.due_item_id = d.id and a.amount_vnd < 0
    where d.operator_id = any($1) group by d.operator_id, d.id
)
select 'M4' as invariant, 'checked' as kind, '' as rule, null::uuid as operator_id, null as account,
       count(*)::text as flow, 0::bigint as amount_vnd, null::timestamptz as since from days
union all
select 'M4', 'red', 'settled_differs', operator_id, 'operator_payable', journal_id::text,
       settled_vnd - coalesce(booked_vnd, 0), recorded_at
from journals where settled_vnd is not null and settled_vnd is distinct from booked_vnd
union all
-- Each settlement looks only at what is not before the day that the last one left open, or that was opened again since.
select 'M4', 'red', 'sale_forgotten', j.operator_id, 'operator_payable', j.journal_id::text, j.booked_vnd, j.recorded_at
from journals j
join (select distinct on (operator_id) operator_id, open_from, recorded_at from payments.settlement
      where operator_id = any($1) order by operator_id, day desc) latest on latest.operator_id = j.operator_id
where j.settled_vnd is null and j.effective_day < latest.open_from
  and not exists (select from payments.day_reopening r where r.operator_id = j.operator_id
                    and r.recorded_at > latest.recorded_at and r.day <= j.effective_day)
union all
select 'M4', 'red', 'divided_differs', j.operator_id, 'operator_payable', j.journal_id::text,
       (coalesce(d.parts_vnd, 0) - j.settled_vnd)::bigint, j.recorded_at
from journals j
left join divided d on d.operator_id = j.operator_id and d.journal_id = j.journal_id
where j.settled_vnd is not null and (d.parts_vnd is distinct from j.settled_vnd or d.fees_vnd <> 0 or d.astray)
union all
select 'M4', 'red', 'settlement_differs', operator_id, null, day::text, null, made_at from days where differs
union all
select 'M4', 'red', 'statement_differs', operator_id, 'payee_payable:' || payee_id, day::text, net_vnd, null
from said where differs
union all
select 'M4', 'red', 'statement_differs', operator_id, 'payee_payable:' || payee_id, day::text, null, null from unsaid
union all
select 'M4', 'red', 'statement_differs', h.operator_id, 'payee_reserve:' || h.payee_id, h.day::text, h.amount_vnd, null
from payments.held_back h
where h.operator_id = any($1) and h.released_with is null
  and h.release_on <= (select max(s.day) from payments.settlement s where s.operator_id = h.operator_id)
union all
select 'M4', 'red', 'statement_differs', operator_id, 'kept_by_operator', day || ' ' || kind, surplus_vnd, null
from levels where surplus_vnd <> 0
union all
select 'M9', 'red', 'payable_unexplained', operator_id, 'payee_payable:' || payee_id, null, surplus_vnd::bigint, null
from payable where surplus_vnd <> 0
union all
select 'M4', 'red', 'payout_differs', operator_id, null, id::text, surplus_vnd, null
from paid_days where surplus_vnd <> 0 or astray
union all
select 'M4', 'red', 'payout_unfit', operator_id, null, id::text, amount_vnd, made_at from unfit
union all
select 'M9', 'open', 'payout_open', operator_id, 'payout_clearing', id::text, amount_vnd, approved_at
from payments.payout where operator_id = any($1) and state in ('approved', 'asking', 'unknown', 'accepted')
union all
select 'M4', 'red', 'due_differs', operator_id, null, id::text, surplus_vnd, made_at from rents where surplus_vnd <> 0
union all
select 'M9', 'open', 'unsettled_open', operator_id, 'operator_payable', min(journal_id::text), sum(booked_vnd)::bigint,
       min(recorded_at)
from journals where settled_vnd is null group by operator_id
union all
select 'M9', 'open', case when due_on < foundation.hanoi_day(foundation.now()) then 'due_late' else 'due_open' end,
       operator_id, 'payee_payable:' || payee_id, id::text, amount_vnd - netted_vnd, made_at
from payments.due_item where operator_id = any($1) and netted_vnd < amount_vnd
"""

_MATCHING = """
-- What the bank's statements say, what of it is matched, and what the books made of both.
with line as not materialized (
    select * from payments.statement_line where operator_id = any($1)
), claimed as not materialized (
    select * from payments.claim where operator_id = any($1)
), told as materialized (
    select operator_id, bank_account, event_id, count(*) as claims, sum(abs(line_vnd))::bigint as turnover_vnd,
           sum(line_vnd)::bigint as line_vnd, sum(moved_vnd)::bigint as moved_vnd
    from claimed group by 1, 2, 3
), movement as not materialized (
    select r.operator_id, 'receipt' as kind, r.id, r.amount_vnd from payments.receipt r
    where r.operator_id = any($1) and r.gateway = 'bank'
    union all
    select f.operator_id, e.kind, f.id, e.amount_vnd from payments.refund f
    cross join lateral (values ('refund', -f.amount_vnd, f.state in ('accepted', 'settled', 'returned')),
                               ('refund_return', f.amount_vnd, f.state = 'returned')) e (kind, amount_vnd, is_there)
    where f.operator_id = any($1) and e.is_there
    union all
    select operator_id, case when returns then 'payout_return' else 'payout' end,
           md5(bank_account || ' ' || bank_ref)::uuid, case when returns then amount_vnd else -amount_vnd end
    from payments.payout_entry where operator_id = any($1)
    union all
    select operator_id, 'debit', id, -amount_vnd from payments.debit where operator_id = any($1)
), summed as materialized (
    select operator_id, statement_id, count(*) as lines, sum(amount_vnd)::bigint as new_vnd, min(day) as first_day,
           max(day) as last_day
    from line group by 1, 2
), accepted as materialized (
    select s.operator_id, s.bank_account, s.id, s.file_id, s.opening_vnd, s.closing_vnd, s.lines, s.at,
           coalesce(s.first_day, s.day) as first_day, s.day,
           s.opening_vnd + s.credits_vnd - s.debits_vnd - s.closing_vnd as untied_vnd,
           w.recorded_at as withdrawn_at
    from payments.bank_statement s
    left join payments.statement_withdrawal w on w.operator_id = s.operator_id and w.statement_id = s.id
    where s.operator_id = any($1) and s.state = 'accepted'
), chained as (
    select s.operator_id, s.bank_account, s.day, coalesce(l.new_vnd, 0) as new_vnd,
           s.closing_vnd - coalesce(lag(s.closing_vnd) over chain, s.opening_vnd) as turned_vnd
    from accepted s
    left join summed l on l.operator_id = s.operator_id and l.statement_id = s.id
    where s.withdrawn_at is null
    window chain as (partition by s.operator_id, s.bank_account order by s.day, s.id)
), missing as (
    select l.operator_id, null as account, 'lines of ' || l.statement_id as flow, l.new_vnd as amount_vnd
    from summed l left join accepted s on s.operator_id = l.operator_id and s.id = l.statement_id where s.id is null
    union all
    select t.operator_id, null, 'texts of ' || t.statement_id, null
    from (select distinct operator_id, statement_id from payments.statement_text where operator_id = any($1)) t
    left join accepted s on s.operator_id = t.operator_id and s.id = t.statement_id where s.id is null
    union all
    select m.operator_id, null, 'run over ' || m.statement_id, null from payments.matched_statement m
    left join accepted s on s.operator_id = m.operator_id and s.id = m.statement_id
    left join payments.matching_event e on e.operator_id = m.operator_id and e.id = m.event_id
    where m.operator_id = any($1) and (s.id is null or e.id is null)
    union all
    select c.operator_id, 'bank:' || c.bank_account, 'matches of ' || c.event_id, c.line_vnd from told c
    left join payments.matching_event e on e.operator_id = c.operator_id and e.id = c.event_id where e.id is null
    union all
    -- Few: each is looked up, and the million lines are not read for them.
    select o.operator_id, 'bank:' || o.bank_account, 'open ' || o.id, o.amount_vnd from payments.open_item o
    where o.operator_id = any($1) and o.side = 'line' and not exists (
        select from payments.statement_line l
        where l.operator_id = o.operator_id and l.statement_id = o.statement_id and l.position = o.position offset 0)
    union all
    select s.operator_id, 'bank:' || s.bank_account, 'file of ' || s.id, null from accepted s
    left join payments.statement_file f on f.operator_id = s.operator_id and f.id = s.file_id where f.id is null
), ended as (
    -- Of a withdrawn statement nothing counts: no match, no open item, no close that rests on it. And two people wanted it.
    select w.operator_id, w.bank_account, c.kind || ' ' || c.movement_id as flow, c.line_vnd as amount_vnd
    from payments.statement_withdrawal w
    cross join lateral (select * from payments.claim c
                        where c.operator_id = w.operator_id and c.statement_id = w.statement_id offset 0) c
    where w.operator_id = any($1)
    union all
    select w.operator_id, w.bank_account, 'open ' || o.id, o.amount_vnd from payments.statement_withdrawal w
    join payments.open_item o on o.operator_id = w.operator_id and o.statement_id = w.statement_id
    where w.operator_id = any($1)
    union all
    select s.operator_id, s.bank_account, k.day::text, s.closing_vnd
    from accepted s join payments.day_close k on k.operator_id = s.operator_id and k.day between s.first_day and s.day
        and k.closed_at >= s.at and k.recorded_at < s.withdrawn_at
    left join payments.day_reopening r on r.operator_id = k.operator_id and r.day = k.day and r.number = k.number
    where s.withdrawn_at is not null and r.day is null
    union all
    select w.operator_id, w.bank_account, w.statement_id::text, null from payments.statement_withdrawal w
    left join accepted s on s.operator_id = w.operator_id and s.id = w.statement_id
    left join payments.book_request q on q.operator_id = w.operator_id and q.id = w.request_id and q.kind = 'withdraw'
        and q.statement_id = w.statement_id and q.state = 'agreed' and q.requested_by = w.asked_by and q.decided_by = w.agreed_by
    where w.operator_id = any($1) and (s.id is null or q.id is null or s.bank_account <> w.bank_account or s.day <> w.day)
), said as (
    select operator_id, bank_account, sum(line_vnd)::bigint as line_vnd from told group by 1, 2
), booked as (
    select m.operator_id, m.account as bank_account,
           sum(case template when 'line.credit' then amount_vnd else -amount_vnd end)::bigint as line_vnd
    from payments.matched_sum m where m.operator_id = any($1) and template in ('line.credit', 'line.debit') group by 1, 2
), differences as (
    select c.operator_id, c.line_vnd - c.moved_vnd - coalesce(d.difference_vnd, 0) as surplus_vnd
    from (select operator_id, sum(line_vnd)::bigint as line_vnd, sum(moved_vnd)::bigint as moved_vnd from told group by 1) c
    left join (select operator_id, sum(case template when 'line.more' then amount_vnd else -amount_vnd end)::bigint as difference_vnd
               from payments.matched_sum where operator_id = any($1) and template in ('line.less', 'line.more') group by 1) d
      using (operator_id)
)
select 'M4' as invariant, 'checked' as kind, '' as rule, null::uuid as operator_id, null as account,
       coalesce(sum(claims), 0)::text as flow, coalesce(sum(turnover_vnd), 0)::bigint as amount_vnd, null::timestamptz as since
from told
union all
select 'M4', 'red', 'claim_unfit', c.operator_id, 'bank:' || c.bank_account, c.kind || ' ' || c.movement_id,
       c.line_vnd - coalesce(l.amount_vnd, 0) + c.moved_vnd - coalesce(m.amount_vnd, 0), null
from claimed c
left join line l on l.operator_id = c.operator_id and l.statement_id = c.statement_id and l.position = c.position
left join movement m on m.operator_id = c.operator_id and m.kind = c.kind and m.id = c.movement_id
where c.line_vnd <> coalesce(l.amount_vnd, 0) or c.moved_vnd <> coalesce(m.amount_vnd, 0)
   or c.position is not null and (l.position is null or l.bank_account <> c.bank_account)
union all
select 'M4', 'red', 'matched_differs', coalesce(s.operator_id, b.operator_id),
       'bank:' || coalesce(s.bank_account, b.bank_account), null,
       coalesce(b.line_vnd, 0) - coalesce(s.line_vnd, 0), null
from said s full join booked b on b.operator_id = s.operator_id and b.bank_account = s.bank_account
where coalesce(b.line_vnd, 0) <> coalesce(s.line_vnd, 0)
union all
select 'M4', 'red', 'matched_differs', operator_id, 'gw_receivable', null, surplus_vnd, null
from differences where surplus_vnd <> 0
union all
select 'M4', 'red', 'statement_broken', s.operator_id, 'bank:' || s.bank_account, s.day::text, s.untied_vnd, null
from accepted s left join summed l on l.operator_id = s.operator_id and l.statement_id = s.id
where s.untied_vnd <> 0 or s.lines <> coalesce(l.lines, 0) or l.first_day < s.first_day or l.last_day > s.day
union all
select 'M4', 'red', 'statement_broken', operator_id, 'bank:' || bank_account, day::text, turned_vnd - new_vnd, null
from chained where turned_vnd <> new_vnd
union all
select 'M4', 'red', 'statement_missing', operator_id, account, flow, amount_vnd, null from missing
union all
select 'M4', 'red', 'withdrawal_unfit', operator_id, 'bank:' || bank_account, flow, amount_vnd, null from ended
"""

# Receipts and invoices. A charge says of how much it has documents; what differs from what was earned is still to be made.
_DOCUMENTS = """
with document as materialized (
    select d.operator_id, d.id, d.series_id, d.number, d.charge_id, d.line_no, d.amount_vnd, d.vat_bp, d.vat_vnd, d.sold_at,
           d.issued_at, e.document_id is not null as ended, e.at as ended_at, r.id as replaced_by
    from payments.fiscal_document d
    left join payments.fiscal_end e on e.operator_id = d.operator_id and e.document_id = d.id
    left join payments.fiscal_document r on r.operator_id = d.operator_id and r.replaces = d.id
    where d.operator_id = any($1)
), numbered as (
    select operator_id, series_id, count(distinct number) as numbers, count(*) as documents, max(number) as last
    from document group by 1, 2
), held as (
    select operator_id, charge_id, line_no, count(*) as documents, sum(amount_vnd)::bigint as amount_vnd
    from document where not ended group by 1, 2, 3
), paid as (
    select p.operator_id, p.charge_id, p.line_no, p.paid_at, l.service,
           greatest(0, least(l.amount_vnd, c.documented_vnd - coalesce(sum(l.amount_vnd) over (
               partition by p.operator_id, p.charge_id order by p.line_no rows between unbounded preceding and 1 preceding),
               0)))::bigint as amount_vnd
    from payments.line_paid p
    join payments.charge c on c.operator_id = p.operator_id and c.id = p.charge_id
    join payments.charge_line l on l.operator_id = p.operator_id and l.charge_id = p.charge_id and l.line_no = p.line_no
    where p.operator_id = any($1)
), otherwise as (
    select d.operator_id, d.id, d.amount_vnd, d.issued_at from document d
    join payments.fiscal_series s on s.operator_id = d.operator_id and s.id = d.series_id
    left join paid p on p.operator_id = d.operator_id and p.charge_id = d.charge_id and p.line_no = d.line_no
    left join lateral (select t.vat_bp from payments.fiscal_term t
                       where t.operator_id = d.operator_id and t.service = p.service and t.withdrawn_at is null
                         and t.valid_from <= (d.sold_at at time zone 'Asia/Ho_Chi_Minh')::date
                       order by t.valid_from desc limit 1) t on true
    where t.vat_bp is distinct from d.vat_bp or d.sold_at is distinct from p.paid_at or d.issued_at < d.sold_at
       or d.vat_vnd <> (2 * d.amount_vnd * d.vat_bp + 10000 + d.vat_bp) / (2 * (10000 + d.vat_bp))
       or (s.kind = 'receipt' and d.vat_bp > 0)
), untold as (
    select d.operator_id, d.id, d.amount_vnd, d.issued_at from document d
    left join payments.fiscal_sending i on i.operator_id = d.operator_id and i.document_id = d.id and i.what = 'issue'
    left join payments.fiscal_sending k on k.operator_id = d.operator_id and k.document_id = d.id and k.what = 'cancel'
    where i.number is distinct from d.number or i.series_id is distinct from d.series_id
       or (d.ended and d.replaced_by is null) <> (k.document_id is not null)
       or ((i.state in ('waiting', 'asking') or k.state in ('waiting', 'asking')) and not exists (
           select from foundation.due w
           where w.operator_id = d.operator_id and w.kind = 'payments.fiscal' and w.id = d.series_id::text))
), waiting as (
    select c.operator_id, c.id, c.received_vnd - c.given_back_vnd - c.documented_vnd as amount_vnd,
           exists (select from payments.charge_line l
                   where l.operator_id = c.operator_id and l.charge_id = c.id and not exists (
                       select from payments.fiscal_term t
                       where t.operator_id = l.operator_id and t.service = l.service and t.withdrawn_at is null
                         and t.valid_from <= foundation.hanoi_day(c.paid_at))) as unserved,
           j.recorded_at,
           case when c.documented_vnd = 0 then j.recorded_at < clock_timestamp() - interval '1 hour'
                else greatest((select max(g.at) from payments.given_back g
                               where g.operator_id = c.operator_id and g.charge_id = c.id),
                              (select max(b.at) from payments.cash_refund b
                               where b.operator_id = c.operator_id and b.charge_id = c.id))
                     < foundation.now() - interval '1 hour' end as late
    from payments.charge c
    join payments.journal j on j.operator_id = c.operator_id and j.source_type = 'charge' and j.source_id = c.id::text
                           and j.purpose = 'delivered'
    where c.operator_id = any($1) and c.state = 'paid' and c.documented_vnd <> c.received_vnd - c.given_back_vnd
)
select 'M6' as invariant, 'red' as kind, 'fiscal_numbers' as rule, s.operator_id, s.form || ' ' || s.symbol as account,
       null as flow, null::bigint as amount_vnd, null::timestamptz as since
from payments.fiscal_series s
left join numbered n on n.operator_id = s.operator_id and n.series_id = s.id
where s.operator_id = any($1)
  and (s.last_number <> coalesce(n.numbers, 0) or n.documents <> n.numbers or n.last <> n.numbers)
union all
select 'M6', 'red', 'fiscal_differs', coalesce(p.operator_id, h.operator_id), null, coalesce(p.charge_id, h.charge_id)::text,
       coalesce(h.amount_vnd, 0) - coalesce(p.amount_vnd, 0), p.paid_at
from paid p
full join held h on h.operator_id = p.operator_id and h.charge_id = p.charge_id and h.line_no = p.line_no
where coalesce(h.amount_vnd, 0) <> coalesce(p.amount_vnd, 0) or h.documents > 1
union all
select 'M6', 'red', 'fiscal_terms', operator_id, null, id::text, amount_vnd, issued_at from otherwise
union all
select 'M6', 'red', 'fiscal_untold', operator_id, null, id::text, amount_vnd, issued_at from untold
union all
select 'M6', case when late then 'red' else 'open' end, case when late then 'fiscal_late' else 'fiscal_open' end, operator_id,
       null, id::text, amount_vnd, recorded_at
from waiting where not unserved
union all
select 'M6', 'open', 'fiscal_unserved', operator_id, null, min(id::text), sum(amount_vnd)::bigint, min(recorded_at)
from waiting where unserved group by operator_id
"""

_REFUSALS = """
with refused as (
    select operator_id, id, amount_vnd, created_at from payments.charge
    where operator_id = any($1) and state in ('refused', 'lapsed')
), early as (
    select p.operator_id, p.charge_id, p.settled_at, sum(l.amount_vnd)::bigint as amount_vnd from payments.line_paid p
    join payments.charge c on c.operator_id = p.operator_id and c.id = p.charge_id and c.state <> 'paid'
    join payments.charge_line l on l.operator_id = p.operator_id and l.charge_id = p.charge_id and l.line_no = p.line_no
    where p.operator_id = any($1) group by 1, 2, 3
), twice as (
    select operator_id, source_type || ' ' || source_id || ' ' || purpose as flow, min(recorded_at) as since
    from payments.journal
    -- A valid unique index is the proof; only without it the rows have to be compared.
    where operator_id = any($1) and not exists (
        select from pg_index i where i.indrelid = 'payments.journal'::regclass and i.indisunique and i.indisvalid
          and i.indkey::text = (select string_agg(attnum::text, ' ' order by array_position(
                  array['operator_id', 'source_type', 'source_id', 'purpose'], attname::text))
              from pg_attribute where attrelid = i.indrelid
                and attname in ('operator_id', 'source_type', 'source_id', 'purpose')))
    group by operator_id, source_type, source_id, purpose having count(*) > 1
)
select 'M10' as invariant, 'checked' as kind, '' as rule, null::uuid as operator_id, null as account,
       count(*)::text as flow, sum(amount_vnd)::bigint as amount_vnd, null::timestamptz as since from refused
union all
select 'M10', 'red', 'refused_but_paid', operator_id, null, charge_id::text, amount_vnd, settled_at from early
union all
select 'M10', 'red', 'refused_but_booked', j.operator_id, t.debit, j.source_id, t.amount_vnd, j.recorded_at
from refused r
join payments.journal j on j.operator_id = r.operator_id and j.source_type = 'charge' and j.source_id = r.id::text
                       and j.purpose <> 'released'
join payments.transfer t on t.operator_id = j.operator_id and t.journal_id = j.id
union all
select 'M10', 'red', 'refused_but_cash', k.operator_id, 'cash_drawer:' || k.shift_id, k.charge_id::text, k.amount_vnd, k.at
from refused r join payments.cash_receipt k on k.operator_id = r.operator_id and k.charge_id = r.id
union all
select 'M10', 'red', 'posted_twice', operator_id, null, flow, null, since from twice
"""

# M5 and the parts of M8 and M10 that are walls of the database itself. $1 = the tables that must be insert-only.
_WALLS = """
with guarded as (
    select name, to_regclass(name) as oid from unnest($1::text[]) as name
), trigger_of as (
    select g.name, t.tgname
    from guarded g
    join pg_trigger t on t.tgrelid = g.oid and t.tgenabled in ('O', 'A')
    join pg_proc p on p.oid = t.tgfoid and p.prosrc like '%raise exception%'
    where t.tgname in ('never_changed', 'never_emptied')
), broken as (
    select g.name, 'trigger_missing' as rule from guarded g
    where (select count(*) from trigger_of t where t.name = g.name) < 2
    union all
    select g.name, 'grant_too_wide' from guarded g, pg_roles r
    where r.rolname in ('motcham_app', 'motcham_city', 'motcham_keeper')
      and (has_table_privilege(r.oid, g.oid, 'update, delete, truncate, trigger')
           or has_any_column_privilege(r.oid, g.oid, 'update'))
    union all
    select r.rolname, 'role_too_strong' from pg_roles r
    where r.rolname in ('motcham_app', 'motcham_city', 'motcham_keeper')
      and (r.rolsuper or r.rolcreaterole or pg_has_role(r.oid, 'motcham_owner', 'member')
           or r.rolbypassrls and r.rolname <> 'motcham_keeper')
)
select 'M5' as invariant, 'checked' as kind, '' as rule, null::uuid as operator_id, null as account,
       count(*)::text as flow, 0::bigint as amount_vnd, null::timestamptz as since from guarded
union all
select 'M5', 'red', rule, null, name, null, null, null from broken
union all
select 'M8', 'red', 'time_not_ours', null, 'payments.journal', null, null, null
where not exists (
    select from pg_attrdef d join pg_attribute a on a.attrelid = d.adrelid and a.attnum = d.adnum
    where d.adrelid = 'payments.journal'::regclass and a.attname = 'recorded_at'
      and pg_get_expr(d.adbin, d.adrelid) = 'clock_timestamp()')
union all
select 'M10', 'red', 'source_not_unique', null, 'payments.journal', null, null, null
where not exists (
    select from pg_index i where i.indrelid = 'payments.journal'::regclass and i.indisunique and i.indisvalid
      and i.indpred is null and i.indimmediate
      and (select array_agg(attname::text order by attname) from pg_attribute
           where attrelid = i.indrelid and attnum = any(i.indkey))
          = array['operator_id', 'purpose', 'source_id', 'source_type'])
"""
