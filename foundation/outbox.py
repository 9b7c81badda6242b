"""Due work: what a worker must do for an operator, by when. Claimed with a lease and a fencing token.

The queue carries no row-level policy and holds nothing but operator, kind, id and times; the work itself is done in the
operator's context. A row is written in the same transaction as its cause, so nothing due is ever forgotten; the same
(operator, kind, id) due twice is one row with a higher version, so a cause that arrives during the work is not lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from random import SystemRandom
from uuid import UUID, uuid4

from sqlmodel import Field, Index, SQLModel, text

from foundation.database import Database, Tx
from foundation.tables import instant

LEASE = timedelta(seconds=30)
_chance = SystemRandom()
ATTEMPTS_MAX = 150
"""After that, some three days, a row is parked: it stays, is shown to finance, and waits for a person."""
LONGEST_PAUSE = timedelta(hours=1)
TROUBLED = "(parked_at is not null or attempts >= 8)"
"""What a person should know of: nobody tries it any more, or it has failed for some minutes."""


class Due(SQLModel, table=True):
    """One thing to do. `parked_at` set = no worker touches it any more."""

    __tablename__ = "due"
    __table_args__ = (
        Index("due_claim_idx", "due_at", postgresql_where=text("parked_at is null")),
        {"schema": "foundation"},
    )
    operator_id: UUID = Field(primary_key=True, foreign_key="foundation.operator.id")
    kind: str = Field(primary_key=True)
    id: str = Field(primary_key=True)
    due_at: datetime = instant()
    version: int = Field(default=1)
    attempts: int = Field(default=0)
    lease_until: datetime | None = instant(default=None)
    lease_token: UUID | None = None
    parked_at: datetime | None = instant(default=None)
    last_error: str | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """A due row held by one worker until its lease ends."""

    operator_id: UUID
    kind: str
    id: str
    version: int
    attempts: int
    token: UUID


def enqueue(tx: Tx, kind: str, id: str, *, after: timedelta = timedelta(0)) -> None:
    """Makes something due, in the transaction that causes it; written just before its commit.

    Many transactions touch such a row. Taken in the middle of one, it would make all of an operator's payments wait for
    each other, or for ever.
    """
    tx.last.append((kind, id, after))
    if not after:  # what is due later is found when a worker looks by itself, twice a second
        tx.wake("due")


async def claim(database: Database, *, most: int = 20) -> list[Claim]:
    """Takes what is due and not held by a living lease. Real time: a lease is about processes, not about the trade."""
    token = uuid4()
    rows = await database.rows(
        "with picked as ("
        "  select operator_id, kind, id from foundation.due"
        "  where parked_at is null and due_at <= clock_timestamp()"
        "    and (lease_until is null or lease_until < clock_timestamp())"
        "  order by due_at limit $1 for update skip locked)"
        " update foundation.due d set lease_until = clock_timestamp() + $2, lease_token = $3, attempts = attempts + 1"
        " from picked p where (d.operator_id, d.kind, d.id) = (p.operator_id, p.kind, p.id)"
        " returning d.operator_id, d.kind, d.id, d.version, d.attempts",
        most,
        LEASE,
        token,
    )
    return [Claim(**row, token=token) for row in rows]


async def still_held(tx: Tx, held: Claim) -> bool:
    """The fence: locks the row and says whether this claim is still the one. Called in the effect's transaction."""
    return bool(
        await tx.value(
            "select true from foundation.due where operator_id = $1 and kind = $2 and id = $3 and lease_token = $4"
            " for update",
            held.operator_id,
            held.kind,
            held.id,
            held.token,
        )
    )


async def done(tx: Tx, held: Claim) -> None:
    """Removes the row, unless its cause came again meanwhile: then it is due again at once.

    Two statements, because the second must see what was committed while the first waited for the row.
    """
    tx.step("work.done")
    row = (held.operator_id, held.kind, held.id, held.token)
    await tx.execute(
        "delete from foundation.due where operator_id = $1 and kind = $2 and id = $3 and lease_token = $4"
        " and version = $5",
        *row,
        held.version,
    )
    await tx.execute(
        "update foundation.due set lease_until = null, lease_token = null, due_at = clock_timestamp()"
        " where operator_id = $1 and kind = $2 and id = $3 and lease_token = $4",
        *row,
    )


async def failed(database: Database, held: Claim, error: str) -> None:
    """Puts it back with exponential back-off and full jitter, or parks it after ATTEMPTS_MAX tries."""
    longest = min(timedelta(seconds=2 ** min(held.attempts, 12)), LONGEST_PAUSE)
    # Full jitter: what failed together, because one thing was away, does not come back together.
    delay = longest * _chance.random()
    await database.execute(
        "update foundation.due set lease_until = null, lease_token = null, last_error = left($5, 500),"
        " due_at = clock_timestamp() + $6, parked_at = case when attempts >= $7 then clock_timestamp() end"
        " where operator_id = $1 and kind = $2 and id = $3 and lease_token = $4",
        held.operator_id,
        held.kind,
        held.id,
        held.token,
        error,
        delay,
        ATTEMPTS_MAX,
    )


async def park(tx: Tx, kind: str, id: str, why: str) -> None:
    """Puts something before a person that no worker can do."""
    await tx.execute(
        "insert into foundation.due (operator_id, kind, id, due_at, version, attempts, parked_at, last_error)"
        " values ($1, $2, $3, clock_timestamp(), 1, 0, clock_timestamp(), left($4, 500)) on conflict do nothing",
        tx.operator_id,
        kind,
        id,
        why,
    )


async def try_again(tx: Tx, kind: str, id: str) -> bool:
    """Gives work in trouble back to the workers at once, from its first try on. False if there is none."""
    status = await tx.execute(
        "update foundation.due set parked_at = null, attempts = 0, due_at = clock_timestamp()"
        f" where operator_id = $1 and kind = $2 and id = $3 and {TROUBLED}",
        tx.operator_id,
        kind,
        id,
    )
    tx.wake("due")
    return status == "UPDATE 1"


async def settle_by_hand(tx: Tx, kind: str, id: str) -> str | None:
    """A person says that work in trouble is settled. Returns its last error, None if there is none."""
    error: str | None = await tx.value(
        f"delete from foundation.due where operator_id = $1 and kind = $2 and id = $3 and {TROUBLED}"
        " returning coalesce(last_error, '')",
        tx.operator_id,
        kind,
        id,
    )
    return error
