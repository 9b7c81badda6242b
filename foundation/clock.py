"""Time: the database's clock, moved by an offset and a rate in demo and test only.

Domain code never reads a clock: it is given `now`. In SQL the one source is `foundation.now()` (clock.sql).
Only `recorded_at`, leases and signature windows use real time.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime
from sqlmodel import CheckConstraint, Field, SQLModel

from foundation.database import Tx
from foundation.errors import Refusal
from foundation.hanoi import HANOI as HANOI
from foundation.tables import instant


def _in_our_century(at: datetime) -> datetime:
    if not 2000 <= at.year <= 2100:
        raise ValueError("must lie between 2000 and 2100")
    return at


def _day_in_our_century(day: date) -> date:
    if not 2000 <= day.year <= 2100:
        raise ValueError("must lie between 2000 and 2100")
    return day


# What comes in from outside; times of other centuries are mistakes, and arithmetic on them overflows.
Instant = Annotated[AwareDatetime, AfterValidator(_in_our_century)]
Day = Annotated[date, AfterValidator(_day_in_our_century)]


class Clock(SQLModel, table=True):
    """The one row that moves time in a demo: now = base_at + (real now - set_at) × rate."""

    __tablename__ = "clock"
    __table_args__ = (CheckConstraint("one", name="one_row"), {"schema": "foundation"})
    one: bool = Field(default=True, primary_key=True)
    base_at: datetime = instant()
    set_at: datetime = instant()
    rate: float = Field(default=1.0)


class ClockTooFar(Refusal):
    """The clock can be moved by at most two years at a time."""

    status = 422


class ClockGoesForward(Refusal):
    """The clock can only be moved forward: something has already happened at that time."""

    status = 409


def hanoi_day(at: datetime) -> date:
    """The calendar day in Hanoi of an aware instant."""
    return at.astimezone(HANOI).date()


def hanoi(at: datetime) -> datetime:
    """The same instant on a Hanoi wall clock."""
    return at.astimezone(HANOI)


def day_text(when: date, language: str) -> str:
    """A day, or an instant's day in Hanoi: 21/11/2026; in English 21 Nov 2026, since abroad day and month change places."""
    on = hanoi(when) if isinstance(when, datetime) else when
    return f"{on:%d/%m/%Y}" if language == "vi" else f"{on.day} {on:%b %Y}"


def moment_text(at: datetime, language: str) -> str:
    """Date and time on a Hanoi clock: 21/11/2026 09:30."""
    return f"{day_text(at, language)} {hanoi(at):%H:%M}"


def start_of_day(day: date) -> datetime:
    """00:00 in Hanoi of that day, as a UTC instant."""
    return datetime(day.year, day.month, day.day, tzinfo=HANOI).astimezone(UTC)


def span(first: date, last: date) -> tuple[datetime, datetime]:
    """The moment at which the first of these Hanoi days begins, and that at which the last one is over."""
    return start_of_day(first), start_of_day(last + timedelta(days=1))


async def now(tx: Tx) -> datetime:
    """The platform's time, aware, UTC."""
    at: datetime = await tx.value("select foundation.now()")
    return at


async def set_clock(tx: Tx, *, at: datetime, rate: float) -> datetime:
    """Moves the platform's clock (demo and test only: the database refuses in production). Returns the new time."""
    if at < await now(tx) - timedelta(seconds=1):
        raise ClockGoesForward()
    if at > await now(tx) + timedelta(days=731):
        raise ClockTooFar()
    await tx.execute("select foundation.set_clock($1, $2)", at, rate)
    return await now(tx)
