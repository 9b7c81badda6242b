"""A block of a table's lines at once, column by column: a tenth of what line by line costs, for what most lines look like.

It takes a block as a whole, or nothing of it and changes nothing: then each of its lines is read by itself, and only there
it is said what is wrong. So it knows no refusal, and whatever it is not sure of it leaves.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from functools import lru_cache
from operator import add, methodcaller, ne, sub
from typing import TYPE_CHECKING

from payments.statement import Entries, values
from payments.statement.profile import Column

if TYPE_CHECKING:
    from payments.statement.table import Reading

LINES = 500
Cells = Sequence[str]


def take(reading: Reading, lines: Sequence[str], number: int) -> Entries | None:
    """The entries of these lines of a CSV, the first of which has this number; None if they are not read here."""
    profile, columns = reading.profile, reading.columns
    cells = _columns(lines, profile.separator)
    if cells is None or len(cells) < reading.width:
        return None

    def column(name: Column) -> Cells:
        return cells[columns[name]]

    def texts(name: Column) -> list[str]:
        return _on_one_line(column(name)) if name in columns else [""] * len(lines)

    if not reading.begins_no_label(cells[0]):
        return None
    if "account" in columns and {cell.replace(" ", "").strip() for cell in set(column("account"))} != {reading.account}:
        return None
    booked = reading.days_of(column("day"))
    valued = reading.days_of(column("value_day")) if "value_day" in columns else booked
    amounts_vnd = _amounts(reading, cells)
    balances_vnd = _numbers(column("balance"), profile.group, profile.decimal) if "balance" in columns else ()
    if None in booked or None in valued or amounts_vnd is None or balances_vnd is None:
        return None
    if balances_vnd and not _are_tied(reading, amounts_vnd, balances_vnd):
        return None
    refs, accounts = texts("ref"), texts("counterparty_account")
    if not reading.tally.add_all(refs, amounts_vnd):
        return None
    if balances_vnd:
        reading.balance_vnd = balances_vnd[-1]
        if profile.newest_first:
            reading.balance_vnd = reading.before_vnd = balances_vnd[-1] - amounts_vnd[-1]
        else:
            reading.after_vnd = reading.balance_vnd
    days = [day for day in booked if day]
    booked_days = [day for day, _ in days]
    last_day = max(set(booked_days))
    reading.last_day = max(reading.last_day or last_day, last_day)
    reading.line = number + len(lines) - 1
    return Entries(
        range(number, number + len(lines)),
        refs,
        amounts_vnd,
        booked_days,
        [day[0] for day in valued if day],
        [day[1] for day in days],
        texts("text"),
        texts("counterparty_name"),
        accounts if " " not in "".join(accounts) else [account.replace(" ", "") for account in accounts],
        texts("end_to_end_id"),
    )


def _columns(lines: Sequence[str], separator: str) -> Sequence[Cells] | None:
    """The cells column by column, if every line has as many. Where nothing is quoted a cell ends at the next separator."""
    joined = "".join(lines)
    if '"' not in joined and joined.endswith("\n"):
        separators = set(map(methodcaller("count", separator), lines))
        width = separators.pop() + 1
        if separators:
            return None
        cells = joined.replace("\n", separator).split(separator)
        cells.pop()
        return [cells[n::width] for n in range(width)]
    try:
        rows = list(csv.reader(lines, delimiter=separator, strict=True))
    except csv.Error:
        return None
    if len(rows) != len(lines) or len(set(map(len, rows))) > 1:
        return None
    return list(zip(*rows, strict=True))


def _amounts(reading: Reading, cells: Sequence[Cells]) -> list[int] | None:
    """What each line moved; never 0."""
    profile, columns = reading.profile, reading.columns
    if "amount" in columns:
        found = _numbers(cells[columns["amount"]], profile.group, profile.decimal)
        return found if found and all(found) else None
    sides = [
        _numbers(cells[columns[side]], profile.group, profile.decimal, may_be_empty=True)
        for side in ("credit", "debit")
    ]
    credits_vnd, debits_vnd = sides
    if credits_vnd is None or debits_vnd is None or min(credits_vnd) < 0 or min(debits_vnd) < 0:
        return None
    # Exactly one of the two.
    if not all(map(ne, map(bool, credits_vnd), map(bool, debits_vnd))):
        return None
    return list(map(sub, credits_vnd, debits_vnd))


def _are_tied(reading: Reading, amounts_vnd: Sequence[int], balances_vnd: Sequence[int]) -> bool:
    """Each balance follows from the line before, in the order of time, as far as the block goes and into it."""
    if reading.balance_vnd is None:
        return False
    if reading.profile.newest_first:
        earlier_vnd = [reading.balance_vnd, *map(sub, balances_vnd, amounts_vnd)]
        return earlier_vnd[:-1] == balances_vnd
    return list(map(add, [reading.balance_vnd, *balances_vnd[:-1]], amounts_vnd)) == balances_vnd


def _on_one_line(cells: Cells) -> list[str]:
    """Each cell without blanks around it, and one where there were more. Only a blank is a printable one."""
    if "".join(cells).isalnum():
        return list(cells)
    joined = f"|{'|'.join(cells)}|"
    if joined.isprintable() and "  " not in joined and " |" not in joined and "| " not in joined:
        return list(cells)
    return [" ".join(cell.split()) for cell in cells]


def _numbers(cells: Cells, group: str, decimal: str, *, may_be_empty: bool = False) -> list[int] | None:
    """Whole numbers; None if one of them is written otherwise. Empty is 0 where it may be."""
    joined = "\n".join(cells) + "\n"
    if not _column(group, decimal, may_be_empty).fullmatch(joined):
        return None
    if decimal in joined:
        joined = re.sub(rf"{re.escape(decimal)}0*\n", "\n", joined)
    if group:
        joined = joined.replace(group, "")
    digits = joined.split("\n")
    digits.pop()
    return [int(each) if each else 0 for each in digits] if may_be_empty else list(map(int, digits))


@lru_cache
def _column(group: str, decimal: str, may_be_empty: bool) -> re.Pattern[str]:
    most = values.DIGITS
    grouped = rf"\d{{1,3}}(?:{re.escape(group)}\d{{3}}){{1,{most // 3 - 1}}}|" if group else ""
    number = rf"-?(?:{grouped}\d{{1,{most}}})(?:{re.escape(decimal)}0*)?"
    return re.compile(rf"(?:(?:{number}){'?' if may_be_empty else ''}\n)*", re.ASCII)
