"""The tablet's side of a shift: open it with a float, close it with what was counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from fastapi import APIRouter
from pydantic import Field

from foundation.database import Tx
from foundation.device import ActionIn, Attendant, acting
from foundation.money import CHARGE_MAX_VND
from foundation.strict_json import StrictRoute
from foundation.web import Bearer, Here, permit
from payments import shift

routes = APIRouter(prefix="/api/v1/device", tags=["device"], route_class=StrictRoute)


class OpenShiftIn(ActionIn):
    """Where the shift is, and the notes handed over for change (VND, may be nothing)."""

    place: int = Field(ge=1, le=16_777_215)
    float_vnd: int = Field(ge=0, le=CHARGE_MAX_VND, examples=[200_000])


class CloseShiftIn(ActionIn):
    """What was counted in the drawer (VND), before anybody said what it should be."""

    counted_vnd: int = Field(ge=0, le=CHARGE_MAX_VND, examples=[1_250_000])


@routes.post("/shift/open")
@permit("device")
async def open_shift(here: Here, token: Bearer, sent: OpenShiftIn) -> dict[str, Any]:
    """Opens the shift of whoever is logged in. 409 shift_open, 403 place_not_yours."""
    async with acting(here.database, token, sent, "shift.open") as it:
        if it.outcome is None:
            it.outcome = _as_json(
                await shift.open_shift(it.tx, it.who, place=sent.place, float_vnd=sent.float_vnd, now=it.now)
            )
    return it.outcome


@routes.post("/shift/close")
@permit("device")
async def close_shift(here: Here, token: Bearer, sent: CloseShiftIn) -> dict[str, Any]:
    """Closes the shift; only now the answer says what was expected. 409 no_shift, 403 shift_of_another."""
    async with acting(here.database, token, sent, "shift.close") as it:
        if it.outcome is None:
            it.outcome = asdict(await shift.close_shift(it.tx, it.who, counted_vnd=sent.counted_vnd, now=it.now))
    return it.outcome


async def tablet_facts(tx: Tx, who: Attendant | None, places: Sequence[int], now: datetime) -> dict[str, Any]:
    """What a tablet needs to know of payments: the open shift of whoever is logged in."""
    return {} if who is None else {"shift": await shift_json(tx, who)}


async def shift_json(tx: Tx, who: Attendant) -> dict[str, Any] | None:
    """The attendant's open shift on this tablet, or None; also None while another's shift is open on it."""
    try:
        found = await shift.current(tx, who)
    except shift.ShiftOfAnother:
        return None
    return None if found is None else _as_json(found)


def _as_json(found: shift.OpenShift) -> dict[str, Any]:
    return {
        "id": str(found.id),
        "number": found.number,
        "place": found.place,
        "opened_at": found.opened_at.isoformat(),
        "float_vnd": found.float_vnd,
        "receipts": found.receipts,
    }
