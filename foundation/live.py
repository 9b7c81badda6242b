"""Telling other processes and open pages that something changed, without being the truth of anything.

After a commit the channels are published: through Redis, or, without it, as rows of `foundation.wake` that every
process polls once a second. A page streams them as server-sent events and then reads the truth again itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator
from datetime import datetime

import redis.asyncio as redis
from sqlmodel import Field, SQLModel

from foundation.database import Database
from foundation.tables import instant

log = logging.getLogger("motcham.live")
TOPIC = "motcham:wake"
POLL_SECONDS = 1.0


class Wake(SQLModel, table=True):
    """A channel that changed; only used without Redis, and emptied after a minute."""

    __tablename__ = "wake"
    __table_args__ = {"schema": "foundation", "prefixes": ["UNLOGGED"]}
    channel: str = Field(primary_key=True)
    at: datetime = instant(index=True)


class Live:
    """One per process: publishes channels, and hands the published ones to whoever waits in this process."""

    def __init__(self, database: Database, redis_url: str | None) -> None:
        self._database = database
        self._redis = redis.from_url(redis_url) if redis_url else None
        self._waiting: dict[str, set[asyncio.Event]] = defaultdict(set)
        self._listener: asyncio.Task[None] | None = None
        self.closing = asyncio.Event()

    async def start(self) -> None:
        self._database.publish = self.publish
        self._listener = asyncio.create_task(self._listen(), name="live")

    async def stop(self) -> None:
        self.closing.set()
        self._ring(list(self._waiting))
        # Until it has ended: on Python 3.11 a connection that is being made can swallow a cancellation.
        while self._listener and not self._listener.done():
            self._listener.cancel()
            await asyncio.wait([self._listener], timeout=0.2)
        if self._redis:
            await self._redis.aclose()

    async def publish(self, channels: list[str]) -> None:
        """Never fails the act that has already been committed: who is not woken finds out by asking."""
        names = sorted(set(channels))
        try:
            if self._redis:
                await self._redis.publish(TOPIC, "\n".join(names))
            else:
                await self._database.execute(
                    "insert into foundation.wake (channel, at) select unnest($1::text[]), clock_timestamp()"
                    " on conflict (channel) do update set at = excluded.at",
                    names,
                )
        except Exception as error:
            log.warning("could not publish a wake-up: %s", type(error).__name__)
        self._ring(names)

    @contextlib.contextmanager
    def listening(self, channel: str) -> Iterator[asyncio.Event]:
        """An event that is set whenever the channel is published; clear it before reading the truth."""
        event = asyncio.Event()
        self._waiting[channel].add(event)
        try:
            yield event
        finally:
            self._waiting[channel].discard(event)
            if not self._waiting[channel]:
                del self._waiting[channel]

    async def changes(self, channel: str, *, seconds: float) -> AsyncIterator[bool]:
        """Yields True at once and at each change, False every `seconds` without one, until closing."""
        with self.listening(channel) as event:
            yield True
            while not self.closing.is_set():
                try:
                    # Not wait_for: on Python 3.11 it can swallow a cancellation.
                    async with asyncio.timeout(seconds):
                        await event.wait()
                    event.clear()
                    yield True
                except TimeoutError:
                    yield False

    def _ring(self, names: Iterable[str]) -> None:
        for name in names:
            for event in self._waiting.get(name, ()):
                event.set()

    async def _listen(self) -> None:
        while True:
            try:
                await (self._listen_redis() if self._redis else self._poll())
            except asyncio.CancelledError:
                raise
            except Exception as error:
                log.warning("wake-ups are interrupted: %s", type(error).__name__)
                # A wake-up may have been missed: everyone who waits looks again.
                self._ring(list(self._waiting))
                await asyncio.sleep(1)

    async def _listen_redis(self) -> None:
        assert self._redis is not None
        async with self._redis.pubsub() as subscription:
            await subscription.subscribe(TOPIC)
            self._ring(list(self._waiting))
            async for message in subscription.listen():
                if message["type"] == "message":
                    self._ring(message["data"].decode().split("\n"))

    async def _poll(self) -> None:
        seen: datetime | None = None
        while True:
            rows = await self._database.rows(
                "select channel, at from foundation.wake where at > coalesce($1, clock_timestamp() - interval '2 s')"
                " order by at",
                seen,
            )
            if rows:
                # Overlap by a little: a row's time is taken before its commit.
                self._ring([row["channel"] for row in rows])
                seen = rows[-1]["at"]
            await asyncio.sleep(POLL_SECONDS)
