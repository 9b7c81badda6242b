"""When the bank misbehaves: notices lost, sent again or late, and transfer texts as banks really deliver them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import asyncpg
from fastapi import APIRouter
from pydantic import Field

from mock_bank.database import Database
from mock_bank.web import ApiKey, In, StrictRoute


class Faults(In):
    """What goes wrong with payments booked from now on. A lost notice is never sent: only the list tells of it."""

    lose_notices: Annotated[bool, Field(strict=True)] = False
    repeat_notices: Annotated[int, Field(strict=True, ge=1, le=5)] = 1
    delay_seconds: Annotated[int, Field(strict=True, ge=0, le=3600)] = 0
    text_style: Literal["clean", "dirty"] = "dirty"


async def read(db: asyncpg.Pool[Any]) -> Faults:
    """What goes wrong at present."""
    row = await db.fetchrow("SELECT lose_notices, repeat_notices, delay_seconds, text_style FROM mock_bank.faults")
    assert row is not None
    return Faults(**dict(row))


async def put(db: asyncpg.Pool[Any], faults: Faults) -> Faults:
    """Let exactly this go wrong."""
    await db.execute(
        "UPDATE mock_bank.faults SET lose_notices = $1, repeat_notices = $2, delay_seconds = $3, text_style = $4",
        faults.lose_notices,
        faults.repeat_notices,
        faults.delay_seconds,
        faults.text_style,
    )
    return faults


router = APIRouter(prefix="/api/v1/faults", tags=["faults"], route_class=StrictRoute)


@router.get("")
async def see_the_faults(db: Database, key: ApiKey) -> Faults:
    """What goes wrong at present."""
    return await read(db)


@router.put("")
async def set_the_faults(faults: Faults, db: Database, key: ApiKey) -> Faults:
    """Let exactly this go wrong; a field left out goes back to its usual value."""
    return await put(db, faults)
