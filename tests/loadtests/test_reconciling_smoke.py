"""The measure of a statement against its receipts: both sides find the same matches, and a table comes out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from foundation.embedded import EmbeddedPostgres
from loadtests import reconciling


def test_both_sides_match_the_same_lines(
    server: EmbeddedPostgres, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert reconciling.compare(server, tmp_path, 1_200, layout="example-two-columns", rounds=1) == 0
    said = capsys.readouterr().out
    assert "WRONG" not in said
    assert re.search(r"^\| ours \| .*\*\*\d+\.\d\d\*\* \(aim 1\.5\)", said, re.MULTILINE), said
