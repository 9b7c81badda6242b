"""The pages and interfaces of parking: a lot at `/P/<lot>`, a stay behind its code, vehicles in and out at a tablet."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import BaseModel

import payments
from foundation import audit, clock, code, pages, strict_json
from foundation.code import Kind, TicketCode
from foundation.database import Tx
from foundation.device import Attendant, acting, attendant
from foundation.errors import Refusal
from foundation.limits import address_of
from foundation.operator import operator_name, whose_place
from foundation.settings import Settings
from foundation.strict_json import StrictRoute
from foundation.web import PUBLIC, Bearer, Here, Platform, Service, answer, behind, hot, permit
from parking import plate as plates
from parking import stay, vehicle, words
from parking.lot import LotView, lot_by_code, lots_at, occupancy, rule_of
from parking.plate import Plate, VehicleClass
from parking.stay import NoSuchStay, StayView
from parking.vehicle import CashStayIn, FindIn, VehicleIn, VehicleOut
from payments import ChargeView

routes = APIRouter(tags=["public"], route_class=StrictRoute)
device_routes = APIRouter(prefix="/api/v1/device", tags=["device"], route_class=StrictRoute)
BEGINS_PER_ADDRESS = "300/10minutes"
"""A visitor's forms from one address: the phones of a whole mobile network may share it; too few to try plates."""
BEGINS_PER_PLATE = "20/10minutes"
"""Forms about one plate at one lot, from wherever they come."""


def service(settings: Settings) -> Service:
    """Parking as the app sees it."""
    return Service(
        "parking",
        [routes, device_routes],
        shows={Kind.STAY: stay_page, Kind.LEAVE: stay_page},
        tablet=tablet_facts,
    )


# --- a visitor at a lot ----------------------------------------------------------------------------------------------


@routes.get("/P/{lot_code}", include_in_schema=False)
@permit(PUBLIC)
async def lot_page(request: Request, here: Here, lot_code: str) -> Response:
    """What the lot is, what it costs, whether there is room, and one field: the plate."""
    return await _lot_page(request, here, await whose_place(here.database, lot_code), lot_code)


@routes.post("/P/{lot_code}", include_in_schema=False)
@permit(PUBLIC)
async def begin(
    request: Request,
    here: Here,
    lot_code: str,
    key: Annotated[str, Form(pattern="^[A-Za-z0-9_-]{8,100}$")],
    vehicle_class: Annotated[str, Form(max_length=20)] = "",
    plate: Annotated[str, Form(max_length=plates.TYPED_MAX)] = "",
    without: Annotated[bool, Form(description="a vehicle without a plate")] = False,
    as_typed: Annotated[bool, Form(description="yes, the plate is as typed")] = False,
) -> Response:
    """Goes to the open stay of that plate and class, or begins one. The form's hidden key makes two clicks one stay.

    Whoever began the stay with this form goes to its code; whoever merely knows the plate, to a page to pay on.
    """
    operator_id = await whose_place(here.database, lot_code)
    typed = {"plate": plate, "vehicle_class": vehicle_class, "without": without}
    try:
        await here.limits.spend(BEGINS_PER_ADDRESS, "parking.begin", address_of(request))
        kind = VehicleClass.of(vehicle_class)
        read = None if without else plates.read(plate)
        if read is not None:
            tag = here.sealer.tag(operator_id, f"{lot_code.upper()} {read.compact}").hex()
            await here.limits.spend(BEGINS_PER_PLATE, "parking.begin.plate", tag)
        month = await _month(here)
        async with here.database.transaction(operator_id) as tx:
            lot = await lot_by_code(tx, lot_code.upper())
            if (
                read is not None
                and (not read.readings and read.suggestions and not as_typed)
                and not await stay.stands(tx, here.sealer, place=lot.place.number, plate=read, vehicle_class=kind)
            ):
                # Asks, never guesses: the plate as typed may be somebody else's.
                return _meant_page(request, lot, read, kind, key)
            now = await clock.now(tx)
            shown, own = await stay.begin(
                tx, here.sealer, lot, vehicle_class=kind, plate=read, month=month, key=key, now=now
            )
        return RedirectResponse(_own_path(here, shown) if own else _public_path(here, operator_id, lot, shown), 303)
    except Refusal as refusal:
        # What was typed stays; the sentence stands above the form.
        return await _lot_page(request, here, operator_id, lot_code, typed=typed, refusal=refusal)


@routes.get("/P/{lot_code}/sign", include_in_schema=False)
@permit(PUBLIC)
async def sign_page(request: Request, here: Here, lot_code: str, size: str = "A4") -> Response:
    """The sign to print for the lot: a code that opens our page, and cannot be paid by itself."""
    async with here.database.transaction(await whose_place(here.database, lot_code)) as tx:
        lot = await lot_by_code(tx, lot_code.upper())
        owner, payee = await _owner(tx), await payments.payee(tx)
    return pages.render(
        request,
        "parking/sign.html",
        lot=lot,
        owner=owner,
        payee=payee,
        size="a5" if size.upper() == "A5" else "a4",
        url=f"{here.settings.public_url}/P/{lot.place.code}",
    )


@routes.get("/api/v1/public/lots/{lot_code}")
@permit(PUBLIC)
async def lot_json(request: Request, here: Here, lot_code: str) -> Response:
    """A lot with today's tariffs (prices in VND) and how full it is. With its ETag: 304 if nothing changed."""
    operator_id = await whose_place(here.database, lot_code)
    async with here.database.transaction(operator_id) as tx:
        lot = await lot_by_code(tx, lot_code.upper())
        today = clock.hanoi_day(await clock.now(tx))
    room = await occupancy(here.database, operator_id, lot.place.number)
    body = json.dumps(
        {
            "code": lot.place.code,
            "name_vi": lot.place.name_vi,
            "name_en": lot.place.name_en,
            "address": lot.place.address,
            "ward": lot.place.ward,
            "capacity": room.capacity,
            "occupied": room.occupied,
            "free": room.free,
            "grace_minutes": lot.grace_minutes,
            "day": today.isoformat(),
            "tariffs": [
                {
                    "number": tariff.number,
                    "vehicle_class": tariff.vehicle_class.word,
                    "name_vi": tariff.name_vi,
                    "name_en": tariff.name_en,
                    "rule": tariff.rule,
                }
                for tariff in lot.tariffs_on(today)
            ],
        },
        ensure_ascii=False,
    ).encode()
    headers = {"etag": f'"{hashlib.sha256(body).hexdigest()[:32]}"', "cache-control": "no-cache"}
    if headers["etag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(body, media_type="application/json", headers=headers)


# --- a visitor's stay ------------------------------------------------------------------------------------------------


async def stay_page(request: Request, here: Platform, operator_id: UUID, found: TicketCode) -> Response:
    """The stay behind `/T/<code>`: what it costs, how that was counted, the way to pay, the way out."""
    async with here.database.transaction(operator_id) as tx:
        shown = await stay.find(tx, serial=found.serial)
        facts = await _facts(tx, shown)
    back_to_payer = await payments.goes_back(here.database, operator_id, stay.PURPOSE, str(shown.id))
    compact = await stay.plate_of(here.sealer, shown)
    signed = shown.signed_leave(here.codes) if facts["state"] == "may_leave" else shown.signed(here.codes)
    return pages.render(
        request,
        "parking/stay.html",
        **facts,
        back_to_payer=back_to_payer,
        plate=None if compact is None else stay.hint(compact),
        signed=signed,
        own=shown.signed(here.codes),
        url=code.as_url(here.settings.public_url, signed),
    )


@routes.post("/P/stay/{signed}/pay", include_in_schema=False)
@permit(PUBLIC)
async def pay(here: Here, signed: str) -> Response:
    """Asks for what is due now and goes to its payment page; pressed twice, it is the same payment."""
    operator_id, found, _ = await behind(here, signed)
    if found.kind not in (Kind.STAY, Kind.LEAVE):
        raise NoSuchStay()
    async with here.database.transaction(operator_id) as tx:
        shown = await stay.find(tx, serial=found.serial)
        return await _ask(here, tx, shown, _own_path(here, shown))


@routes.get("/P/stay/{signed}/documents", include_in_schema=False)
@permit(PUBLIC)
async def documents(here: Here, signed: str) -> Response:
    """On to the invoices of what a stay cost."""
    operator_id, found, _ = await behind(here, signed)
    if found.kind not in (Kind.STAY, Kind.LEAVE):
        raise NoSuchStay()
    async with here.database.transaction(operator_id) as tx:
        shown = await stay.find(tx, serial=found.serial)
    path = await payments.papers_path(here.database, operator_id, stay.PURPOSE, str(shown.id))
    return RedirectResponse(path, 303)


@routes.get("/P/{lot_code}/stay/{name}", include_in_schema=False)
@permit(PUBLIC)
async def public_page(request: Request, here: Here, lot_code: str, name: str) -> Response:
    """The stay for whoever knows its plate: what it costs, and the way to pay. Nothing here opens the way out."""
    async with here.database.transaction(await whose_place(here.database, lot_code)) as tx:
        lot = await lot_by_code(tx, lot_code.upper())
        shown = await stay.find_public(tx, here.sealer, place=lot.place.number, name=name)
        facts = await _facts(tx, shown)
    return pages.render(request, "parking/found.html", **facts, page=f"/P/{lot.place.code}/stay/{name}")


@routes.post("/P/{lot_code}/stay/{name}/pay", include_in_schema=False)
@permit(PUBLIC)
async def pay_public(here: Here, lot_code: str, name: str) -> Response:
    """Anybody may pay for a vehicle: asks for what is due now and goes to its payment page."""
    operator_id = await whose_place(here.database, lot_code)
    async with here.database.transaction(operator_id) as tx:
        lot = await lot_by_code(tx, lot_code.upper())
        shown = await stay.find_public(tx, here.sealer, place=lot.place.number, name=name)
        return await _ask(here, tx, shown, _public_path(here, operator_id, lot, shown))


async def _ask(here: Platform, tx: Tx, shown: StayView, page: str) -> Response:
    owed = await stay.ask_payment(
        tx, shown.id, return_path=page, environment=here.settings.environment, now=await clock.now(tx)
    )
    return RedirectResponse(page if owed is None else _pay_path(owed, page), 303)


def _pay_path(owed: ChargeView, page: str) -> str:
    # The payer's own page leads to whoever asked first, perhaps to a code that is not this visitor's.
    return owed.page_path if owed.return_path == page else f"/pay/{owed.reference}"


def _own_path(here: Platform, shown: StayView) -> str:
    return f"/T/{shown.signed(here.codes)}"


def _public_path(here: Platform, operator_id: UUID, lot: LotView, shown: StayView) -> str:
    return f"/P/{lot.place.code}/stay/{stay.public_name(here.sealer, operator_id, shown.id)}"


async def _facts(tx: Tx, shown: StayView) -> dict[str, Any]:
    """What both pages of a stay say."""
    lot, now = await stay.lot_of(tx, shown), await clock.now(tx)
    owing = shown.owing(now)
    if shown.left_at is not None:
        state = "left"
    elif shown.may_leave(now):
        state = "may_leave"
    else:
        state = "due" if owing.due_vnd else "nothing_due"
    asked = await payments.find(tx, id=shown.charge_id) if shown.charge_id is not None and state == "due" else None
    return {
        "stay": shown,
        "lot": lot,
        "owner": await _owner(tx),
        "tariff": next(tariff for tariff in lot.tariffs if tariff.number == shown.tariff),
        "state": state,
        "owing": owing,
        "fee_rows": lambda language: words.fee_rows(language, owing.fee),
        "asked": asked if asked is not None and asked.state in ("open", "partial") else None,
        "now": now,
    }


# --- a tablet at a lot -----------------------------------------------------------------------------------------------


def _body(shape: type[BaseModel]) -> dict[str, Any]:
    """The body of a hot route, which reads it by itself, for the description of the interfaces."""
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": shape.model_json_schema()}}}}


@device_routes.post("/vehicles/in", openapi_extra=_body(VehicleIn))
@permit("device")
@hot
async def vehicle_in(request: Request, here: Here, token: Bearer) -> Response:
    """A vehicle comes in. An open stay of its plate and class is answered as `already_in`. 409 lot_full."""
    sent = strict_json.read(VehicleIn, await request.body())
    read = None if sent.plate is None else plates.read(sent.plate)
    verdict, began = await vehicle.enter(here.database, here.sealer, token, sent, plate=read, month=await _month(here))
    return answer(
        {
            "verdict": verdict,
            "stay": _stay_json(here, began, None if read is None else read.written(began.vehicle_class)),
            "warnings": _warnings(read, began.vehicle_class),
        }
    )


@device_routes.post("/vehicles/out", openapi_extra=_body(VehicleOut))
@permit("device")
@hot
async def vehicle_out(request: Request, here: Here, token: Bearer) -> Response:
    """A vehicle wants to leave: left, unpaid (what is due), already_left, wrong_place, unknown."""
    sent = strict_json.read(VehicleOut, await request.body())
    departure = await vehicle.leave(
        here.database, here.sealer, here.codes, token, sent, environment=here.settings.environment
    )
    outcome, gone = departure.outcome, departure.stay
    said = {name: value for name, value in outcome.items() if name not in ("stay_id", "at")}
    if gone is not None and "stay_id" in outcome:
        # Of that moment, so that the same action asked again is answered alike.
        counted = gone.fee(datetime.fromisoformat(outcome["left_at"] or outcome["at"]))
        said["fee_vnd"] = counted.amount_vnd
        said["stay"] = _stay_json(here, gone, await _written_plate(here, gone)) | {
            f"parts_{language}": words.fee_sentence(language, counted) for language in ("vi", "en")
        }
    return answer(said)


@device_routes.post("/vehicles/find")
@permit("device")
async def find_vehicles(here: Here, token: Bearer, sent: FindIn) -> dict[str, Any]:
    """The vehicles that stand at this place under that name, with what each owes now. Reads only."""
    async with here.database.transaction(token.operator_id) as tx:
        who = await attendant(tx, token)
        who.must_work_at(sent.place)
        standing = await vehicle.find_standing(tx, here.sealer, here.codes, sent)
        now = await clock.now(tx)
        # Plates are shown in clear: by which name somebody looked, and what he saw.
        await audit.note(
            tx,
            who.staff_id,
            "plates.shown",
            f"place {sent.place}",
            after={"by": next(iter(sent.model_fields_set - {"place"})), "stays": [one.id for one in standing]},
            now=now,
        )
    stays = []
    for one in standing:
        owing = one.owing(now)
        stays.append(
            _stay_json(here, one, await _written_plate(here, one))
            | {"fee_vnd": owing.fee.amount_vnd, "due_vnd": owing.due_vnd}
            | {f"parts_{language}": words.fee_sentence(language, owing.fee) for language in ("vi", "en")}
        )
    return {"stays": stays}


@device_routes.post("/cash/stay")
@permit("device")
async def cash_stay(here: Here, token: Bearer, sent: CashStayIn) -> dict[str, Any]:
    """Takes notes for what a stay owes, into the drawer of the open shift. 409 amount_changed with `due_vnd`."""
    async with acting(here.database, token, sent, "cash.stay") as it:
        if it.outcome is None:
            it.outcome = await vehicle.take_cash(
                it.tx, it.who, sent, keys=here.codes, environment=here.settings.environment, now=it.now
            )
    return it.outcome


async def tablet_facts(tx: Tx, who: Attendant | None, places: Sequence[int], now: datetime) -> dict[str, Any]:
    """The lots a tablet works at, with the classes of vehicles they take today."""
    return {
        "places": [
            {
                "number": lot.place.number,
                "code": lot.place.code,
                "service": "parking",
                "name_vi": lot.place.name_vi,
                "name_en": lot.place.name_en,
                "classes": [
                    {"code": tariff.vehicle_class.word, "name_vi": tariff.name_vi, "name_en": tariff.name_en}
                    for tariff in lot.tariffs_on(clock.hanoi_day(now))
                ],
            }
            for lot in await lots_at(tx, places)
        ]
    }


# --- parts of the above ----------------------------------------------------------------------------------------------


async def _owner(tx: Tx) -> dict[str, str]:
    return {language: await operator_name(tx, language) for language in ("vi", "en")}


async def _month(here: Platform) -> int:
    # Real time: how long plates are kept is about people, and asking the database would be a second call of a hot act.
    return await here.sealer.ready(datetime.now(UTC))


async def _lot_page(
    request: Request,
    here: Platform,
    operator_id: UUID,
    lot_code: str,
    *,
    typed: dict[str, Any] | None = None,
    refusal: Refusal | None = None,
) -> Response:
    async with here.database.transaction(operator_id) as tx:
        lot = await lot_by_code(tx, lot_code.upper())
        owner = await _owner(tx)
        today = clock.hanoi_day(await clock.now(tx))
    return pages.render(
        request,
        "parking/lot.html",
        status=refusal.status if refusal else 200,
        lot=lot,
        owner=owner,
        room=await occupancy(here.database, operator_id, lot.place.number),
        tariffs=lot.tariffs_on(today),
        tariff_rows=words.tariff_rows,
        typed=typed or {"plate": "", "vehicle_class": "", "without": False},
        refusal=refusal,
    )


def _meant_page(request: Request, lot: LotView, read: Plate, kind: VehicleClass, key: str) -> Response:
    return pages.render(
        request,
        "parking/meant.html",
        lot=lot,
        typed=read.compact,
        meant=[(compact, plates.display(compact, kind)) for compact in read.suggestions],
        vehicle_class=kind.word,
        key=key,
    )


async def _written_plate(here: Platform, shown: StayView) -> str | None:
    compact = await stay.plate_of(here.sealer, shown)
    return None if compact is None else plates.display(compact, shown.vehicle_class)


def _stay_json(here: Platform, shown: StayView, plate: str | None) -> dict[str, Any]:
    rule = rule_of(shown.rule)
    return {
        "id": str(shown.id),
        "code_url": code.as_url(here.settings.public_url, shown.signed(here.codes)),
        "short": shown.spoken,
        "plate": plate,
        "vehicle_class": shown.vehicle_class.word,
        "entered_at": shown.entered_at.isoformat(),
        "begun_by": shown.begun_by,
        "tariff_vi": words.tariff_sentence("vi", rule),
        "tariff_en": words.tariff_sentence("en", rule),
    }


def _warnings(read: Plate | None, vehicle_class: VehicleClass) -> list[str]:
    """What an attendant should look at again; never a reason to refuse."""
    if read is None:
        return []
    found = []
    if not read.readings:
        found.append("plate_unknown")
    if not plates.fits(read, vehicle_class):
        found.append("class_unusual")
    if any("Đ" in compact and "Đ" not in read.compact for compact in read.suggestions):
        found.append("use_d_bar")
    return found
