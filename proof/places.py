"""Every failpoint, by the process that passes it, and what somebody has to do so that it does.

A test compares these names with the sources. A new one is a line here: `name: deeds` (of `proof.people`).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """Where a process can be ended. `deeds`: what leads there; `lost`: only when the bank's notices do not arrive."""

    role: str
    name: str
    deeds: tuple[str, ...]
    lost: bool = False


def _around(*names: str) -> tuple[str, ...]:
    return tuple(f"{name}.{side}" for name in names for side in ("before", "after"))


PAYING = ("ticket", "stay")
REFUNDS = ("give_back", "send_back", "decide")
_WEB: dict[tuple[str, ...], tuple[str, ...]] = {
    _around("ticketing.scan"): ("ticket", "cash_ticket"),
    _around("parking.enter"): ("cash_stay",),
    _around("parking.leave"): ("stay", "cash_stay"),
    _around("parking.occupancy"): ("look",),
    _around("payments.look"): PAYING,
    _around("ticketing.behind", "ticketing.shown"): ("ticket", "free"),
    _around("payments.put_aside"): ("stay",),
    (*_around("payments.receive", "receipt.applied"), "notice.booked", "notice.answered"): PAYING,
    _around("held.applied"): ("assign",),
    _around("ticketing.to_order"): ("ticket", "free"),
    _around("ticketing.place_order"): ("ticket",),
    _around("charge"): ("stay", "cash_ticket"),
    _around("free"): ("free",),
    _around("charge.ended"): ("notes_instead",),
    _around("cash.sold"): ("cash_ticket", "cash_stay"),
    _around("shift.opened", "shift.counted", "shift.closed"): ("shift",),
    _around("drop.received"): ("drop",),
    _around("cash.given_back"): ("cash_ticket",),
    _around("deposit.made"): ("shift", "deposit"),
    _around("deposit.arrived"): ("shift", "deposit"),
    _around("refund.requested"): REFUNDS,
    _around("refund.approved"): REFUNDS,
    _around("charge.given_back", "give_back.asked"): ("give_back",),
    _around("attempt.begun", "attempt.learnt"): ("card",),
    _around("stay.begun"): ("stay",),
    _around("stay.left"): ("cash_stay", "leave_unpaid"),
    _around("day.closed"): ("close_day",),
    _around("payments.agree_to_request"): ("reopen_day",),
    _around("fiscal.buyer"): ("invoice",),
    _around("fiscal.mended"): ("mend",),
}
_WORKER: dict[tuple[str, ...], tuple[str, ...]] = {
    ("poll.listed", "poll.taken", *_around("poll.cursor")): ("ticket",),
    ("sweep.taken", *_around("sweep.over")): ("ticket",),
    ("work.claimed", "work.acted", *_around("work.done", "rollup")): ("cash_ticket", "free"),
    _around("books.proved"): ("prove",),
    (*_around("fiscal.made", "fiscal.heard"), "fiscal.asking", "fiscal.answered"): ("cash_ticket", "ticket"),
    ("refund.asking", "refund.answered", *_around("refund.heard", "refund.told")): REFUNDS,
}
_WORKER_ALONE = (*_around("payments.receive", "receipt.applied"), "notice.answered")
_BANK: dict[tuple[str, ...], tuple[str, ...]] = {
    (*_around("bank.booked"), "bank.notice.claimed", "bank.notice.sent"): PAYING,
    (*_around("bank.refund"), "bank.proceeded"): ("refund_elsewhere", "give_back"),
    _around("bank.payout"): ("payout_elsewhere",),
    (*_around("bank.card"), "bank.ipn.sent"): ("card",),
    ("bank.card.refunded",): ("give_back",),
}
LAPSING = _around("charge.ended")
"""Passed by the worker when the rest of a part payment never came: takes a day, so it is led there by the clock."""

SETTLED = (
    *(("worker", name) for name in _around("settlement")),
    *(("worker", name) for name in ("statement.fetched", *_around("statement.taken", "matching.ran"))),
    *(("web", name) for name in _around("matching.accepted", "matching.matched", "matching.booked", "matching.undone")),
    *(("web", name) for name in _around("statement.withdrawn")),
    *(("web", name) for name in _around("payout.made", "payout.approved")),
    *(("worker", name) for name in ("payout.asking", "payout.answered", *_around("payout.heard", "payout.told"))),
)
"""Passed once a day with something to pay out is over: led there by the clock as well."""

PLACES: tuple[Place, ...] = (
    *(Place(role, name, ()) for role, name in SETTLED),
    *(Place("web", name, deeds) for names, deeds in _WEB.items() for name in names),
    *(Place("worker", name, deeds) for names, deeds in _WORKER.items() for name in names),
    *(Place("worker", name, PAYING, lost=True) for name in _WORKER_ALONE),
    *(Place("worker", name, ("card",), lost=True) for name in _around("attempt.learnt")),
    *(Place("worker", name, ()) for name in LAPSING),
    *(Place("bank", name, deeds) for names, deeds in _BANK.items() for name in names),
)
