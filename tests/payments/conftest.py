"""What tests of payments stand on: an operator's trade through the acts alone, and an office that is logged in."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from acts import log_in
from trade import Trade

from foundation.database import Database
from foundation.settings import Settings


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[Database]:
    opened = await Database.open(settings.url("database_app_url"), size=8)
    yield opened
    await opened.close()


@pytest.fixture
async def trade(settings: Settings, database: Database) -> Trade:
    """An operator (Văn Miếu) before anything happened."""
    return await Trade.at(settings, database)


@pytest.fixture
async def clerk(client: httpx.AsyncClient) -> httpx.AsyncClient:
    """A browser in which the clerk of Văn Miếu is logged in."""
    assert (await log_in(client, "ketoan@vanmieu")).status_code == 303
    return client
