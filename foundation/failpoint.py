"""Named places at which a test ends this process as `kill -9` would: one at each step that a crash could split.

- `failpoint.here("poll.taken")`: a place between two transactions, or between one and an answer;
- `tx.step("cash.sold")` stands for two: `cash.sold.before` its commit and `cash.sold.after` it;
- a hot act has its own: `<schema>.<function>.before` and `.after` the call (`Database.hot`).

They do something in environment `test` only, and only where FAILPOINTS names a file. It holds one line, `<place> <n>
<serial>`: the process ends at the n-th passing since it first saw that line. `proof/` arms them; a test holds its list
of places and the sources together.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

from foundation.settings import Settings

_file: Path | None = None
_line = ""
_passed = 0


def arm(settings: Settings) -> None:
    """Said once per process, before anything is done."""
    global _file
    _file = settings.failpoints if settings.environment == "test" else None


def here(place: str) -> None:
    """A step that a crash could split. Outside a test it costs one comparison."""
    if _file is not None:
        _pass(_file, place)


def _pass(file: Path, place: str) -> None:
    global _line, _passed
    try:
        line = file.read_text()
    except FileNotFoundError:
        return
    if line != _line:
        _line, _passed = line, 0
    wanted, number, *_ = line.split() or ["", "0"]
    if wanted == place:
        _passed += 1
        if _passed == int(number):
            os.kill(os.getpid(), signal.SIGKILL)
