"""Money: integer VND. A charge is 1 … 499,999,999 (one bank transfer); a ledger transfer at most 500 bn."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

CHARGE_MAX_VND = 499_999_999
TRANSFER_MAX_VND = 500_000_000_000

# The shapes' type of an amount: an integer and nothing else (no "1", 1.0, true, 1e3).
Vnd = Annotated[int, Field(strict=True, ge=1, le=CHARGE_MAX_VND, description="amount in VND", examples=[70_000])]


def format_vnd(amount_vnd: int, language: str = "vi") -> str:
    """`70.000 ₫` in Vietnamese, `70,000 ₫` elsewhere; a no-break space keeps amount and sign on one line."""
    return f"{grouped(amount_vnd, language)}\N{NO-BREAK SPACE}₫"


def grouped(number: int, language: str = "vi") -> str:
    """`70.000` in Vietnamese, `70,000` elsewhere."""
    return f"{number:,}".replace(",", ".") if language == "vi" else f"{number:,}"
