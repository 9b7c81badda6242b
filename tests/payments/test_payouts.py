"""Payouts: what settled days owe, made by one person, let go by another, and gone once whatever the bank does."""

from __future__ import annotations

import asyncio
import hashlib
import re
from datetime import date, datetime, timedelta
from itertools import product
from uuid import UUID, uuid4

import asyncpg
import pytest
from paying import DEFECTS, Desk
from trade import Trade

from foundation import clock
from foundation.database import Tx
from foundation.errors import refusal_of_constraint
from payments import books, contract, dues, payee_account, payout
from payments.finance import payouts
from payments.held import ReasonMissing
from payments.payout_states import EVENTS, OWED_AGAIN, STATES, STEPS, NoStep, Step


@pytest.fixture
async def desk(trade: Trade) -> Desk:
    """An operator with a settled day of 70,000; the demo city has bank details for every payee."""
    made = await Desk.of(trade)
    await trade.pays(trade.line(70_000))
    await made.settled(clock.hanoi_day(trade.now))
    return made


async def states(admin: asyncpg.Connection) -> list[str]:
    return [row["state"] for row in await admin.fetch("select state from payments.payout order by amount_vnd desc")]


async def balance(admin: asyncpg.Connection, account: str) -> int:
    return int(
        await admin.fetchval(
            "select coalesce(sum(case when credit = $1 then amount_vnd when debit = $1 then -amount_vnd else 0 end), 0)"
            " from payments.transfer",
            account,
        )
    )


async def proven(admin: asyncpg.Connection) -> tuple[books.Finding, ...]:
    async with admin.transaction(isolation="repeatable_read", readonly=True):
        return (await books.prove(admin)).findings


def test_every_state_meets_every_event_and_ends_stay_ended() -> None:
    assert set(STEPS) == set(product(STATES, EVENTS))
    assert all(isinstance(step, Step) or step.why for step in STEPS.values())
    for state, event in product(OWED_AGAIN, EVENTS):
        assert isinstance(STEPS[state, event], NoStep)
    assert {event for event in EVENTS if isinstance(STEPS["settled", event], Step)} == {"came_back"}
    for state in ("asking", "unknown", "accepted"):
        assert isinstance(STEPS[state, "cancel"], NoStep), "what may have left cannot be called off"


async def test_a_payout_is_the_net_of_its_days_and_leaves_once(desk: Desk, admin: asyncpg.Connection) -> None:
    id = await desk.makes()
    rows = await admin.fetch("select amount_vnd, payee_id from payments.payout order by amount_vnd desc")
    assert [row["amount_vnd"] for row in rows] == [42_000 - 350, 28_000, 350]
    texts = re.findall("<Ustrd>(.*)</Ustrd>", (await admin.fetchval("select file from payments.payout_run")).decode())
    until = f"MC000001 QUYET TOAN DEN {clock.hanoi_day(desk.trade.now):%d%m%Y}"
    assert texts == [until, f"{until} C 560 TM 2714", until], "each names the run, the city's its line of the budget"
    await desk.approves(id)
    assert await balance(admin, "payout_clearing") == 70_000
    await desk.works()
    assert set(await states(admin)) == {"accepted"}
    desk.bank.fate = "settled"
    await desk.looks_again(admin)
    assert set(await states(admin)) == {"settled"}
    assert await balance(admin, "payout_clearing") == 0
    assert list(desk.bank.files.values()) == [1]
    assert await proven(admin) == ()
    with pytest.raises(payout.NothingToPay):
        await desk.makes()


async def test_who_made_it_or_entered_the_details_cannot_let_it_go(desk: Desk) -> None:
    with pytest.raises(payout.OwnPayout):
        await desk.approves(await desk.makes("ketoan"), "ketoan")
    await desk.does(payout.cancel, desk.bank.run, staff_id=desk.people["quanly"], reason="thử")
    with pytest.raises(payout.OwnDetailsUsed):
        await desk.approves(await desk.makes("quanly"), "ketoan")


async def test_only_the_file_that_was_looked_at_is_let_go(desk: Desk, admin: asyncpg.Connection) -> None:
    id = await desk.makes()
    with pytest.raises(payout.PreviewStale):
        await desk.approves(id, digest="0" * 64)
    await desk.approves(id)
    with pytest.raises(payout.PayoutDecided):
        await desk.approves(id)
    file, digest = await admin.fetchrow("select file, digest from payments.payout_run")
    assert hashlib.sha256(file).digest() == digest


async def test_new_bank_details_call_off_what_has_not_left_and_hold_back_what_is_owed(
    desk: Desk, admin: asyncpg.Connection
) -> None:
    id = await desk.makes()
    await desk.details("city_budget", account="00099988877")
    assert set(await states(admin)) == {"cancelled"}
    with pytest.raises(payout.PayoutDecided):
        await desk.approves(id)
    async with desk.trade.database.transaction(desk.trade.operator_id) as tx:
        owed = {each.payee.kind: each for each in await payout.owed(tx, now=desk.trade.now)}
    assert owed["city_budget"].held == "cooling"
    assert owed["operator"].held is None
    desk.trade.now += timedelta(hours=48)
    await desk.makes()
    assert await admin.fetchval("select count(*) from payments.payout where state = 'draft'") == 3
    assert await proven(admin) == ()


async def test_what_the_report_leaves_out_is_not_accepted(desk: Desk, admin: asyncpg.Connection) -> None:
    id = await desk.makes()
    await desk.approves(id)
    desk.bank.leaves_out = {desk.bank.ids[0]}
    await desk.works()
    assert sorted(await states(admin)) == ["accepted", "accepted", "unknown"]
    desk.bank.leaves_out = set()
    await desk.looks_again(admin)
    assert set(await states(admin)) == {"accepted"}
    assert list(desk.bank.files.values()) == [1]


async def test_a_lost_answer_is_looked_up_and_nothing_is_sent_twice(desk: Desk, admin: asyncpg.Connection) -> None:
    await desk.approves(await desk.makes())
    desk.bank.silent = True
    await desk.works()
    assert set(await states(admin)) == {"unknown"}
    desk.bank.silent = False
    await desk.looks_again(admin)
    assert set(await states(admin)) == {"accepted"}
    assert list(desk.bank.files.values()) == [1]


async def test_a_bank_that_never_heard_of_it_gets_the_same_file(desk: Desk, admin: asyncpg.Connection) -> None:
    await desk.approves(await desk.makes())
    desk.bank.deaf = True
    await desk.works()
    desk.bank.deaf = False
    await desk.looks_again(admin)
    assert set(await states(admin)) == {"accepted"}
    assert list(desk.bank.files.values()) == [1]


@pytest.mark.parametrize("how", ["rejected", "refused", "returned"])
async def test_what_did_not_arrive_is_owed_again(desk: Desk, admin: asyncpg.Connection, how: str) -> None:
    await desk.approves(await desk.makes())
    if how == "rejected":
        desk.bank.fate = "rejected"
    elif how == "refused":
        desk.bank.refuses = "control_sum"
    await desk.works()
    if how == "returned":
        for number, row in enumerate(await admin.fetch("select id, amount_vnd from payments.payout")):
            assert await desk.lists(row["id"], row["amount_vnd"], f"D{number}")
            assert await desk.lists(row["id"], row["amount_vnd"], f"R{number}", returns=True)
            assert await desk.lists(row["id"], row["amount_vnd"], f"R{number}", returns=True)  # told again
    assert set(await states(admin)) == {"returned" if how == "returned" else "rejected"}
    assert await balance(admin, f"payee_payable:{desk.payees['city_budget']}") == 28_000
    assert await proven(admin) == ()
    desk.bank.fate, desk.bank.refuses = "accepted", None
    if how == "returned":
        with pytest.raises(payout.NothingToPay):  # not a second time to where it came back from
            await desk.makes()
        await desk.trusts_accounts()
    await desk.makes()  # the days are open again


async def test_nothing_is_paid_to_where_a_payout_came_back_from_until_somebody_says_that_it_is_right(
    desk: Desk, admin: asyncpg.Connection
) -> None:
    await desk.approves(await desk.makes())
    await desk.works()
    (id, amount_vnd, payee, version), *_ = await admin.fetch(
        "select id, amount_vnd, payee_id, version from payments.payout order by amount_vnd desc"
    )
    assert await desk.lists(id, amount_vnd, "D1")
    assert await desk.lists(id, amount_vnd, "R1", returns=True)
    owed = {each.payee.id: each.held for each in await desk.does(payout.owed)}
    assert owed[payee] == "came_back"
    said = {"staff_id": desk.people["quanly"]}
    with pytest.raises(ReasonMissing):
        await desk.does(payee_account.trust_again, payee, version, reason=" ", **said)
    await desk.does(payee_account.trust_again, payee, version, reason="the bank had closed for a day", **said)
    with pytest.raises(payee_account.BankDetailsTrusted):
        await desk.does(payee_account.trust_again, payee, version, reason="again", **said)
    assert {each.payee.id: each.held for each in await desk.does(payout.owed)}[payee] is None
    run = await desk.makes()
    await admin.execute("update payments.payee_account set came_back_at = now() where payee_id = $1", payee)
    with pytest.raises(payout.CameBackMeanwhile):
        await desk.approves(run)
    assert await proven(admin) == ()


async def test_a_payout_booked_as_two_debits_is_settled_when_both_are_seen(
    desk: Desk, admin: asyncpg.Connection
) -> None:
    await desk.approves(await desk.makes())
    await desk.works()
    (id, amount_vnd), *_ = await admin.fetch("select id, amount_vnd from payments.payout order by amount_vnd desc")
    assert await desk.lists(id, 1_000, "D1")
    assert set(await states(admin)) == {"accepted"}
    assert not await desk.lists(id, amount_vnd, "D2"), "more than it is"
    assert await desk.lists(id, amount_vnd - 1_000, "D3")
    for number, row in enumerate(await admin.fetch("select id, amount_vnd from payments.payout where id <> $1", id)):
        assert await desk.lists(row["id"], row["amount_vnd"], f"E{number}")
    await desk.looks_again(admin)
    assert await admin.fetchval("select look_at from payments.payout_run") is None, "nobody looks for ever"
    assert set(await states(admin)) == {"settled"}
    assert not await desk.lists(uuid4(), 5, "D4")


async def test_bank_details_need_another_person_two_days_and_a_word_to_the_old_contact(desk: Desk) -> None:
    city, said = desk.payees["city_budget"], {"bin": "970415", "owner_name": "NGAN SACH", "contact": "0912 000 111"}
    version = await desk.does(payout.change_details, city, account="11112222", staff_id=desk.people["ketoan"], **said)
    with pytest.raises(payee_account.OwnBankDetails):
        await desk.does(payee_account.agree, city, version, staff_id=desk.people["ketoan"], told="gọi")
    with pytest.raises(payee_account.OldContactUntold):
        await desk.does(payee_account.agree, city, version, staff_id=desk.people["quanly"], told=" ")
    await desk.does(payee_account.agree, city, version, staff_id=desk.people["quanly"], told="gọi 0912")
    with pytest.raises(payee_account.BankDetailsDecided):
        await desk.does(payee_account.withdraw, city, version, staff_id=desk.people["quanly"], reason="")
    for wrong in ({"bin": "999999"}, {"account": "12"}, {"owner_name": "Ngân sách"}, {"contact": "?"}):
        with pytest.raises(payee_account.BankDetailsUnfit):
            await desk.does(
                payout.change_details,
                city,
                **{"account": "11112222", **said, **wrong},
                staff_id=desk.people["ketoan"],
            )


async def test_a_payee_that_owes_more_than_it_earned_is_not_paid(
    desk: Desk, trade: Trade, admin: asyncpg.Connection
) -> None:
    who = await trade.attendant()
    await trade.opens(who)
    await trade.sells(who, trade.line(500_000))
    await desk.settled(clock.hanoi_day(trade.now) + timedelta(days=1))
    async with trade.database.transaction(trade.operator_id) as tx:
        owed = {each.payee.kind: each for each in await payout.owed(tx, now=trade.now)}
    assert owed["operator"].amount_vnd < 0
    assert owed["operator"].held == "nothing"
    await desk.makes()
    kinds = await admin.fetch(
        "select kind from payments.payout p join payments.payee y on y.id = p.payee_id order by kind"
    )
    assert [row["kind"] for row in kinds] == ["city_budget", "platform"]


def test_no_route_takes_the_amount_of_a_payout() -> None:
    for route in payouts.routes.routes:
        taken = {field.name for field in route.dependant.body_params}  # type: ignore[attr-defined]
        assert not [name for name in taken if "vnd" in name or "amount" in name], route


async def test_every_planted_defect_of_settlements_and_payouts_is_found_and_named(
    desk: Desk, trade: Trade, admin: asyncpg.Connection
) -> None:
    who, today = await trade.attendant(), clock.hanoi_day(trade.now)
    await trade.opens(who)
    await trade.sells(who, trade.line(5_000))
    await trade.pays(trade.line(900_000, service="parking"))
    async with trade.database.transaction(trade.operator_id) as tx:
        assert await dues.fall_due(tx, await contract.contracts(tx), date(2026, 9, 30), now=trade.now)
    await desk.settled(today + timedelta(days=1))
    await desk.approves(await desk.makes())
    desk.bank.fate = "settled"
    await desk.works()
    assert await proven(admin) == ()
    await admin.execute("set session_replication_role = replica")
    for rule, plant in DEFECTS:
        vandalism = admin.transaction()
        await vandalism.start()
        assert await admin.execute(plant) not in ("UPDATE 0", "DELETE 0"), plant
        found = await books.prove(admin)
        await vandalism.rollback()
        assert rule in {finding.rule for finding in found.findings}, plant
    assert await proven(admin) == ()


async def test_two_clerks_at_once_make_one_run(desk: Desk, admin: asyncpg.Connection) -> None:
    done = await asyncio.gather(*(desk.makes(who) for who in ("ketoan", "quanly")), return_exceptions=True)
    assert [type(each) for each in done if not isinstance(each, UUID)] == [payout.NothingToPay]
    assert await admin.fetchval("select count(*) from payments.payout_run") == 1


async def test_two_clerks_at_once_enter_one_version_of_bank_details(desk: Desk) -> None:
    said = {"bin": "970415", "account": "11112222", "owner_name": "NGAN SACH", "contact": "0912 000 111"}
    done = await asyncio.gather(
        *(
            desk.does(payout.change_details, desk.payees["city_budget"], **said, staff_id=desk.people[who])
            for who in ("ketoan", "quanly")
        ),
        return_exceptions=True,
    )
    (other,) = [each for each in done if not isinstance(each, int)]
    assert isinstance(other, asyncpg.UniqueViolationError)
    assert isinstance(refusal_of_constraint(other.constraint_name), payee_account.BankDetailsWait)


async def test_a_return_that_is_listed_before_its_debit_is_no_unknown_debit(
    desk: Desk, admin: asyncpg.Connection
) -> None:
    await desk.approves(await desk.makes())
    await desk.works()
    (id, amount_vnd), *_ = await admin.fetch("select id, amount_vnd from payments.payout order by amount_vnd desc")
    assert await desk.lists(id, amount_vnd, "R1", returns=True)
    assert await desk.lists(id, amount_vnd, "D1"), "or finance had it in suspense, and the operator lost it"
    assert not await desk.lists(id, amount_vnd, "D2")
    assert not await desk.lists(id, amount_vnd, "R2", returns=True)
    assert await states(admin) == ["returned", "accepted", "accepted"]
    assert await proven(admin) == ()


async def test_what_has_left_in_part_is_not_owed_again_though_the_bank_says_rejected(
    desk: Desk, admin: asyncpg.Connection
) -> None:
    await desk.approves(await desk.makes())
    await desk.works()
    (id, amount_vnd), *_ = await admin.fetch("select id, amount_vnd from payments.payout order by amount_vnd desc")
    assert await desk.lists(id, 1_000, "D1")
    desk.bank.fate = "rejected"
    await desk.looks_again(admin)
    assert await states(admin) == ["accepted", "rejected", "rejected"]
    assert await desk.lists(id, amount_vnd - 1_000, "D2")
    assert await states(admin) == ["settled", "rejected", "rejected"]
    assert await proven(admin) == ()


async def test_a_contact_changed_a_moment_ago_is_not_who_is_told_of_the_next_change(desk: Desk) -> None:
    city = desk.payees["city_budget"]
    (before,) = await desk.does(old_details, city)
    await desk.details("city_budget", told="gọi kế toán trưởng")
    said = {"bin": "970415", "account": "66666666", "owner_name": "NGAN SACH", "contact": "0999 666 666"}
    version = await desk.does(payout.change_details, city, **said, staff_id=desk.people["ketoan"])
    with pytest.raises(payee_account.OldContactUntold) as refused:
        await desk.does(payee_account.agree, city, version, staff_id=desk.people["quanly"], told="")
    assert refused.value.facts == {"contact": before.contact}


async def old_details(tx: Tx, payee_id: UUID, *, now: datetime) -> list[payee_account.BankDetails]:
    return await payee_account.of_payee(tx, payee_id)
