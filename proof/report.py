"""The report of a run, as Markdown: figures, seed, commit, what the machine was, how often each place was ended at."""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from proof.house import HOME
from proof.places import PLACES
from proof.races import WAYS, Races

if TYPE_CHECKING:
    from proof.__main__ import Run


def missing(run: Run) -> list[str]:
    """What the parts that were run did not reach."""
    found = []
    acts = run.figures.get("model", {}).get("acts acknowledged", 0)
    assert isinstance(acts, int)
    if "model" in run.figures and acts < run.acts:
        found.append(f"Only {acts:,} of {run.acts:,} acts were done.")
    days = run.figures.get("month", {}).get("days", 0)
    assert isinstance(days, int)
    if "month" in run.figures and days < run.days:
        found.append(f"Only {days} of {run.days} days were lived.")
    if "kills" in run.figures and sum(run.killed.values()) < run.kills:
        found.append(f"Only {sum(run.killed.values()):,} of {run.kills:,} kills were done.")
    if "kills" in run.figures and run.kills >= len(PLACES):
        never = [f"{place.role} {place.name}" for place in PLACES if not run.killed[place.role, place.name]]
        found += [f"Nobody was ended at {place}." for place in never]
    found += [f"Only {n:,} rounds of {name}." for name, n in run.races.items() if n < Races.wanted(name, run.rounds)]
    return found


def write(run: Run, folder: Path) -> Path:
    """Writes the report of today; a later run of the same day replaces it."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{datetime.now(UTC):%Y-%m-%d}.md"
    file.write_text("\n".join(_lines(run)) + "\n", "utf-8")
    return file


def _lines(run: Run) -> list[str]:
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    lines = [
        f"# No đồng lost, none doubled: {datetime.now(UTC):%d/%m/%Y}",
        "",
        f"Seed `{run.seed}`, commit `{_commit()}`, {run.took_s / 60:.0f} minutes on {os.cpu_count()} virtual cores with"
        f" {memory_gb:.0f} GB; database in memory where there is room, fsync on. Again: `make proof SEED={run.seed}`.",
        "",
        f"**{'Nothing was found.' if not run.findings else f'{len(run.findings)} findings, see below.'}**"
        + (f" Not reached: {' '.join(missing(run))}" if missing(run) else ""),
        "",
        "Real PostgreSQL, two web processes, a worker and the practice bank, people over HTTP. At rest the model, finance,",
        "the spreadsheets, the city, the drawers and the bank's balances must be the same to the đồng, the books prove",
        "(M1-M10), no work is due or parked, and nobody was ever answered 500. Sent in time is a day's net of a payee that was",
        "payable, if the bank had accepted or debited a payout of it by nine on the first working day after it; what the bank",
        "had rejected by then is counted apart.",
    ]
    for part, figures in run.figures.items():
        lines += ["", f"## {part}", "", "| what | figure |", "|---|--:|"]
        lines += [
            f"| {name} | {value:,} |" if isinstance(value, int) else f"| {name} | {value} |"
            for name, value in figures.items()
        ]
        if part == "model":
            lines += ["", "| what went wrong at the bank | times |", "|---|--:|"]
            lines += [f"| {name} | {number} |" for name, number in sorted(run.weathers.items())]
        if part == "month":
            lines += ["", "| what the bank did wrong, also two things at once | times |", "|---|--:|"]
            lines += [f"| {name} | {number} |" for name, number in sorted(run.struck.items())]
        if part == "kills":
            lines += ["", "| process | ended at | times |", "|---|---|--:|"]
            lines += [f"| {p.role} | `{p.name}` | {run.killed[p.role, p.name]} |" for p in PLACES]
        if part == "races":
            lines += ["", f"| race of {WAYS} | rounds |", "|---|--:|"]
            lines += [f"| {name} | {number:,} |" for name, number in run.races.items()]
    if run.findings:
        lines += ["", "## Findings", "", *(f"- {what}" for what in run.findings[:50])]
    return lines


def _commit() -> str:
    said = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=HOME, capture_output=True, text=True, check=False
    )
    return said.stdout.strip() or "unknown"
