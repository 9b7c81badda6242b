"""A stay: one vehicle at one lot, from the moment it enters until it leaves.

Parking stores facts of its own: through which amount the tariff has been settled, and until when the vehicle may leave.
It never keeps a payment's state. What is due at a moment is the fee until then minus what was settled.

The plate is sealed under its month's key; keyed tags of the whole and of its tail stand beside it, for "one open stay
per plate and class" and for search. A code is made from the row whenever it is shown.
"""

from __future__ import annotations

import hmac
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import SystemRandom
from typing import Any, Literal, NamedTuple, Self
from uuid import UUID

from sqlalchemy import BigInteger, LargeBinary, SmallInteger
from sqlmodel import CheckConstraint, Field, ForeignKeyConstraint, Index, SQLModel, UniqueConstraint
from sqlmodel import text as sql

import payments
from foundation import code, idempotency
from foundation.clock import hanoi, hanoi_day
from foundation.code import CodeKeys, TicketCode
from foundation.database import Tx
from foundation.errors import NotFound, Refusal
from foundation.operator import NoSuchPlace
from foundation.seal import Erased, Sealer
from foundation.tables import domain, instant, keys, new_id, octets, owner_key
from parking import plate as plates
from parking import tariff
from parking.lot import LotView, lots_at, rule_of
from parking.plate import Plate, VehicleClass
from parking.tariff import Fee
from payments import ChargeView, Explanation, Facts, GivenBackLine, Line, PaidLine

PURPOSE = "parking.stay"
HOLDS = timedelta(minutes=10)
"""How long an amount that was shown for payment is good."""

SEARCHED_MAX, FOUND_MAX = 50_000, 20
draw = SystemRandom()
_PLATE = "stay.plate"


class Stay(SQLModel, table=True):
    """`settled_vnd`: the tariff is settled through this amount. `serial` stands in the codes, `short` is typed.

    `entered_device_id`: the tablet at which it was entered; without one a visitor said himself that he came.
    `counted`: it takes a space of the lot. What a visitor says from wherever he is takes none until it is paid or an
    attendant enters the vehicle. `charge_id`: the payment that is asked for and not yet complete.
    """

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
        Index(
            "stay_visitor_idx",
            *keys("place", "plate_tag"),
            unique=True,
            postgresql_where=sql("left_at is null and plate_tag is not null and entered_device_id is null"),
        ),
        # A day's vehicles among years of them; costs a stay next to nothing.
        Index("stay_day_idx", "entered_at", "left_at", postgresql_using="brin"),
        Index("stay_tail_idx", *keys("place", "tail_tag"), postgresql_where=sql("left_at is null")),
        # Few and short: every insert and every update of whatever column reads them all anew.
        CheckConstraint("num_nulls(plate_sealed, plate_tag, tail_tag) in (0, 3)", name="plate"),
        CheckConstraint("left_at >= entered_at", name="left"),
        {"schema": "parking"},
    )
    operator_id: UUID = owner_key(implied=True)
    id: UUID = Field(primary_key=True)
    place: int
    vehicle_class: int = Field(sa_type=SmallInteger)
    tariff: int
    plate_sealed: bytes | None = octets(default=None, nullable=True)
    plate_tag: bytes | None = octets(default=None, nullable=True)
    tail_tag: bytes | None = octets(default=None, nullable=True)
    serial: bytes = Field(sa_type=domain("parking.stay_serial", LargeBinary, check="octet_length(value) = 10"))
    short: str
    entered_at: datetime = instant()
    entered_device_id: UUID | None = None
    counted: bool = Field(default=True, sa_column_kwargs={"server_default": sql("true")})
    settled_vnd: int = Field(default=0, sa_type=domain("parking.settled_vnd", BigInteger, check="value >= 0"))
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


class StandsAsAnother(Refusal):
    """This plate already stands here as another kind of vehicle; please ask the attendant."""


class TryOnceMore(Refusal):
    """That did not work out this time; please try once more."""


@dataclass(frozen=True, slots=True)
class Owing:
    """What a stay costs at one moment: the whole fee, what of it is still due, and until when that stays so."""

    fee: Fee
    due_vnd: int
    same_until: datetime | None


class StayView(NamedTuple):
    """A stay as pages and tablets need it; `rule` is the tariff row's JSON text of its day of entry."""

    id: UUID
    place: int
    vehicle_class: VehicleClass
    tariff: int
    rule: str
    entered_at: datetime
    entered_device_id: UUID | None
    serial: bytes
    short: str
    plate_sealed: bytes | None
    settled_vnd: int
    may_leave_until: datetime | None
    left_at: datetime | None
    charge_id: UUID | None

    @classmethod
    def of(cls, row: Iterable[Any]) -> Self:
        """A stay of a row whose columns are these fields, in this order."""
        id, place, vehicle_class, *facts = row
        return cls(id, place, VehicleClass(vehicle_class), *facts)

    @property
    def begun_by(self) -> Literal["visitor", "attendant"]:
        """Who said that it came: nobody of ours has looked at what a visitor typed."""
        return "visitor" if self.entered_device_id is None else "attendant"

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


@dataclass(frozen=True, slots=True)
class SealedPlate:
    """A plate as it is stored: sealed, with the tags of the whole and of its tail; or three times nothing."""

    sealed: bytes | None = None
    tag: bytes | None = None
    tail_tag: bytes | None = None

    @property
    def columns(self) -> tuple[bytes | None, bytes | None, bytes | None]:
        return self.sealed, self.tag, self.tail_tag


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
) -> tuple[StayView, bool]:
    """The open stay of that plate and class at this lot, or a new one from now on; and whether this form began it.

    Only whoever began a stay may see its code: a plate is known to anybody who sees the vehicle. `key` is the form's:
    sent twice, it is one stay also for a vehicle without a plate. A new stay takes no space yet, so that nobody fills a
    lot from his sofa. Raises NotParkedHere, StandsAsAnother, KeyUsedForAnother, StillRunning.
    """
    named = {"principal": "visitor", "route": PURPOSE, "key": key}
    asked = f"{lot.place.number} {vehicle_class} {plate.compact if plate else ''}"
    known = await idempotency.stored(tx, **named, digest=sealer.tag(tx.operator_id, asked))
    if known is not None:
        return await find(tx, id=UUID(known["stay_id"])), known["own"]
    tx.step("stay.begun")
    drawn, sealed = new_id(), seal_plate(sealer, tx.operator_id, plate, month=month)
    began: UUID | None = await tx.value(
        "select parking.begin_stay($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        tx.operator_id,
        drawn,
        lot.place.number,
        vehicle_class.value,
        lot.tariff_on(hanoi_day(now), vehicle_class).number,
        os.urandom(10),
        code.draw_short(draw),
        *sealed.columns,
        now,
    )
    if began in (drawn, None) and await _stands_as_another(tx, lot.place.number, vehicle_class, sealed.tag):
        raise StandsAsAnother()
    if began is None:
        raise TryOnceMore()
    own = began == drawn
    await idempotency.store(tx, **named, answer={"stay_id": str(began), "own": own})
    return await find(tx, id=began), own


async def _stands_as_another(tx: Tx, place: int, vehicle_class: VehicleClass, plate_tag: bytes | None) -> bool:
    # For the attendant, who sees it, one plate may be two vehicles; a visitor could choose the cheaper one.
    found: bool = await tx.value(
        "select exists (select from parking.stay where operator_id = $1 and place = $2 and vehicle_class <> $3"
        " and plate_tag = $4 and left_at is null)",
        tx.operator_id,
        place,
        vehicle_class.value,
        plate_tag,
    )
    return found


async def stands(tx: Tx, sealer: Sealer, *, place: int, plate: Plate, vehicle_class: VehicleClass) -> bool:
    """Whether a vehicle of exactly that plate and class stands at a place."""
    found: bool = await tx.value(
        "select exists (select from parking.stay where operator_id = $1 and place = $2 and vehicle_class = $3"
        " and plate_tag = $4 and left_at is null)",
        tx.operator_id,
        place,
        vehicle_class.value,
        sealer.tag(tx.operator_id, plate.compact),
    )
    return found


def public_name(sealer: Sealer, operator_id: UUID, stay_id: UUID) -> str:
    """The name of a stay's page for whoever knows its plate: it says and takes what is due, and opens nothing."""
    return f"{stay_id.hex}-{sealer.tag(operator_id, f'view {stay_id.hex}').hex()}"


async def find_public(tx: Tx, sealer: Sealer, *, place: int, name: str) -> StayView:
    """The stay at that place behind a name that `public_name` made. Raises NoSuchStay."""
    if re.fullmatch("[0-9a-f]{32}-[0-9a-f]{32}", name) is None:
        raise NoSuchStay()
    stay_id = UUID(name[:32])
    if not hmac.compare_digest(name, public_name(sealer, tx.operator_id, stay_id)):
        raise NoSuchStay()
    stay = await find(tx, id=stay_id)
    if stay.place != place:
        raise NoSuchStay()
    return stay


async def ask_payment(tx: Tx, stay_id: UUID, *, return_path: str, environment: str, now: datetime) -> ChargeView | None:
    """A charge over what is due now, good for ten minutes; None if nothing is due. Raises NoSuchStay, StayOver.

    While a charge of the same amount holds, or has been paid in part, it is the one: two clicks are one charge. It
    leads back to the page that asked first, which is then perhaps not `return_path`.
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
        lines=[line_of(await lot_of(tx, stay), stay, due_vnd, environment, now)],
        holds=HOLDS,
        return_path=return_path,
        now=now,
    )
    await tx.execute(
        "update parking.stay set charge_id = $3 where operator_id = $1 and id = $2", tx.operator_id, stay.id, owed.id
    )
    return owed


async def paid(tx: Tx, line: PaidLine) -> None:
    """Money for a stay was applied: its tariff is settled further, and it may leave for the lot's grace time.

    The time counts from the bank's time of payment. A payment after its amount stopped holding opens the way out only
    if it covers the fee of its own time; the rest is due at the exit. Raises StayOver, and NothingDue if the tariff was
    settled meanwhile so that this would be more than the fee (two people paid): then the money goes back.
    """
    stay = await find(tx, id=UUID(line.reference), lock=True)
    if stay.left_at is not None:
        raise StayOver()
    # A bank's clock may be some seconds off; nobody pays before he came and was asked, or after we have heard of it.
    at = min(max(line.paid_at, stay.entered_at, line.charged_at), line.now)
    fee_vnd = stay.fee(at).amount_vnd
    settled_vnd = stay.settled_vnd + line.amount_vnd
    if settled_vnd > fee_vnd:
        raise NothingDue()
    in_time = line.paid_at <= line.holds_until or settled_vnd >= fee_vnd
    await tx.execute(
        "update parking.stay s set settled_vnd = $3, charge_id = nullif(s.charge_id, $6),"
        "   may_leave_until = case when $4 then"
        "   greatest(s.may_leave_until, $5::timestamptz + l.grace_minutes * interval '1 minute')"
        "   else s.may_leave_until end"
        " from parking.lot l"
        " where s.operator_id = $1 and s.id = $2 and l.operator_id = s.operator_id and l.place = s.place",
        tx.operator_id,
        stay.id,
        settled_vnd,
        in_time,
        at,
        line.charge_id,
    )
    await tx.execute("select parking.count_in($1, $2)", tx.operator_id, stay.id)


async def given_back(tx: Tx, line: GivenBackLine) -> datetime:
    """Money for a stay is given back as a whole: what it settled is due again, and it may not leave on it any more.

    For a vehicle that has left it is money only.
    """
    stay = await find(tx, id=UUID(line.reference), lock=True)
    await tx.execute(
        "update parking.stay set settled_vnd = greatest(0, settled_vnd - $3), may_leave_until = null"
        " where operator_id = $1 and id = $2 and left_at is null",
        tx.operator_id,
        stay.id,
        line.amount_vnd,
    )
    return line.now


async def used(tx: Tx, reference: str) -> bool:
    """Whether the vehicle of a stay has left."""
    return (await find(tx, id=UUID(reference))).left_at is not None


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


async def search(tx: Tx, sealer: Sealer, typed: str) -> list[str]:
    """The stays whose code or short form was typed; of the newest also by the short form's last half, by plate and by the
    last four of a plate (an index knows only those that stand here now)."""
    serial, short, half = code.sought(typed)
    compact = plates.normalise(typed[: plates.TYPED_MAX])
    tail = tail_tag_of(sealer, tx.operator_id, compact) if len(compact) == 4 else None
    whole = sealer.tag(tx.operator_id, compact) if 4 < len(compact) <= plates.COMPACT_MAX else None
    rows = await tx.rows(
        "select id from parking.stay where operator_id = $1 and (serial = $2 or short = $3)"
        " union"
        " select id from (select * from parking.stay where operator_id = $1 order by id desc limit $7) newest"
        "   where tail_tag = $4 or plate_tag = $5 or right(short, 5) = $6"
        " order by id desc limit $8",
        tx.operator_id,
        serial,
        short,
        tail,
        whole,
        half,
        SEARCHED_MAX,
        FOUND_MAX,
    )
    return [str(row["id"]) for row in rows]


# --- finding and plates ----------------------------------------------------------------------------------------------

SELECT = (
    "select s.id, s.place, s.vehicle_class, s.tariff, t.rule, s.entered_at, s.entered_device_id, s.serial, s.short,"
    " s.plate_sealed, s.settled_vnd, s.may_leave_until, s.left_at, s.charge_id"
    " from parking.stay s join parking.tariff_row t"
    " on t.operator_id = s.operator_id and t.place = s.place and t.number = s.tariff"
    " where s.operator_id = $1"
)


async def find(
    tx: Tx, *, id: UUID | None = None, serial: bytes | None = None, short: str | None = None, lock: bool = False
) -> StayView:
    """A stay of this operator by one of its names. Raises NoSuchStay."""
    row = await tx.row(
        SELECT + " and (s.id = $2 or s.serial = $3 or s.short = $4)" + (" for update of s" if lock else ""),
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
        tail_tag_of(sealer, operator_id, plates.tail(plate.compact)),
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


def tail_tag_of(sealer: Sealer, operator_id: UUID, tail: str) -> bytes:
    """The keyed tag of the last four characters of a plate."""
    # Told apart from whole plates, which may be as short as a tail.
    return sealer.tag(operator_id, "tail " + tail)


async def lot_of(tx: Tx, stay: StayView) -> LotView:
    """The lot where a stay is."""
    found = await lots_at(tx, [stay.place])
    if not found:
        raise NoSuchPlace(place=str(stay.place))
    return found[0]


def facts_of(lot: LotView, stay: StayView, environment: str, now: datetime) -> Facts:
    """What the statistics are made of."""
    return Facts(
        service="parking",
        place=stay.place,
        ward=lot.place.ward,
        class_=stay.vehicle_class.word,
        service_day=hanoi_day(now),
        environment=environment,
    )


def line_of(lot: LotView, stay: StayView, amount_vnd: int, environment: str, now: datetime) -> Line:
    """A stay as a line of a charge."""
    return Line(PURPOSE, str(stay.id), amount_vnd, facts_of(lot, stay, environment, now))
