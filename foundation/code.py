"""Signed codes: what stands in the QR of a ticket, and the short form beside it that people type.

A code is 30 bytes, 48 base32 characters without a spare bit, so that its upper-case URL fits QR version 4 at level M:

    kind 1 · key generation 1 · place 3 · day 2 · window 2 · product 2 · heads 1 · serial 10 · MAC 8      (big-endian)

The MAC is HMAC-SHA256 over the first 22 bytes, cut to 8, under the key of (generation, environment, place, day).
There is no algorithm field and nothing outside the MAC. A tablet checks the same bytes with the day keys it holds; the
root of a generation never leaves the server. Whoever holds a code may use it: keep it out of logs.
"""

from __future__ import annotations

import base64
import hmac
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from enum import IntEnum
from functools import lru_cache
from random import Random
from typing import Self

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from foundation.check_symbols import ALPHABET, checks_hold, with_checks
from foundation.errors import Refusal

SIGNED_CHARACTERS = 48
SERIAL_BYTES = 10
LONGEST_HOST = 31

_BODY = struct.Struct(">BB3sHHHB10s")
_MAC_BYTES = 8
_DAY_KEY_BYTES = 32
_FIRST_DAY = date(2020, 1, 1)
_MINUTES_OF_A_DAY = 24 * 60
_QUARTERS_OF_A_DAY = 24 * 4
_DIGITS = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", "0123456789ABCDEFGHIJKLMNOPQRSTUV")
_PURPOSE = b"motcham/ticket-code/1"

# Far longer than any code of ours: longer text is refused before it is looked at.
_LONGEST_INPUT = 400
_SCANNED = re.compile(r"(?:https?://[^\s/?#@]{1,255}/t/)?([a-z2-7]{48})", re.IGNORECASE | re.ASCII)
_PUBLIC_URL = re.compile(r"(https?)://([a-z0-9.-]+(?::[0-9]{1,5})?)/?", re.IGNORECASE | re.ASCII)
_SHORT_SYMBOLS = 10
# Every symbol for as many values of a byte; the values beyond would make some of them likelier.
_SYMBOLS = bytes(ord(ALPHABET[value % len(ALPHABET)]) for value in range(256))
_BEYOND = bytes(range(256 - 256 % len(ALPHABET), 256))


class CodeUnreadable(Refusal):
    """This is not a code of ours."""

    status = 422


class CodeForged(Refusal):
    """This code is not genuine."""

    status = 403


class ShortCodeMistyped(Refusal):
    """This short code is mistyped: please compare it with the ticket and type it again."""

    status = 422


class HostTooLong(Refusal):
    """The public host {host} is longer than {longest} characters, so ticket codes would become too dense to scan."""


class PublicUrlUnfit(Refusal):
    """The public address {public_url} must be http or https and a plain host name, with nothing behind it."""


class Kind(IntEnum):
    """What a code lets its holder do."""

    TICKET = 1
    STAY = 2
    LEAVE = 3
    PASS = 4
    TAG = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketCode:
    """What a code says. Tickets, stays and leave codes are made by `ticket`, `stay` and `leave`, which pack the window.

    A pass or a tag has no window (0): it is valid by the synced list alone, until the end of `day`.
    generation 0..255, place 0..2^24-1, day 2020-01-01..2199-06-06, product 0..65535, heads 0..255, serial 10 bytes.
    Raises ValueError for values outside: they are our own mistake, never a visitor's.
    """

    kind: Kind
    generation: int
    place: int
    day: date
    window: int = 0
    product: int
    heads: int
    serial: bytes

    def __post_init__(self) -> None:
        _within("generation", self.generation, 0xFF)
        _within("place", self.place, 0xFFFFFF)
        _within("day", _day_number(self.day), 0xFFFF)
        _within("window", self.window, 0xFFFF)
        _within("product", self.product, 0xFFFF)
        _within("heads", self.heads, 0xFF)
        if len(self.serial) != SERIAL_BYTES:
            raise ValueError(f"a serial has {SERIAL_BYTES} bytes")
        match self.kind:
            case Kind.TICKET:
                _within("from", self.valid_from_quarter, _QUARTERS_OF_A_DAY - 1)
                _within("until", self.valid_until_quarter, 2 * _QUARTERS_OF_A_DAY)
                if self.valid_until_quarter <= self.valid_from_quarter:
                    raise ValueError("a ticket ends after it begins")
            case Kind.STAY:
                _within("minute of entry", self.entry_minute, _MINUTES_OF_A_DAY - 1)
            case Kind.LEAVE:
                _within("leave-until minute", self.leave_until_minute, _MINUTES_OF_A_DAY - 1)
            case Kind.PASS | Kind.TAG:
                _within("window", self.window, 0)

    @classmethod
    def ticket(
        cls,
        *,
        generation: int,
        place: int,
        day: date,
        from_quarter: int,
        until_quarter: int,
        product: int,
        heads: int,
        serial: bytes,
    ) -> Self:
        """A ticket for `day`, from and until in quarter-hours of local time since its midnight.

        from 0..95; until after it and up to 192, so that a night event may end on the next day.
        """
        _within("from", from_quarter, 0xFF)
        _within("until", until_quarter, 0xFF)
        return cls(
            kind=Kind.TICKET,
            generation=generation,
            place=place,
            day=day,
            window=from_quarter << 8 | until_quarter,
            product=product,
            heads=heads,
            serial=serial,
        )

    @classmethod
    def stay(
        cls,
        *,
        generation: int,
        place: int,
        day: date,
        vehicle_class: int,
        entry_minute: int,
        product: int,
        serial: bytes,
    ) -> Self:
        """A vehicle that entered on `day` at `entry_minute` (0..1439, local time); `vehicle_class` is 0..31."""
        _within("vehicle class", vehicle_class, 0x1F)
        _within("minute of entry", entry_minute, _MINUTES_OF_A_DAY - 1)
        return cls(
            kind=Kind.STAY,
            generation=generation,
            place=place,
            day=day,
            window=vehicle_class << 11 | entry_minute,
            product=product,
            heads=1,
            serial=serial,
        )

    @classmethod
    def leave(cls, *, generation: int, place: int, day: date, until_minute: int, product: int, serial: bytes) -> Self:
        """A paid stay, whose `serial` it carries, may leave until `until_minute` (0..1439, local time) of `day`.

        `day` is the day on which the grace time ends, so that paying just before midnight needs no case of its own.
        """
        return cls(
            kind=Kind.LEAVE,
            generation=generation,
            place=place,
            day=day,
            window=until_minute,
            product=product,
            heads=1,
            serial=serial,
        )

    @property
    def valid_from_quarter(self) -> int:
        """Of a ticket: quarter-hours since midnight of its day, 0..95."""
        return self._window_of(Kind.TICKET) >> 8

    @property
    def valid_until_quarter(self) -> int:
        """Of a ticket: quarter-hours since midnight of its day, exclusive, up to 192; over 96 is the next day."""
        return self._window_of(Kind.TICKET) & 0xFF

    @property
    def vehicle_class(self) -> int:
        """Of a stay: 0..31."""
        return self._window_of(Kind.STAY) >> 11

    @property
    def entry_minute(self) -> int:
        """Of a stay: minute of its day, 0..1439."""
        return self._window_of(Kind.STAY) & 0x7FF

    @property
    def leave_until_minute(self) -> int:
        """Of a leave code: the last minute of its day at which the vehicle may leave, 0..1439."""
        return self._window_of(Kind.LEAVE)

    def _window_of(self, kind: Kind) -> int:
        if self.kind is not kind:
            raise ValueError(f"only a {kind.name.lower()} has this, not a {self.kind.name.lower()}")
        return self.window

    def packed(self) -> bytes:
        """The 22 bytes under the MAC."""
        return _BODY.pack(
            self.kind,
            self.generation,
            self.place.to_bytes(3),
            _day_number(self.day),
            self.window,
            self.product,
            self.heads,
            self.serial,
        )

    @classmethod
    def unpacked(cls, body: bytes) -> Self:
        """The code of 22 bytes; ValueError if no code of ours has them."""
        kind, generation, place, day, window, product, heads, serial = _BODY.unpack(body)
        return cls(
            kind=Kind(kind),
            generation=generation,
            place=int.from_bytes(place),
            day=_FIRST_DAY + timedelta(days=day),
            window=window,
            product=product,
            heads=heads,
            serial=serial,
        )


class CodeKeys:
    """Makes and checks the MACs of one environment, from one root key (at least 32 random bytes) per generation."""

    def __init__(self, roots: Mapping[int, bytes], environment: str) -> None:
        if not roots or not environment:
            raise ValueError("codes need a root key and the name of an environment")
        for generation, root in roots.items():
            _within("generation", generation, 0xFF)
            if len(root) < 32:
                raise ValueError("a root key has at least 32 bytes")
        self._roots = dict(roots)
        self._environment = environment.encode()
        # Bounded, because whoever scans garbage chooses the place and the day.
        self._keyed = lru_cache(maxsize=4096)(self._begun_mac)

    @property
    def generation(self) -> int:
        """The newest generation: new codes are signed with it, older ones stay valid while their root is kept."""
        return max(self._roots)

    def sign(self, code: TicketCode) -> str:
        """48 base32 characters. ValueError if there is no root of the code's generation."""
        if code.generation not in self._roots:
            raise ValueError(f"there is no root key of generation {code.generation}")
        body = code.packed()
        return base64.b32encode(body + self._mac(body)).decode()

    def verify(self, text: str) -> TicketCode:
        """The code in what was scanned or typed (see `read`), if its MAC is genuine.

        Whether it is of the right kind, place and time, and whether it is used, is for the caller to decide.
        Raises CodeUnreadable; CodeForged for a wrong MAC, an unknown generation or an unknown kind alike.
        """
        # The same as base64.b32decode, which takes five times as long: 48 digits of 5 bits are 30 bytes.
        signed = int(read(text).translate(_DIGITS), 32).to_bytes(_BODY.size + _MAC_BYTES)
        body, mac = signed[: _BODY.size], signed[_BODY.size :]
        if body[1] not in self._roots or not hmac.compare_digest(mac, self._mac(body)):
            raise CodeForged
        try:
            return TicketCode.unpacked(body)
        except ValueError:
            # Only the holder of a stolen day key can come here: a right MAC over fields that we never write.
            raise CodeForged from None

    def day_key(self, generation: int, place: int, day: date) -> bytes:
        """The 32-byte HMAC-SHA256 key of a place's codes of one day, for a tablet that works there.

        The tablet compares the first 8 bytes of the HMAC over the first 22 bytes of a code with its last 8.
        """
        return self._derived_key(generation, place.to_bytes(3), _day_number(day).to_bytes(2))

    def _mac(self, body: bytes) -> bytes:
        mac = self._keyed(body[1], body[2:5], body[5:7]).copy()
        mac.update(body)
        return mac.finalize()[:_MAC_BYTES]

    def _begun_mac(self, generation: int, place: bytes, day: bytes) -> HMAC:
        return HMAC(self._derived_key(generation, place, day), SHA256())

    def _derived_key(self, generation: int, place: bytes, day: bytes) -> bytes:
        # The environment is the only part without a fixed length, so it stands last.
        info = b"\0".join((_PURPOSE, bytes([generation]) + place + day + self._environment))
        return HKDF(SHA256(), length=_DAY_KEY_BYTES, salt=None, info=info).derive(self._roots[generation])


def as_url(public_url: str, signed: str) -> str:
    """The address that stands in the QR of a signed code: `HTTPS://HOST/T/<48 characters>`, all upper case.

    Upper case keeps the QR in its alphanumeric mode; scheme and host do not mind.
    Raises HostTooLong if host (and port) are over 31 characters, PublicUrlUnfit if there is more than scheme and host.
    """
    return _front_of(public_url) + read(signed)


@lru_cache(maxsize=16)
def _front_of(public_url: str) -> str:
    parts = _PUBLIC_URL.fullmatch(public_url)
    if parts is None:
        raise PublicUrlUnfit(public_url=public_url)
    scheme, host = parts.groups()
    if len(host) > LONGEST_HOST:
        raise HostTooLong(host=host, longest=LONGEST_HOST)
    return f"{scheme.upper()}://{host.upper()}/T/"


def read(text: str) -> str:
    """The 48 characters of a code in whatever a scanner or a person gives: its URL or itself, in any case.

    Nothing is checked but the form; the host in front does not matter, since the MAC decides. Raises CodeUnreadable.
    """
    if len(text) > _LONGEST_INPUT:
        raise CodeUnreadable
    found = _SCANNED.fullmatch(text.strip(" \t\r\n"))
    if found is None:
        raise CodeUnreadable
    return found[1].upper()


def draw_short(random: Random) -> str:
    """A new short code: nine symbols drawn from `random` (use `SystemRandom`) and a check symbol, without grouping."""
    while True:
        # One draw for all, with a few to spare: each one of `SystemRandom` is a call of the kernel.
        symbols = random.randbytes(16).translate(_SYMBOLS, delete=_BEYOND).decode()[: _SHORT_SYMBOLS - 1]
        short = with_checks(symbols, 1)
        if short is not None and len(short) == _SHORT_SYMBOLS:
            return short


def read_short(text: str) -> str:
    """The ten symbols of a short code as a person types it, with spaces, dashes and small letters.

    Raises ShortCodeMistyped for a wrong length, a symbol outside the alphabet or a wrong check symbol. Every single
    wrong symbol and every two swapped ones are found.
    """
    symbols = re.sub(r"[\s\-\u2010-\u2015]", "", text[:_LONGEST_INPUT])
    if len(symbols) != _SHORT_SYMBOLS or not symbols.isascii() or not checks_hold(symbols.upper(), 1):
        raise ShortCodeMistyped
    return symbols.upper()


def sought(text: str) -> tuple[bytes | None, str | None, str | None]:
    """What somebody who searches books may have typed or scanned of a code: (serial, short form, the short form's last half).

    Nothing is decided by it, so the code need not be genuine.
    """
    try:
        body = base64.b32decode(read(text))[: _BODY.size]
        return TicketCode.unpacked(body).serial, None, None
    except (CodeUnreadable, ValueError):
        pass
    try:
        return None, read_short(text), None
    except ShortCodeMistyped:
        half = text.strip().upper()
        return None, None, half if len(half) == _SHORT_SYMBOLS // 2 and set(half) <= set(ALPHABET) else None


def format_short(short: str) -> str:
    """A short code grouped for reading: `ABCDE FGHJK`."""
    return f"{short[:5]} {short[5:]}"


def _day_number(day: date) -> int:
    return (day - _FIRST_DAY).days


def _within(name: str, value: int, most: int) -> None:
    if not 0 <= value <= most:
        raise ValueError(f"{name} must be 0..{most}, not {value}")
