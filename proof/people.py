"""Who does what: visitors, drivers, attendants, clerks and payers, over HTTP, at random, and until they are answered.

A deed is a short piece of life made of a few acts. An act that got no answer (the process was ended, the bank broke off)
is asked again as it was: same key, same action id, same payment id. Only what was acknowledged goes into the model.
"""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock_time
from typing import Any
from uuid import UUID, uuid4

import httpx

from foundation import clock
from mock_bank import statement_file
from payments.gateway import PayoutOrder, PayoutTransfer, pain
from payments.open_items import PAGE
from payments.proof_of_cash import OVERDUE_DAYS
from proof.house import ACCOUNTS, API_KEY, ELSEWHERE, SECOND_CLERK, House, Unsound
from proof.model import Charge, Model, Proxy
from rehearsal.client import PIN, Office, Platform, in_notes
from rehearsal.ledger import Drawer, Way

PATIENCE_S = 60.0
SITES = {"VANMIEU": ("vanmieu", 1, 70_000), "THANGLONG": ("thanglong", 3, 100_000)}
LOTS = {"VM1": ("vanmieu", 2, "motorbike", "29B1"), "DD1": ("dongda", 4, "car", "30A")}
PERCENT = {"adult": 100, "student": 50, "elderly": 50, "child": 0}
CARDS = ("pay", "close", "no_funds", "wrong_otp", "cancel", "suspect", "reversed", "leave")
"""What may become of a visit to the gateway's page; `close`: paid, but the browser never came back."""
WEIGHTS = {
    "ticket": 26,
    "stay": 14,
    "card": 10,
    "cash_ticket": 10,
    "cash_stay": 8,
    "send_back": 6,
    "give_back": 5,
    "decide": 4,
    "stray": 7,
    "notes_instead": 5,
    "free": 4,
    "assign": 4,
    "late_payer": 3,
    "shift": 3,
    "drop": 3,
    "deposit": 2,
    "look": 2,
    "refund_elsewhere": 2,
    "payout_elsewhere": 2,
    "leave_unpaid": 2,
    "invoice": 3,
    "mend": 2,
    "close_day": 1,
    "reopen_day": 1,
    "pay_out": 1,
    "prove": 1,
}


@dataclass
class Shift:
    """An open drawer, as its attendant counts along."""

    id: str
    float_vnd: int
    place: int
    number: int
    cash_vnd: int = 0
    dropped_vnd: int = 0
    refunded_vnd: int = 0
    proxies: list[str] = field(default_factory=list)
    proxy_vnd: int = 0
    kept_vnd: int = 0
    """Notes of guests that the attendant keeps, because he transfers them himself."""

    @property
    def booked_vnd(self) -> int:
        return self.float_vnd + self.cash_vnd + self.proxy_vnd - self.dropped_vnd - self.refunded_vnd

    @property
    def notes_vnd(self) -> int:
        return self.booked_vnd - self.kept_vnd


@dataclass
class Tablet:
    """A tablet at an operator's places, with an attendant logged in."""

    operator: str
    places: tuple[int, ...]
    login: str
    token: str = ""
    counter: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    shift: Shift | None = None

    def action(self, at: datetime, **said: Any) -> dict[str, Any]:
        return {"id": str(uuid4()), "counter": next(self.counter), "at": at.isoformat(), **said}


@dataclass
class Driver:
    """A vehicle that came and has not left: by its slip's code, or by its stay's id."""

    lot: str
    code: str
    charge: Charge | None = None


class People:
    """Everybody, over one house. `findings`: what must not be, in sentences."""

    def __init__(self, house: House, seed: str, number: int = 6) -> None:
        self.house, self.seed, self.model = house, seed, Model()
        self.platform = Platform(house.url, house.bank_url)
        self.findings: list[str] = house.findings
        self.acts: Counter[str] = Counter()
        self.wishes: deque[deque[str]] = deque()
        """What somebody is to do next: a row for each who wishes."""
        self.unanswered = 0
        self.bought: list[tuple[str, str, int, Charge]] = []
        """Tickets whose money had not arrived when their buyer looked: (site, the order's address, heads, charge)."""
        self.found_by_nobody: deque[tuple[str, str]] = deque()
        """Money that named nothing and that nobody will ask about: (operator, the bank's reference)."""
        self.elsewhere_vnd = 0
        self.lock = threading.Lock()
        house.cache.flushall()
        self.managers = {operator: Office(self.platform, f"quanly@{operator}") for operator in ACCOUNTS}
        house.cache.flushall()
        self.clerks = {operator: Office(self.platform, f"ketoan@{operator}") for operator in ACCOUNTS}
        self.persons = [Person(self, number) for number in range(number)]

    @property
    def done(self) -> int:
        """How many acts were acknowledged."""
        return sum(self.acts.values())

    def found(self, what: str) -> None:
        self.findings.append(what)

    def live(self, *, acts: int | None = None, until: Callable[[], bool] = lambda: False, name: str) -> None:
        """Everybody lives until so many more acts are done, or `until` is true. Raises what one of them met."""
        goal = self.done + acts if acts is not None else None
        dices = [random.Random(f"{self.seed}/{name}/{person.number}") for person in self.persons]

        def another(person: Person) -> bool:
            if until() or (goal is not None and self.done >= goal):
                return False
            dice = dices[person.number]
            person.do(self._wish() or dice.choices(list(WEIGHTS), list(WEIGHTS.values()))[0], dice)
            return True

        self._together(another)

    def do(self, deeds: Sequence[str], *, name: str) -> None:
        """These deeds, by whoever has time. Raises what one of them met."""
        left = deque(enumerate(deeds))

        def another(person: Person) -> bool:
            try:
                number, deed = left.popleft()
            except IndexError:
                return False
            person.do(deed, random.Random(f"{self.seed}/{name}/{number}"))
            return True

        self._together(another)

    def _together(self, another: Callable[[Person], bool]) -> None:
        """Everybody does one thing after another until there is none for him, or somebody met what he should not."""
        broken: list[BaseException] = []

        def go(person: Person) -> None:
            try:
                while not broken and another(person):
                    pass
            except BaseException as error:
                broken.append(error)

        threads = [threading.Thread(target=go, args=(person,), daemon=True) for person in self.persons]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if broken:
            raise broken[0]

    def _wish(self) -> str | None:
        """Of each row in turn."""
        with self.lock:
            for _ in range(len(self.wishes)):
                self.wishes.rotate()
                with suppress(IndexError):  # whoever wished may have got it meanwhile
                    return self.wishes[0].popleft()
        return None

    def move_clock(self, ahead: timedelta) -> None:
        self.managers["vanmieu"].move_clock(self.platform.now() + ahead)


class Person:
    """One thread of life, with a phone, a tablet at each operator, and access to the offices."""

    def __init__(self, people: People, number: int) -> None:
        self.people, self.model, self.house, self.number = people, people.model, people.house, number
        self.http = httpx.Client(
            timeout=10, trust_env=False, transport=httpx.HTTPTransport(local_address=f"127.0.2.{number + 1}")
        )
        self.plates = itertools.count(1)
        self.paths: dict[str, str] = {}
        """The payer's own addresses by reference, as this phone remembers them."""
        self.tablets = {
            operator: self._tablet(operator, places)
            for operator, places in (("vanmieu", (1, 2)), ("thanglong", (3,)), ("dongda", (4,)))
        }

    def _tablet(self, operator: str, places: tuple[int, ...]) -> Tablet:
        offered = self.people.managers[operator].order(
            "POST", "/enrolments", {"device_name": f"Proof {self.number}", "places": list(places)}
        )
        self.house.cache.flushall()
        made = Tablet(operator, places, f"0{self.number % 2 + 1}")
        made.token = self.post("/api/v1/device/enrol", json={"code": offered["code"]}).json()["device_token"]
        made.token = self.device(made, "/login", {"login": made.login, "pin": PIN})["session_token"]
        return made

    # --- asking until there is an answer -----------------------------------------------------------------------------

    def ask(self, method: str, url: str, **sent: Any) -> httpx.Response:
        """Asks as often as needed; a 5xx or a lost connection is no answer, and a 500 of the platform is a finding."""
        end = time.monotonic() + PATIENCE_S
        ours = not url.startswith(self.house.bank_url)
        said = ""
        while time.monotonic() < end:
            try:
                answer = self.http.request(method, url, **sent)
                said = f"{answer.status_code} {answer.text[:200]}"
                if answer.status_code == 500 and ours:
                    self.people.found(f"500 to {method} {url.removeprefix(self.house.url)}")
                if answer.status_code == 429:
                    self.house.cache.flushall()
                elif answer.status_code < 500 and '"still_running"' not in answer.text[:300]:
                    return answer
            except httpx.TransportError as error:
                said = repr(error)
            self.people.unanswered += 1
            time.sleep(0.03)
        raise Unsound(f"{method} {url} was not answered for {PATIENCE_S:g} s: {said}")

    def post(self, path: str, **sent: Any) -> httpx.Response:
        """An act; counted when it is acknowledged."""
        answer = self.ask("POST", self.house.url + path, **sent)
        self.people.acts[path.split("/")[1] if not path.startswith("/api/") else path] += 1
        return answer

    def get(self, path: str) -> httpx.Response:
        return self.ask("GET", self.house.url + path)

    def device(self, tablet: Tablet, path: str, said: dict[str, Any], *, refused: tuple[str, ...] = ()) -> Any:
        """An action of a tablet; its outcome, or the code of a refusal that may be."""
        answer = self.post(f"/api/v1/device{path}", json=said, headers={"authorization": f"Bearer {tablet.token}"})
        if answer.is_success:
            return answer.json()
        code = answer.json().get("code", "")
        if code not in refused:
            self.people.found(f"{path} was refused: {answer.status_code} {answer.text[:200]}")
        return code

    def act(self, tablet: Tablet, path: str, *, refused: tuple[str, ...] = (), **said: Any) -> Any:
        return self.device(tablet, path, tablet.action(self.people.platform.now(), **said), refused=refused)

    def transfer(self, operator: str, amount_vnd: int, text: str) -> dict[str, str]:
        """A payment at the bank, made once however often it is asked for; what the bank booked."""
        bin, account = ACCOUNTS.get(operator, ELSEWHERE)
        said = {"id": str(uuid4()), "bin": bin, "account": account, "amount_vnd": amount_vnd, "text": text}
        answer = self.ask(
            "POST",
            f"{self.house.bank_url}/api/v1/payments",
            json=said,
            headers={"authorization": f"Bearer {API_KEY}"},
        )
        self.people.acts["bank"] += 1
        if answer.status_code != 201:
            raise Unsound(f"The bank does not take {said}: {answer.text[:300]}")
        self.model.banked[operator].append(amount_vnd)
        booked: dict[str, str] = answer.json()
        return booked

    def witness(self, tablet: Tablet, signs: str, amount_vnd: int | None = None) -> str:
        """Somebody else signs for notes at this tablet."""
        other = "01" if tablet.login == "02" else "02"
        said = {"login": other, "pin": PIN, "signs": signs, "amount_vnd": amount_vnd}
        signed: str = self.device(tablet, "/witness", said)["witness"]
        return signed

    def office(self, operator: str, path: str, *, manager: bool = False, **values: Any) -> httpx.Response:
        """A form of finance, sent with the session of the operator's clerk, or of his manager."""
        clerk = (self.people.managers if manager else self.people.clerks)[operator]
        answer = self.post(path, data={"csrf": clerk.csrf, **values}, headers={"cookie": cookie_of(clerk)})
        if answer.headers.get("location", "").startswith("/finance/login"):
            raise Unsound(f"The clerk of {operator} is not logged in any more.")
        return answer

    # --- deeds -------------------------------------------------------------------------------------------------------

    def do(self, deed: str, dice: random.Random) -> None:
        getattr(self, deed)(dice)

    def ticket(self, dice: random.Random) -> None:
        """Orders for a group, pays somehow, goes in once the ticket is there."""
        site = dice.choice(list(SITES))
        charge, heads = self.order(site, self.heads(dice))
        if self.pays(charge, dice) and dice.random() < 0.6:
            self.goes_in(site, charge, heads, dice)

    def free(self, dice: random.Random) -> None:
        site = dice.choice(list(SITES))
        heads = dice.randint(1, 4)
        path = self.orders(site, {"child": heads})
        self.model.free.append((SITES[site][0], "ticketing"))
        self.gate(site, self.code_behind(path), heads, dice)

    def heads(self, dice: random.Random) -> dict[str, int]:
        return {"adult": dice.randint(1, 4), "student": dice.randint(0, 2), "child": dice.randint(0, 2)}

    def price(self, site: str, heads: dict[str, int]) -> int:
        return sum(SITES[site][2] * PERCENT[kind] // 100 * number for kind, number in heads.items())

    def orders(self, site: str, heads: dict[str, int]) -> str:
        """Where an order leads to: the page to pay on, or the order's own address if it is free."""
        day = self.people.platform.now().date().isoformat()
        sent = {"key": uuid4().hex, "day": day} | {f"heads_{kind}": str(number) for kind, number in heads.items()}
        answer = self.post(f"/S/{site}", data=sent)
        if answer.status_code != 303:
            raise Unsound(f"An order at {site} was answered with {answer.status_code}.")
        return str(answer.headers["location"])

    def order(self, site: str, heads: dict[str, int], way: Way = "QR") -> tuple[Charge, int]:
        path = self.orders(site, heads)
        charge = self.charged(path, SITES[site][0], "ticketing", site, way)
        if charge.amount_vnd != self.price(site, heads):
            self.people.found(f"{heads} at {site} cost {charge.amount_vnd}, not {self.price(site, heads)}")
        self.paths[charge.reference] = path
        return charge, sum(heads.values())

    def charged(self, path: str, operator: str, service: str, place: str, way: Way = "QR") -> Charge:
        """The charge behind a payment page, known from now on."""
        reference, day = path.split("/")[2], self.people.platform.now().date()
        said = self.get(f"/api/v1/public/payments/{reference}").json()
        with self.people.lock:
            return self.model.charges.setdefault(
                reference, Charge(operator, service, place, reference, said["amount_vnd"], day, way)
            )

    def pays(self, charge: Charge, dice: random.Random) -> bool:
        """Pays a charge in one of the ways in which people do. True if enough was sent."""
        owed = charge.amount_vnd
        manner = dice.choices(
            ("exact", "twice", "too_much", "two_parts", "three", "part", "garbled", "wrong_account", "nothing"),
            (54, 8, 8, 9, 3, 5, 4, 3, 6),
        )[0]
        amounts = {
            "exact": [owed],
            "twice": [owed, owed],
            "too_much": [owed + dice.randint(1, 50) * 1_000],
            "two_parts": [part := max(1, owed // dice.randint(2, 5)), owed - part],
            "three": [part, part, owed],
            "part": [part],
        }.get(manner, [])
        dice.shuffle(amounts)
        for amount_vnd in amounts:
            self.pays_vnd(charge, amount_vnd, dice.choice((charge.reference, f"Ve {charge.reference} cam on")))
        if manner == "garbled":
            self.nobody_asks(charge.operator, owed, _slipped(charge.reference, dice))
        if manner == "wrong_account":
            other = dice.choice([operator for operator in ACCOUNTS if operator != charge.operator])
            self.nobody_asks(other, owed, charge.reference)
        return sum(amounts) >= owed

    def pays_vnd(self, charge: Charge, amount_vnd: int, text: str) -> None:
        if charge.first_part_at is None:
            charge.first_part_at = self.people.platform.now()
        self.transfer(charge.operator, amount_vnd, text)
        charge.came.append(amount_vnd)

    def strays(self, operator: str, amount_vnd: int, text: str) -> str:
        booked = self.transfer(operator, amount_vnd, text)
        self.model.strays.append((operator, amount_vnd))
        return booked["bank_ref"]

    def nobody_asks(self, operator: str, amount_vnd: int, text: str) -> None:
        """Money that named nothing, until finance sends it back."""
        self.people.found_by_nobody.append((operator, self.strays(operator, amount_vnd, text)))

    def is_paid(self, charge: Charge, within_s: float) -> bool:
        shown = f"/api/v1/public/payments/{charge.reference}"
        return any(self.get(shown).json()["state"] == "paid" for _ in _looks(within_s))

    def goes_in(self, site: str, charge: Charge, heads: int, dice: random.Random) -> None:
        if self.is_paid(charge, 1.5):
            self.gate(site, self.code_behind(self.paths[charge.reference]), heads, dice)
        else:
            self.people.bought.append((site, self.paths[charge.reference], heads, charge))

    def code_behind(self, path: str) -> str:
        """The 48 characters of the ticket that an address leads to."""
        for _ in range(6):
            if path.startswith("/T/"):
                return path[3:51]
            answer = self.get(path)
            if answer.status_code == 303:
                path = answer.headers["location"]
            else:  # who paid too much is told so first
                onward = answer.text.partition('href="/S/')[2].partition('"')[0]
                if not onward:
                    raise Unsound(f"{path} of a paid order leads nowhere: {answer.status_code}")
                path = f"/S/{onward}"
        raise Unsound(f"{path} leads in circles.")

    def gate(self, site: str, code: str, heads: int, dice: random.Random) -> None:
        """The group goes in by two gates, and tries a third; the ticket admits exactly its heads."""
        operator, place, _ = SITES[site]
        first = dice.randint(1, heads)
        admitted = 0
        for gate, part in enumerate((first, heads - first or 1, 1)):
            tablet = self.people.persons[(self.number + gate) % len(self.people.persons)].tablets[operator]
            said = tablet.action(self.people.platform.now(), place=place, code=code, heads=part)
            outcome = self.device(tablet, "/scan", said)
            wanted = "valid" if admitted + part <= heads else "used"
            if outcome["verdict"] not in (wanted, "repeated"):
                self.people.found(f"{part} more of a ticket of {heads}, {admitted} in, were {outcome['verdict']}")
                return
            admitted += outcome.get("admitted_now") or 0
            if dice.random() < 0.3 and self.device(tablet, "/scan", said) != outcome:
                self.people.found("the same scan was answered differently")
            if dice.random() < 0.4:
                break
        shown = self.get(f"/T/{code}").text
        if f"{admitted} / {heads}" not in shown:
            self.people.found(f"a ticket of {heads} should show {admitted} of them in")

    def stay(self, dice: random.Random) -> None:
        """A driver types his plate, pays somehow, and wants to leave."""
        driver = self.arrives(dice)
        charge = self.asks(driver)
        if charge is None:
            return
        enough = self.pays(charge, dice)
        if enough and dice.random() < 0.5:
            self.is_paid(charge, 1.0)
        if not enough and dice.random() < 0.5:
            return  # it was never seen by an attendant, and stands in nobody's way
        self.leaves(driver)

    def arrives(self, dice: random.Random) -> Driver:
        lot = dice.choice(list(LOTS))
        _, _, kind, _ = LOTS[lot]
        sent = {"key": uuid4().hex, "vehicle_class": kind, "plate": self.plate(lot), "as_typed": "true"}
        answer = self.post(f"/P/{lot}", data=sent)
        if answer.status_code != 303 or not answer.headers["location"].startswith("/T/"):
            raise Unsound(f"A stay at {lot} was answered with {answer.status_code} {answer.headers.get('location')}")
        return Driver(lot, answer.headers["location"][3:51])

    def plate(self, lot: str) -> str:
        return f"{LOTS[lot][3]}{self.number:01d}{next(self.plates):04d}"

    def asks(self, driver: Driver) -> Charge | None:
        answer = self.post(f"/P/stay/{driver.code}/pay")
        path = answer.headers.get("location", "")
        if not path.startswith("/pay/"):
            return None
        driver.charge = self.charged(path, LOTS[driver.lot][0], "parking", driver.lot)
        return driver.charge

    def leaves(self, driver: Driver, *, notes: bool = True) -> None:
        """At the exit: if it is not paid yet, the driver pays with notes."""
        operator, place, _, _ = LOTS[driver.lot]
        tablet = self.tablets[operator]
        for _ in range(8):
            outcome = self.act(tablet, "/vehicles/out", place=place, code=driver.code)
            if outcome["verdict"] == "left":
                if driver.charge is not None and driver.charge.came_vnd < driver.charge.amount_vnd:
                    driver.charge.supplied_otherwise = True
                return
            if outcome["verdict"] != "unpaid":
                self.people.found(f"a vehicle that stands was {outcome['verdict']} at the exit")
                return
            if not notes:
                return
            self.takes_notes(tablet, driver, outcome)
        self.people.found("a vehicle that paid could not leave")

    def takes_notes(self, tablet: Tablet, driver: Driver, outcome: dict[str, Any], *, proxy: bool = False) -> None:
        shift = self.opened(tablet, LOTS[driver.lot][1])
        sold = self.act(
            tablet,
            "/cash/stay",
            place=LOTS[driver.lot][1],
            stay_id=outcome["stay"]["id"],
            amount_vnd=outcome["due_vnd"],
            proxy=proxy,
            refused=("nothing_due", "amount_changed", "try_once_more"),
        )
        if isinstance(sold, str):
            return  # the money arrived at this very moment
        if driver.charge is not None:
            driver.charge.supplied_otherwise = True
        self.took(tablet, shift, driver.lot, "parking", sold)

    def took(self, tablet: Tablet, shift: Shift, place: str, service: str, sold: dict[str, Any]) -> None:
        self.put_away(tablet, shift, sold)
        self.sold(tablet, place, service, sold)

    def sold(self, tablet: Tablet, place: str, service: str, sold: dict[str, Any], *, given_back_vnd: int = 0) -> None:
        way: Way = "PROXY" if sold["proxy"] else "CASH"
        self.model.sold(way, tablet.operator, place, service, sold["amount_vnd"], given_back_vnd)

    def put_away(self, tablet: Tablet, shift: Shift, sold: dict[str, Any]) -> Proxy | None:
        """The notes of a sale: in the drawer, or with the attendant, who promises to transfer them."""
        amount_vnd: int = sold["amount_vnd"]
        if not sold["pay"]:
            shift.cash_vnd += amount_vnd
            return None
        shift.proxy_vnd += amount_vnd
        shift.kept_vnd += amount_vnd
        shift.proxies.append(sold["pay"]["reference"])
        proxy = Proxy(tablet.operator, amount_vnd)
        with self.people.lock:
            self.model.proxies[sold["pay"]["reference"]] = proxy
        return proxy

    def promised(self, reference: str, dice: random.Random) -> None:
        """The attendant transfers what he took: at once or never, in parts, too much."""
        proxy = self.model.proxies[reference]
        owed = proxy.amount_vnd
        for amount_vnd in dice.choice(
            ([owed], [owed], [owed // 2, owed - owed // 2], [owed, owed], [owed + 2_000], [])
        ):
            self.transfer(proxy.operator, amount_vnd, reference)
            proxy.came.append(amount_vnd)

    def cash_stay(self, dice: random.Random) -> None:
        """An attendant enters a vehicle; its driver pays with notes."""
        lot = dice.choice(list(LOTS))
        operator, place, kind, _ = LOTS[lot]
        tablet = self.tablets[operator]
        came = self.act(
            tablet, "/vehicles/in", place=place, vehicle_class=kind, plate=self.plate(lot), refused=("lot_full",)
        )
        if isinstance(came, str):
            return
        driver = Driver(lot, came["stay"]["code_url"][-48:])
        outcome = self.act(tablet, "/vehicles/out", place=place, code=driver.code)
        if outcome["verdict"] != "unpaid":
            self.people.found(f"a vehicle that paid nothing was {outcome['verdict']} at the exit")
            return
        proxy = dice.random() < 0.3
        self.takes_notes(tablet, driver, outcome, proxy=proxy)
        if proxy and tablet.shift and tablet.shift.proxies:
            self.promised(tablet.shift.proxies[-1], dice)
        self.leaves(driver)

    def leave_unpaid(self, dice: random.Random) -> None:
        """Wants to leave without paying, may not, then pays with notes."""
        driver = self.arrives(dice)
        self.leaves(driver, notes=False)
        self.leaves(driver)

    def notes_instead(self, dice: random.Random) -> None:
        """Asks to pay by transfer, perhaps pays a part, then pays everything with notes; perhaps transfers even so."""
        driver = self.arrives(dice)
        charge = self.asks(driver)
        if charge is None:
            return
        if dice.random() < 0.6:
            self.pays_vnd(charge, max(1, charge.amount_vnd // 2), charge.reference)
        self.leaves(driver)
        if dice.random() < 0.4:
            self.pays_vnd(charge, charge.amount_vnd, charge.reference)

    def cash_ticket(self, dice: random.Random) -> None:
        site = dice.choice(list(SITES))
        operator, place, _ = SITES[site]
        tablet, heads = self.tablets[operator], self.heads(dice)
        shift = self.opened(tablet, place)
        said = tablet.action(
            self.people.platform.now(),
            place=place,
            heads={kind: number for kind, number in heads.items() if number},
            amount_vnd=self.price(site, heads),
            proxy=dice.random() < 0.3,
        )
        sold = self.device(tablet, "/cash/ticket", said)
        if isinstance(sold, str):
            return
        proxy, transfers_first = self.put_away(tablet, shift, sold), dice.random() < 0.5
        if proxy and transfers_first:
            self.promised(sold["pay"]["reference"], dice)
        given_back_vnd = self.hands_back(tablet, shift, sold, proxy, dice) if dice.random() < 0.3 else 0
        self.sold(tablet, site, "ticketing", sold, given_back_vnd=given_back_vnd)
        if dice.random() < 0.3 and self.device(tablet, "/cash/ticket", said) != sold:
            self.people.found("the same sale was answered differently")
        if proxy and not transfers_first:
            self.promised(sold["pay"]["reference"], dice)
        if given_back_vnd == sold["amount_vnd"]:
            outcome = self.act(tablet, "/scan", place=place, code=sold["code_url"][-48:], heads=1)
            if outcome["verdict"] != "revoked":
                self.people.found(f"a ticket that was given back was {outcome['verdict']}")
        elif dice.random() < 0.5:
            self.gate(site, sold["code_url"][-48:], sum(heads.values()), dice)

    def hands_back(
        self, tablet: Tablet, shift: Shift, sold: dict[str, Any], proxy: Proxy | None, dice: random.Random
    ) -> int:
        """Notes go back against a receipt, in part or as a whole; how many. A supervisor agrees, if there is another."""
        amount_vnd = dice.choice((sold["amount_vnd"], sold["amount_vnd"], 5_000))
        slip = self.act(
            tablet,
            "/cash/refund",
            place=shift.place,
            shift_number=shift.number,
            receipt_number=sold["receipt_number"],
            amount_vnd=amount_vnd,
            reason="not_used",
            witness=self.witness(tablet, "cash.refund", amount_vnd) if tablet.login == "01" else None,
            refused=("not_enough_there", "supervisor_needed"),
        )
        if isinstance(slip, str):
            return 0
        shift.refunded_vnd += amount_vnd
        if proxy:
            # He gives back what he kept; who has transferred it takes it out of the drawer.
            shift.kept_vnd -= 0 if proxy.came else amount_vnd
            proxy.given_back(amount_vnd)
        return amount_vnd

    def opened(self, tablet: Tablet, place: int) -> Shift:
        """The open shift of a tablet; opens one if there is none."""
        if tablet.shift is None:
            float_vnd = 500_000
            made = self.act(tablet, "/shift/open", place=place, notes=in_notes(float_vnd))
            tablet.shift = Shift(made["id"], float_vnd, made["place"], made["number"])
        return tablet.shift

    def drop(self, dice: random.Random) -> None:
        """Notes go to the safe during a shift: signed for, kept after all, or left lying until the count."""
        tablet = self.tablets[dice.choice(list(self.tablets))]
        shift = self.opened(tablet, tablet.places[0])
        amount_vnd = min(dice.randint(1, 20) * 10_000, shift.notes_vnd // 1_000 * 1_000)
        if amount_vnd <= 0:
            return
        bundle = self.act(tablet, "/shift/drop", notes=in_notes(amount_vnd), refused=("not_enough_there",))
        if isinstance(bundle, str):
            return
        end, number = dice.choice(("receive", "receive", "receive", "void", "wait")), bundle["number"]
        if end == "receive":
            signed = self.witness(tablet, "shift.drop.receive", amount_vnd)
            self.act(tablet, "/shift/drop/receive", number=number, witness=signed)
            shift.dropped_vnd += amount_vnd
        elif end == "void":
            self.act(tablet, "/shift/drop/void", number=number)

    def shift(self, dice: random.Random) -> None:
        """Counts a drawer once and blindly, hands it over, and opens the next."""
        tablet = self.tablets[dice.choice(list(self.tablets))]
        shift = self.opened(tablet, tablet.places[0])
        counted_vnd = max(0, shift.notes_vnd + dice.choice((0, 0, 0, 10_000, -5_000)))
        self.closes(tablet, shift, counted_vnd, self.act(tablet, "/shift/count", notes=in_notes(counted_vnd)))
        self.opened(tablet, tablet.places[0])

    def closes(self, tablet: Tablet, shift: Shift, counted_vnd: int, counted: dict[str, Any]) -> None:
        """Hands the counted notes over, and reads the report."""
        reason = "change" if counted["difference_vnd"] else None
        closed = self.act(tablet, "/shift/close", witness=self.witness(tablet, "shift.close"), reason=reason)
        tablet.shift = None
        arrived_vnd = closed["proxy_arrived_vnd"]
        wanted = {
            "cash_vnd": shift.cash_vnd,
            "proxy_vnd": shift.proxy_vnd,
            "dropped_vnd": shift.dropped_vnd,
            "refunded_vnd": shift.refunded_vnd,
            "expected_vnd": shift.booked_vnd - arrived_vnd,
            "counted_vnd": counted_vnd,
            "receipt_gaps": [],
        }
        if {name: closed[name] for name in wanted} != wanted or counted["expected_vnd"] != closed["expected_vnd"]:
            self.people.found(f"a shift closed with {closed}, but should have had {wanted}")
        promised = [self.model.proxies[reference] for reference in shift.proxies]
        sent_vnd = sum(one.amount_vnd - one.released_vnd - one.missing_vnd for one in promised)
        if arrived_vnd > sent_vnd:
            self.people.found(f"{arrived_vnd} of an attendant's transfers arrived, but only {sent_vnd} were made")
        self.model.drawers.append(Drawer(tablet.operator, shift.id, closed["expected_vnd"], counted_vnd))

    def deposit(self, dice: random.Random) -> None:
        """Finance bags what is in the safe, and brings a bag to the bank."""
        operator = dice.choice(list(ACCOUNTS))
        shifts = self.house.look(
            "select s.id from payments.shift s join foundation.operator o on o.id = s.operator_id"
            " where o.code = $1 and closed_at is not null and safe_vnd <> bagged_vnd",
            operator,
        )
        answer = self.office(operator, "/finance/deposits/make", shift=[str(row["id"]) for row in shifts])
        if answer.status_code not in (303, 409):
            self.people.found(f"a deposit of {operator} was answered with {answer.status_code}")
        made = self.house.look(
            "select d.reference, d.amount_vnd from payments.deposit d join foundation.operator o on o.id = d.operator_id"
            " where o.code = $1 order by d.number desc limit 3",
            operator,
        )
        with self.people.lock:
            bags = [row for row in made if row["reference"] not in self.model.bags]
            if not bags:
                return
            reference, owed = bags[0]["reference"], bags[0]["amount_vnd"]
            bag = self.model.bags[reference] = Proxy(operator, owed)
        for amount_vnd in dice.choice(([owed], [owed], [1, owed - 1], [owed, owed], [owed + 2_000], [])):
            if amount_vnd:
                self.transfer(operator, amount_vnd, reference)
                bag.came.append(amount_vnd)

    def stray(self, dice: random.Random) -> None:
        """Money whose purpose nobody can know."""
        operator = dice.choice(list(ACCOUNTS))
        amount_vnd = dice.randint(1, 300) * 1_000
        known = [
            one
            for one in list(self.model.charges.values())[-50:]
            if one.operator == operator and one.service == "ticketing" and one.way == "QR"
        ]
        if len(known) < 2 or dice.random() < 0.6:
            self.nobody_asks(operator, amount_vnd, "chuyen tien")
            return
        two = dice.sample(known, 2)
        booked = self.transfer(operator, amount_vnd, " ".join(one.reference for one in two))
        told = booked["text"].upper().replace(" ", "")
        named = [one for one in two if one.reference in told]
        if len(named) == 1:  # a bank that cuts texts has left one of them
            named[0].first_part_at = named[0].first_part_at or self.people.platform.now()
            named[0].came.append(amount_vnd)
        else:
            self.model.strays.append((operator, amount_vnd))

    def assign(self, dice: random.Random) -> None:
        """Money without a reference; the payer calls, and the clerk says what it was for."""
        site = "VANMIEU"
        charge, heads = self.order(site, self.heads(dice))
        extra_vnd = dice.choice((0, 0, 7_000))
        bank_ref = self.strays(charge.operator, charge.amount_vnd + extra_vnd, "ve tham quan")
        receipt_id = self.receipt(charge.operator, bank_ref)
        if receipt_id is None:
            return
        before = self.people.unanswered
        answer = self.office(
            charge.operator, f"/finance/queue/{receipt_id}/assign", reference=charge.reference, reason="called"
        )
        # What was asked twice may be refused the second time, because it was done the first time.
        asked = answer.status_code == 303 or self.people.unanswered > before
        if asked and self.is_paid(charge, 0.5):
            charge.assigned_vnd = charge.amount_vnd + extra_vnd  # what is more goes back under its name
            self.model.strays.append((charge.operator, -charge.assigned_vnd))
            self.gate(site, self.code_behind(self.paths[charge.reference]), heads, dice)
        elif answer.status_code == 303:
            self.people.found(f"{charge.reference} was assigned {charge.amount_vnd} and is not paid")

    def receipt(self, operator: str, bank_ref: str) -> UUID | None:
        """The receipt of a transfer once it waits for a person; None if it does not arrive soon."""
        for _ in _looks(3):
            found = self.house.look(
                "select h.receipt_id from payments.held h join payments.receipt r"
                " on r.operator_id = h.operator_id and r.id = h.receipt_id"
                " where r.bank_ref = $1 and r.bank_account = $2",
                bank_ref,
                "/".join(ACCOUNTS[operator]),
            )
            if found:
                receipt_id: UUID = found[0]["receipt_id"]
                return receipt_id
        return None

    def card(self, dice: random.Random) -> None:
        """A visitor without a Vietnamese bank: on the gateway's page, in every way in which that may end."""
        kind = dice.choice(("visa", "visa", "domestic", "wallet"))
        charge, heads = self.order(dice.choice(list(SITES)), self.heads(dice), "WALLET" if kind == "wallet" else "CARD")
        tried: set[str] = set()
        for _ in range(3):
            outcome = dice.choices(CARDS, (60, 14, 8, 5, 5, 3, 5, 4))[0]
            address = self.at_gateway(charge)
            ref = httpx.QueryParams(address.partition("?")[2])["vnp_TxnRef"]
            if ref in tried:
                return  # what became of the last attempt is not known here yet
            tried.add(ref)
            if outcome == "leave":
                return
            self.on_the_page(charge, address, outcome, kind)
            if outcome != "close":
                self.get(f"{self.paths[charge.reference]}/return")
            if outcome in ("pay", "close"):
                if dice.random() < 0.7:
                    self.goes_in(charge.place, charge, heads, dice)
                return
            if dice.random() < 0.5:
                return
            time.sleep(0.1)

    def at_gateway(self, charge: Charge) -> str:
        """Presses "pay by card"; the address of the gateway's page."""
        answer = self.post(f"{self.paths[charge.reference]}/card")
        address = answer.headers.get("location", "")
        if answer.status_code != 303 or not address.startswith(self.house.bank_url):
            raise Unsound(f"Paying {charge.reference} by card was answered with {answer.status_code} {address}")
        return str(address)

    def on_the_page(self, charge: Charge, address: str, outcome: str, kind: str) -> None:
        """Chooses a practice card there; what ends as paid has come from then on."""
        self.ask("GET", address)
        query = address.partition("?")[2]
        if outcome in ("pay", "close") and charge.first_part_at is None:
            charge.first_part_at = self.people.platform.now()
        sent = {"asked": query, "card": kind, "outcome": outcome}
        answer = self.ask("POST", f"{self.house.bank_url}/paymentv2/pay", data=sent)
        self.people.acts["card"] += 1
        if answer.status_code != 303:
            raise Unsound(f"The gateway's page answered with {answer.status_code} {answer.text[:300]}")
        if outcome in ("pay", "close"):
            self.model.carded[charge.operator].append(charge.amount_vnd)
            charge.came.append(charge.amount_vnd)

    def send_back(self, dice: random.Random) -> None:
        """Finance sends held money back: what was too much, or what nobody knows the purpose of."""
        rows = self.house.look(
            "select o.code as operator, h.receipt_id, h.amount_vnd - h.used_vnd as left_vnd, c.reference"
            " from payments.held h join foundation.operator o on o.id = h.operator_id"
            " join payments.charge c on c.operator_id = h.operator_id and c.id = h.charge_id"
            " where h.closed_at is null order by h.opened_at desc limit 20"
        )
        if self.people.found_by_nobody and (not rows or dice.random() < 0.4):
            operator, bank_ref = self.people.found_by_nobody.popleft()
            receipt_id, reference = self.receipt(operator, bank_ref), ""
            if receipt_id is None:
                self.people.found_by_nobody.append((operator, bank_ref))
                return
            left_vnd = self.house.look(
                "select amount_vnd - used_vnd as left_vnd from payments.held where receipt_id = $1", receipt_id
            )[0]["left_vnd"]
        elif rows:
            operator, receipt_id, left_vnd, reference = dice.choice(rows).values()
        else:
            return
        amount_vnd = left_vnd if dice.random() < 0.7 else dice.randint(1, left_vnd)
        answer = self.office(
            operator, f"/finance/queue/{receipt_id}/send-back", key=uuid4().hex, amount_vnd=amount_vnd, reason="payer's"
        )
        if answer.status_code == 303:
            with self.people.lock:
                self.model.sent[operator, reference] += amount_vnd
            self.decides(operator, answer.headers["location"].rpartition("/")[2], dice)
        elif answer.status_code not in (404, 409):  # somebody else was quicker
            self.people.found(f"sending {amount_vnd} back was answered with {answer.status_code} {answer.text[-300:]}")

    def give_back(self, dice: random.Random) -> None:
        """A ticket or a stay that was paid is given back, in part or as a whole."""
        if dice.random() < 0.25:
            driver = self.arrives(dice)
            charge = self.asks(driver)
            if charge is None:
                return
            self.pays_vnd(charge, charge.amount_vnd, charge.reference)
            if self.is_paid(charge, 2.0):
                gone = dice.random() < 0.5
                if gone:
                    self.leaves(driver)
                self.gives_back(charge, charge.amount_vnd, dice)
                if not gone:  # it is due again, if the manager agreed
                    self.leaves(driver)
            else:
                self.leaves(driver)
            return
        site, by_card = dice.choice(list(SITES)), dice.random() < 0.4
        charge, heads = self.order(site, self.heads(dice), "CARD" if by_card else "QR")
        if by_card:
            self.on_the_page(charge, self.at_gateway(charge), "pay", "visa")
            self.get(f"{self.paths[charge.reference]}/return")
        elif dice.random() < 0.3:
            self.pays_vnd(charge, charge.amount_vnd - 10_000, charge.reference)
            self.pays_vnd(charge, 10_000, charge.reference)
        else:
            self.pays_vnd(charge, charge.amount_vnd, charge.reference)
        if not self.is_paid(charge, 2.5):
            return
        code = self.code_behind(self.paths[charge.reference])
        if dice.random() < 0.6:
            if not self.gives_back(charge, charge.amount_vnd, dice):
                self.gate(site, code, heads, dice)
                return
            tablet = self.tablets[charge.operator]
            verdict = self.act(tablet, "/scan", place=SITES[site][1], code=code, heads=1)["verdict"]
            if verdict != "revoked":
                self.people.found(f"a ticket that was given back was {verdict}")
        else:
            for _ in range(dice.randint(1, 2)):
                self.gives_back(charge, dice.randint(1, charge.amount_vnd // 3), dice)
            self.gate(site, code, heads, dice)

    def gives_back(self, charge: Charge, amount_vnd: int, dice: random.Random) -> bool:
        """Whether it was given back: above the clerk's limit of a day the manager agrees, or does not."""
        path = f"/finance/charges/{charge.reference}/give-back"
        answer = self.office(charge.operator, path, key=uuid4().hex, amount_vnd=amount_vnd, reason="ill")
        if answer.status_code != 303:
            self.people.found(f"giving back {amount_vnd} was answered with {answer.status_code} {answer.text[-300:]}")
            return False
        if not self.agreed(charge, dice):
            return False
        charge.given_back_vnd += amount_vnd
        with self.people.lock:
            self.model.sent[charge.operator, charge.reference] += amount_vnd
        if dice.random() < 0.6:
            self.decide(dice)
        return True

    def agreed(self, charge: Charge, dice: random.Random) -> bool:
        """The manager decides what waits for him to be given back of a charge; whether nothing stands in its way."""
        waiting = self.house.look(
            "select g.id from payments.give_back_request g join payments.charge c on c.id = g.charge_id"
            " where g.state = 'requested' and c.reference = $1",
            charge.reference,
        )
        if not waiting:
            return True
        way = dice.choice(("approve", "approve", "approve", "reject"))
        path = f"/finance/give-backs/{waiting[0]['id']}/{way}"
        answer = self.office(charge.operator, path, manager=True, reason="not now")
        if answer.status_code not in (303, 409):
            self.people.found(f"{way} of a give-back was answered with {answer.status_code} {answer.text[-300:]}")
        return way == "approve"

    def decide(self, dice: random.Random) -> None:
        """The manager agrees to what waits for him, or does not."""
        waiting = self.house.look(
            "select o.code as operator, f.id from payments.refund f join foundation.operator o on o.id = f.operator_id"
            " where f.state = 'requested' order by f.requested_at desc limit 20"
        )
        for row in dice.sample(waiting, min(3, len(waiting))):
            self.decides(row["operator"], str(row["id"]), dice)

    def decides(self, operator: str, id: str, dice: random.Random) -> None:
        way = dice.choice(("approve", "approve", "approve", "approve", "reject"))
        answer = self.office(operator, f"/finance/refunds/{id}/{way}", manager=True, reason="not now")
        if answer.status_code not in (303, 409):
            self.people.found(f"{way} of a refund was answered with {answer.status_code} {answer.text[-300:]}")

    def late_payer(self, dice: random.Random) -> None:
        """Pays for something that was asked for a while ago, perhaps on another day."""
        waiting = [
            one
            for one in self.model.unsettled()
            if one.service == "ticketing" and not one.came and not one.assigned_vnd and one.reference in self.paths
        ]
        if not waiting:
            return
        charge = dice.choice(waiting)
        charge.way = "QR"
        self.pays_vnd(charge, charge.amount_vnd, charge.reference)

    def invoice(self, dice: random.Random) -> None:
        """Buys a ticket and wants it on a firm's name, sometimes before the receipt is made, sometimes after."""
        site = dice.choice(list(SITES))
        charge, _ = self.order(site, self.heads(dice))
        self.pays_vnd(charge, charge.amount_vnd, charge.reference)
        if not self.is_paid(charge, 2.5):
            return
        path = f"{self.paths[charge.reference]}/documents"
        for name in dice.sample(["Công ty Hoa Sen", "Công ty Sao Mai"], dice.randint(1, 2)):
            answer = self.post(path, data={"tax_code": "0100109106", "name": name})
            if answer.status_code not in (303, 409):  # 409: midnight has passed meanwhile
                self.people.found(f"naming a buyer was answered with {answer.status_code} {answer.text[-300:]}")

    def mend(self, dice: random.Random) -> None:
        """A clerk has a document replaced that still holds, perhaps just while it is given back."""
        operator = dice.choice(list(ACCOUNTS))
        found = self.house.look(
            "select d.id from payments.fiscal_document d join foundation.operator o on o.id = d.operator_id"
            " where o.code = $1 and not exists (select from payments.fiscal_end e"
            "   where e.operator_id = d.operator_id and e.document_id = d.id) order by d.issued_at desc limit 20",
            operator,
        )
        if not found:
            return
        answer = self.office(operator, f"/finance/fiscal/{dice.choice(found)['id']}/mend", reason="sai tên")
        if answer.status_code not in (303, 409):  # 409: it had ended
            self.people.found(f"replacing a document was answered with {answer.status_code} {answer.text[-300:]}")

    def look(self, dice: random.Random) -> None:
        self.get(f"/api/v1/public/lots/{dice.choice(list(LOTS))}")
        self.get(f"/P/{dice.choice(list(LOTS))}")

    def prove(self, dice: random.Random) -> None:
        self.office(dice.choice(list(ACCOUNTS)), "/finance/prove")

    def close_day(self, dice: random.Random) -> None:
        """Closes the oldest day that is over, twice; the second time changes nothing. Not if one before it is open again."""
        over = self.days_over(told=True) or self.days_over()
        if not over:
            return
        operator, day = dice.choice(over)
        for _ in range(2):
            if self.closes_day(operator, day) == "items_unnamed":
                self.names_the_rest(operator, day)

    def names_the_rest(self, operator: str, day: date) -> None:
        """What nobody can match gets a name, so that the day may be closed: a line at once, what is in the books only when
        no statement has told of it for too long."""
        for side, name in (("line", "bank_asked"), ("movement", "next_statement")):
            for item in self.open_items(operator, side):
                waited = (day - date.fromisoformat(item["day"])).days
                if item["name"] is None and (side == "line" or waited >= OVERDUE_DAYS):
                    self.reconciles(operator, "reconciliation/name", item=item["id"], name=name)
        for row in self.house.look(  # above what the clerk may say alone on a day
            "select a.id from payments.matching_ask a join foundation.operator o on o.id = a.operator_id"
            " where o.code = $1 and a.decided_at is null and a.name is not null",
            operator,
        ):
            answer = self.office(operator, f"/finance/reconciliation/asks/{row['id']}", manager=True, agree="true")
            if answer.status_code not in (303, 409):
                self.people.found(f"agreeing to a name of {operator} was answered with {answer.status_code}")

    def closes_day(self, operator: str, day: date) -> str:
        """Closes a day; why it cannot be closed yet, or nothing: its statement is not here, an item of it has no name.

        Both are for later. Money that nobody can explain never is.
        """
        answer = self.office(operator, "/finance/days/close", day=day.isoformat())
        if answer.status_code == 303:
            return ""
        why = code_of(answer)
        if answer.status_code != 409 or why in ("cash_not_proven", "books_differ"):
            self.people.found(f"closing {day} of {operator} was answered with {answer.status_code} {why}")
        return why

    def reopen_day(self, dice: random.Random) -> None:
        """The clerk asks for the last closed day, the manager agrees, twice; it is closed again."""
        closed = self.days_closed()
        if not closed:
            return
        operator, day = dice.choice(closed)
        asked = self.office(operator, "/finance/days/reopen", day=day.isoformat(), reason="forgot one")
        if asked.status_code not in (303, 409):
            self.people.found(f"asking for {day} of {operator} was answered with {asked.status_code}")
        for row in self.house.look(
            "select q.id from payments.book_request q join foundation.operator o on o.id = q.operator_id"
            " where o.code = $1 and q.state = 'requested' and q.kind = 'reopen'",
            operator,
        ):
            for _ in range(2):
                answer = self.office(operator, f"/finance/days/requests/{row['id']}/agree", manager=True)
                if answer.status_code not in (303, 409):
                    self.people.found(f"opening {day} of {operator} again was answered with {answer.status_code}")
        self.closes_day(operator, day)

    def open_items(self, operator: str, side: str) -> list[Any]:
        """What the clerk sees as open, with its suggestions."""
        found: list[Any] = []
        while len(found) % PAGE == 0:
            query = f"side={side}&n={len(found) // PAGE + 1}"
            url = f"{self.house.url}/api/v1/finance/open-items?{query}"
            shown = self.ask("GET", url, headers={"cookie": cookie_of(self.people.clerks[operator])}).json()["items"]
            if not shown:
                break
            found += shown
        return found

    def reconciles(self, operator: str, act: str, **values: Any) -> str:
        """An act of the clerk on what is open; why it was refused, or nothing. Somebody else may have been quicker, and what
        was asked twice was perhaps done the first time."""
        before = self.people.unanswered
        answer = self.office(operator, f"/finance/{act}", **values)
        why = "" if answer.status_code == 303 else code_of(answer) or str(answer.status_code)
        if why not in ("", "taken_meanwhile") and self.people.unanswered == before:
            self.people.found(f"{act} of {operator} was refused: {why}")
        return why

    def brings_a_line(self, operator: str) -> str:
        """A transfer that no notice and no list tells of yet, on a statement that another clerk gives in; its item."""
        amount_vnd = 12_345
        self.house.faults(lose_notices=True, list_late_seconds=3000)
        booked = self.transfer(operator, amount_vnd, "chuyen tien")
        self.house.faults()
        self.model.strays.append((operator, amount_vnd))
        bin, account = ACCOUNTS[operator]
        (head,) = self.house.look(
            "select day, closing_vnd from payments.bank_statement where bank_account = $1 and state = 'accepted'"
            " order by day desc, id desc limit 1",
            f"{bin}/{account}",
        )
        at = datetime.combine(head["day"], clock_time(12), clock.HANOI)  # by its statement
        closing_vnd = head["closing_vnd"]
        file = statement_file.FORMS["camt.053.001.08"](
            statement_file.Statement(
                bin=bin,
                account=account,
                owner_name=operator,
                day=head["day"],
                number=1,
                id=f"IN{booked['bank_ref']}",
                issued_at=at,
                opening_vnd=closing_vnd,
                credits=1,
                credits_vnd=amount_vnd,
                debits=0,
                debits_vnd=0,
                closing_vnd=closing_vnd + amount_vnd,
                batch=None,
                batched=0,
                batched_vnd=0,
            )
        )
        line = statement_file.Line(
            bank_ref=booked["bank_ref"], amount_vnd=amount_vnd, booked_at=at, text=booked["text"]
        )
        octets = file.first(file.begin()) + file.more(file.line(line)) + file.last(file.end())
        self.house.cache.flushall()
        other = Office(self.people.platform, f"{SECOND_CLERK}@{operator}")
        answer = self.post(
            "/finance/statements/load",
            data={"csrf": other.csrf},
            files={"file": ("interim.xml", octets)},
            headers={"cookie": cookie_of(other)},
        )
        if answer.status_code != 303:
            raise Unsound(f"A statement was answered with {answer.status_code} {code_of(answer)}")
        found = [item["id"] for item in self.open_items(operator, "line") if item["bank_ref"] == booked["bank_ref"]]
        if len(found) != 1:
            raise Unsound(f"A line that only a statement knows is open {len(found)} times.")
        return str(found[0])

    def withdraws(self, operator: str) -> None:
        """The clerk asks that the newest statement be withdrawn, the manager agrees, twice."""
        bin, account = ACCOUNTS[operator]
        (head,) = self.house.look(
            "select id from payments.bank_statement where bank_account = $1 and state = 'accepted' order by day desc, id desc limit 1",
            f"{bin}/{account}",
        )
        page = f"/finance/statements/{head['id']}"
        asked = self.office(operator, f"{page}/withdraw", reason="given in by mistake")
        if asked.status_code != 303:
            self.people.found(f"asking to withdraw a statement of {operator} was answered with {asked.status_code}")
        for row in self.house.look(
            "select id from payments.book_request where statement_id = $1 and state = 'requested'", head["id"]
        ):
            for _ in range(2):
                answer = self.office(operator, f"{page}/withdrawals/{row['id']}/agree", manager=True)
                if answer.status_code != 303:
                    self.people.found(f"withdrawing a statement of {operator} was answered with {answer.status_code}")

    def days_over(self, *, told: bool = False) -> list[tuple[str, date]]:
        """The operators whose next day is over, and that day; `told`: of which the bank's statement is here as well."""
        found = self.house.look(
            "select code, day from (select id, code, payments.next_day(id) as day from foundation.operator) o"
            " where day < foundation.hanoi_day(foundation.now()) and (not $1 or exists ("
            "   select from payments.bank_statement s where s.operator_id = o.id and s.state = 'accepted' and s.day = o.day))",
            told,
        )
        return [(row["code"], row["day"]) for row in found]

    def days_closed(self) -> list[tuple[str, date]]:
        """The operators with a closed day, and their last one."""
        found = self.house.look(
            "select code, closed_through as day from payments.book join foundation.operator on id = operator_id"
            " where closed_through is not null"
        )
        return [(row["code"], row["day"]) for row in found]

    def waits_for_settlement(self, operator: str) -> None:
        """Until the days that are over are settled."""
        end = time.monotonic() + 30
        while self.house.look(
            "select from foundation.operator where code = $1 and not exists (select from payments.settlement s"
            " where s.operator_id = id and s.day = foundation.hanoi_day(foundation.now()) - 1)",
            operator,
        ):
            if time.monotonic() > end:
                self.people.found(f"the day of {operator} that is over was not settled in time")
                return
            time.sleep(0.1)

    def waits_for_statement(self, operator: str) -> None:
        """Until the bank's statement of the day that is over is here and matched."""
        end = time.monotonic() + 30
        while not self.house.look(
            "select from payments.bank_statement s join payments.matched_statement m on m.statement_id = s.id"
            " where s.bank_account = $1 and s.day = foundation.hanoi_day(foundation.now()) - 1",
            "/".join(ACCOUNTS[operator]),
        ):
            if time.monotonic() > end:
                self.people.found(f"the bank's statement of the last day of {operator} was not here in time")
                return
            time.sleep(0.1)

    def pay_out(self, dice: random.Random) -> None:
        self.pays_out(dice.choice(list(ACCOUNTS)))

    def pays_out(self, operator: str) -> None:
        """The manager says of accounts that a payout came back from that they are right, the clerk makes a payout of all that
        is owed, the manager lets its file go."""
        for row in self.house.look(
            "select a.payee_id, a.version from payments.payee_account a join foundation.operator o on o.id = a.operator_id"
            " where o.code = $1 and a.came_back_at is not null",
            operator,
        ):
            path = f"/finance/payees/{row['payee_id']}/account/{row['version']}/trust"
            trusted = self.office(operator, path, manager=True, reason="asked, and it is right")
            if trusted.status_code not in (303, 409):
                self.people.found(f"trusting an account was answered with {trusted.status_code} {trusted.text[-300:]}")
        made = self.office(operator, "/finance/payouts", key=uuid4().hex)
        if made.status_code == 409:  # nothing is owed
            return
        if made.status_code != 303:
            self.people.found(f"making a payout was answered with {made.status_code} {made.text[-300:]}")
            return
        path = made.headers["location"]
        (run,) = self.house.look(
            "select encode(digest, 'hex') as digest from payments.payout_run where id = $1",
            UUID(path.rpartition("/")[2]),
        )
        answer = self.office(operator, f"{path}/approve", manager=True, digest=run["digest"])
        if answer.status_code not in (303, 409):
            self.people.found(f"letting a payout go was answered with {answer.status_code} {answer.text[-300:]}")

    def refund_elsewhere(self, dice: random.Random) -> None:
        """The bank's own: money that came onto an account of nobody we know goes back, once, however often it is asked."""
        amount_vnd = dice.randint(1, 90) * 1_000
        bank_ref = self.transfer("", amount_vnd, "elsewhere")["bank_ref"]
        back_vnd = dice.randint(1, amount_vnd)
        bin, account = ELSEWHERE
        said = {"id": str(uuid4()), "bin": bin, "account": account, "bank_ref": bank_ref, "amount_vnd": back_vnd}
        named = {"bin": bin, "account": "999000222", "name": "NGUOI NHAN"}
        for _ in range(2):
            answer = self.ask(
                "POST",
                f"{self.house.bank_url}/api/v1/refunds",
                json={**said, "text": "hoan tien", "to": named},
                headers={"authorization": f"Bearer {API_KEY}"},
            )
            if answer.status_code != 201:
                raise Unsound(f"The bank does not give back {said}: {answer.text[:300]}")
        self.people.acts["refund elsewhere"] += 1
        with self.people.lock:
            self.people.elsewhere_vnd += amount_vnd - back_vnd

    def payout_elsewhere(self, dice: random.Random) -> None:
        """The bank's own: a payout file of an account of nobody we know, paid once, however often it is handed in."""
        amount_vnd = dice.randint(2, 90) * 1_000
        self.transfer("", amount_vnd, "elsewhere")
        paid_vnd = dice.randint(2, amount_vnd)
        parts = [PayoutTransfer(uuid4(), part, "970422", "999000222", "NGUOI NHAN", "") for part in (1, paid_vnd - 1)]
        day = date(2020, 1, 1)  # a day that is over: at once, whatever the bank's clock says
        file = pain.write(
            PayoutOrder(uuid4(), "ELSEWHERE", datetime.now(UTC), day, "/".join(ELSEWHERE), "ELSEWHERE", parts)
        )
        for _ in range(2):
            answer = self.ask(
                "POST",
                f"{self.house.bank_url}/api/v1/payout-files",
                content=file,
                headers={"authorization": f"Bearer {API_KEY}"},
            )
            if answer.status_code != 201 or "RJCT" in answer.text:
                raise Unsound(f"The bank does not pay {paid_vnd} out: {answer.text[:300]}")
        self.people.acts["payout elsewhere"] += 1
        with self.people.lock:
            self.people.elsewhere_vnd += amount_vnd - paid_vnd


def cookie_of(office: Office) -> str:
    """Its session, for requests that others send."""
    return "; ".join(f"{one.name}={one.value}" for one in office.http.cookies.jar)


def code_of(answer: httpx.Response) -> str:
    """Why something was refused, as its page says."""
    return answer.text.partition("<code>")[2].partition("</code>")[0]


def _looks(within_s: float) -> Iterator[None]:
    """So long somebody looks again and again: soon at first, then less and less often."""
    end, pause_s = time.monotonic() + within_s, 0.02
    yield
    while time.monotonic() < end:
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, 0.2)
        yield


def _slipped(reference: str, dice: random.Random) -> str:
    """A reference with one wrong letter: any two real ones differ in three."""
    at = dice.randrange(2, len(reference))
    wrong = dice.choice([letter for letter in "ABCDEFGHJKMNPQRSTVWXYZ23456789" if letter != reference[at]])
    return reference[:at] + wrong + reference[at + 1 :]
