"""How finance's pages say a code, and how long something has waited."""

from __future__ import annotations

from datetime import datetime

from foundation import texts


def word(language: str, area: str, code: str) -> str:
    """The word for a code of a service, a means, a channel, a reason; the code itself where nobody gave it a word."""
    return texts.catalogue(language).get(f"finance.{area}.{code}", code)


def age(language: str, now: datetime, since: datetime) -> str:
    """`3 min`, `2 h`, `4 days`."""
    minutes = max(int((now - since).total_seconds()) // 60, 0)
    if minutes < 60:
        return texts.text(language, "finance.age.minutes", n=minutes)
    if minutes < 48 * 60:
        return texts.text(language, "finance.age.hours", n=minutes // 60)
    return texts.text(language, "finance.age.days", n=minutes // (24 * 60))
