"""The measure of many open lines: the page says what the rows say, and a table comes out."""

from __future__ import annotations

import re

import pytest
from stage import ROOT_KEY

from foundation.embedded import EmbeddedPostgres
from loadtests import open_items, reconciling


async def test_the_page_of_many_open_lines_says_what_the_rows_say(
    server: EmbeddedPostgres, template: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(reconciling, "ROOT_KEY", ROOT_KEY)  # the roles of a server have one password each
    assert await open_items.measure(server.url, 150, rounds=1, template=template) == 0
    said = capsys.readouterr().out
    assert "WRONG" not in said
    for row in (
        r"first page \| \d+ \| [\d.]+ \| [\d.]+ \| 1000",
        r"filter: text \| .*\| 200",
        r"closing the day \| \d+",
    ):
        assert re.search(rf"^\| {row}", said, re.MULTILINE), said
    assert "accepting all that is sure (50 lines)" in said
