"""Notices: telling an account's owner what was booked, signed after Standard Webhooks, until the owner says 2xx.

At least once, by a transactional outbox: a sender that dies leaves its notices due again. Real time throughout, but for
a notice that is told again days later: those days are the bank's.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import asyncpg
import httpx
from fastapi import Depends, Request
from standardwebhooks import Webhook

from mock_bank import failpoint

LEASE_SECONDS = 10
ANSWER_WITHIN_SECONDS = 5
POLL_SECONDS = 1.0
AT_ONCE = 16
STALE = timedelta(hours=1)
GAPS = (1, 1, 2, 3, 5, 8, 13)  # between eight sendings, in retry units: minutes at a real bank, seconds here

log = logging.getLogger(__name__)


class NoticeSender:
    """Sends what is due. Any number may run: they share the work by SKIP LOCKED and a lease."""

    outbox = "mock_bank.notice"

    def __init__(self, db: asyncpg.Pool[Any], *, secrets: tuple[str, ...], retry_unit_seconds: float = 1.0) -> None:
        self._db = db
        self._keys = [Webhook(secret) for secret in secrets]
        self._retry_unit_seconds = retry_unit_seconds
        self._woken = asyncio.Event()
        self._sending: set[asyncio.Task[None]] = set()

    def wake(self) -> None:
        """Something may be due: look now, not at the next poll."""
        self._woken.set()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Send in the background for as long as the block lasts."""
        # Proxies of the surroundings are ignored: notices go straight to the address that the owner gave. A certificate
        # that its owner made himself is believed if SSL_CERT_FILE names it.
        trusted = ssl.create_default_context(cafile=os.environ.get("SSL_CERT_FILE"))
        async with httpx.AsyncClient(timeout=ANSWER_WITHIN_SECONDS, trust_env=False, verify=trusted) as http:
            loop = asyncio.create_task(self._run(http))
            try:
                yield
            finally:
                for task in (loop, *self._sending):
                    task.cancel()
                await asyncio.gather(loop, *self._sending, return_exceptions=True)

    async def _run(self, http: httpx.AsyncClient) -> None:
        while True:
            self._woken.clear()
            try:
                due = await self._claim(AT_ONCE - len(self._sending))
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                log.exception("the outbox cannot be read")
                due = []
            for notice in due:
                task = asyncio.create_task(self._send(http, notice))
                self._sending.add(task)
                task.add_done_callback(self._finished)
            with contextlib.suppress(TimeoutError):
                # Not wait_for: before Python 3.12 it can swallow the cancellation that ends this loop.
                async with asyncio.timeout(POLL_SECONDS):
                    await self._woken.wait()

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._sending.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("a notice could not be settled; its lease brings it back", exc_info=task.exception())
        self.wake()

    async def _claim(self, limit: int) -> list[Any]:
        return await self._db.fetch(
            """UPDATE mock_bank.notice n SET due_at = clock_timestamp() + make_interval(secs => $2), sends = sends + 1
                 FROM mock_bank.account a
                WHERE n.id IN (SELECT id FROM mock_bank.notice WHERE state = 'waiting' AND due_at <= clock_timestamp()
                                  AND (not_before IS NULL OR not_before <= mock_bank.now())
                                ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED)
                  AND a.bin = n.bin AND a.account = n.account
               RETURNING n.id, n.body, n.sends, n.failures, n.defects[n.sends] AS defect, a.webhook_url""",
            limit,
            LEASE_SECONDS,
        )

    async def _send(self, http: httpx.AsyncClient, notice: Any) -> None:
        failpoint.here("bank.notice.claimed")
        try:
            async with asyncio.timeout(ANSWER_WITHIN_SECONDS):
                arrived = await self._tell(http, notice) and notice["defect"] != "answer_lost"
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError):
            arrived = False
        failpoint.here("bank.notice.sent")
        if arrived:
            await self._settle_arrival(notice)
        else:
            await self._settle_failure(notice)

    async def _tell(self, http: httpx.AsyncClient, notice: Any) -> bool:
        """Sends it once; whether the owner said that it arrived."""
        at = datetime.now(UTC) - (STALE if notice["defect"] == "stale_timestamp" else timedelta(0))
        signed = self.signed(notice["id"], notice["body"], at)
        if notice["defect"] == "wrong_signature":
            signed["webhook-signature"] = self.signed(notice["id"], notice["body"] + " ", at)["webhook-signature"]
        headers = {"content-type": "application/json", **signed}
        answer = await http.post(notice["webhook_url"] or "", content=notice["body"], headers=headers)
        return answer.is_success

    def signed(self, event_id: str, body: str, at: datetime) -> dict[str, str]:
        """The three headers of Standard Webhooks; one signature for each secret, so that secrets can be changed."""
        return {
            "webhook-id": event_id,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": " ".join(key.sign(event_id, at, body) for key in self._keys),
        }

    async def _settle_arrival(self, notice: Any) -> None:
        await self._db.execute(
            f"""UPDATE {self.outbox}
                  SET copies_left = CASE WHEN copies_left > 1 OR again_at IS NULL THEN copies_left - 1 ELSE 1 END,
                      due_at = clock_timestamp(),
                      not_before = CASE WHEN copies_left <= 1 THEN again_at END,
                      again_at = CASE WHEN copies_left > 1 THEN again_at END,
                      state = CASE WHEN copies_left <= 1 AND again_at IS NULL THEN 'delivered' ELSE 'waiting' END,
                      settled_at = CASE WHEN copies_left <= 1 AND again_at IS NULL THEN clock_timestamp() END
                WHERE id = $1 AND sends = $2 AND state = 'waiting'""",
            notice["id"],
            notice["sends"],
        )

    async def _settle_failure(self, notice: Any) -> None:
        gives_up = notice["failures"] >= len(GAPS)
        gap_seconds = 0.0 if gives_up else GAPS[notice["failures"]] * self._retry_unit_seconds
        await self._db.execute(
            f"""UPDATE {self.outbox}
                  SET failures = failures + 1, due_at = clock_timestamp() + make_interval(secs => $3),
                      state = CASE WHEN $4 THEN 'silent' ELSE 'waiting' END,
                      settled_at = CASE WHEN $4 THEN clock_timestamp() END
                WHERE id = $1 AND sends = $2 AND state = 'waiting'""",
            notice["id"],
            notice["sends"],
            gap_seconds,
            gives_up,
        )
        asyncio.get_running_loop().call_later(gap_seconds, self.wake)


def _sender(request: Request) -> NoticeSender:
    sender: NoticeSender = request.app.state.sender
    return sender


Sender = Annotated[NoticeSender, Depends(_sender)]
