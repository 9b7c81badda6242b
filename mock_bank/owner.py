"""The account owner's page: choose an account, a day and a format, and download the statement.

For anybody, as the customer's app is: there is no login.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import asyncpg
from fastapi import APIRouter, Request, Response

from mock_bank import clock, pages, statement
from mock_bank.database import Database
from mock_bank.refusal import BadPayload, Refusal
from mock_bank.statement_file import FORMS

router = APIRouter(prefix="/app/statements", include_in_schema=False)


@router.get("")
async def see_form(request: Request, db: Database) -> Response:
    """Which statement?"""
    return await _show(request, db, request.query_params)


@router.get("/file")
async def download(request: Request, db: Database) -> Response:
    """The file, or the form again with the reason why there is none."""
    asked = request.query_params
    try:
        bin, account, day = _chosen(asked)
        form = asked.get("format", "")
        if form not in FORMS:
            raise BadPayload(reason="format")
        zipped = asked.get("zip") == "yes"
        return await statement.hand_out(db, bin=bin, account=account, day=day, until=day, form=form, zipped=zipped)
    except Refusal as refusal:
        return await _show(request, db, asked, refusal=refusal)


@router.post("/reissue")
async def reissue(request: Request, db: Database) -> Response:
    """The day's statement once more, under the faults of now."""
    async with request.form() as sent:
        typed = {name: value for name, value in sent.items() if isinstance(value, str)}
    try:
        bin, account, day = _chosen(typed)
        made = await statement.reissue(db, bin=bin, account=account, day=day)
    except Refusal as refusal:
        return await _show(request, db, typed, refusal=refusal)
    kept = {name: typed[name] for name in ("account", "day", "format", "zip") if name in typed}
    return pages.go_to("/app/statements", **kept, issued=made.id)


def _chosen(typed: Mapping[str, str]) -> tuple[str, str, date]:
    bin, _, account = typed.get("account", "").partition("/")
    try:
        return bin, account, date.fromisoformat(typed.get("day", ""))
    except ValueError:
        raise BadPayload(reason="day") from None


async def _show(
    request: Request, db: asyncpg.Pool[Any], typed: Mapping[str, str], *, refusal: Refusal | None = None
) -> Response:
    yesterday = (await clock.read(db)).at.date() - timedelta(days=1)
    return pages.show(
        request,
        "statements.html",
        here="/app/statements",
        status=refusal.status if refusal else 200,
        refusal=refusal,
        accounts=await db.fetch(
            "SELECT bin, account, owner_name FROM mock_bank.account ORDER BY owner_name, bin, account"
        ),
        forms=FORMS,
        chosen={"day": str(yesterday), "format": "camt.053.001.08", "account": "", "zip": "", **typed},
        yesterday=yesterday,
        issued=typed.get("issued", "") if not refusal else "",
    )
