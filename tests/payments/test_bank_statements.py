"""What a bank's statement does in the books: taken in once, continued without a gap, matched to the đồng, or left for a person."""

from __future__ import annotations

import os
from datetime import date, timedelta
from pathlib import Path

import asyncpg
import pytest
from banking import Statements, only
from trade import Trade

from foundation import clock
from loadtests import statements as files
from loadtests.statements import Day
from payments import bank_statement
from payments.bank_statement import BLOCK, StatementNotChained, StatementUnreadable
from payments.proof_of_cash import CashProof, ItemsUnnamed, StatementAwaited, prove_cash
from payments.statement import FileRefused


async def test_a_day_of_receipts_is_matched_and_stands_at_the_bank(trade: Trade, admin: asyncpg.Connection) -> None:
    bank = Statements(trade)
    for n in range(3):
        await trade.transfers(f"cam on {n}", 20_000 + n, bank_ref=f"FT{n}")
    gone = await trade.debited(11_000, bank_ref="PHI1", kind="fee")
    assert gone
    done = await bank.load(bank.day(*(bank.line(f"FT{n}", 20_000 + n) for n in range(3)), bank.line("PHI1", -11_000)))
    taken = only(done)
    assert (taken.state, taken.lines, taken.known, taken.why) == ("accepted", 4, 0, None)
    assert await bank.open() == []
    assert await stands(admin, trade, f"bank:{'/'.join(trade.account)}") == 60_003 - 11_000
    assert await stands(admin, trade, "gw_receivable") == 0
    again = await bank.load(bank.days[0])
    assert again.before == trade.now, "the same bytes"
    assert (only(again).state, only(again).lines, only(again).known) == ("known", 0, 4)
    assert await stands(admin, trade, "gw_receivable") == 0, "and they add nothing"


async def test_the_same_lines_in_another_order_and_format_add_nothing(trade: Trade) -> None:
    bank = Statements(trade)
    lines = [bank.line(f"FT{n}", 5_000 + n) for n in range(3)]
    first = bank.day(*lines)
    await bank.load(first)
    turned = files.Day(first.account, first.day, first.number, first.opening_vnd, lines[::-1])
    for given, profile in ((files.mt940([turned]), ""), (files.csv_two_columns([turned]), "example-two-columns")):
        taken = only(await bank.load(given, profile=profile))
        assert (taken.state, taken.lines, taken.known) == ("known", 0, 3)


async def test_a_statement_that_does_not_continue_waits_until_the_missing_one_is_here(trade: Trade) -> None:
    bank = Statements(trade)
    await bank.load(bank.day(bank.line("FT1", 10_000)))
    trade.now += timedelta(days=1)
    missing = bank.day(bank.line("FT2", 5_000))
    trade.now += timedelta(days=1)
    early = bank.day(bank.line("FT3", 7_000))
    taken = only(await bank.load(early))
    assert taken.state == "quarantined"
    assert isinstance(taken.why, StatementNotChained)
    assert taken.why.facts == {"expected_vnd": 10_000, "opening_vnd": 15_000}
    assert only(await bank.load(missing)).state == "accepted"
    assert only(await bank.load(early)).state == "accepted", "the same file, given in again"


async def stands(admin: asyncpg.Connection, trade: Trade, account: str) -> int:
    return int(
        await admin.fetchval(
            "select coalesce(sum(case $2 when debit then amount_vnd when credit then -amount_vnd end), 0)"
            " from payments.transfer where operator_id = $1",
            trade.operator_id,
            account,
        )
    )


async def test_a_reader_that_is_ended_for_what_it_took_ends_the_file_with_a_sentence(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "endless")
    reading = bank_statement._reading(tmp_path / "endless", "saoke.xml", "", b"key", 10)
    async with reading as frames:
        reading._process.kill()
        with pytest.raises(StatementUnreadable):
            await anext(frames)


async def test_what_is_no_statement_of_ours_is_refused_or_waits_and_nothing_of_it_is_kept(
    trade: Trade, admin: asyncpg.Connection
) -> None:
    bank = Statements(trade)
    bank.day(bank.line("FT1", 10_000))
    with pytest.raises(FileRefused):
        await bank.load(f"<Document>{'<a>' * 1_000_000}")
    assert await admin.fetchval("select count(*) from payments.statement_file") == 0, "nothing of it is kept"
    foreign = Day("9999", bank.today, 1, 0, [bank.line("FT1", 10_000)])
    notified = "".join(files.camt054(bank.days))
    future = bank.day(day=bank.today + timedelta(days=1))
    for given, code in (
        (foreign, "statement_foreign"),
        (notified, "statement_is_notification"),
        (future, "statement_of_the_future"),
    ):
        taken = only(await bank.load(given))
        assert (taken.state, taken.why and taken.why.code) == ("quarantined", code)
    assert await bank.open() == []


async def test_an_older_statement_may_only_say_again_what_is_known(trade: Trade) -> None:
    bank = Statements(trade)
    first = bank.day(bank.line("FT1", 10_000))
    await bank.load(first)
    trade.now += timedelta(days=1)
    await bank.load(bank.day(bank.line("FT2", 5_000)))
    other = Day(first.account, first.day, 9, 0, [*first.lines, bank.line("FT0", 3, day=first.day)])
    less = Day(first.account, first.day, 9, 7, first.lines)
    for given, code in ((other, "statement_adds_to_past"), (less, "statement_contradicts")):
        taken = only(await bank.load(given))
        assert (taken.state, taken.why and taken.why.code) == ("quarantined", code)


async def test_the_proof_of_cash_names_every_item_between_the_bank_and_the_books(trade: Trade) -> None:
    bank = Statements(trade, balance_vnd=1_000_000)
    for n in range(4):
        await trade.transfers("?", 10_000 + n, bank_ref=f"FT{n}")
    who = (await trade.colleague()).staff_id
    missing, differs = bank.line("FT1", 10_001), bank.line("FT2", 9_002)
    await bank.load(bank.day(bank.line("FT0", 10_000), differs, bank.line("NEU", 7_000)), who=who)
    day = bank.today
    proof = await prove(trade, day)
    assert (proof.before_vnd, proof.closing_vnd, proof.books_vnd) == (1_000_000, 1_026_002, 40_006)
    assert (proof.lines.count, proof.lines.sum_vnd) == (2, 16_002), "another amount, and one that nobody knows"
    assert (proof.movements.count, proof.movements.sum_vnd) == (3, 30_006)
    assert proof.difference_vnd == 0
    assert isinstance(proof.hindrance(), ItemsUnnamed), "lines have to be named"
    trade.now += timedelta(days=1)
    await bank.load(bank.day(missing), who=who)
    assert (await prove(trade, bank.today)).movements.count == 2, "a day late, and that is all"
    then = await prove(trade, day)
    assert (then.movements.count, then.difference_vnd) == (3, 0), "as it stood at the end of that day"
    trade.now += timedelta(days=1)
    assert isinstance((await prove(trade, bank.today)).hindrance(), StatementAwaited)


async def prove(trade: Trade, day: date) -> CashProof:
    async with trade.database.transaction(trade.operator_id) as tx:
        return await prove_cash(tx, day)


async def test_lines_are_kept_while_they_are_read_and_taken_back_if_they_were_told_before_or_of_another_day(
    trade: Trade, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that tells its day in its first line is believed until its verdict says another."""
    monkeypatch.setattr(bank_statement, "BATCH", 1)
    bank, yesterday = Statements(trade), clock.hanoi_day(trade.now) - timedelta(days=1)
    many = [bank.line(f"FT{n}", 1_000 + n, day=bank.today) for n in range(BLOCK + 20)]
    first = only(await bank.load(bank.day(*many[:300]), run=False))
    assert (first.lines, first.known) == (300, 0)
    bank.balance_vnd = 0
    again = only(await bank.load(bank.day(*many), run=False))
    assert (again.state, again.lines, again.known) == ("accepted", BLOCK + 20 - 300, 300)
    bank.balance_vnd = bank.days[-1].closing_vnd
    trade.now += timedelta(days=1)
    day = bank.day(bank.line("NEW1", 5_000), bank.line("NEW2", 6_000, day=yesterday))
    told = only(await bank.load(files.csv_signed(day), profile="example-signed", run=False))
    assert (told.state, told.day, told.lines) == ("accepted", bank.today, 2)
    bad = bank.day(*(bank.line(f"BAD{n}", 1_000) for n in range(BLOCK + 20)), opening_vnd=1)
    assert only(await bank.load(bad, run=False)).state == "quarantined"
    async with trade.database.transaction(trade.operator_id) as tx:
        rows = await tx.rows(
            "select l.bank_ref, l.day, s.day as told from payments.statement_line l left join payments.bank_statement s"
            " on s.operator_id = l.operator_id and s.id = l.statement_id"
        )
        blocks = await tx.value("select count(*) from payments.statement_text")
    assert {row["bank_ref"] for row in rows} == {line.ref for line in many} | {"NEW1", "NEW2"}
    assert len(rows) == BLOCK + 22 and all(row["day"] == row["told"] for row in rows)
    assert blocks == 1 + 2 + 1
