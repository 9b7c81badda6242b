"""Order references: the twelve characters by which a bank transfer is known again.

`MC`, eight random symbols and two check symbols over GF(31) (`foundation.check_symbols`): any two references differ in
at least three places, so no slip of one or two characters leads to another order. The alphabet has no 0 O 1 I L U; a
look-alike is never guessed. Banks change the case, drop or insert separators, and glue their own text on both sides, so
a reference is found by searching, not by comparing.
"""

from __future__ import annotations

import re
import unicodedata
from random import Random
from typing import Literal

from foundation.check_symbols import ALPHABET, checks_hold, with_checks

PREFIX = "MC"
LENGTH = 12
LONGEST_TEXT = 1000

_RANDOM_SYMBOLS = 8
_CHECK_SYMBOLS: Literal[2] = 2
_MENDED_MAX = 5
_LOOKS_LIKE = re.compile(f"(?=({PREFIX}[0-9A-Z]{{{LENGTH - len(PREFIX)}}}))")
# Looks ahead, so that a candidate that fails does not hide one that begins inside it.
_CANDIDATE = re.compile(f"(?=({PREFIX}[{ALPHABET}]{{{LENGTH - len(PREFIX)}}}))")


def draw(random: Random) -> str:
    """A new reference from `random` (use `SystemRandom`); one of 6 x 10^11, unique only once it is stored as such."""
    while True:
        reference = with_checks(PREFIX + "".join(random.choices(ALPHABET, k=_RANDOM_SYMBOLS)), _CHECK_SYMBOLS)
        if reference is not None and _stands_alone(reference):
            return reference


def is_reference(text: str) -> bool:
    """Whether `text` is exactly a reference as `draw` makes it."""
    return len(text) == LENGTH and text.startswith(PREFIX) and checks_hold(text, _CHECK_SYMBOLS) and _stands_alone(text)


def find(text: str) -> list[str]:
    """The references in the text of a bank, each once, in order of appearance.

    Case, marks on letters, and whatever is no letter or digit do not count. Only the first 1000 characters are read.
    More than one is ambiguous, and for the caller to decide.
    """
    candidates = (match[1] for match in _CANDIDATE.finditer(_bare(text[:LONGEST_TEXT])))
    return list(dict.fromkeys(candidate for candidate in candidates if is_reference(candidate)))


def mend(text: str) -> list[str]:
    """References that a text may have meant: those that differ in one character from something that looks like one.

    For a person to choose from, never to be applied: one slip of a payer's finger, or a look-alike that a bank's screen
    made of it (0 for Q, 1 for 7). Two references differ in at least three places, so a slip has one origin at most.
    """
    likes = (match[1] for match in _LOOKS_LIKE.finditer(_bare(text[:LONGEST_TEXT])))
    meant = [
        candidate
        for like in likes
        for place in range(len(PREFIX), LENGTH)
        for symbol in ALPHABET
        if is_reference(candidate := like[:place] + symbol + like[place + 1 :]) and candidate != like
    ]
    return list(dict.fromkeys(meant))[:_MENDED_MAX]


def _stands_alone(reference: str) -> bool:
    # Without the prefix inside, or half of it at the end, two references can never overlap in one text.
    return PREFIX not in reference[1:] and not reference.endswith(PREFIX[0])


def _bare(text: str) -> str:
    # Canonical decomposition only: compatibility forms such as ² or ① are other characters and must not become digits.
    marked = unicodedata.normalize("NFD", text).replace("Đ", "D").replace("đ", "d")
    plain = (character for character in marked if character.isalnum())
    # Only ASCII letters are raised: the long s and the dotless i would become S and I.
    return "".join(character.upper() if character.isascii() else character for character in plain)
