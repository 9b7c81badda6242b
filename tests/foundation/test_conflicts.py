"""Two that wait for each other: a hot act is tried again, anything else is told to ask again; never a 500 (R31)."""

from __future__ import annotations

import asyncio

import asyncpg
import httpx
import pytest
from fastapi import FastAPI

import demo
from foundation import outbox
from foundation.database import TRIES, Tx, function_of
from foundation.web import Platform, permit

ONE_THEN_OTHER = """
create or replace function public.one_then_other(p_first integer, p_second integer) returns integer
language plpgsql as $$
begin
    update public.pair set touched = touched + 1 where id = p_first;
    perform pg_sleep(0.15);
    update public.pair set touched = touched + 1 where id = p_second;
    return p_first;
end $$;
create or replace function public.never(p_n integer) returns integer language plpgsql as $$
begin
    raise exception 'as if another was first' using errcode = '40001';
end $$;
"""


@pytest.fixture
async def pair(admin: asyncpg.Connection) -> None:
    """Two rows that acts take in the wrong order."""
    await admin.execute(
        "create table public.pair (id integer primary key, touched integer not null);"
        " insert into public.pair values (1, 0), (2, 0); grant select, update on public.pair to motcham_app;"
    )
    await admin.execute(ONE_THEN_OTHER)


async def touched(admin: asyncpg.Connection) -> list[int]:
    return [row["touched"] for row in await admin.fetch("select touched from public.pair order by id")]


async def take(tx: Tx, first: int, second: int) -> None:
    for id in (first, second):
        await tx.execute("update public.pair set touched = touched + 1 where id = $1", id)
        await asyncio.sleep(0.2)


async def test_hot_acts_that_wait_for_each_other_are_both_done(
    here: Platform, admin: asyncpg.Connection, pair: None
) -> None:
    act = "select public.one_then_other($1, $2)"
    await asyncio.gather(here.database.hot(act, 1, 2), here.database.hot(act, 2, 1))
    assert await touched(admin) == [2, 2]
    assert [key[:5] for key in here.database.conflicts] == ["40P01"], "and it was counted, by its statement"
    assert "one_then_other" in next(iter(here.database.conflicts))


async def test_a_hot_act_is_not_tried_for_ever(here: Platform, pair: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("foundation.database.LONGEST_PAUSE_S", 0.001)
    with pytest.raises(asyncpg.SerializationError):
        await here.database.hot("select public.never($1)", 1)
    assert sum(here.database.conflicts.values()) == TRIES


async def test_a_request_that_met_another_is_told_to_try_again_and_changed_nothing(
    app: FastAPI,
    client: httpx.AsyncClient,
    here: Platform,
    admin: asyncpg.Connection,
    pair: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(app.router, "routes", [*app.router.routes])  # the next test's app has no such routes

    async def crossing(first: int, second: int) -> dict[str, bool]:
        async with here.database.transaction(demo.VANMIEU) as tx:
            await take(tx, first, second)
        return {"done": True}

    for path in ("/api/v1/crossing", "/crossing"):
        app.add_api_route(path, permit("public")(crossing), methods=["POST"])
        url = path + "?first={}&second={}"
        english = {"accept-language": "en"}
        answers = await asyncio.gather(
            *(client.post(url.format(*order), headers=english) for order in ((1, 2), (2, 1)))
        )
        by_status = {answer.status_code: answer for answer in answers}
        assert set(by_status) == {200, 503}
        assert by_status[503].headers["retry-after"] == "1"
        assert "nothing was changed" in by_status[503].text
    assert by_status[503].headers["content-type"].startswith("text/html")
    assert await touched(admin) == [2, 2]
    assert sum(here.database.conflicts.values()) == 2


async def test_the_worker_does_later_what_met_another(here: Platform, admin: asyncpg.Connection, pair: None) -> None:
    async with here.database.transaction(demo.VANMIEU) as tx:
        outbox.enqueue(tx, "test.crossing", "1")
    held = (await outbox.claim(here.database))[0]
    await outbox.failed(here.database, held, "DeadlockDetectedError()")
    assert await admin.fetchval("select attempts from foundation.due where kind = 'test.crossing'") == 1
    assert await admin.fetchval("select parked_at from foundation.due where kind = 'test.crossing'") is None
    assert await admin.fetchval("select lease_until from foundation.due where kind = 'test.crossing'") is None


def test_a_hot_act_is_named_after_its_function() -> None:
    assert function_of("select payments.receive($1, $2)") == "payments.receive"
    assert function_of("select ticketing.scan($1)") == "ticketing.scan"
