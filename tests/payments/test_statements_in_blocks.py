"""Lines of a table read a block at a time say what they say one by one, to the letter, whatever is wrong with them."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta

import pytest
from bank_files import SIGNED, TWO, read
from hypothesis import given, settings
from hypothesis import strategies as st

from foundation.errors import Refusal
from loadtests import statements
from loadtests.statements import Line, some_day
from payments.statement import Entry, block
from payments.statement.profile import Profile
from payments.statement.rows import row, together

LAYOUTS = {"signed": SIGNED, "two columns": TWO}
ODD = [
    *(
        "",
        " ",
        "  ",
        "\t",
        "\N{NO-BREAK SPACE}",
        '"',
        '""',
        "|",
        ";",
        ",",
        ".",
        ".00",
        ",0",
        "-",
        "+",
        "−",
        "0",
        "1",
        "9" * 16,
        "٣",
    ),
    *(
        "VND",
        "\n",
        "\n\n",
        "\r",
        "\\",
        "x",
        "NULL",
        "Tổng cộng",
        "Số dư cuối kỳ",
        "2026-02-30",
        "31/12/2026 23:59:59",
        "\0",
        "\x1f",
    ),
]


def file_of(name: str, lines: list[Line]) -> str:
    day = replace(some_day(random.Random(3), 0), lines=lines)
    return statements.csv_signed(day) if name == "signed" else statements.csv_two_columns([day])


@st.composite
def tables(draw: st.DrawFn) -> tuple[str, Profile]:
    """A good file, or one with some bytes changed, lines repeated, lost or exchanged."""
    name = draw(st.sampled_from(sorted(LAYOUTS)))
    lines = list(some_day(random.Random(draw(st.integers(0, 5))), draw(st.integers(4, 14))).lines)
    for n in draw(st.lists(st.integers(0, len(lines) - 1), max_size=2)):
        odd, days = draw(st.sampled_from(ODD)), draw(st.integers(-2, 2))
        amount_vnd = draw(st.sampled_from([0, 7, -7, lines[n].amount_vnd]))
        lines[n] = replace(
            lines[n], text=f"a{odd}b {odd}", amount_vnd=amount_vnd, booked_day=lines[n].booked_day + timedelta(days)
        )
    text = file_of(name, lines)
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(st.sampled_from(ODD)) + text[at + draw(st.integers(0, 3)) :]
    whole = text.splitlines(keepends=True)
    for n in draw(st.lists(st.integers(0, len(whole) - 1), max_size=2)):
        whole[n] = draw(st.sampled_from([whole[n] * 2, whole[0], "", *whole]))
    return "".join(whole), LAYOUTS[name]


def told(text: str, profile: Profile, lines: int) -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(block, "LINES", lines)
        try:
            return [repr(event) for event in read(text, profile)]
        except Refusal as refusal:
            return refusal.code, refusal.facts


@settings(max_examples=300)
@given(tables(), st.integers(1, 4))
def test_a_block_says_what_its_lines_say(table: tuple[str, Profile], lines: int) -> None:
    assert told(*table, lines=lines) == told(*table, lines=1_000_000)


@pytest.mark.parametrize("name", LAYOUTS)
def test_lines_of_a_common_kind_are_read_in_blocks(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(block, "LINES", 5)
    taken = []
    take = block.take
    monkeypatch.setattr(block, "take", lambda *given: taken.append(take(*given)) or taken[-1])
    read(file_of(name, list(some_day(random.Random(1), 24).lines)), LAYOUTS[name])
    assert [each is None for each in taken] == [False] * 4 + [True] * (len(taken) - 4)
    entries = taken[1]
    one_by_one = [row(entry, n, "0011", b"key", {}) for n, entry in enumerate(entries.each(), 7)]  # type: ignore[arg-type]
    assert together(entries, 7) == one_by_one
    assert all(isinstance(entry, Entry) for entry in entries.each())
