"""Where a payee is paid: bank details in versions, each entered by one person, agreed to by another, and used only after two
days in which whoever was told of the change can still object.

A payout names the version it was made with. Details that change meanwhile cancel it, so that nobody redirects money that
is already on its way (money.md R34, threats.md T18).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from sqlmodel import CheckConstraint, Field, ForeignKeyConstraint, Index, SQLModel, text

from foundation import audit
from foundation.database import Tx
from foundation.errors import NotFound, Refusal
from foundation.tables import instant, keys, owner_key
from payments.gateway import vietqr
from payments.held import reason_of

COOLS_OFF = timedelta(hours=48)
_ACCOUNT = re.compile(r"[0-9]{6,19}")
_OWNER = re.compile(r"[A-Z0-9][A-Z0-9 .&-]{1,69}")


class PayeeBankAccount(SQLModel, table=True):
    """One version of a payee's bank details. `told`: how whoever the old details belong to was told of the change.
    `came_back_at`: a payout to them has come back, and nobody has said since that they are right."""

    __tablename__ = "payee_account"
    __table_args__ = (
        ForeignKeyConstraint(
            keys("payee_id"), ["payments.payee.operator_id", "payments.payee.id"], name="payee_account_payee_fkey"
        ),
        ForeignKeyConstraint(
            keys("entered_by"),
            ["foundation.staff.operator_id", "foundation.staff.id"],
            name="payee_account_entered_fkey",
        ),
        ForeignKeyConstraint(
            keys("agreed_by"), ["foundation.staff.operator_id", "foundation.staff.id"], name="payee_account_agreed_fkey"
        ),
        CheckConstraint("bin ~ '^[0-9]{6}$' and account ~ '^[0-9]{6,19}$'", name="account"),
        CheckConstraint("version > 0 and agreed_by <> entered_by", name="second_person"),
        CheckConstraint("num_nulls(agreed_by, agreed_at, usable_from, told) in (0, 4)", name="agreed"),
        CheckConstraint("withdrawn_at is null or agreed_at is null", name="withdrawn"),
        Index(
            "payee_account_open_key",
            *keys("payee_id"),
            unique=True,
            postgresql_where=text("agreed_at is null and withdrawn_at is null"),
        ),
        {"schema": "payments"},
    )
    operator_id: UUID = owner_key()
    payee_id: UUID = Field(primary_key=True)
    version: int = Field(primary_key=True)
    bin: str
    account: str
    owner_name: str
    contact: str
    entered_by: UUID
    entered_at: datetime = instant()
    agreed_by: UUID | None = None
    agreed_at: datetime | None = instant(default=None)
    usable_from: datetime | None = instant(default=None)
    told: str | None = None
    withdrawn_at: datetime | None = instant(default=None)
    came_back_at: datetime | None = instant(default=None)


class BankDetailsUnfit(Refusal):
    """These bank details cannot be: {which}."""

    status = 422


class NoSuchBankDetails(NotFound):
    """There are no such bank details."""


class OwnBankDetails(Refusal):
    """You entered these bank details; another person has to agree to them."""

    status = 403


class BankDetailsDecided(Refusal):
    """These bank details were agreed or withdrawn before."""


class BankDetailsTrusted(Refusal):
    """Nothing has come back from these bank details that still waits for a word."""


class BankDetailsWait(Refusal):
    """Other bank details of this payee wait for a second person; decide on them first."""

    constraint = "payee_account_open_key"


class OldContactUntold(Refusal):
    """Say how whoever the old bank details belong to was told of the change: call {contact}."""

    status = 422


Standing = Literal["none", "waits", "cooling", "came_back", "usable"]
"""`waits`: the newest version for a second person; `cooling`: for its two days to be over; `came_back`: for a word on why the
last payout to it did."""


@dataclass(frozen=True, slots=True)
class BankDetails:
    """A version of a payee's bank details as pages show it."""

    payee_id: UUID
    version: int
    bin: str
    account: str
    owner_name: str
    contact: str
    entered_by: UUID
    entered_at: datetime
    entered_name: str
    agreed_by: UUID | None
    agreed_at: datetime | None
    agreed_name: str | None
    usable_from: datetime | None
    told: str | None
    withdrawn_at: datetime | None
    came_back_at: datetime | None

    def standing(self, now: datetime) -> Standing:
        if self.usable_from is None:
            return "waits"
        if self.came_back_at is not None:
            return "came_back"
        return "usable" if self.usable_from <= now else "cooling"


async def enter(
    tx: Tx, payee_id: UUID, *, bin: str, account: str, owner_name: str, contact: str, staff_id: UUID, now: datetime
) -> int:
    """New bank details of a payee; returns their version. Until they are usable, or withdrawn, nothing is paid to it.

    Raises BankDetailsUnfit, BankDetailsWait (by its constraint), NoSuchBankDetails for an unknown payee.
    """
    bin, account, owner_name, contact = (each.strip() for each in (bin, account, owner_name, contact))
    for which, fits in (
        ("details_bank", bin in vietqr.banks()),
        ("details_account", bool(_ACCOUNT.fullmatch(account))),
        ("details_owner", bool(_OWNER.fullmatch(owner_name))),
        ("details_contact", 6 <= len(contact) <= 200),
    ):
        if not fits:
            raise BankDetailsUnfit(which=which)
    version: int | None = await tx.value(
        "insert into payments.payee_account (operator_id, payee_id, version, bin, account, owner_name, contact, entered_by,"
        "   entered_at)"
        " select p.operator_id, p.id, coalesce((select max(version) from payments.payee_account a"
        "     where a.operator_id = p.operator_id and a.payee_id = p.id), 0) + 1, $3, $4, $5, $6, $7, $8"
        " from payments.payee p where p.operator_id = $1 and p.id = $2 returning version",
        tx.operator_id,
        payee_id,
        bin,
        account,
        owner_name,
        contact,
        staff_id,
        now,
    )
    if version is None:
        raise NoSuchBankDetails()
    after = {"version": version, "bin": bin, "account": account, "owner_name": owner_name, "contact": contact}
    await audit.note(tx, staff_id, "payee.account_entered", f"payee {payee_id}", after=after, now=now)
    return version


async def agree(tx: Tx, payee_id: UUID, version: int, *, staff_id: UUID, told: str, now: datetime) -> None:
    """A second person agrees; they are used from two days later on. `told`: how the old contact was told, if there is one.

    Raises NoSuchBankDetails, OwnBankDetails, BankDetailsDecided, OldContactUntold.
    """
    found = await _find(tx, payee_id, version)
    if found.entered_by == staff_id:
        raise OwnBankDetails()
    contact = old_contact(await of_payee(tx, payee_id), now)
    if contact is not None and not told.strip():
        raise OldContactUntold(contact=contact)
    await _decide(
        tx,
        payee_id,
        version,
        "agreed_by = $4, agreed_at = $5, usable_from = $6, told = $7",
        staff_id,
        now,
        now + COOLS_OFF,
        told.strip() or "–",
    )
    after = {"version": version, "usable_from": (now + COOLS_OFF).isoformat(), "told": told.strip()}
    await audit.note(tx, staff_id, "payee.account_agreed", f"payee {payee_id}", after=after, now=now)


async def withdraw(tx: Tx, payee_id: UUID, version: int, *, staff_id: UUID, reason: str, now: datetime) -> None:
    """Details that wait are taken back: what was agreed before holds again. Raises NoSuchBankDetails, BankDetailsDecided."""
    await _find(tx, payee_id, version)
    await _decide(tx, payee_id, version, "withdrawn_at = $4", now)
    await audit.note(
        tx,
        staff_id,
        "payee.account_withdrawn",
        f"payee {payee_id}",
        reason=reason.strip(),
        before={"version": version},
        now=now,
    )


async def trust_again(tx: Tx, payee_id: UUID, version: int, *, staff_id: UUID, reason: str, now: datetime) -> None:
    """Somebody has asked why a payout came back, and says that these details are right: they are paid to again.

    Raises NoSuchBankDetails, BankDetailsTrusted, ReasonMissing.
    """
    reason = reason_of(reason)
    before = (await _find(tx, payee_id, version)).came_back_at
    status = await tx.execute(
        "update payments.payee_account set came_back_at = null"
        " where operator_id = $1 and payee_id = $2 and version = $3 and came_back_at is not null",
        tx.operator_id,
        payee_id,
        version,
    )
    if status != "UPDATE 1":
        raise BankDetailsTrusted()
    await audit.note(
        tx,
        staff_id,
        "payee.account_trusted",
        f"payee {payee_id}",
        reason=reason,
        before={"version": version, "came_back_at": before.isoformat() if before else None},
        now=now,
    )


async def came_back(tx: Tx, payee_id: UUID, version: int, at: datetime) -> None:
    """A payout to these details has come back: nothing more is paid to them until somebody has looked."""
    await tx.execute(
        "update payments.payee_account set came_back_at = greatest(came_back_at, $4)"
        " where operator_id = $1 and payee_id = $2 and version = $3",
        tx.operator_id,
        payee_id,
        version,
        at,
    )


async def of_payee(tx: Tx, payee_id: UUID | None = None) -> list[BankDetails]:
    """All versions (of all payees), the newest of each first."""
    rows = await tx.rows(
        "select a.payee_id, a.version, a.bin, a.account, a.owner_name, a.contact, a.entered_by, a.entered_at,"
        " e.name as entered_name, a.agreed_by, a.agreed_at, g.name as agreed_name, a.usable_from, a.told, a.withdrawn_at,"
        " a.came_back_at"
        " from payments.payee_account a"
        " join foundation.staff e on e.operator_id = a.operator_id and e.id = a.entered_by"
        " left join foundation.staff g on g.operator_id = a.operator_id and g.id = a.agreed_by"
        " where a.operator_id = $1 and ($2::uuid is null or a.payee_id = $2) order by a.payee_id, a.version desc",
        tx.operator_id,
        payee_id,
    )
    return [BankDetails(**row) for row in rows]


def newest(details: list[BankDetails]) -> dict[UUID, BankDetails]:
    """By payee, the version that counts: the newest that was not withdrawn."""
    found: dict[UUID, BankDetails] = {}
    for each in details:
        if each.withdrawn_at is None:
            found.setdefault(each.payee_id, each)
    return found


def old_contact(details: Sequence[BankDetails], now: datetime) -> str | None:
    """Who is to be told of new details of one payee (its versions, the newest first): who was paid last. A contact that
    still cools off is as new as they are."""
    agreed = [each for each in details if each.agreed_at is not None]
    usable = [each for each in agreed if each.standing(now) == "usable"]
    return next((each.contact for each in (*usable, *agreed)), None)


async def _find(tx: Tx, payee_id: UUID, version: int) -> BankDetails:
    for each in await of_payee(tx, payee_id):
        if each.version == version:
            return each
    raise NoSuchBankDetails()


async def _decide(tx: Tx, payee_id: UUID, version: int, change: str, *values: Any) -> None:
    status = await tx.execute(
        f"update payments.payee_account set {change} where operator_id = $1 and payee_id = $2 and version = $3"
        " and agreed_at is null and withdrawn_at is null",
        tx.operator_id,
        payee_id,
        version,
        *values,
    )
    if status != "UPDATE 1":
        raise BankDetailsDecided()
