"""What was done, and what finance and the city must say because of it.

A `Ledger` is filled while playing (or from a plan, without playing). Its figures are movements: by how much each figure
of finance and city must have moved, whatever stood there before. `Closing` reads those figures over HTTP, before and
after, and names every one that moved by something else.
"""

from __future__ import annotations

import csv
import io
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import chain
from typing import Any, Literal

from rehearsal.client import Browser, Office, expect, vnd

Figures = Counter[tuple[str, ...]]
"""A number (of things, or of VND) by its name, from the general to the particular; one that is absent is nothing."""

Way = Literal["QR", "CARD", "WALLET", "CASH", "PROXY"]
ON_A_PHONE: tuple[Way, ...] = ("QR", "CARD", "WALLET")
"""Paid by the visitor himself, without notes: what the city counts as cashless."""
MEANS_AND_CHANNEL: dict[Way, tuple[str, str]] = {
    "QR": ("QR_TRANSFER", "GATEWAY"),
    "CARD": ("CARD", "GATEWAY"),
    "WALLET": ("WALLET", "GATEWAY"),
    "CASH": ("CASH", "CASH_DEPOSIT"),
    "PROXY": ("CASH", "ATTENDANT_PROXY"),  # notes that the attendant transfers himself are still notes
}
CITY = ("cashless_units", "charged_units", "cashless_vnd", "charged_vnd", "proxy_units", "proxy_vnd", "free_units")


@dataclass(frozen=True, slots=True)
class Sale:
    """One paid line. `reference`: of its payment, where the payer saw one. `given_back_vnd`: what of it went
    back; of a part the city counts the rest, of the whole nothing."""

    operator: str
    service: str
    place: str
    way: Way
    amount_vnd: int
    reference: str = ""
    given_back_vnd: int = 0


@dataclass(frozen=True, slots=True)
class Held:
    """Money that arrived for nothing that was owed, and waits for its way back to the payer."""

    operator: str
    why: str
    amount_vnd: int


@dataclass(frozen=True, slots=True)
class Drawer:
    """A shift that was closed: what should have been in its drawer, and what was counted."""

    operator: str
    shift_id: str
    expected_vnd: int
    counted_vnd: int


@dataclass
class Ledger:
    """Everything that finance and the city must hear of. Its lists only grow, also from several threads at once."""

    sales: list[Sale] = field(default_factory=list)
    free: list[tuple[str, str]] = field(default_factory=list)
    held: list[Held] = field(default_factory=list)
    drawers: list[Drawer] = field(default_factory=list)

    def figures(self) -> Figures:
        """By how much each figure of finance and city must have moved."""
        found = Figures()
        for sale in self.sales:
            means, channel = MEANS_AND_CHANNEL[sale.way]
            found["finance", sale.operator, sale.service, means, channel, "sales"] += 1
            found["finance", sale.operator, sale.service, means, channel, "VND"] += sale.amount_vnd
            found["spreadsheet", sale.operator, "rows"] += 1
            found["spreadsheet", sale.operator, "VND"] += sale.amount_vnd
            if sale.given_back_vnd == sale.amount_vnd:
                continue
            for side in ("charged", *(("cashless",) if sale.way in ON_A_PHONE else ()), *_proxy(sale)):
                found["city", sale.service, f"{side}_units"] += 1
                found["city", sale.service, f"{side}_vnd"] += sale.amount_vnd - sale.given_back_vnd
        for operator, service in self.free:
            found["finance", operator, service, "FREE", "", "sales"] += 1
            found["city", service, "free_units"] += 1
        for held in self.held:
            found["finance", held.operator, "held for payers", "transfers"] += 1
            found["finance", held.operator, "held for payers", "VND"] += held.amount_vnd
        return found + Figures({("city CSV", *key[1:]): n for key, n in found.items() if key[0] == "city"})

    def sums(self) -> list[dict[str, Any]]:
        """Sales by operator, service, means and channel, for programs: number and VND."""
        lines, amounts = Counter[tuple[str, ...]](), Counter[tuple[str, ...]]()
        for sale in self.sales:
            key = (sale.operator, sale.service, *MEANS_AND_CHANNEL[sale.way])
            lines[key] += 1
            amounts[key] += sale.amount_vnd
        names = ("operator", "service", "means", "channel")
        return [
            dict(zip(names, key, strict=True)) | {"sales": lines[key], "amount_vnd": amounts[key]}
            for key in sorted(lines)
        ]


def _proxy(sale: Sale) -> tuple[str, ...]:
    return ("proxy",) if sale.way == "PROXY" else ()


def moved_otherwise(before: Figures, after: Figures, wanted: Figures) -> list[str]:
    """A sentence for every figure that moved by something else than was wanted."""
    return [
        f"{', '.join(part for part in key if part)}: should have moved by {_of(key, wanted[key])},"
        f" but moved by {_of(key, after[key] - before[key])}."
        for key in sorted(before.keys() | after.keys() | wanted.keys())
        if after[key] - before[key] != wanted[key]
    ]


def _of(key: tuple[str, ...], number: int) -> str:
    return vnd(number) if key[-1].lower().endswith("vnd") else f"{number:,}"


class Closing:
    """Finance and the city over some days, before and after; `last` None: until the platform's today."""

    def __init__(self, offices: Sequence[Office], city: Browser, first: date, last: date | None = None) -> None:
        self.offices, self.city, self.first, self._last = offices, city, first, last
        self.before = self.figures()

    @property
    def last(self) -> date:
        return self._last or max(self.first, date.fromisoformat(self.offices[0].day()["day"]))

    @property
    def days(self) -> list[str]:
        return [(self.first + timedelta(days=n)).isoformat() for n in range((self.last - self.first).days + 1)]

    def figures(self) -> Figures:
        """What finance, its spreadsheets and the city say now. What waits is of now, whatever the day."""
        found = Figures()
        for office in self.offices:
            for shown in (office.day(day) for day in self.days):
                for group in shown["groups"]:
                    key = ("finance", office.operator, group["service"], group["means"], group["channel"])
                    found[*key, "sales"] += group["lines"]
                    found[*key, "VND"] += group["amount_vnd"]
                for group in shown["free"]:
                    found["finance", office.operator, group["service"], group["means"], "", "sales"] += group["lines"]
            found["finance", office.operator, "held for payers", "transfers"] = shown["held"]["count"]
            found["finance", office.operator, "held for payers", "VND"] = shown["held"]["sum_vnd"]
            found["finance", office.operator, "unapplied", "transfers"] = shown["unapplied"]["count"]
            found["finance", office.operator, "attendants still transfer", "VND"] = shown["proxies"]["sum_vnd"]
            amounts = [int(row[-1]) for day in self.days for row in spreadsheet(office, day)]
            found["spreadsheet", office.operator, "rows"] = len(amounts)
            found["spreadsheet", office.operator, "VND"] = sum(amounts)
        found.update(self._city())
        return found

    def _city(self) -> Figures:
        found, period = Figures(), f"from={self.first}&to={self.last}&by=service"
        address = "/api/v1/open-data/cashless-share"
        answer = self.city.http.get(f"{address}.csv?{period}")
        expect(f"GET {address}.csv", 200, answer.status_code)
        for said, rows in (
            ("city", self.city.json(f"{address}?{period}")["rows"]),
            ("city CSV", csv.DictReader(io.StringIO(answer.text))),
        ):
            for row in rows:
                for name in CITY:
                    found[said, row["service"], name] += int(row[name])
        return found

    def differences(self, ledger: Ledger, *, quiet_s: float) -> list[str]:
        """A sentence for everything that is not as was done, once it is so or nothing has moved for `quiet_s`.

        The city counts a moment later than finance, and a transfer may still be on its way.
        """
        wanted, moved_at, wrong = ledger.figures(), time.monotonic(), [""]
        while wrong and time.monotonic() < moved_at + quiet_s:
            before, wrong = wrong, moved_otherwise(self.before, self.figures(), wanted)
            if wrong != before:
                moved_at = time.monotonic()
            time.sleep(0.3 if wrong else 0)
        rest = (
            self._sales_not_written(ledger),
            self._drawers_otherwise(ledger),
            self._gates_otherwise(),
            self._books(),
        )
        return [*wrong, *chain.from_iterable(rest)]

    def _sales_not_written(self, ledger: Ledger) -> Iterator[str]:
        for office in self.offices:
            written = {row[1]: int(row[-1]) for day in self.days for row in spreadsheet(office, day)}
            for sale in ledger.sales:
                if sale.operator == office.operator and sale.reference:
                    if sale.reference not in written:
                        yield f"The spreadsheet of {office.operator} should have a row of {sale.reference}, but has not."
                    elif written[sale.reference] != sale.amount_vnd:
                        yield (
                            f"The row of {sale.reference} of {office.operator} should be {vnd(sale.amount_vnd)},"
                            f" but is {vnd(written[sale.reference])}."
                        )

    def _drawers_otherwise(self, ledger: Ledger) -> Iterator[str]:
        for office in self.offices:
            shifts = {shift["id"]: shift for day in self.days for shift in office.day(day)["shifts"]}
            for drawer in ledger.drawers:
                if drawer.operator == office.operator:
                    wanted = drawer.expected_vnd, drawer.counted_vnd, drawer.counted_vnd - drawer.expected_vnd
                    shift = shifts.get(drawer.shift_id, {})
                    came = shift.get("expected_vnd"), shift.get("counted_vnd"), shift.get("difference_vnd")
                    if wanted != came:
                        yield (
                            f"Finance of {office.operator} should say of shift {drawer.shift_id} expected, counted,"
                            f" difference {wanted}, but says {came}."
                        )

    def _gates_otherwise(self) -> Iterator[str]:
        for office in self.offices:
            for day in self.days:
                book = office.json(f"/api/v1/finance/gates?day={day}")
                odd = [gate for gate in book["gates"] if gate["difference"] or gate["settled_vnd"] != gate["paid_vnd"]]
                if odd or book["differences"]:
                    yield f"The gate book of {office.operator} of {day} should fit: {odd} {book['differences'][:5]}"

    def _books(self) -> Iterator[str]:
        for office in self.offices:
            shown = office.proved_day()
            if not shown["balanced"]:
                broken = ", ".join(line["invariant"] for line in shown["proof"] if not line["holds"])
                yield f"The books of {office.operator} should balance, but {broken} fail."


def spreadsheet(office: Office, day: str) -> list[list[str]]:
    """The rows of a day's file of finance: time and reference in front, the amount at the end. Its sum is checked."""
    answer = office.http.get(f"/finance/day.csv?day={day}")
    expect("GET /finance/day.csv", 200, answer.status_code)
    rows = list(csv.reader(io.StringIO(answer.text.lstrip("\ufeff"))))[1:]
    expect(
        f"The last row of {office.operator}'s spreadsheet", sum(int(row[-1]) for row in rows[:-1]), int(rows[-1][-1])
    )
    return rows[:-1]
