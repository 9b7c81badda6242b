"""Telling the tax office of documents: in the order of their numbers, each until it is accepted or rejected.

What is about to be told is written down first. Of what has no answer the office is asked before it is told again, and it is
told again only if it never had it. A rejected one waits for a person: it is replaced (`fiscal.mend`) or told once more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from foundation import audit, clock, failpoint, outbox
from foundation.database import Database, Tx
from foundation.errors import Refusal
from foundation.seal import Sealer
from payments import fiscal
from payments.fiscal import SENDING, Document
from payments.tax_office import Key, TaxOffice, TaxOfficeSilent, Told, Verdict

MESSAGE_MAX = 50


class NotRejected(Refusal):
    """The tax office has not rejected this; nothing has changed."""


Item = tuple[Document, str]
"""A document, and what is told of it: `issue` or `cancel`."""


async def pursue(database: Database, sealer: Sealer, office: TaxOffice, claim: outbox.Claim) -> None:
    """The worker's act for `payments.fiscal`: brings the tax office up to date about one series.

    What was told by a process that died stands as `asking` and is asked about first. Raises TaxOfficeSilent while something
    has no answer, so that it is tried again, with growing pauses.
    """
    operator_id, series_id = claim.operator_id, UUID(claim.id)
    async with database.transaction(operator_id) as tx:
        if not await outbox.still_held(tx, claim):
            return
        asked = await _open(tx, series_id, "asking")
    if asked:
        issuer = asked[0][0].issuer_tax_code
        verdicts = await office.fates_of(issuer, [key_of(*item) for item in asked])
        await _hear(database, operator_id, asked, verdicts)
    async with database.transaction(operator_id) as tx:
        if not await outbox.still_held(tx, claim):
            return
        waiting = await _open(tx, series_id, "waiting")
        for document, what in waiting:
            await tx.execute(
                "update payments.fiscal_sending set state = 'asking', tries = tries + 1"
                " where operator_id = $1 and document_id = $2 and what = $3",
                operator_id,
                document.id,
                what,
            )
        replaced = {
            each.id: each
            for each in await fiscal.documents(
                tx, "d.id = any($2)", [document.replaces for document, _ in waiting if document.replaces]
            )
        }
    if waiting:
        told = [Told(key_of(*item), await _facts(sealer, *item, replaced)) for item in waiting]
        failpoint.here("fiscal.asking")
        verdicts = await office.tell(waiting[0][0].issuer_tax_code, told)
        failpoint.here("fiscal.answered")
        await _hear(database, operator_id, waiting, verdicts)
    async with database.transaction(operator_id) as tx:
        left = await tx.rows(
            "select state from payments.fiscal_sending where operator_id = $1 and series_id = $2"
            " and state in ('waiting', 'asking')",
            operator_id,
            series_id,
        )
        if any(row["state"] == "asking" for row in left):
            raise TaxOfficeSilent()
        if left:
            outbox.enqueue(tx, SENDING, claim.id)


async def again(tx: Tx, id: UUID, *, staff_id: UUID, now: datetime) -> None:
    """A person has what was rejected told once more as it is. Raises NotRejected."""
    rows = await tx.rows(
        "update payments.fiscal_sending set state = 'waiting', why = null, ended_at = null"
        " where operator_id = $1 and document_id = $2 and state = 'rejected' returning series_id",
        tx.operator_id,
        id,
    )
    if not rows:
        raise NotRejected()
    outbox.enqueue(tx, SENDING, str(rows[0]["series_id"]))
    await audit.note(tx, staff_id, "fiscal.told_again", f"fiscal {id}", now=now)


def key_of(document: Document, what: str) -> Key:
    """How the tax office knows it."""
    return Key(what, document.form, document.symbol, document.number)


async def _open(tx: Tx, series_id: UUID, state: str) -> list[Item]:
    """What of a series is in that state, in the order of numbers, as much as one message takes."""
    rows = await tx.rows(
        "select document_id, what from payments.fiscal_sending where operator_id = $1 and series_id = $2 and state = $3"
        " order by number, what desc limit $4",
        tx.operator_id,
        series_id,
        state,
        MESSAGE_MAX,
    )
    found = {
        each.id: each for each in await fiscal.documents(tx, "d.id = any($2)", [row["document_id"] for row in rows])
    }
    return [(found[row["document_id"]], row["what"]) for row in rows]


async def _facts(sealer: Sealer, document: Document, what: str, replaced: Mapping[UUID, Document]) -> dict[str, Any]:
    """What the office is told: of a document that was told before the very same again."""
    if what == "cancel":
        return {"at": document.ended_at, "reason": document.cause}
    buyer = await fiscal.buyer_on(sealer, document)
    before = replaced.get(document.replaces) if document.replaces else None
    return {
        "kind": document.kind,
        "sold_at": document.sold_at,
        "issued_at": document.issued_at,
        "item": document.item,
        "amount_vnd": document.amount_vnd,
        "vat_bp": document.vat_bp,
        "vat_vnd": document.vat_vnd,
        "means": document.means,
        "buyer": {"tax_code": buyer.tax_code, "name": buyer.name} if buyer else None,
        "replaces": {"form": before.form, "symbol": before.symbol, "number": before.number} if before else None,
        "look_up": document.look_up,
    }


async def _hear(database: Database, operator_id: UUID, items: Sequence[Item], verdicts: Mapping[Key, Verdict]) -> None:
    """Writes down what the office says; what it has not decided, or left out, stays as it was."""
    async with database.transaction(operator_id) as tx:
        tx.step("fiscal.heard")
        now = await clock.now(tx)
        for document, what in items:
            verdict = verdicts.get(key_of(document, what))
            if verdict is None or verdict.fate == "received":
                continue
            await tx.execute(
                "update payments.fiscal_sending set state = $4, tax_code = $5, why = $6, ended_at = $7"
                " where operator_id = $1 and document_id = $2 and what = $3 and state = 'asking'",
                operator_id,
                document.id,
                what,
                "waiting" if verdict.fate == "unknown" else verdict.fate,
                verdict.code,
                verdict.why,
                None if verdict.fate == "unknown" else now,
            )
