"""Refunds in tests: a gateway that answers as it is told, and the acts of an office and of the worker."""

from __future__ import annotations

import secrets
from collections import Counter
from dataclasses import dataclass, field
from uuid import UUID

from trade import Trade

from foundation import audit, outbox
from foundation.tables import new_id
from payments import give_back, refund
from payments.gateway import GatewaySilent, RefundAnswer, RefundFate, RefundLine, RefundOrder

LIMIT_VND = 200_000


@dataclass
class Gateway:
    """A gateway by the contract of `Refunding`. `silent`: it acts and does not answer; `deaf`: it does not even act."""

    fates: dict[UUID, RefundFate] = field(default_factory=dict)
    whys: dict[UUID, str] = field(default_factory=dict)
    orders: dict[UUID, RefundOrder] = field(default_factory=dict)
    made: Counter[UUID] = field(default_factory=Counter)
    asked: Counter[UUID] = field(default_factory=Counter)
    silent: bool = False
    deaf: bool = False
    a_second_apart: bool = False
    refuses: str | None = None

    async def send_back(self, order: RefundOrder) -> RefundAnswer:
        self.asked[order.id] += 1
        if self.deaf:
            raise GatewaySilent()
        assert self.orders.setdefault(order.id, order) == order, "the same id with other words"
        if order.id not in self.fates:
            self.fates[order.id] = "refused" if self.refuses else "accepted"
            if self.refuses:
                self.whys[order.id] = self.refuses
            else:
                self.made[order.id] += 1
        if self.silent:
            raise GatewaySilent()
        return self._answer(order.id)

    async def fate_of(self, order: RefundOrder) -> RefundAnswer:
        if self.silent or self.deaf:
            raise GatewaySilent()
        return self._answer(order.id)

    def _answer(self, id: UUID) -> RefundAnswer:
        return RefundAnswer(self.fates.get(id, "unknown"), self.whys.get(id), ref=f"D{id.hex[-8:]}")


@dataclass
class Office:
    """Two clerks of one operator, and the worker that does what they decide."""

    trade: Trade
    ann: UUID
    bao: UUID
    gateway: Gateway = field(default_factory=Gateway)

    @classmethod
    async def of(cls, trade: Trade) -> Office:
        ids = []
        async with trade.database.transaction(trade.operator_id) as tx:
            for name in ("Ân", "Bảo"):
                id = new_id()
                ids.append(id)
                await tx.execute(
                    "insert into foundation.staff (operator_id, id, login, name, roles, secret_hash, active)"
                    " values ($1, $2, $3, $4, '{finance}', 'never logs in here', true)",
                    trade.operator_id,
                    id,
                    secrets.token_hex(4),
                    name,
                )
        return cls(trade, *ids)

    async def held_by(self, charge_id: UUID | None = None) -> UUID:
        """The receipt that came last of what is held for that charge, or for none."""
        async with self.trade.database.transaction(self.trade.operator_id) as tx:
            found: UUID = await tx.value(
                "select receipt_id from payments.held where operator_id = $1 and charge_id is not distinct from $2"
                " order by receipt_id desc limit 1",
                self.trade.operator_id,
                charge_id,
            )
        return found

    async def asks(
        self,
        receipt_id: UUID,
        amount_vnd: int | None = None,
        *,
        who: UUID | None = None,
        limit_vnd: int = LIMIT_VND,
        to_named: bool = False,
    ) -> UUID:
        async with self.trade.database.transaction(self.trade.operator_id) as tx:
            return await refund.request(
                tx,
                receipt_id,
                amount_vnd,
                staff_id=who or self.ann,
                reason="trả thừa",
                limit_vnd=limit_vnd,
                to_named=to_named,
                now=self.trade.now,
            )

    async def gives_back(
        self, reference: str, amount_vnd: int | None = None, *, limit_vnd: int = LIMIT_VND
    ) -> list[UUID]:
        async with self.trade.database.transaction(self.trade.operator_id) as tx:
            return await give_back.give_back(
                tx,
                reference,
                amount_vnd,
                staff_id=self.ann,
                reason="khách không vào",
                limit_vnd=limit_vnd,
                now=self.trade.now,
            )

    async def wanted(self) -> UUID | None:
        """The latest request to give back that waits for a second person."""
        async with self.trade.database.transaction(self.trade.operator_id) as tx:
            waiting = await give_back.waiting(tx, most=100)
        return waiting[-1]["id"] if waiting else None

    async def agrees(self, id: UUID, *, who: UUID | None = None) -> None:
        """A second person agrees to give back."""
        async with self.trade.database.transaction(self.trade.operator_id) as tx:
            await give_back.approve(tx, id, staff_id=who or self.bao, now=self.trade.now)

    async def refuses(self, id: UUID, *, who: UUID | None = None) -> None:
        async with self.trade.database.transaction(self.trade.operator_id) as tx:
            await give_back.reject(tx, id, staff_id=who or self.bao, reason="vé còn dùng", now=self.trade.now)

    async def approves(self, id: UUID, *, who: UUID | None = None, reads: bool = True) -> None:
        async with self.trade.database.transaction(self.trade.operator_id) as tx:
            if reads and await tx.value("select to_sealed is not null from payments.refund where id = $1", id):
                await audit.note(tx, who or self.bao, "refund.account_read", f"refund {id}", now=self.trade.now)
            await refund.approve(tx, id, staff_id=who or self.bao, now=self.trade.now)

    async def rejects(self, id: UUID, *, who: UUID | None = None) -> None:
        async with self.trade.database.transaction(self.trade.operator_id) as tx:
            await refund.reject(tx, id, staff_id=who or self.bao, reason="chưa rõ", now=self.trade.now)

    async def works(self) -> None:
        """The worker does all that is to be looked at, once, whatever its back-off says."""
        database = self.trade.database
        async with database.transaction(self.trade.operator_id) as tx:
            await tx.execute("update payments.refund set look_at = foundation.now() where look_at is not null")
        await refund.look(database)
        await database.execute("update foundation.due set due_at = clock_timestamp() where kind = $1", refund.REFUND)
        claims = [claim for claim in await outbox.claim(database, most=1000) if claim.kind == refund.REFUND]
        await database.execute("update foundation.due set lease_until = null where kind <> $1", refund.REFUND)
        for claim in claims:
            await refund.pursue(database, self.trade.sealer, {"bank": self.gateway}, claim)
            async with database.transaction(claim.operator_id) as tx:
                await outbox.done(tx, claim)

    async def hears(self, id: UUID, amount_vnd: int, *, returns: bool, ref: str | None = None) -> bool:
        """The bank's list tells of the refund's money."""
        ref = ref or f"{'R' if returns else 'D'}{id.hex[-8:]}"
        account = "/".join(self.trade.account)
        line = RefundLine(id, account, ref, amount_vnd, returns, self.trade.now)
        return await refund.told(self.trade.database, self.trade.operator_id, line)

    async def state(self, id: UUID) -> str:
        async with self.trade.database.transaction(self.trade.operator_id) as tx:
            found: str = await tx.value("select state from payments.refund where id = $1", id)
        return found


async def a_day_of_refunds(trade: Trade) -> Office:
    """A refund in every state, and a sale given back as a whole and in part."""
    office = await Office.of(trade)
    gateway, line = office.gateway, trade.line

    async def held(amount_vnd: int = 10_000) -> UUID:
        owed = await trade.owes(line(20_000))
        assert await trade.transfers(owed.reference, 20_000 + amount_vnd) == "overpaid"
        return await office.held_by(owed.id)

    await office.asks(await held(300_000))  # waits for a second person
    await office.rejects(await office.asks(await held(300_001)))
    settled, returned, late = [await office.asks(await held()) for _ in range(3)]
    await office.works()
    gateway.fates |= {settled: "settled", returned: "returned"}
    await office.works()
    assert await office.hears(late, 10_000, returns=True), "told by the list alone"
    unclear = await office.asks(await held())
    gateway.silent = True
    await office.works()
    gateway.silent, gateway.refuses = False, "cannot_send_back"
    refused = await office.asks(await held())
    gateway.fates[unclear] = "accepted"
    await office.works()
    gateway.refuses, gateway.silent = None, True
    unknown = await office.asks(await held())
    await office.works()
    gateway.silent = False
    assert await trade.transfers("tra lai giup toi", 7_000) == "unknown_reference"
    await office.asks(await office.held_by())

    await office.gives_back((await trade.pays(line(70_000))).reference)
    await office.gives_back((await trade.pays(line(70_000), line(5_000, service="parking"))).reference, 10_000)
    for agreed in (True, False):  # two that want a second person; the other one still waits for him
        assert await office.gives_back((await trade.pays(line(280_000))).reference) == []
        wanted = await office.wanted()
        if agreed and wanted:
            await office.agrees(wanted)
    assert [await office.state(id) for id in (settled, returned, late, unclear, refused, unknown)] == [
        "settled",
        "returned",
        "returned",
        "accepted",
        "refused",
        "unknown",
    ]
    return office
