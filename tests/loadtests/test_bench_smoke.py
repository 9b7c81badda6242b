"""The bench itself: it runs, every answer on both sides is the right one, and a table comes out."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from loadtests.client import drive, post


def test_the_bench_runs_and_every_answer_is_right(house: Path) -> None:
    said = subprocess.run(
        [sys.executable, "-m", "loadtests.bench", "--quick"],
        cwd=house,
        env={**os.environ, "PYTHONPATH": str(house)},
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert said.returncode == 0, said.stdout + said.stderr
    assert "WRONG" not in said.stdout + said.stderr
    for act, aim in (*((act, "0.6") for act in ("gate scan", "vehicle in", "vehicle out")), ("paid cycle", "0.4")):
        for side in ("floor", "ours"):
            assert re.search(rf"^\| {act} \| 8 \| {side} \| [\d,]+ \|", said.stdout, re.MULTILINE), said.stdout
        assert re.search(rf"^\| {act} \| 8 \| ours .*\*\*\d\.\d\d\*\* \(aim {aim}\)", said.stdout, re.MULTILINE)


def test_the_client_counts_what_is_not_the_expected_verdict_as_an_error() -> None:
    with _server(b'{"verdict": "used"}') as port:
        done = drive(port, iter([post("/scan", b"{}")] * 5), verdict="valid", connections=2, seconds=5)
    assert (done.right, done.errors, len(done.waits)) == (0, 5, 5)
    assert "used" in done.wrong[0]


def test_the_client_counts_a_right_verdict_of_a_refusal_as_an_error() -> None:
    with _server(b'{"verdict": "valid"}', status=b"503 Service Unavailable") as port:
        done = drive(port, iter([post("/scan", b"{}")]), verdict="valid", connections=1, seconds=5)
    assert (done.right, done.errors) == (0, 1)


def test_the_client_waits_for_an_answer_that_comes_in_pieces() -> None:
    with _server(b'{"verdict": "valid"}', pieces=7) as port:
        done = drive(port, iter([post("/scan", b"{}")] * 3), verdict="valid", connections=1, seconds=5)
    assert (done.right, done.errors) == (3, 0)
    assert done.wait_ms(0.5) > 0


@contextmanager
def _server(body: bytes, *, status: bytes = b"200 OK", pieces: int = 1) -> Iterator[int]:
    """A server that gives every request the same answer, in so many pieces."""
    answer = b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n" % (status, len(body)) + body
    size = -(-len(answer) // pieces)

    def serve(line: socket.socket) -> None:
        with line:
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while line.recv(65536):
                for at in range(0, len(answer), size):
                    line.sendall(answer[at : at + size])

    def accept() -> None:
        while True:
            try:
                line, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(line,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=accept, daemon=True).start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
