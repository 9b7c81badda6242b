"""XLSX: the rows of its sheets, read from the sheets' XML by the same guarded reader as camt; nothing is calculated.

A number is what the file says, to its last digit; that a number is a day says the layout (`profile`), not a cell's style.
Strings that cells share stand in a part of their own, and are the only thing of a workbook that is kept.
"""

from __future__ import annotations

import posixpath
import re
import zipfile
from collections.abc import Iterator
from decimal import Decimal

from payments.statement import (
    Place,
    StatementFieldUnreadable,
    StatementFormula,
    StatementRefused,
    StatementSheetTooLarge,
    StatementZipBroken,
    StatementZipTooMany,
    archive,
    shown,
    xml,
)
from payments.statement.table import Cell, Row, letters

MOST_PARTS = 100
MOST_COLUMNS = 200
MOST_CHARACTERS = 32 << 20
"""Of the strings that cells share, counted with what Python needs for each."""

_FORMULA = frozenset({"f", "f@t", "f@si", "f@ref"})
WORKBOOK = "xl/workbook.xml"
_NUMBER = re.compile(r"-?\d{1,30}(?:\.\d{1,30})?(?:[Ee][+-]?\d{1,2})?", re.ASCII)
_REFERENCE = re.compile(r"([A-Z]{1,3})([1-9]\d{0,6})", re.ASCII)


def rows(opened: zipfile.ZipFile, name: str) -> Iterator[Row]:
    """The rows of all sheets, in the workbook's order; empty rows are left out. Raises FileRefused."""
    inside = {info.filename: info for info in opened.infolist()}

    def part(path: str, wanted: str) -> Iterator[xml.Piece]:
        if path not in inside:
            raise StatementZipBroken(file=name, member=shown(path))
        called = f"{name} {shown(path)}"
        return xml.read(archive.unpack(opened, inside[path], name), re.compile(wanted).fullmatch, called)

    since_1904, sheets, targets = False, list[tuple[str, str]](), dict[str, str]()
    for piece in part(WORKBOOK, "workbook/(?:workbookPr|sheets/sheet)"):
        if piece.path.endswith("workbookPr"):
            since_1904 = piece.fields.get("@date1904") in ("1", "true")
        else:
            sheets.append((shown(piece.fields.get("@name", "")), piece.fields.get("@id", "")))
        if len(sheets) > MOST_PARTS:
            raise StatementZipTooMany(file=name, most=MOST_PARTS)
    for piece in part("xl/_rels/workbook.xml.rels", "Relationships/Relationship"):
        targets[piece.fields.get("@Id", "")] = posixpath.normpath(
            posixpath.join("/xl", piece.fields.get("@Target", ""))
        )[1:]
        if len(targets) > MOST_PARTS:
            raise StatementZipTooMany(file=name, most=MOST_PARTS)
    strings: list[str] = []
    if "xl/sharedStrings.xml" in inside:
        kept = 0
        for piece in part("xl/sharedStrings.xml", "sst/si"):
            strings.append(_text(piece.fields))
            kept += 50 + len(strings[-1])
            if kept > MOST_CHARACTERS:
                raise StatementSheetTooLarge(file=name, most=MOST_CHARACTERS)
    for number, (sheet, target) in enumerate(sheets, 1):
        pieces = part(targets.pop(target, ""), "worksheet/sheetData/row(?:/c)?")
        yield from _rows(pieces, sheet or str(number), strings, since_1904)


def _rows(pieces: Iterator[xml.Piece], sheet: str, strings: list[str], since_1904: bool) -> Iterator[Row]:
    cells: list[Cell] = []
    fault: StatementRefused | None = None
    line = 0
    for piece in pieces:
        if piece.path.endswith("/row"):
            said = piece.fields.get("@r", "")
            line = int(said) if said.isascii() and said.isdigit() and len(said) <= 7 else line + 1
            if cells:
                yield Row(line, cells, sheet, since_1904, fault)
            cells, fault = [], None
            continue
        reference = _REFERENCE.fullmatch(piece.fields.get("@r", ""))
        column = _column(reference[1]) if reference else len(cells)
        # A cell without a reference stands beside the one before, in the row after the last: its own ends later.
        at = int(reference[2]) if reference else line + 1
        place = Place(at, f"{sheet}!{reference[0] if reference else letters(column) + str(at)}")
        if column < len(cells) or column >= MOST_COLUMNS:
            fault = fault or StatementFieldUnreadable(**place.at(), text=shown(piece.fields.get("@r", "")))
            continue
        cells += [""] * (column - len(cells))
        try:
            cells.append(_cell(piece.fields, strings, place))
        except StatementRefused as refusal:
            fault = fault or refusal
            cells.append("")


def _cell(fields: dict[str, str], strings: list[str], place: Place) -> Cell:
    """The value of a cell. Raises StatementFormula, StatementFieldUnreadable."""
    if not _FORMULA.isdisjoint(fields):
        raise StatementFormula(**place.at())
    value, kind = fields.get("v", "").strip(), fields.get("@t", "n")
    match kind:
        case "inlineStr":
            return _text({key.removeprefix("is/"): text for key, text in fields.items()}).strip()
        case "str" | "d":
            return value
        case "s" if value.isascii() and value.isdigit() and len(value) <= 9 and int(value) < len(strings):
            return strings[int(value)].strip()
        case "n" if value == "":
            return ""
        case "n" if _NUMBER.fullmatch(value):
            return Decimal(value)
    raise StatementFieldUnreadable(**place.at(), text=shown(value))


def _text(fields: dict[str, str]) -> str:
    """The text of a string, with or without runs of their own look; how it is pronounced is left out."""
    return fields.get("t", "") or fields.get("r/t", "").replace("\n", "")


def _column(name: str) -> int:
    number = 0
    for letter in name:
        number = number * 26 + ord(letter) - ord("A") + 1
    return number - 1
