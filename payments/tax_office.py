"""The tax office as we speak to it: documents and cancellations in one signed message, and what became of each.

A document is known there by issuer, form, symbol and number, so the same told again is the same. Here the practice office
answers; the real one's format (XML, signed with a certificate, through a licensed provider) is another file like this.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol, Self

import httpx

from foundation.errors import Refusal
from foundation.settings import Settings

Fate = Literal["accepted", "rejected", "received", "unknown"]
"""`received`: it has it and has not decided; `unknown`: it never had it."""
FATES: tuple[Fate, ...] = ("accepted", "rejected", "received", "unknown")


class TaxOfficeSilent(Refusal):
    """The tax office does not answer, or has not decided yet."""

    status = 503


@dataclass(frozen=True, slots=True)
class Key:
    """What is told: a document, or that it is cancelled."""

    what: str
    form: str
    symbol: str
    number: int


@dataclass(frozen=True, slots=True)
class Told:
    """One item of a message."""

    key: Key
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of an item: with the office's code, or why it was rejected."""

    fate: Fate
    code: str | None = None
    why: str | None = None


class TaxOffice(Protocol):
    """Whom documents are sent to. Both raise TaxOfficeSilent; what is not in the answer was not answered."""

    async def tell(self, issuer: str, items: Sequence[Told]) -> dict[Key, Verdict]: ...

    async def fates_of(self, issuer: str, keys: Sequence[Key]) -> dict[Key, Verdict]: ...


class PracticeTaxOffice:
    """The practice office's HTTP interface."""

    def __init__(self, url: str, secret: str) -> None:
        self._secret = secret.encode()
        self._http = httpx.AsyncClient(base_url=url, timeout=10, trust_env=False)

    @classmethod
    def of(cls, settings: Settings) -> Self:
        return cls(settings.tax_url, settings.tax_secret.get_secret_value())

    async def close(self) -> None:
        await self._http.aclose()

    async def tell(self, issuer: str, items: Sequence[Told]) -> dict[Key, Verdict]:
        """Tells of documents and cancellations."""
        return await self._ask("messages", issuer, [_named(item.key) | dict(item.facts) for item in items])

    async def fates_of(self, issuer: str, keys: Sequence[Key]) -> dict[Key, Verdict]:
        """Asks what became of them, and tells nothing."""
        return await self._ask("questions", issuer, [_named(key) for key in keys])

    async def _ask(self, path: str, issuer: str, items: Sequence[dict[str, Any]]) -> dict[Key, Verdict]:
        body = json.dumps({"issuer": issuer, "items": items}, ensure_ascii=False, default=_text).encode()
        headers = {
            "content-type": "application/json",
            "x-signature": hmac.new(self._secret, body, hashlib.sha256).hexdigest(),
        }
        try:
            answer = await self._http.post(f"/api/v1/{path}", content=body, headers=headers)
            answer.raise_for_status()
            said = [(_key(item), _verdict(item)) for item in answer.json()["items"]]
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            raise TaxOfficeSilent() from error
        asked = {_key(item) for item in items}
        return {key: verdict for key, verdict in said if key in asked and verdict is not None}


def _named(key: Key) -> dict[str, Any]:
    return {"what": key.what, "form": key.form, "symbol": key.symbol, "number": key.number}


def _key(item: Mapping[str, Any]) -> Key:
    return Key(item["what"], item["form"], item["symbol"], item["number"])


def _verdict(item: Mapping[str, Any]) -> Verdict | None:
    """None for what cannot be believed: the outcome stays unknown."""
    fate = item["state"]
    if (
        fate not in FATES
        or (fate == "accepted" and not item.get("code"))
        or (fate == "rejected" and not item.get("why"))
    ):
        return None
    return Verdict(fate, item.get("code"), item.get("why"))


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{value!r} is not told")
