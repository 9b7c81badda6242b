"""What the tablet understands of a scanned or typed code is what the server would."""

import json
import mimetypes
import shutil
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path

import pytest_asyncio
from playwright.async_api import Page, Route, async_playwright

from foundation.check_symbols import ALPHABET, with_checks
from foundation.code import CodeKeys, Kind, TicketCode, as_url

HOUSE = Path(__file__).resolve().parents[2]
KEYS = CodeKeys({1: bytes(range(32))}, "test")


@pytest_asyncio.fixture
async def page() -> AsyncIterator[Page]:
    """A blank page in a real browser that can import the tablet's modules straight from their folder."""

    async def serve(route: Route) -> None:
        path = HOUSE / "tablet" / route.request.url.rpartition("/")[2]
        if path.suffix == ".js":
            await route.fulfill(body=path.read_text("utf-8"), content_type=mimetypes.types_map[".js"])
        else:
            await route.fulfill(body="<!doctype html><title>blank</title>", content_type="text/html")

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        found = await browser.new_page()
        await found.route("**/*", serve)
        await found.goto("http://tablet.test/")
        yield found
        await browser.close()


async def understood(page: Page, texts: list[str]) -> list[dict[str, str]]:
    script = f"import('/scan.js').then((scan) => {json.dumps(texts)}.map(scan.understand))"
    found: list[dict[str, str]] = await page.evaluate(script)
    return found


async def test_the_kind_of_every_signed_code_is_read_from_its_first_letters(page: Page) -> None:
    codes = {
        kind: KEYS.sign(
            TicketCode(
                kind=kind, generation=1, place=7, day=date(2026, 11, 21), product=1, heads=1, serial=bytes(10),
                window=96 if kind is Kind.TICKET else 0,
            )
        )
        for kind in Kind
    }  # fmt: skip
    urls = [as_url("https://motcham.vn", code) for code in codes.values()]
    read = await understood(page, urls)
    assert [one["kind"] for one in read] == [kind.name.lower() for kind in codes]
    assert [one["text"] for one in read] == list(codes.values())


async def test_a_short_code_is_known_by_its_check_symbol(page: Page) -> None:
    right = [code for lead in ALPHABET if (code := with_checks(f"{lead}CDEFGHJK", 1))]
    wrong = [f"{ALPHABET[(ALPHABET.index(code[0]) + 1) % 30]}{code[1:]}" for code in right]
    assert {one["type"] for one in await understood(page, right)} == {"short"}
    assert {one["type"] for one in await understood(page, wrong)} == {"mistyped"}


async def test_a_short_code_may_be_typed_in_any_way(page: Page) -> None:
    code = next(code for lead in ALPHABET if (code := with_checks(f"{lead}CDEFGHJK", 1)))
    for typed in (code.lower(), f"{code[:5]} {code[5:]}", f" {code[:5]}-{code[5:]} "):
        assert await understood(page, [typed]) == [{"type": "short", "text": code}]


async def test_plates_and_foreign_codes_are_neither(page: Page) -> None:
    read = await understood(page, ["29-B1 123.45", "30A12345", "https://example.org/pay", "AE" + "A" * 45])
    assert {one["type"] for one in read} == {"other"}
