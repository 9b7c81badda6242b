"""What gateways tell us: notices (a hint that arrives fast), and what they list or answer when asked (misses nothing).

A notice is verified over its raw bytes, booked in one call, answered, and applied straight afterwards. The worker asks
the bank for its list as well, so the platform converges with every notice lost.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from starlette.background import BackgroundTask

from foundation import clock, directory, failpoint, outbox
from foundation.database import Database
from foundation.errors import Refusal
from foundation.seal import Sealer
from foundation.web import Here, Platform, hot, permit
from payments import attempt, debit, gateways, payout, refund
from payments.application import apply_receipt
from payments.gateway import Done, Gone, Hosting, News, Telling, Told, bank
from payments.receipt import AccountUnknown, keep, receive

log = logging.getLogger("motcham.notice")
OVERLAP = timedelta(minutes=75)
"""By so much a sweep reaches behind the last one; a bank lists a line at most an hour after it booked it."""
routes = APIRouter(prefix="/api/v1/hooks", tags=["hooks"])


@routes.post("/bank", status_code=202)
@permit("bank")
@hot
async def bank_notice(request: Request, here: Here) -> JSONResponse:
    """A notice of the bank. 2xx means: booked (or known already); it is applied straight afterwards."""
    return await _hear(gateways.bank(here.settings), request, here)


@routes.get("/vnpay")
@permit("bank")
@hot
async def vnpay_notice(request: Request, here: Here) -> JSONResponse:
    """A notice of the gateway for cards and wallets; RspCode says what became of it, 00 and 02 that it is written down."""
    return await _hear(gateways.vnpay(here.settings), request, here)


async def _hear(gateway: Telling, request: Request, here: Platform) -> JSONResponse:
    """A notice, whoever sends it: verified, read, written down, answered in its sender's words, applied afterwards."""
    later = None
    try:
        told = Told(dict(request.headers), request.url.query, await request.body())
        news = gateway.hear(told)
        done: Done = "ignored"
        if news is not None:
            operator_id = await directory.whose(here.database, "account", news.account)
            if operator_id is None:
                raise AccountUnknown()
            receipt_id, fresh = await _write_down(here, operator_id, news, told.raw)
            failpoint.here("notice.booked")
            done = "booked" if fresh else "known" if receipt_id or news.end or news.refund or news.payout else "ignored"
            if receipt_id:
                later = BackgroundTask(apply_now, here.database, operator_id, receipt_id)
        status, body = gateway.answer(done)
    except Exception as error:
        status, body = gateway.answer(error)
        if not isinstance(error, Refusal):
            log.exception("a notice of %s was answered %s", gateway.name, body)
    return JSONResponse(body, status, background=later)


async def _write_down(here: Platform, operator_id: UUID, news: News, raw: str) -> tuple[UUID | None, bool]:
    """The receipt of what was told, if there is money for us in it, and whether anything was new."""
    if news.refund is not None and await refund.told(here.database, operator_id, news.refund):
        return None, False
    if news.payout is not None and await payout.told(here.database, operator_id, news.payout):
        return None, False
    if news.credit is None and news.end is None:
        return None, False
    if news.end is not None:
        now: datetime = await here.database.value("select foundation.now()")
        return await attempt.learn(here.database, here.sealer, operator_id, news, now=now, source="notice", raw=raw)
    assert news.credit is not None
    return await receive(
        here.database,
        here.sealer,
        operator_id,
        news.credit,
        source="notice",
        event_id=news.event_id,
        raw=raw,
    )


async def apply_now(database: Database, operator_id: UUID, receipt_id: UUID) -> None:
    """Transaction 2 straight after transaction 1. What goes wrong here is done by the worker a moment later."""
    failpoint.here("notice.answered")
    try:
        await apply_receipt(database, operator_id, receipt_id)
    except Exception as error:
        log.warning("receipt %s will be applied by the worker: %s", receipt_id, type(error).__name__)


async def apply_due(database: Database, held: outbox.Claim) -> None:
    """The worker's way to transaction 2."""
    await apply_receipt(database, held.operator_id, UUID(held.id), held_by=held)


async def poll(database: Database, sealer: Sealer, gateway: bank.Bank) -> int:
    """Asks the bank for what was booked since the last cursor, account by account. Returns how many were new."""
    return await _each_account(database, sealer, gateway, _poll_account)


async def sweep(database: Database, sealer: Sealer, gateway: bank.Bank) -> int:
    """Asks once more for all since the last complete sweep, with an overlap: a line that the bank listed late stands
    behind a cursor that has passed it. Returns how many were new."""
    return await _each_account(database, sealer, gateway, _sweep_account)


async def ask(database: Database, sealer: Sealer, hosting: Mapping[str, Hosting]) -> int:
    """Asks the gateways what became of payments on their pages. Returns how much money was found."""
    found = await attempt.ask_open(database, sealer, hosting)
    for operator_id, receipt_id in found:
        await apply_now(database, operator_id, receipt_id)
    return len(found)


AccountWalk = Callable[[Database, Sealer, bank.Bank, UUID, str, str], Awaitable[int]]


async def _each_account(database: Database, sealer: Sealer, gateway: bank.Bank, walk: AccountWalk) -> int:
    """What one account's list holds never stops the others."""
    new = 0
    accounts = "select key, operator_id from foundation.directory where kind = 'account' and key ~ '^[0-9]{6}/'"
    for row in await database.rows(accounts):
        bin, _, account = row["key"].partition("/")
        try:
            new += await walk(database, sealer, gateway, row["operator_id"], bin, account)
        except Exception as error:
            log.warning("the list of account %s…: %r", row["key"][:10], error)
    return new


async def _poll_account(
    database: Database, sealer: Sealer, gateway: bank.Bank, operator_id: UUID, bin: str, account: str
) -> int:
    new = 0
    while True:
        now, known = await _account(database, operator_id, bin, account)
        cursor = known["poll_cursor"]
        items, after = await gateway.transactions(bin=bin, account=account, after=cursor)
        failpoint.here("poll.listed")
        new += await _take_in(database, sealer, operator_id, items, now)
        failpoint.here("poll.taken")
        # Only now: a cursor that ran ahead of its receipts would lose them.
        async with database.transaction(operator_id) as tx:
            tx.step("poll.cursor")
            await tx.execute(
                "update payments.collection_account set poll_cursor = $4, polled_at = $5"
                " where operator_id = $1 and bin = $2 and account = $3",
                operator_id,
                bin,
                account,
                after,
                now,
            )
        if not items or after == cursor:
            return new


async def _sweep_account(
    database: Database, sealer: Sealer, gateway: bank.Bank, operator_id: UUID, bin: str, account: str
) -> int:
    new, cursor = 0, None
    began, known = await _account(database, operator_id, bin, account)
    since = known["swept_at"] and known["swept_at"] - OVERLAP
    while True:
        items, after = await gateway.transactions(bin=bin, account=account, after=cursor, since=since)
        new += await _take_in(database, sealer, operator_id, items, began)
        failpoint.here("sweep.taken")
        if not items or after == cursor:
            break
        cursor = after
    async with database.transaction(operator_id) as tx:
        tx.step("sweep.over")
        await tx.execute(
            "update payments.collection_account set swept_at = $4 where operator_id = $1 and bin = $2 and account = $3",
            operator_id,
            bin,
            account,
            began,
        )
    return new


async def _account(database: Database, operator_id: UUID, bin: str, account: str) -> tuple[datetime, Any]:
    """The platform's time and what is known of the bank's list of an account."""
    async with database.transaction(operator_id) as tx:
        row = await tx.row(
            "select poll_cursor, swept_at from payments.collection_account"
            " where operator_id = $1 and bin = $2 and account = $3",
            operator_id,
            bin,
            account,
        )
        return await clock.now(tx), row


async def _take_in(
    database: Database, sealer: Sealer, operator_id: UUID, items: Sequence[object], now: datetime
) -> int:
    """Books what is new in a page of the bank's list and applies it; returns how many.

    An item that cannot be read never stops its list: it is kept sealed in the inbox and parked as due work, so that
    finance sees it, once. Money that left by no refund of ours is booked as such.
    """
    new = 0
    booked = await _booked(database, operator_id, items)
    for item in items:
        try:
            transaction = bank.read_transaction(item)
            if transaction.line in booked:
                continue
            line, credit = transaction.refund(), transaction.credit()
            if line is not None and await refund.told(database, operator_id, line):
                continue
            paid = transaction.payout()
            if paid is not None and await payout.told(database, operator_id, paid):
                continue
            if credit is None:
                await _gone(database, sealer, operator_id, item, transaction.gone(), now=now)
                continue
            receipt_id, fresh = await receive(database, sealer, operator_id, credit, now=now, source="poll")
        except (Refusal, ValueError) as error:
            event_id = "unreadable:" + hashlib.sha256(json.dumps(item, sort_keys=True).encode()).hexdigest()
            set_aside = (event_id, "unreadable", event_id, f"{type(error).__name__}: {error}")
            await _set_aside(database, sealer, operator_id, item, *set_aside, now=now)
            continue
        if fresh:
            new += 1
            await apply_now(database, operator_id, receipt_id)
    return new


async def _booked(database: Database, operator_id: UUID, items: Sequence[object]) -> set[bank.Line]:
    """Which lines of a page are known already, so that an overlap costs one look."""
    told = [str(item.get("bank_ref")) for item in items if isinstance(item, dict)]
    async with database.transaction(operator_id) as tx:
        rows = await tx.rows(
            "select bank_account, bank_ref, amount_vnd, 'credit' as direction from payments.receipt where operator_id = $1"
            " and bank_ref = any($2) and bank_account in"
            " (select bin || '/' || account from payments.collection_account where operator_id = $1)"
            " union all"
            " select r.bank_account, told.ref, f.amount_vnd, told.direction from payments.refund f"
            " join payments.receipt r on r.operator_id = f.operator_id and r.id = f.receipt_id"
            " cross join lateral (values (f.debit_ref, 'debit'), (f.return_ref, 'credit')) told (ref, direction)"
            " where f.operator_id = $1 and told.ref = any($2)"
            " union all"
            " select bank_account, bank_ref, amount_vnd, case when returns then 'credit' else 'debit' end"
            " from payments.payout_entry where operator_id = $1 and bank_ref = any($2)"
            " union all"
            " select bank_account, bank_ref, amount_vnd, 'debit' from payments.debit"
            " where operator_id = $1 and bank_ref = any($2)",
            operator_id,
            told,
        )
    return {(row["bank_account"], row["bank_ref"], row["amount_vnd"], row["direction"]) for row in rows}


async def _gone(
    database: Database, sealer: Sealer, operator_id: UUID, item: object, gone: Gone, *, now: datetime
) -> None:
    """Money that left and that none of us sent: booked once, and the bank's words kept whole and sealed."""
    month = await sealer.ready(now)
    async with database.transaction(operator_id) as tx:
        event_id = f"debit:{gone.account}/{gone.bank_ref}"
        await keep(tx, sealer, event_id, "debit_unexpected", json.dumps(item, sort_keys=True), month=month)
        await debit.book(tx, gone)


async def _set_aside(
    database: Database,
    sealer: Sealer,
    operator_id: UUID,
    item: object,
    event_id: str,
    kind: str,
    id: str,
    why: str,
    *,
    now: datetime,
) -> None:
    """An item of the bank's list that is for a person: kept whole and sealed, and shown as work that waits, once."""
    month = await sealer.ready(now)
    async with database.transaction(operator_id) as tx:
        # A sweep tells it again, also after a person has settled it.
        if await keep(tx, sealer, event_id, kind, json.dumps(item, sort_keys=True), month=month):
            await outbox.park(tx, f"payments.{kind}", id, why)
