"""`motcham story` on a real platform: it passes, it passes again, and it fails where something is wrong."""

from __future__ import annotations

import re
import time

import pytest

from rehearsal import story
from rehearsal.client import NotAsExpected, Page
from tests.journeys.conftest import RunningPlatform, falsified, free_port

pytestmark = pytest.mark.timeout(300)


def test_the_story_plays_and_plays_again_hours_later(platform: RunningPlatform) -> None:
    began = time.monotonic()
    first = platform.command("story", timeout_s=120)
    took = time.monotonic() - began
    assert first.returncode == 0, first.stdout + first.stderr + platform.logs()
    assert took < 60, "a story takes less than a minute"
    for scene in (
        "Heritage",
        "gate of Văn Miếu",
        "motorbike lot",
        "car park",
        "Cash",
        "lost tablet",
        "Finance",
        "city",
    ):
        assert scene in first.stdout
    assert "M1 to M10" in first.stdout

    plates = {
        re.sub(r"[-. ]", "", found) for found in re.findall(r"\b\d\d-?[A-Z]\d?[- ]?\d{3}\.?\d{2}\b", first.stdout)
    }
    assert plates
    for log in platform.data_dir.glob("log/*.log"):
        said = re.sub(r"[-. ]", "", log.read_text(errors="replace"))
        assert not [plate for plate in plates if plate in said], f"{log.name} names plates"

    again = platform.command("story", "--clock", timeout_s=180)
    assert again.returncode == 0, again.stdout + again.stderr + platform.logs()
    assert "Eight hours of a car" in again.stdout
    assert "300,000 VND" in again.stdout


def test_the_story_fails_at_the_first_thing_that_is_wrong(platform: RunningPlatform) -> None:
    with falsified(platform.url, b'"price_vnd":70000', b'"price_vnd":71000') as address:
        done = platform.command("story", "--url", address)
    assert done.returncode == 1
    assert done.stderr.strip() == ("✗ The price of an adult at Văn Miếu: expected 70,000 VND, but got 71,000 VND."), (
        done.stdout + done.stderr
    )


def test_the_story_fails_without_its_bank(platform: RunningPlatform) -> None:
    away = f"http://localhost:{free_port()}"
    done = platform.command("story", "--bank", away)
    assert done.returncode == 1
    assert away in done.stderr
    assert "does not" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_story_fails_without_its_platform() -> None:
    away = f"http://localhost:{free_port()}"
    assert story.play(["--url", away, "--bank", away]) == 1


def test_a_page_is_read_as_a_browser_without_javascript_reads_it() -> None:
    page = Page(
        "http://x/S/A",
        '<h1 id="a">1 <b>2</b>\n 3</h1><form method="post" action="/go"><input type="hidden" name="key" value="k">'
        '<input type="checkbox" name="off" value="1"><input type="radio" name="r" value="1" checked>'
        '<select name="day"><option value="1">a<option value="2" selected>b</select><button name="act">ok</button></form>'
        '<p id="sum">1.234.000&nbsp;₫</p><div data-live="/events"></div>',
    )
    assert page.text("a") == "1 2 3"
    assert page.amount_vnd("sum") == 1_234_000
    assert page.live == "/events"
    form = page.form("key", "day")
    assert (form.action, form.method) == ("/go", "post")
    assert form.values == {"key": "k", "r": "1", "day": "2"}
    with pytest.raises(NotAsExpected, match="should have a form"):
        page.form("nothing")
