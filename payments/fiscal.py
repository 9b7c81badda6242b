"""The paper of a sale: a receipt (biên lai) for a fee, a cash-register invoice (hoá đơn) for a service, one per paid line.

Documents are made by the worker, many at a time, moments after the payment: numbers without a gap lock their series, which
no payer should wait for. What is still to be made nobody has to remember: a charge says of how much it has documents, and
differs from what was earned with it until they are there. A document is never changed or removed: of what is given back as
a whole it is cancelled, of a part, or for a buyer who names himself later, another takes its place.

What costs nothing has no document: the ticket says that nothing was paid.
"""

from __future__ import annotations

import json
import logging
import secrets
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal
from uuid import UUID

from sqlalchemy import BigInteger
from sqlmodel import CheckConstraint, Field, ForeignKeyConstraint, Index, SQLModel, UniqueConstraint, text

from foundation import audit, clock, directory, outbox, texts
from foundation.database import CONFLICTS, Database, Tx
from foundation.errors import NotFound, Refusal
from foundation.seal import Erased, Sealer
from foundation.tables import instant, keys, new_id, octets, owner_key
from payments import fiscal_series, tax_code
from payments.charge_states import ENDS
from payments.fiscal_series import Kind, TermView
from payments.held import reason_of
from payments.payment import ChargeView, find
from payments.share import vat_in

log = logging.getLogger("motcham.fiscal")
SENDING = "payments.fiscal"
AT_ONCE = 200
"""So many charges get their documents in one transaction."""
ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
CODE_LENGTH = 20
"""100 random bits: whoever has it may see the document."""
BUYER = "payments.fiscal_buyer.sealed"
NAME_MAX = 200
BUYERS_PER_PAYMENT = "5/hour"
"""Each of them may take a number of the series."""
Cause = Literal["given_back", "buyer", "mended"]


class FiscalBuyer(SQLModel, table=True):
    """Who wants to stand on the documents of a charge: tax code and name, sealed. The latest counts."""

    __tablename__ = "fiscal_buyer"
    __table_args__ = (
        ForeignKeyConstraint(
            keys("charge_id"), ["payments.charge.operator_id", "payments.charge.id"], name="fiscal_buyer_charge_fkey"
        ),
        Index("fiscal_buyer_charge_idx", *keys("charge_id")),
        {"schema": "payments", "comment": "insert-only: what a payer said"},
    )
    operator_id: UUID = owner_key()
    id: UUID = Field(primary_key=True)
    charge_id: UUID
    sealed: bytes = octets()
    tag: bytes = octets()
    staff_id: UUID | None = None
    at: datetime = instant()


class FiscalDocument(SQLModel, table=True):
    """A receipt or an invoice. `replaces`: in whose place it stands; `code`: with it anybody may look it up."""

    __tablename__ = "fiscal_document"
    __table_args__ = (
        ForeignKeyConstraint(
            keys("series_id"),
            ["payments.fiscal_series.operator_id", "payments.fiscal_series.id"],
            name="fiscal_document_series_fkey",
        ),
        ForeignKeyConstraint(
            keys("charge_id", "line_no"),
            [f"payments.line_paid.{name}" for name in ("operator_id", "charge_id", "line_no")],
            name="fiscal_document_line_fkey",
        ),
        ForeignKeyConstraint(
            keys("buyer_id"),
            ["payments.fiscal_buyer.operator_id", "payments.fiscal_buyer.id"],
            name="fiscal_document_buyer_fkey",
        ),
        ForeignKeyConstraint(
            keys("replaces"),
            ["payments.fiscal_end.operator_id", "payments.fiscal_end.document_id"],
            name="fiscal_document_replaces_fkey",
            use_alter=True,
        ),
        UniqueConstraint(*keys("series_id", "number"), name="fiscal_document_number_key"),
        UniqueConstraint(*keys("code"), name="fiscal_document_code_key"),
        UniqueConstraint(*keys("replaces"), name="fiscal_document_replaces_key"),
        Index(
            "fiscal_document_first_key",
            *keys("charge_id", "line_no"),
            unique=True,
            postgresql_where=text("replaces is null"),
        ),
        Index("fiscal_document_line_idx", *keys("charge_id", "line_no")),
        Index("fiscal_document_issued_idx", *keys("issued_at")),
        CheckConstraint("number > 0 and amount_vnd > 0", name="amount"),
        CheckConstraint("vat_bp between 0 and 5000 and vat_vnd between 0 and amount_vnd", name="vat"),
        {"schema": "payments", "comment": "insert-only: a document is cancelled or replaced, never changed"},
    )
    operator_id: UUID = owner_key()
    id: UUID = Field(primary_key=True)
    series_id: UUID
    number: int = Field(sa_type=BigInteger)
    charge_id: UUID
    line_no: int
    item: str
    amount_vnd: int = Field(sa_type=BigInteger)
    vat_bp: int
    vat_vnd: int = Field(sa_type=BigInteger)
    buyer_id: UUID | None = None
    replaces: UUID | None = None
    code: str
    sold_at: datetime = instant()
    issued_at: datetime = instant()


class FiscalEnd(SQLModel, table=True):
    """That a document does not hold any more, and why. Without another in its place it is cancelled."""

    __tablename__ = "fiscal_end"
    __table_args__ = (
        ForeignKeyConstraint(
            keys("document_id"),
            ["payments.fiscal_document.operator_id", "payments.fiscal_document.id"],
            name="fiscal_end_document_fkey",
        ),
        ForeignKeyConstraint(
            keys("staff_id"), ["foundation.staff.operator_id", "foundation.staff.id"], name="fiscal_end_staff_fkey"
        ),
        CheckConstraint("cause in ('given_back', 'buyer', 'mended')", name="cause"),
        CheckConstraint("(cause = 'mended') = (staff_id is not null)", name="by_hand"),
        {"schema": "payments", "comment": "insert-only: a document ends once"},
    )
    operator_id: UUID = owner_key()
    document_id: UUID = Field(primary_key=True)
    cause: str
    reason: str
    staff_id: UUID | None = None
    at: datetime = instant()


class FiscalSending(SQLModel, table=True):
    """How far the tax office has been told: of a document, or that it is cancelled. `tax_code` is what it answered."""

    __tablename__ = "fiscal_sending"
    __table_args__ = (
        ForeignKeyConstraint(
            keys("document_id"),
            ["payments.fiscal_document.operator_id", "payments.fiscal_document.id"],
            name="fiscal_sending_document_fkey",
        ),
        CheckConstraint("what in ('issue', 'cancel')", name="what"),
        CheckConstraint("state in ('waiting', 'asking', 'accepted', 'rejected')", name="state"),
        CheckConstraint("(state = 'rejected') = (why is not null)", name="why"),
        Index(
            "fiscal_sending_open_idx",
            *keys("series_id", "number", "what"),
            postgresql_where=text("state in ('waiting', 'asking')"),
        ),
        Index("fiscal_sending_rejected_idx", *keys("document_id"), postgresql_where=text("state = 'rejected'")),
        {"schema": "payments"},
    )
    operator_id: UUID = owner_key()
    document_id: UUID = Field(primary_key=True)
    what: str = Field(primary_key=True)
    series_id: UUID
    number: int = Field(sa_type=BigInteger)
    state: str = "waiting"
    tax_code: str | None = None
    why: str | None = None
    tries: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    ended_at: datetime | None = instant(default=None)


class NoSuchDocument(NotFound):
    """There is no such receipt or invoice; please compare the code."""


class BuyerNameless(Refusal):
    """Please write the buyer's name as it should stand on the invoice, with at most 200 characters."""

    status = 422


class BuyerTooLate(Refusal):
    """A buyer can be named until midnight of the day of the sale; that is over."""


class NothingToDocument(Refusal):
    """Nothing of this payment is left for a receipt or an invoice."""


class DocumentEnded(Refusal):
    """This document was cancelled or replaced before; nothing has changed."""


@dataclass(frozen=True, slots=True)
class Buyer:
    """Whom a document is made out to."""

    tax_code: str
    name: str

    @property
    def is_firm(self) -> bool:
        return not tax_code.is_persons(self.tax_code)

    def for_all(self) -> Buyer:
        """As anybody but the tax office may see it."""
        return Buyer(tax_code.masked(self.tax_code), self.name)


@dataclass(frozen=True, slots=True)
class Line:
    """A paid line as its documents see it: what is left of it, and the document that holds (id, amount, buyer)."""

    charge_id: UUID
    line_no: int
    service: str
    place: str
    left_vnd: int
    paid_at: datetime
    buyer_id: UUID | None
    held_by: UUID | None
    held_vnd: int
    had_before: bool

    @property
    def day(self) -> date:
        return clock.hanoi_day(self.paid_at)


@dataclass(frozen=True, slots=True)
class Document:
    """A document with everything that stands on it, and what became of it."""

    id: UUID
    kind: Kind
    form: str
    symbol: str
    number: int
    charge_id: UUID
    line_no: int
    item: str
    amount_vnd: int
    vat_bp: int
    vat_vnd: int
    code: str
    sold_at: datetime
    issued_at: datetime
    issuer: str
    issuer_tax_code: str
    issuer_code: str
    reference: str
    service: str
    means: str
    buyer_sealed: bytes | None
    replaces: UUID | None
    replaced_by: UUID | None
    cause: str | None
    reason: str | None
    ended_at: datetime | None
    state: str
    tax_code: str | None
    why: str | None
    cancel_state: str | None

    @property
    def called(self) -> str:
        """`1 C26MVM, 00000042`."""
        return f"{self.form} {self.symbol}, {self.number:08}"

    @property
    def net_vnd(self) -> int:
        return self.amount_vnd - self.vat_vnd

    @property
    def standing(self) -> str:
        """valid, replaced or cancelled."""
        return "valid" if self.ended_at is None else "replaced" if self.replaced_by else "cancelled"

    @property
    def path(self) -> str:
        """Where anybody who has the code may see it."""
        return f"/documents/{self.issuer_code}/{self.code}"

    @property
    def look_up(self) -> str:
        """The look-up code as it is printed and typed: `vanmieu-2A3B4-…`."""
        parts = [self.code[at : at + 5] for at in range(0, CODE_LENGTH, 5)]
        return "-".join([self.issuer_code, *parts])


# --- making ----------------------------------------------------------------------------------------------------------

# Where several lines were paid together, what is given back comes off the last ones first, as in the statistics. Each table
# is asked once for all charges: line by line, a plan that was made while the tables were small reads all of them each time.
_LINES = """
with line as materialized (
    select l.*, coalesce(sum(l.amount_vnd) over (partition by l.charge_id order by l.line_no
                         rows between unbounded preceding and 1 preceding), 0) as before_vnd
    from payments.charge_line l where l.operator_id = $1 and l.charge_id = any($2)
), charge as materialized (
    select c.id, c.received_vnd, c.given_back_vnd from payments.charge c where c.operator_id = $1 and c.id = any($2)
), paid as materialized (
    select w.charge_id, w.line_no, w.paid_at from payments.line_paid w where w.operator_id = $1 and w.charge_id = any($2)
), document as materialized (
    select d.charge_id, d.line_no, d.id, d.amount_vnd from payments.fiscal_document d
    where d.operator_id = $1 and d.charge_id = any($2)
), ended as materialized (
    select e.document_id from payments.fiscal_end e
    where e.operator_id = $1 and e.document_id = any(array(select d.id from document d))
), buyer as materialized (
    select distinct on (y.charge_id) y.charge_id, y.id from payments.fiscal_buyer y
    where y.operator_id = $1 and y.charge_id = any($2) order by y.charge_id, y.id desc
)
select l.charge_id, l.line_no, l.service, coalesce(p.name_vi, l.place::text) as place,
       greatest(0, least(l.amount_vnd, c.received_vnd - c.given_back_vnd - l.before_vnd))::bigint as left_vnd,
       w.paid_at, y.id as buyer_id, h.id as held_by, coalesce(h.amount_vnd, 0) as held_vnd,
       exists (select from document d where d.charge_id = l.charge_id and d.line_no = l.line_no) as had_before
from line l
join charge c on c.id = l.charge_id
join paid w on w.charge_id = l.charge_id and w.line_no = l.line_no
left join foundation.place p on p.operator_id = $1 and p.number = l.place
left join buyer y on y.charge_id = l.charge_id
left join document h on h.charge_id = l.charge_id and h.line_no = l.line_no
    and h.id not in (select e.document_id from ended e)
order by w.paid_at, l.charge_id, l.line_no
"""

# Older ones have theirs elsewhere: they may be many, and are not looked through again and again. Nor are they made of what
# has no terms yet.
_UNDOCUMENTED = """
with waiting as materialized (
    select c.id, c.paid_at from payments.charge c
    where c.operator_id = $1 and c.state = 'paid' and c.documented_vnd <> c.received_vnd - c.given_back_vnd
      and c.paid_at >= (select min(t.valid_from)::timestamp at time zone interval '7 hours'
                        from payments.fiscal_term t where t.operator_id = $1 and t.withdrawn_at is null)
), line as materialized (
    select l.charge_id, l.service from payments.charge_line l
    where l.operator_id = $1 and l.charge_id = any(array(select w.id from waiting w))
)
select c.id from payments.charge c
where c.operator_id = $1 and c.state = 'paid' and c.documented_vnd <> c.received_vnd - c.given_back_vnd and c.id = any(array(
    select w.id from waiting w
    where not exists (select from line l where l.charge_id = w.id and not exists (
        select from payments.fiscal_term t where t.operator_id = $1 and t.service = l.service and t.withdrawn_at is null
          and t.valid_from <= foundation.hanoi_day(w.paid_at)))
    order by w.paid_at limit $2))
order by c.paid_at for update skip locked
"""


async def make_what_is_missing(database: Database) -> int:
    """Makes the documents of what was paid or given back since, of every operator; of how many charges. The worker's, again
    and again."""
    made = 0
    for operator_id in await directory.operators(database):
        try:
            while charges := await _make_some(database, operator_id):
                made += charges
        except CONFLICTS:
            log.info("another worker makes the documents of %s", operator_id)
        except Exception:
            log.exception("the documents of %s cannot be made", operator_id)  # which never stops the others
    return made


async def _make_some(database: Database, operator_id: UUID) -> int:
    async with database.transaction(operator_id) as tx:
        charges = [row["id"] for row in await tx.rows(_UNDOCUMENTED, operator_id, AT_ONCE)]
        if charges:
            tx.step("fiscal.made")
            await _make(tx, charges, now=await clock.now(tx))
        return len(charges)


async def _make(tx: Tx, charges: Sequence[UUID], *, now: datetime) -> None:
    """Makes, replaces and cancels what the lines of these charges (locked) need."""
    terms = await _terms(tx)
    lines = [Line(**row) for row in await tx.rows(_LINES, tx.operator_id, charges)]
    ended = [line for line in lines if line.held_by is not None and line.held_vnd != line.left_vnd]
    wanted = [line for line in lines if line.left_vnd and (line in ended or not line.had_before)]
    await _end(tx, ended, "given_back", now=now)
    await _issue(tx, wanted, terms, now=now)
    await tx.execute(
        "update payments.charge set documented_vnd = received_vnd - given_back_vnd"
        " where operator_id = $1 and id = any($2)",
        tx.operator_id,
        charges,
    )


async def _terms(tx: Tx) -> list[TermView]:
    """The terms, which nobody changes before the commit: who adds one takes the same rows."""
    await tx.execute("select from payments.fiscal_series where operator_id = $1 order by id for update", tx.operator_id)
    return await fiscal_series.terms(tx)


async def _end(
    tx: Tx, lines: Sequence[Line], cause: Cause, *, reason: str = "", staff_id: UUID | None = None, now: datetime
) -> None:
    """The documents that hold for these lines do not any more; of what nothing is left the tax office is told."""
    await tx.connection.executemany(
        "insert into payments.fiscal_end (operator_id, document_id, cause, reason, staff_id, at)"
        " values ($1, $2, $3, $4, $5, $6)",
        [(tx.operator_id, line.held_by, cause, reason, staff_id, now) for line in lines],
    )
    for row in await tx.rows(
        "insert into payments.fiscal_sending (operator_id, document_id, what, series_id, number, state)"
        " select operator_id, id, 'cancel', series_id, number, 'waiting' from payments.fiscal_document"
        " where operator_id = $1 and id = any($2) returning series_id",
        tx.operator_id,
        [line.held_by for line in lines if not line.left_vnd],
    ):
        outbox.enqueue(tx, SENDING, str(row["series_id"]))


async def _issue(tx: Tx, lines: Sequence[Line], terms: Sequence[TermView], *, now: datetime) -> list[UUID]:
    """A document for each line, in place of the one that held: numbered in today's series, with the VAT of its sale's day."""
    rows = []
    today = [_held_term(terms, line.service, clock.hanoi_day(now)) for line in lines]
    numbers = await fiscal_series.number(tx, Counter(term.series_id for term in today))
    for line, term in zip(lines, today, strict=True):
        vat_bp = _held_term(terms, line.service, line.day).vat_bp
        item = texts.text("vi", f"pay.documents.sold.{line.service}", place=line.place)
        rows.append(
            (
                *(
                    tx.operator_id,
                    new_id(),
                    term.series_id,
                    numbers[term.series_id],
                    line.charge_id,
                    line.line_no,
                    item,
                ),
                *(line.left_vnd, vat_bp, vat_in(line.left_vnd, vat_bp), line.buyer_id, line.held_by, _draw()),
                *(line.paid_at, max(line.paid_at, now)),
            )
        )
        numbers[term.series_id] += 1
    await tx.connection.executemany(
        "insert into payments.fiscal_document (operator_id, id, series_id, number, charge_id, line_no, item, amount_vnd,"
        " vat_bp, vat_vnd, buyer_id, replaces, code, sold_at, issued_at)"
        " values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
        rows,
    )
    await tx.connection.executemany(
        "insert into payments.fiscal_sending (operator_id, document_id, what, series_id, number, state)"
        " values ($1, $2, 'issue', $3, $4, 'waiting')",
        [row[:4] for row in rows],
    )
    for series_id in numbers:
        outbox.enqueue(tx, SENDING, str(series_id))
    return [row[1] for row in rows]


def _held_term(terms: Sequence[TermView], service: str, day: date) -> TermView:
    found = fiscal_series.in_force(terms, service, day)
    if found is None:
        raise LookupError(f"no series for {service} on {day}")
    return found


def _draw() -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(CODE_LENGTH))


# --- a buyer, and what a person mends --------------------------------------------------------------------------------


def buyer_of(typed_code: str, typed_name: str) -> Buyer:
    """What somebody typed. Raises TaxCodeUnreadable, BuyerNameless."""
    name = " ".join(typed_name.split())
    if not 2 <= len(name) <= NAME_MAX or not any(sign.isalpha() for sign in name) or not name.isprintable():
        raise BuyerNameless()
    return Buyer(tax_code.read(typed_code), name)


async def name_buyer(tx: Tx, sealer: Sealer, owed: ChargeView, buyer: Buyer, *, month: int, now: datetime) -> None:
    """The payer says whom the documents of his charge are for, before he pays or until midnight: what was made already is
    replaced at once. The same again changes nothing.

    `month` is from `Sealer.ready`. Raises BuyerTooLate, NothingToDocument.
    """
    owed = await find(tx, id=owed.id, lock=True)
    if owed.paid_at is None and owed.state in ENDS:
        raise NothingToDocument()
    if owed.paid_at is not None and clock.hanoi_day(owed.paid_at) != clock.hanoi_day(now):
        raise BuyerTooLate()
    said = await _say_buyer(tx, sealer, owed.id, buyer, month=month, now=now)
    if owed.paid_at is None or not said:
        return
    tx.step("fiscal.buyer")
    lines = [Line(**row) for row in await tx.rows(_LINES, tx.operator_id, [owed.id])]
    if not any(line.left_vnd for line in lines):
        raise NothingToDocument()
    await _replace(tx, [line for line in lines if line.held_by and line.left_vnd], "buyer", now=now)


async def mend(
    tx: Tx,
    sealer: Sealer,
    id: UUID,
    *,
    buyer: Buyer | None,
    staff_id: UUID,
    reason: str,
    month: int,
    now: datetime,
) -> UUID:
    """A person has another document made in place of one that the tax office rejected, or that is wrong: by the terms of
    today and, if he gives one, with another buyer. Returns the new one.

    Raises NoSuchDocument, DocumentEnded, ReasonMissing.
    """
    reason = reason_of(reason)
    charge_id = await tx.value(
        "select charge_id from payments.fiscal_document where operator_id = $1 and id = $2", tx.operator_id, id
    )
    if charge_id is None:
        raise NoSuchDocument()
    await find(tx, id=charge_id, lock=True)
    if buyer is not None:
        await _say_buyer(tx, sealer, charge_id, buyer, staff_id=staff_id, month=month, now=now)
    lines = [Line(**row) for row in await tx.rows(_LINES, tx.operator_id, [charge_id])]
    wrong = [line for line in lines if line.held_by == id and line.left_vnd]
    if not wrong:
        raise DocumentEnded()
    tx.step("fiscal.mended")
    (made,) = await _replace(tx, wrong, "mended", reason=reason, staff_id=staff_id, now=now)
    await audit.note(
        tx, staff_id, "fiscal.mended", f"fiscal {id}", reason=reason, after={"replaced_by": str(made)}, now=now
    )
    return made


async def _replace(
    tx: Tx, lines: Sequence[Line], cause: Cause, *, reason: str = "", staff_id: UUID | None = None, now: datetime
) -> list[UUID]:
    terms = await _terms(tx)
    await _end(tx, lines, cause, reason=reason, staff_id=staff_id, now=now)
    return await _issue(tx, lines, terms, now=now)


async def _say_buyer(
    tx: Tx,
    sealer: Sealer,
    charge_id: UUID,
    buyer: Buyer,
    *,
    staff_id: UUID | None = None,
    month: int,
    now: datetime,
) -> bool:
    """False if it is the one who was named last."""
    said = json.dumps([buyer.tax_code, buyer.name], ensure_ascii=False)
    tag = sealer.tag(tx.operator_id, f"buyer {said}")
    known = await tx.value(
        "select tag from payments.fiscal_buyer where operator_id = $1 and charge_id = $2 order by id desc limit 1",
        tx.operator_id,
        charge_id,
    )
    if known == tag:
        return False
    await tx.execute(
        "insert into payments.fiscal_buyer (operator_id, id, charge_id, sealed, tag, staff_id, at)"
        " values ($1, $2, $3, $4, $5, $6, $7)",
        tx.operator_id,
        new_id(),
        charge_id,
        sealer.seal(said, month=month, context=BUYER),
        tag,
        staff_id,
        now,
    )
    return True


# --- looking ---------------------------------------------------------------------------------------------------------

DOCUMENTS = (
    "select d.id, s.kind, s.form, s.symbol, d.number, d.charge_id, d.line_no, d.item, d.amount_vnd, d.vat_bp, d.vat_vnd,"
    " d.code, d.sold_at, d.issued_at, p.name_vi as issuer, p.tax_code as issuer_tax_code, o.code as issuer_code,"
    " c.reference, l.service, w.means, y.sealed as buyer_sealed, d.replaces, r.id as replaced_by, e.cause, e.reason,"
    " e.at as ended_at, i.state, i.tax_code, i.why, k.state as cancel_state"
    " from payments.fiscal_document d"
    # Begun with the documents, also before anybody has counted the tables: "offset 0" keeps the rest behind them.
    " join lateral (select a.kind, a.form, a.symbol from payments.fiscal_series a"
    "   where a.operator_id = d.operator_id and a.id = d.series_id offset 0) s on true"
    " join payments.payee p on p.operator_id = d.operator_id and p.kind = 'operator'"
    " join foundation.operator o on o.id = d.operator_id"
    " join payments.charge c on c.operator_id = d.operator_id and c.id = d.charge_id"
    " join payments.charge_line l on l.operator_id = d.operator_id and l.charge_id = d.charge_id and l.line_no = d.line_no"
    " join payments.line_paid w on w.operator_id = d.operator_id and w.charge_id = d.charge_id and w.line_no = d.line_no"
    " join lateral (select a.state, a.tax_code, a.why from payments.fiscal_sending a"
    "   where a.operator_id = d.operator_id and a.document_id = d.id and a.what = 'issue' offset 0) i on true"
    " left join payments.fiscal_sending k on k.operator_id = d.operator_id and k.document_id = d.id and k.what = 'cancel'"
    " left join payments.fiscal_buyer y on y.operator_id = d.operator_id and y.id = d.buyer_id"
    " left join payments.fiscal_end e on e.operator_id = d.operator_id and e.document_id = d.id"
    " left join payments.fiscal_document r on r.operator_id = d.operator_id and r.replaces = d.id"
    " where d.operator_id = $1"
)


async def documents(tx: Tx, where: str, *values: object) -> list[Document]:
    """The documents for which `where` (of ours, about d) holds; its first value is $2."""
    return [Document(**row) for row in await tx.rows(f"{DOCUMENTS} and {where}", tx.operator_id, *values)]


async def by_id(tx: Tx, id: UUID) -> Document:
    """One document. Raises NoSuchDocument."""
    found = await documents(tx, "d.id = $2", id)
    if not found:
        raise NoSuchDocument()
    return found[0]


async def by_code(tx: Tx, code: str) -> Document:
    """The document with that look-up code. Raises NoSuchDocument."""
    found = await documents(tx, "d.code = $2", code)
    if not found:
        raise NoSuchDocument()
    return found[0]


async def buyer_on(sealer: Sealer, document: Document) -> Buyer | None:
    """Whom it is made out to; stars once that was erased."""
    return await _opened(sealer, document.buyer_sealed)


async def buyer_named(tx: Tx, sealer: Sealer, charge_id: UUID) -> Buyer | None:
    """Whom the documents of a charge will be made out to, if somebody was named."""
    sealed = await tx.value(
        "select sealed from payments.fiscal_buyer where operator_id = $1 and charge_id = $2 order by id desc limit 1",
        tx.operator_id,
        charge_id,
    )
    return await _opened(sealer, sealed)


async def _opened(sealer: Sealer, sealed: bytes | None) -> Buyer | None:
    if sealed is None:
        return None
    try:
        return Buyer(*json.loads(await sealer.open(sealed, context=BUYER)))
    except Erased:
        return Buyer("***", "***")


@dataclass(frozen=True, slots=True)
class Papers:
    """The documents of a thing that was paid for, whichever of its charges: those that hold or were cancelled. `making`: some
    are still to be made; `open`: the charges for which a buyer may be named."""

    documents: list[Document]
    making: bool
    open: list[ChargeView]


async def papers_of(tx: Tx, owed: ChargeView, *, now: datetime) -> Papers:
    """What there is for whoever paid a charge, and for other charges of the same thing."""
    rows = await tx.rows(
        "select distinct c.id, c.paid_at, c.documented_vnd <> c.received_vnd - c.given_back_vnd as making,"
        " c.received_vnd > c.given_back_vnd as left"
        " from payments.charge_line m"
        " join payments.charge_line l on l.operator_id = m.operator_id and l.reference = m.reference"
        "   and l.purpose = m.purpose"
        " join payments.charge c on c.operator_id = l.operator_id and c.id = l.charge_id and c.state = 'paid'"
        " where m.operator_id = $1 and m.charge_id = $2 order by c.paid_at, c.id",
        tx.operator_id,
        owed.id,
    )
    made = await documents(
        tx,
        "d.charge_id = any($2) and r.id is null order by d.sold_at, d.charge_id, d.line_no",
        [row["id"] for row in rows],
    )
    today = clock.hanoi_day(now)
    return Papers(
        made,
        any(row["making"] for row in rows),
        [await find(tx, id=row["id"]) for row in rows if row["left"] and clock.hanoi_day(row["paid_at"]) == today],
    )


async def papers_path(database: Database, operator_id: UUID, purpose: str, reference: str) -> str:
    """The page with the documents of a thing of another service. Raises NothingToDocument where nothing was paid for it."""
    async with database.transaction(operator_id) as tx:
        row = await tx.row(
            "select c.reference, c.token from payments.charge_line l"
            " join payments.charge c on c.operator_id = l.operator_id and c.id = l.charge_id and c.state = 'paid'"
            " where l.operator_id = $1 and l.reference = $3 and l.purpose = $2 order by c.paid_at desc limit 1",
            operator_id,
            purpose,
            reference,
        )
    if row is None:
        raise NothingToDocument()
    return f"/pay/{row['reference']}/{row['token']}/documents"
