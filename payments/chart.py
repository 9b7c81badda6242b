"""The operator's chart of accounts: under which number of his own books each account of ours is booked, and since when.

Every operator begins with the chart of `chart.toml`; what he names himself takes its place, account by account. An entry
holds from a day on until a later one, and begins tomorrow at the earliest: no day that may have been exported changes.
Only what has no number yet may get one for the past, since nothing could be exported without it.

Drawers are one account to an accountant, and so are the payees of one kind: a *key* is an account of ours without whose
it is (`cash_drawer`, `payee_payable.authority`).
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from pathlib import Path
from uuid import UUID

from sqlmodel import CheckConstraint, Field, ForeignKeyConstraint, SQLModel

from foundation import audit, clock
from foundation.database import Tx
from foundation.errors import Refusal
from foundation.tables import instant, keys, owner_key

_NUMBER = re.compile(r"[0-9][0-9A-Z.-]{0,19}")
NAME_MAX = 100


class ChartEntry(SQLModel, table=True):
    """A number of the operator's own books for an account of ours, from a day on. The latest of a day holds."""

    __tablename__ = "chart_entry"
    __table_args__ = (
        ForeignKeyConstraint(
            keys("staff_id"), ["foundation.staff.operator_id", "foundation.staff.id"], name="chart_entry_staff_fkey"
        ),
        CheckConstraint("number ~ '^[0-9][0-9A-Z.-]{0,19}$'", name="number"),
        CheckConstraint(f"length(name) between 1 and {NAME_MAX} and version > 0", name="name"),
        {"schema": "payments", "comment": "insert-only: days were exported by it"},
    )
    operator_id: UUID = owner_key()
    account: str = Field(primary_key=True)
    version: int = Field(primary_key=True)
    valid_from: date
    number: str
    name: str
    staff_id: UUID
    at: datetime = instant()


class ChartEntryUnfit(Refusal):
    """This entry of the chart cannot be: {which}."""

    status = 422


class ChartBeginsTooEarly(Refusal):
    """Days up to {day} may have been exported with the number that holds now; the new one can begin on the day after."""


class ChartChanged(Refusal):
    """Somebody else has just changed this account; look at it again."""

    constraint = "chart_entry_pkey"


class NotMapped(Refusal):
    """Your chart of accounts has no number for: {accounts}. Nothing is exported until it has."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of the chart: of the house (version 0, by nobody) or of the operator."""

    account: str
    valid_from: date
    number: str
    name: str
    version: int = 0
    by: str | None = None


def key_of(account: str, payees: Mapping[str, str]) -> str:
    """The key of an account of ours; `payees` says of what kind each payee is."""
    family, _, whose = account.partition(":")
    if not whose or family in ("bank", "cash_drawer"):
        return family
    return f"{family}.{payees.get(whose, whose)}"


@cache
def of_the_house() -> tuple[Entry, ...]:
    """What every operator begins with, as `chart.toml` says it."""
    charts = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))["chart"]
    return tuple(
        Entry(account, chart["valid_from"], number, name)
        for chart in charts
        for account, (number, name) in chart["accounts"].items()
    )


def in_force(entries: Iterable[Entry], day: date) -> dict[str, Entry]:
    """By key, the entry that holds on a day: the operator's own before the house's, then the one that began last."""
    holding = [entry for entry in entries if entry.valid_from <= day]
    holding.sort(key=lambda entry: (entry.version > 0, entry.valid_from, entry.version))
    return {entry.account: entry for entry in holding}


def mapped(entries: Sequence[Entry], day: date, accounts: Iterable[str]) -> dict[str, Entry]:
    """The entries of the given keys on a day. Raises NotMapped, which names all that have none."""
    holding = in_force(entries, day)
    missing = sorted(set(accounts) - set(holding))
    if missing:
        raise NotMapped(accounts=", ".join(missing))
    return holding


async def entries(tx: Tx) -> list[Entry]:
    """The whole chart, the house's and the operator's own, of all days."""
    rows = await tx.rows(
        "select e.account, e.valid_from, e.number, e.name, e.version, s.name as by from payments.chart_entry e"
        " join foundation.staff s on s.operator_id = e.operator_id and s.id = e.staff_id"
        " where e.operator_id = $1 order by e.account, e.version",
        tx.operator_id,
    )
    return [*of_the_house(), *(Entry(**row) for row in rows)]


async def accounts(tx: Tx) -> list[str]:
    """The keys of all accounts that there are, in the house's chart or in this operator's ledger."""
    kinds = await payee_kinds(tx)
    rows = await tx.rows("select code from payments.account where operator_id = $1", tx.operator_id)
    there = {key_of(row["code"], kinds) for row in rows}
    known = list(dict.fromkeys(entry.account for entry in of_the_house()))
    return [*known, *sorted(there - set(known))]


async def payee_kinds(tx: Tx) -> dict[str, str]:
    """Of what kind each payee is."""
    rows = await tx.rows("select id, kind from payments.payee where operator_id = $1", tx.operator_id)
    return {str(row["id"]): row["kind"] for row in rows}


async def change(
    tx: Tx, account: str, *, number: str, name: str, valid_from: date, staff_id: UUID, now: datetime
) -> None:
    """Books an account of ours under another number from a day on.

    Raises ChartEntryUnfit, ChartBeginsTooEarly, ChartChanged (by its constraint).
    """
    number, name = number.strip().upper(), name.strip()
    for which, unfit in (
        ("chart_account", account not in await accounts(tx)),
        ("chart_number", not _NUMBER.fullmatch(number)),
        ("chart_name", not 0 < len(name) <= NAME_MAX),
    ):
        if unfit:
            raise ChartEntryUnfit(which=which)
    known, today = await entries(tx), clock.hanoi_day(now)
    before = in_force(known, valid_from).get(account)
    if before is not None and valid_from <= today:
        raise ChartBeginsTooEarly(day=today)
    version = 1 + max((entry.version for entry in known if entry.account == account), default=0)
    await tx.execute(
        "insert into payments.chart_entry (operator_id, account, version, valid_from, number, name, staff_id, at)"
        " values ($1, $2, $3, $4, $5, $6, $7, $8)",
        tx.operator_id,
        account,
        version,
        valid_from,
        number,
        name,
        staff_id,
        now,
    )
    await audit.note(
        tx,
        staff_id,
        "chart.changed",
        f"chart {account}",
        before={"number": before.number, "name": before.name} if before else None,
        after={"number": number, "name": name, "valid_from": valid_from.isoformat()},
        now=now,
    )
