"""`motcham story`: the whole life of a đồng, played over HTTP against a running platform, as browsers and tablets do.

It imports nothing of the platform and opens no database: pages are read and their forms sent as a browser without
JavaScript would, tablets speak the device API, money goes through the practice bank's own app. Plates, tablets and
orders are new each time and sums are compared as differences, so it may be played again and again on one platform.
It ends with a non-zero code at the first thing that is not as it should be, with a sentence of what was expected.
"""

from __future__ import annotations

import argparse
import csv
import io
import os
import random
import re
import ssl
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from functools import partial
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin
from uuid import uuid4

import httpx

HANOI = timezone(timedelta(hours=7))
PIN = "246810"
PASSWORD = "mot-cham-demo"
LIVE_WITHIN_S = 2.0
POLLED_WITHIN_S = 60.0
COUNTED_WITHIN_S = 10.0


class NotAsExpected(Exception):
    """What was expected and what came, in one sentence."""


def expect(what: str, wanted: object, came: object) -> None:
    if wanted != came:
        raise NotAsExpected(f"{what}: expected {_said(wanted)}, but got {_said(came)}.")


def _said(value: object) -> str:
    return vnd(value) if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 1000 else repr(value)


def vnd(amount_vnd: int) -> str:
    return f"{amount_vnd:,} VND"


def tell(step: str, amount_vnd: int | None = None) -> None:
    """One line per step; the amount stands at the right."""
    print(f"  ✓ {step:<84}{vnd(amount_vnd):>16}" if amount_vnd is not None else f"  ✓ {step}", flush=True)


def scene(title: str) -> None:
    print(f"\n{title}", flush=True)


# Pages, as a browser without JavaScript reads them


@dataclass
class Form:
    """A form with the values that stand in it."""

    action: str
    method: str
    values: dict[str, str] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)


class Page(HTMLParser):
    """A page that was loaded: its forms, the texts of elements with an id, its links and where changes are told."""

    def __init__(self, url: str, html: str, status: int = 200) -> None:
        super().__init__(convert_charrefs=True)
        self.url, self.html, self.status = url, html, status
        self.forms: list[Form] = []
        self.links: list[str] = []
        self.texts: dict[str, str] = {}
        self.live: str | None = None
        self._form: Form | None = None
        self._select: str | None = None
        self._open: list[tuple[str, str | None]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.live = given.get("data-live", self.live)
        if tag == "form":
            self._form = Form(given.get("action", ""), given.get("method", "get").lower())
            self.forms.append(self._form)
        elif tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif tag == "select":
            self._select = given.get("name")
            if self._form is not None and self._select:
                self._form.names.add(self._select)
        elif self._form is not None and tag in ("input", "button", "textarea", "option"):
            self._take(tag, given)
        if tag not in ("input", "meta", "link", "img", "br", "path", "rect", "circle"):
            self._open.append((tag, given.get("id")))
            if given.get("id"):
                self.texts[given["id"]] = ""

    def _take(self, tag: str, given: Mapping[str, str]) -> None:
        assert self._form is not None
        if tag == "option":
            if self._select and ("selected" in given or self._select not in self._form.values):
                self._form.values[self._select] = given.get("value", "")
            return
        if not given.get("name"):
            return
        self._form.names.add(given["name"])
        kind = given.get("type", "submit" if tag == "button" else "text")
        if kind in ("submit", "button") or (kind in ("checkbox", "radio") and "checked" not in given):
            return
        self._form.values[given["name"]] = given.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._form = None
        elif tag == "select":
            self._select = None
        while self._open and any(name == tag for name, _ in self._open):
            if self._open.pop()[0] == tag:
                break

    def handle_data(self, data: str) -> None:
        for _, id in self._open:
            if id:
                self.texts[id] += data

    def text(self, id: str) -> str:
        """The words of the element with that id."""
        if id not in self.texts:
            raise NotAsExpected(f"{self.url} should show something called “{id}”, but does not.")
        return " ".join(self.texts[id].split())

    def amount_vnd(self, id: str) -> int:
        """The amount in the element with that id, in whichever way the language groups it."""
        return int(re.sub(r"\D", "", self.text(id)) or -1)

    def form(self, *names: str, action: str = "") -> Form:
        """The form with those fields."""
        for form in self.forms:
            if form.names >= set(names) and action in form.action:
                return form
        raise NotAsExpected(f"{self.url} should have a form with {', '.join(names) or action}, but has not.")

    def link(self, part: str) -> str:
        """The address of the first link that contains `part`."""
        for link in self.links:
            if part in link:
                return link
        raise NotAsExpected(f"{self.url} should link to {part}, but does not.")


def trusted() -> ssl.SSLContext:
    """Whom to believe over https: also a certificate of one's own (`make run TLS=1`) that SSL_CERT_FILE names."""
    return ssl.create_default_context(cafile=os.environ.get("SSL_CERT_FILE"))


class Browser:
    """A browser without JavaScript: keeps cookies, follows redirects, sends forms with their hidden fields."""

    def __init__(self, url: str, language: str = "en") -> None:
        self.url = url
        self.http = httpx.Client(
            base_url=url,
            timeout=15,
            follow_redirects=True,
            headers={"accept-language": language},
            trust_env=False,
            verify=trusted(),
        )

    def open(self, address: str, *, status: int = 200) -> Page:
        return self._page(self.http.get(address), status)

    def send(self, page: Page, form: Form, *, status: int = 200, **values: object) -> Page:
        """Fills the form in and sends it, as pressing its button does."""
        data = {**form.values, **{name: str(value) for name, value in values.items()}}
        address = urljoin(page.url, form.action or page.url)
        if form.method == "get":
            return self._page(self.http.get(address, params=data), status)
        return self._page(self.http.post(address, data=data), status)

    def json(self, address: str) -> Any:
        answer = self.http.get(address)
        expect(f"GET {address}", 200, answer.status_code)
        return answer.json()

    @staticmethod
    def _page(answer: httpx.Response, status: int) -> Page:
        page = Page(str(answer.url), answer.text, answer.status_code)
        if answer.status_code != status:
            words = " ".join(re.sub(r"<[^>]*>", " ", answer.text.partition("<main")[2]).split())[:200]
            raise NotAsExpected(
                f"{answer.request.method} {answer.url.path}: expected {status}, but got {answer.status_code} ({words})."
            )
        return page


# The people of the story


@dataclass(frozen=True)
class Sale:
    """What finance and the city must see afterwards."""

    operator: str
    service: str
    means: str
    channel: str
    amount_vnd: int

    @property
    def key(self) -> tuple[str, str, str, str]:
        return self.operator, self.service, self.means, self.channel


@dataclass
class Day:
    """What a story needs to know: where the platform and the bank are, and what was sold."""

    url: str
    bank_url: str
    sales: list[Sale] = field(default_factory=list)
    held_vnd: Counter[str] = field(default_factory=Counter)

    def visitor(self, language: str = "en") -> Browser:
        return Browser(self.url, language)

    def sold(self, operator: str, service: str, amount_vnd: int, means: str = "QR_TRANSFER", channel: str = "") -> None:
        ways = {"QR_TRANSFER": "GATEWAY", "CASH": "CASH_DEPOSIT"}
        self.sales.append(Sale(operator, service, means, channel or ways[means], amount_vnd))


class Bank:
    """The practice bank's app, used as its customer does."""

    def __init__(self, day: Day) -> None:
        self.browser = Browser(day.bank_url)

    def pay(self, vietqr: str, *, amount_vnd: int | None = None, text: str | None = None, act: str = "pay") -> Page:
        """Shows the code, checks what the bank says about it, and confirms. `act`: pay, twice or refuse."""
        page = self.browser.open(str(httpx.URL("/app/confirm", params={"code": vietqr})))
        form = page.form("payment", "amount")
        typed = {"amount": amount_vnd, "text": text}
        form.values |= {name: str(value) for name, value in typed.items() if value is not None}
        return self.browser.send(page, form, act=act)

    def misbehave(self, *, lose: bool = False, repeat: int = 1) -> None:
        """Turns the knobs of the bank's own page: notices lost, or sent several times."""
        page = self.browser.open("/app")
        form = page.form("repeat_notices")
        form.values.pop("lose_notices", None)
        if lose:
            form.values["lose_notices"] = "yes"
        self.browser.send(page, form, repeat_notices=repeat)


class Refused(NotAsExpected):
    """The device API said no."""

    def __init__(self, path: str, status: int, problem: Mapping[str, Any]) -> None:
        super().__init__(f"{path} was refused: {status} {problem.get('code')} ({problem.get('title')}).")
        self.status, self.code, self.problem = status, str(problem.get("code")), problem


class Tablet:
    """An attendant's tablet: enrolled by a one-time code, logged in with a PIN, every action with an id of its own."""

    def __init__(self, day: Day, code: str) -> None:
        self.http = httpx.Client(
            base_url=f"{day.url}/api/v1/device",
            timeout=15,
            headers={"accept-language": "en"},
            trust_env=False,
            verify=trusted(),
        )
        self.counter = 0
        answer = patiently(lambda: self.http.post("/enrol", json={"code": code}))
        if not answer.is_success:
            raise Refused("/enrol", answer.status_code, answer.json())
        enrolled, self.code = answer.json(), code
        self.name: str = enrolled["device_name"]
        self.places: list[dict[str, Any]] = enrolled["places"]
        self.device_token: str = enrolled["device_token"]

    def login(self, number: str, pin: str = PIN) -> dict[str, Any]:
        answer: dict[str, Any] = self.ask("/login", {"login": number, "pin": pin}, token=self.device_token)
        self.http.headers["authorization"] = f"Bearer {answer['session_token']}"
        return answer

    def ask(self, path: str, body: Mapping[str, Any] | None = None, *, token: str | None = None) -> Any:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        answer = self.http.request("GET" if body is None else "POST", path, json=body, headers=headers)
        if not answer.is_success:
            raise Refused(path, answer.status_code, answer.json())
        return answer.json() if answer.content else None

    def act(self, path: str, **body: Any) -> Any:
        """Does something once."""
        return self.ask(path, self.action(**body))

    def action(self, **body: Any) -> dict[str, Any]:
        self.counter += 1
        return {"id": str(uuid4()), "counter": self.counter, "at": datetime.now(HANOI).isoformat(), **body}

    def is_refused(self, code: str, path: str, body: Mapping[str, Any]) -> None:
        """Expects a refusal with that code."""
        try:
            self.ask(path, body)
        except Refused as refused:
            expect(f"The refusal of {path}", code, refused.code)
            return
        raise NotAsExpected(f"{path} should have been refused with {code}, but was accepted.")

    def scan(self, place: int, code: str, heads: int | None = None) -> Any:
        return self.act("/scan", place=place, code=code, heads=heads)


class Office(Browser):
    """A clerk or manager of one operator, logged in at the pages of finance."""

    def __init__(self, day: Day, login: str) -> None:
        super().__init__(day.url)
        self.operator = login.partition("@")[2]
        page = self.open("/finance/login")
        form = page.form("login", "password")
        answer = patiently(lambda: self.http.post("/finance/login", data={"login": login, "password": PASSWORD}))
        self.home = self._page(answer, 200)
        if "/login" in self.home.url:
            raise NotAsExpected(f"{login} should be logged in at finance after sending {form.action}, but is not.")
        self.csrf = self.home.form("csrf").values["csrf"]

    def order(self, method: str, path: str, body: Any = None) -> Any:
        """Something a manager does by program, with the session and the form token of the page."""
        answer = self.http.request(method, f"/api/v1/manage{path}", json=body, headers={"x-csrf-token": self.csrf})
        if not answer.is_success:
            raise NotAsExpected(f"{method} {path} should have been done, but was refused: {answer.text[:200]}")
        return answer.json() if answer.content else None

    def today(self) -> dict[str, Any]:
        """The operator's day in figures."""
        found: dict[str, Any] = self.json("/api/v1/finance/day")
        return found


def patiently(ask: Callable[[], httpx.Response]) -> httpx.Response:
    """Asks again for a minute while there were too many tries from this address."""
    for _ in range(14):
        answer = ask()
        if answer.status_code != 429:
            return answer
        time.sleep(5)
    return answer


# Ordering and paying


@dataclass
class Order:
    """What a visitor is asked to pay, on its own page."""

    browser: Browser
    page: Page
    reference: str
    amount_vnd: int
    vietqr: str

    @classmethod
    def on(cls, browser: Browser, page: Page) -> Order:
        """The order whose payment page is open."""
        if "/pay/" not in page.url:
            raise NotAsExpected(f"A page to pay on should have come, but {httpx.URL(page.url).path} did.")
        return cls(browser, page, page.text("reference").split()[0], page.amount_vnd("amount"), page.text("vietqr"))

    def again(self) -> Order:
        """The same page, loaded once more."""
        return Order.on(self.browser, self.browser.open(self.path))

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = self.browser.json(f"/api/v1/public/payments/{self.reference}")
        return found

    def until(self, state: str, within_s: float = 5.0) -> dict[str, Any]:
        """Waits for the bank's word to arrive."""
        end = time.monotonic() + within_s
        while (found := self.state())["state"] != state and time.monotonic() < end:
            time.sleep(0.05)
        expect(f"The state of payment {self.reference} within {within_s:g} s", state, found["state"])
        return found

    def finished(self) -> Page:
        """Where the page leads once it is paid: the ticket or the stay."""
        self.until("paid")
        page = self.browser.open(self.path)
        if "/pay/" in page.url:
            raise NotAsExpected("A paid order should lead back to what was bought, but stays where it was.")
        return page

    @property
    def path(self) -> str:
        """The payer's own address, as it stands in his browser; the reference alone leads nowhere."""
        return httpx.URL(self.page.url).path


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


def order_tickets(browser: Browser, site: str, *, day: str = "", **heads: int) -> Page:
    """Chooses heads per category on the site's page and continues."""
    page = browser.open(f"/S/{site}" + (f"?day={day}" if day else ""))
    form = page.form("key", "day")
    return browser.send(page, form, **{f"heads_{category}": number for category, number in heads.items()})


def code_of(page: Page) -> str:
    """The code of a ticket or stay, as its QR carries it: an upper-case address."""
    found = re.search(r"/T/([A-Z2-7]{48})", page.url) or re.search(r"/T/([A-Z2-7]{48})", page.html)
    if found is None:
        raise NotAsExpected(f"{page.url} should show a code, but does not.")
    host = httpx.URL(page.url)
    return f"{host.scheme}://{host.netloc.decode()}/T/{found[1]}".upper()


def typed_form(page: Page) -> str:
    """The short form beside a code, as an attendant types it."""
    found = re.search(r'class="short"[^>]*>\s*([2-9A-Z]{5})\W+([2-9A-Z]{5})\s*<', page.html)
    if found is None:
        raise NotAsExpected(f"{page.url} should show the short form of its code, but does not.")
    return found[1] + found[2]


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
    day.held_vnd["vanmieu"] += 7_000
    tell("Too much: the ticket is issued, the excess is kept for its payer", 7_000)

    order = Order.on(visitor, order_tickets(visitor, "VANMIEU", student=1))
    bank.pay(order.vietqr, act="twice")
    second = code_of(order.finished())
    day.sold("vanmieu", "ticketing", order.amount_vnd)
    day.held_vnd["vanmieu"] += order.amount_vnd
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


def wait_for(what: str, wanted: object, look: Callable[[], object], within_s: float) -> None:
    """Looks again until it is as wanted; NotAsExpected when time is up."""
    end = time.monotonic() + within_s
    while (came := look()) != wanted and time.monotonic() < end:
        time.sleep(0.2)
    expect(f"{what} within {within_s:g} s", wanted, came)


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


def plate(letters: str) -> str:
    """A plate that no earlier story used, in all likelihood."""
    number = random.randrange(10_000, 100_000)
    return f"{letters}{number // 100}.{number % 100:02}"


def day_or_night(instant: str, by_day_vnd: int, by_night_vnd: int) -> int:
    """The fee of one turn that begins at that instant: day is from 6 to 18 o'clock in Hanoi."""
    return by_day_vnd if 6 <= datetime.fromisoformat(instant).astimezone(HANOI).hour < 18 else by_night_vnd


def ask_to_pay(visitor: Browser, stay: Page) -> Order:
    """Presses “pay” on the page of a stay."""
    return Order.on(visitor, visitor.send(stay, stay.form(action="/pay")))


def leave_code(stay: Page) -> str:
    """The code of a paid stay's page, which opens the way out."""
    own = code_of(stay)
    for found in re.finditer(r"/T/([A-Z2-7]{48})", stay.html):
        if found[1] != own[-48:]:
            return own[:-48] + found[1]
    raise NotAsExpected("The page of a paid stay should show a code to leave with, but does not.")


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
    page = enter_car(visitor, plate("30A-"))
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


def enter_car(visitor: Browser, number: str) -> Page:
    page = visitor.open("/P/DD1")
    return visitor.send(page, page.form("plate", "vehicle_class"), plate=number, vehicle_class="car")


FLOAT_VND = 200_000


def cash(day: Day, bank: Bank, tablet: Tablet, office: Office) -> None:
    """A shift: notes for a vehicle and for tickets, notes that the attendant transfers himself, and the count."""
    scene("Cash at Văn Miếu")
    lot = next(place for place in tablet.places if place["code"] == "VM1")["number"]
    site = next(place for place in tablet.places if place["service"] == "ticketing")
    sale: dict[str, Any] = {"place": site["number"], "heads": {"adult": 1, "student": 1}, "proxy": False}
    tablet.is_refused("no_shift", "/cash/ticket", tablet.action(**sale, amount_vnd=105_000))
    tablet.act("/shift/open", place=lot, float_vnd=FLOAT_VND)
    tell("A shift is opened with a float; before, no cash was taken", FLOAT_VND)

    outstanding_vnd: int = office.today()["proxies"]["sum_vnd"]
    guest = {"place": site["number"], "heads": {"adult": 1}, "proxy": True}
    proxy = tablet.act("/cash/ticket", **guest, amount_vnd=70_000)
    expect("What attendants still have to transfer", outstanding_vnd + 70_000, office.today()["proxies"]["sum_vnd"])
    bank.pay(proxy["pay"]["vietqr"])
    day.sold("vanmieu", "ticketing", 70_000, "CASH", "ATTENDANT_PROXY")
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
    day.sold("vanmieu", "ticketing", 105_000, "CASH")
    expect_verdict("a ticket sold for cash", "valid", tablet.scan(site["number"], sold["code_url"]))
    tell(f"An adult and a student pay cash and go in: receipt {sold['receipt_number']}", 105_000)

    wait_for(
        "What attendants still have to transfer", outstanding_vnd, lambda: office.today()["proxies"]["sum_vnd"], 5.0
    )
    counted_vnd = FLOAT_VND + fee_vnd + 105_000
    closed = tablet.act("/shift/close", counted_vnd=counted_vnd)
    expect("The cash of the shift", fee_vnd + 105_000, closed["cash_vnd"])
    expect("What the attendant took for guests", 70_000, closed["proxy_vnd"])
    expect("The drawer's expected sum", counted_vnd, closed["expected_vnd"])
    expect("The drawer's difference", 0, closed["difference_vnd"])
    tell(
        f"Shift {closed['number']} is closed, {closed['receipts']} receipts: right to the đồng", closed["expected_vnd"]
    )


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


def move_clock(manager: Office, at: datetime) -> None:
    """Moves the platform's time, and the bank's with it (demo and test only)."""
    manager.order("PUT", "/clock", {"at": at.isoformat(), "rate": 1.0})


def hours_later(day: Day, bank: Bank, manager: Office, tablet: Tablet) -> None:
    """What takes hours in life: an amount that holds no longer, a way out that closed again, eight hours of a car."""
    scene("Hours later (the clock is moved)")
    lot = next(place for place in tablet.places if place["code"] == "DD1")["number"]
    visitor = day.visitor()

    def car() -> tuple[str, str, datetime]:
        page = enter_car(visitor, plate("30A-"))
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
    move_clock(manager, entered + timedelta(minutes=70))
    pay(early)
    leaving = tablet.act("/vehicles/out", place=lot, stay_id=stay_id)
    expect_verdict("leaving on an amount that was paid an hour after it was shown", "unpaid", leaving)
    expect("What is due of the second hour", 25_000, leaving["due_vnd"])
    tell("An amount holds for 10 minutes; paid an hour later, the second hour is still due", leaving["due_vnd"])
    pay(asked_vnd(path))
    move_clock(manager, entered + timedelta(minutes=130))
    leaving = tablet.act("/vehicles/out", place=lot, stay_id=stay_id)
    expect_verdict("leaving an hour after paying", "unpaid", leaving)
    expect("What is due of the third hour", 35_000, leaving["due_vnd"])
    tell("Paid, but stayed beyond the grace time: the third hour is due", leaving["due_vnd"])
    pay(asked_vnd(path))
    expect_verdict("leaving after the rest", "left", tablet.act("/vehicles/out", place=lot, stay_id=stay_id))

    path, stay_id, entered = car()
    move_clock(manager, entered + timedelta(hours=7, minutes=59))
    order = asked_vnd(path)
    expect("Eight hours of a car", 300_000, order.amount_vnd)
    pay(order)
    expect_verdict("leaving after eight hours", "left", tablet.act("/vehicles/out", place=lot, stay_id=stay_id))
    tell("Eight hours of a car: 2 × 25,000 + 2 × 35,000 + 4 × 45,000", order.amount_vnd)


# What finance and the city see


Sums = Counter[tuple[str, str, str, str]]


def finance_sums(offices: Sequence[Office], days: Sequence[str]) -> tuple[Sums, Sums, Counter[str]]:
    """Over some days: lines and VND by operator, service, means and channel; and what is held for payers now."""
    lines, amounts, held = Sums(), Sums(), Counter[str]()
    for office in offices:
        for shown in (office.json(f"/api/v1/finance/day?day={day}") for day in days):
            for group in shown["groups"]:
                key = (office.operator, group["service"], group["means"], group["channel"])
                lines[key] += group["lines"]
                amounts[key] += group["amount_vnd"]
            held[office.operator] = shown["held"]["sum_vnd"]
    return lines, amounts, held


@dataclass
class Closing:
    """What finance and the city saw before the story; afterwards it must have moved by exactly what was sold."""

    offices: Sequence[Office]
    city: Browser
    first: str = ""

    def __post_init__(self) -> None:
        self.first = self.today()
        self.finance_before = finance_sums(self.offices, [self.first])
        self.city_before = self.city_figures()

    def today(self) -> str:
        day: str = self.offices[0].today()["day"]
        return day

    def days(self) -> list[str]:
        """From the day on which the story began to the platform's today."""
        first, last = date.fromisoformat(self.first), date.fromisoformat(self.today())
        return [(first + timedelta(days=n)).isoformat() for n in range((last - first).days + 1)]

    def finance(self, day: Day) -> None:
        scene("Finance")
        lines, amounts, held = finance_sums(self.offices, self.days())
        for name, now, before, sold in (
            ("number of sales", lines, self.finance_before[0], Counter(sale.key for sale in day.sales)),
            ("sum", amounts, self.finance_before[1], _sums(day.sales)),
        ):
            for key in sorted(now | sold):
                expect(f"By how much the {name} of {', '.join(key)} moved", sold[key], now[key] - before[key])
        for key, amount_vnd in sorted(_sums(day.sales).items()):
            tell(f"{', '.join(key)}: moved by exactly what was sold", amount_vnd)
        for operator in held:
            moved_vnd = held[operator] - self.finance_before[2][operator]
            expect(f"By how much the money held for payers of {operator} moved", day.held_vnd[operator], moved_vnd)
        tell("What was paid too much or twice is kept for its payers", sum(day.held_vnd.values()))
        for office in self.offices:
            shown = office.today()
            if not shown["balanced"]:
                broken = [line["invariant"] for line in shown["proof"] if not line["holds"]]
                raise NotAsExpected(f"The books of {office.operator} should balance, but {', '.join(broken)} fail.")
        tell(f"The books of {len(self.offices)} operators balance: M1 to M10")
        self._spreadsheet()

    def _spreadsheet(self) -> None:
        office, day = self.offices[0], self.today()
        answer = office.http.get(f"/finance/day.csv?day={day}")
        rows = list(csv.reader(io.StringIO(answer.text.lstrip("\ufeff"))))
        total_vnd = sum(int(row[-1]) for row in rows[1:-1])
        expect("The last row of the spreadsheet", total_vnd, int(rows[-1][-1]))
        expect("The sum of the spreadsheet", office.json(f"/api/v1/finance/day?day={day}")["sum_vnd"], total_vnd)
        tell(f"The day as a spreadsheet of {office.operator}: {len(rows) - 2} rows with the same sum", total_vnd)

    def city_figures(self) -> dict[str, Counter[str]]:
        """What the city publishes, by service, from the day on which the story began to today."""
        period = f"from={self.first}&to={self.today()}"
        published = self.city.json(f"/api/v1/open-data/cashless-share?{period}&by=service")
        return {row["service"]: Counter({name: row[name] for name in FIGURES}) for row in published["rows"]}

    def city_figures_of(self, service: str) -> dict[str, int]:
        found = self.city_figures().get(service, Counter())
        return {name: found[name] for name in FIGURES}

    def statistics(self, day: Day) -> None:
        scene("The city")
        wanted = {service: Counter(self.city_before.get(service)) for service in ("parking", "ticketing")}
        for sale in day.sales:
            wanted[sale.service].update(_as_figures(sale))
        for service, figures in wanted.items():
            wait_for(
                f"The city's figures of {service}",
                {name: figures[name] for name in FIGURES},
                partial(self.city_figures_of, service),
                COUNTED_WITHIN_S,
            )
            before = self.city_before.get(service, Counter())
            units, of = (figures[name] - before[name] for name in ("cashless_units", "charged_units"))
            moved_vnd = figures["charged_vnd"] - before["charged_vnd"]
            tell(f"{service}: {units} of {of} sales without cash more; the denominator moved by", moved_vnd)
        proxies = [sale.amount_vnd for sale in day.sales if sale.channel == "ATTENDANT_PROXY"]
        tell(f"Cash that an attendant transferred himself stays cash, and stands apart: {len(proxies)}", sum(proxies))
        period = f"from={self.first}&to={self.today()}"
        answer = self.city.http.get(f"/api/v1/open-data/cashless-share.csv?{period}&by=service")
        for row in csv.DictReader(io.StringIO(answer.text)):
            expect(
                f"The CSV row of {row['service']}",
                {name: wanted[row["service"]][name] for name in FIGURES},
                {name: int(row[name]) for name in FIGURES},
            )
        tell("The CSV says the same as the JSON: numerator and denominator")
        page = self.city.open("/city/")
        if "<script" in page.html.partition("<main")[2].partition("</main")[0]:
            raise NotAsExpected("The page of the city should need no script, but has one.")
        tell("The page of the city needs no script")


FIGURES = ("cashless_units", "charged_units", "cashless_vnd", "charged_vnd", "proxy_units", "proxy_vnd")


def _as_figures(sale: Sale) -> Counter[str]:
    cashless, proxy = sale.means != "CASH", sale.channel == "ATTENDANT_PROXY"
    found = Counter({"charged_units": 1, "charged_vnd": sale.amount_vnd})
    if cashless:
        found |= Counter({"cashless_units": 1, "cashless_vnd": sale.amount_vnd})
    if proxy:
        found |= Counter({"proxy_units": 1, "proxy_vnd": sale.amount_vnd})
    return found


def _sums(sales: Sequence[Sale]) -> Sums:
    found = Sums()
    for sale in sales:
        found[sale.key] += sale.amount_vnd
    return found


OPERATORS = ("vanmieu", "thanglong", "dongda")


def play(arguments: list[str]) -> int:
    """`motcham story`: plays every scene; 0, or 1 at the first thing that is not as it should be."""
    parser = argparse.ArgumentParser(prog="motcham story", description="Plays the whole life of a đồng over HTTP.")
    parser.add_argument("--url", default=os.environ.get("PUBLIC_URL", "http://localhost:8000"), help="the platform")
    parser.add_argument("--bank", default=os.environ.get("BANK_PUBLIC_URL", "http://localhost:8001"), help="its bank")
    parser.add_argument("--clock", action="store_true", help="also what takes hours: moves the clock (demo only)")
    asked = parser.parse_args(arguments)
    began = time.monotonic()
    try:
        tell_all(Day(asked.url.rstrip("/"), asked.bank.rstrip("/")), clock=asked.clock)
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
    closing = Closing(clerks, day.visitor())
    told = lost_notice(day, bank)
    tickets = heritage(day, bank)
    odd_payments(day, bank)
    number = f"{random.randrange(10_000):04}"
    first, second = (tablet_of(day, manager, f"Gate {number} {which}", [1, 2]) for which in "AB")
    first.login("01")
    second.login("02")
    gate(first, second, tickets)
    motorbikes(day, bank, first)
    kerb = tablet_of(day, kerb_manager, f"Kerb {number}", [4])
    kerb.login("01")
    cars(day, bank, kerb)
    cash(day, bank, first, clerks[0])
    revoked(manager, second)
    told()
    if clock:
        hours_later(day, bank, kerb_manager, kerb)
    closing.finance(day)
    closing.statistics(day)


def tablet_of(day: Day, manager: Office, name: str, places: list[int]) -> Tablet:
    """A tablet that the manager offered a one-time code for."""
    return Tablet(day, manager.order("POST", "/enrolments", {"device_name": name, "places": places})["code"])
