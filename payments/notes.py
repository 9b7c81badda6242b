"""Banknotes: which there are, what a count of them comes to, and the rule that keeps a count and its sum together.

A count is {denomination: pieces}, as it lies on the table: `{"500000": 2, "1000": 7}`. The server sums, nobody else.
Pure data and arithmetic.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

DENOMINATIONS = (500_000, 200_000, 100_000, 50_000, 20_000, 10_000, 5_000, 2_000, 1_000)
"""The notes of Việt Nam that a drawer may hold, in đồng."""

PIECES_MAX = 10_000

Notes = Mapping[str, int]
NotesIn = dict[
    Annotated[str, Field(pattern=f"^({'|'.join(map(str, DENOMINATIONS))})$")],
    Annotated[int, Field(ge=0, le=PIECES_MAX)],
]
"""A count as it is sent: keys are denominations, values pieces; what is missing is none."""


def sum_vnd(notes: Notes) -> int:
    return sum(int(note) * pieces for note, pieces in notes.items())


def tidy(notes: Notes) -> dict[str, int]:
    """The same count, biggest note first, without those of which there is none."""
    return {str(note): notes[str(note)] for note in DENOMINATIONS if notes.get(str(note))}


def without(notes: Notes, taken: Notes) -> dict[str, int] | None:
    """What is left of `notes` when `taken` is taken out of it; None if it does not hold that."""
    left = {note: notes.get(note, 0) - taken.get(note, 0) for note in {*notes, *taken}}
    return tidy(left) if min(left.values(), default=0) >= 0 else None


def of(amount_vnd: int) -> dict[str, int]:
    """An amount in as few notes as possible. Raises ValueError for what no notes make."""
    counted = {}
    for note in DENOMINATIONS:
        counted[str(note)], amount_vnd = divmod(amount_vnd, note)
    if amount_vnd:
        raise ValueError(f"no note is as small as {amount_vnd}")
    return tidy(counted)


def holds(column: str, sum_column: str) -> str:
    """The CHECK of a table: only notes that there are, no negative pieces, and their sum is what `sum_column` says."""
    known = ",".join(str(note) for note in DENOMINATIONS)
    added = " + ".join(f"coalesce(cast({column} ->> '{note}' as bigint), 0) * {note}" for note in DENOMINATIONS)
    return (
        f"{column} is null or ({column} - cast('{{{known}}}' as text[]) = cast('{{}}' as jsonb)"
        f" and not jsonb_path_exists({column}, '$.* ? (@ < 0)') and {added} = {sum_column})"
    )
