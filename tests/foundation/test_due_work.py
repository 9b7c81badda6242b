"""Due work: nothing is forgotten, nothing done by a worker that lost its lease, a failing row never blocks others."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

import demo
from foundation import outbox, worker
from foundation.database import Database
from foundation.web import Platform


async def due(here: Platform, kind: str, id: str) -> None:
    async with here.database.transaction(demo.VANMIEU) as tx:
        outbox.enqueue(tx, kind, id)


async def test_two_workers_never_hold_the_same_row(here: Platform) -> None:
    for number in range(40):
        await due(here, "test.kind", str(number))
    claims = await asyncio.gather(*(outbox.claim(here.database, most=10) for _ in range(8)))
    ids = [held.id for batch in claims for held in batch if held.kind == "test.kind"]
    assert sorted(ids) == sorted({str(number) for number in range(40)})


async def test_a_worker_that_lost_its_lease_has_no_effect(here: Platform, admin: asyncpg.Connection) -> None:
    await due(here, "test.kind", "1")
    (first,) = await outbox.claim(here.database)
    await admin.execute("update foundation.due set lease_until = now() - interval '1 second'")
    (second,) = await outbox.claim(here.database)
    async with here.database.transaction(demo.VANMIEU) as tx:
        assert not await outbox.still_held(tx, first)
        await outbox.done(tx, first)
        assert await outbox.still_held(tx, second)


async def test_a_cause_that_comes_again_during_the_work_is_done_again(here: Platform) -> None:
    await due(here, "test.kind", "1")
    (held,) = await outbox.claim(here.database)
    await due(here, "test.kind", "1")
    async with here.database.transaction(demo.VANMIEU) as tx:
        await outbox.done(tx, held)
    assert len(await outbox.claim(here.database)) == 1


async def test_work_that_rolls_back_was_never_due(here: Platform) -> None:
    with pytest.raises(ZeroDivisionError):
        async with here.database.transaction(demo.VANMIEU) as tx:
            outbox.enqueue(tx, "test.kind", "1")
            raise ZeroDivisionError
    assert await outbox.claim(here.database) == []


async def test_a_poison_row_is_parked_and_the_others_are_done(here: Platform, admin: asyncpg.Connection) -> None:
    done: list[str] = []

    async def act(database: Database, held: outbox.Claim) -> None:
        if held.id == "poison":
            raise ValueError("cannot be done")
        done.append(held.id)

    for id in ("poison", "a", "b"):
        await due(here, "test.kind", id)
    await admin.execute("update foundation.due set attempts = $1 where id = 'poison'", outbox.ATTEMPTS_MAX - 5)
    stop, woken = asyncio.Event(), asyncio.Event()
    working = asyncio.create_task(worker.work(here.database, {"test.kind": act}, (), woken, stop))
    for _ in range(10):
        await asyncio.sleep(0.02)
        await admin.execute("update foundation.due set due_at = now() - interval '1 second' where parked_at is null")
        woken.set()
    for _ in range(100):
        if await admin.fetchval("select parked_at from foundation.due where id = 'poison'"):
            break
        await admin.execute("update foundation.due set due_at = now() - interval '1 second'")
        woken.set()
        await asyncio.sleep(0.05)
    stop.set()
    await asyncio.wait_for(working, 5)
    assert sorted(set(done)) == ["a", "b"]
    row = await admin.fetchrow("select attempts, parked_at, last_error from foundation.due where id = 'poison'")
    assert row["attempts"] >= outbox.ATTEMPTS_MAX
    assert row["parked_at"] is not None
    assert "cannot be done" in row["last_error"]


async def test_work_that_waits_for_somebody_stops_no_other(here: Platform) -> None:
    heard, done = asyncio.Event(), asyncio.Event()

    async def act(database: Database, held: outbox.Claim) -> None:
        if held.id == "silent":
            await heard.wait()
        else:
            done.set()

    await due(here, "test.kind", "silent")
    stop, woken = asyncio.Event(), asyncio.Event()
    working = asyncio.create_task(worker.work(here.database, {"test.kind": act}, (), woken, stop))
    await asyncio.sleep(0.2)
    await due(here, "test.kind", "other")
    woken.set()
    await asyncio.wait_for(done.wait(), 5)
    stop.set()
    heard.set()
    await asyncio.wait_for(working, 5)
    assert await outbox.claim(here.database) == [], "what was begun is ended before the worker goes"
