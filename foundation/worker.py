"""The worker: one loop of due acts. Any number may run; a row is claimed with a lease and a fencing token.

Kinds of due work and periodic jobs are handed in by `main.py`; this room knows none of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from foundation import failpoint, outbox
from foundation.database import Database

log = logging.getLogger("motcham.worker")
DueAct = Callable[[Database, outbox.Claim], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Periodic:
    """Something done again and again: its name, the pause between two times, the act."""

    name: str
    seconds: float
    act: Callable[[], Awaitable[object]]


async def work(
    database: Database,
    due: Mapping[str, DueAct],
    periodic: tuple[Periodic, ...],
    woken: asyncio.Event,
    stop: asyncio.Event,
) -> None:
    """Works until `stop` is set; `woken` (published channel `due`) shortens the wait of at most a second."""
    tasks = [asyncio.create_task(_again(job, stop), name=job.name) for job in periodic]
    try:
        while not stop.is_set():
            woken.clear()
            if not await _round(database, due):
                await _pause(woken, 0.5)
    finally:
        stop.set()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _round(database: Database, due: Mapping[str, DueAct]) -> int:
    """Claims what is due and does it; a failure of one row never stops the others."""
    try:
        claims = await outbox.claim(database)
    except Exception as error:
        log.warning("the queue cannot be read: %s", error)
        await asyncio.sleep(1)
        return 0
    failpoint.here("work.claimed")
    for held in claims:
        act = due.get(held.kind)
        try:
            if act is None:
                raise LookupError(f"nobody does {held.kind}")
            await act(database, held)
            failpoint.here("work.acted")
            async with database.transaction(held.operator_id) as tx:
                await outbox.done(tx, held)
        except Exception as error:
            log.warning("%s %s failed (try %s): %r", held.kind, held.id, held.attempts, error)
            with contextlib.suppress(Exception):
                await outbox.failed(database, held, repr(error))
    return len(claims)


async def _again(job: Periodic, stop: asyncio.Event) -> None:
    while not stop.is_set():
        try:
            await job.act()
        except Exception as error:
            log.warning("%s: %s", job.name, error)
        await _pause(stop, job.seconds)


async def _pause(event: asyncio.Event, seconds: float) -> None:
    """Waits for the event, at most so long. (Not wait_for: on Python 3.11 it can swallow a cancellation.)"""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


def stop_on_signals(stop: asyncio.Event) -> None:
    """SIGINT and SIGTERM end the loop after the act at hand."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
