"""A vehicle at an attendant's tablet: it comes in, is found, pays with notes, leaves.

Coming in and leaving are hot acts, each one call of `parking.enter` or `parking.leave`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple, Self
from uuid import UUID

import asyncpg
from pydantic import BaseModel, ConfigDict, model_validator
from pydantic import Field as Said

import payments
from foundation import code
from foundation.code import CodeForged, CodeKeys, CodeUnreadable, Kind, ShortCodeMistyped
from foundation.database import Database, Tx
from foundation.device import ActionIn, Attendant, refused
from foundation.errors import Refusal
from foundation.seal import Sealer
from foundation.staff import Token
from foundation.tables import new_id
from parking import plate as plates
from parking import stay as stays
from parking.lot import NotParkedHere
from parking.plate import Plate, VehicleClass
from parking.stay import NoSuchStay, NothingDue, StayOver, StayView, TryOnceMore, seal_plate


class VehicleIn(ActionIn):
    """A vehicle comes in; `plate` in any spelling, null for a vehicle without one."""

    place: int = Said(ge=1, le=0xFFFFFF)
    vehicle_class: Literal["bicycle", "motorbike", "car"]
    plate: str | None = Said(None, max_length=plates.TYPED_MAX, examples=["29-B1 123.45"])


class VehicleOut(ActionIn):
    """A vehicle wants to leave, named by `code` (what a scanner read, or the short form) or by `stay_id`."""

    place: int = Said(ge=1, le=0xFFFFFF)
    code: str | None = Said(None, min_length=1, max_length=400)
    stay_id: UUID | None = Said(None, strict=False)

    @model_validator(mode="after")
    def _one_name(self) -> Self:
        if (self.code is None) == (self.stay_id is None):
            raise ValueError("exactly one of code and stay_id")
        return self


class CashStayIn(ActionIn):
    """Notes for a stay; `amount_vnd` is what the tablet showed. `proxy`: the attendant makes the transfer himself.

    `shift`: the one that the tablet believes to be open.
    """

    place: int = Said(ge=1, le=0xFFFFFF)
    stay_id: UUID = Said(strict=False)
    amount_vnd: int = Said(ge=1, le=499_999_999)
    proxy: bool = False
    shift: UUID | None = Said(default=None, strict=False)


class FindIn(BaseModel):
    """Which vehicle is looked for: by plate in any spelling (or its last four), by code, or by its short form."""

    model_config = ConfigDict(extra="forbid", strict=True)
    place: int = Said(ge=1, le=0xFFFFFF)
    plate: str | None = Said(None, max_length=plates.TYPED_MAX)
    code: str | None = Said(None, min_length=1, max_length=400)
    short: str | None = Said(None, min_length=1, max_length=40)

    @model_validator(mode="after")
    def _one_name(self) -> Self:
        if sum(name is not None for name in (self.plate, self.code, self.short)) != 1:
            raise ValueError("exactly one of plate, code and short")
        return self


@dataclass(frozen=True, slots=True)
class Departure:
    """What became of a vehicle's wish to leave: `outcome` as first stored, and the stay if there is one here."""

    outcome: dict[str, Any]
    stay: StayView | None


# --- in and out, at a tablet -----------------------------------------------------------------------------------------

# A row within one column: asked for as a table, it would go through one in PostgreSQL first.
_ENTER = "select parking.enter($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)"
_LEAVE = "select parking.leave($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
_LEAVE_FOR = "select parking.leave($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"


class _Answer(NamedTuple):
    """What `parking.enter` and `parking.leave` return; `stay` is None where there is none to show."""

    refusal: str | None
    outcome: str | None
    at: datetime
    stay: StayView | None

    @classmethod
    def of(cls, row: Any) -> Self:
        refusal, outcome, at, *stay = row[0]
        return cls(refusal, outcome, at, None if stay[0] is None else StayView.of(stay))


async def enter(
    database: Database, sealer: Sealer, token: Token, sent: VehicleIn, *, plate: Plate | None, month: int
) -> tuple[str, StayView]:
    """A vehicle comes in at a tablet (a hot act): (`in` or `already_in`, its stay).

    `plate` is what was sent, read; `month` is what it is sealed under. Raises what a tablet is refused, NotParkedHere,
    LotFull.
    """
    sealed = seal_plate(sealer, token.operator_id, plate, month=month)
    said = (*_action(sealer, token, sent, "parking.in"), sent.place, VehicleClass.of(sent.vehicle_class).value)

    async def attempt() -> _Answer:
        drawn = new_id(), os.urandom(10), code.draw_short(stays.draw)
        return _Answer.of(await database.hot(_ENTER, *said, *drawn, *sealed.columns))

    answer = await _once(attempt)
    if answer.refusal == TryOnceMore.code:  # it left between two looks
        answer = await _once(attempt)
    if answer.refusal is not None:
        raise _refusal(answer.refusal)
    assert answer.outcome is not None and answer.stay is not None
    return json.loads(answer.outcome)["verdict"], answer.stay


async def leave(
    database: Database, sealer: Sealer, keys: CodeKeys, token: Token, sent: VehicleOut, *, environment: str
) -> Departure:
    """A vehicle wants to leave at a tablet (a hot act): the verdict, and the stay. Raises what a tablet is refused.

    Whoever paid and is in time leaves with one call. Otherwise the fee decides, which is counted here; the second call
    looks again at what was settled, and in its transaction a payment that is still asked for is closed.
    """
    said = (*_action(sealer, token, sent, "parking.out"), sent.place, *_named(keys, sent))

    async def decide() -> _Answer:
        answer = _Answer.of(await database.hot(_LEAVE, *said))
        if answer.refusal is None and answer.outcome is None:
            assert answer.stay is not None
            answer = await _leave_for_fee(database, token.operator_id, said, answer.stay, answer.at, environment)
        return answer

    answer = await _once(decide)
    if answer.refusal is not None:
        raise _refusal(answer.refusal)
    assert answer.outcome is not None
    return Departure(json.loads(answer.outcome), answer.stay)


async def _leave_for_fee(
    database: Database, operator_id: UUID, said: tuple[object, ...], stay: StayView, at: datetime, environment: str
) -> _Answer:
    fee_vnd = stay.fee(at).amount_vnd
    async with database.transaction(operator_id) as tx:
        tx.step("stay.left")
        await _lock_charge(tx, stay)
        answer = _Answer.of(await tx.row(_LEAVE_FOR, *said, fee_vnd, at))
        gone = answer.stay
        if answer.outcome is None or gone is None or gone.left_at != at:
            return answer
        if gone.charge_id is not None:
            await payments.release(tx, gone.charge_id, now=at)
        if not fee_vnd and not gone.settled_vnd:
            facts = stays.facts_of(await stays.lot_of(tx, stay), stay, environment, at)
            await payments.note_free(
                tx, purpose=stays.PURPOSE, reference=str(stay.id), means="FREE", facts=facts, now=at
            )
        return answer


async def _lock_charge(tx: Tx, stay: StayView) -> None:
    # Before the stay, in the order in which arriving money takes them.
    if stay.charge_id is not None:
        await payments.find(tx, id=stay.charge_id, lock=True)


def _refusal(named: str) -> Refusal:
    """The refusal that `parking.enter` or `parking.leave` names."""
    if named == "not_parked_here":
        return NotParkedHere()
    return TryOnceMore() if named == TryOnceMore.code else refused(named)


async def _once(act: Callable[[], Awaitable[_Answer]]) -> _Answer:
    """Runs a hot act, and once more if it found taken what was free.

    The same action came twice at once: the first outcome is there now. Or a short form that was drawn (one in 10^13):
    it draws again.
    """
    try:
        return await act()
    except asyncpg.UniqueViolationError as error:
        if error.constraint_name not in ("action_pkey", "stay_short_key"):
            raise
        return await act()


def _action(sealer: Sealer, token: Token, sent: ActionIn, kind: str) -> tuple[object, ...]:
    # A keyed digest: a plain one would let whoever reads the log try all plates.
    digest = sealer.tag(token.operator_id, f"{kind} {sent.model_dump_json()}")
    return token.operator_id, token.hash, sent.id, sent.counter, digest, sent.at


def _named(keys: CodeKeys, sent: VehicleOut) -> tuple[UUID | None, bytes | None, int | None, str | None]:
    """(stay id, serial, place of the code, short form); nothing at all for what is no code of a stay."""
    if sent.code is None:
        return sent.stay_id, None, None, None
    try:
        return None, *read_code(keys, sent.code)
    except (CodeForged, CodeUnreadable, ShortCodeMistyped):
        return None, None, None, None


def read_code(keys: CodeKeys, scanned: str) -> tuple[bytes | None, int | None, str | None]:
    """(serial, its place, None) of a scanned code of a stay, or (None, None, short form) of a typed one.

    Raises CodeForged, CodeUnreadable, ShortCodeMistyped.
    """
    if sum(character.isalnum() for character in scanned) <= 12:
        return None, None, code.read_short(scanned)
    found = keys.verify(scanned)
    if found.kind not in (Kind.STAY, Kind.LEAVE):
        raise CodeUnreadable()
    return found.serial, found.place, None


# --- finding, and notes ----------------------------------------------------------------------------------------------


async def find_standing(tx: Tx, sealer: Sealer, keys: CodeKeys, sent: FindIn) -> list[StayView]:
    """The vehicles that stand at a place under a name: of a plate also what it was perhaps meant to be, or its tail."""
    if sent.plate is not None:
        return await _search_plate(tx, sealer, place=sent.place, plate=plates.read(sent.plate))
    serial, _, short = read_code(keys, sent.code or sent.short or "")
    try:
        found = await stays.find(tx, serial=serial, short=short)
    except NoSuchStay:
        return []
    return [found] if found.place == sent.place and found.left_at is None else []


async def _search_plate(tx: Tx, sealer: Sealer, *, place: int, plate: Plate) -> list[StayView]:
    rows = await tx.rows(
        stays.SELECT + " and s.place = $2 and s.left_at is null and s.vehicle_class = any($3)"
        " and (s.plate_tag = any($4) or s.tail_tag = $5) order by s.entered_at desc limit 20",
        tx.operator_id,
        place,
        [each.value for each in VehicleClass],
        [sealer.tag(tx.operator_id, compact) for compact in (plate.compact, *plate.suggestions)],
        # Of five digits the last four are looked for: whoever asks sees the few vehicles and knows his own.
        stays.tail_tag_of(sealer, tx.operator_id, plates.tail(plate.compact))
        if len(plate.compact) == 4 or (len(plate.compact) == 5 and plate.compact.isdigit())
        else None,
    )
    return [StayView.of(row) for row in rows]


async def take_cash(
    tx: Tx, who: Attendant, sent: CashStayIn, *, keys: CodeKeys, environment: str, now: datetime
) -> dict[str, Any]:
    """Takes notes for what is due, into the attendant's open shift; returns the answer for the tablet.

    A payment that was asked for and is not complete is closed; what arrived of it goes back to its payer. Raises
    PlaceNotYours, NoSuchStay, StayOver, NothingDue, AmountChanged, NoShift, TryOnceMore.
    """
    who.must_work_at(sent.place)
    seen = await stays.find(tx, id=sent.stay_id)
    await _lock_charge(tx, seen)
    stay = await stays.find(tx, id=sent.stay_id, lock=True)
    if stay.place != sent.place:
        raise NoSuchStay()
    if stay.charge_id != seen.charge_id:
        raise TryOnceMore()
    if stay.left_at is not None:
        raise StayOver()
    due_vnd = stay.owing(now).due_vnd
    if not due_vnd:
        raise NothingDue()
    if due_vnd != sent.amount_vnd:
        raise payments.AmountChanged(due_vnd=due_vnd)
    if stay.charge_id is not None:
        await payments.release(tx, stay.charge_id, now=now)
        await tx.execute(
            "update parking.stay set charge_id = null where operator_id = $1 and id = $2", tx.operator_id, stay.id
        )
    line = stays.line_of(await stays.lot_of(tx, stay), stay, due_vnd, environment, now)
    sale = await payments.record_cash(
        tx,
        who,
        lines=[line],
        proxy=sent.proxy,
        return_path=f"/T/{stay.signed(keys)}",
        shift_id=sent.shift,
        now=now,
    )
    settled = await stays.find(tx, id=stay.id)
    assert settled.may_leave_until is not None
    return {
        "receipt_number": sale.receipt_number,
        "amount_vnd": sale.amount_vnd,
        "proxy": sale.proxy,
        "pay": payments.pay_json(sale.pay) if sale.pay else None,
        "may_leave_until": settled.may_leave_until.isoformat(),
    }
