"""A file of statements, whatever it is: told by its content, never by its name; archives are opened file by file.

with path.open("rb") as file:
    for event in reader.read(file, path.name, profile_of("example-two-columns")):
        match event:
            case Statement(): ...  # whose account, which number
            case Entry(): ...      # not to be believed before …
            case Verdict(): ...    # … its statement holds: refusal is None
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import date
from typing import IO

from payments.statement import (
    Entries,
    Event,
    Place,
    Statement,
    StatementFileEmpty,
    StatementFileTooLarge,
    StatementFileTooMany,
    StatementFormatUnknown,
    StatementProfileNeeded,
    StatementTwice,
    StatementZipNested,
    Verdict,
    archive,
    camt,
    mt940,
    octets,
    sheet,
    shown,
    table,
)
from payments.statement.profile import Profile, names

MOST_STATEMENTS = 100_000
_HEAD = 4096
_OTHER = (b"%PDF", b"\xd0\xcf\x11\xe0", b"\x1f\x8b", b"7z\xbc\xaf", b"Rar!")
"""What is no text, and would otherwise be taken for a table: PDF, old Office, gzip, 7-Zip, RAR."""


def read(file: IO[bytes], name: str, profile: Profile | None = None) -> Iterator[Event]:
    """Every statement of a file that can be sought in, its entries and its verdict, as a stream.

    `profile`: the layout of tables in it; formats that describe themselves need none. Raises FileRefused, then or later:
    whoever keeps entries must be able to let go of all of them.
    """
    for event in read_blocks(file, name, profile):
        if isinstance(event, Entries):
            yield from event.each()
        else:
            yield event


def read_blocks(file: IO[bytes], name: str, profile: Profile | None = None) -> Iterator[Event | Entries]:
    """The same, but entries that were read as a block come as one."""
    seen: set[tuple[Statement, date | None, int | None, int | None]] = set()
    for event in _opened(file, shown(name), profile):
        if isinstance(event, Verdict) and event.refusal is None:
            this = (event.statement, event.day, event.opening_vnd, event.closing_vnd)
            if this in seen:
                place = Place(event.line, event.statement.id or event.statement.number or event.statement.account)
                event = replace(event, refusal=StatementTwice(**place.at()))
            seen.add(this)
            if len(seen) > MOST_STATEMENTS:
                raise StatementFileTooMany(file=shown(name), most=MOST_STATEMENTS)
        yield event


def _opened(file: IO[bytes], name: str, profile: Profile | None) -> Iterator[Event | Entries]:
    if file.seek(0, 2) > archive.MOST_BYTES:
        raise StatementFileTooLarge(file=name, most_bytes=archive.MOST_BYTES)
    file.seek(0)
    if not _is_archive(head := file.read(_HEAD)):
        yield from _told(head, octets.pieces(file), name, profile)
        return
    opened, members = archive.open_archive(file, name)
    with opened:
        if any(info.filename == sheet.WORKBOOK for info in members):
            if profile is None:
                raise StatementProfileNeeded(file=name, profiles=names())
            yield from table.read(sheet.rows(opened, name), profile, name)
            return
        # What a Mac packs beside the files is none of the bank's.
        members = [info for info in members if not info.filename.startswith("__MACOSX/")]
        if not members:
            raise StatementFileEmpty(file=name)
        for info in members:
            called = shown(info.filename)
            pieces = archive.unpack(opened, info, name)
            head = next(pieces, b"")
            if _is_archive(head):
                raise StatementZipNested(file=name, member=called)
            yield from _told(head, pieces, f"{name} {called}", profile, f"{called} ")


def _told(
    head: bytes, rest: Iterable[bytes], name: str, profile: Profile | None, inside: str = ""
) -> Iterator[Event | Entries]:
    """The statements of a file whose first bytes tell what it is."""
    if not head:
        raise StatementFileEmpty(file=name)
    pieces = itertools.chain((head,), rest)
    text = head.decode(octets.encoding(head), "ignore").lstrip()
    if text.startswith("<"):
        return camt.read(pieces, name, inside)
    if mt940.BEGINS.match(text):
        return mt940.read(pieces, name, inside)
    if head.startswith(_OTHER):
        raise StatementFormatUnknown(file=name)
    if profile is None:
        raise (
            StatementProfileNeeded(file=name, profiles=names()) if _is_text(head) else StatementFormatUnknown(file=name)
        )
    return table.read(table.Csv(pieces, profile, name), profile, name, inside)


def _is_archive(head: bytes) -> bool:
    return head.startswith((archive.BEGINS, b"PK\x05\x06"))


def _is_text(head: bytes) -> bool:
    return octets.encoding(head) != "utf-8" or all(octet >= 0x20 or octet in b"\t\n\r" for octet in head)
