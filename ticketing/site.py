"""A heritage site: what may be entered there, on which days, at which dated price, by which categories of visitors."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from sqlalchemy import BigInteger
from sqlmodel import CheckConstraint, Field, ForeignKeyConstraint, SQLModel

from foundation import dated
from foundation.database import Database, Tx
from foundation.operator import NoSuchPlace, PlaceView, add_place
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
    return await _site(tx, "p.code = $3", code)


async def to_order(
    database: Database, operator_id: UUID, code: str, key: str
) -> tuple[SiteView, tuple[bytes, str] | None, datetime]:
    """In one call what an order needs: the site behind `/S/<code>`, the stored answer (hash of what was asked, JSON) to the
    form with that key, the platform's time. Raises NoSuchPlace."""
    (row,) = await database.hot("select ticketing.to_order($1, $2, $3, $4)", operator_id, code, ENTRANCE, key)
    if row[0] is None:
        raise NoSuchPlace(place=code)
    *place, slug, opens_minute, closes_minute = row[:10]
    offers = tuple(
        OfferView(product, date.fromisoformat(begins), ends and date.fromisoformat(ends), *facts)
        for product, begins, ends, *facts in json.loads(row[10])
    )
    body_hash, answer, now = row[11:]
    site = SiteView(PlaceView(operator_id, *place), slug, opens_minute, closes_minute, offers)
    return site, None if answer is None else (body_hash, answer), now


async def site_at(tx: Tx, place: int) -> SiteView:
    """The site of a place. Raises NoSuchPlace."""
    return await _site(tx, "p.number = $3", place)


async def sites_at(tx: Tx, places: Sequence[int]) -> list[SiteView]:
    """The sites among these places of the operator, by number."""
    rows = await tx.rows(
        "select place from ticketing.site where operator_id = $1 and place = any($2) order by place",
        tx.operator_id,
        list(places),
    )
    return [await site_at(tx, row["place"]) for row in rows]


async def _site(tx: Tx, which: str, key: str | int) -> SiteView:
    rows = await tx.rows(
        "select p.number, p.code, p.service, p.name_vi, p.name_en, p.address, p.ward, s.slug, s.opens_minute,"
        " s.closes_minute, o.product, o.valid_from, o.valid_to, o.price_vnd, o.name_vi as offer_vi, o.name_en as offer_en"
        " from foundation.place p join ticketing.site s on s.operator_id = p.operator_id and s.place = p.number"
        " join ticketing.offer o on o.operator_id = s.operator_id and o.place = s.place and o.product = $2"
        f" where p.operator_id = $1 and {which} order by o.valid_from",
        tx.operator_id,
        ENTRANCE,
        key,
    )
    if not rows:
        raise NoSuchPlace(place=str(key))
    of_place = ("number", "code", "service", "name_vi", "name_en", "address", "ward")
    return SiteView(
        PlaceView(tx.operator_id, *(rows[0][name] for name in of_place)),
        rows[0]["slug"],
        rows[0]["opens_minute"],
        rows[0]["closes_minute"],
        tuple(
            OfferView(o["product"], o["valid_from"], o["valid_to"], o["price_vnd"], o["offer_vi"], o["offer_en"])
            for o in rows
        ),
    )
