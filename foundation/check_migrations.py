"""`motcham check-migrations`: the migrations and the code say the same, checked on a real database.

`alembic check` compares tables; it does not see functions, policies, triggers, grants, CHECKs nor the WHERE of a
partial index. So a migrated database is compared, line by line, with one built straight from the tables and files.
"""

from __future__ import annotations

import asyncio
import difflib
import sys
import tempfile
from pathlib import Path

import asyncpg
from alembic import command
from alembic.util.exc import CommandError
from sqlalchemy import Connection

from foundation.embedded import EmbeddedPostgres
from foundation.migrate import HOUSE, SERVICES, alembic_config, build_from_tables, catalogue, migrate, on_connection

ROOT = b"\x11" * 32


def check() -> int:
    """0 if they agree; otherwise prints what differs and returns 1."""
    with tempfile.TemporaryDirectory() as folder:
        server = EmbeddedPostgres(Path(folder) / "postgres", durable=False)
        try:
            with server:
                return asyncio.run(_compare(server.url))
        finally:
            server.remove()


async def _compare(url: str) -> int:
    admin = await asyncpg.connect(url)
    for name in ("migrated", "built"):
        await admin.execute(f"create database {name}")
    await admin.close()
    migrated, built = (url.replace("/postgres?", f"/{name}?", 1) for name in ("migrated", "built"))
    await migrate(migrated, root=ROOT, environment="test")
    await migrate(migrated, root=ROOT, environment="test")  # a second time must change nothing and not fail
    await build_from_tables(built, root=ROOT, environment="test")
    differing = [
        line
        for line in difflib.unified_diff(await catalogue(migrated), await catalogue(built), lineterm="", n=0)
        if not line.startswith(("---", "+++", "@@"))
    ]
    for line in differing:
        print(("only in the migrations: " if line[0] == "-" else "only in tables and files: ") + line[1:])
    agreed = await _alembic_agrees(migrated)
    print("Migrations, tables and files agree." if agreed and not differing else "They differ.", file=sys.stderr)
    return 0 if agreed and not differing else 1


async def _alembic_agrees(url: str) -> bool:
    agreed = True

    def ask(connection: Connection) -> None:
        nonlocal agreed
        for service in SERVICES:
            try:
                command.check(alembic_config(service, connection))
            except CommandError as error:
                agreed = False
                print(f"{service}: {error}")

    await on_connection(url, ask)
    return agreed


def revise(service: str, message: str) -> int:
    """Writes the migration that brings the service's history to today's tables, for a person to read and correct."""
    with tempfile.TemporaryDirectory() as folder:
        server = EmbeddedPostgres(Path(folder) / "postgres", durable=False)
        try:
            with server:
                asyncio.run(_revise(server.url, service, message))
        finally:
            server.remove()
    return 0


async def _revise(url: str, service: str, message: str) -> None:
    await migrate(url, root=ROOT, environment="test", files=False)
    number = len(list((HOUSE / service / "migrations" / "versions").glob("[0-9]*.py"))) + 1

    def write(connection: Connection) -> None:
        command.revision(alembic_config(service, connection), message, autogenerate=True, rev_id=f"{number:04d}")

    await on_connection(url, write)
