"""The bank's app, put together."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
from fastapi import FastAPI, Request, Response
from fastapi.responses import RedirectResponse
from fastapi.staticfiles import StaticFiles

from mock_bank import (
    account,
    clock,
    customer,
    database,
    failpoint,
    faults,
    hosted,
    merchant,
    misbehaviour,
    owner,
    payout,
    refund,
    statement,
    transaction,
)
from mock_bank.database import Database
from mock_bank.ipn import IpnSender
from mock_bank.later import BankClerk
from mock_bank.notice import NoticeSender
from mock_bank.settings import Settings
from mock_bank.web import Envelope, answer_refusals


def create_app(settings: Settings) -> FastAPI:
    """The bank as one ASGI app; its database is opened and its notices are sent and its clerk works while it runs."""

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        failpoint.arm(settings)
        await database.prepare(settings.database_url)
        async with asyncpg.create_pool(settings.database_url, min_size=2, max_size=10, command_timeout=10) as pool:
            sender = NoticeSender(pool, secrets=settings.webhook_secret, retry_unit_seconds=settings.retry_unit_seconds)
            clerk = BankClerk(pool, booked=sender.wake)
            ipn = IpnSender(pool, secrets=(), retry_unit_seconds=settings.retry_unit_seconds)
            app.state.pool, app.state.sender, app.state.ipn, app.state.clerk = pool, sender, ipn, clerk
            async with sender.running(), ipn.running(), clerk.working():
                yield

    app = FastAPI(title="Practice Bank", version="1", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.settings = settings
    answer_refusals(app)
    faults.answer_badly(app)
    app.add_middleware(Envelope)
    for room in (
        account,
        merchant,
        transaction,
        refund,
        payout,
        statement,
        faults,
        clock,
        customer,
        owner,
        hosted,
        misbehaviour,
    ):
        app.include_router(room.router)
    app.mount("/static", StaticFiles(directory=Path(__file__).parent / "static"), name="static")

    @app.get("/", include_in_schema=False)
    async def enter(request: Request) -> Response:
        return RedirectResponse("/app" + (f"?{request.url.query}" if request.url.query else ""), 307)

    @app.get("/healthz", tags=["health"])
    async def health(db: Database) -> dict[str, str]:
        """The bank is up and its database answers."""
        await db.fetchval("SELECT 1 FROM mock_bank.clock")
        return {"status": "ok"}

    return app
