"""What the bank is told from outside, in variables named `BANK_…`."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

SHORTEST_SECRET_BYTES = 24  # Standard Webhooks: 24 to 64 bytes

Listed = Annotated[tuple[str, ...], NoDecode]


class Settings(BaseSettings):
    """Settings of the practice bank; lists are separated by commas."""

    model_config = SettingsConfigDict(env_prefix="BANK_", extra="ignore")

    database_url: str = Field(min_length=1)
    host: str = "127.0.0.1"
    port: int = Field(default=8001, ge=0, le=65535)
    environment: Literal["demo", "test"]
    api_key: str = Field(min_length=1)
    webhook_secret: Listed
    public_url: str = "http://localhost:8001"
    return_hosts: Listed = ("localhost", "127.0.0.1")
    retry_unit_seconds: float = Field(default=1.0, gt=0)
    failpoints: Path | None = None

    @field_validator("webhook_secret", "return_hosts", mode="before")
    @classmethod
    def _split_at_commas(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("webhook_secret")
    @classmethod
    def _refuse_weak_secrets(cls, secrets: tuple[str, ...]) -> tuple[str, ...]:
        if not secrets:
            raise ValueError("at least one signing secret is needed; an empty one would let anybody forge a notice")
        for secret in secrets:
            if not secret.startswith("whsec_") or _decoded_length(secret[len("whsec_") :]) < SHORTEST_SECRET_BYTES:
                raise ValueError(f"each secret is 'whsec_' and base64 of at least {SHORTEST_SECRET_BYTES} bytes")
        return secrets

    @property
    def hosts_to_return_to(self) -> frozenset[str]:
        """Hosts that a page of ours may link back to."""
        own = urlsplit(self.public_url).hostname
        return frozenset(host.lower() for host in (*self.return_hosts, own) if host)


def _decoded_length(text: str) -> int:
    try:
        return len(base64.b64decode(text + "=" * (-len(text) % 4), validate=True))
    except binascii.Error:
        return 0
