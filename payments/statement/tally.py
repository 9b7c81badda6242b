"""The tally of one statement while it is read: what its entries come to, and in the end whether they tie its balances."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from itertools import repeat

from payments.statement import (
    Entry,
    Place,
    Remark,
    RemarkCode,
    Statement,
    StatementBalanceMissing,
    StatementEntryTwice,
    StatementFieldUnreadable,
    StatementNotTied,
    StatementRefused,
    StatementTooManyEntries,
    Verdict,
    shown,
)

MOST_ENTRIES = 2_000_000
LONGEST_REF = 64
"""ISO 20022 allows 35 characters, SWIFT 16."""


class Tally:
    """`refusal` is the first that was found; what comes after it is no longer looked at."""

    def __init__(self) -> None:
        self.statement = Statement("", "")
        self.begun = False
        self.refusal: StatementRefused | None = None
        self.credits = self.credits_vnd = self.debits = self.debits_vnd = 0
        self._seen: set[int] = set()
        self._remarks: dict[RemarkCode, Remark] = {}

    @property
    def sum_vnd(self) -> int:
        return self.credits_vnd - self.debits_vnd

    def add(self, entry: Entry, place: Place) -> Entry:
        """Counts an entry that is given out. Raises StatementRefused for one too many, or one that was there before."""
        if len(entry.bank_ref) > LONGEST_REF:
            raise StatementFieldUnreadable(**place.at(), text=shown(entry.bank_ref))
        if entry.amount_vnd > 0:
            self.credits += 1
            self.credits_vnd += entry.amount_vnd
        else:
            self.debits += 1
            self.debits_vnd -= entry.amount_vnd
        if self.credits + self.debits > MOST_ENTRIES:
            raise StatementTooManyEntries(**place.at(), most=MOST_ENTRIES)
        if not entry.bank_ref:
            self.remark("no_bank_ref", place)
            return entry
        # Of a million lines only what identifies them is kept, as a number: 64 bits of chance are enough for that.
        line = hash((entry.bank_ref, entry.part, entry.amount_vnd))
        if line in self._seen:
            raise StatementEntryTwice(**place.at(), bank_ref=entry.bank_ref)
        self._seen.add(line)
        return entry

    def add_all(self, refs: Sequence[str], amounts_vnd: Sequence[int]) -> bool:
        """Counts whole entries that are given out together, if `add` would take each without a word; else none."""
        if not all(refs) or max(map(len, refs)) > LONGEST_REF:
            return False
        if self.credits + self.debits + len(refs) > MOST_ENTRIES:
            return False
        lines = set(map(hash, zip(refs, repeat(0), amounts_vnd, strict=False)))
        if len(lines) < len(refs) or not self._seen.isdisjoint(lines):
            return False
        self._seen |= lines
        came_in_vnd = [amount_vnd for amount_vnd in amounts_vnd if amount_vnd > 0]
        credits_vnd = sum(came_in_vnd)
        self.credits += len(came_in_vnd)
        self.credits_vnd += credits_vnd
        self.debits += len(refs) - len(came_in_vnd)
        self.debits_vnd += credits_vnd - sum(amounts_vnd)
        return True

    def remark(self, code: RemarkCode, place: Place) -> None:
        before = self._remarks.get(code)
        self._remarks[code] = (
            Remark(code, before.count + 1, before.line, before.where)
            if before
            else Remark(code, 1, place.line, place.where)
        )

    def verdict(
        self, place: Place, *, day: date | None = None, opening_vnd: int | None = None, closing_vnd: int | None = None
    ) -> Verdict:
        """The end. A statement whose balances are missing or not tied by its entries is refused, with the numbers."""
        if self.refusal is None and self.statement.kind == "statement":
            self.refusal = self._untied(place, opening_vnd, closing_vnd)
        return Verdict(
            self.statement,
            place.line,
            day,
            opening_vnd,
            closing_vnd,
            self.credits,
            self.credits_vnd,
            self.debits,
            self.debits_vnd,
            tuple(self._remarks.values()),
            self.refusal,
        )

    def _untied(self, place: Place, opening_vnd: int | None, closing_vnd: int | None) -> StatementRefused | None:
        if opening_vnd is None or closing_vnd is None:
            return StatementBalanceMissing(**place.at())
        difference_vnd = opening_vnd + self.sum_vnd - closing_vnd
        if difference_vnd == 0:
            return None
        return StatementNotTied(
            **place.at(),
            opening_vnd=opening_vnd,
            sum_vnd=self.sum_vnd,
            closing_vnd=closing_vnd,
            difference_vnd=difference_vnd,
        )
