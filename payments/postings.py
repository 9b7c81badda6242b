"""Every posting there is: which event debits which account and credits which (money.md 2.9), as one versioned table.

Read "debit → credit"; debits increase assets and expenses, credits increase liabilities and income. A posting is never
edited: a change is a new row with the next version, and the old one stays, because journals name the version they were
made by. Each row has a worked example in `tests/payments/test_ledger.py`. Pure data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

ACCOUNTS: Mapping[str, str] = {
    # C clearing (returns to zero), A asset, L liability, I income, E expense
    "gw_receivable": "C",  # credited at the bank, not yet seen on its statement
    "unapplied_receipts": "L",  # arrived, and nobody has decided yet what it is for
    "intent_clearing": "C",  # applied to a charge whose service is not yet delivered
    "operator_payable": "L",  # earned by services, and not yet settled among the payees
    "overpaid_held": "L",  # the payer's: it goes back
    "refund_clearing": "C",  # on its way back to a payer
    "cash_in_transit": "A",  # notes in the safe or in a bag, on their way to the bank
    "suspense": "A",  # left the account by nobody of us, and nobody knows yet what it was
    "bank_charges": "E",  # what the bank took for itself
    "losses": "E",  # taken from the account, and nothing of it comes back
    "cash_over_short": "E",  # what a count found missing (debit) or too much (credit)
    "payout_clearing": "C",  # on its way to a payee
    "rounding": "E",  # small differences between the bank's word and ours
    "bank_interest": "I",  # what the bank paid for itself
    "kept_by_operator": "C",  # his, and not on the account: notes in his safe, shortages, what the bank took
}
"""The accounts that every operator has from its first day, with their kind. Each shift adds a drawer of its own, each payee
what it is owed and what of it is held back."""

PAYABLE = "payee_payable:{payee}"
RESERVE = "payee_reserve:{payee}"
"""Liabilities: what a payee is owed, and what of it is held back for a while."""

BANK = "bank:{account}"
"""An asset: what the bank's statements say of a collection account, as far as it is matched with what is in the books."""

DRAWER = "cash_drawer:{shift}"
"""An asset that authorises: it has a guarded balance row and can never hold less than nothing."""

Template = Literal[
    "receipt.seen",
    "receipt.applied",
    "receipt.held",
    "held.taken",
    "charge.released",
    "service.delivered",
    "charge.given_back",
    "refund.requested",
    "refund.sent",
    "cash.sold",
    "cash.given_back",
    "proxy.transferred",
    "proxy.explained",
    "cash.dropped",
    "deposit.arrived",
    "deposit.short",
    "shift.opened",
    "shift.closed",
    "shift.short",
    "shift.over",
    "shift.found",
    "debit.seen",
    "debit.charge",
    "debit.met",
    "debit.lost",
    "payee.earned",
    "payee.gave_back",
    "payee.paid",
    "payee.kept",
    "payee.handed",
    "payee.held_back",
    "payee.released",
    "payout.reserved",
    "payout.sent",
    "line.credit",
    "line.debit",
    "line.less",
    "line.more",
]


@dataclass(frozen=True, slots=True)
class Posting:
    """One row: the event, its version, "debit → credit", and what happened. {drawer} is the drawer of the shift
    concerned, or cash_in_transit once that shift is counted; {payee} who is concerned, {other} to whom he owes it; {account}
    a collection account, or where a difference is booked."""

    template: Template
    version: int
    debit: str
    credit: str
    event: str


POSTINGS = (
    Posting("receipt.seen", 1, "gw_receivable", "unapplied_receipts", "the bank tells of a credit"),
    Posting("receipt.applied", 1, "unapplied_receipts", "intent_clearing", "a receipt pays (a part of) a charge"),
    Posting("receipt.held", 1, "unapplied_receipts", "overpaid_held", "a receipt, or its rest, must go back"),
    Posting("held.taken", 1, "overpaid_held", "unapplied_receipts", "held money turns out to be for another charge"),
    Posting("charge.released", 1, "intent_clearing", "overpaid_held", "a part payment of what is not supplied"),
    Posting("service.delivered", 1, "intent_clearing", "operator_payable", "a ticket issued, a stay paid"),
    Posting("charge.given_back", 1, "operator_payable", "overpaid_held", "the operator gives back what he earned"),
    Posting("refund.requested", 1, "overpaid_held", "refund_clearing", "money of a payer is to go back to him"),
    Posting("refund.sent", 1, "refund_clearing", "gw_receivable", "the gateway has sent it"),
    Posting("cash.given_back", 1, "refund_clearing", "{drawer}", "notes handed back from an open drawer"),
    Posting("cash.sold", 1, "{drawer}", "intent_clearing", "notes taken for a charge"),
    Posting("proxy.transferred", 1, "unapplied_receipts", "{drawer}", "an attendant's transfer buys his guest's notes"),
    Posting("proxy.explained", 1, "unapplied_receipts", "cash_over_short", "a late one: the notes missing were his"),
    Posting("cash.dropped", 1, "cash_in_transit", "{drawer}", "notes taken to the safe during a shift, signed for"),
    Posting(
        "deposit.arrived", 1, "unapplied_receipts", "cash_in_transit", "the bank tells of notes that were deposited"
    ),
    Posting("deposit.short", 1, "cash_over_short", "cash_in_transit", "notes of a bag that never arrived, two agreed"),
    Posting("shift.opened", 1, "{drawer}", "cash_in_transit", "notes for change, handed over"),
    Posting("shift.closed", 1, "cash_in_transit", "{drawer}", "the drawer's notes, counted into the safe"),
    Posting("shift.short", 1, "cash_over_short", "{drawer}", "less in the drawer than was expected"),
    Posting("shift.found", 1, "cash_in_transit", "cash_over_short", "notes of a closed shift, seen only later"),
    Posting("debit.seen", 1, "suspense", "gw_receivable", "the bank tells of money that left and that none of us sent"),
    Posting("debit.charge", 1, "bank_charges", "suspense", "it was the bank's own charge"),
    Posting(
        "debit.met", 1, "unapplied_receipts", "suspense", "a recall of what is held, or what came back as a receipt"
    ),
    Posting("debit.lost", 1, "losses", "suspense", "nothing of it comes back"),
    Posting("shift.over", 1, "{drawer}", "cash_over_short", "more in the drawer than was expected"),
    Posting("payee.earned", 1, "operator_payable", PAYABLE, "a day's sales are settled: a payee's parts of them"),
    Posting("payee.gave_back", 1, PAYABLE, "operator_payable", "a payee's parts of what was given back"),
    Posting("payee.paid", 1, PAYABLE, "payee_payable:{other}", "one payee owes another: a fee, a rent"),
    Posting(
        "payee.kept", 1, PAYABLE, "kept_by_operator", "the operator has it already, as notes, or it was lost to him"
    ),
    Posting("payee.handed", 1, "kept_by_operator", PAYABLE, "notes that he kept have reached the account"),
    Posting("payee.held_back", 1, PAYABLE, RESERVE, "a part of what was earned is held back"),
    Posting("payee.released", 1, RESERVE, PAYABLE, "what was held back is free"),
    Posting("payout.reserved", 1, PAYABLE, "payout_clearing", "two people let a payout go"),
    Posting("payout.sent", 1, "payout_clearing", "gw_receivable", "it has left the account"),
    Posting("line.credit", 1, BANK, "gw_receivable", "credits of a statement are matched; or debits no longer are"),
    Posting("line.debit", 1, "gw_receivable", BANK, "debits of a statement are matched; or credits no longer are"),
    Posting("line.less", 1, "{account}", "gw_receivable", "the bank's word is less than ours, and it stays so"),
    Posting("line.more", 1, "gw_receivable", "{account}", "the bank's word is more than ours, and it stays so"),
)

CURRENT: Mapping[str, Posting] = {row.template: row for row in sorted(POSTINGS, key=lambda row: row.version)}
"""By event, the posting that is made today: the one with the highest version."""
