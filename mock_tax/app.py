"""The office's app: signed messages and questions, faults for demo and test; and how it stands beside another app."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import asyncpg
from fastapi import FastAPI, Header, HTTPException, Request
from pydantic import Field, ValidationError
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect
from starlette.routing import Mount
from starlette.types import ASGIApp

from mock_tax import office
from mock_tax.rules import In, Message, Questions

SCHEMA = Path(__file__).with_name("schema.sql").read_text(encoding="utf-8")
LARGEST_BODY_BYTES = 512 * 1024
Signature = Annotated[str, Header(alias="x-signature", pattern="^[0-9a-f]{64}$")]


class Faults(In):
    """What goes wrong from now on; a field left out is as usual."""

    lose_answers: Annotated[int, Field(strict=True, ge=0)] = 0
    reject: Annotated[int, Field(strict=True, ge=0)] = 0
    decide_seconds: Annotated[int, Field(strict=True, ge=0, le=3600)] = 0
    closed: Annotated[bool, Field(strict=True)] = False


def beside(app: FastAPI, database_url: str, secret: str | None = None) -> ASGIApp:
    """The office at `/tax`, and everything else as the app answers it; without a secret (TAX_SECRET) the app alone."""
    secret = secret or os.environ.get("TAX_SECRET")
    if not secret:
        return app
    own = create_app(database_url, secret)

    @contextlib.asynccontextmanager
    async def both(_: Starlette) -> AsyncIterator[None]:
        async with app.router.lifespan_context(app), own.router.lifespan_context(own):
            yield

    return Starlette(routes=[Mount("/tax", own), Mount("/", app)], lifespan=both)


def create_app(database_url: str, secret: str) -> FastAPI:
    """The office as one ASGI app with a schema of its own."""

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with asyncpg.create_pool(database_url, min_size=1, max_size=3, command_timeout=10) as pool:
            async with pool.acquire() as connection, connection.transaction():
                await connection.execute("select pg_advisory_xact_lock(hashtext('mock_tax schema'))")
                await connection.execute(SCHEMA)
            app.state.pool = pool
            yield

    app = FastAPI(title="Practice tax office", version="1", lifespan=lifespan, docs_url=None, redoc_url=None)

    async def signed(request: Request, signature: str) -> bytes:
        body = b""
        try:
            async for part in request.stream():
                body += part
                if len(body) > LARGEST_BODY_BYTES:
                    raise HTTPException(413)
        except ClientDisconnect:
            raise HTTPException(400) from None  # it breaks off; whoever sent it is gone
        if not hmac.compare_digest(hmac.new(secret.encode(), body, hashlib.sha256).hexdigest(), signature):
            raise HTTPException(401)
        return body

    @app.post("/api/v1/messages")
    async def tell(request: Request, x_signature: Signature) -> dict[str, Any]:
        """Documents and cancellations; each has its verdict, and the same told again the same."""
        message = _read(Message, await signed(request, x_signature))
        await _behave(request)
        said = await office.take(request.app.state.pool, message)
        if await request.app.state.pool.fetchval(
            "update mock_tax.faults set lose_answers = lose_answers - 1 where lose_answers > 0 returning true"
        ):
            raise HTTPException(502)
        return {"items": said}

    @app.post("/api/v1/questions")
    async def ask(request: Request, x_signature: Signature) -> dict[str, Any]:
        """What became of documents and cancellations."""
        questions = _read(Questions, await signed(request, x_signature))
        await _behave(request)
        return {"items": await office.answer(request.app.state.pool, questions)}

    @app.put("/api/v1/faults")
    async def set_faults(request: Request, x_signature: Signature) -> Faults:
        """Let exactly this go wrong."""
        faults: Faults = _read(Faults, await signed(request, x_signature))
        await request.app.state.pool.execute(
            "update mock_tax.faults set lose_answers = $1, reject = $2, decide_seconds = $3, closed = $4",
            *(faults.lose_answers, faults.reject, faults.decide_seconds, faults.closed),
        )
        return faults

    return app


async def _behave(request: Request) -> None:
    if await request.app.state.pool.fetchval("select closed from mock_tax.faults"):
        raise HTTPException(503)


def _read(shape: Any, body: bytes) -> Any:
    try:
        return shape.model_validate_json(body)
    except ValidationError as error:
        raise HTTPException(422, detail=str(error.errors(include_url=False, include_input=False)[0])) from error
