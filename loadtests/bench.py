"""`make bench`: gate scan, vehicle in, vehicle out, and what is paid, each beside its floor (loadtests/floor.py).

The paid cycle is an order, the bank's signed notice, and its ticket read: six requests, three commits. A charge is its
first request alone; both are of one operator, at 8 and at 64 connections, where no row may be hot.

Both sides get two web workers, the same embedded and durable PostgreSQL and as many rows. Rounds alternate between the
floor and ours, and only their ratio is worth keeping: the machine is shared and its rate drifts. Every answer is
checked while it is counted, and at the end the tables must hold what was acknowledged.

Exit code 0 unless an answer was wrong; a ratio below the aim is a figure, not an error.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import random
import shutil
import socket
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import asyncpg

from foundation.embedded import EmbeddedPostgres, EmbeddedValkey, scratch
from foundation.migrate import migrate, role_url
from foundation.settings import Settings
from foundation.supervise import CannotRun, Program, Supervisor, wait_ready
from loadtests import crowd, floor
from loadtests.client import Again, Cycle, Round, drive, drive_cycles, get, leads_to, post

HOUSE = Path(__file__).resolve().parent.parent
AIM = 0.6
ROOT_KEY = "22" * 32
ROOM_IN_MEMORY = 4 << 30
FASTEST = 8_000
"""Requests per second to prepare for: more than either side answers."""

POSTGRES = {
    "shared_buffers": "1GB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "30min",  # none in the midst of a round
    "autovacuum": "off",  # a run lasts minutes; both sides are vacuumed before it
    "max_connections": "100",
}
ACTS = {
    "scan": ("gate scan", "valid"),
    "in": ("vehicle in", "in"),
    "out": ("vehicle out", "left"),
    "charge": ("charge", ""),
    "paid": ("paid cycle", ""),
}
AIMS = {"paid": 0.4}
CROWDED = ("charge", "paid")
"""Measured at the first number of connections and at 64."""


@dataclass(frozen=True)
class Side:
    """One of the two that are compared."""

    name: str
    port: int
    pid: Callable[[], int]
    requests: dict[str, Iterator[bytes]]
    cycles: dict[str, Iterator[Cycle]]


@dataclass(frozen=True)
class Measured:
    """A round with what it cost: CPU seconds of the web workers and of PostgreSQL, share of others on the machine."""

    side: str
    act: str
    connections: int
    round: Round
    web_cpu_s: float
    database_cpu_s: float
    others: float

    @property
    def web_us(self) -> float:
        """CPU of the web per answer, in microseconds."""
        return 1e6 * self.web_cpu_s / len(self.round.waits)

    @property
    def database_us(self) -> float:
        """CPU of PostgreSQL per answer, in microseconds."""
        return 1e6 * self.database_cpu_s / len(self.round.waits)


def main() -> int:
    """Runs the comparison; the exit code."""
    asked = _arguments()
    began = time.monotonic()
    try:
        with ExitStack() as stack:
            place = scratch("motcham-bench-", room=ROOM_IN_MEMORY, within=asked.place)
            stack.callback(shutil.rmtree, place, ignore_errors=True)
            sides, database_pid, urls = _both_sides(stack, place, asked)
            print(f"Ready after {time.monotonic() - began:.0f} s. {_surroundings(place, asked)}\n", flush=True)
            warming, measured = _rounds(sides, database_pid, urls, asked)
            _table(measured)
            wrong = _wrong([*warming, *measured], asyncio.run(_done(*urls)))
    except CannotRun as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    print(f"\nTook {time.monotonic() - began:.0f} s.")
    return 1 if wrong else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=4.0, help="length of a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tickets", type=int, default=200_000, help="tickets and open stays on each side")
    parser.add_argument("--connections", type=int, nargs="+", default=[8, 32])
    parser.add_argument("--acts", nargs="+", choices=list(ACTS), default=list(ACTS))
    parser.add_argument("--workers", type=int, default=2, help="web workers on each side")
    parser.add_argument("--place", type=Path, help="folder for the database (default: in memory where there is room)")
    parser.add_argument("--quick", action="store_true", help="only try that everything works: short rounds, few rows")
    asked = parser.parse_args()
    if asked.quick:
        asked.seconds, asked.rounds, asked.tickets, asked.connections, asked.workers = 0.3, 1, 5_000, [8], 1
    return asked


def _both_sides(
    stack: ExitStack, place: Path, asked: argparse.Namespace
) -> tuple[list[Side], Callable[[], int], tuple[str, str]]:
    """The floor and ours, running and filled; the number of PostgreSQL's process; where the databases of ours and of the
    floor are."""
    own_port, floor_port = _free_ports()
    server = EmbeddedPostgres(place / "postgres", settings=POSTGRES)
    stack.callback(server.remove)
    stack.enter_context(server)
    valkey = stack.enter_context(EmbeddedValkey(place / "valkey"))
    root = bytes.fromhex(ROOT_KEY)
    ours_url, floor_url = asyncio.run(_databases(server.url))
    environment = {
        "ENVIRONMENT": "test",
        "ROOT_KEY": ROOT_KEY,
        "PORT": str(own_port),
        "PUBLIC_URL": f"http://127.0.0.1:{own_port}",
        "WORKERS": str(asked.workers),
        "DATABASE_POOL": str(floor.POOL),
        "DATABASE_URL": "",
        "DATABASE_APP_URL": role_url(ours_url, root, "app"),
        "DATABASE_CITY_URL": "",
        "DATABASE_KEEPER_URL": "",
        "REDIS_URL": valkey.url,
        "BANK_API_KEY": "bench",
        "BANK_WEBHOOK_SECRET": "whsec_" + "YmVuY2g=" * 4,
        "DATA_DIR": str(place),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(HOUSE), os.environ.get("PYTHONPATH")])),
    }
    settings = Settings.of({name: value for name, value in environment.items() if value})
    print(f"Filling both databases with {asked.tickets:,} tickets and as many open stays …", flush=True)
    asyncio.run(migrate(ours_url, root=root, environment="test"))
    people = asyncio.run(crowd.fill(ours_url, settings, asked.tickets))
    asyncio.run(floor.fill(floor_url, asked.tickets))
    supervisor = stack.enter_context(Supervisor(place))
    python = [sys.executable, "-m"]
    supervisor.start(Program(name="ours", argv=[*python, "main", "web"], env=environment))
    bare = [*python, "uvicorn", "--factory", "loadtests.floor:app", "--workers", str(asked.workers), "--no-access-log"]
    supervisor.start(
        Program(
            name="floor",
            argv=[*bare, "--no-server-header", "--port", str(floor_port)],
            env={"FLOOR_DATABASE_URL": floor_url, "PYTHONPATH": environment["PYTHONPATH"]},
        )
    )
    for port in (own_port, floor_port):
        wait_ready(f"http://127.0.0.1:{port}/healthz", 60, meanwhile=supervisor.look)
    sides = [
        Side("floor", floor_port, lambda: supervisor.pid("floor"), _floor_requests(asked.tickets), _floor_cycles()),
        Side(
            "ours",
            own_port,
            lambda: supervisor.pid("ours"),
            {"scan": people.scans(), "in": people.enters(), "out": people.leaves()},
            {"charge": people.charges(), "paid": people.buys()},
        ),
    ]
    return sides, lambda: server.pid, (ours_url, floor_url)


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        for probe in (one, other):
            probe.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


async def _databases(admin_url: str) -> tuple[str, str]:
    admin = await asyncpg.connect(admin_url)
    for name in ("ours", "floor"):
        await admin.execute(f"create database {name}")
    await admin.close()
    ours, bare = (admin_url.replace("/postgres?", f"/{name}?", 1) for name in ("ours", "floor"))
    return ours, bare


async def _analyze(urls: Sequence[str]) -> None:
    for url in urls:
        admin = await asyncpg.connect(url, command_timeout=600)
        await admin.execute("analyze")
        await admin.close()


async def _done(ours_url: str, floor_url: str) -> dict[str, dict[str, int]]:
    return {"ours": await crowd.done(ours_url), "floor": await floor.done(floor_url)}


def _floor_requests(rows: int) -> dict[str, Iterator[bytes]]:
    dice = random.Random(20261121)
    tickets, stays = (dice.sample(range(1, rows + 1), rows) for _ in range(2))
    return {
        "scan": (post("/scan", b'{"ticket":%d,"device":%d}' % (n, n % 32)) for n in tickets),
        "in": (post("/in", b'{"lot":%d,"plate":"30A%06d"}' % (n % floor.LOTS, n)) for n in itertools.count(1)),
        "out": (post("/out", b'{"stay":%d}' % n) for n in stays),
    }


def _floor_cycles() -> dict[str, Iterator[Cycle]]:
    def ask(reference: str) -> bytes:
        return post("/charge", json.dumps({"reference": reference, "amount_vnd": 70_000}).encode())

    def charge() -> Cycle:
        return leads_to((yield ask(uuid4().hex))).startswith("/pay/")

    def buy() -> Cycle:
        reference = uuid4().hex
        page = leads_to((yield ask(reference)))
        notice = {"bank_ref": uuid4().hex, "reference": reference, "amount_vnd": 70_000}
        yield post("/notice", json.dumps(notice).encode())
        state = get(f"/state/{reference}")
        said = yield state
        while b'"paid"' not in said:
            if not said.startswith(b"HTTP/1.1 200"):
                return False
            said = yield Again(state)
        read = yield get(leads_to((yield get(leads_to((yield get(page)))))))
        return read.startswith(b"HTTP/1.1 200")

    return {"charge": (charge() for _ in itertools.count()), "paid": (buy() for _ in itertools.count())}


def _rounds(
    sides: Sequence[Side], database_pid: Callable[[], int], urls: Sequence[str], asked: argparse.Namespace
) -> tuple[list[Measured], list[Measured]]:
    """All rounds, the two sides by turns; and before them those that only warm caches and prepared statements.

    Tables that were empty until then are counted after the warming, as autovacuum would have done by then: a plan for an
    empty table reads all of it.
    """
    warming, measured = [], []
    print(f"{'act':12}{'side':8}{'conn':>4}{'rate/s':>9}{'p50 ms':>9}{'p99 ms':>9}{'others':>8}")
    for act in asked.acts:
        for side in sides:
            # With all connections: each of a pool's has plans of its own to make.
            warming.append(_measure(side, database_pid, act, max(_connections(act, asked)), asked.seconds))
        asyncio.run(_analyze(urls))
        for connections in _connections(act, asked):
            for number in range(asked.rounds):
                for side in sides if number % 2 == 0 else reversed(sides):
                    measured.append(_measure(side, database_pid, act, connections, asked.seconds))
                    print(_line(measured[-1]), flush=True)
    return warming, measured


def _connections(act: str, asked: argparse.Namespace) -> Sequence[int]:
    given: list[int] = asked.connections
    return [given[0], 64] if act in CROWDED and len(given) > 1 else given


def _measure(side: Side, database_pid: Callable[[], int], act: str, connections: int, seconds: float) -> Measured:
    # Signed, serialised and addressed before the clock starts; but for what follows from an answer.
    unused = iter(list(itertools.islice(side.requests.get(act, ()), int(FASTEST * seconds))))
    web, database, busy, began = cpu_s(side.pid()), cpu_s(database_pid()), _busy_s(), time.perf_counter()
    if act in side.cycles:
        done = drive_cycles(side.port, side.cycles[act], connections=connections, seconds=seconds)
    else:
        done = drive(side.port, unused, verdict=ACTS[act][1], connections=connections, seconds=seconds)
        side.requests[act] = itertools.chain(unused, side.requests[act])
    web, database = cpu_s(side.pid()) - web, cpu_s(database_pid()) - database
    cores = (time.perf_counter() - began) * (os.cpu_count() or 1)
    others = (_busy_s() - busy - web - database - done.client_cpu_s) / cores
    return Measured(side.name, act, connections, done, web, database, max(0.0, others))


def cpu_s(pid: int) -> float:
    """CPU seconds that a process and all below it have used; 0 where there is no /proc."""
    spent: dict[int, float] = {}
    parents: dict[int, int] = {}
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = file.read_text().rpartition(") ")[2].split()
        except OSError:
            continue  # it ended meanwhile
        number = int(file.parent.name)
        parents[number] = int(fields[1])
        spent[number] = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    total, below = 0.0, [pid]
    while below:
        number = below.pop()
        total += spent.get(number, 0.0)
        below += [child for child, parent in parents.items() if parent == number]
    return total


def _busy_s() -> float:
    """CPU seconds that the whole machine has worked since its start; 0 where there is no /proc."""
    try:
        user, nice, system, _idle, _wait, irq, soft = map(int, Path("/proc/stat").read_text().split()[1:8])
    except OSError:
        return 0.0
    return (user + nice + system + irq + soft) / os.sysconf("SC_CLK_TCK")


def _surroundings(place: Path, asked: argparse.Namespace) -> str:
    memory = "in memory (/dev/shm)" if place.is_relative_to("/dev/shm") else f"on disk ({place.parent})"
    return (
        f"Database and WAL {memory}, fsync on; {os.cpu_count()} cores for database, servers and client;"
        f" {asked.workers} web workers a side, pool of {floor.POOL} each; rounds of {asked.seconds:g} s."
    )


def _line(measured: Measured) -> str:
    done = measured.round
    return (
        f"{ACTS[measured.act][0]:12}{measured.side:8}{measured.connections:4}{done.rate:9,.0f}"
        f"{done.wait_ms(0.5):9.2f}{done.wait_ms(0.99):9.2f}{measured.others:8.0%}"
        + (f"   {done.errors} WRONG" if done.errors else "")
    )


def _table(measured: Sequence[Measured]) -> None:
    """Medians of the rounds, as Markdown. The ratio of CPU leaves out the client, and is least disturbed by others."""
    print("\n| act | connections | side | rate/s | p50 ms | p99 ms | web µs | PostgreSQL µs | ours / floor | by CPU |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for act, connections in dict.fromkeys((each.act, each.connections) for each in measured):
        floor_rate = floor_us = 0.0
        for side in ("floor", "ours"):
            rounds = [m for m in measured if (m.act, m.connections, m.side) == (act, connections, side)]
            rate = statistics.median(m.round.rate for m in rounds)
            p50, p99 = (statistics.median(m.round.wait_ms(share) for m in rounds) for share in (0.5, 0.99))
            web_us = statistics.median(m.web_us for m in rounds)
            database_us = statistics.median(m.database_us for m in rounds)
            ratios = ""
            if side == "floor":
                floor_rate, floor_us = rate, web_us + database_us
            elif floor_us:
                ratios = (
                    f"**{rate / floor_rate:.2f}** (aim {AIMS.get(act, AIM)}) | {floor_us / (web_us + database_us):.2f}"
                )
            print(
                f"| {ACTS[act][0]} | {connections} | {side} | {rate:,.0f} | {p50:.2f} | {p99:.2f}"
                f" | {web_us:.0f} | {database_us:.0f} | {ratios or ' | '} |"
            )


def _wrong(measured: Sequence[Measured], done: dict[str, dict[str, int]]) -> int:
    """How much was not as it should be: wrong answers, and tables that hold anything but what was acknowledged."""
    found = 0
    for each in measured:
        found += each.round.errors
        for answer in each.round.wrong:
            print(f"WRONG {each.side} {each.act}: {answer}", file=sys.stderr)
    for side, counts in done.items():
        for act, there in counts.items():
            said = sum(each.round.right for each in measured if (each.side, each.act) == (side, act))
            if said != there:
                found += 1
                print(f"WRONG {side} {act}: {said} were acknowledged, {there} are in the tables", file=sys.stderr)
    return found


if __name__ == "__main__":
    sys.exit(main())
