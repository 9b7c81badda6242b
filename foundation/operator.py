"""Operators (parking firms, site authorities), their places, and the installation they stand in.

An operator is the unit of isolation: row-level security, collection account, ledger. A place is a lot or a site and
has a number that stands in every code of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlmodel import CheckConstraint, Field, SQLModel, UniqueConstraint

from foundation import directory
from foundation.database import Database, Tx
from foundation.errors import NotFound
from foundation.tables import keys, owner_key


class Installation(SQLModel, table=True):
    """The one row that says which environment this database belongs to; written by the migration."""

    __tablename__ = "installation"
    __table_args__ = (
        CheckConstraint("one", name="one_row"),
        CheckConstraint("environment in ('demo', 'test', 'production')", name="environment"),
        {"schema": "foundation"},
    )
    one: bool = Field(default=True, primary_key=True)
    environment: str


class Operator(SQLModel, table=True):
    """A firm or authority that sells; its names are public."""

    __tablename__ = "operator"
    __table_args__ = (CheckConstraint("code ~ '^[a-z][a-z0-9]{1,15}$'", name="code"), {"schema": "foundation"})
    id: UUID = Field(primary_key=True)
    code: str = Field(unique=True)
    name_vi: str
    name_en: str


class Place(SQLModel, table=True):
    """A lot or a site, with the number (3 bytes) that its codes carry."""

    __tablename__ = "place"
    __table_args__ = (
        UniqueConstraint(*keys("code"), name="place_code_key"),
        CheckConstraint("number between 1 and 16777215", name="number"),
        CheckConstraint("code ~ '^[A-Z][A-Z0-9]{1,11}$'", name="code"),
        CheckConstraint("service in ('parking', 'ticketing')", name="service"),
        CheckConstraint("ward ~ '^[0-9]{5}$'", name="ward"),
        {"schema": "foundation"},
    )
    operator_id: UUID = owner_key()
    number: int = Field(primary_key=True)
    code: str
    service: str
    name_vi: str
    name_en: str
    address: str
    ward: str


class NoSuchPlace(NotFound):
    """There is no lot or site called {place} here."""


@dataclass(frozen=True, slots=True)
class PlaceView:
    """A place as a page shows it."""

    operator_id: UUID
    number: int
    code: str
    service: str
    name_vi: str
    name_en: str
    address: str
    ward: str

    def name(self, language: str) -> str:
        return self.name_vi if language == "vi" else self.name_en


async def whose_place(database: Database, code: str) -> UUID:
    """The operator of the place behind `/P/<code>` or `/S/<code>`, in any case. Raises NoSuchPlace."""
    operator_id = await directory.whose(database, "place_code", code.upper()[:20])
    if operator_id is None:
        raise NoSuchPlace(place=code[:20])
    return operator_id


async def add_place(tx: Tx, place: PlaceView) -> None:
    """Adds a place of this transaction's operator, and enters it in the directory by number and by code."""
    await tx.execute(
        "insert into foundation.place (operator_id, number, code, service, name_vi, name_en, address, ward)"
        " values ($1, $2, $3, $4, $5, $6, $7, $8)",
        tx.operator_id,
        place.number,
        place.code,
        place.service,
        place.name_vi,
        place.name_en,
        place.address,
        place.ward,
    )
    await directory.enter(tx, "place", str(place.number))
    await directory.enter(tx, "place_code", place.code)


async def place_by_code(tx: Tx, code: str) -> PlaceView:
    """The place of this operator with that code. Raises NoSuchPlace."""
    row = await tx.row(
        "select operator_id, number, code, service, name_vi, name_en, address, ward from foundation.place"
        " where operator_id = $1 and code = $2",
        tx.operator_id,
        code,
    )
    if row is None:
        raise NoSuchPlace(place=code)
    return PlaceView(**row)


async def operator_name(tx: Tx, language: str) -> str:
    """The operator's public name."""
    name: str = await tx.value(
        "select case when $2 = 'vi' then name_vi else name_en end from foundation.operator where id = $1",
        tx.operator_id,
        language,
    )
    return name
