"""A statement file as frames for whoever stores it, read in a process of its own: what a file can do to its reader, a crash
or an endless calculation, it does to that process alone.

A frame is one letter, its length in four bytes, and its body. Of each statement: `S` what it is (JSON), then `L` the next
500 lines as rows of PostgreSQL's COPY and `T` what is sensitive in them (JSON, to be sealed as one), then `V` its verdict.
`E`: nothing of this file; `.`: the end. The key (at most 64 bytes) makes a line's identity, which tells the same line in
another file, and nothing to whoever does not have it.
"""

from __future__ import annotations

import json
import resource
import signal
import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import date
from hashlib import blake2b
from pathlib import Path
from typing import IO, Any

from foundation.errors import Refusal
from payments.statement import Entries, Entry, Statement, Verdict, reader
from payments.statement.profile import profile_of

BLOCK = 500
"""Lines whose texts are sealed together."""
COLUMNS = (
    *("position", "bank_ref", "part", "amount_vnd", "booked_day", "value_day", "is_reversal", "identity"),
    "end_to_end_id",
)
_DAY_ZERO = date(2000, 1, 1).toordinal()
"""Days travel as PostgreSQL counts them: reading their letters takes it longer than the rest of a line."""
_COPIED = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


COMMAND = """
import sys, types
door = sys.modules["payments"] = types.ModuleType("payments")
door.__path__ = [sys.argv[1]]
from payments.statement import rows
rows.main(sys.argv[2:], sys.stdin.buffer.read(), sys.stdout.buffer)
"""
"""What a Python runs to read a file. The door of payments stays shut: it opens the whole house, which takes a second.
Arguments: the folder of payments, the file, its name, its profile or nothing, seconds, megabytes; standard input: the key."""


def main(arguments: list[str], key: bytes, out: IO[bytes]) -> None:
    path, name, profile, seconds, megabytes = arguments
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # whoever wanted it is gone: so is this, without a word
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds), int(seconds)))
    resource.setrlimit(resource.RLIMIT_AS, (int(megabytes) << 20, int(megabytes) << 20))
    try:
        with Path(path).open("rb") as file:
            for letter, body in frames(file, name, profile, key):
                _write(out, letter, body)
    except Refusal as refusal:
        _write(out, "E", json.dumps(refused(refusal)).encode())
    _write(out, ".", b"")


def frames(file: IO[bytes], name: str, profile: str, key: bytes) -> Iterator[tuple[str, bytes]]:
    rows: list[str] = []
    texts: list[tuple[str, ...]] = []
    account, position, twins = "", 0, Counter[bytes]()
    for event in reader.read_blocks(file, name, profile_of(profile) if profile else None):
        match event:
            case Entry():
                rows.append(row(event, position, account, key, twins))
                texts.append(sensitive(event))
                position += 1
                if len(rows) == BLOCK:
                    yield from _block(rows, texts)
            case Entries():
                rows += together(event, position)
                texts += zip(event.text, event.counterparty_name, event.counterparty_account, strict=True)
                position += len(event.line)
                while len(rows) >= BLOCK:
                    yield from _block(rows, texts)
            case Statement():
                account, position, twins = event.account, 0, Counter()
                yield "S", json.dumps(asdict(event), default=str).encode()
            case Verdict():
                yield from _block(rows, texts)
                yield "V", json.dumps(told(event), default=str).encode()


def row(entry: Entry, position: int, account: str, key: bytes, twins: Counter[bytes]) -> str:
    """The entry as COPY takes it. With a reference it is known by that; else its content is its identity, and which of its
    twins it is."""
    identity = "\\N"
    if not entry.bank_ref:
        content = f"{account}||{entry.part}|{entry.amount_vnd}" + "|".join(
            ("", str(entry.value_day), *sensitive(entry))
        )
        digest = blake2b(content.encode(), digest_size=16, key=key).digest()
        twins[digest] += 1
        if twins[digest] > 1:
            digest = blake2b(f"{content}|{twins[digest]}".encode(), digest_size=16, key=key).digest()
        identity = digest.hex()
    return (
        f"{position}\t{_copied(entry.bank_ref)}\t{entry.part}\t{entry.amount_vnd}\t{_counted(entry.booked_day)}"
        f"\t{_counted(entry.value_day)}\t{'t' if entry.is_reversal else 'f'}\t{identity}\t{_copied(entry.end_to_end_id)}\n"
    )


def together(entries: Entries, position: int) -> list[str]:
    """The rows of entries that all have a reference, as `row` makes them."""
    days = {day: _counted(day) for day in {*entries.booked_day, *entries.value_day}}
    columns = (_copied_all(entries.bank_ref), entries.amount_vnd, entries.booked_day, entries.value_day)
    return [
        f"{n}\t{ref}\t0\t{amount_vnd}\t{days[booked]}\t{days[valued]}\tf\t\\N\t{end_to_end}\n"
        for n, ref, amount_vnd, booked, valued, end_to_end in zip(
            range(position, position + len(entries.line)), *columns, _copied_all(entries.end_to_end_id), strict=True
        )
    ]


def _counted(day: date) -> int:
    return day.toordinal() - _DAY_ZERO


def _copied_all(texts: Sequence[str]) -> Sequence[str]:
    """Nothing in them that COPY reads as anything else, or each as it takes it."""
    joined = "".join(texts)
    return texts if not joined or joined.isalnum() else list(map(_copied, texts))


def _copied(text: str) -> str:
    return text if text.isalnum() else text.translate(_COPIED)


def sensitive(entry: Entry) -> tuple[str, ...]:
    """What is kept sealed: text, the counterparty's name and account."""
    return (entry.text, entry.counterparty_name, entry.counterparty_account)


def told(verdict: Verdict) -> dict[str, Any]:
    """A verdict as it travels; `why`: the code of its refusal and its facts."""
    return {
        "statement": asdict(verdict.statement),
        "day": verdict.day,
        "opening_vnd": verdict.opening_vnd,
        "closing_vnd": verdict.closing_vnd,
        "credits": verdict.credits,
        "credits_vnd": verdict.credits_vnd,
        "debits": verdict.debits,
        "debits_vnd": verdict.debits_vnd,
        "remarks": [asdict(remark) for remark in verdict.remarks],
        "why": verdict.refusal and refused(verdict.refusal),
    }


def refused(refusal: Refusal) -> dict[str, Any]:
    return {"code": refusal.code, "facts": refusal.told}


def _block(rows: list[str], texts: list[tuple[str, ...]]) -> Iterator[tuple[str, bytes]]:
    if rows:
        yield "L", "".join(rows[:BLOCK]).encode()
        yield "T", json.dumps(texts[:BLOCK], ensure_ascii=False, separators=(",", ":")).encode()
        del rows[:BLOCK], texts[:BLOCK]


def _write(out: IO[bytes], letter: str, body: bytes) -> None:
    out.write(letter.encode() + struct.pack(">I", len(body)) + body)
