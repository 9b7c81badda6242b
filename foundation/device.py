"""Tablets: enrolled by a one-time code, used by one attendant at a time, every action with an id made by the device.

The first outcome of an action is stored under (device, id) and looked up before any rule: repeated, it returns that
outcome; with another body it is refused. The hot acts do the same inside their SQL function (device.sql).
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import ARRAY, BigInteger, Integer
from sqlmodel import CheckConstraint, ForeignKeyConstraint, Index, SQLModel
from sqlmodel import Field as Column

from foundation import clock, idempotency
from foundation.check_symbols import ALPHABET
from foundation.clock import Instant
from foundation.database import Database, Tx
from foundation.errors import NotFound, Refusal, refusal_of
from foundation.idempotency import KeyUsedForAnother
from foundation.staff import LoginExpired, Token
from foundation.tables import document, instant, keys, new_id, octets, owner_key, recorded

ENROLMENT_LASTS = timedelta(hours=24)


class Device(SQLModel, table=True):
    """A tablet and the places it works at. Its own secret only lets an attendant log in."""

    __tablename__ = "device"
    __table_args__ = {"schema": "foundation"}
    operator_id: UUID = owner_key()
    id: UUID = Column(primary_key=True)
    name: str
    places: list[int] = Column(sa_type=ARRAY(Integer))
    token_hash: bytes = octets()
    enrolled_at: datetime = instant()
    revoked_at: datetime | None = instant(default=None)


class Enrolment(SQLModel, table=True):
    """A one-time code that makes a tablet ours; only its hash is kept."""

    __tablename__ = "enrolment"
    __table_args__ = {"schema": "foundation"}
    operator_id: UUID = owner_key()
    code_hash: bytes = octets(primary_key=True)
    device_name: str
    places: list[int] = Column(sa_type=ARRAY(Integer))
    expires_at: datetime = instant()
    used_at: datetime | None = instant(default=None)
    device_id: UUID | None = None


class Action(SQLModel, table=True):
    """One thing done at a tablet, with its first outcome; insert-only. For a gate it is the scan log."""

    __tablename__ = "action"
    __table_args__ = (
        ForeignKeyConstraint(
            keys("device_id"), ["foundation.device.operator_id", "foundation.device.id"], name="action_device_fkey"
        ),
        CheckConstraint("counter >= 0", name="counter"),
        Index("action_done_idx", "done_at", postgresql_using="brin"),
        {"schema": "foundation", "comment": "insert-only: what was done at a tablet"},
    )
    operator_id: UUID = owner_key(implied=True)
    device_id: UUID = Column(primary_key=True)
    id: UUID = Column(primary_key=True)
    kind: str
    counter: int = Column(sa_type=BigInteger)
    body_hash: bytes = octets()
    outcome: dict[str, Any] = document()
    staff_id: UUID
    occurred_at: datetime = instant()
    done_at: datetime = instant()
    recorded_at: datetime = recorded()


class EnrolmentRefused(Refusal):
    """This enrolment code is not known, was already used, or has run out; ask for a new one."""

    status = 403


class DeviceRevoked(Refusal):
    """This tablet was taken out of service; hand it to your supervisor."""

    status = 401


class PlaceNotYours(Refusal):
    """This tablet does not work at that place."""

    status = 403


def refused(code: str) -> Refusal:
    """The refusal that a hot act's SQL function names."""
    known = (LoginExpired, DeviceRevoked, PlaceNotYours, KeyUsedForAnother)
    return next(refusal() for refusal in known if refusal.code == code)


class ActionIn(BaseModel):
    """What every action of a tablet carries."""

    model_config = ConfigDict(extra="forbid", strict=True)
    id: UUID = Field(strict=False, description="made by the device, once per action")
    counter: int = Field(ge=0, le=2**53 - 1, description="contiguous per device")
    at: Instant = Field(strict=False, description="the device's clock when it happened")


@dataclass(frozen=True, slots=True)
class Attendant:
    """Who works at which tablet."""

    operator_id: UUID
    device_id: UUID
    device_name: str
    places: tuple[int, ...]
    staff_id: UUID
    login: str
    name: str

    def must_work_at(self, place: int) -> None:
        """Raises PlaceNotYours for a place that the tablet was not enrolled for."""
        if place not in self.places:
            raise PlaceNotYours()


def digest(code: str) -> bytes:
    """The stored form of an enrolment code, whatever its case and separators."""
    return hashlib.sha256("".join(c for c in code.upper() if c.isalnum()).encode()).digest()


async def offer_enrolment(tx: Tx, *, operator_code: str, device_name: str, places: list[int]) -> str:
    """A one-time code `VANMIEU-ABCDE-FGHJK`, good for a day. The operator stands in front, the rest is 49 bits."""
    drawn = "".join(secrets.choice(ALPHABET) for _ in range(10))
    code = f"{operator_code.upper()}-{drawn[:5]}-{drawn[5:]}"
    await tx.execute(
        "insert into foundation.enrolment (operator_id, code_hash, device_name, places, expires_at)"
        " values ($1, $2, $3, $4, clock_timestamp() + $5)",
        tx.operator_id,
        digest(code),
        device_name,
        places,
        ENROLMENT_LASTS,
    )
    return code


async def enrol(tx: Tx, *, code: str) -> tuple[UUID, Token]:
    """Turns a code into a device, once. Raises EnrolmentRefused."""
    device_id, token = new_id(), Token.draw(tx.operator_id)
    offer = await tx.row(
        "update foundation.enrolment set used_at = clock_timestamp(), device_id = $3"
        " where operator_id = $1 and code_hash = $2 and used_at is null and expires_at > clock_timestamp()"
        " returning device_name, places",
        tx.operator_id,
        digest(code),
        device_id,
    )
    if offer is None:
        raise EnrolmentRefused()
    await tx.execute(
        "insert into foundation.device (operator_id, id, name, places, token_hash, enrolled_at)"
        " values ($1, $2, $3, $4, $5, clock_timestamp())",
        tx.operator_id,
        device_id,
        offer["device_name"],
        offer["places"],
        token.hash,
    )
    return device_id, token


async def find_device(tx: Tx, token: Token) -> Any:
    """The living device behind its token: id, name, places. Raises EnrolmentRefused, DeviceRevoked."""
    row = await tx.row(
        "select id, name, places, revoked_at from foundation.device where operator_id = $1 and token_hash = $2",
        tx.operator_id,
        token.hash,
    )
    if row is None:
        raise EnrolmentRefused()
    if row["revoked_at"] is not None:
        raise DeviceRevoked()
    return row


async def revoke(tx: Tx, device_id: UUID) -> None:
    """Takes a tablet out of service: its sessions end with it, at once. Raises NotFound."""
    if not await tx.value(
        "update foundation.device set revoked_at = coalesce(revoked_at, clock_timestamp())"
        " where operator_id = $1 and id = $2 returning true",
        tx.operator_id,
        device_id,
    ):
        raise NotFound()


async def attendant(tx: Tx, token: Token) -> Attendant:
    """Who works with this session. Raises LoginExpired, DeviceRevoked."""
    row = await tx.row("select * from foundation.on_duty($1, $2)", tx.operator_id, token.hash)
    if row is None or row["refusal"] == "login_expired":
        raise LoginExpired()
    if row["refusal"] == "device_revoked":
        raise DeviceRevoked()
    return Attendant(
        tx.operator_id,
        row["device_id"],
        row["device_name"],
        tuple(row["places"]),
        row["staff_id"],
        row["login"],
        row["name"],
    )


@dataclass(slots=True)
class Acting:
    """An action of a tablet while it is done. `outcome` is None until it is known; whoever does it sets it.

    `when_refused`: what is to be remembered if a rule of the trade refuses it, when all else of it is undone.
    """

    tx: Tx
    who: Attendant
    now: datetime
    outcome: dict[str, Any] | None = None
    when_refused: Callable[[], Awaitable[None]] | None = None


@asynccontextmanager
async def acting(database: Database, token: Token, action: ActionIn, kind: str) -> AsyncIterator[Acting]:
    """Does an action once, in one transaction: its first outcome stands for ever, also if that was a refusal.

    A rule of the trade that refused it (409) refuses it again under the same id, even if it would hold now: a tablet
    that asks again after hours must not move money that its attendant was told had not moved. `final` says so; a new id
    is a new try. Raises LoginExpired, DeviceRevoked, KeyUsedForAnother, StillRunning, and what the act refuses.
    """
    refusal: Refusal | None = None
    async with database.transaction(token.operator_id) as tx:
        who = await attendant(tx, token)
        name = {"principal": f"device:{who.device_id}", "route": "device", "key": str(action.id)}
        known = await idempotency.stored(tx, **name, digest=action_hash(action, kind))
        doing = Acting(tx, who, await clock.now(tx), known)
        if known is not None:
            if "refused" in known:
                raise refusal_of(known["refused"], known["facts"] | {"final": True})
            yield doing
            return
        try:
            async with tx.savepoint():
                yield doing
        except Refusal as caught:
            if caught.status != 409:
                raise
            refusal = caught
            if doing.when_refused is not None:
                await doing.when_refused()
            await idempotency.store(tx, **name, answer={"refused": caught.code, "facts": caught.told})
        else:
            assert doing.outcome is not None, "an action without an outcome"
            await idempotency.store(tx, **name, answer=doing.outcome)
            await _log(tx, who, action, kind, doing.outcome, now=doing.now)
    if refusal is not None:
        raise refusal


async def _log(tx: Tx, who: Attendant, action: ActionIn, kind: str, outcome: dict[str, Any], *, now: datetime) -> None:
    await tx.execute(
        "insert into foundation.action (operator_id, device_id, id, kind, counter, body_hash, outcome, staff_id,"
        " occurred_at, done_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        tx.operator_id,
        who.device_id,
        action.id,
        kind,
        action.counter,
        action_hash(action, kind),
        json.dumps(outcome),
        who.staff_id,
        action.at,
        now,
    )


def action_hash(action: ActionIn, kind: str) -> bytes:
    """What two sendings of one action must share: all it says."""
    return hashlib.sha256(f"{kind} {action.model_dump_json()}".encode()).digest()
