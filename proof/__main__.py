"""`python -m proof`: the whole proof, or a part of it; 0 if nothing was found. Its report goes to docs/proofs/."""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import threading
import time
import traceback
from collections import Counter, deque
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path

from proof import report
from proof.house import ROLES, House
from proof.kills import PROVED_EVERY, Reaper
from proof.month import Month
from proof.people import WEIGHTS, People
from proof.places import PLACES
from proof.races import WAYS, Races
from proof.rest import LAPSES, Rest
from proof.weather import Weather

BATCHES = 10
KILLS_A_BATCH = 50
LANES = (("web",), ("worker", "bank"))
"""Whose processes are ended one after the other; each lane for itself, at the same time."""
FEW, MANY = 6, 10
"""So many live at once: more get more done, and take longer to get ready."""
PARTS = ("model", "month", "kills", "races")


@dataclass
class Run:
    """One run: what was asked of it, and what it came to."""

    seed: str
    acts: int
    kills: int
    rounds: int
    days: int
    minutes: float
    began: float = field(default_factory=time.monotonic)
    figures: dict[str, dict[str, object]] = field(default_factory=dict)
    killed: Counter[tuple[str, str]] = field(default_factory=Counter)
    weathers: Counter[str] = field(default_factory=Counter)
    races: dict[str, int] = field(default_factory=dict)
    struck: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)

    @property
    def took_s(self) -> float:
        return time.monotonic() - self.began

    def over(self) -> bool:
        return self.took_s > self.minutes * 60 or len(self.findings) > 50

    def model(self) -> None:
        """Random acts while the bank misbehaves, compared with the model after each batch."""
        began = time.monotonic()
        with House().opened() as house:
            house.findings = self.findings
            people = People(house, f"{self.seed}/model", MANY if self.acts > 1_000 else FEW)
            people.wishes.append(deque(WEIGHTS))  # each deed once, whatever chance would have it
            rest, weather = Rest(people), Weather(house, self.seed)
            batches = 0
            while people.done < self.acts and not self.over():
                with weather:
                    batch = min(self.acts - people.done, max(150, self.acts // BATCHES))
                    people.live(acts=batch, until=self.over, name=f"batch {batches}")
                house.cache.flushall()  # whoever keeps something there loses it
                rest.comes(listed_late=weather.late)
                batches += 1
                if batches % 3 == 0:
                    people.move_clock(LAPSES)
                say(f"model: {people.done:,} of {self.acts:,} acts, {_rate(people.done, began)}", self.findings)
            rest.comes()
            self.findings += house.complaints()
            self.weathers = weather.seen
            self.figures["model"] = {
                "acts acknowledged": people.done,
                "requests without an answer, asked again": people.unanswered,
                "times at rest, everything compared": batches + 1,
                "charges": len(people.model.charges),
                "transfers at the bank": sum(map(len, people.model.banked.values())),
                "seconds": round(time.monotonic() - began),
            }

    def month(self) -> None:
        """Days, one after the other, with every defect of statements and payouts: each is closed at 0, or held for a reason."""
        began = time.monotonic()
        with House(poll_seconds=0.3).opened() as house:
            house.findings = self.findings
            month = Month(house, self.seed, self.days)
            month.live(self.over, lambda what: say(f"month: {what}", self.findings))
            self.findings += house.complaints()
            self.struck = month.struck
            self.figures["month"] = month.figures() | {"seconds": round(time.monotonic() - began)}

    def kill(self) -> None:
        """`kill -9` at named places while people go on."""
        began = time.monotonic()
        with House().opened() as house:
            house.findings = self.findings
            people = People(house, f"{self.seed}/kills", MANY if self.kills > 100 else FEW)
            rest, reapers = Rest(people), [Reaper(people, self.seed, roles) for roles in LANES]
            people.live(acts=min(100, 4 * self.kills), name="before")
            reapers[-1].lapses()
            reapers[-1].pays_out(100 if self.kills > 100 else 2)
            rest.comes()
            batches = 0
            while (kills := house.killed.total()) < self.kills and not self.over():
                goal = min(self.kills, kills + KILLS_A_BATCH)
                self._reap(people, rest, reapers, goal, f"batch {batches}")
                rest.comes()
                batches += 1
                if batches % 4 == 0:
                    people.move_clock(LAPSES)
                rate = _rate(house.killed.total(), began, 60)
                roles = Counter(role for role, _ in house.killed.elements())
                whom = ", ".join(f"{role} {roles[role]}" for role in ROLES)
                said = f"kills: {house.killed.total():,} of {self.kills:,} ({whom}), {rate}; {people.done:,} acts"
                say(said, self.findings)
            self.findings += house.complaints()
            self.killed = house.killed
            self.figures["kills"] = {
                "kills": house.killed.total(),
                "acts acknowledged meanwhile": people.done,
                "requests without an answer, asked again": people.unanswered,
                "proofs of the books": rest.proofs,
                "times at rest, everything compared": batches + 1,
                "places nobody came to in time": ", ".join(sorted(sum((one.missed for one in reapers), Counter())))
                or "none",
                "seconds": round(time.monotonic() - began),
            }

    def _reap(self, people: People, rest: Rest, reapers: list[Reaper], goal: int, name: str) -> None:
        """Each lane gets its share of the kills, by its number of places."""
        broken: list[BaseException] = []

        def reap(reaper: Reaper) -> None:
            share = ceil(goal * len(reaper.places) / len(PLACES))
            try:
                while reaper.kills < share and not broken and not self.over():
                    if reaper.shoot() and reaper.kills % PROVED_EVERY == 0:
                        rest.prove()
            except BaseException as error:
                broken.append(error)

        threads = [threading.Thread(target=reap, args=(reaper,), daemon=True) for reaper in reapers]
        for thread in threads:
            thread.start()
        people.live(until=lambda: not any(thread.is_alive() for thread in threads), name=name)
        if broken:
            raise broken[0]

    def race(self) -> None:
        """Eight at once, again and again."""
        began = time.monotonic()
        with House(poll_seconds=0.1).opened() as house:
            house.findings = self.findings
            people = People(house, f"{self.seed}/races", WAYS)
            rest, races = Rest(people), Races(people, self.seed)
            house.faults(lose_notices=True)
            for name in races.all:
                for _ in range(races.wanted(name, self.rounds)):
                    if self.over():
                        break
                    races.run(name)
                say(f"races: {name}, {races.rounds[name]:,} rounds of {WAYS}", self.findings)
            rest.comes()
            self.findings += house.complaints()
            self.races = dict(races.rounds)
            self.figures["races"] = {
                "told to try again": races.busy,
                **{f"won: {name}": number for name, number in sorted(races.won.items())},
                "seconds": round(time.monotonic() - began),
            }


def say(what: str, findings: list[str]) -> None:
    print(f"  {what}; {f'{len(findings)} FINDINGS' if findings else 'nothing found'}", flush=True)


def _rate(number: int, began: float, per: int = 1) -> str:
    rate = number / max(time.monotonic() - began, 0.001) * per
    return f"{rate:.0f} {'a second' if per == 1 else 'a minute'}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m proof", description="Proves that no đồng is lost or doubled.")
    parser.add_argument("--seed", default=os.environ.get("SEED") or str(secrets.randbelow(10**6)))
    parser.add_argument("--acts", type=int, default=20_000, help="of the model's part")
    parser.add_argument("--kills", type=int, default=1_000)
    parser.add_argument(
        "--rounds", type=int, default=1_000, help="of each of the great races; a fifth of it of the others"
    )
    parser.add_argument("--days", type=int, default=30, help="of the simulated month")
    parser.add_argument("--minutes", type=float, default=58, help="it ends then, wherever it is")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--report", type=Path, help="folder for the report (default: none is written)")
    asked = parser.parse_args()
    run = Run(asked.seed, asked.acts, asked.kills, asked.rounds, asked.days, asked.minutes)
    print(f"seed {run.seed}", flush=True)
    for name, part in (("model", run.model), ("month", run.month), ("kills", run.kill), ("races", run.race)):
        if name in asked.parts:
            try:
                part()
            except Exception as error:  # what was found until then is said as well
                traceback.print_exc()
                run.findings.append(f"The part {name} ended with {error!r}")
    for what in run.findings[:50]:
        print(f"  ✗ {what}", file=sys.stderr)
    short = report.missing(run)
    for what in short:
        print(f"  ✗ {what}", file=sys.stderr)
    if asked.report:
        print(f"Written: {report.write(run, asked.report)}")
    print(
        f"\n{'Something was found' if run.findings else 'Nothing was found'} after {run.took_s:.0f} s, seed {run.seed}."
    )
    return 1 if run.findings or short else 0


if __name__ == "__main__":
    sys.exit(main())
