"""A heritage site: what may be entered there, on which days, at which dated price, by which categories of visitors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from sqlalchemy import BigInteger
from sqlmodel import CheckConstraint, Field, ForeignKeyConstraint, SQLModel

from foundation import dated
from foundation.database import Tx
from foundation.operator import NoSuchPlace, PlaceView, add_place, place_by_code
from foundation.tables import keys, owner_key
from ticketing import pricing
from ticketing.pricing import Category


class Site(SQLModel, table=True):
    """A place with gates. `slug` names it among the relics of the city (which categories hold there)."""

    __tablename__ = "site"
    __table_args__ = (
        ForeignKeyConstraint(
            keys("place"), ["foundation.place.operator_id", "foundation.place.number"], name="site_place_fkey"
        ),
        CheckConstraint("opens_minute < closes_minute and closes_minute <= 1440 and opens_minute >= 0", name="hours"),
        {"schema": "ticketing"},
    )
    operator_id: UUID = owner_key()
    place: int = Field(primary_key=True)
    slug: str
    opens_minute: int
    closes_minute: int


class Offer(SQLModel, table=True):
    """The full entrance fee at a site from one day to another; a change is a new row."""

    __tablename__ = "offer"
    __table_args__ = (
        ForeignKeyConstraint(
            keys("place"), ["ticketing.site.operator_id", "ticketing.site.place"], name="offer_site_fkey"
        ),
        CheckConstraint("price_vnd >= 0", name="price"),
        CheckConstraint("product between 1 and 65535", name="product"),
        CheckConstraint("valid_to is null or valid_from < valid_to", name="days"),
        {"schema": "ticketing"},
    )
    operator_id: UUID = owner_key()
    place: int = Field(primary_key=True)
    product: int = Field(primary_key=True)
    valid_from: date = Field(primary_key=True)
    valid_to: date | None = None
    price_vnd: int = Field(sa_type=BigInteger)
    name_vi: str
    name_en: str


@dataclass(frozen=True, slots=True)
class OfferView:
    """An entrance as it is sold on one day."""

    product: int
    valid_from: date
    valid_to: date | None
    price_vnd: int
    name_vi: str
    name_en: str

    def name(self, language: str) -> str:
        return self.name_vi if language == "vi" else self.name_en


@dataclass(frozen=True, slots=True)
class SiteView:
    """A site with everything its pages and gate need."""

    place: PlaceView
    slug: str
    opens_minute: int
    closes_minute: int
    offers: tuple[OfferView, ...]

    @property
    def categories(self) -> tuple[Category, ...]:
        return pricing.categories_at(self.slug)

    def offer_on(self, day: date) -> OfferView:
        """The entrance sold for a day. Raises NothingValid, SeveralValid."""
        return dated.valid_on(self.offers, day)


ENTRANCE = 1
"""The product number of day entrance; night tours and audio guides get their own."""


async def open_site(
    tx: Tx, *, place: PlaceView, slug: str, opens_minute: int, closes_minute: int, offers: Sequence[OfferView]
) -> None:
    """Adds a site with its dated offers. The rows must follow each other without gap or overlap."""
    dated.unbroken(offers)
    await add_place(tx, place)
    await tx.execute(
        "insert into ticketing.site (operator_id, place, slug, opens_minute, closes_minute)"
        " values ($1, $2, $3, $4, $5)",
        tx.operator_id,
        place.number,
        slug,
        opens_minute,
        closes_minute,
    )
    for offer in offers:
        await tx.execute(
            "insert into ticketing.offer"
            " (operator_id, place, product, valid_from, valid_to, price_vnd, name_vi, name_en)"
            " values ($1, $2, $3, $4, $5, $6, $7, $8)",
            tx.operator_id,
            place.number,
            offer.product,
            offer.valid_from,
            offer.valid_to,
            offer.price_vnd,
            offer.name_vi,
            offer.name_en,
        )


async def site_by_code(tx: Tx, code: str) -> SiteView:
    """The site behind `/S/<code>`. Raises NoSuchPlace."""
    return await _view(tx, await place_by_code(tx, code))


async def sites_at(tx: Tx, places: Sequence[int]) -> list[SiteView]:
    """The sites among these places of the operator, by number."""
    rows = await tx.rows(
        "select p.code from foundation.place p"
        " join ticketing.site s on s.operator_id = p.operator_id and s.place = p.number"
        " where p.operator_id = $1 and p.number = any($2) order by p.number",
        tx.operator_id,
        list(places),
    )
    return [await site_by_code(tx, row["code"]) for row in rows]


async def _view(tx: Tx, place: PlaceView) -> SiteView:
    row = await tx.row(
        "select slug, opens_minute, closes_minute from ticketing.site where operator_id = $1 and place = $2",
        tx.operator_id,
        place.number,
    )
    if row is None:
        raise NoSuchPlace(place=place.code)
    offers = await tx.rows(
        "select product, valid_from, valid_to, price_vnd, name_vi, name_en from ticketing.offer"
        " where operator_id = $1 and place = $2 and product = $3 order by valid_from",
        tx.operator_id,
        place.number,
        ENTRANCE,
    )
    return SiteView(
        place, row["slug"], row["opens_minute"], row["closes_minute"], tuple(OfferView(**o) for o in offers)
    )
