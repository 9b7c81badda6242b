"""What a receipt is for: transaction 2 of design.md 4, straight after transaction 1 or by the worker.

A receipt is applied to its charge, and each line's act of the service that asked for it runs. If an act refuses (sold
out, closed), all of it is rolled back, and in a transaction of its own the money is held for a refund; any other exception
leaves the receipt unapplied, to be tried again.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from foundation import audit, outbox
from foundation.database import Database, Tx, last_of
from foundation.errors import Refusal
from payments import cash, deposit, held, ledger
from payments.charge_states import POLICY, STEPS, Step, applied_vnd, receipt_event
from payments.ledger import Source
from payments.payment import ChargeView, Means, end_unpaid, find, part_paid, settle, shown
from payments.refund import within_limit

APPLY = "payments.apply"
ForNotes = cash.ProxyTransfer | deposit.DepositView
"""A transfer for notes: an attendant's for his guest's, or a bag's."""


class _Unsupplied(Exception):
    """A service refused what was paid for."""


async def apply_receipt(
    database: Database,
    operator_id: UUID,
    receipt_id: UUID,
    *,
    held_by: outbox.Claim | None = None,
    now: datetime | None = None,
) -> str | None:
    """Transaction 2: what a receipt is for, and everything that follows. Returns its outcome, None if it had one.

    `held_by`: the claim of a worker, who applies nothing if it has lost it. `now`: None is the platform's.
    """
    for supplies in (True, False):
        try:
            async with database.transaction(operator_id) as tx:
                if held_by is not None and not await outbox.still_held(tx, held_by):
                    return None
                return await _apply(tx, receipt_id, supplies=supplies, now=now)
        except _Unsupplied:
            continue  # in a transaction of its own, so that nobody who is supplied pays for a savepoint
    raise AssertionError("who supplies nothing is not refused")


# The row of due work is the lock: whoever holds it applies, and it is gone with the outcome. A text names nearly always
# one reference, of a charge; that is locked with it.
_ASKED = (
    "with told as ("
    "   select r.amount_vnd, r.paid_at, r.references_found, r.means, r.facts ? 'returns' as returns"
    "   from foundation.due d join payments.receipt r on r.operator_id = d.operator_id and r.id = $4"
    "   where d.operator_id = $1 and d.kind = $2 and d.id = $3 for update of d),"
    " owed as ("
    f"   select {shown('c')} from told join payments.charge c on c.operator_id = $1 and c.reference = told.references_found[1]"
    "   where cardinality(told.references_found) = 1 and not told.returns for update of c)"
    " select told.amount_vnd as arrived_vnd, told.paid_at as arrived_at, told.references_found,"
    "   told.means, told.returns, coalesce($5, foundation.now()) as now, owed.*"
    " from told left join owed on true"
)


async def _apply(tx: Tx, receipt_id: UUID, *, supplies: bool, now: datetime | None) -> str | None:
    receipt = await tx.row(_ASKED, tx.operator_id, APPLY, str(receipt_id), receipt_id, now)
    if receipt is None:
        return None
    arrived_vnd, arrived_at, references_found, means, returns, now, *charge = receipt
    # Money of ours that came back is nobody's payment, whatever its text names.
    owed: ChargeView | ForNotes | str = "unknown_return"
    if charge[0] is not None:
        owed = ChargeView(*charge)
    elif not returns:
        owed = await _meant(tx, references_found)
    charge_id, amount_vnd, late = None, 0, False
    if isinstance(owed, ForNotes):
        outcome, amount_vnd = await _arrive(
            tx,
            owed,
            arrived_vnd,
            source=("receipt", str(receipt_id)),
            receipt_id=receipt_id,
            use=0,
            at=arrived_at,
        )
    elif isinstance(owed, str):
        # Nobody is named, so it stays among the unapplied receipts until finance finds out.
        outcome = owed
    else:
        charge_id, late = owed.id, arrived_at > (owed.topup_until or owed.holds_until)
        outcome, amount_vnd = await _apply_to(
            tx, receipt_id, owed, arrived_vnd, arrived_at, means, supplies=supplies, now=now
        )
        tx.wake(owed.channel)
    held_vnd = arrived_vnd - amount_vnd
    if held_vnd:
        reason = outcome
        if outcome == "proxy":
            reason = "overpaid"
        elif outcome == "deposit":
            reason = "deposit_over" if amount_vnd else "deposit_twice"
        await held.hold(tx, receipt_id, reason, held_vnd, charge_id=charge_id, now=now)
        if reason not in held.UNDECIDED:
            # What was not applied is the payer's: it waits for its refund on an account of its own.
            await ledger.post(
                tx,
                "receipt.held",
                source=Source("receipt", str(receipt_id), "held"),
                amount_vnd=held_vnd,
                effective_at=arrived_at,
                flow=receipt_id,
            )
    tx.step("receipt.applied")
    await tx.execute(
        "with done as (delete from foundation.due where operator_id = $1 and kind = $10 and id = $11),"
        " resolved as (insert into payments.receipt_outcome (operator_id, receipt_id, outcome, charge_id, applied_vnd,"
        "   held_vnd, late, policy, at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9))"
        f" {last_of(12)}",
        tx.operator_id,
        receipt_id,
        outcome,
        charge_id,
        amount_vnd,
        held_vnd,
        late,
        POLICY,
        now,
        APPLY,
        str(receipt_id),
        *tx.take_last(),
    )
    return outcome


class NothingOwed(Refusal):
    """That payment asks for nothing any more."""


class OnlyAPart(Refusal):
    """This would not cover that payment: {remaining_vnd} đồng are still asked for."""


class KnownToBeAPayers(Refusal):
    """It is known whose money this is; it cannot stand for notes. Send it back, or leave it."""


class OwnBag(Refusal):
    """You made this bag yourself; somebody else has to say that this money is its."""

    status = 403


class OverYourLimit(Refusal):
    """It is known whose money this is; of such money one person may use {limit_vnd} đồng a day. Send it back instead."""


async def assign(
    tx: Tx, receipt_id: UUID, *, reference: str, staff_id: UUID, reason: str, limit_vnd: int, now: datetime
) -> tuple[str, int]:
    """A person says what held money was for: a charge, an attendant's transfer or a deposit, as if its text had named it.

    Of money that is known to be a payer's, a person uses no more a day than he may send back alone, and never for notes
    that are missing. Returns what it was then, and how much was applied; what is more stays in the queue. Raises
    NothingHeld, NoSuchCharge, NothingOwed, OnlyAPart, ReasonMissing, KnownToBeAPayers, OwnBag, OverYourLimit, and what
    the services refuse; then nothing has changed.
    """
    reason = held.reason_of(reason)
    money = await held.find(tx, receipt_id)
    meant = reference.strip().upper()
    if notes := await _for_notes(tx, [meant]):
        return await _assign_notes(tx, money, notes[0], staff_id=staff_id, reason=reason, now=now)
    owed = await find(tx, reference=meant, lock=True)
    step = STEPS[owed.state, receipt_event(owed.remaining_vnd, money.left_vnd)]
    assert isinstance(step, Step) and step.outcome  # every receipt is something
    amount_vnd = applied_vnd(step, owed.remaining_vnd, money.left_vnd)
    if not amount_vnd:
        raise NothingOwed()
    if step.state != "paid":
        raise OnlyAPart(remaining_vnd=owed.remaining_vnd)
    if money.reason not in held.UNDECIDED and not await within_limit(tx, staff_id, amount_vnd, limit_vnd, now):
        raise OverYourLimit(limit_vnd=limit_vnd)
    tx.step("held.applied")
    _, use_id = await held.use(tx, money, amount_vnd, charge_id=owed.id, staff_id=staff_id, reason=reason, now=now)
    source = Source("held", use_id, "applied")
    await ledger.post(tx, "receipt.applied", source=source, amount_vnd=amount_vnd, effective_at=now, flow=owed.id)
    # A decision takes effect when it is made: days that are over keep what they had.
    await settle(tx, owed, means=money.means, channel="GATEWAY", paid_at=now, now=now, via=source)
    await _note_applied(tx, money, owed.reference, amount_vnd, staff_id=staff_id, reason=reason, now=now)
    return step.outcome, amount_vnd


async def _assign_notes(
    tx: Tx,
    money: held.HeldView,
    owed: ForNotes,
    *,
    staff_id: UUID,
    reason: str,
    now: datetime,
) -> tuple[str, int]:
    """Held money was a transfer for notes: of an attendant for his guest's, or of a bag that was deposited."""
    if money.reason not in held.UNDECIDED:
        raise KnownToBeAPayers()
    if isinstance(owed, deposit.DepositView) and owed.made_by == staff_id:
        raise OwnBag()
    amount_vnd = min(money.left_vnd, owed.remaining_vnd)
    if not amount_vnd:
        raise NothingOwed()
    use, use_id = await held.use(
        tx,
        money,
        amount_vnd,
        kind="proxy" if isinstance(owed, cash.ProxyTransfer) else "deposit",
        staff_id=staff_id,
        reason=reason,
        now=now,
    )
    arrived = await _arrive(tx, owed, amount_vnd, source=("held", use_id), receipt_id=money.receipt_id, use=use, at=now)
    await _note_applied(tx, money, owed.reference, amount_vnd, staff_id=staff_id, reason=reason, now=now)
    return arrived


async def _arrive(
    tx: Tx, owed: ForNotes, amount_vnd: int, *, source: tuple[str, str], receipt_id: UUID, use: int, at: datetime
) -> tuple[str, int]:
    """Money for notes is here: what it was, and how much of it was asked for."""
    if isinstance(owed, cash.ProxyTransfer):
        return "proxy", await cash.receive_proxy(
            tx, owed, amount_vnd, source=source, receipt_id=receipt_id, use=use, at=at
        )
    return "deposit", await deposit.arrive(tx, owed, amount_vnd, source=source, receipt_id=receipt_id, use=use, at=at)


async def _note_applied(
    tx: Tx, money: held.HeldView, reference: str, amount_vnd: int, *, staff_id: UUID, reason: str, now: datetime
) -> None:
    await audit.note(
        tx,
        staff_id,
        "held.applied",
        money.subject,
        reason=reason,
        before={"reason": money.reason, "left_vnd": money.left_vnd},
        after={"charge": reference, "applied_vnd": amount_vnd, "left_vnd": money.left_vnd - amount_vnd},
        now=now,
    )


async def _apply_to(
    tx: Tx,
    receipt_id: UUID,
    owed: ChargeView,
    arrived_vnd: int,
    paid_at: datetime,
    means: Means,
    *,
    supplies: bool,
    now: datetime,
) -> tuple[str, int]:
    """Does what the table of `charge_states` says of this charge and this receipt: (outcome, amount applied)."""
    step = STEPS[owed.state, receipt_event(owed.remaining_vnd, arrived_vnd)]
    assert isinstance(step, Step) and step.outcome  # every receipt is something
    amount_vnd = applied_vnd(step, owed.remaining_vnd, arrived_vnd)
    if not amount_vnd:
        return step.outcome, 0
    if not supplies:
        # The service cannot give it any more: this money, and what came before for it, waits for its refund.
        await end_unpaid(tx, owed, "undeliverable", receipt_id=receipt_id, at=paid_at, now=now)
        return "refused", 0
    source = Source("receipt", str(receipt_id), "applied")
    applied: dict[str, Any] = {"source": source, "amount_vnd": amount_vnd, "effective_at": paid_at, "flow": owed.id}
    if step.state == "partial":
        await ledger.post(tx, "receipt.applied", **applied)
        await part_paid(tx, owed, amount_vnd, receipt_id=receipt_id, now=now)
        return step.outcome, amount_vnd
    try:
        first = ledger.posting("receipt.applied", **applied)
        await settle(tx, owed, means=means, channel="GATEWAY", paid_at=paid_at, now=now, via=source, first=first)
    except Refusal as refusal:
        raise _Unsupplied() from refusal
    return step.outcome, amount_vnd


async def _meant(tx: Tx, references_found: list[str]) -> ChargeView | ForNotes | str:
    """The charge, the attendant's transfer or the deposit (locked) that a text names; or the reason why none is."""
    charges = await tx.rows(
        "select reference from payments.charge where operator_id = $1 and reference = any($2)",
        tx.operator_id,
        references_found,
    )
    notes = await _for_notes(tx, references_found)
    if not charges and not notes:
        elsewhere = await tx.value(
            "select true from foundation.directory where kind = 'reference' and key = any($1) and operator_id <> $2",
            references_found,
            tx.operator_id,
        )
        return "wrong_account" if elsewhere else "unknown_reference"
    if len(charges) + len(notes) > 1:
        return "ambiguous"
    return notes[0] if notes else await find(tx, reference=charges[0]["reference"], lock=True)


async def _for_notes(tx: Tx, references: list[str]) -> list[ForNotes]:
    """What of these references is a transfer for notes: an attendant's for his guest's, a bag's (locked)."""
    return [*await cash.proxy_transfers(tx, references), *await deposit.find(tx, references)]
