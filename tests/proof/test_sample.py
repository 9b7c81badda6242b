"""A sample of `make proof`: its parts on real processes, small enough for every run of the tests; all but the month, of
which three days alone take a minute."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from proof.places import PLACES

SAMPLE = (
    *("--seed", "7", "--acts", "100", "--kills", "8", "--rounds", "3", "--minutes", "6"),
    *("--parts", "model", "kills", "races"),
)


@pytest.mark.xdist_group("journeys")
@pytest.mark.timeout(420)
def test_a_sample_of_the_proof_finds_nothing(house: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "proof", *SAMPLE], cwd=house, capture_output=True, text=True, timeout=400, check=False
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "Nothing was found" in said
    assert re.search(r"kills: \d+ of 8 \(web [1-9], worker [1-9], bank [1-9]\)", said), said
    assert len(re.findall(r"races: [a-z ]+, 3 rounds of 8; nothing found", said)) == 5, said
    assert len(re.findall(r"races: [a-z ]+, 1 rounds of 8; nothing found", said)) == 5, said


def test_every_failpoint_of_the_sources_is_a_place_of_the_proof(house: Path) -> None:
    ours = {place.name for place in PLACES if not place.name.startswith("bank.")}
    assert ours - hot_acts(house) == named(house, "foundation", "payments", "parking", "ticketing")
    assert {place.name for place in PLACES if place.name.startswith("bank.")} == named(house, "mock_bank")


def hot_acts(house: Path) -> set[str]:
    """The places that hot acts have by themselves."""
    sources = "\n".join(file.read_text("utf-8") for file in python(house, "payments", "parking", "ticketing"))
    called = set(re.findall(r'"select (?:\* |occupied, capacity )?(?:from )?([a-z_]+\.[a-z_]+)\(\$1', sources))
    known = {place.name.rsplit(".", 1)[0] for place in PLACES if place.name.rsplit(".", 1)[0] in called}
    return {f"{name}.{side}" for name in known for side in ("before", "after")}


def named(house: Path, *folders: str) -> set[str]:
    """The places that `failpoint.here` and `tx.step` name."""
    found: set[str] = set()
    for file in python(house, *folders):
        text = file.read_text("utf-8")
        found |= set(re.findall(r'failpoint\.here\("([a-z._]+)"\)', text))
        for step in re.findall(r'tx\.step\("([a-z._]+)"\)', text):
            found |= {f"{step}.before", f"{step}.after"}
    return found


def python(house: Path, *folders: str) -> list[Path]:
    return [file for folder in folders for file in (house / folder).rglob("*.py") if file.name != "failpoint.py"]
