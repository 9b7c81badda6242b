"""What the office does with what it is told: each item once, in the order of numbers of its series."""

from __future__ import annotations

import json
from typing import Any

import asyncpg

from mock_tax import rules
from mock_tax.rules import Cancel, Issue, Message, Name, Questions


async def take(pool: asyncpg.Pool[Any], message: Message) -> list[dict[str, Any]]:
    """Takes a message as a whole: the verdict of each item, in its order."""
    async with pool.acquire() as connection, connection.transaction():
        # One message of an issuer after the other: numbers are counted.
        await connection.execute("select pg_advisory_xact_lock(hashtextextended('mock_tax ' || $1, 0))", message.issuer)
        return [await _take(connection, message.issuer, item) for item in message.items]


async def answer(pool: asyncpg.Pool[Any], questions: Questions) -> list[dict[str, Any]]:
    """What became of each; nothing is changed."""
    async with pool.acquire() as connection:
        return [
            _named(item, item.what) | _told(await _known(connection, questions.issuer, item, item.what))
            for item in questions.items
        ]


async def _take(connection: Any, issuer: str, item: Issue | Cancel) -> dict[str, Any]:
    content = json.dumps(item.model_dump(mode="json"), sort_keys=True)
    known = await _known(connection, issuer, item, item.what)
    if known is not None:
        if json.loads(known["content"]) != json.loads(content):
            return _named(item, item.what) | {"state": "rejected", "why": "number_used"}
        if known["state"] == "accepted":
            await connection.execute(
                "update mock_tax.item set times = times + 1"
                " where issuer = $1 and form = $2 and symbol = $3 and number = $4 and what = $5",
                *(issuer, item.form, item.symbol, item.number, item.what),
            )
            return _named(item, item.what) | _told(known)
    elif isinstance(item, Issue):
        last = await connection.fetchval(
            "select last_number from mock_tax.series where issuer = $1 and form = $2 and symbol = $3",
            *(issuer, item.form, item.symbol),
        )
        if item.number != (last or 0) + 1:
            return _named(item, item.what) | {"state": "rejected", "why": "number_missing"}
    why = await _why_not(connection, issuer, item)
    row = await connection.fetchrow(
        "insert into mock_tax.item (issuer, form, symbol, number, what, content, state, code, why, decides_at)"
        " select $1, $2, $3, $4, $5, $6, $7, $8, $9, clock_timestamp() + decide_seconds * interval '1 s'"
        " from mock_tax.faults"
        " on conflict (issuer, form, symbol, number, what) do update set times = mock_tax.item.times + 1,"
        "  state = excluded.state, code = excluded.code, why = excluded.why, decides_at = excluded.decides_at"
        " returning *, decides_at > clock_timestamp() as undecided",
        *(issuer, item.form, item.symbol, item.number, item.what, content),
        *("rejected" if why else "accepted", None if why else _code(issuer, item), why),
    )
    if isinstance(item, Issue) and known is None:
        await connection.execute(
            "insert into mock_tax.series (issuer, form, symbol, last_number) values ($1, $2, $3, $4)"
            " on conflict (issuer, form, symbol) do update set last_number = excluded.last_number",
            *(issuer, item.form, item.symbol, item.number),
        )
    return _named(item, item.what) | _told(row)


async def _why_not(connection: Any, issuer: str, item: Issue | Cancel) -> str | None:
    if isinstance(item, Cancel):
        return None if await _known(connection, issuer, item, "issue") else "nothing_to_cancel"
    if item.replaces and not await _known(connection, issuer, item.replaces, "issue"):
        return "nothing_to_replace"
    struck = await connection.fetchval("update mock_tax.faults set reject = reject - 1 where reject > 0 returning true")
    return "by_lot" if struck else rules.fault_of(item)


async def _known(connection: Any, issuer: str, name: Name, what: str) -> Any:
    return await connection.fetchrow(
        "select *, decides_at > clock_timestamp() as undecided from mock_tax.item"
        " where issuer = $1 and form = $2 and symbol = $3 and number = $4 and what = $5",
        *(issuer, name.form, name.symbol, name.number, what),
    )


def _named(name: Name, what: str) -> dict[str, Any]:
    return {"what": what, "form": name.form, "symbol": name.symbol, "number": name.number}


def _told(row: Any) -> dict[str, Any]:
    if row is None:
        return {"state": "unknown"}
    if row["undecided"]:
        return {"state": "received"}
    return {"state": row["state"], **({"code": row["code"]} if row["code"] else {"why": row["why"]})}


def _code(issuer: str, item: Issue | Cancel) -> str:
    return f"M{'1' if isinstance(item, Issue) else '2'}-{issuer[-4:]}-{item.symbol}-{item.number:08}"
