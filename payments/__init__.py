"""Payments takes money for a reference it does not understand. This is its door: other services import nothing else.

- `charge(tx, lines=…)` in the caller's own transaction, or `draw_charge` and `payments.charge` in a call of his own;
- `find` looks one up;
- `note_free` writes the facts of what costs nothing;
- `papers_path` leads to the receipts and invoices of what was paid;
- `record_cash` sells for notes into the drawer of an open shift;
- `when_paid(purpose, act)`, `when_given_back(purpose, act)`, `explained_by(purpose, …)` and `counted_by(purpose, count)` are
  said once, at composition.
"""

from payments.cash import AmountChanged, CashSale, PayOrder, pay_json, record_cash
from payments.explain import Explanation, explained_by
from payments.fiscal import papers_path
from payments.gate_book import Counted, Gate, GateDifference, counted_by
from payments.going_back import GoesBack, goes_back
from payments.payment import (
    ChargeView,
    Facts,
    GivenBackLine,
    Line,
    NoSuchCharge,
    PaidLine,
    charge,
    draw_charge,
    find,
    note_free,
    release,
    when_given_back,
    when_paid,
)
from payments.receipt import payee

__all__ = [
    "AmountChanged",
    "CashSale",
    "ChargeView",
    "Counted",
    "Explanation",
    "Facts",
    "Gate",
    "GateDifference",
    "GivenBackLine",
    "GoesBack",
    "Line",
    "NoSuchCharge",
    "PaidLine",
    "PayOrder",
    "charge",
    "counted_by",
    "draw_charge",
    "explained_by",
    "find",
    "goes_back",
    "note_free",
    "papers_path",
    "pay_json",
    "payee",
    "record_cash",
    "release",
    "when_given_back",
    "when_paid",
]
