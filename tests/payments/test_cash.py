"""The drawer is right to the đồng: float, cash, notes that an attendant transfers himself, and a blind close."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator

import asyncpg
import httpx
import pytest
from acts import Tablet, enrolled
from trade import SOLD_OUT, SoldOut, Trade

import demo
from foundation.database import Database
from foundation.device import PlaceNotYours
from foundation.settings import Settings
from foundation.web import Platform
from payments import handover, notes, shift
from payments.shift import NoShift, ShiftCounted, ShiftOfAnother, ShiftOpen


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
        (0, 200_000), ((), (70_000,), (5_000, 8_000)), ((), (5_000,), (8_000, 12_000)), (0, -1_000, 2_000)
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
        assert (closed["float_vnd"], closed["cash_vnd"], closed["proxy_vnd"]) == (float_vnd, sum(cash), sum(proxy))
        assert closed["proxy_arrived_vnd"] == sum(proxy[:arrives])
        assert (closed["expected_vnd"], closed["difference_vnd"]) == (expected_vnd, too_much)
        assert closed["receipts"] == len(cash) + len(proxy)
        assert await drawer_vnd(admin, opened) == 0

        for pay in asked[arrives:]:  # what arrives after the count buys no notes of a closed drawer
            assert pay is not None
            assert await trade.transfers(pay.reference, pay.amount_vnd) == "proxy"
        assert await drawer_vnd(admin, opened) == 0
        # Notes that were missing were his, as far as his transfers go; the rest he finds in the safe.
        explained_vnd = min(max(-too_much, 0), sum(proxy[arrives:]))
        safe_vnd += sum(cash) + too_much + explained_vnd
        over_vnd += too_much + explained_vnd
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
        await trade.counts(on_his_tablet, 0)


async def test_a_place_that_the_tablet_was_not_enrolled_for_is_refused(trade: Trade) -> None:
    who = await trade.attendant()
    async with trade.database.transaction(trade.operator_id) as tx:
        with pytest.raises(PlaceNotYours):
            await shift.open_shift(tx, who, place=4, counted={}, now=trade.now)


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
            *(sell() for _ in range(4)),
            trade.counts(who, 10_000),
            *(sell() for _ in range(4)),
            return_exceptions=True,
        )
        counted = [outcome for outcome in outcomes if isinstance(outcome, handover.Counted)]
        sold = sum(outcome for outcome in outcomes if isinstance(outcome, int))
        strange = [o for o in outcomes if not isinstance(o, (int, handover.Counted, ShiftCounted))]
        assert strange == []
        assert len(counted) == 1
        assert counted[0].expected_vnd == 10_000 + sold, "a sale is either before the count or refused"
        await trade.hands_over(who, reason="other" if sold else None)
        assert await drawer_vnd(admin, opened) == 0


async def test_a_tablet_opens_sells_counts_blind_and_hands_over(
    client: httpx.AsyncClient, here: Platform, admin: asyncpg.Connection
) -> None:
    tablet = await enrolled(client, here)
    assert tablet.facts["shift"] is None
    opened = await tablet.does("shift/open", place=1, notes={"100000": 1, "50000": 2})
    told = {"id", "number", "place", "opened_at", "float_vnd", "receipts", "counted_at", "drops"}
    assert set(opened) == told, "a tablet is told too much"
    me = await client.get("/api/v1/device/me", headers={"authorization": f"Bearer {tablet.session_token}"})
    assert me.json()["shift"] == opened
    second = await tablet.post("shift/open", tablet.action(place=1, notes={}))
    assert (second.status_code, second.json()["code"]) == (409, "shift_open")

    early = await tablet.post("shift/close", tablet.action(witness=await proof_of(tablet)))
    assert (early.status_code, early.json()["code"]) == (409, "not_counted")
    count = tablet.action(notes={"100000": 1, "50000": 1, "20000": 2, "5000": 1, "2000": 2})
    counted = (await tablet.post("shift/count", count)).json()
    assert counted == {"number": 1, "expected_vnd": 200_000, "counted_vnd": 199_000, "difference_vnd": -1_000}
    assert (await tablet.post("shift/count", count)).json() == counted, "the same action has its first outcome"
    changed = await tablet.post("shift/count", count | {"notes": {"200000": 1}})
    assert (changed.status_code, changed.json()["code"]) == (422, "key_used_for_another")
    better = await tablet.post("shift/count", tablet.action(notes={"200000": 1}))
    assert (better.status_code, better.json()["code"]) == (409, "shift_counted"), "a count is final"
    sale = tablet.action(place=1, heads={"adult": 1}, amount_vnd=70_000, proxy=False)
    assert (await tablet.post("cash/ticket", sale)).json()["code"] == "shift_counted"

    unsaid = await tablet.post("shift/close", tablet.action(witness=await proof_of(tablet)))
    assert (unsaid.status_code, unsaid.json()["code"]) == (409, "difference_unexplained")
    close = tablet.action(witness=await proof_of(tablet), reason="change", words="trả nhầm")
    report = (await tablet.post("shift/close", close)).json()
    assert (report["difference_vnd"], report["reason"], report["words"]) == (-1_000, "change", "trả nhầm")
    assert report["countersigned_by"] == "Trần Văn Bình"
    assert (await tablet.post("shift/close", close)).json() == report
    row = await admin.fetchrow("select opened_notes, counted_notes from payments.shift")
    assert [notes.sum_vnd(json.loads(one)) for one in row] == [200_000, 199_000]
    again = await tablet.post("shift/count", tablet.action(notes={}))
    assert (again.status_code, again.json()["code"]) == (409, "no_shift")


async def proof_of(tablet: Tablet, login: str = "02", pin: str = demo.PIN) -> str:
    """Somebody else shows number and PIN at a tablet."""
    answer = await tablet.post("witness", {"login": login, "pin": pin, "signs": "shift.close"})
    assert answer.status_code == 200, answer.text
    witness: str = answer.json()["witness"]
    return witness


@pytest.mark.parametrize("pieces", ["2", 1.0, True, -1, 10_001, 10**22, None])
async def test_what_is_no_number_of_notes_is_refused(client: httpx.AsyncClient, here: Platform, pieces: object) -> None:
    tablet = await enrolled(client, here)
    answer = await tablet.post("shift/open", tablet.action(place=1, notes={"1000": pieces}))
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_payload")


@pytest.mark.parametrize("note", ["500", "25000", "1000000", "01000", ""])
async def test_a_note_that_does_not_exist_is_refused(client: httpx.AsyncClient, here: Platform, note: str) -> None:
    tablet = await enrolled(client, here)
    answer = await tablet.post("shift/open", tablet.action(place=1, notes={note: 1}))
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_payload")
    unknown = await tablet.post("shift/open", tablet.action(place=1, notes={}, expected_vnd=1))
    assert unknown.status_code == 422


@pytest.mark.parametrize(
    "vandalism",
    [
        "opened_notes = '{\"1000\": 3}'",
        'opened_notes = \'{"200000": 1, "300": 0}\'',
        'opened_notes = \'{"500000": 1, "100000": -3}\'',
        "counted_vnd = 1, expected_vnd = 0",
        "closed_at = now()",
    ],
)
async def test_no_sum_stands_beside_notes_that_do_not_make_it(
    trade: Trade, admin: asyncpg.Connection, vandalism: str
) -> None:
    await trade.opens(await trade.attendant(), 200_000)
    with pytest.raises(asyncpg.CheckViolationError):
        await admin.execute(f"update payments.shift set {vandalism}")


async def test_a_revoked_tablet_takes_no_cash(
    client: httpx.AsyncClient, here: Platform, admin: asyncpg.Connection
) -> None:
    tablet = await enrolled(client, here)
    await admin.execute("update foundation.device set revoked_at = now()")
    answer = await tablet.post("shift/open", tablet.action(place=1, notes={}))
    assert (answer.status_code, answer.json()["code"]) == (401, "device_revoked")


async def test_what_was_refused_once_stays_refused_under_its_id_and_a_new_id_is_a_new_try(
    client: httpx.AsyncClient, here: Platform, admin: asyncpg.Connection
) -> None:
    tablet = await enrolled(client, here)
    sale = tablet.action(place=1, heads={"adult": 1}, amount_vnd=70_000, proxy=False)
    first = await tablet.post("cash/ticket", sale)
    assert (first.status_code, first.json()["code"]) == (409, "no_shift")
    await tablet.does("shift/open", place=1, notes={})
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
