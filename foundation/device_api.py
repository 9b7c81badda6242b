"""The tablet's way in: enrol by a one-time code, log in with number and PIN, and know what can be done here."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from foundation import clock, device, directory, staff
from foundation.database import Tx
from foundation.device import Attendant, EnrolmentRefused
from foundation.limits import address_of
from foundation.staff import PERMISSIONS, WrongLogin
from foundation.strict_json import StrictRoute
from foundation.web import PUBLIC, Bearer, Here, permit

routes = APIRouter(prefix="/api/v1/device", tags=["device"], route_class=StrictRoute)


class EnrolIn(BaseModel):
    """The one-time code, in any case and with any separators."""

    model_config = ConfigDict(extra="forbid", strict=True)
    code: str = Field(min_length=8, max_length=64, examples=["VANMIEU-ABCDE-FGHJK"])


class LoginIn(BaseModel):
    """An attendant's number and PIN."""

    model_config = ConfigDict(extra="forbid", strict=True)
    login: str = Field(min_length=1, max_length=40)
    pin: str = Field(min_length=4, max_length=40)


@routes.post("/enrol")
@permit(PUBLIC)
async def enrol(request: Request, here: Here, sent: EnrolIn) -> dict[str, Any]:
    """Makes a tablet ours. The answer's token is shown once."""
    await here.limits.spend("10/minute", "enrol", address_of(request))
    operator_id = await directory.whose(here.database, "operator", sent.code.split("-")[0].strip().lower())
    if operator_id is None:
        raise EnrolmentRefused()
    async with here.database.transaction(operator_id) as tx:
        _, token = await device.enrol(tx, code=sent.code)
        found = await device.find_device(tx, token)
        operator = await tx.row("select code, name_vi, name_en from foundation.operator where id = $1", operator_id)
        facts = await _facts(request, tx, None, found["places"])
    return {"device_token": str(token), "device_name": found["name"], "operator": dict(operator), **facts}


@routes.post("/login")
@permit("device")
async def login(request: Request, here: Here, token: Bearer, sent: LoginIn) -> dict[str, Any]:
    """Opens a session of an attendant on this tablet; the one before ends."""
    await here.limits.spend("10/minute", "pin", token.hash.hex())
    await here.limits.spend("20/hour", "pin", token.operator_id.hex, sent.login)
    async with here.database.transaction(token.operator_id) as tx:
        found = await device.find_device(tx, token)
        person = await staff.find_login(tx, sent.login)
    # Hashing takes tens of milliseconds: no connection is held for it.
    right = await staff.verify_secret(sent.pin, person["secret_hash"] if person else None)
    if person is None or not right or not any("device:work" in PERMISSIONS[role] for role in person["roles"]):
        raise WrongLogin()
    async with here.database.transaction(token.operator_id) as tx:
        await device.find_device(tx, token)
        session = await staff.open_session(tx, staff_id=person["id"], device_id=found["id"])
        who = await device.attendant(tx, session)
        ends: datetime = await tx.value(
            "select expires_at from foundation.session where operator_id = $1 and id_hash = $2",
            tx.operator_id,
            session.hash,
        )
        facts = await _facts(request, tx, who, who.places)
    return {
        "session_token": str(session),
        "attendant": {"login": who.login, "name": who.name},
        "expires_at": ends.isoformat(),
        **facts,
    }


@routes.post("/logout", status_code=204)
@permit("device")
async def logout(here: Here, token: Bearer) -> Response:
    """Ends the session; the tablet stays enrolled."""
    async with here.database.transaction(token.operator_id) as tx:
        await staff.close_session(tx, token)
    return Response(status_code=204)


@routes.get("/me")
@permit("device")
async def me(request: Request, here: Here, token: Bearer) -> dict[str, Any]:
    """Who works here, where, with which shift, at what time by our clock."""
    async with here.database.transaction(token.operator_id) as tx:
        who = await device.attendant(tx, token)
        facts = await _facts(request, tx, who, who.places)
        now = await clock.now(tx)
    return {
        "attendant": {"login": who.login, "name": who.name},
        "device_name": who.device_name,
        "now": now.isoformat(),
        **facts,
    }


async def _facts(request: Request, tx: Tx, who: Attendant | None, places: Sequence[int]) -> dict[str, Any]:
    """What every service has to say to a tablet: places are joined, anything else stands by its name."""
    now = await clock.now(tx)
    facts: dict[str, Any] = {"places": []}
    for service in request.app.state.services:
        if service.tablet is not None:
            said = await service.tablet(tx, who, places, now)
            facts["places"] += said.pop("places", [])
            facts |= said
    facts["places"].sort(key=lambda place: place["number"])
    return facts
