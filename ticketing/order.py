"""An order: heads per category for one site and day, one ticket for the whole group.

A total above zero is charged, and the ticket is made when its money is applied. A total of zero (children, free groups)
never meets the bank: the ticket is made at once and its facts are noted.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger
from sqlmodel import CheckConstraint, Field, ForeignKeyConstraint, SQLModel, UniqueConstraint

import payments
from foundation import clock, code, idempotency, texts
from foundation.database import Database, Tx
from foundation.device import Attendant
from foundation.errors import NotFound, Refusal
from foundation.seal import Sealer
from foundation.tables import document, instant, keys, new_id, owner_key
from payments import Explanation, Facts, GivenBackLine, Line, PaidLine
from ticketing import pricing, ticket
from ticketing.pricing import Quote
from ticketing.site import ENTRANCE, SiteView, to_order
from ticketing.ticket import PURPOSE as PURPOSE
from ticketing.ticket import TicketView

HOLDS = timedelta(minutes=30)
SOLD_AHEAD = timedelta(days=60)
SEARCHED_MAX, FOUND_MAX = 50_000, 20


class Order(SQLModel, table=True):
    """What a visitor chose. `token` (128 random bits) is the only way to its page; nobody's name is asked."""

    __tablename__ = "order"
    __table_args__ = (
        UniqueConstraint(*keys("token"), name="order_token_key"),
        ForeignKeyConstraint(
            keys("place"), ["ticketing.site.operator_id", "ticketing.site.place"], name="order_site_fkey"
        ),
        CheckConstraint("heads between 1 and 255 and total_vnd >= 0", name="amounts"),
        {"schema": "ticketing"},
    )
    operator_id: UUID = owner_key(implied=True)
    id: UUID = Field(primary_key=True)
    token: str
    place: int
    product: int
    visit_day: date
    heads: int
    lines: list[dict[str, Any]] = document()
    total_vnd: int = Field(sa_type=BigInteger)
    charge_id: UUID | None = None
    ordered_at: datetime = instant()


class NoSuchOrder(NotFound):
    """There is no order under that address."""


class VisitDayOver(Refusal):
    """The day of the visit is over."""


class NotSoldYet(Refusal):
    """Tickets are sold at most 60 days ahead."""

    status = 422


@dataclass(frozen=True, slots=True)
class OrderView:
    """An order as its page shows it: its payment's reference until it has a ticket."""

    id: UUID
    token: str
    place: int
    product: int
    visit_day: date
    heads: int
    lines: list[dict[str, Any]]
    total_vnd: int
    charge_id: UUID | None


def quote(site: SiteView, *, day: date, heads: Mapping[str, int]) -> Quote:
    """What a group would pay on a day. Raises the refusals of `pricing.total`, NothingValid."""
    return pricing.total(base_vnd=site.offer_on(day).price_vnd, heads=heads, categories=site.categories)


async def place_order(
    database: Database,
    operator_id: UUID,
    site_code: str,
    *,
    day: date,
    heads: Mapping[str, int],
    key: str,
    environment: str,
) -> str:
    """Orders for a group; returns the path to go to: the payment, or the finished order if it is free.

    `key` is the form's: sent twice, it is one order. Raises NoSuchPlace, VisitDayOver, NotSoldYet, KeyUsedForAnother, and
    what `quote` refuses.
    """
    digest = idempotency.body_hash({"site": site_code, "day": day.isoformat(), "heads": heads})
    while True:
        site, known, now = await to_order(database, operator_id, site_code, key)
        if known is not None:
            path: str = idempotency.answered(*known, digest)["path"]
            return path
        order = _draw(site, day=day, heads=heads, now=now)
        path = f"/S/{site.place.code}/{order.token}"
        if order.total_vnd:
            owed, charge = payments.draw_charge(
                lines=[_line(site, order, environment, now)], holds=HOLDS, return_path=path, now=now
            )
            path = owed.page_path
            written = await _write_both(database, operator_id, order, charge, key, digest, path, now)
        else:
            written = await _write_free(database, site, order, key, digest, path, environment, now)
        # If not, the form came twice at once: the other one's answer is there now.
        if written:
            return path


async def _write_both(
    database: Database,
    operator_id: UUID,
    order: OrderView,
    charge: str,
    key: str,
    digest: bytes,
    path: str,
    now: datetime,
) -> bool:
    row = await database.hot(
        "select ticketing.place_order($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
        operator_id,
        key,
        digest,
        json.dumps({"path": path}),
        order.id,
        order.token,
        order.place,
        order.product,
        order.visit_day,
        order.heads,
        json.dumps(order.lines),
        order.total_vnd,
        now,
        charge,
    )
    return bool(row[0])


async def _write_free(
    database: Database,
    site: SiteView,
    order: OrderView,
    key: str,
    digest: bytes,
    path: str,
    environment: str,
    now: datetime,
) -> bool:
    async with database.transaction(site.place.operator_id) as tx:
        answer = {"path": path}
        if not await idempotency.keep(tx, principal="visitor", route="order", key=key, digest=digest, answer=answer):
            return False
        await _write(tx, order, now)
        await _note_free(tx, site, order, environment, now)
        await ticket.issue(tx, order.id, now=now)
    return True


async def sell_for_cash(
    tx: Tx,
    who: Attendant,
    site: SiteView,
    *,
    heads: Mapping[str, int],
    amount_vnd: int,
    proxy: bool,
    shift_id: UUID | None = None,
    environment: str,
    now: datetime,
) -> tuple[OrderView, payments.CashSale | None]:
    """Sells today's entrance at the gate for notes; free groups get their ticket without a sale."""
    day = clock.hanoi_day(now)
    if quote(site, day=day, heads=heads).total_vnd != amount_vnd:
        raise payments.AmountChanged(due_vnd=quote(site, day=day, heads=heads).total_vnd)
    order = _draw(site, day=day, heads=heads, now=now)
    await _write(tx, order, now)
    if not order.total_vnd:
        await _note_free(tx, site, order, environment, now)
        await ticket.issue(tx, order.id, now=now)
        return order, None
    path = f"/S/{site.place.code}/{order.token}"
    sale = await payments.record_cash(
        tx,
        who,
        lines=[_line(site, order, environment, now)],
        proxy=proxy,
        return_path=path,
        shift_id=shift_id,
        now=now,
    )
    return order, sale


async def paid(tx: Tx, line: PaidLine) -> None:
    """The money of an order was applied: its ticket exists from now on. Raises VisitDayOver."""
    if not await ticket.issue(tx, UUID(line.reference), now=line.now):
        raise VisitDayOver()


async def given_back(tx: Tx, line: GivenBackLine) -> datetime:
    """The money of an order is given back as a whole: its ticket is void, also if some of its heads went in already.

    Whether that is right is for the person who gives it back and says why.
    """
    return await ticket.revoke(tx, UUID(line.reference), now=line.now)


async def used(tx: Tx, reference: str) -> bool:
    """Whether somebody went in with the ticket of an order."""
    found = await ticket.of_order(tx, UUID(reference))
    return found is not None and found.admitted > 0


async def behind(database: Database, operator_id: UUID, token: str) -> tuple[UUID | None, TicketView | None]:
    """What stands behind an order's secret address: its charge and, once it is paid, its ticket. Raises NoSuchOrder."""
    (row,) = await database.hot("select ticketing.behind($1, $2)", operator_id, token)
    order_id, charge_id, serial, short, *issued = row
    if order_id is None:
        raise NoSuchOrder()
    return charge_id, TicketView(serial, short, order_id, *issued) if serial is not None else None


async def describe(tx: Tx, references: Sequence[str]) -> dict[str, Explanation]:
    """What orders were, in a sentence: `Văn Miếu – Quốc Tử Giám, 21/11/2026: 2 × người lớn`."""
    rows = await tx.rows(
        "select o.id, o.visit_day, o.lines, p.name_vi, p.name_en"
        ' from ticketing."order" o join foundation.place p on p.operator_id = o.operator_id and p.number = o.place'
        " where o.operator_id = $1 and o.id = any($2)",
        tx.operator_id,
        [UUID(reference) for reference in references],
    )
    return {
        str(row["id"]): Explanation(
            vi=f"{row['name_vi']}, {row['visit_day']:%d/%m/%Y}: {heads_text('vi', json.loads(row['lines']))}",
            en=f"{row['name_en']}, {row['visit_day']:%d/%m/%Y}: {heads_text('en', json.loads(row['lines']))}",
        )
        for row in rows
    }


async def search(tx: Tx, sealer: Sealer, typed: str) -> list[str]:
    """The orders whose ticket was typed: its code, its short form or, of the newest orders, the last half of that."""
    serial, short, half = code.sought(typed)
    rows = await tx.rows(
        "select order_id from ticketing.ticket where operator_id = $1 and (serial = $2 or short = $3)"
        if half is None
        else 'select t.order_id from (select operator_id, id from ticketing."order" where operator_id = $1'
        "   order by id desc limit $4) newest"
        " join ticketing.ticket t on t.operator_id = newest.operator_id and t.order_id = newest.id"
        " where $2::bytea is null and right(t.short, 5) = $3 order by t.order_id desc limit $5",
        tx.operator_id,
        serial,
        half or short,
        *((SEARCHED_MAX, FOUND_MAX) if half else ()),
    )
    return [str(row["order_id"]) for row in rows]


def heads_text(language: str, lines: Sequence[Mapping[str, Any]]) -> str:
    """`2 × người lớn, 1 × học sinh, sinh viên`."""
    return ", ".join(
        f"{line['heads']} × {texts.text(language, 'ticketing.category.' + line['code'] + '.name')}" for line in lines
    )


def _draw(site: SiteView, *, day: date, heads: Mapping[str, int], now: datetime) -> OrderView:
    today = clock.hanoi_day(now)
    if day < today or (day == today and clock.hanoi(now).hour * 60 + clock.hanoi(now).minute >= site.closes_minute):
        raise VisitDayOver()
    if day > today + SOLD_AHEAD:
        raise NotSoldYet()
    sold = quote(site, day=day, heads=heads)
    lines = [{"code": line.code, "heads": line.heads, "price_vnd": line.price_vnd} for line in sold.lines]
    return OrderView(
        new_id(), secrets.token_urlsafe(16), site.place.number, ENTRANCE, day, sold.heads, lines, sold.total_vnd, None
    )


async def _write(tx: Tx, order: OrderView, now: datetime) -> None:
    await tx.execute(
        'insert into ticketing."order" (operator_id, id, token, place, product, visit_day, heads, lines, total_vnd,'
        " ordered_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        tx.operator_id,
        order.id,
        order.token,
        order.place,
        order.product,
        order.visit_day,
        order.heads,
        json.dumps(order.lines),
        order.total_vnd,
        now,
    )


def _facts(site: SiteView, order: OrderView, environment: str, now: datetime) -> Facts:
    only = {line["code"] for line in order.lines}
    return Facts(
        service="ticketing",
        place=order.place,
        ward=site.place.ward,
        class_=only.pop() if len(only) == 1 else "group",
        service_day=clock.hanoi_day(now),  # the day the price was fixed, whenever the visit is
        environment=environment,
    )


def _line(site: SiteView, order: OrderView, environment: str, now: datetime) -> Line:
    return Line(PURPOSE, str(order.id), order.total_vnd, _facts(site, order, environment, now))


async def _note_free(tx: Tx, site: SiteView, order: OrderView, environment: str, now: datetime) -> None:
    await payments.note_free(
        tx, purpose=PURPOSE, reference=str(order.id), means="FREE", facts=_facts(site, order, environment, now), now=now
    )
