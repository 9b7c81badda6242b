"""A bank for tests that have none: it writes the statements of an operator's account as its lines come."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from trade import Trade

from foundation import clock
from loadtests import statements
from loadtests.statements import Day, Line
from payments import bank_statement, day_close, matching
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

    def day(
        self, *lines: Line, day: date | None = None, opening_vnd: int | None = None, first_day: date | None = None
    ) -> Day:
        """The next statement; `opening_vnd`: one that does not continue the one before; `first_day`: over several days."""
        self.number += 1
        opening = self.balance_vnd if opening_vnd is None else opening_vnd
        made = Day(self.trade.account[1], day or self.today, self.number, opening, lines, first_day)
        self.balance_vnd = made.closing_vnd
        self.days.append(made)
        return made

    async def load(
        self,
        *days: Day | str,
        who: UUID | None = None,
        name: str = "saoke.xml",
        profile: str = "",
        run: bool = True,
        **more: Any,
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
                **({"now": self.trade.now} | more),
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


async def the_bank_tells(trade: Trade, day: date) -> None:
    """The bank's statement of the day that is to be closed next, with every movement up to it that none has told of yet."""
    async with trade.database.transaction(trade.operator_id) as tx:
        account = "/".join(trade.account)
        last = await bank_statement.head(tx, account)
        if day != await day_close.next_day(tx):
            return
        moved = await tx.rows(
            "select m.bank_ref, m.amount_vnd, foundation.hanoi_day(m.at) as day from payments.movements($1) m"
            " where m.bank_account = $2 and m.bank_ref <> '' and foundation.hanoi_day(m.at) <= $3 and not exists"
            " (select from payments.claim c where c.operator_id = $1 and c.kind = m.kind and c.movement_id = m.id)",
            trade.operator_id,
            account,
            day,
        )
    if last and last["day"] >= day:
        return
    bank = Statements(trade, number=day.toordinal() % 10_000, balance_vnd=last["closing_vnd"] if last else 0)
    lines = {
        (row["bank_ref"], row["amount_vnd"]): bank.line(row["bank_ref"], row["amount_vnd"], day=row["day"])
        for row in moved
    }
    over = clock.start_of_day(day + timedelta(days=1))
    taken = only(await bank.load(bank.day(*lines.values(), day=day), now=max(trade.now, over)))
    assert taken.state in ("accepted", "known"), taken  # somebody else may have told of it at the same moment


DEFECTS = (
    ("claim_unfit", "update payments.claim set line_vnd = line_vnd + 1, moved_vnd = moved_vnd + 1 where line_vnd > 0"),
    ("claim_unfit", "update payments.claim set movement_id = gen_random_uuid() where kind = 'receipt'"),
    ("claim_unfit", "update payments.claim set bank_account = '970436/9' where kind = 'debit'"),
    ("claim_unfit", "update payments.claim set statement_id = gen_random_uuid() where position is not null"),
    ("matched_differs", "delete from payments.claim where kind = 'debit'"),
    ("matched_differs", "delete from payments.matched_sum where template = 'line.credit'"),
    ("matched_differs", "delete from payments.matched_sum where template = 'line.less'"),
    ("receivable_differs", "delete from payments.claim where kind = 'receipt'"),
    (
        "event_without_journal",
        "insert into payments.matched_sum select operator_id, event_id, template, account, day, 9, 5,"
        " effective_at from payments.matched_sum where template = 'line.credit'",
    ),
    ("statement_broken", "delete from payments.statement_line where position = 0"),
    ("statement_broken", "update payments.statement_line set amount_vnd = amount_vnd + 1 where position = 0"),
    ("statement_broken", "update payments.bank_statement set closing_vnd = closing_vnd + 1"),
    (
        "statement_broken",
        "update payments.bank_statement set opening_vnd = opening_vnd + 7, closing_vnd = closing_vnd + 7"
        " where id = (select id from payments.bank_statement order by id desc limit 1)",
    ),
    ("statement_broken", "update payments.statement_line set day = day - 1 where position = 0"),
    ("statement_missing", "delete from payments.bank_statement"),
    ("statement_missing", "delete from payments.statement_file"),
    ("statement_missing", "update payments.statement_line set statement_id = gen_random_uuid() where position = 1"),
    ("statement_missing", "update payments.statement_text set statement_id = gen_random_uuid() where block = 0"),
    ("statement_missing", "update payments.matched_statement set statement_id = gen_random_uuid()"),
    ("statement_missing", "update payments.matched_statement set event_id = gen_random_uuid()"),
    ("statement_missing", "delete from payments.matching_event where act = 'run'"),
    (
        "statement_missing",
        "insert into payments.open_item select operator_id, gen_random_uuid(), 'line', statement_id, 99, null, null,"
        " bank_account, '', 1, day, at from payments.bank_statement join payments.claim using (operator_id, bank_account) limit 1",
    ),
)
"""What a vandal with all rights does to statements and matches, and the rule that must name it."""

WRONG = "(select statement_id from payments.statement_withdrawal)"
OF_WITHDRAWALS = (
    ("withdrawal_unfit", "delete from payments.book_request"),
    ("withdrawal_unfit", "update payments.book_request set state = 'refused'"),
    ("withdrawal_unfit", "update payments.statement_withdrawal set day = day + 1"),
    ("withdrawal_unfit", f"update payments.claim set statement_id = {WRONG} where position = 0"),
    ("withdrawal_unfit", "update payments.statement_withdrawal set recorded_at = clock_timestamp()"),
    (
        "withdrawal_unfit",
        "insert into payments.open_item (operator_id, id, side, statement_id, position, bank_account, bank_ref, amount_vnd,"
        " day, since) select operator_id, gen_random_uuid(), 'line', statement_id, position, bank_account, bank_ref, amount_vnd,"
        f" day, now() from payments.statement_line where statement_id = {WRONG}",
    ),
    ("statement_broken", "delete from payments.statement_withdrawal"),
    ("statement_broken", f"delete from payments.statement_line where statement_id = {WRONG}"),
)
"""The same to a statement that was withdrawn, and to those who wanted it, before its day was closed."""
