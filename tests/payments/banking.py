"""A bank for tests that have none: it writes the statements of an operator's account as its lines come."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from trade import Trade

from foundation import clock
from loadtests import statements
from loadtests.statements import Day, Line
from payments import bank_statement, matching
from payments.bank_statement import Taken, TakenIn


@dataclass
class Statements:
    """The statements of one account, a day at a time. What it tells is up to the test."""

    trade: Trade
    number: int = 0
    balance_vnd: int = 0
    days: list[Day] = field(default_factory=list)

    @property
    def today(self) -> date:
        return clock.hanoi_day(self.trade.now)

    def line(self, ref: str, amount_vnd: int, *, text: str = "", day: date | None = None, **said: Any) -> Line:
        day = day or self.today
        return Line(ref, amount_vnd, day, day, text or f"MBVCB {ref}", "NGUYEN VAN THU", "0011009998887", **said)

    def day(self, *lines: Line, day: date | None = None, opening_vnd: int | None = None) -> Day:
        """The next statement; `opening_vnd`: one that does not continue the one before."""
        self.number += 1
        opening = self.balance_vnd if opening_vnd is None else opening_vnd
        made = Day(self.trade.account[1], day or self.today, self.number, opening, lines)
        self.balance_vnd = made.closing_vnd
        self.days.append(made)
        return made

    async def load(
        self, *days: Day | str, who: UUID | None = None, name: str = "saoke.xml", profile: str = "", run: bool = True
    ) -> TakenIn:
        """Gives these in as one camt.053 file, or a file as it is; then matches."""
        given = (
            days[0]
            if isinstance(days[0], str)
            else "".join(statements.camt053([d for d in days if isinstance(d, Day)]))
        )
        with tempfile.NamedTemporaryFile() as file:
            file.write(given.encode())
            file.flush()
            done = await bank_statement.take_in(
                self.trade.database,
                self.trade.sealer,
                self.trade.operator_id,
                Path(file.name),
                name=name,
                profile=profile,
                staff_id=who,
                now=self.trade.now,
            )
        if run:
            await self.match()
        return done

    async def match(self) -> matching.Ran:
        return await matching.run(self.trade.database, self.trade.sealer, self.trade.operator_id)

    async def open(self) -> list[Any]:
        """The open items, lines first."""
        async with self.trade.database.transaction(self.trade.operator_id) as tx:
            return await tx.rows("select * from payments.open_item order by side, day, bank_ref, amount_vnd")


def only(done: TakenIn) -> Taken:
    (taken,) = done.statements
    return taken


def later(moment: datetime, days: int = 1) -> datetime:
    return moment + timedelta(days=days)
