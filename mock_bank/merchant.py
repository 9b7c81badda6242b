"""Merchants of the gateway's page: in whose name payments are taken, with which secret, and where its notices go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import asyncpg
from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from mock_bank.account import HttpAddress, Name, Printable
from mock_bank.database import Database
from mock_bank.refusal import Refusal
from mock_bank.web import ApiKey, In, StrictRoute


class UnknownMerchant(Refusal):
    """The gateway knows no merchant {merchant}."""

    status = 404


@dataclass(frozen=True, slots=True)
class Merchant:
    code: str
    owner_name: str
    secret: str
    ipn_url: str


class MerchantIn(In):
    owner_name: Name
    secret: Annotated[Printable, Field(min_length=8, max_length=200)]
    ipn_url: HttpAddress


class MerchantOut(BaseModel):
    """The secret is never shown again."""

    code: str
    owner_name: str
    ipn_url: str


async def find(db: asyncpg.Pool[Any], code: str) -> Merchant:
    """The merchant, or UnknownMerchant."""
    row = await db.fetchrow("SELECT code, owner_name, secret, ipn_url FROM mock_bank.merchant WHERE code = $1", code)
    if row is None:
        raise UnknownMerchant(merchant=code[:20])
    return Merchant(**row)


router = APIRouter(prefix="/api/v1/merchants", tags=["merchants"], route_class=StrictRoute)


@router.put("/{code}")
async def put_merchant(
    code: Annotated[str, Path(pattern="^[A-Za-z0-9]{4,20}$")], wanted: MerchantIn, db: Database, key: ApiKey
) -> MerchantOut:
    """Open a merchant, or bring its name, secret and address up to date."""
    await db.execute(
        """INSERT INTO mock_bank.merchant (code, owner_name, secret, ipn_url, opened_at)
           VALUES ($1, $2, $3, $4, mock_bank.now())
           ON CONFLICT (code) DO UPDATE
              SET owner_name = excluded.owner_name, secret = excluded.secret, ipn_url = excluded.ipn_url""",
        code,
        wanted.owner_name,
        wanted.secret,
        wanted.ipn_url,
    )
    return MerchantOut(code=code, owner_name=wanted.owner_name, ipn_url=wanted.ipn_url)
