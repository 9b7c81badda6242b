"""Under which form and symbol an operator's documents are numbered, and with which VAT: data, from a day on.

A series is a form and a symbol of one issuer; its numbers have no gap, whatever becomes of a document. A term says which
series a service's documents get and how much VAT its price contains, until a later one takes its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal
from uuid import UUID

from sqlalchemy import BigInteger
from sqlmodel import CheckConstraint, Field, ForeignKeyConstraint, Index, SQLModel, UniqueConstraint, text

from foundation import audit
from foundation.database import Tx
from foundation.errors import NotFound, Refusal
from foundation.tables import instant, keys, new_id, owner_key
from payments.contract import SERVICES
from payments.held import reason_of
from payments.share import BP

Kind = Literal["receipt", "invoice"]
KINDS: tuple[Kind, ...] = ("receipt", "invoice")
FORM = "^[0-9A-Z][0-9A-Z/-]{0,10}$"
SYMBOL = "^[0-9A-Z][0-9A-Z/-]{1,14}$"


class FiscalSeries(SQLModel, table=True):
    """A form and a symbol, and the last number that was given in it."""

    __tablename__ = "fiscal_series"
    __table_args__ = (
        UniqueConstraint(*keys("form", "symbol"), name="fiscal_series_symbol_key"),
        CheckConstraint("kind in ('receipt', 'invoice')", name="kind"),
        CheckConstraint(f"form ~ '{FORM}' and symbol ~ '{SYMBOL}'", name="symbol"),
        CheckConstraint("last_number >= 0", name="last_number"),
        {"schema": "payments"},
    )
    operator_id: UUID = owner_key()
    id: UUID = Field(primary_key=True)
    kind: str
    form: str
    symbol: str
    last_number: int = Field(default=0, sa_type=BigInteger)


class FiscalTerm(SQLModel, table=True):
    """Which series a service's documents get from a day on, and the VAT (bp) that its price contains."""

    __tablename__ = "fiscal_term"
    __table_args__ = (
        ForeignKeyConstraint(
            keys("series_id"),
            ["payments.fiscal_series.operator_id", "payments.fiscal_series.id"],
            name="fiscal_term_series_fkey",
        ),
        ForeignKeyConstraint(
            keys("added_by"), ["foundation.staff.operator_id", "foundation.staff.id"], name="fiscal_term_added_fkey"
        ),
        CheckConstraint("service in ('ticketing', 'parking')", name="service"),
        CheckConstraint(f"vat_bp between 0 and {BP // 2}", name="vat"),
        Index(
            "fiscal_term_from_key",
            *keys("service", "valid_from"),
            unique=True,
            postgresql_where=text("withdrawn_at is null"),
        ),
        {"schema": "payments"},
    )
    operator_id: UUID = owner_key()
    id: UUID = Field(primary_key=True)
    service: str
    valid_from: date
    series_id: UUID
    vat_bp: int
    added_by: UUID
    added_at: datetime = instant()
    withdrawn_at: datetime | None = instant(default=None)


class NoSuchTerm(NotFound):
    """There is no such entry."""


class SeriesUnfit(Refusal):
    """This form and symbol cannot be: {which}."""

    status = 422


class SeriesOfAnotherKind(Refusal):
    """Documents of another kind are numbered under this form and symbol already."""


class IssuerUnknown(Refusal):
    """First name the operator himself as a payee, with a tax code."""


class TermTooEarly(Refusal):
    """Documents of sales on {day} exist already; another series or rate can begin on the day after."""


class TermTwice(Refusal):
    """Another entry for this service begins on the same day; take it back first."""

    constraint = "fiscal_term_from_key"


class TermInUse(Refusal):
    """Documents were made by this entry, or it was taken back before; it stays as it is."""


@dataclass(frozen=True, slots=True)
class TermView:
    """A term with its series."""

    id: UUID
    service: str
    valid_from: date
    series_id: UUID
    kind: Kind
    form: str
    symbol: str
    vat_bp: int
    adder: str
    added_at: datetime
    withdrawn_at: datetime | None


async def add(
    tx: Tx,
    *,
    service: str,
    valid_from: date,
    kind: str,
    form: str,
    symbol: str,
    vat_bp: int,
    staff_id: UUID,
    now: datetime,
) -> UUID:
    """From a day on, documents of a service are numbered so and contain that VAT.

    Raises SeriesUnfit, SeriesOfAnotherKind, IssuerUnknown, TermTooEarly, TermTwice (by its constraint).
    """
    form, symbol = form.strip().upper(), symbol.strip().upper()
    for which, unfit in (
        ("fiscal_service", service not in SERVICES),
        ("fiscal_kind", kind not in KINDS),
        ("fiscal_vat", not 0 <= vat_bp <= BP // 2),
        ("fiscal_fee_vat", kind == "receipt" and vat_bp > 0),
    ):
        if unfit:
            raise SeriesUnfit(which=which)
    if not await tx.value("select $1::text ~ $3 and $2::text ~ $4", form, symbol, FORM, SYMBOL):
        raise SeriesUnfit(which="fiscal_symbol")
    if not await tx.value(
        "select true from payments.payee where operator_id = $1 and kind = 'operator' and tax_code is not null",
        tx.operator_id,
    ):
        raise IssuerUnknown()
    # Whoever numbers documents reads the terms under these rows.
    await tx.execute("select from payments.fiscal_series where operator_id = $1 order by id for update", tx.operator_id)
    last: date | None = await tx.value(
        "select max(foundation.hanoi_day(d.sold_at)) from payments.fiscal_document d"
        " join payments.charge_line l using (operator_id, charge_id, line_no)"
        " where d.operator_id = $1 and l.service = $2",
        tx.operator_id,
        service,
    )
    if last is not None and last >= valid_from:
        raise TermTooEarly(day=last)
    await tx.execute(
        "insert into payments.fiscal_series (operator_id, id, kind, form, symbol, last_number) values ($1, $2, $3, $4, $5, 0)"
        " on conflict (operator_id, form, symbol) do nothing",
        tx.operator_id,
        new_id(),
        kind,
        form,
        symbol,
    )
    series = await tx.row(
        "select id, kind from payments.fiscal_series where operator_id = $1 and form = $2 and symbol = $3",
        tx.operator_id,
        form,
        symbol,
    )
    if series["kind"] != kind:
        raise SeriesOfAnotherKind()
    id = new_id()
    await tx.execute(
        "insert into payments.fiscal_term (operator_id, id, service, valid_from, series_id, vat_bp, added_by, added_at)"
        " values ($1, $2, $3, $4, $5, $6, $7, $8)",
        tx.operator_id,
        id,
        service,
        valid_from,
        series["id"],
        vat_bp,
        staff_id,
        now,
    )
    after = {"service": service, "from": valid_from.isoformat(), "series": f"{form} {symbol}", "vat_bp": vat_bp}
    await audit.note(tx, staff_id, "fiscal.term_added", f"fiscal_term {id}", after=after, now=now)
    return id


async def withdraw(tx: Tx, id: UUID, *, staff_id: UUID, reason: str, now: datetime) -> None:
    """An entry by which nothing was made yet is taken back. Raises ReasonMissing, NoSuchTerm, TermInUse."""
    reason = reason_of(reason)
    await tx.execute("select from payments.fiscal_series where operator_id = $1 order by id for update", tx.operator_id)
    found = next((term for term in await terms(tx) if term.id == id), None)
    if found is None:
        raise NoSuchTerm()
    status = await tx.execute(
        "update payments.fiscal_term t set withdrawn_at = $3 where t.operator_id = $1 and t.id = $2"
        " and t.withdrawn_at is null and not exists ("
        "   select from payments.fiscal_document d join payments.charge_line l using (operator_id, charge_id, line_no)"
        "   where d.operator_id = $1 and l.service = t.service and foundation.hanoi_day(d.sold_at) >= t.valid_from)",
        tx.operator_id,
        id,
        now,
    )
    if status != "UPDATE 1":
        raise TermInUse()
    before = {"service": found.service, "from": found.valid_from.isoformat(), "series": f"{found.form} {found.symbol}"}
    await audit.note(tx, staff_id, "fiscal.term_withdrawn", f"fiscal_term {id}", reason=reason, before=before, now=now)


async def terms(tx: Tx) -> list[TermView]:
    """All terms of this operator, by service, the latest first."""
    rows = await tx.rows(
        "select t.id, t.service, t.valid_from, t.series_id, s.kind, s.form, s.symbol, t.vat_bp, p.name as adder, t.added_at,"
        " t.withdrawn_at from payments.fiscal_term t"
        " join payments.fiscal_series s on s.operator_id = t.operator_id and s.id = t.series_id"
        " join foundation.staff p on p.operator_id = t.operator_id and p.id = t.added_by"
        " where t.operator_id = $1 order by t.service desc, t.valid_from desc, t.added_at desc",
        tx.operator_id,
    )
    return [TermView(**row) for row in rows]


def in_force(found: Sequence[TermView], service: str, day: date) -> TermView | None:
    """Which term holds for a service on a day: the one that began last."""
    holding = [
        term for term in found if term.service == service and term.valid_from <= day and term.withdrawn_at is None
    ]
    return max(holding, key=lambda term: term.valid_from, default=None)


def standing(found: Sequence[TermView], term: TermView, today: date) -> str:
    """withdrawn, later, in_force or former."""
    if term.withdrawn_at is not None:
        return "withdrawn"
    if term.valid_from > today:
        return "later"
    return "in_force" if in_force(found, term.service, today) == term else "former"


async def number(tx: Tx, wanted: dict[UUID, int]) -> dict[UUID, int]:
    """Gives so many numbers of each series; the first of each. The series are locked until the commit: a transaction that
    is rolled back leaves no gap."""
    first = {}
    for series_id in sorted(wanted):
        last: int = await tx.value(
            "update payments.fiscal_series set last_number = last_number + $3 where operator_id = $1 and id = $2"
            " returning last_number",
            tx.operator_id,
            series_id,
            wanted[series_id],
        )
        first[series_id] = last - wanted[series_id] + 1
    return first
