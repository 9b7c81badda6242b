"""A day of the city, planned: who comes when, what each pays and how, and who makes which mistake.

Pure: the same seed, date and settings give the same plan, to the last plate. Time goes in steps of ten minutes; an event
at 08:10 happens somewhere within the ten minutes that begin then. No fee depends on where: a stay never lasts a whole
number of hours, so that seconds of playing cannot turn its price.

Proportions are kept exactly, not on average: of 38 motorbikes at 6.9 % cash, 3 pay cash whatever the seed. Where a
figure has a source, it stands beside it; all others are marked as assumptions. Prices and fees are counted here by
themselves, from the published tariffs, never by the code under test.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Literal, TypeVar

from rehearsal.client import HANOI
from rehearsal.ledger import ON_A_PHONE, Held, Ledger, Sale, Way

STEP = timedelta(minutes=10)
AN_HOUR = 6  # steps
LAST_STEP = 24 * AN_HOUR - 1

Profile = Mapping[int, int]
"""How many come in which hour of the day, as weights."""


@dataclass(frozen=True, slots=True)
class Site:
    """A heritage site: its entrance fee (People's Council, 06/12/2023) and how many visit it on a mean day."""

    operator: str
    number: int
    price_vnd: int
    visitors: int


@dataclass(frozen=True, slots=True)
class Lot:
    """A lot for one class of vehicles: cashless and cash turns of the 2025 pilot, and how long a vehicle stands."""

    operator: str
    number: int
    vehicle_class: Literal["motorbike", "car"]
    plate: str
    capacity: int
    cashless_turns: int
    cash_turns: int
    arrivals: Profile
    median_minutes: int
    sigma: float
    minutes: tuple[int, int]


# Văn Miếu: 1.6 million visitors in 2017. Thăng Long: an assumption.
SITES = {
    "VANMIEU": Site("vanmieu", 1, 70_000, 4_400),
    "THANGLONG": Site("thanglong", 3, 100_000, 1_200),
}
TET = 18_000 / 4_400  # more than 55,000 visitors in the first three days of Tết 2026 at Văn Miếu
FOREIGN = 0.6  # of the visitors of Văn Miếu, 2017
# Opening hours 8 to 17; two waves, and the fullest hour of a day has about a fifth of it (assumption).
VISITS: Profile = {7: 3, 8: 12, 9: 18, 10: 16, 11: 7, 12: 4, 13: 8, 14: 13, 15: 12, 16: 6, 17: 1}
# Sizes of parties by their share among parties (assumption): 22 is a coach with its guide, 35 a class of pupils.
PARTIES = {True: {1: 25, 2: 45, 3: 10, 4: 12, 6: 5, 22: 3}, False: {1: 20, 2: 40, 3: 16, 4: 14, 6: 7, 35: 3}}
PUPILS = 35
# Categories of heads by their share (assumption), and what share of the price each pays (in force since 2024).
HEADS = {True: {"adult": 92, "child": 8}, False: {"adult": 55, "child": 20, "student": 15, "elderly": 10}}
PERCENT = {"adult": 100, "child": 0, "student": 50, "elderly": 50}
# How those at a site pay (assumption: nobody publishes it; cash is sold at the gate).
SITE_WAYS: Mapping[Way, float] = {"QR": 0.72, "CASH": 0.23, "PROXY": 0.05}

# Of foreign parties that pay on their phone, how many by card or by the wallet of their country (assumption).
FOREIGN_WAYS: Mapping[Way, float] = {"QR": 0.94, "CARD": 0.04, "WALLET": 0.02}

TURNS = 480  # vehicles on a mean day at both lots (assumption: two busy lots; the pilot's 405 lots had 12 turns each)
PROXY_OF_CASH = 1 / 3  # vehicles whose notes the attendant transfers himself (seen at Phủ Doãn in 2024; assumption)
LOTS = {
    # A visit to a heritage site takes one to three hours (assumption).
    "VM1": Lot(
        "vanmieu", 2, "motorbike", "29-B1 ", 200, 565_954, 42_253, {**VISITS, 18: 3, 19: 2}, 100, 0.35, (60, 180)
    ),
    # Shoppers and people at work: one to nine hours, log-normal (assumption; eight and nine hours are quoted by drivers).
    "DD1": Lot(
        "dongda",
        4,
        "car",
        "30A-",
        60,
        268_938,
        2_919,
        {7: 8, 8: 14, 9: 10, 10: 8, 11: 8, 12: 6, 13: 8, 14: 8, 15: 7, 16: 6, 17: 7, 18: 6, 19: 3, 20: 1},
        150,
        0.6,
        (60, 540),
    ),
}

FLOAT_VND = 500_000
MISCOUNTS_VND = (0, 0, 0, 10_000, -5_000, -20_000)  # what a drawer holds too much or too little (assumption)
MISTAKES = 0.08  # of those who pay by QR (assumption)

Manner = Literal[
    "as_asked",
    "twice",  # the second transfer is held for its payer
    "too_much",  # what is too much is held
    "too_little",  # then the rest: one sale
    "late",  # pays when the shown amount holds no longer; a stay that costs more by then pays the rest at the exit
    "gives_up",  # asks, and does not pay by QR: no visit; a vehicle pays notes instead
    "lingers",  # pays, and stays beyond the grace time: the rest, if there is one, is due at the exit
    "part_then_notes",  # pays a part by QR, then everything in notes: the part is held
]
QR_MISTAKES: Sequence[Manner] = ("twice", "too_much", "too_little", "late")
Act = Literal["orders", "pays", "enters", "arrives", "asks", "leaves"]
Kind = TypeVar("Kind")


@dataclass(frozen=True, slots=True)
class Party:
    """Visitors of a site who buy together: one order, one ticket. `enters`: when how many go in."""

    name: str
    site: str
    foreign: bool
    heads: tuple[tuple[str, int], ...]
    way: Way
    manner: Manner
    odd_vnd: int
    orders_at: datetime
    pays_at: datetime
    enters: tuple[tuple[datetime, int], ...]

    @property
    def operator(self) -> str:
        return SITES[self.site].operator

    @property
    def size(self) -> int:
        return sum(number for _, number in self.heads)

    @property
    def amount_vnd(self) -> int:
        """The price of each head, added up; 0 is a free ticket."""
        price_vnd = SITES[self.site].price_vnd
        return sum(number * price_vnd * PERCENT[category] // 100 for category, number in self.heads)

    def acts(self) -> Iterator[tuple[datetime, Act]]:
        yield self.orders_at, "orders"
        if self.way in ON_A_PHONE and self.amount_vnd and self.manner != "gives_up":
            yield self.pays_at, "pays"
        for at, _ in self.enters:
            yield at, "enters"

    def expect(self, ledger: Ledger) -> None:
        """Writes into the ledger what finance and the city must see of it."""
        if not self.amount_vnd:
            ledger.free.append((self.operator, "ticketing"))
        elif self.manner != "gives_up":
            ledger.sales.append(Sale(self.operator, "ticketing", self.site, self.way, self.amount_vnd))
            if self.manner in ("twice", "too_much"):
                held_vnd = self.amount_vnd if self.manner == "twice" else self.odd_vnd
                ledger.held.append(Held(self.operator, self.manner, held_vnd))


@dataclass(frozen=True, slots=True)
class Vehicle:
    """A vehicle at a lot. What it pays when it asks first, and what is due of it at the exit."""

    name: str
    lot: str
    plate: str
    way: Way
    manner: Manner
    odd_vnd: int
    arrives_at: datetime
    asks_at: datetime
    pays_at: datetime
    leaves_at: datetime

    @property
    def operator(self) -> str:
        return LOTS[self.lot].operator

    @property
    def asked_vnd(self) -> int:
        """What its page asks for."""
        return fee_vnd(self.lot, self.arrives_at, self.asks_at)

    @property
    def due_vnd(self) -> int:
        """What is due at the exit: everything of those who pay notes, else what the stay costs more by then."""
        paid_vnd = self.asked_vnd if self.way == "QR" else 0
        return fee_vnd(self.lot, self.arrives_at, self.leaves_at) - paid_vnd

    def acts(self) -> Iterator[tuple[datetime, Act]]:
        yield self.arrives_at, "arrives"
        if self.way == "QR" or self.manner != "as_asked":
            yield self.asks_at, "asks"
            if self.manner != "gives_up":
                yield self.pays_at, "pays"
        yield self.leaves_at, "leaves"

    def expect(self, ledger: Ledger) -> None:
        """Writes into the ledger what finance and the city must see of it."""
        amounts_vnd = [self.due_vnd] if self.way != "QR" else [self.asked_vnd, self.due_vnd]
        for amount_vnd in amounts_vnd:
            if amount_vnd:
                ledger.sales.append(Sale(self.operator, "parking", self.lot, self.way, amount_vnd))
        if self.manner in ("twice", "too_much", "part_then_notes"):
            held_vnd = self.asked_vnd if self.manner == "twice" else self.odd_vnd
            ledger.held.append(Held(self.operator, self.manner, held_vnd))


@dataclass(frozen=True, slots=True)
class Drawer:
    """An attendant's shift at a tablet, and by how much he will miscount (or lose, or find) notes."""

    place: str
    attendant: str
    miscount_vnd: int

    @property
    def operator(self) -> str:
        return operator_of(self.place)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that one of them does within the ten minutes from `at`."""

    at: datetime
    who: Party | Vehicle
    act: Act


@dataclass(frozen=True)
class Plan:
    """Everybody of a day, and how many vehicles a full lot will turn away."""

    seed: int
    day: date
    scale: float
    tet: bool
    parties: tuple[Party, ...]
    vehicles: tuple[Vehicle, ...]
    drawers: tuple[Drawer, ...]
    turned_away: int

    @property
    def everybody(self) -> list[Party | Vehicle]:
        return [*self.parties, *self.vehicles]

    @property
    def events(self) -> list[Event]:
        """What happens, in order; what one party or vehicle does within one step stands in the order in which it does it."""
        found = [Event(at, who, act) for who in self.everybody for at, act in who.acts()]
        return sorted(found, key=lambda event: event.at)

    def expected(self) -> Ledger:
        """What finance and the city must see at the end; shifts have no number before they are opened."""
        ledger = Ledger()
        for who in self.everybody:
            who.expect(ledger)
        return ledger


def operator_of(place: str) -> str:
    return (SITES.get(place) or LOTS[place]).operator


def at_step(day: date, step: int) -> datetime:
    """When a step of a day begins, in Hanoi."""
    return datetime.combine(day, time(), HANOI) + step * STEP


def step_of(at: datetime) -> int:
    return at.hour * AN_HOUR + at.minute // 10


def fee_vnd(lot: str, arrives_at: datetime, leaves_at: datetime) -> int:
    """What a stay within one day costs at any moment of the step in which it ends (QĐ 44/2017/QĐ-UBND)."""
    first, last = step_of(arrives_at), step_of(leaves_at)
    if LOTS[lot].vehicle_class == "car":
        started = (last - first) // AN_HOUR + 1
        return sum((25_000, 25_000, 35_000, 35_000)[:started]) + 45_000 * max(0, started - 4)
    turns = {6 * AN_HOUR <= step < 18 * AN_HOUR for step in range(first, last + 1)}
    return 12_000 if len(turns) == 2 else 5_000 if turns == {True} else 8_000


def make(seed: int, day: date, *, scale: float = 1.0, tet: bool = False, mistakes: float = MISTAKES) -> Plan:
    """The plan of a day: `scale` of its visitors and vehicles, of Tết's instead of a mean day's, with that many mistakes."""
    rng = random.Random(f"{seed} {day.isoformat()} {scale} {tet} {mistakes}")
    busy = scale * (TET if tet else 1)
    parties = [party for site in SITES for party in _parties(rng, site, day, busy, mistakes)]
    asked = [vehicle for lot in LOTS for vehicle in _vehicles(rng, lot, day, scale, busy, mistakes)]
    vehicles = [vehicle for lot in LOTS for vehicle in _room_for(lot, [one for one in asked if one.lot == lot])]
    drawers = [
        Drawer(place, attendant, rng.choice(MISCOUNTS_VND))
        for place, attendant in (("VANMIEU", "01"), ("VM1", "02"), ("THANGLONG", "01"), ("DD1", "01"))
    ]
    return Plan(seed, day, scale, tet, tuple(parties), tuple(vehicles), tuple(drawers), len(asked) - len(vehicles))


def shared(rng: random.Random, number: int, weights: Mapping[Kind, float]) -> list[Kind]:
    """`number` things in exactly those proportions (the largest remainders are rounded up), in random order."""
    whole = sum(weights.values())
    exact = {kind: number * weight / whole for kind, weight in weights.items()}
    counts = {kind: int(part) for kind, part in exact.items()}
    by_rest = sorted(exact, key=lambda kind: counts[kind] - exact[kind])
    for kind in by_rest[: number - sum(counts.values())]:
        counts[kind] += 1
    found = [kind for kind, count in counts.items() for _ in range(count)]
    rng.shuffle(found)
    return found


def _parties(rng: random.Random, site: str, day: date, busy: float, mistakes: float) -> Iterator[Party]:
    """The parties of a site, and those who order and never come."""
    heads = round(SITES[site].visitors * busy)
    foreign = round(heads * FOREIGN)
    groups = [(True, group) for group in _groups(rng, True, foreign)]
    groups += [(False, group) for group in _groups(rng, False, heads - foreign)]
    rng.shuffle(groups)
    ways = iter(shared(rng, len(groups), SITE_WAYS))
    drawn: list[tuple[bool, tuple[tuple[str, int], ...], Way]] = [(*group, next(ways)) for group in groups]
    by_qr = sum(way == "QR" and _pays(group) for _, group, way in drawn)
    manners = iter(_manners(rng, by_qr, mistakes, QR_MISTAKES))
    hours = iter(shared(rng, len(drawn), VISITS))
    for number, (abroad, group, way) in enumerate(drawn, 1):
        manner: Manner = next(manners) if way == "QR" and _pays(group) else "as_asked"
        if abroad and way == "QR" and manner == "as_asked" and _pays(group):
            way = rng.choices(list(FOREIGN_WAYS), list(FOREIGN_WAYS.values()))[0]
        yield _party(rng, f"party {number} at {site}", site, day, abroad, group, way, manner, next(hours))
    quitters = shared(rng, round(by_qr * mistakes / (len(QR_MISTAKES) + 1)), VISITS)
    for number, hour in enumerate(quitters, 1):
        name = f"party {number} that gives up at {site}"
        yield _party(rng, name, site, day, True, (("adult", rng.randint(1, 4)),), "QR", "gives_up", hour)


def _pays(group: tuple[tuple[str, int], ...]) -> bool:
    return any(PERCENT[category] for category, _ in group)


def _groups(rng: random.Random, foreign: bool, heads: int) -> Iterator[tuple[tuple[str, int], ...]]:
    sizes = PARTIES[foreign]
    while heads:
        size = min(heads, *rng.choices(list(sizes), list(sizes.values())))
        heads -= size
        if size == PUPILS:
            yield (("child", size),)
            continue
        # Children do not come alone.
        kinds = ["adult", *rng.choices(list(HEADS[foreign]), list(HEADS[foreign].values()), k=size - 1)]
        yield tuple((kind, kinds.count(kind)) for kind in PERCENT if kind in kinds)


def _party(
    rng: random.Random,
    name: str,
    site: str,
    day: date,
    foreign: bool,
    heads: tuple[tuple[str, int], ...],
    way: Way,
    manner: Manner,
    hour: int,
) -> Party:
    orders = hour * AN_HOUR + rng.randrange(AN_HOUR)
    pays = orders + (4 if manner == "late" else 0)  # a price of a ticket holds for half an hour
    size = sum(number for _, number in heads)
    if manner == "gives_up":
        enters: tuple[tuple[int, int], ...] = ()
    elif way not in ON_A_PHONE and _pays(heads):
        enters = ((orders, size),)  # sold at the gate
    elif size >= 4 and rng.random() < 0.2:
        enters = ((pays, size - size // 2), (pays + 1, size // 2))
    else:
        enters = ((pays + rng.choice((0, 0, 1, 3)), size),)
    return Party(
        name=name,
        site=site,
        foreign=foreign,
        heads=heads,
        way=way if _pays(heads) else "QR",
        manner=manner,
        odd_vnd=rng.randint(1, 9) * 1_000,
        orders_at=at_step(day, orders),
        pays_at=at_step(day, pays),
        enters=tuple((at_step(day, step), number) for step, number in enters),
    )


def _vehicles(
    rng: random.Random, name: str, day: date, scale: float, busy: float, mistakes: float
) -> Iterator[Vehicle]:
    lot = LOTS[name]
    pilot = sum(one.cashless_turns + one.cash_turns for one in LOTS.values())
    # At Tết it is the sites that are full.
    turns = round(
        TURNS * (busy if lot.operator == "vanmieu" else scale) * (lot.cashless_turns + lot.cash_turns) / pilot
    )
    cash = lot.cash_turns
    ways: list[Way] = shared(
        rng, turns, {"QR": lot.cashless_turns, "CASH": cash * (1 - PROXY_OF_CASH), "PROXY": cash * PROXY_OF_CASH}
    )
    by_qr = ways.count("QR")
    qr_manners = iter(_manners(rng, by_qr, mistakes, (*QR_MISTAKES, "lingers")))
    cash_manners = iter(_manners(rng, turns - by_qr, mistakes, ("gives_up", "part_then_notes")))
    plates: set[str] = set()
    for number, (way, hour) in enumerate(zip(ways, shared(rng, turns, lot.arrivals), strict=True), 1):
        manner = next(qr_manners if way == "QR" else cash_manners)
        arrives = hour * AN_HOUR + rng.randrange(AN_HOUR)
        asks, leaves = _way_out(arrives, _stands_steps(rng, lot), manner)
        while (plate := lot.plate + f"{rng.randrange(1_000):03}.{rng.randrange(100):02}") in plates:
            pass
        plates.add(plate)
        yield Vehicle(
            name=f"{lot.vehicle_class} {number} at {name}",
            lot=name,
            plate=plate,
            way=way,
            manner=manner,
            odd_vnd=rng.randint(1, 4) * 1_000,
            arrives_at=at_step(day, arrives),
            asks_at=at_step(day, asks),
            pays_at=at_step(day, leaves if manner == "late" else asks),
            leaves_at=at_step(day, leaves),
        )


def _stands_steps(rng: random.Random, lot: Lot) -> int:
    shortest, longest = lot.minutes
    minutes = lot.median_minutes * rng.lognormvariate(0, lot.sigma)
    return round(min(max(minutes, shortest), longest) / 10)


def _way_out(arrives: int, stands: int, manner: Manner) -> tuple[int, int]:
    """When it asks to pay and when it leaves: before midnight, and never a whole number of hours after it came."""
    # Two steps are more than an amount holds (10 minutes) and than the grace time (15 minutes).
    later = 2 if manner in ("late", "lingers") else 0
    asks = min(arrives + stands, LAST_STEP - 1 - later)
    while (asks - arrives) % AN_HOUR == 0 or (asks + later - arrives) % AN_HOUR == 0:
        asks -= 1
    return asks, asks + later


def _manners(rng: random.Random, number: int, mistakes: float, wrong: Sequence[Manner]) -> list[Manner]:
    return shared(rng, number, {"as_asked": 1 - mistakes, **{manner: mistakes / len(wrong) for manner in wrong}})


def _room_for(lot: str, vehicles: Sequence[Vehicle]) -> Iterator[Vehicle]:
    """Those for whom there is room: a full lot turns vehicles away."""
    standing: list[datetime] = []
    for vehicle in sorted(vehicles, key=lambda one: one.arrives_at):
        standing = [leaves_at for leaves_at in standing if leaves_at >= vehicle.arrives_at]
        if len(standing) < LOTS[lot].capacity:
            standing.append(vehicle.leaves_at)
            yield vehicle
