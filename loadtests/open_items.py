"""Ten thousand open lines: how long the server takes for their page, beside the bare SQL on the same rows in the same run.

python -m loadtests.open_items --lines 10000

Of the lines of a statement every tenth was told twice, every tenth has another amount than its receipt, every tenth no
reference (`loadtests.reconciling`): so many stay open, as many receipts, with their suggestions. A clerk's requests are
answered in this process, without a network: the first page, the same under a filter, what a bulk of all would be, and the
bulk itself. The bare side reads the same from tables of its own, in clear, and draws nothing. At last every item is named
and the day is closed while payments come in: how long the longest of them waited.

Exit code 0 unless an answer is wrong; the times are figures, not errors.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import httpx

import demo
from foundation.settings import Settings
from foundation.supervise import CannotRun
from loadtests import reconciling
from loadtests.reconciling import ACCOUNT, DAY, OPERATOR, Case

HOME = "/finance/reconciliation"
SAID = "CHUYEN TIEN"
ROOM_IN_MEMORY = 3 << 30
ODD = 10
UNIQUE_VND = 10_000_000
BARE = """
create schema bare;
create table bare.item (id uuid primary key, side text, day date, amount_vnd bigint, bank_ref text, text text);
create table bare.suggestion as select id, score, ambiguous, difference_vnd from payments.suggestion;
create table bare.suggestion_item as select suggestion_id, item_id from payments.suggestion_item;
create index on bare.item (side, day, id);
create index on bare.suggestion (id);
create index on bare.suggestion_item (suggestion_id);
create index on bare.suggestion_item (item_id);
"""
COUNTED = "select count(*), coalesce(sum(amount_vnd), 0)::bigint from bare.item where side = 'line'"
LISTED = "select * from bare.item where side = 'line'{} order by day, id limit 50"
SUGGESTED = (
    "select s.*, o.* from bare.suggestion_item i join bare.suggestion s on s.id = i.suggestion_id"
    " join bare.suggestion_item w on w.suggestion_id = s.id join bare.item o on o.id = w.item_id where i.item_id = any($1)"
)
BULK = (
    "select count(*), coalesce(sum(o.amount_vnd), 0)::bigint from bare.suggestion s"
    " join bare.suggestion_item i on i.suggestion_id = s.id join bare.item o on o.id = i.item_id and o.side = 'line'"
    " where s.score >= 65 and not s.ambiguous and s.difference_vnd = 0"
)
TEXT = " and (text ilike '%' || $1 || '%' or bank_ref ilike '%' || $1 || '%')"


@dataclass(frozen=True)
class Row:
    """One line of the table: medians in milliseconds; `aim_ms`: what ours may take."""

    what: str
    ours_ms: float
    bare_ms: float | None = None
    aim_ms: int | None = None


def main() -> int:
    """Runs it; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--lines", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--place", type=Path, help="folder for the database (default: in memory where there is room)")
    asked = parser.parse_args()
    try:
        with reconciling.serving(asked.place, ROOM_IN_MEMORY) as (server, _):
            print(f"{asked.lines:,} open lines, as many receipts …", flush=True)
            return asyncio.run(measure(server.url, asked.lines, rounds=asked.rounds))
    except CannotRun as error:
        print(f"open_items: {error}", file=sys.stderr)
        return 1


async def measure(admin_url: str, lines: int, *, rounds: int, template: str = "") -> int:
    """Prints the table. `template`: a migrated platform with the demo city, where there is one. The exit code."""
    import main as house

    case = _case(lines)
    await reconciling.prepare(admin_url, case, template)
    await reconciling.fresh(admin_url)
    url = reconciling.at(admin_url, "ours")
    app = house.assemble(Settings.of(reconciling.environment(url)))
    admin = await asyncpg.connect(url, command_timeout=600)
    try:
        async with app.router.lifespan_context(app):
            here = app.state.platform
            await _give_in(here, case, admin)
            await _lay_bare(here, admin)
            transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://test.local", timeout=600) as clerk:
                said = {"login": "ketoan@vanmieu", "password": demo.PASSWORD, "next": "/finance/"}
                assert (await clerk.post("/finance/login", data=said)).status_code == 303
                wrong = await _compare(clerk, admin)
                rows = await _looks(here, clerk, admin, rounds)
                rows.append(await _accepts(clerk))
            rows += await _closes(here, admin)
    finally:
        await admin.close()
        await reconciling.drop(admin_url)
    _print(rows)
    for each in wrong:
        print(f"WRONG: {each}")
    return 1 if wrong else 0


def _case(lines: int) -> Case:
    """So many lines that stay open. Of a third of them the bank left its reference out, and nothing else has their amount:
    those are sure enough for a bulk."""
    each = max(lines // 3, 1)
    case = reconciling.make(each * ODD, odd=ODD)
    known = {ref for _, ref, _, _ in case.receipts}
    alone = {line.ref: n for n, line in enumerate(line for line in case.day.lines if line.ref not in known) if n < each}
    told = [
        replace(line, ref="", amount_vnd=UNIQUE_VND + alone[line.ref]) if line.ref in alone else line
        for line in case.day.lines
    ]
    receipts = [
        (id, ref, UNIQUE_VND + n if n < each else vnd, second)
        for n, (id, ref, vnd, second) in enumerate(reversed(case.receipts))
    ]
    return replace(case, day=replace(case.day, lines=told), receipts=receipts)


async def _give_in(here: Any, case: Case, admin: asyncpg.Connection) -> None:
    from payments import bank_statement, matching

    staff_id = await admin.fetchval(
        "select id from foundation.staff where login = 'ketoan' and operator_id = $1", OPERATOR
    )
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", newline="") as file:
        file.writelines(reconciling.WRITERS["example-signed"](case.day))
        file.flush()
        await bank_statement.take_in(
            *(here.database, here.sealer, OPERATOR, Path(file.name)),
            name="statement.csv",
            profile="example-signed",
            staff_id=staff_id,
            now=datetime.now(UTC),
            seconds=600,
        )
    await matching.run(here.database, here.sealer, OPERATOR)


async def _lay_bare(here: Any, admin: asyncpg.Connection) -> None:
    """What is open, in clear, with its indexes, in tables that nobody watches."""
    from payments import bank_statement

    await admin.execute(BARE)
    found = await admin.fetch("select id, side, day, amount_vnd, bank_ref, sealed from payments.open_item")
    bare = []
    for row in found:
        text = json.loads(await here.sealer.open(row["sealed"], context=bank_statement.TEXT)) if row["sealed"] else []
        bare.append((*list(row.values())[:-1], " ".join(text)))
    await admin.copy_records_to_table("item", schema_name="bare", records=bare)
    await admin.execute("analyze")


async def _compare(clerk: httpx.AsyncClient, admin: asyncpg.Connection) -> list[str]:
    """Where the page says something else than the bare tables."""
    every, found = [(await clerk.get("/api/v1/finance/open-items", params={"q": q})).json() for q in ("", SAID)]
    wrong = []
    for what, said, counted in (
        ("count and sum", (every["count"], every["sum_vnd"]), await admin.fetchrow(COUNTED)),
        ("filter", (found["count"], found["sum_vnd"]), await admin.fetchrow(COUNTED + TEXT, SAID)),
        ("bulk", (every["bulk"]["lines"], every["bulk"]["sum_vnd"]), await admin.fetchrow(BULK)),
    ):
        assert counted
        if said != tuple(counted):
            wrong.append(f"{what}: the page says {said}, the rows {tuple(counted)}")
    return wrong


async def _looks(here: Any, clerk: httpx.AsyncClient, admin: asyncpg.Connection, rounds: int) -> list[Row]:
    from payments import open_items
    from payments.open_items import Filter
    from payments.proof_of_cash import prove_cash

    async def asks(address: str) -> None:
        answer = await clerk.get(address)
        assert answer.status_code == 200, answer.text

    async def bare_page(where: str = "", *args: object) -> None:
        shown = await admin.fetch(LISTED.format(where), *args)
        await admin.fetchrow(COUNTED + where, *args)
        await admin.fetch(SUGGESTED, [row["id"] for row in shown])
        await admin.fetchrow(BULK)

    async def counts() -> None:
        async with here.database.transaction(OPERATOR) as tx:
            await open_items.bulk(tx, await open_items.filtered(tx, here.sealer, Filter()))

    async def proves() -> None:
        async with here.database.transaction(OPERATOR) as tx:
            await prove_cash(tx, DAY)

    async def took(act: Callable[[], Awaitable[object]]) -> float:
        return await _median(act, rounds)

    return [
        Row("first page", await took(lambda: asks(HOME)), await took(bare_page), 1000),
        Row("last page", await took(lambda: asks(f"{HOME}?n=1000"))),
        Row(
            "filter: text", await took(lambda: asks(f"{HOME}?q={SAID}")), await took(lambda: bare_page(TEXT, SAID)), 200
        ),
        Row(
            "filter: amount",
            await took(lambda: asks(f"{HOME}?q=500000")),
            await took(lambda: bare_page(TEXT, "500000")),
            200,
        ),
        Row("filter: state", await took(lambda: asks(f"{HOME}?state=ambiguous")), None, 200),
        Row("of the first page: the proof of cash", await took(proves)),
        Row("of each page: what a bulk would be", await took(counts), await took(lambda: admin.fetchrow(BULK))),
    ]


async def _accepts(clerk: httpx.AsyncClient) -> Row:
    """All that is sure, at once."""
    page = (await clerk.get(HOME)).text
    fields = {name: re.findall(rf'name="{name}" value="([^"]*)"', page)[0] for name in ("csrf", "seen")}
    lines = (await clerk.get("/api/v1/finance/open-items")).json()["bulk"]["lines"]
    began = time.perf_counter()
    done = await clerk.post(f"{HOME}/accept", data=fields)
    assert done.status_code == 303, done.text
    return Row(f"accepting all that is sure ({lines:,} lines)", (time.perf_counter() - began) * 1000)


async def _closes(here: Any, admin: asyncpg.Connection) -> list[Row]:
    """The day is closed while payments come in, one after the other."""
    from payments import day_close
    from payments.receipt import Credit, receive

    staff_id = await admin.fetchval(
        "select id from foundation.staff where login = 'ketoan' and operator_id = $1", OPERATOR
    )
    await admin.execute(
        "update payments.open_item set name = 'bank_asked', named_by = $1, named_at = now()",
        staff_id,
    )
    waits: list[float] = []
    is_closed = asyncio.Event()

    async def pays() -> None:
        while not is_closed.is_set():
            began = time.perf_counter()
            credit = Credit(*ACCOUNT, f"NOW{len(waits)}", 20_000, "?", datetime.now(UTC), "")
            await receive(here.database, here.sealer, OPERATOR, credit, now=datetime.now(UTC), source="notice")
            waits.append((time.perf_counter() - began) * 1000)

    paying = asyncio.create_task(pays())
    await asyncio.sleep(0.3)
    began, before = time.perf_counter(), len(waits)
    assert await day_close.close_day(here.database, OPERATOR, DAY, staff_id=staff_id, now=datetime.now(UTC))
    took_ms = (time.perf_counter() - began) * 1000
    is_closed.set()
    await paying
    return [
        Row("closing the day", took_ms),
        Row(f"the longest wait of {len(waits) - before} payments meanwhile", max(waits[before:])),
    ]


async def _median(act: Callable[[], Awaitable[object]], rounds: int) -> float:
    taken = []
    for _ in range(rounds + 1):
        began = time.perf_counter()
        await act()
        taken.append((time.perf_counter() - began) * 1000)
    return statistics.median(taken[1:])  # the first one warms up


def _print(rows: list[Row]) -> None:
    """Markdown."""
    print("\n| what | ours, ms | bare SQL, ms | ours / bare | aim, ms |\n|---|---|---|---|---|")
    for row in rows:
        bare = f"{row.bare_ms:.1f} | {row.ours_ms / row.bare_ms:.1f}" if row.bare_ms else "|"
        print(f"| {row.what} | {row.ours_ms:.0f} | {bare} | {row.aim_ms or ''} |")


if __name__ == "__main__":
    sys.exit(main())
