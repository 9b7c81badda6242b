"""Vietnamese and English: which one the reader wants, and every sentence, sum and moment in it."""

from __future__ import annotations

import tomllib
from datetime import datetime, timedelta, timezone
from functools import cache
from pathlib import Path

from fastapi import Request

from mock_bank.refusal import Refusal

LANGUAGES = ("vi", "en")
HANOI = timezone(timedelta(hours=7))  # no summer time since 1975


@cache
def words(language: str) -> dict[str, dict[str, str]]:
    """All sentences of one language, by section and name."""
    return tomllib.loads((Path(__file__).parent / "words" / f"{language}.toml").read_text(encoding="utf-8"))


def chosen(request: Request) -> str:
    """`?lang=` or `vnp_Locale`, then the cookie, then what the browser asks for, then Vietnamese."""
    asked = request.query_params
    # A seller who sends a payer here says which language he reads.
    wished = [asked.get("lang", ""), {"vn": "vi"}.get(asked.get("vnp_Locale", ""), asked.get("vnp_Locale", ""))]
    wished.append(request.cookies.get("lang", ""))
    wished += [tag.split(";")[0].strip()[:2].lower() for tag in request.headers.get("accept-language", "").split(",")]
    return next((tag for tag in wished if tag in LANGUAGES), "vi")


def say(language: str, name: str, **facts: object) -> str:
    """One sentence of the pages."""
    return words(language)["pages"][name].format(**facts)


def refusal(language: str, refused: Refusal) -> str:
    """Why not, in the reader's language; the English sentence is the refusal's own docstring."""
    if language == "en":
        return refused.sentence()
    return words(language)["refusals"][refused.code].format(**refused.facts)


def money(language: str, amount_vnd: int) -> str:
    """70000 is "70.000 ₫" in Vietnamese and "70,000 ₫" in English."""
    grouped = f"{amount_vnd:,}"
    return (grouped.replace(",", ".") if language == "vi" else grouped) + " ₫"


def moment(language: str, at: datetime) -> str:
    """Time and date in Hanoi, to the second."""
    local = at.astimezone(HANOI)
    return local.strftime("%H:%M:%S · %d/%m/%Y") if language == "vi" else local.strftime("%H:%M:%S · %d %b %Y")
