"""What the fixtures are made of and tests may name: settings of a test platform, its clock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import asyncpg
from acts import BANK_SECRET, VNPAY_SECRETS

from foundation.migrate import role_url
from foundation.settings import Settings

ROOT_KEY = "11" * 32


def at_database(url: str, name: str) -> str:
    """The same server, another database."""
    return url.replace("/postgres?", f"/{name}?", 1)


def settings_for(admin_url: str, **changes: object) -> Settings:
    """The settings of a test platform on the database behind `admin_url`."""
    root = bytes.fromhex(ROOT_KEY)
    values: dict[str, object] = {
        "environment": "test",
        "root_key": ROOT_KEY,
        "public_url": "http://test.local",
        "database_app_url": role_url(admin_url, root, "app"),
        "database_city_url": role_url(admin_url, root, "city"),
        "database_keeper_url": role_url(admin_url, root, "keeper"),
        "bank_webhook_secret": BANK_SECRET,
        "bank_api_key": "test-key",
        "vnpay_secrets": VNPAY_SECRETS,
        "workers": 1,
        "database_pool": 8,
    }
    return Settings(**(values | changes))  # type: ignore[arg-type]


@dataclass
class Clock:
    """Moves the platform's time."""

    admin: asyncpg.Connection

    async def move_to(self, instant: str) -> None:
        """`2026-11-21 09:00` on a Hanoi clock."""
        await self.admin.execute(
            "select foundation.set_clock(($1::timestamp) at time zone 'Asia/Ho_Chi_Minh', 1)",
            datetime.fromisoformat(instant),
        )
