"""The bytes of a file in pieces, and its lines as text: UTF-8 with or without its mark, UTF-16 with it, nothing else."""

from __future__ import annotations

import codecs
import io
import itertools
from collections.abc import Iterable, Iterator
from typing import IO

from payments.statement import StatementCharactersRefused, StatementLineTooLong, StatementNulByte

PIECE = 1 << 16
LONGEST_LINE = 1 << 16


def pieces(file: IO[bytes]) -> Iterator[bytes]:
    """What is left of a file, 64 kB at a time."""
    return iter(lambda: file.read(PIECE), b"")


def encoding(head: bytes) -> str:
    """The encoding that the first bytes of a file say it has."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    return "utf-8-sig" if head.startswith(codecs.BOM_UTF8) else "utf-8"


def lines(octets: Iterable[bytes], name: str) -> Iterator[str]:
    """The lines of a text, each with its "\n" but perhaps the last. Raises FileRefused for what is no text."""
    return itertools.chain.from_iterable(pages(octets, name))


def pages(octets: Iterable[bytes], name: str) -> Iterator[list[str]]:
    """The same, as many lines at a time as there are in a piece."""
    number, rest = 1, ""
    for text in _decoded(octets, name):
        whole = (rest + text).split("\n")
        rest = whole.pop()
        if whole and max(map(len, whole)) > LONGEST_LINE:
            at = next(at for at, line in enumerate(whole) if len(line) > LONGEST_LINE)
            yield [line + "\n" for line in whole[:at]]
            raise StatementLineTooLong(line=number + at, file=name, longest=LONGEST_LINE)
        number += len(whole)
        yield [line + "\n" for line in whole]
        if len(rest) > LONGEST_LINE:
            raise StatementLineTooLong(line=number, file=name, longest=LONGEST_LINE)
    if rest:
        yield [rest]


def _decoded(octets: Iterable[bytes], name: str) -> Iterator[str]:
    number, decoder, chosen = 1, None, ""
    # Nothing follows the empty piece: what the decoder still waits for then is cut off.
    for piece in itertools.chain(octets, (b"",)):
        if decoder is None:
            chosen = encoding(piece)
            # "\r\n" and "\r" are "\n", also where one piece ends between the two.
            decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder(chosen)(), translate=True)
        try:
            text = decoder.decode(piece, final=not piece)
        except UnicodeDecodeError as error:
            said = "UTF-16" if chosen == "utf-16" else "UTF-8"
            number += piece[: error.start].count(b"\n")
            raise StatementCharactersRefused(line=number, file=name, encoding=said) from None
        if "\0" in text:
            number += text[: text.index("\0")].count("\n")
            raise StatementNulByte(line=number, file=name)
        number += text.count("\n")
        yield text
