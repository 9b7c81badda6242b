"""Every setting of the platform, read from the environment once and passed in; nothing opens at import.

The README lists the same fields in a table, and a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

SERVICES = ("payments", "parking", "ticketing")


class Settings(BaseSettings):
    """What a process of ours needs to know. Field names are the environment variables in lower case."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True)

    environment: Literal["demo", "test", "production"] = Field(
        "demo", description="`demo` and `test` allow a movable clock and the demo city; it is part of every code's key"
    )
    services: str = Field("ticketing,parking,payments", description="whose routes this web process answers")
    public_url: str = Field("http://localhost:8000", description="scheme and host that the codes and signs carry")
    port: int = Field(8000, ge=1, le=65535, description="port of the web")
    bind: str = Field("127.0.0.1", description="address the web listens on")
    trusted_proxies: str = Field("", description="addresses of proxies whose X-Forwarded-For is believed")
    workers: int = Field(2, ge=1, le=64, description="web worker processes; more than one needs Redis")
    database_url: SecretStr | None = Field(None, description="administrator's URL: migrations and the demo city only")
    database_app_url: SecretStr | None = Field(None, description="role motcham_app: what web and worker use")
    database_city_url: SecretStr | None = Field(None, description="role motcham_city: reads rollups only")
    database_keeper_url: SecretStr | None = Field(None, description="role motcham_keeper: read-only proofs, backup")
    bank_database_url: SecretStr | None = Field(
        None, description="the mock bank's role; `migrate` gives it its password"
    )
    database_pool: int = Field(8, ge=1, le=100, description="connections per process")
    redis_url: SecretStr | None = Field(None, description="wake-ups, rate limits, caches; may be absent")
    root_key: SecretStr = Field(
        SecretStr(""), description="64 hex digits; ticket keys, tags and sealing derive from it"
    )
    bank_url: str = Field("http://localhost:8001", description="the bank gateway, as this process reaches it")
    bank_port: int = Field(8001, ge=1, le=65535, description="port of the mock bank")
    bank_public_url: str = Field("http://localhost:8001", description="the bank's app, as a visitor's phone reaches it")
    bank_api_key: SecretStr = Field(SecretStr(""), description="our key for the bank's list of transactions")
    bank_webhook_secret: SecretStr = Field(SecretStr(""), description="`whsec_…`, comma separated while rotating")
    vnpay_secrets: SecretStr = Field(
        SecretStr(""), description="`MERCHANT:secret`, comma separated: who takes cards and foreign wallets"
    )
    vnpay_page_url: str = Field(
        "http://localhost:8001/paymentv2/vpcpay.html", description="the gateway's page, as a visitor's phone reaches it"
    )
    vnpay_api_url: str = Field(
        "http://localhost:8001/merchant_webapi/api/transaction", description="its questions, as this process reaches it"
    )
    tax_url: str = Field("http://localhost:8001/tax", description="the tax office, as this process reaches it")
    tax_secret: SecretStr = Field(SecretStr(""), description="our signing secret at the tax office")
    poll_seconds: float = Field(20.0, gt=0, le=60, description="how often the bank is asked for its list")
    refund_limit_vnd: int = Field(
        200_000, ge=0, description="what one person may have sent back on a day without a second one, in VND"
    )
    failpoints: Path | None = Field(None, description="`test` only: a file that says where a process ends itself")
    data_dir: Path = Field(Path(".motcham"), description="embedded servers, secrets, logs")
    tls_certificate: Path | None = Field(None, description="certificate file; set by `make run TLS=1`")
    tls_key: Path | None = Field(None, description="its private key file")

    @field_validator("database_url", "redis_url", mode="before")
    @classmethod
    def _empty_is_absent(cls, value: object) -> object:
        return value or None

    @field_validator("public_url", "bank_url", "bank_public_url", "tax_url")
    @classmethod
    def _without_trailing_slash(cls, url: str) -> str:
        return url.rstrip("/")

    @model_validator(mode="after")
    def _serious_in_production(self) -> Self:
        if self.environment == "production" and self.vnpay_secret_of:
            if not all(url.startswith("https://") for url in (self.vnpay_page_url, self.vnpay_api_url)):
                raise ValueError("VNPAY_PAGE_URL and VNPAY_API_URL must begin with https:// in production")
            if min(map(len, self.vnpay_secret_of.values())) < 16:
                raise ValueError("VNPAY_SECRETS holds a secret of fewer than 16 characters")
        return self

    @model_validator(mode="after")
    def _known_services(self) -> Self:
        unknown = set(self.service_names) - set(SERVICES)
        if unknown:
            raise ValueError(f"SERVICES names {', '.join(sorted(unknown))}; known are {', '.join(SERVICES)}")
        return self

    @field_validator("vnpay_secrets")
    @classmethod
    def _each_with_its_merchant(cls, secrets: SecretStr) -> SecretStr:
        if any(":" not in pair for pair in secrets.get_secret_value().split(",") if pair.strip()):
            raise ValueError("VNPAY_SECRETS is a list of MERCHANT:secret")
        return secrets

    @property
    def vnpay_secret_of(self) -> dict[str, str]:
        """By merchant code; one with an empty secret is left out: nothing can be believed of it."""
        pairs = (pair.strip().partition(":") for pair in self.vnpay_secrets.get_secret_value().split(","))
        return {code: secret for code, _, secret in pairs if code and secret}

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Self:
        """The settings of a process with that environment beside our own."""
        values: dict[str, Any] = {name.lower(): value for name, value in environment.items()}
        return cls(**values)

    @property
    def service_names(self) -> tuple[str, ...]:
        """The services whose routes are answered here, e.g. `("payments", "parking")`."""
        return tuple(name.strip() for name in self.services.split(",") if name.strip())

    @property
    def root(self) -> bytes:
        """The 32 bytes that every derived key comes from. Raises ValueError with one plain sentence if missing."""
        try:
            root = bytes.fromhex(self.root_key.get_secret_value())
        except ValueError as error:
            raise ValueError("ROOT_KEY must be 64 hexadecimal digits.") from error
        if len(root) != 32:
            raise ValueError("ROOT_KEY must be 64 hexadecimal digits.")
        return root

    @property
    def secure(self) -> bool:
        """Whether browsers reach us over TLS, so cookies may be `Secure` and `__Host-`."""
        return self.public_url.startswith("https://")

    @property
    def clock_may_move(self) -> bool:
        return self.environment in ("demo", "test")

    def url(self, name: Literal["database_url", "database_app_url", "database_city_url", "database_keeper_url"]) -> str:
        """One of the database URLs, or ValueError naming the variable that is missing."""
        value: SecretStr | None = getattr(self, name)
        if value is None:
            raise ValueError(f"{name.upper()} is not set.")
        return value.get_secret_value()
