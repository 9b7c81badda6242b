"""The attendant's journey in a real Chromium, on a tablet: every verdict, vehicles, cash, a network that is lost."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, Request, Route, expect

from rehearsal import client
from tests.journeys.conftest import RunningPlatform
from tests.journeys.screens import DESK, TABLET, Watched, looked_at, pages_of, shot

pytestmark = pytest.mark.browser
REFUSAL = "Failed to load resource"  # the browser notes each answer that is a refusal
NEW_SCAN_MS = 3_100


@dataclass
class Worker:
    """An attendant at a tablet in the browser."""

    page: Page
    day: client.Platform
    context: BrowserContext
    watched: Watched

    def __post_init__(self) -> None:
        self.scans: list[str] = []
        self.page.on("request", self._count)

    def _count(self, asked: Request) -> None:
        if asked.url.endswith("/scan"):
            self.scans.append(asked.url)

    def part(self, hook: str) -> Locator:
        return self.page.locator(f"[data-test={hook}]")

    def scan(self, code: str) -> None:
        """What a hand scanner does: types the code and presses Enter."""
        self.page.keyboard.type(code)
        self.page.keyboard.press("Enter")

    def sees(self, verdict: str, word: str) -> None:
        expect(self.page.locator("#panel")).to_have_attribute("data-verdict", verdict)
        expect(self.part("verdict-word")).to_have_text(word)

    def tickets(self, site: str = "VANMIEU", day: str = "", **heads: int) -> str:
        """The code of a free ticket, fresh from the visitor's page."""
        return client.code_of(client.order_tickets(self.day.visitor(), site, day=day, **heads))


@pytest.fixture(scope="module")
def manager(platform: RunningPlatform) -> client.Office:
    return client.Office(client.Platform(platform.url, platform.bank_url), "quanly@vanmieu")


@pytest.fixture(scope="module")
def worker(chromium: Browser, platform: RunningPlatform, manager: client.Office) -> Iterator[Worker]:
    """A tablet of Văn Miếu's gate and lot, enrolled and logged in with the fingers."""
    offered = manager.order("POST", "/enrolments", {"device_name": "Chromium", "places": [1, 2]})
    context = pages_of(chromium, TABLET, has_touch=True)
    watched = Watched(context)
    page = context.new_page()
    made = Worker(page, client.Platform(platform.url, platform.bank_url), context, watched)
    page.goto(f"{platform.url}/tablet/#enrol={offered['code']}")
    made.part("language-en").click()
    expect(made.part("enrol-code")).to_have_value(offered["code"])
    assert offered["code"] not in page.url, "a one-time code has no business in the history"
    looked_at(page, "tablet-enrol")
    made.part("enrol-go").click()
    page.locator("#login").fill("01")
    page.locator("#pin").fill("000000")
    made.part("login-go").click()
    expect(made.part("complaint")).to_be_visible()
    looked_at(page, "tablet-login")
    page.locator("#pin").click()
    for digit in client.PIN:
        made.part(f"key-{digit}").click()
    made.part("login-go").click()
    expect(made.part("attendant")).to_contain_text("01")
    yield made
    watched.are_quiet(REFUSAL)
    context.close()


@pytest.fixture(autouse=True)
def at_the_gate(worker: Worker) -> None:
    worker.part("tab-gate").click()
    expect(worker.part("scan-input")).to_be_focused()


def test_the_tablet_of_a_stranger_is_not_enrolled(chromium: Browser, platform: RunningPlatform) -> None:
    context = pages_of(chromium, TABLET)
    page = context.new_page()
    page.goto(f"{platform.url}/tablet/#enrol=VANMIEU-22222-22222")
    page.locator("[data-test=enrol-go]").click()
    expect(page.locator("[data-test=complaint]")).to_be_visible()
    context.close()


def test_a_paid_ticket_is_valid_and_the_next_time_used(worker: Worker) -> None:
    visitor = worker.day.visitor()
    order = client.Order.on(visitor, client.order_tickets(visitor, "VANMIEU", adult=2, student=1))
    client.Bank(worker.day).pay(order.vietqr)
    code = client.code_of(order.finished())
    looked_at(worker.page, "tablet-gate")
    worker.scan(code)
    worker.sees("valid", "VALID")
    expect(worker.part("lines")).to_contain_text("student card")
    looked_at(worker.page, "tablet-valid")
    before = len(worker.scans)
    worker.scan(code)
    worker.page.wait_for_timeout(500)
    worker.sees("valid", "VALID")
    assert len(worker.scans) == before, "the same code within 3 s is not even sent"
    worker.page.wait_for_timeout(NEW_SCAN_MS)
    worker.scan(code)
    worker.sees("used", "ALREADY USED")
    expect(worker.part("verdict-lead")).to_contain_text("Chromium")
    looked_at(worker.page, "tablet-used")


def test_every_other_ticket_is_refused_with_its_word(worker: Worker) -> None:
    today = date.fromisoformat(worker.day.visitor().json("/api/v1/public/sites/VANMIEU")["day"])
    tomorrow = (today + timedelta(days=1)).isoformat()
    good = worker.tickets(child=1)
    forged = good[:-1] + ("A" if good[-1] != "A" else "B")
    for code, verdict, word in (
        (worker.tickets("THANGLONG", child=1), "wrong_place", "WRONG PLACE"),
        (worker.tickets(day=tomorrow, child=1), "wrong_day", "WRONG DAY"),
        (forged, "unknown", "UNKNOWN"),
        ("4006381333931", "unknown", "UNKNOWN"),
    ):
        worker.scan(code)
        worker.sees(verdict, word)
        looked_at(worker.page, f"tablet-{verdict}")


def test_a_parking_code_that_is_not_paid_says_so_at_the_gate(worker: Worker) -> None:
    visitor = worker.day.visitor()
    page = visitor.open("/P/VM1")
    form = page.form("plate", "vehicle_class")
    stay = visitor.send(page, form, plate=client.plate("29-B1 "), vehicle_class="motorbike")
    worker.scan(client.code_of(stay))
    worker.sees("unpaid", "NOT PAID")
    looked_at(worker.page, "tablet-unpaid")


def test_a_short_form_is_typed_and_its_slips_are_found(worker: Worker) -> None:
    page = client.order_tickets(worker.day.visitor(), "VANMIEU", child=2)
    short = client.typed_form(page)
    slip = short[:-1] + ("2" if short[-1] != "2" else "3")
    worker.scan(slip)
    worker.sees("mistyped", "MISTYPED")
    worker.scan(f"{short[:5]} {short[5:]}".lower())
    worker.sees("valid", "VALID")
    expect(worker.part("heads")).to_contain_text("2/2")


def test_a_vehicle_comes_pays_cash_and_leaves(worker: Worker) -> None:
    page, plate = worker.page, client.plate("29-B1 ")
    worker.part("tab-shift").click()
    worker.part("shift-place-VM1").check()
    for _ in range(2):
        worker.part("float-100000-more").click()
    expect(worker.part("float-sum")).to_contain_text("200,000")
    looked_at(page, "tablet-shift")
    page.locator("button[data-test=shift-open]").click()
    expect(worker.part("shift-is-open")).to_be_visible()
    worker.part("tab-lot").click()
    page.locator("#plate").fill(plate)
    looked_at(page, "tablet-lot-in")
    worker.part("class-motorbike").click()
    worker.sees("in", "IN")
    code = page.locator("#panel .qr img").get_attribute("src") or ""
    page.wait_for_load_state("networkidle")
    looked_at(page, "tablet-in")
    worker.part("verdict-close").click()
    worker.part("lot-find").click()
    page.locator("#find-plate").fill(plate[-6:].replace(".", "")[-4:])
    worker.part("find-go").click()
    expect(worker.part("stay").first).to_be_visible()
    looked_at(page, "tablet-find")
    worker.part("lot-out").click()
    worker.scan(code.split("/")[2])
    worker.sees("unpaid", "NOT PAID")
    due = int(re.sub(r"\D", "", worker.part("due").text_content() or ""))
    assert due in (5_000, 8_000)
    worker.part("pay-cash").click()
    worker.sees("left", "MAY LEAVE")
    looked_at(page, "tablet-left")
    worker.part("verdict-close").click()

    worker.part("tab-cash").click()
    worker.part("heads-adult-more").click()
    expect(worker.part("sum")).to_contain_text("70,000")
    looked_at(page, "tablet-cash")
    worker.part("sell-cash").click()
    worker.sees("sold", "SOLD")
    page.wait_for_load_state("networkidle")
    looked_at(page, "tablet-sold")
    worker.part("verdict-close").click()
    worker.part("heads-adult-more").click()
    worker.part("sell-proxy").click()
    worker.sees("transfer", "TRANSFER NOW")
    page.wait_for_load_state("networkidle")
    looked_at(page, "tablet-transfer")
    worker.part("verdict-close").click()

    # A note for the safe, signed for by a colleague.
    worker.part("tab-shift").click()
    worker.part("shift-drop").click()
    worker.part("drop-50000").fill("1")
    looked_at(page, "tablet-drop")
    worker.part("drop-go").click()
    expect(worker.part("drop-waits")).to_contain_text("50,000")
    page.locator("#drop-1-login").fill("02")
    page.locator("#drop-1-pin").fill("000000")
    worker.part("drop-1-sign").click()
    expect(worker.part("drop-1-complaint")).to_be_visible()
    page.locator("#drop-1-pin").fill(client.PIN)
    looked_at(page, "tablet-drop-waits")
    worker.part("drop-1-sign").click()
    expect(worker.part("drop-waits")).to_have_count(0)

    # A part of a receipt is handed back.
    worker.part("tab-cash").click()
    worker.part("refund").locator("summary").click()
    page.locator("#refund-receipt").fill("2")
    worker.part("refund-find").click()
    expect(worker.part("refund-left")).to_contain_text("70,000")
    page.locator("#refund-amount").fill("20.000")
    worker.part("refund-why-overcharged").check()
    looked_at(page, "tablet-refund")
    worker.part("refund-give").click()
    worker.sees("given_back", "GIVE BACK")
    looked_at(page, "tablet-given-back")
    worker.part("verdict-close").click()

    # Nobody transferred the last 70,000: those notes are still in the drawer. A note of 1,000 is missing.
    worker.part("tab-shift").click()
    worker.part("shift-count").click()
    for note, pieces in client.in_notes(200_000 + due + 70_000 + 70_000 - 50_000 - 20_000 - 1_000).items():
        worker.part(f"counted-{note}").fill(str(pieces))
    expect(page.locator("#screen")).not_to_contain_text("Should be there")
    looked_at(page, "tablet-counting")
    worker.part("count-go").click()
    worker.part("count-sure").click()
    expect(worker.part("difference")).to_contain_text("1,000")
    looked_at(page, "tablet-counted")
    page.locator("#receiver-login").fill("02")
    page.locator("#receiver-pin").fill(client.PIN)
    worker.part("receiver-sign").click()
    expect(worker.part("receiver-complaint")).to_contain_text("why")
    worker.part("reason-change").check()
    page.locator("#receiver-pin").fill(client.PIN)
    looked_at(page, "tablet-handing")
    worker.part("receiver-sign").click()
    expect(worker.part("shift-result")).to_contain_text("Trần Văn Bình")
    expect(worker.part("still-owed")).to_contain_text("70,000")
    looked_at(page, "tablet-shift-closed")


def test_a_shift_that_the_office_closed_is_said_and_begins_anew(worker: Worker, platform: RunningPlatform) -> None:
    page = worker.page
    worker.part("tab-shift").click()
    worker.part("shift-place-VM1").check()
    page.locator("button[data-test=shift-open]").click()
    expect(worker.part("shift-is-open")).to_be_visible()
    number = page.evaluate("JSON.parse(localStorage['motcham.tablet']).shift.number")
    office = client.Office(client.Platform(platform.url, platform.bank_url), "ketoan@vanmieu")
    page_of_it = office.open(f"/finance/shifts/VM1/{number}")
    office.send(page_of_it, page_of_it.form("csrf", "why"), uncounted="true", reason="the tablet is lost")
    worker.part("tab-cash").click()
    worker.part("heads-adult-more").click()
    worker.part("sell-cash").click()
    worker.sees("refused", "NOT POSSIBLE")
    expect(worker.part("verdict-lead")).to_contain_text("Lê Thu Cúc")
    looked_at(page, "tablet-closed-by-office")
    worker.part("verdict-close").click()
    expect(worker.part("overruled")).to_contain_text("Lê Thu Cúc")
    expect(worker.part("overruled")).not_to_contain_text(re.compile(r"\dT\d"))  # a moment as people write it
    looked_at(page, "tablet-overruled")
    worker.part("overruled-read").click()
    expect(worker.part("shift-open")).to_be_visible()


def test_a_vehicle_that_its_visitor_announced_says_since_when_it_pays(worker: Worker) -> None:
    visitor, plate = worker.day.visitor(), client.plate("29-B1 ")
    page = visitor.open("/P/VM1")
    visitor.send(page, page.form("plate", "vehicle_class"), plate=plate, vehicle_class="motorbike")
    worker.part("tab-lot").click()
    worker.part("lot-in").click()
    worker.page.locator("#plate").fill(plate)
    worker.part("class-motorbike").click()
    worker.sees("announced", "BEGUN BY THE VISITOR")
    expect(worker.part("announced")).to_have_text(re.compile(r"at \d\d:\d\d.* The fee counts from then\."))
    worker.page.wait_for_load_state("networkidle")
    looked_at(worker.page, "tablet-announced")
    worker.part("verdict-close").click()


def test_a_lost_network_is_said_and_the_scan_is_recorded_once(worker: Worker, manager: client.Office) -> None:
    page, code = worker.page, worker.tickets(child=1)
    worker.context.set_offline(True)
    try:
        worker.scan(code)
        expect(worker.part("not-recorded")).to_be_visible()
        expect(worker.part("not-recorded")).to_contain_text("not recorded")
        expect(worker.part("connection")).to_have_attribute("data-lost", "true")
        expect(page.locator("#panel")).to_be_hidden()
        assert page.evaluate("document.body.dataset.tone ?? ''") != "good", "never green without an answer"
        shot(page, "tablet-offline")
    finally:
        worker.context.set_offline(False)
    worker.sees("valid", "VALID")
    expect(worker.part("not-recorded")).to_be_hidden()
    assert "1 / 1" in client.Browser(worker.day.url).open(f"/T/{code[-48:]}").html


def test_an_answer_that_was_lost_on_the_way_is_asked_for_again(worker: Worker) -> None:
    """The server recorded the scan and its answer got lost: the tablet asks again and is told “valid”, not “used”."""
    lost: list[int] = []

    def lose_the_first_answer(route: Route) -> None:
        if not lost:
            lost.append(route.fetch().status)
            route.abort()
        else:
            route.continue_()

    code = worker.tickets(child=1)
    worker.page.route("**/api/v1/device/scan", lose_the_first_answer)
    try:
        worker.scan(code)
        worker.sees("valid", "VALID")
    finally:
        worker.page.unroute("**/api/v1/device/scan")
    assert lost == [200]
    assert "1 / 1" in client.Browser(worker.day.url).open(f"/T/{code[-48:]}").html


def test_a_revoked_tablet_forgets_everything(chromium: Browser, worker: Worker, manager: client.Office) -> None:
    name = f"Revoked {client.plate('')}"
    offered = manager.order("POST", "/enrolments", {"device_name": name, "places": [1]})
    context = pages_of(chromium, TABLET)
    page = context.new_page()
    page.goto(f"{worker.day.url}/tablet/#enrol={offered['code']}")
    page.locator("[data-test=enrol-go]").click()
    page.locator("#login").fill("02")
    page.locator("#pin").fill(client.PIN)
    page.locator("[data-test=login-go]").click()
    expect(page.locator("[data-test=scan-input]")).to_be_focused()
    device = next(one["id"] for one in manager.order("GET", "/devices") if one["name"] == name)
    manager.order("POST", f"/devices/{device}/revoke")
    page.keyboard.type(worker.tickets(child=1))
    page.keyboard.press("Enter")
    expect(page.locator("#panel")).to_have_attribute("data-verdict", "refused")
    page.locator("[data-test=verdict-close]").click()
    expect(page.locator("[data-test=enrol-go]")).to_be_visible()
    assert page.evaluate("JSON.parse(localStorage['motcham.tablet']).device") is None
    context.close()


def test_finance_and_city_are_accessible(chromium: Browser, platform: RunningPlatform) -> None:
    context = pages_of(chromium, DESK)
    watched = Watched(context)
    page = context.new_page()
    page.goto(f"{platform.url}/finance/login")
    looked_at(page, "finance-login")
    page.locator("input:not([type=hidden]):not([type=password])").first.fill("ketoan@vanmieu")
    page.locator("[type=password]").fill(client.PASSWORD)
    page.locator("main form button").click()
    page.wait_for_url(re.compile(r"/finance/$"))
    looked_at(page, "finance")
    for link in page.locator("nav.tabs a").evaluate_all("all => all.map(a => a.href)"):
        page.goto(link)
        looked_at(page, "finance-" + link.rstrip("/").rpartition("/")[2].partition("?")[0])
    page.goto(f"{platform.url}/city/")
    looked_at(page, "city")
    watched.are_quiet()
    context.close()
