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
AT_ONCE = 4
"""So many things are done at the same time: one that waits for a bank, or proves a big operator's books, stops no other."""
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
    doing: set[asyncio.Task[None]] = set()
    try:
        while not stop.is_set():
            woken.clear()
            free = AT_ONCE - len(doing)
            claims = await _claim(database, free) if free else []
            for held in claims:
                task = asyncio.create_task(_do(database, due, held))
                doing.add(task)
                task.add_done_callback(doing.discard)
            if len(claims) < free or not free:
                await _until_something(woken, doing)
    finally:
        stop.set()
        for job_task in tasks:
            job_task.cancel()
        await asyncio.gather(*tasks, *doing, return_exceptions=True)


async def _claim(database: Database, most: int) -> list[outbox.Claim]:
    """What is due, as much as can be begun at once: a lease that waits for its turn would run out."""
    try:
        claims = await outbox.claim(database, most=most)
    except Exception as error:
        log.warning("the queue cannot be read: %s", error)
        await asyncio.sleep(1)
        return []
    failpoint.here("work.claimed")
    return claims


async def _do(database: Database, due: Mapping[str, DueAct], held: outbox.Claim) -> None:
    """Does one thing; its failure never stops the others."""
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


async def _until_something(woken: asyncio.Event, doing: set[asyncio.Task[None]]) -> None:
    """Waits at most half a second for new work or for the end of some that is being done."""
    news = asyncio.create_task(woken.wait())
    await asyncio.wait({news, *doing}, timeout=0.5, return_when=asyncio.FIRST_COMPLETED)
    news.cancel()


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
