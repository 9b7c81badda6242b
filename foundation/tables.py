"""What every table declaration shares: naming of constraints, instants, owned rows.

`operator_id` is declared first in every table of a service, because field order is key order (design.md 6).
SQLModel's `table=True` classes declare; they do not validate. What must be true is a constraint.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import DateTime, LargeBinary, text
from sqlalchemy.dialects.postgresql import DOMAIN, JSONB
from sqlalchemy.types import TypeEngine
from sqlmodel import Field, SQLModel
from uuid_utils.compat import uuid7

SQLModel.metadata.naming_convention = {
    "ix": "%(table_name)s_%(column_0_N_name)s_idx",
    "uq": "%(table_name)s_%(column_0_N_name)s_key",
    "ck": "%(table_name)s_%(constraint_name)s",
    "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
    "pk": "%(table_name)s_pkey",
}


def new_id() -> UUID:
    """A UUIDv7: made in the application, roughly ordered by time, never the only leading key column."""
    return uuid7()


def instant(**kwargs: Any) -> Any:
    """A `timestamptz` column."""
    return Field(sa_type=DateTime(timezone=True), **kwargs)


def recorded() -> Any:
    """When the database wrote the row, by its real clock; nobody passes it in."""
    return instant(sa_column_kwargs={"server_default": text("clock_timestamp()")})


def octets(**kwargs: Any) -> Any:
    """A `bytea` column."""
    return Field(sa_type=LargeBinary, **kwargs)


def document(**kwargs: Any) -> Any:
    """A `jsonb` column."""
    return Field(sa_type=JSONB, **kwargs)


def domain(name: str, data_type: type[TypeEngine[Any]], *, check: str) -> Any:
    """The type of a column with a rule for its value: `domain("parking.capacity", Integer, check="value > 0")`.

    A domain asks when a value is written; a CHECK of the table is read anew by every update of whatever column.
    """
    schema, _, own_name = name.partition(".")
    return DOMAIN(own_name, data_type, schema=schema, check=text(check))


def owner_key(*, implied: bool = False) -> Any:
    """`operator_id`, the first column of every key.

    `implied`: another foreign key of the table leads to the operator already. One more would only lock that one row of
    his in every hot act.
    """
    return Field(primary_key=True) if implied else Field(primary_key=True, foreign_key="foundation.operator.id")


def keys(*columns: str) -> Sequence[str]:
    """`operator_id` in front of the given columns, for composite foreign and unique keys."""
    return ["operator_id", *columns]
