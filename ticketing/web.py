"""The pages and interfaces of ticketing: choose heads at `/S/<site>`, pay, show one code for a group, sell for cash."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse
from pydantic import Field

import payments
from foundation import clock, code, pages
from foundation.clock import Day
from foundation.code import Kind, TicketCode
from foundation.database import Tx
from foundation.device import ActionIn, Attendant, acting
from foundation.errors import BadPayload, Refusal
from foundation.limits import address_of
from foundation.operator import NoSuchPlace, operator_name, whose_place
from foundation.settings import Settings
from foundation.strict_json import StrictRoute
from foundation.texts import text
from foundation.web import PUBLIC, Bearer, Here, Language, Platform, Service, behind, form_of, hot, permit
from ticketing import gate, order, ticket
from ticketing.site import SiteView, site_by_code, sites_at

routes = APIRouter(tags=["public"], route_class=StrictRoute)
DAYS_OFFERED = 14
KEY = re.compile(r"[\w-]{8,100}")
ORDERS_PER_ADDRESS = "600/10 minutes"
"""The phones of a whole mobile network may share one address; it stops a machine, not a crowd."""


def service(settings: Settings) -> Service:
    """Ticketing as the app sees it."""
    return Service("ticketing", [routes, gate.routes], shows={Kind.TICKET: ticket_page}, tablet=tablet_facts)


@routes.get("/S/{site_code}", include_in_schema=False)
@permit(PUBLIC)
async def site_page(request: Request, here: Here, site_code: str) -> Response:
    """Choose how many of each category, for which day."""
    async with here.database.transaction(await whose_place(here.database, site_code)) as tx:
        return await _form(request, tx, site_code, here)


@routes.post("/S/{site_code}", include_in_schema=False)
@permit(PUBLIC)
@hot
async def order_page(request: Request, here: Here, site_code: str) -> Response:
    """Orders. The form's hidden key makes the second click the same order."""
    sent = await form_of(request)
    key = sent.get("key", "")
    if not KEY.fullmatch(key):
        raise BadPayload(reason="key")
    operator_id = await whose_place(here.database, site_code)
    try:
        here.limits.bound(ORDERS_PER_ADDRESS, "order", address_of(request))
        day, heads = _chosen(sent)
        path = await order.place_order(
            here.database,
            operator_id,
            site_code.upper(),
            day=day,
            heads=heads,
            key=key,
            environment=here.settings.environment,
        )
        return RedirectResponse(path, 303)
    except Refusal as refusal:
        # What was typed stays; the sentence stands above the form.
        async with here.database.transaction(operator_id) as tx:
            return await _form(request, tx, site_code, here, sent=sent, refusal=refusal)


@routes.get("/S/{site_code}/sign", include_in_schema=False)
@permit(PUBLIC)
async def sign_page(request: Request, here: Here, language: Language, site_code: str, size: str = "A4") -> Response:
    """The sign to print for the gate: a code that opens our page, and cannot be paid by itself."""
    async with here.database.transaction(await whose_place(here.database, site_code)) as tx:
        site = await site_by_code(tx, site_code.upper())
        owner = await operator_name(tx, language)
        payee = await payments.payee(tx)
    return pages.render(
        request,
        "ticketing/sign.html",
        site=site,
        owner=owner,
        payee=payee,
        size="a5" if size.upper() == "A5" else "a4",
        url=f"{here.settings.public_url}/S/{site.place.code}",
    )


@routes.get("/S/{site_code}/{token}", include_in_schema=False)
@permit(PUBLIC)
@hot
async def finished(request: Request, here: Here, site_code: str, token: str) -> Response:
    """An order's own address: its ticket once there is one, its payment until then."""
    operator_id = await whose_place(here.database, site_code)
    charge_id, issued = await order.behind(here.database, operator_id, token)
    if issued is not None:
        return RedirectResponse(f"/T/{issued.signed(here.codes)}", 303)
    async with here.database.transaction(operator_id) as tx:
        owed = await payments.find(tx, id=charge_id)
    return RedirectResponse(owed.page_path, 303)


@routes.get("/S/ticket/{signed}/documents", include_in_schema=False)
@permit(PUBLIC)
async def documents(here: Here, signed: str) -> Response:
    """On to the receipt of what a ticket cost."""
    operator_id, found, _ = await behind(here, signed)
    if found.kind is not Kind.TICKET:
        raise ticket.NoSuchTicket()
    shown = await ticket.shown(here.database, operator_id, found.serial)
    path = await payments.papers_path(here.database, operator_id, order.PURPOSE, str(shown.ticket.order_id))
    return RedirectResponse(path, 303)


async def ticket_page(request: Request, here: Platform, operator_id: UUID, found: TicketCode) -> Response:
    """The ticket behind `/T/<code>`: the code large, what it admits, what was used."""
    shown = await ticket.shown(here.database, operator_id, found.serial)
    issued = shown.ticket
    back_to_payer = []
    if shown.touched:
        back_to_payer = await payments.goes_back(here.database, operator_id, order.PURPOSE, str(issued.order_id))
    if issued.revoked_at is not None:
        state = "void"
    elif issued.admitted >= issued.heads:
        state = "used"
    elif issued.valid_day < clock.hanoi_day(shown.now):
        state = "over"
    else:
        state = "ok"
    signed = issued.signed(here.codes)
    return pages.render(
        request,
        "ticketing/ticket.html",
        place=shown.place,
        ticket=issued,
        lines=shown.lines,
        state=state,
        back_to_payer=back_to_payer,
        url=code.as_url(here.settings.public_url, signed),
        signed=signed,
    )


@routes.get("/api/v1/public/sites/{site_code}")
@permit(PUBLIC)
async def site_json(here: Here, site_code: str, day: Day | None = None) -> JSONResponse:
    """A site with its categories and prices (VND) on a day, default today in Hanoi."""
    async with here.database.transaction(await whose_place(here.database, site_code)) as tx:
        site = await site_by_code(tx, site_code.upper())
        on = day or clock.hanoi_day(await clock.now(tx))
    return JSONResponse(
        {
            "code": site.place.code,
            "name_vi": site.place.name_vi,
            "name_en": site.place.name_en,
            "ward": site.place.ward,
            "day": on.isoformat(),
            "categories": _categories(site, on),
        }
    )


class CashTicketIn(ActionIn):
    """A sale at the gate for notes; `amount_vnd` is what the tablet showed, `shift` the one that it believes to be open."""

    place: int = Field(ge=1, le=0xFFFFFF)
    heads: dict[str, int] = Field(max_length=20)
    amount_vnd: int = Field(ge=0, le=499_999_999)
    proxy: bool = False
    shift: UUID | None = Field(default=None, strict=False)


@routes.post("/api/v1/device/cash/ticket", tags=["device"])
@permit("device")
async def cash_ticket(here: Here, token: Bearer, sent: CashTicketIn) -> dict[str, Any]:
    """Sells today's entrance for notes into the drawer of the open shift."""
    async with acting(here.database, token, sent, "cash.ticket") as it:
        if it.outcome is not None:
            return it.outcome
        it.who.must_work_at(sent.place)
        found = await sites_at(it.tx, [sent.place])
        if not found:
            raise NoSuchPlace(place=str(sent.place))
        sold, sale = await order.sell_for_cash(
            it.tx,
            it.who,
            found[0],
            heads=sent.heads,
            amount_vnd=sent.amount_vnd,
            proxy=sent.proxy,
            shift_id=sent.shift,
            environment=here.settings.environment,
            now=it.now,
        )
        issued = await ticket.of_order(it.tx, sold.id)
        assert issued is not None
        it.outcome = {
            "receipt_number": sale.receipt_number if sale else None,
            "amount_vnd": sold.total_vnd,
            "proxy": bool(sale and sale.proxy),
            "code_url": issued.url(here.codes, here.settings.public_url),
            "short": issued.spoken,
            "heads": issued.heads,
            "pay": payments.pay_json(sale.pay) if sale and sale.pay else None,
        }
    return it.outcome


async def tablet_facts(tx: Tx, who: Attendant | None, places: Sequence[int], now: datetime) -> dict[str, Any]:
    """The sites a tablet works at, with today's prices."""
    today = clock.hanoi_day(now)
    return {
        "places": [
            {
                "number": site.place.number,
                "code": site.place.code,
                "service": "ticketing",
                "name_vi": site.place.name_vi,
                "name_en": site.place.name_en,
                "categories": _categories(site, today),
            }
            for site in await sites_at(tx, places)
        ]
    }


def _categories(site: SiteView, day: date) -> list[dict[str, Any]]:
    quotes = [(category, order.quote(site, day=day, heads={category.code: 1})) for category in site.categories]
    return [
        {
            "code": category.code,
            "price_vnd": quote.total_vnd,
            **{f"name_{lang}": text(lang, f"ticketing.category.{category.code}.name") for lang in ("vi", "en")},
            **{f"proof_{lang}": text(lang, f"ticketing.category.{category.code}.proof") for lang in ("vi", "en")},
        }
        for category, quote in quotes
    ]


def _chosen(sent: dict[str, Any]) -> tuple[date, dict[str, int]]:
    """Day and heads from the form. Raises BadPayload for what is no day or no count."""
    try:
        day = date.fromisoformat(str(sent.get("day", "")))
        heads = {
            name.removeprefix("heads_"): int(value)
            for name, value in sent.items()
            if name.startswith("heads_") and str(value).strip() and len(str(value)) <= 4
        }
    except ValueError as error:
        raise BadPayload(reason="day or number of visitors") from error
    return day, {category: count for category, count in heads.items() if count}


async def _form(
    request: Request,
    tx: Tx,
    site_code: str,
    here: Platform,
    sent: dict[str, Any] | None = None,
    refusal: Refusal | None = None,
) -> Response:
    site = await site_by_code(tx, site_code.upper())
    today = clock.hanoi_day(await clock.now(tx))
    wanted = (sent or {}).get("day") or request.query_params.get("day") or ""
    days = [today + timedelta(days=n) for n in range(DAYS_OFFERED)]
    day = next((day for day in days if day.isoformat() == wanted), today)
    return pages.render(
        request,
        "ticketing/site.html",
        status=refusal.status if refusal else 200,
        site=site,
        offer=site.offer_on(day),
        categories=_categories(site, day),
        days=days,
        day=day,
        sent=sent or {},
        refusal=refusal,
    )
