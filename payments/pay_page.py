"""The page on which a visitor pays: the VietQR on a screen we control, and every way to use it on one's own phone.

Paid is decided by the bank's events only; the page learns it by itself (server-sent events, or a refresh without
JavaScript) and then sends the visitor back to where the charge came from.
"""

from __future__ import annotations

import secrets
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote
from uuid import UUID

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse

from foundation import clock, directory, pages, qr
from foundation.errors import Refusal
from foundation.limits import TooManyTries
from foundation.web import Here, Language, Platform, events, hot, permit
from payments import attempt, fiscal, gateways, going_back
from payments import reference as references
from payments.attempt import AttemptView
from payments.cash import proxy_transfers
from payments.charge_states import ENDS
from payments.gateway import PayeeAccount, vietqr, vnpay
from payments.going_back import GoesBack
from payments.payment import ChargeView, Look, NoSuchCharge, ended_by, find, look
from payments.receipt import collection_account
from payments.tax_code import TaxCodeUnreadable

routes = APIRouter(tags=["public"])
BACK = "way-back"
"""The cookie that leads a payer from a gateway's page back to his own."""


@dataclass(frozen=True, slots=True)
class BankApp:
    """A banking app that a phone can be sent to; templates are data (bank_apps.toml)."""

    name: str
    url: str

    def link(self, payload: str, back: str) -> str:
        return self.url.format(code=quote(payload, safe=""), back=quote(back, safe=""))


@cache
def bank_apps() -> tuple[BankApp, ...]:
    listed = tomllib.loads((Path(__file__).parent / "gateway" / "bank_apps.toml").read_text("utf-8"))["app"]
    return tuple(BankApp(**app) for app in listed)


@routes.get("/pay/{reference}/return", include_in_schema=False)
@permit("public")
async def back_from_gateway(request: Request, here: Here, reference: str) -> Response:
    """Where the gateway's page sends the payer back to. Nothing it says here counts: the gateway itself is asked.

    Whoever comes with another browser than he left with sees what anybody sees under the reference.
    """
    operator_id, reference = await _whose(here, reference)
    token = request.cookies.get(BACK)
    async with here.database.transaction(operator_id) as tx:
        owed = await find(tx, reference=reference)
        own = token is not None and secrets.compare_digest(token.encode(), owed.token.encode())
        page = owed.page_path if own else f"/pay/{reference}"
        tried = await attempt.latest(tx, owed.id)
        waits = tried is not None and tried.state in ("open", "paid") and owed.state not in ENDS
        if tried is None or not waits:
            return RedirectResponse(page, 303)
        await attempt.came_back(tx, tried, now=await clock.now(tx))
    live = _events_path(owed, tried)
    return pages.render(request, "payments/asking.html", owed=owed, tried=tried, live=live, page=page)


@routes.get("/pay/{reference}", include_in_schema=False)
@permit("public")
async def pay_by_reference(request: Request, here: Here, reference: str) -> Response:
    """What is owed under a reference, for whoever pays it. What was bought is not reached from here."""
    return await _pay_page(request, here, reference, None)


async def _pay_page(
    request: Request,
    here: Platform,
    reference: str,
    token: str | None,
    sent: dict[str, str] | None = None,
    refusal: Refusal | None = None,
) -> Response:
    seen = await look(here.database, reference)
    owed = seen.owed
    _check(owed, token)
    back_to_payer = await _goes_back(here, seen)
    if owed.state == "paid" and token is not None and all(item.done for item in back_to_payer):
        return RedirectResponse(owed.return_path, 303)
    # Only who has the payer's own address may say where money goes.
    names_account = token is not None and any(item.path for item in back_to_payer)
    form: dict[str, Any] = {
        "names_account": names_account,
        "banks": sorted(vietqr.banks().items(), key=lambda bank: bank[1]) if names_account else [],
        "sent": sent or dict.fromkeys(("bin", "account", "name", "bank_ref", "amount_vnd"), ""),
        "refusal": refusal,
        "status": refusal.status if refusal else 200,
    }
    if owed.state == "paid":
        onward = owed.return_path if token is not None else None
        return pages.render(
            request, "payments/paid.html", owed=owed, back_to_payer=back_to_payer, onward=onward, **form
        )
    async with here.database.transaction(seen.operator_id) as tx:
        if owed.state in ENDS:
            why = await ended_by(tx, owed.id)
            return pages.render(request, "payments/ended.html", owed=owed, why=why, back_to_payer=back_to_payer, **form)
        tried = await attempt.latest(tx, owed.id)
        by_card = token is not None and await attempt.merchant_of(tx, gateways.vnpay(here.settings)) is not None
        buyer = await fiscal.buyer_named(tx, here.sealer, owed.id) if token is not None else None
    payload, bin, account, payee = seen.code
    back = here.settings.public_url + request.scope["path"]
    apps = [
        (app.name, app.link(payload, back).replace("{bank}", here.settings.bank_public_url))
        for app in bank_apps()
        if here.settings.environment != "production" or "{bank}" not in app.url
    ]
    return pages.render(
        request,
        "payments/pay.html",
        owed=owed,
        payload=payload,
        bank=vietqr.bank_name(bin),
        account=account,
        payee=payee,
        apps=apps,
        back_to_payer=back_to_payer,
        tried=tried,
        why=vnpay.why(tried.code) if tried else "",
        card=f"{owed.page_path}/card" if by_card else None,
        names_buyer=token is not None,
        buyer=buyer.for_all() if buyer else None,
        # Without JavaScript the page loads itself again and again, but not under somebody who types.
        types_buyer=refusal is not None or "buyer" in request.query_params,
        sent=sent
        or {"tax_code": buyer.tax_code if buyer and buyer.is_firm else "", "name": buyer.name if buyer else ""},
        refusal=refusal,
        status=refusal.status if refusal else 200,
        live=_events_path(owed, tried),
    )


@routes.post("/pay/{reference}/{token}/card", include_in_schema=False)
@permit("public")
async def pay_by_card(request: Request, here: Here, language: Language, reference: str, token: str) -> Response:
    """On to the gateway's page, to pay what remains there; a second click leads to the same attempt."""
    operator_id, reference = await _whose(here, reference)
    gateway = gateways.vnpay(here.settings)
    async with here.database.transaction(operator_id) as tx:
        owed = await find(tx, reference=reference)
        _check(owed, token)
        begun = await attempt.begin(tx, gateway, reference, now=await clock.now(tx))
    if begun is None:
        return RedirectResponse(owed.page_path, 303)
    # The payer's own address opens what was bought, so no gateway gets it: the browser keeps it for the way back.
    back = f"{here.settings.public_url}/pay/{reference}/return"
    payer = request.client.host if request.client else ""
    answer = RedirectResponse(gateway.begin(begun.order, language=language, back=back, payer_address=payer), 303)
    answer.set_cookie(
        BACK,
        token,
        path=f"/pay/{reference}",
        max_age=10_800,
        httponly=True,
        samesite="lax",
        secure=here.settings.secure,
    )
    return answer


@routes.get("/pay/{reference}/qr.{form}", include_in_schema=False)
@permit("public")
async def pay_picture(here: Here, reference: str, form: str) -> Response:
    """The VietQR as a picture: to save on the payer's own phone, or to show an attendant what he must transfer."""
    operator_id, reference = await _whose(here, reference)
    async with here.database.transaction(operator_id) as tx:
        transfers = await proxy_transfers(tx, [reference], lock=False)
        account = await collection_account(tx)
    if transfers:
        missing_vnd = transfers[0].remaining_vnd
        if not missing_vnd:
            raise NoSuchCharge()
        payload = vietqr.build(bin=account["bin"], account=account["account"], amount_vnd=missing_vnd, text=reference)
    else:
        seen = await look(here.database, reference)
        if seen.owed.state in ENDS:
            raise NoSuchCharge()
        payload = seen.code[0]
    headers = {"cache-control": "no-store", "content-disposition": f'inline; filename="{reference}.{form}"'}
    if form == "svg":
        return Response(qr.svg(payload), media_type="image/svg+xml", headers=headers)
    return Response(qr.png(payload), media_type="image/png", headers=headers)


@routes.get("/pay/{reference}/{token}", include_in_schema=False)
@permit("public")
@hot
async def pay_page(request: Request, here: Here, reference: str, token: str) -> Response:
    """The payer's own page: shows what is owed and how to pay it; once paid, goes back to the service's page."""
    return await _pay_page(request, here, reference, token)


@routes.post("/pay/{reference}/{token}/payee", include_in_schema=False)
@permit("public")
async def name_account(
    request: Request,
    here: Here,
    reference: str,
    token: str,
    bin: Annotated[str, Form(max_length=6)] = "",
    account: Annotated[str, Form(max_length=30)] = "",
    name: Annotated[str, Form(max_length=70)] = "",
    bank_ref: Annotated[str, Form(max_length=64)] = "",
    amount_vnd: Annotated[str, Form(max_length=15)] = "",
) -> Response:
    """The payer says where money should go that his bank does not take back; what he proves is not for guessing."""
    operator_id, reference = await _whose(here, reference)
    sent = {"bin": bin, "account": account, "name": name, "bank_ref": bank_ref, "amount_vnd": amount_vnd}
    try:
        async with here.database.transaction(operator_id) as tx:
            owed, now = await find(tx, reference=reference), await clock.now(tx)
        _check(owed, token)
        await here.limits.spend("5/hour", "payee", reference)
        month = await here.sealer.ready(now)
        async with here.database.transaction(operator_id) as tx:
            await going_back.name_account(
                tx,
                here.sealer,
                owed,
                bank_ref=bank_ref,
                amount_vnd=int(amount_vnd) if amount_vnd.isascii() and amount_vnd.isdigit() else 0,
                to=PayeeAccount(bin, account, name),
                month=month,
                now=now,
            )
    except (going_back.ProofWrong, going_back.AccountUnreadable, TooManyTries) as refusal:
        return await _pay_page(request, here, reference, token, sent, refusal)
    return RedirectResponse(owed.page_path, 303)


@routes.post("/pay/{reference}/{token}", include_in_schema=False)
@permit("public")
async def name_buyer(
    request: Request,
    here: Here,
    reference: str,
    token: str,
    tax_code: Annotated[str, Form(max_length=30)] = "",
    name: Annotated[str, Form(max_length=300)] = "",
) -> Response:
    """Who pays says in whose name the documents are to be made; what was typed stays where it is refused."""
    operator_id, reference = await _whose(here, reference)
    async with here.database.transaction(operator_id) as tx:
        owed, now = await find(tx, reference=reference), await clock.now(tx)
    _check(owed, token)
    try:
        buyer = fiscal.buyer_of(tax_code, name)
        await here.limits.spend(fiscal.BUYERS_PER_PAYMENT, "buyer", reference)
        month = await here.sealer.ready(now)
        async with here.database.transaction(operator_id) as tx:
            await fiscal.name_buyer(tx, here.sealer, owed, buyer, month=month, now=now)
    except (TaxCodeUnreadable, fiscal.BuyerNameless, TooManyTries) as refusal:
        sent = {"tax_code": tax_code, "name": name}
        return await _pay_page(request, here, reference, token, sent, refusal)
    return RedirectResponse(f"{owed.page_path}#buyer", 303)


async def _goes_back(here: Platform, seen: Look) -> list[GoesBack]:
    if not seen.touched:
        return []
    async with here.database.transaction(seen.operator_id) as tx:
        return await going_back.of_charge(tx, seen.owed)


def _check(owed: ChargeView, token: str | None) -> None:
    """Raises NoSuchCharge for a payer's address that is not this charge's."""
    if token is not None and not secrets.compare_digest(token.encode(), owed.token.encode()):
        raise NoSuchCharge()


@routes.get("/api/v1/public/payments/{reference}")
@permit("public")
@hot
async def pay_state(request: Request, here: Here, reference: str) -> JSONResponse:
    """What is owed under a reference, for programs: amounts in VND and the VietQR payload while something remains."""
    seen = await look(here.database, reference)
    owed, back_to_payer = seen.owed, await _goes_back(here, seen)
    code = None if owed.state in ENDS else seen.code
    return JSONResponse(
        {
            "reference": owed.reference,
            "state": owed.state,
            "amount_vnd": owed.amount_vnd,
            "received_vnd": owed.received_vnd,
            "remaining_vnd": owed.remaining_vnd,
            "holds_until": owed.holds_until.isoformat(),
            "topup_until": owed.topup_until and owed.topup_until.isoformat(),
            "goes_back_vnd": sum(item.amount_vnd for item in back_to_payer if not item.done),
            "goes_back": [
                {"state": item.word, "amount_vnd": item.amount_vnd, "at": item.at and item.at.isoformat()}
                for item in back_to_payer
            ],
            "pay": {"vietqr": code[0], "bin": code[1], "account": code[2], "payee": code[3]} if code else None,
        },
        headers={"cache-control": "no-store"},
    )


@routes.get("/api/v1/public/payments/{reference}/events", include_in_schema=False)
@permit("public")
async def pay_events(here: Here, reference: str, seen: str = "") -> Response:
    """Server-sent events: one `change` as soon as the payment differs from what the page shows."""
    operator_id, reference = await _whose(here, reference)

    async def state() -> str:
        async with here.database.transaction(operator_id) as tx:
            owed = await find(tx, reference=reference)
            return _version(owed, await attempt.latest(tx, owed.id))

    return events(here, f"charge:{reference}", state, seen)


async def _whose(here: Platform, reference: str) -> tuple[UUID, str]:
    """The operator of a reference, from the directory alone. Guessing is limited by the check symbols and 6 × 10^11."""
    reference = reference.upper()
    operator_id = (
        await directory.whose(here.database, "reference", reference) if references.is_reference(reference) else None
    )
    if operator_id is None:
        raise NoSuchCharge()
    return operator_id, reference


def _version(owed: ChargeView, tried: AttemptView | None) -> str:
    """Changes whenever a reader of the page would see something else."""
    return f"{owed.version}-{tried.version}" if tried else owed.version


def _events_path(owed: ChargeView, tried: AttemptView | None) -> str:
    return f"/api/v1/public/payments/{owed.reference}/events?seen={_version(owed, tried)}"
