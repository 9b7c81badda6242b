"""The general journal of an operator as an accountant books it: the transfers of a day, summed by event and by the accounts of
his own chart, and the trial balance under the same numbers, which they explain to the đồng.

A row is (day, event, debit, credit). Its document number is made of those and of nothing else, so it is the same whenever
it is made. Where an account gets another number, the first day of it begins with a row that carries its balance over: each
day opens with what the day before closed with. What does not tie is never handed out.
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from foundation import clock
from foundation.database import Tx
from foundation.errors import Refusal
from payments import chart, ledger
from payments.chart import Entry

CARRIED = "chart.changed"
"""The event of a row that carries a balance from one number to the next."""


class JournalUntied(Refusal):
    """The journal does not explain the balance of {accounts}; it is not handed out. Let the books be proved."""


@dataclass(frozen=True, slots=True)
class Row:
    """So many transfers of one event between two accounts of ours (their keys), under the operator's numbers."""

    day: date
    event: str
    debit: Entry
    credit: Entry
    count: int
    amount_vnd: int

    @property
    def document(self) -> str:
        return document_number(self.day, self.event, self.debit.account, self.credit.account)


@dataclass(frozen=True, slots=True)
class Balance:
    """A number of the operator's books over a period. Balances are debits − credits."""

    number: str
    name: str
    opening_vnd: int
    debits_vnd: int
    credits_vnd: int

    @property
    def closing_vnd(self) -> int:
        return self.opening_vnd + self.debits_vnd - self.credits_vnd


@dataclass(frozen=True, slots=True)
class Journal:
    """The journal of a period and its trial balance. `closed_through`: the last day whose books are closed."""

    first: date
    last: date
    rows: Sequence[Row]
    balances: Sequence[Balance]
    closed_through: date | None
    written_at: datetime
    """When the last of it was written: an open day may go on."""

    @property
    def closed(self) -> bool:
        return self.closed_through is not None and self.last <= self.closed_through

    @property
    def count(self) -> int:
        return sum(row.count for row in self.rows)

    @property
    def amount_vnd(self) -> int:
        return sum(row.amount_vnd for row in self.rows)

    @property
    def carried_vnd(self) -> int:
        """What of it moved nothing: balances that got another number."""
        return sum(row.amount_vnd for row in self.rows if row.event == CARRIED)


@dataclass(frozen=True, slots=True)
class Leg:
    """A transfer with its row's document number."""

    document: str
    effective_at: datetime
    recorded_at: datetime
    event: str
    source: str
    journal: str
    debit: Entry
    credit: Entry
    amount_vnd: int


Moved = Mapping[tuple[date, str, str, str], tuple[int, int]]
"""(day, event, key debited, key credited) → (transfers, VND)."""


def document_number(day: date, event: str, debit: str, credit: str) -> str:
    """`20261121-RZ4K7Q`: the day, and six characters of which each event between two accounts has its own for ever."""
    digest = hashlib.sha256(f"{event} {debit} {credit}".encode()).digest()
    return f"{day:%Y%m%d}-{base64.b32encode(digest)[:6].decode()}"


def written(
    first: date, last: date, moved: Moved, opening: Mapping[str, int], entries: Sequence[Entry]
) -> tuple[list[Row], list[Balance]]:
    """The rows of a period and its trial balance; `opening` is by key, at the end of the day before. Pure.

    Raises NotMapped.
    """
    held = Counter(dict(opening))
    before = chart.mapped(entries, first - timedelta(days=1), _held(held))
    rows: list[Row] = []
    opened: Counter[str] = Counter()
    for key in _held(held):
        opened[before[key].number] += held[key]
    names = {entry.number: entry.name for key, entry in sorted(before.items())}
    by_day: dict[date, list[tuple[str, str, str, int, int]]] = defaultdict(list)
    for (day, event, debit, credit), (count, amount_vnd) in sorted(moved.items()):
        by_day[day].append((event, debit, credit, count, amount_vnd))
    changes = {entry.valid_from for entry in entries}
    for day in (first + timedelta(days=n) for n in range((last - first).days + 1)):
        if day not in by_day and day not in changes:
            continue
        concerned = {key for _, debit, credit, *_ in by_day[day] for key in (debit, credit)}
        today = chart.mapped(entries, day, concerned | set(_held(held)))
        names |= {entry.number: entry.name for key, entry in sorted(today.items())}
        for key in _held(held):
            if before[key].number != today[key].number:
                old, new = before[key], today[key]
                sides = (new, old) if held[key] > 0 else (old, new)
                rows.append(Row(day, CARRIED, *sides, 0, abs(held[key])))
        for event, debited, credited, count, amount_vnd in by_day[day]:
            rows.append(Row(day, event, today[debited], today[credited], count, amount_vnd))
            held[debited] += amount_vnd
            held[credited] -= amount_vnd
        before = today
    return rows, _balances(opened, rows, names)


def _held(balances: Mapping[str, int]) -> list[str]:
    return sorted(key for key, vnd in balances.items() if vnd)


def _balances(opened: Mapping[str, int], rows: Iterable[Row], names: Mapping[str, str]) -> list[Balance]:
    debits: Counter[str] = Counter()
    credits: Counter[str] = Counter()
    for row in rows:
        debits[row.debit.number] += row.amount_vnd
        credits[row.credit.number] += row.amount_vnd
    numbers = sorted({*(number for number, vnd in opened.items() if vnd), *debits, *credits})
    return [
        Balance(number, names[number], opened.get(number, 0), debits[number], credits[number]) for number in numbers
    ]


async def of(tx: Tx, first: date, last: date) -> Journal:
    """The journal of a period of days. `tx` should be repeatable read.

    Raises NotMapped, JournalUntied.
    """
    kinds, entries = await chart.payee_kinds(tx), await chart.entries(tx)
    found = await tx.rows(
        "select j.effective_day, j.template, t.debit, t.credit, count(*) as count,"
        " sum(t.amount_vnd)::bigint as amount_vnd, max(j.recorded_at) as recorded_at"
        " from payments.journal j"
        " join payments.transfer t on t.operator_id = j.operator_id and t.journal_id = j.id"
        " where j.operator_id = $1 and j.effective_day between $2 and $3 group by 1, 2, 3, 4",
        tx.operator_id,
        first,
        last,
    )
    moved: defaultdict[tuple[date, str, str, str], tuple[int, int]] = defaultdict(lambda: (0, 0))
    for row in found:
        key = (
            row["effective_day"],
            row["template"],
            chart.key_of(row["debit"], kinds),
            chart.key_of(row["credit"], kinds),
        )
        count, amount_vnd = moved[key]
        moved[key] = (count + row["count"], amount_vnd + row["amount_vnd"])
    opening = _by_key(await ledger.balances(tx, first - timedelta(days=1)), kinds)
    closing = _by_key(await ledger.balances(tx, last), kinds)
    untied = _untied(opening, moved, closing)
    if untied:
        raise JournalUntied(accounts=", ".join(untied))
    rows, balances = written(first, last, moved, opening, entries)
    return Journal(
        first,
        last,
        rows,
        balances,
        await ledger.closed_through(tx),
        max((row["recorded_at"] for row in found), default=clock.start_of_day(first)),
    )


async def days(tx: Tx, first: date, last: date) -> dict[date, tuple[int, int]]:
    """By day on which anything moved: how many transfers, how much."""
    rows = await tx.rows(
        "select j.effective_day as day, count(*) as count, sum(t.amount_vnd)::bigint as amount_vnd"
        " from payments.journal j"
        " join payments.transfer t on t.operator_id = j.operator_id and t.journal_id = j.id"
        " where j.operator_id = $1 and j.effective_day between $2 and $3 group by 1 order by 1",
        tx.operator_id,
        first,
        last,
    )
    return {row["day"]: (row["count"], row["amount_vnd"]) for row in rows}


async def legs(tx: Tx, day: date) -> list[Leg]:
    """Every transfer of a day in the order of the rows that it is part of, then in which it was recorded."""
    kinds, entries = await chart.payee_kinds(tx), await chart.entries(tx)
    rows = await tx.rows(
        "select j.recorded_at, j.effective_at, j.template, j.source_type, j.source_id, t.journal_id, t.leg, t.debit,"
        " t.credit, t.amount_vnd from payments.journal j"
        " join payments.transfer t on t.operator_id = j.operator_id and t.journal_id = j.id"
        " where j.operator_id = $1 and j.effective_day = $2 order by j.recorded_at, j.id, t.leg",
        tx.operator_id,
        day,
    )
    return sorted(_legs(rows, day, kinds, entries), key=lambda leg: (leg.event, leg.debit.account, leg.credit.account))


def _legs(rows: Sequence[Any], day: date, kinds: Mapping[str, str], entries: Sequence[Entry]) -> Iterator[Leg]:
    sides = [(chart.key_of(row["debit"], kinds), chart.key_of(row["credit"], kinds)) for row in rows]
    today = chart.mapped(entries, day, {key for pair in sides for key in pair})
    for row, (debit, credit) in zip(rows, sides, strict=True):
        yield Leg(
            document_number(day, row["template"], debit, credit),
            row["effective_at"],
            row["recorded_at"],
            row["template"],
            f"{row['source_type']} {row['source_id']}",
            f"{row['journal_id']}/{row['leg']}",
            today[debit],
            today[credit],
            row["amount_vnd"],
        )


def _by_key(balances: Iterable[ledger.AccountOfDay], kinds: Mapping[str, str]) -> Counter[str]:
    found: Counter[str] = Counter()
    for each in balances:
        found[chart.key_of(each.account, kinds)] += each.closing_vnd
    return found


def _untied(opening: Mapping[str, int], moved: Moved, closing: Mapping[str, int]) -> list[str]:
    """The keys whose closing balance in the books is not what they opened with and what moved."""
    left = Counter(dict(closing))
    left.subtract(opening)
    for (_, _, debit, credit), (_, amount_vnd) in moved.items():
        left[debit] -= amount_vnd
        left[credit] += amount_vnd
    return _held(left)
