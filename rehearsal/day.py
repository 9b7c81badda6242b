"""`motcham day`: lives a planned day of the city against a running platform, and compares it to the đồng.

The platform's clock is moved to the beginning of each ten minutes of the plan and runs at its own pace there, so that an
amount that holds for ten minutes holds while it is paid; what happens within them happens at once, by several threads.
(Threads, because the clients of `rehearsal.client` are those of the story and of the tests: one kind of client, not two.)

At the end everything that was done is compared with what finance and the city say, as movements: it may be played on one
platform again and again, each time the next day that has not begun there. Every difference is named; with any, it ends
with 1.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import date, datetime, timedelta
from functools import partial
from itertools import cycle, groupby
from pathlib import Path
from typing import Any

import httpx

from rehearsal import ledger as written
from rehearsal import plan as planned
from rehearsal.client import (
    Bank,
    NotAsExpected,
    Office,
    Order,
    Platform,
    Tablet,
    ask_to_pay,
    code_of,
    expect,
    order_tickets,
    park,
    pay_by_card,
    say_where,
    vnd,
    wait_for,
)
from rehearsal.ledger import ON_A_PHONE, Closing, Held, Ledger, Sale
from rehearsal.plan import FLOAT_VND, LAST_STEP, LOTS, SITES, STEP, Event, Party, Plan, Vehicle

AT_ONCE = 8
A_MOMENT = timedelta(seconds=5)
"""How long after the beginning of its ten minutes something happens: at 18:00:00 sharp it is still day for a tariff."""
PAID_WITHIN_S = 30.0
LAPSED_WITHIN_S = 60.0
QUIET_S = 10.0
SHOWN_MAX = 20


class Stopped(NotAsExpected):
    """The day cannot go on."""


@dataclass
class Stage:
    """Where the day is played: the platform, its bank, a tablet at each place, and what has been done so far."""

    platform: Platform
    bank: Bank
    tablets: dict[str, Tablet]
    ledger: Ledger = field(default_factory=Ledger)

    def pay(self, order: Order, who: Party | Vehicle, place: str, manner: planned.Manner = "as_asked") -> str:
        """Pays an order at the bank, in the manner of `who`; the address of what was bought."""
        service = "parking" if place in LOTS else "ticketing"
        if manner == "twice":
            self.bank.pay(order.vietqr, act="twice")
            self.ledger.held.append(Held(who.operator, manner, order.amount_vnd))
        elif manner == "too_much":
            self.bank.pay(order.vietqr, amount_vnd=order.amount_vnd + who.odd_vnd)
            self.ledger.held.append(Held(who.operator, manner, who.odd_vnd))
        elif manner == "too_little":
            self.bank.pay(order.vietqr, amount_vnd=order.amount_vnd - who.odd_vnd)
            order.until("partial", PAID_WITHIN_S)
            rest = order.again()
            expect("The rest that is still missing", who.odd_vnd, rest.amount_vnd)
            self.bank.pay(rest.vietqr)
        elif who.way in ("CARD", "WALLET"):
            pay_by_card(order, card="wallet" if who.way == "WALLET" else "visa")
        else:
            self.bank.pay(order.vietqr)
        way = who.way if who.way in ON_A_PHONE else "QR"
        self.ledger.sales.append(Sale(who.operator, service, place, way, order.amount_vnd, order.reference))
        return code_of(order.finished(PAID_WITHIN_S))

    def take_notes(self, who: Party | Vehicle, place: str, path: str, amount_vnd: int, **body: Any) -> Any:
        """An attendant takes notes; if he keeps them, he transfers the amount himself."""
        proxy = who.way == "PROXY"
        number = operating(place).number
        sold = self.tablets[place].act(path, place=number, amount_vnd=amount_vnd, proxy=proxy, **body)
        service = "parking" if place in LOTS else "ticketing"
        self.ledger.sales.append(Sale(who.operator, service, place, who.way, amount_vnd))
        if proxy:
            self.bank.pay(sold["pay"]["vietqr"])
        return sold


def operating(place: str) -> planned.Site | planned.Lot:
    return SITES.get(place) or LOTS[place]


class Visitors:
    """A party of a site: orders and pays on its own phone, or at the gate; then goes in."""

    def __init__(self, stage: Stage, party: Party) -> None:
        self.stage, self.party = stage, party
        self.browser = stage.platform.visitor("en" if party.foreign else "vi")
        self.ticket = ""
        self.still_to_enter = list(party.enters)
        self.is_out = False

    def orders(self) -> None:
        party, heads = self.party, dict(self.party.heads)
        if party.way not in ON_A_PHONE:
            path = "/cash/ticket"
            self.ticket = self.stage.take_notes(party, party.site, path, party.amount_vnd, heads=heads)["code_url"]
            return
        page = order_tickets(self.browser, party.site, day=party.orders_at.date().isoformat(), **heads)
        if party.amount_vnd:
            self.order = Order.on(self.browser, page)
            expect("What the heads of the party cost", party.amount_vnd, self.order.amount_vnd)
        else:
            self.ticket = code_of(page)
            self.stage.ledger.free.append((party.operator, "ticketing"))

    def pays(self) -> None:
        self.ticket = self.stage.pay(self.order, self.party, self.party.site, self.party.manner)

    def enters(self) -> None:
        _, heads = self.still_to_enter.pop(0)
        site = self.party.site
        outcome = self.stage.tablets[site].scan(SITES[site].number, self.ticket, heads)
        expect("Verdict and heads at the gate", ("valid", heads), (outcome["verdict"], outcome.get("admitted_now")))


class Driver:
    """A vehicle: motorbikes and who pays notes are entered by the attendant, other cars by their drivers."""

    def __init__(self, stage: Stage, vehicle: Vehicle) -> None:
        self.stage, self.vehicle, self.lot = stage, vehicle, LOTS[vehicle.lot]
        self.browser = stage.platform.visitor("vi")
        self.is_out = False

    def _at_the_exit(self) -> Any:
        tablet = self.stage.tablets[self.vehicle.lot]
        return tablet.act("/vehicles/out", place=self.lot.number, code=self.slip)

    def _ask(self) -> Order:
        return ask_to_pay(self.browser, self.browser.open(f"/T/{self.slip[-48:]}"))

    def arrives(self) -> None:
        vehicle, kind = self.vehicle, self.lot.vehicle_class
        if kind == "car" and vehicle.way == "QR":
            self.slip = code_of(park(self.browser, vehicle.lot, vehicle.plate, kind))
            return
        tablet = self.stage.tablets[vehicle.lot]
        arrived = tablet.act("/vehicles/in", place=self.lot.number, vehicle_class=kind, plate=vehicle.plate)
        expect("The verdict on a vehicle that arrives", "in", arrived["verdict"])
        self.slip = arrived["stay"]["code_url"]

    def asks(self) -> None:
        self.order = self._ask()
        expect("What the stay costs until now", self.vehicle.asked_vnd, self.order.amount_vnd)

    def pays(self) -> None:
        vehicle = self.vehicle
        if vehicle.manner == "part_then_notes":
            self.stage.bank.pay(self.order.vietqr, amount_vnd=vehicle.odd_vnd)
            self.order.until("partial", PAID_WITHIN_S)
        else:
            self.stage.pay(self.order, vehicle, vehicle.lot, vehicle.manner)

    def leaves(self) -> None:
        vehicle, outcome = self.vehicle, self._at_the_exit()
        if vehicle.due_vnd:
            due = outcome["verdict"], outcome.get("due_vnd")
            expect("Verdict and due at the exit", ("unpaid", vehicle.due_vnd), due)
            if vehicle.way == "QR":
                self.stage.pay(self._ask(), vehicle, vehicle.lot)
            else:
                stay_id = outcome["stay"]["id"]
                self.stage.take_notes(vehicle, vehicle.lot, "/cash/stay", vehicle.due_vnd, stay_id=stay_id)
            if vehicle.manner == "part_then_notes":
                self.stage.ledger.held.append(Held(vehicle.operator, vehicle.manner, vehicle.odd_vnd))
            outcome = self._at_the_exit()
        expect("The verdict at the exit", "left", outcome["verdict"])


class Progress:
    """How far the day is: a bar in a terminal, elsewhere a line for each hour of the day."""

    def __init__(self, total: int) -> None:
        self.total, self.began, self._hour = total, time.monotonic(), -1
        self._terminal = sys.stdout.isatty()

    def show(self, at: datetime, done: int) -> None:
        rate = done / max(time.monotonic() - self.began, 0.001)
        said = f"{at:%H:%M}  {done:>7,} of {self.total:,} events  {rate:5.1f}/s"
        if self._terminal:
            full = 30 * done // max(self.total, 1)
            print(f"\r  [{'█' * full}{'·' * (30 - full)}] {said}", end="", flush=True)
        elif at.hour != self._hour:
            print(f"  {said}", flush=True)
        self._hour = at.hour

    def end(self) -> None:
        if self._terminal:
            print(flush=True)


@dataclass
class Day:
    """A plan and the platform it is played on. `ledger`: what was done; `wrong`: what was not as planned, in sentences."""

    platform: Platform
    plan: Plan
    at_once: int = AT_ONCE
    wrong: list[str] = field(default_factory=list)
    took_s: float = 0.0
    done: int = 0

    def __post_init__(self) -> None:
        operators = dict.fromkeys(drawer.operator for drawer in self.plan.drawers)
        self.managers = {operator: Office(self.platform, f"quanly@{operator}") for operator in operators}
        self._turns = cycle(self.managers.values())  # nobody's session idles so long that it ends
        self.stage = Stage(self.platform, Bank(self.platform), {})
        self.city = self.platform.visitor()

    @property
    def ledger(self) -> Ledger:
        return self.stage.ledger

    def live(self) -> None:
        """Plays everything and compares; afterwards `wrong` names every difference. Raises Stopped, httpx errors."""
        closing = Closing(list(self.managers.values()), self.city, self.plan.day, self.plan.day)
        standing = self._standing()
        events = self.plan.events
        first = events[0].at - STEP if events else planned.at_step(self.plan.day, 0)
        self._move_clock(first)
        shifts = self._open()
        progress, began = Progress(len(events)), time.monotonic()
        try:
            self._play(events, progress)
        finally:
            self.took_s = time.monotonic() - began
            progress.end()
        self._move_clock(planned.at_step(self.plan.day, LAST_STEP))
        self._close(shifts, closing)
        self.wrong += closing.differences(self.ledger, quiet_s=QUIET_S)
        self.wrong += self._not_as_planned()
        self._note(lambda: wait_for("Who is still asked to pay", 0, self._pending, LAPSED_WITHIN_S))
        self._note(lambda: expect("The vehicles that stand at the lots", standing, self._standing()))

    def _play(self, events: Sequence[Event], progress: Progress) -> None:
        actors: dict[str, Visitors | Driver] = {}
        with ThreadPoolExecutor(self.at_once) as pool:
            try:
                for at, together in groupby(events, key=lambda event: event.at):
                    self._move_clock(at)
                    scripts: dict[str, list[Event]] = defaultdict(list)
                    for event in together:
                        if event.who.name not in actors:
                            actors[event.who.name] = self._actor(event.who)
                        scripts[event.who.name].append(event)
                    playing = [pool.submit(self._act, actors[name], script) for name, script in scripts.items()]
                    self.done += sum(future.result() for future in playing)
                    progress.show(at, self.done)
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise

    def _actor(self, who: Party | Vehicle) -> Visitors | Driver:
        return Visitors(self.stage, who) if isinstance(who, Party) else Driver(self.stage, who)

    def _act(self, actor: Visitors | Driver, script: Sequence[Event]) -> int:
        """What one of them does within one step, in order; how much that was. Who met something wrong is out of it."""
        for number, event in enumerate(script):
            if actor.is_out:
                return number
            try:
                getattr(actor, event.act)()
            except NotAsExpected as wrong:
                actor.is_out = True
                self.wrong.append(f"{event.at:%H:%M}, {event.who.name}, {event.act}: {wrong}")
        return len(script)

    def _note(self, look: Callable[[], None]) -> None:
        try:
            look()
        except NotAsExpected as wrong:
            self.wrong.append(str(wrong))

    def _move_clock(self, at: datetime) -> None:
        if self.platform.now() >= at + STEP / 2:
            raise Stopped("Ten minutes of the city take too long here to be played in them; choose a smaller --scale.")
        if self.platform.now() < at + A_MOMENT:
            next(self._turns).move_clock(at + A_MOMENT)

    def _open(self) -> dict[str, str]:
        """A tablet and a shift at each place; the ids of the shifts."""
        shifts = {}
        for drawer in self.plan.drawers:
            number = operating(drawer.place).number
            name = f"{drawer.place} {self.plan.day:%d.%m.%Y}"
            tablet = self.managers[drawer.operator].tablet(name, [number])
            tablet.login(drawer.attendant)
            shifts[drawer.place] = tablet.open_shift(number, FLOAT_VND)["id"]
            self.stage.tablets[drawer.place] = tablet
        return shifts

    def _close(self, shifts: dict[str, str], closing: Closing) -> None:
        """Every shift is counted blindly, with the planned miscount, once what attendants transfer has arrived."""
        for clerk in closing.offices:
            before_vnd = closing.before["finance", clerk.operator, "attendants still transfer", "VND"]
            self._note(partial(_transferred, clerk, before_vnd))
        for drawer in self.plan.drawers:
            notes = [sale for sale in self.ledger.sales if sale.place == drawer.place and sale.way == "CASH"]
            expected_vnd = FLOAT_VND + sum(sale.amount_vnd for sale in notes)
            counted_vnd = expected_vnd + drawer.miscount_vnd
            closed = self.stage.tablets[drawer.place].close_shift(
                counted_vnd, "02" if drawer.attendant == "01" else "01"
            )
            came = closed["expected_vnd"], closed["difference_vnd"]
            self._note(
                partial(expect, f"Drawer and difference at {drawer.place}", (expected_vnd, drawer.miscount_vnd), came)
            )
            self.ledger.drawers.append(written.Drawer(drawer.operator, shifts[drawer.place], expected_vnd, counted_vnd))

    def _not_as_planned(self) -> list[str]:
        """What was done, beside what the plan foresaw: finance may agree with a day that went wrong."""
        played, foreseen = self.ledger.figures(), self.plan.expected().figures()
        wrong = written.moved_otherwise(written.Figures(), played, foreseen)
        return [f"Against the plan: {said}" for said in wrong if said.startswith("finance")]

    def _pending(self) -> int:
        """How many payments of this day somebody may still make, as the city counts them."""
        day = self.plan.day.isoformat()
        found: int = self.city.json(f"/api/v1/open-data/cashless-share?from={day}&to={day}")["total"]["pending_units"]
        return found

    def _standing(self) -> dict[str, int]:
        return {lot: self.city.json(f"/api/v1/public/lots/{lot}")["occupied"] for lot in LOTS}

    def report(self) -> dict[str, Any]:
        """The run for programs: what was played, what was sold, what was not as planned. Amounts in VND."""
        plan = self.plan
        return {
            "day": plan.day.isoformat(),
            "seed": plan.seed,
            "scale": plan.scale,
            "tet": plan.tet,
            "events": {"planned": len(plan.events), "played": self.done},
            "took_s": round(self.took_s, 1),
            "sales": self.ledger.sums(),
            "free": len(self.ledger.free),
            "held": {"transfers": len(self.ledger.held), "amount_vnd": sum(one.amount_vnd for one in self.ledger.held)},
            "drawers": [asdict(drawer) for drawer in self.ledger.drawers],
            "differences": self.wrong,
        }


def _transferred(clerk: Office, before_vnd: int) -> None:
    what = f"What attendants of {clerk.operator} still transfer"
    wait_for(what, before_vnd, lambda: clerk.day()["proxies"]["sum_vnd"], PAID_WITHIN_S)


def play(arguments: list[str]) -> int:
    """`motcham day`: 0 if everything agrees; 1, with every difference named, if not."""
    parser = argparse.ArgumentParser(prog="motcham day", description="Lives a day of the city over HTTP, and compares.")
    say_where(parser)
    parser.add_argument(
        "--date", type=date.fromisoformat, help="which day (default: the next that has not begun there)"
    )
    parser.add_argument("--seed", type=int, default=1, help="the same seed and date are the same day (1)")
    parser.add_argument(
        "--scale", type=float, default=0.1, help="which part of a whole day's visitors and vehicles (0.1)"
    )
    parser.add_argument("--tet", action="store_true", help="as many visitors as at Tết")
    parser.add_argument("--mistakes", type=float, default=planned.MISTAKES, help="who pays wrongly, of all (0.08)")
    parser.add_argument("--at-once", type=int, default=AT_ONCE, help=f"how many act at the same time ({AT_ONCE})")
    parser.add_argument("--report", type=Path, help="write the run as JSON to this file")
    asked = parser.parse_args(arguments)
    if not (0 < asked.scale <= 10 and 0 <= asked.mistakes <= 1 and 1 <= asked.at_once <= 64):
        parser.error("--scale lies between 0 and 10, --mistakes between 0 and 1, --at-once between 1 and 64")
    day: Day | None = None
    try:
        platform = Platform(asked.url, asked.bank)
        on = next_day(platform, asked.date)
        plan = planned.make(asked.seed, on, scale=asked.scale, tet=asked.tet, mistakes=asked.mistakes)
        announce(plan)
        day = Day(platform, plan, asked.at_once)
        day.live()
    except KeyboardInterrupt:
        print(
            f"\n  Stopped: {_so_far(day)}. What was paid stays paid; vehicles that stand, open shifts and the clock stay"
            " as they are.",
            file=sys.stderr,
        )
        return 130
    except NotAsExpected as wrong:
        print(f"  ✗ {wrong}", file=sys.stderr)
        return 1
    except httpx.TransportError as error:
        name = type(error).__name__
        print(f"  ✗ {error.request.url} should answer, but does not ({name}): {_so_far(day)}.", file=sys.stderr)
        return 1
    finally:
        if day is not None and asked.report:
            asked.report.write_text(json.dumps(day.report(), ensure_ascii=False, indent=2) + "\n", "utf-8")
    return conclude(day)


def next_day(platform: Platform, asked: date | None) -> date:
    """The day to play: the one that was asked for, or the next. Raises Stopped if it has begun already."""
    today = date.fromisoformat(platform.visitor().json("/api/v1/public/lots/VM1")["day"])
    if asked is not None and asked <= today:
        raise Stopped(
            f"The platform's clock only goes forward, and {asked} has begun there: choose a day after {today}."
        )
    return asked or today + timedelta(days=1)


def announce(plan: Plan) -> None:
    visitors = sum(party.size for party in plan.parties if party.enters)
    print(
        f"{plan.day:%d/%m/%Y}{', Tết' if plan.tet else ''}, seed {plan.seed}: {visitors:,} visitors in"
        f" {len(plan.parties):,} parties, {len(plan.vehicles):,} vehicles ({plan.turned_away:,} find no room)",
        flush=True,
    )


def conclude(day: Day) -> int:
    """Says what was done and every difference; the exit code."""
    print(f"\n{day.done:,} events in {day.took_s:.0f} s, {day.done / max(day.took_s, 0.001):.1f} a second\n")
    for sums in day.ledger.sums():
        name = f"{sums['operator']:<10} {sums['service']:<10} {sums['means']:<12} {sums['channel']:<15}"
        print(f"  {name} {sums['sales']:>6,} {vnd(sums['amount_vnd']):>20}")
    moved = day.ledger.figures()
    for service in ("parking", "ticketing"):
        sides = [
            f"{moved['city', service, f'cashless_{unit}']:,} of {moved['city', service, f'charged_{unit}']:,} {unit}"
            for unit in ("units", "vnd")
        ]
        print(f"  without cash, {service}: {sides[0]}, {sides[1]}")
    held = day.ledger.held
    print(f"  held for payers: {len(held)} transfers, {vnd(sum(one.amount_vnd for one in held))}")
    miscounts = [drawer.counted_vnd - drawer.expected_vnd for drawer in day.ledger.drawers]
    print(f"  drawers over or short: {', '.join(f'{amount_vnd:+,}' for amount_vnd in miscounts)} VND")
    if not day.wrong:
        print("\nFinance and the city say the same, to the đồng.")
        return 0
    for said in day.wrong[:SHOWN_MAX]:
        print(f"  ✗ {said}", file=sys.stderr)
    hidden = len(day.wrong) - SHOWN_MAX
    if hidden > 0:
        print(f"  ✗ and {hidden} differences more (--report names all).", file=sys.stderr)
    return 1


def _so_far(day: Day | None) -> str:
    return f"{day.done:,} of {len(day.plan.events):,} events of the day were played" if day else "nothing was played"
