"""A stay: one vehicle at one lot, from the moment it enters until it leaves.

Parking stores facts of its own: through which amount the tariff has been settled, and until when the vehicle may leave.
It never keeps a payment's state. What is due at a moment is the fee until then minus what was settled.

The plate is sealed under its month's key; keyed tags of the whole and of its tail stand beside it, for "one open stay
per plate and class" and for search. A code is made from the row whenever it is shown.
"""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import SystemRandom
from typing import Any, Literal, Self
from uuid import UUID

import asyncpg
from pydantic import Field as Said
from pydantic import model_validator
from sqlalchemy import BigInteger, SmallInteger
from sqlmodel import CheckConstraint, Field, ForeignKeyConstraint, Index, SQLModel, UniqueConstraint
from sqlmodel import text as sql

import payments
from foundation import code, idempotency
from foundation.clock import hanoi, hanoi_day
from foundation.code import CodeForged, CodeKeys, CodeUnreadable, Kind, ShortCodeMistyped, TicketCode
from foundation.database import Database, Tx
from foundation.device import ActionIn, Attendant, refused
from foundation.errors import NotFound, Refusal
from foundation.operator import NoSuchPlace
from foundation.seal import Erased, Sealer
from foundation.staff import Token
from foundation.tables import instant, keys, new_id, octets, owner_key
from parking import plate as plates
from parking import tariff
from parking.lot import LotFull, LotView, NotParkedHere, lots_at, rule_of
from parking.plate import Plate, VehicleClass
from parking.tariff import Fee
from payments import ChargeView, Explanation, Facts, Line, PaidLine

PURPOSE = "parking.stay"
HOLDS = timedelta(minutes=10)
"""How long an amount that was shown for payment is good."""

_draw = SystemRandom()
_PLATE = "stay.plate"


class Stay(SQLModel, table=True):
    """`settled_vnd`: the tariff is settled through this amount. `serial` stands in the codes, `short` is typed."""

    __tablename__ = "stay"
    __table_args__ = (
        ForeignKeyConstraint(
            keys("place", "tariff"),
            ["parking.tariff_row.operator_id", "parking.tariff_row.place", "parking.tariff_row.number"],
            name="stay_tariff_fkey",
        ),
        UniqueConstraint(*keys("serial"), name="stay_serial_key"),
        UniqueConstraint(*keys("short"), name="stay_short_key"),
        Index(
            "stay_open_idx",
            *keys("place", "vehicle_class", "plate_tag"),
            unique=True,
            postgresql_where=sql("left_at is null and plate_tag is not null"),
        ),
        Index("stay_tail_idx", *keys("place", "tail_tag"), postgresql_where=sql("left_at is null")),
        CheckConstraint("(plate_sealed is null) = (plate_tag is null)", name="plate"),
        CheckConstraint("(plate_tag is null) = (tail_tag is null)", name="tail"),
        CheckConstraint("octet_length(serial) = 10", name="serial"),
        CheckConstraint("entered_by in ('device', 'visitor')", name="entered_by"),
        CheckConstraint("(entered_by = 'device') = (entered_device_id is not null)", name="entered_device"),
        CheckConstraint("settled_vnd >= 0", name="settled"),
        CheckConstraint("left_at >= entered_at", name="left"),
        {"schema": "parking"},
    )
    operator_id: UUID = owner_key()
    id: UUID = Field(primary_key=True)
    place: int
    vehicle_class: int = Field(sa_type=SmallInteger)
    tariff: int
    plate_sealed: bytes | None = octets(default=None, nullable=True)
    plate_tag: bytes | None = octets(default=None, nullable=True)
    tail_tag: bytes | None = octets(default=None, nullable=True)
    serial: bytes = octets()
    short: str
    entered_at: datetime = instant()
    entered_by: str
    entered_device_id: UUID | None = None
    settled_vnd: int = Field(default=0, sa_type=BigInteger)
    may_leave_until: datetime | None = instant(default=None)
    left_at: datetime | None = instant(default=None)
    left_device_id: UUID | None = None
    charge_id: UUID | None = None


class NoSuchStay(NotFound):
    """There is no such stay at this lot."""


class StayOver(Refusal):
    """This vehicle has already left."""


class NothingDue(Refusal):
    """Nothing is due for this stay at the moment."""


class TryOnceMore(Refusal):
    """That did not work out this time; please try once more."""


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
    """Notes for a stay; `amount_vnd` is what the tablet showed. `proxy`: the attendant makes the transfer himself."""

    place: int = Said(ge=1, le=0xFFFFFF)
    stay_id: UUID = Said(strict=False)
    amount_vnd: int = Said(ge=1, le=499_999_999)
    proxy: bool = False


@dataclass(frozen=True, slots=True)
class Owing:
    """What a stay costs at one moment: the whole fee, what of it is still due, and until when that stays so."""

    fee: Fee
    due_vnd: int
    same_until: datetime | None


@dataclass(frozen=True, slots=True)
class StayView:
    """A stay as pages and tablets need it; `rule` is the tariff row's JSON text of its day of entry."""

    id: UUID
    place: int
    vehicle_class: VehicleClass
    tariff: int
    rule: str
    entered_at: datetime
    serial: bytes
    short: str
    plate_sealed: bytes | None
    settled_vnd: int
    may_leave_until: datetime | None
    left_at: datetime | None
    charge_id: UUID | None

    @classmethod
    def of(cls, row: Any) -> Self:
        facts = {name: row[name] for name in _FACTS}
        return cls(**(facts | {"vehicle_class": VehicleClass(row["vehicle_class"])}))

    @property
    def spoken(self) -> str:
        """The short form as it is read out and typed: `ABCDE FGHJK`."""
        return code.format_short(self.short)

    def fee(self, at: datetime) -> Fee:
        """What the stay costs until `at`, or until it left."""
        until = max(self.left_at or at, self.entered_at)
        return tariff.fee(rule_of(self.rule), entered_at=self.entered_at, left_at=until)

    def may_leave(self, at: datetime) -> bool:
        """Whether it is paid and still within its grace time."""
        return self.may_leave_until is not None and at <= self.may_leave_until

    def owing(self, at: datetime) -> Owing:
        """What it costs at a moment, and what of that is due. Nothing is due of a vehicle that left or may leave."""
        counted = self.fee(at)
        if self.left_at is not None:
            return Owing(counted, 0, None)
        if self.may_leave(at):
            return Owing(counted, 0, self.may_leave_until)
        until = tariff.next_change(rule_of(self.rule), entered_at=self.entered_at, at=max(at, self.entered_at))
        return Owing(counted, max(0, counted.amount_vnd - self.settled_vnd), until)

    def signed(self, keys: CodeKeys) -> str:
        """The 48 characters of the code that the visitor keeps while the vehicle stands."""
        entered = hanoi(self.entered_at)
        return keys.sign(
            TicketCode.stay(
                generation=keys.generation,
                place=self.place,
                day=entered.date(),
                vehicle_class=self.vehicle_class,
                entry_minute=entered.hour * 60 + entered.minute,
                product=self.tariff,
                serial=self.serial,
            )
        )

    def signed_leave(self, keys: CodeKeys) -> str:
        """The 48 characters of the code by which a tablet that is cut off sees that the stay is paid."""
        assert self.may_leave_until is not None
        until = hanoi(self.may_leave_until)
        return keys.sign(
            TicketCode.leave(
                generation=keys.generation,
                place=self.place,
                day=until.date(),
                until_minute=until.hour * 60 + until.minute,
                product=self.tariff,
                serial=self.serial,
            )
        )


_FACTS = tuple(StayView.__dataclass_fields__)


@dataclass(frozen=True, slots=True)
class SealedPlate:
    """A plate as it is stored: sealed, with the tags of the whole and of its tail; or three times nothing."""

    sealed: bytes | None = None
    tag: bytes | None = None
    tail_tag: bytes | None = None


@dataclass(frozen=True, slots=True)
class Departure:
    """What became of a vehicle's wish to leave: `outcome` as first stored, and the stay if there is one here."""

    outcome: dict[str, Any]
    stay: StayView | None


# --- in and out, at a tablet -----------------------------------------------------------------------------------------

_ENTER = "select * from parking.enter($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)"
_LEAVE = "select * from parking.leave($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
_LEAVE_FOR = "select * from parking.leave($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"


async def enter(
    database: Database, sealer: Sealer, token: Token, sent: VehicleIn, *, month: int
) -> tuple[str, StayView]:
    """A vehicle comes in at a tablet (a hot act): (`in` or `already_in`, its stay).

    `month` is what the plate is sealed under. Raises what a tablet is refused, NotParkedHere, LotFull, PlateEmpty,
    PlateTooLong.
    """
    read = None if sent.plate is None else plates.read(sent.plate)
    sealed = seal_plate(sealer, token.operator_id, read, month=month)
    said = (*_action(sealer, token, sent, "parking.in"), sent.place, VehicleClass.of(sent.vehicle_class).value)

    async def attempt() -> Any:
        return await database.hot(_ENTER, *said, new_id(), os.urandom(10), code.draw_short(_draw), *_columns(sealed))

    row = await _once(attempt)
    if row["refusal"] == "draw_again":
        row = await _once(attempt)
    if row["refusal"] is not None:
        raise _refusal(row["refusal"])
    return json.loads(row["outcome"])["verdict"], StayView.of(row)


async def leave(
    database: Database, sealer: Sealer, keys: CodeKeys, token: Token, sent: VehicleOut, *, environment: str
) -> Departure:
    """A vehicle wants to leave at a tablet (a hot act): the verdict, and the stay. Raises what a tablet is refused.

    Whoever paid and is in time leaves with one call. Otherwise the fee decides, which is counted here; the second call
    looks again at what was settled.
    """
    said = (*_action(sealer, token, sent, "parking.out"), sent.place, *_named(keys, sent))

    async def decide() -> Any:
        row = await database.hot(_LEAVE, *said)
        if row["refusal"] is None and row["outcome"] is None:
            row = await _leave_for_fee(database, token.operator_id, said, StayView.of(row), row["at"], environment)
        return row

    row = await _once(decide)
    if row["refusal"] is not None:
        raise _refusal(row["refusal"])
    return Departure(json.loads(row["outcome"]), None if row["id"] is None else StayView.of(row))


async def _leave_for_fee(
    database: Database, operator_id: UUID, said: tuple[object, ...], stay: StayView, at: datetime, environment: str
) -> Any:
    fee_vnd = stay.fee(at).amount_vnd
    async with database.transaction(operator_id) as tx:
        row = await tx.row(_LEAVE_FOR, *said, fee_vnd, at)
        assert row is not None
        if row["outcome"] is not None and not fee_vnd and not row["settled_vnd"] and row["left_at"] == at:
            lot = await _lot(tx, stay.place)
            facts = _facts(lot, stay, environment, at)
            await payments.note_free(tx, purpose=PURPOSE, reference=str(stay.id), means="FREE", facts=facts, now=at)
        return row


def _refusal(named: str) -> Refusal:
    """The refusal that `parking.enter` or `parking.leave` names."""
    if named == "not_parked_here":
        return NotParkedHere()
    return TryOnceMore() if named == "draw_again" else refused(named)


async def _once(act: Callable[[], Awaitable[Any]]) -> Any:
    """Runs a hot act. If the same action came twice at once, it runs again: the first outcome is there now."""
    try:
        return await act()
    except asyncpg.UniqueViolationError as error:
        if error.constraint_name != "action_pkey":
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


# --- the visitor's own act -------------------------------------------------------------------------------------------


async def begin(
    tx: Tx,
    sealer: Sealer,
    lot: LotView,
    *,
    vehicle_class: VehicleClass,
    plate: Plate | None,
    month: int,
    key: str,
    now: datetime,
) -> StayView:
    """The open stay of that plate and class at this lot, or a new one that begins now.

    `key` is the form's: sent twice, it is one stay also for a vehicle without a plate. Raises NotParkedHere, LotFull,
    KeyUsedForAnother, StillRunning.
    """
    named = {"principal": "visitor", "route": PURPOSE, "key": key}
    asked = f"{lot.place.number} {vehicle_class} {plate.compact if plate else ''}"
    known = await idempotency.stored(tx, **named, digest=sealer.tag(tx.operator_id, asked))
    if known is not None:
        return await find(tx, id=UUID(known["stay_id"]))
    drawn = new_id()
    began: UUID | None = await tx.value(
        "select id from parking.begin_stay($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'visitor', null, $11)",
        tx.operator_id,
        drawn,
        lot.place.number,
        vehicle_class.value,
        lot.tariff_on(hanoi_day(now), vehicle_class).number,
        os.urandom(10),
        code.draw_short(_draw),
        *_columns(seal_plate(sealer, tx.operator_id, plate, month=month)),
        now,
    )
    if began is None:
        raise TryOnceMore()
    stay = await find(tx, id=began)
    await idempotency.store(tx, **named, answer={"stay_id": str(began)})
    if began == drawn and not await tx.value(
        "update parking.lot set occupied = occupied + 1 where operator_id = $1 and place = $2 and occupied < capacity"
        " returning true",
        tx.operator_id,
        lot.place.number,
    ):
        raise LotFull()
    return stay


async def open_stay_of(
    tx: Tx, sealer: Sealer, *, place: int, plate: Plate, vehicle_class: VehicleClass
) -> StayView | None:
    """The open stay of exactly that plate and class at a place."""
    row = await tx.row(
        _SELECT + " and s.place = $2 and s.vehicle_class = $3 and s.plate_tag = $4 and s.left_at is null",
        tx.operator_id,
        place,
        vehicle_class.value,
        sealer.tag(tx.operator_id, plate.compact),
    )
    return None if row is None else StayView.of(row)


async def search_open(tx: Tx, sealer: Sealer, *, place: int, plate: Plate) -> list[StayView]:
    """The open stays at a place whose plate is this one, or one it was perhaps meant to be, or ends in these four."""
    rows = await tx.rows(
        _SELECT + " and s.place = $2 and s.left_at is null and s.vehicle_class = any($3)"
        " and (s.plate_tag = any($4) or s.tail_tag = $5) order by s.entered_at desc limit 20",
        tx.operator_id,
        place,
        [each.value for each in VehicleClass],
        [sealer.tag(tx.operator_id, compact) for compact in (plate.compact, *plate.suggestions)],
        _tail_tag(sealer, tx.operator_id, plate.compact) if len(plate.compact) == 4 else None,
    )
    return [StayView.of(row) for row in rows]


async def ask_payment(tx: Tx, stay_id: UUID, *, keys: CodeKeys, environment: str, now: datetime) -> ChargeView | None:
    """A charge over what is due now, good for ten minutes; None if nothing is due. Raises NoSuchStay, StayOver.

    While a charge of the same amount holds, or has been paid in part, it is the one: two clicks are one charge.
    """
    stay = await find(tx, id=stay_id, lock=True)
    if stay.left_at is not None:
        raise StayOver()
    before = None if stay.charge_id is None else await payments.find(tx, id=stay.charge_id)
    if before is not None and before.state == "partial":
        return before
    due_vnd = stay.owing(now).due_vnd
    if not due_vnd:
        return None
    if before is not None and before.state == "open" and before.amount_vnd == due_vnd and now < before.holds_until:
        return before
    owed = await payments.charge(
        tx,
        lines=[_line(await _lot(tx, stay.place), stay, due_vnd, environment, now)],
        holds=HOLDS,
        return_path=f"/T/{stay.signed(keys)}",
        now=now,
    )
    await tx.execute(
        "update parking.stay set charge_id = $3 where operator_id = $1 and id = $2", tx.operator_id, stay.id, owed.id
    )
    return owed


async def take_cash(
    tx: Tx, who: Attendant, sent: CashStayIn, *, keys: CodeKeys, environment: str, now: datetime
) -> dict[str, Any]:
    """Takes notes for what is due, into the attendant's open shift; returns the answer for the tablet.

    Raises PlaceNotYours, NoSuchStay, StayOver, NothingDue, AmountChanged, NoShift.
    """
    who.must_work_at(sent.place)
    stay = await find(tx, id=sent.stay_id, lock=True)
    if stay.place != sent.place:
        raise NoSuchStay()
    if stay.left_at is not None:
        raise StayOver()
    due_vnd = stay.owing(now).due_vnd
    if not due_vnd:
        raise NothingDue()
    if due_vnd != sent.amount_vnd:
        raise payments.AmountChanged(due_vnd=due_vnd)
    line = _line(await _lot(tx, stay.place), stay, due_vnd, environment, now)
    sale = await payments.record_cash(
        tx, who, lines=[line], proxy=sent.proxy, return_path=f"/T/{stay.signed(keys)}", now=now
    )
    settled = await find(tx, id=stay.id)
    assert settled.may_leave_until is not None
    return {
        "receipt_number": sale.receipt_number,
        "amount_vnd": sale.amount_vnd,
        "proxy": sale.proxy,
        "pay": payments.pay_json(sale.pay) if sale.pay else None,
        "may_leave_until": settled.may_leave_until.isoformat(),
    }


async def paid(tx: Tx, line: PaidLine) -> None:
    """Money for a stay was applied: its tariff is settled further, and it may leave for the lot's grace time.

    The time counts from the bank's time of payment. A payment after its amount stopped holding opens the way out only
    if it covers the fee of its own time; the rest is due at the exit. Raises StayOver and NothingDue (somebody else
    paid meanwhile): then the money goes back.
    """
    stay = await find(tx, id=UUID(line.reference), lock=True)
    if stay.left_at is not None:
        raise StayOver()
    # A bank's clock may be some seconds off; nobody pays before entering or after we have heard of it.
    at = min(max(line.paid_at, stay.entered_at), line.now)
    fee_vnd = stay.fee(at).amount_vnd
    if fee_vnd <= stay.settled_vnd:
        raise NothingDue()
    settled_vnd = stay.settled_vnd + line.amount_vnd
    in_time = line.paid_at <= line.holds_until or settled_vnd >= fee_vnd
    await tx.execute(
        "update parking.stay s set settled_vnd = $3, may_leave_until = case when $4 then"
        "   greatest(s.may_leave_until, $5::timestamptz + l.grace_minutes * interval '1 minute')"
        "   else s.may_leave_until end"
        " from parking.lot l"
        " where s.operator_id = $1 and s.id = $2 and l.operator_id = s.operator_id and l.place = s.place",
        tx.operator_id,
        stay.id,
        settled_vnd,
        in_time,
        at,
    )


async def describe(tx: Tx, references: Sequence[str]) -> dict[str, Explanation]:
    """What stays were, in a sentence; by their short code, since a plate is opened only where it is needed."""
    rows = await tx.rows(
        "select s.id, s.short, s.entered_at, s.left_at, s.plate_tag is null as bare, p.name_vi, p.name_en,"
        " t.name_vi as class_vi, t.name_en as class_en from parking.stay s"
        " join foundation.place p on p.operator_id = s.operator_id and p.number = s.place"
        " join parking.tariff_row t on (t.operator_id, t.place, t.number) = (s.operator_id, s.place, s.tariff)"
        " where s.operator_id = $1 and s.id = any($2)",
        tx.operator_id,
        [UUID(reference) for reference in references],
    )
    explained = {}
    for row in rows:
        entered, left = f"{hanoi(row['entered_at']):%d/%m/%Y %H:%M}", row["left_at"]
        span = entered + (f" – {hanoi(left):%d/%m/%Y %H:%M}" if left else "")
        short = code.format_short(row["short"])
        explained[str(row["id"])] = Explanation(
            vi=f"{row['name_vi']}: {row['class_vi']}{', không biển số' if row['bare'] else ''}, mã {short}, {span}",
            en=f"{row['name_en']}: {row['class_en']}{', no plate' if row['bare'] else ''}, code {short}, {span}",
        )
    return explained


# --- finding and plates ----------------------------------------------------------------------------------------------

_SELECT = (
    "select s.id, s.place, s.vehicle_class, s.tariff, t.rule, s.entered_at, s.serial, s.short, s.plate_sealed,"
    " s.settled_vnd, s.may_leave_until, s.left_at, s.charge_id"
    " from parking.stay s join parking.tariff_row t"
    " on t.operator_id = s.operator_id and t.place = s.place and t.number = s.tariff"
    " where s.operator_id = $1"
)


async def find(
    tx: Tx, *, id: UUID | None = None, serial: bytes | None = None, short: str | None = None, lock: bool = False
) -> StayView:
    """A stay of this operator by one of its names. Raises NoSuchStay."""
    row = await tx.row(
        _SELECT + " and (s.id = $2 or s.serial = $3 or s.short = $4)" + (" for update of s" if lock else ""),
        tx.operator_id,
        id,
        serial,
        short,
    )
    if row is None:
        raise NoSuchStay()
    return StayView.of(row)


def seal_plate(sealer: Sealer, operator_id: UUID, plate: Plate | None, *, month: int) -> SealedPlate:
    """A plate as it is stored; `month` is from `Sealer.ready`."""
    if plate is None:
        return SealedPlate()
    return SealedPlate(
        sealer.seal(plate.compact, month=month, context=_PLATE),
        sealer.tag(operator_id, plate.compact),
        _tail_tag(sealer, operator_id, plates.tail(plate.compact)),
    )


async def plate_of(sealer: Sealer, stay: StayView) -> str | None:
    """The compact plate, None for a vehicle without one, stars once its month was erased."""
    if stay.plate_sealed is None:
        return None
    try:
        return await sealer.open(stay.plate_sealed, context=_PLATE)
    except Erased:
        return "***"


def hint(compact: str) -> str:
    """The little of a plate that a visitor's page shows: its last three characters, if more than three are hidden."""
    return "•••" + (compact[-3:] if len(compact) > 5 else "")


def _tail_tag(sealer: Sealer, operator_id: UUID, tail: str) -> bytes:
    # Told apart from whole plates, which may be as short as a tail.
    return sealer.tag(operator_id, "tail " + tail)


def _columns(plate: SealedPlate) -> tuple[bytes | None, bytes | None, bytes | None]:
    return plate.sealed, plate.tag, plate.tail_tag


async def _lot(tx: Tx, place: int) -> LotView:
    found = await lots_at(tx, [place])
    if not found:
        raise NoSuchPlace(place=str(place))
    return found[0]


def _facts(lot: LotView, stay: StayView, environment: str, now: datetime) -> Facts:
    return Facts(
        service="parking",
        place=stay.place,
        ward=lot.place.ward,
        class_=stay.vehicle_class.word,
        service_day=hanoi_day(now),
        environment=environment,
    )


def _line(lot: LotView, stay: StayView, amount_vnd: int, environment: str, now: datetime) -> Line:
    return Line(PURPOSE, str(stay.id), amount_vnd, _facts(lot, stay, environment, now))
