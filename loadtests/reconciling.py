"""A bank's statement of a million lines against a million receipts: from the file to stored matches, beside its floor.

python -m loadtests.reconciling --lines 1000000                       # a CSV; --layout for another, camt.053 or mt940

The floor is the bare SQL on the same rows in the same run: COPY of line, reference and amount, then a row_number on both
sides, so that one line is one receipt, into a table with both ids unique. Ours is what a person starts: the file is read,
checked, sealed and stored, then matched and booked, and what is left has its suggestions. Rounds alternate, each in a fresh
copy of the same database. Of the lines 97 % are one receipt each; 1 % the bank told twice (under a reference of its own:
the same one twice is refused), 1 % nobody knows, 1 % have another amount.

Exit code 0 unless a match is wrong; the ratio is a figure, not an error.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import UUID

import asyncpg

import demo
from foundation.database import Database
from foundation.embedded import EmbeddedPostgres, scratch
from foundation.hanoi import HANOI
from foundation.migrate import migrate, role_url
from foundation.seal import Sealer
from foundation.settings import Settings
from foundation.supervise import CannotRun
from loadtests import statements
from loadtests.bench import cpu_s as busy_s
from loadtests.statements import Day, Line

HOUSE = Path(__file__).resolve().parent.parent
AIM = 1.5
ROOT_KEY = "33" * 32
ROOM_IN_MEMORY = 6 << 30
POSTGRES = {
    "shared_buffers": "2GB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "30min",  # none in the midst of a round
    "autovacuum": "off",  # a round lasts seconds; both sides are analyzed before it
}
OPERATOR = demo.VANMIEU
ACCOUNT = next((bin, account) for id, _, _, _, bin, account, _ in demo.OPERATORS if id == OPERATOR)
DAY = date(2026, 11, 21)
MIDNIGHT = datetime(DAY.year, DAY.month, DAY.day, tzinfo=HANOI)
LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
WRITERS: dict[str, Callable[[Day], Iterator[str]]] = {
    "example-signed": lambda day: iter((statements.csv_signed(day),)),
    "example-two-columns": lambda day: iter((statements.csv_two_columns([day]),)),
    "camt.053": lambda day: statements.camt053([day], "08"),
    "mt940": lambda day: iter((statements.mt940([day]),)),
}

RECEIPT_COLUMNS = (
    *("operator_id", "id", "bank_account", "bank_ref", "amount_vnd", "paid_at"),
    *("references_found", "text_sealed", "payer_sealed", "source"),
)
FLOOR_TABLES = """
drop table if exists line, matched;
create table line (id integer not null, ref text not null, amount_vnd bigint not null);
create table matched (line_id integer not null unique, receipt_id uuid not null unique)
"""
FLOOR = """
insert into matched
select l.id, r.id
from (select id, ref, amount_vnd, row_number() over (partition by ref, amount_vnd order by id) as nth from line) l
join (select id, ref, amount_vnd, row_number() over (partition by ref, amount_vnd order by id) as nth from receipt) r
  using (ref, amount_vnd, nth)
"""


@dataclass(frozen=True)
class Case:
    """A statement and the receipts that it is about: id, reference, amount, second of the day."""

    day: Day
    receipts: Sequence[tuple[UUID, str, int, int]]
    alike: int
    """So many are one line and one receipt; the rest of both sides stays open."""


@dataclass
class Measured:
    """A round. `took_s` by step; `cpu_s` of all that worked for it; `peak_mb` by process; `then_s`: what follows with so many
    items open, and is not counted: a run that finds nothing new, and the proof of cash."""

    side: str
    took_s: dict[str, float]
    matched: int
    cpu_s: float = 0.0
    then_s: dict[str, float] = field(default_factory=dict)
    peak_mb: dict[str, float] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        return sum(self.took_s.values())


class OursFailed(CannotRun):
    """Our side ended with an error."""


def main() -> int:
    """Runs the comparison; the exit code."""
    asked = _arguments()
    if asked.ours:
        print(json.dumps(asyncio.run(_import_and_match(asked.ours, asked.layout, asked.server))))
        return 0
    try:
        with serving(asked.place) as (server, place):
            print(f"{asked.lines:,} lines, as many receipts …", flush=True)
            return compare(server, place, asked.lines, layout=asked.layout, rounds=asked.rounds)
    except CannotRun as error:
        print(f"reconciling: {error}", file=sys.stderr)
        return 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--layout", choices=list(WRITERS), default="example-signed")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--place", type=Path, help="folder for the database (default: in memory where there is room)")
    parser.add_argument("--ours", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--server", type=int, default=0, help=argparse.SUPPRESS)
    return parser.parse_args()


@contextmanager
def serving(within: Path | None, room: int = ROOM_IN_MEMORY) -> Iterator[tuple[EmbeddedPostgres, Path]]:
    """A server of its own for a while, and the folder that it stands in; nothing is left of either."""
    with ExitStack() as stack:
        place = scratch("motcham-reconciling-", room=room, within=within)
        stack.callback(shutil.rmtree, place, ignore_errors=True)
        server = EmbeddedPostgres(place / "postgres", settings=POSTGRES)
        stack.callback(server.remove)
        yield stack.enter_context(server), place


def compare(server: EmbeddedPostgres, place: Path, lines: int, *, layout: str, rounds: int, template: str = "") -> int:
    """Both sides by turns; prints each round, then medians. The exit code. `template`: a migrated platform with the demo
    city, where there is one."""
    case = make(lines)
    path, bare = place / "statement", place / "lines.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        file.writelines(WRITERS[layout](case.day))
    with bare.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows((n, line.ref, line.amount_vnd) for n, line in enumerate(case.day.lines))
    asyncio.run(prepare(server.url, case, template))
    print(
        f"{layout}, {path.stat().st_size / 1e6:.0f} MB; {os.cpu_count()} cores for reader, importer and PostgreSQL.\n"
    )
    measured = []
    for number in range(rounds):
        for side in ("floor", "ours") if number % 2 == 0 else ("ours", "floor"):
            took = _floor(server, bare) if side == "floor" else _ours(server, path, layout)
            measured.append(took)
            steps = ", ".join(f"{name} {seconds:.1f}" for name, seconds in took.took_s.items())
            print(f"{side:6}{took.seconds:7.2f} s  ({steps}); {took.cpu_s:.1f} s of CPU", flush=True)
            for name, seconds in took.then_s.items():
                print(f"{'':6}{seconds:7.2f} s  {name}", flush=True)
    _table(measured)
    asyncio.run(drop(server.url))
    wrong = [each for each in measured if each.matched != case.alike]
    for each in wrong:
        print(f"WRONG: {each.side} made {each.matched:,} matches, {case.alike:,} are right")
    return 1 if wrong else 0


def make(lines: int, *, odd: int = 100) -> Case:
    """One day of an account, and what the books know of it, the same for the same number of lines. One in `odd` the bank told
    twice, as many nobody knows, as many have another amount."""
    chance = random.Random(lines)
    each = max(lines // odd, 1)
    alike = lines - 3 * each
    receipts, told = [], []
    seen: set[str] = set()
    for n in range(lines):
        amount_vnd = chance.randrange(5, 2_000) * 1_000
        second = n * 80_000 // lines
        receipts.append((_id_of(chance, second), _ref(chance, seen), amount_vnd, second))
        if n < alike + each:
            told.append(_line(chance, receipts[n][1], amount_vnd + 1_000 * (n >= alike)))
    told += [_line(chance, _ref(chance, seen), chance.randrange(5, 2_000) * 1_000) for _ in range(each)]
    told += [_line(chance, _ref(chance, seen), told[n].amount_vnd) for n in chance.sample(range(alike), each)]
    # The bank tells of them in an order of its own, but roughly that of time.
    order = sorted(range(lines), key=lambda n: n % alike + chance.randrange(50))
    return Case(Day(ACCOUNT[1], DAY, 1, 10**9, [told[n] for n in order]), receipts, alike)


def _id_of(chance: random.Random, second: int) -> UUID:
    """A UUIDv7 of that second of the day: a receipt that was recorded when it was paid."""
    milliseconds = int((MIDNIGHT.timestamp() + second) * 1000) + chance.randrange(1000)
    return UUID(int=milliseconds << 80 | 7 << 76 | chance.getrandbits(12) << 64 | 2 << 62 | chance.getrandbits(62))


def _ref(chance: random.Random, seen: set[str]) -> str:
    while (ref := "FT26325" + "".join(chance.choices(LETTERS, k=9))) in seen:
        pass
    seen.add(ref)
    return ref


def _line(chance: random.Random, ref: str, amount_vnd: int) -> Line:
    text = f"MBVCB.{chance.randrange(10**10):010}.MC{chance.randrange(10**10):010}.NGUYEN VAN A chuyen tien tham quan"
    account = f"{chance.randrange(10**13):013}"
    return Line(ref, amount_vnd, DAY, DAY, text, chance.choice(("NGUYEN VAN A", "TRAN THI B", "LE C")), account)


async def prepare(admin_url: str, case: Case, template: str) -> None:
    """The floor's receipts in a database of their own; ours with their journals, in a migrated platform, to copy from."""
    admin = await asyncpg.connect(admin_url)
    await admin.execute("create database floor")
    await admin.execute(f"create database filled{f' template {template} strategy file_copy' if template else ''}")
    await admin.close()
    floor = await asyncpg.connect(at(admin_url, "floor"), command_timeout=600)
    await floor.execute("create table receipt (id uuid primary key, ref text not null, amount_vnd bigint not null)")
    await floor.copy_records_to_table("receipt", records=[receipt[:3] for receipt in case.receipts])
    await floor.execute("vacuum analyze receipt")
    await floor.close()
    url = at(admin_url, "filled")
    if not template:
        await migrate(url, root=bytes.fromhex(ROOT_KEY), environment="test")
        await demo.build(Settings.of(environment(url)))
    filled = await asyncpg.connect(url, command_timeout=600)
    # The rows are right as they are made; checking their foreign keys one by one would only take time.
    await filled.execute("set session_replication_role = replica")
    await filled.copy_records_to_table(
        "receipt",
        schema_name="payments",
        columns=RECEIPT_COLUMNS,
        records=(
            (OPERATOR, id, "/".join(ACCOUNT), ref, vnd, MIDNIGHT + timedelta(seconds=second), [], b"", b"", "notice")
            for id, ref, vnd, second in case.receipts
        ),
    )
    await filled.execute(
        "insert into payments.journal (operator_id, id, template, version, source_type, source_id, purpose, effective_at,"
        "   effective_day) select operator_id, id, 'receipt.seen', 1, 'receipt', id::text, 'seen', paid_at,"
        "   foundation.hanoi_day(paid_at) from payments.receipt"
    )
    await filled.execute(
        "insert into payments.transfer (operator_id, journal_id, leg, debit, credit, amount_vnd, flow) select operator_id, id,"
        "   1, 'gw_receivable', 'unapplied_receipts', amount_vnd, id from payments.receipt"
    )
    await filled.execute("vacuum analyze payments.receipt, payments.journal, payments.transfer")
    await filled.close()


async def drop(admin_url: str) -> None:
    admin = await asyncpg.connect(admin_url)
    for name in ("floor", "filled", "ours"):
        await admin.execute(f"drop database {name} with (force)")
    await admin.close()


def at(url: str, name: str) -> str:
    return url.replace("/postgres?", f"/{name}?", 1)


def environment(url: str) -> dict[str, str]:
    return {
        "ENVIRONMENT": "test",
        "ROOT_KEY": ROOT_KEY,
        "DATABASE_APP_URL": role_url(url, bytes.fromhex(ROOT_KEY), "app"),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(HOUSE), os.environ.get("PYTHONPATH")])),
    }


def _floor(server: EmbeddedPostgres, bare: Path) -> Measured:
    cpu_s = busy_s(server.pid)
    done = asyncio.run(_copy_and_join(server.url, bare))
    done.cpu_s = busy_s(server.pid) - cpu_s
    return done


async def _copy_and_join(admin_url: str, bare: Path) -> Measured:
    connection = await asyncpg.connect(at(admin_url, "floor"), command_timeout=600)
    try:
        await connection.execute(FLOOR_TABLES)
        await connection.execute("set work_mem = '256MB'; set jit = off; checkpoint")
        began = time.perf_counter()
        await connection.copy_to_table("line", source=bare, format="csv")
        copied = time.perf_counter()
        await connection.execute(FLOOR)
        done = time.perf_counter()
        matched = await connection.fetchval("select count(*) from matched")
    finally:
        await connection.close()
    return Measured("floor", {"copy": copied - began, "match": done - copied}, matched)


def _ours(server: EmbeddedPostgres, path: Path, layout: str) -> Measured:
    """In a process of its own, whose memory is its own as well."""
    asyncio.run(fresh(server.url))
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "loadtests.reconciling",
            "--ours",
            str(path),
            "--layout",
            layout,
            "--server",
            str(server.pid),
        ],
        cwd=HOUSE,
        env={**os.environ, **environment(at(server.url, "ours"))},
        stdout=subprocess.PIPE,
    )
    with _watched({"importer": process.pid, "PostgreSQL": server.pid}) as peak_mb:
        said, _ = process.communicate()
    if process.returncode:
        raise OursFailed()
    return Measured("ours", **json.loads(said), peak_mb=peak_mb)


async def fresh(admin_url: str) -> None:
    admin = await asyncpg.connect(admin_url, command_timeout=600)
    await admin.execute("drop database if exists ours with (force)")
    await admin.execute("create database ours template filled strategy file_copy")
    await admin.execute("checkpoint")
    await admin.close()


async def _import_and_match(path: Path, layout: str, server: int = 0) -> dict[str, object]:
    from payments import bank_statement, matching
    from payments.proof_of_cash import prove_cash

    settings = Settings.of(os.environ)
    database = await Database.open(settings.url("database_app_url"), size=4, name="motcham reconciling")
    sealer = Sealer(settings.root, database)
    try:
        async with database.transaction(OPERATOR) as tx:
            staff_id = await tx.value("select id from foundation.staff where login = 'ketoan'")
        now, idle = datetime.now(UTC), time.process_time() + busy_s(server)
        began = time.perf_counter()
        await bank_statement.take_in(
            *(database, sealer, OPERATOR, path),
            name=path.name,
            profile=layout if layout.startswith("example") else "",
            staff_id=staff_id,
            now=now,
            seconds=600,
        )
        stored = time.perf_counter()
        await matching.run(database, sealer, OPERATOR)
        done = time.perf_counter()
        worked = sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        worked += busy_s(server)
        async with database.transaction(OPERATOR) as tx:
            matched = await tx.value("select count(*) from payments.claim")
        begins = time.perf_counter()
        await matching.run(database, sealer, OPERATOR)
        again = time.perf_counter()
        async with database.transaction(OPERATOR) as tx:
            proof = await prove_cash(tx, DAY)
        assert proof.difference_vnd == 0, proof
        then_s = {"run again": again - begins, "proof of cash": time.perf_counter() - again}
    finally:
        await database.close()
    return {
        "took_s": {"take in": stored - began, "match": done - stored},
        "matched": matched,
        "cpu_s": worked - idle,
        "then_s": then_s,
    }


@contextmanager
def _watched(processes: dict[str, int]) -> Iterator[dict[str, float]]:
    """The most memory that each process held while the block ran, in MB; of what they started the most of any one. Without
    what PostgreSQL's processes share. Empty where there is no /proc."""
    peak_mb: dict[str, float] = {}
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.1):
            held = dict(_held())
            for name, pid in processes.items():
                below = [number for number in held if pid in _above(number, held)]
                for called, numbers in ((name, [pid]), (f"{name}'s child", below)):
                    if most := max((held[number][1] for number in numbers if number in held), default=0):
                        peak_mb[called] = max(peak_mb.get(called, 0.0), most / 1024)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield peak_mb
    finally:
        over.set()
        thread.join()


def _held() -> Iterator[tuple[int, tuple[int, int]]]:
    """Of every process its parent and its memory in kB."""
    for file in Path("/proc").glob("[0-9]*/status"):
        try:
            said = dict(line.split(":", 1) for line in file.read_text().splitlines() if ":" in line)
        except OSError:
            continue  # it ended meanwhile
        if "RssAnon" in said:
            yield int(file.parent.name), (int(said["PPid"]), int(said["RssAnon"].split()[0]))


def _above(number: int, held: dict[int, tuple[int, int]]) -> set[int]:
    found: set[int] = set()
    while number in held and held[number][0] not in found:
        number = held[number][0]
        found.add(number)
    return found


def _table(measured: Sequence[Measured]) -> None:
    """Medians of the rounds, as Markdown."""
    print("\n| side | seconds | of them | CPU s | ours / floor | by CPU | peak MB |")
    print("|---|---|---|---|---|---|---|")
    floor_s = floor_cpu_s = 0.0
    for side in ("floor", "ours"):
        rounds = [each for each in measured if each.side == side]
        seconds = statistics.median(each.seconds for each in rounds)
        steps = ", ".join(
            f"{name} {statistics.median(each.took_s[name] for each in rounds):.2f}" for name in rounds[0].took_s
        )
        cpu_s = statistics.median(each.cpu_s for each in rounds)
        floor_s, floor_cpu_s = floor_s or seconds, floor_cpu_s or cpu_s
        ratios = (
            f"**{seconds / floor_s:.2f}** (aim {AIM}) | {cpu_s / (floor_cpu_s or 1):.2f}" if side == "ours" else "|"
        )
        peaks = {name: max(each.peak_mb[name] for each in rounds) for name in rounds[0].peak_mb}
        memory = ", ".join(f"{name} {most:.0f}" for name, most in peaks.items())
        print(f"| {side} | {seconds:.2f} | {steps} | {cpu_s:.1f} | {ratios} | {memory} |")


if __name__ == "__main__":
    sys.exit(main())
