"""The way to PostgreSQL: one pool of asyncpg connections, two lanes.

- `Database.transaction(operator_id)` opens a `Tx`: an asyncpg connection inside a transaction that sees one operator's
  rows. All writes but the hot acts take it, and it commits before the route returns its answer.
- `Database.hot(query, …)` runs one SQL function in autocommit: the call is the transaction, the function sets the
  operator itself.

What belongs to no operator (the directory, the queue of due work, the clock) is asked through `Database.rows` and
`Database.value`.

Two transactions that wait for each other: PostgreSQL ends one. A hot act is tried again at once; any other is rolled
back, and whoever asked is told to ask again (`TryAgain`). Both are counted by statement.

Row-level security is the second wall behind every WHERE: without an operator a query finds nothing.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import lru_cache
from random import SystemRandom
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import asyncpg

from foundation import failpoint
from foundation.errors import Refusal

log = logging.getLogger("motcham.database")
CONFLICTS = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)
"""40P01, 40001: nothing was written, and the same may be tried again at once."""
TRIES = 8
LONGEST_PAUSE_S = 0.02
"""Before the second try; each further one may pause twice as long."""
_chance = SystemRandom()

NOBODY = UUID(int=0)
"""The operator of acts that belong to none (choosing a way in, reading the directory)."""


def last_of(first: int) -> str:
    """The statement that writes due work of operator $1; `Tx.take_last` is what it takes from $`first` on."""
    return (
        "insert into foundation.due (operator_id, kind, id, due_at, version, attempts)"
        " select $1, kind, id, clock_timestamp() + after, 1, 0"
        f" from unnest(${first}::text[], ${first + 1}::text[], ${first + 2}::interval[]) as last(kind, id, after)"
        " on conflict (operator_id, kind, id) do update set version = foundation.due.version + 1, attempts = 0,"
        " parked_at = null, due_at = least(foundation.due.due_at, excluded.due_at)"
    )


LAST = last_of(2)


class DatabaseUnreachable(Exception):
    """The database does not answer; the message is one plain sentence for whoever started the process."""


class Tx:
    """A connection inside a transaction, opened for one operator."""

    def __init__(self, connection: Any, operator_id: UUID) -> None:
        self.connection = connection
        self.operator_id = operator_id
        self.wakes: list[str] = []
        self.last: list[tuple[str, str, timedelta]] = []
        """Due work (kind, id, delay) that is written just before the commit, in order: rows that many transactions touch."""
        self.steps: list[str] = []

    async def rows(self, query: str, *args: object) -> list[Any]:
        return list(await self.connection.fetch(query, *args))

    async def row(self, query: str, *args: object) -> Any:
        """The first row, or None if there is none."""
        return await self.connection.fetchrow(query, *args)

    async def value(self, query: str, *args: object) -> Any:
        return await self.connection.fetchval(query, *args)

    async def execute(self, query: str, *args: object) -> str:
        status: str = await self.connection.execute(query, *args)
        return status

    def take_last(self) -> tuple[list[str], list[str], list[timedelta]]:
        """The due work so far, for whoever writes it in his own last statement (`last_of`); each row once, in order."""
        rows: dict[tuple[str, str], timedelta] = {}
        for kind, id, after in sorted(self.last, reverse=True):  # of one twice, the sooner
            rows[kind, id] = after
        self.last.clear()
        named = sorted(rows)
        return [kind for kind, _ in named], [id for _, id in named], [rows[name] for name in named]

    async def one_at_a_time(self, what: str) -> None:
        """Until this transaction ends, others of the operator that ask for the same wait: the second sees what the first left."""
        await self.execute("select pg_advisory_xact_lock(hashtextextended($1 || $2, 0))", str(self.operator_id), what)

    def wake(self, channel: str) -> None:
        """Tells whoever listens on the channel, once this transaction is committed."""
        self.wakes.append(channel)

    def step(self, name: str) -> None:
        """Names what this transaction does: failpoints `<name>.before` and `<name>.after` its commit."""
        self.steps.append(name)

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """Work inside rolls back alone if it raises; its wakes are forgotten with it."""
        wakes, last = len(self.wakes), len(self.last)
        await self.connection.execute("savepoint act")
        try:
            yield
        except BaseException:
            await self.connection.execute("rollback to savepoint act; release savepoint act")
            del self.wakes[wakes:]
            del self.last[last:]
            raise
        await self.connection.execute("release savepoint act")


async def _keep_session(connection: Any) -> None:
    """No reset query: nothing of ours sets session state (the operator is local to its transaction)."""


class Database:
    """A pool and the two lanes over it. `publish` is told the channels to wake after each commit."""

    def __init__(self, pool: Any, publish: Callable[[list[str]], Awaitable[None]] | None = None) -> None:
        self.publish = publish
        self.names: dict[tuple[str, str], UUID] = {}
        """What the directory has answered (foundation.directory)."""
        self.pool = pool
        self.kept: list[Any] = []
        self.free = asyncio.Semaphore(pool.get_max_size())
        self.conflicts: Counter[str] = Counter()
        """How often a transaction was given up for another one, by SQLSTATE and statement, in this process."""

    @classmethod
    async def open(cls, url: str, *, size: int = 8, name: str = "motcham") -> Database:
        """Connects, or raises DatabaseUnreachable with one sentence that holds no password."""
        try:
            pool = await asyncpg.create_pool(
                url,
                min_size=1,
                max_size=size,
                reset=_keep_session,
                timeout=10,
                command_timeout=30,
                server_settings={
                    "application_name": name,
                    "timezone": "UTC",
                    "statement_timeout": "10s",
                    "lock_timeout": "3s",
                    "idle_in_transaction_session_timeout": "15s",
                    # Our statements are single-row look-ups: compiling them would cost more than running them.
                    "jit": "off",
                },
            )
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError, ValueError) as error:
            raise DatabaseUnreachable(f"The database at {safe_url(url)} does not answer: {error}") from error
        return cls(pool)

    async def close(self) -> None:
        while self.kept:
            await self.pool.release(self.kept.pop())
        try:
            await asyncio.wait_for(self.pool.close(), 5)
        except TimeoutError:
            self.pool.terminate()

    async def rows(self, query: str, *args: object) -> list[Any]:
        """Rows of what belongs to no operator."""
        async with _Lent(self) as connection:
            return list(await connection.fetch(query, *args))

    async def value(self, query: str, *args: object) -> Any:
        """One value of what belongs to no operator."""
        async with _Lent(self) as connection:
            return await connection.fetchval(query, *args)

    async def execute(self, query: str, *args: object) -> str:
        """Changes what belongs to no operator."""
        async with _Lent(self) as connection:
            status: str = await connection.execute(query, *args)
            return status

    @asynccontextmanager
    async def transaction(self, operator_id: UUID, *, isolation: str = "read committed") -> AsyncIterator[Tx]:
        """One request's transaction, committed when the block ends, rolled back when it raises."""
        async with _Lent(self) as connection:
            # One round trip for both; a UUID cannot carry anything but hexadecimal digits into the text.
            await connection.execute(
                f"begin isolation level {isolation}; set local app.operator = '{UUID(str(operator_id))}'"
            )
            tx = Tx(connection, operator_id)
            try:
                yield tx
                if tx.last:
                    await connection.execute(LAST, operator_id, *tx.take_last())
                for name in tx.steps:
                    failpoint.here(f"{name}.before")
                await connection.execute("commit")
            except BaseException as error:
                if isinstance(error, CONFLICTS):
                    self._count(error)
                if not connection.is_closed():
                    await asyncio.shield(connection.execute("rollback"))
                raise
        for name in tx.steps:
            failpoint.here(f"{name}.after")
        if tx.wakes and self.publish is not None:
            await self.publish(tx.wakes)

    async def hot(self, query: str, *args: object) -> Any:
        """One call of one SQL function in autocommit; returns its first row.

        Tried again, at most TRIES times, if it met others in the wrong order.
        """
        name = function_of(query)
        failpoint.here(f"{name}.before")
        for tried in range(1, TRIES + 1):
            try:
                async with _Lent(self) as connection:
                    row = await connection.fetchrow(query, *args)
                failpoint.here(f"{name}.after")
                return row
            except CONFLICTS as error:
                self._count(error)
                if tried == TRIES:
                    raise
                await asyncio.sleep(LONGEST_PAUSE_S * 2**tried * _chance.random())
        raise AssertionError("the last try returns or raises")

    def _count(self, error: BaseException) -> None:
        statement = f"{getattr(error, 'sqlstate', '')} {getattr(error, 'query', None) or ''}"[:200].strip()
        self.conflicts[statement] += 1
        log.info("met others in the wrong order, %s times so far: %s", self.conflicts[statement], statement)


class _Lent:
    """A connection for as long as a block runs: `async with _Lent(database) as connection`.

    Fetching one from the pool and giving it back costs half as much as a short call, so what was fetched is kept.
    """

    __slots__ = ("connection", "database")

    def __init__(self, database: Database) -> None:
        self.database = database
        self.connection: Any = None

    async def __aenter__(self) -> Any:
        database = self.database
        await database.free.acquire()
        try:
            while not _lives(connection := database.kept.pop() if database.kept else await database.pool.acquire()):
                await database.pool.release(connection)
        except BaseException:
            database.free.release()
            raise
        self.connection = connection
        return connection

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        database, connection = self.database, self.connection
        try:
            # Left in the middle of something, the pool waits until it is over, or replaces it.
            settled = error is None or isinstance(error, asyncpg.PostgresError | Refusal)
            if settled and _lives(connection) and not connection.is_in_transaction():
                database.kept.append(connection)
            else:
                await asyncio.shield(database.pool.release(connection))
        finally:
            database.free.release()


@lru_cache(maxsize=256)
def function_of(query: str) -> str:
    """The SQL function that a hot act calls, e.g. `ticketing.scan`."""
    found = re.search(r"[a-z_]+\.[a-z_]+(?=\()", query)
    return found[0] if found else query


def _lives(connection: Any) -> bool:
    try:
        return not connection.is_closed()
    except asyncpg.InterfaceError:  # the server closed it while it was kept, and the pool has taken it back
        return False


def safe_url(url: str) -> str:
    """The URL without its password, fit for a terminal or a log."""
    parts = urlsplit(url)
    host = parse_qs(parts.query).get("host", [parts.hostname or "localhost"])[0]
    return f"{parts.scheme}://{parts.username or ''}@{host}{parts.path}"
