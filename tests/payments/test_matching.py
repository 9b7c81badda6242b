"""What people do with open items: accept, match, write off, book, name, undo; nothing twice, and nothing that they did not see."""

from __future__ import annotations

import asyncio
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from banking import DEFECTS, Statements
from paying import Desk
from trade import Trade

from foundation.clock import hanoi_day
from foundation.database import Tx
from payments import books, day_close, debit, held, match_by_hand, matching, payout
from payments.claim import Difference, Matched
from payments.gateway import Gone, PayoutLine
from payments.proof_of_cash import CashNotProven, ItemsUnnamed, prove_cash
from payments.receipt import Credit, receive

LIMIT_VND = 200_000


class Office:
    """Acts of one person of finance."""

    def __init__(self, trade: Trade, staff_id: UUID) -> None:
        self.trade, self.staff_id = trade, staff_id

    async def match(self, *ids: UUID, difference: Difference | None = None, reason: str = "") -> UUID | None:
        async with self.trade.database.transaction(self.trade.operator_id) as tx:
            return await match_by_hand.match(
                tx,
                ids,
                difference=difference,
                reason=reason,
                staff_id=self.staff_id,
                limit_vnd=LIMIT_VND,
                now=self.trade.now,
            )

    async def accept(self, *ids: UUID, seen: str | None = None) -> tuple[int, int]:
        async with self.trade.database.transaction(self.trade.operator_id) as tx:
            digest = match_by_hand.digest_of(ids) if seen is None else seen
            return await match_by_hand.accept(tx, ids, staff_id=self.staff_id, seen=digest, now=self.trade.now)

    async def book(self, id: UUID) -> None:
        async with self.trade.database.transaction(self.trade.operator_id) as tx:
            await match_by_hand.book(
                tx, self.trade.database, self.trade.sealer, id, staff_id=self.staff_id, now=self.trade.now
            )

    async def undo(self, line: Matched, reason: str = "nhầm", *, may_approve: bool = False) -> None:
        async with self.trade.database.transaction(self.trade.operator_id) as tx:
            await match_by_hand.undo(
                tx,
                line,
                staff_id=self.staff_id,
                may_approve=may_approve,
                reason=reason,
                now=self.trade.now,
            )

    async def name(self, said: match_by_hand.Name, *ids: UUID, note: str = "") -> UUID | None:
        async with self.trade.database.transaction(self.trade.operator_id) as tx:
            return await match_by_hand.name(
                tx, ids, said, note=note, staff_id=self.staff_id, limit_vnd=LIMIT_VND, now=self.trade.now
            )

    async def close(self, day: date) -> bool:
        return await day_close.close_day(
            self.trade.database, self.trade.operator_id, day, staff_id=self.staff_id, now=self.trade.now
        )

    async def decide(self, ask: UUID | None, *, agree: bool = True) -> None:
        assert ask, "nobody was asked"
        async with self.trade.database.transaction(self.trade.operator_id) as tx:
            await match_by_hand.decide_ask(tx, ask, agree=agree, staff_id=self.staff_id, now=self.trade.now)


async def office(trade: Trade, login: str = "ketoan") -> Office:
    async with trade.database.transaction(trade.operator_id) as tx:
        return Office(trade, await tx.value("select id from foundation.staff where login = $1", login))


OTHER = "quanly"


async def ledger(trade: Trade) -> dict[str, int]:
    """What the accounts of the money at the bank hold, and where differences went."""
    async with trade.database.transaction(trade.operator_id) as tx:
        rows = await tx.rows(
            "select account, closing_vnd from payments.balances($1, foundation.hanoi_day($2)) where closing_vnd <> 0"
            " and (account ~ '^bank' or account in ('gw_receivable', 'rounding', 'losses', 'suspense'))",
            trade.operator_id,
            trade.now,
        )
        proof = await prove_cash(tx, max([row["day"] for row in await _days(tx)]))
    assert proof.difference_vnd == 0, "whatever is done, the proof of cash holds"
    return {row["account"].partition(":")[0]: row["closing_vnd"] for row in rows}


async def _days(tx: Tx) -> list[Any]:
    return await tx.rows("select day from payments.bank_statement where state = 'accepted'")


async def ids(bank: Statements, *refs: str) -> list[UUID]:
    """The open items with these references of the bank, in this order; lines before movements."""
    items = await bank.open()
    return [item["id"] for ref in refs for item in items if item["bank_ref"] == ref]


async def suggestions(trade: Trade) -> list[Any]:
    async with trade.database.transaction(trade.operator_id) as tx:
        return await tx.rows("select * from payments.suggestion order by score desc, id")


async def test_a_shortage_is_written_off_in_one_step_and_undone_by_its_reversal(trade: Trade) -> None:
    bank, clerk = Statements(trade), await office(trade)
    await trade.transfers("?", 1_000, bank_ref="FT1")
    await bank.load(bank.day(bank.line("FT1", 990)), who=clerk.staff_id)
    both = await ids(bank, "FT1")
    assert len(both) == 2
    with pytest.raises(match_by_hand.SumsDiffer):
        await clerk.match(*both)
    with pytest.raises(match_by_hand.DifferenceUnfit):
        await clerk.match(*both, difference="interest", reason="lãi")
    await clerk.match(*both, difference="rounding", reason="làm tròn")
    assert await ledger(trade) == {"bank": 990, "rounding": 10}
    assert await bank.open() == []
    await clerk.undo(await line_of(trade, "FT1"))
    assert await ledger(trade) == {"gw_receivable": 1_000}
    assert sorted(await ids(bank, "FT1")) == sorted(both), "open again, under the same names"
    assert await acts(trade) == ["run", "written_off", "undone"], "and both stay to be seen"


async def test_above_the_limit_a_second_person_agrees_to_what_he_sees(trade: Trade) -> None:
    bank, clerk, other = Statements(trade), await office(trade), await office(trade, OTHER)
    await trade.transfers("?", 500_000, bank_ref="FT1")
    await bank.load(bank.day(bank.line("FT1", 200_000)), who=clerk.staff_id)
    both = await ids(bank, "FT1")
    ask = await clerk.match(*both, difference="shortage", reason="ngân hàng thiếu")
    assert len(await bank.open()) == 2, "nothing has happened yet"
    with pytest.raises(match_by_hand.AskedByYourself):
        await clerk.decide(ask)
    await other.decide(ask)
    assert await ledger(trade) == {"bank": 200_000, "losses": 300_000}
    with pytest.raises(match_by_hand.AskDecided):
        await other.decide(ask, agree=False)
    with pytest.raises(match_by_hand.UndoneByAnother):
        await clerk.undo(await line_of(trade, "FT1"))
    await other.undo(await line_of(trade, "FT1"), may_approve=True)
    assert await ledger(trade) == {"gw_receivable": 500_000}


async def test_what_was_matched_on_an_earlier_day_is_undone_by_whoever_may_agree_to_it(trade: Trade) -> None:
    bank, clerk = Statements(trade), await office(trade)
    await trade.transfers("?", 70_000, bank_ref="FT1")
    await bank.load(bank.day(bank.line("X", 70_000)), who=clerk.staff_id)
    await clerk.match(*await ids(bank, "FT1", "X"))
    trade.now += timedelta(days=1)
    with pytest.raises(match_by_hand.UndoneByAnother):
        await clerk.undo(await line_of(trade, "X"))
    await clerk.undo(await line_of(trade, "X"), may_approve=True)


async def test_large_items_have_a_name_when_two_people_say_so_and_until_then_the_day_stays_open(trade: Trade) -> None:
    bank, clerk, other = Statements(trade), await office(trade), await office(trade, OTHER)
    await trade.transfers("?", 5_000, bank_ref="FT1")
    lines = [bank.line(f"X{n}", -150_000) for n in range(3)]
    await bank.load(bank.day(bank.line("FT1", 5_000), *lines), who=clerk.staff_id)
    day = bank.today
    trade.now += timedelta(days=1)
    one, two, three = await ids(bank, "X0", "X1", "X2")
    assert await clerk.name("bank_asked", one) is None, "so much he says alone on a day"
    refused = await clerk.name("bank_asked", two)
    ask = await clerk.name("dispute", two, three, note="không phải của chúng tôi")
    assert [item["name"] for item in await bank.open()] == ["bank_asked", None, None]
    with pytest.raises(match_by_hand.AskedByYourself):
        await clerk.decide(ask)
    await other.decide(refused, agree=False)
    with pytest.raises(ItemsUnnamed) as unnamed:
        await clerk.close(day)
    assert unnamed.value.facts["count"] == 2
    await other.decide(ask)
    named = {(item["name"], item["note"], item["named_by"]) for item in await bank.open() if item["id"] != one}
    assert named == {("dispute", "không phải của chúng tôi", clerk.staff_id)}
    async with trade.database.transaction(trade.operator_id) as tx:
        event = await tx.row("select * from payments.matching_event order by id desc limit 1")
    assert (event["act"], event["staff_id"], event["agreed_by"]) == ("named", clerk.staff_id, other.staff_id)
    assert await clerk.close(day)


async def test_a_split_and_a_group_are_matched_whole_and_undone_whole(trade: Trade) -> None:
    bank, clerk = Statements(trade), await office(trade)
    for n, amount_vnd in enumerate((10_000, 20_000, 30_000)):
        await trade.transfers("?", amount_vnd, bank_ref=f"FT{n}")
    await bank.load(bank.day(bank.line("LO1", 60_000)), who=clerk.staff_id)
    (found,) = await suggestions(trade)
    assert (found["rule"], found["ambiguous"], found["difference_vnd"]) == ("sum", False, 0)
    assert await clerk.accept(found["id"]) == (1, 60_000)
    assert await ledger(trade) == {"bank": 60_000}
    await clerk.undo(await line_of(trade, "LO1"))
    assert await ledger(trade) == {"gw_receivable": 60_000}
    assert len(await bank.open()) == 4
    await bank.match()
    await clerk.match(*await ids(bank, "LO1", "FT0", "FT1", "FT2"))
    assert await bank.open() == []


async def test_what_was_written_off_without_a_line_is_undone_by_its_movement_under_the_same_rules(
    trade: Trade,
) -> None:
    bank, clerk, other = Statements(trade), await office(trade), await office(trade, OTHER)
    for n in range(3):
        await trade.transfers("?", 10_000 + n, bank_ref=f"FT{n}")
    await bank.load(bank.day(), who=clerk.staff_id)
    one, *group = await ids(bank, "FT0", "FT1", "FT2")
    await clerk.match(one, difference="shortage")
    await other.match(*group, difference="shortage")
    assert await ledger(trade) == {"losses": 30_003}
    single, both = await movement_of(trade, "FT0"), await movement_of(trade, "FT2")
    with pytest.raises(held.ReasonMissing):
        await clerk.undo(single, reason=" ")
    await clerk.undo(single)
    with pytest.raises(match_by_hand.UndoneByAnother):
        await clerk.undo(both)
    await clerk.undo(both, may_approve=True)
    assert await ledger(trade) == {"gw_receivable": 30_003}
    assert await ids(bank, "FT0", "FT1", "FT2") == [one, *group], "open again, under the same names"
    with pytest.raises(match_by_hand.NoSuchMatch):
        await clerk.undo(single)
    await clerk.match(one, difference="shortage")
    for item in group:
        await clerk.name("payer_asked", item)
    day = bank.today
    trade.now += timedelta(days=1)
    assert await clerk.close(day)
    with pytest.raises(match_by_hand.MatchClosed):
        await clerk.undo(single)


async def test_what_only_the_statement_knows_is_booked_by_somebody_else_than_its_loader(trade: Trade) -> None:
    bank, loader, other = Statements(trade), await office(trade), await office(trade, OTHER)
    owed = await trade.owes(trade.line(35_000))
    await bank.load(
        bank.day(bank.line("NEW1", 35_000, text=f"MB {owed.reference} ve"), bank.line("NEW2", -3_300)),
        who=loader.staff_id,
    )
    credit, debit = await ids(bank, "NEW1", "NEW2")
    with pytest.raises(match_by_hand.LoadedByYourself):
        await loader.book(credit)
    await other.book(credit)
    await other.book(debit)
    assert await bank.open() == []
    assert await ledger(trade) == {"bank": 31_700, "suspense": 3_300}
    async with trade.database.transaction(trade.operator_id) as tx:
        receipt = await tx.row("select id, references_found, source from payments.receipt where bank_ref = 'NEW1'")
    assert (receipt["references_found"], receipt["source"]) == ([owed.reference], "statement")


async def test_what_a_person_has_taken_stays_his_and_a_run_takes_the_rest(trade: Trade) -> None:
    bank, clerk = Statements(trade), await office(trade)
    for n in (1, 2):
        await trade.transfers("?", 5_000, bank_ref=f"FT{n}")
    await bank.load(bank.day(bank.line("OTHER", 5_000)), who=clerk.staff_id)
    await clerk.match(*await ids(bank, "OTHER", "FT1"))
    told = []
    await bank.load(bank.day(bank.line("FT1", 5_000), bank.line("FT2", 5_000)), who=clerk.staff_id, run=False)
    await matching.run(trade.database, trade.sealer, trade.operator_id, lambda *said: told.append(said))
    assert told == [("matched", 1)]
    assert [item["bank_ref"] for item in await bank.open()] == ["FT1"]


async def test_a_statement_that_the_bank_itself_was_asked_for_is_the_last_word(trade: Trade) -> None:
    bank = Statements(trade)
    done = await bank.load(bank.day(bank.line("NEW1", 35_000), bank.line("NEW2", -3_300)))
    assert done.lines == 2
    assert await bank.open() == [], "in the books from now on"
    assert await ledger(trade) == {"bank": 31_700, "suspense": 3_300}
    for number, amount_vnd in enumerate((10_000, 20_000, 30_000)):
        await trade.transfers("?", amount_vnd, bank_ref=f"FT{number}")
    await bank.load(bank.day(bank.line("BATCH", 65_000)))
    assert len(await bank.open()) == 4, "a batch with something more in it is not booked beside what it holds"


async def test_two_clerks_never_take_the_same_and_the_loser_is_told_who_has_it(trade: Trade) -> None:
    bank, one, two = Statements(trade), await office(trade), await office(trade, OTHER)
    await trade.transfers("?", 1_000, bank_ref="FT1")
    await bank.load(bank.day(bank.line("X1", 1_000), bank.line("X2", 1_000)), who=one.staff_id)
    (movement,), (x1,), (x2,) = await ids(bank, "FT1"), await ids(bank, "X1"), await ids(bank, "X2")
    done = await asyncio.gather(one.match(x1, movement), two.match(x2, movement), return_exceptions=True)
    (loser,) = [each for each in done if isinstance(each, BaseException)]
    assert isinstance(loser, match_by_hand.TakenMeanwhile)
    assert loser.facts["who"] != "?"
    assert (await ledger(trade))["bank"] == 1_000


async def test_a_bulk_is_what_was_seen_or_nothing(trade: Trade) -> None:
    bank, clerk, other = Statements(trade), await office(trade), await office(trade, OTHER)
    for n in range(3):
        await trade.transfers("?", 1_000 + n, bank_ref=f"FT{n}")
    await bank.load(bank.day(*(bank.line(f"X{n}", 1_000 + n) for n in range(3))), who=clerk.staff_id)
    found = [row["id"] for row in await suggestions(trade)]
    assert len(found) == 3
    await other.accept(found[0])
    with pytest.raises(match_by_hand.FilterChanged) as stopped:
        await clerk.accept(*found)
    assert stopped.value.facts["count"] == 2
    assert (await clerk.accept(*found[1:]))[0] == 2
    assert await bank.open() == []


async def test_equal_candidates_are_shown_together_and_never_taken_by_themselves(trade: Trade) -> None:
    bank, clerk = Statements(trade), await office(trade)
    for ref in ("FT1", "FT2"):
        await trade.transfers("?", 5_000, bank_ref=ref)
    await bank.load(bank.day(bank.line("X1", 5_000)), who=clerk.staff_id)
    found = await suggestions(trade)
    assert [row["ambiguous"] for row in found] == [True, True]
    with pytest.raises(match_by_hand.SuggestionUnsure):
        await clerk.accept(found[0]["id"])


async def test_a_match_in_closed_books_is_not_undone(trade: Trade, admin: asyncpg.Connection) -> None:
    bank, clerk = Statements(trade), await office(trade)
    await trade.transfers("?", 5_000, bank_ref="FT1")
    await bank.load(bank.day(bank.line("FT1", 5_000)))
    trade.now += timedelta(days=1)
    assert await clerk.close(bank.days[0].day)
    with pytest.raises(match_by_hand.MatchClosed):
        await clerk.undo(await line_of(trade, "FT1"))


async def test_what_happens_while_a_day_is_closed_is_before_the_close_or_after_it(
    trade: Trade, admin: asyncpg.Connection
) -> None:
    """Who begins first is waited for: a match undone, a statement taken in; and the day is looked at again."""
    bank, clerk = Statements(trade), await office(trade)
    await trade.transfers("?", 5_000, bank_ref="FT1")
    await bank.load(bank.day(bank.line("FT1", 5_000)))
    told, day = await line_of(trade, "FT1"), bank.today
    more = bank.day(bank.line("FT2", 6_000), day=day)
    trade.now += timedelta(days=1)

    async with trade.database.transaction(trade.operator_id) as tx:
        await match_by_hand.undo(
            tx,
            told,
            staff_id=clerk.staff_id,
            may_approve=True,
            reason="?",
            now=trade.now,
        )
        closing = asyncio.create_task(clerk.close(day))
        await somebody_waits(admin)
    with pytest.raises(ItemsUnnamed):
        await closing
    await bank.match()

    async with trade.database.transaction(trade.operator_id) as tx:
        await tx.one_at_a_time("statement")
        taking = asyncio.create_task(bank.load(more, run=False))
        await somebody_waits(admin)
        closing = asyncio.create_task(clerk.close(day))
        await somebody_waits(admin, 2)
    await taking
    with pytest.raises(CashNotProven):
        await closing
    assert await admin.fetchval("select count(*) from payments.day_close") == 0
    await bank.match()
    assert await clerk.close(day)
    with pytest.raises(match_by_hand.MatchClosed):
        await clerk.undo(told)


async def test_a_payment_on_its_way_while_a_day_is_closed_is_in_its_books_or_in_those_of_the_next(
    trade: Trade, admin: asyncpg.Connection
) -> None:
    bank, clerk = Statements(trade), await office(trade)
    await trade.transfers("?", 5_000, bank_ref="FT1")
    await bank.load(bank.day(bank.line("FT1", 5_000)))
    day, late = bank.today, trade.now
    trade.now += timedelta(days=1)
    async with trade.database.transaction(trade.operator_id) as tx:
        await receive(
            *(trade.database, trade.sealer, trade.operator_id, Credit(*trade.account, "LATE", 7_000, "?", late, "")),
            now=trade.now,
            source="notice",
            tx=tx,
        )
        closing = asyncio.create_task(clerk.close(day))
        await somebody_waits(admin)
    assert await closing
    async with trade.database.transaction(trade.operator_id) as tx:
        closed = await tx.row("select journals, turnover_vnd from payments.day_close")
        proof = await prove_cash(tx, day)
    assert tuple(closed) == tuple(
        await admin.fetchrow(
            "select count(distinct j.id), sum(t.amount_vnd) from payments.journal j join payments.transfer t"
            " on t.journal_id = j.id where j.operator_id = $1 and j.effective_day <= $2",
            trade.operator_id,
            day,
        )
    )
    assert (proof.movements.sum_vnd, proof.difference_vnd, proof.hindrance()) == (7_000, 0, None)


async def somebody_waits(admin: asyncpg.Connection, many: int = 1) -> None:
    """Until so many connections wait for a lock that another holds."""
    waiting = (
        "select count(*) from pg_locks where not granted and locktype = 'advisory'"
        " and database = (select oid from pg_database where datname = current_database())"
    )
    while await admin.fetchval(waiting) < many:
        await asyncio.sleep(0.01)


async def test_a_run_again_decides_the_same_to_the_bit(trade: Trade) -> None:
    bank, clerk = Statements(trade), await office(trade)
    for n in range(4):
        await trade.transfers("?", 5_000 + n % 2, bank_ref=f"FT{n}")
    await bank.load(bank.day(*(bank.line("", 5_000 + n % 2) for n in range(4))), who=clerk.staff_id)
    one, two = await bank.match(), await bank.match()
    assert (one.digest, one.open, one.suggestions) == (two.digest, two.open, two.suggestions)
    assert one.suggestions == 8, "each of them fits two"


async def test_nobody_nets_a_theft_with_somebody_elses_payment(trade: Trade) -> None:
    bank, clerk = Statements(trade), await office(trade)
    await trade.transfers("?", 70_000, bank_ref="FT1")
    await bank.load(bank.day(bank.line("THEFT", -5_000_000), bank.line("CUST", 5_000_000)), who=clerk.staff_id)
    with pytest.raises(match_by_hand.DirectionsMixed):
        await clerk.match(*await ids(bank, "THEFT", "CUST"))
    with pytest.raises(match_by_hand.SumsDiffer):
        await clerk.match(*await ids(bank, "FT1"))
    with pytest.raises(held.ReasonMissing):
        await clerk.name("dispute", *await ids(bank, "THEFT"))


async def test_a_file_that_a_clerk_gave_in_moves_no_payout_and_a_part_of_one_is_not_booked_beside_it(
    trade: Trade, admin: asyncpg.Connection
) -> None:
    desk, clerk = await Desk.of(trade), await office(trade)
    await trade.pays(trade.line(100_000))
    await desk.settled(hanoi_day(trade.now))
    run = await desk.makes()
    await desk.approves(run)
    desk.bank.fate = "accepted"
    await desk.works()
    row = await admin.fetchrow("select id, amount_vnd from payments.payout order by amount_vnd desc limit 1")
    bank = Statements(trade, balance_vnd=10_000_000)
    part = bank.line("P1", -1_000, end_to_end_id=row["id"].hex)
    await bank.load(bank.day(bank.line("X0", 1_000, end_to_end_id=row["id"].hex)), who=clerk.staff_id)
    state = "select state, debited_vnd from payments.payout where id = $1"
    assert tuple(await admin.fetchrow(state, row["id"])) == ("accepted", 0), "nothing was told by it"
    trade.now += timedelta(days=1)
    await bank.load(bank.day(part))
    assert tuple(await admin.fetchrow(state, row["id"])) == ("accepted", 1_000)
    assert not await admin.fetchval("select count(*) from payments.debit"), "a part of what is known"
    trade.now += timedelta(days=1)
    await bank.load(bank.day(bank.line("P2", 1_000 - row["amount_vnd"], end_to_end_id=row["id"].hex)))
    assert (await admin.fetchrow(state, row["id"]))["state"] == "settled"
    assert {item["bank_ref"] for item in await bank.open() if item["amount_vnd"] < 0} == set()
    assert (await books.prove(admin)).findings == ()


async def test_a_line_that_may_be_two_movements_is_open_once_and_a_person_says_which(
    trade: Trade, admin: asyncpg.Connection
) -> None:
    desk, bank = await Desk.of(trade), Statements(trade, balance_vnd=10_000_000)
    await trade.pays(trade.line(100_000))
    await desk.settled(hanoi_day(trade.now))
    await desk.approves(await desk.makes())
    desk.bank.fate = "accepted"
    await desk.works()
    row = await admin.fetchrow("select id, amount_vnd from payments.payout order by amount_vnd desc limit 1")
    account = "/".join(trade.account)
    told = PayoutLine(row["id"], account, "P", row["amount_vnd"], returns=False, at=trade.now)
    await payout.told(trade.database, trade.operator_id, told)
    async with trade.database.transaction(trade.operator_id) as tx:
        await debit.book(tx, Gone(account, "P", row["amount_vnd"], trade.now, "", ""))
    await bank.load(bank.day(bank.line("P", -row["amount_vnd"])))
    items = [item for item in await bank.open() if item["bank_ref"] == "P"]
    assert sorted((item["side"], item["kind"], item["state"]) for item in items) == [
        ("line", None, "ambiguous"),
        ("movement", "debit", "ambiguous"),
        ("movement", "payout", "ambiguous"),
    ]


async def test_what_a_vandal_does_to_statements_and_matches_is_found_and_named(
    trade: Trade, admin: asyncpg.Connection
) -> None:
    bank, clerk = Statements(trade), await office(trade)
    await trade.transfers("?", 1_000, bank_ref="FT1")
    await trade.transfers("?", 5_000, bank_ref="FT2")
    await trade.debited(3_300, bank_ref="PHI")
    await bank.load(
        bank.day(bank.line("FT2", 5_000), bank.line("PHI", -3_300), bank.line("FT1", 990)), who=clerk.staff_id
    )
    await clerk.match(*await ids(bank, "FT1"), difference="rounding", reason="làm tròn")
    trade.now += timedelta(days=1)
    await bank.load(bank.day(bank.line("FT3", 7_000)))
    await admin.execute("set jit = off")
    assert (await books.prove(admin)).findings == ()
    await admin.execute("set session_replication_role = replica")
    for rule, plant in DEFECTS:
        vandalism = admin.transaction()
        await vandalism.start()
        assert await admin.execute(plant) not in ("UPDATE 0", "DELETE 0"), plant
        found = await books.prove(admin)
        await vandalism.rollback()
        assert rule in {finding.rule for finding in found.findings}, plant


async def line_of(trade: Trade, ref: str) -> Matched:
    async with trade.database.transaction(trade.operator_id) as tx:
        return Matched(
            *await tx.row("select statement_id, position from payments.statement_line where bank_ref = $1", ref)
        )


async def movement_of(trade: Trade, ref: str) -> Matched:
    async with trade.database.transaction(trade.operator_id) as tx:
        return Matched(
            kind="receipt", movement_id=await tx.value("select id from payments.receipt where bank_ref = $1", ref)
        )


async def acts(trade: Trade) -> list[str]:
    async with trade.database.transaction(trade.operator_id) as tx:
        return [row["act"] for row in await tx.rows("select act from payments.matching_event order by id")]
