"""What is owed: a charge of one payer to one operator, with one or several lines, and what follows when it is paid.

Payments does not understand what it takes money for: a line carries the name of a purpose and an opaque reference, and
`main.py` says at composition which act of which service runs when a line of that purpose is paid.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from random import SystemRandom
from typing import Literal
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import BigInteger
from sqlmodel import CheckConstraint, Field, ForeignKeyConstraint, Index, SQLModel, UniqueConstraint, text

from foundation import directory, outbox
from foundation.database import Database, Tx
from foundation.errors import NotFound, Refusal
from foundation.money import CHARGE_MAX_VND
from foundation.tables import instant, keys, new_id, owner_key
from payments import ledger, reference
from payments.charge_states import EVENTS, STEPS, Event, NoStep, State, Step
from payments.gateway import vietqr
from payments.ledger import Source

Means = Literal["CASH", "QR_TRANSFER", "WALLET", "CARD", "ETC_ACCOUNT", "PASS", "FREE"]
Channel = Literal["GATEWAY", "CASH_DEPOSIT", "ATTENDANT_PROXY"]
log = logging.getLogger("motcham.payment")
ROLLUP = "payments.rollup"
ROLLUP_AFTER = timedelta(milliseconds=200)  # what happens at once is counted at once
TOPUP = timedelta(hours=24)
"""How long after a part payment its rest may come; then what came goes back."""
ARRIVES_WITHIN = timedelta(minutes=90)
"""So long after its time of payment money may still be told of; a bank lists a line at most an hour late."""
_draw = SystemRandom()


class Charge(SQLModel, table=True):
    """An amount owed under one reference; frozen once shown. `received_vnd` is what was applied to it.

    `given_back_vnd`: how much of what was earned with it the operator gives back; `documented_vnd`: of how much it has
    receipts and invoices (`fiscal`).
    The reference stands in bank texts and screenshots, so it opens nothing: what was bought is reached through `token`.
    """

    __tablename__ = "charge"
    __table_args__ = (
        UniqueConstraint(*keys("reference"), name="charge_reference_key"),
        CheckConstraint(f"amount_vnd between 1 and {CHARGE_MAX_VND}", name="amount"),
        CheckConstraint("received_vnd between 0 and amount_vnd", name="received"),
        CheckConstraint("given_back_vnd between 0 and received_vnd", name="given_back"),
        CheckConstraint("state in ('open', 'partial', 'paid', 'refused', 'lapsed')", name="state"),
        CheckConstraint("(state = 'paid') = (received_vnd = amount_vnd)", name="paid_in_full"),
        CheckConstraint("(state = 'partial') = (topup_until is not null)", name="topup"),
        Index("charge_topup_idx", *keys("topup_until"), postgresql_where=text("state = 'partial'")),
        Index(
            "charge_undocumented_idx",
            *keys("paid_at"),
            postgresql_where=text("state = 'paid' and documented_vnd <> received_vnd - given_back_vnd"),
        ),
        CheckConstraint("return_path like '/%' and return_path not like '//%'", name="return_path"),
        {"schema": "payments"},
    )
    operator_id: UUID = owner_key()
    id: UUID = Field(primary_key=True)
    reference: str
    token: str
    amount_vnd: int = Field(sa_type=BigInteger)
    received_vnd: int = Field(default=0, sa_type=BigInteger)
    given_back_vnd: int = Field(default=0, sa_type=BigInteger, sa_column_kwargs={"server_default": "0"})
    documented_vnd: int = Field(default=0, sa_type=BigInteger, sa_column_kwargs={"server_default": "0"})
    state: str = "open"
    return_path: str
    created_at: datetime = instant()
    holds_until: datetime = instant()
    topup_until: datetime | None = instant(default=None)
    paid_at: datetime | None = instant(default=None)


class ChargeEvent(SQLModel, table=True):
    """The history of a charge's state."""

    __tablename__ = "charge_event"
    __table_args__ = (
        ForeignKeyConstraint(
            keys("charge_id"), ["payments.charge.operator_id", "payments.charge.id"], name="charge_event_charge_fkey"
        ),
        {"schema": "payments", "comment": "insert-only: history"},
    )
    operator_id: UUID = owner_key(implied=True)
    charge_id: UUID = Field(primary_key=True)
    id: UUID = Field(primary_key=True)
    state: str
    cause: str
    receipt_id: UUID | None = None
    at: datetime = instant()


class ChargeLine(SQLModel, table=True):
    """What a charge is for: an opaque purpose and reference, and the facts the statistics are made of."""

    __tablename__ = "charge_line"
    __table_args__ = (
        ForeignKeyConstraint(
            keys("charge_id"), ["payments.charge.operator_id", "payments.charge.id"], name="charge_line_charge_fkey"
        ),
        CheckConstraint("amount_vnd > 0", name="amount"),
        Index("charge_line_day_idx", *keys("service_day")),
        Index("charge_line_thing_idx", *keys("reference")),
        {"schema": "payments", "comment": "insert-only: facts"},
    )
    operator_id: UUID = owner_key(implied=True)
    charge_id: UUID = Field(primary_key=True)
    line_no: int = Field(primary_key=True)
    purpose: str
    reference: str
    amount_vnd: int = Field(sa_type=BigInteger)
    service: str
    place: int
    ward: str
    class_: str = Field(sa_column_kwargs={"name": "class"})
    service_day: date
    environment: str


class LinePaid(SQLModel, table=True):
    """That a line was settled, and by which of the two facts: the payer's means, the remittance channel."""

    __tablename__ = "line_paid"
    __table_args__ = (
        ForeignKeyConstraint(
            keys("charge_id", "line_no"),
            ["payments.charge_line.operator_id", "payments.charge_line.charge_id", "payments.charge_line.line_no"],
            name="line_paid_line_fkey",
        ),
        CheckConstraint("means in ('CASH', 'QR_TRANSFER', 'WALLET', 'CARD', 'ETC_ACCOUNT')", name="means"),
        CheckConstraint("channel in ('GATEWAY', 'CASH_DEPOSIT', 'ATTENDANT_PROXY')", name="channel"),
        Index("line_paid_at_idx", *keys("paid_at")),
        {"schema": "payments", "comment": "insert-only: facts"},
    )
    operator_id: UUID = owner_key(implied=True)
    charge_id: UUID = Field(primary_key=True)
    line_no: int = Field(primary_key=True)
    means: str
    channel: str
    paid_at: datetime = instant()
    settled_at: datetime = instant()


class FreeNote(SQLModel, table=True):
    """Something given without money (children, free days, passes): facts without a transfer."""

    __tablename__ = "free_note"
    __table_args__ = (
        CheckConstraint("means in ('FREE', 'PASS')", name="means"),
        Index("free_note_day_idx", *keys("service_day")),
        {"schema": "payments", "comment": "insert-only: facts"},
    )
    operator_id: UUID = owner_key()
    purpose: str = Field(primary_key=True)
    reference: str = Field(primary_key=True)
    means: str
    service: str
    place: int
    ward: str
    class_: str = Field(sa_column_kwargs={"name": "class"})
    service_day: date
    environment: str
    at: datetime = instant()


class NoSuchCharge(NotFound):
    """There is no payment under that reference."""


class AmountOutOfRange(Refusal):
    """One payment is between 1 and 499,999,999 ₫."""

    status = 422


@dataclass(frozen=True, slots=True)
class Facts:
    """What the statistics are made of; opaque to payments."""

    service: str
    place: int
    ward: str
    class_: str
    service_day: date
    environment: str


@dataclass(frozen=True, slots=True)
class Line:
    """One thing charged: whose act it is (`purpose`), its reference there, its price, its facts."""

    purpose: str
    reference: str
    amount_vnd: int
    facts: Facts


@dataclass(frozen=True, slots=True)
class ChargeView:
    """A charge as pages and services see it."""

    id: UUID
    reference: str
    token: str
    amount_vnd: int
    received_vnd: int
    state: State
    return_path: str
    created_at: datetime
    holds_until: datetime
    topup_until: datetime | None
    paid_at: datetime | None

    @property
    def remaining_vnd(self) -> int:
        return self.amount_vnd - self.received_vnd

    @property
    def page_path(self) -> str:
        """The payer's own address: from there, and from nowhere else, the way leads back to what was bought."""
        return f"/pay/{self.reference}/{self.token}"

    @property
    def channel(self) -> str:
        """What a page listens to."""
        return f"charge:{self.reference}"

    @property
    def version(self) -> str:
        """Changes whenever a reader would see something else."""
        return f"{self.state}-{self.received_vnd}"


@dataclass(frozen=True, slots=True)
class PaidLine:
    """What an act of a service is told when its line is paid."""

    reference: str
    amount_vnd: int
    means: str
    paid_at: datetime
    charged_at: datetime
    holds_until: datetime
    now: datetime
    charge_id: UUID


PaidAct = Callable[[Tx, PaidLine], Awaitable[None]]
_acts: dict[str, PaidAct] = {}


def when_paid(purpose: str, act: PaidAct) -> None:
    """Said at composition: what happens when a line of that purpose is paid."""
    _acts[purpose] = act


@dataclass(frozen=True, slots=True)
class GivenBackLine:
    """What an act of a service is told when its line is given back as a whole: it supplies no more for it."""

    reference: str
    amount_vnd: int
    now: datetime


@dataclass(frozen=True, slots=True)
class TakenBack:
    """What the services said: from when on nobody accepts it any more, and whether (a part of) it was had already."""

    leaves_from: datetime
    used: bool


GiveBackAct = Callable[[Tx, GivenBackLine], Awaitable[datetime]]
UsedAct = Callable[[Tx, str], Awaitable[bool]]
_give_back_acts: dict[str, tuple[GiveBackAct, UsedAct | None]] = {}


class NothingToGiveBack(Refusal):
    """Of this payment {left_vnd} đồng can still be given back."""

    constraint = "charge_given_back"


def when_given_back(purpose: str, act: GiveBackAct, *, used: UsedAct | None = None) -> None:
    """Said at composition: what happens when a line is given back as a whole.

    The act takes back what was supplied and returns from when on nobody accepts it any more: no money leaves before.
    `used` says of a line's reference whether its payer had (a part of) it already.
    """
    _give_back_acts[purpose] = act, used


async def take_back(tx: Tx, owed: ChargeView, amount_vnd: int, *, now: datetime) -> TakenBack:
    """The operator gives up so much of what he earned with a paid charge (locked).

    A part of it is money only; the whole (with what was given back before) also takes back what was supplied. Posting
    it is the caller's, who knows where it goes. Raises NothingToGiveBack, and what the acts refuse.
    """
    left_vnd: int | None = await tx.value(
        "update payments.charge set given_back_vnd = given_back_vnd + $3"
        " where operator_id = $1 and id = $2 and state = 'paid' and $3 > 0 and given_back_vnd + $3 <= received_vnd"
        " returning received_vnd - given_back_vnd",
        tx.operator_id,
        owed.id,
        amount_vnd,
    )
    if left_vnd is None:
        raise NothingToGiveBack(
            left_vnd=await tx.value(
                "select received_vnd - given_back_vnd from payments.charge where operator_id = $1 and id = $2",
                tx.operator_id,
                owed.id,
            )
        )
    lines = await tx.rows(
        "select purpose, reference, amount_vnd, service_day from payments.charge_line"
        " where operator_id = $1 and charge_id = $2 order by line_no",
        tx.operator_id,
        owed.id,
    )
    _count_anew(tx, {line["service_day"] for line in lines})
    leaves_from, used = now, False
    for line in lines:
        take, had = _give_back_acts.get(line["purpose"], (None, None))
        if take is not None and left_vnd == 0:
            leaves_from = max(leaves_from, await take(tx, GivenBackLine(line["reference"], line["amount_vnd"], now)))
        # Asked last: nobody has it from then on, so the answer stands.
        used = used or (had is not None and await had(tx, line["reference"]))
    tx.wake(owed.channel)
    return TakenBack(leaves_from, used)


def draw_charge(*, lines: Sequence[Line], holds: timedelta, return_path: str, now: datetime) -> tuple[ChargeView, str]:
    """A charge that is not yet there, and the same as `payments.charge` (payment.sql) takes it: for a service that writes it
    in one call with what is its own, and lets its days be counted anew.

    `holds`: how long the shown amount is guaranteed. `return_path`: the page a payer goes back to. Raises
    AmountOutOfRange.
    """
    amount_vnd = sum(line.amount_vnd for line in lines)
    if not lines or min(line.amount_vnd for line in lines) < 1 or amount_vnd > CHARGE_MAX_VND:
        raise AmountOutOfRange()
    made = ChargeView(
        new_id(),
        reference.draw(_draw),
        secrets.token_urlsafe(16),
        amount_vnd,
        0,
        "open",
        return_path,
        now,
        now + holds,
        None,
        None,
    )
    said = {
        "id": made.id,
        "reference": made.reference,
        "token": made.token,
        "amount_vnd": amount_vnd,
        "return_path": return_path,
        "created_at": now,
        "holds_until": made.holds_until,
        "event_id": new_id(),
        "lines": [
            {
                "line_no": number,
                "purpose": line.purpose,
                "reference": line.reference,
                "amount_vnd": line.amount_vnd,
                **dict(zip(_FACTS, _columns(line.facts), strict=True)),
            }
            for number, line in enumerate(lines, 1)
        ],
    }
    return made, to_json(said).decode()


async def charge(
    tx: Tx,
    *,
    lines: Sequence[Line],
    holds: timedelta,
    return_path: str,
    now: datetime,
) -> ChargeView:
    """A new charge of this operator, in the caller's own transaction; its amount is the sum of the lines.

    `holds`, `return_path`: as of `draw_charge`. Raises AmountOutOfRange.
    """
    made, said = draw_charge(lines=lines, holds=holds, return_path=return_path, now=now)
    tx.step("charge")
    await tx.execute("select payments.charge($1, $2)", tx.operator_id, said)
    _count_anew(tx, {line.facts.service_day for line in lines})
    return made


async def note_free(
    tx: Tx, *, purpose: str, reference: str, means: Literal["FREE", "PASS"], facts: Facts, now: datetime
) -> None:
    """Writes the facts of something that costs nothing; no transfer."""
    tx.step("free")
    await tx.execute(
        'insert into payments.free_note (operator_id, purpose, reference, means, service, place, ward, "class",'
        " service_day, environment, at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        tx.operator_id,
        purpose,
        reference,
        means,
        *_columns(facts),
        now,
    )
    outbox.enqueue(tx, ROLLUP, facts.service_day.isoformat(), after=ROLLUP_AFTER)


async def find(tx: Tx, *, id: UUID | None = None, reference: str | None = None, lock: bool = False) -> ChargeView:
    """A charge of this operator, by id or reference. Raises NoSuchCharge."""
    row = await tx.row(
        f"select {shown('c')} from payments.charge c where operator_id = $1 and {'reference' if id is None else 'id'} = $2"
        + (" for update" if lock else ""),
        tx.operator_id,
        reference if id is None else id,
    )
    if row is None:
        raise NoSuchCharge()
    return ChargeView(**row)


def _settling(*posts: str) -> str:
    # One statement: a payer waits for it, and each further one costs as much as what it writes.
    return (
        "with line as (select * from payments.charge_line where operator_id = $1 and charge_id = $2),"
        " paid as (insert into payments.line_paid (operator_id, charge_id, line_no, means, channel, paid_at, settled_at)"
        "   select operator_id, charge_id, line_no, $3, $4, $5, $6 from line),"
        " moved as (update payments.charge set state = 'paid', received_vnd = amount_vnd, paid_at = $5, topup_until = null"
        "   where operator_id = $1 and id = $2 and state = $7 returning id),"
        " noted as (insert into payments.charge_event (operator_id, charge_id, id, state, cause, receipt_id, at)"
        "   select $1, id, $8, 'paid', $9, $10, $6 from moved returning id),"
        f" posted as materialized (select {', '.join(posts)})"
        " select purpose, reference, amount_vnd, service_day,"
        "   exists (select from noted) and exists (select from posted) as moved from line order by line_no"
    )


_SETTLE = _settling(f"payments.post($1, {ledger.parameters(11)})")
_SETTLE_AND_POST = _settling(
    f"payments.post($1, {ledger.parameters(11)})", f"payments.post($1, {ledger.parameters(22)})"
)


def shown(table: str) -> str:
    """The columns of ChargeView, in its order."""
    return ", ".join(f"{table}.{name}" for name in ChargeView.__slots__)


@dataclass(frozen=True, slots=True)
class Look:
    """A charge as whoever waits for it sees it again and again: whose and what it is, whether anything paid for it went or
    goes back, and the account that it is paid to (bin, account, owner)."""

    operator_id: UUID
    owed: ChargeView
    touched: bool
    account: tuple[str, str, str]

    @property
    def code(self) -> tuple[str, str, str, str]:
        """How to pay what remains: (VietQR payload, bin, account, payee)."""
        bin, account, owner = self.account
        payload = vietqr.build(bin=bin, account=account, amount_vnd=self.owed.remaining_vnd, text=self.owed.reference)
        return payload, bin, account, owner


async def look(database: Database, typed: str) -> Look:
    """A charge at one glance, by its reference in any case: one call, since pages and programs ask it most of all.

    Raises NoSuchCharge.
    """
    asked = typed.upper()
    row = await database.hot("select payments.look($1)", asked) if reference.is_reference(asked) else None
    if row is None or row[0][1] is None:
        raise NoSuchCharge()
    operator_id, *charge, touched, bin, account, owner = row[0]
    return Look(operator_id, ChargeView(*charge), touched, (bin, account, owner))


async def settle(
    tx: Tx,
    owed: ChargeView,
    *,
    means: Means,
    channel: Channel,
    paid_at: datetime,
    now: datetime,
    via: Source,
    first: tuple[object, ...] = (),
) -> None:
    """The charge is covered: its lines are paid, their acts run, the service is delivered. May raise a Refusal.

    `first`: a posting (`ledger.posting`) that comes before the service is delivered.
    """
    delivered = ledger.posting(
        "service.delivered",
        source=Source("charge", str(owed.id), "delivered"),
        amount_vnd=owed.amount_vnd,
        effective_at=paid_at,
        flow=owed.id,
    )
    with ledger.refusals():
        lines = await tx.rows(
            _SETTLE_AND_POST if first else _SETTLE,
            tx.operator_id,
            owed.id,
            means,
            channel,
            paid_at,
            now,
            owed.state,
            new_id(),
            via.type,
            UUID(via.id) if via.type == "receipt" else None,
            *first,
            *delivered,
        )
    if not any(line["moved"] for line in lines):
        raise RuntimeError(f"charge {owed.reference} was read as {owed.state} and is something else")
    _count_anew(tx, {line["service_day"] for line in lines})
    # Last, because an act takes rows that others wait for.
    for line in lines:
        await _acts[line["purpose"]](
            tx,
            PaidLine(
                line["reference"], line["amount_vnd"], means, paid_at, owed.created_at, owed.holds_until, now, owed.id
            ),
        )
    tx.wake(owed.channel)


async def part_paid(tx: Tx, owed: ChargeView, received_vnd: int, *, receipt_id: UUID, now: datetime) -> None:
    """Some of it came: the rest is asked for until its window is over."""
    total_vnd = owed.received_vnd + received_vnd
    await _move(
        tx, owed, "partial", total_vnd, cause="receipt", receipt_id=receipt_id, now=now, topup_until=now + TOPUP
    )
    tx.wake(owed.channel)


async def end_unpaid(
    tx: Tx, owed: ChargeView, event: Event, *, receipt_id: UUID | None = None, at: datetime, now: datetime
) -> Step | NoStep:
    """The charge ends without being paid: what was received for it waits for its refund, and nothing more is asked.

    Returns what the table says of it; nothing happens where that is NoStep.
    """
    step = STEPS[owed.state, event]
    if isinstance(step, NoStep):
        return step
    tx.step("charge.ended")
    if owed.received_vnd:
        await ledger.post(
            tx,
            "charge.released",
            source=Source("charge", str(owed.id), "released"),
            amount_vnd=owed.received_vnd,
            effective_at=at,
            flow=owed.id,
        )
        await tx.execute(
            "insert into payments.held (operator_id, receipt_id, reason, amount_vnd, charge_id, opened_at)"
            " select operator_id, receipt_id, $4, applied_vnd, charge_id, $3 from payments.receipt_outcome"
            " where operator_id = $1 and charge_id = $2 and applied_vnd > 0",
            tx.operator_id,
            owed.id,
            now,
            step.state,
        )
    await _move(tx, owed, step.state, 0, cause=event, receipt_id=receipt_id, now=now)
    tx.wake(owed.channel)
    return step


async def ended_by(tx: Tx, charge_id: UUID) -> str:
    """The event that ended a charge."""
    cause: str = await tx.value(
        "select cause from payments.charge_event where operator_id = $1 and charge_id = $2 order by id desc limit 1",
        tx.operator_id,
        charge_id,
    )
    return cause if cause in EVENTS else "undeliverable"


async def release(tx: Tx, charge_id: UUID, *, now: datetime) -> None:
    """What a charge asks for was supplied another way: it asks no longer, and a part payment goes back to its payer."""
    await end_unpaid(tx, await find(tx, id=charge_id, lock=True), "supplied_otherwise", at=now, now=now)


async def lapse(database: Database) -> int:
    """Ends the part payments whose rest did not come in time; returns how many. Called periodically by the worker.

    By the bank's time: what was paid within the window may arrive some minutes after it, or have arrived and not yet be
    applied. A charge that cannot be ended stops no other.
    """
    lapsed = 0
    for operator_id in await directory.operators(database):
        async with database.transaction(operator_id) as tx:
            over = await tx.rows(
                "select c.id from payments.charge c where c.operator_id = $1 and c.state = 'partial'"
                " and c.topup_until <= foundation.now() - $3::interval and not exists ("
                "   select from foundation.due d"
                "   join payments.receipt r on r.operator_id = d.operator_id and r.id::text = d.id"
                "   where d.operator_id = $1 and d.kind = $2 and c.reference = any(r.references_found))"
                " order by c.topup_until limit 100",
                operator_id,
                "payments.apply",
                ARRIVES_WITHIN,
            )
        for row in over:
            try:
                async with database.transaction(operator_id) as tx:
                    now: datetime = await tx.value("select foundation.now()")
                    owed = await find(tx, id=row["id"], lock=True)
                    if owed.state == "partial" and owed.topup_until and owed.topup_until <= now - ARRIVES_WITHIN:
                        await end_unpaid(tx, owed, "window_over", at=now, now=now)
                        lapsed += 1
            except Exception as error:
                log.warning("part payment %s could not be ended: %r", row["id"], error)
    return lapsed


async def _move(
    tx: Tx,
    owed: ChargeView,
    state: State,
    received_vnd: int,
    *,
    cause: str,
    receipt_id: UUID | None,
    now: datetime,
    paid_at: datetime | None = None,
    topup_until: datetime | None = None,
) -> None:
    """One step of a charge: from the state that was read, or not at all, with its row of history. Its days are counted anew,
    whatever it was before: what had stopped holding was no pending payment any more, and a part of it makes it one again."""
    status = await tx.execute(
        "with moved as ("
        "   update payments.charge set state = $4, received_vnd = $5, paid_at = $6, topup_until = $7"
        "   where operator_id = $1 and id = $2 and state = $3 returning id)"
        " insert into payments.charge_event (operator_id, charge_id, id, state, cause, receipt_id, at)"
        " select $1, id, $8, $4, $9, $10, $11 from moved",
        tx.operator_id,
        owed.id,
        owed.state,
        state,
        received_vnd,
        paid_at,
        topup_until,
        new_id(),
        cause,
        receipt_id,
        now,
    )
    if status != "INSERT 0 1":
        raise RuntimeError(f"charge {owed.reference} was read as {owed.state} and is something else")
    await touch_statistics(tx, owed.id)


async def touch_statistics(tx: Tx, charge_id: UUID) -> None:
    """The days of this charge's lines are counted anew by the worker."""
    rows = await tx.rows(
        "select service_day from payments.charge_line where operator_id = $1 and charge_id = $2",
        tx.operator_id,
        charge_id,
    )
    _count_anew(tx, {row["service_day"] for row in rows})


def _count_anew(tx: Tx, days: set[date]) -> None:
    for day in sorted(days):
        outbox.enqueue(tx, ROLLUP, day.isoformat(), after=ROLLUP_AFTER)


_FACTS = ("service", "place", "ward", "class", "service_day", "environment")


def _columns(facts: Facts) -> tuple[str, int, str, str, date, str]:
    return facts.service, facts.place, facts.ward, facts.class_, facts.service_day, facts.environment
