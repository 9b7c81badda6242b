"""Tables as CSV and Excel files that a spreadsheet opens as they are: numbers as numbers, no text becomes a formula."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from typing import Any

from xlsxwriter import Workbook

from foundation.clock import hanoi
from payments.finance.document import FIGURES, Cell, Document, Table, in_words

BOM = "\N{BYTE ORDER MARK}"

# What begins a formula, at the start of a cell or after anything that a spreadsheet may split a cell at; the full-width
# forms are formulas in East Asian settings.
_FORMULA = re.compile("(^|[\t\r\n,;|])([ \N{NO-BREAK SPACE}]*)(?=[=+\\-@\t\r\uff1d\uff0b\uff0d\uff20])")

# --- CSV


def harmless(text: str) -> str:
    """The text with an apostrophe wherever a spreadsheet would begin to calculate."""
    return _FORMULA.sub(r"\1'\2", text)


def csv_file(columns: Sequence[str], rows: Iterable[Sequence[Cell]], *, bom: bool = True) -> str:
    """A CSV text (comma, CRLF). Instants are on a Hanoi clock. `bom`: spreadsheets then know that it is UTF-8."""
    return (BOM if bom else "") + _written([columns, *rows])


def as_csv(document: Document) -> str:
    """The whole document: its head, its tables and its notes, with an empty line after each."""
    head: list[Sequence[Cell]] = [[document.title], [document.issuer]]
    head += [[fact.label, fact.value] for fact in document.facts]
    parts = [head, *(_with_title(table) for table in document.tables)]
    if document.notes:
        parts.append([[note] for note in document.notes])
    return BOM + "\r\n".join(_written(part) for part in parts)


def _with_title(table: Table) -> list[Sequence[Cell]]:
    return [[table.title], [column.heading for column in table.columns], *_rows(table)]


def _rows(table: Table) -> list[Sequence[Cell]]:
    return [*table.rows, *([table.total] if table.total else [])]


def _written(rows: Iterable[Sequence[Cell]]) -> str:
    written = io.StringIO()
    csv.writer(written).writerows([_cell(cell) for cell in row] for row in rows)
    return written.getvalue()


def _cell(cell: Cell) -> str | int:
    if cell is None:
        return ""
    if isinstance(cell, datetime):
        return f"{hanoi(cell):%Y-%m-%d %H:%M:%S}"
    if isinstance(cell, date):
        return cell.isoformat()
    return harmless(cell) if isinstance(cell, str) else cell


# --- Excel

# A cell holds 32,767 units of UTF-16; what is longer is cut by us, visibly.
LONGEST = 16_000
# A spreadsheet keeps 15 digits of a number and makes zeros of the others: a longer one stands as text.
EXACT = 10**15
NARROWEST, WIDEST = 8, 60


def as_xlsx(document: Document) -> bytes:
    """A sheet with the head and the notes, then one for each table, its headings in the first row."""
    file = io.BytesIO()
    with Workbook(file, {"in_memory": True}) as book:
        created = document.made_at.astimezone(UTC).replace(tzinfo=None)
        book.set_properties({"title": document.title, "author": document.issuer, "created": created})
        _head_sheet(_Sheet(book, document.title), document)
        for table in document.tables:
            _table_sheet(_Sheet(book, table.title), table)
    return file.getvalue()


def _head_sheet(sheet: _Sheet, document: Document) -> None:
    sheet.put(0, 0, document.title, bold=True, font_size=14, text_wrap=False)
    sheet.put(1, 0, document.issuer, text_wrap=False)
    for n, fact in enumerate(document.facts, 3):
        sheet.put(n, 0, fact.label)
        sheet.put(n, 1, fact.value, align="left")
    for n, note in enumerate(document.notes, 4 + len(document.facts)):
        sheet.put(n, 1, note)
    sheet.widths([[fact.label for fact in document.facts], ["m" * WIDEST]])


def _table_sheet(sheet: _Sheet, table: Table) -> None:
    for n, column in enumerate(table.columns):
        align = "right" if column.kind in FIGURES else "left"
        sheet.put(0, n, column.heading, bold=True, bottom=1, bg_color="#EEF1F4", align=align)
    for row, cells in enumerate(table.rows, 1):
        for n, cell in enumerate(cells):
            sheet.put(row, n, cell)
    for n, cell in enumerate(table.total or ()):
        sheet.put(1 + len(table.rows), n, cell, bold=True, top=1)
    sheet.widths(
        [in_words(row[n], "number", "en") for row in ([column.heading for column in table.columns], *_rows(table))]
        for n in range(len(table.columns))
    )
    sheet.sheet.freeze_panes(1, 0)
    sheet.sheet.repeat_rows(0)


class _Sheet:
    """A sheet that is told what each cell is: it guesses no number, no formula and no link in a text."""

    def __init__(self, book: Workbook, title: str) -> None:
        # The number makes any title a name that is allowed and unique.
        plain = re.sub(r"[\[\]:*?/\\\x00-\x1f\U00010000-\U0010ffff]", " ", title)
        self.sheet = book.add_worksheet(f"{len(book.worksheets()) + 1}. {plain}"[:31].rstrip(" '"))
        self.sheet.set_paper(9)  # A4
        self.sheet.set_landscape()
        self.sheet.fit_to_pages(1, 0)
        self._book = book
        self._looks: dict[frozenset[tuple[str, Any]], Any] = {}

    def put(self, row: int, column: int, cell: Cell, **look: Any) -> None:
        if cell is None:
            self.sheet.write_blank(row, column, None, self._look(look))
        elif isinstance(cell, datetime):
            at = hanoi(cell).replace(tzinfo=None)
            self.sheet.write_datetime(row, column, at, self._look(look, num_format="dd/mm/yyyy hh:mm:ss", align="left"))
        elif isinstance(cell, date):
            self.sheet.write_datetime(row, column, cell, self._look(look, num_format="dd/mm/yyyy", align="left"))
        elif isinstance(cell, int) and abs(cell) < EXACT:
            self.sheet.write_number(row, column, cell, self._look(look, num_format="#,##0"))
        else:
            text = str(cell)
            text = text if len(text) <= LONGEST else f"{text[:LONGEST]} […]"
            # With the prefix it stays a text even when somebody edits it.
            self.sheet.write_string(row, column, text, self._look(look, quote_prefix=True, text_wrap=True))

    def widths(self, columns: Iterable[Sequence[str]]) -> None:
        for n, texts in enumerate(columns):
            longest = max((len(line) for text in texts for line in text.split("\n")), default=0)
            self.sheet.set_column(n, n, min(max(longest + 2, NARROWEST), WIDEST))

    def _look(self, wanted: dict[str, Any], **usual: Any) -> Any:
        look = {"valign": "top", **usual, **wanted}
        key = frozenset(look.items())
        if key not in self._looks:
            self._looks[key] = self._book.add_format(look)
        return self._looks[key]
