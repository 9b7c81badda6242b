"""Tables as CSV files that a spreadsheet opens as they are: numbers as numbers, no text that becomes a formula."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from datetime import date, datetime

from fastapi import Response

from foundation.clock import hanoi

BOM = "\N{BYTE ORDER MARK}"
Cell = str | int | date | datetime | None

# What begins a formula, at the start of a cell or after anything that a spreadsheet may split a cell at; the full-width
# forms are formulas in East Asian settings.
_FORMULA = re.compile("(^|[\t\r\n,;|])([ \N{NO-BREAK SPACE}]*)(?=[=+\\-@\t\r\uff1d\uff0b\uff0d\uff20])")


def harmless(text: str) -> str:
    """The text with an apostrophe wherever a spreadsheet would begin to calculate."""
    return _FORMULA.sub(r"\1'\2", text)


def csv_file(columns: Sequence[str], rows: Iterable[Sequence[Cell]], *, bom: bool = True) -> str:
    """A CSV text (comma, CRLF). Instants are on a Hanoi clock. `bom`: spreadsheets then know that it is UTF-8."""
    written = io.StringIO()
    writer = csv.writer(written)
    writer.writerow([harmless(column) for column in columns])
    for row in rows:
        writer.writerow([_cell(cell) for cell in row])
    return (BOM if bom else "") + written.getvalue()


def csv_answer(text: str, name: str) -> Response:
    """A private file to download."""
    headers = {"content-disposition": f'attachment; filename="{name}"', "cache-control": "no-store"}
    return Response(text, media_type="text/csv; charset=utf-8", headers=headers)


def _cell(cell: Cell) -> str | int:
    if cell is None:
        return ""
    if isinstance(cell, datetime):
        return f"{hanoi(cell):%Y-%m-%d %H:%M:%S}"
    if isinstance(cell, date):
        return cell.isoformat()
    return harmless(cell) if isinstance(cell, str) else cell
