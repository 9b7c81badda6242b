"""The directory: which operator a place, an order reference, a collection account or a login belongs to.

The only table keyed otherwise than by operator. It holds nothing but names of things and whose they are.
"""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from sqlmodel import CheckConstraint, Field, SQLModel

from foundation.database import Database, Tx

REMEMBERED = 100_000
"""So many answers a process keeps."""
Kind = Literal["place", "place_code", "reference", "account", "operator"]


class Entry(SQLModel, table=True):
    """kind + key → operator. Keys: place number, place code, order reference, `bin/account` or
    `gateway/merchant`, operator code."""

    __tablename__ = "directory"
    __table_args__ = (
        CheckConstraint("kind in ('place', 'place_code', 'reference', 'account', 'operator')", name="kind"),
        {"schema": "foundation"},
    )
    kind: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    operator_id: UUID = Field(foreign_key="foundation.operator.id")


async def enter(tx: Tx, kind: Kind, key: str) -> None:
    """Says that the key belongs to this transaction's operator; a key of another operator stays his (an error)."""
    await tx.execute(
        "insert into foundation.directory (kind, key, operator_id) values ($1, $2, $3)", kind, key, tx.operator_id
    )


async def whose(database: Database, kind: Kind, key: str) -> UUID | None:
    """The operator a key belongs to, or None."""
    if "\0" in key:  # keys come from addresses; PostgreSQL's text cannot hold this one
        return None
    found = database.names.get((kind, key))
    if found is None:
        found = await database.value(
            "select operator_id from foundation.directory where kind = $1 and key = $2", kind, key
        )
        if found is not None:
            # For good: nobody may change or remove an entry.
            if len(database.names) >= REMEMBERED:
                database.names.clear()
            database.names[kind, key] = found
    return found


async def operators(database: Database) -> list[UUID]:
    """Every operator there is, for what the worker does for each."""
    rows = await database.rows("select operator_id from foundation.directory where kind = 'operator'")
    return [row["operator_id"] for row in rows]
