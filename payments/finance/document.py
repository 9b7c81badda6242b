"""A financial document, described once: spreadsheet, print and page are all drawn from here, so their figures agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

from foundation import clock
from foundation.money import format_vnd, grouped

Cell = str | int | date | datetime | None
Kind = Literal["text", "money", "number", "day", "moment"]
FIGURES = ("money", "number")


@dataclass(frozen=True)
class Column:
    """What stands in a column; its heading is in the reader's language, like every text of a document."""

    heading: str
    kind: Kind = "text"


@dataclass(frozen=True)
class Fact:
    """A line of the head: `Fact("Số phải trả", 12_345_000, "money")`."""

    label: str
    value: Cell
    kind: Kind = "text"


@dataclass(frozen=True)
class Table:
    """Rows under columns. A total that is not the sum of what stands above it is a defect and never gets written."""

    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    total: Sequence[Cell] | None = None

    def __post_init__(self) -> None:
        for row in (*self.rows, *([self.total] if self.total else [])):
            if len(row) != len(self.columns):
                raise ValueError(f"{self.title}: {len(row)} cells under {len(self.columns)} columns")
        for n, (column, said) in enumerate(zip(self.columns, self.total or (), strict=False)):
            if column.kind in FIGURES and isinstance(said, int):
                summed = sum(cell for row in self.rows if isinstance(cell := row[n], int))
                if said != summed:
                    raise ValueError(f"{self.title}, {column.heading}: the total is {said}, the rows make {summed}")


@dataclass(frozen=True, kw_only=True)
class Document:
    """What an operator, the city or a bank is sent. `made_at` is the only time in it: made again, it is the same file."""

    title: str
    issuer: str
    made_at: datetime
    facts: Sequence[Fact] = ()
    tables: Sequence[Table] = ()
    notes: Sequence[str] = ()


def in_words(cell: Cell, kind: Kind, language: str) -> str:
    """A cell as people read it: 70.000 ₫, 21/11/2026 09:30."""
    if isinstance(cell, datetime):
        return clock.moment_text(cell, language)
    if isinstance(cell, date):
        return clock.day_text(cell, language)
    if isinstance(cell, int):
        return format_vnd(cell, language) if kind == "money" else grouped(cell, language)
    return cell or ""
