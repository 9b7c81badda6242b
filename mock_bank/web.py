"""How the bank speaks HTTP: strict JSON, bounded bodies, its API key, safe headers, refusals as problem documents."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, NoReturn

import asyncpg
from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException as AnyHTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mock_bank import language, pages
from mock_bank.refusal import (
    BadPayload,
    NotAuthorised,
    NotHere,
    OutOfOrder,
    Refusal,
    TooLarge,
    WrongMethod,
)

LARGEST_BODY_BYTES = 64 * 1024
LARGEST_PICTURE_BODY_BYTES = 2 * 1024 * 1024 + 16 * 1024  # the picture itself and what multipart puts around it
PICTURE_PATH = "/app/picture"
LARGEST_FILE_BYTES = 2 * 1024 * 1024
PAYOUTS_PATH = "/api/v1/payout-files"
LARGER_BODIES = {PICTURE_PATH: LARGEST_PICTURE_BODY_BYTES, PAYOUTS_PATH: LARGEST_FILE_BYTES}
HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cross-origin-opener-policy": "same-origin",
}


class In(BaseModel):
    """Something sent to the bank: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")


class StrictRoute(APIRoute):
    """A route whose JSON may not hold NaN, a name twice, or a number too long to read."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        answer = super().get_route_handler()

        async def answer_strictly(request: Request) -> Response:
            return await answer(_StrictRequest(request.scope, request.receive))

        return answer_strictly


class _StrictRequest(Request):
    async def json(self) -> Any:
        try:
            return json.loads(await self.body(), object_pairs_hook=_names_once, parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            raise json.JSONDecodeError(str(error) or "nested too deeply", "", 0) from None


def _names_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("a name stands twice in one object")
    return dict(pairs)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _check_key(request: Request) -> None:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    expected: str = request.app.state.settings.api_key
    if scheme.lower() != "bearer" or not hmac.compare_digest(key.encode(), expected.encode()):
        raise NotAuthorised


ApiKey = Annotated[None, Depends(_check_key)]


class Envelope:
    """Around the whole app: bodies are bounded as they arrive, and every answer carries the safety headers."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        left = LARGER_BODIES.get(scope["path"], LARGEST_BODY_BYTES)
        whole = scope["method"] in ("GET", "HEAD")

        async def receive_bounded() -> Message:
            nonlocal left, whole
            message = await receive()
            if message["type"] == "http.disconnect" and not whole:
                raise HTTPException(400)  # it breaks off; whoever sent it is gone
            whole = not message.get("more_body")
            left -= len(message.get("body", b""))
            if left < 0:
                raise HTTPException(TooLarge.status)
            return message

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message = {**message, "headers": [*message["headers"], *headers]}
            await send(message)

        await self.app(scope, receive_bounded, send_with_headers)


def refuse(request: Request, refusal: Refusal) -> Response:
    """The refusal as a page for people and as RFC 9457 problem+json for programs, in the reader's language."""
    if not request.url.path.startswith(("/api/", "/clock", "/healthz", "/openapi")):
        return pages.show(request, "problem.html", status=refusal.status, refusal=refusal)
    headers = {"www-authenticate": "Bearer"} if isinstance(refusal, NotAuthorised) else {}
    if isinstance(refusal, OutOfOrder):
        headers["retry-after"] = "2"
    problem = {
        "type": "about:blank",
        "title": refusal.sentence(),
        "detail": language.refusal(language.chosen(request), refusal),
        "status": refusal.status,
        "code": refusal.code,
        **{name: str(fact) for name, fact in refusal.facts.items()},
    }
    return JSONResponse(problem, refusal.status, headers, "application/problem+json")


def answer_refusals(app: FastAPI) -> None:
    """Every way to fail ends in `refuse`."""

    @app.exception_handler(Refusal)
    async def a_refusal(request: Request, refusal: Refusal) -> Response:
        return refuse(request, refusal)

    @app.exception_handler(RequestValidationError)
    async def a_bad_payload(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        detail = first.get("ctx", {}).get("error") if first["type"] == "json_invalid" else first["msg"]
        return refuse(request, BadPayload(reason=f"{where}: {detail}"))

    @app.exception_handler(AnyHTTPException)
    async def an_http_error(request: Request, error: AnyHTTPException) -> Response:
        known: dict[int, type[Refusal]] = {404: NotHere, 405: WrongMethod, 413: TooLarge}
        return refuse(request, known.get(error.status_code, _Unreadable)())

    async def the_database_is_away(request: Request, error: Exception) -> Response:
        return refuse(request, OutOfOrder())

    for cause in (OSError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError, asyncpg.CannotConnectNowError):
        app.add_exception_handler(cause, the_database_is_away)


class _Unreadable(BadPayload):
    """What was sent cannot be read."""

    code = "bad_payload"
    status = 400
