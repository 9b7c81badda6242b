"""The tablet's side of notes: a shift from its float to its report, notes for the safe, notes handed back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from functools import partial
from typing import Any, Literal, Self
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, model_validator

from foundation.database import Tx
from foundation.device import ActionIn, Attendant, acting, attendant
from foundation.money import CHARGE_MAX_VND
from foundation.strict_json import StrictRoute
from foundation.web import Bearer, Here, permit
from payments import cash_refund, drop, handover, shift, witness
from payments.notes import NotesIn

routes = APIRouter(prefix="/api/v1/device", tags=["device"], route_class=StrictRoute)
A_FLOAT = [{"100000": 1, "10000": 8, "5000": 4}]


class ShiftActionIn(ActionIn):
    """What is done in a shift. `shift`: the one that the tablet believes to be open; if it is over, nothing is done."""

    shift: UUID | None = Field(default=None, strict=False)


class WitnessIn(BaseModel):
    """Number and PIN of a second person at the same tablet, and what he signs: the act and, but for a close, its amount."""

    model_config = ConfigDict(extra="forbid", strict=True)
    login: str = Field(min_length=1, max_length=40)
    pin: str = Field(min_length=4, max_length=40)
    signs: witness.Signed
    amount_vnd: int | None = Field(default=None, ge=1, le=CHARGE_MAX_VND)

    @model_validator(mode="after")
    def _amount(self) -> Self:
        if (self.amount_vnd is None) != (self.signs == "shift.close"):
            raise ValueError("amount_vnd stands with every act but a close")
        return self


class OpenShiftIn(ActionIn):
    """Where the shift is, and the notes handed over for change: pieces of each."""

    place: int = Field(ge=1, le=16_777_215)
    notes: NotesIn = Field(examples=A_FLOAT)


class CountIn(ShiftActionIn):
    """All notes in the drawer: pieces of each, counted before anybody said what they should come to."""

    notes: NotesIn = Field(examples=A_FLOAT)


class CloseShiftIn(ShiftActionIn):
    """Who signed for the notes, why the drawer was not right (if it was not), and what he takes over as his float."""

    witness: str = Field(max_length=200)
    reason: Literal["change", "sale", "counterfeit", "lost", "other"] | None = None
    words: str = Field(default="", max_length=300)
    next_float: NotesIn | None = Field(default=None, examples=A_FLOAT)


class DropIn(ShiftActionIn):
    """Notes for the safe: pieces of each."""

    notes: NotesIn = Field(examples=[{"500000": 2}])


class DropVoidIn(ShiftActionIn):
    """Notes that stay in the drawer after all, by the number of their announcement."""

    number: int = Field(ge=1)


class DropReceiveIn(DropVoidIn):
    """Notes that somebody takes to the safe, who signed for them."""

    witness: str = Field(max_length=200)


class CashReceiptIn(BaseModel):
    """A cash receipt by its numbers."""

    model_config = ConfigDict(extra="forbid", strict=True)
    place: int = Field(ge=1, le=16_777_215)
    shift_number: int = Field(ge=1, le=2**31 - 1)
    receipt_number: int = Field(ge=1, le=2**31 - 1)


class CashRefundIn(ShiftActionIn, CashReceiptIn):
    """What is handed back of a cash receipt, and why; with a supervisor's signature where one is needed."""

    amount_vnd: int = Field(ge=1, le=CHARGE_MAX_VND)
    reason: cash_refund.Why
    words: str = Field(default="", max_length=300)
    witness: str | None = Field(default=None, max_length=200)


@routes.post("/witness")
@permit("device")
async def prove_witness(here: Here, token: Bearer, sent: WitnessIn) -> dict[str, Any]:
    """A second person shows number and PIN; the answer's `witness` signs that act at this tablet within two minutes."""
    return await witness.prove(here.database, here.limits, token, **sent.model_dump())


@routes.post("/shift/open")
@permit("device")
async def open_shift(here: Here, token: Bearer, sent: OpenShiftIn) -> dict[str, Any]:
    """Opens the shift of whoever is logged in. 409 shift_open, 403 place_not_yours."""
    async with acting(here.database, token, sent, "shift.open") as it:
        if it.outcome is None:
            it.outcome = _as_json(
                await shift.open_shift(it.tx, it.who, place=sent.place, counted=sent.notes, now=it.now), ()
            )
    return it.outcome


@routes.post("/shift/count")
@permit("device")
async def count_shift(here: Here, token: Bearer, sent: CountIn) -> dict[str, Any]:
    """The count, blind and final; only now the answer says what was expected. 409 no_shift, shift_counted."""
    async with acting(here.database, token, sent, "shift.count") as it:
        if it.outcome is None:
            it.outcome = asdict(await handover.count(it.tx, it.who, sent.notes, named=sent.shift, now=it.now))
    return it.outcome


@routes.post("/shift/close")
@permit("device")
async def close_shift(here: Here, token: Bearer, sent: CloseShiftIn) -> dict[str, Any]:
    """Hands the counted notes over; the answer is the report. 409 not_counted, difference_unexplained."""
    async with acting(here.database, token, sent, "shift.close") as it:
        if it.outcome is None:
            it.outcome = await handover.close(
                it.tx,
                it.who,
                await witness.sign(it.tx, it.who, sent.witness, "shift.close"),
                reason=sent.reason,
                words=sent.words,
                next_float=sent.next_float,
                named=sent.shift,
                now=it.now,
            )
    return it.outcome


@routes.post("/shift/drop")
@permit("device")
async def announce_drop(here: Here, token: Bearer, sent: DropIn) -> dict[str, Any]:
    """Sets notes aside for the safe, until somebody signs for them. 409 not_enough_there, which is counted."""
    async with acting(here.database, token, sent, "shift.drop") as it:
        if it.outcome is None:
            open = await shift.must_be_open(it.tx, it.who, named=sent.shift, lock=True)
            it.when_refused = partial(drop.note_refused, it.tx, open.id)
            it.outcome = _drop_json(await drop.announce(it.tx, open, sent.notes, now=it.now))
    return it.outcome


@routes.post("/shift/drop/receive")
@permit("device")
async def receive_drop(here: Here, token: Bearer, sent: DropReceiveIn) -> dict[str, Any]:
    """Whoever takes the notes to the safe has signed for them. 409 reservation_expired."""
    async with acting(here.database, token, sent, "shift.drop.receive") as it:
        if it.outcome is None:
            open = await shift.must_be_open(it.tx, it.who, named=sent.shift, lock=True)
            amount_vnd = await drop.amount_of(it.tx, open, sent.number)
            receiver = await witness.sign(it.tx, it.who, sent.witness, "shift.drop.receive", amount_vnd)
            await drop.receive(it.tx, open, sent.number, receiver, now=it.now)
            it.outcome = {"number": sent.number, "amount_vnd": amount_vnd, "received_by": receiver.name}
    return it.outcome


@routes.post("/shift/drop/void")
@permit("device")
async def void_drop(here: Here, token: Bearer, sent: DropVoidIn) -> dict[str, Any]:
    """The notes stay in the drawer. 409 reservation_ended if they are in the safe already, too_many_voids."""
    async with acting(here.database, token, sent, "shift.drop.void") as it:
        if it.outcome is None:
            open = await shift.must_be_open(it.tx, it.who, named=sent.shift, lock=True)
            await drop.void(it.tx, open, sent.number, now=it.now)
            it.outcome = {"number": sent.number}
    return it.outcome


@routes.post("/cash/receipt")
@permit("device")
async def find_cash_receipt(here: Here, token: Bearer, sent: CashReceiptIn) -> dict[str, Any]:
    """A cash receipt by its numbers: what was paid, and how much of it can be handed back. 404 no_cash_receipt."""
    async with here.database.transaction(token.operator_id) as tx:
        (await attendant(tx, token)).must_work_at(sent.place)
        found = await cash_refund.find(
            tx, place=sent.place, shift_number=sent.shift_number, receipt_number=sent.receipt_number
        )
    return {
        "amount_vnd": found["amount_vnd"],
        "left_vnd": found["left_vnd"],
        "proxy": found["proxy"],
        "at": found["at"].isoformat(),
        "alone_vnd": cash_refund.ALONE_VND,
    }


@routes.post("/cash/refund")
@permit("device")
async def refund_cash(here: Here, token: Bearer, sent: CashRefundIn) -> dict[str, Any]:
    """Hands notes back against a cash receipt, from the open drawer. 409 nothing_to_give_back, not_enough_there;
    403 supervisor_needed; 422 not_in_notes."""
    async with acting(here.database, token, sent, "cash.refund") as it:
        if it.outcome is None:
            slip = await cash_refund.give_back(
                it.tx,
                it.who,
                place=sent.place,
                shift_number=sent.shift_number,
                receipt_number=sent.receipt_number,
                amount_vnd=sent.amount_vnd,
                reason=sent.reason,
                words=sent.words,
                proof=sent.witness,
                named=sent.shift,
                now=it.now,
            )
            it.outcome = asdict(slip)
    return it.outcome


async def tablet_facts(tx: Tx, who: Attendant | None, places: Sequence[int], now: datetime) -> dict[str, Any]:
    """What a tablet needs to know of payments: the shift of whoever is logged in, or who closed it over his head."""
    if who is None:
        return {}
    try:
        found = await shift.current(tx, who)
    except shift.ShiftOfAnother:
        return {"shift": None, "closed_by_office": None}
    if found is None:
        ended = await shift.closed_by_office(tx, who)
        return {"shift": None, "closed_by_office": ended and ended.told}
    return {"shift": _as_json(found, await drop.waiting(tx, found.id, now=now)), "closed_by_office": None}


def _as_json(found: shift.OpenShift, drops: Sequence[drop.Drop]) -> dict[str, Any]:
    """A shift as its attendant may know it: never what should be in the drawer."""
    return {
        "id": str(found.id),
        "number": found.number,
        "place": found.place,
        "opened_at": found.opened_at.isoformat(),
        "float_vnd": found.float_vnd,
        "receipts": found.receipts,
        "counted_at": found.counted_at and found.counted_at.isoformat(),
        "drops": [_drop_json(one) for one in drops],
    }


def _drop_json(one: drop.Drop) -> dict[str, Any]:
    return asdict(one) | {"expires_at": one.expires_at.isoformat()}
