"""The gate book: what came to each gate and what left, beside what was paid for it. No bank knows this book, and money that
was never recorded stands in no other: vehicles that nobody wrote down, or that left for notes which nobody saw.

A service counts (`counted_by`); what was paid here is held against what it holds as paid.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Literal

from foundation import clock
from foundation.database import Tx
from payments.explain import Explanation, explain

Rule = Literal[
    "entry_not_logged",
    "entry_of_nothing",
    "exit_not_logged",
    "exit_of_nothing",
    "left_owing",
    "counter",
    "more_than_paid",
    "less_than_paid",
    "paid_for_nothing",
]


@dataclass(frozen=True, slots=True)
class GateDifference:
    """Something at a gate that does not fit: by how much (VND, or vehicles for `counter`), of which thing, when, and which
    attendant and tablet the log names. `place` is None where nothing says at which gate it was."""

    rule: Rule
    place: int | None
    reference: str | None = None
    amount: int | None = None
    at: datetime | None = None
    staff: str | None = None
    device: str | None = None


@dataclass(frozen=True, slots=True)
class Gate:
    """One place over one day, in vehicles. `before` and `standing` are counted from what stands there at the day's two ends,
    `came` and `left` from the tablets' log and what visitors said themselves (`announced` of those standing were never seen
    by anybody). `settled`: of each thing that left, by its reference, what the service holds as paid for it, in VND."""

    place: int
    name_vi: str
    name_en: str
    before: int
    came: int
    left: int
    standing: int
    announced: int
    settled: Mapping[str, int]

    @property
    def difference(self) -> int:
        """Entries less exits less what stands there: 0 if nothing was left out."""
        return self.before + self.came - self.left - self.standing

    @property
    def paid(self) -> int:
        return sum(vnd > 0 for vnd in self.settled.values())

    @property
    def free(self) -> int:
        return len(self.settled) - self.paid

    @property
    def settled_vnd(self) -> int:
        return sum(self.settled.values())

    def name(self, language: str) -> str:
        return self.name_vi if language == "vi" else self.name_en


@dataclass(frozen=True, slots=True)
class Counted:
    """What a service says of a day: its gates, and what it finds does not fit."""

    gates: Sequence[Gate]
    differences: Sequence[GateDifference]


@dataclass(frozen=True, slots=True)
class GateBook:
    """A day: the gates, what was paid for what left each (VND, by place), and all differences with the words for them."""

    day: date
    gates: Sequence[Gate]
    paid_vnd: Mapping[int, int]
    differences: Sequence[tuple[GateDifference, Explanation | None]]


Count = Callable[[Tx, date], Awaitable[Counted]]
_counters: dict[str, Count] = {}


def counted_by(purpose: str, count: Count) -> None:
    """Said at composition: who counts what comes and leaves for lines of that purpose."""
    _counters[purpose] = count


async def of(tx: Tx, day: date) -> GateBook:
    """The gate book of a day, past or not over yet."""
    gates: list[Gate] = []
    found: list[tuple[str, GateDifference]] = []
    paid_vnd: dict[int, int] = {}
    for purpose, count in sorted(_counters.items()):
        counted = await count(tx, day)
        gates += counted.gates
        found += [(purpose, difference) for difference in counted.differences]
        for gate in counted.gates:
            paid, differences = await _paid(tx, purpose, gate)
            paid_vnd[gate.place] = paid
            found += [(purpose, difference) for difference in differences]
        found += [(purpose, difference) for difference in await _for_nothing(tx, purpose, day)]
    said = await explain(tx, [(purpose, each.reference) for purpose, each in found if each.reference])
    ordered = sorted(found, key=lambda one: (one[1].place or 0, one[1].rule, one[1].reference or ""))
    return GateBook(
        day, gates, paid_vnd, [(each, said.get((purpose, each.reference or ""))) for purpose, each in ordered]
    )


async def _paid(tx: Tx, purpose: str, gate: Gate) -> tuple[int, list[GateDifference]]:
    """What was paid for what left a gate, less what was given back while it stood there; and where the service holds another
    sum. Given back after it left changes what the service holds no more, so either sum is right."""
    rows = await tx.rows(
        "select l.reference, sum(l.amount_vnd)::bigint as paid_vnd,"
        " sum(least(l.amount_vnd, c.given_back_vnd))::bigint as back_vnd"
        " from payments.charge_line l"
        " join payments.line_paid p on p.operator_id = l.operator_id and p.charge_id = l.charge_id and p.line_no = l.line_no"
        " join payments.charge c on c.operator_id = l.operator_id and c.id = l.charge_id"
        " where l.operator_id = $1 and l.purpose = $2 and l.reference = any($3) group by 1",
        tx.operator_id,
        purpose,
        list(gate.settled),
    )
    of = {row["reference"]: (row["paid_vnd"], row["back_vnd"]) for row in rows}
    sum_vnd, differences = 0, []
    for reference, settled_vnd in gate.settled.items():
        most_vnd, back_vnd = of.get(reference, (0, 0))
        sum_vnd += min(max(settled_vnd, most_vnd - back_vnd), most_vnd)
        difference = GateDifference("more_than_paid", gate.place, reference)
        if settled_vnd > most_vnd:
            differences.append(replace(difference, amount=settled_vnd - most_vnd))
        elif settled_vnd < most_vnd - back_vnd:
            differences.append(replace(difference, rule="less_than_paid", amount=most_vnd - back_vnd - settled_vnd))
    return sum_vnd, differences


async def _for_nothing(tx: Tx, purpose: str, day: date) -> list[GateDifference]:
    """What was paid on a day for things that the service does not know any more."""
    rows = await tx.rows(
        "select l.place, l.reference, l.amount_vnd, p.paid_at from payments.line_paid p"
        " join payments.charge_line l on l.operator_id = p.operator_id and l.charge_id = p.charge_id and l.line_no = p.line_no"
        " where p.operator_id = $1 and p.paid_at >= $2 and p.paid_at < $3 and l.purpose = $4",
        tx.operator_id,
        *clock.span(day, day),
        purpose,
    )
    known = await explain(tx, [(purpose, row["reference"]) for row in rows])
    return [
        GateDifference("paid_for_nothing", row["place"], row["reference"], row["amount_vnd"], row["paid_at"])
        for row in rows
        if (purpose, row["reference"]) not in known
    ]
