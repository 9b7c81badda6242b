"""What every journey in a browser looks at: complaints of the browser, accessibility, and pictures for people."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import zxingcpp
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Locator, Page

WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
PHONE = {"width": 390, "height": 844}
TABLET = {"width": 834, "height": 1112}
DESK = {"width": 1280, "height": 900}


def pages_of(browser: Browser, size: dict[str, int], **traits: Any) -> BrowserContext:
    """A fresh profile with a screen of that size, in English unless said otherwise."""
    return browser.new_context(viewport=size, **({"locale": "en-GB"} | traits))  # type: ignore[arg-type]


class Watched:
    """Collects what the browser complains about on the pages of a profile: scripts, styles, the content policy."""

    def __init__(self, context: BrowserContext) -> None:
        self.complaints: list[str] = []
        context.on("page", self._watch)

    def _watch(self, page: Page) -> None:
        page.on("pageerror", lambda error: self.complaints.append(f"{page.url}: {error}"))
        page.on("console", self._hear)

    def _hear(self, said: ConsoleMessage) -> None:
        if said.type == "error":
            self.complaints.append(f"{said.location.get('url')}: {said.text}")

    def are_quiet(self, *allowed: str) -> None:
        """Nothing was complained about, except for what contains one of `allowed`."""
        left = [said for said in self.complaints if not any(words in said for words in allowed)]
        assert not left, left


def is_accessible(page: Page) -> None:
    """Axe finds nothing against WCAG 2.2 AA."""
    found = Axe().run(page, options={"runOnly": {"type": "tag", "values": WCAG}, "resultTypes": ["violations"]})
    assert not found.violations_count, f"{page.url}\n" + "\n".join(
        f"{one['id']}: {one['help']}: {[node['html'][:160] for node in one['nodes']][:3]}"
        for one in found.response["violations"]
    )


def fits(page: Page) -> None:
    """Nothing makes the page wider than the screen."""
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0, f"{page.url} is {wide} px wider than the screen"


def shot(page: Page, name: str) -> None:
    """A picture for people to look at, into the folder named by SHOTS."""
    if folder := os.environ.get("SHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=Path(folder) / f"{page.viewport_size['width']}-{name}.png", full_page=True)  # type: ignore[index]


def looked_at(page: Page, name: str) -> None:
    """A screen as a person meets it: accessible, fitting, and kept as a picture."""
    shot(page, name)
    fits(page)
    is_accessible(page)


def decoded(drawn: Locator) -> str:
    """What a camera reads from the code on the screen."""
    drawn.scroll_into_view_if_needed()
    found = zxingcpp.read_barcode(Image.open(io.BytesIO(drawn.screenshot())))
    assert found is not None, "no code can be read from the screen"
    text: str = found.text
    return text
