"""Money on its way back to its payer: who asked for it, who agreed, what the gateway was asked and what became of it.

Everything that goes back waits in `held` first; a refund sets an amount of it aside. What may happen to it stands in
`refund_states`. The gateway is asked under the refund's own id, which is written down and committed before: however often
it is asked, it does it once, and where it is silent only the fate of that id is looked up, never another attempt made.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger
from sqlmodel import CheckConstraint, Field, ForeignKeyConstraint, Index, SQLModel, text

from foundation import audit, clock, directory, failpoint, outbox
from foundation.database import Database, Tx
from foundation.errors import NotFound, Refusal
from foundation.seal import Sealer
from foundation.tables import instant, keys, new_id, octets, owner_key
from payments import held, ledger
from payments.gateway import GatewaySilent, PayeeAccount, RefundAnswer, RefundFate, Refunding, RefundLine, RefundOrder
from payments.ledger import Source
from payments.refund_states import ENDED, HELD_AGAIN, LEFT, STEPS, WORKED_ON, Event, State, Step

REFUND = "payments.refund"
TO = "refund.to"
"""What a named account is sealed for."""
LONGEST_PAUSE_S = 3600
FATES: Mapping[RefundFate, Event] = {
    "unknown": "unheard",
    "accepted": "taken",
    "sent": "taken",
    "settled": "arrived",
    "returned": "came_back",
    "refused": "declined",
}


class Refund(SQLModel, table=True):
    """An amount of held money that goes back. `id`: its key at the gateway. `approved_by` is empty where the requester
    was within his limit of the day; `leaves_from`: no earlier, because something may still be had for it until then.

    `to_sealed`: the account that the payer named, empty for the way it came. `debit_ref`, `return_ref`: the gateway's
    references of the money leaving and coming back. `look_at`: when the worker looks at it next, for the `looks`-th time.
    """

    __tablename__ = "refund"
    __table_args__ = (
        ForeignKeyConstraint(
            keys("receipt_id"), ["payments.held.operator_id", "payments.held.receipt_id"], name="refund_held_fkey"
        ),
        ForeignKeyConstraint(
            keys("requested_by"), ["foundation.staff.operator_id", "foundation.staff.id"], name="refund_requested_fkey"
        ),
        ForeignKeyConstraint(
            keys("approved_by"), ["foundation.staff.operator_id", "foundation.staff.id"], name="refund_approved_fkey"
        ),
        CheckConstraint("amount_vnd > 0", name="amount"),
        CheckConstraint(
            "state in ('requested', 'approved', 'asking', 'unknown', 'accepted', 'settled', 'returned', 'refused',"
            " 'rejected')",
            name="state",
        ),
        CheckConstraint("approved_by <> requested_by", name="second_person"),
        CheckConstraint(
            "to_sealed is null or approved_by is not null or state in ('requested', 'rejected')", name="named_account"
        ),
        CheckConstraint("approved_at is not null or state in ('requested', 'rejected')", name="approved"),
        CheckConstraint("(asked_at is null) = (state in ('requested', 'approved', 'rejected'))", name="asked"),
        CheckConstraint(
            "state = 'refused' or (accepted_at is not null) = (state in ('accepted', 'settled', 'returned'))",
            name="accepted",
        ),
        CheckConstraint(
            "(ended_at is not null) = (state in ('settled', 'returned', 'refused', 'rejected'))", name="ended"
        ),
        CheckConstraint(
            "(look_at is not null) = (state in ('approved', 'asking', 'unknown', 'accepted'))", name="looked_at"
        ),
        Index("refund_receipt_idx", *keys("receipt_id")),
        Index("refund_look_idx", *keys("look_at"), postgresql_where=text("look_at is not null")),
        {"schema": "payments"},
    )
    operator_id: UUID = owner_key()
    id: UUID = Field(primary_key=True)
    receipt_id: UUID
    amount_vnd: int = Field(sa_type=BigInteger)
    state: str
    reason: str
    requested_by: UUID
    requested_at: datetime = instant()
    approved_by: UUID | None = None
    approved_at: datetime | None = instant(default=None)
    leaves_from: datetime = instant()
    to_sealed: bytes | None = octets(default=None, nullable=True)
    asked_at: datetime | None = instant(default=None)
    accepted_at: datetime | None = instant(default=None)
    ended_at: datetime | None = instant(default=None)
    debit_ref: str | None = None
    return_ref: str | None = None
    why: str | None = None
    looks: int = 0
    look_at: datetime | None = instant(default=None)


class RefundEvent(SQLModel, table=True):
    """The history of a refund's state. `cause`: the event of `refund_states`, `request` or `within_limit`; `why`: in its words."""

    __tablename__ = "refund_event"
    __table_args__ = (
        ForeignKeyConstraint(
            keys("refund_id"), ["payments.refund.operator_id", "payments.refund.id"], name="refund_event_refund_fkey"
        ),
        {"schema": "payments", "comment": "insert-only: history"},
    )
    operator_id: UUID = owner_key()
    refund_id: UUID = Field(primary_key=True)
    id: UUID = Field(primary_key=True)
    state: str
    cause: str
    staff_id: UUID | None = None
    why: str | None = None
    at: datetime = instant()


class RefundDay(SQLModel, table=True):
    """What a person had sent back on a day without a second one."""

    __tablename__ = "refund_day"
    __table_args__ = (
        ForeignKeyConstraint(
            keys("staff_id"), ["foundation.staff.operator_id", "foundation.staff.id"], name="refund_day_staff_fkey"
        ),
        CheckConstraint("asked_vnd > 0", name="asked"),
        {"schema": "payments"},
    )
    operator_id: UUID = owner_key()
    staff_id: UUID = Field(primary_key=True)
    day: date = Field(primary_key=True)
    asked_vnd: int = Field(sa_type=BigInteger)


class PayeeNamed(SQLModel, table=True):
    """An account that a payer named, because his bank takes nothing back: what he proved opens his receipt only."""

    __tablename__ = "payee_named"
    __table_args__ = (
        ForeignKeyConstraint(
            keys("receipt_id"), ["payments.held.operator_id", "payments.held.receipt_id"], name="payee_named_held_fkey"
        ),
        {"schema": "payments", "comment": "insert-only: what was said"},
    )
    operator_id: UUID = owner_key()
    receipt_id: UUID = Field(primary_key=True)
    id: UUID = Field(primary_key=True)
    to_sealed: bytes = octets()
    at: datetime = instant()


class NoSuchRefund(NotFound):
    """There is no such refund."""


class MoreThanHeld(Refusal):
    """Of this money {left_vnd} đồng wait to go back."""


class MoneyUnproven(Refusal):
    """Only a statement that does not count told of this money: it goes back once a line of the bank is matched with it."""


class OwnRefund(Refusal):
    """You asked for this yourself; somebody else has to agree."""

    status = 403
    constraint = "refund_second_person"


class RefundDecided(Refusal):
    """This refund was decided before, or has left; nothing has changed."""


class AccountUnread(Refusal):
    """Look at the account that the payer named before you agree to send money there."""


class NoAccountNamed(Refusal):
    """The payer has named no account for this money."""


# --- asking, agreeing ------------------------------------------------------------------------------------------------


async def request(
    tx: Tx,
    receipt_id: UUID,
    amount_vnd: int | None,
    *,
    staff_id: UUID,
    reason: str,
    limit_vnd: int,
    to_named: bool = False,
    now: datetime,
) -> UUID:
    """Sets held money aside to go back (None: all of it), the way it came or to the account its payer named.

    Within what one person may send back on a day it is approved at once; above it, and always to a named account, it
    waits for a second person. Raises NothingHeld, MoreThanHeld, ReasonMissing, NoAccountNamed.
    """
    reason = held.reason_of(reason)
    money = await held.find(tx, receipt_id)
    amount_vnd = money.left_vnd if amount_vnd is None else amount_vnd
    if not 0 < amount_vnd <= money.left_vnd:
        raise MoreThanHeld(left_vnd=money.left_vnd)
    to_sealed = await _named(tx, receipt_id) if to_named else None
    agreed = to_sealed is None and await within_limit(tx, staff_id, amount_vnd, limit_vnd, now)
    return await set_aside(
        tx, money, amount_vnd, staff_id=staff_id, reason=reason, agreed=agreed, to_sealed=to_sealed, now=now
    )


async def set_aside(
    tx: Tx,
    money: held.HeldView,
    amount_vnd: int,
    *,
    staff_id: UUID,
    reason: str,
    agreed: bool,
    agreed_by: UUID | None = None,
    to_sealed: bytes | None = None,
    now: datetime,
) -> UUID:
    """So much of held money (locked) is to go back, as `staff_id` asked. `agreed`: by a second person, or within his limit;
    otherwise it waits. Raises MoneyUnproven."""
    await _check_proven(tx, money.receipt_id)
    leaves_from: datetime = await tx.value(
        "select greatest($3, max(leaves_from)) from payments.given_back where operator_id = $1 and receipt_id = $2",
        tx.operator_id,
        money.receipt_id,
        now,
    )
    tx.step("refund.requested")
    await held.take_out(tx, money, amount_vnd, now=now)
    id = new_id()
    await tx.execute(
        "insert into payments.refund (operator_id, id, receipt_id, amount_vnd, state, reason, requested_by,"
        " requested_at, approved_by, approved_at, leaves_from, to_sealed, looks, look_at)"
        " values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 0, $13)",
        tx.operator_id,
        id,
        money.receipt_id,
        amount_vnd,
        "approved" if agreed else "requested",
        reason,
        staff_id,
        now,
        agreed_by,
        now if agreed else None,
        leaves_from,
        to_sealed,
        leaves_from if agreed else None,
    )
    await ledger.post(
        tx,
        "refund.requested",
        source=Source("refund", str(id), "requested"),
        amount_vnd=amount_vnd,
        effective_at=now,
        flow=money.flow,
    )
    await _remember(tx, id, "requested", "request", now, staff_id=staff_id, why=reason)
    if agreed:
        await _remember(tx, id, "approved", "approve" if agreed_by else "within_limit", now, staff_id=agreed_by)
        _wake_worker(tx, id, leaves_from, now)
    await audit.note(
        tx,
        agreed_by or staff_id,
        "refund.approved" if agreed_by else "refund.requested",
        money.subject,
        reason=reason,
        before={"reason": money.reason, "left_vnd": money.left_vnd},
        after={
            "refund": id,
            "amount_vnd": amount_vnd,
            "left_vnd": money.left_vnd - amount_vnd,
            "to": "named account" if to_sealed else "where it came from",
            "approved": agreed,
        },
        now=now,
    )
    return id


async def approve(tx: Tx, id: UUID, *, staff_id: UUID, now: datetime) -> None:
    """A second person agrees, to a named account only after having read it. Raises NoSuchRefund, OwnRefund, AccountUnread,
    MoneyUnproven, RefundDecided."""
    row = await _lock(tx, id)
    if row["requested_by"] == staff_id:
        raise OwnRefund()
    if row["to_sealed"] is not None and not await audit.did(tx, staff_id, "refund.account_read", f"refund {id}"):
        raise AccountUnread()
    await _check_proven(tx, row["receipt_id"])
    if await _step(tx, row, "approve", at=now, now=now, staff_id=staff_id) is None:
        raise RefundDecided()
    tx.step("refund.approved")
    _wake_worker(tx, id, row["leaves_from"], now)
    await _note(tx, row, staff_id, "refund.approved", "approved", now)


async def reject(tx: Tx, id: UUID, *, staff_id: UUID, reason: str, now: datetime) -> None:
    """Somebody says no, or the requester takes it back, before the gateway was asked: the money is held as before.

    Raises NoSuchRefund, RefundDecided, ReasonMissing.
    """
    reason = held.reason_of(reason)
    row = await _lock(tx, id)
    if await _step(tx, row, "reject", at=now, now=now, why=reason, staff_id=staff_id) is None:
        raise RefundDecided()
    await _note(tx, row, staff_id, "refund.rejected", "rejected", now, reason=reason)


async def _check_proven(tx: Tx, receipt_id: UUID) -> None:
    """What no notice and no list told of is there as long as a line says so. Raises MoneyUnproven."""
    if await tx.value(
        "select true from payments.receipt r where r.operator_id = $1 and r.id = $2 and r.source = 'statement'"
        " and not exists (select from payments.claim c join payments.claim of on of.operator_id = c.operator_id"
        "   and of.position is not null and (of.match_id = c.match_id or of.kind = c.kind and of.movement_id = c.movement_id)"
        "   where c.operator_id = $1 and c.kind = 'receipt' and c.movement_id = r.id)",
        tx.operator_id,
        receipt_id,
    ):
        raise MoneyUnproven()


async def _named(tx: Tx, receipt_id: UUID) -> bytes:
    sealed: bytes | None = await tx.value(
        "select to_sealed from payments.payee_named where operator_id = $1 and receipt_id = $2 order by id desc limit 1",
        tx.operator_id,
        receipt_id,
    )
    if sealed is None:
        raise NoAccountNamed()
    return sealed


async def within_limit(tx: Tx, staff_id: UUID, amount_vnd: int, limit_vnd: int, now: datetime) -> bool:
    """Counts the amount among what this person sends back today without a second one, if the limit allows it.

    One statement decides and counts: ten small ones at once come no further than one large one.
    """
    counted: bool | None = await tx.value(
        "insert into payments.refund_day as d (operator_id, staff_id, day, asked_vnd)"
        " select $1, $2, $3, $4::bigint where $4::bigint <= $5::bigint"
        " on conflict (operator_id, staff_id, day) do update set asked_vnd = d.asked_vnd + excluded.asked_vnd"
        " where d.asked_vnd + excluded.asked_vnd <= $5 returning true",
        tx.operator_id,
        staff_id,
        clock.hanoi_day(now),
        amount_vnd,
        limit_vnd,
    )
    return bool(counted)


# --- the worker, the gateway -----------------------------------------------------------------------------------------


async def pursue(database: Database, sealer: Sealer, gateways: Mapping[str, Refunding], claim: outbox.Claim) -> None:
    """The worker's act for `payments.refund`: asks the gateway for it, or what became of it, and writes the answer down.

    What is to be asked is committed before the call; a process that dies in between finds `asking`, and looks up first.
    """
    async with database.transaction(claim.operator_id) as tx:
        if not await outbox.still_held(tx, claim):
            return
        now, row = await clock.now(tx), await _lock(tx, UUID(claim.id))
        gateway = gateways[row["gateway"]]
        if row["state"] not in WORKED_ON or row["leaves_from"] > now:
            return
        if gateway.a_second_apart and await _asked_just_now(tx, row, now):
            return
        asks = await _step(tx, row, "ask", at=now, now=now) == "asking"
    failpoint.here("refund.asking")
    try:
        order = await _order(row, sealer, row["asked_at"] or now)
        answer: RefundAnswer | None = await (gateway.send_back(order) if asks else gateway.fate_of(order))
        if not asks and answer is not None and answer.fate == "unknown":
            async with database.transaction(claim.operator_id) as tx:
                row = await _lock(tx, order.id)
                if await _step(tx, row, "unheard", at=now, now=now) != "asking":
                    raise LookupError(f"the gateway does not know a refund that is {row['state']}")
            answer = await gateway.send_back(order)
    except GatewaySilent:
        answer = None
    failpoint.here("refund.answered")
    async with database.transaction(claim.operator_id) as tx:
        tx.step("refund.heard")
        await _hear(tx, UUID(claim.id), answer, await clock.now(tx))


async def _asked_just_now(tx: Tx, row: Any, now: datetime) -> bool:
    """Whether another refund of the same payment was asked in this second: then this one waits for two."""
    if row["state"] != "approved":
        return False
    await tx.execute(
        "select from payments.held where operator_id = $1 and receipt_id = $2 for update",
        tx.operator_id,
        row["receipt_id"],
    )
    busy: bool = await tx.value(
        "with busy as (select from payments.refund where operator_id = $1 and receipt_id = $2 and id <> $3"
        "   and date_trunc('second', asked_at) >= date_trunc('second', $4::timestamptz) limit 1),"
        " later as (update payments.refund set look_at = $4 + interval '2 seconds'"
        "   where operator_id = $1 and id = $3 and exists (select from busy))"
        " select exists (select from busy)",
        tx.operator_id,
        row["receipt_id"],
        row["id"],
        now,
    )
    return busy


async def look(database: Database) -> int:
    """Makes due the refunds that are to be looked at by now; returns how many. Called periodically by the worker."""
    due = 0
    for operator_id in await directory.operators(database):
        async with database.transaction(operator_id) as tx:
            for row in await tx.rows(
                "select f.id from payments.refund f where f.operator_id = $1 and f.look_at <= foundation.now()"
                " and not exists (select from foundation.due d"
                "   where d.operator_id = $1 and d.kind = $2 and d.id = f.id::text) order by f.look_at limit 100",
                operator_id,
                REFUND,
            ):
                outbox.enqueue(tx, REFUND, str(row["id"]))
                due += 1
    return due


async def told(database: Database, operator_id: UUID, line: RefundLine) -> bool:
    """The gateway's list tells of money that a refund took or brought back. False: it is not one of ours, or does not
    fit it; then it is for the caller to keep. The same line again is no news."""
    async with database.transaction(operator_id) as tx:
        row = await _lock_or_none(tx, line.refund_id)
        if row is None or (row["amount_vnd"], row["bank_account"]) != (line.amount_vnd, line.account):
            return False
        tx.step("refund.told")
        known, column = (row["return_ref"], "return_ref") if line.returns else (row["debit_ref"], "debit_ref")
        if known is not None:
            return bool(known == line.ref)
        now = await clock.now(tx)
        if line.returns:
            moved = await _step(tx, row, "came_back", at=line.at, now=now, return_ref=line.ref)
        else:
            moved = await _step(tx, row, "taken", at=line.at, now=now, debit_ref=line.ref)
        if moved is not None:
            return True
        # Somebody else told of it first; only its reference is news. What never left was not debited by us.
        if row["state"] not in (("returned",) if line.returns else LEFT):
            return False
        await tx.execute(
            f"update payments.refund set {column} = $3 where operator_id = $1 and id = $2",
            operator_id,
            line.refund_id,
            line.ref,
        )
        return True


async def _order(row: Any, sealer: Sealer, asked_at: datetime) -> RefundOrder:
    """What the gateway is asked: the same words however often."""
    to = None
    if row["to_sealed"] is not None:
        to = PayeeAccount(**json.loads(await sealer.open(row["to_sealed"], context=TO)))
    return RefundOrder(
        id=row["id"],
        account=row["bank_account"],
        original_ref=row["bank_ref"],
        original_vnd=row["original_vnd"],
        amount_vnd=row["amount_vnd"],
        text=f"HOAN TIEN {row['bank_ref']}",
        asked_by=row["asked_by"],
        asked_at=asked_at,
        facts=json.loads(row["facts"]),
        to=to,
    )


async def _hear(tx: Tx, id: UUID, answer: RefundAnswer | None, now: datetime) -> None:
    """Writes down what the gateway said; silence is an answer too."""
    row = await _lock(tx, id)
    if answer is None:
        moved = await _step(tx, row, "silent", at=now, now=now)
    else:
        event = FATES[answer.fate]
        moved = await _step(tx, row, event, at=answer.at or now, now=now, why=answer.why, debit_ref=answer.ref)
    if moved is None and row["state"] in WORKED_ON:
        await tx.execute(
            "update payments.refund set looks = looks + 1, look_at = $3 where operator_id = $1 and id = $2",
            tx.operator_id,
            id,
            now + timedelta(seconds=min(2 ** min(row["looks"] + 1, 12), LONGEST_PAUSE_S)),
        )


_ROW = (
    "select f.id, f.receipt_id, f.amount_vnd, f.state, f.requested_by, f.leaves_from, f.to_sealed, f.asked_at,"
    " f.accepted_at, f.debit_ref, f.return_ref, f.looks, r.gateway, r.facts, r.bank_account, r.bank_ref,"
    " r.amount_vnd as original_vnd, s.login as asked_by, c.reference as charge"
    " from payments.refund f"
    " join payments.receipt r on r.operator_id = f.operator_id and r.id = f.receipt_id"
    " join payments.held h on h.operator_id = f.operator_id and h.receipt_id = f.receipt_id"
    " join foundation.staff s on s.operator_id = f.operator_id and s.id = f.requested_by"
    " left join payments.charge c on c.operator_id = h.operator_id and c.id = h.charge_id"
    " where f.operator_id = $1 and f.id = $2 for update of f"
)


async def _lock_or_none(tx: Tx, id: UUID) -> Any | None:
    return await tx.row(_ROW, tx.operator_id, id)


async def _lock(tx: Tx, id: UUID) -> Any:
    row = await _lock_or_none(tx, id)
    if row is None:
        raise NoSuchRefund()
    return row


async def _step(
    tx: Tx,
    row: Any,
    event: Event,
    *,
    at: datetime,
    now: datetime,
    why: str | None = None,
    debit_ref: str | None = None,
    return_ref: str | None = None,
    staff_id: UUID | None = None,
) -> State | None:
    """One step of a refund (locked), with its postings, its money and its row of history. None: the table has none.

    `at`: when it happened by the gateway's word; a posting takes effect then.
    """
    step = STEPS[row["state"], event]
    if not isinstance(step, Step):
        return None
    state, left_before = step.state, row["accepted_at"] is not None
    look_at = {"approved": row["leaves_from"]}.get(state, now + timedelta(seconds=2)) if state in WORKED_ON else None
    status = await tx.execute(
        "update payments.refund set state = $4, looks = 0, look_at = $5,"
        " approved_by = coalesce(approved_by, $6), approved_at = coalesce(approved_at, $7),"
        " asked_at = coalesce(asked_at, $8), accepted_at = coalesce(accepted_at, $9), ended_at = $10,"
        " why = coalesce($11, why), debit_ref = coalesce(debit_ref, $12), return_ref = coalesce(return_ref, $13)"
        " where operator_id = $1 and id = $2 and state = $3",
        tx.operator_id,
        row["id"],
        row["state"],
        state,
        look_at,
        staff_id if event == "approve" else None,
        now if event == "approve" else None,
        now if event == "ask" else None,
        at if state in LEFT else None,
        at if state in ENDED else None,
        why,
        debit_ref,
        return_ref,
    )
    if status != "UPDATE 1":
        raise RuntimeError(f"refund {row['id']} was read as {row['state']} and is something else")
    await _remember(tx, row["id"], state, event, now, staff_id=staff_id, why=why)
    requested, sent = (Source("refund", str(row["id"]), purpose) for purpose in ("requested", "sent"))
    if state in LEFT and not left_before:
        flow = await tx.value(
            "select t.flow from payments.journal j"
            " join payments.transfer t on t.operator_id = j.operator_id and t.journal_id = j.id"
            " where j.operator_id = $1 and j.source_type = 'refund' and j.source_id = $2 and j.purpose = 'requested'",
            tx.operator_id,
            requested.id,
        )
        await ledger.post(tx, "refund.sent", source=sent, amount_vnd=row["amount_vnd"], effective_at=at, flow=flow)
    if state in HELD_AGAIN:
        if left_before or state in LEFT:
            await ledger.reverse(tx, sent, effective_at=at)
        await ledger.reverse(tx, requested, effective_at=at)
        reason: held.Reason | None = None if state == "rejected" else "returned"
        await held.take_in(tx, row["receipt_id"], row["amount_vnd"], reason=reason, now=now)
    if row["charge"]:
        tx.wake(f"charge:{row['charge']}")
    return state


async def _remember(
    tx: Tx, id: UUID, state: str, cause: str, now: datetime, *, staff_id: UUID | None = None, why: str | None = None
) -> None:
    await tx.execute(
        "insert into payments.refund_event (operator_id, refund_id, id, state, cause, staff_id, why, at)"
        " values ($1, $2, $3, $4, $5, $6, $7, $8)",
        tx.operator_id,
        id,
        new_id(),
        state,
        cause,
        staff_id,
        why,
        now,
    )


async def _note(tx: Tx, row: Any, staff_id: UUID, act: str, state: State, now: datetime, *, reason: str = "") -> None:
    await audit.note(
        tx,
        staff_id,
        act,
        f"receipt {row['receipt_id']}",
        reason=reason,
        before={"refund": row["id"], "state": row["state"], "amount_vnd": row["amount_vnd"]},
        after={"state": state},
        now=now,
    )


def _wake_worker(tx: Tx, id: UUID, leaves_from: datetime, now: datetime) -> None:
    # What may not leave yet is found by `look` when its time has come.
    if leaves_from <= now:
        outbox.enqueue(tx, REFUND, str(id))
