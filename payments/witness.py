"""A second person at the same tablet: he proves himself by his number and PIN, once, for one act within two minutes.

Notes that change hands have two names on them. The PIN never travels with the act that it signs, because acts are kept
(on the tablet until they are answered, here for ever): it is shown first, and what it earns is good for one signature,
under that act and that amount: whoever signs for 5,000 đồng has not signed for 500,000.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import BigInteger
from sqlmodel import CheckConstraint, Field, ForeignKeyConstraint, SQLModel

from foundation import audit, staff
from foundation.clock import now
from foundation.database import Database, Tx
from foundation.device import Attendant, attendant
from foundation.errors import Refusal
from foundation.limits import Limits
from foundation.staff import PERMISSIONS, Token
from foundation.tables import instant, keys, octets, owner_key

LASTS = timedelta(minutes=2)
Signed = Literal["shift.close", "shift.drop.receive", "cash.refund"]
"""The acts that want a second person; with their amount, but for a close: what was counted cannot change any more."""


class Witness(SQLModel, table=True):
    """One proof: who, at which tablet, for what, until when, and when it was used. Real time: it is about people."""

    __tablename__ = "witness"
    __table_args__ = (
        ForeignKeyConstraint(
            keys("staff_id"), ["foundation.staff.operator_id", "foundation.staff.id"], name="witness_staff_fkey"
        ),
        ForeignKeyConstraint(
            keys("device_id"), ["foundation.device.operator_id", "foundation.device.id"], name="witness_device_fkey"
        ),
        CheckConstraint("used_at <= expires_at", name="used_in_time"),
        CheckConstraint("act in ('shift.close', 'shift.drop.receive', 'cash.refund')", name="act"),
        CheckConstraint("(amount_vnd is null) = (act = 'shift.close')", name="amount"),
        {"schema": "payments"},
    )
    operator_id: UUID = owner_key()
    id_hash: bytes = octets(primary_key=True)
    staff_id: UUID
    device_id: UUID
    act: str
    amount_vnd: int | None = Field(default=None, sa_type=BigInteger)
    expires_at: datetime = instant()
    used_at: datetime | None = instant(default=None)


class WrongWitness(Refusal):
    """The number or the PIN is not right."""

    status = 403


class WitnessNeeded(Refusal):
    """Somebody else has to sign for this with number and PIN."""

    status = 403


class SignedForAnother(Refusal):
    """That was signed for something else; ask for a signature for this."""

    status = 403


class WitnessHimself(Refusal):
    """The second signature must be another person's."""

    status = 403


class SupervisorNeeded(Refusal):
    """A supervisor has to agree to this with number and PIN."""

    status = 403


@dataclass(frozen=True, slots=True)
class Person:
    """Who signed."""

    staff_id: UUID
    login: str
    name: str
    supervises: bool


async def prove(
    database: Database,
    limits: Limits,
    token: Token,
    *,
    login: str,
    pin: str,
    signs: Signed,
    amount_vnd: int | None,
) -> dict[str, Any]:
    """Proves a second person at a tablet; the token it returns signs this act there, once.

    Tries are counted as those of a login are, and together with them. Raises LoginExpired, DeviceRevoked, TooManyTries,
    WrongWitness, WitnessHimself.
    """
    async with database.transaction(token.operator_id) as tx:
        who = await attendant(tx, token)
        person = await staff.find_login(tx, login)
    await limits.spend("10/minute", "pin", who.device_id.hex)
    await limits.spend("20/hour", "pin", token.operator_id.hex, login)
    # Hashing takes tens of milliseconds: no connection is held for it.
    right = await staff.verify_secret(pin, person["secret_hash"] if person else None)
    if person is None or not right or not any("device:work" in PERMISSIONS[role] for role in person["roles"]):
        # Guessing somebody's PIN leaves a trace, and so does locking him out by it.
        async with database.transaction(token.operator_id) as tx:
            await audit.note(
                tx,
                who.staff_id,
                "witness.wrong",
                f"tablet {who.device_name}",
                after={"login": login},
                now=await now(tx),
            )
        raise WrongWitness()
    if person["id"] == who.staff_id:
        raise WitnessHimself()
    proof = Token(token.operator_id, secrets.token_urlsafe(32))
    async with database.transaction(token.operator_id) as tx:
        await tx.execute(
            "insert into payments.witness (operator_id, id_hash, staff_id, device_id, act, amount_vnd, expires_at)"
            " values ($1, $2, $3, $4, $5, $6, clock_timestamp() + $7)",
            tx.operator_id,
            proof.hash,
            person["id"],
            who.device_id,
            signs,
            amount_vnd,
            LASTS,
        )
    return {"witness": str(proof), "name": person["name"], "supervises": "supervisor" in person["roles"]}


async def sign(tx: Tx, who: Attendant, proof: str | None, act: Signed, amount_vnd: int | None = None) -> Person:
    """Uses a proof for the act that it was given for: it is spent with this transaction.

    Raises WitnessNeeded, SignedForAnother, WitnessHimself.
    """
    token = Token.read(proof)
    row = token and await tx.row(
        "update payments.witness w set used_at = clock_timestamp() from foundation.staff p"
        " where w.operator_id = $1 and w.id_hash = $2 and w.device_id = $3 and w.used_at is null"
        " and w.expires_at > clock_timestamp() and p.operator_id = w.operator_id and p.id = w.staff_id and p.active"
        " returning p.id, p.login, p.name, p.roles, w.act, w.amount_vnd",
        tx.operator_id,
        token.hash,
        who.device_id,
    )
    if not row:
        raise WitnessNeeded()
    if (row["act"], row["amount_vnd"]) != (act, amount_vnd):
        raise SignedForAnother()
    if row["id"] == who.staff_id:
        raise WitnessHimself()
    return Person(row["id"], row["login"], row["name"], "supervisor" in row["roles"])
