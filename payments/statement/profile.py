"""The declared layout of a bank's table: which column is what, how it writes days and amounts (`profiles.toml`).

Declared, not guessed: "03/04/2026" and "1.500" are read wrongly without a word by whoever guesses.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from payments.statement import StatementProfileUnknown, shown

Column = Literal[
    "account",
    "amount",
    "balance",
    "counterparty_account",
    "counterparty_name",
    "credit",
    "day",
    "debit",
    "end_to_end_id",
    "ref",
    "text",
    "value_day",
]
Label = Literal["account", "closing", "currency", "number", "opening", "totals"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """See `profiles.toml` for what each means. A closing balance comes from a label, or from the column `balance`."""

    name: str
    columns: Mapping[Column, str]
    labels: Mapping[Label, str]
    last: Label
    date: str
    separator: str = ","
    group: str = ""
    decimal: str = "."
    newest_first: bool = False
    currency: str = ""

    def __post_init__(self) -> None:
        amounts = {"amount", "credit", "debit"} & self.columns.keys()
        if not {"day", "text"} <= self.columns.keys() or amounts not in ({"amount"}, {"credit", "debit"}):
            raise ValueError(f"{self.name}: day, text and either amount or credit and debit must have a column")
        if not ("balance" in self.columns or {"opening", "closing"} <= self.labels.keys()):
            raise ValueError(f"{self.name}: without a column balance there must be labels for opening and closing")
        if self.last not in self.labels or not ({"account"} & (self.columns.keys() | self.labels.keys())):
            raise ValueError(f"{self.name}: there must be an account, and the last label")
        if not (self.currency or "currency" in self.labels):
            raise ValueError(f"{self.name}: there must be a currency")


@cache
def profiles() -> Mapping[str, Profile]:
    """All layouts by name."""
    with Path(__file__).with_name("profiles.toml").open("rb") as file:
        return {name: Profile(name=name, **facts) for name, facts in tomllib.load(file).items()}


def names() -> str:
    return ", ".join(sorted(profiles()))


def profile_of(name: str) -> Profile:
    """Raises StatementProfileUnknown."""
    if name not in profiles():
        raise StatementProfileUnknown(profile=shown(name), profiles=names())
    return profiles()[name]
