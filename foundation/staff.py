"""People who work here: attendants (PIN on an enrolled tablet), finance staff and managers (password in a browser).

Sessions are rows of our own: a 256-bit secret whose hash is stored, with the operator in front, so that a copied cookie
dies with its row. Which route needs which permission is said on the route (`foundation.web.permit`).
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from sqlalchemy import ARRAY, Text
from sqlmodel import CheckConstraint, Field, ForeignKeyConstraint, SQLModel, UniqueConstraint

from foundation import audit, clock
from foundation.database import Tx
from foundation.errors import LoginNeeded, Refusal
from foundation.tables import instant, keys, new_id, octets, owner_key

PERMISSIONS: dict[str, frozenset[str]] = {
    "attendant": frozenset({"device:work"}),
    "supervisor": frozenset({"device:work", "device:enrol"}),
    "finance": frozenset({"finance:read", "finance:handle", "finance:approve"}),
    "manager": frozenset({"finance:read", "finance:approve", "device:enrol", "staff:write"}),
}
"""What each role may do."""

IDLE = timedelta(minutes=30)
ABSOLUTE = timedelta(hours=12)

# One hash costs 64 MiB and tens of milliseconds: two at a time, or a flood of logins is a denial of service.
_hashing = asyncio.Semaphore(2)
_hasher = PasswordHash((Argon2Hasher(time_cost=2, memory_cost=19 * 1024, parallelism=1),))


class Staff(SQLModel, table=True):
    """A person of one operator. `login` is unique per operator: an attendant's number, a clerk's name."""

    __tablename__ = "staff"
    __table_args__ = (
        UniqueConstraint(*keys("login"), name="staff_login_key"),
        CheckConstraint(
            "roles <@ array['attendant', 'supervisor', 'finance', 'manager'] and cardinality(roles) > 0", name="roles"
        ),
        {"schema": "foundation"},
    )
    operator_id: UUID = owner_key()
    id: UUID = Field(primary_key=True)
    login: str
    name: str
    roles: list[str] = Field(sa_type=ARRAY(Text))
    secret_hash: str
    active: bool = True


class Session(SQLModel, table=True):
    """A login that lasts until it ends, idles out or reaches its end. With a device for attendants."""

    __tablename__ = "session"
    __table_args__ = (
        ForeignKeyConstraint(
            keys("staff_id"), ["foundation.staff.operator_id", "foundation.staff.id"], name="session_staff_fkey"
        ),
        ForeignKeyConstraint(
            keys("device_id"), ["foundation.device.operator_id", "foundation.device.id"], name="session_device_fkey"
        ),
        {"schema": "foundation"},
    )
    operator_id: UUID = owner_key()
    id_hash: bytes = octets(primary_key=True)
    staff_id: UUID
    device_id: UUID | None = None
    created_at: datetime = instant()
    seen_at: datetime = instant()
    expires_at: datetime = instant()
    ended_at: datetime | None = instant(default=None)


class WrongLogin(Refusal):
    """The name or the secret is not right."""

    status = 401


class LoginExpired(LoginNeeded):
    """Your login has ended; please log in again."""


@dataclass(frozen=True, slots=True)
class OnDuty:
    """A person who is logged in."""

    operator_id: UUID
    staff_id: UUID
    login: str
    name: str
    permissions: frozenset[str]
    csrf: str


@dataclass(frozen=True, slots=True)
class Token:
    """A secret with its operator in front: `<32 hex operator>.<43 characters>`; only its hash is stored."""

    operator_id: UUID
    secret: str

    @classmethod
    def draw(cls, operator_id: UUID) -> Token:
        return cls(operator_id, secrets.token_urlsafe(32))

    @classmethod
    def read(cls, text: str | None) -> Token | None:
        """A token from a cookie or header, or None if it has not the form of one."""
        operator, _, secret = (text or "").partition(".")
        if len(operator) != 32 or not 40 <= len(secret) <= 64:
            return None
        try:
            return cls(UUID(hex=operator), secret)
        except ValueError:
            return None

    def __str__(self) -> str:
        return f"{self.operator_id.hex}.{self.secret}"

    @property
    def hash(self) -> bytes:
        return hashlib.sha256(self.secret.encode()).digest()

    @property
    def csrf(self) -> str:
        """The form token of this session: derived, so it needs no column and dies with the secret."""
        return hmac.digest(self.secret.encode(), b"motcham csrf", "sha256").hex()[:32]


async def hash_secret(secret: str) -> str:
    """Argon2id of a password or PIN."""
    async with _hashing:
        return await asyncio.to_thread(_hasher.hash, secret)


async def verify_secret(secret: str, hashed: str | None) -> bool:
    """Whether the secret is right. An unknown person costs as much time as a known one."""
    async with _hashing:
        if hashed is None:
            await asyncio.to_thread(_hasher.hash, secret)
            return False
        return await asyncio.to_thread(_hasher.verify, secret, hashed)


async def add_staff(tx: Tx, *, login: str, name: str, roles: list[str], secret: str) -> UUID:
    """Adds a person. `secret` is a password, or a PIN of six digits for work on a tablet."""
    id = new_id()
    await tx.execute(
        "insert into foundation.staff (operator_id, id, login, name, roles, secret_hash, active)"
        " values ($1, $2, $3, $4, $5, $6, true)",
        tx.operator_id,
        id,
        login,
        name,
        roles,
        await hash_secret(secret),
    )
    return id


async def find_login(tx: Tx, login: str) -> Any | None:
    """The active person of this operator with that login: id, name, roles, secret_hash; or None."""
    return await tx.row(
        "select id, name, roles, secret_hash from foundation.staff where operator_id = $1 and login = $2 and active",
        tx.operator_id,
        login,
    )


async def open_session(tx: Tx, *, staff_id: UUID, device_id: UUID | None = None) -> Token:
    """A new session with a new secret. On a device, the one before ends: one attendant at a time."""
    if device_id is not None:
        await tx.execute(
            "update foundation.session set ended_at = clock_timestamp()"
            " where operator_id = $1 and device_id = $2 and ended_at is null",
            tx.operator_id,
            device_id,
        )
    token = Token.draw(tx.operator_id)
    where = "browser" if device_id is None else f"device {device_id}"
    await audit.note(tx, staff_id, "session.opened", where, now=await clock.now(tx))
    await tx.execute(
        "insert into foundation.session (operator_id, id_hash, staff_id, device_id, created_at, seen_at, expires_at)"
        " values ($1, $2, $3, $4, clock_timestamp(), clock_timestamp(), clock_timestamp() + $5)",
        tx.operator_id,
        token.hash,
        staff_id,
        device_id,
        ABSOLUTE,
    )
    return token


async def close_session(tx: Tx, token: Token) -> None:
    """Ends a session; its secret is worthless from now on."""
    ended = await tx.row(
        "update foundation.session set ended_at = clock_timestamp()"
        " where operator_id = $1 and id_hash = $2 and ended_at is null returning staff_id, device_id",
        tx.operator_id,
        token.hash,
    )
    if ended is not None:
        where = "browser" if ended["device_id"] is None else f"device {ended['device_id']}"
        await audit.note(tx, ended["staff_id"], "session.closed", where, now=await clock.now(tx))


async def who_is_on_duty(tx: Tx, token: Token) -> OnDuty:
    """The person behind a browser session. Raises LoginExpired. Marks the session as seen, at most once a minute."""
    row = await tx.row(
        "with seen as (update foundation.session set seen_at = clock_timestamp()"
        "   where operator_id = $1 and id_hash = $2 and seen_at < clock_timestamp() - interval '1 minute'"
        "     and seen_at > clock_timestamp() - $3::interval and ended_at is null)"
        " select s.staff_id, p.login, p.name, p.roles from foundation.session s"
        " join foundation.staff p on p.operator_id = s.operator_id and p.id = s.staff_id and p.active"
        " where s.operator_id = $1 and s.id_hash = $2 and s.ended_at is null and s.device_id is null"
        "   and s.expires_at > clock_timestamp() and s.seen_at > clock_timestamp() - $3::interval",
        tx.operator_id,
        token.hash,
        IDLE,
    )
    if row is None:
        raise LoginExpired()
    permissions = frozenset().union(*(PERMISSIONS[role] for role in row["roles"]))
    return OnDuty(tx.operator_id, row["staff_id"], row["login"], row["name"], permissions, token.csrf)
