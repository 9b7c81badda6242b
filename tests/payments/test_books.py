"""The proof of the books: a day with every kind of event balances, and every defect planted into it is found and named."""

from __future__ import annotations

import asyncio

import asyncpg
import banking
import paying
import pytest
from returning import a_day_of_refunds
from trade import SOLD_OUT, Trade, a_day_of_everything

from foundation import outbox, texts
from foundation.database import Database
from foundation.settings import Settings
from payments import books, cashless_share, fiscal, give_back
from payments.books import Proof
from payments.payment import ROLLUP


@pytest.fixture
async def trade(settings: Settings, database: Database) -> Trade:
    """Two operators after a full day, whose statistics are counted."""
    made = await Trade.at(settings, database)
    await a_day_of_everything(made)
    await a_day_of_refunds(made)
    await a_day_of_documents(made)
    await a_day_of_everything(await Trade.at(settings, database, "dongda"))
    while claims := [claim for claim in await outbox.claim(database) if claim.kind == ROLLUP]:
        for claim in claims:
            await cashless_share.recount(database, claim)
            async with database.transaction(claim.operator_id) as tx:
                await outbox.done(tx, claim)
    return made


async def a_day_of_documents(trade: Trade) -> None:
    """Receipts and invoices are made, and two of them replaced and cancelled."""
    part, whole = await trade.owes(trade.line(40_000)), await trade.owes(trade.line(30_000))
    await trade.transfers(part.reference, 40_000)
    await trade.transfers(whole.reference, 30_000)
    await fiscal.make_what_is_missing(trade.database)
    who = (await trade.colleague()).staff_id
    for owed, amount_vnd in ((part, 10_000), (whole, None)):
        async with trade.database.transaction(trade.operator_id) as tx:
            said = {"staff_id": who, "reason": "ốm", "limit_vnd": 10**8, "now": trade.now}
            await give_back.give_back(tx, owed.reference, amount_vnd, **said)
    await fiscal.make_what_is_missing(trade.database)


async def proof_of_all(admin: asyncpg.Connection) -> Proof:
    await admin.execute("set jit = off")  # as on our own connections: compiling costs more than a day's books
    return await books.prove(admin)


async def test_a_day_with_every_kind_of_event_balances(admin: asyncpg.Connection, trade: Trade) -> None:
    proof = await proof_of_all(admin)
    assert proof.findings == ()
    assert proof.holds
    assert [line.invariant for line in proof.lines] == [f"M{n}" for n in range(1, 11)]
    assert all(line.checked for line in proof.lines), "an invariant looked at nothing"
    assert {item.rule for line in proof.lines for item in line.open} == {
        "clearing_open",
        "drawer_open",
        "held_open",
        "receivable_unmatched",
        "refund_open",
        "unapplied_open",
        "safe_open",
        "safe_below_zero",
        "suspense_open",
        "deposit_open",
        "unsettled_open",
        "fiscal_open",
        "fiscal_unserved",  # the firm with lots only has sold a ticket
    }


async def test_a_drawer_that_is_counted_and_not_handed_over_yet_balances(
    admin: asyncpg.Connection, settings: Settings, database: Database
) -> None:
    trade = await Trade.at(settings, database)
    who = await trade.attendant()
    await trade.opens(who, 500_000)
    await trade.counts(who, 490_000)
    assert (await proof_of_all(admin)).findings == ()
    await trade.hands_over(who, reason="change")
    assert (await proof_of_all(admin)).findings == ()


async def test_an_empty_platform_balances(admin: asyncpg.Connection) -> None:
    proof = await proof_of_all(admin)
    assert proof.findings == ()
    assert proof.lines[8].open == ()


async def test_what_is_open_is_named_with_its_amount(admin: asyncpg.Connection, trade: Trade) -> None:
    clearing = (await proof_of_all(admin)).lines[8]
    mine = [(item.rule, item.amount_vnd) for item in clearing.open if item.operator == "vanmieu"]
    assert ("clearing_open", 30_000) in mine
    assert ("held_open", 70_000) in mine, "the duplicate"
    assert ("held_open", 30_000) in mine, "the overpayment"
    assert ("held_open", 15_000) in mine, "what came before the refusal"
    assert sorted(amount for rule, amount in mine if rule == "unapplied_open") == [10_000, 20_000, 20_000]
    assert ("drawer_open", 170_000) in mine


CLOSED = (
    "select payments.close_day(o.id, (select max(effective_day) from payments.journal),"
    " (select id from foundation.staff s where s.operator_id = o.id limit 1), now() + interval '3 days',"
    " gen_random_uuid(), '{}') from foundation.operator o;"
)

# What a vandal with all rights does, and the rule that must name it. Each runs alone and is undone.
DEFECTS: dict[str, list[tuple[str, str]]] = {
    "M1": [
        (
            "journal_without_transfer",
            "delete from payments.transfer where journal_id = (select id from payments.journal limit 1)",
        ),
        (
            "transfer_without_journal",
            "delete from payments.journal where id = (select id from payments.journal limit 1)",
        ),
        (
            "transfer_unfit",
            "alter table payments.transfer drop constraint transfer_amount;"
            "update payments.transfer set amount_vnd = 0 where ctid = (select min(ctid) from payments.transfer)",
        ),
        (
            "transfer_unfit",
            "alter table payments.transfer drop constraint transfer_two_accounts;"
            "update payments.transfer set credit = debit where ctid = (select min(ctid) from payments.transfer)",
        ),
    ],
    "M2": [
        (
            "account_unknown",
            "update payments.transfer set debit = 'pocket' where ctid = (select min(ctid) from payments.transfer)",
        ),
        (
            "accounts_unequal",
            "update payments.transfer set credit = 'pocket' where ctid = (select min(ctid) from payments.transfer)",
        ),
        ("accounts_unequal", "delete from payments.account where code = 'operator_payable'"),
        ("account_unfit", "update payments.account set kind = 'A' where code = 'operator_payable'"),
        (
            "account_unfit",
            "alter table payments.account drop constraint account_authorising;"
            "update payments.account set authorising = true where code = 'gw_receivable'",
        ),
        ("account_unfit", "update payments.account set kind = 'L' where code like 'cash_drawer:%'"),
        ("account_unfit", "insert into payments.account select id, 'pocket', 'A', false from foundation.operator"),
    ],
    "M3": [
        ("reserved_differs", "update payments.balance set reserved_vnd = 1 where balance_vnd > 0"),
        (
            "closed_day_differs",
            "insert into payments.day_close (operator_id, day, number, journals, turnover_vnd, closed_by, closed_at)"
            " select id, '2020-01-01', 1, 0, 0, id, now() from foundation.operator;"
            "insert into payments.day_balance (operator_id, day, number, account, debits_vnd, credits_vnd, closing_vnd)"
            " select id, '2020-01-01', 1, 'overpaid_held', 5, 0, 5 from foundation.operator",
        ),
        (
            "closed_day_differs",
            "insert into payments.day_close (operator_id, day, number, journals, turnover_vnd, closed_by, closed_at)"
            " select id, d, 1, 0, 0, id, now() from foundation.operator,"
            " (values ('2020-01-01'::date), ('2020-01-02')) of (d);"
            "insert into payments.day_balance (operator_id, day, number, account, debits_vnd, credits_vnd, closing_vnd)"
            " select id, '2020-01-01', 1, 'overpaid_held', 5, 0, 5 from foundation.operator",
        ),
        ("balance_differs", "update payments.balance set balance_vnd = balance_vnd + 1"),
        ("balance_differs", "update payments.balance set balance_vnd = balance_vnd - 1 where balance_vnd > 0"),
        (
            "balance_differs",
            "update payments.transfer set amount_vnd = amount_vnd - 1 where debit like 'cash_drawer:%'",
        ),
        ("balance_missing", "delete from payments.balance where balance_vnd > 0"),
        (
            "balance_unasked",
            "insert into payments.balance select operator_id, code, 0 from payments.account where code = 'gw_receivable'",
        ),
        ("rollup_differs", "update payments.cashless_day set units = units + 1 where means = 'CASH'"),
        ("rollup_differs", "update payments.cashless_day set amount_vnd = amount_vnd - 1 where means = 'PENDING'"),
        (
            "rollup_differs",
            "update payments.cashless_day set channel = 'CASH_DEPOSIT' where channel = 'ATTENDANT_PROXY'",
        ),
        ("rollup_differs", "update payments.cashless_day set service_day = service_day - 1"),
        ("rollup_differs", "delete from payments.cashless_day where means = 'FREE'"),
        ("rollup_differs", "update payments.charge set given_back_vnd = 0 where given_back_vnd = amount_vnd"),
        ("rollup_differs", "update payments.charge set given_back_vnd = 1 where given_back_vnd = 10000"),
        ("rollup_differs", "update payments.charge_line set \"class\" = 'child' where \"class\" = 'motorbike'"),
        ("rollup_differs", "update payments.charge_line set environment = 'production'"),
        (
            "closed_day_differs",
            CLOSED + "update payments.day_close set turnover_vnd = turnover_vnd + 1 where journals > 0",
        ),
        ("closed_day_differs", CLOSED + "update payments.day_close set journals = journals + 1"),
        (
            "closed_day_differs",
            CLOSED + "update payments.day_balance set debits_vnd = debits_vnd + 9, closing_vnd = closing_vnd + 9"
            " where account = 'gw_receivable'",
        ),
        ("closed_day_differs", CLOSED + "delete from payments.day_balance where account = 'gw_receivable'"),
    ],
    "M4": [
        ("held_use_differs", "update payments.held set used_vnd = 1 where closed_at is null and used_vnd = 0"),
        (
            "outcome_differs",
            "update payments.receipt_outcome set applied_vnd = applied_vnd + 1 where outcome = 'applied'",
        ),
        ("outcome_differs", "update payments.receipt_outcome set held_vnd = held_vnd - 1 where outcome = 'overpaid'"),
        ("outcome_differs", "update payments.receipt set amount_vnd = amount_vnd + 1"),
        (
            "outcome_without_receipt",
            "delete from payments.receipt where id in (select receipt_id from payments.receipt_outcome)",
        ),
        ("received_differs", "update payments.charge set received_vnd = received_vnd + 1 where state = 'partial'"),
        ("received_differs", "update payments.charge set received_vnd = received_vnd - 1 where state = 'partial'"),
        ("received_differs", "delete from payments.charge where state = 'paid'"),
        ("received_differs", "delete from payments.cash_receipt"),
        ("held_differs", "update payments.held set amount_vnd = amount_vnd - 1 where closed_at is null"),
        ("held_differs", "delete from payments.held where reason = 'duplicate'"),
        ("held_differs", "update payments.held set reason = 'overpaid' where reason = 'unknown_reference'"),
        (
            "refund_beyond_receipt",
            "update payments.refund set amount_vnd = amount_vnd + 1000000 where state in ('accepted', 'settled')",
        ),
        ("held_use_differs", "update payments.refund set amount_vnd = amount_vnd + 1 where state = 'settled'"),
        ("held_use_differs", "delete from payments.refund where state = 'requested'"),
        (
            "held_use_differs",
            "update payments.refund set state = 'rejected', ended_at = now() where state = 'requested'",
        ),
        (
            "given_back_differs",
            "update payments.charge set given_back_vnd = given_back_vnd - 1 where given_back_vnd > 0",
        ),
        (
            "given_back_differs",
            "update payments.charge set given_back_vnd = 5 where state = 'paid' and given_back_vnd = 0",
        ),
        ("held_differs", "update payments.held set reason = 'returned' where reason = 'duplicate'"),
        ("held_differs", "update payments.held set reason = 'given_back' where reason = 'duplicate'"),
        ("held_differs", "delete from payments.given_back"),
        ("attempt_differs", "delete from payments.attempt where state = 'paid'"),
        ("attempt_differs", "update payments.attempt set amount_vnd = amount_vnd + 1 where state = 'paid'"),
        ("attempt_differs", "update payments.attempt set transaction_no = 'x' || transaction_no where state = 'paid'"),
        ("attempt_differs", "update payments.attempt set gateway_ref = gateway_ref || '0' where state = 'paid'"),
        ("attempt_differs", "update payments.receipt set gateway = 'bank' where gateway = 'vnpay'"),
        (
            "attempt_differs",
            "update payments.attempt set state = 'paid', transaction_no = id::text where state = 'declined'",
        ),
        ("proxy_differs", "update payments.proxy_transfer set received_vnd = received_vnd - 1 where received_vnd > 0"),
        ("proxy_released_differs", "update payments.proxy_transfer set released_vnd = 1 where received_vnd = 0"),
        ("proxy_released_differs", "update payments.cash_refund set proxy_vnd = 1"),
        ("proxy_amount_differs", "update payments.proxy_transfer set amount_vnd = amount_vnd + 1"),
        ("proxy_amount_differs", "delete from payments.proxy_transfer where received_vnd = 0"),
        ("proxy_amount_differs", "update payments.cash_receipt set proxy = false where proxy"),
        ("proxy_differs", "delete from payments.proxy_arrival"),
        ("notes_arrival_differs", "update payments.receipt_outcome set outcome = 'proxy' where outcome = 'deposit'"),
        ("notes_arrival_differs", "update payments.deposit_arrival set amount_vnd = amount_vnd - 1"),
        (
            "notes_arrival_differs",
            "update payments.proxy_arrival set reference = (select max(reference) from payments.proxy_transfer)",
        ),
        ("deposit_differs", "update payments.deposit set arrived_vnd = arrived_vnd + 1 where short_vnd is null"),
        ("deposit_differs", "update payments.deposit set amount_vnd = amount_vnd + 1 where short_vnd is null"),
        ("deposit_differs", "delete from payments.deposit_shift"),
        (
            "given_back_differs",
            "update payments.charge set given_back_vnd = given_back_vnd + 1"
            " where state = 'paid' and given_back_vnd < received_vnd",
        ),
        ("given_back_differs", "update payments.charge set given_back_vnd = 0"),
        ("given_back_differs", "delete from payments.cash_refund"),
        ("debit_differs", "update payments.debit set settled_vnd = settled_vnd - 1 where settled_vnd = amount_vnd"),
        ("debit_differs", "delete from payments.debit_settled where way = 'loss'"),
        ("debit_differs", "delete from payments.held_use where kind = 'debit'"),
        ("shortage_differs", "update payments.shift set explained_vnd = 0"),
        ("shortage_differs", "update payments.notes_found set explained_vnd = 1"),
        (
            "shortage_differs",
            "update payments.proxy_arrival set explained_vnd = explained_vnd - 1 where explained_vnd > 0",
        ),
    ],
    "M5": [
        ("trigger_missing", "alter table payments.transfer disable trigger never_changed"),
        ("trigger_missing", "alter table payments.journal disable trigger never_emptied"),
        ("trigger_missing", "drop trigger never_changed on payments.receipt"),
        ("trigger_missing", "alter table payments.line_paid enable replica trigger never_changed"),
        (
            "trigger_missing",
            "create or replace function foundation.never() returns trigger language plpgsql as 'begin return new; end'",
        ),
        ("grant_too_wide", "grant update on payments.transfer to motcham_app"),
        ("grant_too_wide", "grant update (amount_vnd) on payments.transfer to motcham_app"),
        ("grant_too_wide", "grant delete on payments.journal to public"),
        ("role_too_strong", "grant motcham_owner to motcham_app"),
        ("role_too_strong", "alter role motcham_app bypassrls"),
    ],
    "M6": [
        (
            "fiscal_numbers",
            "delete from payments.fiscal_document where ctid = (select min(ctid) from payments.fiscal_document)",
        ),
        ("fiscal_numbers", "update payments.fiscal_series set last_number = last_number + 1 where last_number > 0"),
        (
            "fiscal_numbers",
            "alter table payments.fiscal_document drop constraint fiscal_document_number_key;"
            "update payments.fiscal_document set number = 2 where number = 1",
        ),
        ("fiscal_differs", "delete from payments.fiscal_document where number = 1"),
        ("fiscal_differs", "update payments.fiscal_document set amount_vnd = amount_vnd + 1 where number = 1"),
        (
            "fiscal_differs",
            "delete from payments.fiscal_end where ctid = (select min(ctid) from payments.fiscal_end)",
        ),
        ("fiscal_differs", "update payments.charge set documented_vnd = documented_vnd - 1 where documented_vnd > 0"),
        ("fiscal_differs", "update payments.fiscal_document set line_no = 7 where number = 1"),
        ("fiscal_terms", "update payments.fiscal_document set vat_vnd = vat_vnd + 1 where vat_bp > 0"),
        ("fiscal_terms", "update payments.fiscal_term set vat_bp = 1000 where service = 'parking'"),
        ("fiscal_terms", "update payments.fiscal_document set sold_at = sold_at - interval '1 s' where number = 1"),
        ("fiscal_untold", "delete from payments.fiscal_sending where number = 1"),
        ("fiscal_untold", "delete from foundation.due where kind = 'payments.fiscal'"),
        ("fiscal_untold", "delete from payments.fiscal_sending where what = 'cancel'"),
        (
            "fiscal_late",
            "update payments.journal set recorded_at = recorded_at - interval '2 hours'"
            " where operator_id = (select id from foundation.operator where code = 'dongda')",
        ),
        (
            "event_without_journal",
            "with gone as (delete from payments.journal where template = 'cash.sold' returning id)"
            " delete from payments.transfer where journal_id in (select id from gone)",
        ),
        (
            "event_without_journal",
            "insert into payments.receipt select operator_id, gen_random_uuid(), bank_account, bank_ref || 'x', amount_vnd,"
            " paid_at, references_found, text_sealed, payer_sealed, source, recorded_at from payments.receipt",
        ),
        (
            "event_without_journal",
            "update payments.charge set state = 'paid', received_vnd = amount_vnd where state = 'open'",
        ),
        ("means_differ", "update payments.line_paid set means = 'WALLET' where means = 'CARD'"),
        ("means_differ", "update payments.line_paid set means = 'QR_TRANSFER' where means = 'CARD'"),
        ("means_differ", "update payments.line_paid set means = 'CARD' where means = 'QR_TRANSFER'"),
        ("means_differ", "update payments.receipt set means = 'WALLET' where means = 'CARD'"),
        ("journal_without_event", "delete from payments.cash_receipt"),
        (
            "journal_without_event",
            "update payments.charge set state = 'open', received_vnd = 0, given_back_vnd = 0 where state = 'paid'",
        ),
        ("journal_without_event", "update payments.shift set float_vnd = 0, opened_notes = null"),
        (
            "journal_differs",
            "update payments.transfer set amount_vnd = amount_vnd + 1 where credit = 'operator_payable'",
        ),
        ("journal_differs", "update payments.transfer set amount_vnd = amount_vnd - 1 where debit = 'gw_receivable'"),
        (
            "journal_differs",
            "update payments.transfer set debit = credit, credit = debit where debit = 'gw_receivable'",
        ),
        ("journal_differs", "update payments.transfer set flow = null where flow is not null"),
        ("journal_differs", "update payments.journal set template = 'receipt.held' where template = 'receipt.applied'"),
        (
            "journal_without_event",
            "update payments.refund set state = 'unknown', accepted_at = null, ended_at = null, look_at = now()"
            " where state = 'settled'",
        ),
        (
            "event_without_journal",
            "update payments.refund set state = 'accepted', accepted_at = now(), look_at = now() where state = 'unknown'",
        ),
        ("event_without_journal", "update payments.refund set state = 'returned' where state = 'settled'"),
        ("journal_without_event", "update payments.refund set state = 'settled' where state = 'returned'"),
        (
            "journal_moved",
            "update payments.refund set ended_at = ended_at + interval '1 hour' where state = 'returned'",
        ),
        ("journal_moved", "update payments.refund set accepted_at = accepted_at - interval '1 hour'"),
        ("journal_differs", "update payments.given_back set amount_vnd = amount_vnd - 1"),
        ("receipt_numbers", "update payments.shift set receipts = receipts + 1"),
        ("receipt_numbers", "delete from payments.cash_receipt where number = 1"),
        ("slip_numbers", "update payments.shift set drops = drops + 1"),
        ("slip_numbers", "delete from payments.cash_drop where number = 1"),
        ("slip_numbers", "update payments.cash_refund set number = number + 1"),
        ("shift_numbers", "delete from payments.shift where number = 1"),
        ("report_differs", "delete from payments.shift_report"),
        (
            "report_differs",
            "alter table payments.shift_report drop constraint shift_report_sha256;"
            "update payments.shift_report set figures = replace(figures, '\"cash_vnd\":70000', '\"cash_vnd\":69000')",
        ),
        (
            "report_differs",
            "update payments.shift_report r set figures = f.changed,"
            " sha256 = encode(sha256(convert_to(f.changed, 'UTF8')), 'hex') from (select shift_id,"
            " replace(figures, '\"expected_vnd\":150000', '\"expected_vnd\":151000') as changed"
            " from payments.shift_report) f where f.shift_id = r.shift_id",
        ),
        # An attendant's transfer that bought notes out of the drawer is said to have bought them out of the safe.
        (
            "journal_differs",
            "update payments.transfer set credit = 'cash_in_transit' where debit = 'unapplied_receipts'"
            " and credit like 'cash_drawer:%'",
        ),
        ("journal_differs", "update payments.proxy_arrival set drawer_vnd = drawer_vnd - 1 where drawer_vnd > 1"),
        (
            "event_without_journal",
            "update payments.cash_drop set received_at = now(), received_by = operator_id, voided_at = null"
            " where received_at is null",
        ),
        ("journal_without_event", "update payments.cash_drop set received_at = null, received_by = null"),
        ("journal_without_event", "delete from payments.notes_found"),
        ("journal_without_event", "delete from payments.debit where settled_vnd = 0"),
        ("journal_differs", "update payments.debit_settled set way = 'loss' where way = 'charge'"),
        ("journal_moved", "update payments.debit set left_at = left_at - interval '1 day'"),
        ("journal_without_event", "delete from payments.cash_refund"),
        ("journal_without_event", "delete from payments.deposit_arrival"),
        ("event_without_journal", "update payments.journal set source_type = 'charge' where purpose = 'seen'"),
        (
            "journal_moved",
            "update payments.journal set effective_at = effective_at - interval '1 day', effective_day = effective_day - 1"
            " where template = 'service.delivered'",
        ),
        ("journal_moved", "update payments.journal set effective_at = effective_at + interval '1 second'"),
        ("journal_moved", "update payments.receipt set paid_at = paid_at - interval '1 day'"),
        ("journal_moved", "update payments.shift set closed_at = closed_at - interval '1 day'"),
        ("journal_moved", "update payments.charge_event set at = at - interval '1 day', receipt_id = null"),
        ("paid_at_differs", "update payments.charge set paid_at = paid_at - interval '1 day' where state = 'paid'"),
        ("paid_at_differs", "update payments.charge set paid_at = null where state = 'paid'"),
        ("paid_at_differs", "update payments.cash_receipt set at = at - interval '1 day'"),
        ("line_moved", "update payments.line_paid set paid_at = paid_at - interval '1 day'"),
        ("line_astray", "update payments.charge_line set service_day = service_day - 1"),
        (
            "means_differ",
            "update payments.line_paid set means = 'QR_TRANSFER', channel = 'GATEWAY' where channel = 'CASH_DEPOSIT'",
        ),
        ("means_differ", "update payments.line_paid set means = 'CASH' where means = 'QR_TRANSFER'"),
        ("means_differ", "update payments.line_paid set channel = 'CASH_DEPOSIT' where channel = 'ATTENDANT_PROXY'"),
        ("lines_differ", "delete from payments.line_paid where line_no = 1"),
        ("amount_differs", "update payments.charge_line set amount_vnd = amount_vnd + 1"),
        ("amount_differs", "update payments.charge set amount_vnd = amount_vnd + 1 where state = 'open'"),
        ("amount_differs", "delete from payments.charge_line"),
    ],
    "M7": [
        (
            "overdrawn",
            "update payments.journal set recorded_at = recorded_at - interval '1 day' where template = 'shift.closed'",
        ),
        ("overdrawn", "update payments.transfer set amount_vnd = amount_vnd * 9 where credit like 'cash_drawer:%'"),
    ],
    "M8": [
        ("recorded_in_future", "update payments.journal set recorded_at = clock_timestamp() + interval '1 minute'"),
        (
            "recorded_before_cause",
            "update payments.journal set recorded_at = '2020-01-01' where template = 'receipt.seen'",
        ),
        (
            "recorded_before_cause",
            "update payments.journal set recorded_at = '2020-01-01' where template = 'service.delivered'",
        ),
        (
            "recorded_before_cause",
            "update payments.journal set recorded_at = '2020-01-01' where template = 'receipt.held'",
        ),
        ("day_differs", "update payments.journal set effective_day = effective_day + 1 where template = 'cash.sold'"),
        ("time_not_ours", "alter table payments.journal alter recorded_at drop default"),
    ],
    "M9": [
        (
            "clearing_not_zero",
            "update payments.transfer set amount_vnd = amount_vnd - 1 where credit = 'operator_payable'",
        ),
        (
            "clearing_not_zero",
            "update payments.transfer set amount_vnd = amount_vnd + 1 where credit = 'operator_payable'",
        ),
        (
            "clearing_not_zero",
            "delete from payments.transfer where debit = 'intent_clearing' and credit = 'overpaid_held'",
        ),
        ("clearing_not_zero", "update payments.charge set received_vnd = received_vnd - 1 where state = 'partial'"),
        (
            "held_unexplained",
            "update payments.held set used_vnd = amount_vnd, closed_at = now() where reason = 'duplicate'",
        ),
        ("held_unexplained", "update payments.transfer set amount_vnd = amount_vnd + 1 where credit = 'overpaid_held'"),
        ("held_unexplained", "delete from payments.transfer where credit = 'overpaid_held'"),
        ("refund_unexplained", "delete from payments.refund where state = 'requested'"),
        (
            "refund_unexplained",
            "update payments.transfer set amount_vnd = amount_vnd - 1 where debit = 'refund_clearing'",
        ),
        (
            "receivable_differs",
            "update payments.refund set state = 'unknown', accepted_at = null, ended_at = null, look_at = now()"
            " where state = 'settled'",
        ),
        (
            "unapplied_unexplained",
            "update payments.held set used_vnd = amount_vnd, closed_at = now() where reason = 'ambiguous'",
        ),
        ("unapplied_unexplained", "delete from payments.transfer where debit = 'unapplied_receipts'"),
        ("unapplied_unexplained", "delete from payments.receipt_outcome where outcome = 'applied'"),
        ("receipt_forgotten", "delete from foundation.due where kind = 'payments.apply'"),
        ("receivable_differs", "update payments.receipt set amount_vnd = amount_vnd + 1"),
        ("receivable_differs", "update payments.receipt set amount_vnd = amount_vnd - 1"),
        ("receivable_differs", "delete from payments.debit where settled_vnd = 0"),
        ("suspense_unexplained", "update payments.debit set settled_vnd = 1 where settled_vnd = 0"),
        ("suspense_unexplained", "delete from payments.transfer where credit = 'suspense'"),
        ("drawer_not_empty", "delete from payments.transfer where debit = 'cash_over_short'"),
        (
            "drawer_not_empty",
            "delete from payments.transfer where debit like 'cash_drawer:%' and credit = 'intent_clearing'",
        ),
        ("drawer_without_shift", "delete from payments.shift"),
        ("safe_differs", "update payments.shift set safe_vnd = safe_vnd + 1"),
        ("safe_differs", "update payments.shift set bagged_vnd = 0"),
        ("safe_differs", "update payments.cash_drop set received_at = null, received_by = null"),
        (
            "transit_unexplained",
            "update payments.deposit set short_agreed_at = null, short_agreed_by = null where short_agreed_at is not null",
        ),
        ("transit_unexplained", "update payments.deposit set arrived_vnd = 0 where short_vnd is null"),
        ("transit_unexplained", "delete from payments.transfer where debit = 'cash_in_transit'"),
    ],
    "M10": [
        (
            "refused_but_paid",
            "insert into payments.line_paid select operator_id, charge_id, line_no, 'QR_TRANSFER', 'GATEWAY', now(), now()"
            f" from payments.charge_line where reference = '{SOLD_OUT}'",
        ),
        (
            "refused_but_booked",
            "with made as (insert into payments.journal select operator_id, gen_random_uuid(), 'service.delivered', 1, 'charge',"
            " id::text, 'delivered', now(), foundation.hanoi_day(now())"
            " from payments.charge where state = 'refused' returning operator_id, id)"
            " insert into payments.transfer select operator_id, id, 1, 'intent_clearing', 'operator_payable', 1000 from made",
        ),
        (
            "refused_but_cash",
            "update payments.cash_receipt k set charge_id = c.id from payments.charge c"
            " where c.operator_id = k.operator_id and c.state = 'refused'",
        ),
        (
            "posted_twice",
            "alter table payments.journal drop constraint journal_source_key;"
            "insert into payments.journal select operator_id, gen_random_uuid(), template, version, source_type, source_id,"
            " purpose, effective_at, effective_day from payments.journal",
        ),
        ("source_not_unique", "alter table payments.journal drop constraint journal_source_key"),
    ],
}


@pytest.mark.parametrize("invariant", DEFECTS)
async def test_every_planted_defect_is_found_and_named(admin: asyncpg.Connection, trade: Trade, invariant: str) -> None:
    # Nothing stops this vandal: no trigger, no foreign key.
    await admin.execute("set session_replication_role = replica")
    for rule, plant in DEFECTS[invariant]:
        vandalism = admin.transaction()
        await vandalism.start()
        await admin.execute(plant)
        proof = await proof_of_all(admin)
        await vandalism.rollback()
        found = [finding for finding in proof.findings if (finding.invariant, finding.rule) == (invariant, rule)]
        assert found, f"{invariant} does not see: {plant}"
        assert all(finding.account or finding.flow or finding.operator for finding in found), "found, but not named"
        assert not proof.holds
    assert (await proof_of_all(admin)).holds


def test_every_rule_has_a_planted_defect() -> None:
    named = {key.removeprefix("finance.books.rule.") for key in texts.catalogue("en") if "finance.books.rule." in key}
    planted = {
        rule
        for defects in (*DEFECTS.values(), paying.DEFECTS, paying.OF_CLOSES, banking.DEFECTS, banking.OF_WITHDRAWALS)
        for rule, _ in defects
    }
    assert named - planted == {
        "clearing_open",
        "drawer_open",
        "held_open",
        "receivable_unmatched",
        "refund_open",
        "unapplied_open",
        "safe_open",
        "safe_below_zero",
        "suspense_open",
        "deposit_late",
        "deposit_open",
        "line_undecided",
        "unsettled_open",
        "due_open",
        "due_late",
        "payout_open",
        "fiscal_open",
        "fiscal_unserved",
    }
    assert planted <= named


async def test_a_surplus_is_named_with_its_amount_and_age(admin: asyncpg.Connection, trade: Trade) -> None:
    await admin.execute("set session_replication_role = replica")
    journal = await admin.fetchrow(
        "update payments.transfer set amount_vnd = amount_vnd + 500 where journal_id ="
        " (select id from payments.journal where template = 'service.delivered' order by recorded_at limit 1)"
        " returning flow, (select recorded_at from payments.journal where id = journal_id)"
    )
    clearing = next(f for f in (await proof_of_all(admin)).lines[8].findings if f.rule == "clearing_not_zero")
    assert (clearing.operator, clearing.account, clearing.flow, clearing.amount_vnd) == (
        "vanmieu",
        "intent_clearing",
        str(journal["flow"]),
        -500,
    )
    assert clearing.since is not None


async def test_an_operator_proves_his_own_books_and_sees_no_other(
    admin: asyncpg.Connection, trade: Trade, database: Database
) -> None:
    await admin.execute("set session_replication_role = replica")
    other = await admin.fetchval("select id from foundation.operator where code = 'dongda'")
    await admin.execute("update payments.balance set balance_vnd = balance_vnd + 1 where operator_id = $1", other)
    async with database.transaction(trade.operator_id, isolation="repeatable read") as tx:
        mine = await books.prove(tx.connection, operator_id=trade.operator_id)
    async with database.transaction(other, isolation="repeatable read") as tx:
        his = await books.prove(tx.connection, operator_id=other)
    assert mine.holds
    assert {item.operator for line in mine.lines for item in line.open} == {"vanmieu"}
    assert [finding.rule for finding in his.findings] == ["balance_differs"] * 5


async def test_the_command_says_a_line_per_invariant_and_fails_for_a_defect(
    settings: Settings, trade: Trade, admin: asyncpg.Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await asyncio.to_thread(books.report, settings) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines if line.startswith("M")] == [[f"M{n}", "holds"] for n in range(1, 11)]
    assert lines[-1] == "The books balance."

    await admin.execute(
        "set session_replication_role = replica; update payments.receipt set amount_vnd = amount_vnd + 7"
    )
    assert await asyncio.to_thread(books.report, settings) == 1
    said = capsys.readouterr().out
    assert "M9  BROKEN" in said
    assert "gw_receivable" in said
    assert "The books do not balance" in said


def test_the_command_says_in_one_sentence_that_it_cannot_look(capsys: pytest.CaptureFixture[str]) -> None:
    nowhere = Settings(database_keeper_url="postgresql://motcham_keeper:secret@127.0.0.1:1/motcham")  # type: ignore[arg-type]
    assert books.report(nowhere) == 2
    said = capsys.readouterr().out
    assert "does not answer" in said
    assert "secret" not in said
