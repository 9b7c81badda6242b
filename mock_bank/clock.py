"""The bank's time: an instant set by hand, and everything that has passed since, at a rate. Demo and test only.

What the books say follows it: bookings, when a line is listed, refunds and reversals, a notice told again days later.
What the network does stands in real time: leases, retries, delays, signatures.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import asyncpg
from fastapi import APIRouter
from pydantic import AwareDatetime, BaseModel, Field

from mock_bank import language
from mock_bank.database import Database
from mock_bank.later import Clerk
from mock_bank.notice import Sender
from mock_bank.web import ApiKey, In, StrictRoute


class ClockIn(In):
    """`rate` bank seconds pass in a real one; 0 stands still."""

    at: Annotated[AwareDatetime, Field(ge=datetime(2000, 1, 1, tzinfo=UTC), lt=datetime(2100, 1, 1, tzinfo=UTC))]
    rate: Annotated[float, Field(strict=True, ge=0, le=100_000, allow_inf_nan=False)] = 1.0


class ClockOut(BaseModel):
    at: datetime
    rate: float


async def read(db: asyncpg.Pool[Any]) -> ClockOut:
    """The bank's time now."""
    row = await db.fetchrow("SELECT mock_bank.now() AS at, rate FROM mock_bank.clock")
    assert row is not None
    return ClockOut(at=row["at"].astimezone(language.HANOI), rate=row["rate"])


async def put(db: asyncpg.Pool[Any], *, at: datetime, rate: float) -> ClockOut:
    """From this moment the bank's time is `at`, and runs at `rate`."""
    await db.execute("UPDATE mock_bank.clock SET bank_at = $1, real_at = clock_timestamp(), rate = $2", at, rate)
    return await read(db)


router = APIRouter(prefix="/clock", tags=["clock"], route_class=StrictRoute)


@router.get("")
async def see_the_clock(db: Database, key: ApiKey) -> ClockOut:
    """The bank's time and its rate."""
    return await read(db)


@router.put("")
async def set_the_clock(wanted: ClockIn, db: Database, sender: Sender, clerk: Clerk, key: ApiKey) -> ClockOut:
    """Set the bank's time and its rate."""
    set_to = await put(db, at=wanted.at, rate=wanted.rate)
    clerk.wake()
    sender.wake()
    return set_to
