"""The public's way to the cashless share: a page without JavaScript, JSON and CSV. Everything reads rollups only."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from functools import partial
from typing import Annotated, Any, get_args

from fastapi import APIRouter, Query, Request, Response

from foundation import clock, pages, texts
from foundation.errors import BadPayload
from foundation.web import PUBLIC, Here, Language, Platform, permit
from payments.cashless_share import By, Cell, Publication, Share, publication
from payments.city import chart
from payments.finance.spreadsheet import csv_file

routes = APIRouter(tags=["open data"])
SHOWN = timedelta(days=29)
COLUMNS = (
    "day", "service", "cashless_units", "charged_units", "share_cnt", "cashless_vnd", "charged_vnd", "share_val",
    "pending_units", "pending_vnd", "proxy_units", "proxy_vnd", "proxy_rate_cnt", "proxy_rate_val", "free_units",
    "pass_units",
)  # fmt: skip

First = Annotated[
    clock.Day | None, Query(alias="from", description="first service day (Hanoi); default: 29 days before `to`")
]
Last = Annotated[clock.Day | None, Query(alias="to", description="last service day, included; default: today in Hanoi")]
Service = Annotated[str | None, Query(max_length=40, pattern="^[a-z_]+$", examples=["parking"])]
Cells = Annotated[
    str, Query(max_length=40, description="`day`, `service`, both, or empty for one sum", examples=["day"])
]


@routes.get("/city/", include_in_schema=False)
@permit(PUBLIC)
async def city_page(
    request: Request, here: Here, language: Language, first: First = None, last: Last = None
) -> Response:
    """The headline share by count and by value, what stands beside it, and how it is defined."""
    now, published = await _published(here, first, last, None)
    days = published.by("day")
    every, shares = _every_day(days)
    answer = pages.render(
        request,
        "city/share.html",
        published=published,
        total=published.total,
        days=days,
        services=published.by("service"),
        drawing=chart.lines(
            every,
            [
                chart.Series(texts.text(language, "city.by_count"), [_float(share.by_count) for share in shares]),
                chart.Series(
                    texts.text(language, "city.by_value"), [_float(share.by_value) for share in shares], dashed=True
                ),
            ],
            texts.text(language, "city.chart_says"),
        ),
        percent=partial(percent, language),
        name=lambda code: texts.catalogue(language).get(f"city.service.{code}", code),
        age=_age(language, now, published.counted_at),
        stale=published.counted_at is None or now - published.counted_at > timedelta(days=1),
    )
    answer.headers["cache-control"] = "no-cache"
    return answer


@routes.get("/api/v1/open-data/cashless-share")
@permit(PUBLIC)
async def share_json(
    request: Request,
    here: Here,
    first: First = None,
    last: Last = None,
    service: Service = None,
    by: Cells = "day,service",
) -> Response:
    """The cashless share (statistics.md 1.3): numerator and denominator by count and value, and what stands beside it.

    A share is a decimal text with four digits, computed from the integers beside it, or null where nothing was charged.
    """
    named = _by(by)
    _, published = await _published(here, first, last, service)
    document = {
        "from": published.first.isoformat(),
        "to": published.last.isoformat(),
        "service": service,
        "by": list(named),
        "status": "preliminary",
        "counted_at": published.counted_at.isoformat() if published.counted_at else None,
        "definition": f"{here.settings.public_url}/city/#definition",
        "rows": [_row(cell) for cell in published.by(*named) if named],
        "total": _figures(published.total),
    }
    return _public(request, json.dumps(document, ensure_ascii=False), "application/json")


@routes.get("/api/v1/open-data/cashless-share.csv")
@permit(PUBLIC)
async def share_csv(
    request: Request,
    here: Here,
    first: First = None,
    last: Last = None,
    service: Service = None,
    by: Cells = "day,service",
) -> Response:
    """The same rows as CSV (UTF-8, comma). No row of sums: a reader sums numerators and denominators himself."""
    named = _by(by)
    _, published = await _published(here, first, last, service)
    rows = [tuple(_row(cell).values()) for cell in published.by(*named)]
    answer = _public(request, csv_file(COLUMNS, rows, bom=False), "text/csv; charset=utf-8")
    answer.headers["content-disposition"] = 'attachment; filename="cashless-share.csv"'
    return answer


def percent(language: str, part: int, whole: int) -> str:
    """`72,4 %`: one digit, half up, rounded once from the integers; a dash where nothing was charged."""
    if not whole:
        return "–"
    tenths = (2 * 1_000 * part + whole) // (2 * whole)
    point = "," if language == "vi" else "."
    return f"{tenths // 10}{point}{tenths % 10}\N{NO-BREAK SPACE}%"


async def _published(
    here: Platform, first: date | None, last: date | None, service: str | None
) -> tuple[datetime, Publication]:
    now: datetime = await here.database.value("select foundation.now()")
    last = last or clock.hanoi_day(now)
    return now, await publication(here.city, first=first or last - SHOWN, last=last, service=service)


def _by(by: str) -> tuple[By, ...]:
    asked = [name for name in by.split(",") if name]
    if not set(asked) <= set(get_args(By)):
        raise BadPayload(reason="by: day, service, or both")
    return tuple(name for name in get_args(By) if name in asked)


def _row(cell: Cell) -> dict[str, Any]:
    return {"day": cell.day.isoformat() if cell.day else None, "service": cell.service, **_figures(cell.share)}


def _figures(share: Share) -> dict[str, Any]:
    return {
        "cashless_units": share.cashless_units,
        "charged_units": share.charged_units,
        "share_cnt": share.by_count,
        "cashless_vnd": share.cashless_vnd,
        "charged_vnd": share.charged_vnd,
        "share_val": share.by_value,
        "pending_units": share.pending_units,
        "pending_vnd": share.pending_vnd,
        "proxy_units": share.proxy_units,
        "proxy_vnd": share.proxy_vnd,
        "proxy_rate_cnt": share.proxy_by_count,
        "proxy_rate_val": share.proxy_by_value,
        "free_units": share.free_units,
        "pass_units": share.pass_units,
    }


def _public(request: Request, body: str, media_type: str) -> Response:
    """A public answer that a reader may keep and ask about: the same figures have the same tag."""
    tag = f'"{hashlib.sha256(body.encode()).hexdigest()[:32]}"'
    headers = {"etag": tag, "cache-control": "public, no-cache", "access-control-allow-origin": "*"}
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(body, media_type=media_type, headers=headers)


def _every_day(days: Sequence[Cell]) -> tuple[list[date], list[Share]]:
    """The days from the first to the last with figures, also those between without any."""
    known = {cell.day: cell.share for cell in days if cell.day}
    if not known:
        return [], []
    every = [min(known) + timedelta(days=n) for n in range((max(known) - min(known)).days + 1)]
    return every, [known.get(day, Share()) for day in every]


def _float(share: str | None) -> float | None:
    """For drawing only."""
    return None if share is None else float(share)


def _age(language: str, now: datetime, counted_at: datetime | None) -> str | None:
    if counted_at is None:
        return None
    minutes = max(int((now - counted_at).total_seconds()) // 60, 0)
    unit, n = ("minutes", minutes) if minutes < 120 else ("hours", minutes // 60)
    return texts.text(language, f"city.age.{unit}", n=n) if n else texts.text(language, "city.age.now")
