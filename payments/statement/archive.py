"""ZIP archives, looked at before anything in them is unpacked: how many files, what they are called, how large they get.

Sizes and names are the archive's own claims; the library unpacks no more of a file than is claimed of it, and checks it.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO

from payments.statement import (
    StatementFileTooLarge,
    StatementZipBomb,
    StatementZipBroken,
    StatementZipEncrypted,
    StatementZipName,
    StatementZipTooMany,
    octets,
    shown,
)

BEGINS = b"PK\x03\x04"
MOST_FILES = 1_000
MOST_DIRECTORY = 1 << 20
MOST_RATIO = 100
"""Statements pack to a tenth or a thirtieth; what is small may pack better."""

ALWAYS = 1 << 20
MOST_BYTES = 2 << 30
"""Of a file, or of all files of an archive unpacked: a million lines of camt.053 are about 1 GB."""

_END = struct.Struct("<4s4H2LH")
_ENCRYPTED = 0x1 | 0x40 | 0x2000


def open_archive(file: IO[bytes], name: str) -> tuple[zipfile.ZipFile, list[zipfile.ZipInfo]]:
    """An archive that may be unpacked, and its files. Raises FileRefused."""
    size = file.seek(0, 2)
    # The directory is bounded before the library reads it whole. Exactly one plain end: no comment, not the large format.
    file.seek(max(0, size - _END.size))
    end = file.read(_END.size)
    if len(end) < _END.size:
        raise StatementZipBroken(file=name, member="1")
    mark, _, _, _, files, directory, _, comment = _END.unpack(end)
    if mark != b"PK\x05\x06" or comment or files == 0xFFFF:
        raise StatementZipBroken(file=name, member=str(files) if mark == b"PK\x05\x06" else "0")
    if files > MOST_FILES or directory > MOST_DIRECTORY:
        raise StatementZipTooMany(file=name, most=MOST_FILES)
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OverflowError) as error:
        raise StatementZipBroken(file=name, member=shown(str(error))) from None
    inside = [info for info in archive.infolist() if not info.is_dir()]
    if len(inside) > MOST_FILES:
        raise StatementZipTooMany(file=name, most=MOST_FILES)
    names = set()
    for info in inside:
        called = shown(info.filename)
        if _outside(info.orig_filename) or info.filename in names:
            raise StatementZipName(file=name, member=called)
        names.add(info.filename)
        if info.flag_bits & _ENCRYPTED:
            raise StatementZipEncrypted(file=name, member=called)
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise StatementZipBroken(file=name, member=called)
        if info.file_size > ALWAYS + MOST_RATIO * info.compress_size:
            raise StatementZipBomb(file=name, member=called, ratio=MOST_RATIO)
    # Files that share their bytes unpack to far more than each of them claims.
    if sum(info.compress_size for info in inside) > size:
        raise StatementZipBroken(file=name, member=shown(inside[0].filename))
    if sum(info.file_size for info in inside) > MOST_BYTES:
        raise StatementFileTooLarge(file=name, most_bytes=MOST_BYTES)
    return archive, inside


def unpack(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> Iterator[bytes]:
    """One file of an archive in pieces. Raises StatementZipBroken."""
    try:
        with archive.open(info) as member:
            yield from octets.pieces(member)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, struct.error) as error:
        raise StatementZipBroken(file=name, member=f"{shown(info.filename)}: {shown(str(error))}") from None


def _outside(path: str) -> bool:
    parts = path.replace("\\", "/").split("/")
    return path.startswith(("/", "\\")) or ".." in parts or ":" in parts[0] or not path.isprintable()
