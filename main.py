"""The only file that sees every service: the command line `motcham`, and how the platform is put together.

Routes, acts and tables stand in the services; here stands who is told what when a line is paid, which routes a process
answers, and which commands there are. Each command imports what it needs when it is called, so that `--help` is fast.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pydantic import SecretStr

from foundation.settings import Settings

if TYPE_CHECKING:
    from fastapi import FastAPI

    from foundation.web import Platform


def compose() -> None:
    """Says what happens when a line is paid, who can explain what a line was, or find one, and who counts at the gates."""
    import parking.gate_book
    import parking.stay
    import payments
    import ticketing.order

    payments.when_paid("ticketing.order", ticketing.order.paid)
    payments.explained_by("ticketing.order", ticketing.order.describe, ticketing.order.search)
    payments.when_given_back("ticketing.order", ticketing.order.given_back, used=ticketing.order.used)
    payments.when_paid("parking.stay", parking.stay.paid)
    payments.when_given_back("parking.stay", parking.stay.given_back, used=parking.stay.used)
    payments.explained_by("parking.stay", parking.stay.describe, parking.stay.search)
    payments.counted_by("parking.stay", parking.gate_book.count)


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Platform]:
    """Everything a process holds, opened and closed in order."""
    from foundation import failpoint
    from foundation.code import CodeKeys
    from foundation.database import Database
    from foundation.limits import Limits
    from foundation.live import Live
    from foundation.seal import Sealer
    from foundation.web import Platform

    failpoint.arm(settings)
    redis_url = settings.redis_url.get_secret_value() if settings.redis_url else None
    database = await Database.open(settings.url("database_app_url"), size=settings.database_pool, name="motcham app")
    city = None
    if settings.database_city_url:
        city = await Database.open(settings.url("database_city_url"), size=2, name="motcham city")
    live = Live(database, redis_url)
    await live.start()
    try:
        yield Platform(
            settings=settings,
            database=database,
            live=live,
            limits=Limits(redis_url),
            sealer=Sealer(settings.root, database),
            codes=CodeKeys({1: settings.root}, settings.environment),
            city=city,
        )
    finally:
        await live.stop()
        await database.close()
        if city:
            await city.close()


def app() -> FastAPI:
    """The web process's ASGI app, from the environment (uvicorn's factory)."""
    # A worker of uvicorn outlives a killed parent and keeps the port; Linux can end it with its parent.
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGTERM)
    return assemble(Settings())


def assemble(settings: Settings) -> FastAPI:
    """The app of the services named in `settings.services`."""
    import parking.web
    import payments.web
    import ticketing.web
    from foundation import device_api, manage_api
    from foundation.web import Service, create_app

    compose()
    known = {"payments": payments.web.service, "parking": parking.web.service, "ticketing": ticketing.web.service}
    services = [known[name](settings) for name in settings.service_names]
    tablet = Service(
        "tablet", [device_api.routes, manage_api.routes], static={"/tablet": Path(__file__).parent / "tablet"}
    )
    made = create_app(settings, [*services, tablet], lambda: running(settings))
    made.state.move_bank_clock = _move_bank_clock
    return made


async def _move_bank_clock(here: Platform, at: datetime, rate: float) -> None:
    """The mock bank's clock goes with ours (demo and test only)."""
    from payments.gateway.bank import Bank

    bank = Bank(here.settings.bank_url, here.settings.bank_api_key.get_secret_value())
    try:
        await bank.set_clock(at=at, rate=rate)
    finally:
        await bank.close()


def command(arguments: Sequence[str] | None = None) -> int:
    """`motcham <command>`; returns the exit code. What goes wrong is said in one sentence on standard error."""
    parser = argparse.ArgumentParser(prog="motcham", description="Một Chạm: cashless parking and ticketing for Hanoi.")
    commands = parser.add_subparsers(dest="name", required=True, metavar="command")
    for name, (_, help) in COMMANDS.items():
        commands.add_parser(name, help=help, add_help=False)
    chosen, rest = parser.parse_known_args(arguments)
    act, _ = COMMANDS[chosen.name]
    try:
        return act(rest)
    except KeyboardInterrupt:
        return 130


def _web(_: list[str]) -> int:
    import uvicorn

    settings = Settings()
    if settings.workers > 1 and settings.redis_url is None:
        print("Without Redis only one web worker may run: set WORKERS=1 or REDIS_URL.", file=sys.stderr)
        return 2
    uvicorn.run(
        "main:app",
        factory=True,
        host=settings.bind,
        port=settings.port,
        workers=settings.workers if settings.workers > 1 else None,
        http="foundation.one_write:OneWrite",
        access_log=False,
        server_header=False,
        # Whose address it is decides about limits: a header is believed from a named proxy only.
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=settings.trusted_proxies or None,
        limit_concurrency=2_000,
        log_level="info",
        timeout_graceful_shutdown=5,
        ssl_certfile=str(settings.tls_certificate) if settings.tls_certificate else None,
        ssl_keyfile=str(settings.tls_key) if settings.tls_key else None,
    )
    return 0


def _worker(_: list[str]) -> int:
    compose()
    asyncio.run(_work(Settings()))
    return 0


async def _work(settings: Settings) -> None:
    """The worker of all services: what is due, and what is asked of the bank again and again."""
    from foundation import outbox, worker
    from foundation.database import Database
    from payments import (
        application,
        cashless_share,
        daily_statement,
        fiscal,
        fiscal_sending,
        gateways,
        notice,
        payment,
        payout,
        refund,
        settlement,
    )
    from payments.finance import proof
    from payments.tax_office import PracticeTaxOffice

    stop, woken = asyncio.Event(), asyncio.Event()
    worker.stop_on_signals(stop)
    asked, office = gateways.Gateways(settings), PracticeTaxOffice.of(settings)
    async with running(settings) as here:

        async def poll() -> None:
            await notice.poll(here.database, here.sealer, asked.bank)

        async def sweep() -> None:
            await notice.sweep(here.database, here.sealer, asked.bank)

        async def ask() -> None:
            await notice.ask(here.database, here.sealer, asked.hosting)

        async def run_out() -> None:
            await cashless_share.recount_lapsed(here.database)

        async def prove() -> None:
            await proof.ask_for_the_oldest(here.database)

        async def give_up() -> None:
            await payment.lapse(here.database)

        async def settle() -> None:
            await settlement.settle_what_is_over(here.database)

        async def fetch_statements() -> None:
            await daily_statement.fetch_what_is_over(here.database, here.sealer, asked.bank)

        async def send_back(database: Database, claim: outbox.Claim) -> None:
            await refund.pursue(database, here.sealer, asked.all, claim)

        async def look_after_refunds() -> None:
            await refund.look(here.database)

        async def pay_out(database: Database, claim: outbox.Claim) -> None:
            await payout.pursue(database, asked.bank, claim)

        async def look_after_payouts() -> None:
            await payout.look(here.database)

        async def make_documents() -> None:
            await fiscal.make_what_is_missing(here.database)

        async def tell_tax_office(database: Database, claim: outbox.Claim) -> None:
            await fiscal_sending.pursue(database, here.sealer, office, claim)

        listener = asyncio.create_task(_pass_on(here, woken))
        try:
            await worker.work(
                here.database,
                {
                    application.APPLY: notice.apply_due,
                    "payments.rollup": cashless_share.recount,
                    proof.PROVE: proof.keep,
                    refund.REFUND: send_back,
                    payout.PAYOUT: pay_out,
                    fiscal.SENDING: tell_tax_office,
                },
                (
                    worker.Periodic("polling the bank", settings.poll_seconds, poll),
                    worker.Periodic("sweeping the bank's lists", 15 * settings.poll_seconds, sweep),
                    worker.Periodic("asking about payments on other pages", min(2, settings.poll_seconds), ask),
                    worker.Periodic("charges that ran out", 20, run_out),
                    worker.Periodic("proofs of the books", 60, prove),
                    worker.Periodic("settling the days that are over", 60, settle),
                    worker.Periodic("the bank's statements of the days that are over", 20, fetch_statements),
                    worker.Periodic("receipts and invoices", min(1, settings.poll_seconds), make_documents),
                    worker.Periodic("part payments whose rest never came", 20, give_up),
                    worker.Periodic("refunds on their way", min(2, settings.poll_seconds), look_after_refunds),
                    worker.Periodic("payouts on their way", min(2, settings.poll_seconds), look_after_payouts),
                ),
                woken,
                stop,
            )
        finally:
            listener.cancel()
            await asked.close()
            await office.close()


async def _pass_on(here: Platform, woken: asyncio.Event) -> None:
    async for _ in here.live.changes("due", seconds=60):
        woken.set()


def _migrate(_: list[str]) -> int:
    from foundation.migrate import MigrationRefused, migrate

    settings = Settings()
    given = {
        "app": settings.database_app_url,
        "city": settings.database_city_url,
        "keeper": settings.database_keeper_url,
        "bank": settings.bank_database_url,
    }
    passwords = {role: urlsplit(url.get_secret_value()).password or "" for role, url in given.items() if url}
    try:
        asyncio.run(
            migrate(
                settings.url("database_url"), root=settings.root, environment=settings.environment, passwords=passwords
            )
        )
    except (MigrationRefused, ValueError) as error:
        print(f"motcham: {error}", file=sys.stderr)
        return 1
    print("The database is up to date.")
    return 0


def _check_migrations(_: list[str]) -> int:
    from foundation.check_migrations import check

    return check()


def _revise(rest: list[str]) -> int:
    from foundation.check_migrations import revise

    if len(rest) != 2:
        print("motcham revise SERVICE 'what changes'", file=sys.stderr)
        return 2
    return revise(rest[0], rest[1])


def _run(rest: list[str]) -> int:
    import run

    return run.run(rest)


def _clean(rest: list[str]) -> int:
    import run

    return run.clean(rest)


def _story(rest: list[str]) -> int:
    from rehearsal import story

    return story.play(rest)


def _day(rest: list[str]) -> int:
    from rehearsal import day

    return day.play(rest)


def _books(_: list[str]) -> int:
    from payments import books

    settings = Settings()
    kept = settings.data_dir / "keeper.url"  # where `run` leaves it for whoever may read that folder
    if settings.database_keeper_url is None and kept.exists():
        settings = settings.model_copy(update={"database_keeper_url": SecretStr(kept.read_text())})
    return books.report(settings)


def _statement(rest: list[str]) -> int:
    from payments.statement import check

    return check.report(rest)


COMMANDS = {
    "run": (_run, "start everything on this machine: servers, web, worker, mock bank, demo city"),
    "story": (_story, "play every scene over HTTP against a running platform"),
    "day": (_day, "live a day of the city over HTTP, in the pilot's proportions, and compare it to the đồng"),
    "books": (_books, "prove that the books balance (M1-M10) and name what does not fit"),
    "statement": (_statement, "say what a bank's statement file holds, without importing it"),
    "migrate": (_migrate, "bring the database of DATABASE_URL to today's shape"),
    "check-migrations": (_check_migrations, "compare the migrations with the tables and files"),
    "revise": (_revise, "write a service's next migration from its tables, to be read and corrected"),
    "web": (_web, "answer requests (used by `run` and in production)"),
    "worker": (_worker, "do what is due: receipts, polling, rollups"),
    "clean": (_clean, "remove the data of `run`, after asking"),
}


if __name__ == "__main__":
    sys.exit(command())
