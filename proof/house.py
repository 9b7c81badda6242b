"""The platform that is proved: PostgreSQL and Valkey embedded, web, worker and bank as processes of a nursery.

Only processes that were started here are ended, each by its own number.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import redis

import demo
from foundation.database import Database
from foundation.embedded import EmbeddedPostgres, EmbeddedValkey, scratch
from foundation.migrate import migrate, role_url
from foundation.settings import Settings
from foundation.staff import add_staff
from payments import books

HOME = Path(__file__).resolve().parent.parent
ROOT_KEY = "33" * 32
API_KEY = "proof"
SECRET = "whsec_" + "YSBwcm9v" * 6
CARD_SECRET = "the secret of every merchant of the proof"
REFUND_LIMIT_VND = 500_000
SECOND_CLERK = "thuquy"
ROLES = ("web", "worker", "bank")
ELSEWHERE = ("970422", "999000111")
"""An account of nobody we know, at the same bank."""
TRACE = "Traceback (most recent call last)"
ROOM_IN_MEMORY = 2 << 30
ACCOUNTS = {code: (bin, account) for _, code, _, _, bin, account, _ in demo.OPERATORS}
MERCHANTS = {code: demo.MERCHANTS[id] for id, code, *_ in demo.OPERATORS}


class Unsound(Exception):
    """The proof itself cannot go on, in one sentence."""


@dataclass(frozen=True, slots=True)
class Death:
    """A process that ended: which, at which armed place (empty: none was armed), by which signal or exit code."""

    role: str
    place: str
    status: int


@dataclass
class House:
    """Started by `opened`; `arm` and `kill` end its processes, which are started again at once."""

    webs: int = 2
    poll_seconds: float = 1.0
    deaths: defaultdict[str, queue.Queue[Death]] = field(default_factory=lambda: defaultdict(queue.Queue))
    """Who ended at an armed place, by role."""
    findings: list[str] = field(default_factory=list)
    killed: Counter[tuple[str, str]] = field(default_factory=Counter)

    @contextlib.contextmanager
    def opened(self) -> Iterator[House]:
        with ExitStack() as stack:
            self.place = scratch("motcham-proof-", room=ROOM_IN_MEMORY)
            stack.callback(shutil.rmtree, self.place, ignore_errors=True)
            server = EmbeddedPostgres(self.place / "postgres", settings={"max_connections": "120"})
            stack.callback(server.remove)
            stack.enter_context(server)
            valkey = stack.enter_context(EmbeddedValkey(self.place / "valkey"))
            self.cache = redis.Redis.from_url(valkey.url)
            self.http = stack.enter_context(httpx.Client(timeout=10, trust_env=False))
            self._build(server.url, valkey.url)
            stack.callback(self._close)
            self._start_nursery()
            self._register()
            yield self

    def _build(self, admin_url: str, redis_url: str) -> None:
        self.admin_url, root = admin_url, bytes.fromhex(ROOT_KEY)
        self.sockets = [socket.create_server(("127.0.0.1", 0), backlog=512) for _ in range(2)]
        port, bank_port = (one.getsockname()[1] for one in self.sockets)
        self.url, self.bank_url = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{bank_port}"
        self.keeper_url = role_url(admin_url, root, "keeper")
        self.environment = {
            "ENVIRONMENT": "test",
            "ROOT_KEY": ROOT_KEY,
            "PUBLIC_URL": self.url,
            "BANK_URL": self.bank_url,
            "BANK_PUBLIC_URL": self.bank_url,
            "BANK_API_KEY": API_KEY,
            "BANK_WEBHOOK_SECRET": SECRET,
            "VNPAY_SECRETS": ",".join(f"{code}:{CARD_SECRET}" for code in MERCHANTS.values()),
            "VNPAY_PAGE_URL": f"{self.bank_url}/paymentv2/vpcpay.html",
            "VNPAY_API_URL": f"{self.bank_url}/merchant_webapi/api/transaction",
            "TAX_URL": f"{self.bank_url}/tax",
            "TAX_SECRET": API_KEY,
            "REFUND_LIMIT_VND": str(REFUND_LIMIT_VND),
            "POLL_SECONDS": str(self.poll_seconds),
            "WORKERS": "1",
            "DATABASE_POOL": "8",
            "DATABASE_URL": "",
            "DATABASE_APP_URL": role_url(admin_url, root, "app"),
            "DATABASE_CITY_URL": role_url(admin_url, root, "city"),
            "DATABASE_KEEPER_URL": "",
            "REDIS_URL": redis_url,
            "DATA_DIR": str(self.place),
            "FAILPOINTS": str(self.place / "failpoints"),
            "BANK_DATABASE_URL": role_url(admin_url, root, "bank"),
            "BANK_ENVIRONMENT": "test",
            "BANK_FAILPOINTS": str(self.place / "failpoints.bank"),
            "BANK_RETRY_UNIT_SECONDS": "0.2",
        }
        self.settings = Settings.of({name: value for name, value in self.environment.items() if value})
        asyncio.run(migrate(admin_url, root=root, environment="test"))
        asyncio.run(demo.build(self.settings))
        asyncio.run(self._hire())

    async def _hire(self) -> None:
        """A second clerk for every operator: what one has given in another has to book."""
        database = await Database.open(self.settings.url("database_app_url"), size=1, name="motcham proof")
        try:
            for operator_id, *_ in demo.OPERATORS:
                async with database.transaction(operator_id) as tx:
                    await add_staff(tx, login=SECOND_CLERK, name="Vũ Minh Em", roles=["finance"], secret=demo.PASSWORD)
        finally:
            await database.close()

    # --- processes ---------------------------------------------------------------------------------------------------

    def _start_nursery(self) -> None:
        self.logs = self.place / "log"
        self.logs.mkdir()
        self._pids: dict[int, str] = {}
        self._closing = False
        self._armed: dict[str, str] = {}
        self._leaving: set[int] = set()
        self._serial = itertools.count(1)
        self._lock = threading.Lock()
        self._ready = threading.Event()
        self.nursery = subprocess.Popen(
            [
                *(sys.executable, "-m", "proof.nursery"),
                *(str(one.fileno()) for one in self.sockets),
                str(self.logs),
            ],
            cwd=HOME,
            env={**os.environ, "PYTHONPATH": str(HOME), "PYTHONUNBUFFERED": "1", **self.environment},
            pass_fds=[one.fileno() for one in self.sockets],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(self.logs / "nursery.log").open("ab"),
            text=True,
            bufsize=1,
        )
        threading.Thread(target=self._listen, daemon=True).start()
        if not self._ready.wait(60):
            raise Unsound("The nursery did not become ready: " + (self.logs / "nursery.log").read_text()[-2000:])
        for role in ("bank", *["web"] * self.webs, "worker"):
            self._start(role)
        self.wait_until_up()

    def _start(self, role: str) -> None:
        assert self.nursery.stdin is not None
        with contextlib.suppress(BrokenPipeError, ValueError), self._lock:
            self.nursery.stdin.write(json.dumps({"start": role}) + "\n")
            self.nursery.stdin.flush()

    def _listen(self) -> None:
        assert self.nursery.stdout is not None
        for line in self.nursery.stdout:
            said = json.loads(line)
            if "ready" in said:
                self._ready.set()
            elif "started" in said:
                self._pids[said["pid"]] = said["started"]
            elif not self._closing:
                self._bury(said["ended"], said["status"])

    def _bury(self, pid: int, status: int) -> None:
        role = self._pids.pop(pid)
        # Two processes of one role may pass the place before it is disarmed: both were ended there.
        place = self._armed.get(role, "") if status == -signal.SIGKILL else ""
        asked = pid in self._leaving
        self._leaving.discard(pid)
        if place:
            self.disarm(role)
            self.killed[role, place] += 1
        elif not asked:
            self.findings.append(f"{role} ended by itself ({status}): {self._tail(role)}")
        self._start(role)
        if place:
            self.deaths[role].put(Death(role, place, status))

    def arm(self, role: str, place: str, number: int) -> None:
        """The process of that role ends itself at the n-th passing of that place from now on."""
        fresh = self.place / f"failpoints.{role}.new"
        fresh.write_text(f"{place} {number} {next(self._serial)}")
        self.disarm(role)
        self._armed[role] = place
        fresh.replace(self.place / f"failpoints.{role}")

    def disarm(self, role: str) -> None:
        (self.place / f"failpoints.{role}").unlink(missing_ok=True)

    def pids(self, role: str) -> list[int]:
        return [pid for pid, name in list(self._pids.items()) if name == role]

    def restart(self, role: str) -> None:
        """Ends and starts it in peace: what it does at its start is done at once."""
        for pid in self.pids(role):
            self._leaving.add(pid)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        end = time.monotonic() + 15
        while self._leaving and time.monotonic() < end:
            time.sleep(0.01)
        if self._leaving:
            raise Unsound(f"The {role} did not end when asked to.")

    def wait_until_up(self, seconds: float = 30) -> None:
        end = time.monotonic() + seconds
        for url in (self.url, self.bank_url):
            while True:
                try:
                    if self.http.get(f"{url}/healthz", timeout=2).is_success:
                        break
                except httpx.TransportError:
                    pass
                if time.monotonic() > end:
                    raise Unsound(f"{url} does not answer: {self._tail('web')} {self._tail('bank')}")
                time.sleep(0.02)

    def _close(self) -> None:
        if hasattr(self, "nursery"):
            self._closing = True
            assert self.nursery.stdin is not None
            self.nursery.stdin.close()
            try:
                self.nursery.wait(10)  # its children end with it
            except subprocess.TimeoutExpired:
                self.nursery.kill()
                self.nursery.wait()
        for one in self.sockets:
            one.close()

    def _tail(self, role: str) -> str:
        log = self.logs / f"{role}.log"
        return log.read_text(errors="replace")[-1500:] if log.exists() else ""

    def complaints(self) -> list[str]:
        """Tracebacks in the logs: what broke without anybody being told."""
        found = []
        for role in ROLES:
            log = self.logs / f"{role}.log"
            lines = log.read_text(errors="replace").splitlines() if log.exists() else []
            for at in (number for number, line in enumerate(lines) if TRACE in line):
                # What was raised stands behind its frames, which are indented.
                end = next((n for n in range(at + 1, len(lines)) if lines[n][:1].strip()), len(lines) - 1)
                found.append(f"{role}: {lines[max(at - 1, 0)]} / {' / '.join(lines[max(at, end - 6) : end + 1])}")
        return found

    def leases_end(self) -> None:
        """What a worker that was ended had claimed may be claimed again; else everybody would wait half a minute."""
        self._hurry("foundation.due", "lease_until = clock_timestamp()", "lease_until is not null")

    def pauses_end(self) -> None:
        """What would be tried again in a while is tried now: work, questions about cards, refunds and payouts on their way."""
        self.leases_end()
        self._hurry("foundation.due", "due_at = clock_timestamp()", "parked_at is null")
        self._hurry("payments.attempt", "ask_at = foundation.now()", "ask_at > foundation.now()")
        self._hurry("payments.refund", "look_at = foundation.now()", "look_at > foundation.now()")
        self._hurry("payments.payout_run", "look_at = foundation.now()", "look_at > foundation.now()")

    def _hurry(self, table: str, change: str, which: str) -> None:
        """Rows that somebody is at are left alone: waiting for several of them could be a deadlock."""
        free = f"select ctid from {table} where {which} for update skip locked"
        self.look(f"update {table} set {change} where ctid = any(array({free}))")

    # --- the bank ----------------------------------------------------------------------------------------------------

    def _register(self) -> None:
        hook = f"{self.url}/api/v1/hooks/bank"
        for _, code, _, _, bin, account, owner in demo.OPERATORS:
            self.bank("PUT", f"/api/v1/accounts/{bin}/{account}", {"owner_name": owner, "webhook_url": hook})
            merchant = {"owner_name": owner, "secret": CARD_SECRET, "ipn_url": f"{self.url}/api/v1/hooks/vnpay"}
            self.bank("PUT", f"/api/v1/merchants/{MERCHANTS[code]}", merchant)
        self.bank("PUT", "/api/v1/accounts/" + "/".join(ELSEWHERE), {"owner_name": "ELSEWHERE", "webhook_url": None})

    def bank(self, method: str, path: str, body: Any = None) -> Any:
        """Something that the harness wants of the bank; asked until it is answered."""
        end = time.monotonic() + 30
        while True:
            try:
                headers = {"authorization": f"Bearer {API_KEY}"}
                answer = self.http.request(method, self.bank_url + path, json=body, headers=headers)
                if answer.is_success:
                    return answer.json()
                said = answer.text[:300]
            except httpx.TransportError as error:
                said = repr(error)
            if time.monotonic() > end:
                raise Unsound(f"The bank does not do {method} {path}: {said}")
            time.sleep(0.05)

    def faults(self, **wrong: Any) -> None:
        """Lets exactly this go wrong at the bank from now on."""
        self.bank("PUT", "/api/v1/faults", wrong)

    # --- looking at what is really there -----------------------------------------------------------------------------

    def prove(self) -> books.Proof:
        """The proof of the books over all operators, as the keeper."""
        return asyncio.run(self._prove())

    async def _prove(self) -> books.Proof:
        connection = await asyncpg.connect(self.keeper_url)
        try:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                return await books.prove(connection, every_day=True)
        finally:
            await connection.close()

    def look(self, query: str, *args: object) -> list[Any]:
        """Rows, as administrator."""

        async def ask() -> list[Any]:
            connection = await asyncpg.connect(self.admin_url)
            try:
                return list(await connection.fetch(query, *args))
            finally:
                await connection.close()

        return asyncio.run(ask())
