"""The headline figure: how many pay without cash, by count and by value (statistics.md 1.3).

A unit is one paid charge line. The payer's means decides, never the channel: notes that an attendant transferred are
cash, and their rate is published beside the share. What is pending is on neither side; what is free is apart. Figures
are counted per operator and day into rollups, the only tables that the city reads; a file always carries numerator and
denominator, and a share of several cells is Σ numerator ÷ Σ denominator.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal
from uuid import UUID

from sqlalchemy import BigInteger
from sqlmodel import Field, Index, SQLModel, text

from foundation import clock, directory, outbox
from foundation.database import Database
from foundation.errors import Refusal
from foundation.tables import instant, owner_key
from payments.payment import ROLLUP

By = Literal["day", "service"]
SPAN_MAX = timedelta(days=366)


class CashlessDay(SQLModel, table=True):
    """Units and amount of one cell of one day. `means` is the payer's, or PENDING; `channel` is empty without money."""

    __tablename__ = "cashless_day"
    __table_args__ = (
        Index("cashless_day_day_idx", "service_day"),
        {"schema": "payments", "comment": "rollup: sums without persons, read by the city across operators"},
    )
    operator_id: UUID = owner_key()
    service_day: date = Field(primary_key=True)
    environment: str = Field(primary_key=True)
    service: str = Field(primary_key=True)
    place: int = Field(primary_key=True)
    ward: str = Field(primary_key=True)
    class_: str = Field(primary_key=True, sa_column_kwargs={"name": "class"})
    means: str = Field(primary_key=True)
    channel: str = Field(primary_key=True)
    units: int = Field(sa_type=BigInteger)
    amount_vnd: int = Field(sa_type=BigInteger)


class CashlessCounted(SQLModel, table=True):
    """When an operator's day was counted last, and when a pending payment in it runs out by itself."""

    __tablename__ = "cashless_counted"
    __table_args__ = (
        Index(
            "cashless_counted_recount_idx", "operator_id", "recount_at", postgresql_where=text("recount_at is not null")
        ),
        {"schema": "payments", "comment": "rollup: freshness of the sums, read by the city across operators"},
    )
    operator_id: UUID = owner_key()
    service_day: date = Field(primary_key=True)
    counted_at: datetime = instant()
    recount_at: datetime | None = instant(default=None)


class PeriodUnreadable(Refusal):
    """The period must begin before it ends and be at most 366 days long."""

    status = 422


class StatisticsNotHere(Refusal):
    """The statistics are not connected to this part of the platform."""

    status = 503


@dataclass(frozen=True, slots=True)
class Share:
    """The figures of one cell: units and VND of each side. A share is None where nothing was charged."""

    cashless_units: int = 0
    charged_units: int = 0
    cashless_vnd: int = 0
    charged_vnd: int = 0
    proxy_units: int = 0
    proxy_vnd: int = 0
    pending_units: int = 0
    pending_vnd: int = 0
    free_units: int = 0
    pass_units: int = 0

    @property
    def by_count(self) -> str | None:
        return ratio(self.cashless_units, self.charged_units)

    @property
    def by_value(self) -> str | None:
        return ratio(self.cashless_vnd, self.charged_vnd)

    @property
    def proxy_by_count(self) -> str | None:
        """Proxy sales ÷ all charged units: what the share would rise by if they were miscounted as cashless."""
        return ratio(self.proxy_units, self.charged_units)

    @property
    def proxy_by_value(self) -> str | None:
        return ratio(self.proxy_vnd, self.charged_vnd)

    def __add__(self, other: Share) -> Share:
        return Share(*(getattr(self, name) + getattr(other, name) for name in Share.__slots__))


@dataclass(frozen=True, slots=True)
class Cell:
    """One row of the publication; `day` or `service` is None where it was summed over."""

    day: date | None
    service: str | None
    share: Share


@dataclass(frozen=True, slots=True)
class Publication:
    """The cashless share of a period. `counted_at` is the latest count it rests on, None if there is none."""

    first: date
    last: date
    cells: tuple[Cell, ...]
    counted_at: datetime | None

    @property
    def total(self) -> Share:
        return sum_of(cell.share for cell in self.cells)

    def by(self, *by: By) -> tuple[Cell, ...]:
        """The same figures, summed over what `by` does not name; sorted by day, then service."""
        sums: dict[tuple[date | None, str | None], Share] = {}
        for cell in self.cells:
            key = (cell.day if "day" in by else None, cell.service if "service" in by else None)
            sums[key] = sums.get(key, Share()) + cell.share
        return tuple(Cell(*key, share) for key, share in sorted(sums.items(), key=lambda item: str(item[0])))


def ratio(part: int, whole: int) -> str | None:
    """`"0.7240"`: four digits, half up, computed from the integers; None if the whole is nothing."""
    if not whole:
        return None
    tenthousandths = (2 * 10_000 * part + whole) // (2 * whole)
    return f"{tenthousandths // 10_000}.{tenthousandths % 10_000:04}"


def sum_of(shares: Iterable[Share]) -> Share:
    """Σ numerator and Σ denominator, never a mean of shares."""
    return sum(shares, Share())


async def recount(database: Database, claim: outbox.Claim) -> None:
    """The worker's act for `payments.rollup`: counts the day `claim.id` (ISO) of one operator anew.

    It needs no fence: a worker that lost its lease counts what is true at that moment, like any other.
    """
    async with database.transaction(claim.operator_id) as tx:
        tx.step("rollup")
        await tx.execute("select payments.recount_cashless($1, $2)", date.fromisoformat(claim.id), await clock.now(tx))


async def recount_lapsed(database: Database) -> int:
    """Makes due the days in which a pending payment has run out meanwhile; returns how many. Called periodically."""
    due = 0
    for operator_id in await directory.operators(database):
        async with database.transaction(operator_id) as tx:
            for row in await tx.rows(
                "select service_day from payments.cashless_counted"
                " where operator_id = $1 and recount_at <= foundation.now()",
                tx.operator_id,
            ):
                outbox.enqueue(tx, ROLLUP, row["service_day"].isoformat())
                due += 1
    return due


async def publication(city: Database | None, *, first: date, last: date, service: str | None = None) -> Publication:
    """The share from `first` to `last` (both included), by day and service, as the role that reads rollups only.

    Raises PeriodUnreadable, StatisticsNotHere.
    """
    if city is None:
        raise StatisticsNotHere()
    if not timedelta(0) <= last - first <= SPAN_MAX:
        raise PeriodUnreadable()
    rows = await city.rows(
        "select service_day, service, means, channel, sum(units)::bigint as units, sum(amount_vnd)::bigint as amount_vnd"
        " from payments.cashless_day where service_day between $1 and $2 and ($3::text is null or service = $3)"
        " and units > 0 group by service_day, service, means, channel order by service_day, service",
        first,
        last,
        service,
    )
    counted_at: datetime | None = await city.value(
        "select max(counted_at) from payments.cashless_counted where service_day between $1 and $2", first, last
    )
    cells = tuple(
        Cell(row["service_day"], row["service"], _side(row["means"], row["channel"], row["units"], row["amount_vnd"]))
        for row in rows
    )
    return Publication(first, last, Publication(first, last, cells, None).by("day", "service"), counted_at)


def _side(means: str, channel: str, units: int, amount_vnd: int) -> Share:
    """Which figures a sum of one means and channel belongs to: the definition, in one place."""
    match means:
        case "PENDING":
            return Share(pending_units=units, pending_vnd=amount_vnd)
        case "FREE":
            return Share(free_units=units)
        case "PASS":
            return Share(pass_units=units)
        case "CASH":
            proxy = channel == "ATTENDANT_PROXY"
            return Share(
                charged_units=units,
                charged_vnd=amount_vnd,
                proxy_units=units if proxy else 0,
                proxy_vnd=amount_vnd if proxy else 0,
            )
        case _:
            return Share(cashless_units=units, charged_units=units, cashless_vnd=amount_vnd, charged_vnd=amount_vnd)


__all__ = [
    "By",
    "Cell",
    "PeriodUnreadable",
    "Publication",
    "Share",
    "StatisticsNotHere",
    "publication",
    "ratio",
    "recount",
    "recount_lapsed",
    "sum_of",
]
