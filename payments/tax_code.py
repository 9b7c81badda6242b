"""A Vietnamese tax code (mã số thuế): read as people type it, believed only if its digits fit together.

Ten digits, the last of which checks the others; a branch adds a dash and three more; a person is known by the twelve digits
of the identity card, which begin with the number of a province.
"""

from __future__ import annotations

import re

from foundation.errors import Refusal

WEIGHTS = (31, 29, 23, 19, 17, 13, 7, 5, 3)
LAST_PROVINCE = 96


class TaxCodeUnreadable(Refusal):
    """That is no tax code: a company's has 10 digits, a branch's 3 more, a person's 12. Please compare the digits."""

    status = 422


def read(typed: str) -> str:
    """`0100109106`, `0100109106-001` or `001099012345`, however spaced. Raises TaxCodeUnreadable."""
    found = re.fullmatch(r"(\d{10})(?:-?(\d{3}))?|(\d{12})", re.sub(r"[\s.]", "", typed), re.ASCII)
    if not found:
        raise TaxCodeUnreadable()
    firm, branch, person = found.groups()
    if person:
        if not 1 <= int(person[:3]) <= LAST_PROVINCE:
            raise TaxCodeUnreadable()
        return person
    if check_digit(firm[:9]) != int(firm[9]) or branch == "000":
        raise TaxCodeUnreadable()
    return f"{firm}-{branch}" if branch else firm


def check_digit(nine: str) -> int | None:
    """The tenth digit behind nine; None where there can be none."""
    rest = 10 - sum(weight * int(digit) for weight, digit in zip(WEIGHTS, nine, strict=True)) % 11
    return rest if rest < 10 else None


def is_persons(code: str) -> bool:
    """Whether it is the number of an identity card."""
    return len(code) == 12


def masked(code: str) -> str:
    """A person's is not for everybody who holds a link: `********2345`. A firm's is public."""
    return f"********{code[-4:]}" if is_persons(code) else code
