"""The plate of a vehicle: many spellings, one compact key; what it may be; how much of it is shown.

Formats are those of Circular 79/2024/TT-BCA and the older ones, which stay valid for ever. Two things follow from them.
A compact plate is not unique: 30A12345 is a car (30A-123.45) and an old motorbike (30-A1 2345), so the key of a stay is
(compact, vehicle class). And a plate that fits no format is *unknown*, never refused: a refused plate is a lost
customer, and foreign cars have plates of their own. A vehicle without any plate is not the business of this room.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import NamedTuple

from foundation.errors import Refusal

COMPACT_MAX = 20
TYPED_MAX = 80
"""A plate with all its spaces and dots stays far below; only something else is longer."""


class VehicleClass(IntEnum):
    """What stands in the lot. The number goes into the five bits of a stay's code and never changes its meaning."""

    BICYCLE = 1  # with and without a motor, without a plate
    MOTORBIKE = 2  # petrol, electric, moped
    CAR = 3  # up to 9 seats

    @property
    def word(self) -> str:
        """The stable name in JSON, in facts and in statistics: "bicycle", "motorbike", "car"."""
        return self.name.lower()

    @classmethod
    def of(cls, word: str) -> VehicleClass:
        """The class of that name. Raises UnknownVehicleClass."""
        vehicle_class = _BY_WORD.get(word)
        if vehicle_class is None:
            raise UnknownVehicleClass(name=word)
        return vehicle_class


_BY_WORD = {vehicle_class.word: vehicle_class for vehicle_class in VehicleClass}


class Kind(StrEnum):
    """A format a plate can have."""

    DIPLOMATIC = "diplomatic"
    E_MOTORBIKE = "e_motorbike"
    SPECIAL = "special"
    MOTORBIKE = "motorbike"  # two letters: since 2023, and mopeds before
    MOTORBIKE_OLD = "motorbike_old"  # a letter and a digit
    CAR = "car"
    MILITARY = "military"
    TEMPORARY = "temporary"


class Reading(NamedTuple):
    """One way to understand a compact plate, and how it is then written on the vehicle."""

    kind: Kind
    display: str


@dataclass(frozen=True)
class Plate:
    """A plate as read: its key, everything it can be (nothing: unknown), and what the writer may have meant instead.

    `suggestions` are compact plates to offer to a person. They are never applied silently: the plate as typed may
    belong to somebody else.
    """

    compact: str
    readings: tuple[Reading, ...]
    suggestions: tuple[str, ...]

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """All formats the plate fits, the commonest first; empty means unknown."""
        return tuple(dict.fromkeys(reading.kind for reading in self.readings))

    @property
    def displays(self) -> tuple[str, ...]:
        """All ways to write it; the compact key itself if it is unknown."""
        return tuple(dict.fromkeys(reading.display for reading in self.readings)) or (self.compact,)

    def written(self, vehicle_class: VehicleClass | None) -> str:
        """The plate as written on a vehicle of this class: 30A-123.45 on a car, 30-A1 2345 on a motorbike."""
        fitting = [reading for reading in self.readings if vehicle_class in _CLASSES[reading.kind]]
        return next((reading.display for reading in fitting or self.readings), self.compact)


class PlateEmpty(Refusal):
    """Type the plate, or choose "no plate"."""

    status = 422


class PlateTooLong(Refusal):
    """A plate has at most 20 letters and digits."""

    status = 422


class UnknownVehicleClass(Refusal):
    """There is no vehicle class named {name}."""

    status = 422


def normalise(text: str) -> str:
    """The compact key of a plate in any spelling: letters and digits only, upper case; idempotent, never raises.

    Full-width forms of East Asian keyboards become ASCII. Ð (U+00D0) becomes Đ, which it cannot be told from; Đ stays
    Đ and never becomes D. All other letters and accents stay as they are, so that a Cyrillic А is not taken for a
    Latin A, and the plate is unknown.
    """
    if text.isascii():
        return "".join(filter(str.isalnum, text)).upper()
    # Dropping a zero-width character can bring a letter and its accent together, so one pass is not always enough.
    while (folded := _fold(text)) != text:
        text = folded
    return text


def read(text: str) -> Plate:
    """What a plate in any spelling is. Raises PlateEmpty and PlateTooLong, and nothing else."""
    if len(text) > TYPED_MAX:
        raise PlateTooLong()
    compact = normalise(text)
    if not compact:
        raise PlateEmpty()
    if len(compact) > COMPACT_MAX:
        raise PlateTooLong()
    return Plate(compact=compact, readings=tuple(_readings(compact)), suggestions=tuple(_suggestions(compact)))


def fits(plate: Plate, vehicle_class: VehicleClass) -> bool:
    """Whether a vehicle of this class can carry the plate. False is a reason to warn, never to refuse."""
    return not plate.readings or any(vehicle_class in _CLASSES[kind] for kind in plate.kinds)


def display(compact: str, vehicle_class: VehicleClass | None = None) -> str:
    """A compact plate as written on a vehicle of this class."""
    return Plate(compact, tuple(_readings(compact)), ()).written(vehicle_class)


def mask(compact: str, vehicle_class: VehicleClass | None = None) -> str:
    """The plate for screens and exports: the two digits before the last two are hidden (30A-1**.45).

    Of an unknown plate the two characters before the last two are hidden; of a very short one, everything.
    """
    if not any(_readings(compact)):
        return compact[:-4] + "*" * len(compact[-4:-2]) + compact[-2:] if len(compact) > 2 else "*" * len(compact)
    shown = list(display(compact, vehicle_class))
    digits = [place for place, character in enumerate(shown) if character.isdigit()]
    for place in digits[-4:-2]:
        shown[place] = "*"
    return "".join(shown)


def tail(compact: str) -> str:
    """The last four characters: what a visitor types and an attendant looks up."""
    return compact[-4:]


def look_alike_key(compact: str) -> str:
    """Equal for plates that a tired eye or a camera confuses (O/Q/0, I/1, B/8, S/5, Z/2).

    For search only: it finds candidates for a person to choose from and is never the key of a stay.
    """
    return compact.translate(_LOOK_ALIKE)


_LOOK_ALIKE = str.maketrans("OQIBSZ", "001852")
_INVISIBLE = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")


def _fold(text: str) -> str:
    text = "".join(map(_upper, unicodedata.normalize("NFKC", text))).replace("\u00d0", "Đ")
    text = _INVISIBLE.sub("", unicodedata.normalize("NFKC", text))
    return "".join(character for character in text if unicodedata.category(character)[0] in "LNM")


def _upper(character: str) -> str:
    # ß and ı have upper cases in ASCII; letting them through would make two plates one.
    upper = character.upper()
    return character if upper.isascii() and not character.isascii() else upper


_PROVINCE = r"(?P<province>[1-9][0-9])"
_FIRST, _SECOND = "[A-HK-NPS-VX-Z]", "[A-FHK-NPR-VX-Z]"
_NUMBER = r"(?P<number>[0-9]{4,5})"

# All that match count; the first is how the plate is written while the vehicle class is unknown, so the commoner stands
# first. [0-9] because \d also matches digits of other scripts.
_FORMATS: tuple[tuple[Kind, re.Pattern[str], str], ...] = tuple(
    (kind, re.compile(pattern), written)
    for kind, pattern, written in (
        (
            Kind.DIPLOMATIC,
            _PROVINCE + r"(?P<country>[0-9]{3})(?P<series>NG|QT|CV|NN)(?P<last>[0-9]{2})",
            "{province}-{country}-{series}-{last}",
        ),
        (
            Kind.DIPLOMATIC,
            _PROVINCE + r"(?P<series>NG|QT|CV|NN)(?P<country>[0-9]{3})(?P<last>[0-9]{2})",
            "{province}-{series} {country}-{last}",
        ),
        (Kind.E_MOTORBIKE, _PROVINCE + r"(?P<series>MĐ[1-9]?)(?P<number>[0-9]{5})", "{province}-{series} {number}"),
        (Kind.SPECIAL, _PROVINCE + r"(?P<series>LD|DA|KT|HC|TĐ|MK|CD|RM|R)" + _NUMBER, "{province}{series}-{number}"),
        (Kind.MOTORBIKE, _PROVINCE + rf"(?P<series>{_FIRST}{_SECOND})" + _NUMBER, "{province}-{series} {number}"),
        (Kind.CAR, _PROVINCE + rf"(?P<series>{_FIRST})" + _NUMBER, "{province}{series}-{number}"),
        (Kind.MOTORBIKE_OLD, _PROVINCE + rf"(?P<series>{_FIRST}[1-9])" + _NUMBER, "{province}-{series} {number}"),
        (Kind.MILITARY, r"(?P<series>[A-Z]{2})(?P<country>[0-9]{2})(?P<last>[0-9]{2})", "{series}-{country}-{last}"),
        (Kind.TEMPORARY, "T" + _PROVINCE + r"(?P<number>[0-9]{5})", "T{province}-{number}"),
        (Kind.TEMPORARY, _PROVINCE + r"(?P<number>[0-9]{5})", "{province}-{number}"),
    )
)
_UNUSED_PROVINCES = frozenset({"10", "13", "42", "44", "45", "46", "87", "91", "96"})

# Since 2025 letters tell nothing about a car, and most special series are issued for both.
_EITHER = frozenset({VehicleClass.MOTORBIKE, VehicleClass.CAR})
_CLASSES: dict[Kind, frozenset[VehicleClass]] = {
    Kind.DIPLOMATIC: _EITHER,
    Kind.E_MOTORBIKE: frozenset({VehicleClass.MOTORBIKE}),
    Kind.SPECIAL: _EITHER,
    Kind.MOTORBIKE: frozenset({VehicleClass.MOTORBIKE}),
    Kind.MOTORBIKE_OLD: frozenset({VehicleClass.MOTORBIKE}),
    Kind.CAR: frozenset({VehicleClass.CAR}),
    Kind.MILITARY: _EITHER,
    Kind.TEMPORARY: _EITHER,
}


def _readings(compact: str) -> Iterator[Reading]:
    for kind, pattern, written in _FORMATS:
        match = pattern.fullmatch(compact)
        if match is None:
            continue
        parts = match.groupdict()
        if parts.get("province") in _UNUSED_PROVINCES:
            continue
        if len(parts.get("number", "")) == 5:
            parts["number"] = f"{parts['number'][:3]}.{parts['number'][3:]}"
        yield Reading(kind=kind, display=written.format(**parts))


# A Vietnamese keyboard (Telex) turns AA into Â, AS into Á and DD into Đ while a plate is typed.
_TELEX = {"\u0301": "S", "\u0300": "F", "\u0309": "R", "\u0303": "X"}


def _suggestions(compact: str) -> Iterator[str]:
    guesses = (
        compact.replace("MD", "MĐ", 1),
        compact.replace("TD", "TĐ", 1),
        compact.replace("Đ", "DD", 1),
        _keys_pressed(compact),
    )
    for guess in dict.fromkeys(guesses):
        if guess != compact and any(_readings(guess)):
            yield guess


def _keys_pressed(compact: str) -> str:
    if compact.isascii():
        return compact
    keys = ""
    for character in unicodedata.normalize("NFD", compact):
        keys += keys[-1:] if character == "\u0302" else _TELEX.get(character, character)
    return keys
