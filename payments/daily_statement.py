"""Every night the bank is asked for the statement of the day that is over; it is taken in and matched, a day after the other.

A day that the bank does not have yet, or whose statement does not hold, is asked for again every hour: none behind it is
taken before.
"""

from __future__ import annotations

import logging
import tempfile
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Literal
from uuid import UUID

from foundation import clock, directory, failpoint
from foundation.database import Database
from foundation.seal import Sealer
from payments import bank_statement, matching
from payments.gateway.bank import Bank

log = logging.getLogger("motcham.statement")
FETCHED_AT = time(0, 15)
"""Hanoi time: before the day is settled, so that what only the statement knows is settled with it."""
AGAIN = timedelta(hours=1)
FORM: Literal["camt.053.001.08"] = "camt.053.001.08"
SECONDS = 900


async def fetch_what_is_over(database: Database, sealer: Sealer, gateway: Bank) -> int:
    """Fetches the statements that are due, of every operator's accounts. Returns how many were taken in."""
    taken = 0
    for operator_id in await directory.operators(database):
        async with database.transaction(operator_id) as tx:
            accounts = await tx.rows(
                "select bin, account from payments.collection_account"
                " where operator_id = $1 and coalesce(statement_at, '-infinity') <= foundation.now()",
                operator_id,
            )
        for row in accounts:
            try:
                taken += await _fetch(database, sealer, gateway, operator_id, row["bin"], row["account"])
            except Exception as error:  # what one account's bank does never stops the others
                log.warning("the statement of account %s/%s…: %r", row["bin"], row["account"][:3], error)
    return taken


async def _fetch(database: Database, sealer: Sealer, gateway: Bank, operator_id: UUID, bin: str, account: str) -> int:
    """The account's statements behind the last one, up to the first that is not there or does not hold."""
    taken = 0
    while True:
        now, day = await _next(database, operator_id, f"{bin}/{account}")
        if day is None or day >= clock.hanoi_day(now):
            wait = datetime.combine(clock.hanoi_day(now) + timedelta(days=1), FETCHED_AT, clock.HANOI)
            break
        with tempfile.NamedTemporaryFile() as file:
            if not await gateway.fetch_statement(bin, account, day, FORM, file):
                wait = now + AGAIN
                break
            file.flush()
            failpoint.here("statement.fetched")
            done = await bank_statement.take_in(
                database,
                sealer,
                operator_id,
                Path(file.name),
                name=f"{account}-{day.isoformat()}.xml",
                staff_id=None,
                now=now,
                seconds=SECONDS,
            )
        await matching.run(database, sealer, operator_id)
        if not any(each.state in ("accepted", "known") for each in done.statements):
            wait = now + AGAIN
            break
        taken += 1
    async with database.transaction(operator_id) as tx:
        await tx.execute(
            "update payments.collection_account set statement_at = $4"
            " where operator_id = $1 and bin = $2 and account = $3",
            operator_id,
            bin,
            account,
            wait,
        )
    return taken


async def _next(database: Database, operator_id: UUID, bank_account: str) -> tuple[datetime, date | None]:
    """Now, and the day behind the last statement that the bank was asked for, whatever files people have given in, and that
    nobody has withdrawn; before the first, the day on which anything moved first."""
    async with database.transaction(operator_id) as tx:
        last: date | None = await tx.value(
            "select max(s.day) from payments.standing_statements($1) s join payments.statement_file f"
            " on f.operator_id = s.operator_id and f.id = s.file_id and f.source = 'bank'"
            " where s.bank_account = $2",
            operator_id,
            bank_account,
        )
        if last:
            return await clock.now(tx), last + timedelta(days=1)
        first: date | None = await tx.value(
            "select min(foundation.hanoi_day(at)) from payments.movements($1) where bank_account = $2",
            operator_id,
            bank_account,
        )
        return await clock.now(tx), first
