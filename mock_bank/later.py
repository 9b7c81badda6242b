"""What the bank does later, by its own time: sends refunds and payouts and settles or returns them, takes credits back."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

import asyncpg
from fastapi import Depends, Request

from mock_bank import failpoint

POLL_SECONDS = 1.0

log = logging.getLogger(__name__)


class BankClerk:
    """Does what is due, a transaction at a time. Any number may work: what one has done, another finds done."""

    def __init__(self, db: asyncpg.Pool[Any], *, booked: Callable[[], None]) -> None:
        """`booked` is called when something was done that may have put a notice into the outbox."""
        self._db = db
        self._booked = booked
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Something may be due: look now, not at the next poll."""
        self._woken.set()

    @contextlib.asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Work in the background for as long as the block lasts."""
        work = asyncio.create_task(self._work())
        try:
            yield
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)

    async def _work(self) -> None:
        while True:
            self._woken.clear()
            try:
                while await self._db.fetchval("SELECT mock_bank.proceed()"):
                    failpoint.here("bank.proceeded")
                    self._booked()
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                log.exception("what is due cannot be done; it stays due")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await self._woken.wait()


def _clerk(request: Request) -> BankClerk:
    clerk: BankClerk = request.app.state.clerk
    return clerk


Clerk = Annotated[BankClerk, Depends(_clerk)]
