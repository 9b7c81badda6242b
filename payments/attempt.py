"""Attempts to pay on a gateway's own page: begun here, ended by what the gateway says.

The payer is sent to the gateway and may come back or not; neither settles anything. What became of an attempt is told by
the gateway's notice, and asked again and again by the worker, so all ends well with every notice lost. A paid attempt is
a receipt like any other, written in the same transaction.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from sqlalchemy import BigInteger
from sqlmodel import CheckConstraint, Field, ForeignKeyConstraint, Index, SQLModel, UniqueConstraint, text

from foundation import directory, outbox
from foundation.database import Database, Tx
from foundation.errors import Refusal
from foundation.seal import Sealer
from foundation.tables import instant, keys, new_id, owner_key
from payments import charge_states
from payments.attempt_states import STEPS, NoStep, State, Step
from payments.gateway import (
    AttemptAmountDiffers,
    AttemptEvent,
    AttemptOrder,
    GatewaySilent,
    Hosting,
    News,
    NoSuchAttempt,
)
from payments.payment import find
from payments.receipt import keep, receive

log = logging.getLogger("motcham.attempt")
OPEN_FOR = timedelta(minutes=15)
"""So long the gateway's page takes a payment."""
NEARLY_OVER = timedelta(minutes=1)
"""With less time than this left, a payer who begins again gets a new attempt."""
FIRST_ASKED_AFTER = timedelta(seconds=30)
LONGEST_PAUSE = timedelta(hours=1)
ASKED_FOR = timedelta(hours=2)
"""So long after its time an attempt is still asked about; its notice is heard whenever it comes."""


class Merchant(SQLModel, table=True):
    """The operator's own account at a gateway that takes payments on its page: what is paid there comes to it."""

    __tablename__ = "merchant"
    __table_args__ = (CheckConstraint("code ~ '^[A-Za-z0-9]{4,20}$'", name="code"), {"schema": "payments"})
    operator_id: UUID = owner_key()
    gateway: str = Field(primary_key=True)
    code: str = Field(primary_key=True)
    owner_name: str


class Attempt(SQLModel, table=True):
    """One visit to a gateway's page. `gateway_ref`: our number of it there; `transaction_no`: the gateway's of the money.

    `code`: why it ended so, in the gateway's word. `ask_at`: when the gateway is asked next; null: never again.
    """

    __tablename__ = "attempt"
    __table_args__ = (
        UniqueConstraint(*keys("gateway", "merchant", "gateway_ref"), name="attempt_gateway_ref_key"),
        ForeignKeyConstraint(
            keys("charge_id"), ["payments.charge.operator_id", "payments.charge.id"], name="attempt_charge_fkey"
        ),
        ForeignKeyConstraint(
            keys("gateway", "merchant"),
            ["payments.merchant.operator_id", "payments.merchant.gateway", "payments.merchant.code"],
            name="attempt_merchant_fkey",
        ),
        CheckConstraint("amount_vnd > 0", name="amount"),
        CheckConstraint("state in ('open', 'paid', 'declined', 'abandoned', 'reversed')", name="state"),
        CheckConstraint("(state = 'open') = (ended_at is null)", name="ended"),
        CheckConstraint("(state = 'paid') = (transaction_no is not null)", name="paid"),
        Index("attempt_open_key", *keys("charge_id"), unique=True, postgresql_where=text("state = 'open'")),
        Index(
            "attempt_transaction_key",
            *keys("gateway", "merchant", "transaction_no"),
            unique=True,
            postgresql_where=text("transaction_no is not null"),
        ),
        Index("attempt_ask_idx", *keys("ask_at"), postgresql_where=text("ask_at is not null")),
        Index("attempt_charge_idx", *keys("charge_id")),
        {"schema": "payments"},
    )
    operator_id: UUID = owner_key()
    id: UUID = Field(primary_key=True)
    charge_id: UUID
    gateway: str
    merchant: str
    gateway_ref: str
    amount_vnd: int = Field(sa_type=BigInteger)
    state: str = "open"
    code: str = ""
    transaction_no: str | None = None
    opened_at: datetime = instant()
    expires_at: datetime = instant()
    ended_at: datetime | None = instant(default=None)
    ask_at: datetime | None = instant(default=None)
    asks: int = 0


class CardsNotTaken(Refusal):
    """Cards and foreign wallets are not taken here; please pay by VietQR."""


@dataclass(frozen=True, slots=True)
class AttemptView:
    """An attempt as pages and gateways see it; `reference` is that of the charge it pays."""

    id: UUID
    reference: str
    gateway: str
    merchant: str
    gateway_ref: str
    amount_vnd: int
    state: State
    code: str
    opened_at: datetime
    expires_at: datetime
    ended_at: datetime | None
    ask_at: datetime | None
    asks: int

    @property
    def order(self) -> AttemptOrder:
        """What the gateway is told of it."""
        return AttemptOrder(
            self.merchant,
            self.gateway_ref,
            self.amount_vnd,
            f"Mot Cham {self.reference}",
            self.opened_at,
            self.expires_at,
        )

    @property
    def version(self) -> str:
        """Changes whenever a reader would see something else."""
        return f"{self.gateway_ref}-{self.state}-{self.code}"


_SELECT = (
    "select a.id, c.reference, a.gateway, a.merchant, a.gateway_ref, a.amount_vnd, a.state, a.code, a.opened_at,"
    " a.expires_at, a.ended_at, a.ask_at, a.asks from payments.attempt a"
    " join payments.charge c on c.operator_id = a.operator_id and c.id = a.charge_id where a.operator_id = $1 and "
)


async def merchant_of(tx: Tx, gateway: Hosting) -> str | None:
    """Under which name the operator is paid at that gateway; None: nothing can be begun there."""
    codes = await tx.rows(
        "select code from payments.merchant where operator_id = $1 and gateway = $2 order by code",
        tx.operator_id,
        gateway.name,
    )
    return next((row["code"] for row in codes if gateway.serves(row["code"])), None)


async def begin(tx: Tx, gateway: Hosting, reference: str, *, now: datetime) -> AttemptView | None:
    """An attempt to pay what remains of a charge; a second click finds the first one. None: nothing is owed any more.

    Raises NoSuchCharge, CardsNotTaken.
    """
    owed = await find(tx, reference=reference, lock=True)
    if owed.state in charge_states.ENDS:
        return None
    merchant = await merchant_of(tx, gateway)
    if merchant is None:
        raise CardsNotTaken()
    last = await latest(tx, owed.id, lock=True)
    if last and last.state == "open":
        # The gateway's page takes this one no more, or takes another sum: what comes of it all the same is heard.
        still_good = last.expires_at > now + NEARLY_OVER and last.amount_vnd == owed.remaining_vnd
        if still_good and not last.code and last.gateway == gateway.name:
            return last
        await _end(tx, last, "window_over", code=last.code, transaction_no=None, now=now)
    tx.step("attempt.begun")
    number = 1 + await tx.value(
        "select count(*) from payments.attempt where operator_id = $1 and charge_id = $2", tx.operator_id, owed.id
    )
    await tx.execute(
        "insert into payments.attempt (operator_id, id, charge_id, gateway, merchant, gateway_ref, amount_vnd, state,"
        " code, opened_at, expires_at, ask_at, asks) values ($1, $2, $3, $4, $5, $6, $7, 'open', '', $8, $9, $10, 0)",
        tx.operator_id,
        new_id(),
        owed.id,
        gateway.name,
        merchant,
        f"{owed.reference}{number:02d}",
        owed.remaining_vnd,
        now,
        now + OPEN_FOR,
        now + FIRST_ASKED_AFTER,
    )
    tx.wake(owed.channel)
    return await latest(tx, owed.id)


async def latest(tx: Tx, charge_id: UUID, *, lock: bool = False) -> AttemptView | None:
    """The newest attempt to pay a charge."""
    row = await tx.row(
        _SELECT
        + "a.charge_id = $2 order by a.opened_at desc, a.id desc limit 1"
        + (" for update of a" if lock else ""),
        tx.operator_id,
        charge_id,
    )
    return AttemptView(**row) if row else None


async def came_back(tx: Tx, attempt: AttemptView, *, now: datetime) -> None:
    """The payer's browser is back from the gateway's page, which proves nothing: the gateway is asked at once."""
    await tx.execute(
        "update payments.attempt set ask_at = $3 where operator_id = $1 and id = $2 and asks = 0 and ask_at > $3",
        tx.operator_id,
        attempt.id,
        now,
    )


async def learn(
    database: Database,
    sealer: Sealer,
    operator_id: UUID,
    news: News,
    *,
    now: datetime,
    source: Literal["notice", "poll"],
    raw: str = "",
) -> tuple[UUID | None, bool]:
    """What a gateway says of an attempt, in one transaction: its end, and the receipt of its money.

    Returns (the receipt to be applied, whether anything is new). Raises NoSuchAttempt, AttemptAmountDiffers.
    """
    assert news.end is not None
    month = await sealer.ready(now)
    receipt_id, fresh = None, False
    async with database.transaction(operator_id) as tx:
        attempt = await _find(tx, news)
        tx.step("attempt.learnt")
        differs = attempt.amount_vnd != news.end.amount_vnd
        step = NoStep(contradicts=True) if differs else STEPS[attempt.state, news.end.event]
        if isinstance(step, NoStep):
            if step.contradicts:
                why = f"{attempt.state} with {attempt.amount_vnd} VND, then {news.end.event} {news.end.amount_vnd} VND"
                await outbox.park(tx, "payments.attempt_differs", attempt.gateway_ref, why)
        else:
            if news.credit:
                facts = {"ref": attempt.gateway_ref, "opened_at": attempt.opened_at.isoformat()}
                credit = replace(news.credit, text=f"{attempt.reference} {news.credit.text}", facts=facts)
                receipt_id, _ = await receive(database, sealer, operator_id, credit, now=now, source=source, tx=tx)
            fresh = (step.state, news.end.code) != (attempt.state, attempt.code)
            number = news.credit.bank_ref if news.credit else None
            await _end(tx, attempt, news.end.event, code=news.end.code, transaction_no=number, now=now)
        if raw:
            await keep(tx, sealer, news.event_id, f"attempt.{news.end.event}", raw, month=month)
    if differs:
        raise AttemptAmountDiffers()
    return receipt_id, fresh


async def ask_open(database: Database, sealer: Sealer, gateways: Mapping[str, Hosting]) -> list[tuple[UUID, UUID]]:
    """Asks the gateways about attempts whose end nobody told; called again and again by the worker.

    Returns the receipts to be applied, with their operators. What one attempt meets never stops the others.
    """
    found = []
    for operator_id in await directory.operators(database):
        async with database.transaction(operator_id) as tx:
            rows = await tx.rows(_SELECT + "a.ask_at <= foundation.now() order by a.ask_at limit 100", operator_id)
        for attempt in (AttemptView(**row) for row in rows):
            try:
                receipt_id = await _ask(database, sealer, operator_id, attempt, gateways[attempt.gateway])
                if receipt_id:
                    found.append((operator_id, receipt_id))
            except Exception as error:
                log.warning("attempt %s: %r", attempt.gateway_ref, error)
    return found


async def _ask(
    database: Database, sealer: Sealer, operator_id: UUID, attempt: AttemptView, gateway: Hosting
) -> UUID | None:
    """One question about one attempt: first written down when it is asked next, then asked with nothing held."""
    pause = min(FIRST_ASKED_AFTER * 2**attempt.asks, LONGEST_PAUSE)
    async with database.transaction(operator_id) as tx:
        now: datetime = await tx.value("select foundation.now()")
        last = now >= attempt.expires_at + ASKED_FOR
        mine = await tx.execute(
            "update payments.attempt set ask_at = $4, asks = asks + 1"
            " where operator_id = $1 and id = $2 and ask_at = $3",
            operator_id,
            attempt.id,
            attempt.ask_at,
            None if last else now + pause,
        )
    if mine != "UPDATE 1":
        return None
    try:
        news = await gateway.ask(attempt.order)
    except GatewaySilent:
        if not last:
            raise
        news = None
    if news:
        receipt_id, fresh = await learn(database, sealer, operator_id, news, now=now, source="poll")
        return receipt_id if fresh else None
    if now > attempt.expires_at:
        async with database.transaction(operator_id) as tx:
            row = await tx.row(_SELECT + "a.id = $2 for update of a", operator_id, attempt.id)
            await _end(tx, AttemptView(**row), "window_over", code=attempt.code, transaction_no=None, now=now)
    return None


async def _find(tx: Tx, news: News) -> AttemptView:
    """The attempt that is meant, locked. Raises NoSuchAttempt."""
    assert news.end is not None
    gateway, _, merchant = news.account.partition("/")
    row = await tx.row(
        _SELECT + "a.gateway = $2 and a.merchant = $3 and a.gateway_ref = $4 for update of a",
        tx.operator_id,
        gateway,
        merchant,
        news.end.ref,
    )
    if row is None:
        raise NoSuchAttempt()
    return AttemptView(**row)


async def _end(
    tx: Tx, attempt: AttemptView, event: AttemptEvent, *, code: str, transaction_no: str | None, now: datetime
) -> None:
    """One step of an attempt, from the state that was read; nothing where the table has none."""
    step = STEPS[attempt.state, event]
    if not isinstance(step, Step):
        return
    status = await tx.execute(
        "update payments.attempt set state = $4::text, code = $5, transaction_no = $6,"
        " ended_at = case when $4 <> 'open' then $7::timestamptz end,"
        " ask_at = case when $4 <> 'paid' then ask_at end"
        " where operator_id = $1 and id = $2 and state = $3",
        tx.operator_id,
        attempt.id,
        attempt.state,
        step.state,
        code,
        transaction_no,
        now,
    )
    if status != "UPDATE 1":
        raise RuntimeError(f"attempt {attempt.gateway_ref} was read as {attempt.state} and is something else")
    tx.wake(f"charge:{attempt.reference}")
