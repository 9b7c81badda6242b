"""What an operator's money needs today: work that waits for a person, by amount and age; what is late; what is closed.

Each kind of work is a query of what waits of it (`OPEN`), in the same columns; one statement counts them all, so that the
page costs the same with ten items and with ten thousand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from uuid import UUID

from foundation import clock, outbox
from foundation.database import Tx
from payments import book_request, day_close, ledger, payee_statement
from payments.book_request import Month
from payments.finance.proof import Kept, kept
from payments.proof_of_cash import OVERDUE_DAYS, CashProof, prove_cash

MORNING = time(9)
"""By then on the day after, the bank's statement is here, the day is closed and payees are paid (money.md R35)."""
FIRST = 3
"""So many items of a kind stand on the page itself."""
WITHOUT_AMOUNT_VND = 1_000_000
"""What an item that is no amount of its own weighs: a contract, a month to lock, work that stands still."""

OPEN = {
    "held": "select h.receipt_id::text, '', 'queue/' || h.receipt_id, h.amount_vnd - h.used_vnd, h.opened_at, null::uuid[],"
    " h.reason from payments.held h where h.operator_id = $1 and h.closed_at is null",
    "refunds": "select f.id::text, r.bank_ref, 'refunds/' || f.id, f.amount_vnd, f.requested_at, array[f.requested_by],"
    " f.reason from payments.refund f"
    " join payments.receipt r on r.operator_id = f.operator_id and r.id = f.receipt_id"
    " where f.operator_id = $1 and f.state = 'requested'",
    "give_backs": "select g.id::text, c.reference, 'charges/' || c.reference, g.amount_vnd, g.requested_at,"
    " array[g.requested_by], g.reason from payments.give_back_request g"
    " join payments.charge c on c.operator_id = g.operator_id and c.id = g.charge_id"
    " where g.operator_id = $1 and g.state = 'requested'",
    "debits": "select d.id::text, d.bank_ref, 'debits/' || d.id, d.amount_vnd - d.settled_vnd, d.left_at, null::uuid[],"
    " d.kind from payments.debit d where d.operator_id = $1 and d.settled_vnd < d.amount_vnd and d.asked_at is null",
    "debits_asked": "select d.id::text, d.bank_ref, 'debits/' || d.id, d.amount_vnd - d.settled_vnd, d.asked_at,"
    " array[d.asked_by], d.asked_reason from payments.debit d"
    " where d.operator_id = $1 and d.settled_vnd < d.amount_vnd and d.asked_at is not null",
    "shortages": "select b.reference, b.reference, 'deposits', b.short_vnd, b.short_asked_at,"
    " array[b.short_asked_by, b.made_by], b.short_reason from payments.deposit b"
    " where b.operator_id = $1 and b.short_asked_at is not null and b.short_agreed_at is null",
    "bags": "select b.reference, b.reference, 'deposits', b.amount_vnd - b.arrived_vnd, b.made_at, null::uuid[], ''"
    " from payments.deposit b where b.operator_id = $1 and b.arrived_vnd < b.amount_vnd and b.short_asked_at is null"
    " and b.made_at < $2::timestamptz - interval '1 day'",
    "write_offs": "select w.id::text, '', 'reconciliation#asked', abs(w.amount_vnd), w.asked_at, array[w.asked_by],"
    " w.difference from payments.matching_ask w"
    " where w.operator_id = $1 and w.decided_at is null and w.difference is not null",
    "names": "select w.id::text, '', 'reconciliation#asked', w.amount_vnd, w.asked_at, array[w.asked_by], w.name"
    " from payments.matching_ask w where w.operator_id = $1 and w.decided_at is null and w.name is not null",
    "reopenings": "select q.id::text, to_char(q.day, 'DD/MM/YYYY'), 'days#waiting', null::bigint, q.requested_at,"
    " array[q.requested_by], q.reason from payments.book_request q"
    " where q.operator_id = $1 and q.state = 'requested' and q.kind = 'reopen'",
    "locks": "select q.id::text, to_char(q.day, 'MM/YYYY'), 'days#waiting', null::bigint, q.requested_at,"
    " array[q.requested_by], q.reason from payments.book_request q"
    " where q.operator_id = $1 and q.state = 'requested' and q.kind = 'lock'",
    "withdrawals": "select q.id::text, to_char(q.day, 'DD/MM/YYYY'), 'statements/' || q.statement_id, abs(b.closing_vnd),"
    " q.requested_at, array[q.requested_by], q.reason from payments.book_request q"
    " join payments.bank_statement b on b.operator_id = q.operator_id and b.id = q.statement_id"
    " where q.operator_id = $1 and q.state = 'requested' and q.kind = 'withdraw'",
    "contracts": "select c.id::text, c.paper, 'contracts/' || c.id, null::bigint, c.proposed_at, array[c.proposed_by],"
    " c.service from payments.contract c"
    " where c.operator_id = $1 and c.agreed_at is null and c.withdrawn_at is null",
    "details": "select a.payee_id::text, a.owner_name, 'payouts#' || a.payee_id, null::bigint, a.entered_at,"
    " array[a.entered_by], '' from payments.payee_account a"
    " where a.operator_id = $1 and a.agreed_at is null and a.withdrawn_at is null",
    "runs": "select r.id::text, 'MC' || lpad(r.number::text, 6, '0'), 'payouts/' || r.id, sum(p.amount_vnd)::bigint, r.made_at,"
    " array_agg(a.entered_by) || r.made_by, '' from payments.payout p"
    " join payments.payout_run r on r.operator_id = p.operator_id and r.id = p.run_id"
    " join payments.payee_account a on a.operator_id = p.operator_id and a.payee_id = p.payee_id and a.version = p.version"
    " where p.operator_id = $1 and p.state = 'draft' group by r.operator_id, r.id",
    "payouts_failed": "select p.id::text, 'MC' || lpad(r.number::text, 6, '0'), 'payouts/' || r.id, p.amount_vnd,"
    " coalesce(p.ended_at, p.approved_at, r.made_at), null::uuid[], p.state from payments.payout p"
    " join payments.payout_run r on r.operator_id = p.operator_id and r.id = p.run_id"
    " where p.operator_id = $1 and (p.state = 'unknown' or p.state in ('rejected', 'returned') and exists"
    "   (select from payments.payout_day d where d.operator_id = $1 and d.payout_id = p.id and not exists"
    "     (select from payments.payout_day n where n.operator_id = $1 and n.payee_id = d.payee_id and n.day = d.day"
    "        and not n.released)))",
    "quarantine": "select s.id::text, to_char(s.day, 'DD/MM/YYYY'), 'statements/' || s.id, abs(s.closing_vnd), s.at, null::uuid[],"
    " s.bank_account from payments.bank_statement s"
    " join payments.collection_account a on a.operator_id = s.operator_id and a.bin || '/' || a.account = s.bank_account"
    " where s.operator_id = $1 and s.state = 'quarantined' and s.day > coalesce((select max(n.day)"
    "   from payments.standing_statements($1) n where n.bank_account = s.bank_account and n.state = 'accepted'), '-infinity')",
    # As old as the bank's day of it, as on the page that it leads to.
    "lines": "select o.id::text, o.bank_ref, 'reconciliation/items/' || o.id, abs(o.amount_vnd),"
    " o.day::timestamp at time zone interval '7 hours', null::uuid[], ''"
    " from payments.open_item o where o.operator_id = $1 and o.side = 'line' and o.name is null",
    "documents": "select s.document_id::text || s.what, d.code, 'fiscal/' || d.id, d.amount_vnd, s.ended_at, null::uuid[], s.why"
    " from payments.fiscal_sending s"
    " join payments.fiscal_document d on d.operator_id = s.operator_id and d.id = s.document_id"
    " where s.operator_id = $1 and s.state = 'rejected' and not exists"
    "   (select from payments.fiscal_document n where n.operator_id = $1 and n.replaces = d.id)",
    # The queue of due work is about processes: its times are real ones. It has no row-level wall: the WHERE is the wall.
    "parked": "select w.kind || ' ' || w.id, w.id, 'day#parked', null::bigint,"
    " $2::timestamptz - (clock_timestamp() - coalesce(w.parked_at, clock_timestamp())), null::uuid[], w.kind from foundation.due w"
    f" where w.operator_id = $1 and {outbox.TROUBLED}",
}
"""What waits, by kind of work. A bag of notes is late after a day."""
COLUMNS = "(id, name, path, amount_vnd, since, not_by, what)"
"""Of each of them: the page is under `/finance/`; who may not decide on it; and a word about it."""

PAGES = {
    "held": "queue",
    "refunds": "refunds#requested",
    "give_backs": "refunds#give-back",
    "debits": "queue#debits",
    "debits_asked": "queue#debits",
    "shortages": "deposits",
    "bags": "deposits",
    "write_offs": "reconciliation#asked",
    "names": "reconciliation#asked",
    "reopenings": "days#waiting",
    "locks": "days#waiting",
    "withdrawals": "days#waiting",
    "contracts": "contracts#waiting",
    "details": "payouts#details",
    "runs": "payouts",
    "payouts_failed": "payouts",
    "quarantine": "statements",
    "lines": "reconciliation?side=line",
    "documents": "fiscal#rejected",
    "parked": "day#parked",
}
"""Where all of a kind is listed, under `/finance/`."""


@dataclass(frozen=True, slots=True)
class Item:
    """Something that waits. `own`: the reader asked for it himself, so somebody else decides; `what`: a code or a reason."""

    name: str
    path: str
    amount_vnd: int | None
    since: datetime
    own: bool
    what: str


@dataclass(frozen=True, slots=True)
class Need:
    """Work of one kind: how much, how old (`ages`: 0–1, 2–3, 4–7 and more days), how many are the reader's own; its first
    items, the oldest first."""

    kind: str
    path: str
    count: int
    sum_vnd: int | None
    since: datetime
    ages: tuple[int, int, int, int]
    own: int
    items: Sequence[Item]


@dataclass(frozen=True, slots=True)
class Late:
    """Something that should have happened: how often it is missing, how much money it is about, since which day."""

    kind: str
    path: str
    count: int
    sum_vnd: int | None
    since: date | None


@dataclass(frozen=True, slots=True)
class Closed:
    """How far the books are closed and proven; `cash` is the proof of cash of the day that is over; `reopened`: days that are
    open once more."""

    day: date | None
    by: str | None
    at: datetime | None
    month: Month | None
    cash: CashProof
    books: Kept
    reopened: Sequence[Any]


@dataclass(frozen=True, slots=True)
class Overview:
    """What waits, the most painful first; what is late; what is closed."""

    needs: Sequence[Need]
    late: Sequence[Late]
    closed: Closed


async def of(tx: Tx, staff_id: UUID, *, now: datetime) -> Overview:
    """All of it, from one snapshot, as one person of the staff sees it."""
    today = clock.hanoi_day(now)
    cash = await prove_cash(tx, today - timedelta(days=1))
    through = await ledger.closed_through(tx)
    last = (await day_close.closed_days(tx, day=through))[0].last if through else None
    months = await book_request.months(tx, until=today, most=2)
    closed = Closed(
        through,
        last.closed_by if last else None,
        last.closed_at if last else None,
        next((month for month in months if month.state != "open"), months[0] if months else None),
        cash,
        await kept(tx),
        await book_request.reopened(tx),
    )
    return Overview(await needs(tx, staff_id, now=now), await late(tx, cash, now=now), closed)


async def needs(tx: Tx, staff_id: UUID, *, now: datetime) -> list[Need]:
    """What waits, by kind: what the reader can do first, and of that what weighs most, amount by days."""
    sums = await tx.rows(
        " union all ".join(
            f"select '{kind}' as kind, {_SUMS} from ({query}) waits {COLUMNS}" for kind, query in OPEN.items()
        ),
        tx.operator_id,
        now,
        staff_id,
    )
    firsts = " union all ".join(
        f"(select '{kind}' as kind, *, coalesce($3 = any(not_by), false) as own from ({query}) waits {COLUMNS}"
        f" order by own, since, id limit {FIRST})"
        for kind, query in OPEN.items()
    )
    rows = await tx.rows(
        f"select f.*, coalesce(r.bank_ref, f.name) as called from ({firsts}) f"
        " left join payments.receipt r on r.operator_id = $1 and r.id = case f.kind when 'held' then f.id::uuid end"
        " order by f.own, f.since, f.id",
        tx.operator_id,
        now,
        staff_id,
    )
    return [
        Need(
            row["kind"],
            f"/finance/{PAGES[row['kind']]}",
            row["count"],
            row["sum_vnd"],
            row["since"],
            tuple(row["ages"]),
            row["own"],
            [
                Item(
                    item["called"],
                    f"/finance/{item['path']}",
                    item["amount_vnd"],
                    item["since"],
                    item["own"],
                    item["what"] or "",
                )
                for item in rows
                if item["kind"] == row["kind"]
            ],
        )
        for row in sorted(sums, key=_pain)
        if row["count"]
    ]


_SUMS = (
    "count(*)::int as count, sum(amount_vnd)::bigint as sum_vnd, min(since) as since,"
    " array[count(*) filter (where since > $2 - interval '2 days'),"
    "   count(*) filter (where since <= $2 - interval '2 days' and since > $2 - interval '4 days'),"
    "   count(*) filter (where since <= $2 - interval '4 days' and since > $2 - interval '8 days'),"
    "   count(*) filter (where since <= $2 - interval '8 days')]::int[] as ages,"
    " (count(*) filter (where $3 = any(not_by)))::int as own,"
    f" sum(coalesce(amount_vnd, {WITHOUT_AMOUNT_VND}) * greatest(extract(epoch from $2 - since) / 86400, 1)) as weight"
).replace("$2", "$2::timestamptz")


def _pain(row: Any) -> tuple[bool, int, str]:
    """What only somebody else can decide stands last; of the rest what weighs most first."""
    return row["own"] == row["count"], -int(row["weight"] or 0), row["kind"]


async def late(tx: Tx, cash: CashProof, *, now: datetime) -> list[Late]:
    """What should be here, closed or paid by the last morning, and is not. `cash`: the proof of cash of yesterday."""
    today = clock.hanoi_day(now)
    mornings = today if clock.hanoi(now).time() >= MORNING else today - timedelta(days=1)
    over = mornings - timedelta(days=1)
    missing = [account.day for account in cash.awaited if account.day is None or account.day < over]
    following = await day_close.next_day(tx)
    settled: date | None = await tx.value(
        "select max(day) from payments.settlement where operator_id = $1", tx.operator_id
    )
    unagreed = await payee_statement.waiting(tx, until=settled) if settled else []
    unpaid = await tx.row(
        "select count(*)::int as count, coalesce(sum(net_vnd), 0)::bigint as sum_vnd, min(due_on) as since from"
        " (select sum(s.net_vnd) as net_vnd, min(s.due_on) filter (where s.net_vnd <> 0) as due_on"
        "  from payments.payee_statement s"
        "  left join payments.payout_day d"
        "    on d.operator_id = s.operator_id and d.payee_id = s.payee_id and d.day = s.day and not d.released"
        "  left join payments.payout p on p.operator_id = d.operator_id and p.id = d.payout_id"
        "  where s.operator_id = $1 and p.left_at is null and s.due_on <= $2 group by s.payee_id) each where net_vnd > 0",
        tx.operator_id,
        mornings,
    )
    owed = await tx.row(
        "select count(*)::int as count, coalesce(sum(amount_vnd - netted_vnd), 0)::bigint as sum_vnd, min(due_on) as since"
        " from payments.due_item where operator_id = $1 and netted_vnd < amount_vnd and due_on < $2",
        tx.operator_id,
        today,
    )
    unseen = await tx.row(
        "select count(*)::int as count, coalesce(sum(abs(amount_vnd)), 0)::bigint as sum_vnd, min(day) as since"
        " from payments.open_item where operator_id = $1 and side = 'movement' and name is null and day < $2",
        tx.operator_id,
        today - timedelta(days=OVERDUE_DAYS),
    )
    found = [
        Late("statements", "statements", len(missing), None, min((day for day in missing if day), default=None)),
        Late("days", "days", (over - following).days + 1 if following and following <= over else 0, None, following),
        Late(
            "contracts",
            "settlements#waiting",
            sum(each.count for each in unagreed),
            sum(each.amount_vnd for each in unagreed),
            min((each.since for each in unagreed), default=None),
        ),
        Late("payouts", "payouts", *unpaid.values()),
        Late("dues", "settlements#dues", *owed.values()),
        Late("movements", "reconciliation?side=movement", *unseen.values()),
    ]
    return [
        Late(each.kind, f"/finance/{each.path}", each.count, each.sum_vnd, each.since) for each in found if each.count
    ]
