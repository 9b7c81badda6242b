"""Payouts in tests: a bank that answers as it is told, the people of an operator, and the worker."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, cast
from uuid import UUID, uuid4

import asyncpg
from banking import the_bank_tells
from trade import Trade

from foundation import clock, outbox
from payments import book_request, contract, day_close, payee_account, payout, settlement
from payments.gateway import GatewaySilent, PayoutAnswer, PayoutFate, PayoutFileRefused, PayoutLine, PayoutReport


@dataclass
class Bank:
    """A bank by the contract of `Paying`. `silent`: it acts and does not answer; `deaf`: it does not even act."""

    fate: PayoutFate = "accepted"
    fates: dict[UUID, PayoutFate] = field(default_factory=dict)
    files: Counter[bytes] = field(default_factory=Counter)
    leaves_out: set[UUID] = field(default_factory=set)
    silent: bool = False
    deaf: bool = False
    refuses: str | None = None
    run: UUID = field(default_factory=uuid4)
    ids: list[UUID] = field(default_factory=list)

    async def pay_out(self, file: bytes) -> PayoutReport:
        if self.deaf:
            raise GatewaySilent()
        if self.refuses:
            raise PayoutFileRefused(why=self.refuses)
        self.files[file] += 1
        if self.silent:
            raise GatewaySilent()
        return self._report()

    async def payout_report(self, file: bytes) -> PayoutReport | None:
        if self.silent or self.deaf:
            raise GatewaySilent()
        return self._report() if self.files[file] else None

    def _report(self) -> PayoutReport:
        said = {id: PayoutAnswer(self.fates.get(id, self.fate)) for id in self.ids if id not in self.leaves_out}
        return PayoutReport(self.run, None, None, said)


@dataclass
class Desk:
    """The people of an operator, his payees with their bank details, and the worker."""

    trade: Trade
    people: dict[str, UUID]
    payees: dict[str, UUID]
    bank: Bank = field(default_factory=Bank)

    @classmethod
    async def of(cls, trade: Trade) -> Desk:
        async with trade.database.transaction(trade.operator_id) as tx:
            rows = await tx.rows("select id, login from foundation.staff where operator_id = $1", tx.operator_id)
            payees = {each.kind: each.id for each in await contract.payees(tx)}
        return cls(trade, {row["login"]: row["id"] for row in rows}, payees)

    async def does(self, act: Callable[..., Awaitable[Any]], *args: object, **said: object) -> Any:
        async with self.trade.database.transaction(self.trade.operator_id) as tx:
            return await act(tx, *args, **said, now=self.trade.now)

    async def details(self, kind: str, *, account: str = "19034567890", told: str = "gọi điện") -> int:
        version: int = await self.does(
            payout.change_details,
            self.payees[kind],
            bin="970436",
            account=account,
            owner_name=f"DON VI {kind.replace('_', ' ').upper()}",
            contact="0912 345 678",
            staff_id=self.people["ketoan"],
        )
        await self.does(payee_account.agree, self.payees[kind], version, staff_id=self.people["quanly"], told=told)
        return version

    async def trusts_accounts(self, who: str = "quanly") -> None:
        """Says of every account that a payout came back from that it is right."""
        for each in await self.does(payout.owed):
            if each.held == "came_back":
                said = {"staff_id": self.people[who], "reason": "asked, and it is right"}
                await self.does(payee_account.trust_again, each.payee.id, each.details.version, **said)

    async def settled(self, day: date) -> None:
        trade = self.trade
        async with trade.database.transaction(trade.operator_id, isolation="repeatable read") as tx:
            assert await settlement.settle_day(tx, day, now=trade.now)

    async def closes(self, day: date, who: str = "ketoan") -> bool:
        """Closes a day when it is over."""
        over = clock.start_of_day(day + timedelta(days=1))
        await the_bank_tells(self.trade, day)
        return await day_close.close_day(
            self.trade.database, self.trade.operator_id, day, staff_id=self.people[who], now=over
        )

    async def asks(self, day: date, who: str = "ketoan", reason: str = "quên một phiếu") -> UUID:
        return cast(UUID, await self.does(book_request.ask_to_reopen, day, staff_id=self.people[who], reason=reason))

    async def agrees(self, request: UUID, who: str = "quanly") -> bool:
        return await book_request.agree(
            self.trade.database, self.trade.operator_id, request, staff_id=self.people[who], now=self.trade.now
        )

    async def reopens(self, day: date) -> None:
        assert await self.agrees(await self.asks(day))

    async def locks(self, month: date) -> None:
        assert await self.agrees(await self.does(book_request.propose_lock, month, staff_id=self.people["ketoan"]))

    async def makes(self, who: str = "ketoan") -> UUID:
        id: UUID = await self.does(payout.make, staff_id=self.people[who])
        async with self.trade.database.transaction(self.trade.operator_id) as tx:
            rows = await tx.rows("select id from payments.payout where run_id = $1", id)
        self.bank.ids, self.bank.run = [row["id"] for row in rows], id
        return id

    async def approves(self, id: UUID, who: str = "quanly", digest: str | None = None) -> None:
        async with self.trade.database.transaction(self.trade.operator_id) as tx:
            file = await tx.value("select file from payments.payout_run where id = $1", id)
        await self.does(
            payout.approve, id, staff_id=self.people[who], digest=digest or hashlib.sha256(file).hexdigest()
        )

    async def works(self) -> None:
        database = self.trade.database
        await database.execute("update foundation.due set due_at = clock_timestamp() where kind = 'payments.payout'")
        for claim in await outbox.claim(database):
            if claim.kind == payout.PAYOUT:
                await payout.pursue(database, self.bank, claim)
                async with database.transaction(claim.operator_id) as tx:
                    await outbox.done(tx, claim)

    async def looks_again(self, admin: asyncpg.Connection) -> None:
        await admin.execute("update payments.payout_run set look_at = now() - interval '1 s' where look_at is not null")
        await payout.look(self.trade.database)
        await self.works()

    async def lists(self, id: UUID, amount_vnd: int, ref: str, *, returns: bool = False) -> bool:
        line = PayoutLine(id, "/".join(self.trade.account), ref, amount_vnd, returns, self.trade.now)
        return await payout.told(self.trade.database, self.trade.operator_id, line)


DEFECTS = (
    (
        "sale_forgotten",
        "with gone as (delete from payments.settlement_journal) update payments.settlement set open_from = '2100-01-01'",
    ),
    ("settled_differs", "update payments.settlement_journal set amount_vnd = amount_vnd + 1"),
    ("divided_differs", "update payments.settlement_item set amount_vnd = amount_vnd + 1 where kind = 'share'"),
    ("divided_differs", "delete from payments.settlement_item where kind = 'share' and amount_vnd = 28000"),
    ("settlement_differs", "update payments.settlement set sold_vnd = sold_vnd + 1"),
    ("statement_differs", "update payments.payee_statement set gross_vnd = gross_vnd + 1, net_vnd = net_vnd + 1"),
    ("statement_differs", "update payments.held_back set amount_vnd = amount_vnd + 1"),
    ("statement_differs", "update payments.payee_adjustment set level_vnd = level_vnd + 1 where kind = 'notes'"),
    ("due_differs", "update payments.due_item set netted_vnd = netted_vnd - 1"),
    (
        "payable_unexplained",
        "update payments.transfer set amount_vnd = amount_vnd + 1 where credit like 'payee_payable:%'",
    ),
    ("payable_unexplained", "update payments.payout set state = 'draft' where state = 'settled'"),
    ("payout_differs", "update payments.payout_day set net_vnd = net_vnd + 1"),
    ("payout_differs", "update payments.payout_day set released = true"),
    ("payout_differs", "update payments.payout_day set payee_id = gen_random_uuid()"),
    ("payout_differs", "update payments.payout set debited_vnd = amount_vnd"),
    ("payout_unfit", "update payments.payout_run set file = file || ' '"),
    ("payout_unfit", "update payments.payout_run set approved_by = null, approved_at = null"),
    ("payout_unfit", "update payments.payee_account set entered_by = agreed_by, agreed_by = entered_by"),
    ("payout_unfit", "update payments.payee_account set agreed_at = usable_from"),
    ("payout_unfit", "update payments.payee_account set usable_from = usable_from + interval '3 days'"),
    ("payout_unfit", "update payments.payout set approved_at = null"),
    (
        "statement_differs",  # what was held back ought to have been released by then
        "insert into payments.settlement select operator_id, day + 30, 0, 0, 0, open_from, digest, made_at, recorded_at"
        " from payments.settlement order by day desc limit 1",
    ),
)
"""What a vandal might do to settlements and payouts, by the rule of the books that names it."""

OF_CLOSES = (
    ("closed_day_differs", "update payments.day_close set journals = journals + 1 where number = 1"),
    (
        "closed_day_differs",
        "update payments.day_balance set debits_vnd = debits_vnd + 1, closing_vnd = closing_vnd + 1",
    ),
    ("closed_day_differs", "update payments.day_balance set closing_vnd = closing_vnd - 1 where number = 1"),
    ("closed_day_differs", "delete from payments.day_balance where number = 2"),
    ("close_out_of_turn", "delete from payments.day_reopening"),
    ("close_out_of_turn", "update payments.day_close set number = 3 where number = 2"),
    ("close_out_of_turn", "update payments.day_reopening set recorded_at = clock_timestamp()"),
    ("close_out_of_turn", "update payments.day_reopening set day = day - 1"),
    ("close_out_of_turn", "update payments.book set closed_through = closed_through + 1"),
    ("close_out_of_turn", "update payments.book set closed_through = null"),
    ("close_out_of_turn", "delete from payments.day_close where number = 2"),
    ("close_out_of_turn", "delete from payments.day_close where day = (select min(day) + 1 from payments.day_close)"),
    ("reopening_unfit", "update payments.day_reopening set agreed_by = asked_by, asked_by = agreed_by"),
    ("reopening_unfit", "update payments.day_reopening set reason = 'khác'"),
    ("reopening_unfit", "delete from payments.book_request where kind = 'reopen'"),
    ("reopening_unfit", "update payments.book_request set state = 'refused' where kind = 'reopen'"),
    ("lock_unfit", "update payments.month_lock set asked_by = agreed_by, agreed_by = asked_by"),
    ("lock_unfit", "update payments.month_lock set month = month + interval '1 month'"),
    ("lock_unfit", "update payments.month_lock set recorded_at = '2020-01-01'"),
    ("lock_unfit", "delete from payments.book_request where kind = 'lock'"),
    (
        "day_differs",
        "update payments.journal set effective_day = effective_day + 1"
        " where recorded_at > (select max(recorded_at) from payments.day_reopening)",
    ),
    ("sale_forgotten", "update payments.settlement set recorded_at = clock_timestamp()"),
)
"""And to a month that is locked, of which one day was closed twice and another is settled."""
