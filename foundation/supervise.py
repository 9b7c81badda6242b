"""Keeping processes running: started, logged, started again after a crash, stopped in order.

Nothing outlives the one who started it: a child is tethered to us, and on Linux the kernel ends it when we are gone,
`kill -9` included. Only processes started here are ended, each by its own number. Everything runs in the calling
thread, which has to be one that lives on: the tether follows the thread that started the child.
"""

from __future__ import annotations

import contextlib
import errno
import http.client
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import ClassVar

from foundation.errors import Refusal


class CannotRun(Refusal):
    """The platform cannot run here."""

    status = 503


class PortTaken(CannotRun):
    """Port {port} is taken by another program: stop that one, or choose another with {setting}=number."""


class PortForbidden(CannotRun):
    """Port {port} may not be opened by this user: choose one from 1024 to 65535 with {setting}=number."""


class NotReady(CannotRun):
    """{url} did not answer within {seconds} seconds; the log files say why."""


# Runs in place of the program, then becomes it: the process number stays. Changing the user clears the death signal,
# hence the order; the last question catches an owner who died before the tether was tied.
_TETHER = """
import ctypes, os, signal, sys
owner, farewell, uid, gid = map(int, sys.argv[1:5])
libc = ctypes.CDLL(None)
if uid >= 0:
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
if sys.platform == "linux":
    PR_SET_PDEATHSIG = 1
    libc.prctl(PR_SET_PDEATHSIG, farewell)
    if os.getppid() != owner:
        sys.exit("the owner is gone")
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
os.execvp(sys.argv[5], sys.argv[5:])
"""


def tethered(
    argv: Sequence[str], *, farewell: signal.Signals = signal.SIGTERM, user: tuple[int, int] | None = None
) -> list[str]:
    """`argv` so wrapped that the program receives `farewell` when the thread that starts it ends, however that ends.

    `user` = (uid, gid) to become first. Without Linux the program simply lives on, and its next owner has to find it.
    """
    uid, gid = user or (-1, -1)
    return [sys.executable, "-I", "-S", "-c", _TETHER, *map(str, (os.getpid(), int(farewell), uid, gid)), *argv]


def free_port_or_refuse(port: int, *, setting: str = "PORT", host: str = "127.0.0.1") -> None:
    """Raise PortTaken or PortForbidden unless a server could listen on `port` now; `setting` names what to change."""
    with socket.socket() as probe:
        # As a server binds: connections that are only fading away do not count as taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen()
        except OverflowError:
            raise PortForbidden(port=port, setting=setting) from None
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            raise (PortTaken if taken else PortForbidden)(port=port, setting=setting) from None


def wait_ready(
    url: str, deadline_s: float, *, trusted: Path | None = None, meanwhile: Callable[[], None] = lambda: None
) -> None:
    """Return when `url` answers 2xx; NotReady after `deadline_s` seconds.

    `trusted`: the certificate to believe for https. `meanwhile` is called between the questions (Supervisor.look).
    """
    # No proxy of the environment may stand between us and our own machine.
    handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
    if trusted is not None:
        handlers.append(urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=trusted)))
    opener = urllib.request.build_opener(*handlers)
    end = time.monotonic() + deadline_s
    while time.monotonic() < end:
        with contextlib.suppress(OSError, http.client.HTTPException), opener.open(url, timeout=2):
            return
        meanwhile()
        time.sleep(0.05)
    raise NotReady(url=url, seconds=f"{deadline_s:g}")


def stop_on_signals() -> None:
    """SIGTERM and SIGHUP unwind the program as Ctrl-C does; a second one is ignored, since stopping takes bounded time.

    Make and a terminal often deliver the same wish twice; the second must not break into the orderly stop.
    """
    wishes = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def unwind(_number: int, _frame: FrameType | None) -> None:
        for wish in wishes:
            signal.signal(wish, signal.SIG_IGN)
        raise KeyboardInterrupt

    for wish in wishes:
        signal.signal(wish, unwind)


@dataclass(frozen=True, kw_only=True)
class Program:
    """What to keep running. `env` is added to our own environment."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Supervisor:
    """Keeps programs running until a signal asks to stop; that leaves the `with` block, wherever it is, and quietly.

    with Supervisor(data) as running:
        running.start(Program(name="web", argv=[…]))
        wait_ready(url, 30, meanwhile=running.look)
        running.run()

    Each program writes to `<data>/log/<name>.log`; its warnings and errors also go to `say` behind its name.
    """

    data: Path
    say: Callable[[str], None] = print
    stop_within_s: float = 10.0
    _children: list[_Child] = field(default_factory=list, init=False)

    def __enter__(self) -> Supervisor:
        stop_on_signals()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        self.stop()
        return kind is KeyboardInterrupt

    def start(self, program: Program) -> int:
        """Start it now, and again whenever it ends by itself; its process number."""
        child = _Child(program, self.data / "log" / f"{program.name}.log", self.say)
        child.start()
        self._children.append(child)
        return child.pid

    def pid(self, name: str) -> int:
        """The process number of the program of that name, at present."""
        return next(child.pid for child in self._children if child.program.name == name)

    def look(self) -> None:
        """One look at every program: pass on what it complains about, start again what has crashed."""
        for child in self._children:
            child.look()

    def run(self) -> None:
        """Watch until SIGINT, SIGTERM or SIGHUP, which leave the `with` block."""
        while True:
            self.look()
            time.sleep(0.1)

    def stop(self) -> None:
        """End all, the last started first, within `stop_within_s` seconds; who does not listen is killed."""
        end = time.monotonic() + self.stop_within_s
        while self._children:
            # Each has its share of what is left, so that one deaf program cannot take the others' time.
            share_s = max(0.0, end - time.monotonic()) / len(self._children)
            self._children.pop().stop(share_s)


class _Child:
    """One program, its present process, its log and how long to wait before the next attempt."""

    delay_first_s: ClassVar[float] = 0.5
    delay_max_s: ClassVar[float] = 30.0
    steady_after_s: ClassVar[float] = 30.0
    log_max_bytes: ClassVar[int] = 20_000_000

    def __init__(self, program: Program, log: Path, say: Callable[[str], None]) -> None:
        self.program = program
        self.log = log
        self.say = say
        self.delay_s = self.delay_first_s
        self.due: float | None = None

    @property
    def pid(self) -> int:
        return self.process.pid

    def start(self) -> None:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if self.log.exists() and self.log.stat().st_size > self.log_max_bytes:
            self.log.replace(self.log.with_suffix(".log.1"))
        with self.log.open("ab") as log:
            self.echo = _Echo(self.log, log.tell())
            # Its own session: Ctrl-C reaches us alone, and we stop them in order.
            self.process = subprocess.Popen(
                tethered(self.program.argv),
                env={**os.environ, "PYTHONUNBUFFERED": "1", **self.program.env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.started = time.monotonic()
        self.due = None

    def look(self) -> None:
        if self.due is not None:
            if time.monotonic() >= self.due:
                self.start()
            return
        ended = self._ended()
        for line in self.echo.complaints():
            self.say(f"{self.program.name}: {line}")
        if ended:
            self._plan_restart()

    def _plan_restart(self) -> None:
        if time.monotonic() - self.started >= self.steady_after_s:
            self.delay_s = self.delay_first_s
        code = self.process.returncode
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        self.say(f"{self.program.name} {how}; starting it again in {self.delay_s:g} s. Its log: {self.log}")
        self.due = time.monotonic() + self.delay_s
        self.delay_s = min(self.delay_s * 2, self.delay_max_s)

    def stop(self, patience_s: float) -> None:
        end = time.monotonic() + patience_s
        if not self._ended():
            self.process.terminate()
        while not self._ended():
            if time.monotonic() >= end:
                self.say(f"{self.program.name} did not stop in time and was killed.")
                self.process.kill()
                end += 1.0
            time.sleep(0.02)

    def _ended(self) -> bool:
        """Whether it has ended. What it left in its process group ends too, before its number can be given away."""
        if self.process.returncode is not None:
            return True
        if not hasattr(os, "waitid"):
            return self.process.poll() is not None
        if os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            return False
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait()
        return True


class _Echo:
    """Follows a log file and picks the lines a person at the terminal should see."""

    complaint = re.compile(r"\b(WARNING|ERROR|CRITICAL|FATAL|PANIC)\b|\"level\": ?\"(warning|error|critical)\"")

    def __init__(self, log: Path, position: int) -> None:
        self.log = log
        self.position = position
        self.in_traceback = False

    def complaints(self) -> list[str]:
        with self.log.open("rb") as log:
            log.seek(self.position)
            fresh = log.read()
        whole = fresh[: fresh.rfind(b"\n") + 1]
        self.position += len(whole)
        return [line for line in whole.decode(errors="replace").splitlines() if self._is_complaint(line)]

    def _is_complaint(self, line: str) -> bool:
        if line.startswith("Traceback (most recent call last)"):
            self.in_traceback = True
            return True
        if self.in_traceback:
            # The first line that is not indented names the error and ends the traceback.
            self.in_traceback = line.startswith((" ", "\t")) or not line
            return True
        return bool(self.complaint.search(line))
