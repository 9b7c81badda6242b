"""The bank's own schema `mock_bank` in PostgreSQL, made and brought up to date at start-up."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import asyncpg
from fastapi import Depends, Request

HERE = Path(__file__).parent
SCHEMA = "".join((HERE / name).read_text(encoding="utf-8") for name in ("schema.sql", "statement.sql"))


async def prepare(database_url: str) -> None:
    """Make what is missing of the schema; running it again, or twice at once, changes nothing."""
    connection: asyncpg.Connection[Any] = await asyncpg.connect(database_url, timeout=10)
    try:
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock(hashtext('mock_bank schema'))")
            await connection.execute(SCHEMA)
    finally:
        await connection.close()


def _pool(request: Request) -> Any:
    return request.app.state.pool


Database = Annotated[asyncpg.Pool, Depends(_pool)]
