"""The bookkeeping of the simulated month: what is wrong when, and which payouts were in time."""

from __future__ import annotations

import random
from datetime import date, datetime, timedelta

from foundation import clock
from proof.month import PAYOUT_FAULTS, STATEMENT_FAULTS, Deck, Unit, punctuality

FRIDAY = date(2026, 11, 27)


def unit(net_vnd: int, *, sent: datetime | None, rejected: bool = False) -> Unit:
    return Unit(FRIDAY, net_vnd, sent, rejected)


def test_every_fault_comes_alone_before_any_two_come_together() -> None:
    for faults in (STATEMENT_FAULTS, PAYOUT_FAULTS):
        deck = Deck(faults, random.Random(7))
        first = deck.draw(lambda names: "wrong_opening" not in names)
        deck.back(first)
        alone = [deck.draw() for _ in faults]
        assert sorted(alone) == sorted((name,) for name in faults)
        two = [deck.draw() for _ in range(30)]
        assert all(len(deck.settings(names)) == len(names) == 2 for names in two), "never two kinds of batch at once"
        assert len(set(two)) > 5


def test_in_time_is_nine_on_the_next_working_day() -> None:
    monday = datetime(2026, 11, 30, 9, tzinfo=clock.HANOI)
    units = [
        unit(70, sent=monday),
        unit(20, sent=monday + timedelta(seconds=1)),
        unit(10, sent=None),
        unit(500, sent=monday + timedelta(days=1), rejected=True),
    ]
    of_number, of_amount, not_counted = punctuality(units)
    assert (round(of_number, 1), of_amount, not_counted) == (33.3, 70.0, 1)
    assert punctuality(units[:1]) == (100.0, 100.0, 0)
