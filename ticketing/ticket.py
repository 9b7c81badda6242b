"""A ticket: one code for a whole group, made when its money is applied (or at once, if it costs nothing).

The row is the truth; the code is derived from it and the keys whenever it is shown. `admitted` counts heads that went
in: a ticket of five may come in twos and threes, never as six.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import date, datetime
from random import SystemRandom
from typing import Any
from uuid import UUID

from sqlmodel import CheckConstraint, ForeignKeyConstraint, SQLModel, UniqueConstraint

from foundation import code
from foundation.code import CodeKeys, TicketCode
from foundation.database import Database, Tx
from foundation.errors import NotFound
from foundation.operator import PlaceView
from foundation.tables import instant, keys, octets, owner_key

_random = SystemRandom()
PURPOSE = "ticketing.order"
ALL_DAY = (0, 96)
"""From and until of a day ticket, in quarter-hours."""


class Ticket(SQLModel, table=True):
    """`serial` (80 random bits) stands in the code; `short` is typed at a tablet when a screen is broken."""

    __tablename__ = "ticket"
    __table_args__ = (
        UniqueConstraint(*keys("short"), name="ticket_short_key"),
        UniqueConstraint(*keys("order_id"), name="ticket_order_key"),
        ForeignKeyConstraint(
            keys("order_id"), ["ticketing.order.operator_id", "ticketing.order.id"], name="ticket_order_fkey"
        ),
        CheckConstraint("octet_length(serial) = 10", name="serial"),
        CheckConstraint("heads between 1 and 255", name="heads"),
        CheckConstraint("admitted between 0 and heads", name="admitted"),
        {"schema": "ticketing"},
    )
    operator_id: UUID = owner_key(implied=True)
    serial: bytes = octets(primary_key=True)
    short: str
    order_id: UUID
    place: int
    product: int
    valid_day: date
    heads: int
    admitted: int = 0
    issued_at: datetime = instant()
    first_used_at: datetime | None = instant(default=None)
    last_used_at: datetime | None = instant(default=None)
    last_device_id: UUID | None = None
    revoked_at: datetime | None = instant(default=None)


class NoSuchTicket(NotFound):
    """There is no such ticket."""


@dataclass(frozen=True, slots=True)
class TicketView:
    """A ticket as its page shows it."""

    serial: bytes
    short: str
    order_id: UUID
    place: int
    product: int
    valid_day: date
    heads: int
    admitted: int
    first_used_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None

    def signed(self, keys: CodeKeys) -> str:
        """The 48 characters of its code."""
        return keys.sign(
            TicketCode.ticket(
                generation=keys.generation,
                place=self.place,
                day=self.valid_day,
                from_quarter=ALL_DAY[0],
                until_quarter=ALL_DAY[1],
                product=self.product,
                heads=self.heads,
                serial=self.serial,
            )
        )

    def url(self, keys: CodeKeys, public_url: str) -> str:
        """What the QR holds: an upper-case address that any camera opens."""
        return code.as_url(public_url, self.signed(keys))

    @property
    def spoken(self) -> str:
        return code.format_short(self.short)


@dataclass(frozen=True, slots=True)
class TicketShown:
    """A ticket with what else stands on its page: the lines of its order, whether anything paid for it goes back, where
    it admits; and the time."""

    ticket: TicketView
    lines: list[dict[str, Any]]
    touched: bool
    place: PlaceView
    now: datetime


_COLUMNS = (
    "serial, short, order_id, place, product, valid_day, heads, admitted, first_used_at, last_used_at, revoked_at"
)


async def issue(tx: Tx, order_id: UUID, *, now: datetime) -> bool:
    """Makes the one ticket of an order. False if the day of the visit is over."""
    while True:
        made = await tx.value(
            "insert into ticketing.ticket (operator_id, serial, short, order_id, place, product, valid_day, heads,"
            " admitted, issued_at) select operator_id, $3, $4, id, place, product, visit_day, heads, 0, $5"
            '   from ticketing."order" where operator_id = $1 and id = $2 and visit_day >= foundation.hanoi_day($5)'
            " on conflict (operator_id, short) do nothing returning true",
            tx.operator_id,
            order_id,
            os.urandom(10),
            code.draw_short(_random),
            now,
        )
        # A short form that is taken (one in 2 × 10^13) is drawn again.
        if made or await tx.value(
            'select visit_day < foundation.hanoi_day($3) from ticketing."order" where operator_id = $1 and id = $2',
            tx.operator_id,
            order_id,
            now,
        ):
            return bool(made)


async def revoke(tx: Tx, order_id: UUID, *, now: datetime) -> datetime:
    """Voids the ticket of an order: who is inside stays, nobody else comes in with it.

    Returns from when on no gate admits it: at once, since every gate asks the server.
    """
    await tx.execute(
        "update ticketing.ticket set revoked_at = coalesce(revoked_at, $3) where operator_id = $1 and order_id = $2",
        tx.operator_id,
        order_id,
        now,
    )
    return now


async def of_order(tx: Tx, order_id: UUID) -> TicketView | None:
    """The ticket of an order, or None while it is not paid."""
    return _view(
        await tx.row(
            f"select {_COLUMNS} from ticketing.ticket where operator_id = $1 and order_id = $2",
            tx.operator_id,
            order_id,
        )
    )


async def shown(database: Database, operator_id: UUID, serial: bytes) -> TicketShown:
    """The ticket behind a code. Raises NoSuchTicket."""
    (row,) = await database.hot("select ticketing.shown($1, $2, $3)", operator_id, serial, PURPOSE)
    *issued, lines, touched, code, service, name_vi, name_en, address, ward, now = row
    if issued[0] is None:
        raise NoSuchTicket()
    found = TicketView(*issued)
    place = PlaceView(operator_id, found.place, code, service, name_vi, name_en, address, ward)
    return TicketShown(found, json.loads(lines), touched, place, now)


def _view(row: Any | None) -> TicketView | None:
    return None if row is None else TicketView(**row)
