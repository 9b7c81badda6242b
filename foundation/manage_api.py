"""What a manager does for his own operator by program: enrol and revoke tablets; in a demo, move the clock."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from foundation import audit, clock, device
from foundation.clock import Instant
from foundation.errors import NotFound
from foundation.strict_json import StrictRoute
from foundation.web import Clerk, Here, permit

routes = APIRouter(prefix="/api/v1/manage", tags=["manage"], route_class=StrictRoute)


class EnrolmentIn(BaseModel):
    """A name for the tablet and the numbers of the places it works at."""

    model_config = ConfigDict(extra="forbid", strict=True)
    device_name: str = Field(min_length=1, max_length=60)
    places: list[Annotated[int, Field(ge=1, le=0xFFFFFF)]] = Field(min_length=1, max_length=20)


class ClockIn(BaseModel):
    """The platform's new time (never earlier than now) and how fast it runs from there."""

    model_config = ConfigDict(extra="forbid", strict=True)
    at: Instant = Field(strict=False)
    rate: float = Field(1.0, gt=0, le=10_000, strict=False)


@routes.post("/enrolments", status_code=201)
@permit("device:enrol")
async def offer_enrolment(here: Here, clerk: Clerk, sent: EnrolmentIn) -> dict[str, str]:
    """A one-time code that enrols a tablet within a day."""
    async with here.database.transaction(clerk.operator_id) as tx:
        known = await tx.value(
            "select count(*) from foundation.place where operator_id = $1 and number = any($2)",
            tx.operator_id,
            sent.places,
        )
        if known != len(set(sent.places)):
            raise NotFound()
        operator_code = await tx.value("select code from foundation.operator where id = $1", tx.operator_id)
        code = await device.offer_enrolment(
            tx, operator_code=operator_code, device_name=sent.device_name, places=sent.places
        )
        await audit.note(
            tx,
            clerk.staff_id,
            "device.offered",
            f"device {sent.device_name}",
            after={"places": sent.places},
            now=await clock.now(tx),
        )
    return {"code": code}


@routes.get("/devices")
@permit("device:enrol")
async def devices(here: Here, clerk: Clerk) -> list[dict[str, Any]]:
    """The operator's tablets."""
    async with here.database.transaction(clerk.operator_id) as tx:
        rows = await tx.rows(
            "select id, name, places, enrolled_at, revoked_at from foundation.device where operator_id = $1"
            " order by enrolled_at",
            tx.operator_id,
        )
    return [dict(row) for row in rows]


@routes.post("/devices/{device_id}/revoke", status_code=204)
@permit("device:enrol")
async def revoke(here: Here, clerk: Clerk, device_id: UUID) -> Response:
    """Takes a tablet out of service; its next word is refused."""
    async with here.database.transaction(clerk.operator_id) as tx:
        await device.revoke(tx, device_id)
        await audit.note(tx, clerk.staff_id, "device.revoked", f"device {device_id}", now=await clock.now(tx))
    return Response(status_code=204)


@routes.put("/clock")
@permit("device:enrol")
async def move_clock(request: Request, here: Here, clerk: Clerk, sent: ClockIn) -> dict[str, datetime]:
    """Moves the platform's clock, and the mock bank's with it. The database refuses in production."""
    if not here.settings.clock_may_move:
        raise NotFound()
    async with here.database.transaction(clerk.operator_id) as tx:
        before = await clock.now(tx)
        moved = await clock.set_clock(tx, at=sent.at, rate=sent.rate)
        await audit.note(
            tx,
            clerk.staff_id,
            "clock.moved",
            "clock",
            before={"at": before},
            after={"at": moved, "rate": sent.rate},
            now=moved,
        )
    await request.app.state.move_bank_clock(here, moved, sent.rate)
    return {"now": moved}
