"""Eight at once, for one thing: exactly one wins where there must be one, and nobody is answered 500.

Each race is prepared by one person; then eight requests leave on eight connections before any answer is read.
"""

from __future__ import annotations

import json
import random
import socket
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode
from uuid import UUID, uuid4

import httpx
from standardwebhooks import Webhook

from loadtests.client import post
from proof.house import ACCOUNTS, API_KEY, REFUND_LIMIT_VND, SECRET, Unsound
from proof.people import LOTS, SITES, Driver, People, Person, cookie_of
from rehearsal.client import in_notes

WAYS = 8
GREAT = ("exit", "redeem", "notice against poll", "count against sale", "send back")
"""The races that every run must run in full."""
Answer = tuple[int, str]
"""Status, and the body or where a form leads."""


class Volley:
    """Eight kept connections; `fire` sends a request on each and then reads the answers."""

    def __init__(self, url: str) -> None:
        self._port = httpx.URL(url).port
        self._lines: list[socket.socket] = []

    def fire(self, requests: Sequence[bytes]) -> list[Answer]:
        while len(self._lines) < len(requests):
            self._lines.append(socket.create_connection(("127.0.0.1", self._port or 80), timeout=30))
        # A kept connection may have been closed meanwhile: those are opened anew before anything is sent.
        for number, line in enumerate(self._lines):
            if _closed(line):
                line.close()
                self._lines[number] = socket.create_connection(("127.0.0.1", self._port or 80), timeout=30)
        for line, request in zip(self._lines, requests, strict=True):
            line.sendall(request)
        return [_answer(line) for line in self._lines]


def _closed(line: socket.socket) -> bool:
    line.setblocking(False)
    try:
        return line.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
    finally:
        line.settimeout(30)


def _answer(line: socket.socket) -> Answer:
    with line.makefile("rb") as said:
        status = int(said.readline().split()[1])
        headers = {}
        while (row := said.readline().strip()) != b"":
            name, _, value = row.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        body = said.read(int(headers.get("content-length", 0)))
    return status, headers.get("location") or body.decode("utf-8", "replace")


def form(path: str, fields: dict[str, str], cookie: str = "") -> bytes:
    """A form as a browser sends it."""
    body = urlencode(fields)
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/x-www-form-urlencoded\r\n"
    head += f"cookie: {cookie}\r\n" if cookie else ""
    return f"{head}content-length: {len(body)}\r\n\r\n{body}".encode()


class Races:
    """The races of one house; needs eight persons. `won`: who won how often, by race."""

    def __init__(self, people: People, seed: str) -> None:
        self.people, self.model, self.house = people, people.model, people.house
        self.dice = random.Random(f"{seed}/races")
        self.volley = Volley(people.house.url)
        self.rounds: Counter[str] = Counter()
        self.won: Counter[str] = Counter()
        self.busy = 0

    @property
    def all(self) -> dict[str, Callable[[], None]]:
        """The races by name. A new one is a line here and a method."""
        return {
            "exit": self.exit,
            "redeem": self.redeem,
            "notice against poll": self.notice_against_poll,
            "count against sale": self.count_against_sale,
            "send back": self.send_back,
            "approve": self.approve,
            "give back": self.give_back,
            "card notice against query": self.card_notice_against_query,
            "assign": self.assign,
            "ask to pay": self.ask_to_pay,
        }

    @staticmethod
    def wanted(name: str, rounds: int) -> int:
        """How many rounds of this race are run, of `rounds` asked for."""
        return rounds if name in GREAT else -(-rounds // 5)

    def run(self, name: str) -> None:
        self.all[name]()
        self.rounds[name] += 1

    # --- parts -------------------------------------------------------------------------------------------------------

    def fire(self, requests: Sequence[bytes]) -> list[Answer]:
        """All at once; who is told to try again does, by himself."""
        answers = self.volley.fire(requests)
        for number, (status, said) in enumerate(answers):
            end = time.monotonic() + 20
            while status in (409, 503) and ("try_again" in said or "still_running" in said) and time.monotonic() < end:
                self.busy += 1
                time.sleep(0.05)
                status, said = self._again(requests[number])
            answers[number] = status, said
            if status >= 500:
                self.people.found(f"{status} in a race: {said[:200]}")
        return answers

    def _again(self, request: bytes) -> Answer:
        with socket.create_connection(("127.0.0.1", httpx.URL(self.house.url).port or 80), timeout=30) as line:
            line.sendall(request)
            return _answer(line)

    def at_tablets(self, operator: str, path: str, **said: Any) -> list[bytes]:
        """The same wish from eight tablets, each an action of its own."""
        now = self.people.platform.now()
        requests = []
        for person in self.people.persons[:WAYS]:
            tablet = person.tablets[operator]
            headers = f"authorization: Bearer {tablet.token}\r\n"
            requests.append(post(f"/api/v1/device{path}", json.dumps(tablet.action(now, **said)).encode(), headers))
        return requests

    def at_office(self, path: str, fields: Sequence[dict[str, str]], *, manager: bool = False) -> list[Answer]:
        """Forms of Văn Miếu's finance, all at once."""
        office = (self.people.managers if manager else self.people.clerks)["vanmieu"]
        return self.fire([form(path, {"csrf": office.csrf, **one}, cookie_of(office)) for one in fields])

    def one_won(self, name: str, outcomes: Sequence[str], winner: str, losers: Sequence[str]) -> None:
        counts = Counter(outcomes)
        if counts[winner] != 1 or set(counts) - {winner, *losers}:
            self.people.found(f"{name}: {dict(counts)} of eight")

    # --- races -------------------------------------------------------------------------------------------------------

    def exit(self) -> None:
        """A vehicle that has paid leaves by eight tablets."""
        person, lot = self.dice.choice(self.people.persons), self.dice.choice(list(LOTS))
        operator, place, kind, _ = LOTS[lot]
        tablet = person.tablets[operator]
        came = person.act(tablet, "/vehicles/in", place=place, vehicle_class=kind, plate=person.plate(lot))
        driver = Driver(lot, came["stay"]["code_url"][-48:])
        unpaid = person.act(tablet, "/vehicles/out", place=place, code=driver.code)
        person.takes_notes(tablet, driver, unpaid)
        answers = self.fire(self.at_tablets(operator, "/vehicles/out", place=place, code=driver.code))
        self.one_won("exit", [_verdict(answer) for answer in answers], "left", ["already_left"])

    def redeem(self) -> None:
        """A ticket for one is scanned at eight gates."""
        person, site = self.dice.choice(self.people.persons), self.dice.choice(list(SITES))
        operator, place, price_vnd = SITES[site]
        tablet = person.tablets[operator]
        shift = person.opened(tablet, place)
        sold = person.act(tablet, "/cash/ticket", place=place, heads={"adult": 1}, amount_vnd=price_vnd, proxy=False)
        person.took(tablet, shift, site, "ticketing", sold)
        answers = self.fire(self.at_tablets(operator, "/scan", place=place, code=sold["code_url"], heads=1))
        self.one_won("redeem", [_verdict(answer) for answer in answers], "valid", ["used", "repeated"])

    def notice_against_poll(self) -> None:
        """Eight notices of one transfer, by two events, while the worker finds it in the bank's list."""
        person = self.dice.choice(self.people.persons)
        charge, _ = person.order("VANMIEU", {"adult": 1})
        bin, account = ACCOUNTS["vanmieu"]
        said = {"id": str(uuid4()), "bin": bin, "account": account, "amount_vnd": charge.amount_vnd}
        booked = person.ask(
            "POST",
            f"{self.house.bank_url}/api/v1/payments",
            json={**said, "text": charge.reference},
            headers={"authorization": f"Bearer {API_KEY}"},
        ).json()
        self.model.banked["vanmieu"].append(charge.amount_vnd)
        charge.came.append(charge.amount_vnd)
        body = json.dumps({"type": "transaction.booked", "timestamp": booked["booked_at"], "data": booked})
        events = [f"evt_{uuid4().hex}" for _ in range(2)]
        time.sleep(self.dice.uniform(0, self.house.poll_seconds))
        answers = self.fire([_notice(events[number % 2], body) for number in range(WAYS)])
        fresh = sum(status == 202 and json.loads(said)["new"] for status, said in answers)
        if fresh > 1 or any(status != 202 for status, _ in answers):
            self.people.found(f"notice against poll: {answers}")
        self.won["the notice" if fresh else "the poll"] += 1
        if not person.is_paid(charge, 10):
            self.people.found(f"{charge.reference} was announced eight times and is not paid")

    def count_against_sale(self) -> None:
        """A drawer is counted twice while six sales go into it: each is in its count or refused."""
        person = self.dice.choice(self.people.persons)
        tablet = person.tablets["vanmieu"]
        shift = person.opened(tablet, 1)
        now = self.people.platform.now()
        headers = f"authorization: Bearer {tablet.token}\r\n"
        sale = {"place": 1, "heads": {"adult": 1}, "amount_vnd": 70_000, "proxy": False}
        counted_vnd = shift.notes_vnd
        wishes = [("cash/ticket", sale)] * (WAYS - 2) + [("shift/count", {"notes": in_notes(counted_vnd)})] * 2
        self.dice.shuffle(wishes)
        answers = self.fire(
            [
                post(f"/api/v1/device/{path}", json.dumps(tablet.action(now, **said)).encode(), headers)
                for path, said in wishes
            ]
        )
        outcomes = [json.loads(said) for _, said in answers]
        sold = [
            one for (path, _), one in zip(wishes, outcomes, strict=True) if path == "cash/ticket" and "short" in one
        ]
        counted = [
            one
            for (path, _), one in zip(wishes, outcomes, strict=True)
            if path == "shift/count" and "counted_vnd" in one
        ]
        refused = Counter(one.get("code") for one in outcomes if "code" in one)
        if len(counted) != 1 or set(refused) - {"shift_counted"}:
            self.people.found(f"count against sale: {len(counted)} counted, {dict(refused)} refused")
            return
        for one in sold:
            person.took(tablet, shift, "VANMIEU", "ticketing", one)
        self.won[f"{len(sold)} sales before the count"] += 1
        person.closes(tablet, shift, counted_vnd, counted[0])
        person.opened(tablet, 1)

    def send_back(self) -> None:
        """Eight clerks send the same money back, each with a form of his own."""
        person = self.dice.choice(self.people.persons)
        receipt_id = self._nobodys(person, 30_000)
        asked = [{"key": uuid4().hex, "amount_vnd": "30000", "reason": "payer's"} for _ in range(WAYS)]
        answers = self.at_office(f"/finance/queue/{receipt_id}/send-back", asked)
        self.one_won("send back", [str(status) for status, _ in answers], "303", ["404", "409"])
        self.model.sent["vanmieu", ""] += 30_000

    def approve(self) -> None:
        """A refund above the limit is approved by eight at once."""
        person, amount_vnd = self.dice.choice(self.people.persons), REFUND_LIMIT_VND + 1_000
        receipt_id = self._nobodys(person, amount_vnd)
        path = f"/finance/queue/{receipt_id}/send-back"
        answer = person.office("vanmieu", path, key=uuid4().hex, amount_vnd=amount_vnd, reason="payer's")
        refund = answer.headers["location"]
        self.model.sent["vanmieu", ""] += amount_vnd
        answers = self.at_office(f"{refund}/approve", [{}] * WAYS, manager=True)
        self.one_won("approve", [str(status) for status, _ in answers], "303", ["409"])

    def give_back(self) -> None:
        """A ticket is given back as a whole eight times."""
        person = self.dice.choice(self.people.persons)
        charge, _ = person.order("VANMIEU", {"adult": 1})
        person.pays_vnd(charge, charge.amount_vnd, charge.reference)
        if not person.is_paid(charge, 10):
            self.people.found(f"{charge.reference} was not paid in time")
            return
        asked = [{"key": uuid4().hex, "amount_vnd": str(charge.amount_vnd), "reason": "ill"} for _ in range(WAYS)]
        answers = self.at_office(f"/finance/charges/{charge.reference}/give-back", asked)
        self.one_won("give back", [str(status) for status, _ in answers], "303", ["409"])
        if not person.agreed(charge, self.dice):
            return
        charge.given_back_vnd += charge.amount_vnd
        self.model.sent["vanmieu", charge.reference] += charge.amount_vnd

    def card_notice_against_query(self) -> None:
        """Eight times the same notice of a card's payment, while the worker asks the gateway about it."""
        person = self.dice.choice(self.people.persons)
        charge, _ = person.order("VANMIEU", {"adult": 1}, "CARD")
        address = person.at_gateway(charge)
        person.on_the_page(charge, address, "pay", "visa")
        ref = httpx.QueryParams(address.partition("?")[2])["vnp_TxnRef"]
        query = self.house.look("select query from mock_bank.ipn where query like $1", f"%vnp_TxnRef={ref}&%")[0][
            "query"
        ]
        person.get(f"{person.paths[charge.reference]}/return")  # it is asked about at once
        time.sleep(self.dice.uniform(0, 2 * self.house.poll_seconds))
        answers = self.fire([f"GET /api/v1/hooks/vnpay?{query} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n".encode()] * WAYS)
        codes = Counter(json.loads(said).get("RspCode") for _, said in answers)
        if codes["00"] > 1 or set(codes) - {"00", "02"}:
            self.people.found(f"card notice against query: {dict(codes)}")
        self.won["the card's notice" if codes["00"] else "the query about the card"] += 1
        if not person.is_paid(charge, 10):
            self.people.found(f"{charge.reference} was announced eight times and is not paid")

    def _nobodys(self, person: Person, amount_vnd: int) -> UUID:
        """Money of which nobody knows the purpose; the receipt that waits."""
        receipt_id = person.receipt("vanmieu", person.strays("vanmieu", amount_vnd, "chuyen tien"))
        if receipt_id is None:
            raise Unsound("A transfer does not wait for a person.")
        return receipt_id

    def assign(self) -> None:
        """Eight clerks say at once what one transfer was for."""
        person = self.dice.choice(self.people.persons)
        charge, _ = person.order("VANMIEU", {"adult": 1})
        bank_ref = person.strays(charge.operator, charge.amount_vnd, "ve tham quan")
        receipt_id = person.receipt(charge.operator, bank_ref)
        if receipt_id is None:
            self.people.found(f"{bank_ref} does not wait for a person")
            return
        fields = {"reference": charge.reference, "reason": "called"}
        answers = self.at_office(f"/finance/queue/{receipt_id}/assign", [fields] * WAYS)
        statuses = [str(status) for status, _ in answers]
        self.one_won("assign", statuses, "303", ["404", "409"])
        charge.assigned_vnd = charge.amount_vnd
        self.model.strays.append((charge.operator, -charge.amount_vnd))

    def ask_to_pay(self) -> None:
        """A driver presses “pay” eight times: one charge."""
        person = self.dice.choice(self.people.persons)
        driver = person.arrives(self.dice)
        answers = self.fire([form(f"/P/stay/{driver.code}/pay", {})] * WAYS)
        if {status for status, _ in answers} != {303} or len({path for _, path in answers}) != 1:
            self.people.found(f"ask to pay: {answers}")
            return
        person.charged(answers[0][1], LOTS[driver.lot][0], "parking", driver.lot)


def _verdict(answer: Answer) -> str:
    status, said = answer
    return str(json.loads(said).get("verdict")) if status == 200 else f"{status} {said[:80]}"


def _notice(event: str, body: str) -> bytes:
    at = datetime.now(UTC)
    signature = Webhook(SECRET).sign(event, at, body)
    headers = f"webhook-id: {event}\r\nwebhook-timestamp: {int(at.timestamp())}\r\nwebhook-signature: {signature}\r\n"
    return post("/api/v1/hooks/bank", body.encode(), headers)
