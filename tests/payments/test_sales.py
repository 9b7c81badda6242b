"""What was taken, by means, channel and service: the report of a month or a year is the sum of the pages of its days."""

from __future__ import annotations

import csv
import io
from datetime import date, datetime, timedelta
from typing import Any

import httpx
import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from returning import a_day_of_refunds
from trade import Trade, a_day_of_everything

from foundation import clock
from payments.finance.period import Period, period_of, period_with
from payments.finance.sales import parts_of
from payments.takings import GivenBack, Group, Takings

days = st.dates(date(2026, 1, 1), date(2026, 12, 31))
groups = st.builds(
    Group,
    days,
    st.sampled_from(["parking", "ticketing"]),
    st.sampled_from(["CASH", "QR_TRANSFER"]),
    st.sampled_from(["GATEWAY", "CASH_DEPOSIT"]),
    st.integers(1, 99),
    st.integers(1, 10**9),
)
given_back = st.builds(GivenBack, days, st.just("CASH"), st.integers(1, 9), st.integers(1, 10**6))


@given(st.lists(groups, max_size=20), st.lists(given_back, max_size=9))
def test_a_year_is_its_months_and_nothing_is_counted_twice(rows: list[Group], back: list[GivenBack]) -> None:
    taken = Takings(rows, [], back)
    parts = parts_of(taken, period_of("2026"))
    assert [str(part.period) for part in parts] == [f"2026-{n:02}" for n in range(1, 13)]
    for what in ("lines", "sum_vnd", "given_back_vnd"):
        assert sum(getattr(part.taken, what) for part in parts) == getattr(taken, what)
    for part in parts:
        alike = [(group.service, group.means, group.channel) for group in part.taken.groups]
        assert alike == sorted(set(alike))
        assert part.taken.sum_vnd == sum(g.amount_vnd for g in rows if g.day.month == part.period.first.month)


@given(days, st.sampled_from(["day", "month", "year"]))
def test_a_period_is_read_as_it_is_written_and_periods_follow_each_other(day: date, kind: Any) -> None:
    period = period_with(day, kind)
    assert period_of(str(period)) == period
    assert period.first <= day <= period.last
    assert period.following.first == period.last + timedelta(days=1)
    assert period.following.before == period
    if kind != "day":
        assert period.parts[0].first == period.first
        assert period.parts[-1].last == period.last


@pytest.mark.parametrize("said", ["2026-1", "2026-13", "2026-02-29", "1999", "2101", "3000-01", "", "2026-01-01x"])
def test_what_is_no_period_is_refused(said: str) -> None:
    with pytest.raises(ValueError, match=r"must|month|day"):
        period_of(said)


def test_february_and_a_leap_year() -> None:
    assert period_of("2028-02") == Period("month", date(2028, 2, 1), date(2028, 2, 29))


async def test_the_report_is_the_sum_of_the_days_pages_in_every_form(trade: Trade, clerk: httpx.AsyncClient) -> None:
    trade.now -= timedelta(days=1)
    first = clock.hanoi_day(trade.now)
    await trade.pays(trade.line(70_000))
    await trade.gives_free()
    trade.now += timedelta(days=1)
    await a_day_of_everything(trade)
    await a_day_of_refunds(trade)
    pages = [
        (await clerk.get(f"/api/v1/finance/day?day={(first + timedelta(days=n)).isoformat()}")).json() for n in (0, 1)
    ]
    expected = {what: sum(page[what] for page in pages) for what in ("lines", "sum_vnd", "given_back_vnd")}
    assert expected["given_back_vnd"] > 0

    year = (await clerk.get(f"/api/v1/finance/sales?period={first.year}")).json()
    months = {(first + timedelta(days=n)).strftime("%Y-%m") for n in (0, 1)}
    found = [(await clerk.get(f"/api/v1/finance/sales?period={month}")).json() for month in sorted(months)]
    for what, amount in expected.items():
        assert sum(month[what] for month in found) == year[what] == amount
    by_day = {part["period"]: part for month in found for part in month["parts"]}
    assert list(by_day) == [page["day"] for page in pages]
    for page in pages:
        for what in ("groups", "given_back"):
            assert by_day[page["day"]][what] == page[what]
        assert [{**row, "channel": "", "amount_vnd": 0} for row in page["free"]] == by_day[page["day"]]["free"]

    path = f"/finance/sales/{first.year}/sales"
    book = openpyxl.load_workbook(io.BytesIO((await clerk.get(f"{path}.xlsx")).content))
    _, together, by_month, back, free = book.worksheets
    for sheet, count, amount in ((together, 3, 4), (by_month, 4, 5)):
        total = list(sheet.iter_rows(values_only=True))[-1]
        assert (total[count], total[amount]) == (year["lines"], year["sum_vnd"])
    assert list(back.iter_rows(values_only=True))[-1][3] == year["given_back_vnd"]
    assert list(free.iter_rows(values_only=True))[-1][3] == sum(g["lines"] for p in year["parts"] for g in p["free"])
    assert {cell.data_type for cell in together["E"][1:]} == {"n"}
    of_month = openpyxl.load_workbook(io.BytesIO((await clerk.get(f"/finance/sales/{first:%Y-%m}/sales.xlsx")).content))
    assert of_month.worksheets[2]["A2"].value == datetime.combine(first, datetime.min.time())
    rows = list(csv.reader(io.StringIO((await clerk.get(f"{path}.csv?lang=en")).text)))
    assert ["Amount (VND)", str(year["sum_vnd"])] in rows
    assert ["Given back", str(year["given_back_vnd"])] in rows
    assert (await clerk.get(f"{path}.xlsx")).content == (await clerk.get(f"{path}.xlsx")).content
    shown = (await clerk.get(f"/finance/sales?lang=vi&period={first:%Y-%m}")).text
    assert f"{found[0]['sum_vnd']:,}".replace(",", ".") in shown
    assert f'href="/finance/day?day={first.isoformat()}"' in shown


async def test_an_empty_period_has_its_empty_report(clerk: httpx.AsyncClient) -> None:
    shown = (await clerk.get("/api/v1/finance/sales?period=2025")).json()
    assert (shown["lines"], shown["sum_vnd"], shown["parts"]) == (0, 0, [])
    assert "Nothing was sold in this period." in (await clerk.get("/finance/sales?lang=en&period=2025")).text
    for form in ("csv", "xlsx"):
        assert (await clerk.get(f"/finance/sales/2025-02/sales.{form}")).status_code == 200
    assert (await clerk.get("/finance/sales/2025/sales.pdf")).status_code == 422
