"""A load client that costs as little as it can: raw HTTP/1.1 over kept connections, one request at a time on each.

It is closed-loop (a connection sends its next request when its answer has come) and looks at every answer: the status
must be 200 and the verdict the expected one.
"""

from __future__ import annotations

import gc
import heapq
import itertools
import re
import selectors
import socket
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass

ASKS_AGAIN_AFTER_S = 0.02


class Again(bytes):
    """A request that asks what was asked before: sent after a pause, since nobody waits by asking without one."""


Cycle = Generator[bytes, bytes, bool]
"""Requests that follow from each other's answers; at its end, whether all was right."""
CYCLES_PER_ADDRESS = 400
_NETWORKS = itertools.cycle(range(16, 250))
_LOCATION = re.compile(rb"\r\nlocation: ([^\r]+)", re.IGNORECASE)
_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Round:
    """What one round came to. `waits` are seconds, sorted; `wrong` holds the first few answers that were not right."""

    seconds: float
    waits: Sequence[float]
    right: int
    errors: int
    wrong: tuple[str, ...]
    client_cpu_s: float

    @property
    def rate(self) -> float:
        """Answers per second."""
        return len(self.waits) / self.seconds

    def wait_ms(self, share: float) -> float:
        """The wait in milliseconds that `share` (0.5, 0.99) of the answers stayed within."""
        return 1000 * self.waits[min(len(self.waits) - 1, int(share * len(self.waits)))] if self.waits else float("nan")


def post(path: str, body: bytes, headers: str = "") -> bytes:
    """A whole POST request of a JSON body, ready to be sent as it is."""
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n{headers}"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


def drive(port: int, requests: Iterator[bytes], *, verdict: str, connections: int, seconds: float) -> Round:
    """Sends requests for some seconds (or until there are no more) and waits for every answer that is still due."""
    right_one = re.compile(rb'"verdict": ?"' + verdict.encode() + rb'"')
    cycles = (_single(request, right_one) for request in requests)
    return _drive([_Line(port) for _ in range(connections)], cycles, seconds)


def _single(request: bytes, right_one: re.Pattern[bytes]) -> Cycle:
    """The shortest cycle: one request, whose answer is right or not."""
    answer = yield request
    return answer.startswith(b"HTTP/1.1 200") and right_one.search(answer) is not None


def get(path: str) -> bytes:
    """A whole GET request."""
    return f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n".encode()


def leads_to(answer: bytes) -> str:
    """Where an answer redirects to; empty if nowhere."""
    found = _LOCATION.search(answer, 0, answer.find(b"\r\n\r\n") + 2)
    return found[1].decode() if found else ""


def drive_cycles(port: int, cycles: Iterator[Cycle], *, connections: int, seconds: float) -> Round:
    """Runs cycles for some seconds, one at a time on each connection, and ends all that were begun. A wait is a cycle's.

    Each connection comes from an address of its own, and after a while from another: one address may order so often only.
    """
    network = next(_NETWORKS)
    lines = [
        _Line(port, (f"127.{network}.{turn}.{number}" for turn in itertools.count()))
        for number in range(1, connections + 1)
    ]
    return _drive(lines, cycles, seconds)


def _drive(lines: Sequence[_Line], cycles: Iterator[Cycle], seconds: float) -> Round:
    waits: list[float] = []
    right = errors = 0
    wrong: list[str] = []
    running: dict[_Line, tuple[Cycle, float]] = {}
    pausing: list[tuple[float, int, _Line, bytes]] = []
    turn = itertools.count()

    def begin(line: _Line) -> None:
        cycle = next(cycles, None)
        if line.is_old():
            selector.unregister(line.socket)
            line.socket.close()
            line.connect()
            selector.register(line.socket, selectors.EVENT_READ, line)
        if cycle is not None:
            running[line] = cycle, time.perf_counter()
            line.send(next(cycle))

    with selectors.DefaultSelector() as selector:
        for line in lines:
            selector.register(line.socket, selectors.EVENT_READ, line)
        gc.collect()
        gc.disable()
        cpu, began = time.process_time(), time.perf_counter()
        end = began + seconds
        for line in lines:
            begin(line)
        while running:
            while pausing and pausing[0][0] <= time.perf_counter():
                _, _, line, request = heapq.heappop(pausing)
                line.send(request)
            until = max(0.0, pausing[0][0] - time.perf_counter()) if pausing else 30.0
            for key, _ in selector.select(timeout=until) or (() if pausing else _silence()):
                line = key.data
                answer = line.receive()
                if answer is None:
                    continue
                cycle, begun_at = running[line]
                try:
                    request = cycle.send(answer)
                    if isinstance(request, Again):
                        due = time.perf_counter() + ASKS_AGAIN_AFTER_S
                        heapq.heappush(pausing, (due, next(turn), line, request))
                    else:
                        line.send(request)
                    continue
                except StopIteration as over:
                    now, was_right = time.perf_counter(), bool(over.value)
                waits.append(now - begun_at)
                right += was_right
                errors += not was_right
                if not was_right and len(wrong) < 5:
                    wrong.append(answer.decode(errors="replace").replace("\r\n", " | ")[-400:])
                del running[line]
                if now < end:
                    begin(line)
        finished = time.perf_counter()
        cpu = time.process_time() - cpu
        gc.enable()
        for line in lines:
            line.socket.close()
    return Round(finished - began, sorted(waits), right, errors, tuple(wrong), cpu)


class _Line:
    """One connection, from the first of these addresses; with more of them, made anew from the next after a while."""

    def __init__(self, port: int, sources: Iterable[str] = ("127.0.0.1",)) -> None:
        self.port = port
        self.sources = iter(sources)
        self.keeps = not isinstance(sources, Iterator)
        self.connect()

    def connect(self) -> None:
        self.begun = 0
        self.socket = socket.create_connection(("127.0.0.1", self.port), source_address=(next(self.sources), 0))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.got = b""

    def is_old(self) -> bool:
        self.begun += 1
        return not self.keeps and self.begun > CYCLES_PER_ADDRESS

    def send(self, request: bytes) -> None:
        self.socket.sendall(request)

    def receive(self) -> bytes | None:
        """The whole answer, or None while parts of it are missing."""
        part = self.socket.recv(65536)
        if not part:
            raise ConnectionError("the server closed the connection")
        self.got += part
        head = self.got.find(b"\r\n\r\n")
        if head < 0:
            return None
        length = _LENGTH.search(self.got, 0, head + 2)
        if length is None:
            raise ConnectionError("the server did not say how long its answer is")
        if len(self.got) < head + 4 + int(length[1]):
            return None
        answer, self.got = self.got, b""
        return answer


def _silence() -> list[tuple[selectors.SelectorKey, int]]:
    raise TimeoutError("the server has not answered for 30 seconds")
