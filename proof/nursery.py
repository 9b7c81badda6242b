"""A process that has imported everything once and forks web, worker and bank from itself: a restart in 0.1 s, not in 3.

It is told what to start on standard input, a JSON object a line: `{"start": "web"}`. It says which process that is, and
which one has ended, on standard output: `{"started": "web", "pid": 7}`, `{"ended": 7, "status": 9}`. The sockets that web
and bank listen on are given to it, so a connection made while its server is away waits, as behind a load balancer.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import json
import os
import random
import select
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import uvicorn
import uvicorn.loops.auto
import valkey.asyncio  # noqa: F401 - what a process would import at its start is there before it is forked

import main
import mock_bank.app
import mock_bank.settings
import mock_tax.app
from foundation.settings import Settings

PR_SET_PDEATHSIG = 1


def server(app: Any, listening: socket.socket) -> Callable[[], None]:
    """One server process on a socket that is open already."""
    config = uvicorn.Config(
        app,
        http="foundation.one_write:OneWrite",
        access_log=False,
        server_header=False,
        log_level="warning",
        timeout_graceful_shutdown=2,
    )
    config.load()
    return lambda: uvicorn.Server(config).run(sockets=[listening])


def roles(web_socket: socket.socket, bank_socket: socket.socket) -> dict[str, Callable[[], None]]:
    """What can be started, put together once; nothing is opened yet."""
    settings = Settings()
    assert settings.failpoints is not None
    # A file for each role: web and worker pass places of the same name.
    of = {
        role: settings.model_copy(update={"failpoints": settings.failpoints.with_suffix(f".{role}")})
        for role in ("web", "worker")
    }
    banks = mock_bank.settings.Settings()
    web, bank = main.assemble(of["web"]), mock_tax.app.beside(mock_bank.app.create_app(banks), banks.database_url)
    return {
        "web": server(web, web_socket),
        "bank": server(bank, bank_socket),
        "worker": lambda: asyncio.run(main._work(of["worker"])),
    }


def become(role: Callable[[], None], log: Path, owner: int) -> NoReturn:
    """The child: nothing of the nursery's stays with it but what was imported."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != owner:
        os._exit(1)
    with log.open("ab") as out, open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
        os.dup2(out.fileno(), 1)
        os.dup2(out.fileno(), 2)
    random.seed()
    try:
        role()
    except BaseException:
        sys.excepthook(*sys.exc_info())
        os._exit(1)
    os._exit(0)


def nurse(web_socket: socket.socket, bank_socket: socket.socket, logs: Path) -> None:
    """Starts what it is told to, and says what has ended, until standard input ends."""
    known = roles(web_socket, bank_socket)
    ears, mouth = socket.socketpair()
    for end in (ears, mouth):
        end.setblocking(False)
    signal.set_wakeup_fd(mouth.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)
    gc.collect()
    gc.freeze()
    owner = os.getpid()
    say({"ready": owner})
    waiting = b""
    while True:
        readable, _, _ = select.select([0, ears.fileno()], [], [])
        if ears.fileno() in readable:
            ears.recv(4096)
            while (ended := _ended()) is not None:
                say({"ended": ended[0], "status": os.waitstatus_to_exitcode(ended[1])})
        if 0 in readable:
            told = os.read(0, 65536)
            if not told:
                return
            *lines, waiting = (waiting + told).split(b"\n")
            for line in lines:
                name = json.loads(line)["start"]
                pid = os.fork()
                if not pid:
                    become(known[name], logs / f"{name}.log", owner)
                say({"started": name, "pid": pid})


def _ended() -> tuple[int, int] | None:
    try:
        pid, status = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return None
    return (pid, status) if pid else None


def say(what: dict[str, Any]) -> None:
    os.write(1, json.dumps(what).encode() + b"\n")


if __name__ == "__main__":
    nurse(socket.socket(fileno=int(sys.argv[1])), socket.socket(fileno=int(sys.argv[2])), Path(sys.argv[3]))
