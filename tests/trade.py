"""A day's trade with money, through the acts of `payments` alone: what other services would do, without their trade."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import payments
from foundation import clock, device
from foundation.database import Database, Tx
from foundation.device import Attendant
from foundation.errors import Refusal
from foundation.seal import Sealer
from foundation.settings import Settings
from foundation.staff import add_staff
from foundation.tables import new_id
from payments import (
    CashSale,
    ChargeView,
    Facts,
    Line,
    PaidLine,
    attempt,
    cash_refund,
    debit,
    deposit,
    drop,
    handover,
    notes,
    shift,
)
from payments.application import apply_receipt
from payments.gateway import AttemptEnd, AttemptEvent, Gone, News
from payments.gateway.vnpay import Vnpay
from payments.receipt import Credit, receive
from payments.witness import Person

PURPOSE = "test.thing"
SOLD_OUT = "sold out"
SINCE_THE_BEGINNING = "act !~ '^(contract|payee|fiscal)[.]'"
"""Of the trail: without the contracts, bank details and series that every operator of the demo city begins with."""


class SoldOut(Refusal):
    """There is none left."""


async def deliver(tx: Tx, line: PaidLine) -> None:
    """The smallest act a service can have: it gives the thing, unless there is none left."""
    if line.reference == SOLD_OUT:
        raise SoldOut()


@dataclass
class Trade:
    """One operator's trade. `now` is the platform's time of every act."""

    database: Database
    sealer: Sealer
    operator_id: UUID
    account: tuple[str, str]
    now: datetime
    environment: str = "test"
    credits: list[str] = field(default_factory=list)

    @classmethod
    async def at(cls, settings: Settings, database: Database, code: str = "vanmieu") -> Trade:
        operator_id: UUID = await database.value(
            "select operator_id from foundation.directory where kind = 'operator' and key = $1", code
        )
        async with database.transaction(operator_id) as tx:
            row = await tx.row(
                "select bin, account from payments.collection_account where operator_id = $1", operator_id
            )
            now = await clock.now(tx)
        assert row is not None
        payments.when_paid(PURPOSE, deliver)
        return cls(database, Sealer(settings.root, database), operator_id, (row["bin"], row["account"]), now)

    def line(
        self,
        amount_vnd: int,
        *,
        reference: str = "thing",
        service: str = "ticketing",
        class_: str = "adult",
        environment: str | None = None,
        day: datetime | None = None,
    ) -> Line:
        facts = Facts(
            service=service,
            place=1,
            ward="00226",
            class_=class_,
            service_day=clock.hanoi_day(day or self.now),
            environment=environment or self.environment,
        )
        return Line(PURPOSE, reference, amount_vnd, facts)

    async def owes(self, *lines: Line, holds: timedelta = timedelta(minutes=30)) -> ChargeView:
        """A visitor chose something and is shown what it costs."""
        async with self.database.transaction(self.operator_id) as tx:
            return await payments.charge(tx, lines=list(lines), holds=holds, return_path="/", now=self.now)

    async def transfers(
        self, text: str, amount_vnd: int, *, bank_ref: str | None = None, apply: bool = True
    ) -> str | None:
        """Somebody's transfer arrives at the collection account; returns what became of it."""
        credit = Credit(
            *self.account, bank_ref or f"FT{secrets.token_hex(6)}", amount_vnd, text, self.now, "NGUYEN VAN THU"
        )
        receipt_id, _ = await receive(
            self.database, self.sealer, self.operator_id, credit, now=self.now, source="notice"
        )
        if not apply:
            return None
        return await apply_receipt(self.database, self.operator_id, receipt_id, now=self.now)

    async def debited(
        self, amount_vnd: int, *, bank_ref: str | None = None, kind: str = "", relates_to: str = ""
    ) -> UUID:
        """The bank's list tells of money that left and that none of us sent."""
        gone = Gone(
            "/".join(self.account), bank_ref or f"FT{secrets.token_hex(6)}", amount_vnd, self.now, kind, relates_to
        )
        async with self.database.transaction(self.operator_id) as tx:
            await debit.book(tx, gone)
            return await tx.value("select id from payments.debit where bank_ref = $1", gone.bank_ref)

    async def explains(
        self, id: UUID, way: debit.Way, *, bank_ref: str = "", who: UUID | None = None, limit_vnd: int = 200_000
    ) -> None:
        """Somebody in the office says what such a debit was."""
        staff_id = who or (await self.colleague()).staff_id
        async with self.database.transaction(self.operator_id) as tx:
            await debit.settle(
                tx,
                id,
                way,
                bank_ref=bank_ref,
                staff_id=staff_id,
                reason="hỏi ngân hàng",
                limit_vnd=limit_vnd,
                now=self.now,
            )

    async def by_card(self, owed: ChargeView, event: AttemptEvent = "paid") -> str | None:
        """Tried on the gateway's page; what came of it, or of its money if it was paid."""
        async with self.database.transaction(self.operator_id) as tx:
            code = await tx.value("select code from payments.merchant where operator_id = $1", self.operator_id)
            begun = await attempt.begin(tx, Vnpay({code: "a secret"}), owed.reference, now=self.now)
        assert begun is not None
        number = secrets.token_hex(6)
        paid = Credit("vnpay", code, number, begun.amount_vnd, "", self.now, "VISA", gateway="vnpay", means="CARD")
        end = AttemptEnd(begun.gateway_ref, begun.amount_vnd, event, "" if event == "paid" else "51")
        news = News(f"vnpay/{code}", f"vnpay:{number}", paid if event == "paid" else None, end)
        receipt_id, _ = await attempt.learn(
            self.database, self.sealer, self.operator_id, news, now=self.now, source="notice"
        )
        if receipt_id is None:
            return None
        return await apply_receipt(self.database, self.operator_id, receipt_id, now=self.now)

    async def pays(self, *lines: Line) -> ChargeView:
        """Chosen and paid through the bank at once."""
        owed = await self.owes(*lines)
        assert await self.transfers(owed.reference, owed.amount_vnd) == "applied"
        return owed

    async def gives_free(self, *, means: str = "FREE", line: Line | None = None) -> None:
        facts = (line or self.line(1)).facts
        async with self.database.transaction(self.operator_id) as tx:
            await payments.note_free(
                tx,
                purpose=PURPOSE,
                reference=secrets.token_hex(8),
                means=means,
                facts=facts,
                now=self.now,  # type: ignore[arg-type]
            )

    async def attendant(self, login: str | None = None, *, name: str = "Cổng 1") -> Attendant:
        """Somebody at work at an enrolled tablet of all places of the operator."""
        login = login or secrets.token_hex(4)
        async with self.database.transaction(self.operator_id) as tx:
            staff = await tx.row(
                "select id, name from foundation.staff where operator_id = $1 and login = $2", self.operator_id, login
            )
            staff_id = staff["id"] if staff else new_id()
            if staff is None:
                await tx.execute(
                    "insert into foundation.staff (operator_id, id, login, name, roles, secret_hash, active)"
                    " values ($1, $2, $3, 'Người trực', '{attendant}', 'never logs in here', true)",
                    self.operator_id,
                    staff_id,
                    login,
                )
            places = [
                row["number"]
                for row in await tx.rows("select number from foundation.place where operator_id = $1", self.operator_id)
            ]
            code = await device.offer_enrolment(tx, operator_code="test", device_name=name, places=places)
            device_id, _ = await device.enrol(tx, code=code)
        return Attendant(self.operator_id, device_id, name, tuple(places), staff_id, login, "Người trực")

    async def opens(self, who: Attendant, float_vnd: int = 0) -> shift.OpenShift:
        async with self.database.transaction(self.operator_id) as tx:
            counted = notes.of(float_vnd)
            return await shift.open_shift(tx, who, place=who.places[0], counted=counted, now=self.now)

    async def sells(self, who: Attendant, *lines: Line, proxy: bool = False) -> CashSale:
        """Notes change hands."""
        async with self.database.transaction(self.operator_id) as tx:
            return await payments.record_cash(tx, who, lines=list(lines), proxy=proxy, return_path="/", now=self.now)

    async def counts(self, who: Attendant, counted_vnd: int) -> handover.Counted:
        async with self.database.transaction(self.operator_id) as tx:
            return await handover.count(tx, who, notes.of(counted_vnd), now=self.now)

    async def closes(self, who: Attendant, counted_vnd: int, *, reason: str = "change") -> dict[str, Any]:
        """Counted and handed over to a colleague; the report."""
        counted = await self.counts(who, counted_vnd)
        return await self.hands_over(who, reason=reason if counted.difference_vnd else None)

    async def hands_over(
        self, who: Attendant, *, reason: str | None = None, next_float: dict[str, int] | None = None
    ) -> dict[str, Any]:
        """The notes of a counted shift go to a colleague, for the safe or as his float."""
        receiver = await self.colleague()
        async with self.database.transaction(self.operator_id) as tx:
            return await handover.close(tx, who, receiver, reason=reason, next_float=next_float, now=self.now)

    async def colleague(self) -> Person:
        """Somebody who has proved himself at the tablet: the supervisor of the demo city."""
        async with self.database.transaction(self.operator_id) as tx:
            row = await tx.row(
                "select id, login, name from foundation.staff where operator_id = $1 and login = '02'", self.operator_id
            )
        return Person(row["id"], row["login"], row["name"], supervises=True)

    async def drops(self, who: Attendant, amount_vnd: int, *, sign: bool = True) -> int:
        """Notes for the safe, announced and (unless said otherwise) signed for; their number."""
        receiver = await self.colleague()
        async with self.database.transaction(self.operator_id) as tx:
            open = await shift.must_be_open(tx, who, lock=True)
            made = await drop.announce(tx, open, notes.of(amount_vnd), now=self.now)
            if sign:
                await drop.receive(tx, open, made.number, receiver, now=self.now)
        return made.number

    async def refunds(
        self, who: Attendant, sold_in: shift.OpenShift, receipt_number: int, amount_vnd: int
    ) -> cash_refund.Slip:
        """Notes handed back against a receipt."""
        async with self.database.transaction(self.operator_id) as tx:
            return await cash_refund.give_back(
                tx,
                who,
                place=sold_in.place,
                shift_number=sold_in.number,
                receipt_number=receipt_number,
                amount_vnd=amount_vnd,
                reason="not_used",
                words="",
                now=self.now,
            )

    async def bags(self) -> str:
        """All that the safe holds of closed shifts goes into one bag; its reference."""
        staff_id = (await self.colleague()).staff_id
        async with self.database.transaction(self.operator_id) as tx:
            shifts = [row["id"] for row in await deposit.to_deposit(tx)]
            return await deposit.make(tx, shifts, staff_id=staff_id, now=self.now)

    async def settles_short(self, reference: str) -> None:
        """Two of finance agree that what did not arrive of a bag is missing."""
        asker, agreer = [(await self.attendant()).staff_id for _ in range(2)]
        async with self.database.transaction(self.operator_id) as tx:
            await deposit.ask_short(tx, reference, staff_id=asker, reason="ngân hàng đếm thiếu", now=self.now)
            await deposit.agree_short(tx, reference, staff_id=agreer, now=self.now)

    async def clerk(
        self, login: str = "sổ", password: str = "mat-khau-thu", roles: tuple[str, ...] = ("finance",)
    ) -> str:
        """A new member of staff who may log in; returns the login with the operator."""
        async with self.database.transaction(self.operator_id) as tx:
            await add_staff(tx, login=login, name=f"Người {login}", roles=list(roles), secret=password)
            code: str = await tx.value("select code from foundation.operator where id = $1", self.operator_id)
        return f"{login}@{code}"


async def a_day_of_everything(trade: Trade) -> None:
    """Every kind of event that moves money, at least once."""
    line = trade.line
    await trade.pays(line(70_000))
    await trade.pays(line(70_000), line(5_000, service="parking", class_="motorbike"))

    partly = await trade.owes(line(70_000))
    assert await trade.transfers(partly.reference, 20_000) == "partly"
    assert await trade.transfers(partly.reference, 50_000) == "applied"
    assert await trade.transfers(partly.reference, 70_000) == "duplicate"
    assert await trade.transfers((await trade.owes(line(70_000))).reference, 100_000) == "overpaid"
    assert await trade.transfers((await trade.owes(line(70_000))).reference, 30_000) == "partly"  # and stays so

    assert await trade.by_card(await trade.owes(line(70_000))) == "applied"
    declined_first = await trade.owes(line(70_000))
    await trade.by_card(declined_first, "declined")
    assert await trade.transfers(declined_first.reference, 20_000) == "partly"
    assert await trade.by_card(declined_first) == "applied"

    gone = await trade.owes(line(35_000, reference=SOLD_OUT))
    assert await trade.transfers(gone.reference, 15_000) == "partly"
    assert await trade.transfers(gone.reference, 20_000) == "refused"
    assert await trade.transfers(gone.reference, 20_000) == "refused"

    first, second = await trade.owes(line(10_000)), await trade.owes(line(10_000))
    assert await trade.transfers(f"{first.reference} {second.reference}", 20_000) == "ambiguous"
    assert await trade.transfers("cam on", 20_000) == "unknown_reference"
    await trade.transfers(first.reference, 10_000, apply=False)
    await trade.gives_free()

    await trade.debited(9_000)  # and nobody knows yet why
    await trade.explains(await trade.debited(11_000, kind="fee"), "charge")
    await trade.transfers("tien gi", 20_000, bank_ref="FT-RECALLED")
    recalled = await trade.debited(30_000, kind="reversal", relates_to="FT-RECALLED")
    await trade.explains(recalled, "receipt", bank_ref="FT-RECALLED")
    await trade.explains(recalled, "loss")

    morning = await trade.attendant()
    await trade.opens(morning, 200_000)
    await trade.sells(morning, line(70_000))
    in_time = await trade.sells(morning, line(5_000, service="parking"), proxy=True)
    too_late = await trade.sells(morning, line(8_000, service="parking"), proxy=True)
    too_much = await trade.sells(morning, line(12_000, service="parking"), proxy=True)
    await trade.sells(morning, line(3_000, service="parking"), proxy=True)  # never transferred
    assert in_time.pay and too_late.pay and too_much.pay
    assert await trade.transfers(in_time.pay.reference, 5_000) == "proxy"
    assert await trade.transfers(too_much.pay.reference, 15_000) == "proxy"
    await trade.closes(morning, 200_000 + 70_000 + 8_000 + 3_000 - 2_000)  # a note is missing
    async with trade.database.transaction(trade.operator_id) as tx:
        seen = {"staff_id": (await trade.colleague()).staff_id, "words": "trong ngăn kéo", "now": trade.now}
        short = await tx.value(
            "select id from payments.shift where expected_vnd > counted_vnd and operator_id = $1", trade.operator_id
        )
        await handover.find_notes(tx, short, counted={"1000": 1}, **seen)
    assert await trade.transfers(too_late.pay.reference, 8_000) == "proxy"
    assert await trade.transfers(too_late.pay.reference, 8_000) == "proxy"  # once more by mistake

    evening = await trade.attendant()
    opened = await trade.opens(evening)
    sold = await trade.sells(evening, line(70_000))
    await trade.sells(evening, line(500_000))
    await trade.drops(evening, 400_000)
    await trade.drops(evening, 50_000, sign=False)  # nobody came for it
    await trade.refunds(evening, opened, sold.receipt_number, 20_000)
    await trade.closes(evening, 151_000)  # a note too much

    first = await trade.bags()
    assert await trade.transfers(f"NOP TIEN {first}", 500_000) == "deposit"  # and a rest that did not arrive
    await trade.opens(evening, 0)
    await trade.sells(evening, line(70_000))
    await trade.closes(evening, 70_000)
    short_bag = await trade.bags()
    assert await trade.transfers(short_bag, 50_000) == "deposit"
    await trade.settles_short(short_bag)
    await trade.opens(evening, 300_000)
    late = await trade.sells(evening, line(8_000, service="parking"), proxy=True)
    assert late.pay
    await trade.closes(evening, 308_000)  # he hands his guest's notes over, too, and transfers all the same
    assert await trade.transfers(late.pay.reference, 8_000) == "proxy"

    await trade.opens(evening, 100_000)
    await trade.sells(evening, line(70_000))
    await trade.drops(evening, 20_000, sign=False)
