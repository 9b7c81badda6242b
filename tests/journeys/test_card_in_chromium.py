"""A visitor without a Vietnamese bank, in a real Chromium: by card to the ticket; declined, then by VietQR; whatever ends."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from rehearsal import client
from tests.journeys.conftest import RunningPlatform
from tests.journeys.screens import PHONE, Watched, looked_at, pages_of, shot

pytestmark = pytest.mark.browser
TICKET = re.compile(r"/T/[A-Z2-7]{48}$")
HOSTED = re.compile(r"/paymentv2/vpcpay\.html")


@pytest.fixture
def phone(chromium: Browser) -> Iterator[BrowserContext]:
    context = pages_of(chromium, PHONE, has_touch=True, is_mobile=True)
    yield context
    context.close()


def order(page: Page, platform: RunningPlatform) -> None:
    """One adult at Văn Miếu, up to the page to pay on."""
    page.goto(f"{platform.url}/S/VANMIEU")
    page.locator(".stepper:has(#heads_adult) button").last.click()
    page.locator("#order").click()
    page.wait_for_url("**/pay/**")


def on_the_gateways_page(page: Page, outcome: str) -> None:
    page.locator(".by-card button").click()
    page.wait_for_url(HOSTED)
    if outcome not in ("pay", "cancel"):
        page.locator("details summary").click()
    page.locator(f"button[value={outcome}]").click()


def test_a_visitor_pays_by_card_and_gets_his_ticket(phone: BrowserContext, platform: RunningPlatform) -> None:
    watched = Watched(phone)
    page = phone.new_page()
    order(page, platform)
    looked_at(page, "pay-card")
    page.locator(".by-card button").click()
    page.wait_for_url(HOSTED)
    shot(page, "hosted")
    assert page.locator("input:not([type=hidden]):not([type=radio])").count() == 0, "no number is asked for"
    page.locator("button[value=pay]").click()
    page.wait_for_url(TICKET, timeout=10_000)
    watched.are_quiet()


def test_a_declined_card_then_vietqr(phone: BrowserContext, platform: RunningPlatform) -> None:
    page = phone.new_page()
    order(page, platform)
    on_the_gateways_page(page, "no_funds")
    expect(page.locator(".notice.error")).to_contain_text("not enough money", timeout=10_000)
    looked_at(page, "pay-declined")
    bank = phone.new_page()
    bank.goto(page.locator(".banks a").first.get_attribute("href") or "")
    bank.locator("button[value=pay]").click()
    page.wait_for_url(TICKET, timeout=10_000)


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        ("cancel", "You cancelled"),
        ("wrong_otp", "one-time password was wrong"),
        ("expired", "ran out"),
        ("reversed", "you were not charged by us"),
    ],
)
def test_whatever_fails_is_said_and_can_be_tried_again(
    phone: BrowserContext, platform: RunningPlatform, outcome: str, words: str
) -> None:
    page = phone.new_page()
    order(page, platform)
    on_the_gateways_page(page, outcome)
    expect(page.locator("main")).to_contain_text(words, timeout=10_000)
    on_the_gateways_page(page, "pay")
    page.wait_for_url(TICKET, timeout=10_000)


def test_a_suspected_payment_keeps_the_page_waiting(phone: BrowserContext, platform: RunningPlatform) -> None:
    page = phone.new_page()
    order(page, platform)
    on_the_gateways_page(page, "suspect")
    expect(page.locator("main")).to_contain_text("still checking", timeout=10_000)


def test_who_never_comes_back_finds_his_ticket_where_he_ordered(
    phone: BrowserContext, platform: RunningPlatform
) -> None:
    page = phone.new_page()
    order(page, platform)
    left_open = page.url
    on_the_gateways_page(page, "close")
    expect(page.locator("main")).to_contain_text("closed the browser")
    another = phone.new_page()
    another.goto(left_open)
    another.wait_for_url(TICKET, timeout=10_000)


def test_without_javascript_and_with_every_notice_lost_it_is_asked(
    chromium: Browser, platform: RunningPlatform
) -> None:
    bank = client.Bank(client.Platform(platform.url, platform.bank_url))
    context = pages_of(chromium, PHONE, java_script_enabled=False)
    page = context.new_page()
    bank.misbehave(lose=True)
    try:
        page.goto(f"{platform.url}/S/VANMIEU")
        page.fill("#heads_adult", "1")
        page.locator("#order").click()
        on_the_gateways_page(page, "pay")
        page.wait_for_url(TICKET, timeout=20_000)
    finally:
        bank.misbehave()
    context.close()
