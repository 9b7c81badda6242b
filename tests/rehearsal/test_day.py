"""`motcham day` on a real platform: it agrees to the đồng, names what does not, and can be stopped."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import httpx
import pytest

from rehearsal import day, plan
from tests.journeys.conftest import HOUSE, RunningPlatform, falsified, free_port

pytestmark = pytest.mark.timeout(300)
TINY = ("--scale", "0.01", "--mistakes", "0.6")


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPlatform]:
    """A platform of its own, since its clock will be moved by days."""
    made = RunningPlatform(tmp_path_factory.mktemp("city"))
    try:
        made.start()
        yield made
    finally:
        made.clean()


def today(platform: RunningPlatform) -> date:
    return date.fromisoformat(httpx.get(f"{platform.url}/api/v1/public/lots/VM1").json()["day"])


def test_a_day_agrees_with_finance_and_the_city_to_the_dong(city: RunningPlatform, tmp_path: Path) -> None:
    tomorrow, file = today(city) + timedelta(days=1), tmp_path / "run.json"
    done = city.command("day", *TINY, "--seed", "5", "--report", str(file), timeout_s=200)
    assert done.returncode == 0, done.stdout + done.stderr + city.logs()
    assert "to the đồng" in done.stdout
    assert "\r" not in done.stdout, "a file gets lines, not a bar"

    made = plan.make(5, tomorrow, scale=0.01, mistakes=0.6)
    report = json.loads(file.read_text("utf-8"))
    assert report["day"] == tomorrow.isoformat() == today(city).isoformat(), "the next day that had not begun"
    assert report["sales"] == made.expected().sums()
    assert report["events"] == {"planned": len(made.events), "played": len(made.events)}
    assert report["held"]["transfers"] == len(made.expected().held) > 0
    assert report["differences"] == []
    over = {drawer["counted_vnd"] - drawer["expected_vnd"] for drawer in report["drawers"]}
    assert over == {drawer.miscount_vnd for drawer in made.drawers}


def proxy_sales(made: plan.Plan) -> int:
    """How many at Văn Miếu's gate pay with notes that the attendant transfers himself."""
    proxy = {"operator": "vanmieu", "service": "ticketing", "channel": "ATTENDANT_PROXY"}
    return sum(row["sales"] for row in made.expected().sums() if proxy.items() <= row.items())


def test_what_finance_says_otherwise_is_named(city: RunningPlatform) -> None:
    """Notes that an attendant transferred himself, passed off as money from the gateway."""
    tomorrow = today(city) + timedelta(days=1)
    seed = next(seed for seed in range(1000) if proxy_sales(plan.make(seed, tomorrow, scale=0.01, mistakes=0)) == 1)
    args = ("--scale", "0.01", "--mistakes", "0", "--seed", str(seed))
    with falsified(city.url, b'"channel":"ATTENDANT_PROXY"', b'"channel":"GATEWAY"') as address:
        done = city.command("day", *args, "--url", address, timeout_s=200)
    assert done.returncode == 1, done.stdout
    assert "vanmieu, ticketing, CASH, ATTENDANT_PROXY, sales: should have moved by 1, but moved by 0." in done.stderr
    assert "vanmieu, ticketing, CASH, GATEWAY, sales: should have moved by 0, but moved by 1." in done.stderr
    assert "city" not in done.stderr, "the city was told the truth"


def test_a_day_that_is_stopped_says_how_far_it_came(city: RunningPlatform, tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    playing = subprocess.Popen(
        [sys.executable, "-m", "main", "day", "--scale", "0.05", "--report", str(file)],
        cwd=HOUSE,
        env=city.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # what a shell starts with & ignores it
    )
    assert playing.stdout is not None
    while not re.search(r" [1-9]\d* of \d+ events", playing.stdout.readline()):  # so that something was played
        assert playing.poll() is None
    playing.send_signal(signal.SIGINT)
    said, wrong = playing.communicate(timeout=60)
    assert playing.returncode == 130, said + wrong
    assert "Stopped: " in wrong
    assert "events of the day were played" in wrong
    assert "Traceback" not in wrong
    events = json.loads(file.read_text("utf-8"))["events"]
    assert 0 < events["played"] < events["planned"]


def test_a_day_that_has_begun_is_refused_in_one_sentence(city: RunningPlatform) -> None:
    done = city.command("day", "--date", today(city).isoformat())
    assert done.returncode == 1
    assert "has begun there" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_terminal_sees_a_bar_that_fills(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    progress = day.Progress(total=20)
    for done in (0, 10, 20):
        progress.show(plan.at_step(date(2026, 11, 24), 60), done)
    progress.end()
    shown = capsys.readouterr().out.split("\r")
    assert [line.count("█") for line in shown] == [0, 0, 15, 30]
    assert "10:00       10 of 20 events" in shown[2]


def test_a_day_fails_without_its_platform(capsys: pytest.CaptureFixture[str]) -> None:
    away = f"http://localhost:{free_port()}"
    assert day.play(["--url", away, "--bank", away]) == 1
    assert f"{away}/api/v1/public/lots/VM1 should answer, but does not" in capsys.readouterr().err
