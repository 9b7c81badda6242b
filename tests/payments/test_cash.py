"""The drawer is right to the đồng: float, cash, notes that an attendant transfers himself, and a blind close."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator

import asyncpg
import httpx
import pytest
from acts import enrolled
from trade import SOLD_OUT, SoldOut, Trade

from foundation.database import Database
from foundation.device import PlaceNotYours
from foundation.settings import Settings
from foundation.web import Platform
from payments import shift
from payments.shift import NoShift, ShiftOfAnother, ShiftOpen


@pytest.fixture
async def trade(settings: Settings) -> AsyncIterator[Trade]:
    database = await Database.open(settings.url("database_app_url"), size=10)
    yield await Trade.at(settings, database)
    await database.close()


async def drawer_vnd(admin: asyncpg.Connection, opened: shift.OpenShift) -> int:
    """What the drawer's guarded account holds."""
    held: int = await admin.fetchval("select balance_vnd from payments.balance where account = $1", opened.drawer)
    return held


COMBINATIONS = [
    (float_vnd, cash, proxy, arrives, too_much)
    for float_vnd, cash, proxy, too_much in itertools.product(
        (0, 200_000), ((), (70_000,), (5_000, 8_000)), ((), (5_000,), (8_000, 12_000)), (0, -1_000, 500)
    )
    for arrives in range(len(proxy) + 1)
    if float_vnd + sum(cash) + sum(proxy[arrives:]) + too_much >= 0
]


async def test_the_drawer_is_right_to_the_dong_in_every_combination(trade: Trade, admin: asyncpg.Connection) -> None:
    safe_vnd = over_vnd = 0
    for float_vnd, cash, proxy, arrives, too_much in COMBINATIONS:
        who = await trade.attendant()
        opened = await trade.opens(who, float_vnd)
        for amount_vnd in cash:
            await trade.sells(who, trade.line(amount_vnd))
        asked = [(await trade.sells(who, trade.line(amount_vnd), proxy=True)).pay for amount_vnd in proxy]
        for pay in asked[:arrives]:
            assert pay is not None
            assert await trade.transfers(f"CT DEN {pay.reference} nop ho", pay.amount_vnd) == "proxy"
        expected_vnd = float_vnd + sum(cash) + sum(proxy[arrives:])
        assert await drawer_vnd(admin, opened) == expected_vnd

        closed = await trade.closes(who, expected_vnd + too_much)
        assert (closed.float_vnd, closed.cash_vnd, closed.proxy_vnd) == (float_vnd, sum(cash), sum(proxy))
        assert closed.proxy_arrived_vnd == sum(proxy[:arrives])
        assert (closed.expected_vnd, closed.difference_vnd) == (expected_vnd, too_much)
        assert closed.receipts == len(cash) + len(proxy)
        assert await drawer_vnd(admin, opened) == 0

        for pay in asked[arrives:]:  # what arrives after the close goes to the safe, not into a closed drawer
            assert pay is not None
            assert await trade.transfers(pay.reference, pay.amount_vnd) == "proxy"
        assert await drawer_vnd(admin, opened) == 0
        safe_vnd += sum(cash) + too_much
        over_vnd += too_much
        assert await moved_vnd(admin, "cash_in_transit") == safe_vnd, (
            "a guest's notes are missing or an attendant's left"
        )
        assert await moved_vnd(admin, "cash_over_short") == -over_vnd, "short and over have an account of their own"


async def moved_vnd(admin: asyncpg.Connection, account: str) -> int:
    """Debits less credits of an account, over everything there is."""
    moved: int = await admin.fetchval(
        "select coalesce(sum(case when debit = $1 then amount_vnd else -amount_vnd end), 0)::bigint"
        " from payments.transfer where $1 in (debit, credit)",
        account,
    )
    return moved


async def test_a_proxy_transfer_in_two_parts_buys_the_notes_part_by_part(
    trade: Trade, admin: asyncpg.Connection
) -> None:
    who = await trade.attendant()
    opened = await trade.opens(who)
    pay = (await trade.sells(who, trade.line(12_000), proxy=True)).pay
    assert pay is not None
    await trade.transfers(pay.reference, 5_000)
    assert await drawer_vnd(admin, opened) == 7_000
    await trade.transfers(pay.reference, 8_000)
    assert await drawer_vnd(admin, opened) == 0
    assert await admin.fetchval("select sum(amount_vnd) from payments.held where reason = 'overpaid'") == 1_000


async def test_a_proxy_sale_is_cash_whose_channel_is_the_attendant(trade: Trade, admin: asyncpg.Connection) -> None:
    who = await trade.attendant()
    await trade.opens(who)
    sale = await trade.sells(who, trade.line(5_000), proxy=True)
    row = await admin.fetchrow("select means, channel from payments.line_paid where charge_id = $1", sale.charge_id)
    assert tuple(row) == ("CASH", "ATTENDANT_PROXY")
    assert sale.pay is not None
    assert sale.pay.reference != (
        await admin.fetchval("select reference from payments.charge where id = $1", sale.charge_id)
    ), "the attendant's transfer must not pay the guest's charge a second time"


async def test_cash_needs_an_open_shift(trade: Trade, admin: asyncpg.Connection) -> None:
    who = await trade.attendant()
    with pytest.raises(NoShift):
        await trade.sells(who, trade.line(5_000))
    assert await admin.fetchval("select count(*) from payments.charge") == 0


async def test_what_the_service_refuses_leaves_no_cash_behind(trade: Trade, admin: asyncpg.Connection) -> None:
    who = await trade.attendant()
    opened = await trade.opens(who, 1_000)
    with pytest.raises(SoldOut):
        await trade.sells(who, trade.line(5_000, reference=SOLD_OUT))
    assert await drawer_vnd(admin, opened) == 1_000
    assert (await trade.sells(who, trade.line(5_000))).receipt_number == 1, "the refused sale took a number"


async def test_a_second_shift_on_the_same_tablet_is_refused(trade: Trade) -> None:
    who = await trade.attendant()
    await trade.opens(who)
    with pytest.raises(ShiftOpen):
        await trade.opens(who)


async def test_of_two_openings_at_once_one_wins(trade: Trade, admin: asyncpg.Connection) -> None:
    who = await trade.attendant()
    outcomes = await asyncio.gather(*(trade.opens(who) for _ in range(4)), return_exceptions=True)
    assert sum(isinstance(outcome, shift.OpenShift) for outcome in outcomes) == 1
    for outcome in outcomes:
        if isinstance(outcome, asyncpg.UniqueViolationError):
            assert outcome.constraint_name == ShiftOpen.constraint
        else:
            assert isinstance(outcome, (shift.OpenShift, ShiftOpen))
    assert await admin.fetchval("select count(*) from payments.shift") == 1


async def test_the_shift_of_another_can_be_neither_used_nor_closed(trade: Trade) -> None:
    who = await trade.attendant()
    await trade.opens(who)
    other = await trade.attendant()
    on_his_tablet = type(who)(
        who.operator_id, who.device_id, who.device_name, who.places, other.staff_id, other.login, other.name
    )
    with pytest.raises(ShiftOfAnother):
        await trade.sells(on_his_tablet, trade.line(5_000))
    with pytest.raises(ShiftOfAnother):
        await trade.closes(on_his_tablet, 0)


async def test_a_place_that_the_tablet_was_not_enrolled_for_is_refused(trade: Trade) -> None:
    who = await trade.attendant()
    async with trade.database.transaction(trade.operator_id) as tx:
        with pytest.raises(PlaceNotYours):
            await shift.open_shift(tx, who, place=4, float_vnd=0, now=trade.now)


async def test_receipt_numbers_have_no_gaps_under_eight_sales_at_once(trade: Trade, admin: asyncpg.Connection) -> None:
    who = await trade.attendant()
    opened = await trade.opens(who)
    amounts = [5_000 + n for n in range(24)]

    async def every_eighth(first: int) -> list[int]:
        numbers = []
        for n in range(first, len(amounts), 8):
            reference = SOLD_OUT if n % 5 == 0 else "thing"
            try:
                numbers.append((await trade.sells(who, trade.line(amounts[n], reference=reference))).receipt_number)
            except SoldOut:
                amounts[n] = 0
        return numbers

    numbers = list(itertools.chain(*await asyncio.gather(*(every_eighth(first) for first in range(8)))))
    assert sorted(numbers) == list(range(1, len(numbers) + 1))
    assert await drawer_vnd(admin, opened) == sum(amounts)
    written = await admin.fetchval("select array_agg(number order by number) from payments.cash_receipt")
    assert written == list(range(1, len(numbers) + 1))


async def test_closing_while_sales_run_loses_no_note(trade: Trade, admin: asyncpg.Connection) -> None:
    for _ in range(5):
        who = await trade.attendant()
        opened = await trade.opens(who, 10_000)

        async def sell(who: object = who) -> int:
            return (await trade.sells(who, trade.line(5_000))).amount_vnd  # type: ignore[arg-type]

        outcomes = await asyncio.gather(
            sell(), sell(), trade.closes(who, 10_000), sell(), sell(), return_exceptions=True
        )
        closed = [outcome for outcome in outcomes if isinstance(outcome, shift.ClosedShift)]
        sold = sum(outcome for outcome in outcomes if isinstance(outcome, int))
        strange = [o for o in outcomes if not isinstance(o, (int, shift.ClosedShift, NoShift))]
        assert strange == []
        assert len(closed) == 1
        assert closed[0].expected_vnd == 10_000 + sold, "a sale is either before the close or refused"
        assert await drawer_vnd(admin, opened) == 0


async def test_a_tablet_opens_sells_and_closes_blind(
    client: httpx.AsyncClient, here: Platform, admin: asyncpg.Connection
) -> None:
    tablet = await enrolled(client, here)
    assert tablet.facts["shift"] is None
    opened = await tablet.does("shift/open", place=1, float_vnd=200_000)
    assert set(opened) == {"id", "number", "place", "opened_at", "float_vnd", "receipts"}, "a tablet is told too much"
    me = await client.get("/api/v1/device/me", headers={"authorization": f"Bearer {tablet.session_token}"})
    assert me.json()["shift"] == opened
    second = await tablet.post("shift/open", tablet.action(place=1, float_vnd=0))
    assert (second.status_code, second.json()["code"]) == (409, "shift_open")

    close = tablet.action(counted_vnd=199_000)
    closed = (await tablet.post("shift/close", close)).json()
    assert (closed["expected_vnd"], closed["difference_vnd"]) == (200_000, -1_000)
    assert (await tablet.post("shift/close", close)).json() == closed, "the same action has its first outcome"
    changed = await tablet.post("shift/close", close | {"counted_vnd": 200_000})
    assert (changed.status_code, changed.json()["code"]) == (422, "key_used_for_another")
    again = await tablet.post("shift/close", tablet.action(counted_vnd=0))
    assert (again.status_code, again.json()["code"]) == (409, "no_shift")
    assert await admin.fetchval("select count(*) from payments.shift") == 1


@pytest.mark.parametrize("amount", ["200000", 1.0, True, -1, 500_000_000, 10**22, None])
async def test_a_float_that_is_no_amount_is_refused(client: httpx.AsyncClient, here: Platform, amount: object) -> None:
    tablet = await enrolled(client, here)
    answer = await tablet.post("shift/open", tablet.action(place=1, float_vnd=amount))
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_payload")
    unknown = await tablet.post("shift/open", tablet.action(place=1, float_vnd=0, expected_vnd=1))
    assert unknown.status_code == 422


async def test_a_revoked_tablet_takes_no_cash(
    client: httpx.AsyncClient, here: Platform, admin: asyncpg.Connection
) -> None:
    tablet = await enrolled(client, here)
    await admin.execute("update foundation.device set revoked_at = now()")
    answer = await tablet.post("shift/open", tablet.action(place=1, float_vnd=0))
    assert (answer.status_code, answer.json()["code"]) == (401, "device_revoked")


async def test_what_was_refused_once_stays_refused_under_its_id_and_a_new_id_is_a_new_try(
    client: httpx.AsyncClient, here: Platform, admin: asyncpg.Connection
) -> None:
    tablet = await enrolled(client, here)
    sale = tablet.action(place=1, heads={"adult": 1}, amount_vnd=70_000, proxy=False)
    first = await tablet.post("cash/ticket", sale)
    assert (first.status_code, first.json()["code"]) == (409, "no_shift")
    await tablet.does("shift/open", place=1, float_vnd=0)
    again = await tablet.post("cash/ticket", sale)
    assert (again.status_code, again.json()["code"], again.json()["final"]) == (409, "no_shift", True)
    assert await admin.fetchval("select count(*) from payments.charge") == 0
    sold = await tablet.does("cash/ticket", place=1, heads={"adult": 1}, amount_vnd=70_000, proxy=False)
    assert sold["receipt_number"] == 1
    other = await tablet.post("cash/ticket", sale | {"amount_vnd": 140_000})
    assert (other.status_code, other.json()["code"]) == (422, "key_used_for_another")


async def test_what_cannot_be_read_or_has_no_login_is_not_remembered(
    client: httpx.AsyncClient, here: Platform, admin: asyncpg.Connection
) -> None:
    tablet = await enrolled(client, here)
    sale = tablet.action(place=3, heads={"adult": 1}, amount_vnd=70_000, proxy=False)
    assert (await tablet.post("cash/ticket", sale)).json()["code"] == "place_not_yours"
    assert await admin.fetchval("select count(*) from foundation.stored_answer where principal like 'device:%'") == 0
