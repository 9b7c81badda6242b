"""Paying out what settled days owe their payees: one file to the bank, made by one person and let go by another.

Nobody names an amount: a payout is the net of the days that it pays, and a day is paid by one payout only. The maker makes
the run, and with it the bytes of its file; the checker signs the hash of exactly those, and has entered none of the bank
details that are used. What became of it the bank says in its report and in its list; what a report leaves out is not
accepted. States and events are in `payout_states`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import BigInteger
from sqlmodel import CheckConstraint, Field, ForeignKeyConstraint, Index, SQLModel, UniqueConstraint, text

from foundation import audit, clock, directory, failpoint, outbox
from foundation.database import Database, Tx
from foundation.errors import NotFound, Refusal
from foundation.tables import instant, keys, new_id, octets, owner_key
from payments import contract, ledger, payee_account, settlement, working_days
from payments.contract import PayeeView
from payments.gateway import (
    GatewaySilent,
    Paying,
    PayoutFate,
    PayoutFileRefused,
    PayoutLine,
    PayoutOrder,
    PayoutReport,
    PayoutTransfer,
    pain,
)
from payments.held import reason_of
from payments.ledger import Source
from payments.payee_account import BankDetails
from payments.payout_states import LIVE, OWED_AGAIN, STEPS, WORKED_ON, Event, State, Step

PAYOUT = "payments.payout"
LONGEST_PAUSE_S = 600
HEARD: frozenset[State] = frozenset({"asking", "unknown", "accepted", "settled"})
"""Lines of the bank's list can be about it: it may have left, or has."""
FATES: dict[PayoutFate, Event] = {
    "unknown": "silent",
    "pending": "silent",
    "accepted": "taken",
    "settled": "left",
    "rejected": "declined",
}
"""What follows from what the bank says of a transfer; to say that it has not decided is to say nothing."""


class PayoutRun(SQLModel, table=True):
    """One file for the bank: its bytes, who made it, who let it go. `number` stands in the text of every transfer; the bank
    carries it out on `execute_on`."""

    __tablename__ = "payout_run"
    __table_args__ = (
        ForeignKeyConstraint(
            keys("made_by"), ["foundation.staff.operator_id", "foundation.staff.id"], name="payout_run_made_fkey"
        ),
        ForeignKeyConstraint(
            keys("approved_by"),
            ["foundation.staff.operator_id", "foundation.staff.id"],
            name="payout_run_approved_fkey",
        ),
        UniqueConstraint(*keys("number"), name="payout_run_number_key"),
        CheckConstraint("approved_by <> made_by", name="second_person"),
        CheckConstraint("num_nulls(approved_by, approved_at) in (0, 2)", name="approved"),
        CheckConstraint("number > 0 and looks >= 0", name="numbers"),
        Index("payout_run_look_idx", *keys("look_at"), postgresql_where=text("look_at is not null")),
        {"schema": "payments"},
    )
    operator_id: UUID = owner_key()
    id: UUID = Field(primary_key=True)
    number: int
    up_to_day: date
    execute_on: date
    file: bytes = octets()
    digest: bytes = octets()
    made_by: UUID
    made_at: datetime = instant()
    approved_by: UUID | None = None
    approved_at: datetime | None = instant(default=None)
    looks: int = 0
    look_at: datetime | None = instant(default=None)


class Payout(SQLModel, table=True):
    """What one payee gets with a run, to the bank details of one version. `debited_vnd`: what the bank's list has shown."""

    __tablename__ = "payout"
    __table_args__ = (
        ForeignKeyConstraint(
            keys("run_id"), ["payments.payout_run.operator_id", "payments.payout_run.id"], name="payout_run_fkey"
        ),
        ForeignKeyConstraint(
            keys("payee_id", "version"),
            [f"payments.payee_account.{name}" for name in ("operator_id", "payee_id", "version")],
            name="payout_account_fkey",
        ),
        UniqueConstraint(*keys("run_id", "payee_id"), name="payout_payee_key"),
        CheckConstraint("amount_vnd > 0 and debited_vnd between 0 and amount_vnd", name="amount"),
        CheckConstraint(
            "state in ('draft', 'approved', 'asking', 'unknown', 'accepted', 'settled', 'rejected', 'returned',"
            " 'cancelled')",
            name="state",
        ),
        {"schema": "payments"},
    )
    operator_id: UUID = owner_key()
    id: UUID = Field(primary_key=True)
    run_id: UUID
    payee_id: UUID
    version: int
    amount_vnd: int = Field(sa_type=BigInteger)
    debited_vnd: int = Field(default=0, sa_type=BigInteger)
    state: str = "draft"
    why: str | None = None
    approved_at: datetime | None = instant(default=None)
    left_at: datetime | None = instant(default=None)
    ended_at: datetime | None = instant(default=None)


class PayoutDay(SQLModel, table=True):
    """That a payout pays a payee's net of a settled day; `released`: it did not, and the day is open again."""

    __tablename__ = "payout_day"
    __table_args__ = (
        ForeignKeyConstraint(
            keys("payout_id"), ["payments.payout.operator_id", "payments.payout.id"], name="payout_day_payout_fkey"
        ),
        ForeignKeyConstraint(
            keys("day", "payee_id"),
            [f"payments.payee_statement.{name}" for name in ("operator_id", "day", "payee_id")],
            name="payout_day_statement_fkey",
        ),
        Index("payout_day_once_key", *keys("payee_id", "day"), unique=True, postgresql_where=text("not released")),
        {"schema": "payments"},
    )
    operator_id: UUID = owner_key()
    payout_id: UUID = Field(primary_key=True)
    day: date = Field(primary_key=True)
    payee_id: UUID
    net_vnd: int = Field(sa_type=BigInteger)
    released: bool = Field(default=False, sa_column_kwargs={"server_default": "false"})


class PayoutEvent(SQLModel, table=True):
    """The history of a payout."""

    __tablename__ = "payout_event"
    __table_args__ = (
        ForeignKeyConstraint(
            keys("payout_id"), ["payments.payout.operator_id", "payments.payout.id"], name="payout_event_payout_fkey"
        ),
        {"schema": "payments", "comment": "insert-only: history"},
    )
    operator_id: UUID = owner_key()
    payout_id: UUID = Field(primary_key=True)
    id: UUID = Field(primary_key=True)
    state: str
    cause: str
    staff_id: UUID | None = None
    why: str | None = None
    at: datetime = instant()


class PayoutEntry(SQLModel, table=True):
    """A line of the bank's list that a payout took (or, `returns`, brought back)."""

    __tablename__ = "payout_entry"
    __table_args__ = (
        ForeignKeyConstraint(
            keys("payout_id"), ["payments.payout.operator_id", "payments.payout.id"], name="payout_entry_payout_fkey"
        ),
        CheckConstraint("amount_vnd > 0", name="amount"),
        {"schema": "payments", "comment": "insert-only: what the bank's list says"},
    )
    operator_id: UUID = owner_key()
    bank_account: str = Field(primary_key=True)
    bank_ref: str = Field(primary_key=True)
    payout_id: UUID
    amount_vnd: int = Field(sa_type=BigInteger)
    returns: bool
    at: datetime = instant()


class NoSuchPayout(NotFound):
    """There is no such payout."""


class NothingToPay(Refusal):
    """Nothing can be paid out: no payee is owed anything, or their bank details cannot be used yet."""


class DaysInAnotherRun(Refusal):
    """Somebody else has just made a payout of these days."""

    constraint = "payout_day_once_key"


class OwnPayout(Refusal):
    """You made this payout; another person has to let it go."""

    status = 403


class OwnDetailsUsed(Refusal):
    """You entered bank details that this payout uses; another person has to let it go."""

    status = 403


class CameBackMeanwhile(Refusal):
    """A payout to one of these bank accounts has come back meanwhile: call this run off, and ask why."""


class PreviewStale(Refusal):
    """This is not the file that you looked at; look at it again."""


class PayoutDecided(Refusal):
    """This payout was decided before, or has left; nothing has changed."""


Held = Literal["nothing", "none", "waits", "cooling", "came_back"]
"""Why a payee is not paid: nothing is owed, or how its bank details stand."""


@dataclass(frozen=True, slots=True)
class Owed:
    """What a payee is owed of days that no payout pays, since `due_on` at the latest, and where it would go; `held`: why it is
    not paid now."""

    payee: PayeeView
    days: Sequence[tuple[date, int]]
    due_on: date | None
    details: BankDetails | None
    held: Held | None

    @property
    def amount_vnd(self) -> int:
        return sum(net_vnd for _, net_vnd in self.days)

    def late_days(self, today: date) -> int:
        """Days since the oldest of it was to be paid out; 0 while nothing is late."""
        return max((today - self.due_on).days, 0) if self.due_on and self.amount_vnd > 0 else 0


async def owed(tx: Tx, *, now: datetime) -> list[Owed]:
    """What every payee is owed of settled days that no payout pays."""
    rows = await settlement.unpaid(tx)
    details = payee_account.newest(await payee_account.of_payee(tx))
    found = []
    for payee in await contract.payees(tx):
        mine = [row for row in rows if row["payee_id"] == payee.id]
        days = [(row["day"], row["net_vnd"]) for row in mine]
        due_on = min((row["due_on"] for row in mine if row["net_vnd"]), default=None)
        known = details.get(payee.id)
        standing = known.standing(now) if known else "none"
        held: Held | None = None if standing == "usable" else standing
        found.append(Owed(payee, days, due_on, known, "nothing" if sum(net for _, net in days) <= 0 else held))
    return found


async def make(tx: Tx, *, staff_id: UUID, now: datetime) -> UUID:
    """Makes a run of all that is owed and can be paid: its payouts, their days, and the file as it will be sent.

    Raises NothingToPay, DaysInAnotherRun (by its constraint).
    """
    await tx.one_at_a_time("payout")  # runs and bank details
    paid = [each for each in await owed(tx, now=now) if each.held is None and each.details is not None]
    if not paid:
        raise NothingToPay()
    account = await tx.row(
        "select bin, account, owner_name from payments.collection_account where operator_id = $1"
        " order by bin, account limit 1",
        tx.operator_id,
    )
    number: int = await tx.value(
        "select coalesce(max(number), 0) + 1 from payments.payout_run where operator_id = $1", tx.operator_id
    )
    id, ids, execute_on = new_id(), [new_id() for _ in paid], _execute_on(now)
    up_to = max(day for each in paid for day, _ in each.days)
    order = PayoutOrder(
        message_id=id,
        batch=f"MC{number:06}",
        created_at=now,
        execute_on=execute_on,
        account=f"{account['bin']}/{account['account']}",
        account_name=account["owner_name"],
        transfers=[
            PayoutTransfer(
                payout_id,
                each.amount_vnd,
                each.details.bin,
                each.details.account,
                each.details.owner_name,
                f"QUYET TOAN DEN {up_to:%d%m%Y} {each.payee.budget_line or ''}",  # the Treasury books by the line
            )
            for payout_id, each in zip(ids, paid, strict=True)
            if each.details is not None
        ],
    )
    file = pain.write(order)
    tx.step("payout.made")
    await tx.execute(
        "insert into payments.payout_run (operator_id, id, number, up_to_day, execute_on, file, digest, made_by, made_at,"
        " looks) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0)",
        tx.operator_id,
        id,
        number,
        up_to,
        execute_on,
        file,
        hashlib.sha256(file).digest(),
        staff_id,
        now,
    )
    for payout_id, each in zip(ids, paid, strict=True):
        await tx.execute(
            "insert into payments.payout (operator_id, id, run_id, payee_id, version, amount_vnd, debited_vnd, state)"
            " values ($1, $2, $3, $4, $5, $6, 0, 'draft')",
            tx.operator_id,
            payout_id,
            id,
            each.payee.id,
            each.details.version if each.details else 0,
            each.amount_vnd,
        )
        await tx.connection.executemany(
            "insert into payments.payout_day (operator_id, payout_id, payee_id, day, net_vnd) values ($1, $2, $3, $4, $5)",
            [(tx.operator_id, payout_id, each.payee.id, day, net_vnd) for day, net_vnd in each.days],
        )
        await _remember(tx, payout_id, "draft", "make", now, staff_id=staff_id)
    after = {"number": number, "amount_vnd": sum(each.amount_vnd for each in paid), "payouts": len(paid)}
    await audit.note(tx, staff_id, "payout.made", f"payout {id}", after=after, now=now)
    return id


def _execute_on(now: datetime) -> date:
    today = clock.hanoi_day(now)
    return today if working_days.is_working(today) else working_days.after(today, 1)


async def approve(tx: Tx, id: UUID, *, digest: str, staff_id: UUID, now: datetime) -> None:
    """A second person lets the run go, having seen the file of that hash (SHA-256, hexadecimal).

    Details that change call its run off (`change_details`), so what is still a draft is to usable ones. Raises NoSuchPayout,
    OwnPayout, OwnDetailsUsed, CameBackMeanwhile, PreviewStale, PayoutDecided.
    """
    run, payouts = await _lock(tx, id)
    if any(row["state"] != "draft" for row in payouts):
        raise PayoutDecided()
    if run["made_by"] == staff_id:
        raise OwnPayout()
    if run["digest"].hex() != digest:
        raise PreviewStale()
    details = {(each.payee_id, each.version): each for each in await payee_account.of_payee(tx)}
    used = [details[row["payee_id"], row["version"]] for row in payouts]
    if any(each.entered_by == staff_id for each in used):
        raise OwnDetailsUsed()
    if any(each.came_back_at is not None for each in used):
        raise CameBackMeanwhile()
    for row in payouts:
        await _step(tx, row, "approve", at=now, now=now, staff_id=staff_id)
    tx.step("payout.approved")
    await tx.execute(
        "update payments.payout_run set approved_by = $3, approved_at = $4, look_at = $4"
        " where operator_id = $1 and id = $2",
        tx.operator_id,
        id,
        staff_id,
        now,
    )
    outbox.enqueue(tx, PAYOUT, str(id))
    await audit.note(tx, staff_id, "payout.approved", f"payout {id}", after={"sha256": digest}, now=now)


async def cancel(tx: Tx, id: UUID, *, staff_id: UUID, reason: str, now: datetime) -> None:
    """A run that the bank has not heard of is called off; its days are open again.

    Raises ReasonMissing, NoSuchPayout, PayoutDecided.
    """
    reason = reason_of(reason)
    _, payouts = await _lock(tx, id)
    for row in payouts:
        if await _step(tx, row, "cancel", at=now, now=now, staff_id=staff_id, why=reason) is None:
            raise PayoutDecided()
    await _look_at(tx, id, None)
    await audit.note(tx, staff_id, "payout.cancelled", f"payout {id}", reason=reason, now=now)


async def change_details(
    tx: Tx, payee_id: UUID, *, bin: str, account: str, owner_name: str, contact: str, staff_id: UUID, now: datetime
) -> int:
    """New bank details of a payee: runs to the old ones that have not left are called off. Returns the version.

    Raises what `payee_account.enter` raises.
    """
    await tx.one_at_a_time("payout")
    version = await payee_account.enter(
        tx, payee_id, bin=bin, account=account, owner_name=owner_name, contact=contact, staff_id=staff_id, now=now
    )
    runs = await tx.rows(
        "select distinct run_id from payments.payout where operator_id = $1 and payee_id = $2 and state in ('draft', 'approved')",
        tx.operator_id,
        payee_id,
    )
    for row in runs:
        await cancel(tx, row["run_id"], staff_id=staff_id, reason="details_changed", now=now)
    return version


# --- the worker, the bank --------------------------------------------------------------------------------------------


async def pursue(database: Database, gateway: Paying, claim: outbox.Claim) -> None:
    """The worker's act for `payments.payout`: sends the file, or asks what became of it, and writes the answer down.

    What is to be sent is committed before the call; a process that dies in between finds `asking`, and looks up first.
    """
    id = UUID(claim.id)
    async with database.transaction(claim.operator_id) as tx:
        if not await outbox.still_held(tx, claim):
            return
        now, (run, payouts) = await clock.now(tx), await _lock(tx, id)
        if not any(row["state"] in WORKED_ON for row in payouts):  # the bank's list has told of all of them
            await _look_at(tx, id, None)
            return
        sends = [await _step(tx, row, "ask", at=now, now=now) for row in payouts if row["state"] == "approved"]
    failpoint.here("payout.asking")
    refused = None
    try:
        report = None if sends else await gateway.payout_report(run["file"])
        if report is None:
            if not sends:
                await _unheard(database, claim.operator_id, id, now)
            report = await gateway.pay_out(run["file"])
    except GatewaySilent:
        report = None
    except PayoutFileRefused as error:
        report, refused = None, str(error.facts.get("why", ""))
    failpoint.here("payout.answered")
    async with database.transaction(claim.operator_id) as tx:
        tx.step("payout.heard")
        await _hear(tx, id, report, await clock.now(tx), refused=refused)


async def _unheard(database: Database, operator_id: UUID, id: UUID, now: datetime) -> None:
    """The bank says that it never got the file, so it may be sent (again): unless it had taken some of it on before."""
    async with database.transaction(operator_id) as tx:
        _, payouts = await _lock(tx, id)
        for row in payouts:
            if row["state"] not in ("asking", "unknown"):
                raise LookupError(f"the bank does not know a file of which a payout is {row['state']}")
            await _step(tx, row, "unheard", at=now, now=now)


async def _hear(tx: Tx, id: UUID, report: PayoutReport | None, now: datetime, *, refused: str | None = None) -> None:
    """Writes down what the bank says of each payout (`refused`: why it did not take the file on); what its report leaves
    out is as if it were silent."""
    run, payouts = await _lock(tx, id)
    for row in payouts:
        answer = report.transfers.get(row["id"]) if report else None
        event: Event = "declined" if refused is not None else FATES[answer.fate] if answer else "silent"
        if event == "declined" and row["debited_vnd"]:
            event = "silent"  # a part of it has left by the bank's own list, which is the last word
        await _step(tx, row, event, at=now, now=now, why=refused or (answer.why if answer else None))
    _, payouts = await _lock(tx, id)
    open = any(row["state"] in WORKED_ON for row in payouts)
    pause_s = min(2 ** min(run["looks"] + 1, 12), LONGEST_PAUSE_S)
    await _look_at(tx, id, now + timedelta(seconds=pause_s) if open else None)


async def look(database: Database) -> int:
    """Makes due the runs that are to be looked at by now; returns how many. Called periodically by the worker."""
    due = 0
    for operator_id in await directory.operators(database):
        async with database.transaction(operator_id) as tx:
            for row in await tx.rows(
                "select r.id from payments.payout_run r where r.operator_id = $1 and r.look_at <= foundation.now()"
                " and not exists (select from foundation.due d"
                "   where d.operator_id = $1 and d.kind = $2 and d.id = r.id::text) order by r.look_at limit 100",
                operator_id,
                PAYOUT,
            ):
                outbox.enqueue(tx, PAYOUT, str(row["id"]))
                due += 1
    return due


async def told(database: Database, operator_id: UUID, line: PayoutLine) -> bool:
    """The bank's list tells of money that a payout took or brought back. False: it is none of ours, or does not fit it;
    then it is for the caller to keep. The same line again is no news."""
    async with database.transaction(operator_id) as tx:
        row = await tx.row(
            "select * from payments.payout where operator_id = $1 and id = $2 for update",
            operator_id,
            line.payout_id,
        )
        if row is None:
            return False
        known = await tx.value(
            "select true from payments.payout_entry where operator_id = $1 and bank_account = $2 and bank_ref = $3",
            operator_id,
            line.account,
            line.ref,
        )
        if known:
            return True
        whole = line.amount_vnd if line.returns else row["debited_vnd"] + line.amount_vnd
        fits = whole == row["amount_vnd"] if line.returns else whole <= row["amount_vnd"]
        # The list may tell of the return first: what came back had left.
        heard = row["state"] in HEARD or (row["state"] == "returned" and not line.returns)
        if not fits or not heard:
            return False
        tx.step("payout.told")
        await tx.execute(
            "insert into payments.payout_entry (operator_id, bank_account, bank_ref, payout_id, amount_vnd, returns, at)"
            " values ($1, $2, $3, $4, $5, $6, $7)",
            operator_id,
            line.account,
            line.ref,
            line.payout_id,
            line.amount_vnd,
            line.returns,
            line.at,
        )
        now = await clock.now(tx)
        if line.returns:
            await _step(tx, row, "came_back", at=line.at, now=now)
        else:
            await tx.execute(
                "update payments.payout set debited_vnd = $3 where operator_id = $1 and id = $2",
                operator_id,
                line.payout_id,
                whole,
            )
            if whole == row["amount_vnd"]:
                await _step(tx, row, "left", at=line.at, now=now)
        return True


async def _look_at(tx: Tx, id: UUID, at: datetime | None) -> None:
    await tx.execute(
        "update payments.payout_run set looks = looks + 1, look_at = $3 where operator_id = $1 and id = $2",
        tx.operator_id,
        id,
        at,
    )


async def _lock(tx: Tx, id: UUID) -> tuple[Any, list[Any]]:
    run = await tx.row(
        "select * from payments.payout_run where operator_id = $1 and id = $2 for no key update", tx.operator_id, id
    )
    if run is None:
        raise NoSuchPayout()
    payouts = await tx.rows(
        "select * from payments.payout where operator_id = $1 and run_id = $2 order by id for update",
        tx.operator_id,
        id,
    )
    return run, payouts


async def _step(
    tx: Tx, row: Any, event: Event, *, at: datetime, now: datetime, why: str | None = None, staff_id: UUID | None = None
) -> State | None:
    """One step of a payout (locked), with its postings and its row of history. None: the table has none.

    `at`: when it happened by the bank's word; a posting takes effect then.
    """
    step = STEPS[row["state"], event]
    if not isinstance(step, Step):
        return None
    state, before = step.state, row["state"]
    left = state == "settled" or (state == "returned" and before != "settled")
    status = await tx.execute(
        "update payments.payout set state = $4, why = coalesce($5, why), approved_at = coalesce(approved_at, $6),"
        " left_at = coalesce(left_at, $7), ended_at = $8 where operator_id = $1 and id = $2 and state = $3",
        tx.operator_id,
        row["id"],
        before,
        state,
        why,
        now if event == "approve" else None,
        at if left else None,
        at if state not in LIVE or state == "settled" else None,
    )
    if status != "UPDATE 1":
        raise RuntimeError(f"payout {row['id']} was read as {before} and is something else")
    await _remember(tx, row["id"], state, event, now, staff_id=staff_id, why=why)
    reserved, sent = (Source("payout", str(row["id"]), purpose) for purpose in ("reserved", "sent"))
    if event == "approve":
        await ledger.post(
            tx,
            "payout.reserved",
            source=reserved,
            amount_vnd=row["amount_vnd"],
            effective_at=now,
            flow=row["id"],
            payee=row["payee_id"],
        )
    if left:
        await ledger.post(tx, "payout.sent", source=sent, amount_vnd=row["amount_vnd"], effective_at=at, flow=row["id"])
    if state in OWED_AGAIN:
        if state == "returned":
            await ledger.reverse(tx, sent, effective_at=at)
            await payee_account.came_back(tx, row["payee_id"], row["version"], now)
        if before != "draft":
            await ledger.reverse(tx, reserved, effective_at=at)
        await tx.execute(
            "update payments.payout_day set released = true where operator_id = $1 and payout_id = $2",
            tx.operator_id,
            row["id"],
        )
    return state


async def _remember(
    tx: Tx, id: UUID, state: str, cause: str, now: datetime, *, staff_id: UUID | None = None, why: str | None = None
) -> None:
    await tx.execute(
        "insert into payments.payout_event (operator_id, payout_id, id, state, cause, staff_id, why, at)"
        " values ($1, $2, $3, $4, $5, $6, $7, $8)",
        tx.operator_id,
        id,
        new_id(),
        state,
        cause,
        staff_id,
        why,
        now,
    )
