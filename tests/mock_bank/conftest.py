"""The whole bank on a real PostgreSQL, and a real HTTP server that receives its notices."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from stage import at_database

from foundation.embedded import EmbeddedPostgres
from mock_bank.app import create_app
from mock_bank.settings import Settings
from tests.mock_bank.receiving import ACCOUNT, BIN, KEY, SECRETS, Misbehave, Pay, Receiver


@pytest.fixture(scope="session")
def bank(server: EmbeddedPostgres) -> FastAPI:
    """The bank before it runs, with a database of its own; made once, since its routes are the same for every test."""

    async def make() -> None:
        admin = await asyncpg.connect(server.url)
        await admin.execute("create database bank")
        await admin.close()

    asyncio.run(make())
    return create_app(
        Settings(
            database_url=at_database(server.url, "bank"),
            environment="test",
            api_key="a key for tests",
            webhook_secret=SECRETS,
            retry_unit_seconds=0.02,
        )
    )


@pytest.fixture
async def settings(bank: FastAPI) -> Settings:
    """Settings of a bank whose schema does not exist yet and whose retries are quick."""
    found: Settings = bank.state.settings
    connection = await asyncpg.connect(found.database_url)
    await connection.execute("DROP SCHEMA IF EXISTS mock_bank CASCADE")
    await connection.close()
    return found


@pytest.fixture
async def app(bank: FastAPI, settings: Settings) -> AsyncIterator[FastAPI]:
    """The whole bank, running."""
    async with bank.router.lifespan_context(bank):
        yield bank


@pytest.fixture
async def db(app: FastAPI) -> asyncpg.Pool[Any]:
    """The bank's own pool, to look at what it wrote down."""
    pool: asyncpg.Pool[Any] = app.state.pool
    return pool


@pytest.fixture
async def api(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A program that knows the bank's key."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://bank", headers=KEY) as client:
        yield client


@pytest.fixture
async def phone(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A customer's browser that reads English."""
    english = {"accept-language": "en"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://bank", headers=english) as client:
        yield client


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def served(app: Any) -> AsyncIterator[str]:
    """The address at which the app is served over real connections."""
    server = _Server(uvicorn.Config(app, port=0, lifespan="off", log_level="critical", access_log=False))
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.005)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    task.cancel()  # its own shutdown waits for connections that the other side keeps open
    with contextlib.suppress(asyncio.CancelledError):
        await task
    for listening in server.servers:
        listening.close()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A receiver that listens on a port of its own."""
    receiver = Receiver()
    async with served(receiver) as address:
        receiver.url = f"{address}/hooks"
        yield receiver


@pytest.fixture
async def wire(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A program that knows the bank's key and speaks to it over connections that can break."""
    async with (
        served(app) as address,
        httpx.AsyncClient(base_url=address, headers=KEY, trust_env=False) as client,
    ):
        yield client


@pytest.fixture
async def account(api: httpx.AsyncClient, receiver: Receiver) -> str:
    """A collection account that sends its notices to the receiver."""
    wanted = {"owner_name": "TRUNG TAM VAN MIEU", "webhook_url": receiver.url}
    (await api.put(f"/api/v1/accounts/{BIN}/{ACCOUNT}", json=wanted)).raise_for_status()
    return ACCOUNT


@pytest.fixture
def pay(api: httpx.AsyncClient, account: str) -> Pay:
    """Pay 70,000 đồng onto the account, or what the test says."""

    async def pay(**wanted: Any) -> httpx.Response:
        usual = {"id": str(uuid4()), "bin": BIN, "account": account, "amount_vnd": 70_000, "text": "HNTKA8B4C6D2"}
        return await api.post("/api/v1/payments", json={**usual, **wanted})

    return pay


@pytest.fixture
def misbehave(api: httpx.AsyncClient) -> Misbehave:
    """Let exactly this go wrong from now on."""

    async def misbehave(**wanted: Any) -> dict[str, Any]:
        answer = (await api.put("/api/v1/faults", json=wanted)).raise_for_status()
        return dict(answer.json())

    return misbehave


@pytest.fixture
def first_schema(settings: Settings) -> Callable[[], Awaitable[None]]:
    """Makes the schema as the first bank made it (first_schema.sql is that file, never to be changed), with some money."""

    async def make() -> None:
        connection = await asyncpg.connect(settings.database_url)
        await connection.execute(Path(__file__).with_name("first_schema.sql").read_text(encoding="utf-8"))
        await connection.execute(
            """UPDATE mock_bank.faults SET lose_notices = true, delay_seconds = 7;
               INSERT INTO mock_bank.account (bin, account, owner_name, opened_at)
               VALUES ('970436', 'OLD1', 'A', clock_timestamp());
               SELECT mock_bank.book(gen_random_uuid(), '{}', '970436', 'OLD1', 5000, 'A', 'A', 'B', '970436', '1')"""
        )
        await connection.close()

    return make
