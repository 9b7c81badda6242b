"""What every acknowledged deed must have led to, in whatever order the money arrived: counted here by itself, in VND.

It knows no order of events, so it says what must hold in every order. All money that names a charge goes to it until it
is covered; what is more, and everything that came for a charge that ended, waits for its payer. Where two ends are
lawful (a vehicle left while money was on its way), the platform says which it was, and the money must fit that end.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from rehearsal.client import vnd
from rehearsal.ledger import Drawer, Figures, Held, Ledger, Sale, Way

LAPSES_AFTER = timedelta(hours=25, minutes=30)
"""A part payment's rest is asked for a day, and an hour and a half more may pass until it has arrived."""
A_MOMENT = timedelta(minutes=5)


@dataclass
class Charge:
    """One charge that somebody was shown. `came`: the transfers that named it and were acknowledged by the bank, or what
    was paid by card (`way`). `given_back_vnd`: what finance gave back of it; `sent_vnd`: what has gone to its payers, or
    is set aside for them, and `settled_vnd` of that has arrived."""

    operator: str
    service: str
    place: str
    reference: str
    amount_vnd: int
    day: date
    way: Way = "QR"
    came: list[int] = field(default_factory=list)
    assigned_vnd: int = 0
    supplied_otherwise: bool = False
    """Paid with notes, or its vehicle left: what arrives now may have to go back."""
    first_part_at: datetime | None = None
    state: str = "open"
    given_back_vnd: int = 0
    sent_vnd: int = 0
    settled_vnd: int = 0

    @property
    def came_vnd(self) -> int:
        return sum(self.came)

    def wrong(self, said: dict[str, Any], now: datetime) -> str | None:
        """Why what the platform says of it cannot be; None if it is as it must be. Keeps the state."""
        self.state = state = said["state"]
        sum_vnd, back_vnd = self.came_vnd + self.assigned_vnd, said["goes_back_vnd"]
        waited = now - self.first_part_at if self.first_part_at else timedelta(0)
        lawful = {
            "paid": sum_vnd >= self.amount_vnd,
            "open": sum_vnd == 0,
            "partial": 0 < sum_vnd < self.amount_vnd
            and not self.supplied_otherwise
            and waited < LAPSES_AFTER + A_MOMENT,
            # A ticket of a day that is over cannot be had any more, unless its money was there in time.
            "refused": self.supplied_otherwise or (self.service == "ticketing" and now.date() != self.day),
            "lapsed": 0 < sum_vnd < self.amount_vnd and waited > LAPSES_AFTER - A_MOMENT,
        }
        back = self.back_vnd - self.settled_vnd
        if said["amount_vnd"] != self.amount_vnd:
            return f"{self.reference} asks for {vnd(said['amount_vnd'])}, not {vnd(self.amount_vnd)}"
        if not lawful.get(state, False):
            return (
                f"{self.reference} of {vnd(self.amount_vnd)} is {state} although {self.came or 'nothing'} came for it"
            )
        if back_vnd != back:
            return (
                f"{self.reference} of {vnd(self.amount_vnd)} is {state}, {self.came} came for it:"
                f" {vnd(back)} should go back, but {vnd(back_vnd)} do"
            )
        return None

    @property
    def back_vnd(self) -> int:
        """What of the money that came for it is its payers' again."""
        sum_vnd = self.came_vnd + self.assigned_vnd
        over_vnd = {"paid": sum_vnd - self.amount_vnd, "refused": sum_vnd, "lapsed": sum_vnd}.get(self.state, 0)
        return over_vnd + self.given_back_vnd

    @property
    def held_vnd(self) -> int:
        return self.back_vnd - self.sent_vnd


@dataclass
class Proxy:
    """What an attendant promised to transfer, or finance to bring to the bank, and the transfers that named it.

    `released_vnd`: what is not asked for any more, because the guest got notes back; `doubtful_vnd` more if they went
    back before what was on its way had arrived.
    """

    operator: str
    amount_vnd: int
    came: list[int] = field(default_factory=list)
    released_vnd: int = 0
    doubtful_vnd: int = 0

    @property
    def missing_vnd(self) -> int:
        return max(0, self.amount_vnd - self.released_vnd - sum(self.came))

    @property
    def held_vnd(self) -> int:
        return max(0, sum(self.came) - self.amount_vnd + self.released_vnd)

    def given_back(self, amount_vnd: int) -> None:
        """The guest got so much back in notes."""
        surely_vnd = min(amount_vnd, self.missing_vnd)
        self.released_vnd += surely_vnd
        self.doubtful_vnd += amount_vnd - surely_vnd


@dataclass
class Model:
    """Everything that was acknowledged. Its parts only grow, also from several threads at once."""

    charges: dict[str, Charge] = field(default_factory=dict)
    proxies: dict[str, Proxy] = field(default_factory=dict)
    strays: list[tuple[str, int]] = field(default_factory=list)
    """Money that named nothing of that operator's: (operator, VND); what was found out about it is negative."""
    notes: list[Sale] = field(default_factory=list)
    free: list[tuple[str, str]] = field(default_factory=list)
    drawers: list[Drawer] = field(default_factory=list)
    banked: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    """What the bank booked onto each operator's account."""
    carded: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    """What was paid by card or wallet to each operator."""
    bags: dict[str, Proxy] = field(default_factory=dict)
    sent: Counter[tuple[str, str]] = field(default_factory=Counter)
    """What finance sent back: VND by operator and charge, without one for money that named nothing."""
    strays_sent_vnd: Counter[str] = field(default_factory=Counter)
    """What of money that named nothing is on its way back or there, by operator."""

    def sold(self, way: Way, operator: str, place: str, service: str, amount_vnd: int, given_back_vnd: int = 0) -> None:
        self.notes.append(Sale(operator, service, place, way, amount_vnd, given_back_vnd=given_back_vnd))

    def ledger(self) -> Ledger:
        """The account of it in the words of the rehearsal, with the states that the charges were last seen in."""
        made = Ledger(sales=list(self.notes), free=list(self.free), drawers=list(self.drawers))
        for charge in self.charges.values():
            if charge.state == "paid":
                named = charge.operator, charge.service, charge.place, charge.way, charge.amount_vnd, charge.reference
                made.sales.append(Sale(*named, given_back_vnd=charge.given_back_vnd))
            if charge.held_vnd:
                made.held.append(Held(charge.operator, charge.state, charge.held_vnd))
        for promised in (*self.proxies.values(), *self.bags.values()):
            made.held.append(Held(promised.operator, "notes", promised.held_vnd))
        made.held += [Held(operator, "stray", amount_vnd) for operator, amount_vnd in self.strays]
        made.held += [Held(operator, "sent", -amount_vnd) for operator, amount_vnd in self.strays_sent_vnd.items()]
        return made

    def figures(self) -> Figures:
        """By how much each figure of finance and city must have moved.

        Into how many pieces held money falls depends on the order in which it came, so only its sum is said.
        """
        found = Counter({key: n for key, n in self.ledger().figures().items() if key[-2:] != HELD_PIECES})
        for proxy in self.proxies.values():
            found["finance", proxy.operator, "attendants still transfer", "VND"] += proxy.missing_vnd
        return found

    def unsettled(self) -> Iterator[Charge]:
        """Charges about which something may still change."""
        return (charge for charge in list(self.charges.values()) if charge.state in ("open", "partial"))

    def refunds(self, rows: Sequence[tuple[str, str, str, int]]) -> Iterator[str]:
        """Takes in what became of all refunds: (operator, charge or nothing, state, VND). Says what cannot be.

        How one ends is the bank's word; that each was asked for, and only once, is known here.
        """
        asked: Counter[tuple[str, str]] = Counter()
        for charge in self.charges.values():
            charge.sent_vnd = charge.settled_vnd = 0
        self.strays_sent_vnd.clear()
        for operator, reference, state, amount_vnd in rows:
            asked[operator, reference] += amount_vnd
            if state in CAME_BACK:
                continue
            if reference:
                self.charges[reference].sent_vnd += amount_vnd
                self.charges[reference].settled_vnd += amount_vnd if state == "settled" else 0
            else:
                self.strays_sent_vnd[operator] += amount_vnd
        for key in asked.keys() | self.sent.keys():
            if asked[key] != self.sent[key]:
                yield f"{vnd(self.sent[key])} were sent back for {key}, but refunds of {vnd(asked[key])} are known"

    def releases(self, rows: Sequence[tuple[str, int]]) -> Iterator[str]:
        """Takes in what of each attendant's transfer is not asked for any more: (reference, VND). Says what cannot be."""
        for reference, released_vnd in rows:
            proxy = self.proxies[reference]
            if not 0 <= released_vnd - proxy.released_vnd <= proxy.doubtful_vnd:
                yield (
                    f"{vnd(released_vnd)} of {reference} are not asked for any more, but should be"
                    f" {vnd(proxy.released_vnd)}, and at most {vnd(proxy.doubtful_vnd)} more"
                )
            proxy.released_vnd, proxy.doubtful_vnd = released_vnd, 0


CAME_BACK = ("returned", "refused", "rejected")
"""How a refund ends that leaves its money held as before."""
HELD_PIECES = ("held for payers", "transfers")
