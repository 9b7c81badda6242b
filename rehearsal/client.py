"""Who uses the platform: visitors in a browser, a banking app, attendants at their tablets, people in offices.

Pages are read and their forms sent as a browser without JavaScript would, tablets speak the device API, money goes
through the practice bank's own app. What is not as it should be is raised as `NotAsExpected`, one sentence.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import re
import ssl
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin
from uuid import uuid4

import httpx

HANOI = timezone(timedelta(hours=7))
PIN = "246810"
PASSWORD = "mot-cham-demo"


class NotAsExpected(Exception):
    """What was expected and what came, in one sentence."""


def expect(what: str, wanted: object, came: object) -> None:
    if wanted != came:
        raise NotAsExpected(f"{what}: expected {_said(wanted)}, but got {_said(came)}.")


def _said(value: object) -> str:
    return vnd(value) if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 1000 else repr(value)


def vnd(amount_vnd: int) -> str:
    return f"{amount_vnd:,} VND"


def wait_for(what: str, wanted: object, look: Callable[[], object], within_s: float) -> None:
    """Looks again until it is as wanted; NotAsExpected when time is up."""
    end = time.monotonic() + within_s
    while (came := look()) != wanted and time.monotonic() < end:
        time.sleep(0.2)
    expect(f"{what} within {within_s:g} s", wanted, came)


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


def say_where(parser: argparse.ArgumentParser) -> None:
    """The options `--url` and `--bank`; without them the platform of this machine, on the ports it was given."""
    for option, name, port, what in (
        ("--url", "PUBLIC_URL", os.environ.get("PORT", "8000"), "the platform"),
        ("--bank", "BANK_PUBLIC_URL", os.environ.get("BANK_PORT", "8001"), "its bank"),
    ):
        address = os.environ.get(name) or f"http://localhost:{port}"
        parser.add_argument(option, type=lambda url: url.rstrip("/"), default=address.rstrip("/"), help=what)


def trusted() -> ssl.SSLContext:
    """Whom to believe over https: also a certificate of one's own (`make run TLS=1`) that SSL_CERT_FILE names."""
    return ssl.create_default_context(cafile=os.environ.get("SSL_CERT_FILE"))


def network(believed: ssl.SSLContext | None = None, source: str | None = None) -> httpx.BaseTransport:
    """Connections from one address. They are given up before the server closes them (5 s), or a request could meet that."""
    kept = httpx.Limits(keepalive_expiry=2.0)
    return httpx.HTTPTransport(verify=believed or trusted(), limits=kept, local_address=source, trust_env=False)


class Browser:
    """A browser without JavaScript: keeps cookies, follows redirects, sends forms with their hidden fields."""

    def __init__(self, url: str, language: str = "en", connections: httpx.BaseTransport | None = None) -> None:
        self.url = url
        self.http = httpx.Client(
            base_url=url,
            timeout=15,
            follow_redirects=True,
            headers={"accept-language": language},
            trust_env=False,
            transport=connections or network(),
        )

    def open(self, address: str, *, status: int = 200) -> Page:
        return self._page(self.http.get(address), status)

    def send(self, page: Page, form: Form, *, status: int = 200, **values: object) -> Page:
        """Fills the form in and sends it, as pressing its button does."""
        data = {**form.values, **{name: str(value) for name, value in values.items()}}
        address = urljoin(page.url, form.action or page.url)
        if form.method == "get":
            return self._page(self.http.get(address, params=data), status)
        return self._page(patiently(lambda: self.http.post(address, data=data)), status)

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


# The people


# One address may order so often only, as the phones of a mobile network do; a city's phones are in many networks. On
# this machine every 127.x.y.z is such an address.
NETWORKS = 32


@dataclass
class Platform:
    """Where the platform and its bank are, and how far its clock was moved away from ours."""

    url: str
    bank_url: str
    ahead: timedelta = timedelta(0)

    def __post_init__(self) -> None:
        host = httpx.URL(self.url).host
        mine = sys.platform == "linux" and (host == "localhost" or host.startswith("127."))
        sources = [f"127.0.1.{n}" for n in range(1, NETWORKS + 1)] if mine else [None]
        believed = trusted()
        # Connections are kept and shared: a new one for every visitor would cost more than what he does.
        self._networks: Iterator[httpx.BaseTransport] = itertools.cycle(
            [network(believed, source) for source in sources]
        )

    def visitor(self, language: str = "en") -> Browser:
        """A new visitor's browser, in one of the networks."""
        return Browser(self.url, language, next(self._networks))

    def now(self) -> datetime:
        """The platform's time, as far as we moved it."""
        return datetime.now(HANOI) + self.ahead


class Bank:
    """The practice bank's app, used as its customer does."""

    def __init__(self, platform: Platform) -> None:
        self.browser = Browser(platform.bank_url)

    def pay(self, vietqr: str, *, amount_vnd: int | None = None, text: str | None = None, act: str = "pay") -> Page:
        """Shows the code, checks what the bank says about it, and confirms. `act`: pay, twice or refuse."""
        page = self.browser.open(str(httpx.URL("/app/confirm", params={"code": vietqr})))
        form = page.form("payment", "amount")
        typed = {"amount": amount_vnd, "text": text}
        form.values |= {name: str(value) for name, value in typed.items() if value is not None}
        return self.browser.send(page, form, act=act)

    def misbehave(self, *, lose: bool = False, repeat: int = 1) -> None:
        """Turns the knobs of the bank's own page: notices lost, or sent several times."""
        page = self.browser.open("/app/faults")
        form = page.form("repeat_notices")
        form.values.pop("lose_notices", None)
        if lose:
            form.values["lose_notices"] = "yes"
        self.browser.send(page, form, repeat_notices=repeat)


def pay_by_card(order: Order, *, card: str = "visa", outcome: str = "pay") -> Page:
    """On the gateway's page, as visitors without a Vietnamese bank do; where its link leads back to."""
    page = order.browser.send(order.page, order.page.form(action="/card"))
    if any(name not in ("asked", "card", "outcome") for form in page.forms for name in form.names):
        raise NotAsExpected("The page to pay by card should ask for no number, but does.")
    ended = order.browser.send(page, page.form("asked", "card"), card=card, outcome=outcome)
    return order.browser.open(ended.link("/return"))


class Refused(NotAsExpected):
    """The device API said no."""

    def __init__(self, path: str, status: int, problem: Mapping[str, Any]) -> None:
        super().__init__(f"{path} was refused: {status} {problem.get('code')} ({problem.get('title')}).")
        self.status, self.code, self.problem = status, str(problem.get("code")), problem


def in_notes(amount_vnd: int) -> dict[str, int]:
    """An amount in as few banknotes as possible, as somebody counts it on the table."""
    notes = {}
    for note in (500_000, 200_000, 100_000, 50_000, 20_000, 10_000, 5_000, 2_000, 1_000):
        notes[str(note)], amount_vnd = divmod(amount_vnd, note)
    assert not amount_vnd, "no note is that small"
    return {note: pieces for note, pieces in notes.items() if pieces}


class Tablet:
    """An attendant's tablet: enrolled by a one-time code, logged in with a PIN, every action with an id of its own."""

    def __init__(self, platform: Platform, code: str) -> None:
        self.platform = platform
        self.http = httpx.Client(
            base_url=f"{platform.url}/api/v1/device",
            timeout=15,
            headers={"accept-language": "en"},
            trust_env=False,
            transport=network(),
        )
        self._counter = itertools.count(1)
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
        return {"id": str(uuid4()), "counter": next(self._counter), "at": self.platform.now().isoformat(), **body}

    def open_shift(self, place: int, float_vnd: int) -> Any:
        """A shift with so much change in as few notes as possible."""
        return self.act("/shift/open", place=place, notes=in_notes(float_vnd))

    def close_shift(self, counted_vnd: int, receiver: str) -> Any:
        """Counts the drawer once and hands the notes over to `receiver`; the report."""
        counted = self.act("/shift/count", notes=in_notes(counted_vnd))
        reason = "change" if counted["difference_vnd"] else None
        return self.act("/shift/close", witness=self.witness(receiver, "shift.close"), reason=reason)

    def witness(self, number: str, signs: str, amount_vnd: int | None = None, pin: str = PIN) -> str:
        """The signature of a second person at this tablet, good for that act and amount."""
        said = {"login": number, "pin": pin, "signs": signs, "amount_vnd": amount_vnd}
        signed: str = self.ask("/witness", said)["witness"]
        return signed

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

    def __init__(self, platform: Platform, login: str) -> None:
        super().__init__(platform.url)
        self.platform, self.operator = platform, login.partition("@")[2]
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

    def day(self, day: str = "") -> dict[str, Any]:
        """An operator's day in figures, today's unless another is named."""
        found: dict[str, Any] = self.json("/api/v1/finance/day" + (f"?day={day}" if day else ""))
        return found

    def proved_day(self, within_s: float = 60.0) -> dict[str, Any]:
        """Today with a proof of the books that was asked for now and that knows everything. The worker makes it."""
        end = time.monotonic() + within_s
        before = found = self.day()
        while time.monotonic() < end:
            if found["proved_at"] != before["proved_at"] and not found["transfers_since"]:
                return found
            if not found["proving"]:
                before, page = found, self.open("/finance/day")
                self.send(page, page.form(action="/finance/prove"))
            time.sleep(0.2)
            found = self.day()
        raise NotAsExpected(f"The books of {self.operator} should be proved within {within_s:g} s, but are not.")

    def tablet(self, name: str, places: list[int]) -> Tablet:
        """A tablet that this manager offers a one-time code for."""
        code: str = self.order("POST", "/enrolments", {"device_name": name, "places": places})["code"]
        return Tablet(self.platform, code)

    def move_clock(self, at: datetime) -> None:
        """Moves the platform's time, and the bank's with it (demo and test only)."""
        moved = self.order("PUT", "/clock", {"at": at.isoformat(), "rate": 1.0})["now"]
        self.platform.ahead = datetime.fromisoformat(moved) - datetime.now(HANOI)


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

    def finished(self, within_s: float = 5.0) -> Page:
        """Where the page leads once it is paid: the ticket or the stay."""
        self.until("paid", within_s)
        page = self.browser.open(self.path)
        onward = [link for link in page.links if link.startswith(("/S/", "/T/", "/P/"))]
        if "/pay/" in page.url and onward:  # who paid too much is told so first
            page = self.browser.open(onward[0])
        if "/pay/" in page.url:
            raise NotAsExpected("A paid order should lead back to what was bought, but stays where it was.")
        return page

    @property
    def path(self) -> str:
        """The payer's own address, as it stands in his browser; the reference alone leads nowhere."""
        return httpx.URL(self.page.url).path


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


def plate(letters: str) -> str:
    """A plate that nobody used before, in all likelihood."""
    number = random.randrange(10_000, 100_000)
    return f"{letters}{number // 100}.{number % 100:02}"


def park(visitor: Browser, lot: str, number: str, vehicle_class: str) -> Page:
    """Types the plate at a lot's page: the stay that is begun, or was."""
    page = visitor.open(f"/P/{lot}")
    return visitor.send(page, page.form("plate", "vehicle_class"), plate=number, vehicle_class=vehicle_class)
