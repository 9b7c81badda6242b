"""What each payee is due: every sale in one settlement, every part with an owner, and the books agree."""

from __future__ import annotations

import asyncio
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from banking import the_bank_tells
from returning import Office
from trade import Trade, a_day_of_everything

from foundation import clock, directory
from foundation.database import Database, Tx
from foundation.settings import Settings
from payments import books, contract, dues, payee_statement, settlement
from payments.contract import Proposal, Rent
from payments.day_close import close_day
from payments.share import BP, Entitlement


@pytest.fixture
def today(trade: Trade) -> date:
    return clock.hanoi_day(trade.now)


async def settle(trade: Trade, day: date) -> bool:
    async with trade.database.transaction(trade.operator_id, isolation="repeatable read") as tx:
        return await settlement.settle_day(tx, day, now=trade.now)


async def statements(trade: Trade, day: date) -> dict[str, Any]:
    """By kind of payee, its statement of a day."""
    async with trade.database.transaction(trade.operator_id) as tx:
        rows = await tx.rows(
            "select p.kind, s.* from payments.payee_statement s"
            " join payments.payee p on p.operator_id = s.operator_id and p.id = s.payee_id"
            " where s.operator_id = $1 and s.day = $2",
            tx.operator_id,
            day,
        )
    return {row["kind"]: row for row in rows}


async def balance(admin: asyncpg.Connection, account: str) -> int:
    """Credits - debits of an account (by its beginning)."""
    return int(
        await admin.fetchval(
            "select coalesce(sum(case when credit like $1 then amount_vnd else 0 end), 0)"
            " - coalesce(sum(case when debit like $1 then amount_vnd else 0 end), 0) from payments.transfer",
            account + "%",
        )
    )


async def proven(admin: asyncpg.Connection) -> books.Proof:
    async with admin.transaction(isolation="repeatable_read", readonly=True):
        return await books.prove(admin)


async def proposed(trade: Trade, said: Proposal) -> UUID:
    async with trade.database.transaction(trade.operator_id) as tx:
        return await contract.propose(tx, said, staff_id=await person(tx, "ketoan"), now=trade.now)


async def agree(trade: Trade, id: UUID) -> None:
    async with trade.database.transaction(trade.operator_id) as tx:
        await contract.agree(tx, id, staff_id=await person(tx, "quanly"), now=trade.now)


async def person(tx: Tx, login: str) -> UUID:
    id: UUID = await tx.value(
        "select id from foundation.staff where operator_id = $1 and login = $2", tx.operator_id, login
    )
    return id


async def payee(trade: Trade, kind: str) -> UUID:
    async with trade.database.transaction(trade.operator_id) as tx:
        return next(each.id for each in await contract.payees(tx) if each.kind == kind)


async def test_a_days_sales_are_divided_by_the_contract_to_the_dong(
    trade: Trade, today: date, admin: asyncpg.Connection
) -> None:
    await trade.pays(trade.line(70_000))
    await trade.pays(trade.line(35_000), trade.line(5_000, service="parking", class_="motorbike"))
    assert await settle(trade, today)
    said = await statements(trade, today)
    # Of 105,000 for the relic two fifths are the city's; the platform gets half a percent of what came by transfer.
    assert said["city_budget"]["gross_vnd"] == said["city_budget"]["net_vnd"] == 42_000
    assert said["operator"]["gross_vnd"] == 63_000 + 5_000
    assert said["operator"]["fees_vnd"] == -said["platform"]["fees_vnd"] == 350 + 175 + 25
    assert said["operator"]["reserve_vnd"] == 100  # two percent of the lot's
    assert said["operator"]["net_vnd"] == 68_000 - 550 - 100
    assert sum(row["net_vnd"] + row["reserve_vnd"] for row in said.values()) == 110_000
    assert await balance(admin, "operator_payable") == 0
    for row in said.values():
        assert await balance(admin, f"payee_payable:{row['payee_id']}") == row["net_vnd"]
    assert (await proven(admin)).findings == ()


async def test_a_sale_is_settled_once_whoever_tries_and_how_often(
    trade: Trade, today: date, admin: asyncpg.Connection
) -> None:
    await trade.pays(trade.line(70_000))
    assert await settle(trade, today)
    assert not await settle(trade, today)
    await trade.pays(trade.line(35_000))  # the day is not closed: this is the next settlement's
    async with trade.database.transaction(trade.operator_id) as tx:
        assert await payee_statement.waiting(tx, until=today) == [], "it has its contract"
    assert await settle(trade, today + timedelta(days=1))
    assert [row["sold_vnd"] for row in await admin.fetch("select sold_vnd from payments.settlement order by day")] == [
        70_000,
        35_000,
    ]
    assert await admin.fetchval("select count(*) from payments.settlement_journal") == 2
    assert (await statements(trade, today + timedelta(days=1)))["city_budget"]["carried_vnd"] == 28_000


async def test_an_empty_day_has_its_statements(trade: Trade, today: date) -> None:
    assert await settle(trade, today)
    said = await statements(trade, today)
    assert set(said) == {"operator", "city_budget", "platform"}
    assert all(row["net_vnd"] == row["gross_vnd"] == 0 for row in said.values())


async def test_what_is_given_back_is_taken_from_whoever_had_it(
    trade: Trade, today: date, admin: asyncpg.Connection
) -> None:
    office = await Office.of(trade)
    sold = await trade.pays(trade.line(70_000))
    assert await settle(trade, today)
    await office.gives_back(sold.reference, 10_000)
    assert await settle(trade, today + timedelta(days=1))
    said = await statements(trade, today + timedelta(days=1))
    assert (said["operator"]["refunds_vnd"], said["city_budget"]["refunds_vnd"]) == (6_000, 4_000)
    await office.gives_back(sold.reference, 60_000)
    assert await settle(trade, today + timedelta(days=2))
    assert await admin.fetchval("select sum(amount_vnd) from payments.settlement_item where kind <> 'fee'") == 0
    # The platform has done its work: under this contract its fee is not given back.
    assert await balance(admin, f"payee_payable:{await payee(trade, 'platform')}") == 350
    assert (await proven(admin)).findings == ()


async def test_notes_that_the_operator_keeps_count_against_him_until_they_reach_the_bank(
    trade: Trade, today: date, admin: asyncpg.Connection
) -> None:
    who = await trade.attendant()
    await trade.opens(who, 200_000)
    await trade.sells(who, trade.line(70_000))
    await trade.closes(who, 260_000)  # ten thousand are missing: his loss
    await settle(trade, today)
    first = (await statements(trade, today))["operator"]
    assert first["adjustments_vnd"] == -70_000  # 60,000 in his safe, 10,000 short
    assert first["net_vnd"] == 42_000 - 140 - 70_000  # he owes the city its part of what he took in notes
    reference = await trade.bags()
    assert await trade.transfers(reference, 60_000) == "deposit"
    await settle(trade, today + timedelta(days=1))
    second = (await statements(trade, today + timedelta(days=1)))["operator"]
    assert second["adjustments_vnd"] == 60_000
    assert await balance(admin, "kept_by_operator") == 10_000
    assert (await proven(admin)).findings == ()


async def test_a_rent_falls_due_with_the_end_of_its_month_and_is_taken_as_far_as_it_goes(
    trade: Trade, admin: asyncpg.Connection
) -> None:
    month = date(2026, 9, 1)
    async with trade.database.transaction(trade.operator_id) as tx:
        held = await contract.contracts(tx)
        assert await dues.fall_due(tx, held, date(2026, 9, 29), now=trade.now) == 0
        assert await dues.fall_due(tx, held, date(2026, 9, 30), now=trade.now) == 1
        assert await dues.fall_due(tx, held, date(2026, 9, 30), now=trade.now) == 0
        (item,) = await dues.still_open(tx)
    assert (item.month, item.amount_vnd, item.due_on) == (month, 40 * 60_000, date(2026, 10, 10))
    assert item.late_days(date(2026, 10, 12)) == 2
    await trade.pays(trade.line(1_000_000, service="parking"))
    today = clock.hanoi_day(trade.now)
    await settle(trade, today)
    said = await statements(trade, today)
    assert said["operator"]["net_vnd"] == 0  # all he earned went to the rent
    assert said["city_budget"]["adjustments_vnd"] == 1_000_000 - 5_000 - 20_000
    async with trade.database.transaction(trade.operator_id) as tx:
        (item,) = await dues.still_open(tx)
    assert item.left_vnd == 2_400_000 - 975_000
    assert (await proven(admin)).findings == ()


async def test_what_is_held_back_is_free_when_its_days_are_over(
    trade: Trade, today: date, admin: asyncpg.Connection
) -> None:
    await trade.pays(trade.line(100_000, service="parking"))
    await settle(trade, today)
    for later in range(1, 8):
        await settle(trade, today + timedelta(days=later))
        said = (await statements(trade, today + timedelta(days=later)))["operator"]
        assert said["reserve_vnd"] == (-2_000 if later == 7 else 0)
    assert await balance(admin, "payee_reserve:") == 0
    assert (await proven(admin)).findings == ()


async def test_a_sale_without_a_contract_waits_with_its_name(
    settings: Settings, database: Database, today: date, admin: asyncpg.Connection
) -> None:
    trade = await Trade.at(settings, database, "thanglong")  # it has no lot, so nobody agreed on parking
    await trade.pays(trade.line(30_000, service="parking"))
    await trade.pays(trade.line(70_000))
    await settle(trade, today)
    assert await admin.fetchval("select sold_vnd from payments.settlement") == 70_000
    assert await balance(admin, "operator_payable") == 30_000
    proof = await proven(admin)
    assert proof.findings == ()
    assert [(item.rule, item.amount_vnd) for line in proof.lines for item in line.open if "settled" in item.rule] == [
        ("unsettled_open", 30_000)
    ]
    own = await payee(trade, "operator")
    said = Proposal(
        service="parking",
        valid_from=today - timedelta(days=9),
        paper="03/2026",
        entitlements=[Entitlement(own, share_bp=BP)],
    )
    await agree(trade, await proposed(trade, said))
    await settle(trade, today + timedelta(days=1))
    assert (await statements(trade, today + timedelta(days=1)))["operator"]["gross_vnd"] == 30_000
    assert await balance(admin, "operator_payable") == 0


async def test_a_settled_day_made_again_is_the_same_to_the_bit(trade: Trade, today: date) -> None:
    await a_day_of_everything(trade)
    office = await Office.of(trade)
    await office.gives_back((await trade.pays(trade.line(70_000))).reference, 30_001)
    await settle(trade, today)
    async with trade.database.transaction(trade.operator_id) as tx:
        stored, anew = await settlement.again(tx, today)
    assert stored == anew
    with pytest.raises(settlement.NoSuchSettlement):
        async with trade.database.transaction(trade.operator_id) as tx:
            await settlement.again(tx, today + timedelta(days=1))


async def test_after_a_day_of_everything_every_payee_gets_what_the_sales_earned(
    trade: Trade, today: date, admin: asyncpg.Connection
) -> None:
    await a_day_of_everything(trade)
    earned = await balance(admin, "operator_payable")
    await settle(trade, today)
    said = await statements(trade, today)
    assert sum(row["gross_vnd"] - row["refunds_vnd"] for row in said.values()) == earned
    assert sum(row["fees_vnd"] for row in said.values()) == 0
    assert await balance(admin, "operator_payable") == 0
    assert (await proven(admin)).findings == ()


async def test_the_worker_settles_each_day_that_is_over_and_no_other(trade: Trade, admin: asyncpg.Connection) -> None:
    trade.now -= timedelta(days=2)
    await trade.pays(trade.line(70_000))
    made = await settlement.settle_what_is_over(trade.database)
    days = [row["day"] for row in await admin.fetch("select day from payments.settlement order by day")]
    first = clock.hanoi_day(trade.now)
    assert made == len(days) >= 1
    assert days == [first + timedelta(days=n) for n in range(len(days))]
    assert days[-1] < first + timedelta(days=2)
    assert await settlement.settle_what_is_over(trade.database) == 0


async def test_what_comes_late_into_a_settled_day_is_settled_though_that_day_is_closed_meanwhile(
    trade: Trade, admin: asyncpg.Connection
) -> None:
    then = trade.now
    trade.now -= timedelta(days=2)
    first = clock.hanoi_day(trade.now)
    await trade.pays(trade.line(70_000))
    await settle(trade, first)
    await trade.pays(trade.line(30_000))
    staff_id = await admin.fetchval("select id from foundation.staff where operator_id = $1 limit 1", trade.operator_id)
    await the_bank_tells(trade, first)
    assert await close_day(trade.database, trade.operator_id, first, staff_id=staff_id, now=then)
    await settle(trade, first + timedelta(days=1))
    assert (await proven(admin)).findings == ()
    assert await admin.fetchval("select sum(sold_vnd)::bigint from payments.settlement") == 100_000


async def test_what_comes_late_from_before_the_first_settled_day_is_settled(
    trade: Trade, today: date, admin: asyncpg.Connection
) -> None:
    await trade.pays(trade.line(70_000))
    await settle(trade, today)
    trade.now -= timedelta(days=3)
    await trade.pays(trade.line(30_000))
    trade.now += timedelta(days=3)
    await settle(trade, today + timedelta(days=1))
    assert await admin.fetchval("select sum(sold_vnd)::bigint from payments.settlement") == 100_000


async def test_a_contract_agreed_while_a_day_is_settled_never_begins_among_its_sales(
    trade: Trade, today: date, admin: asyncpg.Connection
) -> None:
    await trade.pays(trade.line(70_000))
    said = Proposal("ticketing", today, "9/2026", [Entitlement(await payee(trade, "operator"), share_bp=BP)])
    id = await proposed(trade, said)
    async with trade.database.transaction(trade.operator_id, isolation="repeatable read") as tx:
        assert await settlement.settle_day(tx, today, now=trade.now)
        agreeing = asyncio.create_task(agree(trade, id))
        while not agreeing.done() and not await admin.fetchval("select true from pg_locks where not granted limit 1"):
            await asyncio.sleep(0.01)
    with pytest.raises(contract.BeginsTooEarly):
        await agreeing
    async with trade.database.transaction(trade.operator_id) as tx:
        stored, anew = await settlement.again(tx, today)
    assert stored == anew


async def test_a_day_is_not_settled_by_contracts_older_than_the_last_one_agreed(trade: Trade, today: date) -> None:
    await trade.pays(trade.line(70_000))
    said = Proposal("ticketing", today, "9/2026", [Entitlement(await payee(trade, "operator"), share_bp=BP)])
    id = await proposed(trade, said)
    with pytest.raises(asyncpg.SerializationError):
        async with trade.database.transaction(trade.operator_id, isolation="repeatable read") as tx:
            await clock.now(tx)
            await agree(trade, id)
            await settlement.settle_day(tx, today, now=trade.now)
    assert await settle(trade, today)
    assert (await statements(trade, today))["operator"]["gross_vnd"] == 70_000


async def test_one_operator_whose_day_cannot_be_settled_never_stops_the_others(
    trade: Trade, monkeypatch: pytest.MonkeyPatch, admin: asyncpg.Connection
) -> None:
    trade.now -= timedelta(days=2)
    await trade.pays(trade.line(70_000))
    first, tried = await directory.operators(trade.database), []

    async def stuck(database: Database, operator_id: UUID) -> bool:
        tried.append(operator_id)
        raise ValueError("nobody to divide among")

    monkeypatch.setattr(settlement, "_settle_next", stuck)
    assert await settlement.settle_what_is_over(trade.database) == 0
    assert tried == list(first)


async def test_the_rent_of_a_settled_month_falls_due_though_its_contract_was_agreed_later(
    settings: Settings, database: Database, admin: asyncpg.Connection
) -> None:
    trade = await Trade.at(settings, database, "thanglong")  # nobody agreed on parking here
    now, september = trade.now, date(2026, 9, 1)
    trade.now = datetime(2026, 9, 29, 12, tzinfo=clock.HANOI)
    await trade.pays(trade.line(70_000))
    trade.now = now
    for day in (29, 30):
        await settle(trade, september.replace(day=day))
    async with trade.database.transaction(trade.operator_id) as tx:
        lot = await tx.value("select number from foundation.place where operator_id = $1 limit 1", trade.operator_id)
    own, city = await payee(trade, "operator"), await payee(trade, "city_budget")
    await admin.execute("update foundation.place set service = 'parking' where number = $1", lot)
    said = Proposal(
        "parking", september, "9/2026", [Entitlement(own, share_bp=BP)], rents=[Rent(lot, city, 10, 60_000, 10)]
    )
    await agree(trade, await proposed(trade, said))
    async with trade.database.transaction(trade.operator_id) as tx:
        held = await contract.contracts(tx)
        assert await dues.fall_due(tx, held, date(2026, 10, 31), now=now) == 2
        assert [item.month.month for item in await dues.still_open(tx)] == [9, 10]
        assert await dues.fall_due(tx, held, date(2026, 10, 31), now=now) == 0
        assert await dues.fall_due(tx, held, date(2026, 11, 30), now=now) == 1


async def test_the_last_day_of_a_month_is_settled_for_an_operator_without_a_lot(
    settings: Settings, database: Database
) -> None:
    trade = await Trade.at(settings, database, "thanglong")
    assert await settle(trade, date(2026, 9, 30))
