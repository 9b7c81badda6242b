"""A statement over several days: the bank says how the last one ended, its lines say how each other did."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, timedelta

import asyncpg
import httpx
import pytest
from banking import Statements, only
from paying import Desk
from trade import Trade

from foundation import clock
from loadtests import statements as files
from loadtests.statements import Day
from payments import books, match_by_hand, statement_withdrawal
from payments.proof_of_cash import AtTheBank, CashProof, StatementAwaited, prove_cash
from payments.statement_withdrawal import StatementDayClosed

ONE = timedelta(days=1)
FORMS: dict[str, tuple[Callable[[Sequence[Day]], str], str]] = {
    "camt.053": (lambda days: "".join(files.camt053(days)), ""),
    "MT940": (files.mt940, ""),
    "CSV": (files.csv_two_columns, "example-two-columns"),
    "CSV, newest first": (lambda days: files.csv_signed(days[0]), "example-signed"),
}


async def proof(trade: Trade, day: date) -> CashProof:
    async with trade.database.transaction(trade.operator_id) as tx:
        return await prove_cash(tx, day)


def one(proof: CashProof) -> AtTheBank:
    (account,) = proof.accounts
    return account


@pytest.mark.parametrize("form", FORMS)
async def test_every_day_of_it_is_closed_by_its_lines(trade: Trade, admin: asyncpg.Connection, form: str) -> None:
    write, profile = FORMS[form]
    desk, bank, first = await Desk.of(trade), Statements(trade), clock.hanoi_day(trade.now) - 6 * ONE
    trade.now = clock.start_of_day(first) + timedelta(hours=9)
    lines = []
    for n, amount_vnd in enumerate((70_000, 30_000, 5_000)):
        day = first + n * ONE
        await trade.transfers("?", amount_vnd, bank_ref=f"FT{n}")
        await trade.debited(1_000 + n, bank_ref=f"PHI{n}", kind="fee")
        lines += [bank.line(f"FT{n}", amount_vnd, day=day), bank.line(f"PHI{n}", -1_000 - n, day=day)]
        trade.now += ONE
    last = first + 2 * ONE
    taken = only(await bank.load(write([bank.day(*lines, day=last, first_day=first)]), profile=profile))
    assert (taken.state, taken.day, taken.lines) == ("accepted", last, 6), taken
    told = [one(await proof(trade, first + n * ONE)) for n in range(3)]
    assert [(each.opening_vnd, each.credits_vnd, each.debits_vnd, each.closing_vnd) for each in told] == [
        (0, 70_000, 1_000, 69_000),
        (69_000, 30_000, 1_001, 97_999),
        (0, 105_000, 3_003, 101_997),
    ]
    assert [each.derived_from for each in told] == [last, last, None]
    assert {each.statement_id for each in told} == {taken.id}
    for n in range(3):
        that = await proof(trade, first + n * ONE)
        assert (that.difference_vnd, that.lines.count, that.movements.count) == (0, 0, 0), that
        assert await desk.closes(first + n * ONE)
        with pytest.raises(StatementDayClosed) as closed:
            await desk.does(statement_withdrawal.ask, taken.id, staff_id=desk.people["ketoan"], reason="?")
        assert closed.value.facts == {"day": first}, "each close rests on it"
    assert isinstance((await proof(trade, first + 3 * ONE)).hindrance(), StatementAwaited)
    assert (await books.prove(admin)).findings == ()


async def test_it_continues_a_day_that_is_known_and_says_nothing_of_those_before_it(
    trade: Trade, admin: asyncpg.Connection
) -> None:
    desk, bank, first = await Desk.of(trade), Statements(trade), clock.hanoi_day(trade.now) - 6 * ONE
    trade.now = clock.start_of_day(first) + timedelta(hours=9)
    await trade.transfers("?", 70_000, bank_ref="FT1")
    known = [bank.line("FT1", 70_000)]
    assert only(await bank.load(bank.day(*known))).state == "accepted"
    trade.now += 3 * ONE
    await trade.transfers("?", 30_000, bank_ref="FT2")
    trade.now += ONE
    late = bank.line("LATE", 4_000, day=first)  # booked on a day that is told already: it moved after that was
    broken = bank.day(late, day=first + 4 * ONE, first_day=first + 2 * ONE, opening_vnd=70_001)
    assert only(await bank.load(broken)).state == "quarantined"
    bank.balance_vnd = 70_000
    week = bank.day(
        late,
        bank.line("FT2", 30_000, day=first + 3 * ONE),
        bank.line("X", 6_000, day=first + 4 * ONE),
        day=first + 4 * ONE,
        first_day=first + 2 * ONE,
    )
    taken = only(await bank.load(week, who=desk.people["ketoan"]))
    assert (taken.state, taken.lines) == ("accepted", 3)
    closings = [one(await proof(trade, first + n * ONE)) for n in range(5)]
    assert [each.closing_vnd for each in closings] == [70_000, 70_000, 74_000, 104_000, 110_000]
    assert [each.day for each in closings] == [first, first, *(first + n * ONE for n in (2, 3, 4))]
    awaited = (await proof(trade, first + ONE)).hindrance()
    assert isinstance(awaited, StatementAwaited), "of that day the bank has said nothing"
    assert [(await proof(trade, first + n * ONE)).lines.count for n in (2, 3, 4)] == [1, 1, 2]
    for item in await bank.open():
        await desk.does(match_by_hand.book, trade.database, trade.sealer, item["id"], staff_id=desk.people["quanly"])
    assert [(await proof(trade, first + n * ONE)).difference_vnd for n in range(5)] == [0] * 5
    trade.now += ONE
    assert only(await bank.load(bank.day(bank.line("FT3", 1_000)))).state == "accepted", "and it is continued"
    assert (await books.prove(admin)).findings == ()


async def test_the_proof_says_in_words_where_a_balance_follows_from(trade: Trade, clerk: httpx.AsyncClient) -> None:
    bank, first = Statements(trade), clock.hanoi_day(trade.now) - ONE
    lines = (bank.line("FT1", 70_000, day=first), bank.line("FT2", 30_000, day=first + ONE))
    taken = only(await bank.load(bank.day(*lines, first_day=first)))
    shown = (await clerk.get(f"/finance/reconciliation/cash?day={first}&lang=en")).text
    assert (
        f"by the lines of the statement up to {clock.day_text(first + ONE, language='en')}" in shown
        and "70,000" in shown
    )
    page = (await clerk.get(f"/finance/statements/{taken.id}?lang=en")).text
    assert " – ".join(clock.day_text(each, language="en") for each in (first, first + ONE)) in page
    said = (await clerk.get(f"/api/v1/finance/proof-of-cash?day={first}")).json()
    assert said["accounts"][0]["derived_from"] == str(first + ONE)
