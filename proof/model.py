"""What every acknowledged deed must have led to, in whatever order the money arrived: counted here by itself, in VND.

It knows no order of events, so it says what must hold in every order. All money that names a charge goes to it until it
is covered; what is more, and everything that came for a charge that ended, waits for its payer. Where two ends are
lawful (a vehicle left while money was on its way), the platform says which it was, and the money must fit that end.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
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
    """One charge that somebody was shown. `came`: the transfers that named it and were acknowledged by the bank."""

    operator: str
    service: str
    place: str
    reference: str
    amount_vnd: int
    day: date
    came: list[int] = field(default_factory=list)
    assigned_vnd: int = 0
    supplied_otherwise: bool = False
    """Paid with notes, or its vehicle left: what arrives now may have to go back."""
    first_part_at: datetime | None = None
    state: str = "open"

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
        back = {"paid": sum_vnd - self.amount_vnd, "open": 0, "partial": 0, "refused": sum_vnd, "lapsed": sum_vnd}
        if said["amount_vnd"] != self.amount_vnd:
            return f"{self.reference} asks for {vnd(said['amount_vnd'])}, not {vnd(self.amount_vnd)}"
        if not lawful.get(state, False):
            return (
                f"{self.reference} of {vnd(self.amount_vnd)} is {state} although {self.came or 'nothing'} came for it"
            )
        if back_vnd != back[state]:
            return (
                f"{self.reference} of {vnd(self.amount_vnd)} is {state}, {self.came} came for it:"
                f" {vnd(back[state])} should go back, but {vnd(back_vnd)} do"
            )
        return None

    @property
    def held_vnd(self) -> int:
        sum_vnd = self.came_vnd + self.assigned_vnd
        return {"paid": sum_vnd - self.amount_vnd, "refused": sum_vnd, "lapsed": sum_vnd}.get(self.state, 0)


@dataclass
class Proxy:
    """What an attendant promised to transfer, and the transfers that named it."""

    operator: str
    amount_vnd: int
    came: list[int] = field(default_factory=list)

    @property
    def missing_vnd(self) -> int:
        return max(0, self.amount_vnd - sum(self.came))

    @property
    def held_vnd(self) -> int:
        return max(0, sum(self.came) - self.amount_vnd)


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

    def sold(self, way: Way, operator: str, place: str, service: str, amount_vnd: int) -> None:
        self.notes.append(Sale(operator, service, place, way, amount_vnd))

    def ledger(self) -> Ledger:
        """The account of it in the words of the rehearsal, with the states that the charges were last seen in."""
        made = Ledger(sales=list(self.notes), free=list(self.free), drawers=list(self.drawers))
        for charge in self.charges.values():
            if charge.state == "paid":
                made.sales.append(
                    Sale(charge.operator, charge.service, charge.place, "QR", charge.amount_vnd, charge.reference)
                )
            if charge.held_vnd:
                made.held.append(Held(charge.operator, charge.state, charge.held_vnd))
        made.held += [Held(proxy.operator, "proxy", proxy.held_vnd) for proxy in self.proxies.values()]
        made.held += [Held(operator, "stray", amount_vnd) for operator, amount_vnd in self.strays]
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


HELD_PIECES = ("held for payers", "transfers")
