"""JSON as money needs it: no duplicate keys, no NaN, no deep nesting; every body is parsed here and nowhere else."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError

from foundation.errors import BadPayload, Refusal

DEPTH_MAX = 32
Shape = TypeVar("Shape", bound=BaseModel)


class WrongContentType(Refusal):
    """This needs a JSON body (Content-Type: application/json)."""

    status = 415


def parse(body: bytes) -> Any:
    """The value of a JSON text. Raises BadPayload naming what is wrong, never echoing the input."""
    if body.count(b"[") + body.count(b"{") > 10_000 or _depth(body) > DEPTH_MAX:
        raise BadPayload(reason="nested too deeply")
    if b"\\u0000" in body:  # PostgreSQL's text cannot hold it, and nobody types it
        raise BadPayload(reason="a NUL character")
    try:
        value = _decoder.decode(body.decode())
        if b"\\ud" in body or b"\\uD" in body:
            json.dumps(value, ensure_ascii=False).encode()  # half a surrogate pair is no character
        return value
    except BadPayload:
        raise
    except (ValueError, RecursionError) as error:
        raise BadPayload(reason="not valid JSON") from error


def read(shape: type[Shape], body: bytes) -> Shape:
    """A body as a strict shape; for the hot routes, which skip FastAPI's own body handling."""
    value = parse(body)
    try:
        return shape.model_validate(value)
    except ValidationError as error:
        raise BadPayload(reason=explain(error.errors(include_url=False, include_input=False))) from error


def explain(errors: Any) -> str:
    """`amount_vnd: Input should be a valid integer; …` for at most five errors, without the input."""
    said = [
        f"{'.'.join(str(part) for part in e['loc'] if part != 'body') or 'body'}: {e['msg']}" for e in list(errors)[:5]
    ]
    return "; ".join(said)


class StrictRoute(APIRoute):
    """Parses JSON bodies with `parse` before FastAPI validates them."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def strictly(request: Request) -> Response:
            return await handle(_StrictRequest(request.scope, request.receive))

        return strictly


class _StrictRequest(Request):
    async def json(self) -> Any:
        if not self.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json":
            raise WrongContentType()
        return parse(await self.body())


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise BadPayload(reason="a key stands twice")
    return found


def _no_constant(name: str) -> Any:
    raise BadPayload(reason=f"{name} is not a number")


def _integer(digits: str) -> int:
    # No amount, id or count of ours has more; and int() of very long texts is slow.
    if len(digits) > 19:
        raise BadPayload(reason="a number has too many digits")
    return int(digits)


_decoder = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant, parse_int=_integer)


def _depth(body: bytes) -> int:
    deepest = depth = 0
    if body.count(b"[") + body.count(b"{") <= DEPTH_MAX:
        return 0
    for byte in body:
        if byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"]}":
            depth -= 1
    return deepest
