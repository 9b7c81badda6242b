"""XML as a stream of pieces: elements that the reader names by their path, each flat and forgotten once it is read.

Expat itself, of the standard library, with its handlers set here: only there can a document type be refused at its first
character, and is the line of a fault known. A tree (ElementTree, lxml) would have to be cut down behind the reader's back
to stay small, and a guard around it (defusedxml) does not bound depth, names or the size of one element.

Without a document type there are no entities, so nothing expands and nothing is fetched. Names are taken without their
namespace or prefix: versions of a message differ in it, banks also in the prefix.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple
from xml.parsers import expat

from payments.statement import (
    StatementFileCutOff,
    StatementPieceTooLarge,
    StatementXmlBroken,
    StatementXmlDoctype,
    StatementXmlEncodingRefused,
    StatementXmlTooDeep,
    StatementXmlTooManyNames,
    shown,
)

DEEPEST = 40
MOST_NAMES = 2_000
MOST_BYTES = 1 << 20
_ENCODINGS = ("utf-8", "utf-16", "us-ascii")
_CUT_OFF = {
    expat.errors.codes[reason]
    for reason in (
        expat.errors.XML_ERROR_NO_ELEMENTS,
        expat.errors.XML_ERROR_UNCLOSED_TOKEN,
        expat.errors.XML_ERROR_UNCLOSED_CDATA_SECTION,
        expat.errors.XML_ERROR_PARTIAL_CHAR,
    )
}


class Piece(NamedTuple):
    """An element that was asked for, at its end. `fields`: path inside of it → text ("" is its own), "path@name" → attribute.

    Texts of one path are joined by "\\n". An element that is a piece itself is not in the fields of the one around it.
    """

    path: str
    fields: dict[str, str]
    line: int


class _Name:
    """A place in the tree of names: one per path that occurs, however often it does."""

    __slots__ = ("children", "depth", "key", "parent", "path", "wanted")

    def __init__(self, parent: _Name | None, path: str, key: str, wanted: bool, depth: int) -> None:
        self.parent, self.path, self.key, self.wanted, self.depth = parent, path, key, wanted, depth
        self.children: dict[str, _Name] = {}


def read(octets: Iterable[bytes], wanted: Callable[[str], object], name: str) -> Iterator[Piece]:
    """The elements that are `wanted`, inner before outer; it is asked once per path ("Document/BkToCstmrStmt/Stmt/Bal").

    Raises FileRefused.
    """
    root = here = _Name(None, "", "", False, 0)
    names = 0
    done: list[Piece] = []
    around: list[dict[str, str]] = []
    fields: dict[str, str] | None = None
    text: list[str] = []
    since = 0  # the byte at which the piece, or whatever is between two, began
    interned: dict[str, str] = {}
    parser = expat.ParserCreate(intern=interned)

    def grow(parent: _Name, tag: str) -> _Name:
        nonlocal names
        names += 1
        line = parser.CurrentLineNumber
        if names > MOST_NAMES:
            raise StatementXmlTooManyNames(line=line, file=name, most=MOST_NAMES)
        if parent.depth == DEEPEST:
            raise StatementXmlTooDeep(line=line, file=name, most=DEEPEST)
        local = tag.rpartition(":")[2]
        path = f"{parent.path}/{local}" if parent.path else local
        is_wanted = bool(wanted(path))
        key = "" if is_wanted else f"{parent.key}/{local}" if parent.key else local
        made = parent.children[tag] = _Name(parent, path, key, is_wanted, parent.depth + 1)
        return made

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal here, fields, since
        here = here.children.get(tag) or grow(here, tag)
        if here.wanted:
            since = parser.CurrentByteIndex
            if fields is not None:
                around.append(fields)
            fields = {}
        if attributes and fields is not None:
            for attribute, value in attributes.items():
                fields[f"{here.key}@{attribute.rpartition(':')[2]}"] = value
        text.clear()

    def end(_: str) -> None:
        nonlocal here, fields, since
        gone = here
        here = gone.parent or root
        if text and fields is not None:
            value = "".join(text)
            if not value.isspace():
                before = fields.get(gone.key)
                fields[gone.key] = value if before is None else f"{before}\n{value}"
        text.clear()
        if gone.wanted and fields is not None:
            done.append(Piece(gone.path, fields, parser.CurrentLineNumber))
            fields = around.pop() if around else None
            since = parser.CurrentByteIndex

    def declaration(_: str, encoding: str | None, __: int) -> None:
        if encoding and encoding.lower() not in _ENCODINGS:
            line = parser.CurrentLineNumber
            raise StatementXmlEncodingRefused(line=line, file=name, encoding=shown(encoding))

    def doctype(*_: object) -> None:
        raise StatementXmlDoctype(line=parser.CurrentLineNumber, file=name)

    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, text.append
    parser.XmlDeclHandler, parser.StartDoctypeDeclHandler = declaration, doctype
    fed = 0
    try:
        for octet in octets:
            parser.Parse(octet)
            fed += len(octet)
            yield from done
            done.clear()
            # Outside of a piece nothing is kept but the token that expat has not seen the end of.
            if fed - (parser.CurrentByteIndex if fields is None else since) > MOST_BYTES:
                raise StatementPieceTooLarge(line=parser.CurrentLineNumber, file=name, most_bytes=MOST_BYTES)
            if len(interned) > MOST_NAMES:
                raise StatementXmlTooManyNames(line=parser.CurrentLineNumber, file=name, most=MOST_NAMES)
        parser.Parse(b"", True)
    except expat.ExpatError as error:
        if error.code in _CUT_OFF:
            raise StatementFileCutOff(file=name, line=error.lineno) from None
        raise StatementXmlBroken(line=error.lineno, file=name, reason=expat.ErrorString(error.code)) from None
    yield from done
