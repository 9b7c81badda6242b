"""The measure of a statement against its receipts: both sides find the same matches, and a table comes out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from stage import ROOT_KEY

from foundation.embedded import EmbeddedPostgres
from loadtests import reconciling


def test_both_sides_match_the_same_lines(
    server: EmbeddedPostgres,
    template: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(reconciling, "ROOT_KEY", ROOT_KEY)  # the roles of a server have one password each
    done = reconciling.compare(server, tmp_path, 1_200, layout="example-two-columns", rounds=1, template=template)
    assert done == 0
    said = capsys.readouterr().out
    assert "WRONG" not in said
    assert re.search(r"^\| ours \| .*\*\*\d+\.\d\d\*\* \(aim 1\.5\)", said, re.MULTILINE), said
