"""Brings a database to today's shape: roles, each service's Alembic history, then functions, policies and grants.

Alembic sees tables; what it does not see (functions, triggers, policies, grants) stands in `.sql` files beside its
room and is applied afresh after each migration. `catalogue()` lists everything there is, so that a migrated database
can be compared with one built straight from the tables and files.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import asyncpg
from alembic import command
from alembic.config import Config
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import Connection, pool, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlmodel import SQLModel

HOUSE = Path(__file__).resolve().parent.parent
SERVICES = ("foundation", "payments", "parking", "ticketing")
OWNER = "motcham_owner"
ROLES = ("app", "city", "keeper", "bank")


class MigrationRefused(Exception):
    """The database cannot be brought to today's shape; the message says why in one sentence."""


def role_password(root: bytes, role: str) -> str:
    """Passwords of our roles derive from the root key, so no further secret has to be kept."""
    return HKDF(algorithm=SHA256(), length=24, salt=None, info=b"motcham role " + role.encode()).derive(root).hex()


def role_url(admin_url: str, root: bytes, role: str) -> str:
    """The administrator's URL with the user and derived password of one of our roles."""
    parts = urlsplit(admin_url)
    host = parts.netloc.rpartition("@")[2]
    netloc = f"motcham_{role}:{quote(role_password(root, role))}@{host}"
    return urlunsplit((parts.scheme, netloc, parts.path, urlencode(parse_qsl(parts.query), safe="/"), ""))


def sqlalchemy_url(url: str) -> str:
    """The same URL for SQLAlchemy over asyncpg."""
    return "postgresql+asyncpg" + url[url.index(":") :]


def load_tables() -> None:
    """Imports every room, so that SQLModel knows all tables."""
    for service in SERVICES:
        for file in sorted((HOUSE / service).rglob("*.py")):
            relative = file.relative_to(HOUSE)
            if "migrations" not in relative.parts and "table=True" in file.read_text("utf-8"):
                importlib.import_module(".".join(relative.with_suffix("").parts))


async def migrate(
    admin_url: str,
    *,
    root: bytes,
    environment: str,
    files: bool = True,
    passwords: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Roles, histories, files, in one go; safe to run again. Raises MigrationRefused.

    `passwords` of roles (app, city, keeper, bank) that somebody else chose; the others derive from the root key.
    """
    load_tables()
    await _roles(admin_url, root, passwords)
    await _as_owner(admin_url, _upgrade)
    if files:
        await apply_files(admin_url, environment)


async def build_from_tables(admin_url: str, *, root: bytes, environment: str) -> None:
    """The same database without its history, for comparing."""
    load_tables()
    await _roles(admin_url, root)

    def create(connection: Connection) -> None:
        for service in SERVICES:
            connection.execute(text(f"create schema if not exists {service}"))
        SQLModel.metadata.create_all(connection)

    await _as_owner(admin_url, create)
    await apply_files(admin_url, environment)


def _upgrade(connection: Connection) -> None:
    for service in SERVICES:
        connection.execute(text(f"create schema if not exists {service}"))
        command.upgrade(alembic_config(service, connection), "head")


def alembic_config(service: str, connection: Connection) -> Config:
    """Alembic's configuration of one service, on a connection that is already open."""
    config = Config()
    config.set_main_option("script_location", str(HOUSE / service / "migrations"))
    config.set_main_option("path_separator", "os")
    config.attributes |= {"connection": connection, "service": service}
    return config


async def on_connection(admin_url: str, act: Callable[[Connection], None]) -> None:
    """Runs a synchronous act on one connection as owner (for Alembic's own commands)."""
    await _as_owner(admin_url, act)


async def _as_owner(admin_url: str, act: Callable[[Connection], None]) -> None:
    engine = create_async_engine(sqlalchemy_url(admin_url), poolclass=pool.NullPool)
    try:
        async with engine.begin() as connection:
            await connection.execute(text(f"set role {OWNER}"))
            await connection.execute(text("set lock_timeout = '5s'"))
            await connection.run_sync(act)
    finally:
        await engine.dispose()


async def _roles(admin_url: str, root: bytes, passwords: Mapping[str, str] = MappingProxyType({})) -> None:
    connection = await _connect(admin_url)
    try:
        # Roles belong to the whole server: two databases being made at once must not trip over each other.
        await connection.execute("select pg_advisory_lock(7262)")
        present = {row[0] for row in await connection.fetch("select rolname from pg_roles")}
        if OWNER not in present:
            await connection.execute(f"create role {OWNER} nologin")
        for role in ROLES:
            name, password = f"motcham_{role}", passwords.get(role) or role_password(root, role)
            bypass = "bypassrls" if role == "keeper" else "nobypassrls"
            verb = "alter" if name in present else "create"
            quoted = await connection.fetchval("select quote_literal($1)", password)
            await connection.execute(f"{verb} role {name} login {bypass} nosuperuser password {quoted}")
        await connection.execute(f"grant {OWNER} to current_user")
        database = await connection.fetchval("select current_database()")
        # The mock bank keeps to a schema of its own, which it makes itself.
        await connection.execute(f'grant create on database "{database}" to {OWNER}, motcham_bank')
    except asyncpg.InsufficientPrivilegeError as error:
        raise MigrationRefused(f"DATABASE_URL must belong to someone who may create roles: {error}") from error
    finally:
        await connection.close()


async def apply_files(admin_url: str, environment: str) -> None:
    """Functions, triggers, policies and grants, from the `.sql` files of each service, in one transaction."""
    connection = await _connect(admin_url)
    try:
        async with connection.transaction():
            await connection.execute(f"set local role {OWNER}; set local check_function_bodies = on")
            await connection.execute(
                "insert into foundation.installation (one, environment) values (true, $1) on conflict (one) do nothing",
                environment,
            )
            there = await connection.fetchval("select environment from foundation.installation")
            if there != environment:
                raise MigrationRefused(f"This database belongs to the environment {there}, not {environment}.")
            files = [file for service in SERVICES for file in sorted((HOUSE / service).rglob("*.sql"))]
            # The guards come after all others, since they look at every table there is; then the exceptions to them.
            last = {"guards.sql": 1, "grants.sql": 2}
            for file in sorted(
                files, key=lambda f: (last.get(f.name, 0), SERVICES.index(f.relative_to(HOUSE).parts[0]), f)
            ):
                try:
                    await connection.execute(file.read_text("utf-8"))
                except asyncpg.PostgresError as error:
                    raise MigrationRefused(f"{file.relative_to(HOUSE)}: {error}") from error
    finally:
        await connection.close()


async def catalogue(admin_url: str) -> list[str]:
    """Every column, constraint, index, function, trigger, policy and grant of our schemas, one line each, sorted."""
    connection = await _connect(admin_url)
    try:
        rows = await connection.fetch((Path(__file__).parent / "catalogue.query").read_text("utf-8"))
        return sorted(row[0] for row in rows)
    finally:
        await connection.close()


async def _connect(admin_url: str) -> asyncpg.Connection:
    try:
        return await asyncpg.connect(admin_url, timeout=10)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError, ValueError) as error:
        from foundation.database import safe_url

        raise MigrationRefused(f"The database at {safe_url(admin_url)} does not answer: {error}") from error
