"""Check symbols over GF(31): what makes a code that people type, or banks copy, safe against slips.

The alphabet has 30 symbols: the digits and capital letters without 0 1 I L O U, which are mistaken for one another.
They stand for the values 0 to 29 of the field of 31 elements; the value 30 has no symbol, so a draw that would need it
is thrown away. The symbols are read as the coefficients of a polynomial, highest first, that is zero at 3 (one check
symbol) or at 3 and 9 (two). 3 generates the multiplicative group of the field, so in up to 30 symbols every place has a
weight of its own: one check symbol finds every single substitution and every swap of two symbols; with two, any two
codes differ in at least three places (a Reed-Solomon code).
"""

from __future__ import annotations

from typing import Literal

ALPHABET = "23456789ABCDEFGHJKMNPQRSTVWXYZ"

_FIELD = 31
_VALUES = {symbol: value for value, symbol in enumerate(ALPHABET)}
_POINTS = (3, 9)
# x - 3, and (x - 3)(x - 9) = x² - 12x + 27: what their leading one leaves behind when it is divided away.
_REMAINDERS = {1: (3, 0), 2: (12, -27)}
_LONGEST = 30


def with_checks(symbols: str, count: Literal[1, 2]) -> str | None:
    """`symbols` with `count` check symbols behind; None where a check would have the value that has no symbol."""
    if len(symbols) + count > _LONGEST:
        raise ValueError(f"beyond {_LONGEST} symbols two places would share a weight")
    of_first, of_second = _REMAINDERS[count]
    first = second = 0
    for symbol in symbols:
        lead = _VALUES[symbol] + first
        first, second = (second + lead * of_first) % _FIELD, lead * of_second % _FIELD
    checks = [-value % _FIELD for value in (first, second)[:count]]
    if len(ALPHABET) in checks:
        return None
    return symbols + "".join(ALPHABET[value] for value in checks)


def checks_hold(symbols: str, count: Literal[1, 2]) -> bool:
    """Whether `symbols`, check symbols included, are all of the alphabet and their last `count` are right."""
    if not count < len(symbols) <= _LONGEST or not _VALUES.keys() >= set(symbols):
        return False
    for point in _POINTS[:count]:
        value_there = 0
        for symbol in symbols:
            value_there = (value_there * point + _VALUES[symbol]) % _FIELD
        if value_there:
            return False
    return True
