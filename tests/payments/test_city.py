"""The cashless share: each kind of payment moves exactly what it should, and a recount is an independent recount."""

from __future__ import annotations

import asyncio
import csv
import io
import re
from collections import Counter
from collections.abc import AsyncIterator
from datetime import date, timedelta
from fractions import Fraction

import asyncpg
import httpx
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as rules
from hypothesis import strategies as st
from trade import SOLD_OUT, Trade

from foundation import clock as clocks
from foundation import outbox, texts
from foundation.database import Database
from foundation.web import Platform
from payments import cashless_share
from payments.cashless_share import PeriodUnreadable, Share, StatisticsNotHere, publication, ratio
from payments.city.routes import percent
from payments.payment import ROLLUP

JSON = "/api/v1/open-data/cashless-share"


@pytest.fixture
async def trade(here: Platform) -> Trade:
    return await Trade.at(here.settings, here.database)


@pytest.fixture
async def city(here: Platform) -> Database:
    assert here.city is not None
    return here.city


async def recounted(trade: Trade) -> None:
    """What the worker does: every day that is due is counted."""
    database = trade.database
    await database.execute("update foundation.due set due_at = clock_timestamp() where kind = $1", ROLLUP)
    for claim in await outbox.claim(database, most=100):
        if claim.kind == ROLLUP:
            await cashless_share.recount(database, claim)
            async with database.transaction(claim.operator_id) as tx:
                await outbox.done(tx, claim)


async def total(trade: Trade, city: Database) -> Share:
    await recounted(trade)
    today = clocks.hanoi_day(trade.now)
    return (await publication(city, first=today - timedelta(days=30), last=today)).total


async def test_each_means_moves_exactly_its_figures(trade: Trade, city: Database) -> None:
    assert await total(trade, city) == Share()
    await trade.pays(trade.line(70_000))
    expected = Share(cashless_units=1, charged_units=1, cashless_vnd=70_000, charged_vnd=70_000)
    assert await total(trade, city) == expected

    who = await trade.attendant()
    await trade.opens(who)
    await trade.sells(who, trade.line(30_000))
    expected += Share(charged_units=1, charged_vnd=30_000)
    assert await total(trade, city) == expected, "cash is in the denominator only"
    assert (expected.by_count, expected.by_value) == ("0.5000", "0.7000")

    sale = await trade.sells(who, trade.line(5_000, service="parking"), proxy=True)
    expected += Share(charged_units=1, charged_vnd=5_000, proxy_units=1, proxy_vnd=5_000)
    assert await total(trade, city) == expected, "what an attendant transfers is cash"
    assert sale.pay is not None
    await trade.transfers(sale.pay.reference, 5_000)
    assert await total(trade, city) == expected, "his transfer is no payment of a guest"

    await trade.gives_free()
    await trade.gives_free(means="PASS")
    expected += Share(free_units=1, pass_units=1)
    assert await total(trade, city) == expected, "free and pass are apart"

    await trade.pays(trade.line(70_000), trade.line(5_000, service="parking"))
    expected += Share(cashless_units=2, charged_units=2, cashless_vnd=75_000, charged_vnd=75_000)
    assert await total(trade, city) == expected, "a unit is a line"


async def test_pending_is_on_neither_side_until_it_is_decided(trade: Trade, city: Database) -> None:
    owed = await trade.owes(trade.line(70_000))
    assert await total(trade, city) == Share(pending_units=1, pending_vnd=70_000)
    await trade.transfers(owed.reference, 20_000)
    assert await total(trade, city) == Share(pending_units=1, pending_vnd=70_000), "part paid is pending"
    await trade.transfers(owed.reference, 50_000)
    assert await total(trade, city) == Share(cashless_units=1, charged_units=1, cashless_vnd=70_000, charged_vnd=70_000)


async def test_a_refused_payment_leaves_its_day(trade: Trade, city: Database) -> None:
    owed = await trade.owes(trade.line(70_000, reference=SOLD_OUT))
    assert (await total(trade, city)).pending_units == 1
    await trade.transfers(owed.reference, 70_000)
    assert await total(trade, city) == Share()


async def test_a_payment_that_runs_out_stops_being_pending_by_itself(
    trade: Trade, city: Database, admin: asyncpg.Connection
) -> None:
    await trade.owes(trade.line(70_000), holds=timedelta(minutes=30))
    assert (await total(trade, city)).pending_units == 1
    assert await cashless_share.recount_lapsed(trade.database) == 0
    await admin.execute("select foundation.set_clock($1, 1)", trade.now + timedelta(minutes=31))
    assert await cashless_share.recount_lapsed(trade.database) == 1
    assert await total(trade, city) == Share()
    assert await cashless_share.recount_lapsed(trade.database) == 0, "it is counted again and again"


async def test_a_part_payment_that_comes_too_late_makes_it_pending_again(
    trade: Trade, city: Database, admin: asyncpg.Connection
) -> None:
    owed = await trade.owes(trade.line(70_000), holds=timedelta(minutes=30))
    assert (await total(trade, city)).pending_units == 1
    trade.now += timedelta(minutes=31)
    await admin.execute("select foundation.set_clock($1, 1)", trade.now)
    assert await cashless_share.recount_lapsed(trade.database) == 1
    assert (await total(trade, city)).pending_units == 0
    await trade.transfers(owed.reference, 30_000)
    said = await total(trade, city)
    assert (said.pending_units, said.pending_vnd) == (1, 70_000)


async def test_a_test_among_real_payments_is_not_counted(trade: Trade, city: Database) -> None:
    await trade.pays(trade.line(70_000, environment="training"))
    await trade.gives_free(line=trade.line(1, environment="training"))
    await trade.owes(trade.line(70_000, environment="training"))
    assert await total(trade, city) == Share()


async def test_a_payment_belongs_to_the_day_of_its_service(trade: Trade, city: Database) -> None:
    tomorrow = trade.now + timedelta(days=1)
    await trade.pays(trade.line(70_000, day=tomorrow))
    await recounted(trade)
    day = clocks.hanoi_day(tomorrow)
    published = await publication(city, first=day - timedelta(days=3), last=day)
    assert [cell.day for cell in published.cells] == [day]


async def test_the_city_sums_over_operators_and_never_takes_a_mean(
    trade: Trade, city: Database, here: Platform
) -> None:
    await trade.pays(trade.line(90_000))
    other = await Trade.at(here.settings, here.database, "dongda")
    who = await other.attendant()
    await other.opens(who)
    for _ in range(3):
        await other.sells(who, other.line(10_000, service="parking"))
    share = await total(trade, city)
    assert (share.by_count, share.by_value) == ("0.2500", "0.7500")


SALES = st.lists(
    st.tuples(
        st.sampled_from(["qr", "cash", "proxy", "free", "pass", "open", "partly", "refused"]),
        st.integers(2, 500_000),
        st.sampled_from(["ticketing", "parking"]),
        st.integers(0, 2),
    ),
    max_size=8,
)


@rules(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(SALES, min_size=1, max_size=2))
async def test_a_recount_is_what_one_counts_by_hand(
    here: Platform, admin: asyncpg.Connection, batches: list[list[tuple[str, int, str, int]]]
) -> None:
    trade = await Trade.at(here.settings, here.database)
    assert here.city is not None
    await admin.execute(
        "set session_replication_role = replica;"
        "delete from payments.charge; delete from payments.charge_line; delete from payments.line_paid;"
        "delete from payments.free_note; delete from payments.cashless_day;"
        "set session_replication_role = origin"
    )
    who = await trade.attendant()
    await trade.opens(who)
    by_hand: Counter[tuple[date, str, str]] = Counter()
    for batch in batches:
        for kind, amount_vnd, service, back in batch:
            at = trade.now - timedelta(days=back)
            line = trade.line(amount_vnd, service=service, day=at)
            match kind:
                case "qr":
                    await trade.pays(line)
                case "cash" | "proxy":
                    await trade.sells(who, line, proxy=kind == "proxy")
                case "free" | "pass":
                    await trade.gives_free(means=kind.upper(), line=line)
                case "open":
                    await trade.owes(line)
                case "partly":
                    await trade.transfers((await trade.owes(line)).reference, amount_vnd - 1)
                case "refused":
                    refused = trade.line(amount_vnd, service=service, day=at, reference=SOLD_OUT)
                    await trade.transfers((await trade.owes(refused)).reference, amount_vnd)
            names = {
                "qr": ["cashless", "charged"], "cash": ["charged"], "proxy": ["charged", "proxy"], "open": ["pending"],
                "partly": ["pending"], "free": ["free"], "pass": ["pass"], "refused": [],
            }[kind]  # fmt: skip
            for name in names:
                by_hand[clocks.hanoi_day(at), service, f"{name}_units"] += 1
                if kind not in ("free", "pass"):
                    by_hand[clocks.hanoi_day(at), service, f"{name}_vnd"] += amount_vnd
        await recounted(trade)
        today = clocks.hanoi_day(trade.now)
        published = await publication(here.city, first=today - timedelta(days=5), last=today)
        counted = Counter(
            {
                (cell.day, cell.service, name): getattr(cell.share, name)
                for cell in published.cells
                for name in Share.__slots__
            }
        )
        assert +counted == +by_hand


@given(st.integers(0, 10**15), st.integers(1, 10**15))
def test_a_share_is_rounded_from_the_integers(part: int, whole: int) -> None:
    part = min(part, whole)
    share = ratio(part, whole)
    assert share is not None
    assert re.fullmatch(r"[01]\.\d{4}", share)
    assert abs(Fraction(share) - Fraction(part, whole)) <= Fraction(1, 20_000)


def test_a_share_of_nothing_is_no_share() -> None:
    assert ratio(0, 0) is None
    assert (ratio(0, 7), ratio(7, 7), ratio(1, 3), ratio(2, 3), ratio(1, 8)) == (
        "0.0000", "1.0000", "0.3333", "0.6667", "0.1250",
    )  # fmt: skip
    assert ratio(1, 20_000) == "0.0001", "half up"
    assert [percent("vi", *share) for share in ((7245, 10_000), (3, 3), (0, 3), (0, 0))] == [
        "72,5\u00a0%", "100,0\u00a0%", "0,0\u00a0%", "–",
    ]  # fmt: skip
    assert percent("en", 724_499, 1_000_000) == "72.4\u00a0%", "rounded once: its four digits 0.7245 would make it 72.5"


async def test_two_workers_at_once_write_the_fresher_count(trade: Trade, city: Database) -> None:
    day = clocks.hanoi_day(trade.now).isoformat()
    for _ in range(3):
        await trade.pays(trade.line(10_000))
    claims = [outbox.Claim(trade.operator_id, ROLLUP, day, 1, 1, trade.operator_id) for _ in range(6)]

    async def sell_meanwhile() -> None:
        await trade.pays(trade.line(10_000))

    await asyncio.gather(*(cashless_share.recount(trade.database, claim) for claim in claims), sell_meanwhile())
    await recounted(trade)
    assert (await total(trade, city)).cashless_units == 4


async def test_the_later_of_two_counts_waits_and_then_sees_what_was_committed_meanwhile(
    trade: Trade, city: Database
) -> None:
    day = clocks.hanoi_day(trade.now)
    async with trade.database.transaction(trade.operator_id) as first:
        await first.execute("select payments.recount_cashless($1, $2)", day, trade.now)
        claim = outbox.Claim(trade.operator_id, ROLLUP, day.isoformat(), 1, 1, trade.operator_id)
        second = asyncio.create_task(cashless_share.recount(trade.database, claim))
        await asyncio.sleep(0.2)
        assert not second.done(), "two counts of one day run side by side"
        await trade.pays(trade.line(10_000))
    await second
    today = clocks.hanoi_day(trade.now)
    assert (await publication(city, first=today, last=today)).total.cashless_units == 1


# --- what the city may read


async def test_the_city_reads_rollups_and_nothing_else(
    here: Platform, trade: Trade, city: Database, admin: asyncpg.Connection
) -> None:
    await trade.pays(trade.line(70_000))
    await recounted(trade)
    tables = await admin.fetch(
        "select n.nspname || '.\"' || c.relname || '\"' as name, coalesce(obj_description(c.oid), '') like 'rollup%' as rollup"
        " from pg_class c join pg_namespace n on n.oid = c.relnamespace"
        " where n.nspname in ('foundation', 'payments', 'parking', 'ticketing') and c.relkind in ('r', 'v', 'm', 'S')"
    )
    assert sum(table["rollup"] for table in tables) == 2
    for table in tables:
        if table["rollup"]:
            assert await city.value(f"select count(*) from {table['name']}")
            for statement in ("delete from {}", "update {} set counted_at = now()", "truncate {}"):
                with pytest.raises((asyncpg.InsufficientPrivilegeError, asyncpg.UndefinedColumnError)):
                    await city.execute(statement.format(table["name"]))
        else:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await city.rows(f"select * from {table['name']}")
    for call in ("payments.recount_cashless(current_date, now())", "foundation.now()"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await city.execute(f"select {call}")


async def test_an_operator_reads_only_his_own_rollups(trade: Trade, here: Platform, city: Database) -> None:
    other = await Trade.at(here.settings, here.database, "dongda")
    await other.pays(other.line(5_000))
    await recounted(trade)
    async with here.database.transaction(trade.operator_id) as tx:
        assert await tx.value("select count(*) from payments.cashless_day") == 0


async def test_without_the_city_database_the_statistics_say_so(city: Database) -> None:
    with pytest.raises(StatisticsNotHere):
        await publication(None, first=date(2026, 11, 1), last=date(2026, 11, 2))
    with pytest.raises(PeriodUnreadable):
        await publication(city, first=date(2026, 11, 2), last=date(2026, 11, 1))


# --- how it is published


async def test_json_and_csv_carry_numerator_and_denominator(client: httpx.AsyncClient, trade: Trade) -> None:
    await trade.pays(trade.line(70_000))
    who = await trade.attendant()
    await trade.opens(who)
    await trade.sells(who, trade.line(5_000, service="parking"))
    await trade.sells(who, trade.line(5_000, service="parking"), proxy=True)
    await trade.owes(trade.line(70_000))
    await recounted(trade)
    said = (await client.get(JSON)).json()
    figures = said["total"]
    assert (figures["cashless_units"], figures["charged_units"], figures["share_cnt"]) == (1, 3, "0.3333")
    assert (figures["cashless_vnd"], figures["charged_vnd"], figures["share_val"]) == (70_000, 80_000, "0.8750")
    assert (figures["pending_units"], figures["proxy_units"], figures["proxy_rate_cnt"]) == (1, 1, "0.3333")
    day = clocks.hanoi_day(trade.now).isoformat()
    assert [(row["day"], row["service"]) for row in said["rows"]] == [(day, "parking"), (day, "ticketing")]

    rows = list(csv.DictReader(io.StringIO((await client.get(f"{JSON}.csv?by=service")).text)))
    assert [(row["day"], row["service"], row["cashless_units"], row["charged_units"]) for row in rows] == [
        ("", "parking", "0", "2"),
        ("", "ticketing", "1", "1"),
    ]
    only = (await client.get(f"{JSON}?service=parking&by=day")).json()
    assert (only["total"]["share_cnt"], only["total"]["charged_units"]) == ("0.0000", 2)


async def test_the_same_figures_have_the_same_tag(client: httpx.AsyncClient, trade: Trade) -> None:
    await recounted(trade)
    first = await client.get(JSON)
    tag = first.headers["etag"]
    assert (await client.get(JSON, headers={"if-none-match": tag})).status_code == 304
    await trade.pays(trade.line(70_000))
    await recounted(trade)
    assert (await client.get(JSON, headers={"if-none-match": tag})).status_code == 200


@pytest.mark.parametrize(
    "query",
    [
        "from=2026-11-02&to=2026-11-01", "from=2020-01-01&to=2026-01-01", "from=x", "by=day;drop", "by=operator",
        "service=' or 1=1", "service=" + "a" * 50,
    ],
)  # fmt: skip
async def test_a_question_that_makes_no_sense_is_refused(client: httpx.AsyncClient, query: str) -> None:
    answer = await client.get(f"{JSON}?{query}")
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


async def test_the_page_says_the_same_as_the_file(client: httpx.AsyncClient, trade: Trade) -> None:
    for _ in range(2):
        await trade.pays(trade.line(70_000))
    who = await trade.attendant()
    await trade.opens(who)
    await trade.sells(who, trade.line(30_000), proxy=True)
    await trade.gives_free()
    await recounted(trade)
    figures = (await client.get(JSON)).json()["total"]
    page = (await client.get("/city/?lang=vi")).text
    for shown in (
        percent("vi", figures["cashless_units"], figures["charged_units"]),
        percent("vi", figures["cashless_vnd"], figures["charged_vnd"]),
        "140.000",
        "170.000",
        "2 / 3",
    ):
        assert shown in page, shown
    assert "<script" not in page
    assert "style=" not in page
    english = (await client.get("/city/?lang=en")).text
    assert "66.7\u00a0%" in english
    assert "Paying without cash" in english


async def test_a_period_without_payments_has_no_share(client: httpx.AsyncClient) -> None:
    page = (await client.get("/city/?from=2020-01-01&to=2020-01-31&lang=en")).text
    assert texts.text("en", "city.nothing") in page
    assert (await client.get(f"{JSON}?from=2020-01-01&to=2020-01-31")).json()["total"]["share_cnt"] is None


@pytest.fixture(autouse=True)
async def _nobody_logs_in(client: httpx.AsyncClient) -> AsyncIterator[None]:
    """Everything here is public."""
    yield
    assert not client.cookies.get("motcham")
