"""A parking lot: how many vehicles it takes, of which classes, at which dated tariff.

A tariff row has a number of its own at its lot. The number stands in every code of a stay that began under it, so a
stay is counted by the rule of its day of entry, however often prices change while it stands.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from itertools import groupby
from typing import Any
from uuid import UUID

from sqlalchemy import Integer, SmallInteger
from sqlmodel import CheckConstraint, Field, ForeignKeyConstraint, SQLModel

from foundation import dated
from foundation.database import Database, Tx
from foundation.errors import Refusal
from foundation.operator import NoSuchPlace, PlaceView, add_place, place_by_code
from foundation.tables import document, domain, keys, owner_key
from parking.plate import VehicleClass
from parking.tariff import Rule, rule_from_json


class Lot(SQLModel, table=True):
    """A place where vehicles stand. `occupied` counts the open stays that take a space; the row that all wait for."""

    __tablename__ = "lot"
    __table_args__ = (
        ForeignKeyConstraint(
            keys("place"), ["foundation.place.operator_id", "foundation.place.number"], name="lot_place_fkey"
        ),
        CheckConstraint("occupied >= 0", name="not_below_empty"),
        CheckConstraint("occupied <= capacity", name="not_above_capacity"),
        {"schema": "parking"},
    )
    operator_id: UUID = owner_key()
    place: int = Field(primary_key=True)
    capacity: int = Field(sa_type=domain("parking.capacity", Integer, check="value > 0"))
    grace_minutes: int = Field(
        default=15, sa_type=domain("parking.grace_minutes", Integer, check="value between 0 and 180")
    )
    occupied: int = 0


class TariffRow(SQLModel, table=True):
    """What a class of vehicles pays at a lot from one day to another; `rule` is read by `parking.tariff`."""

    __tablename__ = "tariff_row"
    __table_args__ = (
        ForeignKeyConstraint(
            keys("place"), ["parking.lot.operator_id", "parking.lot.place"], name="tariff_row_lot_fkey"
        ),
        CheckConstraint("number between 1 and 65535", name="number"),
        CheckConstraint("vehicle_class between 0 and 31", name="vehicle_class"),
        CheckConstraint("valid_to is null or valid_from < valid_to", name="days"),
        {"schema": "parking"},
    )
    operator_id: UUID = owner_key()
    place: int = Field(primary_key=True)
    number: int = Field(primary_key=True)
    vehicle_class: int = Field(sa_type=SmallInteger)
    valid_from: date
    valid_to: date | None = None
    rule: dict[str, Any] = document()
    name_vi: str
    name_en: str


class LotFull(Refusal):
    """This lot is full."""

    constraint = "lot_not_above_capacity"


class NotParkedHere(Refusal):
    """This lot does not take that kind of vehicle."""


@dataclass(frozen=True, slots=True)
class TariffView:
    """The price of one class of vehicles over some days. `rule` is the JSON that `parking.tariff` describes."""

    vehicle_class: VehicleClass
    number: int
    valid_from: date
    valid_to: date | None
    rule: Mapping[str, Any]
    name_vi: str
    name_en: str

    def name(self, language: str) -> str:
        return self.name_vi if language == "vi" else self.name_en

    @property
    def counted_by(self) -> Rule:
        """The rule, read. Raises BadTariff."""
        return rule_of(json.dumps(self.rule))


@dataclass(frozen=True, slots=True)
class LotView:
    """A lot with everything its pages and tablets need, but how full it is."""

    place: PlaceView
    capacity: int
    grace_minutes: int
    tariffs: tuple[TariffView, ...]

    def tariffs_on(self, day: date) -> list[TariffView]:
        """The tariff of each class that is taken on a day, by number. Raises SeveralValid."""
        valid = [tariff for tariff in self.tariffs if _holds(tariff, day)]
        one_each = [dated.valid_on(of_class, day) for _, of_class in _by_class(valid)]
        return sorted(one_each, key=lambda tariff: tariff.number)

    def tariff_on(self, day: date, vehicle_class: VehicleClass) -> TariffView:
        """The tariff under which a vehicle enters on a day. Raises NotParkedHere, SeveralValid."""
        for tariff in self.tariffs_on(day):
            if tariff.vehicle_class is vehicle_class:
                return tariff
        raise NotParkedHere()


@dataclass(frozen=True, slots=True)
class Occupancy:
    """How full a lot is at this moment."""

    occupied: int
    capacity: int

    @property
    def free(self) -> int:
        return self.capacity - self.occupied


@lru_cache(maxsize=512)
def rule_of(text: str) -> Rule:
    """The rule in a tariff row's JSON text, read once. Raises BadTariff."""
    return rule_from_json(json.loads(text))


async def open_lot(
    tx: Tx, *, place: PlaceView, capacity: int, grace_minutes: int = 15, tariffs: Sequence[TariffView]
) -> None:
    """Adds a lot with its dated tariffs: those of one class must follow each other without gap or overlap.

    Raises BadTariff, NothingValid, SeveralValid, EndsBeforeItBegins.
    """
    for _, of_class in _by_class(tariffs):
        dated.unbroken(of_class)
    await add_place(tx, place)
    await tx.execute(
        "insert into parking.lot (operator_id, place, capacity, grace_minutes, occupied) values ($1, $2, $3, $4, 0)",
        tx.operator_id,
        place.number,
        capacity,
        grace_minutes,
    )
    for tariff in tariffs:
        rule_from_json(tariff.rule)
        await tx.execute(
            "insert into parking.tariff_row (operator_id, place, number, vehicle_class, valid_from, valid_to, rule,"
            " name_vi, name_en) values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            tx.operator_id,
            place.number,
            tariff.number,
            tariff.vehicle_class.value,
            tariff.valid_from,
            tariff.valid_to,
            json.dumps(tariff.rule),
            tariff.name_vi,
            tariff.name_en,
        )


async def lot_by_code(tx: Tx, code: str) -> LotView:
    """The lot behind `/P/<code>`. Raises NoSuchPlace."""
    place = await place_by_code(tx, code)
    found = await lots_at(tx, [place.number])
    if not found:
        raise NoSuchPlace(place=code)
    return found[0]


async def lots_at(tx: Tx, places: Sequence[int]) -> list[LotView]:
    """The lots among these places of the operator, by number."""
    rows = await tx.rows(
        "select p.operator_id, p.number, p.code, p.service, p.name_vi, p.name_en, p.address, p.ward,"
        " l.capacity, l.grace_minutes"
        " from parking.lot l join foundation.place p on p.operator_id = l.operator_id and p.number = l.place"
        " where l.operator_id = $1 and l.place = any($2) order by l.place",
        tx.operator_id,
        list(places),
    )
    tariffs = await tx.rows(
        "select place, vehicle_class, number, valid_from, valid_to, rule, name_vi, name_en from parking.tariff_row"
        " where operator_id = $1 and place = any($2) order by number",
        tx.operator_id,
        list(places),
    )
    return [
        LotView(
            PlaceView(**{name: row[name] for name in PlaceView.__slots__}),
            row["capacity"],
            row["grace_minutes"],
            tuple(_tariff(tariff) for tariff in tariffs if tariff["place"] == row["number"]),
        )
        for row in rows
    ]


async def occupancy(database: Database, operator_id: UUID, place: int) -> Occupancy:
    """How full a lot is (a hot act). Raises NoSuchPlace."""
    row = await database.hot("select occupied, capacity from parking.occupancy($1, $2)", operator_id, place)
    if row is None:
        raise NoSuchPlace(place=str(place))
    return Occupancy(row["occupied"], row["capacity"])


def _tariff(row: Any) -> TariffView:
    return TariffView(
        VehicleClass(row["vehicle_class"]),
        row["number"],
        row["valid_from"],
        row["valid_to"],
        json.loads(row["rule"]),
        row["name_vi"],
        row["name_en"],
    )


def _holds(tariff: TariffView, day: date) -> bool:
    return tariff.valid_from <= day and (tariff.valid_to is None or day < tariff.valid_to)


def _by_class(tariffs: Sequence[TariffView]) -> list[tuple[VehicleClass, list[TariffView]]]:
    ordered = sorted(tariffs, key=lambda tariff: (tariff.vehicle_class, tariff.number))
    return [(of, list(rows)) for of, rows in groupby(ordered, key=lambda tariff: tariff.vehicle_class)]
