"""Collection accounts: an operator's account at the bank, in the operator's name, and where its notices go."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from urllib.parse import urlsplit

import asyncpg
from fastapi import APIRouter, Path
from pydantic import AfterValidator, BaseModel, Field

from mock_bank import language
from mock_bank.database import Database
from mock_bank.refusal import Refusal
from mock_bank.web import ApiKey, In, StrictRoute


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("characters that cannot be printed")
    return text


def _http_address(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("an http or https address is needed")
    return url


Bin = Annotated[str, Field(pattern="^[0-9]{6}$")]
AccountNumber = Annotated[str, Field(pattern="^[0-9A-Za-z]{1,19}$")]
Name = Annotated[str, Field(min_length=1, max_length=70), AfterValidator(_printable)]
Printable = Annotated[str, AfterValidator(_printable)]
HttpAddress = Annotated[str, Field(max_length=500), AfterValidator(_printable), AfterValidator(_http_address)]


class UnknownAccount(Refusal):
    """The bank knows no account {account} at bank {bin}. Nothing was paid."""

    status = 404


class AccountIn(In):
    """`webhook_url` null: the owner wants no notices and polls."""

    owner_name: Name
    webhook_url: HttpAddress | None = None


class AccountOut(BaseModel):
    bin: str
    account: str
    owner_name: str
    webhook_url: str | None
    balance_vnd: int
    opened_at: datetime


async def open_account(
    db: asyncpg.Pool[Any], *, bin: str, account: str, owner_name: str, webhook_url: str | None
) -> AccountOut:
    """Open the account, or bring its owner and address up to date; its money stays as it is."""
    row = await db.fetchrow(
        """INSERT INTO mock_bank.account (bin, account, owner_name, webhook_url, opened_at)
           VALUES ($1, $2, $3, $4, mock_bank.now())
           ON CONFLICT (bin, account) DO UPDATE SET owner_name = excluded.owner_name, webhook_url = excluded.webhook_url
           RETURNING bin, account, owner_name, webhook_url, balance_vnd, opened_at""",
        bin,
        account,
        owner_name,
        webhook_url,
    )
    assert row is not None
    return AccountOut(**{**row, "opened_at": row["opened_at"].astimezone(language.HANOI)})


async def find(db: asyncpg.Pool[Any], *, bin: str, account: str) -> AccountOut:
    """The account, or UnknownAccount."""
    row = await db.fetchrow(
        """SELECT bin, account, owner_name, webhook_url, balance_vnd, opened_at
             FROM mock_bank.account WHERE bin = $1 AND account = $2""",
        bin,
        account,
    )
    if row is None:
        raise UnknownAccount(bin=bin, account=account)
    return AccountOut(**{**row, "opened_at": row["opened_at"].astimezone(language.HANOI)})


BinInPath = Annotated[str, Path(pattern="^[0-9]{6}$")]
AccountInPath = Annotated[str, Path(pattern="^[0-9A-Za-z]{1,19}$")]

router = APIRouter(prefix="/api/v1/accounts", tags=["accounts"], route_class=StrictRoute)


@router.put("/{bank_bin}/{account}")
async def put_account(
    bank_bin: BinInPath, account: AccountInPath, wanted: AccountIn, db: Database, key: ApiKey
) -> AccountOut:
    """Open a collection account, or change its owner's name and where its notices go."""
    return await open_account(
        db, bin=bank_bin, account=account, owner_name=wanted.owner_name, webhook_url=wanted.webhook_url
    )


@router.get("/{bank_bin}/{account}")
async def see_account(bank_bin: BinInPath, account: AccountInPath, db: Database, key: ApiKey) -> AccountOut:
    """The account and its balance in đồng."""
    return await find(db, bin=bank_bin, account=account)
