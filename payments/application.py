"""What a receipt is for: transaction 2 of design.md 4, straight after transaction 1 or by the worker.

A receipt is applied to its charge, and each line's act of the service that asked for it runs inside a savepoint. If an
act refuses (sold out, closed), everything of the application rolls back to it and the money is held for a refund; any
other exception leaves the receipt unapplied, to be tried again.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from foundation.database import Tx
from foundation.errors import Refusal
from payments import cash, ledger
from payments.ledger import Source
from payments.payment import ChargeView, State, close_unsupplied, find, remember, settle

APPLY = "payments.apply"


async def apply_receipt(tx: Tx, receipt_id: UUID, *, now: datetime) -> str | None:
    """Transaction 2: what a receipt is for, and everything that follows. Returns its outcome, None if it had one.

    The row of due work is the lock: whoever holds it applies, and it is gone with the outcome.
    """
    if not await tx.value(
        "select true from foundation.due where operator_id = $1 and kind = $2 and id = $3 for update",
        tx.operator_id,
        APPLY,
        str(receipt_id),
    ):
        return None
    receipt = await tx.row(
        "select id, amount_vnd, paid_at, references_found from payments.receipt where operator_id = $1 and id = $2",
        tx.operator_id,
        receipt_id,
    )
    owed = await _meant(tx, receipt["references_found"])
    if isinstance(owed, cash.ProxyTransfer):
        outcome, charge_id, applied_vnd = "proxy", None, await cash.receive_proxy(tx, owed, receipt, now=now)
        if applied_vnd < receipt["amount_vnd"]:
            await _hold_rest(tx, receipt, "overpaid", receipt["amount_vnd"] - applied_vnd, None, now)
    elif isinstance(owed, str):
        # Nobody is named, so it stays among the unapplied receipts until finance finds out.
        await _hold(tx, receipt_id, owed, receipt["amount_vnd"], None, now)
        outcome, charge_id, applied_vnd = owed, None, 0
    else:
        charge_id = owed.id
        outcome, applied_vnd = await _apply_to(tx, receipt, owed, now)
        if applied_vnd < receipt["amount_vnd"]:
            await _hold_rest(tx, receipt, outcome, receipt["amount_vnd"] - applied_vnd, owed.id, now)
        tx.wake(owed.channel)
    await tx.execute(
        "insert into payments.receipt_outcome (operator_id, receipt_id, outcome, charge_id, applied_vnd, held_vnd, at)"
        " values ($1, $2, $3, $4, $5, $6, $7)",
        tx.operator_id,
        receipt_id,
        outcome,
        charge_id,
        applied_vnd,
        receipt["amount_vnd"] - applied_vnd,
        now,
    )
    await tx.execute(
        "delete from foundation.due where operator_id = $1 and kind = $2 and id = $3",
        tx.operator_id,
        APPLY,
        str(receipt_id),
    )
    return outcome


def decide(state: State, remaining_vnd: int, received_vnd: int) -> tuple[str, int]:
    """What a receipt does to a charge (money.md 4.5): (outcome, amount applied). Pure; tolerance is zero."""
    if state in ("paid", "refused"):
        return ("duplicate" if state == "paid" else "refused"), 0
    if received_vnd < remaining_vnd:
        return "partly", received_vnd
    return ("applied" if received_vnd == remaining_vnd else "overpaid"), remaining_vnd


async def _apply_to(tx: Tx, receipt: Any, owed: ChargeView, now: datetime) -> tuple[str, int]:
    id, paid_at = receipt["id"], receipt["paid_at"]
    outcome, applied_vnd = decide(owed.state, owed.remaining_vnd, receipt["amount_vnd"])
    if applied_vnd == 0:
        return outcome, 0
    source = Source("receipt", str(id), "applied")
    try:
        async with tx.savepoint():
            await ledger.post(
                tx, "receipt.applied", source=source, amount_vnd=applied_vnd, effective_at=paid_at, flow=owed.id
            )
            if outcome == "partly":
                await tx.execute(
                    "update payments.charge set state = 'partial', received_vnd = received_vnd + $3"
                    " where operator_id = $1 and id = $2",
                    tx.operator_id,
                    owed.id,
                    applied_vnd,
                )
                await remember(tx, owed.id, "partial", "receipt", id, now)
            else:
                await settle(tx, owed, means="QR_TRANSFER", channel="GATEWAY", paid_at=paid_at, now=now, via=source)
    except Refusal:
        # The service cannot give it any more: this money, and what came before for it, waits for its refund.
        await close_unsupplied(tx, owed, cause="receipt", receipt_id=id, at=paid_at, now=now)
        return "refused", 0
    return outcome, applied_vnd


async def _meant(tx: Tx, references_found: list[str]) -> ChargeView | cash.ProxyTransfer | str:
    """The charge (locked) or an attendant's transfer that a text names; or the reason why none is."""
    charges = await tx.rows(
        "select reference from payments.charge where operator_id = $1 and reference = any($2)",
        tx.operator_id,
        references_found,
    )
    transfers = await cash.proxy_transfers(tx, references_found, lock=True)
    if not charges and not transfers:
        return "unknown_reference"
    if len(charges) + len(transfers) > 1:
        return "ambiguous"
    return transfers[0] if transfers else await find(tx, reference=charges[0]["reference"], lock=True)


async def _hold_rest(tx: Tx, receipt: Any, reason: str, held_vnd: int, charge_id: UUID | None, now: datetime) -> None:
    """What was not applied is the payer's: it waits for its refund on an account of its own."""
    await ledger.post(
        tx,
        "receipt.held",
        source=Source("receipt", str(receipt["id"]), "held"),
        amount_vnd=held_vnd,
        effective_at=receipt["paid_at"],
        flow=receipt["id"],
    )
    await _hold(tx, receipt["id"], reason, held_vnd, charge_id, now)


async def _hold(tx: Tx, receipt_id: UUID, reason: str, amount_vnd: int, charge_id: UUID | None, now: datetime) -> None:
    await tx.execute(
        "insert into payments.held (operator_id, receipt_id, reason, amount_vnd, charge_id, opened_at)"
        " values ($1, $2, $3, $4, $5, $6)",
        tx.operator_id,
        receipt_id,
        reason,
        amount_vnd,
        charge_id,
        now,
    )
