"""What the platform survives: a second start, a taken port, a missing database, and `kill -9` of any part of it."""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from foundation import outbox
from rehearsal import client
from tests.journeys.conftest import RunningPlatform, descendants, free_port, wait_gone

pytestmark = pytest.mark.timeout(300)
COLLECTION = {"bin": "970436", "account": "1023456789012"}  # of Văn Miếu in the demo city


@pytest.fixture(scope="module")
def fragile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPlatform]:
    """A platform of its own, since it will be ill-treated."""
    made = RunningPlatform(tmp_path_factory.mktemp("fragile"))
    try:
        made.start()
        yield made
    finally:
        made.clean()


def one_sentence(said: str) -> str:
    """The one sentence on standard error, without its `motcham:`."""
    lines = said.strip().splitlines()
    assert len(lines) == 1, said
    assert lines[0].startswith("motcham: "), said
    return lines[0].removeprefix("motcham: ")


def test_a_second_run_beside_the_first_says_so_and_ends(fragile: RunningPlatform) -> None:
    done = fragile.command("run")
    assert done.returncode != 0
    assert "already runs" in one_sentence(done.stderr)
    assert fragile.pids()["run"]
    assert httpx.get(f"{fragile.url}/healthz").status_code == 200, "the first one went on"


def test_a_taken_port_is_named_with_the_way_to_choose_another(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = RunningPlatform(tmp_path / "data", port=port).command("run")
        assert done.returncode != 0
        assert one_sentence(done.stderr).startswith(f"Port {port} is taken")
        assert "PORT=" in done.stderr
        done = RunningPlatform(tmp_path / "data", bank_port=port).command("run")
        assert done.returncode != 0
        assert "BANK_PORT=" in one_sentence(done.stderr)


def test_an_unreachable_database_is_named_without_its_password(tmp_path: Path) -> None:
    address = f"postgresql://postgres:very-secret@127.0.0.1:{free_port()}/postgres"
    done = RunningPlatform(tmp_path / "data").command("run", DATABASE_URL=address)
    assert done.returncode != 0
    assert "database" in one_sentence(done.stderr).lower()
    assert "very-secret" not in done.stdout + done.stderr


@dataclass
class Life:
    """One order from its form to the gate, with what was acknowledged of it."""

    key: str = field(default_factory=lambda: uuid4().hex)
    payment: str = field(default_factory=lambda: str(uuid4()))
    scan: dict[str, Any] = field(default_factory=dict)
    reference: str = ""
    path: str = ""
    paid: bool = False
    outcome: dict[str, Any] | None = None


class Traffic(threading.Thread):
    """Visitors one after another, who ask again with the same key until they are answered."""

    def __init__(self, platform: RunningPlatform, tablet: client.Tablet) -> None:
        super().__init__(daemon=True)
        self.platform, self.tablet = platform, tablet
        self.stopping = threading.Event()
        self.lives: list[Life] = []
        self.broken: BaseException | None = None
        self.interrupted = 0
        self.http = httpx.Client(timeout=5, trust_env=False)

    def run(self) -> None:
        try:
            while not self.stopping.is_set():
                self.lives.append(Life())
                self.live(self.lives[-1])
        except BaseException as error:
            self.broken = error

    def live(self, one: Life) -> None:
        one.reference = self.insist(lambda: self.order(one))
        self.insist(lambda: self.pay(one))
        one.paid = True
        code = self.insist(lambda: self.ticket(one))
        one.scan = self.tablet.action(place=1, code=code, heads=None)
        one.outcome = self.insist(lambda: self.admit(one))

    def insist(self, act: Callable[[], Any]) -> Any:
        """Asks until there is an answer, for a minute; only a lost connection or a 5xx is no answer."""
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                answer = act()
                if answer is not None:
                    return answer
            except httpx.TransportError:
                self.interrupted += 1
            time.sleep(0.1)
        raise AssertionError("no answer for a minute")

    def answered(self, answer: httpx.Response) -> bool:
        self.interrupted += answer.status_code >= 500
        assert answer.status_code < 400 or answer.status_code >= 500 or answer.status_code == 409, answer.text
        return answer.status_code < 400

    def order(self, one: Life) -> str | None:
        day = time.strftime("%Y-%m-%d", time.gmtime(time.time() + 7 * 3600))
        sent = {"key": one.key, "day": day, "heads_student": "1"}
        answer = self.http.post(f"{self.platform.url}/S/VANMIEU", data=sent)
        if not self.answered(answer):
            return None
        one.path = answer.headers["location"]
        return one.path.split("/")[2]

    def pay(self, one: Life) -> bool | None:
        sent = {"id": one.payment, **COLLECTION, "text": one.reference, "amount_vnd": 35_000}
        key = {"authorization": f"Bearer {self.platform.secret('BANK_API_KEY')}"}
        answer = self.http.post(f"{self.platform.bank_url}/api/v1/payments", json=sent, headers=key)
        return self.answered(answer) or None

    def ticket(self, one: Life) -> str | None:
        answer = self.http.get(f"{self.platform.url}{one.path}", follow_redirects=True)
        found = re.search(r"/T/([A-Z2-7]{48})", str(answer.url))
        return f"{self.platform.url}/T/{found[1]}".upper() if self.answered(answer) and found else None

    def admit(self, one: Life) -> dict[str, Any] | None:
        answer = self.tablet.http.post("/scan", json=one.scan)
        return answer.json() if self.answered(answer) else None


def test_what_was_acknowledged_survives_kill_9_of_anything(fragile: RunningPlatform) -> None:
    """Orders, payments and scans go on while web, worker, bank, postgres and all of them are killed."""
    day = client.Platform(fragile.url, fragile.bank_url)
    manager = client.Office(day, "quanly@vanmieu")
    traffic = []
    for number in ("01", "02"):
        offered = manager.order("POST", "/enrolments", {"device_name": f"Gate {number}", "places": [1]})
        tablet = client.Tablet(day, offered["code"])
        tablet.login(number)
        traffic.append(Traffic(fragile, tablet))
    for one in traffic:
        one.start()
    for victim in ("worker", "bank", "web", "postgres", "all"):
        time.sleep(1.0)
        pids = fragile.pids()
        assert set(pids) == {"run", "web", "worker", "bank", "postgres"}, f"before {victim}: {pids}"
        family = descendants(pids["run"])
        for pid in [*family, pids["run"]] if victim == "all" else [pids[victim]]:
            os.kill(pid, signal.SIGKILL)
        if victim in ("worker", "bank", "web"):
            wait_gone([pids[victim]])
            until(partial(started_again, fragile, victim, pids[victim]))
            until(lambda: answers(f"{fragile.url}/readyz") and answers(f"{fragile.bank_url}/healthz"))
        else:
            if victim == "postgres":
                fragile.stop()
            assert fragile.process is not None
            fragile.process.wait(40)
            wait_gone(family)
            fragile.start()
    time.sleep(0.5)
    for one in traffic:
        one.stopping.set()
    for one in traffic:
        one.join(60)
        assert one.broken is None, one.broken
        assert not one.is_alive()
    lives = [life for one in traffic for life in one.lives]
    assert len(lives) >= 10
    assert sum(one.interrupted for one in traffic) >= 3, "the killing was noticed"
    nothing_is_lost(fragile, traffic)
    nothing_is_doubled(fragile, lives)
    proof = fragile.command("books", DATABASE_KEEPER_URL=fragile.keeper_url())
    assert proof.returncode == 0, proof.stdout + proof.stderr


def nothing_is_lost(platform: RunningPlatform, traffic: list[Traffic]) -> None:
    """Every acknowledged order is there, paid; every scan has its first outcome."""
    for one in traffic:
        for life in one.lives:
            answer = one.http.get(f"{platform.url}/api/v1/public/payments/{life.reference}").json()
            assert (answer["state"], answer["received_vnd"]) == ("paid", 35_000)
            assert life.outcome is not None
            assert life.outcome["verdict"] == "valid"
            assert one.tablet.ask("/scan", life.scan) == life.outcome
            page = one.http.get(f"{platform.url}/T/{life.scan['code'][-48:]}")
            assert "1 / 1" in page.text, "admitted once"


def nothing_is_doubled(platform: RunningPlatform, lives: list[Life]) -> None:
    """One transaction at the bank for each order, and one unit in the city's figures."""
    key = {"authorization": f"Bearer {platform.secret('BANK_API_KEY')}"}
    booked: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        params = {**COLLECTION, "limit": "500"} | ({"after": cursor} if cursor else {})
        page = httpx.get(f"{platform.bank_url}/api/v1/transactions", params=params, headers=key).json()
        booked += page["items"]
        cursor = page["next_cursor"]
        if not page["has_more"]:
            break
    assert len(booked) == len(lives)
    # A worker that was killed while it counted the day holds it until its lease ends.
    until(lambda: sold(platform) == (len(lives), 35_000 * len(lives)), seconds=2 * outbox.LEASE.total_seconds())
    assert len({life.reference for life in lives}) == len(lives)


def sold(platform: RunningPlatform) -> tuple[int, int]:
    """Units and VND that the city counts."""
    total = httpx.get(f"{platform.url}/api/v1/open-data/cashless-share?by=service").json()["total"]
    return total["charged_units"], total["charged_vnd"]


def started_again(platform: RunningPlatform, name: str, pid_before: int) -> bool:
    return platform.pids().get(name) not in (None, pid_before)


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2, trust_env=False).is_success
    except httpx.TransportError:
        return False


def until(true: Callable[[], object], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.1)
