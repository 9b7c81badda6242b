"""Idempotency of requests: the same key and body get the same answer, another body is refused.

The key row, the stored answer and the effect are written in one transaction, so there is no half-done state: a second
request with the key waits up to a second on the first one's row, then is told that it is still running.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import asyncpg
from sqlmodel import Field, SQLModel

from foundation.database import Tx
from foundation.errors import Refusal
from foundation.tables import document, instant, octets, owner_key


class StoredAnswer(SQLModel, table=True):
    """The first outcome under a key. `principal` is who asked: a device, a member of staff, a visitor's form."""

    __tablename__ = "stored_answer"
    __table_args__ = {"schema": "foundation"}
    operator_id: UUID = owner_key()
    principal: str = Field(primary_key=True)
    route: str = Field(primary_key=True)
    key: str = Field(primary_key=True, max_length=255)
    body_hash: bytes = octets()
    answer: dict[str, Any] | None = document(default=None, nullable=True)
    recorded_at: Any = instant()


class KeyUsedForAnother(Refusal):
    """This Idempotency-Key was already used for a different request; take a new key."""

    status = 422
    constraint = "action_pkey"  # a tablet's id that a hot act has used cannot be another act's


class StillRunning(Refusal):
    """The same request is still running; ask again in a moment."""

    status = 409
    retry_after_s = 1


def body_hash(body: object) -> bytes:
    """SHA-256 of a request in canonical JSON (sorted keys, no spaces)."""
    return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":"), default=str).encode()).digest()


async def stored(tx: Tx, *, principal: str, route: str, key: str, digest: bytes) -> dict[str, Any] | None:
    """The answer given before under this key, or None after claiming the key for this transaction.

    Raises KeyUsedForAnother, StillRunning. Whoever gets None must call `store` before the transaction ends.
    """
    try:
        row = await tx.row(
            "select * from foundation.claim_answer($1, $2, $3, $4, $5)", tx.operator_id, principal, route, key, digest
        )
    except asyncpg.LockNotAvailableError as error:
        raise StillRunning() from error
    return None if row["claimed"] else answered(row["body_hash"], row["answer"], digest)


def answered(body_hash: bytes, answer: str, digest: bytes) -> dict[str, Any]:
    """A stored answer (JSON), if it is one to what is asked now. Raises KeyUsedForAnother."""
    if body_hash != digest:
        raise KeyUsedForAnother()
    said: dict[str, Any] = json.loads(answer)
    return said


async def keep(tx: Tx, *, principal: str, route: str, key: str, digest: bytes, answer: dict[str, Any]) -> bool:
    """Keeps an answer that is known before its effect is written. False if the key has one: look at that."""
    kept: bool = await tx.value(
        "select foundation.keep_answer($1, $2, $3, $4, $5, $6)",
        tx.operator_id,
        principal,
        route,
        key,
        digest,
        json.dumps(answer),
    )
    return kept


async def once(
    tx: Tx, *, principal: str, route: str, key: str, asked: object, act: Callable[[], Awaitable[dict[str, Any]]]
) -> dict[str, Any]:
    """Does it once per key, and answers a second asking as the first. Raises KeyUsedForAnother, StillRunning."""
    answer = await stored(tx, principal=principal, route=route, key=key, digest=body_hash(asked))
    if answer is None:
        answer = await act()
        await store(tx, principal=principal, route=route, key=key, answer=answer)
    return answer


async def store(tx: Tx, *, principal: str, route: str, key: str, answer: dict[str, Any]) -> None:
    """Keeps the answer under the key that `stored` claimed."""
    await tx.execute(
        "update foundation.stored_answer set answer = $5"
        " where operator_id = $1 and principal = $2 and route = $3 and key = $4",
        tx.operator_id,
        principal,
        route,
        key,
        json.dumps(answer),
    )
