"""A failpoint ends its process at the n-th passing, in environment `test` only."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

PASSES = """
import sys
from foundation import failpoint
from foundation.settings import Settings
failpoint.arm(Settings())
for number in range(5):
    failpoint.here("elsewhere")
    failpoint.here("here.before")
    print(number, flush=True)
"""
PASSES_AT_THE_BANK = PASSES.replace(
    "from foundation import failpoint\nfrom foundation", "from mock_bank import failpoint\nfrom mock_bank"
)


def passing(house: Path, file: Path, environment: str, *, code: str = PASSES) -> subprocess.CompletedProcess[str]:
    bank = {"BANK_DATABASE_URL": "x", "BANK_API_KEY": "x", "BANK_WEBHOOK_SECRET": "whsec_" + "YSBwcm9v" * 6}
    return subprocess.run(
        [sys.executable, "-c", code],
        env={
            **bank,
            "PYTHONPATH": str(house),
            "ENVIRONMENT": environment,
            "BANK_ENVIRONMENT": environment,
            "FAILPOINTS": str(file),
            "BANK_FAILPOINTS": str(file),
        },
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.parametrize("code", [PASSES, PASSES_AT_THE_BANK])
def test_a_process_ends_at_the_third_passing(house: Path, tmp_path: Path, code: str) -> None:
    (tmp_path / "armed").write_text("here.before 3 1")
    done = passing(house, tmp_path / "armed", "test", code=code)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert done.stdout.split() == ["0", "1"]


@pytest.mark.parametrize("code", [PASSES, PASSES_AT_THE_BANK])
def test_outside_a_test_nothing_ends(house: Path, tmp_path: Path, code: str) -> None:
    (tmp_path / "armed").write_text("here.before 1 1")
    done = passing(house, tmp_path / "armed", "demo", code=code)
    assert (done.returncode, len(done.stdout.split())) == (0, 5), done.stderr


@pytest.mark.parametrize("code", [PASSES, PASSES_AT_THE_BANK])
def test_where_nothing_is_armed_nothing_ends(house: Path, tmp_path: Path, code: str) -> None:
    done = passing(house, tmp_path / "absent", "test", code=code)
    assert (done.returncode, len(done.stdout.split())) == (0, 5), done.stderr
