"""`motcham story`: the whole life of a đồng, played over HTTP against a running platform, as browsers and tablets do.

Plates, tablets and orders are new each time and sums are compared as differences, so it may be played again and again
on one platform.
It ends with a non-zero code at the first thing that is not as it should be, with a sentence of what was expected.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

import httpx

from rehearsal.client import (
    HANOI,
    Bank,
    Browser,
    NotAsExpected,
    Office,
    Order,
    Page,
    Platform,
    Tablet,
    ask_to_pay,
    code_of,
    expect,
    leave_code,
    order_tickets,
    park,
    pay_by_card,
    plate,
    say_where,
    typed_form,
    vnd,
    wait_for,
)
from rehearsal.ledger import Closing, Drawer, Held, Ledger, Sale, Way

LIVE_WITHIN_S = 2.0
POLLED_WITHIN_S = 60.0
COUNTED_WITHIN_S = 10.0


def tell(step: str, amount_vnd: int | None = None) -> None:
    """One line per step; the amount stands at the right."""
    print(f"  ✓ {step:<84}{vnd(amount_vnd):>16}" if amount_vnd is not None else f"  ✓ {step}", flush=True)


def scene(title: str) -> None:
    print(f"\n{title}", flush=True)


@dataclass
class Day(Platform):
    """The platform, and what was sold there."""

    ledger: Ledger = field(default_factory=Ledger)

    def sold(self, operator: str, service: str, amount_vnd: int, way: Way = "QR", *, given_back_vnd: int = 0) -> None:
        self.ledger.sales.append(Sale(operator, service, "", way, amount_vnd, given_back_vnd=given_back_vnd))

    def kept(self, operator: str, why: str, amount_vnd: int) -> None:
        self.ledger.held.append(Held(operator, why, amount_vnd))


class Listening:
    """An open page that waits for a change (server-sent events), and when it heard of it."""

    def __init__(self, order: Order) -> None:
        if order.page.live is None:
            raise NotAsExpected("The page to pay on should listen for the money, but does not.")
        self._address, self._http = order.page.live, order.browser.http
        self.heard_at: float | None = None
        self._listening = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()
        self._listening.wait(5)

    def _listen(self) -> None:
        try:
            with self._http.stream("GET", self._address, timeout=10) as answer:
                for line in answer.iter_lines():
                    self._listening.set()
                    if line.startswith("event: change"):
                        self.heard_at = time.monotonic()
                        return
        except httpx.HTTPError:
            self._listening.set()

    def seconds_since(self, began: float) -> float:
        """How long it took to hear of it. NotAsExpected if it was too long."""
        self._thread.join(10)
        took = (self.heard_at or began + 99) - began
        if took > LIVE_WITHIN_S:
            raise NotAsExpected(
                f"The page should change by itself within {LIVE_WITHIN_S:g} s of the payment, but it took {took:.1f} s."
                if self.heard_at
                else "The page should change by itself after the payment, but was told nothing within 10 s."
            )
        return took


# The scenes


def heritage(day: Day, bank: Bank) -> dict[str, Page]:
    """Visitors of Văn Miếu and Thăng Long. Returns the tickets that the attendants will see."""
    scene("Heritage: Văn Miếu and Thăng Long")
    visitor = day.visitor()
    site = visitor.json("/api/v1/public/sites/VANMIEU")
    price = {one["code"]: one["price_vnd"] for one in site["categories"]}
    expect("The price of an adult at Văn Miếu", 70_000, price["adult"])
    expect("The price of a child", 0, price["child"])
    tell(f"Văn Miếu, {site['day']}: an adult pays", price["adult"])

    order = Order.on(visitor, order_tickets(visitor, "VANMIEU", adult=2, student=1, child=1))
    expect("The sum for 2 adults, a student and a child", 2 * price["adult"] + price["student"], order.amount_vnd)
    expect("The sum for 2 adults, a student and a child", 175_000, order.amount_vnd)
    tell(f"2 adults, a student, a child: reference {order.reference}, a VietQR over", order.amount_vnd)
    bank.pay(order.vietqr, act="refuse")
    expect("The payment that its payer refused", "open", order.state()["state"])
    tell("The payer refuses at the bank: nothing is paid, the order stays open")
    listening, began = Listening(order), time.monotonic()
    bank.pay(order.vietqr)
    took = listening.seconds_since(began)
    tell(f"Paid at the practice bank; the open page heard of it after {took:.2f} s", order.amount_vnd)
    day.sold("vanmieu", "ticketing", order.amount_vnd)
    group = order.finished()
    tell(f"One ticket for the four: {typed_form(group)}")

    children = order_tickets(visitor, "VANMIEU", child=30)
    if "/T/" not in children.url:
        raise NotAsExpected("A class of 30 children should get its ticket at once, but did not.")
    tell("A class of 30 children has its ticket at once", 0)

    order = Order.on(visitor, order_tickets(visitor, "THANGLONG", adult=1))
    expect("The price of an adult at Thăng Long since 2025", 100_000, order.amount_vnd)
    bank.pay(order.vietqr)
    citadel = order.finished()
    day.sold("thanglong", "ticketing", order.amount_vnd)
    tell("Thăng Long: one adult, to another payee", order.amount_vnd)

    vietnamese = Browser(day.url, "vi")
    words = vietnamese.open("/S/VANMIEU").html
    if 'lang="vi"' not in words or "Người lớn" not in words:
        raise NotAsExpected("The page of Văn Miếu should speak Vietnamese to a Vietnamese browser, but does not.")
    tell("The same page speaks Vietnamese to a Vietnamese browser")
    day.ledger.free += [("vanmieu", "ticketing")] * 3
    tomorrow = (datetime.fromisoformat(site["day"]) + timedelta(days=1)).date().isoformat()
    return {
        "group": group,
        "children": children,
        "citadel": citadel,
        "tomorrow": order_tickets(visitor, "VANMIEU", day=tomorrow, child=1),
        "five": order_tickets(visitor, "VANMIEU", child=5),
    }


def odd_payments(day: Day, bank: Bank) -> None:
    """Too little, too much, twice, and the same notice three times."""
    scene("Payments that are not as asked")
    visitor = day.visitor()
    order = Order.on(visitor, order_tickets(visitor, "VANMIEU", adult=1, student=1))
    bank.pay(order.vietqr, amount_vnd=100_000)
    order.until("partial")
    rest = order.again()
    expect("What is still missing after 100,000 of 105,000 VND", 5_000, rest.amount_vnd)
    tell("Too little: the page shows what is missing, and its code asks for that only", rest.amount_vnd)
    bank.pay(rest.vietqr)
    rest.finished()
    day.sold("vanmieu", "ticketing", order.amount_vnd)
    tell("The rest arrives: one ticket", order.amount_vnd)

    order = Order.on(visitor, order_tickets(visitor, "VANMIEU", adult=1))
    bank.pay(order.vietqr, amount_vnd=order.amount_vnd + 7_000)
    first = code_of(order.finished())
    day.sold("vanmieu", "ticketing", order.amount_vnd)
    day.kept("vanmieu", "overpaid", 7_000)
    tell("Too much: the ticket is issued, the excess is kept for its payer", 7_000)

    order = Order.on(visitor, order_tickets(visitor, "VANMIEU", student=1))
    bank.pay(order.vietqr, act="twice")
    second = code_of(order.finished())
    day.sold("vanmieu", "ticketing", order.amount_vnd)
    day.kept("vanmieu", "twice", order.amount_vnd)
    tell("Paid twice: sold once, the second transfer is kept for its payer", order.amount_vnd)
    if first == second:
        raise NotAsExpected("Two orders should have two tickets, but have one.")

    bank.misbehave(repeat=3)
    try:
        order = Order.on(visitor, order_tickets(visitor, "VANMIEU", adult=1))
        bank.pay(order.vietqr)
        order.finished()
    finally:
        bank.misbehave()
    day.sold("vanmieu", "ticketing", order.amount_vnd)
    tell("The bank sends its notice three times: sold once", order.amount_vnd)


def by_card(day: Day, bank: Bank) -> None:
    """Visitors without a Vietnamese bank, on the gateway's page."""
    scene("Without a Vietnamese bank: cards and foreign wallets")
    visitor = day.visitor()
    order = Order.on(visitor, order_tickets(visitor, "VANMIEU", adult=1))
    pay_by_card(order, outcome="no_funds")
    words = "not enough money"
    wait_for("Whether the page says why the card was declined", True, lambda: words in visitor.open(order.path).html, 5)
    expect("The payment whose card was declined", "open", order.state()["state"])
    tell("A card without money: the page says so, nothing is charged, the VietQR still stands there")
    order = order.again()
    pay_by_card(order)
    order.finished()
    day.sold("vanmieu", "ticketing", order.amount_vnd, "CARD")
    tell("The second card pays: one ticket", order.amount_vnd)

    bank.misbehave(lose=True)
    try:
        order = Order.on(visitor, order_tickets(visitor, "THANGLONG", adult=2))
        pay_by_card(order, card="wallet")
        began = time.monotonic()
    finally:
        bank.misbehave()
    order.finished(POLLED_WITHIN_S)
    day.sold("thanglong", "ticketing", order.amount_vnd, "WALLET")
    took = time.monotonic() - began
    tell(f"A foreign wallet, its notice lost: the gateway was asked, and said so after {took:.1f} s", order.amount_vnd)


def lost_notice(day: Day, bank: Bank) -> Callable[[], None]:
    """A payment whose notice never comes. Returns what is to be seen later: the bank's list has told of it."""
    visitor = day.visitor()
    bank.misbehave(lose=True)
    try:
        order = Order.on(visitor, order_tickets(visitor, "VANMIEU", adult=1))
        bank.pay(order.vietqr)
        began = time.monotonic()
    finally:
        bank.misbehave()
    settled: list[float] = []

    def watch() -> None:
        while not settled and time.monotonic() < began + POLLED_WITHIN_S:
            try:
                if order.state()["state"] == "paid":
                    settled.append(time.monotonic() - began)
            except (NotAsExpected, httpx.HTTPError):
                pass  # the scene itself says what is wrong
            time.sleep(0.5)

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()

    def told() -> None:
        scene("A notice that was lost")
        watching.join(POLLED_WITHIN_S)
        if not settled:
            raise NotAsExpected(
                f"A payment whose notice was lost should be found within {POLLED_WITHIN_S:g} s, but was not."
            )
        order.finished()
        day.sold("vanmieu", "ticketing", order.amount_vnd)
        tell(f"The notice never came; the bank's list told of the payment after {settled[0]:.1f} s", order.amount_vnd)

    return told


def expect_verdict(what: str, wanted: str, outcome: Mapping[str, Any]) -> None:
    expect(f"The verdict on {what}", wanted, outcome["verdict"])


def gate(tablet: Tablet, other: Tablet, tickets: Mapping[str, Page]) -> None:
    """The gate of Văn Miếu: every verdict of a ticket."""
    scene("The gate of Văn Miếu")
    site = next(place for place in tablet.places if place["service"] == "ticketing")["number"]
    group, five = code_of(tickets["group"]), code_of(tickets["five"])
    body = tablet.action(place=site, code=group, heads=None)
    outcome = tablet.ask("/scan", body)
    expect_verdict("a ticket that was paid", "valid", outcome)
    expect("The heads admitted", 4, outcome["admitted_now"])
    tell("Valid: four go in; the attendant sees whose card to ask for")
    expect_verdict("the same code a moment later", "repeated", tablet.scan(site, group))
    tell("The same code within 3 s is ignored")
    expect("The second sending of one scan", outcome, tablet.ask("/scan", body))
    tablet.is_refused("key_used_for_another", "/scan", {**body, "heads": 1})
    tell("The same scan sent again gets its first outcome; with another body it is refused")
    outcome = other.scan(site, group)
    expect_verdict("a used ticket at another tablet", "used", outcome)
    if not outcome["last_used_at"] or outcome["last_used_where"] != tablet.name:
        raise NotAsExpected(f"A used ticket should say when and where it was used, but said {outcome}.")
    tell(f"Already used: at {_hour(outcome['last_used_at'])}, at {outcome['last_used_where']}")
    expect_verdict("the typed short form", "used", other.scan(site, typed_form(tickets["group"])))
    outcome = tablet.scan(site, five, heads=3)
    expect_verdict("three of five", "valid", outcome)
    expect("The heads admitted so far", (3, 5), (outcome["admitted_total"], outcome["heads"]))
    outcome = other.scan(site, five, heads=3)
    expect_verdict("three more of five", "used", outcome)
    expect("The heads admitted of too many", 0, outcome["admitted_now"])
    expect_verdict("the last two", "valid", other.scan(site, five, heads=2))
    tell("A group of five: three go in, three more do not, two do")
    expect_verdict("the class of children", "valid", tablet.scan(site, code_of(tickets["children"])))
    expect_verdict("a ticket of Thăng Long", "wrong_place", tablet.scan(site, code_of(tickets["citadel"])))
    expect_verdict("a ticket for tomorrow", "wrong_day", tablet.scan(site, code_of(tickets["tomorrow"])))
    forged = group[:-1] + ("A" if group[-1] != "A" else "B")
    expect_verdict("a forged code", "unknown", tablet.scan(site, forged))
    expect_verdict("something else", "unknown", tablet.scan(site, "https://example.org/T/none"))
    tell("Wrong place, wrong day, a forged code and a code of others: nobody goes in")


def _hour(instant: str) -> str:
    return f"{datetime.fromisoformat(instant).astimezone(HANOI):%H:%M:%S}"


def day_or_night(instant: str, by_day_vnd: int, by_night_vnd: int) -> int:
    """The fee of one turn that begins at that instant: day is from 6 to 18 o'clock in Hanoi."""
    return by_day_vnd if 6 <= datetime.fromisoformat(instant).astimezone(HANOI).hour < 18 else by_night_vnd


def motorbikes(day: Day, bank: Bank, tablet: Tablet) -> None:
    """The lot of Văn Miếu: entered by the attendant, paid by the visitor, let out by the attendant."""
    scene("The motorbike lot of Văn Miếu")
    lot = next(place for place in tablet.places if place["code"] == "VM1")["number"]
    number = plate("29-B1 ")
    arrived = tablet.act("/vehicles/in", place=lot, vehicle_class="motorbike", plate=number)
    expect_verdict("a motorbike that arrives", "in", arrived)
    stay = arrived["stay"]
    fee_vnd = day_or_night(stay["entered_at"], 5_000, 8_000)
    tell(f"{stay['plate']} comes in: code {stay['short']}")
    again = tablet.act("/vehicles/in", place=lot, vehicle_class="motorbike", plate=number.lower().replace("-", ""))
    expect_verdict("the same motorbike again", "already_in", again)
    expect("The stay of the same motorbike", stay["id"], again["stay"]["id"])
    tell("The same plate in another spelling is the same stay")

    leaving = tablet.act("/vehicles/out", place=lot, code=stay["code_url"])
    expect_verdict("leaving before paying", "unpaid", leaving)
    expect("What a motorbike owes", fee_vnd, leaving["due_vnd"])
    tell("It may not leave before it has paid", fee_vnd)

    visitor = day.visitor()
    page = visitor.open("/P/VM1")
    form = page.form("plate", "vehicle_class")
    page = visitor.send(page, form, plate=number, vehicle_class="motorbike")
    if stay["code_url"][-48:] in page.html or "/T/" in page.url:
        raise NotAsExpected("A plate alone should not show the code of the slip, but does.")
    order = ask_to_pay(visitor, page)
    expect("What the motorbike's page asks for", fee_vnd, order.amount_vnd)
    bank.pay(order.vietqr)
    page = order.finished()
    day.sold("vanmieu", "parking", order.amount_vnd)
    if re.search(r"/T/[A-Z2-7]{48}", page.html):
        raise NotAsExpected("Whoever pays by the plate alone should get no code to leave with, but does.")
    tell("The visitor finds it at /P/VM1 by the plate, and pays; the plate alone shows no code", order.amount_vnd)
    body = tablet.action(place=lot, code=stay["code_url"])
    leaving = tablet.ask("/vehicles/out", body)
    expect_verdict("leaving after paying", "left", leaving)
    expect("The second sending of one leaving", "left", tablet.ask("/vehicles/out", body)["verdict"])
    tablet.is_refused("key_used_for_another", "/vehicles/out", {**body, "code": stay["short"]})
    expect_verdict("leaving twice", "already_left", tablet.act("/vehicles/out", place=lot, stay_id=stay["id"]))
    tell("It leaves with the code of its slip, once")


def cars(day: Day, bank: Bank, tablet: Tablet) -> None:
    """The car park of Đống Đa: entered by the visitor himself."""
    scene("The car park of Đống Đa")
    lot = next(place for place in tablet.places if place["code"] == "DD1")["number"]
    visitor = day.visitor()
    page = park(visitor, "DD1", plate("30A-"), "car")
    order = ask_to_pay(visitor, page)
    expect("The first started hour of a car", 25_000, order.amount_vnd)
    tell("A car is entered by its driver at /P/DD1: the first started hour", order.amount_vnd)
    bank.pay(order.vietqr)
    page = order.finished()
    day.sold("dongda", "parking", order.amount_vnd)
    code = leave_code(page)
    expect_verdict("a car that paid", "left", tablet.act("/vehicles/out", place=lot, code=code))
    expect_verdict("the same code once more", "already_left", tablet.act("/vehicles/out", place=lot, code=code))
    tell("Paid by VietQR, and out with the leave code", order.amount_vnd)


FLOAT_VND = 200_000


def cash(day: Day, bank: Bank, tablet: Tablet, office: Office) -> None:
    """A shift: notes for a vehicle and for tickets, notes that the attendant transfers himself, and the count."""
    scene("Cash at Văn Miếu")
    lot = next(place for place in tablet.places if place["code"] == "VM1")["number"]
    site = next(place for place in tablet.places if place["service"] == "ticketing")
    sale: dict[str, Any] = {"place": site["number"], "heads": {"adult": 1, "student": 1}, "proxy": False}
    tablet.is_refused("no_shift", "/cash/ticket", tablet.action(**sale, amount_vnd=105_000))
    shift = tablet.open_shift(lot, FLOAT_VND)
    tell("A shift is opened with a float; before, no cash was taken", FLOAT_VND)

    outstanding_vnd: int = office.day()["proxies"]["sum_vnd"]
    guest = {"place": site["number"], "heads": {"adult": 1}, "proxy": True}
    proxy = tablet.act("/cash/ticket", **guest, amount_vnd=70_000)
    expect("What attendants still have to transfer", outstanding_vnd + 70_000, office.day()["proxies"]["sum_vnd"])
    bank.pay(proxy["pay"]["vietqr"])
    day.sold("vanmieu", "ticketing", 70_000, "PROXY")
    tell("A guest's notes that the attendant transfers himself: cash, and said so", 70_000)

    stay = tablet.act("/vehicles/in", place=lot, vehicle_class="bicycle", plate=None)["stay"]
    found = tablet.ask("/vehicles/find", {"place": lot, "short": stay["short"]})["stays"]
    expect("The bicycles found by the short code", [stay["id"]], [one["id"] for one in found])
    fee_vnd = day_or_night(stay["entered_at"], 3_000, 5_000)
    expect("What a bicycle owes", fee_vnd, found[0]["due_vnd"])
    paying: dict[str, Any] = {"place": lot, "stay_id": stay["id"], "proxy": False}
    tablet.is_refused("amount_changed", "/cash/stay", tablet.action(**paying, amount_vnd=fee_vnd + 1_000))
    body = tablet.action(**paying, amount_vnd=fee_vnd)
    receipt = tablet.ask("/cash/stay", body)
    expect("The same notes counted once more", receipt, tablet.ask("/cash/stay", body))
    expect_verdict("a bicycle that paid", "left", tablet.act("/vehicles/out", place=lot, stay_id=stay["id"]))
    day.sold("vanmieu", "parking", fee_vnd, "CASH")
    tell(f"A bicycle without a plate pays cash: receipt {receipt['receipt_number']}", fee_vnd)

    tablet.is_refused("amount_changed", "/cash/ticket", tablet.action(**sale, amount_vnd=100_000))
    sold = tablet.act("/cash/ticket", **sale, amount_vnd=105_000)
    day.sold("vanmieu", "ticketing", 105_000, "CASH", given_back_vnd=35_000)
    expect_verdict("a ticket sold for cash", "valid", tablet.scan(site["number"], sold["code_url"]))
    tell(f"An adult and a student pay cash and go in: receipt {sold['receipt_number']}", 105_000)

    wait_for("What attendants still have to transfer", outstanding_vnd, lambda: office.day()["proxies"]["sum_vnd"], 5.0)
    bundle = tablet.act("/shift/drop", notes={"100000": 1})
    receiver = tablet.witness("02", "shift.drop.receive", bundle["amount_vnd"])
    taken = tablet.act("/shift/drop/receive", number=bundle["number"], witness=receiver)
    tell(f"Notes go to the safe during the shift, signed for by {taken['received_by']}", taken["amount_vnd"])

    numbers = {"place": lot, "shift_number": shift["number"], "receipt_number": sold["receipt_number"]}
    signed = tablet.witness("02", "cash.refund", 35_000)  # the ticket was used, so a supervisor has to agree
    slip = tablet.act("/cash/refund", **numbers, amount_vnd=35_000, reason="overcharged", witness=signed)
    expect("What is left of the receipt", 70_000, slip["left_vnd"])
    tell(f"A part of a cash receipt is handed back in notes: slip {slip['number']}", slip["amount_vnd"])

    counted_vnd = FLOAT_VND + fee_vnd + 105_000 - 100_000 - 35_000
    closed = tablet.close_shift(counted_vnd, "02")
    expect("The cash of the shift", fee_vnd + 105_000, closed["cash_vnd"])
    expect("What the attendant took for guests", 70_000, closed["proxy_vnd"])
    expect("The drawer's expected sum", counted_vnd, closed["expected_vnd"])
    expect("The drawer's difference", 0, closed["difference_vnd"])
    day.ledger.drawers.append(Drawer("vanmieu", shift["id"], counted_vnd, counted_vnd))
    tell(
        f"Shift {closed['number']} is counted and handed over to {closed['countersigned_by']},"
        f" {closed['receipts']} receipts: right to the đồng",
        closed["expected_vnd"],
    )


def given_back(day: Day, bank: Bank, clerk: Office, manager: Office, tablet: Tablet) -> None:
    """A ticket whose visitor cannot come is given back by finance; above a clerk's limit once somebody else agrees."""
    scene("A ticket is given back")
    order = Order.on(day.visitor(), order_tickets(day.visitor(), "VANMIEU", adult=4))
    bank.pay(order.vietqr)
    ticket = order.finished()
    day.sold("vanmieu", "ticketing", order.amount_vnd, given_back_vnd=order.amount_vnd)
    page = clerk.open(f"/finance/charges/{order.reference}")
    clerk.send(page, page.form(action="/give-back"), reason="the visitor is ill")
    expect("What goes back as long as nobody agrees", [], order.state()["goes_back"])
    tell("A clerk asks to give it back: above his limit of a day, so nothing changes yet", order.amount_vnd)
    page = manager.open(f"/finance/charges/{order.reference}")
    manager.send(page, page.form(action="/approve"))
    tell("The manager agrees")
    site = next(place["number"] for place in tablet.places if place["service"] == "ticketing")
    expect_verdict("a ticket that was given back", "revoked", tablet.scan(site, code_of(ticket)))
    tell("No gate admits it any more")
    wait_for("What the payer reads", "settled", lambda: order.state()["goes_back"][0]["state"], POLLED_WITHIN_S)
    expect("What still goes back", 0, order.state()["goes_back_vnd"])
    tell("The bank has sent it back where it came from", order.amount_vnd)


def revoked(manager: Office, tablet: Tablet) -> None:
    """A tablet is lost: the manager takes it out of service."""
    scene("A lost tablet")
    tablet.is_refused("enrolment_refused", "/enrol", {"code": tablet.code})
    tell("The one-time code that enrolled it is used up")
    device = next(one["id"] for one in manager.order("GET", "/devices") if one["name"] == tablet.name)
    manager.order("POST", f"/devices/{device}/revoke")
    site = next(place["number"] for place in tablet.places if place["service"] == "ticketing")
    tablet.is_refused("device_revoked", "/scan", tablet.action(place=site, code="ABCDEFGHJK", heads=None))
    tell("Its next word is refused")


def hours_later(day: Day, bank: Bank, manager: Office, tablet: Tablet) -> None:
    """What takes hours in life: an amount that holds no longer, a way out that closed again, eight hours of a car."""
    scene("Hours later (the clock is moved)")
    lot = next(place for place in tablet.places if place["code"] == "DD1")["number"]
    visitor = day.visitor()

    def car() -> tuple[str, str, datetime]:
        page = park(visitor, "DD1", plate("30A-"), "car")
        stay = tablet.ask("/vehicles/find", {"place": lot, "code": code_of(page)})["stays"][0]
        return httpx.URL(page.url).path, stay["id"], datetime.fromisoformat(stay["entered_at"])

    def pay(order: Order) -> None:
        bank.pay(order.vietqr)
        order.finished()
        day.sold("dongda", "parking", order.amount_vnd)

    def asked_vnd(path: str) -> Order:
        return ask_to_pay(visitor, visitor.open(path))

    path, stay_id, entered = car()
    early = asked_vnd(path)
    manager.move_clock(entered + timedelta(minutes=70))
    pay(early)
    leaving = tablet.act("/vehicles/out", place=lot, stay_id=stay_id)
    expect_verdict("leaving on an amount that was paid an hour after it was shown", "unpaid", leaving)
    expect("What is due of the second hour", 25_000, leaving["due_vnd"])
    tell("An amount holds for 10 minutes; paid an hour later, the second hour is still due", leaving["due_vnd"])
    pay(asked_vnd(path))
    manager.move_clock(entered + timedelta(minutes=130))
    leaving = tablet.act("/vehicles/out", place=lot, stay_id=stay_id)
    expect_verdict("leaving an hour after paying", "unpaid", leaving)
    expect("What is due of the third hour", 35_000, leaving["due_vnd"])
    tell("Paid, but stayed beyond the grace time: the third hour is due", leaving["due_vnd"])
    pay(asked_vnd(path))
    expect_verdict("leaving after the rest", "left", tablet.act("/vehicles/out", place=lot, stay_id=stay_id))

    path, stay_id, entered = car()
    manager.move_clock(entered + timedelta(hours=7, minutes=59))
    order = asked_vnd(path)
    expect("Eight hours of a car", 300_000, order.amount_vnd)
    pay(order)
    expect_verdict("leaving after eight hours", "left", tablet.act("/vehicles/out", place=lot, stay_id=stay_id))
    tell("Eight hours of a car: 2 × 25,000 + 2 × 35,000 + 4 × 45,000", order.amount_vnd)


# What finance and the city see


def closing_of(offices: list[Office], city: Browser) -> Closing:
    """From the platform's today until whatever day the story ends on."""
    return Closing(offices, city, date.fromisoformat(offices[0].day()["day"]))


def seen(closing: Closing, ledger: Ledger) -> None:
    """Finance and the city have moved by exactly what was sold."""
    scene("Finance and the city")
    for wrong in closing.differences(ledger, quiet_s=COUNTED_WITHIN_S):
        raise NotAsExpected(wrong)
    for sums in ledger.sums():
        name = ", ".join(str(sums[part]) for part in ("operator", "service", "means", "channel"))
        tell(f"{name}: finance moved by exactly what was sold", sums["amount_vnd"])
    tell("What was paid too much or twice is kept for its payers", sum(held.amount_vnd for held in ledger.held))
    tell(f"The books of {len(closing.offices)} operators balance: M1 to M10")
    tell("The day as a spreadsheet has the same rows and sums")
    moved = ledger.figures()
    for service in ("parking", "ticketing"):
        units, of = moved["city", service, "cashless_units"], moved["city", service, "charged_units"]
        tell(
            f"The city, {service}: {units} of {of} sales without cash more; the denominator moved by",
            moved["city", service, "charged_vnd"],
        )
    proxies = [sale.amount_vnd for sale in ledger.sales if sale.way == "PROXY"]
    tell(f"Cash that an attendant transferred himself stays cash, and stands apart: {len(proxies)}", sum(proxies))
    tell("The CSV says the same as the JSON: numerator and denominator")
    page = closing.city.open("/city/")
    if "<script" in page.html.partition("<main")[2].partition("</main")[0]:
        raise NotAsExpected("The page of the city should need no script, but has one.")
    tell("The page of the city needs no script")


OPERATORS = ("vanmieu", "thanglong", "dongda")


def play(arguments: list[str]) -> int:
    """`motcham story`: plays every scene; 0, or 1 at the first thing that is not as it should be."""
    parser = argparse.ArgumentParser(prog="motcham story", description="Plays the whole life of a đồng over HTTP.")
    say_where(parser)
    parser.add_argument("--clock", action="store_true", help="also what takes hours: moves the clock (demo only)")
    asked = parser.parse_args(arguments)
    began = time.monotonic()
    try:
        tell_all(Day(asked.url, asked.bank), clock=asked.clock)
    except NotAsExpected as wrong:
        print(f"  ✗ {wrong}", file=sys.stderr)
        return 1
    except httpx.TransportError as error:
        print(f"  ✗ {error.request.url} should answer, but does not ({type(error).__name__}).", file=sys.stderr)
        return 1
    print(f"\nEverything was as it should be, after {time.monotonic() - began:.0f} s.")
    return 0


def tell_all(day: Day, *, clock: bool) -> None:
    """The whole day, scene by scene. Raises NotAsExpected, httpx.TransportError."""
    bank = Bank(day)
    clerks = [Office(day, f"ketoan@{operator}") for operator in OPERATORS]
    manager, kerb_manager = Office(day, "quanly@vanmieu"), Office(day, "quanly@dongda")
    closing = closing_of(clerks, day.visitor())
    told = lost_notice(day, bank)
    tickets = heritage(day, bank)
    odd_payments(day, bank)
    by_card(day, bank)
    number = f"{random.randrange(10_000):04}"
    first, second = (manager.tablet(f"Gate {number} {which}", [1, 2]) for which in "AB")
    first.login("01")
    second.login("02")
    gate(first, second, tickets)
    motorbikes(day, bank, first)
    kerb = kerb_manager.tablet(f"Kerb {number}", [4])
    kerb.login("01")
    cars(day, bank, kerb)
    cash(day, bank, first, clerks[0])
    given_back(day, bank, clerks[0], manager, first)
    revoked(manager, second)
    told()
    if clock:
        hours_later(day, bank, kerb_manager, kerb)
    seen(closing, day.ledger)
