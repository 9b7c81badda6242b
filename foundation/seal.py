"""Sealing of sensitive fields: plates, payer names and accounts, raw notices.

A field is encrypted (AES-256-GCM) under the key of its month from its first row; erasing a month is destroying its
key. Beside a sealed plate stand keyed tags, so that "one open stay per vehicle" and a search need no clear text.
Layout of a sealed value: 2 bytes month (since 2020-01), 12 bytes nonce, ciphertext with its 16-byte tag.
"""

from __future__ import annotations

import os
from datetime import date, datetime
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlmodel import Field, SQLModel

from foundation.clock import hanoi_day
from foundation.database import Database
from foundation.errors import Refusal
from foundation.tables import octets


class MonthKey(SQLModel, table=True):
    """The key of one month, wrapped by a key that is not in the database. Deleting the row erases the month."""

    __tablename__ = "month_key"
    __table_args__ = {"schema": "foundation"}
    month: date = Field(primary_key=True)
    wrapped: bytes = octets()


class Erased(Refusal):
    """This was erased when its time of keeping ended."""

    status = 410


class Sealer:
    """Seals and opens fields, and makes keyed tags. Month keys are fetched once and kept in memory."""

    def __init__(self, root: bytes, database: Database) -> None:
        self._root = root
        self._database = database
        self._wrapping = AESGCM(_derive(root, b"motcham seal: wrapping"))
        self._months: dict[int, AESGCM] = {}
        self._tags: dict[UUID, HMAC] = {}

    async def ready(self, at: datetime) -> int:
        """Makes sure that the month's key is here; returns the month's number, to seal under."""
        day = hanoi_day(at)
        month = (day.year - 2020) * 12 + day.month - 1
        if month not in self._months:
            await self._fetch(month)
        return month

    async def _fetch(self, month: int) -> None:
        first = date(2020 + month // 12, month % 12 + 1, 1)
        nonce = os.urandom(12)
        fresh = nonce + self._wrapping.encrypt(nonce, AESGCM.generate_key(256), str(month).encode())
        wrapped = await self._database.value(
            "with made as (insert into foundation.month_key (month, wrapped) values ($1, $2)"
            "  on conflict (month) do nothing returning wrapped)"
            " select wrapped from made union all select wrapped from foundation.month_key where month = $1 limit 1",
            first,
            fresh,
        )
        if wrapped is None:  # another process inserted it between our snapshot and our insert
            wrapped = await self._database.value("select wrapped from foundation.month_key where month = $1", first)
        self._months[month] = AESGCM(self._wrapping.decrypt(wrapped[:12], wrapped[12:], str(month).encode()))

    def seal(self, text: str, *, month: int, context: str) -> bytes:
        """Encrypts under a month that `ready` returned. `context` binds it to its column: it opens nowhere else."""
        nonce = os.urandom(12)
        return month.to_bytes(2) + nonce + self._months[month].encrypt(nonce, text.encode(), context.encode())

    async def open(self, sealed: bytes, *, context: str) -> str:
        """The clear text. Raises Erased when the month's key is gone."""
        month = int.from_bytes(sealed[:2])
        if month not in self._months:
            first = date(2020 + month // 12, month % 12 + 1, 1)
            wrapped = await self._database.value("select wrapped from foundation.month_key where month = $1", first)
            if wrapped is None:
                raise Erased()
            self._months[month] = AESGCM(self._wrapping.decrypt(wrapped[:12], wrapped[12:], str(month).encode()))
        try:
            return self._months[month].decrypt(sealed[2:14], sealed[14:], context.encode()).decode()
        except InvalidTag as error:
            raise Erased() from error

    def tag(self, operator_id: UUID, text: str) -> bytes:
        """A keyed tag (16 bytes) of a text, under a key per operator: equal texts, equal tags, and nothing else."""
        keyed = self._tags.get(operator_id)
        if keyed is None:
            key = _derive(self._root, b"motcham seal: tags " + operator_id.bytes)
            keyed = self._tags[operator_id] = HMAC(key, SHA256())
        tag = keyed.copy()  # a quarter of what it costs to begin with the key
        tag.update(text.encode())
        return tag.finalize()[:16]


def _derive(root: bytes, info: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(root)
