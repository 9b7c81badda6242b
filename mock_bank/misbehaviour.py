"""The page "When the bank misbehaves": every fault as a knob, for anybody, as the rest of the customer's app."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import asyncpg
from fastapi import APIRouter, Request, Response
from pydantic import ValidationError

from mock_bank import clock, faults, pages
from mock_bank.database import Database
from mock_bank.faults import Aim, Faults

GROUPS = {
    "notices": (
        "lose_notices",
        "two_event_ids",
        "wrong_signature",
        "stale_timestamp",
        "lose_notice_answers",
        "repeat_notices",
        "delay_seconds",
        "shuffle_seconds",
        "repeat_after_days",
    ),
    "text": ("payer_text", "text_style", "payer", "bank_ref"),
    "list": ("list_late_seconds", "list_overlap", "reverse_after_seconds"),
    "answers": ("answers", "answer_delay_ms", "lose_payment_answers", "lose_refund_answers", "lose_payout_answers"),
    "refunds": ("refund_seconds", "return_refunds", "refuse_send_back"),
    "payouts": ("payout_seconds", "reject_payouts", "return_payouts", "split_payouts", "omit_payout_statuses"),
    "statements": (
        "withhold_statement",
        "lose_statement_line",
        "delay_statement_line",
        "repeat_statement_line",
        "count_statement_line_twice",
        "change_statement_text",
        "wrong_opening",
        "wrong_closing",
        "batch_credits",
    ),
}
SHAPES = Faults.model_json_schema()["properties"]
USUAL = Faults()

router = APIRouter(prefix="/app/faults", include_in_schema=False)


@router.get("")
async def see_knobs(request: Request, db: Database) -> Response:
    """What goes wrong at present, and everything that could."""
    return await _show(request, db, saved=request.query_params.get("saved") == "1" or None)


@router.post("")
async def turn_knobs(request: Request, db: Database) -> Response:
    """Let the bank misbehave from now on; what the form leaves out is as usual."""
    async with request.form() as form:
        typed = {name: value for name, value in form.items() if isinstance(value, str)}
    try:
        wanted = _wanted(typed)
    except (ValidationError, ValueError):
        return await _show(request, db, saved=False)
    await faults.put(db, wanted)
    return pages.go_to("/app/faults", saved="1")


def _wanted(typed: Mapping[str, str]) -> Faults:
    values: dict[str, Any] = {}
    for name in faults.FAULTS:
        shape = _shape(name)
        if shape["type"] == "boolean":
            values[name] = typed.get(name) == "yes"
        elif typed.get(name, "").strip():
            values[name] = typed[name] if "enum" in shape else _number(typed[name])
    wanted = Faults(**values, seed=_number(typed.get("seed") or "0"))
    aims = {
        "next": Aim(next=_number(typed.get("next") or "1")),
        "share": Aim(share=_number(typed.get("percent") or "50") / 100),
    }
    aim = aims.get(typed.get("aim", ""))
    return wanted.model_copy(update={"when": dict.fromkeys(_turned(wanted), aim) if aim else {}})


def _number(typed: str) -> int:
    if not re.fullmatch("[0-9]{1,9}", typed.strip()):
        raise ValueError(typed)
    return int(typed)


def _shape(name: str) -> dict[str, Any]:
    shape: dict[str, Any] = SHAPES[name]
    return {**shape, **shape["anyOf"][0]} if "anyOf" in shape else shape  # a number, or null for never


def _turned(wanted: Faults) -> list[str]:
    return [name for name in faults.FAULTS if getattr(wanted, name) != getattr(USUAL, name)]


async def _show(request: Request, db: asyncpg.Pool[Any], *, saved: bool | None) -> Response:
    now = await faults.read(db)
    aims = [now.when.get(name, Aim()) for name in _turned(now)] or [Aim()]
    counts = await db.fetchrow(
        """SELECT count(*) FILTER (WHERE state = 'waiting') AS waiting,
                  count(*) FILTER (WHERE state = 'silent') AS silent,
                  count(*) FILTER (WHERE state = 'delivered') AS delivered,
                  count(*) FILTER (WHERE state = 'lost') AS lost
             FROM (SELECT state FROM mock_bank.notice UNION ALL SELECT state FROM mock_bank.ipn) told"""
    )
    return pages.show(
        request,
        "misbehaviour.html",
        here="/app/faults",
        status=400 if saved is False else 200,
        saved=saved,
        groups={group: {name: _shape(name) for name in names} for group, names in GROUPS.items()},
        faults=now,
        aim=aims[0],
        one_aim=all(aim == aims[0] for aim in aims),
        bank_at=(await clock.read(db)).at,
        counts=counts,
    )
