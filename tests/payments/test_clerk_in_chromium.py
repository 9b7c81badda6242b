"""The clerk's morning in a real Chromium, with the keyboard alone: a hundred lines that are clear, five that are not."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import asyncpg
import pytest
import uvicorn
from banking import Statements
from fastapi import FastAPI
from playwright.async_api import Browser, Page, async_playwright
from trade import Trade

from foundation.clock import hanoi_day
from payments.proof_of_cash import prove_cash
from tests.journeys.conftest import ARGUMENTS, chromium_path
from tests.journeys.screens import DESK

pytestmark = pytest.mark.browser
MOST_KEYS = 60


class Clerk:
    """Somebody at a keyboard, whose strokes are counted."""

    def __init__(self, page: Page) -> None:
        self.page, self.strokes = page, 0

    async def press(self, *keys: str) -> None:
        for key in keys:
            self.strokes += 1
            await self.page.keyboard.press(key)

    async def presses_and_waits(self, *keys: str) -> None:
        """The last stroke sends a form; the page that answers is looked at next."""
        await self.press(*keys[:-1])
        async with self.page.expect_navigation(wait_until="load"):
            await self.press(keys[-1])
        await self.ready()

    async def ready(self) -> None:
        """The page's script has taken the focus to the first row."""
        await self.page.locator("tbody tr:focus").wait_for()

    async def row(self) -> str:
        """What stands in the row that has the focus."""
        return await self.page.evaluate("document.activeElement.closest('tr')?.innerText ?? ''")


@pytest.fixture
async def address(app: FastAPI) -> AsyncIterator[str]:
    """The app at a real port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(app, port=port, lifespan="off", log_level="warning"))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.02)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    await serving


@pytest.fixture
async def chromium() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium_path(), headless=True, args=ARGUMENTS)
        yield browser
        await browser.close()


async def test_a_hundred_clear_lines_and_five_exceptions_take_at_most_sixty_strokes(
    trade: Trade, address: str, chromium: Browser, admin: asyncpg.Connection
) -> None:
    bank = Statements(trade)
    for n in range(100):
        await trade.transfers("?", 20_000 + 7 * n, bank_ref=f"FT{n:03}", apply=False)
    for ref, amount_vnd in (("SHORT", 1_000), ("TWICE1", 5_000), ("TWICE2", 5_000)):
        await trade.transfers("?", amount_vnd, bank_ref=ref, apply=False)
    who = (await trade.colleague()).staff_id
    clear = [bank.line("", 20_000 + 7 * n, text=f"khach {n}") for n in range(100)]  # the bank left its references out
    unclear = [
        bank.line("SHORT", 990, text="thieu 10 dong"),
        bank.line("LAI", 77, text="lai tien gui"),
        bank.line("NEW", 9_000, text="khong ro"),
        bank.line("", 5_000, text="mot trong hai"),
        bank.line("TRANHCHAP", -3_000, text="tranh chap"),
    ]
    await bank.load(bank.day(*clear, *unclear), who=who)
    assert len(await bank.open()) == 208

    page = await (await chromium.new_context(viewport=DESK, locale="en-GB")).new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    await logs_in(page, address)
    await page.goto(f"{address}/finance/reconciliation")
    clerk = Clerk(page)
    await clerk.ready()

    await clerk.presses_and_waits("a")  # all that are sure
    assert await page.locator("tbody tr").count() == 5
    for _ in range(5):
        said = await clerk.row()
        if "990" in said:  # ten đồng less: rounding, of this line and the receipt that its reference names
            await clerk.presses_and_waits("/")
            await clerk.press(" ", "w", "r")
            await clerk.presses_and_waits("Enter")
        elif "lai tien gui" in said:
            await clerk.press("w", "t", "t")  # the second that begins so: the bank's interest
            await clerk.presses_and_waits("Enter")
        elif "khong ro" in said:
            await clerk.presses_and_waits("b")
        elif "mot trong hai" in said:
            await clerk.presses_and_waits("/")
            await clerk.press(" ")
            await clerk.presses_and_waits("m")
        else:
            await clerk.press("n", "t")  # the bank is asked
            await clerk.presses_and_waits("Enter")
    assert complaints == []
    assert clerk.strokes <= MOST_KEYS, clerk.strokes
    left = [(item["bank_ref"], item["name"]) for item in await bank.open()]
    assert left in ([("TRANHCHAP", "bank_asked"), (f"TWICE{n}", None)] for n in (1, 2))
    async with trade.database.transaction(trade.operator_id) as tx:
        proof = await prove_cash(tx, hanoi_day(trade.now))
    assert (proof.difference_vnd, proof.hindrance()) == (0, None)


@pytest.mark.parametrize("has_script", [True, False])
async def test_what_the_clerk_chose_and_typed_is_still_there_after_a_refusal_and_the_focus_on_it(
    trade: Trade, address: str, chromium: Browser, has_script: bool
) -> None:
    bank = Statements(trade)
    for n in range(2):
        await trade.transfers("?", 5_000 + n, bank_ref=f"FT{n}", apply=False)
    await bank.load(bank.day(bank.line("GOP", 10_990)), who=(await trade.colleague()).staff_id)
    context = await chromium.new_context(viewport=DESK, locale="en-GB", java_script_enabled=has_script)
    page = await context.new_page()
    await logs_in(page, address)
    (line,) = [item["id"] for item in await bank.open() if item["side"] == "line"]
    await page.goto(f"{address}/finance/reconciliation/items/{line}")
    for box in await page.locator("tbody input").all():
        await box.check()
    await page.fill("[name=reason] >> nth=0", "phí gộp")
    await page.click("text=Match what is chosen")
    refused = page.locator("#refused:focus [role=alert]")
    assert "differs by 989" in await refused.inner_text()
    assert await page.locator("tbody input:checked").count() == 2
    assert await page.input_value("[name=reason] >> nth=0") == "phí gộp"
    await page.select_option("[name=difference]", "fee")
    await page.click("text=Match what is chosen")
    assert "A difference of 989" in await refused.inner_text(), "what the bank kept is not more"
    assert await page.input_value("[name=difference]") == "fee"
    await page.select_option("[name=difference]", "rounding")
    await page.click("text=Match what is chosen")
    await page.wait_for_url("**/finance/reconciliation?side=line#items")
    assert await bank.open() == []


async def logs_in(page: Page, address: str) -> None:
    await page.goto(f"{address}/finance/login")
    await page.fill("[name=login]", "ketoan@vanmieu")
    await page.fill("[name=password]", "mot-cham-demo")
    await page.press("[name=password]", "Enter")
    await page.wait_for_url("**/finance/")
