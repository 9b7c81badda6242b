"""An account owner's side: what it knows of the bank, and the server on which it receives notices."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from starlette.types import Receive, Scope, Send

from mock_bank.settings import Settings

SECRETS = (
    "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
    "whsec_ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA=",
)
KEY = {"authorization": "Bearer a key for tests"}
BIN, ACCOUNT = "970436", "1234567890"

Pay = Callable[..., Awaitable[httpx.Response]]
Misbehave = Callable[..., Awaitable[dict[str, Any]]]


@dataclass
class Receiver:
    """An account owner's server: keeps every request; answers the statuses in `answers`, then 204 for ever."""

    answers: list[int] = field(default_factory=list)
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    at: list[float] = field(default_factory=list)
    url: str = ""
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        self.got.append(({name.decode(): value.decode() for name, value in scope["headers"]}, body))
        self.at.append(time.monotonic())
        self._news.set()
        status = self.answers.pop(0) if self.answers else 204
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    @property
    def told(self) -> list[dict[str, Any]]:
        """The transactions that the notices tell of, in the order of arrival."""
        return [json.loads(body)["data"] for _, body in self.got]

    @property
    def event_ids(self) -> list[str]:
        """The notices' event ids, in the order of arrival."""
        return [headers["webhook-id"] for headers, _ in self.got]

    async def has(self, count: int, within: float = 5) -> None:
        """Wait until `count` notices have come."""
        async with asyncio.timeout(within):
            while len(self.got) < count:
                self._news.clear()
                await self._news.wait()


class BankProcess:
    """The bank as a process of its own, to be killed. `started` waits until it answers."""

    def __init__(self, settings: Settings, folder: Path, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._folder = folder
        self._environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "BANK_DATABASE_URL": settings.database_url,
            "BANK_PORT": str(port),
            "BANK_ENVIRONMENT": "test",
            "BANK_API_KEY": settings.api_key,
            "BANK_WEBHOOK_SECRET": ",".join(SECRETS),
        }

    async def started(self, api: httpx.AsyncClient) -> asyncio.subprocess.Process:
        bank = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "mock_bank", env=self._environment, cwd=self._folder
        )
        async with asyncio.timeout(20):
            while True:
                try:
                    if (await api.get("/healthz")).status_code == 200:
                        return bank
                except httpx.TransportError:
                    await asyncio.sleep(0.05)
