"""The gate: a code is read, its signature checked, and one SQL function decides, admits and logs (gate.sql).

A scan takes its operator from the tablet. A code of another operator, place, kind or environment is answered from the
code alone; it never opens anything.
"""

from __future__ import annotations

import json
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import Field

from foundation import code, strict_json
from foundation.code import CodeForged, CodeUnreadable, Kind, ShortCodeMistyped
from foundation.device import ActionIn, action_hash, refused
from foundation.texts import text
from foundation.web import Bearer, Here, Platform, answer, hot, permit

routes = APIRouter(prefix="/api/v1/device", tags=["device"])


class ScanIn(ActionIn):
    """One scan: what the scanner read, at which place; `heads` null admits all that remain."""

    place: int = Field(ge=1, le=0xFFFFFF)
    code: str = Field(min_length=1, max_length=200)
    heads: int | None = Field(None, ge=1, le=255)


@routes.post(
    "/scan",
    openapi_extra={"requestBody": {"content": {"application/json": {"schema": ScanIn.model_json_schema()}}}},
)
@permit("device")
@hot
async def scan(request: Request, here: Here, token: Bearer) -> Response:
    """Admits, or says why not. Repeating the same body returns the first outcome."""
    asked = strict_json.read(ScanIn, await request.body())
    serial, short, foreign = _read(here, asked)
    row = await here.database.hot(
        "select ticketing.scan($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        token.operator_id,
        token.hash,
        asked.id,
        asked.counter,
        action_hash(asked, "gate.scan"),
        asked.at,
        asked.place,
        serial,
        short,
        asked.heads,
        foreign,
    )
    outcome = json.loads(row[0])
    if "refusal" in outcome:
        raise refused(outcome["refusal"])
    return answer(_worded(outcome))


def _read(here: Platform, asked: ScanIn) -> tuple[bytes | None, str | None, str | None]:
    """(serial, short form, verdict that the code alone decides): a typed short form has no signature to check."""
    try:
        found = here.codes.verify(asked.code)
    except CodeForged:
        return None, None, "unknown"
    except CodeUnreadable:
        try:
            return None, code.read_short(asked.code), None
        except ShortCodeMistyped:
            return None, None, "unknown"
    if found.kind is not Kind.TICKET:
        return None, None, "unknown"
    if found.place != asked.place:
        return found.serial, None, "wrong_place"
    return found.serial, None, None


def _worded(outcome: dict[str, Any]) -> dict[str, Any]:
    """The lines of the group in words, with the proof the attendant asks for."""
    lines = outcome.get("lines")
    if lines:
        outcome["lines"] = [
            {
                "category": line["code"],
                "heads": line["heads"],
                **{f"name_{lang}": text(lang, f"ticketing.category.{line['code']}.name") for lang in ("vi", "en")},
                **{f"proof_{lang}": text(lang, f"ticketing.category.{line['code']}.proof") for lang in ("vi", "en")},
            }
            for line in lines
        ]
    return outcome
