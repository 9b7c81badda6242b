"""The supervisor, with real processes that crash, are deaf, leave children behind or lose their parent."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from foundation.supervise import (
    NotReady,
    PortForbidden,
    PortTaken,
    Program,
    Supervisor,
    free_port_or_refuse,
    tethered,
    wait_ready,
)

LASTING = [sys.executable, "-c", "import time; time.sleep(60)"]
DEAF = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf'); time.sleep(60)",
]
PARENT = """
import subprocess, sys, time
print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']).pid)
time.sleep(60)
"""
SUPERVISOR = '''
import sys
from pathlib import Path
from foundation.supervise import Program, Supervisor
PROGRAM = """
import signal, sys, time
def leave_slowly(*_):
    time.sleep(0.3)
    sys.exit()
signal.signal(signal.SIGTERM, leave_slowly)
print("up")
time.sleep(60)
"""
with Supervisor(Path(sys.argv[1])) as running:
    for name in ("first", "second"):
        print(running.start(Program(name=name, argv=[sys.executable, "-c", PROGRAM])), flush=True)
    running.run()
print("stopped", flush=True)
'''


def lives(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() != b""
    except OSError:
        return False


def eventually(happened: Callable[[], bool], running: Supervisor | None = None, within_s: float = 5.0) -> bool:
    """Whether it happens in time, with `running` looking after its programs meanwhile."""
    end = time.monotonic() + within_s
    while not happened():
        if running is not None:
            running.look()
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def running(tmp_path: Path, said: list[str]) -> Supervisor:
    return Supervisor(tmp_path, said.append)


def start_supervisor(data: Path) -> tuple[subprocess.Popen[str], list[int]]:
    supervisor = subprocess.Popen([sys.executable, "-c", SUPERVISOR, str(data)], stdout=subprocess.PIPE, text=True)
    assert supervisor.stdout is not None
    pids = [int(supervisor.stdout.readline()) for _ in range(2)]
    logs = [data / "log/first.log", data / "log/second.log"]
    assert eventually(lambda: all(log.read_text() == "up\n" for log in logs))
    return supervisor, pids


def test_a_crashed_program_is_started_again_and_we_say_so(running: Supervisor, said: list[str]) -> None:
    first = running.start(Program(name="web", argv=LASTING))
    os.kill(first, signal.SIGKILL)

    assert eventually(lambda: said != [], running)
    assert said[0].startswith("web was ended by SIGKILL; starting it again in 0.5 s.")
    assert eventually(lambda: running.pid("web") != first, running)
    assert eventually(lambda: lives(running.pid("web")))
    running.stop()


def test_the_pause_before_a_restart_doubles_up_to_half_a_minute(running: Supervisor, said: list[str]) -> None:
    running.start(Program(name="web", argv=[sys.executable, "-c", "raise SystemExit(3)"]))
    child = running._children[0]
    for _ in range(8):
        assert eventually(lambda: child.due is not None, running)
        child.due = 0.0
        running.look()
    running.stop()

    pauses = [sentence.split(" again in ")[1].split(" s.")[0] for sentence in said if " again in " in sentence]
    assert pauses == ["0.5", "1", "2", "4", "8", "16", "30", "30"]
    assert "ended with exit code 3" in said[0]


def test_output_is_logged_and_only_complaints_reach_the_terminal(
    running: Supervisor, said: list[str], tmp_path: Path
) -> None:
    script = "import logging; logging.basicConfig(level='INFO'); logging.info('quiet'); logging.warning('loud'); 1/0"
    running.start(Program(name="worker", argv=[sys.executable, "-c", script]))
    assert eventually(lambda: any("exit code 1" in line for line in said), running)
    running.stop()

    assert "quiet" in (tmp_path / "log/worker.log").read_text()
    assert "worker: WARNING:root:loud" in said
    assert "worker: ZeroDivisionError: division by zero" in said
    assert not any("quiet" in line for line in said)


def test_a_program_sees_its_own_environment_beside_ours(running: Supervisor, tmp_path: Path) -> None:
    script = "import os; print(os.environ['SERVICES'], 'PATH' in os.environ)"
    running.start(Program(name="web", argv=[sys.executable, "-c", script], env={"SERVICES": "parking"}))
    assert eventually(lambda: (tmp_path / "log/web.log").read_text() == "parking True\n")
    running.stop()


def test_a_deaf_program_is_killed_within_the_time_given(tmp_path: Path, said: list[str]) -> None:
    running = Supervisor(tmp_path, said.append, stop_within_s=1.0)
    deaf = running.start(Program(name="deaf", argv=DEAF))
    polite = running.start(Program(name="polite", argv=LASTING))
    assert eventually(lambda: (tmp_path / "log/deaf.log").read_text() == "deaf\n")

    begun = time.monotonic()
    running.stop()

    assert time.monotonic() - begun < 2.0
    assert not lives(deaf)
    assert not lives(polite)
    assert said == ["deaf did not stop in time and was killed."]


def test_what_a_killed_program_leaves_behind_ends_with_it(running: Supervisor, tmp_path: Path) -> None:
    parent = running.start(Program(name="web", argv=[sys.executable, "-c", PARENT]))
    log = tmp_path / "log/web.log"
    assert eventually(lambda: log.read_text().endswith("\n"))
    grandchild = int(log.read_text())
    os.kill(parent, signal.SIGKILL)

    assert eventually(lambda: not lives(grandchild), running)
    running.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="death signals are Linux's")
def test_programs_die_with_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    supervisor, children = start_supervisor(tmp_path)
    assert all(lives(child) for child in children)

    supervisor.kill()
    supervisor.wait()

    assert eventually(lambda: not any(lives(child) for child in children))


@pytest.mark.parametrize("wish", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_everything_in_order(tmp_path: Path, wish: signal.Signals) -> None:
    supervisor, children = start_supervisor(tmp_path)

    supervisor.send_signal(wish)
    # A terminal and make may both pass on the same wish; the second comes while we stop.
    time.sleep(0.2)
    supervisor.send_signal(wish)
    said, _ = supervisor.communicate(timeout=10)

    assert supervisor.returncode == 0
    assert said == "stopped\n"
    assert not any(lives(child) for child in children)


@pytest.mark.skipif(sys.platform != "linux", reason="death signals are Linux's")
def test_a_program_whose_owner_died_before_it_was_tied_does_not_start() -> None:
    argv = tethered(["echo", "started"])
    argv[argv.index(str(os.getpid()))] = "1"
    assert "started" not in subprocess.run(argv, capture_output=True, text=True).stdout


def test_a_taken_port_is_one_clear_sentence() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PortTaken) as refusal:
            free_port_or_refuse(port, setting="BANK_PORT")
    assert str(refusal.value) == (
        f"Port {port} is taken by another program: stop that one, or choose another with BANK_PORT=number."
    )
    free_port_or_refuse(port)


def test_an_impossible_port_is_one_clear_sentence() -> None:
    with pytest.raises(PortForbidden, match="Port 70000 may not be opened"):
        free_port_or_refuse(70_000)


def test_waiting_ends_when_the_page_answers(running: Supervisor, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    argv = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "--directory", str(tmp_path), str(port)]
    running.start(Program(name="web", argv=argv))
    wait_ready(f"http://127.0.0.1:{port}/", 10, meanwhile=running.look)
    running.stop()


def test_waiting_in_vain_names_the_page() -> None:
    with pytest.raises(NotReady, match=r"http://127.0.0.1:9/healthz did not answer within 0.2 seconds"):
        wait_ready("http://127.0.0.1:9/healthz", 0.2)
