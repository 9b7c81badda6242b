"""Rows that hold from one day to another: tariffs, ticket offers, keys.

A row holds on the days [valid_from, valid_to): `valid_to` is the first day on which it no longer does, None means
"until further notice". The past is never rewritten, a change is a new row, so that a stay or a ticket of any earlier
day can be counted again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from itertools import pairwise
from typing import Protocol, TypeVar

from foundation.errors import Refusal


class Dated(Protocol):
    """Anything with a first day and, perhaps, an end."""

    @property
    def valid_from(self) -> date: ...

    @property
    def valid_to(self) -> date | None: ...


Row = TypeVar("Row", bound=Dated)


class NothingValid(Refusal):
    """Nothing is valid on {day}."""


class SeveralValid(Refusal):
    """More than one entry is valid on {day}."""


class EndsBeforeItBegins(Refusal):
    """An entry that begins on {day} ends before it begins."""


def valid_on(rows: Iterable[Row], day: date) -> Row:
    """The one row that holds on `day`.

    Raises NothingValid in a gap and SeveralValid in an overlap: a price is never guessed.
    """
    valid = [row for row in rows if row.valid_from <= day and (row.valid_to is None or day < row.valid_to)]
    if not valid:
        raise NothingValid(day=day)
    if len(valid) > 1:
        raise SeveralValid(day=day)
    return valid[0]


def unbroken(rows: Iterable[Row]) -> Sequence[Row]:
    """The rows in order of time, if each day from the first on has at most one row and none is left out.

    For the moment a row is added; `valid_on` looks at one day only, so that a mistake about next year does not stop
    today's sale. The last row may end (a place closes).
    Raises EndsBeforeItBegins, SeveralValid (first day of the overlap), NothingValid (first day of the gap).
    """
    ordered = sorted(rows, key=lambda row: row.valid_from)
    for row in ordered:
        if row.valid_to is not None and row.valid_to <= row.valid_from:
            raise EndsBeforeItBegins(day=row.valid_from)
    for earlier, later in pairwise(ordered):
        if earlier.valid_to is None or earlier.valid_to > later.valid_from:
            raise SeveralValid(day=later.valid_from)
        if earlier.valid_to < later.valid_from:
            raise NothingValid(day=earlier.valid_to)
    return ordered
