"""`motcham run`: the whole platform on one machine, on embedded servers, with the demo city.

PostgreSQL and Valkey under our own supervisor (or DATABASE_URL and REDIS_URL instead), migrations, the demo city, then
web, worker and mock bank as child processes; addresses, logins and a QR for each kind of user at the end. Everything
acknowledged survives `kill -9` of any of them: truth stands in PostgreSQL alone, under `.motcham/`.
"""

from __future__ import annotations

import asyncio
import base64
import fcntl
import json
import os
import secrets
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import demo
from foundation import qr
from foundation.database import DatabaseUnreachable
from foundation.embedded import EmbeddedPostgres, EmbeddedValkey, NoEmbeddedValkey
from foundation.migrate import MigrationRefused, migrate, role_url
from foundation.settings import Settings
from foundation.supervise import CannotRun, Program, Supervisor, free_port_or_refuse, wait_ready
from foundation.tls import certificate
from payments.gateway import GatewaySilent
from payments.gateway.bank import Bank

HOUSE = Path(__file__).resolve().parent


class RunsAlready(CannotRun):
    """Một Chạm already runs from {place} (process {pid}); stop it first."""


def run(arguments: list[str]) -> int:
    """Starts everything and stays until Ctrl-C. Returns the exit code; what is wrong is said in one sentence."""
    began = time.monotonic()
    try:
        with ExitStack() as stack:
            settings = Settings()
            stack.enter_context(_only_one(settings.data_dir))
            own = _secrets(settings.data_dir)
            certificate_file, key_file, host = None, None, "localhost"
            if os.environ.get("TLS", "") not in ("", "0"):
                certificate_file, key_file, host = certificate(settings.data_dir)
            bind = "0.0.0.0" if certificate_file else settings.bind  # noqa: S104 - phones in the local network
            for port, name in ((settings.port, "PORT"), (settings.bank_port, "BANK_PORT")):
                free_port_or_refuse(port, setting=name, host=bind)
            servers: list[EmbeddedPostgres | EmbeddedValkey] = []
            admin_url = _database(settings, stack, servers)
            redis_url = _redis(settings, stack, servers)
            root = bytes.fromhex(own["ROOT_KEY"])
            scheme = "https" if certificate_file else "http"
            environment = {
                **own,
                "ENVIRONMENT": settings.environment,
                "PORT": str(settings.port),
                "BIND": bind,
                "PUBLIC_URL": os.environ.get("PUBLIC_URL") or f"{scheme}://{host}:{settings.port}",
                "BANK_URL": f"http://127.0.0.1:{settings.bank_port}",
                "BANK_PUBLIC_URL": f"http://{host}:{settings.bank_port}",
                "VNPAY_PAGE_URL": f"http://{host}:{settings.bank_port}/paymentv2/vpcpay.html",
                "VNPAY_API_URL": f"http://127.0.0.1:{settings.bank_port}/merchant_webapi/api/transaction",
                "TAX_URL": f"http://127.0.0.1:{settings.bank_port}/tax",
                "DATABASE_APP_URL": role_url(admin_url, root, "app"),
                "DATABASE_CITY_URL": role_url(admin_url, root, "city"),
                "WORKERS": str(settings.workers if redis_url else 1),
                "DATA_DIR": str(settings.data_dir.resolve()),
            }
            if redis_url:
                environment["REDIS_URL"] = redis_url
            if certificate_file and key_file:
                environment |= {"TLS_CERTIFICATE": str(certificate_file), "TLS_KEY": str(key_file)}
            bank_environment = {
                "BANK_DATABASE_URL": role_url(admin_url, root, "bank"),
                "BANK_ENVIRONMENT": "test" if settings.environment == "test" else "demo",
                "BANK_HOST": bind,
                "BANK_PORT": str(settings.bank_port),
                "BANK_PUBLIC_URL": environment["BANK_PUBLIC_URL"],
                "BANK_RETURN_HOSTS": f"localhost,127.0.0.1,{host}",
                **{name: own[name] for name in ("BANK_API_KEY", "BANK_WEBHOOK_SECRET", "TAX_SECRET")},
                **({"SSL_CERT_FILE": str(certificate_file)} if certificate_file else {}),
            }
            print("Preparing the database …", flush=True)
            asyncio.run(migrate(admin_url, root=root, environment=settings.environment))
            _keep(settings.data_dir / "keeper.url", role_url(admin_url, root, "keeper"))
            inner = Settings.of(environment)
            asyncio.run(demo.build(inner))
            supervisor = stack.enter_context(Supervisor(settings.data_dir))
            python = [sys.executable, "-m"]
            supervisor.start(Program(name="bank", argv=[*python, "mock_bank"], env=_inside(bank_environment)))
            supervisor.start(Program(name="web", argv=[*python, "main", "web"], env=_inside(environment)))
            supervisor.start(Program(name="worker", argv=[*python, "main", "worker"], env=_inside(environment)))
            wait_ready(f"http://127.0.0.1:{settings.bank_port}/healthz", 60, meanwhile=supervisor.look)
            wait_ready(
                f"{scheme}://127.0.0.1:{settings.port}/healthz", 60, trusted=certificate_file, meanwhile=supervisor.look
            )
            asyncio.run(_open_collection_accounts(inner, f"{scheme}://127.0.0.1:{settings.port}"))
            asyncio.run(_say(inner, time.monotonic() - began))
            _watch(supervisor, servers)
    except (CannotRun, MigrationRefused, DatabaseUnreachable, GatewaySilent, ValueError) as error:
        print(f"motcham: {error}", file=sys.stderr)
        return 1
    print("Stopped. Everything is kept in", settings.data_dir)
    return 0


@contextmanager
def _only_one(data_dir: Path) -> Iterator[None]:
    """Holds a lock on the data directory; the second `make run` beside the first is told so."""
    data_dir.mkdir(parents=True, exist_ok=True)
    with (data_dir / "run.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise RunsAlready(place=data_dir.resolve().parent, pid=lock.read().strip() or "unknown") from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def _secrets(data_dir: Path) -> dict[str, str]:
    """The installation's own secrets, drawn once and kept in a file only its owner reads; the environment wins."""
    file = data_dir / "secrets.json"
    drawn = {
        "ROOT_KEY": secrets.token_hex(32),
        "BANK_API_KEY": secrets.token_urlsafe(24),
        "BANK_WEBHOOK_SECRET": "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode(),
        "TAX_SECRET": secrets.token_hex(32),
        "VNPAY_SECRETS": ",".join(f"{code}:{secrets.token_hex(16)}" for code in demo.MERCHANTS.values()),
    }
    kept: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
    if not drawn.keys() <= kept.keys():
        kept = drawn | kept
        _keep(file, json.dumps(kept))
    return {name: os.environ.get(name) or value for name, value in kept.items()}


def _keep(file: Path, text: str) -> None:
    """Writes a file that only its owner reads; a half-written one is never taken for a good one."""
    fresh = file.with_suffix(".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    fresh.replace(file)


def _database(settings: Settings, stack: ExitStack, servers: list[EmbeddedPostgres | EmbeddedValkey]) -> str:
    if settings.database_url is not None:
        return settings.database_url.get_secret_value()
    print("Starting PostgreSQL …", flush=True)
    server = EmbeddedPostgres(settings.data_dir / "postgres", settings={"max_connections": "120"})
    stack.enter_context(server)
    servers.append(server)
    return server.url


def _watch(supervisor: Supervisor, servers: list[EmbeddedPostgres | EmbeddedValkey]) -> None:
    """Until a signal: programs that end are started again, and so is a server that was killed."""
    while True:
        supervisor.look()
        for server in servers:
            if not server.alive:
                print(f"{server.kind} has ended; starting it again …", flush=True)
                server.start()
        time.sleep(0.2)


def _redis(settings: Settings, stack: ExitStack, servers: list[EmbeddedPostgres | EmbeddedValkey]) -> str | None:
    if settings.redis_url is not None:
        return settings.redis_url.get_secret_value()
    try:
        server = EmbeddedValkey(settings.data_dir / "valkey")
        stack.enter_context(server)
        servers.append(server)
        return server.url
    except NoEmbeddedValkey:
        print("No Valkey for this machine: one web worker, limits in memory.", flush=True)
        return None


def _inside(environment: Mapping[str, str]) -> dict[str, str]:
    """What a child is told; never the administrator's database."""
    return {"DATABASE_URL": "", "PYTHONPATH": str(HOUSE), "PYTHONUNBUFFERED": "1", **environment}


async def _open_collection_accounts(settings: Settings, own_url: str) -> None:
    bank = Bank(settings.bank_url, settings.bank_api_key.get_secret_value())
    try:
        for _, _, _, _, bin, account, owner in demo.OPERATORS:
            await bank.register(bin=bin, account=account, owner_name=owner, webhook_url=f"{own_url}/api/v1/hooks/bank")
        owners = {operator[0]: operator[-1] for operator in demo.OPERATORS}
        for operator_id, code in demo.MERCHANTS.items():
            if secret := settings.vnpay_secret_of.get(code):
                ipn_url = f"{own_url}/api/v1/hooks/vnpay"
                await bank.register_merchant(code=code, owner_name=owners[operator_id], secret=secret, ipn_url=ipn_url)
    finally:
        await bank.close()


async def _say(settings: Settings, seconds: float) -> None:
    codes = await demo.enrolment_codes(settings)
    url = settings.public_url
    lines = [
        "",
        f"Một Chạm is ready after {seconds:.1f} s: {url}",
        "",
        "Visitors      buy tickets for Văn Miếu   " + f"{url}/S/VANMIEU",
        "              park a motorbike           " + f"{url}/P/VM1",
        "              park a car in Đống Đa      " + f"{url}/P/DD1",
        "              pay with the practice bank " + f"{settings.bank_public_url}/app",
        "",
        f"Attendants    {url}/tablet/   then number 01 (or 02), PIN {demo.PIN}",
        *(f"              one-time code {code}  {url}/tablet/#enrol={code}" for code in codes.values()),
        "",
        f"Finance       {url}/finance/  ketoan@vanmieu · ketoan@thanglong · ketoan@dongda, password {demo.PASSWORD}",
        f"The city      {url}/city/",
        "",
    ]
    print("\n".join(lines))
    if sys.stdout.isatty():
        for who, address in (
            ("Visitors: Văn Miếu", f"{url}/S/VANMIEU"),
            ("Visitors: parking", f"{url}/P/VM1"),
            ("Attendants", f"{url}/tablet/#enrol={codes['vanmieu']}"),
            ("Finance", f"{url}/finance/"),
            ("The city", f"{url}/city/"),
        ):
            print(who)
            print(qr.terminal(address))
    print("Play it all: make story (in another terminal).  Stop: Ctrl-C.", flush=True)


def clean(arguments: list[str]) -> int:
    """Removes the data directory, after asking (`--yes` for scripts)."""
    settings = Settings()
    if not settings.data_dir.exists():
        print("There is nothing to remove.")
        return 0
    if "--yes" not in arguments:
        if not sys.stdin.isatty():
            print("motcham: clean removes all data; say --yes if you mean it.", file=sys.stderr)
            return 1
        if input(f"Remove {settings.data_dir} with all its data? Type yes: ").strip().lower() != "yes":
            print("Nothing was removed.")
            return 1
    try:
        with _only_one(settings.data_dir):
            EmbeddedPostgres(settings.data_dir / "postgres").remove()
            EmbeddedValkey(settings.data_dir / "valkey").remove()
            import shutil

            shutil.rmtree(settings.data_dir)
    except CannotRun as error:
        print(f"motcham: {error}", file=sys.stderr)
        return 1
    print("Removed.")
    return 0
