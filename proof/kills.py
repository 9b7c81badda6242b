"""`kill -9` at named failpoints while people go on: every place once, then any at random."""

from __future__ import annotations

import queue
import random
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from proof.house import House
from proof.people import People
from proof.places import LAPSING, PLACES, SETTLED, Place
from proof.rest import LAPSES
from proof.weather import WEATHERS

WITHIN_S = 5.0
SWEPT_WITHIN_S = 17.0
"""The bank's lists are swept every 15 s, whatever anybody does."""
MILD = (
    "notices doubled, by two events",
    "notices out of order",
    "answers to notices lost",
    "the bank breaks off",
    "the bank acts and its answer is lost",
    "refunds come back a moment later",
    "payers' banks take nothing back",
)
A_DAY = timedelta(days=1, hours=1)
WISHES = 4
CLOSING: tuple[str, ...] = ("close_day",)
"""Leads somewhere only when a day is over."""
REOPENING: tuple[str, ...] = ("reopen_day",)
"""Leads somewhere only when a day is closed."""
PROVED_EVERY = 5
BOOKED = "matching.booked"
WITHDRAWN = "statement.withdrawn"
TOLD = "payout.told"
"""Passed by the worker only if the bank's notice has not told the web before."""
STEPS = {
    "reconciliation/accept": "matching.accepted",
    "reconciliation/match": "matching.matched",
    "reconciliation/book": BOOKED,
}
"""Which place an act on what is open passes."""


class Reaper:
    """Ends processes of some roles at places. `missed`: places that nobody passed in time.

    Several may be at it at once, each for its own roles; the bank's brings the weather.
    """

    def __init__(self, people: People, seed: str, roles: Sequence[str]) -> None:
        self.people, self.house, self.roles = people, people.house, roles
        self.dice = random.Random(f"{seed}/kills/{'/'.join(roles)}")
        self.missed: Counter[str] = Counter()
        self.places = [place for place in PLACES if place.role in roles]
        self._wishes: deque[str] = deque()
        people.wishes.append(self._wishes)
        led = {("worker", name) for name in LAPSING} | set(SETTLED)
        self._first = [place for place in self.places if (place.role, place.name) not in led]
        self.dice.shuffle(self._first)
        # However few kills there are, each kind of process is among the first.
        for role in roles:
            one = next(place for place in self._first if place.role == role)
            self._first.remove(one)
            self._first.insert(0, one)

    @property
    def kills(self) -> int:
        return sum(number for (role, _), number in list(self.house.killed.items()) if role in self.roles)

    def next_place(self) -> Place:
        """Every place before any comes again; of those that are passed by hurrying there, any."""
        for place in list(self._first):
            if self.house.killed[place.role, place.name]:
                self._first.remove(place)
        person = self.people.persons[0]
        leads = {CLOSING: bool(person.days_over(told=True)), REOPENING: bool(person.days_closed())}
        for place in list(self._first):
            self._first.append(self._first.pop(0))
            if leads.get(place.deeds, True):
                return place
        while True:
            place = self.dice.choice([one for one in self.places if one.deeds and self.missed[_name(one)] < 5])
            if leads.get(place.deeds, True):
                return place

    def shoot(self) -> bool:
        """Ends one process at one place; False if nobody came there in time."""
        place = self.next_place()
        weather: dict[str, Any] = {"lose_notices": True} if place.lost else {}
        if "bank" in self.roles and self.dice.random() < 0.5:
            weather = weather or WEATHERS[self.dice.choice(MILD)]
        if weather:
            self.house.faults(**weather)
        number = self.dice.choice((1, 1, 1, 2, 3))
        self._wishes.extend(self.dice.choices(place.deeds, k=WISHES + number))
        number = number if place.deeds[0] in ("ticket", "stay") else 1
        within_s = SWEPT_WITHIN_S if place.name.startswith("sweep.") and place in self._first else WITHIN_S
        hit = strike(self.house, place.role, place.name, number, within_s=within_s)
        self._wishes.clear()
        if weather:
            self.house.faults()
        if not hit:
            self.missed[_name(place)] += 1
        return hit

    def lapses(self) -> None:
        """Part payments whose rest never comes: the worker ends them a day later, and is ended at that."""
        person = self.people.persons[0]
        for place in LAPSING:
            charge, _ = person.order("VANMIEU", {"adult": 1})
            person.pays_vnd(charge, 30_000, charge.reference)
            end = time.monotonic() + 20
            while person.get(f"/api/v1/public/payments/{charge.reference}").json()["state"] != "partial":
                if time.monotonic() > end:
                    self.people.found(f"{charge.reference} is not partly paid")
                    return
                time.sleep(0.1)
            self.people.move_clock(LAPSES)
            if not strike(self.house, "worker", place, 1, within_s=25, then=lambda: self.house.restart("worker")):
                self.missed[f"worker {place}"] += 1

    def pays_out(self, most: int) -> None:
        """Days that are told by the bank, settled and paid out: so many of the places on that way, each with a day of its own."""
        person = self.people.persons[0]
        self.people.move_clock(A_DAY)
        self.house.restart("worker")  # what was before is told line by line
        person.waits_for_statement("vanmieu")
        places = self.dice.sample(SETTLED, min(most, len(SETTLED)))
        # Of what one statement has told already the next may not tell in a batch: those that bring a line come last.
        bringing = [each for each in places if each[1].startswith((BOOKED, WITHDRAWN))]
        for some in ([each for each in places if each not in bringing], bringing):
            missed = [each for each in some if not self._on_a_day_of_its_own(*each)]
            if most >= len(SETTLED):  # every place is wanted, and whoever came too late tries once more
                missed = [each for each in missed if not self._on_a_day_of_its_own(*each)]
            self.missed.update(f"{role} {place}" for role, place in missed)

    def _on_a_day_of_its_own(self, role: str, place: str) -> bool:
        """Two tickets are sold and the day ends; whoever is at this place on the way of their money is ended there."""
        person = self.people.persons[0]
        for heads in (1, 2):
            charge, _ = person.order("VANMIEU", {"adult": heads})
            person.pays_vnd(charge, charge.amount_vnd, charge.reference)
            person.is_paid(charge, 20)
        self.people.move_clock(A_DAY)
        if role == "worker" and not place.startswith("payout"):  # at its start, in the night
            return strike(self.house, role, place, 1, within_s=25, then=lambda: self.house.restart("worker"))
        if place.startswith("matching"):
            return self._matches(place)
        if place.startswith(WITHDRAWN):
            return self._withdraws(place)
        self.house.restart("worker")  # it settles the days that are over at its start
        person.waits_for_settlement("vanmieu")
        if place.startswith(TOLD):
            self.house.faults(lose_notices=True)
        hit = strike(self.house, role, place, 1, within_s=25, then=lambda: person.pays_out("vanmieu"))
        self.house.faults()
        return hit

    def _withdraws(self, place: str) -> bool:
        """What somebody gave in behind the bank's own statement is withdrawn; the bank's next one says it as if nobody had."""
        person = self.people.persons[0]
        self.house.restart("worker")
        person.waits_for_statement("vanmieu")
        person.brings_a_line("vanmieu")
        hit = strike(self.house, "web", place, 1, within_s=25, then=lambda: person.withdraws("vanmieu"))
        self.people.move_clock(A_DAY)
        self.house.restart("worker")
        person.waits_for_statement("vanmieu")
        return hit

    def _matches(self, place: str) -> bool:
        """The clerk at a statement that tells both payments of the day as one: he accepts what is suggested, takes it back,
        and matches it by hand; or he books what only a statement knows."""
        person = self.people.persons[0]

        def reconciles(act: str, **values: Any) -> bool:
            def then() -> None:
                person.reconciles("vanmieu", act, **values)

            if place.startswith(STEPS.get(act, "matching.undone")):
                return strike(self.house, "web", place, 1, within_s=25, then=then)
            then()
            return False

        if not place.startswith(BOOKED):
            self.house.faults(batch_credits="no_details")
        self.house.restart("worker")
        person.waits_for_statement("vanmieu")
        self.house.faults()
        if place.startswith(BOOKED):
            return reconciles("reconciliation/book", item=person.brings_a_line("vanmieu"))
        for line in person.open_items("vanmieu", "line"):
            suggested = next((each for each in line["suggestions"] if not each["ambiguous"]), None)
            if suggested is None:
                continue
            hits = [
                reconciles("reconciliation/accept", suggestion=suggested["id"]),
                reconciles(f"lines/{line['statement_id']}/{line['position']}/undo", reason="looked again"),
                reconciles("reconciliation/match", item=suggested["items"]),
            ]
            return any(hits)
        return False


def strike(
    house: House,
    role: str,
    place: str,
    number: int,
    *,
    within_s: float = WITHIN_S,
    then: Callable[[], None] = lambda: None,
) -> bool:
    """Arms a place, does `then`, and waits for the death there."""
    deaths = house.deaths[role]
    while not deaths.empty():
        deaths.get()
    before = house.killed[role, place]
    house.arm(role, place, number)
    try:
        then()
        deaths.get(timeout=within_s)
    except queue.Empty:
        house.disarm(role)
        time.sleep(0.05)  # it may have been on its way
    if role == "worker" and house.killed[role, place] > before:
        house.leases_end()
    return house.killed[role, place] > before


def _name(place: Place) -> str:
    return f"{place.role} {place.name}"
