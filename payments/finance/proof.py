"""The proof of an operator's books as finance keeps it: made by the worker every hour and when somebody asks.

A proof reads every row there is, so a page shows the last one, says when it was made and what was booked since.
`motcham books` always proves anew.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlmodel import SQLModel

from foundation import directory, outbox
from foundation.database import Database, Tx
from foundation.tables import document, instant, owner_key
from payments.books import Finding, Line, Proof, prove

PROVE = "payments.prove"
WORK = "books"
"""The one row of due work that an operator's proof has."""

OLD_AFTER = timedelta(hours=1)
CLOCKS_APART = timedelta(minutes=10)
"""By so much the clock in an identifier may be behind the database's."""


class BooksProof(SQLModel, table=True):
    """The last proof of an operator's books: when, by the database's real time, and what it found (`books.Line`)."""

    __tablename__ = "books_proof"
    __table_args__ = {"schema": "payments"}
    operator_id: UUID = owner_key()
    at: datetime = instant()
    lines: list[dict[str, Any]] = document()


@dataclass(frozen=True, slots=True)
class Kept:
    """What is known of the books: the last proof, how many transfers were booked since, whether one is being made."""

    proof: Proof | None
    transfers_since: int
    under_way: bool

    @property
    def version(self) -> str:
        """Changes with every proof."""
        return f"{self.proof.at.timestamp():.6f}" if self.proof else "none"


async def kept(tx: Tx) -> Kept:
    """The operator's last proof, without making one."""
    row = await tx.row("select at, lines from payments.books_proof where operator_id = $1", tx.operator_id)
    proof = None if row is None else Proof(row["at"], tuple(_line(line) for line in json.loads(row["lines"])))
    under_way: bool = await tx.value(
        "select exists (select from foundation.due where operator_id = $1 and kind = $2 and parked_at is null)",
        tx.operator_id,
        PROVE,
    )
    return Kept(proof, await _transfers_since(tx, proof.at) if proof else 0, under_way)


async def ask(tx: Tx) -> None:
    """Makes a proof due at once. One that is due or being made, and did not fail before, is answer enough."""
    if not await tx.value(
        "select true from foundation.due"
        " where operator_id = $1 and kind = $2 and parked_at is null and last_error is null",
        tx.operator_id,
        PROVE,
    ):
        outbox.enqueue(tx, PROVE, WORK)


async def ask_for_the_oldest(database: Database) -> None:
    """Makes one proof due, the oldest that is older than an hour, or one that is missing. Called every minute.

    One at a time, because all other due work waits while a worker proves.
    """
    wanted: list[tuple[float, UUID]] = []
    for operator_id in await directory.operators(database):
        async with database.transaction(operator_id) as tx:
            age_s = await tx.value(
                "select extract(epoch from clock_timestamp() - at)::float from payments.books_proof"
                " where operator_id = $1",
                tx.operator_id,
            )
        if age_s is None or age_s > OLD_AFTER.total_seconds():
            wanted.append((math.inf if age_s is None else age_s, operator_id))
    if wanted:
        async with database.transaction(max(wanted)[1]) as tx:
            await ask(tx)


async def keep(database: Database, claim: outbox.Claim) -> None:
    """The worker's act for `payments.prove`: proves the books of one operator and keeps what was found.

    The row of due work stays locked until the proof is kept, so that no second worker begins when the lease ends.
    """
    async with database.transaction(claim.operator_id, isolation="repeatable read") as tx:
        if not await outbox.still_held(tx, claim):
            return
        tx.step("books.proved")
        proof = await prove(tx.connection, operator_id=tx.operator_id)
        await tx.execute(
            "insert into payments.books_proof (operator_id, at, lines) values ($1, $2, $3)"
            " on conflict (operator_id) do update set at = excluded.at, lines = excluded.lines",
            tx.operator_id,
            proof.at,
            json.dumps([asdict(line) for line in proof.lines], default=datetime.isoformat),
        )
        tx.wake(channel(tx.operator_id))


def channel(operator_id: UUID) -> str:
    """What a page that waits for a proof listens to."""
    return f"books:{operator_id}"


async def _transfers_since(tx: Tx, at: datetime) -> int:
    """A journal's id begins with the time at which it was made, so its key finds the new ones among a million."""
    since: int = await tx.value(
        "select count(*) from payments.journal j"
        " join payments.transfer t on t.operator_id = j.operator_id and t.journal_id = j.id"
        " where j.operator_id = $1 and j.id >= $2 and j.recorded_at > $3",
        tx.operator_id,
        UUID(int=int((at - CLOCKS_APART).timestamp() * 1000) << 80),
        at,
    )
    return since


def _line(stored: dict[str, Any]) -> Line:
    named = {kind: tuple(_finding(row) for row in stored[kind]) for kind in ("findings", "open")}
    return Line(**{**stored, **named})


def _finding(stored: dict[str, Any]) -> Finding:
    since = stored["since"]
    return Finding(**{**stored, "since": None if since is None else datetime.fromisoformat(since)})
