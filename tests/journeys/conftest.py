"""A whole platform for the journeys: `motcham run` as a child process on free ports and a data folder of its own."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from playwright.sync_api import Browser, sync_playwright

from foundation.migrate import role_url

HOUSE = Path(__file__).resolve().parents[2]
READY = "Play it all:"
# Neither servers nor secrets of the one who runs the tests may leak into the platform.
OURS = ("DATABASE_", "REDIS_", "BANK_", "PUBLIC_URL", "ROOT_KEY", "TLS", "SERVICES", "WORKERS", "BIND", "PORT")


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class RunningPlatform:
    """`motcham run`, started and stopped like a person would; it knows the process numbers of what it started."""

    data_dir: Path
    port: int = field(default_factory=free_port)
    bank_port: int = field(default_factory=free_port)
    said: list[str] = field(default_factory=list)
    process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"

    @property
    def bank_url(self) -> str:
        return f"http://localhost:{self.bank_port}"

    @property
    def environment(self) -> dict[str, str]:
        """What every command about this platform is told."""
        mine = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        return mine | {
            "PORT": str(self.port),
            "BANK_PORT": str(self.bank_port),
            "DATA_DIR": str(self.data_dir),
            "ENVIRONMENT": "demo",
            "POLL_SECONDS": "3",
            "PUBLIC_URL": self.url,
            "BANK_PUBLIC_URL": self.bank_url,
            "PYTHONUNBUFFERED": "1",
            # Dozens of processes are started here; only the first one compiles.
            "PYTHONDONTWRITEBYTECODE": "",
        }

    def command(self, *arguments: str, timeout_s: float = 60, **environment: str) -> subprocess.CompletedProcess[str]:
        """Runs `motcham <arguments>` to its end."""
        return subprocess.run(
            [sys.executable, "-m", "main", *arguments],
            cwd=HOUSE,
            env=self.environment | environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            stdin=subprocess.DEVNULL,
        )

    def start(self) -> None:
        """Starts it and waits until it says that it is ready."""
        self.said.clear()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "main", "run"],
            cwd=HOUSE,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
        )
        ready = threading.Event()
        threading.Thread(target=self._listen, args=(self.process, ready), daemon=True).start()
        if not ready.wait(90) or self.process.poll() is not None:
            said, logs = "\n".join(self.said), self.logs()
            self.stop()
            pytest.fail(f"motcham run did not become ready:\n{said}\n{logs}")

    def _listen(self, process: subprocess.Popen[str], ready: threading.Event) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self.said.append(line.rstrip())
            if line.startswith(READY):
                ready.set()
        ready.set()

    def stop(self) -> int:
        """Stops it as Ctrl-C does; its exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(40)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise

    def clean(self) -> None:
        """Stops what still runs and removes the data."""
        if self.process is not None:
            self.stop()
        done = self.command("clean", "--yes")
        shutil.rmtree(self.data_dir, ignore_errors=True)
        assert done.returncode == 0, done.stderr

    def enrolment_code(self, operator: str) -> str:
        """The one-time code of an operator that the terminal showed."""
        return next(word for line in self.said for word in line.split() if word.startswith(f"{operator.upper()}-"))

    def secret(self, name: str) -> str:
        found: str = json.loads((self.data_dir / "secrets.json").read_text())[name]
        return found

    def keeper_url(self) -> str:
        """The database as its keeper reads it: the proof of the books runs beside the platform."""
        command = Path(f"/proc/{self.pids()['postgres']}/cmdline").read_text().split("\0")
        folder = next(word.partition("=")[2] for word in command if word.startswith("unix_socket_directories="))
        root = bytes.fromhex(self.secret("ROOT_KEY"))
        return role_url(f"postgresql://postgres@/postgres?host={quote(folder)}", root, "keeper")

    def logs(self) -> str:
        """The end of every log, for the message of a test that failed."""
        files = sorted(self.data_dir.glob("log/*.log"))
        return "\n".join(f"--- {file.name}\n{file.read_text(errors='replace')[-3000:]}" for file in files)

    def pids(self) -> dict[str, int]:
        """The process numbers of what this platform consists of: run, web, worker, bank, postgres."""
        assert self.process is not None
        found = {"run": self.process.pid}
        words = {" main web": "web", " main worker": "worker", " mock_bank": "bank", "bin/postgres ": "postgres"}
        for pid in children(self.process.pid):
            line = command_line(pid)
            found |= {name: pid for mark, name in words.items() if mark in line}
        return found


def children(pid: int) -> list[int]:
    """The processes that `pid` started and that still live."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            if int(parent) == pid and state != "Z":
                found.append(int(folder.name))
    return found


def descendants(pid: int) -> list[int]:
    """The processes that `pid` started, and those that they started."""
    return [one for child in children(pid) for one in (child, *descendants(child))]


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def wait_gone(pids: list[int], seconds: float = 20) -> None:
    """Waits until these processes have ended."""
    end = time.monotonic() + seconds
    while left := [pid for pid in pids if command_line(pid)]:
        assert time.monotonic() < end, f"still running: {[command_line(pid) for pid in left]}"
        time.sleep(0.05)


@contextmanager
def falsified(address: str, true: bytes, false: bytes) -> Iterator[str]:
    """The same platform behind a proxy that changes what it says."""

    class Liar(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            kept = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "connection")}
            answer = httpx.request(self.command, address + self.path, headers=kept, content=body, trust_env=False)
            said = answer.content.replace(true, false)
            self.send_response(answer.status_code)
            for name, value in answer.headers.multi_items():
                if name not in ("content-length", "transfer-encoding", "content-encoding", "connection"):
                    self.send_header(name, value)
            self.send_header("content-length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        do_GET = do_POST = do_PUT = answer

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Liar)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPlatform]:
    """One platform for all journeys; each makes its own visitors, vehicles and tablets."""
    made = RunningPlatform(tmp_path_factory.mktemp("platform"))
    try:
        made.start()
        yield made
    finally:
        made.clean()


BROWSER = [os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome"]
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def chromium_path() -> str:
    """Where Chromium is; a journey without one has not been made, so its absence is a failure."""
    found = next((path for name in BROWSER if name and (path := shutil.which(name))), None)
    if found is None:
        pytest.fail("No Chromium here: install the package chromium, or name one with CHROMIUM=/path/to/chromium.")
    return found


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A real Chromium."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), headless=True, args=ARGUMENTS)
        yield browser
        browser.close()
