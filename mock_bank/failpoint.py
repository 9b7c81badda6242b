"""Named places at which a test ends the bank as `kill -9` would; in environment `test` only.

`BANK_FAILPOINTS` names a file with one line, `<place> <n> <serial>`: the bank ends at the n-th passing since it first
saw that line.
"""

from __future__ import annotations

import contextlib
import os
import signal

from mock_bank.settings import Settings

_seen = {"file": "", "line": "", "passed": "0"}


def arm(settings: Settings) -> None:
    """Said once, before anything is done."""
    _seen["file"] = str(settings.failpoints or "") if settings.environment == "test" else ""


def here(place: str) -> None:
    """A step that a crash could split."""
    if not _seen["file"]:
        return
    line = ""
    with contextlib.suppress(FileNotFoundError), open(_seen["file"], encoding="utf-8") as file:
        line = file.read()
    if line != _seen["line"]:
        _seen.update(line=line, passed="0")
    wanted, number, *_ = line.split() or ["", "0"]
    if wanted == place:
        _seen["passed"] = str(int(_seen["passed"]) + 1)
        if _seen["passed"] == number:
            os.kill(os.getpid(), signal.SIGKILL)
