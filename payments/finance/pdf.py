"""A document on A4, as a bank or an authority sends it: calm, aligned, nothing cut, no row over two pages."""

from __future__ import annotations

import io
import threading
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from reportlab.lib.pagesizes import A4, landscape
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

from foundation import clock, texts
from payments.finance.document import FIGURES, Cell, Column, Document, Kind, Table, in_words

# All lengths are points.
MARGIN, TOP, FOOT = 48.0, 40.0, 56.0
PADDING = 4.0
LEADING = 1.36  # from a line to the next, in sizes of the font
MOST_LINES = 30  # of a row; one with more goes on in a further row, since no page would hold it
NARROW = 70.0  # a column of texts is not pressed below this where a wider page or a smaller font helps
SHAPES = ((A4, 8.5), (landscape(A4), 8.5), (landscape(A4), 7.0), (landscape(A4), 5.5))
INK, GREY, LINE, TINT = 0.1, 0.42, 0.82, 0.955

_AT_A_TIME = threading.Lock()  # a font is read through one position in its file


def as_pdf(document: Document, language: str) -> bytes:
    """The document on paper; the same document is the same bytes."""
    with _AT_A_TIME:
        return _Print(document, language).written()


# --- text in a font


@dataclass(frozen=True)
class Font:
    """A weight of the font in a size, and what text takes in it."""

    name: str
    size: float

    @property
    def leading(self) -> float:
        return self.size * LEADING

    def width(self, text: str) -> float:
        return pdfmetrics.stringWidth(text, self.name, self.size)

    def wrapped(self, text: str, width: float) -> list[str]:
        """The text in lines that are not wider: broken at spaces, and inside a word only where it is itself too wide."""
        lines = []
        width += 0.01  # a text is not broken for the rounding of its own width
        for paragraph in text.split("\n"):
            if self.width(paragraph) <= width:
                lines.append(paragraph)
                continue
            line = ""
            for word in paragraph.split(" "):
                longer = f"{line} {word}" if line else word
                if self.width(longer) <= width:
                    line = longer
                    continue
                if line:
                    lines.append(line)
                while self.width(word) > width:
                    fits = next(n for n in range(len(word)) if self.width(word[: n + 1]) > width) or 1
                    lines.append(word[:fits])
                    word = word[fits:]
                line = word
            lines.append(line)
        return lines


@cache
def _registered(weight: str) -> TTFont:
    """A weight of a font that has all letters of Vietnamese. The file is a package's; a document holds what it uses."""
    package = find_spec("ttf_opensans")
    if not package or not package.submodule_search_locations:
        raise RuntimeError("The package ttf-opensans is not installed.")
    name = f"OpenSans-{weight}"
    font = TTFont(name, str(Path(package.submodule_search_locations[0], "ttf", f"{name}.ttf")))
    pdfmetrics.registerFont(font)
    return font


def plain(size: float) -> Font:
    return Font(_registered("Regular").fontName, size)


def bold(size: float) -> Font:
    return Font(_registered("SemiBold").fontName, size)


class _Signs(dict[int, str]):
    """What is printed for a sign: itself, or its number where the font lacks it or nobody could see it."""

    def __missing__(self, code: int) -> str:
        known = code in _registered("Regular").face.charToGlyph
        seen = unicodedata.category(chr(code)) not in ("Cc", "Cf")
        self[code] = chr(code) if known and seen else f"[U+{code:04X}]"
        return self[code]


_SIGNS = _Signs({0x09: " ", 0x0A: "\n", 0x0D: "\n", 0x2011: "-", 0x202F: "\N{NO-BREAK SPACE}"})


# --- pieces of a page


@dataclass(frozen=True)
class Slot:
    """A place for text between two edges."""

    left: float
    width: float
    font: Font
    right: bool = False
    grey: float = INK


@dataclass(frozen=True)
class Look:
    """The air above and below a piece, its background, and the lines along its edges."""

    above: float = 0.0
    below: float = 0.0
    tint: bool = False
    over: float | None = None
    under: float | None = None


@dataclass(frozen=True)
class Piece:
    """What stays together: lines of text side by side. `again` stands above it where it is the first of a page."""

    slots: Sequence[Slot]
    lines: Sequence[Sequence[str]]
    look: Look
    again: Piece | None = None
    with_next: bool = False

    @cached_property
    def height(self) -> float:
        most = max(slot.font.leading * len(lines) for slot, lines in zip(self.slots, self.lines, strict=True))
        return self.look.above + most + self.look.below

    def draw(self, canvas: Canvas, top: float) -> None:
        left, right = self.slots[0].left - PADDING, self.slots[-1].left + self.slots[-1].width + PADDING
        if self.look.tint:
            canvas.setFillGray(TINT)
            canvas.rect(left, top - self.height, right - left, self.height, stroke=0, fill=1)
        for grey, y in ((self.look.over, top), (self.look.under, top - self.height)):
            if grey is not None:
                canvas.setStrokeGray(grey)
                canvas.setLineWidth(0.5)
                canvas.line(left, y, right, y)
        for slot, lines in zip(self.slots, self.lines, strict=True):
            canvas.setFont(slot.font.name, slot.font.size)
            canvas.setFillGray(slot.grey)
            for n, line in enumerate(lines):
                base = top - self.look.above - n * slot.font.leading - slot.font.size * 1.04
                if slot.right:
                    canvas.drawRightString(slot.left + slot.width, base, line)
                else:
                    canvas.drawString(slot.left, base, line)


def _row(slots: Sequence[Slot], said: Sequence[str], look: Look, **flow: Any) -> Iterator[Piece]:
    """A row in pieces that a page holds: nearly always one."""
    lines = [slot.font.wrapped(text, slot.width) for slot, text in zip(slots, said, strict=True)]
    for start in range(0, max(map(len, lines)), MOST_LINES):
        yield Piece(slots, [some[start : start + MOST_LINES] for some in lines], look, **flow)


def _pages(pieces: Iterable[Piece], running: Piece, room: float) -> list[list[Piece]]:
    """The pieces page by page; every page but the first begins with the running head."""
    pages: list[list[Piece]] = [[]]
    left = room
    for together in _together(pieces):
        if _height(together) > left:
            again = together[0].again
            pages.append([running, again] if again else [running])
            left = room - _height(pages[-1])
        pages[-1] += together
        left -= _height(together)
    return pages


def _together(pieces: Iterable[Piece]) -> Iterator[list[Piece]]:
    together: list[Piece] = []
    for piece in pieces:
        together.append(piece)
        if not piece.with_next:
            yield together
            together = []
    if together:
        yield together


def _height(pieces: Iterable[Piece]) -> float:
    return sum(piece.height for piece in pieces)


# --- columns of a table


@dataclass(frozen=True)
class Words:
    """A table as it is printed. `full` and `least`: what its columns would like to take and must, in a font of size 1."""

    columns: Sequence[Column]
    title: str
    headings: list[str]
    rows: list[list[str]]
    total: list[str] | None
    full: list[float]
    least: list[float]

    def narrowest(self, size: float) -> list[float]:
        """Figures and times are never broken; texts can be."""
        return [
            max(least * size, min(full * size, NARROW)) if column.kind == "text" else least * size
            for column, full, least in zip(self.columns, self.full, self.least, strict=True)
        ]

    def widths(self, size: float, frame: float) -> list[float]:
        """What each column gets: what it must, then as much of what it would like as there is, then an even share."""
        room = frame - 2 * PADDING * len(self.columns)
        widths = self.narrowest(size)
        if sum(widths) > room:
            return [width * room / sum(widths) for width in widths]
        wishes = sorted((full * size - width, n) for n, (full, width) in enumerate(zip(self.full, widths, strict=True)))
        for place, (wish, n) in enumerate(wishes):
            widths[n] += max(min(wish, (room - sum(widths)) / (len(wishes) - place)), 0.0)
        spread = [n for n, column in enumerate(self.columns) if column.kind == "text"] or list(range(len(widths)))
        rest = (room - sum(widths)) / len(spread)
        return [width + (rest if n in spread else 0.0) for n, width in enumerate(widths)]

    def fits(self, size: float, frame: float) -> bool:
        return sum(self.narrowest(size)) <= frame - 2 * PADDING * len(self.columns)


# --- the document


class _Print:
    """One document on its way to paper."""

    def __init__(self, document: Document, language: str) -> None:
        self.document = document
        self.language = language
        self.lacking = False
        self.tables = [self._words(table) for table in document.tables]
        self.shape, self.size = next(
            (
                (shape, size)
                for shape, size in SHAPES
                if all(table.fits(size, shape[0] - 2 * MARGIN) for table in self.tables)
            ),
            SHAPES[-1],
        )
        self.frame = self.shape[0] - 2 * MARGIN

    def written(self) -> bytes:
        height = self.shape[1]
        pages = _pages(self._all(), self._running(), height - TOP - FOOT)
        file = io.BytesIO()
        canvas = Canvas(file, self.shape, invariant=1, pageCompression=1, lang=self.language)
        canvas.setTitle(self.document.title)
        canvas.setAuthor(self.document.issuer)
        canvas.setCreator("Một Chạm")
        canvas.setDateFormatter(lambda *_: f"D:{clock.hanoi(self.document.made_at):%Y%m%d%H%M%S}+07'00'")
        for number, pieces in enumerate(pages, 1):
            top = height - TOP
            for piece in pieces:
                piece.draw(canvas, top)
                top -= piece.height
            self._foot(number, len(pages)).draw(canvas, FOOT - 14)
            canvas.showPage()
        canvas.save()
        return file.getvalue()

    def _all(self) -> Iterator[Piece]:
        yield from self._head()
        for words in self.tables:
            yield from self._table(words)
        notes = [self._printed(note) for note in self.document.notes]
        lacking = [texts.text(self.language, "finance.document.signs")] if self.lacking else []
        for n, note in enumerate([*notes, *lacking]):
            yield from _row([self._across(plain(8.0), GREY)], [note], Look(above=4.0 if n else 16.0))

    def _head(self) -> Iterator[Piece]:
        yield from _row([self._across(plain(9.0), GREY)], [self._printed(self.document.issuer)], Look())
        yield from _row([self._across(bold(16.0))], [self._printed(self.document.title)], Look(above=2.0, below=8.0))
        labels = [self._printed(fact.label) for fact in self.document.facts]
        label = min(max(map(plain(9.0).width, labels), default=0.0), self.frame * 0.4)
        left = MARGIN + PADDING
        slots = [
            Slot(left, label, plain(9.0), grey=GREY),
            Slot(left + label + 16, self.frame - label - 16 - 2 * PADDING, plain(9.0)),
        ]
        for said, fact in zip(labels, self.document.facts, strict=True):
            yield from _row(slots, [said, self._said(fact.value, fact.kind)], Look(above=1.0, below=1.0))

    def _table(self, words: Words) -> Iterator[Piece]:
        strong, usual = self._slots(words, bold(self.size)), self._slots(words, plain(self.size))
        heading = Look(above=4.0, below=4.0, tint=True, under=GREY)
        row = Look(above=3.2, below=3.2, under=LINE)
        if words.title:
            yield from _row([self._across(bold(10.5))], [words.title], Look(above=16.0, below=5.0), with_next=True)
        headings = list(_row(strong, words.headings, heading, with_next=True))
        yield from headings
        for n, said in enumerate(words.rows, 1):
            # The total never stands alone on a page.
            yield from _row(usual, said, row, again=headings[0], with_next=bool(words.total) and n == len(words.rows))
        if words.total:
            yield from _row(strong, words.total, Look(above=4.0, below=4.0, over=GREY, under=GREY), again=headings[0])

    def _slots(self, words: Words, font: Font) -> list[Slot]:
        slots, left = [], MARGIN
        for column, width in zip(words.columns, words.widths(self.size, self.frame), strict=True):
            slots.append(Slot(left + PADDING, width, font, right=column.kind in FIGURES))
            left += width + 2 * PADDING
        return slots

    def _running(self) -> Piece:
        said = self._printed(f"{self.document.issuer} · {self.document.title}")
        slot = self._across(plain(8.0), GREY)
        return Piece([slot], [slot.font.wrapped(said, slot.width)], Look(below=10.0))

    def _foot(self, number: int, pages: int) -> Piece:
        made = clock.moment_text(self.document.made_at, self.language)
        half = self.frame / 2 - PADDING
        slots = [
            Slot(MARGIN + PADDING, half, plain(8.0), grey=GREY),
            Slot(MARGIN + PADDING + half, half, plain(8.0), right=True, grey=GREY),
        ]
        said = [
            texts.text(self.language, "finance.document.made", at=made),
            texts.text(self.language, "finance.document.page", page=number, pages=pages),
        ]
        return Piece(slots, [[said[0]], [said[1]]], Look(above=5.0, over=LINE))

    def _across(self, font: Font, grey: float = INK) -> Slot:
        return Slot(MARGIN + PADDING, self.frame - 2 * PADDING, font, grey=grey)

    def _words(self, table: Table) -> Words:
        headings = [self._printed(column.heading) for column in table.columns]
        rows = [self._row_words(table, row) for row in table.rows]
        total = self._row_words(table, table.total) if table.total else None
        full, least = [], []
        for n, (column, heading) in enumerate(zip(table.columns, headings, strict=True)):
            cells = max((_longest(plain(1.0), row[n].split("\n")) for row in rows), default=0.0)
            cells = max(cells, bold(1.0).width(total[n]) if total else 0.0)
            word = _longest(bold(1.0), heading.split())
            full.append(max(cells, bold(1.0).width(heading)))
            least.append(word if column.kind == "text" else max(cells, word))
        return Words(table.columns, self._printed(table.title), headings, rows, total, full, least)

    def _row_words(self, table: Table, row: Sequence[Cell]) -> list[str]:
        return [self._said(cell, column.kind) for cell, column in zip(row, table.columns, strict=True)]

    def _said(self, cell: Cell, kind: Kind) -> str:
        return self._printed(in_words(cell, kind, self.language))

    def _printed(self, text: str) -> str:
        """The text in signs that the font has, accents joined with their letters."""
        text = unicodedata.normalize("NFC", text).replace("\r\n", "\n")
        printed = text.translate(_SIGNS)
        # Only a sign's number is longer than the sign.
        self.lacking = self.lacking or len(printed) > len(text)
        return printed


def _longest(font: Font, texts: Iterable[str]) -> float:
    return max(map(font.width, texts), default=0.0)
