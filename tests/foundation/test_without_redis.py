"""Redis is a convenience: with it, without it, or when it goes away, pages are told and guessing is counted."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from stage import settings_for

import demo
import main
from foundation.embedded import EmbeddedValkey
from foundation.limits import Limits, TooManyTries
from foundation.web import Platform


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[EmbeddedValkey]:
    server = EmbeddedValkey(tmp_path / "valkey")
    with server:
        yield server
    server.remove()


async def told(publisher: Platform, listener: Platform, seconds: float) -> bool:
    """Whether a change committed in one process reaches a page held by another."""

    async def hear() -> bool:
        first = True
        async for changed in listener.live.changes("charge:X", seconds=seconds):
            if not first:
                return changed
            first = False
        return False

    hearing = asyncio.create_task(hear())
    await asyncio.sleep(0.3)
    async with publisher.database.transaction(demo.VANMIEU) as tx:
        tx.wake("charge:X")
    return await hearing


async def test_without_redis_another_process_hears_within_two_seconds(admin_url: str) -> None:
    settings = settings_for(admin_url, redis_url=None)
    async with main.running(settings) as one, main.running(settings) as two:
        assert await told(one, two, 2.5)


async def test_with_redis_another_process_hears_at_once(admin_url: str, valkey: EmbeddedValkey) -> None:
    settings = settings_for(admin_url, redis_url=valkey.url)
    async with main.running(settings) as one, main.running(settings) as two:
        assert await told(one, two, 1)


async def test_redis_going_away_fails_no_request_and_coming_back_heals(admin_url: str, valkey: EmbeddedValkey) -> None:
    settings = settings_for(admin_url, redis_url=valkey.url)
    async with main.running(settings) as one, main.running(settings) as two:
        assert await told(one, two, 1)
        valkey.stop()
        async with one.database.transaction(demo.VANMIEU) as tx:
            tx.wake("charge:X")
        await one.limits.spend("1/minute", "someone")
        with pytest.raises(TooManyTries):
            await one.limits.spend("1/minute", "someone")
        valkey.start()
        for _ in range(10):
            if await told(one, two, 1):
                return
        pytest.fail("wake-ups did not come back")


async def test_tries_are_counted_across_processes(valkey: EmbeddedValkey) -> None:
    one, two = Limits(valkey.url), Limits(valkey.url)
    await one.spend("2/minute", "login", "01")
    await two.spend("2/minute", "login", "01")
    with pytest.raises(TooManyTries):
        await one.spend("2/minute", "login", "01")
    await one.spend("2/minute", "login", "02")


async def test_a_process_that_is_stopped_while_it_still_connects_ends(admin_url: str, valkey: EmbeddedValkey) -> None:
    settings = settings_for(admin_url, redis_url=valkey.url, database_city_url=None)
    async with asyncio.timeout(40):
        for number in range(40):
            async with main.running(settings):
                await asyncio.sleep(number % 10 / 2_000)
